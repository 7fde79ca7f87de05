"""The body of a response, as far as it is needed: bytes -> bytes (RFC 9112 6, 7).

What lives here: finding the end of a body, and the chunked coding. This is for refusals, after which the connection is
closed: if the framing of a body is invalid, the body ends there, and the data before that is kept. Not here: other
codings, trailers, or the bodies of requests.
"""

from __future__ import annotations

import re
import sys

from .headers import Response

# RFC 9112, 7.1. chunk-size = 1*HEXDIG. RFC 9110, 5.6.3 allows bad whitespace before an extension. 15 digits are enough
# for 2**60 bytes.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
# Enough for any meaningful chunk extension. RFC 9112, 7.1.1: a recipient "ought to limit the total length of chunk
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
        self._input = bytearray()
        length = _length(response)
        self._is_chunked = length is None
        self._left = length or 0  # bytes left in the body, or in the current chunk
        self._after_chunk = False
        self.complete: bool = not self._is_chunked and not self._left

    @property
    def body(self) -> bytes:
        """The body, or as much of it as has arrived."""
        return bytes(self._kept)

    def receive_data(self, data: bytes) -> None:
        """Process the next bytes; ``b""`` is the end of the stream."""
        self._input += data
        while self._input and not self.complete:
            if self._left:
                self._take_content()
            elif not self._take_chunk_line():
                break
        self.complete = self.complete or not data

    def _take_content(self) -> None:
        size = min(self._left, self._limit - len(self._kept), len(self._input))
        self._kept += self._input[:size]
        del self._input[:size]
        self._left -= size
        self.complete = len(self._kept) == self._limit or not (self._left or self._is_chunked)
        self._after_chunk = not self._left

    def _take_chunk_line(self) -> bool:
        """Process the line before a chunk, and return whether it has arrived. RFC 9112, 7.1. chunk = chunk-size
        [ chunk-ext ] CRLF chunk-data CRLF"""
        end = self._input.find(b"\n", 0, _LONGEST_CHUNK_LINE) + 1
        line = self._input[:end]
        del self._input[:end]
        size = _CHUNK_LINE.fullmatch(line)
        if not end:
            self.complete = len(self._input) >= _LONGEST_CHUNK_LINE
        elif self._after_chunk:
            self._after_chunk = False
            self.complete = line != b"\r\n"
        else:
            self._left = 0 if size is None else int(size[1], 16)
            # The chunk of size 0 is the last one. It is followed by trailers.
            self.complete = not self._left
        return end > 0


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
    # RFC 9110, 8.6: a list that repeats one number may be treated as that number.
    numbers = {number.strip(" \t") for number in ",".join(lengths).split(",")}
    number = numbers.pop()
    return int(number) if not numbers and _LENGTH.fullmatch(number) else 0
