"""The cost of compression: ``python benchmarks/compression.py docs/_generated/compression_memory.rst``.

This measures a server's connection of `rfc6455` through its public interface and writes two tables in reST: memory and
size for each configuration of `PerMessageDeflate`, and memory and speed for zlib and each module that can replace it.
Memory is what Python allocates, as `tracemalloc` counts it; the three modules allocate all their memory through
Python. The resident memory of a process is smaller, as zlib does not touch all the memory that it allocates.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# At the end of the path, so that an installed rfc6455 is measured rather than this source tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import rfc6455
from benchmarks.measure import environment
from benchmarks.payloads import KIB, MIB, json_messages
from benchmarks.report import csv_table, digits

SMALL, LARGE = 200, 64 * KIB  # bytes of a message
ROUNDS = 5

TAKEOVER = {"server_no_context_takeover": False, "client_no_context_takeover": False}
BARE, WINDOW, RESETS = "", "client_max_window_bits", "client_no_context_takeover; client_max_window_bits"


class Settings(NamedTuple):
    """A row of the first table.

    :ivar server: the server's arguments of `PerMessageDeflate`; ``None`` for no compression.
    :ivar offer: the client's offer, which also says whether the client keeps its context.
    """

    server: dict[str, Any] | None
    offer: str = WINDOW


SETTINGS = {
    "no compression": Settings(None),
    "the default, a client that offers ``client_no_context_takeover``": Settings({}, RESETS),
    "the default, ``client_max_window_bits`` offered": Settings({}, WINDOW),
    "the default, nothing offered": Settings({}, BARE),
    "``client_no_context_takeover=True``": Settings({"client_no_context_takeover": True}),
    "``client_max_window_bits=15``": Settings({"client_max_window_bits": 15}),
    "the server keeps its context, the client does not": Settings(TAKEOVER, RESETS),
    "both keep it": Settings(TAKEOVER),
}
# The windows and the memory level; 8 is the default memory level.
for _bits, _level in (13, 6), (11, 4), (9, 1):
    SETTINGS[f"both, windows of {_bits} bits, ``mem_level={_level}``"] = Settings(
        TAKEOVER | {"server_max_window_bits": _bits, "client_max_window_bits": _bits, "mem_level": _level}
    )

MODULES = ["zlib", "zlib_ng.zlib_ng", "isal.isal_zlib"]


@dataclass(frozen=True)
class Scale:
    """The size of the measurement.

    :ivar connections: the number of connections over which memory is averaged.
    :ivar messages: the number of messages of ``SMALL`` bytes. There are a hundredth as many large ones.
    """

    connections: int = 50
    messages: int = 5_000


# --- one connection -------------------------------------------------------------------------------------------


class Offering(rfc6455.PerMessageDeflate):
    """A client's side with a given offer, which agrees to whatever the server wants."""

    def __init__(self, offer: str) -> None:
        super().__init__(server_no_context_takeover=False, client_no_context_takeover=offer == RESETS)
        self._offer = offer

    def offer(self) -> str:
        return self._offer


def connect(settings: Settings) -> tuple[rfc6455.Connection, rfc6455.Connection]:
    """Return a server with these settings, and its client."""
    deflate = [] if settings.server is None else [rfc6455.PerMessageDeflate(**settings.server)]
    willing = [] if settings.server is None else [Offering(settings.offer)]
    ours, theirs = rfc6455.ServerHandshake(extensions=deflate), rfc6455.ClientHandshake("ws://a/", extensions=willing)
    ours.receive_data(theirs.data_to_send())
    server = ours.accept()
    client = theirs.receive_data(server.data_to_send())
    assert client is not None
    return server, client


def send(ws: rfc6455.Connection, messages: Iterable[str]) -> int:
    """Send the messages, and return the number of bytes."""
    size = 0
    for message in messages:
        ws.send_text(message)
        size += len(ws.data_to_send())
    return size


# --- memory ---------------------------------------------------------------------------------------------------


def kept_memory(settings: Settings, scale: Scale) -> float:
    """Return the memory, in bytes, that a server's connection keeps after a message each way, beyond that before."""
    pairs = [connect(settings) for _ in range(scale.connections + 1)]
    (message,) = json_messages(1, SMALL)
    reads = []
    for _, client in pairs:
        client.send_text(message)
        reads.append(client.data_to_send())
    servers = [server for server, _ in pairs]
    _exchange(servers.pop(), reads.pop(), message)  # memory that is allocated only once does not count
    gc.collect()
    tracemalloc.start()
    for server, data in zip(servers, reads, strict=True):
        _exchange(server, data, message)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept / scale.connections


def peak_memory(settings: Settings) -> int:
    """Return the maximum memory, in bytes, of a connection while it sends and receives a large message."""
    server, client = connect(settings)
    (message,) = json_messages(1, LARGE)
    client.send_text(message)
    data = client.data_to_send()
    gc.collect()
    tracemalloc.start()
    _exchange(server, data, message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _exchange(server: rfc6455.Connection, data: bytes, message: str) -> None:
    assert server.receive_data(data) == [rfc6455.TextMessage(message)]
    server.send_text(message)
    server.data_to_send()


def size_in_percent(settings: Settings, messages: Sequence[str], role: rfc6455.Role = rfc6455.SERVER) -> float:
    """Return the size of the data that one end sends, in percent of the size without compression."""
    at = int(role is rfc6455.CLIENT)
    return 100 * send(connect(settings)[at], messages) / send(connect(Settings(None))[at], messages)


# --- speed ----------------------------------------------------------------------------------------------------


def best_time(run: Callable[[Any], object], make: Callable[[], Any]) -> float:
    """Return the best of some rounds, in seconds of processor time. The objects for a round are made before it."""
    times = []
    for _ in range(ROUNDS):
        made = make()
        begin = time.process_time()
        run(made)
        times.append(time.process_time() - begin)
    return max(min(times), 1e-9)


def sending_time(settings: Settings, messages: Sequence[str]) -> float:
    return best_time(lambda server: send(server, messages), lambda: connect(settings)[0])


def receiving_time(settings: Settings, messages: Sequence[str]) -> float:
    def make() -> tuple[rfc6455.Connection, list[bytes]]:
        server, client = connect(settings)
        reads = []
        for message in messages:
            client.send_text(message)
            reads.append(client.data_to_send())
        return server, reads

    def receive(made: tuple[rfc6455.Connection, list[bytes]]) -> None:
        server, reads = made
        for data in reads:
            server.receive_data(data)
            while server.unread:
                server.receive_data(None)

    return best_time(receive, make)


# --- the tables -----------------------------------------------------------------------------------------------


def memory_rows(scale: Scale) -> Iterator[list[str]]:
    small, large = json_messages(scale.messages // 10, SMALL), json_messages(scale.messages // 500, LARGE)
    for name, settings in SETTINGS.items():
        yield [
            name,
            f"{kept_memory(settings, scale) / KIB:.1f}",
            f"{peak_memory(settings) / KIB:.0f}",
            *(
                f"{size_in_percent(settings, messages, role):.0f} %"
                for role in (rfc6455.SERVER, rfc6455.CLIENT)
                for messages in (small, large)
            ),
        ]


def module_rows(scale: Scale) -> Iterator[list[str]]:
    small, large = json_messages(scale.messages, SMALL), json_messages(scale.messages // 100, LARGE)
    mebibytes = sum(map(len, large)) / MIB
    for module in MODULES:
        implementation = {"implementation": importlib.import_module(module)}
        resets = Settings({"client_no_context_takeover": True} | implementation)
        takeover = Settings(TAKEOVER | implementation)
        yield [
            f"``{module}``",
            f"{kept_memory(takeover, scale) / KIB:.0f}",
            digits(1e6 * sending_time(resets, small) / len(small)),
            digits(1e6 * receiving_time(resets, small) / len(small)),
            digits(mebibytes / sending_time(takeover, large)),
            digits(mebibytes / receiving_time(takeover, large)),
            f"{size_in_percent(takeover, large):.0f} %",
        ]


def page(scale: Scale) -> str:
    """Return both tables, as reST to be included."""
    lines = [
        ".. Made by benchmarks/compression.py; do not edit.",
        "",
        _what_ran(),
        "",
        ".. rubric:: Each setting: memory of a server's connection, and the size of what each end sends",
        "",
        *memory_table(scale),
        "",
        ".. rubric:: Each implementation",
        "",
        *module_table(scale),
        "",
        "The small messages are sent without takeover and the large ones with it, at each module's default level.",
        f"Times are the best of {ROUNDS} rounds, in processor time.",
    ]
    return "\n".join(lines) + "\n"


def _what_ran() -> str:
    facts = environment(ROUNDS)
    build = "compiled" if rfc6455.__compiled__ else "pure Python"
    what = f"rfc6455 {rfc6455.__version__} ({build}), {facts['Python']}, zlib {facts['zlib']}, {facts['processor']}"
    return f"Measured by ``python benchmarks/compression.py`` with {what}. Messages are JSON."


def memory_table(scale: Scale) -> Iterator[str]:
    kept, peak = "kept between messages, KiB", f"at most, during one of {LARGE // KIB} KiB, KiB"
    sizes = [f"{end}, {size}" for end in ("server", "client") for size in (f"{SMALL} B", f"{LARGE // KIB} KiB")]
    header = ["setting of the server", kept, peak, *sizes]
    return csv_table(header, memory_rows(scale))


def module_table(scale: Scale) -> Iterator[str]:
    small, large = f"{SMALL} B, µs", f"{LARGE // KIB} KiB, MiB/s"
    speeds = [f"{what} {size}" for size in (small, large) for what in ("send", "receive")]
    return csv_table(["module", "kept with takeover, KiB", *speeds, "size"], module_rows(scale))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/compression.py", description="What compression costs.")
    parser.add_argument("file", type=Path, nargs="?", help="where to write the tables; by default they are printed")
    options = parser.parse_args(arguments)
    tables = page(Scale())
    if options.file:
        options.file.write_text(tables, encoding="utf-8")
    else:
        print(tables)


if __name__ == "__main__":
    main()
