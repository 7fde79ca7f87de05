"""permessage-deflate (RFC 7692): its parameters, its data, and the bit that marks it.

Data cases begin with an offer without parameters, which any peer that supports the extension can agree to. For a peer
without it, these cases are skipped and do not count as failed: the extension is optional.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ...codes import Role
from .maker import BINARY, CLOSE, CONT, PING, PONG, TEXT, DeflateMaker, answer, codes, each_byte, offering
from .model import Case, Deflate, Echoes, HangsUp, Refuses

HELLO = ((TEXT, b"Hello"),)
RSV1 = 4

# Examples of RFC 7692: (section, the compressed payload, what it is)
EXAMPLES = {
    "example": ("7.2.3.1", "f2 48 cd c9 c9 07 00", "the example of one block"),
    "stored-block": ("7.2.3.3", "00 05 00 fa ff 48 65 6c 6c 6f 00", "a block without compression"),
    "final-block": ("7.2.3.4", "f3 48 cd c9 c9 07 00 00", "a block with BFINAL"),
    "two-blocks": ("7.2.3.5", "f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "a message of two blocks"),
}

# name: a payload that is not valid DEFLATE data
BAD_DATA = {
    "reserved-block": "07 00 00",
    "all-ones": "ff ff ff ff",
    "plain-text": "48 65 6c 6c 6f",
    "stored-lengths": "00 05 00 05 00 48 65 6c 6c 6f 00",
    "distance-too-far": "4a 04 62 00",
    "empty-payload-then-noise": "00 00 00 ff ff ff ff ff",
}

# Offers that 7.1 calls invalid: name: (section, parameters)
BAD_OFFERS = {
    "server-bits-7": ("7.1.2.1", "server_max_window_bits=7"),
    "server-bits-16": ("7.1.2.1", "server_max_window_bits=16"),
    "server-bits-0": ("7.1.2.1", "server_max_window_bits=0"),
    "server-bits-1e9": ("7.1.2.1", "server_max_window_bits=1000000000"),
    "server-bits-leading-zero": ("7.1.2.1", "server_max_window_bits=08"),
    "server-bits-sign": ("7.1.2.1", "server_max_window_bits=+10"),
    "server-bits-word": ("7.1.2.1", "server_max_window_bits=ten"),
    "server-bits-missing": ("7.1.2.1", "server_max_window_bits"),
    "client-bits-7": ("7.1.2.2", "client_max_window_bits=7"),
    "client-bits-16": ("7.1.2.2", "client_max_window_bits=16"),
    "client-bits-word": ("7.1.2.2", "client_max_window_bits=ten"),
    "client-bits-leading-zero": ("7.1.2.2", "client_max_window_bits=010"),
    "server-takeover-value": ("7.1.1.1", "server_no_context_takeover=1"),
    "client-takeover-value": ("7.1.1.2", "client_no_context_takeover=true"),
    "unknown": ("7.1", "x_unknown"),
    "unknown-value": ("7.1", "x_unknown=1"),
    "twice": ("7.1", "server_no_context_takeover; server_no_context_takeover"),
    "bits-twice": ("7.1", "server_max_window_bits=10; server_max_window_bits=12"),
}

# Offers that are valid; a server may agree or not.
GOOD_OFFERS = {
    "server-takeover": "permessage-deflate; server_no_context_takeover",
    "client-takeover": "permessage-deflate; client_no_context_takeover",
    "both-takeovers": "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
    "client-bits": "permessage-deflate; client_max_window_bits",
    "client-bits-10": "permessage-deflate; client_max_window_bits=10",
    **{f"server-bits-{bits}": f"permessage-deflate; server_max_window_bits={bits}" for bits in range(8, 16)},
    "quoted": 'permessage-deflate; server_max_window_bits="10"',
    "everything": "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
    "server_max_window_bits=11; client_max_window_bits=12",
    "fallback": "permessage-deflate; server_max_window_bits=10, permessage-deflate",
    "no-spaces": "permessage-deflate;server_no_context_takeover;client_max_window_bits",
    "many-spaces": "permessage-deflate ;  server_no_context_takeover ; client_max_window_bits",
}

# An answer must contain only what the client offered, and only what is valid.
BAD_ANSWERS = {
    "server-bits-7": ("7.1.2.1", "permessage-deflate; server_max_window_bits=7"),
    "server-bits-16": ("7.1.2.1", "permessage-deflate; server_max_window_bits=16"),
    "server-bits-word": ("7.1.2.1", "permessage-deflate; server_max_window_bits=ten"),
    "server-bits-missing": ("7.1.2.1", "permessage-deflate; server_max_window_bits"),
    "client-bits-missing": ("7.1.2.2", "permessage-deflate; client_max_window_bits"),
    "client-bits-16": ("7.1.2.2", "permessage-deflate; client_max_window_bits=16"),
    "takeover-value": ("7.1.1.1", "permessage-deflate; server_no_context_takeover=1"),
    "unknown-parameter": ("7.1", "permessage-deflate; x_unknown"),
    "parameter-twice": ("7.1", "permessage-deflate; client_no_context_takeover; client_no_context_takeover"),
    "twice": ("7.1", "permessage-deflate, permessage-deflate"),
}


def deflated(data: bytes, level: int = 6, bits: int = 15) -> bytes:
    """Return the payload of a compressed message (RFC 7692 7.2.1)."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def bomb(mebibytes: int) -> bytes:
    """Return compressed zeros, about 1 KB for each MiB, made by repeating a block that does not refer to another."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return (block * mebibytes)[:-4]


def cases(role: Role) -> Iterator[Case]:
    make = DeflateMaker("compression", role)
    yield from (offers(make) if role is Role.SERVER else answers(make))
    yield from data(make)
    yield from takeover(make)
    yield from marks(make)
    yield from bad_data(make)
    yield from bombs(make)


def offers(make: DeflateMaker) -> Iterator[Case]:
    hello = make.frame(TEXT, b"Hello")
    for name, offer in GOOD_OFFERS.items():
        yield make.echoes(
            f"offer-{name}",
            "RFC 7692 7.1",
            "a valid offer is declined, or answered with parameters that fit it",
            HELLO,
            hello,
            head=(offering(offer),),
            deflate=Deflate.CHOICE,
        )
    for name, (section, parameters) in BAD_OFFERS.items():
        yield make.echoes(
            f"bad-offer-{name}",
            f"RFC 7692 {section}",
            f"an offer with {parameters} is declined",
            HELLO,
            hello,
            head=(offering(f"permessage-deflate; {parameters}"),),
            deflate=Deflate.DECLINED,
            tolerated=(Refuses(frozenset({400})),),
        )
    yield make.echoes(
        "bad-offer-then-good",
        "RFC 7692 5",
        "a bad offer, then a good one: the good one may be agreed to",
        HELLO,
        hello,
        head=(offering("permessage-deflate; server_max_window_bits=7, permessage-deflate"),),
        deflate=Deflate.CHOICE,
    )


def answers(make: DeflateMaker) -> Iterator[Case]:
    probe = make.frame(PING, b"?") + make.frame(TEXT, b"?")
    for name, (section, extensions) in BAD_ANSWERS.items():
        head = answer(more=f"Sec-WebSocket-Extensions: {extensions}\r\n")
        yield make.case(
            f"bad-answer-{name}",
            f"RFC 7692 {section}",
            f"the answer {extensions}: the connection fails",
            (HangsUp(),),
            probe,
            head=(head,),
            joined=True,
            deflate=Deflate.CHOICE,
        )


def data(make: DeflateMaker) -> Iterator[Case]:
    for name, (section, digits, what) in EXAMPLES.items():
        payload = bytes.fromhex(digits)
        clause = f"RFC 7692 {section}"
        yield make.echoes(
            name, clause, f"{what} is inflated, and Hello comes back", HELLO, make.frame(TEXT, payload, rsv=RSV1)
        )
        yield make.echoes(
            f"{name}-fragments",
            clause,
            f"{what} in two frames is inflated, and Hello comes back",
            HELLO,
            make.frame(TEXT, payload[:3], rsv=RSV1, fin=False) + make.frame(CONT, payload[3:]),
        )
        yield make.echoes(
            f"{name}-bytes",
            clause,
            f"{what}, byte by byte, is inflated, and Hello comes back",
            HELLO,
            *each_byte(make.frame(TEXT, payload, rsv=RSV1)),
        )
    yield make.echoes(
        "empty",
        "RFC 7692 7.2.3.6",
        "an empty message, compressed to one byte, comes back",
        ((TEXT, b""),),
        make.frame(TEXT, b"\0", rsv=RSV1),
    )
    yield make.echoes(
        "not-compressed",
        "RFC 7692 7.2.1",
        "a message without RSV1 is not inflated, and comes back",
        HELLO,
        make.frame(TEXT, b"Hello"),
    )
    yield make.echoes(
        "mixed",
        "RFC 7692 6",
        "compressed and uncompressed messages in turn come back",
        ((TEXT, b"Hello"), (TEXT, b"plain"), (BINARY, b"\0" * 10)),
        make.frame(TEXT, deflated(b"Hello"), rsv=RSV1)
        + make.frame(TEXT, b"plain")
        + make.frame(BINARY, deflated(bytes(10)), rsv=RSV1),
    )
    for level in (0, 1, 9):
        payload = bytes(range(256)) * 40
        yield make.echoes(
            f"level-{level}",
            "RFC 7692 7.2.2",
            f"10 KiB deflated at level {level} come back",
            ((BINARY, payload),),
            make.frame(BINARY, deflated(payload, level), rsv=RSV1),
        )
    for bits in (9, 12):
        # It repeats after 1 KiB, a distance that only the larger window covers.
        payload = b"".join(b"%04x" % (number * number % 65521) for number in range(256)) * 8
        yield make.echoes(
            f"window-{bits}",
            "RFC 7692 7.2.2",
            f"8 KB deflated with a window of {bits} bits come back",
            ((TEXT, payload),),
            make.frame(TEXT, deflated(payload, bits=bits), rsv=RSV1),
        )
    payload = "Grüße, κόσμε 👋 ".encode() * 500
    compressed = deflated(payload)
    for size in (1, 16, 100):
        parts = [compressed[at : at + size] for at in range(0, len(compressed), size)]
        frames = [make.frame(TEXT, parts[0], rsv=RSV1, fin=False)]
        frames += [make.frame(CONT, part, fin=False) for part in parts[1:]] + [make.frame(CONT)]
        yield make.echoes(
            f"fragments-of-{size}",
            "RFC 7692 7.2.1",
            f"a compressed text in fragments of length {size} comes back",
            ((TEXT, payload),),
            b"".join(frames),
        )
    payload = bytes(256 << 10)
    yield make.echoes(
        "256-kib",
        "RFC 7692 7.2.2",
        "256 KiB of zeros in a few hundred bytes come back",
        ((BINARY, payload),),
        make.frame(BINARY, deflated(payload), rsv=RSV1),
    )
    first, last = (make.frame(TEXT, b"\xf2\x48\xcd", rsv=RSV1, fin=False), make.frame(CONT, b"\xc9\xc9\x07\x00"))
    yield make.echoes(
        "ping-inside",
        "RFC 7692 6.1",
        "a Ping between two fragments of a compressed message is answered",
        HELLO,
        first + make.frame(PING, b"p") + last,
        pings=(b"p",),
    )


def takeover(make: DeflateMaker) -> Iterator[Case]:
    first = make.frame(TEXT, bytes.fromhex("f2 48 cd c9 c9 07 00"), rsv=RSV1)
    second = make.frame(TEXT, bytes.fromhex("f2 00 11 00 00"), rsv=RSV1)
    yield make.echoes(
        "takeover-example",
        "RFC 7692 7.2.3.2",
        "a second Hello that refers to the first one comes back",
        HELLO * 2,
        first + second,
        takeover=True,
    )
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    messages, frames = [], []
    for number in range(50):
        payload = b"message number %d of fifty that look alike" % number
        frames.append(
            make.frame(TEXT, (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=RSV1)
        )
        messages.append((TEXT, payload))
    yield make.echoes(
        "takeover-50",
        "RFC 7692 7.1.1",
        "fifty messages, each compressed with those before it, come back",
        tuple(messages),
        b"".join(frames),
        takeover=True,
    )
    yield make.echoes(
        "no-takeover-50",
        "RFC 7692 7.1.1",
        "fifty messages, each compressed independently, come back",
        HELLO * 50,
        first * 50,
    )


def marks(make: DeflateMaker) -> Iterator[Case]:
    begun = make.frame(TEXT, b"\xf2\x48\xcd", rsv=RSV1, fin=False)
    last = b"\xc9\xc9\x07\x00"
    yield make.fails(
        "rsv1-continuation",
        "RFC 7692 6.1",
        "RSV1 on a continuation of a compressed message: the connection fails",
        1002,
        begun + make.frame(CONT, last, rsv=RSV1),
    )
    yield make.fails(
        "rsv1-continuation-plain",
        "RFC 7692 6.1",
        "RSV1 on a continuation of a plain message: the connection fails",
        1002,
        make.frame(TEXT, b"a", fin=False) + make.frame(CONT, b"b", rsv=RSV1),
    )
    for opcode, name in ((PING, "Ping"), (PONG, "Pong"), (CLOSE, "Close")):
        payload = b"\x03\xe8" if opcode == CLOSE else b"Hello"
        yield make.fails(
            f"rsv1-{name.lower()}",
            "RFC 7692 6.1",
            f"RSV1 on a {name}: the connection fails",
            1002,
            make.frame(opcode, payload, rsv=RSV1),
        )
    for rsv in (1, 2, 3, 5, 6, 7):
        yield make.breaks(
            f"rsv-{rsv:03b}",
            "reserved bits",
            f"reserved bits {rsv:03b}, where only 100 was agreed on: the connection fails",
            make.frame(TEXT, deflated(b"Hello"), rsv=rsv),
        )


def bad_data(make: DeflateMaker) -> Iterator[Case]:
    for name, digits in BAD_DATA.items():
        yield make.fails(
            f"bad-{name}",
            "RFC 7692 7.2.2",
            f"{digits} does not inflate: the connection fails, and nothing comes back",
            codes(1007, 1002),
            make.frame(BINARY, bytes.fromhex(digits), rsv=RSV1),
        )
    for name, text in (("ff", b"\xff"), ("surrogate", b"\xed\xa0\x80"), ("unfinished", b"Hello \xe2\x82")):
        yield make.breaks(
            f"bad-utf8-{name}",
            "text not UTF-8",
            f"a compressed text that is not UTF-8 ({name}): the connection fails",
            make.frame(TEXT, deflated(text), rsv=RSV1),
        )


def bombs(make: DeflateMaker) -> Iterator[Case]:
    size = 24
    packed = bomb(size)
    zeros = ((BINARY, bytes(size << 20)),)
    yield make.fails(
        "bomb",
        "10.4",
        f"{len(packed)} bytes that inflate to {size} MiB are over the limit: the connection fails",
        1009,
        make.frame(BINARY, packed, rsv=RSV1),
        tolerated=(Echoes(zeros),),
    )
    quarter = len(packed) // 4
    pieces = [packed[at : at + quarter] for at in range(0, len(packed), quarter)]
    frames = [make.frame(BINARY, pieces[0], rsv=RSV1, fin=False)]
    frames += [make.frame(CONT, piece, fin=False) for piece in pieces[1:]] + [make.frame(CONT)]
    yield make.fails(
        "bomb-fragments",
        "10.4",
        f"the same in {len(frames)} frames: the connection fails",
        1009,
        *frames,
        tolerated=(Echoes(zeros),),
    )
