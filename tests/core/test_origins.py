"""The pages that may connect (10.2, RFC 6454), and the names under which a server is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers import EVERY_CHUNKING, Chunking
from opening import REQUIRED, accepted, ask, asked, refusal, request

from rfc6455 import (
    ANY_ORIGIN,
    SAME_HOST,
    CloseCause,
    HandshakeError,
    Headers,
    Http2ServerHandshake,
    LocalProtocolError,
    Request,
    ServerHandshake,
    is_same_host,
)


@pytest.mark.clause("6455:10.2-origin-is-verified")
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("example.com", "http://example.com"),
        ("example.com", "https://example.com"),
        ("EXAMPLE.com", "http://Example.COM"),
        ("example.com:80", "http://example.com"),
        ("example.com", "http://example.com:80"),
        ("example.com:443", "https://example.com"),
        ("example.com", "https://example.com:443"),
        ("localhost:8765", "http://localhost:8765"),
        ("localhost:8765", "https://localhost:8765"),
        ("[::1]:8765", "http://[::1]:8765"),
        ("[::80]", "http://[::80]"),
        ("[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("::1", "http://[0:0::0001]:80"),
        ("[FE80::0A%25eth0]:80", "http://[fe80::a%eth0]"),
        # what opens a WebSocket may name the scheme of that
        ("example.com", "ws://example.com"),
        ("example.com", "wss://example.com"),
        ("example.com:443", "wss://Example.com"),
        ("example.com:8080", "ws://example.com:8080"),
        ("example.com:080", "http://example.com"),
        ("example.com:", "http://example.com"),
    ],
)
def test_same_host(host: str, origin: str) -> None:
    accepted(request(("Origin", origin), Host=host))
    accepted(request(("Origin", origin), Host="ignored", line=f"GET http://{host}/chat HTTP/1.1"))


@pytest.mark.clause("6455:4.2.2-origin-is-refused", "6455:10.2-origin-is-verified", "6455:10.2-origin-gets-403")
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("example.com", "null"),
        ("example.com", ""),
        ("example.com", "example.com"),
        ("example.com", "http://example.com."),
        ("example.com", "http://evil-example.com"),
        ("example.com", "http://example.com.evil"),
        ("example.com", "http://sub.example.com"),
        ("example.com", "http://example.co"),
        ("example.com", "http://example.com@evil"),
        ("example.com", "http://evil/example.com"),
        ("example.com", "http://example.com/"),
        ("example.com", "http://example.com, http://example.com"),
        ("example.com", "http://example.com:8080"),
        ("example.com", "http://example.com:443"),
        ("example.com:80", "https://example.com"),
        ("example.com:8080", "http://example.com"),
        ("example.com:8080", "http://example.com:80808"),
        ("example.com:80", "wss://example.com"),
        # an address without brackets is compared as a whole
        ("fe80::80", "http://fe80"),
        ("fe80::1:80", "http://[fe80::1]"),
        ("example.com", "ftp://example.com"),
        ("example.com", "file://example.com"),
        ("example.com", "chrome-extension://example.com"),
        ("localhost", "http://127.0.0.1"),
        ("127.0.0.1:80", "http://[::1]:80"),
        ("example.com", "http://example.com\xe9"),
    ],
)
def test_kemal_766(host: str, origin: str) -> None:
    """No check by default let any page use a local socket. By default what is cross-site gets 403."""
    error, _, _ = refusal(request(("Origin", origin), Host=host))
    assert (error.status, error.section) == (403, "10.2")


ALLOWED = ["https://example.com", "http://LOCALHOST:8080", "null", "https://port.example:443"]


@pytest.mark.clause("6455:4.2.1-without-origin", "6455:10.2-origin-is-verified")
@pytest.mark.parametrize(
    "origin",
    ["https://example.com", "HTTPS://EXAMPLE.com:443", "http://localhost:8080", "null", "https://port.example"],
)
def test_origin_in_the_list(origin: str) -> None:
    accepted(request(("Origin", origin)), origins=ALLOWED)
    accepted(request(), origins=ALLOWED)


@pytest.mark.clause("6455:4.2.2-origin-is-refused", "6455:10.2-origin-is-verified")
@pytest.mark.parametrize(
    "origin",
    [
        "http://example.com",
        "https://example.com:8443",
        "https://evil-example.com",
        "https://example.com.evil",
        "https://example.co",
        "xhttps://example.com",
        "https://example.com ",
        "http://localhost",
        "http://localhost:80801",
        "nullx",
        "http://null",
        # in the list's stead, even the own host is refused
        "http://server.example.com",
    ],
)
def test_autobahn_691(origin: str) -> None:
    """Origins were matched by prefix or suffix. Here they match as a whole, without case and default ports."""
    if origin.endswith(" "):
        accepted(request(("Origin", origin)), origins=ALLOWED)  # the space is not part of the value (RFC 9112, 5)
    else:
        assert refusal(request(("Origin", origin)), origins=ALLOWED)[0].status == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "whatever \xe9", "a, b"])
def test_any_origin(origin: str) -> None:
    accepted(request(("Origin", origin)), origins=ANY_ORIGIN)
    accepted(request(("Origin", origin), ("Origin", "x")), origins=ANY_ORIGIN)


@pytest.mark.clause("6455:4.2.1-without-origin")
def test_no_origins_at_all() -> None:
    assert refusal(request(("Origin", "http://server.example.com")), origins=[])[0].status == 403
    accepted(request(), origins=[])


@pytest.mark.parametrize(
    "bad",
    [
        ["https://example.com/"],
        ["https://example.com/path"],
        ["example.com"],
        ["*"],
        ["https://*"],
        ["https://*."],
        ["https://*.*.example.com"],
        ["https://a*.example.com"],
        ["https://*.example.com/"],
        ["*://example.com"],
        ["https://a:x"],
        ["https://u@example.com"],
        [""],
        ["https://example.com "],
    ],
)
def test_origins_that_can_never_match(bad: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"origin"):
        ServerHandshake(origins=bad)


def test_same_host_is_the_default() -> None:
    foreign = request(("Origin", "http://evil.example"))
    assert str(refusal(foreign)[0]) == str(refusal(foreign, origins=SAME_HOST)[0])


# Rules together.

SITE = [
    SAME_HOST,
    "https://app.example",
    "https://*.site.example",
    "http://*.site.example:8080",
    lambda request: False,
]


@pytest.mark.clause("6455:10.2-origin-is-verified")
@pytest.mark.parametrize(
    "origin",
    [
        "http://server.example.com",
        "https://app.example",
        "https://a.site.example",
        "HTTPS://A.B.Site.Example:443",
        "wss://a.site.example",
        "http://a.site.example:8080",
    ],
)
@EVERY_CHUNKING
def test_one_of_several_rules_lets_a_page_in(chunk: Chunking, origin: str) -> None:
    ask(ServerHandshake(origins=SITE), chunk(request(("Origin", origin))))


@pytest.mark.clause("6455:10.2-origin-gets-403")
@pytest.mark.parametrize(
    "origin",
    [
        # the star is one or more whole labels, not none
        "https://site.example",
        "https://.site.example",
        "https://a..site.example",
        "https://evilsite.example",
        "https://a.evilsite.example",
        "https://site.example.evil",
        "https://a.site.example.",
        "https://a.site.example:8443",
        "http://a.site.example",
        "http://a.site.example:80",
        "https://a/.site.example",
        "https://evil.example?.site.example",
        "https://evil.example#.site.example",
        "https://u@a.site.example",
        "https://*.site.example",
        "null",
        "https://other.example",
    ],
)
def test_none_of_several_rules_lets_a_page_in(origin: str) -> None:
    assert refusal(request(("Origin", origin)), origins=SITE)[0].status == 403


def test_any_origin_among_others_lets_every_page_in() -> None:
    accepted(request(("Origin", "null")), origins=["https://app.example", ANY_ORIGIN])


# A rule of the application's.


def test_a_rule_is_asked_with_the_request_where_there_is_one_origin() -> None:
    seen: list[Request] = []

    def rule(got: Request) -> bool:
        seen.append(got)
        return got.origin == "https://app.example" and got.path == "/chat"

    accepted(request(("Origin", "https://app.example")), origins=rule)
    accepted(request(("Origin", "https://app.example")), origins=[rule])
    assert refusal(request(("Origin", "https://evil.example")), origins=rule)[0].status == 403
    assert [got.origin for got in seen] == ["https://app.example", "https://app.example", "https://evil.example"]
    seen.clear()
    accepted(request(), origins=rule)
    assert refusal(request(("Origin", "a"), ("Origin", "b")), origins=rule)[0].status == 400
    assert seen == []


def test_the_same_host_rule_is_there_for_rules_of_ones_own() -> None:
    def rule(got: Request) -> bool:
        return got.path == "/open" or is_same_host(got)

    own, foreign = ("Origin", "https://server.example.com"), ("Origin", "https://evil.example")
    accepted(request(own), origins=rule)
    accepted(request(foreign, line="GET /open HTTP/1.1"), origins=rule)
    assert refusal(request(foreign), origins=rule)[0].status == 403


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ([("Host", "a"), ("Origin", "http://a")], True),
        ([("Host", "a")], False),
        ([("Origin", "http://a")], False),
        ([], False),
        ([("Host", "a"), ("Origin", "http://a"), ("Origin", "http://a")], False),
        ([("Host", ""), ("Origin", "http://")], False),
        ([("Host", "a b"), ("Origin", "http://a b")], False),
    ],
)
def test_is_same_host(fields: list[tuple[str, str]], same: bool) -> None:
    assert is_same_host(Request("GET", "/", Headers(fields))) is same


class OutOfOrderError(Exception):
    """The exception of a database that is down."""


def rule_that_asks(is_down: list[bool]) -> Callable[[Request], bool]:
    """Return a rule that raises an exception until the list is emptied."""

    def rule(got: Request) -> bool:
        if is_down:
            raise OutOfOrderError
        return True

    return rule


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.1 read elsewhere", "HTTP/2"])
def test_an_exception_of_a_rule_reaches_the_caller_and_nothing_is_answered(version: str) -> None:
    is_down = [True]
    rule = rule_that_asks(is_down)

    handshake: Any
    receive: Callable[[], object]
    if version == "HTTP/2":
        fields = [("host", "a"), ("sec-websocket-version", "13"), ("origin", "http://b")]
        handshake = Http2ServerHandshake(origins=rule)
        receive = lambda: handshake.receive_request("CONNECT", "/", fields)  # noqa: E731
    elif version == "HTTP/1.1":
        handshake = ServerHandshake(origins=rule)
        handshake.receive_data(request(("Origin", "http://b"))[:-1])
        receive = lambda: handshake.receive_data(b"\n")  # noqa: E731
    else:
        handshake = ServerHandshake(origins=rule)
        receive = lambda: handshake.receive_request("GET", "/", {**REQUIRED, "Origin": "http://b"})  # noqa: E731
    with pytest.raises(OutOfOrderError):
        receive()
    assert (handshake.response, handshake.has_data_to_send) == (None, False)
    assert handshake.request.origin == "http://b", "the caller may log it"
    is_down.clear()
    if version != "HTTP/1.1":  # else the head is there already
        receive()
        handshake.accept()
    else:
        handshake.reject(503)
        assert handshake.data_to_send().startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("cut", [0, 100], ids=["whole", "in two"])
def test_a_rule_that_raised_is_asked_again_when_more_comes(cut: int) -> None:
    is_down = [True]
    rule = rule_that_asks(is_down)

    handshake = ServerHandshake(origins=rule)
    data = request(("Origin", "http://b"))
    if cut:
        assert handshake.receive_data(data[:cut]) is None
    for more in (data[cut:], b"\x89"):
        with pytest.raises(OutOfOrderError):
            handshake.receive_data(more)
    is_down.clear()
    received = handshake.receive_data(b"\x80")
    assert received is not None
    assert received.origin == "http://b"
    assert handshake.accept().unread == 2


async def asynchronous(got: Request) -> bool:
    return False


@pytest.mark.parametrize("listed", [False, True])
def test_a_coroutine_function_is_no_rule(listed: bool) -> None:
    """Its result would count as a yes, whatever it is."""
    with pytest.raises(TypeError, match=r"^a rule in origins is a plain function, .*; decide what takes time in "):
        ServerHandshake(origins=[SAME_HOST, asynchronous] if listed else asynchronous)  # type: ignore[arg-type, list-item]


@pytest.mark.filterwarnings("ignore:coroutine 'asynchronous' was never awaited")
def test_what_has_to_be_awaited_is_no_answer_of_a_rule() -> None:
    handshake = ServerHandshake(origins=lambda got: asynchronous(got))  # type: ignore[arg-type, return-value]
    with pytest.raises(
        TypeError, match=r"^a rule in origins returned <coroutine .*>, not True or False; decide what "
    ):
        handshake.receive_data(request(("Origin", "http://b")))
    assert not handshake.has_data_to_send


# What a 403 says.


def test_a_403_names_both_sides() -> None:
    """Behind a proxy that writes another Host, as nginx does unless it is told not to."""
    data = request(("Origin", "https://app.example"), Host="backend:8765")
    error, answer, _ = refusal(data)
    assert (error.status, error.cause) == (403, CloseCause.OPENING_REFUSED)
    assert b"'https://app.example'" in answer.body
    assert b"'backend:8765'" in answer.body
    assert b"origins=['https://app.example']" in answer.body
    accepted(data, origins=["https://app.example"])


@pytest.mark.parametrize("origin", ["", "https://app.example/", "app.example", "https://a.example https://b.example"])
def test_a_403_suggests_no_rule_that_cannot_be_one(origin: str) -> None:
    _, answer, _ = refusal(request(("Origin", origin)))
    assert b"this server is" in answer.body
    assert b"origins=" not in answer.body


@pytest.mark.parametrize(
    ("rule", "way_out"),
    {
        # A server for development, and an extension of Firefox, whose origin differs in each installation.
        "http://localhost:*": "for any other rule pass a callable",
        "moz-extension://*": "for any other rule pass a callable",
        "https://b\xfccher.example": "in its xn-- form",
        "*": "for any origin ANY_ORIGIN",
    }.items(),
)
def test_what_is_no_rule_has_a_way_out(rule: str, way_out: str) -> None:
    with pytest.raises(LocalProtocolError, match=way_out):
        ServerHandshake(origins=[rule])


# The names that this server has (DNS rebinding).

LOOPBACK = ["localhost", "127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8765", "localhost.:8765", "127.0.0.1:1", "[::1]", "[0:0::1]:8765", "::1"]
)
@EVERY_CHUNKING
def test_a_name_that_this_server_has(chunk: Chunking, host: str) -> None:
    ask(ServerHandshake(hosts=LOOPBACK), chunk(request(Host=host)))
    ask(ServerHandshake(hosts=LOOPBACK), chunk(request(Host="x", line=f"GET http://{host}/chat HTTP/1.1")))
    fields = [("host", host), ("sec-websocket-version", "13")]
    Http2ServerHandshake(hosts=LOOPBACK).receive_request("CONNECT", "/", fields)


@pytest.mark.parametrize("host", ["[fe80::1]:8765", "[fe80::1%25eth0]:8765", "[fe80::1%2]", "fe80::1%eth1"])
@pytest.mark.parametrize("own", ["fe80::1", "fe80::1%eth0", "[FE80::1%25eth0]"])
def test_a_zone_is_no_part_of_a_name_that_this_server_has(own: str, host: str) -> None:
    """RFC 6874, 3: a client leaves it out of ``Host``, since it means something on its own machine only."""
    accepted(request(Host=host), hosts=[own])
    assert refusal(request(Host=host), hosts=["fe80::2%eth0"])[0].status == 421


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "localhost.evil.example", "evil.localhost", "127.0.0.2", "[::2]:8765", "localhost..", "::2"],
)
@pytest.mark.parametrize("plain_http", [False, True])
@EVERY_CHUNKING
def test_a_name_that_this_server_has_not(chunk: Chunking, plain_http: bool, host: str) -> None:
    """A page of evil.example, whose owner points the name to 127.0.0.1, is of the same host: to all but this check."""
    fields = [("Origin", f"http://{host}")] if ":" not in host or "[" in host else []
    error, _, _ = refusal(request(*fields, Host=host), chunk, hosts=LOOPBACK, plain_http=plain_http)
    assert (error.status, error.section, error.cause) == (421, "RFC 9110 15.5.20", CloseCause.OPENING_REFUSED)
    assert repr(host) in error.reason
    assert refusal(request(line=f"GET http://{host}/chat HTTP/1.1", Host="localhost"), hosts=LOOPBACK)[0].status == 421


def test_a_page_is_not_served_to_another_name() -> None:
    page = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    assert refusal(page, plain_http=True, hosts=LOOPBACK)[0].status == 421
    # A health check of HTTP/1.0 names no host; no browser sends such.
    ask(ServerHandshake(plain_http=True, hosts=LOOPBACK), [b"GET / HTTP/1.0\r\n\r\n"])


def test_the_authority_of_http2_is_looked_at() -> None:
    server = Http2ServerHandshake(hosts=LOOPBACK)
    with pytest.raises(HandshakeError, match=r"this server is not 'evil\.example'") as caught:
        server.receive_headers(
            [
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "evil.example"),
                ("sec-websocket-version", "13"),
                ("origin", "http://evil.example"),
            ]
        )
    assert caught.value.status == 421
    assert server.headers_to_send()[0] == (b":status", b"421")


def test_by_default_no_names_are_looked_at() -> None:
    accepted(request(Host="any.example"))
    asked("GET", "/", {**REQUIRED, "Host": "any.example"}, hosts=None)


@pytest.mark.parametrize(
    "host",
    ["localhost:80", "localhost:", "a b", "", "http://localhost", "*.example.com", "[::1]:1", "b\xfccher.example"],
)
def test_hosts_that_can_never_match(host: str) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be in hosts: write a name or an address"):
        ServerHandshake(hosts=[host])
