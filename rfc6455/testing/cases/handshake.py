"""The opening handshake (4): requests that a server must accept or refuse, answers that a client must accept or
refuse.

If the connection opens, one message is sent to try it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...codes import Role
from ..examples import (
    BAD_EXTENSIONS,
    BAD_KEYS,
    BAD_SUBPROTOCOLS,
    BAD_VERSIONS,
    OTHER_CONNECTIONS,
    OTHER_METHODS,
    OTHER_UPGRADES,
    REPEATED_SUBPROTOCOLS,
)
from .maker import ANSWER, PING, REQUEST, TEXT, Maker, answer, codes, each_byte_of_head, request
from .model import Asks, Case, Closes, Deflate, Echoes, Expectation, Fails, HangsUp, Refuses

HELLO = ((TEXT, b"Hello"),)

BAD_REQUEST = Refuses(frozenset({400}))
NO_UPGRADE = Refuses(frozenset({426, 400}))
# 4.2.2: an error "such as 426 Upgrade Required", which must name the version that the server understands.
OTHER_VERSION = Refuses(frozenset({426}), (("sec-websocket-version", "13"),))
NO_METHOD = Refuses(frozenset({405}))
NO_HTTP_1_0 = Refuses(frozenset({505, 400, 426}))
TOO_LARGE = Refuses(frozenset({431, 400, 413}))
FORBIDDEN = Refuses(frozenset({403}))
OPENS = Echoes(HELLO)

KIB = 1 << 10


def cases(role: Role) -> Iterator[Case]:
    make = Maker("handshake", role)
    if role is Role.SERVER:
        yield from good_requests(make)
        yield from optional_requests(make)
        yield from bad_requests(make)
        yield from bad_http(make)
        yield from large_requests(make)
        yield from origins(make)
    else:
        yield from own_request(make)
        yield from good_answers(make)
        yield from bad_answers(make)


# ---- For a server ----


def good_requests(make: Maker) -> Iterator[Case]:
    """Yield requests that must be accepted."""
    good = request()
    requests: dict[str, tuple[str, str, tuple[bytes, ...]]] = {
        "plain": ("4.2.1", "a good request is accepted", (good,)),
        "bytes": ("4.2.1", "a good request, byte by byte, is accepted", each_byte_of_head(good)),
        "lines": ("4.2.1", "a good request, line by line, is accepted", tuple(good.splitlines(keepends=True))),
        "cut-in-crlf": ("4.2.1", "a good request, cut inside its last CRLF, is accepted", (good[:-1], good[-1:])),
        "upgrade-case": ("4.2.1", "Upgrade: WebSocket in another case is accepted", (request(Upgrade="WebSocket"),)),
        "connection-case": (
            "4.2.1",
            "Connection: UPGRADE in another case is accepted",
            (request(Connection="UPGRADE"),),
        ),
        "connection-list": (
            "4.2.1",
            "Upgrade in a list of Connection is accepted",
            (request(Connection="keep-alive, Upgrade"),),
        ),
        "connection-lines": (
            "4.2.1",
            "Upgrade in a second line of Connection is accepted",
            (request(Connection="keep-alive", more="Connection: Upgrade\r\n"),),
        ),
        "names-case": ("4.2.1", "names of headers in lower case are accepted", (_small_names(good),)),
        "names-capitals": ("4.2.1", "names of headers in upper case are accepted", (_capital_names(good),)),
        "spaces": ("RFC 9112 5.1", "spaces and tabs around values are ignored", (_spaces(good),)),
        "no-spaces": ("RFC 9112 5.1", "no space is needed after the colon", (good.replace(b": ", b":"),)),
        "order": ("4.2.1", "the headers may be in any order", (_turned_around(good),)),
        "unknown-header": (
            "4.2.1",
            "unknown headers are ignored",
            (request(more="X-Unknown: 1\r\nCookie: a=b; c=d\r\n"),),
        ),
        "empty-header": ("RFC 9110 5.5", "an empty unknown header is ignored", (request(more="X-Unknown:\r\n"),)),
        "cookie-4-kib": ("4.2.1", "a cookie of 4 KiB is accepted", (request(more=f"Cookie: a={'b' * 4 * KIB}\r\n"),)),
        "30-headers": (
            "4.2.1",
            "thirty more headers are accepted",
            (request(more="".join(f"X-{n}: {n}\r\n" for n in range(30))),),
        ),
        "absolute-target": (
            "RFC 9112 3.2.2",
            "a target in absolute form is accepted",
            (request("GET http://{host}{target} HTTP/1.1"),),
        ),
        "query": ("3", "a target with a query is accepted", (request("GET {target}?a=b&c=%20d HTTP/1.1"),)),
        "key-zeros": ("4.2.2", "a key of zeros is answered", (request(Sec_WebSocket_Key="A" * 22 + "=="),)),
        "key-ones": ("4.2.2", "a key of ones is answered", (request(Sec_WebSocket_Key="/" * 21 + "w=="),)),
        "key-plus": (
            "4.2.2",
            "a key with + and / is answered",
            (request(Sec_WebSocket_Key="+/+/+/+/+/+/+/+/+/+/+w=="),),
        ),
        "unknown-subprotocol": (
            "4.2.2",
            "a subprotocol that the server does not know is not agreed to",
            (request(more="Sec-WebSocket-Protocol: x-rfc6455-unknown\r\n"),),
        ),
        "unknown-extension": (
            "4.2.2",
            "an extension that the server does not know is not agreed to",
            (request(more="Sec-WebSocket-Extensions: x-rfc6455-unknown; a=1; b\r\n"),),
        ),
        "extension-lines": (
            "9.1",
            "unknown extensions in two lines are not agreed to",
            (request(more='Sec-WebSocket-Extensions: x-a\r\nSec-WebSocket-Extensions: x-b; c="d"\r\n'),),
        ),
        "extension-special-name": (
            "9.1",
            "extensions named __proto__ and constructor are not agreed to",
            (request(more="Sec-WebSocket-Extensions: __proto__, constructor, __class__\r\n"),),
        ),
    }
    for name, (clause, sentence, head) in requests.items():
        yield _opens(make, name, clause, sentence, head)
    yield _opens(
        make,
        "upgrade-list",
        "RFC 9110 7.8",
        "websocket in a list of Upgrade is accepted",
        (request(Upgrade="h2c, websocket"),),
        tolerated=(NO_UPGRADE,),
    )


def _opens(
    make: Maker, name: str, clause: str, sentence: str, head: tuple[bytes, ...], *others: Expectation, **more: Any
) -> Case:
    return make.case(name, clause, sentence, (OPENS, *others), make.frame(TEXT, b"Hello"), head=head, **more)


def _small_names(head: bytes) -> bytes:
    return _each_field(head, lambda name, value: (name.lower(), value))


def _capital_names(head: bytes) -> bytes:
    return _each_field(head, lambda name, value: (name.upper(), value))


def _spaces(head: bytes) -> bytes:
    return _each_field(head, lambda name, value: (name, b" \t " + value + b" \t"))


def _each_field(head: bytes, change: Any) -> bytes:
    first, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    changed = (change(*field.split(b": ", 1)) for field in fields)
    return b"\r\n".join([first, *(name + b": " + value for name, value in changed), b"", b""])


def _turned_around(head: bytes) -> bytes:
    first, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    return b"\r\n".join([first, *reversed(fields), b"", b""])


def optional_requests(make: Maker) -> Iterator[Case]:
    """Yield requests that a server may accept or refuse."""
    hello = make.frame(TEXT, b"Hello")
    # 4.1: a client "MUST wait for a response from the server before sending any further data".
    yield make.case(
        "frame-behind-request",
        "4.1",
        "a frame after the request, before the answer, is accepted or refused",
        (OPENS, Fails(codes(1002, 1008)), BAD_REQUEST),
        hello,
        joined=True,
    )
    requests = {
        "lf-alone": (
            "RFC 9112 2.2",
            "lines that end with LF only are refused or accepted",
            request().replace(b"\r\n", b"\n"),
        ),
        "latin-1": (
            "RFC 9110 5.5",
            "bytes above 127 in an unknown header are accepted or refused",
            request(X="caf\xe9\xff"),
        ),
        "folded": ("RFC 9112 5.2", "a folded line is refused, or unfolded", request(more="X: a\r\n b\r\n")),
        "nul": ("RFC 9110 5.5", "NUL in a value is refused, or replaced by a space", request(X="a\0b")),
        "bare-cr": ("RFC 9112 2.2", "a bare CR in a value is refused, or replaced by a space", request(X="a\rb")),
    }
    for name, (clause, sentence, head) in requests.items():
        yield make.case(name, clause, sentence, (BAD_REQUEST, OPENS), hello, head=(head,))
    yield make.case(
        "empty-line-first",
        "RFC 9112 2.2",
        "an empty line before the request line is ignored",
        (OPENS,),
        hello,
        head=(b"\r\n" + request(),),
        tolerated=(BAD_REQUEST,),
    )


# The names of those `BAD_VERSIONS` that do not match the grammar of 4.3.
NO_VERSIONS = frozenset({"256", "013", "plus", "word", "empty", "list"})


def bad_requests(make: Maker) -> Iterator[Case]:
    """Yield bad requests. 4.2.1: a request that does not match its description must be answered with an error."""

    def refused(name: str, clause: str, sentence: str, head: bytes, *how: Expectation, **more: Any) -> Case:
        return make.case(name, clause, f"{sentence}: refused", how, make.frame(TEXT, b"Hello"), head=(head,), **more)

    for method in OTHER_METHODS:
        head = request(f"{method} {{target}} HTTP/1.1")
        yield refused(f"method-{method}", "4.2.1", f"the method {method}", head, NO_METHOD)
    yield refused("http-1.0", "4.2.1", "a request of HTTP/1.0", request("GET {target} HTTP/1.0"), NO_HTTP_1_0)
    for name, _ in REQUEST.fields:
        if name != "Sec-WebSocket-Version":
            how = NO_UPGRADE if name in ("Upgrade", "Connection") else BAD_REQUEST
            yield refused(f"no-{name.lower()}", "4.2.1", f"no {name} header", request(without=name), how)
    yield refused(
        "no-version", "4.2.1", "no Sec-WebSocket-Version header", request(Sec_WebSocket_Version=None), NO_UPGRADE
    )
    for name, value in BAD_VERSIONS.items():
        # 4.4: a server may understand more than one version, and 8 was the last draft version in wide use.
        others = (BAD_REQUEST,) if name in NO_VERSIONS else (OPENS,) if name == "8" else ()
        head = request(Sec_WebSocket_Version=value)
        sentence = f"version {value!r}, and the answer names 13"
        yield refused(f"version-{name}", "4.2.2", sentence, head, OTHER_VERSION, *others)
    for name, value in BAD_KEYS.items():
        head = request(Sec_WebSocket_Key=value)
        yield refused(f"key-{name}", "4.2.1", f"the key {value!r}, not 16 bytes in base64", head, BAD_REQUEST)
    # Erratum 3150: pad bits are zero. RFC 4648 3.5 leaves the choice to the decoder, and the key in 4.1 has others.
    yield make.case(
        "key-pad-bits",
        "4.2.1",
        "a key with pad bits that are not zero is accepted or refused",
        (OPENS, BAD_REQUEST),
        make.frame(TEXT, b"Hello"),
        head=(request(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZR=="),),
    )
    yield refused("two-keys", "11.3.1", "two keys", request(more="Sec-WebSocket-Key: {key}\r\n"), BAD_REQUEST)
    yield refused("two-versions", "11.3.5", "two versions", request(more="Sec-WebSocket-Version: 13\r\n"), NO_UPGRADE)
    yield refused("two-hosts", "RFC 9112 3.2", "two Host headers", request(more="Host: {host}\r\n"), BAD_REQUEST)
    yield refused(
        "two-other-hosts",
        "RFC 9112 3.2",
        "two different Host headers",
        request(more="Host: x.example\r\n"),
        BAD_REQUEST,
    )
    yield refused("host-space", "RFC 9112 3.2", "a Host with a space", request(Host="{host} x"), BAD_REQUEST)
    yield refused("host-at", "RFC 9112 3.2", "a Host with a user", request(Host="user@{host}"), BAD_REQUEST)
    for name, value in OTHER_UPGRADES.items():
        yield refused(f"upgrade-{name}", "4.2.1", f"Upgrade: {value or 'nothing'}", request(Upgrade=value), NO_UPGRADE)
    for name, value in OTHER_CONNECTIONS.items():
        head = request(Connection=value)
        yield refused(f"connection-{name}", "4.2.1", f"Connection: {value or 'nothing'}", head, NO_UPGRADE)
    for name, value in BAD_EXTENSIONS.items():
        head = request(more=f"Sec-WebSocket-Extensions: {value}\r\n")
        yield refused(f"extensions-{name}", "9.1", f"extensions that break the grammar, {value!r}", head, BAD_REQUEST)
    for name, value in {**BAD_SUBPROTOCOLS, **REPEATED_SUBPROTOCOLS}.items():
        head = request(more=f"Sec-WebSocket-Protocol: {value}\r\n")
        sentence = f"subprotocols that are not a list of different tokens, {value!r}"
        yield refused(f"subprotocols-{name}", "4.1", sentence, head, BAD_REQUEST, tolerated=(OPENS,))


def bad_http(make: Maker) -> Iterator[Case]:
    """Yield invalid HTTP/1.1 requests (RFC 9112), and requests that have been used to smuggle one inside another."""
    hello = make.frame(TEXT, b"Hello")
    good = request()
    must: dict[str, tuple[str, str, bytes]] = {
        "space-before-colon": ("RFC 9112 5.1", "a space before a colon", good.replace(b"Upgrade:", b"Upgrade :")),
        "space-before-host-colon": ("RFC 9112 5.1", "a space before Host's colon", good.replace(b"Host:", b"Host :")),
        "no-colon": ("RFC 9112 5", "a line without a colon", request(more="nonsense\r\n")),
        "no-name": ("RFC 9112 5", "a line without a name", request(more=": value\r\n")),
        "name-with-space": ("RFC 9110 5.1", "a name with a space", request(more="X Y: value\r\n")),
        "name-not-ascii": ("RFC 9110 5.1", "a name with a byte above 127", request(more="X\xe9: value\r\n")),
        "no-target": ("RFC 9112 3", "a request line without a target", request("GET HTTP/1.1")),
        "no-version": ("RFC 9112 3", "a request line without a version", request("GET {target}")),
        "space-in-target": ("RFC 9112 3", "a target with a space", request("GET {target} x HTTP/1.1")),
        "version-word": ("RFC 9112 2.3", "the version HTTP/one", request("GET {target} HTTP/one")),
        "version-other-name": ("RFC 9112 2.3", "the version HTCPCP/1.1", request("GET {target} HTCPCP/1.1")),
        "noise": ("RFC 9112 2.2", "bytes that are not text", b"\xff\x00\xfe\x01" * 8 + b"\r\n\r\n"),
        "tls": ("RFC 9112 2.2", "the beginning of TLS", b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03" + b"\r\n\r\n"),
        "frame-first": ("4.2.1", "a frame instead of a request", hello + b"\r\n\r\n"),
    }
    for name, (clause, sentence, head) in must.items():
        yield make.case(f"http-{name}", clause, f"{sentence}: refused", (BAD_REQUEST, HangsUp()), hello, head=(head,))
    # 4.2.1: "HTTP/1.1 or higher".
    yield make.case(
        "http-2.0",
        "RFC 9112 2.3",
        "the version HTTP/2.0: refused",
        (Refuses(frozenset({505, 400, 426})), HangsUp()),
        hello,
        head=(request("GET {target} HTTP/2.0"),),
        tolerated=(OPENS,),
    )
    for name, line in (("fragment", "GET {target}#x HTTP/1.1"), ("asterisk", "GET * HTTP/1.1")):
        yield make.case(
            f"target-{name}",
            "4.2.1",
            f"a target that is not a path ({name}): refused",
            (BAD_REQUEST, Refuses(frozenset({404}))),
            hello,
            head=(request(line),),
            tolerated=(OPENS,),
        )
    for name, more, body in (
        ("length", "Content-Length: 5\r\n", b"12345"),
        ("chunked", "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    ):
        yield make.case(
            f"body-{name}",
            "RFC 9110 9.3.1",
            f"a request with a body ({name}): refused",
            (Refuses(frozenset({400, 413, 501})),),
            head=(request(more=more) + body,),
            tolerated=(Echoes(), Fails(codes(1002))),
        )
    yield make.case(
        "body-two-lengths",
        "RFC 9112 6.3",
        "two different lengths of a body: refused",
        (BAD_REQUEST,),
        head=(request(more="Content-Length: 0\r\nContent-Length: 5\r\n"),),
    )
    yield make.case(
        "end-in-head",
        "RFC 9112 8",
        "the stream ends in the request: TCP is closed, with or without an error",
        (BAD_REQUEST, HangsUp()),
        head=(good[:40],),
        half_close=True,
    )
    yield make.case(
        "end-at-once",
        "RFC 9112 8",
        "the stream ends before a request: TCP is closed",
        (BAD_REQUEST, HangsUp()),
        head=(b"",),
        half_close=True,
    )
    yield make.case(
        "second-request",
        "4.1",
        "a second request after the first one is not answered",
        (Fails(codes(1002)), BAD_REQUEST),
        head=(good + good,),
    )


def large_requests(make: Maker) -> Iterator[Case]:
    """Yield requests that are too large (RFC 6585 5: 431). Limits differ, but no server should accept a megabyte."""
    hello = make.frame(TEXT, b"Hello")
    heads: dict[str, tuple[str, bytes, Refuses]] = {
        "one-header": ("one header of 1 MiB", request(more=f"X: {'x' * 1024 * KIB}\r\n"), TOO_LARGE),
        "many-headers": ("10000 headers", request(more="".join(f"X-{n}: {n}\r\n" for n in range(10_000))), TOO_LARGE),
        "one-name": ("a header name of 1 MiB", request(more=f"{'x' * 1024 * KIB}: x\r\n"), TOO_LARGE),
        "target": (
            "a target of 1 MiB",
            request(f"GET {{target}}?{'x' * 1024 * KIB} HTTP/1.1"),
            Refuses(frozenset({414, 431, 400})),
        ),
        "never-ends": ("a line of 1 MiB without end", request()[:-2] + b"X: " + b"x" * 1024 * KIB, TOO_LARGE),
    }
    for name, (sentence, head, how) in heads.items():
        clause = "RFC 9112 3" if name == "target" else "RFC 6585 5"
        pieces = tuple(head[at : at + 16 * KIB] for at in range(0, len(head), 16 * KIB))
        yield make.case(
            f"large-{name}", clause, f"{sentence}: refused", (how,), hello, head=pieces, tolerated=(OPENS, HangsUp())
        )


def origins(make: Maker) -> Iterator[Case]:
    """Yield requests from web pages. 10.2: the server decides which pages may connect."""
    hello = make.frame(TEXT, b"Hello")
    for name, origin in {
        "same": "http://{host}",
        "other": "http://example.com",
        "suffix": "http://evil-{host}",
        "prefix": "http://{host}.evil.example",
        "null": "null",
    }.items():
        how = (OPENS, FORBIDDEN) if name == "same" else (FORBIDDEN, OPENS)
        sentence = f"a page of {origin.replace('{host}', 'HOST')} is refused with 403, or may connect"
        yield make.case(f"origin-{name}", "10.2", sentence, how, hello, head=(request(Origin=origin),))


# ---- For a client ----


def own_request(make: Maker) -> Iterator[Case]:
    """Yield cases of what the client's request must contain (4.1)."""
    fields = {
        "line": ("", r"GET (/[!-~]*|https?://[!-~]+) HTTP/1\.1", "the method GET, a path or URL, and HTTP/1.1"),
        "host": ("host", r"[!-~]+", "a Host header"),
        "upgrade": ("upgrade", r"(?i:.*\bwebsocket\b.*)", "an Upgrade header with websocket"),
        "connection": ("connection", r"(?i:(.*[ ,\t])?upgrade([ ,\t].*)?)", "a Connection header with Upgrade"),
        "version": ("sec-websocket-version", "13", "a Sec-WebSocket-Version header with 13"),
        "key": (
            "sec-websocket-key",
            r"[A-Za-z0-9+/]{21}[AQgw]==",
            "a Sec-WebSocket-Key header with 16 bytes in base64",
        ),
    }
    for name, (field, pattern, what) in fields.items():
        yield make.case(f"request-{name}", "4.1", f"the request has {what}", (Asks(field, pattern),))
    yield make.case(
        "request-new-key",
        "4.1",
        "the key is selected randomly for each connection",
        (Asks("sec-websocket-key", ".+", True),),
    )


def good_answers(make: Maker) -> Iterator[Case]:
    good = answer()
    early_hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    answers: dict[str, tuple[str, str, tuple[bytes, ...]]] = {
        "plain": ("4.1", "a good answer is accepted", (good,)),
        "bytes": ("4.1", "a good answer, byte by byte, is accepted", each_byte_of_head(good)),
        "lines": ("4.1", "a good answer, line by line, is accepted", tuple(good.splitlines(keepends=True))),
        "upgrade-case": ("4.1", "Upgrade: WebSocket in another case is accepted", (answer(Upgrade="WebSocket"),)),
        "connection-case": ("4.1", "Connection: UPGRADE in another case is accepted", (answer(Connection="UPGRADE"),)),
        "connection-list": (
            "4.1",
            "Upgrade in a list of Connection is accepted",
            (answer(Connection="keep-alive, Upgrade"),),
        ),
        "names-case": ("4.1", "names of headers in lower case are accepted", (_small_names(good),)),
        "names-capitals": ("4.1", "names of headers in upper case are accepted", (_capital_names(good),)),
        "spaces": ("RFC 9112 5.1", "spaces and tabs around values are ignored", (_spaces(good),)),
        "order": ("4.1", "the headers may be in any order", (_turned_around(good),)),
        "reason": ("RFC 9112 4", "any reason phrase is accepted", (answer("HTTP/1.1 101 Off we go"),)),
        "empty-reason": ("RFC 9112 4", "an empty reason phrase is accepted", (answer("HTTP/1.1 101 "),)),
        "other-headers": ("4.1", "other headers are ignored", (answer(more="Server: x\r\nSet-Cookie: a=b\r\n"),)),
    }
    for name, (clause, sentence, head) in answers.items():
        yield _opens(make, name, clause, sentence, head)
    yield _opens(
        make,
        "early-hints",
        "RFC 9110 15.2",
        "a 103 before the 101 is skipped",
        (early_hints + good,),
        tolerated=(HangsUp(),),
    )
    hello, ping = make.frame(TEXT, b"Hello"), make.frame(PING, b"ping")
    sentence = "frames in the same write as the answer are accepted"
    yield make.case("joined", "4.1", sentence, (Echoes(HELLO, (b"ping",)),), ping + hello, joined=True)
    yield make.case(
        "joined-large",
        "4.1",
        "a large message in the same write as the answer is accepted",
        (Echoes(((TEXT, b"x" * 65536),)),),
        make.frame(TEXT, b"x" * 65536),
        joined=True,
    )
    yield make.case(
        "joined-close",
        "4.1",
        "a Close in the same write as the answer is answered",
        (Closes(codes(1000)),),
        make.close(),
        joined=True,
    )
    yield make.case(
        "joined-bad",
        "5.2",
        "a violation in the same write as the answer: the connection fails",
        (Fails(codes(1002)),),
        make.frame(3),
        joined=True,
    )


# 4.1, 4: "If the response lacks a |Sec-WebSocket-Accept| header field or the |Sec-WebSocket-Accept| contains a value
# other than" the expected one, "the client MUST _Fail the WebSocket Connection_."
BAD_ACCEPTS = {
    "wrong": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    "empty": "",
    "garbage": "{accept}x",
    "no-padding": "{accept}=",
    "twice-in-one": "{accept}, {accept}",
}


def bad_answers(make: Maker) -> Iterator[Case]:
    # A client that thinks the connection is open would answer these.
    probe = make.frame(PING, b"?") + make.frame(TEXT, b"?")

    def dropped(name: str, clause: str, sentence: str, head: bytes, **more: Any) -> Case:
        sentence = f"{sentence}: the connection fails"
        return make.case(name, clause, sentence, (HangsUp(),), probe, head=(head,), joined=True, **more)

    for name, value in BAD_ACCEPTS.items():
        head = answer(Sec_WebSocket_Accept=value)
        yield dropped(f"accept-{name}", "4.1", f"a Sec-WebSocket-Accept that does not fit the key ({name})", head)
    yield dropped(
        "two-accepts", "11.3.3", "two Sec-WebSocket-Accept headers", answer(more="Sec-WebSocket-Accept: {accept}\r\n")
    )
    for name, _ in ANSWER.fields:
        yield dropped(f"no-{name.lower()}", "4.1", f"no {name} header", answer(without=name))
    for name, value in (("h2c", "h2c"), ("websockets", "websockets"), ("empty", "")):
        yield dropped(f"upgrade-{name}", "4.1", f"Upgrade: {value or 'nothing'}", answer(Upgrade=value))
    for name, value in (("keep-alive", "keep-alive"), ("close", "close"), ("empty", "")):
        yield dropped(f"connection-{name}", "4.1", f"Connection: {value or 'nothing'}", answer(Connection=value))
    for status, phrase in (
        (200, "OK"),
        (204, "No Content"),
        (202, "Accepted"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (426, "Upgrade Required"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
    ):
        more = "" if status == 204 else "Content-Length: 0\r\n"
        yield dropped(f"status-{status}", "4.1", f"the status {status}", answer(f"HTTP/1.1 {status} {phrase}", more))
    for name, line in (
        ("http-1.0", "HTTP/1.0 101 Switching Protocols"),
        ("http-2", "HTTP/2 101 Switching Protocols"),
        ("status-1010", "HTTP/1.1 1010 Switching Protocols"),
        ("status-word", "HTTP/1.1 one Switching Protocols"),
        ("no-status", "HTTP/1.1"),
        ("noise", "\xff\x00\xfe\x01"),
    ):
        yield dropped(f"line-{name}", "RFC 9112 4", f"the status line {line!a}", answer(line))
    yield dropped(
        "subprotocol",
        "4.1",
        "a subprotocol that was not asked for",
        answer(more="Sec-WebSocket-Protocol: x-rfc6455-unknown\r\n"),
    )
    for name, value in (
        ("unknown", "x-rfc6455-unknown"),
        ("unknown-parameter", "x-rfc6455-unknown; a=1"),
        ("unknown-second", "permessage-deflate, x-rfc6455-unknown"),
        ("proto", "__proto__"),
    ):
        yield dropped(
            f"extension-{name}",
            "4.1",
            f"the extension {value}, not asked for",
            answer(more=f"Sec-WebSocket-Extensions: {value}\r\n"),
            deflate=Deflate.CHOICE,
        )
    for name, value in (("open-quote", 'a; b="c'), ("only-equals", "="), ("no-value", "a; b=")):
        yield dropped(
            f"extensions-{name}",
            "9.1",
            f"extensions that break the grammar, {value!r}",
            answer(more=f"Sec-WebSocket-Extensions: {value}\r\n"),
        )
    yield dropped("header-no-colon", "RFC 9112 5", "a line without a colon", answer(more="nonsense\r\n"))
    yield make.case(
        "large-header",
        "10.4",
        "an answer with a header of 1 MiB: the connection fails",
        (HangsUp(),),
        probe,
        head=(answer(more=f"X: {'x' * 1024 * KIB}\r\n"),),
        joined=True,
        tolerated=(Echoes(((TEXT, b"?"),), (b"?",)),),
    )
    yield make.case(
        "end-in-head",
        "7.2.1",
        "TCP ends inside the answer: the client closes TCP as well",
        (HangsUp(),),
        head=(answer()[:40],),
        half_close=True,
    )
    yield make.case(
        "end-at-once",
        "7.2.1",
        "TCP ends before any answer: the client closes TCP as well",
        (HangsUp(),),
        head=(b"",),
        half_close=True,
    )
