"""What is tuned for thousands of threads, each with its reason and what was measured. Nothing here changes what the
chat does.

The figures are from CPython 3.11 on two cores; `benchmarks/chat` measures them again.
"""

from __future__ import annotations

import gc
import resource
import sys
import threading

# Connections that the kernel takes while we are busy; a crowd that comes back after a restart fits in. With Python's
# 128, the rest of a thousand that come at once wait for a second, until TCP tries again.
BACKLOG = 1024

# How many waiting clients are accepted before their threads are started: see `Server._take_in`. With 1, each client of
# a crowd costs twice the processor time; more than 64 gain nothing, and keep the first ones waiting.
AT_ONCE = 64

# What the kernel keeps for a client that does not read, in bytes. By default it would keep megabytes for each
# (`net.ipv4.tcp_wmem`: up to 4 MiB), which the limits of the outbox do not count.
SEND_BUFFER = 256 << 10

# What a thread's stack may grow to. The usual 8 MiB are only reserved, but thousands of threads reserve tens of
# gigabytes, which many systems refuse (`vm.overcommit_memory=2`, containers). A client's thread uses some 50 KiB.
STACK_SIZE = 512 << 10

# How long a thread may compute before another makes it give way, in seconds. Ours give way at each read
# and write. With Python's 5 ms, thousands of clients that leave at once are as many threads that each ask 200 times a
# second, and the server does little else.
SWITCH_INTERVAL = 0.05

# After how many new objects Python looks for garbage in cycles. A session is some 50 objects that stay, and makes no
# cycle that lasts; to look after every 700, as is usual, takes a quarter of the time that a new client costs.
GC_THRESHOLD = 50_000

# How many file descriptors to ask for. Each client takes one, and the usual limit is 1024.
MANY_FILES = 65_536


def tune() -> None:
    """Set what belongs to the whole process, before the first thread is started."""
    threading.stack_size(STACK_SIZE)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(GC_THRESHOLD)
    _allow_many_files()


def _allow_many_files() -> None:
    """Raise the limit, up to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            pass  # a system with yet another limit
