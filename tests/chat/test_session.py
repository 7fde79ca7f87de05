"""What a session does at moments that sockets and threads do not hit on demand."""

from __future__ import annotations

import time
from typing import Any

import pytest
from chat_server import open_session

import rfc6455

# So short that each look at the clock is late.
SOON = {"ping_interval": 0.001, "pong_timeout": 0.001}


def tick_late(session: Any, times: int) -> None:
    for _ in range(times):
        time.sleep(0.002)
        session.tick(time.monotonic())


def test_a_peer_that_does_not_answer_is_given_up_by_the_caretaker() -> None:
    from outbox import Batch

    with open_session(**SOON) as late:
        tick_late(late, 2)  # our Ping; its Pong is late, which may be our fault
        assert late._end is None
        tick_late(late, 1)
        assert late._end == (3008, "the peer did not answer a Ping in time")
        assert not late._takes_part
        late._takes_part = True
        late.deliver(Batch(["for others"]))  # and who says it does not notice
        assert late.due > time.monotonic() + 1, "the client has time to read why"


@pytest.mark.parametrize("answered", [True, False])
def test_a_caretaker_that_is_late_leaves_it_to_the_thread_that_has_something_to_read(answered: bool) -> None:
    """The server was stopped, or busy: the Pong has been in the socket all the time."""
    with open_session(**SOON) as late:
        tick_late(late, 1)
        client = rfc6455.Connection(rfc6455.CLIENT)
        late._greet()
        late.peer.recv(4096)
        if answered:
            client.pong(b"1")
        else:
            client.send_text("no Pong")
        late.peer.sendall(client.data_to_send())
        tick_late(late, 5)
        assert late._end is None
        with late._lock:
            late._take(late._receive_events(late._read()))
            assert late._ws.latency if answered else late._ws.latency is None
        assert not late._ws.closed
        tick_late(late, 5)
        assert late._end is not None, "a peer that answers no more is found all the same"
