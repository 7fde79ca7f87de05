"""One thread for the work that is due while the clients' own threads wait in recv(): blocked outboxes, deadlines,
closing.

Not here: WebSockets. Sessions call `watch` and `release`, and the caretaker calls `flush` when the socket takes bytes
again, and `tick` when a session is due.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from service import threads

# The interval in seconds at which the deadlines are checked. Each is several seconds long, so this need not be exact.
TICK = 0.25


class Ward(Protocol):
    """Something that the caretaker takes care of."""

    sock: socket.socket
    due: float

    def flush(self) -> bool:
        """Send the waiting data, and return whether anything is left."""

    def tick(self, now: float) -> None:
        """Do the work that is due."""

    def fail(self, error: Exception) -> None:
        """Log the error if it is the first one, and end the ward. This never raises an exception."""


def _nothing(now: float) -> None:
    """Do nothing. This is the default for other work."""


class Caretaker:
    """Takes care of sessions until it is stopped. All methods may be called from any thread.

    :param chore: a function that does other work from time to time.
    """

    def __init__(self, chore: Callable[[float], None] = _nothing) -> None:
        self._chore = chore
        self._wards: set[Ward] = set()
        self._released: set[Ward] = set()
        self._tasks: deque[tuple[Callable[[Ward], None], Ward]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threads.start("caretaker", self._run)

    def stop(self) -> None:
        """End the thread, and close all sockets that are still open."""
        self._is_stopped = True
        self._wake()
        if self._thread is not None:
            self._thread.join()

    def add(self, ward: Ward) -> None:
        """From now on, call ``ward.tick`` whenever the time ``ward.due`` has come."""
        self._tasks.append((self._wards.add, ward))  # the next tick is early enough

    def watch(self, ward: Ward) -> None:
        """Call ``ward.flush`` when its socket takes bytes again, until nothing is left."""
        self._do(self._watch, ward)

    def release(self, ward: Ward) -> None:
        """Close the socket when nothing is left to send, or when the ward's time is up.

        Only the caretaker closes sockets, so that none is closed while it is watched.
        """
        self._do(self._release, ward)

    def _do(self, task: Callable[[Ward], None], ward: Ward) -> None:
        """Let the thread do ``task``; only that thread touches the selector."""
        self._tasks.append((task, ward))
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:
            pass  # enough wake-ups are already waiting, or the caretaker has stopped

    def _run(self) -> None:
        next_tick = time.monotonic() + TICK
        while not self._is_stopped:
            for key, _ in self._selector.select(max(0.0, next_tick - time.monotonic())):
                if key.data is None:
                    self._wake_out.recv(4096)
                else:
                    self._care(self._flush, key.data)
            self._do_tasks()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK
                self._tick(time.monotonic())
        self._do_tasks()
        self._close_all()

    def _do_tasks(self) -> None:
        while self._tasks:
            self._care(*self._tasks.popleft())

    def _care(self, task: Callable[[Ward], None], ward: Ward) -> None:
        """Do ``task`` for one ward. An error ends that ward, and does not affect the others."""
        try:
            task(ward)
        except Exception as error:
            ward.fail(error)
            with suppress(Exception):  # it has already been logged
                self._drop(ward)

    def _tick(self, now: float) -> None:
        self._chore(now)
        for ward in [ward for ward in self._wards if ward.due <= now]:
            self._care(self._tick_one, ward)

    def _tick_one(self, ward: Ward) -> None:
        ward.tick(time.monotonic())
        if ward in self._released:
            self._close(ward)

    def _watch(self, ward: Ward) -> None:
        if ward in self._wards and not self._is_watched(ward):
            self._selector.register(ward.sock, selectors.EVENT_WRITE, ward)

    def _flush(self, ward: Ward) -> None:
        if ward.flush():
            return
        self._unwatch(ward)
        if ward in self._released:
            self._close(ward)

    def _unwatch(self, ward: Ward) -> None:
        if self._is_watched(ward):
            self._selector.unregister(ward.sock)

    def _is_watched(self, ward: Ward) -> bool:
        return ward.sock in self._selector.get_map()

    def _release(self, ward: Ward) -> None:
        self._released.add(ward)
        if ward not in self._wards or not ward.flush():
            self._close(ward)

    def _drop(self, ward: Ward) -> None:
        """Stop taking care of the ward, except for its socket. This has been shut down, so the ward's thread ends and
        releases it."""
        self._wards.discard(ward)
        self._unwatch(ward)
        if ward in self._released:
            self._close(ward)

    def _close(self, ward: Ward) -> None:
        self._released.discard(ward)
        self._wards.discard(ward)
        self._unwatch(ward)
        ward.sock.close()

    def _close_all(self) -> None:
        for ward in list(self._wards):
            self._care(self._close, ward)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
