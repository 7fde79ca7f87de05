"""Ways to cut a stream into reads: as one read, byte by byte, or anywhere.

The law: joining the chunks restores the stream, and no chunk is empty, as an empty read means the end of the stream.
The same call cuts the same way each time. A `Chunking` is any function from bytes to chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

#: A way to cut a stream: a function that takes bytes and returns chunks of them.
Chunking = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    """Return everything as one read.

    >>> whole(b"abc"), whole(b"")
    ([b'abc'], [])
    """
    return [data] if data else []


def byte_by_byte(data: bytes) -> list[bytes]:
    """Cut into reads of one byte.

    >>> byte_by_byte(b"abc")
    [b'a', b'b', b'c']
    """
    return [data[at : at + 1] for at in range(len(data))]


def halves(data: bytes) -> list[bytes]:
    """Cut so that each read takes half of what is left: a few large reads, then smaller and smaller ones.

    >>> halves(b"abcdefg")
    [b'abcd', b'ef', b'g']
    """
    chunks = []
    while data:
        size = (len(data) + 1) // 2
        chunks.append(data[:size])
        data = data[size:]
    return chunks


@dataclass(frozen=True)
class CutAt:
    """A chunking that cuts at given places, in bytes from the beginning. Places are taken modulo the length of the
    data, so that it fits any stream.

    :param places: the places, in any order. A repeated place, or one at either end of the data, has no effect.

    >>> CutAt((4, 1))(b"abcdef")
    [b'a', b'bcd', b'ef']
    """

    places: tuple[int, ...]

    def __call__(self, data: bytes) -> list[bytes]:
        """Return the chunks of ``data``."""
        edges = [0, *sorted(place % (len(data) + 1) for place in self.places), len(data)]
        return [data[start:stop] for start, stop in pairwise(edges) if start < stop]


@dataclass(frozen=True)
class Uneven:
    """A chunking with reads of 1 to ``largest`` bytes, in no order that a reader could depend on.

    :param seed: a number; a different one cuts in a different way.
    :param largest: the maximum size of a read in bytes, at least 1.

    >>> [len(chunk) for chunk in Uneven(1)(bytes(30))] == [len(chunk) for chunk in Uneven(1)(bytes(30))]
    True
    """

    seed: int
    largest: int = 12

    def __call__(self, data: bytes) -> list[bytes]:
        """Return the chunks of ``data``."""
        chunks = []
        state = self.seed
        at = 0
        while at < len(data):
            # A linear congruential generator; its upper bits are random enough for this.
            state = (state * 1103515245 + 12345) % (1 << 31)
            size = 1 + (state >> 16) % self.largest
            chunks.append(data[at : at + size])
            at += size
        return chunks


#: The ways to cut that find most mistakes, by name.
CHUNKINGS: dict[str, Chunking] = {
    "whole": whole,
    "bytes": byte_by_byte,
    "halves": halves,
    "uneven-1": Uneven(1),
    "uneven-2": Uneven(2),
}


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """Yield each way to cut ``data`` in two. The work grows with the square of the length, so keep the data short.

    >>> list(every_cut(b"abc"))
    [[b'a', b'bc'], [b'ab', b'c']]
    """
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
