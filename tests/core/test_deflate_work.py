"""The work and memory that a peer can cause with little input: inefficient encodings, ends of streams, empty
fragments.

The times are measured by ``benchmarks/worst_input.py``. These tests check the bounds, however the bytes are split.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

import pytest
from deflating import TAIL, codec_of, compressing, deflated, finished, fragments
from helpers import BINARY, BOTH_ROLES, CONT, EVERY_CHUNKING, TEXT, Chunking, check_failed, feed, outcome, to
from hypothesis import given
from hypothesis import strategies as st
from tiny_extension import InvertCodec

from rfc6455 import SERVER, BytesMessage, Closed, Connection, Limits, Role, TextMessage
from rfc6455.limits import OBJECT_OVERHEAD

RSV1 = 4

# ---- Long ways to say little ----


def with_empty_blocks(data: bytes, size: int) -> bytes:
    """Return compressed data of exactly this many bytes: stored blocks without content, then the data."""
    end = deflated(data)
    blocks, rest = divmod(size - len(end), 5)
    assert blocks >= rest
    # Five bytes with nothing in them; six with an empty block of fixed codes (10 bits) before, up to the next byte.
    return (b"\x00" + b"\x00\x00\xff\xff") * (blocks - rest) + (b"\x02\x00" + b"\x00\x00\xff\xff") * rest + end


@BOTH_ROLES
@pytest.mark.parametrize("sizes", [[], [100], [65_536, 0, 7_990]], ids=["whole", "two", "several"])
@pytest.mark.parametrize("over", [0, 1])
def test_an_encoded_message_may_take_eight_times_the_limit_and_64_kib(role: Role, sizes: list[int], over: int) -> None:
    payload = with_empty_blocks(b"said", 8 * 1000 + 65_536 + over)
    frames = fragments(role, BINARY, payload, sizes)
    connection = compressing(role, limits=Limits(message=1000))
    events = feed(connection, frames)
    if not over:
        assert events == [BytesMessage(b"said")]
    else:
        (closed,) = events
        assert closed.code == 1009
        assert closed.error.reason == (
            "an encoded message that takes 73537 bytes or more; 73536 are allowed, "
            "which is 8 times Limits(message=1000) and 65536"
        )


@BOTH_ROLES
@EVERY_CHUNKING
def test_it_is_refused_at_the_header_that_says_so(role: Role, chunk: Chunking) -> None:
    first = to(role, BINARY, bytes.fromhex("02 00"), fin=False, rsv=RSV1)
    header = to(role, CONT, declared=8 << 20)
    result = outcome(role, first + header, chunk, extensions=lambda: [codec_of(role)], limits=Limits(message=1 << 20))
    assert result.closed is None
    header = to(role, CONT, declared=(8 << 20) + 65_535)
    result = outcome(role, first + header, chunk, extensions=lambda: [codec_of(role)], limits=Limits(message=1 << 20))
    check_failed(result, role, 1009, "10.4", len(first))


@BOTH_ROLES
def test_a_sender_that_flushes_after_each_byte_fits(role: Role) -> None:
    data = random.Random(1).randbytes(20_000)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = b"".join(deflater.compress(bytes([octet])) + deflater.flush(zlib.Z_SYNC_FLUSH) for octet in data)[:-4]
    assert len(payload) > 6 * len(data)
    connection = compressing(role, limits=Limits(message=len(data)))
    assert feed(connection, [to(role, BINARY, payload, rsv=RSV1)]) == [BytesMessage(data)]


@BOTH_ROLES
def test_without_a_limit_for_messages_there_is_none_on_the_wire(role: Role) -> None:
    connection = compressing(role, limits=Limits(message=None))
    payload = with_empty_blocks(b"said", 1 << 20)
    assert feed(connection, [to(role, BINARY, payload, rsv=RSV1)]) == [BytesMessage(b"said")]


class Counting(InvertCodec):
    """A codec that counts its input."""

    def __init__(self) -> None:
        self.taken = 0

    def decode(self, payload: bytes, final: bool) -> bytes:
        self.taken += len(payload)
        return b"" if len(payload) > 2 else super().decode(payload, final)


@BOTH_ROLES
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("count", [1, 10, 1000])
def test_one_call_gives_extensions_so_much_input(role: Role, parts: bool, count: int) -> None:
    """64 KiB and the rest of one piece, in one message or in many, whatever comes out."""
    codec = Counting()
    connection = Connection(role, [codec], parts=parts)
    connection.receive_data(to(role, BINARY, bytes(3_000_000 // count), rsv=RSV1) * count)
    calls = [codec.taken]
    while connection.unread:
        connection.receive_data(None)
        calls.append(codec.taken - sum(calls))
    assert sum(calls) == 3_000_000
    assert max(calls) < 128 << 10
    assert min(calls[:-1]) >= 64 << 10


# ---- Ends of streams (RFC 7692, 7.2.3.4) ----

EMPTY_STREAM = bytes.fromhex("03 00")


def chain(count: int) -> bytes:
    return EMPTY_STREAM * count + b"\x00"


@BOTH_ROLES
@EVERY_CHUNKING
@pytest.mark.parametrize("takeover", [False, True])
def test_a_message_of_ends_is_refused_at_the_same_one_however_it_is_cut(
    role: Role, takeover: bool, chunk: Chunking
) -> None:
    """2 bytes come in and 32 are paid for each but the first, out of a stock of 512."""

    def of(count: int) -> bytes:
        return to(role, BINARY, chain(count), rsv=RSV1)

    def run(count: int) -> object:
        connection = compressing(role, takeover=takeover)
        return feed(connection, chunk(of(count)))

    assert run(18) == [BytesMessage(b"")]
    (closed,) = run(19)  # type: ignore[misc]
    assert isinstance(closed, Closed)
    assert closed.code == 1009
    assert "DEFLATE streams that end too soon" in str(closed.error)


@BOTH_ROLES
def test_what_is_used_up_in_one_message_is_missing_in_the_next(role: Role) -> None:
    connection = compressing(role)
    assert feed(connection, [to(role, BINARY, chain(12), rsv=RSV1)]) == [BytesMessage(b"")]
    (closed,) = feed(connection, [to(role, BINARY, chain(12), rsv=RSV1)])
    assert closed.code == 1009


@BOTH_ROLES
@pytest.mark.parametrize("takeover", [False, True])
def test_one_end_in_each_message_is_free(role: Role, takeover: bool) -> None:
    """A sender without Z_SYNC_FLUSH ends its stream with each message."""
    connection = compressing(role, takeover=takeover)
    stream = to(role, TEXT, finished(b"x") + b"\x00", rsv=RSV1) * 2000
    assert feed(connection, [stream]) == [TextMessage("x")] * 2000


@BOTH_ROLES
def test_ends_that_are_paid_for_go_on(role: Role) -> None:
    source = random.Random(1)
    pieces = [source.randbytes(40) for _ in range(2000)]
    payload = b"".join(map(finished, pieces)) + b"\x00"
    connection = compressing(role)
    assert feed(connection, [to(role, BINARY, payload, rsv=RSV1)]) == [BytesMessage(b"".join(pieces))]


PIECES = [b"\x00", b"\x01", b"\x02", EMPTY_STREAM, finished(b"x"), deflated(b"yz"), TAIL]


def inflated_simply(payload: bytes, takeover: bool) -> bytes | None:
    """Return one message inflated by plain zlib, stream by stream, or ``None`` if it is not a valid message."""
    tail = TAIL if takeover else TAIL + b"\x01" + TAIL
    rest = payload + tail
    decoded = b""
    ended = False
    while rest and not (ended and rest == tail):
        inflater = zlib.decompressobj(-15)
        try:
            decoded += inflater.decompress(rest)
        except zlib.error:
            return None
        ended, rest = inflater.eof, inflater.unused_data
    return decoded if ended or takeover else None


@BOTH_ROLES
@pytest.mark.parametrize("takeover", [False, True])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=5))
def test_what_is_found_without_an_inflater_is_what_one_would_say(
    role: Role, takeover: bool, pieces: list[bytes]
) -> None:
    payload = b"".join(pieces)
    events = feed(compressing(role, takeover=takeover), [to(role, BINARY, payload, rsv=RSV1)])
    expected = inflated_simply(payload, takeover)
    if expected is None:
        assert [event.code for event in events] == [1007]
    else:
        assert events == [BytesMessage(expected)]


# ---- Empty fragments ----


def empties(role: Role, count: int, rsv: int) -> Iterator[bytes]:
    yield to(role, TEXT, b"", fin=False, rsv=rsv)
    for _ in range(count - 1):
        yield to(role, CONT, b"", fin=False)


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("rsv", [0, RSV1])
@pytest.mark.parametrize("parts", [False, True])
def test_each_empty_fragment_is_charged_until_the_message_ends(role: Role, rsv: int, parts: bool) -> None:
    most = 1000
    connection = compressing(role, parts=parts, limits=Limits(memory=most * OBJECT_OVERHEAD + 100))
    for _ in range(3):
        assert connection.receive_data(b"".join(empties(role, most, rsv))) == []
        assert connection.retained_bytes >= most * OBJECT_OVERHEAD
        (event,) = connection.receive_data(to(role, CONT, b"\x00" if rsv else b""))
        assert (event.text, connection.retained_bytes) == ("", 0)
    before = connection.bytes_received
    (closed,) = connection.receive_data(b"".join(empties(role, most + 2, rsv)))
    assert (closed.code, closed.error.section) == (1009, "10.4")
    assert closed.error.offset - before == len(b"".join(empties(role, most + 1, rsv)))


@pytest.mark.measured
def test_by_default_a_message_may_have_forty_thousand_empty_fragments() -> None:
    connection = Connection(SERVER)
    assert connection.receive_data(b"".join(empties(SERVER, 40_000, 0))) == []
    assert connection.receive_data(to(SERVER, CONT, b"end")) == [TextMessage("end")]
    (closed,) = connection.receive_data(b"".join(empties(SERVER, 42_000, 0)))
    assert closed.code == 1009
