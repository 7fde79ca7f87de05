"""Answers to plain HTTP requests on the same port: the page in each room, `/health` and `/metrics`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, unquote

from service.letters import clean
from service.monitor import Monitor

_PAGE = Path(__file__).parents[1] / "index.html"

# A room is a path with one segment. No other paths exist.
_ROOM = re.compile(r"/(?:[\w.~!$&'()*+;=@-]|%[0-9A-Fa-f]{2}){0,200}", re.ASCII)

# Nothing except the page may be run as a page. The page has a Content-Security-Policy of its own, but only a header
# can forbid to show it in a frame.
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
    ("Cache-Control", "no-cache"),
]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; the rest of its head is written by `rfc6455.ServerHandshake.reject`."""

    status: int
    body: bytes
    type: str = "text/plain; charset=utf-8"
    is_routine: bool = False  # requested again and again, by programs
    location: str | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        location = [] if self.location is None else [("Location", self.location)]
        return [("Content-Type", self.type), *_HEADERS, *location]


def room_of(path: str) -> str | None:
    """Return the room that a path names, decoded, or ``None`` if it does not name one."""
    if not _ROOM.fullmatch(path):
        return None
    if "%" not in path:
        return path
    try:
        room = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return None
    return room if clean(room) == room and "\n" not in room else None


def is_room(name: str) -> bool:
    """Return whether there is a path that names this room."""
    return room_of(f"/{quote(name[1:], safe='')}") == name


def below(prefix: str, path: str) -> str | None:
    """Return the part of the path below the prefix of all rooms, or ``None`` if it is elsewhere."""
    if path == prefix or not path.startswith(f"{prefix}/"):
        return "/" if path == prefix else None
    return path[len(prefix) :]


def moved(path: str) -> Answer:
    """Return the answer that redirects a browser to the path."""
    return Answer(HTTPStatus.PERMANENT_REDIRECT, f"The page is at {path}\n".encode(), location=path)


class Pages:
    """Answers to requests that do not ask for a WebSocket."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._page = Answer(HTTPStatus.OK, _PAGE.read_bytes(), "text/html; charset=utf-8")

    def answer(self, path: str | None) -> Answer:
        """Return the answer for a path below the prefix."""
        if path == "/health":
            is_well, state = self._monitor.health()
            status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
            return Answer(status, json.dumps(state).encode() + b"\n", "application/json", is_routine=True)
        if path == "/metrics":
            text = self._monitor.metrics().encode()
            return Answer(HTTPStatus.OK, text, "text/plain; version=0.0.4; charset=utf-8", is_routine=True)
        if path is None or path == "/favicon.ico" or room_of(path) is None:
            return Answer(HTTPStatus.NOT_FOUND, b"There is nothing here. A room is one word: /club\n")
        return self._page
