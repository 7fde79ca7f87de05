"""Where the history is kept beyond the rooms' memory: nowhere, or in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from log import log


class Store(Protocol):
    """Keeps the last lines of each room. May be called from any thread."""

    def append(self, room: str, said: Sequence[str]) -> None:
        """Keeps the lines; when it returns, they are safe from the death of this process."""

    def last(self, room: str, count: int) -> list[str]:
        """The last ``count`` lines of the room, the oldest first."""

    def close(self) -> None:
        """Ends its work."""


class NoStore:
    """Keeps nothing: the rooms' own memory is all there is."""

    def append(self, room: str, said: Sequence[str]) -> None:
        pass

    def last(self, room: str, count: int) -> list[str]:
        return []

    def close(self) -> None:
        pass


class SQLiteStore:
    """Keeps the lines in a file.

    Each call commits once, however many lines it brings. With a write-ahead log and ``synchronous=NORMAL`` a commit
    is a write without a wait for the disk: it survives a kill -9 of the server; a power cut may cost the last lines.

    :param keep: how many lines of each room to keep.
    :raises sqlite3.Error: when the file cannot be used.
    """

    def __init__(self, path: str, keep: int) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._since_trim: Counter[str] = Counter()
        # Used under the lock only, by whatever thread has it.
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(
            "CREATE TABLE IF NOT EXISTS lines (id INTEGER PRIMARY KEY, room TEXT NOT NULL, line TEXT NOT NULL);"
            "CREATE INDEX IF NOT EXISTS lines_of_room ON lines (room, id);"
        )

    def append(self, room: str, said: Sequence[str]) -> None:
        """As in `Store`. When the disk is full or broken, the chat goes on and the log tells it."""
        if not said:
            return
        with self._lock:
            try:
                self._append(room, said)
            except sqlite3.Error as error:
                log("history", error=error, room=room, lost=len(said))

    def last(self, room: str, count: int) -> list[str]:
        newest = "SELECT id, line FROM lines WHERE room = ? ORDER BY id DESC LIMIT ?"
        with self._lock:
            try:
                rows = self._database.execute(f"SELECT line FROM ({newest}) ORDER BY id", (room, count)).fetchall()
            except sqlite3.Error as error:
                log("history", error=error, room=room)
                rows = []
        return [line for (line,) in rows]

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _append(self, room: str, said: Sequence[str]) -> None:
        with self._database:  # commits, or undoes all of it
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO lines (room, line) VALUES (?, ?)", [(room, line) for line in said])
            self._since_trim[room] += len(said)
            if self._since_trim[room] > self._keep:
                self._trim(room)

    def _trim(self, room: str) -> None:
        """Forgets what is too old; done once for as many lines as are kept, so a line costs little."""
        del self._since_trim[room]
        too_old = "SELECT id FROM lines WHERE room = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        self._database.execute(f"DELETE FROM lines WHERE room = ? AND id <= ({too_old})", (room, room, self._keep))
