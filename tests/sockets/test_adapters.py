"""Deadlines over real sockets: one suite of timeouts, passed by an adapter over threads and by one over asyncio.

The clock is a number that the tests set, so that a timeout of 20 seconds takes no time. The peer is a plain socket. If
the expected data does not arrive, the socket's own timeout of 10 seconds fails the test.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from adapters import aio, threads
from helpers import BINARY, BOTH_ROLES, CLOSE, PING, PONG, TEXT, Seen, close_payload, split_frames, to

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    ClientHandshake,
    CloseCause,
    CloseCode,
    Closed,
    Endpoint,
    Event,
    Ping,
    Pong,
    Role,
    ServerHandshake,
    TextMessage,
    Timeouts,
)
from rfc6455.testing import insist_on_sending

PATIENCE = 10


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Running(Protocol):
    """A running adapter of either kind."""

    def do(self, act: Callable[[Endpoint], object]) -> None: ...

    def wake(self) -> None: ...

    def latency(self) -> float | None: ...

    def join(self) -> None: ...


class RunningThreads:
    def __init__(self, sock: socket.socket, *arguments: Any) -> None:
        self.adapter = threads.Adapter(sock, *arguments)

    def do(self, act: Callable[[Endpoint], object]) -> None:
        self.adapter.call(act)

    def wake(self) -> None:
        self.adapter.call(lambda endpoint: None)

    def latency(self) -> float | None:
        return self.adapter.endpoint.latency

    def join(self) -> None:
        self.adapter.thread.join(PATIENCE)
        assert not self.adapter.thread.is_alive()


class RunningAsyncio:
    """An event loop in a thread of its own, so that the tests can be the same."""

    def __init__(self, sock: socket.socket, endpoint: Endpoint, *arguments: Any) -> None:
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._main(sock, endpoint, *arguments)])
        self._thread.start()
        assert self._is_up.wait(PATIENCE)

    async def _main(self, sock: socket.socket, endpoint: Endpoint, *arguments: Any) -> None:
        self.loop = asyncio.get_running_loop()
        # Nobody sends here but the loop, which writes after each step.
        self.adapter = aio.Adapter(insist_on_sending(endpoint), *arguments)
        await self.loop.create_connection(lambda: self.adapter, sock=sock)
        self._is_up.set()
        await self.adapter.done

    def do(self, act: Callable[[Endpoint], object]) -> None:
        done = threading.Event()

        def call() -> None:
            self.adapter.call(act)
            done.set()

        self.loop.call_soon_threadsafe(call)
        assert done.wait(PATIENCE)

    def wake(self) -> None:
        self.loop.call_soon_threadsafe(self.adapter.step)

    def latency(self) -> float | None:
        return self.adapter.endpoint.latency

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


class Scene:
    """An adapter on one end of a TCP connection, and the raw socket of its peer."""

    def __init__(self, run: Callable[..., Running], role: Role, timeouts: Timeouts) -> None:
        self.role = role
        self.clock = Clock()
        self._events: queue.Queue[Event] = queue.Queue()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
            sock, _ = listener.accept()
        self._buffer = b""
        handshake = ServerHandshake() if role is SERVER else ClientHandshake("ws://example.com/")
        self.adapter = run(sock, Endpoint(handshake, timeouts, now=self.clock()), self._events.put, self.clock)

    def open(self) -> Scene:
        """Do the peer's part of the opening handshake."""
        if self.role is SERVER:
            self.peer.sendall(REQUEST)
            self._read_head()
        else:
            key = dict(line.split(": ") for line in self._read_head().split("\r\n")[1:])["Sec-WebSocket-Key"]
            answer = RESPONSE % rfc6455.accept_key(key).encode()
            self.peer.sendall(answer + to(CLIENT, PING, b"is it open?"))
            assert self.event() == Ping(b"is it open?")
            assert self.frame() == (PONG, b"is it open?")
        return self

    def _read_head(self) -> str:
        while b"\r\n\r\n" not in self._buffer:
            data = self.peer.recv(4096)
            assert data
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode()

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.adapter.wake()

    def stand_still(self, seconds: float, meanwhile: Callable[[], object]) -> None:
        """Keep the adapter's loop busy for a while, in which something happens outside."""

        def busy(ws: Endpoint) -> None:
            meanwhile()
            self.clock.now += seconds

        self.adapter.do(busy)

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.peer.sendall(to(self.role, opcode, payload))

    def event(self) -> Event:
        return self._events.get(timeout=PATIENCE)

    def frame(self) -> tuple[int, bytes]:
        """The next frame that the adapter sent."""
        while True:
            seen, _, _ = split_frames(self._buffer, self.role)
            if seen:
                self._buffer = self._buffer[len(self._buffer) - self._size_behind(seen[0]) :]
                return seen[0].opcode, seen[0].payload
            data = self.peer.recv(4096)
            assert data, "the adapter closed TCP"
            self._buffer += data

    def _size_behind(self, seen: Seen) -> int:
        header = 6 if self.role is CLIENT else 2
        return len(self._buffer) - header - len(seen.payload)

    def read_to_the_end(self) -> None:
        """Wait until the adapter has closed TCP; if it left input unread, that is a reset."""
        try:
            while self.peer.recv(4096):
                pass
        except ConnectionResetError:
            pass
        self.adapter.join()

    def check_over(self, cause: CloseCause) -> Closed:
        """The adapter has closed TCP, its last event says why, and nothing of it is left running."""
        self.read_to_the_end()
        closed = self.event()
        assert isinstance(closed, Closed)
        assert closed.cause is cause
        assert self._events.empty()
        return closed


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
RESPONSE = UPGRADED + b"Sec-WebSocket-Accept: %s\r\n\r\n"

ADAPTERS = {"threads": RunningThreads, "asyncio": RunningAsyncio}


@pytest.fixture(params=ADAPTERS.values(), ids=list(ADAPTERS))
def scene(request: pytest.FixtureRequest) -> Iterator[Callable[..., Scene]]:
    """Make scenes, and ends what a test that failed has left running."""
    scenes: list[Scene] = []

    def make(role: Role, **timeouts: float | None) -> Scene:
        defaults: dict[str, float | None] = dict.fromkeys(
            ["open", "body", "ping_interval", "pong", "close", "tcp_close", "idle"]
        )
        scenes.append(Scene(request.param, role, Timeouts(**{**defaults, **timeouts})))
        return scenes[-1]

    yield make
    for made in scenes:
        made.peer.close()
        made.adapter.join()


@BOTH_ROLES
@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: "], ids=["silent", "slow"])
def test_the_opening_handshake_takes_too_long(scene: Callable[..., Scene], role: Role, beginning: bytes) -> None:
    at = scene(role, open=10)
    at.peer.sendall(beginning if role is SERVER else beginning and b"HTTP/1.1 101 ")
    at.pass_time(9.9)
    at.pass_time(0.1)
    assert at.check_over(CloseCause.OPEN_TIMEOUT).code == CloseCode.ABNORMAL_CLOSURE


@BOTH_ROLES
def test_pings_are_sent_and_timed(scene: Callable[..., Scene], role: Role) -> None:
    at = scene(role, open=10, ping_interval=20, pong=20).open()
    for number in (1, 2, 3):
        at.pass_time(20)
        opcode, payload = at.frame()
        assert opcode == PING
        at.pass_time(number)
        at.send(PONG, payload)
        assert at.event() == Pong(payload)
        assert at.adapter.latency() == number
    at.peer.close()
    at.adapter.join()


@BOTH_ROLES
def test_a_pong_does_not_come(scene: Callable[..., Scene], role: Role) -> None:
    at = scene(role, ping_interval=20, pong=5).open()
    at.pass_time(20)
    assert at.frame()[0] == PING
    at.send(TEXT, b"alive")
    assert at.event() == TextMessage("alive")
    at.pass_time(4.9)
    at.pass_time(0.1)
    opcode, payload = at.frame()
    assert (opcode, payload[:2]) == (CLOSE, close_payload(3008))
    assert at.check_over(CloseCause.PONG_TIMEOUT).code == CloseCode.TIMEOUT


@BOTH_ROLES
def test_a_pong_that_came_while_the_loop_stood_still(scene: Callable[..., Scene], role: Role) -> None:
    """The loop is busy until long after the Pong was due, passes the time, and only then looks into the socket."""
    at = scene(role, ping_interval=20, pong=5).open()
    for _ in range(3):
        at.pass_time(20)
        opcode, payload = at.frame()
        assert opcode == PING
        at.stand_still(100, lambda payload=payload: at.send(PONG, payload))  # type: ignore[misc]
        assert at.event() == Pong(payload)
    at.send(TEXT, b"still here")
    assert at.event() == TextMessage("still here")


@BOTH_ROLES
def test_a_pong_that_did_not_come_while_the_loop_stood_still(scene: Callable[..., Scene], role: Role) -> None:
    """One more look, and no more time than that passes."""
    at = scene(role, ping_interval=20, pong=5).open()
    at.pass_time(20)
    assert at.frame()[0] == PING
    at.stand_still(100, lambda: None)
    assert at.check_over(CloseCause.PONG_TIMEOUT).code == CloseCode.TIMEOUT


@BOTH_ROLES
def test_the_peer_does_not_close(scene: Callable[..., Scene], role: Role) -> None:
    """It sends on and on, and that does not move the deadline."""
    at = scene(role, ping_interval=20, pong=5, close=10, idle=4).open()
    at.adapter.do(lambda ws: ws.close(1001, "bye"))
    assert at.frame() == (CLOSE, close_payload(1001, b"bye"))
    for number in range(9):
        at.pass_time(1)
        at.send(BINARY, b"%d" % number)
        assert at.event() == BytesMessage(b"%d" % number)
    at.pass_time(1)
    assert at.check_over(CloseCause.CLOSE_TIMEOUT).code == CloseCode.ABNORMAL_CLOSURE


@BOTH_ROLES
def test_nothing_comes_at_all(scene: Callable[..., Scene], role: Role) -> None:
    at = scene(role, idle=5).open()
    for _ in range(3):
        at.pass_time(4.9)
        at.send(TEXT, b"here")
        assert at.event() == TextMessage("here")
    at.pass_time(5)
    assert at.frame()[0] == CLOSE
    assert at.check_over(CloseCause.IDLE_TIMEOUT).code == CloseCode.TIMEOUT


@pytest.mark.clause("6455:5.5.1-tcp-is-closed", "6455:5.5.1-server-closes-at-once", "6455:7.1.2-closes-after-both")
@BOTH_ROLES
def test_a_close_in_time(scene: Callable[..., Scene], role: Role) -> None:
    """The server closes TCP at once; the client waits for that, but not for ever (7.1.1)."""
    at = scene(role, close=10, tcp_close=2).open()
    at.adapter.do(lambda ws: ws.close())
    assert at.frame() == (CLOSE, close_payload(1000))
    at.pass_time(9)
    at.send(CLOSE, close_payload(1000))
    if role is CLIENT:
        closed = at.event()
        assert isinstance(closed, Closed)
        assert closed.clean
        at.pass_time(1.9)
        at.peer.sendall(b"what comes now is not read")
        at.pass_time(0.1)
        at.read_to_the_end()
    else:
        assert at.check_over(CloseCause.HANDSHAKE).clean


@BOTH_ROLES
def test_the_peer_goes_away(scene: Callable[..., Scene], role: Role) -> None:
    at = scene(role, open=10, ping_interval=20, pong=5, close=10, tcp_close=2, idle=5).open()
    at.peer.shutdown(socket.SHUT_WR)
    at.check_over(CloseCause.EOF_IDLE)


@pytest.mark.clause("6455:7.2.1-transport-is-lost")
@BOTH_ROLES
def test_the_peer_resets_the_connection(scene: Callable[..., Scene], role: Role) -> None:
    at = scene(role, ping_interval=20, pong=5).open()
    at.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    at.peer.close()
    at.adapter.join()
    closed = at.event()
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.EOF_IDLE


@BOTH_ROLES
def test_a_handshake_that_fails(scene: Callable[..., Scene], role: Role) -> None:
    at = scene(role, open=10)
    at.peer.sendall(b"GET / HTTP/1.0\r\n\r\n" if role is SERVER else b"nonsense\r\n\r\n")
    at.read_to_the_end()


@pytest.mark.clause("6455:7.1.7-client-stays", "6455:7.2.1-client-stays")
@BOTH_ROLES
def test_without_timeouts_time_means_nothing(scene: Callable[..., Scene], role: Role) -> None:
    at = scene(role).open()
    at.pass_time(1e6)
    at.send(TEXT, b"still here")
    assert at.event() == TextMessage("still here")
    at.adapter.do(lambda ws: ws.send_text("me too"))
    assert at.frame() == (TEXT, b"me too")


@pytest.mark.parametrize("module", [threads, aio])
def test_an_adapter_is_less_than_60_lines(module: Any) -> None:
    assert len(Path(module.__file__).read_text(encoding="utf-8").splitlines()) < 60
