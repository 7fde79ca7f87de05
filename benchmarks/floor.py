"""The floor: the minimum that any Python code must do for the same result.

It parses no frames and checks no rules. It is told what a protocol has to find out (where the payloads are, and what
they mean), and makes only the results for the application: the bytes are copied once, and there is a ``str`` for each
text, and an object for each message. Loops over the messages of a read run in C (``map``, ``zip``).

Unmasking and copying are done in one pass, in C, with a function of websockets. For small messages, a plain copy takes
its place, since calling the function would cost more than its work. With deflate, the floor consists only of the calls
of zlib.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any

from .libraries import Answer, Library, Role
from .payloads import Deflate, Messages, Stream, accept_value, as_bytes, deflate_one

KEY = b"\x12\x34\x56\x78"
LARGE = 4096  # bytes; from this size on, calling the function that unmasks costs less than its work
HEADER = bytes(4)  # as long as the header of most frames

without_first = itemgetter(slice(1, None))  # the quickest call that copies bytes


class Floor(Library):
    name = "floor"
    is_floor = True

    def __init__(self) -> None:
        from websockets.speedups import apply_mask

        self.apply_mask: Callable[[bytes, bytes], bytes] = apply_mask
        self.version = "the minimum that any Python code must do"

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        return role, deflate

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        _, deflate = connection
        if deflate:
            return inflated(deflate, batches(stream.deflated, stream.ends))
        sources, make = self._making(stream.messages)
        inputs = batches(sources, stream.ends)
        return one_a_read(make, inputs) if all(len(batch) < 2 for batch in inputs) else many_a_read(make, inputs)

    def content(self, message: Any) -> str | bytes:
        content: str | bytes = message[0]
        return content

    def _making(self, messages: Messages) -> tuple[list[bytes], Callable[[bytes], Any]]:
        """Return the bytes of each message, and the function that makes the message of them."""
        payloads = [as_bytes(message) for message in messages]
        is_text = isinstance(messages[0], str)
        if len(payloads[0]) >= LARGE:
            masked = [self.apply_mask(payload, KEY) for payload in payloads]
            return masked, self._unmasked_text if is_text else self._unmasked
        if is_text:
            return payloads, bytes.decode
        return [b"\0" + payload for payload in payloads], without_first

    def _unmasked(self, payload: bytes) -> bytes:
        return self.apply_mask(payload, KEY)

    def _unmasked_text(self, payload: bytes) -> str:
        return self.apply_mask(payload, KEY).decode()

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        role, deflate = connection
        if deflate:
            payloads = [as_bytes(message) for message in messages]
            compressor = deflate.compressors()
            return (deflate_one(compressor(), payload) for payload in payloads)
        is_masked = role is Role.CLIENT and len(messages[0]) >= LARGE
        if isinstance(messages[0], str):
            if is_masked:
                return (self._unmasked(message.encode()) for message in messages)  # type: ignore[union-attr]
            return (message.encode() for message in messages)  # type: ignore[union-attr]
        if is_masked:
            return (self._unmasked(message) for message in messages)  # type: ignore[arg-type]
        return (HEADER + message for message in messages)  # type: ignore[operator]

    def accept(self, request: bytes) -> bytes:
        start = request.index(b"Sec-WebSocket-Key: ") + len(b"Sec-WebSocket-Key: ")
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_value(request[start : start + 24]) + b"\r\n\r\n"
        )

    def open(self, uri: str, answer: Answer) -> None:
        key = base64.b64encode(os.urandom(16))
        request = b"GET /chat HTTP/1.1\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        assert accept_value(key) in answer(request)


def batches(payloads: Sequence[bytes], ends: Sequence[int]) -> list[Sequence[bytes]]:
    """Return the payloads that each read completes."""
    return [payloads[start:end] for start, end in pairwise([0, *ends])]


def many_a_read(make: Callable[[bytes], Any], inputs: Sequence[Sequence[bytes]]) -> Iterator[Sequence[Any]]:
    for batch in inputs:
        yield list(zip(map(make, batch)))


def one_a_read(make: Callable[[bytes], Any], inputs: Sequence[Sequence[bytes]]) -> Iterator[Sequence[Any]]:
    for batch in inputs:
        yield ((make(batch[0]),),) if batch else ()


def inflated(deflate: Deflate, inputs: Sequence[Sequence[bytes]]) -> Iterator[Sequence[Any]]:
    decompressor = deflate.decompressors()
    for batch in inputs:
        yield [(decompressor().decompress(payload),) for payload in batch]
