"""The chat's server as a program: its start, its end, and that it runs from a fresh clone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from chat_server import CHAT, PATIENCE, PATIENT, ChatServer, copy_of_the_tree

SERVER = CHAT / "server.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SERVER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def test_help() -> None:
    finished = run("--help")
    assert finished.returncode == 0
    assert "--host" in finished.stdout
    assert "(default: 8765)" in " ".join(finished.stdout.split())  # lines are folded


MISTAKES = ["--port x", "--port 65536", "--rate -1", "--rate inf", "x", "--key k", "--bus redis://x --history y"]
MISTAKES += ["--allow-origin example.com", "--allow-origin https://x/", "--allow-origin https://*.x", "--history "]
MISTAKES += ["--path /..", "--path /a/./b", "--history-lines 1000000000000000000000", "--bus-timeout 1e300"]


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes(arguments: str) -> None:
    finished = run(*arguments.split(" "))
    assert finished.returncode == 2
    assert finished.stderr.startswith("usage: ")


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finished = run("--host", "127.0.0.1", "--port", str(taken.getsockname()[1]))
    assert finished.returncode == 1
    assert finished.stderr.startswith("Cannot start: --host 127.0.0.1 --port ")
    assert finished.stderr.count("\n") == 1


def test_localhost_is_both_addresses() -> None:
    with ChatServer("--host", "localhost") as server:
        for server.host in ("127.0.0.1", "::1"):
            assert server.get("/")[0] == 200
            with server.client() as client:
                assert client.close().code == 1000
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(number: int) -> None:
    with ChatServer(*PATIENT) as server:
        silent = server.connect()
        clients = [server.client(f"user{n}") for n in range(5)]  # so the one before them was accepted
        assert server.process is not None
        server.process.send_signal(number)
        for client in clients:
            closed = client.closed()
            assert (closed.code, closed.clean) == (1012, True)
            assert client.sock.recv(1) == b""
            client.sock.close()
        assert silent.recv(1) == b""
        silent.close()
        assert server.ended() == 0
        assert server.lines[-1].endswith("event=stopped")


def test_it_ends_in_time_although_clients_do_not_answer() -> None:
    switches = ("--stop-timeout", "0.5", "--close-timeout", "0")  # nothing else cuts them
    with ChatServer(*switches) as server, server.connect() as silent, server.client("Ann"), server.client():
        assert server.stop(signal.SIGINT) == 0
        assert silent.recv(1) == b""


def test_by_default_it_ends_within_3_seconds() -> None:
    from server import CUT_TIMEOUT
    from service.settings import Settings

    assert 2 < Settings().stop_timeout + CUT_TIMEOUT < 3


def test_a_second_signal_ends_it_at_once() -> None:
    switches = ("--stop-timeout", "0", "--close-timeout", "0")  # it would wait for ever
    with ChatServer(*switches) as server, server.client("Ann"):
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        server.wait_for("event=stopping")
        assert server.stop(signal.SIGINT) == 0


def test_it_serves_and_ends_although_nobody_reads_its_log() -> None:
    fcntl = pytest.importorskip("fcntl")
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("only Linux lets a pipe be made small")
    command = [sys.executable, str(SERVER), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            assert process.stdout is not None
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
            port = int(process.stdout.readline().split(b"127.0.0.1:")[1].split(b"/")[0])
            for _ in range(100):
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                    sock.sendall(b"nonsense\r\n\r\n")
                    assert sock.recv(12) == b"HTTP/1.1 400"
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def other_pythons() -> list[str]:
    """The oldest Python that is supported and a new one, where there are more than the one that runs this."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable]
    for version in ("3.10", "3.13"):
        found += map(str, sorted(root.glob(f"{version}.*/bin/python"))[:1])
    return found


@pytest.mark.parametrize("python", other_pythons())
def test_it_runs_from_a_clone_without_installation(python: str, tmp_path: Path) -> None:
    """Where the package is not installed, the server finds that of the clone it is in."""
    program = copy_of_the_tree(tmp_path)
    with ChatServer(python=python, program=program) as server, server.client("Ann") as ann, server.client() as bob:
        ann.say("hello")
        assert bob.said(1) == ["Ann: hello"]
        ann.close()
        bob.close()
        assert server.stop() == 0
