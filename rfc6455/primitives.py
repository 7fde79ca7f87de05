"""The loops over bytes, twice: here in Python that anybody can read, and compiled in ``_speedups.pyx``.

This is the only place that picks a compiled one. What the two must have in common is tested on both: each has the
same effect, the same result and the same error. Everything else in the package has one body only.
"""

from __future__ import annotations

import codecs

from .codes import MASK_BIT

# Up to here one XOR of two long integers is faster than four passes of bytes.translate() (benchmarks/masking.py).
LONGEST_INTEGER = 700

# Longer payloads are masked in blocks that stay in the processor's cache over the four passes.
BLOCK = 32 << 10

# One table for each value of a key byte: what bytes.translate() makes of each of the 256 input bytes.
_TABLES = tuple([bytes([value ^ key_byte for value in range(256)]) for key_byte in range(256)])

_from_bytes = int.from_bytes


def mask_slice(data: bytes, start: int, stop: int, key: bytes, turn: int) -> bytes:
    """Masks ``data[start:stop]`` (5.3); ``key[turn]`` belongs to ``data[start]``."""
    length = stop - start
    if turn:
        key = key[turn:] + key[:turn]
    if length > LONGEST_INTEGER:
        return b"".join([_mask_block(data[at : min(at + BLOCK, stop)], key) for at in range(start, stop, BLOCK)])
    repeated_key = (key * (length // 4 + 1))[:length]
    masked = _from_bytes(data[start:stop], "little") ^ _from_bytes(repeated_key, "little")
    return masked.to_bytes(length, "little")


def _mask_block(data: bytes, key: bytes) -> bytearray:
    """Masks the bytes 0, 4, 8, ... with one translation, then 1, 5, 9, ..., and so on."""
    masked = bytearray(data)
    for lane in range(4):
        masked[lane::4] = masked[lane::4].translate(_TABLES[key[lane]])
    return masked


def take_payload(data: bytes, start: int, stop: int, masked: int) -> bytes:
    """Gives the payload at ``data[start:stop]``, whose key, if it is masked, is the four bytes before it (5.2)."""
    return mask_slice(data, start, stop, data[start - 4 : start], 0) if masked else data[start:stop]


def pack_frame(first: int, payload: bytes, masking_key: bytes | None) -> bytes:
    """Gives the bytes of a frame (5.2) whose first byte (FIN, RSV, opcode) is ``first``."""
    length = len(payload)
    if masking_key is None:
        return pack_header(first, 0, length) + payload
    return pack_header(first, MASK_BIT, length) + masking_key + mask_slice(payload, 0, length, masking_key, 0)


def pack_header(first: int, mask_bit: int, length: int) -> bytes:
    """5.2: "the minimal number of bytes MUST be used to encode the length"."""
    if length <= 125:
        return (first << 8 | mask_bit | length).to_bytes(2, "big")
    if length <= 0xFFFF:
        return (first << 24 | (mask_bit | 126) << 16 | length).to_bytes(4, "big")
    return (first << 8 | mask_bit | 127).to_bytes(2, "big") + length.to_bytes(8, "big")


def decode_beginning(data: bytes) -> tuple[str, int]:
    """Decodes the beginning of a text; gives it and how many bytes it took, without a character not yet complete.

    :raises UnicodeDecodeError: at the first byte that no text can have there (8.1).
    """
    text, used = codecs.utf_8_decode(data, "strict", False)
    # Python waits for the third byte of a surrogate, for the sake of a handler that would let it pass.
    if data[used : used + 1] == b"\xed" and data[used + 1 : used + 2] > b"\x9f":
        raise UnicodeDecodeError("utf-8", data, used, used + 1, "invalid continuation byte")
    return text, used


class PayloadBuffer:
    """Joins the payloads of one message at a time; what `BytesBuffer` and `TextBuffer` have in common."""

    def __init__(self) -> None:
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def append(self, payload: bytes) -> None:
        """Adds a payload at the end."""
        self._data += payload

    def append_slice(self, data: bytes, start: int, stop: int, key: bytes, turn: int, more: int) -> None:
        """Adds ``data[start:stop]``; unless ``key`` is empty, ``key[turn]`` masks the first of these bytes.

        :param more: how many bytes are announced to follow, for which room may be made.
        """
        self._data += mask_slice(data, start, stop, key, turn) if key else data[start:stop]

    def allocated(self) -> int:
        """How many bytes of memory the content takes."""
        return self._data.__alloc__()


class BytesBuffer(PayloadBuffer):
    """Joins the payloads of a binary message."""

    def take_bytes(self) -> bytes:
        """Gives all and keeps nothing."""
        data, self._data = self._data, bytearray()
        return bytes(data)


class TextBuffer(PayloadBuffer):
    """Joins the payloads of a text message, and can check that they are the beginning of a text."""

    def __init__(self) -> None:
        super().__init__()
        # So many bytes are known to be whole characters.
        self._checked = 0

    def check_text(self) -> None:
        """Checks what was not checked before; the last character may be incomplete.

        :raises UnicodeDecodeError: at the first byte that no text can have there (8.1).
        """
        unchecked = bytes(self._data[self._checked :])
        self._checked += len(unchecked) if unchecked.isascii() else decode_beginning(unchecked)[1]

    def take_text(self) -> str:
        """Gives all, decoded, and keeps nothing.

        :raises UnicodeDecodeError: when it is not UTF-8.
        """
        data, self._data = self._data, bytearray()
        self._checked = 0
        return data.decode()


try:
    from ._speedups import (  # type: ignore[import-not-found, no-redef, unused-ignore]  # noqa: F401
        BytesBuffer,
        PayloadBuffer,
        TextBuffer,
        mask_slice,
        pack_frame,
        take_payload,
    )
except ModuleNotFoundError as error:
    # There is none. One that is there and cannot be imported is a fault, which the slower bodies would hide.
    if error.name != f"{__package__}._speedups":
        raise
