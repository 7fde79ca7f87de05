"""Makes the tables of ``docs/conformance/mutation.rst`` from what `run.py` found.

    python tests/mutation/report.py                     # reads build/mutation.json

Every mutant that survived needs a reason in ``survivors.txt``. The report says which one has none, which reason is
for a mutant that did not survive, and which module is below the goal; each of these is an error. A reason for a mutant
that is in no sample of this run is none: a larger sample may have it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rfc6455

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "_generated" / "mutation.rst"
REASONS = Path(__file__).with_name("survivors.txt")

# At least so much of each module's mutants must be noticed.
GOAL = 0.9


def figures_of(results: list[dict[str, Any]]) -> dict[str, int]:
    outcomes = Counter(result["outcome"] for result in results)
    return {"mutants": outcomes.total(), **{name: outcomes[name] for name in ("killed", "timeout", "survived")}}


def share_of(figures: dict[str, int]) -> float:
    """The part of the mutants that was noticed; a test that does not end is a test that fails."""
    return 1 - figures["survived"] / figures["mutants"]


Key = tuple[str, str, str, str]


def key_of(module: str, result: dict[str, Any]) -> Key:
    return module, result["where"], result["before"], result["after"]


class Reasons:
    """Finds the reason in ``survivors.txt``, and knows which of them were never asked for."""

    def __init__(self, text: str) -> None:
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        self._reasons: dict[Key, str] = {}
        for group in "\n".join(lines).split("\n\n"):
            self._read(group.strip().splitlines())
        self.unused = set(self._reasons)

    def _read(self, group: list[str]) -> None:
        module, _, where = group[0].partition(":")
        reason = " ".join(line for line in group[1:] if line[:2] not in ("- ", "+ "))
        before = ""
        for line in group[1:]:
            if line.startswith("- "):
                before = line[2:]
            elif line.startswith("+ "):
                self._reasons[module, where.strip(), before, line[2:].strip()] = reason

    def find(self, module: str, survivor: dict[str, Any]) -> str | None:
        key = key_of(module, survivor)
        self.unused.discard(key)
        return self._reasons.get(key)


def summary_of(run: dict[str, Any], reasons: Reasons) -> dict[str, Any]:
    """The figures of each module, and its survivors with their reasons."""
    summary = {}
    for module, found in run.items():
        survivors = [result for result in found["results"] if result["outcome"] == "survived"]
        summary[module] = {
            "found": found["found"],
            "sampled": found["sampled"],
            **figures_of(found["results"]),
            "tests": found["tests"],
            "survivors": [
                {
                    "line": survivor["line"],
                    "where": survivor["where"],
                    "before": survivor["before"],
                    "after": survivor["after"],
                    "reason": reasons.find(module, survivor),
                }
                for survivor in survivors
            ],
        }
    return summary


def page_of(summary: dict[str, Any]) -> Iterator[str]:
    yield ".. Made by tests/mutation/report.py; do not edit."
    yield ""
    yield f"- rfc6455: {rfc6455.__version__}, pure Python"
    yield f"- mutmut, of which the changes are: {version('mutmut')}"
    yield f"- Python: {platform.python_implementation()} {platform.python_version()}"
    yield f"- system: {platform.system()} {platform.machine()}"
    yield ""
    yield from _table_of_figures(summary)
    yield "What survived"
    yield "-------------"
    yield ""
    for module, found in summary.items():
        if found["survivors"]:
            yield from _survivors_of(module, found["survivors"])


def _table_of_figures(summary: dict[str, Any]) -> Iterator[str]:
    names = ["found", "mutants", "killed", "timeout", "survived"]
    rows = [["Module", "Mutants", "Tried", "Killed", "Timed out", "Survived", "Noticed"]]
    total: Counter[str] = Counter()
    for module, found in summary.items():
        figures = {name: found[name] for name in names}
        total.update(figures)
        rows.append([f"``{module}``", *map(str, figures.values()), f"{share_of(figures):.1%}"])
    rows.append(["All", *(str(total[name]) for name in names), f"{share_of(total):.1%}"])
    yield from _list_table(rows)


def _survivors_of(module: str, survivors: list[dict[str, Any]]) -> Iterator[str]:
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for survivor in survivors:
        lines = by_reason[survivor["where"], survivor["reason"] or "No reason was given."]
        if f"- {survivor['before']}" not in lines:
            lines.append(f"- {survivor['before']}")
        lines.append(f"+ {survivor['after']}")
    yield f"``{module}``"
    yield "~" * (len(module) + 4)
    yield ""
    for (where, reason), lines in by_reason.items():
        yield f"{f'``{where}``' if where else 'At the top of the module'}: {reason}"
        yield ""
        yield ".. code-block:: diff"
        yield ""
        yield from (f"   {line}" for line in lines)
        yield ""


def _list_table(rows: list[list[str]]) -> Iterator[str]:
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield ""
    for row in rows:
        for index, cell in enumerate(row):
            yield f"   {'-' if index else '* -':>3} {cell}"
    yield ""


def problems_of(run: dict[str, Any], summary: dict[str, Any], reasons: Reasons) -> Iterator[str]:
    for module, found in summary.items():
        if share_of(found) < GOAL:
            yield f"{module}: only {share_of(found):.1%} of the mutants were noticed"
        for survivor in found["survivors"]:
            if survivor["reason"] is None:
                yield "no reason for this survivor:\n" + _group(module, **survivor)
    tried = {key_of(module, result) for module, found in run.items() for result in found["results"]}
    for key in sorted(reasons.unused):
        if key in tried or (key[0] in summary and not summary[key[0]]["sampled"]):
            yield "a reason for what did not survive:\n" + _group(*key)


def _group(module: str, where: str, before: str, after: str, **_others: Any) -> str:
    """As ``survivors.txt`` has it."""
    return f"{module}: {where}\n- {before}\n+ {after}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the tables about mutation testing.")
    parser.add_argument("results", nargs="?", type=Path, default=ROOT / "build" / "mutation.json")
    options = parser.parse_args()
    reasons = Reasons(REASONS.read_text(encoding="utf-8"))
    run = json.loads(options.results.read_text(encoding="utf-8"))
    summary = summary_of(run, reasons)
    PAGE.write_text("\n".join(page_of(summary)).rstrip() + "\n", encoding="utf-8")
    problems = list(problems_of(run, summary, reasons))
    print("\n".join(problems) or f"{PAGE} is written")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
