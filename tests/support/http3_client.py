"""A client over HTTP/3 for the tests of the example server: aioquic without its asyncio part, and the library's own
endpoint."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated
from programs import PATIENCE
from streams import StreamsClient, StreamWebSocket

import rfc6455
from rfc6455 import Event, Request, Response


class Client(StreamsClient):
    """A QUIC connection to the program, with any number of WebSockets.

    :param certificate: the server's, which is all that it trusts.
    """

    def __init__(self, port: int, certificate: Path, **options: Any) -> None:
        self.certificate = certificate
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Not connected, or what came before the server's end could not be read once something is sent after it.
        self.sock.bind(("127.0.0.1", 0))
        self.server = ("127.0.0.1", port)
        configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name="localhost", **options)
        configuration.load_verify_locations(certificate)
        self.quic = QuicConnection(configuration=configuration)
        self.http = H3Connection(self.quic)
        self.quic.connect(self.server, now=time.monotonic())
        self.seen: list[Any] = []
        self.ended: ConnectionTerminated | None = None
        self.flush()
        self.until(lambda: self.http.received_settings)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.quic.close()
        self.flush()
        self.sock.close()

    def flush(self) -> None:
        for data, _ in self.quic.datagrams_to_send(now=time.monotonic()):
            self.sock.sendto(data, self.server)

    def receive(self) -> None:
        """Take what comes next: a datagram, or the time of QUIC's own timer."""
        now, due = time.monotonic(), self.quic.get_timer()
        self.sock.settimeout(min(PATIENCE, max(0.0001, (due or now + PATIENCE) - now)))
        try:
            self.quic.receive_datagram(self.sock.recv(65536), self.server, now=time.monotonic())
        except TimeoutError:
            self.quic.handle_timer(now=time.monotonic())
        while (event := self.quic.next_event()) is not None:
            self.seen += [event, *self.http.handle_event(event)]
            if isinstance(event, ConnectionTerminated):
                self.ended = event
        self.flush()

    def until(self, condition: Callable[[], object]) -> None:
        """Receive until the condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.ended is None, self.ended
            assert time.monotonic() < end, self.seen
            self.receive()

    def request(self, *more: tuple[bytes, bytes], path: str = "/") -> WebSocket:
        return WebSocket(self, list(more), path)

    def check_ended(self) -> ConnectionTerminated:
        """Wait until the server closes the QUIC connection."""
        while self.ended is None:
            self.receive()
        return self.ended


class WebSocket(StreamWebSocket):
    """One stream of it."""

    def __init__(self, client: Client, more: list[tuple[bytes, bytes]], path: str) -> None:
        self.client = client
        self.stream = client.quic.get_next_available_stream_id()
        self.taken = 0
        self.ws = rfc6455.Endpoint(rfc6455.Http2ClientHandshake(f"wss://localhost{path}"), now=0.0)
        client.http.send_headers(self.stream, [*self.ws.headers_to_send(), *more])
        client.flush()
        client.until(lambda: client.of(self.stream, HeadersReceived))
        (head,) = client.of(self.stream, HeadersReceived)
        self.opened = list(self.ws.receive_headers(head.headers, now=0.0))

    def send(self, data: bytes | None = None, end_stream: bool = False) -> None:
        self.client.http.send_data(self.stream, self.ws.data_to_send() if data is None else data, end_stream)
        self.client.flush()

    def receive(self) -> list[Request | Response | Event]:
        """Return the next events."""
        while True:
            for event in self.client.of(self.stream, DataReceived)[self.taken :]:
                self.taken += 1
                events = list(self.ws.events(event.data, now=0.0)) if event.data else []
                events += list(self.ws.events(b"", now=0.0)) if event.stream_ended else []
                if events:
                    return events
            self.client.receive_more()

    def has_ended(self) -> bool:
        """Return whether the server has ended its side of the stream."""
        return any(event.stream_ended for event in self.client.of(self.stream, HeadersReceived | DataReceived))  # type: ignore[arg-type]
