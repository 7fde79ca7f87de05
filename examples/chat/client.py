"""A terminal client, for this chat or any other server of text messages: the client's side of the library.

    python examples/chat/client.py ws://localhost:8765/club --name Ann

One thread has the socket and the connection, so there are no locks. What is typed comes to it through a pipe, from a
thread that sits in `input()`, which edits the line; or it is read from standard input where that is no terminal.
"""

from __future__ import annotations

import argparse
import getpass
import importlib.util
import io
import os
import select
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: it is in the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from lines import clean

import rfc6455

try:
    import readline
    import termios
except ImportError:  # line editing is then what the terminal itself can do
    readline = None  # type: ignore[assignment]

PROMPT = "> "

# Clears the line that the cursor is in, so that what is being typed moves down.
CLEAR = "\r\x1b[K"

CONNECT_TIMEOUT = 10.0

# Ends that are as they should be: closed by us or by the server, which may come back (7.4.1).
GOOD_ENDS = (1000, 1001, 1005, 1012)


class Terminal:
    """Where lines are typed and shown. ``fd`` gives what is typed, line by line, then the end of file."""

    def __init__(self) -> None:
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.fd = sys.stdin.fileno()
        #: Of what is typed: what a pipe brings is as the terminal or file has it, which need not be UTF-8.
        self.encoding = "utf-8" if self.is_interactive else sys.stdin.encoding
        for stream in (sys.stdin, sys.stdout):
            if isinstance(stream, io.TextIOWrapper):
                # A key or a letter that the terminal's encoding does not have must not end the chat.
                stream.reconfigure(errors="replace")
        if self.is_interactive:
            self.fd, write_end = os.pipe()
            threading.Thread(target=self._type, args=(write_end,), daemon=True).start()

    def show(self, text: str) -> None:
        """Shows a line above the one that is being typed. What comes from others cannot move the cursor."""
        typed = readline.get_line_buffer() if self.is_interactive and readline else ""
        before, after = (CLEAR, PROMPT + typed) if self.is_interactive else ("", "")
        sys.stdout.write(f"{before}{clean(text)}\n{after}")
        sys.stdout.flush()

    def _type(self, write_end: int) -> None:
        try:
            while True:
                os.write(write_end, f"{input(PROMPT)}\n".encode(errors="replace"))
        except (EOFError, OSError):
            os.close(write_end)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Leaves the terminal as it was, although a thread is still editing a line in it."""
        before = termios.tcgetattr(sys.stdin) if self.is_interactive and readline else None
        try:
            yield
        finally:
            if before is not None:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
                sys.stdout.write(CLEAR)


class Client:
    """One connection to a chat, until it ends.

    :param prefix: put before each line that is sent: ``Ann: ``.
    """

    def __init__(self, uri: str, prefix: str, terminal: Terminal) -> None:
        self._uri = rfc6455.parse_uri(uri)
        self._prefix = prefix
        self._is_interrupted = False
        self._terminal = terminal
        self._typed = b""
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._sock = self._connect_tcp()
        handshake = rfc6455.ClientHandshake(self._uri, extensions=[rfc6455.PerMessageDeflate()])
        self._ws = rfc6455.Endpoint(handshake, now=time.monotonic())

    def _connect_tcp(self) -> socket.socket:
        sock = socket.create_connection((self._uri.host, self._uri.port), CONNECT_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._uri.secure:
            return sock
        return ssl.create_default_context().wrap_socket(sock, server_hostname=self._uri.host)

    def run(self) -> rfc6455.Closed:
        """Sends what is typed and shows what comes, until one side closes. For the main thread.

        :raises rfc6455.HandshakeError: when the server refuses.
        :raises KeyboardInterrupt: the second time that Ctrl-C is pressed. The first raises nothing, since in the midst
            of reading that would lose what was read; it closes in order.
        """
        # Python runs a signal's handler when the main thread comes to its next step, which it does not before the end
        # of a wait that is about to begin. So `_woken` becomes readable when the signal comes, and not by the handler.
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, self._note_interrupt)
        try:
            return self._converse()
        finally:
            signal.set_wakeup_fd(-1)
            for sock in (self._sock, self._woken, self._waker):
                sock.close()

    def _note_interrupt(self, *_: object) -> None:
        if self._is_interrupted:
            raise KeyboardInterrupt
        self._is_interrupted = True

    def _converse(self) -> rfc6455.Closed:
        ws = self._ws
        data: bytes | None = None
        inputs: list[socket.socket | int] = [self._sock, self._woken]
        while not ws.finished:
            for event in ws.events(data, now=time.monotonic()):
                match event:
                    case rfc6455.Response():
                        inputs.append(self._terminal.fd)
                    case rfc6455.TextMessage(text):
                        self._terminal.show(text)
                    case rfc6455.BytesMessage(content):
                        self._terminal.show(f"({len(content)} bytes)")
            self._sock.sendall(ws.data_to_send())
            ready = self._wait(inputs)
            if self._terminal.fd in ready and not self._send_typed():
                inputs.remove(self._terminal.fd)
            if self._woken in ready:
                self._woken.recv(4096)
                inputs = [self._sock, self._woken]  # nothing may be sent after a Close frame
                ws.close()
            data = self._receive() if self._sock in ready else None
        assert ws.end is not None
        if ws.end.error is not None and ws.connection is None:
            raise ws.end.error
        return ws.end

    def _wait(self, inputs: list[socket.socket | int]) -> list[socket.socket | int]:
        """Waits until one of them can be read, or a deadline has come."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return [self._sock]
        due = self._ws.next_deadline()
        timeout = None if due is None else max(0.0, due - time.monotonic())
        return select.select(inputs, [], [], timeout)[0]

    def _receive(self) -> bytes:
        try:
            return self._sock.recv(65536)
        except ConnectionResetError:
            return b""

    def _send_typed(self) -> bool:
        """Sends the lines that are whole; closes at the end of file, and says whether there may be more."""
        data = os.read(self._terminal.fd, 65536)
        *typed, self._typed = (self._typed + data).split(b"\n")
        if not data:
            typed.append(self._typed)
        if not self._ws.closed:
            for line in filter(None, typed):
                self._ws.send_text(self._prefix + line.decode(self._terminal.encoding, "replace").rstrip("\r"))
            if not data:
                self._ws.close()
        return bool(data)


def main() -> None:
    parser = argparse.ArgumentParser(description="A chat in the terminal. Ctrl-D leaves.")
    parser.add_argument("uri", nargs="?", default="ws://localhost:8765/", help="default: %(default)s")
    parser.add_argument("--name", default=getpass.getuser(), help="who you are; empty to send lines as they are typed")
    settings = parser.parse_args()
    prefix = f"{settings.name}: " if settings.name else ""
    terminal = Terminal()
    try:
        with terminal.restored():
            client = Client(settings.uri, prefix, terminal)
            closed = client.run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # as shells have it
    except (OSError, rfc6455.ProtocolError) as error:
        sys.exit(f"Cannot chat with {settings.uri}: {error}")
    terminal.is_interactive = False
    if closed.code not in GOOD_ENDS:
        sys.exit(f"Disconnected: {int(closed.code)} {clean(closed.reason if closed.clean else str(closed))}")


if __name__ == "__main__":
    main()
