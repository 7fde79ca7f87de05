"""The line client as a program, with an echo server and with servers that misbehave."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import CLOSE, PING, TEXT, close_payload, to
from programs import EXAMPLES, PATIENCE, Program, check_echo

import rfc6455
from rfc6455 import CLIENT

COMMAND = [sys.executable, str(EXAMPLES / "client_asyncio.py")]
BAD_UTF8 = to(CLIENT, TEXT, b"\xff")


def run(uri: str, *arguments: str, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, uri, *arguments], input=typed, capture_output=True, timeout=PATIENCE)


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    with Program("echo_asyncio.py", "--protocol") as program:
        yield program
        program.stop()


def test_arguments_are_sent_and_the_answers_printed(server: Program) -> None:
    finished = run(server.uri, "hello", "häßlich 🙂")
    assert (finished.returncode, finished.stdout.decode(), finished.stderr) == (0, "hello\nhäßlich 🙂\n", b"")


@pytest.mark.parametrize("typed", [b"", b"one\n", b"one\ntwo\n\nthree", b"not UTF-8: \xff\n"])
def test_lines_of_a_pipe(server: Program, typed: bytes) -> None:
    finished = run(server.uri, typed=typed)
    expected = typed.decode(errors="replace")
    if expected and not expected.endswith("\n"):
        expected += "\n"
    assert (finished.returncode, finished.stdout.decode(), finished.stderr) == (0, expected, b"")


def test_much_more_than_the_buffers_hold(server: Program, tmp_path: Path) -> None:
    """From a file, to a server that takes nothing more while its answers are not read."""
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%07d %s\n" % (number, b"x" * 1000) for number in range(20_000)))
    with path.open("rb") as file:
        finished = subprocess.run([*COMMAND, server.uri], stdin=file, capture_output=True, timeout=60)
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert finished.stdout == path.read_bytes()


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server for one connection, which it leaves to ``behave``, and yield its URI."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(PATIENCE)
                behave(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(PATIENCE)
        assert not thread.is_alive()


def answering(*, with_handshake: bool, data: bytes) -> Callable[[socket.socket], None]:
    """Send ``data``, then read up to the end."""

    def behave(sock: socket.socket) -> None:
        handshake = rfc6455.ServerHandshake()
        while handshake.receive_data(sock.recv(65536)) is None:
            pass
        sock.sendall(handshake.accept().data_to_send() + data if with_handshake else data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    return behave


@pytest.mark.parametrize(
    ("with_handshake", "data", "complaint"),
    [
        (False, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "Cannot connect: 404"),
        (False, b"\0" * 100_000, "Cannot connect: "),
        (False, b"", "Cannot connect: "),
        (True, BAD_UTF8, "Disconnected: 1007"),
        (True, b"", "Disconnected: 1006"),
        (True, to(CLIENT, CLOSE, close_payload(4000, b"no \x1b[2Jmore")), "Disconnected: 4000 no \\x1b[2Jmore"),
        (True, to(CLIENT, PING) * 10_000, "Disconnected: 1006"),
    ],
)
def test_a_server_that_does_wrong(with_handshake: bool, data: bytes, complaint: str) -> None:
    with serving(answering(with_handshake=with_handshake, data=data)) as uri:
        finished = run(uri)
    assert finished.returncode == 1
    assert finished.stderr.decode().startswith(complaint)
    assert finished.stderr.count(b"\n") == 1


def test_what_a_terminal_would_obey_is_shown() -> None:
    data = to(CLIENT, TEXT, b"\x1b[2Jgone\nor \xc2\x9bnot") + to(CLIENT, 2, b"\0\1") + to(CLIENT, CLOSE)
    with serving(answering(with_handshake=True, data=data)) as uri:
        finished = run(uri)
    assert finished.stdout.decode() == "\\x1b[2Jgone\nor \\x9bnot\n(2 bytes)\n"
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_the_close_frame_is_sent_when_there_is_room_for_it() -> None:
    """The line fills the transport, so that the Close frame has to wait; and the server says nothing meanwhile."""
    closed: list[rfc6455.Event] = []

    def take_all(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            handshake = rfc6455.ServerHandshake(limits=rfc6455.Limits(message=None))
            while handshake.receive_data(sock.recv(65536)) is None:
                pass
            ws = handshake.accept(parts=True)
            while not ws.closed:
                sock.sendall(ws.data_to_send())
                closed[:] = ws.receive_data(sock.recv(65536))[-1:]
            sock.sendall(ws.data_to_send())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take_all, args=(listener,))
        thread.start()
        noise = random.Random(0).randbytes(8 << 20).hex().encode()
        finished = run(f"ws://127.0.0.1:{listener.getsockname()[1]}/", typed=noise)
        thread.join()
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert isinstance(closed[0], rfc6455.Closed)
    assert closed[0].clean


def test_nobody_is_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        finished = run(f"ws://127.0.0.1:{taken.getsockname()[1]}/")
    assert finished.returncode == 1
    assert finished.stderr.startswith(b"Cannot connect: ")


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        finished = run(f"ws://127.0.0.1:{listener.getsockname()[1]}/", "--open", "0.3")
    assert (finished.returncode, finished.stderr) == (
        1,
        b"Cannot connect: the opening handshake took too long (section 4.1)\n",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_in_order(server: Program, number: int) -> None:
    process = subprocess.Popen(
        [*COMMAND, server.uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    before = len(server.logged("closed: 1001"))
    with process:
        check_echo(process)
        process.send_signal(number)
        process.wait(PATIENCE)
        _, complaint = process.communicate()
    assert (process.returncode, complaint) == (0, b"")
    server.wait_for("closed: 1001", before + 1)
