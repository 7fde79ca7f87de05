"""The echo servers that are measured: ``python benchmarks/sockets/servers.py NAME PORT``.

Each is written for speed, as its library's documentation shows. Compression and keepalive are off, and messages may be
as large as in the largest row. The servers on asyncio run on uvloop if it is installed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

# At the end of the path, so that an installed rfc6455 is measured rather than this source tree.
sys.path.append(str(Path(__file__).resolve().parents[2]))

HOST = "127.0.0.1"
LARGEST = 4 << 20

CONSTANT_101 = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


async def floor(port: int) -> None:
    """Run a server without WebSocket. It sends a constant 101, counts bytes, and sends a prepared answer whenever a
    message's worth of them has arrived.

    The first frame of a client determines the size of all its messages.
    """

    class Floor(asyncio.Protocol):
        size = 0
        got = 0

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            if not self.size:
                if data.startswith(b"GET"):
                    self.transport.write(CONSTANT_101)
                    return
                self.size, payload = frame_size(data)
                # Any payload will do, as the client only checks the first echo of a server, and never that of this
                # one.
                self.answer = server_header(payload) + bytes(payload)
            self.got += len(data)
            if self.got >= self.size:
                count, self.got = divmod(self.got, self.size)
                self.transport.write(self.answer if count == 1 else self.answer * count)

    await (await asyncio.get_running_loop().create_server(Floor, HOST, port, backlog=1024)).serve_forever()


def frame_size(data: bytes) -> tuple[int, int]:
    """Return the size of the masked frame at the beginning of the data, and that of its payload (5.2)."""
    length = data[1] & 127
    if length < 126:
        return 6 + length, length
    size = 2 if length == 126 else 8
    length = int.from_bytes(data[2 : 2 + size], "big")
    return 6 + size + length, length


def server_header(length: int) -> bytes:
    if length < 126:
        return bytes((0x82, length))
    return b"\x82\x7e" + length.to_bytes(2, "big") if length < 1 << 16 else b"\x82\x7f" + length.to_bytes(8, "big")


def _ours() -> dict[str, Any]:
    import rfc6455

    return {
        "timeouts": rfc6455.Timeouts(ping_interval=None),
        "limits": rfc6455.Limits(message=LARGEST),
        "origins": rfc6455.ANY_ORIGIN,
    }


async def listener(port: int) -> None:
    from rfc6455_io.asyncio import Listener, serve

    class Echo(Listener):
        def message(self, message: str | bytes) -> None:
            self.send(message)

    async with serve(Echo, HOST, port, backlog=1024, **_ours()) as server:
        await server.serve_forever()


async def coroutines(port: int) -> None:
    from rfc6455_io.asyncio import WebSocket, serve

    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    async with serve(echo, HOST, port, backlog=1024, **_ours()) as server:
        await server.serve_forever()


def threads(port: int) -> None:
    from rfc6455_io.threads import WebSocket, serve

    def echo(ws: WebSocket) -> None:
        for message in ws:
            ws.send(message)

    with serve(echo, HOST, port, max_clients=2000, **_ours()) as server:
        server.serve_forever()


async def picows(port: int) -> None:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    class Echo(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_bytes())

    server = await ws_create_server(lambda request: Echo(), HOST, port, backlog=1024, max_frame_size=LARGEST)
    await server.serve_forever()


async def picows_websockets(port: int) -> None:
    import picows.websockets as api

    await _websockets(api.serve, port)


async def websockets(port: int) -> None:
    from websockets.asyncio.server import serve

    await _websockets(serve, port)


async def _websockets(serve: Any, port: int) -> None:
    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    options = {"compression": None, "ping_interval": None, "max_size": LARGEST}
    async with serve(echo, HOST, port, **options):
        await asyncio.Event().wait()


async def aiohttp(port: int) -> None:
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False, max_msg_size=LARGEST)
        await ws.prepare(request)
        async for message in ws:
            if message.type == WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, backlog=1024).start()
    await asyncio.Event().wait()


async def _asgi(protocol: str, port: int) -> None:
    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    options: dict[str, Any] = {"ws_ping_interval": None, "ws_per_message_deflate": False, "ws_max_size": LARGEST}
    options |= {"lifespan": "off", "log_level": "critical", "backlog": 1024}
    await uvicorn.Server(uvicorn.Config(app, HOST, port, ws=protocol, **options)).serve()


async def uvicorn_ours(port: int) -> None:
    await _asgi("rfc6455_io.uvicorn:Protocol", port)


async def uvicorn_websockets(port: int) -> None:
    await _asgi("websockets-sansio", port)


SERVERS: dict[str, Callable[[int], Coroutine[Any, Any, None]] | Callable[[int], None]] = {
    "floor": floor,
    "Listener": listener,
    "coroutines": coroutines,
    "threads": threads,
    "picows": picows,
    "picows.websockets": picows_websockets,
    "websockets": websockets,
    "aiohttp": aiohttp,
    "uvicorn, ours": uvicorn_ours,
    "uvicorn, websockets": uvicorn_websockets,
}


def main() -> None:
    serve, port = SERVERS[sys.argv[1]], int(sys.argv[2])
    if serve is threads:
        threads(port)
        return
    run: Any = asyncio.run
    if importlib.util.find_spec("uvloop") is not None:
        run = importlib.import_module("uvloop").run
    run(serve(port))


if __name__ == "__main__":
    main()
