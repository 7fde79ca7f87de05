"""The common part of the harnesses: the first bytes of an input choose the settings, the rest is cut into reads.

A harness is a module ``fuzz_NAME`` with a function ``check(data)``. If it raises an exception, this is a finding.
Nothing here needs atheris, so that every input that was found once can be tried on every Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from rfc6455.testing import Chunking, Uneven

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"

#: The harnesses, by what they are about.
NAMES = ("frames", "connection", "head", "extension_header")

#: How many bytes at the beginning of an input are choices; the rest is what the peer sends.
CHOICES = 4

T = TypeVar("T")


class Choices:
    """The settings that an input chooses. They are taken one by one from a number, which ends in zeros.

    :param data: the input, of which the first bytes count.
    """

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data[:CHOICES], "little")

    def pick(self, options: Sequence[T]) -> T:
        """One of the options. Where their number is a power of two, each choice has bits of its own, and a mutation
        changes one of them."""
        self._left, at = divmod(self._left, len(options))
        return options[at]

    def chunking(self, stream: bytes) -> Chunking:
        """Return a way to cut the stream into reads, from byte by byte to reads of a hundred; into some hundred at the
        most, as thousands of them show nothing more and take long."""
        largest = 1 << self.pick(range(8))
        return Uneven(self.pick(range(256)), max(largest, len(stream) // 64))


def choices_for(*picks: tuple[int, int]) -> bytes:
    """Return the first bytes of an input that makes these choices, each an index and how many options there are."""
    number = 0
    for index, count in reversed(picks):
        number = number * count + index
    return number.to_bytes(CHOICES, "little")


def split(data: bytes) -> tuple[Choices, bytes]:
    """Return the choices of an input, and the stream."""
    return Choices(data), data[CHOICES:]


def harness(name: str) -> Any:
    """Return the module of a harness."""
    return import_module(f"fuzz_{name}")
