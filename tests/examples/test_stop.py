"""A signal ends each example cleanly whenever it arrives, even in the gap before a wait: see `late_signal.py`."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from chat_server import LATE_SIGNAL
from helpers import CLOSE, close_payload, to
from programs import EXAMPLES, PATIENCE, Peer, Program, check_echo

from rfc6455 import SERVER

PROGRAMS = {
    "threads": ("echo_threads.py",),
    "asyncio streams": ("echo_asyncio.py",),
    "asyncio protocol": ("echo_asyncio.py", "--protocol"),
    "trio": ("echo_trio.py",),
    "http2": ("http2_echo.py",),
    "proxy": ("proxy.py", "ws://127.0.0.1:9/"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_signal_just_before_the_wait(name: str, number: int) -> None:
    with Program(*PROGRAMS[name], runner=LATE_SIGNAL) as program:
        program.stop(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_just_before_the_wait_with_a_client_there(number: int) -> None:
    with Program("echo_threads.py", runner=LATE_SIGNAL) as program, Peer(program.port).open() as peer:
        program.process.send_signal(number)
        assert peer.close_frame() == 1012
        peer.send(to(SERVER, CLOSE, close_payload(1012)))
        peer.check_eof()
        program.check_ended()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_just_before_a_client_waits(number: int) -> None:
    with Program("echo_asyncio.py") as server:
        command = [sys.executable, str(LATE_SIGNAL), str(EXAMPLES / "client_asyncio.py"), server.uri]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            check_echo(process)
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
        server.wait_for("closed: 1001")
