"""One memory budget for all outboxes and the histories of all rooms.

Each of them has a limit of its own, but thousands of them together could still take all the memory. So when the budget
is exceeded, the largest gives way first: a history is forgotten, or a client that does not read is disconnected.

Adding up all of them takes a while. So this is done only when a share of the budget may have been added since the last
time, and the budget may be exceeded by that share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

# The share of the budget after which everything is added up again. With the default of 256 MiB, this is every 16 MiB,
# which take longer to send than adding up thousands of clients.
SHARE = 16


class Holder(Protocol):
    """Something that keeps data for clients."""

    @property
    def held(self) -> int:
        """The number of bytes that it keeps."""

    def give_way(self) -> None:
        """Keep less, immediately. This never waits and never raises an exception."""


class Budget:
    """The budget for everything that is kept.

    :param limit: the number of bytes; 0 for no limit.
    :param holders: a function that returns everything that keeps data.
    """

    def __init__(self, limit: int, holders: Callable[[], Iterable[Holder]]) -> None:
        self._limit = limit
        self._holders = holders
        self._grown = 0
        self._lock = threading.Lock()

    def grew(self, size: int) -> None:
        """Note that up to ``size`` more bytes may be kept than before. No lock of a room or a session may be held."""
        if not self._limit:
            return
        with self._lock:
            self._grown += size
            if self._grown < self._limit // SHARE:
                return
            self._grown = 0
        self._keep()

    def held(self) -> int:
        """Return the number of bytes that are kept."""
        return sum(holder.held for holder in self._holders())

    def _keep(self) -> None:
        by_size = sorted(((holder.held, holder) for holder in self._holders()), key=lambda pair: pair[0], reverse=True)
        held = sum(size for size, _ in by_size)
        for size, holder in by_size:
            if held <= self._limit - self._limit // SHARE:
                break
            holder.give_way()
            held -= size
