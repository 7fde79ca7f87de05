"""Deadlines over a connection: time as data. The clock is an argument, and no time passes in here.

A caller asks `Deadlines.next_deadline` how long it may wait, and calls `Deadlines.advance` with the time after each
wait, read or close. What is due happens in that call: a Ping is queued, or the connection ends with a `Closed` event
that says which deadline it was. Any clock in seconds that does not go back will do, such as ``time.monotonic()``.

Each deadline is a number that is set when its cause is first seen, and never moved by traffic: a peer that dribbles
cannot delay a close. Only the caller moves them, who may stop the clock for as long as it does not listen.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .codes import CloseCause, CloseCode
from .connection import Connection
from .events import Closed, Event
from .state import ConnectionState


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for the peer, in seconds; ``None`` for ever.

    :param open: for the opening handshake, from the beginning. 10 s, as websockets; browsers give no handshake up
        before 20 s, but a server keeps the socket.
    :param ping_interval: from the last Ping that was answered to the next one. 20 s keeps it below the 30 to 60 s
        after which the usual proxies drop a connection without traffic.
    :param pong: for the Pong to a Ping. 20 s, as websockets; enough for a lost packet's retransmissions.
    :param close: for the peer's Close frame after ours. 10 s, as websockets.
    :param tcp_close: for the peer to end TCP when the connection is closed (7.1.1): at a client for the server, whose
        turn it is; where it is this side's turn, for the peer to take the last bytes and to say that it sends no more.
        2 s: nothing depends on it, and a peer that is alive needs one round trip.
    :param idle: for any byte at all from the peer. Off by default; of little use together with Pings.
    :raises ValueError: when one is neither over 0 nor ``None``.

    >>> rfc6455.Timeouts(ping_interval=30.0, tcp_close=None)
    Timeouts(open=10.0, ping_interval=30.0, pong=20.0, close=10.0, tcp_close=None, idle=None)
    """

    open: float | None = 10.0
    ping_interval: float | None = 20.0
    pong: float | None = 20.0
    close: float | None = 10.0
    tcp_close: float | None = 2.0
    idle: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f"Timeouts.{field.name} must be a number of seconds over 0 or None, not {value!r}")


# What ends the connection when it is due, and how that is called.
_FATAL = {
    "tcp_close": CloseCause.CLOSE_TIMEOUT,
    "close": CloseCause.CLOSE_TIMEOUT,
    "pong": CloseCause.PONG_TIMEOUT,
    "idle": CloseCause.IDLE_TIMEOUT,
}


class Deadlines:
    """Watches the time for one connection, from its opening handshake on.

    :param timeouts: how long to wait for what; ``None`` for the defaults of `Timeouts`.
    :param now: the time at which the connection began (TCP was there), in seconds.

    >>> deadlines, ws = rfc6455.Deadlines(now=100.0), rfc6455.Connection(rfc6455.SERVER)
    >>> deadlines.opened(ws, now=101.0)
    >>> deadlines.next_deadline()
    121.0
    >>> deadlines.advance(now=121.0)
    []
    >>> ws.data_to_send().hex(" ")
    '89 01 31'
    >>> (closed,) = deadlines.advance(now=141.0)
    >>> closed.reason
    'the peer did not answer a Ping in time'
    """

    def __init__(self, timeouts: Timeouts | None = None, now: float = 0.0) -> None:
        self.timeouts: Timeouts = timeouts or Timeouts()
        #: How long the last Pong took, in seconds; ``None`` before the first.
        self.latency: float | None = None
        self._connection: Connection | None = None
        # When what is awaited is due, by the name of its field in `Timeouts`.
        self._due: dict[str, float] = {}
        self._paused_at: float | None = None
        self._pinged_at = now
        self._ping_payload: bytes | None = None
        self._pings = 0
        self._pongs_seen = 0
        self._bytes_seen = 0
        self._await("open", now)

    def opened(self, connection: Connection, now: float) -> None:
        """Tells that the opening handshake is done.

        :param connection: what is watched from now on.
        :param now: the time in seconds.
        """
        now = self._clock(now)
        self._connection = connection
        self._due.clear()
        self._await("ping_interval", now)
        self._await("idle", now)
        self._bytes_seen = connection.bytes_received

    def next_deadline(self) -> float | None:
        """The time, in seconds of the caller's clock, at which `advance` should be called at the latest; ``None`` when
        nothing is awaited, or while the clock is stopped by `pause`."""
        return min(self._due.values(), default=None) if self._paused_at is None else None

    def advance(self, now: float) -> list[Event]:
        """Tells the time. Call it after each read, each close and each wait; then send what `Connection` has to send.

        After a read that left something `unread <Connection.unread>` go on with that first: the Pong that is waited
        for may be in it.

        :param now: the time in seconds.
        :returns: the `Closed` event when a deadline has ended the connection, else nothing.
        """
        now = self._clock(now)
        connection = self._connection
        if connection is None:
            return self._advance_opening(now)
        self._observe(connection, now)
        for name, cause in _FATAL.items():
            if self._is_due(name, now):
                events = connection.time_out(cause)
                self._observe_closed(connection, now)
                return events
        if self._is_due("ping_interval", now):
            self._ping(connection, now)
        return []

    def pause(self, now: float) -> None:
        """Stops the clock: no deadline comes nearer until `resume`. For a caller that does not listen to the peer for
        a while, because what comes could not be passed on: a Pong that is not read is not late.

        Whoever can make the caller pause can make it wait for ever, so pause for the sake of others than this peer.

        :param now: the time in seconds. A second call changes nothing.
        """
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """Lets the clock go on after `pause`; without one, it changes nothing.

        :param now: the time in seconds.

        >>> deadlines = rfc6455.Deadlines(now=100.0)
        >>> deadlines.pause(now=103.0)
        >>> deadlines.resume(now=163.0)
        >>> deadlines.next_deadline()
        170.0
        """
        if self._paused_at is None:
            return
        # The deadlines are moved, and not the time that is told: what a caller is told to wait for must be due then,
        # and (at + pause) - pause may be less than at.
        pause = now - self._paused_at
        self._paused_at = None
        self._pinged_at += pause
        self._due = {name: at + pause for name, at in self._due.items()}

    def _clock(self, now: float) -> float:
        return now if self._paused_at is None else self._paused_at

    def _await(self, name: str, now: float) -> None:
        seconds = getattr(self.timeouts, name)
        if seconds is not None:
            self._due[name] = now + seconds

    def _is_due(self, name: str, now: float) -> bool:
        return name in self._due and now >= self._due[name]

    def _advance_opening(self, now: float) -> list[Event]:
        if not self._is_due("open", now):
            return []
        self._due.clear()
        cause = CloseCause.OPEN_TIMEOUT
        return [Closed(CloseCode.ABNORMAL_CLOSURE, cause.value, False, None, cause)]

    def _observe(self, connection: Connection, now: float) -> None:
        """Sets and clears deadlines by what has happened since the last call."""
        if connection.closed:
            self._observe_closed(connection, now)
        elif connection.state is ConnectionState.CLOSING:
            # 7.1.2: the closing handshake has begun, and only its deadline counts.
            self._await_only("close", now)
        else:
            self._observe_traffic(connection, now)
            self._observe_pong(connection, now)

    def _observe_closed(self, connection: Connection, now: float) -> None:
        if connection.over:
            self._due.clear()
        else:
            self._await_only("tcp_close", now)

    def _await_only(self, name: str, now: float) -> None:
        """From when it is first seen; what comes after that does not move it."""
        if name not in self._due:
            self._due.clear()
            self._ping_payload = None
            self._await(name, now)

    def _observe_traffic(self, connection: Connection, now: float) -> None:
        if connection.bytes_received != self._bytes_seen and "idle" in self._due:
            self._bytes_seen = connection.bytes_received
            self._await("idle", now)

    def _observe_pong(self, connection: Connection, now: float) -> None:
        """Any Pong shows that the peer is there; only the one to our own Ping tells how long it took."""
        if connection.pongs_received == self._pongs_seen:
            return
        self._pongs_seen = connection.pongs_received
        if connection.last_pong == self._ping_payload:
            self.latency = now - self._pinged_at
            self._ping_payload = None
        if self._due.pop("pong", None) is not None:
            self._await("ping_interval", now)

    def _ping(self, connection: Connection, now: float) -> None:
        self._pings += 1
        self._ping_payload = b"%d" % self._pings
        connection.ping(self._ping_payload)
        self._pinged_at = now
        del self._due["ping_interval"]
        self._await("pong", now)
        if "pong" not in self._due:
            # Where no Pong is demanded, Pings go on without one.
            self._await("ping_interval", now)
