"""The log: one line for each thing that happened, as ``key=value`` pairs that people and programs can read."""

from __future__ import annotations

import json
import sys
import threading
from datetime import datetime, timezone

# Values that need no quotes: no space, no quote, no "=", nothing invisible.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+%@[],")

_lock = threading.Lock()


def log(event: str, **fields: object) -> None:
    """Writes one line. What came from a client cannot forge another one: values are quoted, controls escaped."""
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    words = [f"time={time}", f"event={event}", *(f"{key}={_quoted(value)}" for key, value in fields.items())]
    say(" ".join(words))


def say(line: str) -> None:
    """Writes a line for people. A log that nobody reads any more (a closed pipe) does not stop the chat."""
    with _lock:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            pass


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)
