"""Makes the documentation's pictures of the chat: `python tests/support/pictures.py`, on a machine with Chromium.

Four people talk through the real server: one scene, seen from several windows. Run this by hand when the page has
changed, as fonts differ between machines.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal

from browsers import Chromium, executable
from page_server import ROOT, ChatServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

TARGET = ROOT / "docs" / "_static"
SCALE = 4 / 3  # pixels of the picture for one of the page: sharp enough, and below 200 kB

# Minutes after seven in the evening, who, and what.
SCENE = [
    (2, "Ann", "Evening all! Is the hall free on Thursday?"),
    (3, "Björn", "It is. Doors at seven, I have the key."),
    (3, "Björn", "Bring a second board if you can, we were short of one last week."),
    (5, "Ann", "Will do 👍"),
    (9, "Chiara", "Here is the draw for the first round: https://club.example/draw"),
    (10, "Dev", "Thanks! Then I play black this time."),
    (10, "Chiara", "See you there 🙂"),
    (12, "Ann", "I'll be ten minutes late, start without me."),
]

WINDOWS = """
<style>
  body { display: flex; align-items: start; gap: 27px; width: max-content;
    margin: 0; padding: 36px; background: #d9d6cd; }
  figure { margin: 0; border-radius: 12px; overflow: hidden; box-shadow: 0 0 0 1px rgb(40 36 28 / .18); }
  figure::before { content: "● ● ●"; display: block; padding: 6px 14px; background: #ecebe6; color: #b9b6ac;
    font: 13px/15px sans-serif; letter-spacing: 2px; }
  figure.dark::before { background: #262c31; color: #59636b; }
  img { display: block; width: 480px; }
</style>
<figure><img src="data:image/png;base64,%s"></figure>
<figure class="dark"><img src="data:image/png;base64,%s"></figure>
"""


def enter(
    browser: Chromium, url: str, name: str, width: int, height: int, scheme: Literal["light", "dark"] = "light"
) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        device_scale_factor=SCALE,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.clock.set_fixed_time("2026-11-23T19:00:00Z")
    page.goto(url)
    page.locator("[data-state=online]").wait_for()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Name").press("Enter")
    return page


def perform(people: dict[str, Page]) -> None:
    for minute, name, text in SCENE:
        for page in people.values():
            page.clock.set_fixed_time(f"2026-11-23T19:{minute:02}:00Z")
        people[name].get_by_role("textbox", name="Message").fill(text)
        people[name].get_by_role("textbox", name="Message").press("Enter")
        for page in people.values():
            page.locator(".text", has_text=text).wait_for()


def side_by_side(browser: Chromium, left: bytes, right: bytes) -> bytes:
    page = browser.new_context(viewport={"width": 1060, "height": 759}, device_scale_factor=SCALE).new_page()
    page.set_content(WINDOWS % (base64.b64encode(left).decode(), base64.b64encode(right).decode()))
    return page.locator("body").screenshot()


def make_pictures(browser: Chromium, server: ChatServer) -> dict[str, bytes]:
    url = server.page("chess")
    people = {
        "Ann": enter(browser, url, "Ann", 480, 660),
        "Björn": enter(browser, url, "Björn", 800, 660),
        "Chiara": enter(browser, url, "Chiara", 390, 760),
        "Dev": enter(browser, url, "Dev", 480, 660, "dark"),
    }
    perform(people)
    dark = people["Björn"]
    dark.emulate_media(color_scheme="dark")
    people["Dev"].get_by_role("textbox", name="Message").fill("We put your clock on hold")
    return {
        "chat.png": side_by_side(browser, people["Ann"].screenshot(), people["Dev"].screenshot()),
        "chat-phone.png": people["Chiara"].screenshot(),
        "chat-dark.png": dark.screenshot(),
    }


def main() -> None:
    from playwright.sync_api import sync_playwright

    path = executable(Chromium)
    assert path is not None, "Chromium is missing"
    server = ChatServer()
    server.start()
    try:
        with sync_playwright() as playwright:
            browser = Chromium(playwright, path)
            for name, picture in make_pictures(browser, server).items():
                (TARGET / name).write_bytes(picture)
            browser.close()
    finally:
        server.close()


if __name__ == "__main__":
    main()
