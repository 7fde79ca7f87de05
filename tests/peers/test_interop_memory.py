"""Our frames against those of wsproto and websockets, in memory, both roles, after the handshake.

Each peer is used through its own public interface. Its reports are translated into our events, so that the same
scenario can be run with all of them. Each side reads what the other sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest

pytest.importorskip("websockets")
pytest.importorskip("wsproto")

import wsproto.connection
import wsproto.events
from helpers import BOTH_ROLES, CHUNKINGS, EVERY_CHUNKING, Chunking, cut_at, feed, new_connection, share
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Opcode
from websockets.protocol import OPEN, Side
from websockets.protocol import Protocol as WebsocketsProtocol

from rfc6455 import CLIENT, BytesMessage, Closed, Connection, Event, Ping, Pong, Role, TextMessage


class Peer(Protocol):
    """Another implementation at one end of a connection."""

    def receive_data(self, data: bytes, /) -> list[Event]: ...
    def data_to_send(self) -> bytes: ...
    def send_text(self, text: str, fin: bool = True) -> None: ...
    def send_bytes(self, data: bytes, fin: bool = True) -> None: ...
    def ping(self, payload: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class WsprotoPeer:
    """wsproto: the caller answers pings and closes."""

    def __init__(self, role: Role) -> None:
        kind = wsproto.connection.ConnectionType.CLIENT if role is CLIENT else wsproto.connection.ConnectionType.SERVER
        self._connection = wsproto.connection.Connection(kind)
        self._out = b""
        self._message: list[str | bytes] = []

    def receive_data(self, data: bytes) -> list[Event]:
        self._connection.receive_data(data)
        return [event for got in self._connection.events() for event in self._translate(got)]

    def _translate(self, event: wsproto.events.Event) -> Sequence[Event]:
        match event:
            case wsproto.events.TextMessage(data=text):
                return self._part(text, event.message_finished)
            case wsproto.events.BytesMessage(data=data):
                return self._part(bytes(data), event.message_finished)
            case wsproto.events.Ping(payload=payload):
                self._send(event.response())
                return [Ping(bytes(payload))]
            case wsproto.events.Pong(payload=payload):
                return [Pong(bytes(payload))]
            case wsproto.events.CloseConnection(code=code, reason=reason):
                if self._connection.state is wsproto.connection.ConnectionState.REMOTE_CLOSING:
                    self._send(event.response())
                return [Closed(code, reason or "", True)]
        raise AssertionError(event)

    def _part(self, part: str | bytes, final: bool) -> Sequence[Event]:
        self._message.append(part)
        if not final:
            return []
        parts, self._message = self._message, []
        if isinstance(part, str):
            return [TextMessage("".join(map(str, parts)))]
        return [BytesMessage(b"".join(piece for piece in parts if isinstance(piece, bytes)))]

    def data_to_send(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def _send(self, event: wsproto.events.Event) -> None:
        self._out += self._connection.send(event)

    def send_text(self, text: str, fin: bool = True) -> None:
        self._send(wsproto.events.TextMessage(text, message_finished=fin))

    def send_bytes(self, data: bytes, fin: bool = True) -> None:
        self._send(wsproto.events.BytesMessage(data, message_finished=fin))

    def ping(self, payload: bytes) -> None:
        self._send(wsproto.events.Ping(payload))

    def close(self, code: int, reason: str) -> None:
        self._send(wsproto.events.CloseConnection(code, reason))


class WebsocketsPeer:
    """websockets: it returns frames; the caller joins messages."""

    def __init__(self, role: Role) -> None:
        self._protocol = WebsocketsProtocol(Side.CLIENT if role is CLIENT else Side.SERVER, state=OPEN)
        self._opcode = Opcode.CONT
        self._message = b""
        self._sending = False

    def receive_data(self, data: bytes) -> list[Event]:
        self._protocol.receive_data(data)
        assert self._protocol.parser_exc is None
        events: list[Event] = []
        for frame in self._protocol.events_received():
            assert not isinstance(frame, (Close, type(None)))
            payload = bytes(frame.data)  # type: ignore[union-attr]
            match frame.opcode:  # type: ignore[union-attr]
                case Opcode.PING:
                    events.append(Ping(payload))
                case Opcode.PONG:
                    events.append(Pong(payload))
                case Opcode.CLOSE:
                    close = Close.parse(payload)
                    events.append(Closed(close.code, close.reason, True))
                case opcode:
                    self._opcode = opcode or self._opcode
                    self._message += payload
                    if frame.fin:  # type: ignore[union-attr]
                        message, self._message = self._message, b""
                        is_text = self._opcode is Opcode.TEXT
                        events.append(TextMessage(message.decode()) if is_text else BytesMessage(message))
        return events

    def data_to_send(self) -> bytes:
        return b"".join(self._protocol.data_to_send())

    def send_text(self, text: str, fin: bool = True) -> None:
        if self._sending:
            self._protocol.send_continuation(text.encode(), fin)
        else:
            self._protocol.send_text(text.encode(), fin)
        self._sending = not fin

    def send_bytes(self, data: bytes, fin: bool = True) -> None:
        if self._sending:
            self._protocol.send_continuation(data, fin)
        else:
            self._protocol.send_binary(data, fin)
        self._sending = not fin

    def ping(self, payload: bytes) -> None:
        self._protocol.send_ping(payload)

    def close(self, code: int, reason: str) -> None:
        self._protocol.send_close(code, reason)


EVERY_PEER = pytest.mark.parametrize("peer_type", [WsprotoPeer, WebsocketsPeer], ids=["wsproto", "websockets"])
PeerType = type[WsprotoPeer] | type[WebsocketsPeer]


def exchange(ours: Connection, theirs: Peer, chunk: Chunking) -> tuple[list[Event], list[Event]]:
    """Carry everything both ways until both are silent; return what we and what they report."""
    at_us: list[Event] = []
    at_them: list[Event] = []
    while True:
        to_them, to_us = ours.data_to_send(), theirs.data_to_send()
        if not to_them and not to_us:
            return at_us, at_them
        at_us += feed(ours, chunk(to_us))
        for portion in chunk(to_them):
            at_them += theirs.receive_data(portion)


def pair(role: Role, peer_type: PeerType) -> tuple[Connection, Peer]:
    return new_connection(role), peer_type(role.peer)


@BOTH_ROLES
@EVERY_PEER
@EVERY_CHUNKING
def test_messages_both_ways(role: Role, peer_type: PeerType, chunk: Chunking) -> None:
    ours, theirs = pair(role, peer_type)
    expected: list[Event] = []
    for length in (0, 1, 125, 126, 127, 1000, 65535, 65536):
        if chunk is not CHUNKINGS["whole"] and length > 1000:
            continue
        for end in (ours, theirs):
            end.send_text("é" * (length // 2) + "x" * (length % 2))
            end.send_bytes(bytes(at % 256 for at in range(length)))
        expected += [
            TextMessage("é" * (length // 2) + "x" * (length % 2)),
            BytesMessage(bytes(at % 256 for at in range(length))),
        ]
    assert exchange(ours, theirs, chunk) == (expected, expected)


@BOTH_ROLES
@EVERY_PEER
@EVERY_CHUNKING
def test_fragments_with_pings_between(role: Role, peer_type: PeerType, chunk: Chunking) -> None:
    ours, theirs = pair(role, peer_type)
    for end in (ours, theirs):
        end.send_text("Hel", fin=False)
        end.ping(b"ping")
        end.send_text("", fin=False)
        end.send_text("lo €")
        end.send_bytes(b"\xff", fin=False)
        end.send_bytes(b"\xfe")
    at_us, at_them = exchange(ours, theirs, chunk)
    expected = [Ping(b"ping"), TextMessage("Hello €"), BytesMessage(b"\xff\xfe"), Pong(b"ping")]
    assert at_us == at_them == expected


@BOTH_ROLES
@EVERY_PEER
@EVERY_CHUNKING
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "tschüß €"), (4999, "r" * 123)])
def test_we_close(role: Role, peer_type: PeerType, chunk: Chunking, code: int, reason: str) -> None:
    ours, theirs = pair(role, peer_type)
    ours.close(code, reason)
    at_us, at_them = exchange(ours, theirs, chunk)
    assert at_them == [Closed(code, reason, True)]
    (closed,) = at_us
    assert isinstance(closed, Closed)
    assert (closed.code, closed.clean) == (code, True)


@BOTH_ROLES
@EVERY_PEER
@EVERY_CHUNKING
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "tschüß €"), (4999, "r" * 123)])
def test_they_close(role: Role, peer_type: PeerType, chunk: Chunking, code: int, reason: str) -> None:
    ours, theirs = pair(role, peer_type)
    theirs.send_text("last words")
    theirs.close(code, reason)
    at_us, at_them = exchange(ours, theirs, chunk)
    assert at_us == [TextMessage("last words"), Closed(code, reason, True)]
    (closed,) = at_them
    assert isinstance(closed, Closed)
    assert closed.code == code


@BOTH_ROLES
@EVERY_PEER
@EVERY_CHUNKING
def test_closes_that_cross(role: Role, peer_type: PeerType, chunk: Chunking) -> None:
    ours, theirs = pair(role, peer_type)
    ours.close(1001, "ours")
    theirs.close(4000, "theirs")
    at_us, at_them = exchange(ours, theirs, chunk)
    assert at_us == [Closed(4000, "theirs", True)]
    assert at_them == [Closed(1001, "ours", True)]


STEP = st.one_of(
    st.tuples(st.just("text"), st.text(max_size=20) | st.just("€" * 50)),
    st.tuples(st.just("bytes"), st.binary(max_size=20) | st.just(bytes(66_000))),
    st.tuples(st.just("ping"), st.binary(max_size=125)),
)


def perform(end: Connection | Peer, step: tuple[str, str | bytes]) -> Event:
    """Send something, and return the event that it must be at the other end."""
    match step:
        case ("text", str(text)):
            end.send_text(text)
            return TextMessage(text)
        case ("bytes", bytes(data)):
            end.send_bytes(data)
            return BytesMessage(data)
        case (_, bytes(payload)):
            end.ping(payload)
            return Ping(payload)
    raise AssertionError(step)


@BOTH_ROLES
@EVERY_PEER
@share(25)
@given(steps=st.lists(STEP, max_size=10), places=st.lists(st.integers(0, 1 << 18), max_size=6))
def test_any_traffic(role: Role, peer_type: PeerType, steps: list[tuple[str, str | bytes]], places: list[int]) -> None:
    ours, theirs = pair(role, peer_type)
    for_them = [perform(ours, step) for step in steps]
    for_us = [perform(theirs, step) for step in steps]
    at_us, at_them = exchange(ours, theirs, lambda data: cut_at(data, places))
    assert [event for event in at_us if not isinstance(event, Pong)] == for_us
    assert [event for event in at_them if not isinstance(event, Pong)] == for_them
    # 5.5.3: we may answer the latest Pings alone, but these are fewer than `Limits.pongs`; they answer each of ours.
    pings = [Pong(event.payload) for event in for_us if isinstance(event, Ping)]
    assert [event for event in at_us if isinstance(event, Pong)] == pings
    assert [event for event in at_them if isinstance(event, Pong)] == pings
