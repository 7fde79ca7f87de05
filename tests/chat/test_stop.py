"""A signal stops the server whenever it arrives: no signal is lost, and none has to wait for the next client."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest
from chat_server import CHAT, LATE_SIGNAL, PATIENCE, ChatServer

import rfc6455

STOPS = 300


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_just_before_the_wait_for_clients(number: int) -> None:
    with ChatServer(runner=LATE_SIGNAL) as server:
        assert server.get("/health")[0] == 200
        assert server.stop(number) == 0
        assert server.lines[-1].endswith("event=stopped")


def test_a_second_signal_just_before_the_wait_for_those_who_leave() -> None:
    switches = ("--stop-timeout", "0", "--close-timeout", "0")  # it would wait for ever
    with ChatServer(*switches, runner=LATE_SIGNAL) as server, server.client("Ann"):
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("event=stopping")
        assert server.stop() == 0


def test_ctrl_c_just_before_the_client_waits() -> None:
    with ChatServer() as server, server.client("Ann") as ann:
        command = [sys.executable, str(LATE_SIGNAL), str(CHAT / "client.py"), f"ws://127.0.0.1:{server.port}/"]
        with subprocess.Popen([*command, "--name", "Bob"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bob:
            assert bob.stdin is not None
            bob.stdin.write(b"hello\n")
            bob.stdin.flush()
            assert ann.said(1) == ["Bob: hello"]
            bob.send_signal(signal.SIGINT)
            assert bob.wait(PATIENCE) == 0
        assert ann.said(1, lambda text: text == "* Bob left")


def test_ctrl_c_again_just_before_the_client_waits_for_an_answer() -> None:
    """The first time it closes, which the server does not answer; the second time it does not wait for that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, str(LATE_SIGNAL), str(CHAT / "client.py"), "--name", "Bob"]
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([*command, uri], **pipes) as bob, listener.accept()[0] as sock:
            handshake = rfc6455.ServerHandshake()
            while handshake.receive_data(sock.recv(65536)) is None:
                pass
            ws = handshake.accept()
            ws.send_text("listening")
            sock.sendall(ws.data_to_send())
            assert bob.stdout is not None
            assert bob.stdout.readline() == b"listening\n"
            bob.send_signal(signal.SIGINT)
            while not ws.receive_data(sock.recv(65536)):
                pass
            bob.send_signal(signal.SIGINT)
            assert bob.wait(PATIENCE) == 128 + signal.SIGINT


@pytest.mark.slow
@pytest.mark.timeout(STOPS * PATIENCE)
def test_hundreds_of_stops_right_after_a_request() -> None:
    """In the gap by chance: the server is on its way back to its selector when the signal comes."""
    for _ in range(STOPS):
        with ChatServer() as server:
            assert server.ask(b"GET /a/b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n")
            assert server.stop() == 0
