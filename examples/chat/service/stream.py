"""The stream in Redis: entries go in and come out. No other module knows anything about Redis.

The law: anybody may have written the entries. They are checked here like the messages of a client, and their size is
limited, as is that of the whole stream. A refusal by Redis lasts either until somebody corrects the settings
(`is_for_good`), or for a while.
"""

from __future__ import annotations

import json
import math
import re
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from lines import clean, is_said_by_server, size, without_star
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.pages import is_room

# The maximum number of entries in the stream, and of bytes. An entry has the lines of one read from a client.
STREAM_LENGTH = 10_000
STREAM_BYTES = 64 << 20

# When it has more bytes, it is cut to this share of the maximum, so that this happens rarely.
CUT_SHARE = 15 / 16

# Roughly the number of bytes that an entry takes in Redis besides the text of its fields.
ENTRY_COST = 200

# The number of bytes of its own entries that a server remembers, in case Redis loses them. It can write no more than
# this again, so others keep no more while they wait for it.
REMEMBERED_BYTES = 8 << 20

# The maximum length of a server name, as each one is remembered. Ours have 32 letters.
LONGEST_NAME = 100

# The maximum number of bytes of lines in one entry, unless a single line is longer.
ENTRY_BYTES = 64 << 10

# The seconds that Redis has to answer.
TIMEOUT = 3.0

# The time in ms for which a read of the stream waits for an entry, and the maximum number of entries that it returns.
READ_WAIT = 100
READ_COUNT = 100

# The id before all entries.
NOTHING = "0-0"

# The path of the entry with which a server greets the others, which then report their members. No room has this path.
HELLO = ""

# A list of strings has no brackets between them. JSON that is nested deeper than a thread's stack allows would crash
# some Pythons, so this is checked before the JSON is parsed.
_IS_LIST_OF_STRINGS = re.compile(r'\s*\[(?:[\s,]*"[^"\\]*(?:\\.[^"\\]*)*")*\s*\]\s*').fullmatch

# Errors that only mean that the connection was lost.
_CONNECTION_BROKE = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)

# Messages of Redis if the settings are wrong. Its client has classes for the other errors.
_WRONG_SETTINGS = re.compile(r"DB index|Invalid Database|WRONGTYPE|unknown command|NOAUTH|WRONGPASS|NOPERM")

# The options of a URL that name files.
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

# An entry as redis-py gives it: its id, and its fields.
Raw = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Said:
    """An entry that this server or another one wrote.

    ``name`` is the id that Redis gave it; ``lines`` are those in ``json``, if another server wrote it.
    """

    name: str
    server: str
    number: int
    room: str
    json: str
    lines: Sequence[str] = ()


class Stream:
    """The stream, for one server. Only `add` and `sign` may be called from threads other than the one that reads.

    :param url: ``redis://host:port/database``, or ``rediss://`` for TLS.
    :param password: the password to use instead of the one in the URL.
    :param name: the name of the stream, which is the same for all servers of a chat.
    :param longest: the maximum size of a client's message in bytes; 0 for no limit.
    :raises ValueError: if it is not a URL for Redis. The error does not show the URL, which may contain a password.
    """

    def __init__(self, url: str, password: str | None = None, name: str = "rfc6455-chat", longest: int = 0) -> None:
        self.name = name
        # JSON may need two bytes for one. A longer entry does not come from one of our servers.
        self._most = 2 * max(longest, ENTRY_BYTES) + ENTRY_COST if longest else math.inf
        self._redis = _connected(url, password)
        self._sizes: deque[tuple[str, int]] = deque()
        self._bytes = 0

    def add(self, entries: Iterable[dict[Any, Any]]) -> None:
        """Add all entries or none. If one were refused (for lack of memory or disk space) and the next one accepted,
        others would see a number that is too high, and skip the missing one for good.
        """
        pipeline = self._redis.pipeline(transaction=True)
        for entry in entries:
            pipeline.xadd(self.name, entry, maxlen=STREAM_LENGTH)
        if not len(pipeline):
            return
        try:
            pipeline.execute()
        except redis.ResponseError as error:
            # redis-py quotes the command, and with it what somebody said; but `/health` is open to all.
            raise type(error)(str(error).rpartition(" caused error: ")[2]) from None

    def rewind(self) -> None:
        """Begin the next reading at the beginning of the stream."""
        self._sizes.clear()
        self._bytes = 0

    def read(self, last: str, wait: bool = False) -> list[Raw]:
        """Return the entries after the id ``last``, and cut the stream if it has too many bytes."""
        answer: Any = self._redis.xread({self.name: last}, count=READ_COUNT, block=READ_WAIT if wait else None)
        entries: list[Raw] = answer[0][1] if answer else []
        for name, fields in entries:
            cost = ENTRY_COST + sum(size_of(key) + size_of(value) for key, value in fields.items())
            self._sizes.append((name, cost))
            self._bytes += cost
        self._cut()
        return entries

    def has_lost(self, last: str) -> bool:
        """Return whether the stream has lost entries, because somebody emptied it, or Redis did for lack of memory.

        If so, it ends before ``last``, which was in it, or, if there are new entries, it begins later than before,
        although it is not long enough to be cut. The ids of new entries come from Redis's clock: if that is behind,
        `read` skips them.
        """
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xrange(self.name, count=1)
        pipeline.xrevrange(self.name, count=1)
        pipeline.xlen(self.name)
        oldest, newest, length = pipeline.execute()
        if not newest or _order(newest[0][0]) < _order(last):
            return last != NOTHING
        is_shorter = bool(self._sizes) and _order(oldest[0][0]) > _order(self._sizes[0][0])
        return is_shorter and length < STREAM_LENGTH

    @property
    def is_full(self) -> bool:
        """Whether the stream has dropped its oldest entries. If it is not full, missing entries have been lost."""
        return len(self._sizes) >= STREAM_LENGTH or self._bytes >= STREAM_BYTES * CUT_SHARE**2

    def said(self, raw: Raw) -> Said:
        """Return the contents of an entry.

        :raises ValueError: if none of our servers would write such an entry.
        :raises KeyError: if a field is missing.
        """
        name, fields = raw
        json, server = fields["said"], fields["server"]
        if size_of(json) > self._most:
            raise ValueError(f"the entry has more than {self._most} bytes")
        if len(server) > LONGEST_NAME:
            raise ValueError(f"the server's name has more than {LONGEST_NAME} letters")
        number = int(fields["number"])
        if number < 1:
            raise ValueError("entries are numbered from 1")
        return Said(name, server, number, room_in(fields["room"]), json)

    def sign(self, server: str, seconds: float) -> None:
        """Report that the server is alive for this number of seconds; 0 only checks whether Redis accepts writes."""
        self._redis.set(f"{self.name}:{server}", "alive", px=math.ceil(1000 * (seconds or TIMEOUT)))

    def is_alive(self, server: str) -> bool:
        return bool(self._redis.exists(f"{self.name}:{server}"))

    def close(self) -> None:
        self._redis.close()

    def _cut(self) -> None:
        while len(self._sizes) > STREAM_LENGTH:
            self._bytes -= self._sizes.popleft()[1]  # Redis has dropped this entry
        if self._bytes <= STREAM_BYTES:
            return
        while self._bytes > STREAM_BYTES * CUT_SHARE and len(self._sizes) > 1:
            self._bytes -= self._sizes.popleft()[1]
        self._redis.xtrim(self.name, minid=self._sizes[0][0], approximate=False)


def time_of(name: str) -> float:
    """Return the time at which the entry with this id was added, by Redis's clock, in seconds since 1970."""
    return _order(name)[0] / 1000


def _order(name: str) -> tuple[int, int]:
    milliseconds, _, count = name.partition("-")
    return int(milliseconds), int(count)


def is_refusal(error: Exception) -> bool:
    """Return whether Redis was reachable, but refused."""
    return isinstance(error, redis.ResponseError) or is_for_good(error)


def is_for_good(error: BaseException | None) -> bool:
    """Return whether Redis refuses until somebody corrects the settings: a password, a right, a database, a
    certificate."""
    while error is not None:
        if isinstance(error, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
            return True
        if isinstance(error, ssl.SSLError) and not isinstance(error, _CONNECTION_BROKE):
            return True
        if isinstance(error, redis.RedisError) and _WRONG_SETTINGS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def to_entry(server: str, number: int, room: str, said: Sequence[str]) -> dict[Any, Any]:
    """Return the fields of an entry."""
    text = json.dumps(list(said), ensure_ascii=False, separators=(",", ":"))
    return {"server": server, "number": str(number), "room": room, "said": text}


def in_entries(said: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return the lines in groups that fit into an entry each."""
    group: list[str] = []
    taken = 0
    for line in said:
        if group and taken + size(line) > ENTRY_BYTES:
            yield group
            group, taken = [], 0
        group.append(line)
        taken += size(line)
    if group or not said:
        yield group


def room_in(name: str) -> str:
    """Return the room of an entry.

    :raises ValueError: if no client could be in such a room; `UnicodeEncodeError` if the name is not UTF-8.
    """
    if name != HELLO and not is_room(name):
        raise ValueError("there is no such room")
    return name


def lines_in(text: str) -> list[str]:
    """Return the lines of an entry, cleaned like those of clients.

    :raises Exception: of many kinds, if they are not texts that can be sent.
    """
    if not _IS_LIST_OF_STRINGS(text):
        raise ValueError("this is not a list of lines")
    texts = json.loads(text)
    "".join(texts).encode()
    return from_elsewhere(texts)


def size_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))


def _connected(url: str, password: str | None) -> redis.Redis:
    mistake = ValueError("this is not a URL for Redis, such as redis://localhost:6379/0")
    try:
        if not _is_url(url):
            raise mistake
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            encoding_errors="surrogateescape",  # otherwise, an entry that is not UTF-8 would fail each read
            protocol=2,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # which complains of options that there are not
    except Exception:
        raise mistake from None
    for option in _FILES:
        _check_file(option, pool.connection_kwargs.get(option))
    if password is not None:
        pool.connection_kwargs["password"] = password
    return client


def _check_file(option: str, path: str | None) -> None:
    """Check that a file for TLS is there. Redis's client reads it for each connection, and would go on trying."""
    if path is None:
        return
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise ValueError(f"{option} in the URL names a file that cannot be read: {error}") from None


def _is_url(url: str) -> bool:
    """Return whether this is a URL for Redis. In one whose password has a ``/``, ``?`` or ``#``, part of the password
    would pass for a host, which errors name, and the client ignores what it cannot read.
    """
    parts = urlsplit(url)
    if "@" in parts.path + parts.query or parts.fragment:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    return parts.scheme in ("redis", "rediss") and re.fullmatch(r"/?|/[0-9]+", parts.path) is not None


def from_elsewhere(texts: Iterable[str]) -> list[str]:
    """Return the texts as lines, whoever wrote them. A server's own lines are kept, for `names_after`."""
    cleaned = map(clean, texts)
    return list(filter(None, (line if is_said_by_server(line) else without_star(line) for line in cleaned)))
