"""Replaying a recording: its input is passed to a new connection.

The law: the calls are the same, in the same order, so the events are the same, call by call. Nothing here interprets
the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..codes import CloseCause, Role
from ..connection import Connection
from ..errors import LocalProtocolError, RemoteProtocolError
from ..events import BytesMessage, Closed, Event, TextMessage
from ..limits import Limits
from .recording import MADE_OVERHEAD, MOST_MADE, Entry, Kind, Recording, Way, codecs_at

# The index of an entry, and the events of the call that it records.
Replayed = tuple[int, "list[Event]"]


def replay(recording: Recording, make: Callable[[], Connection] | None = None) -> Iterator[tuple[Entry, list[Event]]]:
    """Pass what the recorded connection received to a new connection, call by call, and yield the events of each call.

    The data that this end sent is not sent again, as events do not depend on it. There is one exception: the state
    that a connection keeps for compressing counts towards its memory budget, so a recorded 1009 for exceeding the
    budget may not occur again. Besides, no message is inflated to more than 32 MiB, whatever the recorded limits say.

    :param recording: the recording. If the handshake failed, there was no connection, and nothing is yielded.
    :param make: a function that makes the connection; by default one like the recorded one, which delivers whole
        messages.
    :returns: pairs of an entry (a read, a ``receive_data(None)`` or a deadline) and the events of that call.
    :raises LocalProtocolError: without ``make``, when an extension is not known here and the recording has no
        ``codecs``.

    >>> from rfc6455 import CLIENT
    >>> recording = Recording(CLIENT, [Entry(0.0, Kind.OPENED), Entry(2.5, Kind.RECEIVED, b"\\x89\\x01!\\x81")])
    >>> for entry, events in replay(recording):
    ...     print(entry.time, events)
    2.5 [Ping(payload=b'!')]
    """
    for index, events in replay_received(recording, make):
        yield recording.entries[index], events


def replay_received(recording: Recording, make: Callable[[], Connection] | None = None) -> Iterator[Replayed]:
    """Do the same as `replay`, but yield the indexes of the entries."""
    connection = _connection(recording, recording.role, recording.limits) if make is None else make()
    frame_bytes = dict(Way(recording, Kind.RECEIVED).frame_bytes())
    opened_at = next((index for index, entry in enumerate(recording.entries) if entry.kind is Kind.OPENED), None)
    if opened_at is None:
        return
    # Frames that came earlier, with the head or before it was answered, are unread when the connection begins.
    unread = b"".join([data for index, data in frame_bytes.items() if index < opened_at])
    has_ended = any(entry.kind is Kind.RECEIVED and not entry.data for entry in recording.entries[:opened_at])
    connection._start(b"", unread, has_ended)
    for index, entry in enumerate(recording.entries[opened_at + 1 :], opened_at + 1):
        match entry.kind:
            case Kind.RECEIVED if index in frame_bytes or not entry.data:
                yield index, connection.receive_data(frame_bytes.get(index, b""))
            case Kind.RESUMED:
                yield index, connection.receive_data(None)
            case Kind.TIMED_OUT:
                yield index, connection._time_out(CloseCause[entry.data.decode("ascii")])
            case Kind.CLOSE:
                connection.close()
            case Kind.ABORTED:
                connection._abort()
            case Kind.SENT:
                connection.data_to_send()


def replay_sent(recording: Recording) -> Iterator[Replayed]:
    """Yield the events that the sent bytes cause at the peer, in one or several steps for each entry. The limits of
    the peer are not known."""
    peer = _connection(recording, recording.role.peer, Limits(message=None))
    for index, data in Way(recording, Kind.SENT).frame_bytes():
        yield index, peer.receive_data(data)
        while peer.unread:
            yield index, peer.receive_data(None)


class Measured:
    """The events of replayed calls, one by one, up to `MOST_MADE` bytes.

    :ivar cut_at: the index of the entry at which they were cut off; ``None`` if they were not.
    """

    def __init__(self, replayed: Iterator[Replayed]) -> None:
        self.cut_at: int | None = None
        self._replayed = replayed

    def __iter__(self) -> Iterator[tuple[int, Event]]:
        made = 0
        for index, events in self._replayed:
            for event in events:
                if made >= MOST_MADE:
                    self.cut_at = index
                    return
                made += _size(event)
                yield index, event


def _size(event: Event) -> int:
    match event:
        case TextMessage(content) | BytesMessage(content):
            return len(content) + MADE_OVERHEAD
    return MADE_OVERHEAD


# The first characters or bytes of a message, and its length.
Beginning = tuple["str | bytes", int]


class Findings:
    """What a connection found in the bytes of one direction.

    :ivar messages: the beginning of each message, in order.
    :ivar end: the index of the entry that ended the connection, and the `Closed` event.
    :ivar cut_at: the index of the entry at which the search was cut off; ``None`` if it was not.
    """

    def __init__(self) -> None:
        self.messages: list[Beginning] = []
        self.end: tuple[int, Closed] | None = None
        self.cut_at: int | None = None

    @property
    def violation(self) -> tuple[int, RemoteProtocolError] | None:
        """The index of the entry that broke a rule, and the error."""
        match self.end:
            case index, Closed(error=RemoteProtocolError() as error):
                return index, error
        return None


def find(recording: Recording, kind: Kind, kept: int = 0) -> Findings:
    """Replay one direction, and return what was found. If an extension is not known, nothing is.

    :param kept: the maximum length of the beginning of a message.
    """
    findings = Findings()
    if codecs_at(recording.role, recording) is None:
        return findings
    steps = Measured(replay_received(recording) if kind is Kind.RECEIVED else replay_sent(recording))
    for index, event in steps:
        match event:
            case TextMessage(content) | BytesMessage(content):
                findings.messages.append((content[:kept], len(content)))
            case Closed():
                findings.end = index, event
    findings.cut_at = steps.cut_at
    return findings


def _connection(recording: Recording, role: Role, limits: Limits) -> Connection:
    codecs = codecs_at(role, recording)
    if codecs is None:
        raise LocalProtocolError(
            f"an extension in {recording.extensions!r} is not known: set the codecs of the recording"
        )
    return Connection(role, codecs, limits=_bounded(limits, recording))


def _bounded(limits: Limits, recording: Recording) -> Limits:
    """Return the limits of a recording, which may be forged, within bounds: no message becomes larger than
    `MOST_MADE`, unless that much was recorded."""
    most = max(MOST_MADE, sum(len(entry.data) for entry in recording.entries))
    return limits if limits.message is not None and limits.message <= most else replace(limits, message=most)
