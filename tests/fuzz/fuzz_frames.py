"""`FrameParser` on any bytes: the same frames in one read and in many, and those that a naive reader finds.

The one thing it may raise is `RemoteProtocolError`, with the close code and the place that the naive reader gives.
The frames that it read, written again, are the bytes that came.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness import split
from naive import Rules, read_frames

from rfc6455 import CLIENT, SERVER, Frame, FrameParser, Limits, RemoteProtocolError, serialize_frame

WORDS = (
    b"\x81\x85\x37\xfa\x21\x3d",
    b"\x7e\x00\x7e",
    b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
    b"\x88\x82",
    b"\x03\xe8",
)

# 5.2 and 5.5: the longest header, and the longest payload of a control frame.
MAX_HEADER, MAX_CONTROL_PAYLOAD = 14, 125

#: The frames, and the error that ended them.
Outcome = tuple[list[Frame], RemoteProtocolError | None]


def check(data: bytes) -> None:
    choices, stream = split(data)
    rules = Rules(
        role=choices.pick((SERVER, CLIENT, None, None)),
        reserved_bits=choices.pick(range(8)),
        limit=choices.pick((1 << 20, 100)),
    )
    frames, error = read(rules, [stream])
    again, other_error = read(rules, choices.chunking(stream)(stream))
    assert frames == again, (frames, again)
    assert error == other_error, (error, other_error)
    compare(frames, error, stream, rules)


def read(rules: Rules, portions: Iterable[bytes]) -> Outcome:
    """Read a stream in chunks."""
    parser = FrameParser(rules.role, limits=Limits(frame=rules.limit), reserved_bits=rules.reserved_bits)
    frames: list[Frame] = []
    for portion in portions:
        try:
            frames += parser.receive_data(portion)
        except RemoteProtocolError as error:
            check_failed(parser, error)
            return frames + error.frames, error
        kept = parser.total - parser.offset if parser.mid_frame else 0
        assert kept <= max(rules.limit, MAX_CONTROL_PAYLOAD) + MAX_HEADER, kept
    return frames, None


def check_failed(parser: FrameParser, error: RemoteProtocolError) -> None:
    """Check that a parser that has failed fails again in the same way, and keeps nothing."""
    again = None
    try:
        parser.receive_data(b"\x81\x00")
    except RemoteProtocolError as raised:
        again = raised
    assert again == error
    assert again is None or not again.frames
    assert not parser.mid_frame


def compare(frames: list[Frame], error: RemoteProtocolError | None, stream: bytes, rules: Rules) -> None:
    naive, code, place = read_frames(stream, rules)
    assert [(frame.opcode, frame.payload, frame.fin, frame.rsv) for frame in frames] == [each[:4] for each in naive]
    assert (error.close_code if error else None) == code, (error, code)
    assert error is None or error.offset == place, (error, place)
    pairs = zip(frames, naive, strict=True)
    written = b"".join(serialize_frame(frame, each.masking_key or None) for frame, each in pairs)
    assert written == stream[:place], (written, stream[:place])
