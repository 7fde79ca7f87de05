"""Recording a connection: it behaves as without recording; a recording is the same after saving and loading it, gives
the same events when it is replayed, and can be shown in every format, whatever a peer has sent.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import cache
from typing import Any, NamedTuple

import pytest
from deflating import codec_of, deflated
from helpers import (
    BINARY,
    BOTH_ROLES,
    CLOSE,
    CONT,
    EVERY_CHUNKING,
    KEY,
    PING,
    TEXT,
    Chunking,
    close_payload,
    counting_random,
    frame,
    new_connection,
    share,
    to,
    whole,
)
from hypothesis import given
from hypothesis import strategies as st
from measuring import Memory
from opening import ANSWER, REQUIRED, asked, client, request, response
from tiny_extension import ShiftCodec

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    ClientHandshake,
    CloseCause,
    Closed,
    Connection,
    Deadlines,
    Endpoint,
    Event,
    HandshakeError,
    Http2ClientHandshake,
    Http2ServerHandshake,
    Limits,
    LocalProtocolError,
    PerMessageDeflate,
    Ping,
    Request,
    Response,
    Role,
    ServerHandshake,
    TextMessage,
    TextPart,
    Timeouts,
    trace,
)
from rfc6455.testing import read_frames
from rfc6455.testing import strategies as ws
from rfc6455.trace import Entry, Kind, Recorder, Recording
from rfc6455.trace.recording import MADE_OVERHEAD, MOST_MADE

# ---- Recording ----


class Ticks:
    """A clock that goes on by a quarter of a second each time somebody looks at it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


def recorded(role: Role, **options: Any) -> tuple[Recorder, Connection]:
    recorder = Recorder(Ticks())
    return recorder, recorder.wrap(new_connection(role, **options))


def run_again(recording: Recording, make: Callable[[], Connection] | None = None) -> list[list[Event]]:
    """The events of each call, after a way through a file."""
    loaded = trace.loads(trace.dumps(recording))
    assert loaded == recording
    loaded.codecs = recording.codecs
    return [events for _, events in trace.replay(loaded, make)]


def kinds(recording: Recording) -> list[str]:
    return [entry.kind.value for entry in recording.entries]


def all_forms(recording: Recording) -> tuple[str, dict[str, Any], bytes]:
    return trace.to_text(recording), trace.to_har(recording), trace.to_pcapng(recording)


# What is done with a connection besides reading from it.
DEEDS: dict[str, Callable[[Connection], object]] = {
    "write": lambda end: end.data_to_send(),
    "text": lambda end: end.send_text("some text"),
    "ping": lambda end: end.ping(b"p"),
    "close": lambda end: end.close(1000, "bye"),
}


def do(end: Connection, deed: str) -> None:
    try:
        DEEDS[deed](end)
    except LocalProtocolError:
        assert end.state.name != "OPEN"


def peers_bytes(role: Role) -> st.SearchStrategy[bytes]:
    """Legal streams, illegal ones, and anything at all."""
    sender = role.peer
    legal = st.one_of(ws.streams(sender, 150), ws.illegal_streams(sender, 150)).map(lambda stream: stream.data)
    # Byte by byte, a length of 65535 would take more entries than a recording has room for.
    return st.one_of(legal.filter(lambda data: len(data) < 5000), st.binary(max_size=60))


CONVERSATION = st.tuples(st.sampled_from(Role), st.sampled_from([None, False, True])).flatmap(
    lambda choice: st.tuples(
        st.just(choice[0]),
        st.just(choice[1]),
        peers_bytes(choice[0]).flatmap(ws.chunks),
        st.lists(st.sampled_from(["", "", *DEEDS]), max_size=8),
        st.sampled_from(["", "eof", "time out"]),
    )
)


@share(80)
@given(conversation=CONVERSATION)
def test_whatever_comes_a_replay_gives_the_same_events_call_by_call(
    conversation: tuple[Role, bool | None, list[bytes], list[str], str],
) -> None:
    role, takeover, reads, deeds, end = conversation

    def make() -> Connection:
        options = {"server_no_context_takeover": not takeover, "client_no_context_takeover": not takeover}
        extensions = [] if takeover is None else [codec_of(role, **options)]
        return new_connection(role, extensions=extensions)

    recorder = Recorder(Ticks())
    traced, plain = recorder.wrap(make()), make()
    calls = []
    for number, data in enumerate([*reads, *([b""] if end == "eof" else [])]):
        calls.append(traced.receive_data(data))
        assert calls[-1] == plain.receive_data(data)
        for connection in (traced, plain):
            if number < len(deeds) and deeds[number]:
                do(connection, deeds[number])
        assert traced.data_to_send() == plain.data_to_send()
    if end == "time out":
        calls.append(traced._time_out(CloseCause.PONG_TIMEOUT))
        assert calls[-1] == plain._time_out(CloseCause.PONG_TIMEOUT)
    assert run_again(recorder.recording) == calls
    assert run_again(recorder.recording, make) == calls
    for form in all_forms(recorder.recording):
        assert form


def test_what_is_recorded_has_all_that_a_connection_has() -> None:
    recorder, ws = recorded(SERVER, subprotocol="chat")
    assert (ws.role, ws.subprotocol, ws.unread, ws.must_close) == (SERVER, "chat", 0, False)
    ws.receive_data(bytearray(to(SERVER, PING, b"x")))
    ws.receive_data(memoryview(to(SERVER, CLOSE)))
    assert ws.closed
    assert ws.data_to_send()
    assert ws.data_to_send() == b""
    assert kinds(recorder.recording) == ["opened", "received", "received", "sent"]
    assert {type(entry.data) for entry in recorder.recording.entries} == {bytes}
    with pytest.raises(AttributeError):
        ws.receive()  # type: ignore[attr-defined]


def test_what_a_call_refuses_is_not_recorded() -> None:
    recorder, ws = recorded(SERVER)
    with pytest.raises(TypeError):
        ws.receive_data("text")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        ws.close(1005)
    assert ws.receive_data(None) == []
    assert kinds(recorder.recording) == ["opened"]
    ws.close()
    ws.close()
    assert kinds(recorder.recording) == ["opened", "close"]


def test_deadlines_work_on_what_is_recorded() -> None:
    recorder, ws = recorded(CLIENT)
    deadlines = Deadlines(Timeouts(ping_interval=1, pong=1), now=0)
    deadlines.opened(ws, now=0)
    assert deadlines.advance(now=1) == []
    assert ws.data_to_send()
    events = deadlines.advance(now=2)
    assert [event.cause for event in events if isinstance(event, Closed)] == [CloseCause.PONG_TIMEOUT]
    ws.receive_data(to(CLIENT, TEXT, b"too late"))
    assert run_again(recorder.recording) == [events, []]
    assert "= a deadline passed: PONG_TIMEOUT" in trace.to_text(recorder.recording)


def test_what_is_inflated_in_several_calls_is_again() -> None:
    at_sender, sender = recorded(CLIENT, extensions=[codec_of(CLIENT)])
    for _ in range(3):
        sender.send_bytes(bytes(400_000))
    recorder, ws = recorded(SERVER, extensions=[codec_of(SERVER)])
    calls = [ws.receive_data(sender.data_to_send())]
    while ws.unread:
        calls.append(ws.receive_data(None))
    assert len(calls) > 1
    assert kinds(recorder.recording)[2:] == ["resumed"] * (len(calls) - 1)
    assert run_again(recorder.recording) == calls
    messages = trace.to_har(at_sender.recording)["log"]["entries"][0]["_webSocketMessages"]
    assert [len(b64decode(message["data"])) for message in messages] == [400_000] * 3


def test_parts_come_again_from_a_connection_that_gives_parts() -> None:
    recorder, ws = recorded(CLIENT, parts=True)
    data = to(CLIENT, TEXT, b"in two parts")
    calls = [ws.receive_data(data[:8]), ws.receive_data(data[8:])]
    assert calls == [[TextPart("in two", False)], [TextPart(" parts", True)]]
    assert run_again(recorder.recording, lambda: Connection(CLIENT, parts=True)) == calls
    assert run_again(recorder.recording) == [[], [TextMessage("in two parts")]]


# ---- Handshakes ----

HELLO = to(SERVER, TEXT, b"Hello")


def serve(chunk: Chunking, data: bytes) -> tuple[Recording, list[list[Event]], Connection]:
    """A server that records everything; it answers when the request has come, and then reads on."""
    recorder = Recorder(Ticks())
    handshake = recorder.wrap(ServerHandshake(extensions=[PerMessageDeflate()]))
    reads = iter([portion for portion in chunk(data) if portion])
    while handshake.request is None:
        handshake.receive_data(next(reads))
    ws = handshake.accept()
    assert ws.data_to_send().startswith(b"HTTP/1.1 101 ")
    calls = [ws.receive_data(None)] if ws.unread else []
    return recorder.recording, calls + [ws.receive_data(portion) for portion in reads], ws


@EVERY_CHUNKING
def test_the_handshake_of_a_server_is_recorded(chunk: Chunking) -> None:
    head = request()
    recording, calls, ws = serve(chunk, head + HELLO + to(SERVER, PING, b"?"))
    assert [event for events in calls for event in events] == [TextMessage("Hello"), Ping(b"?")]
    assert ws.data_to_send() == b"\x8a\x01?"
    assert recording.received_head == len(head)
    assert (
        b"".join(entry.data for entry in recording.entries if entry.kind is Kind.SENT)[recording.sent_head :]
        == b"\x8a\x01?"
    )
    assert run_again(recording) == calls


@EVERY_CHUNKING
def test_the_handshake_of_a_client_is_recorded(chunk: Chunking) -> None:
    recorder = Recorder(Ticks())
    handshake = recorder.wrap(client())
    sent = handshake.data_to_send()
    assert handshake.uri.host == "server.example.com"
    head = b"HTTP/1.1 100 Continue\r\n\r\n" + response()
    reads = iter(chunk(head + b"\x81\x02Hi"))
    while (ws := handshake.receive_data(next(reads))) is None:
        pass
    calls = [ws.receive_data(None)] if ws.unread else []
    calls += [ws.receive_data(portion) for portion in reads]
    assert [event for events in calls for event in events] == [TextMessage("Hi")]
    recording = recorder.recording
    assert (recording.received_head, recording.sent_head) == (len(head), len(sent))
    assert run_again(recording) == calls
    assert trace.to_har(recording)["log"]["entries"][0]["response"]["status"] == 101


@pytest.mark.parametrize("frames", [b"", HELLO])
def test_an_end_that_came_before_the_answer_comes_again(frames: bytes) -> None:
    """A client that does not wait: the connection tells of its end with the first call."""
    recorder = Recorder(Ticks())
    handshake = recorder.wrap(ServerHandshake())
    handshake.receive_data(request() + frames)
    handshake.receive_data(b"")
    ws = handshake.accept()
    calls = [ws.receive_data(None)]
    assert [event.cause for event in calls[0] if isinstance(event, Closed)] == [CloseCause.EOF_IDLE]
    assert ws.receive_data(None) == []
    assert kinds(recorder.recording) == ["received", "received", "opened", "resumed"]
    assert run_again(recorder.recording) == calls
    assert all(all_forms(recorder.recording))


def test_a_refused_handshake_is_all_http() -> None:
    recorder = Recorder(Ticks())
    handshake = recorder.wrap(ServerHandshake())
    with pytest.raises(HandshakeError):
        handshake.receive_data(request(line="POST /chat HTTP/1.1"))
    handshake.data_to_send()
    text, har, _ = all_forms(recorder.recording)
    assert not recorder.recording.is_open
    assert run_again(recorder.recording) == []
    assert " < POST /chat HTTP/1.1\n" in text
    assert " > HTTP/1.1 405 Method Not Allowed\n" in text
    (entry,) = har["log"]["entries"]
    assert (entry["request"]["method"], entry["response"]["status"]) == ("POST", 405)
    assert entry["_webSocketMessages"] == []


def test_a_handshake_whose_heads_went_elsewhere() -> None:
    """`from_request` and `receive_response`: what does not go through the handshake is not in the recording."""
    recorder = Recorder(Ticks())
    handshake = recorder.wrap(asked("GET", "/", REQUIRED))
    answer = handshake.accept().data_to_send()
    assert (recorder.recording.received_head, recorder.recording.sent_head) == (0, len(answer))
    at_client = Recorder(Ticks())
    ws = at_client.wrap(client()).receive_response(101, ANSWER)
    assert ws.receive_data(b"\x81\x02Hi") == [TextMessage("Hi")]
    assert run_again(at_client.recording) == [[TextMessage("Hi")]]


def test_what_cannot_be_recorded() -> None:
    recorder = Recorder(Ticks())
    with pytest.raises(LocalProtocolError, match="there is no recording yet"):
        recorder.recording
    with pytest.raises(TypeError, match="not int"):
        recorder.wrap(1)  # type: ignore[call-overload]
    recorder.wrap(new_connection(SERVER))
    with pytest.raises(LocalProtocolError, match="already records a connection"):
        recorder.wrap(new_connection(SERVER))


def refused_by_a_server() -> ServerHandshake:
    handshake = ServerHandshake()
    with pytest.raises(HandshakeError):
        handshake.receive_data(b"\0")
    return handshake


def refused_by_a_client() -> ClientHandshake:
    handshake = client()
    with pytest.raises(HandshakeError):
        handshake.receive_data(b"\0")
    return handshake


def after(end: Any, data: bytes) -> Any:
    end.receive_data(data)
    return end


@pytest.mark.parametrize(
    "make",
    [
        lambda: after(new_connection(SERVER), HELLO[:1]),
        lambda: after(new_connection(SERVER), b""),
        lambda: after(ServerHandshake(), b"G"),
        lambda: after(ServerHandshake(), request()),
        lambda: after(asked("GET", "/", REQUIRED), HELLO),
        lambda: after(asked("GET", "/", REQUIRED), b""),
        refused_by_a_server,
        lambda: after(client(), b"H"),
        lambda: after(client(), b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda: after(client(), b"HTTP/1.1 404 Not Found\r\n\r\nbo"),
        lambda: after(client(), response()),
        refused_by_a_client,
    ],
)
def test_what_has_received_something_cannot_be_recorded(make: Callable[[], Any]) -> None:
    """Its recording would not have the beginning, and tell something else when it is run again."""
    recorder = Recorder(Ticks())
    with pytest.raises(LocalProtocolError, match=r"has already received data: wrap\(\) it earlier"):
        recorder.wrap(make())
    with pytest.raises(LocalProtocolError, match="there is no recording yet"):
        recorder.recording


# ---- In an Endpoint ----


@pytest.mark.parametrize(
    "end",
    [Connection(SERVER), ServerHandshake(), client(), Http2ServerHandshake(), Http2ClientHandshake("ws://a/")],
    ids=lambda end: type(end).__name__,
)
def test_what_is_recorded_is_an_instance_of_the_same_class(end: Any) -> None:
    recorded = Recorder(Ticks()).wrap(end)
    assert recorded is not end
    assert isinstance(recorded, type(end))
    # So it can be recorded once more.
    assert isinstance(Recorder(Ticks()).wrap(recorded), type(end))


class Clock:
    """One time for endpoints and recorders."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def entries_of(recording: Recording) -> list[tuple[float, str, bytes]]:
    return [(entry.time, entry.kind.value, entry.data) for entry in recording.entries]


def test_an_endpoint_over_what_is_recorded() -> None:
    """Both roles, from the request to the end of TCP: each byte and each call is there, with its time."""
    clock = Clock()
    recorders = Recorder(clock), Recorder(clock)
    asking = Endpoint(recorders[0].wrap(ClientHandshake("ws://server.example.com/chat")), now=0.0)
    asked = Endpoint(recorders[1].wrap(ServerHandshake()), now=0.0)
    clock.now = 1.0
    head = asking.data_to_send()
    clock.now = 2.0
    assert [type(event) for event in asked.receive_data(head, now=clock.now)] == [Request]
    clock.now = 3.0
    asked.accept(now=clock.now).send_text("Hello")
    answer = asked.data_to_send()
    clock.now = 4.0
    events = asking.receive_data(answer, now=clock.now)
    assert [type(event) for event in events] == [Response]
    clock.now = 5.0
    hello = asking.receive_data(None, now=clock.now)
    assert hello == [TextMessage("Hello")]
    clock.now = 25.0
    assert list(asking.events(now=clock.now)) == []
    ping = asking.data_to_send()
    clock.now = 26.0
    assert [type(event) for event in asked.receive_data(ping, now=clock.now)] == [Ping]
    asked.close(1000, "bye")
    clock.now = 46.0
    # It is found late, so the Pong could be in the socket still.
    assert list(asking.events(now=clock.now)) == []
    end_of_asking = list(asking.events(now=clock.now))
    assert [event.cause for event in end_of_asking if isinstance(event, Closed)] == [CloseCause.PONG_TIMEOUT]
    clock.now = 47.0
    end_of_asked = asked.receive_data(b"", now=clock.now)
    assert asked.finished

    frames = answer[answer.index(b"\r\n\r\n") + 4 :]
    assert entries_of(recorders[0].recording) == [
        (1.0, "sent", head),
        (4.0, "received", answer),
        (4.0, "opened", b""),
        (5.0, "resumed", b""),
        (25.0, "sent", ping),
        (46.0, "timed out", b"PONG_TIMEOUT"),
    ]
    assert entries_of(recorders[1].recording) == [
        (2.0, "received", head),
        (3.0, "opened", b""),
        (3.0, "sent", answer),
        (26.0, "received", ping),
        (26.0, "close", b""),
        (47.0, "received", b""),
    ]
    assert [(recorder.recording.sent_head, recorder.recording.received_head) for recorder in recorders] == [
        (len(head), len(answer) - len(frames)),
        (len(answer) - len(frames), len(head)),
    ]
    assert run_again(recorders[0].recording) == [hello, end_of_asking]
    assert run_again(recorders[1].recording)[-1] == end_of_asked


def test_an_endpoint_over_a_connection_that_is_recorded() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    endpoint = Endpoint(recorder.wrap(new_connection(SERVER)), now=0.0)
    clock.now = 1.0
    assert endpoint.receive_data(HELLO, now=clock.now) == [TextMessage("Hello")]
    clock.now = 2.0
    endpoint.close()
    close = endpoint.data_to_send()
    assert entries_of(recorder.recording) == [
        (0.0, "opened", b""),
        (1.0, "received", HELLO),
        (2.0, "close", b""),
        (2.0, "sent", close),
    ]


def test_an_endpoint_that_is_cut_off_is_recorded() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    endpoint = Endpoint(recorder.wrap(new_connection(SERVER)), now=0.0)
    endpoint.abort()
    clock.now = 1.0
    endpoint.abort()
    (end,) = endpoint.receive_data(b"", now=clock.now)
    endpoint.abort()
    assert isinstance(end, Closed)
    assert end.cause is CloseCause.ABORTED
    recording = trace.loads(trace.dumps(recorder.recording))
    assert entries_of(recording) == [(0.0, "opened", b""), (0.0, "aborted", b""), (1.0, "received", b"")]
    assert run_again(recording) == [[end]]
    assert trace.to_text(recording).split("\n") == [
        "server",
        "    0.000000 = open",
        "    0.000000 = abort() was called",
        "    1.000000 < end of the stream",
        "    1.000000 = closed: 1006, this side cut the connection without a closing handshake",
    ]


@pytest.mark.parametrize("call", ["reject", "close", "time out"])
def test_an_endpoint_that_refuses_is_recorded(call: str) -> None:
    clock = Clock()
    recorder = Recorder(clock)
    endpoint = Endpoint(recorder.wrap(ServerHandshake()), Timeouts(open=3), now=0.0)
    clock.now = 1.0
    endpoint.receive_data(request(), now=clock.now)
    clock.now = 5.0
    {
        "reject": lambda: endpoint.reject(403),
        "close": endpoint.close,
        "time out": lambda: endpoint.advance(now=clock.now),
    }[call]()
    answer = endpoint.data_to_send()
    assert answer.startswith(b"HTTP/1.1 ")
    assert entries_of(recorder.recording) == [(1.0, "received", request()), (5.0, "sent", answer)]


def read_into(endpoint: Endpoint, data: bytes, now: float) -> list[Any]:
    """Pass bytes to an endpoint as a loop does that reads into its memory."""
    events: list[Any] = []
    while data:
        memory = endpoint.get_buffer(len(data))
        size = min(len(memory), len(data))
        memory[:size] = data[:size]
        events += endpoint.buffer_updated(size, now=now)
        data = data[size:]
    return events


# How a loop gives an endpoint what it has read.
READ: dict[str, Callable[[Endpoint, bytes, float], list[Any]]] = {
    "events": lambda endpoint, data, now: list(endpoint.events(data, now=now)),
    "receive_data": lambda endpoint, data, now: endpoint.receive_data(data, now=now),
    "buffer_updated": read_into,
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@EVERY_CHUNKING
def test_whatever_an_endpoint_is_given_and_sends_is_recorded(
    chunk: Chunking, read: Callable[[Endpoint, bytes, float], list[Any]]
) -> None:
    recorder = Recorder(Ticks())
    endpoint = Endpoint(recorder.wrap(ServerHandshake()), now=0.0)
    large = bytes(70_000)
    stream = to(SERVER, BINARY, large) + to(SERVER, PING, b"?") + to(SERVER, TEXT, b"last")
    for portion in chunk(request()):
        asked = read(endpoint, portion, 1.0)
    assert [type(event) for event in asked] == [Request]
    endpoint.accept(now=1.0)
    sent = endpoint.data_to_send()
    head = len(sent)
    events = []
    # In the middle, 70,000 reads are no more to see than one.
    for portion in [*chunk(stream[:200]), stream[200:-200], *chunk(stream[-200:])]:
        events += read(endpoint, portion, 2.0)
    assert events == [BytesMessage(large), Ping(b"?"), TextMessage("last")]
    endpoint.send(events[0])
    endpoint.send(Closed(1001, "bye"))
    buffers = endpoint.buffers_to_send()
    # What is recorded is not copied either.
    assert any(buffer is events[0].data for buffer in buffers)
    sent += b"".join(buffers)
    assert list(endpoint.events(b"", now=3.0)) == [endpoint.end]
    recording = recorder.recording
    assert (recording.received_head, recording.sent_head) == (len(request()), head)
    assert b"".join(entry.data for entry in recording.entries if entry.kind is Kind.SENT) == sent
    assert [kind for kind in kinds(recording) if kind not in ("received", "sent")] == ["opened", "close"]
    assert [event for call in run_again(recording) for event in call] == [*events, endpoint.end]


def test_what_an_endpoint_kept_until_it_was_taken_comes_again() -> None:
    recorder = Recorder(Ticks())
    endpoint = Endpoint(recorder.wrap(new_connection(SERVER)), now=0.0)
    first = endpoint.events(HELLO * 2, now=1.0)
    assert next(first) == TextMessage("Hello")
    memory = endpoint.get_buffer(len(HELLO))
    memory[: len(HELLO)] = HELLO
    endpoint.buffer_updated(len(HELLO), now=1.0)
    rest = list(endpoint.events(HELLO, now=2.0))
    assert rest == [TextMessage("Hello")] * 3
    assert [event for call in run_again(recorder.recording) for event in call] == [TextMessage("Hello")] * 4


def test_memory_that_was_not_lent_is_not_recorded() -> None:
    recorder = Recorder(Ticks())
    endpoint = Endpoint(recorder.wrap(new_connection(SERVER)), now=0.0)
    for size in (1, -1, 1 << 30):
        with pytest.raises(ValueError, match=r"lent|get_buffer"):
            endpoint.buffer_updated(size, now=1.0)
        endpoint.get_buffer(10)
    assert kinds(recorder.recording) == ["opened"]
    assert list(endpoint.buffer_updated(0, now=2.0)) == [endpoint.end]
    assert kinds(recorder.recording) == ["opened", "received"]


def test_endpoints_over_http2_are_recorded_without_their_headers() -> None:
    """The HTTP library reads and writes these; the frames are all there."""
    recorders = Recorder(Ticks()), Recorder(Ticks())
    asking = Endpoint(recorders[0].wrap(Http2ClientHandshake("wss://example.com/chat")), now=0.0)
    asked = Endpoint(recorders[1].wrap(Http2ServerHandshake()), now=0.0)
    assert [type(event) for event in asked.receive_headers(asking.headers_to_send(), now=1.0)] == [Request]
    asked.accept(now=1.0).send_text("Hello")
    assert [type(event) for event in asking.receive_headers(asked.headers_to_send(), now=1.0)] == [Response]
    hello = asked.data_to_send()
    assert list(asking.events(hello, now=2.0)) == [TextMessage("Hello")]
    asking.close(1000, "bye")
    bye = asking.data_to_send()
    (closed,) = asked.events(bye, now=3.0)
    assert [(kind, data) for _, kind, data in entries_of(recorders[0].recording)] == [
        ("opened", b""),
        ("received", hello),
        ("close", b""),
        ("sent", bye),
    ]
    assert kinds(recorders[1].recording) == ["opened", "sent", "received"]
    assert run_again(recorders[0].recording) == [[TextMessage("Hello")]]
    assert run_again(recorders[1].recording) == [[closed]]
    for recorder in recorders:
        assert all(all_forms(recorder.recording))


def test_a_refusal_over_http2_is_no_connection() -> None:
    recorder = Recorder(Ticks())
    asking = Endpoint(recorder.wrap(Http2ClientHandshake("wss://example.com/chat")), now=0.0)
    assert list(asking.receive_headers([(":status", "403")], now=1.0)) == []
    *_, closed = [*asking.events(b"no", now=2.0), *asking.events(b"", now=3.0)]
    assert isinstance(closed, Closed)
    assert closed.cause is CloseCause.OPENING_REFUSED
    assert kinds(recorder.recording) == ["received", "received"]
    assert all(all_forms(recorder.recording))


# ---- The limit ----


def test_the_limit_keeps_the_beginning() -> None:
    recorder = Recorder(Ticks(), limit=4000)
    ws = recorder.wrap(new_connection(SERVER))
    for number in range(100):
        ws.receive_data(to(SERVER, TEXT, b"number %d" % number))
    recording = recorder.recording
    assert 10 < len(recording.entries) < 40
    assert recording.missing == 101 - len(recording.entries)
    assert run_again(recording) == [[TextMessage(f"number {number}")] for number in range(len(recording.entries) - 1)]
    assert trace.to_text(recording).endswith(f"\n{recording.missing} more entries were not kept")
    assert recorder.recording.entries[-1].data


@pytest.mark.measured
@pytest.mark.parametrize("size", [1, 1000])
def test_a_recording_takes_no_more_memory_than_its_limit(size: int) -> None:
    recorder = Recorder(Ticks(), limit=50_000)
    data = to(SERVER, BINARY, bytes(100_000 if size > 1 else 1000))
    with Memory() as memory:
        ws = recorder.wrap(new_connection(SERVER))
        before = memory.kept
        for at in range(0, len(data), size):
            ws.receive_data(data[at : at + size])
        kept = memory.kept - before - ws.retained_bytes
    assert recorder.recording.missing
    # It counts with objects of 64 bits, and those of 32 are half as large.
    assert 25_000 * struct.calcsize("P") // 8 < kept < 50_000


# ---- No recording is a bomb ----


def messages_of(recording: Recording) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = trace.to_har(recording)["log"]["entries"][0]["_webSocketMessages"]
    return messages


def after_the_handshake(kind: Kind, data: bytes, extensions: str = "") -> Recording:
    return Recording(
        SERVER, [Entry(0.0, Kind.OPENED), Entry(1.0, kind, data)], 0, 0, extensions, limits=Limits(message=None)
    )


MOST_SMALL_ONES = MOST_MADE // MADE_OVERHEAD
EVERY_FORM = pytest.mark.parametrize("form", [trace.to_text, trace.to_har, trace.to_pcapng])


@cache
def inflating(role: Role, name: str) -> bytes:
    """Some 200 kB as a peer sends them."""
    if name == "one message":
        return to(role, TEXT, deflated(bytes(100 << 20)), rsv=4)
    return 200 * to(role, TEXT if name == "texts" else BINARY, deflated(bytes(1 << 20)), rsv=4)


@pytest.mark.measured
@EVERY_FORM
@pytest.mark.parametrize("kind", [Kind.RECEIVED, Kind.SENT])
@pytest.mark.parametrize("name", ["messages", "texts", "one message"])
def test_what_inflates_is_no_bomb(name: str, kind: Kind, form: Callable[[Recording], Any]) -> None:
    data = inflating(SERVER if kind is Kind.RECEIVED else CLIENT, name)
    assert len(data) < 260_000
    recording = after_the_handshake(kind, data, "permessage-deflate")
    recording.entries += [Entry(2.0, Kind.RESUMED)] * 300
    with Memory() as memory:
        form(recording)
        assert memory.peak < 4 * MOST_MADE


@pytest.mark.measured
@pytest.mark.parametrize("kind", [Kind.RECEIVED, Kind.SENT])
def test_many_small_frames_are_no_bomb(kind: Kind) -> None:
    data = (MOST_SMALL_ONES + 5000) * to(SERVER if kind is Kind.RECEIVED else CLIENT, TEXT)
    recording = after_the_handshake(kind, data)
    assert len(trace.to_text(recording).splitlines()) < MOST_SMALL_ONES + 10
    assert len(messages_of(recording)) < MOST_SMALL_ONES + 10


@pytest.mark.measured
@pytest.mark.parametrize(
    "head",
    [
        b"\n" * 400_000,
        b"GET /?" + b"&a" * 200_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 100_000 + b"\r\n",
    ],
    ids=["lines", "query", "fields"],
)
def test_a_head_is_no_bomb(head: bytes) -> None:
    for recording in (
        Recording(SERVER, [Entry(1.0, Kind.RECEIVED, head)]),
        Recording(CLIENT, [Entry(1.0, Kind.SENT, head)]),
    ):
        assert len(trace.to_text(recording).splitlines()) < MOST_SMALL_ONES + 10
        request = trace.to_har(recording)["log"]["entries"][0]["request"]
        assert len(request["headers"]) <= 4000
        assert len(request["queryString"]) <= 1000


@pytest.mark.measured
def test_a_file_of_many_lines_is_no_bomb() -> None:
    text = HEAD + '{"time": 0, "kind": "sent", "text": "."}\n' * 10_000
    with Memory() as memory:
        recording = trace.loads(text)
        assert memory.peak < 10 * len(text)
        assert len(recording.entries) == 10_000


@pytest.mark.measured
def test_what_is_left_out_is_said() -> None:
    recording = after_the_handshake(Kind.RECEIVED, inflating(SERVER, "messages"), "permessage-deflate")
    recording.entries += [Entry(2.0, Kind.RESUMED)] * 300
    *whole_ones, left_out = messages_of(recording)
    assert (MOST_MADE >> 20) - 2 <= len(whole_ones) <= (MOST_MADE >> 20) + 2
    assert {len(message["data"]) for message in whole_ones} == {(1 << 20) // 3 * 4 + 4}
    assert left_out["type"] == "error"
    assert "more than 32 MiB" in left_out["data"]
    lines = trace.to_text(recording).splitlines()
    assert sum("message: b" in line for line in lines) == len(whole_ones)
    assert sum("< BINARY" in line for line in lines) == 200
    assert sum("= from here on, received data is neither checked nor inflated" in line for line in lines) == 1


@pytest.mark.measured
def test_a_text_says_how_much_it_does_not_show() -> None:
    recording = after_the_handshake(Kind.RECEIVED, (MOST_SMALL_ONES + 1000) * to(SERVER, PING, key=None))
    lines = trace.to_text(recording).splitlines()
    assert lines[-1].endswith("< 2000 more bytes")
    assert sum("< PING" in line for line in lines) == MOST_SMALL_ONES


def test_a_message_that_was_recorded_is_shown_whatever_the_limits_say() -> None:
    """A limit that is larger than a form makes, or none, is no reason to refuse a message."""
    for limits in (Limits(message=None), Limits(message=1 << 60)):
        recording = after_the_handshake(Kind.RECEIVED, to(SERVER, TEXT, b"hello"))
        recording.limits = limits
        assert [events for _, events in trace.replay(recording)] == [[TextMessage("hello")]]


# ---- The file ----

HEAD = '{"format": "rfc6455.trace", "version": 1, "role": "server", "received_head": 0, "sent_head": 0, '
HEAD += '"extensions": "", "limits": {}, "missing": 0}\n'


def test_a_recording_is_lines_that_people_can_read() -> None:
    recorder = Recorder(Ticks())
    handshake = recorder.wrap(ServerHandshake(limits=Limits(message=5000)))
    handshake.receive_data(request())
    handshake.accept().receive_data(b"\x81")
    about, *lines = trace.dumps(recorder.recording).splitlines()
    assert json.loads(about)["limits"]["message"] == 5000
    assert lines[0].startswith('{"time": 1000.25, "kind": "received", "text": "GET /chat HTTP/1.1\\r\\nHost: ')
    assert lines[1:] == [
        '{"time": 1000.5, "kind": "opened", "text": ""}',
        '{"time": 1000.75, "kind": "received", "base64": "gQ=="}',
    ]


def test_what_a_mailer_does_to_lines_does_no_harm() -> None:
    recorder, ws = recorded(SERVER)
    ws.receive_data(HELLO)
    text = trace.dumps(recorder.recording)
    assert trace.loads("\r\n" + text.replace("\n", "\r\n") + "\r\n") == recorder.recording


def changed(old: str, new: str) -> str:
    assert old in HEAD
    return HEAD.replace(old, new)


ENTRY = '{"time": 1, "kind": "received", "text": "x"}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '"a text"',
        "{}",
        pytest.param(
            "[" * 100_000,
            marks=pytest.mark.skipif(sys.platform == "emscripten", reason="its own stack is too small for this JSON"),
        ),
        changed("rfc6455.trace", "something else"),
        changed('"version": 1', '"version": 2'),
        changed('"server"', '"proxy"'),
        changed('"received_head": 0', '"received_head": -1'),
        changed('"sent_head": 0', '"sent_head": 1.5'),
        changed('"missing": 0', '"missing": true'),
        changed('"extensions": ""', '"extensions": 3'),
        changed('"extensions": ""', '"extensions": ";;"'),
        changed('"extensions": ""', '"extensions": "permessage-deflate; server_max_window_bits=77"'),
        changed('"extensions": ""', '"extensions": "permessage-deflate; client_max_window_bits=77"'),
        changed('"limits": {}', '"limits": {"message": 0}'),
        changed('"limits": {}', '"limits": {"unheard": 1}'),
        changed('"limits": {}', '"limits": null'),
        HEAD + "null",
        HEAD + ENTRY.replace("received", "heard"),
        HEAD + ENTRY.replace('"text": "x"', '"text": "\\u00ff"'),
        HEAD + ENTRY.replace('"text": "x"', '"base64": "!"'),
        HEAD + ENTRY.replace('"text": "x"', '"base64": 1'),
        HEAD + ENTRY.replace(', "text": "x"', ""),
        changed('"extensions": ""', '"extensions": []'),
        changed('"extensions": ""', '"extensions": null'),
        HEAD + ENTRY.replace("received", "timed out"),
        HEAD + '{"time": 1, "kind": "timed out", "text": "HANDSHAKE"}',
        *[HEAD + ENTRY.replace("received", kind) for kind in ("opened", "close", "resumed")],
        HEAD + '{"time": 1, "kind": "opened", "base64": "/w=="}',
        *[HEAD + ENTRY.replace("1", time) for time in ("NaN", "Infinity", "1e300", "-1e300", "true", '"1"', "null")],
    ],
)
def test_what_is_no_recording_is_refused(text: str) -> None:
    assert trace.loads(HEAD + ENTRY).entries == [Entry(1.0, Kind.RECEIVED, b"x")]
    with pytest.raises(ValueError, match="this is not a recording"):
        trace.loads(text)


def test_an_entry_that_is_wrong_is_named() -> None:
    opened = '{"time": 1, "kind": "opened", "text": "\\n    0.000000 < TEXT"}'
    with pytest.raises(ValueError, match="recording: entry 2: an entry of the kind 'opened' has no data"):
        trace.loads(f"{HEAD}{ENTRY}\n{opened}\n{ENTRY}")


FORGED = "\n    0.000000 < TEXT   fin  rsv=000 mask=-        len=2     at=0     'forged'"
WORDS = st.sampled_from([FORGED, "IDLE_TIMEOUT", "/w==", "permessage-deflate", ""])
TEXTS = WORDS | st.text(st.characters(max_codepoint=0x80), max_size=9)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda values: st.one_of(st.lists(values, max_size=2), st.dictionaries(TEXTS, values, max_size=2)),
    max_leaves=3,
)


def spoilt(good: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of them with one value, or one more, that may be anything."""

    def with_one(fields: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        names = st.sampled_from([*fields, "base64"])
        return st.builds(lambda name, value: {**fields, name: value}, names, TEXTS | ANYTHING)

    return good | good.flatmap(with_one)


TIMES = st.integers(0, 9)
KINDS = st.sampled_from([kind.value for kind in Kind])
BASE64 = st.binary(max_size=20).map(lambda data: b64encode(data).decode())
ENTRIES = spoilt(
    st.one_of(
        st.fixed_dictionaries({"time": TIMES, "kind": st.sampled_from(["received", "sent"]), "base64": BASE64}),
        st.fixed_dictionaries({"time": TIMES, "kind": KINDS, "text": st.just("")}),
        st.fixed_dictionaries({"time": TIMES, "kind": KINDS, "text": TEXTS}),
        st.fixed_dictionaries({"time": TIMES, "kind": KINDS, "base64": BASE64}),
    )
)
ABOUT = spoilt(
    st.builds(
        lambda **fields: json.loads(HEAD) | fields,
        role=st.sampled_from(["client", "server"]),
        received_head=st.integers(0, 20),
        sent_head=st.integers(0, 20),
        missing=st.integers(0, 1),
    )
)


def lines_of_bytes(recording: Recording, kind: Kind) -> int:
    """How many lines the bytes of a direction make: one for each of HTTP, and for each frame, whole or not."""
    data = b"".join(entry.data for entry in recording.entries if entry.kind is kind)
    head = recording.received_head if kind is Kind.RECEIVED else recording.sent_head
    http, frames = (data[:head], data[head:]) if recording.is_open else (data, b"")
    shown, rest = read_frames(frames)
    return len(http.splitlines()) + len(shown) + bool(rest)


@share(150)
@given(lines=st.builds(lambda about, entries: [about, *entries], ABOUT, st.lists(ENTRIES, min_size=1, max_size=3)))
def test_whatever_can_be_loaded_can_be_shown_and_forges_no_line(lines: list[dict[str, Any]]) -> None:
    try:
        recording = trace.loads("\n".join(map(json.dumps, lines)))
    except ValueError:
        return
    text = trace.to_text(recording)
    title, *shown = text.split("\n")
    assert all(line.isprintable() for line in (title, *shown))
    if recording.missing:
        assert shown.pop() == f"{recording.missing} more entries were not kept"
    # What a line tells of, behind its time.
    about = [re.sub(r"^ *-?[0-9]+\.[0-9]{6} ", "", line)[0] for line in shown]
    ends = sum(entry.kind is Kind.RECEIVED and not entry.data for entry in recording.entries)
    assert about.count("<") == lines_of_bytes(recording, Kind.RECEIVED) + ends
    assert about.count(">") == lines_of_bytes(recording, Kind.SENT)
    told = sum(entry.kind in (Kind.OPENED, Kind.CLOSE, Kind.ABORTED, Kind.TIMED_OUT) for entry in recording.entries)
    # And how it ended, and what was wrong with what was sent.
    assert told <= about.count("=") + about.count("!") <= told + 2
    assert trace.to_pcapng(recording)


@share(60)
@given(
    entries=st.lists(st.tuples(st.floats(-1e9, 4e9), st.sampled_from(Kind), st.binary(max_size=20)), max_size=8),
    heads=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    extensions=st.sampled_from(["", "permessage-deflate", "x-shift", "permessage-deflate, x-shift"]),
    role=st.sampled_from(Role),
)
def test_a_recording_that_somebody_made_up_can_be_loaded_and_shown(
    entries: list[tuple[float, Kind, bytes]], heads: tuple[int, int], extensions: str, role: Role
) -> None:
    """A file may come from anybody, and say what no recorder would."""
    no_bytes = dict.fromkeys((Kind.OPENED, Kind.RESUMED, Kind.CLOSE, Kind.ABORTED), b"")
    no_bytes[Kind.TIMED_OUT] = b"IDLE_TIMEOUT"
    made = [Entry(time, kind, no_bytes.get(kind, data)) for time, kind, data in entries]
    recording = trace.loads(trace.dumps(Recording(role, made, *heads, extensions)))
    assert trace.to_text(recording)
    assert trace.to_pcapng(recording)
    if "x-shift" not in extensions:
        assert json.dumps(trace.to_har(recording), allow_nan=False)
        assert all(isinstance(events, list) for _, events in trace.replay(recording))


# ---- Text ----


def test_the_text_form() -> None:
    recording, _, ws = serve(whole, request(without="Sec-WebSocket-Extensions"))
    sender = new_connection(CLIENT)
    sender.send_text("H\u00e9llo", fin=False)
    sender.ping(b"\x00")
    ws.receive_data(sender.data_to_send())
    ws.data_to_send()
    sender.send_text("\x1b[2J \u202e", fin=True)
    data = sender.data_to_send()
    ws.receive_data(data[:5])
    ws.receive_data(data[5:])
    ws.close(1001, "bye")
    ws.data_to_send()
    ws.receive_data(to(SERVER, 11, b"") + b"\x81")
    ws.receive_data(b"")
    key = {number: bytes(range(4 * number, 4 * number + 4)).hex() for number in range(3)}
    lines = trace.to_text(recording).split("\n")
    assert lines[0] == "server"
    assert lines[1] == "    0.000000 < GET /chat HTTP/1.1"
    assert lines[lines.index("    0.250000 = open") :] == [
        "    0.250000 = open",
        "    0.500000 > HTTP/1.1 101 Switching Protocols",
        "    0.500000 > Upgrade: websocket",
        "    0.500000 > Connection: Upgrade",
        "    0.500000 > Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "    0.500000 >",
        f"    0.750000 < TEXT   more rsv=000 mask={key[0]} len=6     at=0     'H\u00e9llo'",
        f"    0.750000 < PING   fin  rsv=000 mask={key[1]} len=1     at=12    b'\\x00'",
        "    1.000000 > PONG   fin  rsv=000 mask=-        len=1     at=0     b'\\x00'",
        f"    1.500000 < CONT   fin  rsv=000 mask={key[2]} len=8     at=19    '\\x1b[2J \\u202e'",
        "    1.750000 = close() was called",
        "    2.000000 > CLOSE  fin  rsv=000 mask=-        len=5     at=3     1001 'bye'",
        "    2.250000 < 0xb    fin  rsv=000 mask=37fa213d len=0     at=33    b''",
        "    2.250000 ! received: the reserved opcode 0xb (section 5.2 at byte 33; close code 1002)",
        "    2.250000 < the beginning of a header: 81",
        "    2.500000 < end of the stream",
    ]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (frame(TEXT, b"x" * 61), "'" + "x" * 60 + "'..."),
        (frame(TEXT, b"x" * 60), "'" + "x" * 60 + "'"),
        (frame(TEXT, b"x" * 59 + b"\xc3\xa9"), "'" + "x" * 59 + "'..."),
        (frame(TEXT, b"\xff"), r"b'\xff'"),
        (frame(TEXT, b"\xc3", fin=False), r"b'\xc3'"),
        (frame(TEXT, b"it's \"\n"), "'it\\'s \"\\n'"),
        (frame(BINARY, b"\r\n\x00"), r"b'\r\n\x00'"),
        (frame(TEXT, b"Hel", declared=5), "'Hel'... (3 bytes came)"),
        (frame(TEXT, b"", declared=1 << 63, length_bits=64), "''... (0 bytes came)"),
        (frame(CLOSE), "b''"),
        (frame(CLOSE, b"\x03"), r"b'\x03'"),
        (frame(CLOSE, close_payload(4000)), "4000 ''"),
        (frame(CLOSE, close_payload(1000, b"caf\xc3\xa9")), "1000 'caf\u00e9'"),
        (frame(CLOSE, close_payload(1000, b"\xe9")), r"1000 b'\xe9'"),
        (frame(CLOSE, close_payload(1000, b"x" * 61)), "1000 '" + "x" * 60 + "'..."),
        (b"\x81\x7e\x01", "the beginning of a header: 817e01"),
    ],
)
def test_how_a_payload_is_shown(data: bytes, shown: str) -> None:
    lines = trace.to_text(Recording(CLIENT, [Entry(0, Kind.OPENED), Entry(0, Kind.RECEIVED, data)])).split("\n")
    assert lines[2].endswith(f" {shown}")


def test_a_violation_of_our_own_is_shown_too() -> None:
    recording = Recording(CLIENT, [Entry(0, Kind.OPENED), Entry(0, Kind.SENT, b"\x81\x01x")])
    assert trace.to_text(recording).endswith(
        "! sent: a frame without a mask; a client must mask all frames (section 5.1 at byte 0; close code 1002)"
    )


def test_what_was_said_after_the_end_is_shown() -> None:
    recorder, ws = recorded(SERVER)
    ws.receive_data(b"\x83\x80" + KEY)
    ws.receive_data(HELLO)
    assert trace.to_text(recorder.recording).endswith(" len=5     at=6     'Hello'")


def test_a_compressed_message_is_shown_inflated_at_its_last_frame() -> None:
    recorder, ws = recorded(CLIENT, extensions=[codec_of(CLIENT)])
    sender = new_connection(SERVER, extensions=[codec_of(SERVER)])
    sender.send_text("only once ", fin=False, compress=False)
    sender.send_text("plain", compress=False)
    sender.send_text("often " * 40, fin=False, compress=True)
    sender.send_text("and again " * 40)
    ws.receive_data(sender.data_to_send())
    *_, plain, first, last = trace.to_text(recorder.recording).split("\n")
    assert plain.endswith(" 'plain'")
    assert " more rsv=100 " in first
    assert "often" not in first
    assert " fin  rsv=000 " in last
    assert last.endswith(" message: '" + "often " * 10 + "'...")


@share(60)
@given(data=st.one_of(st.binary(max_size=80), peers_bytes(CLIENT)), chunk=ws.chunkings())
def test_each_frame_has_one_line_and_no_line_can_be_forged(data: bytes, chunk: Chunking) -> None:
    reads = [Entry(0.0, Kind.RECEIVED, portion) for portion in chunk(data) if portion]
    lines = trace.to_text(Recording(CLIENT, [Entry(0.0, Kind.OPENED), *reads])).split("\n")
    frames, rest = read_frames(data)
    shown = [line for line in lines if re.match(r" +0\.000000 < \w+ +(fin|more) ", line)]
    whole_ones = [line for line in shown if not line.endswith(" bytes came)")]
    assert len(whole_ones) == len(frames)
    assert len(shown) - len(whole_ones) == any(" bytes came)" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    places = [int(line.partition(" at=")[2].split()[0]) for line in shown]
    assert places == sorted(places)
    assert bool(rest) == bool(len(shown) - len(whole_ones) or "beginning of a header" in "".join(lines))


@given(data=st.binary(max_size=80))
@share(40)
def test_a_head_cannot_forge_a_line(data: bytes) -> None:
    recording = Recording(SERVER, [Entry(0.0, Kind.RECEIVED, data)] if data else [])
    _, *lines = trace.to_text(recording).split("\n")
    assert len(lines) == len(data.splitlines())
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_what_no_recorder_writes_forges_no_line_either() -> None:
    """Format a recording made by hand, with data in an entry that never has any."""
    recording = Recording(SERVER, [Entry(0.0, Kind.OPENED, b"\n\xff")])
    assert trace.to_text(recording) == "server\n    0.000000 = open\\n\\xff"


def test_a_long_line_of_a_head_is_cut() -> None:
    text = trace.to_text(Recording(SERVER, [Entry(0.0, Kind.RECEIVED, b"x" * 10_000)]))
    assert text == "server\n    0.000000 < " + "x" * 200 + "..."


def test_an_extension_that_is_not_known() -> None:
    entries = [Entry(0, Kind.OPENED), Entry(0, Kind.RECEIVED, frame(TEXT, b"\x48\x6a", rsv=2))]
    recording = Recording(CLIENT, entries, extensions="x-shift")
    assert "(not known, so messages were not checked)" in trace.to_text(recording)
    assert trace.to_text(recording).endswith(" b'Hj'")
    with pytest.raises(LocalProtocolError, match="an extension in 'x-shift' is not known"):
        trace.to_har(recording)
    with pytest.raises(LocalProtocolError, match="an extension in 'x-shift' is not known"):
        list(trace.replay(recording))
    recording.codecs = lambda role: [ShiftCodec()]
    assert trace.to_text(recording).endswith(" message: 'Hi'")
    assert run_again(recording) == [[TextMessage("Hi")]]


# ---- HAR ----


def test_the_har_form_is_that_of_developer_tools() -> None:
    recording, _, ws = serve(whole, request(line="GET /chat?room=a%20b&x= HTTP/1.1") + HELLO)
    ws.receive_data(to(SERVER, PING) + to(SERVER, TEXT, b"in ", fin=False) + to(SERVER, CONT, b"parts"))
    ws.send_bytes(b"\x00\xff")
    ws.data_to_send()
    ws.receive_data(to(SERVER, CONT, b"of nothing"))
    har = json.loads(json.dumps(trace.to_har(recording, secure=True)))
    assert har["log"]["version"] == "1.2"
    assert har["log"]["creator"]["name"] == "rfc6455"
    (entry,) = har["log"]["entries"]
    # HAR 1.2: what an entry, a request and a response must have.
    assert {"startedDateTime", "time", "request", "response", "cache", "timings"} <= entry.keys()
    assert entry["timings"].keys() == {"send", "wait", "receive"}
    assert sum(entry["timings"].values()) == entry["time"]
    both = {"httpVersion", "cookies", "headers", "headersSize", "bodySize"}
    assert entry["request"].keys() == both | {"method", "url", "queryString"}
    assert entry["response"].keys() == both | {"status", "statusText", "content", "redirectURL"}
    assert entry["startedDateTime"] == "1970-01-01T00:16:40.250Z"
    assert entry["request"]["url"] == "wss://server.example.com/chat?room=a%20b&x="
    assert entry["request"]["queryString"] == [{"name": "room", "value": "a b"}, {"name": "x", "value": ""}]
    assert {"name": "Host", "value": "server.example.com"} in entry["request"]["headers"]
    assert (entry["response"]["status"], entry["response"]["statusText"]) == (101, "Switching Protocols")
    assert entry["_resourceType"] == "websocket"
    *messages, error = entry["_webSocketMessages"]
    assert messages == [
        {"type": "receive", "time": 1001.0, "opcode": 1, "data": "Hello"},
        {"type": "receive", "time": 1001.25, "opcode": 1, "data": "in parts"},
        {"type": "send", "time": 1001.5, "opcode": 2, "data": "AP8="},
    ]
    assert (error["type"], error["opcode"]) == ("error", -1)
    assert "(section 5.4 at byte " in error["data"]


def test_the_har_form_of_a_connection_without_a_handshake() -> None:
    recorder, ws = recorded(SERVER)
    ws.receive_data(to(SERVER, BINARY, b"bytes"))
    (entry,) = trace.to_har(recorder.recording)["log"]["entries"]
    assert entry["request"]["url"] == "ws://unknown.invalid/"
    assert entry["response"]["status"] == 101
    assert [b64decode(message["data"]) for message in entry["_webSocketMessages"]] == [b"bytes"]


@pytest.mark.parametrize(
    "entries", [[], [Entry(0, Kind.RECEIVED, b"GET")], [Entry(0, Kind.RECEIVED, b"\x16\x03\x01")]]
)
def test_the_har_form_of_what_is_no_request(entries: list[Entry]) -> None:
    (entry,) = trace.to_har(Recording(SERVER, entries))["log"]["entries"]
    assert (entry["request"]["method"], entry["response"]["status"]) == ("", 0)


@given(milliseconds=st.integers(0, trace.recording.LAST_SECOND * 1000))
def test_dates_are_those_of_the_calendar(milliseconds: int) -> None:
    expected = datetime.fromtimestamp(milliseconds // 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    assert date_of(milliseconds / 1000) == f"{expected}.{milliseconds % 1000:03}Z"


def date_of(time: float) -> str:
    (entry,) = trace.to_har(Recording(SERVER, [Entry(time, Kind.OPENED)]))["log"]["entries"]
    return str(entry["startedDateTime"])


@pytest.mark.parametrize(
    ("time", "date"),
    [
        (-0.001, "1970-01-01T00:00:00.000Z"),
        (-1e300, "1970-01-01T00:00:00.000Z"),
        (trace.recording.LAST_SECOND, "9999-12-31T23:59:59.000Z"),
        (trace.recording.LAST_SECOND + 1, "9999-12-31T23:59:59.000Z"),
        (1e300, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_a_time_without_a_date_has_the_nearest(time: float, date: str) -> None:
    assert date_of(time) == date


# ---- pcapng ----


class Packet(NamedTuple):
    """The contents of a packet in the file, parsed according to the diagrams of the RFCs."""

    time: int
    comment: str
    source: bytes
    ports: tuple[int, int]
    number: int
    acknowledged: int
    flags: int
    data: bytes


def read_blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack("<II", data[:8])
        assert length % 4 == 0
        assert struct.unpack("<I", data[length - 4 : length]) == (length,)
        yield kind, data[8 : length - 4]
        data = data[length:]


def read_comment(options: bytes) -> str:
    if not options:
        return ""
    code, length = struct.unpack("<HH", options[:4])
    assert code == 1
    assert options[4 + length :].strip(b"\0") == b""
    return options[4 : 4 + length].decode()


def is_checked(data: bytes) -> bool:
    """RFC 1071: with the checksum in it, the sum of all words is all ones."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def read_packet(block: bytes) -> Packet:
    interface, high, low, captured, length = struct.unpack("<IIIII", block[:20])
    assert (interface, captured) == (0, length)
    packet, options = block[20 : 20 + length], block[20 + length + -length % 4 :]
    ethernet, ip = packet[:14], packet[14:]
    assert ethernet[12:] == b"\x08\x00"
    assert ip[:2] == b"\x45\x00"
    assert int.from_bytes(ip[2:4], "big") == len(ip) <= 1500
    assert is_checked(ip[:20])
    source, tcp = ip[12:16], ip[20:]
    assert is_checked(ip[12:20] + struct.pack("!HH", 6, len(tcp)) + tcp)
    source_port, target_port, number, acknowledged, offset, flags = struct.unpack("!HHIIBB", tcp[:14])
    data = tcp[(offset >> 4) * 4 :]
    time = high << 32 | low
    return Packet(time, read_comment(options), source, (source_port, target_port), number, acknowledged, flags, data)


def read_capture(data: bytes) -> list[Packet]:
    (first, section), (second, interface), *blocks = read_blocks(data)
    assert (first, second, {kind for kind, _ in blocks} <= {6}) == (0x0A0D0D0A, 1, True)
    assert struct.unpack("<IHHq", section[:16]) == (0x1A2B3C4D, 1, 0, -1)
    assert "made up" in read_comment(section[16:])
    assert struct.unpack("<HHI", interface) == (1, 0, 0)
    return [read_packet(block) for _, block in blocks]


def check_stream(packets: list[Packet]) -> dict[int, bytes]:
    """Check that the packets are a TCP connection, and return what went each way, by the port that it came from."""
    following = {80: 0, 49152: 0}
    content = {80: b"", 49152: b""}
    assert [packet.flags for packet in packets[:3]] == [0x02, 0x12, 0x10]
    for packet in packets:
        source, target = packet.ports
        assert packet.number == following[source]
        assert packet.acknowledged == (following[target] if packet.flags & 0x10 else 0)
        following[source] += len(packet.data) + bool(packet.flags & 0x03)
        content[source] += packet.data
    return content


def test_the_capture_is_a_tcp_connection_with_all_that_was_recorded() -> None:
    recording, _, ws = serve(whole, request() + HELLO)
    ws.send_bytes(bytes(range(256)) * 20)
    ws.data_to_send()
    ws.receive_data(to(SERVER, CONT))
    ws.receive_data(b"")
    ws.receive_data(b"")
    packets = read_capture(trace.to_pcapng(recording))
    content = check_stream(packets)
    assert content[49152] == b"".join(entry.data for entry in recording.entries if entry.kind is Kind.RECEIVED)
    assert content[80] == b"".join(entry.data for entry in recording.entries if entry.kind is Kind.SENT)
    assert packets[3].time == 1000_250_000
    assert [packet.flags for packet in packets[-2:]] == [0x11, 0x10]
    (comment,) = [packet.comment for packet in packets if packet.comment]
    assert comment.startswith("a continuation frame")


@BOTH_ROLES
def test_the_capture_of_a_connection_without_a_handshake_begins_with_one(role: Role) -> None:
    recorder, ws = recorded(role, extensions=[codec_of(role)])
    ws.receive_data(to(role, TEXT, b"Hello"))
    ws.send_text("Hi")
    written = ws.data_to_send()
    packets = read_capture(trace.to_pcapng(recorder.recording))
    content = check_stream(packets)
    heads = [packet for packet in packets if packet.comment]
    assert [packet.ports[0] for packet in heads] == [49152, 80]
    assert b"\r\nSec-WebSocket-Extensions: permessage-deflate; " in heads[1].data
    assert heads[0].data + (written if role is CLIENT else to(role, TEXT, b"Hello")) == content[49152]


@share(40)
@given(sizes=st.lists(st.integers(0, 5000), max_size=4), odd=st.binary(max_size=9), time=st.floats(-1e10, 1e12))
def test_every_checksum_and_number_is_right(sizes: list[int], odd: bytes, time: float) -> None:
    entries = [Entry(time, Kind.SENT if size % 2 else Kind.RECEIVED, odd + bytes(size)) for size in sizes]
    packets = read_capture(trace.to_pcapng(Recording(SERVER, entries)))
    assert sum(map(len, check_stream(packets).values())) == sum(len(entry.data) for entry in entries)
    assert all(packet.time == round(max(time, 0) * 1_000_000) for packet in packets) or not entries or time > 2e11


def test_a_recording_of_a_real_conversation_is_the_same_from_both_ends() -> None:
    at_server, at_client = Recorder(Ticks()), Recorder(Ticks())
    server = at_server.wrap(ServerHandshake(extensions=[PerMessageDeflate()]))
    opening = at_client.wrap(
        ClientHandshake("ws://server.example.com/", extensions=[PerMessageDeflate()], random=counting_random())
    )
    server.receive_data(opening.data_to_send())
    ws = server.accept()
    peer = opening.receive_data(ws.data_to_send())
    assert peer is not None
    peer.send_text("hello " * 20)
    assert ws.receive_data(peer.data_to_send()) == [TextMessage("hello " * 20)]
    ws.send_bytes(b"bye " * 20)
    ws.close(1000)
    assert peer.receive_data(ws.data_to_send())[0] == BytesMessage(b"bye " * 20)
    ws.receive_data(peer.data_to_send())
    recordings = at_server.recording, at_client.recording
    assert {recording.extensions for recording in recordings} == {ws.extensions[0].parameters}
    captures = [check_stream(read_capture(trace.to_pcapng(recording))) for recording in recordings]
    assert captures[0] == captures[1]
    # Without their times, the lines of one end are those of the other with the arrows turned.
    at_server_lines, at_client_lines = (
        [line[13:] for line in trace.to_text(recording).split("\n")[1:]] for recording in recordings
    )
    turned = [line.translate(str.maketrans("<>", "><")) for line in at_client_lines]
    for arrow in "<>":
        assert [line for line in turned if line[0] == arrow] == [line for line in at_server_lines if line[0] == arrow]
