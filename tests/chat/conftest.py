"""Fixtures of the chat's tests. This also makes the chat's modules importable, which are not a package."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import CHAT, ChatServer, missing
from redis_server import Redis

sys.path.append(str(CHAT))


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A server with the default settings, which must survive the test."""
    with ChatServer() as chat:
        yield chat
        assert chat.stop() == 0
        assert not chat.logged("Traceback")


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ChatServer]:
    """One server for many small cases."""
    with ChatServer() as chat:
        yield chat
        assert chat.stop() == 0
        assert not chat.logged("Traceback")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    if shutil.which("redis-server") is None:
        missing("redis-server")
    if importlib.util.find_spec("redis") is None:
        missing("the redis package")
    directory = tmp_path / "redis"
    directory.mkdir()
    server = Redis(directory)
    with server.reserved:
        server.start()
        yield server
        server.kill()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        missing("openssl")
    directory = tmp_path_factory.mktemp("tls")
    cert, key = directory / "cert.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return cert, key
