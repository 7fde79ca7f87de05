"""What the options of uvicorn, and the attributes of a class derived from the protocol, mean to a connection.

Not here: the options about headers and paths (`_uvicorn_asgi.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from uvicorn.config import Config

import rfc6455

# As `rfc6455.ServerHandshake` takes them, but for a function alone, which would be a method of the class.
Origins = rfc6455.OriginPolicy | Collection[rfc6455.OriginPolicy | str | Callable[[rfc6455.Request], bool]]


def new_handshake(
    config: Config, origins: Origins, extensions: Sequence[rfc6455.Extension]
) -> rfc6455.ServerHandshake:
    """Return a handshake for one connection.

    :param extensions: those for which ``--ws-per-message-deflate`` stands.
    """
    used = extensions if config.ws_per_message_deflate else ()
    return rfc6455.ServerHandshake(extensions=used, origins=origins, limits=_limits(config.ws_max_size))


@lru_cache
def _limits(max_size: int | None) -> rfc6455.Limits:
    return rfc6455.Limits(message=max_size or None)


@lru_cache
def timeouts_for(ping_interval: float | None, pong: float | None) -> rfc6455.Timeouts:
    """Return the timeouts of a connection. An app may take as long as it likes to answer the opening handshake, and
    the protocol itself limits the time for the end."""
    return rfc6455.Timeouts(open=None, close=None, ping_interval=ping_interval or None, pong=pong or None)
