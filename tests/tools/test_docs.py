"""The documentation is correct: its code runs, its examples have the results that they show, its tables are complete,
its links are valid, and no public name is missing.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from enum import EnumMeta
from pathlib import Path
from types import GenericAlias

import pytest
from code_blocks import ROOT, code_blocks, run_page

import rfc6455
import rfc6455_io
import rfc6455_io.asyncio
import rfc6455_io.threads

sys.path.append(str(ROOT / "docs" / "_ext"))

import error_cases

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.rst") if "_build" not in page.parts)
PACKAGE = Path(rfc6455.__file__).parent
LOOPS = Path(rfc6455_io.__file__).parent


def page_name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if code_blocks(page)], ids=page_name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if page.stem == "tls":
        run_command(page)
    for library in sorted(libraries_of(page)):
        pytest.importorskip(library)
    run_page(page)


def libraries_of(page: Path) -> set[str]:
    """Return the packages that the code of a page imports, without those of Python."""
    nodes = [node for block in code_blocks(page) for node in ast.walk(ast.parse(block.code))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_the_servers_of_the_tutorial_lose_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(DOCS / "tutorial.rst")
    for thread in threading.enumerate():
        if "serve_client" in thread.name:
            thread.join(10)
    assert "connection lost" not in capsys.readouterr().out


def run_command(page: Path) -> None:
    """Run the command of a page, which makes what its code needs."""
    (command,) = re.findall(r"code-block:: sh\n\n((?: +.*\n)+)", page.read_text(encoding="utf-8"))
    words = command.replace("\\\n", " ").split()
    if shutil.which(words[0]) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{words[0]} is missing, and CI must have it")
        pytest.skip(f"{words[0]} is missing")
    subprocess.run(words, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_python_block_of_a_page_is_found(page: Path) -> None:
    """Code that the finder overlooks would be code that no test runs."""
    text = page.read_text(encoding="utf-8")
    assert len(code_blocks(page)) == len(re.findall(r"code-block:: *(?:python|py)\b|code:: *python", text))
    assert not re.search(r"::$\n\n +(import|from) \w", text, re.MULTILINE)


def split_rows(page: Path) -> list[str]:
    """Return the lines of simple tables that reST reads as rows of their own, with nothing in another column."""
    rows: list[str] = []
    starts: list[int] = []
    rulers = 0
    for line in page.read_text(encoding="utf-8").splitlines():
        if re.fullmatch(r"=+( +=+)+", line):
            starts = [found.start() for found in re.finditer("=+", line)]
            rulers = (rulers + 1) % 3
        elif rulers and line[: starts[1]].strip():
            edges = zip(starts[1:], [*starts[2:], None], strict=True)
            rows += [line for start, end in edges if not line[start:end].strip()]
    return rows


@pytest.mark.parametrize("page", [page for page in PAGES if "_generated" not in page.parts], ids=page_name)
def test_no_first_cell_of_a_simple_table_takes_two_lines(page: Path) -> None:
    """In a simple table, text in the first column begins a row: use a ``list-table`` for a longer text."""
    assert split_rows(page) == []


def docstring_examples() -> Iterator[doctest.DocTest]:
    """Read docstrings from the sources, so that the compiled package is held to the same examples."""
    parser = doctest.DocTestParser()
    for path in sorted([*PACKAGE.rglob("*.py"), *LOOPS.rglob("*.py")]):
        root = LOOPS.parent if LOOPS in path.parents else PACKAGE.parent
        if ">>>" not in path.read_text(encoding="utf-8"):
            continue  # what needs a package that is not installed has no example
        module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        names = vars(module) | {"rfc6455": rfc6455}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            docstring = ast.get_docstring(node)
            if docstring and ">>>" in docstring:
                name = f"{path.relative_to(root).as_posix()}:{getattr(node, 'name', 'module')}"
                line = getattr(node, "lineno", 1)
                yield parser.get_doctest(docstring, names, name, str(path), line)


@pytest.mark.parametrize("example", list(docstring_examples()), ids=lambda example: example.name)
def test_the_example_of_a_docstring_gives_what_it_shows(example: doctest.DocTest) -> None:
    report: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert not results.failed, "".join(report)


def has_example(value: object) -> bool:
    """Return whether the docstring has one, or that of a method, if that reads better."""
    members = vars(value).values() if isinstance(value, type) else ()
    return any(">>>" in (getattr(each, "__doc__", None) or "") for each in (value, *members))


def is_code(value: object) -> bool:
    """Whether it is a class or a function; an enum and the name of a type say all with their values."""
    return callable(value) and not isinstance(value, (EnumMeta, GenericAlias))


@pytest.mark.parametrize("name", [name for name in rfc6455.__all__ if is_code(getattr(rfc6455, name))])
def test_each_public_class_and_function_has_an_example(name: str) -> None:
    assert has_example(getattr(rfc6455, name))


def documented_names(pattern: str) -> list[str]:
    directive = re.compile(
        r"^\.\. (?:auto(?:class|function|data|exception|attribute)|py:data):: (\w+)(?:\(.*\))?$", re.MULTILINE
    )
    pages = [page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob(pattern))]
    return [name for text in pages for name in directive.findall(text)]


def test_the_reference_has_each_public_name_once() -> None:
    uvicorn = ["Protocol"]  # the one name of a module that needs uvicorn to be imported
    names = [*rfc6455.__all__, *rfc6455_io.asyncio.__all__, *rfc6455_io.threads.__all__, *uvicorn]
    assert documented_names("io_uvicorn.rst") == uvicorn
    assert sorted(documented_names("*.rst")) == sorted(names)
    assert sorted(documented_names("io_asyncio.rst")) == rfc6455_io.asyncio.__all__
    assert sorted(documented_names("io_threads.rst")) == rfc6455_io.threads.__all__


# --- the tables of errors ---------------------------------------------------------------------------------------


def test_every_close_code_has_a_meaning() -> None:
    assert sorted(error_cases.MEANINGS) == sorted(rfc6455.CloseCode)
    nobody = {code for code, meaning in error_cases.MEANINGS.items() if meaning.sender == error_cases.NOBODY}
    assert nobody == {code for code in rfc6455.CloseCode if not rfc6455.is_sendable_close_code(code)}


def calls_of(makers: set[str], path: Path) -> Iterator[ast.Call]:
    """Yield the calls of the functions with these names in a source."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) in makers:
            yield node


def test_every_rule_that_a_peer_can_break_is_in_the_table_of_violations() -> None:
    rows = list(error_cases.violation_rows())
    calls = [call for path in PACKAGE.rglob("*.py") for call in calls_of({"_violation", "RemoteProtocolError"}, path)]
    texts = [argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)]
    rules = {text for text in texts if re.fullmatch(r"(RFC \d+ )?\d+(\.\d+)*", str(text))}
    assert rules
    assert rules <= {section for _, _, section, _ in rows}
    assert {code for _, code, _, _ in rows} == {"1002", "1007", "1009"}


def test_every_status_of_a_refusal_is_in_the_table() -> None:
    paths = [path for path in PACKAGE.rglob("*.py") if path.stem != "http2"]
    calls = [call for path in paths for call in calls_of({"HandshakeError", "HeadError"}, path)]
    statuses = {argument.value for call in calls for argument in call.args[:1] if isinstance(argument, ast.Constant)}
    assert {str(status) for status in statuses - {None}} <= {status for _, status, _, _ in error_cases.refusal_rows()}


# --- what the pages refer to ------------------------------------------------------------------------------------


def lines_of(pattern: str, page: Path) -> list[str]:
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE)


def page_at(target: str, page: Path) -> Path:
    """The page that ``target`` names on another page."""
    start = DOCS if target.startswith("/") else page.parent
    return (start / f"{target.lstrip('/')}.rst").resolve()


def links(page: Path) -> set[Path]:
    """The pages that a page leads to with one click."""
    targets = set(lines_of(r":doc:`(?:[^`<]*<)?([^`<>]+)>?`", page))
    for block in lines_of(r"^\.\. toctree::\n((?: +.*\n|\n)*)", page):
        targets |= {line.strip() for line in block.splitlines() if line.strip() and not line.strip().startswith(":")}
    found = {page_at(target, page) for target in targets if "*" not in target}
    return found.union(*[page.parent.glob(f"{target}.rst") for target in targets if "*" in target])


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in links(page) if not target.is_file()] == []
    files = lines_of(r"^\.\. (?:literalinclude|include|figure|image):: (\S+)$", page)
    assert [name for name in files if not (page.parent / name).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_files_of_the_repository_that_a_page_names_exist(page: Path) -> None:
    names = lines_of(r"``((?:examples|benchmarks|tests|rfc6455|docs)/[\w/.]+)``", page)
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_code_that_a_page_shows_of_a_file_is_there(page: Path) -> None:
    for name, shown in lines_of(r"^\.\. literalinclude:: (\S+)\n   :pyobject: (\S+)$", page):
        *scope, last = shown.split(".")
        tree: ast.AST = ast.parse((page.parent / name).read_text(encoding="utf-8"))
        for part in [*scope, last]:
            named = [node for node in ast.iter_child_nodes(tree) if getattr(node, "name", None) == part]
            assert named, f"{name} has no {shown}"
            tree = named[0]


def test_a_page_is_found_in_two_clicks() -> None:
    one = links(DOCS / "index.rst")
    two = one.union(*map(links, one))
    pages = {page for page in PAGES if "_generated" not in page.parts} - {DOCS / "index.rst"}
    assert sorted(map(page_name, pages - two)) == []
