"""A thread that waits for any number of sockets and timers.

Not here: the data, and the deadlines.

The law: only this thread waits for the network, and only it uses the selector and the timers. Other threads pass it
functions to call, which wakes it. In each iteration, it reads from the sockets before it checks the time: if it is
late, the awaited data may have arrived.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Protocol

from ._openings import as_seconds

logger = logging.getLogger("rfc6455_io")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

clock = time.monotonic

# The longest wait for the network, in seconds. Selectors accept a few weeks at most; asyncio has the same limit.
LONGEST_WAIT = 24 * 3600.0


def within(seconds: float | None) -> float | None:
    """Return the time to wait, for a system call; ``None`` also if this is longer than the system can wait."""
    seconds = as_seconds(seconds)
    return None if seconds is None or seconds > threading.TIMEOUT_MAX else seconds


class Member(Protocol):
    """A socket for which a loop waits, and its callbacks."""

    sock: socket.socket

    def ready(self, mask: int) -> None:
        """Called when the socket can be read or written; the bits of ``mask`` say which."""

    def tick(self) -> None:
        """Called when a timer is due."""

    def fail(self) -> None:
        """Called when one of the other two has raised an exception."""


class Timer:
    """A time at which to call a member, which becomes ``None`` when the timer is cancelled or over."""

    __slots__ = ("at", "member")

    def __init__(self, at: float, member: Member) -> None:
        self.at: float = at
        self.member: Member | None = member

    def __lt__(self, other: Timer) -> bool:
        return self.at < other.at


class Loop:
    """The thread, with its sockets and timers. It runs from `start` to `stop`.

    :param name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._wakes, self._waker = socket.socketpair()
        self._wakes.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wakes, READ, None)
        self._is_woken = False
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[Timer] = []  # a heap
        self._cancelled = 0
        self._is_ending = False
        self._running = threading.Lock()  # held by the thread
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    # For any thread.

    def start(self) -> None:
        """Start the thread. If this fails, the thread does not run, and everything is closed."""
        try:
            self._thread.start()
        except BaseException:
            # The system cannot start another thread. Or a signal has interrupted this one, and the other may run.
            self.stop()
            with self._running:
                self._is_ending = True
                self._close()
            raise

    def call(self, function: Callable[[], None]) -> None:
        """Make the thread call a function soon. It must not wait or raise an exception."""
        self._calls.append(function)
        # The thread looks for calls after it has set this to False, so a call that sees True is not missed.
        if not self._is_woken:
            self._is_woken = True
            try:
                self._waker.send(b"!")
            except OSError:
                pass  # it has been woken already, or has ended

    def stop(self) -> None:
        """Make the thread end, after the functions that were passed to it."""
        self.call(self._end)

    def join(self) -> None:
        """Wait until the thread has ended, unless it is the current one."""
        if not self.is_current and self._thread.ident is not None:
            self._thread.join()

    @property
    def is_current(self) -> bool:
        return threading.get_ident() == self._thread.ident

    # For the loop's own thread.

    def watch(self, member: Member, before: int, after: int) -> None:
        """Set whether to wait until a member's socket is readable, writable, either, or not at all."""
        if not after:
            self._selector.unregister(member.sock)
        elif not before:
            self._selector.register(member.sock, after, member)
        else:
            self._selector.modify(member.sock, after, member)

    def call_at(self, at: float, member: Member) -> Timer:
        """Schedule a call of `Member.tick`."""
        timer = Timer(at, member)
        heappush(self._timers, timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        """Cancel a timer, which may already be over. Cancelled timers never become the majority."""
        if timer.member is None:
            return
        timer.member = None
        self._cancelled += 1
        if self._cancelled > 50 and self._cancelled * 2 > len(self._timers):
            self._timers = [timer for timer in self._timers if timer.member is not None]
            heapify(self._timers)
            self._cancelled = 0

    def _run(self) -> None:
        with self._running:
            try:
                while not self._is_ending:
                    self._round()
            finally:
                self._close()

    def _round(self) -> None:
        for key, mask in self._selector.select(self._seconds_to_wait()):
            if key.data is None:
                self._wakes.recv(4096)
            else:
                guard(key.data, key.data.ready, mask)
        self._is_woken = False
        while self._calls:
            self._calls.popleft()()
        # A timer that is set meanwhile waits for the next iteration, however soon it is due.
        for timer in self._due_timers():
            member, timer.member = timer.member, None
            if member is None:
                self._cancelled -= 1
            else:
                guard(member, member.tick)

    def _due_timers(self) -> list[Timer]:
        now = clock()
        due = []
        while self._timers and self._timers[0].at <= now:
            due.append(heappop(self._timers))
        return due

    def _seconds_to_wait(self) -> float | None:
        if self._calls:
            return 0
        return min(max(0.0, self._timers[0].at - clock()), LONGEST_WAIT) if self._timers else None

    def _end(self) -> None:
        self._is_ending = True

    def _close(self) -> None:
        self._selector.close()
        self._wakes.close()
        self._waker.close()
        self._timers.clear()


def guard(member: Member, call: Callable[..., None], *arguments: int) -> None:
    """Call a member, whose exceptions must not affect the others. This includes SystemExit, which ends a thread: a
    rule of the user's may raise it."""
    try:
        call(*arguments)
    except BaseException:
        logger.exception("a connection is cut: it could not be served")
        member.fail()


class Watch:
    """The events for which a loop waits on behalf of one member. Only the loop's thread may change them.

    :ivar mask: the events of the socket, as bits of the selector.
    :ivar at: the time of the timer, or infinity if no timer is set.
    """

    def __init__(self, loop: Loop, member: Member) -> None:
        self.mask = 0
        self.at = inf
        self._loop = loop
        self._member = member
        self._timer: Timer | None = None

    def wait_for(self, mask: int) -> None:
        if mask != self.mask:
            self._loop.watch(self._member, self.mask, mask)
            self.mask = mask

    def call_at(self, at: float) -> None:
        """Make the loop call `Member.tick` at this time, or before. A call that comes too early has to check again."""
        if at < self.at:
            self.forget_timer()
            self._timer = self._loop.call_at(at, self._member)
            self.at = at

    def forget_timer(self) -> None:
        """Cancel the timer, which may already be over."""
        if self._timer is not None:
            self._loop.cancel(self._timer)
            self._timer = None
        self.at = inf

    def end(self) -> None:
        self.forget_timer()
        self.wait_for(0)
