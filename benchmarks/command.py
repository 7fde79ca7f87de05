"""The common part of the benchmarks' commands: the choice of figures, and the reports."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from .measure import Results


class Reports(NamedTuple):
    """How results are shown."""

    rst: Callable[[Results], str]
    plot: Callable[[Results, Path], None]
    # The table of the targets, and whether all are met.
    check_table: Callable[[Results], tuple[str, bool]]


class Command(NamedTuple):
    """The differences between the commands: ``benchmarks/{name}`` measures each ``kind`` with each ``of``.

    :ivar quick: the effect of ``--quick`` besides fewer rounds.
    """

    name: str
    description: str
    kind: str
    of: str
    rounds: int
    quick: str
    quick_rounds: int
    least_rounds: int = 1

    def parse(self, arguments: Sequence[str] | None, names: Iterable[str]) -> argparse.Namespace:
        """
        :param names: all names from which ``--only`` can choose.
        """
        parser = argparse.ArgumentParser(prog=f"benchmarks/{self.name}", description=self.description)
        parser.add_argument("--list", action="store_true", help=f"print the names for --only and --{self.of}")
        parser.add_argument("--only", action="append", metavar=self.kind.upper(), help=f"a {self.kind}, or a pattern")
        parser.add_argument(f"--{self.of}", action="append", metavar="NAME", help=f"a {self.of}, or a pattern")
        parser.add_argument("--rounds", type=int, default=self.rounds, metavar="N", help="%(default)s by default")
        help_for_quick = f"{self.quick} and {self.quick_rounds} rounds: a rough look"
        parser.add_argument("--quick", action="store_true", help=help_for_quick)
        _add_results_options(parser)
        options = parser.parse_args(arguments)
        if options.quick:
            options.rounds = self.quick_rounds
        if options.rounds < self.least_rounds:
            parser.error(f"--rounds must be at least {self.least_rounds}")
        if not any(matches(name, options.only) for name in names):
            parser.error(f"no {self.kind} is named {' or '.join(options.only)}; see --list")
        return options


def _add_results_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="compare with the targets; exit code 1 unless all pass")
    parser.add_argument("--load", type=Path, metavar="FILE", help="measure nothing, read the figures from a JSON file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of all rounds")
    parser.add_argument("--rst", type=Path, metavar="FILE", help="write the tables, as in the documentation")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them (.svg or .png; needs matplotlib)")


def matches(name: str, patterns: Sequence[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


def deliver(results: Results, options: argparse.Namespace, reports: Reports) -> int:
    """Print and write the reports that the options ask for, and return the exit code."""
    tables = reports.rst(results)
    print(tables)
    if options.json:
        results.save(options.json)
    if options.rst:
        options.rst.write_text(tables, encoding="utf-8")
    if options.plot:
        reports.plot(results, options.plot)
    if not options.check:
        return 0
    verdicts, passed = reports.check_table(results)
    print(verdicts)
    return 0 if passed else 1
