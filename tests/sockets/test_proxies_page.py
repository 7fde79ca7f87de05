"""The configurations of docs/howto/proxies.rst, in those proxies that are installed, with an echo server behind each
and a page with the proxy's origin."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from io_loops import PATIENCE

from rfc6455 import ConnectionClosedError, HandshakeError, Request, Response
from rfc6455_io.threads import Server, WebSocket, connect, serve

pytestmark = pytest.mark.processes

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "proxies.rst"
APACHE_MODULES = Path("/usr/lib/apache2/modules")


def configuration(heading: str, server_port: int) -> str:
    """Return what the page says about a program, for a server on this port."""
    _, found, section = PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n{'-' * len(heading)}\n")
    block = re.search(r"^\.\. code-block:: \w+\n\n((?: +\S.*\n|\n)+)", section, re.MULTILINE)
    assert found
    assert block is not None
    text = textwrap.dedent(block[1])
    assert "127.0.0.1:8765" in text
    return text.replace("127.0.0.1:8765", f"127.0.0.1:{server_port}")


def nginx(directory: Path, port: int, server_port: int) -> tuple[str, list[str]]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    text = configuration("nginx", server_port).replace("server {", f"server {{\nlisten 127.0.0.1:{port};")
    main = f"daemon off;\nmaster_process off;\npid {directory}/pid;\nevents {{}}\n"
    conf = f"{main}http {{\naccess_log off;\n{places}{text}}}"
    return conf, ["-e", "stderr", "-p", str(directory), "-c", str(directory / "conf")]


def haproxy(directory: Path, port: int, server_port: int) -> tuple[str, list[str]]:
    conf = (
        "defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n"
        f"frontend web\n bind 127.0.0.1:{port}\n default_backend chat\n{configuration('HAProxy', server_port)}"
    )
    return conf, ["-db", "-f", str(directory / "conf")]


def apache2(directory: Path, port: int, server_port: int) -> tuple[str, list[str]]:
    if not APACHE_MODULES.is_dir():
        pytest.skip("Apache's modules are elsewhere")
    names = ("mpm_event", "authz_core", "proxy", "proxy_http")
    modules = "".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n" for name in names)
    conf = (
        f"ServerRoot {directory}\nServerName localhost\nPidFile {directory}/pid\nErrorLog /dev/stderr\n{modules}"
        f"User www-data\nGroup www-data\nListen 127.0.0.1:{port}\n{configuration('Apache', server_port)}"
    )
    return conf, ["-X", "-f", str(directory / "conf")]


def caddy(directory: Path, port: int, server_port: int) -> tuple[str, list[str]]:
    text = configuration("Caddy", server_port).replace("www.example.com", f"http://127.0.0.1:{port}")
    return f"{{\n\tadmin off\n}}\n{text}", ["run", "--adapter", "caddyfile", "--config", str(directory / "conf")]


PROXIES: dict[str, Callable[[Path, int, int], tuple[str, list[str]]]] = {
    each.__name__: each for each in (nginx, haproxy, apache2, caddy)
}


class Proxied(NamedTuple):
    name: str
    port: int
    server: Server

    def connect(self, path: str = "/chat", **arguments: str) -> WebSocket:
        origin = arguments.pop("origin", f"http://127.0.0.1:{self.port}")
        return connect(f"ws://127.0.0.1:{self.port}{path}", origin=origin, proxy=None, headers=arguments)


def echo(ws: WebSocket) -> None:
    for message in ws:
        ws.send(message)
        if message == "end":
            ws.close(4000, "as you wish")


def process_request(request: Request) -> Response | None:
    return None if request.is_upgrade else Response(200, body=b"fine")


@pytest.fixture(params=PROXIES, scope="module")
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    name = request.param
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    directory = tmp_path_factory.mktemp(name)
    with serve(echo, "127.0.0.1", 0, process_request=process_request) as server, socket.socket() as reserved:
        # Bound and not listened on: the proxy may listen there, and nobody else is given the port.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        text, arguments = PROXIES[name](directory, port, server.port)
        (directory / "conf").write_text(text)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=directory)
        try:
            made = Proxied(name, port, server)
            wait_until_up(made, process, directory / "log")
            yield made
        finally:
            process.terminate()
            process.wait(PATIENCE)


def wait_until_up(made: Proxied, process: subprocess.Popen[bytes], log: Path) -> None:
    waiting = threading.Event()
    for _ in range(int(PATIENCE * 20)):
        assert process.poll() is None, log.read_text()
        if is_up(made):
            return
        waiting.wait(0.05)
    raise AssertionError(log.read_text())


def is_up(made: Proxied) -> bool:
    try:
        made.connect().close()
    except (OSError, HandshakeError):
        return False
    return True


def test_messages_and_the_end_come_through(proxied: Proxied) -> None:
    with proxied.connect() as ws:
        for message in ("", "hello", b"\0" * 300_000, "é" * 100_000):
            ws.send(message)
            assert ws.recv(PATIENCE) == message
        assert ws.ping(PATIENCE) < PATIENCE
        ws.send("end")
        assert ws.recv(PATIENCE) == "end"
        with pytest.raises(ConnectionClosedError) as caught:
            ws.recv(PATIENCE)
    assert (caught.value.closed.code, caught.value.closed.reason) == (4000, "as you wish")


def test_host_comes_through_so_that_pages_of_other_sites_do_not(proxied: Proxied) -> None:
    with pytest.raises(HandshakeError) as caught:
        proxied.connect(origin="http://evil.example")
    assert caught.value.status == 403


def test_a_request_for_a_page_comes_through(proxied: Proxied) -> None:
    with socket.create_connection(("127.0.0.1", proxied.port)) as sock:
        sock.settimeout(PATIENCE)
        sock.sendall(b"GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := sock.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"fine" in answer
