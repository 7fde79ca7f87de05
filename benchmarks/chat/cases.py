"""The cases. Each is a chat from beginning to end, and gives some figures.

A case raises `LoadError` if the chat loses a line, sends one twice or out of order, or stops.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from .crowd import Crowd
from .programs import Program, Running

LINE = 64  # bytes
WINDOW = 64  # lines in flight from each sender
MIB = 1 << 20

# For the case with a client that never reads: the limit of the chat's outbox (`Settings.outbox_bytes`), of which
# several times as much is sent, and the size of the lines.
OUTBOX = 4 * MIB
UNREAD = 4 * OUTBOX
LONG_LINE = 1024


@dataclass(frozen=True)
class Scale:
    """The sizes of the cases: for the figures of a report, for a rough look, or only to see whether they work.

    :ivar clients: the clients in the cases `talk` and `wait`.
    :ivar senders: the senders in the second part of `talk`.
    :ivar seconds: the time for which they talk.
    :ivar lines: the maximum number of lines in this time, which are kept until they are checked.
    :ivar pings: the lines of the case `wait`.
    :ivar crowd: the clients of the case `crowd`, its senders, and the lines of each of these.
    :ivar table: the clients of the case `sleeper`.
    :ivar unread: the bytes that are sent to the client that never reads.
    """

    clients: int = 100
    senders: int = 10
    seconds: float = 1.5
    lines: int = 40_000
    pings: int = 500
    crowd: int = 2000
    crowd_senders: int = 20
    crowd_lines: int = 5
    table: int = 50
    unread: int = UNREAD


FULL = Scale()
QUICK = Scale(seconds=0.5, lines=10_000, pings=200, crowd=500, crowd_lines=2)


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    :ivar unit: ``/s``, ``s``, ``B`` or ``""``.
    """

    name: str
    title: str
    unit: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Case:
    """One case.

    :ivar title: a function that describes the case, with its sizes.
    :ivar measure: a function that runs the case, and returns a number for each of the `figures`.
    """

    name: str
    title: Callable[[Scale], str]
    figures: tuple[Figure, ...]
    measure: Callable[[Program, Scale], dict[str, float]]


def talk(program: Program, scale: Scale) -> dict[str, float]:
    """Measure one busy sender, ten busy senders, and one line in flight, one after the other, with the same
    clients."""
    with Running(program) as server, Crowd(server.port, scale.clients, scale.senders, LINE) as crowd:
        crowd.open()
        crowd.greet()
        one = _flood(server, crowd, 1, scale)
        ten = _flood(server, crowd, scale.senders, scale)
        latencies = sorted(stamp for _ in range(scale.pings) for stamp in crowd.say(crowd.senders[0], 1))
        crowd.check()
    return {
        **{f"one-{name}": figure for name, figure in one.items()},
        **{f"ten-{name}": figure for name, figure in ten.items()},
        "latency-median": statistics.median(latencies),
        "latency-p99": latencies[len(latencies) * 99 // 100],
    }


def _flood(server: Running, crowd: Crowd, senders: int, scale: Scale) -> dict[str, float]:
    talkers = crowd.senders[:senders]
    most = scale.lines // senders
    # To warm up, as Node.js compiles code that runs often.
    crowd.flood(talkers, WINDOW, scale.seconds / 4, most // 4)
    crowd.check()
    before, mine = server.cpu(), time.process_time()
    deliveries, seconds = crowd.flood(talkers, WINDOW, scale.seconds, most)
    busy, load = server.cpu() - before, time.process_time() - mine
    crowd.check()
    return {
        "deliveries": deliveries / seconds,
        "cpu": busy / deliveries,
        "busy": busy / seconds,
        "load": load / seconds,
    }


def many(program: Program, scale: Scale) -> dict[str, float]:
    """Measure many clients that come at once, some of which send lines to all others, and leave. All of this happens
    twice; the second time, memory is warm."""
    with Running(program) as server:
        threads = server.threads()
        _visit(server, 10, scale)
        _settle(server, threads)
        memory = server.memory()
        first = _visit(server, scale.crowd, scale)
        _settle(server, threads)
        after = server.memory()
        second = _visit(server, scale.crowd, scale)
        _settle(server, threads)
        return {
            "crowd-opened": scale.crowd / first[0],
            "crowd-opened-again": scale.crowd / second[0],
            "crowd-memory": (first[1] - memory) / scale.crowd,
            "crowd-threads": (first[2] - threads) / scale.crowd,
            "crowd-kept": max(0, after - memory) / scale.crowd,
            "crowd-grown": max(0, server.memory() - after) / scale.crowd,
            "crowd-threads-left": server.threads() - threads,
        }


def _visit(server: Running, clients: int, scale: Scale) -> tuple[float, int, int]:
    """Return the seconds that opening took, and the memory and the threads while all clients are there."""
    with Crowd(server.port, clients, min(clients, scale.crowd_senders), LINE) as crowd:
        seconds = crowd.open()
        crowd.greet()
        crowd.flood(crowd.senders, 1, float("inf"), scale.crowd_lines)
        crowd.check()
        present = server.memory(), server.threads()
        crowd.leave()
    return seconds, *present


def _settle(server: Running, threads: int, patience: float = 3.0) -> None:
    """Give the server a moment to release the clients that have left."""
    end = time.monotonic() + patience
    while server.threads() > threads and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)


def sleep(program: Program, scale: Scale) -> dict[str, float]:
    """Measure a chat in which one client never reads. The sender waits for all the others before it goes on."""
    lines = 16
    with Running(program) as server, Crowd(server.port, scale.table, 1, LONG_LINE, sleeper=True) as crowd:
        crowd.open()
        crowd.greet()
        for _ in range(10):
            crowd.say(crowd.senders[0], lines)
        crowd.check()
        memory = most = server.memory()
        delays = []
        for _ in range(-(-scale.unread // (lines * LONG_LINE))):
            delays.append(max(crowd.say(crowd.senders[0], lines)))
            most = max(most, server.memory())
            crowd.check()
    return {"sleeper-delay": max(delays), "sleeper-median": statistics.median(delays), "sleeper-memory": most - memory}


TALK = (
    Figure("one-deliveries", "one busy sender: deliveries", "/s", True),
    Figure("one-cpu", "the server's CPU for a delivery", "s"),
    Figure("one-busy", "cores that the server kept busy", ""),
    Figure("one-load", "cores that the load kept busy", ""),
    Figure("ten-deliveries", "ten busy senders: deliveries", "/s", True),
    Figure("ten-cpu", "the server's CPU for a delivery", "s"),
    Figure("ten-busy", "cores that the server kept busy", ""),
    Figure("ten-load", "cores that the load kept busy", ""),
    Figure("latency-median", "one line in flight: from the sender to another client, median", "s"),
    Figure("latency-p99", "the same, 99th percentile", "s"),
)
MANY = (
    Figure("crowd-opened", "connections opened", "/s", True),
    Figure("crowd-opened-again", "opened for a second crowd", "/s", True),
    Figure("crowd-memory", "memory of a client", "B"),
    Figure("crowd-threads", "threads of a client", ""),
    Figure("crowd-kept", "memory kept after all had left", "B"),
    Figure("crowd-grown", "additional memory after a second crowd", "B"),
    Figure("crowd-threads-left", "threads that remain", ""),
)
SLEEP = (
    Figure("sleeper-delay", "longest time until all the others had a batch of 16 lines", "s"),
    Figure("sleeper-median", "median of that time", "s"),
    Figure("sleeper-memory", "growth of the server's memory", "B"),
)


def _title_of_talk(scale: Scale) -> str:
    return f"{scale.clients} clients, lines of {LINE} bytes, {WINDOW} in flight from each sender"


def _title_of_many(scale: Scale) -> str:
    return f"{scale.crowd:,} clients at once"


def _title_of_sleep(scale: Scale) -> str:
    unread = f"{scale.unread / MIB:g} MiB in lines of {LONG_LINE >> 10} KiB"
    return f"{scale.table} clients, one of which never reads: {unread}"


CASES = (
    Case("talk", _title_of_talk, TALK, talk),
    Case("crowd", _title_of_many, MANY, many),
    Case("sleeper", _title_of_sleep, SLEEP, sleep),
)
