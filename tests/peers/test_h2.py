"""A WebSocket on a stream of HTTP/2 (RFC 8441), with h2 at both ends."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("h2")

import h2.config
import h2.connection
import h2.events
import h2.settings

from rfc6455 import (
    Closed,
    Connection,
    HandshakeError,
    PerMessageDeflate,
    TextMessage,
)
from rfc6455.handshake.http2 import Http2ClientHandshake, Http2ServerHandshake


class End:
    """One end of an HTTP/2 connection with at most one WebSocket on it."""

    def __init__(self, is_client: bool) -> None:
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=is_client, header_encoding=None))
        if not is_client:
            self.http.local_settings = h2.settings.Settings(
                client=False, initial_values={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
            )
        self.http.initiate_connection()
        self.stream = 0
        self.events: list[object] = []
        self.ws: Connection | None = None
        self.body = b""
        self.ended = False
        self.has_ended_stream = False

    def receive(self, data: bytes) -> None:
        for event in self.http.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived):
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._take(event.data)
            if isinstance(event, h2.events.StreamEnded):
                self.ended = True
                self._take(b"")

    def _take(self, data: bytes) -> None:
        if self.ws is None:
            self.body += data
        else:
            self.events += self.ws.receive_data(data)

    def flush(self) -> bytes:
        """The bytes to send, with those of the WebSocket as DATA, and END_STREAM when that is closed."""
        if self.ws is not None and not self.has_ended_stream:
            data = self.ws.data_to_send()
            self.has_ended_stream = self.ws.closed
            if data or self.has_ended_stream:
                self.http.send_data(self.stream, data, end_stream=self.has_ended_stream)
        return self.http.data_to_send()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def exchange(client: End, server: End) -> None:
    """Carry bytes until both ends are silent."""
    while (up := client.flush()) + (down := server.flush()):
        server.receive(up)
        client.receive(down)


def ask(handshake: Http2ClientHandshake) -> tuple[End, End]:
    """A client that has sent the request of ``handshake``, and the server that has it."""
    client, server = End(True), End(False)
    exchange(client, server)
    # RFC 8441, 3: only now "a client MAY use the Extended CONNECT"
    assert client.http.remote_settings.enable_connect_protocol == 1
    client.stream = client.http.get_next_available_stream_id()
    client.http.send_headers(client.stream, handshake.headers_to_send(), end_stream=False)
    exchange(client, server)
    (event,) = server.of(h2.events.RequestReceived)
    server.stream = event.stream_id
    return client, server


def test_a_websocket_on_a_stream() -> None:
    near = Http2ClientHandshake(
        "ws://example.com/x", subprotocols=["chat"], extensions=[PerMessageDeflate()], origin="http://example.com"
    )
    client, server = ask(near)
    far = Http2ServerHandshake(subprotocols=["chat"], extensions=[PerMessageDeflate()])
    got = far.receive_headers(server.of(h2.events.RequestReceived)[0].headers)
    assert (got.path, got.host) == ("/x", "example.com")
    server.ws = far.accept()
    server.http.send_headers(server.stream, far.headers_to_send(), end_stream=False)
    server.ws.send_text("from the server " * 20)
    up = client.flush()
    assert up == b""
    headers, *rest = client.http.receive_data(server.flush())
    assert isinstance(headers, h2.events.ResponseReceived)
    client.ws = near.receive_headers(headers.headers)
    assert client.ws is not None
    assert (client.ws.subprotocol, len(client.ws.extensions)) == ("chat", 1)
    data = b"".join(event.data for event in rest if isinstance(event, h2.events.DataReceived))
    assert client.ws.receive_data(data) == [TextMessage("from the server " * 20)]
    client.ws.send_text("from the client")
    exchange(client, server)
    assert server.of(TextMessage) == [TextMessage("from the client")]
    client.ws.close(1000, "bye")
    exchange(client, server)
    assert [closed.reason for closed in server.of(Closed)] == ["bye"]
    for end in (client, server):
        (closed,) = end.of(Closed)
        assert (closed.code, closed.clean) == (1000, True)
        # RFC 8441, 5: "Orderly TCP-level closures are represented as END_STREAM flags"
        assert end.ended


def test_a_refusal_on_a_stream() -> None:
    near = Http2ClientHandshake("ws://example.com/x", origin="http://evil.example")
    client, server = ask(near)
    far = Http2ServerHandshake()
    with pytest.raises(HandshakeError, match="403"):
        far.receive_headers(server.of(h2.events.RequestReceived)[0].headers)
    server.http.send_headers(server.stream, far.headers_to_send(), end_stream=False)
    server.http.send_data(server.stream, far.data_to_send(), end_stream=True)
    exchange(client, server)
    (answer,) = client.of(h2.events.ResponseReceived)
    assert near.receive_headers(answer.headers) is None
    with pytest.raises(HandshakeError, match="403 Forbidden") as caught:
        near.receive_data(client.body)
    assert caught.value.status == 403
    assert caught.value.response is not None
    assert caught.value.response.body == client.body
    assert client.ended
    assert b"the page that connects has the origin 'http://evil.example'" in client.body
