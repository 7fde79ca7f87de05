"""The chat on websockets with asyncio and its `broadcast`. Usage: python on_websockets_asyncio.py PORT"""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

clients: set[ServerConnection] = set()


async def chat(client: ServerConnection) -> None:
    clients.add(client)
    try:
        async for text in client:
            broadcast(clients - {client}, text)
    finally:
        clients.discard(client)


async def main() -> None:
    async with serve(chat, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None, backlog=1024):
        await asyncio.Event().wait()


asyncio.run(main())
