"""Runs uvicorn's own tests of its WebSocket protocols on our class: `python tests/support/uvicorn_own_tests.py`.

The test file of the installed version is downloaded (the sdist contains it), and gets a fixture that names our class.
It needs what uvicorn's tests need: ``pip install httpx2 trustme websockets wsproto httptools pytest-timeout anyio``.
The exit code is 0 if no tests fail other than those that docs/reference/io_uvicorn.rst explains.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import uvicorn

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "io_uvicorn.rst"

FIXTURE = """
import pytest
from rfc6455_io.uvicorn import Protocol

@pytest.fixture
def ws_protocol_cls():
    return Protocol
"""


def fetched(folder: Path) -> Path:
    """Download the sdist of the installed version, and return the folder that it unpacks to."""
    name = f"uvicorn=={uvicorn.__version__}"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, name],
        check=True,
    )
    (archive,) = folder.glob("uvicorn-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / f"uvicorn-{uvicorn.__version__}"


def failures(source: Path) -> tuple[set[str], str]:
    """Run the tests; return the names of those that fail, without parameters, and what pytest says at the end."""
    # Without uvicorn's own package, which is installed.
    (source / "uvicorn").rename(source / "not_imported")
    (source / "tests" / "protocols" / "conftest.py").write_text(FIXTURE, encoding="utf-8")
    options = ["-c", "/dev/null", "-q", "--tb=no", "-rf", "--timeout=30", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, "--rootdir", ".", "tests/protocols/test_websocket.py"]
    finished = subprocess.run(command, cwd=source, env=_environment(source), capture_output=True, text=True)
    last = finished.stdout.strip().rpartition("\n")[2]
    if finished.returncode not in (0, 1):
        raise SystemExit(finished.stdout + finished.stderr)
    return set(re.findall(r"^FAILED \S+::(\w+)", finished.stdout, re.MULTILINE)), last


def _environment(source: Path) -> dict[str, str]:
    path = os.pathsep.join([str(source), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def explained() -> set[str]:
    """Return the tests that the reference page names."""
    return set(re.findall(r"``(test_\w+)``", PAGE.read_text(encoding="utf-8")))


def main() -> int:
    parser = argparse.ArgumentParser(description="uvicorn's own tests on our protocol class")
    parser.add_argument("--source", type=Path, help="an unpacked sdist of uvicorn, in place of a download")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.source is None:
            source = fetched(Path(folder))
        else:
            source = Path(folder) / "source"
            shutil.copytree(options.source, source)
        failed, summary = failures(source)
    print(summary)
    for name in sorted(failed - explained()):
        print("not explained:", name)
    return 1 if failed - explained() else 0


if __name__ == "__main__":
    sys.exit(main())
