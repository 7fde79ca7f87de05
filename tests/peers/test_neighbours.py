"""Facts from the public tests of wsproto, websockets and ws, with which this library is compared.

``tests/peers/neighbours`` has the rows, and `neighbours` describes their contents. If a library is installed in the
version from which the rows come, its own rows are checked with it as well, to find wrong facts.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from neighbours import LIBRARIES, Row, ours, read_facts, told
from neighbours_theirs import Runner, websockets_runners, ws_results, wsproto_runners

from rfc6455.testing import byte_by_byte, halves

ROOT = Path(__file__).parents[2]
FACTS = {library: read_facts(library) for library in LIBRARIES}
ROWS = {library: facts.rows for library, facts in FACTS.items()}
EACH_LIBRARY = pytest.mark.parametrize("library", LIBRARIES)

# A row with a run of bytes has too many to give them one by one.
SMALL_ROW = 2000


def differing(library: str, results: list[Any], wanted: str = "then") -> list[tuple[Row, Any]]:
    pairs = zip(ROWS[library], results, strict=True)
    return [(row, result) for row, result in pairs if told(row, result) != row.get(wanted, row["then"])]


@EACH_LIBRARY
def test_ours_decides_as_the_row_says(library: str) -> None:
    assert differing(library, [ours(row) for row in ROWS[library]], "ours") == []


@EACH_LIBRARY
def test_ours_decides_the_same_in_other_portions(library: str) -> None:
    def chunking(row: Row) -> Any:
        return halves if "*" in str(row) or len(str(row)) > SMALL_ROW else byte_by_byte

    assert differing(library, [ours(row, chunking(row)) for row in ROWS[library]], "ours") == []


def test_a_difference_has_a_reason_and_is_one() -> None:
    for library, rows in ROWS.items():
        for row in rows:
            assert ("ours" in row) == ("why" in row), (library, row)
            assert row.get("ours", ...) != row["then"], (library, row)


def test_there_are_enough_facts_and_each_names_its_test() -> None:
    assert sum(map(len, ROWS.values())) >= 600
    for library, rows in ROWS.items():
        assert all(".test.js / " in row["test"] or ".py::" in row["test"] for row in rows)
        seen = Counter(str({key: value for key, value in row.items() if key not in ("test", "why")}) for row in rows)
        assert seen.most_common(1)[0][1] == 1, library


def check_version(library: str, installed: str) -> None:
    if installed != FACTS[library].version:
        pytest.skip(f"the facts are of {library} {FACTS[library].version}, and {installed} is installed")


@pytest.mark.parametrize(
    ("library", "runners"),
    [("wsproto", wsproto_runners), ("websockets", websockets_runners)],
    ids=["wsproto", "websockets"],
)
def test_the_facts_are_right(library: str, runners: Callable[[], dict[str, Runner]]) -> None:
    pytest.importorskip(library)
    check_version(library, version(library))
    run = runners()
    assert differing(library, [run[row["kind"]](row) for row in ROWS[library]]) == []


def test_the_facts_of_ws_are_right() -> None:
    package = ROOT / "node_modules" / "ws" / "package.json"
    if not package.exists() or shutil.which("node") is None:
        pytest.skip("ws is not installed: npm install --no-save ws@8.23")
    check_version("ws", json.loads(package.read_text(encoding="utf-8"))["version"])
    assert differing("ws", ws_results(ROWS["ws"], ROOT)) == []
