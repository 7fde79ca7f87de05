"""A recording for people: a line for each line of HTTP, each frame, and each finding.

How it works. A separate reader cuts the bytes of a direction into frames, since `FrameParser` refuses illegal ones,
but a trace has to show them. The errors in them, and the content of compressed messages, are found by replaying the
recording.

The law: whatever bytes it shows, a line remains one line. Bytes are shown as literals, so none can forge a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from ..byte_loops import apply_mask, decode_beginning
from ..codes import FIN_BIT, MASK_BIT, OPCODE_BITS, RSV_BITS, Opcode
from .recording import MADE_OVERHEAD, MOST_MADE, Kind, Recording, Way, codecs_at
from .replaying import Beginning, Findings, find

# The maximum number of bytes shown of a payload, and of a line of HTTP.
_SHOWN = 60
_SHOWN_OF_HEAD = 200

# The maximum number of lines for each direction. In a loaded file, a frame of only two bytes takes a line.
_MOST_LINES = MOST_MADE // MADE_OVERHEAD

_HEAD_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

_ARROWS = {Kind.RECEIVED: "<", Kind.SENT: ">"}
_MARKS = {
    Kind.OPENED: "= open",
    Kind.CLOSE: "= close() was called",
    Kind.ABORTED: "= abort() was called",
    Kind.TIMED_OUT: "= a deadline passed: ",
}
_NAMES = {int(opcode): opcode.name for opcode in Opcode}


class _Line(NamedTuple):
    """A line, and what determines its place: the index of the entry that completed what it shows, and the position in
    this direction."""

    entry: int
    at: int
    text: str


def to_text(recording: Recording) -> str:
    """Return the recording as text for people. Messages and frames are listed in the order in which they were
    complete.

    A line begins with the time, in seconds since the first entry. After that, ``<`` marks what was received, ``>``
    what was sent, ``=`` what happened to the connection, and ``!`` what broke a rule, with the section. ``at`` is the
    position of a frame, counted in bytes from the end of the handshake. Only the beginning of a payload is shown; the
    payload of a compressed message is inflated, and shown with its last frame. Unprintable characters are escaped. At
    most 65536 lines are shown for each direction, and at most 32 MiB of it are checked and inflated; if that is
    exceeded, a line says so.

    >>> from rfc6455 import CLIENT
    >>> from rfc6455.trace import Entry
    >>> entries = [Entry(7.0, Kind.OPENED), Entry(7.25, Kind.RECEIVED, b"\\x89\\x01!\\x83\\x00")]
    >>> print(to_text(Recording(CLIENT, entries)))
    client
        0.000000 = open
        0.250000 < PING   fin  rsv=000 mask=-        len=1     at=0     b'!'
        0.250000 < 0x3    fin  rsv=000 mask=-        len=0     at=3     b''
        0.250000 ! received: the reserved opcode 0x3 (section 5.2 at byte 3; close code 1002)
    """
    lines = list(_mark_lines(recording))
    for kind in _ARROWS:
        way = Way(recording, kind)
        findings = find(recording, kind, _SHOWN)
        lines += _as_many_as_are_shown(way, chain(_head_lines(way), _frame_lines(way, findings.messages)))
        lines += _finding_lines(way, findings)
    lines.sort(key=lambda line: line[:2])
    entries = recording.entries
    timed = [f"{entries[line.entry].time - entries[0].time:12.6f} {line.text}" for line in lines]
    return "\n".join([_title(recording), *timed, *_end(recording)])


# ---- What is not on the wire ----


def _as_many_as_are_shown(way: Way, lines: Iterator[_Line]) -> Iterator[_Line]:
    for count, line in enumerate(lines):
        if count == _MOST_LINES:
            yield _Line(line.entry, line.at, f"{_ARROWS[way.kind]} {len(way.data) - line.at} more bytes")
            return
        yield line


def _finding_lines(way: Way, findings: Findings) -> Iterator[_Line]:
    if findings.cut_at is not None:
        yield _Line(findings.cut_at, 0, f"= from here on, {way.kind.value} data is neither checked nor inflated")
    if findings.violation is not None:
        index, error = findings.violation
        yield _Line(index, way.head + (error.offset or 0), f"! {way.kind.value}: {_escape(str(error))}")
    elif findings.end is not None and way.kind is Kind.RECEIVED:
        index, closed = findings.end
        yield _Line(index, len(way.data), f"= closed: {int(closed.code)}, {closed.cause.value}")


def _title(recording: Recording) -> str:
    title = recording.role.value
    if recording.extensions:
        title += f", {_escape(recording.extensions)}"
    if codecs_at(recording.role, recording) is None:
        title += " (not known, so messages were not checked)"
    return title


def _end(recording: Recording) -> list[str]:
    return [f"{recording.missing} more entries were not kept"] if recording.missing else []


def _mark_lines(recording: Recording) -> Iterator[_Line]:
    for index, entry in enumerate(recording.entries):
        if entry.kind in _MARKS:
            yield _Line(index, 0, _MARKS[entry.kind] + _escape(entry.data.decode("latin-1")))
        elif entry.kind is Kind.RECEIVED and not entry.data:
            yield _Line(index, 0, "< end of the stream")


# ---- HTTP ----


def _head_lines(way: Way) -> Iterator[_Line]:
    at = 0
    for match in _HEAD_LINE.finditer(way.data, 0, way.head):
        line = match[0]
        text = line.rstrip(b"\r\n").decode("latin-1")
        shown = _escape(text[:_SHOWN_OF_HEAD]) + ("..." if len(text) > _SHOWN_OF_HEAD else "")
        completed = way.entry_of(at + len(line) - 1)
        yield _Line(completed, at, f"{_ARROWS[way.kind]} {shown}".rstrip())
        at += len(line)


# ---- Frames ----


class _SeenFrame(NamedTuple):
    """A frame as it was on the wire, legal or not, perhaps only its beginning.

    :ivar at: the position at which it begins.
    :ivar stop: the position at which the available bytes end.
    :ivar first: its first byte: FIN, RSV, opcode.
    :ivar key: its masking key; empty for none.
    :ivar length: the length in its header.
    :ivar payload: the available bytes of the payload, still masked.
    """

    at: int
    stop: int
    first: int
    key: bytes
    length: int
    payload: memoryview

    @property
    def opcode(self) -> int:
        return self.first & OPCODE_BITS

    @property
    def is_whole(self) -> bool:
        return len(self.payload) == self.length

    def beginning(self, size: int) -> bytes:
        """Return the first bytes of the payload, unmasked."""
        beginning = bytes(self.payload[:size])
        return apply_mask(beginning, self.key) if self.key else beginning


def _read_frames(data: bytes, at: int) -> Iterator[_SeenFrame]:
    """Yield the frames from a position on (5.2), up to one with an incomplete header."""
    view = memoryview(data)
    while len(data) - at >= 2:
        first, second = data[at : at + 2]
        short_length = second & ~MASK_BIT
        extended = {126: 2, 127: 8}.get(short_length, 0)
        start = at + 2 + extended + (4 if second & MASK_BIT else 0)
        if start > len(data):
            return
        length = int.from_bytes(data[at + 2 : at + 2 + extended], "big") if extended else short_length
        stop = min(start + length, len(data))
        key = data[start - 4 : start] if second & MASK_BIT else b""
        yield _SeenFrame(at, stop, first, key, length, view[start:stop])
        at = stop


def _frame_lines(way: Way, messages: Iterable[Beginning]) -> Iterator[_Line]:
    at = way.head
    later = iter(messages)
    opcode = rsv = 0  # those of the current message, from its first frame
    for frame in _read_frames(way.data, at):
        at = frame.stop
        if frame.opcode >= Opcode.CLOSE:
            payload = _control_literal(frame)
        else:
            if frame.opcode != Opcode.CONT:
                opcode, rsv = frame.opcode, frame.first & RSV_BITS
            payload = _data_literal(frame, is_text=opcode == Opcode.TEXT and not rsv)
            # Until the first error, each last frame completes a message.
            message = next(later, None) if frame.first & FIN_BIT and frame.is_whole else None
            if message is not None and rsv:
                payload = f"message: {_literal(*message)}"
        yield _Line(way.entry_of(at - 1), frame.at, _frame_line(way, frame, payload))
    if rest := way.data[at:]:
        shown = f"{_ARROWS[way.kind]} the beginning of a header: {rest.hex()}"
        yield _Line(way.entry_of(len(way.data) - 1), at, shown)


def _frame_line(way: Way, frame: _SeenFrame, payload: str) -> str:
    name = _NAMES.get(frame.opcode, f"{frame.opcode:#x}")
    fin = "fin" if frame.first & FIN_BIT else "more"
    rsv = (frame.first & RSV_BITS) >> 4
    key = frame.key.hex() or "-"
    place = frame.at - way.head
    came = "" if frame.is_whole else f" ({len(frame.payload)} bytes came)"
    header = f"{name:<6} {fin:<4} rsv={rsv:03b} mask={key:<8} len={frame.length:<5} at={place:<5}"
    return f"{_ARROWS[way.kind]} {header} {payload}{came}"


def _data_literal(frame: _SeenFrame, is_text: bool) -> str:
    beginning = frame.beginning(_SHOWN)
    return _text_literal(beginning, frame.length) if is_text else _literal(beginning, frame.length)


def _control_literal(frame: _SeenFrame) -> str:
    if frame.opcode != Opcode.CLOSE or len(frame.payload) < 2:
        return _literal(frame.beginning(_SHOWN), frame.length)
    # 5.5.1: a code in two bytes, and a reason in UTF-8.
    payload = frame.beginning(2 + _SHOWN)
    return f"{int.from_bytes(payload[:2], 'big')} {_text_literal(payload[2:], frame.length - 2)}"


def _text_literal(beginning: bytes, length: int) -> str:
    """Return a literal: of a text if this is UTF-8, perhaps cut within a character, otherwise of bytes."""
    try:
        text, used = decode_beginning(beginning)
    except UnicodeDecodeError:
        return _literal(beginning, length)
    if used < len(beginning) == length:
        return _literal(beginning, length)
    return repr(text) + ("..." if length > used else "")


def _literal(beginning: str | bytes, length: int) -> str:
    """Return the beginning of a text or bytes of this length as a literal, which is always on one line."""
    return repr(beginning) + ("..." if length > len(beginning) else "")


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")
