"""The common part of the loops about messages and Pings: checks, sizes, and limits for those that wait.

Not here: the code that sends and receives them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from typing import Any

from rfc6455 import BytesPart, EncodedText, Endpoint, PreparedMessage, TextPart

Part = TextPart | BytesPart | EncodedText
Sendable = str | bytes | bytearray | memoryview | PreparedMessage

ONE_MESSAGE = (str, bytes, bytearray, memoryview, PreparedMessage)

# The minimum size of a frame without its payload (5.2).
HEADER = 2

# The amount of data that may wait to be written before `send` waits, or says that it would have to. It is asyncio's
# own high-water mark.
HIGH_WATER = 64 << 10

# The size at which a queue of messages that nobody has received yet is full. Each message counts as its length plus
# the constant below. Reading goes on when less than a quarter is left, so that the next read comes before the queue is
# empty.
QUEUE = 64 << 10
MESSAGE = 1 << 10

# The time in seconds for which the end of a connection waits for the receiver of the message before it, who may be
# answering it. 5.5.1 wants a Close to be answered "as soon as practical".
ANSWER = 1.0

# The time in seconds for which the last bytes may wait for a peer that has ended its stream, like
# `Timeouts.tcp_close`.
FAREWELL = 2.0

# The codes that end iteration without an exception (7.4.1).
GOOD_ENDS = (1000, 1001, 1005)


def size_of(item: str | bytes | Part) -> int:
    """Return the length of a message or a part."""
    if isinstance(item, (str, bytes)):
        return len(item)
    return len(item.text if isinstance(item, TextPart) else item.data)


def queue_message(endpoint: Endpoint, message: Sendable, fin: bool, compress: bool | None) -> None:
    """Queue a message, or a fragment of one, according to its type."""
    if isinstance(message, PreparedMessage):
        endpoint.send_prepared(message)
    elif isinstance(message, str):
        endpoint.send_text(message, fin=fin, compress=compress)
    else:
        endpoint.send_bytes(message, fin=fin, compress=compress)


def kind_of_part(part: str | bytes, kind: type | None) -> type:
    """Return the kind of a message that is sent in parts: `str` or `bytes`.

    :param part: the next part.
    :param kind: the kind of those before it; ``None`` for the first.
    :raises TypeError: when it cannot be a part of such a message.
    """
    if not isinstance(part, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"a part of a message is str or bytes, not {type(part).__name__}")
    found = str if isinstance(part, str) else bytes
    if kind is not None and kind is not found:
        raise TypeError("all parts of a message are str, or all are bytes")
    return found


# The errors for the wrong method, with the right one.
NOT_WHOLE = "recv() is for whole messages; with parts=True or decode_text=False, call recv_part()"
NOT_IN_PARTS = "recv_part() needs the option parts=True or decode_text=False; without them, call recv()"


def not_a_message(message: object) -> TypeError:
    """Return the error for something that cannot be sent."""
    return TypeError(
        f"a message is a str, bytes or an iterable of them, not {type(message).__name__}; "
        "json.dumps() makes a str of other values"
    )


async def each_part(message: object) -> AsyncGenerator[str | bytes, None]:
    """Go over the parts of a message that is an iterable, asynchronous or not."""
    if isinstance(message, AsyncIterable):
        async for part in message:
            yield part
    elif isinstance(message, Iterable) and not isinstance(message, Mapping):
        for part in message:
            yield part
    else:
        raise not_a_message(message)


def not_a_connection(ws: object, what: str) -> TypeError:
    """Return the error for an object that cannot be broadcast to. ``what`` describes those that can."""
    return TypeError(f"connections is an iterable of {what} objects, and cannot hold {ws!r}")


class Ping:
    """A Ping that waits for its Pong.

    :ivar latency: how long the Pong took, in seconds; ``None`` before it has arrived.
    :ivar waiter: the object that a loop wakes when the Pong has arrived.
    """

    __slots__ = ("latency", "payload", "sent_at", "waiter")

    def __init__(self, payload: bytes, sent_at: float, waiter: Any) -> None:
        self.payload: bytes = payload
        self.sent_at: float = sent_at
        self.waiter: Any = waiter
        self.latency: float | None = None


class Pings:
    """The Pings of one connection that wait for their Pongs."""

    __slots__ = ("_sent", "_waiting")

    def __init__(self) -> None:
        self._sent = 0
        self._waiting: dict[bytes, Ping] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Ping]:
        return iter(self._waiting.values())

    def make(self, now: float, waiter: Any = None) -> Ping:
        """Return the next Ping to send."""
        self._sent += 1
        ping = Ping(b"ping %d" % self._sent, now, waiter)  # the payloads of the keepalive consist of digits
        self._waiting[ping.payload] = ping
        return ping

    def forget(self, ping: Ping) -> None:
        self._waiting.pop(ping.payload, None)

    def take_pong(self, payload: bytes, now: float) -> list[Ping]:
        """Set the latency of the Pings that a Pong answers, and return them.

        5.5.3: a Pong may answer "only the most recently processed Ping", and so all Pings before it.
        """
        answered: list[Ping] = []
        while payload in self._waiting:
            ping = self._waiting.pop(next(iter(self._waiting)))
            ping.latency = now - ping.sent_at
            answered.append(ping)
        return answered
