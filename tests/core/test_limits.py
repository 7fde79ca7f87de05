"""Limits: the checks when they are created, and the values that are derived from them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from rfc6455 import Limits

NAMES = [field.name for field in fields(Limits)]
MAY_BE_NONE = {"message", "frame", "memory"}


@pytest.mark.clause("6455:10.4-limits-are-there")
def test_these_are_the_limits() -> None:
    assert NAMES == ["message", "frame", "memory", "pongs", "head", "line", "headers", "early_data", "body"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [1, 1 << 62])
def test_any_whole_number_from_1_up_is_taken(name: str, value: int) -> None:
    assert getattr(Limits(**{name: value}), name) == value


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, "1", b"1", True, False, float("inf"), float("nan"), [1]])
def test_nothing_else_is_taken(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"Limits\.{name} must be a whole number from 1 up"):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_none_means_no_bound_where_that_makes_sense(name: str) -> None:
    if name in MAY_BE_NONE:
        assert getattr(Limits(**{name: None}), name) is None
    else:
        with pytest.raises(ValueError, match=name):
            Limits(**{name: None})  # type: ignore[arg-type]


def test_the_budget_follows_from_the_message_unless_it_is_given() -> None:
    assert Limits(memory=5).budget == 5
    assert Limits(message=None, memory=5).budget == 5
    assert Limits(message=None).budget is None
    for message in (1, 1 << 20, 1 << 30):
        budget = Limits(message=message).budget
        assert budget is not None
        assert budget > message


def test_limits_are_values() -> None:
    assert Limits(message=5) == Limits(message=5) != Limits(message=6)
    assert hash(Limits()) == hash(Limits())
    with pytest.raises(FrozenInstanceError):
        Limits().message = 5  # type: ignore[misc]
