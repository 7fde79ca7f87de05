"""What the chat must show under load. Each row of `TARGETS` is one requirement; `check` compares the medians with
it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.measure import Results, Row

from . import programs
from .cases import OUTBOX

OURS = programs.COMPILED
BEST_PEER = "the best peer"
KIB = 1 << 10


@dataclass(frozen=True)
class AtLeast:
    """This figure is at least ``times`` that of another server."""

    figure: str
    times: float
    than: str

    def __str__(self) -> str:
        return f"{self.figure}: at least {self.times:g} x {self.than}"

    def verdict(self, row: Row) -> tuple[bool, str]:
        other = _best(row) if self.than == BEST_PEER else self.than
        ratio = row.median(OURS) / row.median(other)
        return ratio >= self.times, f"{ratio:.2f} x {other}"


@dataclass(frozen=True)
class NoMoreThan:
    """This costs no more than with another server."""

    figure: str
    than: str

    def __str__(self) -> str:
        return f"{self.figure}: at most that of {self.than}"

    def verdict(self, row: Row) -> tuple[bool, str]:
        ratio = row.median(OURS) / row.median(self.than)
        return ratio <= 1, f"{ratio:.2f} x {self.than}"


@dataclass(frozen=True)
class AtMost:
    """The figure itself is bounded."""

    figure: str
    most: float
    words: str

    def __str__(self) -> str:
        return f"{self.figure}: at most {self.words}"

    def verdict(self, row: Row) -> tuple[bool, str]:
        median = row.median(OURS)
        return median <= self.most, f"{median / self.most:.2f} of that"


Target = AtLeast | NoMoreThan | AtMost

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


def check(results: Results) -> Iterator[tuple[str, str, str]]:
    """For each target whose case was run: ``pass``, ``FAIL`` or ``absent``, the target, what was found."""
    for target in TARGETS:
        row = results.row(target.figure)
        if row is None:
            continue
        try:
            passed, found = target.verdict(row)
        except KeyError:  # a figure is missing
            yield "FAIL" if OURS in row.reasons else "absent", str(target), row.reasons.get(OURS, "not measured here")
        else:
            yield "pass" if passed else "FAIL", str(target), found
