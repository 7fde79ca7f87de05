"""Obstacles that were found when the loops of other libraries were ported to this one, and have been removed."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import TEXT, Chunking, close_payload, read_frames, to

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    ClientHandshake,
    CloseCause,
    Closed,
    Connection,
    Endpoint,
    LocalProtocolError,
    PerMessageDeflate,
    Ping,
    Request,
    Response,
    ServerHandshake,
    TextMessage,
    Timeouts,
)
from rfc6455.testing import CHUNKINGS

EACH_CHUNKING = pytest.mark.parametrize("chunk", CHUNKINGS.values(), ids=list(CHUNKINGS))


def opened(role: rfc6455.Role = SERVER, timeouts: Timeouts = Timeouts.NONE) -> Endpoint:
    return Endpoint(Connection(role), timeouts, now=0.0)


def shaken_hands(**options: Any) -> tuple[Endpoint, Endpoint]:
    """A client's and a server's end over HTTP/1.1; the server has accepted, and nothing of that was sent."""
    client = Endpoint(ClientHandshake("ws://example.com/chat", **options), Timeouts.NONE, now=0.0)
    server = Endpoint(ServerHandshake(**options), Timeouts.NONE, now=0.0)
    for event in server.events(client.data_to_send(), now=0.0):
        assert isinstance(event, Request)
        server.accept(now=0.0)
    return client, server


# The answer and a message come in one segment.


@EACH_CHUNKING
def test_a_message_that_comes_with_the_101_is_given_with_it(chunk: Chunking) -> None:
    client, server = shaken_hands()
    server.send_text("hello")
    server.close(4000, "and goodbye")
    events = [event for data in chunk(server.data_to_send()) for event in client.events(data, now=0.0)]
    response, message, closed = events
    assert isinstance(response, Response)
    assert response.status == 101
    assert message == TextMessage("hello")
    assert closed == Closed(4000, "and goodbye", True)


@EACH_CHUNKING
def test_a_message_that_comes_with_the_request_is_given_after_it(chunk: Chunking) -> None:
    """The client must not send so early (4.1), and some do. Nothing has to be asked for after accept()."""
    client = ClientHandshake("ws://example.com/chat")
    server = Endpoint(ServerHandshake(), Timeouts.NONE, now=0.0)
    events = []
    for data in chunk(client.data_to_send() + to(SERVER, TEXT, b"hello") + to(SERVER, TEXT, b"again")):
        for event in server.events(data, now=0.0):
            events.append(event)
            if isinstance(event, Request):
                server.accept(now=0.0)
    assert events[1:] == [TextMessage("hello"), TextMessage("again")]


# Eight compressed messages come in one read.


@pytest.mark.parametrize("step_by_step", [False, True], ids=["events", "receive_data"])
def test_what_one_read_inflates_to_is_given_whole(step_by_step: bool) -> None:
    """Eight megabytes of eight kilobytes; a call of `receive_data` gives a part, and the deadline says to go on."""
    client, server = shaken_hands(extensions=[PerMessageDeflate()])
    assert isinstance(next(client.events(server.data_to_send(), now=0.0)), Response)
    for number in range(8):
        client.send_text(str(number) * 1_000_000)
    data: bytes | None = client.data_to_send()
    assert data is not None
    assert len(data) < 20_000
    seen = []
    if not step_by_step:
        seen = list(server.events(data, now=1.0))
    while step_by_step and (data or server.next_deadline() == 1.0):
        seen += server.receive_data(data, now=1.0)
        data = None
    assert seen == [TextMessage(str(number) * 1_000_000) for number in range(8)]


# How a peer closed is told in its own words, and sent on in them.


@pytest.mark.parametrize("role", [SERVER, CLIENT], ids=["server", "client"])
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4000, "bye"), (1005, "")])
def test_code_and_reason_travel_both_ways(role: rfc6455.Role, code: int, reason: str) -> None:
    near, far = opened(role), opened(role.peer)
    near.close(None if code == 1005 else code, reason)
    (heard,) = far.events(near.data_to_send(), now=0.0)
    (answered,) = near.events(far.data_to_send(), now=0.0)
    assert heard == answered == Closed(code, reason, True)


def test_words_of_our_own_are_never_a_reason() -> None:
    """An adapter passes the reason on as the peer's."""
    lost, wrong = opened(), opened()
    (closed,) = lost.events(b"", now=0.0)
    assert isinstance(closed, Closed)
    assert (closed.code, closed.reason, closed.cause) == (1006, "", CloseCause.EOF_IDLE)
    (closed,) = wrong.events(to(SERVER, 3), now=0.0)
    assert isinstance(closed, Closed)
    assert (closed.code, closed.reason, closed.cause) == (1002, "", CloseCause.VIOLATION)


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(4999, b"so long")])
def test_a_relay_sends_on_how_a_peer_closed(payload: bytes) -> None:
    """1005, which no Close frame may carry (7.4.1), stands for one without a code, and becomes one again."""
    left, right = opened(SERVER), opened(CLIENT)
    for event in left.events(to(SERVER, 8, payload), now=0.0):
        assert isinstance(event, Closed)
        right.send(event)
    assert read_frames(right.data_to_send(), CLIENT) == [(8, payload, True, 0)]


@pytest.mark.parametrize("code", [1006, 1015])
def test_a_relay_cannot_send_on_that_a_peer_was_lost(code: int) -> None:
    right = opened(CLIENT)
    with pytest.raises(LocalProtocolError, match=str(code)):
        right.send(Closed(code))
    assert right.data_to_send() == b""
    right.send_text("nothing has changed")


# The head is read and written by another library.


def test_a_head_that_another_library_writes() -> None:
    """It takes the fields, writes the lines itself, and gives those it has read to the other end."""
    opening = ClientHandshake("ws://example.com/chat?room=1", subprotocols=["v2"], headers=[("Cookie", "a=b")])
    client = Endpoint(opening, Timeouts.NONE, now=0.0)
    request, asked = client.request, client.headers_to_send()
    assert request is not None
    assert client.data_to_send() == b""

    answering = ServerHandshake(subprotocols=["v2"])
    server = Endpoint(answering, Timeouts.NONE, now=0.0)
    answering.receive_request(request.method, request.target, asked)
    server.accept(now=0.0)
    server.send_text("after the head")
    answered, response = server.headers_to_send(), server.response
    assert response is not None
    assert response.status == 101
    assert server.headers_to_send() == []
    rest = server.data_to_send()
    assert rest == b"\x81\x0eafter the head"

    connection = opening.receive_response(response.status, answered)
    near = Endpoint(connection, Timeouts.NONE, now=0.0)
    assert list(near.events(rest, now=0.0)) == [TextMessage("after the head")]
    assert near.subprotocol == "v2"


def test_no_bytes_behind_a_head_are_not_the_end() -> None:
    """h11's ``trailing_data`` is ``b""`` if nothing came; a caller without bytes passes ``None``."""
    server = opened()
    trailing = b""
    assert list(server.events(trailing or None, now=0.0)) == []
    assert not server.closed


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
    """Its messages are left, some of them unread; its deadlines pass nevertheless, and the rest is then dropped."""
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
