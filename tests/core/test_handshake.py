"""The opening handshake over HTTP/1.1, both roles: the RFC's examples, each rule of 4.1 and 4.2, in every split."""

from __future__ import annotations

import base64
import re
from array import array
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import pytest
from helpers import BINARY, CHUNKINGS, EVERY_CHUNKING, KEY, TEXT, Chunking, cut_at, frame
from measuring import Memory
from opening import (
    ANSWER,
    REQUIRED,
    SAMPLE_ACCEPT,
    SAMPLE_KEY,
    Lines,
    Runs,
    accepted,
    ask,
    asked,
    body_of,
    client,
    connect,
    head,
    refusal,
    request,
    response,
)
from tiny_extension import Shift

from rfc6455 import (
    ANY_ORIGIN,
    CLIENT,
    SERVER,
    URI,
    BytesMessage,
    ClientHandshake,
    CloseCause,
    Connection,
    Event,
    HandshakeError,
    Headers,
    Http2ClientHandshake,
    Leniency,
    Limits,
    LocalProtocolError,
    Request,
    Response,
    ServerHandshake,
    TextMessage,
    accept_key,
    parse_uri,
)
from rfc6455.http1_heads import serialize_request, serialize_response

# The examples of the RFC.


@pytest.mark.clause("6455:4.1-answer-accept")
def test_accept_key_of_1_3() -> None:
    # 1.3: "the value "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" [...] This value would then be echoed in the
    # |Sec-WebSocket-Accept| header field."
    assert accept_key(SAMPLE_KEY) == SAMPLE_ACCEPT
    # 4.2.2: the same in hexadecimal
    assert base64.b64decode(SAMPLE_ACCEPT).hex(" ") == "b3 7a 4f 2c c0 62 4f 16 90 f6 46 06 cf 38 59 45 b2 be c4 ea"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"subprotocols": ["a", "b"], "origin": "http://a", "extensions": [Shift()]},
        {"headers": [("Host", "b:1"), ("X", ""), ("x", " 1 ")]},
    ],
    ids=["usual", "all", "headers"],
)
def test_what_a_client_sends_is_its_request(arguments: dict[str, Any]) -> None:
    handshake = ClientHandshake("ws://example.com:81/a?b", **arguments)
    data = handshake.data_to_send()
    assert data == serialize_request(handshake.request)
    assert handshake.request is handshake.request


def test_what_a_server_sends_is_its_response() -> None:
    handshake = ServerHandshake(subprotocols=["a"], extensions=[Shift()])
    handshake.receive_data(request(("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Extensions", "x-shift")))
    data = handshake.accept(headers={"X": "1"}).data_to_send()
    assert handshake.response is not None
    assert data == serialize_response(handshake.response)


@pytest.mark.clause(
    "6455:4.2.2-accepts-in-steps",
    "6455:4.2.2-answer-is-http",
    "6455:11.3.3-once",
    "6455:11.3.4-once-in-a-response",
)
@EVERY_CHUNKING
def test_the_server_of_1_3(chunk: Chunking) -> None:
    handshake = ServerHandshake(subprotocols=["chat"], origins=["http://example.com"])
    data = request(("Origin", "http://example.com"), ("Sec-WebSocket-Protocol", "chat, superchat"))
    ask(handshake, chunk(data))
    ws = handshake.accept()
    assert ws.data_to_send() == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n"
        b"\r\n"
    )
    assert (ws.role, ws.subprotocol, ws.extensions, ws.unread) == (SERVER, "chat", (), 0)
    assert handshake.response is not None
    assert handshake.response.status == 101


@pytest.mark.clause(
    "6455:4.1-establishes",
    "6455:4.1-sends-handshake",
    "6455:4.1-request-is-get",
    "6455:4.1-request-upgrade",
    "6455:4.1-request-connection",
    "6455:4.1-request-key",
    "6455:4.1-request-version",
    "6455:4.1-waits-for-the-answer",
    "6455:11.3.1-once",
    "6455:11.3.5-once-in-a-request",
)
@EVERY_CHUNKING
def test_the_client_of_1_3(chunk: Chunking) -> None:
    handshake = client(subprotocols=["chat", "superchat"], origin="http://example.com")
    assert handshake.data_to_send() == (
        b"GET /chat HTTP/1.1\r\n"
        b"Host: server.example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Origin: http://example.com\r\n"
        b"\r\n"
    )
    assert handshake.data_to_send() == b""
    ws, events = connect(handshake, chunk(response(("Sec-WebSocket-Protocol", "chat"))))
    assert events == []
    assert (ws.role, ws.subprotocol, ws.extensions, ws.unread) == (CLIENT, "chat", (), 0)
    assert ws.data_to_send() == b""


@pytest.mark.clause("6455:4.1-key-is-a-nonce")
def test_the_nonce_of_4_1() -> None:
    # 4.1, 7: "if the randomly selected value was the sequence of bytes 0x01 0x02 [...] 0x10". The RFC's own base64 of
    # it ends in "EC=="; erratum 3150: its pad bits must be zero.
    nonce = bytes(range(1, 17))
    handshake = ClientHandshake("ws://a/", random=lambda size: nonce)
    assert handshake.request.headers["Sec-WebSocket-Key"] == "AQIDBAUGBwgJCgsMDQ4PEA=="
    # A key with other pad bits decodes to the same 16 bytes; the answer is to its letters.
    _, answer = accepted(request(Sec_WebSocket_Key="AQIDBAUGBwgJCgsMDQ4PEC=="))
    assert answer["Sec-WebSocket-Accept"] == accept_key("AQIDBAUGBwgJCgsMDQ4PEC==")


@pytest.mark.clause("6455:4.1-key-is-a-nonce", "6455:4.1-key-is-fresh")
def test_the_key_is_another_one_each_time() -> None:
    keys = {ClientHandshake("ws://a/").request.headers["Sec-WebSocket-Key"] for _ in range(100)}
    assert len(keys) == 100
    assert all(len(base64.b64decode(key, validate=True)) == 16 for key in keys)


@pytest.mark.clause("6455:4.4-versions-are-listed")
def test_versions_of_4_4() -> None:
    # 4.4: the server's answer to version 25 lists what it is willing to use; the client then asks for 13.
    _, answer, _ = refusal(request(Sec_WebSocket_Version="25"))
    assert answer.headers.get_all("Sec-WebSocket-Version") == ("13",)
    accepted(request(Sec_WebSocket_Version="13"))


# What a server must refuse, and how (4.2.1). Each in every split, with the same words.

X_KEYS = {
    "too short": "AAAA",
    "empty": "",
    "15 bytes": base64.b64encode(bytes(15)).decode(),
    "17 bytes": base64.b64encode(bytes(17)).decode(),
    "no padding": "AAAAAAAAAAAAAAAAAAAAAA",
    "one pad character": "AAAAAAAAAAAAAAAAAAAAAAA=",
    "URL alphabet": "AAAAAAAAAAAAAAAAAAAA-A==",
    "inner space": "AAAAAAAAAA AAAAAAAAAAAA==",
    "two keys in one line": f"{SAMPLE_KEY}, {SAMPLE_KEY}",
    "not ASCII": "AAAAAAAAAAAAAAAAAAAA\xe9A==",
}

REFUSED: dict[str, tuple[bytes, int, str]] = {
    # 1: "An HTTP/1.1 or higher GET request"
    "POST": (request(line="POST /chat HTTP/1.1"), 405, "4.2.1"),
    "method in lower case": (request(line="get /chat HTTP/1.1"), 405, "4.2.1"),
    "CONNECT": (request(line="CONNECT server.example.com:80 HTTP/1.1"), 405, "4.2.1"),
    "HTTP/1.0": (request(line="GET /chat HTTP/1.0"), 426, "4.2.1"),
    "HTTP/1.0 without Host": (request(line="GET /chat HTTP/1.0", without="Host"), 426, "4.2.1"),
    "HTTP/1.0 without Upgrade": (request(line="GET /chat HTTP/1.0", without="Upgrade"), 426, "4.2.1"),
    "HTTP/1.0 with two Hosts": (request(("Host", "x"), line="GET /chat HTTP/1.0"), 400, "RFC 9112 3.2"),
    "HTTP/0.9": (request(line="GET /chat HTTP/0.9"), 505, "RFC 9112 2.3"),
    "HTTP/2.0": (request(line="GET /chat HTTP/2.0"), 505, "RFC 9112 2.3"),
    "target *": (request(line="GET * HTTP/1.1"), 400, "4.2.1"),
    "target without slash": (request(line="GET chat HTTP/1.1"), 400, "4.2.1"),
    "target with fragment": (request(line="GET /chat#x HTTP/1.1"), 400, "4.2.1"),
    "absolute target with fragment": (request(line="GET http://a/chat#x HTTP/1.1"), 400, "4.2.1"),
    "target of another scheme": (request(line="GET ftp://a/chat HTTP/1.1"), 400, "4.2.1"),
    "absolute target without a host": (request(line="GET http:///chat HTTP/1.1"), 400, "RFC 9112 3.2"),
    "absolute target with user": (request(line="GET http://u@a/chat HTTP/1.1"), 400, "RFC 9112 3.2"),
    # 2: "A |Host| header field containing the server's authority"
    "no Host": (request(without="Host"), 400, "RFC 9112 3.2"),
    "two Hosts": (request(("host", "server.example.com")), 400, "RFC 9112 3.2"),
    "two Hosts with an absolute target": (
        request(("host", "server.example.com"), line="GET http://a/chat HTTP/1.1"),
        400,
        "RFC 9112 3.2",
    ),
    "empty Host": (request(Host=""), 400, "RFC 9112 3.2"),
    "list of Hosts": (request(Host="a, b"), 400, "RFC 9112 3.2"),
    "Host with user": (request(Host="u@a"), 400, "RFC 9112 3.2"),
    "Host with path": (request(Host="a/b"), 400, "RFC 9112 3.2"),
    "Host not ASCII": (request(Host="\xe9"), 400, "RFC 9112 3.2"),
    # 3: "An |Upgrade| header field containing the value "websocket""
    "no Upgrade": (request(without="Upgrade"), 426, "4.2.1"),
    "another Upgrade": (request(Upgrade="h2c"), 426, "4.2.1"),
    "empty Upgrade": (request(Upgrade=""), 426, "4.2.1"),
    "Upgrade with a version": (request(Upgrade="websocket/13"), 426, "4.2.1"),
    # RFC 9110, 5.6.3: around the values of a list only spaces and tabs mean nothing, not all that Unicode calls space.
    "Upgrade with a space of Latin-1": (request(Upgrade="websocket\x85"), 426, "4.2.1"),
    # 4: "A |Connection| header field that includes the token "Upgrade""
    "no Connection": (request(without="Connection"), 400, "4.2.1"),
    "no upgrade in Connection": (request(Connection="keep-alive"), 400, "4.2.1"),
    "Connection with another word": (request(Connection="Upgraded, x-upgrade"), 400, "4.2.1"),
    "Connection with a space of Latin-1": (request(Connection="keep-alive,\xa0Upgrade"), 400, "4.2.1"),
    # 5: "A |Sec-WebSocket-Key| header field"
    "no key": (request(without="Sec-WebSocket-Key"), 400, "11.3.1"),
    "two keys": (request(("Sec-WebSocket-Key", SAMPLE_KEY)), 400, "11.3.1"),
    **{f"key: {what}": (request(Sec_WebSocket_Key=key), 400, "4.2.1") for what, key in X_KEYS.items()},
    # 6: "A |Sec-WebSocket-Version| header field, with a value of 13"
    "no version": (request(without="Sec-WebSocket-Version"), 426, "4.2.1"),
    "version 8": (request(Sec_WebSocket_Version="8"), 426, "4.2.2"),
    "version 14": (request(Sec_WebSocket_Version="14"), 426, "4.2.2"),
    "version 013": (request(Sec_WebSocket_Version="013"), 426, "4.2.2"),
    "versions": (request(Sec_WebSocket_Version="13, 8"), 426, "4.2.2"),
    "empty version": (request(Sec_WebSocket_Version=""), 426, "4.2.2"),
    "version twice": (request(("Sec-WebSocket-Version", "13")), 400, "11.3.5"),
    # 7: "an |Origin| header field"
    "another origin": (request(("Origin", "http://evil.example")), 403, "10.2"),
    "two origins": (request(("Origin", "http://server.example.com"), ("Origin", "null")), 400, "RFC 6454 7.3"),
    # 8: "a |Sec-WebSocket-Protocol| header field, with a list of values"; 4.1: unique, and non-empty tokens
    "subprotocol is no token": (request(("Sec-WebSocket-Protocol", "chat, a b")), 400, "4.3"),
    "subprotocol not ASCII": (request(("Sec-WebSocket-Protocol", "\xe9")), 400, "4.3"),
    "subprotocol twice": (request(("Sec-WebSocket-Protocol", "chat, x, chat")), 400, "4.1"),
    "subprotocol in two lines": (
        request(("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", "chat")),
        400,
        "4.1",
    ),
    # 9: "a |Sec-WebSocket-Extensions| header field, with a list of values"
    "malformed extensions": (request(("Sec-WebSocket-Extensions", "a; b=")), 400, "9.1"),
    # No body, told in any way
    "Content-Length": (request(("Content-Length", "5")), 400, "RFC 9112 6.2"),
    "two Content-Lengths": (request(("Content-Length", "0"), ("Content-Length", "5")), 400, "RFC 9112 6.2"),
    "Content-Length is a list": (request(("Content-Length", "0, 5")), 400, "RFC 9112 6.2"),
    "Content-Length is a list with a gap": (request(("Content-Length", "0,,0")), 400, "RFC 9112 6.2"),
    "Content-Length is not decimal": (request(("Content-Length", "0x0")), 400, "RFC 9112 6.2"),
    "Content-Length in other digits": (request(("Content-Length", "\xb2")), 400, "RFC 9112 6.2"),
    "Content-Length with a sign": (request(("Content-Length", "+0")), 400, "RFC 9112 6.2"),
    "Content-Length of nothing": (request(("Content-Length", "")), 400, "RFC 9112 6.2"),
    "Transfer-Encoding": (request(("Transfer-Encoding", "chunked")), 400, "RFC 9112 6.1"),
    "empty Transfer-Encoding": (request(("Transfer-Encoding", "")), 400, "RFC 9112 6.1"),
    # Limits, in their order
    "request line too long": (b"GET /" + b"a" * 16384, 414, "RFC 9110 15.5.15"),
    "header too long": (request(("X", "v" * 16384)), 431, "RFC 6585 5"),
    "too many headers": (request(*[("X", "v")] * 252), 431, "RFC 6585 5"),
    "head too long": (request(*[("X", "v" * 400)] * 200), 431, "RFC 6585 5"),
    "too many extensions": (request(("Sec-WebSocket-Extensions", "x," * 129)), 431, "10.4"),
    "too many parameters": (request(("Sec-WebSocket-Extensions", "x" + ";a" * 128)), 431, "10.4"),
    "too many extensions in lines": (request(*[("Sec-WebSocket-Extensions", "x;a")] * 65), 431, "10.4"),
    "too many subprotocols": (request(("Sec-WebSocket-Protocol", ",".join(map(str, range(129))))), 431, "10.4"),
}


@pytest.mark.clause(
    "6455:4.2.1-bad-request-is-refused",
    "6455:4.2.2-origin-is-refused",
    "6455:4.2.2-version-is-refused",
    "6455:7.2.2-aborts",
    "6455:9.1-bad-grammar-fails",
    "6455:10.7-status-says-why",
    "6455:11.3.1-once",
    "6455:11.3.5-once-in-a-request",
)
@pytest.mark.parametrize(("data", "status", "section"), REFUSED.values(), ids=REFUSED)
def test_refused_request(data: bytes, status: int, section: str) -> None:
    error, answer, sent = refusal(data)
    assert (error.status, error.section) == (status, section)
    for name, chunk in CHUNKINGS.items():
        again, _, resent = refusal(data, chunk)
        assert (str(again), resent) == (str(error), sent), name
    assert answer.headers.get("Allow") == ("GET" if status == 405 else None)


@pytest.mark.clause("6455:4.2.2-version-is-refused", "6455:4.4-versions-are-listed")
@pytest.mark.parametrize("name", [name for name, (_, status, _) in REFUSED.items() if status == 426])
def test_426_says_what_to_upgrade_to(name: str) -> None:
    # 4.2.2: "a |Sec-WebSocket-Version| header field indicating the version(s) the server is capable of understanding".
    # RFC 9110, 15.5.22: "The server MUST send an Upgrade header field in a 426 response"; 7.8: with its connection
    # option.
    _, answer, _ = refusal(REFUSED[name][0])
    assert answer.headers["Sec-WebSocket-Version"] == "13"
    assert answer.headers["Upgrade"] == "websocket"
    assert answer.headers["Connection"] == "close, Upgrade"


BY_A_PROXY = "a proxy in front has most likely removed it, and must be told to pass on Upgrade and Connection"
REFUSAL_WORDS = {
    "POST": "the method is 'POST'; GET is required",
    "target *": "the target is '*', not a path with a query",
    "no Host": "there are no Host headers; one is required",
    "two Hosts": "there are 2 Host headers; one is required",
    "Host with path": "Host is 'a/b', not a host with an optional port",
    "no Upgrade": f"there is no Upgrade header: {BY_A_PROXY}",
    "another Upgrade": "Upgrade lists 'h2c', not websocket",
    "no Connection": f"there is no Connection header: {BY_A_PROXY}",
    "no upgrade in Connection": f"Connection lists 'keep-alive', not Upgrade: {BY_A_PROXY}",
    "HTTP/1.0 without Upgrade": (
        "this is a WebSocket handshake in HTTP/1.0, which has no Upgrade. A proxy in front most likely speaks "
        "HTTP/1.0 to this server; have it speak HTTP/1.1 (in nginx: proxy_http_version 1.1)"
    ),
    "another origin": (
        "the page that connects has the origin 'http://evil.example', and this server is 'server.example.com' to it: "
        "origins=['http://evil.example'] allows it; a proxy in front must pass on Host unchanged"
    ),
    "request line too long": "the request line is longer than 16384 bytes (Limits.line)",
    "header too long": "the field 'X' is longer than 16384 bytes (Limits.line)",
    "too many headers": "there are more than 256 header fields (Limits.headers)",
    "head too long": "the head is longer than 65536 bytes (Limits.head), in the field 'X'",
    "too many extensions": "Sec-WebSocket-Extensions lists more than 128 names",
    "no version": "Sec-WebSocket-Version is missing; 13 is required",
    "version 8": "the version is '8'; 13 is required",
    "version twice": "there are 2 Sec-WebSocket-Version headers; one is required",
    "key: too short": "Sec-WebSocket-Key is 'AAAA', not 16 bytes in base64",
    "Content-Length": "Content-Length announces a body; a handshake has none",
    "Transfer-Encoding": "Transfer-Encoding announces a body; a handshake has none",
}


@pytest.mark.parametrize(("name", "words"), REFUSAL_WORDS.items(), ids=REFUSAL_WORDS)
def test_a_refusal_says_what_was_got_and_what_is_required(name: str, words: str) -> None:
    assert refusal(REFUSED[name][0])[0].reason == words


@pytest.mark.parametrize("name", REQUIRED)
def test_cve_2024_37890_ws(name: str) -> None:
    """A request with too many headers lost some of them, and a missing one was used. Each is left out in turn."""
    error, _, _ = refusal(request(*[("X", "y")] * 80, without=name))
    assert name in error.reason
    error, _, _ = refusal(request(*[("X", "y")] * 3000, without=name))
    assert error.status == 431


def test_cve_2026_34525_aiohttp() -> None:
    """Two Host headers were accepted, so that two servers could see two hosts."""
    for second in ("server.example.com", "evil.example", ""):
        for fields in ([("Host", second), *REQUIRED.items()], [*REQUIRED.items(), ("hOST", second)]):
            assert refusal(head("GET /chat HTTP/1.1", fields))[0].status == 400


@pytest.mark.parametrize("name", [name for name in REFUSED if "too long" not in name and "too many" not in name])
def test_proxy_smuggling(name: str) -> None:
    """A 101 was given though a check had failed, and connections were kept after an error answer.

    What follows a refused request is not looked at, were it a perfect handshake, and its answer closes.
    """
    data = REFUSED[name][0] + request()
    _, answer, _ = refusal(data)
    assert answer.headers["Connection"] in ("close", "close, Upgrade")


# What a server must accept.

ACCEPTED: dict[str, bytes] = {
    "as it is": request(),
    "names and tokens in any case": (
        b"GET /chat HTTP/1.1\r\nHOST:a\r\nupgrade:WebSocket\r\ncOnNeCtIoN:upgrade\r\n"
        b"sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\r\nSEC-WEBSOCKET-VERSION:13\r\n\r\n"
    ),
    "Connection of Firefox": request(Connection="keep-alive, Upgrade"),
    "Connection in two lines": request(("Connection", "x, UPGRADE"), Connection="keep-alive"),
    "Upgrade in a list": request(Upgrade="h2c, websocket"),
    "Upgrade in two lines": request(("Upgrade", "websocket"), Upgrade="foo/2"),
    # 4.2.1: "An HTTP/1.1 or higher GET request"
    "HTTP/1.2": request(line="GET /chat HTTP/1.2"),
    "HTTP/1.9": request(line="GET /chat HTTP/1.9"),
    "absolute target": request(line="GET http://server.example.com/chat?x=1 HTTP/1.1"),
    "absolute target of wss": request(line="GET wss://server.example.com/chat HTTP/1.1"),
    "absolute target of ws": request(line="GET WS://server.example.com/chat HTTP/1.1"),
    # RFC 9110, 8.6: these announce no body
    "Content-Length: 0": request(("Content-Length", "0")),
    "Content-Length: 00": request(("Content-Length", "00")),
    "Content-Length: 0 twice": request(("Content-Length", "0"), ("content-length", "0")),
    "Content-Length in a list": request(("Content-Length", "0 ,\t00")),
    # RFC 9112, 2.2
    "an empty line before it": b"\r\n" + request(),
    # RFC 6874, and addresses without brackets
    "Host with a zone": request(Host="[fe80::1%eth0]:8765"),
    "Host with an encoded zone": request(Host="[fe80::1%25eth0]:8765"),
    "Host is an address without brackets": request(Host="fe80::1"),
    "Host is an address without brackets, with a zone": request(Host="fe80::1%eth0"),
    "many headers": request(*[("X", "v")] * 251),
    "a long header": request(("Authorization", "Negotiate " + "a" * 12000)),
    # RFC 9110, 5.6.1.2: empty elements are ignored, and lists of nothing else are as if they were not there
    "empty list of subprotocols": request(("Sec-WebSocket-Protocol", "")),
    "subprotocols after an empty line": request(("Sec-WebSocket-Protocol", ""), ("Sec-WebSocket-Protocol", "chat")),
    "empty list of extensions": request(("Sec-WebSocket-Extensions", " ")),
    "extensions after an empty line": request(("Sec-WebSocket-Extensions", ","), ("Sec-WebSocket-Extensions", "x")),
    "many extensions": request(("Sec-WebSocket-Extensions", ",".join(["x"] * 128))),
    "unknown fields": request(("X-Unknown", "\xff\x80"), ("Cookie", "a=b"), ("Cookie", "c=d")),
    "space around values": request(Sec_WebSocket_Version=" \t13\t ", Sec_WebSocket_Key=f" {SAMPLE_KEY} "),
    "Host with a port": request(Host="[::1]:8765"),
    "no Origin": request(),
    "own Origin": request(("Origin", "http://server.example.com")),
    "key with g": request(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAg=="),
    "key with w": request(Sec_WebSocket_Key="++++////////////////zw=="),
    "key with pad bits": request(Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAA/=="),
}


@pytest.mark.clause("6455:4.2.2-accepts-in-steps")
@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
@EVERY_CHUNKING
def test_accepted_request(chunk: Chunking, data: bytes) -> None:
    handshake = ServerHandshake()
    got = ask(handshake, chunk(data))
    assert got.path == "/chat"
    assert got.is_upgrade
    key = got.headers["Sec-WebSocket-Key"]
    assert f"Sec-WebSocket-Accept: {accept_key(key)}\r\n".encode() in handshake.accept().data_to_send()


def test_the_101_has_what_was_added() -> None:
    handshake = ServerHandshake()
    handshake.receive_data(request())
    ws = handshake.accept(headers=[("Set-Cookie", "a=\xe9"), ("Set-Cookie", "b=2"), (b"Server", b"x")])
    sent = ws.data_to_send()
    assert b"Set-Cookie: a=\xe9\r\nSet-Cookie: b=2\r\nServer: x\r\n\r\n" in sent
    assert sent.count(b"\r\n\r\n") == 1


# The order of calls.


def test_calls_out_of_order_at_a_server() -> None:
    handshake = ServerHandshake()
    with pytest.raises(LocalProtocolError, match="the request must be received first"):
        handshake.accept()
    handshake.receive_data(request())
    ws = handshake.accept()
    for call in (handshake.accept, lambda: handshake.reject(404), lambda: handshake.receive_data(b"x")):
        with pytest.raises(LocalProtocolError, match=r"continue with the connection that accept\(\) returned"):
            call()
    assert ws.data_to_send().startswith(b"HTTP/1.1 101 ")
    assert handshake.data_to_send() == b""


def test_a_call_out_of_order_is_named_and_told_what_to_do() -> None:
    handshake = ServerHandshake()
    with pytest.raises(LocalProtocolError) as caught:
        handshake.accept()
    assert str(caught.value) == "accept() cannot be called now: the request must be received first"
    handshake.receive_data(request())
    handshake.accept()
    for name, call in {
        "accept()": handshake.accept,
        "reject()": lambda: handshake.reject(404),
        "receive_data()": lambda: handshake.receive_data(b"x"),
    }.items():
        with pytest.raises(LocalProtocolError) as caught:
            call()
        assert str(caught.value) == (
            f"{name} cannot be called now: continue with the connection that accept() returned"
        )


def test_calls_after_the_end_at_a_client_are_named() -> None:
    handshake = client()
    handshake.receive_response(101, ANSWER)
    for name, call in {
        "receive_data()": lambda: handshake.receive_data(b"x"),
        "receive_response()": lambda: handshake.receive_response(101, ANSWER),
    }.items():
        with pytest.raises(LocalProtocolError) as caught:
            call()
        assert str(caught.value) == f"{name} cannot be called now: this handshake has ended"


def test_a_failed_accept_changes_nothing() -> None:
    handshake = ServerHandshake()
    handshake.receive_data(request())
    for headers in ([("X", "a\r\nb")], [("X\0", "a")], [("Upgrade", "x")], [("X", "\u20ac")]):
        with pytest.raises(LocalProtocolError):
            handshake.accept(headers=headers)
    for wrong in ({"headers": [("X", 7)]}, {"headers": None}, {"subprotocol": 7}, {"limits": 7}, {"no_option": 7}):
        with pytest.raises(TypeError):
            handshake.accept(**wrong)  # type: ignore[arg-type]
    assert handshake.response is None
    assert handshake.accept().data_to_send().startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "name",
    ["Upgrade", "connection", "Sec-WebSocket-Accept", "sec-websocket-x", "Content-Length", "Transfer-Encoding"],
)
def test_what_the_handshake_writes_itself_cannot_be_added(name: str) -> None:
    handshake = ServerHandshake()
    handshake.receive_data(request())
    advice = "use its arguments" if name.lower().startswith("sec-") else "leave it out"
    for call in (
        handshake.accept,
        lambda headers: handshake.reject(404, headers),
        lambda headers: client(headers=headers),
    ):
        with pytest.raises(LocalProtocolError, match=f"^'{name}' is set by the handshake itself; {advice}$"):
            call(headers=[(name, "x")])


def test_host_and_origin_may_be_among_the_headers() -> None:
    sent = client(headers={"Origin": "http://a.example", "X": "y", "host": "b.example:81"}).data_to_send()
    assert sent.startswith(b"GET /chat HTTP/1.1\r\nHost: b.example:81\r\nUpgrade: websocket\r\n")
    assert sent.endswith(b"\r\nOrigin: http://a.example\r\nX: y\r\n\r\n")
    assert sent.lower().count(b"host:") == 1
    far = Http2ClientHandshake("ws://a.example/", headers=[("Host", "b.example"), ("Origin", "http://a.example")])
    sent_list = far.headers_to_send()
    assert dict(sent_list)[b":authority"] == b"b.example"
    assert (b"origin", b"http://a.example") in sent_list
    assert b"host" not in dict(sent_list)
    assert far.request.host == "b.example"


@pytest.mark.parametrize("make", [client, lambda **options: Http2ClientHandshake("ws://a/", **options)])
def test_host_and_origin_cannot_be_given_twice(make: Callable[..., object]) -> None:
    with pytest.raises(LocalProtocolError, match="Origin is given twice"):
        make(origin="http://a.example", headers={"origin": "http://a.example"})
    with pytest.raises(LocalProtocolError, match="Origin is given twice"):
        make(headers=[("Origin", "a"), ("origin", "b")])
    with pytest.raises(LocalProtocolError, match="Host is given twice"):
        make(headers=[("Host", "a"), ("host", "a")])
    for bad in ("", "a/b", "a b", "u@a", "a\r\nX: y"):
        with pytest.raises(LocalProtocolError, match="not a host with an optional port"):
            make(headers={"Host": bad})


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/\n", "/\0", "/\xe9", "/\u20ac", "\x7f"])
def test_a_target_that_no_request_line_can_hold(target: str) -> None:
    """Where the request was read elsewhere; what reads it here finds the octet in the line."""
    with pytest.raises(HandshakeError, match="the target is") as caught:
        asked("GET", target, REQUIRED)
    assert (caught.value.status, caught.value.section) == (400, "RFC 9112 3.2")
    assert caught.value.response is not None


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\rb", "a\nb", "\0", "\x7f", "\u20ac"])
def test_a_value_that_no_header_can_hold(value: str) -> None:
    with pytest.raises(
        HandshakeError, match="'X-Name' contains a character that is not allowed in a header"
    ) as caught:
        asked("GET", "/", {**REQUIRED, "X-Name": value})
    assert (caught.value.status, caught.value.section) == (400, "RFC 9112 5.5")
    assert value not in caught.value.reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: ServerHandshake(limits=None),
        lambda: asked("GET", "/", REQUIRED, limits=None),
    ],
)
def test_no_limits_are_the_default_ones(make: Callable[[], ServerHandshake]) -> None:
    handshake = make()
    if handshake.request is None:
        handshake.receive_data(request())
    assert handshake.accept().limits == Limits()
    assert client(limits=None).receive_response(101, ANSWER).limits == Limits()


def test_another_handshake_has_the_arguments_and_nothing_else() -> None:
    first = ServerHandshake(
        subprotocols=["chat"],
        extensions=[Runs()],
        hosts=["server.example.com"],
        plain_http=True,
        limits=Limits(message=5),
        leniencies={Leniency.MISSING_CONNECTION_UPGRADE},
    )
    asking = ("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", Runs.name)
    for handshake in (first, first.another(), first.another().another()):
        assert handshake.request is handshake.response is None
        assert not handshake.has_data_to_send
        assert handshake.receive_data(request(*asking, without="Connection") + b"early") is not None
        assert handshake.leniencies_used == {Leniency.MISSING_CONNECTION_UPGRADE: 1}
        connection = handshake.accept()
        assert connection.subprotocol == "chat"
        assert len(connection.extensions) == 1
        assert connection.limits == Limits(message=5)
        assert connection.unread == len(b"early")
    assert first.another().receive_data(b"GET / HTTP/1.1\r\nHost: server.example.com\r\n\r\n") is not None
    refused = first.another()
    with pytest.raises(HandshakeError, match=r"^421"):
        refused.receive_data(request(Host="example.org"))
    assert refused.another().receive_data(request()) is not None


# Rejecting.


def rejected(*arguments: Any, data: bytes = b"", **options: Any) -> bytes:
    handshake = ServerHandshake(**options)
    handshake.receive_data(data or request())
    handshake.reject(*arguments)
    sent = handshake.data_to_send()
    assert handshake.data_to_send() == b""
    assert handshake.response is not None
    assert handshake.response.status == arguments[0]
    return sent


@pytest.mark.clause("6455:4.2.2-no-such-service")
def test_reject() -> None:
    assert rejected(404) == b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert rejected(403, [("X", "y")], b"No.\n") == (
        b"HTTP/1.1 403 Forbidden\r\nX: y\r\nConnection: close\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n\r\nNo.\n"
    )
    assert rejected(401, {"WWW-Authenticate": "Basic"}).count(b"WWW-Authenticate: Basic\r\n") == 1
    assert rejected(302, [("Location", "/x")]).startswith(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n")
    assert rejected(400, [("content-type", "text/html")], b"<p>").count(b"ontent-") == 2
    assert rejected(200, (), b"page").startswith(b"HTTP/1.1 200 OK\r\n")
    assert rejected(426).count(b"Sec-WebSocket-Version: 13\r\n") == 1


@pytest.mark.parametrize("status", [204, 304])
def test_reject_without_a_body(status: int) -> None:
    assert b"Content-" not in rejected(status)
    with pytest.raises(LocalProtocolError, match="has no body"):
        rejected(status, (), b"body")


def test_reject_with_a_reset() -> None:
    # RFC 9110, 15.3.6: "a server MUST NOT generate content in a 205 response."
    assert rejected(205).endswith(b"\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(LocalProtocolError, match="has no body"):
        rejected(205, (), b"body")


@pytest.mark.parametrize("body", ["text", 5, None])
def test_reject_with_a_body_that_is_none(body: Any) -> None:
    handshake = ServerHandshake()
    handshake.receive_data(request())
    with pytest.raises(TypeError, match="a body is bytes"):
        handshake.reject(404, (), body)
    handshake.accept()


def test_a_body_is_as_long_as_its_bytes() -> None:
    assert rejected(404, (), memoryview(array("H", [0x7878, 0x7878]))).endswith(b"Content-Length: 4\r\n\r\nxxxx")
    assert rejected(HTTPStatus.NOT_FOUND).startswith(b"HTTP/1.1 404 Not Found\r\n")


# RFC 9110, 15: "Values outside the range 100..599 are invalid."
@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, 777, 1000, 404.0, "404", None, True])
def test_reject_with_no_final_status(status: Any) -> None:
    handshake = ServerHandshake()
    handshake.receive_data(request())
    with pytest.raises(LocalProtocolError, match="cannot refuse a handshake"):
        handshake.reject(status)
    assert handshake.data_to_send() == b""
    handshake.accept()


@pytest.mark.parametrize("fields", [[("X", "a\r\nb")], [("X\n", "a")], [("X", "\0")], [("X", "\u20ac")]])
def test_cve_2026_1527_undici(fields: Lines) -> None:
    """CR, LF, NUL in an option became a header: path, host, header, subprotocol are refused when built."""
    handshake = ServerHandshake()
    handshake.receive_data(request())
    with pytest.raises(LocalProtocolError):
        handshake.reject(404, fields)
    assert handshake.data_to_send() == b""
    assert handshake.response is None
    for options in (
        {"headers": fields},
        {"origin": "http://a\r\nX: y"},
        {"subprotocols": ["a\r\nX: y"]},
        {"uri": "ws://a/\r\nX: y"},
        {"uri": "ws://a\r\nX: y/"},
    ):
        with pytest.raises(LocalProtocolError):
            client(**options)  # type: ignore[arg-type]


def test_reject_before_the_request_is_whole() -> None:
    handshake = ServerHandshake()
    handshake.receive_data(request()[:30])
    handshake.reject(408)
    assert handshake.data_to_send().startswith(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n")
    with pytest.raises(LocalProtocolError):
        handshake.receive_data(request()[30:])


# Plain HTTP on the same port.

PLAIN = b"GET /index.html?x HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n"


@EVERY_CHUNKING
def test_plain_http(chunk: Chunking) -> None:
    handshake = ServerHandshake(plain_http=True)
    got = ask(handshake, chunk(PLAIN))
    assert (got.is_upgrade, got.path, got.query) == (False, "/index.html", "x")
    with pytest.raises(LocalProtocolError, match="asks for no WebSocket"):
        handshake.accept()
    handshake.reject(200, [("Content-Type", "text/html")], b"<p>page")
    assert handshake.data_to_send() == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: 7\r\n\r\n<p>page"
    )


HEALTH_CHECKS = {
    "GET of 1.0": (b"GET /health HTTP/1.0\r\n\r\n", "/health", None),
    "OPTIONS of 1.0": (b"OPTIONS / HTTP/1.0\r\n\r\n", "/", None),
    "OPTIONS of 1.1": (b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"),
    "OPTIONS of all": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a"),
    "OPTIONS of all, of 1.0": (b"OPTIONS * HTTP/1.0\r\n\r\n", "*", None),
    "HEAD of 1.0": (b"HEAD /health?x HTTP/1.0\r\nHost: a\r\n\r\n", "/health", "a"),
    "as nginx passes it on": (b"GET /health HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n", "/health", "a"),
}


@pytest.mark.parametrize(("data", "path", "host"), HEALTH_CHECKS.values(), ids=HEALTH_CHECKS)
@EVERY_CHUNKING
def test_health_checks(chunk: Chunking, data: bytes, path: str, host: str | None) -> None:
    """HAProxy's and others'. RFC 9112, 3.2, asks for Host in HTTP/1.1 only; RFC 9110, 7.8: only Upgrade needs 1.1."""
    handshake = ServerHandshake(plain_http=True)
    got = ask(handshake, chunk(data))
    assert (got.path, got.host, got.is_upgrade, got.version.encode() in data) == (path, host, False, True)
    handshake.reject(200, body=b"fine\n")
    sent = handshake.data_to_send()
    assert sent.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    assert sent.endswith(b"\r\n\r\n" + (b"" if data.startswith(b"HEAD") else b"fine\n"))
    if not data.startswith(b"HEAD"):
        assert refusal(data, chunk)[0].status in (405, 426)


@EVERY_CHUNKING
def test_a_page_that_is_asked_for_is_told_so(chunk: Chunking) -> None:
    """A browser that opens the address: words for a person."""
    for data in (PLAIN, PLAIN.replace(b"1.1", b"1.0")):
        error, answer, _ = refusal(data, chunk)
        assert (error.status, error.cause) == (426, CloseCause.OPENING_REFUSED)
        assert answer.body.startswith(b"this is a WebSocket server, not a web page")


def test_answer_to_head_has_no_body() -> None:
    refused_head = ServerHandshake()
    with pytest.raises(HandshakeError, match="405: the method is 'HEAD'"):
        refused_head.receive_data(request(line="HEAD /chat HTTP/1.1"))
    assert refused_head.data_to_send().endswith(b"\r\n\r\n")
    # RFC 9110, 9.3.2: "The HEAD method is identical to GET except that the server MUST NOT send content in the
    # response."
    sent = rejected(200, (), b"<p>page", data=PLAIN.replace(b"GET", b"HEAD"), plain_http=True)
    assert sent.endswith(b"Content-Length: 7\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (PLAIN.replace(b"GET", b"POST"), 405),
        (PLAIN.replace(b"Host: a\r\n", b""), 400),
        (PLAIN.replace(b"Accept", b"Host"), 400),
        (PLAIN.replace(b"Accept: text/html", b"Content-Length: 5"), 400),
        (PLAIN.replace(b"Accept: text/html", b"Transfer-Encoding: chunked"), 400),
        (PLAIN.replace(b"/index.html?x", b"*"), 400),
        (PLAIN.replace(b"/index.html?x", b"/#x"), 400),
        (PLAIN.replace(b"GET /index.html?x", b"OPTIONS **"), 400),
        (b"GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", 400),
        (PLAIN.replace(b"1.1", b"2.0"), 505),
        # what looks like a WebSocket client that a proxy, or a mistake, has maimed, is told so
        (request(without="Upgrade"), 426),
        (request(without="Connection"), 400),
        (request(line="GET / HTTP/1.0"), 426),
        (request(line="GET / HTTP/1.0", without="Upgrade"), 426),
        (request(without="Sec-WebSocket-Key"), 400),
        (request(line="POST / HTTP/1.1"), 405),
        (request(("Origin", "http://evil.example")), 403),
    ],
)
def test_plain_http_is_strict_too(data: bytes, status: int) -> None:
    handshake = ServerHandshake(plain_http=True)
    with pytest.raises(HandshakeError) as caught:
        handshake.receive_data(data)
    assert caught.value.status == status
    assert (b"Allow: GET, HEAD, OPTIONS\r\n" in handshake.data_to_send()) is (status == 405)


def test_with_plain_http_all_methods_are_named() -> None:
    with pytest.raises(HandshakeError) as caught:
        ServerHandshake(plain_http=True).receive_data(PLAIN.replace(b"GET", b"POST"))
    assert caught.value.reason == "the method is 'POST'; GET, HEAD or OPTIONS is required"


def test_with_plain_http_a_websocket_is_a_websocket() -> None:
    accepted(request(("Origin", "http://server.example.com")), plain_http=True)


# Bytes after the head.


@pytest.mark.parametrize("places", [[], [1], [150], [10, 175], list(range(300))])
def test_websocketpp_32(places: list[int]) -> None:
    """Frames that arrive with the handshake were lost, at either end. Here in every split."""
    messages = [TextMessage("a"), TextMessage("b")]
    up = frame(TEXT, b"a", key=KEY) + frame(TEXT, b"b", key=KEY)
    handshake = ServerHandshake()
    ask(handshake, cut_at(request() + up, places))
    ws = handshake.accept()
    assert ws.unread == len(up)
    assert ws.receive_data(None) == messages
    assert ws.unread == 0
    down = frame(TEXT, b"a") + frame(TEXT, b"b")
    assert connect(client(), cut_at(response() + down, places))[1] == messages
    for place in range(len(response()) - 1, len(response() + down)):
        assert connect(client(), cut_at(response() + down, [place]))[1] == messages


@pytest.mark.measured
def test_a_server_keeps_nothing_of_what_came_behind_the_request() -> None:
    handshake = ServerHandshake(limits=Limits(early_data=1_000_000))
    with Memory() as memory:
        handshake.receive_data(request() + frame(BINARY, bytes(500_000), key=KEY))
        ws = handshake.accept()
        assert ws.receive_data(None) == [BytesMessage(bytes(500_000))]
        assert memory.kept < 100_000
    assert handshake.request is not None


@pytest.mark.measured
def test_a_client_keeps_nothing_of_what_came_behind_the_answer() -> None:
    """The connection has it, however long the handshake is."""
    handshake = client()
    with Memory() as memory:
        ws = handshake.receive_data(response() + frame(BINARY, bytes(500_000)))
        assert ws is not None
        assert ws.receive_data(None) == [BytesMessage(bytes(500_000))]
        assert memory.kept < 100_000
    assert handshake.response is not None


@EVERY_CHUNKING
def test_what_comes_before_the_answer_is_bounded(chunk: Chunking) -> None:
    # 4.1: "the client MUST wait for a response from the server before sending any further data"
    limits = Limits(early_data=400)
    handshake = ServerHandshake(limits=limits)
    ask(handshake, chunk(request() + b"x" * 400))
    assert handshake.accept().unread == 400
    error, _, _ = refusal(request() + b"x" * 401, chunk, limits=limits)
    assert (error.status, error.section) == (400, "4.1")
    assert error.reason == (
        "more than 400 bytes arrived before the answer, for which a client must wait (Limits.early_data)"
    )


@pytest.mark.parametrize(
    ("early", "events", "cause"),
    [
        (b"", [], CloseCause.EOF_IDLE),
        (frame(TEXT, b"early", key=KEY), [TextMessage("early")], CloseCause.EOF_IDLE),
        (frame(TEXT, b"early", key=KEY)[:-1], [], CloseCause.EOF_IN_FRAME),
    ],
)
def test_an_end_of_file_after_the_request_is_kept_for_the_connection(
    early: bytes, events: list[Event], cause: CloseCause
) -> None:
    handshake = ServerHandshake()
    got = handshake.receive_data(request() + early)
    assert handshake.receive_data(b"") is got
    ws = handshake.accept()
    assert not ws.closed
    *before, closed = ws.receive_data(None)
    assert before == events
    assert (closed.code, closed.cause) == (1006, cause)
    assert (ws.closed, ws.finished, ws.must_close) == (True, True, True)
    assert ws.data_to_send().startswith(b"HTTP/1.1 101 ")


def test_an_end_of_file_after_the_request_can_come_twice() -> None:
    """As a caller has it who asks ``recv`` again."""
    handshake = ServerHandshake()
    handshake.receive_data(request())
    handshake.receive_data(b"")
    ws = handshake.accept()
    assert [closed.cause for closed in ws.receive_data(b"")] == [CloseCause.EOF_IDLE]
    assert ws.receive_data(b"") == []


def test_a_request_can_be_refused_after_an_end_of_file() -> None:
    handshake = ServerHandshake()
    handshake.receive_data(request())
    handshake.receive_data(b"")
    handshake.reject(403)
    assert handshake.data_to_send().startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("size", [0, 10, 100])
def test_end_of_file_in_the_request(size: int) -> None:
    handshake = ServerHandshake()
    if size:
        handshake.receive_data(request()[:size])
    with pytest.raises(HandshakeError, match="the stream ended"):
        handshake.receive_data(b"")
    assert handshake.data_to_send().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_kinds_of_bytes(make: Callable[[bytes], Any]) -> None:
    handshake = ServerHandshake()
    assert handshake.receive_data(make(request() + b"x")) is not None
    handshake.receive_data(make(b"y"))
    assert handshake.accept().unread == 2
    assert isinstance(client().receive_data(make(response())), Connection)
    handshake_2 = client()
    handshake_2.receive_data(make(b"HTTP/1.1 404 x\r\n\r\nab"))
    handshake_2.receive_data(make(b"c"))
    with pytest.raises(HandshakeError) as caught:
        handshake_2.receive_data(make(b""))
    assert caught.value.response is not None
    assert caught.value.response.body == b"abc"


# Heads that were read elsewhere.


def test_receive_request() -> None:
    handshake = asked("GET", "/chat?x", REQUIRED, subprotocols=["chat"], origins=ANY_ORIGIN, limits=Limits(message=5))
    assert handshake.request == Request("GET", "/chat?x", Headers(REQUIRED))
    ws = handshake.accept()
    assert f"Sec-WebSocket-Accept: {SAMPLE_ACCEPT}\r\n".encode() in ws.data_to_send()
    assert handshake.response is not None
    assert handshake.response.status == 101
    assert ws.limits.message == 5


def test_receive_request_with_bytes() -> None:
    pairs = [(name.encode(), value.encode()) for name, value in REQUIRED.items()]
    asked("GET", "/", pairs).accept()


@pytest.mark.parametrize(
    ("method", "change", "status"),
    [
        ("POST", {}, 405),
        ("GET", {"Sec-WebSocket-Version": "12"}, 426),
        ("GET", {"Sec-WebSocket-Key": "\xe9\u20ac"}, 400),
        ("GET", {"Origin": "http://evil.example"}, 403),
        ("GET", {"Host": ""}, 400),
        ("GET", {"Sec-WebSocket-Protocol": "\u20ac"}, 400),
    ],
)
def test_receive_request_that_must_be_refused(method: str, change: dict[str, str], status: int) -> None:
    with pytest.raises(HandshakeError) as caught:
        asked(method, "/", REQUIRED | change)
    assert caught.value.status == status
    assert caught.value.response is not None
    assert caught.value.response.status == status
    assert caught.value.response.body


def test_receive_request_can_require_a_subprotocol() -> None:
    with pytest.raises(HandshakeError) as caught:
        asked("GET", "/", REQUIRED, subprotocols=["chat"], require_subprotocol=True)
    assert caught.value.status == 400
    wishes = REQUIRED | {"Sec-WebSocket-Protocol": "chat"}
    handshake = asked("GET", "/", wishes, subprotocols=["chat"], require_subprotocol=True)
    assert handshake.accept().subprotocol == "chat"


def test_receive_response() -> None:
    handshake = client(subprotocols=["chat"])
    ws = handshake.receive_response(101, ANSWER | {"Sec-WebSocket-Protocol": "chat"})
    assert ws.subprotocol == "chat"
    with pytest.raises(LocalProtocolError, match="has ended"):
        handshake.receive_response(101, ANSWER)


def test_receive_response_that_refuses() -> None:
    handshake = client()
    with pytest.raises(HandshakeError, match="404: the server answered 404 Not Found, not 101") as caught:
        handshake.receive_response(404, {"X": "y"}, b"body")
    assert caught.value.response == Response(404, Headers({"X": "y"}), b"body")
    with pytest.raises(HandshakeError) as caught:
        client().receive_response(101, ANSWER | {"Upgrade": "x"})
    assert caught.value.status == 101


def test_receive_response_that_refuses_without_a_body() -> None:
    with pytest.raises(HandshakeError) as caught:
        client().receive_response(503, {})
    assert body_of(caught.value) == b""


# What a client must refuse (4.1, the second list).

BAD_ANSWERS: dict[str, tuple[bytes, str, str]] = {
    "no Upgrade": (response(without="Upgrade"), "there are no Upgrade headers", "4.1"),
    "another Upgrade": (response(Upgrade="h2c"), "Upgrade is 'h2c', not websocket", "4.1"),
    "list in Upgrade": (response(Upgrade="websocket, h2c"), "not websocket", "4.1"),
    "two Upgrades": (response(("Upgrade", "websocket")), "there are 2 Upgrade headers", "4.1"),
    "no Connection": (response(without="Connection"), "Connection does not list Upgrade", "4.1"),
    "another Connection": (response(Connection="keep-alive"), "Connection does not list Upgrade", "4.1"),
    "no accept value": (response(without="Sec-WebSocket-Accept"), "no Sec-WebSocket-Accept headers", "11.3.3"),
    "two accept values": (response(("Sec-WebSocket-Accept", SAMPLE_ACCEPT)), "2 Sec-WebSocket-Accept", "11.3.3"),
    "another accept value": (
        response(Sec_WebSocket_Accept=accept_key("AAAAAAAAAAAAAAAAAAAAAA==")),
        "does not answer our Sec-WebSocket-Key",
        "4.1",
    ),
    "accept value in lower case": (response(Sec_WebSocket_Accept=SAMPLE_ACCEPT.lower()), "does not answer", "4.1"),
    "accept value not ASCII": (response(Sec_WebSocket_Accept="\xe9"), "does not answer", "4.1"),
    "the key itself": (response(Sec_WebSocket_Accept=SAMPLE_KEY), "does not answer", "4.1"),
    "an extension": (response(("Sec-WebSocket-Extensions", "x-other")), "'x-other' was not asked for", "4.1"),
    "an extension in another case": (response(("Sec-WebSocket-Extensions", "X-Shift")), "was not asked for", "4.1"),
    "an extension twice": (
        response(("Sec-WebSocket-Extensions", "x-shift; least=0, x-shift; least=0")),
        "or is listed twice",
        "4.1",
    ),
    "an extension twice in two lines": (
        response(*[("Sec-WebSocket-Extensions", "x-shift; least=0")] * 2),
        "or is listed twice",
        "4.1",
    ),
    "other parameters": (response(("Sec-WebSocket-Extensions", "x-shift; least=9")), "was answered with", "9.1"),
    "malformed extensions": (response(("Sec-WebSocket-Extensions", "x-shift;")), "does not follow the grammar", "9.1"),
    "a subprotocol": (response(("Sec-WebSocket-Protocol", "other")), "'other' was not asked for", "4.1"),
    "a subprotocol in another case": (response(("Sec-WebSocket-Protocol", "Chat")), "was not asked for", "4.1"),
    "two subprotocols": (response(("Sec-WebSocket-Protocol", "chat, superchat")), "was not asked for", "4.1"),
    "list of nothing in subprotocol": (response(("Sec-WebSocket-Protocol", ",")), "',' was not asked for", "4.1"),
    "two lines of subprotocol": (response(*[("Sec-WebSocket-Protocol", "chat")] * 2), "there are two", "11.3.4"),
    "HTTP/1.0": (response(line="HTTP/1.0 101 x"), "not of HTTP/1.1", "4.2.2"),
}


@pytest.mark.clause(
    "6455:4.1-answer-is-validated",
    "6455:4.1-answer-upgrade",
    "6455:4.1-answer-connection",
    "6455:4.1-answer-accept",
    "6455:4.1-answer-extension",
    "6455:4.1-answer-subprotocol",
    "6455:4.1-answer-conforms",
    "6455:7.2.1-handshake-fails",
    "6455:9.1-bad-grammar-fails",
    "6455:11.3.3-once",
    "6455:11.3.4-once-in-a-response",
)
@pytest.mark.parametrize(("data", "reason", "section"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_bad_answer(data: bytes, reason: str, section: str) -> None:
    for name, chunk in CHUNKINGS.items():
        handshake = client(subprotocols=["chat", "superchat"], extensions=[Shift()])
        with pytest.raises(HandshakeError, match=re.escape(reason)) as caught:
            connect(handshake, chunk(data))
        error = caught.value
        assert (error.status, error.section) == (101, section), name
        assert error.response is handshake.response is not None
        assert error.response.status == 101
        with pytest.raises(LocalProtocolError, match="has ended"):
            handshake.receive_data(b"x")


BAD_ANSWER_WORDS = {
    "no Upgrade": "there are no Upgrade headers; one is required",
    "another Upgrade": "Upgrade is 'h2c', not websocket",
    "no Connection": "Connection does not list Upgrade",
    "another accept value": "Sec-WebSocket-Accept does not answer our Sec-WebSocket-Key",
    "HTTP/1.0": "the 101 is not of HTTP/1.1",
}


@pytest.mark.parametrize(("name", "words"), BAD_ANSWER_WORDS.items(), ids=BAD_ANSWER_WORDS)
def test_the_client_says_what_is_wrong_with_an_answer(name: str, words: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        client(subprotocols=["chat"]).receive_data(BAD_ANSWERS[name][0])
    assert caught.value.reason == words


@pytest.mark.clause("6455:4.1-answer-conforms")
@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n",
        b"\x81\x05Hello",
        b"HTTP/1.1 101 x\r\nA b\r\n",
        b"HTTP/1.1 101 x\r\nX:" + b"y" * 20000,
        b"HTTP/3 200",
    ],
    ids=["SSH", "a frame", "no colon", "too long", "HTTP/3"],
)
def test_an_answer_that_makes_no_sense(data: bytes) -> None:
    for chunk in CHUNKINGS.values():
        handshake = client()
        with pytest.raises(HandshakeError) as caught:
            connect(handshake, chunk(data))
        assert (caught.value.status, caught.value.response) == (None, None)


@pytest.mark.clause("6455:7.2.1-transport-is-lost")
@pytest.mark.parametrize("size", [0, 5, 40])
def test_end_of_file_in_the_answer(size: int) -> None:
    handshake = client()
    if size:
        handshake.receive_data(response()[:size])
    with pytest.raises(HandshakeError, match="the stream ended") as caught:
        handshake.receive_data(b"")
    assert caught.value.status is None
    with pytest.raises(LocalProtocolError):
        handshake.receive_data(b"")


@pytest.mark.clause(
    "6455:4.1-answer-is-validated",
    "6455:4.1-answer-upgrade",
    "6455:4.1-answer-connection",
    "6455:4.1-answer-accept",
    "6455:11.3.2-once-in-a-response",
)
@pytest.mark.parametrize(
    "data",
    [
        response(),
        b"HTTP/1.1 101\r\nUPGRADE:WebSocket\r\nconnection:upgrade\r\nsec-websocket-accept:"
        + SAMPLE_ACCEPT.encode()
        + b"\r\n\r\n",
        response(line="HTTP/1.2 101 Switching Protocols"),
        response(Connection="keep-alive, UPGRADE"),
        response(("Connection", "upgrade"), Connection="keep-alive"),
        response(("Server", "\xff"), ("Date", "x"), ("Content-Length", "0")),
        response(Sec_WebSocket_Accept=f" \t{SAMPLE_ACCEPT} \t"),
        response(("Sec-WebSocket-Extensions", "x-runs, x-shift; least=0")),
        response(("Sec-WebSocket-Extensions", "x-runs"), ("Sec-WebSocket-Extensions", "x-shift; least=0")),
        response(("Sec-WebSocket-Protocol", "superchat")),
        # An empty field names none.
        response(("Sec-WebSocket-Protocol", "")),
        response(("Sec-WebSocket-Protocol", ""), ("Sec-WebSocket-Protocol", "superchat")),
        response(("Sec-WebSocket-Extensions", "")),
        response(("Sec-WebSocket-Extensions", " , ")),
        response(("Sec-WebSocket-Extensions", ""), ("Sec-WebSocket-Extensions", "x-runs, x-shift; least=0")),
        # RFC 9112, 6.3: a 1xx has no body, "regardless of the header fields present in the message"
        response(("Transfer-Encoding", "chunked")),
        response(("Content-Length", "5")),
        response(("Content-Length", "5"), ("Transfer-Encoding", "gzip, chunked")),
    ],
)
@EVERY_CHUNKING
def test_good_answer(chunk: Chunking, data: bytes) -> None:
    handshake = client(subprotocols=["chat", "superchat"], extensions=[Shift(), Runs()])
    ws, _ = connect(handshake, chunk(data))
    assert ws.role is CLIENT
    # 9.1: the operations come in the order of the answer, and erratum 3433 lets it have several lines
    assert [codec.reserved_bits for codec in ws.extensions] == ([1, 2] if b"x-runs" in data else [])
    assert ws.subprotocol == ("superchat" if b"superchat" in data else None)


@EVERY_CHUNKING
def test_interim_responses_are_skipped(chunk: Chunking) -> None:
    # RFC 9110, 15.2
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    _, events = connect(client(), chunk(interim * 3 + response() + frame(TEXT, b"a")))
    assert events == [TextMessage("a")]


@EVERY_CHUNKING
def test_interim_responses_are_bounded(chunk: Chunking) -> None:
    handshake = client(limits=Limits(head=250))
    with pytest.raises(HandshakeError, match="the head is longer than 250 bytes"):
        connect(handshake, chunk(b"HTTP/1.1 100 Continue\r\n\r\n" * 11))


# A refusal as the client sees it: status, headers, and the body as far as it came.


def refused(portions: Sequence[bytes], limits: Limits | None = None) -> HandshakeError:
    """The error, which must come with the last portion and not before."""
    handshake = client(limits=limits or Limits())
    for portion in portions[:-1]:
        assert handshake.receive_data(portion) is None
    with pytest.raises(HandshakeError, match="not 101") as caught:
        handshake.receive_data(portions[-1])
    assert caught.value.response is handshake.response
    return caught.value


@pytest.mark.parametrize("status", [200, 204, 301, 400, 503])
def test_a_final_response_is_not_skipped(status: int) -> None:
    with pytest.raises(HandshakeError, match=f"the server answered {status} ") as caught:
        client().receive_data(head(f"HTTP/1.1 {status} x", [("Content-Length", "0")]))
    assert caught.value.status == status


@EVERY_CHUNKING
def test_refusal_with_content_length(chunk: Chunking) -> None:
    error = refused(chunk(b"HTTP/1.1 403 Forbidden\r\nX: y\r\nContent-Length: 4\r\n\r\nNo.\n"))
    assert (error.status, error.section) == (403, "4.1")
    assert str(error) == "403: the server answered 403 Forbidden, not 101 (section 4.1)"
    assert error.response == Response(403, Headers([("X", "y"), ("Content-Length", "4")]), b"No.\n")


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/plain", b"No token.\n", ": 'No token.'"),
        ("Text/Plain; charset=utf-8", "kein Zug\u00e4ng\x1b[0m".encode(), ": 'kein Zug\\xe4ng\\x1b[0m'"),
        ("text/plain", b"\xff", ": '\\ufffd'"),
        ("text/plain", b"x" * 1000, ": '" + "x" * 300 + "'..."),
        ("text/plain", b" \r\n", ""),
        ("text/html", b"<h1>No</h1>", ""),
        ("text/plainer", b"No", ""),
    ],
)
def test_a_refusal_says_what_the_server_gave_as_a_reason(kind: str, body: bytes, words: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        client().receive_response(403, {"Content-Type": kind}, body)
    assert str(caught.value) == f"403: the server answered 403 Forbidden, not 101{words} (section 4.1)"


@pytest.mark.parametrize(
    "head", [request(line="POST / HTTP/1.1"), request(("Origin", "http://evil.example"))], ids=["POST", "origin"]
)
def test_a_servers_own_refusal_does_not_repeat_its_answer(head: bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        ServerHandshake().receive_data(head)
    error = caught.value
    assert str(error) == f"{error.status}: {error.reason} (section {error.section})"


@EVERY_CHUNKING
def test_refusal_until_end_of_file(chunk: Chunking) -> None:
    error = refused([*chunk(b"HTTP/1.0 503 Busy\r\n\r\nCome later.\n"), b""])
    assert (error.status, body_of(error)) == (503, b"Come later.\n")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: 0\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"hello"),
        (b"Content-Length: 2\r\n", b"5\r"),
        (b"Content-Length: x\r\n", b""),
        (b"Content-Length: -1\r\n", b""),
        (b"Content-Length: \xb2\r\n", b""),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", b""),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b""),
    ],
)
def test_refusal_at_once(fields: bytes, body: bytes) -> None:
    error = refused([b"HTTP/1.1 302 Found\r\nLocation: /\r\n" + fields + b"\r\n5\r\nhello\r\n0\r\n\r\n"])
    assert (error.status, body_of(error)) == (302, body)
    assert error.response is not None
    assert error.response.headers["Location"] == "/"


@pytest.mark.parametrize("status", [204, 304])
def test_refusal_that_has_no_body(status: int) -> None:
    assert body_of(refused([b"HTTP/1.1 %d x\r\nContent-Length: 5\r\n\r\n" % status])) == b""


@EVERY_CHUNKING
def test_body_of_a_refusal_is_bounded(chunk: Chunking) -> None:
    limits = Limits(body=10)
    for start in (b"HTTP/1.1 500 x\r\nContent-Length: 1000000\r\n\r\n", b"HTTP/1.1 500 x\r\n\r\n"):
        handshake = client(limits=limits)
        with pytest.raises(HandshakeError) as caught:
            connect(handshake, chunk(start + b"0123456789abc"))
        assert body_of(caught.value) == b"0123456789"


def test_body_of_a_refusal_that_ends_early() -> None:
    assert body_of(refused([b"HTTP/1.1 500 x\r\nContent-Length: 1000\r\n\r\nab", b"c", b""])) == b"abc"


def test_a_refusal_can_be_seen_while_its_body_is_awaited() -> None:
    handshake = client()
    assert handshake.receive_data(b"HTTP/1.1 500 x\r\n\r\n") is None
    assert handshake.response is not None
    assert handshake.response.status == 500


# What a client sends.


@pytest.mark.clause("6455:4.1-request-is-get", "6455:4.1-request-target", "6455:4.1-request-host")
@pytest.mark.parametrize(
    ("uri", "line", "host"),
    [
        ("ws://example.com/chat", b"GET /chat HTTP/1.1", b"example.com"),
        ("wss://example.com", b"GET / HTTP/1.1", b"example.com"),
        ("ws://EXAMPLE.com:8080?a=b", b"GET /?a=b HTTP/1.1", b"example.com:8080"),
        ("ws://[::1]:80/%20", b"GET /%20 HTTP/1.1", b"[::1]"),
    ],
)
def test_request_of_a_uri(uri: str, line: bytes, host: bytes) -> None:
    for handshake in (ClientHandshake(uri), ClientHandshake(parse_uri(uri))):
        assert handshake.uri == parse_uri(uri)
        assert handshake.data_to_send().startswith(line + b"\r\nHost: " + host + b"\r\nUpgrade: websocket\r\n")


@pytest.mark.clause("7692:5-offer-names-it")
def test_request_with_everything() -> None:
    handshake = client(
        subprotocols=["a", "b"],
        extensions=[Shift(2), Runs()],
        origin="null",
        headers={"Authorization": "Basic eA==", "User-Agent": "x"},
    )
    assert handshake.data_to_send().endswith(
        b"Sec-WebSocket-Protocol: a, b\r\n"
        b"Sec-WebSocket-Extensions: x-shift; least=2, x-runs\r\n"
        b"Origin: null\r\n"
        b"Authorization: Basic eA==\r\n"
        b"User-Agent: x\r\n\r\n"
    )
    assert handshake.request.subprotocols == ["a", "b"]


@pytest.mark.parametrize("offer", ["a\r\nX: y", "a\0", "\r", "\u20ac"], ids=repr)
def test_an_offer_that_no_header_may_hold_is_not_written(offer: str) -> None:
    class Odd(Shift):
        def offer(self) -> str:
            return offer

    with pytest.raises(LocalProtocolError, match="Sec-WebSocket-Extensions contains a character"):
        ClientHandshake("ws://a/", extensions=[Odd(2)])


@pytest.mark.clause("6455:4.1-uri-is-refused")
@pytest.mark.parametrize("uri", ["http://a/", "ws://a/#b", "ws://", "ws://a:0/", ""])
def test_a_uri_that_is_none(uri: str) -> None:
    with pytest.raises(LocalProtocolError):
        ClientHandshake(uri)


def test_options_reach_the_connection() -> None:
    limits = Limits(message=7)
    handshake = client(limits=limits, parts=True)
    ws = handshake.receive_data(response() + frame(TEXT, b"a", fin=False))
    assert ws is not None
    assert ws.limits is limits
    assert ws.receive_data(None) != []  # a part, before the message has ended
    server = ServerHandshake(limits=limits)
    server.receive_data(request() + frame(TEXT, b"a", fin=False, key=KEY))
    ws = server.accept(parts=True)
    assert ws.limits is limits
    assert ws.receive_data(None) != []


def test_the_clients_masks_come_from_its_random() -> None:
    ws = ClientHandshake("ws://a/", random=lambda size: b"\x01\x02\x03\x04" * (size // 4)).receive_response(
        101, ANSWER | {"Sec-WebSocket-Accept": accept_key("AQIDBAECAwQBAgMEAQIDBA==")}
    )
    ws.send_text("")
    assert ws.data_to_send() == b"\x81\x80\x01\x02\x03\x04"


def test_uri_objects_are_taken() -> None:
    assert ClientHandshake(URI(True, "::1", 443, "/x")).request.headers["Host"] == "[::1]"
