"""One end of a connection (5.5, 7): control frames, the closing handshake in all its forms, every way to end, what is
kept, and the answers that every server owes. Both roles, in every chunking."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from helpers import (
    BINARY,
    BOTH_ROLES,
    CHUNKINGS,
    CLOSE,
    CONT,
    EVERY_CHUNKING,
    KEY,
    PING,
    PONG,
    TEXT,
    Chunking,
    Outcome,
    byte_by_byte,
    check_failed,
    close_payload,
    cut_at,
    feed,
    frame,
    new_connection,
    outcome,
    read_frames,
    same_outcome,
    split_frames,
    to,
    wire,
)
from hypothesis import given
from hypothesis import strategies as st
from measuring import Memory
from tiny_extension import RunsCodec, ShiftCodec

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    CloseCause,
    Closed,
    Connection,
    ConnectionClosedError,
    ConnectionState,
    Deadlines,
    Direction,
    Event,
    Limits,
    LocalProtocolError,
    MessageCodec,
    Ping,
    Pong,
    RemoteProtocolError,
    Role,
    TextMessage,
    Timeouts,
)

# The examples of section 5.7, through a connection.


@pytest.mark.clause("6455:5.4-fragmented-or-not", "6455:6.2-frames-are-parsed")
@EVERY_CHUNKING
def test_5_7_examples_at_a_client(chunk: Chunking) -> None:
    data = wire(
        # "A single-frame unmasked text message"
        *("1 000 0001", "0 0000101", b"Hello"),
        # "A fragmented unmasked text message"
        *("0 000 0001", "0 0000011", b"Hel", "1 000 0000", "0 0000010", b"lo"),
        # "256 bytes binary message in a single unmasked frame"
        *("1 000 0010", "0 1111110", "00000001 00000000", bytes(range(256))),
        # "Unmasked Ping request"
        *("1 000 1001", "0 0000101", b"Hello"),
    )
    # "and masked Ping response (contains a body of "Hello", matching the body of the ping)", with the key of 5.7.
    result = outcome(CLIENT, data, chunk, random=lambda size: KEY * (size // 4))
    assert result.events == [
        TextMessage("Hello"),
        TextMessage("Hello"),
        BytesMessage(bytes(range(256))),
        Ping(b"Hello"),
    ]
    assert result.output == bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert result.closed is None


@pytest.mark.clause("6455:5.4-fragmented-or-not", "6455:6.2-frames-are-parsed", "6455:6.2-server-unmasks")
@EVERY_CHUNKING
def test_5_7_examples_at_a_server(chunk: Chunking) -> None:
    data = wire(
        # "A single-frame masked text message"
        *("1 000 0001", "1 0000101", KEY, bytes.fromhex("7f 9f 4d 51 58")),
        # the masked Pong
        *("1 000 1010", "1 0000101", KEY, bytes.fromhex("7f 9f 4d 51 58")),
    )
    assert outcome(SERVER, data, chunk).events == [TextMessage("Hello"), Pong(b"Hello")]


@pytest.mark.clause(
    "6455:5.1-client-masks",
    "6455:5.1-server-does-not-mask",
    "6455:6.1-in-frames",
    "6455:6.1-first-opcode",
)
def test_5_7_examples_are_sent() -> None:
    server = Connection(SERVER)
    server.send_text("Hello")
    server.send_text("Hel", fin=False)
    server.send_text("lo")
    server.ping(b"Hello")
    server.send_bytes(bytes(range(256)))
    server.send_bytes(bytes(65536))
    assert server.data_to_send() == (
        bytes.fromhex("81 05 48 65 6c 6c 6f")
        + bytes.fromhex("01 03 48 65 6c 80 02 6c 6f")
        + bytes.fromhex("89 05 48 65 6c 6c 6f")
        + bytes.fromhex("82 7e 01 00")
        + bytes(range(256))
        + bytes.fromhex("82 7f 00 00 00 00 00 01 00 00")
        + bytes(65536)
    )
    client = Connection(CLIENT, random=lambda size: KEY * (size // 4))
    client.send_text("Hello")
    assert client.data_to_send() == bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")


# What every server should answer, and every client: the frames of the table in memory.


class Lesson(NamedTuple):
    """What the peer sends, the close code of the answer, the section, and the clauses that it breaks."""

    violation: Callable[[Role], bytes]
    code: int
    section: str
    clauses: tuple[str, ...]


NO_KEYWORD = ("6455:10.7-input-is-validated",)  # the section says what is valid, without a key word of RFC 2119
MASKS = ("6455:5.1-unmasked-is-refused", "6455:5.1-masked-is-refused")
UTF8 = ("6455:8.1-bad-utf8-fails",)
WHOLE = ("6455:5.4-control-is-whole", "6455:5.5-not-fragmented")
SHORT = ("6455:5.5-at-most-125",)
LEAST = ("6455:5.2-length-is-minimal",)
BITS = ("6455:5.2-length-has-63-bits",)
LIMITED = ("6455:10.4-limits-hold",)
RESERVED = ("6455:5.2-rsv-is-refused",)
OPCODES = ("6455:5.2-opcode-is-refused",)
NEVER_SENT = {code: (f"6455:7.4.1-never-{code}",) for code in (1005, 1006, 1015)}


def lessons() -> dict[str, Lesson]:
    """Each violation by its name."""
    cases: dict[str, tuple[Callable[[Role], bytes], int, str, tuple[str, ...]]] = {
        "mask in the wrong direction": (lambda role: to(role.peer, TEXT, b"x"), 1002, "5.1", MASKS),
        "text is not UTF-8": (lambda role: to(role, TEXT, b"abc\xffdef"), 1007, "8.1", UTF8),
        "text is not UTF-8, half a frame": (lambda role: to(role, TEXT, b"abc\xff", declared=90), 1007, "8.1", UTF8),
        "text is not UTF-8, first fragment": (lambda role: to(role, TEXT, b"\xc0", fin=False), 1007, "8.1", UTF8),
        "ping of 126": (lambda role: to(role, PING, bytes(126)), 1002, "5.5", SHORT),
        "pong of 126": (lambda role: to(role, PONG, bytes(126)), 1002, "5.5", SHORT),
        "close of 126": (lambda role: to(role, CLOSE, b"\x03\xe8" + bytes(124)), 1002, "5.5", SHORT),
        "fragmented ping": (lambda role: to(role, PING, fin=False), 1002, "5.5", WHOLE),
        "fragmented pong": (lambda role: to(role, PONG, fin=False), 1002, "5.5", WHOLE),
        "fragmented close": (lambda role: to(role, CLOSE, fin=False), 1002, "5.5", WHOLE),
        "continuation first": (lambda role: to(role, CONT, b"x"), 1002, "5.4", NO_KEYWORD),
        "continuation first, more": (lambda role: to(role, CONT, b"x", fin=False), 1002, "5.4", NO_KEYWORD),
        "length of 125 in 2 bytes": (lambda role: to(role, TEXT, bytes(125), length_bits=16), 1002, "5.2", LEAST),
        "length of 65535 in 8 bytes": (lambda role: to(role, TEXT, bytes(65535), length_bits=64), 1002, "5.2", LEAST),
        "length of 2^63": (lambda role: to(role, BINARY, declared=1 << 63), 1002, "5.2", BITS),
        "length of 2^64-1": (lambda role: to(role, BINARY, declared=(1 << 64) - 1), 1002, "5.2", BITS),
        "length of 2^63-1": (lambda role: to(role, BINARY, declared=(1 << 63) - 1), 1009, "10.4", LIMITED),
        "over the limit by one": (lambda role: to(role, BINARY, declared=(1 << 20) + 1), 1009, "10.4", LIMITED),
        "close of 1 byte": (lambda role: to(role, CLOSE, b"\x03"), 1002, "5.5.1", ("6455:5.5.1-code-first",)),
        "close reason is not UTF-8": (lambda role: to(role, CLOSE, b"\x03\xe8\xce\xba\xff"), 1007, "8.1", UTF8),
        "close reason is cut in a character": (lambda role: to(role, CLOSE, b"\x03\xe8\xe2\x82"), 1007, "8.1", UTF8),
        "close reason with a surrogate": (lambda role: to(role, CLOSE, b"\x03\xe8\xed\xa0\x80"), 1007, "8.1", UTF8),
    }
    for bit in (1, 2, 4):
        for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
            cases[f"RSV {bit:03b} on {opcode}"] = (
                lambda role, bit=bit, opcode=opcode: to(role, opcode, b"", rsv=bit),  # type: ignore[misc]
                1002,
                "5.2",
                RESERVED,
            )
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for fin in (True, False):
            cases[f"opcode {opcode} {'fin' if fin else 'more'}"] = (
                lambda role, opcode=opcode, fin=fin: to(role, opcode, b"x", fin=fin),  # type: ignore[misc]
                1002,
                "5.2",
                OPCODES,
            )
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        cases[f"close code {code}"] = (
            lambda role, code=code: to(role, CLOSE, close_payload(code)),  # type: ignore[misc]
            1002,
            "7.4",
            NEVER_SENT.get(code, NO_KEYWORD),
        )
    return {name: Lesson(*row) for name, row in cases.items()}


LESSONS = lessons()
LESSON = pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)


@pytest.mark.clause(
    "6455:5.1-unmasked-is-refused",
    "6455:5.1-masked-is-refused",
    "6455:5.2-rsv-is-refused",
    "6455:5.2-opcode-is-refused",
    "6455:5.2-length-has-63-bits",
    "6455:5.2-length-is-minimal",
    "6455:5.4-control-is-whole",
    "6455:5.5-at-most-125",
    "6455:5.5-not-fragmented",
    "6455:5.5.1-code-first",
    "6455:7.1.7-sends-close",
    "6455:7.1.7-takes-no-more",
    "6455:7.4.1-never-1005",
    "6455:7.4.1-never-1006",
    "6455:7.4.1-never-1015",
    "6455:8.1-bad-utf8-fails",
    "6455:10.4-limits-hold",
    "6455:10.7-input-is-validated",
    "6455:10.7-close-says-why",
)
@BOTH_ROLES
@LESSON
def test_violations(role: Role, lesson: Lesson) -> None:
    """The messages before it are delivered, the ping before it is answered, the Close frame is queued, the rest is
    dropped, and `Closed` says what was wrong and where."""
    before = to(role, TEXT, b"good") + to(role, PING, b"ping") + to(role, BINARY, b"as well")
    late = to(role, TEXT, b"late") + to(role, PING, b"late") + to(role, CLOSE, b"\x03\xe8")
    result = same_outcome(role, before + lesson.violation(role) + late)
    check_failed(result, role, lesson.code, lesson.section, len(before))
    assert result.events == [TextMessage("good"), Ping(b"ping"), BytesMessage(b"as well")]
    sent = read_frames(result.output, role)
    assert [seen.opcode for seen in sent] == [PONG, CLOSE]
    assert sent[0].payload == b"ping"


def test_each_violation_breaks_a_clause_that_its_test_carries() -> None:
    (mark,) = [mark for mark in test_violations.pytestmark if mark.name == "clause"]  # type: ignore[attr-defined]
    broken = {clause for lesson in LESSONS.values() for clause in lesson.clauses}
    # The others are what each row shows of the answer.
    assert set(mark.args) - broken == {
        "6455:7.1.7-sends-close",
        "6455:7.1.7-takes-no-more",
        "6455:10.7-close-says-why",
    }
    assert broken <= set(mark.args)
    assert all(lesson.clauses for lesson in LESSONS.values())


# The words for what a connection itself finds wrong; the parser's are tested with it.
WORDS = {
    "continuation first": "a continuation frame, but no message has begun",
    "text is not UTF-8": "text that is not UTF-8: invalid start byte at 0xff",
    "close of 1 byte": "a Close frame with half a code; a code has 2 bytes",
    "close code 1005": "a Close frame with code 1005, which must not be sent",
    "over the limit by one": "a message of 1048577 bytes or more; Limits(message=1048576) allows no more",
}


@BOTH_ROLES
@pytest.mark.parametrize(("name", "words"), WORDS.items(), ids=WORDS)
def test_words_for_a_violation(role: Role, name: str, words: str) -> None:
    violation, code, section, _ = LESSONS[name]
    *_, closed = new_connection(role).receive_data(violation(role))
    assert isinstance(closed, Closed)
    assert closed.reason == ""
    assert str(closed) == f"the peer broke the protocol or a limit: {closed.error}"
    assert str(closed.error) == f"{words} (section {section} at byte 0; close code {code})"


@pytest.mark.clause("6455:10.4-limits-hold")
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_in_one_frame_may_be_as_large_as_the_limit(role: Role, opcode: int) -> None:
    limits = Limits(message=10)
    (message,) = new_connection(role, limits=limits).receive_data(to(role, opcode, b"x" * 10))
    assert message in (TextMessage("x" * 10), BytesMessage(b"x" * 10))
    (closed,) = new_connection(role, limits=limits).receive_data(to(role, opcode, b"x" * 11))
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, RemoteProtocolError)
    assert (closed.code, closed.error.reason) == (
        1009,
        "a message of 11 bytes or more; Limits(message=10) allows no more",
    )


@BOTH_ROLES
def test_a_message_that_is_over_the_budget_on_its_way(role: Role) -> None:
    connection = new_connection(role, limits=Limits(message=10_000, memory=1000))
    (closed,) = connection.receive_data(to(role, BINARY, bytes(2000), fin=False))
    assert isinstance(closed, Closed)
    assert str(closed.error) == (
        "the content of its messages takes more memory than Limits(memory=1000) allows "
        "(section 10.4 at byte 0; close code 1009)"
    )


@BOTH_ROLES
def test_reserved_bits_on_a_continuation(role: Role) -> None:
    """The bit that an extension owns is set on the first frame of a message, and on no other."""
    connection = new_connection(role, extensions=[ShiftCodec()])
    (closed,) = connection.receive_data(to(role, TEXT, b"x", fin=False, rsv=2) + to(role, CONT, b"y", rsv=2))
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, RemoteProtocolError)
    assert closed.error.section == "RFC 7692 6.1"
    assert closed.error.reason == "reserved bits on a continuation frame; only the first frame has them"


@BOTH_ROLES
@LESSON
def test_violations_after_our_close(role: Role, lesson: Lesson) -> None:
    """5.5.1: nothing is sent after a Close frame, not even another one."""
    result = same_outcome(role, lesson.violation(role), prepare=lambda connection: connection.close(1001, "bye"))
    assert result.failure is not None
    assert result.failure[:2] == (lesson.code, lesson.section)
    assert read_frames(result.output, role) == [(CLOSE, b"\x03\xe9bye", True, 0)]


@pytest.mark.clause("6455:5.4-messages-are-not-interleaved", "6455:5.4-one-type")
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("first", [TEXT, BINARY])
def test_a_message_inside_a_message(role: Role, first: int, opcode: int, fin: bool) -> None:
    before = to(role, first, b"begun", fin=False)
    result = same_outcome(role, before + to(role, opcode, b"x", fin=fin))
    check_failed(result, role, 1002, "5.4", len(before))
    assert result.events == []


def first_byte_that_fails(role: Role, data: bytes, **options: object) -> int:
    connection = new_connection(role, **options)
    for fed, portion in enumerate(byte_by_byte(data), 1):
        if connection.receive_data(portion):
            assert connection.closed
            return fed
    raise AssertionError("it never failed")


@BOTH_ROLES
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("mask in the wrong direction", 2),
        ("RSV 100 on 1", 1),
        ("RSV 001 on 9", 1),
        ("opcode 3 fin", 1),
        ("opcode 15 more", 1),
        ("ping of 126", 2),
        ("fragmented ping", 1),
        ("length of 2^63", 3),
        ("length of 125 in 2 bytes", 4),
        ("length of 65535 in 8 bytes", 10),
        ("over the limit by one", 14),
        ("continuation first", 6),
    ],
)
def test_violations_are_known_by_the_header_alone(role: Role, name: str, most: int) -> None:
    """Nothing waits for a payload. What depends on other frames waits for the end of the header, with its mask."""
    data = LESSONS[name][0](role)
    assert first_byte_that_fails(role, data) <= most


@BOTH_ROLES
def test_a_place_is_counted_from_the_first_byte_after_the_handshake(role: Role) -> None:
    good = to(role, TEXT, b"x" * 500) * 100
    check_failed(outcome(role, good + b"\x83"), role, 1002, "5.2", len(good))
    connection = new_connection(role)
    connection._start(b"HTTP/1.1 101", good[:700])
    events = feed(connection, [*byte_by_byte(good[700:900]), good[900:] + b"\x83"])
    assert events[-1].error.offset == len(good)  # type: ignore[attr-defined]
    assert len(events) == 101


# Pings and Pongs (5.5.2, 5.5.3).


@pytest.mark.clause("6455:5.5.2-ping-is-answered", "6455:5.5.2-ping-is-answered-soon")
@BOTH_ROLES
@pytest.mark.parametrize("payload", [b"", b"x", bytes(125), b"\xff\x00 not text"])
def test_a_ping_is_answered_with_its_payload(role: Role, payload: bytes) -> None:
    result = same_outcome(role, to(role, PING, payload))
    assert result.events == [Ping(payload)]
    assert read_frames(result.output, role) == [(PONG, payload, True, 0)]


@BOTH_ROLES
@pytest.mark.parametrize("pongs", [1, 2, 16])
@pytest.mark.parametrize("pings", [1, 2, 3, 16, 17, 1000])
def test_only_the_latest_pings_are_answered(role: Role, pongs: int, pings: int) -> None:
    """5.5.3: an endpoint "MAY elect to send a Pong frame for only the most recently processed Ping frame"."""
    data = b"".join(to(role, PING, b"%d" % number) for number in range(pings))
    connection = new_connection(role, limits=Limits(pongs=pongs))
    assert feed(connection, [data]) == [Ping(b"%d" % number) for number in range(pings)]
    assert 0 < connection.retained_bytes <= min(pings, pongs) * 200
    sent = read_frames(connection.data_to_send(), role)
    assert sent == [(PONG, b"%d" % number, True, 0) for number in range(max(0, pings - pongs), pings)]
    assert connection.retained_bytes == 0


@pytest.mark.clause("6455:5.5.2-ping-is-answered")
@BOTH_ROLES
def test_answers_that_are_owed_are_counted(role: Role) -> None:
    """Their bytes, and the overhead of an object for each."""
    connection = new_connection(role, limits=Limits(pongs=2))
    counts = []
    for payload in (b"", b"1" * 10, b"2" * 100, b"3"):
        connection.receive_data(to(role, PING, payload))
        counts.append(connection.retained_bytes)
    overhead = counts[0]
    assert 33 < overhead < 100
    assert counts == [overhead, 2 * overhead + 10, 2 * overhead + 110, 2 * overhead + 101]
    connection.data_to_send()
    assert connection.retained_bytes == 0


@BOTH_ROLES
def test_older_answers_give_way_where_the_budget_is_small(role: Role) -> None:
    """5.5.3 again: the newest is always sent, and an honest peer is not failed for its Pings."""
    connection = new_connection(role, limits=Limits(pongs=16, memory=1000))
    pings = [b"%03d" % number + bytes(122) for number in range(10)]
    events = connection.receive_data(b"".join(to(role, PING, payload) for payload in pings))
    assert events == [Ping(payload) for payload in pings]
    assert connection.retained_bytes <= 1000
    sent = [each.payload for each in read_frames(connection.data_to_send(), role)]
    assert 1 < len(sent) < 10
    assert sent == pings[-len(sent) :]


@BOTH_ROLES
@pytest.mark.parametrize("budget", [1, 100, 300])
def test_the_newest_answer_is_sent_however_small_the_budget_is(role: Role, budget: int) -> None:
    connection = new_connection(role, limits=Limits(message=100, memory=budget, pongs=16))
    connection.receive_data(to(role, PING, bytes(125)) + to(role, PING, b"2" * 125))
    assert [each.payload for each in read_frames(connection.data_to_send(), role)] == [b"2" * 125]


@BOTH_ROLES
def test_answers_give_way_to_a_message_that_grows(role: Role) -> None:
    connection = new_connection(role, limits=Limits(pongs=16, memory=1000))
    connection.receive_data(b"".join(to(role, PING, bytes([number]) * 100) for number in range(6)))
    owed = connection.retained_bytes
    assert connection.receive_data(to(role, BINARY, bytes(500), fin=False)) == []
    assert owed < connection.retained_bytes <= 1000
    sent = [each.payload[:1] for each in read_frames(connection.data_to_send(), role)]
    assert sent[-1] == b"\x05"
    assert 0 < len(sent) < 6


@BOTH_ROLES
def test_a_ping_and_a_pong_are_empty_by_default(role: Role) -> None:
    connection = new_connection(role)
    connection.ping()
    connection.pong()
    assert read_frames(connection.data_to_send(), role) == [(PING, b"", True, 0), (PONG, b"", True, 0)]


@BOTH_ROLES
def test_pings_in_different_turns_are_all_answered(role: Role) -> None:
    connection = new_connection(role)
    for number in range(5):
        connection.receive_data(to(role, PING, b"%d" % number))
        assert read_frames(connection.data_to_send(), role) == [(PONG, b"%d" % number, True, 0)]
        assert connection.data_to_send() == b""


@BOTH_ROLES
def test_a_ping_is_answered_after_what_was_sent_before_it(role: Role) -> None:
    connection = new_connection(role)
    connection.send_text("first")
    connection.receive_data(to(role, PING, b"x"))
    connection.send_text("second")
    sent = read_frames(connection.data_to_send(), role)
    assert [seen.opcode for seen in sent].index(TEXT) == 0
    assert (PONG, b"x", True, 0) in sent


@BOTH_ROLES
def test_a_pong_is_an_event_whether_asked_for_or_not(role: Role) -> None:
    result = same_outcome(role, to(role, PONG, b"x") + to(role, PONG))
    assert result.events == [Pong(b"x"), Pong(b"")]
    assert result.output == b""


@BOTH_ROLES
def test_pongs_are_counted(role: Role) -> None:
    connection = new_connection(role)
    assert connection.pongs_received == 0
    assert connection.last_pong is None
    connection.receive_data(to(role, PONG) + to(role, PING) + to(role, PONG, b"x"))
    assert connection.pongs_received == 2
    assert connection.last_pong == b"x"


@pytest.mark.clause("6455:5.5.2-ping-is-answered")
@EVERY_CHUNKING
@BOTH_ROLES
def test_pings_after_our_close_are_answered_until_the_peer_has_closed(role: Role, chunk: Chunking) -> None:
    """5.5.1 forbids data frames after a Close frame; 5.5.2 asks for a Pong until the peer has sent one."""
    connection = new_connection(role)
    connection.close()
    pings = [str(number).encode() for number in range(20)]
    for portion in chunk(b"".join(to(role, PING, ping) for ping in pings)):
        connection.receive_data(portion)
    sent = read_frames(connection.data_to_send(), role)
    assert sent == [(CLOSE, b"\x03\xe8", True, 0), *((PONG, ping, True, 0) for ping in pings[-16:])]
    for portion in chunk(to(role, PING, b"last") + to(role, CLOSE, b"\x03\xe8")):
        connection.receive_data(portion)
    sent = read_frames(connection.data_to_send(), role)
    # Nothing may follow once both Close frames have passed, so the last Pong goes out only if it was fetched before.
    assert sent == []
    assert connection.closed


@BOTH_ROLES
@pytest.mark.parametrize("end", ["violation", "timeout", "end of file"])
def test_no_pong_after_our_close_where_the_peer_fails(role: Role, end: str) -> None:
    connection = new_connection(role)
    connection.close()
    connection.data_to_send()
    connection.receive_data(to(role, PING, b"x"))
    match end:
        case "violation":
            connection.receive_data(b"\x83")
        case "timeout":
            connection._time_out(CloseCause.CLOSE_TIMEOUT)
        case _:
            connection.receive_data(b"")
    assert connection.closed
    assert not connection.has_data_to_send
    assert connection.data_to_send() == b""


@pytest.mark.clause("6455:5.5.2-ping-is-answered")
@BOTH_ROLES
def test_a_ping_before_our_close_is_answered_before_it(role: Role) -> None:
    connection = new_connection(role)
    connection.receive_data(to(role, PING, b"x"))
    connection.close()
    sent = read_frames(connection.data_to_send(), role)
    assert sent == [(PONG, b"x", True, 0), (CLOSE, b"\x03\xe8", True, 0)]


# The closing handshake (5.5.1, 7.1, 7.4).


@pytest.mark.clause("6455:5.5.1-close-is-answered", "6455:5.5.1-close-is-answered-soon")
@BOTH_ROLES
@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3008, 3999, 4000, 4999])
@pytest.mark.parametrize("reason", ["", "bye", "tschüß 👋", "\x00", "r" * 123])
def test_a_close_is_echoed(role: Role, code: int, reason: str) -> None:
    """5.5.1: the answer "typically echos the status code it received"."""
    result = same_outcome(role, to(role, CLOSE, close_payload(code, reason.encode())) + to(role, TEXT, b"late"))
    assert result.closed == Closed(code, reason, True, None, CloseCause.HANDSHAKE)
    assert result.events == []
    assert read_frames(result.output, role) == [(CLOSE, close_payload(code, reason.encode()), True, 0)]


@pytest.mark.clause("6455:5.5.1-close-is-answered")
@BOTH_ROLES
def test_an_empty_close_is_answered_by_an_empty_close(role: Role) -> None:
    """7.1.5: the code is considered to be 1005."""
    result = same_outcome(role, to(role, CLOSE))
    assert result.closed == Closed(1005, "", True, None, CloseCause.HANDSHAKE)
    assert read_frames(result.output, role) == [(CLOSE, b"", True, 0)]


def may_travel(code: int) -> bool:
    return code in {1000, 1001, 1002, 1003} or 1007 <= code <= 1014 or 3000 <= code <= 4999


@pytest.mark.exhaustive
@pytest.mark.clause("6455:7.4.1-never-1005", "6455:7.4.1-never-1006", "6455:7.4.1-never-1015")
@BOTH_ROLES
def test_every_code_received(role: Role) -> None:
    for code in (*range(5100), 32768, 65535):
        result = outcome(role, to(role, CLOSE, close_payload(code, b"why")))
        assert result.closed is not None
        if may_travel(code):
            assert (result.closed.code, result.closed.reason, result.closed.clean) == (code, "why", True)
        else:
            check_failed(result, role, 1002, "7.4", 0)


@pytest.mark.exhaustive
@pytest.mark.clause(
    "6455:5.5.1-code-first",
    "6455:7.1.2-sends-close",
    "6455:7.4.1-never-1005",
    "6455:7.4.1-never-1006",
    "6455:7.4.1-never-1015",
)
@BOTH_ROLES
def test_every_code_sent(role: Role) -> None:
    """No code is rewritten: it is sent, or it is refused."""
    for code in (-(1 << 64), -1, *range(5100), 32768, 65535, 65536, 1 << 64):
        connection = new_connection(role)
        if may_travel(code):
            connection.close(code)
            assert read_frames(connection.data_to_send(), role) == [(CLOSE, close_payload(code), True, 0)]
        else:
            with pytest.raises(LocalProtocolError, match=rf"{code} must not be sent \(7.4\)"):
                connection.close(code)
            assert connection.data_to_send() == b""
            assert connection.state is ConnectionState.OPEN


@pytest.mark.clause("6455:5.5.1-code-first")
@BOTH_ROLES
def test_a_close_without_a_code_is_empty_and_has_no_reason(role: Role) -> None:
    connection = new_connection(role)
    with pytest.raises(LocalProtocolError, match="needs a code"):
        connection.close(None, "why")
    assert connection.state is ConnectionState.OPEN
    connection.close(None)
    assert read_frames(connection.data_to_send(), role) == [(CLOSE, b"", True, 0)]


def test_words_for_what_a_caller_did_wrong() -> None:
    connection = new_connection(SERVER)
    connection.send_text("begun", fin=False)
    control_frame = "a control frame has at most 125 bytes, not 126 (5.5)"
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: connection.send_bytes(b"x"), "a text message is not finished; send its last fragment first (5.4)"),
        (lambda: connection.ping(bytes(126)), control_frame),
        (lambda: connection.pong(bytes(126)), control_frame),
        (lambda: connection.close(None, "why"), "a Close frame with a reason needs a code before it (5.5.1)"),
    ]
    for call, words in calls:
        with pytest.raises(LocalProtocolError) as caught:
            call()
        assert str(caught.value) == words


@pytest.mark.parametrize(("code", "got"), [("1000", "str"), (1000.0, "1000.0"), (b"x", "bytes"), (True, "True")])
def test_a_code_is_a_number(code: object, got: str) -> None:
    with pytest.raises(TypeError, match=f"^a close code is an int or None, not {re.escape(got)}$"):
        new_connection(SERVER).close(code)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", [b"bytes", None, 7])
def test_a_reason_is_a_text(reason: object) -> None:
    with pytest.raises(TypeError, match=f"a close reason is a str, not {type(reason).__name__}"):
        new_connection(SERVER).close(1000, reason)  # type: ignore[arg-type]


def test_random_bytes_that_are_too_few_are_told() -> None:
    client = Connection(CLIENT, random=lambda size: b"abc")
    with pytest.raises(ValueError, match=r"random\(512\) returned 3 bytes; masking keys need all of them"):
        client.ping()


@BOTH_ROLES
def test_close_by_default_is_1000(role: Role) -> None:
    connection = new_connection(role)
    connection.close()
    assert read_frames(connection.data_to_send(), role) == [(CLOSE, b"\x03\xe8", True, 0)]


def longest_that_fits(reason: str) -> str:
    while len(reason.encode()) > 123:
        reason = reason[:-1]
    return reason


@pytest.mark.clause("6455:5.5-at-most-125")
@BOTH_ROLES
@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
def test_a_reason_that_is_too_long_is_cut_between_characters(role: Role, character: str) -> None:
    for ahead in range(124):
        for reason in ("a" * ahead + character * 40, "a" * ahead + character, "a" * 121 + character * ahead):
            connection = new_connection(role)
            connection.close(1000, reason)
            expected = longest_that_fits(reason)
            (seen,) = read_frames(connection.data_to_send(), role)
            assert seen.payload == close_payload(1000, expected.encode())
            assert len(seen.payload) <= 125


def test_a_reason_that_is_no_text_still_closes() -> None:
    server = new_connection(SERVER)
    server.close(1000, "\ud800 lost \udfff")
    (seen,) = read_frames(server.data_to_send(), SERVER)
    assert seen.payload == close_payload(1000, b"? lost ?")


@BOTH_ROLES
@pytest.mark.parametrize("ours", [None, 1000, 1001, 4000])
@pytest.mark.parametrize("theirs", [None, 1000, 1011, 4999])
def test_closes_that_cross_are_clean_whatever_their_codes(role: Role, ours: int | None, theirs: int | None) -> None:
    payload = b"" if theirs is None else close_payload(theirs, b"mine")
    result = same_outcome(role, to(role, CLOSE, payload), prepare=lambda connection: connection.close(ours))
    assert result.closed == Closed(theirs or 1005, "mine" if theirs else "", True, None, CloseCause.HANDSHAKE)
    sent = b"" if ours is None else close_payload(ours)
    assert read_frames(result.output, role) == [(CLOSE, sent, True, 0)]


@BOTH_ROLES
def test_after_our_close_the_peer_may_go_on_until_its_own(role: Role) -> None:
    data = to(role, TEXT, b"1", fin=False) + to(role, PONG) + to(role, CONT, b"2") + to(role, BINARY, b"3")
    result = same_outcome(role, data + to(role, CLOSE, b"\x03\xe8"), prepare=lambda connection: connection.close())
    assert result.events == [Pong(b""), TextMessage("12"), BytesMessage(b"3")]
    assert result.closed == Closed(1000, "", True)


@BOTH_ROLES
def test_close_again_and_again(role: Role) -> None:
    connection = new_connection(role)
    connection.close(1000, "first")
    connection.close(1001, "second")
    connection.close(None)
    assert len(read_frames(connection.data_to_send(), role)) == 1
    connection.close()
    events = connection.receive_data(to(role, CLOSE, b"\x03\xe8first"))
    assert events == [Closed(1000, "first", True)]
    for code in (1000, 4000, None):
        connection.close(code)
    assert connection.data_to_send() == b""


@pytest.mark.clause("6455:5.5.1-nothing-after-close", "6455:6.1-connection-is-open")
@BOTH_ROLES
@pytest.mark.parametrize("end", ["close", "violation", "end of file", "timeout"])
def test_on_a_closed_connection_close_does_nothing_and_sending_is_refused(role: Role, end: str) -> None:
    connection = new_connection(role)
    match end:
        case "close":
            connection.receive_data(to(role, CLOSE))
        case "violation":
            connection.receive_data(b"\x83")
        case "end of file":
            connection.receive_data(b"")
        case _:
            connection._time_out(CloseCause.PONG_TIMEOUT)
    assert connection.closed
    connection.data_to_send()
    connection.close()
    closed = connection.end
    assert closed is not None
    for act in (
        lambda: connection.send_text("x"),
        lambda: connection.send(TextMessage("x")),
        lambda: connection.send_bytes(b"x"),
        lambda: connection.send_text("x", fin=False),
        connection.ping,
        connection.pong,
    ):
        with pytest.raises(ConnectionClosedError, match=r"^the connection has ended: ") as caught:
            act()
        assert caught.value.closed is closed
        assert str(caught.value).endswith(str(closed))
    assert connection.data_to_send() == b""
    assert connection.sent is connection.received is Direction.CLOSED


@pytest.mark.clause("6455:6.1-state-may-change")
@BOTH_ROLES
def test_the_answer_to_a_close_interrupts_our_own_message(role: Role) -> None:
    connection = new_connection(role)
    connection.send_text("begun", fin=False)
    connection.receive_data(to(role, PING, b"x") + to(role, CLOSE, b"\x03\xe9"))
    sent = read_frames(connection.data_to_send(), role)
    assert [seen.opcode for seen in sent] == [TEXT, PONG, CLOSE]
    with pytest.raises(LocalProtocolError):
        connection.send_text("end")


@pytest.mark.clause("6455:7.1.7-sends-close")
@BOTH_ROLES
def test_the_close_frame_of_a_failure_says_what_was_wrong_in_123_bytes(role: Role) -> None:
    """7.1.7: the Close frame carries the code; the reason is for the people at the other end."""
    data = to(role, TEXT, b"x", fin=False) + to(role, TEXT, b"x")
    result = outcome(role, data)
    assert result.closed is not None
    assert isinstance(result.closed.error, RemoteProtocolError)
    payload = read_frames(result.output, role)[-1].payload
    assert f"5.4: {result.closed.error.reason}".encode()[:123] == payload[2:]


# One read may bring messages and the end together. Their answers still go out, before our own Close frame.

ENDINGS: dict[str, tuple[Callable[[Role], bytes], bytes | None]] = {
    "close": (lambda role: to(role, CLOSE, close_payload(4000, b"bye")), close_payload(4000, b"bye")),
    "empty close": (lambda role: to(role, CLOSE), b""),
    "violation": (lambda role: b"\x83", close_payload(1002)),
    "end of file": (lambda role: b"", None),
}


@pytest.mark.clause("6455:5.5.1-close-is-answered-soon")
@BOTH_ROLES
@pytest.mark.parametrize(("ending", "close"), list(ENDINGS.values()), ids=list(ENDINGS))
def test_answers_to_messages_before_the_end_go_out_before_the_close_frame(
    role: Role, ending: Callable[[Role], bytes], close: bytes | None
) -> None:
    connection = new_connection(role)
    data = to(role, TEXT, b"question") + to(role, PING, b"ping") + to(role, TEXT, b"question")
    events = connection.receive_data(data + ending(role))
    if not ending(role):
        events += connection.receive_data(b"")
    assert [type(event).__name__ for event in events] == ["TextMessage", "Ping", "TextMessage", "Closed"]
    assert connection.closed
    assert (connection.state, connection.sent) == (ConnectionState.CLOSED, Direction.CLOSED)
    connection.send_text("answer")
    connection.send_text("answer")
    connection.close()
    assert connection.has_data_to_send
    sent = read_frames(connection.data_to_send(), role)
    assert sent[:3] == [(PONG, b"ping", True, 0), (TEXT, b"answer", True, 0), (TEXT, b"answer", True, 0)]
    if close is None:
        assert sent[3:] == []
    else:
        (seen,) = sent[3:]
        assert seen.opcode == CLOSE
        assert seen.payload.startswith(close)
    with pytest.raises(LocalProtocolError):
        connection.send_text("after our Close")
    assert connection.data_to_send() == b""


@BOTH_ROLES
@pytest.mark.parametrize("received", [b"", close_payload(1000, b"theirs")])
@pytest.mark.parametrize(
    ("arguments", "sent"),
    [((4000, "mine"), close_payload(4000, b"mine")), ((1000,), close_payload(1000)), ((None,), b"")],
)
def test_a_code_that_is_named_takes_the_place_of_the_answer(
    role: Role, received: bytes, arguments: tuple[Any, ...], sent: bytes
) -> None:
    connection = new_connection(role)
    connection.receive_data(to(role, CLOSE, received))
    connection.close(*arguments)
    connection.close()
    assert read_frames(connection.data_to_send(), role) == [(CLOSE, sent, True, 0)]
    connection.close(4001)
    assert connection.data_to_send() == b""


@BOTH_ROLES
def test_a_code_that_is_named_takes_the_place_of_what_a_deadline_says(role: Role) -> None:
    connection = new_connection(role)
    deadlines = Deadlines(Timeouts(idle=1.0), now=0.0)
    deadlines.opened(connection, now=0.0)
    (closed,) = deadlines.advance(now=1.0)
    connection.close()
    connection.close(1011, "mine")
    assert read_frames(connection.data_to_send(), role) == [(CLOSE, close_payload(1011, b"mine"), True, 0)]
    assert connection.end == closed == Closed(3008, "", False, None, CloseCause.IDLE_TIMEOUT)


@BOTH_ROLES
@pytest.mark.parametrize("end", [b"\x83", b""])
def test_no_code_takes_the_place_of_what_a_failure_says(role: Role, end: bytes) -> None:
    connection = new_connection(role)
    connection.receive_data(end)
    told = [seen.payload[:2] for seen in read_frames(sent_at(role, end), role)]
    connection.close(4000)
    assert [seen.payload[:2] for seen in read_frames(connection.data_to_send(), role)] == told


def sent_at(role: Role, end: bytes) -> bytes:
    """What another connection sends at this end, when nobody calls close()."""
    other = new_connection(role)
    other.receive_data(end)
    return other.data_to_send()


@BOTH_ROLES
@EVERY_CHUNKING
def test_a_message_that_the_close_cuts_off(role: Role, chunk: Chunking) -> None:
    connection = new_connection(role)
    data = to(role, TEXT, b"begun", fin=False) + to(role, PING, b"x") + to(role, CLOSE, close_payload(1000, b"bye"))
    events = feed(connection, chunk(data))
    assert events == [Ping(b"x"), Closed(1000, "bye", True, None, CloseCause.HANDSHAKE_IN_MESSAGE)]


@BOTH_ROLES
def test_no_answers_where_we_have_closed_already(role: Role) -> None:
    connection = new_connection(role)
    connection.close()
    connection.receive_data(to(role, TEXT, b"question") + to(role, CLOSE))
    with pytest.raises(LocalProtocolError):
        connection.send_text("answer")
    assert read_frames(connection.data_to_send(), role) == [(CLOSE, b"\x03\xe8", True, 0)]


# Who closes TCP (7.1.1).


@pytest.mark.clause(
    "6455:5.5.1-tcp-is-closed",
    "6455:5.5.1-server-closes-at-once",
    "6455:5.5.1-client-waits",
    "6455:7.1.1-server-first",
    "6455:7.1.1-server-at-once",
    "6455:7.1.1-client-waits",
    "6455:7.1.2-closes-after-both",
)
@BOTH_ROLES
def test_the_server_closes_tcp_first(role: Role) -> None:
    connection = new_connection(role)
    assert not connection.must_close
    connection.close()
    assert not connection.must_close
    connection.receive_data(to(role, CLOSE))
    assert connection.must_close is (role is SERVER)
    connection.receive_data(to(role, TEXT, b"late"))
    assert connection.must_close is (role is SERVER)
    assert connection.receive_data(b"") == []
    assert connection.must_close


@pytest.mark.clause("6455:5.5.1-tcp-is-closed", "6455:7.1.1-server-first")
@BOTH_ROLES
def test_the_same_when_the_peer_closes_first(role: Role) -> None:
    connection = new_connection(role)
    connection.receive_data(to(role, CLOSE, b"\x03\xe8"))
    assert connection.closed
    assert connection.must_close is (role is SERVER)


@pytest.mark.clause("6455:7.1.7-client-closes", "6455:7.1.7-server-closes")
@BOTH_ROLES
def test_who_fails_the_connection_does_not_wait(role: Role) -> None:
    """7.1.7."""
    connection = new_connection(role)
    connection.receive_data(b"\x83")
    assert connection.must_close


@BOTH_ROLES
def test_nobody_waits_after_an_end_of_file(role: Role) -> None:
    connection = new_connection(role)
    connection.receive_data(b"")
    assert connection.must_close


@BOTH_ROLES
def test_close_and_end_of_file_in_one(role: Role) -> None:
    connection = new_connection(role)
    connection.receive_data(to(role, CLOSE))
    connection.receive_data(b"")
    assert connection.must_close


# The end of the stream, told apart.

ENDS: dict[str, tuple[Callable[[Role], bytes], CloseCause]] = {
    "nothing": (lambda role: b"", CloseCause.EOF_IDLE),
    "after a message": (lambda role: to(role, TEXT, b"x"), CloseCause.EOF_IDLE),
    "after a fragmented message": (
        lambda role: to(role, TEXT, b"x", fin=False) + to(role, CONT),
        CloseCause.EOF_IDLE,
    ),
    "after a ping": (lambda role: to(role, PING, b"x"), CloseCause.EOF_IDLE),
    "between fragments": (lambda role: to(role, TEXT, b"x", fin=False), CloseCause.EOF_IN_MESSAGE),
    "between fragments, after a pong": (
        lambda role: to(role, TEXT, b"x", fin=False) + to(role, PONG),
        CloseCause.EOF_IN_MESSAGE,
    ),
    "after an empty fragment": (lambda role: to(role, BINARY, fin=False), CloseCause.EOF_IN_MESSAGE),
    "after one byte": (lambda role: b"\x81", CloseCause.EOF_IN_FRAME),
    "in a length": (lambda role: to(role, TEXT, declared=300)[:3], CloseCause.EOF_IN_FRAME),
    "in a payload": (lambda role: to(role, TEXT, b"Hello", declared=6), CloseCause.EOF_IN_FRAME),
    "before a payload": (lambda role: to(role, TEXT, declared=6), CloseCause.EOF_IN_FRAME),
    "in a ping": (lambda role: to(role, PING, b"Hello", declared=6), CloseCause.EOF_IN_FRAME),
    "in a close": (lambda role: to(role, CLOSE, b"\x03\xe8", declared=6), CloseCause.EOF_IN_FRAME),
    "in a later fragment": (
        lambda role: to(role, TEXT, b"x", fin=False) + to(role, CONT, b"y", declared=2),
        CloseCause.EOF_IN_FRAME,
    ),
    "in a ping in a message": (
        lambda role: to(role, TEXT, b"x", fin=False) + to(role, PING, declared=1),
        CloseCause.EOF_IN_FRAME,
    ),
}


@pytest.mark.clause("6455:7.2.1-transport-is-lost")
@BOTH_ROLES
@pytest.mark.parametrize(("data", "cause"), list(ENDS.values()), ids=list(ENDS))
def test_end_of_file(role: Role, data: Callable[[Role], bytes], cause: CloseCause) -> None:
    """7.1.5: without a Close frame the code is 1006."""
    result = same_outcome(role, data(role), eof=True)
    assert result.closed == Closed(1006, "", False, None, cause)
    assert all(seen.opcode == PONG for seen in read_frames(result.output, role))


@BOTH_ROLES
@pytest.mark.parametrize(("data", "cause"), list(ENDS.values()), ids=list(ENDS))
def test_end_of_file_instead_of_an_answer_to_our_close(
    role: Role, data: Callable[[Role], bytes], cause: CloseCause
) -> None:
    result = same_outcome(role, data(role), eof=True, prepare=lambda connection: connection.close())
    assert result.closed is not None
    assert (result.closed.code, result.closed.clean, result.closed.cause) == (1006, False, CloseCause.EOF_IN_CLOSE)


@pytest.mark.clause("6455:7.2.1-transport-is-lost")
@BOTH_ROLES
def test_end_of_file_in_every_place_of_a_frame(role: Role) -> None:
    for data in (to(role, BINARY, bytes(200)), to(role, PING, bytes(20)), to(role, CLOSE, b"\x03\xe8why")):
        for length in range(1, len(data)):
            result = outcome(role, data[:length], eof=True)
            assert result.closed is not None
            assert result.closed.cause is CloseCause.EOF_IN_FRAME, length


@BOTH_ROLES
def test_end_of_file_after_the_end(role: Role) -> None:
    for data in (to(role, CLOSE), b"\x83"):
        result = outcome(role, data, eof=True)
        assert result.closed is not None
        assert result.closed.cause in (CloseCause.HANDSHAKE, CloseCause.VIOLATION)


def test_what_was_queued_before_the_end_of_file_can_still_be_sent() -> None:
    server = new_connection(SERVER)
    server.send_text("x")
    server.receive_data(b"")
    assert server.data_to_send() == b"\x81\x01x"


# Deadlines end a connection through here.

# These words are for the peer.
REASONS_OF_TIMEOUTS = {
    CloseCause.CLOSE_TIMEOUT: b"no Close frame arrived in time",
    CloseCause.PONG_TIMEOUT: b"no Pong arrived in time",
    CloseCause.IDLE_TIMEOUT: b"nothing arrived for too long",
}


@BOTH_ROLES
@pytest.mark.parametrize("cause", [CloseCause.CLOSE_TIMEOUT, CloseCause.PONG_TIMEOUT, CloseCause.IDLE_TIMEOUT])
def test_time_out(role: Role, cause: CloseCause) -> None:
    connection = new_connection(role)
    connection.receive_data(to(role, TEXT, b"begun", fin=False))
    assert connection._time_out(cause) == [Closed(3008, "", False, None, cause)]
    assert read_frames(connection.data_to_send(), role) == [
        (CLOSE, close_payload(3008, REASONS_OF_TIMEOUTS[cause]), True, 0)
    ]
    assert connection.must_close
    assert connection.retained_bytes == 0
    assert connection._time_out(cause) == []
    assert connection.receive_data(to(role, TEXT, b"late")) == []


@BOTH_ROLES
def test_time_out_of_our_close(role: Role) -> None:
    cause = CloseCause.CLOSE_TIMEOUT
    connection = new_connection(role)
    connection.close()
    connection.data_to_send()
    assert connection._time_out(cause) == [Closed(1006, "", False, None, cause)]
    assert connection.data_to_send() == b""


def test_time_out_ends_a_clients_wait_for_tcp() -> None:
    client = new_connection(CLIENT)
    client.receive_data(b"\x88\x00")
    assert not client.must_close
    assert client._time_out(CloseCause.CLOSE_TIMEOUT) == []
    assert client.must_close


# Input.


@BOTH_ROLES
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_input_of_any_kind_can_be_reused_by_the_caller(role: Role, kind: type) -> None:
    data = to(role, TEXT, b"Hello") + to(role, PING, b"ping") + to(role, BINARY, b"data")
    connection = new_connection(role)
    events: list[Event] = []
    for portion in (data[:3], data[3:11], data[11:]):
        buffer = bytearray(portion)
        events += connection.receive_data(kind(buffer))
        buffer[:] = b"\xff" * len(buffer)
    assert events == [TextMessage("Hello"), Ping(b"ping"), BytesMessage(b"data")]
    assert type(events[2].data) is bytes  # type: ignore[attr-defined]
    assert connection.receive_data(kind(b""))[0].cause is CloseCause.EOF_IDLE  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", ["", "text", 0, 5, [1, 2], 1.5, {}], ids=repr)
def test_input_that_is_no_bytes_is_refused_before_anything_changes(data: object) -> None:
    server = new_connection(SERVER)
    with pytest.raises(TypeError):
        server.receive_data(data)  # type: ignore[arg-type]
    assert not server.closed
    assert server.bytes_received == 0
    assert server.receive_data(to(SERVER, TEXT, b"x")) == [TextMessage("x")]


@BOTH_ROLES
def test_nothing_new_is_no_end_of_file(role: Role) -> None:
    connection = new_connection(role)
    assert connection.receive_data(None) == []
    connection.receive_data(to(role, TEXT, b"x")[:1])
    assert connection.receive_data(None) == []
    assert connection.unread == 0
    assert not connection.closed


@BOTH_ROLES
@EVERY_CHUNKING
def test_one_list_of_events_for_one_read(role: Role, chunk: Chunking) -> None:
    data = to(role, TEXT, b"1") + to(role, BINARY, b"2") + to(role, PING, b"3") + to(role, CLOSE)
    connection = new_connection(role)
    assert len(connection.receive_data(data)) == 4
    connection = new_connection(role)
    assert len([event for portion in chunk(data) for event in connection.receive_data(portion)]) == 4


@BOTH_ROLES
def test_bytes_received(role: Role) -> None:
    connection = new_connection(role)
    data = to(role, TEXT, b"x" * 300)
    for number in range(5):
        for portion in byte_by_byte(data):
            connection.receive_data(portion)
        assert connection.bytes_received == (number + 1) * len(data)


# What came with the handshake.


@BOTH_ROLES
def test_what_came_with_the_handshake_is_unread_until_asked_for(role: Role) -> None:
    data = to(role, TEXT, b"early") + to(role, PING, b"bird") + to(role, TEXT, b"cut")
    for cut in range(len(data) + 1):
        connection = new_connection(role)
        connection._start(b"HEAD", data[:cut])
        assert connection.unread == cut
        assert connection.retained_bytes == cut
        events = []
        while connection.unread:
            events += connection.receive_data(None)
        if data[cut:]:
            events += connection.receive_data(data[cut:])
        assert events == [TextMessage("early"), Ping(b"bird"), TextMessage("cut")]
        output = connection.data_to_send()
        assert output[:4] == b"HEAD"
        assert read_frames(output[4:], role) == [(PONG, b"bird", True, 0)]


@BOTH_ROLES
def test_new_input_goes_behind_what_is_unread(role: Role) -> None:
    data = to(role, TEXT, b"early") + to(role, TEXT, b"late")
    for cut in range(1, len(data)):
        connection = new_connection(role)
        connection._start(b"", data[:cut])
        assert connection.receive_data(data[cut:]) == [TextMessage("early"), TextMessage("late")]
        assert connection.data_to_send() == b""


@BOTH_ROLES
@pytest.mark.parametrize("unread", [1, 40])
def test_a_large_read_behind_what_is_unread_is_no_offence(role: Role, unread: int) -> None:
    """The budget bounds what the peer makes us keep, not how much the caller reads at once."""
    data = to(role, TEXT, b"x" * 20) * 300
    connection = new_connection(role, limits=Limits(message=100, memory=1000))
    connection._start(b"", data[:unread])
    assert connection.receive_data(data[unread:]) == [TextMessage("x" * 20)] * 300


@BOTH_ROLES
def test_end_of_file_behind_what_is_unread(role: Role) -> None:
    connection = new_connection(role)
    connection._start(b"", to(role, TEXT, b"early") + b"\x81")
    events = connection.receive_data(b"")
    assert events[0] == TextMessage("early")
    assert events[1].cause is CloseCause.EOF_IN_FRAME  # type: ignore[attr-defined]


@BOTH_ROLES
def test_a_violation_in_what_is_unread(role: Role) -> None:
    connection = new_connection(role)
    connection._start(b"HEAD", b"\x83" + bytes(1000))
    (closed,) = connection.receive_data(None)
    assert closed.error.offset == 0  # type: ignore[attr-defined]
    assert connection.unread == 0
    assert connection.data_to_send().startswith(b"HEAD")


@BOTH_ROLES
def test_sending_before_what_is_unread_is_read(role: Role) -> None:
    connection = new_connection(role)
    connection._start(b"HEAD", to(role, CLOSE))
    connection.send_text("welcome")
    connection.receive_data(None)
    output = connection.data_to_send()
    assert output.startswith(b"HEAD")
    assert [seen.opcode for seen in read_frames(output[4:], role)] == [TEXT, CLOSE]


# What a connection is made of.


def test_what_it_was_made_with_can_be_asked() -> None:
    codec = ShiftCodec()
    limits = Limits(message=5)
    server = Connection(SERVER, [codec], limits=limits, subprotocol="chat")
    assert server.role is SERVER
    assert server.extensions == (codec,)
    assert server.limits is limits
    assert server.subprotocol == "chat"
    other = Connection(CLIENT)
    assert (other.role, other.extensions, other.limits, other.subprotocol) == (CLIENT, (), Limits(), None)


@pytest.mark.parametrize("role", ["server", "client", None, 1, True])
def test_a_role_is_a_role(role: object) -> None:
    """A word in its place would make a connection for the wrong end, which fails much later and says little."""
    with pytest.raises((TypeError, ValueError)):
        Connection(role)  # type: ignore[arg-type]


@pytest.mark.clause("6455:6.1-is-transmitted")
def test_data_to_send_is_forgotten_and_not_sent_twice() -> None:
    server = new_connection(SERVER)
    assert server.data_to_send() == b""
    server.send_text("a")
    assert server.data_to_send() == b"\x81\x01a"
    assert server.data_to_send() == b""
    server.send_text("b")
    server.send_text("c")
    assert server.data_to_send() == b"\x81\x01b\x81\x01c"


# Memory and time.


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("size", [200_000, 100])
@pytest.mark.parametrize("rest", [0, 1, 3, 7], ids=["all", "first byte", "half a header", "half a frame"])
def test_nothing_is_kept_of_messages_that_were_delivered(role: Role, size: int, rest: int) -> None:
    """An idle connection holds neither its last read nor its last message."""
    data = to(role, BINARY, bytes(size)) * (200_000 // size) + to(role, BINARY, bytes(200))[:rest]
    new_connection(role).receive_data(data)  # the first use of the code takes more
    connection = new_connection(role)
    connection.receive_data(to(role, PING) + to(role, TEXT, b"x"))
    connection.data_to_send()
    with Memory() as memory:
        connection.receive_data(bytes(bytearray(data)))
        kept = memory.kept
    assert connection.retained_bytes < 10
    assert kept < 5000


@pytest.mark.measured
@pytest.mark.clause("6455:7.1.7-takes-no-more")
@BOTH_ROLES
def test_nothing_is_kept_of_a_message_that_failed(role: Role) -> None:
    def with_half_a_message() -> Connection:
        connection = new_connection(role, limits=Limits(message=1 << 20))
        connection.receive_data(to(role, BINARY, bytes(100_000), fin=False))
        assert connection.retained_bytes >= 100_000
        return connection

    with_half_a_message().receive_data(b"\x83")  # the first use of the code takes more
    connection = with_half_a_message()
    with Memory() as memory:
        events = connection.receive_data(bytes(bytearray(b"\x83" + bytes(100_000))))
        kept = memory.kept
    assert len(events) == 1
    assert connection.retained_bytes == 0
    assert kept < 5000


@BOTH_ROLES
def test_an_event_holds_no_link_to_the_connection(role: Role) -> None:
    """A traceback in ``Closed.error`` would keep alive the parser, its input and all other events."""
    for data in (
        b"\x83",
        to(role, TEXT, b"\xff"),
        to(role, CLOSE, b"\x03\xe8\xff"),
        to(role, BINARY, declared=1 << 40),
    ):
        closed = outcome(role, data).closed
        assert closed is not None
        error = closed.error
        while error is not None:
            assert error.__traceback__ is None
            error = error.__cause__ or error.__context__  # type: ignore[assignment]


@BOTH_ROLES
def test_an_event_holds_no_link_to_an_extension_that_failed(role: Role) -> None:
    data = to(role, TEXT, b"half", rsv=1)
    closed = outcome(role, data, extensions=lambda: [RunsCodec()]).closed
    assert closed is not None
    assert closed.error is not None
    for error in (closed.error, closed.error.__cause__, closed.error.__context__):
        assert error is None or error.__traceback__ is None


@BOTH_ROLES
@pytest.mark.parametrize("ending", [b"", b"\x83", None], ids=["end of file", "violation", "close"])
def test_extensions_let_go_of_their_memory_when_it_ends(role: Role, ending: bytes | None) -> None:
    codecs = [ShiftCodec(), RunsCodec()]
    connection = new_connection(role, extensions=codecs)
    connection.receive_data(to(role, TEXT, b"\0", rsv=1, fin=False))
    assert connection.retained_bytes == codecs[1].retained_bytes == 1
    connection.receive_data(to(role, CLOSE) if ending is None else ending)
    assert connection.retained_bytes == codecs[1].retained_bytes == 0
    assert codecs[0].dropped


@BOTH_ROLES
def test_a_dribbled_control_frame_keeps_only_itself(role: Role) -> None:
    connection = new_connection(role)
    data = to(role, PING, bytes(125))
    for at, portion in enumerate(byte_by_byte(data[:-1]), 1):
        assert connection.receive_data(portion) == []
        assert connection.retained_bytes == at
    assert connection.receive_data(data[-1:]) == [Ping(bytes(125))]


def cost(act: Callable[[], object]) -> float:
    """The best of three, in seconds of this process."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        act()
        best = min(best, time.process_time() - begin)
    return best


def run_over(role: Role, data: bytes, read: int, **options: object) -> Callable[[], object]:
    def run() -> None:
        connection = new_connection(role, **options)
        for at in range(0, len(data), read):
            connection.receive_data(data[at : at + read])

    return run


LINEAR: dict[str, tuple[Callable[[int], bytes], int]] = {
    "small messages in one read": (lambda count: to(SERVER, TEXT, b"x") * count, 1 << 30),
    "small messages byte by byte": (lambda count: to(SERVER, TEXT, b"x") * (count // 8), 1),
    "pings in one read": (lambda count: to(SERVER, PING, b"x") * count, 1 << 30),
    "fragments of one byte": (
        lambda count: to(SERVER, TEXT, b"x", fin=False) + to(SERVER, CONT, b"x", fin=False) * count,
        1 << 30,
    ),
    "empty fragments": (
        lambda count: to(SERVER, TEXT, b"", fin=False) + to(SERVER, CONT, b"", fin=False) * count,
        1 << 30,
    ),
    "a long text byte by byte": (lambda count: to(SERVER, TEXT, b"\xc3\xa9" * (count // 2)), 1),
    "reads that end in a header": (lambda count: to(SERVER, TEXT, b"x" * 100) * (count // 4), 107),
}


@pytest.mark.measured
@pytest.mark.parametrize(("make", "read"), list(LINEAR.values()), ids=list(LINEAR))
def test_time_is_linear(make: Callable[[int], bytes], read: int) -> None:
    """Eight times the input: eight times the time if it is linear, 64 times if it is quadratic."""
    few, many = make(1000), make(8000)
    limits = Limits(message=None)
    ratio = cost(run_over(SERVER, many, read, limits=limits)) / cost(run_over(SERVER, few, read, limits=limits))
    assert ratio < 24


# Anything at all: an outcome of our own, the same in every chunking.


def extension_sets(choice: int) -> Callable[[], list[MessageCodec]]:
    return lambda: [[], [ShiftCodec()], [ShiftCodec(), RunsCodec()]][choice]  # type: ignore[list-item]


ANY_FRAME = st.builds(
    frame,
    st.sampled_from([CONT, TEXT, BINARY, CLOSE, PING, PONG] * 4 + list(range(16))),
    st.binary(max_size=12)
    | st.text(max_size=5).map(str.encode)
    | st.integers(990, 1020).map(close_payload)
    | st.integers(120, 130).map(bytes),
    fin=st.sampled_from([True, True, True, False]),
    rsv=st.sampled_from([0] * 8 + list(range(8))),
    key=st.sampled_from([KEY] * 8 + [None]),
    declared=st.sampled_from([None] * 12 + [0, 1, 126, 70_000, (1 << 63) - 1, 1 << 63]),
    length_bits=st.sampled_from([None] * 12 + [64]),
)
ANY_INPUT = st.lists(ANY_FRAME, max_size=8).map(b"".join) | st.binary(max_size=40)
PLACES = st.lists(st.integers(0, 1 << 16), max_size=10)
ANY_LIMITS = st.sampled_from(
    [Limits(), Limits(message=15), Limits(message=15, frame=8), Limits(message=None, pongs=3)]
)


@pytest.mark.clause("6455:6.2-frames-are-parsed")
@given(ANY_INPUT, PLACES, st.integers(0, 2), st.booleans(), st.booleans(), ANY_LIMITS)
def test_any_input_in_any_portions_comes_to_the_same(
    data: bytes, places: list[int], extensions: int, eof: bool, we_close: bool, limits: Limits
) -> None:
    def run(chunk: Chunking) -> Outcome:
        return outcome(
            SERVER,
            data,
            chunk,
            eof=eof,
            prepare=lambda connection: connection.close() if we_close else None,
            extensions=extension_sets(extensions),
            limits=limits,
        )

    expected = run(CHUNKINGS["whole"])
    for chunk in (byte_by_byte, lambda data: cut_at(data, places)):
        again = run(chunk)
        # How much of a message was decoded when it went over its limit depends on the portions; the rest does not.
        if extensions and expected.failure is not None and expected.failure.close_code == 1009:
            assert (again.events, again.failure) == (expected.events, expected.failure)
        else:
            assert again.summary() == expected.summary()
    if eof:
        assert expected.closed is not None


@pytest.mark.clause("6455:10.7-input-is-validated")
@given(st.binary(max_size=200), st.sampled_from([SERVER, CLIENT]), st.integers(0, 2), st.booleans(), PLACES)
def test_no_input_makes_it_raise(data: bytes, role: Role, extensions: int, parts: bool, places: list[int]) -> None:
    result = outcome(
        role, data, lambda data: cut_at(data, places), eof=True, extensions=extension_sets(extensions), parts=parts
    )
    assert result.closed is not None
    frames, rest, _ = split_frames(result.output, role)
    assert rest == b""
    assert len([seen for seen in frames if seen.opcode == CLOSE]) <= 1
