"""Limits for each client and each address: messages per second, and connections. Pure, except for a lock.

A limit of 0 means no limit. Time is an argument, as in `rfc6455.Deadlines`.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable

from lines import size

# A token bucket holds the tokens of this number of seconds, so that somebody may paste a page of lines at once.
BURST_SECONDS = 10.0

# A message takes a token, and so does this number of bytes of text after inflating, or of frames without text. With
# the default rate, this is 200 KiB per second, and 2 MiB at once. An outbox holds twice as much, so one client alone
# cannot fill the outbox of another.
TOKEN_BYTES = 4 << 10

# The tokens that it takes an address to join a room: all members are told, and the history is sent. With the default
# rate, a thousand may join at once, as many as there may be from one address, and then a hundred each second.
JOIN_TOKENS = 10

# Bytes that were counted when they arrived do not count again as text, up to this number, which is one read.
PAID_BYTES = 64 << 10

# When more addresses than this are known, those without anything to remember are forgotten.
MANY_ADDRESSES = 1000


class Meter:
    """The cost of one client's input, in tokens.

    Bytes count when they arrive, since fragments, and input that inflates to nothing, are work without an event. A
    text counts only as far as it is larger than these bytes.
    """

    def __init__(self) -> None:
        self._received = 0
        self._paid = 0
        self._rest = 0

    def cost(self, received: int, events: int, texts: Iterable[str]) -> int:
        """Return the number of tokens that the next step takes.

        :param received: the total number of bytes of frames that the client has sent.
        :param events: the number of events that this step produced.
        :param texts: the texts in these events.
        """
        new, self._received = received - self._received, received
        said = sum(map(size, texts))
        more = max(0, said - self._paid - new)
        self._paid = min(PAID_BYTES, max(0, self._paid + new - said))
        tokens, self._rest = divmod(self._rest + new + more, TOKEN_BYTES)
        return events + tokens


class Bucket:
    """A token bucket. It is full at first, and filled with ``rate`` tokens per second; see `Meter`."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = rate * BURST_SECONDS
        self._tokens = self._most
        self._at = now

    def take(self, count: int, now: float) -> bool:
        """Take ``count`` tokens and return ``True``, or take none and return ``False``."""
        if not self._rate:
            return True
        self._fill(now)
        if count > self._tokens:
            return False
        self._tokens -= count
        return True

    def is_full(self, now: float) -> bool:
        self._fill(now)
        return self._tokens >= self._most

    def _fill(self, now: float) -> None:
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now


class _Address:
    def __init__(self, rate: float, now: float) -> None:
        self.connections = 0
        self.bucket = Bucket(rate, now)


class Guard:
    """The counts and tokens of all addresses.

    :param connections: the maximum number of connections at a time from one address.
    :param rate: the maximum number of messages per second from one address.
    :param clients: the maximum number of connections in total.
    """

    def __init__(self, connections: int, rate: float, clients: int) -> None:
        self._most_connections = connections
        self._rate = rate
        self._most_clients = clients
        self._clients = 0
        self._lock = threading.Lock()
        self._addresses: dict[str, _Address] = {}

    def admit(self) -> str:
        """Count a connection. Return the reason why it is refused, or ``""`` if it is accepted."""
        with self._lock:
            if 0 < self._most_clients <= self._clients:
                return "too many clients"
            self._clients += 1
            return ""

    def admit_from(self, host: str, now: float) -> str:
        """Count the connection for its address, as soon as that is known. Return the same as `admit`."""
        with self._lock:
            if len(self._addresses) > MANY_ADDRESSES:
                self._forget_quiet_ones(now)
            network = _network(host)
            address = self._addresses.get(network)
            if address is None:
                address = self._addresses[network] = _Address(self._rate, now)
            if 0 < self._most_connections <= address.connections:
                return "too many connections from this address"
            address.connections += 1
            return ""

    def release(self, host: str | None) -> None:
        """Stop counting a connection, also for its address if it was counted there."""
        with self._lock:
            self._clients -= 1
            if host is not None:
                self._addresses[_network(host)].connections -= 1

    def may_say(self, host: str, tokens: int, now: float) -> bool:
        """Return whether ``host`` may now send something that takes this number of tokens."""
        if not self._rate:
            return True
        with self._lock:
            return self._addresses[_network(host)].bucket.take(tokens, now)

    def _forget_quiet_ones(self, now: float) -> None:
        # An address that has just spent its tokens is kept, as a new connection would otherwise bring new ones.
        for host, address in list(self._addresses.items()):
            if not address.connections and address.bucket.is_full(now):
                del self._addresses[host]


def _network(host: str) -> str:
    """Return what counts as one address. For IPv6, this is the /64, the smallest network that a customer is given."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False).network_address)
