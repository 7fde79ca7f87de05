"""The chat's modules one by one: lines, limits, outbox, store, rooms, log."""

from __future__ import annotations

import queue
import random
import socket
import sqlite3
import threading
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from chat_server import PATIENCE

# Names and lines


def said_in(store: Any, room: str, *limits: int) -> list[str]:
    """What a store has of the room, without the times."""
    return [line for line in store.last(room, *limits) if not line.startswith("* at ")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ann", "Ann"),
        ("  Ann  ", "Ann"),
        ("* Ann", "Ann"),
        ("Ann, Bob: x", "Ann Bob x"),
        ("A\u202en\u200bn", "A n n"),
        ("***", ""),
        (" \u200d* Ann\u200d", "Ann"),
        ("Ann\u00ad", "Ann"),
        ("Bob left, the server restarts and Eve", "Bob the server restarts and Eve"),
        ("Bob Joined!", "Bob"),
        ("left", "left"),
        ("x" * 35 + " leftover", "x" * 35),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("x" * 100, "x" * 40),
        ("\u0410\u043d\u043d\u0430", "\u0410\u043d\u043d\u0430"),
    ],
)
def test_names(text: str, name: str) -> None:
    from service.letters import clean_name

    assert clean_name(text) == name


def test_a_name_that_is_clean_stays() -> None:
    """It comes to other servers, which clean it again."""
    from service.letters import clean_name

    some = random.Random(1)
    for _ in range(2000):
        name = clean_name(
            "".join(some.choices(["Ann", "left", "joined", " ", "*", ":", "\u200d", "\xad", "\uff0a", "x" * 13], k=9))
        )
        assert clean_name(name) == name


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        ("Ann: hello", "Ann: "),
        ("Ann:hello", ""),
        (": hello", ""),
        ("hello", ""),
        ("x" * 40 + ": hello", "x" * 40 + ": "),
        ("x" * 41 + ": hello", ""),
        ("http://example.com: x", "http://example.com: "),
    ],
)
def test_prefixes(line: str, prefix: str) -> None:
    import lines

    assert lines.prefix(line) == prefix


def test_no_invisible_character_is_left() -> None:
    from service.letters import clean

    controls = (*set(range(0x20)).difference(b"\r\n"), *range(0x7F, 0xA0))
    others = (0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x180E, 0x200E, 0x200F, 0x3164, 0xFEFF, 0xFFA0)
    ranges = (*range(0x2028, 0x202F), *range(0x2060, 0x2070), *range(0xFFF0, 0xFFFC), *range(0xE0000, 0xE0100))
    ranges += (*range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE01F0, 0xE1000))
    for code in (*controls, *others, *ranges):
        assert clean(f"a{chr(code)}b") == "a b"
    assert clean("a\u200d\u200cb \u00e9\u4e2d") == "a\u200d\u200cb \u00e9\u4e2d"


@pytest.mark.parametrize(
    "before",
    [
        "",
        " ",
        "\u0301",
        "\u20dd \u0363",
        "\U0001d173",
        "\u180f",
        "\u200d",
        "\u00ad",
        "\u3164",
        "\ufe0f",
        "\u2800",
        "\uff0a",
        "* \u200c",
    ],
)
def test_no_line_looks_like_a_notice(before: str) -> None:
    from service.letters import clean, without_star

    assert without_star(clean(f"{before}* Bob joined")) == "Bob joined"


def test_no_star_begins_a_line() -> None:
    """Whatever Unicode calls one, and what looks like one."""
    from service.letters import clean, clean_name, without_star

    stars = {chr(code) for code in range(0x110000) if unicodedata.normalize("NFKC", chr(code)).startswith("*")}
    assert len(stars) >= 3
    for star in (*sorted(stars), *"\u2217\u2731\u2732\u2055\ufe61\uff0a\u066d\u204e"):
        for line in (f"{star} Bob joined", f" {star}{star} Bob joined", f"*{star}\u200d Bob joined"):
            assert without_star(clean(line)) == "Bob joined"
        assert clean_name(f"{star}Bob") == "Bob"
    for line in ("\u2605 a star that is black", "\u2733 eight spokes"):
        assert without_star(line) == line


@pytest.mark.parametrize(
    "other",
    ["Zoe\u0301", "Zo\u200d\u00e9", "Zo\u00e9\ufe0f", "Zo\u200c\u00e9", "Z\ufe00o\U000e0101\u00e9", "Zo\u17b5\u00e9"],
)
def test_names_that_look_the_same_are_the_same(other: str) -> None:
    import hub
    from service.store import NoStore

    rooms = hub.Hub(NoStore(), 10)
    watcher, first, second = Listener(), Listener(), Listener()
    for member in (watcher, first, second):
        room = rooms.join("/", member)
    rooms.say(room, first, ["Zo\u00e9: hello"])
    rooms.say(room, second, [f"{other}: hello"])
    assert room.names.everybody() == {"Zo\u00e9"}
    room.names.news("elsewhere", [f"* here: {other}"])
    assert room.names.everybody() == {"Zo\u00e9"}
    room.names.news("elsewhere", [f"* {other} left"])
    rooms.leave(room, first)
    assert room.names.everybody() == {"Zo\u00e9"}
    rooms.leave(room, second)
    assert room.names.everybody() == set()
    assert not room.names._spellings
    assert [line for line in watcher.told[2:] if line.startswith("* ")] == ["* Zo\u00e9 joined", "* Zo\u00e9 left"]


def test_a_name_is_shown_as_it_was_written_first() -> None:
    """What cannot be seen can be of use: it joins an emoji, and parts a Persian word."""
    import hub
    from service.store import NoStore

    rooms = hub.Hub(NoStore(), 10)
    watcher, member = Listener(), Listener()
    for each in (watcher, member):
        room = rooms.join("/", each)
    for name in ("\U0001f469\u200d\U0001f4bb", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "Ann", "Zoe\u0301"):
        rooms.say(room, member, [f"{name}: hello"])
        assert watcher.told[-2:] == [f"* {unicodedata.normalize('NFC', name)} joined", f"{name}: hello"]
    rooms.leave(room, member)
    assert not room.names.everybody()


def test_what_is_no_notice_stays() -> None:
    from service.letters import clean, without_star

    for line in ("  indented", "\u2764\ufe0f * 2", "a * b", "Ann: * a list", "\U0001f469\u200d\U0001f4bb codes", ""):
        assert without_star(clean(line)) == line


def test_who_is_there_after_what_a_server_said() -> None:
    import lines
    from service.names import names_after

    names: frozenset[str] = frozenset()
    for said, then in [
        (lines.joined("Ann"), {"Ann"}),
        (lines.joined("left"), {"Ann", "left"}),
        (lines.left("Ann"), {"left"}),
        (lines.here(["Cy", "Bob"]), {"Bob", "Cy"}),
        (lines.history(3), {"Bob", "Cy"}),
        (lines.here([]), set()),
    ]:
        names = names_after(said, names)
        assert names == then


# Limits


def test_a_bucket_is_emptied_and_fills_again() -> None:
    from service.guard import Bucket

    bucket = Bucket(rate=2, now=100)
    assert bucket.take(20, 100)
    assert not bucket.take(1, 100)
    assert not bucket.take(3, 101)
    assert bucket.take(2, 101)
    assert not bucket.take(21, 1000)
    assert bucket.take(20, 1000)


def test_a_bucket_without_a_limit() -> None:
    from service.guard import Bucket

    assert Bucket(rate=0, now=0).take(10**9, 0)


def test_addresses_of_one_network_count_as_one() -> None:
    from service.guard import Guard

    guard = Guard(connections=1, rate=0, clients=0)
    assert guard.admit_from("2001:db8::1", 0) == ""
    assert guard.admit_from("2001:db8::2", 0) == "too many connections from this address"
    assert guard.admit_from("2001:db8:0:1::1%eth0", 0) == ""
    assert guard.admit_from("::ffff:192.0.2.1", 0) == ""
    assert guard.admit_from("192.0.2.1", 0) == "too many connections from this address"
    assert guard.admit_from("192.0.2.2", 0) == ""


def test_quiet_addresses_are_forgotten_and_busy_ones_are_not() -> None:
    from service.guard import MANY_ADDRESSES, Guard

    guard = Guard(connections=0, rate=1, clients=0)
    assert guard.admit_from("192.0.2.1", 0) == ""
    assert guard.may_say("192.0.2.1", 10, 0)
    guard.release("192.0.2.1")
    for number in range(MANY_ADDRESSES + 1):
        host = f"10.0.{number // 256}.{number % 256}"
        assert guard.admit_from(host, 0) == ""
        guard.release(host)
    assert guard.admit_from("192.0.2.1", 1) == ""
    assert not guard.may_say("192.0.2.1", 10, 1)
    assert len(guard._addresses) < 10


def test_a_message_takes_tokens_for_its_bytes_too() -> None:
    from service.guard import Meter

    assert Meter().cost(0, 0, []) == 0
    assert Meter().cost(18, 3, []) == 3  # Pings, and the like
    assert Meter().cost(212, 2, ["x" * 100, "y" * 100]) == 2
    # Compressed, and after inflating.
    assert Meter().cost(40, 1, ["x" * (16 << 10)]) == Meter().cost(40, 1, ["\u20ac" * 5462]) == 5


def test_bytes_take_tokens_when_they_come_and_their_text_none() -> None:
    from service.guard import PAID_BYTES, Meter

    meter = Meter()
    assert [meter.cost(kib << 10, 0, []) for kib in (4, 8, 10, 12)] == [1, 1, 0, 1]
    assert meter.cost(16 << 10, 1, ["x" * (16 << 10)]) == 2
    assert meter.cost(16 << 10, 1, ["x" * (16 << 10)]) == 5  # that one was not paid for
    assert meter.cost(1 << 30, 0, []) == (1 << 18) - 4
    assert meter.cost(1 << 30, 1, ["x" * (PAID_BYTES + 4096)]) == 2  # nobody saves up for a flood


# Pace


@pytest.mark.parametrize(
    ("loads", "then", "closed"),
    [
        ([], False, []),
        ([0, 0, 0], False, []),
        ([1.1], True, []),  # with nobody beside it, it is the measure
        ([2.1], True, [2.1]),
        ([0, 1.1], False, [1.1]),
        ([0, 1.0], False, []),
        ([0, 0.3, 0.3], True, []),
        ([0, 1.1, 0.3], True, []),
        ([0, 1.1, 0.2], False, [1.1]),
        ([0, 0, 1.1, 1.2], False, [1.1, 1.2]),
        ([1.1, 1.2, 1.3, 0], True, []),
        ([1.1, 2.2, 1.3, 0], True, [2.2]),
    ],
)
def test_who_is_too_slow_is_so_by_the_measure_of_the_room(loads: list[float], then: bool, closed: list[float]) -> None:
    import hub
    from service.store import NoStore

    rooms = hub.Hub(NoStore(), 10)
    speaker, *members = (Listener() for _ in range(len(loads) + 1))
    for member in (speaker, *members):
        room = rooms.join("/", member)
    speaker.load = 9.0  # is not asked
    for member, load in zip(members, loads, strict=True):
        member.load = load
    rooms.say(room, speaker, ["Ann: hello"])
    assert room.is_behind is then
    assert [member.load for member in members if member.ended] == closed
    assert not speaker.ended
    for member in members:
        member.load = 0.0
    assert not room.look(speaker)
    assert not room.is_behind


# Memory


@pytest.mark.parametrize(
    ("held", "left"),
    [
        ([], []),
        ([700, 800], [700, 800]),
        ([700, 801], [700, 0]),  # before the limit, as more may come until the next look
        ([1501], [0]),
        ([800, 801], [800, 0]),
        ([500, 900, 400], [500, 0, 400]),
        ([500, 900, 400, 700], [500, 0, 400, 0]),
        ([2000, 1, 2], [0, 1, 2]),
    ],
)
def test_the_largest_gives_way_first(held: list[int], left: list[int]) -> None:
    from service.budget import Budget

    holders = [Listener() for _ in held]
    for holder, size in zip(holders, held, strict=True):
        holder.held = size
    budget = Budget(1600, lambda: holders)
    budget.grew(99)
    assert [holder.held for holder in holders] == held
    budget.grew(1)
    assert [holder.held for holder in holders] == left


def test_a_budget_of_0_is_none() -> None:
    from service.budget import Budget

    holder = Listener()
    holder.held = 1 << 40
    Budget(0, lambda: [holder]).grew(1 << 40)
    assert holder.held == 1 << 40


def test_rooms_that_nobody_is_in_count() -> None:
    import hub
    from service.store import NoStore

    rooms = hub.Hub(NoStore(), 100, 10_000, 100_000)
    kept = Listener()
    small = rooms.join("/small", kept)
    rooms.say(small, kept, ["kept"])
    for number in range(50):
        member = Listener()
        room = rooms.join(f"/{number}", member)
        rooms.say(room, member, ["x" * 900] * 10)
        rooms.leave(room, member)
        assert rooms.rooms.budget.held() <= 110_000
    assert list(small.history) == ["kept"]
    assert len(room.history) > 0
    kept.held = 200_000  # it does not read
    rooms.say(room, Listener(), ["x" * 900] * 10)
    assert kept.held == 0


def test_a_history_that_gave_way_comes_back_from_its_file(tmp_path: Path) -> None:
    import hub
    from service.store import SQLiteStore

    store = SQLiteStore(str(tmp_path / "history.db"), 10, trouble())
    rooms = hub.Hub(store, 10)
    member = Listener()
    room = rooms.join("/", member)
    rooms.say(room, member, ["one", "two"])
    room.give_way()
    rooms.say(room, member, ["three"])
    assert list(room.history) == ["three"]
    rooms.leave(room, member)
    room.give_way()
    rooms.join("/", member)
    assert list(room.history) == ["one", "two", "three"]
    store.close()


# Store


def test_a_store_keeps_the_last_lines_of_each_room(tmp_path: Path) -> None:
    from service.store import SQLiteStore

    path = str(tmp_path / "history.db")
    store = SQLiteStore(path, 10, trouble())
    for number in range(100):
        store.append("/", [str(number), f"{number}b"])
    store.append("/club", ["one"])
    store.append("/club", [])
    assert said_in(store, "/", 3) == ["98b", "99", "99b"]
    assert said_in(store, "/", 100)[-10:] == [f"{number}{b}" for number in range(95, 100) for b in ("", "b")]
    assert said_in(store, "/club", 100) == ["one"]
    assert said_in(store, "/none", 100) == []
    store.close()
    with sqlite3.connect(path) as database:
        (count,) = database.execute("SELECT count(*) FROM lines").fetchone()
    database.close()
    assert count <= 2 * 10 + 3


def test_a_store_keeps_the_rooms_of_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from service import store

    path = str(tmp_path / "history.db")
    monkeypatch.setattr(store, "MAX_ROOMS", 3)
    rooms = store.SQLiteStore(path, 10, trouble())
    for number in range(4):
        rooms.append(f"/{number}", ["one", "two"])
        rooms.append("/", ["hello"])
    assert [said_in(rooms, f"/{number}", 10) for number in range(4)] == [[]] + [["one", "two"]] * 3
    for number in range(4, 6):
        rooms.append(f"/{number}", ["one", "two"])
    rooms.close()
    again = store.SQLiteStore(path, 2, trouble())
    assert [said_in(again, f"/{number}", 10) for number in range(6)] == [[]] * 4 + [["one", "two"]] * 2
    again.append("/5", ["three"])
    assert said_in(again, "/5", 10) == ["two", "three"]  # what is too old goes, although it is from before
    again.close()


def test_a_store_reads_no_more_bytes_than_are_wanted(tmp_path: Path) -> None:
    from service.store import SQLiteStore

    store = SQLiteStore(str(tmp_path / "history.db"), 10, trouble())
    store.append("/", ["x" * 10, "\u20ac" * 10, "y" * 10])
    assert said_in(store, "/", 10, 40) == ["\u20ac" * 10, "y" * 10]
    assert said_in(store, "/", 10, 39) == ["y" * 10]
    store.close()


def test_a_store_does_not_wait_long_for_another_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only when it is opened, for the server that is to end; here that would be for longer than this test may take."""
    from service import store as module
    from service.log import drain
    from service.store import SQLiteStore

    monkeypatch.setattr(module, "START_TIMEOUT", 3600.0)
    path = str(tmp_path / "history.db")
    store = SQLiteStore(path, 10, trouble())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.append("/", ["lost"])
    other.close()
    assert drain(PATIENCE)
    assert 'error="database is locked" lost=1' in capsys.readouterr().out
    store.append("/", ["kept"])
    assert said_in(store, "/", 10) == ["kept"]
    store.close()


def test_a_store_that_breaks_does_not_stop_the_chat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from service.log import drain
    from service.store import SQLiteStore

    path = str(tmp_path / "history.db")
    store = SQLiteStore(path, 10, trouble())
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE lines")
    database.close()
    store.append("/", ["lost"])
    assert said_in(store, "/", 10) == []
    assert drain(PATIENCE)
    assert 'error="no such table: lines" lost=1' in capsys.readouterr().out
    store.close()


def trouble() -> Any:
    from service.metrics import Metrics
    from service.troubles import Trouble

    return Trouble("history", Metrics())


# Rooms


class Listener:
    """A member that records the lines that it is sent."""

    def __init__(self) -> None:
        from hub import NO_PREFIX

        self.name = ""
        self.prefix = NO_PREFIX
        self.user = ""
        self.told: list[str] = []
        self.load = 0.0
        self.held = 0
        self.ended: list[int] = []

    def deliver(self, batch) -> float:  # type: ignore[no-untyped-def]
        self.told += [message.payload.decode() for message in batch._messages]
        return self.load

    def close(self, code: int, reason: str) -> None:
        self.ended.append(code)

    def give_way(self) -> None:
        self.held = 0


def test_who_can_have_no_other_name_is_told_so() -> None:
    import hub
    from service.store import NoStore

    rooms = hub.Hub(NoStore(), 10)
    other, member = Listener(), Listener()
    rooms.join("/", other)
    member.user = "Ann Smith"
    room = rooms.join("/", member)
    rooms.say(room, member, ["Bob: hello"])
    assert member.told == ["* history 0", "* here: ", "* name Ann Smith"]
    assert other.told == ["* history 0", "* here: ", "* Ann Smith joined", "Ann Smith: hello"]


def test_empty_rooms_are_kept_for_their_history_but_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    import hub
    from service import rooms as module
    from service.store import NoStore

    monkeypatch.setattr(module, "MAX_EMPTY_ROOMS", 3)
    rooms = hub.Hub(NoStore(), 10)
    for number in range(6):
        member = Listener()
        room = rooms.join(f"/{number}", member)
        rooms.say(room, member, [f"in {number}"])
        rooms.leave(room, member)
    histories = {}
    for number in (5, 0):
        again = Listener()
        rooms.join(f"/{number}", again)
        histories[number] = [line for line in again.told if not line.startswith("* at ")]
    assert histories == {5: ["* history 1", "in 5", "* here: "], 0: ["* history 0", "* here: "]}
    assert sum(room.users > 0 for room in rooms.rooms.all()) == 2


def test_rooms_in_which_nothing_was_said_cost_no_other_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    import hub
    from service import rooms as module
    from service.store import NoStore

    monkeypatch.setattr(module, "MAX_EMPTY_ROOMS", 3)
    rooms = hub.Hub(NoStore(), 10)
    member = Listener()
    room = rooms.join("/club", member)
    rooms.say(room, member, ["Ann: hello"])
    rooms.leave(room, member)
    with rooms.rooms.locked("/elsewhere") as room:
        room.names.news("another server", ["* Eve joined"])
    for number in range(10):
        rooms.leave(rooms.join(f"/{number}", member), member)
    assert {room.path for room in rooms.rooms.all()} == {"/club", "/elsewhere", "/9"}


def test_a_history_is_bounded_in_bytes() -> None:
    import hub
    from service.store import NoStore

    rooms = hub.Hub(NoStore(), 100, 10_000)
    member = Listener()
    room = rooms.join("/", member)
    rooms.say(room, member, [f"{number:04}" + "\u20ac" * 332 for number in range(50)])
    assert [line[:4] for line in room.history] == [f"{number:04}" for number in range(41, 50)]
    rooms.say(room, member, ["short"] * 200)
    assert list(room.history) == ["short"] * 100
    rooms.say(room, member, ["too long " * 2000])
    assert list(room.history) == []


def test_a_history_is_bounded_in_memory() -> None:
    from service.history import History

    history = History(100, 10_000)
    for _ in range(50):
        history.append("x" * 900 + "\U0001f600")  # 4 bytes for each, in Python
    assert len(history) == 2


def test_who_leaves_is_not_counted_although_the_others_cannot_be_told() -> None:
    import hub
    from service.store import NoStore

    class Broken(Listener):
        def deliver(self, batch) -> None:  # type: ignore[no-untyped-def]
            raise RuntimeError

    rooms = hub.Hub(NoStore(), 10)
    member = Listener()
    room = rooms.join("/", member)
    rooms.say(room, member, ["Ann: hello"])
    room.members.add(Broken())
    with pytest.raises(RuntimeError):
        rooms.leave(room, member)
    assert sum(room.users > 0 for room in rooms.rooms.all()) == 0


def test_a_greeting_is_not_kept_for_nobody() -> None:
    import hub
    from service.store import NoStore

    rooms = hub.Hub(NoStore(), 100)
    members = Listener(), Listener()
    room, _ = (rooms.join("/", member) for member in members)
    rooms.leave(room, members[0])
    assert room._greeting is not None
    rooms.leave(room, members[1])
    assert room._greeting is None


def test_a_greeting_fits_into_the_outbox() -> None:
    from service.settings import Settings

    assert Settings().history_limits == (100, 256 << 10)
    assert Settings(outbox_messages=50, outbox_bytes=9999).history_limits == (12, 4999)
    assert Settings(outbox_messages=0, outbox_bytes=0).history_limits == (100, 256 << 10)


# Outbox


def test_what_is_held_is_sent_with_one_write() -> None:
    from outbox import Outbox

    blocked: list[str] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # one recv() for each send()
    with ours, theirs:
        outbox = Outbox(ours, 3, 1, encrypt=None, blocked=lambda: blocked.append("blocked"))
        outbox.hold()
        outbox.put(b"answer")
        outbox.put(b"greeting", 2)
        with pytest.raises(BlockingIOError):
            theirs.recv(100, socket.MSG_DONTWAIT)
        assert outbox.load == 0
        outbox.release()
        assert theirs.recv(100) == b"answergreeting"
        outbox.put(b"line", 1)
        assert theirs.recv(100) == b"line"
        assert outbox.is_empty
        assert (outbox.bytes, outbox.messages, blocked) == (0, 0, [])


@pytest.mark.parametrize("entries", [1, 2])
def test_what_waits_when_the_connection_breaks_is_dropped(entries: int) -> None:
    from outbox import Outbox

    ours, theirs = socket.socketpair()
    with ours:
        outbox = Outbox(ours, 0, 0, encrypt=None, blocked=lambda: None)
        for _ in range(entries):
            outbox.put(b"x" * (16 << 20), 1)
        assert not outbox.is_empty
        theirs.close()
        outbox.flush()
        outbox.put(b"more", 1)
        outbox.flush()
        assert outbox.is_empty
        assert (outbox.bytes, outbox.messages) == (0, 0)


def test_what_was_held_and_is_not_taken_counts() -> None:
    from outbox import Outbox

    blocked: list[str] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        outbox = Outbox(ours, 0, 1, encrypt=None, blocked=lambda: blocked.append("blocked"))
        outbox.hold()
        outbox.put(b"x" * (16 << 20), 2)
        outbox.release()
        assert blocked == ["blocked"]
        assert outbox.load == 2
        assert 0 < outbox.bytes == (16 << 20) - outbox.sent_bytes


def test_what_is_shed_leaves_whole_messages() -> None:
    from outbox import Outbox

    ours, theirs = socket.socketpair()
    with ours, theirs:
        outbox = Outbox(ours, 0, 0, encrypt=None, blocked=lambda: None)
        size = 1 << 20
        for letter in b"abc":
            outbox.put(bytes([letter]) * size, 1)
        assert outbox.held > 2 * size
        outbox.shed()
        outbox.put(b"d", 1)
        assert outbox.messages == 2
        assert outbox.held == outbox.bytes + 2 * 128 < 1.1 * size
        got = b""
        while len(got) < size + 1:
            got += theirs.recv(size)
            outbox.flush()
        assert got == b"a" * size + b"d"
        assert (outbox.bytes, outbox.messages, outbox.held) == (0, 0, 0)


# Log


def test_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    from service.log import drain, log

    log("connect", client=1, peer="[::1]:80", name="", reason='a "b"\nevent=x \u202e')
    assert drain(PATIENCE)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.endswith('event=connect client=1 peer=[::1]:80 name="" reason="a \\"b\\"\\nevent=x \\u202e"\n')


def test_nobody_waits_for_who_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    from service import log

    class Stdout:
        """While it writes the first line, nobody reads it, and others have two to say. Then the reader is gone."""

        def __init__(self) -> None:
            self.written: list[str] = []
            self.is_read = threading.Event()

        def write(self, text: str) -> None:
            self.written.append(text)
            assert self.is_read.wait(PATIENCE)

        def flush(self) -> None:
            if len(self.written) == 1:
                raise BrokenPipeError

    stdout = Stdout()
    monkeypatch.setattr(log.sys, "stdout", stdout)
    log.say("first")
    while not stdout.written:
        pass  # the log's thread has not begun yet
    log.say("second")
    log.say("third")
    assert not log.drain(0.01)
    stdout.is_read.set()
    assert log.drain(PATIENCE)
    log.say("fourth")
    assert log.drain(PATIENCE)
    assert stdout.written == ["first\n", "second\nthird\n", "fourth\n"]


def test_a_line_that_is_being_written_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from service import log

    class Stdout:
        """It writes when it is told to."""

        def __init__(self) -> None:
            self.texts: queue.SimpleQueue[str] = queue.SimpleQueue()
            self.writes = threading.Semaphore(0)

        def write(self, text: str) -> None:
            self.texts.put(text)
            assert self.writes.acquire(timeout=PATIENCE)

        def flush(self) -> None:
            pass

    stdout = Stdout()
    monkeypatch.setattr(log.sys, "stdout", stdout)
    log.say("first")
    assert stdout.texts.get(timeout=PATIENCE) == "first\n"
    log.say("second")
    stdout.writes.release()
    assert stdout.texts.get(timeout=PATIENCE) == "second\n"
    assert not log.drain(0.01)
    stdout.writes.release()
    assert log.drain(PATIENCE)


# Times


def test_a_history_has_times() -> None:
    from service.history import History
    from service.times import at

    history = History(3, 10_000)
    history.extend(["Ann: of some day"])
    history.extend([at(0), "Ann: a", "* Ann left", at(59.9), "Ann: b", at(60), "Ann: c"])
    assert list(history.with_times()) == [
        "* at 1970-01-01T00:00Z",
        "Ann: a",
        "Ann: b",
        "* at 1970-01-01T00:01Z",
        "Ann: c",
    ]
    assert list(history) == ["Ann: a", "Ann: b", "Ann: c"]
    history.extend(["Ann: d"], at(60))
    assert list(history.with_times()) == [
        "* at 1970-01-01T00:00Z",
        "Ann: b",
        "* at 1970-01-01T00:01Z",
        "Ann: c",
        "Ann: d",
    ]


@pytest.mark.parametrize(
    ("time", "minute"),
    [(1e9, "2001-09-09T01:46"), (-1, "1970-01-01T00:00"), (1e300, "9999-12-31T23:59"), (1 << 63, "9999-12-31T23:59")],
)
def test_times_have_one_form(time: float, minute: str) -> None:
    from lines import is_said_by_server
    from service.times import at

    assert at(time) == f"* at {minute}Z"
    assert is_said_by_server(at(time))


def test_a_file_from_before_there_were_times(tmp_path: Path) -> None:
    from service.store import SQLiteStore

    path = str(tmp_path / "history.db")
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, room TEXT NOT NULL, line TEXT NOT NULL)")
        database.execute("INSERT INTO lines (room, line) VALUES ('/', 'Ann: before')")
    database.close()
    for count in (1, 2):
        store = SQLiteStore(path, 100, trouble())
        store.append("/", [f"Ann: {count}"])
        said = store.last("/", 100)
        store.close()
        assert said[0] == "Ann: before"
        assert said[1].startswith("* at ")
        assert said[-1] == f"Ann: {count}"
        assert [line for line in said if not line.startswith("* ")] == ["Ann: before", "Ann: 1", "Ann: 2"][: count + 1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Ann: a\nb", "Ann: a\n\tb"),
        ("Ann: a\n\tb\n\t\u202e\tc", "Ann: a\n\tb\n\t  c"),
        ("Ann: a\r\n* Bob left\rBob: no", "Ann: a\n\t* Bob left\n\tBob: no"),
        ("Ann: a\n\n\n\n\r\n\rb\n\nc", "Ann: a\n\t\n\tb\n\t\n\tc"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f\x00g", "a b c d e f g"),
        ("\n* Bob left", "Bob left"),
        ("Ann: a\n\r\n\x00 \n\t\n", "Ann: a"),
        ("Ann: \n", "Ann: "),
        ("\n \n", ""),
    ],
)
def test_lines_of_a_message_look_like_no_other_message(text: str, line: str) -> None:
    from lines import prefix, without_star
    from service.letters import clean, clean_name

    assert without_star(clean(text)) == line
    assert clean(line) == line
    assert "\n" not in prefix(line)
    assert "\n" not in clean_name(text)


def test_no_name_and_no_room_has_several_lines() -> None:
    from lines import prefix
    from service.pages import room_of

    assert prefix("Ann\n\tBob: hello") == ""
    assert room_of("/a%0Ab") is None
    assert room_of("/a%0A%09b") is None
