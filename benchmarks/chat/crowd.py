"""Many clients in one thread. They connect, send lines, and count and check the lines that they receive.

The law: while the time is taken, a client only reads and counts bytes. All lines have the same size, so that a count
of bytes is a count of lines, and the frames are made beforehand. The received bytes are kept, and checked frame by
frame afterwards: each line of the others must have arrived once, and in the order of its sender.

It needs `select.epoll`, which Linux has.
"""

from __future__ import annotations

import math
import select
import socket
import string
import time
from collections.abc import Sequence

from benchmarks.payloads import FIN, TEXT, accept_value, frame

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # 1.3
ACCEPT = accept_value(KEY)
MASKING_KEY = b"\x37\xfa\x21\x3d"
CLOSE = frame(FIN | 8, (1000).to_bytes(2, "big"), MASKING_KEY)

READ = 64 << 10

# The maximum number of handshakes at a time, which is smaller than any server's backlog.
OPENING = 64

# The letters with which senders sign.
LETTERS = string.ascii_letters.encode()

# The number of frames of a sender that are made at a time.
PREPARED = 1000

# The time in seconds that the first line of a sender may take before another is sent. It is doubled each time.
GREETING = 0.2

# If nothing is received for this time, in seconds, the chat counts as blocked.
PATIENCE = 10.0


class LoadError(Exception):
    """The chat did not work correctly. The message describes the error, for the table."""


class Sender:
    """The lines of one client, as frames of the same size: ``a: 00000017 xxx...``."""

    def __init__(self, index: int, letter: int, size: int) -> None:
        self.index = index
        self.letter = letter
        self.said = 0
        self._size = size
        self._masked: list[bytes] = []
        #: The frames as the others must receive them, by number.
        self.frames: list[bytes] = []

    def prepare(self, count: int) -> None:
        """Make the frames of the next ``count`` lines."""
        for number in range(len(self.frames), self.said + count):
            payload = (b"%c: %08d " % (self.letter, number)).ljust(self._size, b"x")
            self.frames.append(frame(FIN | TEXT, payload, None))
            self._masked.append(frame(FIN | TEXT, payload, MASKING_KEY))

    def next_lines(self, count: int) -> bytes:
        """Return the frames of the next lines, as this client sends them."""
        if len(self.frames) < self.said + count:
            self.prepare(count + PREPARED)
        lines = b"".join(self._masked[self.said : self.said + count])
        self.said += count
        return lines


class Crowd:
    """Many clients of one server.

    :param port: the server's port on 127.0.0.1.
    :param count: the number of clients.
    :param senders: the number of clients that send lines.
    :param size: the size of a line in bytes.
    :param sleeper: whether the last client never reads after its handshake.
    """

    def __init__(self, port: int, count: int, senders: int, size: int, sleeper: bool = False) -> None:
        self._port = port
        self._count = count
        self._sleeper = count - 1 if sleeper else None
        self.senders = [Sender(index, letter, size) for index, letter in zip(range(senders), LETTERS, strict=False)]
        self._frame_size = len(frame(FIN | TEXT, bytes(size), None))
        # The position of the letter in a frame.
        self._letter_at = self._frame_size - size
        self._socks: list[socket.socket] = []
        self._indexes: dict[int, int] = {}
        self._epoll = select.epoll()
        self._chunks: list[list[bytes]] = []
        # By client: the bytes that it has received since `_start`, plus those of its own lines, which are not sent to
        # it.
        self._progress: list[float] = []
        # The bytes of all lines since then.
        self._goal = 0

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._socks:
            sock.close()
        self._epoll.close()

    @property
    def others(self) -> int:
        """The number of clients that read a line."""
        return self._count - 1 - (self._sleeper is not None)

    # The beginning and the end.

    def open(self) -> float:
        """Connect all clients, and return the seconds until the last one had the server's 101."""
        heads: dict[int, bytes] = {}
        began = time.perf_counter()
        while self._count > len(self._socks) or heads:
            while len(heads) < OPENING and len(self._socks) < self._count:
                heads[self._connect()] = b""
            for index in self._wait():
                received = heads.pop(index, b"\r\n\r\n") + self._receive(index)
                head, end, rest = received.partition(b"\r\n\r\n")
                if not end:
                    heads[index] = received
                elif head and not (head.startswith(b"HTTP/1.1 101") and ACCEPT in head):
                    raise LoadError(f"the handshake was answered with {head[:40]!r}")
                else:
                    self._chunks[index].append(rest)
        return time.perf_counter() - began

    def _connect(self) -> int:
        index = len(self._socks)
        sock = socket.socket()
        self._socks.append(sock)
        self._chunks.append([])
        if index == self._sleeper:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", self._port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.send(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % (self._port, KEY)
        )
        self._indexes[sock.fileno()] = index
        self._epoll.register(sock, select.EPOLLIN)
        return index

    def greet(self) -> None:
        """Let each sender send lines until all clients have received one. After that, nothing else is in transit.

        A client may receive the first lines late or never, as it has its 101 before it is in the room.
        """
        if self._sleeper is not None:
            self._epoll.unregister(self._socks[self._sleeper])
        for sender in self.senders:
            patience = GREETING
            while not self._is_heard(sender, patience):
                patience *= 2
                if patience > PATIENCE:
                    raise LoadError("the first lines did not reach all clients")
        self._start()

    def _is_heard(self, sender: Sender, patience: float) -> bool:
        """Send one line. Return whether, when the time is up, it is the last line that all others have received."""
        self._send(sender, 1)
        line = sender.frames[sender.said - 1]
        waiting = set(range(self._count)) - {sender.index, self._sleeper}
        end = time.perf_counter() + patience
        while waiting and (left := end - time.perf_counter()) > 0:
            for index in self._wait(left, must=False):
                self._chunks[index].append(self._receive(index))
                if b"".join(self._chunks[index][-2:]).endswith(line):
                    waiting.discard(index)
        return not waiting

    def _start(self) -> None:
        """Begin to count. From now on, there is nothing on the wire but the lines of the senders."""
        self._chunks = [[] for _ in self._socks]
        self._progress = [0] * self._count
        if self._sleeper is not None:
            self._progress[self._sleeper] = math.inf
        self._goal = 0
        self._first = [sender.said for sender in self.senders]

    def leave(self) -> None:
        """Close all connections properly, and wait until the server has closed them."""
        for sock in self._socks:
            sock.send(CLOSE)
        gone = 0
        while gone < self._count:
            for index in self._wait():
                if not self._socks[index].recv(READ):
                    self._epoll.unregister(self._socks[index])
                    gone += 1

    # The load.

    def flood(self, senders: Sequence[Sender], window: int, seconds: float, most: int) -> tuple[int, float]:
        """Let the senders talk, each with ``window`` lines in flight. A line is in flight until the slowest client has
        received it.

        :param seconds: the time for which they talk.
        :param most: the maximum number of lines from each sender in this time.
        :returns: the number of lines that were delivered, and the seconds until the last of them was.
        """
        for sender in senders:
            sender.prepare(most)
        before = self._goal
        size = self._frame_size * len(senders)
        limit = before + most * size
        began = time.perf_counter()
        end = began + seconds
        while True:
            behind = self._goal - int(min(self._progress))
            if self._goal < limit and time.perf_counter() < end:
                lines = min(window - behind // size, (limit - self._goal) // size)
                for sender in senders if lines > 0 else ():
                    self._send(sender, lines)
            elif not behind:
                break
            self._read()
        delivered = (self._goal - before) // self._frame_size * self.others
        return delivered, time.perf_counter() - began

    def say(self, sender: Sender, lines: int) -> list[float]:
        """Send this number of lines, and wait until all clients have them. Return the seconds from then to each
        read."""
        sender.prepare(lines)
        stamps: list[float] = []
        began = time.perf_counter()
        self._send(sender, lines)
        while min(self._progress) < self._goal:
            for index in self._wait():
                self._take(index)
                stamps.append(time.perf_counter() - began)
        return stamps

    def _send(self, sender: Sender, lines: int) -> None:
        data = sender.next_lines(lines)
        if self._socks[sender.index].send(data) < len(data):
            raise LoadError("the server does not read")
        if self._progress:
            size = lines * self._frame_size
            self._progress[sender.index] += size
            self._goal += size

    def _read(self) -> None:
        for index in self._wait():
            self._take(index)

    def _take(self, index: int) -> None:
        data = self._receive(index)
        self._chunks[index].append(data)
        self._progress[index] += len(data)

    def _receive(self, index: int) -> bytes:
        try:
            data = self._socks[index].recv(READ)
        except OSError as error:
            raise LoadError(f"a connection was lost: {error.strerror}") from None
        if not data:
            raise LoadError("the server closed a connection")
        return data

    def _wait(self, patience: float = PATIENCE, must: bool = True) -> list[int]:
        """Return the clients that have something to read."""
        ready = self._epoll.poll(patience)
        if not ready and must:
            raise LoadError(f"blocked: no client received anything for {patience:g} s")
        return [self._indexes[fd] for fd, _ in ready]

    # The check.

    def check(self) -> None:
        """Compare what the clients have received since the last call with what was sent.

        :raises LoadError: if a line is lost, doubled, changed, or out of its sender's order.
        """
        for index, chunks in enumerate(self._chunks):
            if index != self._sleeper:
                self._check_one(index, b"".join(chunks))
        self._start()

    def _check_one(self, index: int, received: bytes) -> None:
        expected = {
            sender.letter: iter(sender.frames[first : sender.said])
            for sender, first in zip(self.senders, self._first, strict=True)
            if sender.index != index
        }
        size, at = self._frame_size, self._letter_at
        for place in range(0, len(received), size):
            line = received[place : place + size]
            if line != next(expected.get(line[at], iter(())), None):
                raise LoadError(f"a line was lost, doubled or out of order: {line[at:][:11]!r}")
        if any(next(rest, None) for rest in expected.values()):
            raise LoadError("a line was lost")
