"""A client on asyncio that connects again and again.

Not here: how it connects (`_asyncio_client.py`), and whether and when to try again (`_retries.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

from rfc6455 import URI, ConnectionClosedError
from rfc6455.arguments import check_type

from ._asyncio_client import connect
from ._asyncio_websocket import WebSocket
from ._openings import ConnectArguments
from ._retries import DEFAULT_BACKOFF, Backoff, Retries, is_worth_a_retry

if TYPE_CHECKING:
    from typing_extensions import Unpack


async def reconnect(
    uri: str | URI | Callable[[], Awaitable[WebSocket]],
    *,
    backoff: Backoff = DEFAULT_BACKOFF,
    worth_retry: Callable[[Exception], bool] = is_worth_a_retry,
    tell: Callable[[Exception, float], object] | None = None,
    **arguments: Unpack[ConnectArguments],
) -> AsyncGenerator[WebSocket, None]:
    """Connect, and reconnect after each connection: ``async for ws in reconnect(uri)``. Each `WebSocket` is closed at
    the end of the loop's body. To stop, leave the loop.

    An exception in the body also ends the loop, so catch `rfc6455.ConnectionClosedError` inside it.

    :param uri: where to connect, as for `connect`. Or a function that makes each connection, such as a coroutine
        function that calls `connect` with a new token; it is called without arguments.
    :param backoff: how long to wait between two attempts. After a connection that was open for longer than
        ``Backoff.longest``, attempts are counted from the beginning again.
    :param worth_retry: a function that takes an error and returns whether to try again; the default is
        `is_worth_a_retry`. The end of a connection is passed as a `rfc6455.ConnectionClosedError`.
    :param tell: a function that is called before each delay, with the error and the delay in seconds; by default, both
        are logged.
    :param arguments: the keywords of `connect`, except ``sock``, which is good for one connection only. None with a
        function.
    :raises Exception: an error that is not worth a retry: what `connect` raises, or `rfc6455.ConnectionClosedError`.
    """
    clock = asyncio.get_running_loop().time
    retries = Retries(backoff, worth_retry, tell, uri, arguments)
    while True:
        began = clock()
        try:
            ws = await (uri() if callable(uri) else connect(uri, **arguments))
        except Exception as failure:
            error = failure
        else:
            check_type(ws, WebSocket, "what the function returns is a WebSocket, as connect() does")
            try:
                yield ws
            finally:
                await ws.close()
            error = ConnectionClosedError(await ws.wait_closed())
        await asyncio.sleep(retries.delay(error, clock() - began))
