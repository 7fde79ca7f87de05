"""A recording as an HTTP Archive (HAR 1.2), with the messages where Chrome's developer tools expect them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime, timedelta
from heapq import merge
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl

from .. import __version__
from ..codes import Opcode
from ..events import BytesMessage, Closed, Event, TextMessage
from ..headers import Request, Response
from ..http1_heads import phrase
from .heads import heads
from .recording import LAST_SECOND, MOST_MADE, Kind, Recording
from .replaying import Measured, replay_received, replay_sent

# A HAR has -1 for a size that is not known, and 0 for a missing status.
_UNKNOWN = -1
_NO_REQUEST = Request("", "", version="")
_NO_RESPONSE = Response(0, version="")

_CUT = f"the rest is left out: the messages take more than {MOST_MADE >> 20} MiB"

# The maximum number of query parameters listed, which is PHP's limit (max_input_vars). The rest are only in the URL.
_MOST_PARAMETERS = 1000


def to_har(recording: Recording, *, secure: bool = False) -> dict[str, Any]:
    """Return the recording as an HTTP Archive with one entry, for ``json.dump``.

    Its ``_webSocketMessages`` are objects with ``type`` (``"send"`` or ``"receive"``), ``time`` in seconds, ``opcode``
    (1 for text, 2 for bytes) and ``data``, which is base64 for bytes. They are whole messages, without compression;
    control frames are not included. A violation has the type ``"error"`` and the opcode -1. If the handshake was not
    recorded, a request and an answer are made up. If the messages take more than 32 MiB, which is possible with
    compression, the last one is an ``"error"`` that says so, and everything after it is left out.

    :param secure: whether to write a ``wss:`` URL; a recording does not contain this information.
    :raises LocalProtocolError: as `replay`.

    >>> from rfc6455 import CLIENT
    >>> from rfc6455.trace import Entry, Kind
    >>> recording = Recording(CLIENT, [Entry(0.0, Kind.OPENED), Entry(2.5, Kind.RECEIVED, b"\\x81\\x05Hello")])
    >>> to_har(recording)["log"]["entries"][0]["_webSocketMessages"]
    [{'type': 'receive', 'time': 2.5, 'opcode': 1, 'data': 'Hello'}]
    """
    request, response = heads(recording)
    times = [entry.time for entry in recording.entries] or [0.0]
    milliseconds = max(0.0, times[-1] - times[0]) * 1000
    entry = {
        "startedDateTime": _date(times[0]),
        "time": milliseconds,
        "request": _request(request or _NO_REQUEST, "wss" if secure else "ws"),
        "response": _response(response or _NO_RESPONSE),
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": milliseconds},
        "_resourceType": "websocket",
        "_webSocketMessages": _messages(recording),
    }
    creator = {"name": "rfc6455", "version": __version__}
    return {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": [entry]}}


def _request(request: Request, scheme: str) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": f"{scheme}://{request.host or ''}{request.resource_name}",
        "httpVersion": request.version,
        "cookies": [],
        "headers": _pairs(request.headers),
        "queryString": _pairs(_parameters(request.query)),
        "headersSize": _UNKNOWN,
        "bodySize": 0,
    }


def _response(response: Response) -> dict[str, Any]:
    return {
        "status": response.status,
        "statusText": phrase(response.status),
        "httpVersion": response.version,
        "cookies": [],
        "headers": _pairs(response.headers),
        "content": {"size": 0, "mimeType": response.headers.get("Content-Type", "x-unknown")},
        "redirectURL": response.headers.get("Location", ""),
        "headersSize": _UNKNOWN,
        "bodySize": _UNKNOWN,
    }


def _parameters(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True) if query.count("&") < _MOST_PARAMETERS else []


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _messages(recording: Recording) -> list[dict[str, Any]]:
    steps = Measured(merge(replay_received(recording), replay_sent(recording), key=itemgetter(0)))
    messages = []
    for index, event in steps:
        time, kind, _ = recording.entries[index]
        if (message := _message(event)) is not None:
            messages.append({"type": "send" if kind is Kind.SENT else "receive", "time": time, **message})
    if steps.cut_at is not None:
        messages.append({"type": "error", "time": recording.entries[steps.cut_at].time, "opcode": -1, "data": _CUT})
    return messages


def _message(event: Event) -> dict[str, Any] | None:
    match event:
        case TextMessage(text):
            return {"opcode": int(Opcode.TEXT), "data": text}
        case BytesMessage(data):
            return {"opcode": int(Opcode.BINARY), "data": b64encode(data).decode("ascii")}
        case Closed(error=error) if error is not None:
            return {"type": "error", "opcode": -1, "data": str(error)}
    return None


_EPOCH = datetime(1970, 1, 1)


def _date(time: float) -> str:
    """Return a time in ISO 8601. A time before 1970 or after 9999 becomes the nearest one within that range."""
    date = _EPOCH + timedelta(milliseconds=round(min(max(time, 0.0), LAST_SECOND) * 1000))
    return date.isoformat(timespec="milliseconds") + "Z"
