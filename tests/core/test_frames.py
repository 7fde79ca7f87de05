"""Frames (5.2): the RFC's examples byte for byte, each header rule at the byte where it can be known, and limits."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from helpers import (
    BINARY,
    BOTH_ROLES,
    CLOSE,
    CONT,
    EVERY_CHUNKING,
    KEY,
    PING,
    PONG,
    TEXT,
    Chunking,
    byte_by_byte,
    cut_at,
    frame,
    masked,
    to,
    wire,
)
from hypothesis import given
from hypothesis import strategies as st

from rfc6455 import (
    CLIENT,
    SERVER,
    Frame,
    FrameParser,
    Limits,
    LocalProtocolError,
    Opcode,
    RemoteProtocolError,
    Role,
    serialize_frame,
)

# Section 5.7, in its order: what it is, the bytes, the frames, the key.
BLOB_256 = bytes(range(256))
BLOB_64K = bytes(range(256)) * 256
EXAMPLES = {
    "5.7, A single-frame unmasked text message": (
        bytes.fromhex("81 05 48 65 6c 6c 6f"),
        wire("1 000 0001", "0 0000101", b"Hello"),
        [Frame(Opcode.TEXT, b"Hello")],
        None,
    ),
    "5.7, A single-frame masked text message": (
        bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58"),
        wire("1 000 0001", "1 0000101", KEY, masked(b"Hello")),
        [Frame(Opcode.TEXT, b"Hello")],
        KEY,
    ),
    "5.7, A fragmented unmasked text message": (
        bytes.fromhex("01 03 48 65 6c 80 02 6c 6f"),
        wire("0 000 0001", "0 0000011", b"Hel", "1 000 0000", "0 0000010", b"lo"),
        [Frame(Opcode.TEXT, b"Hel", fin=False), Frame(Opcode.CONT, b"lo")],
        None,
    ),
    "5.7, Unmasked Ping request": (
        bytes.fromhex("89 05 48 65 6c 6c 6f"),
        wire("1 000 1001", "0 0000101", b"Hello"),
        [Frame(Opcode.PING, b"Hello")],
        None,
    ),
    "5.7, and masked Ping response": (
        bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"),
        wire("1 000 1010", "1 0000101", KEY, masked(b"Hello")),
        [Frame(Opcode.PONG, b"Hello")],
        KEY,
    ),
    "5.7, 256 bytes binary message in a single unmasked frame": (
        bytes.fromhex("82 7e 01 00") + BLOB_256,
        wire("1 000 0010", "0 1111110", "00000001 00000000", BLOB_256),
        [Frame(Opcode.BINARY, BLOB_256)],
        None,
    ),
    "5.7, 64KiB binary message in a single unmasked frame": (
        bytes.fromhex("82 7f 00 00 00 00 00 01 00 00") + BLOB_64K,
        wire("1 000 0010", "0 1111111", "0" * 47 + "1" + "0" * 16, BLOB_64K),
        [Frame(Opcode.BINARY, BLOB_64K)],
        None,
    ),
}
EXAMPLE = pytest.mark.parametrize(("as_hex", "as_bits", "frames", "key"), list(EXAMPLES.values()), ids=list(EXAMPLES))


@pytest.mark.clause("6455:5.3-mask-bit")
@EXAMPLE
def test_examples_are_written_as_the_rfc_has_them(
    as_hex: bytes, as_bits: bytes, frames: list[Frame], key: bytes | None
) -> None:
    assert as_hex == as_bits
    assert b"".join(serialize_frame(each, key) for each in frames) == as_hex


@EXAMPLE
@EVERY_CHUNKING
def test_examples_are_read(
    chunk: Chunking, as_hex: bytes, as_bits: bytes, frames: list[Frame], key: bytes | None
) -> None:
    for role in (None, CLIENT if key is None else SERVER):
        assert parse_all(FrameParser(role), chunk(as_hex)) == frames


def parse_all(parser: FrameParser, portions: list[bytes]) -> list[Frame]:
    return [each for portion in portions for each in parser.receive_data(portion)]


def error_of(portions: list[bytes], role: Role | None = None, **options: object) -> tuple[RemoteProtocolError, int]:
    """Parse until it fails; return the error, and how many bytes had been fed when it came."""
    parser = FrameParser(role, **options)  # type: ignore[arg-type]
    fed = 0
    frames: list[Frame] = []
    for portion in portions:
        fed += len(portion)
        try:
            frames += parser.receive_data(portion)
        except RemoteProtocolError as error:
            error.frames = frames + error.frames
            return error, fed
    raise AssertionError(f"no error in {portions!r}, but {frames!r}")


# The first byte: all 256 of them, with each set of RSV bits that extensions may have claimed.


def first_byte_is_legal(first: int, reserved_bits: int) -> bool:
    bits = f"{first:08b}"
    fin, rsv, opcode = bits[0] == "1", int(bits[1:4], 2), int(bits[4:], 2)
    if opcode in (PING, PONG, CLOSE):
        return fin and rsv == 0
    return opcode in (CONT, TEXT, BINARY) and rsv & reserved_bits == rsv


@pytest.mark.clause(
    "6455:5.2-rsv-is-refused",
    "6455:5.2-opcode-is-refused",
    "6455:5.4-control-is-whole",
    "6455:5.5-not-fragmented",
)
@pytest.mark.parametrize("reserved_bits", range(8))
def test_each_first_byte_is_judged_when_it_is_there(reserved_bits: int) -> None:
    for first in range(256):
        parser = FrameParser(reserved_bits=reserved_bits)
        if first_byte_is_legal(first, reserved_bits):
            assert parser.receive_data(bytes([first])) == []
            parsed = parser.receive_data(b"\x00")
            assert parsed == [Frame(Opcode(first & 15), b"", first >= 128, first >> 4 & 7)]
        else:
            with pytest.raises(RemoteProtocolError) as caught:
                parser.receive_data(bytes([first]))
            assert (caught.value.close_code, caught.value.offset) == (1002, 0)


FIRST_BYTE_ERRORS = [
    (0x83, "5.2", "the reserved opcode 0x3"),
    (0x07, "5.2", "the reserved opcode 0x7"),
    (0x8B, "5.2", "the reserved opcode 0xb"),
    (0x7F, "5.2", "the reserved opcode 0xf"),
    (0x09, "5.5", "a fragmented control frame"),
    (0x08, "5.5", "a fragmented control frame"),
    (0x7A, "5.5", "a fragmented control frame"),
    (0xC1, "5.2", "reserved bits 100 that no negotiated extension defines"),
    (0xA2, "5.2", "reserved bits 010 that no negotiated extension defines"),
    (0x10, "5.2", "reserved bits 001 that no negotiated extension defines"),
    (0xF9, "5.2", "reserved bits 111 that no negotiated extension defines"),
]


@pytest.mark.parametrize(("first", "section", "reason"), FIRST_BYTE_ERRORS)
def test_words_for_a_bad_first_byte(first: int, section: str, reason: str) -> None:
    error, _ = error_of([bytes([first])])
    assert (error.section, error.reason) == (section, reason)


# The second byte.


@pytest.mark.clause("6455:5.1-unmasked-is-refused", "6455:5.1-masked-is-refused")
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [CONT, TEXT, BINARY, CLOSE, PING, PONG])
def test_direction_of_masks(role: Role, opcode: int) -> None:
    """5.1: a server must fail on an unmasked frame, a client on a masked one; known at the second byte."""
    wrong = frame(opcode, b"12345", key=None if role is SERVER else KEY)
    error, fed = error_of(byte_by_byte(wrong), role)
    assert fed == 2
    assert (error.close_code, error.section, error.offset) == (1002, "5.1", 0)
    assert error.reason == (
        "a frame without a mask; a client must mask all frames"
        if role is SERVER
        else "a masked frame; a server must not mask any frame"
    )


@EVERY_CHUNKING
def test_an_onlooker_takes_masked_and_unmasked_frames(chunk: Chunking) -> None:
    data = frame(TEXT, b"a", key=KEY) + frame(TEXT, b"b") + frame(PING, b"c", key=b"\x00\x00\x00\x00")
    assert [each.payload for each in parse_all(FrameParser(), chunk(data))] == [b"a", b"b", b"c"]


@pytest.mark.clause("6455:5.5-at-most-125")
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("length", [126, 127, 65535, 65536])
def test_control_frames_of_more_than_125_bytes(role: Role, opcode: int, length: int) -> None:
    """5.5: known at the second byte, whatever the length turns out to be."""
    error, fed = error_of(byte_by_byte(to(role, opcode, declared=length)), role)
    assert fed == 2
    assert (error.close_code, error.section) == (1002, "5.5")
    assert error.reason == "a control frame of more than 125 bytes"


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("length_bits", [16, 64])
def test_control_frames_with_an_extended_length_even_a_small_one(opcode: int, length_bits: int) -> None:
    error, fed = error_of(byte_by_byte(frame(opcode, b"", length_bits=length_bits)))
    assert (fed, error.close_code, error.section) == (2, 1002, "5.5")


# The length.

UNLIMITED = Limits(message=None)


@pytest.mark.clause("6455:5.2-length-is-minimal")
@pytest.mark.parametrize("length", [0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537, 100_000])
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
def test_lengths_at_each_border(length: int, key: bytes | None) -> None:
    payload = bytes(at % 256 for at in range(length))
    data = frame(BINARY, payload, key=key)
    header = 2 if length < 126 else 4 if length < 65536 else 10
    assert len(data) == header + (4 if key else 0) + length
    assert serialize_frame(Frame(Opcode.BINARY, payload), key) == data
    for cut in {1, 2, 3, header - 1, header, header + 1, header + 5, len(data) - 1}:
        portions = cut_at(data, [cut])
        assert parse_all(FrameParser(), portions) == [Frame(Opcode.BINARY, payload)]


@pytest.mark.clause("6455:5.2-length-is-minimal")
@BOTH_ROLES
@pytest.mark.parametrize(
    ("length_bits", "length"),
    [(16, 0), (16, 1), (16, 125), (64, 0), (64, 125), (64, 126), (64, 65535)],
)
@EVERY_CHUNKING
def test_lengths_in_more_bytes_than_they_need(chunk: Chunking, role: Role, length_bits: int, length: int) -> None:
    """5.2: "the minimal number of bytes MUST be used"; known when the last byte of the length is there."""
    data = to(role, BINARY, bytes(length), length_bits=length_bits)
    error, _ = error_of(chunk(data), role)
    assert (error.close_code, error.section, error.offset) == (1002, "5.2", 0)
    assert f"a length of {length} in more bytes" in error.reason
    _, fed = error_of(byte_by_byte(data), role)
    assert fed == 2 + length_bits // 8


@pytest.mark.clause("6455:5.2-length-has-63-bits")
@pytest.mark.parametrize("length", [1 << 63, (1 << 63) + 5, (1 << 64) - 1])
@pytest.mark.parametrize("limits", [Limits(), UNLIMITED, Limits(frame=1)])
def test_lengths_of_2_to_63_and_more(length: int, limits: Limits) -> None:
    """5.2: "the most significant bit MUST be 0"; known at the first byte of the length."""
    data = frame(BINARY, declared=length)
    error, fed = error_of(byte_by_byte(data), limits=limits)
    assert fed == 3
    assert (error.close_code, error.section) == (1002, "5.2")
    assert error.reason == "a payload length of 2^63 or more; its most significant bit must be 0"
    whole, _ = error_of([data], limits=limits)
    assert str(whole) == str(error)


@pytest.mark.parametrize("length", [(1 << 63) - 1, (1 << 63) - 2, 1 << 62, 1 << 32, (1 << 31) - 1])
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
def test_the_largest_lengths_are_legal_and_cost_nothing(length: int, key: bytes | None) -> None:
    for chunk in ([1000], [1], list(range(30))):
        data = frame(BINARY, b"some of it", declared=length, key=key)
        parser = FrameParser(limits=UNLIMITED)
        assert parse_all(parser, cut_at(data, chunk)) == []
        assert parser.mid_frame


# Limits: 1009, on the header alone.


@pytest.mark.clause("6455:10.4-limits-hold", "6455:10.4-limits-are-there")
@BOTH_ROLES
@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(frame=100), 100),
        (Limits(frame=126), 126),
        (Limits(frame=70_000), 70_000),
        (Limits(message=100), 100),
        (Limits(frame=100, message=10), 100),
        (Limits(frame=100, message=None), 100),
        (Limits(), 1 << 20),
    ],
)
def test_frame_limit(role: Role, limits: Limits, most: int) -> None:
    allowed = FrameParser(role, limits=limits)
    assert allowed.receive_data(to(role, BINARY, declared=most)) == []
    for length in (most + 1, most + 2, most + 300, (1 << 63) - 1):
        header = to(role, BINARY, declared=length)
        error, fed = error_of(byte_by_byte(header), role, limits=limits)
        length_bytes = 0 if length < 126 else 2 if length < 65536 else 8
        assert fed == 2 + length_bytes
        assert (error.close_code, error.section, error.offset) == (1009, "10.4", 0)
        assert f"{length}" in error.reason
        assert f"{most}" in error.reason


@BOTH_ROLES
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("limits", [Limits(frame=1), Limits(message=1)])
def test_the_limit_is_on_data_frames(role: Role, opcode: int, limits: Limits) -> None:
    """A control frame has its own limit, of 125 bytes (5.5), and always fits."""
    payload = bytes(125)
    parsed = FrameParser(role, limits=limits).receive_data(to(role, opcode, payload))
    assert parsed == [Frame(Opcode(opcode), payload)]


# Errors.


@EVERY_CHUNKING
def test_frames_before_the_error_are_in_it_and_the_offset_is_that_of_the_bad_frame(chunk: Chunking) -> None:
    good = [Frame(Opcode.TEXT, b"one", fin=False), Frame(Opcode.PING, b"two"), Frame(Opcode.CONT, bytes(300))]
    before = b"".join(frame(each.opcode, each.payload, fin=each.fin) for each in good)
    error, _ = error_of(chunk(before + frame(3, b"xyz") + frame(TEXT, b"never seen")))
    assert error.frames == good
    assert error.offset == len(before)


def test_an_error_stays_and_takes_no_more() -> None:
    parser = FrameParser()
    with pytest.raises(RemoteProtocolError) as first:
        parser.receive_data(frame(TEXT, b"x") + b"\x83")
    for data in (b"", b"\x83", frame(TEXT, b"y"), bytes(1000)):
        with pytest.raises(RemoteProtocolError) as again:
            parser.receive_data(data)
        assert str(again.value) == str(first.value)
    assert parser.total == len(frame(TEXT, b"x")) + 1


def test_an_error_that_is_raised_again_does_not_grow() -> None:
    parser = FrameParser()
    lengths = []
    for _ in range(5):
        with pytest.raises(RemoteProtocolError) as caught:
            parser.receive_data(b"\x83")
        lengths.append(len(caught.traceback))
    assert lengths[1] == lengths[-1]


@pytest.mark.parametrize("role", ["server", "client", 1, True, object])
def test_a_role_is_a_role(role: object) -> None:
    with pytest.raises(TypeError, match="role"):
        FrameParser(role)  # type: ignore[arg-type]


@pytest.mark.parametrize("reserved_bits", [-1, 8, 100])
def test_there_are_three_reserved_bits(reserved_bits: int) -> None:
    with pytest.raises(ValueError, match="reserved_bits"):
        FrameParser(reserved_bits=reserved_bits)


# Input.


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_input_of_any_kind_can_be_reused_by_the_caller(kind: type) -> None:
    parser = FrameParser(SERVER)
    data = to(SERVER, TEXT, b"Hello") + to(SERVER, PING, b"ping")
    frames = []
    for portion in (data[:3], data[3:9], data[9:]):
        given_to_parser = kind(bytearray(portion))
        frames += parser.receive_data(given_to_parser)
        if kind is bytearray:
            given_to_parser[:] = b"\xff" * len(portion)
    assert frames == [Frame(Opcode.TEXT, b"Hello"), Frame(Opcode.PING, b"ping")]
    assert {type(each.payload) for each in frames} == {bytes}


def test_no_input_is_no_frame() -> None:
    parser = FrameParser()
    assert parser.receive_data(b"") == []
    parser.receive_data(b"\x81\x05He")
    assert parser.receive_data(b"") == []
    assert parser.receive_data(b"llo") == [Frame(Opcode.TEXT, b"Hello")]


def test_what_a_parser_says_about_its_place() -> None:
    parser = FrameParser(SERVER)
    assert (parser.total, parser.mid_frame) == (0, False)
    data = to(SERVER, TEXT, b"Hello")
    parser.receive_data(data + data[:1])
    assert (parser.total, parser.mid_frame) == (len(data) + 1, True)
    parser.receive_data(data[1:8])
    assert (parser.total, parser.mid_frame) == (len(data) + 8, True)
    parser.receive_data(data[8:])
    assert (parser.total, parser.mid_frame) == (2 * len(data), False)
    assert parser.offset == len(data)


def test_a_parser_that_has_seen_nothing_is_at_the_beginning() -> None:
    assert FrameParser().offset == 0


@pytest.mark.parametrize("more", [b"", b"abc"])
def test_after_an_error_the_offset_is_that_of_the_bad_frame(more: bytes) -> None:
    before = frame(TEXT, b"Hello") + frame(TEXT, b"Hello")
    parser = FrameParser()
    parser.receive_data(before[:9])
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            parser.receive_data(before[9:] + b"\x83\x00" + more)
        assert (caught.value.offset, parser.offset) == (len(before), len(before))
        assert not parser.mid_frame
        assert parser.total == len(before + b"\x83\x00" + more)


# Memory: bytes that come one at a time leave nothing behind but the payload.


@pytest.mark.measured
def test_a_dribbled_frame_keeps_at_most_twice_its_payload() -> None:
    size = 20_000
    data = to(SERVER, BINARY, bytes(size))
    parser = FrameParser(SERVER)
    tracemalloc.start()
    try:
        for portion in byte_by_byte(data[:-1]):
            parser.receive_data(portion)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size <= kept < 2 * size


def test_a_dribbled_control_frame_keeps_only_itself() -> None:
    parser = FrameParser(SERVER)
    data = to(SERVER, PING, bytes(125))
    for at, portion in enumerate(byte_by_byte(data[:-1]), 1):
        parser.receive_data(portion)
        assert (parser.total, parser.mid_frame) == (at, True)
    assert len(parser.receive_data(data[-1:])) == 1
    assert not parser.mid_frame


@pytest.mark.clause("6455:5.3-mask-bit")
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "masked"])
def test_serializer_against_the_hand_written_one(key: bytes | None) -> None:
    for opcode, fin, rsv in itertools.product(range(16), (True, False), range(8)):
        made = Frame(opcode, b"payload", fin, rsv)  # type: ignore[arg-type]
        assert serialize_frame(made, key) == frame(opcode, b"payload", fin=fin, rsv=rsv, key=key)


@pytest.mark.parametrize(("opcode", "rsv"), [(16, 0), (-1, 0), (255, 0), (1, 8), (1, -1), (1, 100)])
def test_what_has_no_bits_in_the_header_is_refused(opcode: int, rsv: int) -> None:
    with pytest.raises(LocalProtocolError, match=r"an opcode has 4 bits and RSV has 3"):
        serialize_frame(Frame(opcode, b"", True, rsv))  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [b"", b"123", b"12345"])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=f"a masking key has 4 bytes, not {len(key)}"):
        serialize_frame(Frame(Opcode.TEXT, b"x"), key)


@pytest.mark.parametrize("payload", [None, "text", 5])
def test_a_payload_that_is_no_bytes_is_refused(payload: object) -> None:
    with pytest.raises(TypeError):
        serialize_frame(Frame(Opcode.TEXT, payload))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", ["", "text", 5, None, [1, 2]], ids=repr)
def test_input_that_is_no_bytes_is_refused(data: object) -> None:
    parser = FrameParser()
    with pytest.raises(TypeError, match=f"is bytes, bytearray or memoryview, not {type(data).__name__}$"):
        parser.receive_data(data)  # type: ignore[arg-type]
    assert parser.total == 0


# Whatever is written is read; whatever is read is frames or our own error.

FRAMES = st.builds(
    Frame,
    st.sampled_from(Opcode),
    st.binary(max_size=125) | st.integers(126, 70_000).map(bytes),
    st.booleans(),
    st.integers(0, 7),
).filter(lambda each: each.opcode < CLOSE or (each.fin and not each.rsv and len(each.payload) <= 125))
KEYS = st.none() | st.binary(min_size=4, max_size=4)
PLACES = st.lists(st.integers(0, 1 << 20), max_size=12)


@given(st.lists(st.tuples(FRAMES, KEYS), max_size=6), PLACES)
def test_parse_undoes_serialize(pairs: list[tuple[Frame, bytes | None]], places: list[int]) -> None:
    data = b"".join(serialize_frame(each, key) for each, key in pairs)
    parser = FrameParser(reserved_bits=7)
    assert parse_all(parser, cut_at(data, places)) == [each for each, _ in pairs]
    assert not parser.mid_frame
    assert parser.total == len(data)


Verdict = tuple[list[Frame], "str | None"]


def verdict(portions: list[bytes], role: Role | None, limits: Limits, reserved_bits: int) -> Verdict:
    parser = FrameParser(role, limits=limits, reserved_bits=reserved_bits)
    frames: list[Frame] = []
    try:
        for portion in portions:
            frames += parser.receive_data(portion)
    except RemoteProtocolError as error:
        return frames + error.frames, str(error)
    return frames, None


@given(
    st.binary(max_size=60),
    PLACES,
    st.sampled_from([None, CLIENT, SERVER]),
    st.sampled_from([Limits(), Limits(frame=20), UNLIMITED]),
    st.integers(0, 7),
)
def test_any_bytes_in_any_portions_come_to_the_same(
    data: bytes, places: list[int], role: Role | None, limits: Limits, reserved_bits: int
) -> None:
    expected = verdict([data], role, limits, reserved_bits)
    assert verdict(cut_at(data, places), role, limits, reserved_bits) == expected
    assert verdict(byte_by_byte(data), role, limits, reserved_bits) == expected


# Frames as values.


def test_frames_are_values() -> None:
    assert Frame(Opcode.TEXT, b"x") == Frame(Opcode.TEXT, b"x", True, 0)
    others = [
        Frame(Opcode.BINARY, b"x"),
        Frame(Opcode.TEXT, b"y"),
        Frame(Opcode.TEXT, b"x", False),
        Frame(Opcode.TEXT, b"x", True, 4),
    ]
    assert Frame(Opcode.TEXT, b"x") not in others
    assert len({Frame(Opcode.TEXT, b"x"), Frame(Opcode.TEXT, b"x"), *others}) == 5
    assert Frame(Opcode.PING) == Frame(Opcode.PING, b"", True, 0)
    assert "opcode=<Opcode.TEXT: 1>, payload=b'x', fin=True, rsv=0" in repr(Frame(Opcode.TEXT, b"x"))
