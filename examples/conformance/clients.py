"""Clients that connect: each connection gets the next case."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from exchange import TcpLine, answer_client, room_for
from judge import Result, Verdict, judge, printable

from rfc6455.testing.cases import Case


class NoClientError(Exception):
    """No client has connected."""


def try_clients(
    listener: socket.socket,
    cases: Sequence[Case],
    timeout: float,
    patience: float,
    at_once: int,
    step: Callable[[Result], None],
) -> list[Result]:
    """Give each connection a case until all have run, and return the results in the order of the cases.

    :param listener: the socket to which the clients connect.
    :param timeout: the time to wait for an answer, in seconds.
    :param patience: the time to wait for the next client that sends something, in seconds.
    :param at_once: the maximum number of open connections.
    :param step: a function that is called with each result.
    :raises NoClientError: if no client came in that time.
    """
    run = _Run(cases, timeout, step)
    slots = threading.BoundedSemaphore(at_once)
    with ThreadPoolExecutor(at_once) as pool:
        pending: set[Future[None]] = set()
        while run.waiting or pending:
            pending = {future for future in pending if not future.done()}
            if not run.waiting:
                # A case is tried again if its client left without a request.
                wait(pending)
                continue
            slots.acquire()
            sock = _next_client(listener, run, patience)
            if sock is None:
                slots.release()
                wait(pending)
                break
            future = pool.submit(run.serve, sock, run.waiting.popleft())
            future.add_done_callback(lambda _: slots.release())
            pending.add(future)
    if not run.results:
        raise NoClientError(f"no client came within {patience:g} seconds{run.silence()}")
    return run.in_order(cases)


def _next_client(listener: socket.socket, run: _Run, patience: float) -> socket.socket | None:
    """Return the next connection, or ``None`` if no client has sent anything for too long. A client that connects and
    stays silent, such as a port scanner, must not make a run go on for ever."""
    while (left := run.heard_at + patience - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            return listener.accept()[0]
        except TimeoutError:
            pass  # a case may have ended meanwhile
    return None


class _Run:
    """The state that the connections of one run share."""

    def __init__(self, cases: Sequence[Case], timeout: float, step: Callable[[Result], None]) -> None:
        self.waiting = deque(cases)
        self.results: dict[str, Result] = {}
        self.heard_at = time.monotonic()
        self._timeout = timeout
        self._step = step
        self._seen_keys: set[str] = set()
        self._silent = 0
        self._lock = threading.Lock()

    def serve(self, sock: socket.socket, case: Case) -> None:
        begin = time.monotonic()
        try:
            verdict = self._try(sock, case)
        except Exception as error:
            # Nobody checks the future, and without a result, it would seem that no client came.
            words = printable(f"{type(error).__name__}: {error}")
            verdict = Result(case, Verdict.FAILED, f"the checker failed: {words}", "the checker failed")
        with self._lock:
            if verdict is None:
                self._silent += 1
                self.waiting.append(case)
                return
            self.heard_at = time.monotonic()
            result = replace(verdict, seconds=self.heard_at - begin)
            self.results[case.id] = result
            self._step(result)

    def _try(self, sock: socket.socket, case: Case) -> Result | None:
        """Run a case, and return the result, or ``None`` if the client has not sent a request."""
        with sock:
            transcript = answer_client(case, TcpLine(sock, room_for(case)), self._timeout, self._seen_keys)
        return None if transcript.head is None else judge(case, transcript)

    def in_order(self, cases: Sequence[Case]) -> list[Result]:
        missing = f"no client came{self.silence()}"
        return [self.results.get(case.id) or Result(case, Verdict.FAILED, missing, "no client came") for case in cases]

    def silence(self) -> str:
        """Return the words to add if no client came."""
        return f" but {self._silent} without a request" if self._silent else ""
