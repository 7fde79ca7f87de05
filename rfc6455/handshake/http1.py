"""The opening handshake over HTTP/1.1, both roles (section 4).

What lives here: `ServerHandshake` reads a request and answers it, `ClientHandshake` writes a request and reads the
answer. Each ends with a `Connection` or a `HandshakeError`. Not here: what does not depend on the version of HTTP
(`opening.py`), the negotiation (`negotiation.py`), and heads as bytes (`http1_heads.py`).

The law: there is no 101 unless every check has passed. Each check is a function that returns or raises, with the rule
that it enforces. A refusal closes the connection: its answer has ``Connection: close``, and the handshake accepts no
more input.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha1

from ..arguments import as_bytes, check_type, excerpt
from ..codes import VERSION, CloseCause, Leniency
from ..connection import Connection
from ..errors import HandshakeError, LocalProtocolError
from ..headers import Headers, HeaderSource, Response
from ..http1_heads import (
    RequestReader,
    ResponseReader,
    check_fields,
    check_request,
    phrase,
    serialize_response,
    whole_request,
    whole_response,
)
from ..uri import is_host
from .fields import Request, is_listed
from .negotiation import check_extra_headers
from .opening import READING, REFUSED, REQUESTED, Answer, ClientOpening, HeaderList, ServerOpening, Stage
from .refusals import explain, refusal

# 1.3: "a "Globally Unique Identifier" [...] in string form, which is unlikely to be used by network endpoints that do
# not understand the WebSocket Protocol".
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# RFC 9110, 15.5.22: a 426 has an Upgrade field, which Connection must then list (7.8). 4.2.2: it names "the version(s)
# the server is capable of understanding".
_CLOSE = [("Connection", "close")]
_CLOSE_AND_UPGRADE = [("Connection", "close, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)]

# The fields that an application may not add, because the handshake or the end of the connection depends on them.
_HOP_BY_HOP = frozenset({"connection", "upgrade", "content-length", "transfer-encoding"})

# The methods of requests to a server that also serves pages; health checks use OPTIONS and HTTP/1.0.
_PLAIN_METHODS = ("GET", "HEAD", "OPTIONS")

# Looked up once, as finding a member of an enum takes long.
_BARE_LF = Leniency.BARE_LF
_MISSING_UPGRADE = Leniency.MISSING_CONNECTION_UPGRADE

# The fields that every 101 has (4.2.2, step 5), and its head up to the value of Sec-WebSocket-Accept.
_UPGRADE = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
_SWITCHING_PROTOCOLS = (
    f"HTTP/1.1 101 {phrase(101)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)

# The fields that every request has, in this order: everything but the host and the two values in between.
_VERSION_FIELD = ("Sec-WebSocket-Version", VERSION)
_ASKING = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
_VERSION_LINE = f"\r\nSec-WebSocket-Version: {VERSION}\r\n"

# The values of all lines by name, in lower case, as `Headers` has them.
_Lines = Mapping[str, Sequence[str]]


def accept_key(key: str) -> str:
    """Return the value of ``Sec-WebSocket-Accept`` for this ``Sec-WebSocket-Key`` (1.3, 4.2.2).

    :param key: the value as it was sent, without surrounding spaces.

    >>> rfc6455.accept_key("dGhlIHNhbXBsZSBub25jZQ==")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    return b2a_base64(sha1((key + _GUID).encode("latin-1")).digest(), newline=False).decode()


def _lines(fields: Iterable[tuple[str, str]]) -> str:
    """Return the header lines for fields that have been checked."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields])


def _pairs(fields: Iterable[tuple[str, str]]) -> HeaderList:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


# ---- The server ----


class ServerHandshake(ServerOpening):
    """The server's side of one opening handshake (4.2).

    :param subprotocols: the subprotocols that the server speaks, in order of preference (1.9).
    :param extensions: the extensions that the server is ready to use, such as ``PerMessageDeflate()`` (9).
    :param origins: which pages may connect (10.2): `SAME_HOST`, `ANY_ORIGIN`, a callable that takes the request and
        returns whether its page may connect, or a collection of these and of origins, one of which has to allow the
        page: ``[SAME_HOST, "https://app.example", "https://*.example.com", "null"]``. A star matches one or more whole
        labels. Other pages get 403. A client that does not send ``Origin`` is not a browser, and may connect;
        callables are not called in that case.
    :param hosts: the names and addresses of this server, without ports, as a protection against DNS rebinding:
        ``["localhost", "127.0.0.1", "::1"]``. A request with any other ``Host`` gets 421. ``None`` allows any host.
    :param require_subprotocol: whether a client that asks for none of ``subprotocols`` is refused with 400. By
        default, the connection then has no subprotocol; a browser that has asked for some will close it.
    :param plain_http: whether GET, HEAD and OPTIONS requests (HTTP/1.1 or HTTP/1.0) that do not ask for a WebSocket
        are also returned to the caller, who answers them with `reject`, as in ``reject(200, body=page)``. By default,
        they are refused with 426.
    :param options: ``limits``, also on the head, ``leniencies``, and the others that `options.Options` describes.
    :raises LocalProtocolError: when an argument can never work, such as an origin with a path.
    :raises TypeError: when an argument has the wrong type.

    :ivar request: the request, once its head has arrived, even if it was refused.
    :ivar response: the head of the answer, once there is one, for callers that log it or send it by other means.
    :ivar leniencies_used: how often each `Leniency` was used.

    >>> client = rfc6455.ClientHandshake("ws://example.com/chat", subprotocols=["v2", "v1"])
    >>> server = rfc6455.ServerHandshake(subprotocols=["v1"])
    >>> server.receive_data(client.data_to_send()).path
    '/chat'
    >>> ws = server.accept()
    >>> ws.subprotocol, server.response.status
    ('v1', 101)
    """

    _reserved = _HOP_BY_HOP
    # A head that arrived whole, as most do, and the reader of any other.
    _whole = b""
    _reader: RequestReader | None = None

    def receive_request(self, method: str, target: str, headers: HeaderSource) -> Request:
        """Check an HTTP/1.1 request that was read elsewhere, and return it.

        If there is data after the head of the request, pass that to `receive_data`.

        :param method: such as ``"GET"``.
        :param target: the request-target as it was sent, such as ``"/chat?room=1"``.
        :param headers: the header fields: pairs of `str` or `bytes`, or a mapping of `str`.
        :raises HandshakeError: when the request must be refused. Its ``response`` is what to answer.
        :raises LocalProtocolError: when this handshake has already received something.
        :raises TypeError: when an argument has the wrong type.

        >>> server = rfc6455.ServerHandshake(plain_http=True)
        >>> server.receive_request("GET", "/chat", {"Host": "example.com"}).is_upgrade
        False
        """
        check_type(method, str, "method is a str such as 'GET'")
        check_type(target, str, "target is a str such as '/chat?room=1'")
        request = Request(method, target, Headers(headers))
        if self._has_received:
            raise LocalProtocolError(
                "receive_request() cannot be called now: this handshake has already received data"
            )
        self._refusing(self._take_request, request)
        return request

    def _answer(self, fields: list[tuple[str, str]]) -> tuple[Answer, bytes]:
        assert self.request is not None
        accept = accept_key(self.request.headers._by_name()["sec-websocket-key"][0])
        head = f"{_SWITCHING_PROTOCOLS}{accept}\r\n{_lines(fields) if fields else ''}\r\n".encode("latin-1")
        return lambda: _switching(accept, fields), head

    def reject(self, status: int, headers: HeaderSource = (), body: bytes = b"") -> None:
        """Queue an answer other than 101: a refusal, a redirection, or, with ``plain_http``, a page.

        This may be called before the request is complete, as in ``reject(408)`` after a timeout. The TCP connection
        ends after the answer: ``Connection: close`` and ``Content-Length`` are added.

        :param status: 200 to 599 (RFC 9110 15).
        :param headers: header fields to add to the answer. The default ``Content-Type`` is plain text.
        :param body: the body. It is not sent in answer to HEAD, and not allowed with 204, 205 and 304.
        :raises LocalProtocolError: when the answer cannot be written, or when called too late.
        :raises TypeError: when the body is not bytes.
        """
        self._check_stage("reject()", READING, REQUESTED)
        self._refuse(_closing(status, check_extra_headers(headers, _HOP_BY_HOP), body))

    def headers_to_send(self) -> HeaderList:
        """Return the header fields of the answer, but only once, for a caller that writes them by other means.

        The status is not included; it is in ``response``. The head is removed from the data to be sent, by this
        handshake or by the connection; the body of a refusal stays.

        :returns: pairs of name and value; ``[]`` if there is no answer yet, or if its head has already been taken.

        >>> server = rfc6455.ServerHandshake(plain_http=True)
        >>> request = server.receive_request("GET", "/", {"Host": "example.com"})
        >>> server.reject(200, body=b"hello")
        >>> server.response.status, server.headers_to_send()[0], server.data_to_send()
        (200, (b'Connection', b'close'), b'hello')
        """
        connection, self._connection = self._connection, None
        is_due = bool(self._head) or (connection is not None and connection._withdraw_head())
        self._head = b""
        return _pairs(self.response.headers) if is_due and self.response is not None else []

    def _read_request(self, data: bytes) -> None:
        if self._reader is not None or not data:
            self._read_by_piece(data)
            return
        # There is a whole head already if a rule of the application raised an exception.
        data = self._whole + data
        head = whole_request(data, self._options.limits)
        if head is None:
            self._read_by_piece(data)
            return
        self._whole = data
        method, target, version, pairs, index, end = head
        self._take_request(Request(method, target, Headers._known_good(pairs, index), version), is_checked=True)
        if end < len(data):
            self._receive_early(data[end:])

    def _read_by_piece(self, data: bytes) -> None:
        if self._reader is None:
            self._reader = RequestReader(self._options.limits, bare_lf=_BARE_LF in self._options.leniencies)
        request = self._reader.receive_data(data)
        if request is not None:
            if self._reader.bare_lfs:
                self._tolerates(_BARE_LF, self._reader.bare_lfs)
            self._take_request(Request._make(request), is_checked=True)
            early = self._reader.unread
            if early:
                self._receive_early(early)

    def _take_request(self, request: Request, is_checked: bool = False) -> None:
        self.request: Request | None = request
        if not is_checked:
            check_request(request)
        lines = request.headers._by_name()
        host = check_host(request, lines)
        self._terms.check_host(host)
        if self._plain_http and not request.is_upgrade:
            check_method(request, _PLAIN_METHODS)
            _check_target(request)
            check_no_body(lines)
        else:
            self._check_upgrade(request, lines)
            self._wishes = self._terms.check(request, host, lines)
        self._stage = REQUESTED

    def _check_upgrade(self, request: Request, lines: _Lines) -> None:
        """Check that a request asks for a WebSocket of this version as 4.2.1 says, except for ``Host`` and lists."""
        if _is_usual_upgrade(request, lines):
            return
        check_method(request, ("GET",))
        _check_target(request)
        check_no_body(lines)
        _check_is_upgrade(request, lines)
        self._check_connection(lines)
        _check_version(lines)
        _check_key(lines)

    def _check_connection(self, lines: _Lines) -> None:
        # 4.2.1, 4: "A |Connection| header field that includes the token "Upgrade", treated as an ASCII
        # case-insensitive value."
        if not (_lists_upgrade(lines) or self._tolerates(_MISSING_UPGRADE)):
            fault = "there is no Connection header"
            if "connection" in lines:
                fault = f"Connection lists {excerpt(', '.join(lines['connection']))}, not Upgrade"
            raise HandshakeError(400, f"{fault}: {_PROXY}", "4.2.1")

    def _answer_to_error(self, error: HandshakeError) -> Response:
        # RFC 9110, 15.5.6: the answer 405 "MUST generate an Allow header field".
        methods = ", ".join(_PLAIN_METHODS) if self._plain_http else "GET"
        return _closing(error.status or 400, [("Allow", methods)] if error.status == 405 else [], explain(error))

    def _refuse(self, response: Response) -> None:
        self._head = serialize_response(response._replace(body=b""))
        is_head = self.request is not None and self.request.method == "HEAD"
        self._body_to_send = b"" if is_head else response.body
        self._end(REFUSED, response)

    def _end(self, stage: Stage, response: Answer) -> None:
        super()._end(stage, response)
        self._whole = b""
        self._reader = None

    @property
    def _has_input(self) -> bool:
        return bool(self._whole) or self._reader is not None

    @property
    def _has_received(self) -> bool:
        return super()._has_received or self._has_input


def _switching(accept: str, fields: list[tuple[str, str]]) -> Response:
    """Return the 101 as a value, which few callers need."""
    return Response(101, Headers._known_good([*_UPGRADE, ("Sec-WebSocket-Accept", accept), *fields]))


def _closing(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    return refusal(status, Headers([*headers, *(_CLOSE_AND_UPGRADE if status == 426 else _CLOSE)]), body)


# ---- What a request must be (4.2.1) ----


def check_host(request: Request, lines: _Lines) -> str | None:
    """Check the requested authority, and return it.

    4.2.1, 2: "A |Host| header field containing the server's authority." RFC 9112, 3.2: a server "MUST respond with a
    400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host header field and to any request
    message that contains more than one Host header field line or a Host header field with an invalid field value."
    """
    if request.version == "HTTP/1.0" and "host" not in lines:
        return request.host  # RFC 9112, 3.2 requires it in HTTP/1.1; health checks in HTTP/1.0 have none
    host = _only(lines.get("host"), "Host", "RFC 9112 3.2")
    _check_is_host(host)
    # RFC 9112, 3.2.2: a target in absolute form overrides the Host field, which must nevertheless be valid.
    if not request.target.startswith("/"):
        host = request.host or ""
        _check_is_host(host)
    return host


def _check_is_host(host: str) -> None:
    if not is_host(host):
        raise HandshakeError(400, f"Host is {excerpt(host)}, not a host with an optional port", "RFC 9112 3.2")


# As most clients send it, and as Firefox does.
_USUAL_CONNECTIONS = (("Upgrade",), ("keep-alive, Upgrade",))
_USUAL_UPGRADE = ("websocket",)
_USUAL_VERSION = (VERSION,)


def _is_usual_upgrade(request: Request, lines: _Lines) -> bool:
    """Return whether a request is in the form in which almost all clients send it, which passes every check."""
    method, target, _, version = request
    try:
        keys = lines["sec-websocket-key"]
        return (
            (method == "GET" and version == "HTTP/1.1")
            and (target.startswith("/") and "#" not in target)
            and ("content-length" not in lines and "transfer-encoding" not in lines)
            and lines["upgrade"] == _USUAL_UPGRADE
            and lines["connection"] in _USUAL_CONNECTIONS
            and lines["sec-websocket-version"] == _USUAL_VERSION
            and (len(keys) == 1 and _KEY.fullmatch(keys[0]) is not None)
        )
    except KeyError:
        return False


def check_method(request: Request, methods: Sequence[str]) -> None:
    """Check the method. 4.2.1, 1: "An HTTP/1.1 or higher GET request"."""
    if request.method not in methods:
        required = " or ".join(filter(None, (", ".join(methods[:-1]), methods[-1])))
        raise HandshakeError(405, f"the method is {excerpt(request.method)}; {required} is required", "4.2.1")


def _check_target(request: Request) -> None:
    # 4.2.1, 1: the Request-URI is "interpreted as a /resource name/ defined in Section 3 (or an absolute HTTP/HTTPS
    # URI containing the /resource name/)"; 3: no fragment.
    if request.target.startswith("/") and "#" not in request.target:
        return
    if request.target == "*" and request.method == "OPTIONS":
        return  # RFC 9112, 3.2.4: the server as a whole
    if not request.resource_name.startswith("/") or "#" in request.target:
        raise HandshakeError(400, f"the target is {excerpt(request.target)}, not a path with a query", "4.2.1")


def check_no_body(lines: _Lines) -> None:
    """Check that nothing announces a body. If a server ignored it, its bytes could be mistaken for frames or for
    another request. ``Content-Length: 0`` announces an empty body, and some clients send it with every request.
    """
    if "transfer-encoding" in lines:
        raise HandshakeError(400, "Transfer-Encoding announces a body; a handshake has none", "RFC 9112 6.1")
    # RFC 9110, 8.6: the value may be a list that repeats the same number.
    lengths = lines.get("content-length")
    if lengths and not all(map(_NO_LENGTH.fullmatch, ",".join(lengths).split(","))):
        raise HandshakeError(400, "Content-Length announces a body; a handshake has none", "RFC 9112 6.2")


# Content-Length = 1*DIGIT (RFC 9110, 8.6), with the value 0.
_NO_LENGTH = re.compile(r"[ \t]*0+[ \t]*")


def _check_is_upgrade(request: Request, lines: _Lines) -> None:
    """Check that the request asks for a WebSocket and can get one. If not, the error says what it looks like."""
    # 4.2.1, 3: "An |Upgrade| header field containing the value "websocket", treated as an ASCII case-insensitive
    # value."
    if request.version != "HTTP/1.0" and is_listed("websocket", lines.get("upgrade", ())):
        return
    # These are sent end to end, so they remain in a handshake whose Upgrade and Connection a proxy has removed.
    is_from_client = "sec-websocket-key" in lines or "sec-websocket-version" in lines
    # 4.1, 2: "the HTTP version MUST be at least 1.1". RFC 9110, 7.8: "A server that receives an Upgrade
    # header field in an HTTP/1.0 request MUST ignore that Upgrade field."
    if request.version == "HTTP/1.0" and (is_from_client or request.is_upgrade):
        reason = (
            f"this is a WebSocket handshake in {request.version}, which has no Upgrade. A proxy in front most likely "
            "speaks HTTP/1.0 to this server; have it speak HTTP/1.1 (in nginx: proxy_http_version 1.1)"
        )
        raise HandshakeError(426, reason, "4.2.1")
    if "upgrade" in lines:
        raise HandshakeError(426, f"Upgrade lists {excerpt(', '.join(lines['upgrade']))}, not websocket", "4.2.1")
    if is_from_client:
        raise HandshakeError(426, f"there is no Upgrade header: {_PROXY}", "4.2.1")
    reason = "this is a WebSocket server, not a web page: it is for programs, and for pages that open a WebSocket"
    raise HandshakeError(426, reason, "4.2.1", cause=CloseCause.OPENING_REFUSED)


_PROXY = "a proxy in front has most likely removed it, and must be told to pass on Upgrade and Connection"


def _check_version(lines: _Lines) -> None:
    # 4.2.1, 6: "A |Sec-WebSocket-Version| header field, with a value of 13." 4.2.2: otherwise "an appropriate HTTP
    # error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field".
    if "sec-websocket-version" not in lines:
        raise HandshakeError(426, f"Sec-WebSocket-Version is missing; {VERSION} is required", "4.2.1")
    version = _only(lines["sec-websocket-version"], "Sec-WebSocket-Version", "11.3.5")
    if version != VERSION:
        raise HandshakeError(426, f"the version is {excerpt(version)}; {VERSION} is required", "4.2.2")


# 16 bytes in base64: 21 characters of 6 bits, one of 2 bits and 4 pad bits, 2 "=". Erratum 3150 says that the pad bits
# are zero, but a decoder may accept others (RFC 4648, 3.5), and the key in 4.1 has others. Accepting them is harmless:
# the nonce is not secret, and the answer depends only on its characters.
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


def _check_key(lines: _Lines) -> None:
    # 4.2.1, 5: "A |Sec-WebSocket-Key| header field with a base64-encoded [...] value that, when decoded, is 16 bytes
    # in length." 11.3.1: it "MUST NOT appear more than once".
    key = _only(lines.get("sec-websocket-key"), "Sec-WebSocket-Key", "11.3.1")
    if not _KEY.fullmatch(key):
        raise HandshakeError(400, f"Sec-WebSocket-Key is {excerpt(key)}, not 16 bytes in base64", "4.2.1")


def _lists_upgrade(lines: _Lines) -> bool:
    return is_listed("upgrade", lines.get("connection", ()))


def _only(values: Sequence[str] | None, name: str, section: str) -> str:
    """Return the value of a field that must be present exactly once."""
    if values is None or len(values) != 1:
        count = "no" if values is None else len(values)
        raise HandshakeError(400, f"there are {count} {name} headers; one is required", section)
    return values[0]


# ---- The client ----


class ClientHandshake(ClientOpening):
    """The client's side of one opening handshake (4.1).

    :param uri: where to connect: a ``ws:`` or ``wss:`` URI, as a string or a `URI`. Opening TCP and TLS is up to the
        caller.
    :param subprotocols: the subprotocols to ask for, in order of preference (1.9).
    :param extensions: the extensions to ask for, such as ``PerMessageDeflate()`` (9).
    :param origin: the value of ``Origin``; ``None`` for a client that is not a browser.
    :param headers: header fields to add to the request, such as ``Authorization``. ``Host`` replaces that of the URI,
        and ``Origin`` may be passed here instead of as an argument.
    :param options: ``limits``, also on the response, ``leniencies``, and the others that `options.Options` describes.
    :raises LocalProtocolError: when the URI is not valid, or an argument cannot be written.
    :raises TypeError: when an argument has the wrong type.

    :ivar uri: the `URI`.
    :ivar response: the head of the response, once it has arrived.
    :ivar leniencies_used: the number of times that each `Leniency` was used.

    >>> client = rfc6455.ClientHandshake("wss://example.com/chat?room=1")
    >>> client.uri.host, client.uri.port
    ('example.com', 443)
    >>> client.data_to_send().decode().splitlines()[:2]
    ['GET /chat?room=1 HTTP/1.1', 'Host: example.com']
    >>> client.receive_data(b"HTTP/1.1 101 Switching") is None
    True
    """

    _version = "HTTP/1.1"
    _opening_status = 101
    _reserved = _HOP_BY_HOP
    # Input after the head, and the reader of a head that did not arrive whole.
    _unread = b""
    _reader: ResponseReader | None = None

    def _ask(self, host: str, fields: list[tuple[str, str]]) -> None:
        # 4.1, 7: "a nonce consisting of a randomly selected 16-byte value that has been base64-encoded".
        nonce = as_bytes(self._options.random(16), "what random() returns")
        if len(nonce) != 16:
            raise ValueError(f"random(16) returned {len(nonce)} bytes; Sec-WebSocket-Key needs all of them (4.1)")
        self._key = b2a_base64(nonce, newline=False).decode()
        # Fields from extensions and the caller may be invalid. The others have been checked, or are made here.
        added = [*self._offer.fields, *fields]
        if added:
            check_fields(added)
        self._fields = [("Host", host), *_UPGRADE, ("Sec-WebSocket-Key", self._key), _VERSION_FIELD, *added]
        start = f"GET {self.uri.resource_name} HTTP/1.1\r\nHost: {host}\r\n{_ASKING}{self._key}{_VERSION_LINE}"
        self._head = f"{start}{_lines(added) if added else ''}\r\n".encode("latin-1")

    @cached_property
    def request(self) -> Request:  # type: ignore[override]
        """The request, for callers that send it by other means."""
        return Request("GET", self.uri.resource_name, Headers._known_good(self._fields))

    def headers_to_send(self) -> HeaderList:
        """Return the header fields of the request, but only once, for a caller that writes them by other means.

        Method and target are not included; they are in ``request``. After this, `data_to_send` returns nothing.

        :returns: pairs of name and value; ``[]`` if the request has already been taken.

        >>> rfc6455.ClientHandshake("ws://example.com/chat").headers_to_send()[0]
        (b'Host', b'example.com')
        """
        return _pairs(self.request.headers) if self.data_to_send() else []

    def _read_response(self, data: bytes) -> Connection | None:
        self.response = self._read_head(data)
        if self.response is None:
            return None
        if self.response.status == self._opening_status:
            return self._open(self.response)
        self._receive_body(self._unread or None)
        return None

    def _read_head(self, data: bytes) -> Response | None:
        # Most heads arrive in one read.
        head = whole_response(data, self._options.limits) if self._reader is None else None
        if head is not None:
            version, status, _, pairs, index, end = head
            self._unread = data[end:]
            return Response._make((int(status), Headers._known_good(pairs, index), b"", version))
        if self._reader is None:
            self._reader = ResponseReader(self._options.limits, bare_lf=_BARE_LF in self._options.leniencies)
        reader = self._reader
        response = reader.receive_data(data)
        if response is not None:
            self._unread = reader.unread
            if reader.bare_lfs:
                self._tolerates(_BARE_LF, reader.bare_lfs)
        return response

    def _open(self, response: Response) -> Connection:
        # 4.1, 1: "If the status code received from the server is not 101, the client handles the response per HTTP".
        if response.status != self._opening_status:
            raise self._refused()
        self._check_response(response)
        return self._connection(self._offer.check_answer(response.headers), self._unread)

    def _check_response(self, response: Response) -> None:
        """Check that a 101 opens the requested connection (4.1, the second list), except for the negotiation."""
        lines = response.headers._by_name()
        if response.version == "HTTP/1.0":
            raise HandshakeError(None, "the 101 is not of HTTP/1.1", "4.2.2")
        # There is no need to check for a body: a 1xx ends with its empty line "regardless of the header fields present
        # in the message" (RFC 9112, 6.3). 4.1, 2: the value of Upgrade is "an ASCII case-insensitive match for the
        # value "websocket"".
        if lines.get("upgrade") != _USUAL_UPGRADE:
            upgrade = _only(lines.get("upgrade"), "Upgrade", "4.1")
            if upgrade.lower() != "websocket":
                raise HandshakeError(None, f"Upgrade is {excerpt(upgrade)}, not websocket", "4.1")
        # 4.1, 3: Connection contains "a token that is an ASCII case-insensitive match for the value "Upgrade"".
        lists_upgrade = lines.get("connection") in _USUAL_CONNECTIONS or _lists_upgrade(lines)
        if not (lists_upgrade or self._tolerates(_MISSING_UPGRADE)):
            raise HandshakeError(None, "Connection does not list Upgrade", "4.1")
        # 4.1, 4: the value of Sec-WebSocket-Accept; 11.3.3: it "MUST NOT appear more than once".
        accept = _only(lines.get("sec-websocket-accept"), "Sec-WebSocket-Accept", "11.3.3")
        if accept != accept_key(self._key):
            raise HandshakeError(None, "Sec-WebSocket-Accept does not answer our Sec-WebSocket-Key", "4.1")

    def _end(self) -> None:
        super()._end()
        self._reader = None
        self._unread = b""

    @property
    def _has_received(self) -> bool:
        return super()._has_received or self._reader is not None
