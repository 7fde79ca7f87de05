"""The opening handshake on a stream of HTTP/2 (RFC 8441) or HTTP/3 (RFC 9220), both roles.

What lives here: header lists in, header lists out, as HTTP/2 and HTTP/3 libraries read and write them. Not here:
frames, streams and settings of HTTP, which are handled by that library.

How to use it. The server's HTTP settings must enable Extended CONNECT (``SETTINGS_ENABLE_CONNECT_PROTOCOL`` = 1), and
a client must wait until it has seen that. After the handshake, the bytes in the stream's DATA frames are those of the
`Connection`: END_STREAM is the end of its input (pass ``b""``), and a closed connection ends the stream.

The differences from `http1.py`: the request is a CONNECT with ``:protocol``, and there is no ``Upgrade``,
``Connection``, ``Host``, or key with an answer, since HTTP/2 itself proves what they prove (RFC 8441 section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..arguments import check_type, excerpt
from ..codes import VERSION, CloseCause
from ..connection import Connection
from ..errors import HandshakeError, LocalProtocolError
from ..headers import Headers, HeaderSource, Response, is_token
from ..http1_heads import check_fields, is_field_value, is_target
from ..uri import is_host
from .fields import Request
from .negotiation import check_extra_headers
from .opening import READING, REFUSED, REQUESTED, Answer, ClientOpening, HeaderList, ServerOpening, Stage
from .origins import canonical_origin
from .refusals import explain, refusal

# The header lists that the methods below accept.
_Pairs = Iterable[tuple["str | bytes", "str | bytes"]]

# RFC 9113, 8.2.2: connection-specific fields make a message malformed. RFC 8441, 5: "They MUST NOT be included in the
# CONNECT request defined here." Content-Length would announce a body, but there is only the tunnel.
_CONNECTION_SPECIFIC = frozenset({"connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding"})
_FORBIDDEN = _CONNECTION_SPECIFIC | {"content-length"}

_REQUIRED_PSEUDO = frozenset({":method", ":protocol", ":scheme", ":path", ":authority"})


class Http2ServerHandshake(ServerOpening):
    """The server's side of one opening handshake over HTTP/2 or HTTP/3 (RFC 8441, RFC 9220).

    The arguments are those of `ServerHandshake`. ``plain_http`` has no effect, as the HTTP library knows which streams
    are not for a WebSocket. That library also has to limit the size of header lists.

    :ivar request: the request, as if it were received over HTTP/1.1: ``:path`` as target, ``:authority`` as ``Host``.
    :ivar response: the answer, once there is one.
    :ivar leniencies_used: the number of times that each `Leniency` was used.

    >>> client = rfc6455.Http2ClientHandshake("wss://example.com/chat")
    >>> server = rfc6455.Http2ServerHandshake()
    >>> server.receive_headers(client.headers_to_send()).path
    '/chat'
    >>> ws = server.accept()
    >>> server.headers_to_send()
    [(b':status', b'200')]
    """

    _reserved = _FORBIDDEN
    _headers_are_due = False

    def receive_headers(self, headers: _Pairs) -> Request:
        """Process the header list of the client's CONNECT request, and return the request.

        :param headers: pairs of `str` or `bytes`, including the pseudo-header fields; for a list without them, see
            `receive_request`.
        :raises HandshakeError: when the request must be refused: send what `headers_to_send` and `data_to_send`
            return, and end the stream.
        :raises LocalProtocolError: when this handshake has a request already.
        :raises TypeError: when ``headers`` is not a header list.
        """
        fields = Headers(headers)
        return self._receive("receive_headers()", lambda: parse_extended_connect(fields))

    def receive_request(self, method: str, target: str, headers: HeaderSource) -> Request:
        """Check a request whose pseudo-header fields were read elsewhere, and return it. This is the form in which
        ASGI servers pass requests on; ``:protocol`` and ``:scheme`` must already have been checked.

        :param method: ``"CONNECT"``.
        :param target: the ``:path``, such as ``"/chat?room=1"``.
        :param headers: the other fields, in upper or lower case, with ``Host`` for the ``:authority``.
        :raises HandshakeError: as `receive_headers` does.
        :raises LocalProtocolError: when this handshake has a request already, or a pseudo-header field is among the
            fields.
        :raises TypeError: when an argument has the wrong type.

        >>> server = rfc6455.Http2ServerHandshake()
        >>> fields = [("host", "example.com"), ("sec-websocket-version", "13")]
        >>> server.receive_request("CONNECT", "/chat?room=1", fields).query
        'room=1'
        """
        check_type(method, str, "method is a str: 'CONNECT'")
        check_type(target, str, "target is a str such as '/chat?room=1'")
        fields = Headers(headers)
        if any(name.startswith(":") for name, _ in fields):
            raise LocalProtocolError("a list with pseudo-header fields is for receive_headers()")
        return self._receive("receive_request()", lambda: _parse_split_connect(method, target, fields))

    def _answer(self, fields: list[tuple[str, str]]) -> tuple[Answer, bytes]:
        # RFC 8441, 5.1: instead of a 101, there is a 200, as with any CONNECT.
        return Response(200, Headers(fields), version="HTTP/2"), b""

    def reject(self, status: int, headers: HeaderSource = (), body: bytes = b"") -> None:
        """Answer with a status other than 200. Then send `headers_to_send` and `data_to_send`, and end the stream.

        :param status: 300 to 599: any 2xx would open the tunnel (RFC 9110 9.3.6).
        :param headers: header fields to add to the answer.
        :param body: the body, which `data_to_send` returns.
        :raises LocalProtocolError: when the answer cannot be written, or when there is an answer already.
        :raises TypeError: when the body is not bytes.
        """
        self._check_stage("reject()", READING, REQUESTED)
        fields = check_extra_headers(headers, _FORBIDDEN)
        check_fields(fields)
        response = refusal(status, Headers(fields), body)
        if response.status <= 299:
            raise LocalProtocolError(f"{status} would accept a CONNECT; use accept(), or a status from 300 up")
        self._refuse(response)

    def headers_to_send(self) -> HeaderList:
        """Return the header list of the answer, but only once; ``[]`` if none is due."""
        if not self._headers_are_due or self.response is None:
            return []
        self._headers_are_due = False
        return [(b":status", b"%d" % self.response.status), *_lower(self.response.headers)]

    def _receive(self, call: str, parse: Callable[[], Request]) -> Request:
        if self._has_received:
            raise LocalProtocolError(f"{call} cannot be called now: make another handshake for another stream")
        self._refusing(self._take_request, parse)
        assert self.request is not None
        return self.request

    def _take_request(self, parse: Callable[[], Request]) -> None:
        request = parse()
        self.request: Request | None = request
        host = request.host
        self._terms.check_host(host)
        self._wishes = self._terms.check(request, host, request.headers._by_name())
        self._stage = REQUESTED

    def _read_request(self, data: bytes) -> None:
        if data:
            raise HandshakeError(400, "data arrived before the request", "RFC 9113 8.1")
        reason = "the stream ended before the request arrived"
        raise HandshakeError(400, reason, "RFC 9113 8.1", cause=CloseCause.OPENING_EOF)

    def _answer_to_error(self, error: HandshakeError) -> Response:
        # RFC 6455, 4.4: a client that asked for another version learns from this field which one is supported. Every
        # refusal has it, as it does no harm. (A 426 is not possible: it requires Upgrade, which HTTP/2 does not have.)
        return refusal(error.status or 400, Headers([("sec-websocket-version", VERSION)]), explain(error))

    def _refuse(self, response: Response) -> None:
        self._body_to_send = response.body
        self._end(REFUSED, response)

    def _end(self, stage: Stage, response: Answer) -> None:
        super()._end(stage, response)
        self._headers_are_due = True


def parse_extended_connect(headers: Headers) -> Request:
    """Return the request in the header list of an Extended CONNECT, if it asks for a WebSocket (RFC 8441 4, 5).

    :raises HandshakeError: 400, or 501 for a protocol other than WebSocket.
    """
    pseudo, fields = _split(headers)
    method = pseudo.get(":method", "")
    if method != "CONNECT":
        raise HandshakeError(400, f"the method is {excerpt(method)}; CONNECT is required", "RFC 8441 5")
    if ":protocol" in pseudo and pseudo[":protocol"] != "websocket":
        # RFC 9220, 3: the status for a :protocol "that is unknown or is not supported".
        raise HandshakeError(501, f"the protocol {excerpt(pseudo[':protocol'])} is not supported", "RFC 9220 3")
    if pseudo.keys() != _REQUIRED_PSEUDO:
        wrong = ", ".join(sorted(map(excerpt, pseudo.keys() ^ _REQUIRED_PSEUDO)))
        raise HandshakeError(400, f"pseudo-header fields that are missing or not allowed here: {wrong}", "RFC 8441 4")
    # RFC 8441, 5: 'The scheme of the target URI MUST be "https" for "wss"-schemed WebSockets and "http" for
    # "ws"-schemed WebSockets.'
    if pseudo[":scheme"] not in ("http", "https"):
        raise HandshakeError(400, f"the scheme is {excerpt(pseudo[':scheme'])}, not http or https", "RFC 8441 5")
    _check_target(pseudo[":path"], pseudo[":authority"])
    _check_fields(fields)
    _check_hosts(pseudo, fields.get_all("host"))
    others = [(name, value) for name, value in fields if name != "host"]
    return Request("CONNECT", pseudo[":path"], Headers([("host", pseudo[":authority"]), *others]), "HTTP/2")


def _parse_split_connect(method: str, target: str, fields: Headers) -> Request:
    """Return the same for a request whose pseudo-header fields were read elsewhere, and whose names may be in upper
    case."""
    hosts = fields.get_all("host")
    if len(hosts) != 1:
        raise HandshakeError(400, f"there are {len(hosts) or 'no'} host fields; one is required", "RFC 9113 8.3.1")
    pseudo = {":method": method, ":protocol": "websocket", ":scheme": "https", ":path": target, ":authority": hosts[0]}
    others = [(name.lower(), value) for name, value in fields]
    return parse_extended_connect(Headers([*pseudo.items(), *others]))


def _split(headers: Headers) -> tuple[dict[str, str], Headers]:
    """Return the pseudo-header fields and the others. RFC 9113, 8.3: the former come first, each of them once.

    :raises HandshakeError: 400, also for a field that RFC 9113 8.2.1 forbids; few HTTP libraries check all of that.
    """
    pseudo: dict[str, str] = {}
    fields: list[tuple[str, str]] = []
    for name, value in headers:
        _check_field(name, value)
        if not name.startswith(":"):
            fields.append((name, value))
        elif fields or name in pseudo:
            raise HandshakeError(400, f"{excerpt(name)} is repeated, or follows a regular field", "RFC 9113 8.3")
        else:
            pseudo[name] = value
    return pseudo, Headers(fields)


def _check_field(name: str, value: str) -> None:
    # RFC 9113, 8.2.1: "A field name MUST NOT contain characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff
    # (all ranges inclusive)"; "With the exception of pseudo-header fields [...], field names MUST NOT include a
    # colon".
    if not is_token(name.removeprefix(":")):
        raise HandshakeError(400, f"{excerpt(name)} is not a valid field name", "RFC 9113 8.2.1")
    # 8.2: "Field names MUST be converted to lowercase when constructing an HTTP/2 message."
    if name != name.lower():
        raise HandshakeError(400, f"{excerpt(name)} is not in lower case", "RFC 9113 8.2")
    # "A field value MUST NOT start or end with an ASCII whitespace character".
    if not is_field_value(value) or value != value.strip(" \t"):
        reason = f"the value of {excerpt(name)} contains a character that is not allowed there"
        raise HandshakeError(400, reason, "RFC 9113 8.2.1")


def _check_target(path: str, authority: str) -> None:
    if not path.startswith("/") or "#" in path or not is_target(path):
        raise HandshakeError(400, f":path is {excerpt(path)}, not a path with a query", "RFC 8441 5")
    if not is_host(authority):
        raise HandshakeError(400, f":authority is {excerpt(authority)}, not a host", "RFC 8441 5")


def _check_fields(fields: Headers) -> None:
    for name, _ in fields:
        if name in _FORBIDDEN:
            raise HandshakeError(400, f"{excerpt(name)} must not be in an Extended CONNECT", "RFC 8441 5")
    # RFC 8441, 5: Sec-WebSocket-Version is used "as defined in [RFC6455]".
    versions = fields.get_all("sec-websocket-version")
    if versions != (VERSION,):
        got = excerpt(", ".join(versions)) if versions else "missing"
        raise HandshakeError(400, f"sec-websocket-version is {got}; {VERSION} is required", "4.2.2")


def _check_hosts(pseudo: dict[str, str], hosts: Sequence[str]) -> None:
    # RFC 9113, 8.3.1: a request is malformed when Host "identifies an entity that differs from" :authority; the two
    # "need to be normalized to compare them".
    targets = [f"{pseudo[':scheme']}://{host}" for host in (pseudo[":authority"], *hosts)]
    if len(set(map(canonical_origin, targets))) > 1:
        raise HandshakeError(400, "host and :authority differ", "RFC 9113 8.3.1")


class Http2ClientHandshake(ClientOpening):
    """The client's side of one opening handshake over HTTP/2 or HTTP/3 (RFC 8441, RFC 9220).

    The arguments are those of `ClientHandshake`. The HTTP library has to bound the size of header lists.

    :ivar uri: the `URI`.
    :ivar request: the request, as if it were sent over HTTP/1.1: ``:path`` as target, ``:authority`` as ``Host``.
    :ivar response: the response, once it has arrived.
    :ivar leniencies_used: the number of times that each `Leniency` was used.

    >>> client = rfc6455.Http2ClientHandshake("wss://example.com/chat")
    >>> dict(client.headers_to_send())[b":protocol"]
    b'websocket'
    >>> client.receive_headers([(b":status", b"200")]).role.name
    'CLIENT'
    """

    _version = "HTTP/2"
    _opening_status = 200
    _reserved = _FORBIDDEN

    def _ask(self, host: str, fields: list[tuple[str, str]]) -> None:
        asked = Headers([("host", host), ("sec-websocket-version", VERSION), *self._offer.fields, *fields])
        check_fields(asked)
        self.request: Request = Request("CONNECT", self.uri.resource_name, asked, "HTTP/2")
        self._headers_are_due = True

    def headers_to_send(self) -> HeaderList:
        """Return the header list of the request, once; ``[]`` after that. Send it without ending the stream (RFC 8441
        5.1).
        """
        if not self._headers_are_due:
            return []
        self._headers_are_due = False
        (_, host), *fields = self.request.headers
        pseudo = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https" if self.uri.secure else "http"),
            (":path", self.request.target),
            (":authority", host),
        ]
        return _lower([*pseudo, *fields])

    def receive_headers(self, headers: _Pairs) -> Connection | None:
        """Process the header list of a response, and return the connection.

        Return ``None`` for an interim response (1xx), for the trailers of a refusal, and for a refusal whose body is
        still to come: then there is a ``response``, and the body goes to `receive_data`.

        :param headers: pairs of `str` or `bytes`, with ``:status``.
        :raises HandshakeError: when there is no connection, and no body to wait for.
        :raises LocalProtocolError: when this handshake has ended already.
        :raises TypeError: when ``headers`` is not a header list.
        """
        self._check_not_done("receive_headers()")
        fields = Headers(headers)
        return self._result(self._receive_headers, fields)

    def _receive_headers(self, headers: Headers) -> Connection | None:
        if self.response is not None:
            return None  # RFC 9113, 8.1: trailers
        pseudo, fields = _split(headers)
        for name, _ in fields:
            if name in _CONNECTION_SPECIFIC:
                raise HandshakeError(None, f"{excerpt(name)} must not be in a response over HTTP/2", "RFC 9113 8.2.2")
        response = Response(_parse_status(pseudo), fields, version="HTTP/2")
        if response.status < 200:
            return None
        self.response: Response | None = response
        # RFC 9110, 9.3.6: "Any 2xx (Successful) response indicates that the sender [...] will switch to tunnel mode".
        if response.status <= 299:
            return self._open(response)
        self._receive_body(None)
        return None

    def _open(self, response: Response) -> Connection:
        if not 200 <= response.status <= 299:
            raise self._refused()
        return self._connection(self._offer.check_answer(response.headers))

    def _read_response(self, data: bytes) -> None:
        if data:
            raise HandshakeError(None, "data arrived before the response", "RFC 9113 8.1")
        reason = "the stream ended before the response arrived"
        raise HandshakeError(None, reason, "RFC 9113 8.1", cause=CloseCause.OPENING_EOF)


def _parse_status(pseudo: dict[str, str]) -> int:
    status = pseudo.get(":status", "")
    if len(pseudo) != 1 or len(status) != 3 or not (status.isascii() and status.isdigit()) or status < "100":
        raise HandshakeError(None, "the response must have one :status, of 3 digits", "RFC 9113 8.3.2")
    # RFC 9113, 8.6: "HTTP/2 does not support the 101 (Switching Protocols) informational status code".
    if status == "101":
        raise HandshakeError(
            None, "the response is a 101, which HTTP/2 does not have; 200 opens a WebSocket", "RFC 9113 8.6"
        )
    return int(status)


def _lower(fields: Iterable[tuple[str, str]]) -> HeaderList:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
