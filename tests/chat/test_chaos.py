"""Chaos: clients that do anything at random, beside honest clients that must not notice.

Their actions are drawn from a seed, and a fixed number of them is performed for each line of the honest clients, which
wait for each other. So a slower machine does less, and nothing has to be done within a given time.

The environment sets the duration in seconds: `CHAOS_SECONDS=600 pytest -m slow tests/chat/test_chaos.py`.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import select
import socket
import time
import zlib
from collections import Counter

import pytest
from chat_server import RESET, ChatServer, Client, frame, wait_until

import rfc6455

HONEST = 6
ROWDIES = 50
SECONDS = float(os.environ.get("CHAOS_SECONDS", "120"))

# What happens between two lines of the honest.
ACTIONS = 50

# What the server may have kept more than after the warming up, in bytes: what an allocator needs, and no session.
SPARE_MEMORY = 12 << 20

SWITCHES = (
    *("--rate", "0", "--address-rate", "0", "--address-connections", "0"),
    *("--outbox-bytes", str(1 << 20), "--open-timeout", "5", "--close-timeout", "2"),
    *("--ping-interval", "2", "--pong-timeout", "30"),
)

REQUEST = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Rowdy:
    """A client that does anything at random, and is replaced by a new one when it has gone."""

    def __init__(self, server: ChatServer, number: int, chance: random.Random, done: Counter[str]) -> None:
        self.server = server
        self.name = f"rowdy{number}"
        self.chance = chance
        self.done = done
        self.sock: socket.socket | None = None
        self.deflates = False
        self.stalls = 0

    def act(self) -> None:
        if self.stalls:
            self.stalls -= 1
            return
        what = self.chance.choices(list(WHAT), list(WHAT.values()))[0] if self.sock is not None else "join"
        self.done[what] += 1
        try:
            getattr(self, what)(self.sock)
        except OSError:
            self.vanish(self.sock)  # the server has ended it

    def join(self, _: None) -> None:
        small = {"SO_RCVBUF": 2048} if self.chance.random() < 0.3 else {}
        self.sock = self.server.connect(**small)
        self.deflates = self.chance.random() < 0.5
        room = self.chance.choice([b"/", b"/", b"/", b"/other", b"/no/room"])
        request = REQUEST % (room, DEFLATE if self.deflates else b"")
        self.sock.sendall(request if self.chance.random() < 0.9 else request[: self.chance.randrange(len(request))])

    def line(self) -> bytes:
        size = self.chance.choice([10, 100, 1000, 10_000])
        return f"{self.name}: {self.chance.randbytes(size // 2).hex()}".encode()

    def say(self, sock: socket.socket) -> None:
        sock.sendall(b"".join(frame(0x81, self.line()) for _ in range(self.chance.randint(1, 3))))

    def compress(self, sock: socket.socket) -> None:
        """It is an error where it was not agreed on, and that is tried now and then."""
        if self.deflates or self.chance.random() < 0.1:
            sock.sendall(frame(0xC1, deflated(self.line())))

    def fragment(self, sock: socket.socket) -> None:
        line = self.line()
        sock.sendall(frame(0x01, line[:5]) + frame(0x89, b"between") + frame(0x80, line[5:]))

    def ping(self, sock: socket.socket) -> None:
        sock.sendall(frame(0x89, self.chance.randbytes(self.chance.randrange(126))) * self.chance.randint(1, 50))

    def pong(self, sock: socket.socket) -> None:
        sock.sendall(frame(0x8A, b"unasked"))

    def rename(self, sock: socket.socket) -> None:
        self.name = self.name.partition("-")[0] + f"-{self.chance.randrange(1000)}"
        sock.sendall(frame(0x81, f"* name {self.name}".encode()))

    def read(self, sock: socket.socket) -> None:
        if select.select([sock], [], [], 0)[0] and not sock.recv(1 << 20):
            self.vanish(sock)

    def stall(self, _: socket.socket) -> None:
        self.stalls = self.chance.randrange(100)

    def nonsense(self, sock: socket.socket) -> None:
        sock.sendall(self.chance.randbytes(self.chance.randrange(1, 500)))

    def half_a_frame(self, sock: socket.socket) -> None:
        sock.sendall(frame(0x81, self.line())[:8])
        self.vanish(sock)

    def leave(self, sock: socket.socket) -> None:
        sock.sendall(frame(0x88, b"\x03\xe8"))

    def half_close(self, sock: socket.socket) -> None:
        sock.shutdown(socket.SHUT_WR)

    def reset(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.vanish(sock)

    def vanish(self, sock: socket.socket | None) -> None:
        if sock is not None:
            sock.close()
        self.sock = None


# What a rowdy does, and how often.
WHAT = {
    "say": 30,
    "read": 20,
    "compress": 15,
    "ping": 10,
    "stall": 6,
    "fragment": 5,
    "rename": 5,
    "reset": 3,
    "leave": 2,
    "vanish": 2,
    "pong": 2,
    "half_close": 1,
    "half_a_frame": 1,
    "nonsense": 1,
}


class Honest:
    """A client that says numbers and reads everything that arrives. It keeps the lines of rowdies as a digest."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.count = 0
        self.digest = hashlib.sha256()

    def is_of_honest(self, text: str) -> bool:
        if text.startswith("honest"):
            return True
        if not text.startswith("* "):
            self.count += 1
            self.digest.update(text.encode())
        return False

    def hear(self, number: int) -> None:
        """All that the other honest ones say as their next line, and nothing else."""
        lines = self.client.said(HONEST - 1, self.is_of_honest)
        others = (f"honest{other}" for other in range(HONEST))
        assert sorted(lines) == [f"{other}: {number}" for other in others if other != self.client.name]


class Chaos:
    def __init__(self, server: ChatServer) -> None:
        deflate = [rfc6455.PerMessageDeflate()]
        self.server = server
        self.honest = [
            Honest(server.client(f"honest{number}", extensions=deflate if number % 2 else []))
            for number in range(HONEST)
        ]
        self.chance = random.Random(6455)
        self.done: Counter[str] = Counter()
        self.rowdies = [Rowdy(server, number, self.chance, self.done) for number in range(ROWDIES)]
        self.rounds = 0
        self.round()
        self.before = server.threads(), server.descriptors()

    def round(self) -> None:
        for honest in self.honest:
            honest.client.say(self.rounds)
        for honest in self.honest:
            honest.hear(self.rounds)
        self.rounds += 1

    def go_on(self, seconds: float) -> None:
        """Let them do what they like for so long; then all rowdies go, and nothing is left of them."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(ACTIONS):
                self.chance.choice(self.rowdies).act()
            self.round()
        for rowdy in self.rowdies:
            rowdy.vanish(rowdy.sock)
            rowdy.stalls = 0
        wait_until(self.is_as_before, "the server lets go of threads and sockets")
        self.round()

    def is_as_before(self) -> bool:
        return (self.server.threads(), self.server.descriptors()) == self.before


def check_chaos(seconds: float) -> None:
    with ChatServer(*SWITCHES) as server:
        chaos = Chaos(server)
        chaos.go_on(seconds / 4)
        warm = server.memory()
        chaos.go_on(seconds * 3 / 4)
        kept = server.memory() - warm
        closes = re.findall(r'chat_closes_total\{code="(\w+)"\} (\d+)', server.get("/metrics")[2])
        print(f"{chaos.rounds} rounds; {dict(chaos.done)}; closed: {dict(closes)}")
        print(f"{chaos.honest[0].count} lines of rowdies; {warm >> 10} KiB, then {kept >> 10:+} KiB")
        # All have heard the same, in one order.
        assert len({(honest.count, honest.digest.digest()) for honest in chaos.honest}) == 1
        assert kept < SPARE_MEMORY
        assert server.get("/health")[0] == 200
        for honest in chaos.honest:
            assert honest.client.close().clean
        assert server.stop() == 0
        assert not server.logged("Traceback|event=failure")


def test_a_moment_of_chaos() -> None:
    check_chaos(3.0)


@pytest.mark.slow
@pytest.mark.timeout(10 * SECONDS + 300)
def test_chaos() -> None:
    check_chaos(SECONDS)
