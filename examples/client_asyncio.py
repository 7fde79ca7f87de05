"""A line client on asyncio: it sends its arguments, or the lines that are typed, and prints what it receives.

    python examples/client_asyncio.py ws://localhost:8765/ hello "good bye"
    ls | python examples/client_asyncio.py ws://localhost:8765/

The law: reading never waits for writing. A server may stop reading until we read what it has sent, and if both ends
wait for each other, they wait for ever. So one task reads and another sends, and only the latter waits for the server.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import io
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_timeouts, take_timeouts, websocket_uri

import rfc6455

# The number of bytes that may wait in the transport while we still write Pongs. Beyond that, Pongs wait in the
# connection, which keeps only the last few, so a server that sends Pings without reading the Pongs causes no harm.
HIGH_WATER = 64 << 10

# The codes of a normal end (7.4.1).
GOOD_ENDS = (1000, 1001, 1005, 1012)

# Control characters, which a terminal would obey rather than show.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


class Lines:
    """The lines to send, in batches; ``None`` is the end. A thread may call `put`, which waits until its previous
    batch has been sent."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[Sequence[str] | None] = asyncio.Queue()
        self.may_put = threading.Semaphore()

    def put(self, batch: Sequence[str] | None) -> None:
        self.may_put.acquire()
        self.loop.call_soon_threadsafe(self.queue.put_nowait, batch)

    async def take(self) -> AsyncIterator[str]:
        while (batch := await self.queue.get()) is not None:
            for line in batch:
                yield line
            self.may_put.release()


class Client:
    """One connection, from its opening handshake on."""

    def __init__(
        self, stream: tuple[asyncio.StreamReader, asyncio.StreamWriter], ws: rfc6455.Endpoint, lines: Lines
    ) -> None:
        self.reader, self.writer = stream
        self.ws = ws
        self.lines = lines
        self.sending: asyncio.Task[None] | None = None
        self.flushing: asyncio.Task[None] | None = None
        self.loop = asyncio.get_running_loop()
        self.timer = self.loop.call_soon(self.step)

    async def run(self) -> rfc6455.Closed | None:
        """Print what is received, until the server has closed."""
        try:
            while not self.ws.finished:
                self.step(await self.reader.read(65536))
        except OSError:
            self.step(b"")  # reset
        for task in (self.sending, self.flushing):
            if task is not None:
                task.cancel()
        self.timer.cancel()
        self.writer.close()
        return self.ws.end

    def step(self, data: bytes | None = None) -> None:
        """Process input and note the time, show what happened, write, and set the timer."""
        for event in self.ws.events(data, now=self.loop.time()):
            self.show(event)
        if self.writer.transport.get_write_buffer_size() > HIGH_WATER:
            self.flushing = self.flushing or asyncio.create_task(self.flush())
        elif buffers := self.ws.buffers_to_send():
            if not self.writer.is_closing():  # asyncio complains about writes after a reset
                self.writer.writelines(buffers)
        elif self.ws.must_close:
            self.end_stream()
        self.timer.cancel()
        due = self.ws.next_deadline()
        if self.ws.finished:
            self.writer.transport.abort()  # `run` will read the end
        elif due is not None:
            # One iteration later, as the contents of the socket will have been read by then.
            self.timer = self.loop.call_at(due, self.loop.call_soon, self.tick)

    def tick(self) -> None:
        self.step()

    def end_stream(self) -> None:
        """Tell the server that nothing more will be written. With TLS, connections cannot be half-closed."""
        if self.writer.can_write_eof():
            self.writer.write_eof()
        else:
            self.writer.close()

    def leave(self, code: int) -> None:
        self.ws.close(code)
        self.step()

    async def send(self) -> None:
        """Send the lines, then close. Messages that the server still sends are printed."""
        try:
            async for line in self.lines.take():
                await self.writer.drain()
                self.ws.send_text(line)
                self.step()
        except (OSError, rfc6455.LocalProtocolError):
            return  # closed already
        self.leave(rfc6455.CloseCode.NORMAL_CLOSURE)

    async def flush(self) -> None:
        """Write the data that did not fit into the transport, once it has room again."""
        try:
            await self.writer.drain()
        except OSError:
            pass  # reset; `run` will notice it as well
        self.flushing = None
        self.step()

    def show(self, event: rfc6455.Request | rfc6455.Response | rfc6455.Event) -> None:
        match event:
            case rfc6455.Response():
                self.sending = asyncio.create_task(self.send())
            case rfc6455.TextMessage(text):
                print(text.translate(CONTROLS), flush=True)
            case rfc6455.BytesMessage(data):
                print(f"({len(data)} bytes)", flush=True)


async def run(uri: rfc6455.URI, words: Sequence[str], timeouts: rfc6455.Timeouts) -> rfc6455.Closed | None:
    loop = asyncio.get_running_loop()
    opening = asyncio.open_connection(uri.host, uri.port, ssl=uri.secure or None)
    stream = await asyncio.wait_for(opening, timeouts.open)
    handshake = rfc6455.ClientHandshake(uri, extensions=[rfc6455.PerMessageDeflate()])
    lines = Lines()
    client = Client(stream, rfc6455.Endpoint(handshake, timeouts, now=loop.time()), lines)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, client.leave, rfc6455.CloseCode.GOING_AWAY)
    threading.Thread(target=give, args=(words, lines), daemon=True).start()
    return await client.run()


def give(words: Sequence[str], lines: Lines) -> None:
    """Put the words, or the lines of standard input, no faster than they are sent. This runs in a thread."""
    rest = b""
    try:
        if words:
            lines.put([os.fsencode(word).decode(errors="replace") for word in words])
        while not words and (data := os.read(sys.stdin.fileno(), 65536)):
            *whole, rest = (rest + data).split(b"\n")
            lines.put([line.decode(errors="replace") for line in whole])
        if rest:
            lines.put([rest.decode(errors="replace")])
        lines.put(None)
    except RuntimeError:
        pass  # the loop has ended: nobody sends any more lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends lines to a WebSocket server and prints its messages.")
    parser.add_argument("uri", type=websocket_uri, help="such as ws://localhost:8765/")
    parser.add_argument("lines", nargs="*", help="the lines to send; by default those of standard input")
    add_timeouts(parser)
    options = vars(parser.parse_args())
    uri, words = options.pop("uri"), options.pop("lines")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # some terminals lack some characters
    try:
        closed = asyncio.run(run(uri, words, take_timeouts(options)))
    except asyncio.TimeoutError:
        sys.exit("Cannot connect: it took too long")
    except OSError as error:
        sys.exit(f"Cannot connect: {error}")
    if closed is not None and isinstance(closed.error, rfc6455.HandshakeError):
        sys.exit(f"Cannot connect: {closed.error}".translate(CONTROLS))
    if closed is not None and closed.code not in GOOD_ENDS:
        sys.exit(f"Disconnected: {int(closed.code)} {(closed.reason or str(closed)).translate(CONTROLS)}")


if __name__ == "__main__":
    main()
