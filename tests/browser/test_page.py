"""The chat's page in a real browser: first with the real server, then with one that the test plays itself."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from csp import PAGE, with_hashes

if TYPE_CHECKING:
    from page_server import ChatServer
    from playwright.sync_api import Locator, Page, WebSocketRoute, expect

    NewPage = Callable[..., Page]
else:

    def expect(actual):
        """Import the real one when it is needed, so that a machine without it can skip."""
        from playwright.sync_api import expect as playwright_expect

        return playwright_expect(actual)


pytestmark = pytest.mark.browser


# What a person does, and sees


def enter(page: Page, url: str, name: str) -> Page:
    page.goto(url)
    expect(page.get_by_role("status")).to_have_text("Connected")
    page.get_by_label("Name").press_sequentially(name)  # key by key: what a program fills in is no change to Firefox
    page.get_by_label("Name").press("Enter")
    return page


def field(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def say(page: Page, text: str) -> None:
    field(page).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def texts(page: Page) -> Locator:
    return page.locator("#log .text")


def log(page: Page) -> Locator:
    return page.get_by_role("log")


def scroll_up(page: Page) -> None:
    log(page).evaluate("""log => new Promise((done) => {
      log.addEventListener("scroll", done, {once: true});
      log.scrollTop = 100;
    })""")


def stop_clock(page: Page) -> None:
    """Let the page's timers run only when the test says how far."""
    page.clock.install(time=0)
    page.clock.pause_at(1000)


# With the real server


def test_page_from_server_and_page_from_disk_talk(server: ChatServer, new_page: NewPage) -> None:
    ann = enter(new_page(), server.page(), "Ann")
    bob = enter(new_page(), server.page_from_disk(), "Bob")
    say(ann, "hello Bob")
    expect(texts(bob)).to_have_text(["hello Bob"])
    say(bob, "hello Ann")
    for page in (ann, bob):
        expect(texts(page)).to_have_text(["hello Bob", "hello Ann"])
    expect(ann.locator(".message.own")).to_have_count(1)
    expect(bob.locator("#log .who").first).to_have_text("Ann")


def test_who_is_here(server: ChatServer, new_page: NewPage) -> None:
    ann = enter(new_page(), server.page(), "Ann")
    bob = enter(new_page(), server.page(), "Bob")
    expect(log(ann)).to_contain_text("Bob joined")
    expect(ann.locator("#count")).to_have_text("2 here")
    bob.close()
    expect(log(ann)).to_contain_text("Bob left")
    expect(ann.locator("#people bdi")).to_have_text(["Ann"])


def test_rooms_are_apart(server: ChatServer, new_page: NewPage) -> None:
    lobby = enter(new_page(), server.page(), "Ann")
    club = enter(new_page(), server.page("club"), "Bob")
    from_disk = enter(new_page(), server.page_from_disk("club"), "Eve")
    say(lobby, "in the lobby")
    say(club, "in the club")
    expect(texts(from_disk)).to_have_text(["in the club"])
    say(from_disk, "me too")
    expect(texts(club)).to_have_text(["in the club", "me too"])
    expect(texts(lobby)).to_have_text(["in the lobby"])
    expect(club.get_by_role("heading")).to_have_text("club")


HOSTILE = [
    "<img src=x onerror=document.body.remove()>",
    "<script>document.body.remove()</script>",
    "</div></main><h1>gone</h1>",
    "&lt;b&gt; &amp;amp; ${1} {{1}} %00",
    "javascript:document.body.remove()",
    "* history 0",
    "Bob: I never said this",
    "{}[]()*+?^$|\\",
    "__proto__",
    "W" * 1500,
    "e" + "\u0301" * 300,
    "\u05e9\u05dc\u05d5\u05dd (abc)",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
]


def test_hostile_strings_stay_text(server: ChatServer, new_page: NewPage) -> None:
    ann = enter(new_page(), server.page(), "<b>Ann</b>")
    bob = enter(new_page(viewport={"width": 360, "height": 640}), server.page(), "Bob")
    for text in HOSTILE:
        say(ann, text)
    for page in (ann, bob):
        expect(texts(page)).to_have_text(HOSTILE)
        expect(page.locator("#log :is(img, script, b, h1, a)")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(bob.locator("#log .who").first).to_have_text("<b>Ann</b>")


def test_server_stop_shows_disconnected(server: ChatServer, new_page: NewPage) -> None:
    ann = enter(new_page(), server.page(), "Ann")
    server.stop()
    expect(ann.get_by_role("status")).to_contain_text("Disconnected")
    expect(log(ann)).to_contain_text("Disconnected")
    expect(log(ann)).to_contain_text("Cannot reach 127.0.0.1")
    say(ann, "too late")
    expect(field(ann)).to_have_value("too late")
    expect(ann.get_by_role("alert")).to_contain_text("Not connected")


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("remembers", [True, False])
def test_restart_doubles_and_loses_no_line(
    make_server: Callable[..., ChatServer], tmp_path: Path, new_page: NewPage, remembers: bool, end: str
) -> None:
    server = make_server("--history", str(tmp_path / "history")) if remembers else make_server()
    ann = enter(new_page(), server.page(), "Ann")
    bob = new_page()
    stop_clock(bob)  # so that he does not come back before he is told to
    enter(bob, server.page(), "Bob")
    lines = []
    for page, text in [(ann, "one"), (bob, "two"), (ann, "two"), (ann, "three")]:
        say(page, text)
        lines.append(text)
        expect(texts(ann)).to_have_text(lines)
        expect(texts(bob)).to_have_text(lines)
    getattr(server, end)()
    for page in (ann, bob):
        expect(page.get_by_role("status")).to_contain_text("Disconnected")
    server.start()
    expect(ann.get_by_role("status")).to_have_text("Connected")  # by itself
    say(ann, "while Bob was away")
    lines.append("while Bob was away")
    expect(ann.locator(".message")).to_have_count(len(lines))
    bob.get_by_role("button", name="Connect now").click()
    for page in (ann, bob):
        expect(texts(page)).to_have_text(lines)
    # The note of the gap stands between what was seen and what was missed.
    expect(bob.locator(".message:has-text('three') ~ .note:has-text('Connected again')")).to_have_count(1)
    expect(bob.locator(".note:has-text('Connected again') ~ .message")).to_have_count(1)
    if remembers:
        late = enter(new_page(), server.page(), "Late")
        expect(texts(late)).to_have_text(lines)
        expect(bob.locator(".delivery")).to_have_count(0)  # all of his lines are known to have arrived


def test_keyboard_alone(server: ChatServer, new_page: NewPage) -> None:
    page = new_page(viewport={"width": 800, "height": 400})
    page.goto(server.page())
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Ann")
    page.keyboard.press("Enter")
    expect(field(page)).to_be_focused()
    for number in range(12):
        page.keyboard.type(f"line {number}")
        page.keyboard.press("Enter")
        expect(field(page)).to_be_focused()
    expect(texts(page)).to_have_count(12)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(log(page)).to_be_focused()
    page.keyboard.press("Home")
    expect(log(page)).to_have_js_property("scrollTop", 0)
    for menu, shown in (
        ("1 here", page.get_by_role("list", name="Who is here")),
        ("Rooms", page.get_by_role("textbox", name="Another room")),
    ):
        page.keyboard.press("Shift+Tab")
        summary = page.locator("summary", has_text=menu)
        expect(summary).to_be_focused()
        page.keyboard.press("Enter")
        expect(shown).to_be_visible()
        page.keyboard.press("Escape")
        expect(shown).to_be_hidden()
        expect(summary).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_name_comes_first(server: ChatServer, new_page: NewPage) -> None:
    page = new_page()
    page.goto(server.page())
    expect(page.get_by_role("status")).to_have_text("Connected")
    say(page, "who am I?")
    expect(page.get_by_label("Name")).to_be_focused()
    expect(texts(page)).to_have_count(0)
    page.keyboard.type(" *: Ann, ")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_have_value("Ann")
    expect(texts(page)).to_have_text(["who am I?"])


def test_name_is_remembered(server: ChatServer, new_page: NewPage) -> None:
    page = enter(new_page(), server.page(), "Ann")
    bob = enter(new_page(), server.page(), "Bob")
    say(page, "mine")
    expect(texts(bob)).to_have_text(["mine"])  # so it has arrived
    page.bring_to_front()  # Firefox gives no focus to a page behind another
    page.reload()
    expect(page.get_by_label("Name")).to_have_value("Ann")
    expect(field(page)).to_be_focused()
    expect(page.locator(".own .text")).to_have_text(["mine"])


def test_history_has_its_lines_and_times_again(server: ChatServer, new_page: NewPage) -> None:
    page = enter(new_page(), server.page(), "Ann")
    bob = enter(new_page(), server.page(), "Bob")
    say(page, "def f(x):\n    return x\n\n\n\nf(1)")
    expect(bob.locator(".delivery")).to_have_count(0)
    for _ in range(2):
        expect(texts(bob)).to_have_count(1)
        assert texts(bob).inner_text() == "def f(x):\n    return x\n\nf(1)"
        expect(bob.locator("#log time.meta")).to_have_count(1)
        expect(bob.locator(".day")).to_have_count(1)
        bob.reload()
    page.reload()
    expect(page.locator(".own time.meta")).to_have_count(1)


def test_without_storage(server: ChatServer, new_page: NewPage) -> None:
    page = new_page()
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }})")
    enter(page, server.page(), "Ann")
    say(page, "still here")
    expect(texts(page)).to_have_text(["still here"])


def test_own_lines_are_known_again_in_another_tab(server: ChatServer, new_page: NewPage) -> None:
    first = enter(new_page(), server.page(), "Ann")
    second = first.context.new_page()
    second.goto(server.page())
    expect(second.get_by_label("Name")).to_have_value("Ann")
    namesake = enter(new_page(), server.page(), "Ann")
    say(first, "from the first")
    expect(texts(second)).to_have_text(["from the first"])
    say(second, "from the second")
    expect(texts(first)).to_have_text(["from the first", "from the second"])
    say(namesake, "from somebody else of that name")
    for page in (first, second):
        expect(texts(page)).to_have_count(3)
        expect(page.locator(".own .text")).to_have_text(["from the first", "from the second"])
        expect(page.locator(".message:not(.own) .who")).to_have_text(["Ann"])
    second.reload()
    expect(second.locator(".own .text")).to_have_text(["from the first", "from the second"])


def test_a_way_to_other_rooms(server: ChatServer, new_page: NewPage) -> None:
    for url in (server.page("club"), server.page_from_disk("club")):
        page = enter(new_page(), url, "Ann")
        other_tab = page.context.new_page()
        other_tab.goto(url)
        for room in ("caf\u00e9 & \u05e9\u05dc\u05d5\u05dd", "a:b?c#d%20"):
            page.locator("summary", has_text="Rooms").click()
            page.get_by_role("textbox", name="Another room").fill(f" /{room}/ ")
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading")).to_have_text(room)
            expect(page.get_by_role("status")).to_have_text("Connected")
            # A browser takes a moment to pass what one page has stored to the process of the next page.
            other_tab.wait_for_function("room => localStorage.getItem('chat.rooms').includes(room)", arg=room)
        page.locator("summary", has_text="Rooms").click()
        visited = page.get_by_role("navigation").get_by_role("link")
        expect(visited).to_have_text(["a:b?c#d%20", "Lobby", "caf\u00e9 & \u05e9\u05dc\u05d5\u05dd", "club"])
        expect(visited.first).to_have_attribute("aria-current", "page")
        visited.last.click()
        expect(page.get_by_role("heading")).to_have_text("club")
        expect(page.get_by_role("status")).to_have_text("Connected")
        page.locator("summary", has_text="Rooms").click()
        page.get_by_role("link", name="Lobby").click()
        expect(page.get_by_role("heading")).to_have_text("Lobby")
        expect(page.get_by_role("status")).to_have_text("Connected")


def test_no_room_has_the_name_of_something_else(server: ChatServer, new_page: NewPage) -> None:
    page = enter(new_page(), server.page(), "Ann")
    page.locator("summary", has_text="Rooms").click()
    other = page.get_by_role("textbox", name="Another room")
    other.fill("metrics")
    other.press("Enter")
    assert not other.evaluate("field => field.validity.valid")
    expect(page).to_have_url(server.page())


# With a server that the test plays: its frames, and how it closes


class PlayedServer:
    """A server that answers the page's connections, and keeps what the page sent."""

    def __init__(self, page: Page, *first: str) -> None:
        self.page = page
        self.first = first
        self.connections: list[WebSocketRoute] = []
        self.received: list[str] = []
        page.route_web_socket("**", self.connected)

    def connected(self, socket: WebSocketRoute) -> None:
        self.connections.append(socket)
        socket.on_message(lambda message: self.received.append(str(message)))
        for frame in self.first:
            socket.send(frame)

    def send(self, *frames: str) -> None:
        for frame in frames:
            self.connections[-1].send(frame)

    def close(self, code: int, reason: str = "") -> None:
        self.connections[-1].close(code=code, reason=reason)

    def back(self, *first: str) -> None:
        """Let the page come back, to be greeted with `first`."""
        self.first = first
        self.page.get_by_role("button", name="Connect now").click()
        expect(self.page.get_by_role("status")).to_have_text("Connected")


URL = f"{PAGE.as_uri()}?room=club"


def play(page: Page, *first: str) -> PlayedServer:
    stop_clock(page)
    served = PlayedServer(page, *first)
    enter(page, URL, "Ann")
    return served


def test_history_replaces_what_is_shown(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 2", "Bob: one", "Ann: two")
    served.send("Bob: three", "* history 3", "Bob: one", "Ann: two", "Bob: three")
    expect(texts(page)).to_have_text(["one", "two", "three"])
    expect(page.locator("#log .meta")).to_have_count(1)  # the one that was seen to come keeps its time


def test_line_said_before_the_history_came_stays_below_it(new_page: NewPage) -> None:
    page = new_page()
    served = play(page)
    say(page, "early")
    expect(texts(page)).to_have_text(["early"])
    served.send("* history 1", "Bob: one")
    expect(texts(page)).to_have_text(["one", "early"])


def test_what_is_older_than_the_history_stays_above(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 3", "Bob: ok", "Bob: one", "Bob: ok")
    served.close(1012)
    served.back("* history 2", "Bob: ok", "Bob: two")
    expect(texts(page)).to_have_text(["ok", "one", "ok", "two"])
    served.close(1012)
    served.back("* history 0")  # it has forgotten all
    expect(texts(page)).to_have_text(["ok", "one", "ok", "two"])


def test_line_in_doubt_is_marked_and_sent_again(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    for text in ("ok", "there", "lost"):
        say(page, text)
    page.clock.run_for(60_000)
    expect(page.locator(".delivery")).to_have_count(0)
    for text in ("ok", "there"):
        say(page, text)
    served.close(1012)
    expect(page.locator(".delivery")).to_have_count(2)
    served.back("* history 5", "Ann: ok", "Ann: there", "Ann: lost", "Ann: there", "Bob: hi")
    expect(texts(page)).to_have_text(["ok", "there", "lost", "there", "hi", "ok"])
    expect(page.locator(".delivery")).to_have_count(1)
    served.received.clear()
    page.get_by_role("button", name="Send again").click()
    expect(field(page)).to_be_focused()
    expect(texts(page)).to_have_text(["ok", "there", "lost", "there", "hi", "ok"])
    expect(page.locator(".delivery")).to_have_count(0)
    assert served.received == ["Ann: ok"]


def test_attempt_that_fails_casts_no_doubt_on_earlier_lines(server: ChatServer, new_page: NewPage) -> None:
    page = new_page()
    stop_clock(page)
    enter(page, server.page(), "Ann")
    say(page, "said in time")
    page.clock.run_for(5000)
    server.stop()
    page.get_by_role("button", name="Connect now").click()
    expect(log(page)).to_contain_text("Cannot reach")
    expect(page.locator(".delivery")).to_have_count(0)


HOLD_BACK = """() => {
  window.held = 9;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    Object.defineProperty(this, "bufferedAmount", {get: () => held, configurable: true});
    send.call(this, data);
  };
}"""


def test_line_that_does_not_get_out_is_marked(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    page.evaluate(HOLD_BACK)
    say(page, "slow")
    expect(texts(page)).to_have_text(["slow"])
    expect(page.locator(".delivery")).to_have_count(0)
    page.clock.run_for(60_000)
    expect(page.locator(".delivery")).to_have_text("sending…")
    page.evaluate("held = 0")
    page.clock.run_for(1000)
    expect(page.locator(".delivery")).to_have_count(0)
    page.evaluate("held = 9")
    say(page, "lost")
    page.clock.run_for(60_000)
    served.close(1012)
    expect(page.locator(".own:has(.delivery) .text")).to_have_text(["lost"])


def test_1008_stops_and_shows_the_reason(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    served.close(1008, "too many messages")
    expect(page.get_by_role("status")).to_have_text("Disconnected")
    expect(log(page)).to_contain_text("too many messages")
    page.clock.run_for(600_000)
    assert len(served.connections) == 1
    served.back("* history 0")
    assert len(served.connections) == 2


@pytest.mark.clause("6455:7.2.3-backs-off", "6455:7.2.3-first-delay-is-random", "6455:7.2.3-delays-grow")
@pytest.mark.parametrize(("code", "least", "most"), [(1001, 0, 1000), (1012, 0, 1000), (1013, 10_000, 11_000)])
def test_back_off(new_page: NewPage, code: int, least: int, most: int) -> None:
    page = new_page()
    page.add_init_script("Math.random = () => 0.5")
    served = play(page, "* history 0")
    for attempt in range(4):
        served.close(code)
        expect(page.get_by_role("status")).to_contain_text("Disconnected")
        wait = least + (most - least) * 2**attempt // 2
        page.clock.run_for(wait - 100)
        assert len(served.connections) == attempt + 1
        page.clock.run_for(200)
        expect(page.get_by_role("status")).to_have_text("Connected")
        assert len(served.connections) == attempt + 2


def test_name_is_announced_on_each_connection(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    served.close(1012)
    served.back("* history 0")
    say(page, "hi")
    expect(texts(page)).to_have_text(["hi"])
    assert served.received == ["* name Ann", "* name Ann", "Ann: hi"]


def test_name_that_the_server_fixes(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    served.send("* name Ann Smith")
    expect(page.get_by_label("Name")).to_have_value("Ann Smith")
    expect(page.get_by_label("Name")).not_to_be_editable()
    expect(page.locator("#people li")).to_have_text(["AAnn Smithyou"])
    say(page, "it is me")
    expect(texts(page)).to_have_text(["it is me"])
    assert served.received[-1] == "Ann Smith: it is me"


def test_invisible_characters_are_not_sent(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    invisible = "".join(map(chr, (0x202E, 0x7, 0x2066, 0xFFF0, 0x1BCA0, 0x1D173, 0xE0080, 0xE0FFF)))
    say(page, f"a{'b'.join(invisible)}c")
    expect(texts(page)).to_have_text([f"a{' b' * (len(invisible) - 1)} c"])
    assert served.received[-1] == f"Ann: a{' b' * (len(invisible) - 1)} c"


TIMES = [
    "* at 2025-12-31T23:58Z", "Bob: last year",
    "* at 2026-03-08T10:00Z", "Bob: on Sunday", "Eve: me too",
    "* at 2026-03-09T09:03Z", "Bob: yesterday",
    "* at 2026-03-10T07:00Z", "Bob: this morning",
]  # fmt: skip


def test_history_has_times_and_days(new_page: NewPage) -> None:
    page = new_page(locale="en-GB", timezone_id="Europe/Berlin")
    page.clock.install(time="2026-03-10T12:00:00Z")
    served = PlayedServer(page, "* history 5", *TIMES)
    enter(page, URL, "Ann")
    days = ["Thursday, 1 January 2026", "Sunday 8 March", "Yesterday", "Today"]
    days[0] = "Thursday 1 January"  # already so in Berlin, and of this year
    expect(page.locator(".day")).to_have_text(days)
    expect(page.locator("#log .meta")).to_have_text(["00:58", "11:00", "11:00", "10:03", "08:00"])
    served.send("Bob: now")
    expect(page.locator("#log .meta").last).to_have_text("13:00")
    expect(page.locator(".day")).to_have_text(days)  # it is of the same day
    page.reload()
    expect(page.locator("#log .meta")).to_have_text(["00:58", "11:00", "11:00", "10:03", "08:00"])
    page.clock.set_fixed_time("2027-03-11T00:00:00+01:00")
    served.send("Bob: a year later")
    days[-2:] = ["Monday, 9 March 2026", "Tuesday, 10 March 2026"]
    days[:2] = ["Thursday, 1 January 2026", "Sunday, 8 March 2026"]
    expect(page.locator(".day")).to_have_text([*days, "Today"])


def test_missed_lines_stand_under_their_day_whatever_the_notes_say(new_page: NewPage) -> None:
    """A computer that slept: the notes of the gap are of two days, and what was missed is of the first."""
    page = new_page(locale="en-GB", timezone_id="UTC")
    served = play(page, "* history 0")
    served.send("Bob: one")
    served.close(1012)
    expect(page.get_by_role("status")).to_contain_text("Disconnected")
    page.clock.set_fixed_time("1970-01-02T09:00:00Z")
    served.back(
        "* history 3", "* at 1970-01-01T00:00Z", "Bob: one", "Bob: two", "* at 1970-01-02T08:00Z", "Bob: three"
    )
    expect(page.locator(".day")).to_have_text(["Yesterday", "Today"])
    expect(page.locator(".day + .message .text")).to_have_text(["one", "three"])


def test_several_lines(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("  two")
    page.keyboard.press("Enter")
    expect(field(page)).to_have_value("")
    assert served.received[-1] == "Ann: one\n\t  two"
    say(page, "\n \n  a\r\n\tb\n\n\n\n\u202ec \n\n")
    assert served.received[-1] == "Ann:   a\n\t    b\n\t\n\t c"
    served.send("Bob: x\n\ty\n\t\tz", "Bob: of a server\nthat has no tabs")
    expect(texts(page)).to_have_count(4)
    shown = [text.inner_text() for text in texts(page).all()]  # as it is shown, so with the lines that are to be seen
    assert shown == ["one\n  two", "  a\n    b\n\n c", "x\ny\n\tz", "of a server\nthat has no tabs"]


def test_enter_that_chooses_a_word_sends_nothing(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    field(page).fill("nihon")
    for choosing in ("isComposing: true", "keyCode: 229"):
        page.evaluate(
            f"message.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', cancelable: true, {choosing}}}))"
        )
    field(page).press("Enter")
    expect(field(page)).to_have_value("")
    assert served.received == ["* name Ann", "Ann: nihon"]


NO_FINE_POINTER = """
  const asked = matchMedia;
  window.matchMedia = (query) => query === "(pointer: fine)" ? {matches: false} : asked.call(window, query);
"""


def test_on_a_phone_enter_makes_a_line(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 390, "height": 640})
    page.add_init_script(NO_FINE_POINTER)
    served = play(page, "* history 0")
    field(page).click()
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(field(page)).to_have_value("")
    assert served.received[-1] == "Ann: one\n\ttwo"
    field(page).fill("three")
    field(page).press("Control+Enter")
    expect(field(page)).to_have_value("")
    assert served.received[-1] == "Ann: three"


def test_field_grows_with_its_lines_and_shrinks_again(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 390, "height": 640})
    play(page, "* history 0")
    height = "message => message.offsetHeight"
    low = field(page).evaluate(height)
    field(page).fill("a\nb\nc")
    assert low < field(page).evaluate(height) < 0.4 * 640
    field(page).fill("a\n" * 100)
    assert field(page).evaluate(height) <= 0.4 * 640
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Send", exact=True).click()
    assert field(page).evaluate(height) == low


def test_what_is_too_long_is_counted_and_not_cut(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    counter = page.locator("#left")
    field(page).fill("x" * 1799)
    expect(counter).to_be_hidden()
    field(page).fill("x" * 1800)
    expect(counter).to_have_text("200 left")
    say(page, "x" * 2003)
    expect(counter).to_have_text("3 too many")
    expect(field(page)).to_have_js_property("ariaInvalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("Too long by 3")
    expect(field(page)).to_have_value("x" * 2003)
    say(page, "x" * 2000)
    expect(counter).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_hidden()
    assert served.received == ["* name Ann", f"Ann: {'x' * 2000}"]


def test_long_message_is_folded(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    served.send("Bob: " + "\n\t".join(map(str, range(12))), "Bob: " + "\n\t".join(map(str, range(500))), "Bob: end")
    unfold = page.get_by_role("button", name="Show all")
    expect(unfold).to_have_count(1)
    folded = page.locator(".text").nth(1)
    assert folded.bounding_box()["height"] < 400
    unfold.click()
    expect(unfold).to_have_count(0)
    assert folded.bounding_box()["height"] > 4000


def test_heading_under_a_prefix(new_page: NewPage) -> None:
    """A proxy may have the chat under a path of its own, with any name."""
    page = new_page()
    for path, heading, link in [
        ("/chat/", "Lobby", "/chat/"), ("/chat/club", "club", "/chat/"), ("/a/b/caf%C3%A9", "caf\u00e9", "/a/b/"),
        ("/chat/index.html", "Lobby", "/chat/"), ("/club", "club", "/"),
    ]:  # fmt: skip
        url = f"http://chat.example{path}"
        page.route(url, lambda route: route.fulfill(body=PAGE.read_text("utf-8"), content_type="text/html"))
        served = PlayedServer(page, "* history 0")
        page.goto(url)
        expect(page.get_by_role("status")).to_have_text("Connected")
        expect(page.get_by_role("heading")).to_have_text(heading)
        assert served.connections[-1].url == f"ws://chat.example{path.removesuffix('index.html')}"
        page.locator("summary", has_text="Rooms").click()
        expect(page.get_by_role("link", name="Lobby")).to_have_js_property("pathname", link)
        page.evaluate("localStorage.clear()")


def test_rooms_under_a_prefix(make_server: Callable[..., ChatServer], new_page: NewPage) -> None:
    server = make_server("--path", "/chat")
    page = enter(new_page(), server.page("chat"), "Ann")
    expect(page).to_have_url(server.page("chat/"))
    expect(page.get_by_role("heading")).to_have_text("Lobby")
    page.locator("summary", has_text="Rooms").click()
    page.get_by_role("textbox", name="Another room").fill("club")
    page.keyboard.press("Enter")
    expect(page).to_have_url(server.page("chat/club"))
    expect(page.get_by_role("heading")).to_have_text("club")
    expect(page.get_by_role("status")).to_have_text("Connected")


def test_each_line_has_its_author_for_a_screen_reader(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 2", "Bob: one", "Bob: two")
    say(page, "three")
    say(page, "four")
    expect(texts(page)).to_have_count(4)
    lines = log(page).get_by_role("listitem")
    expect(lines).to_have_count(5)  # and the day's heading
    heard = [line.aria_snapshot() for line in lines.all()]
    said = [line for line in heard if "Today" not in line]
    for line, author, words in zip(said, ["Bob", "Bob", "You", "You"], ["one", "two", "three", "four"], strict=True):
        assert author in line, line
        assert words in line, line
    assert served.received[-1] == "Ann: four"


def test_without_scripts(new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(URL)
    if page.locator("#state").text_content():
        pytest.skip("this browser cannot be told to run no scripts")
    expect(page.locator("noscript p").first).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(0)


def test_printing_prints_all(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 800, "height": 400}, color_scheme="dark")
    play(page, "* history 41", *(f"Bob: line {number}" for number in range(40)), "Bob: " + "\n\t".join("x" * 40))
    expect(texts(page).last).to_be_in_viewport()
    page.emulate_media(media="print")
    if not page.evaluate("matchMedia('print').matches"):
        pytest.skip("this browser cannot be told to print")
    assert log(page).evaluate("log => log.scrollHeight <= log.clientHeight + 1")
    bottom, height = page.evaluate(
        "[lines.lastElementChild.getBoundingClientRect().bottom + scrollY, document.documentElement.scrollHeight]"
    )
    assert 40 * 40 < bottom <= height
    expect(page.locator("#form")).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(0)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_links(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    served.send(
        "Bob: see https://example.org/a_(b)?c=d&e=<f> and (HTTP://example.net).",
        "Bob: javascript:alert(1) data:text/html,x file:///etc/passwd https:// http://[ ftp://example.org",
    )
    links = page.locator("#log a")
    expect(links).to_have_text(["https://example.org/a_(b)?c=d&e=", "HTTP://example.net"])
    for link in links.all():
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        expect(link).to_have_attribute("href", link.inner_text())
    expect(texts(page).last).to_contain_text("http://[ ftp://example.org")


def test_line_without_a_name_and_binary_frame(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    served.send("from some other client")
    served.connections[-1].send(b"\x00\xff")
    served.send("Bob: after it")
    expect(texts(page)).to_have_text(["from some other client", "after it"])


def test_reader_who_scrolled_up_is_left_there(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 500, "height": 400})
    served = play(page, "* history 40", *(f"Bob: line {number}" for number in range(40)))
    expect(texts(page).last).to_be_in_viewport()
    scroll_up(page)
    top = log(page).evaluate("log => log.scrollTop")
    served.send("Bob: a", "Bob: b", "* Eve joined", "Bob: c")
    newer = page.get_by_role("button", name="3 new messages")
    expect(newer).to_be_visible()
    assert log(page).evaluate("log => log.scrollTop") == top
    newer.click()
    expect(texts(page).last).to_be_in_viewport()
    expect(newer).to_be_hidden()
    expect(field(page)).to_be_focused()
    page.set_viewport_size({"width": 500, "height": 300})  # as a phone's keyboard does
    expect(texts(page).last).to_be_in_viewport()


def test_reader_at_the_end_stays_there(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 500, "height": 400})
    served = play(page, "* history 0")
    for number in range(30):
        say(page, f"mine {number}")
        served.send(f"Bob: his {number}", "* Eve joined")
        page.set_viewport_size({"width": 500, "height": 400 + number % 3 * 50})
    expect(texts(page)).to_have_count(60)
    expect(page.locator("#lines > :last-child")).to_be_in_viewport()
    expect(page.locator("#newer")).to_be_hidden()


LINES_GO_AND_COME_AROUND_A_FRAME = """() => new Promise((done) => {
  const lines = document.getElementById("lines"), tall = document.createElement("p");
  tall.style.height = "200px";
  lines.lastElementChild.remove();
  requestAnimationFrame(() => setTimeout(() => {  // after that frame, and before the scroll event that it caused
    lines.append(tall);
    const toGo = () => log.scrollHeight - log.scrollTop - log.clientHeight;
    requestAnimationFrame(() => requestAnimationFrame(() => done(toGo())));
  }));
})"""


def test_reader_at_the_end_stays_there_when_lines_go_and_come(new_page: NewPage) -> None:
    page = new_page(viewport={"width": 500, "height": 400})
    PlayedServer(page, "* history 40", *(f"Bob: line {number}" for number in range(40)))
    enter(page, URL, "Ann")
    expect(texts(page).last).to_be_in_viewport()
    assert page.evaluate(LINES_GO_AND_COME_AROUND_A_FRAME) < 2  # fractions of a pixel are lost


def test_unread_count_in_the_title_of_a_hidden_page(new_page: NewPage) -> None:
    page = new_page()
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.away === true})")
    served = play(page, "* history 1", "Bob: old")
    expect(page).to_have_title("club · Chat")
    page.evaluate("window.away = true")
    served.send("Bob: a", "Bob: b")
    expect(page).to_have_title("(2) club · Chat")
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page).to_have_title("club · Chat")


def test_no_more_lines_than_a_page_can_hold(new_page: NewPage) -> None:
    page = new_page()
    served = play(page, "* history 0")
    served.send(*(f"Bob: {number}" for number in range(1100)))
    expect(texts(page).last).to_have_text("1099")
    expect(page.locator("#lines > .message")).to_have_count(1000)
    expect(page.locator("#lines > :first-child")).to_have_text("Today")  # the first heading went with the first lines


class OnlyPages(SimpleHTTPRequestHandler):
    """A server that serves the page, but does not support WebSockets, like some proxies."""

    def do_GET(self) -> None:
        body = PAGE.read_bytes()
        self.send_response(400 if "Upgrade" in self.headers else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_page_without_a_connection_says_what_may_help(new_page: NewPage) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), OnlyPages) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        try:
            origin = f"http://127.0.0.1:{pages.server_port}"
            page = new_page()
            page.goto(f"{origin}/club")
            expect(page.get_by_role("alert")).to_contain_text(f"start it with --allow-origin {origin}.")
        finally:
            pages.shutdown()
            thread.join()


def test_address_that_no_browser_takes(new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{PAGE.as_uri()}?server=mailto:someone")
    expect(page.get_by_role("status")).to_have_text("Not connected")
    expect(log(page)).to_contain_text("Cannot connect")


# How it looks, and for whom


def fill_with_all_there_is(page: Page) -> None:
    """Show all that a connection that has ended can leave: lines of every kind, a line in doubt, a hint."""
    served = play(page, "* history 30", *(f"Bob: line {number} https://example.org/" for number in range(30)))
    served.send("* here: Ann, Bob, Chiara, Dev", "Chiara: hello", "* Eve joined")
    say(page, "lost")
    served.close(1008, "too many messages")
    expect(page.get_by_role("button", name="Send again")).to_be_visible()
    say(page, "kept")
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_axe_finds_nothing(new_page: NewPage, axe: str, scheme: str, width: int) -> None:
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 700})
    fill_with_all_there_is(page)
    page.clock.resume()  # axe waits for timers
    assert violations(page, axe) == []
    served = PlayedServer(page)
    served.back("* history 0", "* here: Ann, Bob, Chiara, Dev")
    scroll_up(page)
    served.send("Bob: new")
    expect(page.get_by_role("button", name="1 new message")).to_be_visible()
    field(page).fill("x" * 1900)
    for menu in ("Rooms", "4 here"):
        page.locator("summary", has_text=menu).click()
        expect(page.locator("[open] .panel")).to_be_visible()
        assert violations(page, axe) == []


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    result = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [json.dumps(violation, indent=1) for violation in result["violations"]]


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const contrast = (text, ground) => {
    const colours = [getComputedStyle(text).color, getComputedStyle(ground).backgroundColor];
    const [low, high] = colours.map(luminance).sort();
    return (high + .05) / (low + .05);
  };
  const [who, avatar, bubble] = [".who", ".avatar", ".bubble"]
    .map((part) => document.querySelector(`.message:not(.own) ${part}`));
  return Array.from({length: 360}, (_, hue) => {
    for (const element of [who, avatar]) element.style.setProperty("--hue", hue);
    return Math.min(contrast(who, bubble), contrast(avatar, avatar));
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_name_colour_can_be_read(new_page: NewPage, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5 to 1."""
    page = new_page(color_scheme=scheme)
    play(page, "* history 1", "Bob: hello")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) == 360
    assert min(contrasts) >= 4.5


@pytest.mark.parametrize("width", [320, 390])
def test_phone(new_page: NewPage, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True)
    fill_with_all_there_is(page)
    page.get_by_role("button", name="Connect now").click()
    for menu in ("Rooms", "1 here"):
        page.locator("summary", has_text=menu).click()
        expect(page.locator("[open] .panel")).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("document.documentElement.scrollHeight") == 640
    for control in (page.get_by_label("Name"), field(page), page.get_by_role("button", name="Send", exact=True)):
        expect(control).to_be_in_viewport(ratio=1)
        box = control.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    assert (
        page.evaluate("parseFloat(getComputedStyle(document.getElementById('message')).fontSize)") >= 16
    )  # a smaller one makes iOS zoom in


@pytest.mark.parametrize("width", [320, 360, 375, 390, 412, 430])
def test_state_is_one_line_on_a_phone(new_page: NewPage, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True)
    play(page, "* history 0", "* here: Bob, Eve, Tom")
    expect(page.locator("summary", has_text="4 here")).to_be_in_viewport(ratio=1)
    state = page.get_by_role("status")
    expect(state).to_have_text("Connected")
    assert state.evaluate("state => state.offsetHeight < 2 * parseFloat(getComputedStyle(state).fontSize)")


def test_time_of_a_message_from_right_to_left_reads_from_left_to_right(new_page: NewPage) -> None:
    page = new_page(locale="en-US")
    play(page, "* history 0", "Bob: \u0645\u0631\u062d\u0628\u0627")
    left = """(time, at) => {
      const range = new Range();
      range.setStart(time.firstChild, at);
      range.setEnd(time.firstChild, at + 1);
      return range.getBoundingClientRect().left;
    }"""
    time = page.locator("#log time.meta")
    expect(time).to_have_text(re.compile(r"\d\d:\d\d\s[AP]M"))
    assert time.evaluate(left, 0) < time.evaluate(left, 6)


@pytest.mark.parametrize(("motion", "animation"), [("no-preference", "arrive"), ("reduce", "none")])
def test_reduced_motion(new_page: NewPage, motion: str, animation: str) -> None:
    page = new_page(reduced_motion=motion)
    play(page, "* history 1", "Bob: hello")
    assert page.evaluate("getComputedStyle(document.querySelector('.message')).animationName") == animation


def test_policy_has_the_hashes_of_the_page() -> None:
    """After a change of the page: python tests/support/csp.py"""
    html = PAGE.read_text("utf-8")
    assert html == with_hashes(html)


ATTEMPTS = """async () => {
  window.directives = new Set();
  document.addEventListener("securitypolicyviolation", (event) => directives.add(event.effectiveDirective));
  const refused = [];
  const attempt = async (name, action) => { try { await action(); } catch { refused.push(name); } };
  const script = document.createElement("script"), image = new Image();
  await attempt("markup", () => { log.innerHTML = "<b>x</b>"; });
  await attempt("script", () => { script.text = "1"; });
  await attempt("handler", () => { log.setAttribute("onclick", "1"); });
  await attempt("fetch", () => fetch("https://127.0.0.1:1/"));
  await attempt("image", () => new Promise((good, bad) => {
    Object.assign(image, {onload: good, onerror: bad, src: "https://127.0.0.1:1/x.png"});
  }));
  return refused;
}"""


def test_policy_lets_nothing_else_in(new_page: NewPage) -> None:
    page = new_page(refusals=True)
    play(page, "* history 0")
    refused = page.evaluate(ATTEMPTS)
    assert refused == ["markup", "script", "handler", "fetch", "image"]
    assert set(page.evaluate("[...directives]")) == {"require-trusted-types-for", "connect-src", "img-src"}
