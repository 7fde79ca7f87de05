"""No call ends the process, whatever its arguments, and both builds have the same results (`fuzz/random_calls.py`)."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pure_twin import PURE

import rfc6455

FUZZ = Path(__file__).parents[1] / "fuzz"

BOTH_BUILDS = pytest.mark.skipif(
    not rfc6455.__compiled__, reason="the package is not compiled here: there is only one build to run"
)


@BOTH_BUILDS
@pytest.mark.parametrize(
    "seconds", [3, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(200)])], ids=["short", "long"]
)
def test_random_calls_come_to_the_same_in_both_builds(seconds: int, tmp_path: Path) -> None:
    """Under Python's debug allocator, which sees what is written beside a block, or read after its end."""
    log = tmp_path / "seed"
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-X", "faulthandler"),
            *(str(FUZZ / "random_calls.py"), "--seconds", str(seconds), "--log", str(log)),
        ],
        env={**os.environ, "PYTHONMALLOC": "debug"},
        capture_output=True,
        text=True,
        timeout=seconds + 100,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"seed {log.read_text()}: {done.stdout}{done.stderr}"


@pytest.mark.skipif(rfc6455.__compiled__, reason="this is what happens with the sources alone")
def test_with_one_build_there_is_nothing_to_compare() -> None:
    done = subprocess.run(
        [sys.executable, str(FUZZ / "random_calls.py")],
        # The package that is tested here, even if a compiled one is installed as well.
        env={**os.environ, "PYTHONPATH": str(Path(rfc6455.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert "the package is not compiled" in done.stderr


# The calls make coroutines that nobody awaits.
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@BOTH_BUILDS
def test_a_difference_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FUZZ)
    random_calls: Any = importlib.import_module("random_calls")
    monkeypatch.setattr(PURE, "is_sendable_close_code", lambda code: None)
    counts: Counter[str] = Counter()
    differences = (random_calls.Run(seed, counts, False).do_all() for seed in range(500))
    assert "is_sendable_close_code" in str(next(found for found in differences if found))


def test_an_error_without_a_text_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FUZZ)
    random_calls: Any = importlib.import_module("random_calls")
    world = Mock()
    world.do.side_effect = rfc6455.ConnectionClosedError(rfc6455.Closed(1000, "", True, ValueError(), b""))  # type: ignore[arg-type]
    assert random_calls.outcome(world, None, 0) == "error: ConnectionClosedError"
