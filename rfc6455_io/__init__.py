"""I/O for `rfc6455`, which itself does none: ``rfc6455_io.asyncio`` has a server and a client for
asyncio, ``rfc6455_io.threads`` both for threads.

Import the module that you need; this one has nothing in it, so that nothing is loaded that is not used.
"""

from __future__ import annotations

from . import _build as _build
