"""The proxy configurations from the chat's README, in those proxies that are installed."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from chat_server import CHAT, PATIENCE, ChatServer, Client, received, wait_until
from io_loops import make_certificate

import rfc6455

APACHE_MODULES = Path("/usr/lib/apache2/modules")

# The address from which the clients come; the proxy comes from 127.0.0.1.
CLIENT = "127.0.0.2"


def recipe(language: str, chat_port: int) -> str:
    readme = (CHAT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    assert "127.0.0.1:8765" in found
    return str(found).replace("127.0.0.1:8765", f"127.0.0.1:{chat_port}")


def nginx(directory: Path, port: int, chat_port: int) -> list[str]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    (directory / "proxy.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {directory}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{places}"
        f"server {{\nlisten 127.0.0.1:{port} ssl http2;\n"
        f"ssl_certificate {directory}/cert.pem;\nssl_certificate_key {directory}/key.pem;\n"
        f"{recipe('nginx', chat_port)}}}\n}}\n"
    )
    return ["-e", "stderr", "-p", str(directory), "-c", str(directory / "proxy.conf")]


def haproxy(directory: Path, port: int, chat_port: int) -> list[str]:
    (directory / "chat.pem").write_text((directory / "cert.pem").read_text() + (directory / "key.pem").read_text())
    text = recipe("haproxy", chat_port).replace("/etc/haproxy", str(directory))
    text = text.replace("bind :443", f"bind 127.0.0.1:{port}")
    defaults = "defaults\n    mode http\n    timeout connect 10s\n    timeout client 60s\n    timeout server 60s\n\n"
    (directory / "proxy.conf").write_text(defaults + text)
    return ["-db", "-f", str(directory / "proxy.conf")]


def apache2(directory: Path, port: int, chat_port: int) -> list[str]:
    if not APACHE_MODULES.is_dir():
        pytest.skip("Apache's modules are elsewhere")
    names = ("mpm_event", "authz_core", "ssl", "http2", "proxy", "proxy_http")
    modules = "".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so\n" for name in names)
    (directory / "proxy.conf").write_text(
        f"ServerRoot {directory}\nServerName chat.example\nPidFile {directory}/pid\nErrorLog /dev/stderr\n{modules}"
        f"User www-data\nGroup www-data\nListen 127.0.0.1:{port}\nProtocols h2 http/1.1\n<VirtualHost *:{port}>\n"
        f"SSLEngine on\nSSLCertificateFile {directory}/cert.pem\nSSLCertificateKeyFile {directory}/key.pem\n"
        f"{recipe('apache', chat_port)}</VirtualHost>\n"
    )
    return ["-X", "-f", str(directory / "proxy.conf")]


PROXIES: dict[str, Callable[[Path, int, int], list[str]]] = {"nginx": nginx, "haproxy": haproxy, "apache2": apache2}


class Proxied:
    """The chat behind a proxy, on a port with TLS."""

    def __init__(self, chat: ChatServer, port: int, trusted: ssl.SSLContext, certificate: Path) -> None:
        self.chat = chat
        self.port = port
        self.certificate = certificate
        self._trusted = trusted

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), PATIENCE, (CLIENT, 0))
        return self._trusted.wrap_socket(plain, server_hostname="localhost")

    def client(self, name: str, origin: str = "https://chat.example", **headers: str) -> Client:
        sock = self.connect()
        try:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            return Client(sock, "wss://chat.example/chat/", name, origin=origin, headers=fields)
        except rfc6455.HandshakeError:
            sock.close()
            raise

    def get(self, path: str) -> bytes:
        with self.connect() as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n".encode())
            return b"".join(received(sock))


@pytest.fixture(params=PROXIES, scope="module")
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    program = shutil.which(request.param) or shutil.which(request.param, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    directory = tmp_path_factory.mktemp(request.param)
    _, trusted = make_certificate(directory)
    switches = ("--path", "/chat", "--allow-host", "chat.example", "--trust-proxy", "127.0.0.1")
    with ChatServer(*switches) as chat, socket.socket() as reserved:
        # Bound and not listened on: the proxy may listen there, and nobody else is given the port.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        arguments = PROXIES[request.param](directory, port, chat.port)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        try:
            serves = Proxied(chat, port, trusted, directory / "cert.pem")
            wait_until(lambda: process.poll() is not None or is_up(serves), "the proxy and its backend are up")
            assert process.poll() is None, (directory / "log").read_text()
            yield serves
        finally:
            process.terminate()
            process.wait(PATIENCE)
        assert not chat.logged("Traceback|event=failure")


def is_up(serves: Proxied) -> bool:
    with suppress(OSError):
        return serves.get("/chat/health").startswith(b"HTTP/1.1 200 ")
    return False


def test_the_page_comes_through(proxied: Proxied) -> None:
    for path in ("/chat/", "/chat/club"):
        answer = proxied.get(path)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"<!doctype html>" in answer.lower()
    assert not proxied.get("/chatter").startswith(b"HTTP/1.1 200 ")


def test_the_page_comes_over_http_2(proxied: Proxied) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    url = f"https://localhost:{proxied.port}/chat/"
    asks = [
        curl,
        "-sS",
        "--http2",
        "--cacert",
        str(proxied.certificate),
        "-o",
        "/dev/null",
        "-w",
        "%{http_version} %{http_code}",
    ]
    asked = subprocess.run([*asks, url], capture_output=True, text=True, timeout=PATIENCE)
    assert asked.stdout == "2 200", asked.stderr


def test_two_talk(proxied: Proxied) -> None:
    with proxied.client("Ann") as ann, proxied.client("Bob") as bob:
        for number in range(20):
            ann.say(number, "x" * 10_000)
            bob.say(number)
        assert len(ann.said(20)) == 20
        assert bob.said(2) == ["Ann: 0", "Ann: " + "x" * 10_000]
        proxied.chat.wait_for(rf'event=connect .*peer="{CLIENT} via 127.0.0.1:\d+" room=/$', 2)
        assert bob.close().clean
        assert ann.said(1, lambda text: text == "* Bob left")
        assert ann.close().clean


def test_where_a_client_says_that_it_comes_from_does_not_count(proxied: Proxied) -> None:
    before = len(proxied.chat.logged("event=connect"))
    with proxied.client("Eve", X_Forwarded_For="192.0.2.66", Forwarded="for=192.0.2.66") as eve:
        assert f'peer="{CLIENT} via' in proxied.chat.wait_for("event=connect", before + 1)
        eve.close()


def test_pages_of_other_sites_are_kept_out(proxied: Proxied) -> None:
    with pytest.raises(rfc6455.HandshakeError) as refused:
        proxied.client("Eve", origin="https://evil.example")
    assert refused.value.status == 403
