"""The results of a run: libFuzzer's last lines as figures, as text for people and as the table of the
documentation."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from harness import CORPUS

import rfc6455

# Such as: #14147  DONE   cov: 783 ft: 1659 corp: 173/28Kb lim: 781 exec/s: 307 rss: 48Mb
_STATUS = re.compile(r"^#\d+\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
_EXECUTIONS = re.compile(r"^stat::number_of_executed_units: *(\d+)", re.MULTILINE)
_SECONDS = re.compile(r"^Done \d+ runs in (\d+) second", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What one harness did.

    :ivar executions: how many inputs were tried.
    :ivar seconds: how long; 0 when a finding ended it early.
    :ivar edges: ways through the code that some input took.
    :ivar features: the same, with how often each was taken and what was compared.
    :ivar inputs: how many inputs together reach all that.
    :ivar findings: the files with inputs that failed.
    """

    name: str
    executions: int = 0
    seconds: int = 0
    edges: int = 0
    features: int = 0
    inputs: int = 0
    findings: tuple[str, ...] = ()

    @property
    def ran(self) -> bool:
        """Whether it began at all."""
        return self.executions > 0


def read_log(name: str, log: str, findings: Sequence[str]) -> Result:
    """Return the figures of a log, of its last line that has some."""
    executions, seconds = (int(found[-1]) if (found := each.findall(log)) else 0 for each in (_EXECUTIONS, _SECONDS))
    statuses = _STATUS.findall(log)
    edges, features, inputs = map(int, statuses[-1]) if statuses else (0, 0, 0)
    return Result(name, executions, seconds, edges, features, inputs, tuple(findings))


COLUMNS = ("harness", "seconds", "executions", "edges", "features", "inputs kept", "committed", "findings")


def row(result: Result) -> tuple[str, ...]:
    committed = sum(1 for _ in (CORPUS / result.name).glob("*"))
    figures = (result.seconds, result.executions, result.edges, result.features, result.inputs, committed)
    return (result.name, *(f"{figure}" for figure in figures), f"{len(result.findings)}")


def as_text(results: Sequence[Result]) -> str:
    rows = [COLUMNS, *map(row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(each, widths, strict=True)) for each in rows]
    lines += [f"{result.name}: build/fuzz/{result.name}/{file}" for result in results for file in result.findings]
    lines += [f"{result.name}: did not run; see build/fuzz/{result.name}/log" for result in results if not result.ran]
    return "\n".join(lines)


def as_rst(results: Sequence[Result]) -> str:
    """Return the table, and what it was made with."""
    made_with = {
        "rfc6455": f"{rfc6455.__version__}, pure Python",
        "atheris": version_of("atheris"),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
    }
    lines = [".. Made by tests/fuzz/run.py; do not edit.", ""]
    lines += [f"- {name}: {value}" for name, value in made_with.items()]
    lines += ["", ".. csv-table::", "   :class: figures", f"   :header: {quoted(COLUMNS)}", ""]
    lines += [f"   {quoted(row(result))}" for result in results]
    return "\n".join(lines) + "\n"


def quoted(cells: Sequence[str]) -> str:
    return ", ".join(f'"{cell}"' for cell in cells)


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
