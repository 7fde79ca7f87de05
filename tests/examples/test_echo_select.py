"""The shortest server: one function around one socket, run in a thread, with a plain socket as the peer."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers import BINARY, CLOSE, PING, PONG, TEXT, close_payload, to
from programs import EXAMPLES, PATIENCE, REQUEST, Peer, Program

from rfc6455 import SERVER, Timeouts

sys.path.append(str(EXAMPLES))

import echo_select


@contextmanager
def served(timeouts: Timeouts | None = None) -> Iterator[Peer]:
    """A client of the server, which has ended when the client has gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Peer(listener.getsockname()[1]) as peer:
        sock, _ = listener.accept()
        with sock:
            thread = threading.Thread(target=echo_select.echo, args=(sock, timeouts))
            thread.start()
            try:
                yield peer
            finally:
                peer.sock.close()
                thread.join(PATIENCE)
        assert not thread.is_alive()


def test_it_has_at_most_thirty_lines() -> None:
    source = Path(echo_select.__file__).read_text(encoding="utf-8")
    found = re.search(r"^def echo\(.*?(?=^def main)", source, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert len([line for line in found[0].splitlines() if line.strip()]) <= 30


def test_messages_and_the_closing_handshake() -> None:
    with served() as peer:
        peer.open(to(SERVER, TEXT, b"with the request"))
        assert peer.frame() == (TEXT, b"with the request")
        peer.send(to(SERVER, BINARY, b"x" * 300_000))
        assert peer.message() == (BINARY, b"x" * 300_000)
        peer.send(to(SERVER, PING, b"?"))
        assert peer.frame() == (PONG, b"?")
        peer.send(to(SERVER, TEXT, b"last") + to(SERVER, CLOSE, close_payload(4000, b"bye")))
        assert peer.frame() == (TEXT, b"last")
        assert peer.frame() == (CLOSE, close_payload(4000, b"bye"))
        peer.check_eof()


def test_a_violation_is_told_though_the_client_sends_on() -> None:
    """7.1.1: the server ends its side and reads on, or a reset could overtake the Close frame."""
    with served() as peer:
        peer.open()
        peer.send(to(SERVER, 3) + bytes(1 << 20))
        assert peer.close_frame() == 1002


def test_what_is_no_handshake() -> None:
    with served() as peer:
        peer.send(REQUEST.replace(b"GET", b"POST"))
        assert peer.answer().startswith("HTTP/1.1 405 ")
        peer.check_eof()


def test_a_client_that_does_not_read_is_not_listened_to() -> None:
    with served(Timeouts(ping_interval=0.3, pong=0.3, tcp_close=0.1)) as peer:
        peer.open()
        peer.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += peer.sock.send(to(SERVER, BINARY, bytes(60_000)))
        except OSError:
            pass  # held up, and then timed out
        assert sent < 32 << 20


def test_it_is_a_program() -> None:
    with Program("echo_select.py") as program:
        for _ in range(2):
            with Peer(program.port).open(to(SERVER, TEXT, b"hello")) as peer:
                assert peer.frame() == (TEXT, b"hello")
        program.wait_for("has gone", 2)
