"""The opening handshake over HTTP/1.1, both roles (section 4).

What lives here: `ServerHandshake` reads a request and answers it, `ClientHandshake` writes a request and reads the
answer. Each ends by giving a `Connection`, or in a `HandshakeError`. What the two ends agree on, and the Origin
policy, is in `negotiation.py`.

The law: there is no 101 unless every check has passed. Each check is one function that returns or raises, with the
rule it obeys above it. A refusal closes: its answer says ``Connection: close``, and the handshake takes no more.
"""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from collections.abc import Sequence
from enum import Enum
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from ..arguments import as_bytes, excerpt
from ..codes import VERSION, Role
from ..connection import Connection
from ..errors import HandshakeError, LocalProtocolError
from ..extensions import Extension
from ..headers import Headers, HeaderSource
from ..http1_heads import (
    Request,
    RequestReader,
    Response,
    ResponseReader,
    check_fields,
    check_request,
    explain,
    phrase,
    refusal,
    serialize_request,
    serialize_response,
)
from ..options import Options
from ..uri import URI, is_host, parse_uri
from .negotiation import SAME_HOST, Offer, Origins, Terms, Wishes, check_extra_headers

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import OptionArguments

# 1.3: "a "Globally Unique Identifier" [...] in string form, which is unlikely to be used by network endpoints that do
# not understand the WebSocket Protocol".
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# RFC 9110, 15.5.22: a 426 names what to upgrade to, and 7.8 that Connection lists Upgrade then. 4.2.2: it names the
# version(s) that the server is capable of understanding.
_CLOSE = [("Connection", "close")]
_CLOSE_AND_UPGRADE = [("Connection", "close, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION)]

# What an application may not add, because the handshake or the end of the connection depends on it.
_HOP_BY_HOP = frozenset({"connection", "upgrade", "content-length", "transfer-encoding"})
_WRITTEN_BY_CLIENT = _HOP_BY_HOP | {"host", "origin"}


def accept_key(key: str) -> str:
    """The value of ``Sec-WebSocket-Accept`` that answers this ``Sec-WebSocket-Key`` (1.3, 4.2.2).

    :param key: as it was sent, without spaces around it.

    >>> rfc6455.accept_key("dGhlIHNhbXBsZSBub25jZQ==")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    return b64encode(sha1((key + _GUID).encode("latin-1")).digest()).decode("ascii")


# ---- The server ----


class _Stage(Enum):
    """How far a server's handshake has come; the value says what can be done about it."""

    READING = "call receive_data() until it returns the request"
    REQUESTED = "answer the request with accept() or reject()"
    ACCEPTED = "go on with the connection that accept() returned"
    REFUSED = "send what data_to_send() gives and close"


class ServerHandshake:
    """The server's side of one opening handshake (4.2).

    :param subprotocols: the subprotocols that the server speaks, the one it likes best first (1.9).
    :param extensions: what the server is ready to use, such as ``PerMessageDeflate()`` (9).
    :param origins: which pages may connect (10.2): `SAME_HOST`, `ANY_ORIGIN`, or a collection of origins such as
        ``["https://example.com", "null"]``; 403 for others. What sends no ``Origin`` is not a browser and may connect.
    :param require_subprotocol: whether a client that asks for none of ``subprotocols`` is refused, with 400. By
        default the connection then has no subprotocol; a browser that asked for some fails it.
    :param plain_http: whether a GET or HEAD request that wants no WebSocket is given to the caller too, who answers it
        with `reject`, be it ``reject(200, body=page)``. By default it is refused, with 426.
    :param options: ``limits``, also on the head, and the others that `options.Options` describes.
    :raises LocalProtocolError: when an argument can never work.

    :ivar request: the request, when its head has come; also when it was refused.
    :ivar response: the head of the answer, when there is one, for callers who log it or send it by other means.

    >>> client = rfc6455.ClientHandshake("ws://example.com/chat", subprotocols=["v2", "v1"])
    >>> server = rfc6455.ServerHandshake(subprotocols=["v1"])
    >>> server.receive_data(client.data_to_send()).path
    '/chat'
    >>> ws = server.accept()
    >>> ws.subprotocol, server.response.status
    ('v1', 101)
    """

    def __init__(
        self,
        subprotocols: Sequence[str] = (),
        extensions: Sequence[Extension] = (),
        origins: Origins = SAME_HOST,
        *,
        require_subprotocol: bool = False,
        plain_http: bool = False,
        **options: Unpack[OptionArguments],
    ) -> None:
        self.request: Request | None = None
        self.response: Response | None = None
        self._terms = Terms(subprotocols, extensions, origins, require_subprotocol)
        self._options = Options.of(**options)
        self._limits = self._options.limits
        self._plain_methods = ("GET", "HEAD") if plain_http else ()
        self._stage = _Stage.READING
        self._reader = RequestReader(self._limits)
        self._wishes: Wishes | None = None
        self._unread = bytearray()
        self._eof = False
        self._out = b""

    @classmethod
    def from_request(
        cls,
        method: str,
        target: str,
        headers: HeaderSource,
        **options: Any,
    ) -> ServerHandshake:
        """A handshake whose request was read elsewhere, as HTTP/1.1; `accept` or `reject` come next.

        :param method: such as ``"GET"``.
        :param target: the request-target as it was sent, such as ``"/chat?room=1"``.
        :param headers: the header fields: pairs of `str` or `bytes`, or a mapping of `str`.
        :raises HandshakeError: when the request must be refused. Its ``response`` is what to answer.
        """
        handshake = cls(**options)
        request = Request(method, target, Headers(headers))
        try:
            check_request(request)
            handshake._take_request(request)
        except HandshakeError as error:
            handshake._refuse(error)
            raise
        return handshake

    def receive_data(self, data: bytes | bytearray | memoryview) -> Request | None:
        """Takes what came from the client, and gives the request when it is whole and good; ``None`` before.

        The client "MUST wait for a response" (4.1), so nothing should come after the head. What comes nevertheless,
        up to ``Limits.head`` bytes, is kept for the connection, in any split; and so is an end of file: the first
        ``receive_data(None)`` of the connection then gives `Closed`.

        :param data: bytes in any portions; ``b""`` is the end of file.
        :raises HandshakeError: when the request must be refused, as soon as that is sure. The answer is queued: send
            what `data_to_send` gives, and close.
        :raises LocalProtocolError: when this handshake is over.
        :raises TypeError: when the data is something else.
        """
        if self._stage not in (_Stage.READING, _Stage.REQUESTED):
            raise self._out_of_order("receive_data()")
        new = as_bytes(data)
        try:
            if self.request is None:
                request = self._reader.receive(new)
                if request is not None:
                    self._take_request(request)
                    self._keep(self._reader.unread)
            else:
                self._keep(new)
                self._eof = self._eof or not new
        except HandshakeError as error:
            self._refuse(error)
            raise
        return self.request

    def accept(
        self,
        subprotocol: str | None = None,
        headers: HeaderSource = (),
        **options: Unpack[OptionArguments],
    ) -> Connection:
        """Opens the connection; its ``data_to_send()`` begins with the 101 (4.2.2).

        :param subprotocol: one that the client asked for; by default the first of the server's own that it asked for.
        :param headers: to add to the answer, such as ``Set-Cookie``.
        :param options: in place of those of the handshake, for this connection.
        :raises LocalProtocolError: when the client did not ask for that subprotocol, when a header cannot be written,
            or when it is not the time. Nothing has changed then.
        """
        if self._stage is not _Stage.REQUESTED or self.request is None:
            raise self._out_of_order("accept()")
        if self._wishes is None:
            raise LocalProtocolError("the request asks for no WebSocket; answer it with reject(), which may say 200")
        agreement = self._terms.agree(self._wishes, subprotocol)
        fields = [*agreement.fields, *_extra(headers)]
        check_fields(fields)
        response = Response(101, Headers._known_good(_answer_to(self.request) + fields))
        head = serialize_response(response)
        connection = agreement.connection(Role.SERVER, self._options.updated(**options))
        connection._start(head, bytes(self._unread), self._eof)
        self._end(_Stage.ACCEPTED, response)
        return connection

    def reject(self, status: int, headers: HeaderSource = (), body: bytes = b"") -> None:
        """Queues another answer than the 101: a refusal, a redirection, or with ``plain_http`` a page.

        It may also come before the request is whole, for instance ``reject(408)`` when the time is over. The
        connection ends with it: ``Connection: close`` and ``Content-Length`` are added.

        :param status: 200 to 599 (RFC 9110 15).
        :param headers: to add to the answer. ``Content-Type`` is plain text unless given.
        :param body: not sent in answer to HEAD, and not allowed with 204, 205 and 304.
        :raises LocalProtocolError: when the answer cannot be written, or when it is not the time.
        :raises TypeError: when the body is not bytes.
        """
        if self._stage not in (_Stage.READING, _Stage.REQUESTED):
            raise self._out_of_order("reject()")
        self._queue(_closing(status, _extra(headers), body))

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would give anything."""
        return bool(self._out)

    def data_to_send(self) -> bytes:
        """The answer of a refused handshake, once; ``b""`` otherwise. The 101 comes from the `Connection`."""
        data, self._out = self._out, b""
        return data

    def _take_request(self, request: Request) -> None:
        self.request = request
        check_host(request)
        if self._plain_methods and not request.is_upgrade:
            check_method(request, self._plain_methods)
            check_no_body(request.headers)
        else:
            check_upgrade(request)
            self._wishes = self._terms.check(request)
        self._stage = _Stage.REQUESTED

    def _keep(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) > self._limits.head:
            raise HandshakeError(400, "data came before the answer to the handshake, which must be awaited", "4.1")

    def _refuse(self, error: HandshakeError) -> None:
        # RFC 9110, 15.5.6: the answer 405 "MUST generate an Allow header field".
        methods = [("Allow", ", ".join(self._plain_methods or ("GET",)))] if error.status == 405 else []
        error.response = _closing(error.status or 400, methods, explain(error))
        self._queue(error.response)

    def _queue(self, response: Response) -> None:
        is_head = self.request is not None and self.request.method == "HEAD"
        self._out = serialize_response(response._replace(body=b"") if is_head else response)
        self._end(_Stage.REFUSED, response)

    def _end(self, stage: _Stage, response: Response) -> None:
        """Nothing that came is kept, but the request, however long this handshake is."""
        self.response = response
        self._stage = stage
        self._reader.drop()
        self._unread = bytearray()
        self._wishes = None

    def _out_of_order(self, call: str) -> LocalProtocolError:
        return LocalProtocolError(f"{call} cannot be called now: {self._stage.value}")


def _closing(status: int, headers: list[tuple[str, str]], body: bytes) -> Response:
    return refusal(status, Headers([*headers, *(_CLOSE_AND_UPGRADE if status == 426 else _CLOSE)]), body)


def _extra(headers: HeaderSource) -> list[tuple[str, str]]:
    return check_extra_headers(headers, _HOP_BY_HOP)


def _answer_to(request: Request) -> list[tuple[str, str]]:
    """The fields that every 101 has (4.2.2, step 5)."""
    return [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_key(request.headers["Sec-WebSocket-Key"])),
    ]


# ---- What a request must be (4.2.1) ----


def check_host(request: Request) -> None:
    """4.2.1, 2: "A |Host| header field containing the server's authority." RFC 9112, 3.2: a server "MUST respond with
    a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host header field and to any request
    message that contains more than one Host header field line or a Host header field with an invalid field value."
    """
    # 3.2.2: a target in absolute form replaces what the field says, but not the need for a good one.
    for host in dict.fromkeys((_only(request.headers, "Host", "RFC 9112 3.2"), request.host or "")):
        if not is_host(host):
            raise HandshakeError(400, f"Host is {excerpt(host)}, not a host with an optional port", "RFC 9112 3.2")


def check_upgrade(request: Request) -> None:
    """That ``request`` asks for a WebSocket of this version in the right way, all of 4.2.1 but ``Host`` and lists.

    :raises HandshakeError: 400, 405 or 426.
    """
    check_method(request, ("GET",))
    _check_target(request)
    check_no_body(request.headers)
    _check_upgrade_fields(request.headers)
    _check_version(request.headers)
    _check_key(request.headers)


def check_method(request: Request, methods: Sequence[str]) -> None:
    """4.2.1, 1: "An HTTP/1.1 or higher GET request"."""
    if request.method not in methods:
        required = " or ".join(methods)
        raise HandshakeError(405, f"the method is {excerpt(request.method)}; {required} is required", "4.2.1")


def _check_target(request: Request) -> None:
    # 4.2.1, 1: the Request-URI is "interpreted as a /resource name/ defined in Section 3 (or an absolute HTTP/HTTPS
    # URI containing the /resource name/)"; 3: no fragment.
    if not request.resource_name.startswith("/") or "#" in request.target:
        raise HandshakeError(400, f"the target is {excerpt(request.target)}, not a path with a query", "4.2.1")


def check_no_body(headers: Headers) -> None:
    """That nothing announces a body. A server that ignored one would take its bytes for frames, or leave them to be
    taken for the next request. ``Content-Length: 0`` says that there is none, and some clients send it with every
    request.
    """
    if "Transfer-Encoding" in headers:
        raise HandshakeError(400, "Transfer-Encoding announces a body; a handshake has none", "RFC 9112 6.1")
    if headers.get_all("Content-Length") not in ((), ("0",)):
        raise HandshakeError(400, "Content-Length announces a body; a handshake has none", "RFC 9112 6.2")


def _check_upgrade_fields(headers: Headers) -> None:
    # 4.2.1, 3: "An |Upgrade| header field containing the value "websocket", treated as an ASCII case-insensitive
    # value."
    if "websocket" not in _options(headers, "Upgrade"):
        raise HandshakeError(426, "Upgrade does not list websocket; this is a WebSocket server", "4.2.1")
    # 4.2.1, 4: "A |Connection| header field that includes the token "Upgrade", treated as an ASCII case-insensitive
    # value."
    if "upgrade" not in _options(headers, "Connection"):
        raise HandshakeError(400, "Connection does not list Upgrade", "4.2.1")


def _check_version(headers: Headers) -> None:
    # 4.2.1, 6: "A |Sec-WebSocket-Version| header field, with a value of 13." 4.2.2: otherwise "an appropriate HTTP
    # error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field".
    if "Sec-WebSocket-Version" not in headers:
        raise HandshakeError(426, f"Sec-WebSocket-Version is missing; {VERSION} is required", "4.2.1")
    version = _only(headers, "Sec-WebSocket-Version", "11.3.5")
    if version != VERSION:
        raise HandshakeError(426, f"the version is {excerpt(version)}; {VERSION} is required", "4.2.2")


# 16 bytes in base64: 21 characters of 6 bits, one of 2 bits and 4 zero pad bits, 2 "=" (RFC 4648, 3.5; erratum 3150).
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")


def _check_key(headers: Headers) -> None:
    # 4.2.1, 5: "A |Sec-WebSocket-Key| header field with a base64-encoded [...] value that, when decoded, is 16 bytes
    # in length." 11.3.1: it "MUST NOT appear more than once".
    key = _only(headers, "Sec-WebSocket-Key", "11.3.1")
    if not _KEY.fullmatch(key):
        raise HandshakeError(400, f"Sec-WebSocket-Key is {excerpt(key)}, not 16 bytes in base64", "4.2.1")


def _only(headers: Headers, name: str, section: str) -> str:
    """The value of a field that must be there once."""
    values = headers.get_all(name)
    if len(values) != 1:
        raise HandshakeError(400, f"there are {len(values) or 'no'} {name} headers; one is required", section)
    return values[0]


def _options(headers: Headers, name: str) -> list[str]:
    """What ``Upgrade`` or ``Connection`` lists, in lower case."""
    return [option.strip(" \t") for option in ",".join(headers.get_all(name)).lower().split(",")]


# ---- The client ----


class ClientHandshake:
    """The client's side of one opening handshake (4.1).

    :param uri: where to connect, a ``ws:`` or ``wss:`` URI or a `URI`. To open TCP and TLS is for the caller.
    :param subprotocols: the subprotocols to ask for, the one it likes best first (1.9).
    :param extensions: what to ask for, such as ``PerMessageDeflate()`` (9).
    :param origin: for ``Origin``; ``None`` for a client that is not a browser.
    :param headers: to add to the request, such as ``Authorization``.
    :param options: ``limits``, also on the response, and the others that `options.Options` describes.
    :raises LocalProtocolError: when the URI is not valid, or an argument cannot be written.

    :ivar uri: the `URI`.
    :ivar request: the request, for callers who send it by other means.
    :ivar response: the head of the response, when it has come.

    >>> client = rfc6455.ClientHandshake("wss://example.com/chat?room=1")
    >>> client.uri.host, client.uri.port
    ('example.com', 443)
    >>> client.data_to_send().decode().splitlines()[:2]
    ['GET /chat?room=1 HTTP/1.1', 'Host: example.com']
    >>> client.receive_data(b"HTTP/1.1 101 Switching") is None
    True
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
        self._limits = self._options.limits
        # 4.1, 7: "a nonce consisting of a randomly selected 16-byte value that has been base64-encoded".
        self._key = b64encode(self._options.random(16)).decode("ascii")
        fields = self._own_fields() + ([] if origin is None else [("Origin", origin)])
        extra = check_extra_headers(headers, _WRITTEN_BY_CLIENT)
        self.request: Request = Request("GET", self.uri.resource_name, Headers([*fields, *extra]))
        self._out = serialize_request(self.request)
        self._over = False
        self._reader = ResponseReader(self._limits)
        self._body = bytearray()

    def _own_fields(self) -> list[tuple[str, str]]:
        return [
            ("Host", self.uri.host_header),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._key),
            ("Sec-WebSocket-Version", VERSION),
            *self._offer.fields,
        ]

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would give anything."""
        return bool(self._out)

    def data_to_send(self) -> bytes:
        """The request, once; ``b""`` after that."""
        data, self._out = self._out, b""
        return data

    def receive_data(self, data: bytes | bytearray | memoryview) -> Connection | None:
        """Takes what came from the server, and gives the connection when the handshake is done; ``None`` before.

        Frames that came with the response are the connection's ``unread``.

        :param data: bytes in any portions; ``b""`` is the end of file.
        :raises HandshakeError: when there is no connection: the response breaks a rule, or it is another answer than
            the 101. Its ``response`` then has the body as far as it came, ``Limits.body`` bytes at most: it is waited
            for as long as ``Content-Length``, or when that is missing the open connection, promises more of it. A
            chunked body is not read. Then close.
        :raises LocalProtocolError: when this handshake is over.
        :raises TypeError: when the data is something else.
        """
        self._check_not_over("receive_data()")
        new = as_bytes(data)
        try:
            if self.response is not None:
                self._read_body(self.response, new, at_end=not new)
            else:
                self.response = self._read_head(new)
                if self.response is not None:
                    if self.response.status == 101:
                        return self._open(self.response)
                    self._read_body(self.response, self._reader.unread)
        except HandshakeError as error:
            raise self._refused(error) from None
        return None

    def from_response(self, status: int, headers: HeaderSource, body: bytes = b"") -> Connection:
        """The connection, when the response was read elsewhere, as HTTP/1.1.

        :param status: the status code.
        :param headers: the header fields: pairs of `str` or `bytes`, or a mapping of `str`.
        :param body: what was read of the body of a refusal, to be shown in the error.
        :raises HandshakeError: when there is no connection, as with `receive_data`.
        """
        self._check_not_over("from_response()")
        self.response = Response(status, Headers(headers), body)
        try:
            return self._open(self.response)
        except HandshakeError as error:
            raise self._refused(error) from None

    def give_up(self) -> HandshakeError:
        """End the wait for the rest of a refusal's body, and return the error with what has come of it."""
        assert self.response is not None
        self.response = self.response._replace(body=bytes(self._body))
        try:
            check_response(self.response, self._key)
        except HandshakeError as error:
            return self._refused(error)
        raise AssertionError("a response that opens has no body to wait for")

    def _read_head(self, data: bytes) -> Response | None:
        response = self._reader.receive(data)
        while response is not None and 100 <= response.status < 200 and response.status != 101:
            # RFC 9110, 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final
            # response". All of them together are bounded like one.
            self._reader.next_head()
            response = self._reader.receive(None)
        return response

    def _open(self, response: Response) -> Connection:
        check_response(response, self._key)
        agreement = self._offer.check_answer(response.headers)
        connection = agreement.connection(Role.CLIENT, self._options)
        connection._start(b"", self._reader.unread)
        self._end()
        return connection

    def _read_body(self, response: Response, data: bytes, at_end: bool = False) -> None:
        size = min(_body_size(response), self._limits.body)
        self._body += data[: size - len(self._body)]
        if len(self._body) == size or at_end:
            self.response = response._replace(body=bytes(self._body))
            check_response(self.response, self._key)

    def _end(self) -> None:
        """Nothing that came is kept, but the response, however long this handshake is."""
        self._over = True
        self._reader.drop()
        self._body = bytearray()

    def _refused(self, error: HandshakeError) -> HandshakeError:
        self._end()
        status = None if self.response is None else self.response.status
        return HandshakeError(status, error.reason, error.section, self.response)

    def _check_not_over(self, call: str) -> None:
        if self._over:
            raise LocalProtocolError(f"{call} cannot be called now: this handshake has given its result")


def check_response(response: Response, key: str) -> None:
    """That ``response`` opens the connection that was asked for with ``key`` (4.1, the second list), but for what was
    agreed.

    :raises HandshakeError: when it does not.
    """
    # 4.1, 1: "If the status code received from the server is not 101, the client handles the response per HTTP".
    if response.status != 101:
        words = f"{response.status} {phrase(response.status)}".strip()
        raise HandshakeError(None, f"the server answered {words}, not 101", "4.1")
    headers = response.headers
    if response.version != "HTTP/1.1":
        raise HandshakeError(None, "the 101 is not of HTTP/1.1", "4.2.2")
    check_no_body(headers)
    # 4.1, 2: the value of Upgrade is "an ASCII case-insensitive match for the value "websocket"".
    if _only(headers, "Upgrade", "4.1").lower() != "websocket":
        raise HandshakeError(None, f"Upgrade is {excerpt(headers['Upgrade'])}, not websocket", "4.1")
    # 4.1, 3: Connection contains "a token that is an ASCII case-insensitive match for the value "Upgrade"".
    if "upgrade" not in _options(headers, "Connection"):
        raise HandshakeError(None, "Connection does not list Upgrade", "4.1")
    # 4.1, 4: the value of Sec-WebSocket-Accept; 11.3.3: it "MUST NOT appear more than once".
    if _only(headers, "Sec-WebSocket-Accept", "11.3.3") != accept_key(key):
        raise HandshakeError(None, "Sec-WebSocket-Accept does not answer our Sec-WebSocket-Key", "4.1")


_LENGTH = re.compile(r"[0-9]{1,18}")


def _body_size(response: Response) -> int:
    """How much of a body to wait for (RFC 9112 6.3)."""
    lengths = response.headers.get_all("Content-Length")
    if response.status in (204, 304) or "Transfer-Encoding" in response.headers:
        return 0
    if not lengths:
        return sys.maxsize
    return int(lengths[0]) if len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]) else 0
