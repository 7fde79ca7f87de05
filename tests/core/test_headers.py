"""Header fields as a multi-dict, and the characters that they may contain."""

from __future__ import annotations

import string
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfc6455 import Headers, Response
from rfc6455.headers import is_token

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


@pytest.mark.parametrize("name", ["Cookie", "cookie"])
def test_cookies_are_joined_as_cookies(name: str) -> None:
    """RFC 9113 8.2.3. HTTP/2 and HTTP/3 split the field, and so do some clients of HTTP/1.1."""
    headers = Headers([("cookie", "id=1"), ("A", "x"), ("COOKIE", "theme=dark, blue")])
    assert headers[name] == headers.get(name) == "id=1; theme=dark, blue"
    assert headers.get_all(name) == ("id=1", "theme=dark, blue")
    assert Headers([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])["Set-Cookie"] == "a=1, b=2"


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
    with pytest.raises(TypeError, match="the name and the value of a header are str or bytes"):
        Headers([pair])  # type: ignore[list-item]


@pytest.mark.parametrize("source", ["abc", "ab", b"abc", [("A",)], [("A", "b", "c")], [5], 5, None])
def test_what_is_no_list_of_pairs_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match="headers is a mapping of names to values or an iterable of"):
        Headers(source)


@given(st.lists(st.tuples(tokens, latin)))
def test_headers_agree_with_the_naive_search(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    for name, _ in pairs:
        assert list(headers.get_all(name.swapcase())) == [value for key, value in pairs if key.lower() == name.lower()]


# Words.


def test_a_token_is_made_of_these_characters_and_no_others() -> None:
    assert "".join(char for char in map(chr, range(0x180)) if is_token(char)) == "".join(sorted(TCHARS))
    assert not is_token("")
    assert not any(is_token(f"a{separator}b") for separator in SEPARATORS)


@pytest.mark.parametrize("name", [b"Host", b"host", 0, None])
def test_names_are_looked_up_as_str(name: Any) -> None:
    """The constructor takes bytes, too; a name of bytes would never be found."""
    headers = Headers([(b"Host", b"a")])
    for look_up in (headers.get, headers.get_all, headers.__getitem__):
        with pytest.raises(TypeError, match="the name of a header to look up is a str, not "):
            look_up(name)


# ---- A response ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    {
        "a body as text": ((403, (), "no"), "^a body is bytes, bytearray or memoryview, not str$"),
        "no body": ((403, (), None), "^a body is bytes, bytearray or memoryview, not NoneType$"),
        "a status as text": (("403",), "^status is a number such as 404, not str$"),
        "a status that is true": ((True,), "^status is a number such as 404, not True$"),
        "a body in place of the headers": ((403, b"no"), "^headers is a mapping of names to values"),
        "no headers": ((403, None), "^headers is a mapping of names to values"),
    }.values(),
)
def test_a_wrong_response_is_noticed_where_it_is_made(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Response(*arguments)


def test_a_response_takes_what_headers_and_bodies_may_be() -> None:
    expected = Response(403, Headers([("A", "b")]), b"no")
    assert Response(HTTPStatus.FORBIDDEN, {"A": "b"}, bytearray(b"no")) == expected
    assert Response(403, [(b"A", b"b")], memoryview(b"no")) == expected
    assert expected == (403, Headers({"A": "b"}), b"no", "HTTP/1.1")
