"""A server that is really late: it is blocked, or its process stopped, until a Pong that arrived in time is due.

`tests/examples/test_late.py` tests the other loops of this project in the same way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import late
import pytest
from chat_server import ChatServer, Client

import rfc6455

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")]

# The Pong is due while the server stands still.
TIMES = ["--ping-interval", "0.3", "--pong-timeout", "2"]

# What a turn of the loop may take on a busy machine; less than another Pong is awaited.
TURN = 1.8

MakeLate = Callable[[ChatServer, Callable[[], object]], float]

EACH_WAY = pytest.mark.parametrize("make_late", [late.stop, late.block], ids=["process stopped", "threads blocked"])


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(*TIMES, runner=Path(late.__file__)) as server:
        yield server


def answer_to_the_next_ping(client: Client) -> bytes:
    """Read on until there is a Ping, and return the Pong, which is not sent yet."""
    while not any(isinstance(event, rfc6455.Ping) for event in client.ws.receive_data(client.sock.recv(65536))):
        pass
    return client.ws.data_to_send()


@EACH_WAY
def test_a_client_that_answered_lives(server: ChatServer, make_late: MakeLate) -> None:
    with server.client("Ann") as ann:
        for _ in range(2):
            pong = answer_to_the_next_ping(ann)
            make_late(server, lambda pong=pong: ann.sock.sendall(pong))  # type: ignore[misc]
        with server.client("Bob") as bob:
            bob.say("hello")
            assert ann.said(1) == ["Bob: hello"]


@EACH_WAY
def test_a_client_that_is_gone_does_not(server: ChatServer, make_late: MakeLate) -> None:
    with server.client("Ann") as ann:
        answer_to_the_next_ping(ann)
        goes_on_at = make_late(server, lambda: None)
        assert ann.closed().code == 3008
        assert time.monotonic() - goes_on_at < TURN
