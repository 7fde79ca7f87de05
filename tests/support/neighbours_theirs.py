"""What wsproto, websockets and ws themselves make of a row of `neighbours`, so that a wrong fact shows.

Each is used as its own tests use it: its parts without sockets. ws runs in Node, all rows of it at once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from helpers import CONT, TEXT
from neighbours import FOLDER, LONG_TARGET, Row, listed, packed, parameters_of, request_of, sent_frames, unpacked

from rfc6455 import CLIENT, Role

Runner = Callable[[Row], Any]


# ---- websockets ----


def websockets_runners() -> dict[str, Runner]:
    """
    :raises ImportError: when it is not installed.
    """
    import websockets.protocol  # noqa: F401

    return {
        "connection": _websockets_connection,
        "request": _websockets_request,
        "response": _websockets_response,
        "request head": lambda row: _websockets_head(row, is_request=True),
        "response head": lambda row: _websockets_head(row, is_request=False),
        "extensions": _websockets_extensions,
        "subprotocols": _websockets_subprotocols,
        "uri": _websockets_uri,
        "offer": _websockets_offer,
        "answer": _websockets_answer,
    }


def _websockets_connection(row: Row) -> Any:
    from websockets.exceptions import InvalidState, ProtocolError
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.protocol import Protocol, Side

    role = Role(row["role"])
    protocol = Protocol(Side.CLIENT if role is CLIENT else Side.SERVER, max_size=row.get("max", 1 << 20))
    if row.get("deflate"):
        protocol.extensions = [PerMessageDeflate(False, False, 15, 15)]
    refused = []
    frames: list[Any] = []
    out = b""
    for number, step in enumerate(row["do"]):
        try:
            _websockets_step(protocol, step)
        except (ProtocolError, InvalidState):
            refused.append(number)
        frames += protocol.events_received()
        out += b"".join(protocol.data_to_send())
    events = list(_joined(frames))
    has_failed = protocol.close_sent is not None and not isinstance(protocol.parser_exc, (EOFError, type(None)))
    if has_failed:
        events.append(["fail", int(protocol.close_sent.code)])  # type: ignore[union-attr]
    elif ["eof"] in row["do"] and protocol.close_rcvd is None:
        events.append(["lost"])
    return {"events": events, "sent": sent_frames(out, role, has_failed), "refused": refused}


def _websockets_step(protocol: Any, step: list[Any]) -> None:
    match step:
        case ["in", data]:
            protocol.receive_data(unpacked(data))
        case ["eof"]:
            protocol.receive_eof()
        case ["text", data, fin]:
            send = protocol.send_text if protocol.expect_continuation_frame is False else protocol.send_continuation
            send(unpacked(data), fin)
        case ["binary", data, fin]:
            send = protocol.send_binary if protocol.expect_continuation_frame is False else protocol.send_continuation
            send(unpacked(data), fin)
        case ["ping", data]:
            protocol.send_ping(unpacked(data))
        case ["pong", data]:
            protocol.send_pong(unpacked(data))
        case ["close", code, reason]:
            protocol.send_close(code, reason or "")


def _joined(frames: Iterable[Any]) -> Iterator[list[Any]]:
    """Messages of frames that websockets gives one by one."""
    payload, kind = b"", ""
    for frame in frames:
        data = bytes(frame.data)
        if frame.opcode >= 8:
            yield _control(int(frame.opcode), data)
            continue
        if frame.opcode != CONT:
            payload, kind = b"", "text" if frame.opcode == TEXT else "binary"
        payload += data
        if frame.fin:
            yield [kind, packed(payload)]


def _control(opcode: int, data: bytes) -> list[Any]:
    if opcode == 8:
        return ["close", int.from_bytes(data[:2], "big") if data else 1005, packed(data[2:])]
    return ["ping" if opcode == 9 else "pong", packed(data)]


def _websockets_request(row: Row) -> Any:
    from websockets.http11 import Request
    from websockets.server import ServerProtocol

    server = ServerProtocol(origins=row["origins"], subprotocols=row["subprotocols"] or None)
    server.receive_data(unpacked(row["data"]))
    requests = [event for event in server.events_received() if isinstance(event, Request)]
    if not requests:
        return "incomplete" if server.handshake_exc is None else {"status": 0, "subprotocol": None}
    response = server.accept(requests[0])
    return {"status": response.status_code, "subprotocol": response.headers.get("Sec-WebSocket-Protocol")}


def _websockets_response(row: Row) -> Any:
    from websockets.client import ClientProtocol
    from websockets.protocol import State
    from websockets.uri import parse_uri

    client = ClientProtocol(parse_uri("ws://localhost/"), subprotocols=row["subprotocols"] or None)
    client.key = row["key"]
    client.send_request(client.connect())
    client.receive_data(unpacked(row["data"]))
    if client.handshake_exc is not None:
        return {"result": "refused", "subprotocol": None}
    if client.state is not State.OPEN:
        return {"result": "incomplete", "subprotocol": None}
    return {"result": "open", "subprotocol": client.subprotocol}


def _websockets_head(row: Row, *, is_request: bool) -> Any:
    from websockets.http11 import Request, Response
    from websockets.streams import StreamReader

    reader = StreamReader()
    reader.feed_data(unpacked(row["data"]))
    if is_request:
        parsing: Any = Request.parse(reader.read_line)
    else:
        parsing = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof)
    try:
        next(parsing)
    except StopIteration as done:
        head = done.value
        return [head.method, head.path[:LONG_TARGET]] if is_request else head.status_code
    except EOFError:
        return "incomplete"
    except Exception:
        return None
    return "incomplete"


def _websockets_extensions(row: Row) -> Any:
    from websockets.exceptions import InvalidHeaderFormat
    from websockets.headers import parse_extension

    try:
        return listed(parse_extension(row["text"]))
    except InvalidHeaderFormat:
        return None


def _websockets_subprotocols(row: Row) -> Any:
    from websockets.exceptions import InvalidHeaderFormat
    from websockets.headers import parse_subprotocol

    try:
        return list(parse_subprotocol(row["text"]))
    except InvalidHeaderFormat:
        return None


def _websockets_uri(row: Row) -> Any:
    from websockets.exceptions import InvalidURI
    from websockets.uri import parse_uri

    try:
        uri = parse_uri(row["text"])
    except InvalidURI:
        return None
    return [uri.secure, uri.host, uri.port, uri.resource_name]


def _websockets_offer(row: Row) -> Any:
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
    from websockets.server import ServerProtocol

    config = row["config"]
    factory = ServerPerMessageDeflateFactory(
        config["server_no_context_takeover"],
        config["client_no_context_takeover"],
        config["server_max_window_bits"],
        config["client_max_window_bits"],
        require_client_max_window_bits=config.get("require", False),
    )
    server = ServerProtocol(extensions=[factory])
    server.receive_data(request_of(f"Sec-WebSocket-Extensions: {row['text']}"))
    (request,) = server.events_received()
    return parameters_of(server.accept(request).headers.get("Sec-WebSocket-Extensions"))  # type: ignore[arg-type]


def _websockets_answer(row: Row) -> Any:
    from websockets.exceptions import NegotiationError
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
    from websockets.headers import parse_extension

    config = row["config"]
    factory = ClientPerMessageDeflateFactory(
        config["server_no_context_takeover"],
        config["client_no_context_takeover"],
        config["server_max_window_bits"],
        config["client_max_window_bits"],
    )
    ((_, parameters),) = parse_extension(row["text"])
    try:
        factory.process_response_params(parameters, [])
    except NegotiationError:
        return "refused"
    return "accepted"


# ---- wsproto ----


def wsproto_runners() -> dict[str, Runner]:
    """
    :raises ImportError: when it is not installed.
    """
    import wsproto  # noqa: F401

    return {
        "connection": _wsproto_connection,
        "request": _wsproto_request,
        "response": _wsproto_response,
        "offer": _wsproto_offer,
    }


def _wsproto_connection(row: Row) -> Any:
    from wsproto.connection import Connection, ConnectionType
    from wsproto.extensions import PerMessageDeflate
    from wsproto.utilities import LocalProtocolError

    role = Role(row["role"])
    deflate = PerMessageDeflate()
    deflate._enabled = True
    connection = Connection(
        ConnectionType.CLIENT if role is CLIENT else ConnectionType.SERVER, [deflate] if row.get("deflate") else []
    )
    refused = []
    events: list[Any] = []
    out = b""
    for number, step in enumerate(row["do"]):
        try:
            if step[0] in ("in", "eof"):
                connection.receive_data(unpacked(step[1]) if step[0] == "in" else None)
                events += connection.events()
            else:
                out += connection.send(_wsproto_event(step))
        except (LocalProtocolError, TypeError, ValueError):  # noqa: PERF203
            refused.append(number)
    failed = connection.state.name == "OPEN"
    return {"events": list(_wsproto_events(events, failed)), "sent": sent_frames(out, role, False), "refused": refused}


def _wsproto_event(step: list[Any]) -> Any:
    from wsproto import events
    from wsproto.frame_protocol import CloseReason

    match step:
        case ["text", data, fin]:
            return events.TextMessage(data=unpacked(data).decode(), message_finished=fin)
        case ["binary", data, fin]:
            return events.BytesMessage(data=unpacked(data), message_finished=fin)
        case ["ping", data]:
            return events.Ping(payload=unpacked(data))
        case ["pong", data]:
            return events.Pong(payload=unpacked(data))
        case ["close", code, reason]:
            return events.CloseConnection(code=None if code is None else CloseReason(code), reason=reason)
    raise AssertionError(step)


def _wsproto_events(found: Iterable[Any], has_failed: bool) -> Iterator[list[Any]]:
    """Whole messages, and a violation told apart from a Close: only after that the connection is not open."""
    from wsproto import events

    begun: list[Any] = []
    for event in found:
        match event:
            case events.Message(data=data, message_finished=is_whole):
                begun.append(data)
                if is_whole:
                    message = begun[0][:0].join(begun)
                    is_text = isinstance(message, str)
                    yield ["text" if is_text else "binary", packed(message.encode() if is_text else bytes(message))]
                    begun = []
            case events.Ping(payload=payload):
                yield ["ping", packed(bytes(payload))]
            case events.Pong(payload=payload):
                yield ["pong", packed(bytes(payload))]
            case events.CloseConnection(code=1006):
                yield ["lost"]
            case events.CloseConnection(code=code, reason=reason):
                yield ["fail", int(code)] if has_failed else ["close", int(code), packed((reason or "").encode())]


def _wsproto_request(row: Row) -> Any:
    from wsproto.connection import ConnectionType
    from wsproto.events import RejectConnection, Request
    from wsproto.handshake import H11Handshake
    from wsproto.utilities import RemoteProtocolError

    server = H11Handshake(ConnectionType.SERVER)
    try:
        server.receive_data(unpacked(row["data"]))
    except RemoteProtocolError as error:
        hint = error.event_hint
        return {"status": hint.status_code if isinstance(hint, RejectConnection) else 0, "subprotocol": None}
    is_asked = any(isinstance(event, Request) for event in server.events())
    return {"status": 101, "subprotocol": None} if is_asked else "incomplete"


def _wsproto_response(row: Row) -> Any:
    from wsproto.connection import ConnectionType
    from wsproto.events import AcceptConnection, RejectConnection, Request
    from wsproto.handshake import H11Handshake
    from wsproto.utilities import RemoteProtocolError

    client = H11Handshake(ConnectionType.CLIENT)
    client.send(Request(host="localhost", target="/", subprotocols=row["subprotocols"]))
    client._nonce = row["key"].encode()
    try:
        client.receive_data(unpacked(row["data"]))
    except RemoteProtocolError:
        return {"result": "refused", "subprotocol": None}
    for event in client.events():
        if isinstance(event, AcceptConnection):
            return {"result": "open", "subprotocol": event.subprotocol}
        if isinstance(event, RejectConnection):
            return {"result": "refused", "subprotocol": None}
    return {"result": "incomplete", "subprotocol": None}


def _wsproto_offer(row: Row) -> Any:
    from wsproto.extensions import PerMessageDeflate

    # Its answer does not begin with the name.
    answer = PerMessageDeflate().accept(row["text"])
    return None if answer is None else parameters_of(f"{PerMessageDeflate.name}; {answer}")


# ---- ws ----


def ws_results(rows: list[Row], root: Path) -> list[Any]:
    """Return what ws makes of all these rows, in their order.

    :param root: the folder in which ``node_modules/ws`` is.
    """
    node = shutil.which("node")
    assert node is not None
    sent = [{**row, "do": [[step[0], unpacked(step[1]).hex()] for step in row.get("do", ())]} for row in rows]
    done = subprocess.run(
        [node, str(FOLDER / "ws.js"), str(root)], input=json.dumps(sent), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [_from_ws(row, result) for row, result in zip(rows, json.loads(done.stdout), strict=True)]


def _from_ws(row: Row, result: Any) -> Any:
    if row["kind"] == "connection":
        events = [
            [packed(bytes.fromhex(part[4:])) if str(part).startswith("hex:") else part for part in event]
            for event in result
        ]
        return {"events": events}
    if row["kind"] == "extensions" and result is not None:
        return listed((name, [(key, value) for key, value in parameters]) for name, parameters in result)
    return result
