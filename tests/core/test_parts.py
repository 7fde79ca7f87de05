"""Messages in parts: as they arrive, cut between characters, within the same limits; and streams larger than memory.

Memory is measured with tracemalloc, and includes what the caller holds: the bytes of a read and of a write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from deflating import MIB, both_takeovers, codec_of, compressing, deflated, fragments
from helpers import (
    BINARY,
    BOTH_ROLES,
    CONT,
    EVERY_CHUNKING,
    KEY,
    PING,
    TEXT,
    Chunking,
    check_failed,
    cut_at,
    feed,
    outcome,
    to,
)
from hypothesis import given
from hypothesis import strategies as st
from measuring import Memory

import rfc6455
import rfc6455.deflate
from rfc6455 import (
    SERVER,
    BytesPart,
    CloseCause,
    CloseCode,
    Closed,
    Connection,
    Event,
    Limits,
    Ping,
    Role,
    TextPart,
)

BOTH_TAKEOVERS = pytest.mark.parametrize("takeover", [False, True], ids=["anew", "takeover"])

TEXTS = "naïve café, 日本語, 🎉"


def joined(events: Sequence[Event]) -> list[str | bytes]:
    """The messages that the parts make; checks that each ends with a part that says so."""
    messages: list[str | bytes] = []
    content: list[Any] = []
    for event in events:
        assert isinstance(event, (TextPart, BytesPart))
        content.append(event.text if isinstance(event, TextPart) else event.data)
        if event.final:
            messages.append(("" if isinstance(event, TextPart) else b"").join(content))
            content = []
    assert content == [], "a message has not ended"
    return messages


# ---- What comes when ----


@BOTH_ROLES
def test_whole_frames_are_parts(role: Role) -> None:
    stream = b"".join([
        to(role, TEXT, b"whole"),
        to(role, BINARY, b"one", fin=False),
        to(role, CONT, b"two", fin=False),
        to(role, CONT, b"three"),
        to(role, TEXT),
    ])  # fmt: skip
    assert feed(Connection(role, parts=True), [stream]) == [
        TextPart("whole", True),
        BytesPart(b"one", False),
        BytesPart(b"two", False),
        BytesPart(b"three", True),
        TextPart("", True),
    ]


@BOTH_ROLES
def test_each_read_gives_what_it_brought(role: Role) -> None:
    """Below the size of a frame too; a part is final when the last byte of the last frame is there."""
    frames = to(role, BINARY, b"0123456789", fin=False), to(role, CONT, b"ab")
    connection = Connection(role, parts=True)
    header = len(frames[0]) - 10
    assert feed(connection, [frames[0][: header + 4]]) == [BytesPart(b"0123", False)]
    assert feed(connection, [frames[0][header + 4 : -1]]) == [BytesPart(b"45678", False)]
    assert feed(connection, [frames[0][-1:] + frames[1][:-1]]) == [BytesPart(b"9", False), BytesPart(b"a", False)]
    assert feed(connection, [frames[1][-1:]]) == [BytesPart(b"b", True)]


@BOTH_ROLES
@EVERY_CHUNKING
def test_text_is_cut_between_characters(role: Role, chunk: Chunking) -> None:
    encoded = TEXTS.encode()
    for at in range(len(encoded)):
        stream = b"".join(fragments(role, TEXT, encoded, [at], rsv=0))
        assert joined(feed(Connection(role, parts=True), chunk(stream))) == [TEXTS]


@BOTH_ROLES
def test_a_part_of_a_character_waits(role: Role) -> None:
    connection = Connection(role, parts=True)
    parts = [feed(connection, [frame]) for frame in fragments(role, TEXT, "a🎉b".encode(), [2, 1, 1, 1], rsv=0)]
    assert parts == [
        [TextPart("a", False)],
        [TextPart("", False)],
        [TextPart("", False)],
        [TextPart("🎉", False)],
        [TextPart("b", True)],
    ]


@BOTH_ROLES
@EVERY_CHUNKING
@pytest.mark.parametrize(
    "bad", [b"\xff", b"a\xc0", b"\xc3(", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x8e"], ids=repr
)
def test_text_that_is_not_utf8_ends_the_connection(role: Role, chunk: Chunking, bad: bytes) -> None:
    first = to(role, TEXT, b"good", fin=False)
    result = outcome(role, first + to(role, CONT, bad), chunk, parts=True)
    assert "".join(event.text for event in result.events if isinstance(event, TextPart)) in ("good", "gooda")
    assert not any(isinstance(event, TextPart) and event.final for event in result.events)
    check_failed(result, role, 1007, "8.1", len(first))


@BOTH_ROLES
@pytest.mark.parametrize(
    ("bad", "at"),
    [
        (b"\xff", 1),
        (b"\xc0\xaf", 1),
        (b"\xe0\x80", 2),
        (b"\xed\xa0", 2),
        (b"\xf0\x80", 2),
        (b"\xf4\x90", 2),
        (b"\xf5", 1),
    ],
)
def test_the_first_bad_byte_ends_the_connection(role: Role, bad: bytes, at: int) -> None:
    """In a frame of which more is to come."""
    connection = Connection(role, parts=True)
    frame = to(role, TEXT, b"good" + bad + bytes(10), fin=False)
    header = len(frame) - 14 - len(bad)
    assert feed(connection, [frame[: header + 4]]) == [TextPart("good", False)]
    for octet in frame[header + 4 : header + 4 + at]:
        assert not connection.closed
        feed(connection, [bytes([octet])])
    assert connection.closed


@BOTH_ROLES
@EVERY_CHUNKING
def test_control_frames_come_between_parts(role: Role, chunk: Chunking) -> None:
    stream = to(role, PING, b"!").join(fragments(role, BINARY, b"abcdef", [2, 2], rsv=0))
    events = feed(Connection(role, parts=True), chunk(stream))
    assert [event for event in events if isinstance(event, Ping)] == [Ping(b"!")] * 2
    assert joined([event for event in events if not isinstance(event, Ping)]) == [b"abcdef"]


@BOTH_ROLES
def test_a_message_that_does_not_end(role: Role) -> None:
    """End of file in the middle: the parts were given, none was final, and the end says where it was."""
    for cut, how in ((1, CloseCause.EOF_IN_FRAME), (0, CloseCause.EOF_IN_MESSAGE)):
        connection = Connection(role, parts=True)
        frame = to(role, BINARY, b"abc", fin=False)
        events = feed(connection, [frame[: len(frame) - cut], b""])
        assert events[0] == BytesPart(b"abc"[: 3 - cut], False)
        assert isinstance(events[-1], Closed)
        assert events[-1].cause is how


# ---- Limits ----


@BOTH_ROLES
@EVERY_CHUNKING
def test_the_limit_of_a_message_holds(role: Role, chunk: Chunking) -> None:
    """It is refused by the header that takes it over the limit."""
    parts = fragments(role, BINARY, bytes(1001), [500, 500], rsv=0)
    header_of_last = parts[2][:-1]
    at = len(parts[0] + parts[1])
    result = outcome(role, parts[0] + parts[1] + header_of_last, chunk, parts=True, limits=Limits(message=1000))
    assert sum(len(event.data) for event in result.events if isinstance(event, BytesPart)) == 1000
    check_failed(result, role, 1009, "10.4", at)


@pytest.mark.measured
@BOTH_ROLES
@BOTH_TAKEOVERS
def test_the_limit_of_a_compressed_message_holds(role: Role, takeover: bool) -> None:
    for limit in (1000, 65_536, 100_000):
        for overshoot in (0, 1, 300, 10 * MIB):
            connection = compressing(role, takeover=takeover, parts=True, limits=Limits(message=limit))
            events = feed(connection, [to(role, BINARY, deflated(bytes(limit + overshoot)), rsv=4)])
            given_bytes = sum(len(event.data) for event in events if isinstance(event, BytesPart))
            assert given_bytes <= limit
            if overshoot:
                assert isinstance(events[-1], Closed)
                assert events[-1].code == CloseCode.MESSAGE_TOO_BIG
            else:
                assert joined(events) == [bytes(limit)]


@BOTH_ROLES
def test_the_limit_of_a_frame_holds(role: Role) -> None:
    result = outcome(role, to(role, BINARY, declared=101), parts=True, limits=Limits(message=None, frame=100))
    check_failed(result, role, 1009, "10.4", 0)


@pytest.mark.measured
@BOTH_ROLES
def test_a_bomb_is_given_in_portions(role: Role) -> None:
    """One call returns a bounded part of it; the rest is `unread` and comes with the next calls, also after the
    end."""
    connection = compressing(role, parts=True, limits=Limits(message=None, memory=MIB))
    data = rfc6455.serialize_frame(
        rfc6455.Frame(rfc6455.Opcode.BINARY, deflated(bytes(64 * MIB)), rsv=4), KEY if role is SERVER else None
    )
    batches = [connection.receive_data(data), connection.receive_data(b"")]
    while connection.unread:
        batches.append(connection.receive_data(None))
    total = 0
    for batch in batches:
        sizes = [len(event.data) for event in batch if isinstance(event, BytesPart)]
        assert max(sizes) <= rfc6455.deflate.MAX_PIECE
        assert sum(sizes) <= 2 * MIB
        total += sum(sizes)
    assert total == 64 * MIB
    last = batches[-1]
    assert isinstance(last[-1], Closed)
    assert last[-1].cause is CloseCause.EOF_IDLE


# ---- Streaming, through both ends ----


def send_in_fragments(connection: Connection, pieces: Iterator[bytes], compress: bool) -> Iterator[bytes]:
    """Send one message of all pieces; return what is to be written for each."""
    for piece in pieces:
        connection.send_bytes(piece, fin=False, compress=compress)
        yield connection.data_to_send()
    connection.send_bytes(b"", compress=compress)
    yield connection.data_to_send()


READ = 64 << 10

# Every byte value, and no two pieces alike.
PATTERN = bytes(range(256)) * (READ // 256)


def pieces_of(total: int) -> Iterator[bytes]:
    for number in range(total // READ):
        yield number.to_bytes(8, "big") + PATTERN[8:]


def stream_through_both_ends(role: Role, total: int, compress: bool, takeover: bool) -> int:
    """Send one message of ``total`` bytes from ``role`` to its peer, and return the peak of memory."""
    limits = Limits(message=None, memory=MIB)
    codecs = {end: [codec_of(end, level=1, **both_takeovers(takeover))] if compress else [] for end in Role}
    sender = Connection(role, codecs[role], limits=limits)
    receiver = Connection(role.peer, codecs[role.peer], limits=limits, parts=True)
    received = 0
    expected = pieces_of(total)
    window = b""
    with Memory() as memory:
        for written in send_in_fragments(sender, pieces_of(total), compress):
            for event in receiver.receive_data(written):
                assert isinstance(event, BytesPart)
                received += len(event.data)
                window += event.data
            while len(window) >= READ:
                assert window[:READ] == next(expected)
                window = window[READ:]
            assert not receiver.unread
        assert event.final
        peak = memory.peak
    assert received == total
    assert window == b""
    return peak


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize(
    "total", [64 * MIB, pytest.param(1024 * MIB, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_message_larger_than_memory(role: Role, total: int) -> None:
    assert stream_through_both_ends(role, total, compress=False, takeover=False) < MIB


@pytest.mark.measured
@BOTH_ROLES
@BOTH_TAKEOVERS
@pytest.mark.parametrize(
    "total", [16 * MIB, pytest.param(1024 * MIB, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_a_compressed_message_larger_than_memory(role: Role, takeover: bool, total: int) -> None:
    assert stream_through_both_ends(role, total, compress=True, takeover=takeover) < MIB


# ---- Anything at all ----

CONTENTS = st.lists(
    st.tuples(
        st.one_of(st.text(max_size=40), st.binary(max_size=60), st.just(bytes(70_000))),
        st.sampled_from([None, True, False]),
        st.lists(st.integers(0, 80), max_size=3),
    ),
    max_size=5,
)


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_the_parts_make_the_message(role: Role, takeover: bool) -> None:
    @given(contents=CONTENTS, cuts=st.lists(st.integers(0, 500), max_size=10))
    def run(contents: list[Any], cuts: list[int]) -> None:
        sender = compressing(role, takeover=takeover)
        receiver = compressing(role.peer, takeover=takeover, parts=True)
        for content, compress, places in contents:
            send = sender.send_text if isinstance(content, str) else sender.send_bytes
            edges = sorted(place % (len(content) + 1) for place in places)
            for start, stop in zip([0, *edges], edges, strict=False):
                send(content[start:stop], fin=False, compress=compress)
            send(content[edges[-1] if edges else 0 :], compress=compress)
        events = feed(receiver, cut_at(sender.data_to_send(), cuts))
        assert joined(events) == [content for content, _, _ in contents]

    run()
