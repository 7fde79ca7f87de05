"""The limits for a client: each of them, and that other clients do not notice one that exceeds it."""

from __future__ import annotations

import threading

import pytest
from chat_server import PATIENCE, ChatServer, Client, frame, received, wait_until

import rfc6455

CLIENTS = 50


def test_a_client_that_never_reads_is_closed_and_nobody_waits_for_it() -> None:
    """The others get each line while it does not read, and the server keeps no more than the outbox may hold."""
    words = "x" * 8000
    rounds, lines, limit = 40, 10, 512 << 10
    switches = ("--outbox-bytes", str(limit), "--rate", "0", "--address-rate", "0", "--history-lines", "0")
    with ChatServer(*switches, "--close-timeout", "0.1") as server:
        talker = server.client("Ann")
        readers = [server.client() for _ in range(CLIENTS - 2)]
        sleeper = server.client()
        before = server.memory()
        for number in range(rounds):
            said = [f"{number}.{line} {words}" for line in range(lines)]
            talker.say(*said)
            for reader in readers:
                assert reader.said(lines) == [f"Ann: {line}" for line in said]
        # What waited and what the allocator keeps of it; all that was said is 3.2 MB.
        assert server.memory() - before < 3 * limit
        server.wait_for(r"event=disconnect .* code=1013 reason=\"too slow for this chat\"")
        assert len(server.logged("event=disconnect")) == 1
        assert 'chat_closes_total{code="1013"} 1\n' in server.get("/metrics")[2]
        for client in (talker, sleeper, *readers):
            client.sock.close()


def test_a_slow_client_gets_all_that_the_outbox_holds_and_then_1013() -> None:
    switches = ("--outbox-messages", "50", "--rate", "0", "--address-rate", "0")
    with ChatServer(*switches) as server, server.client("Ann") as ann, server.client() as slow:
        with server.client() as quick:
            for number in range(300):
                ann.say(f"{number} {'x' * 10_000}")
                quick.said(1)
        lines = []
        while isinstance(event := slow.event(), rfc6455.TextMessage):
            lines += [event.text] if event.text.startswith("Ann: ") else []
        assert isinstance(event, rfc6455.Closed)
        assert (event.code, event.reason) == (1013, "too slow for this chat")
        assert 50 < len(lines) < 300
        assert [line.split(" ")[1] for line in lines] == [str(number) for number in range(len(lines))]


# Lines of the longest kind that are next to nothing when compressed.
FLOOD = 480
FLOOD_LINE = "x" * (16 << 10)


def flood(client: Client) -> None:
    """Send 480 of them with one write, which has 20 kB."""
    for _ in range(FLOOD):
        client.ws.send_text(FLOOD_LINE)
    data = client.ws.data_to_send()
    assert len(data) < 30_000
    client.sock.sendall(data)


def until_ann(reader: Client, lines: list[str]) -> None:
    """Read what is said until Ann says something."""
    while not lines or not lines[-1].startswith("Ann: "):
        lines += reader.said(1)


def test_who_floods_the_others_is_the_one_who_goes() -> None:
    """The rate counts bytes as they are after inflating."""
    deflate = [rfc6455.PerMessageDeflate()]
    with (
        ChatServer() as server,
        server.client(extensions=deflate) as eve,
        server.client() as slow,
        server.client() as quick,
    ):
        heard: list[str] = []
        reads = threading.Thread(target=until_ann, args=(quick, heard))
        reads.start()
        flood(eve)
        closed = eve.closed()
        assert (closed.code, closed.reason) == (1008, "too many messages")
        with server.client("Ann") as ann:
            ann.say("still here?")
        lines: list[str] = []
        until_ann(slow, lines)
        reads.join(PATIENCE)
        assert heard == lines
        assert 0 < len(lines) < FLOOD / 2
        assert not server.logged("code=1013")


def until_no_more_is_taken(server: ChatServer) -> None:
    """Wait until messages have come, and no more come."""
    counts = ["", "0"]
    while counts[-1] == "0" or counts[-1] != counts[-2]:
        counts.append(server.get("/metrics")[2].partition("\nchat_received_messages_total ")[2].partition("\n")[0])


def test_who_talks_too_fast_is_held_back_before_anybody_is_thrown_out() -> None:
    deflate = [rfc6455.PerMessageDeflate()]
    switches = ("--rate", "0", "--address-rate", "0", "--outbox-bytes", str(1 << 20))
    with ChatServer(*switches) as server, server.client(extensions=deflate) as eve:
        readers = [server.client() for _ in range(3)]
        flood(eve)
        until_no_more_is_taken(server)
        for _ in range(FLOOD):
            for reader in readers:
                assert reader.said(1) == [FLOOD_LINE]
        assert not server.logged("event=disconnect")
        for reader in readers:
            assert reader.close().clean


def test_all_memory_together_has_a_limit() -> None:
    """Many rooms, and many clients that do not read: the largest give way, and those with little keep it."""
    deflate = [rfc6455.PerMessageDeflate()]
    limit = 16 << 20
    no_limits = ["rate", "address-rate", "outbox-bytes", "outbox-messages"]
    switches = [word for name in no_limits for word in (f"--{name}", "0")]
    with ChatServer(*switches, "--memory", str(limit)) as server, server.client("Ann", "/small") as ann:
        ann.say("kept")
        before = server.memory()
        for number in range(100):
            with server.client("Eve", f"/{number}", extensions=deflate) as eve:
                eve.say(*[FLOOD_LINE[5:]] * 16)
                eve.close()
        with server.client(extensions=deflate) as eve, server.client() as sleeper, server.client() as quick:
            for _ in range(100):
                eve.send(*[FLOOD_LINE] * 16)
                quick.said(16)
            assert server.memory() - before < 4 * limit
            held = server.get("/metrics")[2].partition("\nchat_held_bytes ")[2].partition("\n")[0]
            assert float(held) < 1.1 * limit
            closed = sleeper.closed()
            assert (closed.code, closed.reason) == (1013, "the server is short of memory")
            server.wait_for('event=disconnect .* code=1013 reason="the server is short of memory"')
            assert len(server.logged("code=1013")) == 1
        with server.client(room="/small") as bob:
            assert bob.history == ["Ann: kept"]


def test_a_client_that_says_too_much() -> None:
    with ChatServer("--rate", "5") as server, server.client("Ann") as ann, server.client() as watcher:
        ann.say(*range(49))
        assert len(watcher.said(49)) == 49
        ann.say(*range(60))  # more than there may be at once, however much time has passed
        closed = ann.closed()
        assert (closed.code, closed.reason) == (1008, "too many messages")
        assert watcher.text() == "* Ann left"


def test_nothing_more_is_read_of_a_client_that_says_too_much() -> None:
    """Its answer to our Close frame would be parsed, and all that it sends before; so that is not waited for."""
    with ChatServer("--rate", "5", "--close-timeout", "60") as server, server.client("Ann") as ann:
        ann.say(*range(60))
        events = [event for data in received(ann.sock) for event in ann.ws.receive_data(data)]
        assert [event.code for event in events if isinstance(event, rfc6455.Closed)] == [1008]
        assert "code=1008" in server.wait_for("event=disconnect")


def test_pings_count_as_messages() -> None:
    with ChatServer("--rate", "5") as server, server.client("Ann") as ann:
        for _ in range(100):
            ann.ws.ping()
        ann.send()
        assert ann.closed().code == 1008


@pytest.mark.parametrize("extensions", [[], [rfc6455.PerMessageDeflate()]], ids=["plain", "compressed"])
def test_what_never_becomes_a_message_counts(extensions: list[rfc6455.PerMessageDeflate]) -> None:
    """Empty blocks of DEFLATE, or text, in a message that has no end: work, and no event."""
    first, piece = (0x41, b"\0\0\0\xff\xff" * 4000) if extensions else (0x01, b"x" * 20_000)
    switches = ("--rate", "5", "--max-message", str(1 << 20))
    with ChatServer(*switches) as server, server.client("Ann") as ann, server.client(extensions=extensions) as eve:
        eve.sock.sendall(frame(first, piece))
        for _ in range(15):
            eve.sock.sendall(frame(0, piece))
        closed = eve.closed()
        assert (closed.code, closed.reason) == (1008, "too many messages")
        ann.say("still here")


def test_an_address_that_says_too_much() -> None:
    with ChatServer("--address-rate", "10") as server, server.client("Ann") as ann, server.client("Bob") as bob:
        ann.say(*range(78))  # nearly all that there may be in 10 seconds, besides the two that have joined
        assert bob.said(78)
        bob.say(*range(78))
        assert bob.closed().code == 1008


def test_an_address_from_which_too_many_join() -> None:
    with ChatServer("--address-rate", "1.1") as server, server.client("Ann") as ann:
        handshake = rfc6455.ClientHandshake("ws://localhost/")
        assert server.ask(handshake.data_to_send()).startswith(b"HTTP/1.1 503 ")
        server.wait_for('event=refused .* status=503 reason=busy value="too many clients join from this address"')
        assert server.get("/")[0] == server.get("/health")[0] == 200
        assert ann.close().clean


def test_connections_of_an_address() -> None:
    with ChatServer("--address-connections", "2") as server, server.client(), server.client() as second:
        assert server.ask(b"")[:12] == b"HTTP/1.1 503"
        server.wait_for('event=refused .* status=503 reason="too many connections from this address"')
        second.close()
        server.wait_for("event=disconnect")
        wait_until(lambda: served(server), "its place is free again, which is the last that its thread does")


def served(server: ChatServer) -> bool:
    """Return whether there was a place; who is one too many may be reset, as nobody reads what it asks."""
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            return sock.recv(12) == b"HTTP/1.1 200"
        except ConnectionResetError:
            return False


def test_connections_in_all() -> None:
    with ChatServer("--clients", "1") as server, server.client():
        assert server.ask(b"")[:12] == b"HTTP/1.1 503"


def test_the_longest_message() -> None:
    with ChatServer("--max-message", "100") as server, server.client("A") as ann, server.client() as bob:
        ann.say("x" * 97)
        assert bob.said(1) == ["A: " + "x" * 97]
        ann.say("x" * 98)
        assert ann.closed().code == 1009


def test_limits_can_be_switched_off() -> None:
    limits = "rate address-rate address-connections clients outbox-bytes outbox-messages max-message"
    arguments = [word for name in limits.split() for word in (f"--{name}", "0")]
    no_limit = rfc6455.Limits(message=None)
    with ChatServer(*arguments) as server, server.client("Ann") as ann, server.client(limits=no_limit) as bob:
        ann.say(*range(2000))
        ann.say("x" * 3_000_000)
        assert len(bob.said(2001)[-1]) == 3_000_005


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local"])
def test_a_request_that_takes_too_long(sent: bytes) -> None:
    with ChatServer("--open-timeout", "0.1") as server:
        answer = server.ask(sent)
        assert answer.startswith(b"HTTP/1.1 408 ")
        server.wait_for("event=refused .* status=408")


def test_a_client_that_does_not_answer_pings() -> None:
    with ChatServer("--ping-interval", "0.1", "--pong-timeout", "0.1") as server, server.client():
        server.wait_for('event=disconnect .* code=3008 reason="the peer did not answer a Ping in time"')


def test_a_client_that_answers_pings_stays() -> None:
    with ChatServer("--ping-interval", "0.1", "--pong-timeout", "5") as server, server.client() as client:
        pings = 0
        while pings < 3:
            pings += isinstance(client.event(), rfc6455.Ping)
        metrics = server.get("/metrics")[2]
        assert float(metrics.partition("\nchat_ping_seconds ")[2].partition("\n")[0]) > 0
        assert client.close().clean


@pytest.mark.slow
def test_thousands_of_clients() -> None:
    """All are served by a thread each, at little memory; when they go, the threads go, and others find the memory."""
    count = 2000
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        pytest.skip("not enough file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    try:
        # No pings: the first clients here wait long for the last.
        switches = ("--address-connections", "0", "--address-rate", "0", "--ping-interval", "0")
        with ChatServer(*switches) as server:
            before, threads = server.memory(), server.threads()
            peaks = []
            for _ in range(2):
                clients = [server.client() for _ in range(count)]
                peaks.append(server.memory())
                assert server.threads() == threads + count
                clients[0].say("hello")
                for client in clients[1:]:
                    assert client.said(1) == [": hello"]
                for client in clients:
                    client.sock.close()
                wait_until(lambda: server.threads() <= threads, "the threads are gone")
            assert peaks[0] - before < count * 60 * 1024
            assert peaks[1] - peaks[0] < count * 6 * 1024
            assert server.stop() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
