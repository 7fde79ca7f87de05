"""Close frames: their payload, their codes, and what may come after them (5.5.1, 7.1, 7.4)."""

from __future__ import annotations

from collections.abc import Iterator

from ...codes import Role
from ..examples import BAD_CLOSE_CODES, GOOD_CLOSE_CODES
from .maker import BINARY, CLOSE, CONT, PING, PONG, TEXT, Maker, codes, each_byte
from .model import Case, Closes, Fails

# name: a reason that is not UTF-8
BAD_REASONS = {
    "ff": b"\xff",
    "overlong": b"\xc0\x80",
    "surrogate": b"\xed\xa0\x80",
    "beyond": b"\xf4\x90\x80\x80",
    "unfinished": b"bye \xe2\x82",
    "middle": b"a\x80b",
}


def cases(role: Role) -> Iterator[Case]:
    make = Maker("close", role)
    yield from with_codes(make)
    yield from payloads(make)
    yield from places(make)
    yield from afterwards(make)


def with_codes(make: Maker) -> Iterator[Case]:
    for code in GOOD_CLOSE_CODES:
        yield make.case(
            f"code-{code}",
            "7.4",
            f"a Close with code {code} is answered with the same code",
            (Closes(codes(code)),),
            make.close(code, b"bye"),
        )
    for code, why in BAD_CLOSE_CODES.items():
        # 7.4 has a MUST NOT only for those three; the others are not defined, or are outside all ranges.
        yield make.breaks(
            f"code-{code}",
            "close code that may not travel",
            f"a Close with code {code}, which {why}: the connection fails",
            make.close(code),
        )


def payloads(make: Maker) -> Iterator[Case]:
    yield make.case(
        "empty",
        "5.5.1",
        "a Close without a code is answered with one without a code",
        (Closes(codes(None)),),
        make.frame(CLOSE),
    )
    yield make.case("no-reason", "5.5.1", "a Close with only a code is answered", (Closes(codes(1000)),), make.close())
    for octet in (b"\x00", b"\x03"):
        yield make.breaks(
            f"half-a-code-{octet.hex()}",
            "half a close code",
            f"a Close with the single byte {octet.hex()}: the connection fails",
            make.frame(CLOSE, octet),
        )
    for length in (1, 122, 123):
        yield make.case(
            f"reason-{length}",
            "5.5.1",
            f"a Close with a reason of length {length} is answered",
            (Closes(codes(1000)),),
            make.close(1000, b"*" * length),
        )
    for name, text in (("greek", "κόσμε"), ("emoji", "👋"), ("quotes", "\"'\\\r\n\0")):
        yield make.case(
            f"reason-{name}",
            "5.5.1",
            f"a Close with the reason {text!a} is answered",
            (Closes(codes(1000)),),
            make.close(1000, text.encode()),
        )
    for name, reason in BAD_REASONS.items():
        yield make.breaks(
            f"reason-bad-{name}",
            "close reason not UTF-8",
            f"a Close with a reason that is not UTF-8 ({name}): the connection fails",
            make.close(1000, reason),
        )


def places(make: Maker) -> Iterator[Case]:
    good = make.frame(TEXT, b"good")
    yield make.case(
        "bytes",
        "5.5.1",
        "a Close byte by byte is answered",
        (Closes(codes(1000)),),
        *each_byte(make.close(1000, b"bye")),
    )
    yield make.case(
        "inside",
        "5.4",
        "a Close inside a message is answered, and the message does not come back",
        (Closes(codes(1000)),),
        make.frame(TEXT, b"a", fin=False) + make.close(),
    )
    # 5.5.1: "An endpoint MAY delay sending a Close frame until its current message is sent". So the echo is optional.
    yield make.case(
        "behind-message",
        "5.5.1",
        "a message and a Close in one write: the Close is answered, the message may be",
        (Closes(codes(1000), ((TEXT, b"good"),)), Closes(codes(1000))),
        good + make.close(),
    )
    large = make.frame(BINARY, b"*" * 65536)
    yield make.case(
        "behind-large-message",
        "5.5.1",
        "a large message and a Close in one write: the Close is answered",
        (Closes(codes(1000), ((BINARY, b"*" * 65536),)), Closes(codes(1000))),
        large + make.close(),
    )
    yield make.case(
        "own-code",
        "7.4.2",
        "a Close with the private code 4321 in the middle of Pongs is answered",
        (Closes(codes(4321)),),
        make.frame(PONG, b"1") + make.close(4321) + make.frame(PONG, b"2"),
    )


def afterwards(make: Maker) -> Iterator[Case]:
    """Yield cases of data after a Close. 5.5.1: "the application MUST NOT send any more data frames", and data that
    comes anyway is not processed."""
    # name: what follows the Close
    followers = {
        "text": make.frame(TEXT, b"late"),
        "binary": make.frame(BINARY, b"late"),
        "ping": make.frame(PING, b"late"),
        "close": make.close(1001),
        "continuation": make.frame(CONT, b"late"),
        "reserved-opcode": make.frame(3),
        "bad-utf8": make.frame(TEXT, b"\xff"),
        "noise": b"\xff" * 64,
        "half-a-frame": make.frame(TEXT, b"late")[:-1],
    }
    for name, follower in followers.items():
        yield make.case(
            f"then-{name}",
            "5.5.1",
            f"what follows a Close ({name}) is not answered",
            (Closes(codes(1000)),),
            make.close() + follower,
        )
    yield make.case(
        "after-failure",
        "7.1.7",
        "what follows a violation is not processed, not even a Close: the code is 1002",
        (Fails(codes(1002)),),
        make.frame(3) + make.close(),
    )
    yield make.case(
        "message-after-failure",
        "7.1.7",
        "a message after a violation does not come back",
        (Fails(codes(1002)),),
        make.frame(3) + make.frame(TEXT, b"late"),
    )
