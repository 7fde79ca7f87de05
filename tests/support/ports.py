"""A port for a server that a test stops and starts again."""

from __future__ import annotations

import socket
import sys


def keep_port() -> tuple[int, socket.socket]:
    """Return a free port of 127.0.0.1, and a socket that keeps it until it is closed.

    The socket is bound to the port, so nobody else is given it, neither as "port 0" nor for a connection of their own.
    But it does not listen, so a server with ``SO_REUSEADDR`` can. Only Linux lets two sockets share a port like that;
    elsewhere the socket is closed already.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    if sys.platform != "linux":
        sock.close()
    return port, sock
