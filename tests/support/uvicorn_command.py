"""An app of a framework, run as its users run it: `uvicorn --ws CLASS MODULE:app`, in a process of its own."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from programs import PATIENCE, Started

import rfc6455

# For `--ws`: our class, and uvicorn's that is built on `websockets`.
OURS = "rfc6455_io.uvicorn:Protocol"
THEIRS = "websockets-sansio"

# Where the package under test is: the source tree, or what is installed.
PACKAGES = Path(rfc6455.__file__).parents[1]


class Uvicorn(Started):
    """uvicorn with its defaults, on a free port.

    :param app: ``module:app``, in the folder.
    :param ws: what ``--ws`` gets.
    """

    def __init__(self, app: str, folder: Path, ws: str) -> None:
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), "--port", "0", "--ws", ws, app]
        ready = self.start(command, r"running on http://127\.0\.0\.1:\d+", folder, PYTHONPATH=str(PACKAGES))
        self.port = int(ready.partition("1:")[2].split()[0])

    def __enter__(self) -> Uvicorn:
        return self

    def check_ended(self) -> None:
        """Check that it has exited because of the signal."""
        code = self.process.wait(PATIENCE)
        self._output.finish()
        assert code in (0, -signal.SIGTERM), "\n".join(self.lines)
