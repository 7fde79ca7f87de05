"""Endpoint: handshake, connection and deadlines in step, whoever ends it and whenever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers import BOTH_ROLES, CLOSE, PING, TEXT, close_payload, cut_at, only_closed, to
from hypothesis import given
from hypothesis import strategies as st
from opening import request

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    ClientHandshake,
    CloseCause,
    Closed,
    Connection,
    Endpoint,
    Event,
    HandshakeError,
    LocalProtocolError,
    Ping,
    Request,
    Response,
    Role,
    ServerHandshake,
    TextMessage,
    Timeouts,
)

URI = "ws://server.example.com/chat"
TIMEOUTS = Timeouts(open=10, ping_interval=20, pong=5, close=10, tcp_close=2)


def server(**options: bool) -> Endpoint:
    return Endpoint(ServerHandshake(**options), TIMEOUTS, now=0.0)


def client() -> Endpoint:
    return Endpoint(ClientHandshake(URI), TIMEOUTS, now=0.0)


def opened(role: Role) -> Endpoint:
    """An endpoint that is open since 1.0, and has nothing to send."""
    mine, peer = (server(), client()) if role is SERVER else (client(), server())
    asking, asked = (peer, mine) if role is SERVER else (mine, peer)
    asked.receive_data(asking.data_to_send(), now=1.0)
    asked.accept(now=1.0)
    asking.receive_data(asked.data_to_send(), now=1.0)
    return mine


def connection_of(endpoint: Endpoint) -> Connection:
    assert endpoint.connection is not None
    return endpoint.connection


# ---- It opens ----


def test_the_request_is_given_once_and_what_came_with_it_is_unread() -> None:
    endpoint = server()
    (given_request,) = endpoint.receive_data(request() + to(SERVER, TEXT, b"early"), now=1.0)
    assert isinstance(given_request, Request)
    assert endpoint.receive_data(to(SERVER, TEXT, b"and"), now=1.0) == []
    assert endpoint.unread == 0
    ws = endpoint.accept(now=1.0)
    assert ws is endpoint.connection
    assert endpoint.unread
    assert endpoint.receive_data(None, now=1.0) == [TextMessage("early"), TextMessage("and")]
    assert endpoint.data_to_send().startswith(b"HTTP/1.1 101 ")
    assert endpoint.data_to_send() == b""


def test_the_response_is_given_and_what_came_with_it_is_unread() -> None:
    asking, asked = client(), server()
    asked.receive_data(asking.data_to_send(), now=1.0)
    asked.accept(1.0, headers=[("X-Room", "7")]).send_text("welcome")
    (response,) = asking.receive_data(asked.data_to_send(), now=1.0)
    assert isinstance(response, Response)
    assert response.headers["X-Room"] == "7"
    assert asking.receive_data(None, now=1.0) == [TextMessage("welcome")]


def test_a_connection_that_was_opened_elsewhere() -> None:
    endpoint = Endpoint(Connection(SERVER), TIMEOUTS, now=5.0)
    assert endpoint.handshake is None
    assert endpoint.next_deadline() == 25.0
    assert endpoint.receive_data(to(SERVER, TEXT, b"hi"), now=6.0) == [TextMessage("hi")]


@given(places=st.lists(st.integers(0, 400), max_size=6))
def test_any_chunking(places: list[int]) -> None:
    stream = request() + to(SERVER, TEXT, b"one") + to(SERVER, PING) + to(SERVER, CLOSE, close_payload(1000))
    endpoint = server()
    events: list[Request | Response | Event] = []
    for data in cut_at(stream, places):
        new = endpoint.receive_data(data, now=1.0) if data else []
        while new:
            events += new
            if isinstance(new[0], Request):
                endpoint.accept(now=1.0)
            new = endpoint.receive_data(None, now=1.0)
    assert isinstance(events[0], Request)
    assert events[1:3] == [TextMessage("one"), Ping(b"")]
    assert isinstance(events[3], Closed)
    assert len(events) == 4
    assert endpoint.must_close


# ---- It ends after it was open ----


@BOTH_ROLES
def test_a_closing_handshake_and_the_end_of_tcp(role: Role) -> None:
    endpoint = opened(role)
    endpoint.close(1000, "bye")
    endpoint.close(1001)
    assert not endpoint.closed
    assert endpoint.next_deadline() == 1.0
    assert endpoint.advance(now=2.0) == []
    assert endpoint.next_deadline() == 12.0
    closed = only_closed(endpoint.receive_data(to(role, CLOSE, close_payload(1000)), now=3.0))
    assert closed.clean
    assert endpoint.closed
    assert endpoint.must_close is (role is SERVER)
    assert not endpoint.over
    assert endpoint.next_deadline() == 5.0
    assert endpoint.receive_data(b"", now=4.0) == []
    assert endpoint.must_close
    assert endpoint.over
    assert endpoint.next_deadline() is None


@BOTH_ROLES
def test_a_peer_that_does_not_end_tcp(role: Role) -> None:
    endpoint = opened(role)
    only_closed(endpoint.receive_data(to(role, CLOSE), now=3.0))
    assert endpoint.advance(now=4.9) == []
    assert not endpoint.over
    assert endpoint.advance(now=5.0) == []
    assert endpoint.over


@BOTH_ROLES
def test_pings_and_a_pong_that_does_not_come(role: Role) -> None:
    endpoint = opened(role)
    endpoint.data_to_send()
    assert endpoint.next_deadline() == 21.0
    assert endpoint.advance(now=21.0) == []
    assert endpoint.data_to_send()
    assert endpoint.receive_data(None, now=25.9) == []
    closed = only_closed(endpoint.receive_data(None, now=26.0))
    assert closed.cause is CloseCause.PONG_TIMEOUT
    assert endpoint.must_close
    assert endpoint.next_deadline() == 28.0


# ---- It never opens ----

FAILURES: dict[str, tuple[Callable[[], Endpoint], bytes, str]] = {
    "a bad request": (server, b"GET / HTTP/1.1\r\n\r\n", "there are no Host headers"),
    "no request": (server, b"", "end of file in the head"),
    "another answer": (
        client,
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "the server answered 404 Not Found",
    ),
    "no answer": (client, b"", "end of file in the head"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_handshake_that_fails_is_an_event(failure: str) -> None:
    make, data, reason = FAILURES[failure]
    endpoint = make()
    endpoint.data_to_send()
    closed = only_closed(endpoint.receive_data(data, now=1.0))
    assert (closed.code, closed.clean, closed.cause) == (1006, False, CloseCause.OPENING_REFUSED)
    assert closed.reason.startswith(reason)
    assert isinstance(closed.error, HandshakeError)
    assert closed.error.__traceback__ is None
    assert endpoint.closed
    assert endpoint.must_close
    assert endpoint.connection is None
    assert endpoint.over is (not data)
    assert endpoint.next_deadline() == (3.0 if data else None)


def test_the_answer_to_a_bad_request_is_there_and_its_end_is_waited_for() -> None:
    endpoint = server()
    only_closed(endpoint.receive_data(b"GET / HTTP/1.1\r\n\r\n", now=1.0))
    assert endpoint.data_to_send().startswith(b"HTTP/1.1 400 ")
    assert endpoint.receive_data(b"what comes is dropped", now=2.0) == []
    assert not endpoint.over
    assert endpoint.next_deadline() == 3.0
    assert endpoint.advance(now=3.0) == []
    assert endpoint.over
    assert endpoint.next_deadline() is None


def test_without_a_deadline_for_tcp_only_its_end_is_waited_for() -> None:
    endpoint = Endpoint(ServerHandshake(), Timeouts(tcp_close=None))
    only_closed(endpoint.receive_data(b"?\r\n", now=1.0))
    assert endpoint.next_deadline() is None
    assert endpoint.advance(now=1e9) == []
    assert not endpoint.over
    endpoint.receive_data(b"", now=1e9)
    assert endpoint.over


def test_a_client_that_does_not_wait_for_the_answer() -> None:
    """4.1: "The client MUST wait for a response"; here it ends its stream instead."""
    endpoint = server()
    endpoint.receive_data(request(), now=1.0)
    closed = only_closed(endpoint.receive_data(b"", now=1.5))
    assert closed.cause is CloseCause.OPENING_REFUSED
    assert endpoint.over
    with pytest.raises(LocalProtocolError, match="over"):
        endpoint.accept(now=1.0)
    with pytest.raises(LocalProtocolError, match="over"):
        endpoint.reject(404)


def test_a_handshake_that_takes_too_long() -> None:
    for endpoint, answer in ((server(), b"HTTP/1.1 408 "), (client(), b"")):
        endpoint.data_to_send()
        assert endpoint.next_deadline() == 10.0
        closed = only_closed(endpoint.advance(now=10.0))
        assert (closed.code, closed.cause) == (1006, CloseCause.OPEN_TIMEOUT)
        assert isinstance(closed.error, HandshakeError)
        assert closed.error.status == (408 if answer else None)
        assert endpoint.data_to_send()[:13] == answer
        assert endpoint.must_close
        assert endpoint.next_deadline() == 12.0
        assert endpoint.advance(now=12.0) == []
        assert endpoint.over


def test_close_before_it_is_open() -> None:
    for endpoint, answer in ((server(), b"HTTP/1.1 503 "), (client(), b"")):
        with pytest.raises(LocalProtocolError, match="1005"):
            endpoint.close(1005)
        assert not endpoint.closed
        endpoint.close(1001, "the server ends")
        endpoint.close()
        assert endpoint.closed
        assert endpoint.next_deadline() == 0.0
        closed = only_closed(endpoint.advance(now=1.0))
        assert (closed.code, closed.reason, closed.cause) == (1006, "the server ends", CloseCause.OPENING_REFUSED)
        assert isinstance(closed.error, HandshakeError)
        assert closed.error.status == (503 if answer else None)
        data = endpoint.data_to_send()
        assert data[:13] == answer
        assert not data or data.endswith(b"\r\n\r\nthe server ends")
        assert endpoint.next_deadline() == 3.0


def test_reject() -> None:
    endpoint = server(plain_http=True)
    endpoint.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", now=1.0)
    endpoint.reject(200, [("Content-Type", "text/html")], b"<p>")
    closed = only_closed(endpoint.advance(now=1.0))
    assert (closed.code, closed.reason, closed.cause) == (1006, "the answer was 200", CloseCause.OPENING_REFUSED)
    assert endpoint.data_to_send().endswith(b"\r\n\r\n<p>")
    with pytest.raises(LocalProtocolError):
        endpoint.reject(404)


def test_a_refused_call_changes_nothing() -> None:
    endpoint = server()
    with pytest.raises(LocalProtocolError):
        endpoint.accept(now=1.0)
    endpoint.receive_data(request(), now=1.0)
    with pytest.raises(LocalProtocolError):
        endpoint.accept(1.0, "unknown")
    with pytest.raises(LocalProtocolError):
        endpoint.reject(404, [("Bad Name", "x")])
    assert endpoint.advance(now=1.0) == []
    assert not endpoint.closed
    endpoint.accept(now=1.0)
    with pytest.raises(LocalProtocolError):
        endpoint.accept(now=1.0)


def test_only_servers_answer() -> None:
    for endpoint in (client(), Endpoint(Connection(CLIENT)), Endpoint(Connection(SERVER))):
        with pytest.raises(LocalProtocolError, match="server's opening handshake"):
            endpoint.accept(now=1.0)
        with pytest.raises(LocalProtocolError, match="server's opening handshake"):
            endpoint.reject(404)


# ---- Two of them, any schedule ----


@given(st.data())
def test_both_ends_come_to_an_end(data: st.DataObject) -> None:
    """Whatever the two do, in whatever order: the time passes, each gives `Closed` once, and both are over."""
    ends = {"client": client(), "server": server()}
    wires: dict[str, bytearray] = {"client": bytearray(), "server": bytearray()}
    closed = {"client": 0, "server": 0}
    now = 0.0

    def note(name: str, events: list[Event] | list[Request | Response | Event]) -> None:
        for event in events:
            closed[name] += isinstance(event, Closed)
            if isinstance(event, Request) and data.draw(st.booleans(), label="accept"):
                ends[name].accept(now)

    def step(name: str, size: int) -> None:
        other = "server" if name == "client" else "client"
        portion = bytes(wires[name][:size])
        del wires[name][:size]
        note(name, ends[name].receive_data(portion or None, now))
        wires[other] += ends[name].data_to_send()

    for _ in range(data.draw(st.integers(0, 12))):
        name = data.draw(st.sampled_from(sorted(ends)))
        action = data.draw(st.sampled_from(["step", "step", "step", "wait", "close", "end of file"]))
        if action == "step":
            step(name, data.draw(st.integers(0, 300)))
        elif action == "wait":
            now += data.draw(st.sampled_from([0.5, 3.0]))
        elif action == "close":
            ends[name].close(1001)
        else:
            note(name, ends[name].receive_data(b"", now))
    for name, end in ends.items():
        end.close()
        note(name, end.advance(now))
        while not end.over:
            at = end.next_deadline()
            assert at is not None
            now = max(now, at)
            note(name, end.advance(now))
        assert end.closed
        assert end.must_close
        assert closed[name] == 1
        assert end.next_deadline() is None


# ---- What it refuses ----


@pytest.mark.parametrize("start", [None, "ws://example.com/", rfc6455.Http2ServerHandshake()])
def test_what_it_cannot_begin_with(start: Any) -> None:
    with pytest.raises(TypeError, match="an endpoint begins with"):
        Endpoint(start)


@pytest.mark.parametrize("make", [server, client, lambda: opened(SERVER)])
def test_what_is_no_input(make: Callable[[], Endpoint]) -> None:
    endpoint = make()
    wrong: Any = ""
    with pytest.raises(TypeError):
        endpoint.receive_data(wrong, now=1.0)
    assert not endpoint.closed


def test_a_pong_that_is_unread_is_not_late() -> None:
    """A read of three large messages and the Pong; the caller takes long over each message."""
    peer, mine = pair_with(rfc6455.PerMessageDeflate())
    mine.advance(now=21.0)
    (ping,) = [event for event in peer.receive_data(mine.data_to_send(), now=21.0) if isinstance(event, Ping)]
    ws = connection_of(peer)
    pongs = peer.data_to_send()
    for _ in range(3):
        ws.send_bytes(bytes(900_000))
    now = 22.0
    events = mine.receive_data(peer.data_to_send() + pongs, now=now)
    assert mine.unread
    while mine.unread:
        now += 3.0
        events += mine.receive_data(None, now=now)
    assert [type(event).__name__ for event in events] == ["BytesMessage"] * 3 + ["Pong"]
    assert ping.payload
    assert now > 26.0


def pair_with(extension: rfc6455.Extension) -> tuple[Endpoint, Endpoint]:
    asking = Endpoint(ClientHandshake(URI, extensions=[extension]), TIMEOUTS)
    asked = Endpoint(ServerHandshake(extensions=[extension]), Timeouts(ping_interval=None))
    asked.receive_data(asking.data_to_send(), now=1.0)
    asked.accept(now=1.0)
    asking.receive_data(asked.data_to_send(), now=1.0)
    return asked, asking
