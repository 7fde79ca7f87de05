"""WebSockets on asyncio: `serve`, `connect` and `reconnect`, for coroutines or for callbacks.

    from rfc6455_io.asyncio import connect, serve

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "localhost", 8765) as server:
        async with connect(f"ws://localhost:{server.port}/") as ws:
            await ws.send("hello")
            print(await ws.recv())

Not here: the code. This module only collects the names.
"""

from __future__ import annotations

from ._asyncio_client import Connect, connect
from ._asyncio_driver import Listener
from ._asyncio_reconnect import reconnect
from ._asyncio_server import Server, serve
from ._asyncio_websocket import WebSocket, broadcast
from ._proxies import ProxyError
from ._retries import Backoff, is_worth_a_retry

__all__ = [
    "Backoff",
    "Connect",
    "Listener",
    "ProxyError",
    "Server",
    "WebSocket",
    "broadcast",
    "connect",
    "is_worth_a_retry",
    "reconnect",
    "serve",
]
