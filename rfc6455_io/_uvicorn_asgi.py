"""The parts that ASGI's WebSocket specification (2.5) defines: the scope, the headers of an answer, the order of an
app's events, and the answer of an app that denies a client.

Not here: when and where anything is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from enum import Enum
from typing import Any
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

import rfc6455
from rfc6455.http1_heads import serialize_response

Message = MutableMapping[str, Any]
Fields = Iterable[tuple[bytes, bytes]]

# Headers that are dropped if an app passes them, as the handshake writes its own (RFC 9112, 6 and 9.6).
WRITTEN_BY_HANDSHAKE = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})


class Stage(Enum):
    """The stage that the app has reached, which determines the events that it may send."""

    REQUESTED = "nothing yet"
    DENYING = "the head of an answer that denies"
    ACCEPTED = "websocket.accept"
    OVER = "all"


# uvicorn's error messages for an event that the app must not send now.
UNEXPECTED = {
    Stage.REQUESTED: (
        "Expected ASGI message 'websocket.accept', 'websocket.close' or 'websocket.http.response.start' but got '{}'."
    ),
    Stage.DENYING: "Expected ASGI message 'websocket.http.response.body' but got '{}'.",
    Stage.ACCEPTED: "Expected ASGI message 'websocket.send' or 'websocket.close', but got '{}'.",
    Stage.OVER: "Unexpected ASGI message '{}', after sending 'websocket.close'.",
}


def fields_to_add(headers: Fields) -> list[tuple[bytes, bytes]]:
    """Return the headers for an answer, except for those that the handshake writes itself."""
    return [(name, value) for name, value in headers if name.lower() not in WRITTEN_BY_HANDSHAKE]


def scope_of(
    request: rfc6455.Request, config: Config, transport: asyncio.Transport, app_state: dict[str, Any]
) -> dict[str, Any]:
    """Return the connection scope. Its paths are below the root path, as in every scope that uvicorn makes."""
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


class Denial:
    """The answer of an app that denies the handshake, written as the app passes it (``websocket.http.response``).

    The head is sent immediately if the app has given the length of the body, otherwise with the first part of the
    body. If this part is the whole body, it determines the length; if not, the body is sent in chunks (RFC 9112, 7.1).

    :param status: 200 to 599.
    :param default_headers: those of uvicorn's options.
    :param headers: those of the app.
    """

    def __init__(self, ws: rfc6455.Endpoint, status: int, default_headers: Fields, headers: Fields) -> None:
        headers = list(headers)
        self._ws = ws
        self._status = status
        self._fields = [*default_headers, *fields_to_add(headers)]
        self._left: int | None = _length_of(headers)  # the number of bytes missing from the body; None if unknown
        self._is_chunked = False
        self.has_begun = False  # whether the head has been returned

    def head_if_known(self) -> bytes:
        """Return the head if the length of the body is known, and nothing yet if not.

        :raises rfc6455.LocalProtocolError: when a header cannot be written.
        """
        # RFC 9110, 6.4.1: "All 1xx (Informational), 204 (No Content), and 304 (Not Modified) responses do not include
        # content"; 15.3.6: nor does 205.
        if self._status in (204, 205, 304):
            self._left = 0
            return self._head()
        return b"" if self._left is None else self._head((b"content-length", b"%d" % self._left))

    def body(self, data: bytes, is_last: bool) -> bytes:
        """Return the bytes to write for a part of the body.

        :raises rfc6455.LocalProtocolError: when a header cannot be written.
        :raises RuntimeError: when the body is longer or shorter than its head says.
        """
        head = b"" if self.has_begun else self._framed_head(len(data) if is_last else None)
        if self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            return head + chunk + (b"0\r\n\r\n" if is_last else b"")
        assert self._left is not None
        if len(data) > self._left:
            raise RuntimeError("Response content longer than Content-Length")
        self._left -= len(data)
        if is_last and self._left:
            raise RuntimeError("Response content shorter than Content-Length")
        return head + data

    def _framed_head(self, length: int | None) -> bytes:
        self._left = length
        self._is_chunked = length is None
        if length is None:
            return self._head((b"transfer-encoding", b"chunked"))
        return self._head((b"content-length", b"%d" % length))

    def _head(self, *framing: tuple[bytes, bytes]) -> bytes:
        self._ws.reject(self._status, self._fields)
        fields = [(name, value) for name, value in self._ws.headers_to_send() if name.lower() != b"content-length"]
        has_type = any(name.lower() == b"content-type" for name, _ in fields)
        if self._left != 0 and not has_type:
            fields.append((b"content-type", b"text/plain; charset=utf-8"))
        self.has_begun = True
        return serialize_response(rfc6455.Response(self._status, rfc6455.Headers([*fields, *framing])))


def _length_of(headers: Fields) -> int | None:
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None
