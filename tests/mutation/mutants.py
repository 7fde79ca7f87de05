"""Makes the mutants of a source: each is the source with one small change that some test should notice.

The changes are those of mutmut (`mutmut.mutation.mutators`) and three that it lacks: a call is left out, a condition
is turned round, a result is dropped. They are made everywhere, in tables, properties and what runs at the import too;
mutmut's own runner changes only the bodies of functions without decorators, and only after the import.

What is not changed: annotations, docstrings, imports, the names in ``__slots__`` and ``__match_args__``, and strings
from upper to lower case or back.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    :ivar name: the module and a number, which stays the same as long as the source does.
    :ivar line: the line, from 1.
    :ivar where: the function around it, such as ``FrameParser.advance``; empty outside of functions and classes.
    :ivar before: the lines that are changed, joined.
    :ivar after: what stands there instead.
    :ivar source: the whole changed source.
    """

    name: str
    line: int
    where: str
    before: str
    after: str
    source: str


class Source:
    """The source of a module, and all the changes that can be made to it, in the order of their places.

    A mutant is made when it is asked for, as that takes time.
    """

    def __init__(self, module: str, text: str) -> None:
        wrapper = MetadataWrapper(cst.parse_module(text))
        finder = _Finder()
        wrapper.visit(finder)
        self.module = module
        self.text = text
        self._tree = wrapper.module
        self._changes = sorted(finder.changes, key=lambda change: (change.line, change.column))

    def __len__(self) -> int:
        """How many changes there are."""
        return len(self._changes)

    def mutant(self, number: int) -> Mutant | None:
        """Makes the change with this number, from 0; ``None`` where the result is no program or the same one."""
        change = self._changes[number]
        changed = self._tree.deep_replace(change.old, change.new)
        assert isinstance(changed, cst.Module)
        if changed.code == self.text or not _compiles(changed.code):
            return None
        before, after = _differing_lines(self.text, changed.code)
        return Mutant(f"{self.module}-{number}", change.line, change.where, before, after, changed.code)

    def sample(self, size: int) -> list[int]:
        """The numbers of so many changes, chosen by a hash of what they change into what and in which function.

        So they are the same each time; a smaller sample is a part of a larger one; and when the source is edited, the
        changes that are still there are still chosen.
        """
        seen: Counter[str] = Counter()
        chosen = []
        for number, change in enumerate(self._changes):
            name = "\0".join([change.where, *map(self._tree.code_for_node, (change.old, change.new))])
            seen[name] += 1
            chosen.append((hashlib.sha256(f"{name}\0{seen[name]}".encode()).digest(), number))
        return sorted(number for _, number in sorted(chosen)[:size])

    def mutants(self, numbers: Iterable[int] | None = None) -> list[Mutant]:
        """The mutants with these numbers, or all."""
        made = map(self.mutant, range(len(self)) if numbers is None else numbers)
        return [mutant for mutant in made if mutant is not None]


def _differing_lines(source: str, changed: str) -> tuple[str, str]:
    """The lines in which two sources differ, each as one line."""
    before, after = source.splitlines(), changed.splitlines()
    while before and after and before[-1] == after[-1]:
        del before[-1], after[-1]
    same = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), 0)
    return " ".join(map(str.strip, before[same:])), " ".join(map(str.strip, after[same:]))


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


class _Change(NamedTuple):
    line: int
    column: int
    where: str
    old: cst.CSTNode
    new: cst.CSTNode


class _Finder(cst.CSTVisitor):
    """Collects the changes that can be made."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[_Change] = []
        self._scopes: list[str] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, _LEFT_ALONE):
            return False
        if isinstance(node, (cst.ClassDef, cst.FunctionDef)):
            self._scopes.append(node.name.value)
        for new in _changes(node):
            start = self.get_metadata(PositionProvider, node).start
            self.changes.append(_Change(start.line, start.column, ".".join(self._scopes), node, new))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, (cst.ClassDef, cst.FunctionDef)):
            self._scopes.pop()


_DOCSTRING = m.SimpleStatementLine(body=[m.Expr(value=m.SimpleString() | m.ConcatenatedString())])
_NAMES = m.Assign(targets=[m.AssignTarget(target=m.Name("__slots__") | m.Name("__match_args__"))])
_LEFT_ALONE = m.Annotation() | m.Import() | m.ImportFrom() | _DOCSTRING | _NAMES


def _changes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in [*mutation_operators, *_MORE_OPERATORS]:
        if isinstance(node, kind):
            yield from (new for new in operator(node) if not _is_other_case(node, new))


def _is_other_case(old: cst.CSTNode, new: cst.CSTNode) -> bool:
    """Whether a string only changed its case, which means nothing in the names of header fields."""
    if not isinstance(old, cst.SimpleString) or not isinstance(new, cst.SimpleString):
        return False
    return old.value.lower() == new.value.lower()


def _leave_out_call(node: cst.Expr) -> Iterable[cst.CSTNode]:
    if isinstance(node.value, cst.Call):
        yield cst.Pass()


def _turn_condition(node: cst.If | cst.While) -> Iterable[cst.CSTNode]:
    # `not x` and comparisons are turned round by mutmut.
    if not m.matches(node.test, m.UnaryOperation(operator=m.Not()) | m.Comparison()):
        condition = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), condition))


def _drop_result(node: cst.Return) -> Iterable[cst.CSTNode]:
    if node.value is not None and not m.matches(node.value, m.Name("None")):
        yield node.with_changes(value=cst.Name("None"))


_MORE_OPERATORS: list[tuple[Any, Callable[[Any], Iterable[cst.CSTNode]]]] = [
    (cst.Expr, _leave_out_call),
    ((cst.If, cst.While), _turn_condition),
    (cst.Return, _drop_result),
]
