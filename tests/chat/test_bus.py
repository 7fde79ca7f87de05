"""Several servers on one Redis: one order, one history, and nothing lost, whichever of them dies."""

from __future__ import annotations

import importlib.util
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from chat_server import ChatServer, Client, missing, wait_until
from redis_server import Redis

NO_LIMITS = ("--rate", "0", "--address-rate", "0", "--outbox-messages", "0")
MESSAGES = 10_000


@pytest.fixture
def servers(redis: Redis) -> Iterator[Callable[..., ChatServer]]:
    """Start servers on the one Redis."""
    with ExitStack() as started:

        def start(*switches: str) -> ChatServer:
            return started.enter_context(ChatServer("--bus", redis.url, *NO_LIMITS, *switches))

        yield start


def lines_of(name: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(f"{name}: ")]


def numbered(name: str, count: int, first: int = 0) -> list[str]:
    return [f"{name}: {number}" for number in range(first, first + count)]


def test_servers_are_one_chat(servers: Callable[..., ChatServer]) -> None:
    one, two = servers(), servers()
    with one.client("Ann") as ann, one.client() as near, two.client("Bob") as bob, two.client() as far:
        assert near.said(1, lambda text: text == "* Bob joined")
        for number in range(50):
            ann.say(number)
            bob.say(number)
        seen, also_seen = near.said(100), far.said(100)
        assert seen == also_seen
        assert lines_of("Ann", seen) == numbered("Ann", 50)
        assert lines_of("Bob", seen) == numbered("Bob", 50)
        assert ann.said(50) == numbered("Bob", 50)
        with servers().client() as late:
            assert late.history == seen
    one.wait_for("event=disconnect", 2)
    assert one.stop() == two.stop() == 0


def test_rooms_are_apart(servers: Callable[..., ChatServer]) -> None:
    one, two = servers(), servers()
    with one.client("Ann", "/a") as ann, two.client("Bob", "/b") as bob, one.client(room="/b") as watcher:
        ann.say("in a")
        bob.say("in b")
        assert watcher.said(1) == ["Bob: in b"]


class Conversation:
    """Ann on one server and Bob on the other say numbers. A watcher on each records what arrives."""

    def __init__(self, one: ChatServer, two: ChatServer, stack: ExitStack) -> None:
        self.ann, self.near = (stack.enter_context(one.client(name)) for name in ("Ann", ""))
        self.bob, self.far = (stack.enter_context(two.client(name)) for name in ("Bob", ""))
        self.spoken = 0

    def go_on(self, count: int, *speakers: Client) -> None:
        for number in range(self.spoken, self.spoken + count):
            for speaker in speakers or (self.ann, self.bob):
                speaker.say(number)
        self.spoken += count


@pytest.mark.parametrize("data", ["with its data", "without its data"])
def test_redis_is_killed(redis: Redis, servers: Callable[..., ChatServer], data: str) -> None:
    half = MESSAGES // 4
    one, two = servers(), servers()
    with ExitStack() as stack:
        conversation = Conversation(one, two, stack)
        conversation.go_on(half)
        seen = conversation.near.said(100)
        redis.kill()
        conversation.go_on(half // 2)
        for server in (one, two):
            server.wait_for("event=bus state=alone")
        if data == "without its data":
            redis.forget()
        redis.start()
        conversation.go_on(half - half // 2)
        for server in (one, two):
            server.wait_for("event=bus state=connected", 2)
        for watcher, before in ((conversation.near, seen), (conversation.far, [])):
            lines = before + watcher.said(MESSAGES - len(before))
            assert lines_of("Ann", lines) == numbered("Ann", 2 * half)
            assert lines_of("Bob", lines) == numbered("Bob", 2 * half)
        conversation.ann.say("the end")
        assert conversation.near.said(1) == conversation.far.said(1) == ["Ann: the end"]
        with servers().client() as late:
            assert late.history[-1] == "Ann: the end"
    assert one.stop() == two.stop() == 0
    assert "Traceback" not in "\n".join(one.lines + two.lines)


def test_a_server_is_killed(servers: Callable[..., ChatServer]) -> None:
    half = MESSAGES // 4
    one, two = servers(), servers()
    with ExitStack() as stack:
        conversation = Conversation(one, two, stack)
        conversation.go_on(half)
        before = conversation.far.said(100)
        assert one.process is not None
        one.process.send_signal(signal.SIGKILL)
        conversation.go_on(3 * half, conversation.bob)
        lines = list(before)
        while f"Bob: {4 * half - 1}" not in lines[-1:]:
            lines += conversation.far.said(1)
        assert lines_of("Bob", lines) == numbered("Bob", 4 * half)
        of_ann = lines_of("Ann", lines)
        assert of_ann == numbered("Ann", len(of_ann))  # all that left the server, to some point
        one.ended()
        one.start()
        with one.client() as back:
            assert back.history == lines[-100:]


def test_redis_comes_later(redis: Redis, servers: Callable[..., ChatServer]) -> None:
    redis.kill()
    one, two = servers(), servers()
    one.wait_for("event=bus state=alone")
    assert '"bus": 0.0' in one.get("/health")[2]
    with one.client("Ann") as ann, one.client() as near, two.client() as far:
        ann.say("alone")
        assert near.said(1) == ["Ann: alone"]
        redis.start()
        assert far.said(1) == ["Ann: alone"]
        ann.say("together")
        assert near.said(1) == far.said(1) == ["Ann: together"]
        one.wait_for("event=bus state=connected")
        assert "chat_bus 1\n" in one.get("/metrics")[2]


def test_clocks_differ(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said while a server runs is delivered, and what was said before is history, whatever its clock says."""
    before = redis_hub(redis, [])
    before.bus.publish("/", None, ["Ann: before"])
    before.bus.stop()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1000)
    told: list[tuple[str, list[str]]] = []
    one, two = redis_hub(redis, told), redis_hub(redis, [])
    two.bus.publish("/", None, ["Ann: now"])
    wait_until(lambda: len(told) >= 2, "both entries come")
    one.bus.stop()
    two.bus.stop()
    assert told == [("history", ["Ann: before"]), ("line", ["Ann: now"])]


def redis_hub(redis: Redis, told: list[tuple[str, list[str]]]) -> Any:
    """A hub with a bus that runs, in this process; it notes what is delivered."""
    from hub import Hub
    from service.bridge import Bridge
    from service.bus import RedisBus
    from service.metrics import Metrics
    from service.store import NoStore
    from service.stream import Stream
    from service.troubles import Trouble

    class NotingBridge(Bridge):
        def deliver_from(self, server: str, path: str, said: Sequence[str]) -> None:
            told.append(("line", list(said)))

        def remember(self, path: str, said: Sequence[str], time: float) -> None:
            told.extend([("history", list(said))] if said else [])

    hub: Any = Hub(NoStore(), 10)
    bus = hub.bus = RedisBus(Stream(redis.url), NotingBridge(hub), 6.0, Trouble("bus", Metrics()))
    bus.start()
    return hub


def test_what_is_no_redis() -> None:
    if importlib.util.find_spec("redis") is None:
        missing("the redis package")
    with pytest.raises(AssertionError, match=r"Cannot start: --bus: .*not a URL for Redis"):
        ChatServer("--bus", "http://example.com").start()


def test_who_is_here_on_all_servers(servers: Callable[..., ChatServer]) -> None:
    switches = ("--bus-timeout", "3")
    one, two = servers(*switches), servers(*switches)
    with one.client("Ann") as ann:
        wait_until(lambda: names_at(one) == ["Ann"], "Ann has her name")
        with two.client("Bob") as bob:
            assert ann.text() == "* Bob joined"
            with two.client("Ann") as second:
                second.say("the same person")
                assert ann.said(1) == bob.said(1) == ["Ann: the same person"]
                third = servers(*switches)
                wait_until(lambda: {"Ann", "Bob"} <= set(names_at(third)), "the others answer its greeting")
                with third.client("Cy") as cy:
                    assert ann.said(1, lambda text: text == "* Cy joined")
                    two.kill()  # so nobody says who leaves; the others find it out
                    for client in (ann, cy):
                        assert client.said(1, lambda text: text == "* Bob left")
                    assert names_at(one) == names_at(third) == ["Ann", "Cy"]


def names_at(server: ChatServer) -> list[str]:
    with server.client() as client:
        client.close()
        return client.here
