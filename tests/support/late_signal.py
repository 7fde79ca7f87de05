"""Runs a program so that each signal arrives in the gap before it waits: `late_signal.py PROGRAM [ARGUMENT ...]`.

Python runs a signal handler between two steps of the main thread. If a signal arrives after the last step before a
blocking system call, but before the call itself, C code takes it, it interrupts nothing, and its handler runs only
when the call returns. This gap is too narrow to be hit, but a signal that another thread takes has the same effect at
any time. So here, the main thread blocks the signals, and a thread that does nothing takes them.
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
