"""One client, from accept() to close(): its thread, its handshake, its connection. The library is used here.

The client's own thread reads from the socket and handles its input; no other thread reads. All threads may write:
those of other clients deliver their lines here, and the caretaker sends pings, delayed bytes and Close frames. So
everything that they share (the phase, the `rfc6455.Endpoint`, the outbox) is used only under `_lock`. The order of
locks: a room's, then a session's.

A session goes through these phases, always forward, and may leave some out:

| phase    | its thread                              | others                   | it ends with                       |
|----------|-----------------------------------------|--------------------------|------------------------------------|
| OPENING  | reads the request, and answers it       | may only cut it          | the 101; or another answer: ENDING |
| CHATTING | passes the client's lines to the room   | deliver lines            | a Close frame from either side     |
| CLOSING  | reads on, until the other Close frame   | check the deadlines      | `Endpoint.closed`                  |
| ENDING   | only waits for the end of file          | send the remaining data  | the end of file, or `tcp_close`    |
| CUT      | wakes up, as the socket is shut down    | do nothing               | the end of the thread              |
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

# If there is input to read, the time in seconds for which the caretaker leaves it to the session's own thread to check
# the deadlines, as the awaited answer may be in the input.
PATIENCE = 0.1

# The phases of a session; see above. Looking one up in the enum, as in `Phase.CUT`, takes several times as long.
Phase = IntEnum("Phase", "OPENING CHATTING CLOSING ENDING CUT")
OPENING, CHATTING, CLOSING, ENDING, CUT = Phase


class Session:
    """One client. `run` is its thread. The rest is mostly for other threads, which must not wait or get errors."""

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
        # The close code and the reason of the end. If we began to close, they are ours.
        self._end: tuple[int, str] | None = None
        self.due = 0.0
        self._set_due()
        service.caretaker.add(self)

    def look(self) -> None:
        """Read what the client has already sent, in the listening thread before `run`. Usually this is the whole
        request, which the session's own thread can then answer without waiting.
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
        """Run the session from its request to its end."""
        try:
            room = self._open()
            if room is not None:
                self._chat_in(room)
            with self._lock:
                self._finish()
            self._wire.linger()
        except OSError:
            pass  # the client is gone; if it had joined, the room has already been told
        except Exception as error:
            self.fail(error)
        finally:
            with self._lock:
                self._finish()
            self._outbox.detach()  # without this, thousands of sessions would wait for the garbage collector
            self._service.caretaker.release(self)
            self.visitor.leave()

    def _open(self) -> str | None:
        """Read and answer the request. Return the room that it names, or ``None`` if there is none or time is up."""
        while self._request is None and self._phase is OPENING:
            data = self._wire.read()
            with self._lock:
                if not self._wire.has_received:
                    return None  # a client that only checked whether there is a server
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
            with self._lock:  # the 101 and the room's greeting are sent with one write, while the room is not locked
                self._outbox.release()
            self._converse(room)
        finally:
            self.visitor.disconnected(self.name, self._end)
            self._service.hub.leave(room, self)

    def _converse(self, room: Room) -> None:
        """Handle the client's frames until the connection is closed.

        Input is processed in bounded steps (`rfc6455.Endpoint.receive_data`), so that little is inflated before the
        rate is checked. The connection's answers are sent immediately, except for the last one, which `_finish` sends:
        when a client gets our Close frame, everything that it said before its own has been passed on to the others.
        """
        ws, connection = self._ws, self._ws.connection
        assert connection is not None
        while not ws.closed:
            data = None if ws.unread else self._wire.read()
            with self._lock:
                count, texts = self._receive(data)
                if not ws.closed:
                    self._outbox.put(ws.data_to_send())
                    if self.load > pace.TOO_MUCH:  # caused by the client itself; for the others, see `pace.py`
                        self.close(rfc6455.CloseCode.TRY_AGAIN_LATER, "too slow for this chat")
            if not self.visitor.may_say(connection.bytes_received, count, texts):
                self.close(rfc6455.CloseCode.POLICY_VIOLATION, "too many messages")
                break  # further input is dropped in `linger`, as parsing and inflating it would be useless work
            if texts:
                began = time.perf_counter()
                self._service.hub.say(room, self, texts)
                self._service.metrics.fanned_out(len(texts), time.perf_counter() - began)
                if room.is_behind:
                    self._hold_back(room)

    def _hold_back(self, room: Room) -> None:
        """Read nothing until the listeners have caught up. Meanwhile, the client's deadlines do not run."""

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
        """Process input, and check the deadlines. Return the number of events, and, if the client still takes part,
        the texts among them.
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
        """Send the last bytes. From now on, the caretaker only waits for the end."""
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
        """The data that waits for the client, as a share of the limit; 0 if the client no longer takes part."""
        return self._outbox.load if self.takes_part else 0.0

    @property
    def held(self) -> int:
        """The number of bytes that wait for the client."""
        return self._outbox.held

    def deliver(self, batch: Batch) -> float:
        """Send the batch, or leave it in the outbox; return the load."""
        try:
            with self._lock:
                if self._phase is CHATTING and not self._ws.closed:
                    self._outbox.put(batch.serialised(self._kind, self._ws), batch.count)
        except Exception as error:
            self.fail(error)
        return self.load if self._outbox.bytes else 0.0  # most often, nothing waits

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake. A connection that is not open yet is cut off."""
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
        """Discard the data that waits for the client, and close. The second time, cut the connection."""
        code, reason = rfc6455.CloseCode.TRY_AGAIN_LATER, "the server is short of memory"
        with self._lock:
            if self.takes_part and self._wire.is_plain:
                self._outbox.shed()
                self.close(code, reason)
            else:
                self._end = self._end or (code, reason)
                self.cut()

    def fail(self, error: Exception) -> None:
        """End a session in which the server failed, and log the error once."""
        with self._lock:
            self._end = self._end or (int(rfc6455.CloseCode.INTERNAL_ERROR), "an error in the server")
            self.cut()
        self.visitor.failed(error)

    def cut(self) -> None:
        """End the connection immediately."""
        with self._lock:
            self._phase = CUT
            self._wire.cut()

    def flush(self) -> bool:
        """Send the waiting data, and return whether anything is left. For the caretaker."""
        with self._lock:
            self._outbox.flush()
            if self._phase >= ENDING:
                self._wire.half_close()
            return not self._outbox.is_empty

    def tick(self, now: float) -> None:
        """Handle the deadline that is due, with a ping or the end. For the caretaker."""
        with self._lock:
            if self._phase >= ENDING:
                self.cut()
            elif self._ws.unread or self._wire.has_input():
                self.due = now + PATIENCE  # its own thread reads the input, which would be lost here
            else:
                self._receive(None)
                self._outbox.put(self._ws.data_to_send())
                if self._ws.closed:
                    self._finish()
