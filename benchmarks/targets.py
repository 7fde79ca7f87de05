"""The requirements for the figures. Each row of `TARGETS` is one of them; `check` compares the results with them.

Costs are medians. "n times as fast as X" is the cost of X divided by ours. A missing figure is a `KeyError`: the
target has then failed if the figure is ours and there is a reason, and is absent otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from .measure import Results, Row
from .ours import COMPILED, PURE
from .payloads import KIB

FLOOR = "floor"
PEERS = ("picows", "aiohttp", "websockets", "wsproto")
BEST_PEER = "the best peer"


class Target(Protocol):
    """One requirement. Its `str` describes it."""

    @property
    def work(self) -> str:
        """The name of the row with the figure."""

    @property
    def library(self) -> str:
        """The library with the figure."""

    def verdict(self, results: Results) -> tuple[bool, str]:
        """Return whether the results meet the requirement, and the results in words."""


@dataclass(frozen=True)
class Faster:
    """The library is at least ``times`` as fast as another, or as the best of the peers."""

    work: str
    library: str
    times: float
    than: str

    def __str__(self) -> str:
        return f"{self.work}: {self.library} at least {self.times:g} x as fast as {self.than}"

    def verdict(self, results: Results) -> tuple[bool, str]:
        row = results[self.work]
        other = rival(row, self.than)
        ratio = row.median(other) / row.median(self.library)
        return ratio >= self.times, f"{ratio:.2f} x {other}"


@dataclass(frozen=True)
class NearFloor:
    """The library costs at most ``times`` the floor."""

    work: str
    library: str
    times: float

    def __str__(self) -> str:
        return f"{self.work}: {self.library} within {self.times:g} x of the floor"

    def verdict(self, results: Results) -> tuple[bool, str]:
        ratio = results[self.work].median(self.library) / results[self.work].median(FLOOR)
        return ratio <= self.times, f"{ratio:.2f} x the floor"


@dataclass(frozen=True)
class Flat:
    """From the first of these works to the last, the cost of a unit does not grow by more than ``times``."""

    first: str
    last: str
    library: str
    times: float

    @property
    def work(self) -> str:
        return self.last

    def __str__(self) -> str:
        return f"{self.first} to {self.last.rpartition('-')[2]}: {self.library} grows at most {self.times:g} x"

    def verdict(self, results: Results) -> tuple[bool, str]:
        growth = self._growth(results, self.library)
        said = f"{growth:.2f} x"
        with suppress(KeyError):
            said += f" (the floor itself {self._growth(results, FLOOR):.2f} x)"
        return growth <= self.times, said

    def _growth(self, results: Results, library: str) -> float:
        return results[self.last].median(library) / results[self.first].median(library)


@dataclass(frozen=True)
class AtMost:
    """The figure has an upper bound."""

    work: str
    library: str
    most: float

    def __str__(self) -> str:
        return f"{self.work}: {self.library} at most {self.most:g}"

    def verdict(self, results: Results) -> tuple[bool, str]:
        figure = results[self.work].median(self.library)
        return figure <= self.most, f"{figure:.0f} {results[self.work].unit}"


@dataclass(frozen=True)
class AddsAtMost:
    """A unit of this work costs at most ``most`` more than one of another."""

    work: str
    first: str
    library: str
    most: float

    def __str__(self) -> str:
        return f"{self.work}: {self.library} at most {self.most:g} more than {self.first}"

    def verdict(self, results: Results) -> tuple[bool, str]:
        added = results[self.work].median(self.library) - results[self.first].median(self.library)
        return added <= self.most, f"{added:.0f} {results[self.work].unit} more"


LARGE = ("receive-binary-64k", "receive-text-1m", "receive-text-1m-mixed", "receive-binary-16m")
DEFLATED = ("deflate-200", "deflate-64k", "deflate-200-anew", "deflate-64k-anew")

TARGETS: tuple[Target, ...] = (
    Faster("receive-text-32", COMPILED, 2.5, "aiohttp"),
    Faster("receive-text-32", COMPILED, 15, "websockets"),
    Faster("receive-text-32", COMPILED, 50, "wsproto"),
    Faster("receive-text-32-frames", COMPILED, 1.4, "aiohttp"),
    AddsAtMost("receive-text-32-frames-endpoint", "receive-text-32-frames", COMPILED, 500),
    Faster("receive-binary-1k", COMPILED, 2, "aiohttp"),
    *(Faster(work, COMPILED, 1, BEST_PEER) for work in LARGE),
    *(NearFloor(work, COMPILED, 1.3) for work in LARGE),
    Faster("receive-fragments", COMPILED, 1, BEST_PEER),
    Faster("receive-bytes-text-32", COMPILED, 1, BEST_PEER),
    Faster("receive-bytes-binary-16k", COMPILED, 1, BEST_PEER),
    NearFloor("receive-bytes-binary-16k", COMPILED, 2),
    Faster("send-server-text-32", COMPILED, 4, "websockets"),
    Faster("send-server-text-32", COMPILED, 10, "wsproto"),
    Faster("send-client-text-32", COMPILED, 4, "websockets"),
    Faster("handshake-server", COMPILED, 2, "websockets"),
    Faster("handshake-server", COMPILED, 3, "wsproto"),
    Faster("handshake-server", COMPILED, 1.8, BEST_PEER),
    Faster("handshake-client", COMPILED, 1.7, BEST_PEER),
    *(NearFloor(f"{way}-{work}", COMPILED, 1.15) for way in ("receive", "send-server") for work in DEFLATED),
    Faster("receive-text-32", PURE, 1.5, "websockets"),
    Faster("receive-text-32", PURE, 5, "wsproto"),
    *(Faster(work, PURE, 1.5, "wsproto") for work in LARGE),
    *(Flat("growth-messages-1000", "growth-messages-1000000", library, 1.15) for library in (COMPILED, PURE)),
    *(Flat("growth-bytes-1k", "growth-bytes-64m", library, 1.15) for library in (COMPILED, PURE)),
    *(AtMost(work, library, 2 * KIB) for work in ("memory-new", "memory-used") for library in (COMPILED, PURE)),
)


def rival(row: Row, name: str) -> str:
    """Return the library with which to compare: the best of the measured peers, or the one with this name."""
    if name != BEST_PEER:
        return name
    return min((peer for peer in PEERS if peer in row.rounds), key=row.median, default=name)


def check(results: Results, targets: Sequence[Target] = TARGETS) -> Iterator[tuple[str, str, str]]:
    """For each target whose work was run, yield ``pass``, ``FAIL`` or ``absent``, the target, and the result."""
    for target in targets:
        row = results.row(target.work)
        if row is None:
            continue
        try:
            passed, found = target.verdict(results)
        except KeyError:  # a figure is missing
            is_ours = target.library in row.reasons
            yield "FAIL" if is_ours else "absent", str(target), row.reasons.get(target.library, "not measured here")
        else:
            yield "pass" if passed else "FAIL", str(target), found
