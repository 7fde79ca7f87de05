"""Installs and runs the Autobahn Testsuite. Not here: anything about the program under test.

The suite is a Python 2.7 program, so it has a virtualenv of its own, in ``.autobahn/`` at the top of the repository.
It communicates with the testee over TCP, and with us through its standard output and the JSON files that it writes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1] / ".autobahn"
REQUIREMENTS = HERE / "requirements.txt"
LAUNCHER = HERE / "loopback.py"

# The report that names the others.
INDEX = "index.json"

# The last virtualenv that can make an environment of Python 2.7.
VIRTUALENV = "virtualenv<20.22"
ACCELERATOR = "wsaccel==0.6.6"


class SuiteError(Exception):
    """The suite cannot be installed, or was interrupted. The text gives the reason."""


class NoPython27Error(SuiteError):
    """There is no Python 2.7 to run the suite with."""


# --- Finding and installing ---------------------------------------------------------------------------------------


def find_wstest(given: Path | None) -> Path:
    """Return the ``wstest`` to use: the one given, or the one in ``.autobahn/``, which is installed on first use."""
    if given is None:
        return installed_wstest()
    if not given.is_file():
        raise SuiteError(f"there is no {given}")
    return given


def find_python27() -> Path:
    """Return the Python 2.7 of this machine: from ``PYTHON27``, the PATH, or pyenv."""
    for candidate in candidates_for_python27():
        if is_python27(candidate):
            return candidate
    raise NoPython27Error("found no Python 2.7; put python2.7 on the PATH, or its path in PYTHON27, or give --wstest")


def candidates_for_python27() -> Iterator[Path]:
    if named := os.environ.get("PYTHON27"):
        yield Path(named)
    if found := shutil.which("python2.7"):
        yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob("versions/2.7*/bin/python2.7"), reverse=True)


def is_python27(candidate: Path) -> bool:
    # Its existence is not enough: pyenv puts a python2.7 on the PATH that only says that no version is chosen.
    question = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"
    try:
        return subprocess.run([candidate, "-c", question], capture_output=True).returncode == 0
    except OSError:
        return False


def installed_wstest() -> Path:
    """Install the suite into ``.autobahn/`` unless this very list of requirements is there already."""
    environment = HOME / "python2.7"
    wstest = environment / "bin" / "wstest"
    stamp = HOME / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + ACCELERATOR.encode()).hexdigest()
    if not (wstest.exists() and stamp.exists() and stamp.read_text() == wanted):
        python27 = find_python27()
        print(f"installing the Autobahn Testsuite for {python27} in {HOME}", file=sys.stderr)
        stamp.unlink(missing_ok=True)
        make_environment(python27, environment)
        install_suite(environment / "bin" / "python")
        stamp.write_text(wanted)
    return wstest


def make_environment(python27: Path, environment: Path) -> None:
    """Make a virtualenv of Python 2.7, with an older virtualenv in an environment that is only there for that."""
    builder = HOME / "builder"
    venv.create(builder, with_pip=True)
    call([builder / "bin" / "python", "-m", "pip", "install", "--quiet", VIRTUALENV])
    call([builder / "bin" / "virtualenv", "--quiet", "--clear", "--python", python27, environment])


def install_suite(python: Path) -> None:
    pip: list[Path | str] = [python, "-W", "ignore", "-m", "pip", "--no-python-version-warning"]
    pip += ["install", "--quiet", "--no-deps"]
    call([*pip, "--requirement", REQUIREMENTS])
    try:
        call([*pip, ACCELERATOR])
    except SuiteError:
        print("could not build wsaccel (is there a C compiler?): the suite will be slow", file=sys.stderr)


def call(command: list[Path | str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SuiteError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")


# --- Running ------------------------------------------------------------------------------------------------------


class Suite:
    """One running ``wstest``.

    :ivar cases: the cases that it says it will run, once it has said so.
    :ivar port: where it listens, if it does.
    """

    def __init__(self, process: subprocess.Popen[str], reports: Path) -> None:
        self.process = process
        self.reports = reports
        self.log = reports / "wstest.log"
        self.cases: list[str] = []
        self.port: int | None = None
        self.error = "it left no report"
        self.listening_or_ended = threading.Event()
        self.reader = threading.Thread(target=self.read_output)
        self.reader.start()

    def read_output(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("w", buffering=1) as log:
            for line in self.process.stdout:
                log.write(line)
                self.note(line)
        self.listening_or_ended.set()

    def note(self, line: str) -> None:
        if line.startswith("Cases = "):
            self.cases = [str(case) for case in ast.literal_eval(line.removeprefix("Cases = "))]
        elif line.startswith("Port = "):
            self.port = int(line.removeprefix("Port = "))
            self.listening_or_ended.set()
        elif line.startswith("Error = "):
            self.error = line.removeprefix("Error = ").strip()

    def listening_port(self) -> int:
        """Wait until the suite listens; return the port."""
        self.listening_or_ended.wait()
        if self.port is None:
            raise SuiteError(f"the suite broke off: {self.error}; see {self.log}")
        return self.port

    def wait(self) -> None:
        """Wait until the suite has ended."""
        self.reader.join()

    def read_index(self, agent: str) -> dict[str, dict[str, Any]]:
        """Return the results by case, as ``index.json`` has them."""
        index = self.reports / INDEX
        if not index.exists():
            raise SuiteError(f"the suite broke off: {self.error}; see {self.log}")
        results: dict[str, dict[str, Any]] = json.loads(index.read_text()).get(agent, {})
        return results

    def read_case(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return everything that the suite reports about one result."""
        case: dict[str, Any] = json.loads((self.reports / result["reportfile"]).read_text())
        return case


@contextmanager
def fuzzing_client(wstest: Path, reports: Path, port: int, agent: str, patterns: list[str]) -> Iterator[Suite]:
    """Run the suite as a client of the server on ``port``. It ends by itself when all cases have run."""
    server = {"url": f"ws://127.0.0.1:{port}", "agent": agent}
    specification = {"servers": [server], "cases": patterns}
    with running(wstest, "fuzzingclient", specification, reports) as suite:
        yield suite


@contextmanager
def fuzzing_server(wstest: Path, reports: Path, patterns: list[str]) -> Iterator[Suite]:
    """Run the suite as a server on a port of its own choice, and end it on the way out."""
    specification = {"url": "ws://127.0.0.1:0", "cases": patterns}
    with running(wstest, "fuzzingserver", specification, reports) as suite:
        yield suite


@contextmanager
def running(wstest: Path, mode: str, specification: dict[str, Any], reports: Path) -> Iterator[Suite]:
    reports = reports.absolute()
    reports.mkdir(parents=True, exist_ok=True)
    (reports / INDEX).unlink(missing_ok=True)
    specification_file = reports / "specification.json"
    specification_file.write_text(json.dumps({**specification, "outdir": str(reports)}))
    command: list[Path | str] = [python_of(wstest), "-u", "-W", "ignore", LAUNCHER, "--mode", mode, "--webport", "0"]
    command += ["--spec", specification_file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        suite = Suite(process, reports)
        try:
            yield suite
        finally:
            process.terminate()
            suite.wait()


def python_of(wstest: Path) -> Path:
    """Return the Python that ``wstest`` belongs to: the one that was installed beside it."""
    for name in ("python2.7", "python2", "pypy", "python"):
        if (python := wstest.parent / name).exists():
            return python
    raise SuiteError(f"there is no Python 2.7 beside {wstest}")
