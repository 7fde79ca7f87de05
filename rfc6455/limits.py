"""The limits on what a peer can make this end keep, all in one place, each with its reason.

Not here: the code that enforces them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from .arguments import whole_number


@dataclass(frozen=True)
class Limits:
    """Bounds on what one peer can make this end keep. All sizes are in bytes; ``None`` means that there is no separate
    bound.

    :param message: the maximum size of a message, after joining fragments and inflating; a larger one fails the
        connection with 1009 (10.4). The default of 1 MiB is that of websockets; aiohttp allows 4 MiB, ws 100 MiB,
        wsproto and gorilla have no limit. On the wire, a compressed message may take 8 times as much plus 64 KiB,
        which is what a sender that flushes after each byte needs.
    :param frame: the maximum payload of one data frame, as declared in its header; a longer one fails with 1009. By
        default, only ``message`` bounds it, and nobody is refused because of the way a message is fragmented.
    :param memory: the budget of one connection for everything that the peer can make it keep: unread input, the
        message received so far, the state of the extensions, queued replies; exceeding it fails with 1009, except that
        replies are dropped until only the newest is left. An empty fragment counts as 64 bytes until its message ends.
        ``None`` means twice ``message``, since a growing buffer has spare room, plus 512 KiB, which is enough for the
        largest deflate state and one read.
    :param pongs: how many Pings may wait for their Pong, which is sent together with whatever is sent next; beyond
        that, or beyond ``memory``, the oldest is not answered. 5.5.3 allows 1; 16 also suit a peer that sends several
        at once and counts the answers, and take 3 KiB at most.
    :param head: the maximum size of a request or response head; 431 beyond it. 64 KiB: nginx allows 8 KiB and four
        lines of the same size, Node 16 KiB, aiohttp whatever its limits on lines and headers add up to.
    :param line: the maximum length of a line in a head; 414 for a request line beyond it, 431 for a header. 16 KiB has
        room for a Kerberos ticket of 12 KB or a full cookie jar; nginx, aiohttp and websockets allow 8 KiB, Node 16
        KiB.
    :param headers: how many header lines a head may have; 431 beyond that. 256: proxies and tracing add dozens of
        them; websockets allows 128, Node 2000, nginx and ws have no separate limit.
    :param early_data: how much a client may send before its handshake has been answered; 400 beyond that. A client
        must wait (4.1), so 16 KiB, one TLS record, is meant for clients that send a first message too early.
    :param body: how much of the body of a refused handshake a client keeps for the error. 64 KiB is enough for any
        page that explains a refusal.
    :raises ValueError: when a value is not a whole number from 1 up; only the first three may be ``None``.

    >>> limits = rfc6455.Limits(message=64 << 10)
    >>> limits.budget == 2 * limits.message + (512 << 10)
    True
    """

    message: int | None = 1 << 20
    frame: int | None = None
    memory: int | None = None
    pongs: int = 16
    head: int = 64 << 10
    line: int = 16 << 10
    headers: int = 256
    early_data: int = 16 << 10
    body: int = 64 << 10

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name in _MAY_BE_NONE:
                continue
            number = whole_number(value)
            if number is None or number < 1:
                raise ValueError(f"Limits.{field.name} must be a whole number from 1 up, not {value!r}")
            object.__setattr__(self, field.name, number)

    @cached_property
    def budget(self) -> int | None:
        """The memory budget that applies, in bytes: ``memory``, or what follows from ``message``; ``None`` if there is
        no budget."""
        if self.memory is not None:
            return self.memory
        return None if self.message is None else 2 * self.message + DEFAULT_HEADROOM


# The memory that a kept object takes besides its data: the header of a bytes object (33), a place in a list (8),
# rounding.
OBJECT_OVERHEAD = 64

_MAY_BE_NONE = frozenset({"message", "frame", "memory"})

# The memory that a connection may use besides the message itself if no budget is given: zlib's own figures for both
# directions at 15 window bits and memLevel 8 (39 + 262 KiB, see deflate.py), one read of 64 KiB, and some margin.
DEFAULT_HEADROOM = 512 << 10

# Made once, as its checks take longer than all the rest of making a connection.
DEFAULT_LIMITS = Limits()
