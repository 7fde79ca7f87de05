"""A server on asyncio: it accepts connections, answers their opening handshakes, and runs a handler for each.

Not here: what happens on a connection (`_asyncio_driver.py`, `_asyncio_websocket.py`).

The law: nothing outlives the server. Each connection and each task is in a set from its first moment to its last, and
`Server.close` ends with both sets empty: by the closing handshake, or by force when that takes too long.
"""

from __future__ import annotations

import asyncio
import builtins
import inspect
import logging
import os
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import rfc6455
from rfc6455 import ConnectionClosedError, Request, Response
from rfc6455.connection import close_payload

from ._asyncio_driver import Driver, Listener
from ._asyncio_tls import Securing, is_secured_here
from ._asyncio_websocket import CUT_OFF, Inbox, WebSocket
from ._known import log_failure
from ._messages import QUEUE
from ._openings import (
    SocketFile,
    as_seconds,
    check_callbacks,
    check_place,
    check_server_context,
    check_timeouts,
    log_not_accepted,
    port_of,
    refusal,
    server_handshakes,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._openings import HandshakeArguments

# Python 3.10 has no exception groups.
_ExceptionGroup: Any = getattr(builtins, "BaseExceptionGroup", ())

logger = logging.getLogger("rfc6455_io")

Handler = Callable[[WebSocket], Coroutine[Any, Any, object]]
ProcessRequest = Callable[[Request], "Response | Awaitable[Response | None] | None"]


class Server:
    """A server, as returned by `serve`. It begins to listen when it is awaited or entered by ``async with``.

    :ivar connections: the open connections: `WebSocket` objects, or listeners. If you await anything while iterating
        over it, use a copy.
    """

    def __init__(
        self,
        handler: Handler | Callable[[], Listener],
        listen: Callable[[Callable[[], Any]], Coroutine[Any, Any, asyncio.Server]],
        path: str | os.PathLike[str] | None,
        ssl: tls.SSLContext | None,
        make_handshake: Callable[[], rfc6455.ServerHandshake],
        timeouts: rfc6455.Timeouts | None,
        process_request: ProcessRequest | None,
    ) -> None:
        self.timeouts = timeouts
        self.connections: set[WebSocket | Listener] = set()
        self._make_listener = self._as_listeners(handler)
        self._listen = listen
        self._path = path
        self._file: SocketFile | None = None
        self._ssl = ssl
        self._make_handshake = make_handshake
        self._process_request = process_request
        self._server: asyncio.Server | None = None
        self._drivers: set[Driver] = set()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._securing: set[asyncio.Future[Any]] = set()  # those of them that wait for a TLS handshake
        self._answers: dict[Driver, asyncio.Future[Any]] = {}  # the results of `process_request` that are awaited
        self._stopped = asyncio.Event()
        self._is_closing = False
        self._starting = asyncio.Lock()
        self._closers: set[asyncio.Future[Any] | None] = set()  # the tasks that call close(), which may be handlers
        self._empty: asyncio.Future[None] | None = None

    def _as_listeners(self, handler: Handler | Callable[[], Listener]) -> Callable[[], Listener]:
        factory = handler.func if isinstance(handler, partial) else handler
        if isinstance(factory, type) and issubclass(factory, Listener):
            check_callbacks(factory)
            return handler  # type: ignore[return-value]
        if isinstance(factory, type) or inspect.isasyncgenfunction(factory) or not callable(handler):
            raise TypeError(f"a handler is a coroutine function or a class derived from Listener, not {handler!r}")
        return partial(_Handled, self, handler)  # type: ignore[arg-type]

    # Life cycle.

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The sockets that the server listens on; empty before it has started and after `close`."""
        return () if self._server is None else self._server.sockets

    @property
    def port(self) -> int:
        """The port of the first socket; if port 0 was requested, the one that was chosen.

        :raises RuntimeError: when the server has no port: before it has started, after `close`, and with ``path``.
        """
        return port_of(self.sockets)

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        return await self._start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _start(self) -> Server:
        async with self._starting:
            if self._server is None and not self._is_closing:
                self._server = await self._listen(self._protocols())
                self._file = None if self._path is None else SocketFile(self._path)
        if self._is_closing:
            self._stop_listening()  # `close` was called in the meantime
            raise RuntimeError("the server is closed; to listen again, call serve() for another")
        return self

    def _protocols(self) -> Callable[[], Driver | Securing]:
        """Return the function that makes the protocol of each new connection."""
        loop = asyncio.get_running_loop()
        make_driver = partial(Driver, loop, self)
        if self._ssl is None or not is_secured_here(loop):
            return make_driver
        seconds = (self.timeouts or rfc6455.Timeouts()).open
        return partial(Securing, self._ssl, seconds, self._start_securing, make_driver)

    async def serve_forever(self) -> None:
        """Begin to listen, unless the server is listening already; wait until `stop` is called or this call is
        cancelled; and then close."""
        if not self._is_closing:
            await self._start()
        try:
            await self._stopped.wait()
        finally:
            await self.close()

    def stop(self) -> None:
        """Make `serve_forever` return, as in ``loop.add_signal_handler(signal.SIGTERM, server.stop)``."""
        self._stopped.set()

    async def close(self, code: int = 1012, reason: str = "", *, timeout: float | None = 10.0) -> None:
        """Stop listening, close all connections, and wait until they have ended and their handlers have returned.

        :param code: the close code. 1012 (Service Restart) asks clients to come back; 1001 (Going Away) does not.
        :param reason: for people and logs.
        :param timeout: the number of seconds after which connections are cut and running handlers are cancelled;
            ``None`` to wait for ever. This waits even for a handler that ignores its cancellation.
        :raises rfc6455.LocalProtocolError: for a code that must not be sent (7.4). In that case, nothing is changed.
        :raises ValueError: for a timeout that is no number of seconds. Nothing is changed then.
        """
        close_payload(code, reason)
        seconds = as_seconds(timeout)
        self.stop()
        self._is_closing = True
        self._closers.add(asyncio.current_task())
        self._stop_listening()
        for task in self._securing:
            task.cancel()
        for driver in list(self._drivers):
            driver.close(code, reason)
        await self._emptied(seconds)
        while not self._is_empty:
            for driver in list(self._drivers):
                driver.abort()
            for task in self._tasks - self._closers:
                task.cancel()
            await self._emptied(1.0)

    def _stop_listening(self) -> None:
        if self._file is not None:
            self._file.remove()
        if self._server is not None:
            self._server.close()

    async def _emptied(self, timeout: float | None) -> None:
        """Wait until there are no connections and no tasks, or until the timeout."""
        if self._is_empty:
            return
        if self._empty is None or self._empty.done():
            self._empty = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._empty], timeout=timeout)

    @property
    def _is_empty(self) -> bool:
        return not self._drivers and not self._tasks - self._closers

    def _look_whether_empty(self) -> None:
        if self._empty is not None and not self._empty.done() and self._is_empty:
            self._empty.set_result(None)

    # Called by drivers.

    def begin(self, driver: Driver) -> rfc6455.ServerHandshake:
        self._drivers.add(driver)
        return self._make_handshake()

    def requested(self, driver: Driver, request: Request) -> None:
        if self._is_closing:
            driver.endpoint.reject(503)
            return
        try:
            answer = None if self._process_request is None else self._process_request(request)
            if inspect.isawaitable(answer):
                self._await(driver, request, answer)
            else:
                self._answer(driver, request, answer)
        except Exception:
            self._refuse(driver)

    def _await(self, driver: Driver, request: Request, answer: Awaitable[Response | None]) -> None:
        future = asyncio.ensure_future(answer)
        if future is not answer:  # others may be waiting for a future that was not made here
            self._answers[driver] = future
        self._tasks.add(future)
        future.add_done_callback(partial(self._answer_later, driver, request))

    def _answer_later(self, driver: Driver, request: Request, future: asyncio.Future[Response | None]) -> None:
        self._answers.pop(driver, None)
        self._task_done(future)
        try:
            self._answer(driver, request, future.result())
        except BaseException as error:
            # The result of a cancelled task raises CancelledError; `close` and `closed` cancel this one.
            if isinstance(error, Exception) or not (self._is_closing or driver.endpoint.closed):
                self._refuse(driver)
        driver.answered()

    def _answer(self, driver: Driver, request: Request, answer: Response | None) -> None:
        endpoint = driver.endpoint
        if endpoint.closed:
            return  # the client did not wait for the answer, or the server is closing
        refused = refusal(request, answer)
        if refused is not None:
            endpoint.reject(refused.status, refused.headers, refused.body)
        else:
            listener = self._make_listener()
            endpoint.accept(headers=() if answer is None else answer.headers, now=driver.loop.time())
            self.connections.add(listener.websocket if isinstance(listener, _Handled) else listener)
            driver.opened(listener, request)

    def _refuse(self, driver: Driver) -> None:
        """Answer with 500, which tells the client only that something went wrong."""
        log_failure(driver.endpoint, "opening")
        if not driver.endpoint.closed:
            driver.endpoint.reject(500)

    def opened(self, driver: Driver, response: Response) -> None:
        """Do nothing: a server gets no responses, so this is never called."""

    def closed(self, driver: Driver, closed: rfc6455.Closed) -> None:
        listener = driver.listener
        if listener is None:
            log_not_accepted(closed, closed.error)
            if driver in self._answers and not self._is_closing:
                self._answers[driver].cancel()
        else:
            self.connections.discard(listener.websocket if isinstance(listener, _Handled) else listener)

    def gone(self, driver: Driver) -> None:
        self._drivers.discard(driver)
        self._look_whether_empty()

    def start_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _start_securing(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.start_task(coroutine)
        self._securing.add(task)
        task.add_done_callback(self._securing.discard)

    def _task_done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        self._look_whether_empty()


class _Handled(Inbox):
    """A connection with a coroutine that handles it."""

    __slots__ = ("handler", "server", "websocket")

    def __init__(self, server: Server, handler: Handler) -> None:
        super().__init__()
        self.server = server
        self.handler = handler
        self.websocket = WebSocket(self)

    def opened(self, head: Request | Response) -> None:
        self.server.start_task(self._run())

    async def _run(self) -> None:
        code = 1011  # 7.4.1: also if the handler was cancelled
        try:
            handled = self.handler(self.websocket)
            if not inspect.isawaitable(handled):
                raise TypeError(f"the handler returned {handled!r}, not a coroutine: define it with 'async def'")
            await handled
            code = 1000
        except asyncio.CancelledError:
            code = 1001
            raise
        except Exception as error:
            if not self._is_own_end(error):
                log_failure(self._driver.endpoint, "handler")
        finally:
            self.queue.clear()
            self.size = QUEUE  # nobody will receive messages from now on
            self.close(code)

    def _is_own_end(self, error: BaseException) -> bool:
        """Return whether an exception only says that this connection has ended. For another connection, the handler is
        responsible."""
        if isinstance(error, _ExceptionGroup):  # raised by a task group
            return all(map(self._is_own_end, error.exceptions))
        if not isinstance(error, ConnectionClosedError):
            return False
        return error.closed is self.end or (self._driver.is_cut_off and error.closed is CUT_OFF)


def serve(
    handler: Handler | Callable[[], Listener],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    ssl: tls.SSLContext | None = None,
    sock: socket.socket | None = None,
    path: str | os.PathLike[str] | None = None,
    reuse_port: bool | None = None,
    backlog: int = 100,
    process_request: ProcessRequest | None = None,
    wrap: Callable[[rfc6455.ServerHandshake], rfc6455.ServerHandshake] | None = None,
    timeouts: rfc6455.Timeouts | None = None,
    **options: Unpack[HandshakeArguments],
) -> Server:
    """Return a server, which is started by ``async with`` or ``await``.

    :param handler: a coroutine function, which is called with a `WebSocket` for each connection. When it returns, the
        connection is closed with 1000; if it raises an exception, that is logged, and the connection is closed with
        1011. Alternatively, a class derived from `Listener` (or a ``functools.partial`` of one), which is called
        without arguments.
    :param host: the name or address to listen on, or a sequence of several; ``None`` for all interfaces.
    :param port: the port; 0 or ``None`` for any free one.
    :param ssl: for ``wss:``, a context with the server's certificate.
    :param sock: a socket to listen on, instead of host and port.
    :param path: the path of a Unix socket to listen on, instead of host and port. A socket that an earlier server has
        left there is replaced; `Server.close` removes the file.
    :param reuse_port: whether several processes may listen on the port, as for ``loop.create_server``.
    :param backlog: how many clients may wait to be accepted.
    :param process_request: a function that is called with each `rfc6455.Request`, including those that do not ask for
        a WebSocket. It returns ``None`` to accept the client, or a `rfc6455.Response` to be sent instead; one with
        status 101 accepts the client and adds its headers to the answer. It may be a coroutine function, which is
        cancelled when the client no longer waits for the answer, or ``Timeouts.open`` is over. If it raises an
        exception, that is logged, and the answer is 500.
    :param wrap: a function that takes each new `rfc6455.ServerHandshake` and returns the one to use, such as one that
        is recorded by an `rfc6455.trace.Recorder`. If it raises an exception, that is logged, and the answer is 500.
    :param timeouts: how long to wait for the peer.
    :param options: ``subprotocols``, ``extensions``, ``origins``, ``hosts``, ``require_subprotocol``, ``limits`` and
        the other options of `rfc6455.ServerHandshake`.
    :raises TypeError: for an argument of the wrong type.
    :raises ValueError: for more than one place to listen at, or a context for clients.
    """
    host, port = check_place(host, port, sock, path)
    check_server_context(ssl)
    check_timeouts(timeouts)
    make_handshake = server_handshakes(process_request, wrap, options)

    async def listen(factory: Callable[[], Any]) -> asyncio.Server:
        server = await create(factory)
        try:
            await server.start_serving()
        except BaseException:
            server.close()  # asyncio does not do this if the task is cancelled
            raise
        return server

    async def create(factory: Callable[[], Any]) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        how: dict[str, Any] = {"backlog": backlog, "start_serving": False}
        if ssl is not None and not is_secured_here(loop):
            how.update(ssl=ssl, ssl_handshake_timeout=(timeouts or rfc6455.Timeouts()).open)
        if path is not None:
            return await loop.create_unix_server(factory, path, **how, **_keeping_files(loop))
        bound = _bound_to_address(host, port, reuse_port, backlog) if sock is None else sock
        if bound is None:
            return await loop.create_server(factory, host, port, reuse_port=reuse_port, **how)
        if bound.family == getattr(socket, "AF_UNIX", None):
            return await loop.create_unix_server(factory, sock=bound, **how, **_keeping_files(loop))
        if bound.family in (socket.AF_INET, socket.AF_INET6):
            # Accepted sockets inherit it. asyncio itself sets it only if the socket names its protocol.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        try:
            return await loop.create_server(factory, sock=bound, **how)
        except BaseException:
            if bound is not sock:
                bound.close()
            raise

    return Server(handler, listen, path, ssl, make_handshake, timeouts, process_request)


def _keeping_files(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """Return the argument that makes a loop keep the file of a Unix socket when its server is closed. From Python 3.13
    on, it would even remove the file of a socket that was passed to it. We remove the files that are ours on every
    loop."""
    is_known = "cleanup_socket" in inspect.signature(loop.create_unix_server).parameters
    return {"cleanup_socket": False} if is_known else {}


def _bound_to_address(
    host: str | Sequence[str] | None, port: int | None, reuse_port: bool | None, backlog: int
) -> socket.socket | None:
    """Return a socket for a host that is an address; ``None`` for all others, which must be resolved. This includes an
    address with a zone, such as ``fe80::1%eth0``, whose number has to be found, and a port that is a name.

    uvloop would resolve addresses as well, in threads that are kept, and in a process with several threads, system
    calls take longer.
    """
    if not isinstance(host, str) or "%" in host or isinstance(port, str):
        return None
    try:
        version = ip_address(host).version
    except ValueError:
        return None
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return socket.create_server((host, port or 0), family=family, backlog=backlog, reuse_port=bool(reuse_port))
