"""What a session does at moments that sockets and threads do not hit on demand."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rfc6455


@contextmanager
def session(**settings: Any) -> Iterator[Any]:
    """A session with an open connection, of which no thread and no caretaker takes care."""
    from guard import Guard
    from hub import Hub
    from metrics import Metrics
    from pages import Pages
    from session import Chat, Session
    from settings import Settings
    from store import NoStore

    metrics = Metrics()
    pages = Pages(metrics, dict)
    chat = Chat(Settings(**settings), Hub(NoStore(), 10), Guard(0, 0, 0), pages, metrics, None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(rfc6455.ClientHandshake("ws://localhost/").data_to_send())
        one = Session(ours, "127.0.0.1", 1, chat)
        one.look()
        one._open()
        yield one
        chat.caretaker.start()  # only now, so that nothing is done behind the test's back
        chat.caretaker.stop()


def test_a_ping_that_comes_when_our_pong_is_overdue_is_the_end() -> None:
    from outbox import Batch

    with session(ping_interval=0.001, pong_timeout=0.001) as late:
        for _ in range(2):
            time.sleep(0.002)
            with late._lock:
                late._take([rfc6455.Ping(b"")])
        assert late._end == (3008, "the peer did not answer a Ping in time")
        assert not late._takes_part
        late._takes_part = True
        late.deliver(Batch(["for others"]))  # and who says it does not notice
