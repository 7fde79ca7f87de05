"""`rfc6455.testing` keeps its promises, compared with naive definitions and with our own code.

Our code accepts all legal examples, and refuses each illegal one with exactly the code, the section or the status that
its rule names. This is tested for every rule in the tables.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import helpers
import opening
import pytest
from code_blocks import ROOT
from helpers import share
from hypothesis import given, settings
from hypothesis import strategies as st

import rfc6455
import rfc6455.testing
from rfc6455 import (
    ANY_ORIGIN,
    BytesMessage,
    ClientHandshake,
    CloseCause,
    Closed,
    Connection,
    Endpoint,
    Event,
    Frame,
    FrameParser,
    HandshakeError,
    Http2ServerHandshake,
    Limits,
    Opcode,
    PerMessageDeflate,
    Ping,
    Pong,
    RemoteProtocolError,
    Request,
    Response,
    Role,
    ServerHandshake,
    TextMessage,
    is_sendable_close_code,
    serialize_frame,
)
from rfc6455.handshake.fields import parse_extensions
from rfc6455.testing import (
    CHUNKINGS,
    FRAME_RULES,
    REQUEST_RULES,
    RESPONSE_RULES,
    SAMPLE_ACCEPT,
    SAMPLE_KEY,
    Action,
    Carry,
    Chunking,
    CutAt,
    Head,
    Pair,
    Say,
    Uneven,
    WireFrame,
    assert_fails_with,
    assert_raises_nothing_but,
    assert_refuses,
    assert_same_events_in_any_chunking,
    cases,
    close_payload,
    every_cut,
    expected_events,
    feed,
    insist_on_sending,
    read_frames,
    request_head,
    response_head,
    status_of,
    whole,
)
from rfc6455.testing import strategies as ws
from rfc6455.testing.strategies import ExtensionHeader, IllegalHead, Stream

CLIENT, SERVER = Role.CLIENT, Role.SERVER
ROLES = st.sampled_from(Role)


# Reads.


@share(15)
@given(data=st.binary(max_size=50), chunk=ws.chunkings())
def test_portions_join_to_the_data_and_none_is_empty(data: bytes, chunk: Chunking) -> None:
    for cut in (chunk, *CHUNKINGS.values(), Uneven(3, largest=2)):
        portions = cut(data)
        assert b"".join(portions) == data
        assert all(portions)
    assert [len(portion) for portion in Uneven(3, largest=1)(data)] == [1] * len(data)


@share(15)
@given(data=st.binary(max_size=20).flatmap(lambda data: st.tuples(st.just(data), ws.chunks(data))))
def test_the_strategy_of_portions_cuts_its_data(data: tuple[bytes, list[bytes]]) -> None:
    assert b"".join(data[1]) == data[0]
    assert all(data[1])


def test_cuts_are_where_they_were_asked_for() -> None:
    assert CutAt((2, 2, 0, 6))(b"abcdef") == [b"ab", b"cdef"]
    assert CutAt((9,))(b"abcdef") == [b"ab", b"cdef"]
    assert CutAt((9,))(b"") == []
    assert list(every_cut(b"abc")) == [[b"a", b"bc"], [b"ab", b"c"]]
    assert len({tuple(Uneven(seed)(bytes(range(100)))) for seed in range(10)}) == 10


# The wire.


@share(25)
@given(data=st.data(), sender=ROLES)
def test_frames_are_written_as_by_hand_and_as_by_ours(data: st.DataObject, sender: Role) -> None:
    frame = data.draw(ws.frames(sender))
    by_hand = helpers.frame(frame.opcode, frame.payload, fin=frame.fin, rsv=frame.rsv, key=frame.masking_key)
    assert bytes(frame) == by_hand
    assert bytes(frame) == serialize_frame(
        Frame(Opcode(frame.opcode), frame.payload, frame.fin, frame.rsv), frame.masking_key
    )
    assert read_frames(bytes(frame) + b"\x81") == ([frame], b"\x81")
    assert all(read_frames(portions[0]) == ([], portions[0]) for portions in every_cut(bytes(frame)[:20]))


@pytest.mark.parametrize(("length", "size"), [(0, 2), (125, 8), (1 << 63, 8), (300, 2), (65536, 8)])
@pytest.mark.parametrize("key", [None, helpers.KEY])
def test_a_length_may_lie_in_any_size(length: int, size: int, key: bytes | None) -> None:
    frame = WireFrame(2, b"ab", masking_key=key, length=length, length_size=size)
    assert bytes(frame) == helpers.frame(2, b"ab", key=key, declared=length, length_bits=8 * size)


def test_a_length_in_too_many_bytes_is_read_as_it_was_written() -> None:
    for size in (2, 8):
        frame = WireFrame(1, b"a", rsv=5, fin=False, length_size=size)
        assert read_frames(bytes(frame)) == ([frame], b"")


# Legal frames and messages.


@share(25)
@given(data=st.data(), sender=ROLES)
def test_legal_frames_are_legal(data: st.DataObject, sender: Role) -> None:
    frame = data.draw(ws.frames(sender))
    assert (frame.masking_key is not None) == (sender is CLIENT)
    (parsed,) = FrameParser(sender.peer).receive_data(bytes(frame))
    assert parsed == Frame(Opcode(frame.opcode), frame.payload, frame.fin, frame.rsv)
    (event,) = Connection(sender.peer).receive_data(bytes(frame))
    assert not isinstance(event, Closed) or event.clean


def test_the_first_draw_in_a_new_directory_makes_no_table_of_characters(tmp_path: Path) -> None:
    """It takes seconds, which hypothesis would count against a user's first test."""
    code = "import rfc6455.testing.strategies"
    environment = {
        **os.environ,
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.rglob("charmap*"))


@share(15)
@given(text=ws.texts(200), payload=ws.payloads(200), message=ws.messages(200), key=ws.masking_keys())
def test_messages_keep_to_their_size(text: str, payload: bytes, message: str | bytes, key: bytes) -> None:
    assert max(len(text.encode()), len(payload)) <= 200
    assert len(message.encode() if isinstance(message, str) else message) <= 200
    assert len(key) == 4


def test_large_messages_are_made_where_they_are_asked_for() -> None:
    sizes: set[int] = set()

    @settings(max_examples=100, database=None, derandomize=True)
    @given(ws.payloads(70_000))
    def collect(payload: bytes) -> None:
        sizes.add(len(payload))

    collect()
    assert max(sizes) > 65535
    assert {125, 126} <= sizes


@share(15)
@given(code=ws.close_codes(), forbidden=ws.forbidden_close_codes(), bad=ws.bad_texts())
def test_codes_and_texts_are_what_they_are_called(code: int, forbidden: int, bad: bytes) -> None:
    assert is_sendable_close_code(code)
    assert not is_sendable_close_code(forbidden)
    assert 0 <= forbidden <= 0xFFFF
    with pytest.raises(UnicodeDecodeError):
        bad.decode()


@share(25)
@given(data=st.data(), sender=ROLES, message=ws.messages(), controls=st.booleans())
def test_fragments_join_to_the_message(
    data: st.DataObject, sender: Role, message: str | bytes, controls: bool
) -> None:
    frames = data.draw(ws.fragmentations(message, sender, max_fragments=3, controls=controls))
    fragments = [frame for frame in frames if not frame.is_control]
    payload = b"".join(frame.payload for frame in fragments)
    assert (payload.decode() if isinstance(message, str) else payload) == message
    assert [frame.opcode for frame in fragments] == [1 if isinstance(message, str) else 2] + [0] * (len(fragments) - 1)
    assert [frame.fin for frame in fragments] == [False] * (len(fragments) - 1) + [True]
    assert len(fragments) <= 3
    assert controls or frames == fragments
    assert not frames[0].is_control
    assert not frames[-1].is_control


# Streams, and what breaks a rule.


def outcome(stream: Stream, portions: Sequence[bytes]) -> list[Event]:
    """What ours makes of a stream, with the end as the stream tells it."""
    return feed(Connection(stream.sender.peer, limits=Limits(message=None)), portions)


@share(25)
@given(data=st.data(), sender=ROLES)
def test_a_legal_stream_tells_what_it_means(data: st.DataObject, sender: Role) -> None:
    stream = data.draw(ws.streams(sender))
    begun = [frame.fin for frame in stream.frames if not frame.is_control]
    cause = CloseCause.HANDSHAKE if all(begun[-1:]) else CloseCause.HANDSHAKE_IN_MESSAGE
    end = [] if stream.close is None else [Closed(*stream.close, True, None, cause)]
    assert outcome(stream, data.draw(ws.chunks(stream.data))) == [*stream.events, *end]


def broken_by(sender: Role) -> list[str]:
    return [name for name in FRAME_RULES if name != ("masked" if sender is CLIENT else "not masked")]


@pytest.mark.parametrize(("sender", "name"), [(sender, name) for sender in Role for name in broken_by(sender)])
@share(4)
@given(data=st.data())
def test_an_illegal_stream_is_refused_for_its_rule(sender: Role, name: str, data: st.DataObject) -> None:
    stream = data.draw(ws.illegal_streams(sender, 130, rule=name))
    *before, closed = outcome(stream, data.draw(ws.chunks(stream.data)))
    assert before == list(stream.events)
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, RemoteProtocolError)
    assert closed.cause is CloseCause.VIOLATION
    assert stream.rule == FRAME_RULES[name]
    assert (closed.error.close_code, closed.error.section) == (stream.rule.close_code, stream.rule.section)


@share(25)
@given(data=st.data(), sender=ROLES)
def test_an_illegal_frame_is_refused_alone(data: st.DataObject, sender: Role) -> None:
    frame, rule = data.draw(ws.illegal_frames(sender))
    events = assert_fails_with(
        rule.close_code, lambda: Connection(sender.peer), bytes(frame), data.draw(ws.chunkings())
    )
    assert [event.error.section for event in events] == [rule.section]


def test_a_rule_that_a_single_frame_cannot_break_is_told() -> None:
    with pytest.raises(ValueError, match="no single frame from a client breaks the rule 'message in a message'"):
        ws.illegal_frames(CLIENT, "message in a message")
    with pytest.raises(ValueError, match="no single frame from a server"):
        ws.illegal_frames(SERVER, "not masked")


# Handshakes.


def served(portions: Sequence[bytes]) -> bytes:
    """What our server answers to a request."""
    handshake = ServerHandshake(subprotocols=["b"], origins=ANY_ORIGIN)
    try:
        requests = [handshake.receive_data(portion) for portion in portions]
    except HandshakeError:
        return handshake.data_to_send()
    assert requests[-1] is not None
    return handshake.accept().data_to_send()


@share(15)
@given(request=ws.requests(["a", "b"]), chunk=ws.chunkings())
def test_ours_accepts_every_legal_request(request: Head, chunk: Chunking) -> None:
    assert status_of(served(chunk(bytes(request)))) == 101


@pytest.mark.parametrize("name", REQUEST_RULES)
@share(4)
@given(data=st.data())
def test_an_illegal_request_is_refused_with_its_status(name: str, data: st.DataObject) -> None:
    head, rule = data.draw(ws.illegal_requests(name))
    assert rule == REQUEST_RULES[name]
    status = assert_refuses(rule.statuses, served, bytes(head), data.draw(ws.chunkings()))
    assert status == rule.statuses[0]


def connected(response: Head, chunk: Chunking = whole) -> Connection | None:
    """What our client makes of a response to the sample key, in which it asked for the subprotocol "chat"."""
    nonce = b"the sample nonce"
    handshake = rfc6455.ClientHandshake(
        "ws://server.example.com/chat", subprotocols=["chat"], random=lambda size: nonce[:size]
    )
    connection = None
    for portion in chunk(bytes(response)):
        connection = handshake.receive_data(portion)
    return connection or handshake.receive_data(b"")


# 1.2 and 1.3, without what a client may leave out. `opening.py` builds on these, so they are written out here.
REQUEST_OF_THE_RFC = b"""\
GET /chat HTTP/1.1
Host: server.example.com
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

"""
ANSWER_OF_THE_RFC = b"""\
HTTP/1.1 101 Switching Protocols
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=

"""


def test_the_plain_heads_are_those_of_the_rfc() -> None:
    assert response_head(SAMPLE_KEY).get_all("Sec-WebSocket-Accept") == [SAMPLE_ACCEPT]
    assert bytes(request_head()) == opening.request() == REQUEST_OF_THE_RFC.replace(b"\n", b"\r\n")
    assert bytes(response_head()) == ANSWER_OF_THE_RFC.replace(b"\n", b"\r\n")
    assert status_of(served([bytes(request_head())])) == 101


@share(15)
@given(response=ws.responses(subprotocols=["chat"]), chunk=ws.chunkings())
def test_ours_accepts_every_legal_response(response: Head, chunk: Chunking) -> None:
    connection = connected(response, chunk)
    assert connection is not None
    assert [connection.subprotocol] == (response.get_all("Sec-WebSocket-Protocol") or [None])


@pytest.mark.parametrize("name", RESPONSE_RULES)
@share(4)
@given(data=st.data())
def test_an_illegal_response_opens_no_connection(name: str, data: st.DataObject) -> None:
    illegal: IllegalHead = data.draw(ws.illegal_responses(rule=name))
    assert illegal.rule == RESPONSE_RULES[name]
    with pytest.raises(HandshakeError) as caught:
        connected(illegal.head, data.draw(ws.chunkings()))
    assert caught.value.section.startswith(("4", "9", "11", "RFC"))


def test_a_rule_that_does_not_exist_is_told() -> None:
    with pytest.raises(ValueError, match="there is no rule 'x'; the rules are: method, "):
        ws.illegal_requests("x")


@share(25)
@given(header=ws.extension_headers())
def test_a_legal_extension_header_tells_what_it_means(header: ExtensionHeader) -> None:
    assert [(name, [*parameters]) for name, parameters in parse_extensions([header.value])] == header.items


@share(25)
@given(value=ws.illegal_extension_headers())
def test_an_illegal_extension_header_is_refused(value: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        parse_extensions([value])
    assert (caught.value.status, caught.value.section) == (400, "9.1")


def agreed(offer: str) -> int:
    """How many extensions our server agrees to."""
    handshake = ServerHandshake(extensions=[PerMessageDeflate()])
    handshake.receive_data(bytes(request_head().with_field("Sec-WebSocket-Extensions", offer)))
    return len(handshake.accept().extensions)


@share(15)
@given(offer=ws.deflate_offers(), illegal=ws.illegal_deflate_offers())
def test_deflate_is_agreed_on_for_a_legal_offer_only(offer: str, illegal: str) -> None:
    # zlib cannot deflate with a window of 8 bits, and a server may decline what it cannot do.
    assert agreed(offer) == (re.search('server_max_window_bits="?8', offer) is None)
    assert agreed(illegal) == 0


# Conversations and pairs.


@share(25)
@given(conversation=ws.conversations())
def test_conversations_are_legal(conversation: list[Action]) -> None:
    closed: set[Role] = set()
    heard: set[Role] = set()
    message: dict[Role, str | None] = {CLIENT: None, SERVER: None}
    for action in conversation:
        if isinstance(action, Carry):
            heard |= {action.sender} & closed
            continue
        assert action.role not in closed
        assert action.role.peer not in heard
        if action.kind in ("text", "bytes"):
            assert message[action.role] in (None, action.kind)
            message[action.role] = None if action.fin else action.kind
        elif action.kind == "close":
            closed.add(action.role)


def test_what_is_expected_of_a_conversation() -> None:
    conversation: list[Action] = [
        Say(CLIENT, "text", "a", fin=False),
        Say(SERVER, "pong", b"p"),
        Say(CLIENT, "ping", b"p"),
        Carry(CLIENT, 3),
        Say(CLIENT, "text", "b"),
        Say(CLIENT, "bytes", b"c"),
        Say(CLIENT, "text", "never ended", fin=False),
        Say(CLIENT, "close", (1000, "")),
    ]
    assert expected_events(conversation, SERVER) == [Ping(b"p"), TextMessage("ab"), BytesMessage(b"c")]
    assert expected_events(conversation, CLIENT) == [Pong(b"p")]


def ours() -> Pair:
    return Pair(*(Connection(role, random=helpers.counting_random()) for role in (CLIENT, SERVER)))


def test_bytes_are_held_back_until_they_are_carried() -> None:
    pair = ours()
    pair.client.send_text("Hello")
    assert pair.flush(CLIENT) == 11
    assert pair.flush(CLIENT) == 0
    assert pair.carry(CLIENT, 10) == 10
    assert pair.take(SERVER) == []
    assert len(pair.under_way[CLIENT]) == 1
    pair.server.send_text("first")
    pair.exchange()
    assert pair.take(CLIENT) == [TextMessage("first")]
    assert pair.take(SERVER) == [TextMessage("Hello")]
    assert pair.take(SERVER) == []
    assert pair.carry(SERVER) == 0
    assert len(pair.sent[CLIENT]) == 11


def test_a_stream_that_ends_loses_what_is_under_way() -> None:
    pair = ours()
    pair.server.send_text("lost")
    pair.flush(SERVER)
    pair.carry(SERVER, 3)
    pair.end(SERVER)
    (closed,) = pair.take(CLIENT)
    assert (closed.code, closed.cause) == (1006, CloseCause.EOF_IN_FRAME)
    assert pair.carry(SERVER) == 0


def test_reads_are_cut_as_the_pair_is_told() -> None:
    reads: list[bytes] = []

    class Listener:
        def receive_data(self, data: bytes) -> list[Event]:
            reads.append(data)
            return []

        def data_to_send(self) -> bytes:
            return b""

    pair = Pair(Connection(CLIENT), Listener(), chunk=lambda data: [data[:2], data[2:]])
    for _ in range(2):
        pair.client.ping()
        pair.flush(CLIENT)
    pair.carry(CLIENT, 6, whole)
    pair.exchange()
    assert [len(read) for read in reads] == [6, 2, 4]


def endpoints(chunk: Chunking) -> Pair:
    return Pair(
        Endpoint(ClientHandshake("ws://localhost/"), now=0.0), Endpoint(ServerHandshake(), now=0.0), chunk=chunk
    )


@helpers.EVERY_CHUNKING
def test_endpoints_are_a_pair_from_the_opening_handshake_on(chunk: Chunking) -> None:
    pair = endpoints(chunk)
    pair.exchange()
    (request,) = pair.take(SERVER)
    assert isinstance(request, Request)
    pair.server.accept(now=pair.now)
    pair.server.send_text("welcome")
    pair.exchange()
    response, message = pair.take(CLIENT)
    assert isinstance(response, Response)
    assert message == TextMessage("welcome")
    pair.client.close()
    pair.exchange()
    assert pair.take(SERVER) == pair.take(CLIENT) == [Closed(1000, clean=True)]


def test_time_passes_for_endpoints_as_the_pair_is_told() -> None:
    pair = endpoints(whole)
    pair.exchange()
    pair.advance(5.0)
    pair.server.accept(now=pair.now)
    pair.exchange()
    pair.advance(25.0)
    pair.exchange()
    assert sum(isinstance(event, Ping) for event in pair.take(CLIENT)) == 1
    pair.advance(45.0)
    pair.flush(SERVER)
    pair.flush(CLIENT)
    pair.advance(65.0)
    (closed,) = [event for event in pair.take(SERVER) if isinstance(event, Closed)]
    assert closed.cause is CloseCause.PONG_TIMEOUT


def test_time_does_not_concern_other_ends() -> None:
    pair = ours()
    pair.advance(1000.0)
    assert pair.now == 1000.0
    assert pair.events == {CLIENT: [], SERVER: []}


def test_two_ends_that_never_stop_are_told() -> None:
    class Echo:
        def receive_data(self, data: bytes) -> list[Event]:
            self.data = data
            return []

        def data_to_send(self) -> bytes:
            return getattr(self, "data", b"again")

    with pytest.raises(AssertionError, match="still answering each other after 7 rounds"):
        Pair(Echo(), Echo()).exchange(rounds=7)


def test_unread_input_of_a_connection_is_asked_for() -> None:
    """What came with the handshake, or is inflated in steps, comes without new bytes."""
    (client_codec, server_codec) = (PerMessageDeflate().accept_offer([]) for _ in range(2))
    assert client_codec is not None
    assert server_codec is not None
    sender = Connection(SERVER, [server_codec])
    for _ in range(4):
        sender.send_bytes(bytes(500_000))
    receiver = Connection(CLIENT, [client_codec])
    assert [len(event.data) for event in feed(receiver, [sender.data_to_send()])] == [500_000] * 4


# Assertions.


class Lines:
    """A receiver with a mistake: unless ``keeps`` is set, it forgets an unfinished line at the end of a read."""

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self._rest = b""

    def receive_data(self, data: bytes) -> list[bytes]:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if self._keeps else b""
        return lines

    def data_to_send(self) -> bytes:
        return b""


def test_a_receiver_that_depends_on_the_reads_is_found() -> None:
    assert assert_same_events_in_any_chunking(lambda: Lines(True), b"one\ntwo\n") == [b"one", b"two"]
    with pytest.raises(AssertionError, match=r"the reads \[b'o', b'n', b'e'.* gave \[b'', b''\], but a single read"):
        assert_same_events_in_any_chunking(lambda: Lines(False), b"one\ntwo\n")
    with pytest.raises(AssertionError, match=r"gave \[b'e', b'two'\]"):
        assert_same_events_in_any_chunking(lambda: Lines(False), b"one\ntwo\n", [CutAt((2,))])
    assert assert_same_events_in_any_chunking(lambda: Lines(False), b"one\n", [whole], normal=len) == 1
    assert assert_same_events_in_any_chunking(lambda: list, b"one", normal=sum) == sum(b"one")


def test_an_exception_counts_as_what_a_stream_means() -> None:
    def refuse(read: bytes) -> list[int]:
        if b"x" in read:
            raise ValueError(read)
        return []

    with pytest.raises(ValueError, match="x"):
        assert_same_events_in_any_chunking(lambda: refuse, b"axb")
    with pytest.raises(AssertionError, match=r"gave ValueError\(b'x'\), but a single read gave KeyError"):
        assert_same_events_in_any_chunking(lambda: lambda read: refuse(read) if len(read) == 1 else {}["a"], b"axb")


def test_an_exception_that_was_not_announced_is_told() -> None:
    def fail(read: bytes) -> list[int]:
        raise KeyError(read)

    assert_raises_nothing_but((), lambda: Lines(True), b"a", helpers.byte_by_byte)
    assert_raises_nothing_but((ValueError, LookupError), lambda: fail, b"a")
    with pytest.raises(AssertionError, match=r"the reads \[b'a', b'b'\] raised KeyError") as caught:
        assert_raises_nothing_but(ValueError, lambda: fail, b"ab", helpers.byte_by_byte)
    assert isinstance(caught.value.__cause__, KeyError)


class Says:
    """An end that always sends the same, whatever it receives."""

    def __init__(self, *frames: WireFrame, more: bytes = b"") -> None:
        self._data = b"".join(map(bytes, frames)) + more

    def receive_data(self, data: bytes) -> list[Event]:
        return []

    def data_to_send(self) -> bytes:
        return self._data


CLOSE_1002 = WireFrame(8, close_payload(1002, b"no"), masking_key=helpers.KEY)


def test_an_end_that_fails_as_it_must() -> None:
    assert assert_fails_with(1002, lambda: Says(WireFrame(1, b"x"), CLOSE_1002), b"") == []
    with pytest.raises(AssertionError, match="the end closed with 1002, not with 1007"):
        assert_fails_with(1007, lambda: Says(CLOSE_1002), b"")
    for end in (Says(), Says(CLOSE_1002, WireFrame(1)), Says(CLOSE_1002, CLOSE_1002), Says(CLOSE_1002, more=b"x")):
        with pytest.raises(AssertionError, match="without a Close frame as the last one"):
            assert_fails_with(1002, lambda end=end: end, b"x")  # type: ignore[misc]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 x\r\n\r\n", b"\x88\x00", b"HTTP/1.1 4", b"no words"])
def test_an_answer_that_is_no_refusal_is_told(answer: bytes) -> None:
    with pytest.raises(AssertionError, match=r"not with one of \[400, 426\]"):
        assert_refuses((426, 400), lambda reads: answer, b"GET / HTTP/1.1\r\n\r\n")


PING = bytes.fromhex("89 01 31")


def give_to_connection(ws: Any, data: bytes | None) -> list[Event]:
    return list(ws.receive_data(data))


def give_to_endpoint(ws: Any, data: bytes | None) -> list[Event]:
    return list(ws.events(data, now=1.0))


def give_one_step(ws: Any, data: bytes | None) -> list[Event]:
    return list(ws.receive_data(data, now=1.0))


def give_into_memory(ws: Any, data: bytes | None) -> list[Event]:
    if data is None:
        return give_to_endpoint(ws, None)
    ws.get_buffer(100)[: len(data)] = data
    return list(ws.buffer_updated(len(data), now=1.0))


def an_endpoint() -> Endpoint:
    return Endpoint(Connection(CLIENT), now=0.0)


EVERY_WAY_TO_GIVE = pytest.mark.parametrize(
    ("make", "give"),
    [
        (lambda: Connection(CLIENT), give_to_connection),
        (an_endpoint, give_to_endpoint),
        (an_endpoint, give_one_step),
        (an_endpoint, give_into_memory),
    ],
)


@EVERY_WAY_TO_GIVE
def test_a_loop_that_does_not_write_is_told(make: Callable[[], Any], give: Callable[[Any, bytes | None], Any]) -> None:
    ws = insist_on_sending(make())
    assert isinstance(ws, type(make()))
    assert give(ws, PING) == [Ping(b"1")]
    for data in (PING, b""):
        with pytest.raises(AssertionError, match=r"^\w+\(\) was called with input while there is data to send"):
            give(ws, data)
    # Without input, and when the answer has been fetched, it may be called.
    assert give(ws, None) == []
    ws.data_to_send()
    assert give(ws, PING) == [Ping(b"1")]
    ws.buffers_to_send()
    ws.send_text("hi")
    with pytest.raises(AssertionError):
        give(ws, b"")
    ws.data_to_send()
    assert [type(event) for event in give(ws, b"")] == [Closed]


@EVERY_WAY_TO_GIVE
def test_without_it_nobody_is_told(make: Callable[[], Any], give: Callable[[Any, bytes | None], Any]) -> None:
    """The mistake itself, which only the peer would notice."""
    ws = make()
    assert give(ws, PING) == give(ws, PING) == [Ping(b"1")]


def test_the_answer_of_a_handshake_is_insisted_on() -> None:
    ws = insist_on_sending(Endpoint(ServerHandshake(), now=0.0))
    assert [type(event) for event in ws.events(opening.request(), now=1.0)] == [Request]
    ws.accept(now=1.0)
    with pytest.raises(AssertionError, match="events"):
        ws.events(b"", now=1.0)
    over_http2 = insist_on_sending(Endpoint(Http2ServerHandshake(), now=0.0))
    assert list(over_http2.receive_headers(HTTP2_REQUEST, now=1.0)) == [over_http2.request]
    over_http2.accept(now=1.0).ping()
    with pytest.raises(AssertionError, match="receive_headers"):
        over_http2.receive_headers([("a", "trailer")], now=1.0)


HTTP2_REQUEST = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":path", "/"),
    (":authority", "example.com"),
    ("sec-websocket-version", "13"),
]


# The package itself.


def test_only_the_strategies_need_hypothesis() -> None:
    """A fresh interpreter without it has all but the strategies; and the package itself loads nothing of this."""
    code = """
import sys
sys.modules["hypothesis"] = None
import rfc6455
assert "rfc6455.testing" not in sys.modules
from rfc6455 import testing
assert sorted(testing.__all__) == sorted(name for name in testing.__all__ if hasattr(testing, name))
try:
    import rfc6455.testing.strategies
except ImportError:
    print("no strategies")
"""
    root = Path(rfc6455.__file__).parent.parent
    finished = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert (finished.stdout, finished.stderr) == ("no strategies\n", "")


def test_no_other_module_imports_hypothesis() -> None:
    package = Path(rfc6455.__file__).parent
    importers = {
        path.relative_to(package).parts[:2]
        for path in package.rglob("*.py")
        if re.search(r"^ *(from|import) hypothesis", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert importers == {("testing", "strategies")}


@pytest.mark.parametrize("module", [rfc6455.testing, cases, ws], ids=lambda module: module.__name__)
def test_each_public_name_is_in_the_reference_once(module: object) -> None:
    page = (ROOT / "docs" / "reference" / "testing.rst").read_text(encoding="utf-8")
    name = module.__name__  # type: ignore[attr-defined]
    documented = re.findall(rf"^\.\. auto\w+:: {re.escape(name)}\.(\w+)(?:\(.*\))?$", page, re.MULTILINE)
    assert all(getattr(module, each).__doc__ for each in documented)
    # What is no class and no function stands below its module's directive.
    sections = re.split(r"^\.\. module:: ([\w.]+)$", page, flags=re.MULTILINE)
    below = dict(zip(sections[1::2], sections[2::2], strict=True)).get(name, "")
    data = re.findall(r"^\.\. data:: (\w+)$", below, re.MULTILINE)
    assert sorted(documented + data) == sorted(module.__all__)  # type: ignore[attr-defined]
