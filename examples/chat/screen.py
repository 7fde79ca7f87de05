"""What the terminal client shows of a server's lines. It is the same as on the page, but as text, and without a
socket.

The server's control lines are not shown, and no line is shown twice when a server sends its history again.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime

# The number of lines that are remembered so that none of them is shown again.
REMEMBERED = 1000

# Lines that were sent less than this before the connection broke may be lost, in seconds.
DOUBT = 10.0

# The time is shown where nobody has said anything for this number of seconds.
PAUSE = 300.0


class Screen:
    """The lines that a client shows, over all its connections."""

    def __init__(self) -> None:
        self._had: deque[str] = deque(maxlen=REMEMBERED)
        self._sent: deque[tuple[float, str]] = deque(maxlen=REMEMBERED)
        self._doubtful: list[str] = []
        self._past: list[tuple[datetime | None, str]] = []
        self._left = 0
        self._time: datetime | None = None

    def send(self, line: str, now: float) -> None:
        """Note a line that was sent."""
        self._had.append(line)
        self._sent.append((now, line))

    def broke(self, now: float) -> None:
        """Note that the connection broke."""
        self._doubtful += [line for at, line in self._sent if at > now - DOUBT]
        self._sent.clear()
        self._left = 0

    def receive(self, line: str) -> Iterator[tuple[bool, str]]:
        """Yield the texts to show, each with whether it is a note."""
        if self._left:
            yield from self._receive_past(line)
        elif found := re.fullmatch(r"\* history (\d{1,5})", line):
            self._left, self._past, self._time = int(found[1]), [], None
        elif found := re.fullmatch(r"\* here: ?(.*)", line):
            yield True, f"Here: {found[1]}" if found[1] else "Nobody else is here"
        elif found := re.fullmatch(r"\* name (.+)", line):
            yield True, f"You are {found[1]}"
        else:
            self._had.append(line)
            yield False, line

    def _receive_past(self, line: str) -> Iterator[tuple[bool, str]]:
        if found := re.fullmatch(r"\* at (\d{4}-\d\d-\d\dT\d\d:\d\d)Z", line):
            self._time = datetime.fromisoformat(f"{found[1]}+00:00").astimezone()
            return
        self._past.append((self._time, line))
        self._left -= 1
        if not self._left:
            yield from self._missed()

    def _missed(self) -> Iterator[tuple[bool, str]]:
        had, missed = Counter(self._had), []
        for at, line in reversed(self._past):  # newest first, since the oldest may be missing
            had[line] -= 1
            if had[line] < 0:
                missed.append((at, line))
        lost = [line for line in self._doubtful if had[line] > 0]
        self._doubtful = []
        before = None
        for at, line in reversed(missed):
            if at and not (before and before.date() == at.date() and (at - before).total_seconds() < PAUSE):
                yield True, f"{at:%a %d %b %Y, %H:%M}"
            before = at
            self._had.append(line)
            yield False, line
        for line in lost:
            yield True, f"May not have arrived: {line}"
