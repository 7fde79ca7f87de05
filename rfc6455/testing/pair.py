"""A client and a server joined in memory: no sockets, no clock, and bytes move only when told to.

The law: a `Pair` knows only that bytes go into its ends and come out of them, and that an `Endpoint` needs the time.
Bytes that one end has written stay in transit until they are carried to the other, in chunks of any size; a delay is
simulated by holding them back. The ends may come from any library. If a library uses different names for the two
methods, a class of a few lines makes it a `Peer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..codes import Role
from ..endpoint import Endpoint
from ..events import BytesMessage, Event, Ping, Pong, TextMessage
from .chunking import Chunking, whole


class Peer(Protocol):
    """The methods that an end must have. `rfc6455.Connection` has them. A `rfc6455.Endpoint` can be an end as well.

    >>> class Echo:
    ...     said = b""
    ...     def receive_data(self, data):
    ...         self.said += data
    ...         return [len(data)]
    ...     def data_to_send(self):
    ...         said, self.said = self.said, b""
    ...         return said
    >>> feed(Echo(), [b"a", b"bc"])
    [1, 2]
    """

    def receive_data(self, data: bytes, /) -> Iterable[Any]:
        """Process bytes from the other end, ``b""`` at the end of the stream, and return what they mean."""
        ...

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the other end, each of them only once."""
        ...


def feed(end: Peer | Endpoint, chunks: Iterable[bytes], now: float = 0.0) -> list[Any]:
    """Pass input to an end as a careful caller does, and return everything that the end reports.

    If the end has an attribute ``unread``, as a `rfc6455.Connection` does, it is called until that is 0.

    :param now: the time, for a `rfc6455.Endpoint`.

    >>> import rfc6455
    >>> feed(rfc6455.Connection(rfc6455.CLIENT), [b"\\x89", b"\\x00"])
    [Ping(payload=b'')]
    """
    events: list[Any] = []
    for each in chunks:
        if isinstance(end, Endpoint):
            events += end.events(each, now=now)
            continue
        events += end.receive_data(each)
        while getattr(end, "unread", 0):
            events += end.receive_data(None)  # type: ignore[arg-type]
    return events


class Pair:
    """Two ends, and the bytes in transit between them.

    :param client: any `Peer`, or a `rfc6455.Endpoint`.
    :param server: any `Peer`, or a `rfc6455.Endpoint`. If it reports a `rfc6455.Request`, you have to answer it.
    :param chunk: how the bytes are split into reads by default.
    :param now: the time at the beginning.

    :ivar now: the time that is passed to ends that are a `rfc6455.Endpoint`.
    :ivar ends: the two ends, by role.
    :ivar events: the events that each end has reported since the last `take`, by role.
    :ivar sent: everything that each end has written, by role.
    :ivar under_way: what each end wrote and the other has not received yet, by role.

    >>> import rfc6455
    >>> pair = Pair(rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER))
    >>> pair.client.send_text("Hello")
    >>> pair.flush(rfc6455.CLIENT)
    11
    >>> pair.carry(rfc6455.CLIENT, 10), pair.take(rfc6455.SERVER)
    (10, [])
    >>> pair.exchange()
    >>> pair.take(rfc6455.SERVER)
    [TextMessage(text='Hello')]
    """

    def __init__(self, client: Any, server: Any, chunk: Chunking = whole, *, now: float = 0.0) -> None:
        self.now = now
        self.ends: dict[Role, Any] = {Role.CLIENT: client, Role.SERVER: server}
        self.events: dict[Role, list[Any]] = {Role.CLIENT: [], Role.SERVER: []}
        self.sent: dict[Role, bytearray] = {Role.CLIENT: bytearray(), Role.SERVER: bytearray()}
        self.under_way: dict[Role, bytearray] = {Role.CLIENT: bytearray(), Role.SERVER: bytearray()}
        self._chunk = chunk

    @property
    def client(self) -> Any:
        """The client's end."""
        return self.ends[Role.CLIENT]

    @property
    def server(self) -> Any:
        """The server's end."""
        return self.ends[Role.SERVER]

    def flush(self, sender: Role) -> int:
        """Fetch what an end has to send, and return the number of bytes. They are in transit until carried."""
        data = self.ends[sender].data_to_send()
        self.sent[sender] += data
        self.under_way[sender] += data
        return len(data)

    def carry(self, sender: Role, size: int | None = None, chunk: Chunking | None = None) -> int:
        """Carry bytes in transit from ``sender`` to the other end, and return their number.

        :param size: the maximum number of bytes; the rest is held back. ``None`` for all.
        :param chunk: how they are split into reads; ``None`` for the pair's default. Empty chunks are left out, as an
            empty read would mean the end of the stream.
        """
        waiting = self.under_way[sender]
        data = bytes(waiting[:size])
        del waiting[: len(data)]
        chunks = [each for each in (chunk or self._chunk)(data) if each]
        self.events[sender.peer] += feed(self.ends[sender.peer], chunks, self.now)
        return len(data)

    def end(self, sender: Role) -> None:
        """End the stream from ``sender`` after what has been carried; anything still in transit is lost."""
        self.under_way[sender].clear()
        self.events[sender.peer] += feed(self.ends[sender.peer], [b""], self.now)

    def exchange(self, rounds: int = 1000) -> None:
        """Carry everything in both directions until neither end has anything more to send.

        :param rounds: the maximum number of times that the two may answer each other.
        :raises AssertionError: if they are still answering each other after that.
        """
        for _ in range(rounds):
            for role in Role:
                self.flush(role)
            if not sum([self.carry(role) for role in Role]):
                return
        raise AssertionError(f"the two ends were still answering each other after {rounds} rounds")

    def advance(self, now: float) -> None:
        """Let time pass: pass the new time to each end that is a `rfc6455.Endpoint`, and keep the events it reports.

        :param now: the new time.
        """
        self.now = now
        for role, end in self.ends.items():
            if isinstance(end, Endpoint):
                self.events[role] += end.events(None, now=now)

    def take(self, role: Role) -> list[Any]:
        """Return the events that the end ``role`` has reported since the last call."""
        events, self.events[role] = self.events[role], []
        return events


# Conversations: what both ends do, as data.


@dataclass(frozen=True)
class Say:
    """An action of a conversation: one end sends something.

    :ivar role: which end.
    :ivar kind: ``"text"`` with a `str`; ``"bytes"``, ``"ping"``, ``"pong"`` with bytes; ``"close"`` with a code and a
        reason, or ``None`` for a Close frame without a code.
    :ivar content: what it sends.
    :ivar fin: for text and bytes, ``False`` if another fragment of the same message follows.

    >>> expected_events([Say(Role.SERVER, "bytes", b"12")], Role.CLIENT)
    [BytesMessage(data=b'12')]
    """

    role: Role
    kind: Literal["text", "bytes", "ping", "pong", "close"]
    content: str | bytes | tuple[int, str] | None
    fin: bool = True


@dataclass(frozen=True)
class Carry:
    """An action of a conversation: bytes from ``sender`` reach the other end.

    :ivar sender: whose bytes.
    :ivar size: the maximum number of bytes; ``None`` for all.

    >>> expected_events([Say(Role.CLIENT, "ping", b"1"), Carry(Role.CLIENT, size=2)], Role.SERVER)
    [Ping(payload=b'1')]
    """

    sender: Role
    size: int | None = None


Action = Say | Carry


def say(end: Any, action: Say) -> None:
    """Perform an action on an end with the methods of a `rfc6455.Connection`.

    >>> import rfc6455
    >>> ws = rfc6455.Connection(rfc6455.SERVER)
    >>> say(ws, Say(Role.SERVER, "text", "hi"))
    >>> ws.data_to_send().hex(" ")
    '81 02 68 69'
    """
    match action.kind, action.content:
        case "text", text:
            end.send_text(text, fin=action.fin)
        case "bytes", data:
            end.send_bytes(data, fin=action.fin)
        case "ping", payload:
            end.ping(payload)
        case "pong", payload:
            end.pong(payload)
        case "close", (code, reason):
            end.close(code, reason)
        case "close", None:
            end.close(None)


def play(pair: Pair, conversation: Iterable[Action], say: Callable[[Any, Say], None] = say) -> None:
    """Play a conversation on a pair, and finally carry what is left.

    :param say: a function that performs a `Say` on an end; the default is for ends with the methods of a
        `rfc6455.Connection`.

    >>> import rfc6455
    >>> pair = Pair(rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER))
    >>> play(pair, [Say(Role.CLIENT, "ping", b"1"), Carry(Role.CLIENT, 2), Say(Role.SERVER, "close", (1000, "bye"))])
    >>> pair.take(Role.CLIENT)
    [Closed(code=1000, reason='bye', clean=True, error=None, cause=<CloseCause.HANDSHAKE...>)]
    >>> pair.take(Role.SERVER)[0]
    Ping(payload=b'1')
    """
    for action in conversation:
        if isinstance(action, Say):
            say(pair.ends[action.role], action)
            pair.flush(action.role)
        else:
            pair.carry(action.sender, action.size)
    pair.exchange()


def expected_events(conversation: Sequence[Action], role: Role) -> list[Event]:
    """Return the events that the end ``role`` must report in a complete conversation, except for the Pongs that answer
    its own Pings and the end of the connection.

    >>> expected_events([Say(Role.CLIENT, "text", "a", False), Say(Role.CLIENT, "text", "b")], Role.SERVER)
    [TextMessage(text='ab')]
    """
    events: list[Event] = []
    said = [action for action in conversation if isinstance(action, Say) and action.role is role.peer]
    message: Any = None
    for action in said:
        content: Any = action.content
        if action.kind in ("text", "bytes"):
            message = content if message is None else message + content
            if action.fin:
                events.append(TextMessage(message) if action.kind == "text" else BytesMessage(message))
                message = None
        elif action.kind != "close":
            events.append(Ping(content) if action.kind == "ping" else Pong(content))
    return events
