"""The state of the server for programs that watch it: `/health` in JSON, `/metrics` for Prometheus."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from hub import Hub

from service import threads
from service.metrics import Gauge, Metrics
from service.troubles import Trouble

# The share of its time that the server spends on looking at all connections, however often programs ask. A look at a
# thousand takes some milliseconds; a hundred in each second would leave little for the chat.
LOOK_SHARE = 0.05

# A look that takes less than this is not worth saving, in seconds.
QUICK_LOOK = 0.0005


class Watched(Protocol):
    """What is watched of a connection that takes part in the chat."""

    @property
    def held(self) -> int:
        """The number of bytes that wait for the client."""

    @property
    def latency(self) -> float:
        """The time in seconds that the client took to answer the last ping; 0 before the first answer."""

    def settle(self) -> None:
        """Add the traffic since the last call to the metrics."""


class Monitor:
    """The state of the server.

    :param present: a function that returns the connections that take part in the chat.
    :param is_bus_there: a function that returns whether Redis is there; ``None`` without Redis.
    """

    def __init__(
        self,
        metrics: Metrics,
        hub: Hub,
        troubles: Sequence[Trouble],
        present: Callable[[], Iterable[Watched]],
        is_bus_there: Callable[[], bool] | None = None,
    ) -> None:
        self._metrics = metrics
        self._hub = hub
        self._troubles = troubles
        self._present = present
        self._is_bus_there = is_bus_there
        self._lock = threading.Lock()
        self._seen: list[Gauge] = []
        self._next_look = 0.0

    def health(self) -> tuple[bool, dict[str, object]]:
        """Return whether the server serves clients, and its state.

        It is degraded when it has to do without something, and failed when one of its own threads has ended, after
        which the server ends as well.
        """
        degraded = {each.part: trouble for each in self._troubles if (trouble := each.state)}
        state: dict[str, object] = {"status": "degraded" if degraded else "ok"}
        state |= {gauge.name: gauge.values[""] for gauge in self._gauges() if "" in gauge.values}
        if degraded:
            state["degraded"] = degraded
        if threads.failed:
            state |= {"status": "failed", "threads": threads.failed}
        return not threads.failed, state

    def metrics(self) -> str:
        """Return all metrics."""
        return self._metrics.text(self._gauges())

    def remind(self, now: float) -> None:
        """Report each trouble again that has lasted for another minute."""
        for trouble in self._troubles:
            trouble.remind(now)

    def _gauges(self) -> list[Gauge]:
        """Return the current values; those of all connections may be those of a moment ago."""
        gauges = list(self._look())
        if self._is_bus_there is not None:
            gauges.append(Gauge("bus", "Whether Redis is connected.", {"": float(self._is_bus_there())}))
        degraded = {f'part="{trouble.part}"': float(trouble.state is not None) for trouble in self._troubles}
        return [*gauges, Gauge("degraded", "Parts that the server has to do without.", degraded)]

    def _look(self) -> list[Gauge]:
        """Look at all connections, or return what was seen the last time if that was just now."""
        with self._lock:
            if time.monotonic() >= self._next_look:
                began = time.thread_time()
                self._seen = self._see()
                took = time.thread_time() - began
                self._next_look = time.monotonic() + (took / LOOK_SHARE if took > QUICK_LOOK else 0.0)
            return self._seen

    def _see(self) -> list[Gauge]:
        present = list(self._present())
        for one in present:
            one.settle()
        values = {
            "clients": ("Clients that take part.", len(present)),
            "held_bytes": ("Bytes of histories, and bytes that wait for clients.", self._hub.rooms.budget.held()),
            "outbox_bytes": ("Bytes that wait for clients.", sum(one.held for one in present)),
            "rooms": ("Rooms with somebody in them.", sum(room.users > 0 for room in self._hub.rooms.all())),
            "ping_seconds": (
                "The longest time that a client took to answer its last ping.",
                max((one.latency for one in present), default=0.0),
            ),
        }
        return [Gauge(name, words, {"": value}) for name, (words, value) in values.items()]
