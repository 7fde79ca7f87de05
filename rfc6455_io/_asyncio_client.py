"""A client on asyncio: TCP, proxies, TLS and redirections, up to an open connection.

Not here: the choice of the proxy (`_proxies.py`), the target of a redirection (`_openings.py`), retries
(`_retries.py`), or anything that happens on an open connection.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

import rfc6455
from rfc6455 import URI, CloseCause, Closed, HandshakeError, Request, Response

from ._asyncio_driver import Driver, Listener
from ._asyncio_websocket import Inbox, WebSocket
from ._openings import ConnectArguments, Route, Way, check_callbacks, no_such_name, planned
from ._proxies import Proxy, ProxyError, Tunnel, host_for_others, proxy_for, reaching, socks_connection

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T", bound="WebSocket | Listener")
L = TypeVar("L", bound=Listener)

# RFC 8305, 5: the time in seconds after which the next address is tried in parallel.
HAPPY_EYEBALLS = 0.25

# gh-124309: asyncio then raised AssertionError if the loop's tasks were eager.
NEEDS_LAZY_TASKS = (3, 12) <= sys.version_info < (3, 12, 8) or (3, 13) <= sys.version_info < (3, 13, 1)


class _Attempt:
    """The owner of one connection of a client."""

    def __init__(
        self, handshake: rfc6455.ClientHandshake, make_listener: Callable[[], Listener], timeouts: rfc6455.Timeouts
    ) -> None:
        self.timeouts: rfc6455.Timeouts | None = timeouts
        self.driver: Driver | None = None
        self.result: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()
        self._handshake = handshake
        self._make_listener = make_listener

    def make_driver(self) -> Driver:
        return Driver(asyncio.get_running_loop(), self)

    def begin(self, driver: Driver) -> rfc6455.ClientHandshake:
        self.driver = driver
        return self._handshake

    def requested(self, driver: Driver, request: Request) -> None:
        """Do nothing: a client gets no requests, so this is never called."""

    def opened(self, driver: Driver, response: Response) -> None:
        try:
            listener = self._make_listener()
            if not isinstance(listener, Listener):
                raise TypeError(f"listener() returned {listener!r}, not an object of a class derived from Listener")
        except Exception as error:
            if not self.result.done():
                self.result.set_exception(error)
            driver.close(1011)
            return
        driver.opened(listener, response)
        if not self.result.done():
            self.result.set_result(listener)

    def closed(self, driver: Driver, closed: Closed) -> None:
        if not self.result.done():
            assert closed.error is not None
            self.result.set_exception(closed.error)

    def gone(self, driver: Driver) -> None:
        pass

    def give_up(self) -> None:
        """Clean up after a refusal, or when the caller has stopped waiting."""
        self.result.cancel()
        if self.driver is not None:
            self.driver.transport.abort()


class Connect(Generic[T]):
    """The result of `connect`. Await it, or use it with ``async with``, which closes the connection at the end."""

    def __init__(
        self,
        route: Route,
        make_listener: Callable[[], Listener],
        dial: Callable[[URI, Callable[[], Any]], Any],
        timeouts: rfc6455.Timeouts,
    ) -> None:
        self._route = route
        self._make_listener = make_listener
        self._dial = dial
        self._timeouts = timeouts
        self._is_used = False
        self._opened: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._open_in_time().__await__()

    if not TYPE_CHECKING:  # a type checker reports the mistake itself

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"'Connect' object has no attribute {name!r}; for the connection, write 'await connect(...)' or "
                "'async with connect(...) as ws'"
            )

    async def __aenter__(self) -> T:
        self._opened = await self._open_in_time()
        return self._opened

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(self._opened, WebSocket):
            await self._opened.__aexit__(kind, error, trace)
        elif self._opened is not None:
            self._opened.close(1000 if kind is None else 1011)

    async def _open_in_time(self) -> T:
        if self._is_used:
            raise RuntimeError("what connect() returns opens one connection; call connect() again for another")
        self._is_used = True
        try:
            # TCP, a proxy and TLS count towards the time for the opening handshake.
            opened: Any = await asyncio.wait_for(self._open(), self._timeouts.open)
        except asyncio.TimeoutError as error:
            if getattr(error, "errno", None) is not None:
                raise  # the system's ETIMEDOUT
            raise self._late() from None
        except HandshakeError as error:
            if error.cause is not CloseCause.OPEN_TIMEOUT:
                raise
            raise self._late() from None
        return WebSocket(opened) if isinstance(opened, Inbox) else opened  # type: ignore[return-value]

    def _late(self) -> Exception:
        """Return the error after `Timeouts.open`: the server's refusal if there is one, although its body has not
        ended."""
        response = self._route.handshake.response
        if response is not None:
            words = f"the server answered {response.status}, not 101, and its body has not ended"
            return HandshakeError(response.status, words, "4.1", response, CloseCause.OPENING_REFUSED)
        host, seconds = self._route.uri.host_header, self._timeouts.open
        return TimeoutError(f"the connection to {host} was not open within {seconds} s")

    async def _open(self) -> Listener:
        route = self._route
        while True:
            attempt = _Attempt(route.handshake, self._make_listener, self._timeouts)
            try:
                with no_such_name(), _saying_something():
                    await self._dial(route.uri, attempt.make_driver)
                return await attempt.result
            except HandshakeError as error:
                attempt.give_up()
                route.follow(error)
            except BaseException:
                attempt.give_up()
                raise


# ---- TCP, proxies and TLS ----


@contextmanager
def _saying_something() -> Iterator[None]:
    """Add a message to the error that asyncio raises without one when the peer ends its stream instead of TLS."""
    try:
        yield
    except ConnectionResetError as error:
        if error.args:
            raise
        raise ConnectionResetError("the peer ended the stream before TLS was open") from None


class _Way(Way):
    async def dial(self, uri: URI, make_driver: Callable[[], Any]) -> None:
        """Connect, and make a driver that takes over from there."""
        loop = asyncio.get_running_loop()
        how: dict[str, Any] = {}
        if uri.secure:
            how["ssl"], how["server_hostname"] = self.tls_to(uri)
        if self.path is not None:
            await loop.create_unix_connection(make_driver, self.path, **how)
            return
        if self.sock is not None:
            await loop.create_connection(make_driver, sock=self.sock, **how)
            return
        proxy = proxy_for(uri, self.proxy)
        if proxy is None:
            how.update(_eyeballs(loop, uri.host))
            await loop.create_connection(make_driver, uri.host, uri.port, **how)
        elif proxy.is_socks:
            await loop.create_connection(make_driver, sock=await _through_socks(proxy, uri), **how)
        else:
            await self._through_http(loop, proxy, uri, make_driver, how)

    async def _through_http(
        self,
        loop: asyncio.AbstractEventLoop,
        proxy: Proxy,
        uri: URI,
        make_driver: Callable[[], Any],
        how: dict[str, Any],
    ) -> None:
        tunnel = _TunnelProtocol(Tunnel(uri, proxy))
        to_proxy = _eyeballs(loop, proxy.host)
        if proxy.scheme == "https":
            to_proxy["ssl"] = self.tls_to_proxy()
        try:
            with reaching(proxy), no_such_name():
                await loop.create_connection(lambda: tunnel, proxy.host, proxy.port, **to_proxy)
            await tunnel.opened
            if how:
                transport = await loop.start_tls(
                    tunnel.transport, tunnel, how["ssl"], server_hostname=how["server_hostname"]
                )
                if transport is None:
                    raise ProxyError(f"the proxy {proxy!r} ended the connection")
                tunnel.transport = transport
        except BaseException:
            tunnel.give_up()
            raise
        tunnel.hand_over(make_driver())


def _eyeballs(loop: asyncio.AbstractEventLoop, host: str) -> dict[str, Any]:
    # uvloop does not have this argument, and tries one address after the other. For a literal address, there is no
    # need.
    has_one = ":" in host or host.replace(".", "").isdecimal()
    if has_one or not isinstance(loop, asyncio.BaseEventLoop) or (NEEDS_LAZY_TASKS and loop.get_task_factory()):
        return {}
    return {"happy_eyeballs_delay": HAPPY_EYEBALLS}


class _TunnelProtocol(asyncio.Protocol):
    """The connection to a proxy, until the driver takes over."""

    transport: Any = None

    def __init__(self, tunnel: Tunnel) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tunnel = tunnel
        self._early = b""  # input between the opening of the tunnel and the moment when the driver takes over
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self._tunnel.request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self._early += data
            self.transport.pause_reading()
            return
        try:
            if self._tunnel.receive_data(data):
                self._early = self._tunnel.unread
                self.opened.set_result(None)
        except ProxyError as error:
            self.opened.set_exception(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        if not self.opened.done():
            self.data_received(b"")

    def give_up(self) -> None:
        self.opened.cancel()  # as asyncio would log its exception, for which nobody waits any more
        if self.transport is not None:
            self.transport.abort()

    def hand_over(self, driver: Any) -> None:
        self.transport.set_protocol(driver)
        driver.connection_made(self.transport)
        if self._early:
            driver.data_received(self._early)
        if self._is_lost:
            driver.connection_lost(None)


async def _through_socks(proxy: Proxy, uri: URI) -> socket.socket:
    with socks_connection(proxy, "async_.asyncio") as socks:
        # The caller decides how long it may take, and cancels this.
        sock: socket.socket = await socks.connect(host_for_others(uri), uri.port, timeout=3600)
        return sock


# ---- What users call ----


@overload
def connect(uri: str | URI, listener: None = None, **options: Unpack[ConnectArguments]) -> Connect[WebSocket]: ...


@overload
def connect(uri: str | URI, listener: Callable[[], L], **options: Unpack[ConnectArguments]) -> Connect[L]: ...


def connect(
    uri: str | URI, listener: Callable[[], Listener] | None = None, **options: Unpack[ConnectArguments]
) -> Any:
    """Return a connection to a server, which is opened by ``async with`` or ``await``.

    The result is a `WebSocket`; if you pass a class derived from `Listener` as ``listener``, it is an instance of that
    class.

    :param uri: where to connect, a ``ws:`` or ``wss:`` URI or an `rfc6455.URI`.
    :param ssl: for ``wss:``, the context to use instead of ``ssl.create_default_context()``.
    :param server_hostname: the name in the server's certificate, if it differs from the one in the URI.
    :param headers: header fields to add to the request, such as ``Authorization``. If the server redirects to an
        origin other than that of ``uri``, they are not sent there.
    :param proxy: the URL of a proxy: ``http:``, ``https:`` (Python 3.11 or newer), or ``socks5:``, ``socks5h:``,
        ``socks4:`` and ``socks4a:``, which require ``rfc6455[socks]``; with ``h`` and ``a``, the proxy looks up the
        server's address. ``True``, the default, means the proxy given by the environment, as in
        ``urllib.request.getproxies()``; ``None`` means no proxy.
    :param proxy_ssl: for an ``https:`` proxy, the context to use with it.
    :param redirects: the maximum number of redirections to follow, 10 by default. Redirections from ``wss:`` to
        ``ws:`` are never followed. ``subprotocols`` and ``origin`` are sent to each server; if a subprotocol holds a
        token, pass 0.
    :param sock: a connected socket to use.
    :param path: the path of a Unix socket to connect to.
    :param wrap: a function that takes each new `rfc6455.ClientHandshake` and returns the one to use, such as
        ``rfc6455.trace.Recorder.wrap``. Each redirection leads to another handshake.
    :param timeouts: how long to wait for the peer. ``open`` covers everything until the connection is open.
    :param options: ``subprotocols``, ``extensions``, ``origin``, ``limits`` and the other options of
        `rfc6455.ClientHandshake`.
    :raises rfc6455.LocalProtocolError: when an argument can never work, or the server sends a redirection that must
        not be followed.
    :raises TypeError: for an argument of the wrong type.
    :raises ValueError: when ``ssl`` is passed for ``ws:``, when both ``sock`` and ``path`` are passed, or when the URL
        of the proxy is wrong.

    Opening the connection raises `rfc6455.HandshakeError` when the server refuses it, `ProxyError` when the proxy
    does, `TimeoutError` after ``Timeouts.open``, and other kinds of `OSError`.
    """
    if listener is not None and (isinstance(listener, Listener) or not callable(listener)):
        raise TypeError(f"listener is a class derived from Listener, not {listener!r}")
    if listener is not None:
        check_callbacks(listener)
    route, way, timeouts = planned(_Way, uri, **options)
    return Connect(route, listener or Inbox, way.dial, timeouts)
