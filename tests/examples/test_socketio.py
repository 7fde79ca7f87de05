"""python-socketio on `rfc6455_io.uvicorn`, with the client that its users have: `socket.io-client` from npm.

This client begins with HTTP and then switches to a WebSocket, unless it is told to begin with one. As in
`test_frameworks.py`, the same assertions also hold for uvicorn's own class.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("socketio")

from chat_server import missing
from programs import PATIENCE, ROOT
from uvicorn_command import OURS, THEIRS, Uvicorn

APPS = Path(__file__).parent / "frameworks"
CLIENT = APPS / "socketio_client.mjs"


@pytest.fixture(scope="module", params=[OURS, THEIRS], ids=["ours", "theirs"])
def server(request: pytest.FixtureRequest) -> Iterator[Uvicorn]:
    with Uvicorn("socketio_app:app", APPS, request.param) as server:
        yield server


def run_client(server: Uvicorn, options: dict[str, Any]) -> Any:
    node = shutil.which("node") or missing("node")
    if not (ROOT / "node_modules" / "socket.io-client").is_dir():
        missing("socket.io-client (npm install --no-save socket.io-client)")
    command = [node, str(CLIENT), str(server.port), json.dumps(options)]
    finished = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=PATIENCE)
    assert (finished.stderr, finished.returncode) == ("", 0), "\n".join(server.lines)
    return json.loads(finished.stdout)


@pytest.mark.parametrize("options", [{}, {"transports": ["websocket"]}], ids=["upgraded", "websocket"])
def test_a_session_of_the_client(server: Uvicorn, options: dict[str, Any]) -> None:
    count = len(server.logged("^disconnected: client disconnect$"))
    assert run_client(server, options) == {
        "transport": "websocket",
        "seenByServer": "websocket",
        "ack": ["häßlich 🙂", {"bytes": [0, 255]}, {"n": 1}],
        "echo": ["häßlich 🙂", {"bytes": [0, 255]}, {"n": 1}],
        "large": [[200_000, 200_000], [1, 1], [50_000, 50_000]],
        "inOrder": True,
        "afterFailure": ["still here"],
        "left": "io server disconnect",
        "refused": ["Who are you?", {"status": 401}],
    }
    server.wait_for("^disconnected: client disconnect$", count + 1)
    server.wait_for("ValueError: as asked")
