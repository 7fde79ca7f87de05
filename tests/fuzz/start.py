"""Starts one harness under atheris: ``python tests/fuzz/start.py NAME [libFuzzer's arguments and corpora]``.

`run.py` calls it. It needs the pure Python package, as only that can be watched.
"""

from __future__ import annotations

import shlex
import sys

import atheris  # type: ignore[import-untyped]

# Comparisons inside the package tell the fuzzer what it should try, so all of the package is imported here.
with atheris.instrument_imports(include=["rfc6455"], exclude=["rfc6455.testing"]):
    import harness

    import rfc6455


def main() -> None:
    if rfc6455.__compiled__:
        sys.exit("the package is compiled, so nothing would be seen; `tox -e clean` removes its extension modules")
    name = sys.argv.pop(1)
    # To merge corpora, libFuzzer starts this again, by what it takes for the program.
    sys.argv[0] = shlex.join([sys.executable, __file__, name])
    with atheris.instrument_imports(include=["rfc6455"], exclude=["rfc6455.testing"]):
        check = harness.harness(name).check
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
