"""The judge: compares what the peer has sent with what the case expects, and gives a verdict.

    OK              the result that the case expects
    INFORMATIONAL   another result, where the RFC leaves a choice
    NON-STRICT      no MUST is broken, but the answer is not the recommended one, or arrived late
    UNSUPPORTED     the case requires an extension that the peer does not have
    FAILED          anything else

The law: verdicts depend only on the case and the `Transcript`. There is no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from transcript import CLOSE, PING, End, Transcript, answer_faults, faults

from rfc6455.testing.cases import (
    Asks,
    Case,
    Closes,
    Deflate,
    Echoes,
    Expectation,
    Fails,
    HangsUp,
    Refuses,
    Waits,
)


class Verdict(IntEnum):
    """A verdict. Smaller values are better."""

    OK = 0
    INFORMATIONAL = 1
    NON_STRICT = 2
    UNSUPPORTED = 3
    FAILED = 4

    def __str__(self) -> str:
        return self.name.replace("_", "-")

    @property
    def passed(self) -> bool:
        """Whether no MUST was broken, as far as can be seen."""
        return self is not Verdict.FAILED


@dataclass(frozen=True)
class Result:
    """The result of a case.

    :ivar happened: what the peer did, in words.
    :ivar why: what was wrong with it, in words that are the same for other cases; empty if nothing was.
    :ivar seconds: the time that the case took.
    """

    case: Case
    verdict: Verdict
    happened: str
    why: str = ""
    seconds: float = 0.0


Opinion = tuple[Verdict, str]

# The number of characters of a header that are shown. No proper answer is longer.
MOST_SHOWN = 200

NOT_CLOSED = "TCP was not closed"

OK, NON_STRICT, FAILED = Verdict.OK, Verdict.NON_STRICT, Verdict.FAILED


def judge(case: Case, transcript: Transcript) -> Result:
    """Return the verdict on what the peer has sent."""
    verdict, why = _verdict(case, transcript)
    if verdict is Verdict.UNSUPPORTED:
        return Result(case, verdict, why, why)
    story = describe(transcript)
    return Result(case, verdict, f"{why}: {story}" if why else story, why)


def _verdict(case: Case, transcript: Transcript) -> Opinion:
    if transcript.end is End.FLOODED:
        return FAILED, "it does not stop sending"
    if case.deflate is Deflate.NEEDED and (reason := _why_not_tried(case, transcript)):
        return Verdict.UNSUPPORTED, reason
    if broken := _broken_rules(case, transcript):
        return FAILED, "; ".join(dict.fromkeys(broken))
    opinions = [opinion_on(expectation, transcript) for expectation in case.expect]
    best, why = opinions[0]
    if best is not OK and any(opinion is OK for opinion, _ in opinions):
        return Verdict.INFORMATIONAL, ""
    if best is FAILED:
        others = opinions[1:] + [opinion_on(expectation, transcript) for expectation in case.tolerated]
        if any(opinion is not FAILED for opinion, _ in others):
            best = NON_STRICT
    if best is OK and transcript.late:
        return NON_STRICT, "only when more was sent"
    return best, why


def _why_not_tried(case: Case, transcript: Transcript) -> str:
    if transcript.head is not None and transcript.opened and not transcript.deflate:
        return "no permessage-deflate"
    sender = "client_no_context_takeover" if transcript.from_server else "server_no_context_takeover"
    if case.takeover and sender in transcript.parameters():
        return "no context takeover"
    return ""


def _broken_rules(case: Case, transcript: Transcript) -> list[str]:
    """Return the violations that no case allows."""
    if any(isinstance(expectation, Asks) for expectation in case.expect):
        return []
    broken = list(faults(transcript)) if transcript.opened else []
    if transcript.opened and transcript.from_server:
        broken += answer_faults(transcript)
    if case.deflate is Deflate.DECLINED and transcript.deflate:
        broken.append("the offer was not declined (RFC 7692 7.1)")
    return broken


def opinion_on(expectation: Expectation, transcript: Transcript) -> Opinion:
    """Return how well ``transcript`` matches what was expected, and what is missing."""
    match expectation:
        case Echoes():
            return _echoes(expectation, transcript)
        case Closes():
            return _closes(expectation, transcript)
        case Fails():
            return _fails(expectation, transcript)
        case Waits():
            return _waits(transcript)
        case Refuses():
            return _refuses(expectation, transcript)
        case HangsUp():
            return _hangs_up(transcript)
        case Asks():
            return _asks(expectation, transcript)


def _echoes(expected: Echoes, transcript: Transcript) -> Opinion:
    if not transcript.opened:
        return FAILED, "no connection"
    if transcript.messages() != list(expected.messages):
        return FAILED, "not the same messages"
    if not _answers(expected.pings, transcript.pongs):
        return FAILED, "not the Pongs that were due"
    if expected.fresh_masks and len({frame.key for frame in transcript.frames}) < len(transcript.frames):
        return FAILED, "a masking key came twice"
    if transcript.close is None:
        # Other cases test how it closes.
        return (FAILED if transcript.end is End.OPEN else NON_STRICT), "no answer to the Close"
    return _closing(transcript, frozenset({1000}), "another code than that of the Close")


def _answers(pings: tuple[bytes, ...], pongs: list[bytes]) -> bool:
    """Return whether the Pongs answer the Pings. 5.5.3: they must be in the same order; all but the last may be left
    out."""
    waiting = iter(pings)
    return all(pong in waiting for pong in pongs) and (not pings or (bool(pongs) and pongs[-1] == pings[-1]))


def _closing(transcript: Transcript, codes: frozenset[int | None], otherwise: str) -> Opinion:
    """Judge the end. 5.5.1: "After both sending and receiving a Close message, an endpoint considers the WebSocket
    connection closed and MUST close the underlying TCP connection." 7.1.1: the server does so first."""
    if transcript.end is End.OPEN:
        return FAILED, NOT_CLOSED
    return (OK, "") if transcript.close_code in codes else (NON_STRICT, otherwise)


def _closes(expected: Closes, transcript: Transcript) -> Opinion:
    if not transcript.opened:
        return FAILED, "no connection"
    if transcript.close is None:
        return FAILED, "no Close in answer to the Close"
    if transcript.messages() != list(expected.messages) or transcript.pongs:
        return FAILED, "not the same messages"
    return _closing(transcript, expected.codes, "another code than that of the Close")


def _fails(expected: Fails, transcript: Transcript) -> Opinion:
    if not transcript.opened:
        return FAILED, "no connection"
    messages = transcript.messages()
    if messages != list(expected.messages[: len(messages)]):
        return FAILED, "a message came back"
    if not all(pong in expected.pings for pong in transcript.pongs):
        return FAILED, "a Pong came back"
    if transcript.close is None:
        # 7.1.7: an endpoint SHOULD send a Close frame first.
        return (
            (FAILED, "the connection did not fail") if transcript.end is End.OPEN else (NON_STRICT, "no Close frame")
        )
    return _closing(transcript, expected.codes, "another code")


def _waits(transcript: Transcript) -> Opinion:
    silent = transcript.opened and not transcript.frames and transcript.end is End.OPEN
    return (OK, "") if silent else (FAILED, "it did not wait")


def _refuses(expected: Refuses, transcript: Transcript) -> Opinion:
    head = transcript.head
    if head is None:
        # A reset is a refusal as well, but without a reason.
        return (FAILED, "no answer") if transcript.end is End.OPEN else (NON_STRICT, "no answer")
    if not 400 <= head.status <= 599:
        return FAILED, "the request was not refused"
    for name, value in expected.fields:
        if value not in head.value(name).replace(" ", "").split(","):
            return FAILED, f"no {name} with {value}"
    # RFC 9110: 15.5.6, an answer 405 MUST have Allow; 15.5.22, one with 426 MUST have Upgrade.
    needed = {405: "allow", 426: "upgrade"}.get(head.status)
    if needed is not None and needed not in head.fields:
        return NON_STRICT, f"no {needed.title()} header"
    return (OK, "") if head.status in expected.statuses else (NON_STRICT, "another status")


def _hangs_up(transcript: Transcript) -> Opinion:
    answered = transcript.from_server and transcript.head is not None and not transcript.opened
    if answered or any(frame.opcode != CLOSE for frame in transcript.frames):
        return FAILED, "an answer came"
    if transcript.end is End.OPEN:
        return FAILED, NOT_CLOSED
    return (NON_STRICT, "a Close frame came") if transcript.frames else (OK, "")


def _asks(expected: Asks, transcript: Transcript) -> Opinion:
    head = transcript.head
    if head is None:
        return FAILED, "no request"
    values = head.fields.get(expected.field, []) if expected.field else [head.line]
    if len(values) != 1 or re.fullmatch(expected.pattern, values[0]) is None:
        return FAILED, f"it is {values!a}"
    if expected.fresh and transcript.seen_before:
        return FAILED, "it came before"
    return OK, ""


# ---- While a case runs ----


def is_settled(case: Case, transcript: Transcript) -> bool:
    """Return whether there is nothing more to wait for before the closing handshake."""
    possible = case.expect + case.tolerated
    return (
        transcript.close is not None
        or any(_is_complete(expectation, transcript) for expectation in possible)
        or all(_is_ruled_out(expectation, transcript) for expectation in possible)
    )


def _is_complete(expectation: Expectation, transcript: Transcript) -> bool:
    """Return whether everything has arrived that was expected before our Close frame."""
    match expectation:
        case Echoes(messages, pings):
            return transcript.message_count >= len(messages) and _answers(pings, transcript.pongs)
        case Asks():
            return True
        case _:
            return False


def _is_ruled_out(expectation: Expectation, transcript: Transcript) -> bool:
    """Return whether more has arrived than was expected."""
    match expectation:
        case Echoes() | Asks():
            return False
        case Closes(_, messages):
            return transcript.message_count > len(messages)
        case Fails(_, messages, pings):
            return transcript.message_count > len(messages) or len(transcript.pongs) > len(pings)
        case _:
            return bool(transcript.frames)


def must_close(case: Case, transcript: Transcript) -> bool:
    """Return whether it is our turn to begin the closing handshake."""
    return any(_is_complete(expectation, transcript) for expectation in case.expect + case.tolerated)


def sends_close(case: Case) -> bool:
    """Return whether the case itself sends a Close frame."""
    return isinstance(case.expect[0], Closes)


# ---- Words ----


def describe(transcript: Transcript) -> str:
    """Describe what happened, in a few words."""
    parts = [*_head_words(transcript), *_frame_words(transcript)]
    if transcript.opened or transcript.head is None:
        # After a refusal, the checker does not wait for the end.
        nothing = "no whole frame" if transcript.end is End.FLOODED else "nothing came"
        parts = [*(parts or [nothing]), transcript.end.value]
    return ", ".join(parts)


def _head_words(transcript: Transcript) -> Iterable[str]:
    head = transcript.head
    if transcript.from_server and head is not None and head.status != 101:
        yield f"HTTP {head.status}" if head.status else f"{head.line[:40]!a}"
    if transcript.answer:
        yield printable(transcript.answer)


def _frame_words(transcript: Transcript) -> Iterable[str]:
    if transcript.message_count:
        yield _count(transcript.message_count, "message")
    if transcript.pongs:
        yield _count(len(transcript.pongs), "Pong")
    if pings := sum(frame.opcode == PING for frame in transcript.frames):
        yield _count(pings, "Ping")
    if (close := transcript.close) is not None:
        code = transcript.close_code
        reason = close.payload[2:].decode(errors="replace")
        words = "Close" if code is None else f"Close {code}"
        yield f"{words} {reason!a}" if reason else words


def printable(text: str) -> str:
    """Return a text from a peer, shortened, and without characters that a terminal would obey or that XML does not
    allow."""
    return ascii(text[:MOST_SHOWN])[1:-1]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
