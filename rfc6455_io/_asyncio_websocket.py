"""A connection for coroutines: `WebSocket`, and the `Listener` on which it is built.

What lives here: the queue of messages between the listener and the receiving task, and the order of the tasks that
send. Not here: how connections are made.

The law: a cancellation loses nothing. A message leaves the queue in the step in which `WebSocket.recv` returns it, and
`WebSocket.send` waits before it sends, never after. When the queue is full, a waiting task takes the messages. If
there is no such task, reading stops. The queue is full with 64 small messages or one large one, so a message within
the limits always fits.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
)
from contextlib import aclosing
from contextvars import Context
from typing import Any, NoReturn

from rfc6455 import (
    CloseCause,
    Closed,
    ConnectionClosedError,
    LocalProtocolError,
    PreparedMessage,
)
from rfc6455._signatures import SIGNATURE

from ._asyncio_driver import Driver, Listener
from ._known import Known
from ._messages import (
    GOOD_ENDS,
    MESSAGE,
    NOT_IN_PARTS,
    NOT_WHOLE,
    QUEUE,
    Part,
    Pings,
    Sendable,
    each_part,
    kind_of_part,
    not_a_connection,
    size_of,
)

# Reported to a task that sends when TCP has ended, but the real end waits behind messages that were not received.
CUT_OFF = Closed(1006, "", False, None, CloseCause.EOF_IDLE)


class Inbox(Listener):
    """The listener below a `WebSocket`: the messages not received yet, and the tasks that wait."""

    __slots__ = ("end_event", "gone", "loop", "pings", "queue", "receiver", "room", "sends_parts", "size", "turns")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        # A list, as it is short, and takes a tenth of the memory of an empty deque.
        self.queue: list[str | bytes | Part] = []
        self.size: int = 0
        self.receiver: Receiver = Receiver(self.loop)
        # The tasks that wait to send, in order. One is woken at a time, and wakes the next.
        self.turns: list[asyncio.Future[None]] = []
        # Whether a message is being sent in parts, and if the peer is slow, the future that is awaited between two.
        self.sends_parts: bool = False
        self.room: asyncio.Future[None] | None = None
        self.pings: Pings = Pings()
        self.end_event: Closed | None = None  # set when all messages before it have been received
        self.gone: asyncio.Future[Closed] | None = None

    # Called by the driver.

    def _message(self, message: str | bytes) -> None:
        self._put(message, len(message))

    def part(self, part: Part) -> None:
        self._put(part, size_of(part))

    def _put(self, item: str | bytes | Part, size: int) -> None:
        driver = self._driver
        if self.size >= QUEUE and driver.is_closing:
            return  # nobody has received the earlier messages, and the peer's Close is awaited
        self.queue.append(item)
        self.size += size + MESSAGE
        if driver.endpoint._has_end():
            driver.await_answer()
        if self.size >= QUEUE:
            # A task that waits takes the queued messages now, so that reading need not stop.
            if self.receiver.callback is not None:
                self.receiver.wake()
            if self.size >= QUEUE:
                driver.hold()

    def _after_read(self) -> None:
        if self.receiver.callback is not None and (self.queue or self.end_event is not None):
            self.receiver.wake()

    def pong(self, payload: bytes) -> None:
        for ping in self.pings.take_pong(payload, self.loop.time()):
            _wake(ping.waiter)

    def writable(self) -> None:
        if self.room is not None:
            _wake(self.room)
        else:
            self.wake_next()

    def closed(self, closed: Closed) -> None:
        self.end_event = closed
        self._cut_off()
        for ping in self.pings:
            _wake(ping.waiter)

    # For the task that receives.

    def _cut_off(self) -> None:
        for turn in (self.room, *self.turns):
            if turn is not None:
                _wake(turn)

    def check_end(self) -> None:
        """Raise an exception if nothing can be sent any more, even while the end waits behind unreceived messages."""
        if self._driver.is_cut_off:
            # The peer's last messages may not have been received yet, but TCP has ended in any case.
            raise ConnectionClosedError(self.end or CUT_OFF)

    def wait(self) -> Receiver:
        """Return the object to await while the queue is empty."""
        if self.end_event is not None:
            raise ConnectionClosedError(self.end_event)
        receiver = self.receiver
        if receiver.callback is not None:
            raise RuntimeError("recv() is already waiting in another task; only one task can receive at a time")
        driver = self._driver
        if driver.has_write_due:
            driver.write()  # there will be nothing more to send together with it
        if driver.is_answer_due:
            driver.end_answer()
        if receiver.is_spent:
            self.receiver = receiver = Receiver(self.loop)
        if self.queue or self.end_event is not None:
            driver._go_on_soon()  # a transport in memory has already answered this write
        receiver._asyncio_future_blocking = True
        return receiver

    def take(self, in_parts: bool = False) -> Any:
        """Remove the first item from the queue, and return it: a part or a whole message, or an error."""
        item = self.queue[0]
        if isinstance(item, (str, bytes)):
            if in_parts:
                raise RuntimeError(NOT_IN_PARTS)
            size = len(item)
        else:
            if not in_parts:
                raise RuntimeError(NOT_WHOLE)
            size = size_of(item)
        self.queue.pop(0)
        self.size -= size + MESSAGE
        if self._driver.is_held and self.size < QUEUE // 4:
            self._driver.release()
        return item

    # For the tasks that send.

    @property
    def must_wait(self) -> bool:
        return self.sends_parts or not self._driver.can_write

    async def turn(self) -> None:
        """Wait until it is this task's turn to send, and the peer reads."""
        is_first = True
        while self.end_event is None and (self.must_wait or (is_first and self.turns)):
            self.check_end()
            turn = self.loop.create_future()
            if is_first:
                self.turns.append(turn)
            else:
                self.turns.insert(0, turn)
            is_first = False
            try:
                await turn
            except asyncio.CancelledError:
                if turn.cancelled() or not turn.done():
                    if turn in self.turns:
                        self.turns.remove(turn)
                else:
                    self.wake_next()
                raise

    def wake_next(self) -> None:
        while self.turns and not self.must_wait:
            turn = self.turns.pop(0)
            if not turn.done():
                turn.set_result(None)
                return

    def post(self, message: Sendable, fin: bool = True, compress: bool | None = None) -> None:
        """Send the data, together with that of the task's next sends if it has more messages to answer."""
        driver = self._driver
        driver.queue(message, fin, compress)
        if self.queue or driver.is_busy:
            driver.write_later()
        else:
            driver.write()

    async def ended(self) -> Closed:
        """Wait until the connection and TCP have ended."""
        if self.end_event is not None and self._driver.is_gone:
            return self.end_event
        if not self.queue:
            self._driver.end_answer()
        if self.gone is None:
            self.gone = self.loop.create_future()
        return await asyncio.shield(self.gone)

    def _gone(self) -> None:
        if self.gone is not None and self.end_event is not None:
            self.gone.set_result(self.end_event)


class Receiver:
    """The object that a task awaits while the queue is empty, with those methods of an `asyncio.Future` that a task
    uses.

    With a Future, the loop would continue the task in its next iteration. `wake` continues it immediately, and the
    same object can then be awaited again.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_loop", "_outcome", "callback", "is_spent")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking: bool = False  # see `asyncio.isfuture`
        self.callback: Any = None  # continues the task that waits, with the outcome of a Future
        self._context: Any = None
        self._outcome: asyncio.Future[None] = loop.create_future()
        self._outcome.set_result(None)
        # Whether the loop will continue the task. Until it does, cancelling the task cancels this object.
        self.is_spent: bool = False

    def __await__(self) -> Generator[Receiver, None, None]:
        yield self

    def add_done_callback(self, callback: Callable[[asyncio.Future[None]], None], *, context: Context) -> None:
        self.callback = callback
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        if self.callback is None:
            return False
        self._outcome = self._loop.create_future()
        self._outcome.cancel(msg)
        self._continue_later(self.callback, self._context)
        return True

    def wake(self) -> None:
        callback, context = self.callback, self._context
        self.callback = self._context = None
        try:
            context.run(callback, self._outcome)
        except BaseException as error:
            if isinstance(error, RuntimeError) and asyncio.current_task(self._loop) is not None:
                # A transport in memory calls this from another task, which is still running.
                self._continue_later(callback, context)
            else:
                self._loop.call_soon(_raise, error)  # such as KeyboardInterrupt and SystemExit, which end the loop

    def _continue_later(self, callback: Any, context: Any) -> None:
        self.callback = self._context = None
        self.is_spent = True
        self._loop.call_soon(callback, self._outcome, context=context)


def _raise(error: BaseException) -> None:
    raise error


class Next:
    """The awaitable for the next message, for ``async for``."""

    __slots__ = ("_inbox",)

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def __await__(self) -> Generator[Receiver, None, str | bytes]:
        inbox = self._inbox
        while not inbox.queue:
            end = inbox.end_event
            if end is not None and end.clean and end.code in GOOD_ENDS:
                raise StopAsyncIteration
            yield inbox.wait()
        message: str | bytes = inbox.take()
        return message

    # The methods of a coroutine that a task needs, for ``create_task(anext(ws))``.

    def send(self, _: None) -> Receiver:
        return next(self.__await__())

    def throw(self, error: BaseException) -> NoReturn:
        raise error

    def close(self) -> None:
        pass


class WebSocket(Known):
    """A connection for coroutines: the object that `serve` passes to its handler, and that `connect` returns.

    It is an asynchronous context manager, which closes the connection at the end. It is also an asynchronous iterator
    over messages, which stops when the peer closes with 1000, with 1001 or without a code, and raises
    `rfc6455.ConnectionClosedError` when the connection ends in any other way.

    Any number of tasks may send at the same time; only one may receive.
    """

    __signature__ = SIGNATURE

    __slots__ = ("__weakref__", "_inbox", "_next")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._next = Next(inbox)

    @property
    def _driver(self) -> Driver:
        return self._inbox._driver

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return information about the transport, such as ``"peername"`` or ``"ssl_object"``: see
        ``asyncio.BaseTransport.get_extra_info``."""
        return self._inbox.get_extra_info(name, default)

    # Receiving.

    async def recv(self) -> str | bytes:
        """Return the next message: `str` for text, `bytes` for binary.

        While nobody is receiving, reading stops, and the peer has to wait. Cancelling this call loses nothing, so you
        can use ``asyncio.wait_for(ws.recv(), 10)`` for a timeout.

        :raises rfc6455.ConnectionClosedError: when the connection has ended and all messages have been received. Its
            ``closed`` says why.
        :raises RuntimeError: when another task is receiving, or with the options ``parts=True`` and
            ``decode_text=False``, which require `recv_part`.
        """
        inbox = self._inbox
        while not inbox.queue:
            await inbox.wait()
        message: str | bytes = inbox.take()
        return message

    async def recv_part(self) -> Part:
        """Return the next part of a message if the option ``parts=True`` is set; with ``decode_text=False``, whole
        texts are returned as well, as `rfc6455.EncodedText`. The errors are those of `recv`."""
        inbox = self._inbox
        while not inbox.queue:
            await inbox.wait()
        part: Part = inbox.take(in_parts=True)
        return part

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    def __anext__(self) -> Coroutine[Any, Any, str | bytes]:
        return self._next  # type: ignore[return-value]

    # Sending.

    async def send(
        self, message: Sendable | Iterable[str | bytes] | AsyncIterable[str | bytes], *, compress: bool | None = None
    ) -> None:
        """Send a message. If more than 64 KiB are waiting to be written, wait for the peer first.

        :param message: `str` is sent as text, bytes as binary, and a `rfc6455.PreparedMessage` as it was prepared. The
            items of an iterable, asynchronous or not, are sent as fragments of one message as they become available;
            meanwhile, other tasks have to wait before they can send. If the iterable raises an exception, or the call
            is cancelled, the message cannot be completed, and the connection is closed with 1011.
        :param compress: as for `rfc6455.Connection.send_text`.
        :raises rfc6455.ConnectionClosedError: when the connection has ended; if this side has called `close`, once
            that is complete.
        :raises TypeError: when the message is anything else.
        """
        inbox = self._inbox
        if inbox.turns or inbox.sends_parts or not inbox._driver.can_write:
            await inbox.turn()
        if isinstance(message, (str, bytes, bytearray, memoryview, PreparedMessage)):
            try:
                inbox.post(message, True, compress)
            except LocalProtocolError as error:
                inbox.wake_next()  # nothing was written, so nothing else would wake it
                raise await self._why(error) from None
        else:
            await self._send_parts(message, compress)
        if inbox.turns:
            inbox.wake_next()

    async def _send_parts(
        self, message: Iterable[str | bytes] | AsyncIterable[str | bytes], compress: bool | None
    ) -> None:
        inbox = self._inbox
        kind: type | None = None
        is_begun = False
        inbox.sends_parts = True
        try:
            async with aclosing(each_part(message)) as parts:
                async for part in parts:
                    kind = kind_of_part(part, kind)
                    await self._room()
                    inbox.post(part, False, compress)
                    is_begun = True
            if is_begun:
                inbox.post("" if kind is str else b"")
        except LocalProtocolError as error:
            why = await self._why(error)
            if is_begun:
                inbox.close(1011)
            if why is error:
                raise
            raise why from None
        except BaseException:
            if is_begun:
                inbox.close(1011)
            raise
        finally:
            inbox.sends_parts = False
            inbox.wake_next()

    async def _why(self, error: LocalProtocolError) -> LocalProtocolError:
        """Return the error for a caller whose message was not sent: this one, or, after a `close` from this side, the
        end."""
        if isinstance(error, ConnectionClosedError) or not self._inbox._driver.is_closing:
            return error
        return ConnectionClosedError(await self.wait_closed())

    async def _room(self) -> None:
        """Wait for the peer between two fragments."""
        inbox = self._inbox
        while not inbox._driver.can_write and inbox.end_event is None:
            inbox.check_end()
            inbox.room = inbox.loop.create_future()
            try:
                await inbox.room
            finally:
                inbox.room = None

    async def ping(self) -> float:
        """Send a Ping, wait for the Pong, and return how long it took, in seconds (5.5.2).

        The Pong is read only after the messages before it, so this keeps waiting while reading has stopped because too
        many messages have not been received. If no other task receives them, use ``asyncio.wait_for(ws.ping(), 10)``.

        :raises rfc6455.ConnectionClosedError: when the connection has ended, or ends before the Pong arrives.
        """
        inbox = self._inbox
        ping = inbox.pings.make(inbox.loop.time(), inbox.loop.create_future())
        try:
            inbox.ping(ping.payload)
            await ping.waiter
        except ConnectionClosedError:
            raise
        except LocalProtocolError:
            raise ConnectionClosedError(await self.wait_closed()) from None
        finally:
            inbox.pings.forget(ping)
        if ping.latency is None:
            assert inbox.end_event is not None
            raise ConnectionClosedError(inbox.end_event)
        return ping.latency

    # The end.

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection (7.1.2), and wait until it has ended, for as long as the `rfc6455.Timeouts` allow.

        This is allowed at any time and more than once. Messages that arrive in the meantime can still be received as
        far as they fit into the queue; others are dropped.

        :param code: the close code; ``None`` for a Close frame without one.
        :param reason: for people and logs, at most 123 bytes of UTF-8.
        :raises rfc6455.LocalProtocolError: for a code that must not be sent (7.4).
        """
        self._inbox.close(code, reason)
        await self.wait_closed()

    async def wait_closed(self) -> Closed:
        """Wait until the connection and TCP have ended, and return the reason.

        The end is noticed only after the messages before it, so this keeps waiting while reading has stopped because
        too many messages have not been received.
        """
        return await self._inbox.ended()

    def abort(self) -> None:
        """Cut the connection without a closing handshake. Both ends see 1006, and this one also sees the cause
        ``ABORTED``."""
        self._inbox.abort()

    async def __aenter__(self) -> WebSocket:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Close with 1000, or with 1011 after an exception other than the connection's own end."""
        is_good = kind is None or issubclass(kind, (ConnectionClosedError, asyncio.CancelledError))
        await self.close(1000 if is_good else 1011)


def broadcast(
    connections: Iterable[WebSocket | Listener], message: Sendable, *, close_slow: bool = False
) -> list[WebSocket | Listener]:
    """Send a message to many connections without waiting. It is serialised once, and compressed once for each set of
    parameters. A connection is skipped if more than 64 KiB are waiting for it, or a message is being sent in parts on
    it.

    :param connections: the connections; those that have ended are skipped.
    :param message: as for `WebSocket.send`, except that it must not be an iterable.
    :param close_slow: whether to cut connections for which too much is waiting.
    :returns: the connections that were skipped although they have not ended.
    :raises TypeError: when the message is anything else, or one of the connections is.
    """
    prepared = message if isinstance(message, PreparedMessage) else PreparedMessage(message)
    slow: list[WebSocket | Listener] = []
    for ws in connections:
        listener = ws._inbox if isinstance(ws, WebSocket) else ws
        if not isinstance(listener, Listener):
            raise not_a_connection(ws, "WebSocket or Listener")
        driver: Driver = listener._driver
        if driver.is_closing or listener.end is not None:
            continue
        if not driver.can_write or (isinstance(listener, Inbox) and listener.sends_parts):
            slow.append(ws)
            if close_slow and not driver.can_write:
                ws.abort()
        else:
            listener.send(prepared)
    return slow


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
