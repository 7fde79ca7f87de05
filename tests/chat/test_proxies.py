"""The chat behind a proxy: the client's address, which proxies are trusted, and the path of the chat."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import ChatServer, Client

import rfc6455

OURS = ["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"]


def caller(fields: list[tuple[str, str]], peer: str = "127.0.0.1", **settings: Any) -> tuple[str, str]:
    """Who asks: address and name."""
    from service.proxies import caller_of
    from service.settings import Settings

    trusted = [ipaddress.ip_network(text) for text in OURS]
    request = rfc6455.Request("GET", "/", rfc6455.Headers(fields))
    found = caller_of(request, peer, Settings(trust_proxy=trusted, **settings))
    return found.address, found.user


X_FORWARDED_FOR: dict[str, str] = {
    "": "127.0.0.1",
    "192.0.2.1": "192.0.2.1",
    "192.0.2.1, 192.0.2.2": "192.0.2.2",  # the first was written by the second, whoever that is
    "192.0.2.1, 10.1.2.3": "192.0.2.1",
    "6.6.6.6, 192.0.2.1, 10.1.2.3, 10.1.2.4": "192.0.2.1",
    "10.1.2.3, 10.1.2.4": "10.1.2.3",
    "192.0.2.1:4711": "192.0.2.1",
    "[2001:db9::1]:4711": "2001:db9::1",
    "2001:db9::1": "2001:db9::1",
    "2001:db9::1, 2001:DB8::0001": "2001:db9::1",
    "::ffff:192.0.2.1": "192.0.2.1",
    "unknown": "127.0.0.1",
    "192.0.2.1, unknown": "127.0.0.1",
    "192.0.2.1, unknown, 10.0.0.1": "10.0.0.1",
    "192.0.2.1,": "192.0.2.1",
    "192.0.2.1,, 10.0.0.1 ": "192.0.2.1",
    "192.0.2.300": "127.0.0.1",
    "evil\"'<>": "127.0.0.1",
}


@pytest.mark.parametrize("value", X_FORWARDED_FOR)
def test_x_forwarded_for(value: str) -> None:
    assert caller([("X-Forwarded-For", value)])[0] == X_FORWARDED_FOR[value]


FORWARDED: dict[str, str] = {
    "for=192.0.2.1": "192.0.2.1",
    "For=192.0.2.1;proto=https;by=10.0.0.1": "192.0.2.1",
    "proto=https ; for=192.0.2.1": "192.0.2.1",
    'for="[2001:db9::1]:4711"': "2001:db9::1",
    'for="192.0.2.1:80", for=10.0.0.1': "192.0.2.1",
    "for=192.0.2.1, for=192.0.2.2": "192.0.2.2",
    "for=192.0.2.1, proto=https": "127.0.0.1",
    "for=unknown": "127.0.0.1",
    "for=_hidden, for=10.0.0.7": "10.0.0.7",
    'for="6.6.6.6, for=192.0.2.1': "192.0.2.1",  # a quote that is not closed swallows nothing
    'for="6.6.6.6, for="[2001:db9::1]"': "2001:db9::1",
    'for=6.6.6.6;x="\\", for=192.0.2.1': "192.0.2.1",
    "": "127.0.0.1",
}


@pytest.mark.parametrize("value", FORWARDED)
def test_forwarded(value: str) -> None:
    assert caller([("Forwarded", value)], forwarded="forwarded")[0] == FORWARDED[value]


def test_headers_that_come_twice_are_one() -> None:
    assert caller([("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "10.0.0.1")])[0] == "192.0.2.1"


def test_only_the_header_that_is_configured_counts() -> None:
    both = [("Forwarded", "for=192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")]
    assert caller(both)[0] == "192.0.2.2"
    assert caller(both, forwarded="forwarded")[0] == "192.0.2.1"


@pytest.mark.parametrize("peer", ["192.0.2.9", "2001:db9::9", "::ffff:192.0.2.9"])
def test_what_others_say_does_not_count(peer: str) -> None:
    fields = [("X-Forwarded-For", "192.0.2.1"), ("X-User", "Ann")]
    assert caller(fields, peer, user_header="x-user") == (peer, "")


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.9.9.9", "2001:db8::9", "::ffff:10.0.0.1"])
def test_which_proxies_are_trusted(peer: str) -> None:
    assert caller([("X-Forwarded-For", "192.0.2.1")], peer)[0] == "192.0.2.1"


def test_a_network_of_ipv4_may_be_written_as_ipv6() -> None:
    from service.settings import parse

    for written in ("::ffff:10.0.0.0/104", "::ffff:127.0.0.1", "10.0.0.0/8", "2001:db8::/32"):
        (network,) = parse(["--trust-proxy", written]).trust_proxy
        assert str(network) in ("10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["Ann"], "Ann"),
        ([], ""),
        (["Ann", "Bob"], ""),  # the client has sent one, and the proxy has not taken it out
        (["Zo\u00e9".encode().decode("latin-1")], "Zo\u00e9"),
        (["* Ann: x, y"], "Ann x y"),
        (["\u200b"], ""),
    ],
)
def test_names_that_a_proxy_vouches_for(values: list[str], name: str) -> None:
    assert caller([("X-User", value) for value in values], user_header="x-user")[1] == name


# On sockets


@pytest.fixture
def behind() -> Iterator[ChatServer]:
    switches = ("--trust-proxy", "127.0.0.0/8", "--address-connections", "2", "--path", "/chat/")
    with ChatServer(*switches) as server:
        yield server
        assert not server.logged("Traceback|event=failure")


def client(server: ChatServer, headers: dict[str, str], name: str = "", path: str = "/chat/") -> Client:
    sock = server.connect()
    try:
        return Client(sock, f"ws://127.0.0.1:{server.port}{path}", name, headers=headers)
    except rfc6455.HandshakeError:
        sock.close()
        raise


def test_limits_are_those_of_the_client_behind_the_proxy(behind: ChatServer) -> None:
    ann = {"X-Forwarded-For": "192.0.2.1"}
    with client(behind, ann, "Ann"), client(behind, ann):
        behind.wait_for(r'event=connect client=\d+ peer="192.0.2.1 via 127.0.0.1:\d+" room=/$')
        with client(behind, {"X-Forwarded-For": "192.0.2.2"}, "Bob") as bob:
            with pytest.raises(rfc6455.HandshakeError) as refused:
                client(behind, ann)
            assert refused.value.status == 503
            behind.wait_for('event=refused .*status=503 reason=busy value="too many connections from this address"')
            bob.close()
        behind.wait_for("event=disconnect .*192.0.2.2")
    assert behind.get("/chat/metrics", **{"X-Forwarded-For": "192.0.2.3"})[2].count('reason="busy"} 1\n') == 1


def test_the_chat_is_below_its_path(behind: ChatServer) -> None:
    assert behind.lines[0].endswith("/chat/ (Ctrl-C ends it)")
    behind.kill()
    behind.start("--address-connections", "0")
    status, headers, _ = behind.get("/chat")
    assert (status, headers["location"]) == (308, "/chat/")
    for path in ("/chat/", "/chat/club", "/chat/health", "/chat/metrics"):
        assert behind.get(path)[0] == 200, path
    for path in ("/", "/club", "/health", "/chatter", "/chat/a/b", "/chat//"):
        assert behind.get(path)[0] == 404, path
    with client(behind, {}, path="/chat/club") as ann:
        behind.wait_for("event=connect .*room=/club$")
        ann.close()


def test_a_person_has_the_name_that_the_proxy_vouches_for() -> None:
    with ChatServer("--trust-proxy", "127.0.0.1", "--user-header", "X-User") as server:
        with client(server, {"X-User": "Ann"}, path="/") as ann, client(server, {"X-User": "Bob"}, path="/") as bob:
            assert [ann.text(), ann.text(), bob.text()] == ["* name Ann", "* Bob joined", "* name Bob"]
            for said in ("Bob: it is me", "* name Bob", "Ann: it is me", "without a name", "*", "Eve: as Ann"):
                ann.send(said)
            assert bob.said(4, bool) == ["Ann: it is me", "Ann: it is me", "Ann: without a name", "Ann: as Ann"]
            bob.close()
            assert ann.text() == "* Bob left"
        for headers in ({}, {"X-User": "A" * 41}):
            with pytest.raises(rfc6455.HandshakeError) as refused:
                client(server, headers, path="/")
            assert refused.value.status == 403
            assert refused.value.response is not None
            assert b"a name of at most 40 letters" in refused.value.response.body
        decomposed = ("e\u0301" * 40).encode().decode("latin-1")
        with client(server, {"X-User": decomposed}, path="/") as eve:
            assert eve.text() == "* name " + "\xe9" * 40
        server.wait_for("event=refused .*status=403 reason=user")
        assert server.get("/")[0] == 200


def test_what_needs_a_proxy(capsys: pytest.CaptureFixture[str]) -> None:
    from service.settings import parse

    for switches in (["--user-header", "X-User"], ["--forwarded", "forwarded"]):
        with pytest.raises(SystemExit):
            parse(switches)
        assert "--trust-proxy" in capsys.readouterr().err
    for switches in (["--trust-proxy", "10.0.0.1/8"], ["--trust-proxy", "proxy.example"], ["--path", "chat"]):
        with pytest.raises(SystemExit):
            parse(switches)
        assert "invalid" in capsys.readouterr().err


# Where it listens


def test_several_addresses() -> None:
    switches = ("--host", "127.0.0.2", "--host", "127.0.0.1", "--host", "localhost")
    with ChatServer(*switches) as server:
        for server.host in ("127.0.0.1", "127.0.0.2", "::1"):
            assert server.get("/health")[0] == 200


@pytest.mark.parametrize(
    "switches",
    [("--host", "::"), ("--host", "0.0.0.0", "--host", "::", "--host", "localhost")],
    ids=["one", "several"],
)
def test_both_families(switches: tuple[str, ...]) -> None:
    """Besides 127.0.0.1, which must not be taken twice."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine is without IPv6")
    with ChatServer(*switches) as server:
        for server.host in ("127.0.0.1", "::1"):
            assert server.ask(b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
