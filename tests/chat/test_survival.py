"""Nothing that one client, one entry or one line does ends a thread of the server."""

from __future__ import annotations

import importlib.util
import json
import random
import socket
import sqlite3
import string
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from chat_server import BROKEN_CHAT, PATIENCE, ChatServer, missing, open_session, wait_until
from redis_server import Redis

import rfc6455

LINES = 100
LINE = 16 << 10
VICTIMS = 3


def words(seed: int, size: int) -> str:
    """Text that deflate makes smaller, though not by much."""
    return "".join(random.Random(seed).choices(string.ascii_letters, k=size))


def test_a_client_that_does_not_read_and_goes_away_is_all_that_ends() -> None:
    """The caretaker finds the connection broken while it sends what waits; it goes on, and closes what comes after."""
    extensions = [rfc6455.PerMessageDeflate()]
    with (
        ChatServer("--rate", "0", "--address-rate", "0") as server,
        server.client("Ann", extensions=extensions) as ann,
        server.client(extensions=extensions) as reader,
    ):
        before = server.descriptors()
        for count in range(VICTIMS):
            victim = server.connect(SO_RCVBUF=2048)
            victim.sendall(rfc6455.ClientHandshake("ws://localhost/", extensions=extensions).data_to_send())
            assert victim.recv(12) == b"HTTP/1.1 101"
            for number in range(LINES):
                ann.say(words(number, LINE - len("Ann: ")))
            reader.said(LINES)
            victim.close()
            server.wait_for("event=disconnect", count + 1)
        for _ in range(20):
            assert server.get("/health")[0] == 200
        wait_until(
            lambda: server.descriptors() == before or bool(server.logged("Traceback")), "the sockets are closed"
        )
        assert server.logged("Traceback|Error") == []


class Ward:
    """A ward of the caretaker whose method ``broken`` raises an exception."""

    def __init__(self, broken: str = "") -> None:
        self.sock, self.theirs = socket.socketpair()
        self.due = 0.0
        self.broken = broken
        self.done: list[str] = []
        self.errors: list[Exception] = []

    def flush(self) -> bool:
        return self._do("flush")

    def tick(self, now: float) -> None:
        self._do("tick")

    def fail(self, error: Exception) -> None:
        self.errors.append(error)

    def _do(self, what: str) -> bool:
        self.done.append(what)
        if what == self.broken:
            raise RuntimeError("it broke")
        return False


@pytest.mark.parametrize("broken", ["flush", "tick", "socket"])
def test_the_caretaker_drops_what_breaks_and_goes_on_with_the_others(broken: str) -> None:
    from service.caretaker import Caretaker

    caretaker = Caretaker()
    bad, good = Ward(broken), Ward()
    if broken == "socket":
        bad.sock.close()  # it cannot be watched
    caretaker.start()
    with bad.theirs, good.theirs:
        for ward in (bad, good):
            caretaker.add(ward)
            caretaker.watch(ward)
        wait_until(lambda: "flush" in good.done and good.done[-1] == "tick", "the good one is cared for")
        for ward in (bad, good):
            caretaker.release(ward)
        assert bad.theirs.recv(1) == good.theirs.recv(1) == b""
        caretaker.stop()
    assert bad.errors
    assert bad.done.count(broken) == (broken != "socket")
    assert good.errors == []


def _break(*_: object) -> NoReturn:
    raise RuntimeError("it broke")


def test_a_client_that_cannot_be_told_a_line_is_the_only_one_that_goes(capsys: pytest.CaptureFixture[str]) -> None:
    from hub import Hub
    from service.bridge import Bridge
    from service.log import drain
    from service.store import NoStore

    hub = Hub(NoStore(), 10)
    with open_session() as bad, open_session() as good:
        for member in (bad, good):
            hub.join("/", member)
        bad._outbox.put = _break
        before = good._outbox.delivered
        for number in range(3):
            Bridge(hub).deliver("/", None, [f"Ann: {number}"])
        bad.close(1012, "")
        assert bad.sock.recv(1) == b""  # so its thread ends
        assert good._outbox.delivered == before + 3
    assert drain(PATIENCE)
    failures = [line for line in capsys.readouterr().out.splitlines() if "event=failure" in line]
    assert len(failures) == 1
    assert f" client={bad.visitor.number} " in failures[0]
    assert 'error="RuntimeError: it broke" at=test_survival.py:' in failures[0]


def test_a_line_that_cannot_be_sent_is_no_history() -> None:
    from hub import Hub
    from service.bridge import Bridge
    from service.store import NoStore

    hub = Hub(NoStore(), 10)
    with open_session() as member:
        room = hub.join("/", member)
        with pytest.raises(rfc6455.LocalProtocolError):
            Bridge(hub).deliver("/", None, ["Ann: \ud800"])
        assert list(room.history) == []


# What other programs have written.


# What another program writes to the file, and what is told of it.
FOREIGN_LINES = [
    "* at 1999-12-31T23:59Z",
    "* here: Eve",
    "* at \x1b[2J",
    "Eve: a\n* Bob left",
    "\uff0a Eve left",
    "*",
    "",
]
CLEANED = ["at 1999-12-31T23:59Z", "here: Eve", "at  [2J", "Eve: a\n\t* Bob left", "Eve left"]


def test_a_line_in_the_file_that_is_no_text_does_not_cost_the_room_its_history(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with ChatServer("--history", str(path)) as server, server.client("Ann") as ann, server.client() as bob:
        ann.say("before")
        assert bob.said(1) == ["Ann: before"]
    database = sqlite3.connect(path)
    database.execute("INSERT INTO lines (room, line) VALUES ('/', CAST(x'ff41' AS TEXT)), ('/', x'ff42'), ('/', 7)")
    database.executemany("INSERT INTO lines (room, line) VALUES ('/', ?)", [(line,) for line in FOREIGN_LINES])
    database.commit()
    database.close()
    with ChatServer("--history", str(path)) as server, server.client() as one, server.client() as two:
        for client in (one, two):
            assert client.history == ["Ann: before", "\ufffdA", "\ufffdB", "7", *CLEANED]
            assert len([line for line in client.greeting if line.startswith("* at ")]) == 1
        assert not server.logged("Traceback|event=failure")


NO_ENTRIES: list[dict[Any, Any]] = [
    {"what": "is this"},
    {"server": "x", "number": "1", "room": "/"},
    {"server": "x", "number": "one", "room": "/", "said": "[]"},
    {"server": "x", "number": "9" * 5000, "room": "/", "said": "[]"},
    {"server": "x", "number": "1", "room": "/", "said": "no JSON"},
    {"server": "x", "number": "1", "room": "/", "said": '"text"'},
    {"server": "x", "number": "1", "room": "/", "said": "[1]"},
    {"server": "x", "number": "1", "room": "/", "said": "[null]"},
    {"server": "x", "number": "1", "room": "/", "said": '["Ann: \\ud800"]'},
    {"server": "x", "number": "1", "room": "/", "said": "[" * 100_000},
    {"server": "x", "number": "1", "room": "/", "said": '["Ann: hello",' + "[" * 100_000},
    {"server": "x", "number": "1", "room": "/", "said": '{"a":' * 100_000},
    {"server": "x", "number": "1", "room": "/", "said": '["Ann: hello"'},
    {"server": "x", "number": "1", "room": "/", "said": "null"},
    {"server": "x", "number": "1", "room": "/", "said": "5"},
    {"server": "x", "number": "1", "room": "/", "said": "{}"},
    {"server": "x", "number": "1", "room": "/", "said": b'["Ann: \xff"]'},
    {"server": "x", "number": "1", "room": b"/\xff", "said": '["Ann: hello"]'},
    {"server": "x", "number": "0", "room": "/", "said": '["Ann: hello"]'},
    {"server": "x", "number": "-1", "room": "/", "said": '["Ann: hello"]'},
    {"server": "x", "number": "1", "room": "/\r\nevent=forged", "said": '["Ann: hello"]'},
    {"server": "x", "number": "1", "room": "/\u202e", "said": '["Ann: hello"]'},
    {"server": "x", "number": "1", "room": "club", "said": '["Ann: hello"]'},
    {"server": "x", "number": "1", "room": "/" + "x" * 201, "said": '["Ann: hello"]'},
    {"server": "x" * 101, "number": "1", "room": "/", "said": '["Ann: hello"]'},
    {"server": "x", "number": "1", "room": "/", "said": '["Ann: ' + "x" * (1 << 20) + '"]'},
]


def test_an_entry_of_the_stream_that_is_none_is_skipped_and_those_after_it_are_not(redis: Redis) -> None:
    """Both by a server that follows the stream and by one that catches up with it."""
    from redis import Redis as Client

    stream = Client.from_url(redis.url)
    with ChatServer("--bus", redis.url) as follows, follows.client() as bob:
        for entry in NO_ENTRIES:
            stream.xadd("rfc6455-chat", entry)
        stream.xadd("rfc6455-chat", {"server": "x", "number": "1", "room": "/", "said": '["Ann: hello"]'})
        assert bob.said(1, bool) == ["Ann: hello"]
        with ChatServer("--bus", redis.url) as catches_up, catches_up.client("Cy") as cy:
            assert cy.history == ["Ann: hello"]
            cy.say("so do I")
            assert bob.said(1) == ["Cy: so do I"]
            for server in (follows, catches_up):
                assert '"bus": 1.0' in server.get("/health")[2]
                assert len(server.logged("event=failure entry=")) == len(NO_ENTRIES)
                assert not server.logged("Traceback|forged time=")
    stream.close()


# What another program writes to the stream, and what may be told of it.
FOREIGN = [
    "* at 1999-12-31T23:59Z",
    "\u200b* Eve left",
    "* at \x1b[2J",
    "** Eve left",
    "\uff0a Eve left",
    "\x1b[2JAnn: \u202ehello",
    "*",
    "",
    "* history 9",
]
FOREIGN += ["* Eve\x1b[2J joined", "*  joined", "* \u200d joined", "* Mallory left, and Eve joined"]
TOLD = ["Eve left", "Eve left", "Eve left", " [2JAnn:  hello"]
NEWS = ["* Eve [2J joined", "* Mallory and Eve joined"]


def test_lines_of_the_stream_are_cleaned_like_lines_of_clients(redis: Redis) -> None:
    from redis import Redis as Client

    stream = Client.from_url(redis.url)
    with ChatServer("--bus", redis.url) as follows, follows.client() as bob:
        stream.xadd("rfc6455-chat", {"server": "x", "number": "1", "room": "/", "said": json.dumps(FOREIGN)})
        assert bob.said(len(TOLD + NEWS), bool) == TOLD + NEWS
        stream.xadd(
            "rfc6455-chat", {"server": "x", "number": "2", "room": "/", "said": '["* here: , Al\\u0000,  * Bo"]'}
        )
        assert sorted(bob.said(4, bool)) == [
            "* Al joined",
            "* Bo joined",
            *sorted(f"{news[:-6]}left" for news in NEWS),
        ]
        with ChatServer("--bus", redis.url) as catches_up, catches_up.client() as cy:
            assert cy.history == TOLD
            assert len([line for line in cy.greeting if line.startswith("* at ")]) == 1
    stream.close()


# What breaks in the server's own threads.


class BrokenServer(ChatServer):
    """A server in which something is broken, and which tells of a thread that failed for so many seconds."""

    def __init__(self, what: str, seconds: float) -> None:
        bus = ("--bus", "redis://127.0.0.1:1") if what.startswith("bus") else ()
        if bus and importlib.util.find_spec("redis") is None:
            missing("the redis package")
        super().__init__(*bus, program=BROKEN_CHAT)
        self.command += [what, str(seconds)]


THREADS = ["caretaker", "log", "bus clerk", "bus writer", "bus reader"]


@pytest.mark.parametrize("thread", THREADS)
def test_a_thread_that_ends_shows_in_health(thread: str) -> None:
    with BrokenServer(thread, PATIENCE) as server:
        server.client("Ann").sock.close()  # something for each of them to do
        wait_until(lambda: server.get("/health")[0] == 503, "it is told")
        body = server.get("/health")[2]
        assert '"status": "failed"' in body
        assert f'"threads": ["{thread}"]' in body
        assert server.stop() == 1


@pytest.mark.parametrize("thread", THREADS)
def test_a_thread_that_ends_ends_the_server_with_an_error(thread: str) -> None:
    seconds = 3.0 if thread in ("bus reader", "caretaker") else 0.1  # these end before Ann comes
    with BrokenServer(thread, seconds) as server, server.client("Ann") as ann:
        assert ann.closed().code == 1012
        ann.sock.close()
        assert server.ended() == 1
        if thread != "log":
            assert server.logged("BrokenError: this is broken")
            assert server.logged(f'event=failed threads="?{thread}')


@pytest.mark.parametrize(("what", "count"), [("one session", 1), ("look", 3), ("pages", 3)])
def test_what_breaks_with_one_client_is_logged_and_the_next_may_come(what: str, count: int) -> None:
    with BrokenServer(what, PATIENCE) as server:
        for _ in range(count):
            with suppress(ConnectionResetError):  # where it is closed with the request unread
                assert server.ask(b"GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        server.wait_for("event=failure .*RuntimeError: this is broken.* at=broken_chat.py:", count)
        with server.client("Ann") as ann:
            ann.close()
        wait_until(lambda: '"clients": 0,' in server.get("/health")[2], "all have left")
        assert server.stop() == 0
        assert not server.logged("Traceback")
        assert len(server.logged("event=failure")) == count
