"""The choice of the build for this package: the same as for `rfc6455`.

The compiled modules are linked into the same file as those of `rfc6455`, whose C types they use, and found by its
finder. So either both packages are compiled or neither is.

Not here: how the modules are compiled (``setup.py``).
"""

from __future__ import annotations

import sys

from rfc6455._build import use_compiled

# The modules that `setup.py` compiles, in the order of their imports: those through which messages pass on asyncio.
# The loop for threads spends most of its time waiting for the kernel, and connections are opened rarely.
MODULES = ("_known", "_asyncio_driver", "_asyncio_websocket")

use_compiled(sys.modules[__package__], MODULES)
