"""What ASGI's WebSocket specification (2.5) fixes: the scope, the headers of an answer, what an app may say when."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterable, MutableMapping
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

if importlib.util.find_spec("rfc6455") is None:  # not installed: it is in the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

import rfc6455

Message = MutableMapping[str, Any]
Fields = Iterable[tuple[bytes, bytes]]

# What an app may put into an answer and the handshake writes itself (RFC 9112, 6 and 9.6).
WRITTEN_BY_HANDSHAKE = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})


class Stage(Enum):
    """What the app has said so far; the value is what it may say next."""

    REQUESTED = "websocket.accept, websocket.close or websocket.http.response.start"
    DENYING = "websocket.http.response.body"
    ACCEPTED = "websocket.send or websocket.close"
    OVER = "nothing more"


def fields_to_add(headers: Fields) -> list[tuple[bytes, bytes]]:
    """The headers for an answer but those that the handshake writes itself."""
    return [(name, value) for name, value in headers if name.lower() not in WRITTEN_BY_HANDSHAKE]


def scope_of(
    request: rfc6455.Request, config: Config, transport: asyncio.Transport, app_state: dict[str, Any]
) -> dict[str, Any]:
    """The connection scope; the paths are below the root path, as in every scope that uvicorn makes."""
    path = request.path
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": config.root_path,
        "path": config.root_path + unquote(path),
        "raw_path": (config.root_path + path).encode("latin-1", "replace"),
        "query_string": request.query.encode("latin-1"),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers],
        "subprotocols": request.subprotocols,
        "state": app_state.copy(),
        "extensions": {"websocket.http.response": {}},
    }
