"""HTTP/1.1 heads (RFC 9112): read in any split, each rule at the byte that breaks it, within limits; and written."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from time import process_time
from types import FrameType
from typing import Any

import pytest
from helpers import CHUNKINGS, EVERY_CHUNKING, Chunking, byte_by_byte, cut_at, whole
from hypothesis import given
from hypothesis import strategies as st
from measuring import check_time, repeated
from opening import error_of

import rfc6455
from rfc6455 import Headers, Limits, LocalProtocolError, Response
from rfc6455.headers import Request
from rfc6455.http1_heads import HeadError, RequestReader, ResponseReader, phrase, serialize_request, serialize_response

# 1.3: "The handshake from the client looks as follows".
REQUEST = (
    b"GET /chat HTTP/1.1\r\n"
    b"Host: server.example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Origin: http://example.com\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
# 1.3: "The handshake from the server looks as follows".
RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Sec-WebSocket-Protocol: chat\r\n"
    b"\r\n"
)

Reader = RequestReader | ResponseReader


def read(reader: Reader, portions: Sequence[bytes]) -> tuple[Request | Response | None, bytes]:
    """Feed a reader its input; what comes after the head is left over."""
    for at, portion in enumerate(portions):
        head = reader.receive_data(portion)
        if head is not None:
            return head, b"".join([reader.unread, *portions[at + 1 :]])
    return None, b""


def failure(reader_type: type[Reader], data: bytes, chunk: Chunking = whole, limits: Limits | None = None) -> Any:
    """The error that ``data`` ends in, as values."""
    with pytest.raises(HeadError) as caught:
        read(reader_type(limits or Limits()), chunk(data))
    return caught.value.status, caught.value.reason, caught.value.section


# Reading.


@EVERY_CHUNKING
def test_request_of_1_3(chunk: Chunking) -> None:
    request, rest = read(RequestReader(Limits()), chunk(REQUEST + b"\x81\x00"))
    assert isinstance(request, Request)
    assert (request.method, request.target, request.version) == ("GET", "/chat", "HTTP/1.1")
    assert list(request.headers) == [
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", "http://example.com"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Version", "13"),
    ]
    assert rest == b"\x81\x00"
    assert request.path == request.resource_name == "/chat"
    assert request.query == ""
    assert request.host == "server.example.com"


@EVERY_CHUNKING
def test_response_of_1_3(chunk: Chunking) -> None:
    response, rest = read(ResponseReader(Limits()), chunk(RESPONSE + b"\x81\x00"))
    assert isinstance(response, Response)
    assert (response.status, response.version, response.body) == (101, "HTTP/1.1", b"")
    assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert len(response.headers) == 4
    assert rest == b"\x81\x00"


def test_not_yet_is_none_at_every_byte() -> None:
    for data, reader_type in [(REQUEST, RequestReader), (RESPONSE, ResponseReader)]:
        reader = reader_type(Limits())
        given = [reader.receive_data(octet) is not None for octet in byte_by_byte(data)]
        assert given == [False] * (len(data) - 1) + [True]
        assert reader.unread == b""


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_kinds_of_bytes(make: Callable[[bytes], Any]) -> None:
    assert RequestReader(Limits()).receive_data(make(REQUEST)) is not None


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A:b", "b"),
        (b"A: b", "b"),
        (b"A:\t b c \t ", "b c"),
        (b"A:", ""),
        (b"A: \t", ""),
        (b"A: b:c: d", "b:c: d"),
        (b"A: \xff\x80\xa0", "\xff\x80\xa0"),
        (b"A: " + bytes(range(0x20, 0x7F)), bytes(range(0x21, 0x7F)).decode()),
    ],
)
@EVERY_CHUNKING
def test_field_value(chunk: Chunking, line: bytes, value: str) -> None:
    # RFC 9112, 5: field-line = field-name ":" OWS field-value OWS
    head, _ = read(RequestReader(Limits()), chunk(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n"))
    assert head is not None
    assert list(head.headers) == [("A", value)]


def test_head_without_fields() -> None:
    assert read(RequestReader(Limits()), [b"GET / HTTP/1.1\r\n\r\n"])[0] == Request("GET", "/")
    assert read(ResponseReader(Limits()), [b"HTTP/1.0 404 \r\n\r\n"])[0] == Response(404, version="HTTP/1.0")


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 200 \xe9 \t!"])
@EVERY_CHUNKING
def test_reason_phrase_is_for_people(chunk: Chunking, line: bytes) -> None:
    response, _ = read(ResponseReader(Limits()), chunk(line + b"\r\nA: b\r\n\r\n"))
    assert response == Response(200, Headers([("A", "b")]))


# What a head must not be. Each with the status, the section, and how many bytes the reader must see to know. A "^" in
# the text marks the byte that breaks the rule; it is not part of the head.

CONTROLS = [octet for octet in range(0x20) if octet not in b"\t\r"] + [0x7F]

BAD_REQUESTS: list[tuple[str, bytes, int, str]] = [
    ("two empty lines first", b"\r\n^\r\nGET / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.1"),
    ("bare CR first", b"\r^GET / HTTP/1.1\r\n\r\n", 400, "RFC 9112 2.2"),
    ("empty line and a space first", b"\r\n^ GET / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.1"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2^\r\n", 400, "RFC 9112 3.1"),
    ("SSH with a comment", b"SSH-2.0-OpenSSH_9.2p1 Debian-2^\r\n", 400, "RFC 9112 3.2"),
    ("PROXY protocol", b"PROXY TCP4 192.0.2.1^ 192.0.2.2 56324 443\r\n", 400, "RFC 9112 2.3"),
    ("PROXY protocol, unknown", b"PROXY UNKNOWN^\r\n", 400, "RFC 9112 3.2"),
    ("PROXY protocol, version 2", b"\r\n^\r\n\0\r\nQUIT\n", 400, "RFC 9112 3.1"),
    ("bare LF first", b"^\nGET / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.1"),
    ("space first", b"^ GET / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.1"),
    ("TLS", b"^\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "RFC 9112 3.1"),
    ("method is no token", b"GE^(T / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.1"),
    ("method ended by HTAB", b"GET^\t/ HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.1"),
    ("no target", b"GET ^ HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2"),
    ("two spaces", b"GET ^ / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2"),
    ("target with HTAB", b"GET /a^\tb HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2"),
    ("target with NUL", b"GET /^\0 HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2"),
    ("target not ASCII", b"GET /^\xc3\xa9 HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2"),
    ("target with a space", b"GET /a ^b HTTP/1.1\r\n\r\n", 400, "RFC 9112 2.3"),
    ("HTTP/0.9", b"GET /^\r\n", 400, "RFC 9112 3.2"),
    ("no version", b"GET / ^\r\n\r\n", 400, "RFC 9112 2.3"),
    ("version in lower case", b"GET / ^http/1.1\r\n\r\n", 400, "RFC 9112 2.3"),
    ("version of two digits", b"GET / HTTP/1.10^\r\n\r\n", 400, "RFC 9112 2.3"),
    ("space after the version", b"GET / HTTP/1.1^ \r\n\r\n", 400, "RFC 9112 2.3"),
    ("HTTP/0.9 with its number", b"GET / HTTP/0.9^\r\nHost: a\r\n\r\n", 505, "RFC 9112 2.3"),
    ("preface of HTTP/2", b"PRI * HTTP/2.0^\r\n\r\nSM\r\n\r\n", 505, "RFC 9112 2.3"),
    ("bare LF after the request line", b"GET / HTTP/1.1^\nHost: a\n\n", 400, "RFC 9112 2.3"),
    ("bare CR after the request line", b"GET / HTTP/1.1\r^Host: a\r\n\r\n", 400, "RFC 9112 2.2"),
]
# In the fields, which are the same in requests and responses.
BAD_FIELDS: list[tuple[str, bytes, int, str]] = [
    ("space before the colon", b"A: b\r\nHost^ : a\r\n\r\n", 400, "RFC 9112 5.1"),
    ("HTAB before the colon", b"Host^\t: a\r\n\r\n", 400, "RFC 9112 5.1"),
    ("no name", b"^: a\r\n\r\n", 400, "RFC 9112 5.1"),
    ("no colon", b"Host^\r\n\r\n", 400, "RFC 9112 5.1"),
    ("name is no token", b"Ho^(st: a\r\n\r\n", 400, "RFC 9112 5.1"),
    ("name not ASCII", b"H^\xf6st: a\r\n\r\n", 400, "RFC 9112 5.1"),
    ("line folded by a space", b"A: b\r\n^ c\r\n\r\n", 400, "RFC 9112 5.1"),
    ("line folded by HTAB", b"A: b\r\n^\tc\r\n\r\n", 400, "RFC 9112 5.1"),
    ("fold at the first line", b"^ c\r\n\r\n", 400, "RFC 9112 5.1"),
    ("bare LF after a field", b"A: b^\nC: d\r\n\r\n", 400, "RFC 9112 5.5"),
    ("bare LF at the end", b"A: b\r\n^\n", 400, "RFC 9112 5.1"),
    ("bare CR in a value", b"A: b\r^c\r\n\r\n", 400, "RFC 9112 2.2"),
    ("two CR", b"A: b\r^\r\n\r\n", 400, "RFC 9112 2.2"),
    ("bare CR at the end", b"A: b\r\n\r^A: b\r\n\r\n", 400, "RFC 9112 2.2"),
    *((f"0x{octet:02x} in a value", b"A: b^%c\r\n\r\n" % octet, 400, "RFC 9112 5.5") for octet in CONTROLS),
    *((f"0x{octet:02x} in a name", b"A^%c: b\r\n\r\n" % octet, 400, "RFC 9112 5.1") for octet in CONTROLS),
]
BAD_RESPONSES: list[tuple[str, bytes, int, str]] = [
    ("another protocol", b"^SSH-2.0-OpenSSH_9.2\r\n", 400, "RFC 9112 2.3"),
    ("empty line first", b"^\r\nHTTP/1.1 101 x\r\n\r\n", 400, "RFC 9112 2.3"),
    ("HTTP/2", b"HTTP/2.0^ 200 OK\r\n\r\n", 400, "RFC 9112 2.3"),
    ("no status", b"HTTP/1.1 ^\r\n\r\n", 400, "RFC 9112 4"),
    ("two digits", b"HTTP/1.1 20^ OK\r\n\r\n", 400, "RFC 9112 4"),
    ("four digits", b"HTTP/1.1 1010^ OK\r\n\r\n", 400, "RFC 9112 4"),
    ("leading zero", b"HTTP/1.1 099^ OK\r\n\r\n", 400, "RFC 9112 4"),
    ("sign", b"HTTP/1.1 ^+10 OK\r\n\r\n", 400, "RFC 9112 4"),
    ("digits of another script", b"HTTP/1.1 ^\xb9\xb2\xb3 OK\r\n\r\n", 400, "RFC 9112 4"),
    ("NUL in the phrase", b"HTTP/1.1 101 ^\0\r\n\r\n", 400, "RFC 9112 4"),
    ("bare LF after the status line", b"HTTP/1.1 101 x^\n\n", 400, "RFC 9112 4"),
]
BAD_HEADS = [
    *((RequestReader, *row) for row in BAD_REQUESTS),
    *((ResponseReader, *row) for row in BAD_RESPONSES),
    *((RequestReader, name, b"GET / HTTP/1.1\r\n" + head, *rest) for name, head, *rest in BAD_FIELDS),
    *((ResponseReader, name, b"HTTP/1.1 101 x\r\n" + head, *rest) for name, head, *rest in BAD_FIELDS),
]


@pytest.mark.parametrize(
    ("reader_type", "head", "status", "section"),
    [(row[0], *row[2:]) for row in BAD_HEADS],
    ids=[f"{row[0].__name__}-{row[1]}" for row in BAD_HEADS],
)
def test_bad_head(reader_type: type[Reader], head: bytes, status: int, section: str) -> None:
    """Each is refused when its bad byte arrives and not before, in every split, always with the same words."""
    good, bad = head.split(b"^")
    expected = failure(reader_type, good + bad)
    assert (expected[0], expected[2]) == (status, section)
    for name, chunk in CHUNKINGS.items():
        assert failure(reader_type, good + bad, chunk) == expected, name
    reader = reader_type(Limits())
    for octet in byte_by_byte(good):
        assert reader.receive_data(octet) is None
    with pytest.raises(HeadError):
        reader.receive_data(bad[:1])


# Each says what is not allowed, in which part, and shows the line; nothing that a field holds is shown.
SSH_WORDS = "this is SSH, but the port speaks HTTP"
TLS_WORDS = "this is TLS, but the port speaks HTTP without TLS: connect with ws:, or have a proxy in front do TLS"
PROXY_WORDS = "this is the PROXY protocol: turn it off in the proxy, or remove its line before the handshake"
LF_WORDS = "the line ends with LF alone; CRLF is required"
LONG = b"GET /" + b"a" * 99 + b"\t"
GET_KEY = b"GET / HTTP/1.1\r\nKey: secret"
WORDS: list[tuple[type[Reader], bytes, str]] = [
    (RequestReader, b"GET  / HTTP/1.1\r\n", "the request target is empty, at byte 4: 'GET  '"),
    (RequestReader, b" GET / HTTP/1.1\r\n", "the method is empty, at byte 0: ' '"),
    (RequestReader, b"G(T / HTTP/1.1\r\n", "'(' is not allowed in the method, at byte 1: 'G('"),
    (RequestReader, b"GET\t/ HTTP/1.1\r\n", "a tab is not allowed in the method, at byte 3: 'GET\\t'"),
    (RequestReader, b"GET /\r\n", "the line ends in the request target, at byte 5: 'GET /\\r'"),
    (RequestReader, b"GET\r\n", "the line ends in the method, at byte 3: 'GET\\r'"),
    (
        RequestReader,
        b"GET /\xe9 HTTP/1.1\r\n",
        "'\\xe9' is not allowed in the request target, at byte 5: 'GET /\\xe9'",
    ),
    (
        RequestReader,
        b"GET /a b HTTP/1.1\r\n",
        "'b' follows the space after the target, where the HTTP version must stand, at byte 7: 'GET /a b'",
    ),
    (RequestReader, b"GET / HTTx/1.1\r\n", "'x' is not allowed in the HTTP version, at byte 9: 'GET / HTTx'"),
    (
        RequestReader,
        b"\nGET / HTTP/1.1\r\n",
        "the request begins with LF alone; an empty line before it ends with CRLF",
    ),
    (RequestReader, b"GET / HTTP/3.0\r\n", "the HTTP version is 'HTTP/3.0'; HTTP/1.1 is required"),
    (
        RequestReader,
        b"GET / HTTP/1.1\n",
        f"{LF_WORDS}, at byte 14: 'GET / HTTP/1.1\\n'",
    ),
    (RequestReader, b"GET / HTTP/1.1\rA", "CR must be followed by LF, not by 'A', at byte 15: 'GET / HTTP/1.1\\rA'"),
    (
        RequestReader,
        b"GET /" + b"a" * 99 + b"\t",
        f"a tab is not allowed in the request target, at byte 104: ...'{'a' * 59}\\t'",
    ),
    (RequestReader, b"GET / HTTP/1.1\r\nHost : a", "a space is not allowed in the field name, at byte 20: 'Host '"),
    (RequestReader, b"GET / HTTP/1.1\r\n: a", "the field name is empty, at byte 16: ':'"),
    (RequestReader, b"GET / HTTP/1.1\r\nHost\r\n", "the line ends in the field name, at byte 20: 'Host\\r'"),
    (
        RequestReader,
        b"GET / HTTP/1.1\r\nA: b\r\n c",
        "the line begins with a space; folded lines are not accepted, at byte 22: ' '",
    ),
    (
        RequestReader,
        GET_KEY + b"\0",
        "'\\x00' is not allowed in the field value, at byte 27, in the field 'Key'",
    ),
    (
        RequestReader,
        GET_KEY + b"\n",
        f"{LF_WORDS}, at byte 27, in the field 'Key'",
    ),
    (
        RequestReader,
        GET_KEY + b"\rx",
        "CR must be followed by LF, not by 'x', at byte 28, in the field 'Key'",
    ),
    (ResponseReader, b"HTTP/1.1 007 x", "the status code is '007'; 100 to 999 is required"),
    (ResponseReader, b"HTTP/1.1  200", "the status code is empty, at byte 9: 'HTTP/1.1  '"),
    (ResponseReader, b"HTTP/1.1 2x0", "'x' is not allowed in the status code, at byte 10: 'HTTP/1.1 2x'"),
    (ResponseReader, b"HTTP/2.0 200", "the response begins with 'HTTP/2.0', not with HTTP/1.1"),
    (
        ResponseReader,
        b"HTTP/1.1 200\n",
        f"{LF_WORDS}, at byte 12: 'HTTP/1.1 200\\n'",
    ),
    # strangers
    (RequestReader, b"\x05\x01\x00", "this may be SOCKS, but the port speaks HTTP, and is not a proxy"),
    (RequestReader, b"\x04\x01\x00\x50", "this may be SOCKS, but the port speaks HTTP, and is not a proxy"),
    (RequestReader, b"\x10\x0c\x00\x04MQTT", "this may be MQTT without WebSocket, but the port speaks HTTP"),
    (RequestReader, b"\x81\x85\x00", "this may be a frame, without an opening handshake"),
    (RequestReader, b"\x16\x03\x01\x02\x00", TLS_WORDS),
    (RequestReader, b"SSH-2.0-OpenSSH_9.2\r\n", SSH_WORDS),
    (RequestReader, b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", SSH_WORDS),
    (RequestReader, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", PROXY_WORDS),
    (
        RequestReader,
        b"\r\n\r\n\0\r\nQUIT\n",
        f"there is more than one empty line before the request; if there is a proxy in front, {PROXY_WORDS}",
    ),
    (RequestReader, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "this is HTTP/2, but the port speaks HTTP/1.1"),
    (ResponseReader, b"\x15\x03\x01\x00\x02", "the answer is not HTTP/1.1 but a TLS alert: connect with wss:"),
    (ResponseReader, b"SSH-2.0-x\r\n", "the answer is not HTTP/1.1 but possibly SSH"),
    (ResponseReader, b"220 mail.example\r\n", "the answer is not HTTP/1.1 but possibly SMTP or FTP"),
    (ResponseReader, b"\x81\x05Hello", "the answer is not HTTP/1.1 but a frame, before the handshake was answered"),
    (ResponseReader, b"hello", "'h' is not allowed in the HTTP version, at byte 0: 'h'"),
]


@pytest.mark.parametrize(("reader_type", "head", "words"), WORDS, ids=[words[:50] for _, _, words in WORDS])
def test_the_reason_says_what_is_wrong_and_shows_where(reader_type: type[Reader], head: bytes, words: str) -> None:
    for chunk in CHUNKINGS.values():
        reason = failure(reader_type, head, chunk)[1]
        assert reason == words
        assert "secret" not in reason


@pytest.mark.parametrize("size", [0, 1, 17, len(REQUEST) - 1])
def test_end_of_file_in_the_head(size: int) -> None:
    for reader_type, data in [(RequestReader, REQUEST), (ResponseReader, RESPONSE)]:
        reader = reader_type(Limits())
        if size:
            reader.receive_data(data[: min(size, len(data) - 1)])
        with pytest.raises(HeadError, match="the stream ended"):
            reader.receive_data(b"")


# Limits.


def lines(count: int) -> bytes:
    return b"".join(b"N%d: v\r\n" % number for number in range(count))


@EVERY_CHUNKING
def test_limit_on_the_request_line(chunk: Chunking) -> None:
    limits = Limits(line=100)
    head = b"GET /" + b"a" * (100 - len("GET / HTTP/1.1")) + b" HTTP/1.1\r\n"
    assert len(head) == 100 + 2
    assert read(RequestReader(limits), chunk(head + b"\r\n"))[0] is not None
    for longer in (head.replace(b"/", b"/a", 1), b"G" * 101, b"GET /" + b"a" * 96):
        assert failure(RequestReader, longer, chunk, limits) == (
            414,
            "the request line is longer than 100 bytes (Limits.line)",
            "RFC 9110 15.5.15",
        )


@EVERY_CHUNKING
def test_limit_on_a_header_line(chunk: Chunking) -> None:
    limits = Limits(line=100)
    for start, reader_type in [(b"GET / HTTP/1.1\r\n", RequestReader), (b"HTTP/1.1 101 x\r\n", ResponseReader)]:
        good = start + b"A: b\r\n" + b"Name: " + b"v" * 94 + b"\r\n"
        assert read(reader_type(limits), chunk(good + b"\r\n"))[0] is not None
        for longer, where in (
            (good[:-2] + b"v", "the field 'Name'"),
            (start + b"N" * 101, "the name of a field"),
            (good + b"A:" + b" " * 99, "the field 'A'"),
        ):
            expected = (431, f"{where} is longer than 100 bytes (Limits.line)", "RFC 6585 5")
            assert failure(reader_type, longer, chunk, limits) == expected


@EVERY_CHUNKING
def test_limit_on_the_status_line(chunk: Chunking) -> None:
    expected = (431, "the status line is longer than 20 bytes (Limits.line)", "RFC 6585 5")
    assert failure(ResponseReader, b"HTTP/1.1 200 Quite fine\r\n\r\n", chunk, Limits(line=20)) == expected


@EVERY_CHUNKING
def test_limit_on_the_number_of_headers(chunk: Chunking) -> None:
    limits = Limits(headers=10)
    start = b"GET / HTTP/1.1\r\n"
    assert read(RequestReader(limits), chunk(start + lines(10) + b"\r\n"))[0] is not None
    for tail in (lines(11), lines(10) + b"A", lines(10) + b" ", lines(500)):
        expected = (431, "there are more than 10 header fields (Limits.headers)", "RFC 6585 5")
        assert failure(RequestReader, start + tail, chunk, limits) == expected


@EVERY_CHUNKING
def test_a_limit_may_be_greater_than_any_number_of_c(chunk: Chunking) -> None:
    limits = Limits(head=1 << 64, line=1 << 64, headers=1 << 64)
    assert read(RequestReader(limits), chunk(REQUEST)) == read(RequestReader(), chunk(REQUEST))


@EVERY_CHUNKING
def test_limit_on_the_head(chunk: Chunking) -> None:
    limits = Limits(head=len(REQUEST))
    assert read(RequestReader(limits), chunk(REQUEST))[0] is not None
    less = Limits(head=len(REQUEST) - 1)
    expected = (
        431,
        f"the head is longer than {len(REQUEST) - 1} bytes (Limits.head), in the name of a field",
        "RFC 6585 5",
    )
    assert failure(RequestReader, REQUEST, chunk, less) == expected
    # What comes after the head is not part of it.
    assert read(RequestReader(limits), chunk(REQUEST + b"x" * 100))[1] == b"x" * 100


@given(
    limits=st.builds(Limits, head=st.integers(1, 90), line=st.integers(1, 40), headers=st.integers(1, 5)),
    head=st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n" + lines(6) + b"\r\n",
            b"GET / HTTP/1.1\r\nA: " + b"b" * 30 + b"\r\nC:d\r\n\x00\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\nC" + b"d" * 30 + b" : d\r\n\r\n",
            REQUEST,
        ]
    ),
    cuts=st.lists(st.integers(0, 90), max_size=6),
)
def test_the_same_answer_in_every_split_for_all_limits(limits: Limits, head: bytes, cuts: list[int]) -> None:
    def result(portions: Sequence[bytes]) -> object:
        heads: list[object] = []
        error = error_of(lambda: heads.append(read(RequestReader(limits), portions)))
        return heads if error is None else (error.status, error.reason, error.section)

    assert result(cut_at(head, cuts)) == result([head]) == result(byte_by_byte(head))


# A head that comes whole is first read by patterns; one that comes octet by octet, by the table. Whatever is changed
# in a good head, the two agree.
GOOD_HEADS = [
    (RequestReader, b"GET /a?b HTTP/1.1\r\nHost: a.b\r\nX:\r\nY: \t b c \t \r\nhost:\xe9\r\n\r\n"),
    (ResponseReader, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nVia: a: b\r\n\r\n\x81\x00"),
    (ResponseReader, b"HTTP/1.0 404\r\n\r\n"),
]
OCTETS = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"a", b"\0", b"\x7f", b"\xa0", b""]


def outcome(reader: Reader, portions: Sequence[bytes]) -> object:
    heads: list[object] = []
    error = error_of(lambda: heads.append(read(reader, portions)))
    return heads, None if error is None else (error.status, error.reason, error.section), reader.bare_lfs


@pytest.mark.parametrize(("reader_type", "head"), GOOD_HEADS)
@pytest.mark.parametrize("octets", OCTETS, ids=repr)
def test_one_change_in_a_head_is_the_same_to_patterns_and_table(
    reader_type: type[Reader], head: bytes, octets: bytes
) -> None:
    for at, size in itertools.product(range(len(head)), (0, 1)):
        changed = head[:at] + octets + head[at + size :]
        assert outcome(reader_type(), [changed]) == outcome(reader_type(), byte_by_byte(changed))


@given(
    reader_and_head=st.sampled_from(GOOD_HEADS),
    edits=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3), st.sampled_from(OCTETS)), max_size=4),
    bare_lf=st.booleans(),
    limits=st.builds(Limits, head=st.integers(20, 200), line=st.integers(20, 200), headers=st.integers(1, 5)),
)
def test_changes_in_a_head_are_the_same_to_patterns_and_table(
    reader_and_head: tuple[type[Reader], bytes], edits: list[tuple[int, int, bytes]], bare_lf: bool, limits: Limits
) -> None:
    reader_type, head = reader_and_head
    for at, size, octets in edits:
        head = head[:at] + octets + head[at + size :]
    if head:
        expected = outcome(reader_type(limits, bare_lf=bare_lf), byte_by_byte(head))
        assert outcome(reader_type(limits, bare_lf=bare_lf), [head]) == expected


@pytest.mark.parametrize("beginning", [b"A:", b"A: b", b"A", b"A:\t", b":"])
@pytest.mark.parametrize("end", [b"\rX\n", b"\r", b"\0\r\n", b"\n", b"\r\n x", b"X:\r\n\n"])
def test_spaces_before_a_fault_are_not_divided_in_all_ways(beginning: bytes, end: bytes) -> None:
    """A second of work, if a pattern goes back over them for each of them."""
    head = b"GET / HTTP/1.1\r\n" + beginning + b" " * 16_000 + end + b"\r\n\r\n"
    before = process_time()
    failure(RequestReader, head)
    assert process_time() - before < 0.25


@pytest.mark.measured
@pytest.mark.parametrize(
    ("reader_type", "start"), [(RequestReader, b"GET / HTTP/1.1\r\n"), (ResponseReader, b"HTTP/1.1 101 x\r\n")]
)
def test_cve_2023_43669_tungstenite(reader_type: type[Reader], start: bytes) -> None:
    """A long head was parsed again from its start at each read. 20 MB in reads of 4 kB: refused by size, at once."""
    line = b"A: " + b"b" * 1019 + b"\r\n"
    portions = itertools.chain([start], itertools.repeat(line * 4, 20_000_000 // 4096))
    reader = reader_type(Limits())
    taken = 0

    def read_all() -> None:
        nonlocal taken
        for portion in portions:
            taken += len(portion)
            reader.receive_data(portion)

    tracemalloc.start()
    try:
        error = error_of(read_all)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    head = Limits().head
    assert error.status == 431
    assert error.reason == f"the head is longer than {head} bytes (Limits.head), in the field 'A'"
    assert taken <= head + 4096 + len(start)
    assert peak < 4 * head


@pytest.mark.parametrize("data", [b"a" * 20_000_000, b"GET / HTTP/1.1\r\n" + lines(1_500_000)], ids=["line", "lines"])
def test_20_mb_at_once(data: bytes) -> None:
    """It is refused after as much as is allowed: the rest is not looked at."""
    reader = RequestReader(Limits())
    assert error_of(lambda: reader.receive_data(data)).status in (414, 431)
    assert reader._at <= Limits().head


@pytest.mark.skipif(rfc6455.__compiled__, reason="compiled code has no steps to count")
def test_cve_2026_65623_bandit() -> None:
    """What is there was measured again for each read: twice the head must not take 2.5 times the steps."""

    def steps(head: bytes) -> int:
        count = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal count
            count += 1
            return trace

        reader = RequestReader(Limits(head=1 << 20, line=1 << 20, headers=1 << 20))
        portions = byte_by_byte(head)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for portion in portions:
                reader.receive_data(portion)
        finally:
            sys.settrace(before)
        return count

    for small, large in [
        (b"GET /" + b"a" * 1000, b"GET /" + b"a" * 2000),
        (b"GET / HTTP/1.1\r\nA:" + b" " * 1000, b"GET / HTTP/1.1\r\nA:" + b" " * 2000),
        (b"GET / HTTP/1.1\r\n" + b"A:b\r\n" * 200, b"GET / HTTP/1.1\r\n" + b"A:b\r\n" * 400),
    ]:
        assert steps(large) / steps(small) < 2.5


START = {"a": "GET /", " ": "GET / HTTP/1.1\r\nA:", "A:b\r\n": "GET / HTTP/1.1\r\n"}


@pytest.mark.measured
@pytest.mark.parametrize(("unit", "beginning"), START.items(), ids=repr)
def test_what_was_scanned_is_not_scanned_again_with_each_read(unit: str, beginning: str) -> None:
    """The patterns work in C, where no step can be counted."""

    def receive(head: str) -> None:
        reader = RequestReader(Limits(head=1 << 20, line=1 << 20, headers=1 << 20))
        for portion in byte_by_byte(head.encode()):
            assert reader.receive_data(portion) is None

    check_time(receive, repeated(unit, beginning))


@given(st.binary(min_size=1, max_size=200), st.sampled_from([RequestReader, ResponseReader]), st.data())
def test_any_bytes_give_a_head_or_our_own_error(tail: bytes, reader_type: type[Reader], data: st.DataObject) -> None:
    start = data.draw(st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"HTTP/1.1 101 x\r\n", b"GET / HTTP/1.1\r\nA: "]))
    error = error_of(lambda: read(reader_type(Limits()), [start + tail]))
    if error is not None:
        assert error.status in (400, 414, 431, 505)
        assert error.reason.isascii()
        assert error.reason.isprintable()


# Writing.


@pytest.mark.clause("6455:4.1-request-is-http")
def test_serialize_request() -> None:
    request = Request("GET", "/chat", Headers([("Host", "a"), ("X", "\xe9\t!")]))
    assert serialize_request(request) == b"GET /chat HTTP/1.1\r\nHost: a\r\nX: \xe9\t!\r\n\r\n"


@pytest.mark.clause("6455:4.2.2-answer-is-http")
def test_serialize_response() -> None:
    response = Response(404, Headers([("A", "")]), b"body")
    assert serialize_response(response) == b"HTTP/1.1 404 Not Found\r\nA: \r\n\r\nbody"
    assert serialize_response(Response(599)) == b"HTTP/1.1 599 \r\n\r\n"
    assert (phrase(101), phrase(299)) == ("Switching Protocols", "")


@pytest.mark.parametrize("method", ["", "GET ", "GET / HTTP/1.1\r\nX:", "G\0", "\xe9"])
def test_a_method_that_is_no_token_is_not_written(method: str) -> None:
    with pytest.raises(LocalProtocolError, match="is not a method"):
        serialize_request(Request(method, "/"))


@pytest.mark.parametrize("target", ["", "/ ", "/\r\n", "/a HTTP/1.1\r\nX: y", "/\0", "/\xe9", "/\u20ac", "/\t"])
def test_a_target_that_is_not_visible_ascii_is_not_written(target: str) -> None:
    with pytest.raises(LocalProtocolError, match="is not in visible ASCII"):
        serialize_request(Request("GET", target))


@pytest.mark.parametrize("status", [0, 99, 1000, -200])
def test_a_status_without_three_digits_is_not_written(status: int) -> None:
    with pytest.raises(LocalProtocolError, match="is not a status code"):
        serialize_response(Response(status))


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\r", "a\0b", "\x01", "\x7f", "\u20ac"])
def test_cve_2026_1527_undici_value(value: str) -> None:
    """CR, LF, NUL in an option became a header: refused when built, and not shown, as it may be a secret."""
    for serialize, message in [
        (serialize_request, Request("GET", "/", Headers([("X", value)]))),
        (serialize_response, Response(200, Headers([("X", value)]))),
    ]:
        with pytest.raises(LocalProtocolError, match="the value of X contains") as caught:
            serialize(message)  # type: ignore[operator]
        assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "a\0", "\xe9", "(a)"])
def test_cve_2026_1527_undici_name(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="is not the name of a header"):
        serialize_response(Response(200, Headers([(name, "x")])))


tokens = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}", fullmatch=True)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
fields = st.lists(st.tuples(tokens, values.map(lambda value: value.strip(" "))), max_size=6).map(Headers)
targets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)
places = st.lists(st.integers(0, 300), max_size=5)


@pytest.mark.clause("6455:4.1-request-is-http")
@given(st.builds(Request, tokens, targets, fields, st.just("HTTP/1.1")), places, st.binary(max_size=20))
def test_parse_undoes_serialize_request(request: Request, cuts: list[int], rest: bytes) -> None:
    data = serialize_request(request) + rest
    assert read(RequestReader(Limits()), cut_at(data, cuts)) == (request, rest)


@given(
    st.builds(Response, st.just(101) | st.integers(200, 999), fields, st.just(b""), st.just("HTTP/1.1")),
    places,
    st.binary(max_size=20),
)
def test_parse_undoes_serialize_response(response: Response, cuts: list[int], rest: bytes) -> None:
    data = serialize_response(response) + rest
    assert read(ResponseReader(Limits()), cut_at(data, cuts)) == (response, rest)


@given(st.lists(st.sampled_from([100, 102, 103, 199]), min_size=1), places)
def test_interim_responses_are_skipped(statuses: list[int], cuts: list[int]) -> None:
    data = b"".join(serialize_response(Response(status)) for status in [*statuses, 404])
    assert read(ResponseReader(Limits()), cut_at(data, cuts)) == (Response(404), b"")
