"""An echo server over HTTP/2 (RFC 8441), in clear text, with h2 for HTTP/2 and asyncio for the socket.

    python examples/http2_echo.py --port 8765

The law: one TCP connection carries many WebSockets, and none may hold up another. So back-pressure is that of HTTP/2:
input that a WebSocket has not processed keeps the window of its own stream closed, and no other. Everything that h2
reports is noted first, then each WebSocket goes on, as a stream may have ended in h2 before the events that led there
have been read.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import math
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455

HeaderList = Sequence[tuple[bytes, bytes]]

# Each client takes a file descriptor, of which a process usually has 1024.
MAX_CLIENTS = 500

# RFC 8441, 3: "Using a SETTINGS parameter to opt into an otherwise incompatible protocol change".
SETTINGS = {
    h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100,
    h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 16 << 10,
}

# The number of bytes that are collected before they are sent.
ENOUGH = 64 << 10

# The time in seconds for which a WebSocket may keep the others waiting. One read can inflate to a lot.
TURN = 0.01

# The time in seconds that a peer has to read the rest after it has ended its side of a stream, and to end its side of
# TCP after our last byte.
FAREWELL = 2.0


class Server:
    """The state that all clients share."""

    def __init__(self, timeouts: rfc6455.Timeouts) -> None:
        self.timeouts = timeouts
        self.clients: set[Client] = set()
        self.ends = False

    async def run(self, host: str, port: int) -> None:
        """Serve until a signal comes, then until all clients have gone."""
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
        self.busy_at = self.loop.time()  # when there last was a WebSocket
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
        """Go on with each stream as far as possible, and set the timer."""
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
            self.busy_at = self.loop.time()
        elif self.server.ends:
            self.http.close_connection()
            self.finish()
        elif self.idle_until() <= self.loop.time():
            self.http.close_connection()
            self.finish("no WebSocket for too long")
        if not self.is_over:
            self.flush()
            self.set_timer()

    def idle_until(self) -> float:
        """Return the time until which the client may have no WebSocket; it gets as long as for an opening
        handshake."""
        seconds = self.server.timeouts.open
        return math.inf if seconds is None else self.busy_at + seconds

    def set_timer(self) -> None:
        due = min([tunnel.due() for tunnel in self.tunnels.values()] or [self.idle_until()])
        self.timer.cancel()
        if any(tunnel.can_go_on() for tunnel in self.tunnels.values()):
            self.timer = self.loop.call_soon(self.step)
        elif due < math.inf:
            # One iteration later, as the contents of the socket will have been read by then.
            self.timer = self.loop.call_at(due, self.loop.call_soon, self.step)

    def flush(self) -> None:
        data = self.http.data_to_send()
        if not self.transport.is_closing():  # asyncio complains about writes after a reset
            self.transport.write(data)

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
        """Write the last bytes, end this side of TCP, and give the client time to end the other."""
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
        self.timer = self.loop.call_later(FAREWELL, self.transport.abort)

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
        handshake = rfc6455.Http2ServerHandshake(extensions=[rfc6455.PerMessageDeflate()])
        self.ws = rfc6455.Endpoint(handshake, client.server.timeouts, now=client.loop.time())
        self.has_more = False  # whether events are left
        self.incoming = bytearray()  # input that has not been processed yet, at most a window
        self.unacknowledged = 0
        self.outgoing = bytearray()  # data for which the peer's window has no room
        self.peer_ended = False
        self.we_ended = False
        self.over_at = math.inf  # when to discard the data that the peer does not read
        self.is_over = False

    def note(self, data: bytes, size: int) -> None:
        """Note input that took ``size`` bytes of the window."""
        self.unacknowledged += size
        if not self.ws.closed:
            self.incoming += data

    def step(self) -> None:
        """Go on as far as the peer's windows allow."""
        now = self.client.loop.time()
        if self.client.server.ends:
            self.ws.close(rfc6455.CloseCode.GOING_AWAY)
        if self.headers is not None:
            headers, self.headers = self.headers, None
            self.handle(self.ws.receive_headers(headers, now=now))
        self.send()
        if self.is_held_up():
            self.ws.advance(now=now)
        if not self.is_held_up():
            self.handle(self.ws.events(self.take(), now=now))
        if self.ws.must_close:
            self.end(now)

    def handle(self, events: Iterable[rfc6455.Request | rfc6455.Response | rfc6455.Event]) -> None:
        """Answer events, as long as the peer reads the answers and it is not the turn of others."""
        start = self.client.loop.time()
        self.has_more = False
        for event in events:
            self.answer(event)
            if len(self.outgoing) > ENOUGH:
                self.send()
            is_turn_over = self.client.loop.time() - start > TURN and not self.ws.closed
            if is_turn_over or self.is_held_up():
                self.has_more = True
                break
        self.send()

    def answer(self, event: rfc6455.Request | rfc6455.Response | rfc6455.Event) -> None:
        match event:
            case rfc6455.Request():
                self.ws.accept(now=self.client.loop.time())
            case rfc6455.TextMessage(text) if not self.client.server.ends:
                self.ws.send_text(text)
            case rfc6455.BytesMessage(data) if not self.client.server.ends:
                self.ws.send_bytes(data)
            case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                self.log(f"refused: {error}")
            case rfc6455.Closed(code, reason):
                self.log(f"closed: {int(code)} {reason!a}")
        self.outgoing += self.ws.data_to_send()

    def is_held_up(self) -> bool:
        """Return whether to wait for a peer that does not read its messages. Its deadlines count nevertheless."""
        return len(self.outgoing) > 0 and not self.ws.closed

    def can_go_on(self) -> bool:
        """Return whether there is input, and the peer reads its messages."""
        if self.outgoing or not self.client.may_write or self.ws.finished:
            return False
        return self.has_more or (not self.ws.closed and (len(self.incoming) > 0 or self.peer_ended))

    def take(self) -> bytes | None:
        """Return the new input (``b""`` at its end, ``None`` if there is none), and let the peer send as much
        again."""
        if self.has_more or self.outgoing or not self.client.may_write:
            return None
        data = bytes(self.incoming)
        self.incoming.clear()
        if self.unacknowledged and not self.peer_ended:
            self.http.increment_flow_control_window(self.unacknowledged, self.stream)
        self.unacknowledged = 0
        return data if data or self.peer_ended else None

    def send(self) -> None:
        if headers := self.ws.headers_to_send():
            self.http.send_headers(self.stream, headers)
        self.outgoing += self.ws.data_to_send()
        while self.outgoing and self.client.may_write:
            size = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
            if size <= 0:
                return
            self.http.send_data(self.stream, bytes(self.outgoing[:size]))
            del self.outgoing[:size]
            self.client.flush()

    def end(self, now: float) -> None:
        """End the stream. RFC 8441, 5: END_STREAM is the orderly end. If the peer does not end its side, reset the
        stream."""
        if not self.outgoing and not self.we_ended:
            self.http.end_stream(self.stream)
            self.we_ended = True
        if self.we_ended and self.peer_ended:
            self.is_over = True
        elif self.ws.finished:
            self.over_at = min(self.over_at, now if self.we_ended else now + FAREWELL)
            if now >= self.over_at:
                self.http.reset_stream(self.stream, h2.errors.ErrorCodes.CANCEL)
                self.is_over = True

    def due(self) -> float:
        at = self.ws.deadlines.next_deadline() if self.has_more or self.is_held_up() else self.ws.next_deadline()
        return self.over_at if at is None else at

    def lost(self) -> None:
        """Note that the stream was reset, or has ended with its TCP connection."""
        for event in self.ws.events(b"", now=self.client.loop.time()):
            if isinstance(event, rfc6455.Closed):
                self.answer(event)

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
