"""The two builds of the package compared with each other, and the loops over bytes with the simplest possible ones.

The first part compares the loops one by one: those of the build under test, the Python ones, and functions of a few
lines that are written here from the RFCs. This tests either build. The second part, if the package is compiled,
compares everything at once: the package and its sources as Python (`pure_twin.py`) get the same calls with the same
bytes in the same portions, and must have the same events, output and errors, down to the types of the values and the
messages of the errors.

`retained_bytes` is not compared, as a bytearray grows in other steps than the compiled buffer.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import shutil
import string
import struct
import sys
import weakref
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import pytest
import tiny_extension
from deflating import deflated
from helpers import CLOSE, CONT, KEY, PING, PONG, TEXT, counting_random, cut_at, frame, masked, share, to
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opening import ANSWER, REQUIRED, head
from pure_twin import PURE, TWIN

import rfc6455
import rfc6455.byte_loops
from rfc6455 import CLIENT, SERVER, Role

INSTALLED: Any = rfc6455

#: The loops of each build that is there, under its name.
BODIES: dict[str, Any] = {"python": PURE.byte_loops}
if rfc6455.__compiled__:
    BODIES["compiled"] = rfc6455.byte_loops

EVERY_BODY = pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))

BOTH_BUILDS = pytest.mark.skipif(
    not rfc6455.__compiled__, reason="the package is not compiled here: there is only one build to run"
)


#: The whole package likewise.
PACKAGES: dict[str, Any] = {"python": PURE, **({"compiled": INSTALLED} if rfc6455.__compiled__ else {})}

EVERY_PACKAGE = pytest.mark.parametrize("package", list(PACKAGES.values()), ids=list(PACKAGES))


# The loops. First the masks and the frames.


def naive_mask(data: bytes, key: bytes, turn: int = 0) -> bytes:
    """5.3: transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)."""
    return bytes(octet ^ key[(turn + i) % 4] for i, octet in enumerate(data))


def naive_frame(first: int, payload: bytes, key: bytes | None) -> bytes:
    """5.2: a byte, the mask bit, the length in as few bytes as it needs, the key, the payload."""
    length, mask = len(payload), 0 if key is None else 0x80
    if length <= 125:
        header = struct.pack("!BB", first, mask | length)
    elif length <= 65535:
        header = struct.pack("!BBH", first, mask | 126, length)
    else:
        header = struct.pack("!BBQ", first, mask | 127, length)
    return header + payload if key is None else header + key + naive_mask(payload, key)


# One long line of bytes in which no four are like the four before, and lengths at which a way of masking, or the form
# of a frame's length, may change over.
BYTES = bytes((at * 7 + at // 256) % 256 for at in range(70_000))
LENGTHS = [*range(70), 125, 126, 127, 128, 255, 256, *range(695, 706), 4095, 4097, 32_767, 32_768, 32_769, 65_535]
LENGTHS += [65_536, 65_537, 65_539]
KEYS = [KEY, bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01"]


@EVERY_BODY
def test_masks_a_slice(body: Any) -> None:
    """From any place in the data, which may be odd in memory, and with the key turned in any way."""
    for length, start, turn in itertools.product([n for n in LENGTHS if n < 5000], range(5), range(4)):
        expected = naive_mask(BYTES[start : start + length], KEY, turn)
        assert body.mask_slice(BYTES, start, start + length, KEY, turn) == expected, (length, start, turn)
    for length, turn in itertools.product([n for n in LENGTHS if n >= 5000], range(4)):
        assert body.mask_slice(BYTES, 3, 3 + length, KEY, turn) == naive_mask(BYTES[3 : 3 + length], KEY, turn), length


@EVERY_BODY
@pytest.mark.parametrize("key", KEYS)
def test_takes_a_payload(body: Any, key: bytes) -> None:
    for length in LENGTHS:
        payload = BYTES[:length]
        data = b"before" + key + naive_mask(payload, key) + b"after"
        assert body.take_payload(data, 10, 10 + length, 1) == payload, length
        assert body.take_payload(data, 10, 10 + length, 0) == data[10 : 10 + length], length


@EVERY_BODY
@pytest.mark.parametrize("key", [None, *KEYS])
def test_packs_a_frame(body: Any, key: bytes | None) -> None:
    for length in LENGTHS:
        assert body.pack_frame(0x82, BYTES[:length], key, 0) == naive_frame(0x82, BYTES[:length], key), length


@EVERY_BODY
@pytest.mark.parametrize("key", [None, *KEYS])
def test_packs_a_header_of_a_payload_that_lies_elsewhere(body: Any, key: bytes | None) -> None:
    for length in LENGTHS:
        header = body.pack_header(0x82, length, key)
        frame = naive_frame(0x82, bytes(length), key)
        assert header == frame[: len(frame) - length], length


@EVERY_BODY
@pytest.mark.parametrize("at", [0, 1, 4, 252])
def test_packs_a_frame_with_a_key_out_of_many(body: Any, at: int) -> None:
    keys = bytes(range(256))
    for length in LENGTHS[:80]:
        assert body.pack_frame(0x82, BYTES[:length], keys, at) == naive_frame(0x82, BYTES[:length], keys[at : at + 4])


@EVERY_BODY
@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("letter", ["a", "é", "€", "\U0001f600"])
def test_packs_a_text(body: Any, letter: str, key: bytes | None) -> None:
    for length in [n for n in LENGTHS if n < 5000]:
        text = letter * length
        assert body.pack_text(0x81, text, key, 0) == naive_frame(0x81, text.encode(), key), length
    with pytest.raises(UnicodeEncodeError):
        body.pack_text(0x81, letter + "\ud800", key, 0)


@EVERY_BODY
@pytest.mark.parametrize("key", [None, KEY])
def test_packs_every_first_byte(body: Any, key: bytes | None) -> None:
    for first in range(256):
        assert body.pack_frame(first, b"abc", key, 0) == naive_frame(first, b"abc", key)


@EVERY_BODY
def test_leaves_its_arguments_alone(body: Any) -> None:
    data, key = bytes(BYTES[:100]), bytes(KEY)
    body.mask_slice(data, 1, 90, key, 3)
    body.take_payload(data, 10, 90, 1)
    body.pack_frame(0x82, data, key, 0)
    buffer = body.BytesBuffer()
    buffer.append(data)
    buffer.append_slice(data, 1, 90, key, 3, 0)
    buffer.append_slice(data, 1, 90, b"", 0, 100)
    assert buffer.take_bytes() == data + naive_mask(data[1:90], key, 3) + data[1:90]
    assert (data, key) == (BYTES[:100], KEY)


# The buffer.


class NaiveBuffer:
    """`BytesBuffer` and `TextBuffer` by the simplest means: everything is checked again each time."""

    def __init__(self) -> None:
        self.data = b""

    def __len__(self) -> int:
        return len(self.data)

    def append(self, payload: bytes) -> None:
        self.data += payload

    def append_slice(self, data: bytes, start: int, stop: int, key: bytes, turn: int, more: int) -> None:
        self.data += naive_mask(data[start:stop], key, turn) if key else data[start:stop]

    def check_text(self) -> None:
        check_beginning(self.data)

    def take_bytes(self) -> bytes:
        data, self.data = self.data, b""
        return data

    def take_text(self) -> str:
        return self.take_bytes().decode()


# What can follow the beginning of a character (RFC 3629, section 4): the second byte is of one of the ranges 80..8F,
# 90..9F and A0..BF, the others of 80..BF.
COMPLETIONS = [b"", *(second + b"\x80" * more for second in (b"\x80", b"\x90", b"\xa0") for more in range(3))]


def decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_beginning(data: bytes) -> bool:
    """Return whether some text begins with these bytes."""
    return any(decodes(data + completion) for completion in COMPLETIONS)


def whole_characters(data: bytes) -> int:
    """How many bytes of the beginning of a text are whole characters."""
    return next(size for size in range(len(data), -1, -1) if decodes(data[:size]))


def check_beginning(data: bytes) -> None:
    """Raise an error at the character with the first byte that no text can have there."""
    if decodes(data) or is_beginning(data):
        return
    wrong = next(at for at in range(len(data)) if not is_beginning(data[: at + 1]))
    start = whole_characters(data[:wrong])
    raise UnicodeDecodeError("utf-8", data, start, start + 1, "")


def place_of_error(call: Callable[[], object]) -> tuple[int, int] | None:
    """Which byte is found to be wrong, counted from the end, as a buffer gives only what it had not checked before."""
    try:
        call()
    except UnicodeDecodeError as error:
        return error.object[error.start], len(error.object) - error.start
    return None


def check_in_portions(body: Any, portions: Sequence[bytes]) -> tuple[int, int] | None:
    """Fills a buffer as `MessageReader` does, held against the naive one at each step; gives where it was wrong."""
    buffer, naive = body.TextBuffer(), NaiveBuffer()
    for portion in portions:
        buffer.append(portion)
        naive.append(portion)
        assert len(buffer) == len(naive)
        place = place_of_error(buffer.check_text)
        assert place == place_of_error(naive.check_text), portions
        if place is not None:
            return place
    data = b"".join(portions)
    if decodes(data):
        assert buffer.take_text() == data.decode()
    else:
        assert place_of_error(buffer.take_text) == place_of_error(naive.take_text)
    assert len(buffer) == 0
    return None


# The first and the last byte of each range in the table of RFC 3629, section 4, and their neighbours.
BOUNDARIES = bytes.fromhex("00 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 f7 f8 ff")
FOLLOWING = bytes.fromhex("7f 80 8f 90 9f a0 bf c0")
SHORT = [bytes(sequence) for size in range(4) for sequence in itertools.product(BOUNDARIES, repeat=size)]
OF_FOUR = [bytes(it) for it in itertools.product(bytes.fromhex("e0 ed ef f0 f1 f3 f4 f5"), *[FOLLOWING] * 3)]

# One of each kind: characters of each length at both ends of their ranges; and what is none: overlong forms,
# surrogates, what is above U+10FFFF, bytes that never stand in a text, a byte too many, a byte too few.
CHARACTERS = [
    chr(code).encode()
    for code in (
        *(0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFF),
        *(0x10000, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF),
    )
]
NASTY = [
    bytes.fromhex(text)
    for text in (
        *("c0 80", "c1 bf", "e0 80 80", "e0 9f bf", "f0 80 80 80", "f0 8f bf bf"),
        *("ed a0 80", "ed af bf", "ed b0 80", "ed bf bf", "ed a0 80 ed b0 80"),
        *("f4 90 80 80", "f5 80 80 80", "f7 bf bf bf", "f8 88 80 80 80", "fc 84 80 80 80 80", "fe", "ff"),
        *("80", "bf", "c2 80 80", "e1 80 80 80", "f1 80 80 80 80"),
        *("c2 41", "e1 41", "e1 80 41", "f1 41", "f1 80 41", "f1 80 80 41"),
        *("c2 c2 80", "e1 80 e1 80 80", "f1 80 c2 80"),
    )
]
TORN = [character[:size] for character in CHARACTERS for size in range(1, len(character))]
FILLERS = [b"a", "é".encode(), "€".encode(), "\U0001f600".encode()]


def filled(filler: bytes, size: int) -> bytes:
    """So many bytes of whole characters; what ``filler`` leaves over is ASCII."""
    return b"a" * (size % len(filler)) + filler * (size // len(filler))


@pytest.mark.exhaustive
@EVERY_BODY
def test_every_sequence_at_the_boundaries_of_utf_8(body: Any) -> None:
    right = 0
    for sequence in SHORT + OF_FOUR:
        right += check_in_portions(body, [sequence]) is None
    assert 0 < right < len(SHORT + OF_FOUR)


@pytest.mark.exhaustive
@EVERY_BODY
@pytest.mark.parametrize("filler", FILLERS)
def test_every_sequence_at_every_place_in_a_block(body: Any, filler: bytes) -> None:
    """The compiled check looks at 8, 16, 32 or 64 bytes at a time: wrong must be seen at each place in these, and
    across their edges, and nowhere else."""
    for sequence in CHARACTERS + NASTY + TORN:
        for before in [*range(20), *range(28, 36), *range(60, 68)]:
            check_in_portions(body, [filled(filler, before) + sequence])


@pytest.mark.exhaustive
@EVERY_BODY
@pytest.mark.parametrize("filler", FILLERS)
def test_every_sequence_with_a_whole_block_after_it(body: Any, filler: bytes) -> None:
    for sequence in CHARACTERS + NASTY:
        for before, after in itertools.product([0, 1, 7, 15, 16, 31], [1, 2, 3, 8, 15, 16, 17, 32, 64]):
            check_in_portions(body, [filled(filler, before) + sequence + filled(filler, after)])


@pytest.mark.exhaustive
@EVERY_BODY
def test_every_sequence_cut_everywhere(body: Any) -> None:
    for sequence, size in itertools.product(CHARACTERS + NASTY + TORN, [0, 5, 16, 31]):
        data = filled("é".encode(), size) + sequence + "€x".encode()
        for at in range(size, len(data)):
            check_in_portions(body, [data[:at], data[at:]])
        check_in_portions(body, [data[at : at + 1] for at in range(len(data))])


@pytest.mark.exhaustive
@EVERY_BODY
def test_says_how_much_is_whole(body: Any) -> None:
    """`decode_beginning`, by which parts of a text are cut between characters."""
    for sequence in SHORT + OF_FOUR + [b"a" * 20 + torn for torn in TORN]:
        place = place_of_error(lambda data=sequence: body.decode_beginning(data))  # type: ignore[misc]
        assert place == place_of_error(lambda data=sequence: check_beginning(data))  # type: ignore[misc]
        if place is None:
            size = whole_characters(sequence)
            assert body.decode_beginning(sequence) == (sequence[:size].decode(), size)


@pytest.mark.parametrize("sequence", NASTY + [b"x" * 20 + sequence for sequence in NASTY], ids=bytes.hex)
@BOTH_BUILDS
def test_the_errors_of_a_text_have_the_same_words(sequence: bytes) -> None:
    def errors(body: Any) -> list[Any]:
        buffer = body.TextBuffer()
        buffer.append(sequence)
        return [attempt(call) for call in (buffer.check_text, buffer.check_text, buffer.take_text, buffer.take_text)]

    assert errors(rfc6455.byte_loops) == errors(PURE.byte_loops)


@EVERY_BODY
@pytest.mark.parametrize("wrong", [b"\xff", b"\xe2\x82", b"a" * 40 + b"\xed\xa0\x80"])
def test_a_buffer_keeps_nothing_of_a_text_that_is_none(body: Any, wrong: bytes) -> None:
    buffer = body.TextBuffer()
    buffer.append(wrong)
    with pytest.raises(UnicodeDecodeError):
        buffer.take_text()
    assert (len(buffer), buffer.allocated() < len(wrong)) == (0, True)
    buffer.append(b"next")
    assert buffer.take_text() == "next"


# The last character of each width that a str stores its characters in, and the first of the next.
WIDTHS = st.text(st.sampled_from("a\x7f\x80\xff\u0100\u07ff\u0800\uffff\U00010000\U0010ffff"), max_size=40)


@EVERY_BODY
@given(texts=st.lists(WIDTHS | st.text("az09", min_size=6, max_size=40), max_size=6), cut=st.integers(0, 400))
def test_a_text_is_stored_as_python_stores_it(body: Any, texts: list[str], cut: int) -> None:
    """A str that is wider than it needs to be is equal to no other, as Python compares the widths first."""
    text = "".join(texts)
    data = text.encode()
    buffer = body.TextBuffer()
    for portion in (data[:cut], data[cut:]):
        buffer.append(portion)
        buffer.check_text()
    taken = buffer.take_text()
    assert (taken, hash(taken), sys.getsizeof(taken)) == (text, hash(text), sys.getsizeof("".join(list(text))))


class Fill(NamedTuple):
    """A slice that goes into a buffer, and whether something is taken out of it then."""

    start: int
    stop: int
    key: bytes
    turn: int
    more: int
    then_taken: bool


FILLS = st.builds(
    lambda start, size, *rest: Fill(start, start + size, *rest),
    st.integers(0, 40),
    st.sampled_from([0, 1, 2, 7, 8, 9, 31, 64, 65, 1000, 5000]) | st.integers(0, 300),
    st.sampled_from([b"", KEY, b"\x00\xff\x80\x01"]),
    st.integers(0, 3),
    st.sampled_from([0, 1, 100, 1 << 20, 1 << 62]),
    st.sampled_from([False, False, True]),
)


@EVERY_BODY
@pytest.mark.parametrize(("kind", "take"), [("BytesBuffer", "take_bytes"), ("TextBuffer", "take_text")])
@given(fills=st.lists(FILLS, max_size=12))
def test_a_buffer_joins_slices(body: Any, kind: str, take: str, fills: list[Fill]) -> None:
    buffer, naive = getattr(body, kind)(), NaiveBuffer()
    taken: list[tuple[Any, Any]] = []
    for start, stop, key, turn, more, then_taken in fills:
        for each in (buffer, naive):
            each.append_slice(BYTES, start, stop, key, turn, more)
        assert len(buffer) == len(naive)
        # Room that is made in advance is paid for by what is there: a peer that announces much gets nothing for it.
        assert len(buffer) <= buffer.allocated() <= 2 * len(buffer) + 64
        if then_taken:
            taken.append((attempt(getattr(buffer, take)), attempt(getattr(naive, take))))
            assert len(buffer) == len(naive)
    taken.append((attempt(getattr(buffer, take)), attempt(getattr(naive, take))))
    # What was given is not written to any more.
    assert [ours for ours, _ in taken] == [theirs for _, theirs in taken]


@EVERY_BODY
@pytest.mark.parametrize(("kind", "take"), [("BytesBuffer", "take_bytes"), ("TextBuffer", "take_text")])
@given(fills=st.lists(FILLS, max_size=12))
def test_what_is_appended_simply_takes_no_memory(body: Any, kind: str, take: str, fills: list[Fill]) -> None:
    buffer, naive = getattr(body, kind)(), NaiveBuffer()
    for start, stop, key, turn, more, _ in fills:
        for each in (buffer, naive):
            each.append_slice(BYTES, start, stop, key, turn, more)
        allocated = buffer.allocated()
        turn = (turn + stop - start) % 4
        if buffer.append_simply(BYTES[start:stop], turn):
            naive.append_slice(BYTES, start, stop, key, turn, 0)
        assert (len(buffer), buffer.allocated()) == (len(naive), allocated)
    assert attempt(getattr(buffer, take)) == attempt(getattr(naive, take))


@EVERY_BODY
@given(portions=st.lists(st.sampled_from([*CHARACTERS, *NASTY, *TORN, b"ascii", b"a" * 300]), max_size=12))
def test_text_is_appended_simply_only_if_it_needs_no_check(body: Any, portions: list[bytes]) -> None:
    buffer, naive = body.TextBuffer(), NaiveBuffer()
    for portion in portions:
        if buffer.append_simply(portion, 0):
            naive.append(portion)
            assert portion.isascii()
        else:
            buffer.append(portion)
            naive.append(portion)
        assert len(buffer) == len(naive)
        place = place_of_error(buffer.check_text)
        assert place == place_of_error(naive.check_text)
        if place is not None:
            return
    assert place_of_error(buffer.take_text) == place_of_error(naive.take_text)


@EVERY_BODY
@pytest.mark.parametrize("kind", ["BytesBuffer", "TextBuffer"])
def test_bytes_that_come_singly_are_mostly_appended_simply(body: Any, kind: str) -> None:
    buffer = getattr(body, kind)()
    appended = 0
    for at in range(5000):
        if buffer.append_simply(b"a", 0):
            appended += 1
        else:
            buffer.append_slice(b"a", 0, 1, b"", 0, 5000 - at)
            if kind == "TextBuffer":
                buffer.check_text()
    assert len(buffer) == 5000
    assert appended > 4800


# Heads.

TOKEN_OCTETS = frozenset(b"!#$%&'*+-.^_`|~" + string.digits.encode() + string.ascii_letters.encode())
VISIBLE_OCTETS = frozenset(range(0x21, 0x7F))
VALUE_OCTETS = frozenset(range(256)) - frozenset(range(0x20)) - {0x7F} | {0x09}


def naive_head(data: bytes, stop: int, most: int) -> tuple[Any, ...] | None:
    """A head as RFC 9112, 2.1 and 5 have it, by nothing but ``split``."""
    octets, empty_line, _ = data[:stop].partition(b"\r\n\r\n")
    first_line, *lines = octets.split(b"\r\n")
    words = first_line.split(b" ", 2)
    rest = words[2] if len(words) > 2 else b""
    fields = [line.partition(b":") for line in lines]
    is_good = (
        bool(empty_line)
        and len(words) > 1
        and all(word and VISIBLE_OCTETS.issuperset(word) for word in words[:2])
        and VALUE_OCTETS.issuperset(rest)
        and all(name and colon and TOKEN_OCTETS.issuperset(name) for name, colon, _ in fields)
        and all(VALUE_OCTETS.issuperset(value) for _, _, value in fields)
    )
    if not is_good or len(fields) > most:
        return None
    pairs = [(name.decode(), value.strip(b" \t").decode("latin-1")) for name, _, value in fields]
    index = {name.lower(): (value,) for name, value in pairs}
    start = [words[0].decode(), words[1].decode(), rest.decode("latin-1")]
    return (*start, pairs, index if len(index) == len(pairs) else None, len(octets) + 4)


HEADS = [
    b"GET /chat?a=b HTTP/1.1\r\nHost: example.com\r\nx:\r\nUPGRADE: \t a \tb \xe9\t \r\n\r\nmore",
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept:x\r\nsec-websocket-accept: y\r\n\r\n",
    b"HTTP/1.1 200\r\nDate:  a value that is long enough to be read in steps of 8, with a\ttab in it\r\n\r\n",
    b"a b c\r\n\r\n\r\n\r\n",
    b"\r\n\r\n",
]


@EVERY_BODY
@pytest.mark.parametrize("head", HEADS)
def test_reads_a_head_with_any_octet_changed(body: Any, head: bytes) -> None:
    assert body.read_head(head, len(head), 9) == naive_head(head, len(head), 9)
    for at, octet in itertools.product(
        range(len(head)), [*range(0x30), 0x3A, 0x41, 0x5B, 0x7B, 0x7E, 0x7F, 0x80, 0xFF]
    ):
        changed = head[:at] + bytes([octet]) + head[at + 1 :]
        assert body.read_head(changed, len(changed), 9) == naive_head(changed, len(changed), 9), changed


@EVERY_BODY
@pytest.mark.parametrize("head", HEADS)
def test_reads_a_head_no_further_than_it_is_told(body: Any, head: bytes) -> None:
    for stop, most in itertools.product(range(len(head) + 1), range(4)):
        assert body.read_head(head, stop, most) == naive_head(head, stop, most), (stop, most)
    for stop in (-1, len(head) + 1):
        with pytest.raises(ValueError, match="no such slice"):
            body.read_head(head, stop, 9)


@EVERY_BODY
@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 10, 11, 100])
def test_reads_any_number_of_fields(body: Any, count: int) -> None:
    head = b"a b\r\n" + b"".join([b"Name-%d: %d\r\n" % (at, at) for at in range(count)]) + b"\r\n"
    assert body.read_head(head, len(head), count) == naive_head(head, len(head), count)
    assert body.read_head(head, len(head), count - 1) is None


@EVERY_BODY
@given(
    st.lists(
        st.sampled_from(
            [b"a", b"Host", b"cookie", b":", b" ", b"\t", b"\r\n", b"\r", b"\n", b"\xff", b"\0", b"b" * 9]
        ),
        max_size=30,
    )
)
def test_reads_any_head(body: Any, pieces: list[bytes]) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"".join(pieces) + b"\r\n\r\n"
    assert body.read_head(head, len(head), 9) == naive_head(head, len(head), 9)


# All of the package at once. What was given, in terms that both builds share.


def plain(value: object) -> Any:
    """A value of either build, with the names of its types, so that even True is not 1."""
    name = type(value).__name__
    if isinstance(value, Enum):
        return name, value.name
    if isinstance(value, Exception):
        return name, str(value), plain(value.args), {key: plain(it) for key, it in vars(value).items()}
    if name == "Headers":
        return name, list(value)  # type: ignore[call-overload]
    if isinstance(value, (list, tuple)):
        return name, [plain(item) for item in value]
    if isinstance(value, dict):
        return name, [(plain(key), plain(item)) for key, item in value.items()]
    fields = getattr(value, "__match_args__", None)
    if fields is not None:
        return name, {field: plain(getattr(value, field)) for field in fields}
    if type(value).__module__.startswith(("rfc6455", TWIN)):
        return name
    return name, value


def attempt(call: Callable[..., object], *arguments: Any, **options: Any) -> Any:
    """What comes of a call, be it an error."""
    try:
        return plain(call(*arguments, **options))
    except Exception as error:
        return plain(error)


def check_same(trace: Callable[[Any], Iterator[Any]]) -> None:
    """Run both builds step by step, so that the first difference is shown."""
    for step, (ours, theirs) in enumerate(itertools.zip_longest(trace(INSTALLED), trace(PURE))):
        assert ours == theirs, f"step {step}"


# Connections.


class Call(NamedTuple):
    """A call of a connection's method."""

    method: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})


@cache
def extensions_for(package: Any) -> ModuleType:
    """The extensions of the tests, derived from the classes of this package."""
    made = ModuleType(f"tiny_extension of {package.__name__}")
    source = Path(tiny_extension.__file__).read_text(encoding="utf-8")
    exec(source.replace("from rfc6455 import", f"from {package.__name__} import"), vars(made))
    return made


class Setting(NamedTuple):
    """How a connection is made, in terms that both builds share."""

    role: str
    parts: bool
    limits: dict[str, int | None]
    #: The arguments of `PerMessageDeflate`, or ``None`` for none.
    deflate: dict[str, Any] | None
    shift: bool
    decode_text: bool = True

    def open(self, package: Any) -> Any:
        return package.Connection(
            package.Role[self.role],
            self._codecs(package),
            limits=package.Limits(**self.limits),
            parts=self.parts,
            decode_text=self.decode_text,
            random=counting_random(),
        )

    def _codecs(self, package: Any) -> list[Any]:
        codecs: list[Any] = [extensions_for(package).ShiftCodec()] if self.shift else []
        if self.deflate is not None:
            extension = package.PerMessageDeflate(**self.deflate)
            answer = package.PerMessageDeflate(**self.deflate).accept_offer([("client_max_window_bits", None)])
            words = [tuple(word.strip().split("=")) for word in answer.parameters.split(";")[1:]]
            agreed = [(word[0], word[1] if len(word) > 1 else None) for word in words]
            codecs.append(answer if self.role == "SERVER" else extension.accept_answer(agreed))
        return codecs


STATE = ["closed", "end", "must_close", "finished", "unread", "sent", "received", "state", "has_data_to_send"]
STATE += ["last_pong", "pongs_received", "bytes_received", "leniencies_used"]


def state_of(connection: Any) -> dict[str, Any]:
    return {name: plain(getattr(connection, name)) for name in STATE}


def perform(package: Any, connection: Any, call: Call) -> Any:
    arguments = call.arguments
    if call.method == "send_prepared":
        prepared = attempt(package.PreparedMessage, *arguments, **call.options)
        if prepared != "PreparedMessage":
            return prepared
        return attempt(connection.send_prepared, package.PreparedMessage(*arguments, **call.options))
    if call.method == "_time_out":
        arguments = (package.CloseCause[arguments[0]],)
    if call.method == "send":
        kind, *fields = arguments
        arguments = (getattr(package, kind)(*fields),)
    return attempt(getattr(connection, call.method), *arguments, **call.options)


def run_connection(package: Any, connection: Any, calls: Sequence[Call]) -> Iterator[Any]:
    for call in calls:
        yield call, perform(package, connection, call), state_of(connection)
        # What is unread is fetched by most callers at once, so that little of a stream is lost at its limits.
        while call.method == "receive_data" and connection.unread:
            yield "unread", attempt(connection.receive_data, None), state_of(connection)
    yield "output", connection.data_to_send(), state_of(connection)


# What the peer sends: mostly right, as what is wrong ends the connection.

TEXTS = st.sampled_from(["", "a", "aé€\U0001f600", "x" * 125, "x" * 126, "é" * 700, "\U0001f600" * 17]) | st.text(
    max_size=40
)
PAYLOADS = st.sampled_from([b"", b"\x00", BYTES[:125], BYTES[:126], BYTES[:699], BYTES[:701]]) | st.binary(max_size=40)
SEQUENCES = st.sampled_from(CHARACTERS + NASTY + TORN)
CODES = st.sampled_from([1000, 1001, 1004, 1005, 1006, 1011, 1014, 1015, 2999, 3000, 4999, 5000, 0, 65535])
CUTS = st.lists(st.integers(0, 3000), max_size=3)


def fragments(role: Role, opcode: int, payload: bytes, cuts: list[int], between: bytes, rsv: int) -> bytes:
    """A message in frames cut at these places, with ``between`` between them (5.4)."""
    edges = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
    frames = [
        to(role, CONT if start else opcode, payload[begin:end], fin=last, rsv=0 if start else rsv)
        for start, (begin, end), last in (
            (number > 0, edge, number == len(edges) - 2) for number, edge in enumerate(itertools.pairwise(edges))
        )
    ]
    return between.join(frames)


@functools.cache
def control_frames(role: Role) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda opcode, payload: to(role, opcode, payload), st.sampled_from([PING, PONG]), st.binary(max_size=125)
    )


@functools.cache
def messages(role: Role, compressed: bool) -> st.SearchStrategy[bytes]:
    between = st.just(b"") | control_frames(role)
    contents = st.builds(lambda text: (1, text.encode()), TEXTS) | st.builds(lambda data: (2, data), PAYLOADS)
    plain_messages = st.builds(
        lambda content, cuts, between: fragments(role, content[0], content[1], cuts, between, 0),
        contents,
        CUTS,
        between,
    )
    encoded = st.builds(
        lambda content, level, cuts, between: fragments(
            role, content[0], deflated(content[1], level), cuts, between, 4
        ),
        contents | st.sampled_from([(2, bytes(300_000)), (1, "é".encode() * 70_000), (1, b"\xff" * 1000)]),
        st.sampled_from([0, 1, 9]),
        CUTS,
        between,
    )
    return plain_messages | control_frames(role) | (encoded if compressed else plain_messages)


@functools.cache
def nasty_texts(role: Role) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda before, sequence, after, cuts: fragments(
            role, TEXT, before.encode() + sequence + after.encode(), cuts, b"", 0
        ),
        TEXTS,
        SEQUENCES,
        TEXTS,
        CUTS,
    )


@functools.cache
def wild_frames(role: Role) -> st.SearchStrategy[bytes]:
    """A frame with any header at all; the right mask and no reserved bits are as likely as all others."""
    right_key = KEY if role is SERVER else None
    return st.builds(
        lambda opcode, payload, fin, rsv, key, declared, bits: frame(
            opcode, payload, fin=fin, rsv=rsv, key=key, declared=declared, length_bits=bits
        ),
        st.integers(0, 15),
        PAYLOADS,
        st.booleans(),
        st.just(0) | st.integers(0, 7),
        st.just(right_key) | st.sampled_from([None, KEY]),
        st.none() | st.sampled_from([0, 1, 125, 126, 65535, 65536, (1 << 63) - 1, 1 << 63]),
        st.just(None) | st.just(None) | st.sampled_from([16, 64]),
    ).filter(lambda data: len(data) > 1)


@functools.cache
def ends(role: Role) -> st.SearchStrategy[bytes]:
    payloads = st.builds(
        lambda code, reason: bytes(divmod(code, 256)) + reason,
        CODES,
        st.just(b"") | TEXTS.map(lambda text: text[:30].encode()) | SEQUENCES,
    )
    return st.builds(lambda payload: to(role, CLOSE, payload), payloads | st.sampled_from([b"", b"\x03"]))


@st.composite
def streams(draw: st.DrawFn, role: Role, compressed: bool) -> list[bytes]:
    """Frames that follow each other, now and then with one byte changed, in portions."""
    pieces = draw(st.lists(messages(role, compressed), max_size=4))
    pieces += draw(st.lists(ends(role) | wild_frames(role) | nasty_texts(role) | st.binary(max_size=20), max_size=1))
    data = bytearray(b"".join(pieces))
    if data and draw(st.integers(0, 5)) == 5:
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    if len(data) < 60 and draw(st.booleans()):
        return [bytes([octet]) for octet in data]
    return cut_at(bytes(data), draw(st.lists(st.integers(0, 1 << 20), max_size=6)))


# What the application does.

FLAGS = st.booleans()
COMPRESS = st.sampled_from([None, True, False])
NO_TEXT = st.sampled_from(["\ud800", "a" * 30 + "\udfff", b"bytes", None, 5])
NO_BYTES = st.sampled_from(["text", None, 5, [1]])
VIEWS: st.SearchStrategy[Any] = PAYLOADS.map(bytearray) | PAYLOADS.map(lambda data: memoryview(data))
SENDING = st.one_of(
    st.builds(
        lambda text, fin, compress: Call("send_text", (text,), {"fin": fin, "compress": compress}),
        TEXTS | NO_TEXT,
        FLAGS,
        COMPRESS,
    ),
    st.builds(
        lambda data, fin, compress: Call("send_bytes", (data,), {"fin": fin, "compress": compress}),
        PAYLOADS | VIEWS | st.just(BYTES[:66_000]) | NO_BYTES,
        FLAGS,
        COMPRESS,
    ),
    st.builds(
        lambda message, compress: Call("send_prepared", (message,), {"compress": compress}),
        TEXTS | PAYLOADS | st.sampled_from(["\udc00", None]),
        COMPRESS,
    ),
    st.builds(lambda method, data: Call(method, (data,)), st.sampled_from(["ping", "pong"]), PAYLOADS | NO_BYTES),
    st.sampled_from([Call("data_to_send"), Call("buffers_to_send")]),
    st.sampled_from(
        [
            Call("send", ("TextMessage", "a relay's")),
            Call("send", ("BytesPart", b"a relay's", False)),
            Call("send", ("EncodedText", b"\xff")),
            Call("send", ("Pong", b"")),
        ]
    ),
)
CLOSING = st.one_of(
    st.builds(
        lambda code, reason: Call("close", (code, reason)),
        CODES | st.none(),
        TEXTS | st.sampled_from(["\ud800", "€" * 100]),
    ),
    st.just(Call("close")),
    st.builds(
        lambda cause: Call("_time_out", (cause,)),
        st.sampled_from(["PONG_TIMEOUT", "IDLE_TIMEOUT", "CLOSE_TIMEOUT"]),
    ),
    st.builds(lambda code, reason: Call("send", ("Closed", code, reason)), CODES, TEXTS),
    st.just(Call("receive_data", (b"",))),
    st.just(Call("receive_data", ("text",))),
)

LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "message": st.sampled_from([None, 1, 5, 126, 1000, 100_000]),
        "frame": st.sampled_from([None, 1, 126, 65535]),
        "pongs": st.sampled_from([1, 2, 3]),
    },
)
DEFLATE = st.fixed_dictionaries(
    {},
    optional={
        "server_no_context_takeover": FLAGS,
        "client_no_context_takeover": FLAGS,
        "server_max_window_bits": st.sampled_from([9, 12, 15]),
        "client_max_window_bits": st.sampled_from([9, 12, 15]),
        "level": st.sampled_from([0, 1, 9]),
        "threshold": st.sampled_from([0, 100]),
    },
)


@functools.cache
def settings_of(role: Role) -> st.SearchStrategy[Setting]:
    return st.builds(Setting, st.just(role.name), FLAGS, st.just({}) | LIMITS, st.none() | DEFLATE, FLAGS, FLAGS)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Setting, list[Call]]:
    """A connection, and calls that receive a stream, with sending in between and something that ends it."""
    role = draw(st.sampled_from([SERVER, CLIENT]))
    setting = draw(settings_of(role))
    received = [Call("receive_data", (portion,)) for portion in draw(streams(role, setting.deflate is not None))]
    others = draw(st.lists(SENDING, max_size=4)) + draw(st.lists(CLOSING, max_size=1))
    for call in others:
        received.insert(draw(st.integers(0, len(received))), call)
    return setting, [*received, Call("receive_data", (b"",)), Call("send_text", ("late",))]


FROM_BOTH = [HealthCheck.too_slow, HealthCheck.data_too_large]

PLAIN = Setting("SERVER", False, {}, None, False)
COMPRESSED = PLAIN._replace(deflate={"threshold": 0})


@BOTH_BUILDS
@settings(share(300), suppress_health_check=FROM_BOTH)
@given(conversations())
@example((PLAIN, [Call("receive_data", (to(SERVER, CLOSE, b"\x03\xe8bye"),))]))
@example((PLAIN, [Call("ping", (b"1",)), Call("receive_data", (to(SERVER, PONG, b"1") + to(SERVER, CLOSE),))]))
@example((PLAIN, [Call("receive_data", (masked(b""),)), Call("receive_data", (to(SERVER, TEXT, b"\xff"),))]))
@example((COMPRESSED, [Call("receive_data", (to(SERVER, 2, deflated(bytes(600_000)), rsv=4) * 3,))]))
def test_connections(conversation: tuple[Setting, list[Call]]) -> None:
    setting, calls = conversation
    check_same(lambda package: run_connection(package, setting.open(package), calls))


@BOTH_BUILDS
@pytest.mark.parametrize("parts", [False, True], ids=["whole", "parts"])
@pytest.mark.parametrize("deflate", [None, {}], ids=["plain", "deflate"])
@pytest.mark.parametrize("sequence", NASTY + TORN, ids=bytes.hex)
def test_text_that_is_none(sequence: bytes, deflate: dict[str, Any] | None, parts: bool) -> None:
    """In one frame, in two, and byte by byte, so that it is found in each of the places that look for it."""
    setting = PLAIN._replace(deflate=deflate, parts=parts)
    for text in (sequence, b"a" * 40 + sequence, sequence + "é".encode() * 40):
        payload, rsv = (text, 0) if deflate is None else (deflated(text), 4)
        for cuts in ([], [len(text) // 2], [1, 2, 3]):
            data = fragments(SERVER, TEXT, payload, cuts, to(SERVER, PING, b"?"), rsv)
            for portions in ([data], [data[at : at + 1] for at in range(len(data))]):
                calls = [Call("receive_data", (portion,)) for portion in portions]
                check_same(lambda package, calls=calls: run_connection(package, setting.open(package), calls))  # type: ignore[misc]


# Endpoints, and with them the deadlines. Each call is told a time.


class At(NamedTuple):
    """A call of an endpoint, this many seconds after the previous one."""

    seconds: float
    call: Call


END_STATE = ["closed", "end", "must_close", "finished", "unread", "has_data_to_send", "latency", "subprotocol"]
TIMED = {"events", "receive_data", "advance", "pause", "resume"}
GOES_ON = Call("events", (None, True))


def perform_at(package: Any, endpoint: Any, at: At, now: float) -> Any:
    if at.call.method in TIMED:
        at = at._replace(call=at.call._replace(options={"now": now}))
    if at.call.method == "events":
        # All of them, or one, and the rest comes first in the next call.
        data, takes_all = at.call.arguments
        given = attempt(lambda: list(itertools.islice(endpoint.events(data, now=now), None if takes_all else 1)))
    elif at.call.method == "buffer_updated":
        given = attempt(read_into, endpoint, at.call.arguments[0], now)
    else:
        given = perform(package, endpoint, at.call)
    return given


def read_into(endpoint: Any, data: bytes, now: float) -> list[Any]:
    memory = endpoint.get_buffer(len(data))
    size = min(len(memory), len(data))
    memory[:size] = data[:size]
    return list(endpoint.buffer_updated(size, now=now))


def run_endpoint(package: Any, setting: Setting, timeouts: dict[str, Any], calls: Sequence[At]) -> Iterator[Any]:
    now = 1000.0
    endpoint = package.Endpoint(setting.open(package), package.Timeouts(**timeouts), now=now)
    for at in calls:
        now += at.seconds
        given = perform_at(package, endpoint, at, now)
        state = {name: plain(getattr(endpoint, name)) for name in END_STATE}
        yield at, now, given, state, endpoint.next_deadline(), endpoint.deadlines.next_deadline()
    yield list(map(plain, endpoint.events(now=now))), endpoint.data_to_send(), endpoint.next_deadline()


SECONDS = st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, 10.0, 19.99, 20.0, 20.01, 1e6]) | st.floats(0, 40, width=16)
TIMEOUTS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from([None, 0.5, 1.0, 20.0, 1e9])
        for name in ("open", "body", "ping_interval", "pong", "close", "tcp_close", "idle")
    },
)


def ways_to_give(portion: bytes) -> st.SearchStrategy[Call]:
    calls = [("events", (portion, True)), ("events", (portion, False)), ("receive_data", (portion,))]
    return st.sampled_from([*itertools.starmap(Call, calls), Call("buffer_updated", (portion,))])


@st.composite
def lives(draw: st.DrawFn) -> tuple[Setting, dict[str, Any], list[At]]:
    """An endpoint's life: a stream, sending, time that passes, and pauses in between."""
    role = draw(st.sampled_from([SERVER, CLIENT]))
    setting = draw(settings_of(role))
    portions = draw(streams(role, setting.deflate is not None))[:12]
    calls = [draw(ways_to_give(portion)) for portion in portions]
    others = draw(st.lists(SENDING | st.sampled_from([Call("close"), Call("data_to_send")]), max_size=3))
    others += draw(
        st.lists(st.sampled_from([*map(Call, sorted(TIMED - {"events", "receive_data"})), GOES_ON]), max_size=5)
    )
    for call in others:
        calls.insert(draw(st.integers(0, len(calls))), call)
    calls += draw(st.just([]) | st.just([Call("events", (b"", False))]))
    calls += [GOES_ON] * 2
    return setting, draw(st.just({}) | TIMEOUTS), [At(draw(SECONDS), call) for call in calls]


@BOTH_BUILDS
@settings(share(300), suppress_health_check=FROM_BOTH)
@given(lives())
def test_endpoints(life: tuple[Setting, dict[str, Any], list[At]]) -> None:
    check_same(lambda package: run_endpoint(package, *life))


# Frames.


def run_frames(package: Any, options: tuple[str | None, dict[str, Any], int], portions: list[Any]) -> Iterator[Any]:
    role, limits, bits = options
    parser = package.FrameParser(role and package.Role[role], limits=package.Limits(**limits), reserved_bits=bits)
    for portion in portions:
        result = attempt(parser.receive_data, portion)
        yield result, parser.offset, parser.total, parser.mid_frame
    yield attempt(parser.receive_data, b"\x81\x00"), parser.offset


def run_pieces(package: Any, role: str, bits: int, max_piece: int, portions: list[bytes]) -> Iterator[Any]:
    """As `Connection` drives the cursor."""
    cursor = package.cursor.FrameCursor(package.Role[role], package.Limits(), bits)
    cursor.max_piece = max_piece
    for portion in portions:
        cursor.feed(portion)
        while isinstance(piece := error_or_piece(cursor), int) and piece:
            payload = cursor.take_payload(piece)
            yield piece, cursor.first, cursor.length, payload, cursor.offset, cursor.unparsed
        yield piece, cursor.offset, cursor.unparsed, cursor.total
        cursor.forget()
    cursor.drop()
    yield cursor.unparsed, cursor.total, cursor.mid_frame


def error_or_piece(cursor: Any) -> Any:
    try:
        return cursor.advance()
    except Exception as error:
        return plain(error)


ROLES_AND_STREAMS = st.sampled_from([SERVER, CLIENT]).flatmap(
    lambda role: st.tuples(st.just(role), streams(role, True))
)


@BOTH_BUILDS
@settings(share(100), suppress_health_check=FROM_BOTH)
@given(ROLES_AND_STREAMS, LIMITS, st.sampled_from([0, 4, 7]), st.sampled_from(["own", "both", "text"]))
def test_frame_parsers(stream: tuple[Role, list[bytes]], limits: dict[str, Any], bits: int, kind: str) -> None:
    role, portions = stream
    options = (None if kind == "both" else role.name, limits, bits)
    check_same(lambda package: run_frames(package, options, [*portions, *(["text"] if kind == "text" else [])]))


@BOTH_BUILDS
@settings(share(60), suppress_health_check=FROM_BOTH)
@given(ROLES_AND_STREAMS, st.sampled_from([0, 7]), st.sampled_from([1, 2, 3, 5, 64, 1 << 62]))
def test_pieces_of_frames(stream: tuple[Role, list[bytes]], bits: int, max_piece: int) -> None:
    role, portions = stream
    check_same(lambda package: run_pieces(package, role.name, bits, max_piece, portions))


@BOTH_BUILDS
@given(
    st.integers(-1, 16),
    PAYLOADS | st.just(BYTES[:65_536]),
    st.booleans(),
    st.integers(-1, 8),
    st.none() | st.binary(max_size=5),
)
def test_frames_are_written(opcode: int, payload: bytes, fin: bool, rsv: int, key: bytes | None) -> None:
    def trace(package: Any) -> Iterator[Any]:
        one = package.Frame(opcode, payload, fin, rsv)
        yield plain(one), repr(one), one == package.Frame(opcode, payload, fin, rsv), attempt(hash, one)[0]
        yield attempt(package.serialize_frame, one, key)

    check_same(trace)


# Arguments of other types than the usual ones: what is taken, and what is refused, in which words.


def frame_of(package: Any, *fields: Any, key: Any = None, **options: Any) -> Any:
    return package.serialize_frame(package.Frame(*fields, **options), key)


FOUR_BITS = "an opcode has 4 bits and RSV has 3, not {} and {} (5.2)"
NO_BYTES_ERROR = "binary data is bytes, bytearray or memoryview, not {}"
NO_PAYLOAD_ERROR = "a payload is bytes, bytearray or memoryview, not str"
NO_KEY_ERROR = "a masking key is bytes, bytearray or memoryview, not str"
NO_CODE_ERROR = "a close code is an int or None, not {}"

UNUSUAL: list[tuple[Callable[[Any], Any], object]] = [
    (lambda package: frame_of(package, 1, bytearray(b"x")), b"\x81\x01x"),
    (lambda package: frame_of(package, 1, memoryview(b"x")), b"\x81\x01x"),
    (lambda package: frame_of(package, 1, memoryview(array("H", [0x7878]))), b"\x81\x02xx"),
    (lambda package: frame_of(package, 1, b"x", fin=5), b"\x81\x01x"),
    (lambda package: frame_of(package, 1, b"x", fin=0), b"\x01\x01x"),
    (lambda package: frame_of(package, 1, b"x", key=bytearray(KEY)), b"\x81\x81" + KEY + naive_mask(b"x", KEY)),
    (lambda package: frame_of(package, 1, b"x", key=memoryview(KEY)), b"\x81\x81" + KEY + naive_mask(b"x", KEY)),
    (lambda package: frame_of(package, 1, "x"), TypeError(NO_PAYLOAD_ERROR)),
    (lambda package: frame_of(package, 1, b"x", key="abcd"), TypeError(NO_KEY_ERROR)),
    (lambda package: frame_of(package, 1, b"x", rsv=1 << 40), FOUR_BITS.format(1, 1 << 40)),
    (lambda package: frame_of(package, 1 << 40, b"x"), FOUR_BITS.format(1 << 40, 0)),
    (lambda package: frame_of(package, 1, b"x", rsv=-1), FOUR_BITS.format(1, -1)),
    (
        lambda package: frame_of(package, 1, b"x", key=memoryview(array("I", [1, 2, 3, 4]))),
        "a masking key has 4 bytes, not 16 (5.3)",
    ),
    (
        lambda package: package.apply_mask(b"Hello", memoryview(array("I", [1, 2, 3, 4]))),
        ValueError("a masking key has 4 bytes, not 16 (5.3)"),
    ),
    (lambda package: package.apply_mask(b"Hello", memoryview(array("H", [0, 0]))), b"Hello"),
    (lambda package: package.Connection(package.SERVER).receive_data("a"), TypeError(NO_BYTES_ERROR.format("str"))),
    (lambda package: package.Connection(package.SERVER).send_bytes("a"), TypeError(NO_BYTES_ERROR.format("str"))),
    (lambda package: package.FrameParser().receive_data(5), TypeError(NO_BYTES_ERROR.format("int"))),
    (lambda package: package.ServerHandshake().receive_data(5), TypeError(NO_BYTES_ERROR.format("int"))),
    (lambda package: package.ClientHandshake("ws://a/").receive_data(5), TypeError(NO_BYTES_ERROR.format("int"))),
    (lambda package: package.Connection(package.SERVER).close(1000.0), TypeError(NO_CODE_ERROR.format("1000.0"))),
    (lambda package: package.Connection(package.SERVER).close(3000.5), TypeError(NO_CODE_ERROR.format("3000.5"))),
    (lambda package: package.Connection(package.SERVER).close("1000"), TypeError(NO_CODE_ERROR.format("str"))),
    (lambda package: package.Connection(package.SERVER).close(1000, 5), TypeError("a close reason is a str, not int")),
]


@EVERY_PACKAGE
@pytest.mark.parametrize(("call", "expected"), UNUSUAL)
def test_arguments_of_unusual_types(package: Any, call: Callable[[Any], Any], expected: object) -> None:
    """A `str` that is expected is what a `LocalProtocolError` says."""
    outcome = attempt(call, package)
    if isinstance(expected, Exception):
        assert outcome == plain(expected)
    elif isinstance(expected, str):
        assert outcome[:2] == ("LocalProtocolError", expected)
    else:
        assert outcome == plain(expected)


MAKERS: list[Callable[[Any], Any]] = [
    lambda package: package.Connection(package.SERVER),
    lambda package: package.FrameParser(),
    lambda package: package.PreparedMessage("text"),
]


@EVERY_PACKAGE
@pytest.mark.parametrize("make", MAKERS)
def test_what_has_state_has_no_other_attributes_and_can_be_referred_to_weakly(
    package: Any, make: Callable[[Any], Any]
) -> None:
    it = make(package)
    reference = weakref.ref(it)
    assert reference() is it
    with pytest.raises(AttributeError):
        it.user = "a name that is not there when it is compiled"
    del it
    assert reference() is None


@EVERY_PACKAGE
@pytest.mark.parametrize("make", MAKERS)
def test_a_subclass_may_have_attributes(package: Any, make: Callable[[Any], Any]) -> None:
    """The way to keep something with a connection."""
    kind = type(make(package))
    mine = type("Mine", (kind,), {})
    it = mine(package.SERVER) if kind is package.Connection else mine() if kind is package.FrameParser else mine("")
    it.user = "somebody"
    assert it.user == "somebody"


# Handshakes.

NAMES = [*REQUIRED, *ANSWER, "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Origin", "Content-Length"]
NAMES += ["Transfer-Encoding", "X", "Bad Name", ""]
VALUES = st.sampled_from(
    [
        *(*REQUIRED.values(), *ANSWER.values(), "", ",", "a", "b, a", "keep-alive, upgrade", "0", "5", "chunked", "8"),
        *("permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; x"),
        "x-shift; least=0",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
        *('permessage-deflate; client_max_window_bits="12"', 'a; b="c\\"', "http://server.example.com", "null"),
        "\xff",
        *("permessage-deflate; server_no_context_takeover; server_no_context_takeover", "x" * 300, "a\x00b", "a\nb"),
    ]
) | st.text(st.characters(max_codepoint=0xFF), max_size=12)
FIELDS = st.tuples(st.sampled_from(NAMES), VALUES)
REQUEST_LINES = st.sampled_from(
    [
        *("GET /chat?room=1 HTTP/1.1", "GET http://server.example.com/chat HTTP/1.1", "GET / HTTP/1.0"),
        "POST / HTTP/1.1",
        *("HEAD / HTTP/1.1", "GET * HTTP/1.1", "GET /#x HTTP/1.1", "GET  / HTTP/1.1", "GET / HTTP/2.0", "", "GET /"),
    ]
)
STATUS_LINES = st.sampled_from(
    [
        *("HTTP/1.1 101 ", "HTTP/1.1 101", "HTTP/1.0 101 x", "HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"),
        "HTTP/1.1 204 x",
        *("HTTP/1.1 301 Moved", "HTTP/1.1 999 \xe9", "HTTP/1.1 10 x", "HTTP/1.1 1010 x", "ICY 200 OK", ""),
    ]
)
HEAD_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "head": st.sampled_from([20, 200, 400]),
        "line": st.sampled_from([10, 60, 200]),
        "headers": st.sampled_from([1, 5, 6]),
        "body": st.sampled_from([1, 5]),
    },
)


@st.composite
def heads(
    draw: st.DrawFn, lines: st.SearchStrategy[str], good: str, fields: dict[str, str], role: Role
) -> list[bytes]:
    """A head that is good, or has something left out, added, changed or cut; frames may follow it."""
    missing = draw(st.just("") | st.sampled_from(list(fields)))
    pairs = [(name, value) for name, value in fields.items() if name != missing]
    for pair in draw(st.lists(FIELDS, max_size=3)):
        pairs.insert(draw(st.integers(0, len(pairs))), pair)
    data = bytearray(head(draw(st.just(good) | lines), pairs))
    if draw(st.integers(0, 3)) == 0:
        data[draw(st.integers(0, len(data) - 1))] = draw(st.sampled_from(b"\r\n \t:\x00\xffA"))
    if draw(st.integers(0, 3)) == 0:
        data = bytearray(draw(st.sampled_from([data.replace(b"\r\n", b"\n"), data.replace(b": ", b":"), data[:-2]])))
    data += b"".join(draw(st.lists(messages(role, False), max_size=2)))
    return [*cut_at(bytes(data), draw(st.lists(st.integers(0, 600), max_size=3))), *draw(st.sampled_from([[], [b""]]))]


class Opening(NamedTuple):
    """The arguments of a handshake, in terms that both builds share."""

    subprotocols: list[str]
    deflate: dict[str, Any] | None
    limits: dict[str, int]
    parts: bool

    def options(self, package: Any) -> dict[str, Any]:
        deflate = [] if self.deflate is None else [package.PerMessageDeflate(**self.deflate)]
        return {
            "subprotocols": self.subprotocols,
            "extensions": [extensions_for(package).Shift(), *deflate],
            "limits": package.Limits(**self.limits),
        }


OPENINGS = st.builds(
    Opening,
    st.sampled_from([[], ["a"], ["b", "a"]]),
    st.none() | DEFLATE,
    st.just({}) | HEAD_LIMITS,
    st.booleans(),
)


def receive(handshake: Any, portions: Sequence[bytes]) -> Iterator[Any]:
    """Goes on when it is over, as that has an answer too."""
    for portion in portions:
        yield attempt(handshake.receive_data, portion), plain(handshake.request), plain(handshake.response)
        yield handshake.data_to_send()


def run_opened(package: Any, connection: Any, calls: Sequence[Call]) -> Iterator[Any]:
    yield connection.subprotocol, [codec.parameters for codec in connection.extensions], state_of(connection)
    yield from run_connection(package, connection, [Call("receive_data", (None,)), *calls])


class Answer(NamedTuple):
    """What a server does with a request."""

    subprotocol: str | None
    headers: list[tuple[str, str]]
    #: For `reject`, when it is not accepted.
    status: int | None
    body: bytes


ANSWERS = st.builds(
    Answer,
    st.none() | st.sampled_from(["a", "b", "c"]),
    st.lists(FIELDS, max_size=1) | st.just([]),
    st.none() | st.sampled_from([101, 200, 204, 404, 1000]),
    st.sampled_from([b"", b"no"]),
)
AFTERWARDS = st.lists(SENDING | CLOSING, max_size=2)


def run_server(
    package: Any, opening: Opening, plain_http: bool, origins: Any, portions: list[bytes], answer: Answer, calls: Any
) -> Iterator[Any]:
    policy = getattr(package, origins) if isinstance(origins, str) else origins
    handshake = package.ServerHandshake(**opening.options(package), origins=policy, plain_http=plain_http)
    yield from receive(handshake, portions)
    if answer.status is not None:
        yield attempt(handshake.reject, answer.status, answer.headers, answer.body), handshake.data_to_send()
    try:
        connection = handshake.accept(answer.subprotocol, answer.headers, parts=opening.parts)
    except Exception as error:
        yield plain(error), handshake.data_to_send()
    else:
        yield plain(handshake.response)
        yield from run_opened(package, connection, calls)


@BOTH_BUILDS
@settings(share(150), suppress_health_check=FROM_BOTH)
@given(
    OPENINGS,
    st.booleans(),
    st.sampled_from(["SAME_HOST", "ANY_ORIGIN", ["null"]]),
    heads(REQUEST_LINES, "GET /chat HTTP/1.1", REQUIRED, SERVER),
    ANSWERS,
    AFTERWARDS,
)
def test_server_handshakes(
    opening: Opening, plain_http: bool, origins: Any, portions: list[bytes], answer: Answer, calls: list[Call]
) -> None:
    check_same(lambda package: run_server(package, opening, plain_http, origins, portions, answer, calls))


def sample_nonce() -> Callable[[int], bytes]:
    """Random bytes for a client: the key of 1.3 first, then what is known too."""
    count = counting_random()
    return lambda size: b"the sample nonce" if size == 16 else count(size)


def run_client(
    package: Any, opening: Opening, uri: str, fields: list[Any], portions: list[bytes], calls: Sequence[Call]
) -> Iterator[Any]:
    options = opening.options(package)
    try:
        handshake = package.ClientHandshake(uri, **options, headers=fields, parts=opening.parts, random=sample_nonce())
    except Exception as error:
        yield plain(error)
        return
    yield plain(handshake.request), plain(handshake.uri), handshake.data_to_send()
    for at, portion in enumerate(portions):
        try:
            connection = handshake.receive_data(portion)
        except Exception as error:
            yield plain(error), plain(handshake.response), attempt(handshake.receive_data, b"x")
            return
        yield plain(connection), plain(handshake.response)
        if connection is not None:
            rest = [Call("receive_data", (portion,)) for portion in portions[at + 1 :]]
            yield from run_opened(package, connection, [*rest, *calls])
            return


@BOTH_BUILDS
@settings(share(150), suppress_health_check=FROM_BOTH)
@given(
    OPENINGS,
    st.just("ws://server.example.com/chat") | st.sampled_from(["wss://[::1]:99/?a", "ws://x#y", "http://x", ""]),
    st.just([]) | st.lists(FIELDS, max_size=1),
    heads(STATUS_LINES, "HTTP/1.1 101 Switching Protocols", ANSWER, CLIENT),
    AFTERWARDS,
)
def test_client_handshakes(
    opening: Opening, uri: str, fields: list[Any], portions: list[bytes], calls: list[Call]
) -> None:
    check_same(lambda package: run_client(package, opening, uri, fields, portions, calls))


@BOTH_BUILDS
@given(OPENINGS, st.lists(FIELDS, max_size=3), st.sampled_from(["GET", "POST"]), st.sampled_from(["/", "x", "/#"]))
def test_heads_that_others_read(opening: Opening, extra: list[Any], method: str, target: str) -> None:
    def trace(package: Any) -> Iterator[Any]:
        options = opening.options(package)
        server = package.ServerHandshake(**options)
        yield attempt(server.receive_request, method, target, [*REQUIRED.items(), *extra]), plain(server.response)
        client = package.ClientHandshake("ws://x/", **options, random=sample_nonce())
        yield attempt(client.receive_response, 101, [*ANSWER.items(), *extra]), plain(client.response)

    check_same(trace)


# What this file rests on.


@BOTH_BUILDS
def test_the_twin_is_the_same_package_without_the_compiler() -> None:
    assert rfc6455.__compiled__ is True
    assert PURE.__compiled__ is False
    ours = {name.removeprefix("rfc6455.") for name in sys.modules if name.startswith("rfc6455.")}
    twins = {name.removeprefix(f"{TWIN}."): module for name, module in sys.modules.items() if name.startswith(TWIN)}
    assert {"byte_loops", "frames", "connection", "handshake"} <= ours & twins.keys()
    assert "_byte_loops" in ours
    assert all(str(module.__file__).endswith(".py") for module in twins.values())
    assert BODIES["compiled"].mask_slice is not BODIES["python"].mask_slice


@pytest.mark.parametrize("number", range(3))
def test_compiled_bodies_that_are_there_and_do_not_work_are_not_passed_over(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only their speed would show that they are missing."""
    faults = ["import a_module_that_is_not_there", "raise ImportError('undefined symbol')", "mask_slice = None"]
    package = tmp_path / f"rfc6455_with_fault_{number}"
    package.mkdir()
    for name in ("__init__", "_byte_loops"):
        (package / f"{name}.py").write_text(faults[number] if name == "_byte_loops" else "")
    for name in ("codes", "arguments", "byte_loops"):
        shutil.copyfile(Path(rfc6455.__file__).with_name(f"{name}.py"), package / f"{name}.py")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError):
        importlib.import_module(f"{package.name}.byte_loops")


def test_the_comparison_sees_small_differences() -> None:
    """A comparison that finds all values equal would prove nothing."""
    values: list[Any] = [
        *(0, False, None, "", b"", bytearray(), [], (), ValueError("a"), ValueError("b"), TypeError("a")),
        *(rfc6455.Ping(b""), rfc6455.Pong(b""), rfc6455.Ping(b"x"), rfc6455.BytesPart(b"", True)),
        *(rfc6455.BytesPart(b"", False), rfc6455.Closed(1000), rfc6455.Closed(rfc6455.CloseCode.NORMAL_CLOSURE)),
        *(rfc6455.RemoteProtocolError(1002, "", "5.2", offset) for offset in (None, 0, 1)),
        *(rfc6455.CloseCause.EOF_IDLE, rfc6455.CloseCause.VIOLATION, rfc6455.Direction.IDLE),
    ]
    for one, other in itertools.combinations(values, 2):
        assert plain(one) != plain(other)
    assert plain(rfc6455.Ping(b"x")) == plain(PURE.Ping(b"x"))
