"""The results of a run: outcomes, counts by group, and the same table for a terminal, a document and a program.

All figures are from the suite's own reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GROUPS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Closing",
    "9": "Limits and speed",
    "10": "Automatic fragmentation",
    "12": "Compression: payloads",
    "13": "Compression: parameters",
}

# The suite's words. INFORMATIONAL is what it says of the cases on which the RFC leaves the choice.
PASSED = frozenset({"OK", "INFORMATIONAL"})
MISSING = "MISSING"


@dataclass(frozen=True)
class Outcome:
    """The suite's verdict on one case: on the answers, and on the way in which the connection was closed."""

    case: str
    behavior: str
    behavior_close: str
    reasons: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return self.case.partition(".")[0]

    @property
    def verdict(self) -> str:
        if self.behavior == self.behavior_close:
            return self.behavior
        return f"{self.behavior} / {self.behavior_close}"

    @property
    def passed(self) -> bool:
        return {self.behavior, self.behavior_close} <= PASSED


@dataclass(frozen=True)
class RoleReport:
    """All outcomes of one role."""

    role: str
    agent: str
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.passed]

    @property
    def passed(self) -> bool:
        return bool(self.outcomes) and not self.failures


def table(report: RoleReport) -> list[list[str]]:
    """Return the rows, heading first, total last: a group, its number of cases, and how often each verdict was
    given."""
    verdicts = sorted({outcome.verdict for outcome in report.outcomes}, key=verdict_order)
    counts = Counter((outcome.group, outcome.verdict) for outcome in report.outcomes)
    rows = [["Group", "Cases", *verdicts]]
    for group in sorted({outcome.group for outcome in report.outcomes}, key=int):
        numbers = [counts[group, verdict] for verdict in verdicts]
        rows.append([f"{group} {GROUPS.get(group, '')}", str(sum(numbers)), *map(str, numbers)])
    totals = Counter(outcome.verdict for outcome in report.outcomes)
    rows.append(["All", str(totals.total()), *(str(totals[verdict]) for verdict in verdicts)])
    return rows


def verdict_order(verdict: str) -> tuple[bool, bool, str]:
    return verdict != "OK", verdict not in PASSED, verdict


def as_text(report: RoleReport) -> Iterator[str]:
    """Yield the table in aligned columns, then a line for each case that did not pass."""
    rows = table(report)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield f"{report.agent} as a {report.role}"
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
    for failure in report.failures:
        yield f"{failure.case}: {failure.verdict}: {'; '.join(failure.reasons)}"


def as_rst(report: RoleReport) -> Iterator[str]:
    """Yield the table for the documentation."""
    yield f".. list-table:: {report.agent} as a {report.role}"
    yield "   :header-rows: 1"
    yield ""
    for row in table(report):
        for index, cell in enumerate(row):
            yield f"   {'-' if index else '* -':>3} {cell}"
    yield ""


def as_json(reports: list[RoleReport]) -> dict[str, Any]:
    """Return the results for programs: by role the agent, whether all passed, and the verdict on each case."""
    return {
        report.role: {
            "agent": report.agent,
            "passed": report.passed,
            "cases": {
                outcome.case: {
                    "behavior": outcome.behavior,
                    "behavior_close": outcome.behavior_close,
                    "reasons": list(outcome.reasons),
                }
                for outcome in report.outcomes
            },
        }
        for report in reports
    }
