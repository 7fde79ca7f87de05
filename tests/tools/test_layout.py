"""The layout of the package: its modules, what each of them may import, and which names are public.

The table below lists the modules in order. A module may import only modules above it, even if it is only for types, so
that there are no cycles, and each can be read, tested and used without those below it. No module imports I/O, clocks,
threads, logging or the environment: the same bytes result in the same events everywhere. The two exceptions are named
here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import sysconfig
from collections.abc import Container, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import rfc6455

PACKAGE = Path(rfc6455.__file__).parent

MODULES = (
    "_build",
    "_signatures",
    "codes",
    "arguments",
    "values",
    "byte_loops",
    "headers",
    "errors",
    "uri",
    "limits",
    "options",
    "events",
    "cursor",
    "frames",
    "state",
    "extensions",
    "messages",
    "deflate",
    "http1_heads",
    "http1_bodies",
    "connection",
    "deadlines",
    "handshake",
    "endpoint",
    "standing_in",
    "trace",
    "testing",
)

# What does I/O, tells the time, runs things at the same time, or looks around on the machine.
FORBIDDEN = {
    "asyncio",
    "concurrent",
    "contextvars",
    "io",
    "locale",
    "logging",
    "multiprocessing",
    "pathlib",
    "platform",
    "queue",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "warnings",
}
# `datetime` counts days, which needs no clock; these ask for the machine's clock or for the zone it is in.
FORBIDDEN_OF_DATES = {"now", "utcnow", "today", "fromtimestamp", "astimezone", "timestamp"}
# Everything else of `os` reads or changes the machine; this is the default of the injectable randomness.
ALLOWED_FROM_OS = {"urandom"}
# The exceptions, by the file that each is for.
EXCEPTIONS = {
    # `RFC6455_PURE`, read once: it chooses between two builds that do the same.
    "_build.py": {"environ"},
    # After a fork, no masking key of the parent is used again.
    "connection.py": {"register_at_fork"},
}

PUBLIC_NAMES = {
    # who and what
    "Role",
    "CLIENT",
    "SERVER",
    "Opcode",
    "CloseCode",
    "Leniency",
    "is_same_host",
    "is_sendable_close_code",
    # errors and limits
    "ProtocolError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "HandshakeError",
    "ConnectionClosedError",
    "Limits",
    # events
    "Event",
    "TextMessage",
    "BytesMessage",
    "TextPart",
    "BytesPart",
    "EncodedText",
    "Ping",
    "Pong",
    "Closed",
    "CloseCause",
    # frames and messages
    "Frame",
    "FrameParser",
    "serialize_frame",
    "apply_mask",
    "PreparedMessage",
    # the handshake over HTTP/2
    "Http2ClientHandshake",
    "Http2ServerHandshake",
    "HeaderList",
    # the connection and its time
    "Connection",
    "ConnectionState",
    "Direction",
    "Deadlines",
    "Timeouts",
    "Endpoint",
    # extensions
    "Extension",
    "MessageCodec",
    "Parameters",
    "PerMessageDeflate",
    "DeflateParameters",
    # the handshake
    "ServerHandshake",
    "ClientHandshake",
    "Request",
    "Response",
    "Headers",
    "HeaderSource",
    "accept_key",
    "OriginPolicy",
    "Origins",
    "ANY_ORIGIN",
    "SAME_HOST",
    "URI",
    "parse_uri",
}


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """Return the first name below the package: ``frames`` for ``frames.py``, ``testing`` for ``testing/pair.py``."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path: Path) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield ``(level, module, names)`` for each import, including those for types; ``import a.b`` has no names."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)


def internal_imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports, as rows of the table."""
    depth = len(path.relative_to(PACKAGE).parts)
    found: set[str] = set()
    for level, module, names in imports_of(path):
        if level == 0 and module.partition(".")[0] == PACKAGE.name:
            inside = module.split(".")[1:]
        elif level == depth:
            inside = module.split(".") if module else []
        else:
            continue
        found.update(inside[:1] or names)
    return found


def is_private(module: str) -> bool:
    """A leading underscore: an implementation that one module picks, such as the compiled mask."""
    return module.startswith("_")


def test_the_table_and_the_package_hold_the_same_modules() -> None:
    assert {module_of(path) for path in source_files()} - {"__init__"} == set(MODULES)


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_only_up_the_table(path: Path) -> None:
    imported = {module for module in internal_imports_of(path) if not is_private(module)}
    if path == PACKAGE / "__init__.py":
        allowed = set(MODULES)
    else:
        # Up to its own row: the files of a package inside the package may import each other.
        allowed = set(MODULES[: MODULES.index(module_of(path)) + 1])
    assert imported <= allowed


def dotted(path: Path) -> str:
    """A file's name as a module: ``trace.har``, and ``trace`` for ``trace/__init__.py``."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def files_imported_by(path: Path, modules: Container[str]) -> Iterator[str]:
    """The modules of the package that a file imports, each as a file."""
    for level, module, names in imports_of(path):
        if level:
            folder = path.relative_to(PACKAGE).parts[:-level]
            within = ".".join([*folder, *([module] if module else [])])
            for name in names:
                inside = f"{within}.{name}".lstrip(".")
                yield inside if inside in modules else within


def test_no_files_import_each_other_in_a_circle() -> None:
    """Also within the packages of the package, which the table does not tell apart."""
    files = {dotted(path): path for path in source_files() if path.parent != PACKAGE or path.name != "__init__.py"}
    imports = {module: set(files_imported_by(path, files)) - {""} for module, path in files.items()}
    assert {"trace.recording", "codes", "connection"} <= imports["trace.replaying"]
    TopologicalSorter(imports).prepare()


def allowed_from_os(path: Path) -> set[str]:
    name = path.relative_to(PACKAGE).as_posix()
    return ALLOWED_FROM_OS | EXCEPTIONS[name] if name in EXCEPTIONS else ALLOWED_FROM_OS


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_imports_io_or_clocks_or_environment(path: Path) -> None:
    for level, module, names in imports_of(path):
        top = module.partition(".")[0]
        assert level or top not in FORBIDDEN, f"{module} in {path.name}"
        if level == 0 and top == "os":
            assert set(names) <= allowed_from_os(path), f"{names} from os in {path.name}"


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_uses_more_of_os_than_its_randomness(path: Path) -> None:
    attributes = {
        node.attr
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert attributes <= allowed_from_os(path)


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_asks_a_date_for_the_time(path: Path) -> None:
    if any(module == "datetime" for _, module, _ in imports_of(path)):
        names = {node.attr for node in nodes_of(path) if isinstance(node, ast.Attribute)}
        assert not names & FORBIDDEN_OF_DATES


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_opens_or_prints(path: Path) -> None:
    called = {
        node.func.id for node in nodes_of(path) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}


def test_importing_the_package_loads_no_io_module_behind_its_back() -> None:
    """What the sources import may import more; a fresh interpreter tells."""
    loads = "import sys; before = set(sys.modules); import rfc6455; print(*sorted(set(sys.modules) - before))"
    finished = subprocess.run(
        [sys.executable, "-c", loads], cwd=PACKAGE.parent, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(finished.stdout.split())
    assert "rfc6455.connection" in loaded
    assert not loaded & {"socket", "ssl", "select", "selectors", "asyncio", "threading", "logging", "random"}


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="a Python with its lock")
def test_importing_the_package_leaves_the_lock_of_a_free_threaded_python_off() -> None:
    asks = "import sys, rfc6455; print(sys._is_gil_enabled())"
    finished = subprocess.run(
        [sys.executable, "-c", asks], cwd=PACKAGE.parent, capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stdout.strip() == "False"


def test_the_public_names_are_these() -> None:
    assert set(rfc6455.__all__) == PUBLIC_NAMES
    assert len(rfc6455.__all__) == len(PUBLIC_NAMES)


def test_a_connection_has_no_more_attributes_than_a_reader_can_hold() -> None:
    assert len([name for name in dir(rfc6455.Connection) if not name.startswith("_")]) <= 28


def test_nothing_else_is_visible_at_the_top_level() -> None:
    visible = {name for name in vars(rfc6455) if not name.startswith("_")}
    assert visible - set(MODULES) - {"annotations"} == PUBLIC_NAMES


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_each_public_name_is_documented(name: str) -> None:
    value = getattr(rfc6455, name)
    if isinstance(value, type) or callable(value):
        assert (value.__doc__ or "").strip()


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_no_two_modules_that_tests_import_by_their_bare_name_have_the_same() -> None:
    """The one that is imported first would be taken for the other."""
    root = Path(__file__).parents[2]
    directories = ("examples/chat", "examples/conformance", "tests/support")
    names = [path.stem for directory in directories for path in (root / directory).glob("*.py")]
    assert sorted(names) == sorted(set(names))
