"""Measures each library in turn, round after round, and keeps the figures as plain data.

What lives here: the order of measuring, and `Results`, from which reports are made, and which are written to a JSON
file. Not here: what is measured (`work.py`) and how it is shown (`report.py`).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from .libraries import Library, UnsupportedError
from .work import Work

LEAST_ROUNDS = 5

T = TypeVar("T")


@dataclass
class Row:
    """The figures of one work.

    :ivar rounds: for each library that can do the work, its figure in each round, in the unit of the work.
    :ivar reasons: for each of the others, the reason why it cannot.
    """

    name: str
    title: str
    group: str
    unit: str
    rounds: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def median(self, library: str) -> float:
        return statistics.median(self.rounds[library])


@dataclass
class Results:
    """The results of one run.

    :ivar environment: a description of the environment.
    :ivar libraries: the version of each library, in the order of the tables.
    :ivar absent: the reasons why the others were not measured.
    """

    environment: dict[str, str]
    libraries: dict[str, str]
    absent: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    def __getitem__(self, name: str) -> Row:
        """Return a row.

        :raises KeyError: if it is missing, as the figures of a library in it may be as well.
        """
        row = self.row(name)
        if row is None:
            raise KeyError(name)
        return row

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        data = json.loads(path.read_text())
        rows = [Row(**row) for row in data.pop("rows")]
        return cls(**data, rows=rows)


def environment(rounds: int) -> dict[str, str]:
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_model(),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "rounds": str(rounds),
    }


def processor_model() -> str:
    """Return the processor's model and its cores. On Linux, the model is in a file; elsewhere, Python asks the
    system."""
    cores = f"{os.cpu_count()} cores"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {cores}"


def run(
    works: Iterable[Work],
    libraries: Sequence[Library],
    absent: dict[str, str],
    rounds: int,
    progress: Callable[[str], object] = lambda _: None,
) -> Results:
    """Measure all works with all libraries.

    :param progress: a function that is called with the name of each work before it begins.
    :raises AssertionError: if a library does not do the work correctly.
    """
    results = Results(environment(rounds), {library.name: library.version for library in libraries}, absent)
    for work in works:
        progress(work.name)
        results.rows.append(measure(work, libraries, rounds))
    return results


def measure(work: Work, libraries: Sequence[Library], rounds: int) -> Row:
    """Check each library once, warm it up, and then take the rounds."""
    reasons = {library.name: _why_not(work, library) for library in libraries}
    able = [library for library in libraries if reasons[library.name] is None]
    for library in able:
        work.measure(library)
    figures: dict[str, list[float]] = {library.name: [] for library in able}
    for _, library in in_turns(able, rounds):
        figures[library.name].append(work.measure(library))
    unable = {name: reason for name, reason in reasons.items() if reason is not None}
    return Row(work.name, work.title, work.group, work.unit, figures, unable)


def in_turns(items: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Yield the number of each round, from 1, with each item. Each round begins with another item, so that changes in
    the processor's speed affect all of them equally."""
    for number in range(rounds):
        turn = number % max(len(items), 1)
        for item in (*items[turn:], *items[:turn]):
            yield number + 1, item


def _why_not(work: Work, library: Library) -> str | None:
    """Check a library, and return the reason if it cannot do this work at all."""
    try:
        work.check(library)
    except UnsupportedError as error:
        return str(error)
    return None
