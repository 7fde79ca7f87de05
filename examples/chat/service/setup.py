"""Everything that the sessions share, made from the settings.

The law: whatever cannot be used is reported at the start, with the switch and the file to look at (`StartError`).
"""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hub import Hub

import rfc6455
from service.bridge import Bridge
from service.caretaker import Caretaker
from service.guard import Guard
from service.log import log
from service.metrics import Metrics
from service.monitor import Monitor, Watched
from service.pages import Pages
from service.settings import PASSWORD_VARIABLE, Settings
from service.store import NoStore, SQLiteStore, Store
from service.tls import server_context
from service.troubles import Trouble

if TYPE_CHECKING:
    from service.bus import RedisBus


class StartError(Exception):
    """The reason why the server cannot start: the switch, its value, and the problem."""


class Service:
    """The objects that all sessions share.

    :param present: a function that returns the connections that take part, for programs that watch the server.
    :raises StartError: if something that the settings name cannot be used.
    """

    def __init__(self, settings: Settings, present: Callable[[], Iterable[Watched]] = tuple) -> None:
        self.settings = settings
        self.tls = self._server_context()
        self.metrics = Metrics()
        self._history_trouble = Trouble("history", self.metrics)
        self._bus_trouble = Trouble("bus", self.metrics)
        self._store = self._open_store()
        self.hub = Hub(self._store, *settings.history_limits, settings.memory)
        self._bus = self.hub.bus = self._open_bus()
        self.guard = Guard(settings.address_connections, settings.address_rate, settings.clients)
        bus = self._bus
        troubles = [self._history_trouble] if bus is None else [self._bus_trouble]
        monitor = Monitor(self.metrics, self.hub, troubles, present, None if bus is None else lambda: bus.is_connected)
        self.pages = Pages(monitor)
        self.caretaker = Caretaker(monitor.remind)
        # Each message is compressed independently (the default: no context takeover), so that all clients can be sent
        # the same bytes and none needs a compressor. Most lines of a chat are too short to gain from compression.
        extensions = [rfc6455.PerMessageDeflate(threshold=200)] if settings.deflate else []
        #: Each client gets a copy of this.
        self.handshake = rfc6455.ServerHandshake(
            extensions=extensions,
            # `access.py` checks the pages and the names of the server, as its refusals mention the switches.
            origins=rfc6455.ANY_ORIGIN,
            limits=rfc6455.Limits(message=settings.max_message or None),
            plain_http=True,
        )
        self.timeouts = rfc6455.Timeouts(
            open=settings.open_timeout or None,
            ping_interval=settings.ping_interval or None,
            pong=settings.pong_timeout or None,
            close=settings.close_timeout or None,
        )

    def start(self) -> None:
        """Start working.

        :raises StartError: if Redis refuses, and will do so until somebody corrects the settings.
        """
        if self._bus is not None:
            with _named("--bus"):
                self._bus.start()
        self.caretaker.start()

    def stop(self) -> None:
        """Shut down cleanly: write the last lines, and close sockets when nobody needs them any more."""
        if self._bus is not None:
            self._bus.stop()
        self.caretaker.stop()
        self._store.close()

    def read_certificate(self) -> None:
        """Read the certificate again, for new clients. If it cannot be used, keep the old one."""
        if self.settings.cert is None:
            return
        try:
            self.tls = self._server_context()
            log("certificate", file=self.settings.cert)
        except StartError as error:
            log("certificate", error=error)

    def count_refused(self, kind: str) -> None:
        """Count a connection that was turned away, for one of a few reasons."""
        self.metrics.count("connections", label='as="refused"')
        self.metrics.count("refused", label=f'reason="{kind}"')

    def _server_context(self) -> ssl.SSLContext | None:
        cert, key = self.settings.cert, self.settings.key
        if cert is None:
            return None
        with _named(f"--cert {cert}" + (f" --key {key}" if key is not None else "")):
            return server_context(cert, key)

    def _open_store(self) -> Store:
        settings = self.settings
        if settings.history is None:
            return NoStore()
        with _named(f"--history {settings.history}"):
            return SQLiteStore(settings.history, settings.history_lines, self._history_trouble)

    def _open_bus(self) -> RedisBus | None:
        settings = self.settings
        if settings.bus is None:
            return None
        try:
            from service.bus import RedisBus  # here, as only a chat with a bus needs the redis package
            from service.stream import Stream
        except ImportError:
            raise StartError("--bus needs the redis package: pip install redis") from None
        file = settings.bus_password_file
        with _named(PASSWORD_VARIABLE if file is None else f"--bus-password-file {file}"):
            password = settings.bus_password()
        with _named("--bus"):
            stream = Stream(settings.bus, password, settings.bus_stream, settings.max_message)
        return RedisBus(stream, Bridge(self.hub), settings.bus_timeout, self._bus_trouble)


@contextmanager
def _named(switch: str) -> Iterator[None]:
    """Add the name of the switch to an error that it causes."""
    try:
        yield
    except (OSError, ValueError, sqlite3.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise StartError(f"{switch}: {reason}") from error
