"""What the server answers to plain HTTP on the same port: the page in each room, `/health` and `/metrics`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, unquote

from lines import clean

from service import threads
from service.metrics import Metrics

_PAGE = Path(__file__).parents[1] / "index.html"

# A room is one segment of a path. Everything else is not here.
_ROOM = re.compile(r"/(?:[\w.~!$&'()*+;=@-]|%[0-9A-Fa-f]{2}){0,200}", re.ASCII)

# What is not the page must not be run as one. The page has a Content-Security-Policy of its own; that nobody may
# frame it can only be said in a header.
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

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [("Content-Type", self.type), *_HEADERS]


def room_of(path: str) -> str | None:
    """The room that a request's path names, decoded; ``None`` when it names none."""
    try:
        room = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return None
    return room if _ROOM.fullmatch(path) and clean(room) == room else None


def is_room(name: str) -> bool:
    """Whether there is a path that names this room."""
    return room_of(f"/{quote(name[1:], safe='')}") == name


class Pages:
    """Answers requests that want no WebSocket.

    :param gauges: gives the values of now, as `Metrics.text` wants them.
    """

    def __init__(self, metrics: Metrics, gauges: Callable[[], Mapping[str, tuple[str, float]]]) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._page = Answer(HTTPStatus.OK, _PAGE.read_bytes(), "text/html; charset=utf-8")

    def answer(self, path: str) -> Answer:
        if path == "/health":
            return self._health()
        if path == "/metrics":
            text = self._metrics.text(self._gauges())
            return Answer(HTTPStatus.OK, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/favicon.ico" or room_of(path) is None:
            return Answer(HTTPStatus.NOT_FOUND, b"There is nothing here. A room is one word: /club\n")
        return self._page

    def _health(self) -> Answer:
        gauges = {name: value for name, (_, value) in self._gauges().items()}
        state: dict[str, object] = {"status": "ok", **gauges}
        if threads.failed:
            state |= {"status": "failed", "threads": threads.failed}
        status = HTTPStatus.SERVICE_UNAVAILABLE if threads.failed else HTTPStatus.OK
        return Answer(status, json.dumps(state).encode() + b"\n", "application/json")
