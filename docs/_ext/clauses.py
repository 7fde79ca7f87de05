"""The two tables of the conformance pages: the code that obeys each clause of an RFC with the tests that prove it, and
the tests which show that this library does not have the vulnerabilities of others.

    .. clauses:: 6455         each section with its clauses, from docs/conformance/clauses.txt
    .. clauses-summary::      their number
    .. security-rows::        the rows of tests/core/test_security.py with their tests

Nothing is typed here: the clauses come from their file, the tests from their sources. A clause is an item of a
definition list rather than a row of a table, so that it can be read on a phone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent.parent
SECURITY = ROOT / "tests" / "core" / "test_security.py"
sys.path.insert(0, str(ROOT / "tests" / "support"))

from rfc_clauses import CLAUSES, TESTS, Carrier, Clause, all_clauses, carriers  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


# ---- Pieces of a page ----


def paragraph(*content: nodes.Node | str, classes: Iterable[str] = ()) -> nodes.paragraph:
    made = nodes.paragraph(classes=list(classes))
    made += [nodes.Text(each) if isinstance(each, str) else each for each in content]
    return made


def labelled(label: str, *content: nodes.Node | str) -> nodes.paragraph:
    return paragraph(nodes.emphasis("", label), ": ", *content, classes=["clause-part"])


def in_a_row(items: Iterable[nodes.Node]) -> list[nodes.Node | str]:
    row: list[nodes.Node | str] = []
    for item in items:
        row += [", ", item] if row else [item]
    return row


def item(term: list[nodes.Node], *definition: nodes.Node, ids: list[str]) -> nodes.definition_list_item:
    return nodes.definition_list_item("", nodes.term("", "", *term, ids=ids), nodes.definition("", *definition))


def tests(carrying: Iterable[Carrier]) -> nodes.paragraph:
    """Return the tests, each in the form that pytest accepts."""
    return labelled("Shown by", *in_a_row(nodes.literal("", str(each)) for each in carrying))


def capitalized(text: str) -> str:
    """Begin with a capital letter, unless the first word is a name of code or of a host."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].strip(",;:").isalnum() else text


def name_of_ours(name: str, public: Iterable[str]) -> nodes.Node:
    """Return a dotted name below the package, as a link if the reference has it."""
    rest = name.partition(".")[2]
    is_public = rest.partition(".")[0] in public
    shown = nodes.literal("", rest if is_public else name, classes=["xref", "py", "py-obj"])
    target = f"rfc6455.{rest}"
    return addnodes.pending_xref("", shown, refdomain="py", reftype="obj", reftarget=target, refwarn=False)


# ---- The clauses ----


class ClausesDirective(SphinxDirective):
    """All clauses of one RFC, a section of the page for each of its sections."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        note_sources(self.env)
        rfc = int(self.arguments[0])
        carried = carriers()
        return [
            self.section(rfc, section, title, list(group), carried)
            for (section, title), group in groupby(
                (clause for clause in all_clauses() if clause.rfc == rfc),
                key=lambda clause: (clause.section, clause.title),
            )
        ]

    def section(
        self, rfc: int, section: str, title: str, clauses: list[Clause], carried: dict[str, list[Carrier]]
    ) -> nodes.section:
        made = nodes.section(ids=[f"rfc{rfc}-{section.replace('.', '-')}"])
        made += nodes.title("", f"{section}. {title}")
        link = f"https://www.rfc-editor.org/rfc/rfc{rfc}#section-{section}"
        made += paragraph(nodes.reference("", f"RFC {rfc}, section {section}", refuri=link))
        made += nodes.definition_list("", *(clause_item(each, carried.get(each.id, [])) for each in clauses))
        return made


def clause_item(clause: Clause, carrying: list[Carrier]) -> nodes.definition_list_item:
    term = [nodes.strong("", clause.keyword), nodes.Text(" "), nodes.literal("", clause.id)]
    parts = [paragraph(clause.sentence)]
    if clause.obeyed_by:
        public = public_names()
        parts.append(labelled("Obeyed by", *in_a_row(name_of_ours(name, public) for name in clause.obeyed_by)))
    else:
        parts.append(labelled("Not for this library", clause.not_ours))
    if clause.note:
        parts.append(labelled("Note", clause.note))
    if carrying:
        parts.append(tests(carrying))
    return item(term, *parts, ids=["clause-" + clause.id.replace(":", "-").replace(".", "-")])


def public_names() -> list[str]:
    import rfc6455

    return rfc6455.__all__


class SummaryDirective(SphinxDirective):
    """The number of clauses, and of those that apply to the library."""

    def run(self) -> list[nodes.Node]:
        note_sources(self.env)
        carried = carriers()
        return [nodes.bullet_list("", *(self.line(rfc, carried) for rfc in sorted({c.rfc for c in all_clauses()})))]

    def line(self, rfc: int, carried: dict[str, list[Carrier]]) -> nodes.list_item:
        clauses = [clause for clause in all_clauses() if clause.rfc == rfc]
        ours = [clause for clause in clauses if clause.obeyed_by]
        showing = {test for clause in clauses for test in carried.get(clause.id, [])}
        text = (
            f"RFC {rfc}: {len(clauses)} clauses. {len(ours)} apply to the library, and {len(showing)} tests prove "
            f"them. {len(clauses) - len(ours)} do not apply to it, each for the reason that is given."
        )
        return nodes.list_item("", paragraph(text))


# ---- The security table ----


class Row(NamedTuple):
    """A row of the table in tests/core/test_security.py, with the tests that are named after it."""

    name: str
    where: str
    mechanism: str
    ours: str
    tests: list[Carrier]


def security_rows() -> Iterator[Row]:
    """Yield the rows. They are read from the source, so that pytest and the imports of the tests are not needed."""
    tree = ast.parse(SECURITY.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    for name, words in table_in(tree).items():
        own = [each for each in names if each == f"test_{name}" or each.startswith(f"test_{name}_")]
        yield Row(name, *words, [Carrier(SECURITY.relative_to(ROOT).as_posix(), each) for each in own])


def table_in(tree: ast.Module) -> dict[str, list[Any]]:
    """``ROWS = {"name": Row("...", "...", "..."), ...}``"""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "ROWS"
            and isinstance(node.value, ast.Dict)
        ):
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {
                ast.literal_eval(key): [ast.literal_eval(word) for word in row.args]
                for key, row in pairs
                if key is not None and isinstance(row, ast.Call)
            }
    raise ValueError(f"there is no table ROWS in {SECURITY}")


class SecurityDirective(SphinxDirective):
    """Each row: what went wrong and where, what must be true here, and the tests."""

    def run(self) -> list[nodes.Node]:
        note_sources(self.env)
        return [nodes.definition_list("", *map(self.row_item, security_rows()))]

    def row_item(self, row: Row) -> nodes.definition_list_item:
        parts = [labelled("Here", capitalized(row.ours) + "."), tests(row.tests)]
        if row.where != "-":
            parts.insert(0, labelled("Where", row.where))
        return item([nodes.Text(capitalized(row.mechanism))], *parts, ids=[f"row-{row.name.replace('_', '-')}"])


# ---- Sphinx ----


def note_sources(env: BuildEnvironment) -> None:
    """Mark a page with these tables as outdated if a test is newer."""
    for path in (CLAUSES, *TESTS.rglob("*.py")):
        env.note_dependency(str(path))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("clauses", ClausesDirective)
    app.add_directive("clauses-summary", SummaryDirective)
    app.add_directive("security-rows", SecurityDirective)
    return {"parallel_read_safe": True}
