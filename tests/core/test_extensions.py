"""The interface of an extension (section 9), proved by small ones besides permessage-deflate.

`tiny_extension.py` has them: Invert, which defines nothing that has a default; Shift (RSV2), which carries state over
the fragments of a message; Runs (RSV3), which changes its length; Either, which chooses between RSV2 and RSV3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from deflating import codec_of, deflated, fragments
from helpers import (
    BINARY,
    BOTH_ROLES,
    CONT,
    EVERY_CHUNKING,
    PING,
    TEXT,
    Chunking,
    check_failed,
    cut_at,
    feed,
    outcome,
    read_frames,
    to,
)
from hypothesis import given
from hypothesis import strategies as st
from tiny_extension import EitherCodec, Invert, InvertCodec, RunsCodec, Shift, ShiftCodec, run, shifted

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    BytesPart,
    CloseCause,
    CloseCode,
    Closed,
    Connection,
    Endpoint,
    Extension,
    HandshakeError,
    Limits,
    LocalProtocolError,
    MessageCodec,
    PerMessageDeflate,
    Ping,
    PreparedMessage,
    Role,
    TextMessage,
)

RSV1, RSV2, RSV3 = 4, 2, 1

# Each set of extensions, in the order of the handshake; made anew for each connection.
SETS: dict[str, Callable[[Role], list[MessageCodec]]] = {
    "invert": lambda role: [InvertCodec()],
    "either": lambda role: [EitherCodec()],
    "either, invert": lambda role: [EitherCodec(), InvertCodec()],
    "shift": lambda role: [ShiftCodec()],
    "runs": lambda role: [RunsCodec()],
    "shift, runs": lambda role: [ShiftCodec(), RunsCodec()],
    "runs, shift": lambda role: [RunsCodec(), ShiftCodec()],
    "shift, deflate": lambda role: [ShiftCodec(), codec_of(role)],
    "deflate, shift": lambda role: [codec_of(role), ShiftCodec()],
    "runs, deflate": lambda role: [RunsCodec(), codec_of(role)],
    "deflate, runs, shift": lambda role: [codec_of(role), RunsCodec(), ShiftCodec()],
}
EVERY_SET = pytest.mark.parametrize("make", SETS.values(), ids=list(SETS))


# ---- On a connection ----


@BOTH_ROLES
@EVERY_CHUNKING
def test_a_message_is_decoded(role: Role, chunk: Chunking) -> None:
    stream = to(role, TEXT, shifted(b"Hello", 0, 1), rsv=RSV2) + to(role, BINARY, run(5, b"a"), rsv=RSV3)
    connection = Connection(role, [ShiftCodec(), RunsCodec()])
    assert feed(connection, chunk(stream)) == [TextMessage("Hello"), BytesMessage(b"aaaaa")]


@BOTH_ROLES
@EVERY_CHUNKING
def test_fragments_share_state_and_control_frames_are_never_changed(role: Role, chunk: Chunking) -> None:
    parts = fragments(role, BINARY, shifted(b"fragments", 0, 1), [3, 3], rsv=RSV2)
    stream = to(role, PING, b"between").join(parts)
    events = feed(Connection(role, [ShiftCodec()]), chunk(stream))
    assert events == [Ping(b"between"), Ping(b"between"), BytesMessage(b"fragments")]


@BOTH_ROLES
def test_the_last_extension_is_undone_first(role: Role) -> None:
    """9.1: if the answer lists "foo, bar", the sender sends "bar(foo(data))"."""
    coded = shifted(run(4, b"a"), 0, 1)
    stream = to(role, BINARY, coded, rsv=RSV2 | RSV3)
    assert feed(Connection(role, [RunsCodec(), ShiftCodec()]), [stream]) == [BytesMessage(b"aaaa")]
    connection = Connection(role, [RunsCodec(), ShiftCodec()])
    connection.send_bytes(b"aaaa")
    assert read_frames(connection.data_to_send(), role) == [(BINARY, coded, True, RSV2 | RSV3)]


@pytest.mark.clause("6455:5.2-rsv-is-zero", "7692:6.1-rsv1-on-the-first-frame")
@BOTH_ROLES
def test_bits_stand_on_the_first_frame_only(role: Role) -> None:
    connection = Connection(role, [ShiftCodec()])
    connection.send_text("one", fin=False)
    connection.ping(b"p")
    connection.send_text("two")
    assert read_frames(connection.data_to_send(), role) == [
        (TEXT, shifted(b"one", 0, 1), False, RSV2),
        (PING, b"p", True, 0),
        (CONT, shifted(b"two", 3, 1), True, 0),
    ]


@BOTH_ROLES
@pytest.mark.parametrize(
    ("size", "compress", "rsv"), [(1, None, RSV3), (5, None, RSV2 | RSV3), (1, True, RSV2 | RSV3), (5, False, 0)]
)
def test_each_extension_decides_for_itself(role: Role, size: int, compress: bool | None, rsv: int) -> None:
    connection = Connection(role, [ShiftCodec(least=5), RunsCodec()])
    connection.send_bytes(b"a" * size, compress=compress)
    assert [seen.rsv for seen in read_frames(connection.data_to_send(), role)] == [rsv]


@pytest.mark.clause("6455:5.2-rsv-is-refused")
@BOTH_ROLES
@pytest.mark.parametrize("rsv", range(8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CONT])
def test_a_bit_that_no_extension_owns_is_refused(role: Role, rsv: int, opcode: int) -> None:
    """5.2: a nonzero value that no extension gave a meaning fails the connection; so does any on a control frame."""
    payload = run(2, b"a")
    before = to(role, TEXT, fin=False) if opcode == CONT else b""
    result = outcome(role, before + to(role, opcode, payload, rsv=rsv), extensions=lambda: [RunsCodec()])
    if rsv == 0 or (rsv == RSV3 and opcode in (TEXT, BINARY)):
        assert result.failure is None
    else:
        assert result.failure is not None
        assert result.failure.close_code == CloseCode.PROTOCOL_ERROR
        assert result.failure.offset == len(before)


@BOTH_ROLES
@EVERY_CHUNKING
def test_what_a_codec_refuses_is_the_peers_violation(role: Role, chunk: Chunking) -> None:
    first = to(role, TEXT, b"good")
    result = outcome(role, first + to(role, BINARY, b"\x00", rsv=RSV3), chunk, extensions=lambda: [RunsCodec()])
    assert result.events == [TextMessage("good")]
    check_failed(result, role, 1007, "x-runs", len(first))


@BOTH_ROLES
@EVERY_SET
def test_the_limit_counts_what_the_extensions_give(role: Role, make: Callable[[Role], list[MessageCodec]]) -> None:
    for size in (1000, 1001, 3000):
        peer = Connection(role.peer, make(role.peer))
        peer.send_bytes(bytes(size), compress=True)
        connection = Connection(role, make(role), limits=Limits(message=1000))
        events = feed(connection, [peer.data_to_send()])
        if size == 1000:
            assert events == [BytesMessage(bytes(1000))]
        else:
            (closed,) = events
            assert isinstance(closed, Closed)
            assert closed.code == CloseCode.MESSAGE_TOO_BIG


@BOTH_ROLES
def test_output_that_is_held_back_comes_in_pieces(role: Role) -> None:
    """A codec returns a piece at a time; a caller that wants parts gets them in that way."""
    connection = Connection(role, [RunsCodec()], limits=Limits(message=None), parts=True)
    payload = run(65_535, b"a") * 5
    parts = feed(connection, [to(role, BINARY, payload, rsv=RSV3)])
    sizes = [len(part.data) for part in parts if isinstance(part, BytesPart)]
    assert len(sizes) == len(parts)
    assert sum(sizes) == 5 * 65_535
    assert max(sizes) == 65_536
    assert [part.final for part in parts if isinstance(part, BytesPart)] == [False] * (len(parts) - 1) + [True]


# What one call decodes: half a MiB, then it leaves the rest unread.
BIG_RUN = run(65_535, b"a")
BIG_MESSAGE = BytesMessage(b"a" * 65_535)


@BOTH_ROLES
def test_a_call_stops_when_it_has_decoded_half_a_mib(role: Role) -> None:
    connection = Connection(role, [RunsCodec()])
    frame = to(role, BINARY, BIG_RUN, rsv=RSV3)
    assert connection.receive_data(frame * 20) == [BIG_MESSAGE] * 9
    assert connection.unread == 11 * len(frame)
    assert connection.receive_data(None) == [BIG_MESSAGE] * 9
    assert connection.receive_data(None) == [BIG_MESSAGE] * 2
    assert connection.unread == 0


@BOTH_ROLES
def test_what_was_decoded_of_the_message_before_counts_for_the_call_that_gives_it(role: Role) -> None:
    connection = Connection(role, [RunsCodec()])
    assert connection.receive_data(to(role, BINARY, BIG_RUN * 6, fin=False, rsv=RSV3)) == []
    rest = to(role, CONT, BIG_RUN) + to(role, BINARY, BIG_RUN, rsv=RSV3) * 20
    assert connection.receive_data(rest) == [BytesMessage(b"a" * 7 * 65_535), *[BIG_MESSAGE] * 2]


@BOTH_ROLES
def test_reading_on_while_something_is_unread_is_bounded_by_the_budget(role: Role) -> None:
    """One read may be larger than the budget, as it is the caller who chose its size."""
    frame = to(role, BINARY, BIG_RUN, rsv=RSV3)
    for reads_on in (False, True):
        connection = Connection(role, [RunsCodec()], limits=Limits(memory=100))
        assert connection.receive_data(frame * 200) == [BIG_MESSAGE] * 9
        assert connection.unread > 100
        *events, last = connection.receive_data(frame if reads_on else None)
        assert events == [BIG_MESSAGE] * (9 if reads_on else 8)
        if reads_on:
            assert isinstance(last, Closed)
            assert last.error is not None
            assert last.error.reason == "unread input takes more memory than Limits(memory=100) allows"
        assert connection.closed is reads_on


@BOTH_ROLES
def test_parts_of_an_encoded_message_are_kept_small_after_a_message_that_is_not(role: Role) -> None:
    bomb = to(role, BINARY, run(1000, b"a") * 2000, rsv=RSV3)
    for size in (100, 5000):
        connection = Connection(role, [RunsCodec()], limits=Limits(message=None), parts=True)
        *plain, rest = connection.receive_data(to(role, BINARY, bytes(size)))
        assert rest == BytesPart(bytes(size - 512 * len(plain)), True)
        assert len(plain) == (size > 512)
        parts = connection.receive_data(bomb)
        assert sum(len(part.data) for part in parts if isinstance(part, BytesPart)) < 700_000
        assert connection.unread


@BOTH_ROLES
def test_without_an_extension_a_part_is_as_large_as_what_came(role: Role) -> None:
    connection = Connection(role, parts=True)
    assert connection.receive_data(to(role, BINARY, bytes(5000))) == [BytesPart(bytes(5000), True)]


@BOTH_ROLES
def test_what_a_codec_keeps_is_counted(role: Role) -> None:
    connection = Connection(role, [RunsCodec()])
    feed(connection, [to(role, BINARY, b"\x00", fin=False, rsv=RSV3)])
    assert connection.retained_bytes == 1

    class Hoarder(ShiftCodec):
        @property
        def retained_bytes(self) -> int:  # type: ignore[override]
            return self._place_in

    frame = to(role, BINARY, bytes(600), fin=False, rsv=RSV2)
    connection = Connection(role, [Hoarder()], limits=Limits(message=100_000, memory=1500))
    assert feed(connection, [frame]) == []
    (closed,) = feed(connection, [to(role, CONT, bytes(600), fin=False)])
    assert isinstance(closed, Closed)
    assert closed.code == CloseCode.MESSAGE_TOO_BIG


@BOTH_ROLES
@EVERY_SET
def test_any_messages_in_any_pieces(role: Role, make: Callable[[Role], list[MessageCodec]]) -> None:
    @given(
        messages=st.lists(
            st.tuples(st.lists(st.binary(max_size=30), min_size=1, max_size=4), st.sampled_from([None, True, False])),
            max_size=4,
        ),
        cuts=st.lists(st.integers(0, 300), max_size=5),
    )
    def check(messages: list[Any], cuts: list[int]) -> None:
        sender, receiver = Connection(role, make(role)), Connection(role.peer, make(role.peer))
        for pieces, compress in messages:
            for at, piece in enumerate(pieces):
                sender.send_bytes(piece, fin=at == len(pieces) - 1, compress=compress)
        events = feed(receiver, cut_at(sender.data_to_send(), cuts))
        assert events == [BytesMessage(b"".join(pieces)) for pieces, _ in messages]

    check()


@BOTH_ROLES
@EVERY_SET
def test_a_prepared_message(role: Role, make: Callable[[Role], list[MessageCodec]]) -> None:
    prepared = PreparedMessage("prepared " * 20, compress=True)
    sender, receiver = Connection(role, make(role)), Connection(role.peer, make(role.peer))
    for text in ("before", "after"):
        sender.send_text(text * 30)
        sender.send_prepared(prepared)
    expected = [TextMessage(text) for text in ("before" * 30, "prepared " * 20, "after" * 30, "prepared " * 20)]
    assert feed(receiver, [sender.data_to_send()]) == expected


def test_a_prepared_message_goes_through_all_extensions() -> None:
    connection = Connection(SERVER, [ShiftCodec(), RunsCodec()])
    connection.send_prepared(PreparedMessage(b"aaa", compress=True))
    (seen,) = read_frames(connection.data_to_send(), SERVER)
    assert (seen.rsv, seen.payload) == (RSV2 | RSV3, RunsCodec().encode(shifted(b"aaa", 0, 1), True))


def test_a_prepared_message_is_encoded_once_and_tells_each_codec() -> None:
    codecs = [ShiftCodec() for _ in range(3)]
    prepared = PreparedMessage(b"shared")
    sent = set()
    for codec in codecs:
        connection = Connection(SERVER, [codec])
        connection.send_prepared(prepared)
        sent.add(connection.data_to_send())
    assert len(sent) == 1
    assert [codec.forgotten for codec in codecs] == [1, 1, 1]


# ---- In the handshake ----


class Named(Extension):
    """An extension that says yes to anything."""

    def __init__(self, name: str, codec: Callable[[], MessageCodec]) -> None:
        self.name = name
        self._codec = codec

    def codec(self) -> MessageCodec:
        codec = self._codec()
        codec.parameters = self.name
        return codec


def opened(client: list[Any], server: list[Any]) -> tuple[str | None, Connection, Connection]:
    """The header of the answer, and the two ends."""
    ours = rfc6455.ClientHandshake("ws://example.com/", extensions=client)
    theirs = rfc6455.ServerHandshake(extensions=server)
    theirs.receive_data(ours.data_to_send())
    at_server = theirs.accept()
    at_client = ours.receive_data(at_server.data_to_send())
    assert theirs.response is not None
    assert at_client is not None
    return theirs.response.headers.get("Sec-WebSocket-Extensions"), at_client, at_server


@pytest.mark.clause("6455:5.2-extensions-are-negotiated", "6455:5.8-extensions-are-negotiated")
def test_an_extension_with_a_parameter_is_agreed_on() -> None:
    header, client, server = opened([Shift(least=3)], [Shift(least=3)])
    assert header == "x-shift; least=3"
    client.send_text("Hi")
    client.send_text("Hello")
    data = client.data_to_send()
    assert [seen.rsv for seen in read_frames(data, CLIENT)] == [0, RSV2]
    assert server.receive_data(data) == [TextMessage("Hi"), TextMessage("Hello")]


@pytest.mark.clause(
    "6455:5.2-extensions-are-negotiated",
    "6455:5.8-extensions-are-negotiated",
    "6455:9.1-not-before-the-answer",
)
def test_an_extension_that_is_declined_is_not_used() -> None:
    header, client, server = opened([Shift(least=3)], [Shift(least=4)])
    assert header is None
    assert client.extensions == server.extensions == ()


def test_the_clients_order_is_the_order() -> None:
    """9.1: "the order of extensions is significant"; the answer repeats the client's."""
    header, client, server = opened(
        [Named("x-runs", RunsCodec), Shift(), rfc6455.PerMessageDeflate()],
        [rfc6455.PerMessageDeflate(), Shift(), Named("x-runs", RunsCodec)],
    )
    assert header is not None
    assert [part.split(";")[0].strip() for part in header.split(",")] == ["x-runs", "x-shift", "permessage-deflate"]
    for sender, receiver in ((client, server), (server, client)):
        sender.send_bytes(b"a" * 500)
        data = sender.data_to_send()
        assert [seen.rsv for seen in read_frames(data, sender.role)] == [7]
        assert receiver.receive_data(data) == [BytesMessage(b"a" * 500)]


@pytest.mark.clause("7692:5-one-owner-of-rsv1", "7692:5-two-owners-of-rsv1-fail")
def test_two_extensions_cannot_own_the_same_bit() -> None:
    """The server declines the second; a client fails a server that does not."""
    both = [Named("x-one", RunsCodec), Named("x-two", RunsCodec)]
    header, client, _ = opened(both, both)
    assert header == "x-one"
    assert len(client.extensions) == 1
    with pytest.raises(HandshakeError):
        answered(both, "x-one, x-two")


@pytest.mark.clause("6455:4.1-answer-extension")
@pytest.mark.parametrize(
    "answer",
    [
        "x-other",
        "x-shift; least=0, x-shift; least=0",
        "x-shift",
        "x-shift; least=1",
        "x-shift; least=0; x",
        "x-shift;",
    ],
)
def test_an_answer_that_does_not_fit_fails_the_handshake(answer: str) -> None:
    with pytest.raises(HandshakeError):
        answered([Shift()], answer)


def test_an_answer_that_fits() -> None:
    assert [codec.parameters for codec in answered([Shift()], "x-shift; least=0").extensions] == ["x-shift; least=0"]
    assert answered([Shift()], None).extensions == ()


def answered(extensions: list[Any], answer: str | None) -> Connection:
    """Return the result of a client that gets an answer made by hand."""
    client = rfc6455.ClientHandshake("ws://example.com/", extensions=extensions)
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", rfc6455.accept_key(client.request.headers["Sec-WebSocket-Key"])),
    ]
    if answer is not None:
        headers.append(("Sec-WebSocket-Extensions", answer))
    return client.receive_response(101, headers)


def test_two_extensions_of_one_name_are_refused_when_set() -> None:
    both = [Shift(1), Shift(2)]
    with pytest.raises(LocalProtocolError):
        rfc6455.ServerHandshake(extensions=both)
    with pytest.raises(LocalProtocolError):
        rfc6455.ClientHandshake("ws://example.com/", extensions=both)


@pytest.mark.parametrize("bits", [0, 8, -1, True, "4", None])
def test_reserved_bits_are_some_of_the_three(bits: Any) -> None:
    codec = ShiftCodec()
    codec.reserved_bits = bits
    with pytest.raises(ValueError, match="reserved_bits is 4, 2, 1 or a sum of them"):
        Connection(SERVER, [codec])


def test_two_extensions_cannot_share_reserved_bits() -> None:
    with pytest.raises(ValueError, match="claim the reserved bits 010"):
        Connection(SERVER, [ShiftCodec(), ShiftCodec()])
    with pytest.raises(ValueError, match="claim the reserved bits 001"):
        Connection(SERVER, [EitherCodec(), RunsCodec()])


@BOTH_ROLES
def test_deflate_beside_another(role: Role) -> None:
    """A message may be changed by either, by both, or by none."""
    connection = Connection(role, [codec_of(role), ShiftCodec()])
    stream = b"".join([
        to(role, TEXT, b"none"),
        to(role, TEXT, deflated(b"deflate"), rsv=RSV1),
        to(role, TEXT, shifted(b"shift", 0, 1), rsv=RSV2),
        to(role, TEXT, shifted(deflated(b"both"), 0, 1), rsv=RSV1 | RSV2),
    ])  # fmt: skip
    assert feed(connection, [stream]) == [TextMessage(text) for text in ("none", "deflate", "shift", "both")]


# ---- As little as can be ----


def test_an_extension_without_parameters_is_a_name_and_a_codec() -> None:
    header, client, server = opened([Invert()], [Invert()])
    assert header == "x-invert"
    assert [codec.parameters for codec in client.extensions] == ["x-invert"]
    for sender, receiver in ((client, server), (server, client)):
        sender.send_text("abc")
        data = sender.data_to_send()
        (frame,) = read_frames(data, sender.role)
        assert (frame.rsv, frame.payload) == (RSV1, bytes(octet ^ 255 for octet in b"abc"))
        assert receiver.receive_data(data) == [TextMessage("abc")]


def test_an_extension_without_parameters_declines_an_offer_that_has_some() -> None:
    assert Invert().accept_offer([("x", None)]) is None
    with pytest.raises(HandshakeError, match="x-invert has no parameters, but the answer gives it x"):
        answered([Invert()], "x-invert; x=1")


class Nothing(Extension):
    name = "x-nothing"


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda: MessageCodec().encode(b"", True), "encode"),
        (lambda: MessageCodec().decode(b"", True), "decode"),
        (lambda: Nothing().accept_offer([]), "codec"),
    ],
)
def test_what_must_be_defined_is_named(call: Callable[[], object], missing: str) -> None:
    with pytest.raises(NotImplementedError, match=missing):
        call()


# ---- Two bits ----


@BOTH_ROLES
def test_a_codec_with_two_bits_chooses_and_is_told(role: Role) -> None:
    sender, receiver = Connection(role, [EitherCodec()]), Connection(role.peer, [EitherCodec()])
    for text, marks in (("plain", RSV2), (" turned", RSV3), ("plain again", RSV2)):
        sender.send_text(text, fin=False)
        sender.send_text(" rest")
        data = sender.data_to_send()
        assert [frame.rsv for frame in read_frames(data, role)] == [marks, 0]
        assert feed(receiver, [data]) == [TextMessage(text + " rest")]
    sender.send_prepared(PreparedMessage(" shared"))
    (frame,) = read_frames(sender.data_to_send(), role)
    assert frame.rsv == RSV3


@BOTH_ROLES
@EVERY_CHUNKING
def test_bits_that_together_mean_nothing_are_the_peers_violation(role: Role, chunk: Chunking) -> None:
    stream = to(role, TEXT, b"x", rsv=RSV2 | RSV3)
    check_failed(outcome(role, stream, chunk, extensions=lambda: [EitherCodec()]), role, 1002, "x-either", 0)


class BothBits(InvertCodec):
    reserved_bits = 6


@BOTH_ROLES
@pytest.mark.parametrize("rsv", [RSV1, RSV2])
def test_by_default_all_bits_stand_on_a_message(role: Role, rsv: int) -> None:
    sender, receiver = Connection(role, [BothBits()]), Connection(role.peer, [BothBits()])
    sender.send_text("x")
    data = sender.data_to_send()
    assert [frame.rsv for frame in read_frames(data, role)] == [6]
    assert feed(receiver, [data]) == [TextMessage("x")]
    stream = to(role, TEXT, b"x", rsv=rsv)
    check_failed(outcome(role, stream, extensions=lambda: [BothBits()]), role, 1002, "5.2", 0)


@pytest.mark.parametrize("marks", [0, 4, 7, None, True])
def test_a_codec_marks_with_its_own_bits_only(marks: Any) -> None:
    class Wrong(EitherCodec):
        marks = None

    Wrong.marks = marks
    connection = Connection(SERVER, [Wrong()])
    with pytest.raises(ValueError, match="marks are some of the bits 011"):
        connection.send_text("x")
    check_given_up(connection, [])


# ---- What an extension does wrong is no fault of the peer's ----


def check_given_up(connection: Connection, events: list[Any]) -> None:
    """The peer is told 1011, and the caller loses nothing: the next call returns what came before."""
    assert connection.closed
    assert connection.receive_data(None) == [
        *events,
        Closed(CloseCode.INTERNAL_ERROR, "", False, None, CloseCause.EXTENSION_FAILED),
    ]
    frames = read_frames(connection.data_to_send(), connection.role)
    assert [frame.payload for frame in frames if frame.opcode == 8] == [b"\x03\xf3"]
    assert connection.receive_data(b"more") == []


FAULTS: list[Exception] = [
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ValueError("a codec's own"),
    MemoryError(),
    LocalProtocolError("nested"),
]
EVERY_FAULT = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)


class Faulty(InvertCodec):
    """Raises ``fault`` in the method ``where``."""

    def __init__(self, where: str, fault: Exception) -> None:
        self.where = where
        self.fault = fault

    def _perhaps(self, where: str) -> None:
        if where == self.where:
            raise self.fault

    def decode(self, payload: bytes, final: bool) -> bytes:
        self._perhaps("decode")
        return super().decode(payload, final)

    def encode(self, payload: bytes, final: bool) -> bytes:
        self._perhaps("encode")
        return super().encode(payload, final)

    @property
    def has_more(self) -> bool:
        self._perhaps("has_more")
        return False

    def drop(self) -> None:
        self._perhaps("drop")


@BOTH_ROLES
@EVERY_FAULT
@pytest.mark.parametrize("where", ["decode", "has_more"])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_fault_while_decoding(role: Role, fault: Exception, where: str, opcode: int) -> None:
    connection = Connection(role, [Faulty(where, fault)])
    stream = to(role, TEXT, b"before") + to(role, opcode, b"x", rsv=RSV1) + to(role, TEXT, b"after")
    with pytest.raises(type(fault)) as raised:
        connection.receive_data(stream)
    assert raised.value is fault
    check_given_up(connection, [TextMessage("before")])


@BOTH_ROLES
@EVERY_FAULT
@pytest.mark.parametrize("prepared", [False, True])
def test_a_fault_while_encoding(role: Role, fault: Exception, prepared: bool) -> None:
    connection = Connection(role, [Faulty("encode", fault)])
    send: Callable[[Any], None] = connection.send_prepared if prepared else connection.send_text
    message = PreparedMessage("x") if prepared else "x"
    with pytest.raises(type(fault)) as raised:
        send(message)
    assert raised.value is fault
    check_given_up(connection, [])


@BOTH_ROLES
@EVERY_FAULT
@pytest.mark.parametrize("end", ["close", "violation", "end of file"])
def test_a_fault_at_the_end_loses_no_event(role: Role, fault: Exception, end: str) -> None:
    connection = Connection(role, [Faulty("drop", fault)])
    stream = {"close": to(role, 8, b"\x03\xe8"), "violation": to(role, 3, b""), "end of file": b""}[end]
    connection.receive_data(to(role, TEXT, b"before"))
    with pytest.raises(type(fault)):
        connection.receive_data(stream)
    (closed,) = connection.receive_data(None)
    assert isinstance(closed, Closed)
    assert closed.code == {"close": 1000, "violation": 1002, "end of file": 1006}[end]
    with pytest.raises(type(fault)):
        connection.data_to_send()
    if end != "end of file":
        assert [frame.opcode for frame in read_frames(connection.data_to_send(), role)] == [8]


def test_what_failed_at_the_end_of_the_connection_does_not_hide_what_was_held() -> None:
    """A message that is sent after the exception meets the same codec."""
    connection = Connection(SERVER, [Faulty("decode", ValueError("in"))])
    with pytest.raises(ValueError, match="in"):
        connection.receive_data(to(SERVER, TEXT, b"first") + to(SERVER, TEXT, b"x", rsv=RSV1))
    connection.extensions[0].where = "encode"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="in"):
        connection.send_text("answer")
    check_given_up(connection, [TextMessage("first")])


@BOTH_ROLES
@pytest.mark.parametrize("wrong", [None, "text", 5, bytearray(b"x"), memoryview(b"x")])
def test_a_codec_that_returns_no_bytes(role: Role, wrong: Any) -> None:
    class Wrong(MessageCodec):
        shared_key = 1

        def encode(self, payload: bytes, final: bool) -> bytes:
            return wrong

        decode = encode

    name = type(wrong).__name__
    for send in (lambda ws: ws.send_text("x"), lambda ws: ws.send_prepared(PreparedMessage("x"))):
        connection = Connection(role, [Wrong()])
        with pytest.raises(TypeError, match=rf"Wrong.encode\w*\(\) returned {name}, not bytes"):
            send(connection)
        check_given_up(connection, [])
    connection = Connection(role, [Wrong()])
    with pytest.raises(TypeError, match=rf"Wrong.decode\(\) returned {name}, not bytes"):
        connection.receive_data(to(role, TEXT, b"x", rsv=RSV1))
    check_given_up(connection, [])


@BOTH_ROLES
def test_text_that_is_not_utf8_once_decoded_is_the_peers(role: Role) -> None:
    stream = to(role, TEXT, b"\x00", rsv=RSV1)
    check_failed(outcome(role, stream, extensions=lambda: [InvertCodec()]), role, 1007, "8.1", 0)


# ---- Wrong arguments ----


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ([PerMessageDeflate], r"such as PerMessageDeflate\(\), not the class PerMessageDeflate$"),
        ([InvertCodec()], "not InvertCodec; pass a MessageCodec to a Connection"),
        (PerMessageDeflate(), "not PerMessageDeflate$"),
        ("permessage-deflate", "not str$"),
        ([None], "not None$"),
        (None, "not None$"),
        (5, "not 5$"),
    ],
)
def test_what_is_no_extension_is_refused_by_a_handshake(extensions: Any, words: str) -> None:
    for make in (
        lambda: rfc6455.ServerHandshake(extensions=extensions),
        lambda: rfc6455.ClientHandshake("ws://example.com/", extensions=extensions),
    ):
        with pytest.raises(TypeError, match=words):
            make()


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ([PerMessageDeflate()], "not PerMessageDeflate; pass an Extension to a handshake"),
        ([PerMessageDeflate], "not the class PerMessageDeflate; pass an Extension to a handshake"),
        ([InvertCodec], "MessageCodec objects, not the class InvertCodec$"),
        (InvertCodec(), "not InvertCodec$"),
        ([object()], "not object$"),
        ([None], "not None$"),
        (None, "not None$"),
        ("x", "not str$"),
    ],
)
def test_what_is_no_codec_is_refused_by_a_connection(extensions: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Connection(CLIENT, extensions)


class Forgetful(Extension):
    name = "x-forgetful"

    def codec(self) -> Any:
        return None


def test_an_extension_that_makes_no_codec() -> None:
    with pytest.raises(TypeError, match="not None"):
        answered([Forgetful()], "x-forgetful")
    assert opened([Forgetful()], [Forgetful()])[0] is None


@BOTH_ROLES
@pytest.mark.parametrize("step", [False, True], ids=["events", "receive_data"])
def test_an_endpoint_goes_on_after_a_fault(role: Role, step: bool) -> None:
    """What is held is due at once, and the loop that catches the exception finds it with ``events(None)``."""
    ws = Endpoint(Connection(role, [Faulty("decode", KeyError("a bug"))]), now=0.0)
    stream = to(role, TEXT, b"before") + to(role, TEXT, b"x", rsv=RSV1)
    take: Callable[[bytes | None], Any] = ws.receive_data if step else ws.events  # type: ignore[assignment]
    with pytest.raises(KeyError):
        list(take(stream, now=0.0))  # type: ignore[call-arg]
    assert ws.next_deadline() == 0.0
    first, closed = take(None, now=1.0)  # type: ignore[call-arg]
    assert first == TextMessage("before")
    assert closed == ws.end
    assert (closed.code, closed.cause) == (1011, CloseCause.EXTENSION_FAILED)
    assert list(take(None, now=2.0)) == []  # type: ignore[call-arg]
    assert [frame.payload for frame in read_frames(ws.data_to_send(), role)] == [b"\x03\xf3"]
