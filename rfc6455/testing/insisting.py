"""A check for a mistake that nothing else reveals: a loop that reads input, but never writes the answers to it.

A Pong or a Close frame that must be sent waits in `data_to_send`. A loop that reads on without fetching it passes
every test in which the peer sends no Ping, and loses its connection to the first peer that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

from ..standing_in import StandIn

_End = TypeVar("_End")


def insist_on_sending(end: _End) -> _End:
    """Return a stand-in for ``end``, for use in tests. The stand-in behaves like ``end``, even for ``isinstance``, but
    raises an error if new input is passed to it while there is something to send.

    Anything that another thread queues counts as well, so it does not suit a loop that lets other threads send between
    its reads.

    :param end: an `rfc6455.Endpoint` or a `rfc6455.Connection`, or any object with ``has_data_to_send``.
    :raises AssertionError: from ``receive_data()``, ``events()``, ``receive_headers()`` and ``buffer_updated()``, even
        when the input is the end of the stream. Without input, as in ``events(now=...)``, calls are always allowed.

    >>> import rfc6455
    >>> ws = insist_on_sending(rfc6455.Endpoint(rfc6455.Connection(rfc6455.CLIENT), now=0.0))
    >>> list(ws.events(bytes.fromhex("89 01 31"), now=1.0))
    [Ping(payload=b'1')]
    >>> ws.events(bytes.fromhex("81 02 6869"), now=2.0)
    Traceback (most recent call last):
        ...
    AssertionError: events() was called with input while there is data to send: call data_to_send() first
    >>> len(ws.data_to_send())
    7
    >>> list(ws.events(bytes.fromhex("81 02 6869"), now=2.0))
    [TextMessage(text='hi')]
    """
    return cast("_End", _Insisting(end))


class _Insisting(StandIn[Any]):
    def receive_data(self, data: Any, **options: Any) -> Any:
        self._check("receive_data", data)
        return self._wrapped.receive_data(data, **options)

    def events(self, data: Any = None, **options: Any) -> Iterator[Any]:
        self._check("events", data)
        return cast("Iterator[Any]", self._wrapped.events(data, **options))

    def receive_headers(self, headers: Any, **options: Any) -> Any:
        self._check("receive_headers", headers)
        return self._wrapped.receive_headers(headers, **options)

    def buffer_updated(self, size: int, **options: Any) -> Any:
        self._check("buffer_updated", size)
        return self._wrapped.buffer_updated(size, **options)

    def _check(self, call: str, given: object) -> None:
        if given is not None and self._wrapped.has_data_to_send:
            raise AssertionError(
                f"{call}() was called with input while there is data to send: call data_to_send() first"
            )
