"""`rfc6455_io.asyncio.connect` over real sockets: TLS, redirects, proxies, and why a client gives up."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from helpers import CLOSE, TEXT
from io_loops import BOTH_LOOPS, REFUSING_PROXIES, clock, echo, run

import rfc6455
from rfc6455 import CloseCause, ConnectionClosedError, HandshakeError, Headers, Request, Response, Timeouts
from rfc6455_io.asyncio import Listener, ProxyError, Server, WebSocket, connect, serve

pytestmark = pytest.mark.usefixtures("no_proxies")


def uri(server: Server, path: str = "/", scheme: str = "ws") -> str:
    return f"{scheme}://localhost:{server.port}{path}"


async def check_echo(connecting: Any) -> None:
    async with connecting as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"


@BOTH_LOOPS
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_connection_from_its_beginning_to_its_end(loop: str, secure: bool, contexts: Any) -> None:
    async def main() -> None:
        server_ssl, client_ssl = contexts if secure else (None, None)
        async with serve(echo, "localhost", 0, ssl=server_ssl, subprotocols=["v1"], timeouts=Timeouts.NONE) as server:
            scheme = "wss" if secure else "ws"
            async with connect(
                uri(server, "/a?b", scheme),
                ssl=client_ssl,
                subprotocols=["v2", "v1"],
                headers={"X-Name": "Ann"},
                extensions=[rfc6455.PerMessageDeflate()],
                timeouts=Timeouts.NONE,
            ) as ws:
                assert (ws.request.path, ws.request.headers["X-Name"]) == ("/a", "Ann")
                assert (ws.response.status, ws.subprotocol) == (101, "v1")
                assert ws.get_extra_info("peername")[1] == server.port
                for message in ("x" * 1_000_000, b"\0" * 1_000_000, ""):
                    await ws.send(message)
                    assert await ws.recv() == message
                assert await ws.ping() < 30
            assert ws.end is not None
            assert (ws.end.code, ws.end.clean) == (1000, True)
            ws = await connect(uri(server, "/", scheme), ssl=client_ssl)
            await ws.close(4000)
            assert (await ws.wait_closed()).code == 4000

    run(main(), loop)


@BOTH_LOOPS
def test_a_listener(loop: str) -> None:
    class Once(Listener):
        def __init__(self) -> None:
            self.said: asyncio.Future[str | bytes] = asyncio.get_running_loop().create_future()
            self.over: asyncio.Future[rfc6455.Closed] = asyncio.get_running_loop().create_future()

        def opened(self, head: Request | Response) -> None:
            self.send("hello")

        def message(self, message: str | bytes) -> None:
            self.said.set_result(message)

        def closed(self, closed: rfc6455.Closed) -> None:
            self.over.set_result(closed)

    async def main() -> None:
        async with serve(echo, "localhost", 0) as server:
            async with connect(uri(server), Once) as listener:
                assert await listener.said == "hello"
            assert (await listener.over).clean

    run(main(), loop)


@BOTH_LOOPS
def test_a_body_that_fails_closes_with_1011(loop: str) -> None:
    ends = []

    async def handler(ws: WebSocket) -> None:
        ends.append(await ws.wait_closed())

    async def main() -> None:
        async with serve(handler, "localhost", 0) as server:
            with pytest.raises(KeyError):
                async with connect(uri(server)):
                    raise KeyError
        assert [closed.code for closed in ends] == [1011]

    run(main(), loop)


@BOTH_LOOPS
def test_a_refusal_tells_all_that_is_known(loop: str) -> None:
    def refuse(request: Request) -> Response:
        return Response(401, Headers({"WWW-Authenticate": "Bearer"}), b"who are you?")

    async def main() -> None:
        async with serve(echo, "localhost", 0, process_request=refuse) as server:
            with pytest.raises(HandshakeError) as caught:
                await connect(uri(server))
        assert caught.value.cause is CloseCause.OPENING_REFUSED
        assert caught.value.response is not None
        assert (caught.value.status, caught.value.response.body) == (401, b"who are you?")

    run(main(), loop)


@contextlib.asynccontextmanager
async def tcp(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
    **how: Any,
) -> AsyncIterator[int]:
    """Run a server of any kind, and yield its port. Its handlers have ended when it has."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # asyncio would log it
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **how)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(answer: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return handler


@BOTH_LOOPS
@pytest.mark.parametrize(
    ("answer", "cause"), [(b"", CloseCause.OPENING_EOF), (b"SSH-2.0-OpenSSH\r\n\r\n", CloseCause.OPENING_INVALID)]
)
def test_an_answer_that_makes_no_sense(loop: str, answer: bytes, cause: CloseCause) -> None:
    async def main() -> None:
        async with tcp(answering(answer)) as port:
            with pytest.raises(HandshakeError) as caught:
                await connect(f"ws://127.0.0.1:{port}/")
        assert caught.value.cause is cause

    run(main(), loop)


@pytest.mark.parametrize("seconds", [10.0, None])
def test_a_time_out_of_the_system_keeps_its_own_words(seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def create_connection(*_: Any, **__: Any) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "Connect call failed")

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
        with pytest.raises(TimeoutError, match="Connect call failed"):
            await connect("ws://127.0.0.1:1/", timeouts=Timeouts(open=seconds))

    run(main(), "asyncio")


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


def test_the_error_names_the_server_that_says_nothing() -> None:
    async def main() -> None:
        async with tcp(say_nothing) as port:
            with pytest.raises(TimeoutError, match=f"^the connection to 127.0.0.1:{port} was not open within 0.1 s$"):
                await connect(f"wss://127.0.0.1:{port}/?token=secret", timeouts=Timeouts(open=0.1))

    run(main())


def test_a_server_that_says_nothing() -> None:
    async def main() -> None:
        async with tcp(say_nothing) as port:
            connecting = asyncio.ensure_future(_open(connect(f"ws://127.0.0.1:{port}/", timeouts=Timeouts(open=7))))
            await asyncio.sleep(0)
            clock().ahead += 7
            with pytest.raises(TimeoutError, match="was not open within 7 s"):
                await connecting

    run(main())


@BOTH_LOOPS
def test_a_client_that_was_refused_leaves_at_once(loop: str) -> None:
    """It does not wait for the server to close, since its loop may end with it."""

    async def main() -> None:
        left = asyncio.Event()

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            try:
                while True:
                    writer.write(b"?")
                    await writer.drain()
                    await asyncio.sleep(0)
            except ConnectionError:
                left.set()

        async with tcp(refuse) as port:
            with pytest.raises(HandshakeError, match="403"):
                await connect(f"ws://127.0.0.1:{port}/", proxy=None, timeouts=Timeouts(tcp_close=1000))
            await asyncio.wait_for(left.wait(), 10)

    run(main(), loop)


@BOTH_LOOPS
@pytest.mark.parametrize("answer", [b"", b"who are"], ids=["no body", "half a body"])
def test_a_refusal_is_reported_though_its_body_does_not_end(loop: str, answer: bytes) -> None:
    """The status is known, so the timeout for its body is short, and not that of the whole opening."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n" + answer)
        await reader.read(-1)

    async def main() -> None:
        async with tcp(refuse) as port:
            with pytest.raises(HandshakeError) as caught:
                await connect(f"ws://127.0.0.1:{port}/", timeouts=Timeouts(open=None, body=0.01))
        assert (caught.value.status, caught.value.cause) == (401, CloseCause.OPENING_REFUSED)
        response = caught.value.response
        assert response is not None
        assert (response.headers["WWW-Authenticate"], response.body) == ("Basic", answer)

    run(main(), loop)


async def _open(connecting: Any) -> Any:
    return await connecting


@BOTH_LOOPS
def test_a_connect_that_is_cancelled_leaves_nothing(loop: str) -> None:
    async def main() -> None:
        gone = asyncio.Event()
        asked = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            with contextlib.suppress(OSError):
                await reader.read(-1)
            gone.set()

        async with tcp(handler) as port:
            connecting = asyncio.ensure_future(_open(connect(f"ws://127.0.0.1:{port}/")))
            await asked.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await gone.wait()

    run(main(), loop)


@BOTH_LOOPS
def test_a_server_that_ends_the_stream_instead_of_tls(loop: str) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write_eof()
        await reader.read()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(end, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionResetError, match="the peer ended the stream before TLS was open"):
                await connect(f"wss://127.0.0.1:{port}/")
            await asyncio.sleep(0)

    run(main(), loop)


@BOTH_LOOPS
def test_where_nobody_listens(loop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

    async def main() -> None:
        with pytest.raises(OSError):  # noqa: PT011
            await connect(f"ws://127.0.0.1:{port}/")

    run(main(), loop)


def test_a_certificate_that_is_not_trusted(contexts: Any) -> None:
    async def main() -> None:
        async with serve(echo, "localhost", 0, ssl=contexts[0]) as server:
            with pytest.raises(OSError, match=r"(?i)certificate"):
                await connect(uri(server, scheme="wss"))

    run(main())


def test_a_socket_of_ones_own_and_one_of_unix(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            sock = socket.create_connection(("127.0.0.1", server.port))
            await check_echo(connect("ws://somewhere.example/", sock=sock))
        path = str(tmp_path / "socket")
        async with serve(echo, path=path):
            await check_echo(connect("ws://localhost/", path=path))

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are never eager")
def test_a_name_is_reached_with_eager_tasks() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        async with serve(echo, "localhost", 0) as server, connect(uri(server)) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"

    run(main())


def test_what_is_wrong_is_said_at_once() -> None:
    with pytest.raises(rfc6455.LocalProtocolError):
        connect("http://localhost/")
    with pytest.raises(ValueError, match="wss:"):
        connect("ws://localhost/", ssl=make_any_context())
    with pytest.raises(TypeError, match="limits"):
        connect("ws://localhost/", limits=5)  # type: ignore[call-overload]


def make_any_context() -> Any:
    import ssl

    return ssl.create_default_context()


# ---- Redirects ----


def redirecting(to: dict[str, str], seen: list[Request]) -> Callable[[Request], Response | None]:
    def process(request: Request) -> Response | None:
        seen.append(request)
        if request.path in to:
            return Response(307, Headers({"Location": to[request.path]}))
        return None

    return process


@BOTH_LOOPS
def test_redirects_are_followed_up_to_a_limit(loop: str) -> None:
    async def main() -> None:
        seen: list[Request] = []
        to = {"/a": "/b?c", "/b": "d/../e", "/round": "/round"}
        async with serve(echo, "localhost", 0, process_request=redirecting(to, seen)) as server:
            await check_echo(connect(uri(server, "/a"), headers={"Authorization": "Bearer 1"}))
            assert [request.target for request in seen] == ["/a", "/b?c", "/e"]
            assert all(request.headers["Authorization"] == "Bearer 1" for request in seen)
            for redirects in (0, 3):
                seen.clear()
                with pytest.raises(HandshakeError) as caught:
                    await connect(uri(server, "/round"), redirects=redirects)
                assert (caught.value.status, len(seen)) == (307, redirects + 1)

    run(main(), loop)


def test_credentials_go_to_no_other_origin() -> None:
    async def main() -> None:
        seen: list[Request] = []
        async with serve(echo, "localhost", 0, process_request=redirecting({}, seen)) as other:
            there = f"localhost:{other.port}"
            to = {"/a": f"http://{there}/b"}
            async with serve(echo, "localhost", 0, process_request=redirecting(to, [])) as server:
                secrets = {"Authorization": "Bearer 1", "Cookie": "a=1", "X-Key": "2"}
                await check_echo(connect(uri(server, "/a"), headers=secrets, subprotocols=["v1"]))
        (request,) = seen
        assert not {"authorization", "cookie", "x-key"} & {name.lower() for name, _ in request.headers}
        assert request.subprotocols == ["v1"]
        assert request.host == there

    run(main())


def test_tls_is_not_given_up(contexts: Any) -> None:
    async def main() -> None:
        seen: list[Request] = []
        async with serve(echo, "localhost", 0, process_request=redirecting({}, seen)) as plain:
            to = {"/a": uri(plain)}
            process = redirecting(to, [])
            async with serve(echo, "localhost", 0, ssl=contexts[0], process_request=process) as server:
                with pytest.raises(rfc6455.LocalProtocolError, match="TLS"):
                    await connect(uri(server, "/a", "wss"), ssl=contexts[1])
        assert not seen

    run(main())


# ---- Proxies ----


class HttpProxy:
    """A proxy that knows CONNECT."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        writer.write(self.answer)
        if b" 200 " not in self.answer:
            return
        host, _, port = head.split()[1].rpartition(b":")
        up_reader, up_writer = await asyncio.open_connection(host.decode(), int(port))
        try:
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        finally:
            up_writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@BOTH_LOOPS
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_through_a_proxy(loop: str, secure: bool, contexts: Any) -> None:
    async def main() -> None:
        proxy = HttpProxy()
        server_ssl, client_ssl = contexts if secure else (None, None)
        async with serve(echo, "localhost", 0, ssl=server_ssl) as server, tcp(proxy) as port:
            target = uri(server, scheme="wss" if secure else "ws")
            await check_echo(connect(target, ssl=client_ssl, proxy=f"http://127.0.0.1:{port}"))
            assert proxy.heads[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n".encode())
            assert b"authorization" not in proxy.heads[0].lower()
            with_password = f"http://Ann:se%20cret@127.0.0.1:{port}"
            await check_echo(connect(target, ssl=client_ssl, proxy=with_password, headers={"Authorization": "1"}))
            secret = b64encode(b"Ann:se cret")
            assert b"Proxy-Authorization: Basic " + secret + b"\r\n" in proxy.heads[1]
            assert b"\r\nAuthorization" not in proxy.heads[1]

    run(main(), loop)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio had no TLS within TLS before 3.11")
def test_through_a_proxy_by_tls(contexts: Any) -> None:
    async def main() -> None:
        server_ssl, client_ssl = contexts
        async with serve(echo, "localhost", 0, ssl=server_ssl) as server, tcp(HttpProxy(), ssl=server_ssl) as port:
            proxy = f"https://localhost:{port}"
            await check_echo(connect(uri(server, scheme="wss"), ssl=client_ssl, proxy=proxy, proxy_ssl=client_ssl))

    run(main())


@REFUSING_PROXIES
def test_a_proxy_that_does_not_let_us_through(answer: bytes, status: int | None) -> None:
    async def main() -> None:
        async with tcp(HttpProxy(answer)) as port:
            with pytest.raises(ProxyError) as caught:
                await connect("wss://example.com/", proxy=f"http://Ann:secret@127.0.0.1:{port}")
        response = caught.value.response
        assert (None if response is None else response.status) == status
        assert "secret" not in str(caught.value)

    run(main())


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        proxy = HttpProxy()
        async with serve(echo, "localhost", 0) as server, tcp(proxy) as port:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
            await check_echo(connect(uri(server)))
            assert len(proxy.heads) == 1
            await check_echo(connect(uri(server), proxy=None))
            monkeypatch.setenv("no_proxy", "example.com,localhost")
            await check_echo(connect(uri(server)))
            assert len(proxy.heads) == 1

    run(main())


@pytest.mark.parametrize("url", ["ftp://proxy", "http://", "http://Ann:secret@:1"])
def test_a_proxy_that_is_none(url: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="URL of a proxy") as caught:
            await connect("ws://localhost:1/", proxy=url)
        assert "secret" not in str(caught.value)

    run(main())


async def socks5(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 1928, for a client that has no password and names its server."""
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    _, _, _, kind = await reader.readexactly(4)
    assert kind == 3, "the proxy is to look the name up"
    name = await reader.readexactly((await reader.readexactly(1))[0])
    port = int.from_bytes(await reader.readexactly(2), "big")
    up_reader, up_writer = await asyncio.open_connection(name.decode(), port)
    writer.write(b"\x05\x00\x00\x01\0\0\0\0\0\0")
    try:
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
    finally:
        up_writer.close()


@BOTH_LOOPS
def test_through_socks(loop: str) -> None:
    pytest.importorskip("python_socks")

    async def main() -> None:
        async with serve(echo, "localhost", 0) as server, tcp(socks5) as port:
            await check_echo(connect(uri(server), proxy=f"socks5h://127.0.0.1:{port}"))
        async with tcp(hang_up) as port:
            with pytest.raises(ProxyError):
                await connect("ws://localhost:1/", proxy=f"socks5h://127.0.0.1:{port}")

    run(main(), loop)


# ---- Both ends ----


@BOTH_LOOPS
def test_two_ends_that_each_send_a_large_message_at_once(loop: str) -> None:
    """T5."""
    size = 4 << 20

    async def talk(ws: WebSocket) -> None:
        await ws.send(bytes(size))
        assert len(await ws.recv()) == size

    async def main() -> None:
        limits = rfc6455.Limits(message=size)
        async with (
            serve(talk, "localhost", 0, limits=limits) as server,
            connect(uri(server), limits=limits) as ws,
        ):
            await talk(ws)
            with pytest.raises(ConnectionClosedError):
                await ws.recv()

    run(main(), loop)


def test_frames_that_come_with_the_answer_are_not_lost() -> None:
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            key = next(line[19:] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
            accept = rfc6455.accept_key(key.decode())
            answer = f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
            writer.write(answer.encode() + b"\r\n\r\n" + bytes([0x80 | TEXT, 2]) + b"hi" + bytes([0x80 | CLOSE, 0]))
            await reader.read(-1)

        async with tcp(handler) as port:
            ws = await connect(f"ws://127.0.0.1:{port}/")
            assert [message async for message in ws] == ["hi"]
            await ws.close()

    run(main())
