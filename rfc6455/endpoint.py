"""One end of a connection from its first byte to its last: handshake, connection and deadlines, in step.

A loop around a socket has the same three things to keep together, whatever it waits with: what comes belongs to the
handshake or to the connection, the time is told after whatever happened, and at the end the last bytes are followed
by a wait for the peer's. `Endpoint` keeps them together, so that such a loop has one phase and not three.

The law: nothing of the protocol is decided here. Each call goes to the object that is its own, and time follows.
"""

from __future__ import annotations

from .arguments import as_bytes
from .codes import CloseCause, CloseCode, is_sendable_close_code
from .connection import Connection
from .deadlines import Deadlines, Timeouts
from .errors import HandshakeError, LocalProtocolError
from .events import Closed, Event
from .handshake.http1 import ClientHandshake, ServerHandshake
from .headers import HeaderSource
from .http1_heads import Request, Response


class Endpoint:
    """A handshake, the connection that comes of it, and their deadlines.

    :param start: what it begins with: a `ServerHandshake`, a `ClientHandshake`, or a `Connection` whose handshake was
        done elsewhere.
    :param timeouts: how long to wait for what; ``None`` for the defaults of `Timeouts`.
    :param now: the time at which TCP was there, in seconds of the caller's clock.
    :raises TypeError: when it cannot begin with that. On a stream of HTTP/2 it begins with the connection.

    :ivar handshake: the handshake, unless it was done elsewhere.
    :ivar connection: the `Connection` once it is open, also when it is closed again; ``None`` before.
    :ivar deadlines: the `Deadlines`, for `Deadlines.latency`, `Deadlines.pause` and `Deadlines.resume`.

    >>> client = rfc6455.Endpoint(rfc6455.ClientHandshake("ws://example.com/chat"), now=0.0)
    >>> server = rfc6455.Endpoint(rfc6455.ServerHandshake(), now=0.0)
    >>> (request,) = server.receive_data(client.data_to_send(), now=0.1)
    >>> request.path
    '/chat'
    >>> server.accept(now=0.1).send_text("hello")
    >>> (response,) = client.receive_data(server.data_to_send(), now=0.2)
    >>> response.status
    101
    >>> client.receive_data(None, now=0.2)
    [TextMessage(text='hello')]
    """

    def __init__(
        self,
        start: ServerHandshake | ClientHandshake | Connection,
        timeouts: Timeouts | None = None,
        now: float = 0.0,
    ) -> None:
        self.handshake: ServerHandshake | ClientHandshake | None = None
        self.connection: Connection | None = None
        self.deadlines: Deadlines = Deadlines(timeouts, now)
        self._now = now  # as it was last told
        self._must_advance = False  # whether a call without the time has changed what is due
        self._is_asked = False  # whether the client's request was given
        # Of a handshake that failed; a connection knows its own end.
        self._closed: Closed | None = None
        self._eof = False
        self._over_at: float | None = None
        if isinstance(start, Connection):
            self._open(start, now)
        elif isinstance(start, (ServerHandshake, ClientHandshake)):
            self.handshake = start
        else:
            raise TypeError(f"an endpoint begins with a handshake over HTTP/1.1 or a Connection, not {start!r}")

    # How far it has come.

    @property
    def closed(self) -> bool:
        """Whether the end has come, be it that of the connection or of a handshake that failed. The `Closed` event
        says so, in this call or the next."""
        return self._closed is not None if self.connection is None else self.connection.closed

    @property
    def must_close(self) -> bool:
        """Whether it is this side's turn to end TCP, once all is sent: see `Connection.must_close`."""
        return self._closed is not None if self.connection is None else self.connection.must_close

    @property
    def over(self) -> bool:
        """Whether there is nothing left to wait for: see `Connection.over`. Then close the socket."""
        if self.connection is None:
            return self._closed is not None and self._eof
        return self.connection.over

    @property
    def unread(self) -> int:
        """How many bytes wait for ``receive_data(None, now)``: see `Connection.unread`."""
        return 0 if self.connection is None else self.connection.unread

    # What happens.

    def receive_data(
        self, data: bytes | bytearray | memoryview | None, now: float
    ) -> list[Request | Response | Event]:
        """Takes what came from the peer, and tells the time.

        :param data: bytes in any portions; ``b""`` at the end of the stream, also when it was reset; ``None`` when
            nothing new was read, to go on with what is `unread`.
        :param now: the time in seconds.
        :returns: what happened, in order. A server's first is the `Request`, to be answered with `accept` or `reject`;
            a client's first is the `Response` that opens the connection. The last is `Closed`, once. Where the opening
            handshake failed, its code is 1006 and its ``error`` a `HandshakeError`, whose ``status`` is the answer's.
        """
        if self.connection is not None:
            events = self.connection.receive_data(data)
            # What is waited for may be in what is unread.
            return [*events] if self.connection.unread else [*events, *self.advance(now)]
        new = None if data is None else as_bytes(data)
        if new is not None and not new:
            self._eof = True
        if self._closed is not None or new is None:
            return [*self.advance(now)]
        return [*self._receive_head(new, now), *self.advance(now)]

    def advance(self, now: float) -> list[Event]:
        """Tells the time. Call it when `next_deadline` has come, then send what there is to send. `receive_data` does
        it, too.

        :param now: the time in seconds.
        :returns: the `Closed` event where one is due, else nothing.
        """
        self._now = now
        events = self.deadlines.advance(now) if self.connection is not None else self._advance_opening(now)
        self._must_advance = False
        return events

    def next_deadline(self) -> float | None:
        """The time, in seconds of the caller's clock, at which `advance` should be called at the latest; ``None`` when
        nothing is awaited. After `close` or `reject` that is at once."""
        if self._must_advance:
            return self._now
        return self.deadlines.next_deadline() if self._closed is None else self._over_at

    def data_to_send(self) -> bytes:
        """Gives all that is to be sent now, and forgets it: send it whole, in this order, before later data."""
        if self.connection is not None:
            return self.connection.data_to_send()
        assert self.handshake is not None
        if self._closed is not None and isinstance(self.handshake, ClientHandshake):
            return b""  # a request that was given up before it was sent is not sent
        return self.handshake.data_to_send()

    # What a server answers, and the end.

    def accept(
        self, now: float, subprotocol: str | None = None, headers: HeaderSource = (), *, parts: bool = False
    ) -> Connection:
        """Opens the connection: `ServerHandshake.accept`, whose other arguments and errors it has.

        :param now: the time in seconds.
        :raises LocalProtocolError: also when the client has gone meanwhile, which a `Closed` event has told.
        """
        connection = self._unanswered("accept()").accept(subprotocol, headers, parts=parts)
        self._open(connection, now)
        return connection

    def reject(self, status: int, headers: HeaderSource = (), body: bytes = b"") -> None:
        """Gives another answer than the 101: `ServerHandshake.reject`, whose arguments and errors it has. `Closed`
        comes with the next `advance`, which is due at once."""
        handshake = self._unanswered("reject()")
        handshake.reject(status, headers, body)
        self._end(HandshakeError(status, f"the answer was {status}", "4.2.2", handshake.response))

    def close(self, code: int | None = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Begins the end, whatever there is: on a connection with `Connection.close`; a client that waits for an
        answer gets 503; a handshake of our own is given up. Legal always, as often as one likes. The next `advance`
        is due at once.

        :param code: the close code; see `Connection.close`.
        :param reason: as much as fits of it is sent.
        :raises LocalProtocolError: when the code or the reason cannot be sent.
        """
        if self.connection is not None:
            self.connection.close(code, reason)
            self._must_advance = True
        elif code is not None and not is_sendable_close_code(code):
            raise LocalProtocolError(f"close code {code} must not be sent (7.4)")
        elif self._closed is None:
            self._give_up(503, reason or "closed before it was open")

    # The opening handshake.

    def _advance_opening(self, now: float) -> list[Event]:
        if self._closed is None and self.deadlines.advance(now):
            self._give_up(408, CloseCause.OPEN_TIMEOUT.value, CloseCause.OPEN_TIMEOUT)
        if self._closed is None:
            return []
        self._wait_for_the_end(now)
        # The end is given once, by the first advance after it.
        return [self._closed] if self._must_advance else []

    def _receive_head(self, data: bytes, now: float) -> list[Request | Response]:
        assert self.handshake is not None
        try:
            opened = self.handshake.receive_data(data)
            if not data:
                # Only a server comes here: a client's handshake has an error of its own.
                raise HandshakeError(None, "the client did not wait for the answer", "4.1")
        except HandshakeError as error:
            # The event is a value: it must not keep what the traceback refers to.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            self._end(error)
            return []
        if isinstance(opened, Connection):
            self._open(opened, now)
            response = self.handshake.response
            return [] if response is None else [response]
        if opened is None or self._is_asked:
            return []
        self._is_asked = True
        return [opened]

    def _unanswered(self, call: str) -> ServerHandshake:
        if self._closed is not None:
            raise LocalProtocolError(f"{call} cannot be called now: the opening handshake is over")
        if not isinstance(self.handshake, ServerHandshake):
            raise LocalProtocolError(f"{call} cannot be called here: it is for the server's opening handshake")
        return self.handshake

    def _open(self, connection: Connection, now: float) -> None:
        self.connection = connection
        self.deadlines.opened(connection, now)

    def _give_up(self, status: int, reason: str, cause: CloseCause = CloseCause.OPENING_REFUSED) -> None:
        if isinstance(self.handshake, ServerHandshake):
            self.handshake.reject(status, body=reason.encode(errors="replace"))
            self._end(HandshakeError(status, reason, "4.2.2", self.handshake.response), cause)
        else:
            self._end(HandshakeError(None, reason, "4.1"), cause)

    def _end(self, error: HandshakeError, cause: CloseCause = CloseCause.OPENING_REFUSED) -> None:
        self._closed = Closed(CloseCode.ABNORMAL_CLOSURE, error.reason, False, error, cause)
        self._must_advance = True

    def _wait_for_the_end(self, now: float) -> None:
        """As `Deadlines` does it for a connection that is closed."""
        tcp_close = self.deadlines.timeouts.tcp_close
        if self._over_at is not None and now >= self._over_at:
            self._eof = True
        if self._eof or tcp_close is None:
            self._over_at = None
        elif self._over_at is None:
            self._over_at = now + tcp_close
