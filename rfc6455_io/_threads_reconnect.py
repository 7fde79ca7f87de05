"""A client for threads that connects again and again.

Not here: how it connects (`_threads_client.py`), and whether and when to try again (`_retries.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING

from rfc6455 import URI, ConnectionClosedError
from rfc6455.arguments import check_type

from ._openings import ConnectArguments
from ._retries import DEFAULT_BACKOFF, Backoff, Retries, is_worth_a_retry
from ._threads_client import connect
from ._threads_loop import clock
from ._threads_websocket import WebSocket

if TYPE_CHECKING:
    from typing_extensions import Unpack


def reconnect(
    uri: str | URI | Callable[[], WebSocket],
    *,
    backoff: Backoff = DEFAULT_BACKOFF,
    worth_retry: Callable[[Exception], bool] = is_worth_a_retry,
    tell: Callable[[Exception, float], object] | None = None,
    sleep: Callable[[float], object] = time.sleep,
    **arguments: Unpack[ConnectArguments],
) -> Generator[WebSocket, None, None]:
    """Connect, and reconnect after each connection: ``for ws in reconnect(uri)``. Each `WebSocket` is closed at the
    end of the loop's body. To stop, leave the loop.

    An exception in the body also ends the loop. The arguments and errors are those of `rfc6455_io.asyncio.reconnect`,
    with one more argument:

    :param sleep: a function that is called to wait for the delay, such as ``Event.wait`` of an event that ends the
        program. If it raises an exception, that ends the loop.
    """
    retries = Retries(backoff, worth_retry, tell, uri, arguments)
    while True:
        began = clock()
        try:
            ws = uri() if callable(uri) else connect(uri, **arguments)
        except Exception as failure:
            error = failure
        else:
            check_type(ws, WebSocket, "what the function returns is a WebSocket, as connect() does")
            with closing(ws):
                yield ws
            error = ConnectionClosedError(ws.wait_closed())
        sleep(retries.delay(error, clock() - began))
