"""Helpers for tests of `rfc6455_io` on asyncio: loops that are checked at their end, a clock that can be moved, and a
plain socket as a peer.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Awaitable, Coroutine, Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from helpers import KEY, frame, split_frames

import rfc6455
from rfc6455_io._asyncio_driver import Driver
from rfc6455_io.asyncio import Listener, WebSocket

T = TypeVar("T")

# Long enough for a busy machine; nothing waits so long unless it fails.
PATIENCE = 30.0

LOOPS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
BOTH_LOOPS = pytest.mark.parametrize("loop", LOOPS)

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

# The answers of a proxy that open no tunnel, and the status of the error.
REFUSING_PROXIES = pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", 407),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\nno", 502),
        (b"nonsense\r\n\r\n", None),
        (b"", None),
    ],
)


class ClockLoop(asyncio.SelectorEventLoop):
    """A loop whose clock a test can move. Everything that was due in between is then late."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def clock() -> ClockLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ClockLoop)
    return loop


def run(main: Coroutine[Any, Any, T], loop: str = "clock", patience: float = PATIENCE) -> T:
    """Run it on a new loop, and check that no task is left behind."""
    gc.freeze()  # the collection at the end need not look through all tests
    new = _new_loop(loop)

    async def watched() -> T:
        # A clock that is moved must not end the test; pytest's own timeout does where something hangs.
        result = await asyncio.wait_for(main, None if loop == "clock" else patience)
        for _ in range(5):
            await asyncio.sleep(0)  # asyncio's own tasks end a little later
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    try:
        return new.run_until_complete(watched())
    finally:
        for task in asyncio.all_tasks(new):
            task.cancel()
        new.run_until_complete(new.shutdown_asyncgens())
        new.close()
        gc.collect()  # what was not closed warns now, and a warning is an error
        gc.unfreeze()


def _new_loop(loop: str) -> asyncio.AbstractEventLoop:
    if loop.startswith("aiofastnet on "):
        import aiofastnet

        return aiofastnet.patch_loop(_new_loop(loop.removeprefix("aiofastnet on ")))
    if loop == "uvloop":
        import uvloop

        made: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return made
    return ClockLoop() if loop == "clock" else asyncio.SelectorEventLoop()


class CancelledAt:
    """Something to be awaited in a task that is cancelled when it waits for the n-th time.

    :ivar waits: how many times it has waited.
    """

    def __init__(self, awaited: Awaitable[T], number: int) -> None:
        self.waits = 0
        self._steps = awaited.__await__()
        self._number = number

    def __await__(self) -> Generator[Any, None, Any]:
        return (yield from self)

    def __iter__(self) -> CancelledAt:
        return self

    def __next__(self) -> Any:
        waited_for = next(self._steps)
        self._count()
        return waited_for

    def throw(self, *error: Any) -> Any:
        waited_for = self._steps.throw(*error)
        self._count()
        return waited_for

    def _count(self) -> None:
        self.waits += 1
        task = asyncio.current_task()
        if self.waits == self._number and task is not None:
            asyncio.get_running_loop().call_soon(task.cancel)


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


class Echo(Listener):
    def message(self, message: str | bytes) -> None:
        self.send(message)


class Raw:
    """A client, or with `Raw.accepted` a server, that is a plain socket: it reads and writes what a test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.buffer = b""

    @classmethod
    async def connect(cls, port: int, request: bytes = REQUEST, **how: Any) -> Raw:
        """Return a client; with a request, after the answer 101."""
        raw = cls(*await asyncio.open_connection("127.0.0.1", port, **how))
        if request:
            raw.writer.write(request)
            assert (await raw.head()).startswith(b"HTTP/1.1 101 ")
        return raw

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    def send(self, opcode: int, payload: bytes = b"", **how: Any) -> None:
        self.writer.write(frame(opcode, payload, **{"key": KEY, **how}))

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame that the server sends."""
        while True:
            frames, _, _ = split_frames(self.buffer, rfc6455.SERVER)
            if frames:
                first = frames[0]
                header = 2 + {126: 2, 127: 8}.get(self.buffer[1] & 0x7F, 0)
                self.buffer = self.buffer[header + len(first.payload) :]
                return first.opcode, first.payload
            data = await self.reader.read(1 << 20)
            assert data, "the server has ended the stream"
            self.buffer += data

    async def rest(self) -> bytes:
        """Return what comes until the end of the stream."""
        data = self.buffer + await self.reader.read()
        self.buffer = b""
        return data

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    async def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        await self.close()


def make_certificate(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server on localhost, and of a client that trusts it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing")
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))


class InMemory(asyncio.Transport):
    """A transport without a network, which ends as soon as it is closed. `write` is left to a derived class."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self.driver.lost:
            self.driver.connection_lost(None)

    abort = close
