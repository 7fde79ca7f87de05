"""Text is UTF-8 (5.6, 8.1; RFC 3629): good and bad sequences, whole, in fragments, and cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from ...codes import Role
from .maker import CONT, TEXT, Maker, codes
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

# Cut inside their characters.
CUT_INSIDE = ("kosme", "emoji", "u07ff", "uffff", "u10ffff")

# name: bytes that are not UTF-8 (RFC 3629 4), and end where no character is unfinished
BAD: dict[str, str] = {
    # What may only continue a character, or can never come.
    "80": "80",
    "bf": "bf",
    "80-bf": "80 bf",
    "c0": "c0",
    "c1": "c1",
    "f5": "f5",
    "f8": "f8",
    "fe": "fe",
    "ff": "ff",
    # A character that is broken off by the next one.
    "c2-ascii": "c2 41",
    "df-ascii": "df 41",
    "e0-a0-ascii": "e0 a0 41",
    "ef-bf-ascii": "ef bf 41",
    "f0-90-ascii": "f0 90 41",
    "f4-8f-bf-ascii": "f4 8f bf 41",
    "two-starts": "c3 c3 a4",
    "one-continuation-too-many": "c3 a4 a4",
    # Longer than needed.
    "overlong-c0-80": "c0 80",
    "overlong-c0-af": "c0 af",
    "overlong-c1-bf": "c1 bf",
    "overlong-e0-80-80": "e0 80 80",
    "overlong-e0-80-af": "e0 80 af",
    "overlong-e0-9f-bf": "e0 9f bf",
    "overlong-f0-80-80-80": "f0 80 80 80",
    "overlong-f0-80-80-af": "f0 80 80 af",
    "overlong-f0-8f-bf-bf": "f0 8f bf bf",
    "five-bytes": "f8 88 80 80 80",
    "six-bytes": "fc 84 80 80 80 80",
    # Surrogates.
    "surrogate-d800": "ed a0 80",
    "surrogate-db7f": "ed ad bf",
    "surrogate-dbff": "ed af bf",
    "surrogate-dc00": "ed b0 80",
    "surrogate-dfff": "ed bf bf",
    "surrogate-pair": "ed a0 81 ed b0 80",
    # Beyond U+10FFFF.
    "beyond-110000": "f4 90 80 80",
    "beyond-13ffff": "f4 bf bf bf",
    "beyond-140000": "f5 80 80 80",
    "beyond-1fffff": "f7 bf bf bf",
    # Among good characters.
    "in-the-middle": "ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64",
    "latin-1": "48 65 6c 6c f6",
}

# A message that ends inside a character.
UNFINISHED = ("c2", "e2", "e2 82", "f0", "f0 9f", "f0 9f 91", "48 65 6c 6c 6f c3")

# (name, how a text begins that goes on): the last byte here cannot be right.
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
        # Two fragments of one byte are above already.
        for at in range(1, 4 if len(payload) > 3 else len(payload) - 1):
            yield make.echoes(
                f"{name}-cut-{at}",
                "5.6",
                f"the text {GOOD[name]!a}, fragmented after byte {at}, comes back",
                ((TEXT, payload),),
                b"".join(make.fragments(TEXT, (payload[:at], payload[at:]))),
            )


def bad(make: Maker) -> Iterator[Case]:
    for name, digits in BAD.items():
        payload = bytes.fromhex(digits)
        yield make.fails(
            f"bad-{name}",
            "8.1",
            f"{digits} in a text is not UTF-8: the connection fails",
            1007,
            make.frame(TEXT, payload),
        )
        fragments = make.fragments(TEXT, (b"ab" + payload[:1], payload[1:], b"cd"))
        yield make.fails(
            f"bad-{name}-fragments",
            "8.1",
            f"{digits} in a text of three fragments is not UTF-8: the connection fails",
            1007,
            b"".join(fragments),
        )
    for digits in UNFINISHED:
        payload = bytes.fromhex(digits)
        name = digits.replace(" ", "-")
        sentence = f"a text that ends in {digits}, inside a character: the connection fails"
        yield make.fails(f"unfinished-{name}", "8.1", sentence, 1007, make.frame(TEXT, payload))
        yield make.fails(
            f"unfinished-{name}-fragments",
            "8.1",
            f"{sentence}, in fragments too",
            1007,
            b"".join(make.fragments(TEXT, (payload, b""))),
        )
    good_text = make.frame(TEXT, b"good")
    yield make.fails(
        "bad-second",
        "8.1",
        "a second text that is not UTF-8: the connection fails",
        1007,
        good_text + make.frame(TEXT, b"\xff"),
        messages=((TEXT, b"good"),),
    )
    split_over_messages = make.frame(TEXT, b"\xc3") + make.frame(TEXT, b"\xa4")
    yield make.fails(
        "two-messages",
        "8.1",
        "a character over two messages: the first one is not UTF-8, and the connection fails",
        1007,
        split_over_messages,
    )


def early(make: Maker) -> Iterator[Case]:
    """8.1 does not say when; a peer that waits for the end can be made to collect what it will refuse."""
    for name, digits in EARLY:
        payload = bytes.fromhex(digits)
        yield make.fails(
            f"early-{name}-fragment",
            "8.1",
            f"{digits} ends a first fragment: the connection fails before the message ends",
            1007,
            make.frame(TEXT, payload, fin=False),
            rest=(make.frame(CONT, b"..."),),
        )
        frame = make.frame(TEXT, payload + b"." * 100)
        sent = len(frame) - 100
        yield make.fails(
            f"early-{name}-frame",
            "8.1",
            f"{digits} begins a frame: the connection fails before the frame ends",
            codes(1007),
            frame[:sent],
            rest=(frame[sent:],),
        )
