"""An echo server on trio: a task for each client.

    python examples/echo_trio.py --port 8765

The law: one task owns the connection, and it waits in one place, `Client.wait`. A cancel scope there has the library's
next deadline, on trio's own clock, and other code cancels the scope to get the task's attention. What is cancelled is
a call of the socket itself, which trio does completely or not at all; after a cancelled `send_all`, nobody could tell
how much was sent.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import trio

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455

# Each client takes a file descriptor, and a process usually has no more than 1024.
MAX_CLIENTS = 500

# How much is collected before it is sent, in bytes.
ENOUGH = 64 << 10

# How long one client may keep the others waiting, in seconds; one read can inflate to a lot.
TURN = 0.01

# How long to look into a socket when a deadline has passed, in seconds.
LOOK = 0.001

# How long a client that has ended its stream has to read the answer, in seconds.
FAREWELL = 2.0


class Server:
    """What all clients share. `serve` is one client's task; `run` does everything else."""

    def __init__(self, timeouts: rfc6455.Timeouts) -> None:
        self.timeouts = timeouts
        self.clients: set[Client] = set()
        self.listening = trio.CancelScope()
        self.ends = False

    async def run(self, host: str, port: int) -> None:
        """Serve until a signal comes, then until all clients have gone."""
        listeners = await trio.open_tcp_listeners(port, host=host)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            print(f"listening on port {listeners[0].socket.getsockname()[1]}", flush=True)
            async with trio.open_nursery() as watch:
                async with trio.open_nursery() as tasks:
                    watch.start_soon(self.watch, signals, tasks.cancel_scope)
                    with self.listening:
                        await trio.serve_listeners(self.serve, listeners, handler_nursery=tasks)
                watch.cancel_scope.cancel()

    async def watch(self, signals: AsyncIterator[int], all_tasks: trio.CancelScope) -> None:
        async for _ in signals:
            if self.ends:
                all_tasks.cancel()  # the second signal: at once
            self.ends = True
            self.listening.cancel()
            for client in self.clients:
                client.waiting.cancel()

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            host, port = stream.socket.getpeername()[:2]
        except OSError:
            return  # gone again
        if len(self.clients) >= MAX_CLIENTS:
            print(f"{host}:{port} refused: too many clients", flush=True)
            return
        client = Client(stream.socket, f"{host}:{port}", self)
        self.clients.add(client)
        try:
            await client.run()
        finally:
            self.clients.remove(client)


class Client:
    """One connection."""

    def __init__(self, sock: trio.socket.SocketType, address: str, server: Server) -> None:
        self.sock = sock
        self.address = address
        self.server = server
        self.waiting = trio.CancelScope()
        self.outgoing = bytearray()  # what the client has not read yet
        self.has_more = False  # whether events are left, as it is the others' turn
        handshake = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()])
        self.ws = rfc6455.Endpoint(handshake, server.timeouts, now=trio.current_time())

    async def run(self) -> None:
        while not self.ws.finished:
            self.step(await self.wait())
        with trio.move_on_after(FAREWELL), contextlib.suppress(OSError):
            await self.send()

    def step(self, data: bytes | None) -> None:
        """Process input, note the time, and answer the events."""
        now = trio.current_time()
        if self.server.ends:
            self.ws.close(rfc6455.CloseCode.GOING_AWAY, "the server ends")
        if self.is_held_up():
            self.ws.advance(now=now)
        if not self.is_held_up():
            self.handle(self.ws.events(data, now=now), now)
        self.outgoing += self.ws.data_to_send()

    def handle(self, events: Iterable[rfc6455.Request | rfc6455.Response | rfc6455.Event], now: float) -> None:
        self.has_more = False
        for event in events:
            self.answer(event, now)
            is_enough = len(self.outgoing) > ENOUGH or trio.current_time() - now > TURN
            if is_enough and not self.ws.closed:
                self.has_more = True
                break

    def answer(self, event: rfc6455.Request | rfc6455.Response | rfc6455.Event, now: float) -> None:
        match event:
            case rfc6455.Request():
                self.ws.accept(now=now)
            case rfc6455.TextMessage(text) if not self.server.ends:
                self.ws.send_text(text)
            case rfc6455.BytesMessage(data) if not self.server.ends:
                self.ws.send_bytes(data)
            case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                print(f"{self.address} refused: {error}", flush=True)
            case rfc6455.Closed(code, reason):
                print(f"{self.address} closed: {int(code)} {reason!a}", flush=True)
        self.outgoing += self.ws.data_to_send()

    def is_held_up(self) -> bool:
        """Return whether to wait for a client that does not read what it was sent; its deadlines count anyway."""
        return len(self.outgoing) > 0 and not self.ws.closed

    async def wait(self) -> bytes | None:
        """Send what is outgoing; then read, unless events are left.

        A scope whose deadline has passed would not even look into the socket, where the awaited answer may be. So it
        gets a moment longer.

        :returns: the input, ``b""`` at its end; ``None`` when the server ends, or the next deadline is due first.
        """
        has_more = self.has_more or self.is_held_up()
        due = self.ws.deadlines.next_deadline() if has_more else self.ws.next_deadline()
        deadline = math.inf if due is None else max(due, trio.current_time() + LOOK)
        with trio.CancelScope(deadline=deadline) as self.waiting:
            try:
                await self.send()
                if self.ws.must_close:
                    self.sock.shutdown(trio.socket.SHUT_WR)  # nothing more will be sent
                if not self.has_more:
                    return await self.sock.recv(65536)
                await trio.lowlevel.checkpoint()  # it may inflate to a lot, and the others want to run, too
            except OSError:  # reset: nobody reads any more
                self.outgoing.clear()
                return b""
        return None

    async def send(self) -> None:
        while self.outgoing:
            del self.outgoing[: await self.sock.send(self.outgoing)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message. Ctrl-C ends it.")
    add_address(parser)
    add_timeouts(parser)
    options = vars(parser.parse_args())
    host, port = options.pop("host"), options.pop("port")
    trio.run(Server(take_timeouts(options)).run, host, port)


if __name__ == "__main__":
    main()
