"""The rules that the illegal examples break, as data: what each rule says, in which section, and how a receiver must
react.

The law: a rule belongs here if a receiver can detect a violation without knowing limits or extensions. Each rule has
the RFC's sentence, the section, and the close code or the HTTP status with which a receiver must answer. The
strategies refer to the rules by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from ..codes import CloseCode


class Rule(NamedTuple):
    """A rule about frames.

    :ivar name: its key in `FRAME_RULES`.
    :ivar section: the section of RFC 6455.
    :ivar close_code: the code in the receiver's Close frame, if it sends one (7.1.7, 7.4.1).
    :ivar sentence: the RFC's words.

    >>> FRAME_RULES["not masked"].section, FRAME_RULES["not masked"].close_code
    ('5.1', 1002)
    """

    name: str
    section: str
    close_code: int
    sentence: str


class HeadRule(NamedTuple):
    """A rule about the opening handshake.

    :ivar name: its key in `REQUEST_RULES` or `RESPONSE_RULES`.
    :ivar section: the section of RFC 6455, or of the RFC that it names.
    :ivar statuses: the statuses with which a server may answer, the best one first; empty for a rule about responses,
        which a client does not answer. In most cases the RFC leaves the choice to the server ("an appropriate HTTP
        error code").
    :ivar sentence: the RFC's words.

    >>> REQUEST_RULES["no Host"].section, REQUEST_RULES["no Host"].statuses
    ('RFC 9112 3.2', (400,))
    """

    name: str
    section: str
    statuses: tuple[int, ...]
    sentence: str


_PROTOCOL_ERROR = int(CloseCode.PROTOCOL_ERROR)
_INVALID_DATA = int(CloseCode.INVALID_DATA)

_INTERLEAVED = "The fragments of one message MUST NOT be interleaved between the fragments of another message"
_BEGINNING = "A fragmented message consists of a single frame with the FIN bit clear and an opcode other than 0"
_CONTROL_LENGTH = "All control frames MUST have a payload length of 125 bytes or less"
_MINIMAL = "the minimal number of bytes MUST be used to encode the length"
_UTF_8 = (
    "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in fact, a valid "
    "UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_."
)


_R = TypeVar("_R", Rule, HeadRule)


def _by_name(rules: Iterable[_R]) -> dict[str, _R]:
    return {rule.name: rule for rule in rules}


#: The rules about frames and their order, by name.
FRAME_RULES: dict[str, Rule] = _by_name(
    [
        Rule(
            "not masked",
            "5.1",
            _PROTOCOL_ERROR,
            "The server MUST close the connection upon receiving a frame that is not masked.",
        ),
        Rule(
            "masked",
            "5.1",
            _PROTOCOL_ERROR,
            "A client MUST close a connection if it detects a masked frame.",
        ),
        Rule(
            "reserved bits",
            "5.2",
            _PROTOCOL_ERROR,
            "If a nonzero value is received and none of the negotiated extensions defines the meaning of such a "
            "nonzero value, the receiving endpoint MUST _Fail the WebSocket Connection_.",
        ),
        Rule(
            "unknown opcode",
            "5.2",
            _PROTOCOL_ERROR,
            "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_.",
        ),
        Rule("length in 2 bytes", "5.2", _PROTOCOL_ERROR, _MINIMAL),
        Rule("length in 8 bytes", "5.2", _PROTOCOL_ERROR, _MINIMAL),
        Rule("length of 2^63", "5.2", _PROTOCOL_ERROR, "the most significant bit MUST be 0"),
        Rule("long control frame", "5.5", _PROTOCOL_ERROR, _CONTROL_LENGTH),
        Rule("fragmented control frame", "5.5", _PROTOCOL_ERROR, "and MUST NOT be fragmented."),
        Rule("continuation of nothing", "5.4", _PROTOCOL_ERROR, _BEGINNING),
        Rule("message in a message", "5.4", _PROTOCOL_ERROR, _INTERLEAVED),
        Rule(
            "half a close code",
            "5.5.1",
            _PROTOCOL_ERROR,
            "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer",
        ),
        Rule(
            "close code that may not travel",
            "7.4",
            _PROTOCOL_ERROR,
            "MUST NOT be set as a status code in a Close control frame by an endpoint.",
        ),
        Rule("close reason not UTF-8", "8.1", _INVALID_DATA, _UTF_8),
        Rule("text not UTF-8", "8.1", _INVALID_DATA, _UTF_8),
        Rule("fragmented text not UTF-8", "8.1", _INVALID_DATA, _UTF_8),
    ]
)


_GRAMMAR = "The ABNF for the value of this header field is 1#token"
_ONE_VERSION = "the |Sec-WebSocket-Version| header field MUST NOT appear more than once in an HTTP request."
_HOST = (
    "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host "
    "header field and to any request message that contains more than one Host header field line"
)
_SPACE = (
    "A server MUST reject, with a response status code of 400 (Bad Request), any received request message that "
    "contains whitespace between a header field name and colon."
)
_MALFORMED = "the recipient of such malformed data MUST immediately _Fail the WebSocket Connection_."
_OPTION = 'a token that is an ASCII case-insensitive match for the value "Upgrade"'
_VERSION_13 = "A |Sec-WebSocket-Version| header field, with a value of 13."
_CONNECTION = 'A |Connection| header field that includes the token "Upgrade"'
_KEY = (
    "A |Sec-WebSocket-Key| header field with a base64-encoded (see Section 4 of [RFC4648]) value that, when decoded, "
    "is 16 bytes in length."
)


#: The rules about requests, by name. A server must refuse a request that breaks one.
REQUEST_RULES: dict[str, HeadRule] = _by_name(
    [
        HeadRule("method", "4.2.1", (405, 400, 426, 501), "An HTTP/1.1 or higher GET request"),
        HeadRule("HTTP version", "4.2.1", (426, 400, 505), "An HTTP/1.1 or higher GET request"),
        HeadRule(
            "request line", "RFC 9112 3.2", (400, 505), "Recipients of an invalid request-line SHOULD respond with"
        ),
        HeadRule(
            "target", "4.2.1", (400, 404), "that should be interpreted as a /resource name/ defined in Section 3"
        ),
        HeadRule("space before colon", "RFC 9112 5.1", (400,), _SPACE),
        HeadRule("no Host", "RFC 9112 3.2", (400,), _HOST),
        HeadRule("two Hosts", "RFC 9112 3.2", (400,), _HOST),
        HeadRule("no Upgrade", "4.2.1", (426, 400, 404), 'An |Upgrade| header field containing the value "websocket"'),
        HeadRule("other Upgrade", "4.2.1", (426, 400), 'An |Upgrade| header field containing the value "websocket"'),
        HeadRule("no Connection", "4.2.1", (400, 426), _CONNECTION),
        HeadRule("other Connection", "4.2.1", (400, 426), _CONNECTION),
        HeadRule("no key", "4.2.1", (400,), _KEY),
        HeadRule("bad key", "4.2.1", (400,), _KEY),
        HeadRule("two keys", "11.3.1", (400,), "The |Sec-WebSocket-Key| header field MUST NOT appear more than once"),
        HeadRule("no version", "4.2.1", (426, 400), _VERSION_13),
        HeadRule(
            "other version", "4.2.2", (426, 400), "an appropriate HTTP error code (such as 426 Upgrade Required)"
        ),
        HeadRule("two versions", "11.3.5", (400, 426), _ONE_VERSION),
        HeadRule("bad subprotocol", "4.3", (400,), _GRAMMAR),
        HeadRule("subprotocol twice", "4.1", (400,), "and MUST all be unique strings"),
        HeadRule("bad extensions", "9.1", (400,), _MALFORMED),
    ]
)

#: The rules about responses, by name. A client must not open the connection if the response breaks one.
RESPONSE_RULES: dict[str, HeadRule] = _by_name(
    [
        HeadRule("not 101", "4.1", (), "If the status code received from the server is not 101"),
        HeadRule("no Upgrade", "4.1", (), "If the response lacks an |Upgrade| header field"),
        HeadRule("other Upgrade", "4.1", (), 'not an ASCII case-insensitive match for the value "websocket"'),
        HeadRule("no Connection", "4.1", (), "If the response lacks a |Connection| header field"),
        HeadRule("other Connection", "4.1", (), _OPTION),
        HeadRule("no accept", "4.1", (), "If the response lacks a |Sec-WebSocket-Accept| header field"),
        HeadRule("other accept", "4.1", (), "a value other than the base64-encoded SHA-1 of the concatenation"),
        HeadRule("two accepts", "11.3.3", (), "The |Sec-WebSocket-Accept| header MUST NOT appear more than once"),
        HeadRule("other subprotocol", "4.1", (), "a subprotocol that was not present in the client's handshake"),
        HeadRule("two subprotocols", "11.3.4", (), "MUST NOT appear more than once in an HTTP response."),
        HeadRule("other extension", "4.1", (), "an extension that was not present in the client's handshake"),
        HeadRule("bad extensions", "9.1", (), _MALFORMED),
    ]
)
