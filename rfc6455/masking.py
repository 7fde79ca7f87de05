"""Masking (5.3): every fourth byte of a client's payload is XORed with the same byte of a random key.

    j                   = i MOD 4
    transformed-octet-i = original-octet-i XOR masking-key-octet-j

Masking and unmasking are the same operation. The loop itself is in `primitives.py`, which picks a compiled one where
there is one; both are tested against the two lines above.
"""

from __future__ import annotations

from .primitives import mask_slice


def apply_mask(data: bytes | bytearray | memoryview, key: bytes | bytearray | memoryview) -> bytes:
    """Masks or unmasks a payload (5.3).

    :param data: the payload, from its first byte.
    :param key: the masking key, 4 bytes.
    :returns: as many bytes as ``data`` has; ``data`` is not changed.
    :raises TypeError: when one of the two is not bytes.
    :raises ValueError: when the key is not 4 bytes long.

    >>> key = bytes.fromhex("37 fa 21 3d")
    >>> rfc6455.apply_mask(b"Hello", key).hex(" ")
    '7f 9f 4d 51 58'
    >>> rfc6455.apply_mask(rfc6455.apply_mask(b"Hello", key), key)
    b'Hello'
    """
    payload, key = bytes(memoryview(data)), bytes(memoryview(key))
    if len(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)} (5.3)")
    return mask_slice(payload, 0, len(payload), key, 0)
