"""One thread for what is due while the clients' own threads sit in recv(): blocked outboxes, deadlines, closing.

It knows nothing of WebSockets. A session tells what it wants by `watch` and `release`; the caretaker calls back
`flush` when the socket takes bytes again, and `tick` when the session's time has come.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

# How often the deadlines are looked at, in seconds. They are of several seconds each, so this need not be exact.
TICK = 0.25


class Ward(Protocol):
    """What the caretaker takes care of."""

    sock: socket.socket
    due: float

    def flush(self) -> bool:
        """Sends what waits; says whether anything is left."""

    def tick(self, now: float) -> None:
        """Does what is due."""


class Caretaker:
    """Takes care of sessions until it is stopped. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._wards: set[Ward] = set()
        self._released: set[Ward] = set()
        self._tasks: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; sockets that are still open are closed."""
        self._do(self._stop)
        self._thread.join()

    def add(self, ward: Ward) -> None:
        """From now on ``ward.tick`` is called when ``ward.due`` has come."""
        self._tasks.append(lambda: self._wards.add(ward))  # the next tick is early enough

    def watch(self, ward: Ward) -> None:
        """Calls ``ward.flush`` when its socket takes bytes again, until nothing is left."""
        self._do(lambda: self._watch(ward))

    def release(self, ward: Ward) -> None:
        """Closes the socket when nothing is left to send, or when the ward's time is over.

        Only the caretaker closes sockets, so that none is closed while it is watched.
        """
        self._do(lambda: self._release(ward))

    def _do(self, task: Callable[[], None]) -> None:
        """Lets the thread do ``task``; only that thread touches the selector."""
        self._tasks.append(task)
        try:
            self._wake_in.send(b"\0")
        except OSError:
            pass  # enough wake-ups are waiting already, or the caretaker has stopped

    def _run(self) -> None:
        next_tick = time.monotonic() + TICK
        while not self._is_stopped:
            for key, _ in self._selector.select(max(0.0, next_tick - time.monotonic())):
                if key.data is None:
                    self._wake_out.recv(4096)
                elif not key.data.flush():
                    self._unwatch(key.data)
            while self._tasks:
                self._tasks.popleft()()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK
                self._tick(time.monotonic())

    def _tick(self, now: float) -> None:
        for ward in [ward for ward in self._wards if ward.due <= now]:
            ward.tick(now)
            if ward in self._released:
                self._close(ward)

    def _watch(self, ward: Ward) -> None:
        if ward in self._wards and not self._is_watched(ward):
            self._selector.register(ward.sock, selectors.EVENT_WRITE, ward)

    def _unwatch(self, ward: Ward) -> None:
        if self._is_watched(ward):
            self._selector.unregister(ward.sock)
        if ward in self._released:
            self._close(ward)

    def _is_watched(self, ward: Ward) -> bool:
        return ward.sock in self._selector.get_map()

    def _release(self, ward: Ward) -> None:
        self._released.add(ward)
        if not ward.flush():
            self._close(ward)

    def _close(self, ward: Ward) -> None:
        self._released.discard(ward)
        self._wards.discard(ward)
        if self._is_watched(ward):
            self._selector.unregister(ward.sock)
        ward.sock.close()

    def _stop(self) -> None:
        for ward in list(self._wards):
            self._close(ward)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        self._is_stopped = True
