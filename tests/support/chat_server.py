"""The basis of the chat's tests: the server as a process of its own, and clients made of a socket and the library."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from child import Output, Talkative
from ports import keep_port

import rfc6455

ROOT = Path(__file__).resolve().parents[2]
CHAT = ROOT / "examples" / "chat"

# A program that runs another so that signals come in the gap before it waits.
LATE_SIGNAL = Path(__file__).with_name("late_signal.py")

# A program that runs the server with something in it broken.
BROKEN_CHAT = Path(__file__).with_name("broken_chat.py")

# Long enough for a busy machine; nothing waits so long unless it fails.
PATIENCE = 60.0

# For a test that is slow to read or to send. A test of these deadlines has its own switches, which take precedence.
UNHURRIED = ("--ping-interval", "0", "--open-timeout", str(PATIENCE))

# For a server that waits as long for its clients when it stops.
PATIENT = ("--stop-timeout", str(PATIENCE), "--close-timeout", str(PATIENCE))

RESET = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}: close() sends RST


class ChatServer(Talkative):
    """The chat's server in a process, on a port of 127.0.0.1 that it keeps through restarts.

    :param runner: a program that runs the server's, such as `LATE_SIGNAL`.
    """

    def __init__(
        self,
        *arguments: str,
        python: str = sys.executable,
        program: Path = CHAT / "server.py",
        runner: Path | None = None,
    ) -> None:
        self.arguments = arguments
        self.command = [python, *([] if runner is None else [str(runner)]), str(program)]
        self.host = "127.0.0.1"
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self._kept: socket.socket | None = None

    def __enter__(self) -> ChatServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *more: str) -> None:
        if self._kept is None:
            self.port, self._kept = keep_port()
        self.process = subprocess.Popen(
            [*self.command, "--host", self.host, "--port", str(self.port), *UNHURRIED, *self.arguments, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        self._output = Output(self.process, PATIENCE)
        try:
            self.wait_for(rf"https?://\S+:{self.port}/")
        except AssertionError:
            self.close()
            raise

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        assert self.process is not None
        code = self.process.wait(PATIENCE)
        self._output.finish()
        self.process = None
        return code

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.ended()

    def close(self) -> None:
        """End it for good, if it still runs."""
        self.kill()
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def memory(self) -> int:
        """Return the server's resident memory, in bytes."""
        return self._status("VmRSS") * 1024

    def threads(self) -> int:
        return self._status("Threads")

    def descriptors(self) -> int:
        """Return how many file descriptors the server has open."""
        return sum(1 for _ in self._proc("fd").iterdir())

    def _proc(self, name: str) -> Path:
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/{name}")
        if not path.exists():
            pytest.skip("only Linux tells a process's memory, threads and descriptors in /proc")
        return path

    def _status(self, field: str) -> int:
        return int(self._proc("status").read_text().partition(f"{field}:")[2].split()[0])

    def connect(self, **options: int) -> socket.socket:
        """Return a connected socket; ``options`` are set before it connects (``SO_RCVBUF=...``)."""
        sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        sock.settimeout(PATIENCE)
        for name, value in options.items():
            sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        sock.connect((self.host, self.port))
        return sock

    def client(self, name: str = "", room: str = "/", **more: Any) -> Client:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return Client(self.connect(), f"ws://{host}:{self.port}{room}", name, **more)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Send a plain GET, and return the status, the headers in lower case, and the body."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **headers}.items())
        head, _, body = self.ask(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode()).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), {key.lower(): value for key, value in pairs}, body.decode()

    def ask(self, request: bytes) -> bytes:
        """Send the bytes, and return everything that comes until the end of file."""
        with self.connect() as sock:
            sock.sendall(request)
            return b"".join(received(sock))


def missing(what: str) -> NoReturn:
    """Skip the test because ``what`` is missing; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Check again and again, and let other threads run in between."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


def received(sock: socket.socket) -> Iterator[bytes]:
    while data := sock.recv(65536):
        yield data


class Client:
    """A client of the chat that reads when it is asked to."""

    def __init__(self, sock: socket.socket, uri: str, name: str = "", **options: Any) -> None:
        self.sock = sock
        self.name = name
        self._events: list[rfc6455.Event] = []
        handshake = rfc6455.ClientHandshake(uri, **options)
        sock.sendall(handshake.data_to_send())
        while (ws := handshake.receive_data(sock.recv(65536))) is None:
            pass
        self.ws = ws
        self.history = self._greeted()
        if name:
            self.send(f"* name {name}")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _greeted(self) -> list[str]:
        """Return the server's greeting for a client that joins; the history is the important part."""
        self.greeting = [self.text()]
        count = int(self.greeting[0].removeprefix("* history "))
        history: list[str] = []
        while len(history) < count:
            self.greeting.append(text := self.text())
            history += [] if text.startswith("* at ") else [text]
        self.here = self.text().removeprefix("* here: ").split(", ")
        return history

    def send(self, *texts: str) -> None:
        for text in texts:
            self.ws.send_text(text)
        self.sock.sendall(self.ws.data_to_send())

    def say(self, *words: object) -> None:
        self.send(*(f"{self.name}: {word}" for word in words))

    def event(self) -> rfc6455.Event:
        while not self._events:
            self._events = self.ws.receive_data(None if self.ws.unread else self.sock.recv(65536))
            self.sock.sendall(self.ws.data_to_send())
        return self._events.pop(0)

    def text(self) -> str:
        event = self.event()
        while isinstance(event, (rfc6455.Ping, rfc6455.Pong)):
            event = self.event()
        assert isinstance(event, rfc6455.TextMessage), event
        return event.text

    def said(self, count: int, wanted: Callable[[str], bool] = lambda text: not text.startswith("* ")) -> list[str]:
        """Return the next ``count`` texts that are wanted; by default what people said."""
        texts: list[str] = []
        while len(texts) < count:
            text = self.text()
            if wanted(text):
                texts.append(text)
        return texts

    def closed(self) -> rfc6455.Closed:
        """Read on until the connection is closed."""
        while not isinstance(event := self.event(), rfc6455.Closed):
            pass
        return event

    def close(self) -> rfc6455.Closed:
        self.ws.close()
        self.sock.sendall(self.ws.data_to_send())
        closed = self.closed()
        self.sock.close()
        return closed


@contextmanager
def open_session(**settings: Any) -> Iterator[Any]:
    """Yield a session with an open connection that no thread and no caretaker takes care of."""
    from service.settings import Settings
    from service.setup import Service
    from service.visitor import Visitor
    from session import Session

    no_limits = {"address_rate": 0, "address_connections": 0, "clients": 0}
    service = Service(Settings(**{**no_limits, **settings}))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(rfc6455.ClientHandshake("ws://localhost/").data_to_send())
        visitor = Visitor("127.0.0.1", 1, service)
        assert not visitor.admit()
        one = Session(ours, visitor, service)
        one.look()
        one._open()
        one.peer = theirs
        yield one
        service.caretaker.start()  # only now, so that nothing is done behind the test's back
        service.caretaker.stop()


def frame(first: int, payload: bytes = b"", *, masked: bool = True, length: bytes | None = None) -> bytes:
    """Return a frame by hand, right or wrong: ``first`` is its first byte, ``length`` an extended length that is
    unusual."""
    size = len(payload)
    if length is None:
        length = b"" if size < 126 else size.to_bytes(2, "big") if size < 65536 else size.to_bytes(8, "big")
    seven = {0: size, 2: 126, 8: 127}[len(length)]
    key = b"\x37\xfa\x21\x3d" if masked else b""
    body = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload)) if masked else payload
    return bytes([first, seven | (0x80 if masked else 0)]) + length + key + body


def copy_of_the_tree(target: Path) -> Path:
    """Copy the files of a clone that the chat needs, and return the path of its server."""
    for part in ("rfc6455", "examples"):
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c"))
    return target / "examples" / "chat" / "server.py"
