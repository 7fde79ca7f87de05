"""README.md is correct: the examples run, the test command is the one that CI runs, and links are valid."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from code_blocks import ROOT, code_blocks, run_page

import rfc6455
import rfc6455.testing

README = ROOT / "README.md"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "benchmarks").glob("*.md"), *(ROOT / "examples").rglob("*.md")]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets connected by TCP: the README's server has the first, the test is the client at the second.

    TCP refuses a second ``shutdown()`` once both directions have ended; a ``socketpair()`` does not.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with server, client:
        server.settimeout(10)
        client.settimeout(10)
        yield server, client


def talk(sock: socket.socket, text: str, waits: bool) -> list[rfc6455.Event]:
    """A client that says ``text``, closes at once or after the first answer, and gives all the events that it saw."""
    ws = rfc6455.Endpoint(rfc6455.ClientHandshake("ws://localhost/"), rfc6455.Timeouts.NONE, now=0.0)
    events: list[rfc6455.Event] = []
    sock.sendall(ws.data_to_send())
    while not ws.closed:
        for event in ws.events(sock.recv(65536), now=0.0):
            if isinstance(event, rfc6455.Response):
                ws.send_text(text)
            else:
                events.append(event)
            if events or not waits:
                ws.close(1000, "bye")
        sock.sendall(ws.data_to_send())
    sock.shutdown(socket.SHUT_WR)
    return events


@pytest.mark.parametrize("waits", [True, False], ids=["message, answer, close", "message and close in one read"])
def test_the_library_example_runs(ends: tuple[socket.socket, socket.socket], waits: bool) -> None:
    server, client = ends
    with ThreadPoolExecutor() as threads:
        seen = threads.submit(talk, client, "hello", waits)
        try:
            run_page(README, sock=server)
        finally:
            server.close()
        message, closed = seen.result(10)
    assert message == rfc6455.TextMessage("HELLO")
    assert isinstance(closed, rfc6455.Closed)
    assert (closed.code, closed.clean) == (1000, True)


UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"

REFUSALS = {
    "a page": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
    "POST": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405),
    "another site": (
        b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n" + UPGRADE % rfc6455.testing.SAMPLE_KEY.encode(),
        403,
    ),
    "the end": (b"GET / HTTP/1.1\r\n", 400),
}


@pytest.mark.parametrize(("request_", "status"), REFUSALS.values(), ids=list(REFUSALS))
def test_the_library_example_answers_what_is_no_websocket(
    ends: tuple[socket.socket, socket.socket], request_: bytes, status: int
) -> None:
    server, client = ends
    client.sendall(request_)
    client.shutdown(socket.SHUT_WR)
    run_page(README, sock=server)
    answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_the_library_examples_are_short() -> None:
    with_a_loop, without = code_blocks(README)
    for block in (with_a_loop, without):
        lines = [line for line in block.code.splitlines() if line.strip() and not line.startswith("import ")]
        assert len(lines) <= 20


def test_the_example_with_a_loop_prints_the_answer(
    ends: tuple[socket.socket, socket.socket], capsys: pytest.CaptureFixture[str]
) -> None:
    server, client = ends
    client.close()
    run_page(README, sock=server)
    assert capsys.readouterr().out == "HELLO\n"


def test_ci_finds_one_test_command() -> None:
    """`.ci/run` runs the line after this mark, so that the README cannot promise another one."""
    text = README.read_text(encoding="utf-8")
    (command,) = re.findall(r"^<!-- the test command -->\n```sh\n(.+)\n```$", text, re.MULTILINE)
    assert command.endswith("/tox -p auto")


def test_each_part_of_ci_has_a_job() -> None:
    (parts,) = re.findall(r"^PARTS=\((.+)\)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (jobs,) = re.findall(r"^ +part: \[(.+)\]$", workflow, re.MULTILINE)
    assert jobs.split(", ") == parts.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_into_the_tree_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert links or page != README
    assert not [link for link in links if not (page.parent / link).exists()]
