"""The times of the lines in a history: a line by the server comes before those that were said in the same minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from time import gmtime, strftime
from time import time as clock

_TIME = "* at "

# A later date has a year of five digits, and cannot come from a clock.
_END_OF_TIME = 253402300799


def at(time: float) -> str:
    """Return the line for a time in seconds since 1970, which names the minute in UTC."""
    return _at(int(max(0, min(time, _END_OF_TIME)) // 60))


def now() -> str:
    return at(clock())


@lru_cache(maxsize=2)
def _at(minute: int) -> str:
    return f"{_TIME}{strftime('%Y-%m-%dT%H:%MZ', gmtime(60 * minute))}"


def is_time(line: str) -> bool:
    return line.startswith(_TIME)


def with_times(said: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Return the lines, which are given with the results of `at`. A time that applies to several lines comes once,
    before them."""
    before = ""
    for line, time in said:
        if time and time != before:
            yield (before := time)
        yield line
