"""The client behind a proxy: its address, and the person's name if the proxy knows it.

The law: a header counts only if it is the configured one and the connection comes from a trusted proxy. Of several
addresses, the rightmost one that is not a trusted proxy's counts, as anybody could have written those to the left of
it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from unicodedata import normalize

import rfc6455
from service.letters import MAX_NAME, clean_name
from service.settings import Network, Settings

# RFC 7239, 4: forwarded-pair = token "=" value; the value is a token or a quoted-string.
_PAIR = re.compile(r'\s*([!#$%&\'*+.^`|~\w-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(;|,|$)', re.ASCII)
_NODE = re.compile(r"\[([^\]]*)\](?::\w+)?|([^:\[\]]+)(?::\w+)?|([0-9A-Fa-f:.]+)")


class Caller(NamedTuple):
    """The client that sent a request: its address, and the name for which a proxy vouches (``""`` for none)."""

    address: str
    user: str = ""


def is_trusted(address: str, networks: Sequence[Network]) -> bool:
    """Return whether this is the address of a trusted proxy."""
    known = _address(address) if networks else None
    return known is not None and any(known in network for network in networks)


def caller_of(request: rfc6455.Request, peer: str, settings: Settings) -> Caller:
    """Return the client that sent the request.

    :param peer: the address from which the connection comes.
    """
    networks = settings.trust_proxy
    if not is_trusted(peer, networks):
        return Caller(peer)
    address = peer
    for hop in reversed(list(_hops(request, settings.forwarded))):
        known = _address(hop)
        if known is None:
            break  # "unknown", or hidden; nothing is known beyond the last proxy's information
        address = str(known)
        if not is_trusted(hop, networks):
            break
    named = request.headers.get_all(settings.user_header) if settings.user_header is not None else ()
    return Caller(address, _name_in(named[0]) if len(named) == 1 else "")


def _name_in(value: str) -> str:
    """Return the name in a field, or ``""`` if it is too long: two names that are cut could become the same."""
    name = normalize("NFC", _as_utf8(value))
    return clean_name(name) if len(name) <= MAX_NAME else ""


def _hops(request: rfc6455.Request, header: str) -> Iterable[str]:
    """Yield the addresses in the header, the client's first."""
    value = ",".join(request.headers.get_all(header))
    if header == "forwarded":
        return _forwarded_hops(value)
    return [_node(part) for part in value.split(",") if part.strip()]


def _forwarded_hops(value: str) -> Iterator[str]:
    """Yield the addresses in a field. RFC 7239, 4: Forwarded = 1#forwarded-element. An element that cannot be parsed,
    or that has no ``for``, is unknown."""
    at, hop = 0, ""
    while at < len(value):
        found = _PAIR.match(value, at)
        if found is None:
            yield "unknown"
            at = value.find(",", at) + 1 or len(value)
            hop = ""
            continue
        name, text, end = found.groups()
        at = found.end()
        if name.lower() == "for":
            hop = _node(re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text)
        if end != ";":
            yield hop or "unknown"
            hop = ""


def _node(text: str) -> str:
    """Return the address of a node, without its port."""
    found = _NODE.fullmatch(text.strip())
    return next(filter(None, found.groups()), "") if found else "unknown"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _as_utf8(value: str) -> str:
    """Decode a name, which was read as Latin-1, like all headers, but which proxies write in UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
