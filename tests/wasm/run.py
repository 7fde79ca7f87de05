"""Runs the core's tests on CPython 3.14 as WebAssembly: ``python tests/wasm/run.py``, or ``tox -e wasm``.

There, C's sizes have 32 bits, as on a small device. Pyodide, the interpreter, comes from npm and runs on Node; pytest
and hypothesis are wheels for it from pip's package index. Both are put into ``build/wasm`` on first use. pytest's own
arguments follow `--`, instead of all tests of the core.

The exit code is pytest's, or 77 if there is no Node.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "wasm"
PACKAGES = BUILD / "packages"

EXIT_NO_NODE = 77

# Pyodide's versions are those of Python, and its wheels have a platform of their own.
PYODIDE = "pyodide@314"
PLATFORM = ("--python-version", "3.14", "--platform", "pyemscripten_2026_0_wasm32", "--only-binary=:all:")
WHEELS = ("hypothesis>=6.100", "pytest>=8.2", "pytest-timeout>=2.3")

TESTS = ("-q", "-p", "no:cacheprovider", "tests/core")


def main() -> int:
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("not run: there is no Node", file=sys.stderr)
        return EXIT_NO_NODE
    if not PACKAGES.exists():
        install()
    start = Path(__file__).with_name("run.mjs")
    command = ["node", str(start), str(BUILD), str(ROOT), str(PACKAGES), *(sys.argv[1:] or TESTS)]
    return subprocess.run(command, cwd=ROOT).returncode


def install() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    npm = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--silent",
        "--prefix",
        str(BUILD),
        PYODIDE,
    ]
    subprocess.run(npm, check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(PACKAGES), *PLATFORM, *WHEELS]
    subprocess.run(pip, check=True)


if __name__ == "__main__":
    sys.exit(main())
