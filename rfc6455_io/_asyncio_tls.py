"""The TLS handshake with a client of a server on asyncio, until its driver takes over.

asyncio can do the handshake itself, but it creates the driver only afterwards. Until then, closing the server would
not end the client, and the reason for a failed handshake would not be logged. Both are still the case on uvloop, where
a connection starts to read before a task can call ``start_tls``.

The law: data that was received outside TLS is never passed on as if it had been encrypted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from ._asyncio_driver import Driver
from ._openings import log_not_accepted


def is_secured_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether to use `Securing` on a loop, and not the loop's own TLS."""
    return isinstance(loop, asyncio.BaseEventLoop)


class Securing(asyncio.Protocol):
    """The protocol of a connection during the TLS handshake.

    :param timeout: the maximum time for the handshake, in seconds; ``None`` for asyncio's own.
    :param start_task: runs a coroutine that may be cancelled.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        timeout: float | None,
        start_task: Callable[[Coroutine[Any, Any, None]], object],
        make_driver: Callable[[], Driver],
    ) -> None:
        self._context = context
        self._timeout = timeout
        self._start_task = start_task
        self._make_driver = make_driver
        self._early = b""  # decrypted input that arrives before the driver takes over
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._start_task(self._secure(transport))

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True

    async def _secure(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        how: dict[str, Any] = {"server_side": True, "ssl_handshake_timeout": self._timeout}
        self._early = b""
        try:
            # A task takes its first step before the first read, so everything that the client sends goes to TLS.
            secured = await loop.start_tls(transport, self, self._context, **how)
        except OSError as error:
            transport.abort()
            log_not_accepted(str(error) or "the client ended the stream before TLS was open", error)
            return
        except BaseException:
            transport.abort()
            raise
        if secured is not None:
            self._hand_over(secured)

    def _hand_over(self, secured: asyncio.Transport) -> None:
        driver = self._make_driver()
        secured.set_protocol(driver)  # type: ignore[arg-type]
        driver.connection_made(secured)
        if self._early:
            driver.data_received(self._early)
        if self._is_lost:
            driver.connection_lost(None)
