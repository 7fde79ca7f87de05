"""The meaning of header fields for a WebSocket: the `Request` of an opening handshake, and the grammars of its fields.

What lives here: lists of tokens (``Connection``, ``Sec-WebSocket-Protocol``) and the extension grammar
(``Sec-WebSocket-Extensions``). Not here: the negotiation (`negotiation.py`), and heads as bytes (`http1_heads.py`).

The law: time is linear in the length of the value, whatever its content. A pattern is matched only at the position
where the last one ended, and no two neighbouring repetitions in it can match the same character, so there is only one
way to match and no backtracking. The ABNF is above each pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..arguments import excerpt
from ..byte_loops import TCHAR
from ..errors import HandshakeError
from ..headers import Request as HttpRequest
from ..headers import is_token

SUBPROTOCOL = "Sec-WebSocket-Protocol"
EXTENSIONS = "Sec-WebSocket-Extensions"

# An extension as offered or agreed: its name, and its parameters in order (9.1).
ExtensionItem = tuple[str, "tuple[tuple[str, str | None], ...]"]

# The maximum number of names in a list, over all lines: more than any honest list has (browsers offer one extension,
# the longest known offers have six alternatives), and few enough that reading a list takes linear time (10.4).
MAX_LISTED = 128

# RFC 9110, 5.6.3. OWS = *( SP / HTAB )
OWS = r"[ \t]*"


class Request(HttpRequest):
    """The head of a client's opening handshake, over any version of HTTP.

    :ivar method: ``"GET"``, or over HTTP/2 and HTTP/3 ``"CONNECT"``.
    :ivar target: the request-target as it was sent: ``"/chat?room=1"``, or a whole ``http:`` URI.
    :ivar headers: the header fields.
    :ivar version: ``"HTTP/1.1"`` or ``"HTTP/2"``; ``"HTTP/1.0"`` only at a server that also serves plain HTTP.

    >>> request = rfc6455.Request("GET", "/chat?room=1", rfc6455.Headers({"Host": "example.com"}))
    >>> request.path, request.query, request.host, request.origin
    ('/chat', 'room=1', 'example.com', None)
    """

    __slots__ = ()

    @property
    def origin(self) -> str | None:
        """The origin of the page that wants to connect, or ``None`` if the client is not a browser (4.1, 10.2)."""
        return self.headers.get("Origin")

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client asks for, in order of preference (4.1).

        :raises HandshakeError: when the header breaks its grammar; never for a request that was checked.
        """
        return parse_token_list(self.headers.get_all(SUBPROTOCOL), SUBPROTOCOL)

    @property
    def is_upgrade(self) -> bool:
        """Whether the client wants a WebSocket, even if its request for one is invalid.

        A key without ``Upgrade`` counts: that is what is left after a proxy has removed the hop-by-hop fields.
        """
        lines = self.headers._by_name()
        return "sec-websocket-key" in lines or is_listed("websocket", lines.get("upgrade", ()))


def is_listed(option: str, values: Sequence[str]) -> bool:
    """Return whether the values of ``Upgrade`` or ``Connection`` list this option, in any case.

    :param option: its name in lower case.
    :param values: the value of each line of that header; several lines are one list.
    """
    if len(values) == 1 and values[0].lower() == option:
        return True  # the only element, as in most requests
    return option in [listed.strip(" \t") for listed in ",".join(values).lower().split(",")]


def parse_token_list(values: Iterable[str], name: str) -> list[str]:
    """Return the tokens of a list header, in order. Empty elements are skipped, as RFC 9110 5.6.1.2 requires of a
    recipient, so several lines of which some are empty are one list. A list of nothing but empty elements is treated
    as if it were missing: the grammar of 4.3 requires one token, but proxies and frameworks write such fields, and
    they cannot mean anything else.

    :param values: the value of each line of that header; several lines are one list.
    :param name: the name of the header, for the error.
    :raises HandshakeError: 400, when an element is not a token; 431 for more than `MAX_LISTED`.
    """
    tokens: list[str] = []
    for value in values:
        # #element = [ element ] *( OWS "," OWS [ element ] )        (RFC 9110, 5.6.1.2)
        elements = [element for part in value.split(",") if (element := part.strip(" \t"))]
        if len(tokens) + len(elements) > MAX_LISTED:
            raise _too_many(name)
        for element in elements:
            if not is_token(element):
                raise HandshakeError(400, f"{name} lists {excerpt(element)}, which is not a token", "4.3")
        tokens += elements
    return tokens


def _too_many(name: str) -> HandshakeError:
    # RFC 6585, 5: 431 can also be used "when a single header field is at fault".
    return HandshakeError(431, f"{name} lists more than {MAX_LISTED} names", "10.4")


# The grammar of 4.3 and 9.1, with the "implied *LWS" of RFC 2616 written out as OWS:
#
#   extension-list  = 1#extension
#   extension       = extension-token *( ";" extension-param )
#   extension-param = token [ "=" (token | quoted-string) ]
#                   ; When using the quoted-string syntax variant, the value after quoted-string unescaping
#                   ; MUST conform to the 'token' ABNF.
#
# RFC 9110, 5.6.4:
#   quoted-string   = DQUOTE *( qdtext / quoted-pair ) DQUOTE
#   qdtext          = HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text
#   quoted-pair     = "\" ( HTAB / SP / VCHAR / obs-text )
_EXTENSION_NAME = re.compile(rf"[ \t,]*({TCHAR}+){OWS}")
_END_OF_LIST = re.compile(r"[ \t,]*")
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_EXTENSION_PARAM = re.compile(rf";{OWS}({TCHAR}+){OWS}(?:={OWS}(?:({TCHAR}+)|{_QUOTED}){OWS})?")
_QUOTED_PAIR = re.compile(r"\\(.)")


def parse_extensions(values: Sequence[str]) -> tuple[ExtensionItem, ...]:
    """Return what ``Sec-WebSocket-Extensions`` lists, in order: ``("x", (("bits", "10"), ("flag", None)))`` and so on.

    A name or a parameter may come several times: the extension decides whether that means anything. Empty elements are
    skipped, and a list of nothing else is empty, as in `parse_token_list`.

    :param values: the value of each line of that header; several lines are one list (11.3.2, erratum 3433).
    :raises HandshakeError: 400, when a value does not follow the grammar of 9.1; 431 for more than `MAX_LISTED`
        extensions and parameters.
    """
    if len(values) == 1 and len(values[0]) <= _LONGEST_KEPT:
        return _kept_extension_list(values[0], MAX_LISTED)
    items: list[ExtensionItem] = []
    room = MAX_LISTED
    for value in values:
        listed = _parse_extension_list(value, room)
        room -= sum(1 + len(parameters) for _, parameters in listed)
        items += listed
    return tuple(items)


def _parse_extension_list(value: str, room: int) -> tuple[ExtensionItem, ...]:
    items: list[ExtensionItem] = []
    at = 0
    while (name := _EXTENSION_NAME.match(value, at)) is not None:
        parameters: list[tuple[str, str | None]] = []
        room -= 1
        at = name.end()
        while (parameter := _EXTENSION_PARAM.match(value, at)) is not None:
            parameters.append((parameter[1], _parameter_value(parameter, value)))
            at = parameter.end()
            room -= 1
            if room < 0:
                raise _too_many(EXTENSIONS)
        if room < 0:
            raise _too_many(EXTENSIONS)
        if at < len(value) and value[at] != ",":
            raise _bad_extensions(value, at)
        items.append((name[1], tuple(parameters)))
    if _END_OF_LIST.fullmatch(value, at) is None:
        raise _bad_extensions(value, at)
    return tuple(items)


# Each browser always sends the same value, so the last few values are kept in parsed form. 100 characters are enough
# for the longest of them, and 32 values for all browsers and libraries. Together they take at most 200 KB.
_LONGEST_KEPT = 100
_kept_extension_list = lru_cache(32)(_parse_extension_list)


def _parameter_value(parameter: re.Match[str], value: str) -> str | None:
    token, quoted = parameter.group(2, 3)
    if quoted is None:
        return token
    unquoted = _QUOTED_PAIR.sub(r"\1", quoted)
    if not is_token(unquoted):
        raise _bad_extensions(value, parameter.start(3))
    return unquoted


def _bad_extensions(value: str, at: int) -> HandshakeError:
    reason = f"Sec-WebSocket-Extensions does not follow the grammar at character {at}: {excerpt(value[at : at + 61])}"
    return HandshakeError(400, reason, "9.1")
