"""`rfc6455_io.uvicorn` as its users' type checkers see it, in the way of ``users.py``: it is never executed."""

from __future__ import annotations

from collections.abc import Collection

import uvicorn
from typing_extensions import assert_type

import rfc6455
from rfc6455_io.uvicorn import Protocol


class Careful(Protocol):
    origins = rfc6455.SAME_HOST
    extensions = (rfc6455.PerMessageDeflate(level=1),)
    tells_end = True
    close_timeout = 2.0


class Listed(Protocol):
    origins: rfc6455.OriginPolicy | Collection[str] = ("https://example.com",)


class Wrong(Protocol):
    origins = None  # type: ignore[assignment]
    extensions = ("permessage-deflate",)  # type: ignore[assignment]
    tells_end = 1  # type: ignore[assignment]


def run() -> None:
    uvicorn.run("app:app", ws=Careful)
    uvicorn.Config("app:app", ws=Protocol, ws_max_size=1 << 20)
    assert_type(Careful.close_timeout, float)
