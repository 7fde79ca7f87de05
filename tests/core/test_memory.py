"""Bounded memory: what a peer can make a connection keep, by tracemalloc and by the resident memory of a process.

`retained_bytes` must match what is kept, no bomb may take more than the limit and 1 MiB, and no honest message may be
refused for the way in which it is fragmented.
"""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deflating import MIB, TAIL, both_takeovers, codec_of, compressing, deflated
from helpers import BINARY, BOTH_ROLES, CONT, KEY, PING, TEXT, cut_at, feed, to
from measuring import Memory, consume
from opening import client, request, response

import rfc6455
from rfc6455 import (
    SERVER,
    BytesMessage,
    CloseCode,
    Closed,
    Connection,
    Frame,
    Limits,
    Opcode,
    Role,
    TextMessage,
    serialize_frame,
)

pytestmark = pytest.mark.measured

BOTH_TAKEOVERS = pytest.mark.parametrize("takeover", [False, True], ids=["anew", "takeover"])

READ = 64 << 10


def large(role: Role, opcode: Opcode, payload: bytes, fin: bool = True, rsv: int = 0) -> bytes:
    """As `helpers.to`, for payloads that are too long to be masked byte by byte."""
    return serialize_frame(Frame(opcode, payload, fin, rsv), KEY if role is SERVER else None)


def reads(data: bytes, size: int = READ) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


# ---- Bombs ----


@functools.cache
def zeros(size: int) -> bytes:
    """That many zeros, compressed, without having them all at once."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    encoded = b"".join(deflater.compress(bytes(min(READ, size - at))) for at in range(0, size, READ))
    encoded += deflater.flush(zlib.Z_SYNC_FLUSH)
    return encoded.removesuffix(TAIL)


def in_one_frame(role: Role, size: int) -> bytes:
    return large(role, Opcode.BINARY, zeros(size), rsv=4)


def in_a_thousand_fragments(role: Role, size: int) -> bytes:
    payload = zeros(size)
    edges = [len(payload) * at // 1000 for at in range(1001)]
    return b"".join(
        to(role, CONT if at else BINARY, payload[edges[at] : edges[at + 1]], fin=at == 999, rsv=0 if at else 4)
        for at in range(1000)
    )


def in_a_thousand_messages(role: Role, size: int) -> bytes:
    return large(role, Opcode.BINARY, zeros(size // 1000), rsv=4) * 1000


def in_messages_at_the_limit(role: Role, size: int) -> bytes:
    return large(role, Opcode.BINARY, zeros(MIB), rsv=4) * (size // MIB)


def in_texts_at_the_limit(role: Role, size: int) -> bytes:
    return large(role, Opcode.TEXT, zeros(MIB), rsv=4) * (size // MIB)


def in_messages_over_half_the_limit_and_at_it(role: Role, size: int) -> bytes:
    pair = large(role, Opcode.BINARY, zeros(511 << 10), rsv=4) + large(role, Opcode.BINARY, zeros(MIB), rsv=4)
    return pair * (size // (MIB + (511 << 10)))


# Each with the number of messages in 64 MiB of it that are within the limit of 1 MiB; with none the connection ends.
BOMBS: list[tuple[Callable[[Role, int], bytes], int]] = [
    (in_one_frame, 0),
    (in_a_thousand_fragments, 0),
    (in_a_thousand_messages, 1000),
    (in_messages_at_the_limit, 64),
    (in_texts_at_the_limit, 64),
    (in_messages_over_half_the_limit_and_at_it, 84),
]
EVERY_BOMB = pytest.mark.parametrize(("bomb", "messages"), BOMBS, ids=[bomb.__name__ for bomb, _ in BOMBS])


@BOTH_ROLES
@EVERY_BOMB
@pytest.mark.parametrize(("takeover", "read"), [(False, READ), (True, 1000)], ids=["anew", "takeover"])
def test_64_mib_of_zeros_against_a_limit_of_1_mib(
    role: Role, bomb: Callable[[Role, int], bytes], messages: int, takeover: bool, read: int
) -> None:
    portions = reads(bomb(role, 64 * MIB), read)
    connection = compressing(role, takeover=takeover, limits=Limits(message=MIB))
    with Memory() as memory:
        count = consume(connection, portions)
        peak, kept = memory.peak, memory.kept
    assert connection.closed == (messages == 0)
    assert count == (messages or 1)
    # A message that is as large as the limit is there twice for a moment, when it is joined or decoded.
    assert peak <= (2 * MIB if messages in (0, 1000) else 3 * MIB)
    assert kept <= connection.retained_bytes + 8000


@BOTH_ROLES
@EVERY_BOMB
def test_one_call_gives_a_bounded_part_of_a_bomb(
    role: Role, bomb: Callable[[Role, int], bytes], messages: int
) -> None:
    """At most half a MiB and one message; the rest is `unread`, and nothing is lost."""
    data = bomb(role, 64 * MIB)
    connection = compressing(role, limits=Limits(message=MIB))
    count = 0
    portion: bytes | None = data
    while portion is not None or connection.unread:
        events = connection.receive_data(portion)
        portion = None
        assert sum(len(content(event)) for event in events) <= MIB + MIB // 2
        count += len(events)
    assert count == (messages or 1)


def content(event: rfc6455.Event) -> bytes | str:
    if isinstance(event, BytesMessage):
        return event.data
    return event.text if isinstance(event, TextMessage) else b""


# Imports nothing but the package: what else a process has freed before, it could use again without growing.
# Linux gives a new process the ru_maxrss of its parent, so there the mark is read from /proc.
RESIDENT = """
import os, resource, sys
from rfc6455 import Connection, Limits, PerMessageDeflate, Role

def consume(connection, data):
    connection.receive_data(data)
    while connection.unread:
        connection.receive_data(None)

def codec():
    extension = PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)
    return extension.accept_offer([]) if role is Role.SERVER else extension.accept_answer([])

def high_water_mark():
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as lines:
            return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

role, limit = Role(sys.argv[1]), int(sys.argv[2])
bombs = [open(name, "rb").read() for name in sys.argv[3:]]
before = high_water_mark()
for data in bombs:
    consume(Connection(role, [codec()], limits=Limits(message=limit)), data)
print(high_water_mark() - before)
"""


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the high water mark is known on Linux and macOS")
@BOTH_ROLES
def test_resident_memory_of_bombs(role: Role, tmp_path: Path) -> None:
    """In one frame, in a thousand fragments, in a thousand messages: it grows by the limit and 1 MiB at most."""
    files = []
    for bomb, _ in BOMBS[:3]:
        files.append(tmp_path / bomb.__name__)
        files[-1].write_bytes(bomb(role, 64 * MIB))
    # Python takes memory from the system in arenas of 256 KiB (1 MiB from 3.13 on, most of it untouched).
    assert resident_growth(role, MIB, files) <= 2 * MIB + (256 << 10)
    # The measure sees what it should: with a larger limit there is more.
    assert resident_growth(role, 32 * MIB, files) >= 16 * MIB


def resident_growth(role: Role, limit: int, files: list[Path]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT, role.value, str(limit), *map(str, files)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


# ---- Fragments that never end ----


@BOTH_ROLES
@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
@pytest.mark.parametrize(("opcode", "size"), [(TEXT, 1), (BINARY, 1), (BINARY, 0)])
def test_a_million_fragments_that_never_end(role: Role, count: int, size: int, opcode: int) -> None:
    limits = Limits(message=count)
    assert limits.budget is not None
    connection = Connection(role, limits=limits)
    first = to(role, opcode, b"a" * size, fin=False)
    batch = to(role, CONT, b"a" * size, fin=False) * 1000
    with Memory() as memory:
        consume(connection, [first])
        consume(connection, (batch for _ in range(count // 1000 - 1)))
        # Each empty one is charged as an object, so that these come to an end.
        assert connection.closed is (size == 0)
        assert memory.kept <= connection.retained_bytes + 4096
        assert connection.retained_bytes <= limits.budget
        # No more than the bytes of the message, an eighth for growing, and a read.
        assert memory.peak <= count * size * 9 // 8 + 40_000
    if size:
        consume(connection, [batch] * 2)
        assert connection.closed


@BOTH_ROLES
def test_messages_without_a_limit_are_bounded_by_the_budget(role: Role) -> None:
    connection = Connection(role, limits=Limits(message=None, memory=100_000))
    events = feed(connection, [to(role, BINARY, bytes(1000), fin=False)])
    while not events:
        assert connection.retained_bytes <= 100_000
        events = feed(connection, [to(role, CONT, bytes(1000), fin=False)])
    (closed,) = events
    assert isinstance(closed, Closed)
    assert closed.code == CloseCode.MESSAGE_TOO_BIG
    assert connection.retained_bytes == 0


@BOTH_ROLES
def test_input_that_a_caller_leaves_unread_is_bounded_by_the_budget(role: Role) -> None:
    """A caller that never asks for what is left fails the connection and does not fill the memory."""
    bomb = in_messages_at_the_limit(role, 64 * MIB)
    connection = compressing(role, limits=Limits(message=MIB))
    budget = Limits(message=MIB).budget
    assert budget is not None
    with Memory() as memory:
        while not connection.closed:
            connection.receive_data(bomb)
            assert connection.retained_bytes <= budget
        # New input is joined with what is unread, which is there twice for that moment.
        assert memory.peak <= 2 * budget + 3 * MIB


# ---- retained_bytes tells what is kept ----


class Situation:
    """A way to make a connection keep something; `feed` is called while memory is measured.

    :param charged: the number of bytes that count in addition to the memory that is really taken.
    """

    def __init__(self, feed: Callable[[Connection, Role], object], charged: int = 0, **options: Any) -> None:
        self.feed = feed
        self.charged = charged
        self.options = options


def one_byte_reads(data: Callable[[Role], bytes]) -> Callable[[Connection, Role], object]:
    return lambda connection, role: consume(connection, (bytes([octet]) for octet in data(role)))


def whole(data: Callable[[Role], bytes]) -> Callable[[Connection, Role], object]:
    return lambda connection, role: consume(connection, [data(role)])


def taken_over(connection: Connection, role: Role) -> None:
    noise = random.Random(1).randbytes(40_000)
    connection.send_bytes(noise, compress=True)
    connection.data_to_send()
    consume(connection, [large(role, Opcode.BINARY, deflated(noise), rsv=4)])


def unread(connection: Connection, role: Role) -> None:
    connection.receive_data(in_messages_at_the_limit(role, 64 * MIB))
    assert connection.unread > 10_000


def pings(connection: Connection, role: Role) -> None:
    connection.receive_data(to(role, PING, b"p" * 125) * 1000)


SITUATIONS: dict[str, Situation] = {
    "nothing": Situation(lambda connection, role: None),
    "a message that was given": Situation(whole(lambda role: large(role, Opcode.BINARY, bytes(900_000)))),
    "a text that was given": Situation(whole(lambda role: large(role, Opcode.TEXT, bytes(900_000)))),
    "a message in reads that was given": Situation(
        lambda connection, role: consume(connection, reads(large(role, Opcode.BINARY, bytes(900_000))))
    ),
    "a message in parts that was given": Situation(
        whole(lambda role: large(role, Opcode.BINARY, bytes(900_000))), parts=True
    ),
    "half a message": Situation(whole(lambda role: large(role, Opcode.BINARY, bytes(900_000))[:500_000])),
    "half a message in parts": Situation(
        whole(lambda role: large(role, Opcode.BINARY, bytes(900_000))[:500_000]), parts=True
    ),
    "half a message in one-byte reads": Situation(
        one_byte_reads(lambda role: large(role, Opcode.BINARY, bytes(20_000))[:10_000])
    ),
    "half a text in one-byte fragments": Situation(
        whole(lambda role: to(role, TEXT, b"a", fin=False) + to(role, CONT, b"a", fin=False) * 10_000)
    ),
    "empty fragments": Situation(
        whole(lambda role: to(role, TEXT, fin=False) + to(role, CONT, fin=False) * 10_000), charged=10_001 * 64
    ),
    "half a header": Situation(whole(lambda role: large(role, Opcode.BINARY, bytes(70_000))[:9])),
    "half a ping after a message": Situation(
        whole(lambda role: large(role, Opcode.BINARY, bytes(900_000)) + to(role, PING, bytes(125))[:-1])
    ),
    "pings": Situation(pings),
    "a thousand pings, each to be answered": Situation(pings, limits=Limits(pongs=1000)),
    "windows of both directions": Situation(taken_over, codec="takeover"),
    "no windows": Situation(taken_over, codec="anew"),
    "a compressed message that was given": Situation(
        whole(lambda role: large(role, Opcode.BINARY, zeros(900_000), rsv=4)), codec="anew"
    ),
    "half a compressed message": Situation(
        whole(lambda role: large(role, Opcode.BINARY, deflated(random.Random(1).randbytes(600_000)), rsv=4)[:-10]),
        codec="anew",
    ),
    "half a compressed message in two frames": Situation(
        whole(lambda role: large(role, Opcode.BINARY, deflated(random.Random(1).randbytes(600_000)), False, 4)),
        codec="takeover",
    ),
    "unread input": Situation(unread, codec="anew"),
    "a violation after half a message": Situation(
        whole(lambda role: large(role, Opcode.BINARY, bytes(900_000), False) + b"\xff\xff"), codec="takeover"
    ),
    "a violation with windows": Situation(
        lambda connection, role: (taken_over(connection, role), connection.receive_data(b"\xff\xff")), codec="takeover"
    ),
    "a violation with half a compressed message": Situation(
        whole(lambda role: large(role, Opcode.BINARY, deflated(bytes(600_000)), False, 4) + b"\xff\xff"), codec="anew"
    ),
}


def connection_for(role: Role, options: dict[str, Any]) -> Connection:
    options = dict(options)
    codec = options.pop("codec", None)
    extensions = [codec_of(role, **both_takeovers(codec == "takeover"))] if codec else []
    return Connection(role, extensions, **options)


# What a connection takes that no peer can make larger: its objects, a pool of masking keys, a Close frame to be sent.
FIXED = 3000


@BOTH_ROLES
@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=list(SITUATIONS))
def test_what_is_kept_is_told(role: Role, situation: Situation) -> None:
    # Once without measuring, so that what Python makes on first use is there.
    situation.feed(connection_for(role, situation.options), role)
    connection = connection_for(role, situation.options)
    with Memory() as memory:
        situation.feed(connection, role)
        kept, told = memory.kept, connection.retained_bytes
    assert kept <= told + FIXED
    # It may tell more than there is, as zlib's estimates do, but not much; and it charges for what is empty.
    assert told <= kept + (80 << 10) + situation.charged


@BOTH_ROLES
@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=list(SITUATIONS))
def test_after_the_end_nothing_is_kept(role: Role, situation: Situation) -> None:
    with Memory() as memory:
        connection = connection_for(role, situation.options)
        situation.feed(connection, role)
        connection.receive_data(b"")
        while connection.unread:
            connection.receive_data(None)
        connection.data_to_send()
        assert connection.closed
        assert connection.retained_bytes == 0
        assert memory.kept <= 8000


@pytest.mark.parametrize(
    ("codec", "most"),
    [(None, 8_000), ("anew", 8_000), ("takeover", 330_000)],
)
@BOTH_ROLES
def test_the_memory_of_a_connection_that_is_idle(role: Role, codec: str | None, most: int) -> None:
    """Of which a server may have thousands, after each has received and sent 40,000 bytes."""
    connections = [connection_for(role, {"codec": codec}) for _ in range(20)]
    taken_over(connections[0], role) if codec else None
    with Memory() as memory:
        idle = [connection_for(role, {"codec": codec}) for _ in range(20)]
        for connection in idle:
            if codec:
                taken_over(connection, role)
            else:
                connection.send_bytes(bytes(40_000))
                connection.data_to_send()
                consume(connection, [large(role, Opcode.BINARY, bytes(40_000))])
        assert memory.kept / len(idle) <= most


# ---- Honest messages ----

NOISE = random.Random(7).randbytes(MIB)


def honest_cuts(role: Role, payload: bytes, rsv: int) -> Iterator[Iterable[bytes]]:
    """One message in each way that it may be cut into frames and reads."""
    size = len(payload)
    one = large(role, Opcode.BINARY, payload, rsv=rsv)
    yield [one]
    yield reads(one)
    yield cut_at(one, [1, 5, size // 2, size - 1])
    for piece in (1 if size <= 1000 else 1000, 30_000, size * 9 // 10 + 1):
        edges = list(range(0, max(size, 1), piece))
        frames = [
            large(
                role,
                Opcode.CONT if at else Opcode.BINARY,
                payload[at : at + piece],
                at == edges[-1],
                0 if at else rsv,
            )
            for at in edges
        ]
        # An empty fragment at the end is honest too.
        yield frames
        yield [b"".join(frames)]
        yield reads(b"".join(frames), 1460)


@BOTH_ROLES
@pytest.mark.parametrize("limit", [1, 2, 1000, READ, MIB, 16 * MIB])
def test_no_honest_message_is_refused(role: Role, limit: int) -> None:
    """A message as large as the limit is taken, however it was cut, within the budget that follows from the limit."""
    payload = (NOISE * 16)[:limit]
    for portions in honest_cuts(role, payload, 0):
        connection = Connection(role, limits=Limits(message=limit))
        assert feed(connection, list(portions)) == [BytesMessage(payload)]


@BOTH_ROLES
@BOTH_TAKEOVERS
@pytest.mark.parametrize("limit", [1, 1000, READ, MIB, 5 * MIB])
def test_no_honest_compressed_message_is_refused(role: Role, takeover: bool, limit: int) -> None:
    """Nor with the largest state that zlib can have in both directions."""
    payload = (NOISE * 5)[:limit]
    encoded = deflated(payload, level=1)
    for portions in honest_cuts(role, encoded, 4):
        codec = codec_of(role, mem_level=9, **both_takeovers(takeover))
        connection = Connection(role, [codec], limits=Limits(message=limit))
        connection.send_bytes(NOISE[:1000], compress=True)
        assert feed(connection, list(portions)) == [BytesMessage(payload)]


@BOTH_ROLES
def test_a_ping_fits_into_a_message_that_is_nearly_full(role: Role) -> None:
    connection = Connection(role, limits=Limits(message=1000))
    feed(connection, [to(role, BINARY, bytes(999), fin=False)])
    assert feed(connection, [to(role, PING, bytes(125))]) == [rfc6455.Ping(bytes(125))]
    assert feed(connection, [to(role, CONT, b"!")]) == [BytesMessage(bytes(999) + b"!")]


# ---- Handshakes ----

EARLY = large(SERVER, Opcode.BINARY, bytes(15_000))
LATE = large(rfc6455.CLIENT, Opcode.BINARY, bytes(250_000))

# Half as long as a line may be, and a list with as many parameters as there may be names.
MANY_PARAMETERS = ("Sec-WebSocket-Extensions", "x" + ";y" * 126 + ";z=" + "1" * 8000)


def accepted_with_early_data() -> list[Any]:
    handshake = rfc6455.ServerHandshake()
    handshake.receive_data(request(MANY_PARAMETERS) + EARLY)
    ws = handshake.accept()
    ws.data_to_send()
    assert ws.receive_data(None) == [BytesMessage(bytes(15_000))]
    return [handshake, ws]


def opened_with_frames() -> list[Any]:
    handshake = client()
    handshake.data_to_send()
    ws = handshake.receive_data(response() + LATE)
    assert ws is not None
    assert ws.receive_data(None) == [BytesMessage(bytes(250_000))]
    return [handshake, ws]


def opened_after_many_interim_responses() -> list[Any]:
    handshake = client()
    ws = handshake.receive_data(b"HTTP/1.1 103 x\r\nLink: y\r\n\r\n" * 500 + response())
    return [handshake, ws]


def refused_at_the_server() -> list[Any]:
    handshake = rfc6455.ServerHandshake()
    handshake.receive_data(request(MANY_PARAMETERS) + EARLY)
    handshake.reject(403)
    handshake.data_to_send()
    return [handshake]


def refused_at_the_client() -> list[Any]:
    """The body is kept once, for the caller, and nothing of what came after it."""
    handshake = client(limits=Limits(body=1000))
    with pytest.raises(rfc6455.HandshakeError):
        handshake.receive_data(b"HTTP/1.1 404 x\r\nContent-Length: 1000\r\n\r\n" + bytes(250_000))
    return [handshake]


@pytest.mark.parametrize(
    "perform",
    [
        accepted_with_early_data,
        opened_with_frames,
        opened_after_many_interim_responses,
        refused_at_the_server,
        refused_at_the_client,
    ],
)
def test_a_handshake_that_is_over_keeps_its_heads_only(perform: Callable[[], list[Any]]) -> None:
    """However long its owner keeps it, as an `Endpoint` does for as long as the connection lasts."""
    perform()
    with Memory() as memory:
        both = perform()
        # The request with the one long line of it, and a connection.
        assert memory.kept <= 2 * len(request(MANY_PARAMETERS)) + FIXED + 4000
    assert both


# ---- The parser alone ----


@BOTH_ROLES
def test_the_frame_parser_keeps_what_is_not_yet_a_frame_and_no_more(role: Role) -> None:
    parser = rfc6455.FrameParser(role, limits=Limits(frame=20_000))
    frame = large(role, Opcode.BINARY, bytes(20_000))
    with Memory() as memory:
        for octet in frame[:10_000]:
            parser.receive_data(bytes([octet]))
        # Room may be made for what is announced, as much as has come.
        assert memory.kept <= 2 * 10_000 + FIXED
        assert len(parser.receive_data(frame[10_000:])) == 1
        assert memory.kept <= FIXED


@BOTH_ROLES
def test_the_frame_parser_keeps_nothing_after_an_error(role: Role) -> None:
    parser = rfc6455.FrameParser(role, limits=Limits(frame=100_000))
    with Memory() as memory:
        parser.receive_data(large(role, Opcode.BINARY, bytes(100_000))[:-10])
        for data in (bytes(10) + b"\xff" * 100_000, bytes(100_000)):
            with pytest.raises(rfc6455.RemoteProtocolError):
                parser.receive_data(data)
        del data
        assert memory.kept <= 8000
