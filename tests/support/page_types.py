"""Checks the Python code in the documentation with mypy and pyright, both strict: `python
tests/support/page_types.py`.

Each page becomes a module in which each block has the same line numbers as in the page, so that an error points into
the page. All blocks of a page are in one module, as a reader types them one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from code_blocks import ROOT, code_blocks

# What a page assumes, by its name.
GIVEN = {"README": "import socket as given_socket; sock = given_socket.socket()"}

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.rst"))]

PYRIGHT = {
    "typeCheckingMode": "strict",
    "extraPaths": [str(ROOT)],
    "pythonVersion": "3.10",
    # A page shows a value, an import, or what holds; for a checker these would be mistakes.
    "reportUnusedImport": False,
    "reportUnnecessaryComparison": False,
    "reportUnusedExpression": False,
}


def module_of(page: Path) -> str:
    """Return the page's blocks as the text of a module, each on its lines."""
    lines: list[str] = [""] * len(page.read_text(encoding="utf-8").splitlines())
    for block in code_blocks(page):
        code = block.code.splitlines()
        lines[block.line - 1 : block.line - 1 + len(code)] = code
    lines[0] = GIVEN.get(page.stem, "")
    return "\n".join(lines) + "\n"


def write_modules(directory: Path) -> list[str]:
    """Write a module for each page that has code; return their names."""
    names: list[str] = []
    for page in PAGES:
        if code_blocks(page):
            name = "_".join(page.relative_to(ROOT).with_suffix("").parts) + ".py"
            (directory / name).write_text(module_of(page), encoding="utf-8")
            names.append(name)
    return names


def mypy() -> str:
    """Return mypy's complaints; nothing if all is well."""
    return _run(["mypy", "--strict", "--no-error-summary", "--python-version", "3.10"])


def pyright() -> str:
    """Return pyright's complaints; nothing if all is well."""
    output = _run(["pyright", "--pythonpath", sys.executable])
    return "" if output.startswith("0 errors") else output


def _run(command: list[str]) -> str:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        names = write_modules(directory)
        (directory / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
        run = subprocess.run(
            [sys.executable, "-m", *command, *names],
            cwd=directory,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    return (run.stdout + run.stderr).replace(f"{directory}/", "").strip()


if __name__ == "__main__":
    complaints = [complaint for complaint in (mypy(), pyright()) if complaint]
    sys.exit("\n".join(complaints) or None)
