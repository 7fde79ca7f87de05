"""The checks of arguments, one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest

import rfc6455
from rfc6455.arguments import as_bytes, as_int, at_most_63_bits, check_plain, excerpt, whole_number


class Louder(bytes):
    """A subclass with a conversion of its own."""

    def __bytes__(self) -> bytes:
        return Louder(b"HELLO")


@pytest.mark.parametrize("data", [b"hello", bytearray(b"hello"), memoryview(b"hello"), memoryview(b"h-e-l-l-o")[::2]])
def test_what_holds_bytes_is_given_as_bytes(data: bytes | bytearray | memoryview) -> None:
    assert as_bytes(data) == b"hello"
    assert type(as_bytes(data)) is bytes


def test_a_subclass_of_bytes_is_taken_for_the_bytes_that_it_has() -> None:
    assert as_bytes(Louder(b"hello")) == b"hello"
    assert type(as_bytes(Louder(b"hello"))) is bytes


@pytest.mark.parametrize("data", ["text", None, 5, [1, 2]], ids=repr)
def test_what_holds_no_bytes_is_refused_by_its_type(data: object) -> None:
    with pytest.raises(TypeError, match=f"^binary data is bytes, bytearray or memoryview, not {type(data).__name__}$"):
        as_bytes(data)  # type: ignore[arg-type]


def test_a_limit_has_63_bits_at_most() -> None:
    assert at_most_63_bits(5) == 5
    assert at_most_63_bits(-1) == -1
    assert at_most_63_bits(None) == at_most_63_bits(1 << 70) == (1 << 63) - 1


# ---- Whole numbers ----


class Number:
    """A whole number that is no `int`, like those of numpy."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


@pytest.mark.parametrize("value", [1011, Number(1011), rfc6455.CloseCode.INTERNAL_ERROR])
def test_a_whole_number_becomes_an_int(value: Any) -> None:
    assert whole_number(value) == as_int(value, "x is a number") == 1011
    assert type(whole_number(value)) is type(as_int(value, "x is a number")) is int


@pytest.mark.parametrize("value", [None, True, 5.0, "5", b"5", int, Number, [5]], ids=repr)
def test_nothing_else_becomes_an_int(value: Any) -> None:
    assert whole_number(value) is None
    with pytest.raises(TypeError, match=r"^x is a number, not "):
        as_int(value, "x is a number")


def closed_with(code: Any) -> bytes:
    ws = rfc6455.Connection(rfc6455.SERVER)
    ws.close(code)
    return ws.data_to_send()


def rejected_with(status: Any) -> bytes:
    server = rfc6455.ServerHandshake()
    server.reject(status)
    return server.data_to_send()


def refused_with(status: Any) -> rfc6455.Response | None:
    with pytest.raises(rfc6455.HandshakeError) as caught:
        rfc6455.ClientHandshake("ws://a/").receive_response(status, ())
    return caught.value.response


TAKE_NUMBERS = {
    "a close code": (closed_with, 3000),
    "a limit": (lambda number: rfc6455.Limits(message=number), 70000),
    "window bits": (lambda number: rfc6455.PerMessageDeflate(server_max_window_bits=number), 11),
    "a level": (lambda number: rfc6455.PerMessageDeflate(level=number), 3),
    "parameters": (lambda number: rfc6455.DeflateParameters(server_max_window_bits=number), 11),
    "a port": (lambda number: rfc6455.URI(True, "example.com", number), 81),
    "an opcode": (lambda number: rfc6455.serialize_frame(rfc6455.Frame(number)), 9),
    "reserved bits": (lambda number: rfc6455.serialize_frame(rfc6455.Frame(1, rsv=number)), 4),
    "a refusal": (rejected_with, 404),
    "an answer": (refused_with, 404),
}


@pytest.mark.parametrize(("function", "number"), TAKE_NUMBERS.values(), ids=list(TAKE_NUMBERS))
def test_what_takes_an_int_takes_one_of_another_kind(function: Any, number: int) -> None:
    assert repr(function(Number(number))) == repr(function(number))


@pytest.mark.parametrize(("function", "number"), TAKE_NUMBERS.values(), ids=list(TAKE_NUMBERS))
@pytest.mark.parametrize("wrong", [float, str, bool])
def test_what_takes_an_int_takes_nothing_else(function: Any, number: int, wrong: type) -> None:
    with pytest.raises((TypeError, ValueError, rfc6455.LocalProtocolError)):
        function(wrong(number))


def test_excerpt_is_short_and_printable() -> None:
    assert excerpt("a\r\n\u20ac") == r"'a\r\n\u20ac'"
    assert excerpt(b"\xff") == r"b'\xff'"
    assert excerpt("a" * 60) == repr("a" * 60)
    assert excerpt("a" * 61) == repr("a" * 60) + "..."


# ---- Functions ----


def plain(*arguments: object) -> bool:
    return True


async def coroutine_function(*arguments: object) -> bool:
    return True


def generator_function(*arguments: object) -> Iterator[bool]:
    yield True


async def asynchronous_generator_function(*arguments: object) -> AsyncIterator[bool]:
    yield True


class Plain:
    def __call__(self, *arguments: object) -> bool:
        return True

    async def method(self) -> bool:
        return True


class Asynchronous:
    """An object that is a coroutine function all the same."""

    async def __call__(self, *arguments: object) -> bool:
        return True


PLAIN: dict[str, Any] = {
    "function": plain,
    "built-in function": print,
    "class": Plain,
    "object": Plain(),
    "partial of a function": partial(plain, 1),
    "partial of an object": partial(Plain()),
    "mock": mock.Mock(),
    "magic mock": mock.MagicMock(),
    "mock of a function": mock.Mock(spec=plain),
    "magic mock of a function": mock.MagicMock(spec=plain),
    "function made as a mock": mock.create_autospec(plain),
}


@pytest.mark.parametrize("function", PLAIN.values(), ids=list(PLAIN))
def test_what_does_its_work_when_it_is_called_is_a_plain_function(function: object) -> None:
    check_plain(function, "tell")


DEFERRED: dict[str, Any] = {
    "coroutine function": coroutine_function,
    "generator function": generator_function,
    "asynchronous generator function": asynchronous_generator_function,
    "method": Plain().method,
    "object": Asynchronous(),
    "mock": mock.AsyncMock(),
}


@pytest.mark.parametrize("function", DEFERRED.values(), ids=list(DEFERRED))
def test_what_has_to_be_awaited_is_no_plain_function(function: Any) -> None:
    for each in (function, partial(function, 1), partial(partial(function, 1), 2)):
        with pytest.raises(
            TypeError, match=r"^tell is a plain function, without 'async' or 'yield', unlike .*; wait$"
        ):
            check_plain(each, "tell", "; wait")


def test_what_cannot_be_called_is_no_function() -> None:
    with pytest.raises(TypeError, match=r"^tell is a function, not 5$"):
        check_plain(5, "tell")
