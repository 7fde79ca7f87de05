"""Mistakes of callers of `serve` and `connect`: they are reported immediately, on asyncio and for threads alike, by
messages that say what to pass.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from fractions import Fraction
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

import rfc6455_io.asyncio
import rfc6455_io.threads
from rfc6455 import (
    ConnectionClosedError,
    HandshakeError,
    LocalProtocolError,
    PreparedMessage,
    Request,
    Response,
    Timeouts,
)

pytestmark = pytest.mark.usefixtures("no_proxies", "all_threads_end")

BOTH = pytest.mark.parametrize("module", [rfc6455_io.asyncio, rfc6455_io.threads], ids=["asyncio", "threads"])


class Wrong(str):
    """An argument of the wrong type."""


class Handler:
    """A class whose objects are called, and are coroutine functions for asyncio."""

    async def __call__(self, ws: Any) -> None:
        """Do nothing."""


async def coroutine_function(ws: Any) -> None:
    """Do nothing."""


def function(ws: Any) -> None:
    """Do nothing."""


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


async def asynchronous_generator(ws: Any) -> AsyncIterator[None]:
    yield


def generator(ws: Any) -> Iterator[None]:
    yield


HANDLER = {rfc6455_io.asyncio: coroutine_function, rfc6455_io.threads: function}


@pytest.fixture
def plain_socket() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


# ---- serve() ----

SERVE = {
    "host": ({"host": 8765}, TypeError, "host is a name or an address, a sequence of them, or None, not 8765"),
    "hosts": ({"host": ["::1", 5]}, TypeError, "host is a name or an address"),
    "bytes": ({"host": b"localhost"}, TypeError, "host is a name or an address"),
    "negative port": ({"port": -1}, ValueError, "port is 0 to 65535, not -1"),
    "port": ({"port": 70000}, ValueError, "port is 0 to 65535, not 70000"),
    "sock": ({"sock": "localhost"}, TypeError, "sock is a socket.socket or None, not str"),
    "an empty path": ({"path": ""}, ValueError, "path is empty; for no Unix socket, pass None"),
    "host and path": ({"host": "localhost", "path": "x"}, ValueError, "pass only one of them"),
    "port and path": ({"port": 0, "path": "x"}, ValueError, "pass only one of them"),
    "ssl": ({"ssl": True}, TypeError, "ssl is an ssl.SSLContext or None, not True"),
    "ssl as a path": ({"ssl": "cert.pem"}, TypeError, "ssl is an ssl.SSLContext or None, not str"),
    "ssl of a client": ({"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, ValueError, "CLIENT_AUTH"),
    "timeouts": ({"timeouts": 5}, TypeError, "timeouts is None or a Timeouts, such as Timeouts"),
    "process_request": ({"process_request": "x"}, TypeError, "process_request is a function that takes a request"),
    "a name of websockets": (
        {"max_size": 5},
        TypeError,
        r"^serve\(\) has no argument 'max_size'; pass limits=Limits\(message=...\) instead$",
    ),
    "a name that is almost right": (
        {"timeout": 5},
        TypeError,
        r"^serve\(\) has no argument 'timeout'; pass timeouts=Timeouts\(...\) instead$",
    ),
    "a name of websockets for clients": (
        {"additional_headers": ()},
        TypeError,
        r"^serve\(\) has no argument 'additional_headers'; help\(serve\) lists those that it has$",
    ),
    "a name of websockets for servers": (
        {"select_subprotocol": None},
        TypeError,
        r"^serve\(\) has no argument 'select_subprotocol'; pass subprotocols instead$",
    ),
    "a wrong letter": ({"origin": ()}, TypeError, r"^serve\(\) has no argument 'origin'; did you mean 'origins'\?$"),
    "another name": (
        {"colour": 5},
        TypeError,
        r"^serve\(\) has no argument 'colour'; help\(serve\) lists those that it has$",
    ),
}


@BOTH
@pytest.mark.parametrize(("arguments", "error", "words"), SERVE.values(), ids=list(SERVE))
def test_a_wrong_argument_of_serve_is_reported(
    module: Any, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        module.serve(HANDLER[module], **arguments)


@BOTH
def test_a_server_listens_at_one_place_and_a_client_connects_to_one(module: Any, plain_socket: socket.socket) -> None:
    for others in ({"host": "localhost"}, {"port": 0}, {"path": "x"}):
        with pytest.raises(ValueError, match="pass only one of them"):
            module.serve(HANDLER[module], sock=plain_socket, **others)
    with pytest.raises(ValueError, match="pass only one of them"):
        module.connect("ws://localhost/", sock=plain_socket, path="x")


@BOTH
def test_sock_is_a_plain_one_for_streams(module: Any) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        for call in (partial(module.serve, HANDLER[module]), partial(module.connect, "ws://localhost/")):
            with pytest.raises(ValueError, match="SOCK_STREAM"):
                call(sock=sock)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with context.wrap_socket(socket.socket()) as sock, pytest.raises(TypeError, match="as it was before wrap_socket"):
        module.connect("ws://localhost/", sock=sock)


@pytest.mark.parametrize("handler", [5, asynchronous_generator, Wrong, rfc6455_io.asyncio.Listener()])
def test_what_is_no_handler_on_asyncio(handler: Any) -> None:
    with pytest.raises(TypeError, match="a handler is a coroutine function or a class derived from Listener, not "):
        rfc6455_io.asyncio.serve(handler)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (5, "a handler is a function, not 5"),
        (coroutine_function, "coroutines need rfc6455_io.asyncio"),
        (Handler(), "coroutines need rfc6455_io.asyncio"),
        (partial(coroutine_function), "coroutines need rfc6455_io.asyncio"),
        (asynchronous_generator, "coroutines need rfc6455_io.asyncio"),
        (generator, "without 'async' or 'yield'"),
    ],
)
def test_what_is_no_handler_for_threads(handler: Any, words: str) -> None:
    """All but the first would be called without an effect."""
    with pytest.raises(TypeError, match=words):
        rfc6455_io.threads.serve(handler)
    if handler != 5:
        with pytest.raises(TypeError, match=words):
            rfc6455_io.threads.serve(function, process_request=handler)


def test_threads_need_room_for_a_client() -> None:
    with pytest.raises(ValueError, match="max_clients is 1 or more, not 0"):
        rfc6455_io.threads.serve(function, max_clients=0)
    with pytest.raises(TypeError, match="max_clients is a number, not str"):
        rfc6455_io.threads.serve(function, max_clients="5")  # type: ignore[arg-type]


# ---- What a function of the caller's returns ----


def errors_logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(record.exc_info[1]) for record in caplog.records if record.exc_info]


def test_a_handler_on_asyncio_returns_a_coroutine(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with rfc6455_io.asyncio.serve(lambda ws: 5, "127.0.0.1", 0) as server:  # type: ignore[arg-type, return-value]
            ws = await rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}/")
            assert (await ws.wait_closed()).code == 1011

    asyncio.run(main())
    assert errors_logged(caplog) == ["the handler returned 5, not a coroutine: define it with 'async def'"]


@pytest.mark.filterwarnings("ignore:coroutine 'coroutine_function' was never awaited")
def test_a_handler_for_threads_returns_no_coroutine(caplog: pytest.LogCaptureFixture) -> None:
    with rfc6455_io.threads.serve(lambda ws: coroutine_function(ws), "127.0.0.1", 0) as server:
        ws = rfc6455_io.threads.connect(f"ws://127.0.0.1:{server.port}/")
        assert ws.wait_closed().code == 1011
    (words,) = errors_logged(caplog)
    assert "coroutines need rfc6455_io.asyncio" in words


def failing(ws: Any) -> Any:
    raise ValueError("a mistake in the handler")


@BOTH
def test_the_log_says_which_connection_a_failure_belongs_to(module: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The path, but not the query, which may hold a token."""

    def process(request: Request) -> None:
        if request.path == "/wrong":
            raise ValueError("a mistake in process_request")

    def rule(request: Request) -> bool:
        raise ValueError("a mistake in origins")

    async def asynchronous() -> None:
        async with module.serve(failing, "127.0.0.1", 0, process_request=process, origins=rule) as server:
            ws = await module.connect(f"ws://127.0.0.1:{server.port}/right?token=secret")
            await ws.wait_closed()
            for path, origin in wrong:
                with pytest.raises(HandshakeError, match=r"^500: "):
                    await module.connect(f"ws://127.0.0.1:{server.port}{path}?token=secret", origin=origin)

    def with_threads() -> None:
        with module.serve(failing, "127.0.0.1", 0, process_request=process, origins=rule) as server:
            module.connect(f"ws://127.0.0.1:{server.port}/right?token=secret").wait_closed()
            for path, origin in wrong:
                with pytest.raises(HandshakeError, match=r"^500: "):
                    module.connect(f"ws://127.0.0.1:{server.port}{path}?token=secret", origin=origin)

    wrong = [("/wrong", None), ("/page", "https://page.example")]

    asyncio.run(asynchronous()) if module is rfc6455_io.asyncio else with_threads()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "the connection to /right is closed with 1011: its handler failed",
        "the request for /wrong is answered with 500: it could not be processed",
        "the request for /page is answered with 500: it could not be processed",
    ]


def test_the_log_says_to_which_connection_a_listener_belongs(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(rfc6455_io.asyncio.Listener):
        def opened(self, head: Request | Response) -> None:
            raise ValueError("a mistake in the listener")

    async def main() -> None:
        async with rfc6455_io.asyncio.serve(Failing, "127.0.0.1", 0) as server:
            await (await rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}/here?token=secret")).wait_closed()

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "the connection to /here is closed with 1011: its listener failed",
    ]


@pytest.mark.parametrize("answer", ["no", 403, (403, {}, b""), True], ids=repr)
@BOTH
def test_process_request_returns_a_response(module: Any, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert status_of(module, lambda _: answer) == 500
    assert errors_logged(caplog) == [f"process_request returned {answer!r}, and not None or an rfc6455.Response"]


def test_a_request_whose_processing_is_cancelled_is_answered() -> None:
    """The result of a cancelled task raises CancelledError, though nobody has cancelled what awaits it."""

    async def process(request: Request) -> Response | None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task
        return None

    assert status_of(rfc6455_io.asyncio, process) == 500


def status_of(module: Any, process_request: Any) -> int | None:
    """Return the status of the answer to a client."""

    async def asynchronous() -> None:
        async with module.serve(coroutine_function, "127.0.0.1", 0, process_request=process_request) as server:
            await module.connect(f"ws://127.0.0.1:{server.port}/")

    def with_threads() -> None:
        with module.serve(function, "127.0.0.1", 0, process_request=process_request) as server:
            module.connect(f"ws://127.0.0.1:{server.port}/")

    try:
        asyncio.run(asynchronous()) if module is rfc6455_io.asyncio else with_threads()
    except HandshakeError as error:
        return error.status
    return None


# ---- The life of a server ----


def test_a_server_on_asyncio_starts_once() -> None:
    async def main() -> None:
        server = rfc6455_io.asyncio.serve(coroutine_function, "127.0.0.1", 0)
        async with await server:
            (sock,) = server.sockets
            assert await server is server
            assert [each.fileno() for each in server.sockets] == [sock.fileno()]
        with pytest.raises(RuntimeError, match="the server is closed; to listen again, call serve"):
            await server

    asyncio.run(main())


def test_a_server_for_threads_starts_once() -> None:
    server = rfc6455_io.threads.serve(function, "127.0.0.1", 0)
    with server.start():
        (sock,) = server.sockets
        assert server.start() is server
        assert server.sockets == [sock]
    with pytest.raises(RuntimeError, match="the server is closed; to listen again, call serve"):
        server.start()


@BOTH
def test_hosts_may_come_one_by_one(module: Any) -> None:
    async def main() -> None:
        async with module.serve(coroutine_function, iter(["127.0.0.1"]), 0) as server:
            assert server.port

    if module is rfc6455_io.asyncio:
        asyncio.run(main())
        return
    with module.serve(function, iter(["127.0.0.1"]), 0) as server:
        assert server.port


def test_serve_forever_begins_to_listen_on_asyncio() -> None:
    async def main() -> None:
        async def stop(ws: Any) -> None:
            server.stop()

        server = rfc6455_io.asyncio.serve(stop, "127.0.0.1", 0)
        forever = asyncio.ensure_future(server.serve_forever())
        while not server.sockets:
            await asyncio.sleep(0)
        await rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}/")
        await forever

    asyncio.run(main())


def test_a_server_that_is_stopped_before_it_starts_ends_at_once() -> None:
    async def main() -> None:
        server = rfc6455_io.asyncio.serve(coroutine_function, "127.0.0.1", 0)
        server.stop()
        await server.serve_forever()
        assert not server.sockets
        await server.serve_forever()  # it has been stopped

    asyncio.run(main())
    threads = rfc6455_io.threads.serve(function, "127.0.0.1", 0)
    threads.stop()
    threads.serve_forever()
    assert not threads.sockets


def test_serve_forever_tries_again_to_listen_where_that_failed() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = rfc6455_io.asyncio.serve(coroutine_function, "127.0.0.1", taken.getsockname()[1])
            for _ in range(2):
                with pytest.raises(OSError, match="in use"):
                    await server.serve_forever()

    asyncio.run(main())


def test_a_server_on_asyncio_that_is_closed_while_it_starts_does_not_listen() -> None:
    async def main() -> None:
        server = rfc6455_io.asyncio.serve(coroutine_function, "127.0.0.1", 0)
        starting = asyncio.ensure_future(server.__aenter__())
        await asyncio.sleep(0)
        await server.close()
        with pytest.raises(RuntimeError, match="the server is closed"):
            await starting
        assert not server.sockets

    asyncio.run(main())


def test_serve_forever_begins_to_listen_for_threads(tmp_path: Path) -> None:
    def stop(request: Request) -> None:
        server.stop()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = rfc6455_io.threads.serve(function, sock=sock, process_request=stop)
        client = socket.create_connection(sock.getsockname())
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        server.serve_forever()
        client.close()
        server.serve_forever()  # it has been stopped


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"code": 1006}, LocalProtocolError),
        ({"code": "bye"}, TypeError),
        ({"reason": 5}, TypeError),
        ({"timeout": nan}, ValueError),
        ({"timeout": "5"}, ValueError),
    ],
)
@BOTH
def test_a_server_that_cannot_close_like_this_goes_on(module: Any, arguments: Any, error: type[Exception]) -> None:
    if module is rfc6455_io.threads:
        with module.serve(function, "127.0.0.1", 0) as server:
            with pytest.raises(error):
                server.close(**arguments)
            module.connect(f"ws://127.0.0.1:{server.port}/").close()
        return

    async def main() -> None:
        async with module.serve(coroutine_function, "127.0.0.1", 0) as server:
            with pytest.raises(error):
                await server.close(**arguments)
            await (await module.connect(f"ws://127.0.0.1:{server.port}/")).close()

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [nan, "5"])
def test_a_call_waits_for_a_number_of_seconds(timeout: Any) -> None:
    """The condition of a thread would wait for one that is no number for ever, without a pause."""
    with (
        rfc6455_io.threads.serve(echo, "127.0.0.1", 0) as server,
        rfc6455_io.threads.connect(f"ws://127.0.0.1:{server.port}/") as ws,
    ):
        for wait in (ws.recv, ws.recv_part, ws.ping, ws.wait_closed):
            with pytest.raises(ValueError, match="timeout is a number of seconds or None, not"):
                wait(timeout)


class Number:
    """A whole number that is no `int`, like those of numpy."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


@BOTH
def test_numbers_may_be_of_another_kind(module: Any) -> None:
    code: Any = Number(3000)
    port: Any = Number(0)
    redirects: Any = Number(1)
    second: Any = Fraction(1)
    if module is rfc6455_io.threads:
        with module.serve(echo, "127.0.0.1", port, max_clients=Number(1)) as server:
            with module.connect(f"ws://127.0.0.1:{server.port}/", redirects=redirects) as ws:
                with pytest.raises(TimeoutError):
                    ws.recv(timeout=Fraction(1, 1000))
                assert ws.ping(second) < 1
                ws.close(code)
                assert ws.wait_closed(second).code == 3000
            server.close(code, timeout=second)
        return

    async def main() -> None:
        async with module.serve(coroutine_function, "127.0.0.1", port) as server:
            async with module.connect(f"ws://127.0.0.1:{server.port}/", redirects=redirects) as ws:
                await ws.close(code)
            await server.close(code, timeout=second)

    asyncio.run(main())


# ---- connect() ----

CONNECT = {
    "ssl": ({"ssl": True}, TypeError, "ssl is an ssl.SSLContext or None, not True"),
    "proxy_ssl": ({"proxy_ssl": "x"}, TypeError, "proxy_ssl is an ssl.SSLContext or None, not str"),
    "server_hostname": ({"server_hostname": 5}, TypeError, "server_hostname is a str or None, not 5"),
    "a proxy as bytes": ({"proxy": b"http://x"}, TypeError, "proxy is the URL of one, True, or None, not bytes"),
    "a proxy as a number": ({"proxy": 3128}, TypeError, "proxy is the URL of one, True, or None, not 3128"),
    "redirects without a number": ({"redirects": None}, TypeError, "redirects is a number, not None"),
    "fewer redirects than none": ({"redirects": -1}, ValueError, "redirects is 0 or more, not -1"),
    "sock": ({"sock": "localhost"}, TypeError, "sock is a socket.socket or None, not str"),
    "path": ({"path": 5}, TypeError, "PathLike"),
    "timeouts": ({"timeouts": 5}, TypeError, "timeouts is None or a Timeouts, such as Timeouts"),
    "wrap": ({"wrap": "x"}, TypeError, "wrap is a function that takes a handshake, not 'x'"),
    "wrap that returns nothing": ({"wrap": lambda _: None}, TypeError, "wrap returned None, not a ClientHandshake"),
    "a name of websockets": (
        {"additional_headers": {}},
        TypeError,
        r"^connect\(\) has no argument 'additional_headers'; pass headers instead$",
    ),
    "a name of aiohttp": (
        {"auth": None},
        TypeError,
        r"^connect\(\) has no argument 'auth'; pass headers instead$",
    ),
    "compression": (
        {"compression": None},
        TypeError,
        r"'compression'; pass extensions=\[PerMessageDeflate\(\)\] instead$",
    ),
    "a wrong letter": (
        {"redirect": 1},
        TypeError,
        r"^connect\(\) has no argument 'redirect'; did you mean 'redirects'\?$",
    ),
    "another name": (
        {"colour": 5},
        TypeError,
        r"^connect\(\) has no argument 'colour'; help\(connect\) lists those that it has$",
    ),
    "random": ({"random": lambda size: bytes(size - 1)}, ValueError, r"random\(16\) returned 15 bytes"),
    "random as text": ({"random": lambda size: "x" * size}, TypeError, r"what random\(\) returns is bytes"),
}


@BOTH
@pytest.mark.parametrize(("arguments", "error", "words"), CONNECT.values(), ids=list(CONNECT))
def test_a_wrong_argument_of_connect_is_reported(
    module: Any, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        module.connect("wss://localhost/", **arguments)


PROXIES = {
    "": "must name a host",
    "http://": "must name a host",
    "http://localhost:0": "its port cannot be 0",
    "http://localhost:99999": "its host or its port is not valid",
    "http://localhost:x": "its host or its port is not valid",
    "http://[::1": "its host or its port is not valid",
    "http://user:secret/1@localhost:8080": r"as %2F, %3F and %23$",
    "http://user:123/secret@localhost:8080": r"has no .@. after its host; in a password, .* as %2F, %3F and %23$",
    "socks5://user:123?secret@localhost:8080": "has no .@. after its host",
    "user#secret@localhost:8080": "has no .@. after its host",
    "http://user\u2100:secret@localhost:8080": "its host or its port is not valid",
    "ftp://localhost": "begins with one of http, https, socks4, .* not with 'ftp'",
}


@BOTH
@pytest.mark.parametrize(("proxy", "words"), PROXIES.items())
def test_a_wrong_url_of_a_proxy_is_reported(module: Any, proxy: str, words: str) -> None:
    async def asynchronous() -> None:
        await module.connect("ws://localhost/", proxy=proxy)

    with pytest.raises(ValueError, match=words) as caught:
        asyncio.run(asynchronous()) if module is rfc6455_io.asyncio else module.connect("ws://localhost/", proxy=proxy)
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_the_path_of_a_unix_socket_may_be_a_path(tmp_path: Path) -> None:
    path: os.PathLike[str] = tmp_path / "x"
    with rfc6455_io.threads.serve(function, path=path), rfc6455_io.threads.connect("ws://x/", path=path) as ws:
        assert ws.wait_closed().code == 1000


def test_what_was_not_awaited_is_no_connection() -> None:
    opening: Any = rfc6455_io.asyncio.connect("ws://127.0.0.1/")
    with pytest.raises(AttributeError, match="no attribute 'send'; for the connection, write 'await connect"):
        opening.send("hello")


def test_a_connection_on_asyncio_opens_once() -> None:
    async def main() -> None:
        async with rfc6455_io.asyncio.serve(coroutine_function, "127.0.0.1", 0) as server:
            connecting = rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}/")
            await connecting
            with pytest.raises(RuntimeError, match=r"call connect\(\) again"):
                await connecting

    asyncio.run(main())


class AsynchronousListener(rfc6455_io.asyncio.Listener):
    async def message(self, message: str | bytes) -> None:  # type: ignore[override]
        """Do nothing, as nobody awaits it."""


class Derived(AsynchronousListener):
    pass


class YieldingListener(rfc6455_io.asyncio.Listener):
    def message(self, message: str | bytes) -> Iterator[None]:  # type: ignore[override]
        yield


@pytest.mark.parametrize("listener", [AsynchronousListener, Derived, partial(Derived), YieldingListener], ids=str)
def test_callbacks_are_no_coroutine_functions(listener: Any) -> None:
    for call in (rfc6455_io.asyncio.serve, partial(rfc6455_io.asyncio.connect, "ws://localhost/")):
        with pytest.raises(TypeError, match=r"\.message\(\) is called, and not awaited: define it with 'def'"):
            call(listener)


def raising() -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("listener", [5, rfc6455_io.asyncio.Listener()])
def test_what_makes_no_listeners_is_reported(listener: Any) -> None:
    with pytest.raises(TypeError, match="listener is a class derived from Listener, not "):
        rfc6455_io.asyncio.connect("ws://localhost/", listener)


@pytest.mark.parametrize(
    ("listener", "error"), [(raising, ZeroDivisionError), (Handler, TypeError), (coroutine_function, TypeError)]
)
def test_a_listener_that_cannot_be_made_ends_the_connection(listener: Any, error: type[Exception]) -> None:
    ended = []

    async def handler(ws: rfc6455_io.asyncio.WebSocket) -> None:
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        ended.append(caught.value.closed.code)

    async def main() -> None:
        async with rfc6455_io.asyncio.serve(handler, "127.0.0.1", 0) as server:
            with pytest.raises(error):
                await rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}/", listener)

    asyncio.run(main())
    assert ended == [1011]


def test_errors_are_all_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A listener's failure is the caller's to report: `connect` raises it."""
    with caplog.at_level(logging.ERROR):
        test_a_listener_that_cannot_be_made_ends_the_connection(raising, ZeroDivisionError)
    assert not caplog.records


# ---- What is sent ----


def on_connection(module: Any, act: Any) -> list[str | bytes]:
    """Call a function with a client's connection, and return the messages that its server received."""
    received = []

    async def receive(ws: rfc6455_io.asyncio.WebSocket) -> None:
        received.extend([message async for message in ws])

    async def asynchronous() -> None:
        async with (
            rfc6455_io.asyncio.serve(receive, "127.0.0.1", 0) as server,
            rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}/") as ws,
        ):
            result = act(ws)
            if inspect.isawaitable(result):
                await result

    if module is rfc6455_io.asyncio:
        asyncio.run(asynchronous())
        return received
    with (
        module.serve(lambda ws: received.extend(ws), "127.0.0.1", 0) as server,
        module.connect(f"ws://127.0.0.1:{server.port}/") as ws,
    ):
        act(ws)
    return received


PARTS = {
    "numbers": ([1, 2], TypeError, "a part of a message is str or bytes, not int"),
    "lists": ([["a"]], TypeError, "a part of a message is str or bytes, not list"),
    "prepared messages": (
        [PreparedMessage("x")],
        TypeError,
        "a part of a message is str or bytes, not PreparedMessage",
    ),
    "a number after a text": (["a", 1], TypeError, "a part of a message is str or bytes, not int"),
    "text that is not Unicode": (["a", "\ud800"], LocalProtocolError, "not valid Unicode"),
}


@pytest.mark.parametrize(("parts", "error", "words"), PARTS.values(), ids=list(PARTS))
@BOTH
def test_what_is_no_part_of_a_message_is_not_sent(
    module: Any, parts: list[Any], error: type[Exception], words: str
) -> None:
    """Once a message has begun, the connection ends with it; the error is the caller's own all the same."""

    def check(caught: pytest.ExceptionInfo[Exception]) -> None:
        assert type(caught.value) is error

    async def asynchronous(ws: Any) -> None:
        with pytest.raises(error, match=words) as caught:
            await ws.send(parts)
        check(caught)

    def with_threads(ws: Any) -> None:
        with pytest.raises(error, match=words) as caught:
            ws.send(parts)
        check(caught)

    assert on_connection(module, asynchronous if module is rfc6455_io.asyncio else with_threads) == []


@BOTH
def test_what_is_no_connection_gets_no_broadcast(module: Any) -> None:
    def act(ws: Any) -> None:
        for connections in ([None], [5], ws, 5, [ws._driver]):
            with pytest.raises(TypeError, match=r"connections is an iterable of|not iterable"):
                module.broadcast(connections, "x")
        module.broadcast(iter([ws]), "hello")

    assert on_connection(module, act) == ["hello"]


# ---- reconnect() ----


async def asynchronous(*arguments: Any) -> bool:
    return False


class Asynchronous:
    """An object that is a coroutine function all the same."""

    async def __call__(self, *arguments: Any) -> bool:
        return False


RECONNECT = {
    "backoff": ({"backoff": 5}, TypeError, "backoff is a Backoff, such as .* not 5"),
    "the class of backoffs": ({"backoff": rfc6455_io.asyncio.Backoff}, TypeError, "not the class Backoff"),
    "worth_retry": ({"worth_retry": False}, TypeError, "worth_retry is a function, not False"),
    "a worth_retry that is always true": ({"worth_retry": asynchronous}, TypeError, "without 'async' or"),
    "an object that is always true": ({"worth_retry": Asynchronous()}, TypeError, "without 'async' or"),
    "tell": ({"tell": "x"}, TypeError, "tell is a function, not 'x'"),
    "a tell without an effect": ({"tell": asynchronous}, TypeError, "tell is a plain function, without 'async'"),
    "a listener": ({"listener": rfc6455_io.asyncio.Listener}, TypeError, "takes no listener"),
}


@BOTH
@pytest.mark.parametrize(("arguments", "error", "words"), RECONNECT.values(), ids=list(RECONNECT))
def test_a_wrong_argument_of_reconnect_is_reported(
    module: Any, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        reconnected(module, **arguments)


@BOTH
def test_a_socket_is_good_for_one_connection(module: Any, plain_socket: socket.socket) -> None:
    with pytest.raises(ValueError, match="sock is good for one connection"):
        reconnected(module, sock=plain_socket)


@BOTH
def test_a_function_that_connects_takes_no_arguments_and_returns_a_connection(module: Any) -> None:
    async def asynchronous() -> None:
        """Connect to nothing."""

    connect = asynchronous if module is rfc6455_io.asyncio else lambda: None
    with pytest.raises(TypeError, match="is called without arguments; pass origin, proxy in it"):
        reconnected(module, connect, origin="https://example.com", proxy=None)
    with pytest.raises(TypeError, match="what the function returns is a WebSocket"):
        reconnected(module, connect)


def reconnected(module: Any, uri: Any = "ws://127.0.0.1:1/", **arguments: Any) -> None:
    async def main() -> None:
        async for _ in module.reconnect(uri, **arguments):
            pass

    if module is rfc6455_io.asyncio:
        asyncio.run(main())
    else:
        next(module.reconnect(uri, **arguments))


# ---- Times ----


@pytest.mark.parametrize("seconds", [inf, 1e12, 3e6], ids=repr)
@BOTH
def test_a_time_may_be_longer_than_the_system_can_wait(module: Any, seconds: float) -> None:
    timeouts = Timeouts(*[seconds] * len(fields(Timeouts)))

    async def main() -> None:
        async with (
            module.serve(coroutine_function, "127.0.0.1", 0, timeouts=timeouts) as server,
            module.connect(f"ws://127.0.0.1:{server.port}/", timeouts=timeouts) as ws,
        ):
            await ws.wait_closed()

    if module is rfc6455_io.asyncio:
        asyncio.run(main())
        return
    with (
        module.serve(echo, "127.0.0.1", 0, timeouts=timeouts) as server,
        module.connect(f"ws://127.0.0.1:{server.port}/", timeouts=timeouts) as ws,
    ):
        assert ws.ping(seconds) < 60
        ws.send("hello")
        assert ws.recv(seconds) == "hello"
        ws.close()
        assert ws.wait_closed(seconds).code == 1000
        server.close(timeout=seconds)
