"""permessage-deflate with a real browser: the negotiation of each parameter, and messages in both directions.

Chromium offers ``client_max_window_bits`` and nothing else, Firefox not even that. The parameters that the server sets
(RFC 7692, 7.1) are then in its answer, and the browser must accept them and keep to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from echo_server import EchoServer

from rfc6455 import PerMessageDeflate

if TYPE_CHECKING:
    from playwright.sync_api import Page

    NewPage = Callable[..., Page]

pytestmark = pytest.mark.browser

NO_TAKEOVER = {"server_no_context_takeover": True, "client_no_context_takeover": True}
TAKEOVER = dict.fromkeys(NO_TAKEOVER, False)

PARAMETERS: list[tuple[dict[str, Any], str]] = [
    # The default: where the browser lets the server limit its window, a context of 9 KiB is kept.
    ({}, "; server_no_context_takeover; client_max_window_bits=11"),
    (TAKEOVER, ""),
    (TAKEOVER | {"server_no_context_takeover": True}, "; server_no_context_takeover"),
    (TAKEOVER | {"client_no_context_takeover": True}, "; client_no_context_takeover"),
    (NO_TAKEOVER, "; server_no_context_takeover; client_no_context_takeover"),
    *((TAKEOVER | {"server_max_window_bits": bits}, f"; server_max_window_bits={bits}") for bits in range(9, 15)),
    *((TAKEOVER | {"client_max_window_bits": bits}, f"; client_max_window_bits={bits}") for bits in range(8, 15)),
    (
        NO_TAKEOVER | {"server_max_window_bits": 9, "client_max_window_bits": 9},
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


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Any]], EchoServer]]:
    servers: list[EchoServer] = []

    def make(options: dict[str, Any]) -> EchoServer:
        servers.append(EchoServer([PerMessageDeflate(**options)]))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


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
    told = page.evaluate("() => told")
    ws, _ = server.ended()
    answer = server.answer
    assert answer == answer_to(server.offer or "", agreed)
    assert told["extensions"] in (answer, "permessage-deflate")  # Firefox tells the name alone
    assert (told["sent"], told["equal"]) == (10, 10)
    assert (told["code"], told["wasClean"]) == (1000, True)
    assert ws.bytes_received < server.content / 2, "the browser did not compress"
