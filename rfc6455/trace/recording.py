"""A recording: what happened to one connection, in order, as one end saw it.

The law: besides the bytes, it holds everything that the events depend on, and nothing that follows from them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import NamedTuple

from ..codes import Role
from ..deflate import PerMessageDeflate
from ..extensions import MessageCodec
from ..handshake.fields import parse_extensions
from ..limits import Limits

# The end of the year 9999, in seconds since 1970: ISO 8601 has four digits for a year.
LAST_SECOND = 253402300799

# The maximum size to which one recording may inflate, in bytes. One compressed byte can inflate to a thousand: a file
# of 259 kB resulted in 787 MiB of HAR. This is eight times the default limit of a `Recorder`, which a recording
# without compression does not come near.
MOST_MADE = 32 << 20

# The memory that a small message takes besides its data, as a dict for HAR or a line of text. Twice as many of them
# are possible as there can be reads in a recording within a `Recorder`'s default limit.
MADE_OVERHEAD = 512


class Kind(Enum):
    """What an `Entry` records."""

    #: Bytes as they were read; ``b""`` is the end of the stream.
    RECEIVED = "received"
    #: Bytes to be written, as ``data_to_send()`` returned them.
    SENT = "sent"
    #: The handshake was complete, and the connection open.
    OPENED = "opened"
    #: ``receive_data(None)`` went on with unread input.
    RESUMED = "resumed"
    #: This end called ``close()``.
    CLOSE = "close"
    #: This end cut TCP: it called ``Endpoint.abort()``.
    ABORTED = "aborted"
    #: A deadline ended the connection; ``data`` is the name of the `rfc6455.CloseCause`.
    TIMED_OUT = "timed out"


class Entry(NamedTuple):
    """One entry of a `Recording`.

    :ivar time: when it happened, in seconds of the caller's clock.
    :ivar kind: what happened.
    :ivar data: the bytes that belong to it, if there are any for this `Kind`.

    >>> Entry(1.5, Kind.RECEIVED, b"\\x89\\x00")
    Entry(time=1.5, kind=<Kind.RECEIVED: 'received'>, data=b'\\x89\\x00')
    """

    time: float
    kind: Kind
    data: bytes = b""


@dataclass
class Recording:
    """The recording of one connection.

    :ivar role: the end at which it was recorded.
    :ivar entries: what happened, in order.
    :ivar received_head: how many of the received bytes, counted from the beginning, are HTTP rather than frames; all
        of them if the handshake failed.
    :ivar sent_head: the same for the bytes that were sent.
    :ivar extensions: what was negotiated, as written in ``Sec-WebSocket-Extensions``; empty if there are no
        extensions.
    :ivar limits: the limits of the connection.
    :ivar missing: the number of entries that were not kept for lack of space. Nothing after the first of them was
        kept, so the entries are a complete beginning.
    :ivar codecs: a function that takes a role and makes the state of the extensions for an end with this role. It is
        only needed for extensions other than permessage-deflate. It is not saved.

    A recording can also be created by hand, from bytes that were captured elsewhere:

    >>> recording = Recording(Role.CLIENT, [Entry(0.0, Kind.OPENED), Entry(1.5, Kind.RECEIVED, b"\\x89\\x00")])
    >>> recording.is_open
    True
    """

    role: Role
    entries: list[Entry] = field(default_factory=list)
    received_head: int = 0
    sent_head: int = 0
    extensions: str = ""
    limits: Limits = Limits()
    missing: int = 0
    codecs: Callable[[Role], Sequence[MessageCodec]] | None = field(default=None, compare=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether the handshake succeeded."""
        return any(entry.kind is Kind.OPENED for entry in self.entries)


class Way:
    """All bytes of one direction, and the entries from which they come.

    :ivar data: the bytes.
    :ivar head: how many of them, from the beginning, are HTTP.
    """

    def __init__(self, recording: Recording, kind: Kind) -> None:
        entries = recording.entries
        self.kind = kind
        self._indexes = [index for index, entry in enumerate(entries) if entry.kind is kind and entry.data]
        self._ends = list(accumulate([len(entries[index].data) for index in self._indexes]))
        self.data: bytes = b"".join([entries[index].data for index in self._indexes])
        head = recording.received_head if kind is Kind.RECEIVED else recording.sent_head
        self.head: int = min(head, len(self.data)) if recording.is_open else len(self.data)

    def entry_of(self, at: int) -> int:
        """Return the index of the entry that contains the byte at this place."""
        return self._indexes[bisect_right(self._ends, at)]

    def frame_bytes(self) -> Iterator[tuple[int, bytes]]:
        """Yield the index of each entry that contains bytes of frames, and these bytes."""
        start = 0
        for index, end in zip(self._indexes, self._ends, strict=True):
            if end > self.head:
                yield index, self.data[max(start, self.head) : end]
            start = end


def codecs_at(role: Role, recording: Recording) -> Sequence[MessageCodec] | None:
    """Return new state of the extensions with which the end with this role can decode what it receives, or ``None`` if
    an extension is not known.

    :raises HandshakeError: if ``extensions`` does not match the grammar.
    :raises ValueError: if its parameters are invalid.
    """
    if recording.codecs is not None:
        return recording.codecs(role)
    agreed = parse_extensions([recording.extensions]) if recording.extensions else ()
    if any(name != PerMessageDeflate.name for name, _ in agreed) or len(agreed) > 1:
        return None
    return [_inflating(role, parameters) for _, parameters in agreed]


def _inflating(role: Role, parameters: Sequence[tuple[str, str | None]]) -> MessageCodec:
    """Return a codec for inflating. An end inflates with the parameters about its peer; the others are for
    deflating."""
    about_peer = [(name, value) for name, value in parameters if name.startswith(f"{role.peer.value}_")]
    deflate = PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)
    codec = deflate.accept_answer(about_peer) if role is Role.CLIENT else deflate.accept_offer(about_peer)
    if codec is None:
        raise ValueError(f"these parameters of permessage-deflate are not valid: {about_peer}")
    return codec
