"""An echo server over HTTP/3 (RFC 9220), with aioquic for QUIC and HTTP/3 and asyncio for the socket.

    python examples/http3_echo.py --port 8765 --certificate cert.pem --key key.pem

The law: one socket serves all clients, and asyncio reads one datagram from it at a time, so a Pong may be behind the
datagrams of others. A WebSocket is told the time with its own input, or when nothing is left in the socket. aioquic
never stops a peer from sending, so a peer that does not read the echoes is cut off.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import select
import signal
import socket
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StopSendingReceived, StreamReset

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455

MAX_CLIENTS = 500  # aioquic allows each of them 128 streams at a time
MAX_UNREAD = 4 << 20  # the number of bytes that a client may leave unread
MAX_DATAGRAMS = 1000  # the number that are read before the time counts: more than the socket's buffer holds


class Client(QuicConnectionProtocol):
    """One QUIC connection and the HTTP/3 on it."""

    every: ClassVar[set[Client]] = set()
    udp: ClassVar[socket.socket]
    server_ends: ClassVar[bool] = False

    def __init__(self, timeouts: rfc6455.Timeouts, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.timeouts, self.now = timeouts, self._loop.time
        self.http = H3Connection(self._quic)
        self.happened: list[H3Event] = []
        self.lost: set[int] = set()  # the streams that were reset
        self.tunnels: dict[int, Tunnel] = {}
        self.datagrams = 0  # the number read since a deadline was due
        self.alarm = self._loop.call_soon(self.on_time)
        self.every.add(self)
        if len(self.every) > MAX_CLIENTS:
            self._quic.close(ErrorCode.H3_EXCESSIVE_LOAD)

    def quic_event_received(self, event: QuicEvent) -> None:
        """Note what happened. `transmit` is called after the last event, when the stream of the first may be gone."""
        if isinstance(event, StreamReset | StopSendingReceived):
            self.lost.add(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.lost.update(self.tunnels)
            self.every.discard(self)
        self.happened += self.http.handle_event(event)

    def transmit(self) -> None:
        for stream in self.lost & self.tunnels.keys():
            self.tunnels[stream].reset()
        happened, self.happened = self.happened, []
        for event in happened:
            if isinstance(event, HeadersReceived | DataReceived) and event.stream_id not in self.lost:
                self.pass_on(event)
        self.tunnels = {stream: tunnel for stream, tunnel in self.tunnels.items() if not tunnel.is_over}
        streams = self._quic._streams  # no public attribute has the open streams, or the unacknowledged data
        self.lost &= streams.keys()
        if sum(it.sender._buffer_stop - it.sender._buffer_start for it in streams.values()) > MAX_UNREAD:
            self._quic.close(ErrorCode.H3_EXCESSIVE_LOAD, reason_phrase="read what you are sent")
        elif self.server_ends and not self.tunnels:
            self._quic.close(ErrorCode.H3_NO_ERROR)
        super().transmit()
        self.alarm.cancel()
        if due := [at for tunnel in self.tunnels.values() if (at := tunnel.ws.next_deadline()) is not None]:
            self.alarm = self._loop.call_at(min(due), self._loop.call_soon, self.on_time)

    def pass_on(self, event: HeadersReceived | DataReceived) -> None:
        tunnel = self.tunnels.get(event.stream_id)
        if isinstance(event, HeadersReceived) and tunnel is None:
            tunnel = self.tunnels[event.stream_id] = Tunnel(self, event.stream_id)
            tunnel.handle(tunnel.ws.receive_headers(event.headers, now=self.now()))
        elif isinstance(event, DataReceived) and tunnel is not None and event.data:  # b"" would be the end
            tunnel.handle(tunnel.ws.events(event.data, now=self.now()))
        if event.stream_ended and tunnel is not None:
            tunnel.peer_ended = True
            tunnel.handle(tunnel.ws.events(b"", now=self.now()))

    def on_time(self) -> None:
        if self.datagrams < MAX_DATAGRAMS and select.select([self.udp], [], [], 0)[0]:
            self.datagrams += 1
            self.alarm = self._loop.call_soon(self.on_time)
            return
        self.datagrams = 0
        for tunnel in self.tunnels.values():
            if self.server_ends:
                tunnel.ws.close(rfc6455.CloseCode.GOING_AWAY)
            tunnel.handle(tunnel.ws.events(now=self.now()))
        self.transmit()


class Tunnel:
    """One WebSocket, on one stream."""

    def __init__(self, client: Client, stream: int) -> None:
        self.client, self.stream = client, stream
        self.name = "{}:{}/{}".format(*(client._quic.get_peer_address() or ("", 0))[:2], stream)
        self.ws = rfc6455.Endpoint(rfc6455.Http2ServerHandshake(), client.timeouts, now=client.now())
        self.peer_ended = self.we_ended = self.is_over = False

    def handle(self, events: Iterable[rfc6455.Request | rfc6455.Response | rfc6455.Event]) -> None:
        for event in events:
            match event:
                case rfc6455.Request():
                    self.ws.accept(now=self.client.now())
                case rfc6455.TextMessage() | rfc6455.BytesMessage() if not self.client.server_ends:
                    self.ws.send(event)
                case rfc6455.Closed(code, reason, error=error):
                    how = f"refused: {error}" if self.ws.connection is None else f"closed: {int(code)} {reason!a}"
                    print(self.name, how, flush=True)
        if not self.is_over:
            self.send()

    def send(self) -> None:
        if headers := self.ws.headers_to_send():
            self.client.http.send_headers(self.stream, headers)
        if self.ws.has_data_to_send or (self.ws.must_close and not self.we_ended):
            self.we_ended = self.ws.must_close
            self.client.http.send_data(self.stream, self.ws.data_to_send(), end_stream=self.we_ended)
        if self.ws.finished and not self.peer_ended:
            self.reset()
        self.is_over = self.ws.finished

    def reset(self) -> None:
        """Handle a reset of the stream by the peer or by us, which is like a reset of TCP (RFC 8441, 5)."""
        self.is_over = True
        self.client.lost.add(self.stream)
        self.handle(self.ws.events(b"", now=self.client.now()))
        self.client._quic.reset_stream(self.stream, ErrorCode.H3_REQUEST_CANCELLED)
        if not self.peer_ended:
            self.client._quic.stop_stream(self.stream, ErrorCode.H3_REQUEST_CANCELLED)


async def serve(host: str, port: int, certificate: str, key: str, **timeouts: Any) -> None:
    """Serve until a signal comes, then until all clients have gone."""
    loop, signalled = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, signalled.set)
    loop.add_signal_handler(signal.SIGTERM, signalled.set)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(certificate, key)
    server = partial(QuicServer, configuration=configuration, create_protocol=partial(Client, take_timeouts(timeouts)))
    transport, _ = await loop.create_datagram_endpoint(server, local_addr=(host, port))
    Client.udp = transport.get_extra_info("socket")
    print(f"listening on port {Client.udp.getsockname()[1]}", flush=True)
    await signalled.wait()
    Client.server_ends = True
    while Client.every:
        for client in Client.every:
            client.on_time()
        await asyncio.gather(*[client.wait_closed() for client in Client.every])
    transport.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message, over HTTP/3. Ctrl-C ends it.")
    parser.add_argument("--certificate", required=True, help="a PEM file with the certificate chain")
    parser.add_argument("--key", required=True, help="a PEM file with its private key")
    add_address(parser)
    add_timeouts(parser)
    asyncio.run(serve(**vars(parser.parse_args())))
