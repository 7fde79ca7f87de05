"""Tools for testing WebSocket code, whether it uses this package or not: ways to cut a stream into reads, two ends
joined in memory, assertions, and frames and heads that are valid or deliberately invalid.

The hypothesis strategies that generate traffic are in `rfc6455.testing.strategies`; the extra ``testing`` installs
hypothesis. Everything that can be imported from here works without it.
"""

from __future__ import annotations

from .checks import (
    assert_fails_with,
    assert_raises_nothing_but,
    assert_refuses,
    assert_same_events_in_any_chunking,
    status_of,
)
from .chunking import CHUNKINGS, Chunking, CutAt, Uneven, byte_by_byte, every_cut, halves, whole
from .heads import SAMPLE_ACCEPT, SAMPLE_KEY, Head, request_head, response_head
from .insisting import insist_on_sending
from .pair import Action, Carry, Pair, Peer, Say, expected_events, feed, play, say
from .rules import FRAME_RULES, REQUEST_RULES, RESPONSE_RULES, HeadRule, Rule
from .wire import WireFrame, close_payload, read_frames

__all__ = [
    "CHUNKINGS",
    "FRAME_RULES",
    "REQUEST_RULES",
    "RESPONSE_RULES",
    "SAMPLE_ACCEPT",
    "SAMPLE_KEY",
    "Action",
    "Carry",
    "Chunking",
    "CutAt",
    "Head",
    "HeadRule",
    "Pair",
    "Peer",
    "Rule",
    "Say",
    "Uneven",
    "WireFrame",
    "assert_fails_with",
    "assert_raises_nothing_but",
    "assert_refuses",
    "assert_same_events_in_any_chunking",
    "byte_by_byte",
    "close_payload",
    "every_cut",
    "expected_events",
    "feed",
    "halves",
    "insist_on_sending",
    "play",
    "read_frames",
    "request_head",
    "response_head",
    "say",
    "status_of",
    "whole",
]
