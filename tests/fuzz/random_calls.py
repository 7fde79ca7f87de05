"""Calls everything in the package at random, in both builds: ``python tests/fuzz/random_calls.py --seconds 60``.

A run is a list of steps that a seed determines: a class, a function, a method or an attribute, with arguments of the
wrong number and type, objects that were never initialised, callbacks that lie, raise, return None or call back, and
buffers that are released or resized. Each step is done in the compiled package and in its sources as Python, and must
have the same result: a value of the same type, or an error of the same type. To find out whether one of them ends the
process, run this under ``PYTHONMALLOC=debug`` and ``python -X faulthandler``; ``--log`` has the seed of the current
run.

`may_differ` lists the differences that are allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
# At the end: the source tree is wanted where it was compiled in place, and would hide what is installed.
sys.path.append(str(Path(__file__).parents[2]))

from pure_twin import PURE, PURE_LOOPS, TWIN

import rfc6455
import rfc6455_io.asyncio

STEPS_IN_A_RUN = 60

# Of an error that Python raises when something asks a memoryview that was released.
RELEASED = " (released)"

# Modules whose names can be imported and are compiled, so that types of C stand behind them.
MODULES: tuple[str, ...]
MODULES = ("byte_loops", "arguments", "cursor", "frames", "messages", "connection", "deflate", "events", "values")
MODULES += ("deadlines", "endpoint", "extensions")
LOOPS = ("_known", "_asyncio_driver", "_asyncio_websocket")


class Both:
    """The protocol, and the modules of its loops that are compiled."""

    def __init__(self, protocol: Any, loops: Any) -> None:
        self.protocol = protocol
        self.loops = loops

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loops if name in LOOPS else self.protocol, name)


INSTALLED: Any = Both(rfc6455, rfc6455_io)
SOURCES: Any = Both(PURE, PURE_LOOPS)

NUMBERS = [-1, 0, 1, 2, 3, 4, 7, 8, 125, 126, 1000, 65_536, 1 << 31, 1 << 62, 1 << 63, 1 << 64, -(1 << 63), True]
FRAMES = [
    *(
        b"\x81\x02hi",
        b"\x81\x82\x01\x02\x03\x04ij",
        b"\x01\x02\xc3\xa9",
        b"\x80\x80\0\0\0\0",
        b"\x89\x00",
        b"\x88\x00",
    ),
    *(b"\x88\x82\0\0\0\0\x03\xe8", b"\x82\x7e\x03\xe8", b"\x82\xfe\x03\xe8\1\2\3\4", b"\xc1\x03\xf2\x48\x05", b"\x83"),
    *(b"\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x70", b"\x81\xff\x00\x00\x00\x00\x00\x01\x11\x70\1\2\3\4", b"\x81"),
]
HEADS = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 101\r\nX:y\r\nx:\t\r\n\r\n", b"a b c\r\n\xe9:\r\n\r\n"]
BYTES = [b"", b"a", b"1234", bytes(5), b"\xff", b"\xc3\xa9" * 3000, b"\xed\xa0\x80", bytes(70_000), *FRAMES, *HEADS]
WORDS = ["", "a", "1234", "é€", "\ud800", "x" * 5000, "ws://h/", "GET", "/", "permessage-deflate", "http://h"]
OTHERS: list[Any] = [None, False, 1.5, float("nan"), (), [], {}, {1, 2}, object, NotImplemented, ..., 2j, range(3)]

# What is called besides everything that has a name; each takes what it gets.
OPERATIONS: dict[str, Callable[..., object]] = {
    "len": len,
    "repr": lambda it: len(repr(it)) > 0,
    "hash": lambda it: hash(it) is not None,
    "bool": bool,
    "iter": lambda it: type(next(iter(it))).__name__,
    "eq": lambda it, other: bool(it == other),
    "memoryview": lambda it: memoryview(it).nbytes,
    "release": lambda it: it.release(),
    "write": lambda it: it.__setitem__(0, 7),
    "resize": lambda it: it.extend(b"more"),
    "reduce": lambda it: len(it.__reduce_ex__(2)),
    "index": lambda it, at: it[at],
    "step": lambda it: it.send(None),
    "throw": lambda it: it.throw(CallbackError()),
    "close": lambda it: it.close(),
}


class CallbackError(Exception):
    """The exception of callbacks."""


class Step(NamedTuple):
    """One call. A number among the arguments stands for the result of an earlier step."""

    what: str
    receiver: Any
    name: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


class Earlier(NamedTuple):
    """The result of the step with this number."""

    step: int


class Named(NamedTuple):
    """A member of the package, by its path."""

    path: str


class Callback(NamedTuple):
    """A function that a caller passes."""

    kind: str
    target: int


class World:
    """One build, and the results of the steps so far."""

    def __init__(self, package: Any) -> None:
        self.package = package
        self.made: dict[int, Any] = {}
        self.depth = 0

    def value_of(self, argument: Any) -> Any:
        if isinstance(argument, Earlier):
            return self.made.get(argument.step)
        if isinstance(argument, Named):
            return member(self.package, argument.path)
        if isinstance(argument, Callback):
            return self.callback(argument)
        if isinstance(argument, bytearray):
            return bytearray(argument)
        if isinstance(argument, types.SimpleNamespace):
            return argument.make(self)
        return argument

    def callback(self, it: Callback) -> Callable[..., object]:
        def call(*arguments: Any, **keywords: Any) -> object:
            if it.kind == "raises":
                raise CallbackError
            if it.kind == "calls back" and self.depth < 3:
                self.depth += 1
                try:
                    return re_enter(self.made.get(it.target))
                finally:
                    self.depth -= 1
            return ANSWERS.get(it.kind)

        return call

    def do(self, step: Step) -> Any:
        arguments = [self.value_of(it) for it in step.arguments]
        keywords = {name: self.value_of(it) for name, it in step.keywords.items()}
        receiver = self.value_of(step.receiver)
        match step.what:
            case "call":
                return receiver(*arguments, **keywords)
            case "method":
                return getattr(receiver, step.name)(*arguments, **keywords)
            case "get":
                return getattr(receiver, step.name)
            case "set":
                return setattr(receiver, step.name, *arguments)
            case "subclass":
                return derived(receiver)(*arguments)
            case "new":
                return receiver.__new__(receiver)
            case _:
                return OPERATIONS[step.name](receiver, *arguments)


ANSWERS: dict[str, Any] = {
    "none": None,
    "a number": 5,
    "bytes": b"xyz",
    "few bytes": b"",
    "bytes of a subclass": type("Louder", (bytes,), {})(b"abc"),
    "many bytes": bytes(128),
    "text": "text",
    "true": True,
    "list": [b""],
}


def re_enter(it: Any) -> object:
    for name in ("data_to_send", "drop", "take_bytes", "take_text", "forget"):
        if hasattr(it, name):
            return getattr(it, name)()
    return b"again"


def member(package: Any, path: str) -> Any:
    it = package
    for name in path.split("."):
        it = getattr(it, name)
    return it


def derived(kind: Any) -> Any:
    """Return a subclass that does not initialise what it derives from, and whose methods can be anything."""
    return type("Derived", (kind,), {"__init__": lambda self, *arguments: None})


# What there is.


def is_ours(it: Any) -> bool:
    return str(getattr(it, "__module__", "")).startswith(rfc6455.__name__)


def members() -> Iterator[str]:
    """Yield the paths of all classes and functions that can be called, the public ones first."""
    yield from sorted(name for name in rfc6455.__all__ if callable(getattr(rfc6455, name)))
    for module in (*MODULES, *LOOPS):
        for name, it in sorted(vars(getattr(INSTALLED, module)).items()):
            if callable(it) and is_ours(it) and not name.startswith("__") and hasattr(getattr(SOURCES, module), name):
                yield f"{module}.{name}"


CALLABLES = [*members()]
PUBLIC = [name for name in CALLABLES if "." not in name]
ENUMS = [
    f"{name}.{it.name}"
    for name in PUBLIC
    if isinstance(getattr(rfc6455, name), type) and issubclass(getattr(rfc6455, name), Enum)
    for it in getattr(rfc6455, name)
]


def names_of(world: World, it: Any) -> list[str]:
    return [name for name in dir(type(it)) if not name.startswith("__")] if is_ours(type(it)) else []


# One run.


class Run:
    """The steps of a seed, done in both builds."""

    def __init__(self, seed: int, counts: Counter[str], shown: bool) -> None:
        self.shown = shown
        self.choose = random.Random(seed)
        self.counts = counts
        self.worlds = World(INSTALLED), World(SOURCES)
        self.live: list[int] = []
        # What was never initialised, or came out differently where that is allowed: whatever is done with it must not
        # crash, and is not compared. All objects are kept, so that an id stands for one.
        self.tainted_steps: set[int] = set()
        self.tainted_objects: set[int] = set()
        self.history: list[Step] = []

    def do_all(self) -> str | None:
        for number in range(STEPS_IN_A_RUN):
            step = self.next_step()
            self.history.append(step)
            if self.shown:
                print(number, step, flush=True)
            ours, theirs = (outcome(world, step, number) for world in self.worlds)
            if self.shown:
                print("    ", ours, "|", theirs)
            difference = self.compare(number, step, ours, theirs)
            if difference:
                return difference
        return None

    def compare(self, number: int, step: Step, ours: str, theirs: str) -> str | None:
        given = (step.receiver, *step.arguments, *step.keywords.values())
        used = {it.step for it in given if isinstance(it, Earlier)} | {
            it.target for it in given if isinstance(it, Callback)
        }
        is_tainted = step.what in ("new", "subclass") or any(self.is_tainted(it) for it in used)
        self.counts["not compared" if is_tainted else ours.partition(":")[0]] += 1
        if ours != theirs:
            if not is_tainted and not self.is_private(step) and not may_differ(step, ours, theirs):
                return f"{step}\n  compiled: {ours}\n  pure:     {theirs}"
            is_tainted = True
        if all(number in world.made for world in self.worlds):
            self.live.append(number)
            used.add(number)
        if is_tainted:
            used |= {owner for it in used for owner in self.owners_of(it)}
            self.tainted_steps |= used
            self.tainted_objects |= {id(self.worlds[0].made.get(it)) for it in used}
        return None

    def owners_of(self, step: int) -> Iterator[int]:
        """Yield the objects of which this one is a part: it came from a private attribute."""
        made_by = self.history[step]
        while made_by.what == "get" and made_by.name.startswith("_") and isinstance(made_by.receiver, Earlier):
            yield made_by.receiver.step
            made_by = self.history[made_by.receiver.step]

    def is_tainted(self, step: int) -> bool:
        # By identity, too, as an attribute of one object can be another one.
        it = self.worlds[0].made.get(step)
        return step in self.tainted_steps or (is_ours(type(it)) and id(it) in self.tainted_objects)

    def is_private(self, step: Step) -> bool:
        """Return whether what is called is for nobody: then it must not crash, and nothing else."""
        if isinstance(step.receiver, Named):
            return "." in step.receiver.path
        kind = type(self.worlds[0].made.get(step.receiver.step))
        return step.name.startswith("_") or not is_ours(kind) or kind.__name__ not in rfc6455.__all__

    def next_step(self) -> Step:
        choose = self.choose
        live = [it for it in self.live if self.worlds[0].made.get(it) is not None]
        kind = choose.random()
        if not live or kind < 0.3:
            path = choose.choice(PUBLIC if choose.random() < 0.5 else CALLABLES)
            is_class = isinstance(member(INSTALLED, path), type)
            what = choose.choice(["call"] * 8 + ["new", "subclass"]) if is_class else "call"
            return Step(what, Named(path), path, *self.arguments(member(INSTALLED, path)))
        target = choose.choice(live)
        it = self.worlds[0].made[target]
        if kind < 0.4 or not names_of(self.worlds[0], it):
            name = choose.choice(list(OPERATIONS))
            return Step("operation", Earlier(target), name, self.some(choose.choice([0, 0, 0, 1])), {})
        name = choose.choice(names_of(self.worlds[0], it))
        if callable(getattr(type(it), name, None)):
            return Step("method", Earlier(target), name, *self.arguments(getattr(type(it), name)))
        if kind < 0.9 or isinstance(it, Enum):  # what is set on a member of an enum would be there in the next run
            return Step("get", Earlier(target), name, (), {})
        value = self.argument()
        # Objects in a circle are hashed and shown without end, and in C without a look at how deep the stack is.
        return Step("set", Earlier(target), name, (None if isinstance(value, Earlier) else value,), {})

    def arguments(self, it: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        keywords = {name: self.choose.choice(FITTING[name]) for name in required_keywords(it) if name in FITTING}
        if self.choose.random() < 0.2:
            keywords[self.choose.choice(KEYWORDS)] = self.argument()
        if self.choose.random() < 0.7:
            return tuple(self.fitting(it)), keywords
        return self.some(self.choose.randrange(5)), keywords

    def fitting(self, it: Any) -> Iterator[Any]:
        """Arguments that are mostly right, by the names of the parameters in the sources."""
        source = pure_of(it)
        names = source.__code__.co_varnames[: source.__code__.co_argcount] if source is not None else ()
        for name in names:
            if name == "self":
                continue
            if self.choose.random() < 0.15:
                yield self.argument()
            else:
                yield self.choose.choice(FITTING.get(name, NUMBERS + BYTES + WORDS))

    def some(self, count: int) -> tuple[Any, ...]:
        return tuple(self.argument() for _ in range(count))

    def argument(self) -> Any:
        choose = self.choose
        if self.live and choose.random() < 0.3:
            return Earlier(choose.choice(self.live))
        match choose.randrange(8):
            case 0:
                return choose.choice(NUMBERS)
            case 1 | 2:
                return choose.choice(BYTES)
            case 3:
                return choose.choice(WORDS)
            case 4:
                return choose.choice([bytearray(b"Hello"), *VIEWS])
            case 5:
                return Named(choose.choice(ENUMS + CALLABLES))
            case 6:
                return Callback(choose.choice([*ANSWERS, "raises", "calls back"]), choose.choice(self.live or [0]))
            case _:
                return choose.choice(OTHERS)


def released() -> memoryview:
    view = memoryview(bytearray(b"gone"))
    view.release()
    return view


VIEWS = [
    types.SimpleNamespace(make=lambda world: memoryview(bytearray(b"Hello"))),
    types.SimpleNamespace(make=lambda world: memoryview(b"H-e-l-l-o")[::2]),
    types.SimpleNamespace(make=lambda world: released()),
]
DATA = [*BYTES, *FRAMES, *FRAMES, bytearray(b"\x81\x00"), *VIEWS]
ROLES = [Named("CLIENT"), Named("SERVER")]
KEYWORDS = ["fin", "compress", "limits", "random", "parts", "leniencies", "role", "reserved_bits", "extensions", "now"]
FITTING: dict[str, list[Any]] = {
    "now": [0.0, 1.0, 5, 1e9],
    "handshake": [
        types.SimpleNamespace(make=lambda world: world.package.ServerHandshake()),
        types.SimpleNamespace(make=lambda world: world.package.Connection(world.package.SERVER)),
    ],
    "data": DATA,
    "payload": BYTES,
    "key": [b"1234", b"\x01\x02\x03\x04", b""],
    "masking_key": [None, b"1234"],
    "role": ROLES,
    "limits": [types.SimpleNamespace(make=lambda world: world.package.Limits())],
    "text": WORDS,
    "message": [*WORDS, *BYTES],
    "start": [0, 1, 4, 10],
    "stop": [0, 4, 10, 1000],
    "turn": [0, 1, 2, 3],
    "masked": [0, 1],
    "most": [0, 1, 2, 256],
    "more": [0, 1, 1000, 1 << 62],
    "size": [0, 1, 5, 100, 70_000],
    "size_hint": [-1, 0, 5, 100_000],
    "first": [0x81, 0x82, 0x01, 0x80],
    "length": [0, 125, 126, 65_536],
    "piece": [0, 1, 3, 5, 7],
    "code": [1000, 3000, 1005, None],
    "reason": ["", "bye", "x" * 200],
    "opcode": [0, 1, 2, 8, 9, 10],
    "rsv": [0, 4],
    "fin": [True, False],
    "final": [True, False],
    "compress": [None, True, False],
    "leniencies": [(), [Named("Leniency.UNMASKED_FRAMES")]],
    "frame": [types.SimpleNamespace(make=lambda world: world.package.Frame(1, b"Hello"))],
    "prepared": [types.SimpleNamespace(make=lambda world: world.package.PreparedMessage("news"))],
    "buffer": [types.SimpleNamespace(make=lambda world: world.package.byte_loops.BytesBuffer())],
    "events": [types.SimpleNamespace(make=lambda world: [])],
    "loop": [types.SimpleNamespace(make=lambda world: Loop())],
    "owner": [types.SimpleNamespace(make=lambda world: Owner(world))],
    "transport": [types.SimpleNamespace(make=lambda world: Transport())],
    "listener": [
        types.SimpleNamespace(make=lambda world: world.package._asyncio_driver.Listener()),
        types.SimpleNamespace(make=lambda world: world.package._asyncio_websocket.Inbox()),
    ],
    "inbox": [types.SimpleNamespace(make=lambda world: opened_inbox(world))],
    "request": [None],
}


class Loop:
    """An event loop in which nothing that is scheduled ever runs."""

    def time(self) -> float:
        return 1.0

    def call_soon(self, callback: object, *arguments: object, context: object = None) -> Loop:
        return self

    call_at = call_later = call_soon

    def cancel(self) -> None:
        pass

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def call_exception_handler(self, context: object) -> None:
        pass


class Transport:
    """A transport that takes everything."""

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 1 << 30

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


class Owner:
    """A server that lets everyone in, and whose connections are open from their first moment."""

    timeouts = None

    def __init__(self, world: World) -> None:
        self.world = world

    def begin(self, driver: Any) -> Any:
        return self.world.package.Connection(self.world.package.SERVER)

    def requested(self, driver: Any, request: Any) -> None:
        pass

    opened = closed = requested

    def gone(self, driver: Any) -> None:
        pass


def opened_inbox(world: World) -> Any:
    """Return an inbox that can send and receive."""
    inbox = world.package._asyncio_websocket.Inbox()
    driver = world.package._asyncio_driver.Driver(Loop(), Owner(world))
    driver.connection_made(Transport())
    driver.opened(inbox, None)
    return inbox


def required_keywords(it: Any) -> list[str]:
    source = pure_of(it)
    if source is None:
        return []
    code, defaults = source.__code__, source.__kwdefaults__ or {}
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    return [name for name in names if name not in defaults]


def pure_of(it: Any) -> Any:
    """Return the function of the sources that has this name, or is what a class begins with, to look at its
    parameters."""
    code = getattr(it, "__init__", it) if isinstance(it, type) else it
    name = getattr(code, "__qualname__", "")
    for module in (*MODULES, *LOOPS):
        found: Any = getattr(SOURCES, module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if hasattr(found, "__code__"):
            return found
    return None


def outcome(world: World, step: Step, number: int) -> str:
    try:
        it = world.do(step)
    except Exception as error:
        # Only Python's own error is asked for its text: one of ours may hold a value of any type, and then has none.
        is_released = type(error) is ValueError and "released memoryview" in str(error)
        return f"error: {type(error).__name__}{RELEASED if is_released else ''}"
    world.made[number] = it
    return f"value: {type(it).__name__.replace('cython_function_or_method', 'function')}"


def may_differ(step: Step, ours: str, theirs: str) -> bool:
    """Return whether the compiled build may come to something else here.

    Where a type of C stands behind an argument or an attribute, another type is an error at once, and so is a released
    memoryview, which is neither true nor false; the sources may go on for a while, or for good. Some attributes cannot
    be written to in C. And a class of C without an ``__init__`` of its own does not count its arguments.
    """
    errors = ("error: TypeError", "error: OverflowError", "error: MemoryError", f"error: ValueError{RELEASED}")
    if ours in errors or theirs == "error: MemoryError":
        return True
    if ours == "error: ValueError" and theirs == "error: NotImplementedError":
        return True  # a released view is asked whether it is true
    return (step.what == "set" and ours == "error: AttributeError") or step.name == "MessageCodec"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--log", type=Path, help="where the seed in hand is written before each run")
    parser.add_argument("--only", action="store_true", help="the first seed alone, each step shown")
    options = parser.parse_args()
    if PURE is rfc6455:
        parser.error("the package is not compiled, and there is nothing to compare")
    limit_memory()
    logging.disable()  # of listeners that failed
    asyncio._set_running_loop(Loop())  # type: ignore[arg-type]
    counts: Counter[str] = Counter()
    end = time.monotonic() + options.seconds
    seed = options.seed
    while time.monotonic() < end:
        if options.log is not None:
            options.log.write_text(str(seed))
        run = Run(seed, counts, options.only)
        difference = run.do_all()
        if difference:
            print(f"seed {seed}, step {len(run.history)}: {difference}")
            return 1
        counts["runs"] += 1
        seed += 1
        if options.only:
            break
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return 0


def limit_memory() -> None:
    """Limit the memory, so that a call that asks for too much gets an error, and the machine does not grind to a
    halt."""
    try:
        import resource
    except ImportError:
        return
    if "ASAN_OPTIONS" in os.environ:  # it reserves terabytes, and has a limit of its own
        return
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


if __name__ == "__main__":
    assert TWIN
    sys.exit(main())
