"""The order of what other servers published, when Redis has lost some of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("redis")

from service import order
from service.order import Order
from service.stream import REMEMBERED_BYTES, Said

LATER = 1000.0


def said(number: int, server: str = "one", json: str = "[]") -> Said:
    return Said("0-0", server, number, "/", json)


def numbers(entries: list[Said]) -> list[int]:
    return [entry.number for entry in entries]


def put_all(entries: list[int], of: Order, **more: Any) -> Iterator[int]:
    for number in entries:
        yield from numbers(of.put(said(number), 0, **more))


@given(st.data())
def test_whatever_is_lost_and_written_again_is_handed_out_once_and_in_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    came = [number for number in range(1, count + 1) if data.draw(st.booleans())]
    again = list(range(1, count + 1))
    assert list(put_all(came + again, Order())) == again


def test_servers_do_not_wait_for_each_other() -> None:
    of = Order()
    assert of.put(said(2, "one"), 0) == []
    assert numbers(of.put(said(1, "two"), 0)) == [1]


def test_the_stream_need_not_have_the_first_ones_at_the_first_reading() -> None:
    of = Order()
    assert list(put_all([5, 6], of, is_first_reading=True)) == [5, 6]


def test_what_is_missing_has_some_time(capsys: pytest.CaptureFixture[str]) -> None:
    of = Order()
    assert list(put_all([1, 3, 4], of)) == [1]
    assert of.overdue(order.PATIENCE - 1) == []
    assert numbers(of.overdue(order.PATIENCE)) == [3, 4]
    assert of.overdue(LATER) == []
    assert list(put_all([2, 5], of)) == [5]


def test_the_time_begins_anew_with_each_that_has_come() -> None:
    of = Order()
    of.put(said(3), 0)
    of.put(said(5), 1)
    assert numbers(of.put(said(1), 2)) == [1]
    assert of.overdue(order.PATIENCE + 1) == []
    assert numbers(of.overdue(order.PATIENCE + 2)) == [3, 5]


def test_what_is_kept_has_a_bound() -> None:
    of = Order()
    long = "x" * (REMEMBERED_BYTES // 4)
    kept = [numbers(of.put(said(number, json=long), 0)) for number in (2, 3, 4, 5)]
    assert kept == [[], [], [], [2, 3, 4, 5]]


def test_the_same_entry_again_takes_no_more_memory() -> None:
    of = Order()
    long = "x" * (REMEMBERED_BYTES // 2)
    for _ in range(5):
        assert of.put(said(2, json=long), 0) == []
