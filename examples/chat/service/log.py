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

# The lines that wait to be written. If nobody reads the log, its oldest lines are lost, but the chat goes on.
_waiting: deque[str] = deque(maxlen=10_000)

# The time in seconds for which the server waits at its end for somebody to read the last lines.
LOG_TIMEOUT = 0.25

# Guards everything in this module. It is notified when there is something to write, and when everything is written.
_changed = threading.Condition()
_is_started = False
_is_writing = False  # whether the thread writes, or has been told to


def log(event: str, **fields: object) -> None:
    """Write one line. Values are quoted and control characters escaped, so that no client can forge a line."""
    words = [f" {key}={_quoted(value)}" for key, value in fields.items()]
    say(f"time={utc(time.time())} event={event}{''.join(words)}")


def failure(error: Exception, **fields: object) -> None:
    """Log an error with one client, entry or line, which is then dropped, and where in the code it occurred.

    :param fields: identify the client, entry or line.
    """
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    place = f"{Path(frame.f_code.co_filename).name}:{line}"
    log("failure", **fields, error=f"{type(error).__name__}: {error}", at=place)


def say(line: str) -> None:
    """Write a line for people, soon. If nobody reads the log, or nobody reads it any more, the chat goes on.

    Only one thread writes, so nothing else has to wait for a full pipe.
    """
    global _is_writing
    with _changed:
        _waiting.append(line)
        if not _is_writing:
            _is_writing = True
            _start_writer()
            _changed.notify_all()


def drain(seconds: float = LOG_TIMEOUT) -> bool:
    """Wait until everything is written, for at most this number of seconds. Return whether it is."""
    with _changed:
        return _changed.wait_for(lambda: not (_waiting or _is_writing), seconds)


def _start_writer() -> None:
    """Start the thread when the first line is written, as a program that only imports this module does not need it."""
    global _is_started
    if not _is_started:
        _is_started = True
        threads.start("log", _write)


def _write() -> None:
    """Write the lines, in a thread of its own."""
    global _is_writing
    while True:
        with _changed:
            _is_writing = bool(_waiting)
            _changed.notify_all()
            _changed.wait_for(lambda: _waiting)
            text = "".join(f"{line}\n" for line in _waiting)
            _waiting.clear()
        with contextlib.suppress(Exception):  # nobody reads the log any more, so this cannot be reported
            sys.stdout.write(text)
            sys.stdout.flush()


def utc(seconds: float) -> str:
    """Return a time as ``2026-01-31T12:00:00.000Z``, in half the time that `datetime` takes."""
    second, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03}Z"


@lru_cache(1)  # there may be hundreds of lines in one second
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
