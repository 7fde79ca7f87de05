"""`rfc6455_io.threads` over real sockets: a server whose clients are raw, with and without TLS."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from helpers import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, close_payload, frame
from io_threads import SECURE, Clock, Raw, echo, wait_until
from programs import PATIENCE, REQUEST

import rfc6455
import rfc6455_io._threads_driver
from rfc6455 import CloseCause, ConnectionClosedError, Headers, Request, Response, Timeouts
from rfc6455_io._threads_driver import Driver
from rfc6455_io._threads_loop import WRITE
from rfc6455_io.threads import Server, WebSocket, broadcast, connect, serve

pytestmark = pytest.mark.usefixtures("all_threads_end")


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


class Scene:
    """A connection of which a test has both ends: a `WebSocket` at a server, and a raw client."""

    def __init__(self, context: Any = (None, None), small_buffers: bool = False, **arguments: Any) -> None:
        self.done, self.opened = threading.Event(), threading.Event()
        server_ssl, self.client_ssl = context
        self.server = serve(self.handle, "127.0.0.1", 0, ssl=server_ssl, **arguments)
        self.small_buffers = small_buffers

    def handle(self, ws: WebSocket) -> None:
        self.ws = ws
        self.opened.set()
        assert self.done.wait(PATIENCE)

    def __enter__(self) -> Scene:
        self.server.start()
        self.raw = Raw(self.server.port, self.client_ssl, small_buffers=self.small_buffers)
        self.raw.open()
        assert self.opened.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.sock.close()
        self.done.set()
        self.server.close()


def in_thread(call: Callable[[], object]) -> Callable[[], Any]:
    """Call it in a thread; what is returned waits for its result, or raises its exception."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((call(), None))
        except BaseException as error:
            results.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE)
        value, error = results[0]
        if error is not None:
            raise error
        return value

    return result


# ---- Messages ----


@SECURE
def test_messages_come_and_go(secure: bool, contexts: Any) -> None:
    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(echo, "127.0.0.1", 0, ssl=server_ssl) as server, Raw(server.port, client_ssl).open() as raw:
        for payload in (b"", "grüß dich".encode(), b"x" * 70_000, b"y" * 1_000_000):
            raw.say(TEXT, payload)
            assert raw.message() == (TEXT, payload)
        raw.say(BINARY, b"1", fin=False)
        raw.say(PING, b"now")
        raw.say(CONT, b"2")
        assert raw.frame() == (PONG, b"now")
        assert raw.frame() == (BINARY, b"12")


@SECURE
def test_the_server_ends_tcp_at_once_after_both_have_closed(secure: bool, contexts: Any) -> None:
    """T3; 5.5.1. No deadline helps."""
    server_ssl, client_ssl = contexts if secure else (None, None)
    with ExitStack() as stack:
        server = stack.enter_context(serve(echo, "127.0.0.1", 0, ssl=server_ssl, timeouts=Timeouts.NONE))
        raw = stack.enter_context(Raw(server.port, client_ssl).open())
        raw.say(TEXT, b"last")
        raw.say(CLOSE, close_payload(4000, b"bye"))
        assert raw.frame() == (TEXT, b"last")
        assert raw.frame() == (CLOSE, close_payload(4000, b"bye"))
        raw.check_eof()


def test_frames_that_come_with_the_request_are_not_lost() -> None:
    with serve(echo, "127.0.0.1", 0) as server, Raw(server.port) as raw:
        raw.sock.sendall(REQUEST + bytes.fromhex("81 82 00000000 6869"))
        assert raw.head().startswith("HTTP/1.1 101 ")
        assert raw.frame() == (TEXT, b"hi")


def test_recv_with_a_timeout_loses_nothing() -> None:
    with Scene() as at:
        with pytest.raises(TimeoutError):
            at.ws.recv(0)
        with pytest.raises(TimeoutError):
            at.ws.recv(timeout=0.001)
        at.raw.say(TEXT, b"1")
        assert at.ws.recv(PATIENCE) == "1"


def test_iteration_ends_with_a_good_end_and_raises_with_another() -> None:
    with Scene() as at:
        at.raw.say(TEXT, b"1")
        at.raw.say(BINARY, b"2")
        at.raw.say(CLOSE, close_payload(1001))
        assert list(at.ws) == ["1", b"2"]
        with pytest.raises(ConnectionClosedError) as caught:
            at.ws.recv()
        assert caught.value.closed.code == 1001
    with Scene() as at:
        at.raw.say(CLOSE, close_payload(4000, b"no more"))
        with pytest.raises(ConnectionClosedError, match="no more"):
            next(at.ws)


def test_each_message_goes_to_one_of_those_who_receive() -> None:
    with Scene() as at:
        results = [in_thread(at.ws.recv) for _ in range(10)]
        for number in range(10):
            at.raw.say(TEXT, b"%d" % number)
        assert sorted(result() for result in results) == [str(number) for number in range(10)]


def test_reading_stops_while_nobody_receives() -> None:
    with Scene(small_buffers=True) as at:
        at.raw.sock.setblocking(False)
        message = bytes.fromhex("82 fe 0400 00000000") + bytes(1024)
        sent = 0
        try:
            while sent < 64 << 20:
                sent += at.raw.sock.send(message[sent % len(message) :])
        except BlockingIOError:
            pass
        wait_until(lambda: at.ws._driver._is_held)
        assert sent < 64 << 20
        assert len(at.ws._driver._queue) <= 64
        for _ in range(sent // len(message)):
            assert at.ws.recv(PATIENCE) == bytes(1024)


def test_what_inflates_to_much_waits_in_its_compressed_form() -> None:
    deflate = [rfc6455.PerMessageDeflate()]
    held = []

    def handler(ws: WebSocket) -> None:
        wait_until(lambda: ws._driver._is_held)
        held.append(len(ws._driver._queue))
        for message in ws:
            ws.send(str(len(message)))

    with ExitStack() as stack:
        server = stack.enter_context(serve(handler, "127.0.0.1", 0, extensions=deflate))
        ws = stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/", extensions=deflate, proxy=None))
        for _ in range(20):
            ws.send(bytes(1 << 20))
        assert [ws.recv(PATIENCE) for _ in range(20)] == [str(1 << 20)] * 20
    assert held == [1]


def test_parts_on_request() -> None:
    with Scene(parts=True) as at:
        at.raw.say(BINARY, b"1", fin=False)
        with pytest.raises(RuntimeError, match="recv_part"):
            at.ws.recv()
        part = at.ws.recv_part()
        assert (part, part.data) == (rfc6455.BytesPart(b"1", False), b"1")  # type: ignore[union-attr]
        at.raw.say(CONT, b"2")
        assert at.ws.recv_part(PATIENCE) == rfc6455.BytesPart(b"2", True)
    with Scene() as at:
        at.raw.say(TEXT, b"1")
        with pytest.raises(RuntimeError, match=r"recv\(\)"):
            at.ws.recv_part()
        assert at.ws.recv() == "1"


# ---- Sending ----


def test_messages_in_parts() -> None:
    with Scene() as at:
        at.ws.send(iter(["in ", "", "parts"]))
        assert at.raw.message() == (TEXT, b"in parts")
        at.ws.send([])
        at.ws.send([b"1", b"2"])
        assert at.raw.message() == (BINARY, b"12")
        for wrong in (5, {"a": 1}, None):
            with pytest.raises(TypeError, match=rf"not {type(wrong).__name__}; json.dumps\(\) makes a str"):
                at.ws.send(wrong)  # type: ignore[arg-type]
        at.ws.send("still open")
        assert at.raw.message() == (TEXT, b"still open")


@pytest.mark.parametrize("second", [5, b"bytes", None])
def test_a_message_that_cannot_be_finished_ends_the_connection(second: Any) -> None:
    def parts() -> Iterator[Any]:
        yield "first"
        if second is None:
            raise KeyError
        yield second

    with Scene() as at:
        with pytest.raises((TypeError, KeyError)):
            at.ws.send(parts())
        assert at.raw.frame() == (TEXT, b"first")
        assert at.raw.close_frame() == 1011


def test_a_send_inside_another_is_an_error_and_no_deadlock() -> None:
    with Scene() as at:

        def parts() -> Iterator[str]:
            yield "first"
            at.ws.send("second")

        with pytest.raises(RuntimeError, match="in parts"):
            at.ws.send(parts())
        assert at.raw.close_frame() == 1011


def test_any_number_of_threads_may_send() -> None:
    with Scene() as at:

        def talk(name: int) -> None:
            for _ in range(20):
                at.ws.send([f"{name} ", f"{name}"])
                at.ws.send(f"{name}")

        results = [in_thread(lambda name=name: talk(name)) for name in range(8)]  # type: ignore[misc]
        got = [at.raw.message()[1] for _ in range(8 * 40)]
        for result in results:
            result()
        for name in range(8):
            assert got.count(b"%d" % name) == got.count(b"%d %d" % (name, name)) == 20


def fill(at: Scene) -> Callable[[], Any]:
    """Send more than the peer's and our buffers take; return the result of one more send, which has to wait."""
    at.ws.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
    at.ws.send(bytes(1 << 20))
    return in_thread(lambda: at.ws.send("at last"))


@SECURE
def test_send_waits_while_the_peer_does_not_read(secure: bool, contexts: Any) -> None:
    with Scene(contexts if secure else (None, None), small_buffers=True, timeouts=Timeouts.NONE) as at:
        sending = fill(at)
        wait_until(lambda: at.ws._driver._senders == 1)
        while (message := at.raw.message())[0] == BINARY:
            assert message[1] == bytes(1 << 20)
        assert message == (TEXT, b"at last")
        sending()


@SECURE
@pytest.mark.parametrize("how", ["close", "abort", "reset"])
def test_a_send_that_waits_ends_with_the_connection(secure: bool, how: str, contexts: Any) -> None:
    timeouts = Timeouts(ping_interval=None, close=0.01, tcp_close=0.01)
    with Scene(contexts if secure else (None, None), small_buffers=True, timeouts=timeouts) as at:
        sending = fill(at)
        wait_until(lambda: at.ws._driver._senders == 1)
        if how == "close":
            at.ws.close(4000)
        elif how == "abort":
            at.ws.abort()
        else:
            at.raw.reset()
        if how == "reset":
            with contextlib.suppress(ConnectionClosedError):  # or it goes nowhere before the end is read
                sending()
        else:
            with pytest.raises(ConnectionClosedError):
                sending()
        with pytest.raises(ConnectionClosedError) as caught:
            at.ws.recv(PATIENCE)
        assert caught.value.closed.code == 1006
        with pytest.raises(ConnectionClosedError):
            at.ws.send("?")


def test_a_peer_that_never_reads_is_given_up_though_it_sends() -> None:
    """Its messages are not read while ours wait for it; the time goes on all the same."""
    timeouts = Timeouts(ping_interval=0.1, pong=0.1, tcp_close=0.1)
    with Scene(small_buffers=True, timeouts=timeouts) as at:
        for _ in range(100):
            at.raw.say(BINARY, bytes(1024))
        wait_until(lambda: at.ws._driver._is_held)
        with pytest.raises(ConnectionClosedError) as caught:
            fill(at)()
        assert caught.value.closed.cause is CloseCause.PONG_TIMEOUT
        # Its socket is closed although nobody has received its messages; they still can be.
        wait_until(lambda: at.ws._driver._is_lost)
        assert at.ws.recv(PATIENCE) == bytes(1024)
        with pytest.raises(ConnectionClosedError):
            list(at.ws)


def test_a_handler_that_does_not_receive_is_no_fault_of_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with Scene(timeouts=Timeouts(ping_interval=10, pong=10)) as at:
        for _ in range(100):
            at.raw.say(TEXT, b"1")
        wait_until(lambda: at.ws._driver._is_held)
        clock.move(at.server, 1000)
        for _ in range(100):
            assert at.ws.recv(PATIENCE) == "1"
        assert at.ws.end is None


@SECURE
@pytest.mark.parametrize("size", [1 << 20, 4 << 20])
def test_two_ends_that_each_send_a_large_message_at_once(secure: bool, size: int, contexts: Any) -> None:
    """T5."""
    limits = rfc6455.Limits(message=size)
    both = threading.Barrier(2)

    def talk(ws: WebSocket) -> None:
        for _ in range(3):
            both.wait(PATIENCE)
            ws.send(bytes(size))
            assert ws.recv(PATIENCE) == bytes(size)
        both.wait(PATIENCE)

    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(talk, "127.0.0.1", 0, limits=limits, ssl=server_ssl, timeouts=Timeouts.NONE) as server:
        uri = f"{'wss' if secure else 'ws'}://127.0.0.1:{server.port}/"
        with connect(uri, limits=limits, ssl=client_ssl, proxy=None, timeouts=Timeouts.NONE) as ws:
            talk(ws)
            with pytest.raises(ConnectionClosedError):
                ws.recv(PATIENCE)


@SECURE
def test_a_peer_that_sends_before_it_reads_is_read(secure: bool, contexts: Any) -> None:
    """T5, with a peer that has one thread."""
    size = 4 << 20
    context = contexts if secure else (None, None)
    with Scene(context, small_buffers=True, limits=rfc6455.Limits(message=size)) as at:
        sending = in_thread(lambda: at.ws.send(bytes(size)))
        at.raw.say(BINARY, bytes(size))
        assert at.raw.message() == (BINARY, bytes(size))
        sending()
        assert at.ws.recv(PATIENCE) == bytes(size)


def test_ping_gives_the_latency() -> None:
    with Scene() as at:
        first, second = in_thread(at.ws.ping), in_thread(at.ws.ping)
        payloads = [at.raw.frame()[1], at.raw.frame()[1]]
        at.raw.say(PONG, b"unasked")
        at.raw.say(PONG, payloads[1])  # 5.5.3: for both
        assert 0 <= first() < PATIENCE
        assert 0 <= second() < PATIENCE
        with pytest.raises(TimeoutError):
            at.ws.ping(timeout=0.001)
        assert not at.ws._driver._pings
        third = in_thread(at.ws.ping)
        at.raw.say(CLOSE, close_payload(1000))
        with pytest.raises(ConnectionClosedError):
            third()


def test_a_pong_behind_messages_that_nobody_receives_has_to_wait() -> None:
    with Scene() as at:
        for number in range(100):
            at.raw.say(TEXT, b"%d" % number)
        wait_until(lambda: at.ws._driver._is_held)
        pinging = in_thread(at.ws.ping)
        opcode, payload = at.raw.frame()
        assert opcode == PING
        at.raw.say(PONG, payload)
        with pytest.raises(TimeoutError):
            at.ws.ping(timeout=0.001)
        for number in range(100):
            assert at.ws.recv(PATIENCE) == str(number)
        assert 0 <= pinging() < PATIENCE


def test_broadcast_leaves_out_who_is_slow() -> None:
    timeouts = Timeouts(close=0.01, tcp_close=0.01)
    with Scene(timeouts=timeouts) as at, Scene(timeouts=timeouts, small_buffers=True) as other:
        slow, both = other.ws, [other.ws, at.ws]
        assert broadcast(both, "1") == []
        assert at.raw.frame() == (TEXT, b"1")
        while slow._driver.can_write:
            slow.send(bytes(1 << 20))
        assert broadcast(both, b"2") == [slow]
        assert at.raw.frame() == (BINARY, b"2")
        with at.ws._driver.turn:
            assert in_thread(lambda: broadcast([at.ws], "in between"))() == [at.ws]
        assert broadcast(both, "3", close_slow=True) == [slow]
        assert slow.wait_closed(PATIENCE).code == 1006
        assert broadcast(both, "4") == []
        assert [at.raw.frame()[1] for _ in range(2)] == [b"3", b"4"]
        with pytest.raises(TypeError):
            broadcast([at.ws], 5)  # type: ignore[arg-type]


def test_broadcast_to_a_set_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Driver.offer

    def offer_and_change(driver: Driver, message: rfc6455.PreparedMessage) -> bool:
        connections.clear()
        return offer(driver, message)

    with Scene() as at, Scene() as other:
        connections = {at.ws, other.ws}
        monkeypatch.setattr(Driver, "offer", offer_and_change)
        assert broadcast(connections, "1") == []
        assert at.raw.frame() == other.raw.frame() == (TEXT, b"1")


# ---- The end of a connection ----


@SECURE
def test_close_is_obeyed_at_once_from_any_thread(secure: bool, contexts: Any) -> None:
    """T4. Nothing wakes the loop but the call."""
    with Scene(contexts if secure else (None, None), timeouts=Timeouts.NONE) as at:
        receiving = in_thread(at.ws.recv)
        closing = in_thread(lambda: at.ws.close(4000, "done"))
        assert at.raw.frame() == (CLOSE, close_payload(4000, b"done"))
        at.raw.say(TEXT, b"late")
        at.raw.say(CLOSE, close_payload(4000))
        at.raw.check_eof()
        at.raw.sock.close()
        closing()
        assert receiving() == "late"
        at.ws.close()  # legal, and nothing happens
        assert at.ws.wait_closed() == at.ws.end
        with pytest.raises(ConnectionClosedError):
            at.ws.ping()


def test_a_client_that_does_not_answer_a_close_is_cut() -> None:
    with Scene(timeouts=Timeouts(ping_interval=None, close=0.05, tcp_close=0.05)) as at:
        at.ws.close(1000)
        assert at.ws.wait_closed().cause is CloseCause.CLOSE_TIMEOUT
        assert at.raw.close_frame() == 1000


def test_close_does_not_wait_for_messages_that_nobody_takes() -> None:
    with Scene(timeouts=Timeouts.NONE) as at:
        for _ in range(200):
            at.raw.say(TEXT, b"1")
        wait_until(lambda: at.ws._driver._is_held)
        closing = in_thread(at.ws.close)
        assert at.raw.frame()[0] == CLOSE
        at.raw.say(CLOSE, close_payload(1000))
        at.raw.check_eof()
        at.raw.sock.close()
        closing()
        assert at.ws.recv() == "1"


def test_a_close_with_a_code_that_may_not_travel_changes_nothing() -> None:
    with Scene() as at:
        with pytest.raises(rfc6455.LocalProtocolError):
            at.ws.close(1006)
        at.ws.send("still open")
        assert at.raw.message() == (TEXT, b"still open")


@SECURE
def test_abort_cuts(secure: bool, contexts: Any) -> None:
    with Scene(contexts if secure else (None, None), timeouts=Timeouts.NONE) as at:
        at.ws.abort()
        closed = at.ws.wait_closed(PATIENCE)
        assert (closed.code, closed.cause) == (1006, CloseCause.ABORTED)
        with contextlib.suppress(ConnectionResetError):
            assert at.raw.sock.recv(100) == b""


@SECURE
@pytest.mark.parametrize("end", ["eof", "reset"])
def test_the_peer_goes_without_a_word(secure: bool, end: str, contexts: Any) -> None:
    with Scene(contexts if secure else (None, None), timeouts=Timeouts.NONE) as at:
        receiving = in_thread(at.ws.recv)
        if end == "reset":
            at.raw.reset()
        else:
            at.raw.sock.close()
        with pytest.raises(ConnectionClosedError) as caught:
            receiving()
        assert caught.value.closed.code == 1006
        assert at.ws.wait_closed(PATIENCE).code == 1006


def test_a_peer_that_ends_only_its_own_stream_is_answered() -> None:
    with serve(echo, "127.0.0.1", 0) as server, Raw(server.port).open() as raw:
        raw.say(CLOSE, close_payload(1000))
        raw.sock.shutdown(socket.SHUT_WR)
        assert raw.frame() == (CLOSE, close_payload(1000))
        raw.check_eof()


@SECURE
def test_an_exception_of_a_handler(secure: bool, contexts: Any, caplog: pytest.LogCaptureFixture) -> None:
    def faulty(ws: WebSocket) -> None:
        raise KeyError("a secret of ours")

    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(faulty, "127.0.0.1", 0, ssl=server_ssl) as server, Raw(server.port, client_ssl).open() as raw:
        assert raw.frame() == (CLOSE, close_payload(1011))
        raw.say(CLOSE, close_payload(1011))
        raw.check_eof()
    (record,) = errors_in(caplog)
    assert record.exc_info is not None


@SECURE
@pytest.mark.parametrize("end", [close_payload(1000), b"\xff"], ids=["close", "violation"])
def test_what_the_client_said_before_the_end_is_answered(secure: bool, end: bytes, contexts: Any) -> None:
    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(echo, "127.0.0.1", 0, ssl=server_ssl) as server, Raw(server.port, client_ssl).open() as raw:
        messages = b"".join(frame(TEXT, b"%d" % number, key=KEY) for number in range(100))
        raw.send(messages + frame(CLOSE if end != b"\xff" else TEXT, end, key=KEY))
        assert [raw.message() for _ in range(100)] == [(TEXT, b"%d" % number) for number in range(100)]
        assert raw.close_frame() == (1000 if end != b"\xff" else 1007)
        raw.check_eof()


def test_the_end_does_not_wait_for_a_handler_that_has_nothing_to_answer() -> None:
    with Scene(timeouts=Timeouts.NONE) as at:
        at.raw.say(CLOSE, close_payload(1000))
        assert at.raw.frame() == (CLOSE, close_payload(1000))
    with Scene(timeouts=Timeouts.NONE) as at:
        at.raw.say(TEXT, b"1")
        assert at.ws.recv() == "1"
        receiving = in_thread(at.ws.recv)
        at.raw.say(CLOSE, close_payload(1000))
        assert at.raw.frame() == (CLOSE, close_payload(1000))
        with pytest.raises(ConnectionClosedError):
            receiving()


@pytest.mark.parametrize("call", [WebSocket.recv, WebSocket.wait_closed])
def test_who_waits_for_more_has_nothing_to_answer(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rfc6455_io._threads_driver, "ANSWER", 1e6)
    with Scene(timeouts=Timeouts.NONE) as at:
        at.raw.say(TEXT, b"1")
        at.raw.say(CLOSE, close_payload(1000))
        wait_until(lambda: at.ws._driver._is_answer_due)
        assert at.ws.recv() == "1"
        waiting = in_thread(lambda: call(at.ws))
        assert at.raw.frame() == (CLOSE, close_payload(1000))
        at.raw.check_eof()
        at.raw.sock.close()
        with contextlib.suppress(ConnectionClosedError):
            assert waiting().code == 1000


def test_the_end_waits_for_an_answer_no_longer_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with Scene(timeouts=Timeouts.NONE) as at:
        at.raw.say(TEXT, b"1")
        at.raw.say(TEXT, b"2")
        at.raw.say(CLOSE, close_payload(1000))
        wait_until(lambda: at.ws._driver._is_answer_due)
        at.ws.send("before")
        clock.move(at.server, 1.1)
        assert at.raw.frame() == (TEXT, b"before")
        assert at.raw.frame() == (CLOSE, close_payload(1000))
        with pytest.raises(ConnectionClosedError):
            at.ws.send("too late")
        assert list(at.ws) == ["1", "2"]


def test_a_handler_that_returns_closes_with_1000_and_drops_what_comes() -> None:
    with serve(lambda ws: None, "127.0.0.1", 0) as server, Raw(server.port).open() as raw:
        assert raw.frame() == (CLOSE, close_payload(1000))
        for _ in range(200):
            raw.say(BINARY, bytes(1 << 16))
        raw.say(CLOSE, close_payload(1000))
        raw.check_eof()


@pytest.mark.parametrize("action", ["recv", "send", "iterate"])
def test_the_end_of_its_own_connection_is_no_fault_of_a_handler(action: str, caplog: pytest.LogCaptureFixture) -> None:
    def handler(ws: WebSocket) -> None:
        for _ in ws if action == "iterate" else ():
            pass
        while True:
            ws.send("?") if action == "send" else ws.recv()

    with serve(handler, "127.0.0.1", 0) as server:
        Raw(server.port).open().reset()
    assert not errors_in(caplog)


def test_the_end_of_another_connection_is_one(caplog: pytest.LogCaptureFixture) -> None:
    def handler(ws: WebSocket) -> None:
        raise ConnectionClosedError(rfc6455.Closed(1006, "", False, None, CloseCause.EOF_IDLE))

    with serve(handler, "127.0.0.1", 0) as server, Raw(server.port).open() as raw:
        assert raw.close_frame() == 1011
    assert len(errors_in(caplog)) == 1


# ---- Time ----


def test_a_pong_that_is_in_the_socket_already_is_seen_by_a_late_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """T1."""
    clock = Clock(monkeypatch)
    timeouts = Timeouts(ping_interval=10, pong=10)
    with serve(echo, "127.0.0.1", 0, timeouts=timeouts) as server, Raw(server.port).open() as raw:
        for _ in range(3):
            clock.move(server, 11)
            opcode, payload = raw.frame()
            assert opcode == PING
            clock.move(server, 100, lambda payload=payload: raw.say(PONG, payload))  # type: ignore[misc]
            raw.say(PING, b"seen?")
            assert raw.frame() == (PONG, b"seen?")
        raw.say(TEXT, b"still here")
        while (seen := raw.frame())[0] == PING:
            pass
        assert seen == (TEXT, b"still here")


def test_a_peer_that_is_gone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with Scene(timeouts=Timeouts(ping_interval=10, pong=10)) as at:
        receiving = in_thread(at.ws.recv)
        clock.move(at.server, 11)
        assert at.raw.frame()[0] == PING
        clock.move(at.server, 11)
        assert at.raw.close_frame() == 3008
        with pytest.raises(ConnectionClosedError) as caught:
            receiving()
        assert caught.value.closed.cause is CloseCause.PONG_TIMEOUT


@SECURE
@pytest.mark.parametrize("sent", [b"", REQUEST[:40]], ids=["silent", "half a request"])
def test_a_client_that_does_not_ask_takes_no_thread_and_is_sent_away(
    secure: bool, sent: bytes, contexts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(echo, "127.0.0.1", 0, ssl=server_ssl) as server, Raw(server.port, client_ssl) as raw:
        raw.send(sent)
        wait_until(lambda: server._drivers)
        (driver,) = server._drivers
        wait_until(lambda: all(layer._is_open for layer in driver.wire.layers))
        assert not server._threads
        clock.move(server, 11)
        assert raw.answer().startswith("HTTP/1.1 408 ")
        raw.check_eof()


def test_a_client_that_does_not_begin_with_tls_is_cut(contexts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with serve(echo, "127.0.0.1", 0, ssl=contexts[0], timeouts=Timeouts(tcp_close=0.1)) as server:
        with Raw(server.port) as raw:
            raw.send(REQUEST)
            assert not raw.sock.recv(100).startswith(b"HTTP")  # at most an alert
        wait_until(lambda: not server._drivers)
        with Raw(server.port) as raw:
            wait_until(lambda: server._drivers)
            clock.move(server, 11)
            raw.check_eof()
        wait_until(lambda: not server._drivers)


# ---- Who may come in ----


def asks(request: bytes, server: Server) -> str:
    with Raw(server.port) as raw:
        raw.send(request)
        raw.sock.shutdown(socket.SHUT_WR)
        return raw.head()


ALERT = b"\x15\x03\x03\x00\x02\x02\x28"


@pytest.mark.parametrize("garbage", [ALERT, REQUEST], ids=["alert", "http"])
def test_an_answer_to_a_client_whose_tls_has_failed_is_dropped(
    garbage: bytes, contexts: tuple[ssl.SSLContext, ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    """As it is without TLS after a reset: receiving tells of the end."""
    with Scene(contexts) as scene:
        scene.raw.say(TEXT, b"hello")
        assert scene.ws.recv() == "hello"
        with socket.socket(fileno=os.dup(scene.raw.sock.fileno())) as inside:
            inside.sendall(garbage)
        wait_until(lambda: scene.ws.end)
        scene.ws.send("an answer")
        with pytest.raises(ConnectionClosedError):
            scene.ws.recv()
    assert not caplog.records


def test_process_request_answers(caplog: pytest.LogCaptureFixture) -> None:
    def process(request: Request) -> Response | None:
        if request.path == "/health":
            return Response(200, body=b"fine")
        if request.path == "/secret":
            return Response(401, Headers({"WWW-Authenticate": "Bearer"}))
        if request.path == "/faulty":
            raise KeyError("a secret of ours")
        if request.path == "/wrong":
            return Response(101, Headers({"Upgrade": "other"}))
        return Response(101, Headers({"X-Name": "Ann"}))

    def at(path: bytes) -> bytes:
        return REQUEST.replace(b"GET / ", b"GET " + path + b" ")

    with serve(echo, "127.0.0.1", 0, process_request=process) as server:
        assert asks(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", server).startswith("HTTP/1.1 200 ")
        assert "WWW-Authenticate: Bearer" in asks(at(b"/secret"), server)
        assert not errors_in(caplog)
        assert asks(at(b"/faulty"), server).startswith("HTTP/1.1 500 ")
        assert asks(at(b"/wrong"), server).startswith("HTTP/1.1 500 ")
        assert "X-Name: Ann" in asks(at(b"/"), server)
        assert asks(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", server).startswith("HTTP/1.1 426 ")
    assert len(errors_in(caplog)) == 2


def test_process_request_may_wait_and_the_others_do_not() -> None:
    goes_on = threading.Event()

    def process(request: Request) -> None:
        assert request.path == "/" or goes_on.wait(PATIENCE)

    with serve(echo, "127.0.0.1", 0, process_request=process) as server, Raw(server.port) as slow:
        slow.send(REQUEST.replace(b"GET / ", b"GET /slow "))
        wait_until(lambda: server._threads)
        with Raw(server.port).open() as raw:
            raw.say(TEXT, b"hello")
            assert raw.frame() == (TEXT, b"hello")
        goes_on.set()
        assert slow.head().startswith("HTTP/1.1 101 ")


def test_a_client_that_leaves_while_it_is_looked_at() -> None:
    goes_on = threading.Event()

    def process(request: Request) -> None:
        assert goes_on.wait(PATIENCE)

    with serve(echo, "127.0.0.1", 0, process_request=process) as server:
        with Raw(server.port) as raw:
            raw.send(REQUEST)
            wait_until(lambda: server._threads)
            raw.reset()
        wait_until(lambda: all(driver._has_eof for driver in server._drivers))
        goes_on.set()
        wait_until(lambda: not server._threads and not server._drivers)
        assert not server.connections


def test_too_many_clients_are_answered_with_503() -> None:
    with serve(echo, "127.0.0.1", 0, max_clients=2, backlog=1) as server:
        with Raw(server.port).open(), Raw(server.port).open():
            with Raw(server.port) as third:
                third.send(REQUEST)
                assert third.answer().startswith("HTTP/1.1 503 ")
                third.check_eof()
            with ExitStack() as stack:
                waiting = [stack.enter_context(Raw(server.port)) for _ in range(2)]
                wait_until(lambda: len(server._drivers) == 3)  # no more are taken in before one has left
                for raw in waiting:
                    raw.sock.close()
        wait_until(lambda: not server._drivers)
        with Raw(server.port).open() as raw:
            raw.say(TEXT, b"there is room again")
            assert raw.frame() == (TEXT, b"there is room again")


def test_a_rule_of_the_users_that_fails_stays_with_its_client(caplog: pytest.LogCaptureFixture) -> None:
    def origins(request: Request) -> bool:
        raise KeyError("a secret of ours")

    with serve(echo, "127.0.0.1", 0, origins=origins) as server:
        head = asks(REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: http://a.example\r\n\r\n"), server)
        assert head.startswith(("HTTP/1.1 503 ", "HTTP/1.1 500 "))
        with Raw(server.port).open() as raw:
            raw.say(TEXT, b"hello")
            assert raw.frame() == (TEXT, b"hello")
    assert len(errors_in(caplog)) == 1


def leave(*_: object) -> Any:
    raise SystemExit


def test_an_origins_rule_that_exits_ends_its_client_only(caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo, "127.0.0.1", 0, origins=leave) as server:
        with pytest.raises(OSError, match=r"reset|not connected|Broken pipe"):  # whichever call comes after the reset
            asks(REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: http://a.example\r\n\r\n"), server)
        with Raw(server.port).open() as raw:
            raw.say(TEXT, b"hello")
            assert raw.frame() == (TEXT, b"hello")
    assert len(errors_in(caplog)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # Python itself is silent
def test_a_client_whose_request_ends_its_thread_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    """As a handler may call sys.exit() to end the thread, so may process_request."""
    with serve(echo, "127.0.0.1", 0, process_request=leave, timeouts=Timeouts.NONE) as server:
        assert asks(REQUEST, server).startswith("HTTP/1.1 500 ")
    assert not errors_in(caplog)


def test_a_connection_that_cannot_be_waited_for_is_all_that_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The system has a limit for what a selector watches, at the beginning and later."""
    failures = [OSError(errno.ENOSPC, "no space for another watch")] * 2
    wait_for = rfc6455_io._threads_driver.Watch.wait_for

    def fail_first(watch: Any, mask: int) -> None:
        if failures and mask and isinstance(watch._member, Driver) and (len(failures) == 2 or mask & WRITE):
            raise failures.pop()
        wait_for(watch, mask)

    with Scene(small_buffers=True) as scene:
        monkeypatch.setattr(rfc6455_io._threads_driver.Watch, "wait_for", fail_first)
        with socket.socket() as sock, contextlib.suppress(ConnectionError):
            sock.settimeout(PATIENCE)
            sock.connect(("127.0.0.1", scene.server.port))
            assert sock.recv(1) == b""  # it could not be taken in
        scene.ws.send(bytes(16 << 20))  # the rest has to wait until the client reads
        assert scene.ws.wait_closed(PATIENCE).code == 1006
        with Raw(scene.server.port).open():
            pass
    assert not failures
    assert len(errors_in(caplog)) == 2


def test_a_server_is_known_by_its_names_alone() -> None:
    with serve(echo, "127.0.0.1", 0, hosts=["chat.example"]) as server:
        assert asks(REQUEST, server).startswith("HTTP/1.1 421 ")
        named = REQUEST.replace(b"Host: 127.0.0.1", b"Host: chat.example")
        assert asks(named, server).startswith("HTTP/1.1 101 ")


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with serve(echo, "127.0.0.1", 0) as server:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            assert asks(REQUEST, server).startswith("HTTP/1.1 503 ")
            wait_until(lambda: not server._drivers)
        with Raw(server.port).open():
            pass
    assert len(errors_in(caplog)) == 1


# ---- What is no WebSocket ----


@pytest.mark.parametrize("seed", range(20))
def test_garbage_harms_nobody(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(seed)
    with serve(echo, "127.0.0.1", 0, extensions=[rfc6455.PerMessageDeflate()]) as server:
        with Raw(server.port) as raw, contextlib.suppress(OSError):
            if seed % 2:
                raw.open()
            for _ in range(dice.randint(1, 4)):
                raw.send(dice.randbytes(dice.choice([1, 10, 1000, 100_000])))
            if seed % 3 == 0:
                raw.reset()
        with Raw(server.port).open() as raw:
            raw.say(TEXT, b"still here")
            assert raw.frame() == (TEXT, b"still here")
    assert not errors_in(caplog)


VIOLATIONS = {
    "not masked": (bytes.fromhex("81 02 6869"), 1002),
    "reserved opcode": (bytes.fromhex("83 80 00000000"), 1002),
    "not UTF-8": (bytes.fromhex("81 81 00000000 ff"), 1007),
    "too big": (bytes.fromhex("82 ff 0000000000300000 00000000") + bytes(3 << 20), 1009),
}


@SECURE
@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=list(VIOLATIONS))
def test_a_violation_gets_its_close_code(secure: bool, data: bytes, code: int, contexts: Any) -> None:
    """Though the client sends on and reads only then."""
    server_ssl, client_ssl = contexts if secure else (None, None)
    with serve(echo, "127.0.0.1", 0, ssl=server_ssl) as server, Raw(server.port, client_ssl).open() as raw:
        raw.send(data)
        assert raw.close_frame() == code
        raw.check_eof()


# ---- The server ----


def test_where_it_listens(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(str(path))  # what it leaves does no harm
    for _ in range(2):
        with serve(echo, path=path) as server, connect("ws://localhost/", path=str(path)) as ws:
            ws.send("hello")
            assert ws.recv(PATIENCE) == "hello"
        assert server.sockets == []
    with serve(echo, sock=socket.create_server(("127.0.0.1", 0))) as server:
        with connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws:
            assert ws.get_extra_info("peername") == ("127.0.0.1", server.port)
            assert ws.get_extra_info("sockname") == ws.get_extra_info("socket").getsockname()
            assert ws.get_extra_info("ssl_object", "none") == "none"
        # The port is taken.
        with pytest.raises(OSError, match=r"(?i)address"):
            serve(echo, "127.0.0.1", server.port).start()
    with serve(echo, ["127.0.0.1", "localhost"], 0) as server:
        assert len(server.sockets) >= 1
        with Raw(server.port).open():
            pass
    assert server.sockets == []
    if hasattr(socket, "SO_REUSEPORT"):
        with serve(echo, "127.0.0.1", 0, reuse_port=True) as one:
            serve(echo, "127.0.0.1", one.port, reuse_port=True).start().close()


def test_what_is_wrong_is_said_at_once() -> None:
    with pytest.raises(TypeError, match="a handler is a function"):
        serve("echo", "127.0.0.1", 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="limits"):
        serve(echo, "127.0.0.1", 0, limits=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        serve(echo, "127.0.0.1", 0, unknown=5)  # type: ignore[call-arg]


@SECURE
def test_the_server_closes_all_with_1012(secure: bool, contexts: Any) -> None:
    server_ssl, client_ssl = contexts if secure else (None, None)
    with ExitStack() as stack:
        server = stack.enter_context(serve(echo, "127.0.0.1", 0, ssl=server_ssl, timeouts=Timeouts.NONE))
        raws = [stack.enter_context(Raw(server.port, client_ssl).open()) for _ in range(5)]
        port = server.port
        waiting = stack.enter_context(Raw(port, client_ssl))
        wait_until(lambda: len(server._drivers) == 6)
        tls = [layer for driver in server._drivers for layer in driver.wire.layers]
        wait_until(lambda: all(layer._is_open for layer in tls))
        closing = in_thread(lambda: server.close(reason="update"))
        for raw in raws:
            assert raw.frame() == (CLOSE, close_payload(1012, b"update"))
            raw.say(CLOSE, close_payload(1012))
            raw.check_eof()
            raw.sock.close()
        assert waiting.answer().startswith("HTTP/1.1 503 ")
        waiting.sock.close()
        closing()
        assert not server.connections
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_who_does_not_answer_is_cut_when_the_time_is_over() -> None:
    with Scene(timeouts=Timeouts.NONE) as at:
        at.done.set()
        at.server.close(timeout=0.01)
        assert at.raw.close_frame() in (1000, 1012)
        assert at.ws.wait_closed(PATIENCE).code == 1006


def test_a_handler_that_goes_on_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with Scene() as at:
        at.server.close(timeout=0.01)
        (record,) = [record for record in caplog.records if "handlers are still running" in record.getMessage()]
        assert "rfc6455 client" in record.getMessage()
        with pytest.raises(ConnectionClosedError):
            at.ws.recv()


def test_a_handler_may_close_the_server() -> None:
    def handler(ws: WebSocket) -> None:
        assert ws.recv(PATIENCE) == "end"
        server.close(1001)
        ended.set()

    ended = threading.Event()
    with serve(handler, "127.0.0.1", 0) as server, Raw(server.port).open() as raw:
        raw.say(TEXT, b"end")
        assert raw.close_frame() == 1001
        raw.say(CLOSE, close_payload(1001))
        raw.check_eof()
        raw.sock.close()
        assert ended.wait(PATIENCE)


def test_stop_ends_serve_forever() -> None:
    server = serve(echo, "127.0.0.1", 0).start()
    serving = in_thread(server.serve_forever)
    server.stop()
    server.stop()
    serving()
    server.serve_forever()  # it has ended, and so has this


def test_a_second_stop_comes_while_serve_forever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedAgain:
        """A lock that another thread releases right after it was acquired."""

        def acquire(self, timeout: float) -> bool:
            return True

        def release(self) -> None:
            raise RuntimeError("release unlocked lock")

    with serve(echo, "127.0.0.1", 0) as server:
        monkeypatch.setattr(server, "_running", StoppedAgain())
        server.serve_forever()
        assert server.sockets == []


def test_an_exception_ends_serve_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def acquire(self, timeout: float) -> bool:
            raise KeyboardInterrupt

        def release(self) -> None:
            pass

    with serve(echo, "127.0.0.1", 0) as server:
        monkeypatch.setattr(server, "_running", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert server.sockets == []


def test_a_server_that_is_closed_before_it_has_begun() -> None:
    serve(echo, "127.0.0.1", 0).close()


def test_no_descriptor_to_be_had(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    taken_in = Server._take_in
    failures = iter([OSError(errno.EMFILE, "too many open files"), OSError(errno.EPERM, "?"), None])

    def take_in(server: Server, listener: socket.socket, loop: Any) -> bool:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        return taken_in(server, listener, loop)

    monkeypatch.setattr(Server, "_take_in", take_in)
    with serve(echo, "127.0.0.1", 0) as server, Raw(server.port).open() as raw:
        raw.say(TEXT, b"hello")
        assert raw.frame() == (TEXT, b"hello")
    assert len(caplog.records) >= 2


@pytest.mark.parametrize("place", [{"host": "127.0.0.1"}, {"path": "socket"}], ids=["address", "path"])
def test_a_start_for_which_there_is_no_descriptor_leaves_nothing(
    place: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor() -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.chdir(tmp_path)
    made: list[socket.socket] = []
    server = serve(echo, **place)  # type: ignore[arg-type]
    listen = server._listen
    server._listen = lambda: made.extend(listen()) or made  # type: ignore[func-returns-value]
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", no_descriptor)
        with pytest.raises(OSError, match="too many"):
            server.start()
    assert [sock.fileno() for sock in made] == [-1]
    assert not list(tmp_path.iterdir())
    made.clear()
    with server:  # which tries again
        assert len(server.sockets) == 1


def resolved(host: str, port: int, *_: object, **how: object) -> list[Any]:
    """Return the addresses that these names have on a machine with IPv6."""
    ipv6 = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", port, 0, 0))
    ipv4 = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
    return {"localhost": [ipv6, ipv4], "ip6-localhost": [ipv6], "::1": [ipv6]}[host]


@pytest.fixture(params=[errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL], ids=["family", "address"])
def no_ipv6(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a machine be without IPv6: switched off in the kernel, or for each interface."""
    real = socket.socket

    class Socket(real):  # type: ignore[misc, valid-type]
        def __init__(self, family: int = -1, *arguments: Any, **how: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(request.param, "no IPv6")
            super().__init__(family, *arguments, **how)

    monkeypatch.setattr(socket, "socket", Socket)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.mark.usefixtures("no_ipv6", "no_proxies")
def test_a_machine_without_ipv6_uses_the_other_address_of_a_name() -> None:
    with serve(echo, "localhost", 0) as server:
        assert [sock.getsockname()[0] for sock in server.sockets] == ["127.0.0.1"]
        with connect(f"ws://localhost:{server.port}/") as ws:
            ws.send("hello")
            assert ws.recv() == "hello"


@pytest.mark.usefixtures("no_ipv6")
@pytest.mark.parametrize("host", ["::1", ["localhost", "::1"], "ip6-localhost"])
def test_an_address_that_this_machine_does_not_have_is_reported(host: Any) -> None:
    with pytest.raises(OSError, match="no IPv6"):
        serve(echo, host, 0).start()
