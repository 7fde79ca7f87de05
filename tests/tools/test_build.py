"""sdist and wheel: their contents, and that each can be installed into a fresh environment and runs there, with and
without a compiler. Everything is built from a copy, so that the source tree remains unchanged.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

# Compiling takes minutes on a busy machine.
pytestmark = [pytest.mark.build, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
WINDOWS = os.name == "nt"
NOT_SOURCES = shutil.ignore_patterns(
    ".*", "build", "dist", "node_modules", "_build", "*.egg-info", "*.so", "*.pyd", "*.c", "__pycache__"
)

# Bytes. It has up to 1.66 MB (Python 3.13) on Linux with GCC; more would be a module too many, or what debuggers need.
LARGEST_EXTENSION = 1_700_000

# Run in a fresh environment: which build it is, then one message through a client and a server.
SMOKE = """
import importlib.metadata, rfc6455, rfc6455_io.asyncio
client, server = rfc6455.Connection(rfc6455.CLIENT), rfc6455.Connection(rfc6455.SERVER)
client.send_text("hello")
assert server.receive_data(client.data_to_send()) == [rfc6455.TextMessage("hello")]
assert importlib.metadata.version("rfc6455") == rfc6455.__version__
loader = type(rfc6455_io._asyncio_driver.__spec__.loader).__name__
assert (loader == "ExtensionFileLoader") is rfc6455.__compiled__
print("compiled" if rfc6455.__compiled__ else "pure")
"""


def run(*command: str | Path, cwd: Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the build switches of the outer run, and show its output when it fails."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("RFC6455_PURE", "CC", "PYTHONPATH")}
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert not check or finished.returncode == 0, finished.stdout
    return finished


def build_wheel(source: Path, into: Path, **environment: str) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", into, source, cwd=into, **environment)
    (wheel,) = into.glob("*.whl")
    return wheel


def what_a_fresh_environment_runs(package: Path, directory: Path, **environment: str) -> str:
    """Install an sdist or wheel into a new environment, and return which build of the package works there."""
    venv.create(directory / "venv", with_pip=True)
    python = directory / "venv" / ("Scripts/python.exe" if WINDOWS else "bin/python")
    run(python, "-m", "pip", "install", "-q", package, cwd=directory, **environment)
    return run(python, "-c", SMOKE, cwd=directory).stdout.strip()


def files_in_sdist(sdist: Path) -> set[str]:
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def files_in_wheel(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def sources_of_package(*suffixes: str) -> set[str]:
    packages = (ROOT / "rfc6455", ROOT / "rfc6455_io")
    return {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for suffix in suffixes
        for path in package.rglob(f"*{suffix}")
    }


def extension_modules(files: set[str]) -> set[str]:
    """Return where each of them is imported from: ``rfc6455/frames``."""
    return {name.partition(".")[0] for name in files if name.endswith((".so", ".pyd"))}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree as in a fresh clone."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("clone") / "rfc6455", ignore=NOT_SOURCES))


@pytest.fixture(scope="module")
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", into, clone, cwd=into)
    (archive,) = into.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def compiled_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(sdist, tmp_path_factory.mktemp("compiled"), RFC6455_PURE="0")


@pytest.fixture(scope="module")
def pure_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(sdist, tmp_path_factory.mktemp("pure"), RFC6455_PURE="1")


def test_the_sdist_has_all_sources_and_nothing_generated(sdist: Path) -> None:
    files = files_in_sdist(sdist)
    assert sources_of_package(".py", ".pxd", ".pyx", ".pyi", "py.typed") <= files
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "setup.py", "tox.ini"} <= files
    assert {"tests/conftest.py", "docs/conf.py", "examples/chat/server.py"} <= files
    assert not [name for name in files if name.endswith((".c", ".so", ".pyd", ".pyc", ".html.c"))]


def test_the_compiled_wheel_has_sources_types_and_one_small_extension_module(compiled_wheel: Path) -> None:
    files = files_in_wheel(compiled_wheel)
    assert sources_of_package(".py", ".pxd", ".pyi", "py.typed") <= files
    assert extension_modules(files) == {"rfc6455/_compiled"}
    with zipfile.ZipFile(compiled_wheel) as archive:
        assert sum(info.file_size for info in archive.infolist() if "_compiled" in info.filename) < LARGEST_EXTENSION
    assert not [name for name in files if name.endswith((".c", ".pyx"))]
    assert not [name for name in files if not name.startswith(("rfc6455/", "rfc6455_io/", "rfc6455-"))]


def test_the_pure_wheel_is_for_every_platform(pure_wheel: Path) -> None:
    assert pure_wheel.name.endswith("-py3-none-any.whl")
    files = files_in_wheel(pure_wheel)
    assert sources_of_package(".py", ".pxd", ".pyi", "py.typed") <= files
    assert not extension_modules(files)


def test_the_metadata_is_as_an_index_wants_it(sdist: Path, compiled_wheel: Path, pure_wheel: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, compiled_wheel, pure_wheel, cwd=sdist.parent)


def test_the_package_needs_nothing_at_run_time(pure_wheel: Path) -> None:
    with zipfile.ZipFile(pure_wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    assert not [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]


def test_the_compiled_wheel_installs_and_runs(compiled_wheel: Path, tmp_path: Path) -> None:
    assert what_a_fresh_environment_runs(compiled_wheel, tmp_path) == "compiled"


def test_the_pure_wheel_installs_and_runs(pure_wheel: Path, tmp_path: Path) -> None:
    assert what_a_fresh_environment_runs(pure_wheel, tmp_path) == "pure"


@pytest.mark.skipif(WINDOWS, reason="CC is not what chooses the compiler there")
def test_without_a_working_compiler_the_sdist_installs_as_pure_python(sdist: Path, tmp_path: Path) -> None:
    assert what_a_fresh_environment_runs(sdist, tmp_path, CC="false") == "pure"


@pytest.mark.skipif(WINDOWS, reason="CC is not what chooses the compiler there")
def test_without_a_working_compiler_a_build_that_must_compile_fails(sdist: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, sdist)
    finished = run(*command, cwd=tmp_path, check=False, CC="false", RFC6455_PURE="0")
    assert finished.returncode != 0
    assert not list(tmp_path.glob("*.whl"))


def test_building_in_the_source_tree_can_be_undone(clone: Path, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(clone, tmp_path / "tree"))
    before = sorted(tree.joinpath("rfc6455").rglob("*"))
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts/python.exe" if WINDOWS else "bin/python")
    run(python, "-m", "pip", "install", "-q", "setuptools>=77", "Cython>=3.1.2,<4", cwd=tmp_path)

    run(python, "setup.py", "-q", "build_ext", "--inplace", cwd=tree, RFC6455_PURE="0")
    assert run(python, "-Bc", SMOKE.replace("assert importlib", "#"), cwd=tree).stdout.strip() == "compiled"
    run(python, "setup.py", "-q", "clean", "--all", cwd=tree)
    assert sorted(tree.joinpath("rfc6455").rglob("*")) == before
