"""hypothesis strategies for WebSocket traffic: frames, messages, streams, reads, handshakes, conversations.

The usual import is ``from rfc6455.testing import strategies as ws``. This is the only package in `rfc6455` that
imports hypothesis; the extra ``testing`` installs it.

The law: legal examples must be accepted. Each illegal example breaks exactly one rule, and comes with that rule, which
says how it must be answered. A stream also comes with the events that a receiver must report.
"""

from __future__ import annotations

from .conversations import conversations
from .frames import (
    IllegalFrame,
    bad_texts,
    close_codes,
    close_frames,
    control_frames,
    data_frames,
    forbidden_close_codes,
    fragmentations,
    frames,
    illegal_frames,
    masking_keys,
    messages,
    payloads,
    texts,
)
from .heads import (
    ExtensionHeader,
    IllegalHead,
    deflate_offers,
    extension_headers,
    illegal_deflate_offers,
    illegal_extension_headers,
    illegal_requests,
    illegal_responses,
    requests,
    responses,
)
from .reads import chunkings, chunks
from .streams import Stream, illegal_streams, streams

__all__ = [
    "ExtensionHeader",
    "IllegalFrame",
    "IllegalHead",
    "Stream",
    "bad_texts",
    "chunkings",
    "chunks",
    "close_codes",
    "close_frames",
    "control_frames",
    "conversations",
    "data_frames",
    "deflate_offers",
    "extension_headers",
    "forbidden_close_codes",
    "fragmentations",
    "frames",
    "illegal_deflate_offers",
    "illegal_extension_headers",
    "illegal_frames",
    "illegal_requests",
    "illegal_responses",
    "illegal_streams",
    "masking_keys",
    "messages",
    "payloads",
    "requests",
    "responses",
    "streams",
    "texts",
]
