"""The app of `test_frameworks.py` on FastAPI."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, WebSocket, WebSocketDisconnect, WebSocketException
from starlette.responses import PlainTextResponse

app = FastAPI()


@app.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    await ws.accept(subprotocol="chat" if "chat" in ws.scope["subprotocols"] else None)
    try:
        while True:
            message = await ws.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"], message.get("reason"))
            if message.get("bytes") is not None:
                await ws.send_bytes(message["bytes"])
            elif message["text"] == "close":
                await ws.close(4001, "as asked")
                return
            elif message["text"] == "fail":
                raise ValueError("as asked")
            else:
                await ws.send_text(message["text"])
    except WebSocketDisconnect as error:
        print(f"closed: {error.code} {error.reason}", flush=True)


def token(token: str = "") -> str:
    if token != "secret":
        raise HTTPException(401, "Who are you?", {"WWW-Authenticate": "Bearer"})
    return token


@app.websocket("/refused")
async def refused(ws: WebSocket, token: Annotated[str, Depends(token)]) -> None:
    raise AssertionError("no client has the token")


@app.websocket("/denied")
async def denied(ws: WebSocket) -> None:
    await ws.send_denial_response(PlainTextResponse("Try again later", 503, {"Retry-After": "5"}))


@app.websocket("/forbidden")
async def forbidden(ws: WebSocket) -> None:
    raise WebSocketException(1008, "not here")


@app.websocket("/broken")
async def broken(ws: WebSocket) -> None:
    raise ValueError("as asked")
