"""Two small extensions that are not permessage-deflate, to show that the interface of section 9 carries others.

`Shift` (RSV2) adds to each byte its place in the message; it has state over the fragments of a message. `Runs`
(RSV3) is run-length encoding; it makes messages longer or shorter, holds output back, keeps input that was cut in an
awkward place, and can find that its input makes no sense.
"""

from __future__ import annotations

from collections.abc import Hashable

from rfc6455 import HandshakeError, RemoteProtocolError
from rfc6455.extensions import Parameters

#: What `MessageCodec.decode` may give at once.
MOST_AT_ONCE = 64 << 10


def shifted(data: bytes, place: int, sign: int) -> bytes:
    return bytes((octet + sign * (place + i)) % 256 for i, octet in enumerate(data))


class ShiftCodec:
    """Byte number i of a message travels as (byte + i) modulo 256."""

    reserved_bit = 2
    parameters = "x-shift"
    has_more = False
    retained_bytes = 0
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


class RunsCodec:
    """A run of equal bytes travels as three bytes: its length, high byte first, and the byte."""

    reserved_bit = 1
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

    def wants(self, payload: bytes, fin: bool) -> bool:
        return True

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

    def forget_sent(self) -> None:
        pass

    def drop(self) -> None:
        self._input = self._output = b""


def run(length: int, octet: bytes) -> bytes:
    """A run as `RunsCodec` sends it."""
    return length.to_bytes(2, "big") + octet


class Shift:
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
