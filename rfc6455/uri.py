"""WebSocket URIs (section 3): text -> `URI`.

What lives here: the grammar of ``ws:`` and ``wss:`` URIs and of the host that they share with the ``Host`` header.
What must not: name resolution, proxies, or how a request is written.

The grammar of RFC 3986 is kept to the letter. What it forbids (a space, ``{``, a letter with an accent) is refused
and not quietly escaped: two programs that escape differently ask for different resources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from .arguments import check_type, excerpt
from .errors import LocalProtocolError

# RFC 3986, in the order of use:
#   unreserved    = ALPHA / DIGIT / "-" / "." / "_" / "~"
#   sub-delims    = "!" / "$" / "&" / "'" / "(" / ")" / "*" / "+" / "," / ";" / "="
#   pct-encoded   = "%" HEXDIG HEXDIG                                           (2.1)
#   IP-literal    = "[" ( IPv6address / IPvFuture ) "]"                         (3.2.2; IPvFuture has no members)
#   reg-name      = *( unreserved / pct-encoded / sub-delims )
#   host          = IP-literal / IPv4address / reg-name
#   port          = *DIGIT                                                      (3.2.3)
#   path-abempty  = *( "/" *pchar ); pchar = unreserved / pct-encoded / sub-delims / ":" / "@"
#   query         = *( pchar / "/" / "?" )                                      (3.4)
# A "%" is let through by these patterns; _BAD_PERCENT finds one that no two hex digits follow.
_REG_CHAR = r"A-Za-z0-9\-._~!$&'()*+,;=%"
_NAME = re.compile(rf"[{_REG_CHAR}]+")
_AUTHORITY = re.compile(rf"(\[[0-9A-Fa-f:.]+\]|[{_REG_CHAR}]+)(?::([0-9]*))?")
_RESOURCE_NAME = re.compile(rf"/[{_REG_CHAR}:@/]*(?:\?[{_REG_CHAR}:@/?]*)?")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 6455, 3. ws-URI = "ws:" "//" host [ ":" port ] path [ "?" query ], and the same for "wss:". The parts of any URI
# are told apart as in RFC 3986, appendix B; then each is held against its own grammar.
_PARTS = re.compile(r"([^:/?#]*)://([^/?#]*)([^#]*)", re.DOTALL)
_DEFAULT_PORT = {"ws": 80, "wss": 443}


@dataclass(frozen=True)
class URI:
    """Where a WebSocket is, in the four components that section 3 names. None exists that is not valid.

    :ivar secure: whether TLS is used (``wss:``).
    :ivar host: a name, or an address; one of IPv6 without its brackets, as `socket` takes it.
    :ivar port: 1 to 65535.
    :ivar resource_name: path and query, what stands in the request line; begins with ``/``.
    :raises LocalProtocolError: when a component is not valid (3).
    :raises TypeError: when one has the wrong type.

    >>> uri = rfc6455.URI(secure=True, host="::1", port=8443, resource_name="/chat")
    >>> str(uri), uri.host_header
    ('wss://[::1]:8443/chat', '[::1]:8443')
    """

    secure: bool
    host: str
    port: int
    resource_name: str = "/"

    def __post_init__(self) -> None:
        check_type(self.secure, bool, "secure is True or False")
        check_type(self.host, str, "host is a str")
        check_type(self.port, int, "port is an int")
        check_type(self.resource_name, str, "resource_name is a str")
        _check_host(self.host)
        if not 1 <= self.port <= 65535:
            raise LocalProtocolError(f"the port of a WebSocket URI is 1 to 65535, not {self.port}")
        _check_resource_name(self.resource_name)

    @property
    def host_header(self) -> str:
        """Host, and the port when it is not the default one, as in ``Host`` (4.1, requirement 4)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self._scheme] else f"{host}:{self.port}"

    @property
    def _scheme(self) -> str:
        return "wss" if self.secure else "ws"

    def __str__(self) -> str:
        return f"{self._scheme}://{self.host_header}{self.resource_name}"


def parse_uri(uri: str) -> URI:
    """The components of a ``ws:`` or ``wss:`` URI (section 3).

    :param uri: in ASCII: a host with other letters in its ``xn--`` form, other octets percent-encoded.
    :returns: the components, the host in lower case.
    :raises LocalProtocolError: when it is not a valid WebSocket URI: "If any of the components are invalid, the
        client MUST ``_Fail the WebSocket Connection_``" (4.1). The message names the component, and never the whole
        URI, which may hold a secret.
    :raises TypeError: when it is not a `str`.

    >>> rfc6455.parse_uri("wss://Example.com/chat?room=1")
    URI(secure=True, host='example.com', port=443, resource_name='/chat?room=1')
    """
    check_type(uri, str, "a URI is a str such as 'wss://example.com/chat'")
    if "#" in uri:
        # 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used on these
        # URIs."
        raise LocalProtocolError("a WebSocket URI has no fragment; a '#' that is not one is written %23 (section 3)")
    parts = _PARTS.fullmatch(uri)
    scheme = "" if parts is None else parts[1].lower()
    if parts is None or scheme not in _DEFAULT_PORT:
        raise LocalProtocolError("a WebSocket URI begins with ws:// or wss:// (section 3)")
    host, port = _split_authority(parts[2])
    # 3: the resource name is "/" if the path is empty, the path, "?" if the query is not empty, and the query.
    path, _, query = parts[3].partition("?")
    resource_name = (path or "/") + (f"?{query}" if query else "")
    return URI(scheme == "wss", host, _DEFAULT_PORT[scheme] if port is None else port, resource_name)


def as_uri(uri: str | URI) -> URI:
    """Return where to connect, as a handshake takes it.

    :raises TypeError: when it is neither a `str` nor a `URI`.
    :raises LocalProtocolError: as `parse_uri` does.
    """
    if isinstance(uri, URI):
        return uri
    check_type(uri, str, "uri is a str such as 'wss://example.com/chat' or a URI")
    return parse_uri(uri)


def _split_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        # The grammar of section 3 has no userinfo; and a password there would end in logs.
        raise LocalProtocolError(
            "a WebSocket URI has no user and password (section 3); send an Authorization header instead"
        )
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise LocalProtocolError(f"{excerpt(authority)} is not a host with an optional port (section 3)")
    host, digits = match[1].lower(), (match[2] or "").lstrip("0")
    if host.startswith("["):
        host = host[1:-1]
        if ":" not in host:
            raise LocalProtocolError(f"only an IPv6 address stands in brackets, not {excerpt(host)} (RFC 3986 3.2.2)")
    # Six digits are too many for a port, and enough to say so.
    return host, int("0" + digits[:6]) if match[2] else None


def _check_host(host: str) -> None:
    if not (_is_ipv6(host) if ":" in host else _is_name(host)):
        raise LocalProtocolError(
            f"{excerpt(host)} is not a host (section 3): it must be in ASCII, an international name in its xn-- form"
        )


def _check_resource_name(resource_name: str) -> None:
    match = _RESOURCE_NAME.match(resource_name)
    end = 0 if match is None else match.end()
    if end < len(resource_name):
        raise LocalProtocolError(
            f"{excerpt(resource_name[end])}, character {end} of path and query, cannot stand there; "
            "percent-encode it (RFC 3986 3.3, 3.4)"
        )
    if match is None or _BAD_PERCENT.search(resource_name):
        raise LocalProtocolError("path and query begin with '/', and two hex digits follow each '%' (RFC 3986 2.1)")


def is_host(text: str) -> bool:
    """Whether ``text`` is a host with an optional port, as in a URI and in a ``Host`` header (RFC 9110 7.2)."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or len((match[2] or "").lstrip("0")) > 5:
        return False
    return _is_ipv6(match[1][1:-1]) if text.startswith("[") else _is_name(match[1])


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and not ("%" in text and _BAD_PERCENT.search(text))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone (RFC 4007), which only this machine understands
