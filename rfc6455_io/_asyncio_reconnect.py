"""A client on asyncio that connects again and again.

Not here: how it connects (`_asyncio_client.py`), and what is worth another try, after how long (`_retries.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from rfc6455 import URI, ConnectionClosedError, ProtocolError

from ._asyncio_client import ConnectArguments, connect
from ._asyncio_websocket import WebSocket
from ._retries import DEFAULT_BACKOFF, Backoff, Retries, is_worth_a_retry

if TYPE_CHECKING:
    from typing_extensions import Unpack


async def reconnect(
    uri: str | URI,
    *,
    backoff: Backoff = DEFAULT_BACKOFF,
    worth_retry: Callable[[Exception], bool] = is_worth_a_retry,
    tell: Callable[[Exception, float], object] | None = None,
    **arguments: Unpack[ConnectArguments],
) -> AsyncGenerator[WebSocket, None]:
    """Connect again and again: ``async for ws in reconnect(uri)``. Each `WebSocket` is closed when the body of the
    loop has been run; leave the loop to end it.

    An exception in the body ends it, too; so catch `rfc6455.ConnectionClosedError` there.

    :param backoff: how long to wait between two tries. What counts as a try in a row ends with a connection that was
        open for longer than ``Backoff.longest``.
    :param worth_retry: whether to try again after this error; the default is `is_worth_a_retry`. The end of a
        connection is given as a `rfc6455.ConnectionClosedError`.
    :param tell: called before each wait with the error and the delay in seconds; by default both are logged.
    :param arguments: those of `connect`.
    :raises Exception: what is not worth a retry: what `connect` raises, or `rfc6455.ConnectionClosedError`.
    """
    clock = asyncio.get_running_loop().time
    retries = Retries(backoff, worth_retry, tell)
    while True:
        began = clock()
        try:
            ws: WebSocket = await connect(uri, **arguments)
        except (OSError, ProtocolError) as failure:
            error: Exception = failure
        else:
            try:
                yield ws
            finally:
                await ws.close()
            error = ConnectionClosedError(await ws.wait_closed())
        await asyncio.sleep(retries.delay(error, clock() - began))
