"""The opening handshake over HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220): header lists in, header lists out."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import EVERY_CHUNKING, Chunking
from hypothesis import given
from hypothesis import strategies as st
from opening import Runs, error_of
from tiny_extension import Shift, ShiftCodec

from rfc6455 import (
    ANY_ORIGIN,
    CLIENT,
    SERVER,
    URI,
    CloseCause,
    HandshakeError,
    Headers,
    Limits,
    LocalProtocolError,
    PerMessageDeflate,
    Response,
)
from rfc6455.extensions import Parameters
from rfc6455.handshake.http2 import Http2ClientHandshake, Http2ServerHandshake

# RFC 8441, 5.1, "Example".
REQUEST = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "server.example.com"),
    ("sec-websocket-protocol", "chat, superchat"),
    ("sec-websocket-extensions", "permessage-deflate"),
    ("sec-websocket-version", "13"),
    ("origin", "http://www.example.com"),
]
RESPONSE = [(":status", "200"), ("sec-websocket-protocol", "chat")]

Pairs = list[tuple[str, str]]


def encoded(pairs: Pairs) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def request(*extra: tuple[str, str], without: str = "", **changed: str) -> Pairs:
    """Return a good request without an origin, except for what the arguments say: ``method="GET"`` changes
    ``:method``."""
    changes = {f":{name}": value for name, value in changed.items()}
    kept = [(name, changes.get(name, value)) for name, value in REQUEST if name not in (without, "origin")]
    return [*kept, *extra]


# The example.


@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_server_of_5_1(as_bytes: bool) -> None:
    handshake = Http2ServerHandshake(subprotocols=["chat"], origins=["http://www.example.com"])
    got = handshake.receive_headers(encoded(REQUEST) if as_bytes else REQUEST)
    assert got is handshake.request
    assert (got.method, got.target, got.version) == ("CONNECT", "/chat", "HTTP/2")
    assert (got.path, got.host, got.origin) == ("/chat", "server.example.com", "http://www.example.com")
    assert got.subprotocols == ["chat", "superchat"]
    ws = handshake.accept()
    assert handshake.headers_to_send() == encoded(RESPONSE)
    assert handshake.data_to_send() == b""
    assert (ws.role, ws.subprotocol, ws.data_to_send()) == (SERVER, "chat", b"")


def test_the_client_of_5_1() -> None:
    handshake = Http2ClientHandshake(
        "wss://server.example.com/chat",
        subprotocols=["chat", "superchat"],
        extensions=[PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)],
        origin="http://www.example.com",
    )
    sent = handshake.headers_to_send()
    assert sent[:5] == encoded(REQUEST[:5])
    assert {name: value.split(b";")[0] for name, value in sent} == dict(encoded(REQUEST))
    ws = handshake.receive_headers(RESPONSE)
    assert ws is not None
    assert (ws.role, ws.subprotocol) == (CLIENT, "chat")
    assert handshake.response == Response(200, Headers(RESPONSE[1:]), version="HTTP/2")


@pytest.mark.parametrize(
    ("uri", "scheme", "path", "authority"),
    [
        ("ws://a.example:81", "http", "/", "a.example:81"),
        ("wss://[::1]:443/x?y", "https", "/x?y", "[::1]"),
        (URI(False, "b", 80, "/z"), "http", "/z", "b"),
    ],
)
def test_pseudo_header_fields(uri: str | URI, scheme: str, path: str, authority: str) -> None:
    sent = dict(Http2ClientHandshake(uri).headers_to_send())
    assert sent == {
        b":method": b"CONNECT",
        b":protocol": b"websocket",
        b":scheme": scheme.encode(),
        b":path": path.encode(),
        b":authority": authority.encode(),
        b"sec-websocket-version": b"13",
    }


# What a server refuses.

BAD_REQUESTS: dict[str, tuple[Pairs, int, str]] = {
    "GET": (request(method="GET"), 400, "RFC 8441 5"),
    "no method": (request(without=":method"), 400, "RFC 8441 5"),
    # RFC 8441, 4: ":scheme and :path [...] MUST also be included"
    "no scheme": (request(without=":scheme"), 400, "RFC 8441 4"),
    "no path": (request(without=":path"), 400, "RFC 8441 4"),
    "no authority": (request(without=":authority"), 400, "RFC 8441 4"),
    "CONNECT of a proxy": (request(without=":protocol"), 400, "RFC 8441 4"),
    # RFC 9220, 3
    "another protocol": (request(protocol="connect-udp"), 501, "RFC 9220 3"),
    "protocol in another case": (request(protocol="WebSocket"), 501, "RFC 9220 3"),
    "another scheme": (request(scheme="wss"), 400, "RFC 8441 5"),
    "path *": (request(path="*"), 400, "RFC 8441 5"),
    "empty path": (request(path=""), 400, "RFC 8441 5"),
    "path with fragment": (request(path="/#a"), 400, "RFC 8441 5"),
    "path with a line in it": (request(path="/a\r\nX: y"), 400, "RFC 9113 8.2.1"),
    "path with a space": (request(path="/a b"), 400, "RFC 8441 5"),
    "path that is not ASCII": (request(path="/\xe9"), 400, "RFC 8441 5"),
    "empty authority": (request(authority=""), 400, "RFC 8441 5"),
    "authority with user": (request(authority="u@a"), 400, "RFC 8441 5"),
    "unknown pseudo-header field": ([*request()[:5], (":x", "y")], 400, "RFC 8441 4"),
    # RFC 9113, 8.3
    "pseudo-header field twice": ([(":path", "/"), *request()], 400, "RFC 9113 8.3"),
    "pseudo-header field at the end": ([*request(without=":path"), (":path", "/")], 400, "RFC 9113 8.3"),
    "status in a request": ([(":status", "200"), *request()], 400, "RFC 8441 4"),
    # RFC 9113, 8.2.1: "A field value MUST NOT contain the zero value (ASCII NUL, 0x00), line feed (ASCII LF, 0x0a), or
    # carriage return (ASCII CR, 0x0d) at any position."
    "value with a line in it": (request(("x", "a\r\nb: c")), 400, "RFC 9113 8.2.1"),
    "value with a zero": (request(("x", "a\0")), 400, "RFC 9113 8.2.1"),
    "name with a space": (request(("x y", "z")), 400, "RFC 9113 8.2.1"),
    "name with a colon": (request(("x:y", "z")), 400, "RFC 9113 8.2.1"),
    "empty name": (request(("", "z")), 400, "RFC 9113 8.2.1"),
    # "A field value MUST NOT start or end with an ASCII whitespace character"
    "value that begins with a space": (request(("x", " a")), 400, "RFC 9113 8.2.1"),
    "value that ends with a tab": (request(("x", "a\t")), 400, "RFC 9113 8.2.1"),
    # RFC 8441, 5: "They MUST NOT be included in the CONNECT request"
    "connection": (request(("connection", "Upgrade")), 400, "RFC 8441 5"),
    "upgrade": (request(("upgrade", "websocket")), 400, "RFC 8441 5"),
    "transfer-encoding": (request(("transfer-encoding", "chunked")), 400, "RFC 8441 5"),
    "content-length": (request(("content-length", "5")), 400, "RFC 8441 5"),
    "upper case": (request(("X-Name", "y")), 400, "RFC 9113 8.2"),
    "host of another": (request(("host", "evil.example")), 400, "RFC 9113 8.3.1"),
    "host with another port": (request(("host", "server.example.com:80")), 400, "RFC 9113 8.3.1"),
    "host without the port": (
        request(("host", "server.example.com"), authority="server.example.com:80"),
        400,
        "RFC 9113 8.3.1",
    ),
    "two hosts": (request(("host", "server.example.com"), ("host", "x")), 400, "RFC 9113 8.3.1"),
    # as in RFC 6455
    "no version": (request(without="sec-websocket-version"), 400, "4.2.2"),
    "version twice": (request(("sec-websocket-version", "13")), 400, "4.2.2"),
    "another version": (
        [*request(without="sec-websocket-version"), ("sec-websocket-version", "8")],
        400,
        "4.2.2",
    ),
    "another origin": (request(("origin", "https://evil.example")), 403, "10.2"),
    "two origins": (request(("origin", "a"), ("origin", "b")), 400, "RFC 6454 7.3"),
    "subprotocol twice": (request(("sec-websocket-protocol", "chat")), 400, "4.1"),
    "subprotocol is no token": (request(("sec-websocket-protocol", "a b")), 400, "4.3"),
    "malformed extensions": (request(("sec-websocket-extensions", "a;")), 400, "9.1"),
}


@pytest.mark.parametrize(("pairs", "status", "section"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_bad_request(pairs: Pairs, status: int, section: str) -> None:
    handshake = Http2ServerHandshake()
    with pytest.raises(HandshakeError) as caught:
        handshake.receive_headers(pairs)
    error = caught.value
    assert (error.status, error.section) == (status, section)
    assert error.response is handshake.response is not None
    sent = handshake.headers_to_send()
    body = handshake.data_to_send()
    assert sent == [
        (b":status", b"%d" % status),
        (b"sec-websocket-version", b"13"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    assert error.reason.encode() in body
    for call in (handshake.accept, lambda: handshake.reject(400), lambda: handshake.receive_headers(REQUEST)):
        with pytest.raises(LocalProtocolError):
            call()


@pytest.mark.parametrize(
    "pairs",
    [
        request(),
        request(("host", "Server.Example.Com")),
        # RFC 9113, 8.3.1: the two "need to be normalized to compare them"
        request(("host", "server.example.com:443")),
        request(("host", "server.example.com"), authority="server.example.com:443"),
        request(("host", "Server.example.com:80"), scheme="http"),
        request(("host", "[::1]:443"), authority="[::1]"),
        request(("x", "")),
        request(("origin", "https://server.example.com")),
        request(("cookie", "a=b"), ("cookie", "c=\xe9")),
        request(scheme="http"),
        # RFC 8441, 5: the key is not looked at, since ":protocol" has its place
        request(("sec-websocket-key", "nonsense")),
    ],
)
def test_good_request(pairs: Pairs) -> None:
    handshake = Http2ServerHandshake()
    handshake.receive_headers(pairs)
    handshake.accept()
    assert handshake.headers_to_send() == [(b":status", b"200")]


# The server's answer.


def test_accept_with_everything() -> None:
    handshake = Http2ServerHandshake(
        subprotocols=["superchat"], extensions=[Shift(3)], origins=ANY_ORIGIN, limits=Limits(message=5)
    ).another()
    handshake.receive_headers([*REQUEST, ("sec-websocket-extensions", "x-shift; least=3")])
    ws = handshake.accept("chat", [("Set-Cookie", "a=b")], parts=True)
    assert handshake.headers_to_send() == [
        (b":status", b"200"),
        (b"sec-websocket-protocol", b"chat"),
        (b"sec-websocket-extensions", b"x-shift; least=3"),
        (b"set-cookie", b"a=b"),
    ]
    assert ws.limits.message == 5
    assert [codec.reserved_bits for codec in ws.extensions] == [2]


def test_required_subprotocol() -> None:
    handshake = Http2ServerHandshake(subprotocols=["other"], require_subprotocol=True)
    with pytest.raises(HandshakeError, match="one of these subprotocols is required: other"):
        handshake.receive_headers(request())


def test_reject() -> None:
    handshake = Http2ServerHandshake()
    handshake.receive_headers(request())
    handshake.reject(404, [("X", "y")], b"No such room.\n")
    assert handshake.headers_to_send() == [
        (b":status", b"404"),
        (b"x", b"y"),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"14"),
    ]
    assert handshake.data_to_send() == b"No such room.\n"
    assert handshake.data_to_send() == b""
    with pytest.raises(LocalProtocolError):
        handshake.accept()


@pytest.mark.parametrize("status", [0, 101, 200, 204, 299, 600, 999, 1000, 404.0, "404", None])
def test_reject_with_a_status_that_would_not(status: Any) -> None:
    # RFC 9110, 9.3.6: any 2xx accepts a CONNECT
    handshake = Http2ServerHandshake()
    handshake.receive_headers(request())
    with pytest.raises(LocalProtocolError):
        handshake.reject(status)
    handshake.accept()


@pytest.mark.parametrize(
    "headers",
    [[("X", "a\r\nb")], [("X\0", "a")], [("Upgrade", "x")], [("sec-websocket-protocol", "x")], [("X", "\u20ac")]],
)
def test_what_cannot_be_written(headers: Pairs) -> None:
    handshake = Http2ServerHandshake()
    handshake.receive_headers(request())
    for call in (
        lambda: handshake.accept(headers=headers),
        lambda: handshake.reject(404, headers),
        lambda: Http2ClientHandshake("ws://a/", headers=headers),
    ):
        with pytest.raises(LocalProtocolError):
            call()
    assert handshake.response is None
    with pytest.raises(LocalProtocolError):
        Http2ClientHandshake("ws://a/", origin="a\nb")


class Greedy(Shift):
    """A faulty extension: it asks for a fourth bit."""

    def accept_offer(self, parameters: Parameters) -> ShiftCodec | None:
        codec = super().accept_offer(parameters)
        assert codec is not None
        codec.reserved_bits = 8
        return codec


def test_an_answer_that_cannot_be_given_is_none() -> None:
    handshake = Http2ServerHandshake(extensions=[Greedy()])
    handshake.receive_headers(request(("sec-websocket-extensions", "x-shift; least=0")))
    with pytest.raises(ValueError, match="reserved_bits is 4, 2, 1"):
        handshake.accept()
    assert handshake.response is None
    handshake.reject(500)
    assert handshake.headers_to_send()[0] == (b":status", b"500")


def test_calls_out_of_order() -> None:
    handshake = Http2ServerHandshake()
    assert handshake.data_to_send() == b""
    assert handshake.headers_to_send() == []
    with pytest.raises(LocalProtocolError, match="the request must be received first"):
        handshake.accept()
    handshake.receive_headers(request())
    with pytest.raises(LocalProtocolError, match="make another handshake for another stream"):
        handshake.receive_headers(request())
    handshake.accept()
    with pytest.raises(LocalProtocolError):
        handshake.accept()
    client = Http2ClientHandshake("ws://a/")
    client.receive_headers([(":status", "200")])
    with pytest.raises(LocalProtocolError, match="has ended"):
        client.receive_headers([(":status", "200")])


# What a client refuses.


@pytest.mark.parametrize("status", ["200", "201", "299"])
def test_a_2xx_opens(status: str) -> None:
    handshake = Http2ClientHandshake("ws://a/", subprotocols=["chat"], extensions=[Shift(), Runs()])
    assert handshake.receive_headers([(":status", "103"), ("link", "x")]) is None
    ws = handshake.receive_headers(encoded([(":status", status), ("sec-websocket-extensions", "x-runs")]))
    assert ws is not None
    assert [codec.reserved_bits for codec in ws.extensions] == [1]


@pytest.mark.parametrize("status", [300, 403, 501, 999])
def test_a_refusal(status: int) -> None:
    handshake = Http2ClientHandshake("ws://a/")
    assert handshake.receive_headers([(":status", str(status)), ("x", "y")]) is None
    assert handshake.response == Response(status, Headers([("x", "y")]), version="HTTP/2")
    with pytest.raises(HandshakeError, match="not 200") as caught:
        handshake.receive_data(b"")
    assert (caught.value.status, caught.value.cause) == (status, CloseCause.OPENING_REFUSED)
    assert caught.value.response == handshake.response


@EVERY_CHUNKING
def test_the_body_of_a_refusal(chunk: Chunking) -> None:
    """The stream ends with it, or Content-Length says how long it is; trailers mean nothing."""
    for length in ([], [("content-length", "4")]):
        handshake = Http2ClientHandshake("ws://a/")
        assert handshake.receive_headers([(":status", "403"), *length]) is None
        portions = [*chunk(b"No.\n"), *([] if length else [b""])]
        for portion in portions[:-1]:
            assert handshake.receive_data(portion) is None
        if not length:
            assert handshake.receive_headers([("x-trailer", "y")]) is None
        with pytest.raises(HandshakeError) as caught:
            handshake.receive_data(portions[-1])
        assert caught.value.response is handshake.response is not None
        assert (caught.value.status, handshake.response.body) == (403, b"No.\n")
        with pytest.raises(LocalProtocolError, match="has ended"):
            handshake.receive_data(b"")


@pytest.mark.parametrize("fields", [[("content-length", "0")], []])
def test_a_refusal_that_has_no_body(fields: Pairs) -> None:
    status = "403" if fields else "304"
    with pytest.raises(HandshakeError, match=f"the server answered {status}"):
        Http2ClientHandshake("ws://a/").receive_headers([(":status", status), *fields])


@pytest.mark.parametrize(
    ("data", "cause"), [(b"", CloseCause.OPENING_EOF), (b"x", CloseCause.OPENING_INVALID)], ids=["end", "data"]
)
def test_a_stream_without_a_head(data: bytes, cause: CloseCause) -> None:
    server = Http2ServerHandshake()
    with pytest.raises(HandshakeError) as caught:
        server.receive_data(data)
    assert (caught.value.status, caught.value.cause) == (400, cause)
    assert server.headers_to_send()[0] == (b":status", b"400")
    with pytest.raises(HandshakeError) as caught:
        Http2ClientHandshake("ws://a/").receive_data(data)
    assert (caught.value.status, caught.value.response, caught.value.cause) == (None, None, cause)


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([], None),
        ([("x", "y")], None),
        ([(":status", "")], None),
        ([(":status", "20")], None),
        ([(":status", "0200")], None),
        ([(":status", "099")], None),
        ([(":status", "\xb2\xb2\xb2")], None),
        ([(":status", "200"), (":status", "200")], None),
        # RFC 9113, 8.6
        ([(":status", "101")], None),
        ([(":status", "200"), (":path", "/")], None),
        ([("x", "y"), (":status", "200")], None),
        ([(":status", "200"), ("x", "a\r\nb: c")], None),
        # RFC 9113, 8.2 and 8.2.2
        ([(":status", "200"), ("Server", "x")], None),
        ([(":status", "200"), ("connection", "close")], None),
        ([(":status", "200"), ("upgrade", "websocket")], None),
        ([(":status", "403"), ("transfer-encoding", "chunked")], None),
        ([(":status", "103"), ("keep-alive", "timeout=5")], None),
        ([(":status", "200"), ("sec-websocket-protocol", "other")], 200),
        ([(":status", "200"), ("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "chat")], 200),
        ([(":status", "200"), ("sec-websocket-extensions", "x-other")], 200),
        ([(":status", "200"), ("sec-websocket-extensions", "a;")], 200),
    ],
)
def test_bad_response(pairs: Pairs, status: int | None) -> None:
    handshake = Http2ClientHandshake("ws://a/", subprotocols=["chat"])
    with pytest.raises(HandshakeError) as caught:
        handshake.receive_headers(pairs)
    assert caught.value.status == status
    assert (caught.value.response is None) == (status is None)


# Whatever comes.

known = st.sampled_from([name for name, _ in REQUEST])
names = known | st.sampled_from([":status", "x", "", ":", "Host", "host"]) | st.binary(max_size=5)
values = st.sampled_from([*dict(REQUEST).values(), "200", "", "\xff", "a;b="]) | st.binary(max_size=8)


@given(st.lists(st.tuples(names, values), max_size=5), st.booleans())
def test_any_header_list(extra: Any, with_request: bool) -> None:
    server = Http2ServerHandshake(subprotocols=["chat"], extensions=[PerMessageDeflate(), Shift()])
    error = error_of(lambda: server.receive_headers([*(request() if with_request else []), *extra]))
    assert isinstance(error, HandshakeError | None)
    if error is None:
        server.accept()
    assert server.headers_to_send()[0][0] == b":status"
    client = Http2ClientHandshake("ws://a/", subprotocols=["chat"], extensions=[PerMessageDeflate(), Shift()])
    assert isinstance(error_of(lambda: client.receive_headers([(":status", "200"), *extra])), HandshakeError | None)
