"""One case over one TCP connection: write the bytes of the case, and record the answers.

The law: nothing here judges the answers. `judge.py` also tells when there is no point in waiting any longer.
"""

from __future__ import annotations

import os
import re
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from judge import is_settled, must_close, sends_close
from transcript import End, Head, Transcript, accept_for, parse_extensions

import rfc6455
from rfc6455.testing.cases import Case, Deflate

READ_SIZE = 64 << 10
HEAD_END = b"\r\n\r\n"

# The time in seconds to wait after a small write, so that the next one is not joined to it.
PACE = 0.001
# Anything larger than this fills whole segments.
SMALL = 1 << 10

# The number of bytes that a peer may send besides the heads and its echoes, which is far more than it needs.
SPARE = 64 << 10

# A peer detects a violation late if it does so only when more input arrives. This is the time that it has before that,
# as a share of the timeout.
EARLY = 0.5


class Line(Protocol):
    """A connection to a peer.

    :ivar end: how reading ended.
    :ivar take: a function that is called with the bytes that are received.
    """

    end: End
    take: Callable[[bytes], None]

    def write(self, data: bytes, seconds: float, stop: Callable[[], bool]) -> None:
        """Write all of ``data``, unless this takes longer than ``seconds``, the peer is gone, or ``stop`` returns
        true."""

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Read until ``done`` or the end of the stream, for at most ``seconds``. Return whether it is done."""

    def half_close(self) -> None:
        """Tell the peer that nothing more will be written."""


class TcpLine:
    """A `Line` that reads and writes at the same time, so that the two ends cannot block each other.

    :param room: the maximum number of bytes to read; with more, it ends as `End.FLOODED`.
    """

    def __init__(self, sock: socket.socket, room: int) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.end = End.OPEN
        self.take: Callable[[bytes], None] = bytearray().extend
        self._room = room
        self._can_write = True

    def write(self, data: bytes, seconds: float, stop: Callable[[], bool]) -> None:
        view = memoryview(data)
        deadline = time.monotonic() + seconds
        while view and self._can_write and not stop() and (left := deadline - time.monotonic()) > 0:
            readable, writable, _ = select.select([self.sock] * self._can_read, [self.sock], [], left)
            if readable:
                self._read()
            if writable:
                view = view[self._send(view[:READ_SIZE]) :]
        if len(data) < SMALL:
            self.wait(stop, PACE)

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not done() and self._can_read and (left := deadline - time.monotonic()) > 0:
            if select.select([self.sock], [], [], left)[0]:
                self._read()
        return done()

    def half_close(self) -> None:
        try:
            # An SSLSocket's own method would end TLS in both directions, and the rest would be read without
            # decryption.
            socket.socket.shutdown(self.sock, socket.SHUT_WR)
        except OSError:
            pass  # the peer has already closed

    @property
    def _can_read(self) -> bool:
        return self.end is End.OPEN

    def _read(self) -> None:
        """Read once, as only the caller checks the time. The size is larger than a TLS record, so that nothing stays
        behind where `select` cannot see it."""
        try:
            data = self.sock.recv(READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self.end = End.RESET
            return
        self.take(data)
        self._room -= len(data)
        if not data:
            self.end = End.CLOSED
        elif self._room < 0:
            self.end = End.FLOODED

    def _send(self, data: memoryview) -> int:
        try:
            return self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError:
            # The last bytes of the peer can still be read.
            self._can_write = False
            return 0


@dataclass(frozen=True)
class Server:
    """A server under test.

    :ivar timeout: the time to wait for any answer, in seconds.
    :ivar tls: the TLS context, for ``wss:``.
    """

    uri: rfc6455.URI
    timeout: float
    tls: ssl.SSLContext | None = None

    def connect(self) -> socket.socket:
        """
        :raises OSError: if it is not possible to connect.
        """
        sock = socket.create_connection((self.uri.host, self.uri.port), self.timeout)
        try:
            return self.tls.wrap_socket(sock, server_hostname=self.uri.host) if self.tls else sock
        except OSError:
            sock.close()
            raise

    def run(self, case: Case) -> Transcript:
        """
        :raises OSError: if it is not possible to connect.
        """
        with self.connect() as sock:
            return ask_server(case, TcpLine(sock, room_for(case)), self.uri, self.timeout)


def room_for(case: Case) -> int:
    """Return the maximum number of bytes to read: everything that is sent may come back, along with the peer's own."""
    sent = sum(map(len, case.writes + case.rest))
    said = [sum(len(data) for _, data in getattr(expected, "messages", ())) for expected in case.expect]
    return SPARE + sent + max(said, default=0)


def ask_server(case: Case, line: Line, uri: rfc6455.URI, timeout: float) -> Transcript:
    """Run a case with a server.

    :param timeout: the time to wait for any answer, in seconds.
    """
    transcript = Transcript(from_server=True)
    marks = {
        b"{host}": uri.host_header.encode(),
        b"{target}": uri.resource_name.encode(),
        b"{key}": b64encode(os.urandom(16)),
    }
    head = [fill(part, marks) for part in case.head]
    # Some heads are invalid in ways that a parser would refuse.
    request = b"".join(head)
    key = re.search(rb"(?im)^sec-websocket-key:[ \t]*(.*?)[ \t]*\r?$", request)
    transcript.sent_key = key[1].decode("latin-1") if key else ""
    transcript.offer = Head(request.partition(HEAD_END)[0]).value("sec-websocket-extensions")
    reader = HeadReader(line)
    for part in _joined(head, case):
        line.write(part, timeout, reader.is_done)
    if case.half_close and not case.writes:
        line.half_close()
    if line.wait(reader.is_done, timeout):
        transcript.head, rest = reader.read()
        transcript.answer = transcript.head.value("sec-websocket-extensions")
        transcript.opened = transcript.head.status == 101
        line.take = transcript.receive
        transcript.receive(rest)
    if transcript.opened:
        _exchange(case, line, transcript, timeout)
    transcript.end = line.end
    return transcript


def answer_client(case: Case, line: Line, timeout: float, seen_keys: set[str]) -> Transcript:
    """Run a case with a client that has connected.

    :param timeout: the time to wait for any answer, in seconds.
    :param seen_keys: the keys of all requests so far; the new one is added.
    """
    transcript = Transcript(from_server=False)
    reader = HeadReader(line)
    if line.wait(reader.is_done, timeout):
        transcript.head, rest = reader.read()
        key = transcript.head.value("sec-websocket-key")
        transcript.seen_before = key in seen_keys
        seen_keys.add(key)
        line.take = transcript.receive
        transcript.receive(rest)
        _answer(case, line, transcript, timeout)
    transcript.end = line.end
    return transcript


def _answer(case: Case, line: Line, transcript: Transcript, timeout: float) -> None:
    assert transcript.head is not None
    transcript.offer = transcript.head.value("sec-websocket-extensions")
    agreed = answer_to(transcript.offer) if case.deflate is Deflate.NEEDED else ""
    marks = {
        b"{accept}": accept_for(transcript.head.value("sec-websocket-key")).encode(),
        b"{deflate}": f"Sec-WebSocket-Extensions: {agreed}\r\n".encode() if agreed else b"",
    }
    head = [fill(part, marks) for part in case.head]
    transcript.answer = Head(b"".join(head).partition(HEAD_END)[0]).value("sec-websocket-extensions")
    transcript.opened = True
    for part in _joined(head, case):
        line.write(part, timeout, lambda: False)
    _exchange(case, line, transcript, timeout)


def _joined(head: list[bytes], case: Case) -> list[bytes]:
    return [*head[:-1], b"".join([head[-1], *case.writes])] if case.joined else head


def _exchange(case: Case, line: Line, transcript: Transcript, timeout: float) -> None:
    """Do everything after the opening handshake."""

    def has_closed() -> bool:
        return transcript.close is not None

    def has_left() -> bool:
        return line.end is not End.OPEN

    def write(data: bytes) -> None:
        # Do not stop within a frame, as the peer may wait for our Close frame after it.
        if not has_closed():
            line.write(data, timeout, has_left)

    settled = partial(is_settled, case, transcript)
    for data in () if case.joined else case.writes:
        write(data)
    if case.half_close:
        line.half_close()
    if case.rest:
        transcript.late = not line.wait(settled, timeout * EARLY) and not has_left()
        for data in case.rest if transcript.late else ():
            write(data)
    if line.wait(settled, timeout) and (has_closed() or must_close(case, transcript)):
        if not sends_close(case):
            _close(line, transcript, timeout)
        _end(line, transcript, timeout, has_closed)


def _close(line: Line, transcript: Transcript, timeout: float) -> None:
    """Send our Close frame, or the answer to the peer's (5.5.1)."""
    code = 1000 if transcript.close is None else transcript.close_code
    payload = b"" if code is None else code.to_bytes(2, "big")
    # A masking key of zeros leaves the payload unchanged.
    mask, key = (128, bytes(4)) if transcript.from_server else (0, b"")
    line.write(bytes([0x88, mask | len(payload)]) + key + payload, timeout, lambda: False)


def _end(line: Line, transcript: Transcript, timeout: float, has_closed: Callable[[], bool]) -> None:
    """Wait for the peer's Close, then for the end of TCP, which the server closes first (7.1.1)."""
    line.wait(has_closed, timeout)
    if not transcript.from_server:
        line.half_close()
    line.wait(lambda: False, timeout)


def fill(template: bytes, marks: dict[bytes, bytes]) -> bytes:
    """Return a head with its marks filled in; see `rfc6455.testing.cases`."""
    for mark, value in marks.items():
        template = template.replace(mark, value)
    return template


def answer_to(offer: str) -> str:
    """Return the shortest answer to the first offer of permessage-deflate (RFC 7692 7.1), or ``""`` without an
    offer."""
    for name, parameters in parse_extensions(offer):
        if name == "permessage-deflate":
            demands = dict(parameters)
            words = [name]
            if "server_no_context_takeover" in demands:
                words.append("server_no_context_takeover")
            if demands.get("server_max_window_bits"):
                words.append(f"server_max_window_bits={demands['server_max_window_bits']}")
            return "; ".join(words)
    return ""


class HeadReader:
    """Reads up to the empty line that ends a head."""

    def __init__(self, line: Line) -> None:
        self._buffer = bytearray()
        line.take = self._buffer.extend

    def is_done(self) -> bool:
        return HEAD_END in self._buffer

    def read(self) -> tuple[Head, bytes]:
        """Return the head, and the bytes after it."""
        head, _, rest = bytes(self._buffer).partition(HEAD_END)
        return Head(head), rest
