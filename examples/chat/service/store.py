"""The stores for the history: none besides the rooms' own memory, or an SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lines import is_said_by_server, size

from service.letters import clean, without_star
from service.times import at, with_times
from service.troubles import Trouble

# More than any history has: as good as no limit.
MANY_BYTES = 1 << 40

# The time in seconds for which a write waits for another program that has locked the file. The room waits as well, and
# it is better to lose a line of the history than to stop the chat.
BUSY_TIMEOUT = 0.1

# The same when the server starts, as the previous one may not have ended yet.
START_TIMEOUT = 5.0

# The maximum number of rooms. Beyond that, those that have been silent the longest are forgotten.
MAX_ROOMS = 1000


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino


class Store(Protocol):
    """A store of the last lines of each room. May be called from any thread."""

    def append(self, room: str, said: Sequence[str]) -> None:
        """Keep what people said of the lines. When this returns, it will survive the end of this process."""

    def last(self, room: str, count: int, most_bytes: int = MANY_BYTES) -> list[str]:
        """Return the last ``count`` lines of the room, or fewer if they exceed ``most_bytes`` bytes; the oldest first.

        With their times, see `times.with_times`.
        """

    def close(self) -> None:
        """End its work."""


class NoStore:
    """A store that keeps nothing: the rooms' own memory is all there is."""

    def append(self, room: str, said: Sequence[str]) -> None:
        pass

    def last(self, room: str, count: int, most_bytes: int = MANY_BYTES) -> list[str]:
        return []

    def close(self) -> None:
        pass


class SQLiteStore:
    """A store that keeps the lines in a file.

    Each call commits once, however many lines it is given. With a write-ahead log and ``synchronous=NORMAL``, a commit
    does not wait for the disk: it survives a kill -9 of the server, but the last lines may be lost in a power cut.

    :param keep: the number of lines to keep for each room.
    :param trouble: is informed if the file cannot be used later on.
    :raises sqlite3.Error: if the file cannot be used; `OSError` if it is not a file.
    """

    def __init__(self, path: str, keep: int, trouble: Trouble) -> None:
        self._keep = keep
        self._trouble = trouble
        self._lock = threading.Lock()
        self._since_trim: Counter[str] = Counter()
        # Used only under the lock, by any thread.
        self._database = sqlite3.connect(path, timeout=START_TIMEOUT, check_same_thread=False, isolation_level=None)
        # Another program may have written to the file: one line that is no text must not cost the room its history.
        self._database.text_factory = _text
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(
            "CREATE TABLE IF NOT EXISTS lines (id INTEGER PRIMARY KEY, room TEXT NOT NULL, line TEXT NOT NULL);"
            "CREATE INDEX IF NOT EXISTS lines_of_room ON lines (room, id);"
        )
        self._add_times()
        self._forget_rooms()
        file = Path(path).resolve()
        log = Path(f"{file}-wal")  # which SQLite does without on some file systems
        self._files = {each: _identity(each) for each in (file, log) if each == file or each.exists()}
        self._database.execute(f"PRAGMA busy_timeout={int(1000 * BUSY_TIMEOUT)}")

    def append(self, room: str, said: Sequence[str]) -> None:
        """Keep the lines, as in `Store`. If the disk is full or broken, the trouble is reported, and the chat goes
        on."""
        said = [line for line in said if not is_said_by_server(line)]
        if not said:
            return
        with self._lock:
            try:
                self._append(room, said)
                self._check_files()
                self._trouble.end()
            except (sqlite3.Error, OSError) as error:
                self._trouble.begin(error, lost=len(said))

    def last(self, room: str, count: int, most_bytes: int = MANY_BYTES) -> list[str]:
        with self._lock:
            try:
                return self._last(room, count, most_bytes)
            except sqlite3.Error as error:
                self._trouble.begin(error)
                return []

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _check_files(self) -> None:
        """Check that the files are still there: into those that somebody has removed, SQLite writes without an error.

        :raises OSError: when they are not.
        """
        for file, identity in self._files.items():
            if _identity(file) != identity:
                raise OSError(f"{file} was replaced; restart the chat to use the new file")

    def _last(self, room: str, count: int, most_bytes: int) -> list[str]:
        newest = "SELECT CAST(line AS TEXT), time FROM lines WHERE room = ? ORDER BY id DESC LIMIT ?"
        said: list[tuple[str, str]] = []
        for line, seconds in self._database.execute(newest, (room, count)):
            most_bytes -= size(line)
            if most_bytes < 0:
                break
            line = without_star(clean(line))  # another program may have written it
            if line:
                said.append((line, at(seconds) if isinstance(seconds, int) else ""))
        return list(with_times(reversed(said)))

    def _add_times(self) -> None:
        """Add the column for times to a file that does not have it. The lines in such a file have no times."""
        columns = [name for _, name, *_ in self._database.execute("PRAGMA table_info(lines)")]
        if "time" not in columns:
            self._database.execute("ALTER TABLE lines ADD COLUMN time INTEGER")

    def _append(self, room: str, said: Sequence[str]) -> None:
        with self._database:  # commits, or undoes all of it
            self._database.execute("BEGIN")
            rows = [(room, line, int(time.time())) for line in said]
            self._database.executemany("INSERT INTO lines (room, line, time) VALUES (?, ?, ?)", rows)
            # Also at a room's first lines: it may have more of them from before the start.
            is_first = room not in self._since_trim
            self._since_trim[room] += len(said)
            if is_first or self._since_trim[room] > self._keep:
                self._trim(room)
            if len(self._since_trim) > MAX_ROOMS:
                self._forget_rooms()

    def _trim(self, room: str) -> None:
        """Forget lines that are too old. This is done once for as many lines as are kept, so that a line costs
        little."""
        self._since_trim[room] = 0
        too_old = "SELECT id FROM lines WHERE room = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
        self._database.execute(f"DELETE FROM lines WHERE room = ? AND id <= ({too_old})", (room, room, self._keep))

    def _forget_rooms(self) -> None:
        """Forget the rooms beyond the limit. This is done once for as many rooms as are kept."""
        self._since_trim.clear()
        newest = "SELECT room FROM lines GROUP BY room ORDER BY max(id) DESC LIMIT ?"
        self._database.execute(f"DELETE FROM lines WHERE room NOT IN ({newest})", (MAX_ROOMS,))
