"""The testee on `rfc6455_io.asyncio`: what `testee` is on plain sockets."""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from io_loops import echo
from testee import options

import rfc6455
from rfc6455_io.asyncio import connect, serve


@contextmanager
def echo_server(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run the server, in a thread; the value is its port."""
    started: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def main() -> None:
        stopped = asyncio.Event()
        async with serve(echo, "127.0.0.1", 0, ssl=tls, **options()) as server:
            started.put((server.port, asyncio.get_running_loop(), stopped))
            await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=[main()])
    thread.start()
    port, loop, stopped = started.get()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


def converse(port: int, resource_name: str) -> None:
    """Connect, and echo until the server has ended the connection."""
    asyncio.run(_converse(f"ws://127.0.0.1:{port}{resource_name}"))


async def _converse(uri: str) -> None:
    with suppress(OSError, rfc6455.HandshakeError, rfc6455.ConnectionClosedError):
        async with connect(uri, proxy=None, **options()) as ws:
            await echo(ws)
