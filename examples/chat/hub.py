"""Rooms: who is in them, what was said last, and how a line gets from one member to all the others.

A room is a path (`/`, `/club`). Its lock makes one order of all that happens in it: joining, leaving, each batch
of lines; so every member sees the same order, and one who joins gets each line once, in the history or after it.
Delivering never waits (see `outbox.py`), so the lock is never held for long.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import lines
from outbox import ENTRY_COST, Batch
from service import pace
from service.budget import Budget, Holder
from service.store import Store

# Rooms that nobody is in are kept for their history, so many of them.
MAX_EMPTY_ROOMS = 1000

# How many bytes of history a room has at most; lines may be long, and rooms may be many.
HISTORY_BYTES = 256 << 10

# What a line costs besides its text: its frame's header on the wire, its place in the history.
LINE_COST = 16

# In place of a member's prefix before there is one: no line begins with it, since lines have no controls.
NO_PREFIX = "\0"


class Member(pace.Listener, Holder, Protocol):
    """A client, as a room sees it. The fields are the hub's own notes."""

    name: str
    prefix: str


class Bus(Protocol):
    """What brings lines to this and other servers; see `service/bus.py`."""

    def publish(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Takes the lines; they come back by `Hub.deliver`, on every server."""

    def publish_names(self, path: str, here: str) -> None:
        """Takes what the other servers should know of who is here."""


class History:
    """The last lines of a room: so many at most, and so many bytes."""

    def __init__(self, most_lines: int, most_bytes: int) -> None:
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._lines: deque[tuple[str, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return (line for line, _ in self._lines)

    @property
    def bytes(self) -> int:
        """How much memory it takes, about."""
        return self._bytes

    def clear(self) -> None:
        self._lines.clear()
        self._bytes = 0

    def append(self, line: str) -> int:
        """Adds the line, and returns what it costs."""
        # One emoji makes Python keep the whole line with 4 bytes for each letter; on the wire it may be the other way.
        cost = max(sys.getsizeof(line), lines.size(line)) + LINE_COST
        self._lines.append((line, cost))
        self._bytes += cost
        while self._bytes > self._most_bytes or len(self._lines) > self._most_lines:
            self._bytes -= self._lines.popleft()[1]
        return cost


class Room:
    """One room. All methods but the constructor want its lock to be held."""

    def __init__(self, path: str, history: History) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.users = 0  # guarded by the hub's lock
        self.members: set[Member] = set()
        self.names: Counter[str] = Counter()
        self._spellings: dict[str, str] = {}  # the names of all who are here, as written first, by `lines.key`
        self.elsewhere: dict[str, frozenset[str]] = {}  # who is in this room on other servers, by server
        self.history = history
        self.is_loaded = False
        self.grown = 0  # how many bytes more may be kept for this room since the budget was told
        self.is_behind = False  # whether most members were, when something was said last
        self._greeting: Batch | None = None

    def load(self, said: Iterable[str]) -> None:
        """Takes what was said before anybody came; the first that happens to a room."""
        self.is_loaded = True
        self.remember(said)

    def greeting(self) -> Batch:
        """What one who joins is told: the history, and who is here."""
        if self._greeting is None:
            here = lines.here(self.everybody())
            self._greeting = Batch([lines.history(len(self.history)), *self.history, here])
        self.grown += 2 * self._greeting.size
        return self._greeting

    def everybody(self) -> set[str]:
        """Who is here, on any server."""
        return set(self.names).union(*self.elsewhere.values())

    def remember(self, said: Iterable[str]) -> int:
        """Adds to the history what people said, and returns what it costs."""
        cost = sum(self.history.append(line) for line in said if not lines.is_said_by_server(line))
        self.grown += cost
        self._greeting = None
        return cost

    @property
    def held(self) -> int:
        """How many bytes are kept for those who join."""
        greeting = self._greeting
        return self.history.bytes + (greeting.size if greeting is not None else 0)

    def give_way(self) -> None:
        """Forgets the history. Takes the lock."""
        with self.lock:
            self.history.clear()
            self._greeting = None
            self.is_loaded = bool(self.members)  # what is in a file is read again for the next who comes

    def let_go(self) -> None:
        """Forgets what can be made again, when nobody is here to need it soon."""
        if not self.members:
            self._greeting = None

    def tell(self, said: Sequence[str], sender: Member | None) -> None:
        """Tells all but the sender."""
        if not said:
            return
        batch = Batch(said)  # before it is history: what cannot be sent must not greet all who join
        cost = self.remember(said) + ENTRY_COST
        self.grown += cost * len(self.members)
        self.is_behind = pace.tell(batch, self.members - {sender})

    def look(self, sender: Member) -> bool:
        """Whether most of those who listen to the sender are still behind."""
        self.is_behind = pace.most_are_behind([member.load for member in self.members if member is not sender])
        return self.is_behind

    def tell_of_server(self, server: str, said: Sequence[str]) -> None:
        """Tells what was said on another server; who joined or left there is told only when it is news here."""
        told: list[str] = []
        for line in said:
            if not lines.is_said_by_server(line):
                told.append(line)
                continue
            before = self.everybody()
            self.elsewhere[server] = lines.names_after(line, self.elsewhere.get(server, frozenset()), self._spelled)
            after = self.everybody()
            self._note_spellings(before - after, after - before)
            told += map(lines.left, sorted(before - after))
            told += map(lines.joined, sorted(after - before))
        self.tell(told, None)

    def rename(self, member: Member, name: str) -> list[str]:
        """Notes the member's name, ``""`` for none; gives what the room is to be told.

        Two members may have one name: one person with two windows. It joins with the first and leaves with the last.
        """
        old, member.name = member.name, (name := self._spelled(name))
        said: list[str] = []
        if old == name:
            return said
        if old:
            self.names[old] -= 1
            if not self.names[old]:
                del self.names[old]
                if not any(old in names for names in self.elsewhere.values()):
                    self._note_spellings({old}, set())
                said.append(lines.left(old))
        if name:
            self.names[name] += 1
            if self.names[name] == 1:
                self._note_spellings(set(), {name})
                said.append(lines.joined(name))
        self._greeting = None
        return said

    def _spelled(self, name: str) -> str:
        """The name as it was written by the first who is here with it: what looks the same is the same."""
        return self._spellings.get(lines.key(name), name)

    def _note_spellings(self, left: Iterable[str], joined: Iterable[str]) -> None:
        for name in left:
            self._spellings.pop(lines.key(name), None)
        for name in joined:
            self._spellings[lines.key(name)] = name


class Hub:
    """All rooms.

    :param store: keeps the history.
    :param history_lines: how many lines one who joins is sent at most.
    :param history_bytes: how many bytes.
    :param memory: how many bytes all histories and all that waits for members may take; 0 for no limit.
    """

    def __init__(self, store: Store, history_lines: int, history_bytes: int = HISTORY_BYTES, memory: int = 0) -> None:
        self._store = store
        self.budget = Budget(memory, self._holders)
        self._history_lines = history_lines
        self._history_bytes = history_bytes
        self._lock = threading.Lock()
        self._rooms: OrderedDict[str, Room] = OrderedDict()
        #: With other servers, lines go the way over them; without, straight to the room.
        self.bus: Bus | None = None

    def join(self, path: str, member: Member) -> Room:
        """Lets the member into the room. It is sent the history and who is here, and from then on every line."""
        room = self._room(path, 1)
        with room.lock:
            member.deliver(room.greeting())
            room.members.add(member)
        self._tell_budget(room)
        return room

    def leave(self, room: Room, member: Member) -> None:
        try:
            with room.lock:
                room.members.discard(member)
                said = room.rename(member, "")
                self._tell(room, member, said)
                room.let_go()
        finally:
            with self._lock:
                room.users -= 1

    def say(self, room: Room, member: Member, texts: Sequence[str]) -> None:
        """Tells the others in the room what one read from the member brought, as one batch.

        What is stored is stored before anybody is told, so that nothing that was seen is lost.
        """
        with room.lock:
            said: list[str] = []
            for text in texts:
                self._take(room, member, lines.clean(text), said)
            self._tell(room, member, said)
        self._tell_budget(room)

    def rooms(self) -> int:
        """How many rooms somebody is in."""
        return sum(room.users > 0 for room in self._all_rooms())

    # For the bus.

    def deliver(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Tells all in the room but the sender what was said on this server."""
        room = self._room(path)
        with room.lock:
            room.tell(said, sender)
        self._tell_budget(room)

    def deliver_from(self, server: str, path: str, said: Sequence[str]) -> None:
        """Tells all in the room what was said on another server."""
        room = self._room(path)
        with room.lock:
            room.tell_of_server(server, said)
        self._tell_budget(room)

    def remember(self, path: str, said: Sequence[str]) -> None:
        """Adds to the room's history what was said before this server began."""
        room = self._room(path)
        with room.lock:
            room.remember(said)
        self._tell_budget(room)

    def publish_names(self) -> None:
        """Tells the other servers who is here."""
        for room in self._all_rooms():
            with room.lock:
                if room.names and self.bus is not None:
                    self.bus.publish_names(room.path, lines.here(room.names))

    def servers_elsewhere(self) -> set[str]:
        """The other servers on which somebody is."""
        servers: set[str] = set()
        for room in self._all_rooms():
            with room.lock:
                servers.update(server for server, names in room.elsewhere.items() if names)
        return servers

    def forget_server(self, server: str) -> None:
        """Another server has died; who was there has left."""
        for room in self._all_rooms():
            with room.lock:
                room.tell_of_server(server, [lines.here([])])
                room.elsewhere.pop(server, None)

    def _tell_budget(self, room: Room) -> None:
        grown, room.grown = room.grown, 0
        self.budget.grew(grown)

    def _holders(self) -> Iterator[Holder]:
        for room in self._all_rooms():
            with room.lock:
                members = list(room.members)
            yield room
            yield from members

    def _all_rooms(self) -> list[Room]:
        with self._lock:
            return list(self._rooms.values())

    def _tell(self, room: Room, member: Member, said: Sequence[str]) -> None:
        if not said:
            return
        if self.bus is not None:
            self.bus.publish(room.path, member, said)
        else:
            self._store.append(room.path, [line for line in said if not lines.is_said_by_server(line)])
            room.tell(said, member)

    def _take(self, room: Room, member: Member, line: str, said: list[str]) -> None:
        if line.startswith(member.prefix):
            said.append(line)  # the usual case: the same name as before
            return
        name = lines.announced_name(line)
        if name is not None:
            member.prefix = NO_PREFIX
            said += room.rename(member, name)
            return
        line = lines.without_star(line)
        prefix = lines.prefix(line)
        if prefix:
            member.prefix = prefix
            said += room.rename(member, lines.clean_name(prefix))
        if line:
            said.append(line)

    def _room(self, path: str, users: int = 0) -> Room:
        with self._lock:
            room = self._rooms.get(path)
            if room is None:
                self._forget_empty_rooms()
                room = self._rooms[path] = Room(path, History(self._history_lines, self._history_bytes))
            self._rooms.move_to_end(path)
            room.users += users
        with room.lock:  # not with the hub's: while one room waits for the disk, the others go on
            if not room.is_loaded:
                room.load(self._store.last(path, self._history_lines, self._history_bytes))
        return room

    def _forget_empty_rooms(self) -> None:
        empty = [path for path, room in self._rooms.items() if not room.users]
        for path in empty[: max(0, len(empty) - MAX_EMPTY_ROOMS)]:
            del self._rooms[path]
