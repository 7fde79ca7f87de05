"""`rfc6455.testing` against other libraries: they accept what it calls legal, and understand its conversations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

pytest.importorskip("websockets")
pytest.importorskip("wsproto")

import websockets.http11
import websockets.server
import wsproto
import wsproto.events
from helpers import share
from hypothesis import given
from other_peers import End, OurEnd, WebsocketsEnd, WsprotoEnd

from rfc6455 import CLIENT, SERVER, Closed, Pong, Role
from rfc6455.testing import Action, Head, Pair, Say, expected_events, play, read_frames, status_of
from rfc6455.testing import strategies as ws


def served_by_wsproto(portions: Sequence[bytes]) -> bytes:
    connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    for portion in portions:
        connection.receive_data(portion)
    (request,) = connection.events()
    assert isinstance(request, wsproto.events.Request)
    return connection.send(wsproto.events.AcceptConnection())


def served_by_websockets(portions: Sequence[bytes]) -> bytes:
    protocol = websockets.server.ServerProtocol(subprotocols=None)
    for portion in portions:
        protocol.receive_data(portion)
    (request,) = protocol.events_received()
    assert isinstance(request, websockets.http11.Request)
    protocol.send_response(protocol.accept(request))
    return b"".join(protocol.data_to_send())


@pytest.mark.parametrize("serve", [served_by_wsproto, served_by_websockets])
@share(15)
@given(request=ws.requests())
def test_others_accept_every_legal_request(serve: Callable[[Sequence[bytes]], bytes], request: Head) -> None:
    assert status_of(serve([bytes(request)])) == 101


ENDS: dict[str, Callable[[Role], End]] = {"ours": OurEnd, "wsproto": WsprotoEnd, "websockets": WebsocketsEnd}


def say_to_end(end: End, action: Say) -> None:
    end.say(action)


def is_understood_by_all(conversation: Sequence[Action]) -> bool:
    """Not what `test_peers_differ.py` exempts: Bad Gateway for wsproto, a Close within a message for websockets, be it
    the answer to one."""
    said = [action for action in conversation if isinstance(action, Say)]
    closes = [action.content for action in said if action.kind == "close"]
    fins = {action.role: action.fin for action in said if action.kind in ("text", "bytes")}
    return not closes or (all(fins.values()) and 1014 not in [content[0] for content in closes if content])


@pytest.mark.parametrize("client", ENDS)
@pytest.mark.parametrize("server", ENDS)
@share(6)
@given(conversation=ws.conversations().filter(is_understood_by_all))
def test_any_two_libraries_understand_each_other(client: str, server: str, conversation: list[Action]) -> None:
    pair = Pair(ENDS[client](CLIENT), ENDS[server](SERVER))
    play(pair, conversation, say_to_end)
    said_close = [action for action in conversation if isinstance(action, Say) and action.kind == "close"]
    for role in Role:
        events = pair.take(role)
        ends = [event for event in events if isinstance(event, Closed)]
        assert [event for event in events if not isinstance(event, Closed | Pong)] == [
            event for event in expected_events(conversation, role) if not isinstance(event, Pong)
        ]
        assert [end.clean for end in ends] == [True] * (len(said_close) > 0)
        assert pair.under_way[role] == b""
        # 5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
        opcodes = [frame.opcode for frame in read_frames(bytes(pair.sent[role]))[0]]
        assert opcodes.count(8) == (len(said_close) > 0)
        assert not said_close or min(opcodes[opcodes.index(8) + 1 :], default=9) > 8
