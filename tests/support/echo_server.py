"""A server of ours that sends each message back, for one client, on a thread.

The result of the negotiation and the end of the connection are available afterwards. The law: time stands still, and
every wait has a limit.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from rfc6455 import (
    ANY_ORIGIN,
    BytesMessage,
    Closed,
    Connection,
    Endpoint,
    PerMessageDeflate,
    Request,
    ServerHandshake,
    TextMessage,
    Timeouts,
)

PATIENCE = 60


class EchoServer:
    """A server that waits for its client from the beginning.

    :ivar content: how many bytes the messages had.
    """

    def __init__(self, extensions: Sequence[PerMessageDeflate]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.handshake = ServerHandshake(extensions=extensions, origins=ANY_ORIGIN)
        self.ws = Endpoint(self.handshake, Timeouts.NONE, now=0.0)
        self.content = 0
        self.closed: Closed | None = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        sock, _ = self.listener.accept()
        sock.settimeout(PATIENCE)
        with sock:
            while not self.ws.finished:
                try:
                    data = sock.recv(65_536)
                except ConnectionError:
                    data = b""
                for event in self.ws.events(data, now=0.0):
                    self.handle(event)
                self.send(sock)

    def handle(self, event: object) -> None:
        match event:
            case Request():
                self.ws.accept(now=0.0)
            case TextMessage(text):
                self.content += len(text.encode())
                self.ws.send(event)
            case BytesMessage(data):
                self.content += len(data)
                self.ws.send(event)
            case Closed():
                self.closed = event

    def send(self, sock: socket.socket) -> None:
        try:
            sock.sendall(self.ws.data_to_send())
            if self.ws.must_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has gone, which the next recv() tells

    @property
    def offer(self) -> str | None:
        """What the client offered."""
        assert self.handshake.request is not None
        return self.handshake.request.headers.get("Sec-WebSocket-Extensions")

    @property
    def answer(self) -> str | None:
        """What this server answered."""
        assert self.handshake.response is not None
        return self.handshake.response.headers.get("Sec-WebSocket-Extensions")

    def ended(self) -> tuple[Connection, Closed]:
        """Wait for the end."""
        self.thread.join(PATIENCE)
        assert self.ws.connection is not None
        assert self.closed is not None
        return self.ws.connection, self.closed

    def stop(self) -> None:
        """End, even if no client has come."""
        if self.ws.connection is None:
            socket.create_connection(self.listener.getsockname()).close()
        self.thread.join(PATIENCE)  # before it has accepted, its listener must stay
        self.listener.close()
