"""Helpers for tests of `rfc6455_io.threads`: a clock that can be moved, plain sockets as peers, and a check of
threads."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from helpers import KEY, frame
from programs import PATIENCE, Peer

import rfc6455_io._threads_client
import rfc6455_io._threads_driver
import rfc6455_io._threads_loop
import rfc6455_io._threads_server
from rfc6455_io.threads import Server, WebSocket

SECURE = pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])


class Clock:
    """A clock that a test can move. Everything that was due in between is then late."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        for module in ("client", "driver", "loop", "server"):
            monkeypatch.setattr(getattr(rfc6455_io, f"_threads_{module}"), "clock", self)

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def move(self, server: Server, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Make the server's loop stand still for so long, while time goes on."""
        stands, goes_on = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            goes_on.wait(PATIENCE)

        assert server._loop is not None
        server._loop.call(stand)
        assert stands.wait(PATIENCE)
        meanwhile()
        self._ahead += seconds
        goes_on.set()


class Raw(Peer):
    """A client that is a plain socket, or one inside TLS."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, *, small_buffers: bool = False) -> None:
        super().__init__(port, small_buffers=small_buffers)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    def __enter__(self) -> Raw:
        return self

    def open(self, more: bytes = b"") -> Raw:
        super().open(more)
        return self

    def say(self, opcode: int, payload: bytes = b"", *, fin: bool = True) -> None:
        self.send(frame(opcode, payload, key=KEY, fin=fin))


def echo(ws: WebSocket) -> None:
    for message in ws:
        ws.send(message)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that nothing reports, by checking again and again."""
    waiting = threading.Event()
    for _ in range(int(PATIENCE * 1000)):
        if condition():
            return
        waiting.wait(0.001)
    raise AssertionError("it did not come to that")


@contextmanager
def threads_end() -> Iterator[None]:
    """Check that all threads that were started meanwhile have ended, or are about to."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread


@contextmanager
def tcp(handler: Callable[[socket.socket], object], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run a server of plain sockets that passes each client to the handler, in a thread. Yield its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def talk(sock: socket.socket) -> None:
        with sock:
            sock.settimeout(PATIENCE)
            try:
                if context is not None:
                    with context.wrap_socket(sock, server_side=True) as secured:
                        handler(secured)
                else:
                    handler(sock)
            except OSError:
                pass  # the client has gone

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            if stopped.is_set():
                sock.close()
                return
            threads.append(threading.Thread(target=talk, args=(sock,)))
            threads[-1].start()

    stopped = threading.Event()
    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopped.set()
        socket.create_connection(listener.getsockname()).close()
        accepting.join(PATIENCE)
        listener.close()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def read_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        if not data:
            raise ConnectionError
        head += data
    return head
