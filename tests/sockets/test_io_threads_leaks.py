"""Nothing that `rfc6455_io.threads` makes for a connection outlives it: threads, descriptors, timers, memory."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers import CLOSE, close_payload
from io_threads import Raw, echo, threads_end, wait_until
from programs import PATIENCE, REQUEST

from rfc6455 import ConnectionClosedError
from rfc6455_io.threads import Server, WebSocket, connect, serve

DESCRIPTORS = Path("/proc/self/fd")


def fail(ws: WebSocket) -> None:
    ws.recv()
    raise KeyError("?")


def visit(server: Server, number: int) -> None:
    """Let a client come and go in one of the possible ways."""
    uri = f"ws://127.0.0.1:{server.port}/"
    way = number % 5
    if way == 0:
        with connect(uri, proxy=None) as ws:
            ws.send("hello")
            try:
                ws.recv(PATIENCE)
            except ConnectionClosedError:
                pass
    elif way == 1:
        connect(uri, proxy=None).abort()
    elif way == 2:
        with Raw(server.port).open() as raw:
            raw.say(CLOSE, close_payload(1000))
            while raw.sock.recv(100):
                pass
    elif way == 3:
        Raw(server.port).open().reset()
    else:
        with Raw(server.port) as raw:
            raw.send(REQUEST[:20])


def visits(server: Server, count: int) -> None:
    """Several at a time."""
    numbers = iter(range(count))
    lock = threading.Lock()

    def go() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            visit(server, number)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: not server._drivers and not server._threads and threading.active_count() <= before[0] + 1)


before = [0]


def descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir()))


def live_objects() -> int:
    """How many objects there are of a connection's kinds. Other tests may have left some."""
    gc.collect()
    kinds = ("Driver", "Endpoint", "WebSocket", "Wire", "Tls")
    return sum(type(each).__name__ in kinds for each in gc.get_objects())


@pytest.mark.measured
@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="a system without /proc")
@pytest.mark.parametrize("handler", [echo, fail])
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_connections_come_and_go(handler: Any, count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    before[0] = threading.active_count()
    of_others = live_objects()
    with threads_end(), serve(handler, "127.0.0.1", 0) as server:
        assert server._loop is not None
        visits(server, 100)
        gc.collect()
        open_before = descriptors()
        blocks = sys.getallocatedblocks()
        visits(server, count)
        gc.collect()
        # Of pymalloc, up to 512 bytes each. A connection takes dozens of them.
        assert sys.getallocatedblocks() - blocks < count
        assert descriptors() == open_before
        assert live_objects() <= of_others
        assert len(server._loop._timers) <= 102
        assert not server.connections
