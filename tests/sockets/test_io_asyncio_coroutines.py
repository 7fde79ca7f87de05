"""`rfc6455_io.asyncio` over real sockets: handlers that are coroutines, and `WebSocket`."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from functools import partial
from typing import Any

import pytest
from helpers import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, close_payload, frame
from io_loops import BOTH_LOOPS, REQUEST, InMemory, Raw, clock, echo, run

import rfc6455
from rfc6455 import CloseCause, ConnectionClosedError, LocalProtocolError, Timeouts
from rfc6455_io._asyncio_driver import Driver
from rfc6455_io.asyncio import Server, WebSocket, broadcast, serve


class Scene:
    """A connection of which a test has both ends: a `WebSocket` at a server, and a raw client."""

    server: Server
    raw: Raw
    ws: WebSocket

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    async def __aenter__(self) -> Scene:
        opened: asyncio.Future[WebSocket] = asyncio.get_running_loop().create_future()
        self.done = asyncio.Event()

        async def handler(ws: WebSocket) -> None:
            opened.set_result(ws)
            await self.done.wait()

        self.server = await serve(handler, "127.0.0.1", 0, **self.arguments)
        self.raw = await Raw.connect(self.server.port)
        self.ws = await opened
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.raw.close()
        self.done.set()
        await self.server.close()


def scene(loop: str, test: Callable[[Scene], Awaitable[None]], **arguments: Any) -> None:
    async def main() -> None:
        async with Scene(**arguments) as at:
            await test(at)

    run(main(), loop)


async def turns(count: int = 20) -> None:
    """Let the loop come round."""
    for _ in range(count):
        await asyncio.sleep(0)


@BOTH_LOOPS
@pytest.mark.parametrize("end", [close_payload(1000), b"\xff"], ids=["close", "violation"])
def test_what_the_client_said_before_the_end_is_answered(loop: str, end: bytes) -> None:
    is_close = end != b"\xff"

    async def main() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            messages = b"".join(frame(TEXT, b"%d" % number, key=KEY) for number in range(100))
            raw.writer.write(messages + frame(CLOSE if is_close else TEXT, end, key=KEY))
            for number in range(100):
                assert await raw.frame() == (TEXT, b"%d" % number)
            opcode, payload = await raw.frame()
            assert (opcode, payload[:2]) == (CLOSE, close_payload(1000 if is_close else 1007))
            await raw.close()

    run(main(), loop)


@BOTH_LOOPS
def test_the_end_does_not_wait_for_a_handler_that_has_nothing_to_answer(loop: str) -> None:
    async def test(at: Scene) -> None:
        at.raw.send(CLOSE, close_payload(1000))
        assert await at.raw.frame() == (CLOSE, close_payload(1000))

    scene(loop, test, timeouts=Timeouts.NONE)


@pytest.mark.parametrize("call", [WebSocket.recv, WebSocket.wait_closed, WebSocket.close])
def test_who_waits_for_more_has_nothing_to_answer(call: Any) -> None:
    async def test(at: Scene) -> None:
        at.raw.writer.write(frame(TEXT, b"1", key=KEY) + frame(CLOSE, close_payload(1000), key=KEY))
        assert await at.ws.recv() == "1"
        assert at.ws._driver.is_answer_due
        waiting = asyncio.ensure_future(call(at.ws))
        assert await at.raw.frame() == (CLOSE, close_payload(1000))
        await at.raw.close()
        with contextlib.suppress(ConnectionClosedError):
            await waiting

    scene("clock", test, timeouts=Timeouts.NONE)


def test_the_end_waits_for_an_answer_no_longer_than_a_second() -> None:
    async def test(at: Scene) -> None:
        messages = frame(TEXT, b"1", key=KEY) + frame(TEXT, b"2", key=KEY)
        at.raw.writer.write(messages + frame(CLOSE, close_payload(1000), key=KEY))
        while not at.ws._driver.is_answer_due:
            await asyncio.sleep(0)
        await at.ws.send("before")
        clock().ahead += 1.1
        assert await at.raw.frame() == (TEXT, b"before")
        assert await at.raw.frame() == (CLOSE, close_payload(1000))
        with pytest.raises(ConnectionClosedError):
            await at.ws.send("too late")
        assert [message async for message in at.ws] == ["1", "2"]

    scene("clock", test, timeouts=Timeouts.NONE)


@BOTH_LOOPS
def test_a_handler_that_returns_closes_with_1000(loop: str) -> None:
    async def hello(ws: WebSocket) -> None:
        await ws.send(f"hello {await ws.recv()!s}")

    async def main() -> None:
        async with serve(hello, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.send(TEXT, b"Ann")
            assert await raw.frame() == (TEXT, b"hello Ann")
            assert await raw.frame() == (CLOSE, close_payload(1000))
            raw.send(CLOSE, close_payload(1000))
            assert await raw.rest() == b""
            await raw.close()

    run(main(), loop)


@BOTH_LOOPS
def test_an_exception_of_a_handler(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def faulty(ws: WebSocket) -> None:
        raise KeyError("a secret of ours")

    async def main() -> None:
        async with serve(faulty, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            assert await raw.frame() == (CLOSE, close_payload(1011))
            await raw.close()

    run(main(), loop)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None


@BOTH_LOOPS
@pytest.mark.parametrize("action", ["recv", "send", "iterate"])
def test_the_end_of_its_own_connection_is_no_fault_of_a_handler(
    loop: str, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(ws: WebSocket) -> None:
        if action == "iterate":
            async for _ in ws:
                pass
        while True:
            await (ws.recv() if action == "recv" else ws.send("?"))
            await asyncio.sleep(0)

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            await raw.reset()
            await server.close()

    run(main(), loop)
    assert not [record for record in caplog.records if record.levelno == logging.ERROR]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of exceptions before 3.11")
@pytest.mark.parametrize("others", [[], [KeyError("a secret of ours")]], ids=["the end alone", "another error, too"])
def test_the_end_in_a_group_is_no_fault_of_a_handler_either(
    others: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """A task group raises a group when one of its tasks finds that the peer has gone."""

    async def handler(ws: WebSocket) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:  # type: ignore[attr-defined,unused-ignore]
                tasks.create_task(ws.recv())
        except ExceptionGroup as group:  # type: ignore[name-defined,unused-ignore] # noqa: F821
            raise ExceptionGroup("two tasks", [group, *others]) from None  # type: ignore[name-defined,unused-ignore] # noqa: F821

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            await raw.reset()
            await server.close()

    run(main())
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == len(others)


@BOTH_LOOPS
def test_iteration_ends_with_a_good_end_and_raises_with_another(loop: str) -> None:
    async def test(at: Scene) -> None:
        at.raw.send(TEXT, b"1")
        at.raw.send(BINARY, b"2")
        at.raw.send(CLOSE, close_payload(1001))
        assert [message async for message in at.ws] == ["1", b"2"]
        with pytest.raises(ConnectionClosedError) as caught:
            await at.ws.recv()
        assert caught.value.closed.code == 1001

    async def bad_test(at: Scene) -> None:
        at.raw.send(TEXT, b"1")
        at.raw.send(CLOSE, close_payload(4000, b"no more"))
        assert await at.ws.__anext__() == "1"
        with pytest.raises(ConnectionClosedError, match="no more"):
            await at.ws.__anext__()

    scene(loop, test)
    scene(loop, bad_test)


async def check_nothing_is_lost(ws: WebSocket, receiving: asyncio.Future[str | bytes], message: str) -> None:
    """Cancel a task that is receiving, whether or not the message has arrived: the next call returns it."""
    assert receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert await ws.recv() == message


@BOTH_LOOPS
def test_cancelling_recv_loses_nothing(loop: str) -> None:
    async def test(at: Scene) -> None:
        for number in range(100):
            receiving = asyncio.ensure_future(at.ws.recv())
            await turns(1)
            at.raw.send(TEXT, b"%d" % number)
            if number % 2:
                while not receiving.done():
                    await asyncio.sleep(0)
            if not receiving.done():
                await check_nothing_is_lost(at.ws, receiving, str(number))
            else:
                assert await receiving == str(number)

    scene(loop, test)


@BOTH_LOOPS
def test_only_one_may_receive(loop: str) -> None:
    async def test(at: Scene) -> None:
        receiving = asyncio.ensure_future(at.ws.recv())
        await turns(1)
        with pytest.raises(RuntimeError, match="another task"):
            await at.ws.recv()
        at.raw.send(TEXT, b"1")
        assert await receiving == "1"

    scene(loop, test)


@BOTH_LOOPS
def test_reading_stops_while_nobody_receives(loop: str) -> None:
    async def test(at: Scene) -> None:
        for number in range(20_000):
            at.raw.send(TEXT, b"%d" % number)
        while not at.ws._inbox._driver.is_held:
            await asyncio.sleep(0)
        await turns()
        assert len(at.ws._inbox.queue) <= 64
        for number in range(20_000):
            assert await at.ws.recv() == str(number)

    scene(loop, test)


def test_a_large_message_that_is_waited_for_does_not_stop_reading() -> None:
    async def test(at: Scene) -> None:
        driver, large = at.ws._inbox._driver, bytes(100_000)
        stops = []
        driver.transport.pause_reading = lambda: stops.append(driver.is_held)  # type: ignore[method-assign]
        for _ in range(3):
            receiving = asyncio.ensure_future(at.ws.recv())
            await turns(1)
            at.raw.send(BINARY, large)
            assert await receiving == large
        assert not stops

    scene("asyncio", test)


def test_a_transport_that_can_no_longer_be_told_to_read() -> None:
    """With TLS on Python 3.10, that is so between a reset and `connection_lost`."""

    async def test(at: Scene) -> None:
        driver, errors = at.ws._inbox._driver, []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        resume = driver.transport.resume_reading

        def resume_reading() -> None:
            resume()
            raise AttributeError("'NoneType' object has no attribute 'resume_reading'")

        driver.transport.resume_reading = resume_reading  # type: ignore[method-assign]
        for number in range(200):
            at.raw.send(TEXT, b"%d" % number)
        while not driver.is_held:
            await asyncio.sleep(0)
        for number in range(200):
            assert await at.ws.recv() == str(number)
        assert not errors

    scene("asyncio", test)


@BOTH_LOOPS
def test_a_message_that_comes_in_a_call_of_a_task(loop: str) -> None:
    """A transport in memory calls from the task that writes. The one that receives is continued by the loop then."""

    async def test(at: Scene) -> None:
        driver = at.ws._inbox._driver
        for number in range(4):
            receiving = asyncio.ensure_future(at.ws.recv())
            await turns(1)
            driver.data_received(frame(TEXT, b"%d" % number, key=KEY))
            assert not receiving.done()
            if number % 2:
                await check_nothing_is_lost(at.ws, receiving, str(number))
            else:
                assert await receiving == str(number)

    scene(loop, test)


class Immediate(InMemory):
    """A transport in memory to a peer that answers a message at once, before `write` returns."""

    def __init__(self, driver: Driver, answer: bytes) -> None:
        super().__init__(driver)
        self.answers = [answer]

    def write(self, data: Any) -> None:
        if not data.startswith(b"HTTP") and self.answers:
            self.driver.data_received(self.answers.pop())


@BOTH_LOOPS
@pytest.mark.parametrize(("answer", "expected"), [(b"3", "3"), (b"\xff", 1007)], ids=["message", "end"])
def test_an_answer_that_comes_while_a_task_is_about_to_wait(loop: str, answer: bytes, expected: object) -> None:
    """What was sent is written when there is nothing more to receive, and the answer may be there at once."""

    async def main() -> None:
        received: list[object] = []

        async def handler(ws: WebSocket) -> None:
            assert await ws.recv() == "1"
            await ws.send("one")  # is not written yet, as there is another message to answer
            assert await ws.recv() == "2"
            try:
                received.append(await ws.recv())
            except ConnectionClosedError as error:
                received.append(error.closed.code)
            ws.abort()

        server = serve(handler)
        driver = Driver(asyncio.get_running_loop(), server)
        driver.connection_made(Immediate(driver, frame(TEXT, answer, key=KEY)))
        driver.data_received(REQUEST)
        await turns()
        driver.data_received(frame(TEXT, b"1", key=KEY) + frame(TEXT, b"2", key=KEY))
        await turns()
        assert received == [expected]
        await server.close()

    run(main(), loop)


class Refusing:
    """An object that a task awaits instead of a Future, and that raises an exception."""

    _asyncio_future_blocking = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def add_done_callback(self, callback: Callable[[Any], None], **_: object) -> None:
        self.callback = callback
        raise RuntimeError("refused")


@BOTH_LOOPS
def test_an_error_of_a_task_that_received_does_not_continue_it_twice(loop: str) -> None:
    async def main() -> None:
        running = asyncio.get_running_loop()
        reported = running.create_future()
        running.set_exception_handler(lambda _, context: reported.set_result(str(context["exception"])))
        refusing = Refusing()
        steps = []

        async def handler(ws: WebSocket) -> None:
            steps.append(await ws.recv())
            await refusing
            steps.append("end")

        async with serve(handler, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.send(TEXT, b"1")
            await turns()
            assert await reported == "refused"
            assert steps == ["1"]
            done = running.create_future()
            done.set_result(None)
            running.call_soon(refusing.callback, done)
            assert (await raw.frame())[0] == CLOSE
            assert steps == ["1", "end"]
            await raw.close()

    run(main(), loop)


@BOTH_LOOPS
def test_a_cancelled_task_does_not_cancel_the_next_that_receives(loop: str) -> None:
    async def test(at: Scene) -> None:
        cancelled = asyncio.ensure_future(at.ws.recv())
        await turns(1)
        cancelled.cancel("why")
        receiving = asyncio.ensure_future(at.ws.recv())
        # Twice, before the loop has told the task of the first.
        cancelled.cancel("again")
        await turns(2)
        assert cancelled.cancelled()
        assert not receiving.done()
        at.raw.send(TEXT, b"1")
        assert await receiving == "1"

    scene(loop, test)


@BOTH_LOOPS
def test_a_handler_keeps_its_task_and_its_context(loop: str) -> None:
    async def main() -> None:
        tasks = []
        name: contextvars.ContextVar[str] = contextvars.ContextVar("name")

        async def handler(ws: WebSocket) -> None:
            tasks.append(asyncio.current_task())
            name.set("")
            async for message in ws:
                tasks.append(asyncio.current_task())
                name.set(name.get() + str(message))
                await ws.send(name.get())

        async with serve(handler, "127.0.0.1", 0) as server:
            first, second = await Raw.connect(server.port), await Raw.connect(server.port)
            for number in range(3):
                for raw in first, second:
                    raw.send(TEXT, b"%d" % number)
                    assert (await raw.frame())[1] == b"012"[: number + 1]
            assert len(tasks) == 8
            assert len(set(tasks)) == 2
            assert None not in tasks
            await first.close()
            await second.close()

    run(main(), loop)


def test_a_handler_that_exits_ends_the_loop() -> None:
    tasks = []

    async def main() -> None:
        async def handler(ws: WebSocket) -> None:
            tasks.append(asyncio.current_task())
            await ws.recv()
            sys.exit(3)

        async with serve(handler, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.send(TEXT, b"1")
            try:
                await server.serve_forever()
            finally:
                await raw.close()

    with pytest.raises(SystemExit, match="3"):
        asyncio.run(main())
    (task,) = tasks
    assert task is not None
    assert isinstance(task.exception(), SystemExit)


@BOTH_LOOPS
def test_the_next_message_as_a_task(loop: str) -> None:
    async def test(at: Scene) -> None:
        for number in range(4):
            receiving = asyncio.create_task(anext(at.ws))
            if number % 2:
                await turns(1)
                receiving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await receiving
                receiving = asyncio.create_task(anext(at.ws))
            at.raw.send(TEXT, b"%d" % number)
            assert await receiving == str(number)
        anext(at.ws).close()
        at.raw.send(CLOSE, close_payload(1000))
        with pytest.raises(StopAsyncIteration):
            await asyncio.create_task(anext(at.ws))

    scene(loop, test)


@BOTH_LOOPS
def test_a_message_within_the_limit_always_fits(loop: str) -> None:
    """T5: two ends that each send one large message, and receive only then, do not block each other."""

    async def test(at: Scene) -> None:
        sending = asyncio.ensure_future(at.ws.send(bytes(4 << 20)))
        at.raw.send(BINARY, bytes(4 << 20))
        await at.raw.writer.drain()  # the server takes it, though its own was not read
        await sending
        assert len((await at.raw.frame())[1]) == 4 << 20
        assert len(await at.ws.recv()) == 4 << 20

    scene(loop, test, limits=rfc6455.Limits(message=4 << 20))


async def stall(server: Server) -> Raw:
    """A client that reads nothing and sends, until nothing goes out any more in either direction."""
    raw = await Raw.connect(server.port)
    transport: Any = raw.writer.transport
    transport.pause_reading()
    data = frame(BINARY, bytes(64 << 10), key=KEY)
    (driver,) = server._drivers
    while not driver.is_held or driver.can_write:
        if transport.get_write_buffer_size() < 1 << 20:
            transport.write(data)
        await asyncio.sleep(0)
    return raw


async def only_send(ws: WebSocket) -> None:
    while True:
        await ws.send(bytes(16 << 10))


async def send_parts(ws: WebSocket) -> None:
    await ws.send([bytes(16 << 10)] * 10_000)


STUCK = pytest.mark.parametrize("what", [echo, only_send, send_parts])


async def until_it_ends(what: Any, codes: list[int], ws: WebSocket) -> None:
    """Do this in a handler, and note the code that ended it."""
    try:
        await what(ws)
    except ConnectionClosedError as error:
        codes.append(error.closed.code)
        raise


@STUCK
def test_the_keepalive_ends_a_peer_that_neither_reads_nor_lets_the_handler_go_on(what: Any) -> None:
    async def main() -> None:
        codes: list[int] = []
        async with serve(partial(until_it_ends, what, codes), "127.0.0.1", 0) as server:
            raw = await stall(server)
            for _ in range(40):
                clock().ahead += 5
                await turns()
            assert codes == [3008]
            while server._drivers:
                await asyncio.sleep(0)
            await raw.close()

    run(main())


@BOTH_LOOPS
@STUCK
def test_a_peer_that_is_lost_lets_a_handler_go_on_that_waits_for_it(loop: str, what: Any) -> None:
    async def main() -> None:
        codes: list[int] = []
        async with serve(partial(until_it_ends, what, codes), "127.0.0.1", 0) as server:
            raw = await stall(server)
            await raw.reset()
            while server._drivers:
                await asyncio.sleep(0)
            assert codes == [1006]

    run(main(), loop)


@BOTH_LOOPS
def test_send_waits_while_the_peer_does_not_read(loop: str) -> None:
    async def test(at: Scene) -> None:
        at.raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < 10_000:
                await at.ws.send(bytes(16 << 10))
                sent += 1

        sending = asyncio.ensure_future(send())
        before = -1
        while sent != before:
            before = sent
            await turns(100)
        assert sent < 2000
        transport = at.ws._inbox._driver.transport
        assert transport.get_write_buffer_size() < 128 << 10
        sending.cancel()
        at.raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(sent):
            assert await at.raw.frame() == (BINARY, bytes(16 << 10))
        await at.ws.send("and it goes on")
        assert await at.raw.frame() == (TEXT, b"and it goes on")

    scene(loop, test)


@BOTH_LOOPS
def test_any_number_of_tasks_may_send(loop: str) -> None:
    async def test(at: Scene) -> None:
        async def send(name: int) -> None:
            for number in range(20):
                await at.ws.send(b"%d:%d:" % (name, number) + bytes(8 << 10))

        sending = [asyncio.ensure_future(send(name)) for name in range(20)]
        sending.append(asyncio.ensure_future(at.ws.send("abc" * 100 for _ in range(50))))
        seen: dict[bytes, list[int]] = {}
        whole = 0
        while whole < 401:
            opcode, payload = await at.raw.frame()
            if opcode == BINARY:
                name, number, _ = payload.split(b":")
                seen.setdefault(name, []).append(int(number))
                whole += 1
            else:
                parts = [payload]
                while len(parts) <= 50:
                    opcode, payload = await at.raw.frame()
                    assert opcode == CONT
                    parts.append(payload)
                assert b"".join(parts) == b"abc" * 5000
                whole += 1
        assert seen == {b"%d" % name: list(range(20)) for name in range(20)}
        await asyncio.gather(*sending)

    scene(loop, test)


async def filled(at: Scene) -> tuple[Any, int]:
    """Send until nothing more goes out; return the peer's transport, which does not read, and how many messages
    went."""
    transport: Any = at.raw.writer.transport
    transport.pause_reading()
    sent = 0
    while at.ws._inbox._driver.can_write:
        await at.ws.send(bytes(16 << 10))
        sent += 1
    return transport, sent


@BOTH_LOOPS
def test_a_cancelled_send_sends_nothing_and_lets_the_next_have_its_turn(loop: str) -> None:
    async def test(at: Scene) -> None:
        transport, sent = await filled(at)
        waiting = [asyncio.ensure_future(at.ws.send(f"{number}")) for number in range(10)]
        await turns(2)
        for task in waiting[::2]:
            task.cancel()
        transport.resume_reading()
        for _ in range(sent):
            await at.raw.frame()
        for number in range(1, 10, 2):
            assert await at.raw.frame() == (TEXT, b"%d" % number)
        await asyncio.gather(*waiting, return_exceptions=True)

    scene(loop, test)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("\ud800", LocalProtocolError), (5, TypeError), ([5], TypeError), (["\ud800"], LocalProtocolError)],
)
@BOTH_LOOPS
def test_a_send_that_fails_lets_the_next_have_its_turn(loop: str, wrong: Any, error: type[Exception]) -> None:
    async def test(at: Scene) -> None:
        transport, sent = await filled(at)
        failing = asyncio.ensure_future(at.ws.send(wrong))
        await turns(2)
        waiting = [asyncio.ensure_future(at.ws.send(f"{number}")) for number in range(3)]
        await turns(2)
        transport.resume_reading()
        for _ in range(sent):
            await at.raw.frame()
        for number in range(3):
            assert await at.raw.frame() == (TEXT, b"%d" % number)
        await asyncio.gather(*waiting)
        with pytest.raises(error):
            await failing

    scene(loop, test)


@BOTH_LOOPS
def test_messages_in_parts(loop: str) -> None:
    async def later() -> AsyncIterator[bytes]:
        for part in (b"1", b"2"):
            await asyncio.sleep(0)
            yield part

    async def test(at: Scene) -> None:
        await at.ws.send(["to ", "be"])
        assert [await at.raw.frame() for _ in range(3)] == [(TEXT, b"to "), (CONT, b"be"), (CONT, b"")]
        await at.ws.send(later())
        assert [await at.raw.frame() for _ in range(3)] == [(BINARY, b"1"), (CONT, b"2"), (CONT, b"")]
        await at.ws.send([])
        for wrong in (5, {"a": 1}):
            with pytest.raises(TypeError, match=rf"not {type(wrong).__name__}; json.dumps\(\) makes a str"):
                await at.ws.send(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a part of a message is str or bytes, not int"):
            await at.ws.send([5])  # type: ignore[list-item]
        await at.ws.send("still open")
        assert await at.raw.frame() == (TEXT, b"still open")

    scene(loop, test)


@BOTH_LOOPS
def test_a_message_that_cannot_be_finished_ends_the_connection(loop: str) -> None:
    async def test(at: Scene) -> None:
        with pytest.raises(TypeError, match="all parts"):
            await at.ws.send(["text", b"bytes"])  # type: ignore[list-item]
        assert await at.raw.frame() == (TEXT, b"text")
        assert await at.raw.frame() == (CLOSE, close_payload(1011))

    scene(loop, test)


@BOTH_LOOPS
def test_ping_gives_the_latency(loop: str) -> None:
    async def test(at: Scene) -> None:
        first, second = asyncio.ensure_future(at.ws.ping()), asyncio.ensure_future(at.ws.ping())
        assert (await at.raw.frame())[0] == PING
        _, payload = await at.raw.frame()
        at.raw.send(PONG, b"unasked")
        at.raw.send(PONG, payload)  # 5.5.3: one Pong may answer both
        assert 0 <= await second <= await first < 30
        cancelled = asyncio.ensure_future(at.ws.ping())
        assert (await at.raw.frame())[0] == PING
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not at.ws._inbox.pings
        third = asyncio.ensure_future(at.ws.ping())
        await at.raw.frame()
        at.raw.send(CLOSE)
        with pytest.raises(ConnectionClosedError):
            await third
        with pytest.raises(ConnectionClosedError):
            await at.ws.ping()
        assert not at.ws._inbox.pings

    scene(loop, test)


@BOTH_LOOPS
def test_a_pong_behind_messages_that_nobody_receives_has_to_wait(loop: str) -> None:
    async def test(at: Scene) -> None:
        pinging = asyncio.ensure_future(at.ws.ping())
        opcode, payload = await at.raw.frame()
        assert opcode == PING
        for number in range(100):
            at.raw.send(TEXT, b"%d" % number)
        at.raw.send(PONG, payload)
        while not at.ws._inbox._driver.is_held:
            await asyncio.sleep(0)
        await turns()
        assert not pinging.done()
        for number in range(100):
            assert await at.ws.recv() == str(number)
        assert await pinging < 30

    scene(loop, test)


@BOTH_LOOPS
def test_close_waits_for_the_end_and_wakes_all(loop: str) -> None:
    async def test(at: Scene) -> None:
        receiving = asyncio.ensure_future(at.ws.recv())
        closing = asyncio.ensure_future(at.ws.close(4000, "enough"))
        assert await at.raw.frame() == (CLOSE, close_payload(4000, b"enough"))
        sending = asyncio.ensure_future(at.ws.send("too late"))
        await turns()
        assert not closing.done()
        assert not sending.done()
        at.raw.send(CLOSE, close_payload(4000))
        for task in (receiving, sending):
            with pytest.raises(ConnectionClosedError):
                await task
        assert await at.raw.rest() == b""
        await at.raw.close()
        await closing
        assert (await at.ws.wait_closed()).code == 4000
        await at.ws.close()

    scene(loop, test)


@BOTH_LOOPS
def test_close_does_not_wait_for_messages_that_nobody_takes(loop: str) -> None:
    async def test(at: Scene) -> None:
        for number in range(1000):
            at.raw.send(BINARY, b"%d" % number + bytes(1000))
        while not at.ws._inbox._driver.is_held:
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(at.ws.close())
        assert await at.raw.frame() == (CLOSE, close_payload(1000))
        at.raw.send(CLOSE, close_payload(1000))
        assert await at.raw.rest() == b""
        await at.raw.close()
        await closing
        assert (await at.ws.recv())[:2] == b"0\0"

    scene(loop, test, timeouts=Timeouts.NONE)


@BOTH_LOOPS
def test_what_came_before_the_end_can_be_received_after_it(loop: str) -> None:
    async def test(at: Scene) -> None:
        for number in range(200):
            at.raw.send(TEXT, b"%d" % number)
        await at.raw.writer.drain()
        await at.raw.close()
        assert [await at.ws.recv() for _ in range(200)] == [str(number) for number in range(200)]
        with pytest.raises(ConnectionClosedError):
            await at.ws.recv()

    scene(loop, test, limits=rfc6455.Limits(message=1000))


def test_a_handler_that_does_not_receive_is_no_fault_of_the_peer() -> None:
    """Its Pong is not read, so that it is not late."""

    async def test(at: Scene) -> None:
        for number in range(1000):
            at.raw.send(TEXT, b"%d" % number)
        while not at.ws._inbox._driver.is_held:
            await asyncio.sleep(0)
        clock().ahead += 1000
        await turns()
        assert at.ws.end is None
        for number in range(1000):
            assert await at.ws.recv() == str(number)

    scene("clock", test, timeouts=Timeouts(ping_interval=20, pong=20))


@BOTH_LOOPS
def test_parts_on_request(loop: str) -> None:
    async def test(at: Scene) -> None:
        at.raw.send(BINARY, b"1", fin=False)
        assert await at.ws.recv_part() == rfc6455.BytesPart(b"1", False)
        at.raw.send(CONT, b"2")
        with pytest.raises(RuntimeError, match="recv_part"):
            await at.ws.recv()
        assert await at.ws.recv_part() == rfc6455.BytesPart(b"2", True)

    async def whole(at: Scene) -> None:
        at.raw.send(BINARY, b"1")
        with pytest.raises(RuntimeError, match="recv"):
            await at.ws.recv_part()
        assert await at.ws.recv() == b"1"

    scene(loop, test, parts=True)
    scene(loop, whole)


@BOTH_LOOPS
def test_broadcast_leaves_out_who_is_slow(loop: str) -> None:
    async def main() -> None:
        async def handler(ws: WebSocket) -> None:
            await ws.recv()

        async with serve(handler, "127.0.0.1", 0) as server:
            raws = [await Raw.connect(server.port) for _ in range(3)]
            while len(server.connections) < 3:
                await asyncio.sleep(0)
            assert broadcast(server.connections, "news") == []
            for raw in raws:
                assert await raw.frame() == (TEXT, b"news")
            raws[0].writer.transport.pause_reading()  # type: ignore[attr-defined]
            rounds = 0
            while not (slow := broadcast(server.connections, bytes(64 << 10))):
                rounds += 1
                for raw in raws[1:]:
                    assert await raw.frame() == (BINARY, bytes(64 << 10))
                assert rounds < 1000
            assert len(slow) == 1
            assert broadcast(server.connections, "bye", close_slow=True) == slow
            for raw in raws[1:]:
                assert (await raw.frame())[0] == BINARY
                assert await raw.frame() == (TEXT, b"bye")
            assert isinstance(slow[0], WebSocket)
            assert (await slow[0].wait_closed()).cause is CloseCause.ABORTED
            assert broadcast(slow, "nobody") == []
            for raw in raws:
                await raw.close()

    run(main(), loop)


@BOTH_LOOPS
def test_the_server_closes_and_cancels_a_handler_that_goes_on(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def handler(ws: WebSocket) -> None:
            await ws.send("here")
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with serve(handler, "127.0.0.1", 0, timeouts=Timeouts.NONE) as server:
            raw = await Raw.connect(server.port)
            assert await raw.frame() == (TEXT, b"here")
            await server.close(1001, timeout=0.01)
            assert cancelled.is_set()
            assert await raw.frame() == (CLOSE, close_payload(1001))
            await raw.close()

    run(main(), loop)
    assert not [record for record in caplog.records if record.levelno == logging.ERROR]


@BOTH_LOOPS
def test_a_handler_may_close_the_server(loop: str) -> None:
    async def main() -> None:
        async def handler(ws: WebSocket) -> None:
            await ws.recv()
            await server.close(1001, timeout=1)
            raw.send(TEXT, b"after")

        async with serve(handler, "127.0.0.1", 0) as server:
            raw = await Raw.connect(server.port)
            raw.send(TEXT, b"stop")
            assert await raw.frame() == (CLOSE, close_payload(1001))
            raw.send(CLOSE, close_payload(1001))
            assert await raw.rest() == b""
            await raw.close()

    run(main(), loop)
