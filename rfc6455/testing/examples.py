"""Values that break a rule, and values that are only just valid. The cases use each of them, the strategies draw from
them.

Not here: which rule each one breaks and what must follow (`rules.py`), and how they are put into a frame or a head.
"""

from __future__ import annotations

# 5.2: opcodes that have no meaning.
RESERVED_OPCODES = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)

# 5.2, 5.5: lengths around the points where the encoding of the length changes, or a control frame is too long.
LENGTHS = (0, 1, 2, 64, 124, 125, 126, 127, 128, 255, 256, 4096, 65535, 65536, 65537)

# The codes of 7.4.1, those registered since (11.7), and the ranges of 7.4.2.
GOOD_CLOSE_CODES = (
    1000,
    1001,
    1002,
    1003,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    1014,
    3000,
    3008,
    3999,
    4000,
    4999,
)
# Codes that a Close frame must not have (7.4), and why not.
BAD_CLOSE_CODES = {
    **dict.fromkeys((0, 1, 100, 999), "is below all ranges"),
    **dict.fromkeys((1005, 1006, 1015), "MUST NOT be set in a Close frame"),
    1004: "is reserved",
    **dict.fromkeys((1016, 1100, 1999, 2000, 2999), "is not registered"),
    **dict.fromkeys((5000, 9999, 32768, 65535), "is above all ranges"),
}

# 8.1, RFC 3629 4: bytes that are not UTF-8, and do not end inside a character.
NOT_UTF_8: dict[str, str] = {
    # Bytes that can only continue a character, or that never occur.
    "80": "80",
    "bf": "bf",
    "80-bf": "80 bf",
    "c0": "c0",
    "c1": "c1",
    "f5": "f5",
    "f8": "f8",
    "fe": "fe",
    "ff": "ff",
    # A character that is cut off by the next one.
    "c2-ascii": "c2 41",
    "df-ascii": "df 41",
    "e0-a0-ascii": "e0 a0 41",
    "ef-bf-ascii": "ef bf 41",
    "f0-90-ascii": "f0 90 41",
    "f4-8f-bf-ascii": "f4 8f bf 41",
    "two-starts": "c3 c3 a4",
    "one-continuation-too-many": "c3 a4 a4",
    # Encodings longer than needed.
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
    # Between valid characters.
    "in-the-middle": "ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65 64 69 74 65 64",
    "latin-1": "48 65 6c 6c f6",
}

# Texts that end inside a character.
UNFINISHED_UTF_8 = ("c2", "e2", "e2 82", "f0", "f0 9f", "f0 9f 91", "48 65 6c 6c 6f c3")

# 4.1: keys that are not 16 bytes in base64.
BAD_KEYS = {
    "empty": "",
    "short": "dGhlIHNhbXBsZSBub25j",
    "long": "dGhlIHNhbXBsZSBub25jZXh4",
    "no-base64": "dGhlIHNhbXBsZSBub25jZQ!!",
    "no-padding": "dGhlIHNhbXBsZSBub25jZQ",
    "space": "dGhlIHNhbXBs ZSBub25jZQ==",
    "one-character": "a",
}

# 4.1: versions that are not 13.
BAD_VERSIONS = {
    "0": "0",
    "8": "8",
    "12": "12",
    "14": "14",
    "130": "130",
    "255": "255",
    "256": "256",
    "013": "013",
    "plus": "+13",
    "word": "thirteen",
    "empty": "",
    "list": "13, 8",
}

OTHER_METHODS = ("POST", "PUT", "HEAD", "DELETE", "OPTIONS", "get", "X")
OTHER_UPGRADES = {"h2c": "h2c", "websockets": "websockets", "empty": ""}
OTHER_CONNECTIONS = {"keep-alive": "keep-alive", "close": "close", "upgrades": "upgrades", "empty": ""}

# 9.1: values that are not a list of extensions.
BAD_EXTENSIONS = {
    "empty-parameter": "a; ; b",
    "no-name": "; a=1",
    "no-value": "a; b=",
    "open-quote": 'a; b="c',
    "space-in-name": "a b",
    "quoted-space": 'a; b="c d"',
    "only-equals": "=",
}

# 4.1: values that are not a list of different subprotocols.
BAD_SUBPROTOCOLS = {"space": "a b", "separator": "a/b", "quotes": '"a"'}
REPEATED_SUBPROTOCOLS = {"twice": "chat, chat"}
