"""The Python in the documentation passes mypy and pyright, both strict. Slow: they read every page."""

from __future__ import annotations

import importlib.util

import page_types
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_the_code_of_the_pages_passes(tool: str) -> None:
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed; `tox -e types` runs it")
    assert getattr(page_types, tool)() == ""


def test_what_is_wrong_is_found() -> None:
    """A page's module keeps the lines of the page, and all of its blocks."""
    page = page_types.ROOT / "docs" / "tutorial.rst"
    lines = page.read_text(encoding="utf-8").splitlines()
    module = page_types.module_of(page).splitlines()
    assert len(module) == len(lines)
    code = [number for number, line in enumerate(module) if line]
    assert len(code) > 100
    assert all(lines[number].strip() == module[number].strip() for number in code)
