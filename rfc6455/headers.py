"""The heads of HTTP as values: `Headers`, an ordered multi-dict, `Request` and `Response`.

Names and values are `str` with one character for each octet (latin-1), so that no octet that HTTP allows can fail to
decode. Not here: heads as bytes (`http1_heads.py`), and what a field means to a WebSocket (`handshake/fields.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .arguments import as_bytes, as_int
from .byte_loops import TCHAR

_TOKEN = re.compile(rf"{TCHAR}+")


class Headers:
    """The header fields of a request or a response: ordered, with repeated names allowed, and case-insensitive.

    Headers are immutable. ``headers["Host"]`` is a single value: the values of all lines with that name, joined by
    commas, which means the same according to RFC 9110 5.2. ``Cookie`` is joined by ``"; "`` (RFC 9113 8.2.3);
    ``Set-Cookie`` cannot be joined, so use `get_all` for it. Iterating yields ``(name, value)`` pairs as they were on
    the wire, so ``Headers(headers) == headers``.

    :param source: pairs of `str` or `bytes`, a mapping of `str`, or other Headers. Bytes are decoded as latin-1.
    :raises TypeError: when it is anything else, or when a name or a value is neither `str` nor `bytes`.

    >>> headers = rfc6455.Headers([("Host", "example.com"), ("Via", "one"), ("via", "two")])
    >>> headers["host"], headers["VIA"], headers.get_all("Via"), headers.get("Origin")
    ('example.com', 'one, two', ('one', 'two'), None)
    """

    __slots__ = ("_index", "_is_good", "_pairs")

    def __init__(self, source: HeaderSource = ()) -> None:
        pairs = source.items() if isinstance(source, Mapping) else source
        if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
            raise _not_headers("not", source)
        self._pairs: Sequence[tuple[str, str]] = [_pair(pair) for pair in pairs]
        self._index: dict[str, tuple[str, ...]] | None = None
        self._is_good = False

    @classmethod
    def _known_good(cls, pairs: Sequence[tuple[str, str]], index: dict[str, tuple[str, ...]] | None = None) -> Headers:
        """Make headers from pairs that are known to be valid: those of a head that was read, or of an answer that was
        checked.

        :param index: the same as `_by_name` would make it, if it is there already.
        """
        headers = cls.__new__(cls)
        headers._pairs = pairs
        headers._index = index
        headers._is_good = True
        return headers

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return the values of all lines called ``name``, in order; an empty tuple if there are none.

        :param name: the name, in upper or lower case.
        """
        if not isinstance(name, str):
            # A name of bytes would never be found, although the constructor accepts such names.
            raise TypeError(f"the name of a header to look up is a str, not {type(name).__name__}")
        return self._by_name().get(name.lower(), ())

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of ``name``, with several lines joined into one, or ``default`` if there is no such header.

        :param name: the name, in upper or lower case.

        >>> rfc6455.Headers([("cookie", "id=1"), ("cookie", "theme=dark")]).get("Cookie")
        'id=1; theme=dark'
        """
        values = self.get_all(name)
        if not values:
            return default
        # RFC 9113, 8.2.3: split Cookie fields "MUST be concatenated into a single octet string using the two-octet
        # delimiter of 0x3b, 0x20 (the ASCII string "; ")". A comma may be part of a cookie.
        return values[0] if len(values) == 1 else ("; " if name.lower() == "cookie" else ", ").join(values)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._by_name()

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

    def __reduce__(self) -> tuple[Any, ...]:
        return Headers, (list(self._pairs),)

    def _by_name(self) -> Mapping[str, tuple[str, ...]]:
        """Return the values of all lines by their names in lower case, for callers that look up many fields."""
        if self._index is None:
            self._index = {name.lower(): (value,) for name, value in self._pairs}
            if len(self._index) < len(self._pairs):  # a name is repeated, which is rare
                lists: dict[str, list[str]] = {name: [] for name in self._index}
                for name, value in self._pairs:
                    lists[name.lower()].append(value)
                self._index = {name: tuple(values) for name, values in lists.items()}
        return self._index

    def _folded(self) -> tuple[tuple[str, str], ...]:
        return tuple((name.lower(), value) for name, value in self._pairs)


# The type of the argument of `Headers`, and of all arguments named ``headers`` in this package.
HeaderSource = Headers | Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]


# The messages below never show a value, as it may be a secret.


def _pair(pair: object) -> tuple[str, str]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise _not_headers("and cannot hold", pair)
    return _text(pair[0]), _text(pair[1])


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(f"the name and the value of a header are str or bytes, not {type(value).__name__}")


def _not_headers(but: str, got: object) -> TypeError:
    return TypeError(
        "headers is a mapping of names to values or an iterable of (name, value) pairs, "
        f"such as [('Server', 'x')], {but} {type(got).__name__}"
    )


def is_token(text: str) -> bool:
    """Return whether ``text`` is a token, the form that the names of headers and methods have (RFC 9110 5.6.2).

    :param text: any text.
    """
    return _TOKEN.fullmatch(text) is not None


class Request(NamedTuple):
    """The head of an HTTP request.

    :ivar method: ``"GET"``, or for RFC 8441 ``"CONNECT"``.
    :ivar target: the request-target as it was sent: ``"/chat?room=1"``, or a whole ``http:`` URI.
    :ivar headers: the header fields.
    :ivar version: ``"HTTP/1.1"``, ``"HTTP/1.0"`` or ``"HTTP/2"``. A later version of HTTP/1, which is treated as
        HTTP/1.1, is named as it was sent.
    """

    method: str
    target: str
    headers: Headers = Headers()
    version: str = "HTTP/1.1"

    @property
    def resource_name(self) -> str:
        """The path and the query, whatever the form of the target (RFC 6455 3); ``"*"`` for the asterisk-form of
        OPTIONS."""
        target = self.target
        absolute = None if target.startswith("/") else _ABSOLUTE_FORM.fullmatch(target)
        if absolute is None:
            return target
        return absolute[2] if absolute[2].startswith("/") else "/" + absolute[2]

    @property
    def path(self) -> str:
        """The part of the resource name before the ``?``, without percent-decoding."""
        return self.resource_name.partition("?")[0]

    @property
    def query(self) -> str:
        """The part of the resource name after the ``?``, without percent-decoding, or ``""`` if there is no ``?``."""
        return self.resource_name.partition("?")[2]

    @property
    def host(self) -> str | None:
        """The requested host and port, or ``None``. A target in absolute form overrides ``Host`` (RFC 9112 3.2.2)."""
        target = self.target
        absolute = None if target.startswith("/") else _ABSOLUTE_FORM.fullmatch(target)
        return self.headers.get("Host") if absolute is None else absolute[1]


# RFC 9112, 3.2.2. absolute-form = absolute-URI, here with http or https (RFC 6455, 4.1), or with ws or wss, which some
# clients send with the same meaning; its parts as in RFC 3986, B.
_ABSOLUTE_FORM = re.compile(r"(?:https?|wss?)://([^/?#]*)([^#]*)", re.IGNORECASE)


class _Response(NamedTuple):
    status: int
    headers: Headers
    body: bytes
    version: str


class Response(_Response):
    """An HTTP response.

    :ivar status: the status code, 100 to 999.
    :ivar headers: the header fields. The argument may be anything that `Headers` takes.
    :ivar body: the body, or as much of it as was read. The argument may be any binary data.
    :ivar version: ``"HTTP/1.1"``; a client may get ``"HTTP/1.0"``, and reports ``"HTTP/2"`` for RFC 8441.
    :raises TypeError: when the status, the headers or the body have the wrong type. A body is not text.

    >>> handshake = rfc6455.ClientHandshake("ws://example.com/")
    >>> try:
    ...     handshake.receive_response(503, {"Retry-After": "5"}, b"busy")
    ... except rfc6455.HandshakeError as error:
    ...     print(error.response.status, error.response.headers["Retry-After"], error.response.body)
    503 5 b'busy'
    """

    __slots__ = ()

    def __new__(
        cls,
        status: int,
        headers: HeaderSource = (),
        body: bytes | bytearray | memoryview = b"",
        version: str = "HTTP/1.1",
    ) -> Response:
        number = as_int(status, "status is a number such as 404")
        fields = headers if isinstance(headers, Headers) else Headers(headers)
        return super().__new__(cls, number, fields, as_bytes(body, "a body"), version)
