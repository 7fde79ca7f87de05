"""The common behaviour of servers on asyncio and for threads."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from helpers import EVERY_CHUNKING, Chunking
from programs import PATIENCE

import rfc6455_io.asyncio
import rfc6455_io.threads
from rfc6455 import CloseCause, HandshakeError, Headers, Response, Timeouts, parse_uri, trace
from rfc6455_io._openings import port_of
from rfc6455_io._proxies import ProxyError, Tunnel, parse_proxy, proxy_for
from rfc6455_io.asyncio import is_worth_a_retry

SERVE = {"asyncio": rfc6455_io.asyncio.serve, "threads": rfc6455_io.threads.serve}


BOTH = pytest.mark.parametrize("module", [rfc6455_io.asyncio, rfc6455_io.threads], ids=["asyncio", "threads"])


def handler(ws: object) -> None:
    """Do nothing: no client comes."""


@pytest.mark.parametrize("serve", SERVE.values(), ids=list(SERVE))
def test_a_server_that_does_not_listen_has_no_port(serve: Any) -> None:
    with pytest.raises(RuntimeError, match="does not listen: it has not started, or is closed"):
        _ = serve(handler, "127.0.0.1", 0).port


def test_the_port_is_that_of_the_first_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert port_of([sock]) == sock.getsockname()[1]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_unix_socket_has_no_port() -> None:
    with (
        socket.socket(socket.AF_UNIX) as sock,
        pytest.raises(RuntimeError, match="a Unix socket, which has no port"),
    ):
        port_of([sock])


# ---- Unix sockets ----


class Served:
    """A server of either kind, as a context manager."""

    def __init__(self, module: Any, **arguments: Any) -> None:
        self._is_on_asyncio = module is rfc6455_io.asyncio
        self._arguments = arguments

    def __enter__(self) -> None:
        if not self._is_on_asyncio:
            self._server = rfc6455_io.threads.serve(handler, **self._arguments).start()
            return
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._start())

    async def _start(self) -> Any:
        return await rfc6455_io.asyncio.serve(handler, **self._arguments)

    def __exit__(self, *_: object) -> None:
        if not self._is_on_asyncio:
            self._server.close()
            return
        self._loop.run_until_complete(self._server.close())
        self._loop.close()


UNIX = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")


@UNIX
@BOTH
def test_the_file_of_a_unix_socket_goes_with_its_server(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Served(module, path="socket"):
        assert Path("socket").is_socket()
        monkeypatch.chdir("/")
    assert not (tmp_path / "socket").exists()


@UNIX
@BOTH
def test_the_file_of_another_server_stays(module: Any, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Served(module, path=path), Served(rfc6455_io.threads, path=path):
        with Served(module, path=path):
            pass
        path.write_text("something else")
    assert path.read_text() == "something else"


@UNIX
@BOTH
def test_a_file_that_is_gone_is_not_missed(module: Any, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Served(module, path=path):
        path.unlink()


@UNIX
@BOTH
def test_the_file_of_a_socket_that_a_server_was_given_stays(module: Any, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        with Served(module, sock=sock):
            pass
    assert path.is_socket()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no files")
@BOTH
def test_a_unix_socket_without_a_file(module: Any) -> None:
    name = f"\0rfc6455-{os.getpid()}"
    with Served(module, path=name), socket.socket(socket.AF_UNIX) as client:
        client.connect(name)


# ---- Time ----


@BOTH
def test_a_refusal_is_reported_though_there_is_no_time_for_its_body(module: Any) -> None:
    def refuse() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n")
            assert client.recv(65536) == b""

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(HandshakeError, match="the server answered 401") as caught:
            connected(module, uri, timeouts=Timeouts(open=0.2))
        thread.join(PATIENCE)
    error = caught.value
    assert (error.status, error.cause) == (401, CloseCause.OPENING_REFUSED)
    assert error.response is not None
    assert error.response.headers["WWW-Authenticate"] == "Basic"


# ---- Redirections ----


def connected(module: Any, uri: str, **arguments: Any) -> Any:
    """Return the request of a client that was let in."""

    arguments = {"proxy": None, **arguments}

    async def main() -> Any:
        async with module.connect(uri, **arguments) as ws:
            return ws.request

    if module is rfc6455_io.asyncio:
        return asyncio.run(main())
    with module.connect(uri, **arguments) as ws:
        return ws.request


def moved(request: Any) -> Response | None:
    to = {"/here": "/end", "/elsewhere": "ws://other.example/end"}.get(request.path)
    return None if to is None else Response(302, Headers({"Location": to}))


@BOTH
@pytest.mark.parametrize("path", ["/here", "/elsewhere"])
def test_a_redirection_cannot_be_followed_on_the_socket_of_the_first_connection(module: Any, path: str) -> None:
    with rfc6455_io.threads.serve(handler, "127.0.0.1", 0, process_request=moved) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        with pytest.raises(HandshakeError, match=r"^302: ") as caught:
            connected(module, f"ws://127.0.0.1:{server.port}{path}", sock=sock)
        assert caught.value.response is not None


@BOTH
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_redirection_from_a_unix_socket_does_not_lead_elsewhere(module: Any, tmp_path: Path) -> None:
    where = tmp_path / "socket"
    with rfc6455_io.threads.serve(handler, path=where, process_request=moved):
        assert connected(module, "ws://localhost/here", path=where).path == "/end"
        with pytest.raises(HandshakeError, match=r"^302: "):
            connected(module, "ws://localhost/elsewhere", path=where)


def answering(answers: dict[str, bytes], listener: socket.socket) -> Callable[[], None]:
    """Return a function that sends each client the answer for its path, and waits until the client has gone."""

    def serve() -> None:
        for _ in answers:
            client, _ = listener.accept()
            with client:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(65536)
                client.sendall(answers[head.split()[1].decode()])
                while client.recv(65536):
                    pass

    return serve


LOCATION = b"HTTP/1.1 303 See Other\r\nLocation: /end\r\n"


@BOTH
@pytest.mark.parametrize(
    "rest",
    [b"\r\n", b"Content-Length: 99\r\n\r\nsee", b"Transfer-Encoding: chunked\r\n\r\n4\r\nsee"],
    ids=["without length", "not whole", "in chunks"],
)
def test_the_body_of_a_redirection_is_not_waited_for(module: Any, rest: bytes) -> None:
    answers = {"/": LOCATION + rest, "/end": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answering(answers, listener))
        thread.start()
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(HandshakeError, match=r"^404: "):
            connected(module, uri, timeouts=Timeouts(open=PATIENCE, body=None))
        thread.join(PATIENCE)


@BOTH
def test_a_redirection_to_two_places_leads_nowhere(module: Any) -> None:
    where = Response(302, [("Location", "/end"), ("Location", "/other")], b"choose")
    with rfc6455_io.threads.serve(handler, "127.0.0.1", 0, process_request=lambda _: where) as server:
        with pytest.raises(HandshakeError, match=r"^302: ") as caught:
            connected(module, f"ws://127.0.0.1:{server.port}/")
        assert caught.value.response is not None
        assert caught.value.response.body == b"choose"


@BOTH
def test_an_error_says_how_many_redirections_were_followed(module: Any) -> None:
    def process(request: Any) -> Response:
        return Response(302, {"Location": request.path + "x"}, b"elsewhere")

    with rfc6455_io.threads.serve(handler, "127.0.0.1", 0, process_request=process) as server:
        uri = f"ws://127.0.0.1:{server.port}/"
        with pytest.raises(HandshakeError, match=r"answered 302 Found, not 101, after 3 redirections"):
            connected(module, uri, redirects=3)
        with pytest.raises(HandshakeError, match=r"answered 302 Found, not 101: 'elsewhere' \(") as caught:
            connected(module, uri, redirects=0)
        assert caught.value.response is not None
        assert caught.value.response.body == b"elsewhere", "it is not followed, and so of use"


@BOTH
def test_the_name_in_a_certificate_has_no_dot_at_its_end(
    module: Any, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """RFC 6066, 3. The name with the dot is the same one, and says that it is complete."""
    theirs, ours = contexts
    with rfc6455_io.threads.serve(handler, "127.0.0.1", 0, ssl=theirs) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        assert connected(module, "wss://localhost./", sock=sock, ssl=ours).host == "localhost."


@BOTH
@pytest.mark.parametrize("name", ["a..b", ".a", "a" * 64 + ".example"])
def test_a_name_that_cannot_be_looked_up_does_not_exist(module: Any, name: str) -> None:
    where = Response(302, {"Location": f"//{name}/"})
    with pytest.raises(socket.gaierror):
        connected(module, f"ws://{name}/")
    with (
        rfc6455_io.threads.serve(handler, "127.0.0.1", 0, process_request=lambda _: where) as server,
        pytest.raises(socket.gaierror) as caught,
    ):
        connected(module, f"ws://127.0.0.1:{server.port}/")
    assert is_worth_a_retry(caught.value)


@BOTH
@pytest.mark.parametrize(
    ("path", "headers", "is_explained"),
    [
        ("/there", {"Authorization": "Bearer 1"}, True),
        ("/there", {}, False),
        ("/here", {"Authorization": "Bearer 1"}, False),
    ],
)
def test_an_error_says_that_a_redirection_has_cost_the_headers(
    module: Any, path: str, headers: dict[str, str], is_explained: bool
) -> None:
    def first(request: Any) -> Response:
        if request.path == "/here":
            return Response(401)
        return Response(307, {"Location": f"ws://127.0.0.1:{ports[0]}/here"})

    def second(request: Any) -> Response:
        assert "Authorization" not in request.headers
        return Response(401)

    with (
        rfc6455_io.threads.serve(handler, "127.0.0.1", 0, process_request=second) as other,
        rfc6455_io.threads.serve(handler, "127.0.0.1", 0, process_request=first) as server,
    ):
        ports = [other.port]
        with pytest.raises(HandshakeError, match=r"^401: ") as caught:
            connected(module, f"ws://127.0.0.1:{server.port}{path}", headers=headers)
    words = f"headers= was not sent, as a redirection led to another origin, 127.0.0.1:{ports[0]}"
    assert (words in str(caught.value)) == is_explained


@BOTH
@pytest.mark.parametrize(("status", "level"), [(200, logging.DEBUG), (302, logging.DEBUG), (401, logging.INFO)])
def test_a_page_is_logged_for_debugging_only(
    module: Any, status: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As a health check asks for one every few seconds."""
    caplog.set_level(logging.DEBUG, "rfc6455_io")

    async def main() -> None:
        async with rfc6455_io.asyncio.serve(
            handler, "127.0.0.1", 0, process_request=lambda _: Response(status)
        ) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /health HTTP/1.0\r\n\r\n")
            await reader.read()
            writer.close()

    if module is rfc6455_io.asyncio:
        asyncio.run(main())
    else:
        with (
            module.serve(handler, "127.0.0.1", 0, process_request=lambda _: Response(status)) as server,
            socket.create_connection(("127.0.0.1", server.port)) as client,
        ):
            client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            while client.recv(65536):
                pass
    (record,) = [record for record in caplog.records if "a client was not accepted" in record.getMessage()]
    assert record.levelno == level


# ---- Proxies ----

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def tunnel_to(uri: str) -> Tunnel:
    return Tunnel(parse_uri(uri), parse_proxy("http://proxy.example:3128"))


@EVERY_CHUNKING
@pytest.mark.parametrize(
    "answer",
    [
        ESTABLISHED,
        b"HTTP/1.0 200 OK\r\n\r\n",
        # RFC 9110, 9.3.6: a client ignores these in a 2xx answer to CONNECT
        b"HTTP/1.1 204 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        # RFC 9110, 15.2
        b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED,
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ESTABLISHED,
    ],
)
def test_what_opens_a_tunnel(chunk: Chunking, answer: bytes) -> None:
    tunnel = tunnel_to("ws://a.example/")
    *before, last = [tunnel.receive_data(data) for data in chunk(answer)]
    assert (any(before), last, tunnel.unread) == (False, True, b"")


def test_what_the_server_says_behind_a_tunnel_is_left_to_the_handshake() -> None:
    tunnel = tunnel_to("ws://a.example/")
    assert tunnel.receive_data(b"HTTP/1.1 100 Continue\r\n\r\n" + ESTABLISHED + b"HTTP/1.1 403")
    assert tunnel.unread == b"HTTP/1.1 403"


def test_answers_before_the_one_of_a_proxy_are_bounded() -> None:
    tunnel = tunnel_to("ws://a.example/")
    with pytest.raises(ProxyError, match=r"sent an invalid answer: the head is longer than"):
        tunnel.receive_data(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)


def test_the_words_about_a_bad_answer_of_a_proxy() -> None:
    with pytest.raises(
        ProxyError, match=r"http://proxy.example:3128 sent an invalid answer: the answer is not HTTP/1.1 but"
    ):
        tunnel_to("ws://a.example/").receive_data(b"SSH-2.0-x\r\n")


@pytest.mark.parametrize(
    ("uri", "target"),
    {
        "ws://a.example/": b"a.example:80",
        "wss://a.example/": b"a.example:443",
        "ws://[::1]:81/": b"[::1]:81",
        # RFC 6874, 4: a zone means something to this machine only
        "ws://[fe80::1%25eth0]:81/": b"[fe80::1]:81",
    }.items(),
)
def test_where_a_tunnel_leads(uri: str, target: bytes) -> None:
    assert tunnel_to(uri).request == b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1080/", "begins with one of http, .* not with 'socks'"),
        ("http_proxy", "http://127.0.0.1:x", "its port is not valid"),
        ("ws_proxy", "http://", "must name a host"),
    ],
)
def test_a_wrong_proxy_of_the_environment_is_named(
    name: str, url: str, words: str, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    """As desktops set it, for other programs."""
    monkeypatch.setenv(name, url)
    with pytest.raises(ValueError, match=rf"^{name.lower()} in the environment: .*{words}.*; .* pass proxy=None$"):
        proxy_for(parse_uri("ws://a.example/"), True)


@pytest.mark.parametrize(
    ("no_proxy", "uri", "is_used"),
    [
        ("localhost, 127.0.0.1,::1", "ws://[::1]:8080/", False),
        ("[::1]", "ws://[::1]:8080/", False),
        ("[::1]:8080", "ws://[::1]:8080/", False),
        ("[::1]:81", "ws://[::1]:8080/", True),
        ("::2", "ws://[::1]/", True),
        ("1", "ws://[::1]/", True),
        ("fe80::1", "ws://[fe80::1%25eth0]/", False),
        ("127.0.0.1", "ws://127.0.0.1:8080/", False),
        (".example.com", "wss://a.Example.com/", False),
        ("*", "wss://a.example/", False),
        ("", "wss://a.example/", True),
    ],
)
def test_what_bypasses_the_proxy_of_the_environment(
    no_proxy: str, uri: str, is_used: bool, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    monkeypatch.setenv("all_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (proxy_for(parse_uri(uri), True) is not None) == is_used


@BOTH
def test_a_proxy_that_cannot_be_reached_is_named(module: Any) -> None:
    """It may come from the environment, and then nobody thinks of it."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        for proxy in (f"http://127.0.0.1:{nobody.getsockname()[1]}", "http://no..proxy:3128"):
            with pytest.raises(ProxyError, match=f"^the proxy {re.escape(proxy)} cannot be reached: ") as caught:
                connected(module, "ws://example.com/", proxy=proxy.replace("//", "//Ann:secret@"))
            assert isinstance(caught.value.__cause__, OSError)
            assert is_worth_a_retry(caught.value)


@BOTH
def test_a_proxy_that_says_nothing_is_named(module: Any) -> None:
    def hang_up() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ProxyError, match=f"^the proxy {proxy} ended the connection before it answered$"):
            connected(module, "ws://example.com/", proxy=proxy)
        thread.join(PATIENCE)


def test_the_address_of_a_proxy_may_have_a_zone() -> None:
    proxy = parse_proxy("http://user:secret@[fe80::1%25eth0]:3128")
    assert (proxy.host, repr(proxy)) == ("fe80::1%eth0", "http://[fe80::1%eth0]:3128")


# ---- Recording ----

Handshake = TypeVar("Handshake", bound=Any)


class Recorders(list[trace.Recorder]):
    """A recorder for each handshake that is wrapped."""

    def wrap(self, handshake: Handshake) -> Handshake:
        self.append(trace.Recorder(clock=lambda: 0.0))
        return self[-1].wrap(handshake)

    def frames(self) -> list[list[str]]:
        """Return the direction and the opcode of each frame, for each handshake."""
        texts = [trace.to_text(recorder.recording) for recorder in self]
        return [[line[13:20].rstrip() for line in text.splitlines() if " mask=" in line] for text in texts]


def redirect(request: Any) -> Response | None:
    return Response(302, Headers({"Location": "/new"})) if request.path == "/old" else None


SECRET = "/room?token=secret"


def test_the_repr_of_a_connection_on_asyncio() -> None:
    """It says which connection this is and whether it is open, and leaves out the query, which may hold a token."""
    seen: list[str] = []

    async def close(ws: rfc6455_io.asyncio.WebSocket) -> None:
        seen.append(f"{await ws.recv()} {ws!r}")
        await ws.close(4000)

    async def main() -> None:
        assert repr(rfc6455_io.asyncio.Listener()).startswith("<rfc6455_io._asyncio_driver.Listener object at ")
        async with rfc6455_io.asyncio.serve(close, "127.0.0.1", 0) as server:
            ws = await rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}{SECRET}", proxy=None)
            await ws.send(repr(ws))
            await ws.wait_closed()
            seen.append(repr(ws))

    asyncio.run(main())
    assert seen == [
        "<WebSocket client /room open> <WebSocket server /room open>",
        "<WebSocket client /room closed 4000>",
    ]


def test_the_repr_of_a_connection_for_threads() -> None:
    seen: list[str] = []

    def close(ws: rfc6455_io.threads.WebSocket) -> None:
        seen.append(f"{ws.recv()} {ws!r}")
        ws.close(4000)

    with rfc6455_io.threads.serve(close, "127.0.0.1", 0) as server:
        ws = rfc6455_io.threads.connect(f"ws://127.0.0.1:{server.port}{SECRET}", proxy=None)
        ws.send(repr(ws))
        ws.wait_closed(PATIENCE)
        seen.append(repr(ws))
    assert seen == [
        "<WebSocket client /room open> <WebSocket server /room open>",
        "<WebSocket client /room closed 4000>",
    ]


def test_handshakes_are_wrapped_on_asyncio() -> None:
    ours, theirs = Recorders(), Recorders()

    async def echo(ws: rfc6455_io.asyncio.WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    async def main() -> None:
        async with rfc6455_io.asyncio.serve(
            echo, "127.0.0.1", 0, process_request=redirect, wrap=theirs.wrap
        ) as server:
            uri = f"ws://127.0.0.1:{server.port}/old"
            async with rfc6455_io.asyncio.connect(uri, proxy=None, wrap=ours.wrap) as ws:
                await ws.send("hello")
                assert await asyncio.wait_for(ws.recv(), PATIENCE) == "hello"

    asyncio.run(main())
    check_conversation(ours, theirs)


def test_handshakes_are_wrapped_for_threads() -> None:
    ours, theirs = Recorders(), Recorders()

    def echo(ws: rfc6455_io.threads.WebSocket) -> None:
        for message in ws:
            ws.send(message)

    with rfc6455_io.threads.serve(echo, "127.0.0.1", 0, process_request=redirect, wrap=theirs.wrap) as server:
        uri = f"ws://127.0.0.1:{server.port}/old"
        with rfc6455_io.threads.connect(uri, proxy=None, wrap=ours.wrap) as ws:
            ws.send("hello")
            assert ws.recv(PATIENCE) == "hello"
    check_conversation(ours, theirs)


def check_conversation(ours: Recorders, theirs: Recorders) -> None:
    """Check what was recorded: the request that was redirected, and the connection after it."""
    assert ours.frames() == [[], ["> TEXT", "< TEXT", "> CLOSE", "< CLOSE"]]
    assert theirs.frames() == [[], ["< TEXT", "> TEXT", "< CLOSE", "> CLOSE"]]


def test_a_wrong_argument_is_reported_before_anything_is_wrapped() -> None:
    recorders = Recorders()
    for module in (rfc6455_io.asyncio, rfc6455_io.threads):
        with pytest.raises(TypeError, match="limits"):
            module.serve(handler, "127.0.0.1", 0, wrap=recorders.wrap, limits=5)  # type: ignore[attr-defined]
    assert recorders == []


def not_wrapped(handshake: Any) -> Any:
    raise ZeroDivisionError


NOT_WRAPPING = pytest.mark.parametrize("wrap", [not_wrapped, lambda _: None])


@NOT_WRAPPING
def test_a_handshake_that_is_not_wrapped_is_refused_on_asyncio(wrap: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with rfc6455_io.asyncio.serve(handler, "127.0.0.1", 0, wrap=wrap) as server:
            with pytest.raises(HandshakeError) as caught:
                await rfc6455_io.asyncio.connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
            assert caught.value.status == 500

    asyncio.run(main())
    check_log(caplog)


@NOT_WRAPPING
def test_a_handshake_that_is_not_wrapped_is_refused_by_threads(wrap: Any, caplog: pytest.LogCaptureFixture) -> None:
    with rfc6455_io.threads.serve(handler, "127.0.0.1", 0, wrap=wrap) as server:
        with pytest.raises(HandshakeError) as caught:
            rfc6455_io.threads.connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
        assert caught.value.status == 500
    check_log(caplog)


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Check that the reason is logged, once."""
    (text,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert text == "a client is answered with 500: its handshake could not be wrapped"


def test_wrap_must_be_callable() -> None:
    for module in (rfc6455_io.asyncio, rfc6455_io.threads):
        with pytest.raises(TypeError, match="wrap is a function"):
            module.serve(handler, "127.0.0.1", 0, wrap="x")  # type: ignore[attr-defined]
