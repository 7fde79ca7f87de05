"""Five hundred clients under load, while other peers fail in every possible way: well-behaved clients lose nothing.

Each honest client sends numbered messages one after the other and checks each answer: none is lost, doubled or out of
order. Meanwhile, the others reset, stop reading, stop answering, break the rules or are killed, and the loop is
blocked, or the whole process stopped, for longer than the keepalive waits. At the end, all resources have been
released.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
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
from programs import Started

import rfc6455
from rfc6455_io.asyncio import connect, serve

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


async def behaves(port: int, number: int, faults: asyncio.Event, begun: asyncio.Semaphore | None = None) -> int:
    """Return how many messages were answered, all of them as they should.

    :param begun: is released when the first was.
    """
    uri = f"ws://127.0.0.1:{port}/"
    async with connect(uri, proxy=None, timeouts=rfc6455.Timeouts(open=None, ping_interval=None)) as ws:
        sent = 0
        while sent < LEAST or not faults.is_set():
            message = f"{number} {sent} " + "x" * (sent * number % 3000)
            await ws.send(message)
            assert await ws.recv() == message
            sent += 1
            if begun is not None and sent == 1:
                begun.release()
        await ws.send("last")
        assert await ws.recv() == "last"
    return sent


async def resets(port: int) -> None:
    raw = await Raw.connect(port)
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


async def stops_answering(port: int) -> None:
    raw = await Raw.connect(port)
    assert close_payload(3008) in await raw.rest()
    await raw.close()


async def breaks_the_rules(port: int) -> None:
    raw = await Raw.connect(port)
    raw.send(3, b"")
    assert close_payload(1002) in await raw.rest()
    await raw.close()


async def leaves_without_a_word(port: int) -> None:
    raw = await Raw.connect(port)
    raw.send(TEXT, b"begun", fin=False)
    await raw.close()


async def closes(port: int) -> None:
    raw = await Raw.connect(port)
    raw.send(CLOSE, close_payload(1000))
    await raw.rest()
    await raw.close()


async def are_killed(port: int) -> None:
    command = [sys.executable, "-c", VICTIM, str(port), REQUEST.hex(), str(OF_EACH_FAULT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"open\n"
        process.kill()


PEERS = (resets, stops_answering, breaks_the_rules, leaves_without_a_word, closes)


async def all_faults(port: int) -> list[socket.socket]:
    """Return the sockets of those who do not read, which are still open."""
    stalled = [asyncio.to_thread(stops_reading, port) for _ in range(OF_EACH_FAULT)]
    peers = [peer(port) for peer in PEERS for _ in range(OF_EACH_FAULT)]
    asyncio.get_running_loop().call_later(1.0, time.sleep, BLOCKED)
    sockets, *_ = await asyncio.gather(asyncio.gather(*stalled), are_killed(port), *peers)
    # Again, now that the loop has been late.
    await asyncio.gather(are_killed(port), *(peer(port) for peer in PEERS for _ in range(OF_EACH_FAULT)))
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
            honest = [asyncio.create_task(behaves(server.port, number, faults_are_over)) for number in range(CLIENTS)]
            stalled = await all_faults(server.port)
            faults_are_over.set()
            assert min(await asyncio.gather(*honest)) >= LEAST
            while server.connections or server._drivers:
                await asyncio.sleep(0.01)
            for sock in stalled:
                sock.close()
            assert len(list(DESCRIPTORS.iterdir())) <= descriptors

    run(main(), loop, patience=PATIENCE)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# An echo server on the loop that is named. It prints its port; SIGTERM ends it, once all clients have gone.
SERVER = f"""
import asyncio, signal, sys
import rfc6455
from io_loops import Echo, echo, run
from rfc6455_io.asyncio import serve

async def main():
    ends = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    handler = Echo if sys.argv[1] == "uvloop" else echo
    async with serve(handler, "127.0.0.1", 0, timeouts=rfc6455.{TIMEOUTS!r}, backlog={CLIENTS}) as server:
        print("port", server.port, flush=True)
        await ends.wait()
        while server.connections or server._drivers:
            await asyncio.sleep(0.01)
    print("all have gone")

run(main(), sys.argv[1], {2 * PATIENCE})
"""


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a system that stops no process")
@pytest.mark.usefixtures("_many_descriptors")
@pytest.mark.parametrize("loop", [LOOPS[0], LOOPS[-1]])
def test_a_process_that_was_stopped_goes_on(loop: str) -> None:
    async def main(program: Started, port: int) -> None:
        is_running_again = asyncio.Event()
        begun = asyncio.Semaphore(0)
        honest = [asyncio.create_task(behaves(port, number, is_running_again, begun)) for number in range(CLIENTS)]
        faults = [asyncio.create_task(peer(port)) for peer in PEERS for _ in range(OF_EACH_FAULT)]
        for _ in range(CLIENTS):
            await begun.acquire()
        program.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(BLOCKED)
        program.process.send_signal(signal.SIGCONT)
        is_running_again.set()
        assert min(await asyncio.gather(*honest)) >= LEAST
        await asyncio.gather(*faults)

    program = Started()
    path = os.pathsep.join(filter(None, sys.path))
    ready = program.start([sys.executable, "-c", SERVER, loop], r"^port \d+$", PYTHONPATH=path)
    try:
        run(main(program, int(ready.removeprefix("port "))), LOOPS[0], patience=PATIENCE)
        program.process.terminate()
        assert program.process.wait(PATIENCE) == 0
    finally:
        program.kill()
    assert program.lines == [ready, "all have gone"]
