"""The order of frames: one table for a direction, which applies both to receiving and to sending.

A connection consists of two independent streams of frames. Each is in one of three states, which are named after what
has happened so far: nothing or only whole messages (`IDLE`), an unfinished message (`IN_MESSAGE`), a Close frame
(`CLOSED`). A frame moves its direction along `TRANSITIONS`; **anything not in the table is an error**: the peer's if
the frame was received, the caller's if it was to be sent. The state of the connection is derived from the two
directions and never stored, so that it cannot disagree with them.

Not here: limits, payloads, or answers.
"""

from __future__ import annotations

from enum import Enum, IntEnum

from .codes import Opcode


class Direction(IntEnum):
    """The state of one direction of a connection (5.4, 5.5.1).

    ``IDLE``: nothing or whole messages have passed; ``IN_MESSAGE``: a message that is not finished; ``CLOSED``: a
    Close frame, after which nothing passes.

    >>> ws = rfc6455.Connection(rfc6455.CLIENT)
    >>> ws.send_text("to be ", fin=False)
    >>> ws.sent.name, ws.received.name
    ('IN_MESSAGE', 'IDLE')
    """

    IDLE = 0
    IN_MESSAGE = 1
    CLOSED = 2


IDLE, IN_MESSAGE, CLOSED = Direction

# (state, opcode, fin) -> state.
# 5.4: the fragments of a message follow each other; control frames may come between them, but no other message's
# frames. 5.5: control frames are never fragmented. 5.5.1: nothing follows a Close frame.
TRANSITIONS: dict[tuple[Direction, Opcode, bool], Direction] = {
    (IDLE, Opcode.TEXT, True): IDLE,
    (IDLE, Opcode.TEXT, False): IN_MESSAGE,
    (IDLE, Opcode.BINARY, True): IDLE,
    (IDLE, Opcode.BINARY, False): IN_MESSAGE,
    (IDLE, Opcode.PING, True): IDLE,
    (IDLE, Opcode.PONG, True): IDLE,
    (IDLE, Opcode.CLOSE, True): CLOSED,
    (IN_MESSAGE, Opcode.CONT, True): IDLE,
    (IN_MESSAGE, Opcode.CONT, False): IN_MESSAGE,
    (IN_MESSAGE, Opcode.PING, True): IN_MESSAGE,
    (IN_MESSAGE, Opcode.PONG, True): IN_MESSAGE,
    (IN_MESSAGE, Opcode.CLOSE, True): CLOSED,
}

ILLEGAL = 255


def _flatten() -> bytes:
    """Return the table as one string, indexed by ``state << 8 | first header byte without RSV``."""
    flat = bytearray([ILLEGAL]) * (len(Direction) << 8)
    for (state, opcode, fin), after in TRANSITIONS.items():
        flat[state << 8 | fin << 7 | opcode] = after
    return bytes(flat)


STEPS = _flatten()


def why_illegal(opcode: int) -> str:
    """Return, in words, why the table has no entry for a data frame that was received.

    Other frames that are not in the table do not get here: `cursor.py` refuses fragmented control frames, and nothing
    is read after a Close frame.
    """
    if opcode == Opcode.CONT:
        return "a continuation frame, but no message has begun"
    return (
        f"a {Opcode(opcode).name} frame inside a message that is not finished; continuation or control frames may come"
    )


class ConnectionState(Enum):
    """The state of a connection, as seen from one end (7.1.3, 7.1.4).

    ``CLOSING`` begins with the first Close frame, sent or received, and ``CLOSED`` with the second.

    >>> ws = rfc6455.Connection(rfc6455.CLIENT)
    >>> ws.close()
    >>> ws.state.name
    'CLOSING'
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


def connection_state(sent: int, received: int) -> ConnectionState:
    """Derive the state of the connection from its two directions.

    7.1.3: "Upon either sending or receiving a Close control frame" the closing handshake is started.
    """
    closed_directions = (sent == CLOSED) + (received == CLOSED)
    return (ConnectionState.OPEN, ConnectionState.CLOSING, ConnectionState.CLOSED)[closed_directions]
