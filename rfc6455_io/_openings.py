"""Opening handshakes, as servers and clients with any loop make them: the answer, and where a redirection leads.

Not here: connections, and anything that waits.

The law: what is meant for one server goes to no other. After a redirection to another origin, none of the caller's
headers are sent, and TLS is never given up on the way.
"""

from __future__ import annotations

import logging
import socket
import ssl as tls
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from rfc6455 import (
    URI,
    ClientHandshake,
    Extension,
    HandshakeError,
    HeaderSource,
    Origins,
    Request,
    Response,
    ServerHandshake,
    Timeouts,
)
from rfc6455.options import OptionArguments

logger = logging.getLogger("rfc6455_io")

# RFC 9110, 15.4: their rules about methods do not matter, as ours is GET.
REDIRECTIONS = (301, 302, 303, 307, 308)

# ---- Servers ----


def port_of(sockets: Sequence[socket.socket]) -> int:
    """Return the port of a server's first socket, or raise ``RuntimeError`` when the server has no port."""
    if not sockets:
        raise RuntimeError("the server does not listen: it has not started, or is closed")
    if sockets[0].family not in (socket.AF_INET, socket.AF_INET6):
        raise RuntimeError("the server listens on a Unix socket, which has no port")
    port: int = sockets[0].getsockname()[1]
    return port


class HandshakeArguments(OptionArguments, total=False):
    """The keywords of `serve` that are for the handshakes: see `rfc6455.ServerHandshake`."""

    subprotocols: Sequence[str]
    extensions: Sequence[Extension]
    origins: Origins
    hosts: Collection[str] | None
    require_subprotocol: bool


def server_handshakes(
    process_request: object,
    wrap: Callable[[ServerHandshake], ServerHandshake] | None,
    arguments: HandshakeArguments,
) -> Callable[[], ServerHandshake]:
    """Return a function that makes the handshakes of a server. Wrong arguments are reported now, and not at the first
    client."""
    make_handshake = partial(ServerHandshake, plain_http=process_request is not None, **arguments)
    make_handshake()
    if wrap is None:
        return make_handshake
    if not callable(wrap):
        raise TypeError(f"wrap is a function that takes a handshake, not {wrap!r}")
    return lambda: _wrapped_or_refusing(make_handshake(), wrap)


def _wrapped_or_refusing(
    handshake: ServerHandshake, wrap: Callable[[ServerHandshake], ServerHandshake]
) -> ServerHandshake:
    try:
        wrapped = wrap(handshake)
        if not isinstance(wrapped, ServerHandshake):
            raise TypeError(f"wrap returned {wrapped!r}, not a ServerHandshake")
        return wrapped
    except Exception:
        logger.exception("a client is answered with 500: its handshake could not be wrapped")
        return _Refusing()


class _Refusing(ServerHandshake):
    """A handshake for a connection whose own cannot be used."""

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Refuse whatever comes."""
        self.reject(500)
        raise HandshakeError(500, "the handshake could not be wrapped", "RFC 9110 15.6.1", self.response)


def refusal(request: Request, answer: Response | None) -> Response | None:
    """Return the answer that refuses a client, or ``None`` to accept it.

    :param answer: what ``process_request`` returned for the request.
    """
    if answer is not None and answer.status != 101:
        return answer
    return None if request.is_upgrade else Response(426, body=b"Connect with a WebSocket client: this is no page.\n")


# ---- Clients ----


class ConnectArguments(OptionArguments, total=False):
    """The keywords of `connect`, for code that passes them on."""

    ssl: tls.SSLContext | None
    server_hostname: str | None
    subprotocols: Sequence[str]
    extensions: Sequence[Extension]
    origin: str | None
    headers: HeaderSource
    proxy: bool | str | None
    proxy_ssl: tls.SSLContext | None
    redirects: int
    sock: socket.socket | None
    path: str | None
    wrap: Callable[[ClientHandshake], ClientHandshake] | None
    timeouts: Timeouts | None


@dataclass(frozen=True)
class Way:
    """How to reach a server: the arguments of `connect` about that."""

    ssl: tls.SSLContext | None
    server_hostname: str | None
    proxy: bool | str | None
    proxy_ssl: tls.SSLContext | None
    sock: socket.socket | None
    path: str | None

    def tls_to(self, uri: URI) -> tuple[tls.SSLContext, str]:
        """Return the context for a server, and the name that its certificate must have."""
        return self.ssl or tls.create_default_context(), self.server_hostname or uri.host.partition("%")[0]

    def tls_to_proxy(self) -> tls.SSLContext:
        return self.proxy_ssl or tls.create_default_context()


_Way = TypeVar("_Way", bound=Way)


class Route:
    """Where a client connects, and its handshake: first the URI that it was given, then those that servers redirect it
    to.

    :ivar uri: the current URI.
    :ivar handshake: the handshake for it, which is good for one connection.
    """

    def __init__(
        self,
        uri: str | URI,
        headers: HeaderSource,
        make_handshake: Callable[..., ClientHandshake],
        redirects: int,
    ) -> None:
        # Made here, so that wrong arguments are reported now.
        self.handshake: ClientHandshake = make_handshake(uri, headers=headers)
        self.uri: URI = self.handshake.uri
        self._headers = headers
        self._make_handshake = make_handshake
        self._left = redirects

    def follow(self, error: HandshakeError) -> None:
        """Follow the server's redirection. Raise the error if it is not one, or one too many.

        :raises rfc6455.LocalProtocolError: when a client must not follow the redirection.
        """
        if error.status not in REDIRECTIONS or error.response is None or "Location" not in error.response.headers:
            raise error
        target = self.uri.redirected(error.response.headers["Location"])
        if not self._left:
            raise error
        self._left -= 1
        # The headers may hold secrets that are meant for the first server only.
        if _origin(target) != _origin(self.uri):
            self._headers = ()
        self.uri, self.handshake = target, self._make_handshake(target, headers=self._headers)


def _wrapped(
    make_handshake: Callable[..., ClientHandshake], wrap: Callable[[ClientHandshake], ClientHandshake]
) -> Callable[..., ClientHandshake]:
    return lambda *arguments, **options: wrap(make_handshake(*arguments, **options))


def _origin(uri: URI) -> tuple[bool, str, int]:
    return uri.secure, uri.host, uri.port


def planned(
    kind: type[_Way],
    uri: str | URI,
    *,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    headers: HeaderSource = (),
    proxy: bool | str | None = True,
    proxy_ssl: tls.SSLContext | None = None,
    redirects: int = 10,
    sock: socket.socket | None = None,
    path: str | None = None,
    wrap: Callable[[ClientHandshake], ClientHandshake] | None = None,
    timeouts: Timeouts | None = None,
    **arguments: Any,
) -> tuple[Route, _Way, Timeouts]:
    """Return where to connect, how to reach it and how long to wait for it, for the arguments of `connect`. Its
    docstring describes them.

    :param kind: the class of the way.
    :param arguments: those of `rfc6455.ClientHandshake`.
    """
    make_handshake: Callable[..., ClientHandshake] = partial(ClientHandshake, **arguments)
    if wrap is not None:
        make_handshake = _wrapped(make_handshake, wrap)
    route = Route(uri, headers, make_handshake, redirects)
    if ssl is not None and not route.uri.secure:
        raise ValueError("ssl is for wss:, and the URI begins with ws:")
    way = kind(ssl, server_hostname, proxy, proxy_ssl, sock, path)
    return route, way, Timeouts() if timeouts is None else timeouts
