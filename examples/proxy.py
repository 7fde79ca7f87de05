"""A proxy that passes messages on while they come, part by part, in bounded memory.

    python examples/proxy.py ws://127.0.0.1:9000 --port 8765

The law: each side is a connection of its own, with its own compression, Pings and deadlines; what passes between them
is parts of messages, and how they closed. Nothing is read from one side before the other took what came before. A
Close frame is answered when the other side has answered it, so that nothing that was on its way is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib.util
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: it is in the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts, websocket_uri

import rfc6455

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# How large a message may be is for the two ends to say: here only parts are kept.
LIMITS = rfc6455.Limits(message=None, memory=1 << 20)

# How much may still come for a side that has closed, in characters or bytes, before it gets its answer.
MAX_LATE = 1 << 20

# What is passed on of a request, besides its path, query and subprotocols.
PASSED_ON = ("authorization", "cookie", "user-agent")

# Each client has two file descriptors, of which a process usually gets 1024.
MAX_CLIENTS = 250

# After our last byte, how long a peer has to take it and to close, in seconds. Closing TCP with input unread resets
# the connection, and a reset may overtake our Close frame (7.1.1).
LINGER = 2.0


class Leg:
    """One of the two connections.

    :param lost_code: the close code that tells the other side that this one was lost.
    :param is_trusted: whether its deadlines count only the time in which we listen to it. While the other side holds
        it up, its Pongs are not heard; but a client could hold itself up for ever.
    """

    other: Leg

    def __init__(
        self, stream: Stream, ws: rfc6455.Connection, timeouts: rfc6455.Timeouts, lost_code: int, is_trusted: bool
    ) -> None:
        self.reader, self.writer = stream
        self.ws = ws
        self.lost_code = lost_code
        self.is_trusted = is_trusted
        self.loop = asyncio.get_running_loop()
        self.late = 0
        self.closed: rfc6455.Closed | None = None
        self.over = asyncio.Event()
        self.deadlines = rfc6455.Deadlines(timeouts, now=self.loop.time())
        self.deadlines.opened(ws, now=self.loop.time())
        self.timer = self.loop.call_soon(self.settle)

    async def run(self) -> None:
        """Reads until the end of file, but nothing before the other side took what came before."""
        data: bytes | None = None
        try:
            while data != b"":
                await self.wait_for_other()
                if self.ws.unread:
                    await asyncio.sleep(0)  # it may inflate to much, and the others want to run, too
                data = None if self.ws.unread else await self.reader.read(65536)
                self.receive(data)
        except OSError:
            self.receive(b"")  # reset
        await self.over.wait()
        await close(self.writer)
        self.timer.cancel()

    async def wait_for_other(self) -> None:
        if self.is_trusted:
            self.deadlines.pause(self.loop.time())
        try:
            await self.other.writer.drain()
        except OSError:
            pass  # reset; its own `run` is told, too
        self.deadlines.resume(self.loop.time())
        self.set_timer()

    def receive(self, data: bytes | None) -> None:
        if not self.over.is_set():
            self.pass_on(self.ws.receive_data(data))
            self.settle()

    def pass_on(self, events: Sequence[rfc6455.Event]) -> None:
        """A Ping is not passed on, as it is answered already, and no Pong, as it was asked for here."""
        for event in events:
            match event:
                case rfc6455.TextPart(text, final) if text or final:
                    self.other.send(self.other.ws.send_text, text, final)
                case rfc6455.BytesPart(data, final) if data or final:
                    self.other.send(self.other.ws.send_bytes, data, final)
                case rfc6455.Closed(code, reason, clean):
                    self.closed = event
                    self.other.close(*(code, reason) if clean else (self.lost_code,))

    def send(self, send: Callable[..., None], part: str | bytes, final: bool) -> None:
        if self.closed is not None:
            self.late += len(part)
        try:
            send(part, fin=final)
        except rfc6455.LocalProtocolError:
            pass  # this side has had its Close frame

    def close(self, code: int, reason: str = "") -> None:
        self.ws.close(None if code == rfc6455.CloseCode.NO_STATUS_RCVD else code, reason)

    def settle(self) -> None:
        """Does what is due on both sides, and writes."""
        for leg in (self, self.other):
            leg.pass_on(leg.deadlines.advance(now=self.loop.time()))
        for leg in (self, self.other):
            if not leg.over.is_set() and not leg.keeps_its_answer():
                leg.write()

    def keeps_its_answer(self) -> bool:
        """Whether the peer's Close frame is not to be answered yet: the other side has not answered."""
        closed = self.closed
        return closed is not None and closed.clean and self.other.closed is None and self.late < MAX_LATE

    def write(self) -> None:
        self.writer.write(self.ws.data_to_send())
        if self.ws.must_close:
            self.over.set()
            self.timer.cancel()
            self.timer = end(self.writer)
        self.set_timer()

    def set_timer(self) -> None:
        due = self.deadlines.next_deadline()
        if not self.over.is_set():
            self.timer.cancel()
            if due is not None:
                self.timer = self.loop.call_at(due, self.settle)


def end(writer: asyncio.StreamWriter) -> asyncio.TimerHandle:
    """Says that nothing more comes, and gives the peer time to say the same; then the end of file is sure to come."""
    try:
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS, which has no half-closed connections
    except OSError:
        pass  # reset
    return asyncio.get_running_loop().call_later(LINGER, writer.transport.abort)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass  # reset


class Proxy:
    """Listens, and makes two legs of each connection."""

    def __init__(self, upstream: rfc6455.URI, timeouts: rfc6455.Timeouts) -> None:
        self.upstream = upstream
        self.timeouts = timeouts
        self.clients: set[asyncio.Task[None]] = set()
        self.legs: set[Leg] = set()
        self.ends = False

    async def run(self, host: str, port: int) -> None:
        """Serves until a signal comes, then until all clients have gone."""
        signalled = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, signalled.set)
        listener = await asyncio.start_server(self.serve, host, port)
        print(f"listening on port {listener.sockets[0].getsockname()[1]}", flush=True)
        await signalled.wait()
        listener.close()
        self.ends = True
        self.send_away(*self.legs)
        if self.clients:
            await asyncio.wait(self.clients)

    def send_away(self, *legs: Leg) -> None:
        for leg in legs:
            leg.close(rfc6455.CloseCode.GOING_AWAY)
            leg.settle()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client; a task of its own."""
        host, port = (writer.get_extra_info("peername") or ("somebody", 0))[:2]
        if len(self.clients) >= MAX_CLIENTS:
            print(f"{host}:{port} refused: too many clients", flush=True)
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self.clients.add(task)
        handshake = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()], limits=LIMITS)
        try:
            stream, ws = await self.open(reader, handshake)
        except rfc6455.HandshakeError as error:
            print(f"{host}:{port} refused: {error}", flush=True)
            await refuse(reader, writer, handshake.data_to_send())
        else:
            client_ws = handshake.accept(ws.subprotocol, parts=True)
            client = Leg((reader, writer), client_ws, self.timeouts, rfc6455.CloseCode.GOING_AWAY, False)
            upstream = Leg(stream, ws, self.timeouts, rfc6455.CloseCode.BAD_GATEWAY, True)
            await self.connect(client, upstream)
            if client.closed is not None:
                print(f"{host}:{port} closed: {int(client.closed.code)} {str(client.closed)!a}", flush=True)
        self.clients.remove(task)

    async def open(
        self, reader: asyncio.StreamReader, handshake: rfc6455.ServerHandshake
    ) -> tuple[Stream, rfc6455.Connection]:
        """Reads the client's request and opens a connection upstream for it.

        :raises HandshakeError: when that is not possible; the answer for the client is queued.
        """
        opening = asyncio.wait_for(self.open_upstream(reader, handshake), self.timeouts.open)
        try:
            return await opening
        except rfc6455.HandshakeError as error:
            if handshake.response is None:  # it is upstream that refuses
                handshake.reject(error.status if error.status is not None and error.status >= 300 else 502)
            raise
        except asyncio.TimeoutError:
            reason, status = "the opening handshake took too long", 408 if handshake.request is None else 504
        except OSError as error:
            reason, status = f"there is no connection: {error}", 502
        except rfc6455.LocalProtocolError as error:
            reason, status = f"a request that cannot be passed on: {error}", 400
        handshake.reject(status)
        raise rfc6455.HandshakeError(status, reason)

    async def open_upstream(
        self, reader: asyncio.StreamReader, handshake: rfc6455.ServerHandshake
    ) -> tuple[Stream, rfc6455.Connection]:
        while (request := handshake.receive_data(await reader.read(65536))) is None:
            pass
        uri = dataclasses.replace(self.upstream, resource_name=request.resource_name)
        opening = rfc6455.ClientHandshake(
            uri,
            request.subprotocols,
            [rfc6455.PerMessageDeflate()],
            headers=[(name, value) for name, value in request.headers if name.lower() in PASSED_ON],
            limits=LIMITS,
            parts=True,
        )
        stream = await asyncio.open_connection(uri.host, uri.port, ssl=uri.secure or None)
        try:
            stream[1].write(opening.data_to_send())
            while (ws := opening.receive_data(await stream[0].read(65536))) is None:
                pass
        except BaseException:
            stream[1].close()
            raise
        return stream, ws

    async def connect(self, client: Leg, upstream: Leg) -> None:
        """Lets the two talk until both have closed."""
        client.other, upstream.other = upstream, client
        self.legs |= {client, upstream}
        if self.ends:
            self.send_away(client, upstream)
        await asyncio.gather(client.run(), upstream.run())
        self.legs -= {client, upstream}


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    timer = end(writer)
    try:
        while await reader.read(65536):
            pass
    except OSError:
        pass  # reset
    await close(writer)
    timer.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description="Passes WebSocket connections on to another server. Ctrl-C ends it.")
    parser.add_argument("upstream", type=websocket_uri, help="where to, such as ws://127.0.0.1:9000")
    add_address(parser)
    add_timeouts(parser)
    options = vars(parser.parse_args())
    upstream, host, port = (options.pop(name) for name in ("upstream", "host", "port"))
    asyncio.run(Proxy(upstream, take_timeouts(options)).run(host, port))


if __name__ == "__main__":
    main()
