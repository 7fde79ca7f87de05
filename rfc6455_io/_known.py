"""The properties of connections of either kind, and the log message if something failed on one.

Not here: anything that reads, writes or waits.
"""

from __future__ import annotations

import logging
from typing import Any

from rfc6455 import Closed, Endpoint, Request, Response, ServerHandshake

logger = logging.getLogger("rfc6455_io")


class Known:
    """The properties that `asyncio.Listener` and the `WebSocket` of either kind share."""

    __slots__ = ()

    @property
    def _driver(self) -> Any:
        """The driver, whose endpoint has the information."""
        raise NotImplementedError

    def __repr__(self) -> str:
        driver = getattr(self, "_driver", None)
        if driver is None:
            return object.__repr__(self)  # a listener whose connection is not open yet
        connection, end = driver.endpoint.connection, self.end
        # The path, but not the query, which may contain a token.
        where = f"{connection.role.value} {self.request.path}"
        return f"<{type(self).__name__} {where} {'open' if end is None else f'closed {end.code:d}'}>"

    @property
    def request(self) -> Request:
        """The client's request."""
        request: Request | None = self._driver.endpoint.request
        assert request is not None
        return request

    @property
    def response(self) -> Response:
        """The server's answer, which has the status 101."""
        response: Response | None = self._driver.endpoint.response
        assert response is not None
        return response

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was negotiated (1.9), or ``None``."""
        subprotocol: str | None = self._driver.endpoint.subprotocol
        return subprotocol

    @property
    def latency(self) -> float | None:
        """How long the last Pong to a keepalive Ping took to arrive, in seconds; ``None`` before the first one."""
        latency: float | None = self._driver.endpoint.latency
        return latency

    @property
    def end(self) -> Closed | None:
        """The `rfc6455.Closed` event that says why the connection has ended; ``None`` while it is open."""
        end: Closed | None = self._driver.endpoint.end
        return end


def log_failure(endpoint: Endpoint, what: str) -> None:
    """Log the current exception, with which a connection or the opening handshake of a server ends. The peer is told
    only that something failed (7.4.1).

    :param what: what has failed on a connection.
    """
    # The path, but not the query, which may contain a token.
    path = None if endpoint.request is None else endpoint.request.path
    if endpoint.connection is None and isinstance(endpoint.handshake, ServerHandshake):
        name = "a request" if path is None else f"the request for {path}"
        logger.exception("%s is answered with 500: it could not be processed", name)
    else:
        name = "a connection" if path is None else f"the connection to {path}"
        logger.exception("%s is closed with 1011: its %s failed", name, what)
