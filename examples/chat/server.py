"""The chat's server: it listens, runs a thread for each client, and shuts down cleanly.

What lives here: the main thread, which accepts clients, and the beginning and the end of everything. `session.py`, the
thread of a client, is next; README.md has the reading order for the rest.
"""

from __future__ import annotations

import _thread
import importlib.util
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from service import threads
from service.listening import listen
from service.log import drain, failure, log, say
from service.settings import Settings, parse
from service.setup import Service, StartError
from service.signals import Signals
from service.tuning import AT_ONCE, tune
from service.visitor import Visitor
from session import Session

import rfc6455

# The time in seconds that the clients' threads have to end after the clients were cut. With this and `--stop-timeout`,
# the server ends after at most 3 seconds by default.
CUT_TIMEOUT = 0.25

# The time in seconds for which `/health` reports a failure of one of the server's own threads before the server ends.
FAILED_TIMEOUT = 3.0

# The time in seconds to wait for somebody to leave when accept() fails for lack of a resource.
ACCEPT_PAUSE = 0.1


class Server:
    """The chat on its port: `start`, then `run`.

    :raises OSError: if it cannot listen there.
    :raises StartError: if it cannot use something that the settings name. `start` raises this as well.
    """

    def __init__(self, settings: Settings) -> None:
        self._sessions: set[Session] = set()
        self._sessions_lock = threading.Lock()
        self._service = Service(settings, lambda: (one.visitor for one in self._present() if one.takes_part))
        self._listeners = listen(settings.hosts, settings.port)
        self._signals = Signals(self._listeners)
        self.url = settings.url(self._listeners[0].getsockname()[1])

    def start(self) -> None:
        """Install the signal handlers, and start all threads except for those of clients."""
        self._signals.obey()
        threads.when_one_fails(self._signals.wake)
        self._service.start()

    def run(self) -> int:
        """Serve until a signal comes, then close all connections and everything else. For the main thread.

        :returns: the exit code; not 0 if one of the server's own threads has failed, which ends the server as well.
        """
        say(f"The chat is at {self.url} (Ctrl-C ends it)")
        self._serve()
        for listener in self._listeners:
            self._signals.forget(listener)
            listener.close()
        self._say_goodbye()
        self._service.stop()
        self._signals.close()
        log("stopped")
        return 1 if threads.failed else 0

    def _serve(self) -> None:
        """Accept clients until a signal comes, or until `/health` has reported a failed thread for long enough."""
        deadline = float("inf")
        while not self._signals.stops and (left := deadline - time.monotonic()) > 0:
            for listener in self._signals.wait(None if left == float("inf") else left):
                self._take_in(listener)
            if self._signals.take_hangup():
                self._service.read_certificate()
            if threads.failed and left == float("inf"):
                log("failed", threads=",".join(threads.failed))
                deadline = time.monotonic() + FAILED_TIMEOUT

    def _take_in(self, listener: socket.socket) -> None:
        """Accept waiting clients, then read their requests, then start a thread for each.

        This is not done client by client: a thread that was just started waits for Python's lock, and each system call
        releases it. With many clients, the threads would keep passing the lock on, which takes longer than the work.
        """
        sessions = list(self._admitted(listener))
        for session in sessions:
            session.look()
        for session in sessions:
            self._begin(session)

    def _admitted(self, listener: socket.socket) -> Iterator[Session]:
        """Yield the waiting clients that may connect, at most `AT_ONCE`."""
        for _ in range(AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log("refused", reason=error.strerror)
                self._service.count_refused("accept")
                time.sleep(ACCEPT_PAUSE)
                return
            session = self._admit(sock, *address[:2])
            if session is not None:
                yield session

    def _admit(self, sock: socket.socket, host: str, port: int) -> Session | None:
        """Make a session for the client, or refuse it. A failure with one does not affect the next."""
        visitor = Visitor(host, port, self._service)
        reason = visitor.admit()
        try:
            sock.setblocking(True)
            if not reason:
                return Session(sock, visitor, self._service)
            visitor.turn_away(sock, reason)
        except Exception as error:
            failure(error, peer=host)
            sock.close()
            if not reason:
                visitor.leave()
        return None

    def _begin(self, session: Session) -> None:
        with self._sessions_lock:
            self._sessions.add(session)
        try:
            # Not a threading.Thread, as its start() waits until the thread runs, which takes as long as all the rest.
            _thread.start_new_thread(self._live, (session,))
        except RuntimeError as error:  # no more threads
            session.visitor.refused("threads", reason=error)
            session.cut()
            self._live(session)

    def _live(self, session: Session) -> None:
        try:
            session.run()
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        with self._sessions_lock:
            self._sessions.discard(session)
        if self._signals.stops or threads.failed:
            self._signals.wake()

    def _present(self) -> list[Session]:
        with self._sessions_lock:
            return list(self._sessions)

    def _say_goodbye(self) -> None:
        """Close all connections; those that do not answer in time are cut."""
        log("stopping", connections=len(self._present()))
        for session in self._present():
            session.close(rfc6455.CloseCode.SERVICE_RESTART, "")
        self._wait_for_all_to_go(self._service.settings.stop_timeout or float("inf"), stops=1)
        for session in self._present():
            session.cut()
        self._wait_for_all_to_go(CUT_TIMEOUT, stops=float("inf"))

    def _wait_for_all_to_go(self, timeout: float, stops: float) -> None:
        """Wait for at most this many seconds, or until more than ``stops`` signals have come."""
        deadline = time.monotonic() + timeout
        while self._present() and self._signals.stops <= stops and (left := deadline - time.monotonic()) > 0:
            self._signals.wait(min(left, 1.0))


def main() -> None:
    settings = parse()
    tune()
    try:
        server = Server(settings)
        server.start()
    except (OSError, StartError) as error:
        sys.exit(f"Cannot start: {error}")
    code = server.run()
    if not drain():
        os._exit(code)  # nobody reads the log, and flushing it at the end of Python would wait or crash
    sys.exit(code)


if __name__ == "__main__":
    main()
