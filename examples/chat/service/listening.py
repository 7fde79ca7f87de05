"""The sockets to listen on."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator, Sequence

from service.tuning import BACKLOG, SEND_BUFFER

# The addresses of `localhost`, as a browser may try either.
_LOCALHOST = ("127.0.0.1", "::1")

# All addresses of a family.
_ALL = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}

# The family, the address, and whether it must exist: a machine may be without IPv6.
_Address = tuple[socket.AddressFamily, str, bool]


def listen(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Open the sockets, all on the same port.

    :param hosts: names or addresses; ``::`` includes IPv4.
    :param port: 0 for any port that is free at the first of them.
    :raises OSError: if it is not possible to listen on one of them.
    """
    listeners: list[socket.socket] = []
    try:
        for family, address, is_needed in _without_covered(dict.fromkeys(_addresses(hosts))):
            try:
                listeners.append(_listen_on(family, address, port))
            except OSError as error:
                if is_needed or error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise OSError(f"--host {address} --port {port}: {os.strerror(error.errno or 0)}") from error
            port = port or listeners[0].getsockname()[1]
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _addresses(hosts: Sequence[str]) -> Iterator[_Address]:
    for host in hosts:
        if host == "localhost":
            yield socket.AF_INET, _LOCALHOST[0], True
            if _LOCALHOST[1] not in hosts:
                yield socket.AF_INET6, _LOCALHOST[1], False
            continue
        try:
            family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        except OSError as error:
            raise OSError(f"--host {host}: {error.strerror}") from error
        except UnicodeError as error:
            raise OSError(f"--host {host}: this cannot be a name") from error
        yield family, str(address[0]), True


def _without_covered(addresses: Collection[_Address]) -> list[_Address]:
    """Return the addresses without those that ``::`` or ``0.0.0.0`` includes; they would be taken twice."""
    wild = {address for _, address, _ in addresses}.intersection(_ALL.values())
    if "::" in wild and socket.has_dualstack_ipv6():
        return [each for each in addresses if each[1] == "::"]
    return [each for each in addresses if each[1] in wild or _ALL[each[0]] not in wild]


def _listen_on(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    is_both = address == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=is_both)
    listener.setblocking(False)
    # Accepted sockets inherit these options.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return listener
