"""The basis of the tests of the example programs: a program in a process, and a plain socket as a peer."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

from child import PATIENCE, Output, Talkative
from helpers import CLOSE, Seen, split_frames

import rfc6455

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

# One for each connection and refusal; on HTTP/2 the stream's number stands behind the address.
LOG_LINE = re.compile(r"[0-9.]+:\d+(/\d+)? (closed: \d{4} .*|refused: .*)")

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Started(Talkative):
    """A program in a process of its own, which ends with the block at the latest."""

    process: subprocess.Popen[str]

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, command: list[str], ready: str, folder: Path | None = None, **environment: str) -> str:
        """Start it, and return the line that says that it is ready, which matches ``ready``."""
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        )
        self._output = Output(self.process, PATIENCE)
        try:
            return self.wait_for(ready)
        except AssertionError:
            self.kill()
            raise

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._output.finish()


class Program(Started):
    """An example that serves, in a process of its own; its port is in the first line that it prints.

    :param runner: a program that runs the example, such as `LATE_SIGNAL`.
    """

    def __init__(
        self,
        script: str,
        *arguments: str,
        python: str = sys.executable,
        examples: Path = EXAMPLES,
        runner: Path | None = None,
    ) -> None:
        run = [python, *([] if runner is None else [str(runner)])]
        command = [*run, str(examples / script), "--port", "0", *arguments]
        ready = self.start(command, r"^listening on port \d+$", PYTHONWARNINGS="default")
        self.port = int(ready.rpartition(" ")[2])
        try:
            assert len(self.lines) == 1
        except AssertionError:
            self.kill()
            raise

    def __enter__(self) -> Program:
        return self

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send the signal, and check that the program ends well."""
        self.process.send_signal(number)
        self.check_ended()

    def check_ended(self) -> None:
        """Check that the program has exited on its own, with nothing unexpected in its output."""
        code = self.process.wait(PATIENCE)
        self._output.finish()
        strange = [line for line in self.lines[1:] if not LOG_LINE.fullmatch(line)]
        assert (code, strange) == (0, []), "\n".join(self.lines)

    def memory(self) -> int:
        """Return the most resident memory that it ever had, in bytes; only Linux tells."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


class Peer:
    """A client that is a plain socket, so that it can break every rule."""

    def __init__(self, port: int, *, small_buffers: bool = False) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(PATIENCE)
        if small_buffers:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        self.sock.connect(("127.0.0.1", port))
        self.buffer = b""

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def open(self, more: bytes = b"") -> Peer:
        """Do the opening handshake; ``more`` goes out in the same write."""
        self.sock.sendall(REQUEST + more)
        assert self.head().startswith("HTTP/1.1 101 ")
        return self

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def head(self) -> str:
        while b"\r\n\r\n" not in self.buffer:
            self._receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def answer(self) -> str:
        """Read an answer other than a 101, with its body; return the head."""
        head = self.head()
        length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
        while len(self.buffer) < length:
            self._receive()
        self.buffer = self.buffer[length:]
        return head

    def frame(self) -> tuple[int, bytes]:
        """Return the next frame from the server: opcode and payload."""
        seen = self._next()
        return seen.opcode, seen.payload

    def _next(self) -> Seen:
        while True:
            seen, _, _ = split_frames(self.buffer, rfc6455.SERVER)
            if seen:
                self.buffer = self.buffer[_size(seen[0]) :]
                return seen[0]
            self._receive()

    def message(self) -> tuple[int, bytes]:
        """Return the next message, whose fragments it joins; control frames may be between them."""
        opcode, joined = 0, b""
        while True:
            seen = self._next()
            if seen.opcode < CLOSE:
                opcode = opcode or seen.opcode
                joined += seen.payload
                if seen.fin:
                    return opcode, joined
            else:
                assert seen.opcode != CLOSE, seen

    def close_frame(self) -> int:
        """Read up to the Close frame; return its code."""
        while (frame := self.frame())[0] != CLOSE:
            pass
        return int.from_bytes(frame[1][:2], "big")

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        assert data, f"the end of file came after {self.buffer!r}"
        self.buffer += data

    def check_eof(self) -> None:
        """Check that the server sends nothing more and ends TCP cleanly."""
        assert self.buffer == b""
        assert self.sock.recv(65536) == b""

    def reset(self) -> None:
        """End TCP with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def check_echo(process: subprocess.Popen[bytes]) -> None:
    """Check that what is typed into a client of an echo server comes back, so that its connection is open."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"hello\n"


def _size(seen: Seen) -> int:
    length = len(seen.payload)
    return length + (2 if length < 126 else 4 if length < 65536 else 10)
