"""Frames (5.2): bytes to frames, frames to bytes, and nothing else.

The parser is a cursor. `FrameParser.feed` gives it input, and each `FrameParser.advance` moves it to the next
*piece*: a whole frame where it lies whole in the input, else as much of the payload as is there, so that nothing
needs to be kept but an unfinished header or control frame (130 bytes at the most). The fields of the parser tell
what the piece is; a caller that wants objects takes `FrameParser.receive_data`.

Every rule that the header alone can break is applied to the header, as soon as the byte is there that breaks it
and before any payload is looked at. What depends on other frames (5.4) is not known here: see `state.py`.
"""

from __future__ import annotations

from . import primitives
from .arguments import as_bytes, at_most_63_bits
from .codes import (
    CONTROL_BIT,
    FIN_BIT,
    MAX_CONTROL_PAYLOAD,
    MAX_LENGTH,
    OPCODE_BITS,
    RSV_BITS,
    CloseCode,
    Opcode,
    Role,
)
from .errors import LocalProtocolError, RemoteProtocolError
from .limits import DEFAULT_LIMITS, Limits
from .pieces import ENDS, NOTHING, PIECE, STARTS, WHOLE
from .primitives import mask_slice, pack_frame, take_payload
from .values import Frame

# What the first byte of a header can be.
_ILLEGAL, _DATA, _CONTROL = 0, 1, 2
_OPCODES = frozenset(Opcode)


def _kind_of_first_byte(first: int, reserved_bits: int) -> int:
    opcode = first & OPCODE_BITS
    if opcode not in _OPCODES:
        return _ILLEGAL
    if opcode & CONTROL_BIT:
        return _CONTROL if first & FIN_BIT and not first & RSV_BITS else _ILLEGAL
    return _DATA if not first & RSV_BITS & ~(reserved_bits << 4) else _ILLEGAL


# For each choice of RSV bits that extensions use, the kind of each first byte.
_KINDS = tuple([bytes([_kind_of_first_byte(first, bits) for first in range(256)]) for bits in range(8)])


def serialize_frame(frame: Frame, masking_key: bytes | bytearray | memoryview | None = None) -> bytes:
    """Gives the bytes of a frame (5.2).

    Only what cannot be written at all is refused, so that a test can write frames that a peer must refuse.

    :param frame: its opcode is any of 4 bits, its payload of any length.
    :param masking_key: 4 bytes that a client must take from a strong random source for each frame (5.3);
        ``None`` for a frame of a server.
    :raises LocalProtocolError: for an opcode over 15, RSV bits over 7 or a key that is not 4 bytes long.
    :raises TypeError: when the payload or the key is not bytes.

    >>> hello = rfc6455.Frame(rfc6455.Opcode.TEXT, b"Hello")
    >>> rfc6455.serialize_frame(hello).hex(" ")
    '81 05 48 65 6c 6c 6f'
    >>> rfc6455.serialize_frame(hello, masking_key=bytes.fromhex("37 fa 21 3d")).hex(" ")
    '81 85 37 fa 21 3d 7f 9f 4d 51 58'
    """
    if not 0 <= frame.opcode <= OPCODE_BITS or not 0 <= frame.rsv <= 7:
        raise LocalProtocolError(f"an opcode has 4 bits and RSV has 3, not {frame.opcode} and {frame.rsv} (5.2)")
    key = None if masking_key is None else as_bytes(masking_key)
    if key is not None and len(key) != 4:
        raise LocalProtocolError(f"a masking key has 4 bytes, not {len(key)} (5.3)")
    fin = FIN_BIT if frame.fin else 0
    return pack_frame(fin | frame.rsv << 4 | frame.opcode, as_bytes(frame.payload), key)


class FrameParser:
    """Reads the frames of one direction (5.2).

    :param role: which end is reading: a server takes only masked frames, a client only unmasked ones (5.1);
        ``None`` takes both, for tools that look on.
    :param limits: ``frame`` bounds the declared length of a payload; where it is ``None``, ``message`` does.
    :param reserved_bits: the RSV bits that negotiated extensions use on data frames: RSV1 is 4, RSV2 2, RSV3 1.
    :raises TypeError: when the role is something else.
    :raises ValueError: when the bits are not 0 to 7.

    >>> parser = rfc6455.FrameParser()
    >>> parser.receive_data(bytes.fromhex("81 05 4865"))
    []
    >>> parser.receive_data(bytes.fromhex("6c6c6f"))
    [Frame(opcode=<Opcode.TEXT: 1>, payload=b'Hello', fin=True, rsv=0)]
    """

    # What it can have when it is compiled. `Connection` has a comment on this.
    __slots__ = (
        *("max_length", "max_piece", "first", "length", "payload"),
        *("_kinds", "_mask_expected", "_data", "_at", "_base", "_frame_at"),
        *("_in_frame", "_remaining", "_from", "_key", "_turn", "_buffer", "_failure", "__weakref__"),
    )

    def __init__(self, role: Role | None = None, limits: Limits | None = None, reserved_bits: int = 0) -> None:
        if role is not None and not isinstance(role, Role):
            raise TypeError(f"a role is Role.CLIENT, Role.SERVER or None, not {role!r}")
        if not 0 <= reserved_bits <= 7:
            raise ValueError(f"reserved_bits are three bits, 0 to 7, not {reserved_bits} (5.2)")
        limits = limits or DEFAULT_LIMITS
        # The longest payload of a data frame.
        self.max_length: int = at_most_63_bits(limits.message if limits.frame is None else limits.frame)
        self._kinds = _KINDS[reserved_bits]
        # The mask bit that must be there; 2 stands for either.
        self._mask_expected = 2 if role is None else int(role is Role.SERVER)
        self._data = b""
        self._at = 0
        # Places in the stream: where _data begins, and relative to that the frame in hand.
        self._base = 0
        self._frame_at = 0
        # A frame of which only pieces are given: its rest, and where the piece in hand begins; it ends at _at.
        self._in_frame = False
        self._remaining = 0
        self._from = 0
        self._key = b""
        # Which byte of the key the next byte of the payload is masked with.
        self._turn = 0
        # A frame with a longer payload is given in pieces of at most this length.
        self.max_piece: int = MAX_LENGTH
        # The piece in hand.
        self.first: int = 0
        self.length: int = 0
        self.payload: bytes = b""
        # For receive_data().
        self._buffer = primitives.BytesBuffer()
        self._failure: tuple[int, str, str, int | None] | None = None

    @property
    def offset(self) -> int:
        """Where the frame in hand begins: bytes from the beginning of the stream."""
        return self._base + self._frame_at

    @property
    def unparsed(self) -> int:
        """How many bytes of input are kept because no piece was made of them yet."""
        return len(self._data) - self._at

    @property
    def total(self) -> int:
        """How many bytes were fed, ever."""
        return self._base + len(self._data)

    @property
    def mid_frame(self) -> bool:
        """Whether the input ends inside a frame."""
        return self._in_frame or self._at < len(self._data)

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Takes bytes in any portions and gives the frames that they complete.

        A payload that is not yet whole is kept, up to the frame limit.

        :param data: as it was read; ``b""`` is no end of file here, and gives nothing.
        :raises RemoteProtocolError: when a header breaks a rule of 5.1, 5.2 or 5.5 (1002) or the limit (1009).
            The frames of this call that came before are in its attribute ``frames``. Each further call raises
            the same again.
        :raises TypeError: when the data is not bytes.
        """
        if self._failure is not None:
            raise RemoteProtocolError(*self._failure)
        frames: list[Frame] = []
        self.feed(as_bytes(data))
        try:
            while piece := self.advance():
                self.move_payload(piece, self._buffer)
                if piece & ENDS:
                    frames.append(self._take_frame())
        except RemoteProtocolError as error:
            error.frames = frames
            self._failure = error.args
            self.drop()
            self._buffer = primitives.BytesBuffer()
            raise
        self.forget()
        return frames

    def _take_frame(self) -> Frame:
        first = self.first
        return Frame(Opcode(first & OPCODE_BITS), self._buffer.take_bytes(), first >= FIN_BIT, (first & RSV_BITS) >> 4)

    def feed(self, data: bytes) -> None:
        """Adds input; `advance` makes pieces of it."""
        at = self._at
        self._base += at
        self._frame_at -= at
        self._from -= at
        self._data = data if at == len(self._data) else self._data[at:] + data
        self._at = 0

    def has_input(self) -> bool:
        """Whether there is input of which no piece was made yet."""
        return self._at < len(self._data)

    def forget(self) -> None:
        """Lets go of the input of which pieces were made, and of the last payload."""
        if self._at:
            self.feed(b"")
        self.payload = b""

    def drop(self) -> None:
        """Forgets all input and goes on with the beginning of a frame. Until that comes, ``offset`` is what it was."""
        self._base += len(self._data)
        self._frame_at -= len(self._data)
        self._data = self.payload = b""
        self._at = self._from = 0
        self._in_frame = False

    def advance(self) -> int:
        """Moves to the next piece and says what it is: ``NOTHING`` (input is wanted) or the bits ``PIECE``,
        ``STARTS`` and ``ENDS``. Its frame is told by ``first`` and ``length``. The payload of a whole frame is in
        ``payload``; of any piece, `take_payload` and `move_payload` give it, once.

        A control frame is always one piece. A longer frame begins with its header, of which the piece may be all.

        :raises RemoteProtocolError: as `receive_data`.
        """
        if self._in_frame:
            return self._advance_in_frame()
        data = self._data
        at = self._at
        available = len(data) - at
        if available < 2:
            return self._advance_in_header(available)
        self._frame_at = at
        first = data[at]
        kind = self._kinds[first]
        if kind == _ILLEGAL:
            raise self._error_in_first_byte(first)
        second = data[at + 1]
        masked = second >> 7
        if masked != self._mask_expected and self._mask_expected != 2:
            raise self._error_in_masking()
        length = second & 0x7F
        header = 2
        if length > MAX_CONTROL_PAYLOAD:
            if kind == _CONTROL:
                raise self._violation(f"a control frame of more than {MAX_CONTROL_PAYLOAD} bytes", "5.5")
            header = 4 if length == 126 else 10
            length = self._extended_length(at + 2, length)
            if length < 0:
                return NOTHING
        if length > self.max_length and kind == _DATA:
            raise self._too_long(length)
        header += masked << 2
        if available < header:
            return NOTHING

        start = at + header
        self.first = first
        self.length = length
        if length > available - header or length > self.max_piece:
            return self._begin_in_parts(kind, start, masked)
        self._at = stop = start + length
        self.payload = take_payload(data, start, stop, masked)
        return WHOLE

    def _advance_in_header(self, available: int) -> int:
        """Looks at a header of which one byte is there, or none."""
        if available:
            self._frame_at = self._at
            first = self._data[self._at]
            if self._kinds[first] == _ILLEGAL:
                raise self._error_in_first_byte(first)
        return NOTHING

    def _extended_length(self, at: int, short_length: int) -> int:
        """Reads the length that 126 or 127 announced; -1 when it is not there yet."""
        data = self._data
        available = len(data) - at
        if short_length == 126:
            if available < 2:
                return -1
            length = data[at] << 8 | data[at + 1]
            least = 126
        else:
            if available > 0 and data[at] & 0x80:
                raise self._violation("a payload length of 2^63 or more; its most significant bit must be 0", "5.2")
            if available < 8:
                return -1
            length = int.from_bytes(data[at : at + 8], "big")
            least = 1 << 16
        if length < least:
            raise self._violation(f"a length of {length} in more bytes than it needs", "5.2")
        return length

    def _begin_in_parts(self, kind: int, start: int, masked: int) -> int:
        """Takes the header of a frame that is not, or must not be, given as one piece."""
        if kind == _CONTROL:
            return NOTHING
        self._in_frame = True
        self._remaining = self.length
        self._key = self._data[start - 4 : start] if masked else b""
        self._turn = 0
        self._at = start
        self._advance_payload(min(len(self._data) - start, self.max_piece))
        return PIECE | STARTS

    def _advance_in_frame(self) -> int:
        self._turn = (self._turn + self._at - self._from) & 3
        available = len(self._data) - self._at
        remaining = self._remaining
        size = available if available < remaining else remaining
        if size > self.max_piece:
            size = self.max_piece
        self._advance_payload(size)
        if size < remaining:
            return PIECE if size else NOTHING
        self._in_frame = False
        return PIECE | ENDS

    def _advance_payload(self, size: int) -> None:
        self._from = self._at
        self._at += size
        self._remaining -= size

    def take_payload(self, piece: int) -> bytes:
        """Gives the payload of the piece in hand."""
        if piece == WHOLE:
            return self.payload
        if self._key:
            return mask_slice(self._data, self._from, self._at, self._key, self._turn)
        return self._data[self._from : self._at]

    def move_payload(self, piece: int, buffer: primitives.PayloadBuffer) -> None:
        """Appends the payload of the piece in hand to a buffer."""
        if piece == WHOLE:
            buffer.append(self.payload)
        else:
            buffer.append_slice(self._data, self._from, self._at, self._key, self._turn, self._remaining)

    # What the peer did wrong: each of these is made for one rule and tells what was got and what is allowed.

    def _violation(self, reason: str, section: str) -> RemoteProtocolError:
        return RemoteProtocolError(CloseCode.PROTOCOL_ERROR, reason, section, self.offset)

    def _too_long(self, length: int) -> RemoteProtocolError:
        reason = f"a frame of {length} bytes; {self.max_length} are allowed"
        return RemoteProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "10.4", self.offset)

    def _error_in_first_byte(self, first: int) -> RemoteProtocolError:
        opcode = first & OPCODE_BITS
        if opcode not in _OPCODES:
            return self._violation(f"the reserved opcode {opcode:#x}", "5.2")
        if opcode & CONTROL_BIT and not first & FIN_BIT:
            return self._violation("a fragmented control frame", "5.5")
        return self._violation(f"reserved bits {(first & RSV_BITS) >> 4:03b} that no extension gave a meaning", "5.2")

    def _error_in_masking(self) -> RemoteProtocolError:
        if self._mask_expected:
            return self._violation("a frame without a mask; a client must mask all frames", "5.1")
        return self._violation("a masked frame; a server must not mask any frame", "5.1")
