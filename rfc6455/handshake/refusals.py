"""Answers that do not open a connection, as a server sends them over any version of HTTP.

Not here: how a client reads them (`opening.py`).
"""

from __future__ import annotations

from ..arguments import as_bytes, whole_number
from ..errors import HandshakeError, LocalProtocolError
from ..headers import Headers, Response


def refusal(status: int, headers: Headers, body: bytes | bytearray | memoryview) -> Response:
    """Return an answer that does not open a connection, with the fields that its body needs.

    :raises LocalProtocolError: when the status is not final, or cannot have a body.
    :raises TypeError: when the body is not bytes.
    """
    # RFC 9110, 15: "Values outside the range 100..599 are invalid."
    number = whole_number(status)
    if number is None or not 200 <= number <= 599:
        raise LocalProtocolError(f"{status!r} cannot refuse a handshake: a final status is required, 200 to 599")
    content = as_bytes(body, "a body")
    # RFC 9110, 15.3.6: "a server MUST NOT generate content in a 205 response."
    if content and number in (204, 205, 304):
        raise LocalProtocolError(f"an answer with status {number} has no body (RFC 9110 6.4.1, 15.3.6)")
    fields = list(headers)
    if content and "Content-Type" not in headers:
        fields.append(("Content-Type", "text/plain; charset=utf-8"))
    # RFC 9110, 8.6: no Content-Length with 204; with 304 it would describe another answer.
    if number not in (204, 304):
        fields.append(("Content-Length", str(len(content))))
    return Response(number, Headers(fields), content)


def explain(error: HandshakeError) -> bytes:
    """Return the body of a refusal: which rule was broken, and how."""
    source = error.section if error.section.startswith("RFC") else f"RFC 6455 {error.section}"
    return f"{error.reason} ({source})\n".encode("ascii", "backslashreplace")
