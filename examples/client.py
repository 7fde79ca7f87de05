"""Print the messages of a server, for ever: use the environment's proxy, follow redirects, and reconnect after
failures.

TOKEN=secret python examples/client.py ws://localhost:8765/
"""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

if importlib.util.find_spec("rfc6455_io") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from rfc6455 import ConnectionClosedError
from rfc6455_io.asyncio import reconnect


def tell(error: Exception, delay: float) -> None:
    print(f"{error}; again in {delay:.1f} s", file=sys.stderr)


async def main(uri: str, token: str) -> None:
    async for ws in reconnect(uri, headers={"Authorization": f"Bearer {token}"}, tell=tell):
        try:
            async for message in ws:
                print(message, flush=True)
        except ConnectionClosedError:
            pass  # `tell` prints it


if len(sys.argv) != 2 or "TOKEN" not in os.environ:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1], os.environ["TOKEN"]))
