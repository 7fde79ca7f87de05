"""`rfc6455_io.threads` as its users' type checkers see it, in the way of ``users.py``: it is never executed."""

from __future__ import annotations

import ssl
from threading import Event

from typing_extensions import assert_type

import rfc6455
from rfc6455_io.threads import (
    Backoff,
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


def echo(ws: WebSocket) -> None:
    assert_type(ws.request.path, str)
    assert_type(ws.response, rfc6455.Response)
    assert_type(ws.subprotocol, str | None)
    assert_type(ws.latency, float | None)
    for message in ws:
        assert_type(message, str | bytes)
        ws.send(message)


def let_in(request: rfc6455.Request) -> rfc6455.Response | None:
    return None if "Authorization" in request.headers else rfc6455.Response(401)


def run_servers(context: ssl.SSLContext) -> None:
    server = serve(
        echo,
        ["127.0.0.1", "::1"],
        0,
        ssl=context,
        max_clients=10,
        subprotocols=["chat"],
        extensions=[rfc6455.PerMessageDeflate()],
        origins=rfc6455.ANY_ORIGIN,
        hosts=["example.com"],
        process_request=let_in,
        timeouts=rfc6455.Timeouts.NONE,
        limits=rfc6455.Limits(message=None),
    )
    assert_type(server, Server)
    with server as entered:
        assert_type(entered, Server)
        assert_type(entered.port, int)
        assert_type(entered.connections, set[WebSocket])
        assert_type(broadcast(entered.connections, b"news", close_slow=True), list[WebSocket])
        entered.serve_forever()
    assert_type(serve(echo, path="/run/echo").start(), Server)
    server.close(1001, "bye", timeout=None)


def mistakes_in_servers() -> None:
    async def not_a_request(request: str) -> None: ...

    def no_handler() -> None: ...

    serve(no_handler)  # type: ignore[arg-type]
    serve(echo, port="80")  # type: ignore[arg-type]
    serve(echo, "localhost", 80, None)  # type: ignore[call-arg]
    serve(echo, subprotocol="chat")  # type: ignore[call-arg]
    serve(echo, process_request=not_a_request)  # type: ignore[arg-type]
    broadcast([], 1)  # type: ignore[arg-type]


# --- clients ----------------------------------------------------------------------------------------------------


def run_client() -> rfc6455.Closed:
    with connect("wss://example.com/chat", subprotocols=["chat"], proxy=None, redirects=0, parts=False) as ws:
        assert_type(ws, WebSocket)
        ws.send("hello", compress=False)
        ws.send(["two ", "fragments"])
        ws.send(rfc6455.PreparedMessage(b"to all"))
        assert_type(ws.recv(timeout=1.0), str | bytes)
        assert_type(ws.recv_part(), rfc6455.TextPart | rfc6455.BytesPart | rfc6455.EncodedText)
        assert_type(ws.ping(1.0), float)
    ws = connect(rfc6455.parse_uri("ws://example.com/"), headers={"Authorization": "Bearer x"})
    ws.close(4000, "bye")
    assert_type(ws.end, rfc6455.Closed | None)
    return ws.wait_closed(timeout=10.0)


def run_again_and_again(stop: Event) -> None:
    backoff = Backoff(first=0.5, random=lambda: 0.0)
    assert_type(is_worth_a_retry(OSError()), bool)
    for ws in reconnect("wss://example.com/", backoff=backoff, sleep=stop.wait, origin="https://example.com"):
        assert_type(ws, WebSocket)
        try:
            ws.recv()
        except rfc6455.ConnectionClosedError as error:
            assert_type(error.closed, rfc6455.Closed)
    for ws in reconnect(lambda: connect("wss://example.com/")):
        assert_type(ws, WebSocket)


def why(error: ProxyError) -> rfc6455.Response | None:
    return error.response


def mistakes_in_clients(ws: WebSocket) -> None:
    connect(b"ws://example.com/")  # type: ignore[arg-type]
    connect("ws://example.com/", ssl=True)  # type: ignore[arg-type]
    connect("ws://example.com/", header={})  # type: ignore[call-arg]
    reconnect("ws://example.com/", sleep=1.0)  # type: ignore[arg-type]
    ws.recv().encode()  # type: ignore[union-attr]
    ws.recv("1")  # type: ignore[arg-type]
    ws.send(1)  # type: ignore[arg-type]
    ws.close("bye")  # type: ignore[arg-type]
    ws.end.code  # type: ignore[union-attr]
