"""Finds the Python in the documentation, so that tests can run it: ``.. code-block:: python`` in reST, and
fenced ``python`` in Markdown. Each block keeps its line number, so that a traceback points into the page.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# The directive, its options, a blank line; then every line that is indented deeper or blank.
_REST = re.compile(
    r"^(?P<indent> *)\.\. code-block:: python\n"
    r"(?:(?P=indent) +:.*\n)*"
    r"\n"
    r"(?P<code>(?:(?P=indent) +\S.*\n|\s*\n)+)",
    re.MULTILINE,
)
_MARKDOWN = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class CodeBlock:
    """One block of Python in a page, and the line, from 1, on which it begins."""

    page: Path
    line: int
    code: str

    def run(self, namespace: dict[str, Any]) -> None:
        """Execute the block in a namespace that the blocks before it on the page have filled."""
        padded = "\n" * (self.line - 1) + self.code
        exec(compile(padded, str(self.page), "exec"), namespace)


def code_blocks(page: Path) -> list[CodeBlock]:
    """Return the Python blocks of a ``.rst`` or ``.md`` page in their order."""
    text = page.read_text(encoding="utf-8")
    pattern = _MARKDOWN if page.suffix == ".md" else _REST
    return [
        CodeBlock(page, text.count("\n", 0, found.start("code")) + 1, textwrap.dedent(found["code"]))
        for found in pattern.finditer(text)
    ]


def run_page(page: Path, **given: Any) -> dict[str, Any]:
    """Run a page's blocks one after the other, as a reader types them; return what they defined."""
    namespace = {"__name__": page.stem, **given}
    for block in code_blocks(page):
        block.run(namespace)
    return namespace
