"""A terminal client for this chat, or any other server of text messages, which shows the client side of the library.

    python examples/chat/client.py ws://localhost:8765/club --name Ann

It reconnects as the page does, and hides the same lines as the page. Its own messages are in brackets; if its output
is not a terminal, they go to standard error.

One thread owns the socket and the connection, so there are no locks. Typed lines come to it through a pipe, from a
thread that waits in `input()`, where the line can be edited. If standard input is not a terminal, it is read directly.
"""

from __future__ import annotations

import argparse
import getpass
import importlib.util
import io
import math
import os
import random
import re
import select
import signal
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

if importlib.util.find_spec("rfc6455") is None:  # not installed: use the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from lines import clean
from screen import Screen

import rfc6455

try:
    import readline
    import termios

    for option in ("input-meta on", "output-meta on", "convert-meta off"):  # accept the letters of any encoding
        readline.parse_and_bind(f"set {option}")
except ImportError:  # without it, lines are edited as far as the terminal itself supports that
    readline = None  # type: ignore[assignment]

PROMPT = "> "

# Clears the line with the cursor, so that the line being typed moves down.
CLEAR = "\r\x1b[K"

CONNECT_TIMEOUT = 10.0

# The codes after which there is no reason to come back (7.4.1). When we leave, the server may be stopping as well.
GOOD_ENDS = (1000, 1005)
GOOD_ENDS_FOR_ONE_WHO_LEAVES = (*GOOD_ENDS, 1001, 1012)

# In seconds, as in the page: a random back-off of up to 1, 2, 4 ..., so that not all clients come back at once
# (7.2.3); the delay if the server is too busy; the time for which a connection must last to reset the back-off.
RETRY_FIRST, RETRY_MOST = 1.0, 30.0
BUSY_WAIT = 10.0
STEADY = 5.0

# The number of characters of a refusal's body that are shown.
BODY = 2000


class Terminal:
    """The place where lines are typed and shown. ``fd`` delivers the typed lines, then the end of file."""

    def __init__(self) -> None:
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.fd = sys.stdin.fileno()
        #: The encoding of the input. Input from a pipe or file is in the encoding of the locale, which may not be
        #: UTF-8.
        self.encoding = "utf-8" if self.is_interactive else sys.stdin.encoding
        for stream in (sys.stdin, sys.stdout):
            if isinstance(stream, io.TextIOWrapper):
                # A key or a letter that does not exist in the terminal's encoding must not end the chat.
                stream.reconfigure(errors="replace")
        if self.is_interactive:
            self.fd, write_end = os.pipe()
            threading.Thread(target=self._type, args=(write_end,), daemon=True).start()

    def show(self, text: str) -> None:
        """Show a line above the one that is being typed. Text from others cannot move the cursor."""
        self._write(sys.stdout, "\n\t".join(map(clean, re.split("\r?\n\t?", text))))

    def note(self, text: str) -> None:
        """Show a message of the client itself."""
        self._write(sys.stdout if self.is_interactive else sys.stderr, f"({clean(text)})")

    def _write(self, stream: TextIO, text: str) -> None:
        before, after = (CLEAR, PROMPT + self._being_typed()) if self.is_interactive else ("", "")
        try:
            stream.write(f"{before}{text}\n{after}")
            stream.flush()
        except BrokenPipeError:  # nobody reads any more, so the rest of the buffer cannot be written either
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            sys.exit(1)

    def _being_typed(self) -> str:
        """Return the line in the editor, which has it in the encoding of the locale, as this terminal shows it."""
        typed = readline.get_line_buffer() if readline else ""
        return os.fsencode(typed).decode(sys.stdout.encoding, "replace")

    def _type(self, write_end: int) -> None:
        try:
            while True:
                os.write(write_end, f"{input(PROMPT)}\n".encode(errors="replace"))
        except (EOFError, OSError):
            os.close(write_end)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore the terminal, although a thread is still editing a line in it."""
        before = termios.tcgetattr(sys.stdin) if self.is_interactive and readline else None
        try:
            yield
        finally:
            if before is not None:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
                sys.stdout.write(CLEAR)


class End(NamedTuple):
    """The end of a connection."""

    code: int
    reason: str
    is_final: bool


class Client:
    """A person who chats, over a series of connections.

    :param prefix: the text before each line that is sent: ``Ann: ``.
    """

    def __init__(self, settings: argparse.Namespace, prefix: str, terminal: Terminal) -> None:
        self._settings = settings
        self._uri = rfc6455.parse_uri(settings.uri)
        self._context = settings.ca or ssl.create_default_context() if self._uri.secure else None
        self._prefix = prefix
        self._terminal = terminal
        self._screen = Screen()
        self._typed = b""
        self._lines: deque[str] = deque()  # typed, but not sent yet
        self._is_at_end = False  # whether the input has ended
        self._openings = 0
        self._opened_at = math.inf
        self._is_interrupted = False
        self._has_left = False  # by Ctrl-C, or at the end of the input
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)

    def run(self) -> str:
        """Send the typed lines and show those that are received, until one side ends. For the main thread.

        :return: what went wrong, or ``""``.
        :raises KeyboardInterrupt: the second time that Ctrl-C is pressed. The first time, nothing is raised, since in
            the middle of reading this would lose input; the connection is closed cleanly.
        """
        # Python runs a signal handler at the next step of the main thread, and if a wait is about to begin, this is
        # only after the wait. So it is not the handler that makes `_woken` readable, but Python when the signal comes.
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, self._note_interrupt)
        try:
            return self._chat()
        finally:
            signal.set_wakeup_fd(-1)
            self._woken.close()
            self._waker.close()

    def _note_interrupt(self, *_: object) -> None:
        if self._is_interrupted:
            raise KeyboardInterrupt
        self._is_interrupted = True

    def _chat(self) -> str:
        attempt, told = 0, ""
        while True:
            self._opened_at = math.inf
            end = self._connect()
            if end.is_final:
                return end.reason
            self._screen.broke(time.monotonic())
            if end.reason != told:  # each attempt during an outage would show the same
                self._terminal.note(f"{end.reason}; trying again")
            told = "" if self._opened_at < math.inf else end.reason
            attempt = 0 if time.monotonic() - self._opened_at > STEADY else attempt
            busy = BUSY_WAIT if end.code == rfc6455.CloseCode.TRY_AGAIN_LATER else 0.0
            if not self._wait_to_retry(busy + random.random() * min(RETRY_MOST, RETRY_FIRST * 2**attempt)):
                return f"Not sent: {len(self._lines)} lines" if self._lines else ""
            attempt += 1

    def _connect(self) -> End:
        """Run one connection from beginning to end. If the first one fails, there is no second attempt."""
        try:
            with self._connect_tcp() as sock:
                return self._end_of(self._converse(sock))
        except OSError as error:
            failed = "Disconnected" if self._opened_at < math.inf else f"Cannot chat with {self._settings.uri}"
            return End(0, f"{failed}: {error}", self._is_interrupted or not self._openings)

    def _connect_tcp(self) -> socket.socket:
        sock = socket.create_connection((self._uri.host, self._uri.port), CONNECT_TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock if self._context is None else self._context.wrap_socket(sock, server_hostname=self._uri.host)

    def _end_of(self, ws: rfc6455.Endpoint) -> End:
        assert ws.end is not None
        closed = ws.end
        if closed.code in (GOOD_ENDS_FOR_ONE_WHO_LEAVES if self._has_left else GOOD_ENDS):
            return End(closed.code, "", True)
        if isinstance(closed.error, rfc6455.HandshakeError):
            return self._refused(closed.error)
        reason = f"Disconnected: {int(closed.code)} {clean(closed.reason if closed.clean else str(closed))}"
        return End(closed.code, reason, closed.code == rfc6455.CloseCode.POLICY_VIOLATION or self._has_left)

    def _refused(self, error: rfc6455.HandshakeError) -> End:
        """Return the end for a refused handshake. It is final unless the server was reachable before and reports an
        error of its own (5xx)."""
        if self._has_left:
            return End(0, "", True)
        body = b"" if error.response is None else error.response.body
        said = [f"\n    {clean(line)}" for line in body.decode(errors="replace")[:BODY].splitlines() if line.strip()]
        is_final = not (self._openings and error.status is not None and error.status >= 500)
        return End(0, f"Cannot chat with {self._settings.uri}: {clean(str(error))}{''.join(said)}", is_final)

    def _converse(self, sock: socket.socket) -> rfc6455.Endpoint:
        settings = self._settings
        handshake = rfc6455.ClientHandshake(
            self._uri, subprotocols=settings.subprotocol, extensions=[rfc6455.PerMessageDeflate()],
            origin=settings.origin, headers=settings.header,
        )  # fmt: skip
        ws = rfc6455.Endpoint(handshake, now=time.monotonic())
        data: bytes | None = None
        while not ws.finished:
            for event in ws.events(data, now=time.monotonic()):
                self._take(event)
            self._send_typed(ws)
            sock.sendall(ws.data_to_send())
            ready = self._wait(sock, ws)
            if self._terminal.fd in ready:
                self._read_typed()
            if self._woken in ready:
                self._woken.recv(4096)
                self._has_left = True
                ws.close()
            data = self._receive(sock) if sock in ready else None
        return ws

    def _take(self, event: object) -> None:
        match event:
            case rfc6455.Response():
                self._openings += 1
                self._opened_at = time.monotonic()
                if self._openings > 1:
                    self._terminal.note("Connected again")
            case rfc6455.TextMessage(text):
                for is_note, line in self._screen.receive(text):
                    (self._terminal.note if is_note else self._terminal.show)(line)
            case rfc6455.BytesMessage(content):
                self._terminal.show(f"({len(content)} bytes)")

    def _wait(self, sock: socket.socket, ws: rfc6455.Endpoint) -> list[socket.socket | int]:
        """Wait until one of the inputs can be read, or a deadline is due."""
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return [sock]
        inputs: list[socket.socket | int] = [sock, self._woken]
        if ws.connection is not None and not (self._is_at_end or self._has_left):
            inputs.append(self._terminal.fd)
        due = ws.next_deadline()
        timeout = None if due is None else max(0.0, due - time.monotonic())
        return select.select(inputs, [], [], timeout)[0]

    def _wait_to_retry(self, seconds: float) -> bool:
        """Wait, and return whether to try again. Lines that are typed meanwhile are sent later."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            inputs: list[socket.socket | int] = [self._woken]
            if self._terminal.is_interactive:
                inputs.append(self._terminal.fd)
            ready = select.select(inputs, [], [], left)[0]
            if self._terminal.fd in ready:
                self._read_typed()
            if self._woken in ready or (self._terminal.is_interactive and self._is_at_end):
                return False
        return True

    def _receive(self, sock: socket.socket) -> bytes:
        try:
            return sock.recv(65536)
        except ConnectionResetError:
            return b""

    def _read_typed(self) -> None:
        data = os.read(self._terminal.fd, 65536)
        *typed, self._typed = (self._typed + data).split(b"\n")
        if not data:
            self._is_at_end = True
            typed.append(self._typed)
        self._lines += [line.decode(self._terminal.encoding, "replace").rstrip("\r") for line in filter(None, typed)]

    def _send_typed(self, ws: rfc6455.Endpoint) -> None:
        """Send the complete lines, and close at the end of input. Nothing is sent after a Close frame."""
        if ws.connection is None or ws.closed or self._has_left:
            return
        while self._lines:
            line = self._prefix + self._lines.popleft()
            ws.send_text(line)
            self._screen.send(line, time.monotonic())
        if self._is_at_end:
            self._has_left = True
            ws.close()


def header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME: VALUE")
    return name.strip(), value.strip()


def trust(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror or error}") from None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A chat in the terminal. Ctrl-D leaves.")
    add = parser.add_argument
    add("uri", nargs="?", default="ws://localhost:8765/", help="default: %(default)s")
    add("--name", default=getpass.getuser(), help="your name; empty to send lines as they are typed")
    add(
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="may be given several times",
    )
    add("--origin", help="the origin to send, as a page in a browser would, such as https://example.com")
    add("--subprotocol", action="append", default=[], metavar="NAME", help="in order of preference, if several")
    add("--ca", type=trust, metavar="FILE", help="the certificates to trust instead of the system's")
    return parser.parse_args()


def main() -> None:
    settings = arguments()
    name = os.fsencode(settings.name).decode(errors="replace")  # it may not be valid in the locale's encoding
    terminal = Terminal()
    try:
        with terminal.restored():
            complaint = Client(settings, f"{name}: " if name else "", terminal).run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)  # the convention of shells
    except (OSError, rfc6455.ProtocolError) as error:
        complaint = f"Cannot chat with {settings.uri}: {error}"
    terminal.is_interactive = False
    if complaint:
        sys.exit(complaint)


if __name__ == "__main__":
    main()
