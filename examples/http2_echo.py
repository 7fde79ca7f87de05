"""An echo server over HTTP/2 (RFC 8441), in clear text, with h2 for HTTP/2 and asyncio for the socket.

    python examples/http2_echo.py --port 8765

The law: one TCP connection carries many WebSockets, and none may hold up another. So back-pressure is HTTP/2's own:
what a WebSocket has not worked off keeps the window of its stream closed, and of no other. What h2 reports is first
noted, all of it, then each WebSocket goes on: a stream may have ended in h2 before the events that led there are read.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

if importlib.util.find_spec("rfc6455") is None:  # not installed: it is in the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455

HeaderList = Sequence[tuple[bytes, bytes]]

# Each client has a file descriptor, of which a process usually gets 1024.
MAX_CLIENTS = 500

# RFC 8441, 3: "Using a SETTINGS parameter to opt into an otherwise incompatible protocol change".
SETTINGS = {
    h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 16 << 10,
}

# After our last byte, how long the peer has to take it and to end its side, in seconds.
LINGER = 2.0


class Server:
    """What all clients share."""

    def __init__(self, timeouts: rfc6455.Timeouts) -> None:
        self.timeouts = timeouts
        self.clients: set[Client] = set()
        self.ends = False

    async def run(self, host: str, port: int) -> None:
        """Serves until a signal comes, then until all clients have gone."""
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signalled.set)
        listener = await loop.create_server(lambda: Client(self), host, port)
        print(f"listening on port {listener.sockets[0].getsockname()[1]}", flush=True)
        await signalled.wait()
        listener.close()
        self.ends = True
        while self.clients:
            for client in self.clients:
                client.step()
            await asyncio.wait([client.gone for client in self.clients])


class Client(asyncio.Protocol):
    """One TCP connection and the HTTP/2 on it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self.loop.create_future()
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.http.local_settings = h2.settings.Settings(client=False, initial_values=SETTINGS)
        self.tunnels: dict[int, Tunnel] = {}
        self.unacknowledged = 0
        self.may_write = True
        self.is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.idle = rfc6455.Deadlines(self.server.timeouts, now=self.loop.time())  # how long there may be no WebSocket
        self.timer = self.loop.call_soon(self.step)
        self.address = "{}:{}".format(*transport.get_extra_info("peername") or ("somebody", 0))
        self.http.initiate_connection()
        self.server.clients.add(self)
        if len(self.server.clients) > MAX_CLIENTS:
            self.finish("too many clients")
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.is_over:
            return
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.finish(f"{type(error).__name__}: {error}")
            return
        for event in events:
            self.note(event)
        self.step()

    def note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream, headers=headers):
                self.tunnels[stream] = Tunnel(self, stream, headers)
            case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=size):
                self.unacknowledged += size
                if stream in self.tunnels:
                    self.tunnels[stream].note(data, size)
            case h2.events.StreamEnded(stream_id=stream) if stream in self.tunnels:
                self.tunnels[stream].peer_ended = True
            case h2.events.StreamReset(stream_id=stream) if stream in self.tunnels:
                self.tunnels.pop(stream).lost()
            case h2.events.ConnectionTerminated():
                self.finish()

    def step(self) -> None:
        """Does what can be done now, on each stream, and sets the timer."""
        if self.is_over:
            return
        if self.unacknowledged:
            self.http.increment_flow_control_window(self.unacknowledged)
            self.unacknowledged = 0
        for tunnel in self.tunnels.values():
            tunnel.step()
            self.flush()
        self.tunnels = {stream: tunnel for stream, tunnel in self.tunnels.items() if not tunnel.is_over}
        if self.tunnels:
            self.idle = rfc6455.Deadlines(self.server.timeouts, now=self.loop.time())
        elif self.server.ends:
            self.http.close_connection()
            self.finish()
        elif self.idle.advance(now=self.loop.time()):
            self.http.close_connection()
            self.finish("no WebSocket for too long")
        if not self.is_over:
            self.flush()
            self.set_timer()

    def set_timer(self) -> None:
        all_due = [tunnel.due() for tunnel in self.tunnels.values()] or [self.idle.next_deadline()]
        due = min((at for at in all_due if at is not None), default=None)
        self.timer.cancel()
        if any(tunnel.can_go_on() for tunnel in self.tunnels.values()):
            # A step takes one portion of each stream: it may inflate to much, and the others want to run, too.
            self.timer = self.loop.call_soon(self.step)
        elif due is not None:
            self.timer = self.loop.call_at(due, self.step)

    def flush(self) -> None:
        self.transport.write(self.http.data_to_send())

    def pause_writing(self) -> None:
        self.may_write = False
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.may_write = True
        self.transport.resume_reading()
        self.step()

    def eof_received(self) -> None:
        self.finish()

    def finish(self, reason: str = "") -> None:
        """Writes the last, says that it was, and gives the client time to say the same."""
        if self.is_over:
            return
        self.is_over = True
        if reason:
            print(f"{self.address} refused: {reason}", flush=True)
        for tunnel in self.tunnels.values():
            tunnel.lost()
        self.flush()
        try:
            self.transport.write_eof()
        except OSError:
            pass  # reset
        self.timer.cancel()
        self.timer = self.loop.call_later(LINGER, self.transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        self.finish()
        self.timer.cancel()
        self.server.clients.discard(self)
        self.gone.set_result(None)


class Tunnel:
    """One WebSocket, on one stream."""

    def __init__(self, client: Client, stream: int, headers: HeaderList) -> None:
        self.client = client
        self.http = client.http
        self.stream = stream
        self.headers: HeaderList | None = headers
        self.ws: rfc6455.Connection | None = None
        self.deadlines = rfc6455.Deadlines(client.server.timeouts, now=client.loop.time())
        self.incoming = bytearray()  # what is not worked off, at most a window
        self.unacknowledged = 0
        self.outgoing = bytearray()  # what the peer has not opened its window for
        self.peer_ended = False
        self.we_ended = False
        self.over_at: float | None = None
        self.is_over = False

    def note(self, data: bytes, size: int) -> None:
        """Notes input that took up ``size`` of the window."""
        self.unacknowledged += size
        if self.over_at is None:
            self.incoming += data

    def step(self) -> None:
        """Goes on as far as the peer's windows allow."""
        if self.headers is not None:
            self.open(self.headers)
            self.headers = None
        if self.ws is not None:
            self.converse(self.ws)
        self.send()
        if self.ws is None or self.ws.must_close:
            self.end()

    def open(self, headers: HeaderList) -> None:
        handshake = rfc6455.Http2ServerHandshake(extensions=[rfc6455.PerMessageDeflate()])
        try:
            handshake.receive_headers(headers)
        except rfc6455.HandshakeError as error:
            self.log(f"refused: {error}")
            self.outgoing += handshake.data_to_send()
        else:
            self.ws = handshake.accept()
            self.deadlines.opened(self.ws, now=self.client.loop.time())
        self.http.send_headers(self.stream, handshake.headers_to_send())

    def converse(self, ws: rfc6455.Connection) -> None:
        if self.can_go_on():
            self.answer(ws, ws.receive_data(None if ws.unread else self.take()))
            self.outgoing += ws.data_to_send()
            self.send()
        if self.client.server.ends:
            ws.close(rfc6455.CloseCode.GOING_AWAY)
        self.answer(ws, self.deadlines.advance(now=self.client.loop.time()))
        self.outgoing += ws.data_to_send()

    def can_go_on(self) -> bool:
        """Whether there is input, and the peer takes what it is sent."""
        if self.ws is None or self.ws.closed or self.outgoing or not self.client.may_write:
            return False
        return self.ws.unread > 0 or len(self.incoming) > 0 or self.peer_ended

    def take(self) -> bytes:
        """The input that has come, ``b""`` at its end; the peer may send as much again."""
        data = bytes(self.incoming)
        self.incoming.clear()
        if self.unacknowledged and not self.peer_ended:
            self.http.increment_flow_control_window(self.unacknowledged, self.stream)
        self.unacknowledged = 0
        return data

    def answer(self, ws: rfc6455.Connection, events: Sequence[rfc6455.Event]) -> None:
        for event in events:
            match event:
                case rfc6455.TextMessage(text) if not self.client.server.ends:
                    ws.send_text(text)
                case rfc6455.BytesMessage(data) if not self.client.server.ends:
                    ws.send_bytes(data)
                case rfc6455.Closed(code, reason):
                    self.log(f"closed: {int(code)} {reason!a}")

    def send(self) -> None:
        while self.outgoing and self.client.may_write:
            size = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
            if size <= 0:
                return
            self.http.send_data(self.stream, bytes(self.outgoing[:size]))
            del self.outgoing[:size]
            self.client.flush()

    def end(self) -> None:
        """RFC 8441, 5: END_STREAM is the orderly end; for a peer that does not end its side, the stream is reset."""
        now = self.client.loop.time()
        self.over_at = self.over_at or now + LINGER
        if not self.outgoing and not self.we_ended:
            self.http.end_stream(self.stream)
            self.we_ended = True
        if self.we_ended and self.peer_ended:
            self.is_over = True
        elif now >= self.over_at:
            self.http.reset_stream(self.stream, h2.errors.ErrorCodes.CANCEL)
            self.is_over = True

    def due(self) -> float | None:
        return self.deadlines.next_deadline() if self.over_at is None else self.over_at

    def lost(self) -> None:
        """The stream was reset, or is gone with its TCP connection."""
        if self.ws is not None:
            self.answer(self.ws, self.ws.receive_data(b""))

    def log(self, line: str) -> None:
        print(f"{self.client.address}/{self.stream} {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message, over HTTP/2. Ctrl-C ends it.")
    add_address(parser)
    add_timeouts(parser)
    options = vars(parser.parse_args())
    host, port = options.pop("host"), options.pop("port")
    asyncio.run(Server(take_timeouts(options)).run(host, port))


if __name__ == "__main__":
    main()
