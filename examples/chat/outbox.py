"""What waits to be sent: a batch of lines serialised once for all, and one client's outbox with its limits.

The law: nobody ever waits for a slow client. A write passes on what the kernel takes at once; the rest waits in the
outbox until the caretaker's thread finds the socket writable again. The caller holds the session's lock.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Hashable, Sequence

import rfc6455

# What Python needs for something that waits, besides its bytes: two objects, and a place for them.
ENTRY_COST = 128


class Batch:
    """Some lines for many clients: each is serialised once, and all of them are sent with one write.

    Connections with the same extensions share the same bytes. That is possible because this server compresses each
    message on its own (no context takeover, see `session.py`).
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.count = len(lines)
        self._messages = [rfc6455.PreparedMessage(line) for line in lines]
        self._serialised: dict[Hashable, bytes] = {}
        #: Roughly how much memory this takes, in bytes.
        self.size = sum(len(message.payload) for message in self._messages)

    def serialised(self, kind: Hashable, ws: rfc6455.Endpoint) -> bytes:
        """Return the bytes for ``ws``, which must be open and have nothing else to send.

        :param kind: a key that is equal for all connections that send these messages as the same bytes.
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

    :param max_bytes: more than this many bytes waiting is too many; 0 for no limit.
    :param max_messages: more than this many messages waiting is too many; 0 for no limit.
    :param encrypt: for a connection with TLS.
    :param blocked: a function that is called when something begins to wait; the caretaker then calls `flush`.
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
        """What waits, as a share of what may: more than 1 is too much."""
        if self._is_held or not self._waiting:
            return 0.0  # the client's pace is not known yet, or it has taken everything
        return max(self.bytes * self._per_byte, self.messages * self._per_message)

    @property
    def held(self) -> int:
        """How many bytes of memory this takes; those that it shares with other outboxes count in each."""
        return self.bytes + ENTRY_COST * len(self._waiting)

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def put(self, data: bytes, messages: int = 0) -> None:
        """Send ``data``, now or later, without waiting."""
        self.put_raw(data if self._encrypt is None or not data else self._encrypt(data), messages)

    def put_raw(self, data: bytes, messages: int = 0) -> None:
        """Do the same for bytes that are not to be encrypted."""
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
        """Send nothing until `release` does so with one write."""
        self._is_held = True

    def release(self) -> None:
        """Send what was put since `hold`."""
        self._is_held = False
        data, messages = b"".join(data for data, _ in self._waiting), self.messages
        self._waiting.clear()
        self.bytes = self.messages = 0
        self.delivered -= messages
        self.put_raw(data, messages)

    def flush(self) -> None:
        """Send what waits, as far as the kernel takes it."""
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
        """Forget what waits, except what may be half sent. Not possible with TLS, whose records are numbered."""
        while len(self._waiting) > 1:
            self._waiting.pop()
        self.bytes = sum(len(data) for data, _ in self._waiting)
        self.messages = sum(messages for _, messages in self._waiting)

    def detach(self) -> None:
        """Release the reference to the owner, which refers back; nothing may be put after that."""
        self._blocked = lambda: None

    def drop(self) -> None:
        """Forget what waits; nothing more is sent."""
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
            # The connection is gone. The session's own thread learns it from recv(), and tells the room.
            self.drop()
            return 0
