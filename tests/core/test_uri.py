"""WebSocket URIs (section 3): components, default ports, and what is not one."""

from __future__ import annotations

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
}


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
    ],
)
def test_host_header(text: str, header: str) -> None:
    assert parse_uri(text).host_header == header
    assert is_host(header)


BAD = {
    "ws://example.com/#": "has no fragment",
    "ws://example.com/a#b": "written %23",
    "ws://user@example.com/": "has no user and password",
    "ws://user:secret@example.com/": "Authorization header",
    "http://example.com/": "begins with ws:// or wss://",
    "wsss://example.com/": "begins with ws:// or wss://",
    "ws:/example.com": "begins with ws:// or wss://",
    "ws:example.com": "begins with ws:// or wss://",
    "//example.com": "begins with ws:// or wss://",
    "example.com": "begins with ws:// or wss://",
    " ws://example.com": "begins with ws:// or wss://",
    "": "begins with ws:// or wss://",
    "ws://": "is not a host",
    "ws:///path": "is not a host",
    "ws://:80/": "is not a host",
    "ws://exa mple.com/": "is not a host",
    "ws://b\xfccher.example/": "is not a host",
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
    "ws://[fe80::1%25eth0]/": "is not a host",
    "ws://[:::]/": "is not a host",
    "ws://[1.2.3.4]/": "only an IPv6 address stands in brackets",
    "ws://[]/": "is not a host",
    "ws://example.com:0/": "the port of a WebSocket URI is 1 to 65535",
    "ws://example.com:65536/": "the port of a WebSocket URI is 1 to 65535",
    "ws://example.com:" + "9" * 10000: "the port of a WebSocket URI is 1 to 65535",
    "ws://example.com/a b": "' ', character 2 of path and query, cannot stand there",
    "ws://example.com/\u20ac": r"'\\u20ac', character 1 of",
    "ws://example.com/a\r\nX: y": r"'\\r', character 2 of",
    "ws://example.com/?\0": r"'\\x00', character 2 of",
    "ws://example.com/?{}": "percent-encode it",
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


@pytest.mark.clause("6455:3-no-fragment", "6455:3-hash-is-escaped", "6455:4.1-uri-is-valid")
@pytest.mark.parametrize(
    ("host", "port", "resource_name"),
    [
        ("", 80, "/"),
        ("[::1]", 80, "/"),
        ("a b", 80, "/"),
        ("a\r\nb", 80, "/"),
        ("a:80", 80, "/"),
        ("fe80::1%eth0", 80, "/"),
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


@pytest.mark.parametrize("text", ["a", "a:80", "a:", "[::1]:80", "a:00080", "1.2.3.4", "a%20b", "a,b"])
def test_is_host(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize(
    "text", ["", ":80", "a b", "u@a", "a:b", "a:123456", "[::1", "[x]", "[::1%251]", "a/", "a?", "a%2", "\xe9", "a\0"]
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
