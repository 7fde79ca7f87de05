"""The server's counts, and their text format for Prometheus (version 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# Upper bounds for the seconds from a read to the last write of its lines.
BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)

_HELP = {
    "connections": "Connections since the start, by outcome, without those for /health and /metrics.",
    "refused": "Connections that were refused, by reason.",
    "received_messages": "Messages received from clients.",
    "received_bytes": "Bytes of frames received from clients.",
    "delivered_lines": "Lines sent to clients, each counted once for every client.",
    "sent_bytes": "Bytes of frames sent to clients.",
    "errors": "Failures outside of the server, by the part that they affect.",
    "lost_lines": "Lines that could not be kept in the history.",
    "closes": "Connections that ended, by close code; 1013 is for clients that were too slow.",
}


@dataclass(frozen=True)
class Gauge:
    """A current value, or several values with labels."""

    name: str
    help: str
    values: Mapping[str, float]


class Metrics:
    """The counts. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

    def count(self, name: str, by: int = 1, label: str = "") -> None:
        """Add ``by`` to the count ``name``, which is one of those in `_HELP`. A ``label`` looks like
        ``code="1013"``."""
        with self._lock:
            self._counts[name, label] += by

    def count_all(self, counts: Mapping[str, int]) -> None:
        with self._lock:
            self._counts.update({(name, ""): count for name, count in counts.items()})

    def fanned_out(self, messages: int, seconds: float) -> None:
        """Count one read, with the number of its messages and the time that it took to send them on."""
        with self._lock:
            self._counts["received_messages", ""] += messages
            self._buckets[bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds

    def text(self, gauges: Iterable[Gauge]) -> str:
        """Return all counts, with some current values."""
        with self._lock:
            return "".join(f"{line}\n" for line in (*self._counters(), *self._histogram(), *_gauges(gauges)))

    def _counters(self) -> Iterator[str]:
        for name, words in _HELP.items():
            yield from _head(f"chat_{name}_total", "counter", words)
            labels = sorted(label for counted, label in self._counts if counted == name)
            for label in labels or [""]:
                yield f"chat_{name}_total{_braces(label)} {self._counts[name, label]}"

    def _histogram(self) -> Iterator[str]:
        name = "chat_fan_out_seconds"
        yield from _head(name, "histogram", "From the end of a read to the last write of its lines.")
        total = 0
        for bound, count in zip((*BUCKETS, "+Inf"), self._buckets, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._seconds:.6f}"
        yield f"{name}_count {total}"


def _gauges(gauges: Iterable[Gauge]) -> Iterator[str]:
    for gauge in gauges:
        yield from _head(f"chat_{gauge.name}", "gauge", gauge.help)
        for label, value in gauge.values.items():
            yield f"chat_{gauge.name}{_braces(label)} {value:g}"


def _braces(label: str) -> str:
    return f"{{{label}}}" if label else ""


def _head(name: str, kind: str, words: str) -> tuple[str, str]:
    return f"# HELP {name} {words}", f"# TYPE {name} {kind}"
