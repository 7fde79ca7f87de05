"""Bytes cut into reads: the same stream as one read, byte by byte, or cut anywhere.

The law: the portions join to the same bytes again, and none is empty, as an empty read means the end of the stream.
The same call cuts the same way each time. A `Chunking` is any function from bytes to portions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

#: A way to cut a stream: bytes in, the portions of them out.
Chunking = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    """All in one read.

    >>> whole(b"abc"), whole(b"")
    ([b'abc'], [])
    """
    return [data] if data else []


def byte_by_byte(data: bytes) -> list[bytes]:
    """The smallest reads that there are.

    >>> byte_by_byte(b"abc")
    [b'a', b'b', b'c']
    """
    return [data[at : at + 1] for at in range(len(data))]


def halves(data: bytes) -> list[bytes]:
    """Each read takes half of what is left: a few large ones, then ever smaller ones.

    >>> halves(b"abcdefg")
    [b'abcd', b'ef', b'g']
    """
    portions = []
    while data:
        size = (len(data) + 1) // 2
        portions.append(data[:size])
        data = data[size:]
    return portions


@dataclass(frozen=True)
class CutAt:
    """Cuts at these places, counted in bytes from the beginning and taken modulo the length of the data, so that one
    of these fits any stream.

    :param places: in any order; one that comes twice, or falls on an end of the data, cuts nothing.

    >>> CutAt((4, 1))(b"abcdef")
    [b'a', b'bcd', b'ef']
    """

    places: tuple[int, ...]

    def __call__(self, data: bytes) -> list[bytes]:
        """The portions of ``data``."""
        edges = [0, *sorted(place % (len(data) + 1) for place in self.places), len(data)]
        return [data[start:stop] for start, stop in pairwise(edges) if start < stop]


@dataclass(frozen=True)
class Uneven:
    """Reads of 1 to ``largest`` bytes in no order that a reader could depend on.

    :param seed: another one cuts in another way.
    :param largest: in bytes, from 1 up.

    >>> [len(portion) for portion in Uneven(1)(bytes(30))] == [len(portion) for portion in Uneven(1)(bytes(30))]
    True
    """

    seed: int
    largest: int = 12

    def __call__(self, data: bytes) -> list[bytes]:
        """The portions of ``data``."""
        portions = []
        state = self.seed
        at = 0
        while at < len(data):
            # A linear congruential generator; its upper bits are good enough to be uneven.
            state = (state * 1103515245 + 12345) % (1 << 31)
            size = 1 + (state >> 16) % self.largest
            portions.append(data[at : at + size])
            at += size
        return portions


#: Ways to cut that find most mistakes, by name.
CHUNKINGS: dict[str, Chunking] = {
    "whole": whole,
    "bytes": byte_by_byte,
    "halves": halves,
    "uneven-1": Uneven(1),
    "uneven-2": Uneven(2),
}


def every_cut(data: bytes) -> Iterator[list[bytes]]:
    """Each way to cut ``data`` in two. The work is the square of the length: keep the data short.

    >>> list(every_cut(b"abc"))
    [[b'a', b'bc'], [b'ab', b'c']]
    """
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
