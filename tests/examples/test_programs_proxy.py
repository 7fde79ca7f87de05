"""The specific tasks of a proxy. `test_programs.py` checks that it echoes if an echo server is behind it."""

from __future__ import annotations

import random
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chat_server import ChatServer, missing
from helpers import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, to
from programs import EXAMPLES, PATIENCE, REQUEST, Peer, Program

import rfc6455
from rfc6455 import CLIENT, SERVER

# What cannot be compressed.
NOISE = random.Random(0).randbytes(1 << 20)


class Upstream:
    """The server behind the proxy: a socket, every byte of which the test writes."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.uri = f"ws://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> None:
        """Accept the proxy's connection and read its request."""
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(PATIENCE)
        self.handshake = rfc6455.ServerHandshake(subprotocols=["chat"], limits=rfc6455.Limits(message=None))
        while (request := self.handshake.receive_data(self.sock.recv(65536))) is None:
            pass
        self.request = request

    def open(self) -> None:
        self.ws = self.handshake.accept(parts=True)
        self.events: list[rfc6455.Event] = []
        self.sock.sendall(self.ws.data_to_send())

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def event(self) -> rfc6455.Event:
        """The next event; nothing is sent in answer."""
        while not self.events:
            self.events = self.ws.receive_data(self.sock.recv(65536))
        return self.events.pop(0)

    def close(self) -> None:
        self.listener.close()
        if hasattr(self, "sock"):
            self.sock.close()


@contextmanager
def proxied(*arguments: str) -> Iterator[tuple[Program, Upstream]]:
    upstream = Upstream()
    try:
        with Program("proxy.py", upstream.uri, *arguments) as program:
            yield program, upstream
            upstream.close()
            program.stop()
    finally:
        upstream.close()


@contextmanager
def connected(*arguments: str) -> Iterator[tuple[Peer, Upstream]]:
    """A client that is connected through the proxy."""
    with proxied(*arguments) as (program, upstream), Peer(program.port) as client:
        client.send(REQUEST)
        upstream.accept()
        upstream.open()
        assert client.head().startswith("HTTP/1.1 101 ")
        yield client, upstream


def test_what_is_passed_on_of_the_request() -> None:
    more = b"\r\nCookie: a=b\r\nSec-WebSocket-Protocol: other, chat\r\nX-Secret: c\r\n\r\n"
    request = REQUEST.replace(b"GET / ", b"GET /room?x=%20 ").replace(b"\r\n\r\n", more)
    with proxied() as (program, upstream), Peer(program.port) as client:
        client.send(request)
        upstream.accept()
        assert upstream.request.target == "/room?x=%20"
        assert upstream.request.host == upstream.uri.removeprefix("ws://")
        assert upstream.request.subprotocols == ["other", "chat"]
        assert upstream.request.headers["Cookie"] == "a=b"
        assert "X-Secret" not in upstream.request.headers
        upstream.open()
        assert "Sec-WebSocket-Protocol: chat" in client.head()
        client.send(to(SERVER, CLOSE))


def test_parts_are_passed_on_as_they_come() -> None:
    with connected() as (client, upstream):
        client.send(to(SERVER, TEXT, b"one ", fin=False))
        assert upstream.event() == rfc6455.TextPart("one ", False)
        client.send(to(SERVER, CONT, b"two"))
        assert upstream.event() == rfc6455.TextPart("two", True)
        upstream.send(to(CLIENT, BINARY, b"three ", fin=False))
        assert client.frame() == (BINARY, b"three ")
        upstream.send(to(CLIENT, CONT, b"four"))
        assert client.frame() == (CONT, b"four")


def test_a_part_of_a_frame_is_passed_on() -> None:
    with connected() as (client, upstream):
        client.send(to(SERVER, BINARY, bytes(100_000))[:1014])
        assert upstream.event() == rfc6455.BytesPart(bytes(1000), False)


def test_a_message_may_be_larger_than_all_that_the_proxy_keeps() -> None:
    with proxied() as (program, upstream), Peer(program.port) as client:
        before = program.memory()
        client.send(REQUEST)
        upstream.accept()
        upstream.open()
        client.head()
        for number in range(12):
            client.send(to(SERVER, CONT if number else BINARY, NOISE, fin=number == 11))
            received = b""
            while len(received) < len(NOISE):
                part = upstream.event()
                assert isinstance(part, rfc6455.BytesPart)
                received += part.data
            assert received == NOISE
        assert part.final or upstream.event() == rfc6455.BytesPart(b"", True)
        assert program.memory() - before < 6 << 20


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(4001, b"so long")])
def test_close_frames_are_passed_on(payload: bytes) -> None:
    code = int.from_bytes(payload[:2], "big") or 1005
    with connected() as (client, upstream):
        client.send(to(SERVER, CLOSE, payload))
        closed = upstream.event()
        assert closed == rfc6455.Closed(code, payload[2:].decode(), True)
        upstream.send(to(CLIENT, TEXT, b"one more") + upstream.ws.data_to_send())
        assert client.frame() == (TEXT, b"one more")
        assert client.frame() == (CLOSE, payload)
    with connected() as (client, upstream):
        upstream.send(to(CLIENT, CLOSE, payload))
        assert client.frame() == (CLOSE, payload)
        client.send(to(SERVER, TEXT, b"one more") + to(SERVER, CLOSE, payload))
        assert upstream.event() == rfc6455.TextPart("one more", True)
        assert upstream.event() == closed


def test_a_client_that_is_lost() -> None:
    """Upstream sees what it would see without a proxy: no code stands for the loss (7.4.1)."""
    with connected() as (client, upstream):
        client.reset()
        closed = upstream.event()
        assert isinstance(closed, rfc6455.Closed)
        assert closed.cause is rfc6455.CloseCause.EOF_IDLE


@pytest.mark.parametrize("data", [b"", to(CLIENT, TEXT, b"\xff")], ids=["lost", "wrong"])
def test_an_upstream_that_is_lost_or_wrong(data: bytes) -> None:
    with connected() as (client, upstream):
        upstream.send(to(CLIENT, TEXT, b"last words") + data)
        upstream.sock.shutdown(socket.SHUT_WR)
        assert client.message() == (TEXT, b"last words")
        client.check_eof()


def test_pings_stay_between_neighbours() -> None:
    with connected() as (client, upstream):
        client.send(to(SERVER, PING, b"mine"))
        assert client.frame() == (PONG, b"mine")
        upstream.send(to(CLIENT, PING, b"yours") + to(CLIENT, TEXT, b"next"))
        assert client.frame() == (TEXT, b"next")
        assert upstream.event() == rfc6455.Pong(b"yours")


def test_a_refusal_is_passed_on() -> None:
    with proxied() as (program, upstream), Peer(program.port) as client:
        client.send(REQUEST)
        upstream.accept()
        upstream.handshake.reject(401)
        upstream.send(upstream.handshake.data_to_send())
        assert client.head().startswith("HTTP/1.1 401 ")
        program.wait_for("refused: 401")


def test_an_answer_that_makes_no_sense() -> None:
    with proxied() as (program, upstream), Peer(program.port) as client:
        client.send(REQUEST)
        upstream.accept()
        upstream.send(b"\0" * 100)
        assert client.head().startswith("HTTP/1.1 502 ")


def test_nobody_upstream() -> None:
    with proxied() as (program, upstream), Peer(program.port) as client:
        upstream.close()
        client.send(REQUEST)
        assert client.head().startswith("HTTP/1.1 502 ")
        program.wait_for("refused: 502")


def test_an_upstream_that_does_not_answer() -> None:
    with proxied("--open", "0.3") as (program, upstream), Peer(program.port) as client:
        client.send(REQUEST)
        upstream.accept()
        assert client.head().startswith("HTTP/1.1 504 ")
        program.wait_for("refused: 504")


def test_a_request_that_cannot_be_passed_on() -> None:
    with proxied() as (program, _), Peer(program.port) as client:
        client.send(REQUEST.replace(b"GET / ", b"GET /{} "))
        assert client.head().startswith("HTTP/1.1 400 ")
        program.wait_for("refused: 400")


def test_a_slow_client_does_not_make_upstream_look_dead() -> None:
    """Upstream's Pong is behind data that the client does not take for a while, twice as long as a Pong may take."""
    alive = to(SERVER, PONG)
    with connected("--ping-interval", "0.2", "--pong", "2") as (client, upstream):
        said = b"".join([to(CLIENT, BINARY, NOISE)] * 10) + to(CLIENT, PONG) + to(CLIENT, TEXT, b"done")
        saying = threading.Thread(target=upstream.send, args=(said,))
        saying.start()
        end = time.monotonic() + 4
        while time.monotonic() < end:
            select.select([], [], [], 0.05)
            client.send(alive)
        count = 0
        while (message := client.message()) != (TEXT, b"done"):
            assert message == (BINARY, NOISE)
            client.send(alive)
            count += 1
        assert count == 10
        saying.join()


def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chat is behind TLS; the line client talks to it first directly, then through the proxy."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    openssl = shutil.which("openssl") or missing("openssl")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with ChatServer("--cert", str(cert), "--key", str(key)) as chat:
        uri = f"wss://127.0.0.1:{chat.port}"
        with Program("proxy.py", uri) as program:
            for way in (f"{uri}/tls", f"{program.uri}tls"):
                command = [sys.executable, str(EXAMPLES / "client_asyncio.py"), way, "Ann: hello"]
                finished = subprocess.run(command, capture_output=True, timeout=PATIENCE)
                assert (finished.returncode, finished.stderr) == (0, b"")
                assert finished.stdout.startswith(b"* history ")
            program.stop()
        assert len(chat.logged("event=disconnect.* code=1000")) == 2
        chat.stop()


def test_what_came_with_the_end_is_passed_on() -> None:
    """Messages that inflate to much, a Close frame and the end of the stream, all at once."""
    upstream = Upstream()
    upstream.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)  # so that the proxy has to wait for it
    count = 10
    with Program("proxy.py", upstream.uri) as program, socket.create_connection(("127.0.0.1", program.port)) as sock:
        sock.settimeout(PATIENCE)
        handshake = rfc6455.ClientHandshake(program.uri, extensions=[rfc6455.PerMessageDeflate()])
        sock.sendall(handshake.data_to_send())
        upstream.accept()
        upstream.open()
        while (ws := handshake.receive_data(sock.recv(65536))) is None:
            pass
        for _ in range(count):
            ws.send_text("a" * 900_000)
        ws.close(4321)
        sock.sendall(ws.data_to_send())
        sock.shutdown(socket.SHUT_WR)
        with Peer(program.port) as another:
            # When that has got through, the proxy has seen all of the first one's input, and its end.
            another.send(REQUEST)
            upstream.listener.accept()[0].close()
        finals = 0
        while not isinstance(event := upstream.event(), rfc6455.Closed):
            finals += isinstance(event, rfc6455.TextPart) and event.final
        assert (finals, event.code) == (count, 4321)
        upstream.sock.sendall(upstream.ws.data_to_send())
        upstream.close()
