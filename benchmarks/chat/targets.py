"""The requirements for the chat under load. `benchmarks.targets.check` compares each row of `TARGETS` with the
medians."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure import Results, Row
from benchmarks.payloads import KIB
from benchmarks.targets import BEST_PEER, Target

from . import programs
from .cases import OUTBOX


@dataclass(frozen=True)
class _OfOurs:
    """A target for a figure of ours."""

    work: str

    @property
    def library(self) -> str:
        return programs.COMPILED


@dataclass(frozen=True)
class AtLeast(_OfOurs):
    """The figure is at least ``times`` that of another server."""

    times: float
    than: str

    def __str__(self) -> str:
        return f"{self.work}: at least {self.times:g} x {self.than}"

    def verdict(self, results: Results) -> tuple[bool, str]:
        row = results[self.work]
        other = _best(row) if self.than == BEST_PEER else self.than
        ratio = row.median(self.library) / row.median(other)
        return ratio >= self.times, f"{ratio:.2f} x {other}"


@dataclass(frozen=True)
class NoMoreThan(_OfOurs):
    """The cost is no higher than with another server."""

    than: str

    def __str__(self) -> str:
        return f"{self.work}: at most that of {self.than}"

    def verdict(self, results: Results) -> tuple[bool, str]:
        row = results[self.work]
        ratio = row.median(self.library) / row.median(self.than)
        return ratio <= 1, f"{ratio:.2f} x {self.than}"


@dataclass(frozen=True)
class AtMost(_OfOurs):
    """The figure has an upper bound."""

    most: float
    words: str

    def __str__(self) -> str:
        return f"{self.work}: at most {self.words}"

    def verdict(self, results: Results) -> tuple[bool, str]:
        row = results[self.work]
        median = row.median(self.library)
        return median <= self.most, f"{median / self.most:.2f} of that"


TARGETS: tuple[Target, ...] = (
    AtLeast("one-deliveries", 1, programs.SOCKETIFY),
    AtLeast("one-deliveries", 3, programs.PICOWS),
    AtLeast("one-deliveries", 5, programs.THREADS),
    NoMoreThan("one-cpu", programs.SOCKETIFY),
    AtLeast("ten-deliveries", 0.9, programs.SOCKETIFY),
    NoMoreThan("latency-median", programs.ASYNCIO),
    AtMost("crowd-memory", 60 * KIB, "60 KiB"),
    AtMost("crowd-threads", 1, "1"),
    AtLeast("crowd-opened", 0.5, BEST_PEER),
    AtMost("crowd-grown", 4 * KIB, "4 KiB"),
    AtMost("crowd-threads-left", 0.5, "none"),
    AtMost("sleeper-delay", 0.1, "100 ms"),
    AtMost("sleeper-memory", 2 * OUTBOX, "8 MiB, twice what the outbox may hold"),
)


def _best(row: Row) -> str:
    peers = [name for name in row.rounds if name not in (programs.COMPILED, programs.PURE, programs.FLOOR)]
    return max(peers, key=row.median, default="")
