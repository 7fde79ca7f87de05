"""One connection on asyncio: a transport, an `rfc6455.Endpoint`, a timer, and the callbacks that they trigger.

What lives here: `Driver`, the protocol that asyncio calls, and `Listener`, which it calls in turn. Not here: how
connections are made (`_asyncio_server.py`, `_asyncio_client.py`), and coroutines (`_asyncio_websocket.py`).

The law: everything is a plain call, and nothing awaits. The input of one read is handled in one go and answered with
one write. There are four reasons to stop earlier, and leave the rest in the endpoint: the loop's other work, after a
bounded amount of ours; a listener that wants no more for now; a peer that does not read its messages; an exception.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Protocol

import rfc6455
from rfc6455 import Closed, Endpoint, Pong, Request, Response
from rfc6455._signatures import SIGNATURE

from ._known import Known, log_failure
from ._messages import ANSWER, FAREWELL, HEADER, HIGH_WATER, Part, Sendable

# The amount of work before the loop's other tasks get their turn: each event counts 1, and each KiB of a message 1
# more. This many empty messages take a few milliseconds; a read of 256 KiB can contain 40,000 of them.
WORK_AT_ONCE = 1000

# CVE-2024-12254: asyncio's writelines() did not tell the protocol to pause, however much data was waiting.
FORGETS_TO_PAUSE = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)

# Before 3.12, asyncio joins the buffers that writelines() gets. From about this size on, it costs less to pass them
# one by one: with the message and the joined copy alive, malloc() returns memory to the system after each message.
JOINING_WRITELINES = asyncio.WriteTransport.writelines
LEAST_UNJOINED = 128 << 10


class Listener(Known):
    """A connection with callbacks, which is the fastest way: derive a class, and pass it to `serve` or `connect`.

    The callbacks do nothing by default; define those that you need. They must not block. If a callback raises an
    exception, that is logged, and the connection ends with 1011 (7.4.1). What a callback sends is written when all the
    input of one read has been handled; what is sent from elsewhere in the loop's thread is written immediately.
    `opened` is the first callback; before it, as in ``__init__``, a listener has no connection.

    If a peer does not read, reading from it stops as soon as the equivalent of one message of the maximum size
    (``Limits.message``) is waiting for it, in addition to what the transport buffers anyway. So a listener that sends
    one answer to each message does not have to do anything about slow peers.

    >>> class Echo(Listener):
    ...     def message(self, message):
    ...         self.send(message)
    """

    __signature__ = SIGNATURE

    __slots__ = ("__weakref__", "_driver")

    _driver: Driver

    # Callbacks.

    def opened(self, head: Request | Response) -> None:
        """Called when the connection is open.

        :param head: on a server, the client's request; on a client, the server's answer.
        """

    def message(self, message: str | bytes) -> None:
        """Called with each message: `str` for text, `bytes` for binary."""

    def part(self, part: Part) -> None:
        """Called with each part of a message if the option ``parts=True`` is set; with ``decode_text=False``, also
        called with whole texts as bytes."""

    def pong(self, payload: bytes) -> None:
        """Called with the payload of each Pong, solicited or not (5.5.3)."""

    def writable(self) -> None:
        """Called after `send` has returned ``False``, as soon as the peer has read most of what was waiting for it."""

    def closed(self, closed: Closed) -> None:
        """Called once, as the last callback, when the connection has ended, if `opened` was called before.

        :param closed: why it ended; ``str(closed)`` is a sentence for a log.
        """

    def _message(self, message: str | bytes) -> None:
        self.message(message)

    def _after_read(self) -> None:
        """Called after the events of one read."""

    def _cut_off(self) -> None:
        """Called when the connection has ended, but earlier messages, and so `closed`, are held up by `pause`."""

    def _gone(self) -> None:
        """Called when both the connection and TCP have ended."""

    # For listeners.

    @property
    def is_writable(self) -> bool:
        """Whether more should be sent, that is, whether at most 64 KiB are waiting to be written."""
        return self._driver.can_write

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return information about the transport, such as ``"peername"`` or ``"ssl_object"``: see
        ``asyncio.BaseTransport.get_extra_info``."""
        return self._driver.transport.get_extra_info(name, default)

    def send(self, message: Sendable, *, fin: bool = True, compress: bool | None = None) -> bool:
        """Send a message, or a fragment of one. It is never refused for lack of space, but waits in memory.

        :param message: `str` is sent as text, bytes as binary, and a `rfc6455.PreparedMessage` as it was prepared.
        :param fin: ``False`` if more fragments of this message follow (5.4).
        :param compress: as for `rfc6455.Connection.send_text`.
        :returns: whether more should be sent now. If it is ``False``, wait for `writable`.
        :raises rfc6455.ConnectionClosedError: when the connection has ended.
        :raises rfc6455.LocalProtocolError: when this side has closed it.
        :raises TypeError: when the message is anything else.
        """
        driver = self._driver
        driver.queue(message, fin, compress)
        if not driver.is_busy or (driver._unsent >= HIGH_WATER and driver.can_write):
            driver.write()  # even in a callback, as a callback that goes on sending would never be told to stop
        return driver.can_write

    def ping(self, payload: bytes = b"") -> None:
        """Send a Ping (5.5.2); `pong` is called with the Pong. The keepalive of `rfc6455.Timeouts` sends its Pings by
        itself.

        :param payload: at most 125 bytes.
        :raises rfc6455.LocalProtocolError: as `send`, or when the payload is longer.
        """
        self._driver.ping(payload)

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Begin the closing handshake (7.1.2); `closed` is called at its end. Until then, messages may still arrive.
        This may be called at any time and more than once.

        :param code: the close code; ``None`` for a Close frame without one.
        :param reason: for people and logs, at most 123 bytes of UTF-8.
        :raises rfc6455.LocalProtocolError: for a code that must not be sent (7.4).
        """
        self._driver.close(code, reason)

    def abort(self) -> None:
        """Cut the connection without a closing handshake. The peer sees 1006, and so does `closed`, with the cause
        ``ABORTED``."""
        self._driver.abort()

    def pause(self) -> None:
        """Stop receiving messages for now: reading stops, so the peer has to wait. The keepalive is stopped as well,
        unless the peer is not reading what it is sent."""
        self._driver.hold()

    def resume(self) -> None:
        """Receive messages again after `pause`."""
        self._driver.release()


class Owner(Protocol):
    """The part that differs between a server and a client."""

    timeouts: rfc6455.Timeouts | None

    def begin(self, driver: Driver) -> rfc6455.ServerHandshake | rfc6455.ClientHandshake:
        """Return the handshake, once TCP, and TLS if it is used, are open."""

    def requested(self, driver: Driver, request: Request) -> None:
        """Accept or reject a request that has arrived, now or later."""

    def opened(self, driver: Driver, response: Response) -> None:
        """Called when the server has opened the connection."""

    def closed(self, driver: Driver, closed: Closed) -> None:
        """Called when the connection has ended, or the opening handshake has failed."""

    def gone(self, driver: Driver) -> None:
        """Called when both the connection and TCP have ended."""


class Driver:
    """The protocol of one connection, for `asyncio.loop.create_server` and ``create_connection``.

    It is not derived from `asyncio.Protocol`: a compiled class can only be derived from compiled ones.
    """

    __slots__ = (
        *("transport", "endpoint", "connection", "listener", "loop", "can_write", "has_write_due", "is_closing"),
        *("is_gone", "is_held", "is_cut_off", "is_busy", "lost", "_owner", "_time", "_timer", "_timer_at"),
        *("_is_waiting", "_is_flooded", "_is_deaf", "_is_ending", "_has_ended", "_unsent", "_has_eof"),
        *("_is_hung_up", "_target", "_write", "_joins", "is_answer_due", "_answer_until"),
    )

    transport: asyncio.Transport
    endpoint: Endpoint
    connection: rfc6455.Connection  # the endpoint's, from `opened` on; messages are sent on it directly

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self.loop = loop
        self.listener: Listener | None = None
        self.can_write: bool = True
        self.is_closing: bool = False  # whether close() was called
        self.is_cut_off: bool = False  # whether nothing can be sent, although the listener was not told of the end
        self.is_held: bool = False  # whether the listener has paused
        self.is_answer_due: bool = False  # whether it has paused because the end waits for an answer to a message
        self._answer_until: float | None = None
        self.lost: bool = False  # whether TCP has ended
        self.is_gone: bool = False  # whether both the connection and TCP have ended
        self._owner = owner
        self._time: Callable[[], float] = loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf  # when `_tick` will be called: -inf for right after the next read, inf for never
        self.is_busy = False  # whether events are being handled by a caller of this code
        self._is_waiting = False  # whether `_go_on` will be called
        self._is_flooded = False  # whether reading has stopped because too much data waits to be written
        self._is_deaf = False  # whether reading has stopped
        self._is_ending = False  # whether this side has ended its stream
        self._unsent = 0  # the size of the data queued since the last write
        self.has_write_due: bool = False  # whether the loop will write the queued data
        self._has_eof = self._is_hung_up = self._has_ended = False  # the last: the listener was told of the end
        # The receiver of messages: the listener, until it has failed or has been told of the end.
        self._target: Listener | None = None

    # Called by asyncio.

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._write = transport.write
        self._joins = type(transport).writelines is JOINING_WRITELINES
        self.endpoint = Endpoint(self._owner.begin(self), self._owner.timeouts, now=self._time())
        self._settle()

    def data_received(self, data: bytes | None) -> None:
        """Process input, and call the listener for the events, as far as possible for now.

        :param data: ``None`` when nothing new was read.
        """
        self.is_busy = True
        target = self._target
        left = WORK_AT_ONCE
        is_stopped = self.is_held or self._is_flooded
        # Whether anything other than messages may have arrived, which may bring a deadline nearer.
        is_changed = is_stopped or not data or target is None
        try:
            self.endpoint._receive(data, self._time())
            while not is_stopped and (event := self.endpoint._next_event()) is not None:
                left -= 1
                if target is not None and (type(event) is bytes or type(event) is str):
                    target._message(event)
                    left -= len(event) >> 10
                else:
                    self._handle_other(event)
                    target = self._target
                    is_changed = True
                if (left <= 0 or self.is_held or self._unsent >= HIGH_WATER) and self._must_stop(left):
                    is_changed = True
                    break
        except (Exception, asyncio.CancelledError):  # the latter is raised by the result of a cancelled task
            self._failed()
        if not is_changed and self.listener is not None:
            self.listener._after_read()  # the answers of a task are part of the same write
        self.is_busy = False
        if is_changed or self.is_closing:
            self._settle()
        elif self._unsent:
            self.write()  # messages bring no deadline nearer, so nothing else has to be done
        if is_changed and self.listener is not None:
            self.listener._after_read()  # a task that is told of the end finds the peer's Close answered

    def eof_received(self) -> bool:
        """Return whether this side can still send: with TLS it cannot."""
        self._end_of_stream()
        return self.transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = self.can_write = True
        if self._is_flooded:
            self._is_flooded = False
            self._go_on_soon()
        self._stop_timer()
        # Python 3.10's TLS warns of a transport that was not closed, even if the peer closed it.
        self.transport.close()
        self._end_of_stream()
        if self.is_held:
            self._cut_off()
        self._tell_gone()

    def pause_writing(self) -> None:
        self.can_write = False
        if self.is_held:
            self._set_clock()
            self._set_timer()

    def resume_writing(self) -> None:
        self.can_write = True
        if self.is_held:
            self._set_clock()
        if self._is_flooded:
            self._is_flooded = False
            self._go_on_soon()
        if self._target is not None:
            self._call(self._target.writable)
        if not self.is_busy:
            self._settle()

    # Called by the listener and the owner.

    def queue(self, message: Sendable, fin: bool = True, compress: bool | None = None) -> None:
        """Queue a message in the endpoint until something is written."""
        self._unsent += HEADER + self.endpoint._send_message(message, fin, compress)

    def ping(self, payload: bytes) -> None:
        self.connection.ping(payload)
        self._unsent += HEADER + len(payload)
        if not self.is_busy:
            self.write()

    def write_later(self) -> None:
        """Write after the events of this read or in the loop's next iteration, or as soon as there is enough data for
        a separate write."""
        if self._unsent >= HIGH_WATER:
            self.write()
        elif not self.is_busy and not self.has_write_due:
            self.has_write_due = True
            self.loop.call_soon(self.write)

    def close(self, code: int | None, reason: str = "") -> None:
        self.endpoint.close(code, reason)
        self.is_closing = True
        if not self.is_busy:
            # The Close frame is written now. Everything that follows from it is left to the loop.
            self.write()
            self._go_on_soon()
        self.is_answer_due = False
        self.release()

    def abort(self) -> None:
        self.endpoint.abort()
        self.transport.abort()

    def hold(self) -> None:
        """Stop calling the listener, and stop reading, unless this side is closing, as the peer's answer comes after
        the unread input."""
        if not self.is_held and not self.is_closing and self.endpoint.end is None:
            self.is_held = True
            self._set_clock()
            self._read_or_not()

    def release(self) -> None:
        if self.is_held and not self.is_answer_due:
            self.is_held = False
            self.endpoint.resume(now=self._time())
            self._go_on_soon()

    def await_answer(self) -> None:
        """Hold back the end of the connection, which is known, until the messages before it can be answered."""
        if self.is_held or self.is_closing:
            return
        if self._answer_until is None:
            self._answer_until = self._time() + ANSWER
            self.loop.call_at(self._answer_until, self.end_answer)
        self.is_held = self.is_answer_due = self._time() < self._answer_until

    def end_answer(self) -> None:
        """Go on after `await_answer`, as there is nothing to answer, or no more time for it."""
        if self.is_answer_due:
            self.is_answer_due = False
            self.release()

    def opened(self, listener: Listener, head: Request | Response) -> None:
        """Begin to call the listener."""
        self.connection = self.endpoint.connection  # type: ignore[assignment]
        self.endpoint._report_bare()
        listener._driver = self
        self.listener = self._target = listener
        self._call(partial(listener.opened, head))

    def answered(self) -> None:
        """Go on after a request was accepted or rejected."""
        if not self.is_busy:
            self.data_received(None)

    # Events.

    def _end_of_stream(self) -> None:
        if not self._has_eof:
            self._has_eof = True
            self.data_received(b"")

    def _go_on_soon(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_waiting = False
        self.data_received(None)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, inf
        due = self._next_deadline()
        if due is None or due > self._time():
            self._settle()
        elif self._is_flooded or self.is_held:
            self._tell_time()
        elif not self.lost:
            self.data_received(None)

    def _tell_time(self) -> None:
        """Only note the time, while the peer does not read and the endpoint's events have to wait."""
        self.endpoint.advance(now=self._time())
        if self.endpoint.closed and not self._has_ended:
            self._end_while_held_up()
        self._settle()

    def _end_while_held_up(self) -> None:
        connection = self.endpoint.connection
        if connection is not None and connection.finished:
            self.transport.abort()  # the peer's time to read the rest has passed as well
            return
        self._is_flooded = False
        if self.is_held and not self.is_answer_due:
            self._cut_off()
        self._go_on_soon()

    def _set_clock(self) -> None:
        """Stop the clock while the listener wants no more, as a Pong that is not read is not late. But do not stop it
        if the peer does not read either: the listener may be waiting for just that, and such a peer could stay for
        ever."""
        if self.can_write and self.endpoint.end is None:
            self.endpoint.pause(now=self._time())
        else:
            self.endpoint.resume(now=self._time())

    def _cut_off(self) -> None:
        """Note that the end has come, after messages that the listener does not want yet. A task that waits to send
        must not wait for these."""
        self.can_write = False
        self.is_cut_off = True
        if self.listener is not None:
            self.listener._cut_off()

    def _next_deadline(self) -> float | None:
        # While the listener or the peer causes the delay, the endpoint's unread input does not count.
        if self.is_held or self._is_flooded:
            return self.endpoint.deadlines.next_deadline()
        return self.endpoint.next_deadline()

    def _must_stop(self, left: int) -> bool:
        """Return whether the rest has to wait; see the top of the file."""
        if self._unsent >= HIGH_WATER:
            self.write()
            room = HIGH_WATER + (self.connection.limits.message or HIGH_WATER)
            self._is_flooded = not self.can_write and self.transport.get_write_buffer_size() > room
        has_rest = left <= 0 and self.endpoint._has_more()
        if has_rest:
            self._go_on_soon()
        return has_rest or self.is_held or self._is_flooded

    def _handle_other(self, event: object) -> None:
        target = self._target
        match event:
            case Pong(payload) if target is not None:
                target.pong(payload)
            case Closed():
                self._handle_end(event)
            case Request():
                self._owner.requested(self, event)
            case Response():
                self._owner.opened(self, event)
            case rfc6455.TextPart() | rfc6455.BytesPart() | rfc6455.EncodedText() if target is not None:
                target.part(event)

    def _handle_end(self, closed: Closed) -> None:
        self.is_held = self._is_flooded = False
        self._target = None
        self._has_ended = True
        try:
            if self.listener is not None:
                self.listener.closed(closed)
        finally:
            self._owner.closed(self, closed)
            self._tell_gone()

    def _tell_gone(self) -> None:
        if self.lost and self._has_ended and not self.is_gone:
            self.is_gone = True
            if self.listener is not None:
                self.listener._gone()
            self._owner.gone(self)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except (Exception, asyncio.CancelledError):
            self._failed()

    def _failed(self) -> None:
        log_failure(self.endpoint, "opening" if self.listener is None else "listener")
        self._target = None
        self.is_closing = True
        self.is_held = self.is_answer_due = False
        self.endpoint.close(1011)
        self._go_on_soon()

    # The consequences for the transport.

    def _settle(self) -> None:
        """Write, start or stop reading, end the stream or TCP, and set the timer, as the endpoint needs it now."""
        # While the peer does not read, Pongs wait in the endpoint, which keeps only the latest.
        if self.can_write or self._unsent or self.is_closing or self.endpoint.closed:
            self.write()
        if self.lost:
            return
        if (self.is_held or self._is_waiting or self._is_flooded) is not self._is_deaf:
            self._read_or_not()
        if self._has_ended and not self._is_hung_up:
            self._end_tcp()
        if not self._is_hung_up and not self._is_waiting:
            self._set_timer()

    def write(self) -> None:
        """Pass the queued data to the transport, in one call."""
        self._unsent, self.has_write_due = 0, False
        buffers = self.endpoint.buffers_to_send()
        if not buffers or self._is_ending or self.transport.is_closing():
            return  # nothing is due, or TCP has ended and nobody will read it
        if len(buffers) == 1:
            self._write(buffers[0])
        elif self._joins and sum(map(len, buffers)) >= LEAST_UNJOINED:
            for buffer in buffers:
                self._write(buffer)
        else:
            self.transport.writelines(buffers)
            if FORGETS_TO_PAUSE:
                self.transport.set_write_buffer_limits()  # this checks how much is waiting

    def _read_or_not(self) -> None:
        transport = self.transport
        if self.lost or self._has_eof or transport.is_closing():
            return
        self._is_deaf = self.is_held or self._is_waiting or self._is_flooded
        change = transport.pause_reading if self._is_deaf else transport.resume_reading
        with suppress(AttributeError):  # Python 3.10's TLS, after a reset that `connection_lost` will report
            change()

    def _end_tcp(self) -> None:
        if self.endpoint.finished:
            self._is_hung_up = True
            self._stop_timer()
            if self._has_eof:
                self.transport.close()
                self._timer = self.loop.call_later(FAREWELL, self.transport.abort)
            else:
                self.transport.abort()
        elif self.endpoint.must_close and not self._is_ending:
            self._is_ending = True
            if self.transport.can_write_eof():
                with suppress(OSError):  # reset; reading will find the end
                    self.transport.write_eof()
            else:
                # Ending TLS ends both directions (5.5.1: the server closes "immediately").
                self.transport.close()

    def _set_timer(self) -> None:
        """Schedule `_tick` for the next deadline. A timer that is due earlier is left as it is, and will check
        again."""
        due = self._next_deadline()
        if due is not None and due >= self._timer_at:
            return
        self._stop_timer()
        if due is None:
            return  # without a timer, waiting is cheaper for the kernel
        if due <= self._time():
            # A late deadline is due again at once, but not before another read. A callback that is scheduled by a
            # callback comes after a read in every loop, whether it runs callbacks before reading (uvloop) or after
            # (asyncio).
            self._timer_at = -inf
            self.loop.call_soon(self.loop.call_soon, self._tick)
        else:
            self._timer = self.loop.call_at(due, self._tick)
            self._timer_at = due

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf
