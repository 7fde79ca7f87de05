"""Fuzzes the package with atheris: ``python tests/fuzz/run.py``, or ``tox -e fuzz``.

    python tests/fuzz/run.py                            # each harness for a minute
    python tests/fuzz/run.py --seconds 1200 --jobs 2    # for twenty, two of them at a time
    python tests/fuzz/run.py frames head                # some of them
    python tests/fuzz/run.py --merge                    # then keep what reaches something new in tests/fuzz/corpus
    python tests/fuzz/run.py --rst FILE                 # the table for the documentation, of each one's last run

Each harness begins with the committed corpus and the inputs of `seeds`. What it finds on the way, its log, and the
inputs that fail (``crash-...``, ``timeout-...``) are left in ``build/fuzz``. To see such an input fail again, and to
keep it, put it into ``tests/fuzz/corpus/NAME`` and run ``pytest tests/tools/test_fuzz_corpus.py``.

The exit code is 0 when nothing failed, 1 when something did, and 2 when a harness could not be run. Files: this one is
the command, `start` runs one harness, `report` reads its log.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import CORPUS, HERE, NAMES, harness
from report import Result, as_rst, as_text, read_log
from seeds import MAX_SIZE, write

ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "fuzz"

EXIT_FOUND, EXIT_BROKEN = 1, 2

# An input that takes longer is a finding, in seconds; so is a process that grows larger, in MiB.
SLOW, LARGE = 20, 1024


def main() -> int:
    options = parse_arguments()
    names = options.names or list(NAMES)
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda name: run(name, options.seconds), names))
    if options.merge:
        for result in results:
            merge(result.name)
    print(as_text(results))
    if options.rst is not None:
        last = [read_result(name) for name in NAMES if (BUILD / name / "log").exists()]
        options.rst.write_text(as_rst(last), encoding="utf-8")
    if not all(result.ran for result in results):
        return EXIT_BROKEN
    return EXIT_FOUND if any(result.findings for result in results) else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzzes rfc6455 with atheris.")
    parser.add_argument("names", nargs="*", metavar="NAME", type=parse_name, help=f"{', '.join(NAMES)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each harness (default: 60)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time (default: all cores)"
    )
    parser.add_argument("--merge", action="store_true", help="keep what reaches something new in tests/fuzz/corpus")
    parser.add_argument("--rst", type=Path, metavar="FILE", help="where to write the table as reStructuredText")
    return parser.parse_args()


def parse_name(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(NAMES)}")
    return text


def run(name: str, seconds: int) -> Result:
    """Run one harness, from the beginning."""
    home = BUILD / name
    shutil.rmtree(home, ignore_errors=True)
    found, seeds = home / "corpus", home / "seeds"
    found.mkdir(parents=True)
    write(name, seeds)
    (home / "words").write_text("".join(entries(harness(name).WORDS)), encoding="ascii")
    arguments = [f"-dict={home / 'words'}", f"-max_total_time={seconds}", f"-artifact_prefix={home}{os.sep}"]
    arguments += [f"-timeout={SLOW}", f"-rss_limit_mb={LARGE}", "-print_final_stats=1"]
    start(name, home / "log", *arguments, found, *existing(name), seeds)
    return read_result(name)


def read_result(name: str) -> Result:
    """Return what came of the last run of a harness."""
    home = BUILD / name
    findings = [path.name for path in sorted(home.iterdir()) if path.name.startswith(("crash-", "timeout-", "oom-"))]
    return read_log(name, (home / "log").read_text(encoding="utf-8", errors="replace"), findings)


def entries(words: Sequence[bytes]) -> Iterator[str]:
    """Yield a dictionary as libFuzzer reads it: each byte as its number."""
    for word in words:
        yield '"' + "".join(f"\\x{octet:02x}" for octet in word) + '"\n'


def existing(name: str) -> list[Path]:
    return [CORPUS / name] if (CORPUS / name).is_dir() else []


def merge(name: str) -> None:
    """Replace the committed corpus by the few inputs that together reach all that any input reaches."""
    home = BUILD / name
    merged = home / "merged"
    merged.mkdir()
    start(name, home / "log-merge", "-set_cover_merge=1", merged, *existing(name), home / "corpus", home / "seeds")
    if not any(merged.iterdir()):
        sys.exit(f"nothing was merged; {home / 'log-merge'} tells more")
    shutil.rmtree(CORPUS / name, ignore_errors=True)
    shutil.copytree(merged, CORPUS / name)


def start(name: str, log: Path, *arguments: str | Path) -> None:
    command = [sys.executable, str(HERE / "start.py"), name, f"-max_len={MAX_SIZE}", *map(str, arguments)]
    with log.open("wb") as output:
        subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)


if __name__ == "__main__":
    sys.exit(main())
