"""`rfc6455_io.uvicorn` on real sockets, compared with uvicorn's own protocols.

Every test runs with both of uvicorn's HTTP parsers, and with uvicorn's own WebSocket protocols as well, so that the
assertions reflect the real behaviour of uvicorn. If those differ on purpose, `differs` says which and why; the test
must then fail on them.

An app is a coroutine under a path of its own, and reports what it receives through a queue. Nothing sleeps: a test
waits for data, and fails by the timeout of its sockets.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import queue
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers import BINARY, CLOSE, CONT, PING, PONG, SERVER, TEXT, Seen, close_payload, split_frames, to

pytest.importorskip("uvicorn.server")
pytest.importorskip("starlette")

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.config import HTTP_PROTOCOLS, WS_PROTOCOLS
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import rfc6455
import rfc6455_io.uvicorn

APP = Path(__file__).resolve().parents[2] / "examples" / "uvicorn_app.py"
PATIENCE = 60.0

OURS = "rfc6455_io.uvicorn:Protocol"
YARDSTICKS = [name for name in ("websockets-sansio", "wsproto") if name in WS_PROTOCOLS]
HTTP = [name for name in ("h11", "httptools") if name in HTTP_PROTOCOLS and importlib.util.find_spec(name)]
COMBINATIONS = [(http, ws) for ws in (OURS, *YARDSTICKS) for http in HTTP]

REQUEST = (
    b"GET %s HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)

App = Callable[[Any, Any, Any], Any]


class Host:
    """uvicorn in a thread, with an app for each path that a test asks for."""

    def __init__(self, http: str, ws: str, **options: Any) -> None:
        self.apps: dict[str, App] = {}
        self.unhandled: list[dict[str, Any]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.uri = f"ws://127.0.0.1:{self.port}"
        options = {"log_config": None, "loop": "asyncio", "timeout_graceful_shutdown": 10, **options}
        config = uvicorn.Config(self._app, http=http, ws=ws, interface="asgi3", **options)
        self.server = uvicorn.Server(config)
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._main()])
        self._thread.start()
        assert self._is_up.wait(PATIENCE)

    async def _main(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.unhandled.append(context))
        await self.server.serve(sockets=[self.listener])

    async def _app(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        return await self.apps[scope["path"]](scope, receive, send)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["from"] = "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        self._is_up.set()
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def serve(self, app: App) -> str:
        """Put an app under a path of its own, and return the path."""
        path = f"/{len(self.apps)}"
        self.apps[path] = app
        return path

    def connect(self, app: App, **options: Any) -> ClientConnection:
        return connect(self.uri + self.serve(app), open_timeout=PATIENCE, close_timeout=PATIENCE, **options)

    def stop(self) -> None:
        self.server.should_exit = True

    def join(self) -> None:
        self.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self.listener.close()
        assert self.unhandled == []


class Raw:
    """A client that speaks bytes."""

    def __init__(self, host: Host, path: str, extra: bytes = b"") -> None:
        self.sock = socket.create_connection(("127.0.0.1", host.port), timeout=PATIENCE)
        self.buffer = b""
        self.sock.sendall(REQUEST % (path.encode(), extra))

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def head(self) -> tuple[int, list[tuple[str, str]]]:
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines[1:])]
        return int(lines[0].split()[1]), fields

    def _more(self) -> bytes:
        data = self.sock.recv(65536)
        assert data, "the server closed"
        return data

    def open(self) -> Raw:
        assert self.head()[0] == 101
        return self

    def send(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        self.sock.sendall(to(SERVER, opcode, payload, **options))

    def send_until_it_stands_still(self, message: bytes) -> int:
        """Send a message 64 times, and return how many bytes went out."""
        sent = 0
        with suppress(TimeoutError):
            while sent < 64 * len(message):
                sent += self.sock.send(message[sent % len(message) :])
        return sent

    def frame(self) -> Seen:
        while not (frames := split_frames(self.buffer, SERVER))[0]:
            self.buffer += self._more()
        first = frames[0][0]
        size = len(first.payload)
        self.buffer = self.buffer[size + (2 if size <= 125 else 4 if size <= 65535 else 10) :]
        return first

    def rest(self) -> bytes:
        """All that comes until the server closes TCP."""
        data, self.buffer = self.buffer, b""
        while more := self.sock.recv(65536):
            data += more
        return data


class Seer:
    """An app that accepts, and then reports what it receives."""

    def __init__(self) -> None:
        self.seen: queue.Queue[Any] = queue.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.put(await receive())
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            self.seen.put(message)
        self.seen.put(message)

    def next(self) -> Any:
        return self.seen.get(timeout=PATIENCE)

    def greeted(self) -> Seer:
        assert self.next() == {"type": "websocket.connect"}
        return self

    def farewell(self) -> tuple[int, str]:
        message = self.next()
        assert message["type"] == "websocket.disconnect"
        return message["code"], message.get("reason") or ""


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def differs(*names: str, reason: str) -> Callable[[Any], Any]:
    """On these of uvicorn's own protocols the test must fail."""

    def mark(test: Any) -> Any:
        test.differs = (names, reason)
        return test

    return mark


def only_ours(test: Any) -> Any:
    """What uvicorn's own protocols leave open, or do in a way that cannot be waited for."""
    test.only_ours = True
    return test


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[tuple[str, str], Host]]:
    running: dict[tuple[str, str], Host] = {}
    yield running
    for host in running.values():
        host.stop()
    for host in running.values():
        host.join()


@pytest.fixture(params=COMBINATIONS, ids=lambda pair: f"{pair[1].partition(':')[0]}-{pair[0]}")
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    http, ws = request.param
    names, reason = getattr(request.function, "differs", ((), ""))
    if ws != OURS and getattr(request.function, "only_ours", False):
        pytest.skip("of our protocol only")
    if ws in names:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    return http, ws


@pytest.fixture
def host(pair: tuple[str, str], hosts: dict[tuple[str, str], Host]) -> Host:
    """A server with its defaults, that all tests share."""
    if pair not in hosts:
        hosts[pair] = Host(*pair, headers=[("X-From", "an option")])
    return hosts[pair]


@pytest.fixture
def new_host(pair: tuple[str, str]) -> Iterator[Callable[..., Host]]:
    """Makes servers with other options."""
    made: list[Host] = []

    def make(**options: Any) -> Host:
        made.append(Host(*pair, **options))
        return made[-1]

    yield make
    for host in made:
        host.join()


# The opening handshake.


def scope_seen(host: Host, target: str, extra: bytes = b"") -> tuple[dict[str, Any], tuple[str, int]]:
    seen: queue.Queue[dict[str, Any]] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.put(scope)
        await receive()
        await send({"type": "websocket.close"})

    path = host.serve(app)
    host.apps["/root" + path] = host.apps[path + "/ä b"] = app
    with Raw(host, path + target, extra) as client:
        assert client.head()[0] == 403
        return seen.get(timeout=PATIENCE), client.sock.getsockname()


def test_the_scope_says_what_the_specification_asks_for(host: Host) -> None:
    extra = b"Sec-WebSocket-Protocol: one, two\r\nX-Twice: a\r\nX-Latin: \xe9\r\nX-Twice: b\r\n"
    scope, client = scope_seen(host, "/%C3%A4%20b?q=%C3%A4&r", extra)
    headers = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    assert scope["type"] == "websocket"
    assert scope["asgi"]["version"] == "3.0"
    assert scope["asgi"]["spec_version"] in ("2.4", "2.5")
    assert scope["http_version"] == "1.1"
    assert scope["scheme"] == "ws"
    assert scope["server"] == ("127.0.0.1", host.port)
    assert scope["client"] == client
    assert scope["root_path"] == ""
    assert scope["path"].endswith("/ä b")
    assert scope["raw_path"].endswith(b"/%C3%A4%20b")
    assert scope["query_string"] == b"q=%C3%A4&r"
    assert scope["subprotocols"] == ["one", "two"]
    assert scope["state"] == {"from": "lifespan"}
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert (b"host", b"example.com") in headers
    assert [value for name, value in headers if name == b"x-twice"] == [b"a", b"b"]
    assert (b"x-latin", b"\xe9") in headers


def test_paths_are_below_the_root_path(new_host: Callable[..., Host]) -> None:
    scope, _ = scope_seen(new_host(root_path="/root"), "")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/root", "/root/0", b"/root/0")


def test_each_connection_has_a_copy_of_the_state(host: Host) -> None:
    first, _ = scope_seen(host, "")
    second, _ = scope_seen(host, "")
    assert first["state"] is not second["state"]


def test_the_answer_has_the_headers_of_the_app_and_of_the_options(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]})
        await receive()

    with Raw(host, host.serve(app)) as client:
        status, fields = client.head()
    names = [name for name, _ in fields]
    assert status == 101
    assert ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") in fields
    assert [value for name, value in fields if name == "set-cookie"] == ["a=1", "b=2"]
    assert ("x-from", "an option") in fields
    assert ("server", "uvicorn") in fields
    assert names.count("date") == 1
    assert "sec-websocket-protocol" not in names


@pytest.mark.parametrize("choice", ["one", "two"])
def test_the_app_chooses_the_subprotocol(host: Host, choice: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": choice})
        await receive()

    with host.connect(app, subprotocols=["one", "two"]) as client:
        assert client.subprotocol == choice


@differs(*YARDSTICKS, reason="sends what was not asked for, which the client must fail (4.1)")
def test_a_subprotocol_that_was_not_asked_for_is_the_mistake_of_the_app(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "three"})

    with Raw(host, host.serve(app), b"Sec-WebSocket-Protocol: one, two\r\n") as client:
        assert client.head()[0] == 500


def answer_without_the_app(host: Host, line: bytes, instead: bytes) -> bytes:
    """What a request with another line is answered; the app must not hear of it."""
    called = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.set()

    with socket.create_connection(("127.0.0.1", host.port), timeout=PATIENCE) as sock:
        sock.sendall((REQUEST % (host.serve(app).encode(), b"")).replace(line, instead))
        answer = b""
        while more := sock.recv(4096):
            answer += more
    assert not called.is_set()
    return answer


@differs("wsproto", reason="takes any key")
def test_a_bad_key_is_400(host: Host) -> None:
    answer = answer_without_the_app(host, b"Key: dGhlIHNhbXBsZSBub25jZQ==", b"Key: short")
    assert answer.startswith(b"HTTP/1.1 400 ")


@differs("websockets-sansio", reason="400, and no word on which version it speaks (4.2.2)")
def test_another_version_is_426(host: Host) -> None:
    answer = answer_without_the_app(host, b"Version: 13", b"Version: 8")
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"sec-websocket-version: 13" in answer.lower()


def test_close_before_accept_is_403(host: Host) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000, "reason": "no"})
        seen.put(await receive())

    with Raw(host, host.serve(app)) as client:
        assert client.head()[0] == 403
        client.rest()
    message = seen.get(timeout=PATIENCE)
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)


def test_a_denial_is_the_answer_of_the_app(host: Host) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Basic"), (b"content-length", b"13")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"Who are ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"you?\n"})
        seen.put(await receive())
        with pytest.raises((RuntimeError, OSError)):
            await send({"type": "websocket.accept"})
        seen.put("refused")

    with Raw(host, host.serve(app)) as client:
        status, fields = client.head()
        assert client.rest() == b"Who are you?\n"
    assert status == 401
    assert ("www-authenticate", "Basic") in fields
    assert [value for name, value in fields if name == "content-length"] == ["13"]
    message = seen.get(timeout=PATIENCE)
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)
    assert seen.get(timeout=PATIENCE) == "refused"


@differs("wsproto", reason="leaves the length to the app")
def test_a_denial_without_headers_says_how_long_it_is(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"gone"})

    with Raw(host, host.serve(app)) as client:
        status, fields = client.head()
        assert client.rest() == b"gone"
    assert status == 404
    assert ("content-length", "4") in fields
    assert ("connection", "close") in fields


@pytest.mark.parametrize("status", [99, 700])
def test_a_denial_with_a_status_that_is_none_is_the_mistake_of_the_app(host: Host, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})

    with Raw(host, host.serve(app)) as client:
        assert client.head()[0] == 500


@differs(*YARDSTICKS, reason="sends nothing, or the head alone")
def test_a_denial_that_the_app_does_not_begin_is_500(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})

    with Raw(host, host.serve(app)) as client:
        assert client.head()[0] == 500


@differs("websockets-sansio", reason="keeps the whole body until its end")
def test_a_denial_is_sent_as_the_app_gives_it(host: Host) -> None:
    go_on = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-length", b"4"), (b"content-type", b"text/plain")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"go", "more_body": True})
        if await asyncio.to_thread(go_on.wait, 1.0):
            await send({"type": "websocket.http.response.body", "body": b"ne"})

    with Raw(host, host.serve(app)) as client:
        assert client.head()[0] == 404
        while client.buffer != b"go":
            client.buffer += client._more()
        go_on.set()
        assert client.rest() == b"gone"


@only_ours
def test_a_denial_whose_length_nobody_knows_is_sent_in_chunks(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        for body in (b"go", b"", b"ne"):
            await send({"type": "websocket.http.response.body", "body": body, "more_body": True})
        await send({"type": "websocket.http.response.body"})

    with Raw(host, host.serve(app)) as client:
        status, fields = client.head()
        assert client.rest() == b"2\r\ngo\r\n2\r\nne\r\n0\r\n\r\n"
    assert status == 404
    assert ("transfer-encoding", "chunked") in fields
    assert "content-length" not in dict(fields)


@only_ours
@pytest.mark.parametrize("bodies", [[b"too long"], [b"go", b"on"], [b"go", b"o", b""], [b""]])
def test_a_denial_that_is_not_as_long_as_it_says_is_the_mistake_of_the_app(host: Host, bodies: list[bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"Content-Length", b"3" if bodies != [b"go", b"o", b""] else b"4")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        for body in bodies[:-1]:
            await send({"type": "websocket.http.response.body", "body": body, "more_body": True})
        with pytest.raises(RuntimeError, match="than Content-Length"):
            await send({"type": "websocket.http.response.body", "body": bodies[-1]})

    with Raw(host, host.serve(app)) as client:
        assert client.head()[0] == 404
        assert len(client.rest()) < 4


@only_ours
@pytest.mark.parametrize("status", [204, 304])
def test_a_denial_without_a_body(host: Host, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})
        await send({"type": "websocket.http.response.body"})

    with Raw(host, host.serve(app)) as client:
        seen, fields = client.head()
        assert client.rest() == b""
    assert seen == status
    assert not {"content-length", "transfer-encoding", "content-type"} & set(dict(fields))


@pytest.mark.parametrize("wrong", ["websocket.send", "websocket.http.response.body", "no.such.type"])
def test_before_accept_nothing_else_can_be_sent(host: Host, wrong: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(RuntimeError):
            await send({"type": wrong, "text": "too early", "body": b""})
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "now"})
        await receive()

    with host.connect(app) as client:
        assert client.recv(PATIENCE) == "now"


# Messages.


@pytest.mark.parametrize("message", ["", "hello", "ünï©ödé 🎈", b"", b"\x00\xff", "x" * 70_000, b"y" * 300_000])
def test_messages_come_and_go_whole(host: Host, message: str | bytes) -> None:
    with host.connect(echo, max_size=None) as client:
        client.send(message)
        assert client.recv(PATIENCE) == message


def test_fragments_are_joined(host: Host) -> None:
    seer = Seer()
    with Raw(host, host.serve(seer)) as client:
        client.open().send(TEXT, "é".encode()[:1], fin=False)
        client.send(CONT, "é".encode()[1:], fin=False)
        client.send(CONT, b"!")
        client.send(BINARY, b"\x00")
        message, data = seer.greeted().next(), seer.next()
    assert (message["type"], message["text"], message.get("bytes")) == ("websocket.receive", "é!", None)
    assert (data["type"], data["bytes"], data.get("text")) == ("websocket.receive", b"\x00", None)


def test_a_burst_arrives_in_order(host: Host) -> None:
    seer = Seer()
    burst = b"".join(to(SERVER, TEXT, b"%d" % number) for number in range(1000))
    with Raw(host, host.serve(seer)) as client:
        client.open().sock.sendall(burst)
        assert [seer.next().get("text", "connect") for _ in range(1001)] == ["connect", *map(str, range(1000))]


def test_a_ping_is_answered(host: Host) -> None:
    with Raw(host, host.serve(echo)) as client:
        client.open().send(PING, b"are you there?")
        assert client.frame() == Seen(PONG, b"are you there?")


def test_messages_are_compressed_when_both_want_it(host: Host) -> None:
    with host.connect(echo, compression="deflate") as client:
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]
        client.send("again and " * 5000)
        assert client.recv(PATIENCE) == "again and " * 5000


def test_compression_can_be_turned_off(new_host: Callable[..., Host]) -> None:
    with new_host(ws_per_message_deflate=False).connect(echo, compression="deflate") as client:
        assert "Sec-WebSocket-Extensions" not in client.response.headers  # type: ignore[union-attr]


def test_what_the_app_does_not_take_waits_in_the_network(host: Host) -> None:
    """More than fits into buffers: the client stands still until the app receives, and nothing is lost."""
    go_on, counted = threading.Event(), queue.Queue[int]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.get_running_loop().run_in_executor(None, go_on.wait, PATIENCE)
        total = 0
        while (message := await receive())["type"] == "websocket.receive":
            total += len(message["bytes"])
        counted.put(total)

    with Raw(host, host.serve(app)) as client:
        message = to(SERVER, BINARY, bytes(1 << 20))
        client.open().sock.settimeout(1)
        sent = client.send_until_it_stands_still(message)
        assert 0 < sent < 64 * len(message)
        go_on.set()
        client.sock.settimeout(PATIENCE)
        client.sock.sendall(message[sent % len(message) :] + to(SERVER, CLOSE))
        client.rest()
        assert counted.get(timeout=PATIENCE) == (sent // len(message) + 1) << 20


def test_a_client_that_does_not_read_makes_the_app_wait(host: Host) -> None:
    went: queue.Queue[int] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        sent = 0
        while sent < 64:
            try:
                await asyncio.wait_for(send({"type": "websocket.send", "bytes": bytes(1 << 20)}), 1)
            except asyncio.TimeoutError:
                break
            sent += 1
        went.put(sent)
        await send({"type": "websocket.send", "text": "all"})
        await receive()

    with Raw(host, host.serve(app)) as client:
        client.open()
        sent = went.get(timeout=PATIENCE)
        assert 0 < sent < 64
        received = len(client.buffer)
        while received < sent * ((1 << 20) + 10) + 5:
            received += len(client._more())
        assert received == sent * ((1 << 20) + 10) + 5


# Limits and rules.


def test_a_message_may_be_as_large_as_the_option_says(new_host: Callable[..., Host]) -> None:
    with new_host(ws_max_size=1000).connect(echo) as client:
        client.send(b"x" * 1000)
        assert client.recv(PATIENCE) == b"x" * 1000


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_larger_message_is_refused_with_1009(new_host: Callable[..., Host], compression: str | None) -> None:
    seer = Seer()
    with new_host(ws_max_size=1000).connect(seer, compression=compression) as client:
        client.send(b"x" * 1001)
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1009
    assert seer.greeted().farewell()[0] == 1009


@differs("wsproto", reason="the app is told 1005")
@pytest.mark.parametrize(
    ("data", "code"),
    [(to(SERVER, TEXT, b"unmasked", key=None), 1002), (to(SERVER, TEXT, b"\xff"), 1007), (b"\xf1\x80" * 9, 1002)],
    ids=["unmasked", "not UTF-8", "reserved bits"],
)
def test_a_client_that_breaks_the_rules_is_told_so_and_the_app_too(host: Host, data: bytes, code: int) -> None:
    seer = Seer()
    with Raw(host, host.serve(seer)) as client:
        client.open().sock.sendall(data)
        frame = client.frame()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, close_payload(code))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    assert seer.greeted().farewell()[0] == code


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short time for the end, as live clients do not need more, and tests would take two seconds longer."""
    monkeypatch.setattr(rfc6455_io.uvicorn, "GRACE", 0.2)


@only_ours
def test_a_client_that_goes_on_sending_too_much_can_still_read_why(new_host: Callable[..., Host]) -> None:
    """TCP that is closed with input unread is reset, and the Close frame with it."""
    host = new_host(ws_max_size=1000)
    with Raw(host, host.serve(Seer())) as client:
        client.open().sock.sendall(to(SERVER, BINARY, bytes(4 << 20)))
        assert client.frame().payload[:2] == close_payload(1009)


# Pings of our own.


def test_pings_go_out_and_pongs_keep_the_connection(new_host: Callable[..., Host]) -> None:
    host = new_host(ws_ping_interval=0.05, ws_ping_timeout=PATIENCE)
    with Raw(host, host.serve(echo)) as client:
        client.open()
        for _ in range(3):
            opcode, payload, *_ = client.frame()
            assert opcode == PING
            client.send(PONG, payload)
        client.send(CLOSE, close_payload(1000))


def test_a_client_without_pongs_is_hung_up_on(new_host: Callable[..., Host]) -> None:
    host = new_host(ws_ping_interval=0.05, ws_ping_timeout=0.05)
    seer = Seer()
    with Raw(host, host.serve(seer)) as client:
        assert client.open().frame().opcode == PING
        assert client.frame() == Seen(CLOSE, close_payload(1011, b"keepalive ping timeout"))
        assert client.rest() == b""
    assert seer.greeted().next()["type"] == "websocket.disconnect"


@pytest.mark.parametrize("options", [{"ws_ping_interval": None}, {"ws_ping_interval": 0}], ids=["None", "0"])
def test_pings_can_be_turned_off(new_host: Callable[..., Host], options: dict[str, Any]) -> None:
    host = new_host(ws_ping_timeout=0.05, **options)
    with Raw(host, host.serve(echo)) as client:
        client.open().sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)


# The end.


@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (close_payload(1000), 1000, ""),
        (close_payload(1001, b"going home"), 1001, "going home"),
        (close_payload(4321, "später".encode()), 4321, "später"),
        (b"", 1005, ""),
    ],
)
def test_the_app_is_told_how_the_client_closed(host: Host, payload: bytes, code: int, reason: str) -> None:
    seer = Seer()
    with Raw(host, host.serve(seer)) as client:
        client.open().send(CLOSE, payload)
        frame = client.frame()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, payload[:2])
        assert client.rest() == b""
    assert seer.greeted().farewell() == (code, reason)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 4001}, 4001, ""),
        ({"code": 1001, "reason": "we close"}, 1001, "we close"),
        ({"code": 1000, "reason": None}, 1000, ""),
    ],
)
def test_the_client_is_told_how_the_app_closed(host: Host, message: dict[str, Any], code: int, reason: str) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", **message})
        seen.put(await receive())
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.send", "text": "late"})
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.close"})
        seen.put("refused")

    with host.connect(app) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert (client.close_code, client.close_reason) == (code, reason)
    message = seen.get(timeout=PATIENCE)
    assert (message["type"], message["code"], message["reason"]) == ("websocket.disconnect", code, reason)
    assert seen.get(timeout=PATIENCE) == "refused"


@differs("websockets-sansio", reason="raises, and closes without a Close frame")
def test_a_long_reason_is_cut_and_the_connection_closed(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000, "reason": "ä" * 100})

    with host.connect(app) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert (client.close_code, client.close_reason) == (4000, "ä" * 61)


def test_messages_that_cross_the_close_of_the_app_do_no_harm(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})

    with Raw(host, host.serve(app)) as client:
        assert client.open().frame() == Seen(CLOSE, close_payload(4000))
        for _ in range(100):
            client.send(BINARY, bytes(10_000))
        client.send(CLOSE, close_payload(4000))
        assert client.rest() == b""


@differs(*YARDSTICKS, reason="says 1005, as if a Close frame without a code had come; RFC 6455 7.1.5 says 1006")
def test_a_client_that_is_lost_is_1006(host: Host) -> None:
    seer = Seer()
    with Raw(host, host.serve(seer)) as client:
        client.open()
        seer.greeted()
    assert seer.farewell()[0] == 1006


def test_a_client_that_is_lost_before_accept_is_1006(host: Host) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.put(await receive())
        seen.put(await receive())
        with pytest.raises(OSError):  # noqa: PT011 - what the specification promises
            await send({"type": "websocket.accept"})
        seen.put("refused")

    with Raw(host, host.serve(app)):
        assert seen.get(timeout=PATIENCE) == {"type": "websocket.connect"}
    message = seen.get(timeout=PATIENCE)
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)
    assert seen.get(timeout=PATIENCE) == "refused"


def test_send_to_a_client_that_left_is_an_os_error_and_no_failure(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError:
            ended.set()
            raise

    with caplog.at_level(logging.ERROR, "uvicorn.error"), Raw(host, host.serve(app)) as client:
        client.open().send(CLOSE, close_payload(1000))
        client.rest()
        assert ended.wait(PATIENCE)
        with Raw(host, host.serve(echo)) as another:  # the task of the first has ended when this is answered
            another.open()
    assert caplog.records == []


@only_ours
def test_a_client_that_left_has_left_however_often_the_app_asks(host: Host) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            seen.put(await receive())

    with Raw(host, host.serve(app)) as client:
        client.open().send(CLOSE, close_payload(1000, b"bye"))
        client.rest()
    farewell = {"type": "websocket.disconnect", "code": 1000, "reason": "bye"}
    assert [seen.get(timeout=PATIENCE) for _ in range(3)] == [farewell] * 3


# Apps that fail.


class OopsError(Exception):
    pass


async def fails_at_once(scope: Any, receive: Any, send: Any) -> None:
    raise OopsError


async def returns_at_once(scope: Any, receive: Any, send: Any) -> None:
    await receive()


@pytest.mark.parametrize("app", [fails_at_once, returns_at_once])
def test_an_app_that_ends_without_an_answer_is_500_and_logged(
    host: Host, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "uvicorn.error"), Raw(host, host.serve(app)) as client:
        assert client.head()[0] == 500
        assert client.rest() == b"Internal Server Error"
        with Raw(host, host.serve(echo)) as another:  # by now, the first is known to have ended
            another.open()
    assert len(caplog.records) == 1


def fails(request: rfc6455.Request) -> bool:
    raise OopsError


class Failing(rfc6455_io.uvicorn.Protocol):
    origins = (fails,)


@pytest.mark.parametrize("http", HTTP)
def test_a_rule_that_fails_is_500_and_logged(http: str, caplog: pytest.LogCaptureFixture) -> None:
    """And the server can be stopped."""
    host = Host(http, Failing)  # type: ignore[arg-type]
    try:
        with (
            caplog.at_level(logging.WARNING, "uvicorn.error"),
            Raw(host, host.serve(echo), b"Origin: http://a\r\n") as client,
        ):
            assert client.head()[0] == 500
            assert client.rest() == b"Internal Server Error"
    finally:
        host.join()
    assert [record.getMessage() for record in caplog.records] == ["Exception in the WebSocket handshake for /0\n"]
    assert host.unhandled == []


class Telling(rfc6455_io.uvicorn.Protocol):
    tells_end = True


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize(
    ("ws", "error", "code"),
    [
        *[(ws, error, 1006) for ws in (OURS, *YARDSTICKS) for error in (OopsError, None)],
        (Telling, OopsError, 1011),
        (Telling, None, 1000),
    ],
)
def test_a_client_sees_that_the_app_has_ended(http: str, ws: Any, error: type[Exception] | None, code: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last words"})
        if error is not None:
            raise error

    host = Host(http, ws)
    try:
        with host.connect(app) as client:
            assert client.recv(PATIENCE) == "last words"
            with pytest.raises(ConnectionClosed):
                client.recv(PATIENCE)
            assert client.close_code == code
    finally:
        host.join()


@pytest.mark.parametrize("result", [None, "an answer"])
def test_what_an_app_returns_is_an_error_in_the_log(
    host: Host, caplog: pytest.LogCaptureFixture, result: str | None
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> str | None:
        await receive()
        await send({"type": "websocket.accept"})
        return result

    with caplog.at_level(logging.ERROR, "uvicorn.error"), Raw(host, host.serve(app)) as client:
        client.open().rest()
        with Raw(host, host.serve(echo)) as another:  # the task of the first has ended when this is answered
            another.open()
    expected = [] if result is None else ["ASGI callable should return None, but returned 'an answer'."]
    assert [record.message for record in caplog.records] == expected


def test_the_log_has_uvicorns_own_lines(new_host: Callable[..., Host], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(5, "uvicorn.error"):
        host = new_host(ws_ping_interval=0.05, ws_ping_timeout=0.05)
        with Raw(host, host.serve(Seer())) as client:
            client.open().rest()
            peer = "{}:{}".format(*client.sock.getsockname())
        host.join()
    lines = [record.message for record in caplog.records if peer in record.message and "http" not in record.pathname]
    assert lines == [
        f"{peer} - WebSocket connection made",
        f'{peer} - "WebSocket /0" [accepted]',
        f"{peer} - WebSocket keepalive ping timeout",
        f"{peer} - WebSocket connection lost",
    ]


def test_a_message_that_cannot_be_sent_leaves_the_connection_as_it_was(host: Host) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for wrong in ({"type": "websocket.accept"}, {"type": "no.such.type"}):
            with pytest.raises(RuntimeError):
                await send(wrong)
        with pytest.raises(Exception, match=r"."):
            await send({"type": "websocket.send", "text": "\udc80"})
        await send({"type": "websocket.send", "text": "still here"})
        await receive()

    with host.connect(app) as client:
        assert client.recv(PATIENCE) == "still here"


# The server stops.


def test_a_stopping_server_says_1012_to_both(new_host: Callable[..., Host]) -> None:
    host = new_host()
    seer = Seer()
    with host.connect(seer) as client:
        seer.greeted()
        host.stop()
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1012
        assert seer.farewell() == (1012, "")
    host.join()


def test_a_stopping_server_answers_500_to_who_waits(new_host: Callable[..., Host]) -> None:
    host = new_host()
    seen: queue.Queue[Any] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.put(await receive())
        seen.put(await receive())

    with Raw(host, host.serve(app)) as client:
        assert seen.get(timeout=PATIENCE) == {"type": "websocket.connect"}
        host.stop()
        assert client.head()[0] == 500
        assert seen.get(timeout=PATIENCE)["code"] == 1006
    host.join()


@only_ours
@pytest.mark.usefixtures("short_grace")
def test_a_stopping_server_waits_a_moment_only(new_host: Callable[..., Host]) -> None:
    """The client does not answer the Close frame, the app does not end: one is cut, the other cancelled."""
    host = new_host(timeout_graceful_shutdown=1)
    cancelled = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with Raw(host, host.serve(app)) as client:
        client.open()
        host.stop()
        assert client.frame() == Seen(CLOSE, close_payload(1012))
        assert client.rest() == b""
        host.join()
    assert cancelled.is_set()


# Starlette, and the program as README.md starts it.


def test_a_starlette_app_runs_on_it(host: Host) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    async def talk(ws: WebSocket) -> None:
        if ws.query_params.get("name") != "Ann":
            await ws.send_denial_response(PlainTextResponse("who?", 401, {"x-why": "no name"}))
            return
        await ws.accept(subprotocol="chat", headers=[(b"x-room", ws.path_params["room"].encode())])
        try:
            while True:
                await ws.send_json({"you said": await ws.receive_text()})
        except WebSocketDisconnect as left:
            seen.put((left.code, left.reason))

    host.apps["/talk/club"] = Starlette(routes=[WebSocketRoute("/talk/{room}", talk)])
    uri = f"{host.uri}/talk/club"
    with connect(f"{uri}?name=Ann", subprotocols=["chat"]) as client:
        assert client.response is not None
        assert (client.subprotocol, client.response.headers["x-room"]) == ("chat", "club")
        client.send("hello")
        assert client.recv(PATIENCE) == '{"you said":"hello"}'
        client.close(4000, "enough")
    assert seen.get(timeout=PATIENCE) == (4000, "enough")
    with pytest.raises(InvalidStatus) as denied:
        connect(uri)
    response = denied.value.response
    assert (response.status_code, response.body, response.headers["x-why"]) == (401, b"who?", "no name")


@only_ours
@pytest.mark.usefixtures("short_grace")
def test_over_tls_the_scheme_is_wss(new_host: Callable[..., Host], certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    host = new_host(ssl_certfile=chain, ssl_keyfile=key, ws_max_size=100_000)
    schemes: queue.Queue[str] = queue.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        schemes.put(scope["scheme"])
        await echo(scope, receive, send)

    context = ssl.create_default_context(cafile=chain)
    uri = f"wss://localhost:{host.port}{host.serve(app)}"
    with (
        socket.create_connection(("127.0.0.1", host.port), timeout=PATIENCE) as sock,
        connect(uri, sock=sock, ssl=context) as client,
    ):
        client.send("x" * 100_000)
        assert client.recv(PATIENCE) == "x" * 100_000
        client.send("x" * 100_001)
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1009
    assert schemes.get(timeout=PATIENCE) == "wss"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    try:
        subprocess.run(
            [*command, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", chain],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
    except FileNotFoundError:
        pytest.skip("there is no openssl")
    return chain, key


def documented_command() -> list[str]:
    """The command in the example's docstring."""
    command = re.search(r"^ +uvicorn (.*)$", APP.read_text(encoding="utf-8"), re.MULTILINE)
    assert command is not None
    return command[1].split()


def test_the_command_of_the_example_runs_from_a_clone() -> None:
    root = APP.parents[1]
    command = [sys.executable, "-m", "uvicorn", *documented_command(), "--port", "0"]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(line for line in process.stderr if "running on http" in line)
            uri = address.partition("http")[2].split()[0].replace("://", "ws://")
            with connect(f"{uri}/echo", subprotocols=["echo"]) as client:
                client.send("hello")
                client.send(b"\x00")
                assert (client.subprotocol, client.recv(PATIENCE), client.recv(PATIENCE)) == ("echo", "hello", b"\x00")
            with connect(f"{uri}/room/a?name=Ann") as ann, connect(f"{uri}/room/a?name=Bob") as bob:
                ann.send("hello")
                assert bob.recv(PATIENCE) == "Ann: hello"
            with pytest.raises(InvalidStatus):
                connect(f"{uri}/room/a")
        finally:
            process.terminate()
            log = process.stderr.read()
        assert process.wait(PATIENCE) in (0, -15)
    assert "Traceback" not in log


def test_no_room_outlives_its_last_member() -> None:
    spec = importlib.util.spec_from_file_location("uvicorn_example_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seen: list[list[int]] = []

    async def visit(room: str, stay: asyncio.Event) -> None:
        messages = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

        async def receive() -> Any:
            if len(messages) == 1:
                await stay.wait()
            return messages.pop(0)

        async def send(message: Any) -> None:
            assert message["type"] == "websocket.accept"

        scope = {"type": "websocket", "path": f"/room/{room}", "query_string": b"name=Ann", "headers": []}
        await module.app(scope, receive, send)

    def look() -> None:
        seen.append([len(members) for members in module.rooms.values()])

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        visits = [asyncio.ensure_future(visit("a", leave)) for leave in (first, second)]
        for leave, left in zip((first, second), visits, strict=True):
            for _ in range(10):
                await asyncio.sleep(0)
            look()
            leave.set()
            await left
        look()

    asyncio.run(main())
    assert seen == [[2], [1], []]
