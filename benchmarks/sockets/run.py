"""The command: ``python benchmarks/sockets/run.py``. See benchmarks/README.md, or ``--help``. Linux only."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

# At the end of the path, so that an installed rfc6455 is measured rather than this source tree.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks import measure
from benchmarks.chat.programs import Program, Running, take_turns
from benchmarks.chat.run import allow_many_files
from benchmarks.command import Command, Reports, deliver, matches
from benchmarks.sockets import report
from benchmarks.sockets.load import Memory, Opening, Row, all_rows
from benchmarks.sockets.servers import SERVERS

COMMAND = Command(
    "sockets/run.py",
    "Echo servers on real sockets.",
    kind="row",
    of="server",
    rounds=7,
    quick="a tenth of the messages",
    quick_rounds=2,
)
QUICK_DIVISOR = 10

# The packages that the servers need, other than our own.
NEEDS = {
    "picows": ("picows",),
    "picows.websockets": ("picows",),
    "websockets": ("websockets",),
    "aiohttp": ("aiohttp",),
    "uvicorn, ours": ("uvicorn",),
    "uvicorn, websockets": ("uvicorn", "websockets"),
}
OURS = ("Listener", "coroutines", "threads")


def programs() -> tuple[list[Program], dict[str, str]]:
    """Return every server that can be measured here, and for each of the others, the reason why it cannot."""
    found: list[Program] = []
    absent: dict[str, str] = {}
    for name in SERVERS:
        missing = [package for package in NEEDS.get(name, ()) if importlib.util.find_spec(package) is None]
        if missing:
            absent[name] = f"not installed: {', '.join(missing)}"
        else:
            command = (sys.executable, str(Path(__file__).with_name("servers.py")), name)
            found.append(Program(name, version(name), command))
    return found, absent


def version(name: str) -> str:
    if name == "floor":
        return "no WebSocket: bytes counted, an answer made before"
    import rfc6455

    ours = f"rfc6455 {rfc6455.__version__}, {'Cython' if rfc6455.__compiled__ else 'Python'}"
    peers = [f"{package} {importlib.metadata.version(package)}" for package in NEEDS.get(name, ())]
    return ", ".join(peers if name not in (*OURS, "uvicorn, ours") else [ours, *peers])


def measure_row(row: Row | Opening | Memory, servers: Sequence[Program], rounds: int) -> measure.Row:
    """Measure the rounds of a row. In each round, each server is a new process."""

    def measured(server: Program) -> float:
        with Running(server) as running:
            return asyncio.run(row.measure(running, server.name == "floor"))

    taken, reasons = take_turns(row.name, servers, rounds, measured)
    unit = "B" if isinstance(row, Memory) else "s"
    return measure.Row(row.name, row.title, "sockets", unit, taken, reasons)


def run(options: argparse.Namespace) -> measure.Results:
    allow_many_files(2_000)
    found, absent = programs()
    servers = [program for program in found if matches(program.name, options.server)]
    environment = measure.environment(options.rounds)
    environment["loop"] = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
    results = measure.Results(environment, {server.name: server.version for server in servers}, absent)
    for row in all_rows(QUICK_DIVISOR if options.quick else 1):
        if matches(row.name, options.only):
            results.rows.append(measure_row(row, servers, options.rounds))
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    options = COMMAND.parse(arguments, (row.name for row in all_rows()))
    if options.list:
        for row in all_rows():
            print(f"{row.name:12} {row.title}")
        print("servers:", *SERVERS, sep="\n  ")
        return 0
    results = measure.Results.load(options.load) if options.load else run(options)
    return deliver(results, options, Reports(report.rst, report.plot, report.check_table))


if __name__ == "__main__":
    sys.exit(main())
