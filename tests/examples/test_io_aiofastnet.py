"""`rfc6455_io.asyncio` over the transports of aiofastnet, on asyncio's own loop and uvloop, with and without TLS."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import Any

import pytest

pytest.importorskip("aiofastnet")

import aiofastnet
from helpers import CLOSE, TEXT, close_payload
from io_loops import LOOPS, Echo, Raw, echo, make_certificate, run

import rfc6455
from rfc6455 import CloseCause, Closed
from rfc6455_io.asyncio import Listener, connect, serve

pytestmark = pytest.mark.parametrize("loop", [f"aiofastnet on {loop}" for loop in LOOPS])

Contexts = tuple[ssl.SSLContext | None, ssl.SSLContext | None]
OVER_BOTH = pytest.mark.parametrize("contexts", ["TCP", "TLS"], indirect=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def contexts(request: pytest.FixtureRequest) -> Contexts:
    """Return the TLS contexts of the server and of the client."""
    return (None, None) if request.param == "TCP" else request.getfixturevalue("certificate")


def uri(server: Any, context: ssl.SSLContext | None) -> str:
    return f"{'ws' if context is None else 'wss'}://localhost:{server.port}/"


@OVER_BOTH
@pytest.mark.parametrize("handler", [echo, Echo], ids=["coroutines", "listener"])
def test_messages_come_back(loop: str, contexts: Contexts, handler: Any) -> None:
    messages = ["", "grüß", b"\0\xff", "x" * 300_000, bytes(900_000), *map(str, range(200))]

    async def main() -> None:
        async with (
            serve(handler, "localhost", 0, ssl=contexts[0]) as server,
            connect(uri(server, contexts[1]), ssl=contexts[1]) as ws,
        ):
            assert isinstance(ws._driver.transport, aiofastnet.Transport)
            for message in messages:
                await ws.send(message)
            assert [await ws.recv() for _ in messages] == messages

    run(main(), loop)


@OVER_BOTH
def test_either_side_closes(loop: str, contexts: Contexts) -> None:
    ends: list[Closed] = []

    async def answer(ws: Any) -> None:
        try:
            assert await ws.recv() == "close"
            await ws.close(4001, "server")
        except rfc6455.ConnectionClosedError as error:
            ends.append(error.closed)

    async def main() -> None:
        async with serve(answer, "localhost", 0, ssl=contexts[0]) as server:
            async with connect(uri(server, contexts[1]), ssl=contexts[1]) as ws:
                await ws.send("close")
                with pytest.raises(rfc6455.ConnectionClosedError) as info:
                    await ws.recv()
                assert (info.value.closed.code, info.value.closed.reason) == (4001, "server")
            async with connect(uri(server, contexts[1]), ssl=contexts[1]) as ws:
                await ws.close(4002, "client")
        (closed,) = ends
        assert (closed.code, closed.reason) == (4002, "client")

    run(main(), loop)


class Sender(Listener):
    """Sends until enough is waiting, and once more when there is room."""

    def __init__(self, told: asyncio.Queue[Any]) -> None:
        self.told = told

    def opened(self, head: Any) -> None:
        asyncio.get_running_loop().call_soon(self.fill)

    def fill(self) -> None:
        count = 1
        while self.send(bytes(100_000)):
            count += 1
        self.told.put_nowait(count)

    def writable(self) -> None:
        self.told.put_nowait("writable")
        self.close(4003, "enough")

    def closed(self, closed: Closed) -> None:
        self.told.put_nowait(closed)


@OVER_BOTH
def test_a_client_that_does_not_read_is_waited_for(loop: str, contexts: Contexts) -> None:
    async def main() -> None:
        told: asyncio.Queue[Any] = asyncio.Queue()
        async with serve(partial(Sender, told), "localhost", 0, ssl=contexts[0]) as server:
            async with connect(uri(server, contexts[1]), ssl=contexts[1]) as ws:
                count = await told.get()
                assert [len(await ws.recv()) for _ in range(count)] == [100_000] * count
                assert await told.get() == "writable"
                with pytest.raises(rfc6455.ConnectionClosedError, match="enough"):
                    await ws.recv()
            assert (await told.get()).code == 4003

    run(main(), loop)


def test_a_client_that_breaks_the_rules_and_one_that_is_lost(loop: str) -> None:
    async def main() -> None:
        told: asyncio.Queue[Any] = asyncio.Queue()

        class Told(Listener):
            def closed(self, closed: Closed) -> None:
                told.put_nowait(closed)

        async with serve(Told, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.send(TEXT, b"not masked", key=None)
            opcode, payload = await raw.frame()
            assert (opcode, payload[:2]) == (CLOSE, close_payload(1002))
            assert await raw.rest() == b""
            await raw.close()
            assert (await told.get()).code == 1002
            raw = await Raw.connect(server.port)
            await raw.reset()
            closed = await told.get()
            assert (closed.code, closed.cause) == (1006, CloseCause.EOF_IDLE)

    run(main(), loop)
