"""The chat on websockets with threads. Usage: python on_websockets_threads.py PORT"""

from __future__ import annotations

import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

clients: set[ServerConnection] = set()


def chat(client: ServerConnection) -> None:
    clients.add(client)
    try:
        for text in client:
            for other in list(clients):
                if other is not client:
                    try_to_send(other, text)
    finally:
        clients.discard(client)


def try_to_send(client: ServerConnection, text: str | bytes) -> None:
    try:
        client.send(text)
    except ConnectionClosed:
        pass  # it leaves by itself


with serve(chat, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None, backlog=1024) as server:
    server.serve_forever()
