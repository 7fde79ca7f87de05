"""WebSockets on asyncio: `serve`, for coroutines or for callbacks.

    from rfc6455_io.asyncio import serve

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with serve(echo, "localhost", 8765) as server:
        await server.serve_forever()

Not here: the code. This module has the names.
"""

from __future__ import annotations

from ._asyncio_driver import Listener
from ._asyncio_server import Server, serve
from ._asyncio_websocket import WebSocket, broadcast

__all__ = ["Listener", "Server", "WebSocket", "broadcast", "serve"]
