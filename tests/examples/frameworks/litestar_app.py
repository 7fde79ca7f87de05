"""The app of `test_frameworks.py` on Litestar."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, WebSocket, websocket
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.handlers import BaseRouteHandler, WebsocketListener


@websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept(subprotocols="chat" if "chat" in socket.scope["subprotocols"] else None)
    try:
        while True:
            message: Any = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(detail=message.get("reason") or "", code=message["code"])
            if message.get("bytes") is not None:
                await socket.send_bytes(message["bytes"])
            elif message["text"] == "close":
                await socket.close(4001, "as asked")
                return
            elif message["text"] == "fail":
                raise ValueError("as asked")
            else:
                await socket.send_text(message["text"])
    except WebSocketDisconnect as error:
        print(f"closed: {error.code} {error.detail}", flush=True)


def only_with_token(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    raise NotAuthorizedException("Who are you?")


@websocket("/refused", guards=[only_with_token])
async def refused(socket: WebSocket) -> None:
    raise AssertionError("no client has the token")


@websocket("/broken")
async def broken(socket: WebSocket) -> None:
    raise ValueError("as asked")


class Adder(WebsocketListener):
    """Litestar's own way: JSON in, JSON out."""

    path = "/add"

    async def on_receive(self, data: dict[str, int]) -> dict[str, int]:
        return {"sum": sum(data.values())}


app = Litestar([echo, refused, broken, Adder])
