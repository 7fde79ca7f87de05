"""`rfc6455_io.threads.connect` over real sockets: TLS, redirects, proxies, and why a client gives up."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import CLOSE, TEXT
from io_loops import REFUSING_PROXIES
from io_threads import SECURE, echo, read_head, tcp, wait_until
from programs import PATIENCE

import rfc6455
from rfc6455 import CloseCause, Closed, ConnectionClosedError, HandshakeError, Headers, Request, Response, Timeouts
from rfc6455_io._threads_driver import Driver
from rfc6455_io.threads import (
    Backoff,
    ProxyError,
    Server,
    WebSocket,
    connect,
    is_worth_a_retry,
    reconnect,
    serve,
)

pytestmark = pytest.mark.usefixtures("all_threads_end", "no_proxies")


def uri(server: Server, path: str = "/", scheme: str = "ws") -> str:
    return f"{scheme}://localhost:{server.port}{path}"


def check_echo(ws: WebSocket) -> None:
    with ws:
        ws.send("hello")
        assert ws.recv(PATIENCE) == "hello"


@SECURE
def test_a_connection_from_its_beginning_to_its_end(secure: bool, contexts: Any) -> None:
    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(echo, "localhost", 0, ssl=server_ssl, subprotocols=["v1"], timeouts=Timeouts.NONE) as server:
        target = uri(server, "/a?b", "wss" if secure else "ws")
        with connect(
            target,
            ssl=client_ssl,
            subprotocols=["v2", "v1"],
            headers={"X-Name": "Ann"},
            extensions=[rfc6455.PerMessageDeflate()],
            timeouts=Timeouts.NONE,
        ) as ws:
            assert (ws.request.path, ws.request.headers["X-Name"]) == ("/a", "Ann")
            assert (ws.response.status, ws.subprotocol, ws.latency) == (101, "v1", None)
            assert ws.get_extra_info("peername")[1] == server.port
            assert (ws.get_extra_info("ssl_object") is not None) is secure
            for message in ("x" * 1_000_000, b"\0" * 1_000_000, ""):
                ws.send(message)
                assert ws.recv(PATIENCE) == message
            assert ws.ping(PATIENCE) < PATIENCE
        assert ws.end is not None
        assert (ws.end.code, ws.end.clean) == (1000, True)
        ws = connect(target, ssl=client_ssl)
        ws.close(4000)
        assert ws.wait_closed().code == 4000


def test_a_body_that_fails_closes_with_1011() -> None:
    ends = []

    def handler(ws: WebSocket) -> None:
        ends.append(ws.wait_closed(PATIENCE))

    with serve(handler, "localhost", 0) as server:
        with pytest.raises(KeyError):
            fail_in(connect(uri(server)), KeyError)
        with pytest.raises(ConnectionClosedError):
            fail_in(connect(uri(server)), lambda: ConnectionClosedError(ends[0]))
    assert [closed.code for closed in ends] == [1011, 1000]


def fail_in(ws: WebSocket, error: Callable[[], Exception]) -> None:
    with ws:
        raise error()


# ---- What a client gives up for ----


def test_a_refusal_tells_all_that_is_known() -> None:
    def process(request: Request) -> Response:
        return Response(401, Headers({"WWW-Authenticate": "Bearer"}), b"who are you?")

    with serve(echo, "localhost", 0, process_request=process) as server, pytest.raises(HandshakeError) as caught:
        connect(uri(server))
    assert caught.value.status == 401
    assert caught.value.response is not None
    assert caught.value.response.body == b"who are you?"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", CloseCause.OPENING_EOF),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", CloseCause.OPENING_REFUSED),
        (b"nonsense\r\n\r\n", CloseCause.OPENING_INVALID),
    ],
)
def test_an_answer_that_makes_no_sense(answer: bytes, cause: CloseCause) -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(answer)

    with tcp(handler) as port, pytest.raises(HandshakeError) as caught:
        connect(f"ws://127.0.0.1:{port}/")
    assert caught.value.cause is cause


@pytest.mark.parametrize("through", ["server", "proxy", "tls", "tls proxy", "socks"])
def test_who_says_nothing_is_given_up(through: str, contexts: Any) -> None:
    if through == "socks":
        pytest.importorskip("python_socks")
    over = threading.Event()

    def silent(sock: socket.socket) -> None:
        assert over.wait(PATIENCE)

    with tcp(silent) as port:
        scheme = {"proxy": "http", "tls proxy": "https", "socks": "socks5h"}.get(through)
        proxy = None if scheme is None else f"{scheme}://127.0.0.1:{port}"
        target = f"{'wss' if 'tls' in through else 'ws'}://127.0.0.1:{port}/"
        try:
            with pytest.raises(TimeoutError, match=rf"^the connection to 127.0.0.1:{port} was not open within 0.1 s$"):
                connect(target, proxy=proxy, timeouts=Timeouts(open=0.1))
        finally:
            over.set()


def test_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connect(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize("seconds", [10.0, None])
def test_a_time_out_of_the_system_keeps_its_own_words(seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect_socket(sock: socket.socket, address: object) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(socket.socket, "connect", connect_socket)
    with pytest.raises(TimeoutError, match="Connection timed out"):
        connect("ws://127.0.0.1:1/", timeouts=Timeouts(open=seconds))


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-NET-1 (RFC 5737) has no hosts."""
    with serve(echo, "127.0.0.1", 0) as server:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, server.port)) for host in ("192.0.2.1", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        check_echo(connect(uri(server), timeouts=Timeouts(open=2.0)))


def test_certificates_that_are_not_trusted(contexts: Any) -> None:
    with serve(echo, "127.0.0.1", 0, ssl=contexts[0]) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(uri(server, scheme="wss"))
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(uri(server, scheme="wss"), ssl=contexts[1], server_hostname="example.com")
        check_echo(connect(f"wss://127.0.0.1:{server.port}/", ssl=contexts[1], server_hostname="localhost"))


def test_a_socket_of_ones_own_and_one_of_unix(tmp_path: Path) -> None:
    with serve(echo, "127.0.0.1", 0) as server:
        check_echo(connect("ws://any.example/", sock=socket.create_connection(("127.0.0.1", server.port))))
    with serve(echo, path=tmp_path / "x"):
        check_echo(connect("ws://any.example/", path=str(tmp_path / "x")))
    with pytest.raises(OSError, match="No such file"):
        connect("ws://any.example/", path=str(tmp_path / "y"))


def test_what_is_wrong_is_said_at_once(contexts: Any) -> None:
    with pytest.raises(ValueError, match="ssl is for wss:"):
        connect("ws://localhost:1/", ssl=contexts[1])
    with pytest.raises(rfc6455.LocalProtocolError):
        connect("http://localhost:1/")
    with pytest.raises(TypeError, match="limits"):
        connect("ws://localhost:1/", limits=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="URL of a proxy"):
        connect("ws://localhost:1/", proxy="ftp://proxy")


def test_a_connect_that_is_interrupted_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(driver: Driver) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Driver, "wait_open", interrupted)
    with serve(echo, "localhost", 0) as server, pytest.raises(KeyboardInterrupt):
        connect(uri(server))


def test_a_signal_while_a_thread_is_started_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thread.start() waits for the thread, so this is where a signal is most likely to come."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    with serve(echo, "localhost", 0) as server:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                connect(uri(server))
            with pytest.raises(KeyboardInterrupt):
                serve(echo, "localhost", 0).start()
        check_echo(connect(uri(server)))


def no_descriptor(*_: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def no_thread(_: object) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [(socket, "socketpair", no_descriptor), (threading.Thread, "start", no_thread)],
    ids=["descriptor", "thread"],
)
def test_a_connect_for_which_the_system_has_nothing_left_leaves_nothing(
    owner: object, name: str, failure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(echo, "localhost", 0, timeouts=Timeouts.NONE) as server:
        monkeypatch.setattr(owner, name, failure)
        with pytest.raises((OSError, RuntimeError)) as caught:
            connect(uri(server))
        wait_until(lambda: not server._drivers)
        assert caught.traceback  # which refers to everything that was made


# ---- Redirects ----


def test_redirects_are_followed_up_to_a_limit() -> None:
    def process(request: Request) -> Response | None:
        left = int(request.path[1:])
        return Response(302, Headers({"Location": f"/{left - 1}"})) if left else None

    with serve(echo, "localhost", 0, process_request=process) as server:
        check_echo(connect(uri(server, "/10")))
        check_echo(connect(uri(server, "/1"), redirects=1))
        for path, redirects in (("/11", 10), ("/1", 0)):
            with pytest.raises(HandshakeError) as caught:
                connect(uri(server, path), redirects=redirects)
            assert caught.value.status == 302


def test_credentials_go_to_no_other_origin() -> None:
    seen = []

    def process(request: Request) -> Response | None:
        seen.append(request.headers.get("Authorization"))
        return None

    def send_away(request: Request) -> Response | None:
        seen.append(request.headers.get("Authorization"))
        return Response(307, Headers({"Location": uri(other)})) if request.path == "/away" else None

    with (
        serve(echo, "localhost", 0, process_request=process) as other,
        serve(echo, "localhost", 0, process_request=send_away) as server,
    ):
        check_echo(connect(uri(server, "/away"), headers={"Authorization": "1"}))
        check_echo(connect(uri(server), headers={"Authorization": "2"}))
    assert seen == ["1", None, "2"]


def test_tls_is_not_given_up(contexts: Any) -> None:
    with serve(echo, "localhost", 0) as plain:
        answer = Response(302, Headers({"Location": uri(plain)}))
        server = serve(echo, "localhost", 0, ssl=contexts[0], process_request=lambda _: answer)
        with server, pytest.raises(rfc6455.LocalProtocolError):
            connect(uri(server, scheme="wss"), ssl=contexts[1])


# ---- Proxies ----


class HttpProxy:
    """A proxy that knows CONNECT."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    def __call__(self, sock: socket.socket) -> None:
        head = read_head(sock)
        self.heads.append(head)
        sock.sendall(self.answer)
        if b" 200 " in self.answer:
            host, _, port = head.split()[1].rpartition(b":")
            join(sock, host.decode(), int(port))


def join(sock: socket.socket, host: str, port: int) -> None:
    """Pass everything on between a client and a server."""
    with socket.create_connection((host, port)) as up:
        while True:
            for source, target in ((sock, up), (up, sock)):
                is_pending = getattr(source, "pending", int)()
                if is_pending or select.select([source], [], [], 0.01)[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    target.sendall(data)


@SECURE
def test_through_a_proxy(secure: bool, contexts: Any) -> None:
    proxy = HttpProxy()
    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(echo, "localhost", 0, ssl=server_ssl) as server, tcp(proxy) as port:
        target = uri(server, scheme="wss" if secure else "ws")
        check_echo(connect(target, ssl=client_ssl, proxy=f"http://127.0.0.1:{port}"))
        assert proxy.heads[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n".encode())
        assert b"authorization" not in proxy.heads[0].lower()
        with_password = f"http://Ann:se%20cret@127.0.0.1:{port}"
        check_echo(connect(target, ssl=client_ssl, proxy=with_password, headers={"Authorization": "1"}))
        assert b"Proxy-Authorization: Basic " + b64encode(b"Ann:se cret") + b"\r\n" in proxy.heads[1]
        assert b"\r\nAuthorization" not in proxy.heads[1]


@SECURE
def test_through_a_proxy_by_tls(secure: bool, contexts: Any) -> None:
    server_ssl, client_ssl = contexts
    with (
        serve(echo, "localhost", 0, ssl=server_ssl if secure else None) as server,
        tcp(HttpProxy(), server_ssl) as port,
    ):
        target, proxy = uri(server, scheme="wss" if secure else "ws"), f"https://localhost:{port}"
        check_echo(connect(target, ssl=client_ssl if secure else None, proxy=proxy, proxy_ssl=client_ssl))


@REFUSING_PROXIES
def test_a_proxy_that_does_not_let_us_through(answer: bytes, status: int | None) -> None:
    with tcp(HttpProxy(answer)) as port, pytest.raises(ProxyError) as caught:
        connect("wss://example.com/", proxy=f"http://Ann:secret@127.0.0.1:{port}")
    response = caught.value.response
    assert (None if response is None else response.status) == status
    assert "secret" not in str(caught.value)


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = HttpProxy()
    with serve(echo, "localhost", 0) as server, tcp(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        check_echo(connect(uri(server)))
        assert len(proxy.heads) == 1
        check_echo(connect(uri(server), proxy=None))
        monkeypatch.setenv("no_proxy", "example.com,localhost")
        check_echo(connect(uri(server)))
        assert len(proxy.heads) == 1


def socks5(sock: socket.socket) -> None:
    """RFC 1928, for a client that has no password and names its server."""
    stream = sock.makefile("rb", 0)
    _, methods = stream.read(2)
    stream.read(methods)
    sock.sendall(b"\x05\x00")
    _, _, _, kind = stream.read(4)
    assert kind == 3, "the proxy is to look the name up"
    name = stream.read(stream.read(1)[0])
    port = int.from_bytes(stream.read(2), "big")
    sock.sendall(b"\x05\x00\x00\x01\0\0\0\0\0\0")
    join(sock, name.decode(), port)


def test_through_socks() -> None:
    pytest.importorskip("python_socks")
    with serve(echo, "localhost", 0) as server, tcp(socks5) as port:
        check_echo(connect(uri(server), proxy=f"socks5h://127.0.0.1:{port}"))
    with tcp(lambda sock: None) as port, pytest.raises(ProxyError):
        connect("ws://localhost:1/", proxy=f"socks5h://127.0.0.1:{port}")


# ---- Again ----

QUICK = Backoff(first=0.001, longest=0.001, restart=(0, 0.001))


def test_a_server_that_comes_and_goes() -> None:
    answers = iter([Response(503), Response(500), None, None, Response(403)])
    told: list[Any] = []
    got = []

    def handler(ws: WebSocket) -> None:
        ws.send("hello")
        ws.close(1012)

    with serve(handler, "127.0.0.1", 0, process_request=lambda _: next(answers)) as server:
        tell = lambda error, delay: told.append((error, delay))  # noqa: E731
        tries = reconnect(f"ws://127.0.0.1:{server.port}/", backoff=QUICK, tell=tell)

        def receive() -> None:
            for ws in tries:
                got.append(ws.recv(PATIENCE))
                assert ws.wait_closed(PATIENCE).code == 1012

        with pytest.raises(HandshakeError) as caught:
            receive()
    assert caught.value.status == 403
    assert [error.status for error, _ in told[:2]] == [503, 500]
    assert [error.closed.code for error, _ in told[2:]] == [1012, 1012]
    assert all(0 <= delay <= 0.001 for _, delay in told)


def test_a_function_makes_each_connection() -> None:
    """With a token that it gets before; what fails then is tried again if `worth_retry` says so."""
    seen: list[str | None] = []
    tokens = iter(["one", "", "two", "three"])

    def handler(ws: WebSocket) -> None:
        seen.append(ws.request.headers.get("Authorization"))
        ws.close(1011)

    def open_it() -> WebSocket:
        token = next(tokens)
        if not token:
            raise KeyError("there is no token yet")
        return connect(f"ws://127.0.0.1:{server.port}/", headers={"Authorization": f"Bearer {token}"})

    def is_worth_it(error: Exception) -> bool:
        return isinstance(error, KeyError) or is_worth_a_retry(error)

    with (
        serve(handler, "127.0.0.1", 0) as server,
        contextlib.closing(reconnect(open_it, backoff=QUICK, worth_retry=is_worth_it)) as tries,
    ):
        for ws in tries:
            ws.wait_closed(PATIENCE)
            if len(seen) == 3:
                break
    assert seen == ["Bearer one", "Bearer two", "Bearer three"]


def test_leaving_the_loop_closes() -> None:
    ends: list[Closed] = []
    with serve(lambda ws: ends.append(ws.wait_closed(PATIENCE)), "127.0.0.1", 0) as server:
        tries = reconnect(f"ws://127.0.0.1:{server.port}/", backoff=QUICK)
        with contextlib.closing(tries):
            ws = next(tries)
            assert ws.end is None
        assert ws.end is not None
    assert [closed.code for closed in ends] == [1000]


def test_a_wait_can_be_ended() -> None:
    def sleep(delay: float) -> None:
        assert delay == 1000
        raise StopAsyncIteration

    slow = Backoff(first=1000, longest=1000, random=lambda: 1.0)
    with pytest.raises(StopAsyncIteration):
        next(reconnect("ws://127.0.0.1:1/", backoff=slow, sleep=sleep))


def test_frames_that_come_with_the_answer_are_not_lost() -> None:
    def handler(sock: socket.socket) -> None:
        head = read_head(sock)
        key = next(line[19:] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
        accept = rfc6455.accept_key(key.decode())
        answer = f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
        sock.sendall(answer.encode() + b"\r\n\r\n" + bytes([0x80 | TEXT, 2]) + b"hi" + bytes([0x80 | CLOSE, 0]))
        sock.recv(100)

    with tcp(handler) as port, connect(f"ws://127.0.0.1:{port}/") as ws:
        assert list(ws) == ["hi"]
