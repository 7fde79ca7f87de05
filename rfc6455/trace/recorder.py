"""Recording: objects that stand in for a handshake and its connection, and record what goes through them.

The law: recording changes no behaviour. Bytes are recorded before they are passed on, so that a refused handshake is
in the recording as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..arguments import as_bytes
from ..codes import CloseCause, Role
from ..connection import NO_CODE_NAMED, Connection
from ..errors import LocalProtocolError
from ..events import Event
from ..handshake.fields import Request
from ..handshake.http1 import ClientHandshake, ServerHandshake
from ..handshake.http2 import Http2ClientHandshake, Http2ServerHandshake
from ..standing_in import StandIn
from ..state import Direction
from .recording import Entry, Kind, Recording

# Four messages of the largest size that the default `Limits` allow, or about twenty thousand short ones. A thousand
# such recordings take 4 GB, so a server should record only the connections under investigation.
DEFAULT_LIMIT = 4 << 20

# The memory that an entry takes besides its data: the tuple (80), the time (24), the header of the bytes object (33),
# a place in a list (9), rounding. A peer that sends single bytes causes an entry for each.
ENTRY_OVERHEAD = 160

_Servers = ServerHandshake | Http2ServerHandshake
_Clients = ClientHandshake | Http2ClientHandshake
_Wrapped = TypeVar("_Wrapped")
_End = TypeVar("_End", Connection, ServerHandshake, ClientHandshake, Http2ServerHandshake, Http2ClientHandshake)


class Recorder:
    """Records one connection.

    :param clock: a function that returns the time in seconds, such as ``time.time``. In HAR and pcapng, this is
        interpreted as seconds since 1970.
    :param limit: how much memory the recording may take, in bytes. Whatever exceeds this is not kept; dropping the
        beginning instead would make the rest unreadable.

    >>> from rfc6455 import SERVER, Connection, trace
    >>> recorder = trace.Recorder(clock=lambda: 0.0)
    >>> ws = recorder.wrap(Connection(SERVER))
    >>> ws.receive_data(bytes.fromhex("8185 37fa213d 7f9f4d5158"))
    [TextMessage(text='Hello')]
    >>> ws.send_text("Hello yourself")
    >>> ws.data_to_send()
    b'\\x81\\x0eHello yourself'
    >>> [entry.kind.value for entry in recorder.recording.entries]
    ['opened', 'received', 'sent']
    """

    def __init__(self, clock: Callable[[], float], limit: int = DEFAULT_LIMIT) -> None:
        self._clock = clock
        self._room = limit
        self._recording: Recording | None = None
        self._received = 0

    @property
    def recording(self) -> Recording:
        """The recording so far. It keeps growing.

        :raises LocalProtocolError: when nothing has been wrapped.
        """
        if self._recording is None:
            raise LocalProtocolError("there is no recording yet: wrap() a handshake or a connection first")
        return self._recording

    def wrap(self, end: _End) -> _End:
        """Return an object to use instead of ``end``. It behaves like ``end``, even for ``isinstance``, and can
        therefore be used in an `rfc6455.Endpoint`. The connection that a handshake opens is recorded as well.

        :param end: a handshake, or, if the handshake took place elsewhere, a connection; it must not have received
            anything yet. What an HTTP library reads or writes, such as all headers of HTTP/2, is not part of the
            recording.
        :raises TypeError: when it is anything else.
        :raises LocalProtocolError: if it has already received data, or if this recorder has wrapped another object.

        >>> import rfc6455
        >>> from rfc6455 import trace
        >>> recorder = trace.Recorder(clock=lambda: 0.0)
        >>> ws = rfc6455.Endpoint(recorder.wrap(rfc6455.ServerHandshake()), now=0.0)
        >>> list(ws.events(b"", now=1.0))[-1].cause.name, recorder.recording.entries
        ('OPENING_EOF', [Entry(time=0.0, kind=<Kind.RECEIVED: 'received'>, data=b'')])
        """
        if self._recording is not None:
            raise LocalProtocolError("this recorder already records a connection; make another recorder")
        if not isinstance(end, (Connection, _Servers, _Clients)):
            raise TypeError(f"a handshake or a connection can be recorded, not {type(end).__name__}")
        if _has_received(end):
            raise LocalProtocolError("this has already received data: wrap() it earlier, or wrap its handshake")
        # With `isinstance`, each of these passes for the object for which it stands in.
        if isinstance(end, _Servers):
            self._recording = Recording(Role.SERVER)
            return cast("_End", _RecordedServerHandshake(end, self))
        if isinstance(end, _Clients):
            self._recording = Recording(Role.CLIENT)
            return cast("_End", _RecordedClientHandshake(end, self))
        self._recording = Recording(end.role)
        return self._open(end)

    # Called by the objects below.

    def _open(self, connection: Connection) -> Connection:
        recording = self.recording
        recording.received_head = self._received - connection.unread
        recording.extensions = ", ".join([codec.parameters for codec in connection.extensions])
        recording.limits = connection.limits
        self._add(Kind.OPENED)
        return cast("Connection", _RecordedConnection(connection, self))

    def _receive(self, data: bytes | bytearray | memoryview) -> bytes:
        data = as_bytes(data)
        self._received += len(data)
        self._add(Kind.RECEIVED, data)
        return data

    def _send(self, data: bytes) -> bytes:
        if data:
            self._add(Kind.SENT, data)
        return data

    def _add(self, kind: Kind, data: bytes = b"") -> None:
        self._room -= len(data) + ENTRY_OVERHEAD
        if self._room >= 0:
            self.recording.entries.append(Entry(self._clock(), kind, data))
        else:
            self.recording.missing += 1


def _has_received(end: Connection | _Servers | _Clients) -> bool:
    """Return whether a recording that begins now would be incomplete. This includes an end that has finished, as
    nothing more will come, but not a head that was read elsewhere."""
    if isinstance(end, Connection):
        return end.closed or end.bytes_received > 0
    if isinstance(end, _Clients):
        return end._has_received
    reads = isinstance(end, ServerHandshake) and end._has_input
    return reads or bool(end._early) or end._eof or end.response is not None


class _Recorded(StandIn[_Wrapped]):
    def __init__(self, wrapped: _Wrapped, recorder: Recorder) -> None:
        super().__init__(wrapped)
        self._recorder = recorder


class _RecordedConnection(_Recorded[Connection]):
    def __init__(self, connection: Connection, recorder: Recorder) -> None:
        super().__init__(connection, recorder)
        self._has_sent = False
        self._is_aborted = False
        self._lent: memoryview | None = None

    def receive_data(self, data: bytes | bytearray | memoryview | None, /) -> list[Event]:
        if data is not None:
            return self._wrapped.receive_data(self._recorder._receive(data))
        had_unread = self._wrapped.unread > 0
        events = self._wrapped.receive_data(None)
        # Without input, events can only come from an end of the stream before the handshake was answered.
        if had_unread or events:
            self._recorder._add(Kind.RESUMED)
        return events

    def _receive_later(self, data: bytes | bytearray | memoryview, waiting: int) -> list[Event]:
        return self._wrapped._receive_later(self._recorder._receive(data), waiting)

    def _get_buffer(self, size_hint: int) -> memoryview:
        self._lent = self._wrapped._get_buffer(size_hint)
        return self._lent

    def _buffer_updated(self, size: int, waiting: int) -> list[Event]:
        lent, self._lent = self._lent, None
        if size == 0 or (lent is not None and 0 < size <= len(lent)):
            self._recorder._receive(b"" if lent is None else bytes(lent[:size]))
        return self._wrapped._buffer_updated(size, waiting)

    def buffers_to_send(self) -> list[bytes]:
        return self._sent(self._wrapped.buffers_to_send())

    def data_to_send(self) -> bytes:
        return b"".join(self._sent([self._wrapped.data_to_send()]))

    def _take_out(self, ends: bool) -> list[bytes]:
        return self._sent(self._wrapped._take_out(ends))

    def _sent(self, buffers: list[bytes]) -> list[bytes]:
        data = self._recorder._send(b"".join(buffers))
        # A server's connection sends the 101. None of its frames begins like this.
        if not self._has_sent and self._wrapped.role is Role.SERVER and data.startswith(b"HTTP/1.1 101 "):
            self._recorder.recording.sent_head = data.index(b"\r\n\r\n") + 4
        self._has_sent = self._has_sent or bool(data)
        return buffers

    def send(self, event: Event) -> None:
        self._closing(lambda: self._wrapped.send(event))

    def close(self, code: int | None = NO_CODE_NAMED, reason: str = "") -> None:
        self._closing(lambda: self._wrapped.close(code, reason))

    def _closing(self, call: Callable[[], None]) -> None:
        """Make a call that may begin the closing handshake, since later events depend on it."""
        was_open = self._wrapped.sent is not Direction.CLOSED
        call()
        if was_open and self._wrapped.sent is Direction.CLOSED:
            self._recorder._add(Kind.CLOSE)

    def _abort(self) -> None:
        if not self._is_aborted and not self._wrapped.closed:
            self._is_aborted = True
            self._recorder._add(Kind.ABORTED)
        self._wrapped._abort()

    def _time_out(self, cause: CloseCause) -> list[Event]:
        self._recorder._add(Kind.TIMED_OUT, cause.name.encode("ascii"))
        return self._wrapped._time_out(cause)


class _RecordedServerHandshake(_Recorded[_Servers]):
    def receive_data(self, data: bytes | bytearray | memoryview) -> Request | None:
        return self._wrapped.receive_data(self._recorder._receive(data))

    def accept(self, *arguments: Any, **options: Any) -> Connection:
        return self._recorder._open(self._wrapped.accept(*arguments, **options))

    def data_to_send(self) -> bytes:
        return self._recorder._send(self._wrapped.data_to_send())


class _RecordedClientHandshake(_Recorded[Any]):  # only the HTTP/2 handshake has receive_headers()
    def receive_data(self, data: bytes | bytearray | memoryview) -> Connection | None:
        return self._opened(self._wrapped.receive_data(self._recorder._receive(data)))

    def receive_headers(self, *arguments: Any) -> Connection | None:
        return self._opened(self._wrapped.receive_headers(*arguments))

    def receive_response(self, *arguments: Any, **options: Any) -> Connection:
        return self._recorder._open(self._wrapped.receive_response(*arguments, **options))

    def _opened(self, connection: Connection | None) -> Connection | None:
        return None if connection is None else self._recorder._open(connection)

    def data_to_send(self) -> bytes:
        data = self._recorder._send(self._wrapped.data_to_send())
        self._recorder.recording.sent_head += len(data)
        return data
