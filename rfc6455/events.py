"""What a connection reports: small values that compare equal by type and content.

The law: an event says what happened, and has no reference to the connection. One is created for each message, at full
speed, so they are plain classes with slots (a frozen dataclass takes much longer to create); treat them as read-only.
In the compiled package, setting an attribute to a value of the wrong type raises `TypeError`. They can be used in
``match`` statements: ``case TextMessage(text): ...``.
"""

from __future__ import annotations

from .codes import CloseCause, CloseCode
from .errors import LocalProtocolError, ProtocolError
from .values import Value


class TextMessage(Value):
    """A whole text message (5.6).

    :ivar text: the message; never with lone surrogates, since it was valid UTF-8 (8.1).

    >>> rfc6455.Connection(rfc6455.CLIENT).receive_data(bytes.fromhex("81 02 6869"))
    [TextMessage(text='hi')]
    """

    __slots__ = __match_args__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text: str = text


class BytesMessage(Value):
    """A whole binary message (5.6).

    :ivar data: the message.

    >>> rfc6455.Connection(rfc6455.CLIENT).receive_data(bytes.fromhex("82 02 6869"))
    [BytesMessage(data=b'hi')]
    """

    __slots__ = __match_args__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data: bytes = data


def text_message(text: str) -> TextMessage:
    """Return a `TextMessage`. In Cython, calling the class would take five times as long."""
    message = TextMessage.__new__(TextMessage)
    message.text = text
    return message


def bytes_message(data: bytes) -> BytesMessage:
    """Return a `BytesMessage`; see `text_message`."""
    message = BytesMessage.__new__(BytesMessage)
    message.data = data
    return message


class TextPart(Value):
    """The next part of a text message, from a connection with the option ``parts=True``. It is split between
    characters.

    :ivar text: the text of this part; empty if only some bytes of a character have arrived, or if nothing is left for
        the last part.
    :ivar final: whether the message ends here.

    >>> ws = rfc6455.Connection(rfc6455.CLIENT, parts=True)
    >>> ws.receive_data(bytes.fromhex("81 04 636e c3"))
    [TextPart(text='cn', final=False)]
    >>> ws.receive_data(bytes.fromhex("a9"))
    [TextPart(text='é', final=True)]
    """

    __slots__ = __match_args__ = ("text", "final")

    def __init__(self, text: str, final: bool) -> None:
        self.text: str = text
        self.final: bool = final


class BytesPart(Value):
    """The next part of a binary message, from a connection with the option ``parts=True``.

    :ivar data: the bytes of this part; may be empty.
    :ivar final: whether the message ends here.

    >>> ws = rfc6455.Connection(rfc6455.CLIENT, parts=True)
    >>> ws.receive_data(bytes.fromhex("82 04 6162"))
    [BytesPart(data=b'ab', final=False)]
    >>> ws.receive_data(bytes.fromhex("6364"))
    [BytesPart(data=b'cd', final=True)]
    """

    __slots__ = __match_args__ = ("data", "final")

    def __init__(self, data: bytes, final: bool) -> None:
        self.data: bytes = data
        self.final: bool = final


class EncodedText(Value):
    """A text message, or the next part of one, as bytes, from a connection with the option ``decode_text=False``.

    :ivar data: valid UTF-8 (8.1), unless ``Leniency.INVALID_UTF8`` allows any bytes. A part may end in the middle of a
        character.
    :ivar final: whether the message ends here; always true for whole messages.

    >>> ws = rfc6455.Connection(rfc6455.CLIENT, decode_text=False)
    >>> ws.receive_data(bytes.fromhex("81 02 c3a9"))
    [EncodedText(data=b'\\xc3\\xa9', final=True)]
    """

    __slots__ = __match_args__ = ("data", "final")

    def __init__(self, data: bytes, final: bool = True) -> None:
        self.data: bytes = data
        self.final: bool = final


class Ping(Value):
    """The peer sent a Ping (5.5.2). The Pong is included in the next ``data_to_send()``; you do not have to do
    anything.

    :ivar payload: at most 125 bytes.

    >>> client, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
    >>> client.ping(b"1")
    >>> server.receive_data(client.data_to_send())
    [Ping(payload=b'1')]
    >>> client.receive_data(server.data_to_send())
    [Pong(payload=b'1')]
    """

    __slots__ = __match_args__ = ("payload",)

    def __init__(self, payload: bytes = b"") -> None:
        self.payload: bytes = payload


class Pong(Value):
    """The peer sent a Pong (5.5.3), solicited or not.

    :ivar payload: at most 125 bytes; a copy of the payload of the Ping that it answers.

    >>> rfc6455.Connection(rfc6455.CLIENT).receive_data(bytes.fromhex("8a 00"))
    [Pong(payload=b'')]
    """

    __slots__ = __match_args__ = ("payload",)

    def __init__(self, payload: bytes = b"") -> None:
        self.payload: bytes = payload


class Closed(Value):
    """The connection has ended (7.1.4). This event occurs exactly once, as the last one.

    ``str()`` returns the whole story in one sentence, for people and logs.

    :ivar code: the code of the peer's Close frame (1005 if that had none). If there was no Close frame: the code for
        the peer's violation, 3008 after a timeout of an open connection, or 1006 if the stream simply ended, or the
        opening or closing handshake took too long (7.1.5).
    :ivar reason: the reason in the peer's Close frame, in the peer's own words; empty if there was none.
    :ivar clean: whether the closing handshake was completed (7.1.4).
    :ivar error: the `RemoteProtocolError` of a violation, the `HandshakeError` if the opening handshake of an
        `Endpoint` has failed, or ``None``.
    :ivar cause: why it ended, as a `CloseCause`.

    >>> server = rfc6455.Connection(rfc6455.SERVER)
    >>> server.close(4000, "bye")
    >>> (closed,) = rfc6455.Connection(rfc6455.CLIENT).receive_data(server.data_to_send())
    >>> closed.code, closed.reason, closed.clean, closed.cause.name
    (4000, 'bye', True, 'HANDSHAKE')
    >>> print(closed)
    both sides sent a Close frame; the peer's has code 4000 and the reason 'bye'
    """

    __slots__ = __match_args__ = ("code", "reason", "clean", "error", "cause")

    def __init__(
        self,
        code: int,
        reason: str = "",
        clean: bool = False,
        error: ProtocolError | None = None,
        cause: CloseCause = CloseCause.HANDSHAKE,
    ) -> None:
        self.code: int = code
        self.reason: str = reason
        self.clean: bool = clean
        self.error: ProtocolError | None = error
        self.cause: CloseCause = cause

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.cause.value}: {self.error}"
        if not self.clean:
            return self.cause.value
        if self.code == CloseCode.NO_STATUS_RCVD:
            return f"{self.cause.value}; the peer's has no code"
        reason = f" and the reason {self.reason!r}" if self.reason else ""
        return f"{self.cause.value}; the peer's has code {_named(self.code)}{reason}"


def _named(code: int) -> str:
    try:
        name = CloseCode(code).name.replace("_", " ").lower()
    except ValueError:
        return str(code)
    return f"{int(code)} ({name})"


# Everything that `Connection.receive_data` can return. It is a union, so that with ``assert_never`` a type checker can
# tell whether a ``match`` covers every case.
Event = TextMessage | BytesMessage | TextPart | BytesPart | EncodedText | Ping | Pong | Closed


class ConnectionClosedError(LocalProtocolError):
    """The connection has ended, so nothing can be sent any more. It was ended by the peer or the network; this is not
    a mistake in the program.

    It is defined here, and not with the other errors, because it contains an event.

    :ivar closed: the `Closed` event.

    >>> client, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
    >>> client.close(1001, "leaving")
    >>> (closed,) = server.receive_data(client.data_to_send())
    >>> answer = server.data_to_send()
    >>> try:
    ...     server.send_text("too late")
    ... except rfc6455.ConnectionClosedError as error:
    ...     print(error.closed.code, error.closed.reason)
    1001 leaving
    """

    def __init__(self, closed: Closed) -> None:
        super().__init__(closed)
        self.closed: Closed = closed

    def __str__(self) -> str:
        return f"the connection has ended: {self.closed}"
