"""A WebSocket protocol for uvicorn, with which any ASGI app (for example with Starlette or FastAPI) uses `rfc6455`.

    uvicorn --ws rfc6455_io.uvicorn:Protocol app:app

What lives here: asyncio's callbacks on one side, ASGI's `receive` and `send` on the other, and their coordination:
order, back-pressure, and the end. Not here: the protocol, which is up to the library; the queue for the app
(`_uvicorn_inbox.py`); the form of the scope and of a denial (`_uvicorn_asgi.py`); uvicorn's options
(`_uvicorn_options.py`).

The law: everything that happens on an open connection, be it a read, a call of the app or a timer, ends with `_step`,
which writes the data to send and decides whether to read on. Nothing awaits between checking the state and changing
it, so no lock is needed. Everything that a client can make this end keep is bounded: by `Inbox` for messages that the
app has not taken, by the transport's high-water mark for data that the client has not read, and by `Limits` for the
rest.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.logging import TRACE_LOG_LEVEL
from uvicorn.protocols.utils import ClientDisconnected, get_client_addr, get_path_with_query_string, get_remote_addr
from uvicorn.server import ServerState

import rfc6455
from rfc6455 import CloseCause, CloseCode

from ._uvicorn_asgi import UNEXPECTED, Denial, Message, Stage, fields_to_add, scope_of
from ._uvicorn_inbox import Inbox, size_of
from ._uvicorn_options import Origins, new_handshake, timeouts_for

__all__ = ["Protocol"]

App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[object]]

# uvicorn's logger for everything about connections, whatever the level.
logger: logging.Logger = logging.getLogger("uvicorn.error")

# The time in seconds in which a client can answer the Close frame when the server is stopped, or read the reason after
# it broke a rule. A live client needs one round trip.
GRACE = 2.0

# Queued data is written together in the loop's next iteration, or immediately at this size. It is asyncio's own
# high-water mark, so that an app that goes on sending has to wait.
HIGH_WATER = 64 << 10

# The time in seconds to wait, after the connection has ended, for the client to read more of the rest. When an app
# ends, a slow client may still have to read megabytes from the transport.
FLUSH = 10.0

# The size of a client's messages, in bytes or characters, that are handled before the others get their turn. One read
# can inflate to a lot.
TURN = 512 << 10


class Protocol(asyncio.Protocol):
    """A WebSocket connection, which uvicorn creates when it has received a request for one.

    It supports the options ``--ws-max-size``, ``--ws-max-queue``, ``--ws-ping-interval`` and ``--ws-ping-timeout`` (0
    turns either of them off), ``--ws-per-message-deflate``, ``--root-path``, and the options about headers. Instead of
    using the command line, you can call ``uvicorn.run(app, ws=Protocol)``. To change settings for which uvicorn has no
    option, derive a class.
    """

    #: Which pages may connect (10.2). uvicorn leaves that to the app; ``rfc6455.SAME_HOST`` is the safe choice. Put a
    #: rule of your own into a tuple: a function alone would become a method.
    origins: Origins = rfc6455.ANY_ORIGIN

    #: What ``--ws-per-message-deflate`` turns on. The defaults keep no zlib state between messages.
    extensions: Sequence[rfc6455.Extension] = (rfc6455.PerMessageDeflate(),)

    #: Whether a Close frame tells the client that the app has failed (1011) or returned (1000) without closing. By
    #: default, TCP is closed without a Close frame, as uvicorn's own classes do, and the client sees 1006.
    tells_end: bool = False

    #: The time in seconds to wait for the client's Close frame after the app's (7.1.1).
    close_timeout: float = 10.0

    #: The transport, as asyncio passed it.
    transport: asyncio.Transport

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Prepare for a connection: called by uvicorn."""
        if not config.loaded:
            config.load()
        self._config = config
        self._app = cast("App", config.loaded_app)
        self._app_state = app_state
        self._default_headers = fields_to_add(server_state.default_headers)
        self._connections = cast("set[Any]", server_state.connections)
        self._tasks = cast("set[Any]", server_state.tasks)
        self._loop = _loop or asyncio.get_running_loop()
        self._is_paused = False  # whether reading has stopped, as too much is waiting for the app
        handshake = new_handshake(config, self.origins, self.extensions)
        timeouts = timeouts_for(config.ws_ping_interval, config.ws_ping_timeout)
        self._ws = rfc6455.Endpoint(handshake, timeouts, now=self._loop.time())
        self._has_more = False  # whether events are left, as the inbox is full or it is the turn of other clients
        self._has_failed = False  # whether the opening handshake was answered with 500
        self._broke_rules = False
        self._stage = Stage.REQUESTED
        self._inbox = Inbox(config.ws_max_queue)
        self._scope: dict[str, Any] = {}
        self._denial: Denial | None = None
        self._unsent = 0  # the size of the data queued since the last write
        self._is_write_due = False  # whether the loop will write the queued data
        # Set while the app may send, and after the end, so that nobody waits for ever.
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        # When the timer is due. uvloop's handle for a timer that is due immediately does not tell.
        self._timer_at = 0.0
        self._next_portion: asyncio.Handle | None = None
        # Runs while the client's Close frame is awaited.
        self.close_timer: asyncio.TimerHandle | None = None

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._trace("WebSocket connection made")

    def data_received(self, data: bytes) -> None:
        # Data from a client that was denied is ignored.
        if self._is_open or not (self._ws.closed or self.transport.is_closing()):
            try:
                self._receive(data)
            except Exception:
                if self._scope or self._ws.request is None:
                    raise
                # A rule in `origins`. In this call, the transport does not belong to this protocol yet: uvicorn would
                # never tell it of the end, and wait for it when the server is stopped.
                logger.exception("Exception in the WebSocket handshake for %s\n", self._ws.request.path)
                self._fail_opening()

    def eof_received(self) -> None:
        self._receive(b"")
        self._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._trace("WebSocket connection lost")
        self._replace_timer(None)
        self._stop_close_timer()
        self._receive(b"")
        if not self._is_open:
            self._disconnect(CloseCode.ABNORMAL_CLOSURE)
        self._writable.set()

    def pause_writing(self) -> None:
        if self._inbox.farewell is None:
            self._writable.clear()
            self._set_clock()

    def resume_writing(self) -> None:
        self._writable.set()
        self._flush()
        self._set_clock()

    # Called by uvicorn.

    def shutdown(self) -> None:
        """Close because the server is stopping: with 1012 (Service Restart) for an open connection, with 500 for one
        that waits for the app."""
        if self._stage in (Stage.REQUESTED, Stage.DENYING) and not self.transport.is_closing():
            self._fail_opening()
        elif self._stage is Stage.ACCEPTED and not self._ws.closed:
            self._say_goodbye(CloseCode.SERVICE_RESTART, wait=GRACE)
        else:
            self._hang_up()

    # The opening handshake. uvicorn has parsed the request, and passes it on as bytes again.

    def _start_app(self, request: rfc6455.Request) -> None:
        self._scope = scope_of(request, self._config, self.transport, self._app_state)
        task = self._loop.create_task(self._run_app())
        self._tasks.add(task)
        task.add_done_callback(self._app_ended)

    def _send_refusal(self) -> None:
        # The stage of the app is unchanged: it may still try to answer, and is told that the client is gone.
        self._disconnect(CloseCode.ABNORMAL_CLOSURE)
        if not self.transport.is_closing():
            if data := self._ws.data_to_send():
                self.transport.write(data)
            self._hang_up()

    def _fail_opening(self) -> None:
        self._has_failed = True
        if self._denial is None or not self._denial.has_begun:
            # Without the headers that an app or an option adds, as they may have caused the error.
            self._ws.reject(500, body=b"Internal Server Error")
        self._send_refusal()

    # The app: its task, what it receives, what it sends.

    async def _run_app(self) -> CloseCode:
        """Run the app, and return the close code for the way in which it ended (7.4.1)."""
        try:
            result = await self._app(self._scope, self._asgi_receive, self._asgi_send)
        except ClientDisconnected:
            return CloseCode.NORMAL_CLOSURE
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:
            logger.exception("Exception in ASGI application\n")
            return CloseCode.INTERNAL_ERROR
        if result is not None and self._stage is not Stage.REQUESTED:
            logger.error("ASGI callable should return None, but returned '%s'.", result)
        return CloseCode.NORMAL_CLOSURE

    def _app_ended(self, task: asyncio.Task[CloseCode]) -> None:
        """End the connection with its app, as ASGI requires. A task may be cancelled before it has begun, so this is a
        callback of it."""
        self._tasks.discard(task)
        code = CloseCode.INTERNAL_ERROR if task.cancelled() else task.result()
        if self._is_open:
            self._end_without_app(code)
        elif not self.transport.is_closing():
            if code == CloseCode.NORMAL_CLOSURE:
                logger.error("ASGI callable returned without completing handshake.")
            self._fail_opening()

    def _end_without_app(self, code: CloseCode) -> None:
        if self.tells_end:
            self._say_goodbye(code)
        elif self._stage is Stage.ACCEPTED and not self._ws.closed and self.close_timer is None:
            self._disconnect(CloseCode.ABNORMAL_CLOSURE)
            self._flush()
            self._hang_up()
        else:
            self._disconnect(code)
            self._receive(None)  # nobody takes the remaining events, and the end may be among them

    async def _asgi_receive(self) -> Message:
        inbox = self._inbox
        message = inbox.take() or await inbox.get()
        if (self._is_paused or self._has_more) and self._is_open:
            self._receive(None)  # the inbox may have room again
        return message

    async def _asgi_send(self, message: Message) -> None:
        if not self._writable.is_set():
            await self._writable.wait()
        act = _ACTS.get((self._stage, message["type"]))
        if act is None:
            raise RuntimeError(UNEXPECTED[self._stage].format(message["type"]))
        if self._inbox.farewell is not None or self.transport.is_closing():
            raise ClientDisconnected
        act(self, message)

    def _accept(self, message: Message) -> None:
        headers = [*self._default_headers, *message.get("headers", ())]
        self._ws.accept(message.get("subprotocol") or None, headers, now=self._loop.time())
        self._stage = Stage.ACCEPTED
        self._log("[accepted]")
        self._receive(None)

    def _forbid(self, message: Message) -> None:
        self._ws.reject(403, self._default_headers)
        self._log("403")
        self._stage = Stage.OVER
        self._send_refusal()

    def _start_denial(self, message: Message) -> None:
        status, headers = message["status"], message.get("headers", ())
        if not 200 <= status < 600:
            raise RuntimeError(f"Invalid HTTP status code '{status}' in response.")
        self._denial = Denial(self._ws, status, self._default_headers, headers)
        self._log(str(status))
        self._stage = Stage.DENYING
        self.transport.write(self._denial.head_if_known())

    def _go_on_denying(self, message: Message) -> None:
        denial = self._denial
        assert denial is not None
        is_last = not message.get("more_body", False)
        self.transport.write(denial.body(message.get("body", b""), is_last))
        if is_last:
            self._stage = Stage.OVER
            self._send_refusal()

    def _send(self, message: Message) -> None:
        data, text = message.get("bytes"), message.get("text")
        if data is not None:
            self._ws.send_bytes(data)
            self._unsent += len(data)
        elif text is not None:
            self._ws.send_text(text)
            self._unsent += len(text)
        else:
            raise RuntimeError("websocket.send needs bytes or text")
        if self._unsent >= HIGH_WATER:
            self._flush()
        elif not self._is_write_due:
            self._is_write_due = True
            self._loop.call_soon(self._write_now)

    def _close(self, message: Message) -> None:
        code = message.get("code")
        self._say_goodbye(CloseCode.NORMAL_CLOSURE if code is None else code, message.get("reason") or "")
        self._stage = Stage.OVER

    # The open connection.

    @property
    def _is_open(self) -> bool:
        """Whether the app has accepted the connection, even if it has closed since."""
        return self._ws.connection is not None

    def _receive(self, data: bytes | None) -> None:
        """Process input (``b""`` at its end), as long as there is room in the inbox and it is not the turn of others.
        After the app has closed, there is always room. The library keeps the rest."""
        if self._ws.must_close:
            return  # the connection to this client is being closed anyway
        size = 0
        self._has_more = not self._inbox.has_room
        events = self._ws.events(data, now=self._loop.time())
        while not self._has_more or self._ws.closed:
            event = next(events, None)
            if event is None:
                self._has_more = False
                break
            self._handle(event)
            size += size_of(event)
            self._has_more = not self._inbox.has_room or size >= TURN
        self._step()

    def _handle(self, event: rfc6455.Request | rfc6455.Response | rfc6455.Event) -> None:
        match event:
            case rfc6455.Request():
                self._start_app(event)
            case rfc6455.TextMessage() | rfc6455.BytesMessage():
                self._inbox.put(event)
            case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                if not (self._scope or self._has_failed):  # it is neither the app's answer nor in the log
                    logger.warning("WebSocket handshake refused: %s", error)
                self._send_refusal()
            case rfc6455.Closed(cause=CloseCause.PONG_TIMEOUT):
                self._trace("WebSocket keepalive ping timeout")
                self._ws.close(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                self._disconnect(CloseCode.INTERNAL_ERROR)
            case rfc6455.Closed(code, reason, clean, error):
                self._broke_rules = error is not None
                self._disconnect(code, reason if clean else None)

    def _step(self) -> None:
        """Write the data to send. Then end, go on, or wait for more."""
        if not self._is_open:
            return
        self._flush()
        if self.transport.is_closing():
            return
        if self._ws.must_close:
            self._end()
            return
        self._read_if(self._inbox.has_room)
        if self._has_more and self._inbox.has_room and self._next_portion is None:
            self._next_portion = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._next_portion = None
        self._receive(None)

    def _write_now(self) -> None:
        self._is_write_due = False
        self._flush()

    def _flush(self) -> None:
        """Write the data to send. While the client does not read, the library keeps it, with only the last few Pongs
        (5.5.3), so that a flood of Pings cannot pile up answers."""
        if not self._ws.has_data_to_send or not self._writable.is_set() or self.transport.is_closing():
            return
        self._unsent = 0
        buffers = self._ws.buffers_to_send()
        if len(buffers) == 1:
            self.transport.write(buffers[0])
        else:
            self.transport.writelines(buffers)

    def _read_if(self, wanted: bool) -> None:
        if wanted is self._is_paused:
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
            self._is_paused = not wanted
            self._set_clock()
        elif wanted:
            self._set_timer()
        else:
            self._set_clock()

    def _set_clock(self) -> None:
        """Stop the clock while the app keeps us from reading, since a Pong that we do not read is not late. But do not
        stop it while the client does not read either: the app may be waiting for just that, and such a client could
        stay for ever."""
        if self._is_paused and self._writable.is_set():
            self._ws.pause(now=self._loop.time())
        else:
            self._ws.resume(now=self._loop.time())
            self._set_timer()

    def _set_timer(self) -> None:
        """Set the timer for the next deadline. An earlier timer is left as it is, since checking again when it is due
        is cheaper than a new one."""
        if not self._is_open or self._ws.closed or self.transport.is_closing():
            return  # only the end is awaited now
        at = self._ws.deadlines.next_deadline()
        if at is not None and (self._timer is None or self._timer_at > at):
            # One iteration of the loop later, so that the socket has been read by then: libuv checks timers twice
            # before it checks sockets.
            self._replace_timer(self._loop.call_at(at, self._loop.call_soon, self._on_time))
            self._timer_at = at

    def _on_time(self) -> None:
        self._timer = None
        if not self._has_more:
            self._receive(None)
            return
        # The time is passed once. If it were passed twice before the next read, it could end a connection whose data
        # is only read late.
        self._ws.advance(now=self._loop.time())
        if self._ws.closed:
            self._receive(None)  # the remaining events, and the end after them
        else:
            self._step()

    # The end.

    def _say_goodbye(self, code: int, reason: str | None = None, wait: float | None = None) -> None:
        """Begin the closing handshake (7.1.2), and wait this many seconds for its end. Tell the app immediately."""
        self._ws.close(code, reason or "")
        self._disconnect(code, reason)
        self._receive(None)
        if not self.transport.is_closing() and not self._ws.closed and self.close_timer is None:
            wait = self.close_timeout if wait is None else wait
            self.close_timer = self._loop.call_later(wait, self._hang_up)

    def _stop_close_timer(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None

    def _disconnect(self, code: int, reason: str | None = None) -> None:
        self._inbox.close(code, reason)
        self._writable.set()

    def _end(self) -> None:
        """End TCP. 7.1.1: the server closes it. Closing it with unread input resets the connection, and the client may
        lose the Close frame, so go on reading for a while if the client broke a rule."""
        if not self._broke_rules:
            self._hang_up()
            return
        if self.transport.can_write_eof():
            with suppress(OSError):  # reset; reading will find the end
                self.transport.write_eof()
        self._read_if(True)
        self._replace_timer(self._loop.call_later(GRACE, self._hang_up))

    def _hang_up(self) -> None:
        """Close TCP when everything has been sent, or when the client has read nothing for `FLUSH` seconds."""
        self._stop_close_timer()
        if not self.transport.is_closing():
            self.transport.close()
            self._replace_timer(self._loop.call_later(FLUSH, self._cut, math.inf))

    def _cut(self, left_before: float) -> None:
        left = self.transport.get_write_buffer_size()
        if 0 < left < left_before:
            self._replace_timer(self._loop.call_later(FLUSH, self._cut, left))
        else:
            self.transport.abort()

    def _replace_timer(self, timer: asyncio.TimerHandle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    def _trace(self, what: str) -> None:
        if logger.level <= TRACE_LOG_LEVEL:
            peer = get_remote_addr(self.transport)
            logger.log(TRACE_LOG_LEVEL, "%s%s", "{}:{} - ".format(*peer) if peer else "", what)

    def _log(self, outcome: str) -> None:
        scope = cast("Any", self._scope)
        logger.info('%s - "WebSocket %s" %s', get_client_addr(scope), get_path_with_query_string(scope), outcome)


# The events that an app may send at each stage, and their methods. Anything that is not in this table is an error.
_ACTS: dict[tuple[Stage, str], Callable[[Protocol, Message], None]] = {
    (Stage.REQUESTED, "websocket.accept"): Protocol._accept,
    (Stage.REQUESTED, "websocket.close"): Protocol._forbid,
    (Stage.REQUESTED, "websocket.http.response.start"): Protocol._start_denial,
    (Stage.DENYING, "websocket.http.response.body"): Protocol._go_on_denying,
    (Stage.ACCEPTED, "websocket.send"): Protocol._send,
    (Stage.ACCEPTED, "websocket.close"): Protocol._close,
}
