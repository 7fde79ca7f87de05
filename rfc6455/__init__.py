"""RFC 6455, the WebSocket protocol, without I/O: bytes go in, events come out; calls go in, bytes come out."""

from __future__ import annotations

from . import connection as _connection
from .codes import CloseCode, Opcode, Role, is_sendable_close_code
from .connection import Connection
from .deadlines import Deadlines, Timeouts
from .deflate import PerMessageDeflate
from .errors import HandshakeError, LocalProtocolError, ProtocolError, RemoteProtocolError
from .events import BytesMessage, BytesPart, Closed, CloseCause, Event, Ping, Pong, TextMessage, TextPart
from .extensions import Extension, MessageCodec
from .frames import Frame, FrameParser, serialize_frame
from .limits import Limits
from .masking import apply_mask
from .messages import PreparedMessage
from .state import ConnectionState, Direction

__version__ = "0.1.0"

#: Whether the modules that run now were compiled; they do the same either way.
__compiled__: bool = not _connection.__file__.endswith(".py")

CLIENT = Role.CLIENT
SERVER = Role.SERVER
