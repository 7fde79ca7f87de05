"""What pyproject.toml cannot say: which modules become extension modules, and what to do where they cannot.

The `.py` files are the only source. Cython compiles the hot ones as they are, with the types from the `.pxd` files
beside them, to extension modules that are installed next to the `.py` and are imported in their stead.

    RFC6455_PURE unset   try to compile; where that fails, install the `.py` files alone, which do the same slower
    RFC6455_PURE=1       do not compile
    RFC6455_PURE=0       compile, and let a failure be a failure (release wheels, tests of the compiled package)

`rfc6455.__compiled__` tells which came out. For developers, `python setup.py build_ext --inplace` compiles in the
source tree, where the extension modules hide the sources until `python setup.py clean` removes them.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup  # first: it brings its own distutils
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

from distutils.command.clean import clean  # isort: skip


PACKAGE = Path("rfc6455")

# Hot without types of their own: compiled as they are. All that have a `.pxd` beside them are compiled too.
HOT_WITHOUT_TYPES = ("headers", "http1_heads", "handshake/negotiation", "handshake/http1")

# The annotations in the .py are for readers and type checkers; what a type is in C, the .pxd says alone.
DIRECTIVES = {"language_level": 3, "annotation_typing": False, "freethreading_compatible": True}
# -g0: what is debugged is the .py; without it an extension module is several times as large.
UNIX_FLAGS = ["-O3", "-g0"]


def extension_modules() -> list[Extension]:
    """The modules to compile, in the order of their names: from `.pyx`, from `.py` with a `.pxd`, and the hot ones."""
    # 5.2: a length has up to 63 bits, and is a Py_ssize_t in the `.pxd`.
    can_compile = platform.python_implementation() == "CPython" and sys.maxsize >= 2**63 - 1
    if os.environ.get("RFC6455_PURE") == "1" or not can_compile:
        return []
    cython = {path.with_suffix("") for path in PACKAGE.rglob("*.pyx")}
    python = {*map(PACKAGE.joinpath, HOT_WITHOUT_TYPES), *(path.with_suffix("") for path in PACKAGE.rglob("*.pxd"))}
    sources = [path.with_suffix(".pyx" if path in cython else ".py") for path in sorted(cython | python)]
    return [Extension(".".join(path.with_suffix("").parts), [path.as_posix()]) for path in sources]


class BuildAllOrNone(build_ext):
    """Compile every extension module, or leave none: modules compiled against each other cannot be mixed."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        try:
            super().run()
        except (Exception, SystemExit) as error:
            if os.environ.get("RFC6455_PURE") == "0":
                raise
            self.warn(f"no extension modules, the package will be pure Python: {error}")
            self._leave_none()

    def build_extensions(self) -> None:
        self._cythonize()
        if self.compiler.compiler_type == "unix":
            for extension in self.extensions:
                extension.extra_compile_args = UNIX_FLAGS
        super().build_extensions()

    def _cythonize(self) -> None:
        """Have Cython write the C into the temporary directory, so that it gets into no sdist and no wheel."""
        try:
            from Cython.Build import cythonize
        except ImportError as error:
            raise CompileError("Cython is not installed") from error
        done = cythonize(
            [Extension(extension.name, extension.sources) for extension in self.extensions],
            build_dir=self.build_temp,
            compiler_directives=DIRECTIVES,
            quiet=True,
        )
        sources = {extension.name: extension.sources for extension in done}
        for extension in self.extensions:
            extension.sources = sources[extension.name]

    def _leave_none(self) -> None:
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = []


class CleanBeside(clean):
    """`clean` that removes the extension modules which `build_ext --inplace` put beside their sources, too."""

    def run(self) -> None:
        super().run()
        for pattern in ("*.so", "*.pyd"):
            for path in PACKAGE.rglob(pattern):
                path.unlink()


setup(ext_modules=extension_modules(), cmdclass={"build_ext": BuildAllOrNone, "clean": CleanBeside})
