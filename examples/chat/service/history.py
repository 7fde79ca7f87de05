"""The last lines of a room, in memory."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator

import lines

from service import times

# The maximum size of a room's history in bytes, as lines may be long, and there may be many rooms.
HISTORY_BYTES = 256 << 10

# The size of a line besides its text: the headers of frames on the wire, its place in the history, its time.
LINE_COST = 40


class History:
    """The last lines of a room, up to a number of lines and of bytes. The caller holds the room's lock."""

    def __init__(self, most_lines: int, most_bytes: int) -> None:
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._lines: deque[tuple[str, int, str]] = deque()
        #: Roughly the number of bytes of memory that it takes.
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return (line for line, _, _ in self._lines)

    def with_times(self) -> Iterator[str]:
        """Return the lines, with the times at which they were said; see `times.with_times`."""
        return times.with_times((line, time) for line, _, time in self._lines)

    def clear(self) -> None:
        self._lines.clear()
        self.bytes = 0

    def extend(self, said: Iterable[str], time: str = "") -> int:
        """Add what people said, and return what it costs.

        :param said: a time in it, as `times.at`, is that of the lines after it.
        :param time: that of the first lines; ``""`` when it is not known.
        """
        cost = 0
        for line in said:
            if not lines.is_said_by_server(line):
                cost += self.append(line, time)
            elif times.is_time(line):
                time = line
        return cost

    def append(self, line: str, time: str = "") -> int:
        """Add the line, and return its size."""
        # With one emoji in it, a str takes 4 bytes for each letter. Other lines may be larger on the wire than in
        # memory.
        cost = max(sys.getsizeof(line), lines.size(line)) + LINE_COST
        self._lines.append((line, cost, time))
        self.bytes += cost
        while self.bytes > self._most_bytes or len(self._lines) > self._most_lines:
            self.bytes -= self._lines.popleft()[1]
        return cost
