"""The command: ``python benchmarks/chat/run.py``. See benchmarks/README.md, or ``--help``."""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

# At the end of the path, so that an installed rfc6455 is measured rather than this source tree.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks.chat import report
from benchmarks.chat.cases import CASES, FULL, QUICK, Case, Scale
from benchmarks.chat.programs import Program, installed, take_turns
from benchmarks.command import Command, Reports, deliver, matches
from benchmarks.measure import Results, Row, environment

COMMAND = Command(
    "chat/run.py",
    "Load on the chat and on its peers.",
    kind="case",
    of="server",
    rounds=5,
    quick="smaller figures",
    quick_rounds=2,
)


def allow_many_files(wanted: int) -> None:
    """Each client is a file descriptor of this process, and one of the server's, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))


def measure(case: Case, servers: Sequence[Program], rounds: int, scale: Scale) -> list[Row]:
    """Take the rounds of one case."""
    servers = [server for server in servers if server.serves(case.name)]
    figures, reasons = take_turns(case.name, servers, rounds, lambda server: case.measure(server, scale))
    rows = []
    for figure in case.figures:
        taken = {name: [found[figure.name] for found in of] for name, of in figures.items()}
        rows.append(Row(figure.name, figure.title, case.title(scale), figure.unit, taken, dict(reasons)))
    return rows


def run(options: argparse.Namespace, scale: Scale) -> Results:
    allow_many_files(2 * scale.crowd)
    programs, absent = installed()
    servers = [program for program in programs if matches(program.name, options.server)]
    results = Results(environment(options.rounds), {server.name: server.version for server in servers}, absent)
    for case in CASES:
        if matches(case.name, options.only):
            results.rows += measure(case, servers, options.rounds, scale)
    return results


def main(arguments: Sequence[str] | None = None, scale: Scale | None = None) -> int:
    """
    :param scale: instead of the one that the arguments choose.
    """
    options = COMMAND.parse(arguments, (case.name for case in CASES))
    if options.list:
        servers, absent = installed()
        print(*(f"{case.name}: {case.title(FULL)}" for case in CASES), sep="\n")
        print(*(f"{server.name} {server.version}" for server in servers), sep="\n")
        print(*(f"{name}: {reason}" for name, reason in absent.items()), sep="\n")
        return 0
    results = Results.load(options.load) if options.load else run(options, scale or (QUICK if options.quick else FULL))
    return deliver(results, options, Reports(report.rst, report.plot, report.check_table))


if __name__ == "__main__":
    sys.exit(main())
