"""Recordings of a connection, for people, for other tools, and for bug reports that can be run again.

`Recorder` wraps a handshake or a connection. Its `Recording` can be saved and loaded (`dumps`, `loads`), shown as text
(`to_text`), as HAR (`to_har`) and as pcapng (`to_pcapng`), and passed to a new connection (`replay`).

Not here: files, sockets, or a clock; the caller passes the clock in. Recorded data may come from a hostile peer: no
format shows it unescaped, and no data makes a format raise an error. A recording contains everything that was
transmitted, including cookies and passwords.
"""

from __future__ import annotations

from .har import to_har
from .pcapng import to_pcapng
from .recorder import DEFAULT_LIMIT, Recorder
from .recording import Entry, Kind, Recording
from .replaying import replay
from .saving import dumps, loads
from .text import to_text

__all__ = [
    "DEFAULT_LIMIT",
    "Entry",
    "Kind",
    "Recorder",
    "Recording",
    "dumps",
    "loads",
    "replay",
    "to_har",
    "to_pcapng",
    "to_text",
]
