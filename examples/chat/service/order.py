"""The entries of other servers, each once, and in the order in which its server numbered them.

Redis may lose entries that only some servers have read, and go on with new ones. The server that wrote them notices
this and writes them again, after the newer ones. So if a number is missing, a reader keeps the entries after it until
the missing ones arrive or the time is up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.log import log
from service.stream import ENTRY_COST, REMEMBERED_BYTES, Said

# The seconds to wait for missing entries. A server checks every second whether Redis has lost something, reads the
# stream, and writes; this may fail if Redis has no memory or loses the entry again.
PATIENCE = 10.0


@dataclass
class _Server:
    """``last`` is the number of the last entry that was handed out; ``kept`` are later ones, with some missing."""

    last: int
    kept: dict[int, Said] = field(default_factory=dict)
    kept_bytes: int = 0
    until: float = math.inf


class Order:
    def __init__(self) -> None:
        self._servers: dict[str, _Server] = {}

    def put(self, entry: Said, now: float, is_first_reading: bool = False) -> list[Said]:
        """Take an entry as it arrives, and return those whose turn it is.

        :param is_first_reading: whether the stream may have dropped earlier entries of the server.
        """
        server = self._servers.get(entry.server)
        if server is None:
            server = self._servers[entry.server] = _Server(entry.number - 1 if is_first_reading else 0)
        if entry.number <= server.last:
            return []
        _keep(server, entry)
        if server.kept_bytes > REMEMBERED_BYTES:
            return [*_give_up(entry.server, server)]
        return [*_next(server, now)]

    def overdue(self, now: float) -> list[Said]:
        """Return the entries that have waited too long for a missing one."""
        return [
            entry
            for name, server in self._servers.items()
            if server.kept and now >= server.until
            for entry in _give_up(name, server)
        ]  # fmt: skip


def _keep(server: _Server, entry: Said) -> None:
    if entry.number not in server.kept:
        server.kept[entry.number] = entry
        server.kept_bytes += _cost(entry)


def _cost(entry: Said) -> int:
    return len(entry.json) + ENTRY_COST


def _next(server: _Server, now: float) -> Iterator[Said]:
    """Yield the entries that follow the last one. With each of them, the time for missing entries starts again."""
    before = server.last
    while server.last + 1 in server.kept:
        server.last += 1
        entry = server.kept.pop(server.last)
        server.kept_bytes -= _cost(entry)
        yield entry
    if not server.kept:
        server.until = math.inf
    elif server.last > before or server.until == math.inf:
        server.until = now + PATIENCE


def _give_up(name: str, server: _Server) -> Iterator[Said]:
    """Yield all entries that are kept, as the missing ones will not come."""
    missing = max(server.kept) - server.last - len(server.kept)
    if missing:
        log("bus", state="lost", server=name, entries=missing)
    server.last = max(server.kept)
    for number in sorted(server.kept):
        yield server.kept[number]
    server.kept, server.kept_bytes, server.until = {}, 0, math.inf
