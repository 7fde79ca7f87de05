"""Several servers, one chat: every line goes through a stream in Redis, and comes back from it to all servers.

The law: a line is delivered when it comes out of the stream, so all servers have one order and one history. When
Redis is gone, a server goes on alone: it delivers what its own clients say at once. When Redis is back, whatever of
its own lines is not in the stream is published then.

Publishing is not exact: when a connection breaks, nobody knows whether the last lines came in; and a Redis that
crashed may have forgotten some that did. So each server numbers what it publishes, publishes again what may be
missing, always in order, and every reader skips what it has had. That makes it once, and in each sender's order.
"""

from __future__ import annotations

import json
import math
import queue
import re
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from hub import Hub, Member
from lines import from_elsewhere
from redis.backoff import NoBackoff
from redis.retry import Retry

from service import threads
from service.log import failure, log
from service.pages import is_room

# The stream's name, and how many entries it keeps; an entry is what one read from a client brought.
STREAM = "rfc6455-chat"
STREAM_LENGTH = 10_000

# How much of what this server published it remembers, in bytes, in case Redis forgets it.
REMEMBERED_BYTES = 8 << 20

# Seconds: for Redis to answer, between attempts to reach it, and for the last lines when the server stops.
TIMEOUT = 3.0
RETRY_PAUSE = 0.25
STOP_TIMEOUT = 0.25

# How long one read of the stream waits, in ms, before it looks whether the server stops; how many entries it takes.
READ_WAIT = 200
READ_COUNT = 500

# What is published: for which room, by whom, what, and whether it is for other servers only.
_Published = tuple[str, "Member | None", Sequence[str], bool]

# The path of the entry with which a server greets the others; each answers with who is there. No room has it.
HELLO = ""

# How many signs of life a server gives in the time after which it counts as dead.
SIGNS = 3

# A list of strings has no brackets between them. What nests deeper than a thread's stack would crash some Pythons, so
# this is looked at before the JSON is parsed.
_IS_LIST_OF_STRINGS = re.compile(r'\s*\[(?:[\s,]*"[^"\\]*(?:\\.[^"\\]*)*")*\s*\]\s*').fullmatch

# An entry of the stream as redis-py gives it: its id, and its fields.
_Raw = tuple[str, dict[str, str]]


@dataclass(eq=False)
class Entry:
    """What this server published, or will. ``sender`` is not told, as in any room."""

    number: int
    path: str
    said: Sequence[str]
    sender: Member | None
    is_delivered: bool = False  # to our own rooms, or not meant for them
    was_in_stream: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.said)) + 200

    def fields(self, server: str) -> dict[Any, Any]:
        said = json.dumps(list(self.said), ensure_ascii=False, separators=(",", ":"))
        return {"server": server, "number": str(self.number), "room": self.path, "said": said}


class RedisBus:
    """The stream, and the two threads that write and read it.

    :param url: ``redis://host:port``.
    :param hub: the rooms of this server.
    :param patience: how many seconds another server may give no sign of life before it counts as dead; 0 for ever.
    :raises ValueError: when it is no URL for Redis.
    """

    def __init__(self, url: str, hub: Hub, patience: float) -> None:
        self._hub = hub
        self._patience = patience
        self._redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            encoding_errors="surrogateescape",  # or one entry that is not UTF-8 would fail each read of it
            protocol=2,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        # When this server began: by its own clock, and in ms by that of Redis, which makes the ids of the entries.
        self._began = time.monotonic()
        self._began_at_redis: float | None = None
        self._server = uuid.uuid4().hex
        self._queue: queue.SimpleQueue[_Published | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._tried = threading.Event()
        # The reader's own.
        self._connected_at = self._last_sign = 0.0
        # All below is guarded by the lock. It is held while something is delivered, and makes the order of that.
        self._lock = threading.Lock()
        self._is_connected: bool | None = None  # not known yet
        self._own: OrderedDict[int, Entry] = OrderedDict()
        self._own_bytes = 0
        self._last_number = 0
        # The last number that was had from each other server.
        self._seen: dict[str, int] = {}
        self._threads: list[threading.Thread] = []

    @property
    def is_connected(self) -> bool:
        return self._is_connected is True

    def start(self) -> None:
        """Starts, and waits until the history is there or Redis is known to be gone."""
        self._threads = [threads.start("bus writer", self._write), threads.start("bus reader", self._read)]
        self._tried.wait(2 * TIMEOUT)

    def publish(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Takes lines for a room of all servers. Never waits; may be called from any thread, with any lock."""
        self._queue.put((path, sender, said, False))

    def publish_names(self, path: str, here: str) -> None:
        """Takes what the other servers should know of who is in the room on this one."""
        self._queue.put((path, None, [here], True))

    def stop(self) -> None:
        """Writes what is still to be written, if Redis takes it in time, and ends the threads."""
        self._queue.put(None)
        writer, reader = self._threads
        writer.join(STOP_TIMEOUT)
        self._stopped.set()
        reader.join(STOP_TIMEOUT)
        if not reader.is_alive():
            self._redis.close()

    # Writing.

    def _write(self) -> None:
        """The writer's thread: numbers what is published, and hands it to Redis; alone, to our own rooms."""
        while True:
            published = self._queued()
            try:
                self._write_all(each for each in published if each is not None)
            except Exception as error:
                failure(error, lost=len(published))
            if None in published:
                return

    def _write_all(self, published: Iterable[_Published]) -> None:
        with self._lock:
            entries = [self._remember(*each) for each in published]
            is_connected = self.is_connected
            if not is_connected:
                self._deliver_all(entries)
        if is_connected:
            self._try_to_add(entries)

    def _queued(self) -> list[_Published | None]:
        """Waits for something to be published; gives all of it that there is."""
        published = [self._queue.get()]
        while not self._queue.empty() and len(published) < READ_COUNT:
            published.append(self._queue.get())
        return published

    def _remember(self, path: str, sender: Member | None, said: Sequence[str], is_for_others: bool) -> Entry:
        self._last_number += 1
        entry = self._own[self._last_number] = Entry(self._last_number, path, said, sender, is_for_others)
        self._own_bytes += entry.size
        while self._own_bytes > REMEMBERED_BYTES and self._own[next(iter(self._own))].is_delivered:
            self._own_bytes -= self._own.popitem(last=False)[1].size
        return entry

    def _try_to_add(self, entries: Iterable[Entry]) -> None:
        try:
            self._add(entries)
        except Exception as error:  # most often Redis is gone; whatever it is, nothing may end this thread
            self._go_alone(error)

    def _add(self, entries: Iterable[Entry]) -> None:
        # All or none: if one were refused (memory, a disk) and the next taken, others would see a number that is too
        # high, and skip the missing one for good.
        pipeline = self._redis.pipeline(transaction=True)
        for entry in entries:
            pipeline.xadd(STREAM, entry.fields(self._server), maxlen=STREAM_LENGTH)
        pipeline.execute()

    # Reading.

    def _read(self) -> None:
        """The reader's thread: catches up with the stream, follows it, and begins anew when Redis has been gone."""
        while not self._stopped.is_set():
            try:
                self._compare_clocks()
                last = self._catch_up()
                self._last_sign = 0.0
                self._connected_at = time.monotonic()
                while self.is_connected and not self._stopped.is_set():
                    last = self._follow(last)
                    self._keep_signs_of_life(time.monotonic())
            except Exception as error:  # as above
                self._go_alone(error)
            self._tried.set()
            self._stopped.wait(RETRY_PAUSE)

    def _compare_clocks(self) -> None:
        """Once, and before the first entry is taken: two machines seldom have the same time."""
        if self._began_at_redis is None:
            seconds, microseconds = self._redis.time()
            age = time.monotonic() - self._began
            self._began_at_redis = (seconds + microseconds / 1e6 - age) * 1000

    def _is_from_before(self, name: str) -> bool:
        """Whether the entry of this id came into the stream before this server began."""
        return self._began_at_redis is not None and int(name.partition("-")[0]) < self._began_at_redis

    def _follow(self, last: str) -> str:
        """Takes the entries after the id ``last``, waiting for one; gives the id of the last one taken."""
        answer = self._redis.xread({STREAM: last}, count=READ_COUNT, block=READ_WAIT)
        for raw in _entries(answer):
            self._take(raw)
            last = raw[0]
        return last

    def _catch_up(self) -> str:
        """Reads the whole stream, publishes what is missing in it of our own, and goes on with it from there.

        What was read before is skipped by its number, so this is right whatever happened to Redis or to its data.
        """
        present: set[int] = set()
        last, length = "0-0", 0
        while answer := _entries(self._redis.xread({STREAM: last}, count=READ_COUNT)):
            present.update(filter(None, map(self._take, answer)))
            last = answer[-1][0]
            length += len(answer)
        with self._lock:
            # A full stream has let go of its oldest entries. One that is not full has lost those that were in it.
            is_full = length >= STREAM_LENGTH
            missing = [
                entry for number, entry in self._own.items()
                if number not in present and not (entry.was_in_stream and is_full)
            ]  # fmt: skip
            self._add(missing)
            self._is_connected = True
        self._tried.set()
        self._queue.put((HELLO, None, [], True))
        self._hub.publish_names()
        log("bus", state="connected", entries=length, published=len(missing))
        return last

    def _take(self, raw: _Raw) -> int | None:
        """Delivers what came out of the stream, unless it was delivered before; gives the number of one of our own.

        Anybody may write to the stream. An entry with which something is wrong is skipped: those after it are not.
        """
        name, fields = raw
        try:
            number = _number(fields["number"])
            if fields["server"] == self._server:
                self._take_own(number)
                return number
            self._take_other(name, fields["server"], number, _room(fields["room"]), _lines(fields["said"]))
        except Exception as error:
            failure(error, entry=name)
        return None

    def _take_other(self, name: str, server: str, number: int, path: str, said: list[str]) -> None:
        with self._lock:
            if number > self._seen.get(server, 0):
                self._seen[server] = number
                if self._is_from_before(name):
                    self._hub.remember(path, said)  # history: nobody here has waited for it
                elif path == HELLO:
                    self._hub.publish_names()
                else:
                    self._hub.deliver_from(server, path, said)

    def _take_own(self, number: int) -> None:
        with self._lock:
            entry = self._own.get(number)
            if entry is not None:
                entry.was_in_stream = True
                self._deliver_all([entry])

    def _keep_signs_of_life(self, now: float) -> None:
        """Says that this server lives, and looks which others do: one that was killed cannot say who has left."""
        if not self._patience or now < self._last_sign + self._patience / SIGNS:
            return
        self._last_sign = now
        self._redis.set(f"{STREAM}:{self._server}", "alive", px=math.ceil(1000 * self._patience))
        if now < self._connected_at + self._patience:
            return  # a Redis that has just come back has not heard of all yet
        for server in self._hub.servers_elsewhere():
            if not self._redis.exists(f"{STREAM}:{server}"):
                self._hub.forget_server(server)

    def _go_alone(self, error: Exception) -> None:
        """Delivers what waits to come back from Redis, in its order; from now on the writer delivers at once."""
        with self._lock:
            if self._is_connected is not False and not self._stopped.is_set():
                log("bus", state="alone", error=error)
            self._is_connected = False
            self._deliver_all(self._own.values())

    def _deliver_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if not entry.is_delivered:
                entry.is_delivered = True
                try:
                    self._hub.deliver(entry.path, entry.sender, entry.said)
                except Exception as error:
                    failure(error, room=entry.path, lost=len(entry.said))
                entry.sender = None  # who has left need not be remembered


def _number(text: str) -> int:
    """The number of an entry.

    :raises ValueError: when it is not one that a server gives.
    """
    number = int(text)
    if number < 1:
        raise ValueError("entries are numbered from 1")
    return number


def _room(name: str) -> str:
    """The room of an entry.

    :raises ValueError: when no client could be in it; for what is not UTF-8, `UnicodeEncodeError`.
    """
    if name != HELLO and not is_room(name):
        raise ValueError("there is no such room")
    return name


def _lines(said: str) -> list[str]:
    """The lines of an entry, cleaned as those of clients are.

    :raises Exception: of many kinds, when they are no texts that can be sent.
    """
    if not _IS_LIST_OF_STRINGS(said):
        raise ValueError("these are no lines")
    texts = json.loads(said)
    "".join(texts).encode()
    return from_elsewhere(texts)


def _entries(answer: Any) -> list[_Raw]:
    """What XREAD of one stream gave: nothing, or a list with the stream's name and its entries."""
    return answer[0][1] if answer else []
