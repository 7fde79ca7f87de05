"""The servers, and how one is started, watched and stopped.

Each is a process of its own and serves the same chat: a text is sent unchanged to all others. Compression, keepalive
and rate limits are off everywhere. The figures of a process come from Linux: its CPU clock and `/proc`.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.measure import in_turns

from .crowd import LoadError

T = TypeVar("T")

COMPILED = "rfc6455 compiled"
PURE = "rfc6455 pure"
SOCKETIFY = "socketify"
PICOWS = "picows"
WS = "ws"
ASYNCIO = "websockets asyncio"
THREADS = "websockets threads"
AIOHTTP = "aiohttp"
FLOOR = "floor of threads"

HERE = Path(__file__).resolve().parent
CHAT = HERE.parents[1] / "examples" / "chat" / "server.py"
SWITCHES = tuple(
    part
    for name in ("rate", "address-rate", "address-connections", "clients", "ping-interval")
    for part in (f"--{name}", "0")
)

# The time in seconds that a server may take to start and to stop.
START = 15.0
STOP = 5.0

# Linux derives the number of a process's CPU clock from its id; see clock_getcpuclockid(3).
_CPU_CLOCK = 2


class AbsentError(Exception):
    """The server cannot run here. The message gives the reason, for the table."""


@dataclass(frozen=True)
class Program:
    """One server.

    :ivar command: the command that starts it; a port number is added.
    :ivar environment: changes to the environment variables.
    :ivar cases: the cases that it serves; by default all.
    """

    name: str
    version: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cases: tuple[str, ...] = ()

    def serves(self, case: str) -> bool:
        return not self.cases or case in self.cases


class Running:
    """A server's process, from `__enter__` to `__exit__`, and its figures."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def __enter__(self) -> Running:
        self.port = free_port()
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*self._program.command, str(self.port)],
            env={**os.environ, **self._program.environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _wait_until_it_listens(self) -> None:
        end = time.monotonic() + START
        while self._process.poll() is None and time.monotonic() < end:
            if self._listens():
                return
            time.sleep(0.02)
        self._log.seek(0)
        raise LoadError(f"it does not start: {self._log.read()[-200:].decode(errors='replace').strip()}")

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def cpu(self) -> float:
        """Return the processor time that it has taken so far, user and system, in seconds."""
        return time.clock_gettime(~self._process.pid << 3 | _CPU_CLOCK)

    def memory(self) -> int:
        """Return the resident memory, in bytes."""
        return self._status("VmRSS") * 1024

    def threads(self) -> int:
        return self._status("Threads")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition(f"\n{name}:")[2].split()[0])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


# The servers that can run here


def installed() -> tuple[list[Program], dict[str, str]]:
    """Return every server that can be measured here, and for each of the others, the reason why it cannot."""
    candidates: dict[str, Callable[[str], Program]] = {
        COMPILED: _compiled,
        PURE: _pure,
        SOCKETIFY: _on_package,
        PICOWS: _on_package,
        WS: _on_node,
        ASYNCIO: _on_package,
        THREADS: _on_package,
        AIOHTTP: _on_package,
        FLOOR: _floor,
    }
    made = {name: _made(make, name) for name, make in candidates.items()}
    programs = [program for program in made.values() if isinstance(program, Program)]
    return programs, {name: reason for name, reason in made.items() if isinstance(reason, str)}


def _made(make: Callable[[str], Program], name: str) -> Program | str:
    try:
        return make(name)
    except AbsentError as error:
        return str(error)


def _compiled(name: str) -> Program:
    import rfc6455

    if not rfc6455.__compiled__:
        raise AbsentError("not built: `pip install .` where a C compiler is")
    # The place of the package, which may be a source tree.
    path = os.pathsep.join((str(Path(rfc6455.__file__).parents[1]), os.environ.get("PYTHONPATH", "")))
    return Program(name, f"{rfc6455.__version__}, Cython", _chat(), {"PYTHONPATH": path})


def _pure(name: str) -> Program:
    """Return the chat on the sources without the extension modules, in a folder that comes before the installed
    ones."""
    import rfc6455

    directory = tempfile.mkdtemp(prefix="rfc6455-load-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    source = Path(rfc6455.__file__).parent
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "*.html", "__pycache__")
    shutil.copytree(source, Path(directory, "rfc6455"), ignore=ignored)
    return Program(name, f"{rfc6455.__version__}, Python", _chat(), {"PYTHONPATH": directory})


def _chat() -> tuple[str, ...]:
    return (sys.executable, str(CHAT), "--host", "127.0.0.1", *SWITCHES, "--port")


def _on_package(name: str) -> Program:
    package = name.partition(" ")[0]
    if importlib.util.find_spec(package) is None:
        raise AbsentError(f"not installed: `pip install {package}`")
    program = HERE / "servers" / f"on_{name.replace(' ', '_')}.py"
    return Program(name, importlib.metadata.version(package), (sys.executable, str(program)))


def _floor(name: str) -> Program:
    command = (sys.executable, str(HERE / "servers" / "floor.py"))
    return Program(name, f"Python {platform.python_version()}", command, cases=("crowd",))


def _on_node(name: str) -> Program:
    node = shutil.which("node")
    if node is None:
        raise AbsentError("no Node.js")
    asks = "console.log(require('ws/package.json').version + ', Node.js ' + process.versions.node)"
    found = subprocess.run(
        [node, "-e", asks], cwd=HERE / "servers", capture_output=True, text=True, timeout=START, check=False
    )
    if found.returncode:
        raise AbsentError("not installed: `npm install --no-save ws`")
    return Program(name, found.stdout.strip(), (node, str(HERE / "servers" / "on_ws.js")))


def take_turns(
    what: str, servers: Sequence[Program], rounds: int, take: Callable[[Program], T]
) -> tuple[dict[str, list[T]], dict[str, str]]:
    """Return the result of each server in each round, and the reasons why some failed, which have no figures.

    A server that fails is not tried again.

    :param what: the name of the measurement, to be printed with each turn.
    """
    found: dict[str, list[T]] = {server.name: [] for server in servers}
    reasons: dict[str, str] = {}
    for number, server in in_turns(servers, rounds):
        if server.name in reasons:
            continue
        print(f"{what}, round {number}: {server.name}", file=sys.stderr)
        try:
            found[server.name].append(take(server))
        except LoadError as error:
            reasons[server.name] = str(error)
    return {name: taken for name, taken in found.items() if name not in reasons}, reasons
