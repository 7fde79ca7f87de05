"""One client from the point of view of the service: its identity, access, limits, and reports about it.

A client gets an HTTP answer, or is let into a room. Everything about a client is logged and counted here.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

import lines
from outbox import Outbox

import rfc6455
from service.access import Refusal, refusal_of, refusal_of_caller
from service.guard import JOIN_TOKENS, Bucket, Meter
from service.log import failure, log
from service.pages import Answer, below, moved, room_of
from service.proxies import caller_of, is_trusted

if TYPE_CHECKING:
    from service.setup import Service

# The close codes that have a name.
_CODES = frozenset(map(int, rfc6455.CloseCode))

# The counts of a client before they are first taken.
_NOTHING: Counter[str] = Counter()

_numbers = itertools.count(1)


class Visitor:
    """One client.

    :param host: the address from which it connects; behind a trusted proxy, the client's own address is known later.
    """

    def __init__(self, host: str, port: int, service: Service) -> None:
        self.number = next(_numbers)
        self.user = ""
        self._service = service
        self._host = host
        self._peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        # The address for which the connection is counted. It is not a proxy's, since all clients would share that.
        self._booked: str | None = None
        self._bucket = Bucket(service.settings.rate, time.monotonic())
        self._meter = Meter()
        self._ws: rfc6455.Endpoint | None = None
        self._outbox: Outbox | None = None
        self._lost = "the connection was lost"
        self._failed = False
        self._settled = _NOTHING
        self._lock = threading.Lock()

    def admit(self) -> str:
        """Count the client when it has just connected. Return the reason why it is refused, or ``""``."""
        reason = self._service.guard.admit()
        if not reason and not is_trusted(self._host, self._service.settings.trust_proxy):
            reason = self._book(self._host)
            if reason:
                self.leave()
        return reason

    def turn_away(self, sock: socket.socket, reason: str) -> None:
        """Refuse the client without starting a thread, as a client too many must not cost more than this."""
        handshake = rfc6455.ServerHandshake()
        handshake.reject(HTTPStatus.SERVICE_UNAVAILABLE, body=f"{reason}\n".encode())
        try:
            sock.send(handshake.data_to_send(), socket.MSG_DONTWAIT)
        except OSError:
            pass
        sock.close()
        self.refused("busy", status=503, reason=reason)

    def watch(self, ws: rfc6455.Endpoint, outbox: Outbox) -> None:
        """Remember the endpoint and the outbox of the client."""
        self._ws = ws
        self._outbox = outbox

    def leave(self) -> None:
        """Stop counting the client."""
        self.settle()
        self._service.guard.release(self._booked)

    def answer(self, request: rfc6455.Request) -> Answer | str:
        """Return the answer to a request, or the room that it leads to."""
        settings = self._service.settings
        caller = caller_of(request, self._host, settings)
        path = below(settings.path, request.path)
        if self._booked is None:
            self._peer = f"{caller.address} via {self._peer}" if caller.address != self._host else self._peer
            reason = self._book(caller.address)
            if reason:
                return self._refuse(_busy(reason))
        refusal = refusal_of(request, settings)
        if refusal is not None:
            return self._refuse(refusal)
        if not request.is_upgrade:
            return self._page(path, request)
        room = None if path is None else room_of(path)
        if room is None:
            return self._refuse(
                Refusal(HTTPStatus.NOT_FOUND, "There is no such room.\n", "no such room", request.path)
            )
        refusal = refusal_of_caller(caller, settings)
        if refusal is None and not self._address_may(JOIN_TOKENS):
            refusal = _busy("too many clients join from this address")
        if refusal is not None:
            return self._refuse(refusal)
        self.user = caller.user
        return room

    def may_say(self, received: int, events: int, texts: Sequence[str]) -> bool:
        """Return whether the client is within its rate after this step; see `Meter.cost`."""
        tokens = self._meter.cost(received, events, texts)
        return not tokens or (self._bucket.take(tokens, time.monotonic()) and self._address_may(tokens))

    @property
    def held(self) -> int:
        """The number of bytes that wait for the client."""
        return 0 if self._outbox is None else self._outbox.held

    @property
    def latency(self) -> float:
        """The time in seconds that the client took to answer the last ping; 0 before the first answer."""
        return 0.0 if self._ws is None else self._ws.latency or 0.0

    def settle(self) -> None:
        """Add the traffic since the last call to the metrics. This does not include HTTP pages, as programs that read
        the metrics would be counted."""
        if self._ws is None or self._outbox is None or self._ws.connection is None:
            return
        with self._lock:
            now = Counter(
                received_bytes=self._ws.connection.bytes_received,
                sent_bytes=self._outbox.sent_bytes,
                delivered_lines=self._outbox.delivered,
            )
            self._service.metrics.count_all(now - self._settled)
            self._settled = now

    # Reports.

    def connected(self, room: str) -> None:
        self._service.metrics.count("connections", label='as="client"')
        self._log("connect", room=room, **({"user": self.user} if self.user else {}))

    def disconnected(self, name: str, end: tuple[int, str] | None) -> None:
        """Report the end, with its code and reason; ``None`` if they are unknown."""
        code, reason = end or (int(rfc6455.CloseCode.ABNORMAL_CLOSURE), self._lost)
        # A client may make up thousands of codes, and each label is kept for ever.
        self._service.metrics.count("closes", label=f'code="{int(code) if code in _CODES else "other"}"')
        self._log("disconnect", name=name, code=int(code), reason=lines.clean(reason).replace("\n\t", " "))

    def refused(self, kind: str, **fields: object) -> None:
        """Report that the client was refused.

        :param kind: one of a few reasons, for the metrics.
        """
        self._service.count_refused(kind)
        self._log("refused", **fields)

    def tls_broke(self, reason: str) -> None:
        """Report that the connection ends because the client does not use TLS, or violates it."""
        self._lost = f"TLS: {reason}"
        if self._ws is None or self._ws.connection is None:
            self.refused("tls", reason=reason)

    def failed(self, error: Exception) -> None:
        """Report an error of the server in handling the client, if it is the first one."""
        with self._lock:
            is_first, self._failed = not self._failed, True
        if is_first:
            failure(error, client=self.number, peer=self._peer)

    def _book(self, host: str) -> str:
        reason = self._service.guard.admit_from(host, time.monotonic())
        self._booked = None if reason else host
        return reason

    def _address_may(self, tokens: int) -> bool:
        return self._booked is None or self._service.guard.may_say(self._booked, tokens, time.monotonic())

    def _refuse(self, refusal: Refusal) -> Answer:
        self.refused(refusal.reason, status=int(refusal.status), reason=refusal.reason, value=refusal.value)
        return Answer(refusal.status, refusal.body.encode())

    def _page(self, path: str | None, request: rfc6455.Request) -> Answer:
        prefix = self._service.settings.path  # without a slash, the links to the page's other rooms would be wrong
        answer = moved(f"{prefix}/") if request.path == prefix else self._service.pages.answer(path)
        if not answer.is_routine:
            self._service.metrics.count("connections", label='as="page"')
            self._log("page", path=request.path, status=int(answer.status))
        return answer

    def _log(self, event: str, **fields: object) -> None:
        log(event, client=self.number, peer=self._peer, **fields)


def _busy(reason: str) -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n", "busy", reason)
