"""Runs the tests on mutants of the core modules, and says which of them no test noticed.

    python tests/mutation/run.py                        # every module of plan.py
    python tests/mutation/run.py state frames           # some of them
    python tests/mutation/run.py --sample 250           # at most so many of each module, always the same ones
    python tests/mutation/run.py --again                # only what survived the last run, after tests were added
    python tests/mutation/run.py --only frames-17       # one mutant, with what pytest says

How it works: pytest and what the tests import are loaded once. For each mutant the process forks, and the child runs
the module's tests with an import hook that gives the changed source in place of the module. So no file is ever
changed, and a mutant costs no start of an interpreter. The results go to a JSON file, module by module; `report.py`
makes the page of it.

It needs ``fork`` (Linux, macOS), and the pure Python package, as an extension module would hide the changed source.

Why the changes are mutmut's, but a runner of our own tries them. On these modules,

- mutmut 3.8.1 changes only the bodies of functions that have no decorator, and only in a process that has imported
  the module before. Of ``state`` it makes 29 mutants instead of 63, none of them in the table that this module is
  about; of ``connection`` 648 instead of 822, of ``frames`` 444 instead of 546. The 13 in ``state._flatten``, which
  runs at the import, it all calls survivors, where the tests kill each; with its fork server, 7 survive and 6 time
  out, as it tries just the one test that runs when the module is first imported.
- cosmic-ray 8.7.0 changes the file itself, and leaves it changed when it is stopped. It knows no change of a call, an
  argument, a result or a string. Of its 3743 mutants of the six modules, 495 are in annotations, which nothing
  evaluates. It starts an interpreter for each: 1.1 s of a processor for a mutant of ``state`` where this takes 0.34 s.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from hypothesis import Phase, settings
from mutants import Mutant, Source
from plan import LEFT_OUT, PRELOAD, TESTS

ROOT = Path(__file__).parents[2]

KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"

# A mutant may loop for ever, keep ever more, or wait for ever: then it is stopped. The processor's time counts first,
# as the machine may be busy with other things.
MEMORY = 1 << 30
LEAST_SECONDS = 10
LONGEST_WAIT = 1800


# ---- In the child ----


class _MutantFinder(MetaPathFinder):
    """Gives the mutant's source when its module is imported."""

    def __init__(self, mutant: Mutant) -> None:
        self._module = mutant.name.rpartition("-")[0]
        self._source = mutant.source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != f"rfc6455.{self._module}":
            return None
        file = str(path_of(self._module))
        return spec_from_file_location(fullname, file, loader=_MutantLoader(fullname, file, self._source))


class _MutantLoader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """Compiles the mutant; the cached code of the module is neither read nor written."""
        code: CodeType = compile(self._source, self.path, "exec", dont_inherit=True)
        return code


class _Watcher:
    """A plugin of pytest that saves time, and tells which test failed.

    Few examples are tried, none is made small, and the tests that noticed most mutants so far come first.
    """

    def __init__(self, pipe: int, noticed: Counter[str]) -> None:
        self._pipe = pipe
        self._noticed = noticed

    def pytest_configure(self, config: pytest.Config) -> None:
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutation", settings.get_profile("quick"), phases=phases, database=None)
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not item.name.startswith(LEFT_OUT)]
        items.sort(key=lambda item: -self._noticed[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._pipe, report.nodeid.encode())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            os.write(self._pipe, f"{report.nodeid} (when it was imported)".encode())


def _run_tests(mutant: Mutant | None, tests: Sequence[str], watcher: _Watcher, verbose: bool) -> int:
    """Runs pytest in this process, which is good for nothing else after that."""
    if not verbose:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    if mutant is not None:
        sys.meta_path.insert(0, _MutantFinder(mutant))
    # An extension module beside its source would hide it; tests/conftest.py refuses that.
    os.environ["RFC6455_EXPECT"] = "pure"
    # Plain: assertions need not explain themselves. The code of the tests is compiled once and then cached.
    sys.dont_write_bytecode = False
    options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-o", "pythonpath=. tests/support"]
    return pytest.main([*options, "--timeout=0", *tests], plugins=[watcher])


def _limit(seconds: float) -> None:
    """Bounds what this process may use; the kernel ends it with SIGXCPU when the seconds are over."""
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))


# ---- In the parent ----


@dataclass
class _Running:
    mutant: Mutant | None
    tests: Sequence[str]
    pipe: int
    started: float

    def failed_test(self) -> str:
        """What the child told before it ended."""
        with os.fdopen(self.pipe, "rb") as pipe:
            return pipe.read().decode(errors="replace")

    def result(self, outcome: str) -> dict[str, Any]:
        mutant = self.mutant
        assert mutant is not None
        seconds = round(time.monotonic() - self.started, 2)
        return {**described(mutant), "outcome": outcome, "failed": self.failed_test(), "seconds": seconds}


def described(mutant: Mutant) -> dict[str, Any]:
    return {name: value for name, value in asdict(mutant).items() if name != "source"}


def _start(
    mutant: Mutant | None,
    tests: Sequence[str],
    noticed: Counter[str] | None = None,
    seconds: float = LONGEST_WAIT,
    verbose: bool = False,
) -> tuple[int, _Running]:
    reading, writing = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        status = 3
        try:
            _limit(seconds)
            status = _run_tests(mutant, tests, _Watcher(writing, noticed or Counter()), verbose)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    os.close(writing)
    return pid, _Running(mutant, tests, reading, started)


def run_mutants(
    mutants: Sequence[Mutant], tests: Sequence[str], workers: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Gives the result of each mutant, in the order in which they come.

    :param tests: files of tests; the later ones are run only on what the first did not notice.
    :param workers: how many mutants are tried at a time.
    :param seconds: how much time of a processor the tests may take.
    """
    waiting = [(mutant, [*tests[:1]]) for mutant in reversed(mutants)]
    rest = [*tests[1:]]
    running: dict[int, _Running] = {}
    noticed: Counter[str] = Counter()
    while waiting or running:
        while waiting and len(running) < workers:
            pid, started = _start(*waiting.pop(), noticed, seconds)
            running[pid] = started
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            yield from _stop_late(running)
            time.sleep(0.005)
            continue
        done = running.pop(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            yield done.result(TIMEOUT)
        elif status:
            result = done.result(KILLED)
            noticed[result["failed"]] += 1
            yield result
        elif rest and done.tests is not rest and done.mutant is not None:
            done.failed_test()
            waiting.append((done.mutant, rest))
        else:
            yield done.result(SURVIVED)


def _stop_late(running: dict[int, _Running]) -> Iterator[dict[str, Any]]:
    for pid, late in list(running.items()):
        if time.monotonic() - late.started > LONGEST_WAIT:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            yield running.pop(pid).result(TIMEOUT)


def seconds_of(tests: Sequence[str]) -> float:
    """How much time of a processor the tests take on the module as it is, on which they must pass."""
    pid, running = _start(None, tests)
    _, status, usage = os.wait4(pid, 0)
    failed = running.failed_test()
    if status:
        raise SystemExit(f"the tests fail on the module as it is: {failed or status}")
    return usage.ru_utime + usage.ru_stime


def path_of(module: str) -> Path:
    return ROOT.joinpath("rfc6455", *module.split(".")).with_suffix(".py")


def tests_of(module: str) -> list[str]:
    return [f"tests/core/{name}.py" for name in TESTS[module]]


def load(module: str) -> Source:
    return Source(module, path_of(module).read_text(encoding="utf-8"))


def digest_of(source: Source) -> str:
    """Tells whether the code of a module is still the same; comments and docstrings are no part of it."""
    tree = ast.parse(source.text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def run_module(module: str, size: int | None, workers: int) -> dict[str, Any]:
    """Runs the tests on the mutants of a module, or on so many of them, chosen by chance but always the same ones."""
    source = load(module)
    numbers = source.sample(len(source) if size is None else size)
    results = _run(module, source.mutants(numbers), workers)
    return {
        "tests": tests_of(module),
        "code": digest_of(source),
        "found": len(source),
        "sampled": len(numbers) < len(source),
        "results": results,
    }


def run_again(module: str, known: dict[str, Any], workers: int) -> dict[str, Any]:
    """Runs the tests on the mutants that survived an earlier run, and brings its results up to date."""
    source = load(module)
    if known["code"] != digest_of(source):
        raise SystemExit(f"{module} has changed since the last run; run it without --again")
    survived = [number_of(result["name"]) for result in known["results"] if result["outcome"] == SURVIVED]
    new = {result["name"]: result for result in _run(module, source.mutants(survived), workers)}
    return {**known, "results": [new.get(result["name"], result) for result in known["results"]]}


def number_of(name: str) -> int:
    return int(name.rpartition("-")[2])


def _run(module: str, mutants: list[Mutant], workers: int) -> list[dict[str, Any]]:
    tests = tests_of(module)
    seconds = seconds_of(tests)
    print(f"{module}: {len(mutants)} mutants; the tests take {seconds:.0f} s", flush=True)
    results = {}
    for result in run_mutants(mutants, tests, workers, LEAST_SECONDS + 2 * seconds):
        results[result["name"]] = result
        if result["outcome"] == SURVIVED:
            print("survived: {name}, line {line}: {before} -> {after}".format(**result), flush=True)
    survived = sum(result["outcome"] == SURVIVED for result in results.values())
    print(f"{module}: {len(results) - survived} of {len(results)} killed", flush=True)
    return [results[mutant.name] for mutant in mutants]


def run_one(name: str) -> int:
    """Shows one mutant and what pytest says of it; gives pytest's status, 0 where it survives."""
    module = name.rpartition("-")[0]
    mutant = load(module).mutant(number_of(name))
    if mutant is None:
        raise SystemExit(f"{name} is no mutant, as it does not compile")
    print(f"{name}, line {mutant.line}, {mutant.where}: {mutant.before} -> {mutant.after}", flush=True)
    pid, _ = _start(mutant, tests_of(module), verbose=True)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the tests on mutants of the core modules.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="of plan.py; all by default")
    parser.add_argument("--again", action="store_true", help="only what survived the last run")
    parser.add_argument("--sample", type=int, metavar="N", help="at most so many mutants of each module")
    parser.add_argument("--only", metavar="NAME", help="one mutant, with the output of pytest")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="so many mutants at a time (default 2)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "mutation.json", metavar="FILE")
    return parser.parse_args()


def main() -> int:
    options = _options()
    os.chdir(ROOT)
    for name in PRELOAD:
        import_module(name)
    if options.only:
        return run_one(options.only)
    output: Path = options.output
    output.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    for module in options.modules or TESTS:
        if options.again:
            known[module] = run_again(module, known[module], options.workers)
        else:
            known[module] = run_module(module, options.sample, options.workers)
        output.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
