"""The header of a frame (5.1 to 5.3): masks, reserved bits, opcodes and lengths."""

from __future__ import annotations

from collections.abc import Iterator

from ...codes import Role
from ..examples import LENGTHS, RESERVED_OPCODES
from .maker import BINARY, CLOSE, CONT, DATA_OPCODES, NAMES, PING, PONG, TEXT, Maker, codes, each_byte
from .model import Case, Closes, Echoes, Waits

# (length, the number of bytes in which it is written, more than needed)
NOT_MINIMAL = (*((length, 2) for length in (0, 1, 125)), *((length, 8) for length in (0, 1, 125, 126, 127, 65535)))


def cases(role: Role) -> Iterator[Case]:
    make = Maker("framing", role)
    yield from masks(make)
    yield from reserved_bits(make)
    yield from reserved_opcodes(make)
    yield from lengths(make)
    yield from splits(make)


def masks(make: Maker) -> Iterator[Case]:
    to_server = make.role is Role.SERVER
    what = "an unmasked" if to_server else "a masked"
    for opcode, name in NAMES.items():
        payload = b"\x03\xe8" if name == "close" else b"Hello"
        before = make.frame(TEXT, b"a", fin=False) if opcode == CONT else b""
        wrong = make.frame(opcode, payload, masked=not to_server)
        yield make.breaks(
            f"mask-{name}",
            "not masked" if to_server else "masked",
            f"{what} {name} frame: the connection fails",
            before + wrong,
        )
    wrong = make.frame(TEXT, masked=not to_server)
    yield make.breaks(
        "mask-empty",
        "not masked" if to_server else "masked",
        f"{what} frame without payload: the connection fails",
        wrong,
    )
    good = make.frame(TEXT, b"good")
    yield make.breaks(
        "mask-second",
        "not masked" if to_server else "masked",
        f"{what} frame after a good one: the connection fails",
        good + wrong,
        messages=((TEXT, b"good"),),
    )
    wrong = make.frame(TEXT, b"x" * 100, masked=not to_server)
    yield make.breaks(
        "mask-early",
        "not masked" if to_server else "masked",
        f"{what} frame: the connection fails at its header",
        wrong[:2],
        rest=(wrong[2:],),
    )
    if not to_server:
        sentence = "a client masks each frame, with a new key each time"
        messages = tuple((BINARY, b"%d" % number) for number in range(8))
        writes = [make.frame(opcode, payload) for opcode, payload in messages]
        yield make.case("mask-own", "5.3", sentence, (Echoes(messages, fresh_masks=True),), *writes)


def reserved_bits(make: Maker) -> Iterator[Case]:
    for rsv in range(1, 8):
        for opcode, name in NAMES.items():
            payload = b"\x03\xe8" if name == "close" else b"Hello"
            before = make.frame(TEXT, b"a", fin=False) if opcode == CONT else b""
            yield make.breaks(
                f"rsv-{rsv:03b}-{name}",
                "reserved bits",
                f"reserved bits {rsv:03b} of a {name} frame without an extension: the connection fails",
                before + make.frame(opcode, payload, rsv=rsv),
            )
    good, bad = make.frame(TEXT, b"good"), make.frame(TEXT, b"bad", rsv=2)
    yield make.breaks(
        "rsv-second",
        "reserved bits",
        "a reserved bit in the second message: the connection fails",
        good + bad,
        messages=((TEXT, b"good"),),
    )
    yield make.breaks(
        "rsv-bytes",
        "reserved bits",
        "a reserved bit in a frame that comes byte by byte: the connection fails",
        *each_byte(bad),
    )


def reserved_opcodes(make: Maker) -> Iterator[Case]:
    for opcode in RESERVED_OPCODES:
        for fin in (True, False):
            part = "" if fin else "-fragment"
            sentence = f"the reserved opcode {opcode} with FIN {int(fin)}: the connection fails"
            yield make.breaks(
                f"opcode-{opcode}{part}", "unknown opcode", sentence, make.frame(opcode, b"x" * (not fin), fin=fin)
            )
        yield make.breaks(
            f"opcode-{opcode}-second",
            "unknown opcode",
            f"the reserved opcode {opcode} after a good message: the connection fails",
            make.frame(TEXT, b"good") + make.frame(opcode),
            messages=((TEXT, b"good"),),
        )
        yield make.breaks(
            f"opcode-{opcode}-inside",
            "unknown opcode",
            f"the reserved opcode {opcode} inside a message: the connection fails",
            make.frame(TEXT, b"a", fin=False) + make.frame(opcode, b"x") + make.frame(CONT, b"b"),
        )


def lengths(make: Maker) -> Iterator[Case]:
    for opcode in DATA_OPCODES:
        for length in LENGTHS:
            payload = b"*" * length
            yield make.echoes(
                f"length-{length}-{NAMES[opcode]}",
                "5.2",
                f"a {NAMES[opcode]} message of length {length} comes back",
                ((opcode, payload),),
                make.frame(opcode, payload),
            )
    yield from not_minimal(make)


def not_minimal(make: Maker) -> Iterator[Case]:
    """Yield cases of lengths that are not minimal. 5.2: "the minimal number of bytes MUST be used to encode the
    length". The RFC does not require a receiver to check this."""
    for length, size in NOT_MINIMAL:
        for opcode in DATA_OPCODES:
            payload = b"*" * length
            yield make.breaks(
                f"length-{length}-in-{size}-{NAMES[opcode]}",
                f"length in {size} bytes",
                f"the length {length} of a {NAMES[opcode]} frame in {size} bytes, not minimal: the connection fails",
                make.frame(opcode, payload, size=size),
                tolerated=(Echoes(((opcode, payload),)),),
            )
    answers = {CLOSE: Closes(codes(1000)), PING: Echoes(pings=(b"\x03\xe8",)), PONG: Waits()}
    for opcode, answer in answers.items():
        for size in (2, 8):
            yield make.breaks(
                f"length-2-in-{size}-{NAMES[opcode]}",
                f"length in {size} bytes",
                f"the length 2 of a {NAMES[opcode]} frame in {size} bytes, not minimal: the connection fails",
                make.frame(opcode, b"\x03\xe8", size=size),
                tolerated=(answer,),
            )
    yield make.breaks(
        "length-1-in-2-continuation",
        "length in 2 bytes",
        "the length 1 of a continuation in 2 bytes, not minimal: the connection fails",
        make.frame(TEXT, b"a", fin=False) + make.frame(CONT, b"b", size=2),
        tolerated=(Echoes(((TEXT, b"ab"),)),),
    )


def splits(make: Maker) -> Iterator[Case]:
    """Yield cases of frames cut into various TCP segments, which must make no difference (5)."""
    for length in (0, 5, 126):
        payload = b"x" * length
        yield make.echoes(
            f"split-bytes-{length}",
            "5.2",
            f"a frame with {length} bytes of payload, sent byte by byte, comes back",
            ((BINARY, payload),),
            *each_byte(make.frame(BINARY, payload)),
        )
    large = make.frame(BINARY, b"y" * 65536)
    for at in (1, 2, 5, 9, 10, 13, 14, 15, 40000):
        yield make.echoes(
            f"split-at-{at}",
            "5.2",
            f"a frame of 65536 bytes, cut after byte {at}, comes back",
            ((BINARY, b"y" * 65536),),
            large[:at],
            large[at:],
        )
    yield make.echoes(
        "split-997",
        "5.2",
        "a frame of 65536 bytes in writes of 997 bytes comes back",
        ((BINARY, b"y" * 65536),),
        *(large[at : at + 997] for at in range(0, len(large), 997)),
    )
    messages = tuple((TEXT, b"%d" % number) for number in range(50))
    together = b"".join(make.frame(opcode, payload) for opcode, payload in messages)
    yield make.echoes("joined-50", "5.2", "fifty messages in one write all come back in order", messages, together)
    half = len(together) // 2 + 1
    yield make.echoes(
        "joined-50-cut",
        "5.2",
        "fifty messages in two writes, cut inside a frame, all come back in order",
        messages,
        together[:half],
        together[half:],
    )
    yield make.echoes(
        "joined-ping",
        "5.2",
        "a message and a Ping in one write are both answered",
        ((TEXT, b"a"),),
        make.frame(TEXT, b"a") + make.frame(PING, b"b"),
        pings=(b"b",),
    )
