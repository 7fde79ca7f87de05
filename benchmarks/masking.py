"""Where the two ways of masking in Python cross: ``python benchmarks/masking.py``.

`rfc6455.byte_loops` masks a short payload as one long integer and translates the four lanes of a long one. This
prints what each way costs a byte; ``LONGEST_INTEGER`` should be near the size where the second becomes the cheaper.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import timeit
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import ours

KEY = b"\x12\x34\x56\x78"
SIZES = (32, 64, 128, 256, 384, 512, 640, 768, 1000, 1250, 1500, 2000, 4000, 16_000, 64_000)
ROUNDS = 9


def nanoseconds_per_byte(apply_mask: Any, size: int) -> float:
    """The best of some rounds of about 10 ms."""
    data = os.urandom(size)
    calls = max(1, 10_000_000 // (500 + 3 * size))
    timer = timeit.Timer(lambda: apply_mask(data, KEY), timer=time.process_time)
    return min(timer.repeat(ROUNDS, calls)) / calls / size * 1e9


def main() -> None:
    package = ours.pure().package
    loops: Any = importlib.import_module(f"{package.__name__}.byte_loops")
    crossing = loops.LONGEST_INTEGER
    print(f"  bytes   integer     lanes   ns a byte; LONGEST_INTEGER is {crossing}")
    for size in SIZES:
        loops.LONGEST_INTEGER = size
        integer = nanoseconds_per_byte(package.apply_mask, size)
        loops.LONGEST_INTEGER = size - 1
        lanes = nanoseconds_per_byte(package.apply_mask, size)
        print(f"{size:7} {integer:9.2f} {lanes:9.2f}")


if __name__ == "__main__":
    main()
