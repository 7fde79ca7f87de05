"""h11 as a reference: if it refuses a head, we refuse it as well."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opening import REQUIRED, Lines, error_of, head, request, response

from rfc6455 import Limits, Request, ServerHandshake
from rfc6455.http1_heads import RequestReader, ResponseReader

h11 = pytest.importorskip("h11")


SEMANTIC_EDITS = [
    ("Host", "a"),
    ("Host", "a, b"),
    ("Content-Length", "0"),
    ("Content-Length", "1"),
    ("Content-Length", "x"),
    ("Content-Length", "0, 0"),
    ("Content-Length", "9" * 30),
    ("Transfer-Encoding", "chunked"),
    ("Transfer-Encoding", "gzip"),
    ("X", "y\x0b"),
    ("X", "\x85"),
    ("X y", "z"),
]


@pytest.mark.clause("6455:4.2.1-bad-request-is-refused")
@given(
    st.lists(st.sampled_from(SEMANTIC_EDITS), max_size=3),
    st.sets(st.sampled_from(list(REQUIRED)), max_size=2),
    st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from([b"\r", b"\n", b" ", b"\0", b":", b"\x7f", b"\xff"])),
        max_size=2,
    ),
)
def test_what_h11_refuses_is_refused(extra: Lines, left_out: set[str], insertions: list[tuple[int, bytes]]) -> None:
    fields = [(name, value) for name, value in REQUIRED.items() if name not in left_out]
    data = head("GET /chat HTTP/1.1", [*fields, *extra])
    for at, octet in insertions:
        at %= len(data)
        data = data[:at] + octet + data[at:]
    judge = h11.Connection(h11.SERVER)
    try:
        judge.receive_data(data)
        refused_by_h11 = not isinstance(judge.next_event(), h11.Request)
    except h11.RemoteProtocolError:
        refused_by_h11 = True
    for plain_http in (False, True):
        ours = ServerHandshake(plain_http=plain_http)
        refused_by_us = error_of(lambda handshake=ours: handshake.receive_data(data)) or ours.request is None
        assert refused_by_us or not refused_by_h11


def h11_refuses(data: bytes, role: type) -> bool:
    """Whether h11, as the peer of ``role``, refuses what must be the head of a message, or has not seen all of it."""
    connection = h11.Connection(h11.SERVER if role is h11.CLIENT else h11.CLIENT, max_incomplete_event_size=1 << 20)
    if role is h11.SERVER:
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "x")]))
    try:
        connection.receive_data(data)
        return connection.next_event() is h11.NEED_DATA
    except h11.RemoteProtocolError:
        return True


def ours_refuses(reader: RequestReader | ResponseReader, data: bytes) -> bool:
    heads: list[object] = []
    return error_of(lambda: heads.append(reader.receive_data(data))) is not None or heads == [None]


MUTATIONS = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\x85",
    b"\xff",
    b"HTTP/1.0",
    b"(",
    b",",
]
edits = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 4), st.sampled_from(MUTATIONS) | st.binary(max_size=3)), max_size=3
)


def edited(data: bytes, changes: Sequence[tuple[int, int, bytes]]) -> bytes:
    for at, cut, new in changes:
        at %= len(data) + 1
        data = data[:at] + new + data[at + cut :]
    return data or b"\0"


@given(edits)
@example([(0, 0, b"\r\n")])
@example([(18, 2, b"\n")])
def test_what_h11_refuses_in_a_request_is_refused(changes: list[tuple[int, int, bytes]]) -> None:
    """A server's own checks of ``Host`` and of lengths, which h11 makes, too, are in the handshake's tests. h11
    refuses one thing that RFC 9112, 2.2 accepts: an empty line before the request."""
    data = edited(request(("Origin", "http://example.com"), ("Sec-WebSocket-Protocol", "chat, superchat")), changes)
    if h11_refuses(data.removeprefix(b"\r\n"), h11.CLIENT) and b"HTTP/1.1\r\n" in data:
        heads: list[Request | None] = []
        error = error_of(lambda: heads.append(RequestReader(Limits()).receive_data(data)))
        for head in filter(None, heads):
            assert error is None
            assert len(head.headers.get_all("Host")) != 1 or "Content-Length" in head.headers, data


@pytest.mark.clause("6455:4.1-answer-conforms")
@given(edits)
def test_what_h11_refuses_in_a_response_is_refused(changes: list[tuple[int, int, bytes]]) -> None:
    data = edited(response(("Sec-WebSocket-Protocol", "chat")), changes)
    if h11_refuses(data, h11.SERVER):
        assert ours_refuses(ResponseReader(Limits()), data), data
