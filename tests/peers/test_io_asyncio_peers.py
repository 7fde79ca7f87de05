"""`rfc6455_io.asyncio` with other libraries at the other end, both roles."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from io_loops import Echo, echo, run

import rfc6455
from rfc6455_io.asyncio import connect, serve

websockets = pytest.importorskip("websockets.asyncio.client")
pytest.importorskip("aiohttp.web")
aiohttp = pytest.importorskip("aiohttp")

MESSAGES: list[str | bytes] = ["", b"", "grüß dich", bytes(range(256)) * 300, "x" * 70_000, "é" * 500_000]
HANDLERS = pytest.mark.parametrize("handler", ["coroutine", "listener"])
EXTENSIONS = pytest.mark.parametrize("extensions", [[], [rfc6455.PerMessageDeflate()]], ids=["plain", "deflate"])


def handler_of(name: str) -> Any:
    return echo if name == "coroutine" else Echo


@HANDLERS
@EXTENSIONS
def test_websockets_as_a_client(handler: str, extensions: list[rfc6455.Extension]) -> None:
    async def main() -> None:
        async with serve(handler_of(handler), "127.0.0.1", 0, extensions=extensions, subprotocols=["v1"]) as server:
            uri = f"ws://127.0.0.1:{server.port}/"
            async with websockets.connect(uri, subprotocols=["v2", "v1"], proxy=None) as ws:
                assert ws.subprotocol == "v1"
                for message in MESSAGES:
                    await ws.send(message)
                for message in MESSAGES:
                    assert await ws.recv() == message
                await ws.send(iter(["in ", "parts"]))
                assert await ws.recv() == "in parts"
                assert await (await ws.ping()) < 30
            assert (ws.close_code, ws.close_reason) == (1000, "")
            async with websockets.connect(uri, proxy=None) as ws:
                closing = asyncio.ensure_future(server.close(reason="update"))
                with pytest.raises(Exception, match="update"):
                    await ws.recv()
                assert ws.close_code == 1012
                await closing

    run(main())


@EXTENSIONS
def test_websockets_as_a_server(extensions: list[rfc6455.Extension]) -> None:
    from websockets.asyncio.server import serve as their_serve

    async def their_echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)
            if message == "close":
                await ws.close(4000, "as you wish")

    async def main() -> None:
        async with their_serve(their_echo, "127.0.0.1", 0) as server:
            uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            async with connect(uri, extensions=extensions, proxy=None) as ws:
                for message in MESSAGES:
                    await ws.send(message)
                for message in MESSAGES:
                    assert await ws.recv() == message
                await ws.send(["in ", "parts"])
                assert await ws.recv() == "in parts"
                assert await ws.ping() < 30
                await ws.send("close")
                assert await ws.recv() == "close"
                with pytest.raises(rfc6455.ConnectionClosedError, match="as you wish"):
                    await ws.recv()

    run(main())


@HANDLERS
@EXTENSIONS
def test_aiohttp_as_a_client(handler: str, extensions: list[rfc6455.Extension]) -> None:
    async def main() -> None:
        async with (
            serve(handler_of(handler), "127.0.0.1", 0, extensions=extensions) as server,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{server.port}/", compress=15) as ws,
        ):
            for message in MESSAGES:
                await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
            for message in MESSAGES:
                assert (await ws.receive()).data == message
            await ws.close()
            assert ws.close_code == 1000

    run(main())


@EXTENSIONS
def test_aiohttp_as_a_server(extensions: list[rfc6455.Extension]) -> None:
    async def their_echo(request: Any) -> Any:
        ws = aiohttp.web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            if message.type is aiohttp.WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    async def main() -> None:
        app = aiohttp.web.Application()
        app.router.add_get("/", their_echo)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with connect(f"ws://127.0.0.1:{port}/", extensions=extensions, proxy=None) as ws:
            for message in MESSAGES:
                await ws.send(message)
            for message in MESSAGES:
                assert await ws.recv() == message
        assert ws.end is not None
        assert ws.end.clean
        with pytest.raises(rfc6455.HandshakeError) as caught:
            await connect(f"ws://127.0.0.1:{port}/nowhere", proxy=None)
        assert caught.value.status == 404
        await runner.cleanup()

    run(main())
