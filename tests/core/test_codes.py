"""The registries of sections 5.2, 7.4, 11.7 and 11.8, compared with a second copy of them."""

from __future__ import annotations

import pytest

from rfc6455 import CLIENT, SERVER, CloseCode, Opcode, Role, is_sendable_close_code

# Section 11.8.
OPCODES = {"CONT": 0, "TEXT": 1, "BINARY": 2, "CLOSE": 8, "PING": 9, "PONG": 10}

# Section 7.4.1, and what the registry of 11.7 has got since.
CLOSE_CODES = {
    "NORMAL_CLOSURE": 1000,
    "GOING_AWAY": 1001,
    "PROTOCOL_ERROR": 1002,
    "UNSUPPORTED_DATA": 1003,
    "NO_STATUS_RCVD": 1005,
    "ABNORMAL_CLOSURE": 1006,
    "INVALID_DATA": 1007,
    "POLICY_VIOLATION": 1008,
    "MESSAGE_TOO_BIG": 1009,
    "MANDATORY_EXTENSION": 1010,
    "INTERNAL_ERROR": 1011,
    "SERVICE_RESTART": 1012,
    "TRY_AGAIN_LATER": 1013,
    "BAD_GATEWAY": 1014,
    "TLS_HANDSHAKE": 1015,
    "TIMEOUT": 3008,
}

# Which codes may travel: (first, last, may it).
RANGES = [
    (-(1 << 70), -1, False),
    (0, 999, False),
    (1000, 1003, True),
    (1004, 1006, False),
    (1007, 1014, True),
    (1015, 2999, False),
    (3000, 4999, True),
    (5000, 65535, False),
    (65536, 1 << 70, False),
]


def test_opcodes_are_those_of_11_8() -> None:
    assert {opcode.name: opcode.value for opcode in Opcode} == OPCODES


def test_close_codes_are_those_of_7_4_1_and_the_registry() -> None:
    assert {code.name: code.value for code in CloseCode} == CLOSE_CODES


def test_roles_are_each_others_peer() -> None:
    assert set(Role) == {CLIENT, SERVER}
    assert CLIENT.peer is SERVER
    assert SERVER.peer is CLIENT


@pytest.mark.clause("6455:7.4.1-never-1005", "6455:7.4.1-never-1006", "6455:7.4.1-never-1015")
@pytest.mark.parametrize(("first", "last", "sendable"), RANGES)
def test_sendable_close_codes_at_the_edges(first: int, last: int, sendable: bool) -> None:
    """7.4.1: 1004, 1005, 1006 and 1015 are never sent; 7.4.2: nor are codes outside all ranges."""
    assert is_sendable_close_code(first) is sendable
    assert is_sendable_close_code(last) is sendable


def test_sendable_close_codes_one_by_one() -> None:
    expected = {code: may for first, last, may in RANGES[1:-1] for code in range(first, last + 1)}
    assert {code: is_sendable_close_code(code) for code in range(65536)} == expected


def test_a_registered_code_may_travel_unless_it_is_for_local_use() -> None:
    local = {CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE, CloseCode.TLS_HANDSHAKE}
    assert {code for code in CloseCode if not is_sendable_close_code(code)} == local
