"""Control frames other than Close: Ping and Pong (5.5, 5.5.2, 5.5.3)."""

from __future__ import annotations

from collections.abc import Iterator

from ...codes import Role
from .maker import CLOSE, CONT, CONTROL_OPCODES, NAMES, PING, PONG, TEXT, Maker, each_byte
from .model import Case

# name: the payload of a Ping
PAYLOADS: dict[str, bytes] = {
    "empty": b"",
    "one-byte": b"a",
    "text": b"Hello",
    "not-utf8": b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff",
    "zeros": bytes(64),
    "length-124": b"*" * 124,
    "length-125": b"\xfe" * 125,
    "like-a-frame": b"\x88\x82\x00\x00\x00\x00\x03\xe8",
}


def cases(role: Role) -> Iterator[Case]:
    make = Maker("control", role)
    yield from pings(make)
    yield from pongs(make)
    yield from broken(make)


def pings(make: Maker) -> Iterator[Case]:
    for name, payload in PAYLOADS.items():
        frame = make.frame(PING, payload)
        sentence = f"a Ping ({name}, length {len(payload)}) is answered with a Pong with the same payload"
        yield make.echoes(f"ping-{name}", "5.5.3", sentence, (), frame, pings=(payload,))
    for name in ("text", "length-125"):
        payload = PAYLOADS[name]
        sentence = f"a Ping ({name}), byte by byte, is answered with a Pong"
        frames = each_byte(make.frame(PING, payload))
        yield make.echoes(f"ping-{name}-bytes", "5.5.2", sentence, (), *frames, pings=(payload,))
    for count in (2, 10, 1000):
        payloads = tuple(b"%d" % number for number in range(count))
        sentence = f"of {count} Pings in one write, at least the last one is answered"
        together = b"".join(make.frame(PING, payload) for payload in payloads)
        yield make.echoes(f"ping-{count}", "5.5.3", sentence, (), together, pings=payloads)
    message, ping = make.frame(TEXT, b"Hello"), make.frame(PING, b"ping")
    hello = ((TEXT, b"Hello"),)
    yield make.echoes(
        "ping-before", "5.5.2", "a Ping before a message: both are answered", hello, ping + message, pings=(b"ping",)
    )
    yield make.echoes(
        "ping-same-twice",
        "5.5.2",
        "the same Ping twice, with a message between: the second one is answered",
        hello,
        ping + message + ping,
        pings=(b"ping", b"ping"),
    )


def pongs(make: Maker) -> Iterator[Case]:
    for name in ("empty", "text", "not-utf8", "length-125"):
        yield make.echoes(
            f"pong-{name}",
            "5.5.3",
            f"an unsolicited Pong ({name}) is not answered, and the connection stays open",
            ((TEXT, b"Hello"),),
            make.frame(PONG, PAYLOADS[name]) + make.frame(TEXT, b"Hello"),
        )
    ten = b"".join(make.frame(PONG, b"%d" % number) for number in range(10))
    yield make.echoes(
        "pong-10-then-ping",
        "5.5.3",
        "ten unsolicited Pongs, then a Ping: the Ping is answered",
        (),
        ten + make.frame(PING, b"ping"),
        pings=(b"ping",),
    )


def broken(make: Maker) -> Iterator[Case]:
    for opcode in CONTROL_OPCODES:
        name = NAMES[opcode]
        start = b"\x03\xe8" if opcode == CLOSE else b""
        for length in (126, 127, 65536):
            payload = start + b"*" * (length - len(start))
            sentence = f"a {name} frame of {length} bytes: the connection fails"
            yield make.breaks(f"{name}-{length}", "long control frame", sentence, make.frame(opcode, payload))
        frame = make.frame(opcode, b"*" * 126)
        yield make.breaks(
            f"{name}-126-early",
            "long control frame",
            f"a {name} frame of 126 bytes: the connection fails at its header",
            frame[:4],
            rest=(frame[4:],),
        )
        for size in (0, 2):
            payload = b"\x03\xe8"[:size]
            yield make.breaks(
                f"{name}-not-final-{size}",
                "fragmented control frame",
                f"a {name} frame of {size} bytes without FIN: the connection fails",
                make.frame(opcode, payload, fin=False),
            )
        yield make.breaks(
            f"{name}-not-final-inside",
            "fragmented control frame",
            f"a {name} frame without FIN inside a message: the connection fails",
            make.frame(TEXT, b"a", fin=False) + make.frame(opcode, b"\x03\xe8", fin=False) + make.frame(CONT, b"b"),
        )
