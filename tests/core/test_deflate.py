"""permessage-deflate (RFC 7692): the negotiation, the output, and the result of any input from a peer.

The examples of RFC 7692 are compared byte for byte. All other data comes from plain zlib, see `deflating.py`.
"""

from __future__ import annotations

import importlib
import random
import tracemalloc
import zlib
from itertools import pairwise
from typing import Any

import pytest
from deflating import (
    MIB,
    TAIL,
    Words,
    agree,
    answer_words,
    both_takeovers,
    codec_of,
    compressing,
    deflated,
    finished,
    fragments,
    inflated,
    words,
)
from helpers import (
    BINARY,
    BOTH_ROLES,
    CLOSE,
    CONT,
    EVERY_CHUNKING,
    PING,
    TEXT,
    Chunking,
    cut_at,
    feed,
    only_closed,
    read_frames,
    share,
    to,
)
from hypothesis import given
from hypothesis import strategies as st
from opening import REQUIRED, asked

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    BytesMessage,
    CloseCode,
    Closed,
    Connection,
    HandshakeError,
    Limits,
    MessageCodec,
    PerMessageDeflate,
    Ping,
    Role,
    TextMessage,
)

BOTH_TAKEOVERS = pytest.mark.parametrize("takeover", [False, True], ids=["anew", "takeover"])

NUMBERS = b"".join(b"%d," % number for number in range(20_000))


# ---- The examples of RFC 7692 7.2.3, byte for byte ----

HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")

EXAMPLES = {
    "7.2.3.1 one frame": "c1 07 f2 48 cd c9 c9 07 00",
    "7.2.3.1 two frames": "41 03 f2 48 cd  80 04 c9 c9 07 00",
    "7.2.3.3 a block without compression": "c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00",
    "7.2.3.4 a block with BFINAL": "c1 08 f3 48 cd c9 c9 07 00 00",
    "7.2.3.5 two blocks": "c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00",
}


def with_rsv1(example: bytes) -> bytes:
    """7.2.3.1 leaves out RSV1 in the byte of its first fragment; section 6 requires it."""
    return bytes([example[0] | 0x40]) + example[1:]


@pytest.mark.clause("7692:6.2-receives-compressed")
@EVERY_CHUNKING
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=list(EXAMPLES))
def test_examples_of_the_rfc_are_read(example: str, chunk: Chunking) -> None:
    connection = compressing(CLIENT)
    assert feed(connection, chunk(with_rsv1(bytes.fromhex(example)))) == [TextMessage("Hello")]


@pytest.mark.clause("7692:6.1-sends-compressed")
def test_7_2_3_1_is_what_we_write() -> None:
    connection = compressing(SERVER)
    connection.send_text("Hello", compress=True)
    assert connection.data_to_send() == bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00")


@pytest.mark.clause("7692:7.2.2-client-keeps-its-window")
def test_7_2_3_2_sharing_the_window_is_what_we_write_and_read() -> None:
    shared = bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00  c1 05 f2 00 11 00 00")
    server, client = compressing(SERVER, takeover=True), compressing(CLIENT, takeover=True)
    server.send_text("Hello")
    server.send_text("Hello")
    assert server.data_to_send() == shared
    assert client.receive_data(shared) == [TextMessage("Hello"), TextMessage("Hello")]


def test_7_2_3_6_an_empty_message_is_one_byte() -> None:
    server, client = compressing(SERVER), compressing(CLIENT)
    server.send_text("", compress=True)
    sent = server.data_to_send()
    payload = read_frames(sent, SERVER)[0].payload
    assert sent == b"\xc1" + bytes([len(payload)]) + payload
    assert inflated([payload], takeover=False) == [b""]
    assert client.receive_data(bytes.fromhex("c1 01 00")) == [TextMessage("")]


# ---- Negotiation: the server ----

# Offer, what the server has set, and its answer; None where it declines.
OFFERS: list[tuple[str, dict[str, Any], str | None]] = [
    ("", {}, ""),
    ("", {"server_max_window_bits": 10}, "server_max_window_bits=10"),
    # 7.1.2.2: the client did not say that it understands the parameter, so it cannot be limited.
    ("", {"client_max_window_bits": 10}, ""),
    ("client_max_window_bits", {}, ""),
    ("client_max_window_bits", {"client_max_window_bits": 10}, "client_max_window_bits=10"),
    ("client_max_window_bits=12", {"client_max_window_bits": 10}, "client_max_window_bits=10"),
    ("client_max_window_bits=9", {"client_max_window_bits": 10}, "client_max_window_bits=9"),
    ("client_max_window_bits=15", {}, ""),
    # A window of 8 is accepted for inflating ...
    ("client_max_window_bits=8", {}, "client_max_window_bits=8"),
    ("client_max_window_bits", {"client_max_window_bits": 8}, "client_max_window_bits=8"),
    # ... and never promised for deflating: zlib cannot do it.
    ("server_max_window_bits=8", {}, None),
    ("server_max_window_bits=9", {}, "server_max_window_bits=9"),
    ("server_max_window_bits=12", {"server_max_window_bits": 10}, "server_max_window_bits=10"),
    # 7.1.2.1: a server accepts the parameter by naming it in its answer, whatever its value.
    ("server_max_window_bits=15", {}, "server_max_window_bits=15"),
    ("", {"server_max_window_bits": 8}, "server_max_window_bits=9"),
    ("server_no_context_takeover", {}, "server_no_context_takeover"),
    ("client_no_context_takeover", {}, "client_no_context_takeover"),
    (
        "client_no_context_takeover; server_no_context_takeover",
        {},
        "server_no_context_takeover; client_no_context_takeover",
    ),
    ("", both_takeovers(False), "server_no_context_takeover; client_no_context_takeover"),
    ("", {"server_no_context_takeover": True}, "server_no_context_takeover"),
    ("", {"client_no_context_takeover": True}, "client_no_context_takeover"),
]


@pytest.mark.clause(
    "6455:9-parameters-fit",
    "6455:9.1-parameters-are-defined",
    "7692:5-answer-is-supported",
    "7692:7-offer-is-declined",
    "7692:7.1.1.1-is-supported",
    "7692:7.1.2.1-number-in-an-answer",
    "7692:7.1.2.2-number-in-an-answer",
    "7692:7.1.2.2-only-if-offered",
)
@pytest.mark.parametrize(("offer", "options", "answer"), OFFERS)
def test_the_server_answers_an_offer(offer: str, options: dict[str, Any], answer: str | None) -> None:
    codec = PerMessageDeflate(**{**both_takeovers(True), **options}).accept_offer(words(offer))
    assert (codec and answer_words(codec)) == (None if answer is None else words(answer))


# RFC 7692 7.1.2: "a decimal integer value without leading zeroes between 8 to 15 inclusive". The last ones are digits
# of other scripts, which int() takes.
BAD_BITS = [
    "", "0", "1", "7", "16", "20", "100", "1000000000", "-8", "+8", "-15", "08", "015", "8.0", "1e1", "0xf", "0b1000",
    "1_0", " 8", "8 ", "8\n", "ten", "None", "true", "nan", "\u0661\u0665", "\uff11\uff15", "\u00b9\u2075", "\u2468",
]  # fmt: skip


@pytest.mark.clause(
    "7692:7-offer-is-declined",
    "7692:7-answer-fails",
    "7692:7.1.2.1-number-in-an-offer",
    "7692:7.1.2.1-number-in-an-answer",
    "7692:7.1.2.2-number-in-an-offer",
    "7692:7.1.2.2-number-in-an-answer",
)
@pytest.mark.parametrize("name", ["server_max_window_bits", "client_max_window_bits"])
@pytest.mark.parametrize("value", BAD_BITS)
def test_a_bad_number_declines_the_offer_and_fails_the_answer(name: str, value: str) -> None:
    assert PerMessageDeflate().accept_offer([(name, value)]) is None
    with pytest.raises(HandshakeError):
        PerMessageDeflate(**both_takeovers(True)).accept_answer([(name, value)])


BAD_PARAMETERS: list[Words] = [
    [("server_max_window_bits", None)],
    [("server_no_context_takeover", "")],
    [("server_no_context_takeover", "1")],
    [("client_no_context_takeover", "true")],
    [("server_no_context_takeover", None)] * 2,
    [("client_no_context_takeover", None)] * 2,
    [("client_max_window_bits", "10")] * 2,
    [("client_max_window_bits", "10"), ("client_max_window_bits", "12")],
    [("server_max_window_bits", "10"), ("server_max_window_bits", "10")],
    [("unknown", None)],
    [("", None)],
    [("__class__", None)],
    [("Server_No_Context_Takeover", None)],
    [("server_max_window_bits ", "10")],
]


@pytest.mark.clause("7692:7-offer-is-declined", "7692:7-answer-fails")
@pytest.mark.parametrize("parameters", BAD_PARAMETERS)
def test_bad_parameters_decline_the_offer_and_fail_the_answer(parameters: Words) -> None:
    """7.1: unknown names, values that are not allowed, and the same name twice."""
    assert PerMessageDeflate().accept_offer(parameters) is None
    with pytest.raises(HandshakeError):
        PerMessageDeflate(**both_takeovers(True)).accept_answer(parameters)


# What browsers send. Chromium since 2014, Firefox since version 36; Safari before 15 had its own extension only.
CHROMIUM = "permessage-deflate; client_max_window_bits"
FIREFOX = "permessage-deflate"
SAFARI = "permessage-deflate"
OLD_SAFARI = "x-webkit-deflate-frame"

BOTH = "server_no_context_takeover; client_no_context_takeover"
# What a server says that lays nothing on a client which did not offer it.
OWN = "server_no_context_takeover"

HEADERS: list[tuple[list[str], dict[str, Any], str | None]] = [
    ([CHROMIUM], {}, f"{OWN}; client_max_window_bits=11"),
    ([CHROMIUM], both_takeovers(True), ""),
    ([CHROMIUM], both_takeovers(False), BOTH),
    ([CHROMIUM], {"client_max_window_bits": 12}, f"{OWN}; client_max_window_bits=12"),
    ([CHROMIUM], {"client_max_window_bits": 15}, OWN),
    ([FIREFOX], {}, OWN),
    ([FIREFOX], {"client_no_context_takeover": True}, BOTH),
    ([FIREFOX], {"client_max_window_bits": 11}, OWN),
    ([FIREFOX], {"client_max_window_bits": 11, "require_client_max_window_bits": True}, None),
    ([CHROMIUM], {"client_max_window_bits": 12, "require_client_max_window_bits": True},
        f"{OWN}; client_max_window_bits=12"),
    ([FIREFOX, CHROMIUM], {"require_client_max_window_bits": True}, f"{OWN}; client_max_window_bits=11"),
    ([SAFARI], both_takeovers(True), ""),
    ([OLD_SAFARI], {}, None),
    ([f"{OLD_SAFARI}, {SAFARI}"], {}, OWN),
    # Several offers: the first that is acceptable wins.
    (["permessage-deflate; server_max_window_bits=8, permessage-deflate"], {}, OWN),
    (["permessage-deflate; x, permessage-deflate; client_max_window_bits"], {}, f"{OWN}; client_max_window_bits=11"),
    (["permessage-deflate; client_max_window_bits=9, permessage-deflate"], {}, f"{OWN}; client_max_window_bits=9"),
    (["permessage-deflate; bogus", "permessage-deflate"], {}, OWN),
    (["permessage-deflate; bogus, permessage-deflate; server_max_window_bits=0"], {}, None),
    # A quoted value means what it says without the quotes (9.1).
    (['permessage-deflate; client_max_window_bits="10"'], {}, f"{OWN}; client_max_window_bits=10"),
    (['permessage-deflate; client_max_window_bits="1\\0"'], {}, f"{OWN}; client_max_window_bits=10"),
    (['permessage-deflate; client_max_window_bits="16"'], {}, None),
    (["x-other; client_max_window_bits=10"], {}, None),
    (["permessage-deflate-2"], {}, None),
    (["__class__, constructor, __proto__"], {}, None),
]  # fmt: skip


@pytest.mark.clause(
    "6455:4.2.2-no-other-extensions",
    "6455:9-only-what-was-requested",
    "6455:9.1-name-is-registered",
    "7692:5-answer-names-it",
    "7692:5-declined-is-not-named",
    "7692:7.1.2.2-only-if-offered",
)
@pytest.mark.parametrize(("lines", "options", "answer"), HEADERS)
def test_the_header_of_a_request(lines: list[str], options: dict[str, Any], answer: str | None) -> None:
    extension = PerMessageDeflate(**options)
    request = [*REQUIRED.items(), *(("Sec-WebSocket-Extensions", line) for line in lines)]
    handshake = asked("GET", "/", request, extensions=[extension])
    connection = handshake.accept()
    assert handshake.response is not None
    header = handshake.response.headers.get("Sec-WebSocket-Extensions")
    if answer is None:
        assert header is None
        assert connection.extensions == ()
    else:
        assert header is not None
        assert words(header) == [("permessage-deflate", None), *words(answer)]
        assert [codec.parameters for codec in connection.extensions] == [header]


# ---- Negotiation: the client ----

# What the client has set, and its offer.
CLIENT_OFFERS: list[tuple[dict[str, Any], str]] = [
    ({}, "client_max_window_bits"),
    (both_takeovers(False), f"{BOTH}; client_max_window_bits"),
    ({"server_max_window_bits": 8}, "server_max_window_bits=8; client_max_window_bits"),
    ({"server_max_window_bits": 12}, "server_max_window_bits=12; client_max_window_bits"),
    ({"client_max_window_bits": 12}, "client_max_window_bits=12"),
    # 8 is never promised for deflating.
    ({"client_max_window_bits": 8}, "client_max_window_bits=9"),
]


@pytest.mark.clause(
    "6455:9-parameters-fit",
    "6455:9.1-parameters-are-defined",
    "7692:5-offer-tells-the-window",
    "7692:7.1.2.1-number-in-an-offer",
    "7692:7.1.2.2-number-in-an-offer",
)
@pytest.mark.parametrize(("options", "offer"), CLIENT_OFFERS)
def test_the_client_offers(options: dict[str, Any], offer: str) -> None:
    assert words(PerMessageDeflate(**{**both_takeovers(True), **options}).offer()) == words(offer)


# What the client has set, the server's answer, and whether it fits.
ANSWERS: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "", True),
    ({}, "server_no_context_takeover", True),
    ({}, "client_no_context_takeover", True),
    ({}, "server_max_window_bits=8", True),
    ({}, "server_max_window_bits=15", True),
    # 7.1.2.2: 8 is allowed too, though zlib cannot deflate with it.
    ({}, "client_max_window_bits=8", True),
    ({"client_max_window_bits": 8}, "client_max_window_bits=8", True),
    ({}, "client_max_window_bits=9", True),
    ({}, "client_max_window_bits=15", True),
    # 7.1.2.2: in an answer the parameter has a value.
    ({}, "client_max_window_bits", False),
    # 7.1.1.1: a server that does not accept what was asked for must decline the offer.
    ({"server_no_context_takeover": True}, "", False),
    ({"server_no_context_takeover": True}, "server_no_context_takeover", True),
    # What a client tells of itself need not be repeated (7.1.1.2).
    ({"client_no_context_takeover": True}, "", True),
    ({"server_max_window_bits": 10}, "", False),
    ({"server_max_window_bits": 10}, "server_max_window_bits=11", False),
    ({"server_max_window_bits": 10}, "server_max_window_bits=10", True),
    ({"server_max_window_bits": 10}, "server_max_window_bits=8", True),
    ({"client_max_window_bits": 10}, "", True),
    ({"client_max_window_bits": 10}, "client_max_window_bits=9", True),
    ({"client_max_window_bits": 10}, "client_max_window_bits=11", False),
]


@pytest.mark.clause(
    "7692:5-bad-answer-fails",
    "7692:7-answer-fails",
    "7692:7.1.1.2-is-supported",
    "7692:7.1.2.2-number-in-an-answer",
    "7692:7.2.1-client-window",
    "7692:7.2.2-client-keeps-to-what-was-agreed",
)
@pytest.mark.parametrize(("options", "answer", "fits"), ANSWERS)
def test_the_client_reads_an_answer(options: dict[str, Any], answer: str, fits: bool) -> None:
    client = PerMessageDeflate(**{**both_takeovers(True), **options})
    if not fits:
        with pytest.raises(HandshakeError) as caught:
            client.accept_answer(words(answer))
        assert "permessage-deflate" in caught.value.reason
        return
    connection = Connection(CLIENT, [client.accept_answer(words(answer))])
    connection.send_bytes(NUMBERS, compress=True)
    (sent,) = read_frames(connection.data_to_send(), CLIENT)
    limit = int(dict(words(answer)).get("client_max_window_bits") or 15)
    bits = min(limit, options.get("client_max_window_bits", 15))
    assert inflated([sent.payload], takeover=True, bits=bits) == [NUMBERS]


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        ({}, "x=1", "an unknown parameter 'x'"),
        ({}, "server_max_window_bits=10; server_max_window_bits=10", "server_max_window_bits comes twice"),
        ({}, "server_no_context_takeover=1", "server_no_context_takeover takes no value, but has '1'"),
        ({}, "client_max_window_bits", "client_max_window_bits takes a number from 8 to 15, not None"),
        ({}, "server_max_window_bits=16", "server_max_window_bits takes a number from 8 to 15, not '16'"),
        ({"server_no_context_takeover": True}, "", "server_no_context_takeover was requested but not granted"),
        ({"server_max_window_bits": 10}, "", "a window of 15 bits, although 10 were requested"),
        (
            {"client_max_window_bits": 10},
            "client_max_window_bits=11",
            "client_max_window_bits=11; at most 10 were offered",
        ),
    ],
)
def test_the_client_says_what_does_not_fit(options: dict[str, Any], answer: str, reason: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        PerMessageDeflate(**{**both_takeovers(True), **options}).accept_answer(words(answer))
    error = caught.value
    assert error.reason == f"the server's answer about permessage-deflate does not match the offer: {reason}"
    assert (error.status, error.section) == (None, "RFC 7692 7.1")


@pytest.mark.parametrize(
    ("answer", "parameters"),
    [
        ("", ""),
        ("server_no_context_takeover; client_no_context_takeover", None),
        ("client_no_context_takeover", None),
        ("server_max_window_bits=10; client_max_window_bits=11", None),
        ("server_max_window_bits=15", None),
        ("client_max_window_bits=15", None),
    ],
)
def test_the_clients_codec_tells_what_was_agreed(answer: str, parameters: str | None) -> None:
    codec = PerMessageDeflate(**both_takeovers(True)).accept_answer(words(answer))
    agreed = answer if parameters is None else parameters
    assert codec.parameters == "; ".join(["permessage-deflate", *filter(None, [agreed])])


@pytest.mark.clause("7692:5-bad-answer-fails")
def test_an_answer_to_no_offer_fails_the_handshake() -> None:
    client = rfc6455.ClientHandshake("ws://example.com/", extensions=[])
    key = client.request.headers["Sec-WebSocket-Key"]
    answer = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", rfc6455.accept_key(key)),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ]
    with pytest.raises(HandshakeError):
        client.receive_response(101, answer)


WINDOWS = st.integers(8, 15)
SETTINGS = st.fixed_dictionaries(
    {
        "server_no_context_takeover": st.booleans(),
        "client_no_context_takeover": st.booleans(),
        "server_max_window_bits": WINDOWS,
        "client_max_window_bits": WINDOWS,
        "level": st.integers(-1, 9),
        "mem_level": st.integers(1, 9),
        "threshold": st.sampled_from([0, 1, 64, 1 << 20]),
    }
)


@pytest.mark.clause("7692:5-answer-is-supported")
@given(client=SETTINGS, server=SETTINGS)
def test_two_of_our_ends_understand_each_other(client: dict[str, Any], server: dict[str, Any]) -> None:
    """But for a window of 8 bits at the server, which declines to deflate with it."""
    ours, theirs = PerMessageDeflate(**client), PerMessageDeflate(**server)
    at_server = theirs.accept_offer(words(ours.offer()))
    assert (at_server is None) == (client["server_max_window_bits"] == 8)
    if at_server is not None:
        ours.accept_answer(answer_words(at_server))


@BOTH_TAKEOVERS
@pytest.mark.parametrize("compress", [None, True])
def test_a_client_that_may_use_a_window_of_8_leaves_messages_as_they_are(
    takeover: bool, compress: bool | None
) -> None:
    """zlib cannot deflate with it. If the caller insists, the blocks are stored, which needs no window."""
    codec = PerMessageDeflate(**both_takeovers(takeover), threshold=0).accept_answer(
        words("server_no_context_takeover; client_max_window_bits=8")
    )
    connection = Connection(CLIENT, [codec])
    connection.send_bytes(NUMBERS, compress=compress)
    connection.send_bytes(NUMBERS[:500], fin=False, compress=compress)
    connection.send_bytes(NUMBERS[500:], compress=compress)
    connection.send_prepared(rfc6455.PreparedMessage(NUMBERS, compress=compress))
    data = connection.data_to_send()
    assert len(data) > 3 * len(NUMBERS)
    sent = read_frames(data, CLIENT)
    assert [seen.rsv for seen in sent] == ([0, 0, 0, 0] if compress is None else [4, 4, 0, 4])
    server = Connection(SERVER, [PerMessageDeflate().accept_offer(words("client_max_window_bits=8"))])
    assert feed(server, [data]) == [BytesMessage(NUMBERS)] * 3


@pytest.mark.clause("7692:7.2.1-window-of-32k")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"server_max_window_bits": 7}, ValueError),
        ({"server_max_window_bits": 16}, ValueError),
        ({"server_max_window_bits": None}, TypeError),
        ({"client_max_window_bits": 0}, ValueError),
        ({"client_max_window_bits": "15"}, TypeError),
        ({"client_max_window_bits": True}, TypeError),
        ({"require_client_max_window_bits": None}, TypeError),
        ({"require_client_max_window_bits": 1}, TypeError),
        ({"server_no_context_takeover": 1}, TypeError),
        ({"client_no_context_takeover": "yes"}, TypeError),
        ({"level": -2}, ValueError),
        ({"level": 10}, ValueError),
        ({"level": True}, TypeError),
        ({"mem_level": 0}, ValueError),
        ({"mem_level": 10}, ValueError),
        ({"threshold": -1}, ValueError),
        ({"threshold": 1.5}, TypeError),
        ({"implementation": "zlib_ng"}, TypeError),
        ({"implementation": importlib}, TypeError),  # like the package zlib_ng, in which zlib_ng.zlib_ng is
    ],
)
def test_what_cannot_be_is_refused_when_set(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        PerMessageDeflate(**options)


def test_a_number_out_of_range_is_told_with_its_range() -> None:
    for name, least, most in [
        ("server_max_window_bits", 8, 15),
        ("client_max_window_bits", 8, 15),
        ("level", -1, 9),
        ("mem_level", 1, 9),
        ("threshold", 0, 1 << 62),
    ]:
        for number in (least, most):
            PerMessageDeflate(**{name: number})
        for number in (least - 1, most + 1):
            with pytest.raises(ValueError, match=name) as caught:
                PerMessageDeflate(**{name: number})
            assert str(caught.value) == f"{name} must be a whole number from {least} to {most}, not {number}"


@pytest.mark.clause("7692:7.3-window-of-1024")
def test_the_windows_are_the_largest_by_default() -> None:
    """7.3: "an LZ77 sliding window size of 1,024 or more is RECOMMENDED"."""
    for role in (SERVER, CLIENT):
        codec = codec_of(role)
        assert codec.inflate_bits == codec.deflate_bits == 15  # type: ignore[attr-defined]


# ---- What is sent ----


@pytest.mark.clause("7692:6.1-sends-compressed", "7692:7.2.1-client-begins-anew", "7692:7.2.1-server-begins-anew")
@BOTH_ROLES
@BOTH_TAKEOVERS
def test_plain_zlib_reads_what_we_send(role: Role, takeover: bool) -> None:
    connection = compressing(role, takeover=takeover)
    messages = [NUMBERS[:5000], b"", NUMBERS[:5000], b"x", NUMBERS]
    for message in messages:
        connection.send_bytes(message, compress=True)
    sent = read_frames(connection.data_to_send(), role)
    assert [(seen.opcode, seen.fin, seen.rsv) for seen in sent] == [(BINARY, True, 4)] * len(messages)
    assert inflated([seen.payload for seen in sent], takeover) == messages
    # The second time the message is all in the window, if that was kept.
    assert (len(sent[2].payload) < 100) == takeover


@pytest.mark.clause("7692:6.1-rsv1-on-the-first-frame", "7692:7.2.1-tail-of-a-fragment-stays")
@BOTH_ROLES
@BOTH_TAKEOVERS
def test_fragments_are_one_compressed_message(role: Role, takeover: bool) -> None:
    """6.1: RSV1 is set on the first frame only, and the tail is left out of the last only."""
    connection = compressing(role, takeover=takeover)
    pieces = [b"", NUMBERS[:1000], b"", NUMBERS[1000:2000], b""]
    for _ in range(2):
        for at, piece in enumerate(pieces):
            connection.send_bytes(piece, fin=at == 4, compress=True)
            connection.ping(b"%d" % at)
    sent = [seen for seen in read_frames(connection.data_to_send(), role) if seen.opcode != PING]
    assert [(seen.opcode, seen.fin, seen.rsv) for seen in sent] == [
        (BINARY, False, 4), (CONT, False, 0), (CONT, False, 0), (CONT, False, 0), (CONT, True, 0),
    ] * 2  # fmt: skip
    payloads = [b"".join(seen.payload for seen in sent[:5]), b"".join(seen.payload for seen in sent[5:])]
    assert inflated(payloads, takeover) == [b"".join(pieces)] * 2


@pytest.mark.clause("7692:6.1-sends-as-it-is")
@BOTH_ROLES
@pytest.mark.parametrize(
    ("takeover", "size", "compress", "expected"),
    [
        (False, 63, None, 0),
        (False, 64, None, 4),
        (False, 0, None, 0),
        (False, 0, True, 4),
        (False, 63, True, 4),
        (False, 64, False, 0),
        # With takeover a threshold would be wrong: each message makes the later ones smaller.
        (True, 0, None, 4),
        (True, 1, None, 4),
        (True, 1000, None, 4),
        (True, 1000, False, 0),
    ],
)
def test_when_a_message_is_compressed(
    role: Role, takeover: bool, size: int, compress: bool | None, expected: int
) -> None:
    connection = compressing(role, takeover=takeover)
    connection.send_bytes(bytes(size), compress=compress)
    connection.send_text("a" * size, compress=compress)
    assert [seen.rsv for seen in read_frames(connection.data_to_send(), role)] == [expected] * 2


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_a_last_fragment_that_adds_nothing(role: Role, takeover: bool) -> None:
    sender = compressing(role, takeover=takeover)
    sender.send_text("Hello", fin=False, compress=True)
    sender.send_text("")
    first, last = read_frames(sender.data_to_send(), role)
    assert inflated([first.payload + last.payload], takeover) == [b"Hello"]
    assert last.payload == b"\x00"


@BOTH_ROLES
def test_the_first_fragment_decides_for_the_message(role: Role) -> None:
    connection = compressing(role)
    connection.send_bytes(bytes(100), fin=False, compress=False)
    connection.send_bytes(bytes(100), compress=True)
    connection.send_bytes(b"", fin=False, compress=True)
    connection.send_bytes(bytes(100), compress=False)
    sent = read_frames(connection.data_to_send(), role)
    assert [seen.rsv for seen in sent] == [0, 0, 4, 0]
    assert sent[1].payload == bytes(100)
    assert inflated([sent[2].payload + sent[3].payload], takeover=False) == [bytes(100)]


@pytest.mark.parametrize("size", [500, 1000, 2000, 4000, 8000])
def test_a_small_window_still_holds_the_whole_message(size: int) -> None:
    """The end repeats the beginning, which is found as with the largest window."""
    text = random.Random(size).randbytes(size // 2 - 50).hex().encode()
    message = text + text[:100]
    encoded = codec_of(SERVER).encode(message, True)
    assert inflated([encoded], takeover=False) == [message]
    assert len(encoded) <= len(deflated(message, level=6)) + 2


@pytest.mark.clause("7692:6.1-sends-as-it-is")
@BOTH_ROLES
def test_a_message_sent_as_it_is_leaves_the_window_alone(role: Role) -> None:
    connection, peer = compressing(role, takeover=True), compressing(role.peer, takeover=True)
    for compress in (True, False, True, None):
        connection.send_bytes(NUMBERS[:3000], compress=compress)
    assert feed(peer, [connection.data_to_send()]) == [BytesMessage(NUMBERS[:3000])] * 4


@pytest.mark.clause("7692:7.2.1-window-of-32k", "7692:7.2.1-client-window", "7692:7.2.1-server-window")
@BOTH_ROLES
@pytest.mark.parametrize("bits", range(8, 16))
def test_no_reference_leaves_the_window_that_was_agreed(role: Role, bits: int) -> None:
    """zlib refuses a distance beyond its window, so an inflater of exactly that window is the judge."""
    side = "server" if role is SERVER else "client"
    far_apart = bytes(range(256)) * 2
    message = far_apart + NUMBERS[: 1 << 15] + far_apart
    connection = Connection(role, [codec_of(role, **{f"{side}_max_window_bits": max(bits, 9)})])
    connection.send_bytes(message)
    (sent,) = read_frames(connection.data_to_send(), role)
    assert inflated([sent.payload], takeover=False, bits=max(bits, 9)) == [message]


@pytest.mark.clause("7692:7.2.1-client-begins-anew", "7692:7.2.1-server-begins-anew")
@BOTH_ROLES
@pytest.mark.parametrize("size", [0, 1, 2, 31, 32, 249, 250, 251, 506, 507, 762, 763, 4096, 32506, 32507, 70000])
@pytest.mark.parametrize("mem_level", [1, 8, 9])
def test_a_message_of_any_size_begins_anew(role: Role, size: int, mem_level: int) -> None:
    """Without takeover the window is chosen to fit the message; these are sizes around each choice."""
    message = (NUMBERS * 2)[:size]
    connection = Connection(role, [codec_of(role, mem_level=mem_level)])
    connection.send_bytes(message, compress=True)
    (sent,) = read_frames(connection.data_to_send(), role)
    assert inflated([sent.payload], takeover=False) == [message]


@pytest.mark.clause("7692:7.1.1.2-is-supported", "7692:7.2.1-client-begins-anew")
def test_a_client_begins_anew_where_the_answer_says_so() -> None:
    """7.1.1.2: a client supports client_no_context_takeover in an answer even if it did not offer it."""
    for answer, takeover in (("", True), ("client_no_context_takeover", False)):
        connection = Connection(CLIENT, [PerMessageDeflate(**both_takeovers(True)).accept_answer(words(answer))])
        for _ in range(2):
            connection.send_bytes(NUMBERS[:5000])
        sent = read_frames(connection.data_to_send(), CLIENT)
        assert inflated([seen.payload for seen in sent], takeover) == [NUMBERS[:5000]] * 2
        assert (len(sent[1].payload) < 100) == takeover


def test_the_level_is_used() -> None:
    sizes = {}
    for level in (0, 1, 9):
        connection = Connection(SERVER, [codec_of(SERVER, level=level)])
        connection.send_bytes(NUMBERS)
        sizes[level] = len(connection.data_to_send())
    assert sizes[0] > len(NUMBERS) > sizes[1]
    assert sizes[1] != sizes[9]


# ---- What is received ----


@pytest.mark.clause("7692:6.2-receives-compressed")
@BOTH_ROLES
@BOTH_TAKEOVERS
@EVERY_CHUNKING
def test_fragments_with_control_frames_between(role: Role, takeover: bool, chunk: Chunking) -> None:
    connection = compressing(role, takeover=takeover)
    payload = deflated(NUMBERS[:400])
    pings = [to(role, PING, b"%d" % at) for at in range(4)]
    frames = fragments(role, BINARY, payload, [0, 1, len(payload) - 2])
    stream = b"".join(part for pair in zip(frames, pings, strict=True) for part in pair)
    assert feed(connection, chunk(stream)) == [
        Ping(b"0"), Ping(b"1"), Ping(b"2"), BytesMessage(NUMBERS[:400]), Ping(b"3"),
    ]  # fmt: skip


@pytest.mark.clause("7692:6.2-receives-as-it-is")
@BOTH_ROLES
@BOTH_TAKEOVERS
def test_messages_as_they_are_between_compressed_ones(role: Role, takeover: bool) -> None:
    connection = compressing(role, takeover=takeover)
    stream = b"".join([
        to(role, TEXT, deflated(b"one"), rsv=4),
        to(role, TEXT, b"two"),
        *fragments(role, TEXT, b"three", [2], rsv=0),
        *fragments(role, TEXT, deflated(b"four"), [2]),
    ])  # fmt: skip
    assert feed(connection, [stream]) == [TextMessage(text) for text in ("one", "two", "three", "four")]


@BOTH_ROLES
@BOTH_TAKEOVERS
@pytest.mark.parametrize("empty", ["00", "02 00", "00 00 00 ff ff 00", "01 00 00 ff ff 00", "03 00 00"])
def test_empty_messages(role: Role, takeover: bool, empty: str) -> None:
    """However an empty message is written, the next one is read."""
    connection = compressing(role, takeover=takeover)
    stream = to(role, TEXT, bytes.fromhex(empty), rsv=4) * 3 + to(role, TEXT, HELLO, rsv=4)
    assert feed(connection, [stream]) == [TextMessage("")] * 3 + [TextMessage("Hello")]


@pytest.mark.exhaustive
@BOTH_ROLES
def test_each_level_and_strategy_is_read(role: Role) -> None:
    connection = compressing(role)
    strategies = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE, zlib.Z_FIXED]
    for level in range(10):
        for strategy in strategies:
            deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
            payload = deflater.compress(NUMBERS) + deflater.flush(zlib.Z_SYNC_FLUSH)
            frame = rfc6455.serialize_frame(
                rfc6455.Frame(rfc6455.Opcode.BINARY, payload[:-4], rsv=4), b"\0\0\0\0" if role is SERVER else None
            )
            assert feed(connection, [frame]) == [BytesMessage(NUMBERS)]


@BOTH_ROLES
@pytest.mark.parametrize("bits", range(8, 16))
def test_every_window_is_accepted_for_inflating(role: Role, bits: int) -> None:
    """What a deflater with a window of 256 bytes writes may refer back by 256; made by hand, as zlib makes none."""
    side = "client" if role is SERVER else "server"
    if role is SERVER:
        codec = PerMessageDeflate().accept_offer([(f"{side}_max_window_bits", str(bits))])
    else:
        codec = PerMessageDeflate(**both_takeovers(True)).accept_answer([(f"{side}_max_window_bits", str(bits))])
    assert codec is not None
    connection = Connection(role, [codec])
    random_bytes = b"".join(b"%c" % (at * 167 % 256) for at in range(256))
    stored = b"\x00" + (256).to_bytes(2, "little") + (256 ^ 0xFFFF).to_bytes(2, "little") + random_bytes
    # A block with fixed codes: length 3 (7 bits 0000001), distance 256 (code 15 with 6 bits 111111), end of block. The
    # next block, which the tail belongs to, begins in the same byte.
    back = bits_to_bytes("0 10  0000001 01111 111111  0000000  000")
    events = feed(connection, [to(role, BINARY, stored + back, rsv=4)])
    assert events == [BytesMessage(random_bytes + random_bytes[:3])]


@pytest.mark.clause(
    "7692:7.2.2-client-keeps-its-window",
    "7692:7.2.2-server-keeps-its-window",
    "7692:7.2.2-client-takes-32k",
    "7692:7.2.2-server-takes-32k",
)
@BOTH_ROLES
@pytest.mark.parametrize("missing", [0, 1])
def test_the_whole_window_is_kept_where_nothing_else_was_agreed(role: Role, missing: int) -> None:
    """7.2.2: each message is inflated with the window of the last one, and with all 32,768 bytes of it."""
    connection = compressing(role, takeover=True)
    earlier = NUMBERS[: (1 << 15) - missing]
    stored = b"\x00" + len(earlier).to_bytes(2, "little") + (len(earlier) ^ 0xFFFF).to_bytes(2, "little") + earlier
    # As above, but with a distance of 32768: code 29 with all of its 13 bits set.
    back = bits_to_bytes("0 10  0000001 11101 1111111111111  0000000  000")
    stream = to(role, BINARY, stored + b"\x00", rsv=4) + to(role, BINARY, back, rsv=4)
    first, second = feed(connection, [stream])
    assert first == BytesMessage(earlier)
    # With one byte less, the reference is to before the beginning.
    assert second.code == CloseCode.INVALID_DATA if missing else second == BytesMessage(earlier[:3])


def bits_to_bytes(text: str) -> bytes:
    """RFC 1951 3.1.1: bits fill a byte from the least significant one; what is missing to a byte is zeros."""
    bits = text.replace(" ", "")
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


# 7.2.3.4. Blocks with BFINAL end a DEFLATE stream, not the message. A sender adds an empty block after the last.
FINAL_BLOCKS = {
    "one": finished(b"one") + b"\x00",
    "two": finished(b"one") + finished(b"two") + b"\x00",
    "then an open stream": finished(b"one") + deflated(b"two"),
    "without the block after it": finished(b"one"),
    "empty": finished(b"") * 5 + b"\x00",
    "large, then another": finished(bytes(70_000)) + finished(b"two") + b"\x00",
    "larger, then an open stream": finished(bytes(300_000)) + deflated(NUMBERS),
    "large, then large": finished(bytes(65_536)) + finished(bytes(65_537)) + finished(bytes(131_072)) + b"\x00",
    "many": b"".join(finished(b"%d" % at) for at in range(7)) + b"\x00",
    "more than goes in at once": b"".join(finished(NUMBERS[at:][:9000]) for at in range(0, 60_000, 9000)) + b"\x00",
}  # fmt: skip


def all_streams(payload: bytes) -> bytes:
    """The meaning of several DEFLATE streams, by plain zlib without any bounds."""
    decoded = b""
    payload += TAIL
    while payload:
        inflater = zlib.decompressobj(-15)
        decoded += inflater.decompress(payload)
        payload = inflater.unused_data
    return decoded


@BOTH_ROLES
@BOTH_TAKEOVERS
@pytest.mark.parametrize("payload", FINAL_BLOCKS.values(), ids=list(FINAL_BLOCKS))
def test_final_blocks_inside_a_message(role: Role, takeover: bool, payload: bytes) -> None:
    connection = compressing(role, takeover=takeover)
    frames = [to(role, BINARY, payload, rsv=4), *fragments(role, BINARY, payload, [1, len(payload) // 2])]
    for frame in (frames[0], b"".join(frames[1:])):
        assert feed(connection, [frame]) == [BytesMessage(all_streams(payload))]
    assert feed(connection, [to(role, TEXT, HELLO, rsv=4)]) == [TextMessage("Hello")]


@BOTH_ROLES
def test_a_stream_that_begins_after_a_final_block_may_go_on_in_the_next_message(role: Role) -> None:
    """With takeover a message may refer to the one before, back to where the last stream began."""
    connection = compressing(role, takeover=True)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = (deflater.compress(b"Hello, world") + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    second = (deflater.compress(b"Hello, world") + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    events = feed(connection, [to(role, TEXT, finished(b"one ") + first, rsv=4), to(role, TEXT, second, rsv=4)])
    assert events == [TextMessage("one Hello, world"), TextMessage("Hello, world")]


# ---- Bad data ----

CORRUPT = {
    "a reserved block type": bits_to_bytes("1 11"),
    "a stored block whose length is wrong": bytes.fromhex("00 05 00 00 00 48 65 6c 6c 6f"),
    "a distance before the beginning": bits_to_bytes("0 10  0000001 00000  0000000"),
    "a code that is not used": bits_to_bytes("0 10  11000110"),
    "too many codes": bytes.fromhex("fc ff ff ff"),
    "no code for the end of the block": bits_to_bytes("0 01  00000 00000 0000" + " 000" * 4 + "0" * 258),
    "a zlib header": zlib.compress(b"Hello"),
    "plain text": b"Hello, this was never compressed",
}


@BOTH_ROLES
@BOTH_TAKEOVERS
@pytest.mark.parametrize("payload", CORRUPT.values(), ids=list(CORRUPT))
def test_corrupt_data_is_1007(role: Role, takeover: bool, payload: bytes) -> None:
    connection = compressing(role, takeover=takeover)
    closed = only_closed(feed(connection, [to(role, BINARY, payload, rsv=4)]))
    assert closed.code == CloseCode.INVALID_DATA
    assert isinstance(closed.error, rfc6455.RemoteProtocolError)
    assert closed.error.section.startswith("RFC 7692")


def test_the_error_says_what_zlib_found() -> None:
    closed = only_closed(feed(compressing(SERVER), [to(SERVER, BINARY, CORRUPT["a reserved block type"], rsv=4)]))
    assert closed.error is not None
    assert closed.error.reason == (
        "a compressed message that does not inflate (Error -3 while decompressing data: invalid block type)"
    )


def test_the_error_says_that_a_message_is_cut_off() -> None:
    a_block_without_its_bytes = bytes.fromhex("01 05 00 fa ff")
    closed = only_closed(feed(compressing(SERVER), [to(SERVER, BINARY, a_block_without_its_bytes, rsv=4)]))
    assert closed.error is not None
    assert closed.error.reason == "a compressed message that ends within a block"


@BOTH_ROLES
def test_corrupt_data_in_the_first_fragment_is_refused_at_once(role: Role) -> None:
    connection = compressing(role)
    frame = to(role, BINARY, CORRUPT["a reserved block type"], fin=False, rsv=4)
    assert only_closed(feed(connection, [frame])).code == CloseCode.INVALID_DATA


@pytest.mark.clause("7692:7.2.2-server-keeps-its-window")
@BOTH_ROLES
def test_a_reference_to_an_earlier_message_needs_takeover(role: Role) -> None:
    shared = [to(role, TEXT, HELLO, rsv=4), to(role, TEXT, bytes.fromhex("f2 00 11 00 00"), rsv=4)]
    assert feed(compressing(role, takeover=True), shared) == [TextMessage("Hello")] * 2
    events = feed(compressing(role, takeover=False), shared)
    assert events[0] == TextMessage("Hello")
    assert only_closed(events[1:]).code == CloseCode.INVALID_DATA


@BOTH_ROLES
def test_text_that_is_not_utf8_once_inflated_is_1007(role: Role) -> None:
    closed = only_closed(feed(compressing(role), [to(role, TEXT, deflated(b"\xff"), rsv=4)]))
    assert closed.code == CloseCode.INVALID_DATA
    assert isinstance(closed.error, rfc6455.RemoteProtocolError)
    assert closed.error.section == "8.1"


@BOTH_ROLES
def test_a_message_that_is_cut_off_is_1007(role: Role) -> None:
    """7.2.2: the message ends inside a block, so that the four bytes that a receiver adds mean something else."""
    for payload in (
        b"",
        HELLO[:-1],
        HELLO[:3],
        bytes.fromhex("00 09 00 f6 ff 48"),
        bytes.fromhex("01 05 00 fa ff"),
        deflated(NUMBERS)[:-20],
    ):
        closed = only_closed(feed(compressing(role), [to(role, BINARY, payload, rsv=4)]))
        assert closed.code == CloseCode.INVALID_DATA


@BOTH_ROLES
def test_a_message_that_is_cut_off_to_nothing_is_1007_after_a_good_one_too(role: Role) -> None:
    good, cut = to(role, TEXT, HELLO, rsv=4), to(role, TEXT, b"", rsv=4)
    events = feed(compressing(role), [good, cut])
    assert events[0] == TextMessage("Hello")
    assert only_closed(events[1:]).code == CloseCode.INVALID_DATA


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_any_bytes_at_all_are_messages_or_an_end(role: Role, takeover: bool) -> None:
    @given(payloads=st.lists(st.binary(max_size=60), max_size=5), cuts=st.lists(st.integers(0, 200), max_size=4))
    def run(payloads: list[bytes], cuts: list[int]) -> None:
        connection = compressing(role, takeover=takeover, limits=Limits(message=5000))
        stream = b"".join(to(role, BINARY, payload, rsv=4) for payload in payloads)
        events = feed(connection, cut_at(stream, cuts))
        for event in events[:-1]:
            assert isinstance(event, BytesMessage)
        if events and isinstance(events[-1], Closed):
            assert events[-1].code in (CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG)
        else:
            assert len(events) == len(payloads)

    run()


# ---- Limits ----


@pytest.mark.exhaustive
@BOTH_ROLES
@pytest.mark.parametrize("takeover", [False, True], ids=["anew", "takeover"])
@pytest.mark.parametrize("limit", [1, 1000, 65_536 - 150, 65_536])
def test_every_overshoot_is_refused(role: Role, takeover: bool, limit: int) -> None:
    """With 1 to 300 bytes too many: 1009, and never a truncated message. With none too many: the next message is
    read."""
    for overshoot in range(301):
        connection = compressing(role, takeover=takeover, limits=Limits(message=limit))
        events = feed(connection, [to(role, BINARY, deflated(bytes(limit + overshoot)), rsv=4)])
        if overshoot:
            assert only_closed(events).code == CloseCode.MESSAGE_TOO_BIG
            assert feed(connection, [to(role, BINARY, b"late")]) == []
        else:
            assert events == [BytesMessage(bytes(limit))]
            assert feed(connection, [to(role, BINARY, deflated(b"!"), rsv=4)]) == [BytesMessage(b"!")]


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize("overshoot", [0, 1, 2, 300, 10_000_000])
def test_a_first_fragment_that_is_exactly_at_the_limit(role: Role, overshoot: int) -> None:
    """What is left for the second is 0, which zlib would take for "no limit"."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = deflater.compress(bytes(1000)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    second = (deflater.compress(bytes(overshoot)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    connection = compressing(role, limits=Limits(message=1000))
    assert feed(connection, [to(role, BINARY, first, fin=False, rsv=4)]) == []
    tracemalloc.start()
    try:
        events = feed(connection, [to(role, CONT, second)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if overshoot:
        assert only_closed(events).code == CloseCode.MESSAGE_TOO_BIG
    else:
        assert events == [BytesMessage(bytes(1000))]
    assert peak < MIB


@BOTH_ROLES
def test_the_limit_of_a_frame_counts_bytes_on_the_wire(role: Role) -> None:
    payload = deflated(bytes(90_000))
    connection = compressing(role, limits=Limits(frame=len(payload)))
    assert feed(connection, [to(role, BINARY, payload, rsv=4)]) == [BytesMessage(bytes(90_000))]
    header = to(role, BINARY, rsv=4, declared=len(payload) + 1)
    assert only_closed(feed(connection, [header])).code == CloseCode.MESSAGE_TOO_BIG


# ---- Memory of the zlib objects ----


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_zlib_objects_are_made_when_first_used(role: Role, takeover: bool) -> None:
    """And are gone again between messages where nothing is taken over."""
    connection = compressing(role, takeover=takeover)
    assert connection.retained_bytes == 0
    connection.send_bytes(b"as it is", compress=False)
    feed(connection, [to(role, TEXT, b"as it is")])
    assert connection.retained_bytes == 0
    feed(connection, [to(role, TEXT, HELLO, rsv=4)])
    inflating = connection.retained_bytes
    connection.send_bytes(b"compressed", compress=True)
    both = connection.retained_bytes
    if takeover:
        assert 1 << 15 < inflating < 50_000
        assert inflating + (1 << 18) < both < 350_000
    else:
        assert both == 0
    feed(connection, [to(role, TEXT, deflated(NUMBERS), fin=False, rsv=4)])
    assert connection.retained_bytes >= 1 << 15


@pytest.mark.measured
@BOTH_ROLES
@pytest.mark.parametrize(("bits", "mem_level"), [(9, 1), (10, 5), (12, 8), (15, 8), (15, 9)])
def test_what_zlib_takes_is_told(role: Role, bits: int, mem_level: int) -> None:
    """`retained_bytes` is at least what tracemalloc sees, and at most 16 KiB more than that for each zlib object."""
    windows = {"server_max_window_bits": bits, "client_max_window_bits": bits}
    payload = deflated(NUMBERS, bits=bits)

    def codec_and_what_it_takes() -> tuple[MessageCodec, int]:
        codec = codec_of(role, mem_level=mem_level, **both_takeovers(True), **windows)
        data = payload
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            while codec.decode(data, True) or codec.has_more:
                data = b""
            codec.encode(NUMBERS, True)
            return codec, tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

    codec_and_what_it_takes()  # the first use of the code takes more
    codec, taken = codec_and_what_it_takes()
    assert taken <= codec.retained_bytes + 1000
    assert codec.retained_bytes <= taken + (32 << 10)


def test_input_that_waits_is_told() -> None:
    codec = codec_of(SERVER)
    assert not codec.has_more
    payload = deflated(random.Random(1).randbytes(100_000))
    codec.decode(payload, True)
    assert codec.has_more
    assert len(payload) + (1 << 15) < codec.retained_bytes < len(payload) + (1 << 16)


def test_a_client_that_says_nothing_of_its_window_may_use_the_whole() -> None:
    """7.1.2.2: without client_max_window_bits in the offer, the window is of 32,768 bytes."""
    codec = PerMessageDeflate().accept_offer([])
    assert codec is not None
    far = random.Random(2).randbytes(16_000)
    message = far + bytes(16_000) + far
    assert codec.decode(deflated(message), True) == message


def test_a_codec_that_was_dropped_has_nothing_more() -> None:
    codec = codec_of(SERVER)
    codec.decode(deflated(bytes(MIB)), True)
    assert codec.has_more
    codec.drop()
    assert (codec.has_more, codec.retained_bytes) == (False, 0)


@BOTH_ROLES
@BOTH_TAKEOVERS
def test_a_connection_that_has_ended_keeps_nothing_of_zlib(role: Role, takeover: bool) -> None:
    connection = compressing(role, takeover=takeover)
    connection.send_bytes(NUMBERS, fin=False, compress=True)
    feed(connection, [to(role, BINARY, deflated(NUMBERS), fin=False, rsv=4)])
    assert connection.retained_bytes > 1 << 18
    feed(connection, [to(role, CONT, CORRUPT["plain text"])])
    assert connection.closed
    assert connection.retained_bytes == 0


# ---- Other implementations of DEFLATE ----


class CountingZlib:
    """zlib that records the size of each portion that it has to inflate."""

    error = zlib.error

    def __init__(self) -> None:
        self.portions: list[int] = []

    def decompressobj(self, window_bits: int) -> Any:
        return CountingInflater(self.portions, zlib.decompressobj(window_bits))


class CountingInflater:
    def __init__(self, portions: list[int], inflater: Any) -> None:
        self._portions = portions
        self._inflater = inflater

    def decompress(self, portion: bytes, most: int) -> bytes:
        self._portions.append(len(portion))
        inflated: bytes = self._inflater.decompress(portion, most)
        return inflated

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inflater, name)


@BOTH_ROLES
def test_a_small_message_is_inflated_at_once_however_many_came_before(role: Role) -> None:
    """Many final blocks make the portions of one message small; each message begins with large ones."""
    implementation = CountingZlib()
    codec = codec_of(role, implementation=implementation, **both_takeovers(False))
    message = NUMBERS[:1000]
    for _ in range(20):
        assert codec.decode(deflated(message), True) == message
        assert not codec.has_more
    assert len(implementation.portions) == 20


def portions_of(payload: bytes) -> list[int]:
    """Return the sizes of the portions in which one message is passed to zlib."""
    implementation = CountingZlib()
    codec = codec_of(SERVER, implementation=implementation, **both_takeovers(False))
    codec.decode(payload, True)
    while codec.has_more:
        codec.decode(b"", True)
    return implementation.portions


def test_many_final_blocks_make_the_portions_small_and_other_data_makes_them_large_again() -> None:
    """zlib copies what it is given behind a final block: half as much at each, at least 64 bytes, at most 16 KiB."""
    plain = deflated(random.Random(1).randbytes(100_000))
    assert max(portions_of(plain)) == 16 << 10
    blocks = 15
    portions = portions_of(finished(b"") * blocks + plain)
    assert portions[:blocks] == [16 << 10 >> min(at, 8) for at in range(blocks)]
    assert portions[blocks : blocks + 8] == [64 << at for at in range(8)]
    assert portions[blocks + 8 : -2] == [16 << 10] * len(portions[blocks + 8 : -2])


# What the extra "deflate" installs, and the levels that each has.
IMPLEMENTATIONS = [("zlib", range(-1, 10)), ("zlib_ng.zlib_ng", range(-1, 10)), ("isal.isal_zlib", range(-1, 4))]


@pytest.mark.exhaustive
@BOTH_ROLES
@BOTH_TAKEOVERS
@pytest.mark.parametrize(("name", "levels"), IMPLEMENTATIONS, ids=[name for name, _ in IMPLEMENTATIONS])
def test_another_implementation(role: Role, takeover: bool, name: str, levels: range) -> None:
    implementation = importlib.import_module(name) if name == "zlib" else pytest.importorskip(name)
    for level in levels:
        options = {**both_takeovers(takeover), "implementation": implementation, "level": level}
        connection = Connection(role, [codec_of(role, **options)])
        plain = compressing(role.peer, takeover=takeover)
        messages = [NUMBERS, b"", NUMBERS[:5000], b"x" * 100, NUMBERS]
        for message in messages:
            connection.send_bytes(message, compress=True)
            plain.send_bytes(message, compress=True)
        assert feed(plain, [connection.data_to_send()]) == [BytesMessage(message) for message in messages]
        assert feed(connection, [plain.data_to_send()]) == [BytesMessage(message) for message in messages]
        connection.send_bytes(NUMBERS[:1000], fin=False)
        connection.send_bytes(b"", fin=False)
        connection.send_bytes(b"")
        assert feed(plain, [connection.data_to_send()]) == [BytesMessage(NUMBERS[:1000])]


@BOTH_ROLES
@pytest.mark.parametrize("name", [name for name, _ in IMPLEMENTATIONS])
def test_another_implementation_keeps_the_limit(role: Role, name: str) -> None:
    implementation = importlib.import_module(name) if name == "zlib" else pytest.importorskip(name)
    for overshoot in (*range(4), 300, 10_000_000):
        codec = codec_of(role, implementation=implementation)
        connection = Connection(role, [codec], limits=Limits(message=70_000))
        events = feed(connection, [to(role, BINARY, deflated(bytes(70_000 + overshoot)), rsv=4)])
        if overshoot:
            assert only_closed(events).code == CloseCode.MESSAGE_TOO_BIG
        else:
            assert events == [BytesMessage(bytes(70_000))]


@BOTH_ROLES
@BOTH_TAKEOVERS
@pytest.mark.parametrize("name", [name for name, _ in IMPLEMENTATIONS])
def test_another_implementation_and_bad_data(role: Role, takeover: bool, name: str) -> None:
    implementation = importlib.import_module(name) if name == "zlib" else pytest.importorskip(name)
    for payload in CORRUPT.values():
        codec = codec_of(role, implementation=implementation, **both_takeovers(takeover))
        closed = only_closed(feed(Connection(role, [codec]), [to(role, BINARY, payload, rsv=4)]))
        assert closed.code == CloseCode.INVALID_DATA
    for payload in FINAL_BLOCKS.values():
        codec = codec_of(role, implementation=implementation, **both_takeovers(takeover))
        frame = to(role, BINARY, payload, rsv=4)
        assert feed(Connection(role, [codec]), [frame]) == [BytesMessage(all_streams(payload))]


@BOTH_ROLES
@pytest.mark.parametrize("name", [name for name, _ in IMPLEMENTATIONS])
def test_each_window_with_another_implementation(role: Role, name: str) -> None:
    implementation = importlib.import_module(name) if name == "zlib" else pytest.importorskip(name)
    for bits in range(9, 16):
        options = {"implementation": implementation, "server_max_window_bits": bits, "client_max_window_bits": bits}
        connection = Connection(role, [codec_of(role, **both_takeovers(True), **options)])
        for _ in range(2):
            connection.send_bytes(NUMBERS)
        sent = read_frames(connection.data_to_send(), role)
        assert inflated([seen.payload for seen in sent], takeover=True, bits=bits) == [NUMBERS] * 2


# ---- Anything at all, between two of our ends and against plain zlib ----

PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.binary(min_size=1, max_size=8).flatmap(lambda unit: st.integers(0, 2000).map(lambda count: unit * count)),
    st.sampled_from([b"", bytes(70_000), NUMBERS[:5000]]),
)
MESSAGES = st.lists(
    st.tuples(
        st.one_of(PAYLOADS, st.text(max_size=100)),
        st.sampled_from([None, True, False]),
        st.lists(st.integers(0, 5000), max_size=3),
    ),
    max_size=6,
)


@pytest.mark.clause("7692:5-agreed-is-used")
@BOTH_ROLES
def test_any_messages_with_any_parameters_in_any_pieces(role: Role) -> None:
    @share(60)
    @given(
        client=SETTINGS.filter(lambda options: options["server_max_window_bits"] > 8),
        server=SETTINGS,
        messages=MESSAGES,
        chunks=st.lists(st.integers(0, 10_000), max_size=10),
    )
    def run(client: dict[str, Any], server: dict[str, Any], messages: list[Any], chunks: list[int]) -> None:
        codecs = agree(PerMessageDeflate(**client), PerMessageDeflate(**server))
        sender, receiver = Connection(role, [codecs[role]]), Connection(role.peer, [codecs[role.peer]])
        for content, compress, cuts in messages:
            send(sender, content, compress, cuts)
        events = feed(receiver, cut_at(sender.data_to_send(), chunks))
        assert events == [
            TextMessage(content) if isinstance(content, str) else BytesMessage(content) for content, _, _ in messages
        ]

    run()


def send(connection: Connection, content: str | bytes, compress: bool | None, cuts: list[int]) -> None:
    """Send a message in fragments, some of which may be empty."""
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    for at, (start, stop) in enumerate(pairwise(edges)):
        fin = at == len(edges) - 2
        if isinstance(content, str):
            connection.send_text(content[start:stop], fin=fin, compress=compress)
        else:
            connection.send_bytes(content[start:stop], fin=fin, compress=compress)


@pytest.mark.clause("7692:6.2-receives-compressed")
@BOTH_ROLES
@BOTH_TAKEOVERS
def test_anything_from_plain_zlib(role: Role, takeover: bool) -> None:
    @share(40)
    @given(
        payloads=st.lists(PAYLOADS, max_size=5),
        level=st.integers(0, 9),
        mem_level=st.integers(1, 9),
        sizes=st.lists(st.integers(0, 50), max_size=3),
        chunks=st.lists(st.integers(0, 10_000), max_size=10),
    )
    def run(payloads: list[bytes], level: int, mem_level: int, sizes: list[int], chunks: list[int]) -> None:
        deflater = zlib.compressobj(level, zlib.DEFLATED, -15, mem_level)
        stream = b""
        for payload in payloads:
            encoded = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
            stream += b"".join(fragments(role, BINARY, encoded[:-4] or b"\x00", sizes))
            if not takeover:
                deflater = zlib.compressobj(level, zlib.DEFLATED, -15, mem_level)
        connection = compressing(role, takeover=takeover)
        assert feed(connection, cut_at(stream, chunks)) == [BytesMessage(payload) for payload in payloads]

    run()


@BOTH_ROLES
def test_nothing_is_kept_when_the_last_answer_was_compressed(role: Role) -> None:
    """The answer to a message that came in one read with the Close goes out after the connection has ended."""
    connection = Connection(role, [codec_of(role, **both_takeovers(True))])
    connection.receive_data(to(role, TEXT, b"question") + to(role, CLOSE, b"\x03\xe8"))
    connection.send_text("answer")
    assert connection.data_to_send()
    assert connection.closed
    assert connection.retained_bytes == 0
