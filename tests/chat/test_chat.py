"""The chat over real sockets: lines reach all the others, whatever else is going on."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack

import pytest
from chat_server import RESET, ChatServer, Client, frame

CLIENTS = 10
MESSAGES = 200

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def handshaken(server: ChatServer, **options: int) -> socket.socket:
    """A socket that has joined the room `/` and read nothing but the answer's first bytes."""
    sock = server.connect(**options)
    sock.sendall(REQUEST)
    assert sock.recv(12) == b"HTTP/1.1 101"
    return sock


def bad_company(server: ChatServer) -> list[socket.socket]:
    """Clients that lie, stop half-way, vanish, or never read."""
    garbage = server.connect()
    garbage.sendall(bytes(range(256)) * 16)
    half_open = server.connect()
    half_open.sendall(b"GET / HTTP/1.1\r\nHost: loc")
    lying = handshaken(server)
    lying.sendall(b"\xff" * 1000)
    half_frame = handshaken(server)
    half_frame.sendall(frame(0x81, b"a message that never ends")[:9])
    never_reading = handshaken(server, SO_RCVBUF=4096)
    reset = handshaken(server)
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    reset.sendall(frame(0x01, b"and then it is gone"))
    reset.close()
    return [garbage, half_open, lying, half_frame, never_reading]


@pytest.mark.parametrize("company", ["alone", "beside bad company"])
def test_everybody_gets_all_of_the_others_lines_in_order(server: ChatServer, company: str) -> None:
    bad = bad_company(server) if company != "alone" else []
    clients = [server.client(f"user{number}") for number in range(CLIENTS)]
    for client in clients:
        client.say(*range(MESSAGES))
    for client in clients:
        lines = client.said(MESSAGES * (CLIENTS - 1))
        for other in clients:
            sent = [f"{other.name}: {number}" for number in range(MESSAGES)] if other is not client else []
            assert [line for line in lines if line.startswith(f"{other.name}: ")] == sent
    # Nothing more is on its way: the answer to Close is the next that comes, or a name that left.
    for client in clients:
        client.ws.close()
        client.sock.sendall(client.ws.data_to_send())
        texts = []
        while not client.ws.closed:
            texts += [event.text for event in [client.event()] if hasattr(event, "text")]
        assert all(text.startswith("* ") for text in texts)
        client.sock.close()
    for sock in bad:
        sock.close()


def test_each_in_a_crowd_gets_its_own_answer(server: ChatServer) -> None:
    """All of them wait at once: some with a whole request, some with half of it, some with none or a bad one."""
    early = [(REQUEST, b""), (REQUEST[:30], REQUEST[30:]), (b"", REQUEST)]
    wants = [*((sent, rest, b"HTTP/1.1 101") for sent, rest in early), (b"\0\r\n\r\n", b"", b"HTTP/1.1 400")]
    assert server.process is not None
    with ExitStack() as stack:
        server.process.send_signal(signal.SIGSTOP)
        crowd = [(stack.enter_context(server.connect()), *want) for _ in range(40) for want in wants]
        for sock, sent, _, _ in crowd:
            sock.sendall(sent)
        server.connect().close()
        server.process.send_signal(signal.SIGCONT)
        for sock, _, rest, answer in crowd:
            sock.sendall(rest)
            assert sock.recv(len(answer)) == answer
        server.wait_for("event=refused .* status=400", 40)
    server.wait_for("event=disconnect", 120)


def test_all_see_the_same_order(server: ChatServer) -> None:
    talkers = [server.client(f"user{number}", "/order") for number in range(5)]
    watchers = [server.client(room="/order") for _ in range(2)]
    for number in range(50):
        for talker in talkers:
            talker.say(number)
    first, second = (watcher.said(250) for watcher in watchers)
    assert first == second
    for client in [*talkers, *watchers]:
        client.close()


def test_names_are_told(server: ChatServer) -> None:
    ann = server.client()
    with server.client("Bob") as bob:
        assert ann.text() == "* Bob joined"
        ann.send("Ann: hello")
        assert [bob.text(), bob.text()] == ["* Ann joined", "Ann: hello"]
        with server.client() as eve:
            assert eve.here == ["Ann", "Bob"]
        ann.send("Anna: I changed my name")
        assert [bob.text() for _ in range(3)] == ["* Ann left", "* Anna joined", "Anna: I changed my name"]
        with server.client("Bob") as second:  # the same person in a second window
            second.say("it is me")
            assert ann.text() == "Bob: it is me"
            second.close()
        bob.close()
    assert ann.text() == "* Bob left"
    ann.close()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Ann: a\u202eb\x07c\r\nd", "Ann: a b c\n\td"),
        ("* Bob left", "Bob left"),
        ("*** Bob left", "Bob left"),
        ("plain words", "plain words"),
        ("http://example.com: a link", "http://example.com: a link"),
        ("Ann: \N{WOMAN}\u200d\N{PERSONAL COMPUTER} \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),
        ("Ann: <img src=x onerror=alert(1)>", None),
    ],
)
def test_lines_cannot_pretend(shared_server: ChatServer, sent: str, shown: str | None) -> None:
    with shared_server.client(room="/lines") as ann, shared_server.client(room="/lines") as bob:
        ann.send("", "*", sent)
        assert bob.said(1) == [shown or sent]


def test_rooms_are_apart(server: ChatServer) -> None:
    with server.client("Ann", "/a") as ann, server.client("Bob", "/b") as bob, server.client("Cy", "/b") as cy:
        with server.client(room="/a") as other:
            ann.say("in a")
            assert other.said(1) == ["Ann: in a"]
        bob.say("in b")
        assert cy.said(1) == ["Bob: in b"]
        with server.client(room="/a") as late:
            assert late.history == ["Ann: in a"]
            assert late.here == ["Ann"]


def test_the_history_comes_first_and_nothing_twice(server: ChatServer) -> None:
    with server.client("Ann") as ann:
        ann.say(*range(150))
        assert ann.close().clean  # it was read to its end
    with server.client() as bob, server.client("Cy") as cy:
        assert bob.history == cy.history == [f"Ann: {number}" for number in range(50, 150)]
        cy.say("now")
        assert bob.said(1) == ["Cy: now"]


def test_a_page_is_served_in_each_room(shared_server: ChatServer) -> None:
    for path in ("/", "/club", "/index.html", "/caf%C3%A9?x=1"):
        status, headers, body = shared_server.get(path)
        assert status == 200
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert body.startswith("<!DOCTYPE html>")
    for path in ("/favicon.ico", "/a/b", "/../server.py", "/%2", "/" + "x" * 300):
        assert shared_server.get(path)[0] == 404


def test_head_is_answered_without_the_page(shared_server: ChatServer) -> None:
    answer = shared_server.ask(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.clause("6455:7.1.7-server-logs")
def test_each_connection_is_logged(server: ChatServer) -> None:
    with server.client("Ann", "/club") as ann:
        number = server.wait_for(r"event=connect .* room=/club").split("client=")[1].split(" ")[0]
        ann.close()
    assert "code=1000" in server.wait_for(rf"event=disconnect client={number} ")
    server.get("/club")
    server.wait_for(r"event=page .* path=/club status=200")
    server.ask(b"nonsense\r\n\r\n")
    server.wait_for(r"event=refused .* status=400 reason=")


def test_a_log_line_cannot_be_forged(server: ChatServer) -> None:
    client: Client
    with server.client() as client:
        client.send('* name A\nevent=connect\u2028B"=')
        client.ws.close(1000, "x\nevent=forged")
        client.sock.sendall(client.ws.data_to_send())
    line = server.wait_for("event=disconnect")
    assert r'name="A event=connect B\"="' in line
    assert 'reason="x event=forged"' in line
    assert not server.logged("^event")
