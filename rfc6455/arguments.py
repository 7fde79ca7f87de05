"""Checks of what callers pass, and the words that name an argument in an error.

What lives here: conversions and checks that more than one module makes of its arguments. Not here: rules of the
protocol, which stand in the module of their section.
"""

from __future__ import annotations

from .codes import MAX_LENGTH


def as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """Return binary data as ``bytes``.

    :raises TypeError: when it is something else.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray, memoryview)):
        # Through a view, as a subclass could make something else of itself.
        return bytes(memoryview(data))
    raise TypeError(f"binary data is bytes, bytearray or memoryview, not {type(data).__name__}")


def at_most_63_bits(limit: int | None) -> int:
    """Return a limit as a number that a length can have (5.2); ``None`` is the largest one."""
    return MAX_LENGTH if limit is None else min(limit, MAX_LENGTH)


def excerpt(value: str | bytes, length: int = 60) -> str:
    """Return ``value`` as a printable ASCII literal for an error message, cut after ``length`` characters of it."""
    return ascii(value) if len(value) <= length else ascii(value[:length]) + "..."
