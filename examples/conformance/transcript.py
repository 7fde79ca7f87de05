"""What a peer has sent, decoded by the simplest means, and the violations that are wrong in any case.

The law: nothing here uses the WebSocket code of the package, so that a mistake that both ends share is still found.
Not here: what was expected, which is in `judge.py`.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha1

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# 7.4.1, 7.4.2: codes that a Close frame must not have, without those that are merely not registered yet.
FORBIDDEN_CODES = frozenset({*range(1000), 1004, 1005, 1006, 1015})


class End(Enum):
    """How reading ended."""

    CLOSED = "TCP closed"
    RESET = "TCP reset"
    OPEN = "TCP left open"
    FLOODED = "too much to read"


@dataclass(frozen=True)
class Frame:
    """One frame (5.2), with its payload unmasked."""

    fin: bool
    rsv: int
    opcode: int
    key: bytes
    payload: bytes
    minimal: bool


def read_frame(data: bytes | bytearray, at: int) -> tuple[Frame, int] | None:
    """Return the frame at ``at``, and the position of the next one, or ``None`` if it is incomplete."""
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    size = {126: 2, 127: 8}.get(second & 127, 0)
    length = int.from_bytes(data[at + 2 : at + 2 + size], "big") if size else second & 127
    start = at + 2 + size + (4 if second & 128 else 0)
    if len(data) < start + length:
        return None
    key = bytes(data[start - 4 : start]) if second & 128 else b""
    payload = bytes(data[start : start + length])
    if key:
        payload = bytes([octet ^ key[i % 4] for i, octet in enumerate(payload)])
    minimal = size == (0 if length < 126 else 2 if length < 65536 else 8)
    return Frame(first > 127, first >> 4 & 7, first & 15, key, payload, minimal), start + length


class Head:
    """A request or an answer: its first line, and the values of its fields by name in lower case."""

    def __init__(self, data: bytes) -> None:
        self.line, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.fields: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.fields.setdefault(name.lower(), []).append(value.strip(" \t"))

    def value(self, name: str) -> str:
        """Return all values of a field, as one list."""
        return ", ".join(self.fields.get(name, ()))

    @property
    def status(self) -> int:
        """The status of an answer, or 0 if it has none."""
        match = re.match(r"HTTP/1\.[01] ([0-9]{3})\b", self.line)
        return int(match[1]) if match else 0


@dataclass
class Transcript:
    """Everything that a peer has sent on one connection.

    :ivar from_server: whether the peer is a server.
    :ivar head: its answer or its request; ``None`` if none has arrived completely.
    :ivar sent_key: the key of our request, if the peer is a server.
    :ivar offer: the extensions in the request, whichever side sent it.
    :ivar answer: the extensions in the answer.
    :ivar opened: whether the answer was a 101.
    :ivar late: whether the peer had not reacted before the rest of the case was sent.
    :ivar seen_before: whether an earlier request had the same key.
    """

    from_server: bool
    head: Head | None = None
    sent_key: str = ""
    offer: str = ""
    answer: str = ""
    opened: bool = False
    late: bool = False
    seen_before: bool = False
    frames: list[Frame] = field(default_factory=list)
    buffer: bytearray = field(default_factory=bytearray)
    at: int = 0
    end: End = End.OPEN

    def receive(self, data: bytes) -> None:
        """Process bytes that were received on the open connection."""
        self.buffer += data
        while (parsed := read_frame(self.buffer, self.at)) is not None:
            frame, self.at = parsed
            self.frames.append(frame)

    @property
    def rest(self) -> bytes:
        """The bytes at the end that are not a complete frame."""
        return bytes(self.buffer[self.at :])

    @property
    def close(self) -> Frame | None:
        """The first Close frame."""
        return next((frame for frame in self.frames if frame.opcode == CLOSE), None)

    @property
    def close_code(self) -> int | None:
        """The code of the Close frame; ``None`` if there is no Close frame or it has no code."""
        close = self.close
        return int.from_bytes(close.payload[:2], "big") if close and len(close.payload) > 1 else None

    @property
    def pongs(self) -> list[bytes]:
        return [frame.payload for frame in self.frames if frame.opcode == PONG]

    @property
    def message_count(self) -> int:
        """The number of complete messages."""
        return sum(frame.fin and frame.opcode < CLOSE for frame in self.frames)

    @property
    def deflate(self) -> bool:
        """Whether permessage-deflate was negotiated."""
        return any(name == "permessage-deflate" for name, _ in parse_extensions(self.answer))

    def parameters(self) -> dict[str, str | None]:
        """The negotiated parameters of permessage-deflate."""
        agreed = [dict(given) for name, given in parse_extensions(self.answer) if name == "permessage-deflate"]
        return agreed[0] if agreed else {}

    def messages(self) -> list[tuple[int, bytes]]:
        """Return the complete messages, joined and inflated.

        :raises zlib.error: when one does not inflate.
        """
        own_takeover = "server_no_context_takeover" if self.from_server else "client_no_context_takeover"
        keeps_context = own_takeover not in self.parameters()
        inflater = zlib.decompressobj(-15)
        messages = []
        opcode, compressed, parts = 0, False, b""
        for frame in self.frames:
            if frame.opcode >= CLOSE:
                continue
            if frame.opcode != CONT:
                opcode, compressed, parts = frame.opcode, bool(frame.rsv & 4), b""
            parts += frame.payload
            if frame.fin and compressed:
                parts = inflater.decompress(parts + b"\0\0\xff\xff")
                if not keeps_context or inflater.eof:
                    inflater = zlib.decompressobj(-15)
            if frame.fin:
                messages.append((opcode, parts))
        return messages


# ---- What no peer may send, whatever it was sent ----


def faults(transcript: Transcript) -> Iterator[str]:
    """Yield what is wrong with the frames, each with its section."""
    yield from _frame_faults(transcript)
    yield from _order_faults(transcript.frames)
    yield from _content_faults(transcript)
    if transcript.rest and transcript.end is End.CLOSED:
        yield "half a frame at the end (5.2)"


def _frame_faults(transcript: Transcript) -> Iterator[str]:
    allowed_rsv = 4 if transcript.deflate else 0
    for frame in transcript.frames:
        if bool(frame.key) == transcript.from_server:
            yield "a masked frame from a server (5.1)" if frame.key else "an unmasked frame from a client (5.1)"
        if frame.opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            yield f"the reserved opcode {frame.opcode} (5.2)"
        if frame.rsv & ~(allowed_rsv if frame.opcode in (TEXT, BINARY) else 0):
            yield f"reserved bits {frame.rsv:03b} (5.2)"
        if not frame.minimal:
            yield "a length that is not minimal (5.2)"
        if frame.opcode >= CLOSE and (len(frame.payload) > 125 or not frame.fin):
            yield "a control frame that is too long or fragmented (5.5)"


def _order_faults(frames: list[Frame]) -> Iterator[str]:
    inside = closed = False
    for frame in frames:
        if closed:
            yield "a frame after its Close frame (5.5.1)"
        closed = closed or frame.opcode == CLOSE
        if frame.opcode < CLOSE:
            if (frame.opcode == CONT) != inside:
                yield "a fragment out of order (5.4)"
            inside = not frame.fin


def _content_faults(transcript: Transcript) -> Iterator[str]:
    try:
        messages = transcript.messages()
    except zlib.error as error:
        yield f"a message that does not inflate: {error} (RFC 7692 7.2.2)"
        return
    if any(opcode == TEXT and not is_utf8(payload) for opcode, payload in messages):
        yield "a text that is not UTF-8 (5.6)"
    close = transcript.close
    if close is not None and len(close.payload) == 1:
        yield "a Close frame with half a code (5.5.1)"
    if close is not None and not is_utf8(close.payload[2:]):
        yield "a close reason that is not UTF-8 (5.5.1)"
    if transcript.close_code in FORBIDDEN_CODES:
        yield f"a Close frame with code {transcript.close_code} (7.4)"


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# ---- The opening handshake ----


def accept_for(key: str) -> str:
    """Return the value of ``Sec-WebSocket-Accept`` (4.2.2)."""
    return b64encode(sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def answer_faults(transcript: Transcript) -> Iterator[str]:
    """Yield the errors in a 101 (4.2.2), each with its section."""
    head = transcript.head
    assert head is not None
    if not head.line.startswith("HTTP/1.1 101"):
        yield f"the status line {head.line[:40]!a} (4.2.2)"
    if head.value("upgrade").lower() != "websocket":
        yield f"Upgrade is {head.value('upgrade')!a} (4.2.2)"
    if "upgrade" not in head.value("connection").lower().replace(" ", "").split(","):
        yield f"Connection is {head.value('connection')!a} (4.2.2)"
    if head.fields.get("sec-websocket-accept") != [accept_for(transcript.sent_key)]:
        yield f"Sec-WebSocket-Accept is {head.value('sec-websocket-accept')!a} (4.2.2)"
    if "sec-websocket-protocol" in head.fields:
        yield f"the subprotocol {head.value('sec-websocket-protocol')!a} was not asked for (4.2.2)"
    yield from agreement_faults(transcript.offer, transcript.answer)


def agreement_faults(offer: str, answer: str) -> Iterator[str]:
    """Yield the errors in the extensions of an answer (9.1, RFC 7692 7.1)."""
    agreed = parse_extensions(answer)
    offered = [parameters for name, parameters in parse_extensions(offer) if name == "permessage-deflate"]
    for name, _ in agreed:
        if name != "permessage-deflate" or not offered:
            yield f"the extension {name!a} was not offered (4.2.2)"
    if len(agreed) > 1:
        yield "two extensions, although only one was offered (9.1)"
    elif offered and agreed and not any(_fits(dict(one), agreed[0][1]) for one in offered if _is_valid(one)):
        yield f"the answer {answer!a} fits no valid offer (RFC 7692 7.1)"


Parameters = list[tuple[str, "str | None"]]


def parse_extensions(value: str) -> list[tuple[str, Parameters]]:
    """Parse a list of extensions (9.1), which is assumed to be well-formed."""
    items = []
    for item in filter(None, (part.strip(" \t") for part in value.split(","))):
        name, *given = (word.strip(" \t") for word in item.split(";"))
        pairs = [word.partition("=") for word in given]
        items.append((name, [(key.strip(), text.strip(' \t"') if equals else None) for key, equals, text in pairs]))
    return items


_BITS = frozenset(map(str, range(8, 16)))
_TAKEOVER = ("server_no_context_takeover", "client_no_context_takeover")


def _is_valid(parameters: Parameters, *, in_answer: bool = False) -> bool:
    """Return whether the parameters are valid. RFC 7692 7.1: known names, each once, with valid values."""
    names = [name for name, _ in parameters]
    for name, value in parameters:
        bits_may_lack = name == "client_max_window_bits" and not in_answer
        good = {
            **dict.fromkeys(_TAKEOVER, value is None),
            "server_max_window_bits": value in _BITS,
            "client_max_window_bits": value in _BITS or (value is None and bits_may_lack),
        }
        if not good.get(name, False):
            return False
    return len(set(names)) == len(names)


def _fits(offer: dict[str, str | None], answer: Parameters) -> bool:
    """Return whether an answer is valid and fits the offer (RFC 7692 7.1.1, 7.1.2)."""
    if not _is_valid(answer, in_answer=True):
        return False
    agreed = dict(answer)
    if "server_no_context_takeover" in offer and "server_no_context_takeover" not in agreed:
        return False
    if "server_max_window_bits" in offer and int(agreed.get("server_max_window_bits") or 99) > int(
        offer["server_max_window_bits"] or 15
    ):
        return False
    if "client_max_window_bits" in agreed:
        limit = offer.get("client_max_window_bits", "7") or "15"
        return int(agreed["client_max_window_bits"] or 15) <= int(limit)
    return True
