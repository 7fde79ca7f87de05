"""Endpoint: handshake, connection and deadlines together, whichever side ends the connection, and at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers import BOTH_ROLES, CLOSE, PING, PONG, TEXT, close_payload, cut_at, only_closed, read_frames, to
from hypothesis import given
from hypothesis import strategies as st
from opening import request

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    ClientHandshake,
    CloseCause,
    Closed,
    Connection,
    ConnectionClosedError,
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
    trace,
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
    asked.accept(now=1.0, headers=[("X-Room", "7")]).send_text("welcome")
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
    assert endpoint.receive_data(None, now=2.0) == []
    assert endpoint.next_deadline() == 12.0
    closed = only_closed(endpoint.receive_data(to(role, CLOSE, close_payload(1000)), now=3.0))
    assert closed.clean
    assert endpoint.closed
    assert endpoint.must_close is (role is SERVER)
    assert not endpoint.finished
    assert endpoint.next_deadline() == 5.0
    assert endpoint.receive_data(b"", now=4.0) == []
    assert endpoint.must_close
    assert endpoint.finished
    assert endpoint.next_deadline() is None


@BOTH_ROLES
def test_a_peer_that_does_not_end_tcp(role: Role) -> None:
    endpoint = opened(role)
    only_closed(endpoint.receive_data(to(role, CLOSE), now=3.0))
    assert endpoint.receive_data(None, now=4.9) == []
    assert not endpoint.finished
    assert endpoint.receive_data(None, now=5.0) == []
    assert endpoint.finished


@BOTH_ROLES
def test_pings_and_a_pong_that_does_not_come(role: Role) -> None:
    endpoint = opened(role)
    endpoint.data_to_send()
    assert endpoint.next_deadline() == 21.0
    assert endpoint.receive_data(None, now=21.0) == []
    assert endpoint.data_to_send()
    assert endpoint.receive_data(None, now=25.9) == []
    closed = only_closed(endpoint.receive_data(None, now=26.0))
    assert closed.cause is CloseCause.PONG_TIMEOUT
    assert endpoint.must_close
    assert endpoint.next_deadline() == 28.0


# ---- It never opens ----

FAILURES: dict[str, tuple[Callable[[], Endpoint], bytes, CloseCause, int | None]] = {
    "a bad request": (server, b"GET / HTTP/1.1\r\n\r\n", CloseCause.OPENING_INVALID, 400),
    "no request": (server, b"", CloseCause.OPENING_EOF, 400),
    "another answer": (
        client,
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        CloseCause.OPENING_REFUSED,
        404,
    ),
    "no answer": (client, b"", CloseCause.OPENING_EOF, None),
    "no HTTP": (client, b"SSH-2.0-OpenSSH_9.2\r\n", CloseCause.OPENING_INVALID, None),
    "a bad 101": (client, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", CloseCause.OPENING_INVALID, 101),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_handshake_that_fails_is_an_event(failure: str) -> None:
    make, data, cause, status = FAILURES[failure]
    endpoint = make()
    endpoint.data_to_send()
    closed = only_closed(endpoint.receive_data(data, now=1.0))
    assert (closed.code, closed.reason, closed.clean, closed.cause) == (1006, "", False, cause)
    assert isinstance(closed.error, HandshakeError)
    assert closed.error.status == status
    assert closed.error.__traceback__ is None
    assert str(closed) == f"{cause.value}: {closed.error}"
    assert endpoint.closed
    assert endpoint.end is closed
    assert endpoint.must_close
    assert endpoint.connection is None
    assert endpoint.finished is (not data)
    assert endpoint.next_deadline() == (3.0 if data else None)
    with pytest.raises(ConnectionClosedError, match="the connection has ended") as caught:
        endpoint.send_text("x")
    assert caught.value.closed is closed


def test_the_answer_to_a_bad_request_is_there_and_its_end_is_waited_for() -> None:
    endpoint = server()
    only_closed(endpoint.receive_data(b"GET / HTTP/1.1\r\n\r\n", now=1.0))
    assert endpoint.data_to_send().startswith(b"HTTP/1.1 400 ")
    assert endpoint.receive_data(b"what comes is dropped", now=2.0) == []
    assert not endpoint.finished
    assert endpoint.next_deadline() == 3.0
    assert endpoint.receive_data(None, now=3.0) == []
    assert endpoint.finished
    assert endpoint.next_deadline() is None


def test_without_a_deadline_for_tcp_only_its_end_is_waited_for() -> None:
    endpoint = Endpoint(ServerHandshake(), Timeouts(tcp_close=None), now=0.0)
    only_closed(endpoint.receive_data(b"?\r\n", now=1.0))
    assert endpoint.next_deadline() is None
    assert endpoint.receive_data(None, now=1e9) == []
    assert not endpoint.finished
    endpoint.receive_data(b"", now=1e9)
    assert endpoint.finished


def test_a_client_that_does_not_wait_for_the_answer() -> None:
    """4.1: "The client MUST wait for a response"; here it ends its stream instead."""
    endpoint = server()
    endpoint.receive_data(request(), now=1.0)
    closed = only_closed(endpoint.receive_data(b"", now=1.5))
    assert closed.cause is CloseCause.OPENING_EOF
    assert endpoint.finished
    with pytest.raises(LocalProtocolError, match="too late"):
        endpoint.accept(now=1.0)
    with pytest.raises(LocalProtocolError, match="too late"):
        endpoint.reject(404)


def test_a_handshake_that_takes_too_long() -> None:
    for endpoint, answer in ((server(), b"HTTP/1.1 408 "), (client(), b"")):
        endpoint.data_to_send()
        assert endpoint.next_deadline() == 10.0
        closed = only_closed(endpoint.receive_data(None, now=10.0))
        assert (closed.code, closed.cause) == (1006, CloseCause.OPEN_TIMEOUT)
        assert isinstance(closed.error, HandshakeError)
        assert closed.error.status == (408 if answer else None)
        assert endpoint.data_to_send()[:13] == answer
        assert endpoint.must_close
        assert endpoint.next_deadline() == 12.0
        assert endpoint.receive_data(None, now=12.0) == []
        assert endpoint.finished


def test_close_before_it_is_open() -> None:
    for endpoint, answer in ((server(), b"HTTP/1.1 503 "), (client(), b"")):
        with pytest.raises(LocalProtocolError, match="1005"):
            endpoint.close(1005)
        assert not endpoint.closed
        endpoint.close(1001, "the server ends")
        endpoint.close()
        assert endpoint.closed
        assert endpoint.next_deadline() == 0.0
        closed = only_closed(endpoint.receive_data(None, now=1.0))
        assert (closed.code, closed.reason, closed.cause) == (1006, "", CloseCause.OPENING_REFUSED)
        assert isinstance(closed.error, HandshakeError)
        assert closed.error.reason == "the server ends"
        assert closed.error.status == (503 if answer else None)
        data = endpoint.data_to_send()
        assert data[:13] == answer
        assert not data or data.endswith(b"\r\n\r\nthe server ends")
        assert endpoint.next_deadline() == 3.0


def test_a_server_that_fails_before_the_connection_is_open_answers_500() -> None:
    """7.4.1: 1011 is for "an unexpected condition", as 500 is (RFC 9110, 15.6.1)."""
    endpoint = server()
    endpoint.close(1011)
    assert endpoint.data_to_send().startswith(b"HTTP/1.1 500 ")


def test_reject() -> None:
    endpoint = server(plain_http=True)
    endpoint.receive_data(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", now=1.0)
    endpoint.reject(200, [("Content-Type", "text/html")], b"<p>")
    closed = only_closed(endpoint.receive_data(None, now=1.0))
    assert (closed.code, closed.reason, closed.cause) == (1006, "", CloseCause.OPENING_REFUSED)
    assert isinstance(closed.error, HandshakeError)
    reason = "the request for '/health' was answered without opening a connection"
    assert (closed.error.status, closed.error.reason) == (200, reason)
    assert endpoint.data_to_send().endswith(b"\r\n\r\n<p>")
    with pytest.raises(LocalProtocolError):
        endpoint.reject(404)


def test_a_refused_call_changes_nothing() -> None:
    endpoint = server()
    with pytest.raises(LocalProtocolError):
        endpoint.accept(now=1.0)
    endpoint.receive_data(request(), now=1.0)
    with pytest.raises(LocalProtocolError):
        endpoint.accept("unknown", now=1.0)
    with pytest.raises(LocalProtocolError):
        endpoint.reject(404, [("Bad Name", "x")])
    assert endpoint.receive_data(None, now=1.0) == []
    assert not endpoint.closed
    endpoint.accept(now=1.0)
    with pytest.raises(LocalProtocolError):
        endpoint.accept(now=1.0)


def test_only_servers_answer() -> None:
    for endpoint in (client(), Endpoint(Connection(CLIENT), now=0.0), Endpoint(Connection(SERVER), now=0.0)):
        with pytest.raises(LocalProtocolError, match="server's side of an opening handshake"):
            endpoint.accept(now=1.0)
        with pytest.raises(LocalProtocolError, match="server's side of an opening handshake"):
            endpoint.reject(404)


# ---- Before it is open ----


CALLS: dict[str, Callable[[Endpoint], object]] = {
    "send_text": lambda endpoint: endpoint.send_text("x"),
    "send_bytes": lambda endpoint: endpoint.send_bytes(b"x"),
    "send_prepared": lambda endpoint: endpoint.send_prepared(rfc6455.PreparedMessage("x")),
    "send": lambda endpoint: endpoint.send(TextMessage("x")),
    "ping": lambda endpoint: endpoint.ping(),
    "pong": lambda endpoint: endpoint.pong(),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_sent_too_early(name: str) -> None:
    for endpoint, what in ((server(), "accept() has been called"), (client(), "the Response has arrived")):
        words = f"{name}() comes too early: the connection is open once {what}"
        with pytest.raises(LocalProtocolError) as caught:
            CALLS[name](endpoint)
        assert (type(caught.value), str(caught.value)) == (LocalProtocolError, words)


@pytest.mark.parametrize("arguments", [(None, "why"), ("1000",), (1005,), (1000, 5)])
def test_the_checks_of_close_are_those_of_the_connection(arguments: tuple[Any, ...]) -> None:
    errors = []
    for end in (server(), client(), opened(SERVER), Connection(SERVER)):
        with pytest.raises((TypeError, LocalProtocolError)) as caught:
            end.close(*arguments)
        errors.append((type(caught.value), str(caught.value)))
        assert not end.closed
    assert len(set(errors)) == 1


# ---- All there is, one at a time ----


def talk() -> tuple[Endpoint, bytes]:
    """A client that has asked, and its server's answer with a message behind it."""
    asking, asked = client(), server()
    asked.receive_data(asking.data_to_send(), now=1.0)
    asked.accept(now=1.0)
    asked.send_text("welcome")
    return asking, asked.data_to_send()


def test_a_client_gets_the_answer_and_the_message_behind_it_from_one_call() -> None:
    asking, data = talk()
    response, message = asking.events(data, now=1.0)
    assert isinstance(response, Response)
    assert message == TextMessage("welcome")


def test_a_request_with_messages_behind_it_that_is_accepted_on_the_way() -> None:
    endpoint = server()
    got: list[object] = []
    stream = request() + to(SERVER, TEXT, b"one") + to(SERVER, TEXT, b"two") + to(SERVER, CLOSE, close_payload(1000))
    for event in endpoint.events(stream, now=1.0):
        got.append(event)
        match event:
            case Request():
                endpoint.accept(now=1.0)
            case TextMessage(text):
                endpoint.send_text(text.upper())
    assert got[1:] == [TextMessage("one"), TextMessage("two"), Closed(1000, "", True)]
    sent = endpoint.data_to_send()
    assert sent.endswith(b"\x81\x03ONE\x81\x03TWO\x88\x02\x03\xe8")


def test_a_request_that_is_accepted_after_the_loop() -> None:
    endpoint = server()
    (asked,) = endpoint.events(request() + to(SERVER, TEXT, b"early"), now=1.0)
    assert isinstance(asked, Request)
    assert list(endpoint.events(to(SERVER, TEXT, b"more"), now=2.0)) == []
    endpoint.accept(now=3.0)
    assert endpoint.next_deadline() == 3.0
    assert list(endpoint.events(now=4.0)) == [TextMessage("early"), TextMessage("more")]
    assert endpoint.next_deadline() == 23.0


def test_an_end_of_file_that_came_before_it_was_accepted() -> None:
    endpoint = server()
    handshake = endpoint.handshake
    assert isinstance(handshake, ServerHandshake)
    handshake.receive_data(request() + to(SERVER, TEXT, b"early"))
    handshake.receive_data(b"")
    endpoint.accept(now=1.0)
    assert endpoint.next_deadline() == 1.0
    text, closed = endpoint.events(now=1.0)
    assert text == TextMessage("early")
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.EOF_IDLE
    assert endpoint.finished


@pytest.mark.parametrize("taken", range(5))
def test_events_that_are_not_taken_come_first_in_the_next_call(taken: int) -> None:
    endpoint = opened(SERVER)
    messages = [TextMessage(str(number)) for number in range(6)]
    frames = [to(SERVER, TEXT, message.text.encode()) for message in messages]
    events = endpoint.events(b"".join(frames[:4]), now=2.0)
    got = [next(events) for _ in range(min(taken, 4))]
    if taken < 4:
        assert endpoint.next_deadline() == 2.0
        assert endpoint.next_deadline() == 2.0
    again = endpoint.events(b"".join(frames[4:]), now=3.0)
    got += list(again)
    assert got == messages
    assert list(events) == list(again) == []
    assert endpoint.next_deadline() == 21.0


def test_the_data_is_taken_when_it_is_called() -> None:
    endpoint = opened(SERVER)
    endpoint.events(to(SERVER, PING, b"x"), now=2.0)
    endpoint.events(to(SERVER, CLOSE, close_payload(4000)), now=2.0)
    endpoint.events(b"", now=2.0)
    assert not endpoint.closed, "the Ping has not been taken yet"
    ping, closed = endpoint.events(now=2.0)
    assert (ping, closed) == (Ping(b"x"), Closed(4000, "", True))
    assert endpoint.finished


@BOTH_ROLES
@pytest.mark.parametrize("is_bare", [False, True])
def test_what_is_not_taken_counts_in_the_budget(role: Role, is_bare: bool) -> None:
    limits = rfc6455.Limits(message=10_000, memory=100_000)
    endpoint = Endpoint(Connection(role, limits=limits), TIMEOUTS, now=0.0)
    if is_bare:
        endpoint._report_bare()
    message = to(role, TEXT, bytes(9_000))
    reads = 0
    while endpoint.end is None:
        endpoint.events(message, now=1.0)
        reads += 1
        assert reads < 20
    *messages, closed = endpoint.events(now=1.0)
    assert isinstance(closed, Closed)
    assert closed.code == 1009
    assert len(messages) == 1, "what was not read is dropped by the violation"


@BOTH_ROLES
def test_large_compressed_messages_in_one_read(role: Role) -> None:
    """A read of 20 KB that inflates to 8 MB: one message in hand at a time, and none of them is left behind."""
    asked, asking = pair_with(rfc6455.PerMessageDeflate())
    far, near = (asking, asked) if role is SERVER else (asked, asking)
    for _ in range(8):
        far.send_bytes(bytes(1 << 20))
    sizes = [len(event.data) for event in near.events(far.data_to_send(), now=2.0) if isinstance(event, BytesMessage)]
    assert sizes == [1 << 20] * 8


@BOTH_ROLES
@pytest.mark.parametrize("compress", [False, True])
def test_bare_messages(role: Role, compress: bool) -> None:
    """A loop can have messages reported as `str` and `bytes`, in whatever way they come, and nothing else changes."""
    asked, asking = pair_with(rfc6455.PerMessageDeflate())
    far, near = (asking, asked) if role is SERVER else (asked, asking)
    near._report_bare()
    for final in (True, False):
        far.send_text("caf\u00e9", fin=final, compress=compress)
        far.send_text("", compress=compress)
        far.send_bytes(b"abc", fin=final, compress=compress)
        far.send_bytes(b"", compress=compress)
    far.ping(b"x")
    far.close(4000)
    data = far.data_to_send()
    events = [event for part in cut_at(data, [len(data) // 2]) for event in near.events(part, now=2.0)]
    assert events == ["caf\u00e9", "", b"abc", b"", "caf\u00e9", b"abc", Ping(b"x"), Closed(4000, "", True)]


@BOTH_ROLES
def test_the_end_is_known_while_messages_before_it_are_handled(role: Role) -> None:
    endpoint = opened(role)
    endpoint.data_to_send()
    events = endpoint.events(to(role, TEXT, b"last words") + to(role, CLOSE, close_payload(4001, b"bye")), now=2.0)
    assert next(events) == TextMessage("last words")
    end = endpoint.end
    assert end == Closed(4001, "bye", True)
    assert not endpoint.must_close
    endpoint.send_text("an answer still goes out")
    assert next(events) is end
    assert endpoint.must_close is (role is SERVER)
    with pytest.raises(ConnectionClosedError) as caught:
        endpoint.send_text("too late")
    assert caught.value.closed is end
    assert [seen.opcode for seen in read_frames(endpoint.data_to_send(), role)] == [TEXT, CLOSE]


@BOTH_ROLES
def test_a_code_that_is_named_once_closed_was_taken(role: Role) -> None:
    for arguments, payload in (((), close_payload(4001, b"bye")), ((4002, "mine"), close_payload(4002, b"mine"))):
        endpoint = opened(role)
        endpoint.data_to_send()
        for event in endpoint.events(to(role, CLOSE, close_payload(4001, b"bye")), now=2.0):
            assert isinstance(event, Closed)
            endpoint.close(*arguments)
        assert read_frames(endpoint.data_to_send(), role) == [(CLOSE, payload, True, 0)]


@BOTH_ROLES
def test_after_our_own_close_it_is_a_mistake_of_the_program(role: Role) -> None:
    endpoint = opened(role)
    endpoint.close()
    with pytest.raises(LocalProtocolError, match="this side has closed") as caught:
        endpoint.send_text("x")
    assert type(caught.value) is LocalProtocolError


def test_a_rejection_ends_in_the_same_loop() -> None:
    endpoint = server()
    got = []
    for event in endpoint.events(request(), now=1.0):
        got.append(event)
        if isinstance(event, Request):
            endpoint.reject(403)
    assert [type(event) for event in got] == [Request, Closed]
    assert endpoint.data_to_send().startswith(b"HTTP/1.1 403 ")


def test_a_late_caller_and_the_pong_that_lies_in_its_socket() -> None:
    for answered in (True, False):
        endpoint = opened(SERVER)
        endpoint.data_to_send()
        list(endpoint.events(now=21.0))
        (ping,) = read_frames(endpoint.data_to_send(), SERVER)
        assert list(endpoint.events(now=3600.0)) == []
        assert endpoint.next_deadline() == 3600.0
        if answered:
            assert list(endpoint.events(to(SERVER, PONG, ping.payload), now=3600.1)) == [rfc6455.Pong(ping.payload)]
            assert endpoint.next_deadline() == 3620.1
        else:
            (closed,) = endpoint.events(now=3600.0)
            assert isinstance(closed, Closed)
            assert closed.cause is CloseCause.PONG_TIMEOUT


def test_the_body_of_a_refusal_has_a_deadline_of_its_own() -> None:
    for end in (b"", None):
        endpoint = client()
        endpoint.data_to_send()
        head = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 100\r\n\r\nwho are"
        assert list(endpoint.events(head, now=5.0)) == []
        assert endpoint.next_deadline() == 7.0
        assert list(endpoint.events(b" you?", now=6.0)) == []
        assert endpoint.next_deadline() == 7.0
        (closed,) = endpoint.events(end, now=7.0)
        assert isinstance(closed, Closed)
        assert closed.cause is CloseCause.OPENING_REFUSED
        assert isinstance(closed.error, HandshakeError)
        assert closed.error.status == 401
        assert closed.error.response is not None
        assert closed.error.response.body == b"who are you?"
        assert closed.error.response.headers["WWW-Authenticate"] == "Basic"


def test_the_opening_is_over_at_its_own_deadline_also_in_a_body() -> None:
    endpoint = client()
    list(endpoint.events(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n", now=9.5))
    assert endpoint.next_deadline() == 10.0
    (closed,) = endpoint.events(now=10.0)
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, HandshakeError)
    assert closed.error.status == 503


def test_no_deadlines_at_all() -> None:
    endpoint = Endpoint(ServerHandshake(), Timeouts.NONE, now=0.0)
    assert endpoint.next_deadline() is None
    list(endpoint.events(request(), now=1e6))
    endpoint.accept(now=2e6)
    assert endpoint.next_deadline() is None
    endpoint.close()
    assert list(endpoint.events(now=3e6)) == []
    assert endpoint.next_deadline() is None


@BOTH_ROLES
def test_a_clock_that_is_stopped(role: Role) -> None:
    endpoint = opened(role)
    endpoint.pause(now=2.0)
    assert endpoint.next_deadline() is None
    assert list(endpoint.events(now=100.0)) == []
    endpoint.resume(now=100.0)
    assert endpoint.next_deadline() == 119.0


def test_what_there_is_to_send() -> None:
    endpoint = client()
    assert endpoint.has_data_to_send
    (head,) = endpoint.buffers_to_send()
    assert head.startswith(b"GET /chat HTTP/1.1\r\n")
    assert not endpoint.has_data_to_send
    assert endpoint.buffers_to_send() == []


# ---- Read into memory that is lent ----


def read_into(endpoint: Endpoint, data: bytes, now: float) -> list[Request | Response | Event]:
    """What a loop does that has a `recv_into`; the rest is left in the socket."""
    events: list[Request | Response | Event] = []
    while data:
        memory = endpoint.get_buffer()
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        data = data[size:]
        for event in endpoint.buffer_updated(size, now=now):
            events.append(event)
            if isinstance(event, Request):
                endpoint.accept(now=now)
    return events


@BOTH_ROLES
def test_a_whole_life_through_lent_memory(role: Role) -> None:
    text, large = to(role, TEXT, b"one"), to(role, 2, bytes(range(256)) * 2000)
    stream = text + large + to(role, PING, b"x") + to(role, CLOSE, close_payload(1000))
    endpoint = opened(role)
    events = read_into(endpoint, stream, now=2.0)
    assert events == [TextMessage("one"), BytesMessage(bytes(range(256)) * 2000), Ping(b"x"), Closed(1000, "", True)]
    assert list(endpoint.buffer_updated(0, now=3.0)) == []
    assert endpoint.finished


def test_a_handshake_through_lent_memory() -> None:
    endpoint = server()
    events = read_into(endpoint, request() + to(SERVER, TEXT, b"early"), now=1.0)
    assert [type(event) for event in events] == [Request, TextMessage]
    assert endpoint.connection is not None
    asking, data = talk()
    assert [type(event) for event in read_into(asking, data, now=1.0)] == [Response, TextMessage]


def test_events_that_are_not_taken_wait_there_too() -> None:
    endpoint = opened(SERVER)
    for text in (b"one", b"two"):
        frame = to(SERVER, TEXT, text)
        endpoint.get_buffer()[: len(frame)] = frame
        endpoint.buffer_updated(len(frame), now=2.0)
    assert endpoint.next_deadline() == 2.0
    assert list(endpoint.events(now=3.0)) == [TextMessage("one"), TextMessage("two")]


@pytest.mark.parametrize("make", [server, client, lambda: opened(SERVER)])
def test_memory_that_was_not_lent(make: Callable[[], Endpoint]) -> None:
    endpoint = make()
    with pytest.raises(ValueError, match="get_buffer"):
        endpoint.buffer_updated(1, now=1.0)
    size = len(endpoint.get_buffer())
    with pytest.raises(ValueError, match="bytes were lent"):
        endpoint.buffer_updated(size + 1, now=1.0)
    assert not endpoint.closed


@BOTH_ROLES
def test_what_is_read_after_the_end_is_dropped(role: Role) -> None:
    endpoint = opened(role)
    list(endpoint.events(to(role, CLOSE), now=2.0))
    endpoint.get_buffer()
    assert list(endpoint.buffer_updated(10, now=2.0)) == []
    assert list(endpoint.buffer_updated(0, now=2.0)) == []
    assert endpoint.finished


# ---- A loop that is held up ----


@BOTH_ROLES
def test_time_runs_while_events_wait(role: Role) -> None:
    endpoint = opened(role)
    events = endpoint.events(to(role, TEXT, b"one") + to(role, TEXT, b"two"), now=2.0)
    assert next(events) == TextMessage("one")
    endpoint.advance(now=21.0)
    assert endpoint.deadlines.next_deadline() == 26.0
    endpoint.advance(now=26.0)
    assert endpoint.closed
    assert not endpoint.finished
    two, closed = endpoint.events(now=26.0)
    assert two == TextMessage("two")
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.PONG_TIMEOUT


@BOTH_ROLES
def test_an_end_that_comes_while_held_up_waits_for_events(role: Role) -> None:
    endpoint = opened(role)
    endpoint.advance(now=21.0)
    endpoint.advance(now=26.0)
    endpoint.advance(now=26.0)
    assert endpoint.closed
    assert endpoint.next_deadline() == 26.0
    (closed,) = endpoint.events(now=26.0)
    assert closed == endpoint.end
    assert endpoint.must_close


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
                ends[name].accept(now=now)

    def step(name: str, size: int) -> None:
        other = "server" if name == "client" else "client"
        portion = bytes(wires[name][:size])
        del wires[name][:size]
        note(name, list(ends[name].events(portion or None, now=now)))
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
            note(name, ends[name].receive_data(b"", now=now))
    for name, end in ends.items():
        end.close()
        note(name, end.receive_data(None, now=now))
        while not end.finished:
            at = end.next_deadline()
            assert at is not None
            now = max(now, at)
            note(name, end.receive_data(None, now=now))
        assert end.closed
        assert end.must_close
        assert closed[name] == 1
        assert end.next_deadline() is None


# ---- What it refuses ----


@pytest.mark.parametrize("start", [None, "ws://example.com/", ServerHandshake, b""])
def test_what_it_cannot_begin_with(start: Any) -> None:
    with pytest.raises(TypeError, match="an endpoint is made from"):
        Endpoint(start, now=0.0)


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
    mine.receive_data(None, now=21.0)
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


@BOTH_ROLES
def test_the_end_of_the_stream_adds_nothing_to_what_was_not_handled(role: rfc6455.Role) -> None:
    """One read of small messages takes more memory as events than a small budget; that the peer then leaves while they
    wait is no fault of it."""
    ws = Endpoint(rfc6455.Connection(role, limits=rfc6455.Limits(message=100, memory=10_000)), now=0.0)
    next(ws.events(to(role, TEXT) * 1000, now=0.0))
    events = list(ws.events(b"", now=1.0))
    assert events[:-1] == [rfc6455.TextMessage("")] * 999
    assert isinstance(events[-1], rfc6455.Closed)
    assert events[-1].cause is rfc6455.CloseCause.EOF_IDLE


def pair_with(extension: rfc6455.Extension) -> tuple[Endpoint, Endpoint]:
    asking = Endpoint(ClientHandshake(URI, extensions=[extension]), TIMEOUTS, now=0.0)
    asked = Endpoint(ServerHandshake(extensions=[extension]), Timeouts(ping_interval=None), now=0.0)
    asked.receive_data(asking.data_to_send(), now=1.0)
    asked.accept(now=1.0)
    asking.receive_data(asked.data_to_send(), now=1.0)
    return asked, asking


# What callers pass.


@pytest.mark.parametrize("data", ["", [], (), {}, "x", 5, 0.0], ids=repr)
@pytest.mark.parametrize("stage", ["opening", "open"])
def test_what_is_no_bytes_is_no_end_of_the_stream_either(stage: str, data: Any) -> None:
    ws = Endpoint(ServerHandshake(), now=0.0)
    if stage == "open":
        list(ws.events(request(), now=0.0))
        ws.accept(now=0.0)
    with pytest.raises(TypeError, match="bytes, bytearray or memoryview, not "):
        ws.events(data, now=0.0)
    if stage == "opening":
        assert [type(event) for event in ws.events(request(), now=0.0)] == [Request]
    assert not ws.closed


# What this side does to the connection is not reported as the peer's doing.


@pytest.mark.parametrize(
    "before", [b"", b"\x81\x85\0\0", b"\x01\x80\0\0\0\0"], ids=["idle", "in a frame", "in a message"]
)
@pytest.mark.parametrize("has_closed", [False, True])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_an_end_that_this_side_makes_is_told_from_one_of_the_peers(
    before: bytes, has_closed: bool, is_recorded: bool
) -> None:
    connection = Connection(SERVER)
    if is_recorded:
        connection = trace.Recorder(clock=lambda: 0.0).wrap(connection)
    ws = Endpoint(connection, now=0.0)
    assert list(ws.events(before or None, now=0.0)) == []
    if has_closed:
        ws.close()
    ws.abort()
    assert not ws.closed
    (closed,) = ws.events(b"", now=0.0)
    assert isinstance(closed, Closed)
    assert (closed.code, closed.reason, closed.clean, closed.cause) == (1006, "", False, CloseCause.ABORTED)
    assert str(closed) == "this side cut the connection without a closing handshake"


def test_an_end_that_was_known_before_stays() -> None:
    ws = Endpoint(Connection(SERVER), now=0.0)
    (closed,) = ws.events(to(SERVER, CLOSE, close_payload(1000)), now=0.0)
    ws.abort()
    list(ws.events(b"", now=0.0))
    assert ws.end is closed


def test_during_the_opening_there_is_nothing_to_cut() -> None:
    ws = Endpoint(ServerHandshake(), now=0.0)
    ws.abort()
    (closed,) = ws.events(b"", now=0.0)
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.OPENING_EOF
