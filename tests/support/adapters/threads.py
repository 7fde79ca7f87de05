"""An endpoint over a blocking socket: one thread waits for input and deadlines and writes, any thread may `call`."""

import select
import socket
import threading
from collections.abc import Callable

from rfc6455 import Endpoint, Event

from .answering import answer


class Adapter:
    def __init__(
        self,
        sock: socket.socket,
        endpoint: Endpoint,
        on_event: Callable[[Event], object],
        clock: Callable[[], float],
    ) -> None:
        self.sock, self.endpoint, self.on_event, self.clock = sock, endpoint, on_event, clock
        self.lock = threading.Lock()  # an endpoint takes none: all calls to it are under this one
        self.waker, self.wakes = socket.socketpair()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def call(self, act: Callable[[Endpoint], object]) -> None:
        with self.lock:
            act(self.endpoint)
        self.waker.send(b"!")

    def run(self) -> None:
        data: bytes | None = None
        with self.sock, self.waker, self.wakes:
            while not self.endpoint.must_close:
                try:
                    self.sock.sendall(self.step(data))  # what was read goes in, what there is to send comes out
                    data = self.wait()
                except ConnectionError:  # noqa: PERF203
                    data = b""

    def wait(self) -> bytes | None:
        if self.endpoint.must_close:
            return None
        at = self.endpoint.next_deadline()
        ready = select.select([self.sock, self.wakes], [], [], None if at is None else max(0, at - self.clock()))[0]
        if self.wakes in ready:
            self.wakes.recv(100)
        return self.sock.recv(65536) if self.sock in ready else None

    def step(self, data: bytes | None) -> bytes:
        with self.lock:
            answer(self.endpoint, data, self.clock(), self.on_event)
            return self.endpoint.data_to_send()
