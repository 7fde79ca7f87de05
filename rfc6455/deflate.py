"""permessage-deflate (RFC 7692): the extension that compresses messages.

`PerMessageDeflate` is what the application wants, and `DeflateParameters` is what an offer or an answer says; the
tables of the negotiation (7.1) connect the two. `DeflateCodec` is the state of one connection (7.2). Its zlib objects
are created when they are first used, since most connections with compression are idle or have little traffic.

Not here: message limits. `decode` returns at most `MAX_PIECE` bytes at a time, which allows a caller that counts to
stop in time.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from .arguments import whole_number
from .codes import CloseCode, Role
from .errors import HandshakeError, RemoteProtocolError
from .extensions import Extension, MessageCodec, Parameters

# 7.2.1: an encoded message ends with an empty stored block whose last four bytes, these, are not sent.
TAIL = b"\x00\x00\xff\xff"

# The same, and a final block. If each message starts with an empty window, this shows whether the message ended with a
# complete block.
FINAL_TAIL = TAIL + b"\x01\x00\x00\xff\xff"

# 7.2.3.6: the shortest encoding of an empty message is the header of that block.
EMPTY_MESSAGE = b"\x00"

# The most that one call of decode() returns, and therefore the most by which a message can exceed its limit before
# this is noticed. A message of 64 KiB, which is a common size, still fits into one piece.
MAX_PIECE = 65 << 10
# The same as an integer of C, which tests cannot import.
_MAX_PIECE = MAX_PIECE

# The most input that the inflater gets at once. A final block (BFINAL) makes zlib copy the rest of its input, so after
# many of them in one message it gets less at a time, which keeps the time linear.
MAX_INPUT = 16 << 10
LEAST_INPUT = 64

# 7.2.3.4: a block with BFINAL set ends a DEFLATE stream within a message, and zlib needs a new object for the next
# one, which takes as long as inflating a hundred ordinary bytes. One such block in a message is common, since some
# senders flush that way. Each further one is only allowed after this many bytes of input: a message of nothing but
# such blocks would cost sixty times as much as an ordinary one (benchmarks/worst_input.py). Input counts for at most
# 16 of them in advance.
STREAM_COST = 32
MAX_CREDIT = 16 * STREAM_COST

SERVER_TAKEOVER = "server_no_context_takeover"
CLIENT_TAKEOVER = "client_no_context_takeover"
SERVER_BITS = "server_max_window_bits"
CLIENT_BITS = "client_max_window_bits"

# 7.1.2: a decimal integer "without leading zeroes between 8 to 15 inclusive". As a set of strings, so that signs,
# spaces and the digits of other scripts are refused without special care.
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}

# The window size that a server requests from a client whose context it has to keep: it takes 9 KiB instead of 39, and
# JSON messages become about a tenth larger; see the table in docs/howto/compression.rst. Smaller windows save little,
# as each takes 7 KiB besides its size.
_BITS_OF_KEPT_CONTEXT = 11

# zlib cannot deflate with a window of 256 bytes: it silently uses 512 (zlib's issue 171).
_LEAST_BITS_TO_DEFLATE = 9


@dataclass(frozen=True)
class DeflateParameters:
    """The parameters of permessage-deflate in one offer or one answer (RFC 7692, section 7.1).

    :param server_no_context_takeover: whether it is present (7.1.1.1).
    :param client_no_context_takeover: whether it is present (7.1.1.2).
    :param server_max_window_bits: 8 to 15, or ``None`` if it is absent (7.1.2.1).
    :param client_max_window_bits: 8 to 15, or ``None`` if it is absent, or ``True`` if it has no value, which only an
        offer may say (7.1.2.2): the client understands the parameter.
    :raises ValueError: when a number is out of range.
    :raises TypeError: when an argument has the wrong type.

    >>> offered = rfc6455.DeflateParameters.parse([("client_max_window_bits", None)])
    >>> offered.client_max_window_bits, offered.server_max_window_bits
    (True, None)
    >>> print(rfc6455.DeflateParameters(server_no_context_takeover=True, client_max_window_bits=11))
    server_no_context_takeover; client_max_window_bits=11
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | Literal[True] | None = None

    def __post_init__(self) -> None:
        _check_choice(SERVER_TAKEOVER, self.server_no_context_takeover, (True, False))
        _check_choice(CLIENT_TAKEOVER, self.client_no_context_takeover, (True, False))
        if self.server_max_window_bits is not None:
            _check_range(self, SERVER_BITS, 8, 15)
        if self.client_max_window_bits is not None and self.client_max_window_bits is not True:
            _check_range(self, CLIENT_BITS, 8, 15)

    @classmethod
    def parse(cls, parameters: Parameters) -> DeflateParameters:
        """Return the parameters that a header lists.

        :param parameters: pairs of a name and a value; the value is ``None`` for a name alone.
        :raises ValueError: for anything that 7.1 does not allow in an offer, with the reason.
        """
        found: dict[str, Any] = {}
        for name, value in parameters:
            if name in found:
                raise ValueError(f"{name} comes twice")
            found[name] = _parse_value(name, value)
        return cls(**found)

    def __str__(self) -> str:
        """Return them as written in a header, without the name of the extension; ``""`` for none."""
        return "; ".join(self._words())

    def _words(self) -> Iterator[str]:
        for name, value in vars(self).items():
            if value:
                yield name if value is True else f"{name}={value}"


def _parse_value(name: str, value: str | None) -> int:
    """Return the value of a parameter; ``True`` for a parameter without a value."""
    if name in (SERVER_TAKEOVER, CLIENT_TAKEOVER):
        if value is not None:
            raise ValueError(f"{name} takes no value, but has {value!r}")
        return True
    if name not in (SERVER_BITS, CLIENT_BITS):
        raise ValueError(f"an unknown parameter {name!r}")
    if value is None and name == CLIENT_BITS:
        return True
    if value not in _WINDOW_BITS:
        raise ValueError(f"{name} takes a number from 8 to 15, not {value!r}")
    return _WINDOW_BITS[value]


# `dataclass` generates neither equality nor `repr()`, as those below are also right for derived classes.
@dataclass(kw_only=True, eq=False, repr=False)
class PerMessageDeflate(Extension):
    """The configuration of permessage-deflate; pass it to a handshake in ``extensions``.

    A side that keeps its context (*takeover*) can refer back to what it has sent before: short messages become
    smaller, but both ends need memory between messages. ``True`` and ``False`` are requirements. With the default
    ``None``, this end starts each message with an empty window, and lets the peer decide for itself; nothing is
    demanded of a client that the client did not offer. Such an answer works with every client that was tried,
    including those that ignore ``client_no_context_takeover``.

    :param server_no_context_takeover: whether the server starts each message with an empty window (7.1.1.1). Unless
        this is ``False``, a client asks for it, and a server does it and says so.
    :param client_no_context_takeover: the same for the client (7.1.1.2). A client does it unless this is ``False``; a
        server agrees to it if it is offered, and with ``True`` demands it of every client.
    :param server_max_window_bits: the largest window that the server may use, 8 to 15 bits (7.1.2.1). A client asks
        for it; a server uses the smaller of this value and the one that was asked for. A server for which 8 is set
        uses 9, as zlib cannot deflate with 8, and declines an offer that asks for 8.
    :param client_max_window_bits: the same for the client (7.1.2.2). A client allows the server to lower it, and a
        server lowers it if the client allows that. ``None`` means 15, except on a server that has to keep the context
        of a client: in that case, it asks for 11, which takes 9 KiB instead of 39. A client for which 8 is set offers
        9; if the server answers 8, the client does not compress anything.
    :param require_client_max_window_bits: whether a server declines an offer that does not allow it to lower the
        client's window. In that case, the connection is not compressed.
    :param level: how hard this side compresses, 0 to 9; -1 is zlib's default (6).
    :param mem_level: how much memory deflating may take, 1 to 9: ``1 << (mem_level + 9)`` bytes.
    :param threshold: a size in bytes. If this side starts each message with an empty window, shorter messages are not
        compressed.
    :param implementation: a module with the interface of ``zlib`` (``zlib_ng.zlib_ng``, ``isal.isal_zlib``).
    :raises ValueError: when a number is out of range.
    :raises TypeError: when an argument has the wrong type.

    >>> client = rfc6455.ClientHandshake("ws://example.com/", extensions=[rfc6455.PerMessageDeflate()])
    >>> server = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate(server_max_window_bits=11)])
    >>> request = server.receive_data(client.data_to_send())
    >>> server.accept().extensions[0].parameters.split("; ")[-1]
    'server_max_window_bits=11'
    """

    name = "permessage-deflate"

    server_no_context_takeover: bool | None = None
    client_no_context_takeover: bool | None = None
    server_max_window_bits: int = 15
    client_max_window_bits: int | None = None
    require_client_max_window_bits: bool = False
    level: int = -1
    mem_level: int = 8
    threshold: int = 64
    implementation: Any = zlib

    def __post_init__(self) -> None:
        _check_choice(SERVER_TAKEOVER, self.server_no_context_takeover, (None, True, False))
        _check_choice(CLIENT_TAKEOVER, self.client_no_context_takeover, (None, True, False))
        _check_choice("require_client_max_window_bits", self.require_client_max_window_bits, (True, False))
        _check_range(self, SERVER_BITS, 8, 15)
        if self.client_max_window_bits is not None:
            _check_range(self, CLIENT_BITS, 8, 15)
        _check_range(self, "level", -1, 9)
        _check_range(self, "mem_level", 1, 9)
        _check_range(self, "threshold", 0, 1 << 62)
        if not hasattr(self.implementation, "decompressobj"):
            what = "a module with the interface of zlib, such as zlib_ng.zlib_ng"
            raise TypeError(f"implementation is {what}, not {self.implementation!r}")

    def offer(self) -> str:
        """Return the client's offer (7.1). *M* is a number below 15:

        ==========================  ============  =======
        parameter                   configured    offered
        ==========================  ============  =======
        server_no_context_takeover  None or True  present
        server_no_context_takeover  False         absent
        client_no_context_takeover  None or True  present
        client_no_context_takeover  False         absent
        server_max_window_bits      15            absent
        server_max_window_bits      M             M
        client_max_window_bits      None or 15    present
        client_max_window_bits      M             M
        ==========================  ============  =======
        """
        client_bits = self._offered_client_bits()
        offered = DeflateParameters(
            server_no_context_takeover=self.server_no_context_takeover is not False,
            client_no_context_takeover=self.client_no_context_takeover is not False,
            server_max_window_bits=_unless_15(self.server_max_window_bits),
            # 7.1.2.2: without a value, the parameter only says that the client understands it.
            client_max_window_bits=True if client_bits == 15 else client_bits,
        )
        return str(offered)

    def accept_offer(self, parameters: Parameters) -> DeflateCodec | None:
        """Return the state of a connection that accepts this offer, or ``None`` to decline it.

        *M* and *N* are numbers; what is configured for the client's window is *M* below 15.

        ==========================  =====================  =================  ==========
        parameter                   configured             offered            answered
        ==========================  =====================  =================  ==========
        server_no_context_takeover  None or True           absent or present  present
        server_no_context_takeover  False                  absent             absent
        server_no_context_takeover  False                  present            present
        client_no_context_takeover  None or False          absent             absent
        client_no_context_takeover  True                   absent             present
        client_no_context_takeover  None or True or False  present            present
        server_max_window_bits      15                     absent             absent
        server_max_window_bits      M                      absent             M
        server_max_window_bits      15                     N                  N
        server_max_window_bits      M                      N                  min(M, N)
        client_max_window_bits      None or M              absent             absent
        client_max_window_bits      M, required            absent             declined
        client_max_window_bits      None                   present            11
        client_max_window_bits      None                   N                  min(11, N)
        client_max_window_bits      M                      present            M
        client_max_window_bits      M                      N                  min(M, N)
        ==========================  =====================  =================  ==========

        11 is asked for only if the client keeps its context and nobody chose that: with ``client_no_context_takeover``
        in the answer, or configured as ``False``, it is 15, which is not written out.

        7.1: a server MUST decline an offer with a parameter that is unknown, comes twice, or has a value that is not
        allowed. It also declines one that asks it to deflate with a window of 8 bits, which zlib cannot do.
        """
        try:
            offered = DeflateParameters.parse(parameters)
        except ValueError:
            return None
        answer = self._answer_to(offered)
        return None if answer is None else DeflateCodec(self, answer, Role.SERVER)

    def accept_answer(self, parameters: Parameters) -> DeflateCodec:
        """Return the state of a connection as negotiated by the server's answer to `offer`.

        7.1: a client MUST fail the connection if the answer is invalid, or "represents" a configuration that it does
        not support. *M* is what it offered, *N* what the answer says.

        ==========================  =============  =================  =======
        parameter                   configured     answered           in use
        ==========================  =============  =================  =======
        server_no_context_takeover  None or False  absent             absent
        server_no_context_takeover  True           absent             fails
        server_no_context_takeover  None or True   present            present
        server_no_context_takeover  False          present            present
        client_no_context_takeover  None or True   absent or present  present
        client_no_context_takeover  False          absent             absent
        client_no_context_takeover  False          present            present
        server_max_window_bits      15             absent             15
        server_max_window_bits      M              absent             fails
        server_max_window_bits      M              N above M          fails
        server_max_window_bits      M              N up to M          N
        client_max_window_bits      M              absent             M
        client_max_window_bits      M              N above M          fails
        client_max_window_bits      M              N up to M          N
        client_max_window_bits      M              present            fails
        ==========================  =============  =================  =======

        :raises HandshakeError: where the table says "fails".
        """
        try:
            answer = DeflateParameters.parse(parameters)
            self._check_answer(answer)
        except ValueError as error:
            reason = f"the server's answer about permessage-deflate does not match the offer: {error}"
            raise HandshakeError(None, reason, "RFC 7692 7.1") from error
        return DeflateCodec(self, answer, Role.CLIENT)

    def _answer_to(self, offered: DeflateParameters) -> DeflateParameters | None:
        if offered.client_max_window_bits is None and self.require_client_max_window_bits:
            return None
        server_bits = offered.server_max_window_bits
        if server_bits is not None and server_bits < _LEAST_BITS_TO_DEFLATE:
            return None
        own_bits = max(self.server_max_window_bits, _LEAST_BITS_TO_DEFLATE)
        # 7.1.1.2: in an offer, this parameter is only a hint. Our answer repeats it, which makes it binding.
        client_resets = self.client_no_context_takeover is True or offered.client_no_context_takeover
        return DeflateParameters(
            # 7.1.1.1: if the client asks for this, the answer must grant it. The server may also add it unasked.
            server_no_context_takeover=self.server_no_context_takeover is not False
            or offered.server_no_context_takeover,
            client_no_context_takeover=client_resets,
            # 7.1.2.1: a requested limit is granted by repeating it, even if it limits nothing.
            server_max_window_bits=_unless_15(own_bits) if server_bits is None else min(server_bits, own_bits),
            client_max_window_bits=self._answered_client_bits(offered.client_max_window_bits, client_resets),
        )

    def _answered_client_bits(self, offered: int | None, client_resets: bool) -> int | None:
        """Return the client's window in the answer. 7.1.2.2: an answer may limit the client only if the offer said
        that the client understands that."""
        if offered is None:
            return None
        most = self.client_max_window_bits
        if most is None:
            has_to_keep = not client_resets and self.client_no_context_takeover is None
            most = _BITS_OF_KEPT_CONTEXT if has_to_keep else 15
        return _unless_15(most if offered is True else min(offered, most))

    def _check_answer(self, answer: DeflateParameters) -> None:
        if self.server_no_context_takeover and not answer.server_no_context_takeover:
            raise ValueError(f"{SERVER_TAKEOVER} was requested but not granted")
        server_bits = answer.server_max_window_bits or 15
        if server_bits > self.server_max_window_bits:
            raise ValueError(f"a window of {server_bits} bits, although {self.server_max_window_bits} were requested")
        client_bits, offered_bits = answer.client_max_window_bits, self._offered_client_bits()
        if client_bits is True:
            raise ValueError(f"{CLIENT_BITS} takes a number from 8 to 15, not None")
        if client_bits is not None and client_bits > offered_bits:
            raise ValueError(f"{CLIENT_BITS}={client_bits}; at most {offered_bits} were offered")

    def _offered_client_bits(self) -> int:
        return max(self.client_max_window_bits or 15, _LEAST_BITS_TO_DEFLATE)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((self.server_max_window_bits, self.client_max_window_bits, self.level, self.mem_level))

    def __repr__(self) -> str:
        defaults = vars(PerMessageDeflate())
        changed = [f"{name}={value!r}" for name, value in vars(self).items() if value != defaults[name]]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle, in which a module is its name."""
        return {**vars(self), "implementation": self.implementation.__name__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, implementation=import_module(state["implementation"]))


def _unless_15(bits: int) -> int | None:
    return None if bits == 15 else bits


class DeflateCodec(MessageCodec):
    """The state of permessage-deflate on one connection (RFC 7692, section 7.2).

    :param config: how this side compresses.
    :param agreed: the parameters of the answer.
    :param role: which end this is.

    :ivar agreed: the parameters of the answer.
    :ivar inflate_bits: the window that the peer may use, in bits.
    :ivar inflate_takeover: whether the peer may refer to earlier messages.
    :ivar deflate_bits: the window that this side uses, in bits; with 8 it can only leave messages as they are.
    :ivar deflate_takeover: whether this side may refer to earlier messages.
    """

    # 6: "This document allocates the RSV1 bit".
    reserved_bits = 4

    def __init__(self, config: PerMessageDeflate, agreed: DeflateParameters, role: Role) -> None:
        server_bits = agreed.server_max_window_bits or 15
        server_takeover = not agreed.server_no_context_takeover
        client_takeover = not agreed.client_no_context_takeover
        if role is Role.SERVER:
            self.inflate_bits: int = agreed.client_max_window_bits or 15
            self.inflate_takeover: bool = client_takeover
            self.deflate_bits: int = server_bits
            self.deflate_takeover: bool = server_takeover
        else:
            self.inflate_bits = server_bits
            self.inflate_takeover = server_takeover
            # 7.1.2.2, 7.1.1.2: a client keeps to its offer, even if the answer does not mention it.
            self.deflate_bits = agreed.client_max_window_bits or config._offered_client_bits()
            self.deflate_takeover = client_takeover and config.client_no_context_takeover is False
        self.agreed: DeflateParameters = agreed
        self.parameters: str = "; ".join([PerMessageDeflate.name, *agreed._words()])
        self._inflate_size = (1 << self.inflate_bits) + _INFLATE_OVERHEAD
        self._deflate_size = (1 << self.deflate_bits + 2) + (1 << config.mem_level + 9) + _DEFLATE_OVERHEAD
        # The bytes that are added to a message before it is inflated.
        self._tail = TAIL if self.inflate_takeover else FINAL_TAIL
        self._config = config
        self._zlib = config.implementation
        self._inflater: Any = None
        self._deflater: Any = None
        # Input, and the number of its bytes that the inflater has consumed.
        self._input = b""
        self._at = 0
        self._portion_size = MAX_INPUT
        self._inflater_is_full = False
        # Whether the input consumed so far ended with the end of a DEFLATE stream.
        self._stream_ended = False
        self._tail_added = False
        # Whether the peer ended a stream in this message, and the bytes that count towards further ends.
        self._has_ended_stream = False
        self._credit = MAX_CREDIT

    # Receiving.

    @property
    def has_more(self) -> bool:
        """Whether output or input is left over from the last call of `decode`."""
        return self._has_more()

    def _has_more(self) -> bool:
        return self._inflater_is_full or self._at < len(self._input)

    def decode(self, payload: bytes, final: bool) -> bytes:
        """Inflate the next bytes of a message, and return at most `MAX_PIECE` bytes (7.2.2).

        :raises RemoteProtocolError: 1007, when the bytes are not DEFLATE data, or the message ends within a block.
            With context takeover, the latter cannot be detected; the next message then fails.
        """
        if final and not self._tail_added:
            payload += self._tail
            self._tail_added = True
        if payload:
            self._input = self._input[self._at :] + payload if self._input else payload
            self._at = 0
        data = b"" if self._inflater is None and self._adds_nothing() else self._inflate()
        if not self._inflater_is_full and self._at == len(self._input):
            self._input = b""
            self._at = 0
            if final:
                self._end_of_message()
        return data

    def _inflate(self) -> bytes:
        if self._inflater is None:
            self._inflater = self._zlib.decompressobj(-self.inflate_bits)
        inflater = self._inflater
        portion = self._input
        if self._at or len(portion) > self._portion_size:
            portion = portion[self._at : self._at + self._portion_size]
        try:
            data: bytes = inflater.decompress(portion, MAX_PIECE)
        except self._zlib.error as error:
            raise _bad_data(f"a compressed message that does not inflate ({error})") from None
        self._stream_ended = ended = inflater.eof
        # Even if all input was consumed, the inflater may still have output that did not fit.
        self._inflater_is_full = not ended and len(data) == _MAX_PIECE
        size = len(portion)
        if ended:
            size -= len(inflater.unused_data)
        elif self._inflater_is_full:
            size -= len(inflater.unconsumed_tail)
        self._at += size
        self._credit += size
        if self._credit > MAX_CREDIT:
            self._credit = MAX_CREDIT
        if ended:
            self._end_of_stream()
        elif self._portion_size < MAX_INPUT:
            self._portion_size <<= 1
        return data

    def _end_of_stream(self) -> None:
        """Expect another stream. 7.2.3.4: a block with BFINAL set ends a DEFLATE stream, but not the message.

        The peer is charged for each stream that it ends, except for the first one in each message.
        """
        self._inflater = None
        self._portion_size = max(self._portion_size >> 1, LEAST_INPUT)
        if self._at == len(self._input) and self._tail_added:
            return
        if self._has_ended_stream:
            self._credit -= STREAM_COST
            if self._credit < 0:
                reason = (
                    f"DEFLATE streams that end too soon; after the first few, {STREAM_COST} bytes each are required"
                )
                raise RemoteProtocolError(CloseCode.MESSAGE_TOO_BIG, reason, "RFC 7692 7.2.3.4")
        self._has_ended_stream = True

    def _adds_nothing(self) -> bool:
        """Return whether a new stream would contain nothing but the tail, with or without the empty block of 7.2.3.4.

        In that case, no inflater is made for it. But the tail alone is not a message: it must follow a stream.
        """
        if not self._tail_added:
            return False
        rest = len(self._input) - self._at - len(self._tail)
        if rest > 1 or rest < 0 or not (self._stream_ended if rest == 0 else self._input[self._at] == 0):
            return False
        # The tail was added last, so this consumes everything.
        self._at = len(self._input)
        self._stream_ended = True
        return True

    def _end_of_message(self) -> None:
        if not self.inflate_takeover:
            if not self._stream_ended:
                raise _bad_data("a compressed message that ends within a block")
            self._inflater = None
        self._portion_size = MAX_INPUT
        self._stream_ended = False
        self._has_ended_stream = False
        self._tail_added = False

    # Sending.

    def wants(self, payload: bytes, fin: bool) -> bool:
        """Return whether a message is worth compressing.

        With takeover, every message is, as a short one costs only a few bytes, and later ones gain from it. Without
        takeover, a whole message that is shorter than the threshold is not. With a window that zlib cannot use, no
        message is.
        """
        wanted = self.deflate_takeover or not fin or len(payload) >= self._config.threshold
        return wanted and self.deflate_bits >= _LEAST_BITS_TO_DEFLATE

    def encode(self, payload: bytes, final: bool) -> bytes:
        """Deflate the next bytes of a message, and return the payload of the next frame (7.2.1)."""
        if self._deflater is None:
            if final and not self.deflate_takeover:
                return self.encode_shared(payload)
            self._deflater = self._new_deflater(self.deflate_bits, self._config.mem_level)
        deflater = self._deflater
        encoded: bytes = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        if not final:
            return encoded
        if not self.deflate_takeover:
            self._deflater = None
        return _without_tail(encoded)

    @property
    def shared_key(self) -> Hashable:
        """What `encode_shared` depends on: codecs with equal keys encode a message to the same bytes."""
        config = self._config
        return self.deflate_bits, config.level, config.mem_level, config.implementation

    def encode_shared(self, payload: bytes) -> bytes:
        """Deflate a message that does not refer to others, for all connections with the same `shared_key`.

        zlib clears its memory for every new stream, 262 KiB by default. With a window and a symbol buffer that are
        just large enough for the message, the result is the same, at a fraction of the cost.
        """
        size = len(payload)
        bits = (size + _DEFLATE_LOOKAHEAD).bit_length()
        level = (size >> 5).bit_length()
        deflater = self._new_deflater(
            min(self.deflate_bits, max(bits, _LEAST_BITS_TO_DEFLATE)), min(self._config.mem_level, max(level, 1))
        )
        encoded: bytes = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return _without_tail(encoded)

    def forget_sent(self) -> None:
        """Forget everything that was deflated, as the peer's window now has a message that ours does not have.

        A new deflater refers only to its own output, which the peer has.
        """
        self._deflater = None

    def drop(self) -> None:
        """Release all memory: the connection has ended."""
        self._inflater = self._deflater = None
        self._input = b""
        self._at = 0
        self._inflater_is_full = False

    def _new_deflater(self, bits: int, mem_level: int) -> Any:
        if bits < _LEAST_BITS_TO_DEFLATE:
            # 7.1.2.2 lets a server ask for this. Stored blocks refer to no earlier data, so they fit any window. In
            # zlib, level 0 makes only such blocks, but not in every replacement.
            return zlib.compressobj(0, zlib.DEFLATED, -_LEAST_BITS_TO_DEFLATE, 1)
        level = self._config.level
        if level == -1:
            # Each module's own default, as isal does not accept -1.
            level = self._zlib.Z_DEFAULT_COMPRESSION
        return self._zlib.compressobj(level, zlib.DEFLATED, -bits, mem_level)

    # Memory.

    @property
    def retained_bytes(self) -> int:
        """The memory that the zlib objects and the waiting input take, in bytes; zconf.h gives the formulas."""
        return self._retained()

    def _retained(self) -> int:
        retained = len(self._input)
        if self._inflater is not None:
            retained += self._inflate_size
        if self._deflater is not None:
            retained += self._deflate_size
        return retained


# zconf.h: "The memory requirements for inflate are (in bytes) 1 << windowBits [...] plus about 7 kilobytes for small
# objects"; those for deflate are "(1 << (windowBits+2)) + (1 << (memLevel+9)) [...] plus a few kilobytes for small
# objects".
_INFLATE_OVERHEAD = 7 << 10
_DEFLATE_OVERHEAD = 6 << 10

# deflate.c: MIN_LOOKAHEAD, the part of its window that zlib does not search for matches.
_DEFLATE_LOOKAHEAD = 262


def _without_tail(encoded: bytes) -> bytes:
    """Remove the tail that 7.2.1 leaves out. zlib returns nothing at all if there was no input since the last
    flush."""
    return encoded[: -len(TAIL)] if encoded else EMPTY_MESSAGE


def _bad_data(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(CloseCode.INVALID_DATA, reason, "RFC 7692 7.2.2")


def _check_range(owner: DeflateParameters | PerMessageDeflate, name: str, least: int, most: int) -> None:
    """Check a field that is a whole number, and make it an `int`."""
    value = getattr(owner, name)
    number = whole_number(value)
    if number is None:
        raise TypeError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    if not least <= number <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {number}")
    object.__setattr__(owner, name, number)


def _check_choice(name: str, value: object, choices: tuple[bool | None, ...]) -> None:
    if not any(value is choice for choice in choices):
        raise TypeError(f"{name} must be {' or '.join(map(str, choices))}, not {value!r}")
