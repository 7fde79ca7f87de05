"""Five hundred clients under load while other peers fail in every way that there is: those that behave lose nothing.

Each honest client sends numbered messages one after the other and looks at each answer: none is lost, none comes
twice, none out of order. Meanwhile the others reset, stop reading, stop answering, break the rules or are killed, and
the loop is blocked for longer than the keepalive waits. At the end everything is given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import BINARY, CLOSE, KEY, TEXT, close_payload, frame
from io_loops import LOOPS, REQUEST, Echo, Raw, echo, run

import rfc6455
from rfc6455_io.asyncio import Server, connect, serve

CLIENTS = 100
OF_EACH_FAULT = 10
LEAST = 5  # messages of each client, however soon the faults are over
BLOCKED = 3.0
# Both less than the loop is blocked, so that each deadline is found late.
TIMEOUTS = rfc6455.Timeouts(ping_interval=1.0, pong=1.5)
PATIENCE = 300.0

DESCRIPTORS = Path("/proc/self/fd")

# Opens connections, leaves a frame unfinished on each, and waits to be killed.
VICTIM = """
import socket, sys
request = bytes.fromhex(sys.argv[2])
socks = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[3]))]
for sock in socks:
    sock.sendall(request)
    assert sock.recv(65536).startswith(b"HTTP/1.1 101 ")
    sock.sendall(bytes.fromhex("82fe ffff 00000000 00"))
print("open", flush=True)
sys.stdin.read()
"""


async def behaves(server: Server, number: int, faults: asyncio.Event) -> int:
    """Return how many messages were answered, all of them as they should."""
    uri = f"ws://127.0.0.1:{server.port}/"
    async with connect(uri, proxy=None, timeouts=rfc6455.Timeouts(open=None, ping_interval=None)) as ws:
        sent = 0
        while sent < LEAST or not faults.is_set():
            message = f"{number} {sent} " + "x" * (sent * number % 3000)
            await ws.send(message)
            assert await ws.recv() == message
            sent += 1
        await ws.send("last")
        assert await ws.recv() == "last"
    return sent


async def resets(server: Server) -> None:
    raw = await Raw.connect(server.port)
    raw.send(TEXT, b"x" * 1000)
    await raw.reset()


def stops_reading(port: int) -> socket.socket:
    """Send until nothing goes out any more. The keepalive ends it: it takes nothing, so it answers no Ping either."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.sendall(REQUEST)
    while not sock.recv(65536).endswith(b"\r\n\r\n"):
        pass
    sock.settimeout(0.2)
    data = frame(BINARY, bytes(64 << 10), key=KEY)
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(data)
    return sock


async def stops_answering(server: Server) -> None:
    raw = await Raw.connect(server.port)
    assert close_payload(3008) in await raw.rest()
    await raw.close()


async def breaks_the_rules(server: Server) -> None:
    raw = await Raw.connect(server.port)
    raw.send(3, b"")
    assert close_payload(1002) in await raw.rest()
    await raw.close()


async def leaves_without_a_word(server: Server) -> None:
    raw = await Raw.connect(server.port)
    raw.send(TEXT, b"begun", fin=False)
    await raw.close()


async def closes(server: Server) -> None:
    raw = await Raw.connect(server.port)
    raw.send(CLOSE, close_payload(1000))
    await raw.rest()
    await raw.close()


async def are_killed(server: Server) -> None:
    command = [sys.executable, "-c", VICTIM, str(server.port), REQUEST.hex(), str(OF_EACH_FAULT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"open\n"
        process.kill()


PEERS = (resets, stops_answering, breaks_the_rules, leaves_without_a_word, closes)


async def all_faults(server: Server) -> list[socket.socket]:
    """Return the sockets of those who do not read, which are still open."""
    stalled = [asyncio.to_thread(stops_reading, server.port) for _ in range(OF_EACH_FAULT)]
    peers = [peer(server) for peer in PEERS for _ in range(OF_EACH_FAULT)]
    asyncio.get_running_loop().call_later(1.0, time.sleep, BLOCKED)
    sockets, *_ = await asyncio.gather(asyncio.gather(*stalled), are_killed(server), *peers)
    # Again, now that the loop has been late.
    await asyncio.gather(are_killed(server), *(peer(server) for peer in PEERS for _ in range(OF_EACH_FAULT)))
    return sockets


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CLIENTS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} descriptors, and may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="a system without /proc")
@pytest.mark.usefixtures("_many_descriptors")
@pytest.mark.parametrize(("handler", "loop"), [(echo, LOOPS[0]), (Echo, LOOPS[-1])])
def test_faults_of_some_cost_the_others_nothing(handler: Any, loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        limits = rfc6455.Limits(message=1 << 20)
        async with serve(handler, "127.0.0.1", 0, timeouts=TIMEOUTS, limits=limits, backlog=CLIENTS) as server:
            descriptors = len(list(DESCRIPTORS.iterdir()))
            faults_are_over = asyncio.Event()
            honest = [asyncio.create_task(behaves(server, number, faults_are_over)) for number in range(CLIENTS)]
            stalled = await all_faults(server)
            faults_are_over.set()
            assert min(await asyncio.gather(*honest)) >= LEAST
            while server.connections or server._drivers:
                await asyncio.sleep(0.01)
            for sock in stalled:
                sock.close()
            assert len(list(DESCRIPTORS.iterdir())) <= descriptors

    run(main(), loop, patience=PATIENCE)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
