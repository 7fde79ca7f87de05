"""What an extension is (section 9): how it is negotiated, and what it does to messages.

There are two base classes. An `Extension` is the configuration that the application passes to a handshake; it can make
an offer (client), answer an offer (server) and read the answer (client). This results in a `MessageCodec`, the state
of that extension on one connection, which changes the payload of data messages on the way in and out. Each of the two
must define two members; the others have defaults that suit an extension without parameters and without memory.

Control frames are never changed: no registered extension does so, and a Close frame that had to be decoded could be
lost to a failing extension.

Not here: any extension. `deflate.py` is the first one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from .arguments import described, items_of
from .codes import CloseCode
from .errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from .values import State

# The parameters of an offer or answer, in order, as in the header: ("client_max_window_bits", None), ("x", "15").
Parameters = Sequence[tuple[str, "str | None"]]


class MessageCodec(State):
    """The state of an extension on one connection. Derive a class, and define `encode` and `decode`.

    An exception that a codec raises is a mistake on this side, unless it is a `RemoteProtocolError`: the connection
    fails with 1011, and the exception is passed on to the caller of the connection. Earlier events are not lost: the
    next ``receive_data(None)`` returns them, and then `Closed`.

    :cvar reserved_bits: the RSV bits that mark a message as changed by this extension, on its first frame only (5.2):
        4 for RSV1, 2 for RSV2, 1 for RSV3, or a sum of them. Two extensions of one connection must not share any.
    :ivar parameters: what was negotiated, as written in the ``Sec-WebSocket-Extensions`` header, beginning with the
        name. If a codec does not set it, the handshake fills in the name.

    >>> class Backwards(rfc6455.MessageCodec):
    ...     def encode(self, payload, final):
    ...         return payload[::-1]
    ...     decode = encode
    >>> sender = rfc6455.Connection(rfc6455.SERVER, [Backwards()])
    >>> sender.send_text("abc")
    >>> sender.data_to_send()
    b'\\xc1\\x03cba'
    """

    reserved_bits = 4
    parameters = ""

    def encode(self, payload: bytes, final: bool) -> bytes:
        """Encode the next bytes of an outgoing message, and return the payload of its next frame.

        :param payload: what one call to send passed: a message, or a fragment of one; may be empty.
        :param final: whether these are the last bytes of the message.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define encode(payload, final)")

    def decode(self, payload: bytes, final: bool) -> bytes:
        """Decode the next bytes of a marked message, and return the result, either all of it or about 64 KiB at a
        time.

        If `has_more` is true afterwards, there is more to return, and the next call passes ``b""`` and the same
        ``final``.

        :param payload: the bytes in the chunks in which they arrive; may be empty.
        :param final: whether these are the last bytes of the message.
        :raises RemoteProtocolError: when the bytes make no sense; 1007 for bad data.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define decode(payload, final)")

    # The bits that mark a message.

    @property
    def marks(self) -> int:
        """The bits for the message whose first payload `encode` or `encode_shared` has just returned.

        Used only for a codec with several bits. By default all of them.
        """
        return self.reserved_bits

    def begin(self, marks: int) -> None:
        """Note that a marked message is beginning to arrive.

        Called only for a codec with several bits. By default it refuses a message that does not have all of them.

        :param marks: those of ``reserved_bits`` that are set on its first frame; at least one.
        :raises RemoteProtocolError: when this combination of bits means nothing.
        """
        if marks != self.reserved_bits:
            # With int(), as the compiled method does.
            reason = f"reserved bits {int(marks):03b} without the others of {self.reserved_bits:03b}"
            raise RemoteProtocolError(CloseCode.PROTOCOL_ERROR, reason, "5.2")

    def wants(self, payload: bytes, fin: bool) -> bool:
        """Return whether a message that begins with ``payload`` (and ends there if ``fin``) is worth encoding."""
        return True

    # Memory.

    @property
    def has_more(self) -> bool:
        """Whether `decode` holds back output for input that it already took."""
        return False

    @property
    def retained_bytes(self) -> int:
        """An upper estimate of the memory that this state currently takes, in bytes; it counts towards
        ``Limits.memory``."""
        return 0

    def drop(self) -> None:
        """Release all memory: the connection has ended.

        Nothing is decoded after this; if anything is still encoded, it must not refer to earlier messages.
        """

    # Messages that several connections share (`PreparedMessage`).

    @property
    def shared_key(self) -> Hashable:
        """The settings on which `encode_shared` depends: codecs with equal keys return equal bytes. ``None`` if
        messages cannot be shared."""
        return None

    def encode_shared(self, payload: bytes) -> bytes:
        """Encode a whole message without using or changing the state of this connection.

        Called only if `shared_key` is not ``None``. By default, it calls `encode`, which is right for a codec that
        does not remember anything from one message to the next.
        """
        return self.encode(payload, True)

    def forget_sent(self) -> None:
        """Note that this connection sends what `encode_shared` returned, perhaps on another connection's codec.

        Later messages must not refer to what was sent before.
        """

    # These two are needed after each step. They are methods, as compiled methods are called without a look-up.

    def _has_more(self) -> bool:
        return self.has_more

    def _retained(self) -> int:
        return self.retained_bytes


class Extension:
    """An extension as configured by the application. It does not contain the state of any connection.

    Derive a class. An extension without parameters defines ``name`` and `codec`; one with parameters defines ``name``,
    `offer`, `accept_offer` and `accept_answer`.

    :cvar name: the registered token, such as ``permessage-deflate``.

    >>> extension = rfc6455.PerMessageDeflate()
    >>> extension.accept_offer([("server_max_window_bits", "10")]).parameters.split("; ")[-1]
    'server_max_window_bits=10'
    >>> extension.accept_offer([("server_max_window_bits", "99")]) is None
    True
    """

    name: str

    def codec(self) -> MessageCodec:
        """Return the state for a new connection."""
        raise NotImplementedError(f"{type(self).__name__} defines neither codec() nor what is called instead")

    def offer(self) -> str:
        """Return the offer of a client: the parameters as in the header, without the name. By default, there are
        none."""
        return ""

    def accept_offer(self, parameters: Parameters) -> MessageCodec | None:
        """Answer an offer on a server. By default, an offer with parameters is declined.

        :param parameters: those of one offer, in order; the value is ``None`` for a parameter without one.
        :returns: the state agreed on, or ``None`` to decline; a client "is only offering to use" extensions (9.1).
        """
        return None if parameters else self.codec()

    def accept_answer(self, parameters: Parameters) -> MessageCodec:
        """Read the server's answer to the client's offer. By default, an answer must not have parameters.

        :param parameters: as in `accept_offer`.
        :raises HandshakeError: when it does not answer this offer; the connection must fail (4.1).
        """
        if parameters:
            reason = f"{self.name} has no parameters, but the answer gives it {parameters[0][0]}"
            raise HandshakeError(None, reason, "9.1")
        return self.codec()


def checked(codec: MessageCodec, method: str, data: Any) -> bytes:
    """Check the result of a method of a codec, and return it.

    :raises TypeError: when it is not ``bytes``.
    """
    if type(data) is not bytes:
        raise TypeError(f"{type(codec).__name__}.{method}() returned {type(data).__name__}, not bytes")
    return data


def has_several_bits(codec: MessageCodec) -> bool:
    """Return whether the codec can choose which bits mark a message."""
    bits = codec.reserved_bits
    return bits & bits - 1 != 0


def marks_of(codec: MessageCodec) -> int:
    """Return the bits for the message that ``codec`` has just begun to encode.

    :raises ValueError: when the codec names no bits, or bits that are not its own.
    """
    if not has_several_bits(codec):
        return codec.reserved_bits
    marks = codec.marks
    if type(marks) is not int or not marks or marks & ~codec.reserved_bits:
        raise ValueError(f"{type(codec).__name__}.marks are some of the bits {codec.reserved_bits:03b}, not {marks!r}")
    return marks


def check_codecs(codecs: Any) -> tuple[MessageCodec, ...]:
    """Check the extensions of a connection: each must be a codec with reserved bits that no other has (9).

    :raises TypeError: for anything but a `MessageCodec`; the message says what to do instead.
    :raises ValueError: when reserved bits are out of range or claimed twice.
    """
    checked = items_of(codecs, _CODECS)
    claimed = 0
    for codec in checked:
        check_codec(codec)
        if codec.reserved_bits & claimed:
            raise ValueError(
                f"two extensions claim the reserved bits {codec.reserved_bits & claimed:03b}; "
                f"give {type(codec).__name__} other reserved_bits"
            )
        claimed |= codec.reserved_bits
    return checked


def check_codec(codec: Any) -> MessageCodec:
    """Check that this is a codec with reserved bits.

    :raises TypeError: when it is not a `MessageCodec`; the message says what to do instead.
    :raises ValueError: when its reserved bits are not from 1 to 7.
    """
    if not isinstance(codec, MessageCodec):
        raise _wrong(codec, _CODECS, Extension, "; pass an Extension to a handshake, whose Connection has its codec")
    bits = codec.reserved_bits
    if type(bits) is not int or not 1 <= bits <= 7:
        raise ValueError(f"{type(codec).__name__}.reserved_bits is 4, 2, 1 or a sum of them, not {bits!r} (5.2)")
    return codec


def check_extensions(extensions: Any) -> dict[str, Extension]:
    """Check the extensions of a handshake, and return them by name.

    :raises TypeError: for anything but an `Extension`; the message says what to do instead.
    :raises LocalProtocolError: when two have the same name: it would be unclear which of them an answer means (9.1).
    """
    by_name: dict[str, Extension] = {}
    for extension in items_of(extensions, _EXTENSIONS):
        if not isinstance(extension, Extension):
            instead = "; pass a MessageCodec to a Connection, or to a handshake the Extension that makes it"
            raise _wrong(extension, _EXTENSIONS, MessageCodec, instead)
        if extension.name in by_name:
            raise LocalProtocolError(
                f"two of the extensions have the same name, {extension.name!r}; "
                "it would be unclear which one an answer means (9.1)"
            )
        by_name[extension.name] = extension
    return by_name


_CODECS = "extensions of a Connection is a sequence of MessageCodec objects"
_EXTENSIONS = "extensions is a sequence of objects such as PerMessageDeflate()"


def _wrong(value: Any, what: str, kind: type[Extension | MessageCodec], instead: str) -> TypeError:
    """Return the error for a wrong argument, which depends on whether it is an object or a class, and says what to
    pass instead."""
    is_kind = isinstance(value, kind) or (isinstance(value, type) and issubclass(value, kind))
    return TypeError(f"{what}, not {described(value)}{instead if is_kind else ''}")
