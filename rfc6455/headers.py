"""Header fields: an ordered multi-dict, and the little grammars that the values of ours are written in.

What lives here: `Headers`; lists of tokens (``Connection``, ``Sec-WebSocket-Protocol``); the extension grammar
(``Sec-WebSocket-Extensions``). What must not: heads and lines (`http1_heads.py`), and what a value means.

The law: time is linear in the value, whatever it holds. A pattern is matched at one place, where the last one ended,
and no two neighbouring repetitions in it can match the same character, so that there is only one way to match and
nothing to try again. The ABNF stands above each pattern. Names and values are `str` with one character for each octet
(latin-1), so that no octet that HTTP lets through can fail to decode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .arguments import excerpt
from .errors import HandshakeError, LocalProtocolError
from .extensions import Parameters

# An extension as offered or agreed: its name, and its parameters in order (9.1).
ExtensionItem = tuple[str, "list[tuple[str, str | None]]"]

# RFC 9110, 5.6.2. token = 1*tchar
TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# RFC 9110, 5.6.3. OWS = *( SP / HTAB )
OWS = r"[ \t]*"
_TOKEN = re.compile(rf"{TCHAR}+")


# What there was is not shown: it may be a secret.
_NO_PAIRS = "headers are pairs of a name and a value, or a mapping, and this is neither"


class Headers:
    """The header fields of a request or a response: in order, several of one name allowed, names without case.

    It does not change after it is made. ``headers["Host"]`` gives one value: those of all lines of that name, joined
    by a comma, which RFC 9110 5.2 defines to mean the same (``Set-Cookie`` is the exception: use `get_all`).
    Iterating gives ``(name, value)`` pairs as they stood on the wire, so ``Headers(headers) == headers``.

    :param source: pairs of `str` or `bytes`, a mapping of `str`, or other Headers. Bytes are taken as latin-1.
    :raises LocalProtocolError: when it is something else, or a name or a value is neither `str` nor `bytes`.

    >>> headers = rfc6455.Headers([("Host", "example.com"), ("Via", "one"), ("via", "two")])
    >>> headers["host"], headers["VIA"], headers.get_all("Via"), headers.get("Origin")
    ('example.com', 'one, two', ('one', 'two'), None)
    """

    __slots__ = ("_index", "_is_good", "_pairs")

    def __init__(self, source: HeaderSource = ()) -> None:
        if isinstance(source, Mapping):
            source = source.items()
        elif isinstance(source, (str, bytes)):
            raise LocalProtocolError(_NO_PAIRS)
        try:
            self._pairs: Sequence[tuple[str, str]] = [(_text(name), _text(value)) for name, value in source]
        except (TypeError, ValueError) as error:
            raise LocalProtocolError(_NO_PAIRS) from error
        self._index: dict[str, tuple[str, ...]] | None = None
        self._is_good = False

    @classmethod
    def _known_good(cls, pairs: Sequence[tuple[str, str]]) -> Headers:
        """Made from pairs that were found good, without another look: of a head that was read, of a checked answer."""
        headers = cls.__new__(cls)
        headers._pairs = pairs
        headers._index = None
        headers._is_good = True
        return headers

    def get_all(self, name: str) -> tuple[str, ...]:
        """The values of all lines called ``name``, in order; empty when there is none.

        :param name: in any case.
        """
        if self._index is None:
            self._index = self._make_index()
        return self._index.get(name.lower(), ())

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of ``name``, several lines joined by a comma; ``default`` when there is none.

        :param name: in any case.
        """
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._folded() == other._folded()

    def __hash__(self) -> int:
        return hash(self._folded())

    def __repr__(self) -> str:
        return f"Headers({list(self._pairs)!r})"

    def _make_index(self) -> dict[str, tuple[str, ...]]:
        index: dict[str, tuple[str, ...]] = {name.lower(): (value,) for name, value in self._pairs}
        if len(index) == len(self._pairs):
            return index
        lists: dict[str, list[str]] = {name: [] for name in index}  # a name comes several times, which is rare
        for name, value in self._pairs:
            lists[name.lower()].append(value)
        return {name: tuple(values) for name, values in lists.items()}

    def _folded(self) -> tuple[tuple[str, str], ...]:
        return tuple((name.lower(), value) for name, value in self._pairs)


# What the constructor of `Headers` takes, and with it every argument named ``headers`` in this package.
HeaderSource = Headers | Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]


def _text(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise LocalProtocolError(f"a header is a pair of str or bytes, not {type(value).__name__}")


def is_token(text: str) -> bool:
    """Whether ``text`` is a token, the kind of word that names headers, subprotocols and extensions are."""
    return _TOKEN.fullmatch(text) is not None


def parse_token_list(values: Iterable[str], name: str) -> list[str]:
    """The tokens of a list header, in order; empty elements are skipped, as RFC 9110 5.6.1.2 asks of a recipient.

    :param values: the value of each line of that header; several lines are one list.
    :param name: of the header, for the error.
    :raises HandshakeError: 400, when an element is not a token, or when a line lists nothing.
    """
    tokens: list[str] = []
    for value in values:
        # 1#element = *( "," OWS ) element *( OWS "," [ OWS element ] )        (RFC 9110, 5.6.1)
        elements = [element for part in value.split(",") if (element := part.strip(" \t"))]
        if not elements:
            raise HandshakeError(400, f"{name} lists nothing; at least one token is required", "4.3")
        for element in elements:
            if not is_token(element):
                raise HandshakeError(400, f"{name} lists {excerpt(element)}, which is not a token", "4.3")
        tokens += elements
    return tokens


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


def parse_extensions(values: Iterable[str]) -> list[ExtensionItem]:
    """What ``Sec-WebSocket-Extensions`` lists, in order: ``[("x", [("bits", "10"), ("flag", None)]), ...]``.

    A name or a parameter may come several times: whether that means anything is for the extension to say.

    :param values: the value of each line of that header; several lines are one list (11.3.2, erratum 3433).
    :raises HandshakeError: 400, when a value does not follow the grammar of 9.1.
    """
    items: list[ExtensionItem] = []
    for value in values:
        items += _parse_extension_list(value)
    return items


def _parse_extension_list(value: str) -> list[ExtensionItem]:
    items: list[ExtensionItem] = []
    at = 0
    while (name := _EXTENSION_NAME.match(value, at)) is not None:
        parameters: list[tuple[str, str | None]] = []
        at = name.end()
        while (parameter := _EXTENSION_PARAM.match(value, at)) is not None:
            parameters.append((parameter[1], _parameter_value(parameter, value)))
            at = parameter.end()
        if at < len(value) and value[at] != ",":
            raise _bad_extensions(value, at)
        items.append((name[1], parameters))
    if not items or _END_OF_LIST.fullmatch(value, at) is None:
        raise _bad_extensions(value, at)
    return items


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


def serialize_extension(name: str, parameters: Parameters = ()) -> str:
    """One extension as it stands in ``Sec-WebSocket-Extensions``: ``"x; bits=10; flag"`` (9.1).

    :raises LocalProtocolError: when a name or a value is not a token.
    """
    words = [name, *(word for parameter in parameters for word in parameter if word is not None)]
    for word in words:
        if not is_token(word):
            raise LocalProtocolError(f"{excerpt(word)} is not a token: an extension cannot be written with it (9.1)")
    return "; ".join([name, *(key if value is None else f"{key}={value}" for key, value in parameters)])
