"""Strategies for the reads in which a stream arrives."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from ..chunking import Chunking, CutAt, byte_by_byte, halves, whole

_PLACES = st.lists(st.integers(0, 1 << 16), min_size=1, max_size=8)


@cache
def chunkings() -> st.SearchStrategy[Chunking]:
    """Generate ways to cut any stream into reads: whole, byte by byte, in halves, or at up to eight places."""
    cuts = _PLACES.map(lambda places: CutAt(tuple(places)))
    return st.one_of(st.sampled_from([whole, byte_by_byte, halves]), cuts)


def chunks(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Generate the reads in which this stream arrives; they join to ``data``, and none is empty."""
    return chunkings().map(lambda chunk: chunk(data))
