"""Frames as they are on the wire, valid or not (5.2), written and read by the simplest possible code.

The law: nothing here uses the package's own serializer or parser, so that tests built on it can test those like any
other WebSocket code. Nothing is checked: any value that fits into the bits is written.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..codes import FIN_BIT, MASK_BIT, OPCODE_BITS, Opcode

# 5.2: how the 7 bits of the length announce a length in 2 or in 8 bytes.
_ANNOUNCED = {2: 126, 8: 127}


@dataclass(frozen=True)
class WireFrame:
    """One frame, bit by bit; ``bytes(frame)`` is what goes on the wire.

    :ivar opcode: 0 to 15.
    :ivar payload: the "Payload data" before masking.
    :ivar fin: whether this is the last fragment.
    :ivar rsv: the bits RSV1 (4), RSV2 (2) and RSV3 (1).
    :ivar masking_key: 4 bytes; ``None`` for a frame that is not masked.
    :ivar length: the length that the header claims, in bytes; ``None`` for the real one.
    :ivar length_size: the number of bytes of the extended length: 0, 2 or 8; ``None`` for the fewest (5.2).

    >>> bytes(WireFrame(1, b"Hello"))
    b'\\x81\\x05Hello'
    >>> bytes(WireFrame(1, b"Hello", masking_key=bytes.fromhex("37fa213d"))).hex(" ")
    '81 85 37 fa 21 3d 7f 9f 4d 51 58'
    >>> bytes(WireFrame(2, b"x", fin=False, rsv=4, length_size=2)).hex(" ")
    '42 7e 00 01 78'
    """

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    masking_key: bytes | None = None
    length: int | None = None
    length_size: int | None = None

    def __bytes__(self) -> bytes:
        length = len(self.payload) if self.length is None else self.length
        size = _fewest_bytes(length) if self.length_size is None else self.length_size
        first = (FIN_BIT if self.fin else 0) | self.rsv << 4 | self.opcode
        second = (0 if self.masking_key is None else MASK_BIT) | _ANNOUNCED.get(size, length)
        header = bytes((first, second)) + (length.to_bytes(size, "big") if size else b"")
        if self.masking_key is None:
            return header + self.payload
        return header + self.masking_key + _masked(self.payload, self.masking_key)

    @property
    def is_control(self) -> bool:
        """Whether it is a control frame (5.5)."""
        return self.opcode >= Opcode.CLOSE


def _fewest_bytes(length: int) -> int:
    """Return the size of the extended length. 5.2: "the minimal number of bytes MUST be used to encode the length"."""
    return 0 if length <= 125 else 2 if length <= 0xFFFF else 8


def _masked(payload: bytes, key: bytes) -> bytes:
    """Mask a payload. 5.3: transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)."""
    return bytes([octet ^ key[i % 4] for i, octet in enumerate(payload)])


def read_frames(data: bytes) -> tuple[list[WireFrame], bytes]:
    """Return the complete frames that ``data`` begins with, masked or not, and the rest: the bytes of an incomplete
    one.

    >>> frames, rest = read_frames(b"\\x89\\x00\\x81\\x05Hel")
    >>> frames == [WireFrame(9)], rest
    (True, b'\\x81\\x05Hel')
    """
    frames = []
    while (parsed := _read_frame(data)) is not None:
        frame, size = parsed
        frames.append(frame)
        data = data[size:]
    return frames, data


def _read_frame(data: bytes) -> tuple[WireFrame, int] | None:
    """Return the first frame and its size in bytes, or ``None`` if it is incomplete."""
    if len(data) < 2:
        return None
    first, second = data[0], data[1]
    size = {126: 2, 127: 8}.get(second & 0x7F, 0)
    length = int.from_bytes(data[2 : 2 + size], "big") if size else second & 0x7F
    start = 2 + size + (4 if second & MASK_BIT else 0)
    if len(data) < start or len(data) < start + length:
        return None
    key = data[start - 4 : start] if second & MASK_BIT else None
    payload = data[start : start + length]
    frame = WireFrame(
        first & OPCODE_BITS,
        payload if key is None else _masked(payload, key),
        bool(first & FIN_BIT),
        first >> 4 & 7,
        key,
        length_size=None if size == _fewest_bytes(length) else size,
    )
    return frame, start + length


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """Return the payload of a Close frame (5.5.1): a code in 2 bytes, then a reason.

    >>> close_payload(1000, b"bye")
    b'\\x03\\xe8bye'
    """
    return code.to_bytes(2, "big") + reason
