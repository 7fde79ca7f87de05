"""The opening handshake with hostile input: any bytes anywhere."""

from __future__ import annotations

import itertools

import pytest
from helpers import cut_at
from hypothesis import given
from hypothesis import strategies as st
from measuring import check_time, repeated, work
from opening import (
    ANSWER,
    REQUIRED,
    SAMPLE_KEY,
    client,
    error_of,
    head,
    request,
)
from tiny_extension import Shift

from rfc6455 import (
    ANY_ORIGIN,
    Connection,
    HandshakeError,
    Limits,
    PerMessageDeflate,
    ServerHandshake,
)
from rfc6455.handshake import http1

# Whatever comes.

lines_st = st.text(st.characters(max_codepoint=0xFF), max_size=30).map(lambda text: text.encode("latin-1"))
VALUES = st.sampled_from(
    [b"", b",", b'a;b="', b"\xff", b"__class__", b"permessage-deflate; server_max_window_bits=\xb2", b"13"]
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [*REQUIRED, "Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length", "X"]
            ),
            VALUES | lines_st,
        ),
        max_size=4,
    ),
    st.sets(st.sampled_from(list(REQUIRED)), max_size=2),
)
def test_any_bytes_in_any_header_of_a_request(extra: list[tuple[str, bytes]], left_out: set[str]) -> None:
    """A non-number in a parameter, or a byte over 0x7F, raised a bare ValueError or UnicodeDecodeError elsewhere."""
    lines = [f"{name}: {value}".encode() for name, value in REQUIRED.items() if name not in left_out]
    lines += [name.encode() + b": " + value for name, value in extra]
    handshake = ServerHandshake(subprotocols=["a"], extensions=[PerMessageDeflate(), Shift()])
    data = b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"
    error = error_of(lambda: handshake.receive_data(data))
    if error is not None:
        assert handshake.data_to_send().startswith(b"HTTP/1.1 %d " % error.status)
    else:
        assert handshake.accept().data_to_send().startswith(b"HTTP/1.1 101 ")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*ANSWER, "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length", "X"]),
            VALUES | lines_st,
        ),
        max_size=4,
    ),
    st.sampled_from([101, 101, 200, 404, 100]),
    st.binary(max_size=20),
)
def test_any_bytes_in_any_header_of_a_response(extra: list[tuple[str, bytes]], status: int, rest: bytes) -> None:
    lines = [f"{name}: {value}".encode() for name, value in ANSWER.items()]
    lines += [name.encode() + b": " + value for name, value in extra]
    handshake = client(subprotocols=["a"], extensions=[PerMessageDeflate(), Shift()])
    data = b"HTTP/1.1 %d x\r\n" % status + b"\r\n".join(lines) + b"\r\n\r\n" + rest
    results = []
    error = error_of(lambda: results.append(handshake.receive_data(data)))
    if error is None and results == [None]:
        error = error_of(lambda: handshake.receive_data(b""))
    assert (error is None) is (results != [] and isinstance(results[0], Connection))
    assert status == 101 or isinstance(error, HandshakeError)


@pytest.mark.clause("6455:10.7-input-is-validated")
@given(st.binary(min_size=1, max_size=300), st.booleans(), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_at_all(data: bytes, to_server: bool, cuts: list[int]) -> None:
    handshake = ServerHandshake(plain_http=True) if to_server else client()
    portions = cut_at(data, cuts)
    error = error_of(lambda: [handshake.receive_data(portion) for portion in portions])
    assert error is None or (isinstance(error, HandshakeError) and error.reason.isascii())


@pytest.mark.measured
@pytest.mark.parametrize("name", ["Connection", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Upgrade", "X"])
@pytest.mark.parametrize("piece", [" ", ",", '"', "\\", ";", "=", "a,", "\xff"])
def test_cve_2021_32640_ws(name: str, piece: str) -> None:
    """Patterns that backtrack: time is linear, whatever is in a list."""

    def read(value: str) -> None:
        limits = Limits(head=1 << 20, line=1 << 20)
        handshake = ServerHandshake(limits=limits, origins=ANY_ORIGIN, subprotocols=["a"])
        assert len(str(error_of(lambda: handshake.receive_data(request((name, value)))))) < 500

    for beginning, end in (("", ""), ("a", ""), ('a; b="', ""), ("a", "\0")):
        check_time(read, repeated(piece, beginning, end))


def test_a_bad_host_field_is_refused_though_the_target_names_the_host() -> None:
    handshake = ServerHandshake()
    with pytest.raises(HandshakeError) as caught:
        handshake.receive_data(
            b"GET http://a/ HTTP/1.1\r\nHost: not a host\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    assert caught.value.status == 400


# For each part of a request the usual form and others, good and bad.
FORMS = {
    "method": ["GET", "POST", "get"],
    "target": ["/chat", "/#", "*", "http://server.example.com/"],
    "version": ["HTTP/1.1", "HTTP/1.0"],
    "Upgrade": ["websocket", "WebSocket", "h2c", ""],
    "Connection": ["Upgrade", "keep-alive, Upgrade", "close"],
    "Sec-WebSocket-Version": ["13", "12", "13, 8"],
    "Sec-WebSocket-Key": [SAMPLE_KEY, SAMPLE_KEY[:-1], SAMPLE_KEY.lower() + "=", "*" * 22 + "=="],
    "Content-Length": ["", "0", "1"],
    "Transfer-Encoding": ["", "chunked"],
}


def test_a_request_in_the_usual_form_is_checked_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of one form and two of another at most: what the look at the whole accepts, each check accepts."""
    usual = {part: forms[0] for part, forms in FORMS.items()}
    others = [(part, form) for part, forms in FORMS.items() for form in forms[1:]]
    differing = [usual, *({**usual, **dict(pair)} for pair in itertools.combinations_with_replacement(others, 2))]
    accepted = [outcome_of(parts) for parts in differing]
    monkeypatch.setattr(http1, "_is_usual_upgrade", lambda *_: False)
    assert [outcome_of(parts) for parts in differing] == accepted
    assert accepted.count("None") > 5


def outcome_of(parts: dict[str, str]) -> str:
    line = f"{parts['method']} {parts['target']} {parts['version']}"
    fields = [(name, value) for name, value in parts.items() if value and name not in ("method", "target", "version")]
    data = head(line, [("Host", "server.example.com"), *fields])
    return str(error_of(lambda: ServerHandshake().receive_data(data)))


# Work for a byte: an honest head is the measure. What lists names is bounded (10.4), so that none of these, which are
# as bad as could be built, costs ten times as much.

HONEST = request(
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Origin", "http://server.example.com"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
    Connection="keep-alive, Upgrade",
)
WORST: dict[str, list[tuple[str, str]]] = {
    "unknown extensions": [("Sec-WebSocket-Extensions", "x," * 7500)],
    "as many as may be": [("Sec-WebSocket-Extensions", ",".join("x" * 128))],
    "parameters": [("Sec-WebSocket-Extensions", "x" + ";a" * 127)],
    "quoted values": [("Sec-WebSocket-Extensions", "x" + ';a="\\b"' * 127)],
    "offers of a known one": [("Sec-WebSocket-Extensions", ",".join(["permessage-deflate;z"] * 64))],
    "extensions of nothing": [("Sec-WebSocket-Extensions", "x" + "," * 16000)] * 3,
    "subprotocols": [("Sec-WebSocket-Protocol", ",".join(map(str, range(128))))],
    "too many subprotocols": [("Sec-WebSocket-Protocol", "a," * 8000)] * 3,
    "subprotocols of nothing": [("Sec-WebSocket-Protocol", "x" + "," * 16000)] * 3,
    "options of nothing": [("Connection", "," * 16000)] * 3,
    "upgrades to nothing": [("Upgrade", "," * 16000)] * 3,
    "lengths": [("Content-Length", ",".join("0" * 8000))] * 3,
    "fields": [("a", "")] * 250,
    "spaces": [("a", " " * 16000)] * 3,
}


def work_for_a_byte(data: bytes) -> float:
    def open_it() -> None:
        handshake = ServerHandshake(subprotocols=["chat"], extensions=[PerMessageDeflate()])
        if error_of(lambda: handshake.receive_data(data)) is None:
            handshake.accept().data_to_send()

    return work([open_it]).steps / len(data)


@pytest.mark.measured
@pytest.mark.parametrize("fields", WORST.values(), ids=WORST)
def test_no_head_costs_ten_times_an_honest_one(fields: list[tuple[str, str]]) -> None:
    assert work_for_a_byte(request(*fields)) < 10 * work_for_a_byte(HONEST)
