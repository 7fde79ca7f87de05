"""The chat's server with something in it broken: `broken_chat.py WHAT [ARGUMENT ...]`.

The broken part raises an error that nothing in the server catches, as a bug might.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

CHAT = Path(__file__).resolve().parents[2] / "examples" / "chat"


class BrokenError(BaseException):
    """An error that nobody expects."""


def fail(*_: object) -> NoReturn:
    raise BrokenError("this is broken")


def then_fail(real: Callable[..., Any]) -> Callable[..., Any]:
    """Break the method after it has waited for something to do, and so not before somebody is there."""

    def method(self: object) -> NoReturn:
        real(self)
        fail()

    return method


def fail_as_usual(*_: object) -> NoReturn:
    raise RuntimeError("this is broken")


def unless_broken(real: Callable[..., Any]) -> Callable[..., Any]:
    """Break the method for those who ask for ``/broken``."""

    def method(self: object, asked: str | bytes) -> Any:
        if "/broken" in str(asked):
            fail_as_usual()
        return real(self, asked)

    return method


class Once:
    """A method that breaks when it is first called."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self._is_used = False

    def __call__(self, *arguments: Any) -> Any:
        if not self._is_used:
            self._is_used = True
            fail_as_usual()
        return self._real(*arguments)


class BrokenStdout:
    """Standard output that breaks after the first line, which says where the server listens."""

    def __init__(self) -> None:
        self._real = sys.stdout
        self._is_used = False

    def write(self, text: str) -> None:
        if self._is_used:
            fail()
        self._is_used = True
        self._real.write(text)

    def flush(self) -> None:
        self._real.flush()


def break_it(what: str) -> None:
    if what == "caretaker":
        from service import caretaker

        caretaker.Caretaker._tick = fail  # type: ignore[method-assign]
    elif what == "log":
        sys.stdout = BrokenStdout()  # type: ignore[assignment]
    elif what == "bus clerk":
        from service import bus

        bus.RedisBus._queued = then_fail(bus.RedisBus._queued)  # type: ignore[method-assign]
    elif what == "bus writer":
        from service import bus

        bus.RedisBus._to_write = then_fail(bus.RedisBus._to_write)  # type: ignore[method-assign]
    elif what == "bus reader":
        from service import bus, stream

        bus.RedisBus._go_alone = fail  # type: ignore[method-assign]
        stream.TIMEOUT = 0.1  # for which the server waits to know whether Redis is there
    elif what == "one session":
        import server

        server.Session = Once(server.Session)  # type: ignore[assignment, misc]
    elif what == "look":
        import session

        session.Session._receive = unless_broken(session.Session._receive)  # type: ignore[method-assign]
    elif what == "pages":
        from service import pages

        pages.Pages.answer = unless_broken(pages.Pages.answer)  # type: ignore[method-assign]
    else:
        raise ValueError(what)


if __name__ == "__main__":
    sys.path.append(str(CHAT))
    import server

    break_it(sys.argv.pop(1))
    # How long `/health` has to be asked in, on the slowest machine.
    server.FAILED_TIMEOUT = float(sys.argv.pop(1))
    server.main()
