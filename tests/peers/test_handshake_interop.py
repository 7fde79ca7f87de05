"""The opening handshake with other libraries at the other end, in memory."""

from __future__ import annotations

import pytest

pytest.importorskip("websockets")
pytest.importorskip("wsproto")

import websockets.client
import websockets.http11
import websockets.server
import websockets.uri
import wsproto
import wsproto.events
from helpers import EVERY_CHUNKING, Chunking
from opening import (
    ask,
    body_of,
    connect,
)

from rfc6455 import (
    ClientHandshake,
    HandshakeError,
    PerMessageDeflate,
    ServerHandshake,
    TextMessage,
)

# Other libraries at the other end, in memory.

EXTENSIONS_OF_OURS = pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])


def websockets_server(deflate: bool) -> websockets.server.ServerProtocol:
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

    extensions = [ServerPerMessageDeflateFactory()] if deflate else None
    return websockets.server.ServerProtocol(subprotocols=["chat"], extensions=extensions)  # type: ignore[list-item]


@pytest.mark.clause("6455:4.1-establishes", "6455:4.1-request-is-http")
@EVERY_CHUNKING
@EXTENSIONS_OF_OURS
def test_our_client_with_the_server_of_websockets(chunk: Chunking, deflate: bool) -> None:
    ours = ClientHandshake(
        "ws://example.com/x",
        subprotocols=["chat"],
        extensions=[PerMessageDeflate()] if deflate else [],
        origin="http://a",
    )
    theirs = websockets_server(deflate)
    for portion in chunk(ours.data_to_send()):
        theirs.receive_data(portion)
    (got,) = theirs.events_received()
    assert isinstance(got, websockets.http11.Request)
    theirs.send_response(theirs.accept(got))
    assert theirs.handshake_exc is None
    theirs.send_text(b"hello")
    ws, events = connect(ours, chunk(b"".join(theirs.data_to_send())))
    assert events == [TextMessage("hello")]
    assert (ws.subprotocol, len(ws.extensions)) == ("chat", int(deflate))


@pytest.mark.clause("6455:4.2.2-answer-is-http")
@EVERY_CHUNKING
@EXTENSIONS_OF_OURS
def test_our_server_with_the_client_of_websockets(chunk: Chunking, deflate: bool) -> None:
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

    theirs = websockets.client.ClientProtocol(
        websockets.uri.parse_uri("ws://example.com:81/x"),
        subprotocols=["chat"],  # type: ignore[list-item]
        extensions=[ClientPerMessageDeflateFactory()] if deflate else None,
    )
    theirs.send_request(theirs.connect())
    ours = ServerHandshake(subprotocols=["chat"], extensions=[PerMessageDeflate()] if deflate else [])
    ask(ours, chunk(b"".join(theirs.data_to_send())))
    ws = ours.accept()
    for portion in chunk(ws.data_to_send()):
        theirs.receive_data(portion)
    assert theirs.handshake_exc is None
    assert theirs.state is websockets.client.OPEN  # type: ignore[attr-defined]
    assert theirs.subprotocol == "chat"
    theirs.send_text(b"hello")
    assert ws.receive_data(b"".join(theirs.data_to_send())) == [TextMessage("hello")]
    assert len(ws.extensions) == int(deflate)


def test_a_refusal_of_websockets_is_understood() -> None:
    ours = ClientHandshake("ws://example.com/x")
    theirs = websockets_server(False)
    theirs.receive_data(ours.data_to_send())
    theirs.events_received()
    theirs.send_response(theirs.reject(403, "Not you.\n"))
    with pytest.raises(HandshakeError, match="403 Forbidden") as caught:
        ours.receive_data(b"".join(theirs.data_to_send()))
    assert body_of(caught.value) == b"Not you.\n"


def test_our_refusal_is_understood_by_websockets() -> None:
    theirs = websockets.client.ClientProtocol(websockets.uri.parse_uri("ws://example.com/x"))
    theirs.send_request(theirs.connect())
    ours = ServerHandshake()
    ours.receive_data(b"".join(theirs.data_to_send()))
    ours.reject(404, (), b"No such room.\n")
    theirs.receive_data(ours.data_to_send())
    (answer,) = theirs.events_received()
    assert isinstance(answer, websockets.http11.Response)
    assert (answer.status_code, answer.body) == (404, b"No such room.\n")


@pytest.mark.clause("6455:4.1-request-is-http")
@EVERY_CHUNKING
def test_our_client_with_the_server_of_wsproto(chunk: Chunking) -> None:
    ours = ClientHandshake("ws://example.com/x", subprotocols=["a", "chat"])
    theirs = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    for portion in chunk(ours.data_to_send()):
        theirs.receive_data(portion)
    (got,) = theirs.events()
    assert isinstance(got, wsproto.events.Request)
    assert (got.target, got.subprotocols) == ("/x", ["a", "chat"])
    sent = theirs.send(wsproto.events.AcceptConnection(subprotocol="chat"))
    sent += theirs.send(wsproto.events.TextMessage("hello"))
    ws, events = connect(ours, chunk(sent))
    assert events == [TextMessage("hello")]
    assert ws.subprotocol == "chat"


@pytest.mark.clause("6455:4.2.2-answer-is-http")
@EVERY_CHUNKING
def test_our_server_with_the_client_of_wsproto(chunk: Chunking) -> None:
    theirs = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    sent = theirs.send(wsproto.events.Request("example.com", "/x", subprotocols=["chat"]))
    ours = ServerHandshake(subprotocols=["chat"])
    ask(ours, chunk(sent))
    ws = ours.accept()
    ws.send_text("hello")
    for portion in chunk(ws.data_to_send()):
        theirs.receive_data(portion)
    accept, message = theirs.events()
    assert isinstance(accept, wsproto.events.AcceptConnection)
    assert accept.subprotocol == "chat"
    assert message == wsproto.events.TextMessage("hello")


def test_our_refusal_is_understood_by_wsproto() -> None:
    theirs = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    ours = ServerHandshake()
    ours.receive_data(theirs.send(wsproto.events.Request("example.com", "/x")))
    ours.reject(404, (), b"No such room.\n")
    theirs.receive_data(ours.data_to_send())
    first, *rest = theirs.events()
    assert isinstance(first, wsproto.events.RejectConnection)
    assert first.status_code == 404
    assert b"".join(event.data for event in rest if isinstance(event, wsproto.events.RejectData)) == b"No such room.\n"
