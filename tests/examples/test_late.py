"""Each of our loops is really late: it is blocked, or its process stopped, until a Pong that arrived in time is due.

The client answers while the loop is blocked. A loop that checked the time, but not the socket, would give it up. A
client that has gone is given up nevertheless, within one more iteration of the loop.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import h2.events
import late
import pytest
from helpers import PING, PONG, TEXT, to
from http2_client import Client
from programs import Peer, Program
from tls import make_certificate

import rfc6455
from rfc6455 import SERVER

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")]

SUPPORT = Path(late.__file__).parent

SERVERS = {
    "select": ["echo_select.py"],
    "threads": ["echo_threads.py"],
    "streams": ["echo_asyncio.py"],
    "protocol": ["echo_asyncio.py", "--protocol"],
    "trio": ["echo_trio.py"],
    "proxy": ["proxy.py"],
    "uvicorn": ["uvicorn_echo.py"],
}

# The Pong is due while the loop stands still.
TIMES = ["--ping-interval", "0.3", "--pong", "2"]

# What a turn of the loop may take on a busy machine; less than another Pong is awaited.
TURN = 1.8

MakeLate = Callable[[Program, Callable[[], object]], float]

EACH_WAY = pytest.mark.parametrize("make_late", [late.stop, late.block], ids=["process stopped", "loop blocked"])


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    script, *arguments = SERVERS[request.param]
    with ExitStack() as stack:
        if request.param == "proxy":
            arguments = [stack.enter_context(Program("echo_asyncio.py")).uri]
        directory = {"examples": SUPPORT} if request.param == "uvicorn" else {}
        runner = SUPPORT / "late.py"
        yield stack.enter_context(Program(script, *arguments, *TIMES, runner=runner, **directory))


@EACH_WAY
def test_a_client_that_answered_lives(server: Program, make_late: MakeLate) -> None:
    with Peer(server.port).open() as peer:
        for _ in range(2):
            opcode, payload = peer.frame()
            assert opcode == PING
            make_late(server, lambda payload=payload: peer.send(to(SERVER, PONG, payload)))  # type: ignore[misc]
        opcode, payload = peer.frame()
        assert opcode == PING
        peer.send(to(SERVER, PONG, payload) + to(SERVER, TEXT, b"still here"))
        while (frame := peer.frame())[0] == PING:
            peer.send(to(SERVER, PONG, frame[1]))
        assert frame == (TEXT, b"still here")


@EACH_WAY
def test_a_client_that_is_gone_does_not(request: pytest.FixtureRequest, server: Program, make_late: MakeLate) -> None:
    with Peer(server.port).open() as peer:
        assert peer.frame()[0] == PING
        goes_on_at = make_late(server, lambda: None)
        # uvicorn's own classes end a connection with 1011 for want of a Pong, and ours does as they do.
        assert peer.close_frame() == (1011 if "uvicorn" in request.node.name else 3008)
        # select() goes on with the rest of its time when the process does.
        rest = 2 if "select-process stopped" in request.node.name else 0
        assert time.monotonic() - goes_on_at < TURN + rest


@pytest.fixture
def http2() -> Iterator[Program]:
    with Program("http2_echo.py", *TIMES, runner=SUPPORT / "late.py") as program:
        yield program


@EACH_WAY
def test_a_client_over_http2_that_answered_lives(http2: Program, make_late: MakeLate) -> None:
    with Client(http2.port) as client:
        ws = client.request()
        for _ in range(2):
            (ping,) = ws.receive()
            assert isinstance(ping, rfc6455.Ping)
            make_late(http2, ws.send)
        (ping,) = ws.receive()
        assert isinstance(ping, rfc6455.Ping)
        assert client.of(1, h2.events.StreamEnded) == []


@EACH_WAY
def test_a_client_over_http2_that_is_gone_does_not(http2: Program, make_late: MakeLate) -> None:
    with Client(http2.port) as client:
        ws = client.request()
        assert isinstance(ws.receive()[0], rfc6455.Ping)
        goes_on_at = make_late(http2, lambda: None)
        assert ws.closed().code == 3008
        assert time.monotonic() - goes_on_at < TURN


@pytest.fixture
def http3(tmp_path: Path) -> Iterator[tuple[Program, Path]]:
    pytest.importorskip("aioquic")
    chain, key = make_certificate(tmp_path)
    options = ["--certificate", str(chain), "--key", str(key), *TIMES]
    with Program("http3_echo.py", *options, runner=SUPPORT / "late.py") as program:
        yield program, chain


@EACH_WAY
def test_a_client_over_http3_that_answered_lives(http3: tuple[Program, Path], make_late: MakeLate) -> None:
    """Its Pong is behind the datagrams of others, of which the loop reads one at a time."""
    import http3_client

    program, certificate = http3

    def answer() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for _ in range(50):
                other.sendto(b"from another client", ("127.0.0.1", program.port))
        ws.send()

    with http3_client.Client(program.port, certificate) as client:
        ws = client.request()
        (ping,) = ws.receive()
        assert isinstance(ping, rfc6455.Ping)
        make_late(program, answer)
        (ping,) = ws.receive()
        assert isinstance(ping, rfc6455.Ping)
        assert not ws.has_ended()


@EACH_WAY
def test_a_client_over_http3_that_is_gone_does_not(http3: tuple[Program, Path], make_late: MakeLate) -> None:
    import http3_client

    program, certificate = http3
    with http3_client.Client(program.port, certificate) as client:
        ws = client.request()
        assert isinstance(ws.receive()[0], rfc6455.Ping)
        goes_on_at = make_late(program, lambda: None)
        assert ws.closed().code == 3008
        assert time.monotonic() - goes_on_at < TURN
