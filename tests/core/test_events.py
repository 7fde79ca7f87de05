"""Events are values: equal by type and content, readable, matchable, and without ties to a connection."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import get_args

import pytest

from rfc6455 import (
    BytesMessage,
    BytesPart,
    CloseCause,
    Closed,
    EncodedText,
    Event,
    Ping,
    Pong,
    RemoteProtocolError,
    TextMessage,
    TextPart,
)

# Each call makes a new object, so that equality is not identity.
MAKERS: list[Callable[[], Event]] = [
    lambda: TextMessage("x"),
    lambda: TextMessage("y"),
    lambda: BytesMessage(b"x"),
    lambda: BytesMessage(b"y"),
    lambda: TextPart("x", True),
    lambda: TextPart("x", False),
    lambda: TextPart("y", True),
    lambda: BytesPart(b"x", True),
    lambda: BytesPart(b"x", False),
    lambda: BytesPart(b"y", True),
    lambda: EncodedText(b"x", True),
    lambda: EncodedText(b"x", False),
    lambda: EncodedText(b"y", True),
    lambda: Ping(b"x"),
    lambda: Ping(b"y"),
    lambda: Pong(b"x"),
    lambda: Pong(b"y"),
    lambda: Closed(1000, "bye", True),
    lambda: Closed(1001, "bye", True),
    lambda: Closed(1000, "", True),
    lambda: Closed(1000, "bye", False),
    lambda: Closed(1000, "bye", True, None, CloseCause.EOF_IDLE),
]


def test_equal_by_type_and_content() -> None:
    for i, make in enumerate(MAKERS):
        for j, other in enumerate(MAKERS):
            assert (make() == other()) is (i == j)
            assert (make() != other()) is (i != j)
    assert len({make() for make in MAKERS} | {make() for make in MAKERS}) == len(MAKERS)


@pytest.mark.parametrize("make", MAKERS)
def test_not_equal_to_what_is_no_event(make: Callable[[], Event]) -> None:
    event = make()
    for other in (None, "x", b"x", ("x",), tuple(getattr(event, name) for name in event.__match_args__)):
        assert event != other


@pytest.mark.parametrize("make", MAKERS)
def test_repr_says_all_and_can_be_read_back(make: Callable[[], Event]) -> None:
    event = make()
    text = repr(event)
    assert text.startswith(f"{type(event).__name__}(")
    for name in event.__match_args__:
        assert f"{name}={getattr(event, name)!r}" in text
    names = {kind.__name__: kind for kind in get_args(Event)}
    if not isinstance(event, Closed):
        assert eval(text, names) == event


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))])
@pytest.mark.parametrize("make", MAKERS)
def test_events_survive_copies_and_processes(make: Callable[[], Event], duplicate: Callable[[Event], Event]) -> None:
    assert duplicate(make()) == make()


def test_closed_with_an_error_survives_a_process() -> None:
    closed = Closed(1002, "bad", False, RemoteProtocolError(1002, "bad", "5.2", 3), CloseCause.VIOLATION)
    again = pickle.loads(pickle.dumps(closed))
    assert isinstance(again.error, RemoteProtocolError)
    assert str(again.error) == str(closed.error)
    assert (again.code, again.reason, again.clean, again.cause) == (1002, "bad", False, CloseCause.VIOLATION)


def described(event: Event) -> str:
    match event:
        case TextMessage(text):
            return f"text {text}"
        case BytesMessage(data):
            return f"bytes {data!r}"
        case TextPart(text, final):
            return f"text part {text} {final}"
        case BytesPart(data, final):
            return f"bytes part {data!r} {final}"
        case EncodedText(data, final):
            return f"encoded text {data!r} {final}"
        case Ping(payload):
            return f"ping {payload!r}"
        case Pong(payload):
            return f"pong {payload!r}"
        case Closed(1000, reason, clean=True, cause=CloseCause.HANDSHAKE):
            return f"closed in order {reason}"
        case Closed(code, reason, clean, error, cause):
            return f"closed {code} {reason} {clean} {error} {cause.name}"
    raise AssertionError(event)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (TextMessage("x"), "text x"),
        (BytesMessage(b"x"), "bytes b'x'"),
        (TextPart("x", False), "text part x False"),
        (BytesPart(b"x", True), "bytes part b'x' True"),
        (EncodedText(b"x"), "encoded text b'x' True"),
        (Ping(b""), "ping b''"),
        (Pong(b"1"), "pong b'1'"),
        (Closed(1000, "bye", True), "closed in order bye"),
        (Closed(1006, "", False, None, CloseCause.EOF_IN_FRAME), "closed 1006  False None EOF_IN_FRAME"),
    ],
)
def test_events_match_by_position_and_by_name(event: Event, text: str) -> None:
    assert described(event) == text


def test_closed_by_default_says_the_least() -> None:
    closed = Closed(1000)
    assert (closed.code, closed.reason, closed.clean, closed.error, closed.cause) == (
        1000,
        "",
        False,
        None,
        CloseCause.HANDSHAKE,
    )


def test_each_cause_has_its_own_words() -> None:
    assert len({cause.value for cause in CloseCause}) == len(CloseCause) == 16


@pytest.mark.parametrize(
    ("closed", "words"),
    [
        (Closed(1011, clean=True), "the peer's has code 1011 (internal error)"),
        (
            Closed(1012, "new version", clean=True),
            "the peer's has code 1012 (service restart) and the reason 'new version'",
        ),
        (Closed(4000, clean=True), "the peer's has code 4000"),
        (Closed(1005, clean=True), "the peer's has no code"),
    ],
    ids=["registered", "with a reason", "private", "none"],
)
def test_the_sentence_about_an_end_names_the_code(closed: Closed, words: str) -> None:
    assert str(closed) == f"both sides sent a Close frame; {words}"
