"""Small extensions that are not permessage-deflate, to show that the interface of section 9 carries others.

`Invert` is as small as an extension can be. `Shift` (RSV2) adds to each byte its place in the message; it has state
over the fragments of a message. `Runs` (RSV3) is run-length encoding; it makes messages longer or shorter, holds
output back, keeps input that was cut in an awkward place, and can find that its input makes no sense. `Either` owns
two bits, and chooses between them.
"""

from __future__ import annotations

from collections.abc import Hashable

from rfc6455 import Extension, HandshakeError, MessageCodec, Parameters, RemoteProtocolError

#: What `MessageCodec.decode` may give at once.
MOST_AT_ONCE = 64 << 10


class InvertCodec(MessageCodec):
    """Each bit of a message travels inverted."""

    def encode(self, payload: bytes, final: bool) -> bytes:
        return bytes(octet ^ 255 for octet in payload)

    def decode(self, payload: bytes, final: bool) -> bytes:
        return bytes(octet ^ 255 for octet in payload)


class Invert(Extension):
    """`InvertCodec` for a handshake."""

    name = "x-invert"

    def codec(self) -> InvertCodec:
        return InvertCodec()


class EitherCodec(MessageCodec):
    """A message that begins with a space travels inverted, marked by RSV3; any other as it is, marked by RSV2."""

    reserved_bits = 3
    parameters = "x-either"
    shared_key: Hashable = "x-either"

    def __init__(self) -> None:
        self.marks_in = self.marks_out = 0
        self.begins = True

    @property
    def marks(self) -> int:
        return self.marks_out

    def encode(self, payload: bytes, final: bool) -> bytes:
        if self.begins:
            self.marks_out = 1 if payload.startswith(b" ") else 2
        self.begins = final
        return self._turned(self.marks_out, payload)

    def begin(self, marks: int) -> None:
        if marks == 3:
            raise RemoteProtocolError(1002, "RSV2 and RSV3 on one message", "x-either")
        self.marks_in = marks

    def decode(self, payload: bytes, final: bool) -> bytes:
        return self._turned(self.marks_in, payload)

    def _turned(self, marks: int, payload: bytes) -> bytes:
        return bytes(octet ^ 255 for octet in payload) if marks == 1 else payload


def shifted(data: bytes, place: int, sign: int) -> bytes:
    return bytes((octet + sign * (place + i)) % 256 for i, octet in enumerate(data))


class ShiftCodec(MessageCodec):
    """Byte number i of a message travels as (byte + i) modulo 256."""

    reserved_bits = 2
    parameters = "x-shift"
    shared_key: Hashable = "x-shift"

    def __init__(self, least: int = 0) -> None:
        self.least = least
        self.forgotten = 0
        self.dropped = False
        self._place_in = 0
        self._place_out = 0

    def decode(self, payload: bytes, final: bool) -> bytes:
        decoded = shifted(payload, self._place_in, -1)
        self._place_in = 0 if final else self._place_in + len(payload)
        return decoded

    def encode(self, payload: bytes, final: bool) -> bytes:
        encoded = shifted(payload, self._place_out, 1)
        self._place_out = 0 if final else self._place_out + len(payload)
        return encoded

    def wants(self, payload: bytes, fin: bool) -> bool:
        return not fin or len(payload) >= self.least

    def encode_shared(self, payload: bytes) -> bytes:
        return shifted(payload, 0, 1)

    def drop(self) -> None:
        self.dropped = True

    def forget_sent(self) -> None:
        self.forgotten += 1


class RunsCodec(MessageCodec):
    """A run of equal bytes travels as three bytes: its length, high byte first, and the byte."""

    reserved_bits = 1
    parameters = "x-runs"
    shared_key: Hashable = "x-runs"

    def __init__(self) -> None:
        self._input = b""
        self._output = b""

    @property
    def has_more(self) -> bool:
        return bool(self._output) or len(self._input) >= 3

    @property
    def retained_bytes(self) -> int:
        return len(self._input) + len(self._output)

    def decode(self, payload: bytes, final: bool) -> bytes:
        self._input += payload
        while len(self._output) < MOST_AT_ONCE and len(self._input) >= 3:
            high, low, octet = self._input[:3]
            self._input = self._input[3:]
            self._output += bytes([octet]) * (high << 8 | low)
        decoded, self._output = self._output[:MOST_AT_ONCE], self._output[MOST_AT_ONCE:]
        if final and self._input and not self.has_more:
            try:
                raise ValueError(self._input)
            except ValueError as error:
                raise RemoteProtocolError(1007, f"half a run: {self._input!r}", "x-runs") from error
        return decoded

    def encode(self, payload: bytes, final: bool) -> bytes:
        return self.encode_shared(payload)

    def encode_shared(self, payload: bytes) -> bytes:
        encoded = b""
        at = 0
        while at < len(payload):
            octet = payload[at : at + 1]
            rest = payload[at : at + 0xFFFF]
            length = len(rest) - len(rest.lstrip(octet))
            encoded += length.to_bytes(2, "big") + octet
            at += length
        return encoded

    def drop(self) -> None:
        self._input = self._output = b""


def run(length: int, octet: bytes) -> bytes:
    """Return a run as `RunsCodec` sends it."""
    return length.to_bytes(2, "big") + octet


class Shift(Extension):
    """`ShiftCodec` for a handshake: it has one parameter, ``least``, which both ends must name alike."""

    name = "x-shift"

    def __init__(self, least: int = 0) -> None:
        self.least = least

    def offer(self) -> str:
        return f"least={self.least}"

    def accept_offer(self, parameters: Parameters) -> ShiftCodec | None:
        return self._codec() if self._fits(parameters) else None

    def accept_answer(self, parameters: Parameters) -> ShiftCodec:
        if not self._fits(parameters):
            raise HandshakeError(None, f"x-shift was answered with {parameters!r}", "9.1")
        return self._codec()

    def _fits(self, parameters: Parameters) -> bool:
        return list(parameters) == [("least", str(self.least))]

    def _codec(self) -> ShiftCodec:
        codec = ShiftCodec(self.least)
        codec.parameters = f"{self.name}; {self.offer()}"
        return codec
