"""What the test clients over HTTP/2 and HTTP/3 have in common: the events of one stream, and messages on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from rfc6455 import Closed, Event, Request, Response

E = TypeVar("E")


class StreamsClient:
    """A connection to the program, with any number of WebSockets.

    :ivar seen: the events of the HTTP library.
    """

    seen: list[Any]

    def until(self, condition: Callable[[], object]) -> None:
        """Receive until the condition holds."""
        raise NotImplementedError

    def of(self, stream: int, kind: type[E]) -> list[E]:
        events = [event for event in self.seen if isinstance(event, kind)]
        return [event for event in events if getattr(event, "stream_id", None) == stream]

    def receive_more(self) -> None:
        count = len(self.seen)
        self.until(lambda: len(self.seen) > count)


class StreamWebSocket:
    """One stream of it."""

    ws: Any  # a Connection or an Endpoint

    def send(self) -> None:
        raise NotImplementedError

    def receive(self) -> list[Any]:
        """Return the next events."""
        raise NotImplementedError

    def exchange(self, *messages: str | bytes) -> list[Request | Response | Event]:
        for message in messages:
            if isinstance(message, str):
                self.ws.send_text(message)
            else:
                self.ws.send_bytes(message)
        self.send()
        events: list[Request | Response | Event] = []
        while len(events) < len(messages):
            events += self.receive()
        return events

    def closed(self) -> Closed:
        """Read up to the end of the WebSocket."""
        while not isinstance(event := self.receive()[-1], Closed):
            pass
        return event
