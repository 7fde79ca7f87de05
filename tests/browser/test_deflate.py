"""permessage-deflate with a real browser: what is agreed for each parameter, and that messages survive both ways.

Chromium offers ``client_max_window_bits`` and nothing else, Firefox not even that. What the server sets of the four
parameters (RFC 7692, 7.1) is then in its answer, and the browser must take it and keep to it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from adapters.threads import Adapter

from rfc6455 import (
    ANY_ORIGIN,
    BytesMessage,
    Connection,
    Endpoint,
    Event,
    PerMessageDeflate,
    ServerHandshake,
    TextMessage,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

    NewPage = Callable[..., Page]

pytestmark = pytest.mark.browser

NO_TAKEOVER = {"server_no_context_takeover": True, "client_no_context_takeover": True}
TAKEOVER = dict.fromkeys(NO_TAKEOVER, False)

PARAMETERS: list[tuple[dict[str, Any], str]] = [
    (TAKEOVER, ""),
    (TAKEOVER | {"server_no_context_takeover": True}, "; server_no_context_takeover"),
    (TAKEOVER | {"client_no_context_takeover": True}, "; client_no_context_takeover"),
    (NO_TAKEOVER, "; server_no_context_takeover; client_no_context_takeover"),
    *((TAKEOVER | {"server_max_window_bits": bits}, f"; server_max_window_bits={bits}") for bits in range(9, 15)),
    *((TAKEOVER | {"client_max_window_bits": bits}, f"; client_max_window_bits={bits}") for bits in range(8, 15)),
    (
        {"server_max_window_bits": 9, "client_max_window_bits": 9},
        "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9",
    ),
]

# Sends each message when the one before has come back, and tells what the browser agreed to and how many came back
# equal. The same text comes again and again, so that a window that only one end keeps is found out.
TALK = """
async (url) => {
    const text = "compress me, é漢🙂, ".repeat(100);
    const long = Array.from({length: 30000}, (_, number) => number.toString(36)).join();
    const bytes = new TextEncoder().encode(long);
    const nothing = new Uint8Array(0), zeros = new Uint8Array(100000);
    const messages = [text, text, "", long, bytes, "é", nothing, bytes, text.slice(0, 70), zeros];
    const ws = new WebSocket(url);
    ws.binaryType = "arraybuffer";
    const next = (name) => new Promise((resolve, reject) => {
        ws.addEventListener(name, resolve, {once: true});
        ws.addEventListener("close", ({code, reason}) => reject(new Error(`closed: ${code} ${reason}`)), {once: true});
    });
    await next("open");
    let equal = 0;
    for (const message of messages) {
        const answer = next("message");
        ws.send(message);
        const {data} = await answer;
        equal += typeof message === "string"
            ? data === message
            : data.byteLength === message.length && new Uint8Array(data).every((byte, at) => byte === message[at]);
    }
    const closed = new Promise((resolve) => ws.addEventListener("close", resolve, {once: true}));
    ws.close(1000);
    const {code, wasClean} = await closed;
    return {extensions: ws.extensions, sent: messages.length, equal, code, wasClean};
}
"""


class EchoServer:
    """Serves one browser."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(60)
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.handshake = ServerHandshake(extensions=[PerMessageDeflate(**options)], origins=ANY_ORIGIN)
        self.endpoint = Endpoint(self.handshake)
        self.adapter: Adapter | None = None
        self.content = 0

    def accept(self) -> None:
        sock, _ = self.listener.accept()
        self.adapter = Adapter(sock, self.endpoint, self.echo, lambda: 0.0)

    def echo(self, event: Event) -> None:
        ws = self.endpoint.connection
        assert ws is not None
        match event:
            case TextMessage(text):
                self.content += len(text.encode())
                ws.send_text(text)
            case BytesMessage(data):
                self.content += len(data)
                ws.send_bytes(data)

    def ended(self) -> Connection:
        assert self.adapter is not None
        self.adapter.thread.join(10)
        assert self.endpoint.closed
        assert self.endpoint.connection is not None
        return self.endpoint.connection

    def close(self) -> None:
        self.listener.close()
        if self.adapter is not None:
            self.adapter.sock.close()
            self.adapter.thread.join(10)


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Any]], EchoServer]]:
    servers: list[EchoServer] = []

    def make(options: dict[str, Any]) -> EchoServer:
        servers.append(EchoServer(options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def answer_to(offer: str, parameters: str) -> str:
    """RFC 7692, 7.1.2.2: "If a received extension negotiation offer doesn't have the "client_max_window_bits"
    extension parameter, the corresponding extension negotiation response to the offer MUST NOT include" it."""
    if "client_max_window_bits" not in offer:
        parameters = re.sub("; client_max_window_bits=[0-9]+", "", parameters)
    return f"permessage-deflate{parameters}"


@pytest.mark.parametrize(
    ("options", "agreed"), PARAMETERS, ids=[agreed.lstrip("; ") or "none" for _, agreed in PARAMETERS]
)
def test_each_parameter(
    new_page: NewPage, serve: Callable[[dict[str, Any]], EchoServer], options: dict[str, Any], agreed: str
) -> None:
    server = serve(options)
    page = new_page()
    page.evaluate(f"url => {{ globalThis.told = ({TALK})(url) }}", server.url)
    server.accept()
    told = page.evaluate("() => told")
    ws = server.ended()
    assert server.handshake.request is not None
    assert server.handshake.response is not None
    answer = server.handshake.response.headers["Sec-WebSocket-Extensions"]
    assert answer == answer_to(server.handshake.request.headers["Sec-WebSocket-Extensions"], agreed)
    assert told["extensions"] in (answer, "permessage-deflate")  # Firefox tells the name alone
    assert (told["sent"], told["equal"]) == (10, 10)
    assert (told["code"], told["wasClean"]) == (1000, True)
    assert ws.bytes_received < server.content / 2, "the browser did not compress"
