"""An echo server for one client at a time: the whole loop around an endpoint, in one function.

    python examples/echo_select.py --port 8765

The law: `echo` does everything that a loop must do about time and TCP. It waits no longer than the next deadline, and
a deadline that is noticed late does not end a connection if the client's answer is already in the socket. It does not
read from a client that does not read its messages, so only the answer to one read has to wait: 64 KiB, and a message
that began before. (Compression is not offered, as a read could inflate to a thousand times as much. `echo_trio.py`
handles that.) It ends its side of TCP when it is its turn, and reads on until the client has ended the other (7.1.1).
"""

from __future__ import annotations

import argparse
import importlib.util
import select
import socket
import sys
import time
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455


def echo(sock: socket.socket, timeouts: rfc6455.Timeouts | None = None) -> None:
    """Echo each message of one client, until the client has gone."""
    sock.setblocking(False)
    ws = rfc6455.Endpoint(rfc6455.ServerHandshake(), timeouts, now=time.monotonic())
    data, pending = None, b""
    while not ws.finished:
        for event in ws.events(data, now=time.monotonic()):
            match event:
                case rfc6455.Request():
                    ws.accept(now=time.monotonic())
                case rfc6455.TextMessage() | rfc6455.BytesMessage():
                    ws.send(event)
        pending += ws.data_to_send()
        try:
            pending = pending[sock.send(pending) :]
            if ws.must_close and not pending:
                sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            pending = b""
        at = ws.next_deadline()
        seconds = None if at is None else max(0, at - time.monotonic())
        readable, _, _ = select.select([] if pending else [sock], [sock] if pending else [], [], seconds)
        try:
            data = sock.recv(65536) if readable else None
        except OSError:
            data = b""


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message, to one client at a time.")
    add_address(parser)
    add_timeouts(parser)
    options = vars(parser.parse_args())
    with socket.create_server((options.pop("host"), options.pop("port"))) as listener:
        print(f"listening on port {listener.getsockname()[1]}", flush=True)
        timeouts = take_timeouts(options)
        while True:
            sock, address = listener.accept()
            with sock:
                echo(sock, timeouts)
            print(f"{address[0]}:{address[1]} has gone", flush=True)


if __name__ == "__main__":
    main()
