"""The choice of the build: either the compiled modules or the sources, but never some of both.

Each case runs in an interpreter of its own, as a package is imported only once. If the package is not compiled, there
is no choice, but the requested build must be the one that runs nevertheless.
"""

from __future__ import annotations

import compileall
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rfc6455
import rfc6455_io
from rfc6455 import _build

pytestmark = pytest.mark.processes

PACKAGE = Path(rfc6455.__file__).parent

COMPILED_ONLY = pytest.mark.skipif(not rfc6455.__compiled__, reason="the package is not compiled here")

# Prints whether it is compiled and, of each module that could be, whether its loader is one for extension modules;
# after one message through a client and a server.
TELL = """
import sys
import rfc6455
from importlib.machinery import ExtensionFileLoader
from rfc6455._build import MODULES
client, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
client.send_text("hello")
assert server.receive_data(client.data_to_send()) == [rfc6455.TextMessage("hello")]
loaded = [sys.modules[f"rfc6455.{name}"] for name in MODULES if f"rfc6455.{name}" in sys.modules]
kinds = {isinstance(module.__spec__.loader, ExtensionFileLoader) for module in loaded}
assert len(loaded) >= len(MODULES) - 1 and kinds == {rfc6455.__compiled__}, loaded
said = "compiled" if rfc6455.__compiled__ else "pure"
"""

# `_interpreters` since 3.13, with another way to be told of an error.
IN_SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ModuleNotFoundError:
    import _xxsubinterpreters as interpreters

def run(code):
    interpreter = interpreters.create(CONFIGURATION)
    try:
        failed = interpreters.run_string(interpreter, code)
        assert failed is None, failed
    finally:
        interpreters.destroy(interpreter)
"""

HAS_SUBINTERPRETERS = any(importlib.util.find_spec(name) for name in ("_interpreters", "_xxsubinterpreters"))
needs_subinterpreters = pytest.mark.skipif(not HAS_SUBINTERPRETERS, reason="a Python without subinterpreters")

#: Arguments of `create()`: one that shares the lock and may load anything (as mod_wsgi's), and one that is isolated.
LEGACY = "'legacy'" if sys.version_info >= (3, 13) else "isolated=False"
ISOLATED = "'isolated'" if sys.version_info >= (3, 13) else "isolated=True"


def output_of(code: str, *, path: Path = PACKAGE.parent, **environment: str) -> list[str]:
    """Run code in an interpreter that finds the package in ``path``, and return the words that it prints."""
    inherited = {name: value for name, value in os.environ.items() if name != "RFC6455_PURE"}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        cwd=path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


def copy_of_package(directory: Path) -> Path:
    """Return a copy of the package, with the extension module if there is one, that may be changed."""
    return Path(shutil.copytree(PACKAGE, directory / "rfc6455", ignore=shutil.ignore_patterns("__pycache__")))


BUILD = "compiled" if rfc6455.__compiled__ else "pure"


# What the loops on asyncio are: the loader of each of their modules that could be compiled.
TELL_OF_LOOPS = """
import sys
import rfc6455_io.asyncio, rfc6455_io._build
names = [f"rfc6455_io.{name}" for name in rfc6455_io._build.MODULES]
print(*{type(sys.modules[name].__spec__.loader).__name__ for name in names})
"""


@pytest.mark.parametrize("value", ["1", ""])
def test_the_loops_are_compiled_where_the_protocol_is(value: str) -> None:
    kind = "ExtensionFileLoader" if BUILD == "compiled" and not value else "SourceFileLoader"
    assert output_of(TELL_OF_LOOPS, RFC6455_PURE=value) == [kind]


@pytest.mark.parametrize(("value", "runs"), [("1", "pure"), ("0", BUILD), ("", BUILD)])
def test_the_environment_at_import_chooses_the_sources(value: str, runs: str) -> None:
    assert output_of(TELL + "print(said)", RFC6455_PURE=value) == [runs]


def test_modules_that_are_imported_late_are_of_the_build_that_was_chosen(tmp_path: Path) -> None:
    """The environment counts when the package is first imported, and not later."""
    code = "import os, rfc6455; os.environ['RFC6455_PURE'] = '1'; import rfc6455.testing, rfc6455.trace\n"
    assert output_of(code + TELL + "print(said)") == [BUILD]


def test_a_package_that_is_imported_again_is_chosen_again() -> None:
    forget = "import os; os.environ['RFC6455_PURE'] = '1'\nfor name in list(sys.modules):\n"
    forget += "    if name.partition('.')[0] == 'rfc6455': del sys.modules[name]\n"
    assert output_of(f"{TELL}\nprint(said)\n{forget}\n{TELL}\nprint(said)") == [BUILD, "pure"]


@pytest.mark.parametrize("has_sources", [True, False])
@pytest.mark.parametrize("has_extension", [True, False])
def test_what_runs_is_told_right_with_and_without_the_sources(
    has_sources: bool, has_extension: bool, tmp_path: Path
) -> None:
    package = copy_of_package(tmp_path)
    if not has_sources:
        assert compileall.compile_dir(package, quiet=2, legacy=True)
        for path in package.rglob("*.py"):
            path.unlink()
    if not has_extension:
        for path in package.glob("_compiled*"):
            path.unlink()
    said, file = output_of(TELL + "print(said, rfc6455.__file__)", path=tmp_path)
    assert said == (BUILD if has_extension else "pure")
    assert file.endswith(".py" if has_sources else ".pyc")


@needs_subinterpreters
@pytest.mark.parametrize("configuration", [LEGACY, ISOLATED])
def test_a_subinterpreter_after_the_main_one_runs_the_sources(configuration: str) -> None:
    code = IN_SUBINTERPRETER.replace("CONFIGURATION", configuration)
    there = TELL + "print(said, flush=True)"
    assert output_of(f"{TELL}\nprint(said, flush=True)\n{code}\nrun({there!r})\nrun({there!r})") == [
        BUILD,
        "pure",
        "pure",
    ]


@needs_subinterpreters
def test_interpreters_that_share_the_lock_share_out_one_compiled_build() -> None:
    """The first interpreter has it, and it is never loaded twice; here the main one comes last."""
    code = IN_SUBINTERPRETER.replace("CONFIGURATION", LEGACY)
    there = TELL + "print(said, flush=True)"
    said = output_of(f"{code}\nrun({there!r})\nrun({there!r})\n{TELL}\nprint(said, flush=True)")
    assert len(said) == 3
    assert said.count("compiled") == (1 if rfc6455.__compiled__ else 0)


@COMPILED_ONLY
@pytest.mark.parametrize("damage", [b"", b"\x7fELF is no library"])
def test_an_extension_module_that_is_there_and_broken_is_not_passed_over(damage: bytes, tmp_path: Path) -> None:
    """It would be missed only for its speed."""
    (library,) = copy_of_package(tmp_path).glob("_compiled*")
    library.unlink()
    library.write_bytes(damage)
    told = "try:\n    import rfc6455\nexcept ImportError as error:\n    print('refused')"
    assert output_of(told, path=tmp_path) == ["refused"]
    assert output_of(TELL + "print(said)", path=tmp_path, RFC6455_PURE="1") == ["pure"]


def test_each_module_that_is_compiled_has_its_types_and_no_other_has() -> None:
    """`MODULES` is what counts; a `.pxd` without it would be taken for compiled by other Cython code."""
    for build in (_build, rfc6455_io._build):
        package = Path(build.__file__).parent
        typed = {path.relative_to(package).with_suffix("") for path in package.rglob("*.pxd")}
        assert sorted(build.MODULES) == sorted(".".join(path.parts) for path in typed)


def test_no_two_compiled_modules_end_in_the_same_word() -> None:
    """They are in one file, where the last word of its name is all that a module is found by (PEP 489)."""
    last_words = [name.rpartition(".")[2] for name in (*_build.MODULES, *rfc6455_io._build.MODULES)]
    assert len({*last_words}) == len(last_words)
