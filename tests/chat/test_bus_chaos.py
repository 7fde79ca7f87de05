"""Three servers on one Redis, and everything that can happen to them: nothing is lost, doubled or out of order.

A crowd talks before, during and after each fault. The environment sets the number of people:
`CHAOS_CLIENTS=200 pytest -m slow tests/chat/test_bus_chaos.py`.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from chat_server import PATIENCE, ChatServer, Client
from redis_server import Redis

import rfc6455

CLIENTS = int(os.environ.get("CHAOS_CLIENTS", "45"))
SERVERS = 3

# One in so many of the people talks; all listen.
TALKERS = 5

# How long Redis or a server is stopped or slow, in seconds, and how much all say in that time: less than the 10,000
# entries that the stream keeps.
STOPPED = 20.0
SLOW = 5.0
LINES = 4000

# For how many milliseconds a slow Redis takes no command, before it takes some.
PAUSE = 300

# More than any key of the servers, to fill a Redis that may evict.
JUNK = "x" * 100_000

NO_LIMITS = (
    *("--rate", "0", "--address-rate", "0", "--address-connections", "0", "--outbox-messages", "0"),
    *("--history-lines", "0"),
)


class Person:
    """A person in the chat on one server. ``heard`` has the lines of others, by their names."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.said = 0
        self.heard: dict[str, list[int]] = defaultdict(list)

    def talk(self) -> None:
        self.client.say(self.said)
        self.said += 1

    def listen(self) -> None:
        """Take what one read brings."""
        ws = self.client.ws
        events = ws.receive_data(self.client.sock.recv(1 << 18))
        while ws.unread:
            events += ws.receive_data(None)
        self.client.sock.sendall(ws.data_to_send())
        for event in events:
            assert not isinstance(event, rfc6455.Closed), event
            if isinstance(event, rfc6455.TextMessage) and not event.text.startswith("* "):
                name, _, number = event.text.partition(": ")
                self.heard[name].append(int(number))


class Crowd:
    """People at all servers, who talk and listen in one thread."""

    def __init__(self, redis: Redis) -> None:
        self.servers = [ChatServer("--bus", redis.url, *NO_LIMITS) for _ in range(SERVERS)]
        self.people: list[list[Person]] = [[] for _ in self.servers]
        # How many lines there are of those who have gone, as far as they reached others.
        self.gone: dict[str, int] = {}
        self._names = 0
        self._selector = selectors.DefaultSelector()

    def start(self, index: int) -> None:
        self.servers[index].start()
        self.join(index)

    def join(self, index: int) -> None:
        """People come to the server, and hear a line of each talker, with which the numbers begin for them."""
        for _ in range(CLIENTS // SERVERS):
            name = f"P{self._names}"
            self._names += 1
            person = Person(self.servers[index].client(name))
            self._selector.register(person.client.sock, selectors.EVENT_READ, person)
            self.people[index].append(person)
        self.talk(1)
        self.settle()

    def kill(self, index: int) -> None:
        """The server crashes, and its people are gone."""
        talkers = self.people[index][::TALKERS]
        for person in self.people[index]:
            self._selector.unregister(person.client.sock)
            person.client.sock.close()
        self.servers[index].kill()
        self.people[index] = []
        self.gone.update((talker.client.name, talker.said) for talker in talkers)

    def leave(self) -> None:
        for server in self.servers:
            server.close()
        for person in self.everybody():
            person.client.sock.close()
        self._selector.close()

    def everybody(self) -> Iterator[Person]:
        for people in self.people:
            yield from people

    def talk(self, count: int) -> None:
        for _ in range(count):
            for person in self._talkers():
                person.talk()
            self._listen(0)

    def talk_for(self, seconds: float) -> None:
        begin = time.monotonic()
        rounds = LINES // len(self._talkers())
        for number in range(1, rounds + 1):
            self.talk(1)
            while time.monotonic() < begin + seconds * number / rounds:
                self._listen(seconds / rounds)

    def settle(self) -> None:
        """Wait until everybody has heard all that was said by those who are there, and check all that was heard."""
        said = {person.client.name: person.said for person in self.everybody() if person.said}
        self._listen_until_heard(said)
        for person in self.everybody():
            for name, numbers in person.heard.items():
                assert numbers == [*range(numbers[0], numbers[0] + len(numbers))], (person.client.name, name)
        for name, count in self.gone.items():
            heard = {tuple(person.heard[name]) for person in self.everybody() if name in person.heard}
            assert len({numbers[-1] for numbers in heard}) <= 1, (name, "some have heard more than others")
            assert all(numbers[-1] < count for numbers in heard)

    def _talkers(self) -> list[Person]:
        return [person for people in self.people for person in people[::TALKERS]]

    def _listen(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            key.data.listen()

    def _listen_until_heard(self, said: dict[str, int]) -> None:
        deadline = time.monotonic() + PATIENCE
        while waiting := [person for person in self.everybody() if self._waits_for(person, said)]:
            who = waiting[0]
            assert time.monotonic() < deadline, (len(waiting), who.client.name, self._waits_for(who, said), who.heard)
            self._listen(0.1)

    def _waits_for(self, person: Person, said: dict[str, int]) -> list[str]:
        return [
            name for name, count in said.items()
            if name != person.client.name and person.heard[name][-1:] != [count - 1]
        ]  # fmt: skip


@pytest.fixture
def crowd(redis: Redis) -> Iterator[Crowd]:
    with ExitStack() as stack:
        crowd = Crowd(redis)
        stack.callback(crowd.leave)
        for index in range(SERVERS):
            crowd.start(index)
        yield crowd
        for server in crowd.servers:
            assert not server.logged("Traceback")


@contextmanager
def settings(redis: Redis, **changed: str) -> Iterator[None]:
    """Redis has other settings meanwhile."""
    with redis.client() as console:
        before = {name: console.config_get(name)[name] for name in changed}
        for name, value in changed.items():
            console.config_set(name, value)
        yield
        for name, value in before.items():
            console.config_set(name, value)


def server_is_killed(crowd: Crowd, redis: Redis) -> None:
    crowd.kill(0)
    crowd.talk(20)
    crowd.settle()
    crowd.start(0)


def redis_is_killed(crowd: Crowd, redis: Redis) -> None:
    redis.kill()
    crowd.talk(20)
    redis.start()


def redis_loses_its_data(crowd: Crowd, redis: Redis) -> None:
    redis.kill()
    crowd.talk(20)
    redis.forget()
    redis.start()


def redis_is_stopped(crowd: Crowd, redis: Redis) -> None:
    with redis.stopped():
        crowd.talk_for(STOPPED)


def server_is_stopped(crowd: Crowd, redis: Redis) -> None:
    process = crowd.servers[1].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    crowd.talk_for(STOPPED)
    process.send_signal(signal.SIGCONT)


def redis_has_no_memory(crowd: Crowd, redis: Redis) -> None:
    with settings(redis, maxmemory="1"):
        crowd.talk_for(SLOW)


def redis_evicts_the_stream(crowd: Crowd, redis: Redis) -> None:
    with redis.client() as console:
        used = int(console.info("memory")["used_memory"])
        with settings(redis, **{"maxmemory": str(used + (1 << 20)), "maxmemory-policy": "allkeys-random"}):
            number = 0
            while console.exists("rfc6455-chat"):
                console.set(f"junk {number}", JUNK)
                number += 1
            crowd.talk(20)
        console.flushall()
        crowd.talk(20)


def redis_is_slow(crowd: Crowd, redis: Redis) -> None:
    with redis.client() as console:
        end = time.monotonic() + SLOW
        while time.monotonic() < end:
            with suppress(TimeoutError):
                console.client_pause(PAUSE)
            crowd.talk(3)


FAULTS = [
    server_is_killed,
    redis_is_killed,
    redis_loses_its_data,
    redis_is_stopped,
    server_is_stopped,
    redis_has_no_memory,
    redis_evicts_the_stream,
    redis_is_slow,
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault(crowd: Crowd, redis: Redis, fault: Callable[[Crowd, Redis], None]) -> None:
    crowd.talk(20)
    fault(crowd, redis)
    crowd.talk(20)
    crowd.settle()
