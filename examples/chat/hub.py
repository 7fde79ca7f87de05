"""Rooms: who is in them, what was said recently, and how a line gets from one member to all the others.

A room is a path (`/`, `/club`). Its lock orders everything that happens in it (joining, leaving, each batch of lines),
so all members see the same order, and a new member gets each line exactly once, in the history or after it. Delivery
never waits (see `outbox.py`), so the lock is never held for long.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Protocol

import lines
from outbox import ENTRY_COST, Batch
from service import pace, times
from service.bridge import Bus
from service.budget import Holder
from service.history import HISTORY_BYTES, History
from service.letters import clean_name
from service.names import Names
from service.rooms import Rooms
from service.store import Store

# The prefix of a member that does not have one yet. No line begins with it, since lines have no control characters.
NO_PREFIX = "\0"


class Member(pace.Listener, Holder, Protocol):
    """A client, as a room sees it. ``name`` and ``prefix`` belong to the hub."""

    name: str
    prefix: str
    user: str  # the name that a proxy vouches for, which is then the only one; "" for none


class Room:
    """One room. All methods except `give_way` require its lock to be held."""

    def __init__(self, path: str, history: History) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.users = 0  # guarded by the lock of `Rooms`
        self.members: set[Member] = set()
        self.names = Names()
        self.history = history
        self.is_loaded = False
        self.grown = 0  # the number of bytes by which this room may have grown since the budget was told
        self.is_behind = False  # whether most members were behind when something was last said
        self._greeting: Batch | None = None

    def greeting(self) -> Batch:
        """Return the lines for a new member: the history and the names of those who are here."""
        if self._greeting is None:
            here = lines.here(self.names.everybody())
            self._greeting = Batch([lines.history(len(self.history)), *self.history.with_times(), here])
        self.grown += 2 * self._greeting.size
        return self._greeting

    def tell(self, said: Sequence[str], sender: Member | None) -> None:
        """Tell everybody except the sender."""
        if not said:
            return
        batch = Batch(said)  # first, as lines that cannot be sent must not get into the history for new members
        cost = self.remember(said, times.now()) + ENTRY_COST
        self.grown += cost * len(self.members)
        self.is_behind = pace.tell(batch, self.members - {sender})

    def remember(self, said: Iterable[str], at: str = "") -> int:
        """Add the lines that people said to the history, and return their size; see `History.extend`."""
        cost = self.history.extend(said, at)
        self.grown += cost
        self._greeting = None
        return cost

    def rename(self, member: Member, name: str) -> list[str]:
        """Set the member's name (``""`` for none), and return the lines for the room."""
        old, member.name = member.name, self.names.spelled(name)
        if member.name != old:
            self._greeting = None
        return self.names.rename(old, member.name)

    def look(self, sender: Member) -> bool:
        """Return whether most of those who receive the sender's lines are still behind."""
        self.is_behind = pace.most_are_behind([member.load for member in self.members if member is not sender])
        return self.is_behind

    @property
    def held(self) -> int:
        """The number of bytes that are kept for new members."""
        greeting = self._greeting
        return self.history.bytes + (greeting.size if greeting is not None else 0)

    def give_way(self) -> None:
        """Forget the history. Takes the lock."""
        with self.lock:
            self.history.clear()
            self._greeting = None
            self.is_loaded = bool(self.members)  # a history in a file is read again for the next member

    def let_go(self) -> None:
        """If nobody is in the room, forget everything that can be made again."""
        if not self.members:
            self._greeting = None


class Hub:
    """All rooms. `service/rooms.py` explains the limits."""

    def __init__(self, store: Store, history_lines: int, history_bytes: int = HISTORY_BYTES, memory: int = 0) -> None:
        limits = history_lines, history_bytes
        self._store = store
        self.rooms = Rooms(lambda path: Room(path, History(*limits)), store, limits, memory)
        #: With other servers, lines go through the bus; otherwise they go directly to the room.
        self.bus: Bus | None = None

    def join(self, path: str, member: Member) -> Room:
        """Add a member to the room, and send it the history, the names of those who are here, and then every line."""
        room = self.rooms.enter(path)
        with room.lock:
            member.deliver(room.greeting())
            room.members.add(member)
            if member.user:
                member.prefix = f"{member.user}: "
                member.deliver(Batch([f"{lines.ANNOUNCEMENT}{member.user}"]))
                self._tell(room, member, room.rename(member, member.user))
        self.rooms.tell_budget(room)
        return room

    def leave(self, room: Room, member: Member) -> None:
        try:
            with room.lock:
                room.members.discard(member)
                self._tell(room, member, room.rename(member, ""))
                room.let_go()
        finally:
            self.rooms.let_go(room)

    def say(self, room: Room, member: Member, texts: Sequence[str]) -> None:
        """Pass on the texts from one read of a member to the others in the room, as one batch.

        Lines are stored before anybody gets them, so that no line that somebody has seen is lost.
        """
        with room.lock:
            said: list[str] = []
            for text in texts:
                self._take(room, member, lines.clean(text), said)
            self._tell(room, member, said)
        self.rooms.tell_budget(room)

    def _take(self, room: Room, member: Member, line: str, said: list[str]) -> None:
        """Add the line to ``said``, after the news about the member's name if that has changed."""
        if line.startswith(member.prefix):
            said.append(line)  # the usual case: the same name as before
            return
        if (name := lines.announced_name(line)) is not None:
            if not member.user:
                member.prefix = NO_PREFIX
                said += room.rename(member, name)
            return
        line = lines.without_star(line)
        prefix = lines.prefix(line)
        if member.user and line:
            line = member.prefix + line.removeprefix(prefix)
        elif prefix:
            member.prefix = prefix
            said += room.rename(member, clean_name(prefix))
        if line:
            said.append(line)

    def _tell(self, room: Room, member: Member, said: Sequence[str]) -> None:
        if not said:
            return
        if self.bus is not None:
            self.bus.publish(room.path, member, said)
        else:
            self._store.append(room.path, said)
            room.tell(said, member)
