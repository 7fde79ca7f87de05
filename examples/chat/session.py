"""One client, from accept() to close(): its thread, its handshake, its connection. Here the library is used.

The client's own thread reads and does what it read; nobody else reads from the socket. Everybody may write: the
threads of other clients deliver their lines here, and the caretaker sends pings, late bytes and farewells. So
everything that they share (the phase, the `rfc6455.Endpoint`, the outbox) is touched only under `_lock`. The order of
locks: a room's, then a session's.

A session goes through these phases, always forward, and may leave some out:

| phase    | its thread                              | others                   | it ends with                       |
|----------|-----------------------------------------|--------------------------|------------------------------------|
| OPENING  | reads the request, and answers it       | may only cut it          | the 101; or another answer: ENDING |
| CHATTING | tells the room what the client says     | deliver lines            | a Close frame that goes or comes   |
| CLOSING  | reads on, until the other Close frame   | see to the time          | `Endpoint.closed`                  |
| ENDING   | has said all; waits for the end of file | send what still waits    | the end of file, or `tcp_close`    |
| CUT      | wakes up, as the socket is shut         | do nothing               | the end of the thread              |
"""

from __future__ import annotations

import socket
import threading
import time
from enum import IntEnum

from hub import NO_PREFIX, Room
from outbox import Batch
from service import pace
from service.pages import Answer
from service.setup import Service
from service.visitor import Visitor
from service.wire import Wire

import rfc6455

# How long the caretaker leaves it to the session's own thread to pass the time, in seconds, if that has something to
# read: what is awaited may be in it.
PATIENCE = 0.1

# The phases of a session; see above. To look one up in the enum, as in `Phase.CUT`, takes several times as long.
Phase = IntEnum("Phase", "OPENING CHATTING CLOSING ENDING CUT")
OPENING, CHATTING, CLOSING, ENDING, CUT = Phase


class Session:
    """One client. `run` is its thread; the rest is mostly for other threads, which must not wait or see errors."""

    def __init__(self, sock: socket.socket, visitor: Visitor, service: Service) -> None:
        self.sock = sock
        self.visitor = visitor
        self.user = self.name = ""
        self.prefix = NO_PREFIX
        self._service = service
        self._lock = threading.RLock()
        self._phase = OPENING
        self._ws = rfc6455.Endpoint(service.handshake.another(), service.timeouts, now=time.monotonic())
        self._wire = Wire(sock, self._lock, service, visitor, blocked=lambda: service.caretaker.watch(self))
        self._outbox = self._wire.outbox
        visitor.watch(self._ws, self._outbox)
        self._request: rfc6455.Request | None = None
        self._kind: tuple[object, ...] = ()
        # How it ended: the close code and the reason, ours where we began to close.
        self._end: tuple[int, str] | None = None
        self.due = 0.0
        self._set_due()
        service.caretaker.add(self)

    def look(self) -> None:
        """Take what the client has already sent, in the listening thread before `run`. Usually that is the whole
        request, and the session's own thread wakes up to answer it.
        """
        try:
            data = self._wire.read_now()
            if data is not None:
                with self._lock:
                    self._receive(data)
        except Exception as error:
            self.fail(error)

    # The client's own thread.

    def run(self) -> None:
        """Live the whole life of the session."""
        try:
            room = self._open()
            if room is not None:
                self._chat_in(room)
            with self._lock:
                self._finish()
            self._wire.linger()
        except OSError:
            pass  # the client is gone; if it had joined, that was told already
        except Exception as error:
            self.fail(error)
        finally:
            with self._lock:
                self._finish()
            self._outbox.detach()  # or thousands of sessions would wait for the garbage collector
            self._service.caretaker.release(self)
            self.visitor.leave()

    def _open(self) -> str | None:
        """Read the request and answer it; return the room that it names, or ``None`` without one or if time is up."""
        while self._request is None and self._phase is OPENING:
            data = self._wire.read()
            with self._lock:
                if not self._wire.has_received:
                    return None  # one that only looked whether there is a server
                self._receive(data)
        if self._request is None:
            return None
        answer = self.visitor.answer(self._request)
        with self._lock:
            if self._phase is not OPENING or self._ws.closed:
                return None
            if isinstance(answer, Answer):
                self._ws.reject(answer.status, answer.headers, answer.body)
                return None
            self.user = self.visitor.user
            connection = self._ws.accept(now=time.monotonic())
            self._kind = tuple(codec.shared_key for codec in connection.extensions)
            self._outbox.hold()
            self._outbox.put(self._ws.data_to_send())
            self._set_due()
            self._phase = CHATTING
        return answer

    def _chat_in(self, path: str) -> None:
        room = self._service.hub.join(path, self)
        try:
            self.visitor.connected(path)
            with self._lock:  # the 101 and what the room said on joining: one write, and not while the room is locked
                self._outbox.release()
            self._converse(room)
        finally:
            self.visitor.disconnected(self.name, self._end)
            self._service.hub.leave(room, self)

    def _converse(self, room: Room) -> None:
        """Handle the client's frames until the connection is closed.

        One bounded step at a time (`rfc6455.Endpoint.receive_data`), so that little is inflated before the rate is
        checked. What the connection answers is sent at once, except for the last answer: when a client sees our Close
        frame, all that it said before its own was told to the others (`_finish` sends it).
        """
        ws, connection = self._ws, self._ws.connection
        assert connection is not None
        while not ws.closed:
            data = None if ws.unread else self._wire.read()
            with self._lock:
                count, texts = self._receive(data)
                if not ws.closed:
                    self._outbox.put(ws.data_to_send())
                    if self.load > pace.TOO_MUCH:  # of what the client itself asked for; for the others see `pace.py`
                        self.close(rfc6455.CloseCode.TRY_AGAIN_LATER, "too slow for this chat")
            if not self.visitor.may_say(connection.bytes_received, count, texts):
                self.close(rfc6455.CloseCode.POLICY_VIOLATION, "too many messages")
                break  # what it still sends is dropped in `linger`: to parse and inflate it would be work for nothing
            if texts:
                began = time.perf_counter()
                self._service.hub.say(room, self, texts)
                self._service.metrics.fanned_out(len(texts), time.perf_counter() - began)
                if room.is_behind:
                    self._hold_back(room)

    def _hold_back(self, room: Room) -> None:
        """Read nothing until those who listen have caught up. The client's answers are not late meanwhile."""

        def while_behind() -> bool:
            with room.lock:
                return self.takes_part and room.look(self)

        with self._lock:
            self._ws.pause(now=time.monotonic())
            self._set_due()
        pace.hold_back(while_behind)
        with self._lock:
            self._ws.resume(now=time.monotonic())
            self._set_due()

    # With the lock held.

    def _receive(self, data: bytes | None) -> tuple[int, list[str]]:
        """Process what was read, and pass the time; return how many events came of it, and the texts among them if the
        client still takes part.
        """
        texts: list[str] = []
        took_part = self.takes_part
        events = self._ws.receive_data(data, now=time.monotonic())
        self._set_due()
        for event in events:
            match event:
                case rfc6455.Request():
                    self._request = event
                case rfc6455.TextMessage(text):
                    texts.append(text)
                case rfc6455.BytesMessage():
                    self.close(rfc6455.CloseCode.UNSUPPORTED_DATA, "this chat is for text only")
                case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                    self.visitor.refused("request", status=int(error.status or 400), reason=error.reason)
                    self._finish()
                case rfc6455.Closed():
                    self._end = self._end or (event.code, event.reason if event.clean else str(event))
                    self._phase = max(self._phase, CLOSING)
        return len(events), texts if took_part else []

    def _set_due(self) -> None:
        due = self._ws.next_deadline()
        self.due = float("inf") if due is None else due

    def _finish(self) -> None:
        """Send the last words; from now on the caretaker only waits for the end."""
        if self._phase < ENDING:
            self._phase = ENDING
            self.due = time.monotonic() + (self._service.timeouts.tcp_close or 0.0)
            self._outbox.put(self._ws.data_to_send())
            self._wire.say_end()

    # For other threads.

    @property
    def takes_part(self) -> bool:
        """Whether lines are delivered to it, and its own lines count."""
        return self._phase is CHATTING

    @property
    def load(self) -> float:
        """What waits for the client, as a share of what may; 0 if it no longer takes part."""
        return self._outbox.load if self.takes_part else 0.0

    @property
    def held(self) -> int:
        """How many bytes wait for the client."""
        return self._outbox.held

    def deliver(self, batch: Batch) -> float:
        """Send the batch, or leave it in the outbox; return the load."""
        try:
            with self._lock:
                if self.takes_part and not self._ws.closed:
                    self._outbox.put(batch.serialised(self._kind, self._ws), batch.count)
        except Exception as error:
            self.fail(error)
        return self.load

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; one that has not been opened is cut off."""
        try:
            with self._lock:
                if self._ws.connection is None:
                    self.cut()
                    return
                self._phase = max(self._phase, CLOSING)
                self._ws.close(code, reason)
                self._end = self._end or (code, reason)
                self._receive(None)
                self._outbox.put(self._ws.data_to_send())
        except Exception as error:
            self.fail(error)

    def give_way(self) -> None:
        """Forget what waits for the client, and close; the second time, end."""
        code, reason = rfc6455.CloseCode.TRY_AGAIN_LATER, "the server is short of memory"
        with self._lock:
            if self.takes_part and self._wire.is_plain:
                self._outbox.shed()
                self.close(code, reason)
            else:
                self._end = self._end or (code, reason)
                self.cut()

    def fail(self, error: Exception) -> None:
        """End a session that we failed in, and log that once."""
        with self._lock:
            self._end = self._end or (int(rfc6455.CloseCode.INTERNAL_ERROR), "an error in the server")
            self.cut()
        self.visitor.failed(error)

    def cut(self) -> None:
        """End the connection at once."""
        with self._lock:
            self._phase = CUT
            self._wire.cut()

    def flush(self) -> bool:
        """Send what waits, and return whether anything is left, for the caretaker."""
        with self._lock:
            self._outbox.flush()
            if self._phase >= ENDING:
                self._wire.half_close()
            return not self._outbox.is_empty

    def tick(self, now: float) -> None:
        """Do what is due, a ping or an end, for the caretaker."""
        with self._lock:
            if self._phase >= ENDING:
                self.cut()
            elif self._ws.unread or self._wire.has_input():
                self.due = now + PATIENCE  # what its thread says must not get lost in here
            else:
                self._receive(None)
                self._outbox.put(self._ws.data_to_send())
                if self._ws.closed:
                    self._finish()
