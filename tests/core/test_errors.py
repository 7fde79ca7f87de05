"""Errors: their text, for people, and their attributes, for programs."""

from __future__ import annotations

import copy
import pickle

import pytest

from rfc6455 import CloseCode, HandshakeError, LocalProtocolError, ProtocolError, RemoteProtocolError

REMOTE = RemoteProtocolError(CloseCode.PROTOCOL_ERROR, "the reserved opcode 0x3", "5.2", 17)


@pytest.mark.parametrize("kind", [LocalProtocolError, RemoteProtocolError, HandshakeError])
def test_one_base_catches_all(kind: type[Exception]) -> None:
    assert issubclass(kind, ProtocolError)
    assert kind.__mro__[1] is ProtocolError


def test_remote_error_names_the_answer_the_rule_and_the_place() -> None:
    assert REMOTE.close_code == 1002
    assert REMOTE.reason == "the reserved opcode 0x3"
    assert REMOTE.section == "5.2"
    assert REMOTE.offset == 17
    assert REMOTE.frames == []
    assert str(REMOTE) == "the reserved opcode 0x3 (section 5.2 at byte 17; close code 1002)"


def test_a_place_that_is_found_later_is_shown_like_any_other() -> None:
    error = RemoteProtocolError(CloseCode.PROTOCOL_ERROR, "the reserved opcode 0x3", "5.2")
    error.found_at(17)
    assert (error, repr(error), str(error)) == (REMOTE, repr(REMOTE), str(REMOTE))


def test_remote_error_without_a_place() -> None:
    error = RemoteProtocolError(1009, "too much", "10.4")
    assert error.offset is None
    assert str(error) == "too much (section 10.4; close code 1009)"


def test_remote_errors_are_equal_by_content() -> None:
    """An event is a value, and so is the error in one."""
    same = RemoteProtocolError(1002, "the reserved opcode 0x3", "5.2", 17)
    assert same == REMOTE
    assert hash(same) == hash(REMOTE)
    others = [(1007, *same.args[1:]), (1002, "", "5.2", 17), (1002, same.reason, "5.5", 17), (*same.args[:3], 18)]
    assert all(RemoteProtocolError(*args) != same for args in others)
    assert same != same.args


def test_errors_do_not_share_their_frames() -> None:
    assert RemoteProtocolError(1002, "", "5.2").frames is not RemoteProtocolError(1002, "", "5.2").frames


def test_handshake_error_names_the_status_and_the_rule() -> None:
    error = HandshakeError(426, "version 12; 13 is required", "4.4")
    assert (error.status, error.reason, error.section, error.response) == (
        426,
        "version 12; 13 is required",
        "4.4",
        None,
    )
    assert str(error) == "426: version 12; 13 is required (section 4.4)"


def test_handshake_error_without_a_status() -> None:
    error = HandshakeError(None, "no HTTP at all")
    assert error.status is None
    assert str(error) == "no HTTP at all (section 4)"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize(
    "error", [REMOTE, HandshakeError(400, "two Hosts", "4.2.1"), LocalProtocolError("closed already")]
)
def test_errors_survive_copies_and_processes(error: Exception, duplicate: object) -> None:
    again = duplicate(error)  # type: ignore[operator]
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
