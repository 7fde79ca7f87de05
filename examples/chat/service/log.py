"""The log: one line for each thing that happened, as ``key=value`` pairs that people and programs can read."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
import traceback
from collections import deque
from functools import lru_cache
from pathlib import Path

from service import threads

# Values that need no quotes: no space, no quote, no "=", nothing invisible.
_PLAIN = re.compile(r"[\w.:/+%@\[\],-]+", re.ASCII)

# The lines that wait to be written. If nobody reads the log, its oldest lines are lost, not the chat.
_waiting: deque[str] = deque(maxlen=10_000)

# How long the end of the server waits for somebody to read the last lines, in seconds.
LOG_TIMEOUT = 0.25

# Guards all that is in here; notified when there is something to write, and when all is written.
_changed = threading.Condition()
_is_started = False
_is_writing = False  # whether the thread writes, or has been told to


def log(event: str, **fields: object) -> None:
    """Write one line. What came from a client cannot forge another one: values are quoted, controls escaped."""
    words = [f" {key}={_quoted(value)}" for key, value in fields.items()]
    say(f"time={utc(time.time())} event={event}{''.join(words)}")


def failure(error: Exception, **fields: object) -> None:
    """Write what went wrong with one client, entry or line, and where. That one is dropped, and this is all that is
    left of it.

    :param fields: which one it was.
    """
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    place = f"{Path(frame.f_code.co_filename).name}:{line}"
    log("failure", **fields, error=f"{type(error).__name__}: {error}", at=place)


def say(line: str) -> None:
    """Write a line for people, soon. A log that nobody reads, or that nobody reads any more, does not stop the chat.

    Only one thread writes, so a full pipe keeps nobody else waiting.
    """
    global _is_writing
    with _changed:
        _waiting.append(line)
        if not _is_writing:
            _is_writing = True
            _start_writer()
            _changed.notify_all()


def drain(seconds: float = LOG_TIMEOUT) -> bool:
    """Wait until everything is written, for so many seconds at most; return whether it is."""
    with _changed:
        return _changed.wait_for(lambda: not (_waiting or _is_writing), seconds)


def _start_writer() -> None:
    """Start the thread with the first line, not on import: a program that only imports this module needs none."""
    global _is_started
    if not _is_started:
        _is_started = True
        threads.start("log", _write)


def _write() -> None:
    """Write lines; this is a thread of its own."""
    global _is_writing
    while True:
        with _changed:
            _is_writing = bool(_waiting)
            _changed.notify_all()
            _changed.wait_for(lambda: _waiting)
            text = "".join(f"{line}\n" for line in _waiting)
            _waiting.clear()
        with contextlib.suppress(Exception):  # nobody reads it any more; and where else could that be told?
            sys.stdout.write(text)
            sys.stdout.flush()


def utc(seconds: float) -> str:
    """``2026-01-31T12:00:00.000Z``; made by hand, at half the price of `datetime`."""
    second, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03}Z"


@lru_cache(1)  # a crowd makes hundreds of lines in each second
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
