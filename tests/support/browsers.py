"""The browsers that the tests use: finding them, starting them, and setting preferences.

Playwright drives Chromium through the DevTools, and a Firefox as Mozilla and Debian ship it through WebDriver BiDi.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, BrowserType, Playwright

# How many times to try to start a browser, and how long each attempt may take, in ms.
STARTS = 3
START_TIMEOUT = 60_000


class Chromium:
    commands = ("chromium", "chromium-browser", "google-chrome")
    arguments = (
        "--no-sandbox",  # a container's root has no user namespaces to make one of
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    )

    def __init__(self, playwright: Playwright, executable: str) -> None:
        self.browser = started(playwright.chromium, executable_path=executable, args=self.arguments)

    def new_context(self, **options: Any) -> BrowserContext:
        return self.browser.new_context(**options)

    def close(self) -> None:
        self.browser.close()


class Firefox:
    """Firefox processes, one for each pair of preferences that a test needs: WebDriver BiDi cannot set every
    preference, but the settings of a profile can."""

    commands = ("firefox", "firefox-esr")

    def __init__(self, playwright: Playwright, executable: str) -> None:
        self.launcher = playwright.firefox
        self.executable = executable
        self.browsers: dict[tuple[str, str], Browser] = {}

    def new_context(
        self, *, color_scheme: str = "light", reduced_motion: str = "no-preference", **options: Any
    ) -> BrowserContext:
        preferences = (color_scheme, reduced_motion)
        if preferences not in self.browsers:
            self.browsers[preferences] = self.start(*preferences)
        return self.context(self.browsers[preferences], color_scheme=color_scheme, **options)

    def start(self, color_scheme: str, reduced_motion: str) -> Browser:
        settings: dict[str, str | float | bool] = {
            "ui.systemUsesDarkTheme": int(color_scheme == "dark"),
            "ui.prefersReducedMotion": int(reduced_motion == "reduce"),
            "ui.primaryPointerCapabilities": 6,  # fine, and it can hover: a headless Firefox has no mouse by itself
        }
        return started(
            self.launcher, channel="moz-firefox", executable_path=self.executable, firefox_user_prefs=settings
        )

    def context(self, browser: Browser, **options: Any) -> BrowserContext:
        """Return a new context; skip the test if this Playwright is made for newer Firefoxes."""
        from playwright.sync_api import Error

        try:
            return browser.new_context(**options)
        except Error as error:
            if "unknown command" not in error.message:
                raise
            command = error.message.splitlines()[0]
            pytest.skip(f"Firefox {browser.version} is too old for this Playwright: {command}")

    def close(self) -> None:
        for browser in self.browsers.values():
            browser.close()


def started(launcher: BrowserType, **options: Any) -> Browser:
    """Return a running browser. If it does not start, which is not the page's fault, start it again."""
    from playwright.sync_api import Error

    for _ in range(STARTS - 1):
        try:
            return launcher.launch(timeout=START_TIMEOUT, **options)
        except Error as error:  # noqa: PERF203
            print(f"started again: {error.message}")
    return launcher.launch(timeout=START_TIMEOUT, **options)


def executable(browser: type[Chromium | Firefox]) -> str | None:
    """Return the path of the browser on this machine."""
    return next(filter(None, map(shutil.which, browser.commands)), None)
