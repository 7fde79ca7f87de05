"""The interface of a connection for threads: `WebSocket`, and `broadcast` to many.

Not here: the connection itself (`_threads_driver.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rfc6455 import Closed, ConnectionClosedError, PreparedMessage

from ._known import Known
from ._messages import (
    GOOD_ENDS,
    NOT_IN_PARTS,
    NOT_WHOLE,
    ONE_MESSAGE,
    Part,
    Sendable,
    kind_of_part,
    not_a_connection,
    not_a_message,
)
from ._threads_driver import Driver


class WebSocket(Known):
    """A connection for threads: the object that `serve` passes to its handler, and that `connect` returns.

    It is a context manager, which closes the connection at the end. It is also an iterator over messages, which stops
    when the peer closes with 1000, with 1001 or without a code, and raises `rfc6455.ConnectionClosedError` when the
    connection ends in any other way.

    Any number of threads may use it at the same time. If several threads receive, each message is delivered to one of
    them.
    """

    __slots__ = ("__weakref__", "_driver", "_release")

    _driver: Driver

    def __init__(self, driver: Driver, release: Callable[[], None] | None = None) -> None:
        self._driver = driver
        self._release = release  # called to wait for the rest when TCP has ended

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return information about the socket, by the names that asyncio has for it: ``"peername"`` and
        ``"sockname"``, the addresses; ``"socket"``; ``"ssl_object"``, if TLS is used. Return ``default`` for any other
        name.

        Use the socket only for its options. Do not read from it, write to it or close it.
        """
        wire = self._driver.wire
        if name == "ssl_object":
            return wire.layers[-1].object if wire.layers else default
        if name == "socket":
            return wire.sock
        return wire.addresses.get(name, default)

    # Receiving.

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Wait for the next message, and return it: `str` for text, `bytes` for binary.

        While nobody is receiving, reading stops, and the peer has to wait.

        :param timeout: how long to wait, in seconds; ``None`` to wait for ever, 0 to return immediately.
        :raises TimeoutError: when no message has arrived by then. Nothing is lost: the next call returns the message.
        :raises rfc6455.ConnectionClosedError: when the connection has ended and all messages have been received. Its
            ``closed`` says why.
        :raises RuntimeError: with the options ``parts=True`` and ``decode_text=False``, which require `recv_part`.
        """
        return self._driver.take((str, bytes), NOT_WHOLE, timeout)  # type: ignore[return-value]

    def recv_part(self, timeout: float | None = None) -> Part:
        """Return the next part of a message if the option ``parts=True`` is set; with ``decode_text=False``, whole
        texts are returned as well, as `rfc6455.EncodedText`. The argument and the errors are those of `recv`."""
        return self._driver.take(Part.__args__, NOT_IN_PARTS, timeout)  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str | bytes]:
        return self

    def __next__(self) -> str | bytes:
        try:
            return self.recv()
        except ConnectionClosedError as error:
            if error.closed.clean and error.closed.code in GOOD_ENDS:
                raise StopIteration from None
            raise

    # Sending.

    def send(self, message: Sendable | Iterable[str | bytes], *, compress: bool | None = None) -> None:
        """Send a message. If more than 64 KiB are waiting to be written, wait for the peer first.

        If the peer never reads, the keepalive of `rfc6455.Timeouts` ends the connection.

        :param message: `str` is sent as text, bytes as binary, and a `rfc6455.PreparedMessage` as it was prepared. The
            items of an iterable are sent as fragments of one message as they become available; meanwhile, other
            threads have to wait before they can send. If the iterable raises an exception, the message cannot be
            completed, and the connection is closed with 1011.
        :param compress: as for `rfc6455.Connection.send_text`.
        :raises rfc6455.ConnectionClosedError: when the connection has ended; if this side has called `close`, once
            that is complete.
        :raises TypeError: when the message is anything else.
        :raises RuntimeError: when the iterable itself calls this.
        """
        with self._driver.turn:
            if self._driver.sends_parts:
                raise RuntimeError("send() was called while this same thread is sending a message in parts")
            if isinstance(message, ONE_MESSAGE):
                self._driver.send(message, True, compress)
            else:
                self._send_parts(message, compress)

    def _send_parts(self, message: Iterable[str | bytes], compress: bool | None) -> None:
        if not isinstance(message, Iterable) or isinstance(message, Mapping):
            raise not_a_message(message)
        kind: type | None = None
        is_begun = False
        self._driver.sends_parts = True
        try:
            for part in message:
                kind = kind_of_part(part, kind)
                self._driver.send(part, False, compress)
                is_begun = True
            if is_begun:
                self._driver.send("" if kind is str else b"")
        except BaseException:
            if is_begun:
                self._driver.close(1011)
            raise
        finally:
            self._driver.sends_parts = False

    def ping(self, timeout: float | None = None) -> float:
        """Send a Ping, wait for the Pong, and return how long it took, in seconds (5.5.2).

        The Pong is read only after the messages before it, so this keeps waiting while reading has stopped because too
        many messages have not been received. If no other thread receives them, pass a ``timeout``.

        :param timeout: how long to wait, in seconds; ``None`` to wait for ever.
        :raises TimeoutError: when no Pong has arrived by then.
        :raises rfc6455.ConnectionClosedError: when the connection has ended, or ends before the Pong arrives.
        """
        return self._driver.ping(timeout)

    # The end.

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection (7.1.2), and wait until it has ended, for as long as the `rfc6455.Timeouts` allow.

        This is allowed at any time, in any thread, and more than once. The Close frame is sent immediately. Messages
        that arrive in the meantime can still be received as far as they fit into the queue; others are dropped. The
        arguments and errors are those of `rfc6455_io.asyncio.WebSocket.close`.
        """
        self._driver.close(code, reason)
        self.wait_closed()

    def wait_closed(self, timeout: float | None = None) -> Closed:
        """Wait until the connection and TCP have ended, and return the reason.

        The end is noticed only after the messages before it, so this keeps waiting while reading has stopped because
        too many messages have not been received.

        :param timeout: how long to wait, in seconds; ``None`` to wait for ever.
        :raises TimeoutError: when it has not ended by then.
        """
        closed = self._driver.wait_gone(timeout)
        if self._release is not None:
            self._release()
        return closed

    def abort(self) -> None:
        """Cut the connection without a closing handshake. Both ends see 1006, and this one also sees the cause
        ``ABORTED``."""
        self._driver.abort()

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Close with 1000, or with 1011 after an exception other than the connection's own end."""
        self.close(1000 if kind is None or issubclass(kind, ConnectionClosedError) else 1011)


def broadcast(connections: Iterable[WebSocket], message: Sendable, *, close_slow: bool = False) -> list[WebSocket]:
    """Send a message to many connections without waiting. It is serialised once, and compressed once for each set of
    parameters. A connection is skipped if more than 64 KiB are waiting for it, or another thread is sending on it. The
    arguments, the result and the errors are those of `rfc6455_io.asyncio.broadcast`.
    """
    prepared = message if isinstance(message, PreparedMessage) else PreparedMessage(message)
    if isinstance(connections, WebSocket):  # iterating over it would yield its messages
        raise TypeError("connections is an iterable of WebSocket objects; put a single one into a list")
    listed = list(connections)  # a copy, as other threads may change a server's set
    for ws in listed:
        if not isinstance(ws, WebSocket):
            raise not_a_connection(ws, "WebSocket")
    slow = [ws for ws in listed if not ws._driver.offer(prepared)]
    for ws in slow:
        if close_slow and not ws._driver.can_write:
            ws.abort()
    return slow
