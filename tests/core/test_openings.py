"""The common behaviour of all four handshakes: heads that others read and write, deadlines, leniencies, causes, and
errors for wrong arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from helpers import EVERY_CHUNKING, KEY, TEXT, Chunking, frame
from opening import ANSWER, REQUIRED, SAMPLE_ACCEPT, ask, asked, client, connect, refusal, request, response

from rfc6455 import (
    ANY_ORIGIN,
    URI,
    ClientHandshake,
    CloseCause,
    Connection,
    HandshakeError,
    Headers,
    Http2ClientHandshake,
    Http2ServerHandshake,
    Leniency,
    Limits,
    LocalProtocolError,
    PerMessageDeflate,
    Response,
    ServerHandshake,
    TextMessage,
    parse_uri,
)

FIELDS_OF_HTTP2 = [("host", "server.example.com"), ("sec-websocket-version", "13")]
LIST_OF_HTTP2 = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/chat"),
    (":authority", "server.example.com"),
    ("sec-websocket-version", "13"),
]

Server = ServerHandshake | Http2ServerHandshake
Client = ClientHandshake | Http2ClientHandshake


def server_of(version: str, **options: Any) -> Server:
    """A server whose good request was read elsewhere."""
    if version == "HTTP/1.1":
        return asked("GET", "/chat", REQUIRED, **options)
    server = Http2ServerHandshake(**options)
    assert server.receive_request("CONNECT", "/chat", FIELDS_OF_HTTP2) is server.request
    return server


def client_of(version: str, **options: Any) -> Client:
    return client(**options) if version == "HTTP/1.1" else Http2ClientHandshake("ws://server.example.com/", **options)


def good_answer(version: str) -> tuple[int, dict[str, str]]:
    return (101, ANSWER) if version == "HTTP/1.1" else (200, {})


EVERY_VERSION = pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])


# Heads that were read elsewhere.


@EVERY_VERSION
def test_a_request_and_its_answer_that_others_carry(version: str) -> None:
    server = server_of(version, subprotocols=["chat"])
    assert server.request is not None
    assert (server.request.path, server.request.host, server.request.version) == (
        "/chat",
        "server.example.com",
        version,
    )
    status, fields = good_answer(version)
    near = client_of(version)
    assert isinstance(near.receive_response(status, fields), Connection)
    assert near.response == Response(status, Headers(fields), version=version)


@EVERY_VERSION
def test_a_refusal_that_others_read(version: str) -> None:
    with pytest.raises(HandshakeError, match="the server answered 403 Forbidden") as caught:
        client_of(version).receive_response(403, {"X": "y"}, b"no")
    assert caught.value.response == Response(403, Headers({"X": "y"}), b"no", version)


@EVERY_VERSION
def test_what_was_received_cannot_be_received_again(version: str) -> None:
    server = server_of(version)
    fields = list(REQUIRED.items()) if version == "HTTP/1.1" else FIELDS_OF_HTTP2
    with pytest.raises(LocalProtocolError, match=r"receive_request\(\) cannot be called now"):
        server.receive_request("GET", "/", fields)
    near = client_of(version)
    near.receive_response(*good_answer(version))
    with pytest.raises(LocalProtocolError, match=r"receive_response\(\) cannot be called now"):
        near.receive_response(*good_answer(version))


def test_a_head_cannot_come_both_ways() -> None:
    server = ServerHandshake()
    server.receive_data(b"GET")
    with pytest.raises(LocalProtocolError, match="has already received data"):
        server.receive_request("GET", "/", REQUIRED)
    near = client()
    near.receive_data(b"HTTP/1.1 403 x\r\n\r\n")
    with pytest.raises(LocalProtocolError, match="has already received data"):
        near.receive_response(101, ANSWER)
    far = Http2ClientHandshake("ws://a/")
    far.receive_headers([(":status", "403")])
    with pytest.raises(LocalProtocolError, match="has already received data"):
        far.receive_response(200, ())


@EVERY_VERSION
@EVERY_CHUNKING
def test_early_data_behind_a_request_that_others_read(chunk: Chunking, version: str) -> None:
    server = server_of(version)
    for portion in [*chunk(frame(TEXT, b"early", key=KEY)), b""]:
        assert server.receive_data(portion) is server.request
    text, closed = server.accept().receive_data(None)
    assert text == TextMessage("early")
    assert closed.cause is CloseCause.EOF_IDLE


@pytest.mark.parametrize(
    ("method", "target", "fields", "section"),
    [
        ("GET", "/", FIELDS_OF_HTTP2, "RFC 8441 5"),
        ("CONNECT", "*", FIELDS_OF_HTTP2, "RFC 8441 5"),
        ("CONNECT", "/#a", FIELDS_OF_HTTP2, "RFC 8441 5"),
        ("CONNECT", "/", FIELDS_OF_HTTP2[1:], "RFC 9113 8.3.1"),
        ("CONNECT", "/", [*FIELDS_OF_HTTP2, ("host", "b")], "RFC 9113 8.3.1"),
        ("CONNECT", "/", [("host", "a/b"), FIELDS_OF_HTTP2[1]], "RFC 8441 5"),
        ("CONNECT", "/", FIELDS_OF_HTTP2[:1], "4.2.2"),
        ("CONNECT", "/", [*FIELDS_OF_HTTP2, ("Upgrade", "websocket")], "RFC 8441 5"),
        ("CONNECT", "/", [*FIELDS_OF_HTTP2, ("x", "a\r\nb")], "RFC 9113 8.2.1"),
        ("CONNECT", "/", [*FIELDS_OF_HTTP2, ("origin", "http://evil.example")], "10.2"),
    ],
)
def test_a_request_of_http2_that_others_read_is_checked(method: str, target: str, fields: Any, section: str) -> None:
    server = Http2ServerHandshake()
    with pytest.raises(HandshakeError) as caught:
        server.receive_request(method, target, fields)
    assert caught.value.section == section
    assert server.headers_to_send()[0] == (b":status", b"%d" % (caught.value.status or 0))


def test_a_list_with_pseudo_fields_is_for_receive_headers() -> None:
    server = Http2ServerHandshake()
    with pytest.raises(LocalProtocolError, match=r"is for receive_headers\(\)"):
        server.receive_request("CONNECT", "/", LIST_OF_HTTP2)
    assert server.receive_headers(LIST_OF_HTTP2).path == "/chat"


# Heads that others write.


def test_the_fields_of_a_request_go_out_once() -> None:
    near = client()
    assert near.has_data_to_send
    fields = near.headers_to_send()
    assert fields == [(name.encode(), value.encode()) for name, value in near.request.headers]
    assert (near.headers_to_send(), near.data_to_send(), near.has_data_to_send) == ([], b"", False)
    other = client()
    assert other.data_to_send().startswith(b"GET ")
    assert other.headers_to_send() == []


def test_the_fields_of_the_101_are_taken_out_of_what_the_connection_sends() -> None:
    server = asked("GET", "/", REQUIRED, subprotocols=["chat"])
    assert (server.headers_to_send(), server.has_data_to_send) == ([], False)
    ws = server.accept(headers=[("X", "\xe9")])
    ws.send_text("a")
    assert server.headers_to_send() == [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", SAMPLE_ACCEPT.encode()),
        (b"X", b"\xe9"),
    ]
    assert ws.data_to_send() == frame(TEXT, b"a")
    assert server.headers_to_send() == []


def test_the_fields_of_a_101_that_was_sent_are_not_due() -> None:
    server = asked("GET", "/", REQUIRED)
    ws = server.accept()
    assert ws.data_to_send().startswith(b"HTTP/1.1 101 ")
    ws.send_text("a")
    assert server.headers_to_send() == []
    assert ws.data_to_send() == frame(TEXT, b"a")


@pytest.mark.parametrize("by_error", [False, True])
def test_the_fields_of_a_refusal_leave_its_body(by_error: bool) -> None:
    server = ServerHandshake()
    if by_error:
        with pytest.raises(HandshakeError):
            server.receive_data(b"\0")
    else:
        server.reject(404, [("X", "y")], b"No such room.\n")
    assert server.response is not None
    assert server.has_data_to_send
    fields = server.headers_to_send()
    assert (b"Connection", b"close") in fields
    assert (b"Content-Length", b"%d" % len(server.response.body)) in fields
    assert (server.data_to_send(), server.has_data_to_send) == (server.response.body, False)
    assert server.headers_to_send() == []


@EVERY_VERSION
def test_a_header_list_is_due_once(version: str) -> None:
    server = server_of(version)
    server.accept()
    assert server.headers_to_send() != []
    assert server.headers_to_send() == []
    near = client_of(version)
    assert near.headers_to_send() != []
    assert near.headers_to_send() == []


# The end of the wait.


@EVERY_VERSION
def test_to_give_up_keeps_what_came(version: str) -> None:
    near = client_of(version)
    if isinstance(near, ClientHandshake):
        assert near.receive_data(b"HTTP/1.1 401 x\r\nWWW-Authenticate: Basic\r\n\r\nWho") is None
    else:
        assert near.receive_headers([(":status", "401"), ("www-authenticate", "Basic")]) is None
        assert near.receive_data(b"Who") is None
    assert near.response is not None
    assert near.response.status == 401
    error = near.give_up()
    assert (error.status, error.cause) == (401, CloseCause.OPENING_REFUSED)
    assert error.response is near.response
    assert (near.response.headers["WWW-Authenticate"], near.response.body) == ("Basic", b"Who")
    for call in (near.give_up, lambda: near.receive_data(b"x"), lambda: near.receive_response(101, ANSWER)):
        with pytest.raises(LocalProtocolError, match="has ended"):
            call()


@EVERY_VERSION
def test_to_give_up_before_anything_came(version: str) -> None:
    near = client_of(version)
    error = near.give_up()
    assert (error.status, error.response, error.cause) == (None, None, CloseCause.OPENING_EOF)


# Which way it failed (7.1.7 and 4.1): what a client can tell without reading words.

CAUSES: dict[str, tuple[bytes, CloseCause, int | None]] = {
    "nothing": (b"", CloseCause.OPENING_EOF, None),
    "half a head": (b"HTTP/1.1 101 x\r\nUpg", CloseCause.OPENING_EOF, None),
    "no HTTP": (b"SSH-2.0-x\r\n", CloseCause.OPENING_INVALID, None),
    "a 200": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CloseCause.OPENING_REFUSED, 200),
    "a 503": (b"HTTP/1.1 503 x\r\n\r\nlater", CloseCause.OPENING_REFUSED, 503),
    "a bad 101": (response(Upgrade="h2c"), CloseCause.OPENING_INVALID, 101),
    "another subprotocol": (response(("Sec-WebSocket-Protocol", "x")), CloseCause.OPENING_INVALID, 101),
}


@pytest.mark.parametrize(("data", "cause", "status"), CAUSES.values(), ids=CAUSES)
@EVERY_CHUNKING
def test_a_client_can_tell_why_it_failed(chunk: Chunking, data: bytes, cause: CloseCause, status: int | None) -> None:
    near = client()
    with pytest.raises(HandshakeError) as caught:
        connect(near, [*chunk(data), b""] if data else [b""])
    assert (caught.value.cause, caught.value.status) == (cause, status)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", CloseCause.OPENING_EOF),
        (request()[:50], CloseCause.OPENING_EOF),
        (b"\0", CloseCause.OPENING_INVALID),
        (request(without="Sec-WebSocket-Key"), CloseCause.OPENING_INVALID),
        (request(("Origin", "http://evil.example")), CloseCause.OPENING_REFUSED),
    ],
)
def test_a_server_can_tell_why_it_failed(data: bytes, cause: CloseCause) -> None:
    server = ServerHandshake()
    with pytest.raises(HandshakeError) as caught:
        ask(server, [data, b""] if data else [b""])
    assert caught.value.cause is cause


# Leniencies.

BARE_LF = {Leniency.BARE_LF}


def with_bare_lf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


@EVERY_CHUNKING
def test_bare_lf_is_taken_and_counted_where_it_is_allowed(chunk: Chunking) -> None:
    lines = request().count(b"\r\n")
    server = ServerHandshake(leniencies=BARE_LF)
    got = ask(server, chunk(with_bare_lf(request())))
    assert list(got.headers) == list(REQUIRED.items())
    assert server.leniencies_used == {Leniency.BARE_LF: lines}
    assert server.accept().data_to_send().startswith(b"HTTP/1.1 101 ")
    near = client(leniencies=BARE_LF)
    _, events = connect(near, chunk(with_bare_lf(response()) + frame(TEXT, b"a\r\nb\n")))
    assert events == [TextMessage("a\r\nb\n")]
    assert near.response is not None
    assert near.response.headers == Headers(ANSWER)
    assert near.leniencies_used == {Leniency.BARE_LF: response().count(b"\n")}


@EVERY_CHUNKING
def test_one_bare_lf_among_good_lines(chunk: Chunking) -> None:
    for at in range(request().count(b"\r\n")):
        parts = request().split(b"\r\n")
        data = b"\r\n".join(parts[: at + 1]) + b"\n" + b"\r\n".join(parts[at + 1 :])
        server = ServerHandshake(leniencies=BARE_LF)
        assert list(ask(server, chunk(data)).headers) == list(REQUIRED.items())
        assert server.leniencies_used == {Leniency.BARE_LF: 1}
        assert refusal(data, chunk)[0].status == 400


@EVERY_CHUNKING
@pytest.mark.parametrize(
    "data",
    [
        request().replace(b"\r\n", b"\r", 1),
        request().replace(b"\r\n", b"\r\r\n", 1),
        request(("X", "a\rb")),
        request(("X", "a\0b")),
        with_bare_lf(request()).replace(b"Host:", b" Host:"),
        with_bare_lf(request()).replace(b"Host:", b"Host :"),
        with_bare_lf(request(("X", "y"))).replace(b"X: y", b"X: y\n folded"),
    ],
)
def test_bare_lf_loosens_nothing_else(chunk: Chunking, data: bytes) -> None:
    assert refusal(data, chunk, leniencies=BARE_LF)[0].status == 400


MISSING = {Leniency.MISSING_CONNECTION_UPGRADE}


@EVERY_CHUNKING
@pytest.mark.parametrize("change", [{"without": "Connection"}, {"Connection": "keep-alive"}], ids=["none", "other"])
def test_a_missing_connection_option_is_taken_and_counted_where_it_is_allowed(
    chunk: Chunking, change: dict[str, Any]
) -> None:
    server = ServerHandshake(leniencies=MISSING)
    ask(server, chunk(request(**change)))
    assert server.leniencies_used == {Leniency.MISSING_CONNECTION_UPGRADE: 1}
    assert server.accept().data_to_send().startswith(b"HTTP/1.1 101 ")
    near = client(leniencies=MISSING)
    connect(near, chunk(response(**change)))
    assert near.leniencies_used == {Leniency.MISSING_CONNECTION_UPGRADE: 1}
    assert refusal(request(**change), chunk)[0].status == 400
    with pytest.raises(HandshakeError, match="Connection does not list Upgrade"):
        connect(client(), chunk(response(**change)))


def test_the_connection_takes_the_counts_over_and_counts_on() -> None:
    leniencies = MISSING | {Leniency.UNMASKED_FRAMES}
    server = ServerHandshake(leniencies=leniencies)
    server.receive_data(request(without="Connection"))
    ws = server.accept()
    assert ws.leniencies_used == server.leniencies_used == {Leniency.MISSING_CONNECTION_UPGRADE: 1}
    assert ws.receive_data(frame(TEXT, b"a")) == [TextMessage("a")]
    counts = {Leniency.MISSING_CONNECTION_UPGRADE: 1, Leniency.UNMASKED_FRAMES: 1}
    assert ws.leniencies_used == counts
    near = client(leniencies=MISSING)
    ws, _ = connect(near, [response(without="Connection")])
    assert ws.leniencies_used == {Leniency.MISSING_CONNECTION_UPGRADE: 1}


@pytest.mark.parametrize("leniencies", [BARE_LF, MISSING, BARE_LF | MISSING])
def test_a_leniency_that_is_not_used_is_not_counted(leniencies: set[Leniency]) -> None:
    server = ServerHandshake(leniencies=leniencies)
    ask(server, [request()])
    near = client(leniencies=leniencies)
    connect(near, [response()])
    assert server.leniencies_used == near.leniencies_used == {}


@pytest.mark.parametrize("data", [request(without="Upgrade"), request(without="Sec-WebSocket-Key"), request(Host="")])
def test_a_missing_connection_option_loosens_nothing_else(data: bytes) -> None:
    assert refusal(data, leniencies=MISSING)[0].status in (400, 426)


# Wrong arguments: an error of our own that names the argument and says what to pass.

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: ClientHandshake(b"ws://a/"), "uri is a str such as 'wss://example.com/chat' or a URI, not bytes"),
    (lambda: ClientHandshake(None), "uri is a str such as 'wss://example.com/chat' or a URI, not None"),
    (lambda: Http2ClientHandshake(5), "uri is a str such as 'wss://example.com/chat' or a URI, not 5"),
    (lambda: parse_uri(b"ws://a/"), "a URI is a str such as 'wss://example.com/chat', not bytes"),
    (lambda: parse_uri(None), "a URI is a str such as 'wss://example.com/chat', not None"),
    (lambda: URI(True, "h", True), "port is an int, not True"),
    (lambda: URI(True, "h", 80.5), "port is an int, not 80.5"),
    (lambda: URI(True, "h", "80"), "port is an int, not str"),
    (lambda: URI(True, b"h", 80), "host is a str, not bytes"),
    (lambda: URI("wss", "h", 80), "secure is True or False, not str"),
    (lambda: URI(True, "h", 80, b"/"), "resource_name is a str, not bytes"),
    (lambda: ServerHandshake(origins=None), "origins is SAME_HOST, ANY_ORIGIN, a callable, or a collection"),
    (lambda: ServerHandshake(origins=[re.compile("x")]), "origins takes no patterns"),
    (lambda: ServerHandshake(origins=re.compile("x")), "such as [SAME_HOST, 'https://app.example'"),
    (lambda: ServerHandshake(origins=[str]), "'https://*.example.com'], not the class str"),
    (lambda: ServerHandshake(origins=str), "'https://*.example.com'], not the class str"),
    (lambda: ServerHandshake(hosts="localhost"), "hosts is a collection of names such as ['localhost', '127.0.0.1']"),
    (lambda: Http2ServerHandshake(hosts=[b"localhost"]), "or None for any, not bytes"),
    (lambda: ServerHandshake(origins="https://a"), "'https://*.example.com'], not str"),
    (lambda: Http2ServerHandshake(origins=[None]), "'https://*.example.com'], not None"),
    (lambda: ServerHandshake(subprotocols=[None]), "subprotocols is a sequence of names such as ['chat'], not None"),
    (lambda: ServerHandshake(subprotocols="chat"), "subprotocols is a sequence of names such as ['chat'], not str"),
    (lambda: ServerHandshake(subprotocols=None), "subprotocols is a sequence of names such as ['chat'], not None"),
    (lambda: ClientHandshake("ws://a/", subprotocols=[b"a"]), "subprotocols is a sequence of names"),
    (lambda: ServerHandshake(extensions=[PerMessageDeflate]), "PerMessageDeflate(), not the class PerMessageDeflate"),
    (
        lambda: ClientHandshake("ws://a/", extensions=PerMessageDeflate()),
        "extensions is a sequence of objects such as",
    ),
    (lambda: ServerHandshake(extensions=["permessage-deflate"]), "PerMessageDeflate(), not str"),
    (lambda: ServerHandshake(extensions=None), "PerMessageDeflate(), not None"),
    (lambda: ServerHandshake(plain_http="yes"), "plain_http is True or False, not str"),
    (lambda: ServerHandshake(require_subprotocol=1), "require_subprotocol is True or False, not 1"),
    (lambda: ServerHandshake(limits=5), "limits is None or a Limits, such as Limits(message=65536), not 5"),
    (lambda: ClientHandshake("ws://a/", limits={}), "such as Limits(message=65536), not dict"),
    (lambda: ClientHandshake("ws://a/", origin=b"http://a"), "origin is a str such as 'https://example.com' or None"),
    (lambda: ClientHandshake("ws://a/", headers=None), "headers is a mapping of names to values or an iterable"),
    (lambda: ClientHandshake("ws://a/", headers=[("X", 5)]), "the name and the value of a header are str or bytes"),
    (lambda: ClientHandshake("ws://a/", header=()), "there is no option 'header'; the options are"),
    (lambda: ServerHandshake().receive_request("GET", b"/x", ()), "target is a str such as '/chat?room=1', not bytes"),
    (lambda: ServerHandshake().receive_request(b"GET", "/x", ()), "method is a str such as 'GET', not bytes"),
    (lambda: ServerHandshake().receive_request("GET", "/x", None), "headers is a mapping of names to values"),
    (lambda: ServerHandshake().receive_request("GET", "/x", "a: b"), "such as [('Server', 'x')], not str"),
    (lambda: Http2ServerHandshake().receive_request("CONNECT", None, ()), "target is a str such as '/chat?room=1'"),
    (lambda: Http2ServerHandshake().receive_headers("x"), "headers is a mapping of names to values"),
    (lambda: Http2ServerHandshake().receive_headers([("x",)]), "such as [('Server', 'x')], and cannot hold tuple"),
    (lambda: client().receive_response("101", ()), "status is a number such as 404, not str"),
    (lambda: client().receive_response(101, (), "x"), "a body is bytes, bytearray or memoryview, not str"),
    (lambda: Http2ClientHandshake("ws://a/").receive_response(True, ()), "status is a number such as 404, not True"),
    (lambda: client().receive_data("x"), "binary data is bytes, bytearray or memoryview, not str"),
    (lambda: ServerHandshake().receive_data(None), "binary data is bytes, bytearray or memoryview, not NoneType"),
    (lambda: ServerHandshake().reject(404, None), "headers is a mapping of names to values"),
    (lambda: ServerHandshake().reject(404, body="x"), "a body is bytes, bytearray or memoryview, not str"),
    (lambda: server_of("HTTP/2").accept(b"chat"), "subprotocol is a str or None, not bytes"),
    (lambda: server_of("HTTP/1.1").accept(headers={"X": 5}), "the name and the value of a header are str or bytes"),
]


@pytest.mark.parametrize(("call", "words"), WRONG, ids=[words[:50] for _, words in WRONG])
def test_a_wrong_argument_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(TypeError, match=re.escape(words)):
        call()


def test_a_wrong_argument_changes_nothing() -> None:
    server = ServerHandshake()
    with pytest.raises(TypeError):
        server.receive_request("GET", b"/x", ())  # type: ignore[arg-type]
    assert server.receive_request("GET", "/chat", REQUIRED).path == "/chat"
    with pytest.raises(TypeError):
        server.accept(parts="yes")  # type: ignore[arg-type]
    assert server.accept(limits=Limits(message=5)).limits.message == 5


def test_what_is_secret_is_not_shown() -> None:
    for call in (
        lambda: ClientHandshake(b"ws://a/?token=secret"),  # type: ignore[arg-type]
        lambda: ClientHandshake("ws://a/", headers=["secret"]),  # type: ignore[list-item]
        lambda: ClientHandshake("ws://a/", headers="secret"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert "secret" not in str(caught.value)


def test_any_origin_needs_no_collection() -> None:
    assert ask(ServerHandshake(origins=ANY_ORIGIN), [request(("Origin", "null"))]).origin == "null"
