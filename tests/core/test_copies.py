"""Copying and pickling: values can be copied, and are equal to the original; the state of a connection cannot.

Also here: what happens when a process forks, which copies everything.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import BOTH_ROLES, keys_of, new_connection, to
from opening import REQUIRED, request

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    ClientHandshake,
    CloseCause,
    Closed,
    Connection,
    ConnectionClosedError,
    Deadlines,
    Endpoint,
    Frame,
    FrameParser,
    HandshakeError,
    Headers,
    Http2ClientHandshake,
    Http2ServerHandshake,
    LocalProtocolError,
    PerMessageDeflate,
    PreparedMessage,
    RemoteProtocolError,
    Response,
    Role,
    ServerHandshake,
    parse_uri,
)
from rfc6455.http1_heads import HeadError

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {number}": lambda value, number=number: pickle.dumps(value, number) for number in range(6)},
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


class Derived(Connection):
    """As an application may derive one, to keep something with it."""


STATEFUL: dict[str, Callable[[], object]] = {
    "a client's connection": lambda: new_connection(CLIENT),
    "a server's connection": lambda: new_connection(SERVER),
    "a derived connection": lambda: Derived(SERVER),
    "a connection that has ended": lambda: ended(Connection(SERVER)),
    "a server's handshake": ServerHandshake,
    "a client's handshake": lambda: ClientHandshake("ws://example.com/"),
    "a server's handshake over HTTP/2": Http2ServerHandshake,
    "a client's handshake over HTTP/2": lambda: Http2ClientHandshake("wss://example.com/"),
    "an endpoint": lambda: Endpoint(ServerHandshake(), now=0.0),
    "an endpoint of a connection": lambda: Endpoint(Connection(CLIENT), now=0.0),
    "deadlines": lambda: Deadlines(now=0.0),
    "a parser of frames": FrameParser,
    "the state of an extension": lambda: PerMessageDeflate().accept_answer(PARAMETERS),
}
PARAMETERS = [("server_no_context_takeover", None), ("client_no_context_takeover", None)]


def ended(connection: Connection) -> Connection:
    connection.receive_data(b"")
    return connection


@EVERY_WAY
@pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL)
def test_the_state_of_a_connection_is_not_copied(make: Callable[[], object], way: Callable[[object], object]) -> None:
    state = make()
    words = f"^an? {type(state).__name__} is the state of one connection, and cannot be copied or pickled$"
    with pytest.raises(TypeError, match=words):
        way(state)


def refused(data: bytes) -> HandshakeError:
    with pytest.raises(HandshakeError) as caught:
        ServerHandshake().receive_data(data)
    return caught.value


def refused_by_server(answer: bytes) -> Closed:
    client = Endpoint(ClientHandshake("ws://example.com/"), now=0.0)
    *_, closed = client.events(answer, now=1.0)
    assert isinstance(closed, Closed)
    return closed


def closed_by(data: bytes) -> Closed:
    *_, closed = new_connection(SERVER).receive_data(data)
    assert isinstance(closed, Closed)
    return closed


# Each call makes a new one, so that what is equal is not the same.
VALUES: dict[str, Callable[[], Any]] = {
    "Closed": lambda: closed_by(to(SERVER, 8, b"\x03\xe8bye")),
    "Closed by a violation": lambda: closed_by(b"\x83\x00"),
    "Closed by a refusal": lambda: refused_by_server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
    "Closed by what is not HTTP": lambda: refused_by_server(b"\0\0"),
    "LocalProtocolError": lambda: LocalProtocolError("not now"),
    "RemoteProtocolError": lambda: RemoteProtocolError(1002, "no", "5.2", 7),
    "RemoteProtocolError of a connection": lambda: closed_by(b"\x83\x00").error,
    "HandshakeError": lambda: HandshakeError(426, "no", "4.4"),
    "HandshakeError with an answer": lambda: HandshakeError(
        403, "no", "4", Response(403, Headers({"A": "b"}), b"body"), CloseCause.OPENING_REFUSED
    ),
    "HandshakeError of a server": lambda: refused(request(line="POST / HTTP/1.1")),
    "ConnectionClosedError": lambda: ConnectionClosedError(Closed(1001, "bye", True)),
    "HeadError": lambda: HeadError(400, "no", "RFC 9112 5.1"),
    "Frame": lambda: Frame(3, b"x", fin=False, rsv=1),
    "Request": lambda: ServerHandshake().receive_data(request()),
    "Response": lambda: Response(101, Headers(REQUIRED)),
    "URI": lambda: parse_uri("ws://example.com/chat"),
    "Limits": lambda: rfc6455.Limits(message=None),
    "Timeouts": lambda: rfc6455.Timeouts(idle=5),
    "PerMessageDeflate": lambda: PerMessageDeflate(level=1),
    "DeflateParameters": lambda: rfc6455.DeflateParameters.parse(PARAMETERS),
}


@EVERY_WAY
@pytest.mark.parametrize("name", VALUES)
def test_a_value_equals_its_copy(name: str, way: Callable[[Any], Any]) -> None:
    value = VALUES[name]()
    again = way(value)
    again = pickle.loads(again) if isinstance(again, bytes) else again
    assert type(again) is type(value)
    assert again == value == VALUES[name]()
    assert hash(again) == hash(value)
    assert (repr(again), str(again)) == (repr(value), str(value))
    if isinstance(value, Exception):
        assert vars(again) == vars(value)


@pytest.mark.parametrize(
    "other",
    [
        HandshakeError(400, "no", "4.4"),
        HandshakeError(426, "yes", "4.4"),
        HandshakeError(426, "no", "4.1"),
        HandshakeError(426, "no", "4.4", Response(426)),
        HandshakeError(426, "no", "4.4", None, CloseCause.OPENING_EOF),
        LocalProtocolError(426, "no", "4.4", None, CloseCause.OPENING_INVALID),
        (426, "no", "4.4", None, CloseCause.OPENING_INVALID),
    ],
)
def test_a_handshake_error_equals_none_that_differs_in_a_field(other: object) -> None:
    assert HandshakeError(426, "no", "4.4") == HandshakeError(426, "no", "4.4")
    assert other != HandshakeError(426, "no", "4.4")


def test_the_answer_that_a_server_adds_counts() -> None:
    error = refused(request(line="POST / HTTP/1.1"))
    assert error.response is not None
    assert error != HandshakeError(error.status, error.reason, error.section, None, error.cause)


@EVERY_WAY
@pytest.mark.parametrize("message", ["tschüß", b"\xff\x00"])
@pytest.mark.parametrize("compress", [None, True, False])
def test_a_prepared_message_can_be_sent_by_another_process(
    message: str | bytes, compress: bool | None, way: Callable[[Any], Any]
) -> None:
    prepared = PreparedMessage(message, compress=compress)
    again = way(prepared)
    again = pickle.loads(again) if isinstance(again, bytes) else again
    assert (again.first, again.payload, again.compress) == (prepared.first, prepared.payload, compress)
    assert again._buffers == prepared._buffers


FORKS = """
import os, sys
import rfc6455

def frames(ws, count):
    for _ in range(count):
        ws.send_bytes(bytes(4))
    return ws.data_to_send()

connections = [rfc6455.Connection(rfc6455.CLIENT) for _ in range(3)]
# One whose random bytes are all used, one with some left, one that has none yet.
frames(connections[0], 128)
frames(connections[1], 5)
for _ in range(2):
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        for ws in connections:
            os.write(write, frames(ws, 40))
        # A child of the child.
        if os.fork() == 0:
            for ws in connections:
                os.write(write, frames(ws, 40))
            os._exit(0)
        os.wait()
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        sys.stdout.buffer.write(pipe.read())
    os.wait()
for ws in connections:
    sys.stdout.buffer.write(frames(ws, 40))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork()")
@pytest.mark.clause("6455:5.3-key-is-fresh", "6455:5.3-key-is-unpredictable")
def test_after_a_fork_no_masking_key_is_used_twice() -> None:
    root = Path(rfc6455.__file__).parent.parent
    finished = subprocess.run([sys.executable, "-c", FORKS], cwd=root, capture_output=True, timeout=60)
    assert finished.stderr == b""
    keys = keys_of(finished.stdout)
    assert len(keys) == 5 * 3 * 40
    assert len(set(keys)) == len(keys)


@BOTH_ROLES
def test_without_a_fork_random_bytes_are_fetched_for_many_frames(role: Role) -> None:
    fetched = []

    def random(size: int) -> bytes:
        fetched.append(size)
        return os.urandom(size)

    connection = Connection(role, random=random)
    for _ in range(256):
        connection.send_bytes(b"x")
    assert sum(fetched) == (256 * 4 if role is CLIENT else 0)
    assert len(fetched) <= 2
