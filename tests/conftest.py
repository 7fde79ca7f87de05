"""What every test run shares: hypothesis profiles, and which build of the package it runs on.

By default hypothesis is deterministic (profile ``ci``), so that a run can be repeated; the profile ``thorough``
searches on: ``HYPOTHESIS_PROFILE=thorough pytest``.

``RFC6455_EXPECT=pure`` or ``=compiled`` says which build is under test. A run on the other one would prove
nothing, so it does not start.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import rfc6455

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "thorough",
    max_examples=2000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# For the Pythons that repeat what another one has searched.
settings.register_profile("quick", settings.get_profile("ci"), max_examples=15)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


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
