"""The tool that makes mutants: what it changes, what it leaves alone, and that the report wants its reasons."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="needs what `tox -e mutation` installs")

sys.path.append(str(Path(__file__).parent))

from mutants import Source


def changes_in(source: str) -> list[tuple[int, str, str, str]]:
    return [(each.line, each.where, each.before, each.after) for each in Source("toy", source).mutants()]


def test_changes_in_a_function_are_named_by_it() -> None:
    source = "class A:\n    def f(self, x):\n        if x < 1:\n            g()\n        return x\n"
    assert changes_in(source) == [
        (3, "A.f", "if x < 1:", "if x <= 1:"),
        (3, "A.f", "if x < 1:", "if x < 2:"),
        (4, "A.f", "g()", "pass"),
        (5, "A.f", "return x", "return None"),
    ]


def test_tables_properties_and_conditions_are_changed_too() -> None:
    assert (2, "", "2: 5,", "3: 5,") in changes_in("TABLE = {\n    2: 5,\n}\n")
    assert (4, "A.p", "return 7", "return 8") in changes_in(
        "class A:\n    @property\n    def p(self):\n        return 7\n"
    )
    assert (1, "", "if x: y()", "if not (x): y()") in changes_in("if x: y()\n")


@pytest.mark.parametrize(
    "source",
    [
        "x: Literal[3]\n",
        '"""A docstring."""\n',
        "from a import b\n",
        'class A:\n    """It."""\n\n    __slots__ = ("a",)\n',
        "def f():\n    pass\n",
    ],
)
def test_what_is_left_alone(source: str) -> None:
    assert changes_in(source) == []


def test_each_mutant_is_the_source_with_one_change() -> None:
    source = "def f(a, b):\n    return a + b  # a sum\n"
    mutants = Source("toy", source).mutants()
    assert [mutant.name for mutant in mutants] == ["toy-0", "toy-1"]
    assert mutants[1].source == "def f(a, b):\n    return a - b  # a sum\n"


def test_a_sample_is_a_part_of_a_larger_one_and_outlives_edits() -> None:
    source = Source("toy", "def f(a, b):\n    return a + b\n\n\ndef g(a):\n    return a > 1 or a + 1 or a + 1\n")
    everything = source.sample(100)
    assert everything == list(range(len(source)))
    for size in range(len(source)):
        assert set(source.sample(size)) < set(source.sample(size + 1))

    edited = Source("toy", "# New.\nx = y\n\n\n" + source.text)
    more = len(edited) - len(source)
    assert more > 0
    chosen = [(each.where, each.after) for each in source.mutants(source.sample(4))]
    still_chosen = [(each.where, each.after) for each in edited.mutants(edited.sample(4 + more))]
    assert set(chosen) <= set(still_chosen)
