"""The common setup of all test runs: hypothesis profiles, and the build of the package under test.

By default, hypothesis is deterministic, so that a run can be repeated, and tries only a few examples (profile
``quick``). CI tries more on some Pythons (``ci``), and ``HYPOTHESIS_PROFILE=thorough pytest`` searches much longer.

``RFC6455_EXPECT=pure`` or ``=compiled`` says which build is under test. A run on the other one would prove nothing, so
it does not start.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

import rfc6455

Report = TypeVar("Report", pytest.CollectReport, pytest.TestReport)

# How long an example takes depends on what else the machine does.
TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", TIMELESS, derandomize=True)
settings.register_profile("thorough", TIMELESS, max_examples=2000)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=15)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def build_under_test() -> str:
    return "compiled" if rfc6455.__compiled__ else "pure"


def pytest_configure(config: pytest.Config) -> None:
    expected = os.environ.get("RFC6455_EXPECT")
    if expected not in (None, "", build_under_test()):
        raise pytest.UsageError(
            f"RFC6455_EXPECT={expected}, but {rfc6455.__file__} is {build_under_test()}; `tox -e clean` removes "
            "extension modules from the source tree"
        )


def pytest_report_header(config: pytest.Config) -> str:
    return f"rfc6455 {rfc6455.__version__} ({build_under_test()}) from {Path(rfc6455.__file__).parent}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return in_ci_all_is_there((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return in_ci_all_is_there((yield))


def in_ci_all_is_there(report: Report) -> Report:
    """A test that is skipped for lack of a library proves nothing, so in CI it fails. A module of the system may be
    missing."""
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
    lacking = re.search(r"could not import '(\w+)", reason)
    if os.environ.get("CI") == "true" and report.skipped and lacking and lacking[1] not in sys.stdlib_module_names:
        report.outcome = "failed"
        report.longrepr = f"{reason}, and CI must have it"
    return report


CHAT = Path(__file__).parent / "chat"
# Those of its tests that take the chat's modules one by one.
IN_THIS_PROCESS = {"test_parts.py", "test_session.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if CHAT in item.path.parents and item.path.name not in IN_THIS_PROCESS:
            item.add_marker(pytest.mark.processes)
