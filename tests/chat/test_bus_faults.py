"""A Redis that refuses, hangs, or has another clock: how the servers react, and what they report."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Client, wait_until
from io_loops import make_certificate
from redis_server import Redis

SECRET = "hunter2-and-more"


@contextmanager
def on_redis(redis: Redis, *switches: str) -> Iterator[ChatServer]:
    with ChatServer("--bus", redis.url, *switches) as server:
        yield server
        assert not server.logged("Traceback")


# What will not pass.


def refused(*switches: str) -> str:
    """Return what a server says that does not start."""
    with pytest.raises(AssertionError, match="Cannot start") as caught, ChatServer(*switches):
        pass
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://:wrong@127.0.0.1:{port}", "invalid username-password pair"),
        ("redis://reader:{secret}@127.0.0.1:{port}", "No permissions|no permissions"),
        ("redis://127.0.0.1:{port}", "Authentication required"),
        ("redis://:{secret}@127.0.0.1:{port}/99", "out of range"),
    ],
    ids=["password", "rights", "no password", "database"],
)
def test_redis_that_refuses_for_good_ends_the_start(redis: Redis, url: str, reason: str) -> None:
    redis.kill()
    redis.forget()
    redis.start(requirepass=SECRET)
    with redis.client(password=SECRET) as console:
        console.acl_setuser(
            "reader", True, passwords=[f"+{SECRET}"], keys=["*"], categories=["+@read", "+@connection"]
        )
    said = refused("--bus", url.format(port=redis.port, secret=SECRET))
    assert "--bus" in said
    assert "Redis refuses" in said
    assert any(word in said for word in reason.split("|"))
    with ChatServer("--bus", f"redis://:{SECRET}@127.0.0.1:{redis.port}") as server:
        assert '"bus": 1.0' in server.get("/health")[2]


def test_a_certificate_that_cannot_be_checked_ends_the_start(redis: Redis, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    redis.kill()
    tls = {"tls-cert-file": str(tmp_path / "cert.pem"), "tls-key-file": str(tmp_path / "key.pem")}
    redis.start(port="0", **{"tls-port": str(redis.port), "tls-auth-clients": "no"}, **tls)
    said = refused("--bus", f"rediss://127.0.0.1:{redis.port}")
    assert "certificate verify failed" in said.lower().replace("_", " ")


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_of_the_url_that_is_missing_ends_the_start(option: str) -> None:
    """Also while Redis is not there, as it would not help if it came."""
    pytest.importorskip("redis")
    said = refused("--bus", f"rediss://:{SECRET}@127.0.0.1:1?{option}=/missing.pem")
    assert f"{option} in the URL names a file that cannot be read" in said
    assert "No such file or directory: '/missing.pem'" in said


def test_a_stream_that_is_something_else_ends_the_start(redis: Redis) -> None:
    with redis.client() as console:
        console.set("club", "no stream")
    assert "WRONGTYPE" in refused("--bus", redis.url, "--bus-stream", "club")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}/x@127.0.0.1:1",
        f"redis://:4711/{SECRET}@127.0.0.1:1",
        f"redis://:4711?{SECRET}@127.0.0.1:1",
        f"redis://:4711#{SECRET}",
        f"redis://u:{SECRET}@[::1:1",
        f"redis://u:{SECRET}@127.0.0.1:1/one",
        f"redis://127.0.0.1:1?passwort={SECRET}",
        f"rediss://127.0.0.1:1?ssl_cert_reqs={SECRET}",
        f"http://{SECRET}@x",
        f"unix://:{SECRET}@",
    ],
)
def test_a_url_that_is_none_ends_the_start_and_its_password_is_not_told(url: str) -> None:
    pytest.importorskip("redis")
    said = refused("--bus", url)
    assert "not a URL for Redis" in said
    assert "4711" not in said


@pytest.mark.parametrize("place", ["file", "environment"])
def test_the_password_need_not_be_in_the_url(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    redis.kill()
    redis.forget()
    redis.start(requirepass=SECRET)
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    switches = ("--bus-password-file", str(file)) if place == "file" else ()
    if place == "environment":
        monkeypatch.setenv("CHAT_BUS_PASSWORD", SECRET)
    with on_redis(redis, *switches) as server:
        assert '"bus": 1.0' in server.get("/health")[2]
        redis.kill()
        server.wait_for("event=degraded part=bus")
        assert SECRET not in "\n".join(server.lines) + server.get("/health")[2]


def test_a_password_that_cannot_be_read(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    said = refused("--bus", "redis://127.0.0.1:1", "--bus-password-file", str(tmp_path / "none"))
    assert "--bus-password-file" in said
    assert str(tmp_path / "none") in said


# What passes.


def commands(console: Any, name: str) -> int:
    """Return how many of them came, whether they were refused or not."""
    stats = console.info("commandstats").get(f"cmdstat_{name}", {})
    return sum(int(stats.get(kind, 0)) for kind in ("calls", "rejected_calls"))


@contextmanager
def chat_of_two_servers(redis: Redis) -> Iterator[tuple[list[ChatServer], Client, Client, Client]]:
    """Run two servers, with Ann and a listener on the first and another listener on the second, after Ann was
    heard."""
    with (
        on_redis(redis) as one,
        on_redis(redis) as two,
        one.client("Ann") as ann,
        one.client() as near,
        two.client() as far,
    ):
        ann.say("before")
        assert near.said(1) == far.said(1) == ["Ann: before"]
        yield [one, two], ann, near, far


def test_redis_that_takes_nothing_is_told_of_and_not_read_again_and_again(redis: Redis) -> None:
    with redis.client() as console, chat_of_two_servers(redis) as (servers, ann, near, far):
        one = servers[0]
        console.config_set("maxmemory", 1)
        ann.say("out of memory")
        assert near.said(1) == ["Ann: out of memory"]
        for server in servers:
            server.wait_for("event=degraded part=bus since=.* error=.*maxmemory")
        state = json.loads(one.get("/health")[2])
        assert state["status"] == "degraded"
        assert "maxmemory" in state["degraded"]["bus"]["error"]
        assert state["degraded"]["bus"]["since"].endswith("Z")
        metrics = one.get("/metrics")[2]
        assert 'chat_degraded{part="bus"} 1\n' in metrics
        assert float(metrics.partition('chat_errors_total{part="bus"} ')[2].partition("\n")[0]) >= 1
        before = commands(console, "set"), commands(console, "xread")
        wait_until(lambda: commands(console, "set") >= before[0] + 4, "each server has tried twice more")
        assert commands(console, "xread") == before[1]
        console.config_set("maxmemory", 0)
        assert far.said(1) == ["Ann: out of memory"]
        one.wait_for("event=recovered part=bus")
        assert json.loads(one.get("/health")[2])["status"] == "ok"
        ann.say("after")
        assert near.said(1) == far.said(1) == ["Ann: after"]


def test_no_error_says_where_somebody_is_or_what_is_said(redis: Redis) -> None:
    with redis.client() as console, on_redis(redis, "--bus-stream", "c") as server, server.client("Ann", "/x") as ann:
        last = 2**64 - 1
        console.xadd("c", {"no": "entry"}, id=f"{last}-{last}")  # after which there is no place for another
        ann.say("hello")
        server.wait_for("event=degraded part=bus .*exhausted")
        told = "\n".join(server.logged("part=bus|event=bus")) + server.get("/health")[2]
        assert "exhausted" in told
        assert not re.search("XADD|/x|hello", told)


def test_a_line_on_one_server_does_not_wait_for_redis_that_hangs(redis: Redis) -> None:
    with chat_of_two_servers(redis) as ((one, _), ann, near, far):
        with redis.stopped():
            ann.say(*range(10))
            assert near.said(10) == [f"Ann: {number}" for number in range(10)]
            assert not one.logged("state=alone")  # which it will be after 3 seconds
            ann.say("more")
            assert near.said(1) == ["Ann: more"]
            one.wait_for("state=alone")
            ann.say("alone")
            assert near.said(1) == ["Ann: alone"]
        assert far.said(12) == [*(f"Ann: {number}" for number in range(10)), "Ann: more", "Ann: alone"]
        one.wait_for("state=connected", 2)
        ann.say("after")
        assert near.said(1) == far.said(1) == ["Ann: after"]


def write(console: Any, number: int, text: str, **more: Any) -> None:
    console.xadd("rfc6455-chat", {"server": "x", "number": number, "room": "/", "said": json.dumps([text])}, **more)


@pytest.mark.parametrize("first", ["1-1", "99999999999999-0"], ids=["behind", "ahead"])
def test_what_is_from_before_does_not_depend_on_a_clock(redis: Redis, first: str) -> None:
    with redis.client() as console, on_redis(redis, "--bus-timeout", "0") as server, server.client() as bob:
        console.delete("rfc6455-chat")
        write(console, 1, "Eve: now", id=first)
        assert bob.said(1) == ["Eve: now"]
        write(console, 2, "Eve: and now")
        assert bob.said(1) == ["Eve: and now"]
        with on_redis(redis, "--bus-timeout", "0") as late, late.client() as cy:
            assert cy.history == ["Eve: now", "Eve: and now"]
            write(console, 3, "Eve: at last")
            assert cy.said(1) == bob.said(1) == ["Eve: at last"]


def test_who_waits_for_redis_is_sent_the_history_when_it_comes(redis: Redis) -> None:
    with redis.client() as console:
        for number in range(1, 4):
            write(console, number, f"Eve: {number}")
    redis.kill()
    with on_redis(redis) as server, server.client("Ann") as ann, server.client() as bob:
        ann.say("alone")
        assert bob.said(1) == ["Ann: alone"]
        redis.start()
        assert bob.said(5, lambda text: not text.startswith("* at ")) == [
            "* history 4",
            "Ann: alone",
            "Eve: 1",
            "Eve: 2",
            "Eve: 3",
        ]
        assert bob.said(1, bool) == ["* here: Ann"]


def test_streams_of_other_names_are_other_chats(redis: Redis) -> None:
    with (
        on_redis(redis) as one,
        on_redis(redis, "--bus-stream", "club") as two,
        one.client("Ann") as ann,
        one.client() as near,
        two.client("Bob") as bob,
        two.client() as far,
    ):
        ann.say("one")
        bob.say("two")
        assert (near.said(1), far.said(1)) == (["Ann: one"], ["Bob: two"])
    with redis.client() as console:
        assert console.xlen("club") >= 1


def test_the_stream_has_a_bound_in_bytes(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it has let go of is not written again."""
    from service import stream

    monkeypatch.setattr(stream, "STREAM_BYTES", 100_000)
    with redis.client() as console:
        entries = stream.Stream(redis.url)
        last = "0-0"
        for number in range(1, 51):
            entries.add([stream.to_entry("x", number, "/", ["Ann: " + "x" * 10_000])])
            last = entries.read(last)[-1][0]
            assert console.xlen("rfc6455-chat") <= 10
        assert entries.is_full
        kept = console.xrange("rfc6455-chat")
        assert [int(fields["number"]) for _, fields in kept] == list(range(51 - len(kept), 51))
        entries.rewind()
        assert [name for name, _ in entries.read("0-0")] == [name for name, _ in kept]
        assert entries.is_full
        entries.close()


def test_a_loss_is_seen_behind_what_came_after_it(redis: Redis) -> None:
    """Redis evicts the whole stream, and the next line begins a new one, before anybody looks."""
    from service.stream import Stream, to_entry

    stream = Stream(redis.url)
    stream.add(to_entry("x", number, "/", ["Ann: hello"]) for number in (1, 2))
    last = stream.read("0-0")[-1][0]
    assert not stream.has_lost(last)
    with redis.client() as console:
        console.delete(stream.name)
        assert stream.has_lost(last)
    stream.add([to_entry("x", 3, "/", ["Ann: hello"])])
    last = stream.read(last)[-1][0]
    assert stream.has_lost(last)
    stream.rewind()
    last = stream.read("0-0")[-1][0]
    assert not stream.has_lost(last)
    stream.close()


def test_a_full_stream_that_lets_go_of_its_oldest_entries_has_lost_nothing(redis: Redis) -> None:
    from service.stream import STREAM_LENGTH, Stream, to_entry

    stream = Stream(redis.url)
    last = "0-0"
    for _ in range(3):
        stream.add(to_entry("x", number, "/", []) for number in range(STREAM_LENGTH // 2 + 100))
        while entries := stream.read(last):
            last = entries[-1][0]
        assert not stream.has_lost(last)
    with redis.client() as console:
        console.delete(stream.name)
    stream.add([to_entry("x", 1, "/", [])])
    assert stream.has_lost(last)
    stream.close()


def test_a_large_batch_is_several_entries() -> None:
    pytest.importorskip("redis")
    from service.stream import ENTRY_BYTES, in_entries

    said = ["x" * 40_000, "y" * 20_000, "z" * 30_000, "\u20ac" * 30_000, "w"]
    groups = list(in_entries(said))
    assert [line for group in groups for line in group] == said
    assert [len(group) for group in groups] == [2, 1, 1, 1]
    assert sum(map(len, groups[0])) <= ENTRY_BYTES
    assert list(in_entries([])) == [[]]


def test_a_trouble_is_told_again_each_minute(capsys: pytest.CaptureFixture[str]) -> None:
    from service.log import drain
    from service.metrics import Metrics
    from service.troubles import REMIND_SECONDS, Trouble

    trouble = Trouble("bus", Metrics())
    trouble.end()
    trouble.remind(time.monotonic() + 1000)
    for lost in (1, 2):
        trouble.begin(OSError("it broke"), lost)
    now = time.monotonic()
    trouble.remind(now + 0.5 * REMIND_SECONDS)
    trouble.remind(now + 1.1 * REMIND_SECONDS)
    assert trouble.state is not None
    trouble.end()
    assert trouble.state is None
    assert drain(60)
    told = [line.partition(" event=")[2] for line in capsys.readouterr().out.splitlines()]
    assert [line.split(" ")[0] for line in told] == ["degraded", "degraded", "recovered"]
    since = told[0].partition(" since=")[2].partition(" ")[0]
    assert told[0].endswith('error="it broke" lost=1')
    assert told[1] == f'degraded part=bus since={since} error="it broke" lost=3'
    assert told[2] == f"recovered part=bus since={since} lost=3"
