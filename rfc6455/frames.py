"""Frames as values (5.2): bytes to frames and frames to bytes, for proxies, tools and tests.

Not here: the rules of a header, which `cursor.py` applies, and what depends on other frames (5.4, see `state.py`). A
`Connection` reads its input with the same cursor, and makes no `Frame`.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import byte_loops
from .arguments import as_bytes, as_int, check_type
from .byte_loops import pack_frame
from .codes import FIN_BIT, OPCODE_BITS, RSV_BITS, Leniency, Opcode, Role
from .cursor import ENDS, FrameCursor
from .errors import LocalProtocolError, RemoteProtocolError
from .limits import Limits
from .options import DEFAULT_OPTIONS
from .values import Frame, State


def serialize_frame(frame: Frame, masking_key: bytes | bytearray | memoryview | None = None) -> bytes:
    """Return the bytes of a frame (5.2).

    Only what cannot be written at all is refused. This allows tests to write frames that a peer must refuse.

    :param frame: its opcode is any number of 4 bits, and its payload has any length.
    :param masking_key: 4 bytes, which a client must take from a strong source of randomness for each frame (5.3);
        ``None`` for a frame from a server.
    :raises LocalProtocolError: for an opcode over 15, RSV bits over 7 or a key that is not 4 bytes long.
    :raises TypeError: when the frame is not a `Frame`, or when one of its fields or the key has the wrong type.

    >>> hello = rfc6455.Frame(rfc6455.Opcode.TEXT, b"Hello")
    >>> rfc6455.serialize_frame(hello).hex(" ")
    '81 05 48 65 6c 6c 6f'
    >>> rfc6455.serialize_frame(hello, masking_key=bytes.fromhex("37 fa 21 3d")).hex(" ")
    '81 85 37 fa 21 3d 7f 9f 4d 51 58'
    """
    check_type(frame, Frame, "frame is a Frame")
    opcode = as_int(frame.opcode, "the opcode of a frame is a number")
    rsv = as_int(frame.rsv, "rsv of a frame is a number")
    if not 0 <= opcode <= OPCODE_BITS or not 0 <= rsv <= 7:
        raise LocalProtocolError(f"an opcode has 4 bits and RSV has 3, not {opcode} and {rsv} (5.2)")
    key = None if masking_key is None else as_bytes(masking_key, "a masking key")
    if key is not None and len(key) != 4:
        raise LocalProtocolError(f"a masking key has 4 bytes, not {len(key)} (5.3)")
    fin = FIN_BIT if frame.fin else 0
    return pack_frame(fin | rsv << 4 | opcode, as_bytes(frame.payload, "a payload"), key, 0)


class FrameParser(State):
    """A parser for the frames of one direction (5.2).

    :param role: which end is reading: a server accepts only masked frames, a client only unmasked ones (5.1); ``None``
        accepts both, for tools that only watch.
    :param limits: ``frame`` bounds the declared length of a payload; if it is ``None``, ``message`` does.
    :param reserved_bits: the RSV bits that negotiated extensions use on data frames: RSV1 is 4, RSV2 2, RSV3 1.
    :param leniencies: the rules not to enforce; only ``Leniency.UNMASKED_FRAMES`` and ``Leniency.LONG_LENGTHS`` are
        about frames.
    :raises TypeError: when an argument has the wrong type.
    :raises ValueError: when the bits are not from 0 to 7.

    >>> parser = rfc6455.FrameParser()
    >>> parser.receive_data(bytes.fromhex("81 05 4865"))
    []
    >>> parser.receive_data(bytes.fromhex("6c6c6f"))
    [Frame(opcode=<Opcode.TEXT: 1>, payload=b'Hello', fin=True, rsv=0)]
    """

    # The attributes of the compiled class, as in `Connection`.
    __slots__ = ("_cursor", "_buffer", "_failure", "__weakref__")

    def __init__(
        self,
        role: Role | None = None,
        *,
        limits: Limits | None = None,
        reserved_bits: int = 0,
        leniencies: Iterable[Leniency] = (),
    ) -> None:
        check_type(role, (Role, type(None)), "a role is Role.CLIENT, Role.SERVER or None")
        bits = as_int(reserved_bits, "reserved_bits is a number from 0 to 7")
        if not 0 <= bits <= 7:
            raise ValueError(f"reserved_bits are three bits, 0 to 7, not {bits} (5.2)")
        # The arguments are checked like those of a connection. No text is decoded here.
        options = DEFAULT_OPTIONS.updated(limits=limits, leniencies=leniencies, decode_text=False)
        self._cursor = FrameCursor(role, options.limits, bits, options.leniencies)
        self._buffer = byte_loops.BytesBuffer()
        self._failure: tuple[int, str, str, int | None] | None = None

    @property
    def offset(self) -> int:
        """The place where the current frame begins, in bytes from the beginning of the stream."""
        return self._cursor.offset

    @property
    def total(self) -> int:
        """The number of bytes received so far."""
        return self._cursor.total

    @property
    def mid_frame(self) -> bool:
        """Whether the input ends inside a frame."""
        return self._cursor.mid_frame

    @property
    def leniencies_used(self) -> dict[Leniency, int]:
        """The number of frames for which each leniency was needed."""
        return self._cursor.leniencies_used

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Process bytes in chunks of any size, and return the frames that they complete.

        An incomplete payload is kept, up to the frame limit.

        :param data: bytes as they were read; ``b""`` does not mean the end of the stream here, and yields nothing.
        :raises RemoteProtocolError: when a header breaks a rule of 5.1, 5.2 or 5.5 (1002) or the limit (1009). Its
            attribute ``frames`` holds the frames of this call that came before. Every further call raises the same
            error.
        :raises TypeError: when the data is not bytes.
        """
        if self._failure is not None:
            raise RemoteProtocolError(*self._failure)
        frames: list[Frame] = []
        cursor = self._cursor
        cursor.feed(as_bytes(data))
        try:
            while piece := cursor.advance():
                cursor.move_payload(piece, self._buffer)
                if piece & ENDS:
                    first, payload = cursor.first, self._buffer.take_bytes()
                    rsv = (first & RSV_BITS) >> 4
                    frames.append(Frame(Opcode(first & OPCODE_BITS), payload, first >= FIN_BIT, rsv))
        except RemoteProtocolError as error:
            error.frames = frames
            self._failure = error.args
            cursor.drop()
            self._buffer = byte_loops.BytesBuffer()
            raise
        cursor.forget()
        return frames
