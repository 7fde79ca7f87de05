"""The lines of the chat: plain text, `name: words`. The server's own lines begin with `* `.

Pure functions. Not here: sockets, rooms or other clients.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.letters import MAX_NAME, clean_name
from service.letters import clean as clean
from service.letters import without_star as without_star

ANNOUNCEMENT = "* name "


def size(line: str) -> int:
    """Return the size of the line on the wire, in bytes."""
    return len(line) if line.isascii() else len(line.encode())


def announced_name(line: str) -> str | None:
    """Return the name in ``* name Ann``, which a client may send to introduce itself before anything else."""
    return clean_name(line[len(ANNOUNCEMENT) :]) if line.startswith(ANNOUNCEMENT) else None


def prefix(line: str) -> str:
    """Return the ``Ann: `` of ``Ann: hello``; ``""`` if there is no name, or it is too long or has a line end."""
    end = line.find(": ", 0, MAX_NAME + 2)
    return line[: end + 2] if end > 0 and "\n" not in line[:end] else ""


# The lines of the server. The page parses them: see `serverSays` in index.html.


def joined(name: str) -> str:
    return f"* {name} joined"


def left(name: str) -> str:
    return f"* {name} left"


def here(names: Iterable[str]) -> str:
    return f"* here: {', '.join(sorted(names))}"


def history(count: int) -> str:
    """Return the line that announces the history: the next ``count`` lines replace those that a client shows."""
    return f"* history {count}"


def is_said_by_server(line: str) -> bool:
    return line.startswith("* ")
