"""The ticker and its client as programs."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request

import pytest
from programs import EXAMPLES, PATIENCE, Peer, Program

CLIENT = [sys.executable, str(EXAMPLES / "client.py")]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_prices_until_the_server_restarts() -> None:
    with Program("ticker.py", "--seconds", "0.01") as server:
        client = subprocess.Popen([*CLIENT, server.uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert client.stdout is not None
            assert client.stderr is not None
            prices = [float(client.stdout.readline()) for _ in range(20)]
            assert len(set(prices)) > 10
            server.stop()
            assert "code 1012" in client.stderr.readline()
        finally:
            client.kill()
            client.communicate(timeout=PATIENCE)


def test_who_has_no_token_stays_outside() -> None:
    with Program("ticker.py") as server:
        environment = {**os.environ, "TOKEN": "wrong"}
        finished = subprocess.run(
            [*CLIENT, server.uri], env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert finished.returncode == 1
        assert "401" in finished.stderr.splitlines()[-1]
        with Peer(server.port) as peer:
            peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\r\n\r\n")
            assert peer.head().startswith("HTTP/1.1 401 ")
        with urllib.request.urlopen(server.uri.replace("ws:", "http:") + "health", timeout=PATIENCE) as answer:
            assert answer.read() == b"fine\n"
        server.stop()


@pytest.mark.parametrize(("program", "words"), [("client.py", "TOKEN=secret python"), ("ticker.py", "set TOKEN")])
def test_what_is_missing_is_said(program: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN")
    command = [sys.executable, str(EXAMPLES / program)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert finished.returncode != 0
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(("name", "most"), [("ticker.py", 60), ("client.py", 27)])
def test_they_are_short(name: str, most: int) -> None:
    lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines) <= most
