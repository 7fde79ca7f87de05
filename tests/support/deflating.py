"""Helpers for tests of compression: DEFLATE data made without the package, and two ends that have negotiated it.

The law: `deflated`, `finished` and `inflated` use plain zlib, so that a mistake in `rfc6455/deflate.py` cannot hide in
the tests.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from helpers import to

from rfc6455 import CLIENT, SERVER, Connection, PerMessageDeflate, Role
from rfc6455.extensions import MessageCodec

#: RFC 7692 7.2.1: the four bytes that a sender leaves out.
TAIL = b"\x00\x00\xff\xff"

MIB = 1 << 20

Words = list[tuple[str, "str | None"]]


def words(text: str) -> Words:
    """Return the parameters of one extension as a header has them, by the simplest reading: ``a; b=1``."""
    pairs = [word.partition("=") for word in text.split(";") if word.strip()]
    return [(name.strip(), value.strip() if equals else None) for name, equals, value in pairs]


def answer_words(codec: MessageCodec) -> Words:
    """Return what the answer says after the name of the extension."""
    return words(codec.parameters)[1:]


def agree(client: PerMessageDeflate, server: PerMessageDeflate) -> dict[Role, MessageCodec]:
    """Return what the two ends agree on."""
    at_server = server.accept_offer(words(client.offer()))
    assert at_server is not None, f"declined: {client.offer()}"
    return {SERVER: at_server, CLIENT: client.accept_answer(answer_words(at_server))}


def codec_of(role: Role, **options: Any) -> MessageCodec:
    """Return the codec of one end if both ends are configured in the same way."""
    return agree(PerMessageDeflate(**options), PerMessageDeflate(**options))[role]


def compressing(role: Role, *, takeover: bool = False, **options: Any) -> Connection:
    """Return a connection that agreed on compression."""
    return Connection(role, [codec_of(role, **both_takeovers(takeover))], **options)


def both_takeovers(takeover: bool) -> dict[str, bool]:
    return {"server_no_context_takeover": not takeover, "client_no_context_takeover": not takeover}


def deflated(data: bytes, level: int = 9, bits: int = 15) -> bytes:
    """Return the payload of a compressed message that refers to no other (RFC 7692 7.2.1)."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -bits)
    encoded = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
    assert encoded.endswith(TAIL)
    return encoded[:-4]


def finished(data: bytes) -> bytes:
    """Return a whole DEFLATE stream, whose last block has BFINAL set (7.2.3.4)."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush(zlib.Z_FINISH)


def inflated(messages: Sequence[bytes], takeover: bool, bits: int = 15) -> list[bytes]:
    """Return what plain zlib makes of the payloads of compressed messages."""
    decoded = []
    inflater = zlib.decompressobj(-bits)
    for payload in messages:
        decoded.append(inflater.decompress(payload + TAIL))
        assert inflater.unconsumed_tail == b""
        if not takeover:
            inflater = zlib.decompressobj(-bits)
    return decoded


def fragments(role: Role, opcode: int, payload: bytes, sizes: Sequence[int], rsv: int = 4) -> list[bytes]:
    """Return the frames of one message as the peer of ``role`` sends them: payloads of these sizes, then the rest."""
    edges = [0, *accumulate(sizes), len(payload)]
    pieces = [payload[start:stop] for start, stop in pairwise(edges)]
    return [
        to(role, 0 if at else opcode, piece, fin=at == len(sizes), rsv=0 if at else rsv)
        for at, piece in enumerate(pieces)
    ]
