"""Numbers and names that the RFC fixes: roles, header bits, opcodes, close codes.

What lives here: the registries of RFC 6455 (sections 5.2, 7.4, 11.6 to 11.8) as enums, the layout of a frame's header
in numbers, the one rule about them that does not depend on state (which close codes a Close frame may carry), and the
package's own two enums: why a connection ended, and which rules can be relaxed. Not here: anything that parses, counts
or remembers.
"""

from __future__ import annotations

from enum import Enum, IntEnum

# The bits of a frame's header (5.2): FIN, RSV1 to RSV3 and the opcode are its first byte, MASK begins the second.
FIN_BIT = 0x80
RSV_BITS = 0x70
OPCODE_BITS = 0x0F
MASK_BIT = 0x80

# 5.5: "Control frames are identified by opcodes where the most significant bit of the opcode is 1".
CONTROL_BIT = 0x08

# 5.5: "All control frames MUST have a payload length of 125 bytes or less".
MAX_CONTROL_PAYLOAD = 125

# 5.2: of a length in 8 bytes "the most significant bit MUST be 0", so a length has 63 bits.
MAX_LENGTH = (1 << 63) - 1


# 4.1, 11.6: the version of the protocol that this document defines.
VERSION = "13"


class Role(Enum):
    """Which end of a connection this is. The client masks what it sends, the server does not (5.1)."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def peer(self) -> Role:
        """The role of the other end.

        >>> rfc6455.CLIENT.peer.name
        'SERVER'
        """
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


CLIENT = Role.CLIENT
SERVER = Role.SERVER


class Opcode(IntEnum):
    """What a frame is (5.2, 11.8). Values from 8 up are control frames; a value that is not here is reserved.

    >>> rfc6455.Opcode(0x9).name
    'PING'
    """

    CONT = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """Why a connection was closed (7.4.1 and the registry of 11.7).

    ``NO_STATUS_RCVD``, ``ABNORMAL_CLOSURE`` and ``TLS_HANDSHAKE`` are never sent: an application gets them if there
    was no Close frame, or one without a code. The codes from 3000 up belong to libraries and applications, and are
    plain numbers, except for the registered code ``TIMEOUT``, which `Deadlines` uses.

    >>> rfc6455.CloseCode(1009).name
    'MESSAGE_TOO_BIG'
    """

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015
    TIMEOUT = 3008


# 7.4.1: these "MUST NOT be set as a status code in a Close control frame by an endpoint".
LOCAL_CLOSE_CODES = frozenset({CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE, CloseCode.TLS_HANDSHAKE})

# 7.4.2: 0 to 999 are not used, and 1000 to 2999 are reserved for the protocol, so those that are not registered have
# no meaning.
_REGISTERED_SENDABLE = frozenset(CloseCode) - LOCAL_CLOSE_CODES


def is_sendable_close_code(code: int) -> bool:
    """Return whether a Close frame may carry ``code``, in either direction (7.4.1, 7.4.2).

    That is: a code between 1000 and 2999 that is registered and not reserved for local use, or one between 3000 and
    4999 (libraries, frameworks, private use).

    :param code: any number.

    >>> [code for code in (1000, 1005, 1011, 2999, 3000, 4999, 5000) if rfc6455.is_sendable_close_code(code)]
    [1000, 1011, 3000, 4999]
    """
    return 3000 <= code <= 4999 or code in _REGISTERED_SENDABLE


class CloseCause(Enum):
    """Why a connection ended. The value says so in words.

    The three causes that begin with ``OPENING`` tell a client whether to try again: after `OPENING_EOF`, yes; after
    `OPENING_REFUSED`, it depends on the status of the answer; after `OPENING_INVALID`, no, as the server would only do
    the same again.

    >>> (closed,) = rfc6455.Connection(rfc6455.SERVER).receive_data(b"")
    >>> closed.cause.name
    'EOF_IDLE'
    """

    HANDSHAKE = "both sides sent a Close frame"
    HANDSHAKE_IN_MESSAGE = "both sides sent a Close frame; the peer's Close cut off one of its messages"
    EOF_IDLE = "the peer ended the stream between two messages, without a Close frame"
    EOF_IN_MESSAGE = "the peer ended the stream between two frames of one message"
    EOF_IN_FRAME = "the peer ended the stream inside a frame"
    EOF_IN_CLOSE = "the peer ended the stream without answering our Close frame"
    ABORTED = "this side cut the connection without a closing handshake"
    VIOLATION = "the peer broke the protocol or a limit"
    EXTENSION_FAILED = "an extension raised an exception on this side"
    OPENING_EOF = "the peer ended the stream before the opening handshake was complete"
    OPENING_REFUSED = "the opening handshake was refused"
    OPENING_INVALID = "the peer's part of the opening handshake breaks a rule"
    OPEN_TIMEOUT = "the opening handshake took too long"
    CLOSE_TIMEOUT = "the peer did not answer our Close frame in time"
    PONG_TIMEOUT = "the peer did not answer a Ping in time"
    IDLE_TIMEOUT = "nothing was received from the peer for too long"


class Leniency(Enum):
    """A rule that a handshake or a connection can be told not to enforce. All rules are enforced by default.

    Use a leniency for a peer that is known to need it, such as a device that will never be updated; the value says
    what is accepted with it. ``leniencies_used`` of the handshake and the connection counts how often each was used.

    - ``UNMASKED_FRAMES``: a server accepts frames without a mask (5.1). The mask prevents a hostile page from sending
      bytes of its choice to a proxy that mistakes them for HTTP (10.3); without it, that attack works.
    - ``BARE_LF``: lines of a head may end with LF alone (RFC 9112 2.2). A proxy in front of the server that splits
      lines differently can be made to see a different request (request smuggling); use this only if there is no proxy
      in between.
    - ``LONG_LENGTHS``: a length may be encoded in more bytes than necessary (5.2). A filter that reads lengths
      differently can be bypassed.
    - ``MISSING_CONNECTION_UPGRADE``: ``Connection`` does not have to list ``Upgrade`` (4.1, 4.2.1). This field ensures
      that a proxy forwards the upgrade knowingly; a proxy that did not may mistake frames for requests.
    - ``INVALID_UTF8``: text does not have to be UTF-8 (8.1); only together with ``decode_text=False``. Code that
      decodes it later has to cope with whatever the sender put there.

    >>> server = rfc6455.Connection(rfc6455.SERVER, leniencies={rfc6455.Leniency.UNMASKED_FRAMES})
    >>> server.receive_data(bytes.fromhex("81 02 6869"))
    [TextMessage(text='hi')]
    >>> server.leniencies_used
    {<Leniency.UNMASKED_FRAMES: 'frames without a mask'>: 1}
    """

    UNMASKED_FRAMES = "frames without a mask"
    BARE_LF = "lines of a head that end with LF alone"
    LONG_LENGTHS = "lengths in more bytes than they need"
    MISSING_CONNECTION_UPGRADE = "a Connection field that does not list Upgrade, or none"
    INVALID_UTF8 = "text that is not UTF-8"
