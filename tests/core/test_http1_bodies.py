"""Where the body of a refusal ends (RFC 9112, 6 and 7), in every split."""

from __future__ import annotations

import pytest
from helpers import CHUNKINGS, EVERY_CHUNKING, Chunking
from hypothesis import given
from hypothesis import strategies as st
from opening import client, connect

from rfc6455 import CloseCause, HandshakeError, Headers, Limits, Response
from rfc6455.http1_bodies import BodyReader

CHUNKED = Headers({"Transfer-Encoding": "chunked"})


def read(
    data: bytes, chunk: Chunking, headers: Headers = CHUNKED, limit: int = 1 << 16, status: int = 403
) -> BodyReader:
    reader = BodyReader(Response(status, headers), limit)
    for portion in chunk(data):
        reader.receive_data(portion)
    return reader


# The body, and whether it is known to have ended.
BODIES: dict[str, tuple[bytes, bytes, bool]] = {
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello", True),
    "two chunks": (b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello", True),
    "a large chunk": (b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n", b"x" * 1024, True),
    "in upper case": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", True),
    "in lower case, with zeros": (b"000a\r\n0123456789\r\n000\r\n\r\n", b"0123456789", True),
    # RFC 9112, 7.1.1: extensions, and the whitespace that RFC 9110, 5.6.3 calls bad
    "extensions": (b'5;a=b\r\nhello\r\n0 ; c="\xe9"\r\n\r\n', b"hello", True),
    "trailers": (b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"hello", True),
    "line ends in the data": (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", True),
    "nothing": (b"0\r\n\r\n", b"", True),
    "not all of it yet": (b"5\r\nhel", b"hel", False),
    "the next size is not there yet": (b"5\r\nhello\r\n", b"hello", False),
    # What breaks the coding ends the body.
    "no size": (b"\r\nhello\r\n", b"", True),
    "no hex": (b"5\r\nhello\r\nx\r\nhello", b"hello", True),
    "a sign": (b"+5\r\nhello\r\n", b"", True),
    "0x": (b"0x5\r\nhello\r\n", b"", True),
    "more than it says": (b"5\r\nhello!\r\n0\r\n\r\n", b"hello", True),
    "bare LF": (b"5\nhello\n0\n\n", b"", True),
    "a size of 2^64": (b"10000000000000000\r\nhello", b"", True),
    "a line without end": (b"5;" + b"x" * 2000, b"", True),
    "a page instead": (b"<html>\r\n<p>No.</p>\r\n", b"", True),
}


@pytest.mark.parametrize(("data", "body", "complete"), BODIES.values(), ids=BODIES)
@EVERY_CHUNKING
def test_chunked(chunk: Chunking, data: bytes, body: bytes, complete: bool) -> None:
    reader = read(data, chunk)
    assert (reader.body, reader.complete) == (body, complete)
    reader.receive_data(b"")
    assert (reader.body, reader.complete) == (body, True)


@EVERY_CHUNKING
def test_no_more_is_kept_than_is_wanted(chunk: Chunking) -> None:
    for data, headers in [
        (b"3\r\nabc\r\n" * 100, CHUNKED),
        (b"ffff\r\n" + b"abc" * 100, CHUNKED),
        (b"abc" * 100, Headers()),
        (b"abc" * 100, Headers({"Content-Length": "300"})),
    ]:
        reader = read(data, chunk, headers, limit=7)
        assert (reader.body, reader.complete) == (b"abcabca", True)


@pytest.mark.parametrize(
    ("fields", "body", "complete"),
    [
        ([], b"hello world", False),
        ([("Content-Length", "5")], b"hello", True),
        ([("Content-Length", "5, 5")], b"hello", True),
        ([("Content-Length", "5"), ("Content-Length", "5")], b"hello", True),
        ([("Content-Length", "5"), ("Content-Length", "6")], b"", True),
        ([("Content-Length", "-5")], b"", True),
        ([("Content-Length", "\xb2")], b"", True),
        ([("Content-Length", "100")], b"hello world", False),
        ([("Transfer-Encoding", "gzip")], b"hello world", False),
        ([("Transfer-Encoding", "chunked, gzip")], b"hello world", False),
    ],
)
@EVERY_CHUNKING
def test_bodies_that_are_not_chunked(
    chunk: Chunking, fields: list[tuple[str, str]], body: bytes, complete: bool
) -> None:
    reader = read(b"hello world", chunk, Headers(fields))
    assert (reader.body, reader.complete) == (body, complete)


@pytest.mark.parametrize("value", ["Chunked", "gzip, chunked", "gzip,\tCHUNKED "])
def test_chunked_is_what_comes_last(value: str) -> None:
    headers = Headers([("Content-Length", "3"), ("Transfer-Encoding", value)])
    for chunk in CHUNKINGS.values():
        assert read(b"5\r\nhello\r\n0\r\n\r\n", chunk, headers).body == b"hello"


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body(status: int) -> None:
    for headers in (Headers(), CHUNKED, Headers({"Content-Length": "5"})):
        assert BodyReader(Response(status, headers), 10).complete


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.sampled_from(list(CHUNKINGS.values())))
def test_what_was_chunked_is_read(parts: list[bytes], chunk: Chunking) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert read(data, chunk).body == b"".join(parts)


@given(st.binary(max_size=100), st.sampled_from(list(CHUNKINGS)))
def test_whatever_comes(data: bytes, name: str) -> None:
    whole, cut = (read(data, CHUNKINGS[each], limit=20) for each in ("whole", name))
    assert (whole.body, whole.complete) == (cut.body, cut.complete)
    assert len(whole.body) <= 20


# As a client sees it.


@EVERY_CHUNKING
def test_a_refusal_with_a_chunked_body(chunk: Chunking) -> None:
    """As Node, Go, Cowboy and most gateways send it."""
    near = client(limits=Limits(body=12))
    data = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nNo. \r\n5\r\nNever\r\n0\r\n\r\n"
    with pytest.raises(HandshakeError) as caught:
        connect(near, chunk(data))
    assert (caught.value.status, caught.value.cause) == (403, CloseCause.OPENING_REFUSED)
    assert caught.value.response is not None
    assert caught.value.response.body == b"No. Never"
