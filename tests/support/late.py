"""Programs that are late, and how a test makes them late: by a signal that stops them, or by blocking all their
threads.

`late.py PROGRAM [ARGUMENT ...]` runs a program. Whenever it gets SIGUSR1, it prints "blocked", and all of its threads
are blocked for `BLOCKED` seconds, as if an extension module held the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from child import PATIENCE  # and not from a module that imports the package, which this process may not find

# By then, whatever the tests wait for is over.
BLOCKED = 2.5


class Late(Protocol):
    """A program of a test: one of `programs`, or a chat's server."""

    process: subprocess.Popen[str] | None

    def logged(self, pattern: str) -> list[str]: ...
    def wait_for(self, pattern: str, count: int = 1) -> str: ...


def stop(program: Late, meanwhile: Callable[[], object]) -> float:
    """Stop the process, do something, and let it go on when `BLOCKED` seconds have passed; return the time then."""
    assert program.process is not None
    process = program.process.pid
    os.kill(process, signal.SIGSTOP)
    end = time.monotonic() + PATIENCE
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end
    meanwhile()
    time.sleep(BLOCKED)
    os.kill(process, signal.SIGCONT)
    return time.monotonic()


def block(program: Late, meanwhile: Callable[[], object]) -> float:
    """Block all threads of a program that `late.py` runs, and do something meanwhile; return when it will go on."""
    assert program.process is not None
    count = len(program.logged("^blocked$"))
    os.kill(program.process.pid, signal.SIGUSR1)
    program.wait_for("^blocked$", count + 1)
    goes_on_at = time.monotonic() + BLOCKED
    meanwhile()
    return goes_on_at


def _stand_still() -> None:
    c = ctypes.PyDLL(None)  # the lock is held while its functions run
    while True:
        signal.sigwait({signal.SIGUSR1})
        c.write(1, b"blocked\n", 8)
        c.usleep(int(BLOCKED * 1_000_000))


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    threading.Thread(target=_stand_still, daemon=True).start()
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
