"""What a case is: bytes to write, and what the peer under test may do then.

What lives here: values and nothing else. What must not: sockets, and the judge that compares an answer with what was
expected; whoever runs the cases brings both, so that they can be run over TCP, over TLS or in memory.

A case names the role of the peer that is **tested**: cases for a server are sent by a client, in masked frames.
Messages are pairs of an opcode and a payload. All bytes are as they go over the wire, but for the marks in a head:
``{host}``, ``{target}`` and ``{key}`` in a request, ``{accept}`` and ``{deflate}`` in an answer, which only
the one who runs the case can know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ...codes import Role

Message = tuple[int, bytes]

# A close code, or None for a Close frame without one.
Codes = frozenset["int | None"]


@dataclass(frozen=True)
class Echoes:
    """The connection opens, the messages come back, and the closing handshake that follows is clean.

    :ivar messages: the echoes, in order, fragmented or not.
    :ivar pings: the payloads of the Pings that were sent. 5.5.3: of several, the most recent one must be answered.
    :ivar fresh_masks: whether each frame must have a masking key of its own (5.3).
    """

    messages: tuple[Message, ...] = ()
    pings: tuple[bytes, ...] = ()
    fresh_masks: bool = False


@dataclass(frozen=True)
class Closes:
    """The Close frame that was sent is answered by one with a code in ``codes``, and nothing else comes.

    :ivar messages: echoes that come before it.
    """

    codes: Codes
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Fails:
    """The peer fails the connection (7.1.7), best with a Close frame with a code in ``codes``.

    :ivar messages: echoes that may come before it.
    :ivar pings: the payloads of Pings before it, which may have been answered.
    """

    codes: Codes
    messages: tuple[Message, ...] = ()
    pings: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Waits:
    """Nothing happens: the connection stays open, and nothing more comes."""


@dataclass(frozen=True)
class Refuses:
    """The request is answered with a status in ``statuses`` and no connection opens.

    :ivar fields: header fields that the answer must have, names in lower case.
    """

    statuses: frozenset[int]
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class HangsUp:
    """The peer closes TCP and sends nothing before: no frame, and no answer to a request that was not good."""


@dataclass(frozen=True)
class Asks:
    """The client's request has the header ``field`` once, and its value matches ``pattern`` as a whole.

    :ivar field: in lower case; empty for the request line.
    :ivar fresh: whether no earlier request had the same value.
    """

    field: str
    pattern: str
    fresh: bool = False


Expectation = Echoes | Closes | Fails | Waits | Refuses | HangsUp | Asks


class Deflate(Enum):
    """What becomes of permessage-deflate in the opening handshake of a case."""

    #: It is not offered, and must not be in the answer.
    ABSENT = "absent"
    #: The offer is not valid: the answer must not have it (RFC 7692 7.1).
    DECLINED = "declined"
    #: The peer may agree to it; then its answer must fit the offer.
    CHOICE = "choice"
    #: The case needs it. A peer without it cannot be tried.
    NEEDED = "needed"


@dataclass(frozen=True)
class Case:
    """One case.

    :ivar id: unique among those of its role; it begins with the group.
    :ivar group: ``"handshake"``, ``"framing"``, ...
    :ivar role: of the peer that is tested.
    :ivar clause: where it is written: ``"5.2"`` of RFC 6455, or ``"RFC 7692 7.2.1"``.
    :ivar sentence: what must happen.
    :ivar expect: each of these is right. Where there are several the RFC leaves the choice, and the first is the
        better one.
    :ivar tolerated: what breaks no MUST.
    :ivar head: the request, or for a client the answer to its request, in one or more writes.
    :ivar writes: what is sent when the connection is open, in one or more writes.
    :ivar rest: sent only when nothing has come after ``writes``. A peer that waited for it was slow to see the fault.
    :ivar joined: whether ``writes`` follow the head at once, in the same write.
    :ivar half_close: whether the stream ends after all that.
    :ivar deflate: what becomes of permessage-deflate.
    :ivar takeover: whether ``writes`` refer to earlier messages, which may have been ruled out (RFC 7692 7.1.1).
    """

    id: str
    group: str
    role: Role
    clause: str
    sentence: str
    expect: tuple[Expectation, ...]
    tolerated: tuple[Expectation, ...] = ()
    head: tuple[bytes, ...] = ()
    writes: tuple[bytes, ...] = ()
    rest: tuple[bytes, ...] = ()
    joined: bool = False
    half_close: bool = False
    deflate: Deflate = Deflate.ABSENT
    takeover: bool = False
