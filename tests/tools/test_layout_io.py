"""The layout of `rfc6455_io`, and the border between the two packages: the loops use only public names of the
protocol, and the protocol does not use the loops.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import rfc6455
import rfc6455_io
import rfc6455_io.asyncio
import rfc6455_io.threads
from rfc6455_io._build import MODULES as COMPILED

PACKAGE = Path(rfc6455_io.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
EACH_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)

EACH_DRIVER = pytest.mark.parametrize("driver", [rfc6455_io.asyncio, rfc6455_io.threads])

# From the ground up: a module imports only modules above it.
MODULES = (
    "_build",
    "_known",
    "_messages",
    "_openings",
    "_proxies",
    "_retries",
    "_asyncio_driver",
    "_asyncio_websocket",
    "_asyncio_tls",
    "_asyncio_server",
    "_asyncio_client",
    "_asyncio_reconnect",
    "asyncio",
    "_threads_wire",
    "_threads_loop",
    "_threads_driver",
    "_threads_websocket",
    "_threads_server",
    "_threads_client",
    "_threads_reconnect",
    "threads",
    "_uvicorn_asgi",
    "_uvicorn_inbox",
    "_uvicorn_options",
    "uvicorn",
)

# What the compiled modules of both packages share, and no user of `rfc6455` calls.
OF_THE_BUILD = {"_build", "_signatures"}

# What the compiled modules call of their endpoint: a public method with keyword arguments cannot be called in C, and
# what comes out of one for all users is an event.
IN_C = {"_receive", "_next_event", "_has_more", "_report_bare", "_has_end", "_send_message"}

# A file that grows beyond is a sign that something belongs below, in the endpoint.
LARGEST = 400


def imports_of(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield level, module and name of each import, including those for types; ``import a.b`` has no name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)


def test_the_table_and_the_package_hold_the_same_modules() -> None:
    assert {path.stem for path in FILES} - {"__init__"} == set(MODULES)


@EACH_FILE
def test_imports_point_only_up_the_table(path: Path) -> None:
    imported = {module or name for level, module, name in imports_of(path) if level == 1}
    assert imported <= set(MODULES[: MODULES.index(path.stem)] if path.stem in MODULES else ("_build",))


@EACH_FILE
def test_only_public_names_of_the_protocol_are_used(path: Path) -> None:
    for level, module, name in imports_of(path):
        if level == 0 and module.partition(".")[0] == "rfc6455":
            assert not any(part.startswith("_") for part in {*module.split("."), name} - OF_THE_BUILD)
            assert module != "rfc6455" or not name or name in rfc6455.__all__
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            if path.stem in COMPILED and node.attr in IN_C:
                continue
            assert ast.unparse(node.value).rpartition(".")[2] not in (
                "endpoint",
                "connection",
                "deadlines",
                "handshake",
            )


def test_the_protocol_knows_nothing_of_the_loops() -> None:
    for path in Path(rfc6455.__file__).parent.rglob("*.py"):
        assert "rfc6455_io" not in path.read_text(encoding="utf-8"), path


@EACH_FILE
def test_no_file_is_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    docstrings = [
        node.body[0]
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and ast.get_docstring(node)
    ]
    inside = {line for node in docstrings for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    code = [line for number, line in enumerate(lines, 1) if number not in inside and line.strip(" #")]
    assert len(code) <= LARGEST


def test_importing_the_package_loads_no_loop() -> None:
    loads = "import sys, rfc6455_io; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", loads], cwd=PACKAGE.parent, capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"asyncio", "socket", "ssl"} & set(finished.stdout.split())


@EACH_DRIVER
def test_each_public_name_is_documented(driver: ModuleType) -> None:
    assert not [name for name in driver.__all__ if not (getattr(driver, name).__doc__ or "").strip()]


@EACH_DRIVER
def test_nothing_else_is_visible(driver: ModuleType) -> None:
    visible = {name for name in vars(driver) if not name.startswith("_")}
    assert visible - {"annotations"} == set(driver.__all__)
    assert driver.__all__ == sorted(driver.__all__)


def test_threads_do_not_need_asyncio() -> None:
    loads = "import sys, rfc6455_io.threads; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", loads], cwd=PACKAGE.parent, capture_output=True, text=True, check=True, timeout=60
    )
    assert "asyncio" not in finished.stdout.split()


def test_uvicorn_is_imported_for_its_own_protocol_only() -> None:
    """It is not installed with the package."""
    users = {
        path.stem
        for path in FILES
        for level, module, _ in imports_of(path)
        if (level, module.partition(".")[0]) == (0, "uvicorn") or (level == 1 and "uvicorn" in module)
    }
    assert users == {"_uvicorn_asgi", "_uvicorn_inbox", "_uvicorn_options", "uvicorn"}


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
