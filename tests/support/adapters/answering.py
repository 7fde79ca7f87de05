"""The handling of events in all adapters: they accept every request, and pass on everything else."""

from collections.abc import Callable

from rfc6455 import Endpoint, Event, Request, Response


def answer(endpoint: Endpoint, data: bytes | None, now: float, on_event: Callable[[Event], object]) -> None:
    for event in endpoint.events(data, now=now):
        match event:
            case Request():
                endpoint.accept(now=now)
            case Response():
                pass
            case _:
                on_event(event)
