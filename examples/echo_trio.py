"""An echo server on trio: a task for each client.

    python examples/echo_trio.py --port 8765

The law: one task owns the connection, and it waits in one place, `Client.wait`. A cancel scope there has the library's
next deadline, on trio's own clock, and other code cancels the scope to get the task's attention. Only calls of the
socket itself are cancelled, which trio performs completely or not at all. After a cancelled `send_all`, there would be
no way to know how much was sent.
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

# Each client takes a file descriptor, of which a process usually has 1024.
MAX_CLIENTS = 500

# The number of bytes that are collected before they are sent.
ENOUGH = 64 << 10

# The time in seconds for which a client may keep the others waiting. One read can inflate to a lot.
TURN = 0.01

# The time in seconds for which to wait for input when a deadline has already passed.
LOOK = 0.001

# The time in seconds that a client has to read the answer after it has ended its stream.
FAREWELL = 2.0


class Server:
    """The state that all clients share. `serve` is the task of one client; `run` does everything else."""

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
                all_tasks.cancel()  # the second signal: stop immediately
            self.ends = True
            self.listening.cancel()
            for client in self.clients:
                client.waiting.cancel()

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            host, port = stream.socket.getpeername()[:2]
        except OSError:
            return  # the client has already gone
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
        self.outgoing = bytearray()  # data that has not been sent yet
        self.has_more = False  # whether events are left, as it is the turn of others
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
        """Return whether to wait for a client that does not read its messages. Its deadlines count nevertheless."""
        return len(self.outgoing) > 0 and not self.ws.closed

    async def wait(self) -> bytes | None:
        """Send the outgoing data, then read, unless events are left.

        A scope whose deadline has passed would not even look into the socket, where the awaited answer may already be,
        so it gets a moment longer.

        :returns: the input, ``b""`` at its end, or ``None`` if the server is stopped or the next deadline comes first.
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
                await trio.lowlevel.checkpoint()  # the rest may inflate to a lot, and the others need their turn
            except OSError:  # reset: the client no longer reads
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
