"""A connection over an asyncio transport: the loop brings input, and calls when the next deadline is due."""

import asyncio
from collections.abc import Callable

from rfc6455 import ClientHandshake, Connection, Deadlines, Event, ProtocolError, ServerHandshake, Timeouts

Handshake = ServerHandshake | ClientHandshake
OnEvent, Clock = Callable[[Event], object], Callable[[], float]


class Endpoint(asyncio.Protocol):
    def __init__(self, handshake: Handshake, timeouts: Timeouts, on_event: OnEvent, clock: Clock) -> None:
        self.handshake, self.on_event, self.clock = handshake, on_event, clock
        self.ws: Connection | None = None
        self.deadlines = Deadlines(timeouts, clock())
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

    def call(self, act: Callable[[Connection | None], object]) -> None:
        act(self.ws)
        self.step()

    def step(self, data: bytes | None = None) -> None:
        """Takes what was read, tells the time, writes what there is to write, and sets the timer."""
        events: list[Event] = []
        over = False
        try:
            if self.ws is None and data is not None and (opened := self.handshake.receive_data(data)) is not None:
                self.ws, data = opened if isinstance(opened, Connection) else self.handshake.accept(), None
                self.deadlines.opened(self.ws, self.clock())
            while self.ws is not None and (data is not None or self.ws.unread):
                events, data = events + self.ws.receive_data(data), None
        except ProtocolError:
            over = True
        events += self.deadlines.advance(self.clock())
        self.transport.write((self.ws or self.handshake).data_to_send())
        for event in events:
            self.on_event(event)
        if self.timer is not None:
            self.timer.cancel()
        if over or (events if self.ws is None else self.ws.must_close):
            self.transport.close()
        elif (at := self.deadlines.next_deadline()) is not None:
            self.timer = asyncio.get_running_loop().call_later(max(0, at - self.clock()), self.step)
