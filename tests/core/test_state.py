"""The order of frames (5.4, 5.5, 5.5.1): each cell of the table, for receiving and for sending.

The table is written here as text, as in the documentation, and compared with both directions of a connection. Anything
that is not in it must be an error: the peer's if it was received, the caller's if it was to be sent.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from helpers import BINARY, BOTH_ROLES, CONT, KEY, PING, PONG, TEXT, check_failed, frame, read_frames, same_outcome, to

from rfc6455 import (
    CLIENT,
    SERVER,
    Connection,
    ConnectionState,
    Direction,
    LocalProtocolError,
    Opcode,
    PreparedMessage,
    Role,
)
from rfc6455.state import ILLEGAL, STEPS, TRANSITIONS, connection_state, why_illegal

TABLE = """
    IDLE        TEXT|BINARY fin -> IDLE    TEXT|BINARY more -> IN_MESSAGE    PING|PONG fin -> IDLE         CLOSE fin -> CLOSED
    IN_MESSAGE  CONT fin        -> IDLE    CONT more        -> IN_MESSAGE    PING|PONG fin -> IN_MESSAGE   CLOSE fin -> CLOSED
    CLOSED
"""  # noqa: E501


def read_table() -> dict[tuple[Direction, Opcode, bool], Direction]:
    cells = {}
    for line in TABLE.strip().splitlines():
        state, *words = line.split()
        for opcodes, fin, _, after in zip(*[iter(words)] * 4, strict=True):
            for opcode in opcodes.split("|"):
                cells[Direction[state], Opcode[opcode], fin == "fin"] = Direction[after]
    return cells


EXPECTED = read_table()

# All cells, those of the errors too.
CELLS = list(itertools.product(Direction, Opcode, (True, False)))


def test_the_published_table_is_the_one_that_runs() -> None:
    assert TRANSITIONS == EXPECTED
    assert len(EXPECTED) == 12


def test_the_string_that_runs_is_the_table_and_nothing_else() -> None:
    legal = {state << 8 | fin << 7 | opcode: after for (state, opcode, fin), after in EXPECTED.items()}
    assert list(STEPS) == [legal.get(place, ILLEGAL) for place in range(len(Direction) << 8)]


# Received.

# What brings the receiving direction into a state, written by hand.
RECEIVED_BEFORE: dict[Direction, list[tuple[int, bytes, bool]]] = {
    Direction.IDLE: [(TEXT, b"whole", True)],
    Direction.IN_MESSAGE: [(TEXT, b"begun", False)],
    Direction.CLOSED: [(8, b"\x03\xe8", True)],
}


@pytest.mark.clause(
    "6455:5.4-control-is-whole",
    "6455:5.4-messages-are-not-interleaved",
    "6455:5.5-not-fragmented",
    "6455:6.2-next-message",
)
@BOTH_ROLES
@pytest.mark.parametrize(("before", "opcode", "fin"), CELLS)
def test_received(role: Role, before: Direction, opcode: Opcode, fin: bool) -> None:
    prefix = b"".join(to(role, code, payload, fin=is_fin) for code, payload, is_fin in RECEIVED_BEFORE[before])
    connection = Connection(role)
    connection.receive_data(prefix)
    assert connection.received is before

    payload = b"" if opcode is Opcode.CLOSE else b"x"
    data = to(role, opcode, payload, fin=fin)
    connection.receive_data(data)
    result = same_outcome(role, prefix + data)
    after = EXPECTED.get((before, opcode, fin))
    if before is Direction.CLOSED:
        # Nothing is received any more, right or wrong: the frame is dropped.
        assert after is None
        assert result.closed is not None
        assert result.closed.clean
        assert connection.received is Direction.CLOSED
    elif after is None:
        section = "5.5" if opcode >= Opcode.CLOSE else "5.4"
        check_failed(result, role, 1002, section, len(prefix))
        assert connection.received is Direction.CLOSED
    else:
        assert result.failure is None
        assert connection.received is after
        assert connection.closed is (after is Direction.CLOSED)


# Sent.

Action = Callable[[Connection], None]

# Each thing that a caller can ask for, with the cell of the table that it stands for in IDLE and in IN_MESSAGE (a
# text message has begun). The caller does not name continuations: the second call for a message is one.
ACTIONS: dict[str, tuple[Action, tuple[int, bool], tuple[int, bool]]] = {
    "text": (lambda ws: ws.send_text("x"), (TEXT, True), (CONT, True)),
    "text more": (lambda ws: ws.send_text("x", fin=False), (TEXT, False), (CONT, False)),
    "bytes": (lambda ws: ws.send_bytes(b"x"), (BINARY, True), (BINARY, True)),
    "bytes more": (lambda ws: ws.send_bytes(b"x", fin=False), (BINARY, False), (BINARY, False)),
    "prepared text": (lambda ws: ws.send_prepared(PreparedMessage("x")), (TEXT, True), (TEXT, True)),
    "prepared bytes": (lambda ws: ws.send_prepared(PreparedMessage(b"x")), (BINARY, True), (BINARY, True)),
    "ping": (lambda ws: ws.ping(b"x"), (PING, True), (PING, True)),
    "pong": (lambda ws: ws.pong(b"x"), (PONG, True), (PONG, True)),
}

SENT_BEFORE: dict[Direction, Action] = {
    Direction.IDLE: lambda ws: None,
    Direction.IN_MESSAGE: lambda ws: ws.send_text("begun", fin=False),
    Direction.CLOSED: lambda ws: ws.close(),
}


@pytest.mark.clause(
    "6455:5.4-messages-are-not-interleaved",
    "6455:5.5.1-nothing-after-close",
    "6455:6.1-connection-is-open",
)
@BOTH_ROLES
@pytest.mark.parametrize("before", Direction)
@pytest.mark.parametrize("name", ACTIONS)
def test_sent(role: Role, before: Direction, name: str) -> None:
    act, when_idle, when_in_message = ACTIONS[name]
    connection = Connection(role)
    SENT_BEFORE[before](connection)
    connection.data_to_send()
    assert connection.sent is before

    opcode, fin = when_in_message if before is Direction.IN_MESSAGE else when_idle
    after = EXPECTED.get((before, Opcode(opcode), fin))
    if after is None:
        with pytest.raises(LocalProtocolError):
            act(connection)
        assert connection.data_to_send() == b""
        assert connection.sent is before
    else:
        act(connection)
        assert connection.sent is after
        assert read_frames(connection.data_to_send(), role) == [(opcode, b"x", fin, 0)]


@pytest.mark.clause("6455:7.1.2-sends-close")
@BOTH_ROLES
@pytest.mark.parametrize("before", Direction)
def test_close_is_legal_in_every_state(role: Role, before: Direction) -> None:
    connection = Connection(role)
    SENT_BEFORE[before](connection)
    connection.data_to_send()
    connection.close(1001, "bye")
    connection.close(1002)
    expected = [] if before is Direction.CLOSED else [(8, b"\x03\xe9bye", True, 0)]
    assert read_frames(connection.data_to_send(), role) == expected
    assert connection.sent is Direction.CLOSED


@pytest.mark.clause("6455:5.4-messages-are-not-interleaved", "6455:5.4-one-type", "6455:6.1-first-opcode")
@BOTH_ROLES
def test_text_and_binary_do_not_mix_in_either_order(role: Role) -> None:
    connection = Connection(role)
    connection.send_bytes(b"a", fin=False)
    with pytest.raises(LocalProtocolError, match="a binary message is not finished"):
        connection.send_text("b")
    connection.send_bytes(b"c")
    connection.send_text("d", fin=False)
    with pytest.raises(LocalProtocolError, match="a text message is not finished"):
        connection.send_bytes(b"e")
    connection.send_text("f")
    assert read_frames(connection.data_to_send(), role) == [
        (BINARY, b"a", False, 0),
        (CONT, b"c", True, 0),
        (TEXT, b"d", False, 0),
        (CONT, b"f", True, 0),
    ]


# The connection's state is derived from the two directions (7.1.3, 7.1.4).


def test_the_states_have_the_words_of_the_rfc() -> None:
    assert [state.value for state in ConnectionState] == ["open", "closing", "closed"]


@pytest.mark.parametrize(("sent", "received"), list(itertools.product(Direction, Direction)))
def test_state_of_the_connection(sent: Direction, received: Direction) -> None:
    how_many_closed = [sent, received].count(Direction.CLOSED)
    expected = [ConnectionState.OPEN, ConnectionState.CLOSING, ConnectionState.CLOSED][how_many_closed]
    assert connection_state(sent, received) is expected


@BOTH_ROLES
def test_state_through_a_closing_handshake(role: Role) -> None:
    connection = Connection(role)
    assert (connection.state, connection.sent, connection.received) == (ConnectionState.OPEN, 0, 0)
    connection.close()
    assert connection.state is ConnectionState.CLOSING
    assert not connection.closed
    connection.receive_data(to(role, 8))
    assert connection.state is ConnectionState.CLOSED
    assert connection.closed


def test_a_closing_peer_is_answered_at_once_so_the_state_is_closed() -> None:
    connection = Connection(SERVER)
    connection.receive_data(frame(8, key=KEY))
    assert (connection.state, connection.sent, connection.received) == (ConnectionState.CLOSED, 2, 2)


# Words.


def test_each_error_says_what_was_got() -> None:
    assert why_illegal(CONT) == "a continuation frame, but no message has begun"
    for opcode in Opcode.TEXT, Opcode.BINARY:
        assert why_illegal(opcode).startswith(f"a {opcode.name} frame inside a message that is not finished")


def test_the_caller_is_told_what_to_do_instead() -> None:
    client = Connection(CLIENT)
    client.send_text("x", fin=False)
    with pytest.raises(LocalProtocolError, match=r"a text message is not finished; send its last .* \(5.4"):
        client.send_prepared(PreparedMessage("y"))
    client.close()
    with pytest.raises(LocalProtocolError, match=r"this side has closed; nothing may follow its Close frame \(5.5.1"):
        client.send_text("z")
