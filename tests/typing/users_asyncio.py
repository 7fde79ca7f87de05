"""`rfc6455_io.asyncio` as its users' type checkers see it, in the way of ``users.py``: it is never executed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import partial

from typing_extensions import assert_type

import rfc6455
from rfc6455_io.asyncio import (
    Backoff,
    Connect,
    Listener,
    ProxyError,
    Server,
    WebSocket,
    broadcast,
    connect,
    is_worth_a_retry,
    reconnect,
    serve,
)

# --- servers ----------------------------------------------------------------------------------------------------


async def echo(ws: WebSocket) -> None:
    assert_type(ws.request.path, str)
    assert_type(ws.response, rfc6455.Response)
    assert_type(ws.subprotocol, str | None)
    assert_type(ws.latency, float | None)
    async for message in ws:
        assert_type(message, str | bytes)
        await ws.send(message)


async def let_in(request: rfc6455.Request) -> rfc6455.Response | None:
    return None if "Authorization" in request.headers else rfc6455.Response(401)


def let_in_at_once(request: rfc6455.Request) -> rfc6455.Response | None:
    return rfc6455.Response(101, rfc6455.Headers({"Set-Cookie": "seen=1"}))


async def run_servers(context: ssl.SSLContext) -> None:
    server = serve(
        echo,
        "localhost",
        0,
        ssl=context,
        subprotocols=["chat"],
        extensions=[rfc6455.PerMessageDeflate()],
        origins={"https://example.com"},
        require_subprotocol=True,
        hosts=["example.com"],
        process_request=let_in,
        timeouts=rfc6455.Timeouts(idle=60.0),
        limits=rfc6455.Limits(message=None),
        leniencies={rfc6455.Leniency.BARE_LF},
    )
    assert_type(server, Server)
    async with server as entered:
        assert_type(entered, Server)
        assert_type(entered.port, int)
        assert_type(entered.connections, set[WebSocket | Listener])
        assert_type(broadcast(entered.connections, "news", close_slow=True), list[WebSocket | Listener])
        await entered.serve_forever()
    assert_type(await serve(echo, path="/run/echo", process_request=let_in_at_once), Server)
    await server.close(1001, "bye", timeout=None)


def mistakes_in_servers(answer: str) -> None:
    def not_async(ws: WebSocket) -> None: ...

    serve(not_async)  # type: ignore[arg-type]
    serve(echo, port="80")  # type: ignore[arg-type]
    serve(echo, "localhost", 80, None)  # type: ignore[call-arg]
    serve(echo, origins=None)  # type: ignore[arg-type]
    serve(echo, subprotocol="chat")  # type: ignore[call-arg]
    serve(echo, process_request=lambda request: answer)  # type: ignore[arg-type, return-value]
    broadcast([], 1)  # type: ignore[arg-type]


# --- clients ----------------------------------------------------------------------------------------------------


async def run_client() -> rfc6455.Closed:
    assert_type(connect("ws://example.com/"), Connect[WebSocket])
    async with connect("wss://example.com/chat", subprotocols=["chat"], proxy=None, redirects=0, parts=False) as ws:
        assert_type(ws, WebSocket)
        await ws.send("hello", compress=False)
        await ws.send(["two ", "fragments"])
        await ws.send(fragments())
        await ws.send(rfc6455.PreparedMessage(b"to all"))
        assert_type(await ws.recv(), str | bytes)
        assert_type(await ws.recv_part(), rfc6455.TextPart | rfc6455.BytesPart | rfc6455.EncodedText)
        assert_type(await ws.ping(), float)
    ws = await connect(rfc6455.parse_uri("ws://example.com/"), headers={"Authorization": "Bearer x"})
    await ws.close(4000, "bye")
    assert_type(ws.end, rfc6455.Closed | None)
    return await ws.wait_closed()


async def fragments() -> AsyncIterator[str]:
    yield "one"


async def run_again_and_again() -> None:
    backoff = Backoff(first=0.5, random=lambda: 0.0)
    assert_type(backoff.delay(OSError(), 1), float)
    assert_type(is_worth_a_retry(OSError()), bool)
    async for ws in reconnect("wss://example.com/", backoff=backoff, tell=print, origin="https://example.com"):
        assert_type(ws, WebSocket)
        try:
            await asyncio.wait_for(ws.recv(), 1.0)
        except rfc6455.ConnectionClosedError as error:
            assert_type(error.closed, rfc6455.Closed)
    async for ws in reconnect(lambda: connect("wss://example.com/")):
        assert_type(ws, WebSocket)


def why(error: ProxyError) -> rfc6455.Response | None:
    return error.response


async def mistakes_in_clients(ws: WebSocket) -> None:
    connect(b"ws://example.com/")  # type: ignore[call-overload]
    connect("ws://example.com/", ssl=True)  # type: ignore[call-overload]
    connect("ws://example.com/", header={})  # type: ignore[call-overload]
    reconnect("ws://example.com/", backoff=1.0)  # type: ignore[arg-type]
    (await ws.recv()).upper().encode()  # type: ignore[union-attr]
    await ws.send(1)  # type: ignore[arg-type]
    await ws.close("bye")  # type: ignore[arg-type]
    ws.end.code  # type: ignore[union-attr]
    for _ in ws:  # type: ignore[attr-defined]
        pass


# --- callbacks --------------------------------------------------------------------------------------------------


class Echo(Listener):
    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def opened(self, head: rfc6455.Request | rfc6455.Response) -> None:
        assert_type(self.request, rfc6455.Request)

    def message(self, message: str | bytes) -> None:
        assert_type(self.send(message, fin=True), bool)
        assert_type(self.is_writable, bool)

    def part(self, part: rfc6455.TextPart | rfc6455.BytesPart | rfc6455.EncodedText) -> None:
        assert_type(part.final, bool)

    def pong(self, payload: bytes) -> None:
        self.ping(payload)

    def writable(self) -> None:
        self.resume()

    def closed(self, closed: rfc6455.Closed) -> None:
        assert_type(closed.code, int)


class Wrong(Listener):
    def message(self, message: str) -> None:  # type: ignore[override]
        self.send(message)


async def run_callbacks() -> None:
    async with serve(Echo), serve(partial(Echo, "> ")):
        pass
    async with connect("ws://example.com/", Echo) as client:
        assert_type(client, Echo)
        assert_type(client.prefix, str)
    assert_type(await connect("ws://example.com/", partial(Echo, "> ")), Echo)
    connect("ws://example.com/", str)  # type: ignore[type-var]
