"""Heads of the opening handshake as text, valid or not (4.1, 4.2).

The law: as in `wire.py`, nothing here uses the package's own code for heads, and nothing is checked.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import sha1

#: The key of the RFC's example (1.3), and the value of ``Sec-WebSocket-Accept`` that answers it.
SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
SAMPLE_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@dataclass(frozen=True)
class Head:
    """A request or a response up to its empty line; ``bytes(head)`` is what goes on the wire.

    :ivar start_line: the first line, without its CRLF.
    :ivar fields: names and values of the header fields, in order. A character is an octet (latin-1).

    >>> bytes(Head("GET / HTTP/1.1", (("Host", "example.com"),)))
    b'GET / HTTP/1.1\\r\\nHost: example.com\\r\\n\\r\\n'
    """

    start_line: str
    fields: tuple[tuple[str, str], ...]

    def __bytes__(self) -> bytes:
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.fields), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields called ``name`` (in any case), without the spaces around them."""
        return [value.strip(" \t") for other, value in self.fields if other.lower() == name.lower()]

    def without(self, name: str) -> Head:
        """Return the same head without the fields called ``name``."""
        return replace(self, fields=tuple(field for field in self.fields if field[0].lower() != name.lower()))

    def with_field(self, name: str, value: str) -> Head:
        """Return the same head with one more field at its end."""
        return replace(self, fields=(*self.fields, (name, value)))

    def with_line(self, start_line: str) -> Head:
        """Return the same fields with a different first line."""
        return replace(self, start_line=start_line)

    def replacing(self, name: str, value: str) -> Head:
        """Return the same head, with this as the only value of ``name``."""
        return self.without(name).with_field(name, value)


def request_head(key: str = SAMPLE_KEY, target: str = "/chat", host: str = "server.example.com") -> Head:
    """Return a request with only the required fields (4.1).

    >>> request_head().get_all("sec-websocket-key")
    ['dGhlIHNhbXBsZSBub25jZQ==']
    """
    return Head(
        f"GET {target} HTTP/1.1",
        (
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13"),
        ),
    )


def response_head(key: str = SAMPLE_KEY) -> Head:
    """Return the response that opens a connection requested with ``key`` (4.2.2).

    >>> response_head().get_all("Sec-WebSocket-Accept") == [SAMPLE_ACCEPT]
    True
    """
    accept = b64encode(sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    return Head(
        "HTTP/1.1 101 Switching Protocols",
        (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)),
    )
