"""The HTTP/2 example as a program, with Node's client, and with h2 and the library's own handshake as the other."""

from __future__ import annotations

import base64
import json
import random
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from chat_server import missing
from helpers import CLOSE, TEXT, close_payload, frame, to
from http2_client import Client
from programs import PATIENCE, Program

import rfc6455
from rfc6455 import SERVER, BytesMessage, Closed, HandshakeError, Ping, TextMessage


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    with Program("http2_echo.py") as program:
        yield program
        program.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Program("http2_echo.py", *arguments))


NODE = """
const http2 = require("node:http2");

function frame(opcode, payload) {
  const length = payload.length;
  const header = length < 126 ? [128 | length] : length < 65536
    ? [254, length >> 8, length & 255] : [255, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255];
  return Buffer.concat([Buffer.from([128 | opcode, ...header, 0, 0, 0, 0]), payload]);
}

const session = http2.connect("http://127.0.0.1:" + process.argv[1]);
const said = {};
session.on("error", error => { said.error = String(error); });
session.on("goaway", code => { said.goaway = code; });
session.on("close", () => console.log(JSON.stringify(said)));
session.on("remoteSettings", settings => {
  if (said.enabled !== undefined) return;
  said.enabled = settings.enableConnectProtocol;
  const stream = session.request({
    ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http", ":path": "/node?x=1",
    ":authority": "localhost", "sec-websocket-version": "13",
  });
  const got = [];
  stream.on("response", headers => {
    said.status = headers[":status"];
    stream.write(frame(1, Buffer.from("from Node")));
    stream.write(frame(2, Buffer.alloc(300000, 7)));
    stream.end(frame(8, Buffer.from([3, 232])));
  });
  stream.on("data", data => got.push(data));
  stream.on("end", () => { said.data = Buffer.concat(got).toString("base64"); });
  stream.on("close", () => { said.reset = stream.rstCode; session.close(); });
});
"""


def test_with_the_client_of_node(server: Program) -> None:
    node = shutil.which("node") or missing("node")
    finished = subprocess.run(
        [node, "-e", NODE, "--", str(server.port)], capture_output=True, text=True, timeout=PATIENCE
    )
    said = json.loads(finished.stdout)
    expected = frame(TEXT, b"from Node") + frame(2, b"\7" * 300_000) + frame(CLOSE, close_payload(1000))
    assert said == {"enabled": True, "status": 200, "reset": 0, "data": base64.b64encode(expected).decode()}


@pytest.mark.parametrize("compressed", [False, True])
def test_messages_come_back(server: Program, compressed: bool) -> None:
    with Client(server.port) as client:
        ws = client.request(compressed=compressed)
        assert bool(ws.ws.extensions) == compressed
        messages = ["", "häßlich 🙂", b"", b"\0\xff" * (1 << 19), "x" * 100_000]
        for message in messages:
            answer = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
            assert ws.exchange(message) == [answer]
        ws.ws.close(1000, "bye")
        ws.send()
        assert (ws.closed().code, ws.ws.closed) == (1000, True)
        ws.end()
    assert server.wait_for(r"closed: 1000 'bye'")


def test_many_websockets_on_one_connection(server: Program) -> None:
    with Client(server.port) as client:
        sockets = [client.request(path=f"/{number}") for number in range(50)]
        for number, ws in enumerate(sockets):
            assert ws.exchange(f"I am {number}") == [TextMessage(f"I am {number}")]


def test_one_that_does_not_read_holds_up_itself_alone(server: Program) -> None:
    """Its window is closed after a while, but that of the TCP connection, and of the others, is not."""
    with Client(server.port) as client:
        slow, other = client.request(), client.request()
        noise = to(SERVER, 2, random.Random(0).randbytes(16_000))
        sent = 0
        while (size := client.http.local_flow_control_window(slow.stream)) > 0:
            slow.send((noise * 5)[:size])
            sent += size
            for _ in range(3):
                assert other.exchange("still here") == [TextMessage("still here")]
        assert sent <= 1 << 20


def test_a_stream_that_is_reset_harms_nobody(server: Program) -> None:
    with Client(server.port) as client:
        ws, other = client.request(path="/reset"), client.request()
        ws.ws.send_text("x" * 10_000)
        ws.send()
        client.http.reset_stream(ws.stream, h2.errors.ErrorCodes.CANCEL)
        client.flush()
        assert other.exchange("still here") == [TextMessage("still here")]
        address = "{}:{}".format(*client.sock.getsockname())
        assert server.wait_for(f"^{address}/{ws.stream} closed: 1006")


VIOLATIONS = {"not masked": (to(SERVER, TEXT, b"a", key=None), 1002), "not UTF-8": (to(SERVER, TEXT, b"\xff"), 1007)}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=list(VIOLATIONS))
def test_a_violation_gets_its_close_code(server: Program, data: bytes, code: int) -> None:
    with Client(server.port) as client:
        ws = client.request()
        ws.send(data)
        assert ws.closed().code == code


REFUSALS = {
    "version": ([("sec-websocket-version", "12")], 400),
    "origin": ([("origin", "http://evil.example")], 403),
}


@pytest.mark.parametrize(("more", "status"), REFUSALS.values(), ids=list(REFUSALS))
def test_a_refusal(server: Program, more: list[tuple[str, str]], status: int) -> None:
    with Client(server.port) as client:
        with pytest.raises(HandshakeError) as info:
            client.request(*more)
        assert info.value.status == status
        client.until(lambda: client.of(1, h2.events.StreamEnded))
        assert b"(RFC " in b"".join(data.data for data in client.of(1, h2.events.DataReceived))
        assert client.request().exchange("the next is welcome") == [TextMessage("the next is welcome")]
    server.wait_for(f"/1 refused: {status}")


def test_a_page_is_refused(server: Program) -> None:
    with Client(server.port) as client:
        headers = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")]
        client.http.send_headers(1, headers, end_stream=True)
        client.flush()
        client.until(lambda: client.of(1, h2.events.StreamEnded))
        (response,) = client.of(1, h2.events.ResponseReceived)
        assert dict(response.headers)[b":status"] == b"400"


@pytest.mark.parametrize("seed", range(20))
def test_garbage_harms_nobody(server: Program, seed: int) -> None:
    """HTTP/1.1, noise, noise instead of frames, and a good beginning with bytes that are wrong."""
    dice = random.Random(seed)
    sender = h2.connection.H2Connection()
    sender.initiate_connection()
    sender.send_headers(1, rfc6455.Http2ClientHandshake("ws://localhost/").headers_to_send())
    sender.send_data(1, to(SERVER, TEXT, b"hello") * 100)
    good = bytearray(sender.data_to_send())
    for _ in range(4):
        good[dice.randrange(24, len(good))] = dice.randrange(256)
    data = [b"GET / HTTP/1.1\r\n\r\n", dice.randbytes(1000), good[:24] + dice.randbytes(1000), good][seed % 4]
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        try:
            while sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
    with Client(server.port) as client:
        assert client.request().exchange("still here") == [TextMessage("still here")]


def test_a_client_that_does_not_answer_a_ping_is_timed_out(start: Callable[..., Program]) -> None:
    program = start("--ping-interval", "0.2", "--pong", "0.3")
    with Client(program.port) as client:
        ws = client.request()
        assert isinstance(ws.receive()[0], Ping)
        assert ws.closed().code == 3008
        ws.ws.data_to_send()
        ws.end()
    program.wait_for("/1 closed: 3008")
    program.stop()


def test_a_connection_without_a_websocket_is_timed_out(start: Callable[..., Program]) -> None:
    program = start("--open", "0.2")
    with Client(program.port) as client:
        client.check_ended()
    program.wait_for("refused: no WebSocket")
    program.stop()


def test_a_client_that_does_not_read_the_socket_is_timed_out(start: Callable[..., Program]) -> None:
    program = start("--ping-interval", "0.5", "--pong", "0.5")
    with Client(program.port) as client:
        ws = client.request()
        client.http.increment_flow_control_window(1 << 30, ws.stream)
        client.flush()
        noise = to(SERVER, 2, random.Random(0).randbytes(1 << 20))
        client.sock.setblocking(False)
        at = 0
        while not program.logged("closed: 3008"):
            if select.select([], [client.sock], [], 0.01)[1]:
                size = min(client.http.local_flow_control_window(ws.stream), 16_000, len(noise) - at % len(noise))
                if size > 0:
                    client.http.send_data(ws.stream, noise[at % len(noise) :][:size])
                    at += size
                    client.sock.send(client.http.data_to_send())
    program.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sends_the_clients_away(start: Callable[..., Program], number: int) -> None:
    program = start()
    with Client(program.port) as client, Client(program.port) as idle:
        sockets = [client.request(), client.request()]
        program.process.send_signal(number)
        for ws in sockets:
            (closed,) = ws.receive()
            assert isinstance(closed, Closed)
            assert closed.code == 1001
            ws.end()
        client.check_ended()
        idle.check_ended()
    program.check_ended()
    assert len(program.logged("closed: 1001")) == 2
