"""The common part of the opening handshakes over all versions of HTTP: their stages, and their state.

What lives here: the common part of servers (`ServerOpening`) and of clients (`ClientOpening`). Not here: requests and
responses on the wire: `http1.py` (4) and `http2.py` (RFC 8441).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from ..arguments import as_bytes, check_type, excerpt
from ..codes import CLIENT, SERVER, CloseCause, Leniency
from ..connection import Connection
from ..errors import HandshakeError, LocalProtocolError
from ..extensions import Extension
from ..headers import HeaderSource, Response
from ..http1_bodies import BodyReader
from ..http1_heads import check_fields, phrase
from ..options import DEFAULT_OPTIONS
from ..uri import URI, as_uri, is_host
from ..values import State
from .fields import Request
from .negotiation import Agreement, Offer, Terms, Wishes, check_extra_headers
from .origins import SAME_HOST, Origins

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..options import OptionArguments

# A header list as HTTP libraries read and write it. Over HTTP/2 and HTTP/3 the pseudo-header fields come first, and
# all names are in lower case.
HeaderList = list[tuple[bytes, bytes]]

# The head of a server's answer, or a function that makes it.
Answer = Response | Callable[[], Response]

_T = TypeVar("_T")
_Result = TypeVar("_Result")


class Stage(Enum):
    """The stage of a server's handshake. The value says what to do next."""

    READING = "the request must be received first"
    REQUESTED = "answer the request with accept() or reject()"
    ACCEPTED = "continue with the connection that accept() returned"
    REFUSED = "send what headers_to_send() and data_to_send() return, and close"


# Names of this module, as looking up a member in its class takes ten times as long.
READING, REQUESTED, ACCEPTED, REFUSED = Stage


class _Opening(State):
    """The common part of both sides.

    :ivar leniencies_used: the number of times that each `Leniency` was used.
    """

    # Data to send: a head in HTTP/1.1, and the body of a refusal.
    _head = b""
    _body_to_send = b""

    def __init__(self, options: OptionArguments) -> None:
        self.leniencies_used: dict[Leniency, int] = {}
        self._options = DEFAULT_OPTIONS.updated(**options) if options else DEFAULT_OPTIONS

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._head or self._body_to_send)

    def data_to_send(self) -> bytes:
        """Return what has to be sent, but only once; ``b""`` after that.

        This is the request of a client, or the answer of a server that refuses a request; a 101 comes from the
        `Connection`. Over HTTP/2 and HTTP/3, `headers_to_send` returns the heads, and this method returns only the
        body of a refusal.
        """
        data = self._head + self._body_to_send
        self._head = self._body_to_send = b""
        return data

    def _tolerates(self, leniency: Leniency, times: int = 1) -> bool:
        """Return whether a rule is not enforced, and count how often that mattered."""
        if leniency not in self._options.leniencies:
            return False
        self.leniencies_used[leniency] = self.leniencies_used.get(leniency, 0) + times
        return True


class ServerOpening(_Opening):
    """The server's side over any version of HTTP.

    :ivar request: the request, once its head has arrived, even if it was refused.
    """

    request: Request | None = None
    # Made once, as many servers have no terms but the default policy.
    _terms = Terms((), (), SAME_HOST, None, False)
    _stage = READING
    _wishes: Wishes | None = None
    _plain_http = False
    _eof = False
    _early: bytearray | None = None
    _connection: Connection | None = None  # as long as it still has to send the head of our answer
    _response: Answer | None = None
    _reserved: Collection[str]  # fields that the caller may not add

    def __init__(
        self,
        *,
        subprotocols: Sequence[str] = (),
        extensions: Sequence[Extension] = (),
        origins: Origins = SAME_HOST,
        hosts: Collection[str] | None = None,
        require_subprotocol: bool = False,
        plain_http: bool = False,
        **options: Unpack[OptionArguments],
    ) -> None:
        super().__init__(options)
        if plain_http is not False:
            check_type(plain_http, bool, "plain_http is True or False")
            self._plain_http = plain_http
        has_lists = subprotocols != () or extensions != () or hosts is not None
        if has_lists or origins is not SAME_HOST or require_subprotocol is not False:
            self._terms = Terms(subprotocols, extensions, origins, hosts, require_subprotocol)

    def another(self) -> Self:
        """Return a handshake with the same arguments, for another client, whatever this one has gone through.

        A server can make one handshake when it starts, which reports wrong arguments, and another of it for each
        client. That takes a fraction of the time, since the arguments are not checked again.
        """
        other = type(self).__new__(type(self))
        other.leniencies_used = {}
        other._options, other._terms, other._plain_http = self._options, self._terms, self._plain_http
        return other

    @property
    def response(self) -> Response | None:
        """The head of the answer, once there is one, for callers that log it or send it by other means."""
        if self._response is not None and not isinstance(self._response, Response):
            self._response = self._response()
        return self._response

    @property
    def _has_received(self) -> bool:
        return self._stage is not READING

    def receive_data(self, data: bytes | bytearray | memoryview) -> Request | None:
        """Process bytes from the client, and return the request once it is complete and valid, and ``None`` before
        that. Over HTTP/2 and HTTP/3, the request is a header list, and the bytes are the content of DATA frames.

        The client "MUST wait for a response" (4.1), so nothing should come after the request. If something does, up to
        ``Limits.early_data`` bytes of it are kept for the connection, and so is the end of the stream: the first
        ``receive_data(None)`` of the connection then returns `Closed`.

        :param data: bytes in chunks of any size; ``b""`` is the end of the stream.
        :raises HandshakeError: when the request must be refused, as soon as that is certain. The answer is queued:
            send it, and close.
        :raises LocalProtocolError: when this handshake has already ended.
        :raises TypeError: when the data is anything else.
        """
        self._check_stage("receive_data()", READING, REQUESTED)
        new = as_bytes(data)
        self._refusing(self._read_request if self._stage is READING else self._receive_early, new)
        # While it is being read, there may be one to which a rule of the application's raised an exception.
        return None if self._stage is READING else self.request

    def _read_request(self, data: bytes) -> None:
        """Process input while there is no request."""
        raise NotImplementedError

    def _answer_to_error(self, error: HandshakeError) -> Response:
        """Return the answer to a request with this error."""
        raise NotImplementedError

    def _refuse(self, response: Response) -> None:
        """Queue an answer that opens nothing, and end this handshake."""
        raise NotImplementedError

    def _refusing(self, step: Callable[[_T], None], what: _T) -> None:
        """Process input, and queue the answer if it is refused."""
        try:
            step(what)
        except HandshakeError as error:
            answer = self._answer_to_error(error)
            error.answered_by(answer)
            self._refuse(answer)
            raise

    def _receive_early(self, data: bytes) -> None:
        """Keep input that arrived before the answer, for the connection."""
        early = self._early = bytearray() if self._early is None else self._early
        early += data
        self._eof = self._eof or not data
        limit = self._options.limits.early_data
        if len(early) > limit:
            reason = (
                f"more than {limit} bytes arrived before the answer, for which a client must wait (Limits.early_data)"
            )
            raise HandshakeError(400, reason, "4.1")

    def accept(
        self, subprotocol: str | None = None, headers: HeaderSource = (), **options: Unpack[OptionArguments]
    ) -> Connection:
        """Open the connection, and return it. Over HTTP/1.1, its ``data_to_send()`` begins with the 101 (4.2.2),
        unless that was taken by `headers_to_send`; over HTTP/2 and HTTP/3, send `headers_to_send` first, without
        ending the stream.

        :param subprotocol: one of those that the client has asked for; by default, the first one in the server's list
            that the client has asked for.
        :param headers: header fields to add to the answer, such as ``Set-Cookie``.
        :param options: options of this connection, which replace those of the handshake.
        :raises LocalProtocolError: when the client did not ask for that subprotocol, when a header cannot be written,
            or when called too early or too late. In these cases, nothing is changed.
        :raises TypeError: when an argument has the wrong type.
        """
        self._check_stage("accept()", REQUESTED)
        if self._wishes is None:
            raise LocalProtocolError("the request asks for no WebSocket; answer it with reject(), which may say 200")
        agreement = self._terms.agree(self._wishes, subprotocol)
        fields = [*agreement.fields, *check_extra_headers(headers, self._reserved)]
        if fields:
            check_fields(fields)
        response, head = self._answer(fields)
        all_options = self._options.updated(**options) if options else self._options
        connection = Connection._agreed(SERVER, agreement.codecs, agreement.subprotocol, all_options)
        if self.leniencies_used:
            connection.leniencies_used.update(self.leniencies_used)
        connection._start(head, b"" if self._early is None else bytes(self._early), self._eof)
        self._end(ACCEPTED, response)
        self._connection = connection
        return connection

    def _answer(self, fields: list[tuple[str, str]]) -> tuple[Answer, bytes]:
        """Return the answer that opens the connection, with these fields, and the part that the connection sends."""
        raise NotImplementedError

    def _end(self, stage: Stage, response: Answer) -> None:
        """Release all input except for the request, as the handshake may live for long."""
        self._response = response
        self._stage = stage
        self._early = None
        self._wishes = None

    def _check_stage(self, call: str, *stages: Stage) -> None:
        if self._stage not in stages:
            raise LocalProtocolError(f"{call} cannot be called now: {self._stage.value}")


class ClientOpening(_Opening):
    """The client's side over any version of HTTP. At the end, the response has the body, as far as it was read."""

    request: Request
    response: Response | None = None
    # Made once, like the terms of a server.
    _offer = Offer((), ())
    _body: BodyReader | None = None
    _is_done = False
    _version: str
    _opening_status: int  # the status that opens the connection
    _reserved: Collection[str]  # fields that the caller may not add

    def __init__(
        self,
        uri: str | URI,
        *,
        subprotocols: Sequence[str] = (),
        extensions: Sequence[Extension] = (),
        origin: str | None = None,
        headers: HeaderSource = (),
        **options: Unpack[OptionArguments],
    ) -> None:
        self.uri: URI = as_uri(uri)
        if subprotocols != () or extensions != ():
            self._offer = Offer(subprotocols, extensions)
        super().__init__(options)
        self._ask(*self._fields_of_caller(origin, headers))

    def _ask(self, host: str, fields: list[tuple[str, str]]) -> None:
        """Make the request, for this host and with these fields of the caller."""
        raise NotImplementedError

    @property
    def _has_received(self) -> bool:
        return self._is_done or self.response is not None

    def receive_data(self, data: bytes | bytearray | memoryview) -> Connection | None:
        """Process bytes from the server, and return the connection once the handshake is complete, and ``None`` before
        that.

        Frames that arrived with the response are the connection's ``unread``. Over HTTP/2 and HTTP/3, the response is
        a header list, and the bytes are the body of a refusal; once the connection is open, pass data to it instead.

        :param data: bytes in chunks of any size; ``b""`` is the end of the stream.
        :raises HandshakeError: when there is no connection, because the response breaks a rule or is a refusal. A
            refusal is raised once its body is complete; its ``response`` contains up to ``Limits.body`` bytes of that.
            To stop waiting for the body, call `give_up`. After this error, close TCP.
        :raises LocalProtocolError: when this handshake has ended already.
        :raises TypeError: when the data is anything else.
        """
        self._check_not_done("receive_data()")
        new = as_bytes(data)
        return self._result(self._read_response if self.response is None else self._receive_body, new)

    def _read_response(self, data: bytes) -> Connection | None:
        """Process input while there is no response, and return the connection if the response opens one."""
        raise NotImplementedError

    def receive_response(self, status: int, headers: HeaderSource, body: bytes = b"") -> Connection:
        """Check a response that was read elsewhere, and return the connection.

        :param status: the status code.
        :param headers: the header fields, without ``:status``: pairs of `str` or `bytes`, or a mapping of `str`.
        :param body: what was read of the body of a refusal, for the error.
        :raises HandshakeError: when there is no connection.
        :raises LocalProtocolError: when this handshake has already received something.
        :raises TypeError: when an argument has the wrong type.
        """
        response = Response(status, headers, body, self._version)
        self._check_not_done("receive_response()")
        if self._has_received:
            raise LocalProtocolError(
                "receive_response() cannot be called now: this handshake has already received data"
            )
        self.response = response
        return self._result(self._open, response)

    def _open(self, response: Response) -> Connection:
        """Check this response, and return the connection that it opens."""
        raise NotImplementedError

    def give_up(self) -> HandshakeError:
        """Stop waiting for an answer, or for the body of a refusal, and return the error that says so.

        :returns: an error with the status and the response, as far as they have arrived.
        :raises LocalProtocolError: when this handshake has ended already.

        >>> client = rfc6455.ClientHandshake("ws://example.com/")
        >>> client.receive_data(b"HTTP/1.1 401 Unauthorized\\r\\n\\r\\nwho are") is None
        True
        >>> client.give_up().response.body
        b'who are'
        """
        self._check_not_done("give_up()")
        if self._body is not None:
            return self._failed(self._refused())
        return self._failed(HandshakeError(None, "no answer arrived", "4.1", cause=CloseCause.OPENING_EOF))

    def _fields_of_caller(self, origin: str | None, headers: HeaderSource) -> tuple[str, list[tuple[str, str]]]:
        """Return the host to request, and the fields that the caller adds."""
        fields = check_extra_headers(headers, self._reserved)
        if origin is None and not fields:
            return self.uri.host_header, []
        if origin is not None:
            check_type(origin, str, "origin is a str such as 'https://example.com' or None")
            fields.insert(0, ("Origin", origin))
        names = [name.lower() for name, _ in fields]
        for name in ("host", "origin"):
            if names.count(name) > 1:
                raise LocalProtocolError(f"{name.title()} is given twice; a request has one (RFC 9110 5.3)")
        host = fields[names.index("host")][1] if "host" in names else self.uri.host_header
        if not is_host(host):
            raise LocalProtocolError(f"Host is {excerpt(host)}, not a host with an optional port (RFC 9110 7.2)")
        return host, [field for field, name in zip(fields, names, strict=True) if name != "host"]

    def _connection(self, agreement: Agreement, unread: bytes = b"") -> Connection:
        connection = Connection._agreed(CLIENT, agreement.codecs, agreement.subprotocol, self._options)
        if self.leniencies_used:
            connection.leniencies_used.update(self.leniencies_used)
        connection._start(b"", unread)
        self._end()
        return connection

    def _result(self, step: Callable[[_T], _Result], what: _T) -> _Result:
        """Process input, and complete an error that this raises with everything that is known."""
        try:
            return step(what)
        except HandshakeError as error:
            raise self._failed(error) from None

    def _receive_body(self, data: bytes | None) -> None:
        """Collect the body of an answer that opens no connection; ``None`` is nothing new."""
        assert self.response is not None
        if self._body is None:
            self._body = BodyReader(self.response, self._options.limits.body)
        if data is not None:
            self._body.receive_data(data)
        if self._body.complete:
            raise self._refused()

    def _refused(self) -> HandshakeError:
        assert self.response is not None
        if self._body is not None:
            self.response: Response | None = self.response._replace(body=self._body.body)
        words = f"{self.response.status} {phrase(self.response.status)}".strip()
        reason = f"the server answered {words}, not {self._opening_status}"
        return HandshakeError(self.response.status, reason, "4.1", cause=CloseCause.OPENING_REFUSED)

    def _failed(self, error: HandshakeError) -> HandshakeError:
        self._end()
        status = None if self.response is None else self.response.status
        return HandshakeError(status, error.reason, error.section, self.response, error.cause)

    def _end(self) -> None:
        """Release all input except for the response, as the handshake may live for long."""
        self._is_done = True
        self._body = None

    def _check_not_done(self, call: str) -> None:
        if self._is_done:
            raise LocalProtocolError(f"{call} cannot be called now: this handshake has ended")
