"""The HTTP/3 example as a program, with aioquic and the library's own handshake as the other."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("aioquic")

from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import StopSendingReceived, StreamReset
from chat_server import LATE_SIGNAL
from helpers import TEXT, to
from http3_client import Client, WebSocket
from programs import Program
from tls import make_certificate

from rfc6455 import SERVER, BytesMessage, Closed, HandshakeError, Ping, Response, TextMessage

Start = Callable[..., Program]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def start(certificate: tuple[Path, Path]) -> Iterator[Start]:
    chain, key = map(str, certificate)
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(
            Program("http3_echo.py", "--certificate", chain, "--key", key, *arguments, **options)
        )


@pytest.fixture(scope="module")
def server(certificate: tuple[Path, Path]) -> Iterator[Program]:
    chain, key = map(str, certificate)
    with Program("http3_echo.py", "--certificate", chain, "--key", key) as program:
        yield program
        program.stop()


@pytest.fixture
def client(server: Program, certificate: tuple[Path, Path]) -> Iterator[Client]:
    with Client(server.port, certificate[0]) as client:
        yield client


def test_messages_come_back(server: Program, client: Client) -> None:
    ws = client.request()
    assert [type(event) for event in ws.opened] == [Response]
    messages = ["", "häßlich 🙂", b"", b"\0\xff" * 100_000, "x" * 100_000]
    for message in messages:
        assert ws.exchange(message) == [TextMessage(message) if isinstance(message, str) else BytesMessage(message)]
    ws.ws.close(1000, "bye")
    ws.send()
    assert ws.closed().code == 1000
    client.until(ws.has_ended)
    ws.send(b"", end_stream=True)
    server.wait_for(r"closed: 1000 'bye'")


def test_many_websockets_on_one_connection(client: Client) -> None:
    sockets = [client.request(path=f"/{number}") for number in range(50)]
    for number, ws in enumerate(sockets):
        assert ws.exchange(f"I am {number}") == [TextMessage(f"I am {number}")]


def test_an_empty_data_frame_is_not_the_end(client: Client) -> None:
    ws = client.request()
    ws.send(b"")
    assert ws.exchange("still here") == [TextMessage("still here")]


def test_a_stream_that_ends_without_a_close_frame(server: Program, client: Client) -> None:
    ws, other = client.request(), client.request()
    ws.send(to(SERVER, TEXT, b"last"), end_stream=True)
    assert ws.receive() == [TextMessage("last")]
    client.until(ws.has_ended)
    server.wait_for(f"^{address(client)}/{ws.stream} closed: 1006")
    assert other.exchange("still here") == [TextMessage("still here")]


def address(client: Client) -> str:
    return "{}:{}".format(*client.sock.getsockname())


def reset(ws: WebSocket) -> None:
    ws.client.quic.reset_stream(ws.stream, ErrorCode.H3_REQUEST_CANCELLED)


def stop(ws: WebSocket) -> None:
    ws.client.quic.stop_stream(ws.stream, ErrorCode.H3_REQUEST_CANCELLED)


@pytest.mark.parametrize("give_up", [reset, stop])
def test_a_stream_that_is_reset_harms_nobody(
    server: Program, client: Client, give_up: Callable[[WebSocket], None]
) -> None:
    ws, other = client.request(), client.request()
    ws.ws.send_text("x" * 10_000)
    client.http.send_data(ws.stream, ws.ws.data_to_send(), False)
    give_up(ws)
    client.flush()
    client.until(lambda: client.of(ws.stream, StreamReset))
    if give_up is stop:
        client.until(lambda: client.of(ws.stream, StopSendingReceived))
    assert other.exchange("still here") == [TextMessage("still here")]
    assert server.wait_for(f"^{address(client)}/{ws.stream} closed: 1006")


def test_a_request_that_is_reset_with_its_headers(server: Program, client: Client) -> None:
    """Both are in one datagram, so the server hears of the reset before it can answer."""
    ws = WebSocket.__new__(WebSocket)
    ws.client, ws.stream = client, client.quic.get_next_available_stream_id()
    client.http.send_headers(ws.stream, REQUEST)
    stop(ws)
    client.flush()
    assert client.request().exchange("still here") == [TextMessage("still here")]


REQUEST = [
    (b":method", b"CONNECT"),
    (b":protocol", b"websocket"),
    (b":scheme", b"https"),
    (b":path", b"/"),
    (b":authority", b"localhost"),
    (b"sec-websocket-version", b"13"),
]

VIOLATIONS = {"not masked": (to(SERVER, TEXT, b"a", key=None), 1002), "not UTF-8": (to(SERVER, TEXT, b"\xff"), 1007)}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=list(VIOLATIONS))
def test_a_violation_gets_its_close_code(client: Client, data: bytes, code: int) -> None:
    ws = client.request()
    ws.send(data)
    assert ws.closed().code == code
    client.until(ws.has_ended)


def test_a_refusal(server: Program, client: Client) -> None:
    ws = client.request((b"origin", b"http://evil.example"))
    closed = ws.closed()
    assert isinstance(closed.error, HandshakeError)
    assert closed.error.status == 403
    assert client.request().exchange("the next is welcome") == [TextMessage("the next is welcome")]
    server.wait_for(f"^{address(client)}/{ws.stream} refused: 403")


def test_a_page_is_refused(client: Client) -> None:
    stream = client.quic.get_next_available_stream_id()
    headers = [(b":method", b"GET"), *REQUEST[2:5]]
    client.http.send_headers(stream, headers, end_stream=True)
    client.flush()
    client.until(lambda: any(event.stream_ended for event in client.of(stream, DataReceived)))
    assert dict(client.of(stream, HeadersReceived)[0].headers)[b":status"] == b"400"


@pytest.mark.parametrize("seed", range(4))
def test_garbage_harms_nobody(server: Program, client: Client, seed: int) -> None:
    dice = random.Random(seed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for size in (0, 1, 30, 1200):
            sock.sendto(dice.randbytes(size), ("127.0.0.1", server.port))
    stream = client.quic.get_next_available_stream_id()
    client.quic.send_stream_data(stream, dice.randbytes(100), seed % 2 == 0)
    client.flush()
    with Client(server.port, client.certificate) as other:
        assert other.request().exchange("still here") == [TextMessage("still here")]


def test_a_client_that_reads_nothing_is_cut_off(start: Start, certificate: tuple[Path, Path]) -> None:
    """Its stream's window never grows, while it sends on."""
    program = start()
    with Client(program.port, certificate[0], max_stream_data=100_000) as client:
        client.quic._write_stream_limits = lambda *_, **__: None  # type: ignore[method-assign]
        ws = client.request()
        message = to(SERVER, 2, bytes(1 << 19))
        for _ in range(20):
            client.http.send_data(ws.stream, message, False)
        client.flush()
        ended = client.check_ended()
        assert (ended.error_code, ended.reason_phrase) == (ErrorCode.H3_EXCESSIVE_LOAD, "read what you are sent")
    program.wait_for("/0 closed: 1006")
    program.stop()


def test_a_client_that_does_not_answer_a_ping_is_timed_out(start: Start, certificate: tuple[Path, Path]) -> None:
    program = start("--ping-interval", "0.2", "--pong", "0.3", "--tcp-close", "0.2")
    with Client(program.port, certificate[0]) as client:
        ws = client.request()
        assert isinstance(ws.receive()[0], Ping)
        assert ws.closed().code == 3008
        # Nor does it end its side of the stream.
        client.until(lambda: client.of(ws.stream, StopSendingReceived))
    program.wait_for("/0 closed: 3008")
    program.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sends_the_clients_away(start: Start, certificate: tuple[Path, Path], number: int) -> None:
    program = start()
    with Client(program.port, certificate[0]) as client, Client(program.port, certificate[0]) as idle:
        sockets = [client.request(), client.request()]
        program.process.send_signal(number)
        for ws in sockets:
            (closed,) = ws.receive()
            assert isinstance(closed, Closed)
            assert closed.code == 1001
            ws.send(end_stream=True)
        assert client.check_ended().error_code == ErrorCode.H3_NO_ERROR
        assert idle.check_ended().error_code == ErrorCode.H3_NO_ERROR
    program.check_ended()
    assert len(program.logged("closed: 1001")) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_just_before_the_wait(start: Start, number: int) -> None:
    start(runner=LATE_SIGNAL).stop(number)
