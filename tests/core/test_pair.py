"""A client and a server communicate, and a model predicts what each must send and report.

The model has the rules in their simplest form: what a call sends; the latest Pings are answered before anything else
is sent; a Close is answered with its own code and reason when the output is fetched; only Pongs follow an own Close.
The model reads the wire with the tests' own reader, and compares every byte and every event, while bytes are carried
in portions of any size and in any order of the two directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from helpers import (
    BINARY,
    CLOSE,
    CONT,
    EVERY_CHUNKING,
    PING,
    PONG,
    TEXT,
    Chunking,
    ConnectionPair,
    Seen,
    close_payload,
    feed,
    new_connection,
    share,
    split_frames,
    to,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tiny_extension import ShiftCodec, shifted

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    CloseCause,
    Closed,
    Connection,
    ConnectionState,
    Event,
    Limits,
    LocalProtocolError,
    Ping,
    Pong,
    PreparedMessage,
    RemoteProtocolError,
    Role,
    TextMessage,
)


@dataclass
class ModelEnd:
    """The model of one end."""

    role: Role
    pongs: int
    encodes: bool
    # The frames that it must have sent when all is flushed, and what it must report.
    sent: list[Seen] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    unanswered: list[bytes] = field(default_factory=list)
    # The message that it is sending: its opcode, how much of it is sent, whether it is encoded.
    sending: int | None = None
    place: int = 0
    encoding: bool = False
    # The message that it is receiving.
    receiving: int | None = None
    received: bytes = b""
    received_encoded: bool = False
    # The end was reported; its Close frame, if one is owed, goes out last with the next flush.
    closed: bool = False
    owed_close: bytes | None = None
    sent_close: bool = False

    def send_data(self, opcode: int, data: bytes, fin: bool, compress: bool | None) -> None:
        self.answer_pings()
        begins = self.sending is None
        if begins:
            self.encoding = self.encodes and compress is not False
            self.place = 0
        payload = shifted(data, self.place, 1) if self.encoding else data
        self.sent.append(Seen(opcode if begins else CONT, payload, fin, 2 if begins and self.encoding else 0))
        self.place += len(data)
        self.sending = None if fin else opcode

    def send_control(self, opcode: int, payload: bytes) -> None:
        self.answer_pings()
        self.sent.append(Seen(opcode, payload))

    def answer_pings(self) -> None:
        self.sent += [Seen(PONG, payload) for payload in self.unanswered]
        self.unanswered = []

    def send_close(self, payload: bytes, is_code_named: bool) -> None:
        if self.closed:
            if self.owed_close is not None and is_code_named:
                self.owed_close = payload
        elif not self.sent_close:
            self.send_control(CLOSE, payload)
            self.sent_close = True

    def flush(self) -> None:
        self.answer_pings()
        if self.closed:
            self.sent += [] if self.owed_close is None else [Seen(CLOSE, self.owed_close)]
            self.owed_close = None
            self.sent_close = True

    def receive(self, frame: Seen) -> None:
        if self.closed:
            return
        match frame.opcode:
            case 9:
                self.events.append(Ping(frame.payload))
                self.unanswered = [*self.unanswered, frame.payload][-self.pongs :]
            case 10:
                self.events.append(Pong(frame.payload))
            case 8:
                self.owed_close = frame.payload
                code = int.from_bytes(frame.payload[:2], "big") if frame.payload else 1005
                cause = CloseCause.HANDSHAKE if self.receiving is None else CloseCause.HANDSHAKE_IN_MESSAGE
                self.end(Closed(code, frame.payload[2:].decode(), True, None, cause))
            case _:
                self.receive_data(frame)

    def receive_data(self, frame: Seen) -> None:
        if self.receiving is None:
            self.receiving = frame.opcode
            self.received = b""
            self.received_encoded = frame.rsv == 2
        self.received += frame.payload
        if frame.fin:
            data = shifted(self.received, 0, -1) if self.received_encoded else self.received
            self.events.append(TextMessage(data.decode()) if self.receiving == TEXT else BytesMessage(data))
            self.receiving = None

    def end_of_file(self, in_frame: bool) -> None:
        if self.sent_close:
            cause = CloseCause.EOF_IN_CLOSE
        elif in_frame:
            cause = CloseCause.EOF_IN_FRAME
        elif self.receiving is not None:
            cause = CloseCause.EOF_IN_MESSAGE
        else:
            cause = CloseCause.EOF_IDLE
        self.end(Closed(1006, "", False, None, cause))

    def end(self, closed: Closed) -> None:
        self.events.append(closed)
        self.closed = True
        if self.sent_close:
            # Its Close frame has gone out: nothing is owed any more.
            self.owed_close = None
            self.unanswered = []


ROLES = st.sampled_from([CLIENT, SERVER])
TEXTS = st.text(max_size=10) | st.just("é" * 100)
DATA = st.binary(max_size=10) | st.sampled_from([bytes(125), bytes(126), bytes(300)])
COMPRESS = st.sampled_from([None, True, False])
CODES = st.sampled_from([None, 1000, 1001, 1011, 3000, 4999])


class Pair(RuleBasedStateMachine):
    @initialize(pongs=st.sampled_from([1, 2, 16]), encodes=st.booleans())
    def connect(self, pongs: int, encodes: bool) -> None:
        self.ends: dict[Role, Connection] = {}
        self.models: dict[Role, ModelEnd] = {}
        # What each end has sent: all of it, what its peer has not got yet, and what its peer has of a frame.
        self.wire = {CLIENT: b"", SERVER: b""}
        self.under_way = {CLIENT: b"", SERVER: b""}
        self.cut = {CLIENT: b"", SERVER: b""}
        self.broken = False
        self.events: dict[Role, list[Event]] = {CLIENT: [], SERVER: []}
        for role in (CLIENT, SERVER):
            extensions = [ShiftCodec()] if encodes else []
            self.ends[role] = new_connection(role, extensions=extensions, limits=Limits(pongs=pongs))
            self.models[role] = ModelEnd(role, pongs, encodes)

    def act(self, role: Role, is_legal: bool, call: Callable[[Connection], None], model: Callable[[], None]) -> None:
        if is_legal:
            call(self.ends[role])
            model()
        else:
            with pytest.raises(LocalProtocolError):
                call(self.ends[role])

    @rule(role=ROLES, text=TEXTS, fin=st.booleans(), compress=COMPRESS)
    def send_text(self, role: Role, text: str, fin: bool, compress: bool | None) -> None:
        model = self.models[role]
        self.act(
            role,
            not model.sent_close and model.sending in (None, TEXT),
            lambda end: end.send_text(text, fin=fin, compress=compress),
            lambda: model.send_data(TEXT, text.encode(), fin, compress),
        )

    @rule(role=ROLES, data=DATA, fin=st.booleans(), compress=COMPRESS)
    def send_bytes(self, role: Role, data: bytes, fin: bool, compress: bool | None) -> None:
        model = self.models[role]
        self.act(
            role,
            not model.sent_close and model.sending in (None, BINARY),
            lambda end: end.send_bytes(data, fin=fin, compress=compress),
            lambda: model.send_data(BINARY, data, fin, compress),
        )

    @rule(role=ROLES, text=TEXTS, compress=COMPRESS)
    def send_prepared(self, role: Role, text: str, compress: bool | None) -> None:
        model = self.models[role]
        self.act(
            role,
            not model.sent_close and model.sending is None,
            lambda end: end.send_prepared(PreparedMessage(text, compress=compress)),
            lambda: model.send_data(TEXT, text.encode(), True, compress),
        )

    @rule(role=ROLES, payload=st.binary(max_size=125))
    def ping(self, role: Role, payload: bytes) -> None:
        model = self.models[role]
        self.act(role, not model.sent_close, lambda end: end.ping(payload), lambda: model.send_control(PING, payload))

    @rule(role=ROLES, payload=st.binary(max_size=3))
    def pong(self, role: Role, payload: bytes) -> None:
        model = self.models[role]
        self.act(role, not model.sent_close, lambda end: end.pong(payload), lambda: model.send_control(PONG, payload))

    @rule(role=ROLES, code=CODES, reason=st.sampled_from(["", "bye", "é" * 100]))
    def close(self, role: Role, code: int | None, reason: str) -> None:
        reason = reason if code else ""
        payload = b"" if code is None else close_payload(code, reason[:61].encode())
        self.ends[role].close(code, reason)
        self.models[role].send_close(payload, True)

    @rule(role=ROLES)
    def close_without_a_word(self, role: Role) -> None:
        self.ends[role].close()
        self.models[role].send_close(close_payload(1000), False)

    @rule(role=ROLES)
    def flush(self, role: Role) -> None:
        """Put what the end has to say on the wire, and check that it is just what the model says."""
        data = self.ends[role].data_to_send()
        self.wire[role] += data
        self.under_way[role] += data
        self.models[role].flush()
        frames, rest, keys = split_frames(self.wire[role], role)
        assert rest == b""
        assert frames == self.models[role].sent
        if role is CLIENT:
            # The source of these tests repeats itself after 251 keys.
            assert all(len(set(keys[at : at + 200])) == len(keys[at : at + 200]) for at in range(0, len(keys), 200))

    @precondition(lambda self: any(self.under_way.values()))
    @rule(role=ROLES, size=st.sampled_from([1, 2, 7, 50, 1 << 20]))
    def deliver(self, role: Role, size: int) -> None:
        """Some bytes of ``role`` reach its peer."""
        data, self.under_way[role] = self.under_way[role][:size], self.under_way[role][size:]
        if not data:
            return
        peer = role.peer
        self.events[peer] += feed(self.ends[peer], [data])
        frames, self.cut[role], _ = split_frames(self.cut[role] + data, role)
        for frame in frames:
            self.models[peer].receive(frame)

    @precondition(lambda self: not all(model.closed for model in self.models.values()))
    @rule(role=ROLES, dice=st.integers(0, 9))
    def break_off(self, role: Role, dice: int) -> None:
        """The stream to ``role`` ends where it is; rarely, since nothing happens afterwards."""
        if dice:
            return
        self.broken = True
        self.events[role] += self.ends[role].receive_data(b"")
        if not self.models[role].closed:
            self.models[role].end_of_file(bool(self.cut[role.peer]))
        self.under_way[role.peer] = self.cut[role.peer] = b""

    @invariant()
    def events_are_those_of_the_model(self) -> None:
        for role in (CLIENT, SERVER):
            assert self.events[role] == self.models[role].events

    @invariant()
    def states_are_those_of_the_model(self) -> None:
        for role, end in self.ends.items():
            model = self.models[role]
            assert end.closed is model.closed
            expected = (
                ConnectionState.CLOSED
                if model.closed
                else ConnectionState.CLOSING
                if model.sent_close
                else ConnectionState.OPEN
            )
            assert end.state is expected
            if not model.closed:
                assert not end.must_close
            assert end.retained_bytes < 2 * len(model.received) + 300 + 200 * model.pongs

    def teardown(self) -> None:
        """Whatever happened, two closes end it, unless a stream broke off; then the end of the other one does."""
        if not hasattr(self, "ends"):
            return
        for role in (CLIENT, SERVER):
            self.close(role, 1000, "")
        for role in (CLIENT, SERVER) * 2:
            self.flush(role)
            self.deliver(role, 1 << 20)
        assert self.broken or all(model.closed for model in self.models.values())
        for role in (CLIENT, SERVER):
            self.break_off(role, 0)
        self.events_are_those_of_the_model()
        self.states_are_those_of_the_model()


Pair.TestCase.settings = settings(share(150), stateful_step_count=40)
TestPair = Pair.TestCase


# The same by hand, where it should be easy to read.


@pytest.mark.clause("6455:6.1-in-steps")
@EVERY_CHUNKING
def test_a_conversation(chunk: Chunking) -> None:
    pair = ConnectionPair(chunk)
    pair.client.send_text("Hello")
    pair.server.send_bytes(bytes(70_000))
    pair.client.ping(b"1")
    pair.exchange()
    assert pair.take(SERVER) == [TextMessage("Hello"), Ping(b"1")]
    assert pair.take(CLIENT) == [BytesMessage(bytes(70_000)), Pong(b"1")]
    pair.server.close(1001, "going away")
    pair.exchange()
    assert pair.take(CLIENT) == [Closed(1001, "going away", True)]
    assert pair.take(SERVER) == [Closed(1001, "going away", True)]
    assert pair.server.must_close
    assert not pair.client.must_close
    assert pair.client.receive_data(b"") == []
    assert pair.client.must_close


@EVERY_CHUNKING
def test_both_close_at_once(chunk: Chunking) -> None:
    pair = ConnectionPair(chunk)
    pair.client.close(1000, "client")
    pair.server.close(4000, "server")
    pair.exchange()
    assert pair.take(CLIENT) == [Closed(4000, "server", True)]
    assert pair.take(SERVER) == [Closed(1000, "client", True)]
    assert len(pair.sent[CLIENT]) == 2 + 4 + 2 + 6
    assert len(pair.sent[SERVER]) == 2 + 2 + 6


def test_each_end_knows_who_broke_the_rules() -> None:
    """The one that was wronged gets the error; the other gets an orderly Close with the reason."""
    pair = ConnectionPair()
    wronged = feed(pair.server, [to(SERVER, CONT, b"x")])
    pair.exchange()
    (at_server,) = wronged
    (at_client,) = pair.take(CLIENT)
    assert isinstance(at_server, Closed)
    assert isinstance(at_client, Closed)
    assert isinstance(at_server.error, RemoteProtocolError)
    assert (at_server.code, at_server.clean, at_server.cause) == (1002, False, CloseCause.VIOLATION)
    assert (at_client.code, at_client.clean, at_client.cause) == (1002, True, CloseCause.HANDSHAKE)
    assert at_client.error is None
    assert at_server.reason == ""
    assert at_client.reason == f"5.4: {at_server.error.reason}"
