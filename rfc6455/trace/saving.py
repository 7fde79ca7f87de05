"""Saving a recording as text, and loading it. The format is JSON lines, so that a long recording can be read, cut and
compared like a log."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..codes import CloseCause, Role
from ..errors import HandshakeError
from ..limits import Limits
from .recording import LAST_SECOND, Entry, Kind, Recording, codecs_at

_FORMAT = "rfc6455.trace"
_VERSION = 1

# The data that is written as it is: in practice, HTTP. Everything else becomes base64.
_READABLE = re.compile(rb"(?:[\x20-\x7e]|\r\n)*")


def dumps(recording: Recording) -> str:
    """Return a recording as JSON lines in ASCII: a line about the connection, then a line for each entry.

    >>> from rfc6455 import CLIENT
    >>> recording = Recording(CLIENT, [Entry(0.5, Kind.OPENED), Entry(1.0, Kind.RECEIVED, b"\\x89\\x00")])
    >>> print(dumps(recording).splitlines()[2])
    {"time": 1.0, "kind": "received", "base64": "iQA="}
    >>> loads(dumps(recording)) == recording
    True
    """
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "role": recording.role.value,
        "received_head": recording.received_head,
        "sent_head": recording.sent_head,
        "extensions": recording.extensions,
        "limits": asdict(recording.limits),
        "missing": recording.missing,
    }
    return "".join([json.dumps(line) + "\n" for line in (about, *map(_write_entry, recording.entries))])


def _write_entry(entry: Entry) -> dict[str, object]:
    is_readable = _READABLE.fullmatch(entry.data)
    name, content = ("text", entry.data) if is_readable else ("base64", b64encode(entry.data))
    return {"time": entry.time, "kind": entry.kind.value, name: content.decode("ascii")}


def loads(text: str) -> Recording:
    """Return the recording from a text that `dumps` returned.

    :raises ValueError: if the text is anything else. The message names the invalid entry, counted from 1.

    >>> from rfc6455 import SERVER
    >>> loads(dumps(Recording(SERVER))).role
    <Role.SERVER: 'server'>
    >>> loads("{}")
    Traceback (most recent call last):
    ValueError: this is not a recording: KeyError: 'format'
    """
    try:
        lines = (json.loads(line) for line in text.splitlines() if line.strip())
        about: Any = next(lines, None)
        # The lines are parsed one at a time, as a dict takes many times the memory of its line.
        return _read_recording(about, [_read_entry(number, entry) for number, entry in enumerate(lines, 1)])
    except _WRONG as error:
        raise ValueError(f"this is not a recording: {_words(error)}") from error


# The errors caused by JSON with a different structure.
_WRONG = (ValueError, TypeError, KeyError, AttributeError, HandshakeError, RecursionError)


def _words(error: Exception) -> str:
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"


def _read_recording(about: Mapping[str, Any], entries: list[Entry]) -> Recording:
    if (about["format"], about["version"]) != (_FORMAT, _VERSION):
        raise ValueError(f"the version {about['version']!r} of {about['format']!r} is not supported")
    recording = Recording(
        Role(about["role"]),
        entries,
        _natural(about["received_head"]),
        _natural(about["sent_head"]),
        _text(about["extensions"]),
        Limits(**about["limits"]),
        _natural(about["missing"]),
    )
    # Errors in the extensions are found now, rather than when they are used.
    for role in Role:
        codecs_at(role, recording)
    return recording


def _read_entry(number: int, entry: Mapping[str, Any]) -> Entry:
    try:
        data = b64decode(entry["base64"], validate=True) if "base64" in entry else entry["text"].encode("ascii")
        kind = Kind(entry["kind"])
        _check_data(kind, data)
        return Entry(_time(entry["time"]), kind, data)
    except _WRONG as error:
        raise ValueError(f"entry {number}: {_words(error)}") from error


_TIME_OUTS = {cause.name.encode("ascii") for cause in CloseCause if cause.name.endswith("_TIMEOUT")}


def _check_data(kind: Kind, data: bytes) -> None:
    if kind is Kind.TIMED_OUT and data not in _TIME_OUTS:
        raise ValueError(f"{data!r} is not the name of a timeout")
    if kind in (Kind.OPENED, Kind.RESUMED, Kind.CLOSE, Kind.ABORTED) and data:
        raise ValueError(f"an entry of the kind {kind.value!r} has no data")


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError(f"extensions must be the value of a header, not {text!r}")
    return text


def _natural(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"a number of bytes or entries must be an int of at least 0, not {number!r}")
    return number


def _time(number: object) -> float:
    # Written so that NaN is refused: any comparison with it is false.
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= LAST_SECOND:
        raise ValueError(f"a time must be a number of seconds, at most {LAST_SECOND}, not {number!r}")
    return float(number)
