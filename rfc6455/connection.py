"""One end of a WebSocket connection after the opening handshake (5, 6, 7): bytes in, events out; calls in, bytes out.

`Connection` is the glue: `cursor.py` reads frames, `state.py` says what may follow what, and `messages.py` joins
messages. What is left here is what one end owes the other: the answer to a Ping, the answer to a Close, and the end of
the connection when the peer breaks a rule. It does no I/O, reads no clock, takes no locks, and knows nothing about
HTTP.

A violation by the peer leads to a `Closed` event, with the Close frame queued. A mistake by the caller raises
`LocalProtocolError` before anything changes. Sending after the end is neither, and raises `ConnectionClosedError`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arguments import as_bytes, as_int, at_most_63_bits, described
from .byte_loops import pack_frame, pack_text
from .codes import (
    CLIENT,
    CONTROL_BIT,
    FIN_BIT,
    MAX_CONTROL_PAYLOAD,
    MAX_LENGTH,
    OPCODE_BITS,
    RSV_BITS,
    SERVER,
    CloseCause,
    CloseCode,
    Leniency,
    Opcode,
    Role,
    is_sendable_close_code,
)
from .cursor import ENDS, READ_SIZE, STARTS, WHOLE, FrameCursor
from .errors import LocalProtocolError, RemoteProtocolError
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
    bytes_message,
    text_message,
)
from .extensions import MessageCodec, check_codecs, checked, marks_of
from .limits import OBJECT_OVERHEAD, Limits
from .messages import (
    LEAST_UNCOPIED,
    MAX_ENCODED_PART,
    MAX_ENCODED_PIECE,
    MessageReader,
    PreparedMessage,
    encode_text,
    message_too_big,
    unmasked_frame,
)
from .options import DEFAULT_OPTIONS, Options
from .state import ILLEGAL, STEPS, ConnectionState, Direction, connection_state, why_illegal
from .values import State

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import OptionArguments

# The directions as plain numbers, which are indexes into STEPS, and much cheaper to compare than the enum.
_IDLE, _IN_MESSAGE, _CLOSED = (int(direction) for direction in Direction)

_WHOLE_TEXT = FIN_BIT | Opcode.TEXT
_WHOLE_BINARY = FIN_BIT | Opcode.BINARY
_PING = FIN_BIT | Opcode.PING
_PONG = FIN_BIT | Opcode.PONG
_CLOSE = FIN_BIT | Opcode.CLOSE
_TEXT_OPCODE = int(Opcode.TEXT)
_BINARY_OPCODE = int(Opcode.BINARY)
_PING_OPCODE = int(Opcode.PING)
_CLOSE_OPCODE = int(Opcode.CLOSE)

# 5.5.1: a Close frame's payload begins with a code of 2 bytes.
MAX_CLOSE_REASON = MAX_CONTROL_PAYLOAD - 2


class _DefaultCode(int):
    """1000 (Normal Closure), if the caller of `Connection.close` passed no code."""


NO_CODE_NAMED = _DefaultCode(CloseCode.NORMAL_CLOSURE)

# The reasons in the Close frame for a peer that was too slow, from the peer's point of view.
_REASONS_OF_TIMEOUTS = {
    CloseCause.PONG_TIMEOUT: "no Pong arrived in time",
    CloseCause.IDLE_TIMEOUT: "nothing arrived for too long",
    CloseCause.CLOSE_TIMEOUT: "no Close frame arrived in time",
}

# The number of bytes that extensions may produce in one call of receive_data() before the rest is left unread. A read
# of 64 KiB can inflate to 66 MB in messages that are each within their limit.
DECODED_IN_ONE_CALL = 512 << 10

# The number of bytes that extensions may consume in one call. 64 KiB of the most expensive input that the tests could
# build take a few milliseconds.
ENCODED_IN_ONE_CALL = 64 << 10

# Masking keys are cut from a pool of random bytes of this size: one system call serves 128 frames.
_RANDOM_POOL = 512


# After a fork, parent and child both have a copy of each connection, and must not mask with the same keys (10.3):
# whoever sees the parent's frames could predict the child's keys. So each process counts the forks that led to it, and
# does not use random bytes that were fetched before the last one.
_forks = 0


def _count_fork() -> None:
    global _forks
    _forks += 1


# Windows has neither forks nor this function.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class Connection(State):
    """One end of an established connection. It is created by a handshake, but can also be created directly.

    A connection takes no locks: threads that share one must hold a lock of their own around every call.

    :param role: which end this is.
    :param extensions: the state of the negotiated extensions, in the order of the handshake's answer.
    :param subprotocol: the negotiated subprotocol; it is stored for the caller, and not used here.
    :param options: ``limits``, ``parts`` and the others that `options.Options` describes.
    :raises TypeError: when the role is not a `Role`, or an option has the wrong type.
    :raises ValueError: when two extensions claim the same RSV bit.

    :ivar last_pong: the payload of the last Pong, solicited or not; ``None`` before the first one.
    :ivar pongs_received: the number of Pongs received, solicited or not.

    >>> client, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
    >>> client.send_text("hello")
    >>> server.receive_data(client.data_to_send())
    [TextMessage(text='hello')]
    """

    # The attributes of the compiled class; the pure one must not allow others either. To store something on a
    # connection, derive a class from it.
    __slots__ = (
        *("role", "extensions", "limits", "subprotocol", "last_pong", "pongs_received"),
        *("_parts", "_random", "_masks", "_keys", "_keys_at", "_keys_forks", "_budget", "_parser", "_reader"),
        *("_max_first_piece", "_max_message", "_short_text", "_received", "_sent", "_first_out", "_out", "_pongs"),
        *("_pongs_size", "_owed_close", "_sending_opcode", "_sending_codecs", "_has_unread", "_eof", "_held"),
        *("_closed", "_milestones", "_is_aborted", "__weakref__"),
    )

    def __init__(
        self,
        role: Role,
        extensions: Sequence[MessageCodec] = (),
        *,
        subprotocol: str | None = None,
        **options: Unpack[OptionArguments],
    ) -> None:
        self._set_up(role, check_codecs(extensions), subprotocol, DEFAULT_OPTIONS.updated(**options))

    @classmethod
    def _agreed(
        cls, role: Role, codecs: Sequence[MessageCodec], subprotocol: str | None, options: Options
    ) -> Connection:
        """Make the connection that results from a handshake, which has already checked codecs and options."""
        connection = cls.__new__(cls)
        connection._set_up(role, tuple(codecs), subprotocol, options)
        return connection

    def _set_up(self, role: Role, codecs: tuple[MessageCodec, ...], subprotocol: str | None, options: Options) -> None:
        if not isinstance(role, Role):
            raise TypeError(f"a role is Role.CLIENT or Role.SERVER, not {role!r}")
        limits = options.limits
        self.role: Role = role
        self.extensions: tuple[MessageCodec, ...] = codecs
        self.limits: Limits = limits
        self.subprotocol: str | None = subprotocol
        self.last_pong: bytes | None = None
        self.pongs_received: int = 0
        self._parts = options.parts
        self._random = options.random
        self._masks = role is CLIENT
        # Random bytes for masking keys, the position of the next key, and the process in which they were fetched.
        self._keys = b""
        self._keys_at = self._keys_forks = 0
        self._budget = at_most_63_bits(limits.budget)
        reserved_bits = sum([codec.reserved_bits for codec in self.extensions]) if self.extensions else 0
        self._parser = FrameCursor(role, limits, reserved_bits, options.leniencies)
        if limits.frame is None:
            # The size is checked after decoding, as an extension may make a message larger or smaller.
            self._parser.max_length = MAX_LENGTH
        # A message that may be encoded is delivered in small pieces from its beginning.
        encoded_piece = MAX_ENCODED_PART if options.parts else MAX_ENCODED_PIECE
        self._max_first_piece = encoded_piece if self.extensions else MAX_LENGTH
        self._parser.max_piece = self._max_first_piece
        self._reader = MessageReader(self.extensions, options, self._parser.leniencies_used)
        # The longest message for the fast path, which takes it in one piece. If parts are wanted, nothing takes the
        # fast path, and if text is wanted as bytes, no text does.
        self._max_message = self._reader.max_size
        self._short_text = _WHOLE_TEXT if options.decode_text else -1
        self._received = self._sent = _IDLE
        # The queued data: the first buffer, which is usually the only one, and those after it.
        self._first_out: bytes | None = None
        self._out: list[bytes] = []
        # The answers that have to be sent. They are queued when something is sent or `data_to_send` is called. The
        # deque is made when it is first needed, as an empty one takes 760 bytes.
        self._pongs: deque[bytes] | None = None
        self._pongs_size = 0
        self._owed_close: bytes | None = None
        self._sending_opcode = 0
        self._sending_codecs: Sequence[MessageCodec] = ()
        self._has_unread = self._eof = self._is_aborted = False
        # Events that were found before an exception was raised, for the next call.
        self._held: list[Event] | None = None
        self._closed: Closed | None = None
        # Counts the events on which deadlines depend: Pongs, and each step towards the end.
        self._milestones = 0

    def _unwrapped(self) -> Connection:
        """Return this object itself, not what stands in for it (`standing_in`), as its state can be read faster."""
        return self

    # How far the connection has come.

    @property
    def received(self) -> Direction:
        """The state of the peer's direction: what the peer has sent so far."""
        return Direction(self._received)

    @property
    def sent(self) -> Direction:
        """The state of this end's direction: what this end has sent so far. It is `CLOSED` once the connection is
        `closed`; even then, answers to the last messages can be queued until `data_to_send` is called."""
        return Direction.CLOSED if self._closed is not None else Direction(self._sent)

    @property
    def state(self) -> ConnectionState:
        """The state of the connection, derived from `sent` and `received` (7.1.3, 7.1.4)."""
        return connection_state(self.sent, self._received)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, that is, whether `end` is known.

        What `data_to_send` returns must still be sent. Until that is called, answers to messages before the end can be
        queued: they are sent before the Close frame.
        """
        return self._closed is not None

    @property
    def end(self) -> Closed | None:
        """The `Closed` event as soon as it is known, even if events before it have not been handled yet; ``None``
        before that."""
        return self._closed

    @property
    def must_close(self) -> bool:
        """Whether it is this side's turn to close TCP, once everything has been sent.

        7.1.1: after a closing handshake, the server closes first, and the client waits for it. An end that failed the
        connection (7.1.7), or whose peer has already closed TCP, does not wait.
        """
        closed = self._closed
        return closed is not None and (self._eof or not closed.clean or self.role is SERVER)

    @property
    def finished(self) -> bool:
        """Whether you can stop waiting: the connection is `closed`, and the peer has ended its stream or
        `Timeouts.tcp_close <Timeouts>` has passed. Send what `data_to_send` still returns, as far as this is possible
        without waiting, and close the socket.

        7.1.1: closing a socket that has unread input may destroy what was sent. So when it is this side's turn
        (`must_close`), end the stream with ``shutdown(SHUT_WR)`` after the last bytes, and wait for the peer to end
        its own.
        """
        return self._closed is not None and self._eof

    @property
    def unread(self) -> int:
        """The number of bytes that wait for a call of ``receive_data(None)``: those that arrived with the handshake,
        or those that were left because one call does a bounded amount of work. 0 if new input is needed."""
        return self._parser.unparsed if self._has_unread else 0

    @property
    def _frame_received(self) -> int:
        """The number of bytes of an incomplete frame that have arrived so far."""
        return self._parser.frame_received

    @property
    def leniencies_used(self) -> dict[Leniency, int]:
        """How often each `Leniency` was used, in the handshake and since then."""
        return self._parser.leniencies_used

    @property
    def bytes_received(self) -> int:
        """The number of bytes received so far, not counting the handshake."""
        return self._parser.total

    @property
    def retained_bytes(self) -> int:
        """The memory, in bytes, that the peer currently makes this connection keep: input, the message so far, the
        state of extensions, queued replies."""
        return self._parser.unparsed + self._retained()

    # Receiving.

    def receive_data(self, data: bytes | bytearray | memoryview | None, /) -> list[Event]:
        """Process bytes from the peer and return the events they produce.

        :param data: bytes as they were read, in chunks of any size; ``b""`` at the end of the stream, as ``recv()``
            returns it. If nothing new was read, pass ``None`` to continue with what is `unread`.
        :returns: the events, in order. If the connection ends with this call, the last one is `Closed`; later input is
            dropped.
        :raises TypeError: when the data is anything else.
        :raises Exception: whatever an extension has raised (see `MessageCodec`); the next call continues from there.

        >>> ws = rfc6455.Connection(rfc6455.CLIENT)
        >>> ws.receive_data(bytes.fromhex("81 02 68"))
        []
        >>> ws.receive_data(bytes.fromhex("69 89 00"))
        [TextMessage(text='hi'), Ping(payload=b'')]
        """
        new = data if type(data) is bytes else b"" if data is None else as_bytes(data)
        if new and not self._has_unread and self._parser.absorbs(new):
            return []
        if not new and data is not None:
            self._eof = True
            self._milestones += 1
        return self._take_in(new)

    def _hold(self, events: list[Event]) -> None:
        """Keep the events of a call that ends with an exception, for the next call."""
        self._held = events
        self._has_unread = True

    def _take_in(self, new: bytes) -> list[Event]:
        events: list[Event] = []
        if self._held is not None:
            events, self._held = self._held, None
            self._has_unread = False
        if self._closed is not None:
            return events
        had_unread = self._has_unread
        try:
            if new:
                self._parser.feed(new)
            self._process(events)
            if not self._has_unread:
                self._parser.forget()
            # A caller that reads on while input is unread must not accumulate it without limit.
            elif new and had_unread and self._parser.unparsed > self._budget:
                raise self._over_budget("unread input")
        except Exception as error:
            violation = self._violation_in(error)
            if violation is None:
                self._fail_by_extension(events)
                raise
            self._fail(violation, events)
        if self._eof and self._closed is None and not self._has_unread:
            self._end_of_file(events)
        return events

    def _violation_in(self, error: Exception) -> RemoteProtocolError | None:
        """Return the peer's violation that caused an exception, or ``None`` if an extension is to blame."""
        if isinstance(error, UnicodeDecodeError) and not self._reader.in_codec and self._closed is None:
            reason = f"text that is not UTF-8: {error.reason} at {error.object[error.start]:#04x}"
            return RemoteProtocolError(CloseCode.INVALID_DATA, reason, "8.1")
        return error if isinstance(error, RemoteProtocolError) else None

    def _get_buffer(self, size_hint: int) -> memoryview:
        """Lend memory for the next read; `_buffer_updated` ends the loan."""
        return self._parser.get_buffer(size_hint) if self._closed is None else memoryview(bytearray(READ_SIZE))

    def _buffer_updated(self, size: int, waiting: int) -> list[Event]:
        """Process the data that was read into the lent memory, like `receive_data`, or like `_receive_later` while
        events of ``waiting`` bytes have not been handled yet."""
        if size == 0:
            return self._receive_later(b"", waiting) if waiting else self.receive_data(b"")
        if self._closed is not None:
            return []
        self._parser.buffer_updated(size)
        return self._left_unread(waiting) if waiting or self._has_unread else self.receive_data(None)

    def _receive_later(self, data: bytes | bytearray | memoryview, waiting: int) -> list[Event]:
        """Accept input, but make no events from it before the next ``receive_data(None)``, because events of
        ``waiting`` bytes have not been handled yet. Both together stay within the budget."""
        new = as_bytes(data)
        if not new:
            self._eof = True
            self._milestones += 1
        if self._closed is not None:
            return []
        self._parser.feed(new)
        if new:
            return self._left_unread(waiting)
        self._has_unread = True
        return []

    def _left_unread(self, waiting: int) -> list[Event]:
        """Leave what has been fed for a later call, as long as it is within the budget."""
        events: list[Event] = []
        self._has_unread = True
        if self._parser.unparsed + waiting > self._budget:
            self._fail(self._over_budget("input that was not handled"), events)
        return events

    def _process(self, events: list[Event]) -> None:
        """Make events from the input, until it is used up or extensions have done enough for one call."""
        parser = self._parser
        reader = self._reader
        enough = reader.decoded - reader.decoded_before() + DECODED_IN_ONE_CALL
        enough_input = reader.encoded + ENCODED_IN_ONE_CALL
        self._has_unread = False
        while True:
            piece = parser.advance()
            if not piece:
                return
            first = parser.first
            if piece & STARTS:
                before = self._received
                after = STEPS[before << 8 | first & (FIN_BIT | OPCODE_BITS)]
                if after == ILLEGAL:
                    raise self._violation(why_illegal(first & OPCODE_BITS), "5.4")
                if first & CONTROL_BIT:
                    self._receive_control(first & OPCODE_BITS, parser.payload, events)
                    if self._closed is not None:
                        return
                    continue
                self._received = after
                if piece == WHOLE and (first == self._short_text or first == _WHOLE_BINARY) and not self._parts:
                    # The fast path: a message in one frame, all of which has arrived.
                    payload = parser.payload
                    if len(payload) > self._max_message:
                        raise message_too_big(len(payload), 0, self._max_message)
                    message: Any = payload.decode() if first == _WHOLE_TEXT else payload
                    if not reader.is_bare:
                        message = text_message(message) if first == _WHOLE_TEXT else bytes_message(message)
                    events.append(message)
                    continue
                self._begin_frame(before, first)
            final = piece & ENDS != 0 and self._received == _IDLE
            reader.take(parser, piece, final, events)
            if final:
                parser.max_piece = self._max_first_piece
            if self._retained() > self._budget:
                self._make_room()
            if reader.encoded >= enough_input or (reader.decoded >= enough and (final or self._parts)):
                self._has_unread = parser.has_input()
                return

    def _begin_frame(self, before: int, first: int) -> None:
        """Apply the rules that need only the header of a data frame and the message so far, before any payload is
        taken."""
        parser = self._parser
        rsv = (first & RSV_BITS) >> 4
        if before == _IDLE:
            is_encoded = self._reader.begin(first & OPCODE_BITS, rsv)
            if not is_encoded:
                parser.max_piece = MAX_LENGTH
        elif rsv:
            raise self._violation(
                "reserved bits on a continuation frame; only the first frame has them", "RFC 7692 6.1"
            )
        self._reader.check_length(parser.length)

    def _receive_control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == _PING_OPCODE:
            events.append(Ping(payload))
            self._answer_ping(payload)
        elif opcode == _CLOSE_OPCODE:
            self._receive_close(payload, events)
        else:
            events.append(Pong(payload))
            self.pongs_received += 1
            self._milestones += 1
            self.last_pong = payload

    def _answer_ping(self, payload: bytes) -> None:
        """Prepare a Pong. 5.5.2: a Ping MUST be answered, "unless it already received a Close frame".

        This applies after our own Close frame as well, as 5.5.1 then only forbids data frames.
        """
        if self._pongs is None:
            self._pongs = deque()
        self._pongs.append(payload)
        self._pongs_size += len(payload) + OBJECT_OVERHEAD
        self._drop_pongs()

    def _drop_pongs(self) -> None:
        """Drop the oldest Pongs that are too many, or take too much memory. 5.5.3: with several unanswered Pings, an
        endpoint "MAY elect to send a Pong frame for only the most recently processed Ping frame". So a flood of Pings
        cannot pile up Pongs.

        A Ping is no reason to fail an honest peer, so Pongs get what everything else leaves of the budget. The newest
        is always owed (5.5.2); it takes 189 bytes at most."""
        pongs = self._pongs
        while pongs is not None and len(pongs) > 1:
            if len(pongs) <= self.limits.pongs and self._retained() <= self._budget:
                return
            self._pongs_size -= len(pongs.popleft()) + OBJECT_OVERHEAD

    def _receive_close(self, payload: bytes, events: list[Event]) -> None:
        """Record the peer's Close frame, and prepare the answer. 5.5.1: "If an endpoint receives a Close frame and did
        not previously send a Close frame, the endpoint MUST send a Close frame in response", and it "typically echos
        the status code". The reason is echoed with it."""
        if len(payload) == 1:
            raise self._violation("a Close frame with half a code; a code has 2 bytes", "5.5.1")
        # 7.1.5: "If this Close control frame contains no status code, [it] is considered to be 1005".
        code = payload[0] << 8 | payload[1] if payload else CloseCode.NO_STATUS_RCVD
        if payload and not is_sendable_close_code(code):
            raise self._violation(f"a Close frame with code {code}, which must not be sent", "7.4")
        reason = payload[2:].decode()
        is_in_message = self._received == _IN_MESSAGE
        cause = CloseCause.HANDSHAKE_IN_MESSAGE if is_in_message else CloseCause.HANDSHAKE
        self._owed_close = payload
        self._end(Closed(code, reason, True, None, cause), events)

    def _end_of_file(self, events: list[Event]) -> None:
        """End the connection because the stream ended without a Close frame (7.1.5: the code is 1006)."""
        if self._is_aborted:
            cause = CloseCause.ABORTED
        elif self._sent == _CLOSED:
            cause = CloseCause.EOF_IN_CLOSE
        elif self._parser.mid_frame:
            cause = CloseCause.EOF_IN_FRAME
        elif self._received == _IN_MESSAGE:
            cause = CloseCause.EOF_IN_MESSAGE
        else:
            cause = CloseCause.EOF_IDLE
        self._end(Closed(CloseCode.ABNORMAL_CLOSURE, "", False, None, cause), events)

    def _fail(self, error: RemoteProtocolError, events: list[Event]) -> None:
        """Fail the WebSocket Connection (7.1.7): give the reason in a Close frame, and process no more input."""
        if error.offset is None:
            error.found_at(self._parser.offset)
        # The event is a value: it must not keep the connection, an extension or their input alive.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        self._owed_close = _close_payload(error.close_code, f"{error.section}: {error.reason}")
        self._end(Closed(error.close_code, "", False, error, CloseCause.VIOLATION), events)

    def _fail_by_extension(self, events: list[Event]) -> None:
        """Give up after an exception that is not the peer's fault, as further results of the extension could be wrong.

        7.4.1: 1011 is for "an unexpected condition that prevented [an endpoint] from fulfilling the request". The
        exception goes to the caller; the next call returns the events before it, and then `Closed`.
        """
        if self._closed is None:
            self._owed_close = _close_payload(CloseCode.INTERNAL_ERROR, "")
            self._end(Closed(CloseCode.INTERNAL_ERROR, "", False, None, CloseCause.EXTENSION_FAILED), events)
        self._hold(events)

    def _report_bare(self) -> None:
        """Report whole messages as `str` or `bytes` from now on, without an event around each. This is for a loop that
        would only unpack them again."""
        self._reader.is_bare = True

    def _abort(self) -> None:
        """Note that the end of the stream, when it is reported, is not the peer's doing."""
        self._is_aborted = True

    def _time_out(self, cause: CloseCause) -> list[Event]:
        """End the connection because a deadline has passed, for `Deadlines`.

        3008 (Timeout) is queued for the peer if a Close frame can still be sent. If the connection is already closed,
        only the wait for the peer to close TCP ends, and the connection is `finished`.
        """
        events: list[Event] = []
        if self._closed is not None:
            self._eof = True
            self._milestones += 1
            return events
        code = CloseCode.ABNORMAL_CLOSURE if self._sent == _CLOSED else CloseCode.TIMEOUT
        self._owed_close = _close_payload(CloseCode.TIMEOUT, _REASONS_OF_TIMEOUTS[cause])
        self._end(Closed(code, "", False, None, cause), events)
        return events

    def _end(self, closed: Closed, events: list[Event]) -> None:
        """Receive nothing more. The next `data_to_send` is the last one that returns anything."""
        self._received = _CLOSED
        self._parser.drop()
        self._reader.drop()
        if self._sent == _CLOSED:
            # This side's Close frame has been sent, so nothing follows the peer's Close frame or violation.
            self._owed_close = self._pongs = None
            self._pongs_size = 0
        self._has_unread = False
        self._closed = closed
        self._milestones += 1
        events.append(closed)
        try:
            for codec in self.extensions:
                codec.drop()
        except Exception:
            self._hold(events)
            raise

    # Sending.

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would return anything: something was queued, or a Pong or a Close frame is owed."""
        return self._has_queued or self._owed_close is not None

    @property
    def _has_queued(self) -> bool:
        return self._first_out is not None or self._pongs_size > 0

    def data_to_send(self) -> bytes:
        """Return everything that has to be sent now, and remove it from the queue. Send all of it, in this order,
        before later data.

        >>> ws = rfc6455.Connection(rfc6455.SERVER)
        >>> ws.send_text("hi")
        >>> ws.data_to_send().hex(" ")
        '81 02 68 69'
        >>> ws.data_to_send()
        b''
        """
        self._finish_queue(True)
        first = self._first_out
        if first is None:
            return b""
        if self._out:
            return b"".join(self._take_queue())
        self._first_out = None
        return first

    def buffers_to_send(self) -> list[bytes]:
        """Return the same as `data_to_send`, but as a list of buffers. Small ones are joined; a large ``bytes``
        payload that is sent without a mask is the very object that the caller passed, so it is not copied.

        Use it with ``StreamWriter.writelines``, with ``socket.sendmsg`` in a loop that handles short writes, or with
        one ``sendall`` for each buffer.

        >>> ws, picture = rfc6455.Connection(rfc6455.SERVER), bytes(100_000)
        >>> ws.send_bytes(picture)
        >>> [len(buffer) for buffer in ws.buffers_to_send()]
        [10, 100000]
        """
        return small_ones_joined(self._take_out(True))

    def _take_out(self, ends: bool) -> list[bytes]:
        """Remove and return everything that is queued. ``ends`` is ``False`` while the caller still has events from
        before the end: the Close frame then waits for the answers to these."""
        self._finish_queue(ends)
        return self._take_queue()

    def _finish_queue(self, ends: bool) -> None:
        if self._pongs_size:
            self._queue_pongs()
        if self._closed is not None and ends:
            self._finish_sending()

    def _take_queue(self) -> list[bytes]:
        first, others = self._first_out, self._out
        if first is None:
            return []
        self._first_out = None
        if not others:
            return [first]
        self._out = []
        return [first, *others]

    def _put(self, buffer: bytes) -> None:
        """Add a buffer to the queue. Making a list for a single one would take as long as making the frame in it."""
        if self._first_out is None:
            self._first_out = buffer
        else:
            self._out.append(buffer)

    def _put_all(self, buffers: list[bytes]) -> None:
        for buffer in buffers:
            self._put(buffer)

    def send(self, event: Event) -> None:
        """Queue what an event says, such as one that another connection received: this is what a relay does.

        A `Closed` is sent as a Close frame with its code and reason; 1005 means one without a code.

        :param event: a message, a part of one, a `Ping`, a `Pong` or a `Closed`.
        :raises TypeError: when it is anything else.
        :raises LocalProtocolError: as the method for that kind of event does; and for a `Closed` with 1006 or 1015,
            which no Close frame may carry (7.4.1): a relay then ends TCP without one.

        >>> relay, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
        >>> relay.send(rfc6455.TextPart("to be ", final=False))
        >>> relay.send(rfc6455.TextPart("continued", final=True))
        >>> server.receive_data(relay.data_to_send())
        [TextMessage(text='to be continued')]
        """
        match event:
            case TextMessage(text) | TextPart(text) | EncodedText(text):
                self.send_text(text, fin=getattr(event, "final", True))
            case BytesMessage(data) | BytesPart(data):
                self.send_bytes(data, fin=getattr(event, "final", True))
            case Ping(payload):
                self.ping(payload)
            case Pong(payload):
                self.pong(payload)
            case Closed(code, reason):
                self.close(None if code == CloseCode.NO_STATUS_RCVD else code, reason)
            case _:
                raise TypeError(f"send() takes an event such as TextMessage(text), not {type(event).__name__}")

    def send_text(
        self, text: str | bytes | bytearray | memoryview, *, fin: bool = True, compress: bool | None = None
    ) -> None:
        """Queue a text message, or a fragment of one (5.4, 5.6).

        :param text: a text of any length, without lone surrogates. ``bytes`` are checked to be UTF-8 and sent as they
            are; in that case, a character must not be split between two fragments.
        :param fin: ``False`` if more fragments of this message follow in further calls.
        :param compress: whether extensions encode the message; ``None`` lets them decide. The choice made for the
            first fragment applies to all.
        :raises TypeError: when it is neither a ``str`` nor bytes.
        :raises LocalProtocolError: when the text is not valid Unicode (8.1), when a binary message is not finished
            (5.4), or when this side has closed (5.5.1).
        :raises ConnectionClosedError: when the connection has ended and `data_to_send` has been called since; until
            then, what came before the end can still be answered.

        >>> client, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
        >>> client.send_text("one message, ", fin=False)
        >>> client.send_text("two frames")
        >>> server.receive_data(client.data_to_send())
        [TextMessage(text='one message, two frames')]
        """
        if self.extensions or type(text) is not str or len(text) >= LEAST_UNCOPIED:
            self._send_data(_TEXT_OPCODE, encode_text(text), fin, compress)
        else:
            self._send_str(text, fin)

    def send_bytes(
        self, data: bytes | bytearray | memoryview, *, fin: bool = True, compress: bool | None = None
    ) -> None:
        """Queue a binary message, or a fragment of one (5.4, 5.6).

        :param data: bytes of any length.
        :param fin: as in `send_text`.
        :param compress: as in `send_text`.
        :raises TypeError: when it is not bytes.
        :raises LocalProtocolError: when a text message is not finished (5.4), or when this side has closed (5.5.1).
        :raises ConnectionClosedError: as in `send_text`.
        """
        self._send_data(_BINARY_OPCODE, as_bytes(data), fin, compress)

    def send_prepared(self, prepared: PreparedMessage) -> None:
        """Queue a message that several connections share.

        :param prepared: the message, serialised once for all of them.
        :raises LocalProtocolError: when a message is not finished (5.4), or when this side has closed (5.5.1).
        :raises ConnectionClosedError: as in `send_text`.
        """
        if not isinstance(prepared, PreparedMessage):
            raise TypeError(f"prepared is a PreparedMessage, not {described(prepared)}; send_text() takes a str")
        self._check_step(prepared.first)
        codecs = self._codecs_for(prepared.payload, True, prepared.compress)
        if len(codecs) > 1 or (codecs and codecs[0].shared_key is None):
            self._queue_encoded(prepared.first, codecs, prepared.payload)
            return
        first, payload, frame = prepared.first, prepared.payload, prepared._buffers
        if codecs:
            try:
                first, payload, frame = prepared._encoded_by(codecs[0])
            except Exception:
                if self._closed is None:
                    self._fail_by_extension([])
                raise
        if self._masks:
            self._queue(first, payload)
        else:
            self._put_all(frame)

    def ping(self, payload: bytes | bytearray | memoryview = b"") -> None:
        """Queue a Ping (5.5.2). The peer answers with a `Pong` of the same payload.

        :param payload: at most 125 bytes.
        :raises TypeError: when the payload is not bytes.
        :raises LocalProtocolError: when the payload is longer, or when this side has closed (5.5.1).
        :raises ConnectionClosedError: as in `send_text`.
        """
        self._queue_control(_PING, payload)

    def pong(self, payload: bytes | bytearray | memoryview = b"") -> None:
        """Queue an unsolicited Pong (5.5.3). Pings are answered automatically.

        :param payload: at most 125 bytes.
        :raises TypeError: when the payload is not bytes.
        :raises LocalProtocolError: when the payload is longer, or when this side has closed (5.5.1).
        :raises ConnectionClosedError: as in `send_text`.
        """
        self._queue_control(_PONG, payload)

    def close(self, code: int | None = NO_CODE_NAMED, reason: str = "") -> None:
        """Queue a Close frame, which begins the closing handshake (7.1.2). There may be more events before `Closed`.

        This is allowed in every state and more than once: if this side has already closed, nothing happens. The peer's
        Close is answered automatically with the same code and reason, and when a deadline passes, a Close is queued as
        well; until `data_to_send` is called, a code that is passed here replaces that of either.

        :param code: the close code, 1000 by default; ``None`` for a Close frame without one.
        :param reason: a text for people and logs, at most 123 bytes of UTF-8; a longer one is truncated between
            characters.
        :raises TypeError: when the code is not an ``int``, or the reason not a ``str``.
        :raises LocalProtocolError: for a code that must not be sent (7.4), or a reason without a code (5.5.1).

        >>> client, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
        >>> client.close(4000, "bye")
        >>> (closed,) = server.receive_data(client.data_to_send())
        >>> (closed,) = client.receive_data(server.data_to_send())
        >>> closed.code, closed.clean
        (4000, True)
        """
        payload = close_payload(code, reason)
        if self._closed is None:
            if self._sent != _CLOSED:
                self._queue_pongs()
                self._queue(_CLOSE, payload)
                self._sent = _CLOSED
                self._milestones += 1
        elif self._closed.error is None and self._owed_close is not None and code is not NO_CODE_NAMED:
            self._owed_close = payload

    def _send_str(self, text: str, fin: bool) -> None:
        """Do what `_send_data` does for a short text that no extension changes, which is encoded directly into its
        frame."""
        first = self._first_byte(_TEXT_OPCODE, fin)
        after = self._check_step(first)
        at = self._next_masking_key() if self._masks else 0
        try:
            self._put(pack_text(first, text, self._keys if self._masks else None, at))
        except UnicodeEncodeError:
            # This raises the exception with the right message.
            encode_text(text)
            raise
        self._sending_opcode = _TEXT_OPCODE
        self._sent = after

    def _first_byte(self, opcode: int, fin: bool) -> int:
        """Return FIN and the opcode of the next frame of a message of this kind (5.4)."""
        first = opcode | FIN_BIT if fin else opcode
        if self._sent == _IN_MESSAGE:
            if opcode != self._sending_opcode:
                raise self._cannot_send()
            first &= FIN_BIT
        return first

    def _send_data(self, opcode: int, payload: bytes, fin: bool, compress: bool | None) -> None:
        first = self._first_byte(opcode, fin)
        after = self._check_step(first)
        if self.extensions:
            if self._sent == _IDLE:
                self._sending_codecs = self._codecs_for(payload, fin, compress)
            self._sending_opcode = opcode
            self._queue_encoded(first, self._sending_codecs, payload)
        else:
            self._sending_opcode = opcode
            self._queue(first, payload)
        self._sent = after

    def _check_step(self, first: int) -> int:
        """Return the state after a frame with this first byte, and queue the Pongs that must be sent before it."""
        after = STEPS[self._sent << 8 | first]
        if after == ILLEGAL:
            raise self._cannot_send()
        if self._pongs_size:
            self._queue_pongs()
        return after

    def _codecs_for(self, payload: bytes, fin: bool, compress: bool | None) -> Sequence[MessageCodec]:
        if compress is None:
            return [codec for codec in self.extensions if codec.wants(payload, fin)]
        return self.extensions if compress else ()

    def _queue_encoded(self, first: int, codecs: Sequence[MessageCodec], payload: bytes) -> None:
        """Queue a frame that extensions encode. 9.1: they see the data in the order of the handshake; their bits are
        set on the first frame only."""
        begins = first & OPCODE_BITS
        try:
            for codec in codecs:
                payload = checked(codec, "encode", codec.encode(payload, first >= FIN_BIT))
                if begins:
                    first |= marks_of(codec) << 4
        except Exception:
            if self._closed is None:
                self._fail_by_extension([])
            raise
        self._queue(first, payload)

    def _queue_control(self, first: int, payload: bytes | bytearray | memoryview) -> None:
        data = as_bytes(payload)
        if len(data) > MAX_CONTROL_PAYLOAD:
            raise LocalProtocolError(f"a control frame has at most {MAX_CONTROL_PAYLOAD} bytes, not {len(data)} (5.5)")
        self._check_step(first)
        self._queue(first, data)

    def _cannot_send(self) -> LocalProtocolError:
        """Return the error for a frame that must not follow the frames already sent."""
        if self._sent != _CLOSED:
            kind = "text" if self._sending_opcode == _TEXT_OPCODE else "binary"
            return LocalProtocolError(f"a {kind} message is not finished; send its last fragment first (5.4)")
        if self._closed is not None:
            return ConnectionClosedError(self._closed)
        return LocalProtocolError("this side has closed; nothing may follow its Close frame (5.5.1)")

    def _tell_end(self) -> None:
        """Note that the `Closed` event was returned on its own, and that all answers to earlier events are queued."""
        self._sent = _CLOSED

    def _finish_sending(self) -> None:
        """Queue the Close frame that has to be sent. 5.5.1: "An endpoint MAY delay sending a Close frame until its
        current message is sent". Ours waits for the answers to earlier messages, which the caller queues while it
        handles the events."""
        if self._owed_close is not None:
            self._queue(_CLOSE, self._owed_close)
            self._owed_close = None
        if self._sent != _CLOSED:
            self._sent = _CLOSED
            # An answer after the end may have created another compressor.
            for codec in self.extensions:
                codec.drop()

    def _queue_pongs(self) -> None:
        for payload in self._pongs or ():
            self._queue(_PONG, payload)
        self._pongs = None
        self._pongs_size = 0

    def _queue(self, first: int, payload: bytes) -> None:
        if self._masks:
            at = self._next_masking_key()
            self._put(pack_frame(first, payload, self._keys, at))
        elif len(payload) < LEAST_UNCOPIED:
            self._put(pack_frame(first, payload, None, 0))
        else:
            self._put_all(unmasked_frame(first, payload))

    def _next_masking_key(self) -> int:
        """Return the position of the next key in the pool. 10.3: a key must be unpredictable, and each frame gets a
        new one, so no byte of the pool is used twice."""
        if self._keys_at == len(self._keys) or self._keys_forks != _forks:
            self._fetch_keys()
        at = self._keys_at
        self._keys_at = at + 4
        return at

    def _fetch_keys(self) -> None:
        keys = as_bytes(self._random(_RANDOM_POOL), "what random() returns")
        if len(keys) != _RANDOM_POOL:
            raise ValueError(f"random({_RANDOM_POOL}) returned {len(keys)} bytes; masking keys need all of them (5.3)")
        self._keys = keys
        self._keys_at = 0
        self._keys_forks = _forks

    # What handshakes need.

    def _start(self, head: bytes, unread: bytes, eof: bool = False) -> None:
        """Take over from a handshake: ``head`` is sent first, ``unread`` is the input after the peer's head, and
        ``eof`` says whether the stream has ended after that, which the next `receive_data` reports."""
        self._eof = eof
        self._has_unread = bool(unread) or eof
        if head:
            self._put(head)
        self._parser.feed(unread)

    def _withdraw_head(self) -> bool:
        """Remove the head of the handshake's answer from the data to send, and return whether it was still there.

        No frame begins in this way: "H" would be a Close frame without FIN.
        """
        if self._first_out is None or not self._first_out.startswith(b"HTTP/"):
            return False
        self._first_out = self._out.pop(0) if self._out else None
        return True

    # Memory.

    def _retained(self) -> int:
        """Return the memory, in bytes, that is kept in addition to input."""
        retained = self._reader.kept() + self._pongs_size
        for codec in self.extensions:
            retained += codec._retained()
        return retained

    def _make_room(self) -> None:
        """Fail the connection if its messages, and not just the Pongs, have outgrown the budget."""
        self._drop_pongs()
        if self._retained() - self._pongs_size > self._budget:
            raise self._over_budget("the content of its messages")

    def _over_budget(self, what: str) -> RemoteProtocolError:
        reason = f"{what} takes more memory than Limits(memory={self._budget}) allows"
        return RemoteProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "10.4", self._parser.offset)

    # What the peer did wrong.

    def _violation(self, reason: str, section: str) -> RemoteProtocolError:
        return RemoteProtocolError(CloseCode.PROTOCOL_ERROR, reason, section, self._parser.offset)


def close_payload(code: int | None, reason: str) -> bytes:
    """Return the payload of the Close frame that this side sends (5.5.1), for the arguments of `Connection.close`."""
    if code is None:
        if reason:
            raise LocalProtocolError("a Close frame with a reason needs a code before it (5.5.1)")
        return b""
    number = as_int(code, "a close code is an int or None")
    if not is_sendable_close_code(number):
        raise LocalProtocolError(
            f"the close code {number} must not be sent (7.4); 1000 and 3000 to 4999 are always allowed"
        )
    return _close_payload(number, reason)


def _close_payload(code: int, reason: str) -> bytes:
    """Return the payload of a Close frame (5.5.1). A reason that is too long is cut between characters."""
    if not isinstance(reason, str):
        raise TypeError(f"a close reason is a str, not {type(reason).__name__}")
    encoded = reason.encode(errors="replace")
    if len(encoded) > MAX_CLOSE_REASON:
        encoded = encoded[:MAX_CLOSE_REASON].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + encoded


def small_ones_joined(buffers: list[bytes]) -> list[bytes]:
    if len(buffers) < 2:
        return buffers
    for buffer in buffers:
        if len(buffer) >= LEAST_UNCOPIED:
            break
    else:
        return [b"".join(buffers)]
    joined: list[bytes] = []
    small: list[bytes] = []
    for buffer in buffers:
        if len(buffer) < LEAST_UNCOPIED:
            small.append(buffer)
        else:
            joined += (b"".join(small), buffer)
            small = []
    joined.append(b"".join(small))
    return [buffer for buffer in joined if buffer]
