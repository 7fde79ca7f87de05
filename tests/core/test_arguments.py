"""Checks of what callers pass, one by one."""

from __future__ import annotations

import pytest

from rfc6455.arguments import as_bytes, at_most_63_bits, excerpt


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
    assert at_most_63_bits(None) == at_most_63_bits(1 << 70) == (1 << 63) - 1


def test_excerpt_is_short_and_printable() -> None:
    assert excerpt("a\r\n\u20ac") == r"'a\r\n\u20ac'"
    assert excerpt(b"\xff") == r"b'\xff'"
    assert excerpt("a" * 60) == repr("a" * 60)
    assert excerpt("a" * 61) == repr("a" * 60) + "..."
