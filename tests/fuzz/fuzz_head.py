"""`ServerHandshake` and `ClientHandshake` on any bytes: a request, a `Connection`, or a `HandshakeError`.

The following is checked: one read and many give the same result, up to the first frames after the head; a refusal is
an answer with the status in the error; and a connection opens only for a head that a naive reader accepts. This reader
checks everything that 4.1 and 4.2.1 require, and parses the head with nothing but ``split``.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from harness import split
from naive import is_token

from rfc6455 import (
    ANY_ORIGIN,
    SAME_HOST,
    ClientHandshake,
    Connection,
    HandshakeError,
    Limits,
    LocalProtocolError,
    PerMessageDeflate,
    Request,
    ServerHandshake,
)
from rfc6455.testing import SAMPLE_KEY, Chunking, status_of, whole

WORDS = (
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 101 \r\n",
    b"HTTP/1.1 100 \r\n\r\n",
    b"Host: a\r\n",
    b"Upgrade: websocket\r\n",
    b"Connection: Upgrade\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Sec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    b"Sec-WebSocket-Protocol: chat\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Origin: http://a\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"http://a/",
    b"\r\n\r\n",
    b"; client_max_window_bits=",
)

SUBPROTOCOLS = ("chat", "superchat")
LISTED_ORIGINS = ("https://example.com", "null")
REFUSALS = (400, 403, 405, 414, 426, 431, 505)
LIMITS = (Limits(), Limits(head=400, line=100, headers=8, body=20))
EXTENSIONS: tuple[tuple[PerMessageDeflate, ...], ...] = (
    (),
    (PerMessageDeflate(),),
    (PerMessageDeflate(server_no_context_takeover=False, server_max_window_bits=10, client_max_window_bits=12),),
    (PerMessageDeflate(client_no_context_takeover=False),),
)

Options = dict[str, Any]
Outcome = tuple[Any, ...]


def check(data: bytes) -> None:
    choices, stream = split(data)
    is_server = choices.pick((True, False))
    options: Options = {
        "subprotocols": choices.pick((SUBPROTOCOLS, ())),
        "extensions": choices.pick(EXTENSIONS),
        "limits": choices.pick(LIMITS),
    }
    ends = choices.pick((False, True))
    if is_server:
        options["origins"] = choices.pick((SAME_HOST, LISTED_ORIGINS, ANY_ORIGIN, ()))
        options["require_subprotocol"] = choices.pick((False, True))
        options["plain_http"] = choices.pick((False, True))
    role = serve if is_server else connect
    expected = role(stream, whole, ends, options)
    outcome = role(stream, choices.chunking(stream), ends, options)
    assert outcome == expected, (outcome, expected)


# ---- The server ----


def serve(stream: bytes, chunk: Chunking, ends: bool, options: Options) -> Outcome:
    """Read a request in chunks, and answer it."""
    handshake = ServerHandshake(**options)
    request = None
    try:
        for portion in [*chunk(stream), *([b""] if ends else [])]:
            came = handshake.receive_data(portion)
            assert request is None or came == request
            request = came
    except HandshakeError as error:
        answer = handshake.data_to_send()
        check_refusal(error, answer)
        return "refused", error.args[:3], answer
    if request is None:
        return ("more is wanted",)
    return answer_to(handshake, request, stream, options)


def check_refusal(error: HandshakeError, answer: bytes) -> None:
    assert error.status in REFUSALS, error
    assert status_of(answer) == error.status, answer
    fields = fields_of(answer.partition(b"\r\n\r\n")[0])
    assert "close" in values(fields, "connection")[0]


def answer_to(handshake: ServerHandshake, request: Request, stream: bytes, options: Options) -> Outcome:
    head, _, early = stream.partition(b"\r\n\r\n")
    try:
        connection = handshake.accept()
    except LocalProtocolError:
        assert options["plain_http"]
        assert not request.is_upgrade
        check_plain_request(head, request)
        handshake.reject(200, body=b"a page")
        return "plain", request, handshake.data_to_send()
    check_request(head, request, options)
    from_fields = {name: value for name, value in options.items() if name != "plain_http"}
    again = ServerHandshake(**from_fields)
    again.receive_request(request.method, request.target, list(request.headers))
    answer = connection.data_to_send()
    assert again.accept().data_to_send() == answer
    check_answer(answer, head, options)
    assert connection.unread == len(early)
    return "opened", request, answer, connection.receive_data(None), connection.data_to_send()


def check_plain_request(head: bytes, request: Request) -> None:
    """Check that what the application gets is at least HTTP (RFC 9112)."""
    fields = fields_of(head)
    assert request.method in ("GET", "HEAD", "OPTIONS")
    assert [(name.lower(), value) for name, value in request.headers] == fields
    # RFC 9112, 3.2 asks for Host in HTTP/1.1, and never takes two.
    assert len(values(fields, "host")) in ((1,) if request.version == "HTTP/1.1" else (0, 1))
    assert request.path.startswith("/") or (request.method, request.target) == ("OPTIONS", "*")
    assert not values(fields, "transfer-encoding")
    assert has_no_length(fields)


def check_request(head: bytes, request: Request, options: Options) -> None:
    """Check 4.2.1, requirement by requirement."""
    head = head.removeprefix(b"\r\n")  # RFC 9112, 2.2
    method, target, version = head.decode("latin-1").split("\r\n")[0].split(" ")
    fields = fields_of(head)
    assert (request.method, request.target, list(map(lower_name, request.headers))) == (method, target, fields)
    assert (method, version) == ("GET", "HTTP/1.1")
    assert target.startswith("/") or target.lower().startswith(("http://", "https://", "ws://", "wss://"))
    assert all("!" <= character <= "~" and character != "#" for character in target)
    (field,) = values(fields, "host")
    # RFC 9112, 3.2.2: the host of a target in absolute form replaces that of the field. 3.2: which must be right, too.
    host = field if target.startswith("/") else target.replace("?", "/").split("/")[2]
    for each in (field, host):
        assert each
        assert not set(each) & set(' \t/?#@\\<>"'), each
    assert "websocket" in tokens(fields, "upgrade")
    assert "upgrade" in tokens(fields, "connection")
    (key,) = values(fields, "sec-websocket-key")
    assert len(b64decode(key, validate=True)) == 16
    assert values(fields, "sec-websocket-version") == ["13"]
    assert not values(fields, "transfer-encoding")
    assert has_no_length(fields)
    check_origin(values(fields, "origin"), host.lower(), options)
    asked = tokens(fields, "sec-websocket-protocol", str)
    assert all(is_token(name) for name in asked)
    assert len(set(asked)) == len(asked)
    assert not options["require_subprotocol"] or set(asked) & set(options["subprotocols"])


def check_origin(origins: Sequence[str], host: str, options: Options) -> None:
    """Check 10.2 for the three policies."""
    if not origins or options["origins"] is ANY_ORIGIN:
        return
    (origin,) = origins
    scheme, _, there = origin.lower().partition("://")
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if options["origins"] is not SAME_HOST:
        allowed = [each.partition("://")[2] for each in options["origins"] if each.partition("://")[0] == scheme]
        assert with_port(scheme, there) in [with_port(scheme, each) for each in allowed], origin
        return
    assert scheme in PORTS, origin
    assert with_port(scheme, there) == with_port(scheme, host), (origin, host)


PORTS = {"http": 80, "https": 443}


def with_port(scheme: str, host: str) -> tuple[str, int | None]:
    """Return a host as RFC 6454, 4 compares it; one with more than one colon is an address, with or without
    brackets."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]") or (host.count(":") > 1 and not host.startswith("[")):
        return host.strip("[]"), PORTS.get(scheme)
    return name.strip("[]"), int(port) if port else PORTS.get(scheme)


def check_answer(answer: bytes, head: bytes, options: Options) -> None:
    """Check the 101 (4.2.2): it has nothing that was not asked for, and nothing follows it."""
    line, _, _ = answer.partition(b"\r\n")
    assert line == b"HTTP/1.1 101 Switching Protocols"
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1
    fields, asked = fields_of(answer[:-4]), fields_of(head)
    known = {"upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"}
    assert {name for name, _ in fields} <= known
    assert len({name for name, _ in fields}) == len(fields)
    assert values(fields, "upgrade") == ["websocket"]
    assert values(fields, "connection") == ["Upgrade"]
    assert values(fields, "sec-websocket-accept") == [accept_of(values(asked, "sec-websocket-key")[0])]
    for subprotocol in values(fields, "sec-websocket-protocol"):
        assert subprotocol in options["subprotocols"]
        assert subprotocol in tokens(asked, "sec-websocket-protocol", str)
    for value in values(fields, "sec-websocket-extensions"):
        assert options["extensions"]
        assert value.partition(";")[0] == "permessage-deflate"
        assert "permessage-deflate" in ",".join(values(asked, "sec-websocket-extensions"))


# ---- The client ----


def connect(stream: bytes, chunk: Chunking, ends: bool, options: Options) -> Outcome:
    """Read a response in chunks, and what comes after it."""
    handshake = ClientHandshake("ws://example.com/chat", random=sample_bytes, **options)
    connection: Connection | None = None
    events = []
    for portion in [*chunk(stream), *([b""] if ends else [])]:
        if connection is not None:
            events += connection.receive_data(portion)
            continue
        try:
            connection = handshake.receive_data(portion)
        except HandshakeError as error:
            return "failed", error.args
        if connection is not None:
            events += connection.receive_data(None)
    if connection is None:
        return "more is wanted", handshake.response
    check_response(stream, options)
    assert connection.subprotocol in (None, *options["subprotocols"])
    codecs = [codec.parameters for codec in connection.extensions]
    return "opened", handshake.response, connection.subprotocol, codecs, events, connection.data_to_send()


def sample_bytes(size: int) -> bytes:
    """Return the nonce of the example in 1.3; then masking keys."""
    return b64decode(SAMPLE_KEY) if size == 16 else bytes([at % 256 for at in range(size)])


def check_response(stream: bytes, options: Options) -> None:
    """Check the second list of 4.1."""
    head = b"HTTP/1.1 100"
    while head.split(b" ")[1][:1] == b"1" and head.split(b" ")[1][:3] != b"101":
        head, _, stream = stream.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    assert (version, rest[:3]) == (b"HTTP/1.1", b"101")
    fields = fields_of(head)
    assert [value.lower() for value in values(fields, "upgrade")] == ["websocket"]
    assert "upgrade" in tokens(fields, "connection")
    assert values(fields, "sec-websocket-accept") == [accept_of(SAMPLE_KEY)]
    subprotocols = [value for value in values(fields, "sec-websocket-protocol") if value]
    assert not subprotocols or (len(subprotocols) == 1 and subprotocols[0] in options["subprotocols"])
    extensions = ",".join(values(fields, "sec-websocket-extensions"))
    names = [each.partition(";")[0].strip(" \t") for each in extensions.split(",") if each.strip(" \t")]
    assert names in ([], ["permessage-deflate"] if options["extensions"] else [])


# ---- Heads, read by the plainest means ----


def fields_of(head: bytes) -> list[tuple[str, str]]:
    """Return the header fields, names in lower case (RFC 9112 5); every octet in them is one that may be there."""
    fields = []
    for line in head.removeprefix(b"\r\n").decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        assert colon
        assert is_token(name), line
        assert all(character >= " " or character == "\t" for character in value), line
        assert "\x7f" not in value
        fields.append((name.lower(), value.strip(" \t")))
    return fields


def has_no_length(fields: Sequence[tuple[str, str]]) -> bool:
    """Return whether ``Content-Length`` announces no body: it is missing, or all of its values are 0."""
    lengths = ",".join(values(fields, "content-length")).split(",") if values(fields, "content-length") else []
    return all(each.strip(" \t") and not each.strip(" \t0") for each in lengths)


def lower_name(field: tuple[str, str]) -> tuple[str, str]:
    return field[0].lower(), field[1]


def values(fields: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value for other, value in fields if other == name]


def tokens(fields: Sequence[tuple[str, str]], name: str, case: Any = str.lower) -> list[str]:
    listed = ",".join(values(fields, name)).split(",")
    return [case(element.strip(" \t")) for element in listed if element.strip(" \t")]


def accept_of(key: str) -> str:
    """4.2.2, step 5, 4."""
    return b64encode(sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
