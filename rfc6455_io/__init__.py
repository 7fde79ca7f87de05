"""I/O for `rfc6455`, which itself does none: ``rfc6455_io.asyncio`` provides a server and a client for asyncio, and
``rfc6455_io.threads`` provides both for threads.

Import the module that you need. This one is empty, so nothing is loaded that is not used.
"""

from __future__ import annotations

from . import _build as _build
