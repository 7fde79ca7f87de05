"""Troubles: failures outside of the chat, of Redis or the history's file.

The law: a trouble is reported when it begins, again each minute while it lasts, and when it ends. Each error in
between is counted. `/health` and `/metrics` list the current ones. The chat goes on: it is degraded, not down.
"""

from __future__ import annotations

import threading
import time

from service.log import log, utc
from service.metrics import Metrics

# The interval in seconds at which a trouble that lasts is reported again.
REMIND_SECONDS = 60.0


class Trouble:
    """Whether one part of the server works. May be called from any thread.

    :param part: its name, such as ``bus``.
    """

    def __init__(self, part: str, metrics: Metrics) -> None:
        self.part = part
        self._metrics = metrics
        self._lock = threading.Lock()
        self._since: float | None = None
        self._error = ""
        self._lost = 0
        self._told_at = 0.0
        metrics.count("errors", 0, label=f'part="{part}"')

    def begin(self, error: object, lost: int = 0) -> None:
        """Note that it has failed, once more or for the first time.

        :param lost: the number of lines that were lost.
        """
        self._metrics.count("errors", label=f'part="{self.part}"')
        self._metrics.count("lost_lines", lost)
        with self._lock:
            self._error = str(error) or type(error).__name__
            self._lost += lost
            if self._since is None:
                self._since = time.time()
                self._tell()

    def end(self) -> None:
        """Note that it has worked."""
        if self._since is None:
            return  # nearly always; without the lock, since this is called for each line
        with self._lock:
            if self._since is not None:
                log("recovered", part=self.part, since=utc(self._since), lost=self._lost)
                self._since, self._lost = None, 0

    def remind(self, now: float) -> None:
        """Report it again if it has lasted for another minute."""
        with self._lock:
            if self._since is not None and now >= self._told_at + REMIND_SECONDS:
                self._tell()

    @property
    def state(self) -> dict[str, object] | None:
        """What `/health` reports about it, or ``None`` if there is no trouble."""
        with self._lock:
            if self._since is None:
                return None
            return {"since": utc(self._since), "error": self._error, "lost": self._lost}

    def _tell(self) -> None:
        assert self._since is not None
        self._told_at = time.monotonic()
        log("degraded", part=self.part, since=utc(self._since), error=self._error, lost=self._lost)
