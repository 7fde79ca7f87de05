"""Strategies for the opening handshake: requests, responses, and the header of the extensions."""

from __future__ import annotations

import string
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from hypothesis import strategies as st

from .. import examples
from ..heads import SAMPLE_KEY, Head, request_head, response_head
from ..rules import REQUEST_RULES, RESPONSE_RULES, HeadRule

Changes = Callable[[Head], st.SearchStrategy[Head]]


class IllegalHead(NamedTuple):
    """A request or a response that breaks exactly one rule.

    :ivar head: the head.
    :ivar rule: the rule; for a request, it has the statuses with which a server may answer.
    """

    head: Head
    rule: HeadRule


class ExtensionHeader(NamedTuple):
    """A legal value of ``Sec-WebSocket-Extensions`` (9.1).

    :ivar value: the value as it is written in the header.
    :ivar items: the extensions that it lists, with their parameters. A parameter without a value has ``None``.
    """

    value: str
    items: list[tuple[str, list[tuple[str, str | None]]]]


# RFC 9110, 5.6.2: tchar. The names of fields, extensions and subprotocols are made of these characters.
_TCHAR = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters
_OWS = st.sampled_from(["", " ", "\t", "  "])


@cache
def _tokens(max_size: int = 12) -> st.SearchStrategy[str]:
    return st.text(_TCHAR, min_size=1, max_size=max_size)


@cache
def _no_tokens() -> st.SearchStrategy[str]:
    """Generate words that are not a token, a quoted string, a list of tokens, or a token with parameters."""
    return st.builds("{}{}{}".format, _tokens(4), st.sampled_from("/()?{}@é"), _tokens(4))


@cache
def _keys() -> st.SearchStrategy[str]:
    """Generate keys: 16 bytes in base64 (4.1)."""
    return st.binary(min_size=16, max_size=16).map(lambda nonce: b64encode(nonce).decode())


@cache
def _in_any_case(word: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word, word.lower(), word.upper(), word.swapcase()])


# Extensions.


@cache
@st.composite
def extension_headers(draw: st.DrawFn) -> ExtensionHeader:
    """Generate legal values of ``Sec-WebSocket-Extensions`` (9.1) with any names: parameters with and without values,
    values as tokens and as quoted strings, spaces and empty list elements wherever they are allowed."""
    items = draw(st.lists(st.tuples(_tokens(), st.lists(_parameters(), max_size=3)), min_size=1, max_size=3))
    written = [draw(_written(name, [text for text, _ in parameters])) for name, parameters in items]
    value = draw(st.sampled_from([",", ", ", " ,\t", ",,"])).join(written)
    return ExtensionHeader(value, [(name, [parsed for _, parsed in parameters]) for name, parameters in items])


@cache
@st.composite
def _parameters(draw: st.DrawFn) -> tuple[str, tuple[str, str | None]]:
    """Draw a parameter as it is written, with its name and its value."""
    name = draw(_tokens())
    value = draw(st.none() | _tokens())
    if value is None:
        return name, (name, None)
    quoted = draw(st.sampled_from(["{}", '"{}"', '"\\{}"']))
    return f"{name}{draw(_OWS)}={draw(_OWS)}{quoted.format(value)}", (name, value)


@st.composite
def _written(draw: st.DrawFn, name: str, parameters: list[str]) -> str:
    return "".join([name, *(f"{draw(_OWS)};{draw(_OWS)}{parameter}" for parameter in parameters)])


def illegal_extension_headers() -> st.SearchStrategy[str]:
    """Generate values of ``Sec-WebSocket-Extensions`` that do not match the grammar of 9.1."""
    return st.one_of(
        st.sampled_from(list(examples.BAD_EXTENSIONS.values())),
        st.builds(
            lambda header, end: header.value + end, extension_headers(), st.sampled_from([" x", "; ", "@", '"', ";;x"])
        ),
        # Anything but a token, as a name, as a parameter's name, or as its value with or without quotes.
        st.builds(str.format, st.sampled_from(["{}", "a; {}", "a; b={}", 'a; b="{}"']), _no_tokens()),
    )


_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOWS = ("server_max_window_bits", "client_max_window_bits")


@st.composite
def deflate_offers(draw: st.DrawFn) -> str:
    """Generate offers of permessage-deflate that follow RFC 7692 7.1. A server may accept or decline each."""
    words = [flag for flag in _FLAGS if draw(st.booleans())]
    for name in _WINDOWS:
        if draw(st.booleans()):
            bits = draw(st.integers(8, 15))
            words.append(draw(st.sampled_from([f"{name}={bits}", f'{name}="{bits}"'])))
    if not any(word.startswith("client_max") for word in words) and draw(st.booleans()):
        words.append("client_max_window_bits")
    return "; ".join(["permessage-deflate", *draw(st.permutations(words))])


def illegal_deflate_offers() -> st.SearchStrategy[str]:
    """Generate offers that a server must decline (RFC 7692 7.1): a parameter is unknown, is repeated, or has a value
    that is not allowed. They follow the grammar, so the handshake itself succeeds, without the extension."""
    bad_bits = st.sampled_from(["0", "7", "16", "08", "015", "+9", "-9", "9.0", "1e1", "x", "1000000000"])
    wrong = st.one_of(
        st.builds(lambda name, bits: f"{name}={bits}", st.sampled_from(_WINDOWS), bad_bits),
        st.sampled_from(_FLAGS).flatmap(
            lambda flag: st.sampled_from([f"{flag}=1", f"{flag}={flag}", f"{flag}; {flag}"])
        ),
        st.sampled_from(
            ["server_max_window_bits", "unknown", "unknown=1", "client_max_window_bits; client_max_window_bits=10"]
        ),
        st.sampled_from(_WINDOWS).map(lambda name: f"{name}=10; {name}=10"),
    )
    return wrong.map(lambda words: f"permessage-deflate; {words}")


# Requests.

_TARGETS = ("/", "/chat", "/a/b%20c?room=1&x=%C3%A9", "/?", "/chat?a=/b?c", "/" + "p" * 500)
_HOSTS = ("example.com", "example.com:8080", "localhost", "127.0.0.1:1", "[::1]:9000", "EXAMPLE.com")
_UNRELATED = (
    ("User-Agent", "test/1.0 (any; thing)"),
    ("Cookie", 'a="b"; c=d'),
    ("Cache-Control", "no-cache"),
    ("Accept-Language", "de, en;q=0.5"),
    ("X-Empty", ""),
    ("X-Other", "é ü".encode().decode("latin-1")),
)


@st.composite
def requests(draw: st.DrawFn, subprotocols: Sequence[str] = ()) -> Head:
    """Generate WebSocket requests that a server must not refuse for their form (4.2.1): fields in any order and case,
    with spaces around values, among fields that mean nothing to the handshake. They have no ``Origin``.

    :param subprotocols: the choices for ``Sec-WebSocket-Protocol``; if there are none, the field is left out.
    """
    head = request_head(draw(_keys()), draw(st.sampled_from(_TARGETS)), draw(st.sampled_from(_HOSTS)))
    head = head.replacing("Upgrade", draw(_in_any_case("websocket")))
    options = draw(st.permutations(["keep-alive", draw(_in_any_case("Upgrade"))]))
    head = head.replacing("Connection", draw(st.sampled_from([",", ", ", " , "])).join(options))
    for name, value in draw(st.lists(st.sampled_from(_UNRELATED), max_size=4)):
        head = head.with_field(name, value)
    if subprotocols:
        chosen = draw(st.lists(st.sampled_from(list(subprotocols)), min_size=1, unique=True))
        head = head.with_field("Sec-WebSocket-Protocol", ", ".join(chosen))
    if draw(st.booleans()):
        head = head.with_field("Sec-WebSocket-Extensions", draw(extension_headers()).value)
    return draw(_in_other_words(head))


_CASES: list[Callable[[str], str]] = [str, str.lower, str.upper, str.swapcase]


@st.composite
def _in_other_words(draw: st.DrawFn, head: Head) -> Head:
    """Draw the same head with names in any case, spaces around values, and the fields in another order."""
    in_case: Callable[[str], str] = draw(st.sampled_from(_CASES))
    before, after = draw(_OWS), draw(_OWS)
    fields = draw(st.permutations(head.fields))
    return Head(head.start_line, tuple((in_case(name), before + value + after) for name, value in fields))


def _line(*lines: str) -> Changes:
    return lambda head: st.sampled_from(lines).map(head.with_line)


def _without(name: str) -> Changes:
    return lambda head: st.just(head.without(name))


def _values(name: str, *values: str) -> Changes:
    return lambda head: st.sampled_from(values).map(lambda value: head.replacing(name, value))


def _other_than(name: str, right: str, *values: str) -> Changes:
    """Return a change of the field to one of these values, or to any token other than ``right``."""
    others = _tokens().filter(lambda token: token.lower() != right.lower())
    return lambda head: st.one_of(st.sampled_from(values), others).map(lambda value: head.replacing(name, value))


def _bad_subprotocols(head: Head) -> st.SearchStrategy[Head]:
    values = st.sampled_from(list(examples.BAD_SUBPROTOCOLS.values())) | _no_tokens()
    return values.map(lambda value: head.replacing("Sec-WebSocket-Protocol", value))


def _twice(name: str, *others: str) -> Changes:
    """Return a change that repeats the field, with the same value or a different one."""
    return lambda head: st.sampled_from([*head.get_all(name), *others]).map(lambda value: head.with_field(name, value))


def _bad_keys(head: Head) -> st.SearchStrategy[Head]:
    """Generate heads with a key that is too short, too long, not base64 at all, or without padding."""
    sizes = st.integers(0, 40).filter(lambda size: size != 16)
    wrong_size = sizes.map(lambda size: b64encode(bytes(size)).decode())
    keys = st.one_of(wrong_size, st.sampled_from(list(examples.BAD_KEYS.values())))
    return keys.map(lambda key: head.replacing("Sec-WebSocket-Key", key))


def _bad_extensions(head: Head) -> st.SearchStrategy[Head]:
    return illegal_extension_headers().map(lambda value: head.replacing("Sec-WebSocket-Extensions", value))


def _space_before_colon(head: Head) -> st.SearchStrategy[Head]:
    names = st.sampled_from(["X-Other ", "X-Other\t", "Host "])
    return names.map(lambda name: head.with_field(name, "x"))


_REQUEST_CHANGES: Mapping[str, Changes] = {
    "method": _line(*(f"{method} /chat HTTP/1.1" for method in examples.OTHER_METHODS)),
    "HTTP version": _line("GET / HTTP/1.0"),
    "request line": _line("GET / HTTP/1.1x", "GET / http/1.1", "GET / XTTP/1.1", "GET /", "GET / HTTP/1.1 x", " / x"),
    "target": _line("GET chat HTTP/1.1", "GET * HTTP/1.1", "GET /#top HTTP/1.1", "GET mailto:a HTTP/1.1"),
    "space before colon": _space_before_colon,
    "no Host": _without("Host"),
    "two Hosts": _twice("Host", "other.example.com"),
    "no Upgrade": _without("Upgrade"),
    "other Upgrade": _other_than("Upgrade", "websocket", *examples.OTHER_UPGRADES.values()),
    "no Connection": _without("Connection"),
    "other Connection": _other_than("Connection", "upgrade", *examples.OTHER_CONNECTIONS.values()),
    "no key": _without("Sec-WebSocket-Key"),
    "bad key": _bad_keys,
    "two keys": _twice("Sec-WebSocket-Key", SAMPLE_KEY),
    "no version": _without("Sec-WebSocket-Version"),
    "other version": _other_than("Sec-WebSocket-Version", "13", *examples.BAD_VERSIONS.values()),
    "two versions": _twice("Sec-WebSocket-Version", "8"),
    "bad subprotocol": _bad_subprotocols,
    "subprotocol twice": _values("Sec-WebSocket-Protocol", *examples.REPEATED_SUBPROTOCOLS.values()),
    "bad extensions": _bad_extensions,
}


def illegal_requests(rule: str | None = None) -> st.SearchStrategy[IllegalHead]:
    """Generate requests that a server must refuse. Each breaks one rule.

    :param rule: a name in `rfc6455.testing.REQUEST_RULES`; ``None`` for any.
    """
    return st.one_of(
        [_illegal(name, _REQUEST_CHANGES, REQUEST_RULES, requests()) for name in _chosen(rule, REQUEST_RULES)]
    )


def _chosen(rule: str | None, rules: Mapping[str, HeadRule]) -> list[str]:
    if rule is None:
        return list(rules)
    if rule not in rules:
        raise ValueError(f"there is no rule {rule!r}; the rules are: {', '.join(rules)}")
    return [rule]


def _illegal(
    name: str, changes: Mapping[str, Changes], rules: Mapping[str, HeadRule], legal: st.SearchStrategy[Head]
) -> st.SearchStrategy[IllegalHead]:
    return legal.flatmap(changes[name]).map(lambda head: IllegalHead(head, rules[name]))


# Responses.


@st.composite
def responses(draw: st.DrawFn, key: str = SAMPLE_KEY, subprotocols: Sequence[str] = ()) -> Head:
    """Generate responses that open the connection (4.1), in various forms and with fields that mean nothing to the
    handshake.

    :param key: the value of ``Sec-WebSocket-Key`` in the request.
    :param subprotocols: those that the client asked for; the response chooses one of them, or none.
    """
    head = response_head(key)
    line = draw(st.sampled_from(["HTTP/1.1 101 Switching Protocols", "HTTP/1.1 101 ", "HTTP/1.1 101 any words"]))
    head = head.with_line(line).replacing("Upgrade", draw(_in_any_case("websocket")))
    head = head.replacing("Connection", draw(_in_any_case("Upgrade")))
    for name, value in draw(st.lists(st.sampled_from([("Server", "x/1"), ("Set-Cookie", "a=b; Path=/")]), max_size=2)):
        head = head.with_field(name, value)
    chosen = draw(st.sampled_from([None, *subprotocols]))
    if chosen is not None:
        head = head.with_field("Sec-WebSocket-Protocol", chosen)
    return draw(_in_other_words(head))


_OTHER_ACCEPT = "AAAAAAAAAAAAAAAAAAAAAAAAAAA="

_RESPONSE_CHANGES: Mapping[str, Changes] = {
    "not 101": _line(*(f"HTTP/1.1 {status} x" for status in (200, 204, 301, 400, 401, 403, 404, 426, 500, 503))),
    "no Upgrade": _without("Upgrade"),
    "other Upgrade": _other_than("Upgrade", "websocket", *examples.OTHER_UPGRADES.values()),
    "no Connection": _without("Connection"),
    "other Connection": _other_than("Connection", "upgrade", *examples.OTHER_CONNECTIONS.values()),
    "no accept": _without("Sec-WebSocket-Accept"),
    "other accept": lambda head: st.sampled_from(
        [head.replacing("Sec-WebSocket-Accept", value) for value in _other_accepts(head)]
    ),
    "two accepts": _twice("Sec-WebSocket-Accept", _OTHER_ACCEPT),
    "other subprotocol": _values("Sec-WebSocket-Protocol", "never-asked-for", "never-asked-for, nor-this"),
    "two subprotocols": _twice("Sec-WebSocket-Protocol"),
    "other extension": lambda head: extension_headers().map(
        lambda header: head.replacing("Sec-WebSocket-Extensions", header.value)
    ),
    "bad extensions": _bad_extensions,
}


def _other_accepts(head: Head) -> list[str]:
    """Return values that are almost right: cut short, longer, in another case, and the key itself."""
    (right,) = head.get_all("Sec-WebSocket-Accept")
    return [_OTHER_ACCEPT, SAMPLE_KEY, right[:-1], right + "=", right.swapcase(), right[::-1], ""]


def illegal_responses(
    key: str = SAMPLE_KEY, subprotocols: Sequence[str] = ("chat",), rule: str | None = None
) -> st.SearchStrategy[IllegalHead]:
    """Generate responses after which a client must not open the connection. Each breaks one rule.

    :param key: the value of ``Sec-WebSocket-Key`` in the request.
    :param subprotocols: those that the request asked for, at least one. It is assumed to have asked for no extension.
    :param rule: a name in `rfc6455.testing.RESPONSE_RULES`; ``None`` for any.
    """
    plain = responses(key)
    agreed = plain.map(lambda head: head.with_field("Sec-WebSocket-Protocol", subprotocols[0]))
    return st.one_of(
        [
            _illegal(name, _RESPONSE_CHANGES, RESPONSE_RULES, agreed if name == "two subprotocols" else plain)
            for name in _chosen(rule, RESPONSE_RULES)
        ]
    )
