"""A client over HTTP/2 for the tests of the example server: h2, and the library's own handshake and connection."""

from __future__ import annotations

import socket
from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import h2.settings
from programs import PATIENCE
from streams import StreamsClient, StreamWebSocket

import rfc6455
from rfc6455 import Closed, Event

ENABLE_CONNECT_PROTOCOL = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL


class Client(StreamsClient):
    """An HTTP/2 connection to the program, with any number of WebSockets."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self.http.initiate_connection()
        self.http.increment_flow_control_window(1 << 30)  # what one stream leaves unread is not to hold up others
        self.seen: list[h2.events.Event] = []
        self.flush()
        self.until(lambda: ENABLE_CONNECT_PROTOCOL in self.http.remote_settings)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        self.sock.sendall(self.http.data_to_send())

    def until(self, condition: Callable[[], object]) -> None:
        """Receive until the condition holds."""
        while not condition():
            data = self.sock.recv(65536)
            assert data, self.seen
            self.seen += self.http.receive_data(data)
            self.flush()

    def request(self, *more: tuple[str, str], path: str = "/", compressed: bool = False) -> WebSocket:
        return WebSocket(self, list(more), path, compressed)

    def check_ended(self) -> None:
        """Check that the server says that no more comes, in HTTP/2 and in TCP."""
        self.until(lambda: any(isinstance(event, h2.events.ConnectionTerminated) for event in self.seen))
        while self.sock.recv(65536):
            pass


class WebSocket(StreamWebSocket):
    """One stream of it."""

    def __init__(self, client: Client, more: list[tuple[str, str]], path: str, compressed: bool) -> None:
        self.client = client
        self.http = client.http
        self.stream = self.http.get_next_available_stream_id()
        self.taken = 0
        extensions = [rfc6455.PerMessageDeflate()] if compressed else []
        handshake = rfc6455.Http2ClientHandshake(f"ws://localhost{path}", extensions=extensions)
        self.http.send_headers(self.stream, [*handshake.headers_to_send(), *more])
        client.flush()
        client.until(lambda: client.of(self.stream, h2.events.ResponseReceived))
        (response,) = client.of(self.stream, h2.events.ResponseReceived)
        ws = handshake.receive_headers(response.headers)
        if ws is None:  # a refusal, whose body is awaited
            client.until(lambda: client.of(self.stream, h2.events.StreamEnded))
            for data in client.of(self.stream, h2.events.DataReceived):
                handshake.receive_data(data.data)
            handshake.receive_data(b"")
        assert ws is not None
        self.ws = ws

    def send(self, data: bytes | None = None) -> None:
        """Send as much as the windows allow; receive while they do not."""
        data = self.ws.data_to_send() if data is None else data
        while data:
            size = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
            self.http.send_data(self.stream, data[:size])
            data = data[size:]
            self.client.flush()
            if data:
                self.client.until(lambda: self.http.local_flow_control_window(self.stream) > 0)

    def receive(self) -> list[Event]:
        """Return the next events."""
        while True:
            data, window = b"", 0
            for event in self.client.of(self.stream, h2.events.DataReceived)[self.taken :]:
                self.taken += 1
                data += event.data
                window += event.flow_controlled_length
            if window:
                self.http.increment_flow_control_window(window, self.stream)
                self.client.flush()
            if data and (events := self.ws.receive_data(data)):
                return events
            self.client.receive_more()

    def closed(self) -> Closed:
        """Read up to the end of the WebSocket and of its stream."""
        closed = super().closed()
        self.client.until(lambda: self.client.of(self.stream, h2.events.StreamEnded))
        return closed

    def end(self) -> None:
        self.send()
        self.http.end_stream(self.stream)
        self.client.flush()
