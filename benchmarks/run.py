"""The command: ``python benchmarks/run.py``. See README.md, or ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

# At the end of the path, so that an installed rfc6455 is measured rather than this source tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import measure, report
from benchmarks.command import Command, Reports, deliver, matches
from benchmarks.libraries import installed
from benchmarks.work import FULL, QUICK, Scale, Work, all_works

COMMAND = Command(
    "run.py",
    "Speed of rfc6455 beside its peers.",
    kind="work",
    of="library",
    rounds=7,
    quick="a tenth of the messages",
    quick_rounds=measure.LEAST_ROUNDS,
    least_rounds=measure.LEAST_ROUNDS,
)


def selected_works(scale: Scale, patterns: Sequence[str] | None) -> Iterator[Work]:
    return (work for work in all_works(scale) if matches(work.name, patterns))


async def run(options: argparse.Namespace) -> measure.Results:
    """Measure. This is a coroutine only because picows and aiohttp ask for the running loop; nothing in it waits."""
    libraries, absent = installed()
    chosen = [library for library in libraries if matches(library.name, options.library)]
    works = selected_works(QUICK if options.quick else FULL, options.only)
    return measure.run(works, chosen, absent, options.rounds, lambda name: print(name, file=sys.stderr))


def main(arguments: Sequence[str] | None = None) -> int:
    options = COMMAND.parse(arguments, (work.name for work in all_works(FULL)))
    if options.list:
        for work in selected_works(FULL, options.only):
            print(f"{work.name:28} {work.title}")
        return 0
    results = measure.Results.load(options.load) if options.load else asyncio.run(run(options))
    return deliver(results, options, Reports(report.rst, report.plot, report.check_table))


if __name__ == "__main__":
    sys.exit(main())
