"""Text is UTF-8 (5.6, 8.1; RFC 3629): good and bad sequences, whole, in fragments, and cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from ...codes import Role
from ..examples import NOT_UTF_8, UNFINISHED_UTF_8
from .maker import CONT, TEXT, Maker
from .model import Case

# name: text
GOOD: dict[str, str] = {
    "ascii": "Hello, world!",
    "greek": "Hello-µ@ßöäüàá-UTF-8!!",
    "kosme": "κόσμε",
    "japanese": "こんにちは世界",
    "emoji": "👋🏽👩‍👩‍👧‍👦",
    "combining": "e\u0301",
    "right-to-left": "שלום \u202eabc",
    "u0000": "\u0000",
    "u0001": "\u0001",
    "u007f": "\u007f",
    "u0080": "\u0080",
    "u07ff": "\u07ff",
    "u0800": "\u0800",
    "u0fff": "\u0fff",
    "u1000": "\u1000",
    "ucfff": "\ucfff",
    "ud7ff": "\ud7ff",
    "ue000": "\ue000",
    "ufdd0": "\ufdd0",
    "ufeff": "\ufeff",
    "ufffd": "\ufffd",
    "ufffe": "\ufffe",
    "uffff": "\uffff",
    "u10000": "\U00010000",
    "u1fffe": "\U0001fffe",
    "u3ffff": "\U0003ffff",
    "u40000": "\U00040000",
    "ufffff": "\U000fffff",
    "u100000": "\U00100000",
    "u10ffff": "\U0010ffff",
}

# The names of texts that are cut inside their characters.
CUT_INSIDE = ("kosme", "emoji", "u07ff", "uffff", "u10ffff")

# (name, the beginning of an unfinished text): its last byte is already invalid.
EARLY = (
    ("ff", "ff"),
    ("80", "80"),
    ("c0", "c0"),
    ("c3-28", "c3 28"),
    ("e0-80", "e0 80"),
    ("ed-a0", "ed a0"),
    ("f0-80", "f0 80"),
    ("f4-90", "f4 90"),
    ("after-good", "ce ba e1 bd b9 cf 83 ff"),
)


def cases(role: Role) -> Iterator[Case]:
    make = Maker("utf8", role)
    yield from good(make)
    yield from bad(make)
    yield from early(make)


def good(make: Maker) -> Iterator[Case]:
    for name, text in GOOD.items():
        payload = text.encode()
        yield make.echoes(
            name,
            "5.6",
            f"the text {text!a} comes back",
            ((TEXT, payload),),
            make.frame(TEXT, payload),
        )
    for name in CUT_INSIDE:
        payload = GOOD[name].encode()
        fragments = make.fragments(TEXT, [payload[at : at + 1] for at in range(len(payload))])
        for how, writes in (("fragments", (b"".join(fragments),)), ("writes", fragments)):
            yield make.echoes(
                f"{name}-byte-{how}",
                "5.6",
                f"the text {GOOD[name]!a} in fragments of one byte ({how}) comes back",
                ((TEXT, payload),),
                *writes,
            )
        # Two fragments of one byte are tested above.
        for at in range(1, 4 if len(payload) > 3 else len(payload) - 1):
            yield make.echoes(
                f"{name}-cut-{at}",
                "5.6",
                f"the text {GOOD[name]!a}, fragmented after byte {at}, comes back",
                ((TEXT, payload),),
                b"".join(make.fragments(TEXT, (payload[:at], payload[at:]))),
            )


def bad(make: Maker) -> Iterator[Case]:
    for name, digits in NOT_UTF_8.items():
        payload = bytes.fromhex(digits)
        yield make.breaks(
            f"bad-{name}",
            "text not UTF-8",
            f"{digits} in a text, not UTF-8: the connection fails",
            make.frame(TEXT, payload),
        )
        fragments = make.fragments(TEXT, (b"ab" + payload[:1], payload[1:], b"cd"))
        yield make.breaks(
            f"bad-{name}-fragments",
            "fragmented text not UTF-8",
            f"{digits} in a text of three fragments, not UTF-8: the connection fails",
            b"".join(fragments),
        )
    for digits in UNFINISHED_UTF_8:
        payload = bytes.fromhex(digits)
        name = digits.replace(" ", "-")
        sentence = f"a text that ends in {digits}, inside a character: the connection fails"
        yield make.breaks(f"unfinished-{name}", "text not UTF-8", sentence, make.frame(TEXT, payload))
        yield make.breaks(
            f"unfinished-{name}-fragments",
            "fragmented text not UTF-8",
            f"{sentence}, also in fragments",
            b"".join(make.fragments(TEXT, (payload, b""))),
        )
    good_text = make.frame(TEXT, b"good")
    yield make.breaks(
        "bad-second",
        "text not UTF-8",
        "a second text that is not UTF-8: the connection fails",
        good_text + make.frame(TEXT, b"\xff"),
        messages=((TEXT, b"good"),),
    )
    split_over_messages = make.frame(TEXT, b"\xc3") + make.frame(TEXT, b"\xa4")
    yield make.breaks(
        "two-messages",
        "text not UTF-8",
        "a character cut between two messages: the first one is not UTF-8, and the connection fails",
        split_over_messages,
    )


def early(make: Maker) -> Iterator[Case]:
    """Yield cases of an early failure. 8.1 does not say when to fail, but a peer that waits for the end of the message
    collects data that it will refuse."""
    for name, digits in EARLY:
        payload = bytes.fromhex(digits)
        yield make.breaks(
            f"early-{name}-fragment",
            "fragmented text not UTF-8",
            f"{digits} ends a first fragment: the connection fails before the message ends",
            make.frame(TEXT, payload, fin=False),
            rest=(make.frame(CONT, b"..."),),
        )
        frame = make.frame(TEXT, payload + b"." * 100)
        sent = len(frame) - 100
        yield make.breaks(
            f"early-{name}-frame",
            "text not UTF-8",
            f"{digits} begins a frame: the connection fails before the frame ends",
            frame[:sent],
            rest=(frame[sent:],),
        )
