"""Draws the state tables that the code uses: ``.. direction-diagram::``, ``.. direction-table::``,
``.. connection-diagram::``.

The states, arrows and words are read from `rfc6455.state`; only the positions of the states are written here by hand.
The drawing is SVG inside the page, so that no program is needed to draw it, and takes its colours from the page's
theme (``_static/pages.css``). Builders other than HTML show only the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

from rfc6455 import ConnectionState, Direction, Opcode
from rfc6455.state import TRANSITIONS, connection_state

# --- the table ------------------------------------------------------------------------------------------------


def frame_name(opcode: Opcode, fin: bool) -> str:
    """Return the name of a frame in the diagrams, without FIN for control frames, which always have it."""
    if opcode >= Opcode.CLOSE and fin:
        return opcode.name
    return f"{opcode.name} fin" if fin else f"{opcode.name} more"


def arrows() -> dict[tuple[Direction, Direction], list[str]]:
    """Return for each two states the frames that lead from one to the other, in the order of the table."""
    found: dict[tuple[Direction, Direction], list[str]] = {}
    for (before, opcode, fin), after in TRANSITIONS.items():
        found.setdefault((before, after), []).append(frame_name(opcode, fin))
    return found


def table_rows() -> Iterator[list[str]]:
    """Yield a row for each kind of frame, with its effect in each state."""
    for opcode in Opcode:
        for fin in (True, False):
            steps = [TRANSITIONS.get((state, opcode, fin)) for state in Direction]
            if any(step is not None for step in steps):
                yield [frame_name(opcode, fin), *["error" if step is None else f"→ {step.name}" for step in steps]]


# --- drawing --------------------------------------------------------------------------------------------------

# Narrow enough for a phone to show the whole drawing with legible words.
WIDTH, HEIGHT = 392, 340
BOX_WIDTH, BOX_HEIGHT = 112, 44
LINE = 17

# The centre of each state's box.
PLACES = {Direction.IDLE: (70, 120), Direction.IN_MESSAGE: (322, 120), Direction.CLOSED: (196, 290)}

# For each two neighbours a path from edge to edge, and where its words begin or end.
PATHS: dict[tuple[Direction, Direction], tuple[str, int, int, str]] = {
    (Direction.IDLE, Direction.IN_MESSAGE): ("M 126 110 H 261", 196, 84, "middle"),
    (Direction.IN_MESSAGE, Direction.IDLE): ("M 266 130 H 131", 196, 151, "middle"),
    (Direction.IDLE, Direction.CLOSED): ("M 70 142 V 290 H 135", 80, 230, "start"),
    (Direction.IN_MESSAGE, Direction.CLOSED): ("M 322 142 V 290 H 257", 312, 230, "end"),
    (Direction.IDLE, Direction.IDLE): ("M 40 98 C 20 56 120 56 102 93", 70, 30, "middle"),
    (Direction.IN_MESSAGE, Direction.IN_MESSAGE): ("M 292 98 C 272 56 372 56 354 93", 322, 30, "middle"),
}


def direction_svg() -> str:
    """Return the states of one direction.

    :raises KeyError: when the table has an arrow for which there is no place here.
    """
    parts = [_arrow(PATHS[ends], names) for ends, names in arrows().items()]
    parts += [_box(x, y, state.name, state is Direction.CLOSED) for state, (x, y) in PLACES.items()]
    return svg_of(WIDTH, HEIGHT, "The states of one direction of a connection", parts)


def _arrow(path: tuple[str, int, int, str], names: list[str]) -> str:
    line, x, y, anchor = path
    return f'<path class="arrow" d="{line}" marker-end="url(#arrow-head)"/>' + _words(x, y, names, anchor)


def _words(x: int, y: int, names: list[str], anchor: str) -> str:
    """Return one or two frames per line, so that the words stay beside their arrow."""
    each = 1 if len(names) == 2 else 2
    lines = [", ".join(names[at : at + each]) for at in range(0, len(names), each)]
    return "".join(
        f'<text class="words" x="{x}" y="{y + LINE * number}" text-anchor="{anchor}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )


def _box(x: int, y: int, name: str, is_last: bool) -> str:
    left, top = x - BOX_WIDTH // 2, y - BOX_HEIGHT // 2
    last = " last" if is_last else ""
    return (
        f'<rect class="state{last}" x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x}" y="{y + 5}" text-anchor="middle">{escape(name)}</text>'
    )


CELL_WIDTH, CELL_HEIGHT = 94, 52
LEFT, TOP = 102, 62


def connection_svg() -> str:
    """Return the state of a connection for each state of what was sent (down) and of what was received (across)."""
    parts = [
        f'<text class="axis" x="{LEFT + CELL_WIDTH * 3 // 2}" y="18" text-anchor="middle">received</text>',
        f'<text class="axis" x="{LEFT - 12}" y="{TOP - 14}" text-anchor="end">sent</text>',
    ]
    for number, direction in enumerate(Direction):
        across, down = LEFT + CELL_WIDTH * number, TOP + CELL_HEIGHT * number
        name = escape(direction.name)
        middle = across + CELL_WIDTH // 2
        parts.append(f'<text class="words" x="{middle}" y="{TOP - 14}" text-anchor="middle">{name}</text>')
        parts.append(
            f'<text class="words" x="{LEFT - 12}" y="{down + CELL_HEIGHT // 2 + 5}" text-anchor="end">{name}</text>'
        )
        parts += [_cell(down, place, connection_state(direction, other)) for place, other in enumerate(Direction)]
    return svg_of(LEFT + 3 * CELL_WIDTH + 8, TOP + 3 * CELL_HEIGHT + 10, "The state of a connection", parts)


def _cell(top: int, place: int, state: ConnectionState) -> str:
    left = LEFT + CELL_WIDTH * place
    return (
        f'<rect class="state {state.value}" x="{left + 3}" y="{top + 3}" width="{CELL_WIDTH - 6}" '
        f'height="{CELL_HEIGHT - 6}" rx="8"/>'
        f'<text class="name" x="{left + CELL_WIDTH // 2}" y="{top + CELL_HEIGHT // 2 + 5}" text-anchor="middle">'
        f"{escape(state.name)}</text>"
    )


def svg_of(width: int, height: int, title: str, parts: list[str]) -> str:
    return (
        f'<div class="diagram"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
        '<defs><marker id="arrow-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path class="head" d="M 0 0 L 8 4 L 0 8 z"/></marker></defs>'
        f"{''.join(parts)}</svg></div>"
    )


# --- Sphinx ---------------------------------------------------------------------------------------------------


class _Drawing(Directive):
    def svg(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", self.svg(), format="html")]


class DirectionDiagram(_Drawing):
    svg = staticmethod(direction_svg)


class ConnectionDiagram(_Drawing):
    svg = staticmethod(connection_svg)


class DirectionTable(Directive):
    """The table from which the diagram is drawn."""

    def run(self) -> list[nodes.Node]:
        return [table(["frame", *[state.name for state in Direction]], table_rows(), ("small",))]


def table(header: list[str], rows: Iterator[list[str]], classes: tuple[str, ...] = ()) -> nodes.table:
    """Return a table of plain texts, as docutils nodes.

    :param classes: the classes for ``_static/pages.css``, which explains them.
    """
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=1) for _ in header]
    group += nodes.thead("", _row(header))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group, classes=list(classes))


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *[nodes.entry("", nodes.paragraph(text=cell)) for cell in cells])


def setup(app: Any) -> dict[str, Any]:
    for name, directive in (
        ("direction-diagram", DirectionDiagram),
        ("direction-table", DirectionTable),
        ("connection-diagram", ConnectionDiagram),
    ):
        app.add_directive(name, directive)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
