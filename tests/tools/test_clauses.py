"""The RFC coverage table is correct in both directions: each clause that applies has a function and a test, and each
id in a test is a clause.

The table is `docs/conformance/clauses.txt`. To check that no sentence was left out, download the texts of the RFCs,
which are not in the repository, and run `python tests/support/rfc_clauses.py rfc6455.txt rfc7692.txt`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest
import rfc_clauses
from rfc_clauses import CLAUSES, TESTS, Clause, all_clauses, carriers, find_markers, read_clauses, tally_of_text

import rfc6455

TABLE = all_clauses()
OURS = [clause for clause in TABLE if clause.obeyed_by]
PACKAGE = Path(rfc6455.__file__).parent
PAGES = TESTS.parent / "docs" / "conformance"


# ---- The table ----


def test_the_ids_are_unique() -> None:
    assert [name for name, count in Counter(clause.id for clause in TABLE).items() if count > 1] == []


def test_the_sections_stand_in_their_order() -> None:
    places = [(clause.rfc, *map(int, clause.section.split("."))) for clause in TABLE]
    assert places == sorted(places)
    assert {clause.rfc for clause in TABLE} == {6455, 7692}
    assert len({(clause.rfc, clause.section) for clause in TABLE}) == len({clause[:3] for clause in TABLE})


def test_what_a_clause_says_is_short_and_whole() -> None:
    for clause in TABLE:
        assert len(clause.sentence) < 130, clause.id
        assert all(text.endswith(".") for text in (clause.sentence, clause.not_ours, clause.note) if text), clause.id


carried = cache(carriers)


def test_every_clause_that_binds_us_has_a_test() -> None:
    assert [clause.id for clause in OURS if clause.id not in carried()] == []


def test_every_id_that_a_test_carries_is_a_clause() -> None:
    assert sorted(carried().keys() - {clause.id for clause in TABLE}) == []


def test_no_test_carries_an_id_twice() -> None:
    for name, tests in carried().items():
        assert len(set(tests)) == len(tests), name


@cache
def names_in(module: str) -> frozenset[str]:
    """What a module of the package defines: ``Connection``, ``Connection.close``. Read from its source, since the
    compiled module does not show all of it."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    classes = {f"{node.name}.": node for node in tree.body if isinstance(node, ast.ClassDef)}
    return frozenset(
        prefix + name
        for prefix, body in ({"": tree} | classes).items()
        for node in body.body
        for name in defined(node)
    )


def defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = (
        node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    )
    return [target.id for target in targets if isinstance(target, ast.Name)]


def test_everything_that_obeys_exists() -> None:
    assert [name for clause in OURS for name in clause.obeyed_by if not exists(name)] == []


def exists(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[end:]) in names_in(".".join(parts[:end])) for end in range(1, len(parts)))


@pytest.mark.parametrize("name", ["uri", "uri.parse", "uri.URI.parse_uri", "nothing.URI", "codes.Opcode.NONE", ""])
def test_what_does_not_exist_is_seen(name: str) -> None:
    assert not exists(name)


# ---- The reader ----

SAMPLE = """\
# a comment

RFC 1

2.1. A Title

one  MUST NOT x3
    This is a sentence,
    and goes on.
    by: a.b c.d
    note: So
        it is.

two  SHOULD
    Another.
    not: Because.
"""


def test_a_sample_is_read() -> None:
    assert read_clauses(SAMPLE) == [
        Clause(
            1,
            "2.1",
            "A Title",
            "one",
            "MUST NOT",
            3,
            "This is a sentence, and goes on.",
            ("a.b", "c.d"),
            "",
            "So it is.",
        ),
        Clause(1, "2.1", "A Title", "two", "SHOULD", 1, "Another.", (), "Because.", ""),
    ]
    assert [clause.id for clause in read_clauses(SAMPLE)] == ["1:2.1-one", "1:2.1-two"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RFC 1\n", ""),
        ("RFC 1\n", "RFC one\n"),
        ("2.1. A Title\n", ""),
        ("2.1. A Title", "2.1 A Title"),
        ("one  MUST", "One  MUST"),
        ("one  MUST", "one MUST"),
        ("MUST NOT", "MAY NOT"),
        ("x3", "x1"),
        ("    and goes", "and goes"),
        ("    by: a.b c.d\n", ""),
        ("    Another.\n", ""),
        ("    not: Because.", "    by: a.b\n    not: Because."),
        ("    not: Because.", "    not: Because.\n    not: Because."),
        ("    not: Because.\n", "    not:\n"),
    ],
)
def test_what_is_no_table_is_refused(before: str, after: str) -> None:
    assert before in SAMPLE
    with pytest.raises(ValueError, match=r"neither an RFC|indented|two lines|needs a sentence"):
        read_clauses(SAMPLE.replace(before, after))


# ---- The finder ----

# Written so that the finder, which reads this file too, takes it for no marker.
MARKER = "@pytest.mark." + "clause"


def test_markers_are_found() -> None:
    text = f"""
        {MARKER}("a", "b")
        @pytest.mark.slow
        def test_one(): ...

        class TestTwo:
            @pytest.mark.slow
            {MARKER}("c")
            {MARKER}("d")
            def test_two(self): ...

        def test_three(): ...
    """
    assert dict(find_markers(dedent(text))) == {"test_one": ["a", "b"], "test_two": ["c", "d"]}


@pytest.mark.parametrize(
    "text",
    [
        f"{MARKER}()\ndef test_one(): ...",
        f"{MARKER}(1)\ndef test_one(): ...",
        f"{MARKER}(name)\ndef test_one(): ...",
        f"{MARKER}(*names)\ndef test_one(): ...",
        f"{MARKER}('a', b='c')\ndef test_one(): ...",
        f"{MARKER}('a')\ndef no_test(): ...",
        f"{MARKER}\ndef test_one(): ...",
        f"{MARKER}('a')\nclass TestOne: ...",
        f"pytestmark = {MARKER[1:]}('a')",
        f"some = {MARKER[1:]}",
        f"some = {MARKER[1:]}('a')\n@some\ndef test_one(): ...",
    ],
)
def test_markers_that_would_be_overlooked_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="clause marker"):
        dict(find_markers(text))


# ---- The comparison with the RFC's own text ----

TEXT = """\
Request for Comments: {rfc}

2.  Requirements

   The key words "MUST" and "SHOULD" are explained.

3.  WebSocket URIs

   These MUST
   NOT be used, and MUST be escaped.

Somebody                     Standards Track                   [Page 13]

RFC 1                         The Title                     December 2011

   That SHOULD be MUSTARD.

3.1.  More

   RECOMMENDED.
"""


def test_key_words_are_counted_by_section() -> None:
    assert tally_of_text(TEXT) == {
        ("3", "MUST NOT"): 1,
        ("3", "MUST"): 1,
        ("3", "SHOULD"): 1,
        ("3.1", "RECOMMENDED"): 1,
    }


def test_a_sentence_that_no_clause_accounts_for_is_told() -> None:
    differences = rfc_clauses.compare(TEXT.format(rfc=6455))
    assert "RFC 6455 3, SHOULD: 1 in the text, 0 in the clauses" in differences
    assert "RFC 6455 3.1, RECOMMENDED: 1 in the text, 0 in the clauses" in differences
    assert "RFC 6455 8.1, MUST: 0 in the text, 1 in the clauses" in differences
    assert not any(line.startswith("RFC 6455 3, MUST") for line in differences)
    with pytest.raises(ValueError, match="not the text of an RFC"):
        rfc_clauses.compare("nothing")


# ---- The pages ----


def test_the_pages_show_both_rfcs_and_the_security_table() -> None:
    shown = re.findall(r"^\.\. clauses:: (\d+)$", (PAGES / "rfc.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(rfc) for rfc in shown] == sorted({clause.rfc for clause in TABLE})
    assert "\n.. security-rows::\n" in (PAGES / "security.rst").read_text(encoding="utf-8")
    assert CLAUSES.parent == PAGES
