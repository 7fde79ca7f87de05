"""The chat can be read in one sitting: how many files a line passes, and how long they are."""

from __future__ import annotations

import ast

from chat_server import CHAT

# In this order README.md tells to read them.
WAY = ["server.py", "session.py", "hub.py", "lines.py", "outbox.py"]


def test_the_way_of_a_line_is_read_in_one_sitting() -> None:
    assert {path.name for path in CHAT.glob("*.py")} == {*WAY, "client.py", "screen.py"}
    assert sum(len((CHAT / name).read_text(encoding="utf-8").splitlines()) for name in WAY) < 900
    readme = (CHAT / "README.md").read_text(encoding="utf-8")
    assert [line.split("`")[1] for line in readme.splitlines() if line[:4] in {f"| {n} " for n in range(1, 6)}] == WAY


def test_readme_tells_of_each_file() -> None:
    readme = (CHAT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (CHAT / "service").glob("[!_]*.py") if f"`{path.name}`" not in readme] == []


def test_a_session_is_small() -> None:
    tree = ast.parse((CHAT / "session.py").read_text(encoding="utf-8"))
    (session,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Session")
    methods = [node.name for node in session.body if isinstance(node, ast.FunctionDef)]
    assert len(methods) <= 20, methods
    rows = [line.split(" ")[1] for line in (ast.get_docstring(tree) or "").splitlines() if line.startswith("| ")]
    assert rows == ["phase", "OPENING", "CHATTING", "CLOSING", "ENDING", "CUT"]
