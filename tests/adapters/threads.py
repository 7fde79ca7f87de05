"""A connection over a blocking socket: one thread waits for input and deadlines and writes, any thread may `call`."""

import select
import socket
import threading
from collections.abc import Callable

from rfc6455 import ClientHandshake, Connection, Deadlines, Event, ProtocolError, ServerHandshake, Timeouts

Handshake = ServerHandshake | ClientHandshake
OnEvent, Clock = Callable[[Event], object], Callable[[], float]


class Endpoint:
    def __init__(self, sock: socket.socket, handshake: Handshake, timeouts: Timeouts, on_event: OnEvent, clock: Clock):
        self.sock, self.handshake, self.on_event, self.clock = sock, handshake, on_event, clock
        self.ws: Connection | None = None
        self.over = False
        self.deadlines = Deadlines(timeouts, clock())
        self.lock = threading.Lock()  # a connection takes none: all calls to it are under this one
        self.waker, self.wakes = socket.socketpair()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def call(self, act: Callable[[Connection | None], object]) -> None:
        with self.lock:
            act(self.ws)
        self.waker.send(b"!")

    def run(self, data: bytes | None = None) -> None:
        with self.sock, self.waker, self.wakes:
            while not self.over:
                try:
                    self.sock.sendall(self.step(data))  # what was read goes in, what there is to send comes out
                    at = self.deadlines.next_deadline()
                    wait = 0 if self.over else None if at is None else max(0, at - self.clock())
                    ready = select.select([self.sock, self.wakes], [], [], wait)[0]
                    data = self.sock.recv(65536) if self.sock in ready else None
                    if self.wakes in ready:
                        self.wakes.recv(100)
                except ConnectionError:  # noqa: PERF203
                    data = b""

    def step(self, data: bytes | None) -> bytes:
        events: list[Event] = []
        with self.lock:
            try:
                if self.ws is None and data is not None and (opened := self.handshake.receive_data(data)) is not None:
                    self.ws, data = opened if isinstance(opened, Connection) else self.handshake.accept(), None
                    self.deadlines.opened(self.ws, self.clock())
                while self.ws is not None and (data is not None or self.ws.unread):
                    events, data = events + self.ws.receive_data(data), None
            except ProtocolError:
                self.over = True
            for event in events + self.deadlines.advance(self.clock()):
                self.on_event(event)
                self.over = self.ws is None
            self.over |= self.ws is not None and self.ws.must_close
            return (self.ws or self.handshake).data_to_send()
