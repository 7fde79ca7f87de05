"""What those who move other libraries' loops to this one meet, once each: the stones on that way, taken out."""

from __future__ import annotations

import pytest
from helpers import TEXT, close_payload, to

import rfc6455
from rfc6455 import (
    SERVER,
    BytesMessage,
    ClientHandshake,
    CloseCause,
    Closed,
    Connection,
    Endpoint,
    PerMessageDeflate,
    Ping,
    ServerHandshake,
    TextMessage,
    Timeouts,
)
from rfc6455.testing import CHUNKINGS

EACH_CHUNKING = pytest.mark.parametrize("chunk", CHUNKINGS.values(), ids=list(CHUNKINGS))


def opened(role: rfc6455.Role = SERVER, timeouts: Timeouts = Timeouts.NONE) -> Endpoint:
    return Endpoint(Connection(role), timeouts, now=0.0)


# The end is known while the messages before it are still being handled.


def test_what_is_sent_between_two_events_goes_before_the_close_frame() -> None:
    """A loop that sends after each event, as with wsproto; the Close came in the same read."""
    ws = opened()
    data = to(SERVER, TEXT, b"one") + to(SERVER, TEXT, b"two") + to(SERVER, 8, close_payload(4000, b"bye"))
    sent = []
    for event in ws.events(data, now=0.0):
        assert ws.end is not None
        assert ws.end.code == 4000
        if isinstance(event, TextMessage):
            assert not ws.must_close
            ws.send_text(event.text)
        sent.append(ws.data_to_send())
    assert sent == [b"\x81\x03one", b"\x81\x03two", b"\x88\x05" + close_payload(4000, b"bye")]
    assert ws.must_close


def test_nothing_counts_as_to_be_sent_that_is_not_given_yet() -> None:
    ws = opened()
    data = to(SERVER, TEXT, b"one") + to(SERVER, 9, b"?") + to(SERVER, 8)
    events = ws.events(data, now=0.0)
    next(events)
    assert ws.has_data_to_send
    assert b"".join(ws.buffers_to_send()) == b"\x8a\x01?"
    assert not ws.has_data_to_send
    assert ws.data_to_send() == b""
    assert [type(event) for event in events] == [Ping, Closed]
    assert ws.has_data_to_send
    assert ws.data_to_send() == b"\x88\x00"


@pytest.mark.parametrize("end", [b"", to(SERVER, 8, close_payload(1000))])
def test_a_loop_that_stops_between_two_events_is_not_finished(end: bytes) -> None:
    """It gives the peer's end of file too; the last event is still to be taken."""
    ws = opened()
    next(ws.events(to(SERVER, TEXT, b"one") + to(SERVER, TEXT, b"two") + end, now=0.0))
    rest = ws.events(b"", now=0.0)
    assert not ws.finished
    assert next(rest) == TextMessage("two")
    assert not ws.finished
    assert isinstance(next(rest), Closed)
    assert ws.finished


# A peer that does not take what it is sent.


def deflating() -> tuple[Connection, Connection]:
    """A client's and a server's end with permessage-deflate."""
    opening, answering = (
        ClientHandshake("ws://a/", extensions=[PerMessageDeflate()]),
        ServerHandshake(extensions=[PerMessageDeflate()]),
    )
    answering.receive_data(opening.data_to_send())
    server = answering.accept()
    client = opening.receive_data(server.data_to_send())
    assert client is not None
    return client, server


def test_the_time_of_a_peer_that_holds_its_loop_up_runs() -> None:
    """Its messages are left, some of them unread; its deadlines pass all the same, and the rest is dropped then."""
    client, server = deflating()
    ws = Endpoint(server, Timeouts(ping_interval=20, pong=5), now=0.0)
    for _ in range(4):
        client.send_bytes(bytes(1 << 20))
    assert next(ws.events(client.data_to_send(), now=0.0)) == BytesMessage(bytes(1 << 20))
    assert ws.unread
    assert ws.next_deadline() == 0.0
    assert ws.deadlines.next_deadline() == 20.0
    ws.advance(now=20.0)
    assert ws.data_to_send() != b""
    assert ws.deadlines.next_deadline() == 25.0
    ws.advance(now=26.0)
    assert not ws.closed  # it looks once more
    ws.advance(now=26.0)
    assert ws.closed
    *_, closed = ws.events(None, now=26.0)
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.PONG_TIMEOUT
    assert ws.unread == 0
