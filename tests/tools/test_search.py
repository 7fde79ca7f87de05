"""The search of the documentation leads from common words to the right page.

Sphinx's search ranks pages first that have the words as an index entry or in a title, and does not find a page that
lacks one of the words. Both are read from the sources of the pages, so that nothing has to be built.
"""

from __future__ import annotations

import re

import pytest
from code_blocks import ROOT

DOCS = ROOT / "docs"

QUERIES = {
    "authentication": "howto/which_loop",
    "reconnect": "howto/which_loop",
    "resume": "howto/which_loop",
    "prefix": "howto/proxies",
    "health check": "howto/proxies",
    "client address": "howto/proxies",
    "slow client": "howto/broadcasting",
    "wss": "howto/tls",
    "timeout": "howto/deadlines",
    "JSON": "howto/which_loop",
    "proxy": "howto/proxies",
    "nginx": "howto/proxies",
    "redirect": "topics/errors",
    "broadcast": "howto/broadcasting",
    "rooms": "howto/broadcasting",
    "keepalive": "howto/deadlines",
    "ping": "howto/deadlines",
    "close code 1006": "howto/debugging",
    "max size": "howto/back_pressure",
    "upload": "howto/back_pressure",
    "backpressure": "howto/back_pressure",
    "graceful shutdown": "howto/which_loop",
    "1009": "topics/errors",
    "progress": "howto/back_pressure",
    "thread safety": "howto/threads",
    "selector": "howto/threads",
    "logging": "howto/debugging",
    "metrics": "howto/operating",
    "several processes": "howto/operating",
    "restart": "howto/operating",
    "pair": "howto/testing",
    "aiohttp": "howto/from_aiohttp",
    "websockets asyncio": "howto/from_websockets_asyncio",
    "test": "howto/testing",
}

TITLE = re.compile(r"^(\S.*)\n([=\-.])\2+$", re.MULTILINE)
INDEX = re.compile(r"^\.\. index:: (.+)$", re.MULTILINE)


def text_of(page: str) -> str:
    return (DOCS / f"{page}.rst").read_text(encoding="utf-8")


def prose_of(page: str) -> str:
    """What a reader sees: an index entry alone is no help to somebody who has found the page."""
    return INDEX.sub("", text_of(page)).lower()


def names_of(page: str) -> list[str]:
    """The titles and the index entries of a page."""
    text = text_of(page)
    titles = [title for title, _ in TITLE.findall(text)]
    return titles + [entry.strip() for line in INDEX.findall(text) for entry in line.split(",")]


@pytest.mark.parametrize(("query", "page"), QUERIES.items(), ids=list(QUERIES))
def test_the_page_has_each_word_that_is_searched_for(query: str, page: str) -> None:
    words = set(re.findall(r"\w+", prose_of(page)))
    assert [word for word in query.lower().split() if word not in words and f"{word}s" not in words] == []


@pytest.mark.parametrize(("query", "page"), QUERIES.items(), ids=list(QUERIES))
def test_what_is_searched_for_is_an_index_entry_or_in_a_title(query: str, page: str) -> None:
    assert [name for name in names_of(page) if query.lower() in name.lower()]


@pytest.mark.parametrize("query", QUERIES)
def test_no_other_page_has_the_same_index_entry(query: str) -> None:
    pages = [
        path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.rst") if "_build" not in str(path)
    ]
    entries = {
        page: [entry.strip() for line in INDEX.findall(text_of(page)) for entry in line.split(",")] for page in pages
    }
    assert [page for page in pages if query in entries[page]] in ([QUERIES[query]], [])
