"""The settings of a connection, apart from its role and what was negotiated: one value, passed on as a whole.

Users pass keyword arguments (``limits=``, ``parts=``, ...) to a handshake or a `Connection`; `Options.updated` checks
them, and makes the value that everything below uses. To add an option, add a field to `Options` and its type to
`OptionArguments`; the code that acts on it reads it there, and nothing in between needs to know about it.

Not here: what an option does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from os import urandom
from typing import TYPE_CHECKING, Any, TypedDict

from .arguments import check_type, items_of
from .codes import Leniency
from .limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from typing_extensions import Unpack


class OptionArguments(TypedDict, total=False):
    """The keywords of `Options`, as ``**options`` of handshakes and connections takes them."""

    limits: Limits | None
    parts: bool
    decode_text: bool
    leniencies: Iterable[Leniency]
    random: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one connection. Every handshake and `~rfc6455.Connection` takes these fields as keyword
    arguments.

    :param limits: bounds on what the peer may make this end keep; ``None`` for the defaults of `~rfc6455.Limits`.
    :param parts: whether messages are delivered in parts as their bytes arrive (`~rfc6455.TextPart`,
        `~rfc6455.BytesPart`), rather than as a whole.
    :param decode_text: ``False`` to deliver text as bytes, in `~rfc6455.EncodedText` events. The bytes are still
        checked to be UTF-8.
    :param leniencies: the rules that are not enforced; `~rfc6455.Leniency` explains the risk of each.
    :param random: a function that returns as many random bytes as it is asked for. A client uses them for its masking
        keys and its ``Sec-WebSocket-Key`` (5.3, 10.3).
    :raises TypeError: for an argument of the wrong type, or an unknown one.
    :raises ValueError: for ``Leniency.INVALID_UTF8`` without ``decode_text=False``.

    >>> rfc6455.Connection(rfc6455.SERVER, limits=5)
    Traceback (most recent call last):
    ...
    TypeError: limits is None or a Limits, such as Limits(message=65536), not 5
    """

    limits: Limits = DEFAULT_LIMITS
    parts: bool = False
    decode_text: bool = True
    leniencies: frozenset[Leniency] = frozenset()
    random: Callable[[int], bytes] = urandom

    def __post_init__(self) -> None:
        check_type(self.parts, bool, "parts is True or False")
        check_type(self.decode_text, bool, "decode_text is True or False")
        check_type(self.limits, Limits, "limits is None or a Limits, such as Limits(message=65536)")
        if not callable(self.random):
            raise TypeError(f"random is a callable like os.urandom, not {self.random!r}")
        if self.decode_text and self.leniencies and Leniency.INVALID_UTF8 in self.leniencies:
            raise ValueError("Leniency.INVALID_UTF8 needs decode_text=False: a str cannot hold such text (8.1)")

    def updated(self, **arguments: Unpack[OptionArguments]) -> Options:
        """Check these keywords, and return these options with them."""
        if not arguments:
            return self
        unknown = arguments.keys() - _NAMES
        if unknown:
            raise TypeError(f"there is no option {min(unknown)!r}; the options are {', '.join(sorted(_NAMES))}")
        # Each handshake calls this, and `dataclasses.replace` would take most of its time.
        options: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        options.update(arguments)
        if options["limits"] is None:
            options["limits"] = DEFAULT_LIMITS
        if "leniencies" in arguments:
            options["leniencies"] = _checked_leniencies(arguments["leniencies"])
        return Options(**options)


def _checked_leniencies(leniencies: Any) -> frozenset[Leniency]:
    what = "leniencies is a set such as {Leniency.BARE_LF}"
    items = items_of(leniencies, what)
    for leniency in items:
        check_type(leniency, Leniency, what)
    return frozenset(items)


_NAMES = tuple(field.name for field in fields(Options))

# Made once, for all connections without options of their own.
DEFAULT_OPTIONS = Options()
