"""Impossible lengths (5.2), and sizes from which a peer must protect itself (10.4).

Limits differ between servers and clients. Messages that are sent here as too large exceed any default in use; those
that must come back are far below.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...codes import Role
from .maker import BINARY, CONT, DATA_OPCODES, NAMES, PING, TEXT, Maker, codes
from .model import Case, Fails, Waits

KIB, MIB = 1 << 10, 1 << 20

# Sizes of messages that must come back, in bytes.
FAIR_SIZES = (100 * KIB, 256 * KIB, 512 * KIB)

# Exponents: sizes of 2 to the power of these, in bytes, are beyond all limits.
POWERS = (40, 50, 62)

# The part of an endless message that is sent: beyond every default limit, but not too large for a peer without one.
ENDLESS = 24 * MIB


def cases(role: Role) -> Iterator[Case]:
    make = Maker("limits", role)
    yield from impossible(make)
    yield from too_large(make)
    yield from fair(make)


def impossible(make: Maker) -> Iterator[Case]:
    for opcode in DATA_OPCODES:
        for name, length in (("2-63", 1 << 63), ("2-64-1", (1 << 64) - 1), ("2-63-5", (1 << 63) + 5)):
            yield make.breaks(
                f"length-{name}-{NAMES[opcode]}",
                "length of 2^63",
                f"a {NAMES[opcode]} frame with length {length}, whose first bit is set: the connection fails",
                make.frame(opcode, b"Hello", length=length),
                tolerated=(Fails(codes(1009)),),
            )
    begun = make.frame(BINARY, b"a", fin=False)
    yield make.breaks(
        "length-2-63-continuation",
        "length of 2^63",
        f"a continuation with length {1 << 63}, whose first bit is set: the connection fails",
        begun + make.frame(CONT, b"Hello", length=1 << 63),
    )


def too_large(make: Maker) -> Iterator[Case]:
    why = "is over any limit: the connection fails at the header"
    for power in POWERS:
        for opcode in DATA_OPCODES:
            yield make.fails(
                f"frame-2-{power}-{NAMES[opcode]}",
                "10.4",
                f"a {NAMES[opcode]} frame of 2^{power} bytes {why}",
                1009,
                make.frame(opcode, b"Hello", length=1 << power),
                tolerated=(Waits(),),
            )
    largest = (1 << 63) - 1
    yield make.fails(
        "frame-2-63-1",
        "10.4",
        f"a frame of 2^63 - 1 bytes {why}",
        1009,
        make.frame(BINARY, b"Hello", length=largest),
        tolerated=(Waits(),),
    )
    begun = make.frame(TEXT, b"a", fin=False)
    for name, length in (("2-40", 1 << 40), ("2-63-1", largest)):
        yield make.fails(
            f"continuation-{name}",
            "10.4",
            f"a continuation of {length} bytes {why}",
            1009,
            begun + make.frame(CONT, b"Hello", length=length),
            tolerated=(Waits(),),
        )
    piece = make.frame(CONT, b"x" * (64 * KIB), fin=False)
    yield make.fails(
        "endless",
        "10.4",
        f"fragments of 64 KiB, {ENDLESS // MIB} MiB in all, without a last one: the connection fails",
        1009,
        make.frame(BINARY, b"x", fin=False),
        *(piece,) * (ENDLESS // (64 * KIB)),
        tolerated=(Waits(),),
    )


def fair(make: Maker) -> Iterator[Case]:
    for size in FAIR_SIZES:
        payload = bytes(range(256)) * (size // 256)
        yield make.echoes(
            f"fair-{size // KIB}-kib",
            "10.4",
            f"a message of {size // KIB} KiB comes back",
            ((BINARY, payload),),
            make.frame(BINARY, payload),
        )
    payload = b"y" * (256 * KIB)
    sixteenth = len(payload) // 16
    yield make.echoes(
        "fair-fragments",
        "10.4",
        "a message of 256 KiB in 16 fragments comes back",
        ((BINARY, payload),),
        b"".join(make.fragments(BINARY, [payload[:sixteenth]] * 16)),
    )
    yield make.echoes(
        "fair-ping-inside",
        "10.4",
        "a Ping between the fragments of a message of 256 KiB is answered",
        ((BINARY, payload),),
        make.frame(BINARY, payload, fin=False) + make.frame(PING, b"p" * 125) + make.frame(CONT),
        pings=(b"p" * 125,),
    )
    yield make.echoes(
        "fair-empty-fragments",
        "5.4",
        "a message with 1000 empty fragments comes back",
        ((BINARY, b"ab"),),
        b"".join(make.fragments(BINARY, [b"a", *[b""] * 1000, b"b"])),
    )
    small = tuple((TEXT, b"%d" % number) for number in range(1000))
    yield make.echoes(
        "fair-1000-messages",
        "10.4",
        "a thousand small messages in one write come back, in order",
        small,
        b"".join(make.frame(opcode, text) for opcode, text in small),
    )
