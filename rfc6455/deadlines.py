"""Deadlines of a connection: time as data. The clock is an argument, and nothing in here waits.

A caller asks `Deadlines.next_deadline` how long it may wait, and calls `Deadlines.advance` with the time after each
wait, read or close. Whatever is due happens in that call: a Ping is queued, or the connection ends with a `Closed`
event that says which deadline has passed. Any clock in seconds that never goes backwards will do, such as
``time.monotonic()``.

Each deadline is a number that is set when its cause is first seen. ``open``, ``body``, ``close`` and ``tcp_close`` are
absolute: no traffic moves them, so a peer cannot postpone the end by sending a byte now and then. ``pong`` and
``idle`` ask whether the peer is alive. If the caller is late, because its loop was busy or its process was suspended,
the answer may already be in the socket. So a deadline that is noticed late falls due once more, immediately: the
caller reads again, and only then is the peer given up. A caller that does not read for a while stops the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from numbers import Real
from typing import ClassVar

from .arguments import check_type
from .codes import CloseCause, CloseCode
from .connection import Connection
from .events import Closed, Event
from .state import ConnectionState
from .values import State

# A peer in the middle of a large frame cannot insert a Pong into it (5.4). If at least this much of the frame has
# arrived since the last check, the peer is alive, and its Pong is awaited for another period.
ALIVE_IN_FRAME = 16 << 10


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for the peer, in seconds; ``None`` means for ever.

    :param open: for the opening handshake, from the beginning. 10 s, as in websockets; browsers wait at least 20 s,
        but a server has to keep the socket open for that time.
    :param ping_interval: from the last Ping that was answered to the next one. 20 s is below the 30 to 60 s after
        which common proxies drop a connection without traffic.
    :param body: for the body of an answer that refuses the handshake, from the end of its head. 2 s: the status is
        already known, and an explanation is not worth a long wait.
    :param pong: for the Pong to a Ping. 20 s, as in websockets; enough for the retransmissions of a lost packet.
    :param close: for the peer's Close frame after ours. 10 s, as in websockets.
    :param tcp_close: for the peer to end TCP after the connection has closed (7.1.1): a client waits for the server,
        whose turn it is; the side whose turn it is waits for the peer to take the last bytes and to end its stream. 2
        s: nothing depends on it, and a live peer needs one round trip.
    :param idle: for any data from the peer. Off by default, since it adds little to Pings.
    :raises ValueError: when a value is neither a number greater than 0 nor ``None``.

    With ``Timeouts.NONE``, there are no timeouts at all.

    >>> rfc6455.Timeouts(ping_interval=30.0, tcp_close=None)
    Timeouts(open=10.0, body=2.0, ping_interval=30.0, pong=20.0, close=10.0, tcp_close=None, idle=None)
    """

    NONE: ClassVar[Timeouts]

    open: float | None = 10.0
    body: float | None = 2.0
    ping_interval: float | None = 20.0
    pong: float | None = 20.0
    close: float | None = 10.0
    tcp_close: float | None = 2.0
    idle: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value: float | None = getattr(self, field.name)
            if value is None:
                continue
            # Real alone would be enough, but checking for an abstract class takes longer.
            if not (isinstance(value, (int, float, Real)) and value > 0):
                raise ValueError(f"Timeouts.{field.name} must be a number of seconds over 0 or None, not {value!r}")
            if not isinstance(value, (int, float)):
                # Such as numpy's: adding a float32 to the time would round the sum to a float32.
                object.__setattr__(self, field.name, float(value))


Timeouts.NONE = Timeouts(**dict.fromkeys([field.name for field in fields(Timeouts)]))

_DEFAULT_TIMEOUTS = Timeouts()

# The deadlines that end the connection when they are due, and the cause that is then reported.
_FATAL = {
    "tcp_close": CloseCause.CLOSE_TIMEOUT,
    "close": CloseCause.CLOSE_TIMEOUT,
    "pong": CloseCause.PONG_TIMEOUT,
    "idle": CloseCause.IDLE_TIMEOUT,
}
_ASK_WHETHER_ALIVE = ("pong", "idle")


class Deadlines(State):
    """The deadlines of one connection, from its opening handshake on.

    :param timeouts: how long to wait for the peer; ``None`` for the defaults of `Timeouts`.
    :param now: the time at which the TCP connection was made, in seconds of the caller's clock.

    :ivar timeouts: the `Timeouts`.
    :ivar latency: how long the last Pong took to arrive, in seconds; ``None`` before the first one.

    >>> deadlines, ws = rfc6455.Deadlines(now=100.0), rfc6455.Connection(rfc6455.SERVER)
    >>> deadlines.opened(ws, now=101.0)
    >>> deadlines.next_deadline()
    121.0
    >>> deadlines.advance(now=121.0)
    []
    >>> ws.data_to_send().hex(" ")
    '89 01 31'
    >>> (closed,) = deadlines.advance(now=141.0)
    >>> print(closed)
    the peer did not answer a Ping in time
    """

    # The attributes of the compiled class.
    __slots__ = (
        *("timeouts", "latency", "_connection", "_itself", "_due", "_soonest", "_paused_at", "_milestones_seen"),
        *("_pinged_at", "_ping_payload", "_pings", "_pongs_seen", "_bytes_seen", "_pong_bytes", "_looked_at"),
        *("_gave_up_tcp", "_has_idle", "__weakref__"),
    )

    def __init__(self, timeouts: Timeouts | None = None, *, now: float) -> None:
        if timeouts is not None:
            check_type(timeouts, Timeouts, "timeouts is None or a Timeouts, such as Timeouts(open=5.0)")
        self.timeouts: Timeouts = _DEFAULT_TIMEOUTS if timeouts is None else timeouts
        self.latency: float | None = None
        self._connection: Connection | None = None
        self._itself: Connection | None = None  # the same, even if another object stands in for it
        # The time at which each deadline is due, by the name of its field in `Timeouts`, and the earliest of these.
        self._due: dict[str, float] = {}
        self._soonest = inf
        self._paused_at: float | None = None
        # As long as the connection's count is the same, nothing has happened on which a deadline depends.
        self._milestones_seen = -1
        self._has_idle = self.timeouts.idle is not None
        self._pinged_at = now
        self._ping_payload: bytes | None = None
        self._pings = self._pongs_seen = 0
        # The number of bytes received when `idle` was last set, when `pong` was, and when one of them was found late.
        self._bytes_seen = self._pong_bytes = 0
        self._looked_at: dict[str, int] = {}
        self._gave_up_tcp = False
        self._await("open", now)

    def opened(self, connection: Connection, *, now: float) -> None:
        """Note that the opening handshake is complete.

        :param connection: the connection to watch from now on.
        :param now: the time, in seconds of the caller's clock.
        """
        now = self._clock(now)
        self._itself = connection._unwrapped()
        self._connection = connection
        self._forget_all()
        self._bytes_seen = connection.bytes_received
        self._milestones_seen = -1
        self._await("ping_interval", now)
        self._await("idle", now)

    def next_deadline(self) -> float | None:
        """Return the time, in seconds of the caller's clock, by which `advance` should be called again; ``None`` if
        there is no deadline, or while the clock is stopped by `pause`."""
        return None if self._soonest == inf or self._paused_at is not None else self._soonest

    def advance(self, *, now: float) -> list[Event]:
        """Note the time, and do what is due. Call this after each read, each close and each wait; then send what the
        `Connection` has queued.

        If a read has left something `unread <Connection.unread>`, process that first: it may contain the Pong.

        :param now: the time, in seconds of the caller's clock.
        :returns: the `Closed` event if a deadline has ended the connection, otherwise an empty list.
        """
        return self._advance(now) or []

    def _advance(self, now: float) -> list[Event] | None:
        """Do what `advance` does, but return ``None`` rather than an empty list, so that no list is made each time."""
        if self._paused_at is not None:
            now = self._paused_at
        connection, itself = self._connection, self._itself
        if connection is None or itself is None:
            return self._advance_opening(now)
        if now < self._soonest and itself._milestones == self._milestones_seen and not self._has_idle:
            return None
        self._observe(connection, now)
        events = self._end_what_is_due(connection, now)
        if not events and self._is_due("ping_interval", now):
            self._ping(connection, now)
        return events

    def pause(self, *, now: float) -> None:
        """Stop the clock, so that no deadline comes nearer until `resume` is called. This is for a caller that does
        not read from the peer for a while because it cannot pass on what arrives: a Pong that nobody reads is not
        late.

        A peer that can make the caller pause can make it wait for ever, so never pause because of the peer itself.

        :param now: the time, in seconds of the caller's clock. A second call changes nothing.
        """
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, *, now: float) -> None:
        """Restart the clock after `pause`. Without a `pause` before it, this changes nothing.

        :param now: the time, in seconds of the caller's clock.

        >>> deadlines = rfc6455.Deadlines(now=100.0)
        >>> deadlines.pause(now=103.0)
        >>> deadlines.resume(now=163.0)
        >>> deadlines.next_deadline()
        170.0
        """
        if self._paused_at is None:
            return
        # The deadlines are moved rather than the time: a deadline must be due at exactly the time for which the caller
        # is told to wait, and (at + pause) - pause may be less than at.
        pause = now - self._paused_at
        self._paused_at = None
        self._pinged_at += pause
        self._due = {name: at + pause for name, at in self._due.items()}
        self._soonest += pause

    def _clock(self, now: float) -> float:
        return now if self._paused_at is None else self._paused_at

    # The deadlines that are set.

    def _await(self, name: str, now: float) -> None:
        seconds = getattr(self.timeouts, name)
        self._looked_at.pop(name, None)
        if seconds is not None:
            self._set(name, now + seconds)

    def _set(self, name: str, at: float) -> None:
        self._due[name] = at
        self._soonest = min(self._due.values())

    def _forget(self, name: str) -> bool:
        """Stop waiting for this, and return whether it was awaited."""
        was_awaited = self._due.pop(name, None) is not None
        self._looked_at.pop(name, None)
        self._soonest = min(self._due.values(), default=inf)
        return was_awaited

    def _forget_all(self) -> None:
        self._due.clear()
        self._looked_at.clear()
        self._soonest = inf
        self._ping_payload = None

    def _await_only(self, name: str, now: float) -> None:
        """Wait only for this, from the time when it is first seen. Nothing that happens later moves the deadline."""
        if name not in self._due:
            self._forget_all()
            self._await(name, now)

    def _is_due(self, name: str, now: float) -> bool:
        return name in self._due and now >= self._due[name]

    # The opening handshake.

    def _advance_opening(self, now: float) -> list[Event]:
        if not (self._is_due("open", now) or self._is_due("body", now)):
            return []
        self._forget_all()
        return [Closed(CloseCode.ABNORMAL_CLOSURE, "", False, None, CloseCause.OPEN_TIMEOUT)]

    def _await_body(self, now: float) -> None:
        """Wait for the body that explains why the handshake was refused."""
        if "body" not in self._due:
            self._await("body", self._clock(now))

    def _opening_failed(self, eof: bool, now: float) -> None:
        """Note that there will be no connection, and wait only for the end of TCP, unless TCP has already ended."""
        if eof:
            self._forget_all()
        elif not self._gave_up_tcp:
            self._await_only("tcp_close", self._clock(now))
            if self._is_due("tcp_close", self._clock(now)):
                self._gave_up_tcp = True
                self._forget_all()

    # The connection.

    def _observe(self, connection: Connection, now: float) -> None:
        """Set and clear deadlines according to what has happened since the last call."""
        self._milestones_seen = connection._milestones
        if connection.closed:
            self._observe_closed(connection, now)
        elif connection.state is ConnectionState.CLOSING:
            # 7.1.2: the closing handshake has begun, so only its deadline counts.
            self._await_only("close", now)
        else:
            if self._has_idle and connection.bytes_received != self._bytes_seen:
                self._bytes_seen = connection.bytes_received
                self._await("idle", now)
            self._observe_pong(connection, now)

    def _observe_closed(self, connection: Connection, now: float) -> None:
        self._has_idle = False
        if connection.finished:
            self._forget_all()
        else:
            self._await_only("tcp_close", now)

    def _observe_pong(self, connection: Connection, now: float) -> None:
        """Note a Pong. Any Pong shows that the peer is there, but only that for our own Ping measures the latency."""
        if connection.pongs_received == self._pongs_seen:
            return
        self._pongs_seen = connection.pongs_received
        if connection.last_pong == self._ping_payload:
            self.latency = now - self._pinged_at
            self._ping_payload = None
        if self._forget("pong"):
            self._await("ping_interval", now)

    def _end_what_is_due(self, connection: Connection, now: float) -> list[Event]:
        for name, cause in _FATAL.items():
            if self._is_due(name, now) and not self._looks_once_more(name, connection, now):
                events = connection._time_out(cause)
                self._observe_closed(connection, now)
                return events
        return []

    def _looks_once_more(self, name: str, connection: Connection, now: float) -> bool:
        """Return whether a peer that seems to be gone may still be alive; see the top of the file."""
        if name not in _ASK_WHETHER_ALIVE:
            return False
        received = connection.bytes_received
        if name == "pong" and min(connection._frame_received, received - self._pong_bytes) >= ALIVE_IN_FRAME:
            self._await_pong(connection, now)
            return True
        if name not in self._looked_at:
            is_late = now > self._due[name]
            if is_late:
                self._looked_at[name] = received
                self._set(name, now)
            return is_late
        if received == self._looked_at[name]:
            return False
        self._await(name, now)
        return True

    def _ping(self, connection: Connection, now: float) -> None:
        self._pings += 1
        self._ping_payload = b"%d" % self._pings
        connection.ping(self._ping_payload)
        self._pinged_at = now
        self._forget("ping_interval")
        self._await_pong(connection, now)
        if "pong" not in self._due:
            # If no Pong is required, the next Ping does not wait for one.
            self._await("ping_interval", now)

    def _await_pong(self, connection: Connection, now: float) -> None:
        self._pong_bytes = connection.bytes_received
        self._await("pong", now)
