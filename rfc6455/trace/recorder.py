"""Recording: objects that stand in for a handshake and its connection, and keep what goes through them.

The law: what is recorded behaves in no other way than what is not. Bytes are kept before they are given on, so that a
refused handshake is in the recording as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, overload

from ..codes import CloseCode, Role
from ..connection import Connection
from ..errors import LocalProtocolError
from ..events import CloseCause, Event
from ..frames import as_bytes
from ..handshake import ClientHandshake, ServerHandshake
from ..http11 import Request
from ..state import Direction
from .recording import Entry, Kind, Recording

# Four messages of the largest size that the default `Limits` take, or some twenty thousand short ones. A thousand such
# recordings are 4 GB, so a server records the connections that it looks into, not all.
DEFAULT_LIMIT = 4 << 20

# What an entry takes besides its bytes: the tuple (80), the time (24), the header of the bytes (33), a place in a list
# (9), rounding. A peer that sends single bytes makes an entry of each.
ENTRY_OVERHEAD = 160


class Recorder:
    """Records one connection.

    :param clock: gives the time in seconds. HAR and pcapng take them as seconds since 1970: what ``time.time`` gives.
    :param limit: how much memory the recording may take, in bytes. What comes after that is not kept, rather than what
        came first: frames and compressed messages can be read from the beginning only.

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
        """The recording so far; it grows on.

        :raises LocalProtocolError: when nothing was wrapped.
        """
        if self._recording is None:
            raise LocalProtocolError("nothing is recorded: wrap() a handshake or a connection first")
        return self._recording

    @overload
    def wrap(self, end: Connection) -> Connection: ...
    @overload
    def wrap(self, end: ServerHandshake) -> ServerHandshake: ...
    @overload
    def wrap(self, end: ClientHandshake) -> ClientHandshake: ...
    def wrap(
        self, end: Connection | ServerHandshake | ClientHandshake
    ) -> Connection | ServerHandshake | ClientHandshake:
        """Gives what is to be used in place of ``end``. It behaves like it, though it is no instance of its class; the
        connection that comes of a handshake is recorded too.

        :param end: a handshake over HTTP/1.1 or, where the handshake was elsewhere, a connection. It has received
            nothing yet.
        :raises TypeError: when it is something else.
        :raises LocalProtocolError: when the connection has received something, or when this recorder has another.
        """
        if self._recording is not None:
            raise LocalProtocolError("a recorder records one connection; make another for another")
        if isinstance(end, ServerHandshake):
            self._recording = Recording(Role.SERVER)
            return cast("ServerHandshake", _RecordedServerHandshake(end, self))
        if isinstance(end, ClientHandshake):
            self._recording = Recording(Role.CLIENT)
            return cast("ClientHandshake", _RecordedClientHandshake(end, self))
        if not isinstance(end, Connection):
            raise TypeError(f"a handshake or a connection can be recorded, not {type(end).__name__}")
        if end.bytes_received:
            raise LocalProtocolError("this connection has received something: wrap its handshake, or wrap it earlier")
        self._recording = Recording(end.role)
        return self._open(end)

    # What the objects below tell.

    def _open(self, connection: Connection) -> Connection:
        recording = self.recording
        if connection.unread > self._received:
            raise LocalProtocolError("this handshake had received something before it was wrapped")
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


class _RecordedConnection:
    def __init__(self, connection: Connection, recorder: Recorder) -> None:
        self._connection = connection
        self._recorder = recorder
        self._has_sent = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def receive_data(self, data: bytes | bytearray | memoryview | None = None) -> list[Event]:
        if data is not None:
            data = self._recorder._receive(data)
        elif self._connection.unread:
            self._recorder._add(Kind.RESUMED)
        return self._connection.receive_data(data)

    def data_to_send(self) -> bytes:
        data = self._recorder._send(self._connection.data_to_send())
        # The 101 of a server comes from its connection. None of its frames begins like that.
        if not self._has_sent and self._connection.role is Role.SERVER and data.startswith(b"HTTP/1.1 101 "):
            self._recorder.recording.sent_head = data.index(b"\r\n\r\n") + 4
        self._has_sent = self._has_sent or bool(data)
        return data

    def close(self, code: int | None = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        does_something = self._connection.sent is not Direction.CLOSED
        self._connection.close(code, reason)
        if does_something:
            self._recorder._add(Kind.CLOSE)

    def time_out(self, cause: CloseCause) -> list[Event]:
        self._recorder._add(Kind.TIMED_OUT, cause.name.encode("ascii"))
        return self._connection.time_out(cause)


class _RecordedServerHandshake:
    def __init__(self, handshake: ServerHandshake, recorder: Recorder) -> None:
        self._handshake = handshake
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handshake, name)

    def receive_data(self, data: bytes | bytearray | memoryview) -> Request | None:
        return self._handshake.receive_data(self._recorder._receive(data))

    def accept(self, *arguments: Any, **options: Any) -> Connection:
        return self._recorder._open(self._handshake.accept(*arguments, **options))

    def data_to_send(self) -> bytes:
        return self._recorder._send(self._handshake.data_to_send())


class _RecordedClientHandshake:
    def __init__(self, handshake: ClientHandshake, recorder: Recorder) -> None:
        self._handshake = handshake
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handshake, name)

    def receive_data(self, data: bytes | bytearray | memoryview) -> Connection | None:
        connection = self._handshake.receive_data(self._recorder._receive(data))
        return None if connection is None else self._recorder._open(connection)

    def from_response(self, *arguments: Any, **options: Any) -> Connection:
        return self._recorder._open(self._handshake.from_response(*arguments, **options))

    def data_to_send(self) -> bytes:
        data = self._recorder._send(self._handshake.data_to_send())
        self._recorder.recording.sent_head += len(data)
        return data
