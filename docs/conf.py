"""The configuration of Sphinx for these pages: `sphinx-build -W -b html docs docs/_build/html`, or `tox -e docs`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path

from sphinx.application import Sphinx

# The pages describe the sources beside them, whatever else is installed.
sys.path.insert(0, str(Path(__file__).parent.parent))
# The extensions that generate tables and pictures from the code and the tests.
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import rfc6455

project = "rfc6455"
author = "the rfc6455 authors"
copyright = "the rfc6455 authors"  # noqa: A001  (Sphinx wants this name)
release = rfc6455.__version__
build = "compiled" if rfc6455.__compiled__ else "pure Python"

extensions = ["sphinx.ext.autodoc", "clauses", "drawings", "error_tables", "repository_files", "state_diagrams"]
exclude_patterns = ["_build", "_generated"]
rst_epilog = f"""
.. |build| replace:: {release} ({build})
"""

# As in the docstrings, plain backquotes refer to a Python object.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# A name in backquotes without a target is a mistake, except for these, which are not ours or not public.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(collections\.abc|hypothesis)\..*|rfc6455\.(deflate\.DeflateCodec|byte_loops\.PayloadBuffer)"),
    ("py:class", r"rfc6455\.headers\.Request|OptionArguments|rfc6455\..*\._End"),
    (
        "py:class",
        r"rfc6455_io\._.*|ConnectArguments|Sendable|socket\.socket|ssl\.SSLContext|asyncio\..*|threading\..*|os\.PathLike.*",
    ),
    ("py:exc", "ProxyError"),  # rfc6455_io.threads has the one of rfc6455_io.asyncio
    ("py:obj", r"socket|CLOSED|rfc6455(\..*)?"),
]

html_css_files = ["pages.css"]
html_theme = "furo"
html_title = f"rfc6455 {release}"
html_static_path = ["_static"]
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", leave_out_the_docstring_of_its_class)


def leave_out_the_docstring_of_its_class(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Document a member of an enum that has a name of its own, such as `rfc6455.CLIENT`, as this member."""
    if what == "data" and isinstance(value, Enum):
        lines[:] = [f"The same as ``{type(value).__name__}.{value.name}``.", ""]
