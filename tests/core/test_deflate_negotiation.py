"""The tables of the negotiation of permessage-deflate (RFC 7692, section 7.1), read from the docstrings row by row.

The docstring of `PerMessageDeflate` has three tables with its offers, answers and conditions for accepting. Each row
is tried with every number for which its letters can stand, so that the tables in the reference match the code.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import re
from typing import Any

import pytest
from deflating import words

from rfc6455 import DeflateParameters, HandshakeError, PerMessageDeflate

Row = list[str]

BITS = ["server_max_window_bits", "client_max_window_bits"]
TAKEOVERS = ["server_no_context_takeover", "client_no_context_takeover"]


def rows_of(method: Any) -> list[Row]:
    """The rows of the table in a docstring."""
    lines = inspect.cleandoc(method.__doc__).splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("====")]
    assert len(rules) == 3, method
    return [re.split(r" {2,}", line.strip()) for line in lines[rules[1] + 1 : rules[2]]]


def cases_of(method: Any) -> list[Row]:
    """Each row once for each way to read its alternatives and its letters."""
    cases = []
    for row in rows_of(method):
        for cells in itertools.product(*(cell.split(" or ") for cell in row)):
            letters = {"M": range(9, 15), "N": range(9, 16)}
            used = [letter for letter in letters if any(re.search(rf"\b{letter}\b", cell) for cell in cells)]
            for numbers in itertools.product(*(letters[letter] for letter in used)):
                values = dict(zip(used, numbers, strict=True))
                if is_case(cells[-2], values):
                    cases.append([filled(cell, values) for cell in cells])
    return cases


def is_case(cell: str, values: dict[str, int]) -> bool:
    """Whether these numbers are in the relation that a cell may ask for."""
    if cell == "N above M":
        return values["N"] > values["M"]
    return cell != "N up to M" or values["N"] <= values["M"]


def filled(cell: str, values: dict[str, int]) -> str:
    cell = cell.removesuffix(" above M").removesuffix(" up to M")
    for letter, number in values.items():
        cell = re.sub(rf"\b{letter}\b", str(number), cell)
    least = re.fullmatch(r"min\((\d+), (\d+)\)", cell)
    return str(min(map(int, least.groups()))) if least else cell


def configured(name: str, cell: str) -> PerMessageDeflate:
    value, _, required = cell.partition(", ")
    options: dict[str, Any] = {name: {"None": None, "True": True, "False": False}.get(value, value)}
    if value.isdigit():
        options[name] = int(value)
    if required:
        options["require_client_max_window_bits"] = True
    # So that only the parameter in question is in the words.
    for other in set(TAKEOVERS) - {name}:
        options[other] = None if (name, other) == (BITS[1], TAKEOVERS[1]) else False
    return PerMessageDeflate(**options)


def offered(name: str, cell: str) -> str:
    return "" if cell == "absent" else name if cell == "present" else f"{name}={cell}"


def said(parameters: str, name: str) -> str:
    """What a header says of one parameter, in the words of the tables."""
    for found, value in words(parameters):
        if found == name:
            return "present" if value is None else value
    return "absent"


@pytest.mark.parametrize(("name", "config", "expected"), cases_of(PerMessageDeflate.offer))
def test_what_a_client_offers(name: str, config: str, expected: str) -> None:
    assert said(configured(name, config).offer(), name) == expected


@pytest.mark.clause("7692:7.1.1.1-is-supported", "7692:7.1.2.2-only-if-offered")
@pytest.mark.parametrize(("name", "config", "offer", "expected"), cases_of(PerMessageDeflate.accept_offer))
def test_what_a_server_answers(name: str, config: str, offer: str, expected: str) -> None:
    codec = configured(name, config).accept_offer(words(offered(name, offer)))
    if expected == "declined":
        assert codec is None
    else:
        assert codec is not None
        assert said(codec.parameters, name) == expected
        assert str(codec.agreed) == codec.parameters.removeprefix("permessage-deflate").removeprefix("; ")


@pytest.mark.clause("7692:7.1.1.2-is-supported")
@pytest.mark.parametrize(("name", "config", "answer", "expected"), cases_of(PerMessageDeflate.accept_answer))
def test_what_a_client_accepts(name: str, config: str, answer: str, expected: str) -> None:
    extension = configured(name, config)
    if expected == "fails":
        with pytest.raises(HandshakeError, match="does not match the offer"):
            extension.accept_answer(words(offered(name, answer)))
        return
    codec = extension.accept_answer(words(offered(name, answer)))
    in_use = {
        "server_no_context_takeover": "absent" if codec.inflate_takeover else "present",
        "client_no_context_takeover": "absent" if codec.deflate_takeover else "present",
        "server_max_window_bits": str(codec.inflate_bits),
        "client_max_window_bits": str(codec.deflate_bits),
    }
    assert in_use[name] == expected


@pytest.mark.parametrize("method", ["offer", "accept_offer", "accept_answer"])
def test_each_table_has_every_parameter(method: str) -> None:
    rows = rows_of(getattr(PerMessageDeflate, method))
    assert {row[0] for row in rows} == {*BITS, *TAKEOVERS}
    assert len({tuple(row) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("options", "offer", "bits"),
    [
        ({}, "client_no_context_takeover; client_max_window_bits", None),
        ({}, "client_no_context_takeover; client_max_window_bits=12", 12),
        ({"client_no_context_takeover": True}, "client_max_window_bits", None),
        ({"client_no_context_takeover": False}, "client_max_window_bits", None),
        ({"client_no_context_takeover": False}, "client_max_window_bits=10", 10),
        ({"client_max_window_bits": 8}, "client_max_window_bits", 8),
        ({}, "client_max_window_bits=8", 8),
        ({}, "", None),
    ],
)
def test_the_window_is_small_only_where_a_context_has_to_be_kept(
    options: dict[str, Any], offer: str, bits: int | None
) -> None:
    codec = PerMessageDeflate(**options).accept_offer(words(offer))
    assert codec is not None
    assert codec.agreed.client_max_window_bits == bits
    assert codec.inflate_bits == bits or bits is None


# ---- The parameters as a value ----

PARAMETERS = [
    ("", DeflateParameters()),
    ("server_no_context_takeover", DeflateParameters(server_no_context_takeover=True)),
    ("client_no_context_takeover", DeflateParameters(client_no_context_takeover=True)),
    ("server_max_window_bits=8", DeflateParameters(server_max_window_bits=8)),
    ("client_max_window_bits", DeflateParameters(client_max_window_bits=True)),
    ("client_max_window_bits=15", DeflateParameters(client_max_window_bits=15)),
    (
        "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10",
        DeflateParameters(True, True, 9, 10),
    ),
]


@pytest.mark.parametrize(("text", "value"), PARAMETERS)
def test_parameters_are_read_and_written(text: str, value: DeflateParameters) -> None:
    assert DeflateParameters.parse(words(text)) == value
    assert DeflateParameters.parse(words(text)[::-1]) == value
    assert str(value) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x", "an unknown parameter 'x'"),
        ("server_max_window_bits", "server_max_window_bits takes a number from 8 to 15, not None"),
        ("client_max_window_bits=7", "client_max_window_bits takes a number from 8 to 15, not '7'"),
        ("client_no_context_takeover=1", "client_no_context_takeover takes no value, but has '1'"),
        ("server_max_window_bits=9; server_max_window_bits=9", "server_max_window_bits comes twice"),
    ],
)
def test_parameters_that_7_1_does_not_allow(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        DeflateParameters.parse(words(text))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"server_max_window_bits": 7}, ValueError),
        ({"server_max_window_bits": True}, TypeError),
        ({"client_max_window_bits": 16}, ValueError),
        ({"client_max_window_bits": False}, TypeError),
        ({"server_no_context_takeover": None}, TypeError),
        ({"client_no_context_takeover": 1}, TypeError),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        DeflateParameters(**options)


# ---- The configuration as a value ----


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("options", [{}, {"level": 1, "server_no_context_takeover": False}])
def test_a_configuration_can_be_copied_and_pickled(copied: Any, options: dict[str, Any]) -> None:
    original = PerMessageDeflate(**options)
    twin = copied(original)
    assert twin == original
    assert hash(twin) == hash(original)
    assert twin.implementation is original.implementation
    codec = twin.accept_offer([])
    assert codec is not None
    assert codec.decode(codec.encode(b"hello", True), True) == b"hello"


def test_configurations_differ_by_what_is_set() -> None:
    assert PerMessageDeflate() != PerMessageDeflate(level=1)
    assert PerMessageDeflate() != 5
    assert repr(PerMessageDeflate()) == "PerMessageDeflate()"
    assert repr(PerMessageDeflate(level=1, client_max_window_bits=9)) == (
        "PerMessageDeflate(client_max_window_bits=9, level=1)"
    )


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_the_state_of_a_connection_cannot_be_copied(copied: Any) -> None:
    codec = PerMessageDeflate().accept_offer([])
    with pytest.raises(TypeError, match="a DeflateCodec is the state of one connection"):
        copied(codec)
