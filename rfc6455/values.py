"""The base classes of values and of the state of a connection, and the only value that is not an event: `Frame`.

Values are plain classes with slots rather than frozen dataclasses, which take three times as long to create; treat
them as read-only.

Not here: events (see `events.py`), and anything that reads or writes bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._signatures import SIGNATURE

if TYPE_CHECKING:
    from typing import Any, NoReturn


# Under this name, it is called like any Python function, so that a value that contains itself causes a RecursionError.
# The code that Cython generates for the built-in's own name does not count the depth.
_hash = hash


class Value:
    """The base class of events and frames: equality, hash and ``repr()`` over the fields in ``__match_args__``."""

    __signature__ = SIGNATURE

    __slots__ = ()

    def _names(self) -> tuple[str, ...]:
        # `__match_args__` is not declared here: a type for all classes would hide the individual ones from type
        # checkers.
        return getattr(self, "__match_args__", ())

    def _fields(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._names()])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return _hash((type(self), self._fields()))

    def __repr__(self) -> str:
        fields = ", ".join([f"{name}={value!r}" for name, value in zip(self._names(), self._fields(), strict=True)])
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._fields()


class State:
    """The base class of the state of a connection. It cannot be copied: two copies would go on with the same masking
    keys, which must not repeat (5.3), and with the same compressor."""

    __signature__ = SIGNATURE

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is the state of one connection, and cannot be copied or pickled")


class Frame(Value):
    """One frame (5.2), as a value.

    :ivar opcode: an `Opcode` if the frame was received; a frame to be written may have any of the 16 numbers.
    :ivar payload: the "Payload data", unmasked.
    :ivar fin: whether this is the last fragment of a message.
    :ivar rsv: the bits RSV1 (4), RSV2 (2) and RSV3 (1).

    >>> rfc6455.Frame(rfc6455.Opcode.TEXT, b"Hel", fin=False)
    Frame(opcode=<Opcode.TEXT: 1>, payload=b'Hel', fin=False, rsv=0)
    """

    __slots__ = __match_args__ = ("opcode", "payload", "fin", "rsv")

    def __init__(self, opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> None:
        self.opcode: int = opcode
        self.payload: bytes = payload
        self.fin: bool = fin
        self.rsv: int = rsv
