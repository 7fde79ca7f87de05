"""This library compared with `wsproto` and `websockets` on the same bytes: messages, verdicts and codes are the same.

Streams are generated for both roles, legal ones and ones that break one rule at their end, and passed in reads of any
size. If a library differs from us, `EXEMPTIONS` has the RFC's sentence that we follow. Each exemption has an example,
and a test checks that the library still differs on it, so that the exemption is removed when the library changes.

A few examples run by default; ``HYPOTHESIS_PROFILE=thorough`` searches for minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import pytest

pytest.importorskip("websockets")
pytest.importorskip("wsproto")

from hypothesis import given, settings
from hypothesis import strategies as st
from other_peers import End, OurEnd, WebsocketsEnd, WsprotoEnd

from rfc6455 import CloseCause, Closed, Event, Role
from rfc6455.testing import FRAME_RULES, WireFrame, close_payload, feed, read_frames, whole
from rfc6455.testing import strategies as ws
from rfc6455.testing.strategies import Stream

PEERS: dict[str, Callable[[Role], End]] = {"wsproto": WsprotoEnd, "websockets": WebsocketsEnd}

EVERY_PEER = pytest.mark.parametrize("peer", PEERS)

# Fewer examples than the profile asks for by default; ten times as many in a thorough search.
PROFILE = settings().max_examples
SEARCH = settings(max_examples=max(1, PROFILE // 5) if PROFILE <= 100 else PROFILE * 10)
WHAT_MAY_TAKE_LONG = pytest.mark.timeout(3600)


def is_installed_before(library: str, fixed: tuple[int, ...] | None) -> bool:
    installed = tuple(int(part) for part in version(library).split(".")[:3] if part.isdigit())
    return fixed is None or installed < fixed


@dataclass(frozen=True)
class Exemption:
    """A library that behaves differently, and why we do not.

    :ivar applies: whether a stream is one of those on which it differs.
    :ivar example: the frames of a server that show it.
    :ivar does: what the library does instead.
    :ivar sentence: the RFC's words that we follow, after their section.
    :ivar before: the version of the library from which on it behaves as we do; ``None`` while no such version is
        known.
    """

    peer: str
    applies: Callable[[Stream], bool]
    example: Sequence[WireFrame]
    does: str
    sentence: str
    before: tuple[int, ...] | None = None


def breaks(*names: str) -> Callable[[Stream], bool]:
    assert set(names) <= set(FRAME_RULES)
    return lambda stream: stream.rule is not None and stream.rule.name in names


def closes_with(code: int) -> Callable[[Stream], bool]:
    return lambda stream: stream.close is not None and stream.close[0] == code


def closes_within_a_message(stream: Stream) -> bool:
    data = [frame for frame in stream.frames if not frame.is_control]
    return stream.close is not None and bool(data) and not data[-1].fin


TEXT, BINARY, CLOSE = 1, 2, 8

EXEMPTIONS = {
    "1014": Exemption(
        "wsproto",
        closes_with(1014),
        [WireFrame(CLOSE, close_payload(1014))],
        "takes Bad Gateway, registered after the RFC, for a code that may not travel",
        '7.4.2: "Status codes in the range 1000-2999 are reserved for definition by this protocol, its future '
        'revisions, and extensions"; the registry of 11.7 has 1014',
    ),
    "close within a message": Exemption(
        "websockets",
        closes_within_a_message,
        [WireFrame(TEXT, b"a", fin=False), WireFrame(CLOSE)],
        "fails the connection when a Close frame comes before the last fragment",
        '5.4: "Control frames (see Section 5.5) MAY be injected in the middle of a fragmented message."',
    ),
    "length in 2 bytes": Exemption(
        "websockets",
        breaks("length in 2 bytes"),
        [WireFrame(TEXT, b"a", length_size=2)],
        "takes the frame",
        '5.2: "in all cases, the minimal number of bytes MUST be used to encode the length"',
    ),
    "length in 8 bytes": Exemption(
        "websockets",
        breaks("length in 8 bytes"),
        [WireFrame(TEXT, b"a", length_size=8)],
        "takes the frame",
        '5.2: "in all cases, the minimal number of bytes MUST be used to encode the length"',
    ),
    "length of 2^63": Exemption(
        "websockets",
        breaks("length of 2^63"),
        [WireFrame(BINARY, length=1 << 63, length_size=8)],
        "waits for the payload, where it has no limit for messages",
        '5.2: "the most significant bit MUST be 0"',
    ),
}


def is_active(exemption: Exemption) -> bool:
    return is_installed_before(exemption.peer, exemption.before)


@pytest.mark.parametrize("name", EXEMPTIONS)
def test_what_is_exempt_still_differs(name: str) -> None:
    exemption = EXEMPTIONS[name]
    if not is_active(exemption):
        pytest.skip(f"{exemption.peer} {version(exemption.peer)} does as we do")
    data = b"".join(map(bytes, exemption.example))
    ours, theirs = (feed(make(Role.CLIENT), whole(data)) for make in (OurEnd, PEERS[exemption.peer]))
    assert differ(ours, theirs), (
        f"{exemption.peer} {version(exemption.peer)} does as we do on {name!r}: remove the exemption, or set `before`"
    )


def differ(ours: list[Event], theirs: list[Event]) -> bool:
    return [comparable(event) for event in ours] != [comparable(event) for event in theirs]


def comparable(event: Event) -> object:
    """Of the end of a connection the reason is not compared: each library has its own words for a violation. Nor does
    any other tell whether a Close frame cut a message off."""
    if not isinstance(event, Closed):
        return event
    cause = CloseCause.HANDSHAKE if event.cause is CloseCause.HANDSHAKE_IN_MESSAGE else event.cause
    return event.code, event.clean, cause


def is_exempt(peer: str, stream: Stream) -> bool:
    return any(
        exemption.applies(stream)
        for exemption in EXEMPTIONS.values()
        if exemption.peer == peer and is_active(exemption)
    )


def check_same(peer: str, stream: Stream, portions: list[bytes]) -> None:
    role = stream.sender.peer
    ours, theirs = feed(OurEnd(role), portions), feed(PEERS[peer](role), portions)
    before = len(stream.events)
    assert list(stream.events) == ours[:before] == theirs[:before]
    if differ(ours, theirs) and not is_exempt(peer, stream):
        rule = "nothing" if stream.rule is None else f"{stream.rule.name} ({stream.rule.section})"
        raise AssertionError(f"{peer} gives {theirs}, we give {ours}; the stream breaks {rule}: {stream.frames}")


ROLES = st.sampled_from(Role)
DAMAGE = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=3)


@EVERY_PEER
@pytest.mark.parametrize("streams", [ws.streams, ws.illegal_streams])
@WHAT_MAY_TAKE_LONG
@SEARCH
@given(sender=ROLES, data=st.data())
def test_streams_mean_the_same(
    peer: str, streams: Callable[[Role], st.SearchStrategy[Stream]], sender: Role, data: st.DataObject
) -> None:
    stream = data.draw(streams(sender))
    check_same(peer, stream, data.draw(ws.chunks(stream.data)))


def says_1014(data: bytearray) -> bool:
    """Whether a Close frame has that code, be the rest of it as it may."""
    frames, _ = read_frames(bytes(data))
    return any(frame.opcode == CLOSE and frame.payload.startswith(close_payload(1014)) for frame in frames)


@WHAT_MAY_TAKE_LONG
@SEARCH
@given(sender=ROLES, data=st.data())
def test_damaged_streams_do_not_mean_two_things(sender: Role, data: st.DataObject) -> None:
    """Any byte may be any other. What one says too late is no difference: a length that was damaged makes one wait for
    bytes which the other did not need to see. But there are no two different messages, and no two different codes.

    Only `wsproto` checks headers as we do; the exemptions of `websockets` would have to be found in the damage.
    """
    stream = data.draw(ws.streams(sender))
    damaged = bytearray(stream.data)
    for place, octet in data.draw(DAMAGE) if damaged else ():
        damaged[place % len(damaged)] = octet
    portions = data.draw(ws.chunks(bytes(damaged)))
    ours, theirs = (feed(make(sender.peer), portions) for make in (OurEnd, WsprotoEnd))
    if says_1014(damaged) and is_active(EXEMPTIONS["1014"]):
        ours, theirs = ([event for event in events if not isinstance(event, Closed)] for events in (ours, theirs))
    both = min(len(ours), len(theirs))
    assert not differ(ours[:both], theirs[:both]), (ours, theirs, portions)
