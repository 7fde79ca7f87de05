"""The frame cursor: pieces and positions, input that is read into its memory, and the leniencies about frames."""

from __future__ import annotations

import gc
import random
import tracemalloc
from typing import Any

import pytest
from helpers import BINARY, EVERY_CHUNKING, KEY, PING, TEXT, Chunking, byte_by_byte, frame, masked, to

from rfc6455 import CLIENT, SERVER, FrameParser, Leniency, Limits, RemoteProtocolError, Role
from rfc6455.byte_loops import BytesBuffer, Loan, TextBuffer
from rfc6455.cursor import ENDS, LARGE_REST, MAX_READ_SIZE, NOTHING, PIECE, READ_SIZE, STARTS, WHOLE, FrameCursor

LARGE = bytes(at * 7 % 251 for at in range(200_000))


def cursor_of(role: Role | None = None, **options: Any) -> FrameCursor:
    return FrameCursor(role, Limits(), **options)


# Pieces and places.


def test_what_is_unparsed_between_two_frames_of_one_read() -> None:
    cursor = cursor_of()
    cursor.feed(frame(TEXT, b"Hello") + frame(PING, b"1"))
    assert cursor.unparsed == 10
    assert cursor.advance() == WHOLE
    assert (cursor.unparsed, cursor.offset, cursor.mid_frame) == (3, 0, True)
    assert cursor.advance() == WHOLE
    assert (cursor.unparsed, cursor.offset, cursor.mid_frame) == (0, 7, False)


@pytest.mark.parametrize("length", [0, 125, 126, 65536])
def test_a_piece_begins_when_the_header_is_there(length: int) -> None:
    data = frame(BINARY, bytes(length), key=KEY)
    header = len(data) - length
    for size in range(header):
        cursor = cursor_of()
        cursor.feed(data[:size])
        assert cursor.advance() == NOTHING
        assert (cursor.unparsed, cursor.has_input()) == (size, size > 0)
    cursor = cursor_of()
    cursor.feed(data[:header])
    assert cursor.advance() == (PIECE | STARTS if length else WHOLE)
    assert not cursor.has_input()


def test_how_much_has_come_of_the_longest_frame() -> None:
    """Its end is at a place in the stream that has no 63-bit number."""
    cursor = FrameCursor(None, Limits(message=None))
    cursor.feed(b"\x82\x7f\x7f" + b"\xff" * 7 + b"abc")
    assert cursor.advance() == PIECE | STARTS
    assert cursor.frame_received == 13


def test_a_control_frame_is_one_piece() -> None:
    data = frame(PING, bytes(125), key=KEY)
    cursor = cursor_of()
    for portion in byte_by_byte(data[:-1]):
        cursor.feed(portion)
        assert cursor.advance() == NOTHING
    cursor.feed(data[-1:])
    assert cursor.advance() == WHOLE


def test_pieces_of_a_frame_that_is_longer_than_a_piece_may_be() -> None:
    cursor = cursor_of()
    cursor.max_piece = 5
    cursor.feed(frame(TEXT, b"Hello") + frame(TEXT, b"Hello, world", key=KEY))
    assert cursor.advance() == WHOLE
    pieces = []
    while piece := cursor.advance():
        pieces.append((piece, cursor.take_payload(piece)))
    assert pieces == [(PIECE | STARTS, b"Hello"), (PIECE, b", wor"), (PIECE | ENDS, b"ld")]


def test_dropped_input_is_counted_and_forgotten() -> None:
    cursor = cursor_of()
    cursor.feed(frame(TEXT, b"Hello") + b"\x89\x05He")
    assert (cursor.advance(), cursor.advance()) == (WHOLE, NOTHING)
    cursor.drop()
    assert (cursor.unparsed, cursor.total, cursor.mid_frame) == (0, 11, False)
    cursor.feed(b"\x89\x00")
    assert (cursor.advance(), cursor.offset) == (WHOLE, 11)


def test_nothing_is_kept_of_what_was_given() -> None:
    cursor = cursor_of()
    cursor.feed(frame(BINARY, bytes(1000)) + b"\x81")
    assert cursor.advance() == WHOLE
    cursor.forget()
    assert (cursor.payload, cursor.unparsed) == (b"", 1)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 70_000])
@pytest.mark.parametrize("before", [b"", frame(PING, b"1")])
def test_how_much_of_the_frame_in_hand_has_come(length: int, before: bytes) -> None:
    data = frame(BINARY, bytes(length), key=KEY)
    for size in {*range(min(len(data), 20)), len(data) // 2, len(data) - 1}:
        cursor = cursor_of()
        for portion in (before, data[: size // 2], data[size // 2 : size]):
            cursor.feed(portion)
            while cursor.advance():
                pass
            cursor.forget()
        assert cursor.frame_received == size
    cursor.feed(data[size:] + before)
    while cursor.advance():
        pass
    assert cursor.frame_received == 0


# Leniencies. `FrameParser` hands them on.


@EVERY_CHUNKING
def test_unmasked_frames_are_taken_on_request_and_counted_once_each(chunk: Chunking) -> None:
    parser = FrameParser(SERVER, leniencies={Leniency.UNMASKED_FRAMES})
    data = frame(TEXT, b"Hello") + frame(TEXT, b"masked", key=KEY) + frame(BINARY, bytes(300)) + frame(PING)
    frames = [each for portion in chunk(data) for each in parser.receive_data(portion)]
    assert [each.payload for each in frames] == [b"Hello", b"masked", bytes(300), b""]
    assert parser.leniencies_used == {Leniency.UNMASKED_FRAMES: 3}


@pytest.mark.exhaustive
@EVERY_CHUNKING
@pytest.mark.parametrize("role", [SERVER, CLIENT, None])
def test_long_lengths_are_taken_on_request_and_counted_once_each(chunk: Chunking, role: Role | None) -> None:
    parser = FrameParser(role, leniencies=[Leniency.LONG_LENGTHS])
    sender = role or CLIENT
    data = b"".join(
        to(sender, BINARY, bytes(length), length_bits=bits)
        for length, bits in ((0, 16), (125, 16), (126, 16), (300, 64), (65535, 64), (65536, 64))
    )
    frames = [each for portion in chunk(data) for each in parser.receive_data(portion)]
    assert [len(each.payload) for each in frames] == [0, 125, 126, 300, 65535, 65536]
    assert parser.leniencies_used == {Leniency.LONG_LENGTHS: 4}


@pytest.mark.parametrize(
    ("role", "leniencies", "data", "section"),
    [
        # What is for a server is not for a client, and one is not the other.
        (CLIENT, {Leniency.UNMASKED_FRAMES}, frame(TEXT, b"x", key=KEY), "5.1"),
        (SERVER, {Leniency.LONG_LENGTHS}, frame(TEXT, b"x"), "5.1"),
        (CLIENT, {Leniency.UNMASKED_FRAMES}, frame(TEXT, b"x", length_bits=16), "5.2"),
        # A length of 2^63 and a control frame with an extended length are none that is only too long.
        (CLIENT, set(Leniency), frame(BINARY, declared=1 << 63), "5.2"),
        (CLIENT, set(Leniency), frame(PING, b"x", length_bits=16), "5.5"),
        (CLIENT, set(Leniency), b"\x83\x00", "5.2"),
        (SERVER, set(Leniency), b"\x09\x00", "5.5"),
    ],
)
def test_all_else_is_refused_as_before(role: Role, leniencies: set[Leniency], data: bytes, section: str) -> None:
    parser = FrameParser(role, leniencies=leniencies)
    with pytest.raises(RemoteProtocolError) as caught:
        parser.receive_data(data)
    assert (caught.value.close_code, caught.value.section) == (1002, section)
    assert parser.leniencies_used == {}


@pytest.mark.parametrize("data", [frame(TEXT, b"x"), frame(TEXT, b"x", key=KEY, length_bits=64)])
def test_nothing_is_tolerated_that_was_not_asked_for(data: bytes) -> None:
    parser = FrameParser(SERVER)
    with pytest.raises(RemoteProtocolError):
        parser.receive_data(data)
    assert parser.leniencies_used == {}


# Input that is read into memory of the cursor.


def read_into(cursor: FrameCursor, data: bytes, size_hint: int = -1) -> int:
    """Read as a loop does with ``recv_into``, and return how many bytes of the data there was room for."""
    view = cursor.get_buffer(size_hint)
    size = min(len(view), len(data))
    view[:size] = data[:size]
    cursor.buffer_updated(size)
    return size


def payloads_of(cursor: FrameCursor, buffer: Any) -> list[bytes]:
    """Go over all input as `FrameParser` does."""
    found = []
    while piece := cursor.advance():
        cursor.move_payload(piece, buffer)
        if piece & ENDS:
            found.append(buffer.take_bytes())
    cursor.forget()
    return found


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
@pytest.mark.parametrize("sizes", [[1], [2, 3], [1000], [READ_SIZE], [READ_SIZE, 1], [1 << 30]], ids=str)
def test_what_is_read_into_the_memory_is_read_as_any_input(key: bytes | None, sizes: list[int]) -> None:
    payloads = [b"Hello", LARGE, b"", LARGE[:LARGE_REST], LARGE[: LARGE_REST - 1], LARGE[3:80_000], b"end"]
    if max(sizes) < 10:  # so many reads show nothing that fewer do not
        payloads = [payload[:5_000] for payload in payloads]
    data = b"".join(
        frame(BINARY, b"", declared=len(it), key=key) + (masked(it, key) if key else it) for it in payloads
    )
    cursor, buffer = cursor_of(), BytesBuffer()
    found, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        at += read_into(cursor, data[at : at + size], size)
        found += payloads_of(cursor, buffer)
        assert cursor.total == at
        turn += 1
    assert found == payloads
    assert (cursor.mid_frame, cursor.unparsed, len(buffer)) == (False, 0, 0)


@pytest.mark.parametrize("seed", range(60))
def test_it_can_be_mixed_with_other_input_at_every_place(seed: int) -> None:
    stream = b"".join(frame(BINARY, it, key=KEY) for it in (b"Hello", LARGE[:40_000], b"x", LARGE[:17_000]))
    choose = random.Random(seed).choice
    cursor, buffer = cursor_of(), BytesBuffer()
    found, at = [], 0
    while at < len(stream):
        size = choose([1, 2, 5, 3000, 20_000, 60_000])
        if choose([True, False]):
            at += read_into(cursor, stream[at : at + size])
        else:
            cursor.feed(stream[at : at + size])
            at = min(at + size, len(stream))
        if choose([True, False]):
            found += payloads_of(cursor, buffer)
    found += payloads_of(cursor, buffer)
    assert found == [b"Hello", LARGE[:40_000], b"x", LARGE[:17_000]]


def test_no_more_of_a_payload_is_lent_than_is_missing() -> None:
    """What follows the frame must not get into the message."""
    cursor, buffer = cursor_of(), BytesBuffer()
    cursor.feed(frame(BINARY, b"", declared=LARGE_REST + 20_000) + bytes(15_000))
    assert payloads_of(cursor, buffer) == []
    assert len(cursor.get_buffer(MAX_READ_SIZE)) == LARGE_REST + 5000
    # Of what is small, the read may bring what follows, too.
    cursor.buffer_updated(6000)
    assert payloads_of(cursor, buffer) == []
    assert len(cursor.get_buffer()) == READ_SIZE
    assert len(cursor.get_buffer(1 << 40)) == MAX_READ_SIZE
    assert len(cursor.get_buffer(10)) == 10


def test_a_payload_that_is_given_in_another_way_is_not_lent() -> None:
    """An extension, or a caller that wants parts, gets the bytes, so no buffer is used."""
    cursor = cursor_of()
    cursor.feed(frame(BINARY, b"", declared=100_000) + b"part")
    piece = cursor.advance()
    assert cursor.take_payload(piece) == b"part"
    cursor.forget()
    read_into(cursor, b"more")
    assert cursor.take_payload(cursor.advance()) == b"more"


MISUSES = [
    (lambda cursor: cursor.buffer_updated(1), ValueError, "buffer_updated\\(\\) once"),
    (lambda cursor: (cursor.get_buffer(), cursor.buffer_updated(READ_SIZE + 1)), ValueError, "65536 bytes were lent"),
    (lambda cursor: (cursor.get_buffer(), cursor.buffer_updated(-1)), ValueError, "were lent"),
    (lambda cursor: (cursor.get_buffer(), cursor.buffer_updated(None)), TypeError, "number of bytes, not NoneType"),
    (lambda cursor: (cursor.get_buffer(), cursor.buffer_updated(2.0)), TypeError, "number of bytes, not float"),
    (
        lambda cursor: (cursor.get_buffer(), cursor.buffer_updated(0), cursor.buffer_updated(0)),
        ValueError,
        "buffer_updated\\(\\) once",
    ),
    (
        lambda cursor: (cursor.get_buffer(), cursor.feed(b"\x81"), cursor.buffer_updated(1)),
        ValueError,
        "buffer_updated\\(\\) once",
    ),
    (
        lambda cursor: (cursor.get_buffer(), cursor.drop(), cursor.buffer_updated(1)),
        ValueError,
        "buffer_updated\\(\\) once",
    ),
]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("misuse", "error", "words"), MISUSES)
def test_misuse_is_an_error_that_changes_nothing(misuse: Any, error: type[Exception], words: str, large: bool) -> None:
    cursor, buffer = cursor_of(), BytesBuffer()
    if large:
        cursor.feed(frame(BINARY, b"", declared=READ_SIZE + 100) + b"x" * 100)
        payloads_of(cursor, buffer)
    total = cursor.total
    with pytest.raises(error, match=words):
        misuse(cursor)
    assert cursor.total in (total, total + 1)


@pytest.mark.parametrize("large", [False, True])
def test_a_view_that_outlives_its_read_changes_nothing(large: bool) -> None:
    cursor, buffer = cursor_of(), BytesBuffer()
    payload = LARGE[:100_000] if large else b"Hello"
    data = frame(BINARY, payload)
    if large:
        cursor.feed(data[:50_000])
        assert payloads_of(cursor, buffer) == []
        data = data[50_000:]
    views = []
    found: list[bytes] = []
    while data:
        view = cursor.get_buffer(20_000)
        # A view of the view: the first one is released, and this stays.
        views.append(memoryview(view)[: len(view)])
        size = min(len(view), len(data))
        view[:size] = data[:size]
        data = data[size:]
        cursor.buffer_updated(size)
        for held in views:
            held[:] = b"\xff" * len(held)
        found += payloads_of(cursor, buffer)
        for held in views:
            held[:] = b"\xfe" * len(held)
    assert found == [payload]
    with pytest.raises(ValueError, match="released"):
        view[0]
    del cursor, buffer, view
    gc.collect()
    assert {bytes(held[:1]) for held in views} == {b"\xfe"}


def test_a_view_that_was_given_up_is_void() -> None:
    """A loop whose read failed asks again, and may have kept the first view."""
    cursor, buffer = cursor_of(), BytesBuffer()
    cursor.feed(frame(BINARY, b"", declared=LARGE_REST * 3) + LARGE[:LARGE_REST])
    assert payloads_of(cursor, buffer) == []
    first = memoryview(cursor.get_buffer())
    second = cursor.get_buffer()
    second[:LARGE_REST] = LARGE[LARGE_REST : 2 * LARGE_REST]
    first[:] = b"\xff" * len(first)
    cursor.buffer_updated(LARGE_REST)
    assert payloads_of(cursor, buffer) == []
    cursor.feed(LARGE[2 * LARGE_REST : 3 * LARGE_REST])
    first[:] = b"\xff" * len(first)
    assert payloads_of(cursor, buffer) == [LARGE[: 3 * LARGE_REST]]


def test_a_message_that_is_dropped_leaves_the_memory_to_the_view() -> None:
    cursor, buffer = cursor_of(), BytesBuffer()
    cursor.feed(frame(BINARY, b"", declared=100_000) + b"x")
    assert payloads_of(cursor, buffer) == []
    view = memoryview(cursor.get_buffer())
    cursor.drop()
    del buffer
    gc.collect()
    view[:] = b"y" * len(view)
    assert bytes(view[:2]) == b"yy"


def test_nothing_is_kept_between_reads() -> None:
    cursor = cursor_of()
    tracemalloc.start()
    try:
        for _ in range(50):
            read_into(cursor, frame(PING, b"1"))
            assert cursor.advance() == WHOLE
            cursor.forget()
        # A read that failed: the memory goes with the next one.
        cursor.get_buffer()
        cursor.feed(b"")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 5000


# What is lent.


def test_a_loan_gives_what_was_written_once() -> None:
    loan = Loan(10)
    view = loan.view()
    view[:5] = b"Hello"
    view.release()
    assert loan.take(5) == b"Hello"


@pytest.mark.parametrize("size", [-1, 11, 1 << 40])
def test_a_loan_gives_no_more_than_was_lent(size: int) -> None:
    loan = Loan(10)
    with pytest.raises(ValueError, match="10 bytes were lent"):
        loan.take(size)


@pytest.mark.parametrize("kind", [BytesBuffer, TextBuffer])
def test_a_buffer_that_is_used_ends_its_loan(kind: Any) -> None:
    buffer = kind()
    buffer.append(b"a")
    loan = buffer.lend(100, 50)
    view = loan.view()
    view[:3] = b"xyz"
    buffer.append(b"bc")
    view[:3] = b"xyz"
    buffer.append(b"d")
    view[:3] = b"xyz"
    assert len(buffer) == 4
    taken = buffer.take_bytes() if kind is BytesBuffer else buffer.take_text()
    view[:3] = b"xyz"
    assert taken in (b"abcd", "abcd")
