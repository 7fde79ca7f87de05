"""The opening handshake on a stream of HTTP/2 (RFC 8441) or HTTP/3 (RFC 9220), both roles.

What lives here: header lists in, header lists out, as an HTTP/2 or HTTP/3 library takes and gives them. What must not:
frames, streams and settings of HTTP, which are that library's.

How to use it. The server's HTTP settings must enable Extended CONNECT (``SETTINGS_ENABLE_CONNECT_PROTOCOL`` = 1), and
a client must wait until it has seen that. After the handshake the bytes of the stream's DATA frames are those of the
`Connection`: END_STREAM is its end of file (give ``b""``), and a closed connection ends the stream.

What differs from `http1.py`: the request is a CONNECT with ``:protocol``; ``Upgrade``, ``Connection``, ``Host``,
and the key with its answer are gone, since HTTP/2 itself says what they were there to prove (RFC 8441 section 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..arguments import excerpt
from ..codes import VERSION, Role
from ..connection import Connection
from ..errors import HandshakeError, LocalProtocolError
from ..extensions import Extension
from ..headers import Headers, HeaderSource, is_token
from ..http1_heads import Request, Response, check_fields, explain, is_field_value, is_target, phrase, refusal
from ..options import Options
from ..uri import URI, is_host, parse_uri
from .negotiation import SAME_HOST, Offer, Origins, Terms, Wishes, canonical_origin, check_extra_headers

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import OptionArguments

# A header list, as HTTP/2 and HTTP/3 libraries write it: names in lower case, pseudo-header fields first.
HeaderList = list[tuple[bytes, bytes]]

# RFC 9113, 8.2.2: connection-specific fields make a message malformed. RFC 8441, 5: "They MUST NOT be included in the
# CONNECT request defined here." Content-Length would announce a body, and there is only the tunnel.
_FORBIDDEN = frozenset(
    {"connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding", "content-length"}
)
_WRITTEN_BY_CLIENT = _FORBIDDEN | {"host", "origin"}

_REQUIRED_PSEUDO = frozenset({":method", ":protocol", ":scheme", ":path", ":authority"})


class Http2ServerHandshake:
    """The server's side of one opening handshake over HTTP/2 or HTTP/3.

    The arguments are those of `ServerHandshake`, without ``plain_http``. Of ``limits`` only what concerns the
    connection applies: the size of header lists is for the HTTP library to bound.

    :ivar request: the request, as if it had come over HTTP/1.1: ``:path`` as target, ``:authority`` as ``Host``.
    :ivar response: the answer, when there is one.

    >>> client = rfc6455.Http2ClientHandshake("wss://example.com/chat")
    >>> server = rfc6455.Http2ServerHandshake()
    >>> server.receive_headers(client.headers_to_send()).path
    '/chat'
    >>> ws = server.accept()
    >>> server.headers_to_send()
    [(b':status', b'200')]
    """

    def __init__(
        self,
        subprotocols: Sequence[str] = (),
        extensions: Sequence[Extension] = (),
        origins: Origins = SAME_HOST,
        *,
        require_subprotocol: bool = False,
        **options: Unpack[OptionArguments],
    ) -> None:
        self.request: Request | None = None
        self.response: Response | None = None
        self._terms = Terms(subprotocols, extensions, origins, require_subprotocol)
        self._options = Options.of(**options)
        self._wishes: Wishes | None = None
        self._out = b""

    def receive_headers(self, headers: Iterable[tuple[str | bytes, str | bytes]]) -> Request:
        """Takes the header list of the client's CONNECT request.

        :param headers: pairs of `str` or `bytes`, with the pseudo-header fields.
        :raises HandshakeError: when the request must be refused: send what `headers_to_send` and `data_to_send` give,
            and end the stream.
        :raises LocalProtocolError: when there was a request already.
        """
        if self.request is not None or self.response is not None:
            raise LocalProtocolError("a handshake takes one request; make another for another stream")
        try:
            self.request = parse_extended_connect(headers)
            self._wishes = self._terms.check(self.request)
        except HandshakeError as error:
            error.response = _error_response(error)
            self._end(error.response)
            raise
        return self.request

    def accept(
        self,
        subprotocol: str | None = None,
        headers: HeaderSource = (),
        **options: Unpack[OptionArguments],
    ) -> Connection:
        """Opens the connection. Send `headers_to_send` first, without ending the stream.

        The arguments and errors are those of `ServerHandshake.accept`.
        """
        if self._wishes is None or self.response is not None:
            raise LocalProtocolError("accept() cannot be called now: it is the answer to a request that was received")
        agreement = self._terms.agree(self._wishes, subprotocol)
        fields = [*agreement.fields, *check_extra_headers(headers, _FORBIDDEN)]
        check_fields(fields)
        connection = agreement.connection(Role.SERVER, self._options.updated(**options))
        # RFC 8441, 5.1: a 200, as with any CONNECT, takes the place of the 101.
        self._end(Response(200, Headers(fields), version="HTTP/2"))
        return connection

    def reject(self, status: int, headers: HeaderSource = (), body: bytes = b"") -> None:
        """Answers with another status than 200. Send `headers_to_send` and `data_to_send`, and end the stream.

        :param status: 300 to 599: any 2xx would open the tunnel (RFC 9110 9.3.6).
        :param headers: to add to the answer.
        :param body: what `data_to_send` gives.
        :raises LocalProtocolError: when the answer cannot be written, or when there is one already.
        :raises TypeError: when the body is not bytes.
        """
        if self.response is not None:
            raise LocalProtocolError("reject() cannot be called now: the request is answered")
        fields = check_extra_headers(headers, _FORBIDDEN)
        check_fields(fields)
        response = refusal(status, Headers(fields), body)
        if response.status <= 299:
            raise LocalProtocolError(f"{status} would accept a CONNECT; use accept(), or a status from 300 up")
        self._end(response)

    def headers_to_send(self) -> HeaderList:
        """The header list of the answer.

        :raises LocalProtocolError: when there is no answer yet.
        """
        if self.response is None:
            raise LocalProtocolError("there is no answer yet: call accept() or reject()")
        return [(b":status", b"%d" % self.response.status), *_lower(self.response.headers)]

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would give anything."""
        return bool(self._out)

    def data_to_send(self) -> bytes:
        """The body of a refusal, once; the stream ends with it. What an open connection sends comes from that."""
        data, self._out = self._out, b""
        return data

    def _end(self, response: Response) -> None:
        self.response = response
        self._out = response.body
        self._wishes = None


def parse_extended_connect(headers: Iterable[tuple[str | bytes, str | bytes]]) -> Request:
    """The request in the header list of an Extended CONNECT, when it asks for a WebSocket (RFC 8441 4, 5).

    :raises HandshakeError: 400, or 501 for another protocol than WebSocket.
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
    _check_target(pseudo)
    _check_fields(fields, pseudo)
    others = [(name, value) for name, value in fields if name != "host"]
    return Request("CONNECT", pseudo[":path"], Headers([("host", pseudo[":authority"]), *others]), "HTTP/2")


def _split(headers: Iterable[tuple[str | bytes, str | bytes]]) -> tuple[dict[str, str], Headers]:
    """The pseudo-header fields and the others. RFC 9113, 8.3: the former come first, and each once.

    :raises HandshakeError: 400, also for a field that RFC 9113 8.2.1 forbids; few HTTP libraries look at all of that.
    """
    pseudo: dict[str, str] = {}
    fields: list[tuple[str, str]] = []
    for name, value in Headers(headers):
        _check_field(name, value)
        if not name.startswith(":"):
            fields.append((name, value))
        elif fields or name in pseudo:
            raise HandshakeError(400, f"{excerpt(name)} comes twice, or after a field that is not one", "RFC 9113 8.3")
        else:
            pseudo[name] = value
    return pseudo, Headers(fields)


def _check_field(name: str, value: str) -> None:
    # RFC 9113, 8.2.1: "A field name MUST NOT contain characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff
    # (all inclusive)"; "With the exception of pseudo-header fields [...], field names MUST NOT include a colon".
    if not is_token(name.removeprefix(":")):
        raise HandshakeError(400, f"{excerpt(name)} cannot name a field", "RFC 9113 8.2.1")
    # "A field value MUST NOT start or end with an ASCII whitespace character".
    if not is_field_value(value) or value != value.strip(" \t"):
        reason = f"the value of {excerpt(name)} holds a character that no field may hold there"
        raise HandshakeError(400, reason, "RFC 9113 8.2.1")


def _check_target(pseudo: dict[str, str]) -> None:
    # RFC 8441, 5: 'The scheme of the target URI MUST be "https" for "wss"-schemed WebSockets and "http" for
    # "ws"-schemed WebSockets.'
    if pseudo[":scheme"] not in ("http", "https"):
        raise HandshakeError(400, f"the scheme is {excerpt(pseudo[':scheme'])}, not http or https", "RFC 8441 5")
    path = pseudo[":path"]
    if not path.startswith("/") or "#" in path or not is_target(path):
        raise HandshakeError(400, f":path is {excerpt(path)}, not a path with a query", "RFC 8441 5")
    if not is_host(pseudo[":authority"]):
        raise HandshakeError(400, f":authority is {excerpt(pseudo[':authority'])}, not a host", "RFC 8441 5")


def _check_fields(headers: Headers, pseudo: dict[str, str]) -> None:
    for name, _ in headers:
        # RFC 9113, 8.2: "Field names MUST be converted to lowercase".
        if name in _FORBIDDEN or name != name.lower():
            raise HandshakeError(400, f"{excerpt(name)} must not be in an Extended CONNECT", "RFC 8441 5")
    # RFC 9113, 8.3.1: a request is malformed when Host "identifies an entity that differs from" :authority; the two
    # "need to be normalized to compare them".
    targets = [f"{pseudo[':scheme']}://{host}" for host in (pseudo[":authority"], *headers.get_all("host"))]
    if len(set(map(canonical_origin, targets))) > 1:
        raise HandshakeError(400, "host and :authority differ", "RFC 9113 8.3.1")
    # RFC 8441, 5: Sec-WebSocket-Version is used "as defined in RFC 6455".
    versions = headers.get_all("sec-websocket-version")
    if versions != (VERSION,):
        got = excerpt(", ".join(versions)) if versions else "missing"
        raise HandshakeError(400, f"sec-websocket-version is {got}; {VERSION} is required", "4.2.2")


def _error_response(error: HandshakeError) -> Response:
    # RFC 6455, 4.4: a client that asked for another version learns from this field which one there is. It is in every
    # refusal, as it does no harm in the others. (There is no 426: it requires Upgrade, which HTTP/2 does not have.)
    return refusal(error.status or 400, Headers([("sec-websocket-version", VERSION)]), explain(error))


class Http2ClientHandshake:
    """The client's side of one opening handshake over HTTP/2 or HTTP/3.

    The arguments are those of `ClientHandshake`; of ``limits`` only what concerns the connection applies.

    :ivar uri: the `URI`.
    :ivar response: the response, when it has come.

    >>> client = rfc6455.Http2ClientHandshake("wss://example.com/chat")
    >>> dict(client.headers_to_send())[b":protocol"]
    b'websocket'
    >>> client.receive_headers([(b":status", b"200")]).role.name
    'CLIENT'
    """

    def __init__(
        self,
        uri: str | URI,
        subprotocols: Sequence[str] = (),
        extensions: Sequence[Extension] = (),
        origin: str | None = None,
        headers: HeaderSource = (),
        **options: Unpack[OptionArguments],
    ) -> None:
        self.uri: URI = parse_uri(uri) if isinstance(uri, str) else uri
        self.response: Response | None = None
        self._offer = Offer(subprotocols, extensions)
        self._options = Options.of(**options)
        fields = [("sec-websocket-version", VERSION), *self._offer.fields]
        if origin is not None:
            fields.append(("origin", origin))
        self._fields = Headers([*fields, *check_extra_headers(headers, _WRITTEN_BY_CLIENT)])
        check_fields(self._fields)

    def headers_to_send(self) -> HeaderList:
        """The header list of the request. Send it without ending the stream (RFC 8441 5.1)."""
        pseudo = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https" if self.uri.secure else "http"),
            (":path", self.uri.resource_name),
            (":authority", self.uri.host_header),
        ]
        return [*_lower(pseudo), *_lower(self._fields)]

    def receive_headers(self, headers: Iterable[tuple[str | bytes, str | bytes]]) -> Connection | None:
        """Takes the header list of a response, and gives the connection; ``None`` for an interim response (1xx).

        :param headers: pairs of `str` or `bytes`, with ``:status``.
        :raises HandshakeError: when there is no connection. Its ``response`` has no body: that is on the stream.
        :raises LocalProtocolError: when there was a response already.
        """
        if self.response is not None:
            raise LocalProtocolError("this handshake has given its result")
        try:
            pseudo, fields = _split(headers)
            response = Response(_parse_status(pseudo), fields, version="HTTP/2")
            if response.status < 200:
                return None
            self.response = response
            # RFC 9110, 9.3.6: "Any 2xx (Successful) response indicates that the sender [...] will switch to tunnel
            # mode".
            if response.status > 299:
                words = f"{response.status} {phrase(response.status)}".strip()
                raise HandshakeError(None, f"the server answered {words}, not 200", "RFC 8441 5")
            agreement = self._offer.check_answer(fields)
        except HandshakeError as error:
            status = None if self.response is None else self.response.status
            raise HandshakeError(status, error.reason, error.section, self.response) from None
        return agreement.connection(Role.CLIENT, self._options)


def _parse_status(pseudo: dict[str, str]) -> int:
    status = pseudo.get(":status", "")
    if len(pseudo) != 1 or len(status) != 3 or not (status.isascii() and status.isdigit()) or status < "100":
        raise HandshakeError(None, "the response has no :status of 3 digits, or more than that", "RFC 9113 8.3.2")
    return int(status)


def _lower(fields: Iterable[tuple[str, str]]) -> HeaderList:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
