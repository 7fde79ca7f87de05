"""Tuning for thousands of threads: each value with its reason and measurements. Nothing here changes the behaviour of
the chat.

The figures are from CPython 3.11 on two cores; `benchmarks/chat` measures them again.
"""

from __future__ import annotations

import gc
import resource
import sys
import threading

# The number of connections that the kernel accepts while we are busy, enough for all clients to come back after a
# restart. With Python's 128, most of a thousand clients that come at once wait for a second until TCP tries again.
BACKLOG = 1024

# The number of waiting clients that are accepted before their threads are started; see `Server._take_in`. With 1, each
# client takes twice the processor time when many come at once. More than 64 gain nothing, and make the first ones
# wait.
AT_ONCE = 64

# The number of bytes that the kernel keeps for a client that does not read. By default, it would keep megabytes for
# each (`net.ipv4.tcp_wmem`: up to 4 MiB), which the limits of the outbox do not count.
SEND_BUFFER = 256 << 10

# The maximum size of a thread's stack. The usual 8 MiB are only reserved, but thousands of threads would reserve tens
# of gigabytes, which many systems refuse (`vm.overcommit_memory=2`, containers). A client's thread uses about 50 KiB.
STACK_SIZE = 512 << 10

# The time in seconds for which a thread may compute before another makes it give way. Our threads give way at each
# read and write anyway. With Python's 5 ms, when thousands of clients leave at once, as many threads each ask for the
# lock 200 times a second, and the server does little else.
SWITCH_INTERVAL = 0.05

# The number of new objects after which Python looks for garbage in cycles. A session has about 50 objects, and leaves
# no cycles behind. Looking after every 700 objects, the default, takes a quarter of the time for a new client.
GC_THRESHOLD = 50_000

# The number of file descriptors to request. Each client takes one, and the usual limit is 1024.
MANY_FILES = 65_536


def tune() -> None:
    """Apply the settings for the whole process, before the first thread is started."""
    threading.stack_size(STACK_SIZE)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(GC_THRESHOLD)
    _allow_many_files()


def _allow_many_files() -> None:
    """Raise the limit of file descriptors, at most to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            pass  # some systems have yet another limit
