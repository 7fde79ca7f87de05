"""The body of a response, as far as it is wanted: bytes -> bytes (RFC 9112 6, 7).

What lives here: where a body ends, and the chunked coding. This is for refusals, after which the connection is closed:
a body that breaks its own framing ends there, and what came before is kept. Not here: other codings, trailers, the
bodies of requests.
"""

from __future__ import annotations

import re
import sys

from .headers import Response

# RFC 9112, 7.1. chunk-size = 1*HEXDIG, and RFC 9110, 5.6.3 lets bad whitespace stand before an extension. 15 digits
# allow 2**60 bytes.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
# Enough for any meaningful chunk extension; RFC 9112, 7.1.1: a recipient "ought to limit the total length of chunk
# extensions".
_LONGEST_CHUNK_LINE = 1024
_LENGTH = re.compile(r"[0-9]{1,18}")


class BodyReader:
    """A reader of the body of one response.

    :param response: the head of the response.
    :param limit: the maximum number of bytes to keep.

    :ivar complete: whether no more of the body is wanted, because it has ended or the limit is reached.

    >>> from rfc6455.http1_bodies import BodyReader
    >>> reader = BodyReader(rfc6455.Response(403, rfc6455.Headers({"Transfer-Encoding": "chunked"})), 1024)
    >>> reader.receive_data(b"4\\r\\nbusy\\r\\n0\\r\\n")
    >>> reader.complete, reader.body
    (True, b'busy')
    """

    def __init__(self, response: Response, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        length = _length(response)
        self._is_chunked = length is None
        self._left = length or 0  # bytes left in the body, or in the current chunk
        self._line = bytearray()  # what has come of the line before the next chunk
        self._after_chunk = False
        self.complete: bool = not self._is_chunked and not self._left

    @property
    def body(self) -> bytes:
        """The body, or as much of it as has come."""
        return bytes(self._kept)

    def receive_data(self, data: bytes) -> None:
        """Process the next bytes; ``b""`` is the end of the stream."""
        at = 0
        while at < len(data) and not self.complete:
            at = self._take(data, at) if self._left else self._take_chunk_line(data, at)
        self.complete = self.complete or not data

    def _take(self, data: bytes, at: int) -> int:
        size = min(self._left, self._limit - len(self._kept), len(data) - at)
        self._kept += data[at : at + size]
        self._left -= size
        self.complete = len(self._kept) == self._limit or not (self._left or self._is_chunked)
        self._after_chunk = not self._left
        return at + size

    def _take_chunk_line(self, data: bytes, at: int) -> int:
        """Process the line before a chunk. RFC 9112, 7.1. chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF"""
        end = data.find(b"\n", at)
        self._line += data[at : len(data) if end < 0 else end + 1]
        if len(self._line) > _LONGEST_CHUNK_LINE:
            self.complete = True
        elif end >= 0:
            self._end_chunk_line(bytes(self._line))
            self._line.clear()
        return len(data) if end < 0 else end + 1

    def _end_chunk_line(self, line: bytes) -> None:
        size = _CHUNK_SIZE.fullmatch(line.removesuffix(b"\r\n"))
        if self._after_chunk:
            self._after_chunk = False
            self.complete = line != b"\r\n"
        elif size is None or not line.endswith(b"\r\n"):
            self.complete = True
        else:
            self._left = int(size[1], 16)
            # The chunk of size 0 is the last one. What follows are trailers.
            self.complete = not self._left


def _length(response: Response) -> int | None:
    """Return the length of a body, or ``None`` if it is chunked (RFC 9112, 6.3)."""
    if response.status in (204, 304):
        return 0
    codings = response.headers.get_all("Transfer-Encoding")
    # 6.3, 4: a body is chunked if that is its final coding.
    if ",".join(codings).lower().rpartition(",")[2].strip(" \t") == "chunked":
        return None
    lengths = response.headers.get_all("Content-Length")
    if codings or not lengths:
        return sys.maxsize
    # RFC 9110, 8.6: a list that repeats one number may be taken for that number.
    numbers = {number.strip(" \t") for number in ",".join(lengths).split(",")}
    number = numbers.pop()
    return int(number) if not numbers and _LENGTH.fullmatch(number) else 0
