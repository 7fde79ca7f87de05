"""Which build of this package runs: the one of `rfc6455` that does.

The compiled modules are linked into the same file as those of `rfc6455`, whose types they know in C, and its finder
finds them: so either both packages are compiled or neither is.

Not here: how the modules are compiled (``setup.py``).
"""

from __future__ import annotations

import sys

from rfc6455._build import use_compiled

# What `setup.py` compiles, from the ground up: what a message on asyncio passes through. The loop of threads waits for
# the kernel most of its time, and the openings of connections are few.
MODULES = ("_known", "_asyncio_driver", "_asyncio_websocket")

use_compiled(sys.modules[__package__], MODULES)
