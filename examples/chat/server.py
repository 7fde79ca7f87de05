"""The chat's server: listens, gives each client a thread, and ends in order.

What lives here: the sockets that listen, the signals, the beginning and the end of everything. The rest is in the
modules beside this one; README.md says in which order to read them.
"""

from __future__ import annotations

import _thread
import errno
import gc
import importlib.util
import os
import resource
import selectors
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if importlib.util.find_spec("rfc6455") is None:  # not installed: it is in the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from hub import HISTORY_BYTES, Hub
from service import threads
from service.guard import Guard
from service.log import drain, failure, log, say
from service.metrics import Metrics
from service.pages import Pages
from service.settings import Settings, parse
from service.store import NoStore, SQLiteStore, Store
from service.tls import server_context
from session import Chat, Session

import rfc6455

if TYPE_CHECKING:
    from service.bus import RedisBus

# Connections that the kernel takes while we are busy; a crowd that comes back after a restart fits in.
BACKLOG = 1024

# How long the clients' threads have to end when the clients were cut, in seconds. By default the server ends after
# 3 seconds at most, with this and `--stop-timeout`.
CUT_TIMEOUT = 0.25

# When one of our own threads has failed, how long `/health` tells of it before the server ends, in seconds.
FAILED_TIMEOUT = 3.0

# How long the end waits for somebody to read the last lines of the log, in seconds.
LOG_TIMEOUT = 0.25

# What a thread's stack may grow to. The usual 8 MiB are only reserved, but for thousands of threads even that fails.
STACK_SIZE = 512 << 10

# What the kernel keeps for a client that does not read, in bytes. Left to itself it would keep megabytes for each,
# of which the limits of the outbox know nothing.
SEND_BUFFER = 256 << 10

# How long a thread may compute before another makes it give way, in seconds. Ours give way by themselves at each read
# and write. With Python's 5 ms, thousands of clients that leave at once are as many threads that each ask 200 times a
# second, and the server does little else.
SWITCH_INTERVAL = 0.05

# After how many new objects Python looks for garbage in cycles. A session is some 50 objects that stay, and makes no
# cycle that lasts; to look after every 700, as is usual, takes a quarter of the time that a new client costs.
GC_THRESHOLD = 50_000

# How many who stand at the door are taken in before their threads are started.
AT_ONCE = 64

# How many file descriptors to ask for.
MANY_FILES = 65_536

# When accept() fails for want of something, how long to wait for somebody to leave, in seconds.
ACCEPT_PAUSE = 0.1


def listen(host: str, port: int) -> list[socket.socket]:
    """Opens the sockets to listen on, all at one port: a browser may try either address of localhost.

    :raises OSError: when that is not possible.
    """
    if host != "localhost":
        return [_listen_on(host, port)]
    first = _listen_on("127.0.0.1", port)
    try:
        return [first, _listen_on("::1", first.getsockname()[1])]
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return [first]  # a machine without IPv6
        first.close()
        raise


def _listen_on(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    listener.setblocking(False)
    # The sockets that it accepts inherit these.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return listener


def open_store(settings: Settings) -> Store:
    return NoStore() if settings.history is None else SQLiteStore(settings.history, settings.history_lines)


def history_limits(settings: Settings) -> tuple[int, int]:
    """How many lines and bytes of history there may be: no more than half of what an outbox holds, in which it comes
    to one who joins and may be slow."""
    lines, size = settings.history_lines, HISTORY_BYTES
    if settings.outbox_messages:
        lines = min(lines, settings.outbox_messages // 2)
    if settings.outbox_bytes:
        size = min(size, settings.outbox_bytes // 2)
    return lines, size


def open_bus(settings: Settings, hub: Hub) -> RedisBus | None:
    if settings.bus is None:
        return None
    try:
        from service.bus import RedisBus  # here, since only who wants it needs the redis package
    except ImportError:
        raise ValueError("--bus needs the redis package: pip install redis") from None
    return RedisBus(settings.bus, hub, settings.bus_timeout)


class Server:
    """The chat on its port. `run` serves until a signal comes.

    :raises OSError: when it cannot listen there, or cannot use the certificate.
    :raises sqlite3.Error: when it cannot use the history's file.
    :raises ValueError: when it cannot use the bus.
    """

    def __init__(self, settings: Settings) -> None:
        tls = None if settings.cert is None else server_context(settings.cert, settings.key)
        self._listeners = listen(settings.host, settings.port)
        self.port: int = self._listeners[0].getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self.port}/"
        self._store = open_store(settings)
        self._stop_timeout = settings.stop_timeout or float("inf")
        self._hub = Hub(self._store, *history_limits(settings), settings.memory)
        self._bus = self._hub.bus = open_bus(settings, self._hub)
        self._guard = Guard(settings.address_connections, settings.address_rate, settings.clients)
        self._metrics = Metrics()
        pages = Pages(self._metrics, self._gauges)
        self._chat = Chat(settings, self._hub, self._guard, pages, self._metrics, tls)
        self._sessions: set[Session] = set()
        self._sessions_lock = threading.Lock()
        self._stops = 0
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector = selectors.DefaultSelector()
        for sock in (*self._listeners, self._woken):
            self._selector.register(sock, selectors.EVENT_READ)

    def run(self) -> int:
        """Serves until a signal comes, says goodbye to all, and closes everything. For the main thread.

        :returns: the exit code; not 0 when one of our own threads has failed, which ends the server as well.
        """
        self._obey_signals()
        threads.when_one_fails(self._wake)
        if self._bus is not None:
            self._bus.start()
        self._chat.caretaker.start()
        say(f"The chat is at {self.url} (Ctrl-C ends it)")
        self._serve()
        self._close_listeners()
        self._say_goodbye()
        if self._bus is not None:
            self._bus.stop()
        self._chat.caretaker.stop()
        self._store.close()
        self._close_rest()
        log("stopped")
        return 1 if threads.failed else 0

    def _obey_signals(self) -> None:
        """Lets SIGINT and SIGTERM end the server: the first in order, the second at once.

        Python runs the handler of a signal between two steps of the main thread. For a signal that comes after the
        last look at `_stops` and before the wait in the selector, that would be when the next client comes. So what
        wakes us is not the handler but what C does at once when a signal comes, with `signal.set_wakeup_fd`.
        """
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_signal)

    def _note_signal(self, *_: object) -> None:
        self._stops += 1

    def _serve(self) -> None:
        """Accepts clients until a signal comes, or until `/health` has told long enough that a thread has failed."""
        deadline = float("inf")
        while not self._stops and (left := deadline - time.monotonic()) > 0:
            for listener in self._wait(None if left == float("inf") else left):
                self._take_in(listener)
            if threads.failed and left == float("inf"):
                log("failed", threads=",".join(threads.failed))
                deadline = time.monotonic() + FAILED_TIMEOUT

    def _wait(self, timeout: float | None = None) -> list[socket.socket]:
        """Waits for something to happen; gives the listeners at which somebody stands."""
        ready = [key.fileobj for key, _ in self._selector.select(timeout)]
        if self._woken in ready:
            self._woken.recv(4096)
        return [listener for listener in self._listeners if listener in ready]

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except OSError:
            pass  # it has been woken often enough, or is done

    def _take_in(self, listener: socket.socket) -> None:
        """Takes in who stands at the door; then looks what they want; then gives each a thread.

        Not one after the other: a thread that was just started asks for Python's lock, and each system call lets go of
        it. With a crowd at the door, the threads would hand the lock to each other all the time, which takes longer
        than the work.
        """
        sessions = list(self._admitted(listener))
        for session in sessions:
            session.look()
        for session in sessions:
            self._begin(session)

    def _admitted(self, listener: socket.socket) -> Iterator[Session]:
        """Those at the door who may come in, `AT_ONCE` at most."""
        for _ in range(AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log("refused", reason=error.strerror)
                time.sleep(ACCEPT_PAUSE)
                return
            session = self._admit(sock, *address[:2])
            if session is not None:
                yield session

    def _admit(self, sock: socket.socket, host: str, port: int) -> Session | None:
        """Makes a session of it, or turns it away. What goes wrong with one is nothing to the next."""
        reason = self._guard.admit(host, time.monotonic())
        try:
            sock.setblocking(True)
            if not reason:
                return Session(sock, host, port, self._chat)
            self._turn_away(sock, host, reason)
        except Exception as error:
            failure(error, peer=host)
            sock.close()
            if not reason:
                self._guard.release(host)
        return None

    def _turn_away(self, sock: socket.socket, host: str, reason: str) -> None:
        """Answers without a thread: who is one too many must not cost more than this."""
        handshake = rfc6455.ServerHandshake()
        handshake.reject(503, body=f"{reason}\n".encode())
        try:
            sock.send(handshake.data_to_send(), socket.MSG_DONTWAIT)
        except OSError:
            pass
        sock.close()
        self._metrics.count("connections", label='as="refused"')
        log("refused", peer=host, status=503, reason=reason)

    def _begin(self, session: Session) -> None:
        with self._sessions_lock:
            self._sessions.add(session)
        try:
            # Not a threading.Thread: its start() waits until the thread runs, which takes as long as all the rest.
            _thread.start_new_thread(self._live, (session,))
        except RuntimeError as error:  # no more threads
            log("refused", client=session.number, reason=error)
            session.abandon()
            self._forget(session)

    def _live(self, session: Session) -> None:
        try:
            session.run()
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        with self._sessions_lock:
            self._sessions.discard(session)
        if self._stops or threads.failed:
            self._wake()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._listeners = []

    def _say_goodbye(self) -> None:
        """Closes all connections; those that do not answer in time are cut."""
        log("stopping", connections=len(self._present()))
        for session in self._present():
            session.close(rfc6455.CloseCode.SERVICE_RESTART, "")
        self._wait_for_all_to_go(self._stop_timeout, stops=1)
        for session in self._present():
            session.cut()
        self._wait_for_all_to_go(CUT_TIMEOUT, stops=float("inf"))

    def _wait_for_all_to_go(self, timeout: float, stops: float) -> None:
        """Waits so many seconds at most, or until more than ``stops`` signals came."""
        deadline = time.monotonic() + timeout
        while self._present() and self._stops <= stops and (left := deadline - time.monotonic()) > 0:
            self._wait(min(left, 1.0))

    def _present(self) -> list[Session]:
        with self._sessions_lock:
            return list(self._sessions)

    def _gauges(self) -> dict[str, tuple[str, float]]:
        sessions = self._present()
        for session in sessions:
            session.settle()
        bus = {"bus": ("Whether Redis is there.", float(self._bus.is_connected))} if self._bus is not None else {}
        return {
            **bus,
            "clients": ("Connections that are open, pages that are being sent among them.", len(sessions)),
            "held_bytes": ("Bytes of histories, and those that wait for clients.", self._hub.budget.held()),
            "rooms": ("Rooms that somebody is in.", self._hub.rooms()),
            "ping_seconds": (
                "The longest time that a client took to answer its last ping.",
                max((session.latency for session in sessions), default=0.0),
            ),
        }

    def _close_rest(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._woken.close()
        self._waker.close()


def allow_many_files() -> None:
    """Each client takes a file descriptor, and the usual limit is 1024. It may be raised up to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            pass  # a system with yet another limit


def main() -> None:
    settings = parse()
    allow_many_files()
    threading.stack_size(STACK_SIZE)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(GC_THRESHOLD)
    try:
        server = Server(settings)
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.exit(f"Cannot start on {settings.host}:{settings.port}: {error}")
    code = server.run()
    if not drain(LOG_TIMEOUT):
        os._exit(code)  # nobody reads the log; Python would want to flush it at its end, which waits or crashes
    sys.exit(code)


if __name__ == "__main__":
    main()
