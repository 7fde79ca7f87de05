"""The rooms by path. They are made when somebody joins, kept for their history, and forgotten when there are too
many."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from service.budget import Budget, Holder
from service.store import Store

if TYPE_CHECKING:
    from hub import Room

# The maximum number of empty rooms that are kept for their history.
MAX_EMPTY_ROOMS = 1000


class Rooms:
    """All rooms. May be used by any thread that holds no lock of a room.

    :param make: a function that makes an empty room for a path.
    :param store: has the earlier lines of each room.
    :param limits: the maximum number of lines, and of bytes, of a history.
    :param memory: the maximum number of bytes for all histories and outboxes; 0 for no limit.
    """

    def __init__(self, make: Callable[[str], Room], store: Store, limits: tuple[int, int], memory: int) -> None:
        self._make = make
        self._store = store
        self._limits = limits
        self._lock = threading.Lock()
        self._rooms: OrderedDict[str, Room] = OrderedDict()
        self.budget = Budget(memory, self._holders)

    @contextmanager
    def locked(self, path: str) -> Iterator[Room]:
        """Yield the room, with its lock held; afterwards, tell the budget how much the room has grown."""
        room = self._room(path, 1)
        try:
            with room.lock:
                yield room
        finally:
            self.let_go(room)
        self.tell_budget(room)

    def enter(self, path: str) -> Room:
        """Return the room, and keep it for one more user until `let_go`."""
        return self._room(path, 1)

    def let_go(self, room: Room) -> None:
        """Note that the room is needed by one user fewer."""
        with self._lock:
            room.users -= 1

    def all(self) -> list[Room]:
        with self._lock:
            return list(self._rooms.values())

    def tell_budget(self, room: Room) -> None:
        """Tell the budget how much the room has grown."""
        grown, room.grown = room.grown, 0
        self.budget.grew(grown)

    def _room(self, path: str, users: int) -> Room:
        with self._lock:
            room = self._rooms.get(path)
            if room is None:
                self._forget_empty_ones()
                room = self._rooms[path] = self._make(path)
            self._rooms.move_to_end(path)
            room.users += users
        with room.lock:  # not with ours, so that the other rooms go on while this one waits for the disk
            if not room.is_loaded:
                room.is_loaded = True
                room.remember(self._store.last(path, *self._limits))
        return room

    def _forget_empty_ones(self) -> None:
        """Forget those in which nothing was said: somebody who looks into thousands of rooms must not cost the others
        their histories. Then forget the oldest that are too many.
        """
        kept = []
        for path, room in list(self._rooms.items()):
            if not room.users and not room.history and room.names.are_none:
                del self._rooms[path]
            elif not room.users:
                kept.append(path)
        for path in kept[: max(0, len(kept) - MAX_EMPTY_ROOMS)]:
            del self._rooms[path]

    def _holders(self) -> Iterator[Holder]:
        for room in self.all():
            with room.lock:
                members = list(room.members)
            yield room
            yield from members
