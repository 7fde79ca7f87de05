"""HTTP/1.1 heads: bytes <-> `Request` and `Response` (RFC 9112), within limits.

What lives here: the reader of a head that arrives in any split, and the writer, also of an answer with the short body
that explains it. What must not: reading bodies, chunking, and what the fields mean to a WebSocket (`handshake/`).

How the reader works. A head is a sequence of pieces, named as in the ABNF. For each piece a table says which octets it
is made of and which octet ends it; **what is not in the table is an error**, reported when that octet arrives and not
at the end of the head. The reader remembers where it stopped, so nothing is scanned again. Most lines arrive whole:
one pattern then takes all good lines together, and the table is left with what that pattern does not match.

It is strict where leniency has been a security hole, because two readers that disagree on where a line ends can be
made to see two different requests: no bare CR or LF, no folded lines, no space before the colon, no control
characters, no empty lines before the start line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple

from .arguments import as_bytes, excerpt
from .errors import HandshakeError, LocalProtocolError
from .headers import TCHAR, Headers, is_token, parse_token_list
from .limits import Limits

CR, LF, SP, COLON = b"\r\n :"


class Request(NamedTuple):
    """The head of a request.

    :ivar method: ``"GET"``, or for RFC 8441 ``"CONNECT"``.
    :ivar target: the request-target as it was sent: ``"/chat?room=1"``, or a whole ``http:`` URI.
    :ivar headers: the header fields.
    :ivar version: ``"HTTP/1.1"`` or ``"HTTP/2"``.

    >>> request = rfc6455.Request("GET", "/chat?room=1", rfc6455.Headers({"Host": "example.com"}))
    >>> request.path, request.query, request.host, request.origin
    ('/chat', 'room=1', 'example.com', None)
    """

    method: str
    target: str
    headers: Headers = Headers()
    version: str = "HTTP/1.1"

    @property
    def resource_name(self) -> str:
        """Path and query, whichever form the target has (section 3)."""
        absolute = self._absolute_form
        if absolute is None:
            return self.target
        return absolute[2] if absolute[2].startswith("/") else "/" + absolute[2]

    @property
    def path(self) -> str:
        """The resource name up to the ``?``, still percent-encoded."""
        return self.resource_name.partition("?")[0]

    @property
    def query(self) -> str:
        """The resource name after the ``?``, still percent-encoded; empty when there is none."""
        return self.resource_name.partition("?")[2]

    @property
    def host(self) -> str | None:
        """Host and port that were asked for. A target in absolute form overrides ``Host`` (RFC 9112 3.2.2)."""
        absolute = self._absolute_form
        return self.headers.get("Host") if absolute is None else absolute[1]

    @property
    def origin(self) -> str | None:
        """The origin of the script that connects; ``None`` when it is not a browser that does (4.1, 10.2)."""
        return self.headers.get("Origin")

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client speaks, the one it likes best first (4.1).

        :raises HandshakeError: when the header does not follow its grammar; never for a request that was checked.
        """
        return parse_token_list(self.headers.get_all("Sec-WebSocket-Protocol"), "Sec-WebSocket-Protocol")

    @property
    def is_upgrade(self) -> bool:
        """Whether the client wants a WebSocket, be the request for it right or wrong.

        A key without ``Upgrade`` counts: that is what is left when a proxy has taken the hop-by-hop fields away.
        """
        wanted = ",".join(self.headers.get_all("Upgrade")).lower().split(",")
        return "Sec-WebSocket-Key" in self.headers or "websocket" in (option.strip(" \t") for option in wanted)

    @property
    def _absolute_form(self) -> re.Match[str] | None:
        return None if self.target.startswith("/") else _ABSOLUTE_FORM.fullmatch(self.target)


class Response(NamedTuple):
    """A response.

    :ivar status: the status code, 100 to 999.
    :ivar headers: the header fields.
    :ivar body: the body, or as much of it as was read.
    :ivar version: ``"HTTP/1.1"``; a client may meet ``"HTTP/1.0"``, and gives ``"HTTP/2"`` for RFC 8441.

    >>> handshake = rfc6455.ClientHandshake("ws://example.com/")
    >>> try:
    ...     handshake.from_response(503, {"Retry-After": "5"}, b"busy")
    ... except rfc6455.HandshakeError as error:
    ...     print(error.response.status, error.response.headers["Retry-After"], error.response.body)
    503 5 b'busy'
    """

    status: int
    headers: Headers = Headers()
    body: bytes = b""
    version: str = "HTTP/1.1"


# RFC 9112, 3.2.2. absolute-form = absolute-URI, here of http or https (RFC 6455, 4.1); its parts as in RFC 3986, B.
_ABSOLUTE_FORM = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)([^#]*)")


# ---- The grammar of a head, as octets ----


class _Piece(NamedTuple):
    """One piece of a head: the octets it is made of, what may end it, and what follows then."""

    octets: re.Pattern[bytes]
    ends: Mapping[int, str]
    section: str
    may_be_empty: bool = False
    otherwise: str | None = None  # what begins here, when the octet is none of the ends
    check: Callable[[bytes], None] | None = None


_NONE = re.compile(rb"")
_TCHARS = re.compile(TCHAR.encode() + rb"*")
# RFC 9112, 3.2. The forms of request-target are all made of VCHAR.
_VCHARS = re.compile(rb"[\x21-\x7e]*")
# RFC 9110, 5.5. field-vchar = VCHAR / obs-text, and inside a value SP and HTAB. RFC 9112, 4: reason-phrase likewise.
_FIELD_OCTETS = rb"[\t\x20-\x7e\x80-\xff]*"
_FIELD_VCHARS = re.compile(_FIELD_OCTETS)
# RFC 9112, 2.3. HTTP-version = HTTP-name "/" DIGIT "." DIGIT
_VERSION_OCTETS = re.compile(rb"[HTP/.0-9]*")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
# RFC 9112, 4. status-code = 3DIGIT
_DIGITS = re.compile(rb"[0-9]*")
_STATUS = re.compile(rb"[1-9][0-9]{2}")

_LINE, _END, _DONE = "start of a line", "end of the head", "done"


def _check_request_version(version: bytes) -> None:
    # 4.1: "the HTTP version MUST be at least 1.1". A server of HTTP/1.1 cannot read 2 or 3 in this form either.
    if version != b"HTTP/1.1":
        status = 505 if _VERSION.fullmatch(version) else 400
        raise HandshakeError(status, f"the HTTP version is {excerpt(version)}; HTTP/1.1 is required", "4.2.1")


def _check_response_version(version: bytes) -> None:
    # A refusal may come from an old proxy; that a 101 is of HTTP/1.1 is checked with the 101.
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise HandshakeError(400, f"the response begins with {excerpt(version)}, not with HTTP/1.1", "RFC 9112 2.3")


def _check_status(status: bytes) -> None:
    if not _STATUS.fullmatch(status):
        raise HandshakeError(400, f"the status code is {excerpt(status)}; 3 digits are required", "RFC 9112 4")


# field-line = field-name ":" OWS field-value OWS                (RFC 9112, 5: "No whitespace is allowed between the
#                                                                 field name and colon")
# HTTP-message = start-line CRLF *( field-line CRLF ) CRLF       (RFC 9112, 2.1)
_FIELD_LINES = {
    _LINE: _Piece(_NONE, {CR: _END}, "RFC 9112 2.1", may_be_empty=True, otherwise="field-name"),
    "field-name": _Piece(_TCHARS, {COLON: "field-value"}, "RFC 9112 5.1"),
    "field-value": _Piece(_FIELD_VCHARS, {CR: "end of the line"}, "RFC 9112 5.5", may_be_empty=True),
    "end of the line": _Piece(_NONE, {LF: _LINE}, "RFC 9112 2.2", may_be_empty=True),
    _END: _Piece(_NONE, {LF: _DONE}, "RFC 9112 2.2", may_be_empty=True),
}

# request-line = method SP request-target SP HTTP-version        (RFC 9112, 3)
_REQUEST_PIECES: Mapping[str, _Piece] = {
    "method": _Piece(_TCHARS, {SP: "request-target"}, "RFC 9112 3.1"),
    "request-target": _Piece(_VCHARS, {SP: "HTTP-version"}, "RFC 9112 3.2"),
    "HTTP-version": _Piece(_VERSION_OCTETS, {CR: "end of the line"}, "RFC 9112 2.3", check=_check_request_version),
    **_FIELD_LINES,
}

# status-line = HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112, 4). The second SP must come even before an
# empty phrase, but enough servers leave it out, and there is no second way to read a line without it.
_RESPONSE_PIECES: Mapping[str, _Piece] = {
    "HTTP-version": _Piece(_VERSION_OCTETS, {SP: "status-code"}, "RFC 9112 2.3", check=_check_response_version),
    "status-code": _Piece(_DIGITS, {SP: "reason-phrase", CR: "end of the line"}, "RFC 9112 4", check=_check_status),
    "reason-phrase": _Piece(_FIELD_VCHARS, {CR: "end of the line"}, "RFC 9112 4", may_be_empty=True),
    **_FIELD_LINES,
}

# What the tables say, as patterns that take all good lines that are there at once. Group 1 is the end of the head.
_TOKEN_OCTETS = TCHAR.encode() + rb"+"
_GOOD_LINES = rb"(?:" + _TOKEN_OCTETS + rb":" + _FIELD_OCTETS + rb"\r\n)*(\r\n)?"
_GOOD_FIELDS = re.compile(_GOOD_LINES)
_GOOD_REQUEST = re.compile(_TOKEN_OCTETS + rb" [\x21-\x7e]+ HTTP/1\.1\r\n" + _GOOD_LINES)
_GOOD_RESPONSE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: " + _FIELD_OCTETS + rb")?\r\n" + _GOOD_LINES)
# To take apart a head that was found good.
_FIELD = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")


# ---- Reading ----


class _HeadReader:
    """Collects the octets of one head; see the top of the file."""

    _pieces: Mapping[str, _Piece]
    _good: Mapping[str, re.Pattern[bytes]]  # where a line begins: what takes good lines from there
    _first: str
    _line_status: int

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._earlier = 0  # how many octets the heads before this one had
        self._buffer = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._piece = self._first
        self._at = 0  # all before this is checked
        self._piece_start = 0
        self._line_start = 0
        self._lines = 0  # field lines begun

    @property
    def unread(self) -> bytes:
        """What came after the head."""
        return bytes(self._buffer[self._at :])

    @property
    def size(self) -> int:
        """How many octets of head were read so far, with the heads before this one."""
        return self._earlier + self._at

    def drop(self) -> None:
        """Lets go of all that came."""
        self._buffer = bytearray()
        self._begin()

    def next_head(self) -> None:
        """Goes on with another head after this one. All of them together have the limit of one."""
        self._earlier += self._at
        del self._buffer[: self._at]
        self._begin()

    def _receive(self, data: bytes | bytearray | memoryview | None) -> str | None:
        """Takes what has come, and gives the head when it is whole; ``None`` before.

        :param data: ``b""`` is the end of file; ``None`` is nothing new.
        :raises HandshakeError: as soon as what has come cannot be the beginning of a good head.
        """
        if data is not None and not data:
            raise HandshakeError(400, f"end of file in the head, in the {self._piece}", "RFC 9112 8")
        self._buffer += data or b""
        end = min(len(self._buffer), self._limits.head - self._earlier)
        while self._at < end and self._piece != _DONE:
            if not self._take_good_lines(end):
                self._take_piece(end)
        if self._piece == _DONE:
            return self._buffer[: self._at].decode("latin-1")
        if len(self._buffer) > end:
            raise HandshakeError(431, f"the head is longer than {self._limits.head} bytes", "10.4")
        return None

    def _take_good_lines(self, end: int) -> bool:
        pattern = self._good.get(self._piece) if self._at == self._line_start else None
        # No further than the longest line, so that none that is taken here can be too long.
        match = pattern and pattern.match(self._buffer, self._at, min(end, self._at + self._limits.line))
        if not match or match.end() == self._at:
            return False
        is_done = match.end(1) > 0
        self._lines += self._buffer.count(b"\n", self._at, match.end()) - (self._at == 0) - is_done
        self._check_line_count()
        self._enter(_DONE if is_done else _LINE, match.end())
        return True

    def _take_piece(self, end: int) -> None:
        piece = self._pieces[self._piece]
        match = piece.octets.match(self._buffer, self._at, end)
        if match is not None and match.end() > self._at:
            self._at = match.end()
            self._check_line_length()
        if self._at < end:
            self._end_piece(piece, self._buffer[self._at])

    def _end_piece(self, piece: _Piece, octet: int) -> None:
        following = piece.ends.get(octet)
        if following is None and piece.otherwise is not None:
            self._lines += 1
            self._check_line_count()
            self._enter(piece.otherwise, self._at)
        elif following is None or (self._at == self._piece_start and not piece.may_be_empty):
            raise HandshakeError(400, self._unexpected(piece, octet), piece.section)
        else:
            if piece.check is not None:
                piece.check(bytes(self._buffer[self._piece_start : self._at]))
            self._enter(following, self._at + 1)

    def _enter(self, piece: str, at: int) -> None:
        self._piece = piece
        self._at = self._piece_start = at
        if piece == _LINE:
            self._line_start = at

    def _check_line_length(self) -> None:
        if self._at - self._line_start > self._limits.line:
            # RFC 9112, 3: for a request line that is too long there is a status of its own.
            status = self._line_status if self._line_start == 0 else 431
            raise HandshakeError(status, f"a line is longer than {self._limits.line} bytes", "10.4")

    def _check_line_count(self) -> None:
        if self._lines > self._limits.headers:
            raise HandshakeError(431, f"there are more than {self._limits.headers} header lines", "10.4")

    def _unexpected(self, piece: _Piece, octet: int) -> str:
        ends = " or ".join(repr(bytes((end,)))[1:] for end in piece.ends)
        where = f"got {repr(bytes((octet,)))[1:]} at byte {self._at}, in the {self._piece}"
        return f"{where}, which must be ended by {ends}"


class RequestReader(_HeadReader):
    """Reads one request head from bytes in any split.

    :param limits: ``head``, ``line`` and ``headers`` of it apply: 414 for the request line, 431 for the rest.
    """

    _pieces = _REQUEST_PIECES
    _good = MappingProxyType({"method": _GOOD_REQUEST, _LINE: _GOOD_FIELDS})
    _first = "method"
    _line_status = 414

    def receive(self, data: bytes | bytearray | memoryview) -> Request | None:
        """Takes what has come, and gives the request when its head is whole; ``None`` before.

        :param data: ``b""`` is the end of file.
        :raises HandshakeError: 400, 414, 431 or 505, as soon as the bytes that break the rule are there.
        """
        head = self._receive(data)
        if head is None:
            return None
        end = head.index("\r\n")
        method, target, version = head[:end].split(" ")
        return Request(method, target, _fields(head, end + 2), version)


class ResponseReader(_HeadReader):
    """Reads response heads, one after the other, from bytes in any split; like `RequestReader`."""

    _pieces = _RESPONSE_PIECES
    _good = MappingProxyType({"HTTP-version": _GOOD_RESPONSE, _LINE: _GOOD_FIELDS})
    _first = "HTTP-version"
    _line_status = 431

    def receive(self, data: bytes | bytearray | memoryview | None) -> Response | None:
        """Takes what has come, and gives the response, without a body, when its head is whole; ``None`` before.

        :param data: ``b""`` is the end of file; ``None`` is nothing new.
        :raises HandshakeError: as soon as the bytes that break the rule are there. Its status has no meaning here.
        """
        head = self._receive(data)
        if head is None:
            return None
        end = head.index("\r\n")
        version, status = head[:end].split(" ", 2)[:2]
        return Response(int(status), _fields(head, end + 2), version=version)


def _fields(head: str, at: int) -> Headers:
    pairs = _FIELD.findall(head, at)
    if " \r" in head or "\t\r" in head:
        pairs = [(name, value.rstrip(" \t")) for name, value in pairs]
    return Headers._known_good(pairs)


# ---- What was read elsewhere ----

_TARGET = re.compile(r"[\x21-\x7e]+")
_FIELD_VALUE = re.compile(_FIELD_OCTETS.decode("latin-1"))


def is_target(text: str) -> bool:
    """Whether ``text`` can be a request-target: visible ASCII (RFC 9112 3.2)."""
    return _TARGET.fullmatch(text) is not None


def is_field_value(text: str) -> bool:
    """Whether ``text`` can be the value of a field: no CR, LF, NUL or other control character (RFC 9110 5.5)."""
    return _FIELD_VALUE.fullmatch(text) is not None


def check_request(request: Request) -> None:
    """That a request which somebody else read has in it what `RequestReader` lets through, and no more. What goes by
    it, to a log or another server, must not be two lines where it was one.

    :raises HandshakeError: 400.
    """
    if not is_target(request.target):
        raise HandshakeError(400, f"the target is {excerpt(request.target)}, not in visible ASCII", "RFC 9112 3.2")
    for name, value in request.headers:
        if not is_field_value(value):
            reason = f"the value of {excerpt(name)} holds a character that no header may hold"
            raise HandshakeError(400, reason, "RFC 9112 5.5")


# ---- Writing ----


def serialize_request(request: Request) -> bytes:
    """The octets of the head of ``request``.

    :raises LocalProtocolError: when the method is not a token, when the target holds anything but visible ASCII, or
        when a header holds what would end its line, or anything else that no header may hold (RFC 9110 5.5).
    """
    if not is_token(request.method):
        raise LocalProtocolError(f"{excerpt(request.method)} is not a method: it must be a token (RFC 9112 3.1)")
    if not is_target(request.target):
        raise LocalProtocolError(f"the target {excerpt(request.target)} is not in visible ASCII (RFC 9112 3.2)")
    return _serialize(f"{request.method} {request.target} HTTP/1.1\r\n", request.headers)


def serialize_response(response: Response) -> bytes:
    """The octets of ``response``, head and body.

    :raises LocalProtocolError: when the status is not 100 to 999, or when a header holds what no header may hold.
    """
    if not 100 <= response.status <= 999:
        raise LocalProtocolError(f"{response.status} is not a status code: it must have 3 digits (RFC 9110 15)")
    start_line = f"HTTP/1.1 {response.status} {phrase(response.status)}\r\n"
    return _serialize(start_line, response.headers) + response.body


def phrase(status: int) -> str:
    """The usual words for a status code; empty when it has none."""
    return _PHRASES.get(status, "")


_PHRASES = {int(status): status.phrase for status in HTTPStatus}


def _serialize(start_line: str, headers: Headers) -> bytes:
    check_fields(headers)
    return "".join([start_line, *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]).encode("latin-1")


def check_fields(headers: Iterable[tuple[str, str]]) -> None:
    """That ``headers`` may be written: each name is a token, no value holds CR, LF, NUL or another control character.

    :raises LocalProtocolError: when they may not. The value is not shown: it may be a secret.
    """
    if isinstance(headers, Headers) and headers._is_good:
        return
    for name, value in headers:
        if not is_token(name):
            raise LocalProtocolError(f"{excerpt(name)} is not the name of a header: it must be a token (RFC 9110 5.1)")
        if not is_field_value(value):
            raise LocalProtocolError(f"the value of {name} holds a character that no header may hold (RFC 9110 5.5)")


def refusal(status: int, headers: Headers, body: bytes | bytearray | memoryview) -> Response:
    """Any answer but the one that opens a connection, with the fields that its body needs.

    :raises LocalProtocolError: when the status is not that of a final answer, or cannot have a body.
    :raises TypeError: when the body is not bytes.
    """
    # RFC 9110, 15: "Values outside the range 100..599 are invalid."
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise LocalProtocolError(f"{status!r} cannot refuse a handshake: a final status is required, 200 to 599")
    content = as_bytes(body)
    # RFC 9110, 15.3.6: "a server MUST NOT generate content in a 205 response."
    if content and status in (204, 205, 304):
        raise LocalProtocolError(f"an answer with status {status} has no body (RFC 9110 6.4.1, 15.3.6)")
    fields = list(headers)
    if content and "Content-Type" not in headers:
        fields.append(("Content-Type", "text/plain; charset=utf-8"))
    # RFC 9110, 8.6: no Content-Length with 204; with 304 it would be that of another answer.
    if status not in (204, 304):
        fields.append(("Content-Length", str(len(content))))
    return Response(int(status), Headers(fields), content)


def explain(error: HandshakeError) -> bytes:
    """The body of a refusal: which rule was broken, and how."""
    source = error.section if error.section.startswith("RFC") else f"RFC 6455 {error.section}"
    return f"{error.reason} ({source})\n".encode("ascii", "backslashreplace")
