"""permessage-deflate against `websockets` in memory, and against `websockets` and `aiohttp` over sockets, both roles.

Each parameter is set in turn, at either end, with a whole opening handshake, so the negotiation is between these peers
and us. Then messages are sent in both directions, the same ones more than once, so that a window is detected that one
end keeps and the other does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from helpers import feed, whole

import rfc6455
from rfc6455 import (
    ANY_ORIGIN,
    BytesMessage,
    ClientHandshake,
    Closed,
    Connection,
    Event,
    PerMessageDeflate,
    ServerHandshake,
    TextMessage,
)

TAKEOVERS = {"server_no_context_takeover": False, "client_no_context_takeover": False}

TEXT = "compress me, " * 100
BINARY = b"".join(b"%d," % number for number in range(9000))

MESSAGES: list[str | bytes] = [TEXT, TEXT, "", BINARY, "é", b"", BINARY, TEXT[:70], bytes(100_000)]

# What one end sets, by the names of RFC 7692 7.1.
PARAMETERS: list[dict[str, Any]] = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    *({"server_max_window_bits": bits} for bits in range(9, 16)),
    *({"client_max_window_bits": bits} for bits in range(9, 16)),
    {"server_max_window_bits": 9, "client_max_window_bits": 10, "server_no_context_takeover": True},
    {"server_max_window_bits": 12, "client_max_window_bits": 9, "client_no_context_takeover": True},
]


def name_of(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items()) or "none"


EVERY_PARAMETER = pytest.mark.parametrize("parameters", PARAMETERS, ids=map(name_of, PARAMETERS))


def event_of(message: str | bytes) -> Event:
    return TextMessage(message) if isinstance(message, str) else BytesMessage(message)


def send(connection: Connection, message: str | bytes, **options: Any) -> None:
    if isinstance(message, str):
        connection.send_text(message, **options)
    else:
        connection.send_bytes(message, **options)


def check_agreed(connection: Connection, parameters: dict[str, Any]) -> None:
    """What was agreed is at least as strict as what one end has set."""
    (codec,) = connection.extensions
    agreed = dict(word.strip().partition("=")[::2] for word in codec.parameters.split(";"))
    for name, value in parameters.items():
        if value is True:
            assert name in agreed
        elif name == "server_max_window_bits" and value < 15:
            assert int(agreed[name]) <= value


# ---- In memory, with websockets ----

websockets = pytest.importorskip("websockets")

from websockets.client import ClientProtocol  # noqa: E402
from websockets.extensions.permessage_deflate import (  # noqa: E402
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode  # noqa: E402
from websockets.http11 import Request  # noqa: E402
from websockets.server import ServerProtocol  # noqa: E402
from websockets.uri import parse_uri  # noqa: E402


def their_server(parameters: dict[str, Any]) -> ServerProtocol:
    return ServerProtocol(extensions=[ServerPerMessageDeflateFactory(**parameters)], max_size=None)


def their_client(parameters: dict[str, Any]) -> ClientProtocol:
    options = {"client_max_window_bits": True, **parameters}
    return ClientProtocol(
        parse_uri("ws://example.com/"), extensions=[ClientPerMessageDeflateFactory(**options)], max_size=None
    )


def with_their_client(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[Connection, Any]:
    handshake = ServerHandshake(extensions=[PerMessageDeflate(**{**TAKEOVERS, **ours})])
    peer = their_client(theirs)
    peer.send_request(peer.connect())
    assert handshake.receive_data(b"".join(peer.data_to_send())) is not None
    connection = handshake.accept()
    peer.receive_data(connection.data_to_send())
    assert peer.handshake_exc is None
    peer.events_received()
    return connection, peer


def with_their_server(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[Connection, Any]:
    handshake = ClientHandshake("ws://example.com/", extensions=[PerMessageDeflate(**{**TAKEOVERS, **ours})])
    peer = their_server(theirs)
    peer.receive_data(handshake.data_to_send())
    (request,) = peer.events_received()
    assert isinstance(request, Request)
    peer.send_response(peer.accept(request))
    connection = handshake.receive_data(b"".join(peer.data_to_send()))
    assert connection is not None
    return connection, peer


BOTH_WAYS = pytest.mark.parametrize("pair", [with_their_client, with_their_server])
Pair = Callable[[dict[str, Any], dict[str, Any]], tuple[Connection, Any]]


def check_messages(connection: Connection, peer: Any) -> None:
    for message in MESSAGES:
        send(connection, message)
        peer.receive_data(connection.data_to_send())
        assert joined(peer.events_received()) == [message]
        peer.send_text(message.encode()) if isinstance(message, str) else peer.send_binary(message)
        assert feed(connection, whole(b"".join(peer.data_to_send()))) == [event_of(message)]


def joined(frames: list[Frame]) -> list[str | bytes]:
    """Return the messages in the frames that websockets returns."""
    messages: list[str | bytes] = []
    for frame in frames:
        if frame.opcode is not Opcode.CONT:
            is_text, payload = frame.opcode is Opcode.TEXT, b""
        payload += frame.data
        if frame.fin:
            messages.append(payload.decode() if is_text else payload)
    return messages


@pytest.mark.clause("7692:5-agreed-is-used")
@BOTH_WAYS
@EVERY_PARAMETER
def test_websockets_in_memory_set_by_us(pair: Pair, parameters: dict[str, Any]) -> None:
    connection, peer = pair(parameters, {})
    check_agreed(connection, parameters)
    check_messages(connection, peer)


@pytest.mark.clause("7692:5-agreed-is-used")
@BOTH_WAYS
@EVERY_PARAMETER
def test_websockets_in_memory_set_by_them(pair: Pair, parameters: dict[str, Any]) -> None:
    connection, peer = pair({}, parameters)
    check_agreed(connection, parameters)
    check_messages(connection, peer)


@BOTH_WAYS
@pytest.mark.parametrize("takeover", [True, False])
def test_websockets_in_memory_fragments(pair: Pair, takeover: bool) -> None:
    parameters = {"server_no_context_takeover": not takeover, "client_no_context_takeover": not takeover}
    connection, peer = pair(parameters, {})
    for _ in range(2):
        for at in range(0, 1200, 400):
            connection.send_text(TEXT[at : at + 400], fin=False)
            connection.ping(b"between")
        connection.send_text("")
        peer.receive_data(connection.data_to_send())
        got = [frame for frame in peer.events_received() if frame.opcode is not Opcode.PING]
        assert joined(got) == [TEXT[:1200]]
        feed(connection, whole(b"".join(peer.data_to_send())))
        peer.send_text(TEXT[:400].encode(), fin=False)
        peer.send_continuation(TEXT[400:800].encode(), fin=False)
        peer.send_ping(b"between")
        peer.send_continuation(b"", fin=True)
        events = feed(connection, whole(b"".join(peer.data_to_send())))
        assert TextMessage(TEXT[:800]) in events
        peer.receive_data(connection.data_to_send())
        peer.events_received()


@BOTH_WAYS
def test_websockets_in_memory_messages_as_they_are_between(pair: Pair) -> None:
    connection, peer = pair({}, {})
    for compress in (True, False, True, None, False, True):
        send(connection, TEXT, compress=compress)
        peer.receive_data(connection.data_to_send())
        assert joined(peer.events_received()) == [TEXT]


# ---- Over sockets: our ends on asyncio streams ----


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, extension: PerMessageDeflate) -> Connection:
    """A server of ours, to the end of one connection."""
    handshake = ServerHandshake(extensions=[extension], origins=ANY_ORIGIN)
    while handshake.receive_data(await reader.read(65536)) is None:
        pass
    connection = handshake.accept()
    writer.write(connection.data_to_send())
    while not connection.closed:
        for event in connection.receive_data(None if connection.unread else await reader.read(65536)):
            if isinstance(event, (TextMessage, BytesMessage)):
                send(connection, event.text if isinstance(event, TextMessage) else event.data)
        writer.write(connection.data_to_send())
    writer.close()
    return connection


async def with_our_server(
    parameters: dict[str, Any], use: Callable[[str], Awaitable[list[str | bytes]]]
) -> tuple[Connection, list[str | bytes]]:
    """Run a client against a server of ours; return our end of the connection, and what the client got back."""
    ends: list[Connection] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(await echo(reader, writer, PerMessageDeflate(**{**TAKEOVERS, **parameters})))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        got = await use(f"ws://127.0.0.1:{port}/")
    (connection,) = ends
    return connection, got


async def our_client(uri: str, parameters: dict[str, Any]) -> tuple[Connection, list[Event]]:
    """Send all messages to a server that echoes them, and close."""
    handshake = ClientHandshake(uri, extensions=[PerMessageDeflate(**{**TAKEOVERS, **parameters})])
    reader, writer = await asyncio.open_connection(handshake.uri.host, handshake.uri.port)
    writer.write(handshake.data_to_send())
    connection = None
    while connection is None:
        connection = handshake.receive_data(await reader.read(65536))
    events: list[Event] = []
    for message in MESSAGES:
        send(connection, message)
        writer.write(connection.data_to_send())
        expected = len(events) + 1
        while len(events) < expected:
            events += connection.receive_data(None if connection.unread else await reader.read(65536))
    connection.close()
    writer.write(connection.data_to_send())
    while not connection.closed:
        events += connection.receive_data(await reader.read(65536))
    writer.close()
    await writer.wait_closed()
    return connection, events


def check_events(events: list[Event]) -> None:
    assert events[:-1] == [event_of(message) for message in MESSAGES]
    assert isinstance(events[-1], Closed)
    assert events[-1].clean


SET_BY_US = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_max_window_bits": 9},
    {"client_max_window_bits": 9},
    {"server_max_window_bits": 11, "client_max_window_bits": 10, "server_no_context_takeover": True},
]
EACH_SET_BY_US = pytest.mark.parametrize("parameters", SET_BY_US, ids=map(name_of, SET_BY_US))


@EACH_SET_BY_US
def test_websockets_client_over_a_socket(parameters: dict[str, Any]) -> None:
    from websockets.asyncio.client import connect

    async def use(uri: str) -> list[str | bytes]:
        got: list[str | bytes] = []
        async with connect(uri, compression="deflate", max_size=None) as ws:
            for message in MESSAGES:
                await ws.send(message)
                got.append(await ws.recv())
        return got

    connection, got = asyncio.run(with_our_server(parameters, use))
    assert got == MESSAGES
    check_agreed(connection, parameters)


@pytest.mark.clause("7692:5-offer-names-it")
@EACH_SET_BY_US
def test_websockets_server_over_a_socket(parameters: dict[str, Any]) -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def their_echo(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async def main() -> tuple[Connection, list[Event]]:
        async with serve(their_echo, "127.0.0.1", 0, max_size=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            return await our_client(f"ws://127.0.0.1:{port}/", parameters)

    connection, events = asyncio.run(main())
    check_events(events)
    check_agreed(connection, parameters)


@EACH_SET_BY_US
@pytest.mark.parametrize("bits", [15, 9])
def test_aiohttp_client_over_a_socket(parameters: dict[str, Any], bits: int) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def use(uri: str) -> list[str | bytes]:
        got: list[str | bytes] = []
        async with aiohttp.ClientSession() as session, session.ws_connect(uri, compress=bits, max_msg_size=0) as ws:
            assert ws.compress
            for message in MESSAGES:
                await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
                got.append((await ws.receive()).data)
        return got

    connection, got = asyncio.run(with_our_server(parameters, use))
    assert got == MESSAGES
    check_agreed(connection, {**parameters, "server_max_window_bits": bits})


@EACH_SET_BY_US
def test_aiohttp_server_over_a_socket(parameters: dict[str, Any]) -> None:
    web = pytest.importorskip("aiohttp.web")

    async def their_echo(request: Any) -> Any:
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            await (ws.send_str(message.data) if isinstance(message.data, str) else ws.send_bytes(message.data))
        return ws

    async def main() -> tuple[Connection, list[Event]]:
        app = web.Application()
        app.router.add_get("/", their_echo)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return await our_client(f"ws://127.0.0.1:{runner.addresses[0][1]}/", parameters)
        finally:
            await runner.cleanup()

    connection, events = asyncio.run(main())
    check_events(events)
    # aiohttp takes what a client says of itself for a hint and does not repeat it.
    check_agreed(connection, {name: value for name, value in parameters.items() if name.startswith("server")})


def test_what_websockets_calls_its_names() -> None:
    """Should a peer change what it understands by a name, the tests above would prove nothing."""
    assert "permessage-deflate" in str(their_client({}).connect().headers["Sec-WebSocket-Extensions"])
    assert rfc6455.PerMessageDeflate.name == "permessage-deflate"
