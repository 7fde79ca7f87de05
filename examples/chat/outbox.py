"""Data that waits to be sent: batches of lines, serialised once for all clients, and the outbox of each client.

The law: nobody ever waits for a slow client. A write passes on as much as the kernel takes immediately; the rest waits
in the outbox until the caretaker's thread finds the socket writable again. The caller holds the session's lock.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Hashable, Sequence

import rfc6455

# The memory that Python needs for each waiting entry besides its bytes: two objects, and a place for them.
ENTRY_COST = 128


class Batch:
    """Some lines for many clients. Each line is serialised once, and all of them are sent with one write.

    Connections with the same extensions share the same bytes. This is possible because the server compresses each
    message independently (no context takeover, see `service/setup.py`).
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.count = len(lines)
        self._messages = [rfc6455.PreparedMessage(line) for line in lines]
        self._serialised: dict[Hashable, bytes] = {}
        #: Roughly the number of bytes of memory that this takes.
        self.size = sum(len(message.payload) for message in self._messages)

    def serialised(self, kind: Hashable, ws: rfc6455.Endpoint) -> bytes:
        """Return the bytes for ``ws``, which must be open and have nothing else to send.

        :param kind: a key that is equal for all connections on which these messages are the same bytes.
        """
        data = self._serialised.get(kind)
        if data is None:
            for message in self._messages:
                ws.send_prepared(message)
            data = self._serialised[kind] = ws.data_to_send()
            self.size += len(data)
        return data


class Outbox:
    """The data that one client has not read yet.

    :param max_bytes: the maximum number of bytes that may wait; 0 for no limit.
    :param max_messages: the maximum number of messages that may wait; 0 for no limit.
    :param encrypt: a function that encrypts data, for a connection with TLS.
    :param blocked: a function that is called when data begins to wait; the caretaker then calls `flush`.
    """

    def __init__(
        self,
        sock: socket.socket,
        max_bytes: int,
        max_messages: int,
        encrypt: Callable[[bytes], bytes] | None,
        blocked: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._per_byte = 1 / max_bytes if max_bytes else 0.0
        self._per_message = 1 / max_messages if max_messages else 0.0
        self._encrypt = encrypt
        self._blocked = blocked
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._is_held = False
        self._is_broken = False
        self.bytes = 0
        self.messages = 0
        self.sent_bytes = 0
        self.delivered = 0

    @property
    def load(self) -> float:
        """The waiting data as a share of the limit: more than 1 is too much."""
        if self._is_held or not self._waiting:
            return 0.0  # the client's speed is not known yet, or it has received everything
        return max(self.bytes * self._per_byte, self.messages * self._per_message)

    @property
    def held(self) -> int:
        """The number of bytes of memory that this takes. Those shared with other outboxes count in each of them."""
        return self.bytes + ENTRY_COST * len(self._waiting)

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def put(self, data: bytes, messages: int = 0) -> None:
        """Send ``data``, now or later, without waiting."""
        self.put_raw(data if self._encrypt is None or not data else self._encrypt(data), messages)

    def put_raw(self, data: bytes, messages: int = 0) -> None:
        """Do the same for bytes that must not be encrypted."""
        if self._is_broken or not data:
            return
        self.delivered += messages
        if not self._waiting and not self._is_held:
            taken = self._write(data)
            if taken == len(data) or self._is_broken:
                return
            data = data[taken:]
            self._blocked()
        self._waiting.append((data, messages))
        self.bytes += len(data)
        self.messages += messages

    def hold(self) -> None:
        """Send nothing until `release` sends everything with one write."""
        self._is_held = True

    def release(self) -> None:
        """Send the data that was put since `hold`."""
        self._is_held = False
        data, messages = b"".join(data for data, _ in self._waiting), self.messages
        self._waiting.clear()
        self.bytes = self.messages = 0
        self.delivered -= messages
        self.put_raw(data, messages)

    def flush(self) -> None:
        """Send the waiting data, as far as the kernel takes it."""
        while self._waiting and not self._is_broken:
            data, messages = self._waiting[0]
            taken = self._write(data)
            if self._is_broken:
                return
            self.bytes -= taken
            if taken < len(data):
                self._waiting[0] = (data[taken:], messages)
                return
            self.messages -= messages
            self._waiting.popleft()

    def shed(self) -> None:
        """Discard the waiting data, except for a half-sent part. With TLS, whose records are numbered, keep it all."""
        while len(self._waiting) > 1:
            self._waiting.pop()
        self.bytes = sum(len(data) for data, _ in self._waiting)
        self.messages = sum(messages for _, messages in self._waiting)

    def detach(self) -> None:
        """Release the reference to the owner, which refers back. Nothing may be put after that."""
        self._blocked = lambda: None

    def drop(self) -> None:
        """Discard the waiting data, and send nothing more."""
        self._is_broken = True
        self._waiting.clear()
        self.bytes = self.messages = 0

    def _write(self, data: bytes) -> int:
        try:
            taken = self._sock.send(data, socket.MSG_DONTWAIT)
            self.sent_bytes += taken
            return taken
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # The connection is gone. The session's own thread notices this in recv(), and tells the room.
            self.drop()
            return 0
