"""All orders of actions by two ends, the wire between them and the clock, up to a certain depth.

Without I/O, two endpoints and a wire are a finite game. `explore` plays all possible games, breadth first, and only
goes on from states that it has not seen. It checks that in each state,

- `Closed` comes once, and nothing after it;
- there is no data frame after a Close frame of the same end, and no frame at all once there was one in each direction
  (5.5.1);
- the messages that one end has received are the first ones that the other has sent, and complete (5.4);
- each Ping that is read is answered, if the peer goes on (5.5.2);
- memory stays within the budget;
- both ends finish, if the peer and the clock go on.

A state consists of the contents of the two endpoints and the wire, without values that only grow (counters, the time).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

import pytest
from helpers import CLOSE, PONG, read_frames

import rfc6455
from rfc6455 import (
    CLIENT,
    SERVER,
    Closed,
    Connection,
    ConnectionClosedError,
    Endpoint,
    LocalProtocolError,
    Ping,
    Role,
    TextMessage,
    Timeouts,
)

pytestmark = pytest.mark.skipif(rfc6455.__compiled__, reason="compiled objects do not show what is in them")

TIMEOUTS = Timeouts(ping_interval=20, pong=5, close=10, tcp_close=2)
PINGS = 3  # each end's own, so that their numbers do not make ever new states
BAD_FRAME = b"\x83\x80" + bytes(4), b"\x83\x00"  # the reserved opcode 3, from a client and from a server


class Move(NamedTuple):
    """One action: ``kind``, by the end ``role``, or with the data that this end has sent."""

    kind: str
    role: Role


# In the order in which a game is looked at.
KINDS = ("send", "begin", "finish", "ping", "close", "deliver one", "deliver all", "end of file", "break", "time")
MOVES = [Move(kind, role) for kind in KINDS for role in Role if kind != "time" or role is CLIENT]


class InvariantError(AssertionError):
    """An invariant does not hold."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise InvariantError(what)


class End:
    """One endpoint, and all that can be seen of it."""

    def __init__(self, role: Role) -> None:
        self.role = role
        # Masks of zeros, so that equal messages are equal bytes.
        self.endpoint = Endpoint(Connection(role, random=bytes), TIMEOUTS, now=0.0)
        self.said: list[str] = []  # what the other end must get
        self.beginning = ""
        self.got: list[str] = []
        self.closed: Closed | None = None
        self.has_sent_close = False
        self.has_received_close = False
        self.pings = 0
        self.wire = b""  # sent, and not delivered yet
        self.is_eof = False  # the other end will get, or has got, the end of the stream
        self.is_eof_delivered = False
        self.is_broken = False

    def take(self, events: Iterator[Any]) -> list[bytes]:
        """Look at what happened; return the payloads of the Pings that must be answered."""
        pings = []
        for event in events:
            check(self.closed is None, "an event after Closed")
            match event:
                case TextMessage(text):
                    self.got.append(text)
                case Ping(payload):
                    pings.append(payload)
                case Closed():
                    self.closed = event
                    self.has_received_close = event.clean
        check((self.closed is not None) == self.endpoint.closed, "the endpoint is closed, and no event says so")
        return [] if self.endpoint.closed else pings

    def send_all(self) -> list[Any]:
        """Put on the wire what there is to send; return its frames."""
        had_both = self.has_sent_close and self.has_received_close
        data = self.endpoint.data_to_send()
        check(not self.endpoint.has_data_to_send, "there is more to send after data_to_send()")
        frames = read_frames(data, self.role)
        for frame in frames:
            check(not had_both, "a frame after both Close frames")
            check(not self.has_sent_close or frame.opcode >= CLOSE, "a data frame after a Close frame")
            check(not (self.has_sent_close and frame.opcode == CLOSE), "two Close frames")
            self.has_sent_close = self.has_sent_close or frame.opcode == CLOSE
        if not self.is_eof:
            self.wire += data
        return frames


class Game:
    """Two ends, and the moves made so far."""

    def __init__(self) -> None:
        self.ends = {role: End(role) for role in Role}
        self.now = 0.0
        self.is_replay = False  # these moves have been looked at before

    def make(self, move: Move) -> bool:
        """Make a move; return whether there was anything to do."""
        end, other = self.ends[move.role], self.ends[move.role.peer]
        match move.kind:
            case "send" | "begin" | "finish":
                return self._say(end, move.kind)
            case "ping":
                return self._ping(end)
            case "close":
                end.endpoint.close(4000, "bye")
                return self._tell(end, None)
            case "deliver one" | "deliver all":
                size = 1 if move.kind == "deliver one" else len(end.wire)
                data, end.wire = end.wire[:size], end.wire[size:]
                return bool(data) and self._tell(other, data)
            case "end of file":
                # What is on its way arrives before it; what is sent after it does not.
                if end.is_eof_delivered or (end.wire and end.is_eof):
                    return False
                end.is_eof = True
                end.is_eof_delivered = not end.wire
                return not end.is_eof_delivered or self._tell(other, b"")
            case "break":
                is_possible = not (end.is_broken or end.is_eof or end.has_sent_close)
                end.is_broken = True
                end.wire += BAD_FRAME[end.role is SERVER] if is_possible else b""
                return is_possible
            case _:
                return self._pass_time()

    def _say(self, end: End, kind: str) -> bool:
        text = {"send": "whole", "begin": "be", "finish": "gun"}[kind]
        begins, finishes = kind != "finish", kind != "begin"
        if begins == bool(end.beginning) or len(end.said) - len(self.ends[end.role.peer].got) > 1:
            return False
        before = None if self.is_replay else frozen(end.endpoint, self.now)
        try:
            end.endpoint.send_text(text, fin=finishes)
        except LocalProtocolError as error:
            check(end.has_sent_close or end.endpoint.closed, "a message was refused before the end")
            check(isinstance(error, ConnectionClosedError) or end.closed is None, "the error does not say why")
            check(self.is_replay or frozen(end.endpoint, self.now) == before, "a refused call has changed something")
            return False
        check(not end.has_sent_close, "a message was taken after our Close frame")
        end.beginning += text
        if finishes:
            end.said.append(end.beginning)
            end.beginning = ""
        end.send_all()
        return True

    def _ping(self, end: End) -> bool:
        if end.pings == PINGS or end.has_sent_close or end.endpoint.closed:
            return False
        end.pings += 1
        end.endpoint.ping(b"?")
        end.send_all()
        return True

    def _pass_time(self) -> bool:
        times = [at for end in self.ends.values() if (at := end.endpoint.next_deadline()) is not None]
        if not times:
            return False
        self.now = max(self.now, min(times))
        for end in self.ends.values():
            self._tell(end, None)
        return True

    def _tell(self, end: End, data: bytes | None) -> bool:
        pings = end.take(end.endpoint.events(data, now=self.now))
        at = end.endpoint.next_deadline()
        check(at is None or at > self.now, "something is due, and was not done")
        frames = end.send_all()
        answered = [frame.payload for frame in frames if frame.opcode == PONG]
        check(answered[-len(pings) :] == pings or not pings, "a Ping was not answered")
        self._check_agreement(end)
        return True

    def _check_agreement(self, end: End) -> None:
        said = self.ends[end.role.peer].said
        check(end.got == said[: len(end.got)], f"got {end.got} of {said}")
        connection = end.endpoint.connection
        assert connection is not None
        budget = connection.limits.budget
        check(budget is not None and connection.retained_bytes <= budget, "more memory than the budget")

    def play_to_the_end(self) -> None:
        """The peer and the clock go on: both ends must be finished."""
        for _ in range(40):
            for role in Role:
                for kind in ("deliver all", "close"):
                    self.make(Move(kind, role))
                if self.ends[role].endpoint.must_close:
                    self.make(Move("end of file", role))
            if all(end.endpoint.finished for end in self.ends.values()):
                return
            self._pass_time()
        raise InvariantError("not finished, although the peer and the clock went on")

    def state(self) -> Any:
        return tuple(
            (
                frozen(end.endpoint, self.now),
                *(end.wire, end.is_eof, end.is_eof_delivered, end.is_broken, end.pings, end.beginning),
                *(end.has_sent_close, end.has_received_close, end.closed is not None),
                tuple(end.said[len(self.ends[end.role.peer].got) :]),
            )
            for end in self.ends.values()
        )


# What only grows, or is the same in all states.
IGNORED = {"_random", "_keys", "_keys_at", "_base", "_now", "_pings", "latency", "handshake", "limits", "timeouts"}
IGNORED |= {"_milestones", "_milestones_seen", "pongs_received", "_pongs_seen", "_bytes_seen", "_pong_bytes"}
IGNORED |= {"__weakref__"}
TIMES = {"_due", "_soonest", "_pinged_at", "_looked_at"}
PLAIN = {bytes, str, bool, type(None)}


def frozen(value: Any, now: float) -> Any:
    """What is inside an object, as something that can be compared and hashed."""
    kind = type(value)
    if kind in PLAIN or isinstance(value, Enum):
        return value
    if kind in (int, float):
        # The hash of -1 is that of -2.
        return value if value >= 0 else repr(value)
    if kind in (list, tuple, deque):
        return tuple([frozen(item, now) for item in value])
    if kind in (bytearray, memoryview):
        return bytes(value)
    if kind is dict:
        return tuple(sorted((key, frozen(item, now)) for key, item in value.items()))
    if not kind.__module__.startswith("rfc6455"):
        return value if isinstance(value, (str, int)) else None
    names = slots_of(kind) if kind.__dictoffset__ == 0 else sorted({*slots_of(kind), *vars(value)} - IGNORED)
    items = [(name, getattr(value, name, None)) for name in names]
    return tuple([relative(item, now) if name in TIMES else frozen(item, now) for name, item in items])


@cache
def slots_of(kind: type) -> list[str]:
    names = {name for base in kind.__mro__ for name in getattr(base, "__slots__", ())}
    return sorted(names - IGNORED)


def relative(item: Any, now: float) -> Any:
    """Times, as how far off they are."""
    if isinstance(item, dict):
        return tuple(sorted((key, frozen(round(at - now, 6), now)) for key, at in item.items()))
    return None if item is None else frozen(round(item - now, 6), now)


class Explored(NamedTuple):
    states: int
    depth: int


def explore(most_states: int) -> Explored:
    """Play all games until so many states were seen; return how many that are, and to which depth all were played."""
    # Hashes of 64 bits, as a state takes 10 kB. Among 100,000 the chance that any two are the same is one in billions.
    seen = {hash(Game().state())}
    frontier: list[tuple[Move, ...]] = [()]
    depth = 0
    while frontier:
        following = []
        for path in frontier:
            for move in MOVES:
                game = replayed(path)
                if not played(game, path, move):
                    continue
                state = hash(game.state())
                if state in seen:
                    continue
                seen.add(state)
                following.append((*path, move))
                to_the_end(game, (*path, move))
                if len(seen) >= most_states:
                    return Explored(len(seen), depth)
        frontier = following
        depth += 1
    return Explored(len(seen), depth)


def replayed(path: tuple[Move, ...]) -> Game:
    game = Game()
    game.is_replay = True
    for move in path:
        game.make(move)
    game.is_replay = False
    return game


def played(game: Game, path: tuple[Move, ...], move: Move) -> bool:
    try:
        return game.make(move)
    except InvariantError as violated:
        raise InvariantError(f"{violated}, after {story((*path, move))}") from None


def to_the_end(game: Game, path: tuple[Move, ...]) -> None:
    try:
        game.play_to_the_end()
    except InvariantError as violated:
        raise InvariantError(f"{violated}, played to the end after {story(path)}") from None


def story(path: tuple[Move, ...]) -> str:
    return ", ".join(f"{move.role.value}: {move.kind}" for move in path)


def test_every_interleaving_up_to_a_few_moves() -> None:
    explored = explore(400)
    assert explored.depth >= 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_interleaving_as_deep_as_two_minutes_allow() -> None:
    """60,000 states are every order of four moves, and half of those of five."""
    explored = explore(int(os.environ.get("RFC6455_STATES", "60000")))
    print(explored)
    assert explored.depth >= 4


# ---- It finds what it looks for ----


def answers_no_ping(connection: Any, payload: bytes) -> None:
    """In place of `Connection._answer_ping`."""


def sends_after_close(connection: Any, first: int) -> int:
    """In place of `Connection._check_step`: any frame may follow any other."""
    return int(connection._sent)


def forgets_the_close_deadline(deadlines: Any, name: str, now: float) -> None:
    """In place of `Deadlines._await_only`."""
    deadlines._forget_all()


BUGS: dict[str, tuple[type, str, Any, str]] = {
    "a Ping is not answered": (Connection, "_answer_ping", answers_no_ping, "a Ping was not answered"),
    "data after Close": (Connection, "_check_step", sends_after_close, "after our Close frame|after a Close frame"),
    "no deadline for the end": (rfc6455.Deadlines, "_await_only", forgets_the_close_deadline, "not finished"),
}


@pytest.mark.parametrize(("kind", "method", "planted", "words"), BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, kind: type, method: str, planted: Any, words: str
) -> None:
    monkeypatch.setattr(kind, method, planted)
    with pytest.raises(InvariantError, match=words):
        explore(5_000)
