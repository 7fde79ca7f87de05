"""The server's own threads: the caretaker's, the log's, the bus's. None of them may end while the server serves.

The law: what goes wrong with one client, one entry or one line is caught where that one is known, logged, and dropped
(`log.failure`). So a thread that ends nevertheless is a bug, and without it the chat would decay unseen: its traceback
goes to standard error, `/health` reports it, and the server ends with an error.

Not here: the clients' threads, which end with their clients (`server.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

# The names of the threads that have ended with an exception.
failed: list[str] = []


def _wake() -> None:
    """Do nothing: called by a thread that fails; see `when_one_fails`."""


def when_one_fails(wake: Callable[[], None]) -> None:
    """Call ``wake`` from a thread that ends with an exception."""
    global _wake
    _wake = wake


def start(name: str, run: Callable[[], None]) -> threading.Thread:
    """Start a thread that does ``run`` until it returns, as it does when the server has told it to stop."""

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
