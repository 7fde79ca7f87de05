"""An echo server on blocking code: a thread for each client.

    python examples/echo_threads.py --port 8765

The law: a connection belongs to its thread. Nobody else touches it, so there are no locks. A thread waits in one
place, `Client.wait`, for whatever comes first: the client takes what it was sent, the client says something, a
deadline is due, the server ends. `echo_select.py` is the same loop without compression, which makes it much shorter:
there, no read brings more than it holds.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if importlib.util.find_spec("rfc6455") is None:  # not installed: it is in the clone that this file is in
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from arguments import add_address, add_timeouts, take_timeouts

import rfc6455

# Each client has a file descriptor, of which a process usually gets 1024.
MAX_CLIENTS = 500

# How much is collected before it is sent, in bytes.
ENOUGH = 64 << 10

# How long to accept nobody after that has failed, in seconds.
ACCEPT_PAUSE = 0.1


class Client:
    """One connection, from accept() to close().

    :param stop: becomes readable when the server ends.
    """

    def __init__(self, sock: socket.socket, address: str, stop: socket.socket, timeouts: rfc6455.Timeouts) -> None:
        self.sock = sock
        self.address = address
        self.stop = stop
        self.ends = False
        self.outgoing = bytearray()  # what the client has not taken yet
        handshake = rfc6455.ServerHandshake(extensions=[rfc6455.PerMessageDeflate()])
        self.ws = rfc6455.Endpoint(handshake, timeouts, now=time.monotonic())

    def run(self) -> None:
        """Serve the client until it has gone; this is the thread."""
        with self.sock:
            self.sock.setblocking(False)
            while not self.ws.finished:
                self.step(self.wait())

    def step(self, data: bytes | None) -> None:
        """Take what was read, tell the time, and send."""
        now = time.monotonic()
        if self.ends:
            self.ws.close(rfc6455.CloseCode.GOING_AWAY, "the server ends")
        self.send()
        for event in self.ws.advance(now=now) if self.is_held_up() else self.ws.events(data, now=now):
            self.answer(event, now)
            if len(self.outgoing) > ENOUGH:
                self.send()
            if self.is_held_up():
                break  # the other events wait
        self.send()

    def answer(self, event: rfc6455.Request | rfc6455.Response | rfc6455.Event, now: float) -> None:
        match event:
            case rfc6455.Request():
                self.ws.accept(now=now)
            case rfc6455.TextMessage(text) if not self.ends:
                self.ws.send_text(text)
            case rfc6455.BytesMessage(data) if not self.ends:
                self.ws.send_bytes(data)
            case rfc6455.Closed(error=rfc6455.HandshakeError() as error):
                log(f"{self.address} refused: {error}")
            case rfc6455.Closed(code, reason):
                log(f"{self.address} closed: {int(code)} {reason!a}")
        self.outgoing += self.ws.data_to_send()

    def is_held_up(self) -> bool:
        """Return whether to wait for a client that does not take what it was sent. Nothing is read from it, so that
        nothing piles up; its deadlines count all the same."""
        return len(self.outgoing) > 0 and not self.ws.closed

    def send(self) -> None:
        self.outgoing += self.ws.data_to_send()
        try:
            del self.outgoing[: self.sock.send(self.outgoing)]
            if self.ws.must_close and not self.outgoing:
                self.sock.shutdown(socket.SHUT_WR)  # that was the last
        except BlockingIOError:
            pass
        except OSError:  # reset: nobody takes anything any more
            self.outgoing.clear()

    def wait(self) -> bytes | None:
        """Wait for what comes first.

        :returns: the input, ``b""`` at its end; ``None`` when it is another thing that came first.
        """
        due = self.ws.deadlines.next_deadline() if self.is_held_up() else self.ws.next_deadline()
        timeout = None if due is None else max(0, math.ceil((due - time.monotonic()) * 1000))
        # Not select(): in a process that was stopped, that goes on with the rest of its time.
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT if self.outgoing else select.POLLIN)
        if not self.ends:
            poll.register(self.stop, select.POLLIN)
        ready = dict(poll.poll(timeout))
        self.ends = self.ends or self.stop.fileno() in ready
        try:
            return self.sock.recv(65536) if self.sock.fileno() in ready and not self.outgoing else None
        except OSError:  # reset
            return b""


def log(line: str) -> None:
    sys.stdout.write(line + "\n")  # one call, or the lines of two threads would mix
    sys.stdout.flush()


def serve(listener: socket.socket, stop: socket.socket, timeouts: rfc6455.Timeouts) -> None:
    """Give each client a thread, until ``stop`` becomes readable; then wait for the threads."""
    threads: set[threading.Thread] = set()
    listener.setblocking(False)
    while stop not in select.select([listener, stop], [], [])[0]:
        try:
            sock, address = listener.accept()
        except OSError:  # gone again; or there is no file descriptor left, and then it is ready again at once
            select.select([stop], [], [], ACCEPT_PAUSE)
            continue
        threads = {thread for thread in threads if thread.is_alive()}
        if len(threads) >= MAX_CLIENTS:
            log(f"{address[0]}:{address[1]} refused: too many clients")
            sock.close()
            continue
        client = Client(sock, f"{address[0]}:{address[1]}", stop, timeouts)
        thread = threading.Thread(target=client.run)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more
            log(f"{client.address} refused: {error}")
            sock.close()
        else:
            threads.add(thread)
    for thread in threads:
        thread.join()


@contextmanager
def signals() -> Iterator[socket.socket]:
    """Give a socket that becomes readable with SIGINT or SIGTERM, and stays so: nobody reads from it.

    A handler in Python could not do this. It runs when the main thread comes to its next step; and if it is about to
    wait in select(), that is when something else happens. What `set_wakeup_fd` sets up happens at once.
    """
    stop, waker = socket.socketpair()
    with stop, waker:
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        yield stop
        signal.set_wakeup_fd(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Sends back each WebSocket message. Ctrl-C ends it.")
    add_address(parser)
    add_timeouts(parser)
    options = vars(parser.parse_args())
    address = options.pop("host"), options.pop("port")
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.create_server(address, family=family) as listener, signals() as stop:
        log(f"listening on port {listener.getsockname()[1]}")
        serve(listener, stop, take_timeouts(options))


if __name__ == "__main__":
    main()
