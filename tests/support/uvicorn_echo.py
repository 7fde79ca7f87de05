"""An echo under uvicorn, on `rfc6455_io.uvicorn`, as a program like the example servers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import uvicorn

# At the end: an installed package stays the one that is tested.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from rfc6455_io.uvicorn import Protocol


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(f"listening on port {self.servers[0].sockets[0].getsockname()[1]}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, default in (("port", 0), ("ping-interval", 20.0), ("pong", 20.0)):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--http", default="auto", help="which parser reads the requests: h11 or httptools")
    options = parser.parse_args()
    Server(
        uvicorn.Config(
            app,
            port=options.port,
            http=options.http,
            ws=Protocol,
            ws_ping_interval=options.ping_interval,
            ws_ping_timeout=options.pong,
            log_level="critical",
        )
    ).run()
