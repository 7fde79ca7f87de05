"""The terminal client: lines in, lines out, through a pipe and in a terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

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
    """Clients that are put in here are ended after the test."""
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
        read_until(bob, "(Here: Ann)\n", before=["Ann: first\n"])
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


def test_it_comes_back_and_shows_what_was_missed(clients: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    with ChatServer(*PATIENT, "--history", str(tmp_path / "history")) as other:
        bob = start(other, "--name", "Bob")
        clients.append(bob)
        assert bob.stdin is not None
        assert bob.stdout is not None
        for end, text in (("stop", "one"), ("kill", "two"), ("stop", "three")):
            with other.client("Ann") as ann:
                bob.stdin.write(f"hello {text}\n")
                bob.stdin.flush()
                assert ann.said(1) == [f"Bob: hello {text}"]
                ann.say(text)
                read_until(bob, f"Ann: {text}\n")
            getattr(other, end)()
            read_until(bob, "; trying again)\n")
            other.start()
            with other.client("Eve") as eve:
                eve.say(f"after {text}")
            read_until(bob, "(Connected again)\n")
            # It is in the history, or comes after it; and nothing that was shown before comes again.
            assert read_until(bob, f"Eve: after {text}\n") == [f"Eve: after {text}\n"]
        bob.stdin.close()
        assert bob.wait(PATIENCE) == 0


def test_what_is_piped_in_while_nobody_listens_is_sent_later(clients: list[subprocess.Popen[str]]) -> None:
    with ChatServer(*PATIENT) as other:
        bob = start(other, "--name", "Bob")
        clients.append(bob)
        assert bob.stdin is not None
        read_until(bob, "(Nobody else is here)\n")
        other.kill()
        read_until(bob, "; trying again)\n")
        bob.stdin.write("said to nobody\n")
        bob.stdin.close()
        other.start()
        with other.client("Ann") as ann:
            assert (ann.history or ann.said(1)) == ["Bob: said to nobody"]
        assert bob.wait(PATIENCE) == 0


class PlayedServer:
    """A server played by the test, for one terminal client at a time."""

    def __init__(self, *switches: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        uri = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/club"
        self.client = subprocess.Popen(
            [sys.executable, str(CLIENT), uri, "--name", "", *switches],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def accept(self) -> rfc6455.Request:
        """Wait for the client; return its request."""
        self.listener.settimeout(PATIENCE)
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(PATIENCE)
        self.handshake = rfc6455.ServerHandshake(subprotocols=["b"], origins=rfc6455.ANY_ORIGIN)
        while (request := self.handshake.receive_data(self.sock.recv(65536))) is None:
            pass
        return request

    def open(self) -> rfc6455.Connection:
        self.accept()
        return self.handshake.accept()

    def send(self, ws: rfc6455.Connection | rfc6455.ServerHandshake) -> None:
        self.sock.sendall(ws.data_to_send())

    def reject(self, status: int, body: bytes = b"") -> None:
        self.accept()
        self.handshake.reject(status, [], body)
        self.send(self.handshake)
        self.sock.close()

    def close(self, ws: rfc6455.Connection, code: int, reason: str = "") -> None:
        ws.close(code, reason)
        self.send(ws)
        while not ws.closed:
            ws.receive_data(self.sock.recv(65536))
        self.sock.close()


@pytest.fixture
def play(clients: list[subprocess.Popen[str]]) -> Iterator[Callable[..., PlayedServer]]:
    played: list[PlayedServer] = []

    def start_one(*switches: str) -> PlayedServer:
        played.append(PlayedServer(*switches))
        clients.append(played[-1].client)
        return played[-1]

    yield start_one
    for one in played:
        one.listener.close()
        if hasattr(one, "sock"):
            one.sock.close()


def test_headers_origin_and_subprotocols(play: Callable[..., PlayedServer]) -> None:
    switches = ["--header", "Authorization: Bearer a:b", "--header", "X-One:1", "--origin", "https://chat.example"]
    request = play(*switches, "--subprotocol", "a", "--subprotocol", "b").accept()
    assert (request.headers["Authorization"], request.headers["X-One"]) == ("Bearer a:b", "1")
    assert request.origin == "https://chat.example"
    assert list(request.subprotocols) == ["a", "b"]


@pytest.mark.parametrize(
    ("switches", "complaint"),
    [
        (["--header", "no colon"], "argument --header: 'no colon' is not NAME: VALUE"),
        (["--ca", "/there/is/none"], "argument --ca: /there/is/none: No such file or directory"),
        (["--ca", __file__], "argument --ca: "),
        (["--header", "a b: c"], "Cannot chat with ws://127.0.0.1:1/"),
        (["--subprotocol", "a b"], "Cannot chat with ws://127.0.0.1:1/"),
    ],
)
def test_switches_that_are_wrong(switches: list[str], complaint: str) -> None:
    command = [sys.executable, str(CLIENT), "ws://127.0.0.1:1/", *switches]
    finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert finished.returncode
    assert complaint in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_body_of_a_refusal_is_shown(play: Callable[..., PlayedServer]) -> None:
    played = play()
    played.reject(403, b"Not you.\n\nAsk \x1b[31mthe\xff board.\n")
    assert played.client.stdout is not None
    first, *said = played.client.stdout.readlines()
    assert first.startswith("Cannot chat with ws://127.0.0.1:")
    assert "403" in first
    assert said == ["    Not you.\n", "    Ask  [31mthe\ufffd board.\n"]
    assert played.client.wait(PATIENCE) == 1


def test_it_comes_back_unless_it_is_told_not_to(play: Callable[..., PlayedServer]) -> None:
    """A Close of a server that restarts, a broken connection, an error of what stands before it; then 1008."""
    played = play()
    played.close(played.open(), 1012, "restart")
    read_until(played.client, "(Disconnected: 1012 restart; trying again)\n")
    ws = played.open()
    played.send(ws)
    read_until(played.client, "(Connected again)\n")
    played.sock.close()
    read_until(played.client, "; trying again)\n")
    played.reject(502)
    read_until(played.client, "; trying again)\n")
    played.close(played.open(), 1008, "go away")
    read_until(played.client, "Disconnected: 1008 go away\n")
    assert played.client.wait(PATIENCE) == 1


def test_a_server_that_has_said_all_is_a_good_end(play: Callable[..., PlayedServer]) -> None:
    played = play()
    ws = played.open()
    ws.send_text("all\nof it")
    played.close(ws, 1000)
    assert played.client.stdout is not None
    assert played.client.stdout.readlines() == ["all\n", "\tof it\n"]
    assert played.client.wait(PATIENCE) == 0


def test_nobody_reads_what_it_shows(play: Callable[..., PlayedServer]) -> None:
    played = play()
    ws = played.open()
    played.send(ws)
    assert played.client.stdout is not None
    played.client.stdout.close()
    ws.send_text("hello?")
    played.send(ws)
    assert played.client.wait(PATIENCE) == 1


def test_a_certificate_of_its_own(certificate: tuple[Path, Path]) -> None:
    cert, key = map(str, certificate)
    with ChatServer("--cert", cert, "--key", key) as secure:
        command = [sys.executable, str(CLIENT), f"wss://localhost:{secure.port}/", "--name", "Bob"]
        told = {"input": "hello\n", "capture_output": True, "text": True, "timeout": PATIENCE}
        finished = subprocess.run([*command, "--ca", cert], **told)  # type: ignore[call-overload]
        assert (finished.returncode, finished.stderr) == (0, "(Nobody else is here)\n")
        finished = subprocess.run(command, **told)  # type: ignore[call-overload]
        assert finished.returncode == 1
        assert "CERTIFICATE_VERIFY_FAILED" in finished.stderr


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
    """What comes while a line is being typed is shown above it, and the line can still be edited."""
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
            shown.wait_for("(Here: Ann)")
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
        read_until(bob, "(Here: Ann)\n")
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
            shown.wait_for("(Here: Ann)")
            ann.say("h\u00e9llo")
            shown.wait_for("Ann: h?llo\r\n")
            os.write(ours, b"hello\r")
            assert ann.said(1) == ["Bob: hello"]
            assert ended_by_end_of_file(bob, ours) == 0
    finally:
        shown.close()


def test_a_terminal_of_latin_1_in_which_lines_are_edited(
    shared_server: ChatServer, clients: list[subprocess.Popen[str]]
) -> None:
    """Its letters are typed, sent, and still there when a line comes in between; so is a name on the command line."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    shown = Screen(ours, "latin-1")
    try:
        with shared_server.client("Ann", "/latin1") as ann:
            locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"}
            bob = start(
                shared_server, "--name", "B\u00f6b", room="/latin1", stdin=theirs, stdout=theirs, stderr=theirs,
                env={**os.environ, **locale, "TERM": "dumb", "INPUTRC": "/dev/null"},
            )  # fmt: skip
            clients.append(bob)
            os.close(theirs)
            shown.wait_for("(Here: Ann)")
            os.write(ours, "caf\u00e9".encode("latin-1"))
            shown.wait_for("caf\u00e9")
            ann.say("h\u00e9llo \u20ac")
            shown.wait_for("Ann: h\u00e9llo ?\r\n> caf\u00e9")
            os.write(ours, b"\r")
            assert ann.said(1) == ["B\u00f6b: caf\u00e9"]
            assert ended_by_end_of_file(bob, ours) == 0
    finally:
        shown.close()


def read_until(client: subprocess.Popen[str], end: str, before: list[str] | None = None) -> list[str]:
    """Read what the client shows until a line ends so; return the lines without the notes, of which some have times.

    :param before: what must have come before that line.
    """
    assert client.stdout is not None
    lines: list[str] = []
    for line in client.stdout:
        if not line.startswith(("(", "* ")) or line.endswith(end):
            lines.append(line)
        if line.endswith(end):
            break
    assert lines, f"it ended before it showed {end!r}"
    assert lines[-1].endswith(end)
    assert before in (None, lines[:-1])
    return lines


def ended_by_end_of_file(client: subprocess.Popen[str], terminal: int) -> int:
    """Press Ctrl-D until the client ends: one that comes while the line editor takes over the terminal is lost."""
    for _ in range(int(PATIENCE)):
        os.write(terminal, b"\x04")
        try:
            return client.wait(1)
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError(f"the client did not end within {PATIENCE} seconds")


class Screen:
    """Collects what is written to a terminal."""

    def __init__(self, fd: int, encoding: str = "utf-8") -> None:
        self._fd = fd
        self._encoding = encoding
        self._text = ""
        self._grown = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._fd, 65536):
                with self._grown:
                    self._text += data.decode(self._encoding, "replace")
                    self._grown.notify_all()
        except OSError:
            pass  # the last process that had the terminal has ended

    def wait_for(self, text: str) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: text in self._text, PATIENCE), self._text

    def close(self) -> None:
        self._thread.join(PATIENCE)
        os.close(self._fd)
