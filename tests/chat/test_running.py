"""Running the chat: the log, `/health` and `/metrics`, and a renewed certificate."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import ssl
import subprocess
from pathlib import Path

import pytest
from chat_server import ChatServer, Client, wait_until
from io_loops import make_certificate


def values_of(server: ChatServer) -> dict[str, float]:
    lines = (line for line in server.get("/metrics")[2].splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_a_history_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with ChatServer("--history", str(path)) as server, server.client("Ann") as ann, server.client() as bob:
        ann.say("kept")
        bob.said(1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for number in range(3):
            ann.say(number)
            assert bob.said(1) == [f"Ann: {number}"]
        server.wait_for('event=degraded part=history since=.*Z error="database is locked" lost=1')
        status, _, body = server.get("/health")
        state = json.loads(body)
        assert (status, state["status"]) == (200, "degraded")
        assert state["degraded"]["history"]["error"] == "database is locked"
        assert state["degraded"]["history"]["lost"] == 3
        values = values_of(server)
        assert values['chat_degraded{part="history"}'] == 1
        assert values['chat_errors_total{part="history"}'] == values["chat_lost_lines_total"] == 3
        assert len(server.logged("event=degraded")) == 1, "not one for each line"
        other.close()
        ann.say("kept again")
        bob.said(1)
        server.wait_for("event=recovered part=history since=.*Z lost=3")
        assert json.loads(server.get("/health")[2])["status"] == "ok"
        assert values_of(server)['chat_degraded{part="history"}'] == 0


@pytest.mark.parametrize("gone", ["history.db", "history.db-wal", "."])
def test_a_history_that_is_removed_is_told_of(tmp_path: Path, gone: str) -> None:
    directory, elsewhere = tmp_path / "chat", tmp_path / "elsewhere"
    directory.mkdir()
    with ChatServer("--history", str(directory / "history.db")) as server:
        with server.client("Ann") as ann, server.client() as bob:
            ann.say("kept")
            assert bob.said(1) == ["Ann: kept"]
            (directory / gone).resolve().rename(elsewhere)
            ann.say("kept elsewhere")
            assert bob.said(1) == ["Ann: kept elsewhere"]
            server.wait_for("event=degraded part=history since=.*Z error=.*No such file .*history.db.* lost=1")
            assert json.loads(server.get("/health")[2])["status"] == "degraded"
            elsewhere.rename((directory / gone).resolve())
            ann.say("kept again")
            assert bob.said(1) == ["Ann: kept again"]
            server.wait_for("event=recovered part=history")
        assert server.stop() == 0


def test_a_history_that_is_replaced_is_told_of(tmp_path: Path) -> None:
    path, other = tmp_path / "history.db", tmp_path / "other.db"
    with ChatServer("--history", str(path)) as server, server.client("Ann") as ann, server.client() as bob:
        other.write_bytes(b"")
        other.replace(path)
        ann.say("hello")
        assert bob.said(1) == ["Ann: hello"]
        server.wait_for("event=degraded part=history since=.*Z error=.*was replaced; restart .* lost=1")


def test_who_watches_is_not_counted() -> None:
    with ChatServer() as server, server.client("Ann") as ann, server.client() as bob:
        ann.say("hello")
        bob.said(1)
        wait_until(lambda: values_of(server) == values_of(server), "what was sent just now is counted")
        before = values_of(server)
        for _ in range(5):
            server.get("/health")
        assert values_of(server) == before
        assert before["chat_clients"] == 2
        assert 'as="page"' not in "".join(before)
        assert not server.logged("event=page")
        server.get("/")
        server.wait_for("event=page")
        assert values_of(server)['chat_connections_total{as="page"}'] == 1


def test_a_look_at_all_connections_takes_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    import hub
    from service import monitor
    from service.metrics import Metrics
    from service.store import NoStore

    looks: list[float] = []

    def present() -> list[monitor.Watched]:
        looks.append(clock.now)
        return []

    # A look takes 10 ms of the processor.
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now, thread_time=lambda: 0.01 * len(looks))
    monkeypatch.setattr(monitor, "time", clock)
    watch = monitor.Monitor(Metrics(), hub.Hub(NoStore(), 10), [], present)
    for clock.now in (0.0, 0.0, 0.19, 0.21, 0.21, 0.4, 0.42):
        assert watch.health()[1]["clients"] == 0
        assert "chat_clients 0\n" in watch.metrics()
    assert looks == [0.0, 0.21, 0.42]
    monkeypatch.setattr(monitor, "QUICK_LOOK", 0.1)
    clock.now = 0.7
    for _ in range(3):
        watch.health()
    assert looks[3:] == [0.7, 0.7, 0.7]


def test_refusals_are_counted_by_reason() -> None:
    with ChatServer() as server:
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        upgrade += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        for path, host, more, status in (
            ("/", "localhost", "Origin: http://evil.example\r\n" + upgrade, 403),
            ("/", "evil.example", "", 421),
            ("/a/b", "localhost", upgrade, 404),
            ("/", "localhost", "Upgrade: websocket\r\n", 400),
        ):
            answer = server.ask(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        values = values_of(server)
        reasons = {name: value for name, value in values.items() if name.startswith("chat_refused_total")}
        for reason in ("origin", "host", "no such room", "request"):
            assert reasons[f'chat_refused_total{{reason="{reason}"}}'] == 1
        assert sum(reasons.values()) == values['chat_connections_total{as="refused"}'] == 4


def test_a_403_says_what_to_pass() -> None:
    with ChatServer("--allow-host", "backend") as server:
        answer = server.ask(
            b"GET / HTTP/1.1\r\nHost: backend\r\nOrigin: https://chat.example\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).decode()
        assert "to allow them, start it with --allow-origin https://chat.example." in answer
        assert "a proxy has asked for backend instead" in answer


def test_bytes_that_wait_are_told() -> None:
    switches = ("--rate", "0", "--address-rate", "0", "--outbox-bytes", "0")
    with ChatServer(*switches) as server, server.client("Ann") as ann, server.client() as sleeper:
        while values_of(server)["chat_outbox_bytes"] < 100_000:
            ann.say(*["x" * 10_000] * 10)
        sleeper.close()
        wait_until(lambda: values_of(server)["chat_outbox_bytes"] == 0, "what waited has gone")


def test_the_certificate_is_read_again_and_nobody_ends(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    cert, key, locked = (tmp_path / name for name in ("cert.pem", "key.pem", "locked.pem"))

    def joined(name: str = "") -> Client:
        context = ssl.create_default_context(cafile=str(cert))
        sock = context.wrap_socket(server.connect(), server_hostname="localhost")
        return Client(sock, f"wss://localhost:{server.port}/", name)

    def hang_up() -> None:
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)

    with ChatServer("--cert", str(cert), "--key", str(key)) as server, joined("Ann") as ann, joined() as bob:
        old = ann.sock.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        make_certificate(tmp_path)
        hang_up()
        server.wait_for(f"event=certificate file={re.escape(str(cert))}")
        with joined("Cy") as cy:
            assert cy.sock.getpeercert(binary_form=True) != old  # type: ignore[attr-defined]
            ann.say("still here")
            assert bob.said(1) == cy.said(1) == ["Ann: still here"]
        kept = cert.read_text()
        cert.write_text("nothing")
        hang_up()
        server.wait_for("event=certificate error=.*--cert")
        cert.write_text(kept)
        command = ["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in", str(key), "-out", str(locked)]
        subprocess.run(command, check=True, capture_output=True)
        locked.replace(key)
        hang_up()
        server.wait_for("event=certificate error=.*--key .*the private key has a passphrase")
        with joined() as dee:
            dee.close()
        assert not server.logged("event=disconnect .*name=Ann")
        assert server.stop() == 0


def test_sighup_without_a_certificate_is_nothing() -> None:
    with ChatServer() as server, server.client("Ann") as ann:
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        assert server.get("/health")[0] == 200
        assert ann.close().clean


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        (("--cert", "{0}/none.pem"), "--cert {0}/none.pem: No such file"),
        (("--cert", "{0}/bad.pem", "--key", "{0}/none.pem"), "--cert {0}/bad.pem --key {0}/none.pem: "),
        (("--history", "{0}/none/chat.db"), "--history {0}/none/chat.db: unable to open database file"),
        (("--host", "no.such.host.invalid"), "--host no.such.host.invalid: "),
        (("--host", "192.0.2.1"), "--host 192.0.2.1 --port "),
        (("--host", "a..b"), "--host a..b: "),
        (("--host", "x" * 64), f"--host {'x' * 64}: "),
    ],
)
def test_errors_at_the_start_name_the_switch_and_the_file(
    tmp_path: Path, switches: tuple[str, ...], said: str
) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    with pytest.raises(AssertionError) as caught, ChatServer(*(switch.format(tmp_path) for switch in switches)):
        pass
    assert f"Cannot start: {said.format(tmp_path)}" in str(caught.value)
