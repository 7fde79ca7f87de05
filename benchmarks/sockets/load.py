"""The clients for all rows, in one process that does not use the library: frames are made beforehand, bytes counted.

A server's time is the time that Linux reports for its process, user and system, so the clients' time does not count.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.chat.crowd import LoadError
from benchmarks.chat.programs import Running

from .servers import HOST, server_header

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE = 60.0
WAVE = 50  # the number of connections that are opened at a time, which is smaller than any server's backlog


def masked_frame(payload: bytes) -> bytes:
    """Return a binary message in one frame, masked with a key that is not zero (5.3)."""
    key = b"\x12\x34\x56\x78"
    header = server_header(len(payload))
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
    return bytes((header[0], header[1] | 0x80)) + header[2:] + key + masked


class Client(asyncio.Protocol):
    """Keeps a number of messages in flight until enough have been answered."""

    def __init__(self, payload: bytes) -> None:
        self.frame = masked_frame(payload)
        self.answer = server_header(len(payload)) + payload
        self.opened = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] | None = None
        self.left = self.due = self.got = 0
        self.seen = bytearray()
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.head += data
            if self.head.endswith(b"\r\n\r\n"):
                self._open()
            return
        if len(self.seen) < len(self.answer):
            self.seen += data[: len(self.answer) - len(self.seen)]
        self.got += len(data)
        count, self.got = divmod(self.got, len(self.answer))
        if count:
            self._answered(count)

    def _open(self) -> None:
        if self.head.startswith(b"HTTP/1.1 101 "):
            self.opened.set_result(None)
        else:
            self.opened.set_exception(LoadError(self.head[:50].decode(errors="replace")))

    def _answered(self, count: int) -> None:
        self.due -= count
        more = min(count, self.left)
        self.left -= more
        if more:
            self.transport.write(self.frame * more if more > 1 else self.frame)
        elif not self.due and self.done is not None:
            self.done.set_result(None)
            self.done = None

    def connection_lost(self, error: Exception | None) -> None:
        gone = LoadError(f"the server has closed: {error}")
        for future in (self.opened, self.done):
            if future is not None and not future.done():
                future.set_exception(gone)

    async def run(self, messages: int, in_flight: int) -> None:
        """Send ``messages``, with ``in_flight`` of them unanswered at a time, and wait for the last answer."""
        self.due = messages
        self.left = messages - in_flight
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(self.frame * in_flight)
        await self.done


@asynccontextmanager
async def connected(running: Running, count: int, payload: bytes) -> AsyncIterator[list[Client]]:
    """Yield ``count`` clients whose connections are open, and cut these at the end."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    try:
        for at in range(0, count, WAVE):
            wave = range(min(WAVE, count - at))
            made = [loop.create_connection(lambda: Client(payload), HOST, running.port) for _ in wave]
            clients += [client for _, client in await asyncio.gather(*made)]
            await asyncio.gather(*(client.opened for client in clients[at:]))
        yield clients
    finally:
        for client in clients:
            client.transport.abort()
        await asyncio.sleep(0)  # lets asyncio close the sockets


@dataclass(frozen=True)
class Row:
    """A measurement in one process of a server. The figure is in seconds of its CPU, or in bytes.

    :ivar messages: the total number of messages of all clients.
    """

    name: str
    title: str
    clients: int
    size: int
    in_flight: int
    messages: int

    async def measure(self, running: Running, is_floor: bool) -> float:
        payload = os.urandom(self.size)
        each = max(self.messages // self.clients, self.in_flight)
        async with connected(running, self.clients, payload) as clients:
            await asyncio.gather(*(client.run(max(each // 20, self.in_flight), self.in_flight) for client in clients))
            if not is_floor and any(client.seen != client.answer for client in clients):
                raise LoadError("the answer differs from the message that was sent")
            before = running.cpu()
            await asyncio.gather(*(client.run(each, self.in_flight) for client in clients))
            return (running.cpu() - before) / (each * self.clients)


@dataclass(frozen=True)
class Opening:
    """The cost of opening a connection."""

    name: str
    title: str
    clients: int

    async def measure(self, running: Running, is_floor: bool) -> float:
        async with connected(running, WAVE, b""):
            pass
        before = running.cpu()
        async with connected(running, self.clients, b""):
            return (running.cpu() - before) / self.clients


@dataclass(frozen=True)
class Memory:
    """The memory of an idle open connection, with its transport."""

    name: str
    title: str
    clients: int

    async def measure(self, running: Running, is_floor: bool) -> float:
        async with connected(running, WAVE, b""):
            before = running.memory()
            async with connected(running, self.clients, b""):
                return max(0, running.memory() - before) / self.clients


def all_rows(divisor: int = 1) -> list[Row | Opening | Memory]:
    """Return the rows, with the numbers of messages and connections divided by ``divisor``."""

    def of(name: str, title: str, clients: int, size: int, in_flight: int, messages: int) -> Row:
        return Row(name, title, clients, size, in_flight, max(messages // divisor, 2 * clients * in_flight))

    return [
        of("small", "1 client, 1 in flight, 256 B", 1, 256, 1, 20_000),
        of("100k", "1 client, 1 in flight, 100 KiB", 1, 100 << 10, 1, 4_000),
        of("1000k", "1 client, 1 in flight, 1000 KiB", 1, 1000 << 10, 1, 500),
        of("many", f"{max(100 // divisor, 5)} clients, 1 in flight, 256 B", max(100 // divisor, 5), 256, 1, 50_000),
        of("in-flight", "1 client, 64 in flight, 256 B", 1, 256, 64, 200_000),
        Opening("opening", "opening a connection", max(1000 // divisor, 20)),
        Memory("memory", "memory of an idle connection, with its transport", max(1000 // divisor, 20)),
    ]
