"""Masking (5.3): every fourth byte of a client's payload is XORed with the same byte of a random key.

    j                   = i MOD 4
    transformed-octet-i = original-octet-i XOR masking-key-octet-j

Masking and unmasking are the same operation. This is the only place that picks the compiled body, which works on
eight bytes at a time; the two Python bodies below do the same as fast as Python can. All of them are tested
against the two lines above.
"""

from __future__ import annotations

__all__ = ["apply_mask", "mask_slice"]

# Up to here one XOR of two long integers is faster than four passes of bytes.translate(); measured at
# 1,000 bytes the two are equal (benchmarks/masking.py).
LONGEST_INTEGER = 1000

# One table for each value of a key byte: what bytes.translate() makes of each of the 256 input bytes.
_TABLES = tuple([bytes([value ^ key_byte for value in range(256)]) for key_byte in range(256)])


def _mask_slice(data: bytes, start: int, stop: int, key: bytes) -> bytes:
    """Masks ``data[start:stop]``; the first byte of ``key`` belongs to ``data[start]``."""
    length = stop - start
    if length > LONGEST_INTEGER:
        return _mask_lanes(data[start:stop], key)
    repeated_key = (key * (length // 4 + 1))[:length]
    masked = int.from_bytes(data[start:stop], "little") ^ int.from_bytes(repeated_key, "little")
    return masked.to_bytes(length, "little")


def _mask_lanes(data: bytes, key: bytes) -> bytes:
    """Masks the bytes 0, 4, 8, ... with one translation, then 1, 5, 9, ..., and so on."""
    masked = bytearray(len(data))
    for lane in range(4):
        masked[lane::4] = data[lane::4].translate(_TABLES[key[lane]])
    return bytes(masked)


try:
    from ._mask import mask_slice
except ImportError:
    mask_slice = _mask_slice


def apply_mask(data: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """Masks or unmasks a payload (5.3).

    :param data: the payload, from its first byte.
    :param key: the masking key, 4 bytes.
    :returns: as many bytes as ``data`` has; ``data`` is not changed.
    :raises ValueError: when the key is not 4 bytes long.
    """
    if len(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)} (5.3)")
    payload = bytes(data)
    return mask_slice(payload, 0, len(payload), bytes(key))
