"""Shows results: a table in reST, and the targets. Reads `Results` and nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.chat.report import quantity
from benchmarks.measure import Results, Row
from benchmarks.report import VERDICTS, csv_table, digits, environment, verdicts_table

OURS = "Listener"

# A row, the server whose figure is compared, the one with which it is compared, and the maximum ratio.
Target = tuple[str, str, str, float]
SMALL = ("small", "many")
LARGE = ("100k", "1000k")
TARGETS: tuple[Target, ...] = (
    *((row, OURS, "picows", 1.0) for row in (*SMALL, *LARGE, "in-flight")),
    *((row, OURS, "floor", 1.25) for row in SMALL),
    *((row, OURS, "floor", 1.5) for row in LARGE),
    *((row, "coroutines", "picows.websockets", 1.0) for row in (*SMALL, *LARGE, "in-flight")),
    *(
        ("in-flight", ours, peer, 0.2)
        for ours in (OURS, "coroutines")
        for peer in ("picows", "picows.websockets", "websockets", "aiohttp")
    ),
    ("in-flight", OURS, "floor", 2.5),
    ("opening", OURS, "picows", 1 / 1.2),
    *((row, "uvicorn, ours", "uvicorn, websockets", 1.0) for row in (*SMALL, *LARGE)),
)
# The time in seconds that a row of `TARGETS` may take beyond that: one microsecond if the floor does next to nothing.
BEYOND = {("in-flight", "floor"): 1e-6}


def rst(results: Results) -> str:
    """Return the whole report, which is the part with figures of the documentation's page."""
    lines = [".. Made by benchmarks/sockets/run.py; do not edit.", "", *environment(results), ""]
    lines += [*csv_table(*_table(results)), "", *(f"- {line}" for line in _reasons(results))]
    lines += ["", ".. rubric:: Targets and results", ""]
    return "\n".join([*lines, *csv_table(VERDICTS, _verdicts(results))]) + "\n"


def plot(results: Results, path: Path) -> None:
    raise SystemExit("these results have no plot")


def check_table(results: Results) -> tuple[str, bool]:
    return verdicts_table(list(_verdicts(results)))


def _reasons(results: Results) -> Iterator[str]:
    for row in results.rows:
        for name, reason in row.reasons.items():
            yield f"{name}, {row.title}: {reason}"


def _table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return the median of each server, and its ratio to that of our first one."""
    return ["", *results.libraries], [
        [row.title, *(_cell(row, name) for name in results.libraries)] for row in results.rows
    ]


def _cell(row: Row, name: str) -> str:
    if name not in row.rounds:
        return "–"
    median = row.median(name)
    text = precise(median) if row.unit == "s" else quantity(median, row.unit)
    if name == OURS or not row.rounds.get(OURS) or not row.median(OURS):
        return text
    return f"{text} ×{digits(median / row.median(OURS))}"


def precise(seconds: float) -> str:
    return f"{digits(seconds * 1e6)} µs" if seconds < 1e-3 else f"{digits(seconds * 1e3)} ms"


def _verdicts(results: Results) -> Iterator[tuple[str, str, str]]:
    for name, ours, other, times in TARGETS:
        row = results.row(name)
        if row is None or ours not in row.rounds or other not in row.rounds:
            continue
        beyond = BEYOND.get((name, other), 0.0)
        # The rounds are compared pair by pair, so that changes in the processor's speed affect both.
        pairs = list(zip(row.rounds[ours], row.rounds[other], strict=True))
        is_met = statistics.median([(mine - beyond) / theirs for mine, theirs in pairs]) <= times
        ratio = statistics.median([mine / theirs for mine, theirs in pairs])
        words = f"{row.title}: {ours} at most {times:.3g} x {other}" + (" + 1 µs" if beyond else "")
        yield "pass" if is_met else "FAIL", words, f"{ratio:.2f} x {other}"
