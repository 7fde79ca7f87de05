"""What a loop has to say about messages: what may be sent, what comes, and how much of it waits.

Not here: anything that moves them.
"""

from __future__ import annotations

from rfc6455 import BytesPart, EncodedText, PreparedMessage, TextPart

Part = TextPart | BytesPart | EncodedText
Sendable = str | bytes | bytearray | memoryview | PreparedMessage

ONE_MESSAGE = (str, bytes, bytearray, memoryview, PreparedMessage)

# What waits to be written before `send` waits, or says that it would have to: asyncio's own high-water mark.
HIGH_WATER = 64 << 10

# A queue of what was not received yet is full when this is reached; each message counts its length and what follows.
# Reading goes on when less than a quarter is left, so that the next read comes while there is still something to do.
QUEUE = 64 << 10
MESSAGE = 1 << 10

# How long the last bytes may wait for a peer that has ended its stream, in seconds; as `Timeouts.tcp_close`.
FAREWELL = 2.0

# Ends that iteration takes for the end of what there was to say (7.4.1).
GOOD_ENDS = (1000, 1001, 1005)


def size_of(item: str | bytes | Part) -> int:
    """Return the length of what came."""
    if isinstance(item, (str, bytes)):
        return len(item)
    return len(item.text if isinstance(item, TextPart) else item.data)
