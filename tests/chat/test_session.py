"""A session at moments that cannot be produced reliably with sockets and threads."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from chat_server import PATIENCE, open_session, wait_until

import rfc6455

# So short that each look at the clock is late.
SOON = {"ping_interval": 0.001, "pong_timeout": 0.001}


def tick_late(session: Any, times: int) -> None:
    for _ in range(times):
        time.sleep(0.002)
        session.tick(time.monotonic())


def test_a_peer_that_does_not_answer_is_given_up_by_the_caretaker() -> None:
    from outbox import Batch
    from session import Phase

    with open_session(**SOON) as late:
        tick_late(late, 2)  # our Ping; its Pong is late, which may be our fault
        assert late._end is None
        tick_late(late, 1)
        assert late._end == (3008, "the peer did not answer a Ping in time")
        assert not late.takes_part
        late._phase = Phase.CHATTING
        late.deliver(Batch(["for others"]))  # and who says it does not notice
        assert late.due > time.monotonic() + 1, "the client has time to read why"


@pytest.mark.parametrize("answered", [True, False])
def test_a_caretaker_that_is_late_leaves_it_to_the_thread_that_has_something_to_read(answered: bool) -> None:
    """The server was stopped, or busy: the Pong has been in the socket all the time."""
    with open_session(**SOON) as late:
        tick_late(late, 1)
        client = rfc6455.Connection(rfc6455.CLIENT)
        late._outbox.release()
        late.peer.recv(4096)
        if answered:
            client.pong(b"1")
        else:
            client.send_text("no Pong")
        late.peer.sendall(client.data_to_send())
        tick_late(late, 5)
        assert late._end is None
        with late._lock:
            late._receive(late._wire.read())
            assert late._ws.latency if answered else late._ws.latency is None
        assert not late._ws.closed
        tick_late(late, 5)
        assert late._end is not None, "a peer that answers no more is found all the same"


def test_a_talker_is_held_back_while_the_room_is_behind_and_its_clock_stands_still() -> None:
    from hub import Hub
    from service.store import NoStore

    hub = Hub(NoStore(), 10)
    with open_session(outbox_bytes=100_000) as talker, open_session(outbox_bytes=100_000) as listener:
        for session in (talker, listener):
            room = hub.join("/", session)
            session._outbox.release()
        while not room.is_behind:
            hub.say(room, talker, ["Ann: " + "x" * 9000])
        held = threading.Thread(target=talker._hold_back, args=(room,))
        held.start()
        wait_until(lambda: talker.due == float("inf"), "the clock stands still")
        assert held.is_alive()
        while not listener._outbox.is_empty:
            listener.peer.recv(1 << 20)
            listener.flush()
        held.join(PATIENCE)
        assert not held.is_alive()
        assert talker.due < float("inf")
        assert talker._end is listener._end is None


def test_a_talker_is_not_held_back_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it when the server ends it, or stops."""
    from service import pace

    monkeypatch.setattr(pace, "HOLD_SECONDS", 0.01)
    pace.hold_back(lambda: True)
    monkeypatch.setattr(pace, "HOLD_SECONDS", 3600.0)
    room = SimpleNamespace(lock=threading.Lock(), look=lambda _: True)
    with open_session() as talker:
        talker._outbox.release()
        held = threading.Thread(target=talker._hold_back, args=(room,))
        held.start()
        wait_until(lambda: talker.due == float("inf"), "it is held")
        talker.close(1012, "")
        held.join(PATIENCE)
        assert not held.is_alive()
