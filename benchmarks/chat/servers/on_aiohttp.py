"""The chat on aiohttp. Usage: python on_aiohttp.py PORT"""

from __future__ import annotations

import sys

from aiohttp import WSMsgType, web

clients: set[web.WebSocketResponse] = set()


async def chat(request: web.Request) -> web.WebSocketResponse:
    client = web.WebSocketResponse(compress=False)
    await client.prepare(request)
    clients.add(client)
    try:
        async for message in client:
            if message.type is WSMsgType.TEXT:
                for other in list(clients):
                    if other is not client:
                        await try_to_send(other, message.data)
    finally:
        clients.discard(client)
    return client


async def try_to_send(client: web.WebSocketResponse, text: str) -> None:
    try:
        await client.send_str(text)
    except ConnectionError:
        pass  # it leaves by itself


app = web.Application()
app.router.add_get("/", chat)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, backlog=1024)
