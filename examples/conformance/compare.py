"""Run the cases against the echo servers of `peers`, and write the results as a page of the documentation.

    python examples/conformance/compare.py                     all servers, to docs/conformance/peers.rst
    python examples/conformance/compare.py --output FILE NAME...

The page states versions and counts, and nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from check import try_server
from exchange import Server
from judge import Result, Verdict
from peers import HOST, PEERS, installed, version_of
from results import Progress, summary

import rfc6455
from rfc6455.testing.cases import GROUPS, Case, cases_for

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "conformance" / "peers.rst"
COMMAND = "python examples/conformance/compare.py"

# The time to wait for an answer, in seconds.
TIMEOUT = 2.0

# The meanings of the verdicts, for the page.
MEANINGS = {
    Verdict.OK: "what the case expects",
    Verdict.INFORMATIONAL: "another result, where the RFC leaves the choice",
    Verdict.NON_STRICT: "no MUST is broken, but the answer is not the recommended one, or arrives late",
    Verdict.UNSUPPORTED: "the case needs something optional that was not agreed on, such as permessage-deflate",
    Verdict.FAILED: "everything else",
}

RECOMMENDED = (Verdict.OK, Verdict.INFORMATIONAL)
UNBROKEN = (*RECOMMENDED, Verdict.NON_STRICT)

Runs = Mapping[str, Sequence[Result]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    cases = cases_for(rfc6455.SERVER)
    runs: dict[str, Sequence[Result]] = {}
    for name in options.names or installed():
        with running(name) as uri:
            progress = Progress(len(cases))
            runs[name] = try_server(Server(uri, TIMEOUT), cases, progress.step)
            progress.clear()
        print(f"{name} {version_of(name)}", *summary(runs[name]), "", sep="\n")
    options.output.write_text("\n".join(page(runs, cases)) + "\n", encoding="utf-8")
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs the cases against the servers of several libraries.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"from {', '.join(PEERS)}; by default all that are installed"
    )
    parser.add_argument("--output", type=Path, default=PAGE, metavar="FILE", help="the page to write")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(PEERS):
        parser.error(f"no server is called {', '.join(sorted(unknown))}")
    return options


@contextmanager
def running(name: str) -> Iterator[rfc6455.URI]:
    """Run an echo server in a process of its own, and yield its address."""
    command = [sys.executable, str(HERE / "peers.py"), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError(f"the server of {name} does not start")
            yield rfc6455.parse_uri(f"ws://{HOST}:{port}/")
        finally:
            process.terminate()


# ---- The page ----

INTRODUCTION = """\
.. Made by: {command}

The peers, side by side
=======================

This page was written by ``{command}``. It runs the {count} cases for servers of
``rfc6455.testing.cases`` against a small echo server of each library, with the library's defaults. The servers are in
``examples/conformance/peers.py``. rfc6455 and wsproto, which do no I/O, are served by threads, and picows by its
``picows.websockets``.

The cases were written for this project, so for rfc6455, they only show that it does what its authors expect of a
server. ``python examples/conformance/check.py ws://HOST:PORT/`` checks any server, and prints each case with its
section, what was expected and what happened.
"""


def page(runs: Runs, cases: Sequence[Case]) -> Iterator[str]:
    yield from INTRODUCTION.format(command=COMMAND, count=len(cases)).splitlines()
    yield ""
    yield from rst_table("Versions", [("Library", "Version"), *versions(runs)])
    yield from rst_table("Cases with no MUST broken: all but FAILED", rows_by_group(runs, UNBROKEN))
    yield from rst_table("Cases with the recommended answer: OK or INFORMATIONAL", rows_by_group(runs, RECOMMENDED))
    yield from rst_table("Verdicts", verdict_rows(runs))
    for verdict, meaning in MEANINGS.items():
        yield f"- **{verdict}**: {meaning}."


def versions(runs: Runs) -> Iterator[tuple[str, str]]:
    yield from ((name, version_of(name)) for name in runs)
    yield platform.python_implementation(), platform.python_version()


def rows_by_group(runs: Runs, wanted: Collection[Verdict]) -> list[tuple[str, ...]]:
    """Return rows, with the heading first and the total last: the number of cases in which each library got one of
    these verdicts, and the number that were tried."""
    groups = [*GROUPS, "all"]
    cells = ((group, *(share(results, group, wanted) for results in runs.values())) for group in groups)
    return [("Group", *runs), *cells]


def share(results: Sequence[Result], group: str, wanted: Collection[Verdict]) -> str:
    counts = Counter(result.verdict for result in results if group in (result.case.group, "all"))
    return f"{sum(counts[verdict] for verdict in wanted)} / {counts.total() - counts[Verdict.UNSUPPORTED]}"


def verdict_rows(runs: Runs) -> list[tuple[str, ...]]:
    counts = {name: Counter(result.verdict for result in results) for name, results in runs.items()}
    return [
        ("Verdict", *runs),
        *((str(verdict), *(str(counts[name][verdict]) for name in runs)) for verdict in Verdict),
    ]


def rst_table(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f".. list-table:: {title}"
    yield "   :header-rows: 1"
    yield ""
    for row in rows:
        for index, cell in enumerate(row):
            yield f"   {'-' if index else '* -':>3} {cell}"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
