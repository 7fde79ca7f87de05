"""Histories that outlive the server, TLS, compression, origins, and monitoring."""

from __future__ import annotations

import json
import os
import socket
import ssl
from pathlib import Path

import pytest
from chat_server import PATIENCE, ChatServer, Client, wait_until

import rfc6455

# History


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_history_outlives_the_server(tmp_path: Path, end: str) -> None:
    """What was delivered to anybody is in the history after the server was killed."""
    stop_soon = ("--stop-timeout", "0.2")  # nobody here answers its Close frame
    with ChatServer("--history", str(tmp_path / "history.db"), "--history-lines", "50", *stop_soon) as server:
        with server.client("Cy", "/b") as cy, server.client(room="/b") as dee:
            cy.say("in the other room")
            dee.said(1)
        with server.client("Ann", "/a") as ann, server.client(room="/a") as bob:
            ann.say(*range(250))
            lines = bob.said(200)
            getattr(server, end)()
            while isinstance(event := last_words(bob), rfc6455.TextMessage):
                lines.append(event.text)
        server.start()
        lines = [line for line in lines if not line.startswith("* ")]
        with server.client(room="/a") as again, server.client(room="/b") as other:
            # More may have been stored than was seen, never less.
            assert len(again.history) == 50
            last = int(again.history[-1].removeprefix("Ann: "))
            assert last >= int(lines[-1].removeprefix("Ann: "))
            assert again.history == [f"Ann: {number}" for number in range(last - 49, last + 1)]
            assert other.history == ["Cy: in the other room"]


def last_words(client: Client) -> rfc6455.Event | None:
    """What still comes from a server that was killed."""
    try:
        return client.event()
    except OSError:
        return None


def test_a_history_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"no database" * 1000)
    with pytest.raises(AssertionError, match=r"Cannot start: --history .*history.db: file is not a database"):
        ChatServer("--history", str(tmp_path / "history.db")).start()


# TLS


@pytest.fixture
def secure(certificate: tuple[Path, Path]):  # type: ignore[no-untyped-def]
    cert, key = certificate
    with ChatServer("--cert", str(cert), "--key", str(key), "--open-timeout", "3") as server:
        yield server
        assert server.stop() == 0
        assert not server.logged("Traceback")


def secure_client(server: ChatServer, certificate: tuple[Path, Path], name: str = "") -> Client:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    sock = context.wrap_socket(server.connect(), server_hostname="localhost")
    return Client(sock, f"wss://localhost:{server.port}/", name)


@pytest.mark.clause("6455:7.1.1-closes-cleanly", "6455:10.6-tls-is-supported")
def test_tls(secure: ChatServer, certificate: tuple[Path, Path]) -> None:
    assert secure.lines[0].startswith("The chat is at https://")
    with secure_client(secure, certificate, "Ann") as ann, secure_client(secure, certificate, "Bob") as bob:
        for number in range(100):
            ann.say(number, "x" * 10_000)
            bob.say(number)
        assert len(ann.said(100)) == 100
        assert [len(line) for line in bob.said(200)[1::2]] == [10_005] * 100
        assert bob.close().clean
        assert ann.text() == "* Bob left"
        # The end is said in TLS as well, so that nobody can cut the connection and pretend it was us.
        ann.ws.close()
        ann.send()
        assert ann.closed().clean
        assert ann.sock.recv(1) == b""


def test_what_is_no_tls(secure: ChatServer, certificate: tuple[Path, Path]) -> None:
    with secure_client(secure, certificate, "Ann") as ann, secure_client(secure, certificate) as bob:
        secure.ask(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        secure.wait_for("event=refused .* reason=HTTP_REQUEST")
        secure.ask(bytes(range(256)))
        with secure_client(secure, certificate) as eve:
            plain = socket.socket(fileno=os.dup(eve.sock.fileno()))
            with plain:
                plain.settimeout(PATIENCE)
                plain.sendall(b"\x17\x03\x03\0\x20" + bytes(32))  # a record that is not encrypted
                secure.wait_for('event=disconnect .* code=1006 reason="TLS: ')
        assert len(secure.logged("event=refused")) == 2
        assert secure.ask(b"\x16\x03\x01\x02\0\1\0") == b""  # half a hello: cut when the time is over
        ann.say("still here")
        assert bob.said(1) == ["Ann: still here"]


def test_a_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"Cannot start: --cert .*none.pem: No such file"):
        ChatServer("--cert", str(tmp_path / "none.pem")).start()


# Compression


def test_lines_are_compressed_for_those_who_can(shared_server: ChatServer) -> None:
    deflate = [rfc6455.PerMessageDeflate()]
    with (
        shared_server.client("Ann", "/deflate", extensions=deflate) as ann,
        shared_server.client(room="/deflate", extensions=deflate) as bob,
        shared_server.client(room="/deflate") as cy,
    ):
        assert ann.ws.extensions
        assert not cy.ws.extensions
        for number in range(20):
            ann.say(number, "long words " * 500)
            cy.send(f"Cy: {number}", "Cy: " + "more words " * 500)
        expected = [line for number in range(20) for line in (f"Ann: {number}", "Ann: " + "long words " * 500)]
        assert cy.said(40) == expected
        assert [line for line in bob.said(80) if line.startswith("Ann: ")] == expected
        assert bob.ws.bytes_received < 40_000 < cy.ws.bytes_received


BAD_OFFERS = ["bogus", "client_max_window_bits=7", "client_max_window_bits=99", "server_max_window_bits"]
BAD_OFFERS += ["server_no_context_takeover; server_no_context_takeover", 'client_max_window_bits="0"']


@pytest.mark.clause("7692:5-declined-is-not-named")
@pytest.mark.parametrize("offer", BAD_OFFERS)
def test_an_offer_that_makes_no_sense_is_declined(shared_server: ChatServer, offer: str) -> None:
    answer = shared_server.ask(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; " + offer.encode() + b"\r\n\r\n\x88\x80\0\0\0\0"
    )
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Extensions" not in answer


def test_bad_compressed_data_ends_in_1007(shared_server: ChatServer) -> None:
    with shared_server.client(extensions=[rfc6455.PerMessageDeflate()]) as client:
        frame = rfc6455.Frame(rfc6455.Opcode.TEXT, b"\xff\xff\xff\xff", rsv=4)
        client.sock.sendall(rfc6455.serialize_frame(frame, b"1234"))
        assert client.closed().code == 1007


def test_without_compression() -> None:
    with ChatServer("--no-deflate") as server, server.client(extensions=[rfc6455.PerMessageDeflate()]) as client:
        assert not client.ws.extensions


# Monitors


def test_health(shared_server: ChatServer) -> None:
    status, headers, body = shared_server.get("/health")
    assert status == 200
    assert headers["content-type"] == "application/json"
    state = json.loads(body)
    assert state["status"] == "ok"
    assert state["clients"] >= 0


def test_metrics() -> None:
    with ChatServer() as server, server.client() as bob, server.client() as cy, server.client("Ann") as ann:
        ann.say(*range(10))
        for client in (bob, cy):
            assert client.said(11, bool)[-1] == "Ann: 9"
        server.ask(b"nonsense\r\n\r\n")
        server.wait_for("event=refused")
        with server.client(room="/quiet") as inventive:
            inventive.ws.close(4321)
            inventive.sock.sendall(inventive.ws.data_to_send())
            inventive.closed()
            server.wait_for("event=disconnect")
        ann.close()
        for client in (bob, cy):
            assert client.said(1, bool) == ["* Ann left"]
        # Four greetings of two lines; for two, that Ann joined, ten lines, that she left. Counted once it is sent.
        wait_until(lambda: "chat_delivered_lines_total 32\n" in server.get("/metrics")[2], "the last line is counted")
        status, headers, body = server.get("/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = dict(line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
    assert values['chat_connections_total{as="client"}'] == "4"
    assert values['chat_connections_total{as="refused"}'] == "1"
    assert values['chat_closes_total{code="1000"}'] == values['chat_closes_total{code="other"}'] == "1"
    assert values["chat_received_messages_total"] == "11"  # a name and ten lines
    assert values["chat_delivered_lines_total"] == "32"
    assert values["chat_rooms"] == "1"
    assert int(values["chat_sent_bytes_total"]) > 500
    assert int(values["chat_received_bytes_total"]) > 11 * 10
    assert values['chat_fan_out_seconds_bucket{le="+Inf"}'] == values["chat_fan_out_seconds_count"]
    assert float(values["chat_fan_out_seconds_sum"]) > 0
