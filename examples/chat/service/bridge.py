"""The rooms as the bus sees them: what other servers say comes in here, and who is here goes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import lines

from service.times import at

if TYPE_CHECKING:
    from hub import Hub, Member


class Bus(Protocol):
    """The way that lines take to this and other servers; see `bus.py`."""

    def publish(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Take the lines; they come back by `Bridge`, on every server."""

    def publish_names(self, path: str, here: str) -> None:
        """Take what the other servers should know of who is here."""


class Bridge:
    """For the bus, over the rooms of this server. May be called from any thread that holds no lock of a room."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def deliver(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Tell everybody in the room except the sender what was said on this server."""
        with self._hub.rooms.locked(path) as room:
            room.tell(said, sender)

    def deliver_from(self, server: str, path: str, said: Sequence[str]) -> None:
        """Tell everybody in the room what was said on another server, and who joined or left, if that is news here."""
        with self._hub.rooms.locked(path) as room:
            room.tell(room.names.news(server, said), None)

    def remember(self, path: str, said: Sequence[str], time: float) -> None:
        """Add to the room's history what was said at that time, before this server started."""
        with self._hub.rooms.locked(path) as room:
            room.remember((line for line in said if not lines.is_said_by_server(line)), at(time))

    def greet_again(self, paths: Iterable[str]) -> None:
        """Send the histories of these rooms to their members: they have become longer."""
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
