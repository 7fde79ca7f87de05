"""How a room keeps its pace: members who talk too fast are held back before members who listen are thrown out.

The law: the room is the measure. While most of its members are behind, the talk is too fast, and nothing more is read
from those who have just said something. A member is too slow when it is behind and most are not. So a member who does
not read holds nobody back, and one who floods the room gets nobody thrown out.

The load of a member is what waits for it, as a share of what may wait: 1 is the limit of `--outbox-bytes` or of
`--outbox-messages`, whichever is nearer. All functions but `hold_back` want the room's lock to be held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from outbox import Batch

import rfc6455

# From this load on, a member is behind. One read of a compressed flood can be 512 KiB of lines; with the default limit
# of 4 MiB there is room for six talkers that were read at the same time.
BEHIND = 0.25

# With this load a member is thrown out although most are behind, too: what several servers or very many talkers say
# must not wait in all outboxes without end.
TOO_MUCH = 2.0

# The maximum time that somebody who talks is held back, in seconds. A listener with 1 Mbit/s takes 1.2 MB meanwhile;
# those who take less, or pretend to, may slow the talk down and cannot stop it.
HOLD_SECONDS = 10.0

# How often to check whether the room has caught up, in seconds: often enough that nobody sees a pause.
LOOK_SECONDS = 0.02


class Listener(Protocol):
    """A member, as far as the pace is concerned."""

    @property
    def load(self) -> float:
        """What waits for it, as a share of what may."""

    def deliver(self, batch: Batch) -> float:
        """Send the batch to the client, and return its load. This never waits and never raises an exception."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake. This never waits and never raises an exception."""


def tell(batch: Batch, listeners: Collection[Listener]) -> bool:
    """Tell all of them, and close those that are too slow.

    :returns: whether most are behind.
    """
    loads = [listener.deliver(batch) for listener in listeners]
    if max(loads, default=0.0) <= BEHIND:
        return False  # as nearly always
    are_behind = most_are_behind(loads)
    limit = TOO_MUCH if are_behind else 1.0
    for listener, load in zip(listeners, loads, strict=True):
        if load > limit:
            listener.close(rfc6455.CloseCode.TRY_AGAIN_LATER, "too slow for this chat")
    return are_behind


def most_are_behind(loads: Sequence[float]) -> bool:
    return 2 * sum(load > BEHIND for load in loads) > len(loads)


def hold_back(while_behind: Callable[[], bool]) -> None:
    """Wait until the room has caught up, for `HOLD_SECONDS` at most. For the thread of one who talks."""
    until = time.monotonic() + HOLD_SECONDS
    while while_behind() and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
