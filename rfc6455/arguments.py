"""Checks of arguments, and the names of arguments in error messages.

What lives here: conversions and checks that more than one module needs. Not here: rules of the protocol, which are in
the module for their section.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from operator import index
from types import CodeType
from typing import Any

from .codes import MAX_LENGTH

# The flags of functions that do nothing until their result is awaited or iterated over.
_DEFERRED = CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR


def as_bytes(data: bytes | bytearray | memoryview, what: str = "binary data") -> bytes:
    """Return binary data as ``bytes``; ``what`` names it in the error.

    :raises TypeError: when it is anything else.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray, memoryview)):
        # Through a view, as a subclass could define a conversion of its own.
        return bytes(memoryview(data))
    raise TypeError(f"{what} is bytes, bytearray or memoryview, not {type(data).__name__}")


def at_most_63_bits(limit: int | None) -> int:
    """Return a limit as a number that a length can have (5.2); ``None`` stands for the largest one."""
    return MAX_LENGTH if limit is None or limit > MAX_LENGTH else limit


def whole_number(value: Any) -> int | None:
    """Return a whole number as an ``int``. It may be any value that Python accepts as an index, such as an integer of
    numpy. Return ``None`` for anything else, including a `bool`, which Python accepts as a number, but which is never
    meant as one."""
    if type(value) is int:
        return value
    try:
        return None if value is None or isinstance(value, bool) else int(index(value))
    except TypeError:
        return None


def as_int(value: Any, what: str) -> int:
    """Return an argument as an ``int``, as `whole_number` does.

    :param what: as for `check_type`.
    :raises TypeError: when it is not a whole number.
    """
    number = whole_number(value)
    if number is None:
        raise TypeError(f"{what}, not {described(value)}")
    return number


def excerpt(value: str | bytes, length: int = 60) -> str:
    """Return ``value`` as a printable ASCII literal for an error message, cut after ``length`` characters of it."""
    return ascii(value) if len(value) <= length else ascii(value[:length]) + "..."


def check_type(value: object, wanted: type | tuple[type, ...], what: str) -> None:
    """Check that an argument has one of the types ``wanted``.

    :param what: the beginning of the message, which names the argument and says what to pass: ``"uri is a str"``.
    :raises TypeError: when it does not. The message does not show a value that may be a secret.
    """
    if not isinstance(value, wanted):
        raise TypeError(f"{what}, not {described(value)}")


def is_deferred(function: object) -> bool:
    """Return whether a call of this function does nothing until its result is awaited or iterated over, that is,
    whether it is defined with ``async`` or ``yield``, or is an object with such a ``__call__``."""
    while isinstance(function, partial):
        function = function.func
    codes = [getattr(each, "__code__", None) for each in (function, type(function).__call__)]
    return any(isinstance(code, CodeType) and code.co_flags & _DEFERRED for code in codes)


def check_plain(function: object, what: str, advice: str = "") -> None:
    """Check that an argument is a function that does its work when it is called. Other kinds of functions would return
    a coroutine or a generator, which counts as true, whatever its result would be.

    :param what: what it is, for the message: ``"tell"``.
    :param advice: what to do instead of passing a coroutine function, for the end of the message.
    :raises TypeError: when it is no function, is defined with ``async`` or ``yield``, or is an object with such a
        ``__call__``.
    """
    if not callable(function):
        raise TypeError(f"{what} is a function, not {function!r}")
    if is_deferred(function):
        raise TypeError(f"{what} is a plain function, without 'async' or 'yield', unlike {function!r}{advice}")


def items_of(values: Any, what: str) -> tuple[Any, ...]:
    """Return the items of an argument that holds several. A single `str` never stands for its letters.

    :param what: as for `check_type`.
    :raises TypeError: when it is not iterable, or is `str` or `bytes`.
    """
    if isinstance(values, (tuple, list)):
        return tuple(values)  # the check below takes longer than everything else
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{what}, not {described(values)}")
    return tuple(values)


def described(value: object) -> str:
    """Describe a wrong argument: return the value if it is simple, otherwise its type."""
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
