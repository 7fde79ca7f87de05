"""Header fields and the grammars of their values: token lists, quoted strings, extensions (4.3, 9.1, RFC 9110 5.6)."""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measuring import check_time, repeated
from opening import error_of

from rfc6455 import HandshakeError, Headers, LocalProtocolError
from rfc6455.arguments import excerpt
from rfc6455.headers import is_token, parse_extensions, parse_token_list, serialize_extension

TCHARS = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters
SEPARATORS = '()<>@,;:\\"/[]?={} \t'  # RFC 2616, 2.2

tokens = st.text(TCHARS, min_size=1, max_size=12)
latin = st.text(st.characters(max_codepoint=0xFF), max_size=60)


# Headers.


def test_names_are_compared_without_case() -> None:
    headers = Headers([("Host", "a"), ("X-Other", "b")])
    assert headers["hOST"] == headers.get("HOST") == "a"
    assert headers.get_all("host") == ("a",)
    assert "HOST" in headers
    assert "Upgrade" not in headers
    assert 7 not in headers


def test_several_lines_of_one_name_are_one_list() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    assert headers["A"] == headers.get("a") == "1, 3"
    assert headers.get_all("A") == ("1", "3")
    assert headers.get_all("b") == ("2",)
    assert list(headers) == [("A", "1"), ("B", "2"), ("a", "3")]
    assert len(headers) == 3


def test_what_is_missing() -> None:
    headers = Headers()
    assert headers.get("A") is None
    assert headers.get("A", "default") == "default"
    assert headers.get_all("A") == ()
    assert not headers
    with pytest.raises(KeyError):
        headers["A"]


def test_headers_are_made_from_pairs_mappings_and_headers() -> None:
    pairs = [("Host", "a"), ("X", "é")]
    assert Headers(dict(pairs)) == Headers(pairs) == Headers(Headers(pairs)) == Headers(iter(pairs))
    assert Headers([(b"Host", b"a"), ("X", b"\xe9")]) == Headers(pairs)


def test_headers_are_values() -> None:
    assert Headers([("A", "1"), ("B", "2")]) == Headers([("a", "1"), ("b", "2")])
    assert hash(Headers([("A", "1")])) == hash(Headers([("a", "1")]))
    assert Headers([("A", "x")]) != Headers([("A", "X")])
    assert Headers([("A", "1"), ("B", "2")]) != Headers([("B", "2"), ("A", "1")])
    assert Headers([("A", "1")]) != [("A", "1")]
    assert repr(Headers([("A", "1")])) == "Headers([('A', '1')])"


@pytest.mark.parametrize("pair", [("A", 1), (None, "x"), ("A", ["b"])])
def test_what_is_no_text_is_refused(pair: tuple[object, object]) -> None:
    with pytest.raises(LocalProtocolError, match="a header is a pair of str or bytes"):
        Headers([pair])  # type: ignore[list-item]


@pytest.mark.parametrize("source", ["abc", "ab", b"abc", [("A",)], [("A", "b", "c")], [5], 5, None])
def test_what_is_no_list_of_pairs_is_refused(source: Any) -> None:
    with pytest.raises(LocalProtocolError, match="headers are pairs of a name and a value"):
        Headers(source)


@given(st.lists(st.tuples(tokens, latin)))
def test_headers_agree_with_the_naive_search(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    for name, _ in pairs:
        assert list(headers.get_all(name.swapcase())) == [value for key, value in pairs if key.lower() == name.lower()]


# Tokens and their lists.


def test_a_token_is_made_of_these_characters_and_no_others() -> None:
    assert "".join(char for char in map(chr, range(0x180)) if is_token(char)) == "".join(sorted(TCHARS))
    assert not is_token("")
    assert not any(is_token(f"a{separator}b") for separator in SEPARATORS)


@pytest.mark.parametrize(
    ("values", "listed"),
    [
        (["keep-alive, Upgrade"], ["keep-alive", "Upgrade"]),
        (["chat, superchat"], ["chat", "superchat"]),
        (["a", "b,c"], ["a", "b", "c"]),
        ([" a\t,\t b "], ["a", "b"]),
        ([", a,,\t, b ,"], ["a", "b"]),
        ([], []),
    ],
)
def test_token_list(values: list[str], listed: list[str]) -> None:
    assert parse_token_list(values, "X") == listed


@pytest.mark.parametrize(
    "values", [[""], [","], ["  ,\t,"], ["a", ""], ["a b"], ["a, b;c"], ['"a"'], ["\xe9"], ["a\0"]]
)
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
    # a parameter twice is for the extension to judge
    "a; b; b=1": [("a", [("b", None), ("b", "1")])],
}


@pytest.mark.clause("6455:4.3-quoted-value-is-a-token", "6455:9.1-quoted-value-is-a-token")
@pytest.mark.parametrize(("value", "items"), EXTENSIONS.items())
def test_extension_list(value: str, items: list[tuple[str, list[tuple[str, str | None]]]]) -> None:
    assert parse_extensions([value]) == items


def test_several_lines_are_one_list() -> None:
    # Erratum 3433
    assert parse_extensions(["a; x", "b, c"]) == [("a", [("x", None)]), ("b", []), ("c", [])]
    assert parse_extensions([]) == []


def test_extension_called_constructor() -> None:
    """ws 3.3.1: names that mean something to the language, and names that come twice."""
    names = ["__class__", "__proto__", "constructor", "__dict__", "a", "a"]
    listed = parse_extensions([", ".join(f"{name}; {name}={name}; {name}" for name in names)])
    assert listed == [(name, [(name, name), (name, None)]) for name in names]


@pytest.mark.clause(
    "6455:4.3-quoted-value-is-a-token",
    "6455:9.1-bad-grammar-fails",
    "6455:9.1-quoted-value-is-a-token",
)
@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("", 0),
        (" , ,", 0),
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


@given(st.lists(items, min_size=1, max_size=4))
def test_parse_undoes_serialize(listed: list[tuple[str, list[tuple[str, str | None]]]]) -> None:
    assert parse_extensions([", ".join(serialize_extension(*item) for item in listed)]) == listed
    assert parse_extensions([serialize_extension(*item) for item in listed]) == listed


def test_serialize_extension() -> None:
    assert serialize_extension("x") == "x"
    assert serialize_extension("x", [("bits", "10"), ("flag", None)]) == "x; bits=10; flag"


@pytest.mark.parametrize("word", ["", "a b", "a\r\nb", "a\0", 'a"', "\u20ac"])
def test_serialize_extension_refuses_what_is_no_token(word: str) -> None:
    for name, parameters in [(word, []), ("x", [(word, None)]), ("x", [("y", word)])]:
        with pytest.raises(LocalProtocolError, match="is not a token"):
            serialize_extension(name, parameters)


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
