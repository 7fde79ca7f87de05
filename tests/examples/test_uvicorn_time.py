"""`rfc6455_io.uvicorn` without a network: a transport that the test controls, on a loop whose time is a number.

Waits of 20 seconds take no time here, and all orders of a race can be tested: in the last test, hypothesis chooses the
actions, and the test checks for anything that a server must never do.
"""

from __future__ import annotations

import asyncio
import errno
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest
from helpers import BINARY, CLOSE, PING, PONG, SERVER, TEXT, Seen, close_payload, read_frames, to
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("uvicorn.server")

import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState

import rfc6455
from rfc6455 import Limits
from rfc6455_io.uvicorn import Protocol

pytestmark = pytest.mark.examples


REQUEST = (
    b"GET /a?b HTTP/1.1\r\nhost: example.com\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n%s\r\n"
)
Order = Callable[[Any, Any], Awaitable[Any]]  # of `receive` and `send`: what the app is to do

DEFLATE = b"sec-websocket-extensions: permessage-deflate\r\n"


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time moves when a test says so."""

    now = 1000.0
    overdue = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        self.overdue += when <= self.now
        assert self.overdue < 10, "timers that are due when they are set keep the server busy"
        return super().call_at(when, *arguments, **options)

    def waiting(self) -> list[asyncio.TimerHandle]:
        """The timers that would still go off."""
        return [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]


class Transport(asyncio.Transport):
    """A transport that keeps what is written. It takes it at once, or not at all after `stall`."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.is_stalled = self.is_paused = self.has_written_eof = self.is_lost = False
        self.left = 0
        self._closing = False

    def write(self, data: Any) -> None:
        assert not self.has_written_eof
        assert not self._closing, "a write after close() is lost"
        self.written += data
        if self.is_stalled:
            self.left += len(data)

    def stall(self) -> None:
        """The client reads no more, and the buffer is full."""
        if not self.is_stalled and not self.is_lost:
            self.is_stalled = True
            self.left += 65537
            self.protocol.pause_writing()

    def take(self, size: int | None = None) -> None:
        """The client reads some of it, or all."""
        self.left = 0 if size is None else max(0, self.left - size)
        if not self.left and self.is_stalled and not self.is_lost:
            self.is_stalled = False
            self.protocol.resume_writing()
            if self._closing:
                self.lose()

    def close(self) -> None:
        assert not self._closing, "a second close() makes asyncio's transport over TLS unusable"
        self._closing = True
        if not self.left:
            asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self._closing = True
        self.left = 0
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self, error: Exception | None = None) -> None:
        self._closing = True
        if not self.is_lost:
            self.is_lost = True
            self.protocol.connection_lost(error)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_written_eof = True

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1234), "sockname": ("192.0.2.2", 80)}.get(name, default)


class Telling(Protocol):
    tells_end = True


class Scene:
    """A connection whose request has come, and an app that does one thing after the other."""

    def __init__(
        self,
        loop: Loop,
        extra: bytes = b"",
        default_headers: Sequence[tuple[bytes, bytes]] = (),
        protocol_class: Any = None,
        **options: Any,
    ) -> None:
        self.loop = loop
        self.state = ServerState()
        self.state.default_headers = list(default_headers)
        self.messages: list[Any] = []
        self._orders: asyncio.Queue[Order | None] = asyncio.Queue()
        self.outcomes: list[Any] = []
        options = {"interface": "asgi3", "ws": "none", "lifespan": "off", "log_config": None, **options}
        config = uvicorn.Config(self._app, **options)
        self.protocol = (protocol_class or Protocol)(config, self.state, {})
        self.transport = Transport(self.protocol)
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(REQUEST % extra)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        while (order := await self._orders.get()) is not None:
            self.outcomes.append(await self._obey(order, receive, send))

    async def _obey(self, order: Order, receive: Any, send: Any) -> Any:
        try:
            return await order(receive, send)
        except (OSError, RuntimeError) as error:
            return error

    async def settle(self) -> None:
        """Let everything happen that can happen now."""
        for _ in range(12):
            await asyncio.sleep(0)

    async def order(self, order: Order | None) -> None:
        self._orders.put_nowait(order)
        await self.settle()

    async def say(self, **message: Any) -> None:
        await self.order(lambda receive, send: send(message))

    async def take(self, count: int = 1) -> list[Any]:
        """What the app receives; `None` stands for what it still waits for."""
        before = len(self.outcomes)
        for _ in range(count):
            await self.order(lambda receive, send: receive())
        return self.outcomes[before:]

    async def open(self) -> Scene:
        assert await self.take() == [{"type": "websocket.connect"}]
        await self.say(type="websocket.accept")
        assert self.transport.written.startswith(b"HTTP/1.1 101 ")
        self.transport.written.clear()
        return self

    async def feed(self, *data: bytes) -> None:
        for portion in data:
            self.protocol.data_received(portion)
        await self.settle()

    async def later(self, seconds: float) -> None:
        """Go on in steps, as timers that are due set others."""
        end = self.loop.now + seconds
        while (due := min((timer.when() for timer in self.loop.waiting()), default=end)) < end:
            self.loop.now = max(self.loop.now, due)
            await self.settle()
        self.loop.now = end
        await self.settle()

    def frames(self) -> list[Seen]:
        """What was written since the last look."""
        frames = read_frames(bytes(self.transport.written), SERVER)
        self.transport.written.clear()
        return frames

    async def finish(self) -> None:
        """However it went: the client goes, the app ends, and nothing may be left."""
        self.transport.lose()
        for _ in range(3):
            await self.order(None)
        assert self.loop.waiting() == []
        assert self.state.connections == set()
        assert self.state.tasks == set()


def play(test: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """Run a test on a loop of its own; an unhandled exception of a callback fails it."""
    unhandled: list[dict[str, Any]] = []
    loop = Loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    try:
        loop.run_until_complete(test(loop, *arguments))
    finally:
        loop.close()
    assert unhandled == []


def on_a_loop(test: Callable[[Loop], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        play(test)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def text(content: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": content}


# Time.


@on_a_loop
async def test_a_ping_every_20_seconds_and_20_more_for_its_pong(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.later(19.9)
    assert scene.frames() == []
    await scene.later(0.2)
    (ping,) = scene.frames()
    assert ping.opcode == PING
    await scene.later(5)
    await scene.feed(to(SERVER, PONG, ping.payload))
    await scene.later(19.9)
    assert scene.frames() == []
    await scene.later(0.2)
    assert [frame.opcode for frame in scene.frames()] == [PING]
    await scene.later(20)
    assert [(frame.opcode, frame.payload[:2]) for frame in scene.frames()] == [(CLOSE, close_payload(1011))]
    assert scene.transport.is_lost
    (farewell,) = await scene.take()
    assert (farewell["type"], farewell["code"]) == ("websocket.disconnect", 1011)
    await scene.finish()


@on_a_loop
async def test_no_pong_is_late_while_the_app_lets_nothing_be_read(loop: Loop) -> None:
    scene = await Scene(loop, ws_max_queue=2).open()
    await scene.later(20)
    (ping,) = scene.frames()
    await scene.feed(to(SERVER, TEXT, b"1"), to(SERVER, TEXT, b"2"))
    assert scene.transport.is_paused
    await scene.later(1000)
    assert scene.frames() == []
    assert await scene.take() == [text("1")]
    assert not scene.transport.is_paused
    await scene.later(19)
    await scene.feed(to(SERVER, PONG, ping.payload))
    await scene.later(19)
    assert scene.frames() == []
    await scene.later(2)
    assert [frame.opcode for frame in scene.frames()] == [PING]
    assert not scene.transport.is_closing()
    await scene.finish()


@on_a_loop
async def test_who_floods_and_never_reads_is_not_waited_for(loop: Loop) -> None:
    """It has made the app wait in `send` and so the inbox full: whichever comes first."""
    for stalls_first in (False, True):
        scene = await Scene(loop, ws_max_queue=1).open()
        if stalls_first:
            scene.transport.stall()
        await scene.feed(to(SERVER, TEXT, b"echo me"))
        assert scene.transport.is_paused
        await scene.later(100 * (not stalls_first))
        scene.transport.stall()
        await scene.say(type="websocket.send", text="waits")
        assert not scene.outcomes[2:]
        await scene.later(39)
        assert not scene.transport.is_closing()
        await scene.later(2)
        assert scene.transport.is_closing()
        assert isinstance(scene.outcomes[-1], OSError)
        received = await scene.take(2)
        assert received[0] == text("echo me")
        assert (received[1]["type"], received[1]["code"]) == ("websocket.disconnect", 1011)
        await scene.later(21)
        assert scene.transport.is_lost
        await scene.finish()


@on_a_loop
async def test_who_reads_again_waits_for_the_app_only(loop: Loop) -> None:
    scene = await Scene(loop, ws_max_queue=1).open()
    await scene.feed(to(SERVER, TEXT, b"1"))
    scene.transport.stall()
    await scene.later(30)
    scene.transport.take()
    assert [frame.opcode for frame in scene.frames()] == [PING]
    await scene.later(1000)
    assert not scene.transport.is_closing()
    assert await scene.take() == [text("1")]
    await scene.later(9)
    assert not scene.transport.is_closing()
    await scene.later(2)
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_a_client_that_does_not_answer_the_close_of_the_app_is_hung_up_on(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.say(type="websocket.close", code=4000)
    assert scene.frames() == [Seen(CLOSE, close_payload(4000))]
    await scene.order(None)
    await scene.feed(to(SERVER, TEXT, b"late"))
    await scene.later(9.9)
    assert not scene.transport.is_closing()
    await scene.later(0.2)
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_at_the_end_a_client_that_takes_nothing_is_cut_and_a_slow_one_not(loop: Loop) -> None:
    scene = await Scene(loop).open()
    scene.transport.stall()
    await scene.feed(to(SERVER, CLOSE, close_payload(1000)))
    assert scene.transport.is_closing()
    for _ in range(5):
        scene.transport.take(100)
        await scene.later(10)
        assert not scene.transport.is_lost
    await scene.later(10)
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_a_client_that_broke_the_rules_and_resets_is_hung_up_on(loop: Loop) -> None:
    """The stream of a connection that was reset cannot be ended."""

    def write_eof() -> None:
        raise OSError(errno.ENOTCONN, "")

    scene = await Scene(loop).open()
    scene.transport.write_eof = write_eof  # type: ignore[method-assign]
    await scene.feed(to(SERVER, 3))
    await scene.later(2.1)
    assert scene.transport.is_closing()
    await scene.finish()


@on_a_loop
async def test_a_client_that_broke_the_rules_has_two_seconds_to_close(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.feed(to(SERVER, 3))
    assert scene.frames()[0].payload[:2] == close_payload(1002)
    assert scene.transport.has_written_eof
    await scene.feed(b"whatever it was about to send" * 1000)
    await scene.later(1.9)
    assert not scene.transport.is_closing()
    await scene.feed(b"and more of it, which buys no time")
    await scene.order(None)
    await scene.later(0.2)
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_a_stopping_server_is_not_held_up_by_a_client(loop: Loop) -> None:
    scene = await Scene(loop).open()
    scene.protocol.shutdown()
    assert scene.frames() == [Seen(CLOSE, close_payload(1012))]
    await scene.say(type="websocket.send", text="late")
    assert isinstance(scene.outcomes[-1], OSError)
    await scene.later(1.9)
    assert not scene.transport.is_closing()
    await scene.later(0.2)
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_a_stopping_server_does_not_wait_for_who_is_closing_already(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.say(type="websocket.close")
    scene.protocol.shutdown()
    await scene.settle()
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_a_stopping_server_answers_500_to_a_denial_that_is_not_finished(loop: Loop) -> None:
    scene = Scene(loop)
    await scene.take()
    await scene.say(type="websocket.http.response.start", status=404)
    scene.protocol.shutdown()
    assert scene.transport.written.startswith(b"HTTP/1.1 500 ")
    await scene.finish()


@on_a_loop
async def test_the_app_may_think_as_long_as_it_likes_before_it_accepts(loop: Loop) -> None:
    scene = Scene(loop)
    await scene.later(1000)
    await scene.open()
    await scene.later(10)
    assert not scene.transport.is_closing()
    await scene.finish()


@on_a_loop
async def test_a_server_that_stops_while_the_end_is_on_its_way_closes_once(loop: Loop) -> None:
    scene = await Scene(loop).open()
    scene.transport.stall()
    await scene.feed(to(SERVER, CLOSE, close_payload(1000)))
    await scene.later(5)
    scene.protocol.shutdown()
    await scene.later(16)
    assert scene.transport.is_lost
    await scene.finish()


# What a client can make the server keep.


@on_a_loop
async def test_the_app_waits_for_what_has_not_come(loop: Loop) -> None:
    scene = await Scene(loop, ws_max_queue=0).open()
    assert not scene.transport.is_paused
    await scene.feed(to(SERVER, TEXT, b"1"))
    assert scene.transport.is_paused
    assert await scene.take(2) == [text("1")]
    await scene.feed(to(SERVER, TEXT, b"2"))
    assert scene.outcomes[-1] == text("2")
    await scene.finish()


@on_a_loop
async def test_reading_stops_at_so_many_messages(loop: Loop) -> None:
    scene = await Scene(loop, ws_max_queue=3).open()
    for number in range(3):
        assert not scene.transport.is_paused
        await scene.feed(to(SERVER, TEXT, b"%d" % number))
    assert scene.transport.is_paused
    assert await scene.take(3) == [text("0"), text("1"), text("2")]
    assert not scene.transport.is_paused
    await scene.finish()


@on_a_loop
async def test_reading_stops_at_so_many_bytes(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.feed(to(SERVER, BINARY, bytes(32 << 10)))
    assert not scene.transport.is_paused
    await scene.feed(to(SERVER, BINARY, bytes(32 << 10)))
    assert scene.transport.is_paused
    await scene.take()
    assert not scene.transport.is_paused
    await scene.finish()


def deflated(message: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return to(SERVER, BINARY, (deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)


@on_a_loop
async def test_a_read_that_inflates_to_much_more_is_inflated_as_the_app_takes_it(loop: Loop) -> None:
    scene = await Scene(loop, DEFLATE).open()
    one = deflated(bytes(256 << 10))
    await scene.feed(one * 100)
    assert scene.transport.is_paused
    assert scene.protocol._ws.unread > 90 * len(one)
    for _ in range(100):
        assert await scene.take() == [{"type": "websocket.receive", "bytes": bytes(256 << 10)}]
    assert scene.protocol._ws.unread == 0
    assert not scene.transport.is_paused
    await scene.finish()


@on_a_loop
async def test_what_came_before_the_end_is_still_given_to_the_app(loop: Loop) -> None:
    scene = await Scene(loop, DEFLATE).open()
    await scene.feed(deflated(bytes(256 << 10)) * 10)
    unread = scene.protocol._ws.unread
    scene.transport.lose(ConnectionResetError())
    assert scene.protocol._ws.unread == unread
    await scene.say(type="websocket.send", text="to nobody")
    assert isinstance(scene.outcomes[-1], OSError)
    received = await scene.take(11)
    assert [message["type"] for message in received] == ["websocket.receive"] * 10 + ["websocket.disconnect"]
    assert received[-1]["code"] == 1006
    await scene.finish()


@on_a_loop
async def test_the_close_among_what_the_app_did_not_take_is_the_answer_to_its_own(loop: Loop) -> None:
    scene = await Scene(loop, DEFLATE).open()
    await scene.feed(deflated(bytes(256 << 10)) * 10 + to(SERVER, CLOSE, close_payload(1000)))
    await scene.say(type="websocket.close", code=4000)
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_what_nobody_takes_any_more_is_inflated_in_portions(loop: Loop) -> None:
    """What one read inflates to would keep all other connections waiting."""
    scene = await Scene(loop, DEFLATE).open()
    await scene.say(type="websocket.close")
    one, answer = deflated(bytes(256 << 10)), to(SERVER, CLOSE, close_payload(1000))
    for _ in range(10):
        scene.protocol.data_received(one * 5)
    scene.protocol.data_received(answer)
    assert scene.protocol._ws.unread > 25 * len(one)
    portions = 0
    while scene.protocol._has_more:
        portions += 1
        await asyncio.sleep(0)
    assert portions > 10
    await scene.settle()
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_what_breaks_the_rules_among_what_the_app_did_not_take_comes_in_its_turn(loop: Loop) -> None:
    for is_lost in (False, True):
        scene = await Scene(loop, DEFLATE).open()
        await scene.feed(deflated(bytes(256 << 10)) * 10 + to(SERVER, 3))
        if is_lost:
            scene.transport.lose()
        received = await scene.take(11)
        assert [message["type"] for message in received] == ["websocket.receive"] * 10 + ["websocket.disconnect"]
        assert received[-1]["code"] == 1002
        assert is_lost or not scene.transport.is_paused
        assert len(loop.waiting()) == (not is_lost)
        await scene.finish()


@on_a_loop
async def test_a_flood_of_pings_to_a_client_that_does_not_read_piles_up_no_pongs(loop: Loop) -> None:
    scene = await Scene(loop).open()
    scene.transport.stall()
    await scene.feed(*(to(SERVER, PING, b"%d" % number) for number in range(1000)))
    assert scene.frames() == []
    scene.transport.take()
    assert scene.frames() == [Seen(PONG, b"%d" % number) for number in range(1000 - Limits().pongs, 1000)]
    await scene.finish()


@on_a_loop
async def test_data_before_the_answer_is_kept_for_later_and_bounded(loop: Loop) -> None:
    scene = Scene(loop)
    await scene.feed(to(SERVER, TEXT, b"early"))
    assert len(scene.state.tasks) == 1
    await scene.open()
    assert await scene.take() == [text("early")]
    await scene.finish()

    scene = Scene(loop)
    await scene.feed(bytes(20_000))
    assert scene.transport.written.startswith(b"HTTP/1.1 400 ")
    assert [message["type"] for message in await scene.take(2)] == ["websocket.connect", "websocket.disconnect"]
    assert scene.transport.is_lost
    await scene.finish()


# Races.


@on_a_loop
async def test_who_waits_to_send_is_told_when_the_client_is_lost(loop: Loop) -> None:
    scene = await Scene(loop).open()
    scene.transport.stall()
    before = len(scene.outcomes)
    await scene.say(type="websocket.send", text="waits")
    assert len(scene.outcomes) == before
    scene.transport.lose()
    await scene.settle()
    assert isinstance(scene.outcomes[-1], OSError)
    await scene.finish()


@on_a_loop
async def test_who_waits_to_send_is_told_so_even_before_the_farewell(loop: Loop) -> None:
    scene = await Scene(loop, DEFLATE).open()
    await scene.feed(deflated(bytes(256 << 10)) * 10)
    scene.transport.stall()
    await scene.say(type="websocket.send", text="waits")
    scene.transport.lose()
    await scene.settle()
    assert isinstance(scene.outcomes[-1], OSError)
    await scene.finish()


async def break_the_rules(scene: Scene) -> None:
    await scene.feed(bytes(20_000))


async def leave(scene: Scene) -> None:
    scene.transport.lose()


async def stop_the_server(scene: Scene) -> None:
    scene.protocol.shutdown()


@pytest.mark.parametrize("end", [break_the_rules, leave, stop_the_server])
@pytest.mark.parametrize(
    "answer",
    [
        {"type": "websocket.accept"},
        {"type": "websocket.close"},
        {"type": "websocket.http.response.start", "status": 404},
        {"type": "websocket.http.response.body"},
    ],
    ids=lambda answer: answer["type"],
)
def test_an_answer_to_who_is_gone_is_no_mistake_of_the_app(
    end: Callable[[Scene], Awaitable[None]], answer: dict[str, Any]
) -> None:
    async def test(loop: Loop) -> None:
        scene = Scene(loop)
        await scene.take()
        if answer["type"].endswith("body"):
            await scene.say(type="websocket.http.response.start", status=404)
        await end(scene)
        for _ in range(2):
            await scene.say(**answer)
            assert isinstance(scene.outcomes[-1], ClientDisconnected)
        scene.protocol.shutdown()
        await scene.finish()

    play(test)


@on_a_loop
async def test_after_the_end_nobody_waits_to_send(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.say(type="websocket.close")
    scene.transport.stall()
    await scene.say(type="websocket.send", text="late")
    assert isinstance(scene.outcomes[-1], RuntimeError)
    await scene.finish()


@on_a_loop
async def test_a_refused_client_that_takes_nothing_does_not_keep_the_app(loop: Loop) -> None:
    scene = Scene(loop)
    await scene.take()
    scene.transport.is_stalled = True
    await scene.say(type="websocket.close")
    assert not scene.transport.is_lost
    assert [message["code"] for message in await scene.take()] == [1006]
    await scene.finish()


@on_a_loop
async def test_the_app_is_told_of_the_end_that_came_first(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.say(type="websocket.close", code=4000, reason="enough")
    await scene.feed(to(SERVER, TEXT, b"late"), to(SERVER, CLOSE, close_payload(1001)))
    assert scene.transport.is_lost
    assert await scene.take() == [{"type": "websocket.disconnect", "code": 4000, "reason": "enough"}]
    await scene.finish()


@on_a_loop
async def test_who_waits_to_send_is_told_when_the_client_closes(loop: Loop) -> None:
    scene = await Scene(loop).open()
    scene.transport.stall()
    await scene.say(type="websocket.send", text="waits")
    await scene.feed(to(SERVER, CLOSE, close_payload(1000)))
    assert isinstance(scene.outcomes[-1], OSError)
    assert scene.frames() == [Seen(CLOSE, close_payload(1000))]
    await scene.finish()


@on_a_loop
async def test_a_cancelled_receive_takes_nothing(loop: Loop) -> None:
    scene = await Scene(loop).open()

    async def give_up(receive: Any, send: Any) -> None:
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        waiting.cancel()

    await scene.order(give_up)
    await scene.feed(to(SERVER, TEXT, b"kept"))
    assert await scene.take() == [text("kept")]
    await scene.finish()


@on_a_loop
async def test_a_message_and_the_close_in_one_read_both_reach_the_app(loop: Loop) -> None:
    scene = await Scene(loop).open()
    await scene.feed(to(SERVER, TEXT, b"last") + to(SERVER, CLOSE, close_payload(1000, b"bye")))
    farewell = {"type": "websocket.disconnect", "code": 1000, "reason": "bye"}
    assert await scene.take(2) == [text("last"), farewell]
    await scene.finish()


@on_a_loop
async def test_an_app_that_closes_with_a_full_inbox_still_hears_the_answer(loop: Loop) -> None:
    scene = await Scene(loop, ws_max_queue=1).open()
    await scene.feed(to(SERVER, TEXT, b"not taken"))
    assert scene.transport.is_paused
    await scene.say(type="websocket.close")
    assert not scene.transport.is_paused
    await scene.feed(to(SERVER, CLOSE, close_payload(1000)))
    assert scene.transport.is_lost
    await scene.finish()


@on_a_loop
async def test_a_cancelled_app_closes_its_connection(loop: Loop) -> None:
    scene = await Scene(loop, protocol_class=Telling).open()
    (task,) = scene.state.tasks
    task.cancel()
    await scene.settle()
    assert scene.frames() == [Seen(CLOSE, close_payload(1011))]
    assert task.cancelled()
    await scene.finish()


@on_a_loop
async def test_an_app_that_exits_is_a_failed_app_and_no_dead_server(loop: Loop) -> None:
    scene = await Scene(loop, protocol_class=Telling).open()

    async def leave(receive: Any, send: Any) -> None:
        raise SystemExit

    await scene.order(leave)
    assert scene.frames() == [Seen(CLOSE, close_payload(1011))]
    await scene.finish()


@on_a_loop
async def test_a_header_that_cannot_be_written_is_the_mistake_of_the_app(loop: Loop) -> None:
    for wrong in ([(b"x", b"a\r\nb: c")], [(b"sec-websocket-accept", b"x")], [(b"upgrade", b"h2c")]):
        scene = Scene(loop)
        await scene.take()

        async def fail(receive: Any, send: Any, headers: Any = wrong) -> None:
            await send({"type": "websocket.accept", "headers": headers})

        await scene.order(fail)
        assert scene.transport.written.startswith(b"HTTP/1.1 500 ")
        assert b"b: c" not in scene.transport.written
        await scene.finish()


@on_a_loop
async def test_headers_of_the_options_that_the_handshake_writes_itself_are_left_out(loop: Loop) -> None:
    scene = Scene(loop, default_headers=[(b"Connection", b"keep-alive"), (b"x-from", b"an option")])
    await scene.take()
    await scene.say(type="websocket.accept")
    assert b"x-from: an option" in scene.transport.written
    assert b"keep-alive" not in scene.transport.written
    await scene.finish()


@on_a_loop
async def test_an_empty_subprotocol_is_none(loop: Loop) -> None:
    scene = Scene(loop)
    await scene.take()
    await scene.say(type="websocket.accept", subprotocol="")
    assert b"sec-websocket-protocol" not in scene.transport.written.lower()
    assert scene.transport.written.startswith(b"HTTP/1.1 101 ")
    await scene.finish()


@on_a_loop
async def test_a_derived_class_checks_the_origin_and_keeps_the_window(loop: Loop) -> None:
    class Strict(Protocol):
        origins = rfc6455.SAME_HOST
        extensions = (rfc6455.PerMessageDeflate(server_no_context_takeover=False),)

    scene = Scene(loop, b"origin: http://example.org\r\n", protocol_class=Strict)
    assert scene.transport.written.startswith(b"HTTP/1.1 403 ")
    assert scene.state.tasks == set()
    await scene.finish()

    scene = Scene(loop, b"origin: http://example.com\r\n" + DEFLATE, protocol_class=Strict)
    await scene.take()
    await scene.say(type="websocket.accept")
    assert b"Sec-WebSocket-Extensions: permessage-deflate\r\n" in scene.transport.written
    await scene.finish()


# Everything, in every order.

client_sends = st.sampled_from(
    [
        to(SERVER, TEXT, b"hello"),
        to(SERVER, TEXT, b"h", fin=False),
        to(SERVER, BINARY, bytes(70_000)),
        to(SERVER, PING, b"?"),
        to(SERVER, PONG, b"1"),
        to(SERVER, CLOSE, close_payload(1000)),
        to(SERVER, CLOSE),
        to(SERVER, TEXT, b"\xff"),
        deflated(bytes(400_000)) * 3,
        b"\xff\xff",
    ]
)
app_sends = st.sampled_from(
    [
        {"type": "websocket.accept"},
        {"type": "websocket.accept", "headers": [(b"x", b"\n")]},
        {"type": "websocket.send", "text": "hello"},
        {"type": "websocket.send", "bytes": bytes(70_000)},
        {"type": "websocket.send"},
        {"type": "websocket.close"},
        {"type": "websocket.close", "code": 4000, "reason": "x" * 200},
        {"type": "websocket.close", "code": 1006},
        {"type": "websocket.http.response.start", "status": 404, "headers": []},
        {"type": "websocket.http.response.body", "body": b"x", "more_body": True},
        {"type": "websocket.http.response.body", "body": b"x"},
    ]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("client"), client_sends),
        st.tuples(st.just("app"), app_sends),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, 11.0, 21.0])),
        st.tuples(
            st.sampled_from(["receive", "stall", "unstall", "eof", "lose", "shutdown", "app fails", "cancel"]),
            st.none(),
        ),
    ),
    max_size=25,
)


async def do(scene: Scene, step: str, argument: Any) -> None:
    transport = scene.transport
    if step == "client":
        if not transport.is_closing() and not transport.is_paused:
            await scene.feed(argument)
    elif step == "app":
        await scene.say(**argument)
    elif step == "wait":
        await scene.later(argument)
    elif step == "receive":
        await scene.order(lambda receive, send: receive())
    elif step == "stall":
        if not transport.is_closing():
            transport.stall()
    elif step == "unstall":
        transport.take()
    elif step == "eof":
        if not transport.is_closing():
            scene.protocol.eof_received()
            assert transport.is_closing()
    elif step == "lose":
        transport.lose(ConnectionResetError())
    elif step == "shutdown":
        if scene.protocol in scene.state.connections:
            scene.protocol.shutdown()
    elif step == "app fails":
        await scene.order(fail)
    elif step == "cancel":
        for task in list(scene.state.tasks):
            task.cancel()
    await scene.settle()


async def fail(receive: Any, send: Any) -> None:
    raise ValueError


def check_bounds(scene: Scene) -> None:
    inbox, ws = scene.protocol._inbox, scene.protocol._ws
    assert len(inbox._waiting) <= 32 + 10
    assert inbox._size <= (64 << 10) + (512 << 10) + 400_000
    connection = ws.connection
    assert connection is None or connection.retained_bytes <= connection.limits.budget + (1 << 20)


async def plays(loop: Loop, is_open: bool, script: list[tuple[str, Any]]) -> None:
    scene = Scene(loop, DEFLATE)
    if is_open:
        await scene.open()
    for step, argument in script:
        await do(scene, step, argument)
        check_bounds(scene)
    farewells = [
        outcome for outcome in scene.outcomes if isinstance(outcome, dict) and outcome["type"].endswith("disconnect")
    ]
    assert all(farewell == farewells[0] for farewell in farewells)
    received = [outcome for outcome in scene.outcomes if isinstance(outcome, dict)]
    assert received[len(received) - len(farewells) :] == farewells, "nothing comes after the farewell"
    scene.transport.take()
    await scene.later(100)
    if not scene.state.tasks:
        assert scene.transport.is_lost, "a socket lives no longer than its app"
    await scene.finish()


@given(is_open=st.booleans(), script=steps)
def test_whatever_happens_it_ends_in_order(is_open: bool, script: list[tuple[str, Any]]) -> None:
    play(plays, is_open, script)
