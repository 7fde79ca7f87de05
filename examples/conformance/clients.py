"""Clients that connect: each connection is given the next case."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from exchange import TcpLine, answer_client
from judge import Result, Verdict, judge

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
    """Gives each connection a case until all were run; the results in the order of the cases.

    :param listener: where the clients connect.
    :param timeout: how long to wait for an answer, in seconds.
    :param patience: how long to wait for the next connection, in seconds.
    :param at_once: how many connections may be open.
    :param step: called with each result.
    :raises NoClientError: when no client came in that time.
    """
    run = _Run(cases, timeout, step)
    listener.settimeout(patience)
    slots = threading.BoundedSemaphore(at_once)
    with ThreadPoolExecutor(at_once) as pool:
        pending: set[Future[None]] = set()
        while run.waiting or pending:
            pending = {future for future in pending if not future.done()}
            if not run.waiting:
                # A case comes back when its client left without a word.
                wait(pending)
                continue
            slots.acquire()
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                slots.release()
                wait(pending)
                break
            future = pool.submit(run.serve, sock, run.waiting.popleft())
            future.add_done_callback(lambda _: slots.release())
            pending.add(future)
    if not run.results:
        raise NoClientError(f"no client came within {patience:g} seconds")
    return run.in_order(cases)


class _Run:
    """What is shared by the connections of one run."""

    def __init__(self, cases: Sequence[Case], timeout: float, step: Callable[[Result], None]) -> None:
        self.waiting = deque(cases)
        self.results: dict[str, Result] = {}
        self._timeout = timeout
        self._step = step
        self._seen_keys: set[str] = set()
        self._lock = threading.Lock()

    def serve(self, sock: socket.socket, case: Case) -> None:
        begin = time.monotonic()
        with sock:
            transcript = answer_client(case, TcpLine(sock), self._timeout, self._seen_keys)
        if transcript.head is None:
            self.waiting.append(case)
            return
        verdict = judge(case, transcript)
        result = Result(case, verdict.verdict, verdict.happened, time.monotonic() - begin)
        with self._lock:
            self.results[case.id] = result
            self._step(result)

    def in_order(self, cases: Sequence[Case]) -> list[Result]:
        return [self.results.get(case.id) or Result(case, Verdict.FAILED, "no client came") for case in cases]
