"""The package as its users' type checkers see it: ``tox -e typing-users`` runs mypy and pyright over this folder, both
strict, with the package installed (so from this folder, where the sources are not found). It is never executed. The
other files do the same for the modules of ``rfc6455_io``.

The law: `assert_type` says what a checker must know without help, and each ``type: ignore`` stands on a mistake that
it must find. Both checkers report an ``ignore`` that is not needed, so a mistake that passes is a failure here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from typing_extensions import assert_never, assert_type

import rfc6455
from rfc6455 import testing

# --- the opening handshake --------------------------------------------------------------------------------------


def serve(reads: Iterator[bytes]) -> rfc6455.Connection | None:
    handshake = rfc6455.ServerHandshake(
        subprotocols=["chat"],
        extensions=[rfc6455.PerMessageDeflate(level=1, implementation=zlib)],
        origins={"https://example.com"},
        limits=rfc6455.Limits(message=None, head=8192),
    )
    try:
        while (request := handshake.receive_data(next(reads))) is None:
            pass
    except rfc6455.HandshakeError as error:
        assert_type(error.status, int | None)
        assert_type(error.response, rfc6455.Response | None)
        return None
    assert_type(request, rfc6455.Request)
    assert_type(request.path, str)
    assert_type(request.origin, str | None)
    assert_type(request.subprotocols, list[str])
    if request.headers.get("Authorization") is None:
        handshake.reject(401, {"WWW-Authenticate": "Bearer"}, b"who are you?")
        return None
    return handshake.accept(headers=[("Set-Cookie", "seen=1"), (b"X-Raw", b"1")])


def connect(reads: Iterator[bytes]) -> rfc6455.Connection:
    handshake = rfc6455.ClientHandshake(
        "wss://example.com/chat", subprotocols=["chat"], headers={"Authorization": "Bearer x"}
    )
    assert_type(handshake.uri, rfc6455.URI)
    assert_type(handshake.uri.port, int)
    assert_type(handshake.request, rfc6455.Request)
    assert_type(handshake.data_to_send(), bytes)
    while True:
        ws = handshake.receive_data(next(reads))
        assert_type(ws, rfc6455.Connection | None)
        if ws is not None:
            return ws


def handshakes_of_other_programs(headers: list[tuple[bytes, bytes]]) -> None:
    handshake = rfc6455.ServerHandshake(origins=rfc6455.ANY_ORIGIN)
    assert_type(handshake.receive_request("GET", "/", headers), rfc6455.Request)
    assert_type(handshake.headers_to_send(), list[tuple[bytes, bytes]])
    assert_type(handshake.accept("chat", parts=True), rfc6455.Connection)
    assert_type(rfc6455.ClientHandshake("ws://a/").receive_response(101, {"Upgrade": "websocket"}), rfc6455.Connection)
    server = rfc6455.Http2ServerHandshake()
    assert_type(server.receive_headers(headers), rfc6455.Request)
    assert_type(server.headers_to_send(), list[tuple[bytes, bytes]])
    client = rfc6455.Http2ClientHandshake(rfc6455.URI(True, "example.com", 443))
    assert_type(client.receive_headers([(b":status", b"200")]), rfc6455.Connection | None)
    assert_type(client.give_up(), rfc6455.HandshakeError)


def mistakes_in_handshakes(handshake: rfc6455.ClientHandshake, request: rfc6455.Request) -> None:
    handshake.receive_data(b"").send_text("hi")  # type: ignore[union-attr]
    request.origin.lower()  # type: ignore[union-attr]
    request.headers["Host"] = "example.com"  # type: ignore[index]
    rfc6455.ServerHandshake(origins=None)  # type: ignore[arg-type]
    rfc6455.ServerHandshake(extensions=["permessage-deflate"])  # type: ignore[list-item]
    rfc6455.ServerHandshake(["chat"])  # type: ignore[call-arg]
    rfc6455.ServerHandshake(limits=5)  # type: ignore[arg-type]
    rfc6455.ServerHandshake(limit=rfc6455.Limits())  # type: ignore[call-arg]


# --- events -----------------------------------------------------------------------------------------------------


def receive(ws: rfc6455.Connection, data: bytes | bytearray | memoryview) -> None:
    events = ws.receive_data(None if ws.unread else data)
    assert_type(events, list[rfc6455.Event])
    for event in events:
        match event:
            case rfc6455.TextMessage(text):
                assert_type(text, str)
            case rfc6455.BytesMessage(data=content):
                assert_type(content, bytes)
            case rfc6455.TextPart(text, final):
                assert_type(text, str)
                assert_type(final, bool)
            case rfc6455.BytesPart(content, final) | rfc6455.EncodedText(content, final):
                assert_type(content, bytes)
                assert_type(final, bool)
            case rfc6455.Ping(payload) | rfc6455.Pong(payload):
                assert_type(payload, bytes)
            case rfc6455.Closed(code, reason, clean, error, cause):
                assert_type(code, int)
                assert_type(reason, str)
                assert_type(clean, bool)
                assert_type(error, rfc6455.ProtocolError | None)
                assert_type(cause, rfc6455.CloseCause)
            case _:
                assert_never(event)


def tell_why(closed: rfc6455.Closed) -> str:
    if isinstance(closed.error, rfc6455.RemoteProtocolError):
        assert_type(closed.error.close_code, int)
        assert_type(closed.error.offset, int | None)
        assert_type(closed.error.frames, list[rfc6455.Frame])
        return closed.error.section
    return closed.reason or closed.cause.value


def mistakes_with_events(event: rfc6455.Event, closed: rfc6455.Closed) -> None:
    event.text  # type: ignore[union-attr]
    closed.error.section  # type: ignore[union-attr]
    rfc6455.TextMessage(b"hi")  # type: ignore[arg-type]
    rfc6455.BytesPart(b"hi")  # type: ignore[call-arg]


# --- the connection ---------------------------------------------------------------------------------------------


def send(ws: rfc6455.Connection) -> bytes:
    ws.send_text("a fragment, ", fin=False, compress=True)
    ws.send_text("and the last one")
    ws.send_bytes(memoryview(b"bytes"))
    ws.send_prepared(rfc6455.PreparedMessage("to all", compress=False))
    ws.ping(bytearray(b"1"))
    ws.send_text(b"as UTF-8")
    ws.send(rfc6455.TextMessage("of a relay"))
    ws.close(rfc6455.CloseCode.GOING_AWAY, "restart")
    ws.close(None)
    return ws.data_to_send()


def look_at(ws: rfc6455.Connection) -> None:
    assert_type(ws.role, rfc6455.Role)
    assert_type(ws.limits, rfc6455.Limits)
    assert_type(ws.limits.message, int | None)
    assert_type(ws.subprotocol, str | None)
    assert_type(ws.extensions, tuple[rfc6455.MessageCodec, ...])
    assert_type(ws.state, rfc6455.ConnectionState)
    assert_type(ws.sent, rfc6455.Direction)
    assert_type(ws.last_pong, bytes | None)
    assert_type(ws.leniencies_used, dict[rfc6455.Leniency, int])
    assert_type(ws.closed, bool)
    assert_type(ws.end, rfc6455.Closed | None)
    assert_type(ws.has_data_to_send, bool)
    assert_type(ws.buffers_to_send(), list[bytes])
    assert_type(ws.must_close, bool)
    assert_type(ws.retained_bytes, int)


def mistakes_with_a_connection(ws: rfc6455.Connection) -> None:
    rfc6455.Connection("client")  # type: ignore[arg-type]
    rfc6455.Connection(rfc6455.CLIENT, (), None)  # type: ignore[call-arg]
    rfc6455.Connection(rfc6455.CLIENT, parts=1)  # type: ignore[arg-type]
    ws.send_text(1)  # type: ignore[arg-type]
    ws.send_bytes("hi")  # type: ignore[arg-type]
    ws.send_text("hi", False)  # type: ignore[call-arg]
    ws.close("bye")  # type: ignore[arg-type]
    ws.receive_data("hi")  # type: ignore[arg-type]
    ws.closed = True  # type: ignore[misc]
    ws.limits.message = 1  # type: ignore[misc]


def keep_alive(ws: rfc6455.Connection, now: float) -> float | None:
    deadlines = rfc6455.Deadlines(rfc6455.Timeouts(ping_interval=30, idle=None), now=now)
    deadlines.opened(ws, now=now)
    assert_type(deadlines.advance(now=now), list[rfc6455.Event])
    assert_type(deadlines.latency, float | None)
    assert_type(deadlines.timeouts.pong, float | None)
    return deadlines.next_deadline()


def mistakes_with_time(deadlines: rfc6455.Deadlines) -> None:
    deadlines.next_deadline() + 1.0  # type: ignore[operator]
    rfc6455.Timeouts(pong="20")  # type: ignore[arg-type]


# --- frames, headers, codes -------------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    parser = rfc6455.FrameParser(rfc6455.SERVER, limits=rfc6455.Limits(), reserved_bits=4)
    for frame in parser.receive_data(data):
        assert_type(frame.opcode, int)
        assert_type(frame.payload, bytes)
        assert_type(frame.fin, bool)
        assert_type(rfc6455.serialize_frame(frame, masking_key=b"1234"), bytes)
    assert_type(rfc6455.apply_mask(bytearray(data), b"1234"), bytes)
    assert_type(rfc6455.CLIENT.peer, rfc6455.Role)
    assert_type(rfc6455.is_sendable_close_code(1000), bool)
    assert_type(rfc6455.Frame(3, b"of a reserved opcode"), rfc6455.Frame)


def headers() -> None:
    fields = rfc6455.Headers({"Host": "example.com"})
    assert_type(fields["host"], str)
    assert_type(fields.get("Origin"), str | None)
    assert_type(fields.get_all("Via"), tuple[str, ...])
    assert_type(list(fields), list[tuple[str, str]])
    rfc6455.Headers({"Content-Length": 5})  # type: ignore[arg-type]


# --- an extension of the user's own -----------------------------------------------------------------------------


class Rot13(rfc6455.MessageCodec):
    reserved_bits = 2

    def decode(self, payload: bytes, final: bool) -> bytes:
        return payload

    def encode(self, payload: bytes, final: bool) -> bytes:
        return payload


class Rot13Extension(rfc6455.Extension):
    name = "x-rot13"

    def codec(self) -> Rot13:
        return Rot13()


class Unfinished:
    name = "x-unfinished"


def extensions() -> None:
    ready: list[rfc6455.Extension] = [Rot13Extension(), rfc6455.PerMessageDeflate()]
    rfc6455.ClientHandshake("ws://example.com/", extensions=ready)
    rfc6455.Connection(rfc6455.SERVER, [Rot13()])
    rfc6455.Connection(rfc6455.SERVER, [Rot13Extension()])  # type: ignore[list-item]
    rfc6455.ServerHandshake(extensions=[Unfinished()])  # type: ignore[list-item]
    assert_type(rfc6455.DeflateParameters.parse([("client_max_window_bits", None)]), rfc6455.DeflateParameters)


# --- tests of the user's own ------------------------------------------------------------------------------------


def in_tests() -> None:
    pair = testing.Pair(rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER), testing.halves)
    assert_type(pair.flush(rfc6455.CLIENT), int)
    testing.play(pair, [testing.Say(rfc6455.CLIENT, "text", "hi"), testing.Carry(rfc6455.CLIENT, 2)])
    testing.assert_fails_with(1002, lambda: rfc6455.Connection(rfc6455.SERVER), b"", testing.CutAt((1, 2)))
    found, rest = testing.read_frames(b"")
    assert_type(found, list[testing.WireFrame])
    assert_type(rest, bytes)
    testing.feed(Unfinished(), [b""])  # type: ignore[arg-type]
    testing.Say(rfc6455.CLIENT, "txt", "hi")  # type: ignore[arg-type]
