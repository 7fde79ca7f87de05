"""The tables of the page about errors: ``.. close-codes::``, ``.. violations::``, ``.. refusals::``.

The package itself generates the content while the pages are built; see `error_cases.py`.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from error_cases import close_code_rows, refusal_rows, violation_rows
from state_diagrams import table


class CloseCodes(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(["code", "name", "sent by", "means"], close_code_rows(), ("words",))]


class Violations(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(["the peer sends", "code", "section", "reason"], violation_rows(), ("words", "cases"))]


class Refusals(Directive):
    def run(self) -> list[nodes.Node]:
        return [table(["the client sends", "status", "section", "reason"], refusal_rows(), ("words", "cases"))]


def setup(app: Any) -> dict[str, Any]:
    for name, directive in (("close-codes", CloseCodes), ("violations", Violations), ("refusals", Refusals)):
        app.add_directive(name, directive)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
