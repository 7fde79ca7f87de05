"""Other WebSocket libraries as ends of a `rfc6455.testing.Pair`: bytes in, events of ours out, and things to say.

The law: an adapter does what the library's documentation asks of its caller, and no more: it joins parts of messages,
answers Pings and Closes where the library leaves that to its caller, and fails the connection for a text that is not
UTF-8 where the library leaves decoding to its caller. Whatever ends the connection becomes one `Closed`.
"""

from __future__ import annotations

from typing import Any, Protocol

import websockets.frames
import websockets.protocol
import wsproto.connection
import wsproto.events
from helpers import counting_random

from rfc6455 import (
    BytesMessage,
    CloseCause,
    Closed,
    Connection,
    Event,
    Limits,
    Ping,
    Pong,
    RemoteProtocolError,
    Role,
    TextMessage,
)
from rfc6455.testing import Say, feed
from rfc6455.testing import say as say_on_connection


class End(Protocol):
    """What all ends here have in common."""

    def receive_data(self, data: bytes, /) -> list[Event]: ...

    def data_to_send(self) -> bytes: ...

    def say(self, action: Say) -> None: ...


def refused(code: int) -> Closed:
    """Return the end of a connection whose peer broke a rule."""
    return Closed(int(code), "", False, None, CloseCause.VIOLATION)


class OurEnd:
    """Ours; `error` is what it says about a violation. It answers every Ping, as the others do."""

    def __init__(self, role: Role) -> None:
        self._connection = Connection(role, limits=Limits(message=None, pongs=1 << 20), random=counting_random())
        self.error: RemoteProtocolError | None = None

    def receive_data(self, data: bytes) -> list[Event]:
        return [self._plain(event) for event in feed(self._connection, [data])]

    def data_to_send(self) -> bytes:
        return self._connection.data_to_send()

    def say(self, action: Say) -> None:
        say_on_connection(self._connection, action)

    def _plain(self, event: Event) -> Event:
        if not isinstance(event, Closed) or event.error is None:
            return event
        assert isinstance(event.error, RemoteProtocolError)
        self.error = event.error
        return refused(event.code)


class WsprotoEnd:
    def __init__(self, role: Role) -> None:
        self._connection = wsproto.connection.Connection(
            wsproto.connection.CLIENT if role is Role.CLIENT else wsproto.connection.SERVER
        )
        self._out = b""
        self._message: Any = None
        self._is_over = False

    def receive_data(self, data: bytes) -> list[Event]:
        if self._is_over:
            return []
        self._connection.receive_data(data)
        return [event for theirs in self._connection.events() for event in self._take(theirs)]

    def data_to_send(self) -> bytes:
        data, self._out = self._out, b""
        return data

    def say(self, action: Say) -> None:
        content: Any = action.content
        match action.kind:
            case "text":
                self._send(wsproto.events.TextMessage(content, message_finished=action.fin))
            case "bytes":
                self._send(wsproto.events.BytesMessage(content, message_finished=action.fin))
            case "ping":
                self._send(wsproto.events.Ping(content))
            case "pong":
                self._send(wsproto.events.Pong(content))
            case "close":
                code, reason = content or (wsproto.connection.CloseReason.NO_STATUS_RCVD, None)
                self._send(wsproto.events.CloseConnection(code, reason))

    def _send(self, event: wsproto.events.Event) -> None:
        self._out += self._connection.send(event)

    def _take(self, event: wsproto.events.Event) -> list[Event]:
        match event:
            case wsproto.events.Ping():
                if self._connection.state is wsproto.connection.ConnectionState.OPEN:
                    self._send(event.response())
                return [Ping(bytes(event.payload))]
            case wsproto.events.Pong():
                return [Pong(bytes(event.payload))]
            case wsproto.events.Message():
                return self._join(event)
            case wsproto.events.CloseConnection():
                return [self._end(event)]
        raise AssertionError(event)

    def _join(self, event: wsproto.events.Message[Any]) -> list[Event]:
        self._message = event.data if self._message is None else self._message + event.data
        if not event.message_finished:
            return []
        message, self._message = self._message, None
        return [TextMessage(message) if isinstance(message, str) else BytesMessage(bytes(message))]

    def _end(self, event: wsproto.events.CloseConnection) -> Closed:
        """A violation and a Close frame look alike; only a Close frame moves the state."""
        self._is_over = True
        state = self._connection.state
        if state is not wsproto.connection.ConnectionState.CLOSED:
            self._send(event.response())
        if state is wsproto.connection.ConnectionState.OPEN:
            return refused(event.code)
        return Closed(int(event.code), event.reason or "", True)


class WebsocketsEnd:
    def __init__(self, role: Role) -> None:
        side = websockets.protocol.CLIENT if role is Role.CLIENT else websockets.protocol.SERVER
        self._protocol = websockets.protocol.Protocol(side, state=websockets.protocol.OPEN, max_size=None)
        self._message = b""
        self._is_text = False
        self._is_over = False

    def receive_data(self, data: bytes) -> list[Event]:
        self._protocol.receive_data(data)
        events = [event for frame in self._protocol.events_received() for event in self._take(frame)]
        if self._protocol.parser_exc is not None:
            events += self._end(refused(self._sent_code()))
        return events

    def data_to_send(self) -> bytes:
        return b"".join(self._protocol.data_to_send())

    def say(self, action: Say) -> None:
        content: Any = action.content
        match action.kind:
            case "text" | "bytes" if self._protocol.expect_continuation_frame:
                data = content.encode() if isinstance(content, str) else content
                self._protocol.send_continuation(data, action.fin)
            case "text":
                self._protocol.send_text(content.encode(), action.fin)
            case "bytes":
                self._protocol.send_binary(content, action.fin)
            case "ping":
                self._protocol.send_ping(content)
            case "pong":
                self._protocol.send_pong(content)
            case "close":
                self._protocol.send_close(*(content or ()))

    def _sent_code(self) -> int:
        assert self._protocol.close_sent is not None
        return int(self._protocol.close_sent.code)

    def _take(self, frame: Any) -> list[Event]:
        assert isinstance(frame, websockets.frames.Frame)
        if self._is_over:
            return []
        data = bytes(frame.data)
        match frame.opcode:
            case websockets.frames.Opcode.PING:
                return [Ping(data)]
            case websockets.frames.Opcode.PONG:
                return [Pong(data)]
            case websockets.frames.Opcode.CLOSE:
                close = self._protocol.close_rcvd
                assert close is not None
                return self._end(Closed(int(close.code), close.reason, True))
        return self._join(frame, data)

    def _join(self, frame: websockets.frames.Frame, data: bytes) -> list[Event]:
        """The library's own connections decode a text when it is whole, and close with 1007 where that fails."""
        if frame.opcode is not websockets.frames.Opcode.CONT:
            self._is_text = frame.opcode is websockets.frames.Opcode.TEXT
            self._message = b""
        self._message += data
        if not frame.fin:
            return []
        if not self._is_text:
            return [BytesMessage(self._message)]
        try:
            return [TextMessage(self._message.decode())]
        except UnicodeDecodeError:
            self._protocol.fail(1007)
            return self._end(refused(1007))

    def _end(self, closed: Closed) -> list[Event]:
        was_over, self._is_over = self._is_over, True
        return [] if was_over else [closed]
