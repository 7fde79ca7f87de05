"""Shows results: tables in reST, a plot. Reads `Results` and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .measure import Results, Row
from .ours import COMPILED, PURE
from .targets import check

GROUPS = {
    "receive": "Receiving (a server, masked frames)",
    "send": "Sending",
    "handshake": "Opening handshake",
    "memory": "Memory of a connection that waits",
    "growth": "Growth",
}


def rst(results: Results) -> str:
    """Return the whole report: the environment, and a table for each group. A page of the documentation includes it,
    so it has no heading of its own."""
    lines = [".. Made by benchmarks/run.py; do not edit.", "", *environment(results)]
    for group, title in GROUPS.items():
        rows = [row for row in results.rows if row.group == group]
        if rows:
            lines += ["", f".. rubric:: {title}", "", *_table(results, rows)]
    lines += ["", "Each cell shows the median of all rounds, and its ratio to that of the first rfc6455 column."]
    return "\n".join([*lines, "", *_reasons(results)]) + "\n"


def _table(results: Results, rows: Sequence[Row]) -> Iterator[str]:
    libraries = [name for name in results.libraries if any(name in row.rounds for row in rows)]
    cells = ([_work_and_unit(row), *[_cell(row, library) for library in libraries]] for row in rows)
    return csv_table(["work", *libraries], cells)


def _cell(row: Row, library: str) -> str:
    if library not in row.rounds:
        return "–"
    median, base = row.median(library), reference(row)
    text = quantity(median, row.unit)
    return text if base is None or base == library else f"{text} ×{digits(median / row.median(base))}"


def csv_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table in reST. The cells are numbers, except for the first column and the targets of verdicts."""
    yield ".. csv-table::"
    yield "   :class: figures verdicts" if header == VERDICTS else "   :class: figures"
    yield "   :header: " + _csv(header)
    yield ""
    for row in rows:
        yield "   " + _csv(row)


def _csv(cells: Iterable[str]) -> str:
    return ", ".join('"' + cell.replace('"', '""') + '"' for cell in cells)


def environment(results: Results) -> Iterator[str]:
    """Yield a list that describes the environment, and what could not be measured."""
    for name, value in (results.environment | results.libraries).items():
        yield f"- {name}: {value}"
    for name, reason in results.absent.items():
        yield f"- {name}: not measured ({reason})"


def _work_and_unit(row: Row) -> str:
    return f"{row.title}, {row.unit.partition(' ')[2] or 'each'}"


def _reasons(results: Results) -> Iterator[str]:
    """Yield the reasons why some libraries have no figure for some works."""
    notes: dict[tuple[str, str], list[str]] = {}
    for row in results.rows:
        for library, reason in row.reasons.items():
            notes.setdefault((library, reason), []).append(row.name)
    for (library, reason), names in notes.items():
        yield f"- {library}, {reason}: {', '.join(names)}"


def reference(row: Row) -> str | None:
    """Return the library with which all others are compared: ours, compiled if possible."""
    return next((name for name in (COMPILED, PURE) if name in row.rounds), None)


def quantity(value: float, unit: str) -> str:
    """Return the value with a suitable multiple of its unit."""
    step, *names = (1000, "ns", "µs", "ms", "s") if unit.startswith("ns") else (1024, "B", "KiB", "MiB")
    for name in names[:-1]:
        if value < step:
            return f"{digits(value)} {name}"
        value /= step
    return f"{digits(value)} {names[-1]}"


def digits(value: float) -> str:
    """Return the value with three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def check_table(results: Results) -> tuple[str, bool]:
    """Return the targets with their verdicts, and whether all of them passed."""
    return verdicts_table(list(check(results)))


VERDICTS = ("verdict", "target", "found")


def verdicts_table(verdicts: Sequence[tuple[str, str, str]]) -> tuple[str, bool]:
    """Return the table of the verdicts, and whether all targets are met."""
    return "\n".join(csv_table(VERDICTS, verdicts)) + "\n", all(verdict == "pass" for verdict, *_ in verdicts)


# --- plot -----------------------------------------------------------------------------------------------------

# The palette of Okabe and Ito, whose colours can be told apart with any colour vision, and a sign for each.
SIGNS = {
    "floor": ("#555555", "|"),
    COMPILED: ("#D55E00", "D"),
    PURE: ("#E69F00", "d"),
    "picows": ("#56B4E9", "v"),
    "aiohttp": ("#0072B2", "o"),
    "websockets": ("#009E73", "s"),
    "wsproto": ("#CC79A7", "^"),
}


def plot(results: Results, path: Path) -> None:
    """Draw each work as a line of dots, and the growth as curves. The suffix of the path chooses the format."""
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    pyplot.rcParams["svg.hashsalt"] = "rfc6455"  # so that the same figures give the same file
    rows = [row for row in results.rows if row.group in ("receive", "send", "handshake") and reference(row)]
    curves = {
        title: [row for row in results.rows if row.name.startswith(prefix)]
        for prefix, title in (
            ("growth-messages", "ns per message, by number of messages"),
            ("growth-bytes", "ns per byte, by size of the message"),
        )
    }
    curves = {title: found for title, found in curves.items() if found}
    heights = [max(len(rows), 1) * 0.28 + 1, *([3.2] if curves else [])]
    drawing = pyplot.figure(figsize=(10, sum(heights)), layout="constrained")
    grid = drawing.add_gridspec(len(heights), max(len(curves), 1), height_ratios=heights)
    dots = drawing.add_subplot(grid[0, :])
    _plot_dots(dots, results, rows)
    drawing.legend(*dots.get_legend_handles_labels(), loc="outside upper center", ncols=len(SIGNS), fontsize=8)
    for place, (title, found) in enumerate(curves.items()):
        _plot_curve(drawing.add_subplot(grid[1, place]), results, found, title)
    drawing.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    pyplot.close(drawing)


def _plot_dots(axes: Any, results: Results, rows: Sequence[Row]) -> None:
    for library in results.libraries:
        found = _having(rows, library)
        points = [(row.median(library) / row.median(reference(row) or library), place) for place, row in found]
        if points:
            colour, sign = SIGNS[library]
            axes.scatter(*zip(*points, strict=True), label=library, color=colour, marker=sign, s=36, zorder=3)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [f"{row.group}: {row.title}" for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(True, alpha=0.3)
    axes.set_xlabel(f"time as a multiple of {COMPILED if COMPILED in results.libraries else PURE}; less is faster")


def _plot_curve(axes: Any, results: Results, rows: Sequence[Row], title: str) -> None:
    labels = [_growth_label(row.name.rpartition("-")[2]) for row in rows]
    for library in results.libraries:
        points = [(place, row.median(library)) for place, row in _having(rows, library)]
        if points:
            colour, sign = SIGNS[library]
            axes.plot(*zip(*points, strict=True), label=library, color=colour, marker=sign)
    axes.set_yscale("log")
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(True, alpha=0.3)
    axes.set_title(title, fontsize=10)


def _growth_label(word: str) -> str:
    """Return the label for the last word of a work's name: ``64m`` is 64 MiB, ``10000`` a number of messages."""
    return f"{int(word):,}" if word.isdecimal() else f"{word[:-1]} {word[-1].upper()}iB"


def _having(rows: Sequence[Row], library: str) -> Iterable[tuple[int, Row]]:
    return ((place, row) for place, row in enumerate(rows) if library in row.rounds)
