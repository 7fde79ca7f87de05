"""Deadlines with an injected clock: each timeout, what moves it and what does not, and any schedule.

The clock is a number. `Watched` is the caller that `deadlines.py` describes: it passes the time after each read and
each close, and when `next_deadline` says so.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import pytest
from helpers import BINARY, BOTH_ROLES, CLOSE, KEY, PING, PONG, TEXT, close_payload, only_closed, read_frames, to
from hypothesis import given
from hypothesis import strategies as st

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    CloseCause,
    CloseCode,
    Closed,
    Connection,
    Deadlines,
    Event,
    Role,
    TextMessage,
    Timeouts,
)

START = 1000.0

NO_TIMEOUTS = Timeouts.NONE


class Watched:
    """A connection that is open since `START`, its deadlines, a clock, and all events so far."""

    def __init__(self, role: Role, timeouts: Timeouts) -> None:
        self.role = role
        self.now = START
        self.connection = Connection(role)
        self.deadlines = Deadlines(timeouts, now=self.now)
        self.deadlines.opened(self.connection, now=self.now)
        self.events: list[Event] = []

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass; the caller wakes up when it is told to."""
        events: list[Event] = []
        end = self.now + seconds
        while (at := self.deadlines.next_deadline()) is not None and at <= end:
            assert at >= self.now, "a deadline in the past was left unserved"
            self.now = at
            events += self.tell_time()
        self.now = end
        return events

    def tell_time(self) -> list[Event]:
        events = self.deadlines.advance(now=self.now)
        at = self.deadlines.next_deadline()
        assert at is None or at > self.now, "what is due must be done at once"
        self.events += events
        return events

    def receive(self, data: bytes) -> list[Event]:
        events = self.connection.receive_data(data)
        self.events += events
        return events + self.tell_time()

    def receive_frame(self, opcode: int, payload: bytes = b"") -> list[Event]:
        return self.receive(to(self.role, opcode, payload))

    def close(self) -> None:
        self.connection.close()
        self.tell_time()

    def sent(self) -> list[tuple[int, bytes]]:
        """The frames sent since the last call: opcode and payload."""
        return [(seen.opcode, seen.payload) for seen in read_frames(self.connection.data_to_send(), self.role)]

    @property
    def due_in(self) -> float | None:
        at = self.deadlines.next_deadline()
        return None if at is None else at - self.now


def watched(role: Role, **timeouts: float) -> Watched:
    """With these timeouts and no others."""
    return Watched(role, replace(NO_TIMEOUTS, **timeouts))


# ---- Opening ----


def test_the_opening_handshake_has_a_deadline() -> None:
    deadlines = Deadlines(Timeouts(open=5), now=START)
    assert deadlines.next_deadline() == START + 5
    assert deadlines.advance(now=START) == []
    assert deadlines.advance(now=START + 4.999) == []
    assert deadlines.next_deadline() == START + 5
    closed = only_closed(deadlines.advance(now=START + 5))
    assert (closed.code, closed.clean, closed.error) == (CloseCode.ABNORMAL_CLOSURE, False, None)
    assert closed.cause is CloseCause.OPEN_TIMEOUT
    assert (closed.reason, str(closed)) == ("", CloseCause.OPEN_TIMEOUT.value)
    assert deadlines.next_deadline() is None
    assert deadlines.advance(now=START + 100) == []


def test_once_open_that_deadline_is_gone() -> None:
    deadlines = Deadlines(Timeouts(open=5, ping_interval=60), now=START)
    deadlines.opened(Connection(SERVER), now=START + 4)
    assert deadlines.next_deadline() == START + 64
    assert deadlines.advance(now=START + 6) == []


def test_without_an_opening_deadline_there_is_none() -> None:
    deadlines = Deadlines(NO_TIMEOUTS, now=START)
    assert deadlines.next_deadline() is None
    assert deadlines.advance(now=START + 1e9) == []


# ---- Pings ----


@BOTH_ROLES
def test_a_ping_is_sent_at_each_interval_and_its_pong_is_timed(role: Role) -> None:
    ws = watched(role, ping_interval=20, pong=5)
    assert ws.deadlines.latency is None
    for number in (1, 2, 3):
        assert ws.wait(19.9) == []
        assert ws.sent() == []
        ws.wait(0.1)
        ((opcode, payload),) = ws.sent()
        assert opcode == PING
        assert ws.due_in == 5
        assert ws.wait(number) == []
        ws.receive_frame(PONG, payload)
        assert ws.deadlines.latency == pytest.approx(number)
        # The next interval begins with the Pong.
        assert ws.due_in == pytest.approx(20)
    assert not ws.connection.closed


@BOTH_ROLES
def test_pings_differ(role: Role) -> None:
    """So that a late Pong to one is not taken for the Pong to the next."""
    ws = watched(role, ping_interval=20, pong=5)
    payloads = set()
    for _ in range(3):
        ws.wait(20)
        ((_, payload),) = ws.sent()
        payloads.add(payload)
        ws.receive_frame(PONG, payload)
    assert len(payloads) == 3


@BOTH_ROLES
def test_a_pong_that_does_not_come(role: Role) -> None:
    ws = watched(role, ping_interval=20, pong=5)
    assert ws.wait(24.9) == []
    assert [opcode for opcode, _ in ws.sent()] == [PING]
    closed = only_closed(ws.wait(0.2))
    assert (closed.code, closed.clean, closed.error) == (CloseCode.TIMEOUT, False, None)
    assert closed.cause is CloseCause.PONG_TIMEOUT
    assert ws.connection.closed
    assert ws.connection.must_close
    # The peer is told why, should it still be there.
    ((opcode, payload),) = ws.sent()
    assert (opcode, payload[:2]) == (CLOSE, close_payload(3008))
    assert ws.due_in is None
    assert ws.receive_frame(TEXT, b"late") == []
    assert ws.receive(b"") == []


@BOTH_ROLES
def test_a_pong_that_was_read_with_the_time_of_the_deadline_counts(role: Role) -> None:
    ws = watched(role, ping_interval=20, pong=5)
    ws.wait(20)
    ((_, payload),) = ws.sent()
    ws.now += 5
    assert [type(event).__name__ for event in ws.receive_frame(PONG, payload)] == ["Pong"]
    assert not ws.connection.closed


@BOTH_ROLES
def test_other_traffic_is_no_pong(role: Role) -> None:
    ws = watched(role, ping_interval=20, pong=5)
    ws.wait(20)
    for _ in range(4):
        assert ws.wait(1) == []
        ws.receive_frame(TEXT, b"text")
        ws.receive_frame(PING, b"ping")
    assert only_closed(ws.wait(1)).cause is CloseCause.PONG_TIMEOUT


@BOTH_ROLES
def test_any_pong_shows_that_the_peer_is_there(role: Role) -> None:
    """5.5.3: also one that nobody asked for, which is "a unidirectional heartbeat"; but it says nothing about
    latency."""
    ws = watched(role, ping_interval=20, pong=5)
    ws.wait(20)
    ws.receive_frame(PONG, b"heartbeat")
    assert ws.deadlines.latency is None
    assert ws.due_in == 20
    # One that came before the Ping says nothing about the time after it.
    ws.wait(19)
    ws.receive_frame(PONG, b"heartbeat")
    ws.wait(1)
    assert only_closed(ws.wait(5)).cause is CloseCause.PONG_TIMEOUT


@BOTH_ROLES
def test_the_callers_own_pings_do_not_disturb(role: Role) -> None:
    """5.5.3: the peer may answer only the latest of several Pings, and that answers all of them."""
    ws = watched(role, ping_interval=20, pong=5)
    ws.wait(20)
    ws.connection.ping(b"mine")
    ws.tell_time()
    ws.wait(1)
    ws.receive_frame(PONG, b"mine")
    assert ws.due_in == pytest.approx(20)
    assert ws.deadlines.latency is None, "what it tells is how long another Ping took"


@BOTH_ROLES
def test_the_callers_own_pings_do_not_hide_a_dead_peer(role: Role) -> None:
    """A deadline is not moved by what this side does: a peer that answers nothing is gone after its time."""
    ws = watched(role, ping_interval=20, pong=5)
    ws.wait(20)
    for number in range(10):
        ws.connection.ping(b"mine %d" % number)
        ws.tell_time()
        if ws.wait(1):
            break
    assert only_closed([event for event in ws.events if isinstance(event, Closed)]).cause is CloseCause.PONG_TIMEOUT
    assert ws.now == START + 25


@BOTH_ROLES
def test_the_callers_own_pings_do_not_hide_a_slow_peer(role: Role) -> None:
    """Each Ping is answered, after 3 seconds; there is always a later one under way by then."""
    ws = watched(role, ping_interval=20, pong=5)
    under_way: list[tuple[float, bytes]] = []
    for number in range(100):
        ws.connection.ping(b"mine %d" % number)
        ws.tell_time()
        ws.wait(1)
        under_way += [(ws.now + 3, payload) for opcode, payload in ws.sent() if opcode == PING]
        while under_way and under_way[0][0] <= ws.now:
            ws.receive_frame(PONG, under_way.pop(0)[1])
        assert not ws.connection.closed


@pytest.mark.clause("6455:7.1.7-client-stays", "6455:7.2.1-client-stays")
@BOTH_ROLES
def test_without_a_pong_timeout_pings_are_sent_and_nothing_ends(role: Role) -> None:
    ws = watched(role, ping_interval=20)
    assert ws.wait(1000) == []
    assert [opcode for opcode, _ in ws.sent()][:1] == [PING]
    assert not ws.connection.closed


@BOTH_ROLES
def test_without_an_interval_no_ping_is_sent(role: Role) -> None:
    ws = watched(role, pong=5)
    assert ws.due_in is None
    assert ws.wait(1000) == []
    assert ws.sent() == []


@BOTH_ROLES
def test_a_ping_fits_into_an_unfinished_message(role: Role) -> None:
    ws = watched(role, ping_interval=20, pong=5)
    ws.connection.send_text("begun", fin=False)
    ws.wait(20)
    ws.connection.send_text("done")
    assert [opcode for opcode, _ in ws.sent()] == [TEXT, PING, 0]


# ---- Closing ----


@BOTH_ROLES
def test_the_close_deadline_is_absolute(role: Role) -> None:
    """A peer that sends a byte now and then, or whole messages all the time, does not move it."""
    ws = watched(role, close=10, ping_interval=20, pong=5, idle=3)
    ws.wait(2)
    ws.close()
    assert ws.due_in == 10
    message = to(role, BINARY, b"message")
    for second in range(9):
        assert ws.wait(1) == []
        ws.receive(message[:1])
        assert ws.receive(message[1:]) == [BytesMessage(b"message")]
        ws.receive_frame(PING, b"%d" % second)
        ws.connection.close()
        ws.tell_time()
        assert ws.due_in == pytest.approx(9 - second)
    closed = only_closed(ws.wait(1))
    assert (closed.code, closed.clean, closed.error) == (CloseCode.ABNORMAL_CLOSURE, False, None)
    assert closed.cause is CloseCause.CLOSE_TIMEOUT
    assert ws.connection.must_close
    assert ws.due_in is None
    assert [opcode for opcode, _ in ws.sent()] == [CLOSE]


@BOTH_ROLES
def test_while_closing_only_that_deadline_counts(role: Role) -> None:
    ws = watched(role, close=100, ping_interval=20, pong=5, idle=3)
    ws.wait(2.5)
    ws.close()
    assert ws.wait(99) == []
    assert [opcode for opcode, _ in ws.sent()] == [CLOSE]
    assert only_closed(ws.wait(1)).cause is CloseCause.CLOSE_TIMEOUT


@BOTH_ROLES
def test_closing_ends_the_wait_for_a_pong(role: Role) -> None:
    ws = watched(role, close=100, ping_interval=20, pong=5)
    ws.wait(21)
    ws.close()
    assert ws.wait(50) == []
    assert not ws.connection.closed


@BOTH_ROLES
def test_without_a_close_deadline_the_wait_is_for_ever(role: Role) -> None:
    ws = watched(role, ping_interval=20, pong=5, idle=3)
    ws.close()
    assert ws.due_in is None
    assert ws.wait(1000) == []
    assert not ws.connection.closed


@pytest.mark.clause("6455:7.1.1-server-at-once")
def test_a_server_closes_after_both_closes_and_waits_a_little_for_the_end() -> None:
    ws = watched(SERVER, tcp_close=2, close=10, ping_interval=20, idle=3)
    assert only_closed(ws.receive_frame(CLOSE, close_payload(1000))).clean
    assert ws.connection.must_close
    assert not ws.connection.finished
    assert ws.due_in == 2
    assert ws.wait(2) == []
    assert ws.connection.finished
    assert ws.due_in is None


@pytest.mark.clause("6455:5.5.1-client-waits", "6455:7.1.1-client-waits")
def test_a_client_waits_for_tcp_after_both_closes_and_not_for_long() -> None:
    """7.1.1: TCP "SHOULD be closed first by the server"; after "a reasonable amount of time", a client may do so."""
    ws = watched(CLIENT, tcp_close=2, close=10, ping_interval=20, idle=3)
    ws.close()
    ws.wait(9)
    assert only_closed(ws.receive_frame(CLOSE, close_payload(1000))).clean
    assert not ws.connection.must_close
    assert ws.due_in == 2
    # What still comes does not move it.
    ws.wait(1)
    assert ws.receive(b"late") == []
    assert ws.due_in == pytest.approx(1)
    assert ws.wait(1) == []
    assert ws.connection.must_close
    assert ws.connection.finished
    assert ws.due_in is None
    assert [type(event) for event in ws.events].count(Closed) == 1


def test_end_of_file_ends_the_clients_wait() -> None:
    ws = watched(CLIENT, tcp_close=2)
    ws.receive_frame(CLOSE, close_payload(1000))
    ws.wait(1)
    assert ws.receive(b"") == []
    assert ws.connection.must_close
    assert ws.due_in is None
    assert ws.wait(100) == []


def test_without_that_deadline_a_client_waits_for_ever() -> None:
    ws = watched(CLIENT, close=10)
    ws.receive_frame(CLOSE, close_payload(1000))
    assert ws.due_in is None
    assert ws.wait(1000) == []
    assert not ws.connection.must_close


@BOTH_ROLES
def test_after_an_end_of_file_nothing_is_awaited(role: Role) -> None:
    ws = watched(role, tcp_close=2, close=10, ping_interval=20, pong=5, idle=3)
    assert only_closed(ws.receive(b"")).cause is CloseCause.EOF_IDLE
    assert ws.connection.must_close
    assert ws.connection.finished
    assert ws.due_in is None
    assert ws.wait(100) == []


@BOTH_ROLES
@pytest.mark.parametrize("cause", [CloseCause.VIOLATION, CloseCause.PONG_TIMEOUT, CloseCause.CLOSE_TIMEOUT])
def test_a_peer_that_was_failed_has_a_moment_to_read_why(role: Role, cause: CloseCause) -> None:
    """7.1.1: closing a socket with unread input may destroy the Close frame."""
    ws = watched(role, tcp_close=2, close=5, ping_interval=20, pong=5)
    if cause is CloseCause.VIOLATION:
        ws.receive(b"\xff\xff")
    elif cause is CloseCause.CLOSE_TIMEOUT:
        ws.close()
    for _ in range(3):
        if not ws.connection.closed and ws.due_in is not None:
            ws.wait(ws.due_in)
    assert only_closed(ws.events).cause is cause
    assert ws.connection.must_close
    assert not ws.connection.finished
    assert ws.due_in == 2
    ws.wait(1)
    ws.receive(b"what still comes does not move it")
    assert ws.wait(1) == []
    assert ws.connection.finished
    assert ws.due_in is None


# ---- Idle ----


@BOTH_ROLES
def test_any_byte_moves_the_idle_deadline(role: Role) -> None:
    ws = watched(role, idle=3)
    for octet in to(role, TEXT, b"slow"):
        assert ws.wait(2.9) == []
        ws.receive(bytes([octet]))
        assert ws.due_in == 3
    assert ws.events == [TextMessage("slow")]
    closed = only_closed(ws.wait(3))
    assert (closed.code, closed.clean, closed.error) == (CloseCode.TIMEOUT, False, None)
    assert closed.cause is CloseCause.IDLE_TIMEOUT
    assert ws.due_in is None


@BOTH_ROLES
def test_what_this_side_sends_does_not_move_the_idle_deadline(role: Role) -> None:
    ws = watched(role, idle=3)
    ws.wait(2)
    ws.connection.send_text("text")
    ws.connection.ping(b"ping")
    ws.tell_time()
    assert only_closed(ws.wait(1)).cause is CloseCause.IDLE_TIMEOUT


def test_what_came_with_the_handshake_does_not_move_the_idle_deadline() -> None:
    """Nor does working through it later: those bytes came before the connection was open."""
    connection = Connection(SERVER)
    connection._start(b"", to(SERVER, TEXT, b"early") * 2)
    deadlines = Deadlines(replace(NO_TIMEOUTS, idle=3), now=START)
    deadlines.opened(connection, now=START)
    assert connection.receive_data(None) == [TextMessage("early")] * 2
    assert deadlines.advance(now=START + 1) == []
    assert deadlines.next_deadline() == START + 3


# ---- Callers that come late ----

# A loop was busy, or a process was stopped: the deadline has passed, and what was awaited may lie in the socket.
LATE = 3600.0


def pinged(role: Role) -> tuple[Watched, bytes]:
    """An open connection whose Pong is awaited, and the payload of the Ping."""
    ws = watched(role, ping_interval=20, pong=5, close=10, tcp_close=2)
    ws.wait(20)
    ((_, payload),) = ws.sent()
    return ws, payload


def tell_time_late(ws: Watched, seconds: float = LATE) -> list[Event]:
    """The time has gone on without the caller, which then passes it."""
    ws.now += seconds
    return ws.deadlines.advance(now=ws.now)


@BOTH_ROLES
@pytest.mark.parametrize("late", [5.001, LATE])
def test_a_late_caller_finds_the_pong_in_its_socket(role: Role, late: float) -> None:
    ws, payload = pinged(role)
    assert tell_time_late(ws, late) == []
    assert ws.due_in == 0, "it reads before it waits"
    ws.now += 0.001
    assert [type(event).__name__ for event in ws.receive_frame(PONG, payload)] == ["Pong"]
    assert ws.due_in == 20
    assert not ws.connection.closed


@BOTH_ROLES
def test_a_late_caller_still_finds_that_a_peer_is_gone(role: Role) -> None:
    ws, _ = pinged(role)
    assert tell_time_late(ws) == []
    assert ws.due_in == 0
    assert only_closed(ws.deadlines.advance(now=ws.now)).cause is CloseCause.PONG_TIMEOUT


@BOTH_ROLES
def test_bytes_that_a_late_caller_finds_are_a_reason_to_wait_anew_once(role: Role) -> None:
    ws, _ = pinged(role)
    for _ in range(2):
        assert tell_time_late(ws) == []
        ws.now += 0.001
        assert ws.receive_frame(TEXT, b"sent before the Pong") == [TextMessage("sent before the Pong")]
        assert ws.due_in == 5
    assert tell_time_late(ws) == []
    assert only_closed(ws.deadlines.advance(now=ws.now + 0.001)).cause is CloseCause.PONG_TIMEOUT


@BOTH_ROLES
def test_a_late_caller_finds_the_bytes_of_a_peer_that_was_not_idle(role: Role) -> None:
    ws = watched(role, idle=3)
    assert tell_time_late(ws) == []
    assert ws.due_in == 0
    assert ws.receive(b"\x81" if role is CLIENT else b"\x81\x85") == []
    assert ws.due_in == 3
    assert tell_time_late(ws) == []
    assert only_closed(ws.deadlines.advance(now=ws.now)).cause is CloseCause.IDLE_TIMEOUT


@BOTH_ROLES
def test_dribble_does_not_save_a_peer_from_a_caller_that_is_late(role: Role) -> None:
    """`close` and `tcp_close` are absolute: only what is awaited itself ends the wait."""
    ws = watched(role, close=10, tcp_close=2)
    ws.close()
    ws.now += LATE
    assert only_closed(ws.receive(to(role, TEXT, b"dribble"))[-1:]).cause is CloseCause.CLOSE_TIMEOUT
    ws.tell_time()
    ws.now += LATE
    assert ws.receive(b"dribble") == []
    assert ws.connection.finished


@BOTH_ROLES
def test_a_late_caller_finds_the_close_in_its_socket(role: Role) -> None:
    ws = watched(role, close=10)
    ws.close()
    ws.now += LATE
    assert only_closed(ws.receive_frame(CLOSE, close_payload(1000))).clean


@BOTH_ROLES
def test_the_opening_is_absolute(role: Role) -> None:
    deadlines = Deadlines(Timeouts(open=5), now=START)
    assert only_closed(deadlines.advance(now=START + LATE)).cause is CloseCause.OPEN_TIMEOUT


# ---- A large frame in progress ----


def begin_large_frame(ws: Watched) -> None:
    whole = to(ws.role, BINARY, bytes(200_000))
    ws.receive(whole[: -200_000 or None])


@BOTH_ROLES
def test_a_pong_is_awaited_anew_while_a_large_frame_comes(role: Role) -> None:
    """A peer cannot put its Pong into the frame that it is sending (5.4)."""
    ws, payload = pinged(role)
    begin_large_frame(ws)
    for _ in range(3):
        for _ in range(5):
            assert ws.wait(0.9) == []
            ws.receive(bytes(4 << 10))
        assert ws.wait(0.5) == []
    ws.receive(bytes(200_000 - 15 * (4 << 10)))
    assert isinstance(ws.events[-1], BytesMessage)
    ws.receive_frame(PONG, payload)
    assert ws.due_in == 20


@BOTH_ROLES
@pytest.mark.parametrize(("size", "lives"), [(16 << 10, True), ((16 << 10) - 20, False)])
def test_a_dribble_is_not_a_large_frame_in_progress(role: Role, size: int, lives: bool) -> None:
    ws, _ = pinged(role)
    begin_large_frame(ws)
    for _ in range(3):
        if not ws.connection.closed:
            ws.receive(bytes(size))
            ws.wait(5)
    assert ws.connection.closed is not lives


@BOTH_ROLES
def test_what_came_of_other_frames_does_not_count(role: Role) -> None:
    ws, _ = pinged(role)
    for _ in range(5):
        ws.receive_frame(BINARY, bytes(20_000))
    begin_large_frame(ws)
    assert only_closed(ws.wait(5)).cause is CloseCause.PONG_TIMEOUT


# ---- What is refused ----


@pytest.mark.parametrize("timeouts", [5, {}, "10", Timeouts])
def test_timeouts_are_timeouts(timeouts: object) -> None:
    with pytest.raises(TypeError, match=r"^timeouts is None or a Timeouts, such as Timeouts\(open=5.0\), not "):
        Deadlines(timeouts, now=0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [field.name for field in fields(Timeouts)])
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.001, math.nan, -math.inf, "5", (5, 10)])
def test_times_are_numbers_over_zero(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Timeouts(**{name: value})


@pytest.mark.parametrize("name", [field.name for field in fields(Timeouts)])
def test_any_time_over_zero_or_none_will_do(name: str) -> None:
    for value in (None, 1, 0.001, 1e9, math.inf):
        assert getattr(Timeouts(**{name: value}), name) == value


@pytest.mark.parametrize("name", [field.name for field in fields(Timeouts)])
def test_a_time_of_another_kind_becomes_a_float(name: str) -> None:
    """As a sum with one of numpy would not be a time that can be waited for, nor an exact one."""
    seconds = getattr(Timeouts(**{name: Fraction(1, 4)}), name)
    assert (seconds, type(seconds)) == (0.25, float)


# ---- A clock that is stopped ----


@pytest.mark.parametrize("cause", ["open", "ping_interval", "pong", "close", "tcp_close", "idle"])
def test_no_deadline_comes_nearer_while_the_clock_is_stopped(cause: str) -> None:
    ws = watched(CLIENT, **{cause: 8.0}) if cause != "pong" else watched(CLIENT, ping_interval=1, pong=8)
    if cause == "open":
        ws.deadlines = Deadlines(Timeouts(open=8), now=ws.now)
    elif cause == "close":
        ws.close()
    elif cause == "tcp_close":
        ws.receive_frame(CLOSE)
    elif cause == "pong":
        ws.wait(1)
    ws.wait(3)
    assert ws.due_in == 5
    ws.deadlines.pause(now=ws.now)
    assert ws.due_in is None
    assert ws.wait(50) == ws.tell_time() == []
    ws.deadlines.pause(now=ws.now)
    ws.wait(50)
    ws.deadlines.resume(now=ws.now)
    assert ws.due_in == 5
    ws.deadlines.resume(now=ws.now + 1000)
    assert ws.due_in == 5


def test_what_begins_while_the_clock_is_stopped_is_watched_from_then_on() -> None:
    ws = watched(SERVER, close=10, tcp_close=2)
    ws.deadlines.pause(now=ws.now)
    ws.wait(7)
    ws.close()
    ws.wait(60)
    ws.deadlines.resume(now=ws.now)
    assert ws.due_in == 10


def test_latency_is_without_the_time_in_which_nobody_listened() -> None:
    ws = watched(CLIENT, ping_interval=20, pong=10)
    ws.wait(20)
    ((_, payload),) = ws.sent()
    ws.wait(1)
    ws.deadlines.pause(now=ws.now)
    ws.wait(30)
    ws.deadlines.resume(now=ws.now)
    ws.wait(1)
    ws.receive_frame(PONG, payload)
    assert ws.deadlines.latency == 2


def test_latency_is_that_of_our_own_ping() -> None:
    ws = watched(CLIENT, ping_interval=20, pong=10)
    ws.wait(20)
    ((_, payload),) = ws.sent()
    ws.connection.ping(b"of the caller")
    ws.wait(2)
    ws.receive_frame(PONG, b"of the caller")
    assert ws.deadlines.latency is None
    assert ws.due_in == 20, "any Pong shows that the peer is there"
    ws.wait(3)
    ws.receive_frame(PONG, payload)
    assert ws.deadlines.latency == 5
    assert ws.due_in == 17
    ws.receive_frame(PONG, payload)
    assert ws.deadlines.latency == 5


# Times in which rounding shows: the caller waits until exactly then, and then it must be due.
ODD_SECONDS = st.floats(min_value=0.001, max_value=1e6)


@given(start=ODD_SECONDS, pauses=st.lists(st.tuples(ODD_SECONDS, ODD_SECONDS), max_size=5))
def test_what_is_waited_for_is_due_then(start: float, pauses: list[tuple[float, float]]) -> None:
    now = start
    deadlines = Deadlines(Timeouts(open=1e7), now=now)
    for before, during in pauses:
        now += before
        deadlines.pause(now=now)
        now += during
        deadlines.resume(now=now)
    at = deadlines.next_deadline()
    assert at is not None
    assert only_closed(deadlines.advance(now=at)).cause is CloseCause.OPEN_TIMEOUT


# ---- Any schedule ----

SECONDS = st.one_of(st.none(), st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.0, 20.0]))
TIMEOUTS = st.builds(
    Timeouts, open=SECONDS, ping_interval=SECONDS, pong=SECONDS, close=SECONDS, tcp_close=SECONDS, idle=SECONDS
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 5.0, 30.0])),
        st.tuples(st.sampled_from(["text", "part", "ping", "answer", "unasked", "my ping", "my text", "nothing"])),
        st.tuples(st.sampled_from(["my close", "close", "end of file", "violation", "pause", "resume"])),
    ),
    max_size=25,
)


def perform(ws: Watched, step: str) -> None:
    role, connection = ws.role, ws.connection
    if step == "text":
        ws.receive_frame(TEXT, b"text")
    elif step == "part":
        # One byte of a Ping at a time, so that each of the other frames may find a frame half there.
        ws.receive(to(role, PING, b"")[:1])
        ws.receive(to(role, PING, b"")[1:])
    elif step == "ping":
        ws.receive_frame(PING, b"ping")
    elif step == "answer":
        for opcode, payload in ws.sent():
            if opcode == PING:
                ws.receive_frame(PONG, payload)
    elif step == "unasked":
        ws.receive_frame(PONG, b"unasked")
    elif step == "close":
        ws.receive_frame(CLOSE, close_payload(1000))
    elif step == "end of file":
        ws.receive(b"")
    elif step == "violation":
        ws.receive(b"\xff" + KEY)
    elif step == "my close":
        ws.close()
    elif step == "pause":
        ws.deadlines.pause(now=ws.now)
    elif step == "resume":
        ws.deadlines.resume(now=ws.now)
    elif step == "my ping" and not connection.closed and connection.sent != 2:
        connection.ping(b"mine")
        ws.tell_time()
    elif step == "my text" and not connection.closed and connection.sent != 2:
        connection.send_text("text")
        ws.tell_time()
    else:
        ws.tell_time()


@BOTH_ROLES
def test_any_schedule(role: Role) -> None:
    """Check that nothing due is left, `Closed` comes at most once, and a peer that has gone silent is given up."""

    @given(timeouts=TIMEOUTS, steps=STEPS)
    def run(timeouts: Timeouts, steps: list[Any]) -> None:
        ws = Watched(role, timeouts)
        for step, *seconds in steps:
            if step == "wait":
                ws.wait(seconds[0])
            else:
                perform(ws, step)
            ends = [event for event in ws.events if isinstance(event, Closed)]
            assert len(ends) == ws.connection.closed
        ws.deadlines.resume(now=ws.now)
        ws.wait(100)
        assert sum(isinstance(event, Closed) for event in ws.events) == ws.connection.closed
        if is_watched(timeouts, ws.connection):
            assert ws.connection.closed
        if ws.connection.closed and timeouts.tcp_close is not None:
            assert ws.connection.finished
        if ws.connection.finished:
            assert ws.connection.must_close
            assert ws.due_in is None

    run()


def is_watched(timeouts: Timeouts, connection: Connection) -> bool:
    """Whether the silence of the peer must end the connection."""
    if connection.sent == 2:
        return timeouts.close is not None
    return timeouts.idle is not None or (timeouts.ping_interval is not None and timeouts.pong is not None)


@given(timeouts=TIMEOUTS, waits=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 5.0, 30.0]), max_size=10))
def test_any_schedule_before_the_connection_is_open(timeouts: Timeouts, waits: list[float]) -> None:
    deadlines = Deadlines(timeouts, now=START)
    events: list[Event] = []
    now = START
    for seconds in waits:
        now += seconds
        events += deadlines.advance(now=now)
        at = deadlines.next_deadline()
        assert at is None or at > now
    is_late = timeouts.open is not None and now >= START + timeouts.open and bool(waits)
    assert len(events) == is_late
