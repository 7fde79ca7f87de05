"""The cost of the most expensive input: ``python benchmarks/worst_input.py docs/_generated/worst_input.rst``.

A peer may send anything that the protocol allows. Each input here tries to cause as much work as possible with few
bytes. Its cost per byte on the wire is compared with that of ordinary compressed messages, and should not be more than
20 times as high. A table in reST shows the results, for the compiled modules and for the sources. A second table does
the same for the heads of requests and responses, which should not cost more than 10 times as much as a browser's.

Not here: the tests that check the bounds exactly (``tests/core/test_deflate_work.py``,
``tests/core/test_handshake_hostile.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# At the end of the path, so that an installed rfc6455 is measured rather than this source tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import rfc6455
from benchmarks.measure import environment
from benchmarks.payloads import KIB, MIB, READ, REQUEST, URI, answer_to, json_messages
from benchmarks.report import csv_table, digits

ROUNDS = 5
MOST = 20  # times an honest byte
MOST_OF_A_HEAD = 10
CHAIN = "ends of streams, ``03 00``, refused after 19"
ZEROS = "zeros, 1 MiB in a kilobyte"
HONEST = "honest: messages of 64 KiB of JSON at level 6"

CONT, TEXT, BINARY = rfc6455.Opcode.CONT, rfc6455.Opcode.TEXT, rfc6455.Opcode.BINARY
RSV1 = 4
KEY = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True)
class Input:
    """The input from a peer.

    :ivar name: a description.
    :ivar data: all its bytes.
    :ivar reader: a function that makes the object that reads them.
    """

    name: str
    data: bytes
    reader: Callable[[], Any]


# --- frames and compressed data by hand ---------------------------------------------------------------------------


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    return rfc6455.serialize_frame(rfc6455.Frame(opcode, payload, fin, rsv), KEY)


def message(payload: bytes) -> bytes:
    """Return a compressed message in one frame."""
    return frame(BINARY, payload, rsv=RSV1)


def in_fragments(payload: bytes, size: int) -> bytes:
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    first, *rest = pieces
    return frame(BINARY, first, fin=False, rsv=RSV1) + b"".join(frame(CONT, piece, fin=False) for piece in rest)


def deflated(data: bytes, level: int = 6) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Bits:
    """Bits in the order of DEFLATE (RFC 1951, 3.1.1), which become bytes when repeated eight times."""

    def __init__(self) -> None:
        self._bits: list[int] = []

    def number(self, value: int, width: int) -> Bits:
        self._bits += [value >> at & 1 for at in range(width)]
        return self

    def code(self, value: int, width: int) -> Bits:
        self._bits += [value >> at & 1 for at in reversed(range(width))]
        return self

    def repeated_to_bytes(self, size: int) -> bytes:
        """Return about ``size`` bytes: the same bits again and again, up to the end of a byte."""
        bits = self._bits * 8
        unit = bytes(
            sum(bit << at for at, bit in enumerate(bits[start : start + 8])) for start in range(0, len(bits), 8)
        )
        return unit * (size // len(unit)) + b"\x00"  # the header of the block that ends a message


def empty_fixed_block() -> Bits:
    """Return an empty block (RFC 1951, 3.2.6) of ten bits, of which the last seven are the end of the block."""
    return Bits().number(0, 1).number(1, 2).code(0, 7)


# RFC 1951, 3.2.7: the order in which the lengths of the codes for lengths are written.
ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]


def codes_of(lengths: dict[int, int]) -> dict[int, tuple[int, int]]:
    """Return the codes that follow from their lengths (RFC 1951, 3.2.2)."""
    codes = {}
    code = 0
    previous = 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - previous
        codes[symbol] = code, length
        code += 1
        previous = length
    return codes


def empty_dynamic_block(literals: dict[int, int]) -> Bits:
    """Return a block that describes codes (RFC 1951, 3.2.7) and contains nothing but its end.

    :param literals: the lengths of the codes, a complete set that includes 256, the end.
    """
    alphabet = {0, 1, 18, *literals.values()}
    width = (len(alphabet) - 1).bit_length()
    spare = (1 << width) - len(alphabet)
    # A complete code for all of these; some are one bit shorter.
    of_lengths = {symbol: width - (at < spare) for at, symbol in enumerate(sorted(alphabet))}
    codes = codes_of(of_lengths)
    written = max(at for at, symbol in enumerate(ORDER) if symbol in of_lengths) + 1
    bits = Bits().number(0, 1).number(2, 2).number(0, 5).number(0, 5).number(written - 4, 4)
    for symbol in ORDER[:written]:
        bits.number(of_lengths.get(symbol, 0), 3)
    at = 0
    while at <= 256:
        zeros = next((number for number in range(at, 257) if number in literals), 257) - at
        if zeros >= 11:
            bits.code(*codes[18]).number(min(zeros, 138) - 11, 7)
            at += min(zeros, 138)
        else:
            bits.code(*codes[literals.get(at, 0)])
            at += 1
    bits.code(*codes[1])  # one distance code, of one bit
    return bits.code(*codes_of(literals)[256])


def chain_of_lengths(longest: int) -> dict[int, int]:
    """Return codes of 1, 2, 3, ... bits and two of the longest, which need the largest tables for so few symbols."""
    lengths = [*range(1, longest + 1), longest]
    return {256 - at: length for at, length in enumerate(lengths)}


# --- messages -----------------------------------------------------------------------------------------------------


def messages() -> Iterator[Input]:
    size = 256 * KIB
    honest = b"".join(message(deflated(text.encode())) for text in json_messages(40, 64 * KIB))
    yield Input(HONEST, honest, connection)
    yield Input("the same, with takeover", honest, with_takeover)
    end = b"\x03\x00"
    yield Input(CHAIN, message(end * 1000), connection)
    block = zlib.compressobj(0, zlib.DEFLATED, -15)
    stream = block.compress(bytes(27)) + block.flush()
    yield Input(
        "ends of streams of 32 bytes, as many as are allowed",
        message(stream * (size // len(stream)) + b"\x00"),
        connection,
    )
    tiny = zlib.compressobj(6, zlib.DEFLATED, -15)
    stream = tiny.compress(b"x") + tiny.flush() + b"\x00"
    yield Input("messages of one byte, each with a stream that ends", message(stream) * 10_000, connection)
    yield Input("messages of one byte", message(deflated(b"x")) * 10_000, connection)
    yield Input("empty messages, ``00``", message(b"\x00") * 10_000, connection)
    yield Input("empty messages, with takeover", message(b"\x00") * 10_000, with_takeover)
    yield Input(
        "empty blocks of fixed codes, 10 bits each", message(empty_fixed_block().repeated_to_bytes(size)), connection
    )
    yield Input(
        "empty stored blocks, ``00 00 00 ff ff``", message(b"\x00\x00\x00\xff\xff" * (size // 5) + b"\x00"), connection
    )
    for longest in 1, 5, 9, 10, 12, 15:
        blocks = empty_dynamic_block(chain_of_lengths(longest))
        yield Input(
            f"empty blocks that describe codes of up to {longest} bits",
            message(blocks.repeated_to_bytes(size)),
            connection,
        )
    yield Input(
        "a compressed message in fragments of one byte", in_fragments(deflated(os.urandom(20_000)), 1), connection
    )
    empty = frame(CONT, b"", fin=False)
    yield Input(
        "empty fragments of a compressed message", frame(BINARY, b"", fin=False, rsv=RSV1) + empty * 40_000, connection
    )
    yield Input("empty fragments of another message", frame(BINARY, b"", fin=False) + empty * 40_000, connection)
    yield Input("for comparison: messages of one byte, not compressed", frame(BINARY, b"x") * 20_000, connection)
    yield Input(ZEROS, message(deflated(bytes(MIB))) * 20, connection)


def connection(takeover: bool = False) -> rfc6455.Connection:
    extension = rfc6455.PerMessageDeflate(client_no_context_takeover=not takeover)
    codec = extension.accept_offer([])
    assert codec is not None
    return rfc6455.Connection(rfc6455.SERVER, [codec])


def with_takeover() -> rfc6455.Connection:
    return connection(takeover=True)


def receive(ws: rfc6455.Connection, data: bytes) -> tuple[int, int]:
    """Receive the data as a loop would. Return the number of bytes that were looked at, and that came out."""
    size = 0
    for at in range(0, len(data), READ):
        events = ws.receive_data(data[at : at + READ])
        while ws.unread:
            events += ws.receive_data(None)
        for event in events:
            if isinstance(event, rfc6455.BytesMessage):
                size += len(event.data)
            elif isinstance(event, rfc6455.Closed):
                return looked_at(event, data), size
    return len(data), size


def looked_at(closed: rfc6455.Closed, data: bytes) -> int:
    """Return the number of bytes before the refusal. To be cautious, only a known part of the last frame counts."""
    assert isinstance(closed.error, rfc6455.RemoteProtocolError), closed
    assert closed.error.close_code == 1009, closed.error
    # The chain of ends is one frame, of which this many ends of 2 bytes were read.
    offset = closed.error.offset
    return offset or 8 + 2 * 19


# --- heads --------------------------------------------------------------------------------------------------------

SERVER, CLIENT = "a server: ", "a client: "
HONEST_REQUEST = f"{SERVER}honest, the request of a browser"
HONEST_RESPONSE = f"{CLIENT}honest, the answer of a server"

# Fields that cause work; most come from reports about other libraries. A list may have 128 members.
EXTENSIONS, SUBPROTOCOL = "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"
FIELDS = {
    "a list of 7,500 unknown extensions": [(EXTENSIONS, "x," * 7500)],
    "a list of 128 unknown extensions": [(EXTENSIONS, ",".join("x" * 128))],
    "an extension with 127 parameters": [(EXTENSIONS, "x" + ';a="\\b"' * 127)],
    "permessage-deflate 64 times, each to be declined": [(EXTENSIONS, ",".join(["permessage-deflate;z"] * 64))],
    "an extension and 16,000 commas": [(EXTENSIONS, "x" + "," * 16_000)],
    "a list of 128 subprotocols": [(SUBPROTOCOL, ",".join(map(str, range(128))))],
    "a list of 8,000 connection options": [("Connection", "a," * 8000)],
    "16,000 spaces": [("X", " " * 16_000 + "x")],
    "a line of 16,000 bytes": [("X", "x" * 16_000)],
    "the same in characters beyond ASCII": [("X", "\xe9" * 16_000)],
    "240 fields without a value": [("a", "")] * 240,
    "240 fields of different names": [(f"a{at}", "") for at in range(240)],
}


def server() -> rfc6455.ServerHandshake:
    return rfc6455.ServerHandshake(subprotocols=["chat"], extensions=[rfc6455.PerMessageDeflate()])


def client() -> rfc6455.ClientHandshake:
    extensions = [rfc6455.PerMessageDeflate()]
    return rfc6455.ClientHandshake(URI, subprotocols=["chat"], extensions=extensions, random=bytes)


def heads() -> Iterator[Input]:
    answer = answer_to(client().data_to_send())
    yield Input(HONEST_REQUEST, REQUEST, server)
    yield Input(HONEST_RESPONSE, answer, client)
    for role, honest, reader in (SERVER, REQUEST, server), (CLIENT, answer, client):
        for name, fields in FIELDS.items():
            yield Input(role + name, honest[:-2] + lines_of(fields) + b"\r\n", reader)


def lines_of(fields: Sequence[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)


def open_with(handshake: rfc6455.ServerHandshake | rfc6455.ClientHandshake, data: bytes) -> tuple[int, int]:
    """Read a head, and accept it if it is a valid request. No bytes of a message come out."""
    with suppress(rfc6455.HandshakeError):
        handshake.receive_data(data)
        if isinstance(handshake, rfc6455.ServerHandshake):
            handshake.accept().data_to_send()
    return len(data), 0


# --- measuring ----------------------------------------------------------------------------------------------------


Figures = dict[str, tuple[float, float]]
Read = Callable[[Any, bytes], tuple[int, int]]


def figures(inputs: Iterable[Input], read: Read, rounds: int = ROUNDS) -> Figures:
    """Return for each input the nanoseconds for a byte on the wire, at best, and the bytes that come out of it."""
    found: Figures = {}
    for each in inputs:
        best = float("inf")
        repeats = max(1, 64 * KIB // len(each.data))
        for _ in range(rounds):
            fresh = [each.reader() for _ in range(repeats)]
            begin = time.process_time()
            for reader in fresh:
                taken, size = read(reader, each.data)
            best = min(best, (time.process_time() - begin) / repeats / taken)
        found[each.name] = 1e9 * best, size / taken
    return found


def measure(rounds: int = ROUNDS) -> list[Figures]:
    """Return the figures of messages, and of heads."""
    return [figures(messages(), receive, rounds), figures(heads(), open_with, rounds)]


def measure_sources() -> list[Figures]:
    """Return the same for the sources, in a process of their own."""
    run = subprocess.run(
        [sys.executable, __file__, "--json"],
        env=os.environ | {"RFC6455_PURE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[Figures] = json.loads(run.stdout)
    return found


# --- the tables ---------------------------------------------------------------------------------------------------


def table(first: Sequence[str], builds: dict[str, Figures], honest: Callable[[str], str]) -> Iterator[str]:
    """Yield a table.

    :param first: the headings before those of the builds: one, or two with what comes out.
    :param honest: a function that returns the input with which an input is compared.
    """
    header = [*first]
    for build in builds:
        header += [f"{build}: ns per byte", "times honest input"]
    rows = []
    for name, (_, out) in next(iter(builds.values())).items():
        row = [name, digits(out)][: len(first)]
        for found in builds.values():
            nanoseconds = found[name][0]
            row += [digits(nanoseconds), f"{nanoseconds / found[honest(name)][0]:.1f}"]
        rows.append(row)
    return csv_table(header, rows)


def honest_head(name: str) -> str:
    return HONEST_REQUEST if name.startswith(SERVER) else HONEST_RESPONSE


def remarks(builds: dict[str, Figures]) -> Iterator[str]:
    """Yield remarks that explain the table of messages."""
    yield f"The goal is at most {MOST} times honest input. These remarks explain figures above that:"
    yield ""
    for build, found in builds.items():
        nanoseconds, honest = found[CHAIN][0] * 46, found[HONEST]
        zeros = found[ZEROS]
        yield (
            f"- {build}: the ends of streams are refused after 46 bytes and {nanoseconds / 1000:.0f} µs, and only once"
            f". A byte of zeros results in {zeros[1]:.0f} bytes of a message, which ``Limits.message`` bounds: "
            f"{zeros[0] / zeros[1]:.1f} ns each, compared with {honest[0] / honest[1]:.1f} ns for honest input."
        )
    yield "- pure: a frame takes a few microseconds, compressed or not, and the smallest has 6 bytes."


def page(builds: dict[str, list[Figures]]) -> str:
    facts = environment(ROUNDS)
    what = f"{facts['Python']}, zlib {facts['zlib']}, {facts['processor']}"
    of_messages = {build: found[0] for build, found in builds.items()}
    of_heads = {build: found[1] for build, found in builds.items()}
    lines = [
        ".. Made by benchmarks/worst_input.py; do not edit.",
        "",
        f"Measured by ``python benchmarks/worst_input.py`` with rfc6455 {rfc6455.__version__}, {what}.",
        f"The best of {ROUNDS} rounds, in processor time; reads of 64 KiB.",
        "",
        *table(["input from a client", "bytes out per byte"], of_messages, lambda _: HONEST),
        "",
        *remarks(of_messages),
        "",
        f"In the opening handshake, the goal is at most {MOST_OF_A_HEAD} times honest input.",
        "",
        *table(["end and input"], of_heads, honest_head),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/worst_input.py", description="What the costliest bytes cost.")
    parser.add_argument("file", type=Path, nargs="?", help="where to write the table; by default it is printed")
    parser.add_argument("--json", action="store_true", help="only the figures of the build that runs")
    options = parser.parse_args(arguments)
    write: Callable[[str], object] = options.file.write_text if options.file else print
    if options.json:
        write(json.dumps(measure()))
        return
    builds = {"compiled": measure()} if rfc6455.__compiled__ else {}
    write(page(builds | {"pure": measure_sources()}))


if __name__ == "__main__":
    main()
