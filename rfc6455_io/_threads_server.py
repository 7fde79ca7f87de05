"""A server for threads: one thread reads from all clients, and each client that sends a request gets another one.

Not here: what happens on a connection (`_threads_driver.py`).

The law: nothing outlives the server. Each connection and each thread is in a set from its first moment to its last,
and `Server.close` ends with both sets empty: by the closing handshake, or by force when that takes too long. Only a
handler that is still running then is left, since nothing can stop a thread; the log names it.
"""

from __future__ import annotations

import errno
import inspect
import logging
import os
import socket
import ssl as tls
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import rfc6455
from rfc6455 import Closed, ConnectionClosedError, Request, Response
from rfc6455.arguments import as_int, check_plain
from rfc6455.connection import close_payload

from ._known import log_failure
from ._openings import (
    SocketFile,
    as_seconds,
    check_place,
    check_server_context,
    check_timeouts,
    log_not_accepted,
    port_of,
    refusal,
    server_handshakes,
)
from ._threads_driver import Driver
from ._threads_loop import READ, Loop, Watch, clock, guard, within
from ._threads_websocket import WebSocket
from ._threads_wire import Wire

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._openings import HandshakeArguments

logger = logging.getLogger("rfc6455_io")

Handler = Callable[[WebSocket], object]
ProcessRequest = Callable[[Request], "Response | None"]

# Each client takes a file descriptor, of which a process usually has 1024, and a thread, for whose stack the system
# reserves 8 MiB of address space.
MAX_CLIENTS = 500

# The time in seconds for which no clients are accepted after accepting one has failed.
ACCEPT_PAUSE = 0.1

# The interval in seconds at which `serve_forever` interrupts its wait. A signal that arrives just before the wait
# begins is noticed only then.
SIGNAL_CHECK = 1.0


_ADVICE = "; coroutines need rfc6455_io.asyncio"


class _Listening:
    """A listening socket, as a member of the loop."""

    def __init__(self, sock: socket.socket, server: Server, loop: Loop) -> None:
        self.sock = sock
        self._server = server
        self._loop = loop
        self._watch = Watch(loop, self)

    def begin(self) -> None:
        """Wait for clients, unless the socket has been closed in the meantime."""
        self._watch.forget_timer()
        if self.sock.fileno() >= 0:
            self._watch.wait_for(READ)

    def tick(self) -> None:
        self.begin()

    def ready(self, mask: int) -> None:
        """Accept the clients that are waiting, up to a limit, so that the others get their turn."""
        for _ in range(100):
            try:
                if not self._server._take_in(self.sock, self._loop):
                    break
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                logger.warning("cannot accept clients for a moment: %s", error)
                break
        else:
            return
        self.fail()

    def fail(self) -> None:
        """Stop accepting for a moment, since the same error would immediately occur again."""
        self._watch.wait_for(0)
        self._watch.call_at(clock() + ACCEPT_PAUSE)

    def close(self) -> None:
        self._watch.end()
        self.sock.close()


class Server:
    """A server, as returned by `serve`. It begins to listen when it is entered by ``with``, or when `start` is called.

    :ivar connections: the open connections, a set of `WebSocket` objects. Other threads change it, so iterate over a
        copy.
    """

    def __init__(
        self,
        handler: Handler,
        listen: Callable[[], list[socket.socket]],
        path: str | os.PathLike[str] | None,
        make_handshake: Callable[[], rfc6455.ServerHandshake],
        ssl: tls.SSLContext | None,
        timeouts: rfc6455.Timeouts | None,
        process_request: ProcessRequest | None,
        bounds: tuple[int, int],
    ) -> None:
        check_plain(handler, "a handler", _ADVICE)
        if process_request is not None:
            check_plain(process_request, "process_request", _ADVICE)
        self.connections: set[WebSocket] = set()
        self._handler = handler
        self._listen = listen
        self._path = path
        self._file: SocketFile | None = None
        self._make_handshake = make_handshake
        self._ssl = ssl
        self._timeouts = timeouts
        self._process_request = process_request
        self._max_clients, self._max_waiting = bounds
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._drivers: set[Driver] = set()
        self._threads: set[threading.Thread] = set()
        self._closers: set[threading.Thread] = set()  # the threads that call close(), which may be handlers
        self._loop: Loop | None = None
        self._listening: list[_Listening] = []
        self._is_closing = False
        # Held until the server is stopped. A signal handler may release it at any point of the main thread.
        self._running = threading.Lock()
        self._running.acquire()

    # Life cycle.

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The sockets that the server listens on; empty before it has started and after `close`."""
        return [listening.sock for listening in self._listening]

    @property
    def port(self) -> int:
        """The port of the first socket; if port 0 was requested, the one that was chosen.

        :raises RuntimeError: when the server has no port: before it has started, after `close`, and with ``path``.
        """
        return port_of(self.sockets)

    def start(self) -> Server:
        """Begin to listen, unless the server is listening already, and return the server. It runs in threads of its
        own until `close` is called.

        :raises OSError: when the server cannot listen at that address.
        :raises RuntimeError: after `close`.
        """
        if self._is_closing:
            raise RuntimeError("the server is closed; to listen again, call serve() for another")
        if self._loop is not None:
            return self
        sockets = self._listen()
        try:
            self._file = None if self._path is None else SocketFile(self._path)
            self._loop = loop = Loop("rfc6455 server")
            self._listening = [_Listening(sock, self, loop) for sock in sockets]
            loop.call(self._begin_listening)
            loop.start()
        except BaseException:  # the system has no descriptor left, or no thread; or a signal came
            self._loop, self._listening = None, []
            if self._file is not None:
                self._file.remove()
            for sock in sockets:
                sock.close()
            raise
        return self

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Begin to listen, unless the server is listening already; wait until `stop` is called, or an exception such
        as ``KeyboardInterrupt`` is raised here; and then close."""
        if not self._is_closing:
            self.start()
        try:
            while not self._running.acquire(timeout=SIGNAL_CHECK):
                pass
        finally:
            self.close()  # which releases the lock again

    def stop(self) -> None:
        """Make `serve_forever` return, as in ``signal.signal(signal.SIGTERM, lambda *_: server.stop())``. This may be
        called in any thread and any signal handler."""
        try:
            self._running.release()
        except RuntimeError:
            pass  # the server was stopped

    def close(self, code: int = 1012, reason: str = "", *, timeout: float | None = 10.0) -> None:
        """Stop listening, close all connections, and wait until they have ended and their handlers have returned.

        A handler may call this as well; in that case, this does not wait for that handler.

        :param code: the close code. 1012 (Service Restart) asks clients to come back; 1001 (Going Away) does not.
        :param reason: for people and logs.
        :param timeout: the number of seconds after which connections are cut; ``None`` to wait for ever. A handler
            that is still running then is logged and left alone, since nothing can stop a thread from outside.
        :raises rfc6455.LocalProtocolError: for a code that must not be sent (7.4). In that case, nothing is changed.
        :raises ValueError: for a timeout that is no number of seconds. Nothing is changed then.
        """
        close_payload(code, reason)
        as_seconds(timeout)  # before anything is changed
        self.stop()
        with self._lock:
            self._is_closing = True
            self._closers.add(threading.current_thread())
            listening, self._listening = self._listening, []
        if self._file is not None:
            self._file.remove()
        if self._loop is not None:
            self._loop.call(partial(_close_all, listening))
        for driver in self._all_drivers():
            driver.close(code, reason)
        if not self._emptied(timeout):
            for driver in self._all_drivers():
                driver.abort()
            if not self._emptied(1.0):
                names = ", ".join(thread.name for thread in self._threads - self._closers)
                logger.warning("the server has closed, but handlers are still running in these threads: %s", names)
        if self._loop is not None:
            self._loop.stop()
            self._loop.join()

    def _all_drivers(self) -> list[Driver]:
        with self._lock:
            return list(self._drivers)

    def _emptied(self, timeout: float | None) -> bool:
        """Wait until there are no connections and no threads, and return whether that happened before the timeout."""
        with self._lock:
            is_empty = lambda: not self._drivers and not self._threads - self._closers  # noqa: E731
            return self._changed.wait_for(is_empty, within(timeout))

    # In the loop.

    def _begin_listening(self) -> None:
        for listening in self._listening:
            listening.begin()

    def _take_in(self, listener: socket.socket, loop: Loop) -> bool:
        """Accept a client, and return whether others may be accepted."""
        if len(self._drivers) >= self._max_clients + self._max_waiting:
            return False
        sock, _ = listener.accept()
        sock.setblocking(False)
        try:
            wire = Wire(sock)
            if self._ssl is not None:
                wire.add_tls(self._ssl, None)
            driver = Driver(wire, self._make_handshake(), self._timeouts, self, loop, clock())
        except BaseException:
            sock.close()
            raise
        with self._lock:
            if self._is_closing:
                sock.close()
                return False
            self._drivers.add(driver)
        guard(driver, driver.start)
        return True

    def requested(self, driver: Driver, request: Request) -> None:
        thread = threading.Thread(target=self._run, args=(driver, request), name="rfc6455 client", daemon=True)
        with self._lock:
            is_full = len(self._threads) >= self._max_clients
            if is_full or self._is_closing:
                driver.endpoint.reject(503, body=b"There are too many clients.\n" if is_full else b"")
                return
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:
            logger.error("a client is refused, as the system cannot start another thread: %s", error)
            self._leave(thread)
            driver.endpoint.reject(503)

    def ended(self, driver: Driver, closed: Closed) -> None:
        if driver.endpoint.connection is None:
            log_not_accepted(driver.wire.error or closed, driver.wire.error or closed.error)

    def gone(self, driver: Driver) -> None:
        with self._lock:
            self._drivers.discard(driver)
            self._changed.notify_all()

    # In the thread of a client.

    def _run(self, driver: Driver, request: Request) -> None:
        try:
            if self._let_in(driver, request):
                self._handle(WebSocket(driver))
        finally:
            self._leave(threading.current_thread())

    def _leave(self, thread: threading.Thread) -> None:
        with self._lock:
            self._threads.discard(thread)
            self._changed.notify_all()

    def _let_in(self, driver: Driver, request: Request) -> bool:
        try:
            answer = None if self._process_request is None else self._process_request(request)
            return driver.answer(refusal(request, answer), answer)
        except Exception:
            log_failure(driver.endpoint, "opening")
            return driver.answer(Response(500), None)
        except BaseException:  # such as SystemExit, which ends this thread
            driver.answer(Response(500), None)
            raise

    def _handle(self, ws: WebSocket) -> None:
        code = 1011  # 7.4.1
        with self._lock:
            self.connections.add(ws)
        try:
            result = self._handler(ws)
            if inspect.isawaitable(result):
                raise TypeError(f"the handler returned {result!r}{_ADVICE}")
            code = 1000
        except ConnectionClosedError as error:
            if error.closed is not ws._driver.end:  # for another connection, the handler is responsible
                log_failure(ws._driver.endpoint, "handler")
        except Exception:
            log_failure(ws._driver.endpoint, "handler")
        finally:
            with self._lock:
                self.connections.discard(ws)
            ws._driver.finish(code)


def _close_all(listening: list[_Listening]) -> None:
    for each in listening:
        each.close()


# ---- Sockets ----


def _listen_at(host: str | Sequence[str] | None, port: int, backlog: int, reuse_port: bool) -> list[socket.socket]:
    hosts = [host] if host is None or isinstance(host, str) else list(host)
    places = dict.fromkeys(
        (family, address)
        for name in hosts
        for family, _, _, _, address in socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    )
    sockets: list[socket.socket] = []
    missing: list[OSError] = []
    with ExitStack() as made:
        for family, address in places:
            try:
                # A socket for IPv6 is for IPv6 only, as each family has its own.
                sock = socket.create_server(address, family=family, backlog=backlog, reuse_port=reuse_port)
            except OSError as error:  # noqa: PERF203
                # A name such as "localhost", and None, mean both families, and this machine may have only one.
                if address[0] in hosts or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                missing.append(error)
            else:
                sockets.append(made.enter_context(sock))
                sock.setblocking(False)
        if missing and not sockets:
            raise missing[0]
        made.pop_all()
    return sockets


def _listen_on(sock: socket.socket, backlog: int) -> list[socket.socket]:
    sock.listen(backlog)
    sock.setblocking(False)
    return [sock]


def _listen_at_path(path: str | os.PathLike[str], backlog: int) -> list[socket.socket]:
    # A socket file left behind by an earlier server must be removed first.
    if Path(path).exists() and stat.S_ISSOCK(Path(path).stat().st_mode):
        Path(path).unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(path))
        return _listen_on(sock, backlog)
    except BaseException:
        sock.close()
        raise


def serve(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    ssl: tls.SSLContext | None = None,
    sock: socket.socket | None = None,
    path: str | os.PathLike[str] | None = None,
    reuse_port: bool = False,
    backlog: int = 100,
    max_clients: int = MAX_CLIENTS,
    process_request: ProcessRequest | None = None,
    wrap: Callable[[rfc6455.ServerHandshake], rfc6455.ServerHandshake] | None = None,
    timeouts: rfc6455.Timeouts | None = None,
    **options: Unpack[HandshakeArguments],
) -> Server:
    """Return a server, which is started by ``with`` or `Server.start`.

    :param handler: a function that is called with a `WebSocket` for each connection, in a thread of its own. When it
        returns, the connection is closed with 1000; if it raises an exception, that is logged, and the connection is
        closed with 1011.
    :param host: the name or address to listen on, or a sequence of several; ``None`` for all interfaces.
    :param port: the port; 0 or ``None`` for any free one.
    :param ssl: for ``wss:``, a context with the server's certificate.
    :param sock: a socket to listen on, instead of host and port.
    :param path: the path of a Unix socket to listen on, instead of host and port. A socket that an earlier server has
        left there is replaced; `Server.close` removes the file.
    :param reuse_port: whether several processes may listen on the port (``SO_REUSEPORT``).
    :param backlog: how many clients may wait to be accepted, and how many more than ``max_clients`` may be connected.
    :param max_clients: how many clients may have a thread at the same time; others get 503. The default is 500 because
        a process usually has no more than 1024 file descriptors, and each client needs one.
    :param process_request: a function that is called with each `rfc6455.Request`, including those that do not ask for
        a WebSocket, in the client's thread, so it may block. It returns ``None`` to accept the client, or a
        `rfc6455.Response` to be sent instead; one with status 101 accepts the client and adds its headers to the
        answer. If it raises an exception, that is logged, and the answer is 500.
    :param wrap: as for `rfc6455_io.asyncio.serve`.
    :param timeouts: how long to wait for the peer.
    :param options: ``subprotocols``, ``extensions``, ``origins``, ``hosts``, ``require_subprotocol``, ``limits`` and
        the other options of `rfc6455.ServerHandshake`.
    :raises TypeError: for an argument of the wrong type.
    :raises ValueError: for more than one place to listen at, a context for clients, or no clients at all.
    """
    host, port = check_place(host, port, sock, path)
    check_server_context(ssl)
    check_timeouts(timeouts)
    most_clients = as_int(max_clients, "max_clients is a number")
    if most_clients < 1:
        raise ValueError(f"max_clients is 1 or more, not {most_clients}")
    make_handshake = server_handshakes(process_request, wrap, options)

    def listen() -> list[socket.socket]:
        if path is not None:
            return _listen_at_path(path, backlog)
        if sock is not None:
            return _listen_on(sock, backlog)
        return _listen_at(host, port or 0, backlog, reuse_port)

    return Server(handler, listen, path, make_handshake, ssl, timeouts, process_request, (most_clients, backlog))
