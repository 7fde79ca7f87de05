"""Strategies for what one end sends: a whole stream of frames, with the events that a receiver must report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st

from ...codes import CloseCode, Opcode, Role
from ...events import BytesMessage, Event, Ping, Pong, TextMessage
from ..rules import FRAME_RULES, Rule
from ..wire import WireFrame
from .frames import (
    MAX_SIZE,
    bad_texts,
    close_frames,
    control_frames,
    data_frames,
    fragmentations,
    illegal_frames,
    masking_keys,
    messages,
    rules_for_frames,
)


@dataclass(frozen=True)
class Stream:
    """What one end sends after the handshake, and what the other must report.

    :ivar sender: the end that sends it.
    :ivar frames: the frames, in order. Only the last ones can be illegal.
    :ivar events: what the receiver must report: `rfc6455.TextMessage`, `rfc6455.BytesMessage`, `rfc6455.Ping` and
        `rfc6455.Pong` with the same content. They do not include an unfinished message.
    :ivar close: the code and the reason of the Close frame at the end, if there is one; the code is 1005 if the frame
        has none.
    :ivar rule: the rule that is broken at the end, with the close code with which it must be answered; ``None`` in a
        legal stream.
    """

    sender: Role
    frames: tuple[WireFrame, ...]
    events: tuple[Event, ...]
    close: tuple[int, str] | None = None
    rule: Rule | None = None

    @property
    def data(self) -> bytes:
        """The bytes of all frames."""
        return b"".join(map(bytes, self.frames))


def _events_of(frames: list[WireFrame]) -> list[Event]:
    """Return the events that a legal sequence of frames must cause, leaving out a Close frame."""
    events: list[Event] = []
    opcode, message = 0, b""
    for frame in frames:
        if frame.is_control:
            events.append(Ping(frame.payload) if frame.opcode == Opcode.PING else Pong(frame.payload))
            continue
        if frame.opcode != Opcode.CONT:
            opcode, message = frame.opcode, b""
        message += frame.payload
        if frame.fin:
            events.append(TextMessage(message.decode()) if opcode == Opcode.TEXT else BytesMessage(message))
    return events


@cache
@st.composite
def _legal_frames(draw: st.DrawFn, sender: Role, max_size: int, max_messages: int) -> list[WireFrame]:
    """Draw whole and fragmented messages, with Pings and Pongs anywhere."""
    frames: list[WireFrame] = []
    for is_message in draw(st.lists(st.booleans(), max_size=max_messages)):
        if is_message:
            frames += draw(fragmentations(draw(messages(max_size)), sender))
        else:
            frames.append(draw(control_frames(sender)))
    return frames


@cache
@st.composite
def _unfinished(draw: st.DrawFn, sender: Role) -> list[WireFrame]:
    """Draw the beginning of a message, without its last fragment."""
    frames = draw(fragmentations(draw(messages(40)), sender))
    return [*frames[:-1], _first_fragment(frames[-1])] if len(frames) == 1 else frames[:-1]


def _first_fragment(frame: WireFrame) -> WireFrame:
    return replace(frame, fin=False)


@st.composite
def streams(
    draw: st.DrawFn, sender: Role, max_size: int = MAX_SIZE, *, max_messages: int = 4, close: bool | None = None
) -> Stream:
    """Generate legal streams: fragmented messages, Pings and Pongs, and perhaps a Close frame, which may come within a
    message.

    :param sender: the end that sends the stream.
    :param max_size: the maximum size of a message, in bytes.
    :param max_messages: the maximum number of messages and control frames, not counting those between fragments.
    :param close: whether the stream ends with a Close frame; ``None`` for either.
    """
    frames = draw(_legal_frames(sender, max_size, max_messages))
    if close is None:
        close = draw(st.booleans())
    if not close:
        return Stream(sender, tuple(frames), tuple(_events_of(frames)))
    if draw(st.booleans()):
        frames += draw(_unfinished(sender))
    last = draw(close_frames(sender))
    return Stream(sender, (*frames, last), tuple(_events_of(frames)), _code_and_reason(last.payload))


def _code_and_reason(body: bytes) -> tuple[int, str]:
    """Return the code and the reason. 7.1.5: "If this Close control frame contains no status code", the code is
    considered to be 1005."""
    if not body:
        return int(CloseCode.NO_STATUS_RCVD), ""
    return int.from_bytes(body[:2], "big"), body[2:].decode()


_IN_A_MESSAGE = "message in a message"
_OF_NOTHING = "continuation of nothing"
_BAD_FRAGMENTS = "fragmented text not UTF-8"
# Rules that are only broken between messages: within one, their frames would be legal or break another rule (5.4).
_BETWEEN_MESSAGES = frozenset(
    {_OF_NOTHING, _BAD_FRAGMENTS, "text not UTF-8", "length in 2 bytes", "length in 8 bytes"}
)


@st.composite
def illegal_streams(
    draw: st.DrawFn, sender: Role, max_size: int = MAX_SIZE, *, max_messages: int = 3, rule: str | None = None
) -> Stream:
    """Generate streams that are legal up to their end, where they break one rule. The events before it must still be
    reported.

    :param sender: the end that sends the stream, which breaks a rule for this sender.
    :param max_size: the maximum size of a message before the end, in bytes.
    :param max_messages: the maximum number of messages and control frames before the end.
    :param rule: a name in `rfc6455.testing.FRAME_RULES`; ``None`` for any that this sender can break.
    """
    names = [*rules_for_frames(sender), _OF_NOTHING, _IN_A_MESSAGE, _BAD_FRAGMENTS]
    name = rule or draw(st.sampled_from(names))
    frames = draw(_legal_frames(sender, max_size, max_messages))
    end = draw(_ending(sender, name))
    if name == _IN_A_MESSAGE:
        frames += draw(_unfinished(sender))
    elif name not in _BETWEEN_MESSAGES and draw(st.booleans()):
        frames += draw(_unfinished(sender))
        end = [_within_a_message(frame) for frame in end]
    return Stream(sender, (*frames, *end), tuple(_events_of(frames)), rule=FRAME_RULES[name])


@cache
def _ending(sender: Role, name: str) -> st.SearchStrategy[list[WireFrame]]:
    if name == _OF_NOTHING:
        return st.builds(_continuation, data_frames(sender, 40), st.booleans())
    if name == _IN_A_MESSAGE:
        return data_frames(sender, 40).map(lambda frame: [frame])
    if name == _BAD_FRAGMENTS:
        return _bad_fragments(sender)
    return illegal_frames(sender, name).map(lambda illegal: [illegal.frame])


def _within_a_message(frame: WireFrame) -> WireFrame:
    """Return a frame with the same mistake that fits within a message: a data frame becomes an empty fragment."""
    if frame.opcode not in (Opcode.TEXT, Opcode.BINARY):
        return frame
    return replace(frame, opcode=int(Opcode.CONT), payload=b"", fin=False)


def _continuation(frame: WireFrame, fin: bool) -> list[WireFrame]:
    return [WireFrame(int(Opcode.CONT), frame.payload, fin, masking_key=frame.masking_key)]


@cache
@st.composite
def _bad_fragments(draw: st.DrawFn, sender: Role) -> list[WireFrame]:
    """Draw a text message that is not UTF-8, in two fragments, cut anywhere."""
    data = draw(bad_texts())
    place = draw(st.integers(0, len(data)))
    first, second = (draw(masking_keys()) if sender is Role.CLIENT else None for _ in range(2))
    return [
        WireFrame(int(Opcode.TEXT), data[:place], fin=False, masking_key=first),
        WireFrame(int(Opcode.CONT), data[place:], masking_key=second),
    ]
