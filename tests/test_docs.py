"""The documentation tells the truth: its code runs, its examples give what they show, no public name is missing."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_blocks import ROOT, code_blocks, run_page

import rfc6455

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.rst") if "_build" not in page.parts)
PACKAGE = Path(rfc6455.__file__).parent


def page_name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page)], ids=page_name)
def test_the_code_of_a_page_runs(page: Path) -> None:
    run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_python_block_of_a_page_is_found(page: Path) -> None:
    """Code that the finder overlooks would be code that no test runs."""
    text = page.read_text(encoding="utf-8")
    assert len(code_blocks(page)) == len(re.findall(r"code-block:: *(?:python|py)\b|code:: *python", text))
    assert not re.search(r"::$\n\n +(import|from) \w", text, re.MULTILINE)


def docstring_examples() -> Iterator[doctest.DocTest]:
    """Reads docstrings from the sources, so that the compiled package is held to the same examples."""
    parser = doctest.DocTestParser()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
        names = vars(module) | {"rfc6455": rfc6455}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            docstring = ast.get_docstring(node)
            if docstring and ">>>" in docstring:
                name = f"{path.relative_to(PACKAGE).as_posix()}:{getattr(node, 'name', 'module')}"
                line = getattr(node, "lineno", 1)
                yield parser.get_doctest(docstring, names, name, str(path), line)


@pytest.mark.parametrize("example", list(docstring_examples()), ids=lambda example: example.name)
def test_the_example_of_a_docstring_gives_what_it_shows(example: doctest.DocTest) -> None:
    report: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert not results.failed, "".join(report)


def documented_names() -> list[str]:
    directive = re.compile(r"^\.\. auto(?:class|function|data|exception|attribute):: (\w+)$", re.MULTILINE)
    pages = [page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob("*.rst"))]
    return [name for text in pages for name in directive.findall(text)]


def test_the_reference_has_each_public_name_once() -> None:
    assert sorted(documented_names()) == sorted(rfc6455.__all__)
