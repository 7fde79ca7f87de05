"""Helpers for tests of memory and time: how much is kept, and how much work is done, as reproducible numbers.

Memory is measured by tracemalloc, which includes zlib's, since zlib uses Python's allocator.

Work is counted, not timed. Where the package runs as Python, `work` counts the lines of it that were executed, and
the bytes of every new `bytes`, `bytearray` or `str` that any of its variables or attributes came to hold: a line that
copies a megabyte is one line, but a million bytes. Where it is compiled there are no lines to see; there `work` counts
the memory that each call takes at its peak, summed up, which shows all that is copied again with each call, and the
calls. What it cannot show, work that repeats inside one call, is in the same sources and seen in the other run.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import rfc6455
from rfc6455 import Connection


class Memory:
    """A block in which memory is measured, relative to its beginning; all in bytes.

    What is there at the beginning is frozen until the end: it is not traced, and collecting garbage in the block need
    not look through all tests each time. A run must not stay frozen, as `gc.get_referrers` would miss what is.
    """

    def __enter__(self) -> Memory:
        gc.freeze()
        tracemalloc.start()
        self._before = tracemalloc.get_traced_memory()[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tracemalloc.stop()
        gc.unfreeze()

    @property
    def kept(self) -> int:
        """What was allocated since then and still exists."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - self._before

    @property
    def peak(self) -> int:
        """The maximum that existed at any time since then."""
        return tracemalloc.get_traced_memory()[1] - self._before


def consume(connection: Connection, portions: Iterable[bytes]) -> int:
    """Feed a connection as a careful caller does that keeps nothing; return the number of events."""
    count = 0
    for portion in portions:
        count += len(connection.receive_data(portion))
        while connection.unread:
            count += len(connection.receive_data(None))
        connection.data_to_send()
    return count


class Work(NamedTuple):
    """Two counts that must both be linear."""

    steps: int
    volume: int


Step = Callable[[], Any]


def work(steps: Iterable[Step]) -> Work:
    """Count the work that the package does in these calls, without that of the caller."""
    return _work_by_memory(steps) if rfc6455.__compiled__ else _work_by_lines(steps)


def _work_by_memory(steps: Iterable[Step]) -> Work:
    count = volume = 0
    tracemalloc.start()
    try:
        for step in steps:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            step()
            volume += tracemalloc.get_traced_memory()[1] - before
            count += 1
    finally:
        tracemalloc.stop()
    return Work(count, volume)


def _work_by_lines(steps: Iterable[Step]) -> Work:
    tracer = _Tracer()
    before = sys.gettrace()
    for step in steps:
        sys.settrace(tracer.enter)
        try:
            step()
        finally:
            sys.settrace(before)
    return Work(tracer.lines, tracer.bytes)


PACKAGE = str(Path(rfc6455.__file__).parent)


class _Tracer:
    """Counts for frames of the package."""

    def __init__(self) -> None:
        self.lines = 0
        self.bytes = 0
        # Each object that was counted, kept so that no other can get its id; and the length of what can grow.
        self._seen: dict[int, Any] = {}
        self._lengths: dict[int, int] = {}

    def enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        # What is passed in was made by the caller.
        for value in frame.f_locals.values():
            self._seen.setdefault(id(value), value)
        return self._trace

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines += 1
        self._look_at(argument)
        for name, value in frame.f_locals.items():
            self._look_at(value)
            if name == "self":
                for attribute in _attributes(value):
                    self._look_at(attribute)
        return self._trace

    def _look_at(self, value: Any) -> None:
        if type(value) is bytearray:
            self._seen[id(value)] = value
            self.bytes += max(0, len(value) - self._lengths.get(id(value), 0))
            self._lengths[id(value)] = len(value)
        elif type(value) in (bytes, str) and id(value) not in self._seen:
            self._seen[id(value)] = value
            self.bytes += len(value)


def _attributes(value: object) -> list[Any]:
    """Return what an object holds, also in its slots."""
    slots = [name for kind in type(value).__mro__ for name in kind.__dict__.get("__slots__", ()) if name[:2] != "__"]
    return [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]


def check_linear(steps_for: Callable[[int], Iterable[Step]], size: int) -> None:
    """Count the work for an input of ``size`` and for one twice as large.

    Where memory is what is counted, that is done at five times the size, as each call takes some anyway, and for one
    four times as large: a table that doubles its size now and then makes jumps, and over two doublings they even out.
    """
    size, doublings = (5 * size, 2) if rfc6455.__compiled__ else (size, 1)
    once, more = (_counted(steps_for, n) for n in (size, size << doublings))
    assert once.steps > 0
    assert more.steps <= 2.5**doublings * once.steps
    assert more.volume <= 2.5**doublings * once.volume + 2000


def _counted(steps_for: Callable[[int], Iterable[Step]], size: int) -> Work:
    return work(list(steps_for(size)))


def processor_time(call: Callable[[], object]) -> int:
    """In nanoseconds."""
    begin = time.process_time_ns()
    call()
    return time.process_time_ns() - begin


def check_time(read: Callable[[str], object], text_of: Callable[[int], str]) -> None:
    """The shortest of up to 5 attempts counts: whatever else the machine does can only add time."""
    small, big = text_of(4 << 10), text_of(64 << 10)
    small_time = processor_time(lambda: read(small))
    # 4 ms are no longer than linear time can be for 64 kB, however little the small one took.
    assert any(processor_time(lambda: read(big)) <= max(40 * small_time, 4_000_000) for _ in range(5))


def repeated(unit: str, beginning: str = "", end: str = "") -> Callable[[int], str]:
    """For `check_time`: makes texts of so many characters, and a few more, that are one thing again and again."""
    return lambda size: beginning + unit * (size // len(unit)) + end
