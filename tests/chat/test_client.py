"""The terminal client: lines in, lines out, through a pipe and in a terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from chat_server import CHAT, PATIENCE, PATIENT, ChatServer

import rfc6455

CLIENT = CHAT / "client.py"


def start(server: ChatServer, *arguments: str, room: str = "/", **more: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(CLIENT), f"ws://127.0.0.1:{server.port}{room}", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, **{**pipes, **more})  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def clients() -> Iterator[list[subprocess.Popen[str]]]:
    """What is put in here is gone after the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            pipe.close()


def test_lines_go_both_ways(shared_server: ChatServer, clients: list[subprocess.Popen[str]]) -> None:
    with shared_server.client("Ann", "/pipe") as ann:
        ann.say("first")
        bob = start(shared_server, "--name", "Bob", room="/pipe")
        clients.append(bob)
        assert bob.stdin is not None
        assert bob.stdout is not None
        assert [bob.stdout.readline() for _ in range(3)] == ["* history 1\n", "Ann: first\n", "* here: Ann\n"]
        bob.stdin.write("hello\nlast line without its end")
        bob.stdin.flush()
        assert [ann.text(), ann.text()] == ["* Bob joined", "Bob: hello"]
        ann.say("h\u00e9llo")
        assert bob.stdout.readline() == "Ann: h\u00e9llo\n"
        bob.stdin.close()
        assert ann.said(1) == ["Bob: last line without its end"]
        assert bob.wait(PATIENCE) == 0
        assert "code=1000" in shared_server.wait_for("event=disconnect .* name=Bob")


def test_any_server_will_do(clients: list[subprocess.Popen[str]]) -> None:
    """One that knows nothing of this chat, and sends what no terminal should be given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, str(CLIENT), f"ws://127.0.0.1:{listener.getsockname()[1]}", "--name", ""],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        clients.append(process)
        sock, _ = listener.accept()
        with sock:
            handshake = rfc6455.ServerHandshake()
            while handshake.receive_data(sock.recv(65536)) is None:
                pass
            ws = handshake.accept()
            ws.send_text("\x1b[2Jcleared?")
            ws.send_bytes(b"123")
            ws.close(1008, "go away")
            sock.sendall(ws.data_to_send())
            assert process.stdout is not None
            assert process.stdout.readline() == " [2Jcleared?\n"
            assert process.stdout.readline() == "(3 bytes)\n"
            while not ws.closed:
                ws.receive_data(sock.recv(65536))
        assert process.stdout.readline() == "Disconnected: 1008 go away\n"
        assert process.wait(PATIENCE) == 1


def test_no_server(clients: list[subprocess.Popen[str]]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # taken, and nobody listens
        command = [sys.executable, str(CLIENT), f"ws://127.0.0.1:{sock.getsockname()[1]}"]
        finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert finished.returncode == 1
    assert finished.stderr.startswith("Cannot chat with ws://127.0.0.1:")


def test_a_server_that_restarts_is_a_good_end(clients: list[subprocess.Popen[str]]) -> None:
    with ChatServer(*PATIENT) as other:
        process = start(other, "--name", "Bob")
        clients.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "* history 0\n"
        assert other.stop() == 0
        assert process.wait(PATIENCE) == 0


def test_ctrl_c_leaves_in_order(shared_server: ChatServer, clients: list[subprocess.Popen[str]]) -> None:
    with shared_server.client("Ann", "/interrupt") as ann:
        bob = start(shared_server, "--name", "Bob", room="/interrupt")
        clients.append(bob)
        assert bob.stdin is not None
        bob.stdin.write("hello\n")
        bob.stdin.flush()
        assert ann.said(1) == ["Bob: hello"]
        bob.send_signal(signal.SIGINT)
        bob.stdin.write("too late, or not\n")
        bob.stdin.flush()
        assert bob.wait(PATIENCE) == 0
        assert ann.said(1, lambda text: text == "* Bob left")


def test_in_a_terminal(shared_server: ChatServer, clients: list[subprocess.Popen[str]]) -> None:
    """What comes while a line is being typed stands above it, and the line can be edited on."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    shown = Screen(ours)
    try:
        with shared_server.client("Ann", "/terminal") as ann:
            bob = start(
                shared_server, "--name", "Bob", room="/terminal", stdin=theirs, stdout=theirs, stderr=theirs,
                env={**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null"},
            )  # fmt: skip
            clients.append(bob)
            os.close(theirs)
            shown.wait_for("* here: Ann")
            os.write(ours, b"\xff\r")  # no UTF-8: it is typed on
            assert ann.said(1) == ["Bob: \ufffd"]
            os.write(ours, b"helo")
            shown.wait_for("helo")
            ann.say("I interrupt")
            shown.wait_for("Ann: I interrupt\r\n")
            os.write(ours, b"\x7flo\r")  # backspace
            assert ann.said(1) == ["Bob: hello"]
            assert ended_by_end_of_file(bob, ours) == 0
    finally:
        shown.close()


def test_a_terminal_that_is_not_utf8(shared_server: ChatServer, clients: list[subprocess.Popen[str]]) -> None:
    """What it can show it shows, and what is typed is understood."""
    with shared_server.client("Ann", "/latin") as ann:
        environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        bob = start(shared_server, "--name", "Bob", room="/latin", env=environment, encoding="latin-1")
        clients.append(bob)
        assert bob.stdin is not None
        assert bob.stdout is not None
        assert [bob.stdout.readline() for _ in range(2)] == ["* history 0\n", "* here: Ann\n"]
        bob.stdin.write("h\u00e9llo\n")
        bob.stdin.flush()
        assert ann.said(1) == ["Bob: h\u00e9llo"]
        ann.say("h\u00e9llo \u4e2d \U0001f600")
        assert bob.stdout.readline() == "Ann: h\u00e9llo ? ?\n"
        bob.stdin.close()
        assert bob.wait(PATIENCE) == 0


def test_a_terminal_of_ascii_in_which_lines_are_edited(
    shared_server: ChatServer, clients: list[subprocess.Popen[str]]
) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    shown = Screen(ours)
    try:
        with shared_server.client("Ann", "/ascii") as ann:
            bob = start(
                shared_server, "--name", "Bob", room="/ascii", stdin=theirs, stdout=theirs, stderr=theirs,
                env={**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null", "PYTHONIOENCODING": "ascii"},
            )  # fmt: skip
            clients.append(bob)
            os.close(theirs)
            shown.wait_for("* here: Ann")
            ann.say("h\u00e9llo")
            shown.wait_for("Ann: h?llo\r\n")
            os.write(ours, b"hello\r")
            assert ann.said(1) == ["Bob: hello"]
            assert ended_by_end_of_file(bob, ours) == 0
    finally:
        shown.close()


def ended_by_end_of_file(client: subprocess.Popen[str], terminal: int) -> int:
    """Presses Ctrl-D until the client ends: one that comes while the line editor takes over the terminal is lost."""
    for _ in range(int(PATIENCE)):
        os.write(terminal, b"\x04")
        try:
            return client.wait(1)
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError(f"the client did not end within {PATIENCE} seconds")


class Screen:
    """Collects what a terminal is given."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._text = ""
        self._grown = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._fd, 65536):
                with self._grown:
                    self._text += data.decode(errors="replace")
                    self._grown.notify_all()
        except OSError:
            pass  # the last process that had the terminal has ended

    def wait_for(self, text: str) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: text in self._text, PATIENCE), self._text

    def close(self) -> None:
        self._thread.join(PATIENCE)
        os.close(self._fd)
