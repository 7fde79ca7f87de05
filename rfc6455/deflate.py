"""permessage-deflate (RFC 7692): the extension that compresses messages.

`PerMessageDeflate` is what the application wants and what is agreed in the handshake (7.1); `DeflateCodec` is the
state of one connection, with the zlib objects made when they are first used, since most connections that agree on
compression are idle or small. What must not live here: message limits; `decode` gives at most `MAX_PIECE` bytes
at a time, so that whoever counts can stop in time.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from typing import Any

from .codes import CloseCode
from .errors import HandshakeError, RemoteProtocolError
from .extensions import Parameters

# 7.2.1: an encoded message ends with an empty stored block of which these last four bytes are not sent.
TAIL = b"\x00\x00\xff\xff"

# The same, and a last block: where each message begins anew, this tells whether the one before ended with a block.
FINAL_TAIL = TAIL + b"\x01\x00\x00\xff\xff"

# 7.2.3.6: the shortest encoding of an empty message: the header of that block alone.
EMPTY_MESSAGE = b"\x00"

# What one call of decode() gives at the most. Also the largest overshoot beyond a message limit. A message of 64 KiB,
# which is a common size, still comes in one piece.
MAX_PIECE = 65 << 10

# What is given to the inflater at once. A final block (BFINAL) makes zlib copy the rest of its input; with many of
# them in one message the portions become small, which keeps the time linear.
MAX_INPUT = 16 << 10
LEAST_INPUT = 64

SERVER_TAKEOVER = "server_no_context_takeover"
CLIENT_TAKEOVER = "client_no_context_takeover"
SERVER_BITS = "server_max_window_bits"
CLIENT_BITS = "client_max_window_bits"

# 7.1.2: a decimal integer "without leading zeroes between 8 to 15 inclusive". As a set of strings, so that signs,
# spaces and the digits of other scripts are refused without a thought.
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}

# zlib cannot deflate with a window of 256 bytes: it silently takes 512 (zlib's issue 171).
_LEAST_BITS_TO_DEFLATE = 9


class DeflateCodec:
    """The state of permessage-deflate on one connection (RFC 7692, section 7.2).

    :param parameters: what was agreed, as the header says it.
    :param inflate_bits: the window that the peer may use.
    :param inflate_takeover: whether the peer may refer to earlier messages.
    :param deflate_bits: the window that this side uses; with 8 it can only leave messages as they are.
    :param deflate_takeover: whether this side may refer to earlier messages.
    """

    # 6: "This document allocates the RSV1 bit".
    reserved_bit = 4

    def __init__(
        self,
        config: PerMessageDeflate,
        parameters: str,
        *,
        inflate_bits: int,
        inflate_takeover: bool,
        deflate_bits: int,
        deflate_takeover: bool,
    ) -> None:
        self.parameters = parameters
        self.inflate_bits = inflate_bits
        self.inflate_takeover = inflate_takeover
        self.deflate_bits = deflate_bits
        self.deflate_takeover = deflate_takeover
        # What is added to a message before it is inflated.
        self._tail = TAIL if inflate_takeover else FINAL_TAIL
        self._config = config
        self._zlib = config.implementation
        self._inflater: Any = None
        self._deflater: Any = None
        # Input, and how much of it the inflater has taken.
        self._input = b""
        self._at = 0
        self._portion_size = MAX_INPUT
        self._inflater_is_full = False
        # Whether the last thing that the inflater saw was the end of a DEFLATE stream.
        self._stream_ended = False
        self._tail_added = False

    # Receiving.

    @property
    def has_more(self) -> bool:
        """Whether there is output, or input, that did not go into the last piece."""
        return self._has_more()

    def _has_more(self) -> bool:
        return self._inflater_is_full or self._at < len(self._input)

    def decode(self, payload: bytes, final: bool) -> bytes:
        """Inflates (7.2.2): the next bytes of a message in, at most `MAX_PIECE` bytes out.

        :raises RemoteProtocolError: 1007, when the bytes are not DEFLATE data, or the message ends within a block.
            With context takeover the latter cannot be told; the next message then fails.
        """
        if final and not self._tail_added:
            payload += self._tail
            self._tail_added = True
        if payload:
            self._input = self._input[self._at :] + payload if self._has_more() else payload
            self._at = 0
        data = b"" if self._ends_with_its_stream() else self._inflate()
        if not self._has_more():
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
        problem = None
        try:
            data: bytes = inflater.decompress(portion, MAX_PIECE)
        except self._zlib.error as error:
            problem = str(error)
        if problem is not None:
            # Raised out here, as an error that refers to zlib's would keep the input alive.
            raise _bad_data(f"a compressed message that does not inflate ({problem})")
        if inflater.eof:
            # 7.2.3.4: a block with BFINAL set ends a DEFLATE stream, but not the message; another stream follows.
            self._at += len(portion) - len(inflater.unused_data)
            self._inflater_is_full = False
            self._stream_ended = True
            self._inflater = None
            self._portion_size = max(self._portion_size >> 1, LEAST_INPUT)
        else:
            self._at += len(portion) - len(inflater.unconsumed_tail)
            # Even with all input taken, the inflater may hold back output that did not fit.
            self._inflater_is_full = len(data) == MAX_PIECE
            self._stream_ended = False
            self._portion_size = min(self._portion_size << 1, MAX_INPUT)
        return data

    def _ends_with_its_stream(self) -> bool:
        """Whether only the tail is left, after a block with BFINAL set and without the empty one of 7.2.3.4."""
        if not (self._stream_ended and self._tail_added) or len(self._input) - self._at != len(self._tail):
            return False
        # Exactly the tail is left, since it was added last.
        self._at = len(self._input)
        return True

    def _end_of_message(self) -> None:
        if not self.inflate_takeover:
            if not self._stream_ended:
                raise _bad_data("a compressed message that ends within a block")
            self._inflater = None
        self._portion_size = MAX_INPUT
        self._stream_ended = False
        self._tail_added = False

    # Sending.

    def wants(self, payload: bytes, fin: bool) -> bool:
        """Whether a message is worth compressing.

        With takeover every message is: a short one costs a few bytes, and the later ones gain from it. Without,
        one that is whole and shorter than the threshold is not. Nothing is that zlib cannot compress.
        """
        wanted = self.deflate_takeover or not fin or len(payload) >= self._config.threshold
        return wanted and self.deflate_bits >= _LEAST_BITS_TO_DEFLATE

    def encode(self, payload: bytes, final: bool) -> bytes:
        """Deflates (7.2.1): the next bytes of a message in, the payload of the next frame out."""
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
        """All codecs with an equal key encode a message to the same bytes, where they begin anew with it."""
        config = self._config
        return self.deflate_bits, config.level, config.mem_level, config.implementation

    def encode_shared(self, payload: bytes) -> bytes:
        """Deflates one message that refers to no other, for all connections with the same `shared_key`.

        zlib clears its memory for every new stream, 262 KiB at its defaults; a window and a symbol buffer that just
        hold the message give the same result for a fraction of that.
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
        """Forgets all that was deflated: the peer's window has meanwhile got a message that ours does not know.

        A new deflater refers only to what it wrote itself, and that the peer has.
        """
        self._deflater = None

    def drop(self) -> None:
        """Lets go of all memory: the connection has ended."""
        self._inflater = self._deflater = None
        self._input = b""
        self._at = 0
        self._inflater_is_full = False

    def _new_deflater(self, bits: int, mem_level: int) -> Any:
        if bits < _LEAST_BITS_TO_DEFLATE:
            # 7.1.2.2 lets a server ask for this. Stored blocks refer to nothing, so that they fit any window; that is
            # what level 0 of zlib makes, and not of all others.
            return zlib.compressobj(0, zlib.DEFLATED, -_LEAST_BITS_TO_DEFLATE, 1)
        level = self._config.level
        if level == -1:
            # What each implementation takes by default; isal knows no -1.
            level = self._zlib.Z_DEFAULT_COMPRESSION
        return self._zlib.compressobj(level, zlib.DEFLATED, -bits, mem_level)

    # Memory.

    @property
    def retained_bytes(self) -> int:
        """Memory that the zlib objects and the waiting input take; zconf.h gives the formulas."""
        retained = len(self._input)
        if self._inflater is not None:
            retained += (1 << self.inflate_bits) + _INFLATE_OVERHEAD
        if self._deflater is not None:
            retained += (1 << self.deflate_bits + 2) + (1 << self._config.mem_level + 9) + _DEFLATE_OVERHEAD
        return retained


# zconf.h: "the memory requirements for inflate are (in bytes) 1 << windowBits [...] about 7 kilobytes more";
# "for deflate (1 << (windowBits+2)) + (1 << (memLevel+9))", with "a few kilobytes for small objects".
_INFLATE_OVERHEAD = 7 << 10
_DEFLATE_OVERHEAD = 6 << 10

# deflate.c: MIN_LOOKAHEAD, the part of its window that zlib does not search for matches.
_DEFLATE_LOOKAHEAD = 262


def _without_tail(encoded: bytes) -> bytes:
    """Takes off the tail that 7.2.1 leaves out. zlib gives nothing at all where nothing came since the last flush."""
    return encoded[: -len(TAIL)] if encoded else EMPTY_MESSAGE


class PerMessageDeflate:
    """permessage-deflate as the application wants it; given to a handshake in ``extensions``.

    The defaults keep memory small: each side begins each message anew (no context takeover), so a connection
    holds no zlib state between messages.

    :param server_no_context_takeover: the server begins each message anew. A client asks for it; a server that
        sets it does so whether it was asked or not (7.1.1.1).
    :param client_no_context_takeover: the same for the client (7.1.1.2).
    :param server_max_window_bits: the largest window that the server may use, 8 to 15 (7.1.2.1). A client asks
        for it; a server keeps to the smaller of this and what was asked. A server that sets 8 uses 9, as zlib cannot
        deflate with 8, and declines an offer that asks for 8.
    :param client_max_window_bits: the same for the client (7.1.2.2). A client offers that the server may lower
        it; a server lowers it where the client offered that. A client that sets 8 offers 9; where the server's answer
        is 8, it compresses nothing.
    :param level: how hard this side compresses, 0 to 9; -1 is zlib's default (6).
    :param mem_level: the memory for deflating, 1 to 9: ``1 << (mem_level + 9)`` bytes.
    :param threshold: in bytes; a shorter message is not compressed where this side begins each anew.
    :param implementation: a module with the interface of ``zlib`` (``zlib_ng.zlib_ng``, ``isal.isal_zlib``).
    :raises ValueError: when a number is out of its range.

    >>> client = rfc6455.ClientHandshake("ws://example.com/", extensions=[rfc6455.PerMessageDeflate()])
    >>> server = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate(server_max_window_bits=11)])
    >>> request = server.receive_data(client.data_to_send())
    >>> server.accept().extensions[0].parameters.split("; ")[-1]
    'server_max_window_bits=11'
    """

    name = "permessage-deflate"

    def __init__(
        self,
        *,
        server_no_context_takeover: bool = True,
        client_no_context_takeover: bool = True,
        server_max_window_bits: int = 15,
        client_max_window_bits: int = 15,
        level: int = -1,
        mem_level: int = 8,
        threshold: int = 64,
        implementation: Any = zlib,
    ) -> None:
        _check_range("server_max_window_bits", server_max_window_bits, 8, 15)
        _check_range("client_max_window_bits", client_max_window_bits, 8, 15)
        _check_range("level", level, -1, 9)
        _check_range("mem_level", mem_level, 1, 9)
        _check_range("threshold", threshold, 0, 1 << 62)
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.level = level
        self.mem_level = mem_level
        self.threshold = threshold
        self.implementation = implementation

    def offer(self) -> str:
        """The client's offer (7.1)."""
        words = []
        if self.server_no_context_takeover:
            words.append(SERVER_TAKEOVER)
        if self.client_no_context_takeover:
            words.append(CLIENT_TAKEOVER)
        if self.server_max_window_bits < 15:
            words.append(f"{SERVER_BITS}={self.server_max_window_bits}")
        # 7.1.2.2: without a value it says that the client understands the parameter.
        bits = max(self.client_max_window_bits, _LEAST_BITS_TO_DEFLATE)
        words.append(CLIENT_BITS if bits == 15 else f"{CLIENT_BITS}={bits}")
        return "; ".join(words)

    def accept_offer(self, parameters: Parameters) -> DeflateCodec | None:
        """The server's answer to an offer, or ``None`` to decline it.

        7.1: a server MUST decline an offer with a parameter that is unknown, comes twice, or has a value that is not
        allowed. It also declines one that asks it to deflate with a window of 8 bits, which zlib cannot do.
        """
        try:
            asked = _parse_parameters(parameters)
        except ValueError:
            return None
        if asked.get(SERVER_BITS, _LEAST_BITS_TO_DEFLATE) < _LEAST_BITS_TO_DEFLATE:
            return None
        # 7.1.1.1: what the client asks of the server, an answer must grant. 7.1.1.2: what the client tells of itself
        # is a hint, until the answer repeats it; ours does. The server may also add either of its own accord.
        server_anew = self.server_no_context_takeover or SERVER_TAKEOVER in asked
        client_anew = self.client_no_context_takeover or CLIENT_TAKEOVER in asked
        server_bits = min(asked.get(SERVER_BITS, 15), max(self.server_max_window_bits, _LEAST_BITS_TO_DEFLATE))
        # 7.1.2.2: an answer may limit the client only if the offer said that the client understands that.
        client_bits = min(asked[CLIENT_BITS], self.client_max_window_bits) if CLIENT_BITS in asked else 15
        return DeflateCodec(
            self,
            # 7.1.2.1: an asked-for limit is granted by saying it, even where it limits nothing.
            _join_parameters(server_anew, client_anew, server_bits, client_bits, SERVER_BITS in asked),
            inflate_bits=client_bits,
            inflate_takeover=not client_anew,
            deflate_bits=server_bits,
            deflate_takeover=not server_anew,
        )

    def accept_answer(self, parameters: Parameters) -> DeflateCodec:
        """What the client makes of the server's answer to `offer`.

        :raises HandshakeError: when the answer does not fit the offer (7.1: the client MUST fail the connection).
        """
        try:
            agreed = _parse_parameters(parameters, values_required=True)
        except ValueError as error:
            raise _bad_answer(str(error)) from error
        if self.server_no_context_takeover and SERVER_TAKEOVER not in agreed:
            raise _bad_answer(f"{SERVER_TAKEOVER} was asked for and not granted")
        server_bits = agreed.get(SERVER_BITS, 15)
        if server_bits > self.server_max_window_bits:
            raise _bad_answer(f"a window of {server_bits} bits, {self.server_max_window_bits} were asked for")
        offered_bits = max(self.client_max_window_bits, _LEAST_BITS_TO_DEFLATE)
        client_bits = agreed.get(CLIENT_BITS, offered_bits)
        if client_bits > offered_bits:
            raise _bad_answer(f"{CLIENT_BITS}={client_bits}; at most {offered_bits} were offered")
        server_anew = SERVER_TAKEOVER in agreed
        client_anew = self.client_no_context_takeover or CLIENT_TAKEOVER in agreed
        return DeflateCodec(
            self,
            _join_parameters(
                server_anew, CLIENT_TAKEOVER in agreed, server_bits, agreed.get(CLIENT_BITS, 15), SERVER_BITS in agreed
            ),
            inflate_bits=server_bits,
            inflate_takeover=not server_anew,
            deflate_bits=client_bits,
            deflate_takeover=not client_anew,
        )


def _join_parameters(
    server_anew: bool, client_anew: bool, server_bits: int, client_bits: int, say_server_bits: bool = False
) -> str:
    words = [PerMessageDeflate.name]
    if server_anew:
        words.append(SERVER_TAKEOVER)
    if client_anew:
        words.append(CLIENT_TAKEOVER)
    if server_bits < 15 or say_server_bits:
        words.append(f"{SERVER_BITS}={server_bits}")
    if client_bits < 15:
        words.append(f"{CLIENT_BITS}={client_bits}")
    return "; ".join(words)


def _parse_parameters(parameters: Parameters, values_required: bool = False) -> dict[str, int]:
    """Reads the four parameters; those without a number count as 15 for window bits, and as 1.

    :param values_required: whether ``client_max_window_bits`` needs a value, as it does in an answer (7.1.2.2).
    :raises ValueError: for anything that 7.1 does not allow, with the reason.
    """
    numbers: dict[str, int] = {}
    for name, value in parameters:
        if name in numbers:
            raise ValueError(f"{name} comes twice")
        if name in (SERVER_TAKEOVER, CLIENT_TAKEOVER):
            if value is not None:
                raise ValueError(f"{name} takes no value, but has {value!r}")
            numbers[name] = 1
        elif name not in (SERVER_BITS, CLIENT_BITS):
            raise ValueError(f"an unknown parameter {name!r}")
        elif value is None and name == CLIENT_BITS and not values_required:
            numbers[name] = 15
        elif value not in _WINDOW_BITS:
            raise ValueError(f"{name} takes a number from 8 to 15, not {value!r}")
        else:
            numbers[name] = _WINDOW_BITS[value]
    return numbers


def _bad_data(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(CloseCode.INVALID_DATA, reason, "RFC 7692 7.2.2")


def _bad_answer(reason: str) -> HandshakeError:
    return HandshakeError(None, f"the server's answer about permessage-deflate does not fit: {reason}", "RFC 7692 7.1")


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
