"""Draws pictures for pages: ``.. picture:: bytes-and-events``, ``life-of-an-endpoint`` or ``end-of-a-connection``.

The layout of the pictures is written by hand, as SVG inside the page, so that they take their colours from its theme
(``_static/pages.css``) and can be read on a phone. Builders other than HTML leave them out; the text next to each says
the same. Not here: the tables that the code uses, which `state_diagrams.py` draws.
"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from state_diagrams import svg_of

WIDTH = 392


def box(x: int, y: int, width: int, height: int, name: str, *lines: str, kind: str = "") -> str:
    """Return a rounded box with a name and smaller lines below it, all centred; ``x`` and ``y`` are its upper left
    corner."""
    middle = x + width // 2
    first = y + height // 2 + 5 - 8 * len(lines)
    below = [text(middle, first + 17 * number, line) for number, line in enumerate(lines, 1)]
    return (
        f'<rect class="state {kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
        f'<text class="name" x="{middle}" y="{first}" text-anchor="middle">{escape(name)}</text>' + "".join(below)
    )


def text(x: int, y: int, words: str, anchor: str = "middle", kind: str = "words") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def arrow(path: str, kind: str = "") -> str:
    return f'<path class="arrow {kind}" d="{path}" marker-end="url(#arrow-head)"/>'


def line(path: str, kind: str) -> str:
    return f'<path class="arrow {kind}" d="{path}"/>'


def bytes_and_events() -> str:
    """Return a picture with the network above, the code below, an endpoint between them, and a clock beside it."""
    parts = [
        box(2, 4, 388, 44, "the network", "a socket, a stream of HTTP/2, a test"),
        arrow("M 60 48 V 122"),
        text(70, 76, "bytes in", "start", "axis"),
        text(70, 96, "events(data, now=...)", "start", "code"),
        arrow("M 230 126 V 53"),
        text(240, 76, "bytes out", "start", "axis"),
        text(240, 96, "data_to_send()", "start", "code"),
        box(2, 126, 248, 60, "Endpoint", "handshake, frames, deadlines", kind="open"),
        box(318, 126, 72, 60, "a clock"),
        arrow("M 318 143 H 255"),
        text(286, 137, "now", kind="code"),
        arrow("M 250 170 H 313"),
        text(322, 204, "next_deadline()", kind="code"),
        arrow("M 60 186 V 276"),
        text(70, 222, "events out", "start", "axis"),
        text(70, 242, 'TextMessage("hi")', "start", "code"),
        text(70, 260, "Closed(1000)", "start", "code"),
        arrow("M 230 280 V 191"),
        text(240, 222, "calls in", "start", "axis"),
        text(240, 242, 'send_text("hello")', "start", "code"),
        text(240, 260, "close()", "start", "code"),
        box(2, 280, 388, 44, "your code", "what the messages mean"),
    ]
    return svg_of(WIDTH, 328, "Bytes and events: an endpoint between the network and your code", parts)


def life_of_an_endpoint() -> str:
    """Return a picture with one state below the other, and at the right, the ways to the end that skip some of
    them."""
    left, width = 2, 216
    middle = left + 60
    parts = [
        box(left, 4, width, 44, "opening", "events: Request or Response"),
        arrow(f"M {middle} 48 V 91"),
        text(middle + 10, 68, "accept(), or the", "start"),
        text(middle + 10, 84, "Response came", "start"),
        box(left, 96, width, 44, "open", "events: messages, Ping, Pong", kind="open"),
        arrow(f"M {middle} 140 V 183"),
        text(middle + 10, 166, "close() was called", "start"),
        box(left, 188, width, 44, "closing", "events: messages may still come", kind="closing"),
        arrow(f"M {middle} 232 V 275"),
        text(middle + 10, 258, "the peer's Close", "start"),
        box(
            left,
            280,
            width,
            62,
            "closed",
            "event: Closed, the last one",
            "must_close: whose turn it is",
            kind="closed",
        ),
        arrow(f"M {middle} 342 V 401"),
        text(middle + 10, 364, "the peer ended TCP, or", "start"),
        text(middle + 10, 380, "had 2 s to do so", "start"),
        box(left, 406, width, 44, "finished", "close the socket", kind="last"),
        line("M 218 26 H 372 V 311", ""),
        text(226, 20, "refused, invalid, late", "start"),
        line("M 218 118 H 352 V 311", ""),
        text(226, 112, "peer's Close", "start"),
        text(226, 134, "violation, timeout,", "start"),
        text(226, 150, "end of the stream", "start"),
        line("M 218 210 H 332 V 311", ""),
        text(226, 204, "end of the", "start"),
        text(226, 226, "stream, timeout", "start"),
        arrow("M 372 311 H 223"),
    ]
    return svg_of(WIDTH, 454, "The life of an endpoint", parts)


def end_of_a_connection() -> str:
    """Return a picture with two time lines, from top to bottom: the Close frames, and then the two halves of TCP."""
    client, server = 96, 296
    parts = [
        box(client - 60, 4, 120, 32, "client"),
        box(server - 60, 4, 120, 32, "server"),
        line(f"M {client} 36 V 404", "life"),
        line(f"M {server} 36 V 404", "life"),
        text(client - 8, 66, "close(1000)", "end", "code"),
        arrow(f"M {client} 62 L {server - 4} 98"),
        text(196, 68, "Close 1000"),
        text(server + 8, 102, "Closed", "start", "code"),
        text(server + 8, 120, "must_close", "start", "code"),
        arrow(f"M {server} 132 L {client + 4} 168"),
        text(196, 138, "Close 1000"),
        text(client - 8, 172, "Closed", "end", "code"),
        line(f"M {client - 80} 74 V 160", "wait"),
        text(client - 74, 112, "close:", "start"),
        text(client - 74, 128, "10 s", "start"),
        text(server + 8, 198, "shutdown()", "start", "code"),
        arrow(f"M {server} 194 L {client + 4} 230", "tcp"),
        text(196, 200, "end of TCP"),
        text(client - 8, 228, 'events(b"")', "end", "code"),
        text(client - 8, 246, "must_close", "end", "code"),
        text(client - 8, 264, "finished", "end", "code"),
        line(f"M {client - 80} 178 V 212", "wait"),
        text(client - 74, 192, "tcp_close:", "start"),
        text(client - 74, 208, "2 s", "start"),
        arrow(f"M {client} 280 L {server - 4} 316", "tcp"),
        text(client - 8, 286, "sock.close()", "end", "code"),
        text(196, 286, "end of TCP"),
        line(f"M {server + 84} 206 V 304", "wait"),
        text(server + 80, 246, "tcp_close:", "end"),
        text(server + 80, 262, "2 s", "end"),
        text(server + 8, 320, 'events(b"")', "start", "code"),
        text(server + 8, 338, "finished", "start", "code"),
        text(server + 8, 358, "sock.close()", "start", "code"),
        text(196, 392, "time goes down", kind="axis"),
    ]
    return svg_of(WIDTH, 408, "The end of a connection, with both ends and TCP on one time line", parts)


PICTURES = {
    "bytes-and-events": bytes_and_events,
    "life-of-an-endpoint": life_of_an_endpoint,
    "end-of-a-connection": end_of_a_connection,
}


class Picture(Directive):
    """The picture with that name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", PICTURES[self.arguments[0]](), format="html")]


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("picture", Picture)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
