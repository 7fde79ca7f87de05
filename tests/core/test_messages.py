"""Messages (5.4, 5.6, 8.1): fragments joined, UTF-8 at the first bad byte, limits on the declared length, parts,
extensions (9), and messages that are serialised once."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from helpers import (
    BINARY,
    BOTH_ROLES,
    CHUNKINGS,
    CLOSE,
    CONT,
    EVERY_CHUNKING,
    PING,
    PONG,
    TEXT,
    Chunking,
    Failure,
    Seen,
    byte_by_byte,
    check_failed,
    cut_at,
    feed,
    keys_of,
    new_connection,
    outcome,
    read_frames,
    same_outcome,
    to,
)
from hypothesis import given
from hypothesis import strategies as st
from tiny_extension import RunsCodec, ShiftCodec, run, shifted

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    BytesPart,
    CloseCause,
    Closed,
    Connection,
    Direction,
    Event,
    Limits,
    LocalProtocolError,
    MessageCodec,
    Ping,
    PreparedMessage,
    Role,
    TextMessage,
    TextPart,
)
from rfc6455.limits import OBJECT_OVERHEAD

UNLIMITED = Limits(message=None)

# Joining (5.4).


@pytest.mark.clause(
    "6455:5.4-fragments-keep-their-order",
    "6455:5.4-fragmented-or-not",
    "6455:5.4-one-type",
    "6455:6.2-type-is-noted",
    "6455:6.2-next-message",
)
@BOTH_ROLES
@pytest.mark.parametrize(
    "fragments",
    [
        [b""],
        [b"Hello"],
        [b"Hel", b"lo"],
        [b"", b"Hello"],
        [b"Hello", b""],
        [b"", b""],
        [b"", b"", b"H", b"", b"ello", b""],
        [b"x" * 125, b"y" * 126, b"z" * 1000],
        [b"%d," % number for number in range(100)],
    ],
)
def test_fragments_are_joined(role: Role, fragments: list[bytes]) -> None:
    joined = b"".join(fragments)
    for opcode, event in ((TEXT, TextMessage(joined.decode())), (BINARY, BytesMessage(joined))):
        data = fragmented(role, opcode, fragments)
        assert same_outcome(role, data + data).events == [event, event]


def fragmented(role: Role, opcode: int, fragments: Sequence[bytes], between: bytes = b"", rsv: int = 0) -> bytes:
    """A message in these fragments, with ``between`` before each but the first."""
    last = len(fragments) - 1
    pieces = [
        to(role, CONT if at else opcode, fragment, fin=at == last, rsv=0 if at else rsv)
        for at, fragment in enumerate(fragments)
    ]
    return between.join(pieces)


@pytest.mark.clause(
    "6455:5.4-control-inside-a-message",
    "6455:5.5.2-ping-is-answered-soon",
    "6455:6.2-control-is-handled",
)
@BOTH_ROLES
def test_control_frames_in_the_middle_of_a_message_come_at_once(role: Role) -> None:
    """5.4: "Control frames [...] MAY be injected in the middle of a fragmented message"."""
    between = to(role, PING, b"1") + to(role, PONG, b"2")
    result = same_outcome(role, fragmented(role, TEXT, [b"a", b"\xe2\x82", b"\xac", b"b"], between))
    kinds = [type(event).__name__ for event in result.events]
    assert kinds == ["Ping", "Pong"] * 3 + ["TextMessage"]
    assert result.events[-1] == TextMessage("a€b")
    assert read_frames(result.output, role) == [(PONG, b"1", True, 0)] * 3


@pytest.mark.clause("6455:5.4-control-inside-a-message")
@BOTH_ROLES
def test_a_close_in_the_middle_of_a_message_ends_it(role: Role) -> None:
    data = to(role, TEXT, b"begun", fin=False) + to(role, CLOSE, b"\x03\xe8")
    result = same_outcome(role, data + to(role, CONT, b"late"))
    assert result.events == []
    assert result.closed == Closed(1000, "", True, None, CloseCause.HANDSHAKE_IN_MESSAGE)


# UTF-8 (8.1). The Unicode standard, table 3-7: which bytes may follow which.

FOLLOWERS: list[tuple[range, list[range]]] = [
    (range(0x80), []),
    (range(0xC2, 0xE0), [range(0x80, 0xC0)]),
    (range(0xE0, 0xE1), [range(0xA0, 0xC0), range(0x80, 0xC0)]),
    (range(0xE1, 0xED), [range(0x80, 0xC0)] * 2),
    (range(0xED, 0xEE), [range(0x80, 0xA0), range(0x80, 0xC0)]),
    (range(0xEE, 0xF0), [range(0x80, 0xC0)] * 2),
    (range(0xF0, 0xF1), [range(0x90, 0xC0), range(0x80, 0xC0), range(0x80, 0xC0)]),
    (range(0xF1, 0xF4), [range(0x80, 0xC0)] * 3),
    (range(0xF4, 0xF5), [range(0x80, 0x90), range(0x80, 0xC0), range(0x80, 0xC0)]),
]


def first_bad(data: bytes) -> int | None:
    """Return the place of the first byte that no text can have there; the length, if the last character is cut off."""
    expected: list[range] = []
    for at, octet in enumerate(data):
        if expected:
            if octet not in expected.pop(0):
                return at
            continue
        for leads, followers in FOLLOWERS:
            if octet in leads:
                expected = list(followers)
                break
        else:
            return at
    return len(data) if expected else None


VALID_TEXTS = [
    "",
    "plain",
    "κόσμε",
    "\x00 \x7f \x80 \u07ff \u0800 \uffff \U00010000 \U0010ffff",
    "\ud7ff\ue000\ufeff\ufdd0\ufffe",
    "🏳️‍🌈 été 漢字",
]

# Each begins with two characters that are good.
INVALID_TEXTS = {
    "a follower alone": b"\x80",
    "the last follower alone": b"\xbf",
    "overlong solidus in 2": b"\xc0\xaf",
    "overlong U+7F in 2": b"\xc1\xbf",
    "overlong solidus in 3": b"\xe0\x80\xaf",
    "overlong U+7FF in 3": b"\xe0\x9f\xbf",
    "overlong solidus in 4": b"\xf0\x80\x80\xaf",
    "overlong U+FFFF in 4": b"\xf0\x8f\xbf\xbf",
    "first surrogate": b"\xed\xa0\x80",
    "last surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "U+110000": b"\xf4\x90\x80\x80",
    "a lead of F5": b"\xf5\x80\x80\x80",
    "5 bytes": b"\xf8\x88\x80\x80\x80",
    "6 bytes": b"\xfc\x84\x80\x80\x80\x80",
    "FE": b"\xfe",
    "FF": b"\xff",
    "1 of 2, then ASCII": b"\xc3x",
    "1 of 3, then ASCII": b"\xe2xy",
    "2 of 3, then ASCII": b"\xe2\x82x",
    "3 of 4, then ASCII": b"\xf0\x9f\x92x",
    "2 of 4, then another lead": b"\xf0\x9f\xe2\x82\xac",
    "1 of 2 at the end": b"\xc3",
    "1 of 3 at the end": b"\xe2",
    "2 of 3 at the end": b"\xe2\x82",
    "3 of 4 at the end": b"\xf0\x9f\x92",
}
BAD_TEXT = pytest.mark.parametrize(
    "text", [b"x\xc3\xa9" + bad for bad in INVALID_TEXTS.values()], ids=list(INVALID_TEXTS)
)


def test_the_oracle_agrees_with_python() -> None:
    for text in VALID_TEXTS:
        assert first_bad(text.encode()) is None
    for lead, second, third in itertools.product(
        range(0x70, 0x100), (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF), (0x80, 0xC0)
    ):
        data = bytes([lead, second, third, 0x80])
        try:
            data.decode()
        except UnicodeDecodeError:
            assert first_bad(data) is not None
        else:
            assert first_bad(data) is None


@pytest.mark.clause("6455:5.6-text-is-utf8")
@BOTH_ROLES
@pytest.mark.parametrize("text", VALID_TEXTS)
def test_good_text_cut_anywhere(role: Role, text: str) -> None:
    data = text.encode()
    assert same_outcome(role, to(role, TEXT, data)).events == [TextMessage(text)]
    for cut in range(len(data) + 1):
        wire_data = fragmented(role, TEXT, [data[:cut], data[cut:]])
        assert same_outcome(role, wire_data).events == [TextMessage(text)]
    by_bytes = fragmented(role, TEXT, byte_by_byte(data) or [b""], between=to(role, PONG, b"\xff"))
    assert same_outcome(role, by_bytes).events[-1] == TextMessage(text)


def fed_until_closed(connection: Connection, data: bytes) -> tuple[int, Closed]:
    """Feed one byte at a time; return how many it took until the end, and the end."""
    for fed, portion in enumerate(byte_by_byte(data), 1):
        events = connection.receive_data(portion)
        if events and isinstance(events[-1], Closed):
            return fed, events[-1]
    raise AssertionError("not closed")


@pytest.mark.clause("6455:5.6-text-is-utf8", "6455:8.1-bad-utf8-fails")
@BOTH_ROLES
@BAD_TEXT
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("fin", [True, False], ids=["whole", "first fragment"])
def test_bad_text_fails_at_the_first_bad_byte(role: Role, text: bytes, parts: bool, fin: bool) -> None:
    """8.1, and not before, nor after: what follows the bad byte has not even been sent yet."""
    text += b"tail" if first_bad(text) != len(text) else b""
    bad = first_bad(text)
    assert bad is not None
    data = to(role, TEXT, text, fin=fin)
    header = len(data) - len(text)
    end_of_message = b"" if fin else to(role, CONT)
    if bad == len(text):
        # Nothing is wrong before the message ends.
        expected = len(data + end_of_message)
        offset = 0 if fin else len(data)
    else:
        expected = header + bad + 1
        offset = 0
    fed, closed = fed_until_closed(new_connection(role, parts=parts), data + end_of_message)
    assert fed == expected
    assert closed.code == 1007
    check_failed(outcome(role, data + end_of_message), role, 1007, "8.1", offset)


@BOTH_ROLES
@BAD_TEXT
def test_bad_text_cut_anywhere_names_the_frame_with_the_bad_byte(role: Role, text: bytes) -> None:
    bad = first_bad(text)
    assert bad is not None
    for cut in range(len(text) + 1):
        prefix = to(role, PING, b"first")
        first = to(role, TEXT, text[:cut], fin=False)
        data = prefix + first + to(role, CONT, text[cut:])
        result = same_outcome(role, data + to(role, TEXT, b"late"))
        offset = len(prefix) if bad < cut else len(prefix + first)
        check_failed(result, role, 1007, "8.1", offset)
        assert result.events == [Ping(b"first")]
        assert read_frames(result.output, role)[0] == (PONG, b"first", True, 0)


# A large text in several scripts, which is decoded as it arrives: each of these is repeated a number of times.
RUNS = st.lists(
    st.tuples(
        st.sampled_from(
            ["a", "\x7f", "\x80", "\xff", "\u0100", "\u07ff", "\u0800", "\uffff", "\U00010000", "a\xe9", "b\u6f22"]
        ),
        st.sampled_from([1, 7, 100, 4090, 9000]),
    ),
    max_size=8,
)


@given(RUNS, st.lists(st.integers(0, 60_000), max_size=6), st.booleans())
def test_large_text_cut_anywhere(runs: list[tuple[str, int]], places: list[int], in_fragments: bool) -> None:
    text = "".join([run * count for run, count in runs])
    connection = new_connection(SERVER)
    pieces = cut_at(text.encode(), places) or [b""]
    wire_data = [fragmented(SERVER, TEXT, pieces)] if in_fragments else cut_at(to(SERVER, TEXT, text.encode()), places)
    (event,) = feed(connection, wire_data)
    assert event == TextMessage(text)
    # It takes the memory of its widest character, and no more.
    assert isinstance(event, TextMessage)
    assert sys.getsizeof(event.text) == sys.getsizeof(text)
    assert connection.retained_bytes == 0


@BAD_TEXT
@given(RUNS, st.lists(st.integers(0, 60_000), max_size=6))
def test_bad_bytes_in_large_text(text: bytes, runs: list[tuple[str, int]], places: list[int]) -> None:
    good = "".join([run * count for run, count in runs]).encode()
    bad = first_bad(text)
    assert bad is not None
    bad += len(good)
    data = to(SERVER, TEXT, good + text, fin=False)
    end = len(data) - len(good + text) + bad
    connection = new_connection(SERVER)
    assert feed(connection, cut_at(data[:end], places)) == []
    (closed,) = connection.receive_data(data[end : end + 1] or to(SERVER, CONT))
    assert isinstance(closed, Closed)
    assert closed.code == 1007


@pytest.mark.clause("6455:8.1-bad-utf8-fails")
@given(st.binary(max_size=12) | st.text(max_size=8).map(lambda text: text.encode()), st.lists(st.integers(0, 20)))
def test_any_bytes_as_text(data: bytes, places: list[int]) -> None:
    result = same_outcome(SERVER, fragmented(SERVER, TEXT, cut_at(data, places) or [b""]))
    if first_bad(data) is None:
        assert result.events == [TextMessage(data.decode())]
    else:
        assert result.events == []
        assert result.failure is not None
        assert result.failure.close_code == 1007


@BOTH_ROLES
def test_binary_is_not_looked_at(role: Role) -> None:
    data = bytes(range(256))
    assert same_outcome(role, fragmented(role, BINARY, [data, data])).events == [BytesMessage(data + data)]


# The message limit (10.4): on the declared length, before the payload is there.


@pytest.mark.clause("6455:10.4-limits-hold")
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("over", [1, 2, 3, 100, 300, 70_000, 1 << 40, (1 << 63) - 101])
def test_one_frame_over_the_limit_fails_at_its_header(role: Role, opcode: int, over: int) -> None:
    header = to(role, opcode, declared=100 + over)
    result = same_outcome(role, header, limits=Limits(message=100))
    check_failed(result, role, 1009, "10.4", 0)


@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("over", [1, 2, 100])
def test_a_whole_message_over_the_limit_is_neither_cut_nor_delivered(role: Role, opcode: int, over: int) -> None:
    before = to(role, opcode, b"x" * 100)
    data = before + to(role, opcode, b"x" * (100 + over)) + to(role, opcode, b"late")
    result = same_outcome(role, data, limits=Limits(message=100))
    check_failed(result, role, 1009, "10.4", len(before))
    assert len(result.events) == 1


@pytest.mark.exhaustive
@pytest.mark.clause("6455:10.4-limits-are-there")
@BOTH_ROLES
def test_the_limit_itself_is_allowed_and_every_overshoot_is_not(role: Role) -> None:
    for over in range(-2, 301):
        for first in (0, 99):
            data = to(role, TEXT, b"x" * first, fin=False)
            message = data + to(role, CONT, b"y" * (100 + over - first))
            result = outcome(role, message, limits=Limits(message=100))
            again = outcome(role, message, byte_by_byte, limits=Limits(message=100))
            assert result.summary() == again.summary()
            if over <= 0:
                assert result.events == [TextMessage("x" * first + "y" * (100 + over - first))]
            else:
                assert result.failure == Failure(1009, "10.4", len(data))
                assert result.events == []


@pytest.mark.clause("6455:10.4-limits-hold")
@BOTH_ROLES
@pytest.mark.parametrize("limits", [Limits(message=100), Limits(message=100, frame=1000)])
def test_the_header_of_the_fragment_that_goes_over_is_enough(role: Role, limits: Limits) -> None:
    begin = to(role, BINARY, bytes(60), fin=False)
    data = begin + to(role, CONT, declared=41)
    check_failed(same_outcome(role, data, limits=limits), role, 1009, "10.4", len(begin))
    fits = begin + to(role, CONT, bytes(40))
    assert same_outcome(role, fits, limits=limits).events == [BytesMessage(bytes(100))]


@BOTH_ROLES
@pytest.mark.parametrize("rsv", [0, 1], ids=["as it is", "decoded"])
def test_words_for_a_message_whose_fragments_are_too_much(role: Role, rsv: int) -> None:
    fragments = [b"x" * 60, b"x" * 41] if rsv == 0 else [run(60, b"x"), run(500, b"x")]
    connection = new_connection(role, extensions=[RunsCodec()], limits=Limits(message=100))
    (closed,) = connection.receive_data(fragmented(role, TEXT, fragments, rsv=rsv))
    assert isinstance(closed, Closed)
    assert closed.error is not None
    assert closed.error.reason == "a message of 101 bytes or more; Limits(message=100) allows no more"


@BOTH_ROLES
def test_lengths_that_add_up_to_more_than_63_bits(role: Role) -> None:
    begin = to(role, BINARY, b"12345", fin=False)
    data = begin + to(role, CONT, b"some", declared=(1 << 63) - 1)
    check_failed(same_outcome(role, data, limits=UNLIMITED), role, 1009, "10.4", len(begin))
    alone = to(role, BINARY, b"some", declared=(1 << 63) - 1)
    assert same_outcome(role, alone, limits=UNLIMITED).closed is None


@BOTH_ROLES
def test_control_frames_fit_into_a_message_that_is_full(role: Role) -> None:
    limits = Limits(message=100, frame=100)
    full = to(role, TEXT, b"x" * 100, fin=False)
    data = full + to(role, PING, bytes(125)) + to(role, PONG, bytes(125)) + to(role, CONT, b"")
    result = same_outcome(role, data, limits=limits)
    assert [type(event).__name__ for event in result.events] == ["Ping", "Pong", "TextMessage"]
    farewell = full + to(role, CLOSE, b"\x03\xe8" + b"r" * 123)
    expected = Closed(1000, "r" * 123, True, None, CloseCause.HANDSHAKE_IN_MESSAGE)
    assert same_outcome(role, farewell, limits=limits).closed == expected


@BOTH_ROLES
def test_the_limit_begins_anew_with_each_message(role: Role) -> None:
    data = fragmented(role, BINARY, [bytes(50), bytes(50)]) + to(role, BINARY, bytes(100))
    result = same_outcome(role, data * 3, limits=Limits(message=100))
    assert result.events == [BytesMessage(bytes(100))] * 6


@BOTH_ROLES
def test_frame_limit_of_a_connection(role: Role) -> None:
    limits = Limits(message=1000, frame=10)
    data = fragmented(role, BINARY, [bytes(10)] * 5)
    assert same_outcome(role, data, limits=limits).events == [BytesMessage(bytes(50))]
    check_failed(same_outcome(role, data + to(role, TEXT, declared=11), limits=limits), role, 1009, "10.4", len(data))


@pytest.mark.exhaustive
@BOTH_ROLES
@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 2 << 20, 3 << 20, 6 << 20])
@pytest.mark.parametrize("fragment", [10_000, 1 << 30], ids=["fragments", "one frame"])
@pytest.mark.parametrize("read", [16 << 10, 64 << 10, 200_000])
def test_a_message_of_just_the_limit_is_taken_however_it_is_read(
    role: Role, size: int, fragment: int, read: int
) -> None:
    """No honest message may be refused: the budget that follows from the limit has room for it."""
    fragments = [bytes(min(fragment, size - at)) for at in range(0, size, fragment)]
    # With a key of zeros, what is masked is what it was.
    headers = fragmented_headers(role, [len(each) for each in fragments])
    data = b"".join(header + payload for header, payload in zip(headers, fragments, strict=True))
    connection = new_connection(role, limits=Limits(message=size))
    assert feed(connection, [data[at : at + read] for at in range(0, len(data), read)]) == [BytesMessage(bytes(size))]


@pytest.mark.exhaustive
@pytest.mark.parametrize("size", [5000, 1 << 16, 1 << 20, 3 << 20])
@pytest.mark.parametrize("fragment", [10_000, 1 << 30], ids=["fragments", "one frame"])
@pytest.mark.parametrize("read", [1000, 64 << 10, 200_000])
@pytest.mark.parametrize(
    "run", ["a", "\xe9", "Привет, мир; ", "a" * 17 + "漢", "a" * 18 + "漢", "a" * 36 + "漢", "漢", "a" * 9 + "😀"]
)
def test_a_text_of_just_the_limit_is_taken_however_it_is_read(size: int, fragment: int, read: int, run: str) -> None:
    """Whatever its characters are, and wherever they are among ASCII."""
    half = run * (size // 2 // len(run.encode()))
    filler = "a" * (size - 2 * len(half.encode()))
    for text in (
        half + half + filler,
        half + filler + "a" * len(half.encode()),
        "a" * len(half.encode()) + filler + half,
    ):
        payload = text.encode()
        fragments = [payload[at : at + fragment] for at in range(0, size, fragment)]
        headers = fragmented_headers(SERVER, [len(each) for each in fragments], TEXT)
        data = b"".join(header + payload for header, payload in zip(headers, fragments, strict=True))
        connection = new_connection(SERVER, limits=Limits(message=size))
        assert feed(connection, [data[at : at + read] for at in range(0, len(data), read)]) == [TextMessage(text)]


def fragmented_headers(role: Role, lengths: list[int], opcode: int = BINARY) -> list[bytes]:
    key = bytes(4) if role is SERVER else None
    last = len(lengths) - 1
    return [
        to(role, CONT if at else opcode, fin=at == last, declared=length, key=key) for at, length in enumerate(lengths)
    ]


# Memory: only the message itself is kept, however it comes.


@pytest.mark.measured
@BOTH_ROLES
def test_a_budget_without_a_message_limit_bounds_a_message_that_never_ends(role: Role) -> None:
    limits = Limits(message=None, memory=100_000)
    connection = new_connection(role, limits=limits)
    connection.receive_data(to(role, BINARY, b"", fin=False))
    fragments = to(role, CONT, b"x", fin=False) * 10_000
    sent = 0
    events: list[Event] = []
    while not events:
        events = connection.receive_data(fragments)
        sent += 10_000
        assert connection.retained_bytes <= 100_000
    assert 40_000 <= sent <= 110_000
    assert [type(event) for event in events] == [Closed]
    assert (events[0].code, events[0].error.section) == (1009, "10.4")  # type: ignore[attr-defined]


@BOTH_ROLES
def test_nothing_is_kept_before_the_first_message(role: Role) -> None:
    assert new_connection(role).retained_bytes == 0


@pytest.mark.measured
@BOTH_ROLES
def test_empty_fragments_without_end_take_no_memory_and_are_charged(role: Role) -> None:
    connection = new_connection(role)
    connection.receive_data(to(role, BINARY, b"", fin=False))
    fragments = to(role, CONT, b"", fin=False) * 2_000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            assert connection.receive_data(fragments) == []
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert connection.retained_bytes == (5 * 2_000 + 1) * OBJECT_OVERHEAD
    assert after - before < len(fragments) + 2000


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [1, 100])
def test_dribbled_messages_keep_at_most_twice_what_they_are(role: Role, opcode: int, size: int) -> None:
    """Bytes that come one at a time, in one frame or in fragments, leave nothing behind but themselves."""
    total = 8_000
    fragments = to(role, opcode, b"x" * size, fin=False) + to(role, CONT, b"x" * size, fin=False) * (total // size - 1)
    for data in (to(role, opcode, b"x" * total)[:-1], fragments):
        connection = new_connection(role)
        tracemalloc.start()
        try:
            for at in range(len(data)):
                connection.receive_data(data[at : at + 1])
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert total - 1 <= connection.retained_bytes < 2 * total
        assert total - 1 <= kept < 2 * total + 2000


# Parts, as they arrive.


def joined(events: Sequence[Event]) -> list[Event]:
    """Join parts to messages."""
    messages: list[Event] = []
    texts: list[str] = []
    datas: list[bytes] = []
    for event in events:
        match event:
            case TextPart(text, final):
                assert not datas
                texts.append(text)
                if final:
                    messages.append(TextMessage("".join(texts)))
                    texts = []
            case BytesPart(data, final):
                assert not texts
                datas.append(data)
                if final:
                    messages.append(BytesMessage(b"".join(datas)))
                    datas = []
            case _:
                messages.append(event)
    assert not texts
    assert not datas
    return messages


@BOTH_ROLES
@EVERY_CHUNKING
def test_parts_add_up_to_the_messages(role: Role, chunk: Chunking) -> None:
    data = (
        fragmented(role, TEXT, [b"a\xe2\x82", b"\xacb", b"", b"c"], to(role, PONG, b"!"))
        + to(role, BINARY, bytes(range(256)))
        + to(role, TEXT, b"")
        + fragmented(role, BINARY, [b"", b""])
        + to(role, TEXT, "😀".encode() * 50)
    )
    result = outcome(role, data, chunk, parts=True)
    expected = outcome(role, data).events
    assert joined(result.events) == expected
    assert result.closed is None


def test_parts_come_at_once_and_are_cut_between_characters() -> None:
    client = new_connection(CLIENT, parts=True)
    assert client.receive_data(b"\x01\x05a\xe2") == [TextPart("a", False)]
    assert client.receive_data(b"\x82") == [TextPart("", False)]
    assert client.receive_data(b"\xacb") == [TextPart("€b", False)]
    assert client.retained_bytes == 0
    assert client.receive_data(b"\x80\x01c\x82\x02x") == [TextPart("c", True), BytesPart(b"x", False)]
    assert client.receive_data(b"y") == [BytesPart(b"y", True)]


def test_the_beginning_of_a_character_is_kept_and_counted() -> None:
    client = new_connection(CLIENT, parts=True)
    assert client.receive_data(b"\x01\x03a\xe2\x82") == [TextPart("a", False)]
    assert client.retained_bytes == 2
    assert client.receive_data(b"\x80\x01\xac") == [TextPart("€", True)]
    assert client.retained_bytes == 0


@BOTH_ROLES
def test_the_message_limit_is_on_the_sum_of_the_parts(role: Role) -> None:
    begin = to(role, BINARY, bytes(60), fin=False)
    result = outcome(role, begin + to(role, CONT, declared=41), limits=Limits(message=100), parts=True)
    check_failed(result, role, 1009, "10.4", len(begin))
    assert result.events == [BytesPart(bytes(60), False)]


@BOTH_ROLES
def test_a_message_of_any_length_passes_through_in_parts(role: Role) -> None:
    connection = new_connection(role, limits=Limits(message=None, memory=10_000), parts=True)
    data = to(role, BINARY, declared=1 << 40)
    assert connection.receive_data(data) == []
    for _ in range(100):
        (part,) = connection.receive_data(bytes(60_000))
        assert isinstance(part, BytesPart)
        assert len(part.data) == 60_000
        assert connection.retained_bytes == 0


@BOTH_ROLES
@BAD_TEXT
def test_bad_text_in_parts(role: Role, text: bytes) -> None:
    for chunk in (byte_by_byte, lambda data: [data]):
        result = outcome(role, to(role, TEXT, text), chunk, parts=True)
        assert result.failure == Failure(1007, "8.1", 0)
        given = "".join(event.text for event in result.events if isinstance(event, TextPart))
        assert "xé".startswith(given)
        assert not any(event.final for event in result.events if isinstance(event, TextPart))


# Sending (5.4, 5.6).


@BOTH_ROLES
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_binary_of_every_kind_is_sent_and_can_be_reused(role: Role, kind: type) -> None:
    connection = new_connection(role)
    buffer = bytearray(b"12345")
    connection.send_bytes(kind(buffer))
    connection.ping(kind(buffer))
    connection.pong(kind(buffer))
    connection.send_prepared(PreparedMessage(kind(buffer)))
    buffer[:] = b"....."
    sent = read_frames(connection.data_to_send(), role)
    assert sent == [(opcode, b"12345", True, 0) for opcode in (BINARY, PING, PONG, BINARY)]


@pytest.mark.clause(
    "6455:5.4-control-is-whole",
    "6455:5.4-fragments-keep-their-order",
    "6455:5.5-not-fragmented",
    "6455:6.1-last-fin",
)
@BOTH_ROLES
def test_fragments_are_sent_with_control_frames_between(role: Role) -> None:
    connection = new_connection(role)
    connection.send_text("Hel", fin=False)
    connection.ping(b"1")
    connection.receive_data(to(role, PING, b"2"))
    connection.send_text("", fin=False)
    connection.send_text("lo")
    connection.send_text("next")
    sent = read_frames(connection.data_to_send(), role)
    pong = Seen(PONG, b"2")
    assert sent.index(pong) >= 2
    sent.remove(pong)
    assert sent == [
        (TEXT, b"Hel", False, 0),
        (PING, b"1", True, 0),
        (CONT, b"", False, 0),
        (CONT, b"lo", True, 0),
        (TEXT, b"next", True, 0),
    ]


@pytest.mark.clause("6455:5.2-length-is-minimal")
@BOTH_ROLES
@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_lengths_sent(role: Role, length: int) -> None:
    connection = new_connection(role)
    connection.send_text("x" * length)
    assert read_frames(connection.data_to_send(), role) == [(TEXT, b"x" * length, True, 0)]


MISUSES: dict[str, tuple[Callable[[Connection], object], type[Exception], str]] = {
    "bytes that are not UTF-8 as text": (lambda ws: ws.send_text(b"x\xff"), LocalProtocolError, "8.1"),
    "None as text": (lambda ws: ws.send_text(None), TypeError, "NoneType"),  # type: ignore[arg-type]
    "text as bytes": (lambda ws: ws.send_bytes("x"), TypeError, "binary data is bytes"),  # type: ignore[arg-type]
    "a number as bytes": (lambda ws: ws.send_bytes(5), TypeError, "int"),  # type: ignore[arg-type]
    "a list as bytes": (lambda ws: ws.send_bytes([1]), TypeError, "list"),  # type: ignore[arg-type]
    "text as ping": (lambda ws: ws.ping("x"), TypeError, "str"),  # type: ignore[arg-type]
    "text as pong": (lambda ws: ws.pong("x"), TypeError, "str"),  # type: ignore[arg-type]
    "a number prepared": (lambda ws: PreparedMessage(5), TypeError, "int"),  # type: ignore[arg-type]
    "a list prepared": (lambda ws: PreparedMessage([1]), TypeError, "list"),  # type: ignore[arg-type]
    "a lone surrogate": (lambda ws: ws.send_text("\ud800"), LocalProtocolError, "8.1"),
    "a lone surrogate prepared": (lambda ws: PreparedMessage("\udfff"), LocalProtocolError, "8.1"),
    "a long ping": (lambda ws: ws.ping(bytes(126)), LocalProtocolError, r"125 bytes, not 126 \(5.5\)"),
    "a long pong": (lambda ws: ws.pong(bytes(126)), LocalProtocolError, r"125 bytes, not 126 \(5.5\)"),
}


@pytest.mark.clause("6455:5.5-at-most-125", "6455:5.6-text-is-utf8")
@BOTH_ROLES
@pytest.mark.parametrize("before", [Direction.IDLE, Direction.IN_MESSAGE])
@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_raises_before_anything_changes(role: Role, before: Direction, misuse: str) -> None:
    act, kind, words = MISUSES[misuse]
    connection = new_connection(role)
    if before is Direction.IN_MESSAGE:
        connection.send_text("begun", fin=False)
    sent_so_far = connection.data_to_send()
    with pytest.raises(kind, match=words):
        act(connection)
    assert connection.data_to_send() == b""
    assert connection.sent is before
    assert not connection.has_data_to_send
    connection.send_text("end")
    opcode = TEXT if before is Direction.IDLE else CONT
    assert read_frames(connection.data_to_send(), role) == [(opcode, b"end", True, 0)]
    assert bool(sent_so_far) is (before is Direction.IN_MESSAGE)


# Extensions (9): two that exist only here.


def shift_only() -> list[MessageCodec]:
    return [ShiftCodec()]


def shift_then_runs() -> list[MessageCodec]:
    return [ShiftCodec(), RunsCodec()]


def encoded_runs(data: bytes) -> bytes:
    return b"".join(run(1, data[at : at + 1]) for at in range(len(data)))


def encoded(data: bytes, rsv: int) -> bytes:
    """What a sender makes of a message that carries these bits: 9.1, the first extension sees the data first."""
    if rsv & 2:
        data = shifted(data, 0, 1)
    if rsv & 1:
        data = encoded_runs(data)
    return data


@pytest.mark.exhaustive
@pytest.mark.clause("6455:5.2-rsv-is-refused", "6455:5.2-opcode-is-refused", "7692:6.1-rsv1-elsewhere-fails")
@BOTH_ROLES
@pytest.mark.parametrize("in_message", [False, True])
@pytest.mark.parametrize(("extensions", "claimed"), [(tuple, 0), (shift_only, 2), (shift_then_runs, 3)])
def test_opcodes_and_reserved_bits_at_each_position(
    role: Role, in_message: bool, extensions: Callable[[], Sequence[MessageCodec]], claimed: int
) -> None:
    """5.2: RSV bits "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values"."""
    before = to(role, BINARY, b"begun", fin=False) if in_message else b""
    for opcode, rsv, fin in itertools.product(range(16), range(8), (True, False)):
        message = b"Hello"
        payload = b"\x03\xe8" if opcode == CLOSE else encoded(message, rsv) if opcode in (TEXT, BINARY) else message
        data = before + to(role, opcode, payload, rsv=rsv, fin=fin)
        result = same_outcome(role, data, extensions=extensions)
        section = section_broken(opcode, rsv, fin, claimed, in_message)
        if section is not None:
            check_failed(result, role, 1002, section, len(before))
        else:
            assert result.failure is None
            assert result.events == events_for(opcode, fin, in_message, message)


def section_broken(opcode: int, rsv: int, fin: bool, claimed: int, in_message: bool) -> str | None:
    if opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
        return "5.2"
    if opcode >= CLOSE:
        return "5.5" if not fin else "5.2" if rsv else None
    if rsv & ~claimed:
        return "5.2"
    if in_message != (opcode == CONT):
        return "5.4"
    return "RFC 7692 6.1" if opcode == CONT and rsv else None


def events_for(opcode: int, fin: bool, in_message: bool, message: bytes) -> list[Event]:
    if opcode == PING:
        return [Ping(message)]
    if opcode >= CLOSE:
        return [] if opcode == CLOSE else outcome(CLIENT, b"\x8a\x05Hello").events
    if not fin:
        return []
    if in_message:
        return [BytesMessage(b"begun" + message)]
    return [TextMessage(message.decode()) if opcode == TEXT else BytesMessage(message)]


@pytest.mark.exhaustive
@BOTH_ROLES
@pytest.mark.parametrize("rsv", [0, 1, 2, 3])
@pytest.mark.parametrize("message", [b"", b"Hello, Hello", "κόσμε €".encode() * 9, bytes(300), b"\xff" * 7])
def test_encoded_messages_in_fragments_cut_anywhere(role: Role, rsv: int, message: bytes) -> None:
    payload = encoded(message, rsv)
    expected = outcome(role, to(role, TEXT, message))
    for cut in {*range(min(12, len(payload) + 1)), len(payload)}:
        data = fragmented(role, TEXT, [payload[:cut], payload[cut:]], to(role, PONG), rsv=rsv) + to(
            role, TEXT, b"plain"
        )
        result = same_outcome(role, data, extensions=shift_then_runs)
        if expected.failure is None:
            assert [each for each in result.events if isinstance(each, TextMessage)] == [
                *expected.events,
                TextMessage("plain"),
            ]
        else:
            assert result.failure is not None
            assert result.failure.close_code == 1007
    parts = outcome(role, data, byte_by_byte, extensions=shift_then_runs, parts=True)
    if expected.failure is None:
        assert joined(parts.events) == result.events


@BOTH_ROLES
def test_an_extension_sees_the_end_of_a_message_only_when_the_one_before_it_has_given_all(role: Role) -> None:
    """What comes out of one extension in many pieces is still one message for the next."""
    message = shifted(bytes(200_000), 0, -1)
    wire_data = run(0xFFFF, b"\0") * 3 + run(200_000 - 3 * 0xFFFF, b"\0")
    data = to(role, BINARY, wire_data, rsv=3) + to(role, BINARY, encoded(b"next", 3), rsv=3)
    assert same_outcome(role, data, extensions=shift_then_runs).events == [
        BytesMessage(message),
        BytesMessage(b"next"),
    ]


@BOTH_ROLES
def test_messages_sent_through_extensions(role: Role) -> None:
    connection = new_connection(role, extensions=shift_then_runs())
    connection.send_text("aab")
    connection.send_bytes(b"aab", compress=False)
    connection.send_text("aa", fin=False)
    connection.ping(b"aab")
    connection.send_text("b")
    connection.close(1000, "aab")
    assert read_frames(connection.data_to_send(), role) == [
        (TEXT, encoded(b"aab", 3), True, 3),
        (BINARY, b"aab", True, 0),
        (TEXT, encoded(b"aa", 3), False, 3),
        (PING, b"aab", True, 0),
        (CONT, encoded_runs(shifted(b"b", 2, 1)), True, 0),
        (CLOSE, b"\x03\xe8aab", True, 0),
    ]


@BOTH_ROLES
@pytest.mark.parametrize("compress", [None, True, False])
def test_whether_to_encode_is_decided_by_the_first_fragment(role: Role, compress: bool | None) -> None:
    connection = new_connection(role, extensions=[ShiftCodec(least=3)])
    for text, fin in (("ab", True), ("abc", True), ("", False), ("x", True)):
        connection.send_text(text, fin=fin, compress=compress)
    seen = [(each.opcode, each.rsv) for each in read_frames(connection.data_to_send(), role)]
    short = {None: 0, True: 2, False: 0}[compress]
    long = {None: 2, True: 2, False: 0}[compress]
    assert seen == [(TEXT, short), (TEXT, long), (TEXT, long), (CONT, 0)]


def test_a_choice_in_a_later_fragment_changes_nothing() -> None:
    server = new_connection(SERVER, extensions=shift_only())
    server.send_bytes(b"ab", fin=False, compress=False)
    server.send_bytes(b"ab", compress=True)
    server.send_bytes(b"ab", fin=False, compress=True)
    server.send_bytes(b"ab", compress=False)
    assert server.data_to_send() == b"\x02\x02ab" + b"\x80\x02ab" + b"\x22\x02ac" + b"\x80\x02ce"


@pytest.mark.clause("6455:5.2-rsv-is-zero")
def test_compress_without_an_extension_is_no_matter() -> None:
    server = new_connection(SERVER)
    for compress in (None, True, False):
        server.send_text("x", compress=compress)
        server.send_prepared(PreparedMessage("x", compress=compress))
    assert server.data_to_send() == b"\x81\x01x" * 6


@pytest.mark.parametrize(
    "codecs", [[ShiftCodec, ShiftCodec], [RunsCodec, RunsCodec], [RunsCodec, ShiftCodec, RunsCodec]]
)
def test_two_extensions_cannot_have_the_same_bit(codecs: list[Callable[[], MessageCodec]]) -> None:
    with pytest.raises(ValueError, match="reserved bit"):
        Connection(SERVER, [codec() for codec in codecs])


@BOTH_ROLES
def test_an_extension_that_fails_names_the_frame_and_nothing_is_delivered(role: Role) -> None:
    before = to(role, TEXT, b"ok") + to(role, TEXT, run(1, b"x"), rsv=1, fin=False)
    data = before + to(role, CONT, b"\x00")
    result = same_outcome(role, data + to(role, TEXT, b"late"), extensions=lambda: [RunsCodec()])
    check_failed(result, role, 1007, "x-runs", len(before))
    assert result.events == [TextMessage("ok")]


@pytest.mark.clause("6455:8.1-bad-utf8-fails")
@BOTH_ROLES
def test_bad_text_out_of_an_extension(role: Role) -> None:
    data = to(role, TEXT, shifted(b"x\xff", 0, 1), rsv=2)
    check_failed(same_outcome(role, data, extensions=shift_only), role, 1007, "8.1", 0)


# Messages that grow when they are decoded.

BOMB = run(0xFFFF, b"x") * 100


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("fragments", [1, 100])
def test_the_limit_is_on_the_decoded_size_and_holds_while_decoding(role: Role, parts: bool, fragments: int) -> None:
    size = len(BOMB) // fragments
    pieces = [BOMB[at : at + size] for at in range(0, len(BOMB), size)]
    data = fragmented(role, BINARY, pieces, rsv=1)
    connection = new_connection(role, extensions=[RunsCodec()], limits=Limits(message=200_000), parts=parts)
    tracemalloc.start()
    try:
        events = connection.receive_data(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    closed = events.pop()
    assert isinstance(closed, Closed)
    assert closed.code == 1009
    assert parts or not events
    assert sum(len(event.data) for event in events if isinstance(event, BytesPart)) <= 200_000
    assert peak < 3 * 200_000 + (300 << 10)


@BOTH_ROLES
def test_each_overshoot_of_the_decoded_size(role: Role) -> None:
    for over in range(-2, 301):
        for first in (1, 500):
            data = fragmented(role, TEXT, [run(first, b"x"), run(1000 + over - first, b"y")], rsv=1)
            result = outcome(
                role, data + to(role, TEXT, b"next"), extensions=lambda: [RunsCodec()], limits=Limits(message=1000)
            )
            if over <= 0:
                assert result.events == [TextMessage("x" * first + "y" * (1000 + over - first)), TextMessage("next")]
            else:
                assert result.events == []
                assert result.failure is not None
                assert result.failure.close_code == 1009


def test_the_length_on_the_wire_is_not_that_of_the_message() -> None:
    """A message that is longer encoded than decoded is judged by what it means."""
    data = to(SERVER, TEXT, encoded_runs(b"Hello"), rsv=1)
    result = same_outcome(SERVER, data, extensions=lambda: [RunsCodec()], limits=Limits(message=5))
    assert result.events == [TextMessage("Hello")]


@BOTH_ROLES
def test_an_empty_remaining_budget_is_not_unlimited(role: Role) -> None:
    data = fragmented(role, BINARY, [run(1000, b"x"), BOMB], rsv=1)
    for chunk in CHUNKINGS.values():
        result = outcome(role, data, chunk, extensions=lambda: [RunsCodec()], limits=Limits(message=1000))
        assert result.failure is not None
        assert result.failure.close_code == 1009


@BOTH_ROLES
def test_encoded_parts_are_small(role: Role) -> None:
    limits = Limits(message=None)
    data = to(role, BINARY, BOMB, rsv=1)
    events = outcome(role, data, extensions=lambda: [RunsCodec()], limits=limits, parts=True).events
    sizes = [len(event.data) for event in events if isinstance(event, BytesPart)]
    assert sum(sizes) == 0xFFFF * 100
    assert max(sizes) <= 64 << 10


@BOTH_ROLES
@pytest.mark.parametrize("runs", [200, 1000])
def test_encoded_parts_are_small_even_if_the_frame_is_not(role: Role, runs: int) -> None:
    """A long frame is decoded bit by bit, and one that is not encoded and comes after it is not cut small for that."""
    payload = run(60, b"x") * runs
    data = to(role, BINARY, payload, rsv=1) + to(role, BINARY, bytes(1000)) + to(role, BINARY, bytes(1000))
    events = outcome(role, data, extensions=lambda: [RunsCodec()], parts=True).events
    assert joined(events) == [BytesMessage(b"x" * 60 * runs), BytesMessage(bytes(1000)), BytesMessage(bytes(1000))]
    sizes = [len(event.data) for event in events if isinstance(event, BytesPart)]
    assert max(sizes) <= 11_000
    assert sizes[-1] > 400


# What is left unread, so that one call does not decode without bounds.


def many_grown_messages(role: Role, count: int) -> bytes:
    return b"".join(to(role, BINARY, run(50_000, bytes([number])), rsv=1) for number in range(count))


@BOTH_ROLES
def test_one_call_decodes_only_so_much(role: Role) -> None:
    connection = new_connection(role, extensions=[RunsCodec()])
    data = many_grown_messages(role, 40)
    events = connection.receive_data(data)
    calls = 1
    while connection.unread:
        assert 0 < connection.unread < len(data)
        more = connection.receive_data(None)
        assert sum(len(event.data) for event in more if isinstance(event, BytesMessage)) <= 600_000
        events += more
        calls += 1
    assert events == [BytesMessage(bytes([number]) * 50_000) for number in range(40)]
    assert calls > 3
    assert connection.receive_data(None) == []
    assert connection.bytes_received == len(data)


@BOTH_ROLES
def test_what_was_decoded_earlier_counts_in_the_call_that_gives_it(role: Role) -> None:
    """However many calls a message came in, what one call returns is bounded."""
    connection = new_connection(role, extensions=[RunsCodec()])
    assert connection.receive_data(to(role, BINARY, run(50_000, b"x") * 8, fin=False, rsv=1)) == []
    last = to(role, CONT, run(50_000, b"x") * 3)
    assert connection.receive_data(last + many_grown_messages(role, 1)) == [BytesMessage(b"x" * 550_000)]
    assert connection.unread == len(many_grown_messages(role, 1))


@BOTH_ROLES
def test_what_no_extension_changed_is_given_at_once_however_large(role: Role) -> None:
    connection = new_connection(role, extensions=[RunsCodec()])
    assert connection.receive_data(to(role, BINARY, bytes(600_000), fin=False)) == []
    events = connection.receive_data(to(role, CONT, b"end") + to(role, TEXT, b"next"))
    assert events == [BytesMessage(bytes(600_000) + b"end"), TextMessage("next")]
    assert connection.unread == 0


@BOTH_ROLES
@pytest.mark.parametrize("last", [b"", b"\x82"], ids=["whole", "cut"])
def test_end_of_file_waits_for_what_is_unread(role: Role, last: bytes) -> None:
    connection = new_connection(role, extensions=[RunsCodec()])
    events = connection.receive_data(many_grown_messages(role, 40) + last)
    assert connection.unread
    events += connection.receive_data(b"")
    assert not connection.closed
    while connection.unread:
        events += connection.receive_data(None)
    assert connection.closed
    closed = events.pop()
    assert isinstance(closed, Closed)
    assert closed.cause.name == ("EOF_IN_FRAME" if last else "EOF_IDLE")
    assert len(events) == 40


@BOTH_ROLES
def test_input_may_go_on_while_some_is_unread_within_the_budget(role: Role) -> None:
    connection = new_connection(role, extensions=[RunsCodec()], limits=Limits(memory=300_000))
    data = many_grown_messages(role, 20)
    events = connection.receive_data(data)
    assert connection.unread
    events += connection.receive_data(to(role, TEXT, b"more"))
    while connection.unread:
        events += connection.receive_data(None)
    assert events[-1] == TextMessage("more")
    assert len(events) == 21

    connection.receive_data(data)
    assert connection.unread
    *_, closed = connection.receive_data(many_grown_messages(role, 1) * 61_000)
    assert isinstance(closed, Closed)
    assert closed.code == 1009
    assert closed.cause.name == "VIOLATION"
    assert connection.unread == 0


@BOTH_ROLES
def test_a_close_in_what_is_unread_still_works(role: Role) -> None:
    connection = new_connection(role, extensions=[RunsCodec()])
    data = many_grown_messages(role, 15) + to(role, CLOSE, b"\x03\xe8")
    events = connection.receive_data(data)
    connection.send_text("meanwhile", compress=False)
    events += feed_none(connection)
    assert events[-1] == Closed(1000, "", True)
    assert [each.opcode for each in read_frames(connection.data_to_send(), role)] == [TEXT, CLOSE]


def feed_none(connection: Connection) -> list[Event]:
    events: list[Event] = []
    while connection.unread:
        events += connection.receive_data(None)
    return events


@BOTH_ROLES
def test_the_state_of_extensions_counts(role: Role) -> None:
    connection = new_connection(role, extensions=[RunsCodec()], limits=Limits(memory=50))
    connection.receive_data(to(role, BINARY, b"\x00", rsv=1, fin=False))
    assert connection.retained_bytes == 1

    class Greedy(RunsCodec):
        kept = 51

        @property
        def retained_bytes(self) -> int:
            return self.kept

        def drop(self) -> None:
            self.kept = 0

    data = to(role, BINARY, run(1, b"x"), rsv=1, fin=False)
    result = outcome(role, data, extensions=lambda: [Greedy()], limits=Limits(memory=50))
    check_failed(result, role, 1009, "10.4", 0)


# PreparedMessage.


def test_servers_share_the_very_bytes() -> None:
    prepared = PreparedMessage("Hello")
    outputs = []
    for _ in range(3):
        server = new_connection(SERVER)
        server.send_prepared(prepared)
        outputs.append(server.data_to_send())
    assert outputs[0] == b"\x81\x05Hello"
    assert outputs[0] is outputs[1] is outputs[2]


def test_clients_mask_each_copy_anew() -> None:
    prepared = PreparedMessage(b"Hello")
    client = new_connection(CLIENT)
    for _ in range(3):
        client.send_prepared(prepared)
    data = client.data_to_send()
    assert read_frames(data, CLIENT) == [(BINARY, b"Hello", True, 0)] * 3
    assert len(set(keys_of(data))) == 3


@BOTH_ROLES
@pytest.mark.parametrize("message", ["aaa", b"aaa"])
def test_encoded_once_for_all_with_the_same_key(role: Role, message: str | bytes) -> None:
    encodings = []

    class Counting(ShiftCodec):
        def encode_shared(self, payload: bytes) -> bytes:
            encodings.append(self.shared_key)
            return super().encode_shared(payload)

    class OtherKey(Counting):
        shared_key = "other"

    prepared = PreparedMessage(message)
    opcode = TEXT if isinstance(message, str) else BINARY
    outputs = []
    for kind in (Counting, Counting, OtherKey, Counting):
        codec = kind()
        connection = new_connection(role, extensions=[codec])
        connection.send_prepared(prepared)
        outputs.append(connection.data_to_send())
        assert read_frames(outputs[-1], role) == [(opcode, b"abc", True, 2)]
        assert codec.forgotten == 1
    assert encodings == ["x-shift", "other"]
    if role is SERVER:
        assert outputs[0] is outputs[1] is outputs[3]


@BOTH_ROLES
@pytest.mark.parametrize(
    ("compress", "least", "is_encoded"), [(None, 0, True), (None, 99, False), (True, 99, True), (False, 0, False)]
)
def test_prepared_messages_are_encoded_where_that_is_wanted(
    role: Role, compress: bool | None, least: int, is_encoded: bool
) -> None:
    prepared = PreparedMessage("aaa", compress=compress)
    connection = new_connection(role, extensions=[ShiftCodec(least)])
    connection.send_prepared(prepared)
    expected = (TEXT, b"abc", True, 2) if is_encoded else (TEXT, b"aaa", True, 0)
    assert read_frames(connection.data_to_send(), role) == [expected]


@BOTH_ROLES
def test_prepared_messages_pass_through_several_extensions(role: Role) -> None:
    connection = new_connection(role, extensions=shift_then_runs())
    connection.send_prepared(PreparedMessage("aab"))
    assert read_frames(connection.data_to_send(), role) == [(TEXT, encoded(b"aab", 3), True, 3)]


def test_a_prepared_message_goes_to_everybody() -> None:
    """One object, for servers and clients, with and without extensions, in any order."""
    prepared = PreparedMessage("aaa")
    for role, codecs in itertools.product((SERVER, CLIENT), ([], [ShiftCodec()], [RunsCodec()], shift_then_runs())):
        receiver = outcome_of_prepared(role, codecs, prepared)
        assert receiver == [TextMessage("aaa")] * 2


def outcome_of_prepared(role: Role, codecs: Sequence[MessageCodec], prepared: PreparedMessage) -> list[Event]:
    sender = new_connection(role, extensions=codecs)
    sender.send_prepared(prepared)
    sender.send_prepared(prepared)
    receiver = new_connection(role.peer, extensions=[type(codec)() for codec in codecs])
    return feed(receiver, byte_by_byte(sender.data_to_send()))
