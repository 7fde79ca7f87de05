"""The `Maker` that puts cases together, and the heads with which they begin.

The law: nothing here uses the package's own serializers, as they refuse to write most of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...byte_loops import apply_mask
from ...codes import Opcode, Role
from ..heads import Head, request_head, response_head
from ..rules import FRAME_RULES
from ..wire import WireFrame, close_payload
from .model import Case, Codes, Deflate, Echoes, Expectation, Fails, Message

# As plain numbers: a case is data.
CONT, TEXT, BINARY, CLOSE, PING, PONG = map(int, Opcode)
NAMES = {CONT: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
DATA_OPCODES = (TEXT, BINARY)
CONTROL_OPCODES = (CLOSE, PING, PONG)

# The masking key of the example in 5.7.
KEY = b"\x37\xfa\x21\x3d"

REQUEST = request_head("{key}", "{target}", "{host}")
ANSWER = response_head().replacing("Sec-WebSocket-Accept", "{accept}")


def request(line: str = REQUEST.start_line, more: str = "", without: str = "", **changes: str | None) -> bytes:
    """Return a good request with some fields changed; in their names, ``_`` stands for ``-``.

    :param line: the request line.
    :param more: further lines, each with its CRLF.
    :param without: the name of a field to leave out. Changing the value of a field to ``None`` does the same.
    """
    return _changed(REQUEST.with_line(line), more, {**changes, without: None})


def answer(line: str = ANSWER.start_line, more: str = "", without: str = "", **changes: str | None) -> bytes:
    """Return a good answer with some fields changed, as for `request`."""
    return _changed(ANSWER.with_line(line), more, {**changes, without: None})


def _changed(head: Head, more: str, changes: dict[str, str | None]) -> bytes:
    fields = dict(head.fields) | {name.replace("_", "-"): value for name, value in changes.items()}
    kept = tuple((name, value) for name, value in fields.items() if value is not None)
    return bytes(replace(head, fields=kept)).removesuffix(b"\r\n") + more.encode("latin-1") + b"\r\n"


def each_byte(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[at : at + 1] for at in range(len(data)))


_MARK_OR_BYTE = re.compile(rb"\{[a-z]+\}|.", re.DOTALL)


def each_byte_of_head(head: bytes) -> tuple[bytes, ...]:
    """Cut a head into writes of one byte, except for the marks: what replaces a mark is one write."""
    return tuple(_MARK_OR_BYTE.findall(head))


def codes(*values: int | None) -> Codes:
    return frozenset(values)


class Maker:
    """Makes the cases of one group for one role.

    :param group: the name of the group, with which the id of each case begins.
    :param role: the role of the peer under test; what is sent to a server is masked.
    """

    def __init__(self, group: str, role: Role) -> None:
        self.group = group
        self.role = role
        self.good_head: bytes = request() if role is Role.SERVER else answer()

    def frame(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool | None = None,
        size: int | None = None,
        length: int | None = None,
    ) -> bytes:
        """Return the bytes of a frame (5.2).

        :param rsv: the three reserved bits as a number.
        :param masked: whether the frame is masked; by default as the role requires.
        :param size: the number of bytes of the extended length, 0, 2 or 8; by default as few as possible.
        :param length: the length that the header claims; by default the real one.
        """
        if masked is None:
            masked = self.role is Role.SERVER
        key = KEY if masked else None
        length = len(payload) if length is None else length
        header = bytes(WireFrame(opcode, b"", fin, rsv, key, length, size))
        return header + (apply_mask(payload, KEY) if masked else payload)

    def fragments(self, opcode: int, payloads: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the frames of one message (5.4)."""
        *first, last = payloads
        opcodes = [opcode] + [CONT] * len(first)
        return tuple(
            self.frame(code, payload, fin=at == len(first))
            for at, (code, payload) in enumerate(zip(opcodes, [*first, last], strict=True))
        )

    def close(self, code: int = 1000, reason: bytes = b"") -> bytes:
        return self.frame(CLOSE, close_payload(code, reason))

    def case(
        self, name: str, clause: str, sentence: str, expect: tuple[Expectation, ...], *writes: bytes, **more: Any
    ) -> Case:
        """Return a case that begins with a good handshake, unless ``more`` says otherwise; see `Case`."""
        more.setdefault("head", (self.good_head,))
        return Case(f"{self.group}.{name}", self.group, self.role, clause, sentence, expect, writes=writes, **more)

    def echoes(
        self,
        name: str,
        clause: str,
        sentence: str,
        messages: tuple[Message, ...],
        *writes: bytes,
        pings: tuple[bytes, ...] = (),
        **more: Any,
    ) -> Case:
        return self.case(name, clause, sentence, (Echoes(messages, pings),), *writes, **more)

    def fails(
        self,
        name: str,
        clause: str,
        sentence: str,
        code: int | Codes,
        *writes: bytes,
        messages: tuple[Message, ...] = (),
        pings: tuple[bytes, ...] = (),
        **more: Any,
    ) -> Case:
        """Return a case in which the peer must fail the connection with this close code, or one of these."""
        allowed = codes(code) if isinstance(code, int) else code
        return self.case(name, clause, sentence, (Fails(allowed, messages, pings),), *writes, **more)

    def breaks(self, name: str, rule: str, sentence: str, *writes: bytes, **more: Any) -> Case:
        """Return a case that breaks a rule. The section and the close code are those of the rule.

        :param rule: a name in `FRAME_RULES`.
        """
        broken = FRAME_RULES[rule]
        return self.fails(name, broken.section, sentence, broken.close_code, *writes, **more)


class DeflateMaker(Maker):
    """Makes cases that need permessage-deflate."""

    def __init__(self, group: str, role: Role) -> None:
        super().__init__(group, role)
        self.good_head: bytes = offering("permessage-deflate") if role is Role.SERVER else answer(more="{deflate}")

    def case(
        self, name: str, clause: str, sentence: str, expect: tuple[Expectation, ...], *writes: bytes, **more: Any
    ) -> Case:
        more.setdefault("deflate", Deflate.NEEDED)
        return super().case(name, clause, sentence, expect, *writes, **more)


def offering(extensions: str) -> bytes:
    """Return a request that offers these extensions."""
    return request(more=f"Sec-WebSocket-Extensions: {extensions}\r\n")
