"""The results of a run, for people and for programs: a table, counts, JSON, JUnit's XML.

Every figure is counted from the results.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO
from xml.etree import ElementTree

from causes import common_causes
from judge import Result, Verdict

from rfc6455.testing.cases import GROUPS

# The minimum width of a column when the terminal is narrow.
LEAST = 12
GAP = "  "

Rows = Sequence[Sequence[str]]


def case_rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    """Return rows: the heading, then one for each case."""
    rows: list[tuple[str, ...]] = [("Verdict", "Case", "Section", "What must happen", "What happened")]
    rows += [
        (str(result.verdict), result.case.id, result.case.clause, result.case.sentence, result.happened)
        for result in results
    ]
    return rows


def group_rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return rows: the heading, one for each group with its number of cases and of each verdict, and the total."""
    verdicts = [verdict for verdict in Verdict if any(result.verdict is verdict for result in results)]
    rows: list[tuple[str, ...]] = [("Group", "Cases", *map(str, verdicts))]
    for name in [*GROUPS, "all"]:
        counts = Counter(result.verdict for result in results if name in (result.case.group, "all"))
        if counts:
            rows.append((name, str(counts.total()), *(str(counts[verdict]) for verdict in verdicts)))
    return rows


def aligned(rows: Rows, width: int | None = None, *, right: frozenset[int] = frozenset()) -> Iterator[str]:
    """Yield the rows as lines, each column as wide as its widest cell.

    :param width: the width of the terminal. If the lines are longer, the last two columns are cut.
    :param right: the columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        _narrow(widths, width)
    for row in rows:
        cells = [_cut(cell, space) for cell, space in zip(row, widths, strict=True)]
        lined_up = [
            cell.rjust(space) if column in right else cell.ljust(space)
            for column, (cell, space) in enumerate(zip(cells, widths, strict=True))
        ]
        yield GAP.join(lined_up).rstrip()


def _narrow(widths: list[int], width: int) -> None:
    """Shorten the wider of the last two columns until the lines fit, or until too little would be left."""
    over = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while over > 0:
        column = max((len(widths) - 2, len(widths) - 1), key=lambda at: widths[at])
        if widths[column] <= LEAST:
            return
        widths[column] -= 1
        over -= 1


def _cut(cell: str, space: int) -> str:
    return cell if len(cell) <= space else cell[: space - 1] + "…"


def table(results: Sequence[Result], width: int | None = None) -> Iterator[str]:
    """Yield all cases, then the groups."""
    if results:
        yield from aligned(case_rows(results), width)
        yield ""


def causes(results: Sequence[Result]) -> Iterator[str]:
    """Yield a line for each cause that many results share."""
    lines = [str(common) for common in common_causes(results)]
    if lines:
        yield from lines
        yield ""


def summary(results: Sequence[Result]) -> Iterator[str]:
    """Yield the counts by group."""
    rows = group_rows(results)
    yield from aligned(rows, right=frozenset(range(1, len(rows[0]))))


class Progress:
    """A progress bar, which is only shown on a terminal."""

    WIDTH = 30

    def __init__(self, total: int, stream: TextIO = sys.stderr) -> None:
        self._total = total
        self._done = 0
        self._stream = stream
        self._is_shown = stream.isatty()

    def step(self, result: Result) -> None:
        """Note that one more case has run."""
        self._done += 1
        if self._is_shown:
            filled = self.WIDTH * self._done // self._total
            bar = "#" * filled + "." * (self.WIDTH - filled)
            self._stream.write(f"\r\x1b[K[{bar}] {self._done}/{self._total} {result.case.id}")
            self._stream.flush()

    def clear(self) -> None:
        """Remove the bar."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def as_json(tested: str, role: str, results: Sequence[Result]) -> dict[str, Any]:
    """Return the results for programs: the tested peer, the number of each verdict, and each case."""
    counts = Counter(str(result.verdict) for result in results)
    return {
        "tested": tested,
        "role": role,
        "passed": all(result.verdict.passed for result in results),
        "counts": {str(verdict): counts[str(verdict)] for verdict in Verdict},
        "cases": [
            {
                "id": result.case.id,
                "group": result.case.group,
                "clause": result.case.clause,
                "sentence": result.case.sentence,
                "verdict": str(result.verdict),
                "happened": result.happened,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
    }


def as_junit(tested: str, role: str, results: Sequence[Result]) -> str:
    """Return the results for CI servers: JUnit's XML, with a suite for each group."""
    suites = ElementTree.Element("testsuites", name=f"{role} {tested}")
    for group in dict.fromkeys(result.case.group for result in results):
        members = [result for result in results if result.case.group == group]
        counts = Counter(result.verdict for result in members)
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=group,
            tests=str(len(members)),
            failures=str(counts[Verdict.FAILED]),
            errors="0",
            skipped=str(counts[Verdict.UNSUPPORTED]),
            time=f"{sum(result.seconds for result in members):.3f}",
        )
        for result in members:
            _add_case(suite, role, result)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ElementTree.Element, role: str, result: Result) -> None:
    case = result.case
    element = ElementTree.SubElement(
        suite, "testcase", classname=f"{role}.{case.group}", name=case.id, time=f"{result.seconds:.3f}"
    )
    words = f"{case.clause}: {case.sentence}"
    if result.verdict is Verdict.FAILED:
        ElementTree.SubElement(element, "failure", message=result.happened, type=str(result.verdict)).text = words
    elif result.verdict is Verdict.UNSUPPORTED:
        ElementTree.SubElement(element, "skipped", message=result.happened)
    elif result.verdict is not Verdict.OK:
        ElementTree.SubElement(element, "system-out").text = f"{result.verdict}: {words}\n{result.happened}"
