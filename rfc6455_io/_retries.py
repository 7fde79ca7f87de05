"""Whether and when to try again, for clients that reconnect.

Not here: connections and clocks.

The law: all clients of a server fail at the same time, but must not come back at the same time. So each delay is
random between 0 and a bound that doubles ("full jitter"), and a client that is told to wait waits at least that long.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from numbers import Real

from rfc6455 import CloseCause, CloseCode, ConnectionClosedError, HandshakeError, ProtocolError
from rfc6455.arguments import check_plain, check_type

from ._proxies import ProxyError

logger = logging.getLogger("rfc6455_io")

# The codes after which the same request cannot succeed: some of 7.4.1, and 3000 (Unauthorized) and 3003 (Forbidden)
# from the IANA registry.
FINAL_CODES = (1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003)

# RFC 9110, 15.5: a 4xx means that the request is wrong, except for these, after which it may succeed later. 501 and
# 505 are permanent.
TRANSIENT_STATUSES = (408, 425, 429)
FINAL_STATUSES = (501, 505)

# The maximum time in seconds for which a server can make a client wait with Retry-After. Without it, a wrong date
# could keep a client away for ever.
LONGEST_ASKED = 24 * 3600.0


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next attempt.

    :param first: the upper bound of the first delay, in seconds; it doubles with each attempt.
    :param longest: the maximum of that bound, in seconds. A server may ask for more with ``Retry-After``, up to a day.
    :param restart: the bounds of the delay after 1012 (Service Restart): 5 to 30 s, as recommended in the IANA
        registry.
    :param random: a function that returns random numbers from 0 to 1.
    :raises ValueError: when a time is not a number of seconds from 0 up.
    :raises TypeError: when ``random`` cannot be called.

    >>> backoff = Backoff(random=lambda: 0.5)
    >>> [backoff.delay(ConnectionRefusedError(), attempt) for attempt in (0, 1, 2, 10)]
    [0.5, 1.0, 2.0, 30.0]
    """

    first: float = 1.0
    longest: float = 60.0
    restart: tuple[float, float] = (5.0, 30.0)
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        restart = self.restart
        if not isinstance(restart, (tuple, list)) or len(restart) != 2:
            raise ValueError(f"Backoff.restart must be two numbers of seconds, not {restart!r}")
        for name, value in (
            ("first", self.first),
            ("longest", self.longest),
            *(("restart", each) for each in restart),
        ):
            if not isinstance(value, (int, float, Real)) or not value >= 0:
                raise ValueError(f"Backoff.{name} must be a number of seconds from 0 up, not {value!r}")
        if not callable(self.random):
            raise TypeError(f"Backoff.random is a function that returns a number, not {self.random!r}")

    def delay(self, error: Exception, attempt: int) -> float:
        """Return how long to wait, in seconds.

        :param error: what went wrong.
        :param attempt: the number of attempts that have failed in a row before this one.
        """
        low, high = self.bounds(error, attempt)
        return float(low + (high - low) * self.random())

    def bounds(self, error: Exception, attempt: int) -> tuple[float, float]:
        """Return the bounds of the delay, in seconds; the arguments are those of `delay`."""
        bound = min(self.first * 2.0 ** min(attempt, 64), self.longest)
        if isinstance(error, ConnectionClosedError):
            if error.closed.code == CloseCode.SERVICE_RESTART:
                return self.restart
            if error.closed.code == CloseCode.TRY_AGAIN_LATER:
                # The server is overloaded.
                return self.longest / 2, self.longest
        asked = _retry_after(error)
        return (0.0, bound) if asked is None else (asked, asked + bound)


DEFAULT_BACKOFF = Backoff()


class Retries:
    """The attempts of one client, and their results.

    :param backoff: how long to wait between two attempts.
    :param worth_retry: whether to try again after an error.
    :param tell: called before each wait with the error and the delay in seconds; ``None`` for a line in the log.
    :param uri: where to connect, or a function that does.
    :param arguments: those of `connect`, which must be good for more than one connection.
    """

    def __init__(
        self,
        backoff: Backoff,
        worth_retry: Callable[[Exception], bool],
        tell: Callable[[Exception, float], object] | None,
        uri: object,
        arguments: Mapping[str, object],
    ) -> None:
        if callable(uri) and arguments:
            raise TypeError(f"a function that connects is called without arguments; pass {', '.join(arguments)} in it")
        if arguments.get("sock") is not None:
            raise ValueError("sock is good for one connection; reconnect() needs a way to connect again")
        if "listener" in arguments:
            raise TypeError("reconnect() yields WebSocket objects, and takes no listener")
        check_type(backoff, Backoff, "backoff is a Backoff, such as Backoff(longest=10)")
        check_plain(worth_retry, "worth_retry")
        if tell is not None:
            check_plain(tell, "tell")
        self._backoff = backoff
        self._worth_retry = worth_retry
        self._tell = tell or (lambda error, delay: logger.info("reconnecting in %.1f s: %s", delay, error))
        self._attempt = 0  # the number of attempts that have failed in a row

    def delay(self, error: Exception, seconds: float) -> float:
        """Return how long to wait before the next attempt, in seconds, or raise the error if it is not worth another
        one.

        :param error: what the last attempt ended with.
        :param seconds: how long that took, including the connection that it made.
        """
        if isinstance(error, ConnectionClosedError) and seconds > self._backoff.longest:
            self._attempt = 0
        if not self._worth_retry(error):
            raise error
        delay = self._backoff.delay(error, self._attempt)
        self._attempt += 1
        self._tell(error, delay)
        return delay


def is_worth_a_retry(error: Exception) -> bool:
    """Return whether the same attempt may succeed later. This is ``False`` after 401, 403, 404 and other answers that
    blame the request, after an answer that breaks the rules, after an invalid certificate, and after close codes such
    as 1008.

    :param error: what `connect` raised, or a `rfc6455.ConnectionClosedError`.
    """
    if isinstance(error, ConnectionClosedError):
        return error.closed.code not in FINAL_CODES
    if isinstance(error, HandshakeError):
        if error.status is None or error.cause is not CloseCause.OPENING_REFUSED:
            return error.cause is not CloseCause.OPENING_INVALID
        return _is_transient(error.status)
    if isinstance(error, ProxyError):
        return error.response is None or _is_transient(error.response.status)
    return not isinstance(error, (ProtocolError, ssl.SSLCertVerificationError)) and isinstance(error, OSError)


def _is_transient(status: int) -> bool:
    return status in TRANSIENT_STATUSES or (status >= 500 and status not in FINAL_STATUSES)


def _retry_after(error: Exception) -> float | None:
    """Return the number of seconds that ``Retry-After`` asks for, as a number or a date (RFC 9110 10.2.3)."""
    response = getattr(error, "response", None)
    value = None if response is None else response.headers.get("Retry-After")
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        seconds = float(value.lstrip("0")[:9] or 0)
    else:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        # RFC 9110, 5.6.7: a recipient "MUST accept all three HTTP-date formats", and that of asctime() names no zone.
        at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
        seconds = (at - datetime.now(timezone.utc)).total_seconds()
    return min(max(0.0, seconds), LONGEST_ASKED)
