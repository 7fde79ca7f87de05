"""``Sec-WebSocket-Extensions`` and permessage-deflate's negotiation on any text (9.1; RFC 7692 7.1).

The following is checked: `parse_extensions` and `parse_token_list` raise `HandshakeError` or find the same as a naive
reader; the result can be written and parsed again; a server accepts an offer exactly if 7.1 allows it, with an answer
that fits; a client accepts no answer that does not fit its offer; and any two of our configurations come to an
agreement.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from harness import Choices, split
from naive import is_token

from rfc6455 import HandshakeError, PerMessageDeflate
from rfc6455.deflate import DeflateCodec
from rfc6455.handshake.fields import MAX_LISTED, ExtensionItem, parse_extensions, parse_token_list

WORDS = (
    b"permessage-deflate",
    b"; server_no_context_takeover",
    b"; client_no_context_takeover",
    b"; server_max_window_bits=",
    b"; client_max_window_bits",
    b'="10"',
    b'="\\1\\5"',
    b"=08",
    b", ",
    b"\n",
)

SERVER_TAKEOVER, CLIENT_TAKEOVER = "server_no_context_takeover", "client_no_context_takeover"
SERVER_BITS, CLIENT_BITS = "server_max_window_bits", "client_max_window_bits"

#: A parameter and its value, or None without one.
Parameters = Sequence[tuple[str, "str | None"]]


def check(data: bytes) -> None:
    choices, body = split(data)
    mine, other = choose(choices), choose(choices)
    lines = body.decode("latin-1").split("\n")
    check_tokens(lines)
    items = check_extensions(lines)
    for name, parameters in items:
        if name == mine.name:
            check_offer(mine, parameters)
            check_answer(mine, parameters)
    check_agreement(mine, other)


def choose(choices: Choices) -> PerMessageDeflate:
    return PerMessageDeflate(
        server_no_context_takeover=choices.pick((True, False)),
        client_no_context_takeover=choices.pick((True, False)),
        server_max_window_bits=choices.pick(range(15, 7, -1)),
        client_max_window_bits=choices.pick(range(15, 7, -1)),
    )


# The grammar.


def check_tokens(lines: Sequence[str]) -> None:
    found: list[str] | None = None
    with contextlib.suppress(HandshakeError):
        found = parse_token_list(lines, "X")
    listed = [[each.strip(" \t") for each in line.split(",") if each.strip(" \t")] for line in lines]
    is_right = all(all(map(is_token, elements)) for elements in listed)
    is_right = is_right and sum(map(len, listed)) <= MAX_LISTED
    assert found == ([token for elements in listed for token in elements] if is_right else None), found


def check_extensions(lines: Sequence[str]) -> tuple[ExtensionItem, ...]:
    """Return what the header lists, nothing where it does not follow the grammar."""
    items: tuple[ExtensionItem, ...] | None = None
    with contextlib.suppress(HandshakeError):
        items = parse_extensions(lines)
    expected = naive_extensions(lines)
    if expected is not None and sum(1 + len(parameters) for _, parameters in expected) > MAX_LISTED:
        expected = None
    assert items == expected, (items, expected)
    if items is None:
        return ()
    written = ", ".join("; ".join([name, *map(written_parameter, parameters)]) for name, parameters in items)
    assert parse_extensions([written]) == items, written
    return items


def written_parameter(parameter: tuple[str, str | None]) -> str:
    return "=".join(word for word in parameter if word is not None)


def naive_extensions(lines: Sequence[str]) -> tuple[ExtensionItem, ...] | None:
    """9.1, with nothing but splitting: at commas, at semicolons, at the first equals sign."""
    items: list[ExtensionItem] = []
    for line in lines:
        for element in filter(None, split_unquoted(line, ",")):
            name, *parameters = split_unquoted(element, ";")
            pairs = [naive_parameter(parameter) for parameter in parameters]
            if not is_token(name) or None in pairs:
                return None
            items.append((name, tuple(pair for pair in pairs if pair is not None)))
    return tuple(items)


def split_unquoted(text: str, separator: str) -> list[str]:
    """Splits outside of quoted strings, and strips what it gets."""
    parts = [""]
    quoted = escaped = False
    for character in text:
        if character == separator and not quoted:
            parts.append("")
            continue
        parts[-1] += character
        quoted ^= character == '"' and not escaped
        escaped = quoted and character == "\\" and not escaped
    return [part.strip(" \t") for part in parts]


def naive_parameter(text: str) -> tuple[str, str | None] | None:
    """Return a parameter, or ``None`` if it is not valid."""
    name, equals, value = (part.strip(" \t") for part in text.partition("="))
    if not is_token(name):
        return None
    if not equals:
        return name, None
    if value.startswith('"'):
        unquoted = naive_unquoted(value)
        value = "" if unquoted is None else unquoted
    return (name, value) if is_token(value) else None


def naive_unquoted(value: str) -> str | None:
    """Return what a quoted string says (RFC 9110, 5.6.4), or ``None`` if it does not end with the text."""
    content, escaped = "", False
    for at, character in enumerate(value[1:], 1):
        if escaped or character not in '"\\':
            content += character
            escaped = False
        elif character == '"':
            return content if at == len(value) - 1 else None
        else:
            escaped = True
    return None


# permessage-deflate.


def naive_numbers(parameters: Parameters, is_answer: bool) -> dict[str, int] | None:
    """Return the parameters, with the flags as 1, or ``None`` if one is not allowed (RFC 7692, 7.1)."""
    numbers: dict[str, int] = {}
    for name, value in parameters:
        if name in numbers:
            return None
        if name in (SERVER_TAKEOVER, CLIENT_TAKEOVER) and value is None:
            numbers[name] = 1
        elif name == CLIENT_BITS and value is None and not is_answer:
            numbers[name] = 15
        elif name in (SERVER_BITS, CLIENT_BITS) and value in ("8", "9", "10", "11", "12", "13", "14", "15"):
            numbers[name] = int(value)
        else:
            return None
    return numbers


def check_offer(mine: PerMessageDeflate, parameters: Parameters) -> None:
    """Check a server's answer to an offer."""
    asked = naive_numbers(parameters, is_answer=False)
    codec = mine.accept_offer(parameters)
    # zlib cannot deflate with a window of 8 bits.
    if asked is None or asked.get(SERVER_BITS) == 8:
        assert codec is None, asked
        return
    assert codec is not None, asked
    said = numbers_said(codec)
    assert SERVER_TAKEOVER in said or SERVER_TAKEOVER not in asked
    assert said.get(SERVER_BITS, 15) <= asked.get(SERVER_BITS, 15)
    assert SERVER_BITS in said or SERVER_BITS not in asked
    assert CLIENT_BITS not in said or CLIENT_BITS in asked
    assert said.get(CLIENT_BITS, 15) <= asked.get(CLIENT_BITS, 15)
    # What it does is what it said: not more than it may use, and ready for all that the client may use.
    assert 9 <= codec.deflate_bits <= said.get(SERVER_BITS, 15)
    assert codec.inflate_bits == said.get(CLIENT_BITS, 15)
    assert codec.deflate_takeover <= (SERVER_TAKEOVER not in said)
    assert codec.inflate_takeover == (CLIENT_TAKEOVER not in said)


def check_answer(mine: PerMessageDeflate, parameters: Parameters) -> None:
    """Check a client's judgement of an answer."""
    codec = None
    with contextlib.suppress(HandshakeError):
        codec = mine.accept_answer(parameters)
    said = naive_numbers(parameters, is_answer=True)
    if said is None or not fits(mine, said):
        assert codec is None, said
        return
    assert codec is not None, said
    assert codec.inflate_bits == said.get(SERVER_BITS, 15)
    assert 8 <= codec.deflate_bits <= said.get(CLIENT_BITS, 15)
    assert codec.inflate_takeover == (SERVER_TAKEOVER not in said)
    assert codec.deflate_takeover <= (CLIENT_TAKEOVER not in said)


def fits(mine: PerMessageDeflate, said: dict[str, int]) -> bool:
    """Return whether an answer grants what this client asked for, and no more than it offered."""
    return (
        (SERVER_TAKEOVER in said or not mine.server_no_context_takeover)
        and said.get(SERVER_BITS, 15) <= mine.server_max_window_bits
        and said.get(CLIENT_BITS, 8) <= max(mine.client_max_window_bits, 9)
    )


def check_agreement(client: PerMessageDeflate, server: PerMessageDeflate) -> None:
    """Two ends of ours agree on the same, but for a window of 8 bits at the server, which declines it: zlib cannot
    deflate with it."""
    ((_, offered),) = parse_extensions([f"{client.name}; {client.offer()}"])
    servers = server.accept_offer(offered)
    if servers is None:
        assert client.server_max_window_bits == 8
        return
    ((_, answered),) = parse_extensions([servers.parameters])
    clients = client.accept_answer(answered)
    assert servers.deflate_bits <= clients.inflate_bits
    assert clients.deflate_bits <= servers.inflate_bits
    assert servers.deflate_takeover <= clients.inflate_takeover
    assert clients.deflate_takeover <= servers.inflate_takeover


def numbers_said(codec: DeflateCodec) -> dict[str, int]:
    """Return what an answer says."""
    ((_, parameters),) = parse_extensions([codec.parameters])
    numbers = naive_numbers(parameters, is_answer=True)
    assert numbers is not None, codec.parameters
    return numbers
