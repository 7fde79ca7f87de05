"""Run a program so that each signal comes in the gap before it waits: `late_signal.py PROGRAM [ARGUMENT ...]`.

Python runs the handler of a signal between two steps of the main thread. A signal that comes after the last step
before a system call that waits, but before the call itself, has been taken by C, interrupts nothing, and its handler
runs when the wait is over. That gap is too narrow to be hit; but a signal that another thread takes has the same
effect, whenever it comes. So here the main thread blocks the signals, and a thread that does nothing takes them.
"""

from __future__ import annotations

import runpy
import signal
import sys
import threading
from pathlib import Path

if __name__ == "__main__":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
