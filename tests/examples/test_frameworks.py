"""Frameworks on `rfc6455_io.uvicorn`: FastAPI, Litestar, Quart and Django Channels, each with a small app.

The apps are in `frameworks/`. Each is run by uvicorn as its users run it, on our class and on one of uvicorn's own, so
that the assertions reflect the real behaviour of the framework. The client is `websockets`.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("uvicorn")

import websockets.sync.client as client
from programs import PATIENCE
from uvicorn_command import OURS, THEIRS, Uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus

APPS = Path(__file__).parent / "frameworks"


class Framework(NamedTuple):
    """A framework, and how its app behaves on any server."""

    refused: tuple[int, bytes]
    """What a refused client is answered: an empty 403 where the framework has no way to say more."""
    broken: int
    """The status if the handler fails before it accepts."""
    failed: int
    """The close code if the handler fails later; 1006 means that no Close frame came."""
    told: str
    """What the app is told of a client that closes with 4002 and "bye"."""
    lost: str
    """What it is told of one that is lost; uvicorn's own classes say 1005 or, if it was reset, 1006."""


FRAMEWORKS = {
    "fastapi": Framework((401, b'{"detail":"Who are you?"}'), 500, 1006, "closed: 4002 bye", "closed: 100[56] "),
    "litestar": Framework((403, b""), 403, 4500, "closed: 4002 bye", "closed: 100[56] "),
    "quart": Framework((401, b"Who are you?"), 500, 1000, "closed", "closed"),
    "channels": Framework((403, b""), 500, 1006, "closed: 4002", "closed: 100[56]"),
}


@pytest.fixture(scope="module", params=[OURS, THEIRS], ids=["ours", "theirs"])
def ws_class(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=FRAMEWORKS)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(scope="module")
def framework(name: str) -> Framework:
    return FRAMEWORKS[name]


@pytest.fixture(scope="module")
def server(name: str, ws_class: str) -> Iterator[Uvicorn]:
    with Uvicorn(f"{name}_app:app", APPS, ws_class) as server:
        yield server


def connect(server: Uvicorn, path: str, **options: Any) -> Any:
    host = f"127.0.0.1:{server.port}"
    options = {"origin": f"http://{host}", "proxy": None, **options}
    return client.connect(f"ws://{host}{path}", open_timeout=PATIENCE, close_timeout=PATIENCE, **options)


@contextmanager
def told(server: Uvicorn, line: str) -> Iterator[None]:
    """Wait until the app has said so, once more than before."""
    count = len(server.logged(f"^{line}$"))
    yield
    server.wait_for(f"^{line}$", count + 1)


def end_of(ws: Any) -> tuple[int | None, str | None]:
    """Read to the end."""
    with pytest.raises(ConnectionClosed):
        ws.recv(PATIENCE)
    return ws.close_code, ws.close_reason


def test_messages_come_back_in_order(server: Uvicorn) -> None:
    messages = ["hello", b"\x00\xff", "häßlich 🙂", "x" * 300_000, bytes(300_000), *map(str, range(100))]
    with connect(server, "/echo") as ws:
        for message in messages:
            ws.send(message)
        assert [ws.recv(PATIENCE) for _ in messages] == messages


def test_the_app_chooses_the_subprotocol(server: Uvicorn) -> None:
    with connect(server, "/echo", subprotocols=["other", "chat"]) as ws:
        assert ws.subprotocol == "chat"
        ws.send("hello")
        assert ws.recv(PATIENCE) == "hello"
    with connect(server, "/echo", subprotocols=["other"]) as ws:
        assert ws.subprotocol is None


def test_the_app_refuses(server: Uvicorn, framework: Framework) -> None:
    with pytest.raises(InvalidStatus) as info:
        connect(server, "/refused")
    assert (info.value.response.status_code, info.value.response.body) == framework.refused


def test_the_app_fails_before_it_accepts(server: Uvicorn, framework: Framework) -> None:
    with pytest.raises(InvalidStatus) as info:
        connect(server, "/broken")
    assert info.value.response.status_code == framework.broken


def test_the_app_closes(server: Uvicorn) -> None:
    with connect(server, "/echo") as ws:
        ws.send("close")
        assert end_of(ws) == (4001, "as asked")


def test_the_client_closes(server: Uvicorn, framework: Framework) -> None:
    with told(server, framework.told), connect(server, "/echo") as ws:
        ws.close(4002, "bye")
        assert (ws.close_code, ws.close_reason) == (4002, "bye")


def test_the_client_is_lost(server: Uvicorn, framework: Framework) -> None:
    with told(server, framework.lost), connect(server, "/echo") as ws:
        ws.socket.shutdown(socket.SHUT_RDWR)


def test_the_app_fails(server: Uvicorn, framework: Framework) -> None:
    with connect(server, "/echo") as ws:
        ws.send("fail")
        assert end_of(ws)[0] == framework.failed
    with connect(server, "/echo") as ws:
        ws.send("the next is served")
        assert ws.recv(PATIENCE) == "the next is served"


def test_the_server_is_stopped(name: str, ws_class: str) -> None:
    with Uvicorn(f"{name}_app:app", APPS, ws_class) as server, connect(server, "/echo") as ws:
        ws.send("hello")
        assert ws.recv(PATIENCE) == "hello"
        server.process.terminate()
        assert end_of(ws)[0] == 1012
        server.check_ended()


# What one of them has alone.


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/denied", 503, b"Try again later"), ("/forbidden", 403, b"")],
    ids=["denied", "closed"],
)
@pytest.mark.parametrize("name", ["fastapi"], scope="module", indirect=True)
def test_a_denial_response(server: Uvicorn, path: str, status: int, body: bytes) -> None:
    with pytest.raises(InvalidStatus) as info:
        connect(server, path)
    response = info.value.response
    assert (response.status_code, response.body) == (status, body)
    assert response.headers.get("Retry-After") == ("5" if status == 503 else None)


@pytest.mark.parametrize("name", ["litestar", "channels"], scope="module", indirect=True)
def test_json(server: Uvicorn) -> None:
    """Litestar's listener, and a consumer of Channels that runs in a thread."""
    with connect(server, "/add") as ws:
        for number in range(20):
            ws.send(json.dumps({"a": number, "b": 1}))
        assert [json.loads(ws.recv(PATIENCE)) for _ in range(20)] == [{"sum": number + 1} for number in range(20)]


@pytest.mark.parametrize("name", ["channels"], scope="module", indirect=True)
def test_a_message_to_all_through_the_channel_layer(server: Uvicorn) -> None:
    with connect(server, "/echo") as ann, connect(server, "/echo") as bob:
        for ws in (bob, ann):
            ws.send("hello")
            assert ws.recv(PATIENCE) == "hello"
        ann.send("all")
        assert (ann.recv(PATIENCE), bob.recv(PATIENCE)) == ("to all", "to all")
