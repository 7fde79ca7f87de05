"""What an extension is (section 9): how it is negotiated, and what it does to messages.

Two interfaces. An `Extension` is configuration that the application gives to a handshake; it can offer itself
(client), answer an offer (server) and read the answer (client). Each of these ends in a `MessageCodec`, the
state of that extension on one connection, which changes the payload of data messages on the way in and out.

Control frames are never changed: no registered extension does, and a Close that needs an extension to be read
would be one that a failing extension could lose. `deflate.py` is the first user; a second one is in the tests.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

# One offer or answer as the header has it, in order: ("client_max_window_bits", None), ("x", "15").
Parameters = Sequence[tuple[str, "str | None"]]


class MessageCodec(Protocol):
    """The state of one extension on one connection.

    :ivar reserved_bit: the RSV bit that marks a message as changed by this extension: 4 for RSV1, 2 for RSV2,
        1 for RSV3 (5.2). It stands on the first frame of a message only.
    :ivar parameters: what was agreed, as the ``Sec-WebSocket-Extensions`` header says it, name first.

    >>> codec = rfc6455.PerMessageDeflate().accept_offer([])
    >>> codec.decode(codec.encode(b"hello", final=True), final=True)
    b'hello'
    """

    reserved_bit: int
    parameters: str

    @property
    def retained_bytes(self) -> int:
        """An upper estimate of the memory that this state holds now."""
        ...

    def decode(self, payload: bytes, final: bool) -> bytes:
        """Takes the next bytes of a marked message and gives what they mean, some 64 KiB at a time.

        While ``has_more`` is true afterwards, the rest waits: call again with ``b""`` and the same ``final``.

        :param final: whether these are the last bytes of the message.
        :raises RemoteProtocolError: when the bytes make no sense; 1007 for bad data.
        """
        ...

    @property
    def has_more(self) -> bool:
        """Whether `decode` holds back output of input that it already took."""
        ...

    def encode(self, payload: bytes, final: bool) -> bytes:
        """Takes the next bytes of an outgoing message and gives the payload of its next frame.

        :param final: whether these are the last bytes of the message.
        """
        ...

    def wants(self, payload: bytes, fin: bool) -> bool:
        """Whether a message that begins with ``payload`` (and ends there if ``fin``) is worth encoding."""
        ...

    @property
    def shared_key(self) -> Hashable:
        """What `encode_shared` depends on: codecs with equal keys give equal bytes."""
        ...

    def encode_shared(self, payload: bytes) -> bytes:
        """Encodes a whole message without use of, or effect on, the state of this connection."""
        ...

    def forget_sent(self) -> None:
        """Called when this connection sends what `encode_shared` gave: later messages must not refer to what it
        sent before."""
        ...

    def drop(self) -> None:
        """Called when the connection has ended: lets go of all memory. Nothing is decoded any more; what is still
        encoded must not refer to earlier messages."""
        ...


class Extension(Protocol):
    """An extension as configured by the application. It holds no state of a connection.

    :ivar name: the registered token, such as ``permessage-deflate``.

    >>> extension = rfc6455.PerMessageDeflate()
    >>> extension.accept_offer([("server_max_window_bits", "10")]).parameters.split("; ")[-1]
    'server_max_window_bits=10'
    >>> extension.accept_offer([("server_max_window_bits", "99")]) is None
    True
    """

    name: str

    def offer(self) -> str:
        """The offer of a client: the parameters as in the header, without the name; may be empty."""
        ...

    def accept_offer(self, parameters: Parameters) -> MessageCodec | None:
        """The server's choice.

        :param parameters: those of one offer, in order; the value is ``None`` where a parameter has none.
        :returns: the state agreed on, or ``None`` to decline this offer (9.1: "no harm").
        """
        ...

    def accept_answer(self, parameters: Parameters) -> MessageCodec:
        """The client reads the server's answer to its offer.

        :param parameters: as in `accept_offer`.
        :raises HandshakeError: when the answer is not one to this offer; the connection must fail (4.1).
        """
        ...
