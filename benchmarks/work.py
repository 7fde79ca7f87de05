"""The works that are measured: the payload of each, how it is run once, and how its result is checked.

The law: a work uses the same bytes for every library, which are made once. `Work.measure` takes one figure, and
`Work.check` checks that the library really does the work: every message must come out, with the right type and
content. The sizes below are those of a full run; `all_works` can divide them, for tests and for a quick look.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any

from . import payloads
from .libraries import Library, Role, UnsupportedError
from .payloads import KIB, MIB, READ, Deflate, Messages, Stream

Maker = Callable[[int, int], Messages]  # (count, size) -> messages

KINDS: dict[str, Maker] = {
    "text": payloads.ascii_messages,
    "mixed text": payloads.mixed_messages,
    "binary": payloads.binary_messages,
    "JSON": payloads.json_messages,
    **{script: partial(payloads.script_messages, script) for script in payloads.SCRIPTS},
}


def processor_time(run: Callable[[], object]) -> int:
    """Return the nanoseconds of processor time, to which other processes do not add.

    The garbage collector is off for every library, as in `timeit`, and runs before.
    """
    gc.collect()
    gc.disable()
    try:
        start = time.process_time_ns()
        run()
        return time.process_time_ns() - start
    finally:
        gc.enable()


def exhaust(iterator: Iterable[Any]) -> None:
    """Consume everything and keep nothing, at the speed of C."""
    deque(iterator, maxlen=0)


@dataclass(frozen=True)
class Work:
    """One row of the table.

    :ivar name: the name for ``--only``.
    :ivar title: the title in the table.
    :ivar unit: the unit of the figure, such as ``"ns per message"``.
    """

    name: str
    title: str
    unit: str

    @property
    def group(self) -> str:
        """The table to which it belongs: the first word of the name."""
        return self.name.partition("-")[0]

    def measure(self, library: Library) -> float:
        """Take one figure.

        :raises UnsupportedError: if the library cannot do this.
        """
        raise NotImplementedError

    def check(self, library: Library) -> None:
        """Do the work once and check the result.

        :raises AssertionError: if it is wrong.
        :raises UnsupportedError: if the library cannot do this.
        """
        raise NotImplementedError


def check_messages(library: Library, messages: Iterable[Any], expected: Messages) -> None:
    """Check that every message is there, in order, with its type and content."""
    contents = [library.content(message) for message in messages]
    assert len(contents) == len(expected), f"{library.name}: {len(contents)} messages of {len(expected)}"
    rights: list[str | bytes] = [*expected]
    for content, right in zip(contents, rights, strict=True):
        assert payloads.as_bytes(content) == payloads.as_bytes(right), f"{library.name}: another content"
        assert library.is_floor or type(content) is type(right), f"{library.name}: {type(content)}"


@dataclass(frozen=True)
class Receive(Work):
    """A server receives messages.

    :ivar cut: the number of bytes in a read; ``None`` for one frame in each.
    :ivar per_byte: whether the figure is for a byte rather than for a message.
    :ivar connections: the number of connections that receive all messages, one after the other, so that for few
        messages, the figure does not depend on the resolution of the clock.
    :ivar at_endpoint: whether messages are received through the object that has the connection's deadlines as well.
    """

    kind: str
    count: int
    size: int
    cut: int | None = READ
    fragments: int = 1
    deflate: Deflate | None = None
    per_byte: bool = False
    connections: int = 1
    at_endpoint: bool = False

    @cached_property
    def stream(self) -> Stream:
        messages = KINDS[self.kind](self.count, self.size)
        return payloads.make_stream(messages, cut=self.cut, fragments=self.fragments, deflate=self.deflate)

    def measure(self, library: Library) -> float:
        connections = [library.connect(Role.SERVER, self.deflate) for _ in range(self.connections)]
        received = [self._receive(library, connection) for connection in connections]
        units = self.connections * (self.stream.size if self.per_byte else self.count)
        return processor_time(lambda: exhaust(chain.from_iterable(received))) / units

    def check(self, library: Library) -> None:
        received = self._receive(library, library.connect(Role.SERVER, self.deflate))
        check_messages(library, (message for batch in received for message in batch), self.stream.messages)

    def _receive(self, library: Library, connection: Any) -> Iterator[Sequence[Any]]:
        receive = library.receive_at_endpoint if self.at_endpoint else library.receive
        return receive(connection, self.stream)


@dataclass(frozen=True)
class Send(Work):
    """Messages are sent. Each is passed to the socket before the next."""

    role: Role
    kind: str
    count: int
    size: int
    deflate: Deflate | None = None

    @cached_property
    def messages(self) -> Messages:
        return KINDS[self.kind](self.count, self.size)

    def measure(self, library: Library) -> float:
        sent = library.send(library.connect(self.role, self.deflate), self.messages)
        return processor_time(lambda: exhaust(sent)) / self.count

    def check(self, library: Library) -> None:
        connection = library.connect(self.role, self.deflate)
        if library.is_floor:
            assert len(list(library.send(connection, self.messages))) == self.count
            return
        wire = b"".join([library.wire(output) for output in library.send(connection, self.messages)])
        frames = list(payloads.parse_frames(wire))
        opcode = payloads.TEXT if isinstance(self.messages[0], str) else payloads.BINARY
        rsv = payloads.RSV1 if self.deflate else 0
        assert {first for first, _ in frames} == {payloads.FIN | rsv | opcode}, f"{library.name}: other frames"
        assert bool(wire[1] & payloads.MASKED) is (self.role is Role.CLIENT), f"{library.name}: masking"
        assert list(self._decoded(frames)) == [payloads.as_bytes(message) for message in self.messages]

    def _decoded(self, frames: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
        decompressor = self.deflate.decompressors() if self.deflate else None
        for _, payload in frames:
            yield decompressor().decompress(payload + payloads.DEFLATE_TAIL) if decompressor else payload


@dataclass(frozen=True)
class ServerHandshake(Work):
    """A browser's request in, the 101 out."""

    count: int

    def measure(self, library: Library) -> float:
        accept, request = library.accept, payloads.REQUEST
        return processor_time(lambda: exhaust(accept(request) for _ in range(self.count))) / self.count

    def check(self, library: Library) -> None:
        answer = library.accept(payloads.REQUEST)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        assert answer.endswith(b"\r\n\r\n"), answer
        assert payloads.REQUEST_ACCEPT in answer, answer


@dataclass(frozen=True)
class ClientHandshake(Work):
    """A request out, the 101 in. The time includes making the 101, which is the same for all."""

    count: int

    def measure(self, library: Library) -> float:
        open_, uri, answer = library.open, payloads.URI, payloads.answer_to
        return processor_time(lambda: exhaust(open_(uri, answer) for _ in range(self.count))) / self.count

    def check(self, library: Library) -> None:
        requests: list[bytes] = []

        def answer(request: bytes) -> bytes:
            requests.append(bytes(request))
            return payloads.answer_to(request)

        library.open(payloads.URI, answer)
        assert requests[0].startswith(b"GET /"), requests


@dataclass(frozen=True)
class Memory(Work):
    """The memory of an idle connection: everything that Python and zlib allocate for it.

    :ivar used: whether it has received and sent one message.
    """

    count: int
    used: bool = False
    deflate: Deflate | None = None

    @cached_property
    def stream(self) -> Stream:
        return payloads.make_stream(payloads.json_messages(1, 200), deflate=self.deflate)

    def measure(self, library: Library) -> float:
        self._connection(library)  # allocates what is only made once for all connections
        gc.collect()
        tracemalloc.start()
        try:
            connections = [self._connection(library) for _ in range(self.count)]
            gc.collect()
            traced, _ = tracemalloc.get_traced_memory()
            return traced / len(connections)
        finally:
            tracemalloc.stop()

    def _connection(self, library: Library) -> Any:
        connection = library.connect(Role.SERVER, self.deflate)
        if self.used:
            exhaust(library.receive(connection, self.stream))
            exhaust(library.send(connection, self.stream.messages))
        return connection

    def check(self, library: Library) -> None:
        if library.is_floor:
            raise UnsupportedError("there are no connections")
        assert self._connection(library) is not None


@dataclass(frozen=True)
class Scale:
    """The factors by which a full run is made smaller.

    :ivar counts: divides the numbers of messages, handshakes and connections.
    :ivar sizes: divides the sizes of the large messages.
    """

    counts: int = 1
    sizes: int = 1

    def count(self, full: int) -> int:
        return max(min(full, 2), full // self.counts)

    def size(self, full: int) -> int:
        return max(min(full, 32), full // self.sizes)


FULL = Scale()
QUICK = Scale(counts=10)


def all_works(scale: Scale = FULL) -> Iterator[Work]:
    """Yield every row of the tables, in order. A payload is made when its work is first run, and freed with it."""
    yield from _receive(scale)
    yield from _send(scale)
    yield from _handshakes(scale)
    yield from _memory(scale)
    yield from _growth(scale)


def _receive(scale: Scale) -> Iterator[Work]:
    def row(name: str, title: str, kind: str, count: int, size: int, **more: Any) -> Receive:
        count, size = scale.count(count), scale.size(size)
        return Receive(f"receive-{name}", title, "ns per message", kind, count, size, **more)

    yield row("text-32", "text 32 B, 64 KiB reads", "text", 20_000, 32)
    yield row("text-32-frames", "text 32 B, one frame per read", "text", 20_000, 32, cut=None)
    title = "text 32 B, one frame per read, with deadlines"
    yield row("text-32-frames-endpoint", title, "text", 20_000, 32, cut=None, at_endpoint=True)
    yield row("binary-1k", "binary 1 KiB, 64 KiB reads", "binary", 10_000, KIB)
    yield row("binary-1k-frames", "binary 1 KiB, one frame per read", "binary", 10_000, KIB, cut=None)
    yield row("binary-64k", "binary 64 KiB, 64 KiB reads", "binary", 500, 64 * KIB)
    yield row("binary-1m", "binary 1 MiB, 64 KiB reads", "binary", 40, MIB)
    yield row("text-1m", "text 1 MiB, ASCII, 64 KiB reads", "text", 40, MIB)
    yield row("text-1m-mixed", "text 1 MiB, accents, CJK and emoji, 64 KiB reads", "mixed text", 20, MIB)
    for script in payloads.SCRIPTS:
        name = script.partition(" ")[0].lower()
        yield row(f"text-1m-{name}", f"text 1 MiB, {script}, 64 KiB reads", script, 10, MIB)
    yield row("binary-16m", "binary 16 MiB, 64 KiB reads", "binary", 3, 16 * MIB)
    yield row("fragments", "100 fragments of 64 B, 64 KiB reads", "binary", 200, 6400, fragments=100)
    yield row("bytes-text-32", "text 32 B, one byte per read", "text", 500, 32, cut=1)
    yield row("bytes-binary-16k", "binary 16 KiB, one byte per read", "binary", 2, 16 * KIB, cut=1)
    for takeover, words in (True, "with takeover"), (False, "without takeover"):
        suffix = "" if takeover else "-anew"
        deflate = Deflate(takeover)
        yield row(f"deflate-200{suffix}", f"deflated 200 B, {words}", "JSON", 5_000, 200, deflate=deflate)
        yield row(f"deflate-64k{suffix}", f"deflated 64 KiB, {words}", "JSON", 100, 64 * KIB, deflate=deflate)


def _send(scale: Scale) -> Iterator[Work]:
    def row(name: str, title: str, role: Role, kind: str, count: int, size: int, **more: Any) -> Send:
        count, size = scale.count(count), scale.size(size)
        name, title = f"send-{role.value}-{name}", f"{role.value}: {title}"
        return Send(name, title, "ns per message", role, kind, count, size, **more)

    for role in Role.SERVER, Role.CLIENT:
        yield row("text-32", "text 32 B", role, "text", 20_000, 32)
        yield row("binary-1k", "binary 1 KiB", role, "binary", 10_000, KIB)
        yield row("binary-64k", "binary 64 KiB", role, "binary", 500, 64 * KIB)
        yield row("text-1m", "text 1 MiB, ASCII", role, "text", 40, MIB)
        yield row("text-1m-mixed", "text 1 MiB, accents, CJK and emoji", role, "mixed text", 20, MIB)
        yield row("binary-16m", "binary 16 MiB", role, "binary", 3, 16 * MIB)
        for takeover, words in (True, "with takeover"), (False, "without takeover"):
            suffix = "" if takeover else "-anew"
            deflate = Deflate(takeover)
            yield row(f"deflate-200{suffix}", f"deflated 200 B, {words}", role, "JSON", 2_000, 200, deflate=deflate)
            yield row(f"deflate-64k{suffix}", f"deflated 64 KiB, {words}", role, "JSON", 30, 64 * KIB, deflate=deflate)


def _handshakes(scale: Scale) -> Iterator[Work]:
    count = scale.count(1_000)
    yield ServerHandshake("handshake-server", "server: request in, 101 out", "ns per handshake", count)
    yield ClientHandshake("handshake-client", "client: request out, 101 in", "ns per handshake", count)


def _memory(scale: Scale) -> Iterator[Work]:
    def row(name: str, title: str, **more: Any) -> Memory:
        return Memory(f"memory-{name}", title, "bytes", scale.count(500), **more)

    yield row("new", "new")
    yield row("used", "after one message each way", used=True)
    yield row("deflate-new", "new, deflate with takeover", deflate=Deflate(True))
    yield row("deflate-used", "after one message each way, deflate with takeover", used=True, deflate=Deflate(True))
    yield row(
        "deflate-used-anew", "after one message each way, deflate without takeover", used=True, deflate=Deflate(False)
    )


def _growth(scale: Scale) -> Iterator[Work]:
    for count in 1_000, 10_000, 100_000, 1_000_000:
        title = f"{count:,} messages of 32 B, 64 KiB reads"
        name, count = f"growth-messages-{count}", scale.count(count)
        connections = max(1, scale.count(50_000) // count)
        yield Receive(name, title, "ns per message", "text", count, 32, connections=connections)
    for words, size in ("1k", KIB), ("16k", 16 * KIB), ("256k", 256 * KIB), ("4m", 4 * MIB), ("64m", 64 * MIB):
        count = max(1, 16 * MIB // size)
        title = f"binary messages of {size // KIB:,} KiB, 64 KiB reads"
        name, count, size = f"growth-bytes-{words}", scale.count(count), scale.size(size)
        yield Receive(name, title, "ns per byte", "binary", count, size, per_byte=True)
