"""The model of a case: bytes to write, and what the peer under test may then do.

What lives here: values and nothing else. Not here: sockets, or the code that compares an outcome with what was
expected. The program that runs the cases provides both, so that they can be run over TCP, over TLS or in memory.

A case names the role of the peer that is **tested**: cases for a server are sent by a client, in masked frames.
Messages are pairs of an opcode and a payload. All bytes are as on the wire, except for marks in a head, which only the
program that runs the case can fill in: ``{host}``, ``{target}`` and ``{key}`` in a request, ``{accept}`` and
``{deflate}`` in an answer.
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
    :ivar pings: the payloads of the Pings that are sent. Of several, at least the last one must be answered (5.5.3).
    :ivar fresh_masks: whether each frame must have a new masking key (5.3).
    """

    messages: tuple[Message, ...] = ()
    pings: tuple[bytes, ...] = ()
    fresh_masks: bool = False


@dataclass(frozen=True)
class Closes:
    """The Close frame that is sent is answered with one whose code is in ``codes``, and nothing else comes.

    :ivar messages: echoes that come before it.
    """

    codes: Codes
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Fails:
    """The peer fails the connection (7.1.7), preferably with a Close frame whose code is in ``codes``.

    :ivar messages: echoes that may come before it.
    :ivar pings: the payloads of Pings that are sent before it, which may have been answered.
    """

    codes: Codes
    messages: tuple[Message, ...] = ()
    pings: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Waits:
    """Nothing happens: the connection stays open, and nothing more comes."""


@dataclass(frozen=True)
class Refuses:
    """The request is answered with a status in ``statuses``, and no connection opens.

    :ivar fields: header fields that the answer must have, names in lower case.
    """

    statuses: frozenset[int]
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class HangsUp:
    """The peer closes TCP without sending anything: no frame, and no answer to a bad request."""


@dataclass(frozen=True)
class Asks:
    """The client's request has the header ``field`` once, and its whole value matches ``pattern``.

    :ivar field: the name in lower case; empty for the request line.
    :ivar fresh: whether no earlier request had the same value.
    """

    field: str
    pattern: str
    fresh: bool = False


Expectation = Echoes | Closes | Fails | Waits | Refuses | HangsUp | Asks


class Deflate(Enum):
    """What happens to permessage-deflate in the opening handshake of a case."""

    #: It is not offered, and must not be in the answer.
    ABSENT = "absent"
    #: The offer is not valid, so the extension must not be in the answer (RFC 7692 7.1).
    DECLINED = "declined"
    #: The peer may agree to it. If it does, its answer must fit the offer.
    CHOICE = "choice"
    #: The case needs it. A peer without it cannot be tested.
    NEEDED = "needed"


@dataclass(frozen=True)
class Case:
    """A test case.

    :ivar id: a name that is unique within its role; it begins with the group.
    :ivar group: ``"handshake"``, ``"framing"``, ...
    :ivar role: the role of the peer under test.
    :ivar clause: the section: ``"5.2"`` of RFC 6455, or ``"RFC 7692 7.2.1"``.
    :ivar sentence: what must happen.
    :ivar expect: the acceptable outcomes. If there are several, the RFC leaves a choice, and the first is the best.
    :ivar tolerated: other outcomes that break no MUST.
    :ivar head: the request, or for a client the answer to its request, in one or more writes.
    :ivar writes: the bytes that are sent once the connection is open, in one or more writes.
    :ivar rest: bytes that are sent only if the peer has not reacted to ``writes``. A peer that waits for them detects
        the violation later than it could.
    :ivar joined: whether the first of ``writes`` is sent in the same write as the head.
    :ivar half_close: whether the stream ends after all that.
    :ivar deflate: what happens to permessage-deflate in the opening handshake.
    :ivar takeover: whether ``writes`` refer to earlier messages, which the handshake may have ruled out (RFC 7692
        7.1.1).
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
