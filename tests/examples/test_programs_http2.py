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
from typing import TypeVar

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
from chat_server import missing
from helpers import CLOSE, TEXT, close_payload, frame, to
from programs import PATIENCE, Program

import rfc6455
from rfc6455 import SERVER, BytesMessage, Closed, Event, HandshakeError, Ping, TextMessage

ENABLE_CONNECT_PROTOCOL = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL


E = TypeVar("E", bound=h2.events.Event)


class Client:
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
        """Receives until the condition holds."""
        while not condition():
            data = self.sock.recv(65536)
            assert data, self.seen
            self.seen += self.http.receive_data(data)
            self.flush()

    def of(self, stream: int, kind: type[E]) -> list[E]:
        events = [event for event in self.seen if isinstance(event, kind)]
        return [event for event in events if getattr(event, "stream_id", None) == stream]

    def request(self, *more: tuple[str, str], path: str = "/", compressed: bool = False) -> WebSocket:
        return WebSocket(self, list(more), path, compressed)

    def check_ended(self) -> None:
        """The server says that no more comes, in HTTP/2 and in TCP."""
        self.until(lambda: any(isinstance(event, h2.events.ConnectionTerminated) for event in self.seen))
        while self.sock.recv(65536):
            pass


class WebSocket:
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
        """Sends as much as the windows allow; receives while they do not."""
        data = self.ws.data_to_send() if data is None else data
        while data:
            size = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
            self.http.send_data(self.stream, data[:size])
            data = data[size:]
            self.client.flush()
            if data:
                self.client.until(lambda: self.http.local_flow_control_window(self.stream) > 0)

    def receive(self) -> list[Event]:
        """The next events."""
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
            count = len(self.client.seen)
            self.client.until(lambda count=count: len(self.client.seen) > count)  # type: ignore[misc]

    def exchange(self, *messages: str | bytes) -> list[Event]:
        for message in messages:
            if isinstance(message, str):
                self.ws.send_text(message)
            else:
                self.ws.send_bytes(message)
        self.send()
        events: list[Event] = []
        while len(events) < len(messages):
            events += self.receive()
        return events

    def closed(self) -> Closed:
        """Reads up to the end of the WebSocket and of its stream."""
        while not isinstance(event := self.receive()[-1], Closed):
            pass
        self.client.until(lambda: self.client.of(self.stream, h2.events.StreamEnded))
        return event

    def end(self) -> None:
        self.send()
        self.http.end_stream(self.stream)
        self.client.flush()


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
        while not program.printed("closed: 3008"):
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
    assert len(program.printed("closed: 1001")) == 2
