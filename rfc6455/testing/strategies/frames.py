"""Strategies for frames and messages: legal ones, and frames that break one rule each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from hypothesis import strategies as st

from ...codes import MAX_CONTROL_PAYLOAD, Opcode, Role
from ..examples import (
    BAD_CLOSE_CODES,
    GOOD_CLOSE_CODES,
    LENGTHS,
    NOT_UTF_8,
    RESERVED_OPCODES,
    UNFINISHED_UTF_8,
)
from ..rules import FRAME_RULES, Rule
from ..wire import WireFrame, close_payload

# Strategies are cached: they have no state, and hypothesis would validate each new one again.

# When `st.text` is first validated in a new directory, hypothesis builds a table of all characters, which takes
# seconds. During a draw, this would fail the health check of a user's first test.
st.text().validate()

# The default maximum payload: enough for a length in 2 bytes, and quick to generate. A length in 8 bytes takes 65_536.
MAX_SIZE = 300


@cache
def masking_keys() -> st.SearchStrategy[bytes]:
    """Generate masking keys (5.3): any 4 bytes, including zeros."""
    return st.binary(min_size=4, max_size=4)


@cache
def _keys_of(sender: Role) -> st.SearchStrategy[bytes | None]:
    """Generate the keys of a sender: a client masks all frames, a server none (5.1)."""
    return masking_keys() if sender is Role.CLIENT else st.none()


def _with_keys(
    sender: Role, contents: st.SearchStrategy[tuple[int, bytes]], *, fin: bool = True, length_size: int | None = None
) -> st.SearchStrategy[WireFrame]:
    """Generate frames with these opcodes and payloads."""

    def make(content: tuple[int, bytes], key: bytes | None) -> WireFrame:
        return WireFrame(*content, fin, masking_key=key, length_size=length_size)

    return st.builds(make, contents, _keys_of(sender))


@cache
def payloads(max_size: int = MAX_SIZE) -> st.SearchStrategy[bytes]:
    """Generate payloads of binary frames: any short ones, and payloads of the sizes around which the header changes.

    :param max_size: in bytes.
    """
    edges = st.sampled_from([size for size in LENGTHS if size <= max_size])
    return st.one_of(st.binary(max_size=min(max_size, 40)), edges.map(_pattern))


def _pattern(size: int) -> bytes:
    """Return bytes in which no four are equal to the previous four, so that a wrong offset into the mask shows."""
    return bytes([(at * 7 + at // 256) % 256 for at in range(size)])


@cache
def texts(max_size: int = MAX_SIZE) -> st.SearchStrategy[str]:
    """Generate texts that can be sent (5.6): any Unicode except surrogates, with characters of 1 to 4 bytes.

    :param max_size: the maximum size, in bytes of UTF-8.
    """
    edges = st.sampled_from([size for size in LENGTHS if size <= max_size])
    characters = st.sampled_from(["a", "é", "€", "\U0001f600"])
    return st.one_of(st.text(max_size=min(max_size, 40) // 4), st.builds(_filled, characters, edges))


def _filled(character: str, size: int) -> str:
    """Return a text of this many bytes, made of this character and, where it does not fit, ASCII."""
    count, rest = divmod(size, len(character.encode()))
    return "-" * rest + character * count


@cache
def bad_texts() -> st.SearchStrategy[bytes]:
    """Generate bytes that are not UTF-8 (8.1): an invalid sequence between valid texts."""
    some = st.text(max_size=5).map(str.encode)
    bad = [bytes.fromhex(octets) for octets in (*NOT_UTF_8.values(), *UNFINISHED_UTF_8)]
    return st.builds(lambda before, bad, after: before + bad + after, some, st.sampled_from(bad), some)


@cache
def messages(max_size: int = MAX_SIZE) -> st.SearchStrategy[str | bytes]:
    """Generate messages: a `str` for a text message, `bytes` for a binary one.

    :param max_size: in bytes.
    """
    return st.one_of(texts(max_size), payloads(max_size))


@cache
def close_codes() -> st.SearchStrategy[int]:
    """Generate the close codes that a Close frame may carry (7.4)."""
    return st.one_of(st.sampled_from(GOOD_CLOSE_CODES), st.integers(3000, 4999))


@cache
def forbidden_close_codes() -> st.SearchStrategy[int]:
    """Generate codes that no Close frame may carry (7.4): reserved, not registered, or out of range."""
    return st.one_of(
        st.sampled_from(list(BAD_CLOSE_CODES)),
        st.integers(0, 999),
        st.integers(1016, 2999),
        st.integers(5000, 0xFFFF),
    )


@cache
def _reasons() -> st.SearchStrategy[bytes]:
    short = st.text(max_size=10).map(str.encode)
    return st.one_of(short, st.just(b"r" * (MAX_CONTROL_PAYLOAD - 2)))


@cache
def data_frames(sender: Role, max_size: int = MAX_SIZE) -> st.SearchStrategy[WireFrame]:
    """Generate whole messages in one frame each, text and binary (5.6).

    :param sender: the end that sends them; those of a client are masked (5.1).
    :param max_size: the maximum size of the payload, in bytes.
    """
    return _with_keys(sender, messages(max_size).map(_opcode_and_payload))


def _opcode_and_payload(message: str | bytes) -> tuple[int, bytes]:
    if isinstance(message, str):
        return int(Opcode.TEXT), message.encode()
    return int(Opcode.BINARY), message


@cache
def control_frames(sender: Role) -> st.SearchStrategy[WireFrame]:
    """Generate Pings and Pongs (5.5.2, 5.5.3) of 0 to 125 bytes. They are legal anywhere before a Close frame."""
    opcodes = st.sampled_from([int(Opcode.PING), int(Opcode.PONG)])
    return _with_keys(sender, st.tuples(opcodes, payloads(MAX_CONTROL_PAYLOAD)))


@cache
def close_frames(sender: Role) -> st.SearchStrategy[WireFrame]:
    """Generate Close frames (5.5.1): empty, with a code, or with a code and a reason."""
    bodies = st.one_of(st.just(b""), st.builds(close_payload, close_codes(), _reasons()))
    return _with_keys(sender, st.tuples(st.just(int(Opcode.CLOSE)), bodies))


@cache
def frames(sender: Role, max_size: int = MAX_SIZE) -> st.SearchStrategy[WireFrame]:
    """Generate frames that are legal between messages: data, Ping, Pong and Close frames.

    :param sender: the end that sends them; those of a client are masked (5.1).
    :param max_size: the maximum size of the payload of a data frame, in bytes.
    """
    return st.one_of(data_frames(sender, max_size), control_frames(sender), close_frames(sender))


@st.composite
def fragmentations(
    draw: st.DrawFn, message: str | bytes, sender: Role, *, max_fragments: int = 4, controls: bool = True
) -> list[WireFrame]:
    """Generate ways to send this message (5.4): in one frame, or in fragments, which may be empty or end inside a
    character.

    :param sender: the end that sends it.
    :param max_fragments: the maximum number of fragments.
    :param controls: whether Pings and Pongs may come between the fragments.
    """
    opcode, payload = _opcode_and_payload(message)
    places = [place % (len(payload) + 1) for place in draw(_places(max_fragments - 1))]
    edges = [0, *sorted(places), len(payload)]
    keys = _keys_of(sender)
    sequence: list[WireFrame] = []
    for at in range(len(edges) - 1):
        if controls and at:
            sequence += draw(_some_controls(sender))
        part = payload[edges[at] : edges[at + 1]]
        fin = at == len(edges) - 2
        sequence.append(WireFrame(int(Opcode.CONT) if at else opcode, part, fin, masking_key=draw(keys)))
    return sequence


@cache
def _places(count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 1 << 16), max_size=count)


@cache
def _some_controls(sender: Role) -> st.SearchStrategy[list[WireFrame]]:
    return st.lists(control_frames(sender), max_size=2)


# Frames that break a rule.


class IllegalFrame(NamedTuple):
    """A frame that breaks exactly one rule.

    :ivar frame: the frame.
    :ivar rule: the rule, with its section and the close code with which the receiver must answer.
    """

    frame: WireFrame
    rule: Rule


_CONTROL_OPCODES = (int(Opcode.PING), int(Opcode.PONG), int(Opcode.CLOSE))


@cache
def _wrong_mask(sender: Role) -> st.SearchStrategy[WireFrame]:
    """Generate frames that the other role could send: only the masking is wrong."""
    return frames(sender.peer, 40)


@cache
def _reserved_bits(sender: Role) -> st.SearchStrategy[WireFrame]:
    return st.builds(
        lambda frame, rsv: WireFrame(frame.opcode, frame.payload, rsv=rsv, masking_key=frame.masking_key),
        frames(sender, 40),
        st.integers(1, 7),
    )


@cache
def _unknown_opcode(sender: Role) -> st.SearchStrategy[WireFrame]:
    return _with_keys(sender, st.tuples(st.sampled_from(RESERVED_OPCODES), st.binary(max_size=20)))


def _long_length(size: int, largest: int) -> Callable[[Role], st.SearchStrategy[WireFrame]]:
    """Return a strategy for lengths encoded in more bytes than needed."""
    lengths = st.sampled_from([0, 1, 125, largest]) | st.integers(0, 300)
    parts = st.tuples(
        st.sampled_from([int(Opcode.TEXT), int(Opcode.BINARY)]),
        lengths.filter(lambda length: length <= largest).map(lambda length: b"n" * length),
    )
    return lambda sender: _with_keys(sender, parts, length_size=size)


@cache
def _huge_length(sender: Role) -> st.SearchStrategy[WireFrame]:
    lengths = st.sampled_from([1 << 63, (1 << 63) + 1, (1 << 64) - 1]) | st.integers(1 << 63, (1 << 64) - 1)
    return st.builds(
        lambda length, key: WireFrame(int(Opcode.BINARY), b"", masking_key=key, length=length, length_size=8),
        lengths,
        _keys_of(sender),
    )


@cache
def _long_control(sender: Role) -> st.SearchStrategy[WireFrame]:
    opcodes = st.sampled_from([int(Opcode.PING), int(Opcode.PONG)])
    sizes = st.sampled_from([126, 127, 300]).map(lambda size: b"c" * size)
    closes = st.just((int(Opcode.CLOSE), close_payload(1000, b"r" * 124)))
    return _with_keys(sender, st.tuples(opcodes, sizes) | closes)


@cache
def _fragmented_control(sender: Role) -> st.SearchStrategy[WireFrame]:
    bodies = st.binary(max_size=10).map(lambda body: close_payload(1000) + body.hex().encode())
    return _with_keys(sender, st.tuples(st.sampled_from(_CONTROL_OPCODES), bodies), fin=False)


@cache
def _half_a_code(sender: Role) -> st.SearchStrategy[WireFrame]:
    return _with_keys(sender, st.tuples(st.just(int(Opcode.CLOSE)), st.binary(min_size=1, max_size=1)))


@cache
def _forbidden_code(sender: Role) -> st.SearchStrategy[WireFrame]:
    bodies = st.builds(close_payload, forbidden_close_codes(), _reasons())
    return _with_keys(sender, st.tuples(st.just(int(Opcode.CLOSE)), bodies))


@cache
def _bad_reason(sender: Role) -> st.SearchStrategy[WireFrame]:
    bodies = st.builds(close_payload, st.sampled_from([1000, 1001, 3000, 4999]), bad_texts())
    return _with_keys(sender, st.tuples(st.just(int(Opcode.CLOSE)), bodies))


@cache
def _bad_text(sender: Role) -> st.SearchStrategy[WireFrame]:
    return _with_keys(sender, st.tuples(st.just(int(Opcode.TEXT)), bad_texts()))


#: Strategies for single frames that break a rule, by its name. Only a bad text depends on what came before it.
_BREAKING: Mapping[str, Callable[[Role], st.SearchStrategy[WireFrame]]] = {
    "not masked": _wrong_mask,
    "masked": _wrong_mask,
    "reserved bits": _reserved_bits,
    "unknown opcode": _unknown_opcode,
    "length in 2 bytes": _long_length(2, 125),
    "length in 8 bytes": _long_length(8, 0xFFFF),
    "length of 2^63": _huge_length,
    "long control frame": _long_control,
    "fragmented control frame": _fragmented_control,
    "half a close code": _half_a_code,
    "close code that may not travel": _forbidden_code,
    "close reason not UTF-8": _bad_reason,
    "text not UTF-8": _bad_text,
}


def rules_for_frames(sender: Role) -> Sequence[str]:
    """Return the names of the rules that a single frame of ``sender`` can break."""
    other = "masked" if sender is Role.CLIENT else "not masked"
    return [name for name in _BREAKING if name != other]


@cache
def illegal_frames(sender: Role, rule: str | None = None) -> st.SearchStrategy[IllegalFrame]:
    """Generate frames that a receiver must refuse between messages. Each breaks one rule.

    :param sender: the end that sends them; they break the rules for this sender.
    :param rule: a name in `rfc6455.testing.FRAME_RULES`; ``None`` for any. For the rules about the order of frames
        (5.4), use `illegal_streams`.
    :raises ValueError: if a single frame from this sender cannot break the rule.
    """
    names = rules_for_frames(sender) if rule is None else [rule]
    if not set(names) <= set(rules_for_frames(sender)):
        raise ValueError(f"no single frame from a {sender.value} breaks the rule {rule!r}")
    return st.one_of([_illegal(sender, name) for name in names])


def _illegal(sender: Role, name: str) -> st.SearchStrategy[IllegalFrame]:
    return _BREAKING[name](sender).map(lambda frame: IllegalFrame(frame, FRAME_RULES[name]))
