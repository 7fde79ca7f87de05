"""A busy connection for 24 hours by a clock that is passed in: it ends as small as it was after the first hour.

Two endpoints communicate in memory, with permessage-deflate: texts and bytes of many sizes, fragments, Pings from both
ends and their deadlines, in reads that cut frames anywhere. At the end of each hour, everything has been delivered,
and the ends are examined: the data that they keep, that is queued and that is awaited, and the memory and the number
of objects that Python uses for them. Only the counts for the whole connection may grow: bytes and Pongs received.
"""

from __future__ import annotations

import gc
import random
import sys
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from measuring import Memory

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    ClientHandshake,
    Closed,
    Endpoint,
    PerMessageDeflate,
    Pong,
    Request,
    Role,
    ServerHandshake,
    TextMessage,
    Timeouts,
)

HOUR = 3600.0
TIMEOUTS = Timeouts(ping_interval=20, pong=90, idle=90)
SIZES = (0, 1, 40, 125, 126, 1000, 5000)
# What Python keeps of its own, such as numbers and a dict that grew once; 3.10 also keeps a frame of each function
# that has run. One object for each message would be 8 kB an hour in the shorter run, and 120 in the longer one.
SLACK = 2 << 10 if sys.version_info >= (3, 11) else 64 << 10


class Rest(NamedTuple):
    """The state of a connection while nothing is in transit."""

    retained: int
    unread: int
    queued: bool
    is_due: bool
    owed: tuple[int, int]


class End:
    """One endpoint, the messages that the other must still receive, and the bytes in transit to the other."""

    def __init__(self, role: Role) -> None:
        deflate = [PerMessageDeflate()]
        handshake = (
            ServerHandshake(extensions=deflate) if role is SERVER else ClientHandshake("ws://h/", extensions=deflate)
        )
        self.endpoint = Endpoint(handshake, TIMEOUTS, now=0.0)
        self.said: deque[TextMessage | BytesMessage] = deque()
        self.on_its_way = b""
        self.pongs = 0

    def say(self, chance: random.Random) -> None:
        size = chance.choice(SIZES)
        data = chance.randbytes(size) if chance.random() < 0.5 else b"busy " * (size // 5)
        message: str | bytes = data if chance.random() < 0.5 else data.hex()
        cut = chance.randrange(len(message) + 1) if chance.random() < 0.2 else 0
        for piece, fin in ((message[:cut], False), (message[cut:], True)) if cut else ((message, True),):
            if isinstance(piece, str):
                self.endpoint.send_text(piece, fin=fin)
            else:
                self.endpoint.send_bytes(piece, fin=fin)
        self.said.append(TextMessage(message) if isinstance(message, str) else BytesMessage(message))
        if chance.random() < 0.1:
            self.endpoint.ping(b"mine")

    def take(self, data: bytes | None, peer: End, now: float) -> None:
        for event in self.endpoint.events(data, now=now):
            # No `match`: what CPython keeps for it of its own would be counted.
            if isinstance(event, (TextMessage, BytesMessage)):
                assert event == peer.said.popleft()
            elif isinstance(event, Pong):
                self.pongs += 1
            elif isinstance(event, Request):
                self.endpoint.accept(now=now)
            else:
                assert not isinstance(event, Closed), f"it ended after {now} s: {event}"
        self.on_its_way += self.endpoint.data_to_send()

    def at_rest(self, now: float) -> Rest:
        connection, deadline = self.endpoint.connection, self.endpoint.next_deadline()
        assert connection is not None
        assert deadline is not None
        owed = (len(self.said), len(self.on_its_way))
        return Rest(connection.retained_bytes, connection.unread, connection.has_data_to_send, deadline <= now, owed)


class Talk:
    """A client and a server, and the clock."""

    def __init__(self, seed: int) -> None:
        self.client, self.server = End(CLIENT), End(SERVER)
        self.chance = random.Random(seed)
        self.now = 0.0
        self.messages = 0
        self.settle()

    def ends(self) -> Iterator[tuple[End, End]]:
        yield self.client, self.server
        yield self.server, self.client

    def run(self, seconds: float, step: float) -> None:
        """Say a message at each end every ``step`` seconds."""
        for _ in range(round(seconds / step)):
            self.now += step
            for end, peer in self.ends():
                before = len(end.on_its_way)
                end.say(self.chance)
                self.messages += 1
                end.take(None, peer, self.now)
                # What was on its way arrives, and a part of what is new.
                self.carry(end, peer, self.chance.randint(before, len(end.on_its_way)))
        self.settle()

    def settle(self) -> None:
        """Deliver everything while the clock stands still."""
        self.client.take(None, self.server, self.now)
        while self.client.on_its_way or self.server.on_its_way:
            for end, peer in self.ends():
                self.carry(end, peer, len(end.on_its_way))

    def carry(self, sender: End, receiver: End, size: int) -> None:
        data, sender.on_its_way = sender.on_its_way[:size], sender.on_its_way[size:]
        if data:
            receiver.take(data, sender, self.now)


def check_flat(hours: int, step: float) -> Talk:
    """Run for so many hours, and compare what is there after each with what was after the first."""
    talk = Talk(seed=hours)
    with Memory() as memory:
        talk.run(HOUR, step)
        first = [end.at_rest(talk.now) for end, _ in talk.ends()]
        kept, objects = memory.kept, len(gc.get_objects())
        for hour in range(2, hours + 1):
            talk.run(HOUR, step)
            assert [end.at_rest(talk.now) for end, _ in talk.ends()] == first, f"after {hour} hours"
            assert memory.kept <= kept + SLACK, f"after {hour} hours"
            assert len(gc.get_objects()) <= objects + 20, f"after {hour} hours"
    assert talk.now == hours * HOUR
    # Deadlines ask each 20 seconds, or a little later while an answer is on its way.
    assert all(end.pongs >= hours * 60 for end, _ in talk.ends())
    return talk


def test_three_hours_leave_nothing_behind() -> None:
    check_flat(hours=3, step=30.0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_24_busy_hours_leave_nothing_behind() -> None:
    """A message a second, which is a minute of work for the pure package."""
    talk = check_flat(hours=24, step=2.0)
    assert talk.messages == 24 * 3600
