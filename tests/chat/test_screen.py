"""What the terminal client shows of a server's lines: without sockets."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from screen import Screen


@pytest.fixture
def screen() -> Screen:
    from screen import Screen

    return Screen()


def shown(screen: Screen, *received: str) -> list[str]:
    """What is shown of these; notes in brackets."""
    return [f"({text})" if is_note else text for line in received for is_note, text in screen.receive(line)]


def local(minute: str) -> str:
    return f"({datetime.fromisoformat(f'{minute}+00:00').astimezone():%a %d %b %Y, %H:%M})"


def test_bookkeeping_is_hidden(screen: Screen) -> None:
    greeting = ("* history 2", "Ann: one", "* Ann: two", "* here: Ann, Bob")
    assert shown(screen, *greeting) == ["Ann: one", "* Ann: two", "(Here: Ann, Bob)"]
    assert shown(screen, "* history 0", "* here: ", "* Eve joined") == ["(Nobody else is here)", "* Eve joined"]
    assert shown(screen, "* name Ann Smith", "Bob: * history 3") == ["(You are Ann Smith)", "Bob: * history 3"]


def test_what_another_server_sends_is_shown(screen: Screen) -> None:
    lines = ("* history", "* history 1,000", "* history 123456", "* at noon", "* here", "history 3", "*", "")
    assert shown(screen, *lines) == list(lines)


def test_times_stand_where_there_is_a_pause_or_another_day(screen: Screen) -> None:
    times = [f"2026-11-{minute}" for minute in ("21T12:00", "21T12:04", "21T12:09", "23T12:09")]
    lines = [line for time in times for line in (f"* at {time}Z", f"Ann: {time}")]
    assert shown(screen, "* history 4", *lines, "Ann: now") == [
        local(times[0]), f"Ann: {times[0]}", f"Ann: {times[1]}",
        local(times[2]), f"Ann: {times[2]}",
        local(times[3]), f"Ann: {times[3]}",
        "Ann: now",
    ]  # fmt: skip


def test_after_a_gap_only_what_was_missed_is_shown(screen: Screen) -> None:
    shown(screen, "* history 2", "Ann: ok", "Ann: one", "Ann: ok")
    screen.send("Bob: ok", 100.0)
    screen.broke(105.0)
    assert shown(screen, "* history 6", "Ann: ok", "Ann: one", "Ann: ok", "Bob: ok", "Ann: ok", "Eve: new") == [
        "Ann: ok",  # said twice before, and three times now
        "Eve: new",
    ]
    screen.broke(200.0)
    assert shown(screen, "* history 2", "Ann: ok", "Eve: new") == []


def test_lines_in_doubt_are_told_once(screen: Screen) -> None:
    shown(screen, "* history 1", "Bob: same")
    for line, now in [("Bob: long ago", 1.0), ("Bob: there", 100.0), ("Bob: lost", 101.0), ("Bob: same", 102.0)]:
        screen.send(line, now)
    screen.broke(105.0)
    screen.broke(110.0)  # an attempt that failed
    again = ("* history 3", "Bob: long ago", "Bob: same", "Bob: there")
    assert shown(screen, *again) == ["(May not have arrived: Bob: lost)", "(May not have arrived: Bob: same)"]
    screen.broke(111.0)
    assert shown(screen, *again) == []


def test_history_that_is_cut_off_is_forgotten(screen: Screen) -> None:
    assert shown(screen, "* history 3", "Ann: one") == []
    screen.broke(1.0)
    assert shown(screen, "* history 2", "Ann: one", "Ann: two", "Ann: now") == ["Ann: one", "Ann: two", "Ann: now"]
