"""The first inputs of the fuzzers: the examples of the RFCs, the cases and the strategies of `rfc6455.testing`.

They are the same each time. Each has at most a kilobyte, like those of the committed corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import choices_for
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rfc6455 import CLIENT, SERVER, Role
from rfc6455.testing import SAMPLE_ACCEPT, SAMPLE_KEY, request_head, response_head
from rfc6455.testing import strategies as ws
from rfc6455.testing.cases import Case, Deflate, cases_for

MAX_SIZE = 1024

# 5.7, and RFC 7692 7.2.3: text and binary, whole and in fragments, with and without masks, deflated in each way.
EXAMPLES = [
    bytes.fromhex(text)
    for text in (
        "81 05 48 65 6c 6c 6f",
        "81 85 37 fa 21 3d 7f 9f 4d 51 58",
        "01 03 48 65 6c 80 02 6c 6f",
        "89 05 48 65 6c 6c 6f",
        "8a 85 37 fa 21 3d 7f 9f 4d 51 58",
        "82 7e 01 00" + "00" * 256,
        "c1 07 f2 48 cd c9 c9 07 00",
        "41 03 f2 48 cd 80 04 c9 c9 07 00",
        "c1 05 f2 00 11 00 00",
        "c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00",
        "c1 08 f3 48 cd c9 c9 07 00 00",
        "c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00",
        "c1 01 00",
    )
]

# RFC 7692 7.1.3, and 9.1.
EXTENSION_HEADERS = (
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
    'permessage-deflate; client_max_window_bits; server_max_window_bits="10"',
    "permessage-deflate; server_max_window_bits=10, permessage-deflate",
    "foo\nbar; baz=2",
    "foo, bar; baz=2",
    'bar; baz="2\\3"',
)


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Examples of a strategy, the same ones each time."""
    found: list[Any] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


def role_choice(role: Role) -> tuple[int, int]:
    return int(role is CLIENT), 2


def frame_streams(role: Role) -> Iterator[bytes]:
    """Yield what the peer of ``role`` may send, right and wrong."""
    yield from EXAMPLES
    for case in cases_for(role):
        if case.group != "handshake":
            yield b"".join(case.writes)
    for strategy in (ws.streams(role.peer, 60), ws.illegal_streams(role.peer, 60)):
        yield from (stream.data for stream in drawn(strategy, 150))


def frames() -> Iterator[bytes]:
    for role in Role:
        for stream in frame_streams(role):
            for bits in (0, 4):
                yield choices_for((int(role is CLIENT), 4), (bits, 8)) + stream
        yield from (choices_for((2, 4), (7, 8)) + stream for stream in EXAMPLES)


def connection() -> Iterator[bytes]:
    for role in Role:
        for stream in frame_streams(role):
            for deflate in (0, 2):
                yield choices_for(role_choice(role), (deflate, 4)) + stream
        for settings_ in SETTINGS:
            for records in RECORDS:
                yield choices_for(role_choice(role), *settings_) + records


# Choices after the role: deflate, parts, limits, before, echoes, ends, framed.
SETTINGS = [
    ((deflate, 4), (parts, 2), (limits, 4), (before, 4), (echoes, 2), (0, 2), (1, 2))
    for deflate in range(4)
    for parts, limits, before, echoes in ((0, 0, 0, 1), (1, 0, 1, 0), (0, 1, 2, 0), (0, 2, 3, 0), (1, 3, 0, 0))
]

# As `fuzz_connection.framed` reads them.
RECORDS = (
    b"\x81\x05Hello\x89\x01p\x82\x03\x00\xff\x01\x88\x02\x03\xe8",
    b"\x01\x03Hel\x89\x01p\x80\x02lo\x8a\x00\x88\x00",
    b"\xc1\x85Hello\xc2\x85Hello\x41\x83Hel\x00\x03xyz",
    b"\x81\x7f" + b"long " * 12 + b"xyz" + b"\xc1\xff" + b"long " * 12 + b"xyz",
    b"\x01\x02\xf0\x9f\x80\x02\x98\x80\x81\x02\xf0\x9f",
)


def head() -> Iterator[bytes]:
    yield from requests()
    yield from responses()


def requests() -> Iterator[bytes]:
    rfc = request_head().with_field("Origin", "http://server.example.com")
    heads = [bytes(rfc.with_field("Sec-WebSocket-Protocol", "chat, superchat"))]
    heads += [bytes(request_head().with_field("Sec-WebSocket-Extensions", text)) for text in EXTENSION_HEADERS[:4]]
    heads += [in_full(case, b"".join(case.head)) for case in cases_for(SERVER) if case.group == "handshake"]
    heads += [bytes(each) for each in drawn(ws.requests(["chat"]), 80)]
    heads += [bytes(illegal.head) for illegal in drawn(ws.illegal_requests(), 150)]
    for each in heads:
        for extensions, limits, origins, plain in ((0, 0, 0, 0), (1, 0, 2, 0), (2, 1, 1, 1)):
            picks = (0, 2), (0, 2), (extensions, 4), (limits, 2), (0, 2), (origins, 4), (0, 2), (plain, 2)
            yield choices_for(*picks) + each
        yield choices_for((0, 2)) + each + EXAMPLES[1]


def responses() -> Iterator[bytes]:
    good = response_head()
    heads = [bytes(good.with_field("Sec-WebSocket-Protocol", "chat"))]
    heads += [bytes(good.with_field("Sec-WebSocket-Extensions", text)) for text in EXTENSION_HEADERS[:4]]
    heads += [b"HTTP/1.1 100 Continue\r\n\r\n" + bytes(good), b"HTTP/1.1 404 x\r\nContent-Length: 3\r\n\r\nno!"]
    heads += [in_full(case, b"".join(case.head)) for case in cases_for(CLIENT) if case.group == "handshake"]
    heads += [bytes(each) for each in drawn(ws.responses(subprotocols=["chat"]), 80)]
    heads += [bytes(illegal.head) for illegal in drawn(ws.illegal_responses(), 100)]
    for each in heads:
        for extensions, limits, ends in ((0, 0, 0), (1, 0, 1), (2, 1, 0)):
            yield choices_for((1, 2), (0, 2), (extensions, 4), (limits, 2), (ends, 2)) + each
        yield choices_for((1, 2)) + each + EXAMPLES[0]


def in_full(case: Case, head: bytes) -> bytes:
    """Return a head of a case with its marks filled in."""
    deflate = b"" if case.deflate is Deflate.ABSENT else b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    marks = {b"{host}": b"a", b"{target}": b"/", b"{key}": SAMPLE_KEY.encode(), b"{deflate}": deflate}
    for mark, value in (marks | {b"{accept}": SAMPLE_ACCEPT.encode()}).items():
        head = head.replace(mark, value)
    return head


def extension_header() -> Iterator[bytes]:
    texts = [*EXTENSION_HEADERS, *drawn(ws.illegal_extension_headers(), 100)]
    texts += [header.value for header in drawn(ws.extension_headers(), 100)]
    texts += [*drawn(ws.deflate_offers(), 100), *drawn(ws.illegal_deflate_offers(), 100)]
    for text in texts:
        for picks in (((0, 2),), ((1, 2), (1, 2), (5, 8), (3, 8))):
            yield choices_for(*picks) + text.encode("latin-1")


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "frames": frames,
    "connection": connection,
    "head": head,
    "extension_header": extension_header,
}


def write(name: str, directory: Path) -> int:
    """Write the seeds of a harness, named by their hashes; return how many there are."""
    seeds = {seed for seed in SEEDS[name]() if len(seed) <= MAX_SIZE}
    directory.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (directory / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    return len(seeds)
