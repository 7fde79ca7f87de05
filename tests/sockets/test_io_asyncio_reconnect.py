"""`rfc6455_io.asyncio.reconnect`: what is tried again, after how long, and what is not."""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from fractions import Fraction
from typing import Any

import pytest
from io_loops import BOTH_LOOPS, run

from rfc6455 import CloseCause, Closed, ConnectionClosedError, HandshakeError, Headers, Request, Response
from rfc6455_io.asyncio import Backoff, ProxyError, WebSocket, connect, is_worth_a_retry, reconnect, serve

QUICK = Backoff(first=0.001, longest=0.001, restart=(0.0, 0.001))


def refused(status: int, **headers: str) -> HandshakeError:
    fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return HandshakeError(status, "?", "4.1", Response(status, fields), CloseCause.OPENING_REFUSED)


def closed(code: int) -> ConnectionClosedError:
    return ConnectionClosedError(Closed(code, "", True))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_has_a_bad_moment_is_asked_again(status: int) -> None:
    assert is_worth_a_retry(refused(status))
    assert is_worth_a_retry(ProxyError("?", Response(status)))


@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 407, 410, 426, 501, 505])
def test_a_server_that_says_no_is_not(status: int) -> None:
    assert not is_worth_a_retry(refused(status))
    assert not is_worth_a_retry(ProxyError("?", Response(status)))


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 3008, 4000])
def test_a_connection_that_ended_so_is_worth_another(code: int) -> None:
    assert is_worth_a_retry(closed(code))


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003])
def test_a_connection_that_ended_so_is_not(code: int) -> None:
    assert not is_worth_a_retry(closed(code))


def test_other_errors() -> None:
    for error in (ConnectionRefusedError(), TimeoutError(), OSError(), ProxyError("?")):
        assert is_worth_a_retry(error)
    for cause in (CloseCause.OPENING_EOF, CloseCause.OPEN_TIMEOUT):
        assert is_worth_a_retry(HandshakeError(None, "?", cause=cause))
    assert not is_worth_a_retry(HandshakeError(None, "?", cause=CloseCause.OPENING_INVALID))
    assert not is_worth_a_retry(ssl.SSLCertVerificationError())
    assert not is_worth_a_retry(KeyError())


def test_delays() -> None:
    backoff = Backoff(first=1, longest=60)
    assert [backoff.bounds(OSError(), attempt) for attempt in (0, 1, 5, 6, 10_000)] == [
        (0, 1),
        (0, 2),
        (0, 32),
        (0, 60),
        (0, 60),
    ]
    assert backoff.bounds(closed(1012), 0) == (5, 30)
    assert backoff.bounds(closed(1013), 0) == (30, 60)
    assert backoff.bounds(refused(503, Retry_After="7"), 1) == (7, 9)
    for nonsense in ("", "-7", "7.5", "tomorrow", "9" * 4000 + "x", "٣"):
        assert backoff.bounds(refused(503, Retry_After=nonsense), 0) == (0, 1)
    assert backoff.bounds(refused(503, Retry_After="9" * 4000), 0)[0] < 1e10
    at = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=100), usegmt=True)
    low, high = backoff.bounds(refused(503, Retry_After=at), 0)
    assert 50 < low <= 100
    assert high == low + 1
    assert backoff.bounds(refused(503, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"), 0) == (0, 1)


@pytest.mark.parametrize(
    ("asked", "delay"),
    {
        "5": 5,
        "0000000000005": 5,
        "0": 0,
        "999999999999": 86400,
        "9" * 10_000: 86400,
        "Thu, 31 Dec 9999 23:59:59 GMT": 86400,
        "Wed, 21 Oct 2015 07:28:00 GMT": 0,
        # RFC 9110, 5.6.7: the obsolete formats are accepted, too; a date without a zone is in UTC
        "Wednesday, 21-Oct-65 07:28:00 GMT": 86400,
        "Wed Oct 21 07:28:00 2099": 86400,
        "Wed Oct  1 07:28:00 2098": 86400,
        "Wed, 21 Oct 2099 07:28:00 -0000": 86400,
        "Wed, 21 Oct 2099 07:28:00": 86400,
        # none of these is a delay: RFC 9110, 10.2.3
        "-5": 0,
        "1e9": 0,
        "\u0665": 0,
        "5, 6": 0,
        "Mon, 99 Foo 9999999999999 00:00:00 GMT": 0,
        "Sun Nov 6 08:49:37 " + "9" * 40: 0,
    }.items(),
)
def test_a_server_can_make_its_clients_wait_up_to_a_day(asked: str, delay: float) -> None:
    response = Response(503, Headers({"Retry-After": asked}))
    error = HandshakeError(503, "", "4.1", response, CloseCause.OPENING_REFUSED)
    assert Backoff(random=lambda: 0.0).delay(error, 0) == delay


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"first": -1}, ValueError, "Backoff.first must be a number of seconds from 0 up, not -1"),
        ({"first": "1"}, ValueError, "Backoff.first must be a number of seconds from 0 up, not '1'"),
        ({"longest": None}, ValueError, "Backoff.longest must be a number of seconds from 0 up, not None"),
        ({"longest": float("nan")}, ValueError, "Backoff.longest must be a number"),
        ({"restart": 5}, ValueError, "Backoff.restart must be two numbers of seconds, not 5"),
        ({"restart": (5,)}, ValueError, "Backoff.restart must be two numbers of seconds"),
        ({"restart": (5, "30")}, ValueError, "Backoff.restart must be a number of seconds from 0 up, not '30'"),
        ({"random": 0.5}, TypeError, "Backoff.random is a function that returns a number, not 0.5"),
    ],
)
def test_a_backoff_that_cannot_work(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Backoff(**arguments)


def test_each_delay_is_random_between_its_bounds() -> None:
    delays = [Backoff().delay(OSError(), 3) for _ in range(100)]
    assert 0 <= min(delays) < 2
    assert 6 < max(delays) <= 8
    assert Backoff(random=lambda: 1.0).delay(closed(1012), 0) == 30
    delay = Backoff(longest=Fraction(1, 2), random=lambda: 1).delay(OSError(), 1)  # type: ignore[arg-type]
    assert (delay, type(delay)) == (0.5, float)


@BOTH_LOOPS
def test_a_server_that_comes_and_goes(loop: str) -> None:
    answers = iter([Response(503), Response(500), None, None, Response(403)])
    told = []

    def process(request: Request) -> Response | None:
        return next(answers)

    async def handler(ws: WebSocket) -> None:
        await ws.send("hello")
        await ws.close(1012)

    async def main() -> None:
        got = []
        async with serve(handler, "127.0.0.1", 0, process_request=process) as server:

            async def receive() -> None:
                uri = f"ws://127.0.0.1:{server.port}/"
                tell = lambda error, delay: told.append((error, delay))  # noqa: E731
                async for ws in reconnect(uri, backoff=QUICK, tell=tell, proxy=None):
                    message = await ws.recv()
                    got.append(message)

            with pytest.raises(HandshakeError) as caught:
                await receive()
        assert caught.value.status == 403
        assert got == ["hello", "hello"]

    run(main(), loop)
    assert [error.status for error, _ in told[:2]] == [503, 500]
    assert [error.closed.code for error, _ in told[2:]] == [1012, 1012]
    assert all(0 <= delay <= 0.001 for _, delay in told)


@BOTH_LOOPS
def test_leaving_the_loop_closes(loop: str) -> None:
    ends: list[Closed] = []

    async def handler(ws: WebSocket) -> None:
        ends.append(await ws.wait_closed())

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0) as server:
            tries = reconnect(f"ws://127.0.0.1:{server.port}/", backoff=QUICK, proxy=None)
            async for ws in tries:
                assert ws.end is None
                break
            await tries.aclose()
            assert ws.end is not None
        assert [closed.code for closed in ends] == [1000]

    run(main(), loop)


def test_a_wait_can_be_cancelled() -> None:
    async def main() -> None:
        told = asyncio.Event()

        async def receive() -> None:
            slow = Backoff(first=1000, longest=1000, random=lambda: 1.0)
            async for _ in reconnect("ws://127.0.0.1:1/", backoff=slow, tell=lambda *_: told.set(), proxy=None):
                raise AssertionError("nobody listens there")

        receiving = asyncio.ensure_future(receive())
        await told.wait()
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving

    run(main())


@BOTH_LOOPS
def test_a_function_makes_each_connection(loop: str) -> None:
    """With a token that it gets before; what fails then is tried again if `worth_retry` says so."""
    seen: list[str | None] = []
    tokens = iter(["one", "", "two", "three"])

    async def handler(ws: WebSocket) -> None:
        seen.append(ws.request.headers.get("Authorization"))
        await ws.close(1011)

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0) as server:

            async def open_it() -> WebSocket:
                token = next(tokens)
                if not token:
                    raise KeyError("there is no token yet")
                return await connect(
                    f"ws://127.0.0.1:{server.port}/", proxy=None, headers={"Authorization": f"Bearer {token}"}
                )

            def is_worth_it(error: Exception) -> bool:
                return isinstance(error, KeyError) or is_worth_a_retry(error)

            tries = reconnect(open_it, backoff=QUICK, worth_retry=is_worth_it)
            async for ws in tries:
                await ws.wait_closed()
                if len(seen) == 3:
                    break
            await tries.aclose()

    run(main(), loop)
    assert seen == ["Bearer one", "Bearer two", "Bearer three"]
