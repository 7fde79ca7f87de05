"""What a line of the chat is: plain text, `name: words`. What the server says itself begins with `* `.

Pure functions. Nothing in here knows of sockets, rooms or other clients.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Controls and line ends, which are not words, and the marks that turn the direction of writing or have no width, with
# which one text can be made to look like another. U+200C and U+200D stay: Persian and emoji are written with them.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

MAX_NAME = 40

_ANNOUNCEMENT = "* name "


def clean(text: str) -> str:
    """The text with a space for each invisible character."""
    # Most lines have none, and str.isprintable() sees it at a fraction of the price.
    return text if text.isprintable() else _INVISIBLE.sub(" ", text)


def clean_name(text: str) -> str:
    """The text as a name: no star at its beginning, no colon or comma in it; empty when nothing is left."""
    name = re.sub("[:,]", " ", clean(text)).strip().lstrip("* ")
    return " ".join(name.split())[:MAX_NAME]


def announced_name(line: str) -> str | None:
    """The name in ``* name Ann``, with which a client may tell who it is before it says anything."""
    return clean_name(line[len(_ANNOUNCEMENT) :]) if line.startswith(_ANNOUNCEMENT) else None


def without_star(line: str) -> str:
    """The line as a client may say it: one with a star would look as if the server said it."""
    return line.lstrip("* ") if line.startswith("*") else line


def prefix(line: str) -> str:
    """The ``Ann: `` of ``Ann: hello``; empty when it has none, or one too long for a name."""
    end = line.find(": ", 0, MAX_NAME + 2)
    return line[: end + 2] if end > 0 else ""


# What the server says. The page reads these words: see `serverSays` in index.html.


def joined(name: str) -> str:
    return f"* {name} joined"


def left(name: str) -> str:
    return f"* {name} left"


def here(names: Iterable[str]) -> str:
    return f"* here: {', '.join(sorted(names))}"


def history(count: int) -> str:
    """The next ``count`` lines are the history of the room; they replace what a client shows."""
    return f"* history {count}"


def names_after(line: str, names: frozenset[str]) -> frozenset[str]:
    """Who is there after a server has said ``line``, when ``names`` were before."""
    if line.startswith("* here: "):
        return frozenset(filter(None, line[8:].split(", ")))
    if line.startswith("* ") and line.endswith(" joined"):
        return names | {line[2:-7]}
    if line.startswith("* ") and line.endswith(" left"):
        return names - {line[2:-5]}
    return names


def is_said_by_server(line: str) -> bool:
    return line.startswith("* ")
