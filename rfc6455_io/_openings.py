"""Opening handshakes as servers and clients of every kind make them: what is answered, and where a redirection leads.

Not here: connections, and who is waiting for what.

The law: what is told to one server goes to no other. A redirection to another origin gets none of the caller's
headers, and TLS is not given up on the way.
"""

from __future__ import annotations

import socket
import ssl as tls
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import rfc6455
from rfc6455 import (
    URI,
    ClientHandshake,
    Extension,
    HandshakeError,
    HeaderSource,
    Request,
    Response,
    ServerHandshake,
)
from rfc6455.options import OptionArguments

# RFC 9110, 15.4: what they say about methods does not matter, as ours is GET.
REDIRECTIONS = (301, 302, 303, 307, 308)

# ---- Servers ----


def server_handshakes(process_request: object, **arguments: Any) -> Callable[[], ServerHandshake]:
    """Return what makes the handshakes of a server. What is wrong with the arguments is said now, and not to the first
    client."""
    make_handshake = partial(ServerHandshake, plain_http=process_request is not None, **arguments)
    make_handshake()
    return make_handshake


def refusal(request: Request, answer: Response | None) -> Response | None:
    """Return with what a client is refused; ``None`` for one that is let in.

    :param answer: what ``process_request`` said about the request.
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
    timeouts: rfc6455.Timeouts | None


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


class Route:
    """Where a client asks, and with what: the URI that it was given, then those that servers send it to.

    :ivar uri: where it asks now.
    :ivar handshake: what it asks with. It is good for one connection.
    """

    def __init__(
        self,
        uri: str | URI,
        headers: HeaderSource,
        make_handshake: Callable[..., ClientHandshake],
        redirects: int,
    ) -> None:
        self.handshake = make_handshake(uri, headers=headers)  # what is wrong is said now
        self.uri = uri if isinstance(uri, URI) else rfc6455.parse_uri(uri)
        self._headers = headers
        self._make_handshake = make_handshake
        self._left = redirects

    def follow(self, error: HandshakeError) -> None:
        """Go to where the server sends us. Where it does not, or once too often, raise the error.

        :raises rfc6455.LocalProtocolError: when it sends us where no client should go.
        """
        if error.status not in REDIRECTIONS or error.response is None or "Location" not in error.response.headers:
            raise error
        target = self.uri.redirected(error.response.headers["Location"])
        if not self._left:
            raise error
        self._left -= 1
        # The headers may hold what only the first server should know.
        if _origin(target) != _origin(self.uri):
            self._headers = ()
        self.uri, self.handshake = target, self._make_handshake(target, headers=self._headers)


def _origin(uri: URI) -> tuple[bool, str, int]:
    return uri.secure, uri.host, uri.port
