"""Back-pressure from the app: the messages that wait for it.

Not here: transport and protocol. `uvicorn.py` adds the messages, checks whether there is room, and stops reading when
there is not.
"""

from __future__ import annotations

import asyncio
from collections import deque

import rfc6455

from ._uvicorn_asgi import Message

# The number of bytes or characters that may wait for the app before reading stops; `--ws-max-queue` bounds the number
# of messages. The contents of one read come on top, and are bounded as well: asyncio reads at most 256 KiB, and the
# library inflates half a MiB, or to the end of one message, before it leaves the rest unread.
INBOX_SIZE = 64 << 10


class Inbox:
    """The queue for the app: the ``connect`` event, the messages in order, then the ``disconnect`` event, as often as
    the app asks.

    Messages wait as the library's events, and become ASGI's dictionaries, which are larger, when they are taken.

    :param max_messages: the number of messages that may wait, at least 1.
    """

    def __init__(self, max_messages: int) -> None:
        self.farewell: Message | None = None
        self._max_messages = max(1, max_messages)
        self._is_greeted = False
        self._waiting: deque[rfc6455.TextMessage | rfc6455.BytesMessage] = deque()
        self._size = 0
        self._arrived = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether to read on. This is always true after the ``disconnect`` event, as nothing is kept then."""
        return self.farewell is not None or (len(self._waiting) < self._max_messages and self._size < INBOX_SIZE)

    def put(self, event: rfc6455.TextMessage | rfc6455.BytesMessage) -> None:
        if self.farewell is None:
            self._waiting.append(event)
            self._size += size_of(event)
            self._arrived.set()

    def close(self, code: int, reason: str | None) -> None:
        """Add the ``disconnect`` event, unless there is one, after the messages that are already waiting.

        :param reason: the reason from the peer or the app; ``None`` if there was no Close frame.
        """
        if self.farewell is None:
            said = {} if reason is None else {"reason": reason}
            self.farewell = {"type": "websocket.disconnect", "code": int(code), **said}
            self._arrived.set()

    def take(self) -> Message | None:
        """Return the next message and remove it, or ``None`` if there is none yet."""
        if not self._is_greeted:
            self._is_greeted = True
            return {"type": "websocket.connect"}
        if not self._waiting:
            return None if self.farewell is None else dict(self.farewell)
        event = self._waiting.popleft()
        self._size -= size_of(event)
        if isinstance(event, rfc6455.TextMessage):
            return {"type": "websocket.receive", "text": event.text}
        return {"type": "websocket.receive", "bytes": event.data}

    async def get(self) -> Message:
        """Wait for the next message, and remove it. A call that is cancelled removes nothing."""
        while (message := self.take()) is None:
            self._arrived.clear()
            await self._arrived.wait()
        return message


def size_of(event: object) -> int:
    """Return the number of bytes or characters of a message; 0 for another event."""
    match event:
        case rfc6455.TextMessage(text):
            return len(text)
        case rfc6455.BytesMessage(data):
            return len(data)
    return 0
