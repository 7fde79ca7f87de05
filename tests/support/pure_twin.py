"""The package built from its sources alone, beside the one that is installed.

`PURE` runs as Python whatever was built. Where the package was compiled, it is the ``.py`` files again, copied to
where no extension module hides them and imported under another name; that works as the package imports its own
modules only relatively. Where nothing was compiled, it is the package itself.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import rfc6455

TWIN = "rfc6455_twin"


def _load_twin() -> Any:
    """Import the copy, and need it no more after that: no module is imported late."""
    source = Path(rfc6455.__file__).parent
    with tempfile.TemporaryDirectory() as directory:
        for module in source.rglob("*.py"):
            target = Path(directory, TWIN, module.relative_to(source))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(module, target)
        sys.path.insert(0, directory)
        try:
            return importlib.import_module(TWIN)
        finally:
            sys.path.remove(directory)


PURE: Any = _load_twin() if rfc6455.__compiled__ else rfc6455
