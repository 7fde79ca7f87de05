"""The clauses of the RFCs (docs/conformance/clauses.txt), and the tests that are marked with them.

What lives here: the parser of this file, and the search for ``@pytest.mark.clause("6455:5.1-client-masks")`` in the
tests. It searches the text of the tests, so the result depends neither on the selected tests nor on installed
packages. Not here: the checks (`test_clauses.py`), and the table in the documentation (`docs/_ext/clauses.py`).

If this is run with the text of an RFC from the RFC Editor, it lists the key words that no clause covers:

    python tests/support/rfc_clauses.py rfc6455.txt rfc7692.txt
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
CLAUSES = TESTS.parent / "docs" / "conformance" / "clauses.txt"

# RFC 2119, the words of section 2 of both RFCs that ask for something.
KEYWORDS = ("MUST", "MUST NOT", "REQUIRED", "SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED")


class Clause(NamedTuple):
    """One sentence of an RFC.

    :ivar keyword: such as ``MUST NOT``; it stands ``times`` times in the RFC's own words.
    :ivar sentence: what is asked, in short.
    :ivar obeyed_by: dotted names below ``rfc6455``; empty if the clause does not bind this library.
    :ivar not_ours: why it does not; empty if it does.
    """

    rfc: int
    section: str
    title: str
    name: str
    keyword: str
    times: int
    sentence: str
    obeyed_by: tuple[str, ...]
    not_ours: str
    note: str

    @property
    def id(self) -> str:
        """What a test carries: ``6455:5.1-client-masks``."""
        return f"{self.rfc}:{self.section}-{self.name}"


# ---- The file ----

_RFC = re.compile(r"RFC ([0-9]+)")
_SECTION = re.compile(r"([0-9]+(?:\.[0-9]+)*)\. (\S.*)")
_CLAUSE = re.compile(rf"([a-z0-9-]+)  ({'|'.join(sorted(KEYWORDS, key=len, reverse=True))})(?: x([2-9]))?")
_FIELD = re.compile(r"(by|not|note): (.+)")


def read_clauses(text: str) -> list[Clause]:
    """Return the clauses in the text of the file, in order.

    :raises ValueError: for a block of a kind that the file's first lines do not describe.
    """
    clauses: list[Clause] = []
    rfc, section = None, None
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n", text.strip()):
        first, *rest = block.strip("\n").split("\n")
        if (match := _RFC.fullmatch(first)) and not rest:
            rfc, section = int(match[1]), None
        elif (match := _SECTION.fullmatch(first)) and not rest and rfc:
            section = match
        elif (match := _CLAUSE.fullmatch(first)) and rfc and section:
            clauses.append(_clause(rfc, section, match, rest))
        else:
            raise ValueError(f"neither an RFC nor a section nor a clause in its place: {block!r}")
    return clauses


def _clause(rfc: int, section: re.Match[str], head: re.Match[str], lines: list[str]) -> Clause:
    fields = {"sentence": ""}
    field = "sentence"
    for line in lines:
        if not line.startswith("    "):
            raise ValueError(f"a line of {head[1]} that is not indented: {line!r}")
        words = line.strip()
        if match := _FIELD.fullmatch(words):
            field, words = match[1], match[2]
            if field in fields:
                raise ValueError(f"{head[1]} has two lines {field!r}")
        fields[field] = f"{fields.get(field, '')} {words}".strip()
    if not fields["sentence"] or ("by" in fields) is ("not" in fields):
        raise ValueError(f"{head[1]} needs a sentence, and either 'by' or 'not'")
    return Clause(
        rfc,
        section[1],
        section[2],
        head[1],
        head[2],
        int(head[3] or 1),
        fields["sentence"],
        tuple(fields.get("by", "").split()),
        fields.get("not", ""),
        fields.get("note", ""),
    )


def all_clauses() -> list[Clause]:
    """Return the clauses of the file."""
    return read_clauses(CLAUSES.read_text(encoding="utf-8"))


# ---- The tests ----


class Carrier(NamedTuple):
    """A test that carries a clause.

    :ivar file: below the root of the project, such as ``tests/core/test_frames.py``.
    """

    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}::{self.name}"


def carriers() -> dict[str, list[Carrier]]:
    """For each id, the tests that carry it.

    :raises ValueError: for a marker that the finder does not understand.
    """
    found: dict[str, list[Carrier]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.clause" in text:
            for name, ids in find_markers(text):
                for each in ids:
                    found.setdefault(each, []).append(Carrier(path.relative_to(TESTS.parent).as_posix(), name))
    return found


def find_markers(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the tests in the text of a module that are decorated with clauses, and the ids.

    :raises ValueError: for a marker anywhere else, or one whose ids are not literal strings.
    """
    nodes = list(ast.walk(ast.parse(text)))
    understood = 0
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            calls = [each for each in node.decorator_list if isinstance(each, ast.Call) and _is_marker(each.func)]
            understood += len(calls)
            if calls:
                yield node.name, [each for call in calls for each in _ids(call)]
    if understood < sum(map(_is_marker, nodes)):
        raise ValueError("a clause marker that does not decorate a test function")


def _is_marker(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "clause"


def _ids(call: ast.Call) -> list[str]:
    ids = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    if call.keywords or not ids or len(ids) < len(call.args):
        raise ValueError(f"line {call.lineno}: a clause marker has ids, written as strings")
    return ids


# ---- The RFC's own text ----

_KEYWORD = re.compile(rf"\b({'|'.join(sorted(KEYWORDS, key=len, reverse=True))})\b")
_PAGE_BREAK = re.compile(r"\n+.*\[Page \d+\]\n+RFC \d+ .*\n+")
_HEADING = re.compile(r"^(\d+(?:\.\d+)*)\.  (?=\S)", re.MULTILINE)

Tally = Counter[tuple[str, str]]


def tally_of_text(text: str) -> Tally:
    """Return how often each key word stands in each section, but for section 2, which says what they mean."""
    text = _PAGE_BREAK.sub("\n", text.replace("\f", ""))
    _, *parts = _HEADING.split(text)
    tally: Tally = Counter()
    for section, body in zip(parts[::2], parts[1::2], strict=True):
        if section != "2":
            tally.update((section, keyword) for keyword in _KEYWORD.findall(" ".join(body.split())))
    return tally


def tally_of_clauses(clauses: Iterable[Clause]) -> Tally:
    """Return the same according to the clauses."""
    tally: Tally = Counter()
    for clause in clauses:
        tally[clause.section, clause.keyword] += clause.times
    return tally


def compare(text: str) -> list[str]:
    """Where the clauses and the text of their RFC differ, a line each."""
    match = re.search(r"Request for Comments: (\d+)", text)
    if match is None:
        raise ValueError("this is not the text of an RFC")
    there = tally_of_text(text)
    here = tally_of_clauses(clause for clause in all_clauses() if clause.rfc == int(match[1]))
    return [
        f"RFC {match[1]} {section}, {keyword}: {there[place]} in the text, {here[place]} in the clauses"
        for place in sorted(there | here)
        if there[place] != here[place]
        for section, keyword in [place]
    ]


def main(paths: list[str]) -> int:
    differences = []
    for path in paths:
        text = Path(path).read_text(encoding="utf-8")
        differences += compare(text)
        print(f"{path}: {tally_of_text(text).total()} key words")
    print("\n".join(differences) or "The clauses account for all of them.")
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
