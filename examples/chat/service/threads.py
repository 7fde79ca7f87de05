"""The server's own threads: the caretaker's, the log's, the bus's. None of them may end while the server serves.

The law: an error with one client, one entry or one line is caught where that is handled, and logged, and the client,
entry or line is dropped (`log.failure`). So if a thread ends nevertheless, that is a bug, and without the thread the
chat would no longer work as it should. The traceback goes to standard error, `/health` reports it, and the server ends
with an error.

Not here: the clients' threads, which end with their clients (`server.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

# The names of the threads that have ended with an exception.
failed: list[str] = []


def _wake() -> None:
    """Do nothing. This is called by a thread that fails; see `when_one_fails`."""


def when_one_fails(wake: Callable[[], None]) -> None:
    """Make threads that end with an exception call ``wake``."""
    global _wake
    _wake = wake


def start(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a thread that calls ``run``, which returns when the server tells it to stop."""

    def watched() -> None:
        try:
            run()
        except BaseException:
            failed.append(name)
            _wake()
            raise

    thread = threading.Thread(target=watched, name=name, daemon=True)
    thread.start()
    return thread
