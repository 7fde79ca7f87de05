"""The pace of a room: members who talk too fast are held back before members who listen are disconnected.

The law: the room as a whole sets the pace. While most of its members are behind, the talk is too fast, and nothing
more is read from those who have just said something. A member is too slow if it is behind while most are not. So a
member who does not read holds nobody back, and a member who floods the room cannot get others disconnected.

The load of a member is the data that waits for it as a share of the limit: 1 is the limit of `--outbox-bytes` or of
`--outbox-messages`, whichever is reached first. All functions except `hold_back` require the room's lock to be held.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from outbox import Batch

import rfc6455

# From this load on, a member is behind. One read of compressed input can produce 512 KiB of lines; with the default
# limit of 4 MiB, there is still room for the lines of six members that were read at the same time.
BEHIND = 0.25

# With this load, a member is disconnected even if most are behind. Otherwise, lines from several servers, or from very
# many members, could pile up in all outboxes.
TOO_MUCH = 2.0

# The maximum time in seconds for which somebody who talks is held back. A listener with 1 Mbit/s receives 1.2 MB in
# this time. Those who receive less, or pretend to, may slow the talk down, but cannot stop it.
HOLD_SECONDS = 10.0

# The interval in seconds at which to check whether the room has caught up, too short for anybody to notice.
LOOK_SECONDS = 0.02


class Listener(Protocol):
    """A member, as far as the pace is concerned."""

    @property
    def load(self) -> float:
        """The data that waits for it, as a share of the limit."""

    def deliver(self, batch: Batch) -> float:
        """Send the batch to the client, and return its load. This never waits and never raises an exception."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake. This never waits and never raises an exception."""


def tell(batch: Batch, listeners: Collection[Listener]) -> bool:
    """Deliver the batch to all of them, and close those that are too slow.

    :returns: whether most are behind.
    """
    loads = [listener.deliver(batch) for listener in listeners]
    if max(loads, default=0.0) <= BEHIND:
        return False  # nearly always
    are_behind = most_are_behind(loads)
    limit = TOO_MUCH if are_behind else 1.0
    for listener, load in zip(listeners, loads, strict=True):
        if load > limit:
            listener.close(rfc6455.CloseCode.TRY_AGAIN_LATER, "too slow for this chat")
    return are_behind


def most_are_behind(loads: Sequence[float]) -> bool:
    return 2 * sum(load > BEHIND for load in loads) > len(loads)


def hold_back(while_behind: Callable[[], bool]) -> None:
    """Wait until the room has caught up, for at most `HOLD_SECONDS`. For the thread of somebody who talks."""
    until = time.monotonic() + HOLD_SECONDS
    while while_behind() and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
