"""WebSocket URIs (section 3): components, default ports, and what is not one."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measuring import check_time, repeated
from opening import error_of

from rfc6455 import URI, LocalProtocolError, parse_uri
from rfc6455.uri import is_host

GOOD = {
    # 4.1: "if the WebSocket URI is "ws://example.com/chat", the first line sent should be "GET /chat HTTP/1.1""
    "ws://example.com/chat": URI(False, "example.com", 80, "/chat"),
    # 3: "The port component is OPTIONAL; the default for "ws" is port 80, while the default for "wss" is port 443."
    "ws://example.com": URI(False, "example.com", 80, "/"),
    "wss://example.com": URI(True, "example.com", 443, "/"),
    "ws://example.com:443": URI(False, "example.com", 443, "/"),
    "wss://example.com:80": URI(True, "example.com", 80, "/"),
    # 3: secure "if the scheme component matches "wss" case-insensitively"
    "WSS://Example.COM:8443/Chat": URI(True, "example.com", 8443, "/Chat"),
    # port = *DIGIT
    "ws://example.com:/": URI(False, "example.com", 80, "/"),
    "ws://example.com:0000000080/": URI(False, "example.com", 80, "/"),
    "ws://example.com:65535/": URI(False, "example.com", 65535, "/"),
    # 3: "?" if the query component is non-empty
    "ws://example.com?a=1": URI(False, "example.com", 80, "/?a=1"),
    "ws://example.com/?": URI(False, "example.com", 80, "/"),
    "ws://example.com/a?b?c/d": URI(False, "example.com", 80, "/a?b?c/d"),
    "ws://example.com/a:@!$&'()*+,;=-._~%7e": URI(False, "example.com", 80, "/a:@!$&'()*+,;=-._~%7e"),
    "ws://example.com//": URI(False, "example.com", 80, "//"),
    # RFC 3986, 3.2.2
    "ws://127.0.0.1:9000": URI(False, "127.0.0.1", 9000, "/"),
    "ws://[::1]": URI(False, "::1", 80, "/"),
    "wss://[2001:DB8::7]:9000/x": URI(True, "2001:db8::7", 9000, "/x"),
    "ws://[::ffff:192.0.2.1]/": URI(False, "::ffff:192.0.2.1", 80, "/"),
    "ws://xn--bcher-kva.example/": URI(False, "xn--bcher-kva.example", 80, "/"),
    "ws://a_b%20c!/": URI(False, "a_b%20c!", 80, "/"),
    # RFC 6874, 2, and 3: a bare "%" too
    "ws://[FE80::1%25eth0]:81/": URI(False, "fe80::1%eth0", 81, "/"),
    "ws://[fe80::1%eth0]": URI(False, "fe80::1%eth0", 80, "/"),
    "ws://[fe80::1%2525]": URI(False, "fe80::1%25", 80, "/"),
    "ws://[fe80::1%25]": URI(False, "fe80::1%25", 80, "/"),
}

# What people write, and what 11.1.1 and 11.1.2 make of it.
CONVERTED = {
    "ws://b\xfccher.example/": "ws://xn--bcher-kva.example/",
    "ws://B\xdcCHER.example:81": "ws://xn--bcher-kva.example:81/",
    "ws://\u4f8b\u3048.\u30c6\u30b9\u30c8/": "ws://xn--r8jz45g.xn--zckzah/",
    "ws://a\u3002example/": "ws://a.example/",
    "ws://a/?f[0]=1": "ws://a/?f%5B0%5D=1",
    "ws://a/?x=a|b": "ws://a/?x=a%7Cb",
    "ws://a/caf\xe9": "ws://a/caf%C3%A9",
    "ws://a/a b": "ws://a/a%20b",
    "ws://a/ ": "ws://a/%20",
    "ws://a/\u20ac?\U0001f600": "ws://a/%E2%82%AC?%F0%9F%98%80",
    'ws://a/"<>^`{}': "ws://a/%22%3C%3E%5E%60%7B%7D",
    # what is encoded already is not encoded twice, in either case
    "ws://a/%C3%a9 %20": "ws://a/%C3%a9%20%20",
    "ws://a/%2F?%26": "ws://a/%2F?%26",
    # nothing else is changed: no dot segments, no other "?"
    "ws://a/../b/./c??d?": "ws://a/../b/./c??d?",
}


@pytest.mark.clause(
    "6455:11.1.1-host-in-ascii",
    "6455:11.1.1-others-are-escaped",
    "6455:11.1.2-host-in-ascii",
    "6455:11.1.2-others-are-escaped",
)
@pytest.mark.parametrize(("text", "converted"), CONVERTED.items(), ids=map(ascii, CONVERTED))
@pytest.mark.parametrize("by_package", [True, False], ids=["idna", "codec"])
def test_what_people_write(text: str, converted: str, by_package: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_package:
        pytest.importorskip("idna")
    else:
        monkeypatch.setitem(sys.modules, "idna", None)
    assert str(parse_uri(text)) == converted
    assert parse_uri(converted) == parse_uri(text)
    secure = text.replace("ws:", "WSS:", 1)
    assert str(parse_uri(secure)) == converted.replace("ws:", "wss:", 1)


# A name that IDNA makes something else of must not become another part of the URI.
NO_NAMES = [
    "a\uff1a81",  # the full-width colon
    "a\uff0fb",  # the full-width solidus
    "a\uff20b",  # the full-width at
    "a\uff03b",
    "a\uff05 41",
    "\u2100",  # a/c
    "\xad",  # the soft hyphen, of which nothing is left
    "\xe9" * 254,
    "\xe9" * 100,  # a label of more than 63 octets
    "\ud800",
    "a b\xe9",
    "[\xe9]",
    "\xe9\0",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=map(ascii, NO_NAMES))
@pytest.mark.parametrize("by_package", [True, False], ids=["idna", "codec"])
def test_a_name_that_idna_does_not_have(name: str, by_package: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_package:
        pytest.importorskip("idna")
    else:
        monkeypatch.setitem(sys.modules, "idna", None)
    with pytest.raises(LocalProtocolError, match="is not a host") as caught:
        parse_uri(f"ws://{name}/")
    assert str(caught.value).isascii()


@pytest.mark.parametrize("text", ["/\xe9", "/ ", "/[", "/?|"])
def test_a_uri_itself_stays_strict(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="percent-encode it"):
        URI(False, "a", 80, text)
    with pytest.raises(LocalProtocolError, match="must be in ASCII"):
        URI(False, "b\xfccher.example", 80)


@pytest.mark.parametrize("host", ["a:80", "[::1]"])
def test_the_host_of_a_uri_is_nothing_but_the_host(host: str) -> None:
    with pytest.raises(LocalProtocolError, match="have no port and no brackets"):
        URI(False, host, 80)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begin with '/', and not with ''"),
        ("chat", "begin with '/', and not with 'c'"),
        ("/a%4", "two hex digits follow each '%' .* character 2; a '%' that means itself is written %25"),
    ],
)
def test_the_words_about_a_resource_name(text: str, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        URI(False, "a", 80, text)


# Redirections (RFC 9110, 10.2.2).

REDIRECTED = {
    "https://b.example/v2?x=1": "wss://b.example/v2?x=1",
    "HTTPS://B.example:8443": "wss://b.example:8443/",
    "wss://b.example/": "wss://b.example/",
    "https://b.example/#top": "wss://b.example/",
    "//b.example/x": "wss://b.example/x",
    "/x": "wss://a.example:81/x",
    "x": "wss://a.example:81/chat/x",
    "../x?y": "wss://a.example:81/x?y",
    "../../../x": "wss://a.example:81/x",  # RFC 3986, 5.4.2: not beyond the root
    "/../x": "wss://a.example:81/x",
    "..": "wss://a.example:81/",
    "/": "wss://a.example:81/",
    "?": "wss://a.example:81/chat/room",
    ";x": "wss://a.example:81/chat/;x",
    "x/./y/..//z": "wss://a.example:81/chat/x//z",
    "x/../../..//.": "wss://a.example:81//",
    "?../x": "wss://a.example:81/chat/room?../x",
    "./": "wss://a.example:81/chat/",
    "?y=2": "wss://a.example:81/chat/room?y=2",
    "": "wss://a.example:81/chat/room?q=1",
    "#top": "wss://a.example:81/chat/room?q=1",
    "/a b|c": "wss://a.example:81/a%20b%7Cc",
    "/caf\xc3\xa9": "wss://a.example:81/caf%C3%A9",  # octets of UTF-8, as a header has them
    "/caf\xe9": "wss://a.example:81/caf%C3%A9",
    "https://b\xc3\xbccher.example/": "wss://xn--bcher-kva.example/",
}


# RFC 3986, 5.4: references and what they mean to "/b/c/d;p?q", those of 5.4.2 from "../../../g" on.
EXAMPLES = {
    "g": "/b/c/g",
    "./g": "/b/c/g",
    "g/": "/b/c/g/",
    "/g": "/g",
    "?y": "/b/c/d;p?y",
    "g?y": "/b/c/g?y",
    ";x": "/b/c/;x",
    "g;x": "/b/c/g;x",
    "g;x?y": "/b/c/g;x?y",
    ".": "/b/c/",
    "./": "/b/c/",
    "..": "/b/",
    "../": "/b/",
    "../g": "/b/g",
    "../..": "/",
    "../../": "/",
    "../../g": "/g",
    "../../../g": "/g",
    "../../../../g": "/g",
    "/./g": "/g",
    "/../g": "/g",
    "g.": "/b/c/g.",
    ".g": "/b/c/.g",
    "g..": "/b/c/g..",
    "..g": "/b/c/..g",
    "./../g": "/b/g",
    "./g/.": "/b/c/g/",
    "g/./h": "/b/c/g/h",
    "g/../h": "/b/c/h",
    "g;x=1/./y": "/b/c/g;x=1/y",
    "g;x=1/../y": "/b/c/y",
    "g?y/./x": "/b/c/g?y/./x",
    "g?y/../x": "/b/c/g?y/../x",
}


@pytest.mark.parametrize(("location", "resource_name"), EXAMPLES.items())
def test_relative_references_mean_what_the_examples_of_rfc_3986_say(location: str, resource_name: str) -> None:
    assert parse_uri("ws://a/b/c/d;p?q").redirected(location).resource_name == resource_name


@pytest.mark.parametrize(("location", "target"), REDIRECTED.items(), ids=map(ascii, REDIRECTED))
def test_where_a_redirection_leads(location: str, target: str) -> None:
    assert str(parse_uri("wss://a.example:81/chat/room?q=1").redirected(location)) == target


def test_a_redirection_may_add_tls() -> None:
    assert str(parse_uri("ws://a.example/").redirected("https://a.example/x")) == "wss://a.example/x"
    assert str(parse_uri("ws://a.example:81/").redirected("http://b.example/x")) == "ws://b.example/x"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://a.example/", "gives up TLS"),
        ("ws://a.example/", "gives up TLS"),
        ("ftp://a.example/", "'ftp:' does not lead to a WebSocket"),
        ("mailto:a@a.example", "'mailto:' does not lead"),
        ("javascript:alert(1)", "'javascript:' does not lead"),
        ("https:/x", "begins with ws:// or wss://"),
        ("https://u:secret@a.example/", "has no user and password"),
        ("https://", "is not a host"),
        ("//", "is not a host"),
        ("/\r\nX: y", "is not allowed there"),
        ("/\t", "is not allowed there"),
        ("\\\\b.example\\x", "is not allowed there"),
        ("/%zz", "two hex digits"),
    ],
)
def test_a_redirection_that_leads_nowhere(location: str, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason) as caught:
        parse_uri("wss://a.example:81/chat/room?q=1").redirected(location)
    assert "secret" not in str(caught.value)


def test_a_redirection_without_a_location() -> None:
    with pytest.raises(TypeError, match="location is the value of a Location header, a str, not None"):
        parse_uri("ws://a/").redirected(None)  # type: ignore[arg-type]


@pytest.mark.clause("6455:4.1-request-target")
@pytest.mark.parametrize(("text", "uri"), GOOD.items())
def test_parse_uri(text: str, uri: URI) -> None:
    assert parse_uri(text) == uri
    assert parse_uri(str(uri)) == uri


@pytest.mark.clause("6455:4.1-request-host")
@pytest.mark.parametrize(
    ("text", "header"),
    [
        # 4.1, 4: "/host/ plus optionally ":" followed by /port/ (when not using the default port)"
        ("ws://example.com:80", "example.com"),
        ("ws://example.com:81", "example.com:81"),
        ("wss://example.com:443", "example.com"),
        ("wss://example.com:80", "example.com:80"),
        ("ws://[::1]", "[::1]"),
        ("ws://[::1]:81", "[::1]:81"),
        # RFC 6874, 4: the zone is for this machine alone
        ("ws://[fe80::1%25eth0]", "[fe80::1]"),
        ("ws://[fe80::1%eth0]:81", "[fe80::1]:81"),
    ],
)
def test_host_header(text: str, header: str) -> None:
    assert parse_uri(text).host_header == header
    assert is_host(header)


def test_a_host_header_changes_nothing_else_of_a_uri() -> None:
    """Which keeps it from the first time on."""
    uri, other = (URI(False, "example.com", 81, "/a") for _ in range(2))
    assert uri.host_header == uri.host_header == "example.com:81"
    assert uri == other
    assert (hash(uri), repr(uri)) == (hash(other), repr(other))
    assert pickle.loads(pickle.dumps(uri)) == other
    assert replace(uri, port=80).host_header == "example.com"


def test_a_uri_that_comes_again_is_the_one_that_was_parsed() -> None:
    assert parse_uri("ws://example.com/again") is parse_uri("ws://example.com/again")


def test_long_uris_are_not_kept() -> None:
    text = "ws://example.com/" + "a" * 200
    assert parse_uri(text) is not parse_uri(text)
    assert parse_uri(text) == parse_uri(text)


BAD = {
    "ws://example.com/#": "has no fragment",
    "ws://example.com/a#b": "written %23",
    "ws://user@example.com/": "has no user and password",
    "ws://user:secret@example.com/": "Authorization header",
    "ws://user:secret/1@example.com/": "send an Authorization header",
    "ws://\xfcser:secret/1@example.com/": "send an Authorization header",
    "ws://secret^/1@example.com/": "send an Authorization header",
    "ws://s\xe9cret:secret/1@example.com/": "send an Authorization header",
    "ws://%secret:1/1@example.com/": "send an Authorization header",
    "ws://[secret:1/1@example.com/": "send an Authorization header",
    "ws://user:secret": "'user:...' is not a host with an optional port",
    "ws://[::1]:secret": r"'\[::1\]...' is not a host with an optional port",
    "ws://[::1]secret:secret": r"'\[::1\]...' is not a host with an optional port",
    "http://example.com/": r"begins with ws:// or wss://, not with 'http' \(section 3\)$",
    "s" * 30 + "://example.com/": "not with '" + "s" * 20 + "'... ",
    "ws:/example.com": "begins with ws:// or wss://",
    "ws:example.com": "this has no scheme",
    "//example.com": "begins with ws:// or wss://",
    "example.com": r"begins with ws:// or wss://; this has no scheme \(section 3\)$",
    " ws://example.com": "begins with ws:// or wss://, not with ' ws'",
    "": "begins with ws:// or wss://",
    "ws://": "is not a host",
    "ws:///path": "is not a host",
    "ws://:80/": "is not a host",
    "ws://exa mple.com/": "is not a host",
    "ws://example.com\r\nX: y/": "is not a host",
    "ws://example.com\0/": "is not a host",
    "ws://example.com:8\u0660/": "is not a host",
    "ws://example.com:+80/": "is not a host",
    "ws://example.com:-1/": "is not a host",
    "ws://a:80:80/": "is not a host",
    "ws://a%4/": "is not a host",
    "ws://::1/": "is not a host",
    "ws://[::1": "is not a host",
    "ws://[::1]x/": "is not a host",
    "ws://[fe80::1%]/": "is not a host",
    "ws://[fe80::1%25a%20b]/": "is not a host",
    "ws://[fe80::1%a/b]/": "is not a host",
    "ws://[1.2.3.4%25eth0]/": "only an IPv6 address can be in brackets",
    "ws://[:::]/": "is not a host",
    "ws://[1.2.3.4]/": "only an IPv6 address can be in brackets",
    "ws://[]/": "is not a host",
    "ws://example.com:0/": "the port of a WebSocket URI is 1 to 65535",
    "ws://example.com:65536/": "the port of a WebSocket URI is 1 to 65535",
    "ws://example.com:" + "9" * 10000: "the port of a WebSocket URI is 1 to 65535",
    "ws://example.com/a\\b": r"'\\\\', character 2 of path and query, is not allowed there",
    "ws://example.com/\x7f": r"'\\x7f', character 1 of",
    "ws://example.com/\x85": r"'\\x85', character 1 of",
    "ws://example.com/\ud800": r"'\\ud800', character 1 of",
    "ws://example.com/a\r\nX: y": r"'\\r', character 2 of",
    "ws://example.com/?\0": r"'\\x00', character 2 of",
    "ws://example.com/%": "two hex digits",
    "ws://example.com/?a=%4g": "two hex digits",
    "ws://example.com\\@evil.example/": "has no user and password",
    "ws://example.com\\/": "is not a host",
}


@pytest.mark.clause(
    "6455:3-no-fragment",
    "6455:3-hash-is-escaped",
    "6455:4.1-uri-is-refused",
    "6455:11.1.1-host-in-ascii",
    "6455:11.1.1-others-are-escaped",
    "6455:11.1.2-host-in-ascii",
    "6455:11.1.2-others-are-escaped",
)
@pytest.mark.parametrize(("text", "reason"), BAD.items(), ids=[text[:40] for text in map(ascii, BAD)])
def test_what_is_no_websocket_uri(text: str, reason: str) -> None:
    # 4.1, 1: "If any of the components are invalid, the client MUST _Fail the WebSocket Connection_"
    with pytest.raises(LocalProtocolError, match=reason) as caught:
        parse_uri(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("after", ["", "/", "/word@example.com/", "?@", "/?word@"])
@pytest.mark.parametrize("port", ["0", "000", "65536", "123456", "9" * 20])
def test_a_wrong_port_is_not_shown_as_it_may_be_a_password(port: str, after: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse_uri(f"ws://user:{port}{after}")
    assert port not in str(caught.value).replace("65535", "")
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.clause("6455:3-no-fragment", "6455:3-hash-is-escaped", "6455:4.1-uri-is-valid")
@pytest.mark.parametrize(
    ("host", "port", "resource_name"),
    [
        ("", 80, "/"),
        ("[::1]", 80, "/"),
        ("a b", 80, "/"),
        ("a\r\nb", 80, "/"),
        ("a:80", 80, "/"),
        ("fe80::1%", 80, "/"),
        ("fe80::1%a b", 80, "/"),
        ("1.2.3.4%eth0", 80, "/"),
        ("a", 0, "/"),
        ("a", 65536, "/"),
        ("a", 80, ""),
        ("a", 80, "x"),
        ("a", 80, "/ "),
        ("a", 80, "/\r\n"),
        ("a", 80, "/#"),
        ("a", 80, "/%zz"),
    ],
)
def test_no_uri_exists_that_is_not_valid(host: str, port: int, resource_name: str) -> None:
    with pytest.raises(LocalProtocolError):
        URI(False, host, port, resource_name)


@pytest.mark.parametrize(
    "text",
    ["a", "a:80", "a:", "[::1]:80", "a:00080", "1.2.3.4", "a%20b", "a,b", "[fe80::1%25en0]:1", "[fe80::1%en0]", "::1"],
)
def test_is_host(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "a b",
        "u@a",
        "a:b",
        "a:123456",
        "[::1",
        "[x]",
        "[::1%]",
        "::1]",
        "::1:x",
        "[::1]1",
        "1.2.3.4%en0",
        "::1%a b",
        "a/",
        "a?",
        "a%2",
        "\xe9",
        "a\0",
    ],
)
def test_is_no_host(text: str) -> None:
    assert not is_host(text)


names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,10})", fullmatch=True)
octets = st.text("abz09-._~!$&'()*+,;=:@/", max_size=15)
escapes = st.sampled_from(["", "%00", "%7E", "%e2%82%ac"])
resources = st.builds(
    lambda path, escape, query: f"/{path}{escape}{query}", octets, escapes, st.just("") | octets.map("?x{}".format)
)


@given(st.builds(URI, st.booleans(), names | st.ip_addresses(v=6).map(str), st.integers(1, 65535), resources))
def test_parse_undoes_str(uri: URI) -> None:
    assert parse_uri(str(uri)) == uri
    split = urlsplit(str(uri))
    assert (split.scheme, split.hostname) == ("wss" if uri.secure else "ws", uri.host)
    assert (split.port or {"ws": 80, "wss": 443}[split.scheme]) == uri.port


@given(st.text(max_size=40) | st.text("ws:/[]@?#%.:a1 \\\r\n\0\xe9", max_size=20).map("ws://{}".format))
def test_any_text_is_a_uri_or_our_own_error(text: str) -> None:
    error = error_of(lambda: parse_uri(text))
    if error is not None:
        assert isinstance(error, LocalProtocolError)
        assert str(error).isascii()
    else:
        assert parse_uri(str(parse_uri(text))) == parse_uri(text)


@pytest.mark.measured
@pytest.mark.parametrize("piece", [":", "/", "[", "]", "%", "@", "?", "a", "%20", "0", ".", "\xe9"])
def test_time_is_linear(piece: str) -> None:
    def read(uri: str) -> None:
        assert len(str(error_of(partial(parse_uri, uri)))) < 300

    for prefix in ("", "ws://", "ws://a:", "ws://[", "ws://a/", "ws://a?"):
        check_time(read, repeated(piece, prefix))
