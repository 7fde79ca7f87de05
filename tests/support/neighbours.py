"""Facts from the public tests of wsproto, websockets and ws, and the result of each library for them.

A fact is a row of a JSON file in ``tests/peers/neighbours``: the test from which it comes, the input (bytes, a header,
a configuration), and ``then``, the library's result. If ours is different, the row has ``ours``, and the reason in
``why``. Bytes are hexadecimal, and ``78*512`` stands for a byte that is repeated 512 times.

The kinds of rows, and the keys that each has:

    connection   role, max (the largest message), deflate, do   events, sent, refused
    request      data, subprotocols, origins                    status, subprotocol
    response     key, data, subprotocols                        "open", "refused" or "incomplete", subprotocol
    request head, response head   data                          method and target, or status; or None
    extensions, subprotocols      text                          what is listed, or None
    uri          text                                           secure, host, port, resource name, or None
    offer        config, text                                   the parameters of the answer, or None
    answer       config, text                                   "accepted" or "refused"

Not here: the rows themselves, or any judgement.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from helpers import read_frames

import rfc6455
from rfc6455 import (
    ANY_ORIGIN,
    CLIENT,
    BytesMessage,
    ClientHandshake,
    Closed,
    Connection,
    HandshakeError,
    Limits,
    LocalProtocolError,
    MessageCodec,
    PerMessageDeflate,
    Ping,
    Pong,
    Role,
    ServerHandshake,
    TextMessage,
)
from rfc6455.handshake.fields import parse_extensions, parse_token_list
from rfc6455.handshake.http1 import accept_key
from rfc6455.http1_heads import HeadError, RequestReader, ResponseReader
from rfc6455.testing import Chunking, whole

FOLDER = Path(__file__).parents[1] / "peers" / "neighbours"
LIBRARIES = ("wsproto", "websockets", "ws")

Row = dict[str, Any]
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

# From this number of bytes on, a run is written as a number.
LONG_RUN = 32
# How much of a target is written down.
LONG_TARGET = 64


class Facts(NamedTuple):
    """The content of one file.

    :ivar version: of the library, whose decisions ``then`` is.
    """

    library: str
    version: str
    rows: list[Row]


def read_facts(library: str) -> Facts:
    content = json.loads((FOLDER / f"{library}.json").read_text(encoding="utf-8"))
    return Facts(library, content["version"], content["rows"])


def told(row: Row, result: Any) -> Any:
    """Return as much of a result as the row states."""
    return {key: result[key] for key in row["then"]} if row["kind"] == "connection" else result


def unpacked(text: str) -> bytes:
    """Return the bytes that a row writes down.

    >>> unpacked("8104 78*4")
    b'\\x81\\x04xxxx'
    """
    pieces = (piece.partition("*") for piece in text.split())
    return b"".join(bytes.fromhex(octets) * int(times or 1) for octets, _, times in pieces)


def packed(data: bytes) -> str:
    """Return the notation for some bytes.

    >>> packed(b"\\x81\\x28" + b"x" * 40)
    '8128 78*40'
    """
    words = [""]
    for octet, run in groupby(data):
        times = len(list(run))
        if times < LONG_RUN:
            words[-1] += f"{octet:02x}" * times
        else:
            words += [f"{octet:02x}*{times}", ""]
    return " ".join(filter(None, words))


def listed(items: Iterable[tuple[str, Iterable[tuple[str, str | None]]]]) -> list[Any]:
    """Extensions and their parameters in an order of their own, as some libraries group them by name."""
    return sorted(
        ([name, sorted(([key, value] for key, value in parameters), key=str)] for name, parameters in items), key=str
    )


def parameters_of(header: str | None) -> list[str] | None:
    """Return the parameters that an answer of permessage-deflate has, sorted; ``None`` if it was declined."""
    return None if not header else sorted(name for part in header.split(";")[1:] if (name := part.strip()))


def sent_frames(data: bytes, sender: Role, has_failed: bool) -> list[str]:
    """Return the frames as their first byte and their payload. The reason of a Close that a library words itself is
    not a fact."""
    frames = []
    for frame in read_frames(data, sender):
        payload = frame.payload[:2] if has_failed and frame.opcode == 8 else frame.payload
        frames.append(f"{frame.fin << 7 | frame.rsv << 4 | frame.opcode:02x} {packed(payload)}".rstrip())
    return frames


def request_of(fields: str) -> bytes:
    """Return a request as a server wants it, with more fields."""
    return (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n\r\n"
    ).encode()


def response_of(fields: str) -> bytes:
    """Return the answer to `KEY`, with more fields."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n{fields}\r\n\r\n"
    ).encode()


# ---- Ours ----


def ours(row: Row, chunk: Chunking = whole) -> Any:
    """Return what this package makes of a row if its bytes come in these portions."""
    return told(row, _OURS[row["kind"]](row, chunk))


def _connection(row: Row, chunk: Chunking) -> Any:
    role = Role(row["role"])
    limits = Limits(message=row["max"]) if "max" in row else Limits()
    connection = Connection(role, _deflate(role) if row.get("deflate") else (), limits=limits, random=bytes)
    events: list[Any] = []
    refused = []
    out = b""
    for number, step in enumerate(row["do"]):
        try:
            events += _do(connection, step, chunk)
        except LocalProtocolError:
            refused.append(number)
        out += connection.data_to_send()
    has_failed = any(event[0] == "fail" for event in events)
    return {"events": events, "sent": sent_frames(out, role, has_failed), "refused": refused}


def _deflate(role: Role) -> Sequence[MessageCodec]:
    extension = PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)
    codec = extension.accept_answer([]) if role is CLIENT else extension.accept_offer([])
    assert codec is not None
    return [codec]


def _do(connection: Connection, step: Sequence[Any], chunk: Chunking) -> list[Any]:
    match step:
        case ["in", data]:
            return [_event(event) for portion in chunk(unpacked(data)) for event in _received(connection, portion)]
        case ["eof"]:
            return [_event(event) for event in connection.receive_data(b"")]
        case ["text", data, fin]:
            connection.send_text(unpacked(data), fin=fin)
        case ["binary", data, fin]:
            connection.send_bytes(unpacked(data), fin=fin)
        case ["ping", data]:
            connection.ping(unpacked(data))
        case ["pong", data]:
            connection.pong(unpacked(data))
        case ["close", code, reason]:
            connection.close(code, reason or "")
        case _:
            raise AssertionError(step)
    return []


def _received(connection: Connection, portion: bytes) -> list[Any]:
    events: list[Any] = list(connection.receive_data(portion)) if portion else []
    while connection.unread:
        events += connection.receive_data(None)
    return events


def _event(event: object) -> list[Any]:
    match event:
        case TextMessage(text):
            return ["text", packed(text.encode())]
        case BytesMessage(data):
            return ["binary", packed(bytes(data))]
        case Ping(payload):
            return ["ping", packed(payload)]
        case Pong(payload):
            return ["pong", packed(payload)]
        case Closed(clean=True) as closed:
            return ["close", int(closed.code), packed(closed.reason.encode())]
        case Closed(error=error) as closed:
            return ["lost"] if error is None else ["fail", int(closed.code)]
    raise AssertionError(event)


def _request(row: Row, chunk: Chunking) -> Any:
    server = ServerHandshake(subprotocols=row["subprotocols"], origins=row["origins"] or ANY_ORIGIN)
    try:
        for portion in chunk(unpacked(row["data"])):
            if server.receive_data(portion) is not None:
                subprotocol = server.accept().subprotocol
                return {"status": 101, "subprotocol": subprotocol}
    except HandshakeError as error:
        return {"status": error.status, "subprotocol": None}
    return "incomplete"


def _response(row: Row, chunk: Chunking) -> Any:
    client = ClientHandshake(
        "ws://localhost/", subprotocols=row["subprotocols"], random=lambda size: b64decode(row["key"])[:size]
    )
    client.data_to_send()
    try:
        for portion in chunk(unpacked(row["data"])):
            connection = client.receive_data(portion)
            if connection is not None:
                return {"result": "open", "subprotocol": connection.subprotocol}
    except HandshakeError:
        return {"result": "refused", "subprotocol": None}
    return {"result": "incomplete", "subprotocol": None}


def _request_head(row: Row, chunk: Chunking) -> Any:
    request = _head(RequestReader(Limits()), row, chunk)
    return (
        request
        if isinstance(request, str) or request is None
        else [request.method, request.resource_name[:LONG_TARGET]]
    )


def _response_head(row: Row, chunk: Chunking) -> Any:
    response = _head(ResponseReader(Limits()), row, chunk)
    return response if isinstance(response, str) or response is None else response.status


def _head(reader: Any, row: Row, chunk: Chunking) -> Any:
    try:
        for portion in chunk(unpacked(row["data"])):
            if (head := reader.receive_data(portion)) is not None:
                return head
    except HeadError:
        return None
    return "incomplete"


def _extensions(row: Row, chunk: Chunking) -> Any:
    try:
        return listed(parse_extensions([row["text"]]))
    except HandshakeError:
        return None


def _subprotocols(row: Row, chunk: Chunking) -> Any:
    try:
        return parse_token_list([row["text"]], "Sec-WebSocket-Protocol")
    except HandshakeError:
        return None


def _uri(row: Row, chunk: Chunking) -> Any:
    try:
        uri = rfc6455.parse_uri(row["text"])
    except LocalProtocolError:
        return None
    return [uri.secure, uri.host, uri.port, uri.resource_name]


def _offer(row: Row, chunk: Chunking) -> Any:
    server = ServerHandshake(extensions=[_configured(row["config"])])
    try:
        for portion in chunk(request_of(f"Sec-WebSocket-Extensions: {row['text']}")):
            if server.receive_data(portion) is not None:
                server.accept()
    except HandshakeError as error:
        return f"refused with {error.status}"
    assert server.response is not None
    return parameters_of(server.response.headers.get("Sec-WebSocket-Extensions"))


def _answer(row: Row, chunk: Chunking) -> Any:
    data = response_of(f"Sec-WebSocket-Extensions: {row['text']}")
    client = ClientHandshake(
        "ws://localhost/", extensions=[_configured(row["config"])], random=lambda size: b64decode(KEY)[:size]
    )
    client.data_to_send()
    try:
        for portion in chunk(data):
            client.receive_data(portion)
    except HandshakeError:
        return "refused"
    return "accepted"


def _configured(config: dict[str, Any]) -> PerMessageDeflate:
    bits = config.get("client_max_window_bits")
    return PerMessageDeflate(
        server_no_context_takeover=bool(config.get("server_no_context_takeover")),
        client_no_context_takeover=bool(config.get("client_no_context_takeover")),
        server_max_window_bits=config.get("server_max_window_bits") or 15,
        # Theirs is True where a client only says that it understands the parameter.
        client_max_window_bits=None if bits is True else bits,
        require_client_max_window_bits=config.get("require", False),
    )


_OURS: dict[str, Callable[[Row, Chunking], Any]] = {
    "connection": _connection,
    "request": _request,
    "response": _response,
    "request head": _request_head,
    "response head": _response_head,
    "extensions": _extensions,
    "subprotocols": _subprotocols,
    "uri": _uri,
    "offer": _offer,
    "answer": _answer,
}
