"""How much a client and an address may do: messages per second, and connections. Pure, except for its lock.

A limit of 0 is off. Time is an argument, as in `rfc6455.Deadlines`.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable

from lines import size

# A token bucket holds the tokens of so many seconds, so that somebody may paste a page of lines at once.
BURST_SECONDS = 10.0

# A message takes a token, and so does this number of bytes of text after inflating, or of frames without text. With
# the default rate that is 200 KiB a second, and 2 MiB at once: half of what an outbox holds, so that one alone can
# fill no other's.
TOKEN_BYTES = 4 << 10

# A text is not counted again for bytes that were counted when they came, up to this number, which is one read.
PAID_BYTES = 64 << 10

# With more addresses than this in the books, those without anything to remember are forgotten.
MANY_ADDRESSES = 1000


class Meter:
    """What the input of one client costs, in tokens.

    Bytes count when they come, since fragments, and input that inflates to nothing, are work without an event. A text
    counts as far as it is larger than they were.
    """

    def __init__(self) -> None:
        self._received = 0
        self._paid = 0
        self._rest = 0

    def cost(self, received: int, events: int, texts: Iterable[str]) -> int:
        """Return how many tokens the next step takes.

        :param received: how many bytes of frames the client has sent in total.
        :param events: how many events this step produced.
        :param texts: what was said in them.
        """
        new, self._received = received - self._received, received
        said = sum(map(size, texts))
        more = max(0, said - self._paid - new)
        self._paid = min(PAID_BYTES, max(0, self._paid + new - said))
        tokens, self._rest = divmod(self._rest + new + more, TOKEN_BYTES)
        return events + tokens


class Bucket:
    """A token bucket: full at first, filled with ``rate`` tokens a second; see `Meter`."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = rate * BURST_SECONDS
        self._tokens = self._most
        self._at = now

    def take(self, count: int, now: float) -> bool:
        """Take ``count`` tokens, or none and say ``False``."""
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
    """The books of all addresses.

    :param connections: the maximum number at once from one address.
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
        """Book a connection; return why it may not come in, or ``""`` if it may."""
        with self._lock:
            if 0 < self._most_clients <= self._clients:
                return "too many clients"
            self._clients += 1
            return ""

    def admit_from(self, host: str, now: float) -> str:
        """Book the address of a connection as soon as it is known; return the same."""
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
        """Take a connection off the books, and its address if that was booked."""
        with self._lock:
            self._clients -= 1
            if host is not None:
                self._addresses[_network(host)].connections -= 1

    def may_say(self, host: str, tokens: int, now: float) -> bool:
        """Return whether ``host`` may now send something that takes so many tokens."""
        if not self._rate:
            return True
        with self._lock:
            return self._addresses[_network(host)].bucket.take(tokens, now)

    def _forget_quiet_ones(self, now: float) -> None:
        # One that has just spent its tokens stays, or a new connection would bring new ones.
        for host, address in list(self._addresses.items()):
            if not address.connections and address.bucket.is_full(now):
                del self._addresses[host]


def _network(host: str) -> str:
    """Return what counts as one address: for IPv6 the /64, which is the least that one customer is given."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False).network_address)
