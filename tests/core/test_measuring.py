"""Measuring leaves the garbage collector as it was, as other tests may ask it for the referrers of an object."""

from __future__ import annotations

import gc
import tracemalloc
from random import Random

from hypothesis import register_random
from measuring import Memory

HELD = [Random()]


def test_what_is_frozen_while_memory_is_measured_is_free_afterwards() -> None:
    """Hypothesis asks for the referrers of each source of random numbers, and warns where there seem to be none."""
    with Memory() as memory:
        assert not gc.get_referrers(HELD[0])
        kept = bytes(1000)
        assert memory.kept >= len(kept)
    assert gc.get_referrers(HELD[0])
    assert not tracemalloc.is_tracing()
    register_random(HELD[0])
    HELD.clear()
