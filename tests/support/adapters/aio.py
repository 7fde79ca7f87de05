"""An endpoint over an asyncio transport: the loop brings input, and calls when the next deadline is due."""

import asyncio
from collections.abc import Callable

from rfc6455 import Endpoint, Event

from .answering import answer


class Adapter(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint, on_event: Callable[[Event], object], clock: Callable[[], float]) -> None:
        self.endpoint, self.on_event, self.clock = endpoint, on_event, clock
        self.timer: asyncio.TimerHandle | None = None
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.step()

    def data_received(self, data: bytes) -> None:
        self.step(data)

    def eof_received(self) -> None:
        self.step(b"")

    def connection_lost(self, error: Exception | None) -> None:
        self.eof_received()  # also when the connection was reset
        self.done.set_result(None)

    def call(self, act: Callable[[Endpoint], object]) -> None:
        act(self.endpoint)
        self.step()

    def step(self, data: bytes | None = None) -> None:
        """Take what was read, write what there is to write, and set the timer."""
        answer(self.endpoint, data, self.clock(), self.on_event)
        if data := self.endpoint.data_to_send():
            self.transport.write(data)
        if self.timer is not None:
            self.timer.cancel()
        if self.endpoint.must_close:
            self.transport.close()
        elif (at := self.endpoint.next_deadline()) is not None:
            self.timer = asyncio.get_running_loop().call_later(max(0, at - self.clock()), self.step)
