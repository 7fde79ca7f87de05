"""Record a WebSocket conversation, and show recordings.

    python examples/recordings.py record ws://localhost:8765/ out.jsonl hello "good bye"
    python examples/recordings.py out.jsonl --text
    python examples/recordings.py out.jsonl --har > out.har
    python examples/recordings.py out.jsonl --pcapng | wireshark -k -i -

`record` sends each word as a message, waits for an answer to each, and closes. The recording is written even if this
fails, as failed connections are the ones to look at.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import websocket_uri

import rfc6455
from rfc6455 import trace

# The time in seconds to wait for the server.
PATIENCE = 10.0


def record(uri: rfc6455.URI, words: Sequence[str], recorder: trace.Recorder) -> rfc6455.Closed | None:
    """Connect, and record the conversation. Only the line with ``wrap`` is about recording; the rest is any client."""
    handshake = recorder.wrap(rfc6455.ClientHandshake(uri, extensions=[rfc6455.PerMessageDeflate()]))
    ws = rfc6455.Endpoint(handshake, rfc6455.Timeouts(open=PATIENCE, idle=PATIENCE), now=time.monotonic())
    with connect(uri) as sock:
        converse(sock, ws, words)
    return ws.end


def connect(uri: rfc6455.URI) -> socket.socket:
    sock = socket.create_connection((uri.host, uri.port), PATIENCE)
    if uri.secure:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=uri.host)
    return sock


def converse(sock: socket.socket, ws: rfc6455.Endpoint, words: Sequence[str]) -> None:
    """Send the words, close when each has been answered, and wait for the server to end TCP."""
    awaited = len(words)
    data = None
    while not ws.must_close:
        for event in ws.events(data, now=time.monotonic()):
            match event:
                case rfc6455.Response():
                    for word in words:
                        ws.send_text(word)
                case rfc6455.TextMessage() | rfc6455.BytesMessage():
                    awaited -= 1
            if awaited <= 0:
                ws.close()
        sock.sendall(ws.data_to_send())
        data = read(sock, ws.next_deadline())


def read(sock: socket.socket, until: float | None) -> bytes | None:
    # A timeout of 0 would make the socket non-blocking, for which TLS behaves differently.
    sock.settimeout(None if until is None else max(0.001, until - time.monotonic()))
    try:
        return sock.recv(65536)
    except TimeoutError:
        return None


def show(recording: trace.Recording, form: str) -> None:
    if form == "pcapng":
        sys.stdout.buffer.write(trace.to_pcapng(recording))
    elif form == "har":
        json.dump(trace.to_har(recording), sys.stdout, indent=2)
    else:
        print(trace.to_text(recording))


def main_of_record(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="recordings.py record", description="Records a conversation with a server.")
    parser.add_argument("uri", type=websocket_uri, help="such as ws://localhost:8765/")
    parser.add_argument("recording", type=Path, help="the file to write")
    parser.add_argument("words", nargs="*", help="the messages to send")
    options = parser.parse_args(arguments)
    recorder = trace.Recorder(time.time)
    try:
        end = record(options.uri, options.words, recorder)
    except OSError as error:
        sys.exit(f"It went wrong: {error}")
    finally:
        options.recording.write_text(trace.dumps(recorder.recording), encoding="ascii")
    if end is None or not end.clean:
        sys.exit(f"It went wrong: {end}")


def main_of_show(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description="Shows a recording.", epilog="`recordings.py record URI RECORDING [WORD ...]` makes one."
    )
    parser.add_argument("recording", type=Path, help="the file to read")
    forms = parser.add_mutually_exclusive_group()
    for form in ("text", "har", "pcapng"):
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="text")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # some terminals lack some characters
    try:
        recording = trace.loads(options.recording.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        sys.exit(f"Cannot read {options.recording}: {error}")
    show(recording, options.form)


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        main_of_record(sys.argv[2:])
    else:
        main_of_show(sys.argv[1:])
