"""One client's socket: incoming bytes, through TLS if it is used, and the outbox for outgoing ones.

One thread reads. All threads may write, with the session's lock held. Reading and writing share TLS, so it is used
only with the lock held.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager

from outbox import Outbox

from service.setup import Service
from service.tls import TLS
from service.visitor import Visitor

# A thread that waits in recv() has a buffer of this size. When there is much to read, it gets a large one.
IDLE_READ = 4 << 10
BUSY_READ = 64 << 10


class Wire:
    """The socket.

    :param lock: the session's.
    :param visitor: is informed when TLS breaks.
    :param blocked: a function that is called when data begins to wait in the outbox.
    """

    def __init__(
        self,
        sock: socket.socket,
        lock: AbstractContextManager[object],
        service: Service,
        visitor: Visitor,
        blocked: Callable[[], None],
    ) -> None:
        self.sock = sock
        self._visitor = visitor
        self._tls = None if service.tls is None else TLS(service.tls)
        settings = service.settings
        self._lock = lock
        self._read_size = IDLE_READ
        #: Whether anything has been received.
        self.has_received = False
        encrypt = None if self._tls is None else self._tls.encrypt
        self.outbox = Outbox(sock, settings.outbox_bytes, settings.outbox_messages, encrypt, blocked)

    @property
    def is_plain(self) -> bool:
        """Whether the connection is without TLS."""
        return self._tls is None

    def read(self) -> bytes:
        """Wait for the next bytes of HTTP or of frames; ``b""`` at the end.

        :raises OSError: if the connection is broken; `ssl.SSLError` if TLS is.
        """
        if self._tls is None:
            return self._receive()
        while True:
            data = self._decrypt(self._tls, self._receive())
            if data or self._tls.is_at_end:
                return data

    def read_now(self) -> bytes | None:
        """Return the bytes that have already arrived, or ``None`` if there are none, or with TLS, whose handshake may
        take long."""
        try:
            data = self.sock.recv(IDLE_READ, socket.MSG_DONTWAIT) if self._tls is None else b""
        except OSError:
            return None  # nothing yet, or the client is gone, which `read` will notice
        self.has_received = self.has_received or bool(data)
        return data or None

    def has_input(self) -> bool:
        """Return whether there is input that has not been read yet."""
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def linger(self) -> None:
        """Wait for the end of the client's stream. If we closed with input unread, TCP would reset the connection, and
        the client might never learn the reason (7.1.1).
        """
        while self.sock.recv(BUSY_READ):
            pass

    # With the lock held.

    def say_end(self) -> None:
        """End our side of TLS. Nothing more may be put into the outbox, and TCP is half-closed once it is empty."""
        if self._tls is not None:
            self.outbox.put_raw(self._tls.close())
        self.half_close()

    def half_close(self) -> None:
        if self.outbox.is_empty:
            self._shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Wake the thread that reads, which then finds the end of the stream."""
        self.outbox.drop()
        self._shutdown(socket.SHUT_RDWR)

    def _receive(self) -> bytes:
        data = self.sock.recv(self._read_size)
        self._read_size = BUSY_READ if len(data) == self._read_size else IDLE_READ
        self.has_received = True if data else self.has_received
        return data

    def _decrypt(self, tls: TLS, data: bytes) -> bytes:
        with self._lock:
            try:
                return tls.receive_data(data)
            except ssl.SSLError as error:
                self._visitor.tls_broke(error.reason)
                raise
            finally:
                self.outbox.put_raw(tls.data_to_send())

    def _shutdown(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # the client has already ended it
