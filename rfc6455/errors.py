"""The exceptions of the package, and what each of them means.

The law: a mistake of the *peer* is a `RemoteProtocolError`, which names the answer (the close code), the rule (the
section) and the place (the byte offset); a `Connection` never raises it, but puts it into its `Closed` event. A
mistake of the *caller* is a `LocalProtocolError`, which is raised before anything changes. An opening handshake that
cannot succeed is a `HandshakeError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arguments import excerpt
from .codes import CloseCause

if TYPE_CHECKING:
    from typing import Any

    from .headers import Response
    from .values import Frame


class ProtocolError(Exception):
    """The base class of all errors of this package. Errors are equal if they have the same type and content, and so
    are events that contain them.

    >>> try:
    ...     rfc6455.Connection(rfc6455.SERVER).close(1005)
    ... except rfc6455.ProtocolError as error:
    ...     print(error)
    the close code 1005 must not be sent (7.4); 1000 and 3000 to 4999 are always allowed
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.args == other.args

    def __hash__(self) -> int:
        return hash((type(self), self.args))


class LocalProtocolError(ProtocolError):
    """The caller asked for something that the protocol forbids here. Nothing was changed or sent.

    The message says what was asked for, why it is not possible, and what to do instead.

    >>> rfc6455.Connection(rfc6455.SERVER).ping(bytes(126))
    Traceback (most recent call last):
    ...
    rfc6455.errors.LocalProtocolError: a control frame has at most 125 bytes, not 126 (5.5)
    """


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol or a limit.

    :ivar close_code: the code that is sent to the peer in a Close frame (1002, 1007, 1009; section 7.4.1).
    :ivar reason: what was received and what is allowed, in words.
    :ivar section: the section that contains the rule, such as ``"5.2"`` or ``"RFC 7692 6.1"``.
    :ivar offset: where the offending frame begins, counted in bytes from the end of the handshake; ``None`` if there
        is no such place.
    :ivar frames: from `FrameParser.receive_data`, the complete frames before the violation.

    >>> (closed,) = rfc6455.Connection(rfc6455.CLIENT).receive_data(bytes.fromhex("83 00"))
    >>> print(closed.error)
    the reserved opcode 0x3 (section 5.2 at byte 0; close code 1002)
    """

    def __init__(self, close_code: int, reason: str, section: str, offset: int | None = None) -> None:
        super().__init__(close_code, reason, section, offset)
        self.close_code = close_code
        self.reason = reason
        self.section = section
        self.offset = offset
        self.frames: list[Frame] = []

    def found_at(self, offset: int) -> None:
        """Add the place, which the code that raised the error could not know."""
        self.offset = offset
        self.args: tuple[Any, ...] = (self.close_code, self.reason, self.section, offset)

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.reason} (section {self.section}{place}; close code {int(self.close_code)})"


class HandshakeError(ProtocolError):
    """The opening handshake failed (section 4).

    :ivar status: on a server, the HTTP status of the answer to the request (4xx, 5xx), which is already queued; on a
        client, the status of the server's answer, or ``None`` if that made no sense.
    :ivar reason: what was received and what is required, in words.
    :ivar section: the section that contains the rule.
    :ivar response: on a server, the answer that was queued; on a client, the server's answer as far as it was
        understood, or ``None``. If its body is plain text, ``str(error)`` quotes the beginning of it.
    :ivar cause: ``OPENING_EOF`` when the stream ended too early, ``OPENING_REFUSED`` when the answer does not open a
        connection, ``OPENING_INVALID`` when the peer's part of the handshake breaks a rule.

    >>> try:
    ...     rfc6455.ServerHandshake().receive_request("POST", "/", {"Host": "example.com"})
    ... except rfc6455.HandshakeError as error:
    ...     print(error, "- Allow:", error.response.headers["Allow"])
    405: the method is 'POST'; GET is required (section 4.2.1) - Allow: GET
    """

    def __init__(
        self,
        status: int | None,
        reason: str,
        section: str = "4",
        response: Response | None = None,
        cause: CloseCause = CloseCause.OPENING_INVALID,
    ) -> None:
        super().__init__(status, reason, section, response, cause)
        self.status = status
        self.reason = reason
        self.section = section
        self.response = response
        self.cause = cause

    def answered_by(self, response: Response) -> None:
        """Add the answer, which the code that raised the error could not know."""
        self.response = response
        self.args: tuple[Any, ...] = (self.status, self.reason, self.section, response, self.cause)

    def __str__(self) -> str:
        status = "" if self.status is None else f"{int(self.status)}: "
        return f"{status}{self.reason}{self._servers_words} (section {self.section})"

    @property
    def _servers_words(self) -> str:
        """Return the server's explanation of its refusal, but not a page in HTML, which would hide the rest of the
        message."""
        if self.response is None or self.cause is not CloseCause.OPENING_REFUSED:
            return ""
        kind = (self.response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        words = self.response.body.decode("utf-8", "replace").strip()
        # The answer of a server that uses this package begins with the reason, which this message already contains.
        is_news = kind == "text/plain" and words != "" and not words.startswith(self.reason)
        return f": {excerpt(words, 300)}" if is_news else ""
