"""The bytes for every library: messages, the frames around them, and the reads in which they arrive.

What lives here: making these bytes, which are the same in every run (seeded), and parsing frames to check what was
sent. Nothing here is timed, and nothing uses a library under test: frames are made by the simplest possible code.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

Messages = Sequence[str] | Sequence[bytes]

KIB = 1 << 10
MIB = 1 << 20
READ = 64 * KIB  # the size that servers usually pass to recv()

CONT, TEXT, BINARY = 0, 1, 2
FIN, RSV1, MASKED = 0x80, 0x40, 0x80
DEFLATE_TAIL = b"\x00\x00\xff\xff"  # RFC 7692 7.2.1: cut off by the sender, put back by the receiver

ASCII = "the quick brown fox jumps over the lazy dog, 0123456789 times; "
MIXED = "déjà vu, naïve façade; 漢字とかな交じり文、中文字符; 🙂🚀🎉 und Größe "
# Scripts that mix ASCII and other letters, each in its own way.
SCRIPTS = {
    "ASCII with one é in a kilobyte": "a" * 1022 + "é",
    "German": "Die Größe der Übertragung hängt von der Länge der Schlüssel ab, überall schön. ",
    "Russian": "status=ok; Привет, мир: сообщение доставлено, id=12345. ",
    "Greek": "GET /path: Καλημέρα κόσμε, όλα καλά, 200 OK. ",
    "Arabic": '{"text": "مرحبا بالعالم كيف الحال", "id": 17} ',
    "Hindi": '{"text": "नमस्ते दुनिया कैसे हो", "id": 17} ',
    "Chinese": '{"name": "测试消息已经送达", "value": 42} ',
    "Japanese": "user: こんにちは世界, status=テスト; ",
}
JSON = '{"id": %d, "user": "user-%d", "room": "lobby", "score": %d, "text": "%s"},\n'


@dataclass(frozen=True)
class Deflate:
    """The parameters of deflated messages. All others are zlib's defaults (level 6, 15 window bits, memLevel 8).

    :param takeover: whether a message may refer back to earlier ones (RFC 7692 7.1.1).
    """

    takeover: bool

    def compressors(self) -> Callable[[], zlib._Compress]:
        """Return a function that returns the compressor for the next message: always the same one, or a new one."""
        if not self.takeover:
            return lambda: zlib.compressobj(wbits=-zlib.MAX_WBITS)
        shared = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return lambda: shared

    def decompressors(self) -> Callable[[], zlib._Decompress]:
        """Return the same for the other direction."""
        if not self.takeover:
            return lambda: zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        shared = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        return lambda: shared


@dataclass(frozen=True)
class Stream:
    """Frames as a client sends them, cut into reads, and the expected messages.

    :ivar messages: the messages, all ``str`` or all ``bytes``.
    :ivar reads: the masked bytes, as they are read from the socket.
    :ivar ends: for each read, the number of messages that are complete after it.
    :ivar deflated: the deflated payloads with their tail, if the messages are deflated.
    """

    messages: Messages
    reads: Sequence[bytes]
    ends: Sequence[int]
    deflated: Sequence[bytes] = ()

    @property
    def size(self) -> int:
        """The total number of bytes in all messages."""
        return sum(len(as_bytes(message)) for message in self.messages)


def as_bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


# --- messages -------------------------------------------------------------------------------------------------


def ascii_messages(count: int, size: int) -> list[str]:
    return [text.decode() for text in _turned(ASCII.encode(), count, size)]


def mixed_messages(count: int, size: int) -> list[str]:
    """Return text with accents, CJK and emoji, up to 3 bytes shorter if a character would be cut."""
    return _texts(MIXED, count, size)


def script_messages(script: str, count: int, size: int) -> list[str]:
    """Return text in one of `SCRIPTS`, also up to 3 bytes shorter."""
    return _texts(SCRIPTS[script], count, size)


def _texts(pattern: str, count: int, size: int) -> list[str]:
    return [text.decode(errors="ignore") for text in _turned(pattern.encode(), count, size)]


def binary_messages(count: int, size: int) -> list[bytes]:
    return list(_turned(random.Random(1).randbytes(4 * KIB), count, size))


def json_messages(count: int, size: int) -> list[str]:
    """Return text that deflates like usual traffic, with names that repeat and values that do not."""
    dice = random.Random(2)
    messages = []
    for _ in range(count):
        records = ""
        while len(records) < size:
            number = dice.randrange(10**6)
            records += JSON % (number, number % 97, dice.randrange(100), ASCII[: dice.randrange(len(ASCII))])
        messages.append(records[:size])
    return messages


def _turned(pattern: bytes, count: int, size: int) -> Iterator[bytes]:
    """Yield messages that differ from each other, as each begins at another character of the pattern."""
    endless = pattern * (size // len(pattern) + 2)
    starts = [place for place, byte in enumerate(pattern) if byte & 0xC0 != 0x80]
    for index in range(count):
        start = starts[index % len(starts)]
        yield endless[start : start + size]


# --- frames ---------------------------------------------------------------------------------------------------


def mask(payload: bytes, key: bytes) -> bytes:
    """Mask a payload (5.3), with one XOR of two large numbers."""
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def frame(first: int, payload: bytes, key: bytes | None) -> bytes:
    """Return one frame (5.2). ``first`` is its first byte; if there is a ``key``, the payload is masked."""
    size = len(payload)
    masked = 0 if key is None else MASKED
    if size < 126:
        head = bytes((first, masked | size))
    elif size < 1 << 16:
        head = bytes((first, masked | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, masked | 127)) + size.to_bytes(8, "big")
    return head + payload if key is None else head + key + mask(payload, key)


def parse_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Parse frames, and yield the first byte and the unmasked payload of each."""
    place = 0
    while place < len(data):
        first, second = data[place], data[place + 1]
        place += 2
        size = second & 0x7F
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[place : place + width], "big")
            place += width
        key = b""
        if second & MASKED:
            key = data[place : place + 4]
            place += 4
        payload = data[place : place + size]
        place += size
        yield first, mask(payload, key) if key else payload


# --- streams --------------------------------------------------------------------------------------------------


def make_stream(
    messages: Messages, *, cut: int | None = READ, fragments: int = 1, deflate: Deflate | None = None
) -> Stream:
    """Return the frames of a client that sends these messages.

    :param cut: the number of bytes in a read; ``None`` for one frame in each.
    :param fragments: the number of frames of the same size into which each message is cut.
    :param deflate: how to deflate the messages, if at all.
    """
    dice = random.Random(3)
    payloads = [as_bytes(message) for message in messages]
    deflated = _deflate(payloads, deflate)
    opcode = TEXT if isinstance(messages[0], str) else BINARY
    frames = []
    final_frames = []
    for payload in deflated or payloads:
        first = opcode | (RSV1 if deflate else 0)
        for more, part in _parts(payload, fragments):
            frames.append(frame(first if more else first | FIN, part, dice.randbytes(4)))
            first = CONT
        final_frames.append(len(frames))
    reads = frames if cut is None else cut_up(b"".join(frames), cut)
    tailed = [payload + DEFLATE_TAIL for payload in deflated]
    return Stream(messages, reads, _message_ends(frames, final_frames, reads), tailed)


def cut_up(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _deflate(payloads: Sequence[bytes], deflate: Deflate | None) -> list[bytes]:
    if deflate is None:
        return []
    compressor = deflate.compressors()
    return [deflate_one(compressor(), payload) for payload in payloads]


def deflate_one(compressor: zlib._Compress, payload: bytes) -> bytes:
    """Return the payload of a deflated message (RFC 7692 7.2.1)."""
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(DEFLATE_TAIL)]


def _parts(payload: bytes, fragments: int) -> Iterator[tuple[bool, bytes]]:
    size = -(-len(payload) // fragments)
    for start in range(0, len(payload), size):
        yield start + size < len(payload), payload[start : start + size]


def _message_ends(frames: Sequence[bytes], final_frames: Sequence[int], reads: Sequence[bytes]) -> list[int]:
    offsets = [0, *accumulate(map(len, frames))]
    message_ends = [offsets[index] for index in final_frames]
    return [bisect_left(message_ends, read_end + 1) for read_end in accumulate(map(len, reads))]


# --- handshakes -----------------------------------------------------------------------------------------------

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # 1.3

# The request of a browser. It offers the extension, but none of the libraries is set up to accept it.
REQUEST = (
    b"GET /chat?room=lobby HTTP/1.1\r\n"
    b"Host: server.example.com:8765\r\n"
    b"Connection: Upgrade\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "
    b"Safari/537.36\r\n"
    b"Upgrade: websocket\r\n"
    b"Origin: http://server.example.com:8765\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"\r\n"
)
REQUEST_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # 1.3, for the key above

URI = "ws://server.example.com:8765/chat?room=lobby"


def accept_value(key: bytes) -> bytes:
    """4.2.2, step 5.4."""
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def answer_to(request: bytes) -> bytes:
    """Return the 101 that a server sends to this request."""
    match = re.search(rb"(?i)\r\nSec-WebSocket-Key: *([^\r]+)", request)
    assert match, request
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"Server: example\r\n"
        b"Sec-WebSocket-Accept: " + accept_value(match[1]) + b"\r\n"
        b"\r\n"
    )
