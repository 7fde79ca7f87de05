"""Signals: the first SIGINT or SIGTERM ends the server cleanly, the second one immediately; SIGHUP makes it read the
certificate again.

Python runs a signal handler between two steps of the main thread. If a signal arrives after the last check of `stops`
and before the wait in the selector, that is only when the next client comes. So it is not the handler that wakes the
main thread, but `signal.set_wakeup_fd`, whose C code runs as soon as the signal arrives.
"""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Sequence


class Signals:
    """The signals that have arrived, and a selector that they wake. For the main thread, except for `wake`."""

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
        """Handle the signals from now on."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGHUP, self._note_hangup)

    def wait(self, timeout: float | None = None) -> list[socket.socket]:
        """Wait for something to happen, and return the listeners with waiting clients."""
        ready = [key.fileobj for key, _ in self._selector.select(timeout)]
        if self._woken in ready:
            self._woken.recv(4096)
        return [sock for sock in ready if isinstance(sock, socket.socket) and sock is not self._woken]

    def wake(self) -> None:
        """Make `wait` return. May be called from any thread."""
        try:
            self._waker.send(b"\0")
        except OSError:
            pass  # enough wake-ups are already waiting, or the server has ended

    def take_hangup(self) -> bool:
        """Return whether SIGHUP has come since the last call."""
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
