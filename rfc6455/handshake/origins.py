"""The pages that may connect, and the names under which this server is known (10.2; RFC 6454).

What lives here: the rules for ``Origin``, and the names in ``hosts=``. Not here: the rest of the negotiation
(`negotiation.py`).

The law: an origin is compared as a whole, as a triple of scheme, host and port (RFC 6454 4): in any case, with the
default port if it names none, and with ``ws`` and ``wss`` treated as ``http`` and ``https``. Nothing is matched by
prefix, suffix or pattern, except that a star stands for whole labels.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import Enum

from ..arguments import check_plain, check_type, described, excerpt, items_of
from ..codes import CloseCause
from ..errors import HandshakeError, LocalProtocolError
from ..uri import is_host, split_host
from .fields import Request


class OriginPolicy(Enum):
    """Rules for the ``Origin`` of a request that need no list (10.2)."""

    #: Pages from the host and port that the request names in ``Host`` may connect, and so may clients other than
    #: browsers.
    SAME_HOST = "same host"
    #: Any page may connect. This is right for a public service that identifies its users by something other than a
    #: cookie.
    ANY_ORIGIN = "any origin"


SAME_HOST = OriginPolicy.SAME_HOST
ANY_ORIGIN = OriginPolicy.ANY_ORIGIN

# A policy, an origin that may connect, such as "https://example.com", "https://*.example.com" or "null", or a rule of
# the application.
OriginRule = OriginPolicy | str | Callable[[Request], bool]
# The type of the argument ``origins``: one rule that is not a str, or several, of which one has to allow the page.
Origins = OriginPolicy | Callable[[Request], bool] | Collection[OriginRule]

_WHAT = (
    "origins is SAME_HOST, ANY_ORIGIN, a callable, or a collection of these and of str, such as "
    "[SAME_HOST, 'https://app.example', 'https://*.example.com']"
)

_ADVICE = "; decide what takes time in process_request, or before accept()"

# RFC 6454, 6.2 and 7.1. origin = scheme "://" host [ ":" port ], or "null". The star is ours.
_ORIGIN = re.compile(r"null|[A-Za-z][A-Za-z0-9+.\-]*://(?:\*\.)?([^\s/?#@*]*)")
# RFC 1035, 2.3.1, and the "_" that some host names have.
_LABEL = re.compile(r"[a-z0-9_\-]+")
# WebSockets are opened from pages, whose scheme is http or https; some clients that are not browsers send the scheme
# of the connection.
_SCHEMES = {"ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_origin(origin: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an origin, so that equal origins compare equal (RFC 6454 4). Anything else, such
    as ``null``, is a scheme alone.
    """
    scheme, separator, authority = origin.lower().partition("://")
    scheme = _SCHEMES.get(scheme, scheme)
    split = split_host(authority)
    if split is None:
        return scheme + separator + authority, "", None
    host, port = split
    return scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port


def is_same_host(request: Request) -> bool:
    """Return whether a request comes from a page of the host and port that it names in ``Host``: the rule of
    `SAME_HOST`, for use in your own rules.

    The request does not say whether it came over TLS, so a host without a port gets the default port of the origin's
    scheme.

    :param request: the request. Without ``Origin``, or with several, the result is ``False``.

    >>> fields = {"Host": "example.com", "Origin": "https://example.com"}
    >>> rfc6455.is_same_host(rfc6455.Request("GET", "/", rfc6455.Headers(fields)))
    True
    """
    values = request.headers.get_all("Origin")
    asked = request.host or ""
    return len(values) == 1 and is_host(asked) and _is_of_host(values[0], asked)


def _is_of_host(origin: str, asked: str) -> bool:
    """Return whether this is the origin of a page of the requested host and port, which are valid."""
    if origin == "https://" + asked or origin == "http://" + asked:
        return True  # the form that browsers send, in most cases
    scheme, host, port = canonical_origin(origin)
    return scheme in _DEFAULT_PORTS and (scheme, host, port) == canonical_origin(f"{scheme}://{asked}")


class OriginRules:
    """The rules of one server.

    :param origins: see `ServerHandshake`.
    :raises LocalProtocolError: when a rule can never match anything.
    :raises TypeError: when an argument has the wrong type.
    """

    def __init__(self, origins: Origins) -> None:
        is_one = isinstance(origins, OriginPolicy) or callable(origins)
        rules: Sequence[OriginRule] = (origins,) if is_one else items_of(origins, _WHAT)
        for rule in rules:
            _check_rule(rule)
        written = [rule for rule in rules if isinstance(rule, str)]
        self._any_origin = any(rule is ANY_ORIGIN for rule in rules)
        self._same_host = any(rule is SAME_HOST for rule in rules)
        self._origins = {canonical_origin(origin) for origin in written if "*" not in origin}
        # The hosts before which one or more labels may stand.
        self._suffixes = {canonical_origin(origin.replace("*.", "", 1)) for origin in written if "*" in origin}
        self._callables = [rule for rule in rules if callable(rule)]

    def check(self, values: Sequence[str], request: Request, host: str) -> None:
        """Check that the page that connects may do so. A client that sends no ``Origin`` is not a browser and may
        connect: this is not for its requests.

        :param values: those of ``Origin``.
        :param host: the host and port that the request asks for, which are valid.
        :raises HandshakeError: 403 (4.2.2), or 400 for two origins.
        """
        if self._any_origin:
            return
        if len(values) > 1:
            raise HandshakeError(400, "there are two Origin headers", "RFC 6454 7.3")
        if not self._lets_in(values[0], request, host):
            origin = excerpt(values[0])
            reason = f"the page that connects has the origin {origin}, and this server is {excerpt(host)} to it"
            if _is_origin(values[0]):
                reason += f": origins=[{origin}] allows it; a proxy in front must pass on Host unchanged"
            raise HandshakeError(403, reason, "10.2", cause=CloseCause.OPENING_REFUSED)

    def _lets_in(self, origin: str, request: Request, host: str) -> bool:
        return (
            (self._same_host and _is_of_host(origin, host))
            or (bool(self._origins or self._suffixes) and self._is_listed(origin))
            or any(_allows(rule, request) for rule in self._callables)
        )

    def _is_listed(self, origin: str) -> bool:
        # 4.2.2: "The origin is serialized to ASCII and converted to lowercase."
        scheme, host, port = canonical_origin(origin)
        if (scheme, host, port) in self._origins:
            return True
        # One or more whole labels before a name that a star allows.
        labels = host.split(".") if self._suffixes else []
        return all(map(_LABEL.fullmatch, labels)) and any(
            (scheme, ".".join(labels[at:]), port) in self._suffixes for at in range(1, len(labels))
        )


def _check_rule(rule: OriginRule) -> None:
    if isinstance(rule, str):
        if not _is_origin(rule):
            raise LocalProtocolError(
                f"{excerpt(rule)} can never be an Origin: write scheme://host:port without a path, "
                "'https://*.example.com' for all subdomains, an international name in its xn-- form, or 'null'; for "
                "any other rule pass a callable, for any origin ANY_ORIGIN"
            )
    elif isinstance(rule, re.Pattern):
        raise TypeError(
            "origins takes no patterns, which let in more than is meant: write 'https://*.example.com' for the "
            "subdomains of a site, or a callable"
        )
    elif callable(rule) and not isinstance(rule, type):
        check_plain(rule, "a rule in origins", _ADVICE)
    elif not isinstance(rule, OriginPolicy):
        raise TypeError(f"{_WHAT}, not {described(rule)}")


def _is_origin(text: str) -> bool:
    """Return whether ``text`` can be one of the rules: an origin, or all subdomains of one."""
    match = _ORIGIN.fullmatch(text)
    return match is not None and not (match[1] and split_host(match[1]) is None) and not text.endswith("*.")


def _allows(rule: Callable[[Request], bool], request: Request) -> bool:
    """Return the answer of a rule of the application. A result that has to be awaited is refused, as it would count as
    true."""
    answer = rule(request)
    if isinstance(answer, Awaitable):
        raise TypeError(f"a rule in origins returned {answer!r}, not True or False{_ADVICE}")
    return answer


# Made once, as most servers have nothing but a policy.
_RULES_OF_POLICIES = {policy: OriginRules(policy) for policy in OriginPolicy}


def origin_rules(origins: Origins) -> OriginRules:
    """Return the rules for an argument ``origins``; see `OriginRules` for the errors."""
    if isinstance(origins, OriginPolicy):
        return _RULES_OF_POLICIES[origins]
    return OriginRules(origins)


class OwnHosts:
    """The names of this server, against DNS rebinding: if the owner of a name points it at this machine, a page of
    that name has the same host as the server, for the browser and for `SAME_HOST`.

    :param hosts: names and addresses without port.
    :raises LocalProtocolError: when one is not a host, or has a port.
    :raises TypeError: when it is not a collection of str.
    """

    def __init__(self, hosts: Collection[str]) -> None:
        self._names = frozenset(map(_name_of, items_of(hosts, _HOSTS)))

    def check(self, host: str | None) -> None:
        """Check that a request for this host and port is for this server.

        :raises HandshakeError: 421.
        """
        # Only HTTP/1.0 requests have no host, and no current browser sends those.
        if host is None:
            return
        split = split_host(host)
        if split is None or _own_name(split[0]) not in self._names:
            # RFC 9110, 15.5.20: 421 is for a server that is "unable or unwilling to produce an authoritative response
            # for the target URI".
            reason = f"this server is not {excerpt(host)}: hosts= lists its names"
            raise HandshakeError(421, reason, "RFC 9110 15.5.20", cause=CloseCause.OPENING_REFUSED)


_HOSTS = "hosts is a collection of names such as ['localhost', '127.0.0.1'], or None for any"


def _name_of(host: str) -> str:
    check_type(host, str, _HOSTS)
    split = split_host(host)
    if split is None or split[1] is not None or host.endswith(":") or "*" in host:
        raise LocalProtocolError(
            f"{excerpt(host)} cannot be in hosts: write a name or an address, in ASCII and without a port"
        )
    return _own_name(split[0])


def _own_name(host: str) -> str:
    """Return a host without the parts in which two names of the same server may differ: the dot at its end, and the
    zone of an IPv6 address, which clients leave out (RFC 6874 3) or number in their own way."""
    return host.partition("%")[0] if ":" in host else host.removesuffix(".")
