"""HTTP/1.1 heads: bytes <-> `Request` and `Response` (RFC 9112), within limits.

What lives here: the readers of heads, which are public and take input in chunks of any size, and the writers. Not
here: bodies (`http1_bodies.py`), and what a head means to a WebSocket (`handshake/`).

How a reader works. A head is a sequence of pieces, named as in the ABNF. For each piece, a table says which octets it
is made of and which octet ends it; **anything not in the table is an error**, reported as soon as that octet arrives.
The reader remembers where it stopped, so nothing is scanned twice. Most lines arrive whole: a pattern then takes all
valid lines together, and the table is only used for the rest.

Most heads arrive in one read. A handshake passes them to `whole_request` or `whole_response`, where
`byte_loops.read_head` checks and parses a head in the same pass. If these do not accept a head, a reader processes it
from the beginning, so that only the table determines the error.

It is strict where leniency has been a security hole, because two readers that disagree about the end of a line can be
made to see two different requests: no bare CR or LF, no folded lines, no space before the colon, no control
characters, and at most one empty line before a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from .arguments import excerpt
from .byte_loops import FIELD_OCTETS, TCHAR, Head, read_head
from .codes import CloseCause
from .errors import HandshakeError, LocalProtocolError
from .headers import Headers, Request, Response, is_token
from .limits import DEFAULT_LIMITS, Limits

CR, LF, SP, COLON = b"\r\n :"


class HeadError(HandshakeError):
    """A head that does not match the grammar of HTTP/1.1, or exceeds a limit. A handshake passes this error on.

    :ivar status: the status that answers such a request: 400, 414, 431 or 505. It means nothing for a response.
    :ivar reason: what was received and what is required, in words.
    :ivar section: the section with the rule, such as ``"RFC 9112 5.1"``.

    >>> from rfc6455.http1_heads import HeadError, RequestReader
    >>> try:
    ...     RequestReader().receive_data(b"GET / HTTP/1.1\\r\\nHost : a\\r\\n\\r\\n")
    ... except HeadError as error:
    ...     print(error)
    400: a space is not allowed in the field name, at byte 20: 'Host ' (section RFC 9112 5.1)
    """


# ---- The grammar of a head, as octets ----


class _Piece(NamedTuple):
    """One piece of a head: the octets of which it is made, the octets that may end it, and the piece after that."""

    octets: re.Pattern[bytes]
    ends: Mapping[int, str]
    section: str
    may_be_empty: bool = False
    otherwise: str | None = None  # the piece that begins here if the octet does not end this one
    check: Callable[[bytes], None] | None = None


_NONE = re.compile(rb"")
_TCHARS = re.compile(TCHAR.encode() + rb"*")
# RFC 9112, 3.2. The forms of request-target are all made of VCHAR.
_VCHARS = re.compile(rb"[\x21-\x7e]*")
# RFC 9110, 5.5. field-vchar = VCHAR / obs-text, and inside a value SP and HTAB. RFC 9112, 4: reason-phrase likewise.
_FIELD_OCTETS = FIELD_OCTETS.encode()
_FIELD_VCHARS = re.compile(_FIELD_OCTETS)
# RFC 9112, 2.3. HTTP-version = HTTP-name "/" DIGIT "." DIGIT
_VERSION_OCTETS = re.compile(rb"[HTP/.0-9]*")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
# RFC 9110, 6.2: "A recipient that receives a message with a major version number that it implements and a minor
# version number higher than what it implements SHOULD process the message as if it were in the highest minor version
# within that major version to which the recipient is conformant."
_VERSIONS = frozenset(f"HTTP/1.{minor}" for minor in range(10))
# RFC 9112, 4. status-code = 3DIGIT
_DIGITS = re.compile(rb"[0-9]*")
_STATUS = re.compile(rb"[1-9][0-9]{2}")

_START, _LINE, _END, _DONE = "start of the request", "start of a line", "end of the head", "done"


# ---- Other protocols, recognised by their first bytes ----

_PROXY_PROTOCOL = "this is the PROXY protocol: turn it off in the proxy, or remove its line before the handshake"

# The first bytes from a client that uses another protocol.
_ASKERS = {
    # RFC 8446, 5.1: a record of type "handshake"
    b"\x16": "this is TLS, but the port speaks HTTP without TLS: connect with ws:, or have a proxy in front do TLS",
    # RFC 4253, 4.2: 'SSH-protoversion-softwareversion SP comments CR LF', which begins like a method
    b"SSH-": "this is SSH, but the port speaks HTTP",
    # RFC 1928, 3, and the protocol before it, begin with their version.
    **dict.fromkeys((b"\x05", b"\x04"), "this may be SOCKS, but the port speaks HTTP, and is not a proxy"),
    # A CONNECT packet, as from a client that was told to use MQTT without WebSocket.
    b"\x10": "this may be MQTT without WebSocket, but the port speaks HTTP",
    **{bytes([octet]): "this may be a frame, without an opening handshake" for octet in (0x81, 0x82, 0x88, 0x89)},
    b"PROXY ": _PROXY_PROTOCOL,
    b"\n": "the request begins with LF alone; an empty line before it ends with CRLF",
    b"\r": f"there is more than one empty line before the request; if there is a proxy in front, {_PROXY_PROTOCOL}",
}


# The first bytes from a server that uses another protocol.
_ANSWERERS = {
    b"\x15": "a TLS alert: connect with wss:",
    b"\x16": "TLS: connect with wss:",
    b"\x00": "possibly a frame of HTTP/2: the server may not speak HTTP/1.1",
    b"S": "possibly SSH",
    b"2": "possibly SMTP or FTP",
    b"+": "possibly POP3",
    b"-": "possibly Redis",
    b"<": "a page without a head",
    **{bytes([octet]): "a frame, before the handshake was answered" for octet in range(0x80, 0x90)},
}


def _answered_by_stranger(line: bytes) -> str | None:
    """Return what an invalid status line really is, if its beginning shows this."""
    kind = _ANSWERERS.get(line[:1])
    return None if kind is None else f"the answer is not HTTP/1.1 but {kind}"


def _asked_by_stranger(line: bytes) -> str | None:
    """Return the same for an invalid request line."""
    return next((words for beginning, words in _ASKERS.items() if line.startswith(beginning)), None)


def _check_request_version(version: bytes) -> None:
    # RFC 9110, 15.6.6: a server may answer with 505 if it is "unable or unwilling to complete the request using the
    # same major version". HTTP/2 and HTTP/3 do not have this form anyway.
    if version == b"HTTP/2.0":  # RFC 9113, 3.4: the preface is "PRI * HTTP/2.0"
        raise HeadError(505, "this is HTTP/2, but the port speaks HTTP/1.1", "RFC 9112 2.3")
    if version.decode() not in _VERSIONS:
        status = 505 if _VERSION.fullmatch(version) else 400
        raise HeadError(
            status, f"the HTTP version is {excerpt(version.decode())}; HTTP/1.1 is required", "RFC 9112 2.3"
        )


def _check_response_version(version: bytes) -> None:
    # A refusal may come from an old proxy, with HTTP/1.0.
    if version.decode() not in _VERSIONS:
        stranger = _answered_by_stranger(version)
        reason = stranger or f"the response begins with {excerpt(version.decode())}, not with HTTP/1.1"
        raise HeadError(400, reason, "RFC 9112 2.3")


def _check_status(status: bytes) -> None:
    if not _STATUS.fullmatch(status):
        raise HeadError(400, f"the status code is {excerpt(status.decode())}; 100 to 999 is required", "RFC 9112 4")


# field-line = field-name ":" OWS field-value OWS                (RFC 9112, 5: "No whitespace is allowed between the
#                                                                 field name and colon")
# HTTP-message = start-line CRLF *( field-line CRLF ) CRLF       (RFC 9112, 2.1)
_FIELD_LINES = {
    _LINE: _Piece(_NONE, {CR: _END}, "RFC 9112 2.1", may_be_empty=True, otherwise="field name"),
    "field name": _Piece(_TCHARS, {COLON: "field value"}, "RFC 9112 5.1"),
    "field value": _Piece(_FIELD_VCHARS, {CR: "end of the line"}, "RFC 9112 5.5", may_be_empty=True),
    "end of the line": _Piece(_NONE, {LF: _LINE}, "RFC 9112 2.2", may_be_empty=True),
    _END: _Piece(_NONE, {LF: _DONE}, "RFC 9112 2.2", may_be_empty=True),
}

# request-line = method SP request-target SP HTTP-version        (RFC 9112, 3)
# RFC 9112, 2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line
# (CRLF) received prior to the request-line." Here, it ignores one.
_REQUEST_PIECES: Mapping[str, _Piece] = {
    _START: _Piece(_NONE, {CR: "empty line"}, "RFC 9112 2.2", may_be_empty=True, otherwise="method"),
    "empty line": _Piece(_NONE, {LF: "method"}, "RFC 9112 2.2", may_be_empty=True),
    "method": _Piece(_TCHARS, {SP: "request target"}, "RFC 9112 3.1"),
    "request target": _Piece(_VCHARS, {SP: "HTTP version"}, "RFC 9112 3.2"),
    "HTTP version": _Piece(_VERSION_OCTETS, {CR: "end of the line"}, "RFC 9112 2.3", check=_check_request_version),
    **_FIELD_LINES,
}

# status-line = HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112, 4). The second SP is required even before
# an empty phrase, but enough servers leave it out, and a line without it is not ambiguous.
_RESPONSE_PIECES: Mapping[str, _Piece] = {
    "HTTP version": _Piece(_VERSION_OCTETS, {SP: "status code"}, "RFC 9112 2.3", check=_check_response_version),
    "status code": _Piece(_DIGITS, {SP: "reason phrase", CR: "end of the line"}, "RFC 9112 4", check=_check_status),
    "reason phrase": _Piece(_FIELD_VCHARS, {CR: "end of the line"}, "RFC 9112 4", may_be_empty=True),
    **_FIELD_LINES,
}

# The tables as patterns, which match all valid lines at once.
_TOKEN_OCTETS = TCHAR.encode() + rb"+"
_GOOD_LINES = rb"(?:" + _TOKEN_OCTETS + rb":" + _FIELD_OCTETS + rb"\r\n)*(?P<end>\r\n)?"
_REQUEST_LINE = _TOKEN_OCTETS + rb" [\x21-\x7e]+ HTTP/1\.[0-9]\r\n"
_STATUS_LINE = rb"HTTP/1\.[0-9] [1-9][0-9]{2}(?: " + _FIELD_OCTETS + rb")?\r\n"
_FIELDS = {_LINE: re.compile(_GOOD_LINES)}
_BARE_LF = re.compile(rb"(?<!\r)\n")


def _with_bare_lf(pieces: Mapping[str, _Piece]) -> Mapping[str, _Piece]:
    """Return the table in which LF alone also ends a line. RFC 9112, 2.2: "a recipient MAY recognize a single LF as a
    line terminator"."""
    ends = {name: {LF: pieces[piece.ends[CR]].ends[LF]} for name, piece in pieces.items() if CR in piece.ends}
    return {name: piece._replace(ends={**piece.ends, **ends.get(name, {})}) for name, piece in pieces.items()}


def whole_request(data: bytes, limits: Limits) -> Head | None:
    """Parse the head of a request if it is valid and complete in ``data``, and return ``None`` otherwise. A
    `RequestReader` then finds the error, or waits for the rest."""
    head = _whole_head(data, limits)
    if head is None:
        return None
    method, _, version, _, _, _ = head
    return head if version in _VERSIONS and (method == "GET" or is_token(method)) else None


def whole_response(data: bytes, limits: Limits) -> Head | None:
    """Return the same for a final response."""
    head = _whole_head(data, limits)
    if head is None:
        return None
    version, status, _, _, _, _ = head
    return head if version in _VERSIONS and len(status) == 3 and status.isdecimal() and _is_final(status) else None


def _is_final(status: str) -> bool:
    # For a client that asks for an upgrade, 101 is final as well.
    return status >= "200" or status == "101"


def _whole_head(data: bytes, limits: Limits) -> Head | None:
    # Not beyond the maximum length of a line, so that no line in it can be too long.
    return read_head(data, min(len(data), limits.line, limits.head), limits.headers)


# ---- Reading ----


class _HeadReader:
    """A reader of one head; see the top of the file.

    :ivar bare_lfs: the number of lines that ended with LF alone, if that is accepted.
    """

    _pieces: Mapping[str, _Piece]
    _first: str  # the first piece
    _good: Mapping[str, re.Pattern[bytes]]  # patterns for valid lines, by the piece with which the line begins
    _start_line: str  # the name of the first line
    _start_line_status: int  # the answer to a first line that is too long

    def __init__(self, limits: Limits | None = None, *, bare_lf: bool = False) -> None:
        self.bare_lfs: int = 0
        if bare_lf:
            self._pieces = _with_bare_lf(self._pieces)
        self._limits = limits or DEFAULT_LIMITS
        self._buffer = bytearray()
        self._earlier = 0  # the number of octets in earlier heads
        self._begin()

    def _stranger(self, line: bytes) -> str | None:
        """Return what an invalid first line really is, if this is known."""
        raise NotImplementedError

    def _begin(self) -> None:
        self._piece = self._first
        self._at = 0  # everything before this has been checked
        self._piece_start = self._line_start = 0
        self._in_start_line = True
        self._lines = 0  # field lines begun

    @property
    def unread(self) -> bytes:
        """The bytes after the head."""
        return bytes(self._buffer[self._at :])

    def _next_head(self) -> None:
        """Go on with another head after this one. The limits apply to all of them together."""
        self._earlier += self._at
        del self._buffer[: self._at]
        self._begin()

    def _receive(self, data: bytes | bytearray | memoryview | None) -> Head | None:
        """Process input, and return the head once it is complete; ``None`` before.

        :param data: bytes in chunks of any size; ``b""`` is the end of the stream, and ``None`` means no new data.
        :raises HeadError: as soon as the data cannot be the beginning of a valid head.
        """
        if data is not None and not data:
            reason = f"the stream ended before the {self._start_line} came"
            if self._buffer:
                reason = f"the stream ended in the head, after {len(self._buffer)} bytes, in {self._where()}"
            raise HeadError(400, reason, "RFC 9112 8", cause=CloseCause.OPENING_EOF)
        self._buffer.extend(data or b"")
        end = min(len(self._buffer), self._limits.head - self._earlier)
        while self._at < end and self._piece != _DONE:
            if not self._take_good_lines(end):
                self._take_piece(end)
        if self._piece == _DONE:
            head = bytes(self._buffer[: self._at])
            bare_lfs = head.count(b"\n") - head.count(b"\r\n")
            self.bare_lfs += bare_lfs
            # An empty line before a request is not part of it.
            head = (_BARE_LF.sub(b"\r\n", head) if bare_lfs else head).removeprefix(b"\r\n")
            return read_head(head, len(head), self._limits.headers)
        if len(self._buffer) > end:
            reason = f"the head is longer than {self._limits.head} bytes (Limits.head), in {self._where()}"
            raise HeadError(431, reason, "RFC 6585 5")
        return None

    def _take_good_lines(self, end: int) -> bool:
        pattern = self._good.get(self._piece) if self._at == self._line_start else None
        # Not beyond the maximum length of a line, so that no line in it can be too long.
        match = pattern and pattern.match(self._buffer, self._at, min(end, self._at + self._limits.line))
        if not match or match.end() == self._at:
            return False
        is_done = match.end("end") > 0
        self._lines += self._buffer.count(b"\n", self._at, match.end()) - self._in_start_line - is_done
        self._check_line_count()
        self._in_start_line = False
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
            self._lines += not self._in_start_line
            self._check_line_count()
            self._enter(piece.otherwise, self._at)
        elif following is None or (self._at == self._piece_start and not piece.may_be_empty):
            raise HeadError(400, self._unexpected(piece, octet), piece.section)
        else:
            if piece.check is not None:
                piece.check(bytes(self._buffer[self._piece_start : self._at]))
            self._enter(following, self._at + 1)

    def _enter(self, piece: str, at: int) -> None:
        self._piece = piece
        self._at = self._piece_start = at
        if piece in (_LINE, "method"):
            self._line_start = at
            self._in_start_line = piece != _LINE

    def _check_line_length(self) -> None:
        if self._at - self._line_start > self._limits.line:
            status = self._start_line_status if self._in_start_line else 431
            section = "RFC 9110 15.5.15" if status == 414 else "RFC 6585 5"
            reason = f"{self._where()} is longer than {self._limits.line} bytes (Limits.line)"
            raise HeadError(status, reason, section)

    def _check_line_count(self) -> None:
        if self._lines > self._limits.headers:
            reason = f"there are more than {self._limits.headers} header fields (Limits.headers)"
            raise HeadError(431, reason, "RFC 6585 5")

    def _where(self) -> str:
        """Return the position in the head, in words. RFC 6585, 5: an answer 431 "SHOULD specify which header field was
        too large"."""
        if self._in_start_line:
            return f"the {self._start_line}"
        name, colon, _ = self._buffer[self._line_start : self._at].decode("latin-1").partition(":")
        return f"the field {excerpt(name)}" if colon else "the name of a field"

    def _unexpected(self, piece: _Piece, octet: int) -> str:
        line = bytes(self._buffer[self._line_start : self._at + 1])
        stranger = self._stranger(line) if self._in_start_line else None
        if stranger is not None:
            return stranger
        part, what = self._piece, _IN_WORDS.get(octet) or ascii(chr(octet))
        if part in ("end of the line", "empty line", _END):
            fault = f"CR must be followed by LF, not by {what}"
        elif octet == LF and CR in piece.ends:
            fault = "the line ends with LF alone; CRLF is required"
        elif octet in (CR, LF):
            fault = f"the line ends in the {part}"
        elif octet in piece.ends:
            fault = f"the {part} is empty"
        elif part == "field name" and self._at == self._line_start and octet in b" \t":
            fault = f"the line begins with {what}; folded lines are not accepted"
        elif part == "HTTP version" and 0 < self._at == self._piece_start:
            fault = f"{what} follows the space after the target, where the HTTP version must stand"
        else:
            fault = f"{what} is not allowed in the {part}"
        return f"{fault}, at byte {self._at}{self._shown(line.decode('latin-1'))}"

    def _shown(self, line: str) -> str:
        if ":" in line[1:] and not self._in_start_line:
            return f", in {self._where()}"  # without its value, which may be a secret
        return f": {excerpt(line)}" if len(line) <= 60 else f": ...{excerpt(line[-60:])}"


_IN_WORDS = {CR: "CR", LF: "LF", SP: "a space", ord("\t"): "a tab"}


class RequestReader(_HeadReader):
    """A reader of one request head, from chunks of any size.

    :param limits: its fields ``head``, ``line`` and ``headers`` apply; 414 for the request line, 431 for the rest.
        ``None`` for the defaults.
    :param bare_lf: whether a line may also end with LF alone. Leave it off if anything in front may split lines
        differently (RFC 9112 11.2).

    :ivar bare_lfs: the number of lines that ended with LF alone.

    >>> from rfc6455.http1_heads import RequestReader
    >>> reader = RequestReader()
    >>> reader.receive_data(b"GET /chat HT") is None
    True
    >>> reader.receive_data(b"TP/1.1\\r\\nHost: example.com\\r\\n\\r\\nmore").target
    '/chat'
    >>> reader.unread
    b'more'
    """

    _pieces = _REQUEST_PIECES
    _first = _START
    _good = dict.fromkeys((_START, "method"), re.compile(_REQUEST_LINE + _GOOD_LINES)) | _FIELDS
    _start_line = "request line"
    _stranger = staticmethod(_asked_by_stranger)
    # RFC 9112, 3: 414 is the status for a request-target that is too long.
    _start_line_status = 414

    def receive_data(self, data: bytes | bytearray | memoryview) -> Request | None:
        """Process input, and return the request once its head is complete; ``None`` before.

        :param data: bytes in chunks of any size; ``b""`` is the end of the stream.
        :raises HeadError: as soon as the bytes that break the rule have arrived.
        """
        head = self._receive(data)
        if head is None:
            return None
        method, target, version, pairs, index, _ = head
        return Request(method, target, Headers._known_good(pairs, index), version)


class ResponseReader(_HeadReader):
    """A reader of the head of one final response, like `RequestReader`. Interim responses before it are skipped.

    >>> from rfc6455.http1_heads import ResponseReader
    >>> ResponseReader().receive_data(b"HTTP/1.1 404 Not Found\\r\\n\\r\\n").status
    404
    """

    _pieces = _RESPONSE_PIECES
    _first = "HTTP version"
    _good = {"HTTP version": re.compile(_STATUS_LINE + _GOOD_LINES)} | _FIELDS
    _start_line = "status line"
    _stranger = staticmethod(_answered_by_stranger)
    _start_line_status = 431

    def receive_data(self, data: bytes | bytearray | memoryview) -> Response | None:
        """Process input, and return the response, without a body, once its head is complete; ``None`` before.

        :param data: bytes in chunks of any size; ``b""`` is the end of the stream.
        :raises HeadError: as soon as the bytes that break the rule have arrived. Its status has no meaning here.
        """
        head = self._receive(data)
        # RFC 9110, 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final
        # response". The limits apply to all of them together.
        while head is not None and not _is_final(head[1]):
            self._next_head()
            head = self._receive(None)
        if head is None:
            return None
        version, status, _, pairs, index, _ = head
        return Response(int(status), Headers._known_good(pairs, index), b"", version)


# ---- Heads that were read elsewhere ----

_TARGET = re.compile(r"[\x21-\x7e]+")
_FIELD_VALUE = re.compile(_FIELD_OCTETS.decode("latin-1"))


def is_target(text: str) -> bool:
    """Return whether ``text`` can be a request-target: visible ASCII (RFC 9112 3.2)."""
    return _TARGET.fullmatch(text) is not None


def is_field_value(text: str) -> bool:
    """Return whether ``text`` can be the value of a field: it has no control characters (RFC 9110 5.5)."""
    return _FIELD_VALUE.fullmatch(text) is not None


def check_request(request: Request) -> None:
    """Check that a request that was read by other code contains nothing that `RequestReader` would refuse. If it is
    copied, to a log or to another server, one line must not become two.

    :raises HeadError: 400.
    """
    if not is_target(request.target):
        raise HeadError(400, f"the target is {excerpt(request.target)}, not in visible ASCII", "RFC 9112 3.2")
    for name, value in request.headers:
        if not is_field_value(value):
            reason = f"the value of {excerpt(name)} contains a character that is not allowed in a header"
            raise HeadError(400, reason, "RFC 9112 5.5")


# ---- Writing ----


def serialize_request(request: Request) -> bytes:
    """Return the octets of the head of ``request``.

    :raises LocalProtocolError: when the method is not a token, when the target contains anything but visible ASCII, or
        when a header contains a line end or anything else that is not allowed there (RFC 9110 5.5).
    """
    if not is_token(request.method):
        raise LocalProtocolError(f"{excerpt(request.method)} is not a method: it must be a token (RFC 9112 3.1)")
    if not is_target(request.target):
        raise LocalProtocolError(f"the target {excerpt(request.target)} is not in visible ASCII (RFC 9112 3.2)")
    return _serialize(f"{request.method} {request.target} HTTP/1.1", request.headers)


def serialize_response(response: Response) -> bytes:
    """Return the octets of ``response``, head and body.

    :raises LocalProtocolError: when the status is not 100 to 999, or when a header contains anything that is not
        allowed there.
    """
    if not 100 <= response.status <= 999:
        raise LocalProtocolError(f"{response.status} is not a status code: it must have 3 digits (RFC 9110 15)")
    start_line = f"HTTP/1.1 {response.status} {phrase(response.status)}"
    return _serialize(start_line, response.headers) + response.body


def phrase(status: int) -> str:
    """Return the usual reason phrase of a status code, or ``""`` if it has none."""
    return _PHRASES.get(status, "")


_PHRASES = {int(status): status.phrase for status in HTTPStatus}


def _serialize(start_line: str, headers: Headers) -> bytes:
    check_fields(headers)
    return "\r\n".join([start_line, *map(": ".join, headers._pairs), "\r\n"]).encode("latin-1")


def check_fields(headers: Iterable[tuple[str, str]]) -> None:
    """Check that ``headers`` may be written: each name is a token, and no value contains CR, LF, NUL or another
    control character.

    :raises LocalProtocolError: when they may not. The message does not show the value, which may be a secret.
    """
    if isinstance(headers, Headers) and headers._is_good:
        return
    for name, value in headers:
        if not is_token(name):
            raise LocalProtocolError(f"{excerpt(name)} is not the name of a header: it must be a token (RFC 9110 5.1)")
        if not is_field_value(value):
            raise LocalProtocolError(
                f"the value of {name} contains a character that is not allowed in a header (RFC 9110 5.5)"
            )
