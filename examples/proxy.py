"""A proxy that forwards messages as they arrive, part by part, in bounded memory.

    python examples/proxy.py ws://127.0.0.1:9000 --port 8765

The law: each side is a separate connection, with its own compression, Pings and deadlines. Only parts of messages, and
the code and reason with which a side closed, pass between them. Nothing is read from one side before the other has
taken the data that was read earlier. A Close frame is answered when the other side has answered it, so that nothing in
transit is lost. No code is made up: if one side is lost or fails, TCP is cut on the other, so that its peer sees the
same as without a proxy. The proxy uses `Endpoint.receive_data`, which is one step of `Endpoint.events`, because after
it, a side whose peer has closed can still send.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib.util
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts, websocket_uri

import rfc6455

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# The two ends decide how large a message may be, as only parts are kept here.
LIMITS = rfc6455.Limits(message=None, memory=1 << 20)

# The amount, in characters or bytes, that may still arrive for a side that has closed before it gets its answer.
MAX_LATE = 1 << 20

# The fields of a request that are passed on, besides its path, query and subprotocols.
PASSED_ON = ("authorization", "cookie", "user-agent")

# Each client takes two file descriptors, of which a process usually has 1024.
MAX_CLIENTS = 250

# The time in seconds for which the last bytes may stay in the transport when there is nothing else to wait for.
FAREWELL = 2.0


class Leg:
    """One of the two connections.

    :param is_trusted: whether its deadlines count only the time in which we read from it. While the other side holds
        it up, its Pongs are not read. A client is not trusted, as it could hold itself up for ever.
    """

    other: Leg | None = None

    def __init__(self, stream: Stream, ws: rfc6455.Endpoint, is_trusted: bool) -> None:
        self.reader, self.writer = stream
        self.ws = ws
        self.is_trusted = is_trusted
        self.loop = asyncio.get_running_loop()
        self.late = 0
        self.is_cut = False
        self.may_read = asyncio.Event()
        self.over = asyncio.Event()
        # Set when its part of the opening handshake has arrived: the request, the response, or the end.
        self.opened: asyncio.Future[rfc6455.Request | rfc6455.Response | rfc6455.Closed] = self.loop.create_future()
        self.may_read.set()
        self.timer = self.loop.call_soon(self.tick)

    async def run(self) -> None:
        """Read until the end of the stream. Before each read, wait until the other side has taken the previous
        data."""
        data: bytes | None = None
        try:
            while data != b"":
                await self.wait_for_other()
                if self.ws.unread:
                    await asyncio.sleep(0)  # the rest may inflate to a lot, and the others need their turn
                data = None if self.ws.unread else await self.reader.read(65536)
                self.receive(data)
        except OSError:
            self.receive(b"")  # reset
        await self.over.wait()
        self.timer.cancel()
        await close(self.writer)

    async def wait_for_other(self) -> None:
        await self.may_read.wait()
        if self.other is None:
            return
        if self.is_trusted:
            self.ws.pause(now=self.loop.time())
        try:
            await self.other.writer.drain()
        except OSError:
            pass  # reset; its own `run` will notice it as well
        self.ws.resume(now=self.loop.time())
        self.set_timer()

    def receive(self, data: bytes | None) -> None:
        if not self.is_cut:
            self.pass_on(self.ws.receive_data(data, now=self.loop.time()))
        elif data == b"":
            self.over.set()
        self.settle()

    def pass_on(self, events: Sequence[rfc6455.Request | rfc6455.Response | rfc6455.Event]) -> None:
        """Pass on messages and the end, but neither Pings, which have already been answered, nor Pongs, which answer
        the proxy's own Pings."""
        for event in events:
            match event:
                case rfc6455.Request() | rfc6455.Response():
                    self.opened.set_result(event)
                    self.may_read.clear()  # until there is another side to which it can be passed
                case rfc6455.TextPart(text, final) if text or final:
                    self.send(event, len(text))
                case rfc6455.BytesPart(data, final) if data or final:
                    self.send(event, len(data))
                case rfc6455.Closed():
                    self.end(event)

    def send(self, part: rfc6455.Event, size: int) -> None:
        if self.other is None or self.other.is_cut:
            return
        if self.other.ws.closed:
            self.other.late += size
        try:
            self.other.ws.send(part)
        except rfc6455.LocalProtocolError:
            pass  # that side has already been sent a Close frame

    def end(self, closed: rfc6455.Closed) -> None:
        if not self.opened.done():
            self.opened.set_result(closed)
        elif self.other is not None and closed.clean:
            self.other.ws.send(closed)
        elif self.other is not None:
            self.other.cut()

    def cut(self) -> None:
        """Close TCP without a Close frame, once everything has been sent."""
        if not self.over.is_set() and not self.is_cut and not self.ws.closed:
            self.write()
            self.is_cut = True
            self.writer.close()
            self.timer.cancel()
            self.timer = self.loop.call_later(FAREWELL, self.writer.transport.abort)
            self.may_read.set()

    def tick(self) -> None:
        """Handle the deadlines that are due on this side. The other side has its own timer: a deadline that is noticed
        late ends a connection if the time is passed twice without a read in between."""
        self.tell_time()
        self.settle()

    def settle(self) -> None:
        """Write on both sides, and set the timers."""
        legs = [self] if self.other is None else [self, self.other]
        for leg in legs:
            due = leg.ws.deadlines.next_deadline()
            if due is None or due > self.loop.time():
                leg.tell_time()
        for leg in legs:
            if not leg.over.is_set() and not leg.is_cut and not leg.keeps_its_answer():
                leg.write()
                leg.finish_if_over()

    def tell_time(self) -> None:
        if not self.is_cut:
            self.ws.advance(now=self.loop.time())
            if self.ws.closed:
                self.pass_on(self.ws.receive_data(None, now=self.loop.time()))

    def keeps_its_answer(self) -> bool:
        """Return whether the peer's Close frame must not be answered yet, as the other side has not answered."""
        end, other = self.ws.end, self.other
        if end is None or other is None or not end.clean:
            return False
        return not (other.ws.closed or other.is_cut) and self.late < MAX_LATE

    def write(self) -> None:
        buffers = self.ws.buffers_to_send()
        if buffers and not self.writer.is_closing():  # asyncio complains about writes after a reset
            self.writer.writelines(buffers)

    def finish_if_over(self) -> None:
        """End our side of TCP when it is our turn, and both sides when there is nothing left to wait for."""
        if self.ws.finished:
            self.over.set()
            self.writer.close()
            self.timer.cancel()
            self.timer = self.loop.call_later(FAREWELL, self.writer.transport.abort)
            self.may_read.set()
            return
        if self.ws.must_close:
            self.may_read.set()
            end_stream(self.writer)
        self.set_timer()

    def set_timer(self) -> None:
        due = self.ws.deadlines.next_deadline()
        if not self.over.is_set() and not self.is_cut:
            self.timer.cancel()
            if due is not None:
                # One iteration later, as the contents of the socket will have been read by then.
                self.timer = self.loop.call_at(due, self.loop.call_soon, self.tick)


def end_stream(writer: asyncio.StreamWriter) -> None:
    """Tell the peer that nothing more will be written."""
    try:
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # with TLS, connections cannot be half-closed
    except OSError:
        pass  # reset


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass  # reset


class Proxy:
    """Listens for clients, and connects to the server for each of them."""

    def __init__(self, upstream: rfc6455.URI, timeouts: rfc6455.Timeouts) -> None:
        self.upstream = upstream
        self.timeouts = timeouts
        self.clients: set[asyncio.Task[None]] = set()
        self.legs: set[Leg] = set()
        self.ends = False

    async def run(self, host: str, port: int) -> None:
        """Serve until a signal comes, then until all clients have gone."""
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
            leg.ws.close(rfc6455.CloseCode.GOING_AWAY)
            leg.settle()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client, in a task of its own."""
        host, port = (writer.get_extra_info("peername") or ("somebody", 0))[:2]
        if len(self.clients) >= MAX_CLIENTS:
            print(f"{host}:{port} refused: too many clients", flush=True)
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self.clients.add(task)
        handshake = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()], limits=LIMITS, parts=True)
        client = Leg((reader, writer), self.endpoint(handshake), False)
        running = [asyncio.create_task(client.run())]
        self.legs.add(client)
        refusal = await self.open(client, running)
        if self.ends:
            self.send_away(client)
        await asyncio.gather(*running)
        closed = client.ws.end
        if refusal is not None:
            print(f"{host}:{port} refused: {refusal}", flush=True)
        elif closed is not None:
            print(f"{host}:{port} closed: {int(closed.code)} {closed.reason!a}", flush=True)
        self.legs -= {client, client.other or client}
        self.clients.remove(task)

    def endpoint(self, handshake: rfc6455.ServerHandshake | rfc6455.ClientHandshake) -> rfc6455.Endpoint:
        return rfc6455.Endpoint(handshake, self.timeouts, now=asyncio.get_running_loop().time())

    async def open(self, client: Leg, running: list[asyncio.Task[None]]) -> rfc6455.HandshakeError | None:
        """Wait for the client's request, open a connection upstream for it, and answer.

        :returns: why the client was refused.
        """
        request = await client.opened
        if isinstance(request, rfc6455.Closed):
            assert isinstance(request.error, rfc6455.HandshakeError)
            return request.error
        assert isinstance(request, rfc6455.Request)
        client.ws.pause(now=client.loop.time())  # the client is not to blame for the time that this takes
        try:
            upstream = await self.connect(request)
            self.legs.add(upstream)
            running.append(asyncio.create_task(upstream.run()))
            answer = await upstream.opened
            refusal = refusal_of(answer) if isinstance(answer, rfc6455.Closed) else None
        except rfc6455.HandshakeError as error:
            refusal = error
        client.ws.resume(now=client.loop.time())
        if refusal is not None:
            client.ws.reject(refusal.status or 502)
        else:
            client.ws.accept(upstream.ws.subprotocol, now=client.loop.time())
            client.other, upstream.other = upstream, client
            upstream.may_read.set()
            if self.ends:
                self.send_away(client, upstream)
        client.may_read.set()
        client.settle()
        return refusal

    async def connect(self, request: rfc6455.Request) -> Leg:
        """Connect to the server for a client's request.

        :raises HandshakeError: when that is not possible, with the status for the client.
        """
        try:
            uri = dataclasses.replace(self.upstream, resource_name=request.resource_name)
            handshake = rfc6455.ClientHandshake(
                uri,
                subprotocols=request.subprotocols,
                extensions=[rfc6455.PerMessageDeflate()],
                headers=[(name, value) for name, value in request.headers if name.lower() in PASSED_ON],
                limits=LIMITS,
                parts=True,
            )
            opening = asyncio.open_connection(uri.host, uri.port, ssl=uri.secure or None)
            stream = await asyncio.wait_for(opening, self.timeouts.open)
        except asyncio.TimeoutError:
            raise rfc6455.HandshakeError(504, "it took too long to connect") from None
        except OSError as error:
            raise rfc6455.HandshakeError(502, f"the proxy cannot connect: {error}") from None
        except rfc6455.LocalProtocolError as error:
            raise rfc6455.HandshakeError(400, f"the request cannot be passed on: {error}") from None
        return Leg(stream, self.endpoint(handshake), True)


def refusal_of(closed: rfc6455.Closed) -> rfc6455.HandshakeError:
    """Return the error for the client: the server's own answer, 504 if it did not answer in time, or 502 if its answer
    was invalid."""
    error = closed.error
    if isinstance(error, rfc6455.HandshakeError) and error.status is not None and error.status >= 300:
        return error
    status = 504 if closed.cause is rfc6455.CloseCause.OPEN_TIMEOUT else 502
    return rfc6455.HandshakeError(status, str(closed))


def main() -> None:
    parser = argparse.ArgumentParser(description="Passes WebSocket connections on to another server. Ctrl-C ends it.")
    parser.add_argument("upstream", type=websocket_uri, help="the server, such as ws://127.0.0.1:9000")
    add_address(parser)
    add_timeouts(parser)
    options = vars(parser.parse_args())
    upstream, host, port = (options.pop(name) for name in ("upstream", "host", "port"))
    asyncio.run(Proxy(upstream, take_timeouts(options)).run(host, port))


if __name__ == "__main__":
    main()
