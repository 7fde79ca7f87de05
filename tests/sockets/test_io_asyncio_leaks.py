"""Nothing that `rfc6455_io.asyncio` makes for a connection outlives it: tasks, descriptors, timers, memory."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import CLOSE, close_payload
from io_loops import BOTH_LOOPS, PATIENCE, REQUEST, CancelledAt, Echo, Raw, echo, run

from rfc6455 import ConnectionClosedError
from rfc6455_io.asyncio import Listener, Server, WebSocket, connect, serve

DESCRIPTORS = Path("/proc/self/fd")


async def fail(ws: WebSocket) -> None:
    await ws.recv()
    raise KeyError("?")


async def visit(server: Server, number: int) -> None:
    """Let a client come and go in one of the possible ways."""
    uri = f"ws://127.0.0.1:{server.port}/"
    way = number % 6
    if way == 0:
        async with connect(uri, proxy=None) as ws:
            await ws.send("hello")
            with contextlib.suppress(ConnectionClosedError):
                await ws.recv()
    elif way == 1:
        (await connect(uri, Listener, proxy=None)).abort()
    elif way == 2:
        raw = await Raw.connect(server.port)
        raw.send(CLOSE, close_payload(1000))
        await raw.rest()
        await raw.close()
    elif way == 3:
        await (await Raw.connect(server.port)).reset()
    elif way == 4:
        raw = await Raw.connect(server.port, request=b"")
        raw.writer.write(REQUEST[:20])
        await raw.close()
    else:
        connecting = asyncio.ensure_future(_open(connect(uri, proxy=None)))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


async def _open(connecting: Any) -> None:
    ws = await connecting
    ws.abort()


async def visits(server: Server, count: int) -> None:
    for start in range(0, count, 20):
        await asyncio.gather(*(visit(server, start + number) for number in range(20)))


async def settled(server: Server, tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until the server has no connection, and asyncio has no other tasks than these."""
    while server._drivers or asyncio.all_tasks() - tasks:
        await asyncio.sleep(0.001)


def descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir()))


def live_objects() -> int:
    """How many objects there are of a connection's kinds. Other tests may have left some."""
    gc.collect()
    return sum(type(each).__name__ in ("Driver", "Endpoint", "WebSocket", "_Handled") for each in gc.get_objects())


@pytest.mark.measured
@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="a system without /proc")
@pytest.mark.parametrize("handler", [echo, Echo, fail])
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_connections_come_and_go(handler: Any, count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")

    async def main() -> None:
        tasks = asyncio.all_tasks()
        of_others = live_objects()
        async with serve(handler, "127.0.0.1", 0) as server:
            await visits(server, 100)
            await settled(server, tasks)
            gc.collect()
            open_before = descriptors()
            timers = len(asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]
            blocks = sys.getallocatedblocks()
            await visits(server, count)
            await settled(server, tasks)
            gc.collect()
            # Of pymalloc, up to 512 bytes each. A connection takes dozens of them.
            assert sys.getallocatedblocks() - blocks < count
            assert descriptors() == open_before
            assert live_objects() <= of_others
            # Timers that were cancelled are left in the loop until they are due, or are half of all.
            assert len(asyncio.get_running_loop()._scheduled) <= timers + 200  # type: ignore[attr-defined]
            assert not server.connections

    run(main(), "asyncio", patience=PATIENCE * count / 1_000)


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="a system without /proc")
def test_a_loop_that_is_stopped_in_the_middle() -> None:
    """asyncio.run() cancels all tasks then; the server ends its connections all the same."""

    async def main() -> None:
        tasks = asyncio.all_tasks()
        async with serve(echo, "127.0.0.1", 0) as server:
            ws = await connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
            await ws.send("hello")
            await ws.recv()
            for task in asyncio.all_tasks() - tasks:
                task.cancel()
            assert (await ws.wait_closed()).code == 1001

    open_before = descriptors()
    run(main(), "asyncio")
    assert descriptors() == open_before


PLACES: dict[str, dict[str, Any]] = {
    "address": {"host": "127.0.0.1", "port": 0},
    "name": {"host": "localhost", "port": 0},
    "path": {"path": "socket"},
}


@BOTH_LOOPS
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_start_that_is_cancelled_leaves_nothing(
    loop: str, place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is cancelled, nothing listens afterwards, and the loop serves others."""
    monkeypatch.chdir(tmp_path)

    async def begin(number: int) -> int:
        starting = CancelledAt(serve(echo, **place), number)

        async def start() -> None:
            await (await starting).close()

        await asyncio.gather(asyncio.ensure_future(start()), return_exceptions=True)
        async with (
            serve(echo, "127.0.0.1", 0) as server,
            connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws,
        ):
            await ws.send("hello")
            assert await ws.recv() == "hello"
        for _ in range(5):
            await asyncio.sleep(0)  # what was closed takes uvloop a little longer
        return starting.waits

    async def main() -> None:
        await begin(0)  # which makes the thread that resolves names
        before = len(list(DESCRIPTORS.iterdir()))
        number = 1
        while await begin(number) >= number:
            assert len(list(DESCRIPTORS.iterdir())) == before
            number += 1
        assert number > 1 or loop == "uvloop"  # which need not wait

    run(main(), loop)


@BOTH_LOOPS
def test_a_connect_that_is_cancelled_on_its_way_through_a_proxy_leaves_nothing(loop: str) -> None:
    """Wherever it is cancelled: nothing stays open, and nothing is reported that nobody waits for."""
    reported: list[dict[str, Any]] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            await reader.read()
        writer.close()

    async def open_and_cancel(port: int, number: int) -> int:
        opening = CancelledAt(connect("ws://server.example/", proxy=f"http://127.0.0.1:{port}")._open(), number)

        async def wait() -> None:
            await opening

        await asyncio.gather(asyncio.ensure_future(wait()), return_exceptions=True)
        return opening.waits

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            number = 1
            while await open_and_cancel(port, number) >= number:
                number += 1
            assert number > 2
            for _ in range(20):
                await asyncio.sleep(0)

    run(main(), loop)
    assert reported == []
