"""What a session does at moments that sockets and threads do not hit on demand."""

from __future__ import annotations

import time

from chat_server import open_session

import rfc6455


def test_a_ping_that_comes_when_our_pong_is_overdue_is_the_end() -> None:
    from outbox import Batch

    with open_session(ping_interval=0.001, pong_timeout=0.001) as late:
        for _ in range(3):  # our Ping; its Pong is late, which may be our fault; and again
            time.sleep(0.002)
            with late._lock:
                late._take([rfc6455.Ping(b"")])
        assert late._end == (3008, "the peer did not answer a Ping in time")
        assert not late._takes_part
        late._takes_part = True
        late.deliver(Batch(["for others"]))  # and who says it does not notice
