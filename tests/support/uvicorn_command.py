"""An app of a framework, run as its users run it: `uvicorn --ws CLASS MODULE:app`, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from child import Output, Talkative
from programs import PATIENCE

import rfc6455

# For `--ws`: our class, and uvicorn's that is built on `websockets`.
OURS = "rfc6455_io.uvicorn:Protocol"
THEIRS = "websockets-sansio"

# Where the package under test is: the source tree, or what is installed.
PACKAGES = Path(rfc6455.__file__).parents[1]


class Uvicorn(Talkative):
    """uvicorn with its defaults, on a free port.

    :param app: ``module:app``, in the folder.
    :param ws: what ``--ws`` gets.
    """

    def __init__(self, app: str, folder: Path, ws: str) -> None:
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), "--port", "0", "--ws", ws, app]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": str(PACKAGES), "PYTHONIOENCODING": "utf-8"},
        )
        self._output = Output(self.process, PATIENCE)
        try:
            self.port = int(self.wait_for(r"running on http://127\.0\.0\.1:\d+").partition("1:")[2].split()[0])
        except AssertionError:
            self.kill()
            raise

    def __enter__(self) -> Uvicorn:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._output.finish()

    def check_ended(self) -> None:
        """Check that it ended by itself, because of the signal that it was sent."""
        code = self.process.wait(PATIENCE)
        self._output.finish()
        assert code in (0, -signal.SIGTERM), "\n".join(self.lines)
