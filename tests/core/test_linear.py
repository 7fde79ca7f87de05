"""Linear time: twice the input is never more than 2.5 times the work, whatever the input.

Work is counted rather than timed, see `measuring.py`: the lines executed, and the bytes made by the package. Such
counts cannot see a pattern that backtracks inside `re`. In the tests for that, the input grows 16-fold, and the
processor time may grow 40-fold. With a quadratic pattern, it would grow 256-fold, so noise can neither hide nor
imitate that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from deflating import codec_of, compressing, deflated, finished
from helpers import BINARY, BOTH_ROLES, CLOSE, CONT, KEY, PING, TEXT, byte_by_byte, close_payload, to
from measuring import Step, check_linear, check_time, consume, work
from opening import REQUIRED, asked

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    ClientHandshake,
    Connection,
    Frame,
    HandshakeError,
    Limits,
    Opcode,
    PerMessageDeflate,
    Role,
    ServerHandshake,
    serialize_frame,
)

pytestmark = pytest.mark.measured

NO_LIMITS = Limits(message=None, head=1 << 30, line=1 << 30, headers=1 << 30, early_data=1 << 30)


def test_the_counts_see_what_is_quadratic() -> None:
    """The measure itself: a parser that is fed byte by byte and told of ever longer input is found out."""

    def steps(size: int) -> Iterator[Step]:
        # Each call is given all that has come so far, and makes it into bytes again.
        data = bytearray()
        for _ in range(size):
            data.append(0)
            so_far = bytearray(data)
            yield lambda given=so_far: rfc6455.apply_mask(given, KEY)

    once, twice = work(list(steps(2000))), work(list(steps(4000)))
    assert twice.volume > 3 * once.volume


# ---- Connections ----


def feeding(connection: Connection, portions: Iterable[bytes]) -> Iterator[Step]:
    for portion in portions:
        yield lambda given=portion: consume(connection, [given])


def large(role: Role, payload: bytes, opcode: Opcode = Opcode.BINARY, rsv: int = 0) -> bytes:
    return serialize_frame(Frame(opcode, payload, rsv=rsv), KEY if role is SERVER else None)


def in_tiny_reads(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(Connection(role), byte_by_byte(large(role, bytes(size))))


def text_in_tiny_reads(role: Role, size: int) -> Iterator[Step]:
    payload = "\N{PARTY POPPER}".encode() * (size // 4)
    yield from feeding(Connection(role), byte_by_byte(large(role, payload, Opcode.TEXT)))


def parts_in_tiny_reads(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(Connection(role, parts=True), byte_by_byte(large(role, bytes(size))))


def compressed_in_tiny_reads(role: Role, size: int) -> Iterator[Step]:
    payload = deflated(bytes(number * 167 % 256 for number in range(size)), level=0)
    yield from feeding(compressing(role), byte_by_byte(large(role, payload, rsv=4)))


def fragments_of(role: Role, opcode: int, size: int, payload: bytes) -> bytes:
    return (
        to(role, opcode, payload, fin=False)
        + to(role, CONT, payload, fin=False) * (size - 2)
        + to(role, CONT, payload)
    )


def one_byte_fragments(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(Connection(role), [fragments_of(role, BINARY, size, b"x")])


def one_byte_fragments_of_text(role: Role, size: int) -> Iterator[Step]:
    frames = [to(role, CONT, bytes([octet]), fin=False) for octet in "é".encode() * (size // 2)]
    yield from feeding(Connection(role), [to(role, TEXT, fin=False) + b"".join(frames) + to(role, CONT)])


def empty_fragments(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(Connection(role), [fragments_of(role, TEXT, size, b"")])


def fragments_each_in_a_read(role: Role, size: int) -> Iterator[Step]:
    portions = [to(role, BINARY, b"x", fin=False), *[to(role, CONT, b"x", fin=False)] * size, to(role, CONT)]
    yield from feeding(Connection(role), portions)


def fragments_and_pings(role: Role, size: int) -> Iterator[Step]:
    pair = to(role, CONT, b"x", fin=False) + to(role, PING, b"p")
    yield from feeding(
        Connection(role, limits=Limits(pongs=1000)), [to(role, BINARY, fin=False) + pair * size + to(role, CONT)]
    )


def many_messages(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(Connection(role), [to(role, TEXT, b"x") * size])


def many_pings(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(Connection(role, limits=Limits(pongs=1 << 30)), [to(role, PING, b"x") * size])


def many_compressed_messages(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(compressing(role), [to(role, TEXT, deflated(b"x"), rsv=4) * size])


def final_blocks(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(compressing(role), [large(role, finished(b"") * size, rsv=4)])


def final_blocks_with_takeover(role: Role, size: int) -> Iterator[Step]:
    yield from feeding(compressing(role, takeover=True), [large(role, finished(b"x") * size, rsv=4)])


def a_stored_message_in_one_read(role: Role, size: int) -> Iterator[Step]:
    """Which is inflated in portions, in several calls."""
    payload = deflated(bytes(size << 10), level=0)
    connection = compressing(role, limits=NO_LIMITS)
    yield from feeding(connection, [large(role, payload, rsv=4)])


def a_bomb_in_parts(role: Role, size: int) -> Iterator[Step]:
    connection = compressing(role, limits=NO_LIMITS, parts=True)
    yield from feeding(connection, [large(role, deflated(bytes(size << 14)), rsv=4)])


def dribbling_into_a_closing_connection(role: Role, size: int) -> Iterator[Step]:
    connection = Connection(role)
    connection.close()
    yield from feeding(connection, byte_by_byte(to(role, TEXT, b"x") * (size // 7)))


def input_after_the_end(role: Role, size: int) -> Iterator[Step]:
    connection = Connection(role)
    connection.receive_data(to(role, CLOSE, close_payload(1000)))
    yield from feeding(connection, [b"x"] * size)


def the_frame_parser(role: Role, size: int) -> Iterator[Step]:
    parser = rfc6455.FrameParser(role)
    for portion in byte_by_byte(large(role, bytes(size))):
        yield lambda given=portion: parser.receive_data(given)


def sending_fragments(role: Role, size: int) -> Iterator[Step]:
    connection = Connection(role)
    for _ in range(size):
        yield lambda: connection.send_bytes(b"x", fin=False)
    yield connection.data_to_send


def sending_fragments_that_are_compressed(role: Role, size: int) -> Iterator[Step]:
    connection = Connection(role, [codec_of(role)])
    for _ in range(size):
        yield lambda: connection.send_bytes(b"x", fin=False)
    yield connection.data_to_send


INPUTS: list[tuple[Callable[[Role, int], Iterator[Step]], int]] = [
    (in_tiny_reads, 120),
    (text_in_tiny_reads, 120),
    (parts_in_tiny_reads, 120),
    (compressed_in_tiny_reads, 120),
    (one_byte_fragments, 120),
    (one_byte_fragments_of_text, 120),
    (empty_fragments, 120),
    (fragments_each_in_a_read, 80),
    (fragments_and_pings, 80),
    (many_messages, 120),
    (many_pings, 120),
    (many_compressed_messages, 80),
    (final_blocks, 120),
    (final_blocks_with_takeover, 120),
    (a_stored_message_in_one_read, 80),
    (a_bomb_in_parts, 80),
    (dribbling_into_a_closing_connection, 120),
    (input_after_the_end, 80),
    (the_frame_parser, 120),
    (sending_fragments, 120),
    (sending_fragments_that_are_compressed, 80),
]


@BOTH_ROLES
@pytest.mark.parametrize(("steps", "size"), INPUTS, ids=[steps.__name__ for steps, _ in INPUTS])
def test_a_connection_is_linear(role: Role, steps: Callable[[Role, int], Iterator[Step]], size: int) -> None:
    check_linear(lambda n: steps(role, n), size)


@pytest.mark.parametrize("memory", [None, 1 << 21], ids=["as many as are allowed", "as many as fit"])
def test_pongs_that_give_way_are_linear(memory: int | None) -> None:
    """The oldest of many thousand, for each Ping. To move all others up in a list would be out of sight of counts."""

    def read(pings: str) -> None:
        limits = Limits(pongs=len(pings) // 2, memory=memory and memory * len(pings) >> 16)
        connection = Connection(CLIENT, limits=limits)
        connection.receive_data(to(CLIENT, PING) * len(pings))
        assert connection.retained_bytes >= (len(pings) // 5) << 6

    check_time(read, "p".__mul__)


# ---- Handshakes ----

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def reading(receive: Callable[[bytes], object], portions: Iterable[bytes]) -> Iterator[Step]:
    def step(portion: bytes) -> None:
        try:
            receive(portion)
        except HandshakeError:
            pass

    for portion in portions:
        yield lambda given=portion: step(given)


def request(data: bytes, read: int) -> Iterator[Step]:
    handshake = ServerHandshake(limits=NO_LIMITS)
    yield from reading(handshake.receive_data, (data[at : at + read] for at in range(0, len(data), read)))


def response(data: bytes, read: int) -> Iterator[Step]:
    handshake = ClientHandshake("ws://example.com/", limits=NO_LIMITS)
    yield from reading(handshake.receive_data, (data[at : at + read] for at in range(0, len(data), read)))


HEADS: dict[str, tuple[Callable[[int], Iterator[Step]], int]] = {
    "a long header": (lambda n: request(REQUEST + b"X: " + b"x" * n + b"\r\n\r\n", 4096), 5000),
    "a long header in tiny reads": (lambda n: request(REQUEST + b"X: " + b"x" * n + b"\r\n\r\n", 1), 120),
    "a header that never ends": (lambda n: request(REQUEST + b"X: " + b"x" * n, 16), 5000),
    "a long target": (lambda n: request(b"GET /" + b"x" * n + b" HTTP/1.1\r\n", 16), 5000),
    "a method that never ends": (lambda n: request(b"G" * n, 16), 5000),
    "many headers": (lambda n: request(REQUEST + b"X: x\r\n" * n + b"\r\n", 1 << 20), 120),
    "many headers in small reads": (lambda n: request(REQUEST + b"X: x\r\n" * n + b"\r\n", 64), 120),
    "many headers of different names": (
        lambda n: request(REQUEST + b"".join(b"X-%d: x\r\n" % at for at in range(n)) + b"\r\n", 1 << 20),
        120,
    ),
    "many headers in tiny reads": (lambda n: request(REQUEST + b"X: x\r\n" * n + b"\r\n", 1), 100),
    "many headers that are odd": (lambda n: request(REQUEST + b"X:\t \tx \t\r\n" * n + b"\r\n", 64), 120),
    "many bytes after the head": (lambda n: request(REQUEST + b"\r\n" + b"x" * n, 64), 5000),
    "a long response": (lambda n: response(b"HTTP/1.1 101 x\r\nX: " + b"x" * n + b"\r\n\r\n", 4096), 5000),
    "a response with many headers": (lambda n: response(b"HTTP/1.1 101 x\r\n" + b"X: x\r\n" * n + b"\r\n", 64), 120),
    "many responses before the last": (lambda n: response(b"HTTP/1.1 100 \r\n\r\n" * n, 1 << 20), 100),
    "many responses in small reads": (lambda n: response(b"HTTP/1.1 100 \r\n\r\n" * n, 20), 100),
    "a long reason": (lambda n: response(b"HTTP/1.1 404 " + b"x" * n, 16), 5000),
    "a body in tiny reads": (lambda n: response(b"HTTP/1.1 404 x\r\n\r\n" + b"x" * n, 4), 2000),
}


@pytest.mark.parametrize(("steps", "size"), HEADS.values(), ids=list(HEADS))
def test_a_head_is_linear(steps: Callable[[int], Iterator[Step]], size: int) -> None:
    check_linear(steps, size)


# ---- Lists in headers, which patterns read ----

LIST_HEADERS = [
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
    "Connection",
    "Upgrade",
    "Origin",
    "Host",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
]

NASTY = {
    "spaces": " ",
    "tabs": "\t",
    "commas": ",",
    "commas and spaces": ", ",
    "semicolons": ";",
    "quotes": '"',
    "backslashes": "\\",
    "quoted backslashes": '\\"',
    "tokens": "a",
    "tokens and commas": "a,",
    "tokens and spaces": "a ",
    "extensions": "permessage-deflate, ",
    "parameters": "; a=b",
    "parameters without names": "; =",
    "quoted values": '; a="b"',
    "equals signs": "=",
    "colons": ":",
    "slashes": "/",
    "digits": "0",
    "percent signs": "%",
    "brackets": "[",
}

BEGINNINGS = ["", "a", 'a; b="', 'a; b="\\', "permessage-deflate; client_max_window_bits=", "http://", "["]


def server_reads(name: str, value: str) -> None:
    fields = [(key, old) for key, old in REQUIRED.items() if key != name]
    try:
        asked("GET", "/", [*fields, (name, value)], extensions=[PerMessageDeflate()]).accept()
    except HandshakeError:
        pass


def client_reads(name: str, value: str) -> None:
    handshake = ClientHandshake("ws://example.com/", subprotocols=["a"], extensions=[PerMessageDeflate()])
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", rfc6455.accept_key(handshake.request.headers["Sec-WebSocket-Key"])),
    ]
    try:
        handshake.receive_response(101, [*((key, old) for key, old in fields if key != name), (name, value)])
    except HandshakeError:
        pass


@pytest.mark.parametrize("name", LIST_HEADERS)
@pytest.mark.parametrize("unit", NASTY.values(), ids=list(NASTY))
def test_a_list_in_a_header_is_linear(name: str, unit: str) -> None:
    """64 kB of what has made patterns backtrack elsewhere, after each of several beginnings."""
    for reads in (server_reads, client_reads):
        for beginning in BEGINNINGS:
            for end in ("", "\x01"):
                check_time(
                    lambda value, reads=reads: reads(name, value),  # type: ignore[misc]
                    lambda size, beginning=beginning, end=end: beginning + unit * (size // len(unit)) + end,  # type: ignore[misc]
                )


URI_BEGINNINGS = [
    "",
    "ws:",
    "ws://",
    "ws://example.com",
    "ws://example.com:",
    "ws://example.com/",
    "ws://example.com/?",
]


@pytest.mark.parametrize("beginning", URI_BEGINNINGS)
@pytest.mark.parametrize("unit", ["/", "?", "a", "%", "%4", ":", "@", ".", "[", "]", "1", "#", "[:", "a.", "-"])
def test_a_uri_is_linear(beginning: str, unit: str) -> None:
    def parse(uri: str) -> None:
        try:
            rfc6455.parse_uri(uri)
        except rfc6455.LocalProtocolError:
            pass

    for end in ("", "\x01", "%"):
        check_time(parse, lambda size, end=end: beginning + unit * (size // len(unit)) + end)  # type: ignore[misc]
