"""The HTTP heads of a recording, for formats that begin with them.

If the handshake took place elsewhere, the recording has none, and minimal heads are made up.
"""

from __future__ import annotations

from ..codes import VERSION, Role
from ..handshake.http1 import accept_key
from ..headers import Headers, Request, Response
from ..http1_heads import HeadError, RequestReader, ResponseReader
from ..limits import Limits
from .recording import Kind, Recording, Way

_UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="

# Twice Node's limit, which is the largest of those that `Limits` mentions.
_MOST_FIELDS = 4000

# RFC 2606, 2: names under ".invalid" are "sure to be invalid".
MADE_UP_REQUEST = Request(
    "GET",
    "/",
    Headers([("Host", "unknown.invalid"), *_UPGRADE, ("Sec-WebSocket-Key", _KEY), ("Sec-WebSocket-Version", VERSION)]),
)


def made_up_response(recording: Recording) -> Response:
    """Return an answer to `MADE_UP_REQUEST` with the extensions that were negotiated."""
    agreed = [("Sec-WebSocket-Extensions", recording.extensions)] if recording.extensions else []
    return Response(101, Headers([*_UPGRADE, ("Sec-WebSocket-Accept", accept_key(_KEY)), *agreed]))


def heads(recording: Recording) -> tuple[Request | None, Response | None]:
    """Return the request and the last response; ``None`` for one that is incomplete or not HTTP."""
    kinds = {recording.role: Kind.SENT, recording.role.peer: Kind.RECEIVED}
    from_client, from_server = (Way(recording, kinds[role]) for role in (Role.CLIENT, Role.SERVER))
    request = _read_request(from_client.data[: from_client.head])
    response = _read_response(from_server.data[: from_server.head])
    if recording.is_open:
        request = request or MADE_UP_REQUEST
        response = response or made_up_response(recording)
    return request, response


def _read_request(data: bytes) -> Request | None:
    try:
        return RequestReader(_enough_for(data)).receive_data(data)
    except HeadError:
        return None


def _read_response(data: bytes) -> Response | None:
    try:
        return ResponseReader(_enough_for(data)).receive_data(data)
    except HeadError:
        return None


def _enough_for(data: bytes) -> Limits:
    """Return limits that any head that was really recorded fits. A forged recording may have more fields than that."""
    size = len(data) + 1
    return Limits(head=size, line=size, headers=_MOST_FIELDS)
