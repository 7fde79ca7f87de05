"""The grammars of WebSocket's own header values: token lists, quoted strings, extensions (4.3, 9.1, RFC 9110 5.6), and
the attributes of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measuring import check_time, repeated
from opening import error_of

from rfc6455 import HandshakeError, Headers, Request
from rfc6455.arguments import excerpt
from rfc6455.handshake.fields import parse_extensions, parse_token_list

tokens = st.from_regex(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}", fullmatch=True)
latin = st.text(st.characters(max_codepoint=0xFF), max_size=60)


# Lists.


@pytest.mark.parametrize(
    ("values", "listed"),
    [
        (["keep-alive, Upgrade"], ["keep-alive", "Upgrade"]),
        (["chat, superchat"], ["chat", "superchat"]),
        (["a", "b,c"], ["a", "b", "c"]),
        ([" a\t,\t b "], ["a", "b"]),
        ([", a,,\t, b ,"], ["a", "b"]),
        ([], []),
        # empty elements, and nothing else
        (["a", ""], ["a"]),
        (["", "a", " ,", "b"], ["a", "b"]),
        ([""], []),
        ([",", "  ,\t,"], []),
    ],
)
def test_token_list(values: list[str], listed: list[str]) -> None:
    assert parse_token_list(values, "X") == listed


@pytest.mark.parametrize("values", [["a b"], ["a, b;c"], ['"a"'], ["\xe9"], ["a\0"], ["", "a b"]])
def test_what_is_no_token_list_is_400(values: list[str]) -> None:
    with pytest.raises(HandshakeError, match="X lists ") as caught:
        parse_token_list(values, "X")
    assert (caught.value.status, caught.value.section) == (400, "4.3")


# Extensions. The first are those of 9.1, "Non-normative examples of acceptable extension header fields".

EXTENSIONS = {
    "deflate-stream": [("deflate-stream", [])],
    "mux; max-channels=4; flow-control, deflate-stream": [
        ("mux", [("max-channels", "4"), ("flow-control", None)]),
        ("deflate-stream", []),
    ],
    "private-extension": [("private-extension", [])],
    # RFC 7692, 7.1: several offers, and a value in quotes
    'permessage-deflate; client_max_window_bits; server_max_window_bits="10", permessage-deflate': [
        ("permessage-deflate", [("client_max_window_bits", None), ("server_max_window_bits", "10")]),
        ("permessage-deflate", []),
    ],
    # what a quoted-pair stands for
    r'a; b="\1\0"': [("a", [("b", "10")])],
    # "implied *LWS" of RFC 2616
    ' a\t; b = 1 ;c ="2"\t,\td ': [("a", [("b", "1"), ("c", "2")]), ("d", [])],
    # empty elements
    ",, a ,,\t, b ,": [("a", []), ("b", [])],
    "": [],
    " , ,": [],
    # a parameter twice is for the extension to judge
    "a; b; b=1": [("a", [("b", None), ("b", "1")])],
}


Listed = list[tuple[str, list[tuple[str, "str | None"]]]]


def listed_extensions(values: list[str]) -> Listed:
    return [(name, [*parameters]) for name, parameters in parse_extensions(values)]


@pytest.mark.clause("6455:4.3-quoted-value-is-a-token", "6455:9.1-quoted-value-is-a-token")
@pytest.mark.parametrize(("value", "items"), EXTENSIONS.items())
def test_extension_list(value: str, items: Listed) -> None:
    assert listed_extensions([value]) == items


def test_several_lines_are_one_list() -> None:
    # Erratum 3433
    assert listed_extensions(["a; x", "b, c"]) == [("a", [("x", None)]), ("b", []), ("c", [])]
    assert listed_extensions(["", "a", ",", "b"]) == [("a", []), ("b", [])]
    assert listed_extensions(["", " "]) == []
    assert listed_extensions([]) == []


def test_extension_called_constructor() -> None:
    """ws 3.3.1: names that mean something to the language, and names that come twice."""
    names = ["__class__", "__proto__", "constructor", "__dict__", "a", "a"]
    listed = listed_extensions([", ".join(f"{name}; {name}={name}; {name}" for name in names)])
    assert listed == [(name, [(name, name), (name, None)]) for name in names]


@pytest.mark.clause(
    "6455:4.3-quoted-value-is-a-token",
    "6455:9.1-bad-grammar-fails",
    "6455:9.1-quoted-value-is-a-token",
)
@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("a b", 2),
        ("a;", 1),
        ("a; ", 1),
        ("a;;b", 1),
        ("a; =1", 1),
        ("a; b=", 4),
        ("a; b=, c", 4),
        ("a; b==1", 4),
        ('a; b="', 4),
        ('a; b="1', 4),
        ('a; b="1\\"', 4),
        ('a; b=""', 6),
        ('a; b="1 0"', 6),
        ('a; b="1"0', 8),
        ('a; b="\xe9"', 6),
        ('"a"', 0),
        ("=a", 0),
        ("a, ;b", 1),
        ("a, \xe9", 1),
        ("a; b=1 2", 7),
        ("\0", 0),
    ],
)
def test_what_is_no_extension_list_is_400(value: str, at: int) -> None:
    with pytest.raises(HandshakeError, match=f"does not follow the grammar at character {at}: ") as caught:
        parse_extensions([value])
    assert (caught.value.status, caught.value.section) == (400, "9.1")


items = st.tuples(tokens, st.lists(st.tuples(tokens, st.none() | tokens), max_size=4))


def written(name: str, parameters: list[tuple[str, str | None]]) -> str:
    return "; ".join([name, *("=".join(filter(None, parameter)) for parameter in parameters)])


@given(st.lists(items, min_size=1, max_size=4))
def test_what_was_listed_is_read(listed: Listed) -> None:
    assert listed_extensions([", ".join(written(*item) for item in listed)]) == listed
    assert listed_extensions([written(*item) for item in listed]) == listed


# Whatever comes.


@given(st.lists(st.text('a=;," \\\t\0\xe9', max_size=30) | latin, max_size=3))
def test_any_value_gives_a_list_or_our_own_error(values: list[str]) -> None:
    for parse in (parse_extensions, lambda values: parse_token_list(values, "X")):
        error = error_of(partial(parse, values))
        assert error is None or (error.status == 400 and error.reason.isascii() and error.reason.isprintable())


NASTY = [
    *(char * 2 for char in " \t,;=\"\\'a\xff\0"),
    "a,",
    ", ",
    "a;b",
    ";a",
    "a; ",
    "; a=",
    ';a="',
    '="',
    '\\"',
    '"\\',
    "= ",
    " =",
]
HEADS = ["", "a", "a;b", 'a;b="', "a; b=", "a; b =", 'a;b="\\']


@pytest.mark.measured
@pytest.mark.parametrize("nasty", NASTY, ids=map(excerpt, NASTY))
@pytest.mark.parametrize("parse", [parse_extensions, lambda values: parse_token_list(values, "X")])
def test_patterns_that_backtrack(nasty: str, parse: Callable[[list[str]], object]) -> None:
    """CVE-2021-32640 ws; CVE-2020-7662, CVE-2020-7663 websocket-extensions: time is linear, whatever is in it."""

    def read(value: str) -> None:
        assert len(str(error_of(partial(parse, [value])))) < 500

    for head in HEADS:
        check_time(read, repeated(nasty, head))


# The request.


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("/chat?room=1&x=/?", "/chat", "room=1&x=/?", "h"),
        ("/", "/", "", "h"),
        ("/?", "/", "", "h"),
        ("//a/b", "//a/b", "", "h"),
        ("/http://x/y", "/http://x/y", "", "h"),
        ("http://a.example:81/chat?x", "/chat", "x", "a.example:81"),
        ("HTTPS://a.example", "/", "", "a.example"),
        ("https://a.example?x", "/", "x", "a.example"),
    ],
)
def test_forms_of_the_target(target: str, path: str, query: str, host: str) -> None:
    """4.2.1, 1: a path, "or an absolute HTTP/HTTPS URI containing the /resource name/", whose host wins."""
    request = Request("GET", target, Headers([("Host", "h")]))
    assert (request.path, request.query, request.host) == (path, query, host)
    assert request.resource_name == path + (f"?{query}" if "?" in target else "")


@pytest.mark.parametrize(
    ("fields", "is_upgrade"),
    [
        ([], False),
        ([("Upgrade", "h2c"), ("Connection", "Upgrade")], False),
        ([("Connection", "Upgrade")], False),
        ([("Upgrade", "h2c"), ("upgrade", "x,\tWebSocket ")], True),
        ([("Upgrade", "websocketx")], False),
        ([("sec-websocket-key", "x")], True),
    ],
)
def test_is_upgrade(fields: list[tuple[str, str]], is_upgrade: bool) -> None:
    assert Request("GET", "/", Headers(fields)).is_upgrade is is_upgrade


def test_a_request_alone() -> None:
    request = Request("GET", "/")
    assert (request.host, request.origin, request.subprotocols) == (None, None, [])
    with pytest.raises(HandshakeError):
        _ = Request("GET", "/", Headers([("Sec-WebSocket-Protocol", "a b")])).subprotocols
