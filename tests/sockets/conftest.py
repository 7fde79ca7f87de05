"""Fixtures of the tests of `rfc6455_io`."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from io_loops import make_certificate
from io_threads import threads_end


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for TLS, of a server and of a client."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies from the environment."""
    for name in ("ws", "wss", "http", "https", "all", "socks", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_PROXY".upper(), raising=False)


@pytest.fixture
def all_threads_end() -> Iterator[None]:
    """Check that all threads that a test has started have ended after it."""
    with threads_end():
        yield
