"""One connection for threads: a wire, an `rfc6455.Endpoint`, a queue of messages, and the threads that wait.

Not here: waiting for the network (`_threads_loop.py`), the interface for users (`_threads_websocket.py`), and making
connections (`_threads_server.py`, `_threads_client.py`).

The law: there is one lock, and no thread holds it while it waits: not for the network, since nothing in here blocks,
and not for another thread, since every wait is for a condition of this lock. Any thread may call, and its data is sent
in that call. The loop does the rest: the peer's input, the deadlines, and data that the peer does not accept yet.

So two ends that both send a message do not wait for each other: the loop reads, whatever the other threads do. It only
stops when the queue is full. The queue takes 64 small messages or a large one, and a message within the limits is
always read to its end.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import Protocol

import rfc6455
from rfc6455 import (
    BytesMessage,
    CloseCause,
    Closed,
    ConnectionClosedError,
    Endpoint,
    LocalProtocolError,
    Pong,
    PreparedMessage,
    Request,
    Response,
    TextMessage,
    TextPart,
)

from ._known import log_failure
from ._messages import ANSWER, FAREWELL, HIGH_WATER, MESSAGE, QUEUE, Part, Pings, Sendable, queue_message, size_of
from ._threads_loop import READ, WRITE, Loop, Watch, clock, guard, within
from ._threads_wire import Wire

Item = str | bytes | Part


class Owner(Protocol):
    """The part that differs between a server and a client. The driver's lock is held in these calls, so they must not
    wait."""

    def requested(self, driver: Driver, request: Request) -> None:
        """Answer a request that has arrived, now or later."""

    def ended(self, driver: Driver, closed: Closed) -> None:
        """Called when the connection has ended, or the opening handshake has failed."""

    def gone(self, driver: Driver) -> None:
        """Called when both the connection and TCP have ended."""


class Driver:
    """The object on which a `WebSocket` is built.

    :ivar turn: a lock that the thread that is sending holds. It is taken before the other one.
    :ivar sends_parts: whether that thread is sending a message in parts.
    :ivar end: the `Closed` event, once the messages before it have been taken.
    """

    def __init__(
        self,
        wire: Wire,
        handshake: rfc6455.ServerHandshake | rfc6455.ClientHandshake,
        timeouts: rfc6455.Timeouts | None,
        owner: Owner,
        loop: Loop,
        now: float,
    ) -> None:
        self.wire = wire
        self.sock: socket.socket = wire.sock
        self.endpoint: Endpoint = Endpoint(handshake, timeouts, now=now)
        self.turn: threading.RLock = threading.RLock()
        self.sends_parts = False
        self.end: Closed | None = None
        self.is_gone: bool = False
        self._owner = owner
        self._loop = loop
        self._lock = threading.Lock()
        # Threads wait for something in the queue, for room for the data that they send, or for anything else.
        self._received = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._changed = threading.Condition(self._lock)
        self._queue: deque[Item] = deque()
        self._size = 0
        self._is_held = False  # whether reading has stopped, usually because the queue is full
        self._is_unanswered = False  # whether nobody has asked for the next message since the last one arrived
        self._is_answer_due = False  # whether the end waits for somebody to ask
        self._answer_until: float | None = None
        self._senders = 0  # the number of threads that wait for the peer to read
        self._pings = Pings()
        self._is_open = False
        self._is_closing = False  # whether this side has begun to close
        self._is_asked = False  # whether a request waits for its answer
        self._has_eof = False
        self._eof_waits = False  # whether the end of the stream has not been passed to the endpoint yet
        self._is_ended = False  # whether this side has ended its stream
        self._is_cut = False
        self._is_lost = False  # whether the socket is closed
        self._farewell: float | None = None  # the time until which the last bytes wait for a peer that has gone
        self._watch = Watch(loop, self)
        self._is_look_due = False

    # Called by the loop.

    def ready(self, mask: int) -> None:
        data = self.wire.receive() if mask & READ else None
        with self._lock:
            if self._is_lost:
                return
            self._step(None if data is None else self.wire.decode(data))
            if self.wire.is_at_end and not self._has_eof:
                self._step(b"")

    def tick(self) -> None:
        with self._lock:
            self._watch.forget_timer()
            due = self._next_due()
            if self._is_lost or due is None or due > clock():
                self._settle()
            elif self._is_answer_due:
                self._release()
            elif self._is_held:
                self._tell_time()
            else:
                self._step(None)

    def look(self) -> None:
        """Update what the loop has to wait for, after a call in another thread."""
        guard(self, self._look)

    def _look(self) -> None:
        with self._lock:
            self._is_look_due = False
            self._settle()

    def fail(self) -> None:
        with self._lock:
            self.endpoint.abort()
            self._is_cut = self._is_closing = True
            try:
                self._lose()
            except Exception:  # the same error again; threads that wait must not wait for ever
                self._take_end(Closed(1006, "", False, None, CloseCause.EXTENSION_FAILED))
                self._tell_gone()

    # Events. All of these methods are called with the lock held.

    def _step(self, data: bytes | None) -> None:
        """Process input, handle the events as far as there is room for messages, and do everything that follows."""
        if data == b"":
            self._has_eof = True
            if self._is_asked:
                # A client that ends its stream after the request still gets the answer.
                self._eof_waits, data = True, None
        try:
            self._handle_events(data)
        except Exception:
            self._fail_connection()
            self._handle_events(None)
        self._settle()

    def _handle_events(self, data: bytes | None) -> None:
        events = self.endpoint.events(data, now=clock())
        # If this ends early, the remaining events wait in the endpoint.
        while not (self._is_held or self._awaits_answer()):
            event = next(events, None)
            if event is None:
                break
            self._handle(event)

    def _awaits_answer(self) -> bool:
        """Return whether the end of the connection has to wait, so that the message before it can be answered."""
        if self.endpoint.end is None or not self._is_unanswered or self._is_closing or self.end is not None:
            return False
        if self._answer_until is None:
            self._answer_until = clock() + ANSWER
        self._is_held = self._is_answer_due = clock() < self._answer_until
        return self._is_held

    def _fail_connection(self) -> None:
        log_failure(self.endpoint, "opening" if self.endpoint.connection is None else "reading")
        self._is_closing = True
        self.endpoint.close(1011)

    def _handle(self, event: object) -> None:
        match event:
            case TextMessage(text):
                self._put(text)
            case BytesMessage(data):
                self._put(data)
            case Pong(payload):
                if self._pings.take_pong(payload, clock()):
                    self._changed.notify_all()
            case Closed():
                self._take_end(event)
            case Request():
                self._owner.requested(self, event)
                self._is_asked = not self.endpoint.closed
            case Response():
                self._is_open = True
                self._changed.notify_all()
            case TextPart() | rfc6455.BytesPart() | rfc6455.EncodedText():
                self._put(event)

    def _put(self, item: Item) -> None:
        if self._size >= QUEUE and self._is_closing:
            return  # nobody has received the earlier messages, and the peer's Close is awaited
        self._is_unanswered = True
        self._queue.append(item)
        self._size += size_of(item) + MESSAGE
        if self._size >= QUEUE and not self._is_closing:
            self._is_held = True
            self._run_clock_or_not()
        self._received.notify()

    def _take_end(self, closed: Closed) -> None:
        self.end = closed
        self._is_held = False
        self._notify_all()
        self._owner.ended(self, closed)

    def _notify_all(self) -> None:
        for condition in (self._received, self._room, self._changed):
            condition.notify_all()

    def _tell_time(self) -> None:
        """Only note the time, while the queue is full and the peer does not read."""
        self.endpoint.advance(now=clock())
        if self.endpoint.closed:
            self._room.notify_all()
            connection = self.endpoint.connection
            # The peer's time to read the rest has passed as well.
            self._is_cut = connection is not None and connection.finished
        self._settle()

    def _run_clock_or_not(self) -> None:
        """Stop the clock while we do not read, unless that is because the peer does not read, or nothing is left but
        the end of TCP."""
        if self._is_held and not self._senders and self.endpoint.end is None:
            self.endpoint.pause(now=clock())
        else:
            self.endpoint.resume(now=clock())

    def _release(self) -> None:
        self._is_held = self._is_answer_due = False
        self._run_clock_or_not()
        self._step(None)

    # The consequences for the wire and the loop.

    def _settle(self) -> None:
        if self._is_lost:
            self._tell_gone()
            return
        self._write()
        if self.endpoint.finished and self._farewell is None:
            self._farewell = clock() + FAREWELL
        if self.endpoint.must_close and not self._is_ended and not self._has_unsent:
            self._is_ended = True
            self.wire.end()
        if self._loop.is_current:
            self._serve_the_loop()
        elif not self._is_look_due and self._wants_other_things():
            self._is_look_due = True
            self._loop.call(self.look)

    def _write(self) -> None:
        """Write the data to send. While the peer does not read, Pongs wait in the endpoint, which keeps only the
        latest."""
        endpoint, wire = self.endpoint, self.wire
        if wire.size:
            wire.flush()
        if wire.size <= HIGH_WATER and not self._is_ended and endpoint.has_data_to_send:
            wire.send(endpoint.buffers_to_send())
        if self._senders and wire.size <= HIGH_WATER:
            self._room.notify_all()

    @property
    def _has_unsent(self) -> bool:
        return self.wire.size > 0 or (not self._is_ended and self.endpoint.has_data_to_send)

    @property
    def _is_done(self) -> bool:
        """Whether the socket should be closed."""
        if self._is_cut or not self.endpoint.finished or self._farewell is None:
            return self._is_cut
        return not (self._has_unsent and self._has_eof) or clock() >= self._farewell

    def _next_due(self) -> float | None:
        # While the queue is full, the endpoint's unread input does not count.
        if self._is_answer_due:
            return self._answer_until
        due = self.endpoint.deadlines.next_deadline() if self._is_held else self.endpoint.next_deadline()
        return self._farewell if due is None else due

    def _wanted_mask(self) -> int:
        wants_more = not self._is_held and not self._has_eof
        return (READ if wants_more else 0) | (WRITE if self._has_unsent else 0)

    def _wants_other_things(self) -> bool:
        due = self._next_due()
        return self._is_done or self._wanted_mask() != self._watch.mask or (due is not None and due < self._watch.at)

    def _serve_the_loop(self) -> None:
        """Make the loop wait for the right things. Only its own thread may do this."""
        if self._is_done:
            self._lose()
            return
        self._watch.wait_for(self._wanted_mask())
        due = self._next_due()
        if due is not None:
            self._watch.call_at(due)

    def _lose(self) -> None:
        """Close the socket, and tell the endpoint that its stream has ended."""
        self._is_lost = True
        self._watch.end()
        self.wire.close(self._is_cut)
        self._is_held = False
        eof = self._untold_eof()
        self._step(b"" if not self._has_eof else eof)

    def _untold_eof(self) -> bytes | None:
        """Return ``b""`` if the end of the stream came before the answer to the request, which is due or sent now."""
        self._is_asked = False
        waits, self._eof_waits = self._eof_waits, False
        return b"" if waits else None

    def _tell_gone(self) -> None:
        if self.end is not None and not self.is_gone:
            self.is_gone = True
            self._changed.notify_all()
            self._owner.gone(self)

    # Called by other threads.

    def start(self, early: bytes = b"") -> None:
        """Begin, with bytes that have already arrived."""
        with self._lock:
            self._step((early and self.wire.decode(early)) or None)

    def answer(self, refused: Response | None, response: Response | None) -> bool:
        """Answer the client's request, and return whether the connection is open.

        :param refused: the answer that refuses it, or ``None``.
        :param response: a response whose headers are added to the answer, or ``None``.
        """
        with self._lock:
            endpoint = self.endpoint
            if endpoint.closed:
                self._step(self._untold_eof())
                return False  # the client did not wait for the answer, or the server is closing
            if refused is not None:
                endpoint.reject(refused.status, refused.headers, refused.body)
            else:
                endpoint.accept(headers=() if response is None else response.headers, now=clock())
            self._step(self._untold_eof())
            return refused is None

    def wait_open(self) -> Closed | None:
        """Wait until the connection is open, or return the reason why it is not."""
        with self._lock:
            self._changed.wait_for(lambda: self._is_open or self.end is not None)
            return None if self._is_open else self.end

    def take(self, kinds: tuple[type, ...], advice: str, timeout: float | None) -> Item:
        """Wait for the next item of the queue and return it."""
        with self._lock:
            if not self._queue:
                self._wait_for_an_item(timeout)
            item = self._queue[0]
            if not isinstance(item, kinds):
                raise RuntimeError(advice)
            self._queue.popleft()
            self._size -= size_of(item) + MESSAGE
            if self._is_held and self._size < QUEUE // 4 and not self._is_answer_due:
                self._release()
            return item

    def _wait_for_an_item(self, timeout: float | None) -> None:
        self._nothing_to_answer()
        if not self._received.wait_for(lambda: self._queue or self.end is not None, within(timeout)):
            raise TimeoutError(f"no message has arrived within {timeout} s")
        if not self._queue:
            assert self.end is not None
            raise ConnectionClosedError(self.end)

    def _nothing_to_answer(self) -> None:
        self._is_unanswered = False
        if self._is_answer_due:
            self._release()

    @property
    def can_write(self) -> bool:
        """Whether no more than 64 KiB wait for the peer."""
        return self.wire.size <= HIGH_WATER

    def send(self, message: Sendable, fin: bool = True, compress: bool | None = None) -> None:
        """Send a message or a fragment of one, after waiting for the peer to read earlier data."""
        with self._lock:
            if not self.can_write:
                self._wait_for_room()
            try:
                queue_message(self.endpoint, message, fin, compress)
            except ConnectionClosedError:
                raise
            except LocalProtocolError:
                if not self._is_closing:
                    raise
                raise ConnectionClosedError(self._wait_gone(None)) from None
            self._settle()

    def _wait_for_room(self) -> None:
        self._senders += 1
        self._run_clock_or_not()
        self._settle()
        try:
            self._room.wait_for(lambda: self.can_write or self.endpoint.closed)
        finally:
            self._senders -= 1
            self._run_clock_or_not()
        if not self.can_write:
            assert self.endpoint.end is not None
            raise ConnectionClosedError(self.endpoint.end)

    def offer(self, message: PreparedMessage) -> bool:
        """Send a message, unless this would have to wait. Return whether it was sent, or the connection has ended."""
        if not self.turn.acquire(blocking=False):
            return self._is_closing or self.endpoint.closed
        try:
            with self._lock:
                if self._is_closing or self.endpoint.closed:
                    return True
                if not self.can_write:
                    return False
                self.endpoint.send_prepared(message)
                self._settle()
                return True
        finally:
            self.turn.release()

    def ping(self, timeout: float | None) -> float:
        with self._lock:
            ping = self._pings.make(clock())
            try:
                self.endpoint.ping(ping.payload)
                self._settle()
                self._changed.wait_for(lambda: ping.latency is not None or self.end is not None, within(timeout))
            except ConnectionClosedError:
                raise
            except LocalProtocolError:
                raise ConnectionClosedError(self._wait_gone(None)) from None
            finally:
                self._pings.forget(ping)
            if ping.latency is not None:
                return ping.latency
            if self.end is not None:
                raise ConnectionClosedError(self.end)
            raise TimeoutError(f"no Pong has arrived within {timeout} s")

    def close(self, code: int | None, reason: str = "") -> None:
        """Begin the closing handshake, without waiting for its end."""
        with self._lock:
            self._close(code, reason)

    def finish(self, code: int) -> None:
        """Begin the closing handshake, and drop the queued messages and those that arrive from now on."""
        with self._lock:
            self._queue.clear()
            self._size = QUEUE
            self._close(code)

    def _close(self, code: int | None, reason: str = "") -> None:
        self.endpoint.close(code, reason)
        self._is_closing = True
        self._release()

    def abort(self) -> None:
        with self._lock:
            self.endpoint.abort()
            self._is_cut = self._is_closing = True
            self._settle()

    def wait_gone(self, timeout: float | None = None) -> Closed:
        """Wait until the connection and TCP have ended, and return the reason."""
        with self._lock:
            if not self._queue:
                self._nothing_to_answer()
            return self._wait_gone(timeout)

    def _wait_gone(self, timeout: float | None) -> Closed:
        if not self._changed.wait_for(lambda: self.is_gone, within(timeout)):
            raise TimeoutError(f"the connection has not ended within {timeout} s")
        assert self.end is not None
        return self.end
