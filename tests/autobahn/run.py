"""Runs the Autobahn Testsuite against `rfc6455`: ``python tests/autobahn/run.py``, or ``tox -e autobahn``.

The suite's fuzzing client talks to our echo server, and our echo client to its fuzzing server; both sides are on this
machine. The suite needs a Python 2.7: the path in the variable ``PYTHON27``, a ``python2.7`` on the PATH, or one of
pyenv's. It is installed on first use, into ``.autobahn/`` at the top of the repository; give ``--wstest`` to use
another installation of it.

    --role server          only our server (default: both)
    --over asyncio         `rfc6455_io.asyncio` (default: `rfc6455` on plain sockets)
    --cases 1-7,9,10       groups; single cases, too: 6.4.2, 7.5.* (default: all)
    --json FILE            the verdicts for programs
    --rst FILE             the table for the documentation
    --reports DIRECTORY    the place for the suite's own detailed reports: server/index.html, client/index.html;
                           its progress is in wstest.log beside them (default: .autobahn/reports)

Groups 1 to 10 take about a minute for each role. Groups 12 and 13, compression, take several.

The exit code is 0 if every case is OK or INFORMATIONAL (the RFC leaves a choice), 1 if a case is not, or was not
reported, 2 if the suite could not be run, and 77 if there is no Python 2.7. The files: this one is the command,
`suite` installs and runs the suite, `report` counts, and `tests/support/testee` and `testee_asyncio` are under test.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

sys.path.append(str(Path(__file__).resolve().parents[1] / "support"))

from report import MISSING, Outcome, RoleReport, as_json, as_rst, as_text
from suite import HOME, NoPython27Error, Suite, SuiteError, find_wstest, fuzzing_client, fuzzing_server

import rfc6455

EXIT_FAILED, EXIT_BROKEN, EXIT_NO_PYTHON27 = 1, 2, 77


def main() -> int:
    # A signal that ends this process should end the suite, too: as an exception, it passes the blocks that do so.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_BROKEN))
    options = parse_arguments()
    try:
        wstest = find_wstest(options.wstest)
        testee = Testee(options.over)
        reports = [ROLES[role](wstest, options.reports / role, options.cases, testee) for role in options.role]
    except NoPython27Error as error:
        print(error, file=sys.stderr)
        return EXIT_NO_PYTHON27
    except SuiteError as error:
        print(error, file=sys.stderr)
        return EXIT_BROKEN
    write(reports, options.json, options.rst)
    return 0 if all(report.passed for report in reports) else EXIT_FAILED


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs the Autobahn Testsuite against rfc6455.")
    parser.add_argument("--role", type=parse_roles, default=list(ROLES), help="server, client or both (default)")
    parser.add_argument(
        "--over", choices=list(TESTEES), default="sockets", help="what is tested (default: %(default)s)"
    )
    parser.add_argument("--cases", type=parse_cases, default=["*"], help="such as 1-7,9,10 or 6.4.2 or all (default)")
    parser.add_argument("--wstest", type=Path, help="an installed wstest (default: installs it for a Python 2.7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the verdicts as JSON")
    parser.add_argument("--rst", type=Path, metavar="FILE", help="where to write the table as reStructuredText")
    parser.add_argument(
        "--reports",
        type=Path,
        metavar="DIRECTORY",
        default=HOME / "reports",
        help="where the suite leaves its own reports",
    )
    return parser.parse_args()


def parse_roles(text: str) -> list[str]:
    if text == "both":
        return list(ROLES)
    if text not in ROLES:
        raise argparse.ArgumentTypeError(f"{text!r} is not server, client or both")
    return [text]


def parse_cases(text: str) -> list[str]:
    """``1-3,6.4.2`` to the suite's patterns: ``1.*``, ``2.*``, ``3.*``, ``6.4.2``."""
    if text == "all":
        return ["*"]
    try:
        return [pattern for part in text.split(",") for pattern in parse_part(part)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} does not look like 1-7,10 or 6.4.2") from None


def parse_part(part: str) -> list[str]:
    if "." in part:
        return [part]
    first, _, last = part.partition("-")
    return [f"{group}.*" for group in range(int(first), int(last or first) + 1)]


# --- The two roles ------------------------------------------------------------------------------------------------


# The module that is tested, and what the reports call it.
TESTEES = {"sockets": ("testee", ""), "asyncio": ("testee_asyncio", ", asyncio")}


class Testee:
    """Our echo server and our echo client."""

    def __init__(self, over: str) -> None:
        module, name = TESTEES[over]
        self.module = importlib.import_module(module)
        build = "compiled" if rfc6455.__compiled__ else "pure"
        self.agent = f"rfc6455 {rfc6455.__version__} ({build}{name})"

    def try_case(self, port: int, case: str) -> None:
        """Run one case. A testee that breaks off fails it; the others are run nevertheless, as by a server."""
        try:
            self.module.converse(port, f"/runCase?casetuple={case}&agent={quote(self.agent)}")
        except Exception:
            traceback.print_exc()

    def update_reports(self, port: int) -> None:
        """Make the fuzzing server write its reports, and wait for it."""
        self.module.converse(port, f"/updateReports?agent={quote(self.agent)}")


def run_server(wstest: Path, reports: Path, patterns: list[str], testee: Testee) -> RoleReport:
    echo_server = testee.module.echo_server()
    with echo_server as port, fuzzing_client(wstest, reports, port, testee.agent, patterns) as suite:
        suite.wait()
    return read_report("server", testee.agent, suite)


def run_client(wstest: Path, reports: Path, patterns: list[str], testee: Testee) -> RoleReport:
    with fuzzing_server(wstest, reports, patterns) as suite:
        port = suite.listening_port()
        for case in suite.cases:
            testee.try_case(port, case)
        testee.update_reports(port)
    return read_report("client", testee.agent, suite)


ROLES: dict[str, Callable[[Path, Path, list[str], Testee], RoleReport]] = {"server": run_server, "client": run_client}


def read_report(role: str, agent: str, suite: Suite) -> RoleReport:
    """Return the outcome of every case that was to run, whether or not the suite has reported it."""
    index = suite.read_index(agent)
    return RoleReport(role, agent, tuple(read_outcome(case, index, suite) for case in suite.cases))


def read_outcome(case: str, index: dict[str, dict[str, str]], suite: Suite) -> Outcome:
    if case not in index:
        return Outcome(case, MISSING, MISSING, (f"not reported; see {suite.log}",))
    detail = suite.read_case(index[case])
    reasons = [detail["result"], detail["resultClose"]]
    if detail["remoteCloseCode"] is not None:
        reasons.append(f"testee closed with {detail['remoteCloseCode']} {detail['remoteCloseReason']!r}")
    return Outcome(case, detail["behavior"], detail["behaviorClose"], tuple(reasons))


def write(reports: list[RoleReport], json_file: Path | None, rst_file: Path | None) -> None:
    for report in reports:
        print(*as_text(report), "", sep="\n")
    if json_file:
        json_file.write_text(json.dumps(as_json(reports), indent=1) + "\n")
    if rst_file:
        rst_file.write_text("".join(f"{line}\n" for report in reports for line in as_rst(report)))


if __name__ == "__main__":
    sys.exit(main())
