"""An echo server on asyncio, over streams or as a Protocol.

    python examples/echo_asyncio.py --port 8765 [--protocol]

The law: nothing awaits while it has a connection in hand. Whatever happens to one is a plain call: `Session.receive`
for input, `Session.tick` for a deadline or the end of the server. Streams and Protocol are two short ways to make
these calls; what differs is how they wait for a client that does not take what it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: it is in the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455

# Each client has a file descriptor, of which a process usually gets 1024.
MAX_CLIENTS = 500

# How long what was written last may wait in the transport when there is nothing else to wait for, in seconds.
FAREWELL = 2.0


class Server:
    """What all sessions share."""

    def __init__(self, timeouts: rfc6455.Timeouts) -> None:
        self.timeouts = timeouts
        self.sessions: set[Session] = set()
        self.ends = False

    async def run(self, host: str, port: int, protocol: bool) -> None:
        """Serves until a signal comes, then until all clients have gone."""
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signalled.set)
        if protocol:
            listener = await loop.create_server(lambda: EchoProtocol(self), host, port)
        else:
            listener = await asyncio.start_server(self.serve, host, port)
        print(f"listening on port {listener.sockets[0].getsockname()[1]}", flush=True)
        await signalled.wait()
        listener.close()
        self.ends = True
        while self.sessions:
            for session in self.sessions:
                session.tick()
            await asyncio.wait([session.gone for session in self.sessions])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, over streams."""
        session = Session(writer.transport, self)
        data: bytes | None = None
        try:
            while data != b"":
                await writer.drain()  # back-pressure: who does not take what it is sent is not listened to
                if session.unread:
                    await asyncio.sleep(0)  # it may inflate to much, and the others want to run, too
                data = None if session.unread else await reader.read(65536)
                session.receive(data)
        except OSError:
            pass  # reset
        session.receive(b"")
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass
        session.lost()


class EchoProtocol(asyncio.Protocol):
    """One client, by callbacks."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.may_write = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.session = Session(transport, self.server)

    def data_received(self, data: bytes) -> None:
        self.session.receive(data)
        self.go_on()

    def go_on(self) -> None:
        """Lets input come when nothing is left of the last, and the client takes what it is sent."""
        if self.may_write and not self.session.unread:
            self.transport.resume_reading()
            return
        self.transport.pause_reading()
        if self.may_write:
            asyncio.get_running_loop().call_soon(self.receive_unread)

    def receive_unread(self) -> None:
        if self.may_write and self.session.unread:
            self.session.receive()
            self.go_on()

    def pause_writing(self) -> None:
        self.may_write = False

    def resume_writing(self) -> None:
        self.may_write = True
        self.go_on()

    def eof_received(self) -> None:
        self.session.receive(b"")

    def connection_lost(self, error: Exception | None) -> None:
        self.session.lost()


class Session:
    """One connection: the library's endpoint, a timer, and what they want of the transport."""

    ws: rfc6455.Connection

    def __init__(self, transport: asyncio.WriteTransport, server: Server) -> None:
        host, port = (transport.get_extra_info("peername") or ("somebody", 0))[:2]
        self.address = f"{host}:{port}"
        self.transport = transport
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self.loop.create_future()
        handshake = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()])
        self.endpoint = rfc6455.Endpoint(handshake, server.timeouts, self.loop.time())
        self.timer = self.loop.call_soon(self.tick)
        server.sessions.add(self)
        if len(server.sessions) > MAX_CLIENTS:
            self.endpoint.close(reason="too many clients")
            self.tick()
            transport.abort()

    @property
    def unread(self) -> int:
        return self.endpoint.unread

    def receive(self, data: bytes | None = None) -> None:
        """Takes what was read, ``b""`` at its end; ``None`` to go on with what is `unread`."""
        self.handle(self.endpoint.receive_data(data, now=self.loop.time()))

    def tick(self) -> None:
        """Does what is due."""
        if self.server.ends:
            self.endpoint.close(rfc6455.CloseCode.GOING_AWAY, "the server ends")
        self.handle(self.endpoint.advance(now=self.loop.time()))

    def handle(self, events: Sequence[object]) -> None:
        """Answers what happened, writes, and sets the timer."""
        for event in events:
            self.answer(event)
        if data := self.endpoint.data_to_send():
            self.transport.write(data)
        self.timer.cancel()
        if self.endpoint.finished:
            self.transport.close()
            self.timer = self.loop.call_later(FAREWELL, self.transport.abort)
            return
        if self.endpoint.must_close:
            self.end_stream()
        due = self.endpoint.next_deadline()
        if due is not None:
            self.timer = self.loop.call_at(due, self.tick)

    def answer(self, event: object) -> None:
        match event:
            case rfc6455.Request():
                self.ws = self.endpoint.accept(self.loop.time())
            case rfc6455.TextMessage(text) if not self.server.ends:
                self.ws.send_text(text)
            case rfc6455.BytesMessage(data) if not self.server.ends:
                self.ws.send_bytes(data)
            case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                self.log(f"refused: {error}")
            case rfc6455.Closed(code, reason):
                self.log(f"closed: {int(code)} {reason!a}")

    def end_stream(self) -> None:
        """Says that what was written is the last."""
        try:
            self.transport.write_eof()
        except OSError:
            pass  # reset

    def lost(self) -> None:
        """There is no connection any more."""
        self.receive(b"")
        self.timer.cancel()
        self.server.sessions.discard(self)
        self.gone.set_result(None)

    def log(self, line: str) -> None:
        print(f"{self.address} {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message. Ctrl-C ends it.")
    add_address(parser)
    parser.add_argument("--protocol", action="store_true", help="by callbacks rather than over streams")
    add_timeouts(parser)
    options = vars(parser.parse_args())
    host, port, protocol = (options.pop(name) for name in ("host", "port", "protocol"))
    asyncio.run(Server(take_timeouts(options)).run(host, port, protocol))


if __name__ == "__main__":
    main()
