"""The negotiation in the opening handshake, over any version of HTTP.

What lives here: the choice of the subprotocol (1.9, 4.2.2) and of the extensions (9.1), for a server in `Terms`, for a
client in `Offer`. Both take header fields and return an `Agreement`, or raise a `HandshakeError` if there is none. Not
here: which pages may connect (`origins.py`), and requests and responses on the wire: `http1.py` (4) and `http2.py`
(RFC 8441).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..arguments import check_type, excerpt, items_of
from ..codes import CloseCause
from ..errors import HandshakeError, LocalProtocolError
from ..extensions import Extension, MessageCodec, check_codec, check_extensions
from ..headers import Headers, HeaderSource, is_token
from .fields import EXTENSIONS, SUBPROTOCOL, ExtensionItem, Request, parse_extensions
from .origins import Origins, OwnHosts, origin_rules


class Agreement(NamedTuple):
    """The result of the negotiation.

    :ivar subprotocol: the subprotocol in use (1.9), or ``None``.
    :ivar codecs: the state of each extension in use, in the order of the answer (9.1).
    """

    subprotocol: str | None
    codecs: Sequence[MessageCodec] = ()

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields of the server's answer that state the agreement (4.2.2)."""
        fields: list[tuple[str, str]] = []
        if self.subprotocol is not None:
            fields.append((SUBPROTOCOL, self.subprotocol))
        if self.codecs:
            fields.append((EXTENSIONS, ", ".join(codec.parameters for codec in self.codecs)))
        return fields


# Most handshakes agree on no subprotocol and no extension.
_NOTHING = Agreement(None)

# The subprotocols and extensions for which the client's handshake asks, in its order of preference.
Wishes = tuple[Sequence[str], Sequence[ExtensionItem]]


class Terms:
    """What a server is ready to accept. See `ServerHandshake` for the arguments."""

    def __init__(
        self,
        subprotocols: Sequence[str],
        extensions: Sequence[Extension],
        origins: Origins,
        hosts: Collection[str] | None,
        require_subprotocol: bool,
    ) -> None:
        self._subprotocols = check_subprotocols(subprotocols)
        self._extensions = check_extensions(extensions)
        self._origins = origin_rules(origins)
        self._hosts = None if hosts is None else OwnHosts(hosts)
        check_type(require_subprotocol, bool, "require_subprotocol is True or False")
        self._require_subprotocol = require_subprotocol

    def check_host(self, host: str | None) -> None:
        """Check that a request for this host and port is for one of this server's names.

        :raises HandshakeError: 421.
        """
        if self._hosts is not None:
            self._hosts.check(host)

    def check(self, request: Request, host: str | None, lines: Mapping[str, Sequence[str]]) -> Wishes:
        """Return what the client asks for, and refuse anything that no application could accept.

        :param host: the host and port that the request asks for, which are valid.
        :param lines: the values of all its header lines by their names, in lower case.
        :raises HandshakeError: 403 for the origin (10.2), 400 for lists that break their grammar, or when a required
            subprotocol is not asked for.
        """
        if "origin" in lines:
            self._origins.check(lines["origin"], request, host or "")
        subprotocols = request.subprotocols if "sec-websocket-protocol" in lines else []
        if subprotocols and len(set(subprotocols)) < len(subprotocols):
            # 4.1, requirement 10: the elements "MUST all be unique strings".
            raise HandshakeError(400, f"{SUBPROTOCOL} lists a subprotocol twice", "4.1")
        if self._require_subprotocol and self._first_common(subprotocols) is None:
            reason = f"one of these subprotocols is required: {', '.join(self._subprotocols)}"
            raise HandshakeError(400, reason, "1.9", cause=CloseCause.OPENING_REFUSED)
        return subprotocols, parse_extensions(lines.get("sec-websocket-extensions", ()))

    def agree(self, wishes: Wishes, subprotocol: str | None) -> Agreement:
        """Return the server's choice.

        :param subprotocol: the application's choice; ``None`` for the first in the server's list that was asked for.
        :raises LocalProtocolError: when the client did not ask for that subprotocol (4.2.2: "The value chosen MUST
            be derived from the client's handshake").
        """
        wanted, offers = wishes
        if subprotocol is None:
            subprotocol = self._first_common(wanted) if wanted else None
        else:
            check_type(subprotocol, str, "subprotocol is a str or None")
            if subprotocol not in wanted:
                asked = ", ".join(wanted) or "none"
                raise LocalProtocolError(
                    f"the client did not ask for the subprotocol {excerpt(subprotocol)}, but for: {asked}"
                )
        codecs = self._accept_offers(offers) if offers and self._extensions else ()
        return Agreement(subprotocol, codecs) if subprotocol is not None or codecs else _NOTHING

    def _first_common(self, wanted: Collection[str]) -> str | None:
        return next((own for own in self._subprotocols if own in wanted), None)

    def _accept_offers(self, offers: Iterable[ExtensionItem]) -> list[MessageCodec]:
        """Return the state of each accepted extension. 9.1: the client lists them in order of preference; several
        offers of one extension are alternatives."""
        codecs: list[MessageCodec] = []
        waiting = dict(self._extensions)
        claimed = 0
        for name, parameters in offers:
            codec = waiting[name].accept_offer([*parameters]) if name in waiting else None
            # 9: two extensions cannot both own a reserved bit; the one with the lower preference is declined.
            if codec is not None and not _named(waiting[name], codec).reserved_bits & claimed:
                codecs.append(codec)
                claimed |= codec.reserved_bits
                del waiting[name]
        return codecs


class Offer:
    """What a client asks for. See `ClientHandshake` for the arguments."""

    def __init__(self, subprotocols: Sequence[str], extensions: Sequence[Extension]) -> None:
        self._subprotocols = check_subprotocols(subprotocols)
        self._extensions = check_extensions(extensions)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields of the request that state the offer (4.1, requirements 10 and 11)."""
        fields = []
        if self._subprotocols:
            fields.append((SUBPROTOCOL, ", ".join(self._subprotocols)))
        if self._extensions:
            fields.append((EXTENSIONS, ", ".join(map(_offer_of, self._extensions.values()))))
        return fields

    def check_answer(self, headers: Headers) -> Agreement:
        """Return what the server chose, if the client asked for it.

        :raises HandshakeError: when it did not: the client "MUST _Fail the WebSocket Connection_" (4.1).
        """
        lines = headers._by_name()
        subprotocols = lines.get("sec-websocket-protocol")
        subprotocol = None if subprotocols is None else self._check_subprotocol(subprotocols)
        extensions = lines.get("sec-websocket-extensions")
        codecs = () if extensions is None else self._accept_answers(extensions)
        return Agreement(subprotocol, codecs) if subprotocol is not None or codecs else _NOTHING

    def _check_subprotocol(self, values: Sequence[str]) -> str | None:
        # An empty field names no subprotocol, so it cannot name one that was not asked for, which 4.1 forbids.
        values = [value for value in values if value]
        if not values:
            return None
        # 11.3.4: the field "MUST NOT appear more than once in an HTTP response".
        if len(values) > 1:
            raise HandshakeError(None, f"there are two {SUBPROTOCOL} headers", "11.3.4")
        if values[0] not in self._subprotocols:
            raise HandshakeError(None, f"subprotocol {excerpt(values[0])} was not asked for", "4.1")
        return values[0]

    def _accept_answers(self, values: Sequence[str]) -> list[MessageCodec]:
        codecs: list[MessageCodec] = []
        waiting = dict(self._extensions)
        claimed = 0
        for name, parameters in parse_extensions(values):
            if name not in waiting:
                # 4.1, 5: "an extension that was not present in the client's handshake", or one that is already in use.
                raise HandshakeError(None, f"extension {excerpt(name)} was not asked for, or is listed twice", "4.1")
            extension = waiting.pop(name)
            codec = _named(extension, extension.accept_answer([*parameters]))
            if codec.reserved_bits & claimed:
                raise HandshakeError(None, f"extension {excerpt(name)} and another claim the same reserved bit", "9")
            codecs.append(codec)
            claimed |= codec.reserved_bits
        return codecs


def _offer_of(extension: Extension) -> str:
    parameters = extension.offer()
    return f"{extension.name}; {parameters}" if parameters else extension.name


def _named(extension: Extension, codec: MessageCodec) -> MessageCodec:
    """Check the codec that an extension made, and fill in the name if the codec does not set its parameters."""
    if not check_codec(codec).parameters:
        codec.parameters = extension.name
    return codec


def check_subprotocols(subprotocols: Sequence[str]) -> tuple[str, ...]:
    """Return the application's own subprotocols, if each can be sent (4.1, requirement 10).

    :raises LocalProtocolError: when one is not a token, or comes twice.
    :raises TypeError: when it is not a sequence of str.
    """
    if subprotocols == ():
        return ()
    what = "subprotocols is a sequence of names such as ['chat']"
    names: tuple[str, ...] = items_of(subprotocols, what)
    for name in names:
        check_type(name, str, what)
        if not is_token(name):
            raise LocalProtocolError(f"{excerpt(name)} is not the name of a subprotocol: it must be a token (4.1)")
    if len(set(names)) < len(names):
        raise LocalProtocolError(f"a subprotocol is listed twice in {list(names)}; all must be unique (4.1)")
    return names


def check_extra_headers(source: HeaderSource, reserved: Collection[str]) -> list[tuple[str, str]]:
    """Return the header fields that the application adds.

    :param reserved: names in lower case that the handshake writes itself.
    :raises LocalProtocolError: when one is reserved. Whether they can be written is checked when they are.
    :raises TypeError: when they are not header fields.
    """
    if source == ():
        return []
    fields = list(Headers(source))
    for name, _ in fields:
        if name.lower() in reserved:
            raise LocalProtocolError(f"{excerpt(name)} is set by the handshake itself; leave it out")
        if name.lower().startswith("sec-websocket-"):
            raise LocalProtocolError(f"{excerpt(name)} is set by the handshake itself; use its arguments")
    return fields
