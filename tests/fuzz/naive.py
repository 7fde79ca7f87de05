"""A naive reader of frames, messages and tokens (5.2 to 5.5), with which the package's own reader is compared.

The law: it uses nothing from the package except for its events, which are the result. It reads one frame after the
other from the beginning, keeps everything, and stops when a rule is broken.
"""

from __future__ import annotations

import string
from typing import NamedTuple

from rfc6455 import SERVER, BytesMessage, Event, Ping, Pong, Role, TextMessage

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DATA_OPCODES = (CONT, TEXT, BINARY)
OPCODES = (*DATA_OPCODES, CLOSE, PING, PONG)


class NaiveFrame(NamedTuple):
    """One frame.

    :ivar masking_key: empty for a frame that is not masked.
    :ivar size: of all of it, in bytes.
    """

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masking_key: bytes
    size: int


class Rules(NamedTuple):
    """What a receiver accepts.

    :ivar role: the receiver's; ``None`` for one that takes frames with and without masks.
    :ivar reserved_bits: those that extensions use.
    :ivar limit: of a data frame's payload, in bytes.
    """

    role: Role | None
    reserved_bits: int = 0
    limit: int = 1 << 20


def broken_rule(data: bytes, rules: Rules) -> int | None:
    """Return the close code for what is wrong in the header that ``data`` begins with, as far as it is there."""
    if not data:
        return None
    fin, rsv, opcode = data[0] >> 7, data[0] >> 4 & 7, data[0] & 15
    is_control = opcode not in DATA_OPCODES
    if opcode not in OPCODES or (is_control and (not fin or rsv)) or rsv & ~rules.reserved_bits:
        return 1002
    if len(data) < 2:
        return None
    is_masked, short = data[1] >> 7, data[1] & 127
    if rules.role is not None and is_masked != (rules.role is SERVER):
        return 1002
    if is_control and short > 125:
        return 1002
    if short == 127 and len(data) > 2 and data[2] > 127:
        return 1002
    length = length_of(data)
    if length is None:
        return None
    if (short == 126 and length < 126) or (short == 127 and length < 65536):
        return 1002
    return 1009 if length > rules.limit and not is_control else None


def extended(data: bytes) -> int:
    """The number of further bytes that hold the length."""
    return {126: 2, 127: 8}.get(data[1] & 127, 0)


def length_of(data: bytes) -> int | None:
    """Return the length that the header says; ``None`` when not all of it is there."""
    size = extended(data)
    if len(data) < 2 + size:
        return None
    return int.from_bytes(data[2 : 2 + size], "big") if size else data[1] & 127


def first_frame(data: bytes) -> NaiveFrame | None:
    """Return the frame that ``data`` begins with; ``None`` when it is not whole."""
    length = length_of(data) if len(data) > 1 else None
    if length is None:
        return None
    start = 2 + extended(data)
    key = data[start : start + 4] if data[1] >> 7 else b""
    start += 4 if data[1] >> 7 else 0
    if len(data) < start + length:
        return None
    payload = unmasked(data[start : start + length], key)
    return NaiveFrame(data[0] & 15, payload, data[0] > 127, data[0] >> 4 & 7, key, start + length)


def unmasked(payload: bytes, key: bytes) -> bytes:
    """5.3: each octet of the payload with one of the key, in turn; all of them as one number."""
    if not key:
        return payload
    keys = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(payload), "big")


def read_frames(data: bytes, rules: Rules) -> tuple[list[NaiveFrame], int | None, int]:
    """Return the good frames at the beginning; the close code for the header after them, if that breaks a rule; where
    that one begins."""
    frames: list[NaiveFrame] = []
    at = 0
    while True:
        rest = data[at:]
        code = broken_rule(rest, rules)
        frame = None if code else first_frame(rest)
        if frame is None:
            return frames, code, at
        frames.append(frame)
        at += frame.size


def read_events(data: bytes, role: Role) -> list[Event]:
    """Return what a stream means without extensions, up to its end, a Close frame, or the first rule that is
    broken."""
    events: list[Event] = []
    message: tuple[int, bytes] | None = None
    for frame in read_frames(data, Rules(role))[0]:
        if frame.opcode == CLOSE:
            break
        if frame.opcode in (PING, PONG):
            events.append(Ping(frame.payload) if frame.opcode == PING else Pong(frame.payload))
            continue
        if (frame.opcode == CONT) != (message is not None):
            break
        opcode, before = message or (frame.opcode, b"")
        joined = before + frame.payload
        if opcode == TEXT and not is_text(joined, frame.fin):
            break
        message = None if frame.fin else (opcode, joined)
        if frame.fin:
            events.append(TextMessage(joined.decode()) if opcode == TEXT else BytesMessage(joined))
    return events


def is_text(data: bytes, whole: bool) -> bool:
    """Return whether it is UTF-8 or, if it is incomplete, can still become UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return not whole and error.reason == "unexpected end of data"
    return True


TCHARS = frozenset("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits)


def is_token(text: str) -> bool:
    """RFC 9110, 5.6.2."""
    return bool(text) and set(text) <= TCHARS
