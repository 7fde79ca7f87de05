"""Helpers for tests of the protocol: frames written by hand, bytes cut in every way, two ends joined in memory.

The law: frames are written and read here, without the package's serializer and parser, and without
`rfc6455.testing.WireFrame`, which is tested with these helpers: code that checks itself hides its mistakes. `wire`
puts bits together as in the diagram of section 5.2, `frame` builds on it, and `read_frames` parses frames
independently. Reads and pairs are those of `rfc6455.testing`, which has its own tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from rfc6455 import (
    CLIENT,
    SERVER,
    CloseCause,
    Closed,
    Connection,
    Event,
    MessageCodec,
    RemoteProtocolError,
    Role,
)

# `byte_by_byte` is for those who import it from here.
from rfc6455.testing import CHUNKINGS, Chunking, CutAt, Pair, feed, whole
from rfc6455.testing import byte_by_byte as byte_by_byte

BOTH_ROLES = pytest.mark.parametrize("role", [SERVER, CLIENT], ids=["server", "client"])

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

#: The key of the masked example of section 5.7.
KEY = b"\x37\xfa\x21\x3d"


# Frames, written and read by hand.


def wire(*pieces: str | bytes) -> bytes:
    """Put a frame together: a ``str`` is bits, with spaces wherever they help; ``bytes`` are themselves.

    >>> wire("1 000 0001", "0 0000101", b"Hello")
    b'\\x81\\x05Hello'
    """
    return b"".join(piece if isinstance(piece, bytes) else _bits(piece) for piece in pieces)


def _bits(text: str) -> bytes:
    digits = text.replace(" ", "")
    assert len(digits) % 8 == 0, f"{len(digits)} bits do not fill bytes"
    return bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits), 8))


def masked(payload: bytes, key: bytes = KEY) -> bytes:
    """5.3: transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4); all octets as one number.

    >>> masked(b"Hello", bytes.fromhex("37fa213d")).hex()
    '7f9f4d5158'
    """
    keys = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    declared: int | None = None,
    length_bits: int | None = None,
) -> bytes:
    """Return a frame, right or wrong.

    :param declared: the length in the header, if it is not that of the payload.
    :param length_bits: 7, 16 or 64: how the length is written, if not in the shortest way.
    """
    length = len(payload) if declared is None else declared
    if length_bits is None:
        length_bits = 7 if length <= 125 else 16 if length <= 65535 else 64
    seven = {7: length, 16: 126, 64: 127}[length_bits]
    extended = {7: b"", 16: b"%c%c" % divmod(length & 0xFFFF, 256), 64: (length & (1 << 64) - 1).to_bytes(8, "big")}
    return wire(
        f"{int(fin)} {rsv:03b} {opcode:04b}",
        f"{int(key is not None)} {seven:07b}",
        extended[length_bits],
        key or b"",
        payload if key is None else masked(payload, key),
    )


def to(role: Role, opcode: int, payload: bytes = b"", **options: Any) -> bytes:
    """Return a frame as the peer of ``role`` sends it: masked to a server, plain to a client."""
    options.setdefault("key", KEY if role is SERVER else None)
    return frame(opcode, payload, **options)


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return bytes(divmod(code, 256)) + reason


class Seen(NamedTuple):
    """A frame as `read_frames` read it."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


def read_frames(data: bytes, sender: Role) -> list[Seen]:
    """Read what ``sender`` sent: whole frames only, masked if it is a client (5.1), lengths minimal (5.2)."""
    frames, rest, _ = split_frames(data, sender)
    assert rest == b"", f"{rest!r} is not a whole frame"
    return frames


def keys_of(data: bytes) -> list[bytes]:
    """Return the masking keys of what a client sent."""
    return split_frames(data, CLIENT)[2]


def split_frames(data: bytes, sender: Role) -> tuple[list[Seen], bytes, list[bytes]]:
    """Return the whole frames, the bytes that are left over, and the masking keys."""
    frames: list[Seen] = []
    keys: list[bytes] = []
    while True:
        parsed = _split_one(data, sender)
        if parsed is None:
            return frames, data, keys
        seen, key, data = parsed
        frames.append(seen)
        keys.append(key)


def _split_one(data: bytes, sender: Role) -> tuple[Seen, bytes, bytes] | None:
    if len(data) < 2:
        return None
    head = f"{data[0]:08b}{data[1]:08b}"
    fin, rsv, opcode, mask, length = head[0], head[1:4], head[4:8], head[8], int(head[9:], 2)
    assert (mask == "1") == (sender is CLIENT), "a client masks all frames, a server none (5.1)"
    at = 2
    if length > 125:
        size = 2 if length == 126 else 8
        if len(data) < at + size:
            return None
        length = int.from_bytes(data[at : at + size], "big")
        assert length > (125 if size == 2 else 65535), "the minimal number of bytes must be used (5.2)"
        at += size
    key = b""
    if sender is CLIENT:
        key = data[at : at + 4]
        at += 4
    if len(data) < at + length:
        return None
    payload = data[at : at + length]
    seen = Seen(int(opcode, 2), masked(payload, key) if key else payload, fin == "1", int(rsv, 2))
    return seen, key, data[at + length :]


# Bytes in every portion.

EVERY_CHUNKING = pytest.mark.parametrize("chunk", list(CHUNKINGS.values()), ids=list(CHUNKINGS))


def cut_at(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut at these places, taken modulo the length."""
    return CutAt(tuple(places))(data)


# What came of it.


class Failure(NamedTuple):
    """What a `RemoteProtocolError` says to programs."""

    close_code: int
    section: str
    offset: int | None


@dataclass
class Outcome:
    """Everything that is visible of a connection after some input."""

    events: list[Event]
    output: bytes
    closed: Closed | None
    failure: Failure | None
    error_text: str

    def summary(self) -> tuple[Any, ...]:
        """For comparing two outcomes: an exception does not equal another with the same content."""
        closed = self.closed and (self.closed.code, self.closed.reason, self.closed.clean, self.closed.cause)
        return self.events, self.output, closed, self.failure, self.error_text


def counting_random() -> Callable[[int], bytes]:
    """Return a source of "random" bytes that are all known: 0, 1, 2, ... modulo 251, so that no key repeats soon."""
    given = 0

    def source(size: int) -> bytes:
        nonlocal given
        given += size
        return bytes(at % 251 for at in range(given - size, given))

    return source


def new_connection(role: Role, **options: Any) -> Connection:
    """Return a connection whose masks are the same in each run."""
    options.setdefault("random", counting_random())
    return Connection(role, **options)


def outcome(
    role: Role,
    data: bytes,
    chunk: Chunking = whole,
    *,
    eof: bool = False,
    prepare: Callable[[Connection], object] | None = None,
    extensions: Callable[[], Sequence[MessageCodec]] = tuple,
    **options: Any,
) -> Outcome:
    """Run a new connection over ``data`` in portions, and check what holds for every connection.

    :param eof: whether the stream ends after the data.
    :param prepare: called with the connection before any input.
    :param extensions: makes the state of the extensions, which no two connections may share.
    """
    connection = new_connection(role, extensions=extensions(), **options)
    if prepare is not None:
        prepare(connection)
    events = feed(connection, chunk(data))
    if eof:
        events += connection.receive_data(b"")
    output = connection.data_to_send()
    closed = check_end(connection, events)
    messages = [event for event in events if not isinstance(event, Closed)]
    return Outcome(messages, output, closed, *_failure(closed))


def _failure(closed: Closed | None) -> tuple[Failure | None, str]:
    if closed is None or closed.error is None:
        return None, ""
    error = closed.error
    assert isinstance(error, RemoteProtocolError)
    assert (error.close_code, closed.reason) == (closed.code, "")
    return Failure(int(error.close_code), error.section, error.offset), str(error)


def same_outcome(role: Role, data: bytes, **options: Any) -> Outcome:
    """Run `outcome` for each way to cut ``data``, check that all results are the same, and return that."""
    first = outcome(role, data, **options)
    for name, chunk in CHUNKINGS.items():
        again = outcome(role, data, chunk, **options)
        assert again.summary() == first.summary(), f"{name} is not like whole"
    return first


def check_end(connection: Connection, events: Sequence[Event]) -> Closed | None:
    """Check that `Closed` came at most once and last, and that nothing can reopen a closed connection."""
    ends = [event for event in events if isinstance(event, Closed)]
    assert len(ends) == connection.closed
    if not ends:
        return None
    assert events[-1] is ends[0]
    assert connection.receive_data(to(connection.role, TEXT, b"late")) == []
    assert connection.receive_data(b"\xff" * 7) == []
    assert connection.receive_data(None) == []
    assert connection.unread == 0
    assert connection.retained_bytes == 0
    assert connection.receive_data(b"") == []
    assert connection.data_to_send() == b""
    assert connection.must_close
    return ends[0]


def only_closed(events: Sequence[object]) -> Closed:
    """Return the only event."""
    (closed,) = events
    assert isinstance(closed, Closed)
    return closed


def check_failed(result: Outcome, role: Role, code: int, section: str, offset: int) -> None:
    """Check everything that a violation leads to (7.1.7): the error, the event, and the Close frame as the last
    output."""
    assert result.failure == Failure(code, section, offset)
    assert result.closed is not None
    assert result.closed.code == code
    assert not result.closed.clean
    assert result.closed.cause is CloseCause.VIOLATION
    last = read_frames(result.output, role)[-1]
    assert (last.opcode, last.fin, last.rsv) == (CLOSE, True, 0)
    assert last.payload[:2] == bytes(divmod(code, 256))
    last.payload[2:].decode()
    assert last.payload[2:].startswith(section.encode())


# Two ends.


class ConnectionPair(Pair):
    """A client and a server of ours, whose masks are the same in each run."""

    def __init__(self, chunk: Chunking = whole, **options: Any) -> None:
        super().__init__(new_connection(CLIENT, **options), new_connection(SERVER, **options), chunk)


def share(percent: int) -> settings:
    """Return settings with this percentage of the examples that the profile asks for."""
    return settings(max_examples=max(1, settings().max_examples * percent // 100))
