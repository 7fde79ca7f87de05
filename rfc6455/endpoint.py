"""One end of a connection from its first byte to its last: handshake, connection and deadlines together.

However a loop around a socket waits, it has to coordinate three things: input belongs either to the handshake or to
the connection; deadlines need the time after each step; and at the end, it has to wait for the peer after sending the
last bytes. `Endpoint` does all of this, so such a loop has one phase instead of three.

    ws = rfc6455.Endpoint(rfc6455.ServerHandshake(), now=clock())
    while not ws.finished:
        for event in ws.events(data, now=clock()):      # everything that happened, one at a time
            ...                                         # answer: ws.accept(), ws.send_text(), ws.close(), ...
        send(ws.data_to_send())
        data = receive(until=ws.next_deadline())        # None when the deadline has come, b"" at the end of the stream

Nothing is left behind. Events are created only as the caller takes them. While an event or unprocessed input is
waiting, `Endpoint.next_deadline` returns the time that was passed last, so a loop comes back immediately, and
`Endpoint.events` continues.

Not here: rules of the protocol. Each call is passed on to the object that is responsible for it, and then the
deadlines are updated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .arguments import as_bytes, excerpt
from .codes import CloseCause, CloseCode, Opcode
from .connection import NO_CODE_NAMED, Connection, close_payload, small_ones_joined
from .cursor import READ_SIZE
from .deadlines import Deadlines, Timeouts
from .errors import HandshakeError, LocalProtocolError
from .events import Closed, ConnectionClosedError, Event
from .handshake.fields import Request
from .handshake.http1 import ClientHandshake, ServerHandshake
from .handshake.http2 import Http2ClientHandshake, Http2ServerHandshake
from .handshake.opening import HeaderList
from .headers import HeaderSource, Response
from .limits import OBJECT_OVERHEAD
from .messages import LEAST_UNCOPIED, PreparedMessage
from .values import State

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import OptionArguments

_TEXT_OPCODE = int(Opcode.TEXT)
_BINARY_OPCODE = int(Opcode.BINARY)

_SERVERS = (ServerHandshake, Http2ServerHandshake)
_CLIENTS = (ClientHandshake, Http2ClientHandshake)


class Endpoint(State):
    """A handshake, the connection that it opens, and their deadlines, as one object.

    An endpoint takes no locks: threads that share one must hold a lock of their own around every call.

    :param start: what to begin with: a handshake of either role over HTTP/1.1, HTTP/2 or HTTP/3, or a `Connection`
        whose handshake has been done elsewhere.
    :param timeouts: how long to wait for the peer; ``None`` for the defaults of `Timeouts`, ``Timeouts.NONE`` to wait
        for ever.
    :param now: the time at which the TCP connection was made, in seconds of the caller's clock. Any clock that never
        goes backwards will do, such as ``time.monotonic()``.
    :raises TypeError: when ``start`` is neither a handshake nor a `Connection`.

    :ivar handshake: the handshake; ``None`` if it was done elsewhere.
    :ivar connection: the `Connection` from the moment it is open, even after it has closed; ``None`` before.
    :ivar deadlines: the `Deadlines`.

    >>> client = rfc6455.Endpoint(rfc6455.ClientHandshake("ws://example.com/chat"), now=0.0)
    >>> server = rfc6455.Endpoint(rfc6455.ServerHandshake(), now=0.0)
    >>> for event in server.events(client.data_to_send(), now=0.1):
    ...     print(event.method, event.path)
    ...     connection = server.accept(now=0.1)
    ...     server.send_text("hello")
    GET /chat
    >>> response, message = client.events(server.data_to_send(), now=0.2)
    >>> response.status, message
    (101, TextMessage(text='hello'))
    """

    # The attributes of the compiled class.
    __slots__ = (
        *("handshake", "connection", "deadlines", "_now", "_must_advance", "_waiting", "_at", "_is_asked"),
        *("_closed", "_eof", "_lent", "_itself", "__weakref__"),
    )

    def __init__(
        self,
        start: ServerHandshake | ClientHandshake | Http2ServerHandshake | Http2ClientHandshake | Connection,
        timeouts: Timeouts | None = None,
        *,
        now: float,
    ) -> None:
        self.handshake: ServerHandshake | ClientHandshake | Http2ServerHandshake | Http2ClientHandshake | None = None
        self.connection: Connection | None = None
        self._itself: Connection | None = None  # the same, even if another object stands in for it
        self.deadlines: Deadlines = Deadlines(timeouts, now=now)
        self._now = now  # the last time that was passed in
        self._must_advance = False  # whether a call without a time has changed what is due
        # The events that have not been taken yet: those from `_at` on.
        self._waiting: list[Request | Response | Event] = []
        self._at = 0
        self._is_asked = False  # whether the client's request has been returned for sending
        # The end of a handshake that failed. The end of a connection is stored there.
        self._closed: Closed | None = None
        self._eof = False
        # The buffer that `get_buffer` lent before the connection was open.
        self._lent: bytearray | None = None
        if isinstance(start, Connection):
            self._open(start)
        elif isinstance(start, (*_SERVERS, *_CLIENTS)):
            self.handshake = start
        else:
            raise TypeError(f"an endpoint is made from a handshake or a Connection, not {start!r}")

    # The state.

    @property
    def request(self) -> Request | None:
        """The client's request: on a server once it has arrived, on a client from the beginning."""
        return None if self.handshake is None else self.handshake.request

    @property
    def response(self) -> Response | None:
        """The server's answer to the request, once there is one."""
        return None if self.handshake is None else self.handshake.response

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was negotiated (1.9), or ``None``."""
        return None if self.connection is None else self.connection.subprotocol

    @property
    def latency(self) -> float | None:
        """How long the last Pong took to arrive, in seconds; ``None`` before the first one. See `Deadlines`."""
        return self.deadlines.latency

    @property
    def closed(self) -> bool:
        """Whether the connection has ended or the handshake has failed, that is, whether `end` is known."""
        return self._has_end()

    def _has_end(self) -> bool:
        itself = self._itself
        return self._closed is not None if itself is None else itself._closed is not None

    @property
    def end(self) -> Closed | None:
        """The `Closed` event as soon as it is known, even if events before it have not been handled yet; ``None``
        before that."""
        itself = self._itself
        return self._closed if itself is None else itself._closed

    @property
    def must_close(self) -> bool:
        """Whether it is this side's turn to end TCP, or the HTTP/2 stream, once everything has been sent: see
        `Connection.must_close`. This is never true before the `Closed` event has been taken, as there may be more to
        send until then."""
        if self._waiting:
            return False
        return self._closed is not None if self.connection is None else self.connection.must_close

    @property
    def finished(self) -> bool:
        """Whether the `Closed` event has been taken and there is nothing left to wait for: see `Connection.finished`.
        Close the socket then."""
        if self._waiting:
            return False
        if self.connection is not None:
            return self.connection.finished
        return self._closed is not None and (self._eof or self.deadlines._gave_up_tcp)

    @property
    def unread(self) -> int:
        """The number of bytes of input that wait until the events before them have been taken: see
        `Connection.unread`."""
        return 0 if self.connection is None else self.connection.unread

    # Events.

    def events(
        self, data: bytes | bytearray | memoryview | None = None, *, now: float
    ) -> Iterator[Request | Response | Event]:
        """Process data from the peer, note the time, and return an iterator over what has happened.

        The data is accepted when this method is called, however much of the iterator is used. On a server, the first
        event is the `Request`, which has to be answered with `accept` or `reject`; on a client, it is the `Response`
        that opens the connection. The last event is always `Closed`. If the opening handshake has failed, its code is
        1006, and its ``error`` is a `HandshakeError` with the ``status`` of the answer.

        Events that are not taken come first in the next call. Until then, they count towards the memory budget of the
        peer, and no further events are created.

        :param data: bytes in chunks of any size; ``b""`` at the end of the stream, even if it was reset; ``None`` if
            nothing new was read, because a deadline has been reached or something is left to process.
        :param now: the time, in seconds of the caller's clock.
        :raises TypeError: when the data is anything else.
        """
        self._receive(data, now)
        return _events(self)

    def receive_data(
        self, data: bytes | bytearray | memoryview | None, *, now: float
    ) -> list[Request | Response | Event]:
        """Do one step of what `events` does, and return as many events as can be created in bounded time and memory.

        While something is `unread`, or just after a request was accepted, continue with ``receive_data(None,
        now=now)``; `next_deadline` then returns the time that was passed last. The arguments and errors are those of
        `events`.
        """
        self._receive(data, now)
        waiting = self._waiting[self._at :] if self._at else self._waiting
        self._waiting = []
        self._at = 0
        return waiting

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        """Lend memory to read into, which avoids copying the input: for ``socket.recv_into`` or
        ``asyncio.BufferedProtocol``. In the middle of a large payload, this is the memory of the message itself.

        The memory is valid for one read. Call `buffer_updated` after it, before anything else is received.

        :param size_hint: the number of bytes that the caller would like; it may get fewer or more. 0 or less means no
            preference.

        >>> ws = rfc6455.Endpoint(rfc6455.Connection(rfc6455.CLIENT), now=0.0)
        >>> ws.get_buffer()[:4] = bytes.fromhex("81 02 6869")
        >>> list(ws.buffer_updated(4, now=0.1))
        [TextMessage(text='hi')]
        """
        if self.connection is not None:
            return self.connection._get_buffer(size_hint)
        self._lent = bytearray(READ_SIZE)
        return memoryview(self._lent)

    def buffer_updated(self, size: int, *, now: float) -> Iterator[Request | Response | Event]:
        """Process what was read into the memory that `get_buffer` lent last, and return what happened as `events`
        does.

        :param size: the number of bytes that were read; 0 at the end of the stream.
        :param now: the time, in seconds of the caller's clock.
        :raises ValueError: when no memory was lent, or less than ``size``.
        """
        connection = self.connection
        if connection is None:
            lent, self._lent = self._lent, None
            if lent is None or not 0 <= size <= len(lent):
                raise ValueError(f"{0 if lent is None else len(lent)} bytes were lent by get_buffer(), and not {size}")
            return self.events(lent[:size], now=now)
        self._now = now
        waiting = self._size_of_waiting() if self._waiting else 0
        self._waiting += connection._buffer_updated(size, waiting)
        if not connection._has_unread:
            self._advance()
        return _events(self)

    def receive_headers(
        self, headers: Iterable[tuple[str | bytes, str | bytes]], *, now: float
    ) -> Iterator[Request | Response | Event]:
        """Process the peer's header list over HTTP/2 or HTTP/3, and return what happened as `events` does.

        :param headers: as `Http2ServerHandshake.receive_headers` and `Http2ClientHandshake.receive_headers` take it.
        :param now: the time, in seconds of the caller's clock.
        :raises LocalProtocolError: when no header list is expected.
        """
        handshake = self.handshake
        if not isinstance(handshake, (Http2ServerHandshake, Http2ClientHandshake)) or self.closed:
            raise LocalProtocolError("receive_headers() is for a handshake over HTTP/2 that has not ended")
        self._now = now
        self._take_head(lambda: handshake.receive_headers(headers))
        self._advance()
        return _events(self)

    def advance(self, *, now: float) -> None:
        """Note the time without taking events. This is for a loop that is held up because the peer is not reading what
        it is sent.

        The messages of such a peer have to wait, but its deadlines keep running: wait until
        ``deadlines.next_deadline()``, which disregards what is left to process. If a deadline ends the connection, the
        endpoint is `closed`; then continue with `events`, since nothing has to wait for the peer any more.

        :param now: the time, in seconds of the caller's clock.
        """
        self._now = now
        self._advance()

    def next_deadline(self) -> float | None:
        """Return the time, in seconds of the caller's clock, by which `events` should be called again; ``None`` if
        there is no deadline. After `close` or `reject`, and while something is left to process, that is immediately:
        the time that was passed last."""
        if self._has_more():
            return self._now
        return self.deadlines.next_deadline()

    def pause(self, *, now: float) -> None:
        """Stop the clock, for a caller that does not read for a while: see `Deadlines.pause`."""
        self.deadlines.pause(now=now)

    def resume(self, *, now: float) -> None:
        """Restart the clock after `pause`: see `Deadlines.resume`."""
        self.deadlines.resume(now=now)

    # Sending.

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would return anything."""
        if self.connection is not None:
            return self.connection._has_queued if self._waiting else self.connection.has_data_to_send
        return not self._is_given_up_client() and self.handshake is not None and self.handshake.has_data_to_send

    def data_to_send(self) -> bytes:
        """Return everything that has to be sent now, and remove it from the queue. Send all of it, in this order,
        before later data.

        This may be called between two events. A Close frame that is owed is included once the last event has been
        taken, after the answers to earlier messages.
        """
        if self.connection is not None:
            return b"".join(self.connection._take_out(False)) if self._waiting else self.connection.data_to_send()
        # If the handshake was given up before its request was sent, the request is not sent.
        return b"" if self.handshake is None or self._is_given_up_client() else self.handshake.data_to_send()

    def buffers_to_send(self) -> list[bytes]:
        """Return the same as a list of buffers, so that a large payload is not copied: see
        `Connection.buffers_to_send`."""
        itself = self._itself
        if itself is not None and self.connection is itself:
            return small_ones_joined(itself._take_out(not self._waiting))
        if self.connection is not None:
            return small_ones_joined(self.connection._take_out(not self._waiting))
        data = self.data_to_send()
        return [data] if data else []

    def headers_to_send(self) -> HeaderList:
        """Return the header list that is due, and return it only once: the request or the answer of the opening
        handshake, for a caller that has an HTTP library write it. The list is empty if nothing is due.

        Over HTTP/2 and HTTP/3, it includes the pseudo-header fields. Over HTTP/1.1, there are none (the status is in
        `response`), and `data_to_send` then leaves out the head.
        """
        return [] if self.handshake is None or self._is_given_up_client() else self.handshake.headers_to_send()

    def accept(
        self,
        subprotocol: str | None = None,
        headers: HeaderSource = (),
        *,
        now: float,
        **options: Unpack[OptionArguments],
    ) -> Connection:
        """Open the connection. The other arguments and errors are those of `ServerHandshake.accept`.

        :param now: the time, in seconds of the caller's clock.
        :raises LocalProtocolError: also when the client has gone in the meantime, which a `Closed` event has reported.
        """
        connection = self._unanswered("accept()").accept(subprotocol, headers, **options)
        self._now = now
        self._open(connection)
        return connection

    def reject(self, status: int, headers: HeaderSource = (), body: bytes = b"") -> None:
        """Answer the request without opening a connection. The arguments and errors are those of
        `ServerHandshake.reject`. The next event is `Closed`, and it is due immediately."""
        handshake = self._unanswered("reject()")
        handshake.reject(status, headers, body)
        asked = handshake.request.path if handshake.request else ""
        reason = f"the request for {excerpt(asked)} was answered without opening a connection"
        self._end(HandshakeError(status, reason, "4.2.2", handshake.response, CloseCause.OPENING_REFUSED))

    def send_text(
        self, text: str | bytes | bytearray | memoryview, *, fin: bool = True, compress: bool | None = None
    ) -> None:
        """Queue a text message, or a fragment of one. The arguments and errors are those of `Connection.send_text`.

        :raises LocalProtocolError: also when the connection is not open yet.
        :raises ConnectionClosedError: also when the `Closed` event has been taken from `events`.
        """
        self._opened("send_text()").send_text(text, fin=fin, compress=compress)

    def send_bytes(
        self, data: bytes | bytearray | memoryview, *, fin: bool = True, compress: bool | None = None
    ) -> None:
        """Queue a binary message, or a fragment of one: see `Connection.send_bytes`; errors as for `send_text`."""
        self._opened("send_bytes()").send_bytes(data, fin=fin, compress=compress)

    def _send_message(
        self, message: str | bytes | bytearray | memoryview | PreparedMessage, fin: bool, compress: bool | None
    ) -> int:
        """Do what `send_text`, `send_bytes` or `send_prepared` does, depending on the type of the message, and return
        its length. In the compiled build, the usual cases are calls in C, unless something stands in for the
        connection."""
        itself = self._itself if self._itself is self.connection else None
        if type(message) is bytes and itself is not None:
            itself._send_data(_BINARY_OPCODE, message, fin, compress)
        elif type(message) is str and itself is not None and not itself.extensions and len(message) < LEAST_UNCOPIED:
            itself._send_str(message, fin)
        elif isinstance(message, PreparedMessage):
            self.send_prepared(message)
            return len(message.payload)
        elif isinstance(message, str):
            self.send_text(message, fin=fin, compress=compress)
        else:
            self.send_bytes(message, fin=fin, compress=compress)
            if isinstance(message, memoryview):
                return message.nbytes
        return len(message)

    def send_prepared(self, prepared: PreparedMessage) -> None:
        """Queue a message that several connections share: see `Connection.send_prepared`; errors as for
        `send_text`."""
        self._opened("send_prepared()").send_prepared(prepared)

    def send(self, event: Event) -> None:
        """Queue what an event says: see `Connection.send`; errors as for `send_text`."""
        self._opened("send()").send(event)

    def ping(self, payload: bytes | bytearray | memoryview = b"") -> None:
        """Queue a Ping: see `Connection.ping`; errors as for `send_text`."""
        self._opened("ping()").ping(payload)

    def pong(self, payload: bytes | bytearray | memoryview = b"") -> None:
        """Queue an unsolicited Pong: see `Connection.pong`; errors as for `send_text`."""
        self._opened("pong()").pong(payload)

    def abort(self) -> None:
        """Note that this side is about to cut TCP without a closing handshake. Nothing is queued or dropped, but when
        the end of the stream is reported by ``events(b"", now=now)``, it is not mistaken for the peer's doing. During
        the opening handshake, this changes nothing.

        >>> ws = rfc6455.Endpoint(rfc6455.Connection(rfc6455.SERVER), now=0.0)
        >>> ws.abort()
        >>> print(*ws.events(b"", now=0.1))
        this side cut the connection without a closing handshake
        """
        if self.connection is not None:
            self.connection._abort()

    def close(self, code: int | None = NO_CODE_NAMED, reason: str = "") -> None:
        """Close, whatever the stage: an open connection is closed with `Connection.close`; a client that is waiting
        for an answer gets 503, or 500 for the code 1011; a client's own handshake is given up. This may be called at
        any time and more than once. Call `events` soon afterwards, since it changes what is due.

        The arguments and errors are those of `Connection.close`.
        """
        if self.connection is not None:
            self.connection.close(code, reason)
            self._must_advance = True
            return
        close_payload(code, reason)
        if self._closed is None:
            status = 500 if code == CloseCode.INTERNAL_ERROR else 503
            self._give_up(status, reason or "closed before it was open", CloseCause.OPENING_REFUSED)

    # One step.

    def _receive(self, data: bytes | bytearray | memoryview | None, now: float) -> None:
        self._now = now
        connection, itself = self.connection, self._itself
        if connection is None:
            self._receive_opening(data)
        elif self._waiting:
            if data is not None:
                self._waiting += connection._receive_later(data, self._size_of_waiting())
        elif itself is not None and connection is itself:  # in the compiled build, this is a call in C
            self._waiting = itself.receive_data(data)  # type: ignore[assignment]
        else:
            self._waiting = connection.receive_data(data)  # type: ignore[assignment]
        if self._itself is None or not self._itself._has_unread:
            self._advance()

    def _report_bare(self) -> None:
        """Have `_next_event` return whole messages as `str` or `bytes` from now on. The connection is open."""
        self._opened("_report_bare()")._report_bare()

    def _next_event(self) -> Any:
        """Return the next waiting event, or else one made from unread input; ``None`` if there is nothing left."""
        while self._at >= len(self._waiting):
            itself = self._itself
            if itself is not None and itself._has_unread and self.connection is not None:
                self._waiting = self.connection.receive_data(None)  # type: ignore[assignment]
                self._at = 0
                if not itself._has_unread:
                    self._advance()
            elif self._must_advance:
                self._advance()
            else:
                return None
        waiting, at = self._waiting, self._at
        event = waiting[at]
        if at + 1 < len(waiting):
            self._at = at + 1
        else:
            self._waiting = []
            self._at = 0
        if type(event) is Closed and self.connection is not None:
            self.connection._tell_end()
        return event

    def _has_more(self) -> bool:
        """Return whether anything is left to process."""
        if self._must_advance or self._waiting:
            return True
        return self.connection is not None and self.connection._has_unread

    def _advance(self) -> None:
        """Advance the deadlines, unless the awaited data may be in unread input."""
        if self.connection is not None:
            events = self.deadlines._advance(self._now)
            if events:
                self._waiting += events
        else:
            self._advance_opening()
        self._must_advance = False

    def _size_of_waiting(self) -> int:
        """Return the memory that the waiting events take, in bytes."""
        size = 0
        for event in self._waiting[self._at :]:
            if isinstance(event, (str, bytes)):
                size += len(event)
            for name in getattr(event, "__match_args__", ()):
                value = getattr(event, name)
                size += len(value) if isinstance(value, (str, bytes)) else 0
            size += OBJECT_OVERHEAD
        return size

    # The opening handshake.

    def _advance_opening(self) -> None:
        if self._closed is None and self.deadlines._advance(self._now):
            self._give_up(408, CloseCause.OPEN_TIMEOUT.value, CloseCause.OPEN_TIMEOUT)
        if self._closed is not None:
            self.deadlines._opening_failed(self._eof, self._now)

    def _receive_opening(self, data: bytes | bytearray | memoryview | None) -> None:
        handshake = self.handshake
        if data is None or handshake is None:
            return
        data = as_bytes(data, "what is received")  # an empty list or str is not the end of the stream
        is_end = not data
        self._eof = self._eof or is_end
        if self._closed is None:
            self._take_head(lambda: handshake.receive_data(data))
        if is_end and self._closed is None:
            # This is a server: a client's handshake raises an error of its own.
            reason = "the client did not wait for the answer"
            self._end(HandshakeError(None, reason, "4.1", cause=CloseCause.OPENING_EOF))

    def _take_head(self, receive: Callable[[], Connection | Request | None]) -> None:
        try:
            opened = receive()
        except HandshakeError as error:
            # The event is a value: it must not keep the objects alive to which the traceback refers.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            self._end(error)
            return
        if isinstance(opened, Connection):
            self._open(opened)
            if self.response is not None:
                self._waiting.append(self.response)
        elif opened is not None and not self._is_asked:
            self._is_asked = True
            self._waiting.append(opened)
        elif opened is None and self.response is not None:
            self.deadlines._await_body(self._now)

    def _open(self, connection: Connection) -> None:
        self.connection = connection
        self._itself = connection._unwrapped()
        self.deadlines.opened(connection, now=self._now)

    def _unanswered(self, call: str) -> ServerHandshake | Http2ServerHandshake:
        if self._closed is not None:
            raise LocalProtocolError(f"{call} comes too late: the opening handshake has ended; {self._closed}")
        if not isinstance(self.handshake, _SERVERS):
            raise LocalProtocolError(f"{call} is for the server's side of an opening handshake, and this is not one")
        return self.handshake

    def _opened(self, call: str) -> Connection:
        if self.connection is not None:
            return self.connection
        if self._closed is not None:
            raise ConnectionClosedError(self._closed)
        what = "accept() has been called" if isinstance(self.handshake, _SERVERS) else "the Response has arrived"
        raise LocalProtocolError(f"{call} comes too early: the connection is open once {what}")

    def _is_given_up_client(self) -> bool:
        return self._closed is not None and isinstance(self.handshake, _CLIENTS)

    def _give_up(self, status: int, reason: str, cause: CloseCause) -> None:
        if isinstance(self.handshake, _SERVERS):
            self.handshake.reject(status, body=reason.encode(errors="replace"))
            self._end(HandshakeError(status, reason, "4.2.2", self.handshake.response, cause))
        elif self.response is not None and self.handshake is not None:
            # The status of the refusal is known, but its body took too long.
            self._end(self.handshake.give_up())
        else:
            self._end(HandshakeError(None, reason, "4.1", cause=cause))

    def _end(self, error: HandshakeError) -> None:
        self._closed = Closed(CloseCode.ABNORMAL_CLOSURE, "", False, error, error.cause)
        self._waiting.append(self._closed)
        self._must_advance = True


def _events(endpoint: Endpoint) -> _Events:
    # In Cython, calling the class would take three times as long.
    events = _Events.__new__(_Events)
    events._endpoint = endpoint
    return events


class _Events:
    """The iterator that `Endpoint.events` returns. It has no state, so all iterators of an endpoint share its
    events."""

    __slots__ = ("_endpoint",)

    _endpoint: Endpoint

    def __iter__(self) -> Iterator[Request | Response | Event]:
        return self

    def __next__(self) -> Request | Response | Event:
        event: Request | Response | Event | None = self._endpoint._next_event()
        if event is None:
            raise StopIteration
        return event
