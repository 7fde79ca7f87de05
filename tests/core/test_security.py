"""Vulnerabilities of other libraries, row by row, and tests that this library does not have them.

`ROWS` is the table: the library, the mechanism, and what must be true here. The tests of a row are named after it, and
the last test of this file checks that each row has some. If a row requires measurements at full size, only the small
tests are here, and the others in `test_memory.py`, `test_deflate.py` and `test_linear.py`.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest
from deflating import MIB, both_takeovers, codec_of, compressing, deflated
from helpers import (
    BINARY,
    BOTH_ROLES,
    CLOSE,
    CONT,
    KEY,
    PING,
    PONG,
    TEXT,
    byte_by_byte,
    check_failed,
    close_payload,
    feed,
    keys_of,
    outcome,
    read_frames,
    share,
    to,
)
from hypothesis import example, given
from hypothesis import strategies as st
from measuring import Memory, Step, check_linear, check_time, consume
from opening import REQUIRED, asked, error_of

import rfc6455
from rfc6455 import (
    ANY_ORIGIN,
    CLIENT,
    SERVER,
    BytesMessage,
    ClientHandshake,
    CloseCode,
    Closed,
    Connection,
    FrameParser,
    HandshakeError,
    Limits,
    LocalProtocolError,
    PerMessageDeflate,
    Ping,
    RemoteProtocolError,
    Response,
    Role,
    ServerHandshake,
    TextMessage,
)
from rfc6455.limits import OBJECT_OVERHEAD


class Row(NamedTuple):
    """One row of the table."""

    where: str
    mechanism: str
    ours: str


ROWS = {
    "bombs": Row(
        "CVE-2018-1000518 websockets; CVE-2026-1526 undici (client side); many more in 2026",
        "size limit not applied to inflated data",
        "bombs of ratio 1000:1, in one frame and in many, both roles: peak memory at most the limit + a constant",
    ),
    "inflated_size": Row(
        "GHSA-hxp9-w8x3-p566 autobahn",
        "limit counted compressed bytes",
        "a limit below the inflated and above the wire size holds",
    ),
    "budget_of_zero": Row(
        "-",
        'a remaining budget of 0 handed to zlib as max_length=0 means "no limit"; second fragment inflates unbounded',
        "first fragment exactly at the limit, the second a bomb",
    ),
    "overshoot": Row(
        "websockets #1715, autobahn #1908",
        "a message 1-2 bytes over the limit is cut instead of refused (unconsumed_tail not drained)",
        "every overshoot from 0 to 300 bytes; the next message still decodes, or the connection has failed",
    ),
    "rsv1_without_the_extension": Row(
        "CVE-2026-59881 aiohttp",
        "client inflated RSV1 frames though compression was never negotiated",
        "RSV1 without the extension: 1002, zlib never touched, both roles",
    ),
    "rsv1_on_continuation": Row(
        "websockets #1720",
        "RSV1 accepted on continuation frames",
        "table: opcode x RSV x position in message",
    ),
    "window_bits": Row(
        "CVE-2026-2229 undici",
        "server_max_window_bits out of 8-15 kills the process",
        "every parameter fuzzed: words, signs, 0, 7, 16, 1e9, quoted, empty, twice, Unicode digits",
    ),
    "any_bytes_in_headers": Row(
        "-",
        "a non-number in client_max_window_bits, a byte over 0x7F in any handshake header, raise bare ValueError / "
        "UnicodeDecodeError",
        "any bytes in any header: our own error or an event, nothing else",
    ),
    "incomplete_frame": Row(
        "CVE-2026-54274 aiohttp",
        "an incomplete frame grew the buffer before the size check",
        "declare 2x limit: fails at the header; declare the limit and send half: kept bytes at most the limit",
    ),
    "tiny_reads": Row(
        "aiohttp #13350",
        "a legal frame dribbled in tiny reads pins 28x its size in bytes objects",
        "one-byte reads: kept memory at most 2x the payload",
    ),
    "tiny_fragments": Row(
        "CVE-2026-48779 ws",
        "millions of tiny fragments; the objects were not counted",
        "a million fragments of one byte, and of none, never final: bounded",
    ),
    "honest_users": Row(
        "ws #2331, #2335",
        "... and then a fragment count that refused honest users",
        "the budget is in bytes with a charge for each object; no honest message is refused",
    ),
    "ping_in_a_full_message": Row(
        "websockets 17.4",
        "the message limit also hit control frames inside a nearly full message",
        "a ping fits always",
    ),
    "measured_again": Row(
        "CVE-2026-65623 Bandit",
        "the whole buffer measured again for each continuation",
        "time(2n)/time(n) < 2.5 for fragments, reads, headers",
    ),
    "long_lengths": Row(
        "CVE-2020-27813 gorilla; CVE-2026-1528 undici; CVE-2020-13935 Tomcat",
        "64-bit lengths overflow, or loop for ever",
        "2^63-1, 2^63, 2^64-1, sums over 2^63; no call returns without progress",
    ),
    "input_after_an_error": Row(
        "aiohttp #13655",
        "input kept after an error",
        "after a failure input is dropped",
    ),
    "long_head": Row(
        "CVE-2023-43669 tungstenite",
        "a long head parsed again from its start at each read",
        "20 MB of header in 4 kB reads: refused by size, linear time",
    ),
    "many_headers": Row(
        "CVE-2024-37890 ws",
        "too many headers, then a missing one dereferenced",
        "3000 headers; each required header left out",
    ),
    "backtracking": Row(
        "CVE-2021-32640 ws; CVE-2020-7662, -7663",
        "patterns that backtrack on Sec-WebSocket-Protocol, on an unclosed quoted string",
        "64 kB of spaces, commas, quotes, backslashes in each list header: linear",
    ),
    "odd_names": Row(
        "ws 3.3.1",
        "an extension named constructor",
        "__class__, __proto__, names twice",
    ),
    "line_breaks": Row(
        "CVE-2026-1527 undici",
        "CRLF through an option becomes a header",
        "CR, LF, NUL in path, host, header, subprotocol: refused when built",
    ),
    "origin_matching": Row(
        "autobahn #691",
        "origin matching by prefix or suffix",
        "evil-example.com, example.com.evil, port, case, null",
    ),
    "origin_by_default": Row(
        "kemal #766 and others",
        "no Origin check by default: any page can use a local socket",
        "cross-site gets 403 by default",
    ),
    "two_hosts": Row(
        "CVE-2026-34525 aiohttp",
        "two Host headers",
        "400",
    ),
    "smuggling": Row(
        "proxy smuggling",
        "101 given though a check failed; connection kept after an error answer",
        "never a 101 unless every check passed; error answers close",
    ),
    "masks": Row(
        "-",
        "masks from an unseeded or non-cryptographic generator",
        "default os.urandom; masks differ between processes",
    ),
    "many_pings": Row(
        "-",
        "10,000 pings make 10,000 queued pongs",
        "only the latest unanswered ping is answered (5.5.3), and it counts in the budget",
    ),
}


# What a connection takes that no peer can make larger.
FIXED = 4000


def closed_of(events: list[Any]) -> Closed:
    (closed,) = events
    assert isinstance(closed, Closed)
    return closed


# ---- Compression ----


@pytest.mark.measured
@pytest.mark.clause("6455:10.4-limits-hold")
@BOTH_ROLES
@pytest.mark.parametrize("frames", [1, 10, 1000])
def test_bombs(role: Role, frames: int) -> None:
    """16 MiB of zeros against a limit of 256 KiB, in one message, over that many frames."""
    payload = deflated(bytes(16 * MIB))
    assert 16 * MIB / len(payload) > 1000
    edges = [len(payload) * at // frames for at in range(frames + 1)]
    portions = [
        to(role, CONT if at else BINARY, payload[edges[at] : edges[at + 1]], fin=at == frames - 1, rsv=0 if at else 4)
        for at in range(frames)
    ]
    connection = compressing(role, limits=Limits(message=MIB // 4))
    with Memory() as memory:
        consume(connection, portions)
        peak = memory.peak
    assert connection.closed
    assert peak <= MIB // 4 + MIB // 2


@pytest.mark.measured
@BOTH_ROLES
def test_bombs_in_many_messages(role: Role) -> None:
    """Each is within the limit; there are many in one read."""
    bomb = to(role, BINARY, deflated(bytes(MIB // 4)), rsv=4) * 64
    connection = compressing(role, limits=Limits(message=MIB // 4))
    with Memory() as memory:
        assert consume(connection, [bomb]) == 64
        assert memory.peak <= MIB // 4 + MIB


@BOTH_ROLES
def test_inflated_size(role: Role) -> None:
    payload = deflated(bytes(10_000))
    for limit in (len(payload) + 1, 9999):
        assert len(payload) < limit
        connection = compressing(role, limits=Limits(message=limit))
        assert closed_of(feed(connection, [to(role, BINARY, payload, rsv=4)])).code == CloseCode.MESSAGE_TOO_BIG
    connection = compressing(role, limits=Limits(message=10_000))
    assert feed(connection, [to(role, BINARY, payload, rsv=4)]) == [BytesMessage(bytes(10_000))]


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("limit", [1, 1000, 65_536, 131_072])
def test_budget_of_zero(role: Role, limit: int) -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = deflater.compress(bytes(limit)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    second = (deflater.compress(bytes(16 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    connection = compressing(role, limits=Limits(message=limit))
    assert feed(connection, [to(role, BINARY, first, fin=False, rsv=4)]) == []
    with Memory() as memory:
        assert closed_of(feed(connection, [to(role, CONT, second)])).code == CloseCode.MESSAGE_TOO_BIG
        assert memory.peak <= limit + MIB


@BOTH_ROLES
@pytest.mark.parametrize("takeover", [False, True])
def test_overshoot(role: Role, takeover: bool) -> None:
    for overshoot in range(301):
        connection = compressing(role, takeover=takeover, limits=Limits(message=500))
        events = feed(connection, [to(role, BINARY, deflated(bytes(500 + overshoot)), rsv=4)])
        if overshoot:
            assert closed_of(events).code == CloseCode.MESSAGE_TOO_BIG
        else:
            assert events == [BytesMessage(bytes(500))]
            assert feed(connection, [to(role, BINARY, deflated(b"next"), rsv=4)]) == [BytesMessage(b"next")]


@pytest.mark.clause("6455:5.2-rsv-is-refused")
@BOTH_ROLES
def test_rsv1_without_the_extension(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*options: Any) -> None:
        raise AssertionError("zlib was touched")

    payload = deflated(b"Hello")
    for name in ("decompressobj", "compressobj", "decompress"):
        monkeypatch.setattr(zlib, name, touched)
    for opcode in (TEXT, BINARY):
        check_failed(outcome(role, to(role, opcode, payload, rsv=4)), role, 1002, "5.2", 0)
        check_failed(outcome(role, to(role, opcode, payload, rsv=4)[:1]), role, 1002, "5.2", 0)


@pytest.mark.clause("6455:9.1-not-before-the-answer")
def test_rsv1_without_the_extension_though_it_was_offered() -> None:
    """A client that offered compression, and a server that did not take it."""
    handshake = ClientHandshake("ws://example.com/", extensions=[PerMessageDeflate()])
    connection = handshake.receive_response(101, answer_to(handshake))
    assert closed_of(feed(connection, [to(CLIENT, TEXT, deflated(b"Hello"), rsv=4)])).code == CloseCode.PROTOCOL_ERROR


@pytest.mark.clause("7692:6.1-rsv1-elsewhere-fails")
@BOTH_ROLES
@pytest.mark.parametrize("is_agreed", [False, True], ids=["not agreed", "agreed"])
@pytest.mark.parametrize("inside", [False, True], ids=["between messages", "inside a message"])
def test_rsv1_on_continuation(role: Role, is_agreed: bool, inside: bool) -> None:
    """The table: each opcode with each value of RSV, at each position."""
    before = to(role, BINARY, b"begun", fin=False) if inside else b""
    for opcode in range(16):
        for rsv in range(8):
            payload = deflated(b"") if rsv == 4 else b""
            result = outcome(
                role,
                before + to(role, opcode, payload, rsv=rsv),
                extensions=lambda: [codec_of(role)] if is_agreed else [],
            )
            if is_legal(opcode, rsv, inside, is_agreed):
                assert result.failure is None
            else:
                assert result.failure is not None
                assert result.failure.close_code == CloseCode.PROTOCOL_ERROR
                assert result.failure.offset == len(before)


def is_legal(opcode: int, rsv: int, inside: bool, is_agreed: bool) -> bool:
    if opcode in (CLOSE, PING, PONG):
        return rsv == 0
    if opcode == CONT:
        return inside and rsv == 0
    return opcode in (TEXT, BINARY) and not inside and (rsv == 0 or (rsv == 4 and is_agreed))


BITS = ["server_max_window_bits", "client_max_window_bits"]
FLAGS = ["server_no_context_takeover", "client_no_context_takeover"]
VALUES = [
    None, "", "0", "7", "16", "1000000000", "-8", "+8", "08", "8.0", "1e1", "0x9", "ten", "true", '"10"', " 10", "10 ",
    "\u0661\u0660", "\uff11\uff10", "\u00b9\u2070",
]  # fmt: skip


@pytest.mark.clause("7692:7-offer-is-declined", "7692:7-answer-fails")
@BOTH_ROLES
@pytest.mark.parametrize("name", [*BITS, *FLAGS])
def test_window_bits(role: Role, name: str) -> None:
    """Declined by a server, an error of ours at a client; never anything else. 8 to 15 are refused only by a server
    that is to deflate with 8, which zlib cannot."""
    for value in VALUES:
        if (value is None and name != "server_max_window_bits") and not (role is CLIENT and name in BITS):
            assert is_accepted(role, [(name, value)])
        else:
            assert not is_accepted(role, [(name, value)])
    for bits in range(8, 16):
        expected = name in BITS and not (bits == 8 and role is SERVER and name == "server_max_window_bits")
        assert is_accepted(role, [(name, str(bits))]) == expected
        assert not is_accepted(role, [(name, str(bits))] * 2)


@BOTH_ROLES
def test_window_bits_with_any_parameters(role: Role) -> None:
    parameter = st.tuples(
        st.one_of(st.sampled_from([*BITS, *FLAGS]), st.text(max_size=5)),
        st.one_of(st.none(), st.sampled_from(VALUES), st.text(max_size=5), st.integers().map(str)),
    )

    @given(st.lists(parameter, max_size=4))
    def run(parameters: list[Any]) -> None:
        is_accepted(role, parameters)

    run()


def is_accepted(role: Role, parameters: list[Any]) -> bool:
    """Return whether the end accepts the other's parameters. Any exception other than `HandshakeError` is let
    through."""
    extension = PerMessageDeflate(**both_takeovers(True))
    if role is SERVER:
        return extension.accept_offer(parameters) is not None
    try:
        extension.accept_answer(parameters)
    except HandshakeError:
        return False
    return True


# ---- Frames and messages ----


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_incomplete_frame(role: Role, opcode: int) -> None:
    for limits in (Limits(message=100_000), Limits(frame=100_000)):
        header = to(role, opcode, declared=200_000)
        check_failed(outcome(role, header, limits=limits), role, 1009, "10.4", 0)
    connection = Connection(role, limits=Limits(message=100_000))
    with Memory() as memory:
        assert connection.receive_data(to(role, opcode, b"a" * 100_000)[:-50_000]) == []
        assert memory.kept <= 100_000 + FIXED
    assert connection.retained_bytes <= 100_000


@pytest.mark.measured
@BOTH_ROLES
def test_incomplete_frame_costs_only_what_came(role: Role) -> None:
    """No room is made for what was only announced."""
    for message in (16 * MIB, None):
        connection = Connection(role, limits=Limits(message=message, memory=32 * MIB))
        with Memory() as memory:
            assert connection.receive_data(to(role, BINARY, declared=16 * MIB) + b"a") == []
            assert memory.kept <= 8000
            assert memory.peak <= 64_000


@BOTH_ROLES
def test_incomplete_frame_after_fragments(role: Role) -> None:
    """The sum counts, also of what is only announced."""
    begin = to(role, BINARY, bytes(600), fin=False)
    result = outcome(role, begin + to(role, CONT, declared=401), limits=Limits(message=1000))
    check_failed(result, role, 1009, "10.4", len(begin))


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_tiny_reads(role: Role, opcode: int) -> None:
    size = 5000
    frame = to(role, opcode, b"a" * size)
    connection = Connection(role)
    parser = FrameParser(role)
    for receive in (connection.receive_data, parser.receive_data):
        with Memory() as memory:
            for octet in frame[:-1]:
                assert receive(bytes([octet])) == []
            assert memory.kept <= 2 * size
        assert len(receive(frame[-1:])) == 1


@pytest.mark.measured
@pytest.mark.clause("6455:10.4-limits-hold")
@BOTH_ROLES
@pytest.mark.parametrize(("size", "memory"), [(0, 10_001 * 64), (1, None)])
def test_tiny_fragments(role: Role, size: int, memory: int | None) -> None:
    """One more than there may be, be it by their bytes or, where they are empty, by what each is charged."""
    limits = Limits(message=10_000, memory=memory)
    assert limits.budget is not None
    connection = Connection(role, limits=limits)
    stream = to(role, BINARY, b"a" * size, fin=False) + to(role, CONT, b"a" * size, fin=False) * 9_999
    with Memory() as used:
        for at in range(0, len(stream), 1000):
            assert connection.receive_data(stream[at : at + 1000]) == []
        assert used.kept <= 2 * 10_000 * size + 8000
    assert connection.retained_bytes <= limits.budget
    assert connection.receive_data(to(role, CONT, b"a" * size, fin=False) * 2)


@BOTH_ROLES
@pytest.mark.parametrize(("limit", "empties"), [(1, 1), (1000, 1), (20_000, 0)])
def test_honest_users(role: Role, limit: int, empties: int) -> None:
    """A message as large as the limit in fragments of one byte, also with an empty one before and after each."""
    empty = to(role, CONT, fin=False) * empties
    stream = to(role, BINARY, fin=False) + (empty + to(role, CONT, b"a", fin=False)) * limit + empty + to(role, CONT)
    connection = Connection(role, limits=Limits(message=limit))
    assert feed(connection, [stream]) == [BytesMessage(b"a" * limit)]


@BOTH_ROLES
@pytest.mark.parametrize("limits", [Limits(message=1000), Limits(frame=10), Limits(message=1, frame=1)])
def test_ping_in_a_full_message(role: Role, limits: Limits) -> None:
    full = limits.message if limits.message and limits.message < MIB else 10
    connection = Connection(role, limits=limits)
    feed(connection, [to(role, BINARY, b"a" * min(full, limits.frame or full), fin=False)])
    for opcode, event in ((PING, Ping(bytes(125))), (PONG, rfc6455.Pong(bytes(125)))):
        assert feed(connection, [to(role, opcode, bytes(125))]) == [event]
    closed = closed_of(feed(connection, [to(role, CLOSE, close_payload(1000, bytes(123)))]))
    assert closed.clean


@pytest.mark.measured
@BOTH_ROLES
def test_measured_again(role: Role) -> None:
    def fragments(size: int) -> Iterator[Step]:
        connection = Connection(role)
        yield lambda: connection.receive_data(to(role, BINARY, b"x", fin=False))
        for _ in range(size):
            yield lambda: connection.receive_data(to(role, CONT, b"x", fin=False))

    def reads(size: int) -> Iterator[Step]:
        connection = Connection(role)
        for octet in to(role, TEXT, b"x" * size):
            yield lambda given=octet: connection.receive_data(bytes([given]))

    def headers(size: int) -> Iterator[Step]:
        handshake = handshake_of(role, limits=Limits(headers=10_000, head=100_000))
        handshake.receive_data(FIRST_LINE[role])
        for _ in range(size):
            yield lambda: handshake.receive_data(b"X: x\r\n")

    check_linear(fragments, 200)
    check_linear(reads, 200)
    check_linear(headers, 100)


LONGEST = (1 << 63) - 1


@pytest.mark.clause("6455:5.2-length-has-63-bits")
@BOTH_ROLES
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [1 << 63, (1 << 63) + 1, (1 << 64) - 1])
def test_long_lengths_that_are_none(role: Role, opcode: int, length: int) -> None:
    """5.2: "the most significant bit MUST be 0". Known when the first byte of the length is there."""
    header = to(role, opcode, declared=length)
    for limits in (Limits(), Limits(message=None)):
        check_failed(outcome(role, header, limits=limits), role, 1002, "5.2", 0)
        check_failed(outcome(role, header[:3], limits=limits), role, 1002, "5.2", 0)
        with pytest.raises(RemoteProtocolError):
            FrameParser(role, limits=limits).receive_data(header)


@BOTH_ROLES
@pytest.mark.parametrize("length", [LONGEST, LONGEST - 1, 1 << 62, 1 << 32, 1 << 31, (1 << 32) - 1, (1 << 31) - 1])
@pytest.mark.parametrize("rsv", [0, 4])
def test_long_lengths_without_a_limit(role: Role, length: int, rsv: int) -> None:
    """They are legal; each call returns, nothing is reserved for what is to come, and bytes are taken as they come."""
    connection = compressing(role, limits=Limits(message=None, memory=MIB), parts=True)
    data = to(role, BINARY, declared=length, rsv=rsv, fin=False) + masked_zeros(role, 5)
    for octet in data:
        feed(connection, [bytes([octet])])
        assert not connection.closed
        assert connection.retained_bytes < 70_000
    assert connection.unread == 0
    parser = FrameParser(role, limits=Limits(message=None), reserved_bits=rsv)
    assert parser.receive_data(data) == []
    assert parser.receive_data(bytes(100)) == []


def masked_zeros(role: Role, size: int) -> bytes:
    """Stored blocks of DEFLATE that are empty, which may go on for ever; as data, zeros."""
    plain = (b"\x00\x00\x00\xff\xff" * size)[:size]
    return bytes(octet ^ KEY[at % 4] for at, octet in enumerate(plain)) if role is SERVER else plain


@BOTH_ROLES
@pytest.mark.parametrize("number", [sys.maxsize, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 100])
def test_long_lengths_as_limits(role: Role, number: int) -> None:
    """Numbers that no length can reach are good limits, too."""
    for limits in (Limits(message=number), Limits(frame=number), Limits(message=None, memory=number)):
        for parts in (False, True):
            connection = compressing(role, limits=limits, parts=parts)
            events = feed(connection, [to(role, BINARY, deflated(b"Hello"), rsv=4) + to(role, BINARY, b"Hello")])
            assert [event.data for event in events] == [b"Hello"] * 2  # type: ignore[attr-defined]
        assert len(FrameParser(role, limits=limits).receive_data(to(role, TEXT, b"Hello"))) == 1


@BOTH_ROLES
@pytest.mark.parametrize("first", [1, 2, 10, 100])
@pytest.mark.parametrize("parts", [False, True])
def test_long_lengths_that_add_up(role: Role, first: int, parts: bool) -> None:
    """A sum over 2^63 is over every limit, also where there is none; the largest sum is not."""
    begin = to(role, BINARY, bytes(first), fin=False)
    limits = Limits(message=None, memory=MIB)
    result = outcome(role, begin + to(role, CONT, declared=LONGEST), limits=limits, parts=parts)
    check_failed(result, role, 1009, "10.4", len(begin))
    result = outcome(role, begin + to(role, CONT, declared=LONGEST - first), limits=limits, parts=parts)
    assert result.failure is None
    result = outcome(role, begin + to(role, CONT, declared=LONGEST), limits=Limits(message=1000), parts=parts)
    check_failed(result, role, 1009, "10.4", len(begin))


@pytest.mark.measured
@pytest.mark.clause("6455:7.1.7-takes-no-more")
@BOTH_ROLES
def test_input_after_an_error(role: Role) -> None:
    for bad in (b"\xff\xff", to(role, TEXT, b"\xff"), to(role, BINARY, declared=2 * MIB)):
        connection = Connection(role)
        rest = to(role, TEXT, b"not read") * 10
        assert [type(event) for event in connection.receive_data(to(role, TEXT, b"read") + bad + rest)] == [
            TextMessage,
            Closed,
        ]
        connection.data_to_send()
        with Memory() as memory:
            for _ in range(10):
                assert connection.receive_data(rest * 1000) == []
            assert connection.retained_bytes == connection.unread == 0
            assert memory.kept <= 4000
        assert connection.data_to_send() == b""


@pytest.mark.measured
@pytest.mark.clause("6455:7.2.2-aborts")
@BOTH_ROLES
def test_input_after_an_error_of_the_handshake(role: Role) -> None:
    handshake = handshake_of(role)
    with pytest.raises(HandshakeError):
        handshake.receive_data(b"\x00" + b"x" * 1000)
    handshake.data_to_send()
    with Memory() as memory:
        for _ in range(10):
            with pytest.raises(LocalProtocolError):
                handshake.receive_data(b"x" * 100_000)
        assert memory.kept <= 8000


# ---- Heads ----

UPGRADE = list(REQUIRED.items())


def handshake_of(role: Role, **options: Any) -> Any:
    return ServerHandshake(**options) if role is SERVER else ClientHandshake("ws://example.com/", **options)


# How a request and a response begin.
FIRST_LINE = {SERVER: b"GET / HTTP/1.1\r\n", CLIENT: b"HTTP/1.1 101 Yes\r\n"}


def receive_all(handshake: Any, portions: Iterable[bytes]) -> Any:
    """Feed the handshake all portions, only the last of which may bring it to its end."""
    result = None
    for portion in portions:
        assert result is None
        result = handshake.receive_data(portion)
    return result


def answer_to(handshake: ClientHandshake) -> list[tuple[str, str]]:
    key = handshake.request.headers["Sec-WebSocket-Key"]
    return [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", rfc6455.accept_key(key))]


def request(fields: list[tuple[str, Any]], line: bytes = b"GET / HTTP/1.1") -> bytes:
    lines = [line, *(octets(name) + b": " + octets(value) for name, value in fields)]
    return b"".join(each + b"\r\n" for each in [*lines, b""])


def response(fields: list[tuple[str, Any]]) -> bytes:
    return request(fields, b"HTTP/1.1 101 Switching Protocols")


def octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def check_refused(data: bytes, status: int | None = None, **options: Any) -> HandshakeError:
    """A server refuses this request, says so in HTTP, and closes."""
    handshake = ServerHandshake(**options)
    with pytest.raises(HandshakeError) as caught:
        handshake.receive_data(data)
    answer = handshake.data_to_send()
    head = answer.partition(b"\r\n\r\n")[0].decode("ascii").lower()
    assert head.startswith(f"http/1.1 {caught.value.status} ")
    assert "\r\nconnection: close" in head
    assert caught.value.status is not None
    assert 400 <= caught.value.status < 600
    assert status in (None, caught.value.status)
    with pytest.raises(LocalProtocolError):
        handshake.accept()
    assert b"101" not in handshake.data_to_send()
    return caught.value


FIELDS = [*(name for name, _ in UPGRADE), "Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X-Any"]
ANY_BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"permessage-deflate; client_max_window_bits=\xb9\xb2", b'permessage-deflate; client_max_window_bits="\xff"',
         b"permessage-deflate; server_max_window_bits=x", b"\x80", b"caf\xe9", b"http://\xff", b"[::\xff]", b"13\xa0"]
    ),
)  # fmt: skip


@given(st.sampled_from(FIELDS), ANY_BYTES, st.booleans())
@example("Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits=abc", True)
def test_any_bytes_in_headers_of_a_request(name: str, value: bytes, instead: bool) -> None:
    fields = [field for field in UPGRADE if not (instead and field[0] == name)]
    data = request([*fields, (name, value)])
    handshake = ServerHandshake(subprotocols=["a"], extensions=[PerMessageDeflate()])
    try:
        if handshake.receive_data(data) is not None:
            assert handshake.accept().data_to_send().startswith(b"HTTP/1.1 101 ")
    except HandshakeError:
        assert handshake.data_to_send().startswith(b"HTTP/1.1 4")


@given(st.sampled_from([*FIELDS, "Sec-WebSocket-Accept"]), ANY_BYTES, st.booleans())
def test_any_bytes_in_headers_of_a_response(name: str, value: bytes, instead: bool) -> None:
    handshake = ClientHandshake("ws://example.com/", subprotocols=["a"], extensions=[PerMessageDeflate()])
    fields = [field for field in answer_to(handshake) if not (instead and field[0] == name)]
    try:
        handshake.receive_data(response([*fields, (name, value)]))
    except HandshakeError:
        pass


@given(st.sampled_from(FIELDS), st.text(max_size=20))
def test_any_bytes_in_headers_that_others_parsed(name: str, value: str) -> None:
    """They may come as any text; and what refuses them can be written."""
    refusal = refusal_of([*(field for field in UPGRADE if field[0] != name), (name, value)])
    assert refusal is None or 400 <= refusal.status < 500
    client = ClientHandshake("ws://example.com/", subprotocols=["a"], extensions=[PerMessageDeflate()])
    try:
        client.receive_response(101, [*answer_to(client), (name, value)])
    except HandshakeError:
        pass


def refusal_of(fields: list[tuple[str, Any]]) -> Response | None:
    """What a server answers to a request that it was given as fields, unless it is a 101."""
    options: dict[str, Any] = {"subprotocols": ["a"], "extensions": [PerMessageDeflate()]}
    try:
        asked("GET", "/", fields, **options).accept()
    except HandshakeError as error:
        return error.response
    return None


@share(200)
@given(st.binary(max_size=200), st.booleans(), st.sampled_from(list(Role)))
def test_any_bytes_in_headers_or_instead_of_them(data: bytes, begins_well: bool, role: Role) -> None:
    handshake = handshake_of(role)
    try:
        handshake.receive_data((FIRST_LINE[role] if begins_well else b"") + data + b"\r\n\r\n")
        handshake.receive_data(b"")
    except (HandshakeError, LocalProtocolError):
        pass


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("is_one_line", [True, False])
def test_long_head(role: Role, is_one_line: bool) -> None:
    """20 MB are offered; the read that takes it over the limit is the last that is looked at."""
    handshake = handshake_of(role)
    offered = 0

    def reads() -> Iterator[bytes]:
        nonlocal offered
        yield FIRST_LINE[role] + b"X: "
        while offered < 20_000_000:
            offered += 4096
            yield b"x" * 4096 if is_one_line else b"x" * 4091 + b"\r\nX: "

    with Memory() as memory:
        with pytest.raises(HandshakeError) as caught:
            receive_all(handshake, reads())
        assert memory.peak <= 100_000
    assert offered <= Limits().head + 4096
    assert role is CLIENT or caught.value.status == 431


@pytest.mark.measured
@BOTH_ROLES
def test_long_head_is_linear(role: Role) -> None:
    def reads(size: int) -> Iterator[Step]:
        handshake = handshake_of(role, limits=Limits(head=1 << 30, line=1 << 30))
        handshake.receive_data(FIRST_LINE[role] + b"X: ")
        for _ in range(size):
            yield lambda: handshake.receive_data(b"x" * 4096)

    check_linear(reads, 30)


def test_many_headers() -> None:
    many = [(f"X-{number}", "x") for number in range(3000)]
    check_refused(request([*UPGRADE, *many]), 431)
    # Where they may be many, what is missing is still found.
    limits = Limits(headers=10_000, head=1 << 20)
    for left_out in range(len(UPGRADE)):
        fields = UPGRADE[:left_out] + UPGRADE[left_out + 1 :]
        check_refused(request([*many, *fields]), 426 if UPGRADE[left_out][0] in MISSING_IS_426 else 400, limits=limits)
    handshake = ServerHandshake(limits=limits)
    assert handshake.receive_data(request([*many, *UPGRADE])) is not None


MISSING_IS_426 = ("Upgrade", "Sec-WebSocket-Version")


def test_many_headers_in_a_response() -> None:
    many = [(f"X-{number}", "x") for number in range(3000)]
    handshake = ClientHandshake("ws://example.com/")
    with pytest.raises(HandshakeError):
        handshake.receive_data(response([*answer_to(handshake), *many]))
    limits = Limits(headers=10_000, head=1 << 20)
    for left_out in range(3):
        handshake = ClientHandshake("ws://example.com/", limits=limits)
        fields = answer_to(handshake)
        with pytest.raises(HandshakeError):
            handshake.receive_data(response([*many, *fields[:left_out], *fields[left_out + 1 :]]))
    handshake = ClientHandshake("ws://example.com/", limits=limits)
    assert handshake.receive_data(response([*many, *answer_to(handshake)])) is not None


@pytest.mark.parametrize("left_out", [name for name, _ in UPGRADE])
def test_many_headers_or_none(left_out: str) -> None:
    check_refused(request([field for field in UPGRADE if field[0] != left_out]))
    check_refused(request([]))


LISTS = ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Upgrade"]


@pytest.mark.measured
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("unit", [" ", ",", '"', "\\", " ,", '\\"', "a ", "a,", ";"], ids=repr)
def test_backtracking(name: str, unit: str) -> None:
    """More of this, with more beginnings, is in test_linear.py."""

    def server(value: str) -> None:
        fields = [field for field in UPGRADE if field[0] != name]
        with pytest.raises(HandshakeError):
            asked("GET", "/", [*fields, (name, value)], extensions=[PerMessageDeflate()])

    def client(value: str) -> None:
        handshake = ClientHandshake("ws://example.com/", subprotocols=["a"], extensions=[PerMessageDeflate()])
        fields = [field for field in answer_to(handshake) if field[0] != name]
        with pytest.raises(HandshakeError):
            handshake.receive_response(101, [*fields, (name, value)])

    for read in (server, client):
        for beginning in ("", "a", 'a; b="'):
            check_time(read, lambda size, beginning=beginning: beginning + unit * (size // len(unit)) + "\x00")  # type: ignore[misc]


ODD_NAMES = [
    "__class__",
    "__proto__",
    "constructor",
    "__init__",
    "toString",
    "hasOwnProperty",
    "None",
    "self",
    "0",
    "*",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(name: str) -> None:
    for offer in (name, f"{name}, {name}", f"{name}; {name}={name}; {name}", f"permessage-deflate; {name}"):
        handshake = ServerHandshake(subprotocols=["chat"], extensions=[PerMessageDeflate()])
        handshake.receive_data(request([*UPGRADE, ("Sec-WebSocket-Extensions", offer)]))
        assert handshake.accept().extensions == ()
        client = ClientHandshake("ws://example.com/", subprotocols=["chat"], extensions=[PerMessageDeflate()])
        with pytest.raises(HandshakeError):
            client.receive_response(101, [*answer_to(client), ("Sec-WebSocket-Extensions", offer)])
    server = ServerHandshake(subprotocols=["chat"])
    server.receive_data(request([*UPGRADE, ("Sec-WebSocket-Protocol", f"{name}, chat")]))
    assert server.accept().subprotocol == "chat"
    client = ClientHandshake("ws://example.com/", subprotocols=["chat"])
    with pytest.raises(HandshakeError):
        client.receive_response(101, [*answer_to(client), ("Sec-WebSocket-Protocol", name)])


def test_odd_names_twice() -> None:
    """A name that comes twice: declined in an offer where the RFC says so, an error in an answer."""
    for offer, expected in (
        ("permessage-deflate, permessage-deflate", True),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", False),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", False),
    ):
        handshake = ServerHandshake(extensions=[PerMessageDeflate()])
        handshake.receive_data(request([*UPGRADE, ("Sec-WebSocket-Extensions", offer)]))
        assert len(handshake.accept().extensions) == expected
        client = ClientHandshake("ws://example.com/", extensions=[PerMessageDeflate(**both_takeovers(True))])
        with pytest.raises(HandshakeError):
            client.receive_response(101, [*answer_to(client), ("Sec-WebSocket-Extensions", offer)])
    check_refused(request([*UPGRADE, ("Sec-WebSocket-Protocol", "chat, chat")]), 400)


BREAKS = ["\r\nX-Evil: 1", "\r", "\n", "\x00", "\r\n\r\nGET / HTTP/1.1", "\x0b", "\u2028", "\u010d\u010a"]


class EvilExtension(rfc6455.Extension):
    """An extension whose part of the header comes from user input."""

    def __init__(self, text: str) -> None:
        self.name = "x-evil"
        self._text = text

    def offer(self) -> str:
        return self._text

    def accept_offer(self, parameters: Any) -> Any:
        codec = codec_of(SERVER)
        codec.parameters = f"x-evil; {self._text}"
        return codec

    def accept_answer(self, parameters: Any) -> Any:
        return codec_of(CLIENT)


@pytest.mark.parametrize("text", BREAKS, ids=ascii)
def test_line_breaks_in_a_request(text: str) -> None:
    uris: list[Any] = [
        lambda: ClientHandshake(f"ws://example.com/a{text}b"),
        lambda: ClientHandshake(f"ws://example.com/a?b{text}c"),
        lambda: ClientHandshake(f"ws://exa{text}mple.com/"),
        lambda: ClientHandshake("ws://example.com/").uri.redirected(f"/a{text}b"),
    ]
    for make in uris:
        # What is not ASCII is percent-encoded there, or converted by IDNA (11.1.1), and breaks no line.
        made = None if text.isascii() else error_of(make) or make()
        if made is None or isinstance(made, Exception):
            with pytest.raises(LocalProtocolError):
                make()
        else:
            assert str(getattr(made, "uri", made)).isascii()
    makes: list[Any] = [
        lambda: ClientHandshake(f"ws://example.com:80{text}/"),
        lambda: ClientHandshake(rfc6455.URI(False, f"exa{text}mple.com", 80, "/")),
        lambda: ClientHandshake(rfc6455.URI(False, "example.com", 80, f"/a{text}b")),
        lambda: ClientHandshake("ws://example.com/", subprotocols=[f"a{text}b"]),
        lambda: ClientHandshake("ws://example.com/", origin=f"http://a{text}b"),
        lambda: ClientHandshake("ws://example.com/", headers=[(f"X{text}Y", "value")]),
        lambda: ClientHandshake("ws://example.com/", headers={f"X{text}": "value"}),
        lambda: ClientHandshake("ws://example.com/", extensions=[EvilExtension(text)]),
        lambda: ClientHandshake("ws://example.com/", headers=[("X", f"a{text}b")]),
    ]
    for make in makes:
        with pytest.raises(LocalProtocolError):
            make()


@pytest.mark.parametrize("text", BREAKS, ids=ascii)
def test_line_breaks_in_an_answer(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        ServerHandshake(subprotocols=[f"a{text}b"])
    for extensions in ([], [EvilExtension(text)]):
        handshake = ServerHandshake(extensions=extensions)
        fields = [("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Extensions", "x-evil")]
        handshake.receive_data(request([*UPGRADE, *fields]))
        evils: list[dict[str, Any]] = [
            {"subprotocol": f"a{text}b"},
            {"headers": [("X", f"a{text}b")]},
            {"headers": [(f"X{text}", "a")]},
        ]
        for evil in [*evils, {}] if extensions else evils:
            with pytest.raises(LocalProtocolError):
                handshake.accept(**evil)
        for headers in ([("X", f"a{text}b")], [(f"X{text}", "a")]):
            with pytest.raises(LocalProtocolError):
                handshake.reject(403, headers=headers)
        # Nothing has changed, so the right answer can still be given.
        handshake.reject(403)
        assert handshake.data_to_send().startswith(b"HTTP/1.1 403 ")


def test_line_breaks_from_the_peer_do_not_come_back() -> None:
    """What a refusal quotes of a request begins no new line of its head."""
    for evil in ("a\rX-Evil: 1", "a\nX-Evil: 1", "\x00", "\x0bX", "\x85X"):
        for name, _ in UPGRADE:
            refusal = refusal_of([*(field for field in UPGRADE if field[0] != name), (name, evil)])
            assert refusal is not None
            assert not set("\r\n\x00") & set("".join(key + value for key, value in refusal.headers))


# ---- Who may connect ----

ALLOWED = ["https://example.com", "http://example.org:8080"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://example.com", None),
        ("HTTPS://EXAMPLE.COM", None),
        ("https://example.com:443", None),
        ("http://example.org:8080", None),
        ("https://evil-example.com", 403),
        ("https://example.com.evil", 403),
        ("https://example.com.", 403),
        ("https://sub.example.com", 403),
        ("https://example.comevil", 403),
        ("http://example.com", 403),
        ("https://example.com:8443", 403),
        ("https://example.com:80", 403),
        ("http://example.org", 403),
        ("https://example.com/", 403),
        ("https://example.com@evil", 403),
        ("https://evil/https://example.com", 403),
        ("https://evil#https://example.com", 403),
        ("null", 403),
        ("", 403),
        ("*", 403),
        ("example.com", 403),
        ("https://", 403),
        ("https://example.com https://evil", 403),
        ("https://evil, https://example.com", 403),
    ],
)
def test_origin_matching(origin: str, status: int | None) -> None:
    data = request([*UPGRADE, ("Origin", origin)])
    if status is None:
        assert ServerHandshake(origins=ALLOWED).receive_data(data) is not None
    else:
        check_refused(data, status, origins=ALLOWED)


def test_origin_matching_takes_no_patterns() -> None:
    for bad in (["*"], ["https://*"], ["https://a*.example.com"], ["example.com"], ["https://example.com/"]):
        with pytest.raises(LocalProtocolError):
            ServerHandshake(origins=bad)
    both = [("Origin", "https://example.com"), ("Origin", "https://evil")]
    check_refused(request([*UPGRADE, *both]), 400, origins=ALLOWED)


@pytest.mark.clause("6455:10.2-origin-gets-403")
@pytest.mark.parametrize(
    ("host", "origin", "is_allowed"),
    [
        ("example.com", None, True),
        ("example.com", "http://example.com", True),
        ("example.com", "https://example.com", True),
        ("EXAMPLE.com", "http://example.COM", True),
        ("localhost:3000", "http://localhost:3000", True),
        ("localhost:3000", "http://localhost", False),
        ("localhost:3000", "http://localhost:3001", False),
        ("localhost:3000", "https://evil.example", False),
        ("127.0.0.1:3000", "http://localhost:3000", False),
        ("127.0.0.1:3000", "https://evil.example", False),
        ("example.com", "http://evil-example.com", False),
        ("example.com", "http://example.com.evil", False),
        ("example.com", "http://example.com:8080", False),
        ("example.com", "null", False),
        ("example.com", "file://", False),
        ("example.com", "chrome-extension://example.com", False),
    ],
)
def test_origin_by_default(host: str, origin: str | None, is_allowed: bool) -> None:
    fields = [("Host", host), *UPGRADE[1:], *([] if origin is None else [("Origin", origin)])]
    if is_allowed:
        assert ServerHandshake().receive_data(request(fields)) is not None
    else:
        check_refused(request(fields), 403)
        assert ServerHandshake(origins=ANY_ORIGIN).receive_data(request(fields)) is not None


@pytest.mark.parametrize("second", ["example.com", "evil.example", ""])
def test_two_hosts(second: str) -> None:
    for fields in ([*UPGRADE, ("Host", second)], [("host", second), *UPGRADE], [*UPGRADE, ("HOST", second)]):
        check_refused(request(fields), 400)
    check_refused(request([("Host", "example.com, evil.example"), *UPGRADE[1:]]), 400)
    check_refused(request(UPGRADE[1:]), 400)
    with pytest.raises(HandshakeError):
        asked("GET", "/", [*UPGRADE, ("host", second)])


# Each of these breaks one rule of a request that is right otherwise.
WRONG: dict[str, bytes] = {
    **{f"no {name}": request([field for field in UPGRADE if field[0] != name]) for name, _ in UPGRADE},
    **{
        f"{name}: {value}": request([field for field in UPGRADE if field[0] != name] + [(name, value)])
        for name, value in [
            ("Upgrade", "h2c"),
            ("Upgrade", "websockets"),
            ("Connection", "keep-alive"),
            ("Connection", "Upgrades"),
            ("Sec-WebSocket-Version", "12"),
            ("Sec-WebSocket-Version", "13, 8"),
            ("Sec-WebSocket-Version", "130"),
            ("Sec-WebSocket-Key", ""),
            ("Sec-WebSocket-Key", "short"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ==="),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSE="),
            ("Host", ""),
            ("Host", "a b"),
        ]
    },
    **{f"{name} twice": request([*UPGRADE, (name, value)]) for name, value in UPGRADE if name.startswith("Sec-")},
    "POST": request(UPGRADE, b"POST / HTTP/1.1"),
    "get": request(UPGRADE, b"get / HTTP/1.1"),
    "CONNECT": request(UPGRADE, b"CONNECT example.com:80 HTTP/1.1"),
    "HTTP/1.0": request(UPGRADE, b"GET / HTTP/1.0"),
    "HTTP/2.0": request(UPGRADE, b"GET / HTTP/2.0"),
    "a fragment": request(UPGRADE, b"GET /#a HTTP/1.1"),
    "a body": request([*UPGRADE, ("Content-Length", "5")]) + b"12345",
    "two lengths": request([*UPGRADE, ("Content-Length", "0"), ("Content-Length", "5")]),
    "a chunked body": request([*UPGRADE, ("Transfer-Encoding", "chunked")]),
    "a space before the colon": request(UPGRADE).replace(b"Host:", b"Host :"),
    "a folded line": request(UPGRADE).replace(b"Connection: Upgrade", b"Connection:\r\n Upgrade"),
    "a bare LF": request(UPGRADE).replace(b"\r\n", b"\n"),
    "one bare LF": request(UPGRADE).replace(b"\r\nUpgrade", b"\nUpgrade"),
    "a bare CR": request(UPGRADE).replace(b"\r\nUpgrade", b"\rUpgrade"),
    "a NUL": request([*UPGRADE, ("X", "a\x00b")]),
    "two empty lines before": b"\r\n\r\n" + request(UPGRADE),
    "a bare LF before": b"\n" + request(UPGRADE),
    "a space before": b" " + request(UPGRADE),
    "a bad list of protocols": request([*UPGRADE, ("Sec-WebSocket-Protocol", "a b")]),
    "a bad list of extensions": request([*UPGRADE, ("Sec-WebSocket-Extensions", "a; =")]),
    "an origin elsewhere": request([*UPGRADE, ("Origin", "https://evil.example")]),
}


@pytest.mark.clause("6455:4.2.1-bad-request-is-refused")
@pytest.mark.parametrize("data", WRONG.values(), ids=list(WRONG))
def test_smuggling(data: bytes) -> None:
    """One rule is broken: no 101, an error, and the end of the connection; in any portions."""
    check_refused(data)
    handshake = ServerHandshake()
    with pytest.raises(HandshakeError):
        receive_all(handshake, byte_by_byte(data))
    assert handshake.data_to_send().startswith(b"HTTP/1.1 ")
    with pytest.raises(LocalProtocolError):
        handshake.receive_data(request(UPGRADE))
    assert handshake.data_to_send() == b""


def test_smuggling_needs_a_rule_to_be_broken() -> None:
    """Otherwise the tests above would prove nothing."""
    handshake = ServerHandshake()
    assert handshake.receive_data(request(UPGRADE)) is not None
    assert handshake.accept().data_to_send().startswith(b"HTTP/1.1 101 ")


def test_smuggling_by_frames_before_the_answer() -> None:
    """Bytes after the head are frames of the connection, or nothing: never a second request."""
    handshake = ServerHandshake()
    second = request(UPGRADE, b"GET /admin HTTP/1.1")
    read = handshake.receive_data(request(UPGRADE) + second)
    assert read is not None
    assert read.target == "/"
    handshake.reject(403)
    answer = handshake.data_to_send()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.count(b"HTTP/1.1") == 1
    handshake = ServerHandshake()
    handshake.receive_data(request(UPGRADE) + second)
    connection = handshake.accept()
    assert closed_of(connection.receive_data(None)).code == CloseCode.PROTOCOL_ERROR


@pytest.mark.clause("6455:4.1-answer-is-validated")
def test_smuggling_of_a_101_at_a_client() -> None:
    """One rule of the answer is broken: no connection."""
    for name in ("Upgrade", "Connection", "Sec-WebSocket-Accept"):
        for values in ([], ["wrong"], ["twice", "twice"]):
            handshake = ClientHandshake("ws://example.com/")
            fields = [field for field in answer_to(handshake) if field[0] != name] + [
                (name, value) for value in values
            ]
            with pytest.raises(HandshakeError):
                handshake.receive_data(response(fields))
            with pytest.raises(LocalProtocolError):
                handshake.receive_data(response(answer_to(handshake)))
    for line in (b"HTTP/1.0 101 Yes", b"HTTP/1.1 200 OK", b"HTTP/1.1 1010 Yes", b"HTTP/2 101 Yes"):
        handshake = ClientHandshake("ws://example.com/")
        with pytest.raises(HandshakeError):
            handshake.receive_data(request([*answer_to(handshake), ("Content-Length", "0")], line))


# ---- Randomness and replies ----

PRINT_MASKS = """
import rfc6455
client = rfc6455.Connection(rfc6455.CLIENT)
for _ in range(100):
    client.send_bytes(bytes(4))
print(client.data_to_send().hex())
print(rfc6455.ClientHandshake("ws://example.com/").request.headers["Sec-WebSocket-Key"])
"""


def run_python(code: str) -> str:
    """What a new process prints."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.clause("6455:4.1-key-is-fresh", "6455:5.3-key-is-unpredictable")
def test_masks() -> None:
    """No key comes twice, in one connection or two, in one process or two; nor does the nonce of a handshake."""
    printed = [run_python(PRINT_MASKS).split() for _ in range(2)]
    keys = [key for line, _ in printed for key in keys_of(bytes.fromhex(line))]
    for _ in range(2):
        random.seed(0)
        client = Connection(CLIENT)
        for _ in range(100):
            client.send_bytes(b"payload")
        keys += keys_of(client.data_to_send())
    # Of 400 keys of 32 bits, two are the same once in 50,000 runs; three never.
    assert len(keys) == 400
    assert len(set(keys)) >= 399
    assert printed[0][1] != printed[1][1]


PRINT_CALLS = """
import os
calls = []
urandom = os.urandom
os.urandom = lambda size: calls.append(size) or urandom(size)
import rfc6455
rfc6455.ClientHandshake("ws://example.com/")
handshakes = sum(calls)
client = rfc6455.Connection(rfc6455.CLIENT)
for _ in range(100):
    client.send_bytes(b"")
print(handshakes, sum(calls) - handshakes)
"""


@pytest.mark.clause("6455:5.3-key-is-strong")
def test_masks_come_from_urandom_by_default() -> None:
    handshakes, masks = map(int, run_python(PRINT_CALLS).split())
    assert handshakes >= 16
    assert masks >= 400


def test_masks_come_from_the_random_that_was_given() -> None:
    given_bytes = random.Random(0).randbytes(100_000)
    at = 0

    def source(size: int) -> bytes:
        nonlocal at
        at += size
        return given_bytes[at - size : at]

    client = Connection(CLIENT, random=source)
    for _ in range(1000):
        client.send_bytes(b"")
    keys = keys_of(client.data_to_send())
    # Each byte is used once, in its order.
    assert b"".join(keys) == given_bytes[:4000]


@pytest.mark.clause("6455:5.1-client-masks", "6455:6.1-client-masks")
def test_masks_cover_every_frame_of_a_client() -> None:
    client = Connection(CLIENT)
    client.send_text("text")
    client.ping(b"ping")
    client.pong(b"pong")
    client.send_prepared(rfc6455.PreparedMessage("prepared"))
    client.receive_data(to(CLIENT, PING, b"pinged"))
    client.close()
    data = client.data_to_send()
    assert len(read_frames(data, CLIENT)) == 6
    assert len(set(keys_of(data))) == 6


@BOTH_ROLES
def test_many_pings(role: Role) -> None:
    connection = Connection(role)
    stream = b"".join(to(role, PING, b"%d" % number) for number in range(10_000))
    assert len(feed(connection, [stream])) == 10_000
    last = connection.limits.pongs
    assert 5 * last <= connection.retained_bytes <= 200 * last
    newest = [(PONG, b"%d" % number, True, 0) for number in range(10_000 - last, 10_000)]
    assert read_frames(connection.data_to_send(), role) == newest
    assert connection.data_to_send() == b""
    # The same holds if the caller reads again and again without writing.
    for number in range(1000):
        feed(connection, [to(role, PING, b"%d" % number)])
    newest = [(PONG, b"%d" % number, True, 0) for number in range(1000 - last, 1000)]
    assert read_frames(connection.data_to_send(), role) == newest


@pytest.mark.measured
@BOTH_ROLES
def test_many_pings_that_are_each_answered_are_kept_within_the_budget(role: Role) -> None:
    """The oldest Pongs give way (5.5.3), also to a message that grows, and no Ping fails the connection."""
    limits = Limits(pongs=100_000, message=15_000, memory=20_000)
    connection = Connection(role, limits=limits)
    pings = [Ping(bytes([number]) * 125) for number in range(200)]
    with Memory() as memory:
        for ping in pings:
            assert feed(connection, [to(role, PING, ping.payload)]) == [ping]
            assert connection.retained_bytes <= 20_000
        assert connection.retained_bytes > 19_000
        for number in range(100):
            assert feed(connection, [to(role, CONT if number else BINARY, bytes(100), fin=False)]) == []
            assert feed(connection, [to(role, PING, b"")]) == [Ping(b"")]
            assert connection.retained_bytes <= 20_000
            assert memory.kept <= 2 * connection.retained_bytes + 4000
    assert feed(connection, [to(role, CONT, b"")]) == [BytesMessage(bytes(10_000))]
    sent = read_frames(connection.data_to_send(), role)
    assert 20 < len(sent) < 150
    assert {seen.opcode for seen in sent} == {PONG}
    assert connection.retained_bytes == 0


@BOTH_ROLES
def test_many_pings_beside_a_message_that_fills_the_budget(role: Role) -> None:
    """5.5.2 demands one Pong even then, the newest; what fails the connection is what the message keeps."""
    connection = Connection(role, limits=Limits(pongs=1000, message=None, memory=5000))
    feed(connection, [to(role, BINARY, bytes(4950), fin=False)])
    for number in range(100):
        ping = Ping(b"%d" % number * 50)
        assert feed(connection, [to(role, PING, ping.payload)]) == [ping]
        assert connection.retained_bytes <= 5000 + 125 + OBJECT_OVERHEAD
    assert feed(connection, [to(role, CONT, b"")]) == [BytesMessage(bytes(4950))]
    assert read_frames(connection.data_to_send(), role) == [(PONG, b"99" * 50, True, 0)]
    feed(connection, [to(role, BINARY, bytes(4950), fin=False) + to(role, PING, b"last")])
    (closed,) = feed(connection, [to(role, CONT, bytes(51), fin=False)])
    assert closed.code == CloseCode.MESSAGE_TOO_BIG
    assert read_frames(connection.data_to_send(), role)[0] == (PONG, b"last", True, 0)


# ---- The table itself ----


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_its_tests(row: str) -> None:
    assert any(name == f"test_{row}" or name.startswith(f"test_{row}_") for name in globals())


def test_there_are_no_other_tests() -> None:
    own = ("test_each_row_has_its_tests", "test_there_are_no_other_tests")
    tests = [name for name in globals() if name.startswith("test_") and name not in own]
    assert [name for name in tests if not any(name.startswith(f"test_{row}") for row in ROWS)] == []
