"""Text as bytes, in both directions: `EncodedText` in, `send_text` of bytes out. 8.1 applies as for a `str`."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import (
    BINARY,
    BOTH_ROLES,
    CONT,
    EVERY_CHUNKING,
    TEXT,
    Chunking,
    cut_at,
    feed,
    new_connection,
    read_frames,
    to,
)
from hypothesis import given
from hypothesis import strategies as st
from tiny_extension import ShiftCodec

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    Closed,
    Connection,
    EncodedText,
    Leniency,
    Limits,
    LocalProtocolError,
    RemoteProtocolError,
    Role,
    TextMessage,
    TextPart,
)

TEXTS = ["", "ascii", "tschüß", "日本語", "👋" * 40, "a" * 200 + "é"]


def fragments(role: Role, data: bytes, places: list[int]) -> bytes:
    """A text message in as many frames as the places say."""
    cuts = cut_at(data, places) or [b""]
    last = len(cuts) - 1
    return b"".join(to(role, CONT if at else TEXT, cut, fin=at == last) for at, cut in enumerate(cuts))


@pytest.mark.clause("6455:8.1-bad-utf8-fails")
@BOTH_ROLES
@EVERY_CHUNKING
@pytest.mark.parametrize("text", TEXTS)
def test_a_message_in_one_frame(role: Role, chunk: Chunking, text: str) -> None:
    connection = new_connection(role, decode_text=False)
    stream = to(role, TEXT, text.encode()) + to(role, BINARY, b"\xff")
    assert feed(connection, chunk(stream)) == [EncodedText(text.encode(), True), BytesMessage(b"\xff")]
    assert connection.retained_bytes == 0


@BOTH_ROLES
@given(
    text=st.text(max_size=60), places=st.lists(st.integers(0, 200), max_size=5), reads=st.lists(st.integers(0, 400))
)
def test_fragments_cut_anywhere(role: Role, text: str, places: list[int], reads: list[int]) -> None:
    stream = fragments(role, text.encode(), places)
    connection = new_connection(role, decode_text=False)
    assert feed(connection, [cut for cut in cut_at(stream, reads) if cut]) == [EncodedText(text.encode(), True)]


@BOTH_ROLES
@given(
    data=st.binary(max_size=30), places=st.lists(st.integers(0, 60), max_size=4), reads=st.lists(st.integers(0, 200))
)
def test_what_is_refused_is_the_same_as_where_text_is_decoded(
    role: Role, data: bytes, places: list[int], reads: list[int]
) -> None:
    stream = to(role, BINARY, b"before") + fragments(role, data, places)
    cuts = [cut for cut in cut_at(stream, reads) if cut]
    for parts in (False, True):
        ends = [new_connection(role, decode_text=decode, parts=parts) for decode in (True, False)]
        decoded, encoded = (feed(end, cuts) for end in ends)
        assert ends[0].data_to_send() == ends[1].data_to_send()
        assert ends[0].end == ends[1].end
        assert b"".join(map(as_bytes, decoded)) == b"".join(map(as_bytes, encoded)) or ends[0].closed


def as_bytes(event: Any) -> bytes:
    match event:
        case TextMessage(text) | TextPart(text):
            return text.encode()
        case Closed():
            return b""
    return bytes(event.data)


@BOTH_ROLES
@EVERY_CHUNKING
def test_parts(role: Role, chunk: Chunking) -> None:
    connection = new_connection(role, decode_text=False, parts=True)
    data = "tschüß".encode() * 20
    events = feed(connection, chunk(fragments(role, data, [7, 30])))
    assert all(isinstance(event, EncodedText) for event in events)
    assert b"".join(event.data for event in events) == data
    assert [event.final for event in events].index(True) == len(events) - 1


@BOTH_ROLES
def test_behind_an_extension(role: Role) -> None:
    near = new_connection(role.peer, extensions=[ShiftCodec()])
    far = new_connection(role, extensions=[ShiftCodec()], decode_text=False)
    near.send_text("tsch", fin=False)
    near.send_text("üß".encode())
    assert far.receive_data(near.data_to_send()) == [EncodedText("tschüß".encode(), True)]


@BOTH_ROLES
@EVERY_CHUNKING
def test_the_limit_holds(role: Role, chunk: Chunking) -> None:
    connection = new_connection(role, decode_text=False, limits=Limits(message=10))
    *_, closed = feed(connection, chunk(fragments(role, b"x" * 11, [4, 8])))
    assert isinstance(closed, Closed)
    assert closed.code == 1009


# ---- Text that is not UTF-8, from a device that sends such ----


@BOTH_ROLES
@EVERY_CHUNKING
@pytest.mark.parametrize("data", [b"\xff", b"caf\xe9", b"\xe2\x82", b"\xed\xa0\x80", b"a\xc3" * 20])
def test_a_named_way_out(role: Role, chunk: Chunking, data: bytes) -> None:
    connection = new_connection(role, decode_text=False, leniencies={Leniency.INVALID_UTF8})
    stream = fragments(role, data, [1]) + to(role, TEXT, b"good") + to(role, TEXT, data)
    assert feed(connection, chunk(stream)) == [EncodedText(data), EncodedText(b"good"), EncodedText(data)]
    assert connection.leniencies_used == {Leniency.INVALID_UTF8: 2}


def test_it_is_legal_only_where_text_is_not_decoded() -> None:
    with pytest.raises(ValueError, match="needs decode_text=False"):
        Connection(SERVER, leniencies=[Leniency.INVALID_UTF8])
    handshake = rfc6455.ServerHandshake(decode_text=False, leniencies={Leniency.INVALID_UTF8})
    handshake.receive_request(
        "GET",
        "/",
        {
            "Host": "example.com",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
        },
    )
    with pytest.raises(ValueError, match="needs decode_text=False"):
        handshake.accept(decode_text=True)
    assert handshake.accept().receive_data(to(SERVER, TEXT, b"\xff")) == [EncodedText(b"\xff", True)]


# ---- Out ----


@BOTH_ROLES
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("text", TEXTS)
def test_bytes_are_sent_as_text(role: Role, kind: Any, text: str) -> None:
    connection = new_connection(role)
    connection.send_text(kind(text.encode()))
    assert read_frames(connection.data_to_send(), role) == [(TEXT, text.encode(), True, 0)]


@pytest.mark.clause("6455:5.6-text-is-utf8")
@pytest.mark.parametrize("data", [b"\xff", b"caf\xe9", b"\xe2\x82", b"\xed\xa0\x80"])
def test_bytes_that_are_not_utf8_are_refused(data: bytes) -> None:
    connection = new_connection(CLIENT)
    with pytest.raises(LocalProtocolError, match=r"the text cannot be sent, as it is not UTF-8 \(8.1\)"):
        connection.send_text(data)
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("text", [{}, 5, None, ["x"]])
def test_what_is_neither(text: Any) -> None:
    with pytest.raises(TypeError, match="a text is a str, or bytes that are UTF-8, not "):
        new_connection(CLIENT).send_text(text)


@BOTH_ROLES
def test_a_relay_sends_on_what_it_got(role: Role) -> None:
    near = new_connection(role, decode_text=False, parts=True)
    far = new_connection(role)
    for event in near.receive_data(fragments(role, b"to be continued", [5, 9])):
        far.send(event)
    sent = read_frames(far.data_to_send(), role)
    assert b"".join(seen.payload for seen in sent) == b"to be continued"
    assert [seen.opcode for seen in sent] == [TEXT, CONT, CONT]


def test_the_first_bad_byte_is_enough() -> None:
    connection = new_connection(SERVER, decode_text=False)
    (closed,) = connection.receive_data(to(SERVER, TEXT, b"\xff" + bytes(100))[:8])
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, RemoteProtocolError)
    assert closed.error.close_code == 1007
