"""Bytes to and from a peer: a socket, TLS if it is used, and the data that the socket has not accepted yet.

Not here: threads and WebSockets. The callers' lock allows one thread at a time; only `Wire.receive` needs no lock.

The law: the socket is a plain one and does not block, and TLS works between two buffers. So nothing in here waits, TLS
is never read and written at the same time, and each direction can be ended on its own, with TLS as well as without.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

READ_SIZE = 64 << 10

# The maximum number of buffers in one call: the lowest limit that POSIX allows a system to have (IOV_MAX).
BUFFERS_AT_ONCE = 16


class Tls:
    """TLS as bytes in, bytes out.

    :param hostname: the name that the server's certificate must have; ``None`` at a server.
    :ivar has_ended: whether the peer has ended its stream.
    """

    def __init__(self, context: ssl.SSLContext, hostname: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        is_server = hostname is None
        self.object = context.wrap_bio(self._incoming, self._outgoing, is_server, hostname)
        self.has_ended = False
        self._is_open = False
        self._early: list[bytes] = []  # data that was sent before the handshake was complete
        if not is_server:
            self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """Return the decrypted content of these bytes, which may be empty.

        :raises ssl.SSLError: when they are wrong, or the certificate is not trusted.
        """
        self._incoming.write(data)
        found = []
        try:
            if not self._is_open:
                self._open()
            while piece := self.object.read(READ_SIZE):
                found.append(piece)
            self.has_ended = True
        except ssl.SSLWantReadError:
            pass
        return b"".join(found)

    def _open(self) -> None:
        self.object.do_handshake()
        self._is_open = True
        for data in self._early:
            self.send(data)
        self._early.clear()

    def send(self, data: bytes) -> None:
        if not self._is_open:
            self._early.append(data)
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self.object.write(view) :]
        except ssl.SSLWantReadError:
            raise  # the peer renegotiates
        except ssl.SSLError:
            pass  # TLS has failed; `receive` has reported that

    def end(self) -> None:
        """End this side's stream."""
        try:
            self.object.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # the peer has not answered yet, or the handshake was not complete

    def data_to_send(self) -> bytes:
        return self._outgoing.read()


class Wire:
    """A connection to a peer.

    :param sock: its socket, which `close` closes.
    :ivar layers: TLS, from the outside in: none, one, or two for TLS inside TLS to a proxy.
    :ivar size: the number of bytes that wait for the socket.
    :ivar error: the reason why TLS has failed.
    :ivar addresses: those of both ends, ``sockname`` and ``peername``.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.layers: list[Tls] = []
        self.size: int = 0
        self.error: ssl.SSLError | None = None
        self._waiting: deque[memoryview] = deque()
        self._is_broken = False  # whether sending has failed
        self._has_ended = False
        self.addresses: dict[str, object] = {}
        try:
            self.addresses.update(sockname=sock.getsockname(), peername=sock.getpeername())
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                # Each write is one message or several, so there is nothing to wait for.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass  # reset

    def add_tls(self, context: ssl.SSLContext, hostname: str | None) -> None:
        """Use TLS for everything that follows."""
        self.layers.append(Tls(context, hostname))
        self._queue()

    def receive(self) -> bytes | None:
        """Read, and return ``b""`` at the end of the stream, ``None`` when there is nothing."""
        try:
            return self.sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:  # reset
            return b""

    def decode(self, data: bytes) -> bytes | None:
        """Decrypt the bytes that were read. Return ``b""`` at the end of the stream, and ``None`` if they do not yet
        complete any content."""
        if not data or not self.layers:
            return data
        if self._has_ended:
            return None  # the result no longer matters
        try:
            for layer in self.layers:
                data = layer.receive(data)
        except ssl.SSLError as error:
            self.error = error
            data = b""
        self._queue()  # TLS may have something to send
        return data or (b"" if self.is_at_end else None)

    @property
    def is_at_end(self) -> bool:
        """Whether the peer's stream inside TLS has ended, or failed."""
        return self.error is not None or any(layer.has_ended for layer in self.layers)

    def send(self, buffers: Iterable[bytes]) -> None:
        """Send as much as the socket accepts, and keep the rest."""
        for data in buffers:
            self._queue(data)
        self.flush()

    def _queue(self, data: bytes = b"") -> None:
        for layer in reversed(self.layers):
            if data:
                layer.send(data)
            data = layer.data_to_send()
        if data and not self._is_broken:
            self._waiting.append(memoryview(data))
            self.size += len(data)

    def flush(self) -> None:
        """Send the waiting data, as far as the socket accepts it."""
        while self._waiting and self._send_some():
            pass

    def _send_some(self) -> bool:
        try:
            self._sent(_send(self.sock, list(islice(self._waiting, BUFFERS_AT_ONCE))))
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:  # reset; reading will find the end
            self._is_broken = True
            self._waiting.clear()
            self.size = 0
        return True

    def _sent(self, size: int) -> None:
        self.size -= size
        while size:
            first = self._waiting.popleft()
            if size < len(first):
                self._waiting.appendleft(first[size:])
            size -= min(size, len(first))

    def end(self) -> None:
        """End this side's stream, once all data has been sent. The peer's can still be read."""
        self._has_ended = True
        for layer in reversed(self.layers):
            layer.end()
            self._queue()
        self.flush()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # reset

    def close(self, cut: bool) -> None:
        """Close the socket.

        :param cut: whether to discard the data in transit and send a reset.
        """
        if cut:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        self._waiting.clear()
        self.sock.close()


def _send(sock: socket.socket, buffers: Sequence[memoryview]) -> int:
    if len(buffers) == 1 or not hasattr(sock, "sendmsg"):
        return sock.send(buffers[0])
    return sock.sendmsg(buffers)
