"""Checks of what callers pass, one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest

from rfc6455.arguments import as_bytes, at_most_63_bits, check_plain, excerpt


class Louder(bytes):
    """A subclass that would convert itself to something else."""

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
