"""The interface between benchmarks and libraries, and the list of libraries.

The law: each library is used as its own documentation says, with the least code around it that gives the same result
as for the others: text as ``str``, fragments joined, masked bytes in, bytes for the socket out, 128 MiB allowed. The
work of an adapter for each message is part of the library's time, as an application has to do it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

from .payloads import MIB, Deflate, Messages, Stream

LIMIT = 128 * MIB  # for messages and frames, if a library has a limit

# A function that returns the server's 101 for the request of a client.
Answer = Callable[[bytes], bytes]


class Role(Enum):
    CLIENT = "client"
    SERVER = "server"


class UnsupportedError(Exception):
    """The library, or the installed part of it, does not do this. The message gives the reason, for the table."""


class Library:
    """One library. Its own connection objects are passed through unchanged.

    :ivar name: the name in the tables.
    :ivar version: the version, and the parts that are compiled.
    :ivar is_floor: whether it only makes the final result, without frames around payloads and without checking types.
    """

    name: str
    version: str
    is_floor = False

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        """Return an open connection, with permessage-deflate if requested."""
        raise UnsupportedError("no connections")

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        """Feed the reads, and after each of them, yield the messages, as the library represents them."""
        raise UnsupportedError("no receiving")

    def receive_at_endpoint(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        """Do the same as `receive`, through the object that combines the connection and its deadlines."""
        raise UnsupportedError("no object that keeps deadlines")

    def content(self, message: Any) -> str | bytes:
        """Return the content of a message from `receive`."""
        return message if isinstance(message, str) else bytes(message)

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        """Send the messages one by one, and after each of them, yield the output for the socket."""
        raise UnsupportedError("no sending")

    def wire(self, output: Any) -> bytes:
        """Return the bytes in an output of `send`."""
        return bytes(output) if isinstance(output, (bytes, bytearray)) else b"".join(output)

    def accept(self, request: bytes) -> bytes:
        """Do the opening handshake of a server: return the bytes of the 101 for those of a request."""
        raise UnsupportedError("no handshake of its own")

    def open(self, uri: str, answer: Answer) -> None:
        """Do the opening handshake of a client: make a request, and check the server's answer."""
        raise UnsupportedError("no handshake of its own")


def installed() -> tuple[list[Library], dict[str, str]]:
    """Return every library that can be measured here, and for each of the others, the reason why it cannot."""
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
