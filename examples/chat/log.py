"""The log: one line for each thing that happened, as ``key=value`` pairs that people and programs can read."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import deque

# Values that need no quotes: no space, no quote, no "=", nothing invisible.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+%@[],")

# What waits to be written, and who writes. If nobody reads the log, its oldest lines are lost, not the chat.
_waiting: deque[str] = deque(maxlen=10_000)
_writing = threading.Lock()


def log(event: str, **fields: object) -> None:
    """Writes one line. What came from a client cannot forge another one: values are quoted, controls escaped."""
    words = (f"{key}={_quoted(value)}" for key, value in fields.items())
    say(" ".join((f"time={_utc(time.time())}", f"event={event}", *words)))


def say(line: str) -> None:
    """Writes a line for people. A log that nobody reads any more (a closed pipe) does not stop the chat.

    Nobody waits for another who writes: that one writes this line too, even if it comes at its last moment.
    """
    _waiting.append(line)
    while _waiting and _writing.acquire(blocking=False):
        try:
            _write_all()
        finally:
            _writing.release()


def _write_all() -> None:
    lines = []
    while _waiting:
        lines.append(_waiting.popleft() + "\n")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write("".join(lines))
        sys.stdout.flush()


def _utc(seconds: float) -> str:
    """``2026-01-31T12:00:00.000Z``; made by hand, at half the price of `datetime`."""
    second, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{milliseconds:03}Z"


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)
