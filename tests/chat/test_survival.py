"""Nothing that one client, one entry or one line does ends a thread of the server."""

from __future__ import annotations

import random
import string

from chat_server import ChatServer, wait_until

import rfc6455

LINES = 100
LINE = 16 << 10
VICTIMS = 3


def words(seed: int, size: int) -> str:
    """Text that deflate makes smaller, though not by much."""
    return "".join(random.Random(seed).choices(string.ascii_letters, k=size))


def test_a_client_that_does_not_read_and_goes_away_is_all_that_ends(server: ChatServer) -> None:
    """The caretaker finds the connection broken while it sends what waits; it goes on, and closes what comes after."""
    extensions = [rfc6455.PerMessageDeflate()]
    with server.client("Ann", extensions=extensions) as ann, server.client(extensions=extensions) as reader:
        before = server.descriptors()
        for count in range(VICTIMS):
            victim = server.connect(SO_RCVBUF=2048)
            victim.sendall(rfc6455.ClientHandshake("ws://localhost/", extensions=extensions).data_to_send())
            assert victim.recv(12) == b"HTTP/1.1 101"
            for number in range(LINES):
                ann.say(words(number, LINE - len("Ann: ")))
            reader.said(LINES)
            victim.close()
            server.wait_for("event=disconnect", count + 1)
        for _ in range(20):
            assert server.get("/health")[0] == 200
        wait_until(
            lambda: server.descriptors() == before or bool(server.logged("Traceback")), "the sockets are closed"
        )
        assert server.logged("Traceback|Error") == []
