"""WebSockets for threads: `serve`, `connect` and `reconnect`, as in `rfc6455_io.asyncio`.

    from rfc6455_io.threads import connect, serve

    def echo(ws):
        for message in ws:
            ws.send(message)

    with serve(echo, "localhost", 8765) as server:
        with connect(f"ws://localhost:{server.port}/") as ws:
            ws.send("hello")
            print(ws.recv())

Not here: the code. This module only collects the names.
"""

from __future__ import annotations

from ._proxies import ProxyError
from ._retries import Backoff, is_worth_a_retry
from ._threads_client import connect
from ._threads_reconnect import reconnect
from ._threads_server import Server, serve
from ._threads_websocket import WebSocket, broadcast

__all__ = [
    "Backoff",
    "ProxyError",
    "Server",
    "WebSocket",
    "broadcast",
    "connect",
    "is_worth_a_retry",
    "reconnect",
    "serve",
]
