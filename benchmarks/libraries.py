"""What a benchmark may ask of a library, and the list of libraries.

The law: each library is used as its own documentation says, with the least code around it that ends in the same
thing as for the others: text as ``str``, fragments joined, masked bytes in, bytes for the socket out, 128 MiB
allowed. What an adapter does per message is part of the library's time, as an application has to do it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

from .payloads import MIB, Deflate, Messages, Stream

LIMIT = 128 * MIB  # for messages and frames, where a library has a limit

# Given the request of a client, the server's 101.
Answer = Callable[[bytes], bytes]


class Role(Enum):
    CLIENT = "client"
    SERVER = "server"


class UnsupportedError(Exception):
    """The library, or what is installed of it, does not do this. The message says why, for the table."""


class Library:
    """One library. Its own connection objects go through here as they are.

    :ivar name: as in the tables.
    :ivar version: with what is compiled of it.
    :ivar is_floor: whether it makes only what comes out in the end: no frames around payloads, no types checked.
    """

    name: str
    version: str
    is_floor = False

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        """Return an open connection, with permessage-deflate if asked for."""
        raise UnsupportedError("no connections")

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        """Feed the reads, and yield after each the messages that came, as the library has them."""
        raise UnsupportedError("no receiving")

    def receive_at_endpoint(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        """As `receive`, through what keeps the connection and its deadlines together, and is told the time."""
        raise UnsupportedError("nothing that keeps time")

    def content(self, message: Any) -> str | bytes:
        """Return what is in a message as `receive` gives it."""
        return message if isinstance(message, str) else bytes(message)

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        """Send the messages one by one, and yield after each what is to be written to the socket."""
        raise UnsupportedError("no sending")

    def wire(self, output: Any) -> bytes:
        """Return the bytes in an output of `send`."""
        return bytes(output) if isinstance(output, (bytes, bytearray)) else b"".join(output)

    def accept(self, request: bytes) -> bytes:
        """Do the opening handshake of a server: from the bytes of a request to those of the 101."""
        raise UnsupportedError("no handshake of its own")

    def open(self, uri: str, answer: Answer) -> None:
        """Do the opening handshake of a client: a request, and the check of the server's answer."""
        raise UnsupportedError("no handshake of its own")


def installed() -> tuple[list[Library], dict[str, str]]:
    """Return every library that can be measured here, and why each of the others cannot."""
    from . import floor, ours, peers

    candidates: dict[str, Callable[[], Library]] = {
        "floor": floor.Floor,
        ours.COMPILED: ours.compiled,
        ours.PURE: ours.pure,
        "picows": peers.Picows,
        "aiohttp": peers.Aiohttp,
        "websockets": peers.Websockets,
        "wsproto": peers.Wsproto,
    }
    made = {name: _made(make) for name, make in candidates.items()}
    libraries = [library for library in made.values() if isinstance(library, Library)]
    return libraries, {name: reason for name, reason in made.items() if isinstance(reason, str)}


def _made(make: Callable[[], Library]) -> Library | str:
    try:
        return make()
    except (ImportError, UnsupportedError) as error:
        return str(error)
