"""The choice of the build: either all of the compiled modules, or all of the sources beside them.

The compiled modules are in one file, the extension module ``_compiled``. Python itself would not look for them there,
but a finder for the names of this package does. Without the finder, only the sources are found, so the package is
never half compiled. A package that is compiled against this one has its modules in the same file, and gets a finder
from `use_compiled`. If the file is missing or must not be used, the sources do the same, only more slowly. It must not
be used

- with ``RFC6455_PURE=1`` in the environment when the package is first imported;
- in a second interpreter of the process (a subinterpreter, or the main one after it): the compiled modules keep their
  types in C variables, and belong to the interpreter that loaded them first.

Not here: how the modules are compiled (``setup.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from types import ModuleType

# The modules that `setup.py` compiles: all those through which messages pass. The types in a `.pxd` beside the source
# make a module faster, so each has one. Left out are modules that gained nothing measurable without types (headers,
# heads of HTTP/1.1, the opening handshake: a tenth fewer instructions, the same time), and the public parser of
# frames, which is only a few lines around the cursor. To add a module, write its `.pxd`, add its name
# (`package.module` in a subpackage; no two may end with the same word) and keep it only if `benchmarks/run.py` shows a
# gain: each adds one to six seconds to every installation.
MODULES = (
    "_byte_loops",
    "arguments",
    "connection",
    "cursor",
    "deadlines",
    "deflate",
    "endpoint",
    "events",
    "extensions",
    "messages",
    "values",
)

# The message of Python 3.12 and newer about a module that a subinterpreter may not load, and Cython's to the second
# interpreter that tries. Any other failure to load an existing file is an error, which must not be hidden by using the
# slower sources.
_IN_ANOTHER_INTERPRETER = ("does not support loading in subinterpreters", "Interpreter change detected")


class _Finder:
    """Finds a package's compiled modules in the single file, as long as this package is the one that is imported."""

    def __init__(self, package: ModuleType, modules: Sequence[str], file: str) -> None:
        self._package = package
        self._file = file
        self._names = {f"{package.__name__}.{name}" for name in modules}

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name not in self._names or sys.modules.get(self._package.__name__) is not self._package:
            return None
        return spec_from_file_location(name, self._file, loader=ExtensionFileLoader(name, self._file))


def _usable_file(package: ModuleType) -> str | None:
    """Install the finder if the compiled modules exist and may be used, and return their file."""
    file = PathFinder.find_spec(f"{package.__name__}._compiled", package.__path__)
    if os.environ.get("RFC6455_PURE") == "1" or file is None or file.origin is None:
        return None
    finder = _Finder(package, MODULES, file.origin)
    sys.meta_path.insert(0, finder)
    try:
        # An interpreter that can load the first module can load all the others as well.
        import_module(f"{package.__name__}.{MODULES[0]}")
    except ImportError as error:
        sys.meta_path.remove(finder)
        if not any(words in str(error) for words in _IN_ANOTHER_INTERPRETER):
            raise
        return None
    return file.origin


FILE = _usable_file(sys.modules[__package__])
COMPILED = FILE is not None


def use_compiled(package: ModuleType, modules: Sequence[str]) -> None:
    """Let the modules of another package be compiled if those of this one are."""
    if FILE is not None:
        sys.meta_path.insert(0, _Finder(package, modules, FILE))
