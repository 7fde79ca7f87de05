"""The switches of the server: what each means, and its default."""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import rfc6455
from service.access import name_of
from service.history import HISTORY_BYTES

# The names that stand for this machine itself.
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# The environment variable with the password for Redis.
PASSWORD_VARIABLE = "CHAT_BUS_PASSWORD"

# The largest number that an option takes: more milliseconds, lines or bytes fit into no database.
MOST = 10**12

# The headers in which a trusted proxy can name the client.
FORWARDED = ("x-forwarded-for", "forwarded")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Settings:
    """The settings from the command line. The help texts below explain each of them."""

    hosts: Sequence[str] = ("localhost",)
    port: int = 8765
    path: str = ""
    allow_host: Sequence[str] = ()
    allow_origin: Sequence[str] = ()
    allow_null: bool = True
    trust_proxy: Sequence[Network] = ()
    forwarded: str = FORWARDED[0]
    user_header: str | None = None
    cert: str | None = None
    key: str | None = None
    history: str | None = None
    bus: str | None = None
    bus_stream: str = "rfc6455-chat"
    bus_password_file: str | None = None
    history_lines: int = 100
    deflate: bool = True
    max_message: int = 16 << 10
    rate: float = 50.0
    address_rate: float = 1000.0
    address_connections: int = 1000
    clients: int = 4000
    outbox_bytes: int = 4 << 20
    outbox_messages: int = 20_000
    # A server with a thousand clients takes about 100 MB besides, so with this it fits into half a gigabyte.
    memory: int = 256 << 20
    open_timeout: float = 10.0
    ping_interval: float = 20.0
    pong_timeout: float = 20.0
    close_timeout: float = 10.0
    stop_timeout: float = 2.5
    bus_timeout: float = 6.0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return all(map(_is_loopback, self.hosts))

    @cached_property
    def names(self) -> frozenset[str] | None:
        """The names under which the server is served; ``None`` for any."""
        if not (self.is_loopback or self.allow_host):
            return None
        return frozenset(map(name_of, (*self.hosts, *LOOPBACK, *self.allow_host)))

    @property
    def allows_null(self) -> bool:
        """Whether pages of the origin ``null`` may connect."""
        return self.is_loopback and self.allow_null

    @property
    def history_limits(self) -> tuple[int, int]:
        """The maximum number of lines, and of bytes, in a history. It may fill no more than half of an outbox, since a
        new member may be slow. A line with the time, which is a message as well, may precede each line.
        """
        lines, size = self.history_lines, HISTORY_BYTES
        if self.outbox_messages:
            lines = min(lines, self.outbox_messages // 4)
        if self.outbox_bytes:
            size = min(size, self.outbox_bytes // 2)
        return lines, size

    def url(self, port: int) -> str:
        """Return the URL of the chat for somebody on this machine."""
        host = f"[{self.hosts[0]}]" if ":" in self.hosts[0] else self.hosts[0]
        return f"{'http' if self.cert is None else 'https'}://{host}:{port}{self.path}/"

    def bus_password(self) -> str | None:
        """Return the password for Redis, if it is not in the URL.

        :raises OSError: when the file cannot be read.
        """
        if self.bus_password_file is None:
            return os.environ.get(PASSWORD_VARIABLE)
        with Path(self.bus_password_file).open(encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Parse the command line. ``--help`` and mistakes end the program, as usual."""
    parser = _parser()
    settings = Settings(**vars(parser.parse_args(arguments)))
    if settings.bus is not None and settings.history is not None:
        parser.error("with --bus, the history is in Redis; --history cannot be used as well")
    if settings.bus_password_file is not None and settings.bus is None:
        parser.error("--bus-password-file requires --bus")
    if settings.key is not None and settings.cert is None:
        parser.error("--key requires --cert")
    if settings.user_header is not None and not settings.trust_proxy:
        parser.error("--user-header needs --trust-proxy: anybody else could send that header, too")
    if settings.forwarded != Settings.forwarded and not settings.trust_proxy:
        parser.error("--forwarded requires --trust-proxy")
    return settings


def _is_loopback(host: str) -> bool:
    try:
        return host in LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="A chat for browsers and command-line clients. Each path, such as /club, is a room.",
        epilog="For all limits, 0 means no limit.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = Settings()
    add = parser.add_argument
    add(
        "--host",
        dest="hosts",
        action="append",
        default=argparse.SUPPRESS,
        metavar="ADDRESS",
        help="the address to listen on; localhost, the default, means IPv4 and IPv6 on this machine only; :: means "
        "both on all addresses; may be given several times",
    )
    add("--port", type=_port, default=default.port, help="the port to listen on; 0 for any free one")
    add("--path", type=_path, default=default.path, help="the path that contains all rooms, such as /chat")
    add(
        "--allow-host",
        type=_host,
        action="append",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="accept this name as well, for a proxy or tunnel; without it, a server on loopback accepts only the "
        "names of loopback, and others accept any; may be given several times",
    )
    add(
        "--allow-origin",
        type=_origin,
        action="append",
        default=argparse.SUPPRESS,
        metavar="ORIGIN",
        help="allow pages of this origin to connect, besides the server's own; may be given several times",
    )
    add(
        "--no-null",
        dest="allow_null",
        action="store_false",
        help="refuse pages with the origin null, such as those from disk, even on loopback",
    )
    add(
        "--trust-proxy",
        type=_network,
        action="append",
        default=argparse.SUPPRESS,
        metavar="ADDRESS[/BITS]",
        help="trust what this proxy says about its clients; may be given several times",
    )
    add(
        "--forwarded",
        choices=FORWARDED,
        default=default.forwarded,
        help="the header in which the proxy names the client; the other one is ignored",
    )
    add(
        "--user-header",
        type=_field_name,
        metavar="NAME",
        help="the header in which the proxy passes a person's name; people can then choose no other",
    )
    add("--cert", metavar="FILE", help="the certificate as a PEM file, for https: and wss:")
    add("--key", metavar="FILE", help="its private key, if the certificate's file does not contain it")
    add(
        "--history",
        type=_file,
        metavar="FILE",
        help="keep the history in this SQLite file; by default it is in memory",
    )
    add(
        "--bus",
        metavar="URL",
        help="redis://host:port, to form one chat with other servers; requires `pip install redis`",
    )
    add(
        "--bus-stream",
        default=default.bus_stream,
        metavar="NAME",
        help="the name of the stream in Redis; must be the same on all servers of a chat",
    )
    add(
        "--bus-password-file",
        metavar="FILE",
        help=f"a file whose first line is the password for --bus, as others could see it in the URL; or set "
        f"{PASSWORD_VARIABLE}",
    )
    add("--history-lines", type=_count, default=default.history_lines, metavar="N", help="lines sent to new members")
    add("--no-deflate", dest="deflate", action="store_false", help="no compression (permessage-deflate)")
    add(
        "--max-message",
        type=_count,
        default=default.max_message,
        metavar="BYTES",
        help="the maximum size of a message",
    )
    add("--rate", type=_seconds, default=default.rate, metavar="N", help="messages per second from one client")
    add(
        "--address-rate",
        type=_seconds,
        default=default.address_rate,
        metavar="N",
        help="messages per second from one address; to join a room counts as 10",
    )
    add(
        "--address-connections",
        type=_count,
        default=default.address_connections,
        metavar="N",
        help="connections from one address",
    )
    add("--clients", type=_count, default=default.clients, metavar="N", help="connections in total")
    add(
        "--outbox-bytes",
        type=_count,
        default=default.outbox_bytes,
        metavar="N",
        help="bytes that may wait for a client that does not read",
    )
    add(
        "--outbox-messages",
        type=_count,
        default=default.outbox_messages,
        metavar="N",
        help="messages that may wait for a client that does not read",
    )
    add(
        "--memory",
        type=_count,
        default=default.memory,
        metavar="BYTES",
        help="bytes that all histories and waiting messages may take together; beyond that, the largest is dropped",
    )
    add(
        "--open-timeout",
        type=_seconds,
        default=default.open_timeout,
        metavar="SECONDS",
        help="how long a client may take to send its request",
    )
    add(
        "--ping-interval",
        type=_seconds,
        default=default.ping_interval,
        metavar="SECONDS",
        help="how often to check whether a client is still there",
    )
    add(
        "--pong-timeout",
        type=_seconds,
        default=default.pong_timeout,
        metavar="SECONDS",
        help="how long the client may take to answer",
    )
    add(
        "--close-timeout",
        type=_seconds,
        default=default.close_timeout,
        metavar="SECONDS",
        help="how long a client may take to answer when the server closes the connection",
    )
    add(
        "--stop-timeout",
        type=_seconds,
        default=default.stop_timeout,
        metavar="SECONDS",
        help="how long all clients together may take to answer when the server stops",
    )
    add(
        "--bus-timeout",
        type=_seconds,
        default=default.bus_timeout,
        metavar="SECONDS",
        help="how long another server may be silent before its clients count as gone; the same on all servers",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError
    return port


def _path(text: str) -> str:
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(?:/(?!\.\.?(?:/|$))[\w.~-]+)+", path, re.ASCII):
        raise ValueError
    return path


def _network(text: str) -> Network:
    network = ipaddress.ip_network(text)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return network if mapped is None else ipaddress.ip_network((mapped, network.prefixlen - 96))


def _field_name(text: str) -> str:
    if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", text, re.ASCII):
        raise ValueError
    return text.lower()


def _host(text: str) -> str:
    if "*" in text or not text or name_of(text) != text.lower().strip("[]").removesuffix("."):
        raise ValueError
    return text


def _origin(text: str) -> str:
    """Return an origin as browsers write it (RFC 6454, 6.2)."""
    try:
        rfc6455.ServerHandshake(origins=[text])
    except rfc6455.LocalProtocolError:
        raise ValueError from None
    if "*" in text:
        raise ValueError
    text = text.lower()
    return text.removesuffix({"http": ":80", "https": ":443"}.get(text.partition(":")[0], ""))


def _file(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _count(text: str) -> int:
    count = int(text)
    if not 0 <= count <= MOST:
        raise ValueError
    return count


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MOST / 1000:
        raise ValueError
    return seconds


# argparse names these in its error messages.
_port.__name__ = "port"
_path.__name__ = "path"
_network.__name__ = "address or network"
_field_name.__name__ = "name of a header"
_host.__name__ = "name or address without a port"
_origin.__name__ = "origin, such as https://example.com,"
_file.__name__ = "name of a file"
_count.__name__ = "count"
_seconds.__name__ = "number"
