"""`PreparedMessage`: serialised and compressed once, sent to many, without affecting later messages."""

from __future__ import annotations

import zlib
from types import ModuleType
from typing import Any

import pytest
from deflating import both_takeovers, codec_of, compressing, inflated
from helpers import BINARY, BOTH_ROLES, TEXT, feed, keys_of, new_connection, read_frames, share, whole
from hypothesis import given
from hypothesis import strategies as st

from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    Connection,
    LocalProtocolError,
    PreparedMessage,
    Role,
    TextMessage,
)

BOTH_TAKEOVERS = pytest.mark.parametrize("takeover", [False, True], ids=["anew", "takeover"])

LONG = "prepared once, " * 50


@BOTH_ROLES
@pytest.mark.parametrize("content", ["text", "", "é" * 200, b"bytes", b"", bytes(70_000)])
def test_without_extensions_it_is_the_same_as_sending(role: Role, content: str | bytes) -> None:
    one, other = new_connection(role), new_connection(role)
    one.send_prepared(PreparedMessage(content))
    if isinstance(content, str):
        other.send_text(content)
    else:
        other.send_bytes(content)
    assert one.data_to_send() == other.data_to_send()


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_bytes_of_every_kind_are_taken_and_copied(make: Any) -> None:
    source = bytearray(b"bytes")
    prepared = PreparedMessage(make(source))
    source[:] = b"other"
    connection = Connection(SERVER)
    connection.send_prepared(prepared)
    assert read_frames(connection.data_to_send(), SERVER) == [(BINARY, b"bytes", True, 0)]


def test_servers_share_the_very_bytes() -> None:
    prepared = PreparedMessage(LONG)
    sent = []
    for _ in range(3):
        connection = Connection(SERVER)
        connection.send_prepared(prepared)
        sent.append(connection.data_to_send())
    assert sent[0] is sent[1] is sent[2]


@pytest.mark.clause("6455:5.3-key-is-fresh", "6455:10.3-key-is-fresh")
def test_each_client_masks_with_a_key_of_its_own() -> None:
    """5.3, and 10.3: a client must pick a new key for each frame, also for the same payload."""
    prepared = PreparedMessage(LONG)
    connections = [Connection(CLIENT) for _ in range(2)]
    keys = []
    for connection in connections:
        connection.send_prepared(prepared)
        connection.send_prepared(prepared)
        data = connection.data_to_send()
        assert read_frames(data, CLIENT) == [(TEXT, LONG.encode(), True, 0)] * 2
        keys += keys_of(data)
    assert len(set(keys)) == 4


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_compressed_it_can_be_read_and_so_can_later_messages(role: Role, takeover: bool) -> None:
    sender, receiver = compressing(role, takeover=takeover), compressing(role.peer, takeover=takeover)
    prepared = PreparedMessage(LONG, compress=True)
    for number in range(3):
        sender.send_text(f"{number} {LONG}")
        sender.send_prepared(prepared)
        sender.send_prepared(prepared)
    expected = [TextMessage(text) for number in range(3) for text in (f"{number} {LONG}", LONG, LONG)]
    assert feed(receiver, [sender.data_to_send()]) == expected


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_plain_zlib_reads_it_between_other_messages(role: Role, takeover: bool) -> None:
    """The peer's window has got the prepared message, and ours has not: what we send next must not look behind it."""
    sender = compressing(role, takeover=takeover)
    sender.send_text(LONG)
    sender.send_prepared(PreparedMessage(LONG[::-1]))
    sender.send_text(LONG)
    sender.send_text(LONG)
    payloads = [seen.payload for seen in read_frames(sender.data_to_send(), role)]
    assert inflated(payloads, takeover) == [text.encode() for text in (LONG, LONG[::-1], LONG, LONG)]
    # Context is taken over again from there on.
    assert (len(payloads[3]) < len(payloads[2])) == takeover


@BOTH_ROLES
@pytest.mark.parametrize(
    ("compress", "takeover", "size", "rsv"),
    [
        (None, False, 63, 0),
        (None, False, 64, 4),
        (None, True, 1, 4),
        (True, False, 1, 4),
        (False, False, 1000, 0),
        (False, True, 1000, 0),
    ],
)
def test_when_it_is_compressed(role: Role, compress: bool | None, takeover: bool, size: int, rsv: int) -> None:
    connection = compressing(role, takeover=takeover)
    connection.send_prepared(PreparedMessage(bytes(size), compress=compress))
    assert [seen.rsv for seen in read_frames(connection.data_to_send(), role)] == [rsv]


class CountingZlib(ModuleType):
    """zlib, and how many compressors it made."""

    def __init__(self) -> None:
        super().__init__("counting_zlib")
        self.error = zlib.error
        self.decompressobj = zlib.decompressobj
        self.Z_DEFAULT_COMPRESSION = zlib.Z_DEFAULT_COMPRESSION
        self.made: list[Any] = []

    def compressobj(self, *options: Any) -> Any:
        self.made.append(options)
        return zlib.compressobj(*options)


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_it_is_compressed_once_for_all_that_can_share_it(role: Role, takeover: bool) -> None:
    implementation = CountingZlib()
    prepared = PreparedMessage(LONG)
    options = {**both_takeovers(takeover), "implementation": implementation}
    payloads = set()
    for _ in range(5):
        connection = Connection(role, [codec_of(role, **options)])
        connection.send_prepared(prepared)
        payloads.update(seen.payload for seen in read_frames(connection.data_to_send(), role))
    assert len(implementation.made) == 1
    assert len(payloads) == 1


@BOTH_ROLES
def test_other_parameters_get_their_own(role: Role) -> None:
    """A window that is smaller than the message's, another level, and no compression at all, from one message."""
    side = "server" if role is SERVER else "client"
    far = bytes(range(256)) * 2 + bytes(20_000) + bytes(range(256)) * 2
    prepared = PreparedMessage(far)
    for options in ({}, {f"{side}_max_window_bits": 9}, {"level": 1}, {"mem_level": 1}, {}):
        codec = codec_of(role, **options)
        connection = Connection(role, [codec])
        connection.send_prepared(prepared)
        (sent,) = read_frames(connection.data_to_send(), role)
        assert inflated([sent.payload], takeover=False, bits=options.get(f"{side}_max_window_bits", 15)) == [far]
    connection = Connection(role)
    connection.send_prepared(prepared)
    assert read_frames(connection.data_to_send(), role) == [(BINARY, far, True, 0)]


@BOTH_ROLES
def test_implementations_of_one_name_are_told_apart(role: Role) -> None:
    """What one implementation wrote is never taken for what another would have written."""
    prepared = PreparedMessage(bytes(1000))
    made = []
    for _ in range(2):
        implementation = CountingZlib()
        connection = Connection(role, [codec_of(role, implementation=implementation)])
        connection.send_prepared(prepared)
        made.append(len(implementation.made))
    assert made == [1, 1]


@BOTH_ROLES
def test_any_object_with_the_interface_of_zlib_is_an_implementation(role: Role) -> None:

    class Interface:
        compressobj = staticmethod(zlib.compressobj)
        decompressobj = staticmethod(zlib.decompressobj)
        error = zlib.error
        Z_DEFAULT_COMPRESSION = zlib.Z_DEFAULT_COMPRESSION

    connection = Connection(role, [codec_of(role, implementation=Interface())])
    connection.send_prepared(PreparedMessage(LONG))
    (sent,) = read_frames(connection.data_to_send(), role)
    assert inflated([sent.payload], takeover=False) == [LONG.encode()]


@BOTH_ROLES
def test_nothing_is_sent_where_a_message_cannot_be(role: Role) -> None:
    prepared = PreparedMessage(LONG)
    connection = compressing(role)
    connection.send_text("begun", fin=False)
    before = connection.data_to_send()
    with pytest.raises(LocalProtocolError):
        connection.send_prepared(prepared)
    assert connection.data_to_send() == b""
    assert before
    connection.send_text("")
    connection.close()
    connection.data_to_send()
    with pytest.raises(LocalProtocolError):
        connection.send_prepared(prepared)
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_a_lone_surrogate_is_refused_when_it_is_prepared(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        PreparedMessage(text)


@pytest.mark.parametrize("message", [None, 5, ["a"], object()])
def test_what_is_no_message_is_refused_when_it_is_prepared(message: Any) -> None:
    with pytest.raises(TypeError):
        PreparedMessage(message)


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_any_mixture_is_read(role: Role, takeover: bool) -> None:
    contents = st.binary(max_size=50).map(lambda unit: unit * 20)

    @share(50)
    @given(steps=st.lists(st.tuples(st.booleans(), contents, st.sampled_from([None, True, False])), max_size=8))
    def run(steps: list[tuple[bool, bytes, bool | None]]) -> None:
        sender, receiver = compressing(role, takeover=takeover), compressing(role.peer, takeover=takeover)
        for is_prepared, content, compress in steps:
            if is_prepared:
                sender.send_prepared(PreparedMessage(content, compress=compress))
            else:
                sender.send_bytes(content, compress=compress)
        assert feed(receiver, whole(sender.data_to_send())) == [BytesMessage(content) for _, content, _ in steps]

    run()


@pytest.mark.parametrize("message", ["hello", b"hello", None, PreparedMessage])
def test_what_was_not_prepared_is_refused(message: Any) -> None:
    with pytest.raises(TypeError, match="prepared is a PreparedMessage, not "):
        Connection(SERVER).send_prepared(message)
