"""An echo server on asyncio, over streams or as a Protocol.

    python examples/echo_asyncio.py --port 8765 [--protocol]

The law: code that works on a connection never awaits. Everything that happens to a connection is a plain call:
`Session.receive` for input, `Session.tick` for a deadline or the end of the server. Streams and Protocol are two short
ways to make these calls; they differ in how they wait for a client that does not read its messages. A deadline is a
timer, and no read is cancelled for it. When it is due, it takes effect one iteration of the loop later, after the
contents of the socket have been read.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import signal
import sys
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455

# Each client takes a file descriptor, of which a process usually has 1024.
MAX_CLIENTS = 500

# The number of bytes that may wait in a transport before reading from its client stops: asyncio's own high-water mark.
HIGH_WATER = 64 << 10

# The time in seconds for which a client may keep the others waiting. One read can inflate to a lot.
TURN = 0.01

# The time in seconds for which the last bytes may stay in the transport when there is nothing else to wait for.
FAREWELL = 2.0


class Server:
    """The state that all sessions share."""

    def __init__(self, timeouts: rfc6455.Timeouts) -> None:
        self.timeouts = timeouts
        self.sessions: set[Session] = set()
        self.ends = False

    async def run(self, host: str, port: int, protocol: bool) -> None:
        """Serve until a signal comes, then until all clients have gone."""
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
        """Serve one client, over streams."""
        session = Session(writer.transport, self)
        data: bytes | None = None
        try:
            while data != b"":
                await writer.drain()  # back-pressure: stop reading from a client that does not read its messages
                if session.has_more:
                    await asyncio.sleep(0)
                data = None if session.has_more else await reader.read(65536)
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
    """One client, with callbacks."""

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
        """Read more if nothing is left of the last input and the client reads its messages."""
        if self.may_write and not self.session.has_more:
            self.transport.resume_reading()
            return
        self.transport.pause_reading()
        if self.may_write:
            asyncio.get_running_loop().call_soon(self.receive_more)

    def receive_more(self) -> None:
        if self.may_write and self.session.has_more:
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
    """One connection: the library's endpoint, a timer, and what they need from the transport.

    :ivar has_more: whether events are left, because the client does not read, or it is the turn of others. `receive`
        must then go on with them before anything is read.
    """

    def __init__(self, transport: asyncio.WriteTransport, server: Server) -> None:
        host, port = (transport.get_extra_info("peername") or ("somebody", 0))[:2]
        self.address = f"{host}:{port}"
        self.transport = transport
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self.loop.create_future()
        self.has_more = False
        handshake = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()])
        self.ws = rfc6455.Endpoint(handshake, server.timeouts, now=self.loop.time())
        self.timer = self.loop.call_soon(self.tick)
        server.sessions.add(self)
        if len(server.sessions) > MAX_CLIENTS:
            self.ws.close(reason="too many clients")
            self.tick()
            transport.abort()

    def receive(self, data: bytes | None = None) -> None:
        """Process input (``b""`` at its end, ``None`` to go on), answer the events, and set the timer."""
        start = self.loop.time()
        self.has_more = False
        for event in self.ws.events(data, now=start):
            self.answer(event)
            self.write()
            if self.is_held_up() or (self.loop.time() - start > TURN and not self.ws.closed):
                self.has_more = True
                break
        self.settle()

    def tick(self) -> None:
        """Handle the deadlines that are due."""
        if self.server.ends:
            self.ws.close(rfc6455.CloseCode.GOING_AWAY, "the server ends")
        if self.is_held_up():
            self.ws.advance(now=self.loop.time())
        if self.is_held_up():
            self.settle()
        else:
            self.receive()

    def is_held_up(self) -> bool:
        """Return whether to wait for a client that does not read its messages. Its deadlines count nevertheless."""
        return self.transport.get_write_buffer_size() > HIGH_WATER and not self.ws.closed

    def settle(self) -> None:
        """Write, and set the timer."""
        self.write()
        self.timer.cancel()
        if self.ws.finished:
            self.transport.close()
            self.timer = self.loop.call_later(FAREWELL, self.transport.abort)
            return
        if self.ws.must_close:
            self.end_stream()
        due = self.ws.deadlines.next_deadline() if self.has_more else self.ws.next_deadline()
        if due is not None:
            self.timer = self.loop.call_at(due, self.loop.call_soon, self.tick)

    def write(self) -> None:
        buffers = self.ws.buffers_to_send()
        if buffers and not self.transport.is_closing():  # asyncio complains about writes after a reset
            self.transport.writelines(buffers)

    def answer(self, event: rfc6455.Request | rfc6455.Response | rfc6455.Event) -> None:
        match event:
            case rfc6455.Request():
                self.ws.accept(now=self.loop.time())
            case rfc6455.TextMessage(text) if not self.server.ends:
                self.ws.send_text(text)
            case rfc6455.BytesMessage(data) if not self.server.ends:
                self.ws.send_bytes(data)
            case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                self.log(f"refused: {error}")
            case rfc6455.Closed(code, reason):
                self.log(f"closed: {int(code)} {reason!a}")

    def end_stream(self) -> None:
        """Tell the client that nothing more will be written."""
        try:
            self.transport.write_eof()
        except OSError:
            pass  # reset

    def lost(self) -> None:
        """Note that the TCP connection is gone."""
        self.receive(b"")
        self.timer.cancel()
        self.server.sessions.discard(self)
        self.gone.set_result(None)

    def log(self, line: str) -> None:
        print(f"{self.address} {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message. Ctrl-C ends it.")
    add_address(parser)
    parser.add_argument("--protocol", action="store_true", help="use callbacks rather than streams")
    add_timeouts(parser)
    options = vars(parser.parse_args())
    host, port, protocol = (options.pop(name) for name in ("host", "port", "protocol"))
    asyncio.run(Server(take_timeouts(options)).run(host, port, protocol))


if __name__ == "__main__":
    main()
