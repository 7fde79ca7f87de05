"""Proxies on the way to a server: the choice of a proxy, and the exchange with an HTTP proxy.

Not here: sockets. `socks_connection` leaves them to python-socks.

The law: if a proxy is to be used, nothing bypasses it. The environment is read as Python's own `urllib.request` reads
it, so that ``no_proxy`` means the same to all Python programs; but an IPv6 address in it needs no brackets.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import rfc6455
from rfc6455.http1_heads import HeadError, ResponseReader, serialize_request

# RFC 6455, 4.1: a client should prefer a SOCKS proxy, then a proxy for HTTPS, then one for HTTP.
_FROM_ENVIRONMENT = {True: ("wss", "socks", "https", "all"), False: ("ws", "socks", "https", "http", "all")}
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


class ProxyError(ConnectionError):
    """The proxy did not establish a connection to the server.

    :ivar response: the answer of a proxy that speaks HTTP, such as 407, or ``None``.
    """

    def __init__(self, words: str, response: rfc6455.Response | None = None) -> None:
        super().__init__(words)
        self.response = response


class Proxy(NamedTuple):
    """A proxy as named by its URL. Its ``repr()`` does not show the password."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str = ""

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    def __repr__(self) -> str:
        return f"{self.scheme}://{_authority(self.host, self.port)}"


def parse_proxy(url: str) -> Proxy:
    """Return the proxy that a URL such as ``http://user:password@proxy.example:3128`` names.

    :raises ValueError: when the URL is wrong. The message does not show it, as it may contain a password.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        # Python's own message may quote the password, or a part of it.
        raise ValueError(f"the URL of a proxy is wrong: its host or its port is not valid; {_IN_PASSWORD}") from None
    # In http://user:123/word@proxy.example, the host and port would be a user and a part of the password.
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(f"the URL of a proxy has no '@' after its host; {_IN_PASSWORD}")
    if parts.scheme not in _DEFAULT_PORTS:
        known = ", ".join(_DEFAULT_PORTS)
        raise ValueError(f"the URL of a proxy begins with one of {known}, not with {parts.scheme!r}")
    if not parts.hostname or port == 0:
        raise ValueError("the URL of a proxy must name a host, and its port cannot be 0")
    # RFC 6874, 2: in a URI the "%" before a zone is written "%25".
    host = parts.hostname.replace("%25", "%") if ":" in parts.hostname else parts.hostname
    port = port or _DEFAULT_PORTS[parts.scheme]
    user = None if parts.username is None else unquote(parts.username)
    return Proxy(parts.scheme, host, port, user, unquote(parts.password or ""))


_IN_PASSWORD = "in a password, write '/', '?' and '#' as %2F, %3F and %23"


def proxy_for(uri: rfc6455.URI, proxy: bool | str | None) -> Proxy | None:
    """Return the proxy on the way to a server.

    :param proxy: ``True`` for the one that the environment names, a URL for that one, ``None`` or ``False`` for none.
    :raises ValueError: when a URL is wrong.
    """
    if isinstance(proxy, str):
        return parse_proxy(proxy)
    if not proxy or _is_bypassed(uri):
        return None
    found = getproxies()
    for name in _FROM_ENVIRONMENT[uri.secure]:
        url = found.get(name)
        if url:
            if name == "socks" and url.startswith("http://"):
                # On macOS, Python reports a SOCKS proxy with an http: URL.
                url = f"socks5h://{url.removeprefix('http://')}"
            try:
                return parse_proxy(url)
            except ValueError as error:
                raise ValueError(
                    f"{name}_proxy in the environment: {error}; to go without it, pass proxy=None"
                ) from None
    return None


def _is_bypassed(uri: rfc6455.URI) -> bool:
    # Python would find an IPv6 address in no_proxy with its brackets only, but people write "localhost,127.0.0.1,::1".
    is_listed = ":" in uri.host and proxy_bypass(host_for_others(uri))
    return bool(is_listed or proxy_bypass(_authority(uri.host, uri.port)))


def host_for_others(uri: rfc6455.URI) -> str:
    """Return the host in the form for other machines. RFC 6874, 4: a client "MUST remove any ZoneID attached to an
    outgoing URI, as it has only local significance at the sending host"."""
    return uri.host.partition("%")[0] if ":" in uri.host else uri.host


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Tunnel:
    """The exchange with an HTTP proxy, until it forwards everything to the server (RFC 9110 9.3.6).

    :ivar unread: the bytes after the answer, once there is one.
    """

    def __init__(self, uri: rfc6455.URI, proxy: Proxy) -> None:
        self.unread = b""
        self._proxy = proxy
        target = _authority(host_for_others(uri), uri.port)
        fields = [("Host", target)]
        if proxy.user is not None:
            secret = b64encode(f"{proxy.user}:{proxy.password}".encode()).decode("ascii")
            fields.append(("Proxy-Authorization", f"Basic {secret}"))
        self.request = serialize_request(rfc6455.Request("CONNECT", target, rfc6455.Headers(fields)))
        self._reader = ResponseReader()

    def receive_data(self, data: bytes) -> bool:
        """Process bytes from the proxy, ``b""`` at the end of the stream, and return whether the tunnel is open.

        :raises ProxyError: when the proxy refuses, or its answer makes no sense.
        """
        if not data:
            raise ProxyError(f"the proxy {self._proxy!r} ended the connection before it answered")
        try:
            response = self._reader.receive_data(data)
        except HeadError as error:
            raise ProxyError(f"the proxy {self._proxy} sent an invalid answer: {error.reason}") from None
        if response is None:
            return False
        if not 200 <= response.status < 300:
            raise ProxyError(f"the proxy {self._proxy} answered {response.status}", response)
        self.unread = self._reader.unread
        return True


@contextmanager
def reaching(proxy: Proxy) -> Iterator[None]:
    """Name the proxy in an error about the way to it, which may come from the environment."""
    try:
        yield
    except (TimeoutError, ssl.SSLError):
        raise
    except OSError as error:
        raise ProxyError(f"the proxy {proxy!r} cannot be reached: {error}") from error


@contextmanager
def socks_connection(proxy: Proxy, kind: str) -> Iterator[Any]:
    """Yield an object that connects through a SOCKS proxy: a ``Proxy`` of python-socks. Translate its errors to ours.

    :param kind: the name of a module in ``python_socks``, such as ``"sync"``.
    :raises ImportError: when python-socks is not installed.
    :raises ProxyError: when the proxy does not connect us.
    """
    try:
        import python_socks

        kinds = import_module(f"python_socks.{kind}")
    except ImportError:
        raise ImportError("SOCKS proxies need python-socks: pip install 'rfc6455[socks]'") from None
    version = python_socks.ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else python_socks.ProxyType.SOCKS4
    resolves_names = proxy.scheme in ("socks4a", "socks5h")  # otherwise, this end does
    try:
        # The credentials of SOCKS 4 consist only of the user name.
        yield kinds.Proxy(version, proxy.host, proxy.port, proxy.user, proxy.password or None, resolves_names)
    except (python_socks.ProxyError, python_socks.ProxyConnectionError, ConnectionError) as error:
        raise ProxyError(f"the proxy {proxy!r} did not establish a connection: {error}") from error
