"""What the tests of the opening handshake share: heads with one thing wrong, and both ends driven as a caller does.

The law: heads are put together as text, by `rfc6455.testing.heads`, and not by what writes them in a handshake; that
knows nothing of the rest of the package, and is checked against the samples of the RFC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from helpers import Chunking, feed, whole
from tiny_extension import RunsCodec

from rfc6455 import (
    ClientHandshake,
    Connection,
    Event,
    Extension,
    HandshakeError,
    HeaderSource,
    LocalProtocolError,
    ProtocolError,
    Request,
    Response,
    ServerHandshake,
)

# The samples are for those who import them from here.
from rfc6455.testing import SAMPLE_ACCEPT as SAMPLE_ACCEPT
from rfc6455.testing import SAMPLE_KEY as SAMPLE_KEY
from rfc6455.testing import Head, request_head, response_head

# A request and an answer with nothing that could be left out.
REQUIRED = dict(request_head().fields)
ANSWER = dict(response_head().fields)

Lines = Sequence[tuple[str, str]]


def request(*extra: tuple[str, str], without: str = "", line: str = "GET /chat HTTP/1.1", **changed: str) -> bytes:
    """Return a good request, but for what the arguments say. ``changed`` has underscores for hyphens."""
    changes = {name.replace("_", "-"): value for name, value in changed.items()}
    fields = [(name, changes.get(name, value)) for name, value in REQUIRED.items() if name != without]
    return head(line, [*fields, *extra])


def response(*extra: tuple[str, str], without: str = "", line: str = "HTTP/1.1 101 x", **changed: str) -> bytes:
    changes = {name.replace("_", "-"): value for name, value in changed.items()}
    fields = [(name, changes.get(name, value)) for name, value in ANSWER.items() if name != without]
    return head(line, [*fields, *extra])


def head(line: str, fields: Lines) -> bytes:
    return bytes(Head(line, tuple(fields)))


def client(uri: str = "ws://server.example.com/chat", **options: Any) -> ClientHandshake:
    """Return a client whose key is that of 1.3."""
    return ClientHandshake(uri, random=lambda size: b"the sample nonce"[:size], **options)


def asked(method: str, target: str, headers: HeaderSource, **options: Any) -> ServerHandshake:
    """Return a server whose request was read elsewhere."""
    handshake = ServerHandshake(**options)
    assert handshake.receive_request(method, target, headers) is handshake.request
    return handshake


def ask(handshake: ServerHandshake, portions: Sequence[bytes]) -> Request:
    """Feed a server all its input. The request comes with one chunk, and is there from then on."""
    results = [handshake.receive_data(portion) for portion in portions]
    assert handshake.request is not None
    assert [result for result in results if result is not None] == [handshake.request] * (
        len(results) - results.count(None)
    )
    assert results[-1] is handshake.request
    return handshake.request


def connect(handshake: ClientHandshake, portions: Sequence[bytes]) -> tuple[Connection, list[Event]]:
    """Feed a client its input until it has its connection, and that the rest, as a caller would."""
    for at, portion in enumerate(portions):
        ws = handshake.receive_data(portion)
        if ws is not None:
            return ws, [*(ws.receive_data(None) if ws.unread else []), *feed(ws, portions[at + 1 :])]
    raise AssertionError("the handshake did not end")


class Runs(Extension):
    """`RunsCodec` for a handshake, without parameters."""

    name = "x-runs"

    def codec(self) -> RunsCodec:
        return RunsCodec()


def refusal(data: bytes, chunk: Chunking = whole, **options: Any) -> tuple[HandshakeError, Response, bytes]:
    """Return what a server answers to a request that it must refuse, checked for what every refusal has."""
    handshake = ServerHandshake(**options)
    with pytest.raises(HandshakeError) as caught:
        ask(handshake, chunk(data))
    error, sent = caught.value, handshake.data_to_send()
    assert handshake.data_to_send() == b""
    answer = error.response
    assert answer is not None
    assert answer is handshake.response
    assert answer.status == error.status
    assert sent.startswith(b"HTTP/1.1 %d " % answer.status)
    assert answer.headers["Connection"].startswith("close")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.body.isascii()
    assert error.reason.encode() in answer.body
    assert error.section.encode() in answer.body
    assert sent.endswith(b"\r\n\r\n" + answer.body)
    assert b" 101 " not in sent
    with pytest.raises(LocalProtocolError, match=r"accept\(\) cannot be called now: send what headers_to_send"):
        handshake.accept()
    with pytest.raises(LocalProtocolError, match="send what headers_to_send"):
        handshake.receive_data(b"x")
    with pytest.raises(LocalProtocolError, match="send what headers_to_send"):
        handshake.reject(400)
    return error, answer, sent


def accepted(data: bytes, **options: Any) -> tuple[Connection, dict[str, str]]:
    """Return the connection, and the fields of the 101."""
    handshake = ServerHandshake(**options)
    assert handshake.receive_data(data) is handshake.request is not None
    connection = handshake.accept()
    assert handshake.data_to_send() == b""
    line, *lines = connection.data_to_send().decode().split("\r\n")
    assert line == "HTTP/1.1 101 Switching Protocols"
    assert lines[-2:] == ["", ""]
    return connection, dict(line.split(": ") for line in lines[:-2])


def body_of(error: HandshakeError) -> bytes:
    assert error.response is not None
    return error.response.body


def error_of(call: Callable[[], object]) -> Any:
    """Return the error of our own that ``call`` ends in, or ``None``; any other exception is let through."""
    try:
        call()
    except ProtocolError as error:
        return error
    return None
