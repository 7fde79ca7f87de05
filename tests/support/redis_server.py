"""A Redis server for the tests of the chat's bus."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_server import PATIENCE
from ports import keep_port


class Redis:
    """A Redis server that can die and come back, with its data or without."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.reserved = keep_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self, **more: str) -> None:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.directory,
            "save": "",
            "appendonly": "yes",
            **more,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen(
            ["redis-server", *words, "--appendfsync", "always"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        log = []
        for line in self.process.stdout:
            log.append(line)
            if "Ready to accept connections" in line:
                return
        pytest.fail("Redis did not start:\n" + "".join(log))

    @contextmanager
    def client(self, **more: Any) -> Iterator[Any]:
        """Yield a client of it, as a person at a console would use."""
        from redis import Redis as Client

        client = Client.from_url(self.url, decode_responses=True, **more)
        yield client
        client.close()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Make it hang meanwhile."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        yield
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def forget(self) -> None:
        shutil.rmtree(self.directory)
        self.directory.mkdir()
