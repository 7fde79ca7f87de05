"""RFC 6455, the WebSocket protocol, without I/O: bytes go in, events come out; calls go in, bytes come out.

This module only collects the public names. To read the code beside the RFC, follow this order:

1. `codes.py` and `state.py`: the kinds of frames (5.2), and which may follow which (5.4, 5.5.1)
2. `cursor.py`: the header of a frame, and the rules that apply to it (5.1, 5.2, 5.5)
3. `messages.py`: how frames become messages (5.4, 5.6, 8.1)
4. `connection.py`: one end of an open connection: Pings, closing and failing (5.5, 7)
5. `handshake/http1.py`: the opening handshake (4), with the heads of HTTP/1.1 in `http1_heads.py`
6. `deadlines.py` and `endpoint.py`: time, and the whole life of a connection

`byte_loops.py` has the loops over single bytes (5.3), `deflate.py` the extension of RFC 7692.
"""

from __future__ import annotations

from . import _build
from .byte_loops import apply_mask
from .codes import CLIENT, SERVER, CloseCause, CloseCode, Leniency, Opcode, Role, is_sendable_close_code
from .connection import Connection
from .deadlines import Deadlines, Timeouts
from .deflate import DeflateParameters, PerMessageDeflate
from .endpoint import Endpoint
from .errors import HandshakeError, LocalProtocolError, ProtocolError, RemoteProtocolError
from .events import (
    BytesMessage,
    BytesPart,
    Closed,
    ConnectionClosedError,
    EncodedText,
    Event,
    Ping,
    Pong,
    TextMessage,
    TextPart,
)
from .extensions import Extension, MessageCodec, Parameters
from .frames import FrameParser, serialize_frame
from .handshake.fields import Request
from .handshake.http1 import ClientHandshake, ServerHandshake, accept_key
from .handshake.http2 import Http2ClientHandshake, Http2ServerHandshake
from .handshake.opening import HeaderList
from .handshake.origins import ANY_ORIGIN, SAME_HOST, OriginPolicy, Origins, is_same_host
from .headers import Headers, HeaderSource, Response
from .limits import Limits
from .messages import PreparedMessage
from .state import ConnectionState, Direction
from .uri import URI, parse_uri
from .values import Frame

__version__ = "0.1.0"

#: Whether the compiled modules are in use. They behave like the pure Python ones.
__compiled__: bool = _build.COMPILED

__all__ = [
    "ANY_ORIGIN",
    "CLIENT",
    "SAME_HOST",
    "SERVER",
    "URI",
    "BytesMessage",
    "BytesPart",
    "ClientHandshake",
    "CloseCause",
    "CloseCode",
    "Closed",
    "Connection",
    "ConnectionClosedError",
    "ConnectionState",
    "Deadlines",
    "DeflateParameters",
    "Direction",
    "EncodedText",
    "Endpoint",
    "Event",
    "Extension",
    "Frame",
    "FrameParser",
    "HandshakeError",
    "HeaderList",
    "HeaderSource",
    "Headers",
    "Http2ClientHandshake",
    "Http2ServerHandshake",
    "Leniency",
    "Limits",
    "LocalProtocolError",
    "MessageCodec",
    "Opcode",
    "OriginPolicy",
    "Origins",
    "Parameters",
    "PerMessageDeflate",
    "Ping",
    "Pong",
    "PreparedMessage",
    "ProtocolError",
    "RemoteProtocolError",
    "Request",
    "Response",
    "Role",
    "ServerHandshake",
    "TextMessage",
    "TextPart",
    "Timeouts",
    "accept_key",
    "apply_mask",
    "is_same_host",
    "is_sendable_close_code",
    "parse_uri",
    "serialize_frame",
]
