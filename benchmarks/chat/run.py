"""The command: ``python benchmarks/chat/run.py``. See benchmarks/README.md, or ``--help``."""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

# At the end, so that an installed rfc6455 is the one that is measured, and this source tree only without one.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks.chat import report
from benchmarks.chat.cases import CASES, FULL, QUICK, Case, Scale
from benchmarks.chat.crowd import LoadError
from benchmarks.chat.programs import Program, installed
from benchmarks.command import Reports, add_results_options, deliver, matches
from benchmarks.measure import Results, Row, environment

QUICK_ROUNDS = 2


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/chat/run.py", description="Load on the chat and on its peers.")
    parser.add_argument("--list", action="store_true", help="print the cases and the servers that are here, and end")
    parser.add_argument("--only", action="append", metavar="CASE", help="a case, or a pattern")
    parser.add_argument("--server", action="append", metavar="NAME", help="a server, or a pattern such as 'rfc6455*'")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="%(default)s by default")
    parser.add_argument("--quick", action="store_true", help="smaller figures and 2 rounds: a rough look")
    add_results_options(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = QUICK_ROUNDS
    if not any(matches(case.name, options.only) for case in CASES):
        parser.error(f"no case is named {' or '.join(options.only)}; see --list")
    return options


def allow_many_files(wanted: int) -> None:
    """Each client is a file descriptor of this process, and one of the server's, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))


def measure(case: Case, servers: Sequence[Program], rounds: int, scale: Scale) -> list[Row]:
    """Take the rounds of one case: in each of them every server has its turn, and another one begins.

    A server that fails is not tried again; it has no figures, but the reason.
    """
    servers = [server for server in servers if server.serves(case.name)]
    figures: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
    reasons: dict[str, str] = {}
    for number in range(rounds):
        turn = number % max(len(servers), 1)
        for server in [*servers[turn:], *servers[:turn]]:
            if server.name in reasons:
                continue
            print(f"{case.name}, round {number + 1}: {server.name}", file=sys.stderr)
            try:
                figures[server.name].append(case.measure(server, scale))
            except LoadError as error:
                reasons[server.name] = str(error)
    rows = []
    for figure in case.figures:
        taken = {name: [found[figure.name] for found in of] for name, of in figures.items() if name not in reasons}
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
    :param scale: in place of the one that the arguments choose.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse_arguments(arguments)
    if options.list:
        servers, absent = installed()
        print(*(f"{case.name}: {case.title(FULL)}" for case in CASES), sep="\n")
        print(*(f"{server.name} {server.version}" for server in servers), sep="\n")
        print(*(f"{name}: {reason}" for name, reason in absent.items()), sep="\n")
        return 0
    results = Results.load(options.load) if options.load else run(options, scale or (QUICK if options.quick else FULL))
    return deliver(results, options, Reports(report.markdown, report.page, report.plot, report.check_table))


if __name__ == "__main__":
    sys.exit(main())
