"""Makes a link of each file or folder of the repository that a page names, such as ``examples/echo_trio.py``.

The files become pages of the documentation, so that links work wherever it is read, and show the version for which the
page was written. Not here: the check that the named files exist (`tests/tools/test_docs.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent.parent
# These names refer to files of the repository, even without a folder.
TOP = {"CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "pyproject.toml", "setup.py", "tox.ini"}
LANGUAGES = {".py": "python", ".md": "markdown", ".html": "html", ".toml": "toml", ".ini": "ini", ".rst": "rst"}


def named_path(text: str) -> Path | None:
    """Return the file or folder that a literal names, relative to the repository; ``None`` if it names none."""
    words = text.rstrip("/")
    if not (words in TOP or "/" in words) or words.startswith(("/", ".")) or " " in words:
        return None
    path = ROOT / words
    return path.relative_to(ROOT) if path.exists() and path.resolve().is_relative_to(ROOT) else None


def page_of(path: Path) -> str:
    return f"files/{path.as_posix()}"


def link_files(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Replace each literal that names a file with a link to the page of that file."""
    if app.builder.format != "html":
        return
    for literal in list(doctree.findall(nodes.literal)):
        path = named_path(literal.astext())
        if path is None or not has_page(path) or isinstance(literal.parent, (nodes.reference, nodes.title)):
            continue
        named_files(app).add(path)
        uri = app.builder.get_relative_uri(docname, page_of(path))
        literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=uri, internal=True))


def has_page(path: Path) -> bool:
    """Return whether there is something to show: text, or a folder with files of text."""
    return bool(files_in(path)) if (ROOT / path).is_dir() else path.suffix in {*LANGUAGES, ".txt"}


def named_files(app: Sphinx) -> set[Path]:
    """Return the files and folders that the pages written so far have named."""
    files: set[Path] = app.builder.__dict__.setdefault("named_files", set())
    return files


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder that a reader may want to see, relative to the repository."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).iterdir() if path.suffix in LANGUAGES)


def collect_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page for each file that was named, and for those in each folder that was named."""
    named = named_files(app)
    folders = {path for path in named if (ROOT / path).is_dir()}
    for folder in sorted(folders):
        yield page_of(folder), {"title": f"{folder}/", "body": folder_body(app, folder), "parents": []}, "page.html"
    for path in sorted((named - folders).union(*map(files_in, folders))):
        yield page_of(path), {"title": str(path), "body": file_body(app, path), "parents": []}, "page.html"


def folder_body(app: Sphinx, folder: Path) -> str:
    links = [
        f'<li><a href="{app.builder.get_relative_uri(page_of(folder), page_of(path))}">{escape(path.name)}</a></li>'
        for path in files_in(folder)
    ]
    return f"<h1>{escape(folder.as_posix())}/</h1><ul>{''.join(links)}</ul>"


def file_body(app: Sphinx, path: Path) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    highlighter = app.builder.highlighter  # type: ignore[attr-defined]
    code = highlighter.highlight_block(text, LANGUAGES.get(path.suffix, "text"), linenos=False)
    return f"<h1>{escape(path.as_posix())}</h1>{code}"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", link_files)
    app.connect("html-collect-pages", collect_pages)
    # The named files are collected while pages are written, so this must happen in a single process.
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
