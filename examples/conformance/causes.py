"""One line for many verdicts with the same cause: how many there are, what was wrong, and the likely cause.

The law: this module looks only at results. A cause is a guess, and is called likely; the facts are in each result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from judge import NOT_CLOSED, Result, Verdict

# From this number on, verdicts share a line. A single rule has up to about ten cases.
MANY = 12

# The likely causes, by what was wrong.
LIKELY = {
    NOT_CLOSED: "it keeps TCP open after both Close frames, but must close it (5.5.1), a server first (7.1.1)",
    "no connection": "this address does not lead to a WebSocket server, or its handshake refuses every client",
    "no client came": "the client stops at the first connection that ends badly; it should connect again",
    "no request": "the program that connects here does not speak HTTP",
    "not the same messages": "it is not an echo server, or changes what it sends back",
    "no answer to the Close": "it leaves without answering the Close (5.5.1)",
    "no Close in answer to the Close": "it leaves without answering the Close (5.5.1)",
    "no Close frame": "it drops TCP if a rule is broken; it should send a Close frame with a code first (7.1.7)",
    "another code": "it uses the same code for everything that it refuses (7.4.1)",
    "another code than that of the Close": "it answers a Close with its own code, but should echo the code (5.5.1)",
    "the connection did not fail": "it does not check what it receives, or checks it later than it answers",
    "a message came back": "it does not check what it receives, or checks it later than it answers",
    "the request was not refused": "it does not check the request (4.2.1), or a proxy in front of it answers",
    "no answer": "it closes TCP instead of refusing the request with a status",
    "another status": "it uses the same status for everything that it refuses",
    "no permessage-deflate": "permessage-deflate is not switched on",
    "only when more was sent": "it checks a frame only when all of it has arrived",
    "it does not stop sending": "it sends more than the echoes",
}


class Common(NamedTuple):
    """Results with the same verdict for the same reason."""

    verdict: Verdict
    why: str
    results: Sequence[Result]

    def __str__(self) -> str:
        words = f"{self.verdict} in {len(self.results)} cases: {self.why}"
        stories, count = Counter(result.happened.removeprefix(f"{self.why}: ") for result in self.results).most_common(
            1
        )[0]
        if stories != self.why:
            words += f" ({stories}" + (f", in {count} of them)" if count < len(self.results) else ")")
        return f"{words}. Likely: {LIKELY[self.why]}." if self.why in LIKELY else f"{words}."


def common_causes(results: Sequence[Result]) -> list[Common]:
    """Return the causes that at least `MANY` results share, ordered by the worst verdict, then by the number of
    results."""
    together: dict[tuple[Verdict, str], list[Result]] = {}
    for result in results:
        if result.why:
            together.setdefault((result.verdict, result.why), []).append(result)
    found = [Common(*key, members) for key, members in together.items() if len(members) >= MANY]
    return sorted(found, key=lambda common: (common.verdict, len(common.results)), reverse=True)


def told_alone(results: Sequence[Result]) -> Iterator[Result]:
    """Yield the results that no line of `common_causes` covers."""
    together = {id(result) for common in common_causes(results) for result in common.results}
    return (result for result in results if id(result) not in together)
