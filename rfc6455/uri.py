"""WebSocket URIs (section 3): text -> `URI`.

What lives here: the grammar of ``ws:`` and ``wss:`` URIs, and of the host, which the ``Host`` header has as well. Not
here: name resolution, proxies, or how a request is written.

A `URI` follows the grammar of RFC 3986 to the letter. `parse_uri` converts two things that people write but the
grammar does not allow, as sections 11.1.1 and 11.1.2 say: letters of a host that are not ASCII, by IDNA, and
characters of path and query, to percent-encoded UTF-8. It converts nothing else, since programs that make different
repairs ask for different resources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote

from .arguments import as_int, check_type, excerpt
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
# RFC 6874, 2: IP-literal may also be "[" IPv6address "%25" ZoneID "]"; 3: "we also suggest that URI parsers accept
# bare "%" signs when possible". ZoneID is taken without pct-encoded.
# These patterns accept any "%"; _BAD_PERCENT finds one that is not followed by two hex digits.
_REG_CHAR = r"A-Za-z0-9\-._~!$&'()*+,;=%"
_NAME = re.compile(rf"[{_REG_CHAR}]+")
_ZONE = r"[A-Za-z0-9\-._~]+"
_IN_BRACKETS = rf"\[([0-9A-Fa-f:.]+)(?:%(?:25(?!\]))?({_ZONE}))?\]"
_AUTHORITY = re.compile(rf"(?:{_IN_BRACKETS}|([{_REG_CHAR}]+))(?::([0-9]*))?")
# The usual form of a host with an optional port.
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.\-]+(?::[0-9]{1,5})?")
_ZONED = re.compile(rf"([0-9A-Fa-f:.]+)%({_ZONE})")
_RESOURCE_NAME = re.compile(rf"/[{_REG_CHAR}:@/]*(?:\?[{_REG_CHAR}:@/?]*)?")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 6455, 3. ws-URI = "ws:" "//" host [ ":" port ] path [ "?" query ], and the same for "wss:". A URI is split into
# components as in RFC 3986, appendix B; then each is checked against its own grammar.
_PARTS = re.compile(r"([^:/?#]*)://([^/?#]*)([^#]*)", re.DOTALL)
_DEFAULT_PORT = {"ws": 80, "wss": 443}
# The schemes that a redirection may name, and the WebSocket scheme for each: RFC 6455, 4.1, says how a resource name
# is requested with an http or https URI, and 11.1 that ws is without TLS and wss with TLS.
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")

# Characters other than these have to be percent-encoded. "%" is not, so that nothing is encoded twice.
_SAFE_IN_PATH = "-._~!$&'()*+,;=:@/%"
# Characters that are never accepted in a URI: C0 and C1 controls, DEL, and the "\\" that some programs treat as a "/".
_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
# RFC 1035, 2.3.4: 255 octets, which are 253 characters. The time for the conversion grows faster than the length.
_LONGEST_NAME = 253
_ASCII_NAME = re.compile(r"[a-z0-9.\-_]+")


@dataclass(frozen=True)
class URI:
    """The address of a WebSocket, in the four components that section 3 names. A `URI` object is always valid.

    :ivar secure: whether TLS is used (``wss:``).
    :ivar host: a name or an address. An IPv6 address has no brackets, as `socket` expects it, and keeps its zone:
        ``"fe80::1%eth0"``.
    :ivar port: 1 to 65535.
    :ivar resource_name: path and query, as in the request line; it begins with ``/``.
    :raises LocalProtocolError: when a component is not valid (3).
    :raises TypeError: when a component has the wrong type.

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
        object.__setattr__(self, "port", as_int(self.port, "port is an int"))
        check_type(self.resource_name, str, "resource_name is a str")
        _check_host(self.host)
        if not 1 <= self.port <= 65535:
            raise LocalProtocolError(f"the port of a WebSocket URI is 1 to 65535, not {self.port}")
        _check_resource_name(self.resource_name)

    @cached_property
    def host_header(self) -> str:
        """The value of ``Host``: the host, and the port unless it is the default (4.1, requirement 4).

        The zone of an IPv6 address is left out, as it has a meaning only on this machine (RFC 6874 3).
        """
        return self._authority(self.host.partition("%")[0] if ":" in self.host else self.host)

    def redirected(self, location: str) -> URI:
        """Return the target of a redirection: the URI to which a ``Location`` header refers.

        :param location: the value of the header. ``http:`` and ``https:`` are converted to ``ws:`` and ``wss:``; the
            value may be relative to this URI (RFC 9110 10.2.2), and a fragment is dropped.
        :raises LocalProtocolError: when it does not lead to a WebSocket, or leads from ``wss:`` to ``ws:``, which
            would give up TLS.
        :raises TypeError: when it is not a `str`; ``headers.get("Location")`` is ``None`` if there is no such header.

        Never send credentials that were meant for one host to another.

        >>> rfc6455.parse_uri("ws://example.com/chat/a").redirected("https://chat.example.com/v2?x=1#top")
        URI(secure=True, host='chat.example.com', port=443, resource_name='/v2?x=1')
        """
        check_type(location, str, "location is the value of a Location header, a str")
        reference = _octets_as_utf8(location).partition("#")[0]
        scheme = _SCHEME.match(reference)
        if scheme is not None and scheme[1].lower() not in _SCHEMES:
            raise LocalProtocolError(f"a redirection to {excerpt(scheme[0])} does not lead to a WebSocket (section 3)")
        if scheme is not None:
            target = parse_uri(f"{_SCHEMES[scheme[1].lower()]}:{reference[scheme.end() :]}")
        elif reference.startswith("//"):
            target = parse_uri(f"{self._scheme}:{reference}")
        else:
            _check_characters(reference)
            resource_name = _percent_encoded(_resolved(self.resource_name, reference))
            target = URI(self.secure, self.host, self.port, resource_name)
        if self.secure and not target.secure:
            raise LocalProtocolError("a redirection from wss to ws gives up TLS, and is not followed")
        return target

    def _authority(self, host: str) -> str:
        host = f"[{host}]" if ":" in host else host
        return host if self.port == _DEFAULT_PORT[self._scheme] else f"{host}:{self.port}"

    @property
    def _scheme(self) -> str:
        return "wss" if self.secure else "ws"

    def __str__(self) -> str:
        # RFC 6874, 2: in a URI the "%" before a zone is written "%25".
        host = self.host.replace("%", "%25") if ":" in self.host else self.host
        return f"{self._scheme}://{self._authority(host)}{self.resource_name}"


def _resolved(resource_name: str, reference: str) -> str:
    """Return the resource name to which a reference without scheme and authority leads (RFC 3986 5.2.2)."""
    base, _, _ = resource_name.partition("?")
    path, question_mark, query = reference.partition("?")
    if not path:
        target = base if question_mark else resource_name
    elif path.startswith("/"):
        target = _without_dot_segments(path)
    else:
        target = _without_dot_segments(base[: base.rindex("/") + 1] + path)
    return f"{target}?{query}" if query else target


def _without_dot_segments(path: str) -> str:
    """Resolve ``.`` and ``..`` in a path, which begins with ``/`` (RFC 3986 5.2.4). None leads beyond the root."""
    kept: list[str] = []
    _, *segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def parse_uri(uri: str) -> URI:
    """Return the components of a ``ws:`` or ``wss:`` URI (section 3).

    :param uri: the URI. Letters of the host that are not ASCII are converted by IDNA (11.1.1): by the package ``idna``
        if it is installed (IDNA 2008), otherwise by Python's codec (IDNA 2003). In path and query, characters that RFC
        3986 does not allow are percent-encoded as UTF-8; anything already percent-encoded stays as it is.
    :returns: the components, with the host in lower case.
    :raises LocalProtocolError: when it is not a valid WebSocket URI: "If any of the components are invalid, the
        client MUST ``_Fail the WebSocket Connection_``" (4.1). The message names the component, and never the whole
        URI, which may hold a secret.
    :raises TypeError: when it is not a `str`.

    >>> rfc6455.parse_uri("wss://Example.com/chat?room=1")
    URI(secure=True, host='example.com', port=443, resource_name='/chat?room=1')
    >>> str(rfc6455.parse_uri("ws://bücher.example/café?f[0]=a b"))
    'ws://xn--bcher-kva.example/caf%C3%A9?f%5B0%5D=a%20b'
    """
    check_type(uri, str, "a URI is a str such as 'wss://example.com/chat'")
    return _kept_uri(uri) if len(uri) <= _LONGEST_KEPT else _parse(uri)


def _parse(uri: str) -> URI:
    if "#" in uri:
        # 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used on these
        # URIs."
        raise LocalProtocolError("a WebSocket URI has no fragment; a '#' that is not one is written %23 (section 3)")
    parts = _PARTS.fullmatch(uri)
    scheme = "" if parts is None else parts[1].lower()
    if parts is None or scheme not in _DEFAULT_PORT:
        # Only the scheme is shown, as there may be a password before the host.
        got = "; this has no scheme" if parts is None or not parts[1] else f", not with {excerpt(parts[1], 20)}"
        raise LocalProtocolError(f"a WebSocket URI begins with ws:// or wss://{got} (section 3)")
    host, port = _parse_authority(parts[2], parts[3])
    _check_characters(parts[3])
    # 3: the resource name is "/" if the path is empty, the path, "?" if the query is not empty, and the query.
    path, _, query = parts[3].partition("?")
    resource_name = _percent_encoded((path or "/") + (f"?{query}" if query else ""))
    return URI(scheme == "wss", host, _DEFAULT_PORT[scheme] if port is None else port, resource_name)


# Most clients connect to the same address again and again, so the last few are kept in parsed form.
_LONGEST_KEPT = 200
_kept_uri = lru_cache(16)(_parse)


def as_uri(uri: str | URI) -> URI:
    """Return the argument ``uri`` of a handshake as a `URI`.

    :raises TypeError: when it is neither a `str` nor a `URI`.
    :raises LocalProtocolError: as `parse_uri` does.
    """
    check_type(uri, (str, URI), "uri is a str such as 'wss://example.com/chat' or a URI")
    return uri if isinstance(uri, URI) else parse_uri(uri)


def _parse_authority(authority: str, after: str) -> tuple[str, int | None]:
    """Return the host and the port.

    :param after: what follows in the URI. If there is an "@" in it, a user and the beginning of a password may look
        like a host and a port, as in ``ws://user:pass/word@host``, and an error must not show them.
    """
    if "@" in authority:
        raise LocalProtocolError(f"a WebSocket URI {_NO_USER}")
    try:
        return _host_and_port(authority)
    except LocalProtocolError:
        if "@" not in after:
            raise
    raise LocalProtocolError(f"host and port of a WebSocket URI are not valid (section 3), and it {_NO_USER}")


# The grammar of section 3 has no userinfo, and a password there would end up in logs.
_NO_USER = "has no user and password (section 3); send an Authorization header instead"
# The part of an invalid authority that an error shows, if anything follows it.
_SHOWN = re.compile(r"(\[[^\]]*\]|[^:]*:).", re.DOTALL)


def _host_and_port(authority: str) -> tuple[str, int | None]:
    split = _split_authority(authority if authority.isascii() else _to_ascii(authority))
    if split is None:
        # What follows the host is not shown: in ws://user:password it is the password, even without an "@".
        longer = _SHOWN.match(authority)
        shown = authority if longer is None else longer[1] + "..."
        raise LocalProtocolError(f"{excerpt(shown)} is not a host with an optional port (section 3)")
    host, port = split
    if authority.startswith("[") and ":" not in host:
        raise LocalProtocolError(f"only an IPv6 address can be in brackets, not {excerpt(host)} (RFC 3986 3.2.2)")
    _check_host(host)
    # Six digits are enough to know that the port is too large. It is not shown, for the same reason.
    number = int("0" + port.lstrip("0")[:6]) if port else None
    if number is not None and not 1 <= number <= 65535:
        raise LocalProtocolError("the port of a WebSocket URI is 1 to 65535")
    return host, number


def _split_authority(authority: str) -> tuple[str, str] | None:
    """Return the host, in lower case and without brackets, and the port, which may be ``""``; ``None`` for anything
    else."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    address, zone, name, port = match.groups()
    if address is None:
        return name.lower(), port or ""
    return address.lower() if zone is None else f"{address.lower()}%{zone}", port or ""


def _to_ascii(authority: str) -> str:
    """Convert a host to ASCII. 11.1.1: "Characters in the host component that are excluded by the syntax defined above
    MUST be converted from Unicode to ASCII as specified in [RFC3987] or its replacement", which is IDNA.
    """
    name, colon, port = authority.partition(":")
    try:
        if len(name) > _LONGEST_NAME:
            raise UnicodeError(f"a name has at most {_LONGEST_NAME} characters")
        converted = _idna(name)
        # Characters such as the full-width colon may be mapped to ones that separate components of a URI.
        if not _ASCII_NAME.fullmatch(converted):
            raise UnicodeError(f"it becomes {converted!r}")
    except UnicodeError as error:
        fault = ascii(str(error))[1:-1][:100]
        raise LocalProtocolError(f"{excerpt(name, 20)} is not a host by IDNA (11.1.1): {fault}") from None
    return converted + colon + port


def _idna(name: str) -> str:
    try:
        import idna  # if it is installed
    except ImportError:
        return name.encode("idna").decode("ascii").lower()
    encoded: bytes = idna.encode(name, uts46=True)
    return encoded.decode("ascii").lower()


def _check_characters(resource_name: str) -> None:
    bad = _NEVER.search(resource_name)
    if bad is not None:
        raise LocalProtocolError(
            f"{excerpt(bad[0])}, character {bad.start()} of path and query, is not allowed there (RFC 3986 3.3, 3.4)"
        )


def _percent_encoded(resource_name: str) -> str:
    """Percent-encode a resource name. 11.1.1: "Characters in other components that are excluded by the syntax defined
    above MUST be converted from Unicode to ASCII by first encoding the characters as UTF-8 and then replacing the
    corresponding bytes using their percent-encoded form". The first "?" ends the path; others are part of the query.
    """
    if _RESOURCE_NAME.fullmatch(resource_name):
        return resource_name
    return quote(resource_name, safe=_SAFE_IN_PATH + "?")


def _octets_as_utf8(value: str) -> str:
    """Decode a header value in which a server may have written UTF-8, although only ASCII is allowed."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _check_host(host: str) -> None:
    if not (_is_ipv6(host) if ":" in host else _is_name(host)):
        raise LocalProtocolError(
            f"{excerpt(host)} is not a host (section 3): it must be in ASCII, an international name in its xn-- form, "
            "and have no port and no brackets"
        )


def _check_resource_name(resource_name: str) -> None:
    if not resource_name.startswith("/"):
        raise LocalProtocolError(
            f"path and query begin with '/', and not with {excerpt(resource_name[:1])} (section 3)"
        )
    match = _RESOURCE_NAME.match(resource_name)
    end = 0 if match is None else match.end()
    if end < len(resource_name):
        raise LocalProtocolError(
            f"{excerpt(resource_name[end])}, character {end} of path and query, is not allowed there; "
            "percent-encode it (RFC 3986 3.3, 3.4)"
        )
    bad = _BAD_PERCENT.search(resource_name)
    if bad is not None:
        raise LocalProtocolError(
            f"two hex digits follow each '%' of path and query, unlike the one at character {bad.start()}; a '%' that "
            "means itself is written %25 (RFC 3986 2.1)"
        )


def is_host(text: str) -> bool:
    """Return whether ``text`` is a host with an optional port, as in a ``Host`` header (RFC 9110 7.2).

    An IPv6 address may lack its brackets: RFC 9112 3.2 does not allow that, but clients that are given a bare address
    send it. It is then a host without a port.
    """
    return _kept_is_host(text) if len(text) <= _LONGEST_KEPT else _is_host(text)


def _is_host(text: str) -> bool:
    return _PLAIN_HOST.fullmatch(text) is not None or split_host(text) is not None


# Almost all requests to a server name the same host.
_kept_is_host = lru_cache(16)(_is_host)


def split_host(text: str) -> tuple[str, int | None] | None:
    """Return the host, in lower case and without brackets, and the port of anything that `is_host` accepts; ``None``
    otherwise. The port is ``None`` if the text names no port. An IPv6 address is in its shortest form (RFC 5952), so
    that equal ones compare equal.
    """
    if text.count(":") > 1 and _is_ipv6(text):
        return _shortest(text.lower()), None  # all of it: its last group is not a port
    split = _split_authority(text)
    if split is None or len(split[1].lstrip("0")) > 5:
        return None
    host, port = split
    if text.startswith("["):
        if not _is_ipv6(host):
            return None
        host = _shortest(host)
    elif not _is_name(host):
        return None
    return host, int(port) if port else None


def _shortest(address: str) -> str:
    """Return an IPv6 address, perhaps with a zone, in its shortest form."""
    number, percent, zone = address.partition("%")
    return f"{IPv6Address(number)}{percent}{zone}"


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and not ("%" in text and _BAD_PERCENT.search(text))


def _is_ipv6(text: str) -> bool:
    zoned = _ZONED.fullmatch(text)
    try:
        IPv6Address(text if zoned is None else zoned[1])
    except ValueError:
        return False
    return zoned is not None or "%" not in text
