"""Several servers, one chat: every line goes through a stream in Redis, and comes back from it to all servers.

The law: a line is delivered when it comes out of the stream, so all servers have the same order and the same history.
When Redis is gone, or does not answer, a server goes on alone: it delivers its own clients' lines immediately. When
Redis is back, the server publishes those of its lines that are not in the stream.

Publishing is not exact: when a connection breaks, nobody knows whether the last lines arrived, and a Redis that
crashed may have lost some that did. So each server numbers its entries, and publishes those again that may be missing,
always in order. Every reader skips the entries that it has already had, and waits for missing ones (`order.py`). As a
result, each line is delivered once, and in its sender's order.

There are three threads, since two of them wait for Redis: the clerk numbers the entries, and delivers those that wait
for too long; the writer passes them to Redis; the reader takes them out of the stream.
"""

from __future__ import annotations

import math
import queue
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hub import Member

from service import stream, threads
from service.bridge import Bridge
from service.log import failure, log
from service.order import Order
from service.stream import HELLO, Raw, Said, Stream
from service.troubles import Trouble

# The seconds between attempts to reach Redis. If Redis is there but refuses writes, reading the whole stream again and
# again would be pointless, so the pause grows to the second number.
RETRY_PAUSE = 0.25
REFUSED_PAUSE = 4.0

# The seconds between checks that Redis has not lost anything.
LOOK_PAUSE = 1.0

# The seconds to wait for the last lines when the server stops.
STOP_TIMEOUT = 0.25

# When Redis has given no sign of life for this number of seconds, lines do not wait for it. The reader asks ten times
# a second, and on a busy machine, the answer may be a little late.
HANGING = 0.4

# The maximum number of entries that are passed to Redis at once.
WRITE_COUNT = 500

# The number of signs of life that a server gives in the time after which it counts as dead.
SIGNS = 3

# What is published: the room, the sender, the lines, and whether they are only for other servers.
_Published = tuple[str, "Member | None", Sequence[str], bool]


@dataclass(eq=False)
class Entry:
    """An entry that this server has published or will publish. It is not delivered to ``sender``, as in any room."""

    number: int
    path: str
    said: Sequence[str]
    sender: Member | None
    is_delivered: bool = False  # true as well if it is not meant for our own rooms
    was_in_stream: bool = False

    @property
    def size(self) -> int:
        return sum(map(len, self.said)) + stream.ENTRY_COST


class RedisBus:
    """The threads around the stream.

    :param bridge: to the rooms of this server.
    :param patience: the time in seconds after which another server counts as dead if it gives no sign of life; 0 for
        ever.
    """

    def __init__(self, entries: Stream, bridge: Bridge, patience: float, trouble: Trouble) -> None:
        self._bridge = bridge
        self._patience = patience
        self._stream = entries
        self._trouble = trouble
        self._server = uuid.uuid4().hex
        self._queue: queue.SimpleQueue[_Published | None] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._tried = threading.Event()
        self._refusal: Exception | None = None
        # The time of the last sign of life from Redis, in any thread.
        self._heard = 0.0
        # Only used by the reader.
        self._connected_at = self._last_sign = self._looked_at = 0.0
        self._pause = RETRY_PAUSE
        self._is_first_reading = True
        self._order = Order()  # the entries of the other servers
        # The lock guards everything below. It is held during a delivery, which determines the order, but never while
        # waiting for Redis.
        self._lock = threading.Lock()
        self._is_connected: bool | None = None  # not known yet
        self._own: OrderedDict[int, Entry] = OrderedDict()
        self._own_bytes = 0
        self._last_number = 0
        self._added = 0  # the last number that the reader has passed to Redis
        self._waiting: deque[Entry] = deque()  # the entries that have not been delivered
        self._threads: list[threading.Thread] = []

    @property
    def is_connected(self) -> bool:
        return self._is_connected is True

    def start(self) -> None:
        """Start, and wait until the history has been read or Redis is known to be gone.

        :raises ValueError: if Redis refuses, and will do so until somebody corrects the settings.
        """
        self._threads = [
            threads.start("bus clerk", self._keep_books),
            threads.start("bus writer", self._write),
            threads.start("bus reader", self._read),
        ]
        self._tried.wait(2 * stream.TIMEOUT)
        if self._refusal is not None:
            refusal = self._refusal
            self.stop()
            raise ValueError(f"Redis refuses: {refusal}") from None

    def publish(self, path: str, sender: Member | None, said: Sequence[str]) -> None:
        """Take lines for a room on all servers. This never waits, and may be called from any thread, with any lock."""
        self._queue.put((path, sender, said, False))

    def publish_names(self, path: str, here: str) -> None:
        """Take the line that tells the other servers who is in the room on this one."""
        self._queue.put((path, None, [here], True))

    def stop(self) -> None:
        """Write the remaining entries, if Redis takes them in time, and end the threads."""
        self._queue.put(None)
        clerk, writer, reader = self._threads
        clerk.join(STOP_TIMEOUT)
        writer.join(STOP_TIMEOUT)
        self._stopped.set()
        reader.join(STOP_TIMEOUT)
        if not reader.is_alive():
            self._stream.close()

    # The clerk.

    def _keep_books(self) -> None:
        while True:
            published = self._queued()
            try:
                self._book(each for each in published if each is not None)
            except Exception as error:
                failure(error, lost=len(published))
            if None in published:
                self._outgoing.put(None)
                return

    def _queued(self) -> list[_Published | None]:
        """Wait for something to publish, but only briefly while entries wait to come back from Redis."""
        try:
            published = [self._queue.get(timeout=HANGING / 2 if self._waiting else None)]
        except queue.Empty:
            return []
        while not self._queue.empty() and len(published) < WRITE_COUNT:
            published.append(self._queue.get())
        return published

    def _book(self, published: Iterable[_Published]) -> None:
        """Number the new entries and pass them on. If there is no point in waiting for Redis, deliver those that
        wait."""
        with self._lock:
            for path, sender, said, is_for_others in published:
                for group in stream.in_entries(said):
                    self._outgoing.put(self._remember(path, sender, group, is_for_others))
            if not self.is_connected or time.monotonic() > self._heard + HANGING:
                self._deliver_waiting()

    def _remember(self, path: str, sender: Member | None, said: Sequence[str], is_for_others: bool) -> Entry:
        self._last_number += 1
        entry = self._own[self._last_number] = Entry(self._last_number, path, said, sender, is_for_others)
        if not is_for_others:
            self._waiting.append(entry)
        self._own_bytes += entry.size
        while self._own_bytes > stream.REMEMBERED_BYTES and self._own[next(iter(self._own))].is_delivered:
            self._own_bytes -= self._own.popitem(last=False)[1].size
        return entry

    # The writer.

    def _write(self) -> None:
        while True:
            entries = self._to_write()
            try:
                self._hand_over([entry for entry in entries if entry is not None])
            except Exception as error:  # usually Redis is gone, but no error may end this thread
                self._go_alone(error)
            if None in entries:
                return

    def _to_write(self) -> list[Entry | None]:
        entries = [self._outgoing.get()]
        while not self._outgoing.empty() and len(entries) < WRITE_COUNT:
            entries.append(self._outgoing.get())
        return entries

    def _hand_over(self, entries: Iterable[Entry]) -> None:
        """Write the entries. When Redis is gone, they are remembered, and the reader writes the missing ones."""
        with self._lock:
            if not self.is_connected:
                return
            added = self._added
        self._add(entry for entry in entries if entry.number > added)

    def _add(self, entries: Iterable[Entry]) -> None:
        self._stream.add(stream.to_entry(self._server, entry.number, entry.path, entry.said) for entry in entries)
        self._heard = time.monotonic()

    # The reader.

    def _read(self) -> None:
        """Catch up with the stream and follow it. Start again after Redis was gone."""
        while not self._stopped.is_set():
            try:
                self._stream.sign(self._server, self._patience)  # before much is read, as Redis may refuse writes
                last = self._catch_up()
                while self.is_connected and not self._stopped.is_set():
                    last = self._follow(last)
                    self._take_others(self._order.overdue(time.monotonic()))
                    self._keep_signs_of_life(time.monotonic())
                    self._look_for_loss(last, time.monotonic())
            except Exception as error:  # as above
                is_refusal = stream.is_refusal(error)
                self._go_alone(error)
                self._pause = min(2 * self._pause, REFUSED_PAUSE) if is_refusal else RETRY_PAUSE
            self._tried.set()
            self._stopped.wait(self._pause)

    def _follow(self, last: str) -> str:
        """Wait for entries after the id ``last``, take them, and return the id of the last one taken."""
        for raw in self._stream.read(last, wait=True):
            self._heard = time.monotonic()
            self._take(raw)
            last = raw[0]
        self._heard = time.monotonic()
        return last

    def _catch_up(self) -> str:
        """Read the whole stream, and publish those of our own lines that are missing from it.

        Entries that were read before are recognised by their number and skipped, so this is right whatever happened to
        Redis or to its data.
        """
        present: set[int] = set()
        rooms: set[str] = set()
        last, length = stream.NOTHING, 0
        self._stream.rewind()
        while answer := self._stream.read(last):
            for raw in answer:
                said = self._take(raw)
                if said is not None:
                    rooms.update([said.room] if said.room != HELLO else [])
                    present.update([said.number] if said.server == self._server else [])
            last = answer[-1][0]
            length += len(answer)
        published = self._publish_missing(present)
        if self._is_first_reading:
            self._take_others(self._order.overdue(math.inf))
            self._is_first_reading = False
            self._bridge.greet_again(rooms)  # somebody may have joined while Redis was gone
        self._tried.set()
        self._bridge.publish_names()
        log("bus", state="connected", entries=length, published=published)
        return last

    def _publish_missing(self, present: set[int]) -> int:
        """Write our entries that are not in the stream, until the writer can be trusted with the rest. Return their
        number."""
        # A full stream has dropped its oldest entries. If it is not full, missing entries have been lost.
        is_full = self._stream.is_full
        with self._lock:
            self._remember(HELLO, None, [], True)
            missing = [
                entry for number, entry in self._own.items()
                if number not in present and not (entry.was_in_stream and is_full)
            ]  # fmt: skip
        count = 0
        while missing:
            self._add(missing)
            count += len(missing)
            with self._lock:
                self._added = missing[-1].number
                missing = [entry for number, entry in self._own.items() if number > self._added]
                self._note_connected(not missing)
        return count

    def _note_connected(self, is_connected: bool) -> None:
        """Begin to wait for Redis again. This happens in the same step in which nothing was left to write; otherwise,
        a line could come in between."""
        if is_connected:
            self._is_connected = True
            self._last_sign = 0.0
            self._connected_at = time.monotonic()
            self._pause = RETRY_PAUSE
            self._trouble.end()

    def _take(self, raw: Raw) -> Said | None:
        """Deliver an entry from the stream, unless it was delivered before, and return its contents.

        Anybody may write to the stream. An invalid entry is skipped, but not those after it.
        """
        try:
            said = self._stream.said(raw)
            if said.server == self._server:
                self._take_own(said.number)
            else:
                said = replace(said, lines=stream.lines_in(said.json))
                self._take_others(self._order.put(said, time.monotonic(), self._is_first_reading))
            return said
        except Exception as error:
            failure(error, entry=raw[0])
        return None

    def _take_others(self, entries: Iterable[Said]) -> None:
        for entry in entries:
            with self._lock:
                self._take_other(entry)

    def _take_other(self, entry: Said) -> None:
        try:
            if entry.room == HELLO:
                self._bridge.publish_names()
            elif self._is_first_reading:  # history: this was said before the server was started
                self._bridge.remember(entry.room, entry.lines, stream.time_of(entry.name))
            else:
                self._bridge.deliver_from(entry.server, entry.room, entry.lines)
        except Exception as error:
            failure(error, entry=entry.name)

    def _take_own(self, number: int) -> None:
        """Deliver our own entry, but first those before it that Redis has lost after they were written."""
        with self._lock:
            entry = self._own.get(number)
            if entry is not None:
                entry.was_in_stream = True
                while self._waiting and self._waiting[0].number <= number:
                    self._deliver(self._waiting.popleft())

    def _keep_signs_of_life(self, now: float) -> None:
        """Report that this server is alive, and check which others are, as a server that was killed cannot report that
        its members have left."""
        if not self._patience or now < self._last_sign + self._patience / SIGNS:
            return
        self._last_sign = now
        self._stream.sign(self._server, self._patience)
        if now < self._connected_at + self._patience:
            return  # Redis has just come back, and not all servers have reported yet
        for server in self._bridge.servers_elsewhere():
            if not self._stream.is_alive(server):
                self._bridge.forget_server(server)

    def _look_for_loss(self, last: str, now: float) -> None:
        """Check that the stream is still the one that was read. Somebody may have emptied it, or Redis itself for lack
        of memory.

        :raises LookupError: if it is not.
        """
        if now >= self._looked_at + LOOK_PAUSE:
            self._looked_at = now
            if self._stream.has_lost(last):
                raise LookupError("the stream has lost entries")

    # Without Redis.

    def _go_alone(self, error: Exception) -> None:
        """Deliver the entries that wait to come back from Redis, in order. From now on, the clerk delivers
        immediately."""
        with self._lock:
            if not self._stopped.is_set():
                self._note_alone(error)
            self._is_connected = False
            self._deliver_waiting()

    def _note_alone(self, error: Exception) -> None:
        if self._is_connected is None and stream.is_for_good(error):
            self._refusal = error
            return
        if self._is_connected is not False:
            log("bus", state="alone", error=error)
        self._trouble.begin(error)

    def _deliver_waiting(self) -> None:
        while self._waiting:
            self._deliver(self._waiting.popleft())

    def _deliver(self, entry: Entry) -> None:
        if not entry.is_delivered:
            entry.is_delivered = True
            try:
                self._bridge.deliver(entry.path, entry.sender, entry.said)
            except Exception as error:
                failure(error, room=entry.path, lost=len(entry.said))
            entry.sender = None  # without this, members who have left would be kept in memory
