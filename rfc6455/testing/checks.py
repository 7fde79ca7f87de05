"""Assertions that any WebSocket code must pass.

The law: since a receiver has state, each assertion takes a function that makes a new one. Its message says what was
passed in and what was returned. Nothing here needs hypothesis, but a property may well end in one of these assertions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..codes import Opcode
from .chunking import CHUNKINGS, Chunking, whole
from .pair import Peer, feed
from .wire import read_frames

#: A function that makes a new receiver: a `Peer`, or a function from bytes to what they mean.
MakeReceiver = Callable[[], "Peer | Callable[[bytes], Iterable[Any]]"]


def _receive(receiver: Any, chunks: Iterable[bytes]) -> list[Any]:
    if hasattr(receiver, "receive_data"):
        return feed(receiver, chunks)
    return [event for each in chunks for event in receiver(each)]


def assert_same_events_in_any_chunking(
    make_receiver: MakeReceiver,
    data: bytes,
    chunkings: Iterable[Chunking] = tuple(CHUNKINGS.values()),
    normal: Callable[[list[Any]], Any] = list,
) -> Any:
    """Check that a stream means the same thing however it is split into reads.

    :param make_receiver: a function that makes a new receiver: an object with ``receive_data()``, or a function that
        takes bytes.
    :param data: the stream.
    :param chunkings: the ways to split the stream that are compared with reading it all at once.
    :param normal: a function that turns the list of events into the value to compare; needed for receivers that
        deliver messages in parts.
    :returns: the result of ``normal`` when the stream is read all at once.
    :raises AssertionError: for the first way to split the stream that gives a different result. If a receiver raises
        an exception, it must be of the same type each time; that exception is raised at the end.

    >>> import rfc6455
    >>> assert_same_events_in_any_chunking(lambda: rfc6455.Connection(rfc6455.CLIENT), b"\\x81\\x05Hello")
    [TextMessage(text='Hello')]
    >>> assert_same_events_in_any_chunking(lambda: lambda read: [len(read)], b"Hello")
    Traceback (most recent call last):
        ...
    AssertionError: the reads [b'H', b'e', b'l', b'l', b'o'] gave [1, 1, 1, 1, 1], but a single read gave [5]
    """
    expected, error = _outcome(make_receiver, whole(data), normal)
    for chunk in chunkings:
        chunks = chunk(data)
        came, again = _outcome(make_receiver, chunks, normal)
        if came != expected or type(again) is not type(error):
            raise AssertionError(
                f"the reads {chunks} gave {again or came!r}, but a single read gave {error or expected!r}"
            )
    if error is not None:
        raise error
    return expected


def _outcome(
    make_receiver: MakeReceiver, chunks: list[bytes], normal: Callable[[list[Any]], Any]
) -> tuple[Any, Exception | None]:
    """Return the outcome: the events, or the exception that was raised instead."""
    try:
        return normal(_receive(make_receiver(), chunks)), None
    except Exception as error:
        return None, error


def assert_raises_nothing_but(
    allowed: type[Exception] | tuple[type[Exception], ...],
    make_receiver: MakeReceiver,
    data: bytes,
    chunk: Chunking = whole,
) -> None:
    """Check that no input makes a receiver raise an undocumented exception.

    :param allowed: the exceptions that it may raise; ``()`` for none at all.
    :raises AssertionError: when it raises anything else; that exception is the ``__cause__``.

    >>> assert_raises_nothing_but(ValueError, lambda: lambda read: [int(read)], b"x")
    >>> assert_raises_nothing_but((), lambda: lambda read: [int(read)], b"x")
    Traceback (most recent call last):
        ...
    AssertionError: the reads [b'x'] raised ValueError: invalid literal for int() with base 10: b'x'
    """
    chunks = chunk(data)
    try:
        _receive(make_receiver(), chunks)
    except allowed:
        pass
    except Exception as error:
        raise AssertionError(f"the reads {chunks} raised {type(error).__name__}: {error}") from error


def assert_fails_with(
    close_code: int, make_end: Callable[[], Peer], data: bytes, chunk: Chunking = whole
) -> list[Any]:
    """Check that an end fails the connection (7.1.7), that is, that the last thing it sends is a Close frame with this
    code.

    :param close_code: the expected code, such as 1002 or 1007.
    :param make_end: a function that makes a new end; what it sends is read with `read_frames`.
    :param data: the stream with the violation.
    :returns: the events that the end reported.
    :raises AssertionError: when it sends no Close frame, a Close frame with a different code, or anything after it.

    >>> import rfc6455
    >>> events = assert_fails_with(1002, lambda: rfc6455.Connection(rfc6455.SERVER), b"\\x81\\x05Hello")
    >>> events[-1].error.section
    '5.1'
    """
    end = make_end()
    chunks = chunk(data)
    events = _receive(end, chunks)
    frames, rest = read_frames(end.data_to_send())
    closes = [frame for frame in frames if frame.opcode == Opcode.CLOSE]
    if rest or not closes or closes[0] is not frames[-1]:
        raise AssertionError(
            f"the reads {chunks} gave {events}, and the end sent {frames}, without a Close frame as the last one"
        )
    code = int.from_bytes(closes[0].payload[:2], "big")
    if code != close_code:
        raise AssertionError(f"after the reads {chunks}, the end closed with {code}, not with {close_code}")
    return events


def status_of(data: bytes) -> int | None:
    """Return the status code of the response that ``data`` begins with, or ``None`` if it is not a response.

    >>> status_of(b"HTTP/1.1 426 Upgrade Required\\r\\n"), status_of(b"")
    (426, None)
    """
    version, _, rest = data.partition(b" ")
    return int(rest[:3]) if version.startswith(b"HTTP/") and rest[:3].isdigit() else None


def assert_refuses(
    statuses: Iterable[int],
    serve: Callable[[list[bytes]], bytes],
    request: bytes,
    chunk: Chunking = whole,
) -> int:
    """Check that a server refuses a WebSocket request with one of these statuses.

    :param statuses: the acceptable ones, such as the ``statuses`` of a `HeadRule`.
    :param serve: a function that takes the reads of a request, and returns the server's answer.
    :param request: the request.
    :returns: the status.
    :raises AssertionError: when there is no answer, or an answer with a different status.

    >>> assert_refuses([400], lambda reads: b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n", b"GET / HTTP/1.1\\r\\n\\r\\n")
    400
    """
    answer = serve(chunk(request))
    status = status_of(answer)
    if status is None or status not in set(statuses):
        raise AssertionError(f"{request!r} was answered with {answer!r}, not with one of {sorted(set(statuses))}")
    return status
