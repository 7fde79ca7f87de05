"""The frame cursor (5.2): moves over the bytes from the peer, frame by frame.

`FrameCursor.feed` adds input, and each `FrameCursor.advance` moves to the next *piece*: a whole frame if all of it is
in the input, otherwise as much of its payload as has arrived. So only an unfinished header or control frame (130 bytes
at most) has to be kept, and a rule is applied to the header as soon as the byte that breaks it has arrived. The
attributes of the cursor describe the piece; `take_payload` and `move_payload` return its payload.

The header of a frame (5.2), and what it is called here:

     first byte        second byte        0, 2 or 8 bytes     0 or 4 bytes
    +-+-+-+-+-------+ +-+-------------+ +-------------------+ +-------------+ +---------
    |F|R|R|R| opcode| |M| Payload len | |  Extended payload | | Masking-key | | Payload
    |I|S|S|S|  (4)  | |A|     (7)     | |  length (16 or 64 | | (where MASK | |  data
    |N|V|V|V|       | |S| 126: 16 bits| |  bits, where len  | |   is set)   | |
    | |1|2|3|       | |K| 127: 64 bits| |  is 126 or 127)   | |             | |
    +-+-+-+-+-------+ +-+-------------+ +-------------------+ +-------------+ +---------
    `first`           masked, length     `length`              `_key`

The input, and the positions in it. While a long frame is delivered in pieces, its payload may begin in one feed and
end many feeds later:

     stream    0 ........... _base ........ offset .................................. total
     _data                   [ given already | header | payload ......... | not seen yet ]
     relative to _data       0                        |        |         _end
                                                    _from     _at
                                                      `- piece in hand -'

``offset`` is before `_base` if the current frame began before `_data`.

Not here: what depends on other frames (5.4, see `state.py`) and what the payload means.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from . import byte_loops
from .arguments import at_most_63_bits
from .byte_loops import mask_slice, take_payload
from .codes import (
    CONTROL_BIT,
    FIN_BIT,
    MAX_CONTROL_PAYLOAD,
    MAX_LENGTH,
    OPCODE_BITS,
    RSV_BITS,
    SERVER,
    CloseCode,
    Leniency,
    Opcode,
    Role,
)
from .errors import RemoteProtocolError
from .limits import Limits

# The result of one step, as bits. A frame is delivered as one whole piece, or as several of which the first starts and
# the last ends it.
NOTHING = 0
PIECE = 1
STARTS = 2
ENDS = 4
WHOLE = PIECE | STARTS | ENDS

# The same values as integers of C (see cursor.pxd), which other modules cannot import.
_NOTHING, _PIECE, _STARTS, _ENDS, _WHOLE = NOTHING, PIECE, STARTS, ENDS, WHOLE

# The size of the buffer that is lent for one read, by default and at most. asyncio reads up to this size.
READ_SIZE = 64 << 10
MAX_READ_SIZE = 256 << 10

# If at least this much of a payload is missing, it is read directly into the message. For less, a separate read would
# cost more than the copy, and could not fetch the data after the frame.
LARGE_REST = 16 << 10

_OPCODES = frozenset(Opcode)


def fault_in_first_byte(first: int, reserved_bits: int) -> tuple[str, str] | None:
    """Describe what is wrong with the first byte of a header, and name the section that forbids it.

    Return ``None`` if nothing is wrong.

    :param reserved_bits: the RSV bits that extensions use: RSV1 is 4, RSV2 2, RSV3 1.
    """
    opcode = first & OPCODE_BITS
    rsv = (first & RSV_BITS) >> 4
    is_control = first & CONTROL_BIT

    # 5.2, Opcode: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
    if opcode not in _OPCODES:
        return f"the reserved opcode {opcode:#x}", "5.2"

    # 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
    if is_control and not first & FIN_BIT:
        return "a fragmented control frame", "5.5"

    # 5.2, RSV1, RSV2, RSV3: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values. If
    # a nonzero value is received and none of the negotiated extensions defines the meaning of such a nonzero value,
    # the receiving endpoint MUST _Fail the WebSocket Connection_." Here, extensions define meanings on data frames
    # only.
    if rsv & ~(0 if is_control else reserved_bits):
        return f"reserved bits {rsv:03b} that no negotiated extension defines", "5.2"

    return None


# For each set of RSV bits, whether each first byte is legal: the function above, computed in advance.
_IS_RIGHT = tuple([bytes([fault_in_first_byte(first, bits) is None for first in range(256)]) for bits in range(8)])


class FrameCursor:
    """A cursor over the frames of one direction.

    :param role: which end is reading; ``None`` accepts masked and unmasked frames.
    :param limits: ``frame`` bounds the declared length of a payload; if it is ``None``, ``message`` does.
    :param reserved_bits: the RSV bits that extensions use on data frames.
    :param leniencies: ``UNMASKED_FRAMES`` and ``LONG_LENGTHS`` are for the cursor.
    """

    # The attributes of the compiled class, as in `Connection`.
    __slots__ = (
        *("max_length", "max_piece", "offset", "first", "length", "payload", "leniencies_used"),
        *("_reserved_bits", "_is_right", "_mask_expected", "_leniencies", "_tolerated_at"),
        *("_data", "_at", "_end", "_base", "_in_frame", "_remaining", "_from", "_key"),
        *("_target", "_loan", "_lent", "_lent_size", "_is_lent_by_target", "_read_into_target", "__weakref__"),
    )

    def __init__(
        self, role: Role | None, limits: Limits, reserved_bits: int = 0, leniencies: Collection[Leniency] = ()
    ) -> None:
        # The longest payload of a data frame.
        self.max_length: int = at_most_63_bits(limits.message if limits.frame is None else limits.frame)
        # A data frame with a longer payload is delivered in pieces of at most this length.
        self.max_piece: int = MAX_LENGTH
        # The number of times that each leniency was used.
        self.leniencies_used: dict[Leniency, int] = {}
        self._reserved_bits = reserved_bits
        self._is_right = _IS_RIGHT[reserved_bits]
        # The required mask bit; 2 stands for either.
        self._mask_expected = 2 if role is None else int(role is SERVER)
        self._leniencies = leniencies
        # The offset of the frame for which each was last counted, as a header may be checked more than once.
        self._tolerated_at: dict[Leniency, int] = {}
        # The input.
        self._data = b""
        self._at = self._end = self._base = 0
        # The frame that is being delivered in pieces: how much of its payload is missing, and how it is masked.
        self._in_frame = False
        self._remaining = self._from = 0
        self._key = b""
        # The place where the current frame begins, in bytes from the beginning of the stream.
        self.offset: int = 0
        # The current piece: the first byte of its frame, the length of the frame's payload, and, if the piece is a
        # whole frame, this payload.
        self.first: int = 0
        self.length: int = 0
        self.payload: bytes = b""
        # Reading without a copy: the buffer to which the payload of the current frame is moved, what is lent, and how
        # much was read directly into that buffer since the last step.
        self._target: byte_loops.PayloadBuffer | None = None
        self._loan: byte_loops.Loan | None = None
        self._lent: memoryview | None = None
        self._lent_size = self._read_into_target = 0
        self._is_lent_by_target = False

    # The position.

    @property
    def total(self) -> int:
        """The number of bytes fed so far."""
        return self._base + self._end

    @property
    def unparsed(self) -> int:
        """The number of bytes of input that have not become part of a piece yet."""
        return self._end - self._at

    @property
    def mid_frame(self) -> bool:
        """Whether the input ends inside a frame."""
        return self._in_frame or self._at < self._end

    @property
    def frame_received(self) -> int:
        """The number of bytes of the current frame that have arrived, including its header; 0 between frames."""
        if self._in_frame:
            return self._base + self._at - self.offset + min(self._end - self._at, self._remaining)
        return self._end - self._at

    def has_input(self) -> bool:
        """Return whether there is input that has not become part of a piece yet."""
        return self._at < self._end or self._read_into_target > 0

    # Input.

    def feed(self, data: bytes) -> None:
        """Add input, which `advance` then splits into pieces."""
        if self._loan is not None:
            self._end_loan()
        at = self._at
        self._base += at
        self._from -= at
        self._data = data = data if at == self._end else self._data[at:] + data
        self._end = len(data)
        self._at = 0

    def absorbs(self, data: bytes) -> bool:
        """If the input is just the middle of a payload, and appending it to this payload's buffer is all that has to
        be done, append it. Return whether this was done.

        The input is then part of the last piece, so there is no need to call `advance`.
        """
        size = len(data)
        if self._target is None or size >= self._remaining or self._at != self._end or self._read_into_target:
            return False
        turn = (self.length - self._remaining) & 3
        if self._loan is not None or not self._target.append_simply(data, turn):
            return False
        self._base += size
        self._remaining -= size
        return True

    def forget(self) -> None:
        """Release the input that has become pieces, and the last payload."""
        at = self._at
        if at and at == self._end:
            # The same as feed(b""); most reads end here.
            self._base += at
            self._from -= at
            self._data = b""
            self._at = self._end = 0
        elif at:
            self.feed(b"")
        self.payload = b""

    def drop(self) -> None:
        """Forget all input, and go on at the beginning of a frame. Until then, ``offset`` remains the same."""
        if self._loan is not None:
            self._end_loan()
        self._base += self._end
        self._data = self.payload = b""
        self._at = self._end = self._from = self._read_into_target = 0
        self._in_frame = False
        self._target = None

    # Input that is read into the cursor's memory.

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        """Return memory to read into; `buffer_updated` ends the loan.

        In the middle of a large payload, this is the memory of its message, so that it is never copied. The memory is
        valid for one read: another call, or `feed`, invalidates it. None is kept between reads.

        :param size_hint: the number of bytes that the caller would like; the memory may be smaller or larger. 0 or
            less means no preference.
        """
        if self._loan is not None:
            self._end_loan()
        size = min(size_hint, MAX_READ_SIZE) if size_hint > 0 else READ_SIZE
        target = self._target
        if self._in_frame and target is not None and self._remaining >= LARGE_REST and not self.has_input():
            size = min(size, self._remaining, self.max_piece)
            loan = target.lend(size, self._remaining - size)
            self._is_lent_by_target = True
        else:
            loan = byte_loops.Loan(size)
            self._is_lent_by_target = False
        self._loan = loan
        self._lent_size = size
        self._lent = view = loan.view()
        return view

    def buffer_updated(self, size: int) -> None:
        """Take the first ``size`` bytes of what `get_buffer` returned last as input, and release it.

        :raises ValueError: when no memory was lent, or less than ``size``.
        """
        loan = self._loan
        if loan is None:
            raise ValueError("call buffer_updated() once after get_buffer(), without other input in between")
        if not isinstance(size, int):
            raise TypeError(f"what was read is a number of bytes, not {type(size).__name__}")
        if not 0 <= size <= self._lent_size:
            raise ValueError(f"{self._lent_size} bytes were lent, and not {size}")
        self._end_loan()
        if self._target is None or not self._is_lent_by_target:
            self.feed(loan.take(size))
            return
        self._target.append_loan(loan, size, (self.length - self._remaining) & 3)
        self._base += size
        self._remaining -= size
        self._read_into_target += size

    def _end_loan(self) -> None:
        """Release what was lent. If the reader still holds a view of it, that memory is left to the reader."""
        view = self._lent
        self._lent = self._loan = None
        if view is not None:
            with suppress(BufferError):
                view.release()

    # One step.

    def advance(self) -> int:
        """Move to the next piece, and return its kind: ``NOTHING`` (more input is needed) or the bits ``PIECE``,
        ``STARTS`` and ``ENDS``. ``first`` and ``length`` describe its frame. The payload of a whole frame is in
        ``payload``; for any piece, `take_payload` and `move_payload` return it, but only once.

        A control frame is always one piece. The first piece of a longer frame may consist of nothing but its header.

        :raises RemoteProtocolError: when a header breaks a rule of 5.1, 5.2 or 5.5 (1002) or the limit (1009).
        """
        if self._in_frame:
            return self._advance_in_frame()
        data = self._data
        at = self._at
        available = self._end - at
        if not available:
            return _NOTHING

        # 1. The first byte: FIN, RSV1 to RSV3, opcode.
        self.offset = self._base + at
        first = data[at]
        if not self._is_right[first]:
            raise self._error_in_first_byte(first)

        # 2. The second byte: MASK, and the length if it is below 126.
        if available < 2:
            return _NOTHING
        second = data[at + 1]
        masked = second >> 7
        if masked != self._mask_expected and self._mask_expected != 2:
            self._check_mask(masked)
        length = second & 0x7F
        header = 2
        if length > MAX_CONTROL_PAYLOAD:
            # 5.5: "All control frames MUST have a payload length of 125 bytes or less".
            if first & CONTROL_BIT:
                raise self._violation(f"a control frame of more than {MAX_CONTROL_PAYLOAD} bytes", "5.5")
            # 3. The extended length.
            header = 4 if length == 126 else 10
            length = self._extended_length(at + 2, length)
            if length < 0:
                return _NOTHING

        # 10.4: "Implementations that have implementation- and/or platform-specific limitations regarding the frame
        # size [...] MUST protect themselves against exceeding those limits." A control frame is within each of them.
        if length > self.max_length and not first & CONTROL_BIT:
            raise self._too_long(length)

        # 4. The key, and the part of the payload that has arrived.
        header += masked << 2
        if available < header:
            return _NOTHING
        start = at + header
        self.first = first
        self.length = length
        if length > available - header or length > self.max_piece:
            return _NOTHING if first & CONTROL_BIT else self._begin_in_pieces(start, masked)
        self._at = stop = start + length
        self.payload = take_payload(data, start, stop, masked)
        return _WHOLE

    def _extended_length(self, at: int, short_length: int) -> int:
        """Return the length that 126 or 127 announced, or -1 if it has not arrived yet."""
        data = self._data
        available = self._end - at
        if short_length == 126:
            if available < 2:
                return -1
            length = data[at] << 8 | data[at + 1]
            least = 126
        else:
            # 5.2, Payload length: "the following 8 bytes interpreted as a 64-bit unsigned integer (the most
            # significant bit MUST be 0) are the payload length."
            if available > 0 and data[at] & 0x80:
                raise self._violation("a payload length of 2^63 or more; its most significant bit must be 0", "5.2")
            if available < 8:
                return -1
            length = int.from_bytes(data[at : at + 8], "big")
            least = 1 << 16
        # 5.2: "Note that in all cases, the minimal number of bytes MUST be used to encode the length, for example, the
        # length of a 124-byte-long string can't be encoded as the sequence 126, 0, 124."
        if length < least and not self._tolerates(Leniency.LONG_LENGTHS):
            raise self._violation(f"a length of {length} in more bytes than necessary", "5.2")
        return length

    def _check_mask(self, masked: int) -> None:
        """Refuse a mask bit that is wrong for this direction."""
        # 5.1: "A client MUST close a connection if it detects a masked frame."
        if masked:
            raise self._violation("a masked frame; a server must not mask any frame", "5.1")
        # 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        if not self._tolerates(Leniency.UNMASKED_FRAMES):
            raise self._violation("a frame without a mask; a client must mask all frames", "5.1")

    def _tolerates(self, leniency: Leniency) -> bool:
        """Return whether a rule is not enforced, and count the frames for which this made a difference."""
        if leniency not in self._leniencies:
            return False
        if self._tolerated_at.get(leniency) != self.offset:
            self._tolerated_at[leniency] = self.offset
            self.leniencies_used[leniency] = self.leniencies_used.get(leniency, 0) + 1
        return True

    def _begin_in_pieces(self, start: int, masked: int) -> int:
        """Begin a frame that cannot or must not be delivered as a whole."""
        self._in_frame = True
        self._remaining = self.length
        self._key = self._data[start - 4 : start] if masked else b""
        self._target = None
        self._at = start
        self._advance_payload(min(self._end - start, self.max_piece))
        return _PIECE | _STARTS

    def _advance_in_frame(self) -> int:
        if self._read_into_target:
            # This piece was read into its message, so none of it is in the input.
            size = self._read_into_target
            self._read_into_target = 0
            self._from = self._at
        else:
            available = self._end - self._at
            size = available if available < self._remaining else self._remaining
            if size > self.max_piece:
                size = self.max_piece
            self._advance_payload(size)
        if self._remaining:
            return _PIECE if size else _NOTHING
        self._in_frame = False
        return _PIECE | _ENDS

    def _advance_payload(self, size: int) -> None:
        self._from = self._at
        self._at += size
        self._remaining -= size

    # The payload of the current piece.

    def take_payload(self, piece: int) -> bytes:
        """Return the payload of the current piece."""
        if piece == _WHOLE:
            return self.payload
        if self._key:
            return mask_slice(self._data, self._from, self._at, self._key, self._turn())
        return self._data[self._from : self._at]

    def move_payload(self, piece: int, buffer: byte_loops.PayloadBuffer) -> None:
        """Append the payload of the current piece to a buffer. The rest of the frame may be read directly into it."""
        if piece == _WHOLE:
            buffer.append(self.payload)
        else:
            buffer.append_slice(self._data, self._from, self._at, self._key, self._turn(), self._remaining)
            self._target = buffer if self._in_frame else None

    def _turn(self) -> int:
        """Return which byte of the key belongs to the first byte of the current piece."""
        return (self.length - self._remaining - (self._at - self._from)) & 3

    # What the peer did wrong.

    def _violation(self, reason: str, section: str) -> RemoteProtocolError:
        return RemoteProtocolError(CloseCode.PROTOCOL_ERROR, reason, section, self.offset)

    def _error_in_first_byte(self, first: int) -> RemoteProtocolError:
        fault = fault_in_first_byte(first, self._reserved_bits)
        assert fault is not None
        return self._violation(*fault)

    def _too_long(self, length: int) -> RemoteProtocolError:
        reason = f"a frame of {length} bytes; Limits(frame={self.max_length}) allows no more"
        return RemoteProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "10.4", self.offset)
