"""Two dozen kinds of garbage and abuse while 20 clients chat: nobody else notices, and the log has no traceback."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable

from chat_server import RESET, ChatServer, Client, frame, received

CLIENTS = 20
CROWD = 500

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
HANDSHAKE = REQUEST + b"\r\n"
HANDSHAKE_DEFLATE = REQUEST + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


def bomb() -> bytes:
    """10 MB of zeros in 10 kB."""
    deflater = zlib.compressobj(wbits=-15)
    return frame(0xC1, (deflater.compress(bytes(10_000_000)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4])


# What is sent; then the sender waits for the server to end it.
SENT: dict[str, bytes] = {
    "random bytes": bytes((at * 167 + 13) % 256 for at in range(5000)),
    "zeros": bytes(100_000),
    "a TLS hello": b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03" + bytes(500),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": b"EHLO localhost\r\n",
    "a request without its fields": b"GET / HTTP/1.1\r\n\r\n",
    "a request with a body": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nname=evil",
    "two requests at once": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2,
    "a head without an end": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000,
    "a line without an end": b"GET /" + b"x" * 100_000,
    "a cross-site request": HANDSHAKE.replace(b"\r\n\r\n", b"\r\nOrigin: http://evil.example\r\n\r\n"),
    "an unmasked frame": HANDSHAKE + frame(0x81, b"Ann: hello", masked=False),
    "text that is not UTF-8": HANDSHAKE + frame(0x81, b"Ann: \xff\xfe"),
    "a reserved opcode": HANDSHAKE + frame(0x83),
    "a frame of 2^62 bytes": HANDSHAKE + frame(0x81, length=(1 << 62).to_bytes(8, "big")),
    "a close code of nobody": HANDSHAKE + frame(0x88, b"\x07\xd0"),
    "frames after Close": HANDSHAKE + frame(0x88, b"\x03\xe8") + frame(0x81, b"too late") * 100,
    "a compressed bomb": HANDSHAKE_DEFLATE + bomb(),
    "broken compressed data": HANDSHAKE_DEFLATE + frame(0xC1, b"\xff" * 50),
    "a flood of pings": HANDSHAKE + frame(0x89, b"ping") * 20_000,
    "a flood of empty lines": HANDSHAKE + frame(0x81) * 20_000,
    "a flood of lines": HANDSHAKE + frame(0x81, b"flood") * 20_000,
}


def send_and_wait(server: ChatServer, data: bytes) -> None:
    with server.connect() as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            for _ in received(sock):
                pass
        except OSError:
            pass  # it was reset, as it should be where somebody goes on and on


def connected_and_gone(server: ChatServer, first: bytes = b"") -> None:
    """A crowd that is dropped all at once."""
    crowd = [server.connect() for _ in range(CROWD)]
    for sock in crowd:
        sock.sendall(first)
    for sock in crowd:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()


def one_byte_at_a_time(server: ChatServer) -> None:
    with server.connect() as sock:
        for byte in HANDSHAKE + frame(0x88):
            sock.sendall(bytes([byte]))
        assert list(received(sock))


def fragments_without_end(server: ChatServer) -> None:
    send_and_wait(server, HANDSHAKE + frame(0x01, b"x") + frame(0x00) * 50_000 + frame(0x00, b"y" * 1000) * 50)


def reset_in_a_frame(server: ChatServer) -> None:
    for cut in range(1, 12):
        with server.connect() as sock:
            sock.sendall(HANDSHAKE + frame(0x81, b"half a line")[:cut])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


DONE: dict[str, Callable[[ChatServer], None]] = {
    "500 connections dropped at once": connected_and_gone,
    "500 requests dropped half-way": lambda server: connected_and_gone(server, HANDSHAKE[:50]),
    "500 clients dropped at once": lambda server: connected_and_gone(server, HANDSHAKE),
    "a request one byte at a time": one_byte_at_a_time,
    "fragments without end": fragments_without_end,
    "resets in the middle of frames": reset_in_a_frame,
    **{name: lambda server, data=data: send_and_wait(server, data) for name, data in SENT.items()},  # type: ignore[misc]
}


class Talk:
    """Clients that say numbers in turn, until they are told to stop, and record everything that they receive."""

    def __init__(self, server: ChatServer) -> None:
        self.clients = [server.client(f"user{number}", "/talk") for number in range(CLIENTS)]
        self.heard: dict[Client, list[str]] = {client: [] for client in self.clients}
        self.rounds = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        while not self._stop.is_set():
            for client in self.clients:
                client.say(self.rounds)
            for client in self.clients:
                self.heard[client] += client.said(CLIENTS - 1)
            self.rounds += 1

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_nobody_notices() -> None:
    assert len(DONE) >= 24
    with ChatServer("--rate", "1000", "--address-rate", "0") as server:
        talk = Talk(server)
        try:
            for abuse in DONE.values():
                abuse(server)
        finally:
            talk.end()
        assert talk.rounds > 0
        for client, lines in talk.heard.items():
            for other in talk.clients:
                said = [f"{other.name}: {number}" for number in range(talk.rounds)] if other is not client else []
                assert [line for line in lines if line.startswith(f"{other.name}: ")] == said
            assert client.close().clean
        assert server.get("/health")[0] == 200
        assert server.stop() == 0
        assert not server.logged("Traceback")
