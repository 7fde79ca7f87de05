"""Runs the compiled package under gcc's sanitizers: ``python tests/fuzz/sanitize.py``, or ``tox -e sanitize``.

AddressSanitizer ends the process if memory is read or written that does not belong to the package, and
UndefinedBehaviorSanitizer if the behaviour of C is undefined. The package is compiled with both into
``build/sanitized``, which takes about a minute. Then the tests of the core are run on it, and then calls at random
(`random_calls.py`).

    --seconds N    of calls at random (default: 60)
    --seed N       of the first ones (default: 0)
    --no-build     take what was compiled before
    pytest's own arguments follow `--`, in place of all tests of the core

It needs Linux and gcc, and ends with 77 without them; otherwise with 0 if nothing was found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "sanitized"

EXIT_NO_GCC = 77

FLAGS = "-fsanitize=address,undefined -fno-omit-frame-pointer"

# Loaded before Python, which was built without them.
LIBRARIES = ("libasan.so", "libubsan.so")

# Python itself keeps memory until its end. Nobody gets more than 4 GiB at a time, and who asks for it gets an error.
ASAN_OPTIONS = "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096"
UBSAN_OPTIONS = "halt_on_error=1:print_stacktrace=1"

# What measures memory or work would measure the sanitizers.
TESTS = ("-m", "not (measured or slow)", "tests/core")


def main() -> int:
    options = parse_arguments()
    if sys.platform != "linux" or shutil.which("gcc") is None:
        print("not run: there is no gcc for Linux", file=sys.stderr)
        return EXIT_NO_GCC
    if options.build:
        build()
    calls = ("tests/fuzz/random_calls.py", "--seconds", options.seconds, "--seed", options.seed)
    pytest = str(Path(sysconfig.get_path("scripts"), "pytest"))  # not -m, which puts the source tree on the path
    return run(pytest, "-q", "-o", "pythonpath=tests/support", *options.tests) or run("-W", "ignore", *calls)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs the compiled package under gcc's sanitizers.")
    parser.add_argument("--seconds", default="60", help="of calls at random (default: 60)")
    parser.add_argument("--seed", default="0", help="of the first ones (default: 0)")
    parser.add_argument("--no-build", dest="build", action="store_false", help="take what was compiled before")
    parser.add_argument("tests", nargs="*", default=TESTS, help="pytest's arguments")
    return parser.parse_args()


def build() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    subprocess.run(
        [
            sys.executable,
            "setup.py",
            "--quiet",
            "build",
            "--build-base",
            str(BUILD / "base"),
            "--build-lib",
            str(BUILD),
        ],
        cwd=ROOT,
        env={**os.environ, "CC": "gcc", "CFLAGS": FLAGS, "RFC6455_PURE": "0"},
        check=True,
    )


def run(*command: str) -> int:
    """Run Python with the sanitizers and what was compiled with them."""
    environment = {
        "LD_PRELOAD": " ".join(map(path_of, LIBRARIES)),
        "ASAN_OPTIONS": ASAN_OPTIONS,
        "UBSAN_OPTIONS": UBSAN_OPTIONS,
        "PYTHONMALLOC": "malloc",  # one allocation for each block, so that an access beside it is noticed
        "PYTHONPATH": str(BUILD),
        "RFC6455_EXPECT": "compiled",
    }
    return subprocess.run([sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}).returncode


def path_of(library: str) -> str:
    command: Sequence[str] = ["gcc", f"-print-file-name={library}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
