"""The testee: an echo server and an echo client on `rfc6455`, with threads and plain sockets.

Each echoes every message, and leaves Pongs, Close frames and violations to the library. There are no deadlines, as the
suite limits the time of every case.
"""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import rfc6455

# Everything that is not the default: group 9 sends messages of 16 MiB, groups 12 and 13 are about compression.
LIMITS = rfc6455.Limits(message=16 << 20)

READ_SIZE = 64 << 10
# Longer than any case of the suite may take (480 s), so that only a suite that is stuck runs into it.
PATIENCE = 600.0


# --- Both roles ---------------------------------------------------------------------------------------------------


def options() -> dict[str, Any]:
    """Return what our ends are made with; all else is the default."""
    return {"extensions": [rfc6455.PerMessageDeflate()], "limits": LIMITS}


def echo(sock: socket.socket, handshake: rfc6455.ServerHandshake | rfc6455.ClientHandshake) -> None:
    """Answer until there is nothing left to wait for."""
    # Every write is a whole answer: waiting for more to send with it (Nagle) only costs time.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ws = rfc6455.Endpoint(handshake, now=time.monotonic())
    data = None
    has_ended = False
    while not ws.finished:
        for event in ws.events(data, now=time.monotonic()):
            answer(ws, event)
        sock.settimeout(PATIENCE)
        sock.sendall(ws.data_to_send())
        if ws.must_close and not has_ended:
            has_ended = True
            sock.shutdown(socket.SHUT_WR)
        data = receive(sock, ws.next_deadline())


def answer(ws: rfc6455.Endpoint, event: rfc6455.Request | rfc6455.Response | rfc6455.Event) -> None:
    match event:
        case rfc6455.Request():
            ws.accept(now=time.monotonic())
        case rfc6455.TextMessage(text):
            ws.send_text(text)
        case rfc6455.BytesMessage(data):
            ws.send_bytes(data)


def receive(sock: socket.socket, until: float | None) -> bytes | None:
    """Return what comes, or ``None`` when the time has come."""
    sock.settimeout(PATIENCE if until is None else max(0.001, until - time.monotonic()))
    try:
        return sock.recv(READ_SIZE)
    except TimeoutError:
        return None


# --- The server ---------------------------------------------------------------------------------------------------


@contextmanager
def echo_server() -> Iterator[int]:
    """Run the server; the value is its port."""
    with EchoServer(("127.0.0.1", 0), EchoHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


class EchoHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):  # the suite left, which some cases do
            echo(self.request, rfc6455.ServerHandshake(**options()))


# --- The client ---------------------------------------------------------------------------------------------------


def converse(port: int, resource_name: str) -> None:
    """Connect, and echo until the server has ended the connection."""
    handshake = rfc6455.ClientHandshake(f"ws://127.0.0.1:{port}{resource_name}", **options())
    with socket.create_connection(("127.0.0.1", port)) as sock, suppress(OSError):  # as above
        echo(sock, handshake)
