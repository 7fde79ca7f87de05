"""The app of `test_socketio.py`: python-socketio as an ASGI app."""

from __future__ import annotations

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str] | None) -> None:
    if auth == {"token": "wrong"}:
        raise socketio.exceptions.ConnectionRefusedError("Who are you?", {"status": 401})
    print(f"connected: {server.transport(sid)}", flush=True)


@server.event
async def echo(sid: str, *data: Any) -> list[Any]:
    await server.emit("echo", data, to=sid)
    return list(data)


@server.event
async def transport(sid: str) -> str:
    return server.transport(sid)


@server.event
async def fail(sid: str) -> None:
    raise ValueError("as asked")


@server.event
async def leave(sid: str) -> None:
    await server.disconnect(sid)


@server.event
async def disconnect(sid: str, reason: str) -> None:
    print(f"disconnected: {reason}", flush=True)
