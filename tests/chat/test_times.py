"""When the lines of a history were said, as a new member is told: from memory, from a file, and from Redis."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from chat_server import ChatServer
from redis_server import Redis


def greeting(server: ChatServer) -> list[str]:
    """Return what a new member is sent: the history."""
    with server.client() as client:
        return client.greeting


def minutes() -> str:
    """A pattern for this minute and the next, if that has begun until it is used."""
    now = time.time()
    return "|".join(time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(now + more)) for more in (0, 60, 120))


def check(server: ChatServer, said: str, pattern: str) -> str:
    first, at, line = greeting(server)
    assert (first, line) == ("* history 1", said)
    assert re.fullmatch(rf"\* at ({pattern})", at)
    return at


def test_from_memory_and_from_a_file(tmp_path: Path) -> None:
    with ChatServer("--history", str(tmp_path / "history.db")) as server:
        pattern = minutes()
        with server.client("Ann") as ann, server.client() as bob:
            ann.say("hello")
            assert bob.said(1) == ["Ann: hello"]
        told = check(server, "Ann: hello", pattern)
        server.kill()
        server.start()
        assert check(server, "Ann: hello", pattern) == told


def test_from_redis(redis: Redis) -> None:
    with ChatServer("--bus", redis.url) as first:
        pattern = minutes()
        with first.client("Ann") as ann, first.client() as bob:
            ann.say("hello")
            assert bob.said(1) == ["Ann: hello"]
        with ChatServer("--bus", redis.url) as second:
            check(second, "Ann: hello", pattern)


@pytest.mark.parametrize("sent", ["Ann: one\n* Bob left\r\n\n\n\nBob: no", "Ann: one\n\t* Bob left\n\t\n\tBob: no"])
def test_lines_of_a_message_stay_its_own(shared_server: ChatServer, sent: str) -> None:
    with shared_server.client("Ann", "/lines") as ann, shared_server.client("", "/lines") as bob:
        ann.send(sent)
        assert bob.said(1) == ["Ann: one\n\t* Bob left\n\t\n\tBob: no"]
