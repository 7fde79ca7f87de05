"""The cases for the tables on the page about errors (`error_tables.py`).

The inputs below are passed to a connection or to a handshake, and a row shows what this reported, so that it cannot be
wrong. Only the inputs, their names, and the meanings of the close codes are written by hand.
``tests/tools/test_docs.py`` checks that there is an input for each rule of the package. For this test, the module must
not need Sphinx.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import rfc6455
from rfc6455 import CLIENT, SERVER, CloseCode, Frame, Limits, Opcode, Role, serialize_frame

# --- close codes ----------------------------------------------------------------------------------------------


class Meaning(NamedTuple):
    """The meaning of a registered code, and who may put it into a Close frame (7.4.1, 11.7)."""

    sender: str
    words: str


EITHER, BY_CLIENT, BY_SERVER, NOBODY = "either", "client", "server", "nobody"

MEANINGS = {
    CloseCode.NORMAL_CLOSURE: Meaning(EITHER, "This end is done. The default of close()."),
    CloseCode.GOING_AWAY: Meaning(EITHER, "A server shuts down, or somebody leaves a page."),
    CloseCode.PROTOCOL_ERROR: Meaning(EITHER, "The peer broke the protocol. Sent by the library."),
    CloseCode.UNSUPPORTED_DATA: Meaning(EITHER, "A type of data that this end does not accept, such as binary."),
    CloseCode.NO_STATUS_RCVD: Meaning(NOBODY, "Reported: the peer's Close frame had no code."),
    CloseCode.ABNORMAL_CLOSURE: Meaning(NOBODY, "Reported: the connection ended without a Close frame."),
    CloseCode.INVALID_DATA: Meaning(EITHER, "Data that is not UTF-8, or cannot be inflated. Sent by the library."),
    CloseCode.POLICY_VIOLATION: Meaning(EITHER, "A message that breaks a rule of the application."),
    CloseCode.MESSAGE_TOO_BIG: Meaning(EITHER, "More than the limits allow. Sent by the library."),
    CloseCode.MANDATORY_EXTENSION: Meaning(BY_CLIENT, "The client needs an extension that was not negotiated."),
    CloseCode.INTERNAL_ERROR: Meaning(EITHER, "This end has failed."),
    CloseCode.SERVICE_RESTART: Meaning(BY_SERVER, "The server is restarting: come back after a random delay."),
    CloseCode.TRY_AGAIN_LATER: Meaning(BY_SERVER, "The server is too busy, or the client is too slow."),
    CloseCode.BAD_GATEWAY: Meaning(BY_SERVER, "A proxy got no valid answer from the server behind it."),
    CloseCode.TLS_HANDSHAKE: Meaning(NOBODY, "Reported by others: TLS failed. Never reported by this library."),
    CloseCode.TIMEOUT: Meaning(EITHER, "A deadline passed. Sent by the library if timeouts are used."),
}


def close_code_rows() -> Iterator[list[str]]:
    for code, meaning in MEANINGS.items():
        yield [str(code.value), code.name, meaning.sender, meaning.words]
    yield ["3000–3999", "", EITHER, "Registered for libraries and frameworks; 3008 above is one."]
    yield ["4000–4999", "", EITHER, "Private use: the two ends agree on their meaning."]
    yield ["all others", "", NOBODY, "Reserved. close() raises an error; from the peer, they are a violation."]


# --- violations -----------------------------------------------------------------------------------------------

KEY = b"\x37\xfa\x21\x3d"


class Violation(NamedTuple):
    """Bytes that break a rule, for a new connection."""

    words: str
    data: bytes
    role: Role = SERVER
    limits: Limits = Limits()
    deflate: bool = False

    def closed(self) -> rfc6455.Closed:
        """Return the event of a connection for this input."""
        extensions = []
        if self.deflate:
            codec = rfc6455.PerMessageDeflate(client_no_context_takeover=True).accept_offer([])
            assert codec is not None
            extensions.append(codec)
        *_, last = rfc6455.Connection(self.role, extensions, limits=self.limits).receive_data(self.data)
        assert isinstance(last, rfc6455.Closed)
        return last


def sent(opcode: Opcode, payload: bytes = b"", **options: Any) -> bytes:
    """Return a frame of a client."""
    return serialize_frame(Frame(opcode, payload, **options), KEY)


def header(first: int, length: bytes) -> bytes:
    """Return a masked header that serializers would not write."""
    return bytes([first]) + length + KEY


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


SMALL = Limits(message=1000, frame=100)

VIOLATIONS = [
    Violation("a frame without a mask, from a client", serialize_frame(Frame(Opcode.TEXT, b"Hello"))),
    Violation("a masked frame, from a server", sent(Opcode.TEXT, b"Hello"), CLIENT),
    Violation("a reserved bit that was not negotiated", sent(Opcode.TEXT, b"Hello", rsv=4)),
    Violation(
        "a reserved bit on a continuation frame",
        sent(Opcode.TEXT, deflated(b"He"), fin=False, rsv=4) + sent(Opcode.CONT, b"llo", rsv=4),
        deflate=True,
    ),
    Violation("a reserved opcode", header(0x83, b"\x80")),
    Violation("a length in more bytes than necessary", header(0x82, b"\xfe\x00\x05")),
    Violation("a length of 2^63 or more", header(0x82, b"\xff\x80" + bytes(7))),
    Violation("a control frame of more than 125 bytes", header(0x89, b"\xfe\x00\x7e")),
    Violation("a control frame in fragments", header(0x09, b"\x80")),
    Violation("a continuation frame before any message", sent(Opcode.CONT, b"Hello")),
    Violation("a message inside another", sent(Opcode.TEXT, b"He", fin=False) + sent(Opcode.TEXT, b"llo")),
    Violation("a Close frame with half a code", sent(Opcode.CLOSE, b"\x03")),
    Violation("a Close frame with a code that must not be sent", sent(Opcode.CLOSE, (1006).to_bytes(2, "big"))),
    Violation("a Close frame whose reason is not UTF-8", sent(Opcode.CLOSE, b"\x03\xe8\xff")),
    Violation("a text that is not UTF-8", sent(Opcode.TEXT, b"\xff")),
    Violation("compressed data that does not inflate", sent(Opcode.TEXT, b"\xff\xff", rsv=4), deflate=True),
    Violation(
        "a compressed message that ends within a block",
        sent(Opcode.TEXT, b"\x00\x64\x00\x9b\xff, of which there is no more", rsv=4),
        deflate=True,
    ),
    Violation("a compressed message of empty streams", sent(Opcode.TEXT, b"\x03\x00" * 99, rsv=4), deflate=True),
    Violation("a frame over Limits.frame", header(0x82, b"\xfe\x00\xc8"), limits=SMALL),
    Violation("a message over Limits.message", header(0x82, b"\xfe\x07\xd0"), limits=Limits(message=1000)),
    Violation(
        "a message that is too long once inflated",
        sent(Opcode.BINARY, deflated(bytes(5000)), rsv=4),
        limits=Limits(message=1000),
        deflate=True,
    ),
    Violation(
        "a compressed message that takes too much on the wire",
        sent(Opcode.BINARY, bytes(80_000), rsv=4),
        limits=Limits(message=1000),
        deflate=True,
    ),
    Violation(
        "DEFLATE streams that end too soon, too often",
        sent(Opcode.BINARY, b"\x03\x00" * 20, rsv=4),
        deflate=True,
    ),
    Violation(
        "more than the memory budget",
        sent(Opcode.BINARY, bytes(60_000), fin=False),
        limits=Limits(message=None, memory=20_000),
    ),
]


def violation_rows() -> Iterator[list[str]]:
    for violation in VIOLATIONS:
        closed = violation.closed()
        error = closed.error
        assert isinstance(error, rfc6455.RemoteProtocolError)
        yield [violation.words, str(int(closed.code)), error.section, error.reason]


# --- refusals -------------------------------------------------------------------------------------------------

SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REQUIRED = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": SAMPLE_KEY,
    "Sec-WebSocket-Version": "13",
}


def request(line: str = "GET / HTTP/1.1", *, more: str = "", **changed: str | None) -> bytes:
    """Return a good request, changed by the arguments; ``None`` leaves out a field, and underscores stand for
    hyphens."""
    changes = {name.replace("_", "-"): value for name, value in changed.items()}
    fields = {**REQUIRED, **changes}
    lines = [line, *[f"{name}: {value}" for name, value in fields.items() if value is not None]]
    return ("\r\n".join(lines) + f"\r\n{more}\r\n").encode("latin-1")


class Refusal(NamedTuple):
    """A request that a server refuses."""

    words: str
    data: bytes
    at_end: bool = False
    options: Mapping[str, Any] = MappingProxyType({})

    def error(self) -> rfc6455.HandshakeError:
        """Return the error of a server for this request."""
        handshake = rfc6455.ServerHandshake(**self.options)
        try:
            handshake.receive_data(self.data)
            handshake.receive_data(b"" if self.at_end else b"x" * 20_000)
        except rfc6455.HandshakeError as error:
            return error
        raise AssertionError(f"not refused: {self.words}")


REFUSALS = [
    Refusal("something other than HTTP", b"\x16\x03\x01"),
    Refusal("a field name with a space", request(more="A b: c\r\n")),
    Refusal("the end of the stream within the head", b"GET / HTTP/1.1\r\n", at_end=True),
    Refusal("HTTP/1.0, which has no Upgrade", request("GET / HTTP/1.0")),
    Refusal("another version of HTTP", request("GET / HTTP/2.0")),
    Refusal("a method other than GET", request("POST / HTTP/1.1")),
    Refusal("a target that is not a path", request("GET * HTTP/1.1")),
    Refusal("no Host, or two", request(Host=None)),
    Refusal("a Host that is not valid", request(Host="a/b")),
    Refusal("Transfer-Encoding, which announces a body", request(Transfer_Encoding="chunked")),
    Refusal("Content-Length, which announces a body as well", request(Content_Length="5")),
    Refusal("a page: no Upgrade, nor any other WebSocket header", b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
    Refusal("no Upgrade, because a proxy has removed it", request(Upgrade=None)),
    Refusal("an upgrade to something else", request(Upgrade="h2c")),
    Refusal("an Upgrade that Connection does not list", request(Connection="keep-alive")),
    Refusal("no version", request(Sec_WebSocket_Version=None)),
    Refusal("a version other than 13", request(Sec_WebSocket_Version="8")),
    Refusal("two versions", request(more="Sec-WebSocket-Version: 13\r\n")),
    Refusal("no key, or two", request(Sec_WebSocket_Key=None)),
    Refusal("a key that is not 16 bytes in base64", request(Sec_WebSocket_Key="x")),
    Refusal("a name that is not in hosts", request(), options={"hosts": ["localhost"]}),
    Refusal("a page of another host", request(Origin="https://evil.example")),
    Refusal("two origins", request(Origin="null", more="Origin: null\r\n")),
    Refusal("a subprotocol that is not a token", request(Sec_WebSocket_Protocol="a b")),
    Refusal("a list of subprotocols that is empty", request(Sec_WebSocket_Protocol=",")),
    Refusal("the same subprotocol twice", request(Sec_WebSocket_Protocol="chat, chat")),
    Refusal(
        "none of the subprotocols, although one is required",
        request(),
        options={"subprotocols": ["chat"], "require_subprotocol": True},
    ),
    Refusal("a malformed list of extensions", request(Sec_WebSocket_Extensions="a; b=")),
    Refusal("a list of more than 128 names", request(Sec_WebSocket_Extensions=",".join("x" * 129))),
    Refusal("a request line over Limits.line", request(f"GET /{'a' * 17000} HTTP/1.1")),
    Refusal("a header over Limits.line", request(Cookie="a" * 17000)),
    Refusal("a head over Limits.head", request(more=f"Cookie: {'a' * 16000}\r\n" * 5)),
    Refusal("more fields than Limits.headers", request(more="A: b\r\n" * 256)),
    Refusal("more than Limits.early_data bytes before the answer", request()),
]


def refusal_rows() -> Iterator[list[str]]:
    for refusal in REFUSALS:
        error = refusal.error()
        yield [refusal.words, str(error.status), error.section, error.reason]
