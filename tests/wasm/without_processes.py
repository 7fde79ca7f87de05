"""A plugin for pytest on WebAssembly, where no process can start another and there is no timer.

A test that needs another process is skipped, and pytest-timeout gets a timer that never fires.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Generator
from typing import Any

import pytest

if not hasattr(signal, "setitimer"):
    timers: Any = signal
    timers.ITIMER_REAL = 0
    timers.setitimer = lambda *_: (0.0, 0.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    try:
        return (yield)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):
            pytest.skip(str(error))
        raise
