"""The chat's server as a process that the browser tests start, stop and kill, and that keeps its port."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from csp import PAGE
from ports import keep_port

ROOT = Path(__file__).resolve().parents[2]
SERVER = PAGE.with_name("server.py")


class ChatServer:
    """The chat's server in a process, on a port that it keeps through restarts."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.port, self._kept = keep_port()

    def start(self) -> None:
        command = [sys.executable, str(SERVER), "--host", "127.0.0.1", "--port", str(self.port), *self.arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        self.output = self.process.stdout
        self.wait_until_it_listens()
        # The log goes on: somebody must read it, or the server stands still when the pipe is full.
        self.reader = threading.Thread(target=self.output.read)
        self.reader.start()

    def wait_until_it_listens(self) -> None:
        said = ""
        for line in self.output:
            if f"http://127.0.0.1:{self.port}/" in line:
                return
            said += line
        raise AssertionError(f"the server ended without its address:\n{said}")

    def stop(self) -> None:
        """Stop as for a restart: the clients are told."""
        self.process.terminate()
        self.ended()

    def kill(self) -> None:
        """Stop as a crash does."""
        self.process.kill()
        self.ended()

    def close(self) -> None:
        """End it for good, if it still runs."""
        self.kill()
        self._kept.close()

    def ended(self) -> None:
        self.process.wait(timeout=60)
        self.reader.join()
        self.output.close()

    def page(self, room: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{room}"

    def page_from_disk(self, room: str = "") -> str:
        return f"{PAGE.as_uri()}?server=ws://127.0.0.1:{self.port}&room={room}"
