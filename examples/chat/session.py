"""One client, from accept() to close(): its thread, its handshake, its connection.

The client's own thread reads and does what it read; nobody else reads from the socket. Everybody may write: the
threads of other clients deliver their lines here, and the caretaker sends pings, late bytes and farewells. So all
that they share (the `rfc6455.Endpoint` and the outbox) is touched under `_lock` only. The order of locks: a room's,
then a session's.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import lines
from hub import NO_PREFIX, Hub, Room
from outbox import Batch, Outbox
from service import pace
from service.access import refusal_of
from service.caretaker import Caretaker
from service.guard import Bucket, Guard, Meter
from service.log import failure, log
from service.metrics import Metrics
from service.pages import Pages, room_of
from service.settings import Settings
from service.tls import TLS

import rfc6455

# A thread that waits in recv() holds a buffer of this size; one that has much to read gets the large one.
IDLE_READ = 4 << 10
BUSY_READ = 64 << 10

# How long the caretaker leaves it to the session's own thread to tell the time, in seconds, when that has something to
# read: what is awaited may be in it.
PATIENCE = 0.1

# The close codes that have a name.
_CODES = frozenset(map(int, rfc6455.CloseCode))

_numbers = itertools.count(1)


class Chat:
    """What all sessions share."""

    def __init__(
        self, settings: Settings, hub: Hub, guard: Guard, pages: Pages, metrics: Metrics, tls: ssl.SSLContext | None
    ) -> None:
        self.settings = settings
        self.hub = hub
        self.guard = guard
        self.pages = pages
        self.metrics = metrics
        self.tls = tls
        self.caretaker = Caretaker()
        # Each message is compressed for itself (the default: no context takeover), so that all clients can be sent the
        # same bytes and none keeps a compressor. Most lines of a chat are too short to gain from it.
        self.extensions = [rfc6455.PerMessageDeflate(threshold=200)] if settings.deflate else []
        self.limits = rfc6455.Limits(message=settings.max_message or None)
        self.timeouts = rfc6455.Timeouts(
            open=settings.open_timeout or None,
            ping_interval=settings.ping_interval or None,
            pong=settings.pong_timeout or None,
            close=settings.close_timeout or None,
        )


class Session:
    """One client. `run` is its thread; `deliver`, `close` and `tick` are for the others."""

    def __init__(self, sock: socket.socket, host: str, port: int, chat: Chat) -> None:
        now = time.monotonic()
        settings = chat.settings
        self.sock = sock
        self.name = ""
        self.prefix = NO_PREFIX
        self.number = next(_numbers)
        self._host = host
        self._peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._chat = chat
        self._bucket = Bucket(settings.rate, now)
        self._meter = Meter()
        self._read_size = IDLE_READ
        self._lock = threading.Lock()
        self._tls = None if chat.tls is None else TLS(chat.tls)
        self._ws = rfc6455.Endpoint(
            rfc6455.ServerHandshake(
                extensions=chat.extensions,
                # Which pages may connect, and under which names, is decided in `service/access.py`, whose refusals
                # name the switches.
                origins=rfc6455.ANY_ORIGIN,
                limits=chat.limits,
                plain_http=True,
            ),
            chat.timeouts,
            now=now,
        )
        self._has_sent = False
        self._request: rfc6455.Request | None = None
        self._kind: tuple[object, ...] = ()
        self._outbox = Outbox(
            sock,
            settings.outbox_bytes,
            settings.outbox_messages,
            encrypt=None if self._tls is None else self._tls.encrypt,
            blocked=lambda: chat.caretaker.watch(self),
        )
        # A session does not take part before its handshake, and no more when a Close frame came or went.
        self._takes_part = False
        # How it ended: the close code and the reason, ours where we began to close.
        self._end: tuple[int, str] | None = None
        self._is_finished = False
        self._has_failed = False
        self._delivered = 0
        self._settled: Counter[str] = Counter()
        self.due = 0.0
        self._set_due()
        chat.caretaker.add(self)

    def look(self) -> None:
        """For the thread that listens, before `run`: takes what the client has sent already. Never waits or raises.

        Usually that is the whole request, and the session's own thread wakes up to answer it. Not with TLS, whose
        handshake would keep the others at the door.
        """
        if self._tls is None:
            try:
                self._take_request(self.sock.recv(IDLE_READ, socket.MSG_DONTWAIT))
            except OSError:
                pass  # nothing yet; or the client is gone, which the session's own thread will see
            except Exception as error:
                self.fail(error)

    # The client's own thread.

    def run(self) -> None:
        """The whole life of the session."""
        try:
            request = self._receive_request()
            if request is not None:
                self._serve(request)
            self._linger()
        except OSError:
            pass  # the client is gone; if it had joined, that was told already
        except Exception as error:
            self.fail(error)
        finally:
            with self._lock:
                self._finish()
            self._release()

    def abandon(self) -> None:
        """Ends a session for which there is no thread."""
        self.cut()
        self._release()

    def _release(self) -> None:
        self.settle()
        self._outbox.detach()  # or thousands of sessions would wait for the garbage collector
        self._chat.caretaker.release(self)
        self._chat.guard.release(self._host)

    def _receive_request(self) -> rfc6455.Request | None:
        """Gives the request when it is whole; ``None`` when there is none and no more to be done."""
        while self._request is None and not self._is_finished:
            self._take_request(self._read())
        return self._request

    def _take_request(self, data: bytes) -> None:
        """Takes the next bytes of the request; ``b""`` is the end of file."""
        with self._lock:
            if self._is_finished:
                return
            if not (data or self._has_sent):
                self._finish()  # one that only looked whether there is a server
                return
            self._has_sent = True
            self._take(self._receive_events(data))

    def _serve(self, request: rfc6455.Request) -> None:
        path = room_of(request.path)
        refusal = refusal_of(request, self._chat.settings)
        if refusal is not None:
            self._reject(refusal.status, (), refusal.body.encode())
            self._log_refused(status=refusal.status, reason=refusal.reason, value=refusal.value)
        elif not request.is_upgrade:
            answer = self._chat.pages.answer(request.path)
            self._reject(answer.status, answer.headers, answer.body)
            self._log("page", path=request.path, status=int(answer.status))
            self._chat.metrics.count("connections", label='as="page"')
        elif path is None:
            self._reject(404, (), b"There is no such room.\n")
            self._log_refused(status=404, reason="no such room", path=request.path)
        else:
            self._chat_in(path)

    def _reject(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        with self._lock:
            if not self._ws.closed:
                self._ws.reject(status, headers, body)
                self._finish()

    def _chat_in(self, path: str) -> None:
        if not self._open():
            return
        room = self._chat.hub.join(path, self)
        try:
            self._chat.metrics.count("connections", label='as="client"')
            self._greet()
            self._log("connect", room=path)
            self._converse(room)
        finally:
            self._log_end()
            self._chat.hub.leave(room, self)

    def _open(self) -> bool:
        """Accepts the client, unless it has gone or waited for too long."""
        with self._lock:
            if self._ws.closed or self._is_finished:
                return False
            connection = self._ws.accept(now=time.monotonic())
            self._kind = tuple(codec.shared_key for codec in connection.extensions)
            self._outbox.hold()
            self._outbox.put(self._ws.data_to_send())
            self._set_due()
            self._takes_part = True
        return True

    def _greet(self) -> None:
        """Sends the 101 and what the room said on joining: one write, and not while the room is locked."""
        with self._lock:
            self._outbox.release()
            self._check_outbox()

    def _converse(self, room: Room) -> None:
        """Does what the client's frames say, until the connection is closed.

        One bounded step at a time (`rfc6455.Endpoint.receive_data`), so that little is inflated before the rate is
        looked at. What the connection answers is sent at once, but for the last answer: when a client sees our Close
        frame, all that it said before its own was told to the others.
        """
        ws, connection = self._ws, self._ws.connection
        assert connection is not None
        farewell = b""
        while not ws.closed:
            data = None if ws.unread else self._read()
            with self._lock:
                events = self._receive_events(data)
                texts = self._take(events)
                answer = ws.data_to_send()
                if ws.closed:
                    farewell = answer
                else:
                    self._outbox.put(answer)
                    self._check_outbox()
            tokens = self._meter.cost(connection.bytes_received, len(events), texts)
            if tokens and not self._may_say(tokens):
                self.close(rfc6455.CloseCode.POLICY_VIOLATION, "too many messages")
                break  # what it still sends is dropped in `_linger`: to parse and inflate it would be work for nothing
            if texts:
                self._say(room, texts)
                if room.is_behind:
                    self._hold_back(room)
        with self._lock:
            self._outbox.put(farewell)

    def _receive_events(self, data: bytes | None) -> list[rfc6455.Request | rfc6455.Response | rfc6455.Event]:
        """Takes what was read, and tells the time."""
        events = self._ws.receive_data(data, now=time.monotonic())
        self._set_due()
        return events

    def _take(self, events: Iterable[rfc6455.Request | rfc6455.Response | rfc6455.Event]) -> list[str]:
        """Does what is to be done in here; gives the texts, if the client still takes part."""
        took_part = self._takes_part
        texts = []
        for event in events:
            match event:
                case rfc6455.Request():
                    self._request = event
                case rfc6455.TextMessage(text):
                    texts.append(text)
                case rfc6455.BytesMessage():
                    self._close(rfc6455.CloseCode.UNSUPPORTED_DATA, "this chat is of text")
                case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                    self._log_refused(status=int(error.status or 400), reason=error.reason)
                    self._finish()
                case rfc6455.Closed():
                    self._end = self._end or (event.code, event.reason if event.clean else str(event))
                    self._takes_part = False
        return texts if took_part else []

    def _say(self, room: Room, texts: Sequence[str]) -> None:
        began = time.perf_counter()
        self._chat.hub.say(room, self, texts)
        self._chat.metrics.fanned_out(len(texts), time.perf_counter() - began)

    def _may_say(self, tokens: int) -> bool:
        now = time.monotonic()
        return self._bucket.take(tokens, now) and self._chat.guard.may_say(self._host, tokens, now)

    def _hold_back(self, room: Room) -> None:
        """Reads nothing until those who listen have caught up. The client's answers are not late meanwhile."""

        def while_behind() -> bool:
            with room.lock:
                return self._takes_part and not self._is_finished and room.look(self)

        with self._lock:
            self._ws.pause(now=time.monotonic())
            self._set_due()
        pace.hold_back(while_behind)
        with self._lock:
            self._ws.resume(now=time.monotonic())
            self._set_due()

    def _read(self) -> bytes:
        """The next bytes of HTTP or of frames; ``b""`` at the end."""
        if self._tls is None:
            return self._receive()
        while True:
            data = self._decrypt(self._tls, self._receive())
            if data or self._tls.is_at_end:
                return data

    def _receive(self) -> bytes:
        data = self.sock.recv(self._read_size)
        self._read_size = BUSY_READ if len(data) == self._read_size else IDLE_READ
        return data

    def _decrypt(self, tls: TLS, data: bytes) -> bytes:
        with self._lock:
            try:
                return tls.receive_data(data)
            except ssl.SSLError as error:
                if self._ws.connection is None:
                    self._log_refused(reason=error.reason)
                else:
                    self._end = self._end or (int(rfc6455.CloseCode.ABNORMAL_CLOSURE), f"TLS: {error.reason}")
                raise
            finally:
                self._outbox.put_raw(tls.data_to_send())

    def _linger(self) -> None:
        """Says that nothing more will come, and waits for the client to say the same. If we closed with input unread,
        TCP would reset the connection, and the client might never see why (7.1.1)."""
        with self._lock:
            self._finish()
        while self.sock.recv(BUSY_READ):
            pass

    # For other threads.

    @property
    def latency(self) -> float:
        """How long the last answer to a ping took, in seconds; 0 before the first."""
        return self._ws.latency or 0.0

    def settle(self) -> None:
        """Counts what went through since it was last called."""
        with self._lock:
            now = Counter(
                received_bytes=0 if self._ws.connection is None else self._ws.connection.bytes_received,
                sent_bytes=self._outbox.sent_bytes,
                delivered_lines=self._delivered,
            )
            self._chat.metrics.count_all(now - self._settled)
            self._settled = now

    @property
    def load(self) -> float:
        """What waits for the client, as a share of what may; 0 for one that takes part no more."""
        return self._outbox.load if self._takes_part else 0.0

    @property
    def held(self) -> int:
        """How many bytes wait for the client."""
        return self._outbox.held

    def give_way(self) -> None:
        """Forgets what waits for the client, and closes; when that was done before, ends. Never waits or raises."""
        code, reason = rfc6455.CloseCode.TRY_AGAIN_LATER, "the server needs the memory"
        try:
            with self._lock:
                if self._takes_part and self._tls is None:
                    self._outbox.shed()
                    self._close(code, reason)
                else:
                    self._takes_part = False
                    self._end = self._end or (code, reason)
                    self._cut()
        except Exception as error:
            self.fail(error)

    def deliver(self, batch: Batch) -> float:
        """Sends the batch, or leaves it in the outbox; returns the load. Never waits or raises."""
        try:
            with self._lock:
                if self._takes_part and not self._ws.closed:
                    self._outbox.put(batch.serialised(self._kind, self._ws), batch.count)
                    self._delivered += batch.count
        except Exception as error:
            self.fail(error)
        return self.load

    def close(self, code: int, reason: str) -> None:
        """Begins the closing handshake; one that has not been opened is cut off. Never waits or raises."""
        try:
            with self._lock:
                self._close(code, reason)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Ends a session with which something of ours went wrong, which is logged once. Never raises."""
        with self._lock:
            is_first, self._has_failed = not self._has_failed, True
            self._takes_part = False
            self._end = self._end or (int(rfc6455.CloseCode.INTERNAL_ERROR), "an error of the server")
            self._cut()
        if is_first:
            failure(error, client=self.number, peer=self._peer)

    def cut(self) -> None:
        """Ends the connection at once."""
        with self._lock:
            self._cut()

    def flush(self) -> bool:
        """For the caretaker: sends what waits; says whether anything is left."""
        with self._lock:
            self._outbox.flush()
            if self._is_finished:
                self._half_close()
            return not self._outbox.is_empty

    def tick(self, now: float) -> None:
        """For the caretaker: does what is due, which is a ping or an end."""
        with self._lock:
            if self._is_finished:
                self._cut()
            elif self._has_input():
                self.due = now + PATIENCE
            else:
                self._take(self._receive_events(None))
                self._outbox.put(self._ws.data_to_send())
                if self._ws.closed:
                    self._finish()

    def _has_input(self) -> bool:
        """Whether the session's own thread has something to go on with. What it says must not get lost in here."""
        try:
            return self._ws.unread > 0 or bool(self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    # With the lock held.

    def _check_outbox(self) -> None:
        """For what the client itself asked for; what others say is looked at in `service/pace.py`."""
        if self.load > pace.TOO_MUCH:
            self._close(rfc6455.CloseCode.TRY_AGAIN_LATER, "too slow for this chat")

    def _close(self, code: int, reason: str) -> None:
        if self._ws.connection is None:
            self._cut()
            return
        self._takes_part = False
        self._ws.close(code, reason)
        self._end = self._end or (code, reason)
        self._take(self._receive_events(None))
        self._outbox.put(self._ws.data_to_send())

    def _set_due(self) -> None:
        due = self._ws.next_deadline()
        self.due = float("inf") if due is None else due

    def _finish(self) -> None:
        """Nothing more is to be said; from now on the caretaker only waits for the end."""
        if not self._is_finished:
            self._is_finished = True
            self._takes_part = False
            self.due = time.monotonic() + (self._chat.timeouts.tcp_close or 0.0)
            self._outbox.put(self._ws.data_to_send())
            if self._tls is not None:
                self._outbox.put_raw(self._tls.close())
            self._half_close()

    def _half_close(self) -> None:
        if self._outbox.is_empty:
            self._shutdown(socket.SHUT_WR)

    def _cut(self) -> None:
        """Wakes the thread, whose recv() then says that the stream has ended."""
        self._is_finished = True
        self._outbox.drop()
        self._shutdown(socket.SHUT_RDWR)

    def _shutdown(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # the client was first

    # The log.

    def _log(self, event: str, **fields: object) -> None:
        log(event, client=self.number, peer=self._peer, **fields)

    def _log_refused(self, **fields: object) -> None:
        self._chat.metrics.count("connections", label='as="refused"')
        self._log("refused", **fields)

    def _log_end(self) -> None:
        code, reason = self._end or (int(rfc6455.CloseCode.ABNORMAL_CLOSURE), "the connection was lost")
        # A client may make up thousands of codes, and each label is kept for ever.
        self._chat.metrics.count("closes", label=f'code="{int(code) if code in _CODES else "other"}"')
        self._log("disconnect", name=self.name, code=int(code), reason=lines.clean(reason))
