"""The basis of the browser tests: the chat server as a process of its own, headless browsers, and pages in them.

Each test runs in Chromium, and in Firefox if it is installed. Without Chromium, these tests are skipped. In CI
(`CI=true`), a skip would hide a broken page, so there it is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from browsers import Chromium, Firefox, executable
from page_server import ROOT, ChatServer

if TYPE_CHECKING:
    from playwright.sync_api import Error, Page

# How long a page may take to show something, in ms; nothing waits so long unless it fails.
PATIENCE = 60_000

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"  # from `npm install --no-save axe-core`


def missing(what: str) -> NoReturn:
    """Skip the test for lack of `what`; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


@pytest.fixture
def make_server() -> Iterator[Callable[..., ChatServer]]:
    """Start chat servers with the switches given."""
    servers = []

    def make(*arguments: str) -> ChatServer:
        server = ChatServer(*arguments)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(make_server: Callable[..., ChatServer]) -> ChatServer:
    return make_server()


WHERE_INSTALLED = pytest.mark.skipif(executable(Firefox) is None, reason="Firefox is missing")


@pytest.fixture(
    scope="module", params=[Chromium, pytest.param(Firefox, marks=WHERE_INSTALLED)], ids=["chromium", "firefox"]
)
def browser(request: pytest.FixtureRequest) -> Iterator[Chromium | Firefox]:
    path = executable(request.param)
    if path is None:
        missing(request.param.__name__)
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        missing("playwright")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        started = request.param(playwright, path)
        yield started
        started.close()


def refusals_in(text: str) -> list[str]:
    return [text] if "Content Security Policy" in text or "Trusted" in text else []


def faults_in(error: Error, refusals: bool) -> list[str]:
    """Return an uncaught error, but not a remark of Firefox's own, which it reports in the same way: without a name if
    a connection fails, and with this name if the page's policy refuses something."""
    if error.name == "" or (error.name == "Content-Security-Policy" and refusals):
        return []
    return [f"{error.name}: {error.message}"]


@pytest.fixture
def new_page(browser: Chromium | Firefox) -> Iterator[Callable[..., Page]]:
    """Make pages, each in a profile of its own.

    An uncaught error fails the test, and so does a violation of the page's policy, unless the test is about that.
    """
    contexts = []
    errors: list[str] = []

    def make(*, refusals: bool = False, **options: Any) -> Page:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.extend(faults_in(error, refusals)))
        if not refusals:
            page.on("console", lambda message: errors.extend(refusals_in(message.text)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        missing("axe-core (npm install --no-save axe-core)")
    return AXE.read_text("utf-8")
