"""These tests run the example programs, and need their packages, so only ``pytest -m examples`` runs this folder. All
tests in it are marked automatically."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    # An import that fails for want of a package is an error in CI, also where no test of the file would be run.
    return None if config.option.markexpr.startswith("examples") else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.examples)
