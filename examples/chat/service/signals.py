"""Signals: SIGINT and SIGTERM end the server, the first in order, the second at once; SIGHUP reads the certificate
again.

Python runs the handler of a signal between two steps of the main thread. For a signal that comes after the last look
at `stops` and before the wait in the selector, that would be when the next client comes. So what wakes the main
thread is not the handler but what C does at once when a signal comes, with `signal.set_wakeup_fd`.
"""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Sequence


class Signals:
    """What came, and a selector that it wakes. For the main thread, but for `wake`."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self.stops = 0
        self._hangups = 0
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for sock in (*listeners, self._woken):
            self._selector.register(sock, selectors.EVENT_READ)

    def obey(self) -> None:
        """Take the signals from now on."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGHUP, self._note_hangup)

    def wait(self, timeout: float | None = None) -> list[socket.socket]:
        """Wait for something to happen; return the listeners at which somebody stands."""
        ready = [key.fileobj for key, _ in self._selector.select(timeout)]
        if self._woken in ready:
            self._woken.recv(4096)
        return [sock for sock in ready if isinstance(sock, socket.socket) and sock is not self._woken]

    def wake(self) -> None:
        """Let `wait` return. May be called from any thread."""
        try:
            self._waker.send(b"\0")
        except OSError:
            pass  # it has been woken often enough, or is done

    def take_hangup(self) -> bool:
        """Return whether SIGHUP has come since this was asked last."""
        hangups, self._hangups = self._hangups, 0
        return hangups > 0

    def forget(self, listener: socket.socket) -> None:
        self._selector.unregister(listener)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _note_stop(self, *_: object) -> None:
        self.stops += 1

    def _note_hangup(self, *_: object) -> None:
        self._hangups += 1
