"""The example servers as programs: one suite, passed by each loop of its own: asyncio, trio, and through the proxy."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, to
from programs import EXAMPLES, PATIENCE, REQUEST, ROOT, Peer, Program
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from rfc6455 import SERVER

SERVERS = {
    "streams": ["echo_asyncio.py"],
    "protocol": ["echo_asyncio.py", "--protocol"],
    "trio": ["echo_trio.py"],
    "proxy": ["proxy.py"],
}

Start = Callable[..., Program]


@contextmanager
def started(name: str, *arguments: str) -> Iterator[Program]:
    """The server, with an echo server behind it if it is the proxy."""
    script, *fixed = SERVERS[name]
    with ExitStack() as stack:
        if name == "proxy":
            fixed = [stack.enter_context(Program("echo_asyncio.py")).uri]
        yield stack.enter_context(Program(script, *fixed, *arguments))


@pytest.fixture(params=list(SERVERS))
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Yield a function that starts the server with options."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(started(request.param, *arguments))


@pytest.mark.parametrize("script", ["echo_trio.py", "echo_asyncio.py", "echo_threads.py"])
def test_a_port_that_is_none_is_not_taken_for_another(script: str) -> None:
    command = [sys.executable, EXAMPLES / script, "--port", "65536"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert finished.returncode == 2
    assert "a port is 0 to 65535, not 65536" in finished.stderr


@pytest.fixture(scope="module", params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    """One server for everything that it must survive. At the end, it must have printed nothing but its log."""
    with started(request.param) as program:
        yield program
        program.stop()


def client(program: Program, **options: Any) -> Any:
    return connect(program.uri, proxy=None, max_size=2 << 20, open_timeout=PATIENCE, **options)


# Echo.

MESSAGES: list[str | bytes] = ["", "häßlich 🙂", b"", bytes(range(256)), "x" * 70_000, b"\0\xff" * (1 << 19)]


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_come_back(server: Program, compression: str | None) -> None:
    with client(server, compression=compression) as ws:
        for message in MESSAGES:
            ws.send(message)
            assert ws.recv(PATIENCE) == message


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_fragmented_message_comes_back(server: Program, compression: str | None) -> None:
    with client(server, compression=compression) as ws:
        ws.send(["one ", "", "two ", "three"])
        assert ws.recv(PATIENCE) == "one two three"
        ws.send([b"1", b"2" * 100_000])
        assert ws.recv(PATIENCE) == b"1" + b"2" * 100_000


def test_compressed_messages_that_inflate_to_much_come_back_in_order(server: Program) -> None:
    """They come in one read and inflate to 20 MB, which one call of receive_data() leaves mostly unread."""
    with client(server, compression="deflate") as ws:
        for number in range(20):
            ws.send(str(number % 10) * (1 << 20))
        for number in range(20):
            assert ws.recv(PATIENCE) == str(number % 10) * (1 << 20)


def test_frames_that_come_with_the_handshake_are_not_lost(server: Program) -> None:
    frames = to(SERVER, TEXT, b"one") + to(SERVER, TEXT, b"tw", fin=False) + to(SERVER, CONT, b"o")
    with Peer(server.port) as peer:
        peer.open(frames)
        assert peer.frame() == (TEXT, b"one")
        assert peer.message() == (TEXT, b"two")


def test_a_ping_inside_a_message_is_answered(server: Program) -> None:
    with Peer(server.port).open() as peer:
        peer.send(to(SERVER, BINARY, b"a", fin=False) + to(SERVER, PING, b"now"))
        while (frame := peer.frame()) != (PONG, b"now"):
            assert frame == (BINARY, b"a")


# The end.


@pytest.mark.parametrize(("payload", "code"), [(close_payload(1000, b"bye"), 1000), (close_payload(4999), 4999)])
def test_a_close_frame_is_answered_and_logged(server: Program, payload: bytes, code: int) -> None:
    with Peer(server.port).open() as peer:
        address = "{}:{}".format(*peer.sock.getsockname())
        peer.send(to(SERVER, TEXT, b"last") + to(SERVER, CLOSE, payload))
        assert peer.message() == (TEXT, b"last")
        assert peer.frame() == (CLOSE, payload)
        peer.check_eof()
    assert server.wait_for(f"^{address} ") == f"{address} closed: {code} {payload[2:].decode()!r}"


def test_an_empty_close_frame_is_answered_by_one(server: Program) -> None:
    with Peer(server.port).open() as peer:
        peer.send(to(SERVER, CLOSE))
        assert peer.frame() == (CLOSE, b"")
        peer.check_eof()


def test_what_the_client_said_before_it_closed_is_answered(server: Program) -> None:
    with Peer(server.port).open() as peer:
        peer.send(b"".join(to(SERVER, TEXT, b"%d" % number) for number in range(100)) + to(SERVER, CLOSE))
        assert [peer.message() for _ in range(100)] == [(TEXT, b"%d" % number) for number in range(100)]
        assert peer.frame() == (CLOSE, b"")


VIOLATIONS = {
    "not masked": (to(SERVER, TEXT, b"Hello", key=None), 1002),
    "reserved bit": (to(SERVER, TEXT, b"Hello", rsv=1), 1002),
    "reserved opcode": (to(SERVER, 3), 1002),
    "continuation of nothing": (to(SERVER, CONT), 1002),
    "not UTF-8": (to(SERVER, TEXT, b"\xff"), 1007),
    "close code": (to(SERVER, CLOSE, close_payload(1005)), 1002),
}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=list(VIOLATIONS))
def test_a_violation_gets_its_close_code(server: Program, data: bytes, code: int) -> None:
    with Peer(server.port).open() as peer:
        peer.send(data)
        assert peer.close_frame() == code
        peer.check_eof()


def test_a_message_that_is_too_big_gets_1009_though_the_client_sends_on(server: Program) -> None:
    with Peer(server.port).open() as peer:
        peer.send(to(SERVER, BINARY, bytes(3 << 20)))
        assert peer.close_frame() == 1009


# What is no handshake.

REFUSALS = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "POST": (REQUEST.replace(b"GET", b"POST"), 405),
    "a page": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
    "no key": (REQUEST.replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
    "version": (REQUEST.replace(b": 13", b": 8"), 426),
    "another site": (REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: http://evil.example\r\n\r\n"), 403),
    "too large": (REQUEST.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"), 431),
    "half, then the end": (REQUEST[:50], 400),
}


@pytest.mark.parametrize(("data", "status"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_is_no_handshake_is_refused_and_logged(server: Program, data: bytes, status: int) -> None:
    with Peer(server.port) as peer:
        address = "{}:{}".format(*peer.sock.getsockname())
        peer.send(data)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.head().startswith(f"HTTP/1.1 {status} ")
    assert server.wait_for(f"^{address} ").startswith(f"{address} refused: {status}: ")


def test_a_client_sees_why_it_was_refused(server: Program) -> None:
    with pytest.raises(InvalidStatus) as info, client(server, origin="http://evil.example"):
        pass
    assert info.value.response.status_code == 403
    assert b"evil.example" in info.value.response.body


# Garbage. The fixture `server` checks in the end that nothing but the log was printed.


@pytest.mark.parametrize("seed", range(20))
def test_garbage_harms_nobody(server: Program, seed: int) -> None:
    dice = random.Random(seed)
    with Peer(server.port) as peer:
        if seed % 2:
            peer.open()
        try:
            for _ in range(dice.randint(1, 4)):
                peer.send(dice.randbytes(dice.choice([1, 10, 1000, 100_000])))
        except OSError:
            pass  # the server has had enough
        if seed % 3 == 0:
            peer.reset()
    with Peer(server.port).open(to(SERVER, TEXT, b"still here")) as peer:
        assert peer.frame() == (TEXT, b"still here")


@pytest.mark.parametrize("sent", [b"", REQUEST[:40], REQUEST, REQUEST + to(SERVER, TEXT, b"x") * 1000])
def test_a_reset_harms_nobody(server: Program, sent: bytes) -> None:
    with Peer(server.port) as peer:
        peer.send(sent)
        peer.reset()
    with Peer(server.port).open(to(SERVER, TEXT, b"still here")) as peer:
        assert peer.frame() == (TEXT, b"still here")


# Deadlines.


def test_a_client_that_does_not_answer_a_ping_is_timed_out(start: Start) -> None:
    program = start("--ping-interval", "0.2", "--pong", "0.3")
    with Peer(program.port).open() as peer:
        assert peer.frame()[0] == PING
        assert peer.close_frame() == 3008
        peer.check_eof()
    program.wait_for("closed: 3008")
    program.stop()


def test_a_client_that_answers_its_pings_may_stay(start: Start) -> None:
    program = start("--ping-interval", "0.05", "--pong", "60", "--idle", "60")
    with Peer(program.port).open() as peer:
        for _ in range(5):
            opcode, payload = peer.frame()
            assert opcode == PING
            peer.send(to(SERVER, PONG, payload))
        peer.send(to(SERVER, TEXT, b"hello"))
        while (frame := peer.frame())[0] == PING:
            pass
        assert frame == (TEXT, b"hello")
    program.stop()


@pytest.mark.parametrize("sent", [b"", REQUEST[:40]], ids=["silent", "half a request"])
def test_a_request_that_takes_too_long(start: Start, sent: bytes) -> None:
    program = start("--open", "0.3")
    with Peer(program.port) as peer:
        peer.send(sent)
        assert peer.answer().startswith("HTTP/1.1 408 ")
        peer.check_eof()
    program.wait_for("refused: 408")
    program.stop()


# What neither deflate nor the proxy can make smaller.
NOISE = to(SERVER, BINARY, random.Random(0).randbytes(64 << 10))


def test_a_client_that_does_not_read_is_held_up(start: Start) -> None:
    """Neither its messages nor the answers pile up: the server reads no more, and the client's writes block. When the
    server ends, it does not wait for it."""
    program = start("--close", "0.2")
    before = program.memory()
    with Peer(program.port, small_buffers=True).open() as peer:
        sent = 0
        peer.sock.setblocking(False)
        while select.select([], [peer.sock], [], 1)[1]:
            sent += peer.sock.send(NOISE[sent % len(NOISE) :])
            assert sent < 128 << 20
        assert program.memory() - before < 16 << 20
        program.stop()
    assert len(program.logged("closed: 1006")) == 1


def test_a_client_that_does_not_read_is_timed_out(start: Start) -> None:
    program = start("--ping-interval", "0.5", "--pong", "0.5")
    with Peer(program.port, small_buffers=True).open() as peer:
        sent = 0
        peer.sock.setblocking(False)
        try:
            while not program.logged("closed: "):
                if select.select([], [peer.sock], [], 0.01)[1]:
                    sent += peer.sock.send(NOISE[sent % len(NOISE) :])
        except ConnectionError:
            pass  # what we sent in the end was not read
    program.wait_for("closed: 3008")
    program.stop()


def test_a_client_that_reads_late_gets_everything(start: Start) -> None:
    """What it cannot send before it has read is held up, and comes then."""
    program = start()
    with Peer(program.port, small_buffers=True).open() as peer:
        sending = [to(SERVER, BINARY, b"%06d" % number * 10_000) for number in range(16)]
        waiting = memoryview(b"".join(sending))
        received = 0
        while received < 16:
            ready = select.select([peer.sock], [peer.sock] if waiting else [], [], PATIENCE)
            if waiting and ready[1]:
                waiting = waiting[peer.sock.send(waiting[:65536]) :]
            else:
                assert peer.message() == (BINARY, b"%06d" % received * 10_000)
                received += 1
    program.stop()


def test_too_many_clients_are_turned_away(start: Start) -> None:
    """And that before there are no file descriptors left."""
    program = start("--open", "60")
    with ExitStack() as stack:
        for _ in range(520):
            stack.enter_context(Peer(program.port))
        program.wait_for("refused: (503: )?too many clients", 20)
    program.wait_for("refused: ", 520)  # all have left
    with Peer(program.port).open(to(SERVER, TEXT, b"there is room again")) as peer:
        assert peer.frame() == (TEXT, b"there is room again")
    program.stop()


def test_a_reason_is_logged_whatever_the_output_can_hold(server: Program) -> None:
    with Peer(server.port).open() as peer:
        peer.send(to(SERVER, CLOSE, close_payload(4321, "日".encode())))
        server.wait_for(r"closed: 4321 '\\u65e5'")


# The server ends.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sends_the_clients_away(start: Start, number: int) -> None:
    program = start("--open", "3")
    silent = Peer(program.port)
    peers = [Peer(program.port).open() for _ in range(3)]
    program.process.send_signal(number)
    for peer in peers:
        assert peer.close_frame() == 1001
        peer.send(to(SERVER, TEXT, b"late") + to(SERVER, CLOSE, close_payload(1001)))
        peer.check_eof()
        peer.sock.close()
    assert silent.answer().startswith("HTTP/1.1 ")
    silent.check_eof()
    silent.sock.close()
    program.check_ended()
    assert len(program.logged("closed: 1001")) == 3
    assert len(program.logged("refused: ")) == 1


def test_it_ends_although_a_client_does_not_answer(start: Start) -> None:
    program = start("--close", "0.2")
    with Peer(program.port).open() as peer:
        program.process.send_signal(signal.SIGTERM)
        assert peer.close_frame() == 1001
        program.check_ended()
        peer.check_eof()
    assert len(program.logged("closed: 1006")) == 1


def test_it_ends_when_nobody_is_there(start: Start) -> None:
    start().stop(signal.SIGINT)


# The programs.


@pytest.mark.parametrize(
    "script", sorted(path.name for path in EXAMPLES.glob("*.py") if "__main__" in path.read_text())
)
def test_help(script: str) -> None:
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / script), "--help"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert finished.returncode == 0
    assert finished.stdout.startswith("usage: ")


def pythons() -> list[str]:
    """The oldest Python that is supported and a new one, where there are more than the one that runs this."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [str(path) for version in ("3.10", "3.13") for path in sorted(root.glob(f"{version}.*/bin/python"))[:1]]


@pytest.mark.parametrize("name", ["streams", "protocol"])
@pytest.mark.parametrize("python", pythons())
def test_it_runs_from_a_clone_without_installation(name: str, python: str, tmp_path: Path) -> None:
    for part in ("rfc6455", "examples"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c"))
    script, *arguments = SERVERS[name]
    with Program(script, *arguments, python=python, examples=tmp_path / "examples") as program:
        with Peer(program.port).open(to(SERVER, TEXT, b"hello")) as peer:
            assert peer.frame() == (TEXT, b"hello")
        program.stop()
