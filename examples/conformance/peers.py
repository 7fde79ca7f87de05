"""Echo servers of several libraries, each as small as it can be: ``python peers.py NAME`` prints its port and serves.

Each uses its library as the library's documentation shows, with its defaults, but for permessage-deflate, which is
switched on where that takes an argument. Also here: an echo client on `rfc6455`, ``python peers.py client URI``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import logging
import socket
import socketserver
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

if importlib.util.find_spec("rfc6455") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2]))

import rfc6455

HOST = "127.0.0.1"
READ_SIZE = 64 << 10

# How long our own ends wait for the other one to close TCP, in seconds.
LINGER = 2.0


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
        sock: socket.socket = self.request
        handshake = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()])
        # A client that leaves is no reason to complain.
        with contextlib.suppress(OSError):
            try:
                while handshake.receive_data(sock.recv(READ_SIZE)) is None:
                    pass
            except rfc6455.HandshakeError:
                sock.sendall(handshake.data_to_send())
                close_tcp(sock)
            else:
                echo(sock, handshake.accept())


def echo(sock: socket.socket, ws: rfc6455.Connection) -> None:
    sock.sendall(ws.data_to_send())
    while not ws.closed:
        for event in ws.receive_data(None if ws.unread else sock.recv(READ_SIZE)):
            match event:
                case rfc6455.TextMessage(text):
                    ws.send_text(text)
                case rfc6455.BytesMessage(data):
                    ws.send_bytes(data)
        sock.sendall(ws.data_to_send())
    close_tcp(sock, ours=ws.must_close)


def close_tcp(sock: socket.socket, *, ours: bool = True) -> None:
    """Closes TCP, first if it is our turn (7.1.1), and reads on till the other end has: or else TCP is reset."""
    sock.settimeout(LINGER)
    if ours:
        sock.shutdown(socket.SHUT_WR)
    while sock.recv(READ_SIZE):
        pass


def run_client(uri: str) -> None:
    """Connects and echoes until no connection is to be had any more."""
    address = rfc6455.parse_uri(uri)
    while True:
        try:
            sock = socket.create_connection((address.host, address.port))
        except ConnectionError:
            return
        with sock, contextlib.suppress(OSError):
            echo_once(sock, uri)


def echo_once(sock: socket.socket, uri: str) -> None:
    handshake = rfc6455.ClientHandshake(uri, extensions=[rfc6455.PerMessageDeflate()])
    sock.sendall(handshake.data_to_send())
    try:
        while (ws := handshake.receive_data(sock.recv(READ_SIZE))) is None:
            pass
    except rfc6455.HandshakeError:
        return
    echo(sock, ws)


# ---- Others ----


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
        """Whether the connection goes on."""
        from wsproto import events
        from wsproto.extensions import PerMessageDeflate

        parts: list[Any] = self.__dict__.setdefault("parts", [])
        for event in connection.events():
            match event:
                case events.Request():
                    sock.sendall(connection.send(events.AcceptConnection(extensions=[PerMessageDeflate()])))
                    # There may be frames that came with the request.
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

# name: (what it serves with, the distribution whose version counts)
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
    """The names of those that are installed."""
    return (name for name in PEERS if importlib.util.find_spec(name) is not None)


def announce(port: int) -> None:
    print(port, flush=True)


def main(name: str, *arguments: str) -> None:
    # What goes wrong is the checker's to tell, on the other side.
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
