"""Echo servers of several libraries, each as small as possible: ``python peers.py NAME`` prints its port and serves.

Each uses its library as the library's documentation shows, with the defaults, except that permessage-deflate is
switched on if this takes an argument. Also here: an echo client on `rfc6455`, ``python peers.py client URI``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import logging
import select
import socket
import socketserver
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

if importlib.util.find_spec("rfc6455") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2]))

import rfc6455

HOST = "127.0.0.1"
READ_SIZE = 64 << 10

# The time in seconds for which an end without deadlines of its own waits for the other one to close TCP.
LINGER = 2.0

# Only the wait for the end of TCP has a deadline, as a case may wait for any time, and does not expect Pings.
TIMEOUTS = rfc6455.Timeouts(open=None, ping_interval=None)


# ---- rfc6455 ----


def serve_rfc6455() -> None:
    with EchoServer((HOST, 0), EchoHandler) as server:
        announce(server.server_address[1])
        server.serve_forever()


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


class EchoHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        # It is not an error if a client leaves.
        with contextlib.suppress(OSError):
            echo(self.request, rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()]))


def echo(sock: socket.socket, handshake: rfc6455.ServerHandshake | rfc6455.ClientHandshake) -> None:
    """Send back each message, until both ends have closed TCP."""
    ws = rfc6455.Endpoint(handshake, TIMEOUTS, now=time.monotonic())
    data = None
    while not ws.finished:
        for event in ws.events(data, now=time.monotonic()):
            match event:
                case rfc6455.Request():
                    ws.accept(now=time.monotonic())
                case rfc6455.TextMessage() | rfc6455.BytesMessage():
                    ws.send(event)
        if ws.has_data_to_send:
            sock.sendall(ws.data_to_send())
        if ws.must_close:
            sock.shutdown(socket.SHUT_WR)
        until = ws.next_deadline()
        seconds = None if until is None else max(0, until - time.monotonic())
        data = sock.recv(READ_SIZE) if select.select([sock], [], [], seconds)[0] else None


def run_client(uri: str) -> None:
    """Connect and echo until no more connections are accepted."""
    address = rfc6455.parse_uri(uri)
    while True:
        try:
            sock = socket.create_connection((address.host, address.port))
        except ConnectionError:
            return
        with sock, contextlib.suppress(OSError):
            echo(sock, rfc6455.ClientHandshake(uri, extensions=[rfc6455.PerMessageDeflate()]))


# ---- Others ----


def close_tcp(sock: socket.socket) -> None:
    """Close TCP first (7.1.1), and read on until the other end has closed it. Otherwise, TCP would be reset."""
    sock.settimeout(LINGER)
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(READ_SIZE):
        pass


async def serve_websockets() -> None:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    async def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async with serve(handler, HOST, 0) as server:
        announce(next(iter(server.sockets)).getsockname()[1])
        await server.serve_forever()


async def serve_aiohttp() -> None:
    from aiohttp import WSMsgType, web

    async def handler(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            if message.type is WSMsgType.TEXT:
                await response.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await response.send_bytes(message.data)
        return response

    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    announce(runner.addresses[0][1])
    await asyncio.Event().wait()


async def serve_picows() -> None:
    import picows.websockets
    from picows.websockets.exceptions import ConnectionClosed

    async def handler(connection: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async with picows.websockets.serve(handler, HOST, 0) as server:
        announce(next(iter(server.sockets)).getsockname()[1])
        await server.serve_forever()


def serve_wsproto() -> None:
    with EchoServer((HOST, 0), WsprotoHandler) as server:
        announce(server.server_address[1])
        server.serve_forever()


class WsprotoHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        from wsproto import ConnectionType, WSConnection
        from wsproto.utilities import LocalProtocolError, RemoteProtocolError

        sock: socket.socket = self.request
        connection = WSConnection(ConnectionType.SERVER)
        is_open = True
        with contextlib.suppress(OSError, LocalProtocolError):
            while is_open:
                data = sock.recv(READ_SIZE)
                try:
                    connection.receive_data(data or None)
                    is_open = self.answer(sock, connection) and bool(data)
                except RemoteProtocolError as error:
                    if error.event_hint is not None:
                        sock.sendall(connection.send(error.event_hint))
                    is_open = False
            close_tcp(sock)

    def answer(self, sock: socket.socket, connection: Any) -> bool:
        """Return whether the connection goes on."""
        from wsproto import events
        from wsproto.extensions import PerMessageDeflate

        parts: list[Any] = self.__dict__.setdefault("parts", [])
        for event in connection.events():
            match event:
                case events.Request():
                    sock.sendall(connection.send(events.AcceptConnection(extensions=[PerMessageDeflate()])))
                    # Frames may have arrived with the request.
                    return self.answer(sock, connection)
                case events.Message():
                    parts.append(event.data)
                    if event.message_finished:
                        sock.sendall(connection.send(type(event)(data=parts[0][:0].join(parts))))
                        parts.clear()
                case events.Ping():
                    sock.sendall(connection.send(event.response()))
                case events.CloseConnection():
                    sock.sendall(connection.send(event.response()))
                    return False
        return True


# ---- All ----

# name: (the function that serves, the distribution whose version is shown)
PEERS: dict[str, Callable[[], Any]] = {
    "rfc6455": serve_rfc6455,
    "websockets": serve_websockets,
    "wsproto": serve_wsproto,
    "aiohttp": serve_aiohttp,
    "picows": serve_picows,
}


def version_of(name: str) -> str:
    return rfc6455.__version__ if name == "rfc6455" else version(name)


def installed() -> Iterator[str]:
    """Yield the names of those peers whose libraries are installed."""
    return (name for name in PEERS if importlib.util.find_spec(name) is not None)


def announce(port: int) -> None:
    print(port, flush=True)


def main(name: str, *arguments: str) -> None:
    # The checker reports the errors, from the other side.
    logging.disable()
    if name == "client":
        run_client(*arguments)
        return
    serve = PEERS[name]
    if inspect.iscoroutinefunction(serve):
        asyncio.run(serve())
    else:
        serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
