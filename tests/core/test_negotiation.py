"""The negotiation between the two ends (1.9, 4.2.2, 9.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from helpers import cut_at
from hypothesis import given
from hypothesis import strategies as st
from opening import (
    Lines,
    Runs,
    accepted,
    ask,
    client,
    connect,
    refusal,
    request,
    response,
)
from tiny_extension import Shift

from rfc6455 import (
    ClientHandshake,
    Extension,
    HandshakeError,
    LocalProtocolError,
    Parameters,
    PerMessageDeflate,
    ServerHandshake,
    TextMessage,
)

# Subprotocols (1.9, 4.2.2).


@pytest.mark.clause("6455:4.2.2-subprotocol-of-the-client", "6455:4.2.2-no-subprotocol-no-field")
@pytest.mark.parametrize(
    ("asked", "own", "agreed"),
    [
        (None, [], None),
        (None, ["chat"], None),
        ("chat", [], None),
        ("chat, superchat", ["superchat"], "superchat"),
        # the server's preference counts
        ("a, b, c", ["c", "b"], "c"),
        ("a", ["b"], None),
        # names have case
        ("Chat", ["chat"], None),
    ],
)
def test_subprotocol(asked: str | None, own: list[str], agreed: str | None) -> None:
    fields = [] if asked is None else [("Sec-WebSocket-Protocol", asked)]
    ws, answer = accepted(request(*fields), subprotocols=own)
    assert ws.subprotocol == agreed
    # 4.2.2: "it MUST NOT send back a |Sec-WebSocket-Protocol| header field" when it does not agree
    assert answer.get("Sec-WebSocket-Protocol") == agreed


def test_subprotocols_in_several_lines_are_one_list() -> None:
    # 11.3.4
    data = request(("Sec-WebSocket-Protocol", "a"), ("sec-websocket-protocol", "b, c"))
    handshake = ServerHandshake(subprotocols=["c"])
    got = handshake.receive_data(data)
    assert got is not None
    assert got.subprotocols == ["a", "b", "c"]
    assert handshake.accept().subprotocol == "c"


@pytest.mark.clause("6455:4.2.2-subprotocol-of-the-client")
def test_the_application_chooses_the_subprotocol() -> None:
    handshake = ServerHandshake(subprotocols=["a"])
    handshake.receive_data(request(("Sec-WebSocket-Protocol", "a, b")))
    for wrong in ("c", "", "A", "a, b", "b\r\nX: y"):
        with pytest.raises(LocalProtocolError, match="the client did not ask for the subprotocol"):
            handshake.accept(subprotocol=wrong)
    # Nothing has changed, so the right one can still be named, and need not be among the server's own.
    assert handshake.accept(subprotocol="b").subprotocol == "b"


@pytest.mark.parametrize("fields", [[], [("Sec-WebSocket-Protocol", "x, Chat")]])
def test_none_in_common_can_be_refused(fields: Lines) -> None:
    """websocket-sharp #669, akka-http #2042: a clear answer, switchable."""
    assert accepted(request(*fields), subprotocols=["chat", "v2"])[0].subprotocol is None
    error, _, _ = refusal(request(*fields), subprotocols=["chat", "v2"], require_subprotocol=True)
    assert (error.status, error.reason) == (400, "one of these subprotocols is required: chat, v2")
    good = request(("Sec-WebSocket-Protocol", "v2"))
    assert accepted(good, subprotocols=["chat", "v2"], require_subprotocol=True)[0].subprotocol == "v2"


@pytest.mark.clause("6455:4.1-subprotocols-are-tokens", "6455:4.1-subprotocols-are-unique")
@pytest.mark.parametrize("bad", [["a b"], [""], ["a", "a"], ["\xe9"], ["a\r\nX: y"]])
def test_subprotocols_that_can_never_work(bad: Sequence[str]) -> None:
    with pytest.raises(LocalProtocolError):
        ServerHandshake(subprotocols=bad)
    with pytest.raises(LocalProtocolError):
        ClientHandshake("ws://a/", subprotocols=bad)


def test_what_is_agreed_to_may_come_from_generators() -> None:
    handshake = ServerHandshake(
        subprotocols=(name for name in ["a"]),  # type: ignore[arg-type]
        extensions=(it for it in [Shift()]),  # type: ignore[arg-type]
        origins=(it for it in ["https://a.example"]),  # type: ignore[arg-type]
    )
    fields = [("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Extensions", "x-shift; least=0")]
    handshake.receive_data(request(*fields, ("Origin", "https://a.example")))
    ws = handshake.accept()
    assert (ws.subprotocol, len(ws.extensions)) == ("a", 1)
    with pytest.raises(LocalProtocolError, match="is listed twice"):
        client(subprotocols=(name for name in ["a", "a"]))
    with pytest.raises(LocalProtocolError, match="the same name"):
        client(extensions=(it for it in [Shift(), Shift()]))


# Extensions (9.1).


@pytest.mark.clause("6455:4.2.2-extensions-of-the-client", "6455:11.3.2-once-in-a-response")
def test_extensions_are_agreed_in_the_clients_order() -> None:
    data = request(("Sec-WebSocket-Extensions", "x-shift; least=3, permessage-deflate, x-shift; least=3"))
    ws, answer = accepted(data, extensions=[PerMessageDeflate(), Shift(3)])
    assert [codec.reserved_bits for codec in ws.extensions] == [2, 4]
    assert answer["Sec-WebSocket-Extensions"].startswith("x-shift; least=3, permessage-deflate")


@pytest.mark.clause("6455:4.2.2-extensions-of-the-client")
def test_the_first_acceptable_offer_of_several() -> None:
    data = request(
        ("Sec-WebSocket-Extensions", "x-unknown, x-shift, x-shift; least=4"),
        ("Sec-WebSocket-Extensions", "x-shift; least=3"),
    )
    ws, answer = accepted(data, extensions=[Shift(3)])
    assert [codec.parameters for codec in ws.extensions] == ["x-shift; least=3"]
    assert answer["Sec-WebSocket-Extensions"] == "x-shift; least=3"


@pytest.mark.clause("6455:4.2.2-no-other-extensions", "6455:9-only-what-was-requested")
@pytest.mark.parametrize(
    "offer", ["x-unknown", "x-shift; least=4", "x-shift; least=3; least=3", "X-Shift; least=3", "__class__"]
)
def test_what_is_not_acceptable_is_declined(offer: str) -> None:
    ws, answer = accepted(request(("Sec-WebSocket-Extensions", offer)), extensions=[Shift(3)])
    assert ws.extensions == ()
    assert "Sec-WebSocket-Extensions" not in answer


class SameBit(Shift):
    """An extension that claims the reserved bit of permessage-deflate."""

    name = "x-same-bit"

    def _codec(self) -> Any:
        codec = super()._codec()
        codec.reserved_bits = 4
        return codec


@pytest.mark.clause("7692:5-one-owner-of-rsv1", "7692:5-two-owners-of-rsv1-fail")
def test_no_two_codecs_own_one_reserved_bit() -> None:
    data = request(("Sec-WebSocket-Extensions", "x-same-bit; least=0, permessage-deflate, x-shift; least=0"))
    ws, answer = accepted(data, extensions=[PerMessageDeflate(), SameBit(), Shift()])
    assert [codec.reserved_bits for codec in ws.extensions] == [4, 2]
    assert answer["Sec-WebSocket-Extensions"] == "x-same-bit; least=0, x-shift; least=0"
    handshake = client(extensions=[PerMessageDeflate(server_no_context_takeover=False), SameBit()])
    with pytest.raises(HandshakeError, match="claim the same reserved bit"):
        handshake.receive_data(response(("Sec-WebSocket-Extensions", "permessage-deflate, x-same-bit; least=0")))


class Emptying(Extension):
    """Declines every offer, and empties its list of parameters."""

    name = "x-emptying"

    def __init__(self) -> None:
        self.offered: list[Parameters] = []

    def accept_offer(self, parameters: Any) -> None:
        self.offered.append([*parameters])
        parameters.clear()


def test_an_extension_gets_a_list_of_its_own() -> None:
    extension = Emptying()
    for _ in range(2):
        accepted(request(("Sec-WebSocket-Extensions", "x-emptying; a=1; b")), extensions=[extension])
    assert extension.offered == [[("a", "1"), ("b", None)]] * 2


def test_two_extensions_of_one_name_cannot_be_told_apart() -> None:
    for make in (ServerHandshake, client):
        with pytest.raises(LocalProtocolError, match="have the same name"):
            make(extensions=[Shift(1), Shift(2)])  # type: ignore[operator]


def test_an_extension_cannot_write_headers() -> None:
    """CVE-2026-1527 undici: what an extension says of itself is checked like anything else that is written."""

    class Evil(Shift):
        def _codec(self) -> Any:
            codec = super()._codec()
            codec.parameters = "x-shift\r\nX: y"
            return codec

        def offer(self) -> str:
            return "least=0\r\nX: y"

    handshake = ServerHandshake(extensions=[Evil()])
    handshake.receive_data(request(("Sec-WebSocket-Extensions", "x-shift; least=0")))
    with pytest.raises(LocalProtocolError, match="the value of Sec-WebSocket-Extensions"):
        handshake.accept()
    with pytest.raises(LocalProtocolError, match="the value of Sec-WebSocket-Extensions"):
        client(extensions=[Evil()])


# Both ends of ours.

options_st = st.fixed_dictionaries(
    {
        "subprotocols": st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
        "extensions": st.lists(st.sampled_from([Shift(), Runs(), PerMessageDeflate()]), unique_by=lambda e: e.name),
    }
)


@given(options_st, options_st, st.lists(st.integers(0, 500), max_size=5), st.lists(st.integers(0, 500), max_size=5))
def test_our_ends_agree(ours: Any, theirs: Any, up: list[int], down: list[int]) -> None:
    near = ClientHandshake("ws://example.com:81/x?y", origin="http://example.com:81", **ours)
    far = ServerHandshake(**theirs)
    assert ask(far, cut_at(near.data_to_send(), up)) == near.request
    server_ws = far.accept()
    server_ws.send_text("hello")
    client_ws, events = connect(near, cut_at(server_ws.data_to_send(), down))
    assert events == [TextMessage("hello")]
    assert client_ws.subprotocol == server_ws.subprotocol
    common = [name for name in theirs["subprotocols"] if name in ours["subprotocols"]]
    assert client_ws.subprotocol == (common[0] if common else None)
    parameters = [[codec.parameters for codec in ws.extensions] for ws in (client_ws, server_ws)]
    assert parameters[0] == parameters[1]
    client_ws.send_text("back")
    assert server_ws.receive_data(client_ws.data_to_send()) == [TextMessage("back")]
