"""The testee: an echo server and an echo client on `rfc6455`, with threads and plain sockets.

Each answers every message with the same message, and leaves pongs, closes and violations to the library. How long the
connection may take is the suite's business: it gives every case a time.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import rfc6455

# Group 9 sends messages of 16 MiB, and case 2.10 wants ten pings answered one by one, which 5.5.3 does not.
LIMITS = rfc6455.Limits(message=16 << 20, pongs=16)
READ_SIZE = 64 << 10

# Longer than any case of the suite may take (480 s), so that only a suite that is stuck runs into it.
PATIENCE = 600.0
# How long the end that closes TCP waits for the other to do so too.
LINGER = 1.0


def agent_name() -> str:
    """What is tested, for the reports: the version, and whether it is compiled."""
    return f"rfc6455 {rfc6455.__version__} ({'compiled' if rfc6455.__compiled__ else 'pure'})"


def extensions() -> list[rfc6455.Extension]:
    return [rfc6455.PerMessageDeflate()]


# --- Both roles ---------------------------------------------------------------------------------------------------


def echo(sock: socket.socket, ws: rfc6455.Connection) -> None:
    """Answers until the connection is closed, and closes TCP."""
    sock.sendall(ws.data_to_send())
    while not ws.closed:
        for event in ws.receive_data(None if ws.unread else sock.recv(READ_SIZE)):
            answer(ws, event)
        sock.sendall(ws.data_to_send())
    close_tcp(sock, ws)


def answer(ws: rfc6455.Connection, event: rfc6455.Event) -> None:
    match event:
        case rfc6455.TextMessage(text):
            ws.send_text(text)
        case rfc6455.BytesMessage(data):
            ws.send_bytes(data)


def close_tcp(sock: socket.socket, ws: rfc6455.Connection) -> None:
    """7.1.1: the server closes first; who closes first stops sending, then reads until the other has closed as well.

    Closing at once, with input unread, would make TCP throw away what is still under way to the peer: the Close frame.
    """
    sock.settimeout(LINGER)
    if ws.must_close:
        sock.shutdown(socket.SHUT_WR)
    while sock.recv(READ_SIZE):
        pass


# --- The server ---------------------------------------------------------------------------------------------------


@contextmanager
def echo_server() -> Iterator[int]:
    """Runs the server; the value is its port."""
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
        sock: socket.socket = self.request
        prepare(sock)
        handshake = rfc6455.ServerHandshake(extensions=extensions(), limits=LIMITS)
        try:
            while handshake.receive_data(sock.recv(READ_SIZE)) is None:
                pass
            echo(sock, handshake.accept())
        except rfc6455.HandshakeError:
            sock.sendall(handshake.data_to_send())
        except OSError:
            pass  # The suite left, which some cases do.


# --- The client ---------------------------------------------------------------------------------------------------


def run_case(port: int, case: str, agent: str) -> None:
    """Runs one case of the fuzzing server on ``port``."""
    converse(port, f"/runCase?casetuple={case}&agent={quote(agent)}")


def update_reports(port: int, agent: str) -> None:
    """Makes the fuzzing server write its reports, and waits for it."""
    converse(port, f"/updateReports?agent={quote(agent)}")


def converse(port: int, resource_name: str) -> None:
    handshake = rfc6455.ClientHandshake(
        f"ws://127.0.0.1:{port}{resource_name}", extensions=extensions(), limits=LIMITS
    )
    with socket.create_connection(("127.0.0.1", port)) as sock:
        prepare(sock)
        try:
            sock.sendall(handshake.data_to_send())
            while (ws := handshake.receive_data(sock.recv(READ_SIZE))) is None:
                pass
            echo(sock, ws)
        except OSError:
            pass  # The suite left, which some cases do.


def prepare(sock: socket.socket) -> None:
    sock.settimeout(PATIENCE)
    # Every write is a whole answer: to wait for more to send with it (Nagle) only costs time.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
