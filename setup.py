"""The part of the build that pyproject.toml cannot describe: compiling the modules that each `_build.py` lists.

The `.py` files are the only source. Cython compiles those that are used most, with the types from the `.pxd` files
beside them. All of them are linked into one extension module, `rfc6455/_compiled`, in which `_build.py` finds them.

    RFC6455_PURE unset   try to compile; if that fails, install only the `.py` files, which are slower
    RFC6455_PURE=1       do not compile
    RFC6455_PURE=0       compile, and fail if that fails (release wheels, tests of the compiled package)

`rfc6455.__compiled__` says which build was installed. For developers, `python setup.py build_ext --inplace` compiles
in the source tree, where the extension module hides the sources until `python setup.py clean` removes it.
"""

from __future__ import annotations

import ast
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup  # first, as it has its own distutils
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

from distutils.command.clean import clean  # isort: skip


PACKAGES = ("rfc6455", "rfc6455_io")
# The only extension module, which belongs to the first package.
COMPILED = "rfc6455._compiled"

# annotation_typing: the annotations in the .py files are for readers and type checkers; C types are only in the .pxd.
# auto_pickle: classes that can be pickled define how. The code that Cython would add to all the others takes a seventh
# of the C compiler's time, and would only raise an error, as Python does without it. emit_code_comments: nobody reads
# the C code. nonecheck: using an attribute that is uninitialised or None raises an AttributeError, as in Python,
# instead of a crash.
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "auto_pickle": False,
    "emit_code_comments": False,
    "freethreading_compatible": True,
    "nonecheck": True,
}

# The optimization of the C compiler. -Os makes a module smaller by a quarter. If that would make a module slower, -O1
# comes within 5 % of -O2, which takes 70 % longer to compile. What each message passes through has -O2: a process that
# sleeps between two messages has to fetch this code into the cache again each time, and with -O2, a tenth less of it.
# The loop on asyncio and its coroutines are slower by a third with -Os, which does not inline reference counting.
LEVEL = "-Os"
LEVELS = {
    # Loops over bytes, which work on 16 bytes at a time only with -O3.
    "rfc6455._byte_loops": "-O3",
    "rfc6455.messages": "-O1",
    **dict.fromkeys(("rfc6455.connection", "rfc6455.cursor", "rfc6455.endpoint"), "-O2"),
    **dict.fromkeys(("rfc6455_io._asyncio_driver", "rfc6455_io._asyncio_websocket"), "-O2"),
}
# No symbols, and no tables for finding callers in C, as people debug the .py files. With these, the extension module
# would be several times as large. Each function has its own section, so that the linker can sort them: the names of
# those that call each other in C begin with "__pyx_f_", so they lie side by side, and a message touches fewer pages.
UNIX_FLAGS = ["-g0", "-fno-asynchronous-unwind-tables", "-ffunction-sections"]
LINUX_LINKER_FLAGS = ["-Wl,-s", "-Wl,--sort-section=name"]


def modules() -> list[str]:
    """Return the names of all modules that are compiled."""
    return [f"{package}.{module}" for package in PACKAGES for module in modules_of(package)]


def modules_of(package: str) -> tuple[str, ...]:
    """Return `MODULES` of `_build.py`, without importing it, as it would look for the file that is to be built."""
    body = ast.parse(Path(package, "_build.py").read_text(encoding="utf-8")).body
    (value,) = [node.value for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets) == "MODULES"]
    return tuple(ast.literal_eval(value))


def source_of(module: str) -> str:
    """Return the path of a module's source: the `.pyx` file if there is one, otherwise the `.py` file."""
    path = Path(*module.split("."))
    cython = path.with_suffix(".pyx")
    return (cython if cython.exists() else path.with_suffix(".py")).as_posix()


def extension_modules() -> list[Extension]:
    """Return the only extension module, or none if nothing should be compiled."""
    # 5.2: a length has up to 63 bits, and is a Py_ssize_t in the `.pxd`.
    can_compile = platform.python_implementation() == "CPython" and sys.maxsize >= 2**63 - 1
    if os.environ.get("RFC6455_PURE") == "1" or not can_compile:
        return []
    return [Extension(COMPILED, [source_of(module) for module in modules()])]


class BuildAllOrNone(build_ext):
    """Compile all modules into one extension module, or none of them."""

    def run(self) -> None:
        try:
            super().run()
        except (Exception, SystemExit) as error:
            if os.environ.get("RFC6455_PURE") == "0":
                raise
            self.warn(f"no extension module, the package will be pure Python: {error}")
            self._leave_none()

    def build_extension(self, extension: Extension) -> None:
        """Compile the modules in parallel, each with its own options, and have setuptools link the results."""
        sources = dict(zip(modules(), self._translated(), strict=True))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = [*pool.map(self._compile, sources, sources.values())]
        extension.sources, extension.extra_objects = [], [path for paths in objects for path in paths]
        if sys.platform == "linux":
            extension.extra_link_args = LINUX_LINKER_FLAGS
        self.force = True
        super().build_extension(extension)

    def get_export_symbols(self, extension: Extension) -> list[str]:
        """Return the functions by which the modules in the file are loaded; the file itself is not one of them."""
        return [f"PyInit_{module.rpartition('.')[2]}" for module in modules()]

    def _translated(self) -> list[str]:
        """Have Cython write the C files into the temporary directory, so that they are not in an sdist or a wheel."""
        try:
            from Cython.Build import cythonize
        except ImportError as error:
            raise CompileError("Cython is not installed") from error
        done = cythonize(
            [Extension(module, [source_of(module)]) for module in modules()],
            build_dir=self.build_temp,
            compiler_directives=DIRECTIVES,
            quiet=True,
        )
        return [extension.sources[0] for extension in done]

    def _compile(self, module: str, source: str) -> list[str]:
        unix = self.compiler.compiler_type == "unix"
        flags = [LEVELS.get(module, LEVEL), *UNIX_FLAGS] if unix else None
        return self.compiler.compile([source], output_dir=self.build_temp, extra_postargs=flags)

    def _leave_none(self) -> None:
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.extensions = []


class CleanBeside(clean):
    """A `clean` that also removes the extension module that `build_ext --inplace` put beside the sources."""

    def run(self) -> None:
        super().run()
        for pattern in ("*.so", "*.pyd"):
            for path in Path("rfc6455").rglob(pattern):
                path.unlink()


setup(ext_modules=extension_modules(), cmdclass={"build_ext": BuildAllOrNone, "clean": CleanBeside})
