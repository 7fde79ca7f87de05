"""The answers of the server to input that a client should not send, over real sockets.

The cases are those that some other servers got wrong. Meanwhile, two clients chat, and must not notice anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from chat_server import ChatServer, Client, frame, received

import rfc6455

FIN = 0x80
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def head(first: str = "GET / HTTP/1.1", more: str = "", **changes: str | None) -> bytes:
    """A request with some headers changed, or left out with ``None``; ``_`` stands for ``-``."""
    fields: dict[str, str | None] = {**REQUEST, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"{first}\r\n{''.join(lines)}{more}\r\n".encode("latin-1")


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(FIN | CLOSE, code.to_bytes(2, "big") + reason)


# name: (frames, the code of the Close frame that answers; None for an empty one)
FRAMES: dict[str, tuple[bytes, int | None]] = {
    "unmasked frame": (frame(FIN | TEXT, b"x", masked=False), 1002),
    "invalid UTF-8": (frame(FIN | TEXT, b"\xff"), 1007),
    "invalid UTF-8 at its first byte, before the rest": (frame(FIN | TEXT, b"\xff" + bytes(98))[:20], 1007),
    "invalid UTF-8 in a first fragment": (frame(TEXT, b"a\xc0"), 1007),
    "UTF-8 cut at the end": (frame(FIN | TEXT, b"\xe2\x82"), 1007),
    "surrogate in UTF-8": (frame(FIN | TEXT, b"\xed\xa0\x80"), 1007),
    "RSV1": (frame(FIN | RSV1 | TEXT, b"x"), 1002),
    "RSV2": (frame(FIN | RSV2 | TEXT, b"x"), 1002),
    "RSV3": (frame(FIN | RSV3 | TEXT, b"x"), 1002),
    **{f"opcode {opcode}": (frame(FIN | opcode, b""), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping of 126": (frame(FIN | PING, bytes(126)), 1002),
    "fragmented ping": (frame(PING, b"x"), 1002),
    "continuation first": (frame(FIN | CONT, b"x"), 1002),
    "text inside a message": (frame(TEXT, b"x") + frame(FIN | TEXT, b"y"), 1002),
    "length not minimal, 2 bytes": (frame(FIN | TEXT, b"x", length=b"\0\1"), 1002),
    "length not minimal, 8 bytes": (frame(FIN | TEXT, b"x", length=bytes(7) + b"\1"), 1002),
    "length of 2^63": (frame(FIN | BINARY, b"", length=b"\x80" + bytes(7)), 1002),
    "length over the limit, header alone": (frame(FIN | TEXT, b"", length=(1 << 40).to_bytes(8, "big")), 1009),
    "fragments over the limit": (frame(TEXT, bytes(10_000)) + frame(FIN | CONT, bytes(10_000)), 1009),
    "close payload of 1 byte": (frame(FIN | CLOSE, b"\x03"), 1002),
    **{
        f"close {code}": (close(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
    },
    **{
        f"close {code}": (close(code, b"bye"), code)
        for code in (1000, 1001, 1007, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    },
    "empty close": (frame(FIN | CLOSE), None),
    "close reason not UTF-8": (close(1000, b"\xff"), 1007),
}

# name: (request, status)
REQUESTS: dict[str, tuple[bytes, int]] = {
    "key that is no base64": (head(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ!!"), 400),
    "key of 15 bytes": (head(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j"), 400),
    "no key": (head(Sec_WebSocket_Key=None), 400),
    "two keys": (head(more=f"Sec-WebSocket-Key: {KEY}\r\n"), 400),
    "version 8": (head(Sec_WebSocket_Version="8"), 426),
    "no version": (head(Sec_WebSocket_Version=None), 426),
    "no Host": (head(Host=None), 400),
    "two Hosts": (head(more="Host: localhost\r\n"), 400),
    "POST": (head("POST / HTTP/1.1"), 405),
    "HTTP/1.0": (head("GET / HTTP/1.0"), 426),
    "no upgrade in Connection": (head(Connection="keep-alive"), 400),
    "no websocket in Upgrade": (head(Upgrade="h2c"), 426),
    "one header too large": (head(X="x" * 20_000), 431),
    "too many headers": (head(more="X: x\r\n" * 300), 431),
    "target too long": (head(f"GET /{'x' * 20_000} HTTP/1.1"), 414),
    "a body": (head(Content_Length="5") + b"hello", 400),
    "chunks": (head(Transfer_Encoding="chunked"), 400),
    "LF alone": (head().replace(b"\r\n", b"\n"), 400),
    "a folded line": (head(more="X: a\r\n b\r\n"), 400),
    "NUL": (head(X="\0"), 400),
    "another site's page": (head(Origin="http://example.com"), 403),
    "a site that ends like ours": (head(Origin="http://evil-localhost"), 403),
    "a site that begins like ours": (head(Origin="http://localhost.evil"), 403),
    "another port": (head(Origin="http://localhost:81"), 403),
    "two origins": (head(more="Origin: http://localhost\r\nOrigin: http://localhost\r\n"), 403),
    "a room of two words": (head("GET /a/b HTTP/1.1"), 404),
    "a room with a control": (head("GET /a%0Db HTTP/1.1"), 404),
    "a room that is written backwards": (head("GET /%E2%80%AEa HTTP/1.1"), 404),
    "a room that is not UTF-8": (head("GET /%FF HTTP/1.1"), 404),
    "TLS": (b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03", 400),
    "end of file": (b"GET / HTTP/1.1\r\nHost: local", 400),
}

WELCOME: dict[str, bytes] = {
    "plain": head(),
    "keep-alive as well": head(Connection="keep-alive, Upgrade"),
    "in other letters": head(Upgrade="WebSocket", Connection="UPGRADE"),
    "our own page": head(Origin="http://localhost"),
    "our own page over https": head(Origin="https://localhost"),
    "a page from disk": head(Origin="null"),
    "an unknown subprotocol": head(more="Sec-WebSocket-Protocol: chat\r\n"),
    "an unknown extension": head(more="Sec-WebSocket-Extensions: x-unknown; a=1\r\n"),
    "a room": head("GET /club HTTP/1.1"),
    "a room of any letters": head("GET /%E4%B8%AD%2F%20%25 HTTP/1.1"),
    "a target with its host": head("GET http://localhost/club?x HTTP/1.1"),
}


@pytest.fixture(scope="module")
def bystanders(shared_server: ChatServer) -> Iterator[tuple[Client, Client]]:
    with shared_server.client("Ann", "/bystanders") as ann, shared_server.client("Bob", "/bystanders") as bob:
        yield ann, bob


@pytest.fixture(autouse=True)
def nobody_else_notices(bystanders: tuple[Client, Client]) -> Iterator[None]:
    yield
    ann, bob = bystanders
    ann.say("still here")
    assert bob.said(1) == ["Ann: still here"]


def answer(server: ChatServer, request: bytes, *, ends: bool = False) -> bytes:
    with server.connect() as sock:
        sock.sendall(request)
        if ends:
            sock.shutdown(1)
        return b"".join(received(sock))


@pytest.mark.clause("6455:5.1-unmasked-is-refused", "6455:7.1.7-server-closes", "6455:10.7-close-says-why")
@pytest.mark.parametrize("name", FRAMES)
def test_frames(shared_server: ChatServer, name: str) -> None:
    frames, code = FRAMES[name]
    got = answer(shared_server, head("GET /frames HTTP/1.1") + frames)
    assert got.startswith(b"HTTP/1.1 101 ")
    parser = rfc6455.FrameParser(rfc6455.CLIENT)
    *texts, last = parser.receive_data(got.partition(b"\r\n\r\n")[2])
    assert [text.payload[:2] for text in texts] == [b"* "] * 2
    assert last.opcode is rfc6455.Opcode.CLOSE
    assert (int.from_bytes(last.payload[:2], "big") or None) == code


@pytest.mark.clause(
    "6455:4.2.1-bad-request-is-refused",
    "6455:4.2.2-no-such-service",
    "6455:7.2.2-aborts",
    "6455:10.2-origin-gets-403",
    "6455:10.7-status-says-why",
)
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_that_are_refused(shared_server: ChatServer, name: str) -> None:
    request, status = REQUESTS[name]
    got = answer(shared_server, request, ends=name == "end of file")
    assert got.startswith(b"HTTP/1.1 %d " % status)
    fields = got.partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")
    assert any(re.match(r"connection: (.*, *)?close", field) for field in fields)
    assert ("sec-websocket-version: 13" in fields) == (status == 426)
    assert any(field.startswith("allow: ") for field in fields) == (status == 405)


@pytest.mark.clause("6455:4.2.2-no-subprotocol-no-field", "6455:4.2.2-no-other-extensions")
@pytest.mark.parametrize("name", WELCOME)
def test_requests_that_are_welcome(shared_server: ChatServer, name: str) -> None:
    got = answer(shared_server, WELCOME[name] + close(1000))
    assert got.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in got
    assert b"Sec-WebSocket-Protocol" not in got
    assert b"Sec-WebSocket-Extensions" not in got
    assert got.endswith(b"\x88\x02\x03\xe8")


def test_ping_is_answered_with_its_payload(shared_server: ChatServer) -> None:
    got = answer(shared_server, head() + frame(FIN | PING, b"\0" * 125) + close(1000))
    assert b"\x8a\x7d" + bytes(125) + b"\x88\x02\x03\xe8" in got


def test_a_chat_takes_no_binary_messages(shared_server: ChatServer) -> None:
    with shared_server.client() as client:
        client.ws.send_bytes(b"x")
        client.send()
        assert client.closed().code == 1003


def test_frames_may_come_with_the_handshake_one_byte_at_a_time(shared_server: ChatServer) -> None:
    with shared_server.client(room="/split") as other, shared_server.connect() as sock:
        for byte in head("GET /split HTTP/1.1") + frame(FIN | TEXT, b"Cy: hello") + close(1000):
            sock.send(bytes([byte]))
        assert other.said(1) == ["Cy: hello"]
