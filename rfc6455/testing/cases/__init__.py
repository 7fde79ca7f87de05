"""Test cases for any WebSocket server or client: what to send, and what must happen; see `Case`.

What lives here: data, by group, with the section of the RFC for each case. Not here: I/O, hypothesis, or anything else
from outside the package. ``examples/conformance/check.py`` runs the cases over TCP; a test can run them in memory.

The server or client under test must echo each message: text as text, binary as binary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from ...codes import Role
from . import close, compression, control, fragmentation, framing, handshake, limits, utf8
from .model import (
    Asks,
    Case,
    Closes,
    Deflate,
    Echoes,
    Expectation,
    Fails,
    HangsUp,
    Message,
    Refuses,
    Waits,
)

#: The groups, in order. Each is a function that yields the cases for a role.
GROUPS: Mapping[str, Callable[[Role], Iterator[Case]]] = MappingProxyType(
    {
        "handshake": handshake.cases,
        "framing": framing.cases,
        "fragmentation": fragmentation.cases,
        "utf8": utf8.cases,
        "control": control.cases,
        "close": close.cases,
        "limits": limits.cases,
        "compression": compression.cases,
    }
)


def cases_for(role: Role) -> list[Case]:
    """Return all cases for testing a peer in this role, group by group.

    >>> from rfc6455 import SERVER
    >>> case = next(case for case in cases_for(SERVER) if case.id == "framing.opcode-3")
    >>> case.clause, case.sentence
    ('5.2', 'the reserved opcode 3 with FIN 1: the connection fails')
    """
    return [case for cases in GROUPS.values() for case in cases(role)]


__all__ = [
    "GROUPS",
    "Asks",
    "Case",
    "Closes",
    "Deflate",
    "Echoes",
    "Expectation",
    "Fails",
    "HangsUp",
    "Message",
    "Refuses",
    "Waits",
    "cases_for",
]
