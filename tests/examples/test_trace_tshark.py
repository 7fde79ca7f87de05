"""The captures of `rfc6455.trace` as tshark dissects them, and the program that makes and shows recordings.

Without tshark, the tests that need it are skipped. In CI (`CI=true`), a skip would hide a capture that cannot be
opened, so there it is a failure.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from deflating import codec_of
from helpers import BINARY, CLOSE, CONT, PING, PONG, TEXT, counting_random, new_connection, to
from programs import EXAMPLES, PATIENCE, Program

from rfc6455 import CLIENT, SERVER, ClientHandshake, PerMessageDeflate, Role, ServerHandshake, trace
from rfc6455.trace import Entry, Kind, Recorder, Recording

PROGRAM = [sys.executable, str(EXAMPLES / "recordings.py")]

FIELDS = (
    "ip.checksum.status",
    "tcp.checksum.status",
    "tcp.analysis.flags",
    "http.request.uri",
    "http.response.code",
    "frame.comment",
    "websocket.opcode",
    "websocket.payload.text",
    "websocket.payload.close.status_code",
    "websocket.payload.close.reason",
    "websocket.decompression.failed.expert",
    "_ws.malformed",
)


def find_tshark() -> str:
    found = shutil.which("tshark")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("tshark is missing, and CI must have it")
        pytest.skip("tshark is missing")
    return found


class Capture:
    """A file as tshark reads it: a row of fields for each packet."""

    def __init__(self, path: Path) -> None:
        checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
        columns = [word for field in FIELDS for word in ("-e", field)]
        command = [find_tshark(), "-n", "-r", str(path), *checks, "-T", "fields", "-E", "aggregator=|", *columns]
        finished = subprocess.run(command, capture_output=True, timeout=PATIENCE)
        assert finished.returncode == 0, finished.stderr.decode()
        # Whatever a peer has sent can be in a field; tshark escapes a line's end, but nothing else of that kind.
        rows = [line.split("\t") for line in finished.stdout.decode(errors="replace").split("\n")[:-1]]
        self.packets = [dict(zip(FIELDS, row, strict=True)) for row in rows]
        for packet in self.packets:
            # 1 stands for "good".
            assert (packet["ip.checksum.status"], packet["tcp.checksum.status"]) == ("1", "1")
            assert packet["tcp.analysis.flags"] == ""

    def all(self, field: str) -> list[str]:
        """The values of a field, in all packets that have any."""
        return [value for packet in self.packets if packet[field] for value in packet[field].split("|")]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Recording], Capture]:
    def open_it(recording: Recording) -> Capture:
        path = tmp_path / "capture.pcapng"
        path.write_bytes(trace.to_pcapng(recording))
        return Capture(path)

    return open_it


def clock() -> Callable[[], float]:
    times = itertools.count(1_700_000_000)
    return lambda: float(next(times))


def conversation(role: Role) -> Recording:
    """A conversation with some of everything, recorded at one end of it."""
    recorder = Recorder(clock())
    server = ServerHandshake(subprotocols=["chat"], extensions=[PerMessageDeflate()])
    opening = ClientHandshake(
        "ws://server.example.com/chat?room=1",
        subprotocols=["chat"],
        extensions=[PerMessageDeflate()],
        random=counting_random(),
    )
    if role is SERVER:
        server = recorder.wrap(server)
    else:
        opening = recorder.wrap(opening)
    server.receive_data(opening.data_to_send())
    ws = server.accept()
    peer = opening.receive_data(ws.data_to_send())
    assert peer is not None
    peer.send_text("in two ", fin=False, compress=False)
    peer.ping(b"between")
    peer.send_text("fragments")
    peer.send_bytes(bytes(range(256)) * 40, compress=False)
    ws.receive_data(peer.data_to_send())
    ws.send_text("compressed " * 30)
    ws.send_text("long " * 20_000, compress=False)
    peer.receive_data(ws.data_to_send())
    peer.close(4000, "good bye")
    ws.receive_data(peer.data_to_send())
    peer.receive_data(ws.data_to_send())
    peer.receive_data(b"")
    return recorder.recording


@pytest.mark.parametrize("role", Role)
def test_tshark_dissects_the_upgrade_and_all_frames(opened: Callable[[Recording], Capture], role: Role) -> None:
    capture = opened(conversation(role))
    assert capture.all("http.request.uri") == ["/chat?room=1"]
    assert capture.all("http.response.code") == ["101"]
    assert list(map(int, capture.all("websocket.opcode"))) == [
        *(TEXT, PING, CONT, BINARY),
        *(PONG, TEXT, TEXT),
        *(CLOSE, CLOSE),
    ]
    texts = capture.all("websocket.payload.text")
    # The fragments are joined, what was masked or compressed is not any more; tshark cuts what is long.
    assert texts[:2] == ["in two fragments", "compressed " * 30]
    assert texts[2].startswith("long long ")
    assert capture.all("websocket.payload.close.status_code") == ["4000", "4000"]
    assert capture.all("websocket.payload.close.reason") == ["good bye"] * 2
    assert capture.all("_ws.malformed") == capture.all("websocket.decompression.failed.expert") == []
    assert capture.all("frame.comment") == []


def test_tshark_dissects_a_connection_without_a_handshake_and_shows_what_was_wrong(
    opened: Callable[[Recording], Capture],
) -> None:
    recorder = Recorder(clock())
    ws = recorder.wrap(new_connection(CLIENT, extensions=[codec_of(CLIENT)]))
    sender = new_connection(SERVER, extensions=[codec_of(SERVER)])
    sender.send_text("compressed " * 10)
    ws.receive_data(sender.data_to_send())
    ws.receive_data(to(CLIENT, CONT, b"of nothing"))
    ws.data_to_send()
    capture = opened(recorder.recording)
    assert capture.all("http.request.uri") == ["/"]
    assert capture.all("websocket.payload.text")[0] == "compressed " * 10
    request, response, violation = capture.all("frame.comment")
    assert request == response
    assert request.startswith("This was not recorded.")
    assert violation.startswith("a continuation frame")
    assert capture.all("websocket.payload.close.status_code") == ["1002"]


@pytest.mark.parametrize("seed", range(6))
def test_tshark_opens_whatever_a_peer_has_sent(opened: Callable[[Recording], Capture], seed: int) -> None:
    source = random.Random(seed)
    entries = [Entry(0.0, Kind.OPENED)] if seed % 2 else []
    entries += [Entry(float(number), Kind.RECEIVED, source.randbytes(1 << number)) for number in range(12)]
    capture = opened(Recording(SERVER, entries))
    assert len(capture.packets) >= 3 + 12


# ---- The program ----


def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, timeout=PATIENCE)


def shown(recording: Path, form: str) -> bytes:
    finished = run(recording, form)
    assert (finished.returncode, finished.stderr) == (0, b"")
    return finished.stdout


def test_a_live_conversation_is_recorded_shown_and_run_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Program("echo_threads.py") as program:
        finished = run("record", program.uri, path, "hello", "häßlich", "long " * 100)
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"", b"")
        program.stop()
    text = shown(path, "--text").decode()
    assert text == trace.to_text(trace.loads(path.read_text())) + "\n"
    assert " > TEXT   fin  rsv=000 " in text
    assert text.rstrip().endswith(" < end of the stream")
    (entry,) = json.loads(shown(path, "--har"))["log"]["entries"]
    messages = [(message["type"], message["data"]) for message in entry["_webSocketMessages"]]
    assert sorted(messages) == sorted(
        (way, word) for way in ("send", "receive") for word in ("hello", "häßlich", "long " * 100)
    )
    again = [event for _, events in trace.replay(trace.loads(path.read_text())) for event in events]
    assert [event.text for event in again[:3]] == ["hello", "häßlich", "long " * 100]  # type: ignore[attr-defined]
    capture = tmp_path / "out.pcapng"
    capture.write_bytes(shown(path, "--pcapng"))
    dissected = Capture(capture)
    assert dissected.all("http.response.code") == ["101"]
    assert sorted(dissected.all("websocket.payload.text")) == sorted(["hello", "häßlich", "long " * 100] * 2)


def test_a_refused_handshake_is_recorded_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def refuse() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        server = threading.Thread(target=refuse)
        server.start()
        finished = run("record", f"ws://127.0.0.1:{listener.getsockname()[1]}/", tmp_path / "out.jsonl")
        server.join()
    assert finished.returncode == 1
    assert b"403" in finished.stderr
    assert b" < HTTP/1.1 403 Forbidden" in shown(tmp_path / "out.jsonl", "--text")


@pytest.mark.parametrize("content", [None, "this is no recording"])
def test_a_file_that_is_no_recording(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "in.jsonl"
    if content is not None:
        path.write_text(content)
    finished = run(path)
    assert (finished.returncode, finished.stdout) == (1, b"")
    assert finished.stderr.startswith(b"Cannot read ")
    assert b"Traceback" not in finished.stderr
