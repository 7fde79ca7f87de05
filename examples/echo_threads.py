"""An echo server for threads, on `rfc6455_io.threads`.

python examples/echo_threads.py --port 8765
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
from pathlib import Path

if importlib.util.find_spec("rfc6455_io") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

from rfc6455 import PerMessageDeflate
from rfc6455_io.threads import WebSocket, serve


def echo(ws: WebSocket) -> None:
    for message in ws:
        ws.send(message)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message. Ctrl-C ends it.")
    add_address(parser)
    add_timeouts(parser)
    options = vars(parser.parse_args())
    timeouts = take_timeouts(options)
    with serve(echo, options["host"], options["port"], extensions=[PerMessageDeflate()], timeouts=timeouts) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        print(f"listening on port {server.port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
