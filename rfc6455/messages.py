"""Messages (5.4, 5.6, 8.1): join their pieces, check UTF-8 as it arrives, enforce the size limit.

A message passes through here if it does not arrive in one frame and one read, or if an extension changed it; for all
others, `connection.py` has a fast path. The bytes of the message are kept in one buffer, however small the pieces in
which they arrive.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

from . import byte_loops
from ._signatures import SIGNATURE
from .arguments import as_bytes, at_most_63_bits
from .byte_loops import decode_beginning, pack_frame, pack_header
from .codes import FIN_BIT, MAX_LENGTH, OPCODE_BITS, CloseCode, Leniency, Opcode
from .cursor import FrameCursor
from .errors import LocalProtocolError, RemoteProtocolError
from .events import BytesPart, EncodedText, Event, TextPart, bytes_message, text_message
from .extensions import MessageCodec, checked, has_several_bits, marks_of
from .limits import OBJECT_OVERHEAD
from .options import Options

# A payload of at least this size is sent without copying it, as a separate buffer after its header. For smaller ones,
# a copy costs less than another buffer in `socket.sendmsg` or `StreamWriter.writelines`.
LEAST_UNCOPIED = 16 << 10

# The number of bytes of an encoded message that are decoded at once if parts are wanted. With deflate's maximum ratio
# (1032:1), a part then has at most 516 KiB.
MAX_ENCODED_PART = 512

# The same for whole messages, where it bounds the work of one step.
MAX_ENCODED_PIECE = 64 << 10

# The maximum ratio of an encoded message to a decoded one. A sender that flushes its compressor after each byte turns
# one byte into seven (RFC 7692 7.2.3.6); the rest is for short messages. A larger ratio is an attack: an endless
# message of empty blocks would never reach Limits.message.
ENCODED_RATIO = 8
ENCODED_HEADROOM = 64 << 10

_TEXT_OPCODE = int(Opcode.TEXT)


class MessageReader:
    """Builds messages, or parts of messages, from the payloads of frames.

    :param codecs: the extensions in use, in the order of the handshake.
    :param options: the options, of which ``limits``, ``parts``, ``decode_text`` and ``leniencies`` matter here.
    :param leniencies_used: where the use of a leniency is counted.
    """

    def __init__(
        self, codecs: tuple[MessageCodec, ...], options: Options, leniencies_used: dict[Leniency, int]
    ) -> None:
        #: The largest message in bytes, joined and decoded.
        self.max_size: int = at_most_63_bits(options.limits.message)
        self._all_codecs = codecs
        # The extensions that have several reserved bits.
        self._choosing = [codec for codec in codecs if has_several_bits(codec)]
        self._parts = options.parts
        self._decodes_text = options.decode_text
        # Almost no connection has leniencies, and looking up an enum member in a set takes a Python call.
        self._takes_any_text = bool(options.leniencies) and Leniency.INVALID_UTF8 in options.leniencies
        self._leniencies_used = leniencies_used
        self._codecs: tuple[MessageCodec, ...] = ()
        self._is_encoded = self._is_text = False
        self._size = 0
        self._bytes = byte_loops.BytesBuffer()
        self._text = byte_loops.TextBuffer()
        # The one of these two in which the current message is joined.
        self._buffer: byte_loops.PayloadBuffer = self._bytes
        # Whether its payloads are processed one by one rather than just moved to the buffer.
        self._goes_by_payload = False
        # For parts or text as bytes: the beginning of a character that is still incomplete.
        self._torn = b""
        # Whether a text delivered as bytes was found not to be UTF-8, and is accepted nevertheless.
        self._is_invalid = False
        # The total number of bytes that went into extensions, and that came out.
        self.encoded: int = 0
        self.decoded: int = 0
        # The size of the current message on the wire, if it is encoded, and the limit for this size.
        self._wire_size = 0
        self._max_wire_size = min(ENCODED_RATIO * self.max_size + ENCODED_HEADROOM, MAX_LENGTH)
        self._empty_fragments = 0
        # Whether an extension is running: an exception raised now is the extension's, and does not mean that the
        # peer's text is invalid.
        self.in_codec: bool = False
        # Whether whole messages are reported without an event around them.
        self.is_bare: bool = False

    def begin(self, opcode: int, rsv: int) -> bool:
        """Begin a message, and return whether an extension changed it."""
        self._is_text = opcode == _TEXT_OPCODE
        self._buffer = self._text if self._is_text and self._decodes_text else self._bytes
        self._size = self._wire_size = self._empty_fragments = 0
        self._is_invalid = False
        self._is_encoded = rsv != 0
        self._goes_by_payload = self._is_encoded or self._parts or (self._is_text and not self._decodes_text)
        if rsv:
            # The cursor accepts only the bits of extensions, so with a single extension, they are its own.
            self._codecs = self._all_codecs
            if len(self._codecs) > 1:
                self._codecs = tuple([codec for codec in self._codecs if codec.reserved_bits & rsv])
            for codec in self._choosing:
                if codec.reserved_bits & rsv:
                    codec.begin(codec.reserved_bits & rsv)
        return self._is_encoded

    def check_length(self, length: int) -> None:
        """Refuse a frame that is too long by its declared length, before its payload has arrived.

        For a message that an extension changed, the limit is on the decoded bytes, but its encoded form is bounded as
        well.
        """
        if not length:
            self._empty_fragments += 1
        if self._is_encoded:
            if length > self._max_wire_size - self._wire_size:
                raise self._too_long_encoded(length)
            self._wire_size += length
        elif length > self.max_size - self._size:
            raise message_too_big(self._size, length, self.max_size)

    def _too_long_encoded(self, length: int) -> RemoteProtocolError:
        size, most = self._wire_size + length, self._max_wire_size
        reason = (
            f"an encoded message that takes {size} bytes or more; {most} are allowed, which is {ENCODED_RATIO} times "
            f"Limits(message={self.max_size}) and {ENCODED_HEADROOM}"
        )
        return RemoteProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "10.4")

    def take(self, cursor: FrameCursor, piece: int, final: bool, events: list[Event]) -> None:
        """Process the cursor's current piece; ``final`` says whether the message ends with it."""
        if self._goes_by_payload:
            payload = cursor.take_payload(piece)
            if not payload and not final:
                return
            if self._is_encoded:
                self.encoded += len(payload)
                self._decode(len(self._codecs) - 1, payload, final, events)
            else:
                self._deliver(payload, final, events)
        else:
            buffer = self._buffer
            cursor.move_payload(piece, buffer)
            self._size = len(buffer)
            self._go_on(final, events)
        if final:
            self._empty_fragments = 0

    def decoded_before(self) -> int:
        """Return how much of the current message has been decoded but not delivered yet, in bytes."""
        return len(self._buffer) if self._is_encoded else 0

    def drop(self) -> None:
        """Forget the message so far."""
        self._bytes = self._buffer = byte_loops.BytesBuffer()
        self._text = byte_loops.TextBuffer()
        self._torn = b""
        self._empty_fragments = 0

    def kept(self) -> int:
        """Return the memory that the message so far takes, in bytes.

        An empty fragment takes no memory, but a message could have any number of them, so each counts as an object.
        """
        return self._buffer.allocated() + len(self._torn) + self._empty_fragments * OBJECT_OVERHEAD

    def _decode(self, depth: int, payload: bytes, final: bool, events: list[Event]) -> None:
        """Undo the extension at ``depth``; those before it get the result, piece by piece.

        9.1: the sender works through the extensions in "the order in which the extensions are listed in the server's
        response", so the last is undone first.
        """
        codec = self._codecs[depth]
        while True:
            self.in_codec = True
            data = checked(codec, "decode", codec.decode(payload, final))
            more = codec._has_more()
            self.in_codec = False
            self.decoded += len(data)
            if depth:
                self._decode(depth - 1, data, final and not more, events)
            else:
                self._deliver(data, final and not more, events)
            if not more:
                return
            payload = b""

    def _deliver(self, data: bytes, final: bool, events: list[Event]) -> None:
        """Process bytes of the message as the sender's application wrote them."""
        self._size += len(data)
        if self._size > self.max_size:
            # The error must not depend on how the input was cut, so it does not say by how much the limit is exceeded.
            raise message_too_big(self.max_size, 1, self.max_size)
        if self._is_text and not self._decodes_text:
            self._deliver_encoded(data, final, events)
        elif self._parts:
            self._deliver_part(data, final, events)
        elif final and not len(self._buffer):
            self._report(data.decode() if self._is_text else data, events)
        else:
            self._buffer.append(data)
            self._go_on(final, events)

    def _go_on(self, final: bool, events: list[Event]) -> None:
        """Check and deliver what has been added to the buffer.

        8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in
        fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_". This happens as soon as an
        invalid byte has come, without waiting for the end of the frame. At the end of the message, decoding it is the
        check.
        """
        if final:
            self._report(self._text.take_text() if self._is_text else self._bytes.take_bytes(), events)
        elif self._is_text:
            self._text.check_text()

    def _report(self, message: Any, events: list[Event]) -> None:
        if not self.is_bare:
            message = text_message(message) if self._is_text else bytes_message(message)
        events.append(message)

    def _deliver_part(self, data: bytes, final: bool, events: list[Event]) -> None:
        if not self._is_text:
            events.append(BytesPart(data, final))
            return
        if self._torn:
            data = self._torn + data
        text, used = (data.decode(), len(data)) if final else decode_beginning(data)
        self._torn = data[used:]
        events.append(TextPart(text, final))

    def _deliver_encoded(self, data: bytes, final: bool, events: list[Event]) -> None:
        """Deliver text as bytes. 8.1 applies to it as well."""
        if not self._is_invalid:
            self._check_encoded(data, final)
        if self._parts or (final and not len(self._buffer)):
            events.append(EncodedText(data, final))
            return
        self._buffer.append(data)
        if final:
            events.append(EncodedText(self._bytes.take_bytes(), True))

    def _check_encoded(self, data: bytes, final: bool) -> None:
        if not self._torn and data.isascii():
            return
        data = self._torn + data
        try:
            if final:
                data.decode()
                self._torn = b""
            else:
                self._torn = data[decode_beginning(data)[1] :]
        except UnicodeDecodeError:
            if not self._takes_any_text:
                raise
            self._torn = b""
            self._is_invalid = True
            self._leniencies_used[Leniency.INVALID_UTF8] = self._leniencies_used.get(Leniency.INVALID_UTF8, 0) + 1


def message_too_big(size: int, more: int, max_size: int) -> RemoteProtocolError:
    """Return the error for a message with ``size`` bytes so far, and at least ``more`` bytes announced."""
    reason = f"a message of {size + more} bytes or more; Limits(message={max_size}) allows no more"
    return RemoteProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "10.4")


def encode_text(text: str | bytes | bytearray | memoryview) -> bytes:
    """Return a text as UTF-8 (5.6). It may already be passed as UTF-8.

    :raises TypeError: when it is neither a ``str`` nor bytes.
    :raises LocalProtocolError: when it has a lone surrogate, which UTF-8 cannot encode, or is bytes that are not UTF-8
        (8.1).
    """
    try:
        if isinstance(text, str):
            return text.encode()
        if not isinstance(text, (bytes, bytearray, memoryview)):
            raise TypeError(f"a text is a str, or bytes that are UTF-8, not {type(text).__name__}")
        encoded = as_bytes(text)
        if not encoded.isascii():
            encoded.decode()
    except UnicodeError as error:
        what = "valid Unicode" if isinstance(text, str) else "UTF-8"
        raise LocalProtocolError(f"the text cannot be sent, as it is not {what} (8.1): {error}") from error
    return encoded


def unmasked_frame(first: int, payload: bytes) -> list[bytes]:
    """Return the buffers of a server's frame whose first byte is ``first``: one, or its header and a large payload."""
    if len(payload) < LEAST_UNCOPIED:
        return [pack_frame(first, payload, None, 0)]
    return [pack_header(first, len(payload), None), payload]


class PreparedMessage:
    """A message that is serialised once, and sent on many connections with `Connection.send_prepared`.

    The connections of a server share the same bytes object. Those with compression share the compressed bytes if their
    parameters allow it; the message is compressed once for each set of parameters, when a connection first needs it. A
    client masks each frame with a different key (5.3), so only the compressed payload is shared.

    It can be used by several threads at the same time: at worst, something is computed twice.

    :param message: the text or the bytes.
    :param compress: ``False`` never to compress; ``True`` to compress on every connection that has negotiated an
        extension; ``None`` to let the extension decide.
    :raises TypeError: when the message is neither text nor bytes.
    :raises LocalProtocolError: when the text is not valid Unicode (8.1).

    >>> news = rfc6455.PreparedMessage("news")
    >>> for ws in (rfc6455.Connection(rfc6455.SERVER), rfc6455.Connection(rfc6455.SERVER)):
    ...     ws.send_prepared(news)
    ...     print(ws.data_to_send().hex(" "))
    81 04 6e 65 77 73
    81 04 6e 65 77 73
    """

    __signature__ = SIGNATURE

    __slots__ = ("first", "payload", "compress", "_buffers", "_encoded", "__weakref__")

    def __init__(self, message: str | bytes | bytearray | memoryview, *, compress: bool | None = None) -> None:
        is_text = isinstance(message, str)
        self.first: int = FIN_BIT | (Opcode.TEXT if is_text else Opcode.BINARY)
        self.payload: bytes = encode_text(message) if isinstance(message, str) else as_bytes(message)
        self.compress: bool | None = compress
        self._buffers = unmasked_frame(self.first, self.payload)
        self._encoded: dict[Hashable, tuple[int, bytes, list[bytes]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        message = self.payload.decode() if self.first & OPCODE_BITS == _TEXT_OPCODE else self.payload
        return partial(PreparedMessage, compress=self.compress), (message,)

    def _encoded_by(self, codec: MessageCodec) -> tuple[int, bytes, list[bytes]]:
        """Return the message as encoded by ``codec`` and all others with an equal `MessageCodec.shared_key`.

        :returns: the first byte of the frame, its payload, and the whole frame of a server.
        """
        key = codec.shared_key
        encoded = self._encoded.get(key)
        if encoded is None:
            payload = checked(codec, "encode_shared", codec.encode_shared(self.payload))
            first = self.first | marks_of(codec) << 4
            encoded = self._encoded[key] = first, payload, unmasked_frame(first, payload)
        codec.forget_sent()
        return encoded
