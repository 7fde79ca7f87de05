"""The chat on socketify, which is uWebSockets. Usage: python on_socketify.py PORT

Its `WebSocket.publish` sends to the sender as well, so the function of uWebSockets that leaves out the sender is used.
"""

from __future__ import annotations

import sys

from socketify import App, AppListenOptions, CompressOptions, OpCode, WebSocket
from socketify.native import lib

ROOM = b"room"
MANY_BYTES = 16 << 20


def on_open(client: WebSocket) -> None:
    client.subscribe(ROOM)


def on_message(client: WebSocket, message: str | bytes, opcode: OpCode) -> None:
    data = message.encode() if isinstance(message, str) else message
    lib.uws_ws_publish_with_options(client.app.SSL, client.ws, ROOM, len(ROOM), data, len(data), int(opcode), False)


app = App()
app.ws(
    "/*",
    {
        "compression": CompressOptions.DISABLED,
        "idle_timeout": 0,
        "max_backpressure": MANY_BYTES,  # by default, it would drop data that a client has not read in time
        "open": on_open,
        "message": on_message,
    },
)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
app.run()
