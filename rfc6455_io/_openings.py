"""The common part of the loops about opening handshakes: arguments, answers, and redirections.

Not here: connections, and anything that waits.

The law: data that is meant for one server is never sent to another. After a redirection to another origin, none of the
caller's headers are sent, and a redirection never leads from TLS to a connection without it.
"""

from __future__ import annotations

import difflib
import logging
import os
import socket
import ssl as tls
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from rfc6455 import (
    URI,
    ClientHandshake,
    Extension,
    HandshakeError,
    Headers,
    HeaderSource,
    Origins,
    Request,
    Response,
    ServerHandshake,
    Timeouts,
)
from rfc6455.arguments import as_int, check_type, is_deferred, items_of, whole_number
from rfc6455.options import OptionArguments

logger = logging.getLogger("rfc6455_io")

# The callbacks of a `Listener` on asyncio.
_CALLBACKS = ("opened", "message", "part", "pong", "writable", "closed")

_Handshake = TypeVar("_Handshake", ServerHandshake, ClientHandshake)

# RFC 9110, 15.4: their rules about methods do not matter, as a WebSocket request is a GET.
REDIRECTIONS = (301, 302, 303, 307, 308)

# ---- Arguments of servers and clients ----


def check_timeouts(timeouts: Timeouts | None) -> None:
    check_type(timeouts, (Timeouts, NoneType), "timeouts is None or a Timeouts, such as Timeouts(open=5.0)")


def as_seconds(timeout: float | None) -> float | None:
    """Return the time for which a call should wait, as a number that the system accepts.

    :raises ValueError: when it is not a number of seconds.
    """
    if timeout is None:
        return None
    # Real alone would do, but to ask an abstract class takes several times as long, in each recv(timeout=).
    if not isinstance(timeout, (int, float, Real)) or timeout != timeout:
        raise ValueError(f"timeout is a number of seconds or None, not {timeout!r}")
    # Of other kinds, such as those of numpy, the system takes none.
    return timeout if isinstance(timeout, (int, float)) else float(timeout)


def check_callbacks(make_listener: Callable[[], object]) -> None:
    """Check that the callbacks of a class of listeners do their work when they are called.

    :param make_listener: the class, a ``functools.partial`` of one, or any other function, which is not checked.
    :raises TypeError: when a callback is defined with ``async`` or ``yield``.
    """
    made = make_listener.func if isinstance(make_listener, partial) else make_listener
    for name in _CALLBACKS if isinstance(made, type) else ():
        if is_deferred(getattr(made, name, None)):
            raise TypeError(
                f"{made.__name__}.{name}() is called, and not awaited: define it with 'def' and without 'yield', or "
                "write a coroutine that receives from a WebSocket instead"
            )


def check_sock(sock: socket.socket | None) -> None:
    """Check the argument ``sock``.

    :raises TypeError: when it is no socket, or one that does TLS itself.
    :raises ValueError: when it is not one for streams, such as TCP.
    """
    check_type(sock, (socket.socket, NoneType), "sock is a socket.socket or None")
    if isinstance(sock, tls.SSLSocket):
        raise TypeError("sock is a plain socket; for TLS, pass ssl and the socket as it was before wrap_socket()")
    if sock is not None and sock.type != socket.SOCK_STREAM:
        raise ValueError(f"sock is a socket of type SOCK_STREAM, not {sock.type!r}")


def check_context(ssl: tls.SSLContext | None, name: str = "ssl") -> None:
    check_type(ssl, (tls.SSLContext, NoneType), f"{name} is an ssl.SSLContext or None")


# The names of arguments in other libraries, and what to use here.
_SAME_HERE = {
    **dict.fromkeys(["max_size", "max_msg_size", "max_message_size"], "limits=Limits(message=...)"),
    **dict.fromkeys(["compression", "compress"], "extensions=[PerMessageDeflate()]"),
    **dict.fromkeys(
        ["timeout", "open_timeout", "close_timeout", "ping_interval", "ping_timeout", "heartbeat"],
        "timeouts=Timeouts(...)",
    ),
    **dict.fromkeys(["additional_headers", "auth", "cookies", "extra_headers", "header"], "headers"),
    **dict.fromkeys(["protocols", "select_subprotocol"], "subprotocols"),
}


def check_names(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Check that a function has the keywords with which it was called.

    :raises TypeError: when it does not have one. The message names the argument that was probably meant.
    """
    names = tuple(known)
    for name in given:
        if name in names:
            continue
        near = difflib.get_close_matches(name, names, 1)
        same = _SAME_HERE.get(name, "")
        if same.partition("=")[0] in names:
            advice = f"pass {same} instead"
        elif near:
            advice = f"did you mean {near[0]!r}?"
        else:
            advice = f"help({function}) lists those that it has"
        raise TypeError(f"{function}() has no argument {name!r}; {advice}")


# ---- Servers ----

_NOT_A_PAGE = b"This is a WebSocket server, not a web page: connect with a WebSocket client.\n"


def check_place(
    host: str | Sequence[str] | None, port: int | None, sock: socket.socket | None, path: str | os.PathLike[str] | None
) -> tuple[str | Sequence[str] | None, int | None]:
    """Check the place where a server should listen, and return the host or hosts, even if they could be iterated over
    only once, and the port.

    :raises TypeError: when an argument has the wrong type.
    :raises ValueError: when there is no such port, the path is empty, or there are two places.
    """
    what = "host is a name or an address, a sequence of them, or None"
    if not isinstance(host, (str, NoneType)):
        host = items_of(host, what)
        for name in host:
            check_type(name, str, what)
    number = whole_number(port)
    if number is not None and not 0 <= number <= 65535:
        raise ValueError(f"port is 0 to 65535, not {number}")
    check_sock(sock)
    if path is not None and not os.fspath(path):
        raise ValueError("path is empty; for no Unix socket, pass None")
    if sum((host is not None or port is not None, sock is not None, path is not None)) > 1:
        raise ValueError("a server listens at one of host and port, sock, and path; pass only one of them")
    return host, port if number is None else number


def log_not_accepted(why: object, error: Exception | None) -> None:
    """Log that a client was not accepted. If it got a page, as a health check does, this is only for debugging.

    :param why: what to log.
    :param error: the error with which its handshake ended.
    """
    is_page = isinstance(error, HandshakeError) and error.status is not None and error.status < 400
    logger.log(logging.DEBUG if is_page else logging.INFO, "a client was not accepted: %s", why)


def check_server_context(ssl: tls.SSLContext | None) -> None:
    """Check the argument ``ssl`` of a server.

    :raises TypeError: when it is no context.
    :raises ValueError: when it is one for clients, with which each connection would fail.
    """
    check_context(ssl)
    if ssl is not None and ssl.protocol == tls.PROTOCOL_TLS_CLIENT:
        raise ValueError(
            "ssl is a context for clients; for a server, use ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), "
            "and add its certificate with load_cert_chain()"
        )


class SocketFile:
    """The file of a Unix socket that a server has just bound to ``path``. There may be none: on Linux, a name that
    begins with a zero byte does not belong to a file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(os.fsdecode(path)).absolute()
        self._made = self._number()

    def _number(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino

    def remove(self) -> None:
        """Remove the file, unless it is gone, or there is another one now. Call this before the socket is closed: no
        other file can have its number until then."""
        if self._made is not None and self._number() == self._made:
            with suppress(OSError):  # it is not important: the next server replaces it
                self._path.unlink()


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


# The other arguments of `serve`. They are never among the arguments that are checked, but a misspelt one may mean
# them.
_OF_SERVE = ("ssl", "sock", "path", "reuse_port", "backlog", "process_request", "wrap", "timeouts")


def server_handshakes(
    process_request: object,
    wrap: Callable[[ServerHandshake], ServerHandshake] | None,
    arguments: HandshakeArguments,
) -> Callable[[], ServerHandshake]:
    """Return a function that makes the handshakes of a server. Wrong arguments are reported now, and not at the first
    client."""
    check_names("serve", arguments, (*HandshakeArguments.__annotations__, *_OF_SERVE))
    make_handshake = ServerHandshake(plain_http=process_request is not None, **arguments).another
    if process_request is not None and not callable(process_request):
        raise TypeError(f"process_request is a function that takes a request, not {process_request!r}")
    _check_wrap(wrap)
    if wrap is None:
        return make_handshake
    return lambda: _wrapped_or_refusing(make_handshake(), wrap)


def _check_wrap(wrap: object) -> None:
    if wrap is not None and not callable(wrap):
        raise TypeError(f"wrap is a function that takes a handshake, not {wrap!r}")


def _wrapped(handshake: _Handshake, wrap: Callable[[_Handshake], _Handshake], kind: type[_Handshake]) -> _Handshake:
    wrapped = wrap(handshake)
    if not isinstance(wrapped, kind):
        raise TypeError(f"wrap returned {wrapped!r}, not a {kind.__name__}")
    return wrapped


def _wrapped_or_refusing(
    handshake: ServerHandshake, wrap: Callable[[ServerHandshake], ServerHandshake]
) -> ServerHandshake:
    try:
        return _wrapped(handshake, wrap, ServerHandshake)
    except Exception:
        logger.exception("a client is answered with 500: its handshake could not be wrapped")
        return _Refusing()


class _Refusing(ServerHandshake):
    """A substitute for a handshake that cannot be used."""

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Refuse any input."""
        self.reject(500)
        raise HandshakeError(500, "the handshake could not be wrapped", "RFC 9110 15.6.1", self.response)


def refusal(request: Request, answer: Response | None) -> Response | None:
    """Return the answer that refuses a client, or ``None`` to accept it.

    :param answer: what ``process_request`` returned for the request.
    :raises TypeError: when it returned anything else.
    """
    if answer is not None and not isinstance(answer, Response):
        raise TypeError(f"process_request returned {answer!r}, and not None or an rfc6455.Response")
    if answer is not None and answer.status != 101:
        return answer
    return None if request.is_upgrade else Response(426, body=_NOT_A_PAGE)


# ---- Clients ----


class _Followed(ClientHandshake):
    """A handshake whose redirection is followed, without waiting for the body. This is meant for people whose program
    does not follow redirections (RFC 9110, 15.4), may take long to arrive, and may only end with the connection."""

    def _receive_body(self, data: bytes | None) -> None:
        if self.response is not None and _leads_elsewhere(self.response):
            raise self._refused()
        super()._receive_body(data)


def _leads_elsewhere(response: Response) -> bool:
    # Two that differ lead nowhere.
    return response.status in REDIRECTIONS and len(set(response.headers.get_all("Location"))) == 1


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
    path: str | os.PathLike[str] | None
    wrap: Callable[[ClientHandshake], ClientHandshake] | None
    timeouts: Timeouts | None


@dataclass(frozen=True)
class Way:
    """The arguments of `connect` that determine how a server is reached."""

    ssl: tls.SSLContext | None
    server_hostname: str | None
    proxy: bool | str | None
    proxy_ssl: tls.SSLContext | None
    sock: socket.socket | None
    path: str | None

    def __post_init__(self) -> None:
        check_context(self.ssl)
        check_context(self.proxy_ssl, "proxy_ssl")
        check_type(self.server_hostname, (str, NoneType), "server_hostname is a str or None")
        check_type(self.proxy, (bool, str, NoneType), "proxy is the URL of one, True, or None")
        check_sock(self.sock)
        if self.sock is not None and self.path is not None:
            raise ValueError("sock and path both say where to connect; pass only one of them")

    def tls_to(self, uri: URI) -> tuple[tls.SSLContext, str]:
        """Return the context for a server, and the name that its certificate must have.

        RFC 6066, 3: the name is sent "without a trailing dot", and certificates have none either.
        """
        name = uri.host.partition("%")[0].removesuffix(".")
        return self.ssl or tls.create_default_context(), self.server_hostname or name

    def tls_to_proxy(self) -> tls.SSLContext:
        return self.proxy_ssl or tls.create_default_context()


_Way = TypeVar("_Way", bound=Way)


@contextmanager
def no_such_name() -> Iterator[None]:
    """Report a name that Python cannot encode for the look-up, such as one with an empty label, as one that does not
    exist: a server may redirect to it."""
    try:
        yield
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from None


class Route:
    """The place to which a client connects, and its handshake: first the given URI, then those to which servers
    redirect it.

    :ivar uri: the current URI.
    :ivar handshake: the handshake for it, which is good for one connection.
    """

    def __init__(
        self,
        uri: str | URI,
        headers: HeaderSource,
        make_handshake: Callable[[str | URI, HeaderSource], ClientHandshake],
        redirects: int,
        stays: bool,
    ) -> None:
        # Made here, so that invalid arguments are reported now.
        self.handshake: ClientHandshake = make_handshake(uri, headers)
        self.uri: URI = self.handshake.uri
        self._headers = headers
        self._make_handshake = make_handshake
        self._is_without_headers = False
        self._redirects = self._left = redirects
        self._stays = stays  # whether redirections to another origin are impossible

    def follow(self, error: HandshakeError) -> None:
        """Follow the server's redirection. Raise the error if it is not one, or one too many.

        :raises rfc6455.LocalProtocolError: when a client must not follow the redirection.
        """
        if error.response is None or not _leads_elsewhere(error.response):
            # The server that was asked first redirects from ws to wss most often, and then this is hard to guess.
            words = f"; headers= was not sent, as a redirection led to another origin, {self.uri.host_header}"
            raise _longer(error, words) if self._is_without_headers and error.status in (401, 403) else error
        target = self.uri.redirected(error.response.headers.get_all("Location")[0])
        if not self._left:
            raise _longer(error, f", after {self._redirects} redirections") if self._redirects else error
        self._left -= 1
        if _origin(target) != _origin(self.uri):
            if self._stays:
                raise error
            # They may contain secrets that are meant only for the first server.
            self._is_without_headers = self._is_without_headers or bool(list(Headers(self._headers)))
            self._headers = ()
        self.uri, self.handshake = target, self._make_handshake(target, self._headers)


def _longer(error: HandshakeError, words: str) -> HandshakeError:
    return HandshakeError(error.status, error.reason + words, error.section, error.response, error.cause)


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
    path: str | os.PathLike[str] | None = None,
    wrap: Callable[[ClientHandshake], ClientHandshake] | None = None,
    timeouts: Timeouts | None = None,
    **arguments: Any,
) -> tuple[Route, _Way, Timeouts]:
    """Return the route, the way and the timeouts for the arguments of `connect`, which are described in its docstring.

    :param kind: the class of the way.
    :param arguments: those of `rfc6455.ClientHandshake`.
    """
    check_names("connect", arguments, ConnectArguments.__annotations__)
    check_timeouts(timeouts)
    most_redirects = as_int(redirects, "redirects is a number")
    if most_redirects < 0:
        raise ValueError(f"redirects is 0 or more, not {most_redirects}")
    _check_wrap(wrap)

    kind_of_handshake = _Followed if most_redirects else ClientHandshake

    def make_handshake(uri: str | URI, headers: HeaderSource) -> ClientHandshake:
        handshake = kind_of_handshake(uri, headers=headers, **arguments)
        return handshake if wrap is None else _wrapped(handshake, wrap, ClientHandshake)

    # A socket can be used for only one connection, and a path leads only to the server of the first URI.
    route = Route(uri, headers, make_handshake, 0 if sock is not None else most_redirects, stays=path is not None)
    if ssl is not None and not route.uri.secure:
        raise ValueError("ssl is for wss:, and the URI begins with ws:")
    way = kind(ssl, server_hostname, proxy, proxy_ssl, sock, None if path is None else os.fspath(path))
    return route, way, Timeouts() if timeouts is None else timeouts
