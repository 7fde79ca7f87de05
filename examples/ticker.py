"""Send prices to all clients that have a token. A client that is too slow misses some prices. The server shuts down
cleanly.

TOKEN=secret python examples/ticker.py --port 8765
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import importlib.util
import os
import random
import signal
import sys
from pathlib import Path

if importlib.util.find_spec("rfc6455_io") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from rfc6455 import Headers, Limits, Request, Response
from rfc6455_io.asyncio import WebSocket, broadcast, serve

MAX_CLIENTS = 500


def check(request: Request, token: str) -> Response | None:
    if request.path == "/health":
        return Response(200, body=b"fine\n")
    given = request.headers.get("Authorization") or ""
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return Response(401, Headers({"WWW-Authenticate": "Bearer"}), b"A token is needed.\n")
    return None


async def tick(clients: set[WebSocket], seconds: float) -> None:
    price = 100.0
    while True:
        price *= random.uniform(0.99, 1.01)
        broadcast(clients, f"{price:.2f}")
        await asyncio.sleep(seconds)


async def main(host: str, port: int, seconds: float, token: str) -> None:
    clients: set[WebSocket] = set()

    async def client(ws: WebSocket) -> None:
        if len(clients) == MAX_CLIENTS:
            await ws.close(1013, "too many clients")
            return
        clients.add(ws)
        try:
            async for _ in ws:
                pass  # clients have nothing to say, but the loop notices when they leave
        finally:
            clients.discard(ws)

    limits = Limits(message=1024)
    async with serve(
        client, host, port, process_request=lambda request: check(request, token), limits=limits
    ) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
        print(f"listening on port {server.port}", flush=True)
        ticking = asyncio.create_task(tick(clients, seconds))
        await server.serve_forever()
        ticking.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sends prices to WebSocket clients that know TOKEN.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--seconds", type=float, default=1.0, help="the time between two prices")
    options = vars(parser.parse_args())
    asyncio.run(main(**options, token=os.environ.get("TOKEN") or parser.error("set TOKEN in the environment")))
