"""The connection between the bus and the rooms: lines from other servers come in here, and names of members go out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import lines

from service.times import at

if TYPE_CHECKING:
    from hub import Hub, Member


class Bus(Protocol):
    """The way by which lines reach this server and others; see `bus.py`."""

    def publish(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Take the lines. They come back through `Bridge`, on every server."""

    def publish_names(self, path: str, here: str) -> None:
        """Take the line that tells the other servers who is here."""


class Bridge:
    """The rooms of this server, for the bus. May be called from any thread that holds no lock of a room."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def deliver(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Pass on lines from this server to everybody in the room except the sender."""
        with self._hub.rooms.locked(path) as room:
            room.tell(said, sender)

    def deliver_from(self, server: str, path: str, said: Sequence[str]) -> None:
        """Pass on lines from another server to everybody in the room, including who joined or left if that is news
        here."""
        with self._hub.rooms.locked(path) as room:
            room.tell(room.names.news(server, said), None)

    def remember(self, path: str, said: Sequence[str], time: float) -> None:
        """Add lines that were said at that time, before this server started, to the room's history."""
        with self._hub.rooms.locked(path) as room:
            room.remember((line for line in said if not lines.is_said_by_server(line)), at(time))

    def greet_again(self, paths: Iterable[str]) -> None:
        """Send the histories of these rooms to their members, as they have become longer."""
        for path in paths:
            with self._hub.rooms.locked(path) as room:
                for member in room.members:
                    member.deliver(room.greeting())

    def publish_names(self) -> None:
        """Tell the other servers who is here."""
        for room in self._hub.rooms.all():
            with room.lock:
                if room.names.here and self._hub.bus is not None:
                    self._hub.bus.publish_names(room.path, lines.here(room.names.here))

    def servers_elsewhere(self) -> set[str]:
        """Return the other servers that have members."""
        servers: set[str] = set()
        for room in self._hub.rooms.all():
            with room.lock:
                servers |= room.names.servers()
        return servers

    def forget_server(self, server: str) -> None:
        """Note that another server has died, and its members have left."""
        for room in self._hub.rooms.all():
            with room.lock:
                room.tell(room.names.news(server, [lines.here([])]), None)
                room.names.forget(server)
