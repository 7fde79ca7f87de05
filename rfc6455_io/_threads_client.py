"""A client for threads: TCP, proxies, TLS and redirections, up to an open connection.

Not here: the choice of the proxy (`_proxies.py`), the target of a redirection (`_openings.py`), retries
(`_retries.py`), or anything that happens on an open connection.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import rfc6455
from rfc6455 import URI, CloseCause, Closed, HandshakeError, Request

from ._openings import ConnectArguments, Route, Way, no_such_name, planned
from ._proxies import Proxy, Tunnel, host_for_others, proxy_for, reaching, socks_connection
from ._threads_driver import Driver
from ._threads_loop import Loop, clock, within
from ._threads_websocket import WebSocket
from ._threads_wire import READ_SIZE, Wire

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Deadline:
    """The time limit for the opening handshake, including TCP, a proxy and TLS."""

    def __init__(self, timeouts: rfc6455.Timeouts, route: Route) -> None:
        self.began = clock()
        self.route = route
        self.seconds = within(timeouts.open)

    def left(self) -> float | None:
        """Return the number of seconds that are left, or ``None`` if there is no limit.

        :raises TimeoutError: when no time is left.
        """
        if self.seconds is None:
            return None
        left = self.began + self.seconds - clock()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> TimeoutError:
        return TimeoutError(f"the connection to {self.route.uri.host_header} was not open within {self.seconds} s")


class _Alone:
    """The owner of a client's connection, which has a loop of its own."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def requested(self, driver: Driver, request: Request) -> None:
        """Do nothing: a client gets no requests, so this is never called."""

    def ended(self, driver: Driver, closed: Closed) -> None:
        pass

    def gone(self, driver: Driver) -> None:
        self._loop.stop()


def _open(wire: Wire, early: bytes, route: Route, timeouts: rfc6455.Timeouts, deadline: _Deadline) -> WebSocket:
    try:
        loop = Loop("rfc6455 client")
        driver = Driver(wire, route.handshake, timeouts, _Alone(loop), loop, deadline.began)
        loop.start()
    except BaseException:  # the system has no descriptor left, or no thread
        wire.close(cut=True)
        raise
    try:
        driver.start(early)
        closed = driver.wait_open()
        if closed is None:
            return WebSocket(driver, loop.join)
        raise _failure(wire, closed, deadline)
    except BaseException:
        driver.abort()
        loop.join()
        raise


def _failure(wire: Wire, closed: Closed, deadline: _Deadline) -> Exception:
    if wire.error is not None:
        return wire.error
    assert closed.error is not None
    is_late = isinstance(closed.error, HandshakeError) and closed.error.cause is CloseCause.OPEN_TIMEOUT
    return deadline.error() if is_late else closed.error


# ---- TCP, proxies and TLS ----


class _Way(Way):
    def dial_in_time(self, uri: URI, deadline: _Deadline) -> tuple[Wire, bytes]:
        """Connect. Return the wire to the server, and the bytes that have already arrived."""
        try:
            with no_such_name():
                return self._dial(uri, deadline)
        except TimeoutError as error:
            if deadline.seconds is None or error.errno is not None:
                raise  # the system's ETIMEDOUT
            raise deadline.error() from None

    def _dial(self, uri: URI, deadline: _Deadline) -> tuple[Wire, bytes]:
        proxy = None if self.sock is not None or self.path is not None else proxy_for(uri, self.proxy)
        wire = Wire(self._socket(uri, proxy, deadline))
        try:
            early = b"" if proxy is None or proxy.is_socks else self._through_http(wire, proxy, uri, deadline)
            wire.sock.setblocking(False)
            if uri.secure:
                wire.add_tls(*self.tls_to(uri))
        except BaseException:
            wire.close(cut=False)
            raise
        return wire, early

    def _socket(self, uri: URI, proxy: Proxy | None, deadline: _Deadline) -> socket.socket:
        if self.sock is not None:
            return self.sock
        if self.path is not None:
            return _connected(socket.AF_UNIX, socket.SOCK_STREAM, 0, self.path, deadline.left())
        if proxy is None:
            return _tcp_socket(uri.host, uri.port, deadline)
        if not proxy.is_socks:
            with reaching(proxy), no_such_name():
                return _tcp_socket(proxy.host, proxy.port, deadline)
        with socks_connection(proxy, "sync") as socks:
            left = deadline.left()
            sock: socket.socket = socks.connect(host_for_others(uri), uri.port, timeout=3600 if left is None else left)
            return sock

    def _through_http(self, wire: Wire, proxy: Proxy, uri: URI, deadline: _Deadline) -> bytes:
        """Open a tunnel through an HTTP proxy, and return the bytes after the proxy's answer."""
        tunnel = Tunnel(uri, proxy)
        if proxy.scheme == "https":
            wire.add_tls(self.tls_to_proxy(), proxy.host)
        wire.send([tunnel.request])
        is_open = False
        while not is_open:
            wire.sock.settimeout(deadline.left())
            data = wire.decode(wire.sock.recv(READ_SIZE))
            wire.flush()
            if wire.error is not None:
                raise wire.error
            is_open = data is not None and tunnel.receive_data(data)
        return tunnel.unread


def _tcp_socket(host: str, port: int, deadline: _Deadline) -> socket.socket:
    """Try the addresses one after the other. Each gets its share of the time, so that one that does not answer leaves
    some for the next."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(found, 1):
        left = deadline.left()
        try:
            return _connected(family, kind, protocol, address, left and left / (len(found) + 1 - number))
        except OSError:
            if number == len(found):
                raise
    raise OSError(f"{host} has no address")


def _connected(family: int, kind: int, protocol: int, address: Any, timeout: float | None) -> socket.socket:
    sock = socket.socket(family, kind, protocol)  # an error if this machine does not have the family
    try:
        sock.settimeout(timeout)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


# ---- What users call ----


def connect(uri: str | URI, **options: Unpack[ConnectArguments]) -> WebSocket:
    """Connect to a server, and return the open connection. Use it in a ``with`` statement, which closes it at the end.

    As long as the connection is open, a thread reads from it.

    :param uri: where to connect, a ``ws:`` or ``wss:`` URI or an `rfc6455.URI`.
    :param ssl: for ``wss:``, the context to use instead of ``ssl.create_default_context()``.
    :param server_hostname: the name in the server's certificate, if it differs from the one in the URI.
    :param headers: header fields to add to the request, such as ``Authorization``. If the server redirects to an
        origin other than that of ``uri``, they are not sent there.
    :param proxy: the URL of a proxy: ``http:``, ``https:``, or ``socks5:``, ``socks5h:``, ``socks4:`` and
        ``socks4a:``, which require ``rfc6455[socks]``; with ``h`` and ``a``, the proxy looks up the server's address.
        ``True``, the default, means the proxy given by the environment, as in ``urllib.request.getproxies()``;
        ``None`` means no proxy.
    :param proxy_ssl: for an ``https:`` proxy, the context to use with it.
    :param redirects: the maximum number of redirections to follow, 10 by default. Redirections from ``wss:`` to
        ``ws:`` are never followed. ``subprotocols`` and ``origin`` are sent to each server; if a subprotocol holds a
        token, pass 0.
    :param sock: a connected socket to use.
    :param path: the path of a Unix socket to connect to.
    :param wrap: as for `rfc6455_io.asyncio.connect`.
    :param timeouts: how long to wait for the peer. ``open`` covers everything until the connection is open, except
        for the look-up of a host name.
    :param options: ``subprotocols``, ``extensions``, ``origin``, ``limits`` and the other options of
        `rfc6455.ClientHandshake`.
    :raises rfc6455.HandshakeError: when the server refuses the connection.
    :raises ProxyError: when the proxy refuses it.
    :raises TimeoutError: after ``Timeouts.open``.
    :raises OSError: when the server cannot be reached, or TLS fails.
    :raises rfc6455.LocalProtocolError: when an argument can never work, or the server sends a redirection that must
        not be followed.
    :raises TypeError: for an argument of the wrong type.
    :raises ValueError: when ``ssl`` is passed for ``ws:``, when both ``sock`` and ``path`` are passed, or when the URL
        of the proxy is wrong.
    """
    route, way, timeouts = planned(_Way, uri, **options)
    deadline = _Deadline(timeouts, route)
    while True:
        wire, early = way.dial_in_time(route.uri, deadline)
        try:
            return _open(wire, early, route, timeouts, deadline)
        except HandshakeError as error:
            route.follow(error)
