"""`rfc6455_io.asyncio` over real sockets: `Listener` and `serve`, from the opening handshake to the end of TCP."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, close_payload, frame
from io_loops import BOTH_LOOPS, LOOPS, REQUEST, Echo, InMemory, Raw, clock, echo, run

import rfc6455
import rfc6455.trace
from rfc6455 import CloseCause, Closed, Limits, Request, Response, Timeouts
from rfc6455_io._asyncio_driver import Driver
from rfc6455_io.asyncio import Listener, Server, WebSocket, serve


class Told(Listener):
    """A listener that records its calls, in a list for which a test can wait."""

    def __init__(self, calls: asyncio.Queue[Any]) -> None:
        self.calls = calls

    def opened(self, head: Request | Response) -> None:
        self.calls.put_nowait(("opened", self))

    def message(self, message: str | bytes) -> None:
        self.calls.put_nowait(message)

    def part(self, part: Any) -> None:
        self.calls.put_nowait(part)

    def pong(self, payload: bytes) -> None:
        self.calls.put_nowait(("pong", payload))

    def writable(self) -> None:
        self.calls.put_nowait("writable")

    def closed(self, closed: Closed) -> None:
        self.calls.put_nowait(closed)


class Scene:
    """A server whose only listener records its calls for a test, and a raw client of it."""

    server: Server
    raw: Raw
    listener: Told

    def __init__(self, **arguments: Any) -> None:
        self.calls: asyncio.Queue[Any] = asyncio.Queue()
        self.arguments = arguments

    async def __aenter__(self) -> Scene:
        made = serve(functools.partial(Told, self.calls), "127.0.0.1", 0, **self.arguments)
        self.server = await made.__aenter__()
        self.raw = await Raw.connect(self.server.port)
        (_, self.listener) = await self.calls.get()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.raw.close()
        await self.server.close()
        assert not self.server.connections

    async def told(self) -> Any:
        return await self.calls.get()


@BOTH_LOOPS
def test_messages_come_and_go(loop: str) -> None:
    async def main() -> None:
        async with Scene() as at:
            assert at.listener.request.path == "/chat"
            assert at.listener.response.status == 101
            at.raw.send(TEXT, "grüß".encode())
            at.raw.send(BINARY, b"\xff")
            assert [await at.told(), await at.told()] == ["grüß", b"\xff"]
            at.listener.send("to you")
            at.listener.send(memoryview(b"and you"))
            at.listener.send(rfc6455.PreparedMessage("and all"))
            assert await at.raw.frame() == (TEXT, b"to you")
            assert await at.raw.frame() == (BINARY, b"and you")
            assert await at.raw.frame() == (TEXT, b"and all")
            at.listener.ping(b"1")
            assert await at.raw.frame() == (PING, b"1")
            at.raw.send(PONG, b"1")
            assert await at.told() == ("pong", b"1")
            at.raw.send(CLOSE, close_payload(1000, b"bye"))
            assert await at.raw.frame() == (CLOSE, close_payload(1000, b"bye"))
            closed = await at.told()
            assert (closed.code, closed.reason, closed.clean) == (1000, "bye", True)
            assert await at.raw.rest() == b""

    run(main(), loop)


class Word(str):
    """A derived class, which a driver must not mistake for bytes."""

    __slots__ = ()


@pytest.mark.parametrize("size", [5, 20_000])
@pytest.mark.parametrize("is_recorded", [False, True], ids=["plain", "recorded"])
def test_each_kind_of_message_is_sent(is_recorded: bool, size: int) -> None:
    text, data = "grüß" * (size // 4), bytes(size)
    sent: list[tuple[Any, int]] = [(text, TEXT), ("a" * size, TEXT), (Word(text), TEXT), (data, BINARY)]
    sent += [(bytearray(data), BINARY), (memoryview(data), BINARY), (rfc6455.PreparedMessage(text), TEXT)]
    arguments: dict[str, Any] = {}
    if is_recorded:
        arguments["wrap"] = rfc6455.trace.Recorder(clock=lambda: 0.0).wrap

    async def main() -> None:
        async with Scene(**arguments) as at:
            for message, opcode in sent:
                at.listener.send(message)
                payload = message.payload if isinstance(message, rfc6455.PreparedMessage) else message
                payload = payload.encode() if isinstance(payload, str) else bytes(payload)
                assert await at.raw.frame() == (opcode, payload)
            with pytest.raises(TypeError, match="int"):
                at.listener.send(5)  # type: ignore[arg-type]

    run(main())


@BOTH_LOOPS
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_the_server_ends_tcp_at_once_after_both_have_closed(loop: str, secure: bool, contexts: Any) -> None:
    """T3: also with TLS, whose stream cannot be ended in one direction."""

    async def main() -> None:
        server_ssl, client_ssl = contexts if secure else (None, None)
        never = Timeouts.NONE  # so nothing but the end itself can end it
        async with serve(Echo, "127.0.0.1", 0, ssl=server_ssl, timeouts=never) as server:
            raw = await Raw.connect(server.port, ssl=client_ssl)
            raw.send(TEXT, b"x" * 100_000)
            raw.send(CLOSE)
            assert len((await raw.frame())[1]) == 100_000
            assert await raw.frame() == (CLOSE, b"")
            assert await raw.rest() == b""
            await raw.close()

    run(main(), loop)


@pytest.mark.parametrize(("ping_interval", "timers"), [(None, 0), (20.0, 1)])
def test_an_open_connection_that_waits_for_nothing_has_no_timer(ping_interval: float | None, timers: int) -> None:
    async def main() -> None:
        async with Scene(timeouts=Timeouts(ping_interval=ping_interval)) as at:
            at.raw.send(TEXT, b"x")
            assert await at.told() == "x"
            scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
            ours = [timer for timer in scheduled if not timer.cancelled() and "Driver" in repr(timer)]
            assert len(ours) == timers

    run(main(), "asyncio")


class Watched(InMemory):
    """A transport in memory that notes how it is used.

    :ivar calls: the names of the calls for which asyncio asks the system.
    """

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.calls: list[str] = []

    def write(self, data: Any) -> None:
        self.calls.append("write")

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")


# More than fit into the queue of a task that does not receive.
MANY_MESSAGES = b"".join([frame(TEXT, b"%d" % number, key=KEY) for number in range(500)])
# So large that nothing else is handled before the loop's other tasks get their turn.
LARGE_MESSAGE = frame(BINARY, bytes(1_000 << 10), key=KEY)


@BOTH_LOOPS
@pytest.mark.parametrize("handler", [Echo, echo])
@pytest.mark.parametrize(("read", "writes"), [(MANY_MESSAGES, 1), (LARGE_MESSAGE, 2)], ids=["many", "large"])
def test_what_one_read_brings_is_answered_by_one_write(loop: str, handler: Any, read: bytes, writes: int) -> None:
    """Except that the header of a large message, whose payload is not copied, has its own. And if nothing is left to
    process, reading is not paused."""

    async def main() -> None:
        server = serve(handler)
        driver = Driver(asyncio.get_running_loop(), server)
        transport = Watched(driver)
        driver.connection_made(transport)
        driver.data_received(REQUEST)
        for _ in range(5):
            await asyncio.sleep(0)
        transport.calls.clear()
        asyncio.get_running_loop().call_soon(driver.data_received, read)
        for _ in range(5):
            await asyncio.sleep(0)
        assert transport.calls == ["write"] * writes
        driver.abort()
        await server.close()

    run(main(), loop)


@BOTH_LOOPS
def test_what_has_no_payload_is_written_as_well(loop: str) -> None:
    class Answers(Listener):
        def message(self, message: str | bytes) -> None:
            if isinstance(message, str):
                self.send(message)
            else:
                self.ping()

    async def main() -> None:
        async with serve(Answers, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.send(TEXT)
            assert await raw.frame() == (TEXT, b"")
            raw.send(BINARY)
            assert await raw.frame() == (PING, b"")
            await raw.close()

    run(main(), loop)


@BOTH_LOOPS
def test_close_is_obeyed_at_once_from_anywhere(loop: str) -> None:
    """T4: without any deadline, and without anything that comes in."""

    async def main() -> None:
        async with Scene(timeouts=Timeouts.NONE) as at:
            asyncio.get_running_loop().call_later(0, at.listener.close, 4000, "enough")
            assert await at.raw.frame() == (CLOSE, close_payload(4000, b"enough"))
            at.raw.send(TEXT, b"one more")
            at.raw.send(CLOSE, close_payload(4000))
            assert await at.told() == "one more"
            assert (await at.told()).code == 4000
            with pytest.raises(rfc6455.ConnectionClosedError):
                at.listener.send("too late")

    run(main(), loop)


@BOTH_LOOPS
def test_abort_cuts(loop: str) -> None:
    async def main() -> None:
        async with Scene() as at:
            at.listener.abort()
            assert (await at.told()).cause is CloseCause.ABORTED
            try:
                assert await at.raw.rest() == b""
            except ConnectionError:
                pass

    run(main(), loop)


@BOTH_LOOPS
@pytest.mark.parametrize("end", ["eof", "reset"])
def test_the_peer_goes_without_a_word(loop: str, end: str) -> None:
    async def main() -> None:
        async with Scene(timeouts=Timeouts.NONE) as at:
            await (at.raw.close() if end == "eof" else at.raw.reset())
            closed = await at.told()
            assert (closed.code, closed.cause) == (1006, CloseCause.EOF_IDLE)
            await asyncio.wait_for(at.server.close(), 30)

    run(main(), loop)


@BOTH_LOOPS
def test_a_peer_that_resets_when_it_is_our_turn_to_end_tcp(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is noticed where there is nobody to tell: in a callback, as so many messages are not handled in one."""

    async def main() -> None:
        async with Scene() as at:
            at.listener.close()
            assert (await at.raw.frame())[0] == CLOSE
            messages = frame(TEXT, b"", key=KEY) * 2000
            at.raw.writer.write(messages + frame(CLOSE, close_payload(1000), key=KEY))
            await at.raw.reset()
            while (closed := await at.told()) == "":
                pass
            assert (closed.code, closed.clean) == (1000, True)

    run(main(), loop)
    assert not caplog.records


@BOTH_LOOPS
def test_what_is_sent_to_a_peer_that_is_gone_is_no_news_for_the_log(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio warns of each write to a lost connection from the fifth on."""

    async def main() -> None:
        async with Scene() as at:
            await at.raw.reset()
            for number in range(20):
                at.listener.send(str(number))
            assert (await at.told()).code == 1006

    run(main(), loop)
    assert not caplog.records


@BOTH_LOOPS
def test_a_peer_that_ends_only_its_own_stream_is_answered(loop: str) -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, timeouts=Timeouts.NONE) as server:
            raw = await Raw.connect(server.port)
            raw.send(TEXT, b"x" * 300_000)
            raw.send(CLOSE)
            raw.writer.write_eof()
            assert len((await raw.frame())[1]) == 300_000
            assert await raw.frame() == (CLOSE, b"")
            assert await raw.rest() == b""
            await raw.close()

    run(main(), loop)


# A task that was cancelled raises CancelledError when it is asked for its result.
EACH_FAILURE = pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError])


@EACH_FAILURE
@BOTH_LOOPS
def test_an_exception_is_logged_once_and_ends_the_connection_with_1011(
    loop: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(Told):
        def message(self, message: str | bytes) -> None:
            raise error("a secret of ours")

    async def main() -> None:
        calls: asyncio.Queue[Any] = asyncio.Queue()
        async with serve(functools.partial(Faulty, calls), "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            for _ in range(3):
                raw.send(TEXT, b"?")
            assert await raw.frame() == (CLOSE, close_payload(1011))
            raw.send(CLOSE, close_payload(1011))
            assert await raw.rest() == b""
            await calls.get()
            assert (await calls.get()).code == 1011
            await raw.close()

    run(main(), loop)
    (record,) = [record for record in caplog.records if record.name == "rfc6455_io"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is error


@EACH_FAILURE
@pytest.mark.parametrize("callback", ["opened", "closed", "pong"])
def test_an_exception_in_any_callback_stays_with_its_connection(
    callback: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error(callback)

    faulty = type("Faulty", (Listener,), {callback: fail})

    async def main() -> None:
        async with serve(faulty, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.send(PONG)
            raw.send(CLOSE)
            assert (await raw.rest())[0] == 0x88
            await raw.close()

    run(main())
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


@pytest.mark.parametrize(("error", "logged"), [(KeyError, [KeyError]), (asyncio.CancelledError, [])])
def test_what_goes_wrong_with_a_request_is_logged_even_while_the_server_closes(
    error: type[BaseException], logged: list[type[BaseException]], caplog: pytest.LogCaptureFixture
) -> None:
    """Unless it is the cancellation by the server itself."""

    async def main() -> None:
        asked, closed = asyncio.Event(), asyncio.Event()

        async def process_request(request: Request) -> None:
            asked.set()
            await closed.wait()
            raise error

        async with serve(Listener, "127.0.0.1", 0, process_request=process_request) as server:
            raw = await Raw.connect(server.port, b"")
            raw.writer.write(REQUEST)
            await asked.wait()
            closing = asyncio.create_task(server.close())
            assert (await raw.head()).startswith(b"HTTP/1.1 503 ")
            closed.set()
            await raw.close()
            await closing

    run(main())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == logged


# ---- Time ----


def test_a_pong_that_is_in_the_socket_already_is_seen_by_a_late_loop() -> None:
    """T1: the loop was busy past both deadlines; what came meanwhile is read before anybody is given up."""

    async def main() -> None:
        async with Scene(timeouts=Timeouts(ping_interval=20, pong=20)) as at:
            clock().ahead += 20
            opcode, payload = await at.raw.frame()
            assert opcode == PING
            sock = at.raw.writer.get_extra_info("socket")
            assert os.write(sock.fileno(), b"\x8a\x81\0\0\0\0" + payload) == 7  # it is in the server's socket now
            clock().ahead += 1000
            assert await at.told() == ("pong", payload)
            assert at.listener.end is None
            assert at.listener.latency == pytest.approx(1000, abs=30)

    run(main())


@pytest.mark.skipif("uvloop" not in LOOPS, reason="uvloop is not installed")
def test_a_late_uvloop_reads_once_more() -> None:
    """uvloop runs what is due before it reads, so a busy loop would never look. This one is busy for real."""

    async def main() -> None:
        async with Scene(timeouts=Timeouts(ping_interval=0.2, pong=0.2)) as at:
            opcode, payload = await at.raw.frame()
            assert opcode == PING
            sock = at.raw.writer.get_extra_info("socket")
            assert os.write(sock.fileno(), b"\x8a\x81\0\0\0\0" + payload) == 7
            time.sleep(1)
            assert await at.told() == ("pong", payload)

    run(main(), "uvloop")


def test_a_ping_that_falls_due_while_a_message_is_read_is_sent() -> None:
    """A read that brings a message looks at no deadline after it: the timer does, which is due by then, too."""

    async def main() -> None:
        async with Scene(timeouts=Timeouts(ping_interval=20, pong=20)) as at:
            for number in (b"1", b"2"):
                sock = at.raw.writer.get_extra_info("socket")
                assert os.write(sock.fileno(), b"\x82\x81\0\0\0\0" + number) == 7
                clock().ahead += 20
                assert await at.told() == number
                assert await at.raw.frame() == (PING, number)
                at.raw.send(PONG, number)
                assert await at.told() == ("pong", number)

    run(main())


def test_a_peer_that_is_gone_is_found() -> None:
    async def main() -> None:
        async with Scene(timeouts=Timeouts(ping_interval=20, pong=20, tcp_close=2)) as at:
            clock().ahead += 20
            assert (await at.raw.frame())[0] == PING
            clock().ahead += 20
            assert (await at.told()).cause is CloseCause.PONG_TIMEOUT
            assert (await at.raw.frame())[0] == CLOSE
            clock().ahead += 2
            await at.server.close()

    run(main())


def test_a_client_that_does_not_ask_is_sent_away() -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, timeouts=Timeouts(open=10)) as server:
            raw = await Raw.connect(server.port, request=b"")
            raw.writer.write(REQUEST[:30])
            await asyncio.sleep(0)
            clock().ahead += 10
            assert (await raw.head()).startswith(b"HTTP/1.1 408 ")
            await raw.close()

    run(main())


def test_a_peer_that_does_not_close_is_cut() -> None:
    async def main() -> None:
        async with Scene(timeouts=Timeouts(close=10, tcp_close=2, ping_interval=None)) as at:
            at.listener.close()
            assert await at.raw.frame() == (CLOSE, close_payload(1000))
            clock().ahead += 10
            assert (await at.told()).cause is CloseCause.CLOSE_TIMEOUT
            clock().ahead += 2
            assert await at.raw.rest() == b""

    run(main())


# ---- A peer that does not read, and one that sends too much ----


def fill(listener: Listener) -> int:
    """Send until no more should be sent; return how much that was."""
    sent = 0
    while listener.send(bytes(16 << 10)):
        sent += 16 << 10
        assert sent < 100 << 20
    return sent


@BOTH_LOOPS
def test_send_says_when_to_stop_and_writable_when_to_go_on(loop: str) -> None:
    async def main() -> None:
        async with Scene() as at:
            sent = fill(at.listener) + (16 << 10)
            assert not at.listener.is_writable
            got = 0
            while got < sent:
                opcode, payload = await at.raw.frame()
                assert opcode == BINARY
                got += len(payload)
            assert await at.told() == "writable"
            assert at.listener.is_writable

    run(main(), loop)


# The second has 100,000 bytes, too, but its len() is 1.
@pytest.mark.parametrize(
    "large", [bytes(100_000), memoryview(bytes(100_000)).cast("B", (1, 100_000))], ids=["bytes", "memoryview"]
)
@BOTH_LOOPS
def test_send_says_when_to_stop_within_a_callback(loop: str, large: bytes | memoryview) -> None:
    class Greedy(Told):
        def message(self, message: str | bytes) -> None:
            sent = [self.send(large)]
            while sent[-1] and len(sent) < 400:
                sent.append(self.send(large))
            self.calls.put_nowait(len(sent))

    async def main() -> None:
        calls: asyncio.Queue[Any] = asyncio.Queue()
        async with serve(functools.partial(Greedy, calls), "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            assert (await calls.get())[0] == "opened"
            raw.send(TEXT, b"begin")
            count = await calls.get()
            assert count < 400
            for _ in range(count):
                assert await raw.frame() == (BINARY, bytes(100_000))
            assert await calls.get() == "writable"
            await raw.close()

    run(main(), loop)


@BOTH_LOOPS
def test_who_does_not_read_is_not_read_from(loop: str) -> None:
    """An echo of a megabyte each time costs no more than the transport takes, and a message."""

    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, limits=Limits(message=1 << 20)) as server:
            raw = await Raw.connect(server.port)
            raw.writer.transport.set_write_buffer_limits(high=0)
            (listener,) = server.connections
            assert isinstance(listener, Listener)
            transport = listener._driver.transport
            sent = 0
            while not listener._driver._is_flooded:
                raw.send(BINARY, bytes(1 << 20))
                sent += 1
                drained = asyncio.ensure_future(raw.writer.drain())
                for _ in range(200):
                    await asyncio.sleep(0)
                drained.cancel()
            assert transport.get_write_buffer_size() < 4 << 20
            assert not transport.is_reading()
            for _ in range(sent):
                assert len((await raw.frame())[1]) == 1 << 20
            assert transport.is_reading()
            await raw.close()

    run(main(), loop)


@pytest.mark.parametrize("pauses", [False, True], ids=["", "pauses"])
@pytest.mark.parametrize(
    ("farewell", "code"), [(b"", 3008), (frame(CLOSE, close_payload(1001), key=KEY), 1001)], ids=["", "closes"]
)
def test_who_takes_nothing_of_all_the_answers_is_cut_when_its_time_is_over(
    farewell: bytes, code: int, pauses: bool
) -> None:
    told: list[object] = []

    class Answers(Listener):
        def message(self, message: str | bytes) -> None:
            told.append(message)
            self.send(bytes(8 << 20))
            if pauses:
                self.pause()

        def closed(self, closed: Closed) -> None:
            told.append(closed)

    async def main() -> None:
        timeouts = Timeouts(ping_interval=10, pong=20)
        async with serve(Answers, "127.0.0.1", 0, timeouts=timeouts) as server:
            raw = await Raw.connect(server.port)
            raw.writer.write(frame(TEXT, b"?", key=KEY) * 10 + farewell)
            (listener,) = server.connections
            assert isinstance(listener, Listener)
            driver = listener._driver
            while not (driver._is_flooded or driver.is_held):
                await asyncio.sleep(0)
            for seconds in (11, 21, 11):  # until a Ping, a Pong, the end of TCP
                clock().ahead += seconds
                for _ in range(20):
                    await asyncio.sleep(0)
            while not driver.lost:
                await asyncio.sleep(0)
            listener.resume()
            while not driver.is_gone:
                await asyncio.sleep(0)
            await raw.close()

    run(main())
    *messages, closed = told
    assert messages == ["?"] * 10
    assert isinstance(closed, Closed)
    assert closed.code == code


@BOTH_LOOPS
def test_pings_of_a_peer_that_does_not_read_cost_nothing(loop: str) -> None:
    async def main() -> None:
        async with Scene(timeouts=Timeouts.NONE) as at:
            sent = fill(at.listener) + (16 << 10)
            size = at.listener._driver.transport.get_write_buffer_size()
            for _ in range(10_000):
                at.raw.send(PING, b"x" * 125)
            at.raw.send(TEXT, b"that was all")
            assert await at.told() == "that was all"
            assert at.listener._driver.transport.get_write_buffer_size() == size
            got = 0
            while got < sent:
                got += len((await at.raw.frame())[1])
            assert await at.raw.frame() == (PONG, b"x" * 125)

    run(main(), loop)


@BOTH_LOOPS
@pytest.mark.parametrize("kind", ["Listener", "coroutine"])
def test_a_read_with_much_in_it_gives_way_to_the_loop(loop: str, kind: str) -> None:
    in_turns = [0]

    class Counting(Listener):
        def message(self, message: str | bytes) -> None:
            in_turns[-1] += 1

    async def counting(ws: WebSocket) -> None:
        async for _ in ws:
            in_turns[-1] += 1

    async def main() -> None:
        async with serve(Counting if kind == "Listener" else counting, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.writer.write(b"\x81\x80\0\0\0\0" * 40_000)
            while sum(in_turns) < 40_000:
                in_turns.append(0)
                await asyncio.sleep(0)
            await raw.close()

    run(main(), loop)
    assert max(in_turns) <= 2000  # what a read brought, and what was left of one before


@BOTH_LOOPS
def test_pause_and_resume(loop: str) -> None:
    async def main() -> None:
        async with Scene(timeouts=Timeouts(ping_interval=None)) as at:
            at.listener.pause()
            at.raw.send(TEXT, b"1")
            for _ in range(20):
                await asyncio.sleep(0)
            assert at.calls.empty()
            at.listener.resume()
            assert await at.told() == "1"

    run(main(), loop)


@BOTH_LOOPS
def test_parts_on_request(loop: str) -> None:
    async def main() -> None:
        async with Scene(parts=True) as at:
            at.raw.send(TEXT, b"to be", fin=False)
            assert await at.told() == rfc6455.TextPart("to be", False)
            at.raw.send(CONT, b"", fin=True)
            assert await at.told() == rfc6455.TextPart("", True)

    run(main(), loop)


# ---- The opening handshake ----


async def answer_to(server: Server, request: bytes = REQUEST) -> bytes:
    raw = await Raw.connect(server.port, request=b"")
    raw.writer.write(request)
    head = await raw.head()
    body = b"" if b" 101 " in head else await raw.rest()
    await raw.close()
    return head + body


def check_token(request: Request) -> Response | None:
    if request.path == "/health":
        return Response(200, body=b"fine")
    if request.query == "raise":
        raise KeyError("a secret of ours")
    if request.query == "cookie":
        return Response(101, rfc6455.Headers({"Set-Cookie": "a=1"}))
    if request.query == "nonsense":
        return Response(101, rfc6455.Headers({"Upgrade": "nonsense"}))
    if request.headers.get("Authorization") != "Bearer 1":
        return Response(401, rfc6455.Headers({"WWW-Authenticate": "Bearer"}), b"who are you?")
    return None


async def check_token_later(request: Request) -> Response | None:
    await asyncio.sleep(0)
    return check_token(request)


def test_a_server_is_known_by_its_names_alone() -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, hosts=["chat.example"]) as server:
            assert (await answer_to(server)).startswith(b"HTTP/1.1 421 ")
            named = REQUEST.replace(b"Host: 127.0.0.1", b"Host: chat.example")
            assert (await answer_to(server, named)).startswith(b"HTTP/1.1 101 ")

    run(main())


@BOTH_LOOPS
@pytest.mark.parametrize("process_request", [check_token, check_token_later])
def test_process_request_answers(loop: str, process_request: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, process_request=process_request) as server:
            answer = await answer_to(server)
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b"WWW-Authenticate: Bearer\r\n" in answer
            assert answer.endswith(b"\r\n\r\nwho are you?")
            good = REQUEST.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer 1\r\n\r\n")
            assert (await answer_to(server, good)).startswith(b"HTTP/1.1 101 ")
            assert b"Set-Cookie: a=1" in await answer_to(server, REQUEST.replace(b"/chat", b"/?cookie"))
            plain = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
            assert (await answer_to(server, plain)).endswith(b"\r\n\r\nfine")
            page = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 1\r\n\r\n"
            assert (await answer_to(server, page)).startswith(b"HTTP/1.1 426 ")
            assert not caplog.records or {r.levelno for r in caplog.records} == {logging.INFO}
            for query in (b"raise", b"nonsense"):
                answer = await answer_to(server, REQUEST.replace(b"/chat", b"/?" + query))
                assert answer.startswith(b"HTTP/1.1 500 ")
                assert b"secret" not in answer
            assert len([r for r in caplog.records if r.exc_info]) == 2

    with caplog.at_level(logging.INFO, "rfc6455_io"):
        run(main(), loop)


@BOTH_LOOPS
def test_a_client_that_leaves_while_it_is_looked_at(loop: str) -> None:
    async def main() -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> None:
            asked.set()
            await go_on.wait()

        async with serve(Echo, "127.0.0.1", 0, process_request=slow) as server:
            raw = await Raw.connect(server.port, request=b"")
            raw.writer.write(REQUEST)
            await asked.wait()
            await raw.reset()
            go_on.set()
            await asyncio.wait_for(server.close(), 30)
            assert not server.connections

    run(main(), loop)


@BOTH_LOOPS
@pytest.mark.parametrize("leaves", ["with the request", "later", "never"])
def test_what_a_client_no_longer_waits_for_is_cancelled(
    loop: str, leaves: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise, whoever comes and goes while a database hangs would leave something behind each time."""

    async def main() -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def hang(request: Request) -> None:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        timeouts = Timeouts(open=0.05 if leaves == "never" else None)
        async with serve(Echo, "127.0.0.1", 0, process_request=hang, timeouts=timeouts) as server:
            raw = await Raw.connect(server.port, request=b"")
            raw.writer.write(REQUEST)
            if leaves == "with the request":
                await raw.close()
            else:
                await asked.wait()
            if leaves == "later":
                await raw.close()
            elif leaves == "never":
                assert (await raw.head()).startswith(b"HTTP/1.1 408 ")
                await raw.close()
            if leaves != "with the request" or asked.is_set():
                await cancelled.wait()
            while server._drivers or server._tasks:
                await asyncio.sleep(0)
            assert not server._answers

    run(main(), loop)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_future_that_process_request_returns_is_not_cancelled() -> None:
    """Others may wait for it, too."""

    async def main() -> None:
        shared: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked = asyncio.Event()

        def process_request(request: Request) -> asyncio.Future[None]:
            asked.set()
            return shared

        async with serve(Echo, "127.0.0.1", 0, process_request=process_request) as server:
            raw = await Raw.connect(server.port, request=b"")
            raw.writer.write(REQUEST)
            await asked.wait()
            await raw.reset()
            while server._drivers:
                await asyncio.sleep(0)
            shared.set_result(None)

    run(main())


def test_early_messages_are_not_lost() -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, process_request=lambda request: None) as server:
            raw = await Raw.connect(server.port, request=b"")
            raw.writer.write(REQUEST + b"\x81\x82\0\0\0\0hi")
            assert (await raw.head()).startswith(b"HTTP/1.1 101 ")
            assert await raw.frame() == (TEXT, b"hi")
            await raw.close()

    run(main())


def test_where_it_listens(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        async with serve(Echo, path=path) as server:
            raw = Raw(*await asyncio.open_unix_connection(path))
            raw.writer.write(REQUEST)
            assert (await raw.head()).startswith(b"HTTP/1.1 101 ")
            await raw.close()
        assert list(server.sockets) == []
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
            async with serve(Echo, sock=sock) as server:
                assert server.port == port
                await (await Raw.connect(port)).close()
        if hasattr(socket, "SO_REUSEPORT"):
            async with (
                serve(Echo, "127.0.0.1", 0, reuse_port=True) as one,
                serve(Echo, "127.0.0.1", one.port, reuse_port=True) as two,
            ):
                assert one.port == two.port

    run(main())


SERVES_ON_UVLOOP = """
import asyncio, os, uvloop
from rfc6455_io.asyncio import Listener, serve

async def main():
    async with serve(Listener, "127.0.0.1", 0) as server:
        await asyncio.open_connection("127.0.0.1", server.port)
        print(len(os.listdir("/proc/self/task")))

uvloop.run(main())
"""


@pytest.mark.skipif("uvloop" not in LOOPS or sys.platform != "linux", reason="counts the threads of uvloop on Linux")
def test_uvloop_starts_no_threads_for_an_address() -> None:
    command, root = [sys.executable, "-c", SERVES_ON_UVLOOP], Path(rfc6455.__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


@BOTH_LOOPS
@pytest.mark.parametrize("is_given", [False, True], ids=["host", "sock"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_does_not_wait_to_fill_packets(loop: str, host: str, is_given: bool) -> None:
    try:
        sock = socket.create_server((host, 0), family=socket.AF_INET6 if host == "::1" else socket.AF_INET)
    except OSError:
        pytest.skip("needs IPv6")
    delays: list[int] = []

    class Looks(Listener):
        def opened(self, head: Request | Response) -> None:
            delays.append(self.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    async def main() -> None:
        async with serve(Looks, sock=sock) if is_given else serve(Looks, host, 0) as server:
            assert [one.getsockname()[0] for one in server.sockets] == [host]
            raw = Raw(*await asyncio.open_connection(host, server.port))
            raw.writer.write(REQUEST)
            await raw.head()
            await raw.close()

    with sock:
        run(main(), loop)
    assert delays == [1]


@pytest.mark.parametrize(("host", "port"), [("fe80::1%eth0", 0), ("127.0.0.1", "https")])
def test_a_zone_and_a_port_that_is_a_name_are_resolved(monkeypatch: pytest.MonkeyPatch, host: str, port: Any) -> None:
    """A zone has a number, which `bind` does not look up."""
    asked: list[str] = []
    found = socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)

    def getaddrinfo(name: str, *arguments: Any, **options: Any) -> Any:
        asked.append(name)
        return found

    async def main() -> None:
        async with serve(Listener, host, port):
            pass

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    run(main())
    assert asked == [host]


def test_what_is_wrong_is_said_at_once() -> None:
    with pytest.raises(TypeError, match="handler"):
        serve(5, "127.0.0.1", 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="limits"):
        serve(Echo, "127.0.0.1", 0, limits=5)  # type: ignore[arg-type]


# ---- The end of the server ----


@BOTH_LOOPS
def test_the_server_closes_all_with_1012(loop: str) -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0) as server:
            raws = [await Raw.connect(server.port) for _ in range(5)]
            half = await Raw.connect(server.port, request=b"")
            half.writer.write(REQUEST[:20])
            closing = asyncio.ensure_future(server.close(reason="update"))
            for raw in raws:
                assert await raw.frame() == (CLOSE, close_payload(1012, b"update"))
                raw.send(CLOSE, close_payload(1012))
                await raw.close()
            await half.close()
            await closing
            with pytest.raises(OSError):  # noqa: PT011
                await Raw.connect(server.port if server.sockets else 1)

    run(main(), loop)


@BOTH_LOOPS
def test_who_does_not_answer_is_cut_when_the_time_is_over(loop: str) -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, timeouts=Timeouts.NONE) as server:
            raw = await Raw.connect(server.port)
            await server.close(1001, timeout=0.01)
            assert await raw.frame() == (CLOSE, close_payload(1001))
            await raw.close()

    run(main(), loop)


@BOTH_LOOPS
def test_stop_ends_serve_forever(loop: str) -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0) as server:
            asyncio.get_running_loop().call_soon(server.stop)
            await server.serve_forever()
            assert not server.sockets

    run(main(), loop)


def test_cancelling_serve_forever_closes() -> None:
    async def main() -> None:
        server = await serve(Echo, "127.0.0.1", 0)
        forever = asyncio.ensure_future(server.serve_forever())
        raw = await Raw.connect(server.port)
        forever.cancel()
        assert await raw.frame() == (CLOSE, close_payload(1012))
        raw.send(CLOSE, close_payload(1012))
        with pytest.raises(asyncio.CancelledError):
            await forever
        await raw.close()

    run(main())


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00"], ids=["silent", "half a record"])
def test_a_client_in_its_tls_handshake_ends_with_the_server(
    begun: bytes, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, ssl=contexts[0], timeouts=Timeouts.NONE) as server:
            raw = await Raw.connect(server.port, request=b"")
            raw.writer.write(begun)
            while not server._securing:
                await asyncio.sleep(0)
        with contextlib.suppress(ConnectionResetError):  # where something was not read
            assert await raw.rest() == b""
        await raw.close()

    run(main())


@pytest.mark.parametrize(
    ("said", "reason"), [(REQUEST, "HTTP_REQUEST"), (b"", "the client ended the stream before TLS was open")]
)
def test_the_log_says_why_tls_failed(
    said: bytes,
    reason: str,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "rfc6455_io")

    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, ssl=contexts[0]) as server:
            raw = await Raw.connect(server.port, request=b"")
            raw.writer.write(said)
            raw.writer.write_eof()
            await raw.rest()
            await raw.close()
            while server._tasks:
                await asyncio.sleep(0)

    run(main())
    assert "a client was not accepted" in caplog.text
    assert reason in caplog.text


@pytest.mark.parametrize("how", ["cut", "message"])
def test_what_comes_with_the_end_of_a_tls_handshake_is_not_lost(
    how: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """The client's last flight, its request, and what follows, in one segment."""

    async def main() -> None:
        async with serve(Echo, "127.0.0.1", 0, ssl=contexts[0]) as server:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = contexts[1].wrap_bio(incoming, outgoing, server_hostname="localhost")
            raw = await Raw.connect(server.port, request=b"")
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.writer.write(outgoing.read())
                    incoming.write(await raw.reader.read(1 << 16))
            tls.write(REQUEST + frame(TEXT, b"hello", key=KEY))
            raw.writer.write(outgoing.read())
            if how == "cut":
                raw.writer.write_eof()
            received = b""
            while b"hello" not in received:
                data = await raw.reader.read(1 << 16)
                assert data, received
                incoming.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    while data := tls.read(1 << 16):
                        received += data
            await raw.reset()

    run(main())


@pytest.fixture(autouse=True)
def no_secrets_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that asyncio's logger reports no problems."""
    yield
    assert not [r for r in caplog.records if r.name == "asyncio" and r.levelno >= logging.WARNING]
