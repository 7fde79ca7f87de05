"""Access: the names under which this server is reached, and the pages that may connect. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import rfc6455
from service.letters import MAX_NAME

if TYPE_CHECKING:
    from service.proxies import Caller
    from service.settings import Settings


@dataclass(frozen=True)
class Refusal:
    """The refusal of a request: ``body`` is for the client, ``reason`` and ``value`` are for the log."""

    status: int
    body: str
    reason: str
    value: str


def refusal_of(request: rfc6455.Request, settings: Settings) -> Refusal | None:
    """Return the refusal of the request, or ``None`` if it is accepted."""
    refusal = _refusal_of_host(request, settings)
    return _refusal_of_page(request, settings) if refusal is None and request.is_upgrade else refusal


def name_of(host: str) -> str:
    """Return a ``Host`` without its port, in the form in which names are compared, or ``""`` if it is not valid."""
    is_bare_ipv6 = host.count(":") > 1 and not host.startswith("[")
    try:
        name = rfc6455.parse_uri(f"ws://[{host}]/" if is_bare_ipv6 else f"ws://{host}/").host.removesuffix(".")
    except rfc6455.LocalProtocolError:
        return ""
    return "" if name.endswith(".") else name


def _refusal_of_host(request: rfc6455.Request, settings: Settings) -> Refusal | None:
    """Refuse a name that is not in the list of this server's names, if there is such a list.

    On loopback there always is. Without it, a site could make its own name point to this machine (DNS rebinding). Its
    page would then have the same origin as the chat, and could read and write in it. Only HTTP/1.0 requests may have
    no ``Host``; they come from programs that watch a server, but from no browser.
    """
    host = request.host
    if settings.names is None or host is None:
        return None
    name = name_of(host)
    if name and name in settings.names:
        return None
    advice = f"; to change that, start it with --allow-host {name}" if name else ""
    return Refusal(421, f"This chat is not served as {host}{advice}.\n", "host", host)


def _refusal_of_page(request: rfc6455.Request, settings: Settings) -> Refusal | None:
    """Refuse pages of other sites (10.2). The server's own pages, those that the settings name, and clients other than
    browsers may connect.

    A page from disk has the origin ``null``, and so has any page that hides its own. On loopback, such a page may
    connect, unless the settings say otherwise.
    """
    origin = request.origin
    if origin is None or origin in settings.allow_origin:
        return None
    if settings.allows_null if origin == "null" else rfc6455.is_same_host(request):
        return None
    body = (
        f"Pages of the origin {origin} may not connect here; to allow them, start it with --allow-origin {origin}.\n"
    )
    if origin != "null":
        body += f"If it is the chat's own page, a proxy has asked for {request.host} instead: make it pass on Host.\n"
    return Refusal(403, body, "origin", origin)


def refusal_of_caller(caller: Caller, settings: Settings) -> Refusal | None:
    """Refuse a client without a usable name if a proxy has to vouch for names. Otherwise, it could take the name of a
    client that has one."""
    if settings.user_header is None or caller.user:
        return None
    name = f"a name of at most {MAX_NAME} letters"
    body = f"To chat, you need {name}, which a proxy of --trust-proxy has to send in {settings.user_header}.\n"
    return Refusal(403, body, "user", caller.address)
