"""Messages in several frames (5.4)."""

from __future__ import annotations

from collections.abc import Iterator

from ...codes import Role
from .maker import BINARY, CONT, DATA_OPCODES, NAMES, PING, PONG, TEXT, Maker, codes, each_byte
from .model import Case, Fails, HangsUp

# name: the payloads of the fragments
CUTS: dict[str, tuple[bytes, ...]] = {
    "two": (b"Hel", b"lo"),
    "three": (b"H", b"ell", b"o"),
    "empty-first": (b"", b"Hello"),
    "empty-middle": (b"Hel", b"", b"lo"),
    "empty-last": (b"Hello", b""),
    "all-empty": (b"", b"", b""),
    "single-bytes": (b"H", b"e", b"l", b"l", b"o"),
    "length-126": (b"x" * 126, b"y" * 125),
    "length-65536": (b"x" * 65536, b"y"),
    "hundred": (b"z",) * 100,
    "thousand": (b"z",) * 1000,
}


def cases(role: Role) -> Iterator[Case]:
    make = Maker("fragmentation", role)
    yield from good(make)
    yield from with_control_frames(make)
    yield from out_of_order(make)


def good(make: Maker) -> Iterator[Case]:
    for opcode in DATA_OPCODES:
        for name, payloads in CUTS.items():
            yield make.echoes(
                f"{name}-{NAMES[opcode]}",
                "5.4",
                f"a {NAMES[opcode]} message in {len(payloads)} frames ({name}) comes back as one",
                ((opcode, b"".join(payloads)),),
                b"".join(make.fragments(opcode, payloads)),
            )
    frames = make.fragments(TEXT, (b"Hel", b"lo"))
    hello = ((TEXT, b"Hello"),)
    yield make.echoes("writes", "5.4", "a message in two frames and two writes comes back", hello, *frames)
    yield make.echoes(
        "bytes", "5.4", "a message in two frames, byte by byte, comes back", hello, *each_byte(b"".join(frames))
    )
    ten = b"".join(frame for number in range(10) for frame in make.fragments(BINARY, (b"%d" % number, b"!")))
    yield make.echoes(
        "ten-messages",
        "5.4",
        "ten messages, each in two frames, come back in order",
        tuple((BINARY, b"%d!" % number) for number in range(10)),
        ten,
    )


def with_control_frames(make: Maker) -> Iterator[Case]:
    first, last = make.fragments(TEXT, (b"Hel", b"lo"))
    hello = ((TEXT, b"Hello"),)
    ping, pong = make.frame(PING, b"ping"), make.frame(PONG, b"pong")
    for name, what, control, pings in [
        ("ping", "a Ping", ping, (b"ping",)),
        ("pong", "a Pong", pong, ()),
        ("empty-ping", "an empty Ping", make.frame(PING), (b"",)),
    ]:
        sentence = f"{what} between two fragments is accepted, and the message comes back"
        yield make.echoes(f"{name}-between", "5.4", sentence, hello, first + control + last, pings=pings)
        yield make.echoes(
            f"{name}-between-writes", "5.4", sentence + ", in three writes", hello, first, control, last, pings=pings
        )
    numbered = [b"%d" % number for number in range(10)]
    frames = make.fragments(TEXT, [b"a"] * 10)
    mixed = b"".join(frame + make.frame(PING, number) for frame, number in zip(frames, numbered, strict=True))
    yield make.echoes(
        "pings-between-all",
        "5.4",
        "a Ping after each of ten fragments: the message comes back, and the last Ping is answered",
        ((TEXT, b"a" * 10),),
        mixed,
        pings=tuple(numbered),
    )
    yield make.echoes(
        "ping-answered-inside",
        "5.4",
        "a Ping inside an unfinished message is answered, and so is a Close",
        (),
        first + ping,
        pings=(b"ping",),
    )
    yield make.breaks(
        "ping-continued",
        "fragmented control frame",
        "a Ping in two frames: the connection fails",
        make.frame(PING, b"a", fin=False) + make.frame(CONT, b"b"),
    )
    yield make.breaks(
        "continuation-after-ping",
        "continuation of nothing",
        "a continuation after a Ping, which begins no message: the connection fails",
        make.frame(PING, b"a") + make.frame(CONT, b"b"),
        pings=(b"a",),
    )


def out_of_order(make: Maker) -> Iterator[Case]:
    good = make.frame(TEXT, b"good")
    one = ((TEXT, b"good"),)
    for fin in (True, False):
        for payload, size in ((b"x", "one-byte"), (b"", "empty")):
            cont = make.frame(CONT, payload, fin=fin)
            name = f"{'last' if fin else 'more'}-{size}"
            sentence = f"a continuation frame ({name}) with nothing to continue: the connection fails"
            yield make.breaks(f"continuation-first-{name}", "continuation of nothing", sentence, cont)
            yield make.breaks(
                f"continuation-after-{name}",
                "continuation of nothing",
                f"{sentence}, even after a good message",
                good + cont,
                messages=one,
            )
    for opcode in DATA_OPCODES:
        for other in DATA_OPCODES:
            for fin in (True, False):
                begun, second = make.frame(opcode, b"a", fin=False), make.frame(other, b"b", fin=fin)
                end = "whole" if fin else "cut"
                yield make.breaks(
                    f"{NAMES[other]}-{end}-inside-{NAMES[opcode]}",
                    "message in a message",
                    f"a {end} {NAMES[other]} message inside a {NAMES[opcode]} message: the connection fails",
                    begun + second,
                )
    begun = b"".join(make.fragments(TEXT, (b"a", b"b")))
    yield make.breaks(
        "continuation-after-last",
        "continuation of nothing",
        "a third fragment after the last one: the connection fails",
        begun + make.frame(CONT, b"c"),
        messages=((TEXT, b"ab"),),
    )
    yield make.breaks(
        "text-inside-early",
        "message in a message",
        "a text frame inside a message: the connection fails at its header",
        make.frame(TEXT, b"a", fin=False) + make.frame(TEXT, b"b" * 100)[:6],
        rest=(make.frame(CONT, b"b" * 100)[6:],),
    )
    for name, sent in [("message", make.frame(TEXT, b"a", fin=False)), ("frame", make.frame(TEXT, b"Hello")[:-2])]:
        yield make.case(
            f"end-in-{name}",
            "7.1.4",
            f"TCP ends inside a {name}: nothing of it comes back, and TCP is closed",
            (HangsUp(), Fails(codes(1002))),
            sent,
            half_close=True,
        )
