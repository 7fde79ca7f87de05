"""The packages without their extension modules, beside those that are installed.

`PURE` and `PURE_LOOPS` run as Python, whatever was built. If the packages were compiled, they are copies of the
``.py`` files in a place where no extension module hides them, imported under other names; this works because each
package imports its own modules only relatively. If nothing was compiled, they are the packages themselves.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import rfc6455
import rfc6455_io.asyncio

TWIN = "rfc6455_twin"
TWIN_OF_LOOPS = "rfc6455_io_twin"


def _load_twins() -> tuple[Any, Any]:
    """Import the copies, and need them no more after that: no module is imported late."""
    with tempfile.TemporaryDirectory() as directory:
        _copy(Path(rfc6455.__file__).parent, Path(directory, TWIN))
        _copy(Path(rfc6455_io.__file__).parent, Path(directory, TWIN_OF_LOOPS))
        sys.path.insert(0, directory)
        try:
            importlib.import_module(f"{TWIN_OF_LOOPS}.asyncio")
        finally:
            sys.path.remove(directory)
    return sys.modules[TWIN], sys.modules[TWIN_OF_LOOPS]


def _copy(source: Path, into: Path) -> None:
    """Copy the sources, so that what they import from the other package is its twin."""
    for module in source.rglob("*.py"):
        target = into / module.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = module.read_text(encoding="utf-8")
        target.write_text(re.sub(r"\brfc6455\b", TWIN, text) if source.name != "rfc6455" else text, encoding="utf-8")


PURE: Any
PURE_LOOPS: Any
PURE, PURE_LOOPS = _load_twins() if rfc6455.__compiled__ else (rfc6455, rfc6455_io)
