"""Clients and servers of other libraries over real sockets, with default arguments: the default answer must work.

Each client sends the same messages, with the same text again and again, so that a context is detected that only one
end keeps. RFC 7692 allows a server to ask for more than some clients understand, but all of these do what is asked by
default. A client that is not installed is skipped by name. (Browsers: ``tests/browser/test_deflate.py``.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from echo_server import PATIENCE, EchoServer

from rfc6455 import BytesMessage, ClientHandshake, Closed, Endpoint, PerMessageDeflate, TextMessage, Timeouts

pytestmark = pytest.mark.processes

HERE = Path(__file__).parent / "clients"
NODE_MODULES = Path(__file__).parents[2] / "node_modules"

Message = str | bytes


def messages() -> list[Message]:
    """What each client says. Those in other languages have the same list."""
    text = "compress me, é漢🙂, " * 100
    data = bytes((at * at >> 8) & 255 for at in range(100_000))
    return [text, text, "", "short", text + "!", data, text, data, b"", bytes(100_000)]


@pytest.fixture
def serve() -> Iterator[Callable[[Sequence[PerMessageDeflate]], EchoServer]]:
    servers: list[EchoServer] = []

    def start(extensions: Sequence[PerMessageDeflate]) -> EchoServer:
        servers.append(EchoServer(extensions))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


# ---- Clients ----

Talk = Callable[[str], None]


def check_echo(got: Sequence[object]) -> None:
    assert list(got) == messages()


def websockets_asyncio(url: str) -> None:
    client = pytest.importorskip("websockets.asyncio.client")

    async def talk() -> None:
        async with client.connect(url) as ws:
            got = []
            for message in messages():
                await ws.send(message)
                got.append(await ws.recv())
        check_echo(got)

    asyncio.run(talk())


def websockets_threads(url: str) -> None:
    client = pytest.importorskip("websockets.sync.client")
    with client.connect(url) as ws:
        got = []
        for message in messages():
            ws.send(message)
            got.append(ws.recv())
    check_echo(got)


def aiohttp_with(**options: Any) -> Talk:
    def run(url: str) -> None:
        aiohttp = pytest.importorskip("aiohttp")

        async def talk() -> None:
            async with aiohttp.ClientSession() as session, session.ws_connect(url, **options) as ws:
                got = []
                for message in messages():
                    await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
                    got.append((await ws.receive()).data)
            check_echo(got)

        asyncio.run(talk())

    return run


def tornado_with(**options: Any) -> Talk:
    def run(url: str) -> None:
        websocket = pytest.importorskip("tornado.websocket")

        async def talk() -> None:
            ws = await websocket.websocket_connect(url, **options)
            got = []
            for message in messages():
                await ws.write_message(message, binary=isinstance(message, bytes))
                got.append(await ws.read_message())
            ws.close(1000, "done")
            assert await ws.read_message() is None
            check_echo(got)

        asyncio.run(talk())

    return run


def picows(url: str) -> None:
    try:
        import picows as library
    except ImportError:
        pytest.skip("picows is not installed")

    class Listener(library.WSListener):  # type: ignore[name-defined,misc]
        def on_ws_connected(self, transport: Any) -> None:
            self.waiting = messages()
            self.got: list[object] = []
            self.say(transport)

        def say(self, transport: Any) -> None:
            message = self.waiting.pop(0)
            kind = library.WSMsgType.TEXT if isinstance(message, str) else library.WSMsgType.BINARY
            transport.send(kind, message.encode() if isinstance(message, str) else message)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == library.WSMsgType.CLOSE:
                transport.disconnect()
                return
            is_text = frame.msg_type == library.WSMsgType.TEXT
            self.got.append(frame.get_payload_as_utf8_text() if is_text else frame.get_payload_as_bytes())
            if self.waiting:
                self.say(transport)
            else:
                transport.send_close(library.WSCloseCode.OK, b"done")

    async def talk() -> None:
        transport, listener = await library.ws_connect(Listener, url)
        await transport.wait_disconnected()
        check_echo(listener.got)

    asyncio.run(talk())


def websocket_client(url: str) -> None:
    websocket = pytest.importorskip("websocket", reason="websocket-client is not installed")
    ws = websocket.create_connection(url, timeout=PATIENCE)
    got = []
    for message in messages():
        ws.send(message) if isinstance(message, str) else ws.send_binary(message)
        got.append(ws.recv())
    ws.close(timeout=PATIENCE)
    check_echo(got)


def libcurl(url: str) -> None:
    try:
        import pycurl
    except ImportError:
        pytest.skip("pycurl is not installed")
    if not hasattr(pycurl.Curl, "ws_send"):
        pytest.skip(f"{pycurl.version} has no WebSocket")
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.CONNECT_ONLY, 2)
    curl.perform()
    got = [exchanged(curl, message) for message in messages()]
    curl.ws_send((1000).to_bytes(2, "big"), pycurl.WS_CLOSE)
    curl.close()
    check_echo(got)


def exchanged(curl: Any, message: Message) -> Message:
    """Send a message and wait for the whole of the next."""
    import pycurl

    rest = message.encode() if isinstance(message, str) else message
    kind = pycurl.WS_TEXT if isinstance(message, str) else pycurl.WS_BINARY
    while True:
        sent = retried(curl, lambda rest=rest: curl.ws_send(rest, kind))
        rest = rest[sent:]
        if not rest:
            break
    came = b""
    while True:
        part, meta = retried(curl, lambda: curl.ws_recv(65_536))
        came += part
        if not meta.bytesleft:
            return came.decode() if meta.flags & pycurl.WS_TEXT else came


def retried(curl: Any, call: Callable[[], Any]) -> Any:
    """Call until its socket, which does not block, has let it through."""
    import pycurl

    sock = curl.getinfo(pycurl.ACTIVESOCKET)
    while True:
        with contextlib.suppress(BlockingIOError):
            return call()
        assert select.select([sock], [], [], PATIENCE)[0], "libcurl waits for nothing"


def program(*command: str) -> Talk:
    """A client that is a program of its own."""

    def run(url: str) -> None:
        told = json.loads(run_program([*command, url]))
        assert (told["equal"], told["code"]) == (len(messages()), 1000)

    return run


def run_program(command: Sequence[str]) -> str:
    done = subprocess.run(
        [found(command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | {"NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def found(name: str) -> str:
    """Where a program is: on the path, or brought by npm."""
    path = shutil.which(name) or shutil.which(name, path=NODE_MODULES / ".bin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def javascript(package: str, kind: str) -> Talk:
    def run(url: str) -> None:
        if not (NODE_MODULES / package).is_dir():
            pytest.skip(f"the npm package {package} is not installed")
        program("node", str(HERE / "talk.mjs"), kind)(url)

    return run


def node_alone(url: str) -> None:
    """Node's own, which Node 20 has behind an option and Node 22 without."""
    version = int(subprocess.check_output([found("node"), "--version"], text=True)[1:].split(".")[0])
    if version < 20:
        pytest.skip(f"Node {version} has no WebSocket")
    options = ["--experimental-websocket"] if version < 22 else []
    program("node", *options, str(HERE / "talk.mjs"), "own")(url)


class Client(NamedTuple):
    """A client, and whether it offers compression."""

    talk: Talk
    offers: bool


CLIENTS = {
    "websockets, asyncio": Client(websockets_asyncio, True),
    "websockets, threads": Client(websockets_threads, True),
    "aiohttp": Client(aiohttp_with(), False),
    "aiohttp, compress=15": Client(aiohttp_with(compress=15), True),
    "tornado": Client(tornado_with(), False),
    "tornado, compression_options={}": Client(tornado_with(compression_options={}), True),
    "picows": Client(picows, False),
    "websocket-client": Client(websocket_client, False),
    "libcurl": Client(libcurl, False),
    "ws": Client(javascript("ws", "ws"), True),
    "ws, perMessageDeflate: false": Client(javascript("ws", "plain"), False),
    "undici": Client(javascript("undici", "undici"), True),
    "Node": Client(node_alone, True),
    "Bun": Client(program("bun", str(HERE / "talk.mjs"), "own"), True),
    "Deno": Client(program("deno", "run", "--allow-net", str(HERE / "talk.mjs"), "own"), False),
    "Java": Client(program("java", str(HERE / "Talk.java")), False),
}


# They read compressed messages, and send others.
DOES_NOT_COMPRESS = {"undici", "Node"}


@pytest.mark.parametrize("compression", [True, False], ids=["compression", "none"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_with_our_server(
    serve: Callable[[Sequence[PerMessageDeflate]], EchoServer], name: str, compression: bool
) -> None:
    client = CLIENTS[name]
    server = serve([PerMessageDeflate()] if compression else [])
    client.talk(server.url)
    connection, closed = server.ended()
    assert closed.clean, closed
    assert server.content == sum(len(said.encode() if isinstance(said, str) else said) for said in messages())
    assert (server.offer is not None) == client.offers
    if compression and client.offers:
        # So far each client that compresses offers this, and nothing else.
        assert server.offer == "permessage-deflate; client_max_window_bits"
        assert server.answer == "permessage-deflate; server_no_context_takeover; client_max_window_bits=11"
        assert (connection.bytes_received < server.content) == (name not in DOES_NOT_COMPRESS)
    else:
        assert server.answer is None


# ---- Servers ----

Serve = Callable[[Callable[[str], None]], None]


def websockets_server(use: Callable[[str], None]) -> None:
    server = pytest.importorskip("websockets.sync.server")

    def echo(ws: Any) -> None:
        for message in ws:
            ws.send(message)

    with server.serve(echo, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            use(f"ws://127.0.0.1:{running.socket.getsockname()[1]}/")
        finally:
            running.shutdown()
            thread.join(PATIENCE)


def aiohttp_server(use: Callable[[str], None]) -> None:
    web = pytest.importorskip("aiohttp.web")

    async def echo(request: Any) -> Any:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await (ws.send_str(message.data) if isinstance(message.data, str) else ws.send_bytes(message.data))
        return ws

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", echo)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            await asyncio.to_thread(use, f"ws://127.0.0.1:{port}/")
        finally:
            await runner.cleanup()

    asyncio.run(main())


def tornado_server(use: Callable[[str], None]) -> None:
    web = pytest.importorskip("tornado.web")
    websocket = pytest.importorskip("tornado.websocket")
    netutil = pytest.importorskip("tornado.netutil")
    httpserver = pytest.importorskip("tornado.httpserver")

    class Echo(websocket.WebSocketHandler):  # type: ignore[name-defined,misc]
        def get_compression_options(self) -> dict[str, Any]:
            return {}

        def on_message(self, message: str | bytes) -> None:
            self.write_message(message, binary=isinstance(message, bytes))

    async def main() -> None:
        server = httpserver.HTTPServer(web.Application([("/", Echo)]))
        sockets = netutil.bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        try:
            await asyncio.to_thread(use, f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/")
        finally:
            server.stop()
            await server.close_all_connections()

    asyncio.run(main())


def javascript_server(*command: str) -> Serve:
    def serve(use: Callable[[str], None]) -> None:
        if command[0] == "node" and not (NODE_MODULES / "ws").is_dir():
            pytest.skip("the npm package ws is not installed")
        with subprocess.Popen([found(command[0]), *command[1:]], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                use(f"ws://127.0.0.1:{int(process.stdout.readline())}/")
            finally:
                process.kill()

    return serve


SERVERS: dict[str, Serve] = {
    "websockets": websockets_server,
    "aiohttp": aiohttp_server,
    "tornado": tornado_server,
    "ws": javascript_server("node", str(HERE / "echo.mjs")),
    "Bun": javascript_server("bun", str(HERE / "echo.mjs")),
}


@pytest.mark.parametrize("compression", [True, False], ids=["compression", "none"])
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_with_our_client(name: str, compression: bool) -> None:
    def use(url: str) -> None:
        extensions = [PerMessageDeflate()] if compression else []
        handshake = ClientHandshake(url, extensions=extensions)
        ws = Endpoint(handshake, Timeouts.NONE, now=0.0)
        waiting, got = messages(), []
        closed = None
        with socket.create_connection((handshake.uri.host, handshake.uri.port), timeout=PATIENCE) as sock:
            sock.sendall(ws.data_to_send())
            while not ws.finished:
                for event in ws.events(sock.recv(65_536), now=0.0):
                    match event:
                        case TextMessage(text):
                            got.append(text)
                        case BytesMessage(data):
                            got.append(data)
                        case Closed():
                            closed = event
                            continue
                    if waiting:
                        say(ws, waiting.pop(0))
                    else:
                        ws.close()
                sock.sendall(ws.data_to_send())
        assert closed is not None
        assert closed.clean, closed
        check_echo(got)
        assert ws.connection is not None
        assert bool(ws.connection.extensions) is compression

    SERVERS[name](use)


def say(ws: Endpoint, message: Message) -> None:
    if isinstance(message, str):
        ws.send_text(message)
    else:
        ws.send_bytes(message)
