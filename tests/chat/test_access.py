"""The names that the chat is served under, and the pages that may connect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import ChatServer

import rfc6455

REQUEST = (
    b"GET /%s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x88\x80\0\0\0\0"
)


def asking(origin: str | None, host: str) -> rfc6455.Request:
    fields = {"Host": host, "Origin": origin, "Upgrade": "websocket", "Connection": "Upgrade"}
    return rfc6455.Request(
        "GET", "/", rfc6455.Headers({name: value for name, value in fields.items() if value is not None})
    )


def status(origin: str | None, asked: str, **settings: Any) -> int | None:
    """Return the status with which such a request is refused, if it is."""
    from service.access import refusal_of
    from service.settings import Settings

    refusal = refusal_of(asking(origin, asked), Settings(**settings))
    return None if refusal is None else refusal.status


# Names. DNS rebinding: the owner of evil.example points that name to 127.0.0.1.

OURS = ["localhost", "LOCALHOST", "localhost.", "localhost:8765", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8765"]
NOT_OURS = ["evil.example", "evil.example:8765", "localhost.evil.example", "evil-localhost", "0.0.0.0:8765", "[::2]:1"]
NOT_OURS += ["127.0.0.2", "xn--lcalhost-bdb", "127.1", "localhost..", "2130706433"]


@pytest.mark.parametrize("here", ["localhost", "127.0.0.1", "::1"])
@pytest.mark.parametrize("host", OURS)
def test_a_server_on_loopback_has_the_names_of_loopback(here: str, host: str) -> None:
    assert status(None, host, hosts=(here,)) is None
    assert status(f"http://{host}", host, hosts=(here,)) is None


@pytest.mark.parametrize("host", NOT_OURS)
def test_a_server_on_loopback_has_no_other_name(host: str) -> None:
    for origin in (None, f"http://{host}", "null"):
        assert status(origin, host) == 421
        assert status(origin, host, allow_host=["friend.example"]) == 421


def test_any_address_of_loopback_is_loopback() -> None:
    assert status(None, "127.0.0.2:8765", hosts=("127.0.0.2",)) is None
    assert status(None, "evil.example", hosts=("127.0.0.2",)) == 421


def test_a_server_for_others_has_any_name() -> None:
    for host in ("chat.example", "192.0.2.1:8765", "localhost"):
        assert status(None, host, hosts=("0.0.0.0",)) is None


def test_names_can_be_added() -> None:
    for name in ("chat.example", "Chat.Example.", "192.0.2.1", "2001:db8::1", "[2001:db8::1]"):
        host = f"[{name}]" if name.startswith("2001") else name
        for more in ("", ":8765"):
            assert status(None, host + more, allow_host=["other.example", name]) is None
    assert status(None, "localhost", allow_host=["chat.example"]) is None
    # Where any name would do, one that is given makes a list of them.
    assert status(None, "chat.example", hosts=("0.0.0.0",), allow_host=["chat.example"]) is None
    assert status(None, "evil.example", hosts=("0.0.0.0",), allow_host=["chat.example"]) == 421


def test_a_name_that_cannot_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    from service.settings import parse

    for name in ("chat.example:80", "http://chat.example", "*.example", "a b", "", "chat.example/x", "user@x"):
        with pytest.raises(SystemExit):
            parse(["--allow-host", name])
        assert "name or address without a port" in capsys.readouterr().err
    assert parse(["--allow-host", "A.example.", "--allow-host", "::1"]).allow_host == ["A.example.", "::1"]


@pytest.mark.parametrize(
    "host", ["Chat.example:80", "[::ffff:127.0.0.1]:80", "[FE80::1]", "127.1", "x_y.", "x..", "x:99999"]
)
def test_what_a_421_says_can_be_passed(host: str) -> None:
    from service.access import refusal_of
    from service.settings import Settings, parse

    request = asking(None, host)
    refusal = refusal_of(request, Settings())
    assert refusal is not None
    advice = re.search(r"start it with --allow-host (\S+)\.\n", refusal.body)
    assert (advice is None) == (host in ("x..", "x:99999"))  # which no browser asks for
    if advice is not None:
        assert refusal_of(request, parse(["--allow-host", advice[1]])) is None


def test_an_origin_is_as_browsers_write_it() -> None:
    from service.settings import parse

    written = ["HTTPS://Friend.Example:443", "http://[::1]:80", "https://x:80", "null"]
    settings = parse([word for origin in written for word in ("--allow-origin", origin)])
    assert settings.allow_origin == ["https://friend.example", "http://[::1]", "https://x:80", "null"]


@pytest.fixture(scope="module")
def rebound() -> Iterator[ChatServer]:
    with ChatServer("--allow-host", "friend.example") as server:
        yield server


@pytest.mark.parametrize("path", ["", "club", "health", "metrics", "a/b"])
def test_nothing_is_served_under_another_name(rebound: ChatServer, path: str) -> None:
    got, _, body = rebound.get(f"/{path}", Host="evil.example:8765")
    assert got == 421
    assert body.endswith("start it with --allow-host evil.example.\n")
    evil = rebound.ask(REQUEST % (path.encode(), b"evil.example:8765", b"http://evil.example:8765"))
    assert evil.startswith(b"HTTP/1.1 421 ")
    rebound.wait_for("event=refused .* status=421 reason=host value=evil.example:8765")
    friend = rebound.ask(REQUEST % (b"club", b"friend.example", b"http://friend.example"))
    assert friend.startswith(b"HTTP/1.1 101 ")


def test_a_monitor_need_not_know_the_name(rebound: ChatServer) -> None:
    """As HAProxy's checks are by default."""
    assert rebound.ask(b"GET /health HTTP/1.0\r\n\r\n")[:12] == b"HTTP/1.1 200"
    assert rebound.ask(b"OPTIONS / HTTP/1.0\r\n\r\n")[:12] == b"HTTP/1.1 200"


# Pages


@pytest.mark.parametrize(
    ("origin", "here", "elsewhere"),
    [
        (None, True, True),
        ("http://localhost:8765", True, True),
        ("https://localhost:8765", True, True),
        ("http://localhost", False, False),
        ("http://evil-localhost:8765", False, False),
        ("http://localhost:8765.evil", False, False),
        ("http://friend.example", True, True),
        ("https://friend.example", False, False),
        ("null", True, False),
        ("", False, False),
    ],
)
def test_which_pages_may_connect(origin: str | None, here: bool, elsewhere: bool) -> None:
    friends = ["http://friend.example"]
    for host, welcome in (("localhost", here), ("0.0.0.0", elsewhere)):
        assert status(origin, "localhost:8765", hosts=(host,), allow_origin=friends) == (None if welcome else 403)


def test_pages_from_disk_can_be_kept_out() -> None:
    assert status("null", "localhost", allow_null=False) == 403
    assert status("null", "localhost", allow_null=False, allow_origin=["null"]) is None
    assert status("http://localhost", "localhost", allow_null=False) is None
    with ChatServer("--no-null") as server:
        got = server.ask(REQUEST % (b"", b"localhost", b"null"))
        assert got.startswith(b"HTTP/1.1 403 ")
        assert got.endswith(
            b"Pages of the origin null may not connect here; to allow them, start it with --allow-origin null.\n"
        )
