"""The app of `test_frameworks.py` on Quart, which tells a handler the end by cancelling it."""

from __future__ import annotations

import asyncio

from quart import Quart, websocket

app = Quart(__name__)


@app.websocket("/echo")
async def echo() -> None:
    await websocket.accept(subprotocol="chat" if "chat" in websocket.requested_subprotocols else None)
    try:
        while True:
            message = await websocket.receive()
            if message == "close":
                await websocket.close(4001, "as asked")
                return
            if message == "fail":
                raise ValueError("as asked")
            await websocket.send(message)
    except asyncio.CancelledError:
        print("closed", flush=True)
        raise


@app.websocket("/refused")
async def refused() -> tuple[str, int, dict[str, str]]:
    return "Who are you?", 401, {"WWW-Authenticate": "Bearer"}


@app.websocket("/broken")
async def broken() -> None:
    raise ValueError("as asked")
