"""What servers on asyncio and for threads have in common."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import rfc6455_io.asyncio
import rfc6455_io.threads
from rfc6455_io._openings import port_of

SERVE = {"asyncio": rfc6455_io.asyncio.serve, "threads": rfc6455_io.threads.serve}


async def handler(ws: object) -> None:
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
