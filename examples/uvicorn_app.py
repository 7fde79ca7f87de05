"""A small Starlette app to run on `rfc6455`: an echo, and rooms whose members receive each other's messages.

The app does not depend on the library that implements the protocol; the command line chooses that. With uvicorn and
Starlette installed (``pip install uvicorn starlette``), in a clone:

    uvicorn --app-dir examples --ws rfc6455_io.uvicorn:Protocol uvicorn_app:app

Then, in another terminal, run the chat's client, or two of them in one room:

    python3 examples/chat/client.py 'ws://localhost:8000/room/club?name=Ann'
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

# The number of lines that are kept for a member who does not read. Beyond that, the oldest are dropped.
BACKLOG = 100

Lines = asyncio.Queue[str]

rooms: defaultdict[str, set[Lines]] = defaultdict(set)


async def echo(ws: WebSocket) -> None:
    """Send back each message, text as text and bytes as bytes."""
    await ws.accept(subprotocol="echo" if "echo" in ws.scope["subprotocols"] else None)
    while (message := await ws.receive())["type"] == "websocket.receive":
        await ws.send({**message, "type": "websocket.send"})


async def room(ws: WebSocket) -> None:
    """Pass on each member's messages to the others. A slow member keeps nobody waiting, as each has a queue of
    lines."""
    who = ws.query_params.get("name")
    if not who:
        await ws.send_denial_response(PlainTextResponse("Who are you? Add ?name= to the address.\n", 401))
        return
    await ws.accept()
    name, own = ws.path_params["room"], Lines(BACKLOG)
    members = rooms[name]
    members.add(own)
    telling = asyncio.create_task(tell(ws, own))
    try:
        async for text in ws.iter_text():
            for lines in members - {own}:
                put(lines, f"{who}: {text}")
    finally:
        members.discard(own)
        if not members:  # clients can invent any name, so no room outlives its last member
            del rooms[name]
        telling.cancel()


async def tell(ws: WebSocket, lines: Lines) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await ws.send_text(await lines.get())


def put(lines: Lines, line: str) -> None:
    if lines.full():
        lines.get_nowait()
    lines.put_nowait(line)


app = Starlette(routes=[WebSocketRoute("/echo", echo), WebSocketRoute("/room/{room}", room)])
