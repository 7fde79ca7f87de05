"""Shows results: tables in reST, a plot. Reads `Results` and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measure import Results, Row
from benchmarks.report import VERDICTS, csv_table, environment, verdicts_table
from benchmarks.targets import check

from . import programs
from .cases import CASES, Case, Figure
from .targets import TARGETS

Table = tuple[Sequence[str], list[Sequence[str]]]


def check_table(results: Results) -> tuple[str, bool]:
    """Return the targets with their verdicts, and whether all of them passed."""
    return verdicts_table(list(check(results, TARGETS)))


def rst(results: Results) -> str:
    """Return the whole report: the environment, and a table for each case. `docs/topics/chat_load.rst` includes it."""
    lines = [".. Made by benchmarks/chat/run.py; do not edit.", "", *environment(results)]
    for title, table in _tables(results):
        lines += ["", f".. rubric:: {title}", "", *csv_table(*table)]
    lines += ["", *(f"- {line}" for line in _reasons(results))]
    lines += ["", ".. rubric:: Targets and results", "", *csv_table(VERDICTS, check(results, TARGETS))]
    return "\n".join(lines) + "\n"


def _reasons(results: Results) -> Iterator[str]:
    """Yield the reasons why there is no figure, once for each case and server."""
    for case in CASES:
        row = results.row(case.figures[0].name)
        for name, reason in {} if row is None else row.reasons.items():
            yield f"{name}, {case.name}: {reason}"


def _tables(results: Results) -> Iterator[tuple[str, Table]]:
    for case in CASES:
        row = results.row(case.figures[0].name)
        if row is not None:
            yield row.group, _table(results, case)


def _table(results: Results, case: Case) -> Table:
    """Return a row for each figure, and a column for each server that has figures or should have."""
    names = [name for name in results.libraries if _takes_part(results, case, name)]
    rows: list[Sequence[str]] = []
    for figure in case.figures:
        row = results.row(figure.name)
        rows.append([figure.title, *(_cell(row, figure, name) for name in names)])
    return ["", *names], rows


def _takes_part(results: Results, case: Case, name: str) -> bool:
    taken = (results.row(figure.name) for figure in case.figures)
    return any(name in row.rounds or name in row.reasons for row in taken if row is not None)


def _cell(row: Row | None, figure: Figure, name: str) -> str:
    return "–" if row is None or name not in row.rounds else quantity(row.median(name), figure.unit)


def quantity(value: float, unit: str) -> str:
    """Return the value with a suitable multiple of its unit."""
    if unit == "/s":
        return f"{value:,.0f} /s"
    if unit == "B":
        return f"{value / 1024:.1f} KiB" if value < 1 << 20 else f"{value / (1 << 20):.1f} MiB"
    if unit == "s":
        factor, name = (1e9, "ns") if value < 1e-5 else (1e6, "µs") if value < 1e-2 else (1e3, "ms")
        return f"{value * factor:,.0f} {name}"
    return f"{value:.2f}"


# --- plot -----------------------------------------------------------------------------------------------------

COLOUR_OF_OURS = "#D55E00"
COLOUR_OF_PEERS = "#56B4E9"


def plot(results: Results, path: Path) -> None:
    """Draw deliveries, CPU, latency and connections as bars. The suffix of the path chooses the format."""
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    pyplot.rcParams["svg.hashsalt"] = "rfc6455"  # so that the same figures give the same file
    wanted = ("one-deliveries", "ten-deliveries", "one-cpu", "latency-median", "crowd-opened", "crowd-memory")
    figures = [(case, figure) for case in CASES for figure in case.figures if figure.name in wanted]
    shown = [(figure, row) for _, figure in figures if (row := results.row(figure.name)) is not None and row.rounds]
    lines = max(1, -(-len(shown) // 2))
    drawing, axes = pyplot.subplots(lines, 2, figsize=(11, 2.7 * lines), layout="constrained", squeeze=False)
    for place, (figure, row) in zip(axes.flat, shown, strict=False):
        _bars(place, figure, row)
    for place in list(axes.flat)[len(shown) :]:
        place.set_axis_off()
    drawing.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    pyplot.close(drawing)


def _bars(axes: Any, figure: Figure, row: Row) -> None:
    names = list(row.rounds)
    ours = (programs.COMPILED, programs.PURE)
    bars = axes.barh(
        names,
        [row.median(name) for name in names],
        color=[COLOUR_OF_OURS if name in ours else COLOUR_OF_PEERS for name in names],
    )
    axes.bar_label(bars, [quantity(row.median(name), figure.unit) for name in names], fontsize=8, padding=2)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.margins(x=0.2)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title(f"{figure.title} ({'more' if figure.more_is_better else 'less'} is better)", fontsize=9)
