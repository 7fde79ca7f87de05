"""Masking (5.3) compared with the two lines of the RFC, at all lengths where the algorithm could change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import KEY, counting_random, keys_of, masked
from hypothesis import example, given
from hypothesis import strategies as st

import rfc6455
from rfc6455 import CLIENT, SERVER, Connection, apply_mask

# Around each power of two up to 64 KiB, and around round decimal numbers.
LENGTHS = sorted(
    {*range(70)}
    | {(1 << power) + near for power in range(6, 17) for near in range(-5, 6)}
    | {thousands * 1000 + near for thousands in (1, 2, 4, 8) for near in range(-5, 6)}
)

PATTERN = bytes(at * 7 % 256 for at in range(256)) * 300


@pytest.mark.parametrize("key", [KEY, bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01", b"\x80\x00\x00\x00"])
def test_as_the_rfc_defines_it(key: bytes) -> None:
    for length in LENGTHS:
        payload = PATTERN[:length]
        assert apply_mask(payload, key) == masked(payload, key), length


@given(st.binary(max_size=3000), st.binary(min_size=4, max_size=4))
@example(b"", bytes(4))
def test_masking_twice_changes_nothing(payload: bytes, key: bytes) -> None:
    assert apply_mask(apply_mask(payload, key), key) == payload


@pytest.mark.clause("6455:6.2-server-unmasks")
def test_example_of_5_7() -> None:
    """5.7, "A single-frame masked text message": the payload as it travels."""
    assert apply_mask(b"Hello", b"\x37\xfa\x21\x3d") == b"\x7f\x9f\x4d\x51\x58"


@pytest.mark.parametrize("length", [0, 5, 999, 1001, 5000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_whatever_holds_bytes_and_leaves_it_alone(kind: type, length: int) -> None:
    payload = kind(PATTERN[:length])
    result = apply_mask(payload, KEY)
    assert type(result) is bytes
    assert result == masked(PATTERN[:length], KEY)
    assert payload == PATTERN[:length]


def test_takes_a_view_with_gaps() -> None:
    assert apply_mask(memoryview(PATTERN)[1:4001:3], KEY) == masked(PATTERN[1:4001:3], KEY)


def test_the_key_may_be_a_bytearray() -> None:
    assert apply_mask(b"Hello", bytearray(KEY)) == masked(b"Hello", KEY)


@pytest.mark.parametrize("key", [b"", b"123", b"12345", bytes(8)])
def test_a_key_has_four_bytes(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"a masking key has 4 bytes, not {len(key)}"):
        apply_mask(b"Hello", key)


@pytest.mark.parametrize("payload", ["text", 5, None, [1, 2]], ids=repr)
def test_a_payload_that_is_no_bytes_is_refused(payload: object) -> None:
    with pytest.raises(TypeError):
        apply_mask(payload, KEY)  # type: ignore[arg-type]


# Where a client's keys come from (5.3, 10.3).


def words(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(1, count + 1)]


@pytest.mark.clause("6455:5.3-key-is-fresh", "6455:5.3-key-is-unpredictable", "6455:10.3-key-is-fresh")
def test_each_frame_has_a_fresh_key_from_the_source_and_none_is_used_twice() -> None:
    """5.3: for each frame, "the client MUST pick a fresh masking key from the set of allowed 32-bit values"."""
    stream = b"".join(words(10_000))
    taken = 0

    def source(size: int) -> bytes:
        nonlocal taken
        taken += size
        return stream[taken - size : taken]

    client = Connection(CLIENT, random=source)
    for number in range(500):
        client.send_text("x" * number)
        client.send_bytes(b"part", fin=False)
        client.ping(b"ping")
        client.send_bytes(b"", fin=True)
        client.send_prepared(rfc6455.PreparedMessage("shared"))
    client.receive_data(b"\x89\x00\x88\x00")
    keys = keys_of(client.data_to_send())
    assert len(keys) == len(set(keys)) == 5 * 500 + 2
    assert set(keys) <= set(words(10_000))


@pytest.mark.parametrize("given_bytes", [0, 1, 3, 4, 127, 128, 511])
def test_a_source_that_gives_too_little_is_an_error(given_bytes: int) -> None:
    """A frame with half a key, or none, would travel unmasked."""
    client = Connection(CLIENT, random=lambda size: bytes(min(size, given_bytes)))
    with pytest.raises(ValueError, match="random"):
        client.send_text("x")


@pytest.mark.parametrize("given", [None, "x" * 512, 512, [0] * 512], ids=["None", "text", "a number", "a list"])
def test_a_source_that_gives_no_bytes_is_an_error(given: object) -> None:
    client = Connection(CLIENT, random=lambda size: given)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match=r"what random\(\) returns is bytes, bytearray or memoryview, not"):
        client.send_text("x")
    assert client.data_to_send() == b""


def test_a_source_may_give_a_bytearray_and_use_it_again() -> None:
    shared = bytearray(b"\x01\x02\x03\x04" * 128)
    client = Connection(CLIENT, random=lambda size: shared)  # type: ignore[arg-type, return-value]
    client.send_text("x")
    shared[:] = bytes(512)
    client.send_text("x")
    assert keys_of(client.data_to_send()) == [b"\x01\x02\x03\x04"] * 2


def test_a_source_that_sends_itself_makes_no_key_come_twice() -> None:
    stream = iter(words(10_000))
    nested = [True]

    def random(size: int) -> bytes:
        if nested:
            nested.clear()
            client.ping(b"from inside")
        return b"".join(next(stream) for _ in range(size // 4))

    client = Connection(CLIENT, random=random)
    for _ in range(300):
        client.send_text("x")
    keys = keys_of(client.data_to_send())
    assert len(keys) == len(set(keys)) == 301


@pytest.mark.clause("6455:5.1-server-does-not-mask")
def test_a_source_is_asked_only_when_a_key_is_needed() -> None:
    def source(size: int) -> bytes:
        raise AssertionError("a server needs no keys")

    server = Connection(SERVER, random=source)
    server.send_text("x")
    server.close()
    assert server.data_to_send() == b"\x81\x01x\x88\x02\x03\xe8"
    assert Connection(CLIENT, random=source).data_to_send() == b""


def test_two_connections_share_no_keys() -> None:
    source = counting_random()
    clients = [Connection(CLIENT, random=source) for _ in range(2)]
    keys = []
    for _ in range(20):
        for client in clients:
            client.ping()
            keys += keys_of(client.data_to_send())
    assert len(set(keys)) == 40


@pytest.mark.clause("6455:5.3-key-is-strong")
def test_default_keys_differ_between_connections_and_processes() -> None:
    program = (
        "import rfc6455\n"
        "for _ in range(2):\n"
        "    client = rfc6455.Connection(rfc6455.CLIENT)\n"
        "    client.ping()\n"
        "    print(client.data_to_send().hex())\n"
    )
    root = str(Path(rfc6455.__path__[0]).parent)
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for _ in range(2)
    ]
    lines = "".join(outputs).split()
    assert len(set(lines)) == len(lines) == 4
    assert {line[:4] for line in lines} == {"8980"}
