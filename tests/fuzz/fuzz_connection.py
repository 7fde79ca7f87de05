"""`Connection` on any bytes: both roles, with and without permessage-deflate, in one read and in many.

The stream is the fuzzer's input, or frames that are put together from it, so that the fuzzer need not discover
lengths, masks and compression. The following is checked: nothing is raised; events and output are the same for both
ways to read; the memory kept is within the budget after each call; after `Closed`, nothing is received, kept or sent;
without extensions, the events are those of a naive reader; and our own peer understands the output.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from harness import Choices, split
from naive import read_events

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    BytesPart,
    CloseCause,
    Closed,
    Connection,
    Direction,
    Event,
    Limits,
    MessageCodec,
    Parameters,
    PerMessageDeflate,
    Pong,
    RemoteProtocolError,
    Role,
    TextMessage,
    TextPart,
    apply_mask,
)
from rfc6455.handshake.fields import parse_extensions
from rfc6455.testing import WireFrame

WORDS = (
    b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
    b"\x01\x83\x00\x00\x00\x00",
    b"\x80\x80\x00\x00\x00\x00",
    b"\x88\x82\x00\x00\x00\x00\x03\xe8",
    b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\x00\x00\xff\xff",
    b"\xf0\x9f\x98\x80",
)

# What the package counts for each kept object besides its bytes.
OBJECT_OVERHEAD = 64

KEY = b"\x37\xfa\x21\x3d"

LIMITS = (Limits(), Limits(message=200, frame=150), None, Limits(message=300, pongs=4))

# In place of None, for each of DEFLATE: a budget for what zlib needs in both directions, and little more.
TIGHT = (Limits(memory=1 << 10), Limits(memory=310 << 10), Limits(memory=310 << 10), Limits(memory=24 << 10))


class Setting(NamedTuple):
    """How the connections of one input are made and used.

    :ivar deflate: ``None``, or what is agreed on.
    :ivar before: what the application does first.
    :ivar echoes: whether it sends each message back.
    :ivar ends: whether the stream ends after the input.
    """

    role: Role
    deflate: PerMessageDeflate | None
    parts: bool
    limits: Limits
    before: Callable[[Connection], object]
    echoes: bool
    ends: bool


class Outcome(NamedTuple):
    """The result of one way to read the stream."""

    events: list[Event]
    output: bytes


BEFORE: tuple[Callable[[Connection], object], ...] = (
    lambda connection: None,
    lambda connection: connection.ping(b"ping"),
    lambda connection: connection.close(1000, "bye"),
    lambda connection: connection.send_text("begun, ", fin=False),
)

SMALLEST = {"server_max_window_bits": 9, "client_max_window_bits": 9, "mem_level": 1}
DEFLATE = (
    None,
    PerMessageDeflate(),
    PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False),
    PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False, **SMALLEST),
)


def check(data: bytes) -> None:
    choices, body = split(data)
    setting = choose(choices)
    stream = framed(body, setting.role) if choices.pick((False, True)) else body
    whole = run(setting, [stream] if stream else [])
    cut = run(setting, choices.chunking(stream)(stream))
    compare(setting, whole, cut)
    if setting.deflate is None and not setting.parts and setting.limits == Limits():
        messages = [event for event in whole.events if not isinstance(event, Closed)]
        assert messages == read_events(stream, setting.role), messages
    check_output(setting, whole)


def choose(choices: Choices) -> Setting:
    role = choices.pick((SERVER, CLIENT))
    deflate = choices.pick(DEFLATE)
    parts = choices.pick((False, True))
    limits = choices.pick(LIMITS)
    return Setting(
        role,
        deflate,
        parts,
        limits=limits or TIGHT[DEFLATE.index(deflate)],
        before=choices.pick(BEFORE),
        echoes=choices.pick((False, True)),
        ends=choices.pick((True, False)),
    )


# Making the stream.


def framed(body: bytes, role: Role) -> bytes:
    """Frames with the right mask and length. Each begins with two bytes of the input: the first byte of the frame, and
    one that says how many bytes of payload follow, whether they are repeated a thousand times, and whether they are
    compressed."""
    frames = []
    while body:
        first, kind = body[0], body[1] if len(body) > 1 else 0
        size = kind & 0x3F
        payload = body[2 : 2 + size] * (1041 if kind & 0x40 else 1)
        frames.append(frame(first, deflated(payload) if kind & 0x80 else payload, role))
        body = body[2 + size :]
    return b"".join(frames)


def frame(first: int, payload: bytes, role: Role) -> bytes:
    key = KEY if role is SERVER else None
    header = WireFrame(first & 15, b"", first > 127, first >> 4 & 7, key, len(payload))
    return bytes(header) + (payload if key is None else apply_mask(payload, key))


def deflated(payload: bytes) -> bytes:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -9)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


# Using a connection.


def run(setting: Setting, portions: Iterable[bytes]) -> Outcome:
    """Feed a new connection, as a careful application does, and check what holds after each call."""
    connection = connect(setting, setting.role)
    setting.before(connection)
    echoes = setting.echoes and connection.sent is Direction.IDLE
    events: list[Event] = []
    for portion in [*portions, *([b""] if setting.ends else [])]:
        new = connection.receive_data(portion)
        while True:
            check_memory(connection, len(portion))
            events += new
            if echoes:
                echo(connection, new)
            if not connection.unread:
                break
            new = connection.receive_data(None)
    output = connection.data_to_send()
    check_end(connection, events)
    return Outcome(events, output)


def connect(setting: Setting, role: Role) -> Connection:
    """Return an end of the connection: ours, or the peer's."""
    codecs: list[MessageCodec] = []
    if setting.deflate is not None:
        codecs.append(agreed(setting.deflate, role))
    return Connection(role, codecs, limits=setting.limits, parts=setting.parts, random=known_bytes)


def agreed(deflate: PerMessageDeflate, role: Role) -> MessageCodec:
    """Return what two ends agree on if both are configured like this (9.1)."""
    at_server = deflate.accept_offer(parameters_of(f"{deflate.name}; {deflate.offer()}"))
    assert at_server is not None
    return at_server if role is SERVER else deflate.accept_answer(parameters_of(at_server.parameters))


def parameters_of(said: str) -> Parameters:
    ((_, parameters),) = parse_extensions([said])
    return parameters


def known_bytes(size: int) -> bytes:
    """Masking keys that are the same in each run."""
    return bytes([at % 256 for at in range(size)])


def echo(connection: Connection, events: Iterable[Event]) -> None:
    for event in events:
        if isinstance(event, TextMessage):
            connection.send_text(event.text)
        elif isinstance(event, BytesMessage):
            connection.send_bytes(event.data)


# What must hold.


def check_memory(connection: Connection, read: int) -> None:
    """Check that what is kept is within the budget. What one read leaves unread comes on top, as the caller has read
    it, and so do one control frame and the newest Pong that is owed, since a Ping must always fit."""
    budget = connection.limits.budget
    assert budget is not None
    pong = 125 + OBJECT_OVERHEAD
    unread = read if connection.unread else 0
    assert connection.retained_bytes <= budget + pong + 131 + unread, connection.retained_bytes


def check_end(connection: Connection, events: Sequence[Event]) -> None:
    """Check that `Closed` comes once, last, and that nothing follows."""
    ends = [event for event in events if isinstance(event, Closed)]
    assert len(ends) == connection.closed
    if ends:
        assert events[-1] is ends[0]
        assert connection.receive_data(b"\x81\x80\x00\x00\x00\x00") == []
        assert connection.receive_data(b"") == []
        assert connection.data_to_send() == b""
        assert connection.retained_bytes == connection.unread == 0


def compare(setting: Setting, whole: Outcome, cut: Outcome) -> None:
    """Check that both ways to read have the same result."""
    if setting.limits.memory is not None and (is_over_budget(whole) or is_over_budget(cut)):
        return  # how much is kept depends on how it comes
    if setting.deflate is not None and has_bad_message(whole) and has_bad_message(cut):
        compare_bad_messages(whole, cut)
        return
    assert normal(whole.events) == normal(cut.events), (whole.events, cut.events)
    if setting.echoes:
        # Pongs: of the Pings that come between two echoes, only the most recent ones are answered (5.5.3). And what is
        # compressed when the connection has ended refers to nothing that was sent before.
        heard = without_pongs(hear(setting, whole)), without_pongs(hear(setting, cut))
        assert heard[0] == heard[1], heard
    else:
        assert whole.output == cut.output, (whole.output, cut.output)


def without_pongs(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Pong)]


def is_over_budget(outcome: Outcome) -> bool:
    error = error_of(outcome)
    return error is not None and error.close_code == 1009


def has_bad_message(outcome: Outcome) -> bool:
    """Return whether it ended because of what a message says: it cannot be inflated, is too long, or is not UTF-8."""
    error = error_of(outcome)
    return error is not None and error.section in ("RFC 7692 7.2.2", "10.4", "8.1")


def error_of(outcome: Outcome) -> RemoteProtocolError | None:
    last = outcome.events[-1] if outcome.events else None
    error = last.error if isinstance(last, Closed) else None
    assert error is None or isinstance(error, RemoteProtocolError)
    return error


def compare_bad_messages(whole: Outcome, cut: Outcome) -> None:
    """Check two ends that may differ. A compressed message can have several faults, and how it is cut decides which
    one is seen first: zlib returns nothing of a chunk with a fault. It fails in any case, after the same events and in
    the same frame."""
    assert normal(whole.events)[:-1] == normal(cut.events)[:-1], (whole.events, cut.events)
    errors = error_of(whole), error_of(cut)
    assert errors[0] is not None
    assert errors[1] is not None
    assert errors[0].offset == errors[1].offset, errors


def normal(events: Sequence[Event]) -> list[Event]:
    """Return the events with the parts of messages joined, since their number depends on the reads. So does how much
    of the current message came before a violation."""
    joined: list[Event] = []
    for event in events:
        before = joined[-1] if joined else None
        if isinstance(event, TextPart) and isinstance(before, TextPart) and not before.final:
            joined[-1] = TextPart(before.text + event.text, event.final)
        elif isinstance(event, BytesPart) and isinstance(before, BytesPart) and not before.final:
            joined[-1] = BytesPart(before.data + event.data, event.final)
        else:
            joined.append(event)
    joined = [event for event in joined if event not in (TextPart("", False), BytesPart(b"", False))]
    last = joined[-1] if joined else None
    if isinstance(last, Closed) and last.cause is CloseCause.VIOLATION:
        unfinished = list(takewhile(lambda event: not is_final(event), reversed(joined)))
        del joined[len(joined) - len(unfinished) :]
        joined += [event for event in reversed(unfinished) if not isinstance(event, TextPart | BytesPart)]
    return joined


def is_final(event: Event) -> bool:
    return isinstance(event, TextPart | BytesPart) and event.final


def hear(setting: Setting, outcome: Outcome) -> list[Event]:
    """Return what a peer of ours makes of the output."""
    peer = connect(setting._replace(limits=Limits(message=None), parts=False), setting.role.peer)
    events = peer.receive_data(outcome.output)
    while peer.unread:
        events += peer.receive_data(None)
    return events


def check_output(setting: Setting, outcome: Outcome) -> None:
    """Check that a peer of ours understands the output, and that a violation is answered with its code (7.1.7)."""
    events = hear(setting, outcome)
    for event in events:
        assert not isinstance(event, Closed) or event.error is None, event
    error = error_of(outcome)
    if error is not None and setting.before is not BEFORE[2]:
        assert isinstance(events[-1], Closed)
        assert events[-1].code == error.close_code, (events, error)
