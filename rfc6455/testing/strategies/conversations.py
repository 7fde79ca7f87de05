"""A strategy for whole conversations: what each end sends, and when the network carries it."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import strategies as st

from ...codes import MAX_CONTROL_PAYLOAD, Role
from ..pair import Action, Carry, Say
from .frames import close_codes, payloads, texts

_SIZES = st.none() | st.sampled_from([1, 2, 3, 7, 50])
_BODIES = st.none() | st.tuples(close_codes(), st.text(max_size=10))


class _Speaker:
    """What one end may send next."""

    def __init__(self) -> None:
        self.message: Literal["text", "bytes"] | None = None
        self.closed = False
        # Whether any bytes of this end were carried after its Close: if so, the other end may have received it.
        self.is_heard = False


@st.composite
def conversations(draw: st.DrawFn, max_actions: int = 12, max_size: int = 130) -> list[Action]:
    """Generate legal conversations: whole and fragmented messages, Pings, Pongs, Close frames that cross, and a
    network that carries some bytes of one end at a time and holds back the rest.

    Each action is legal when it is performed: an end sends nothing after its Close frame, and only a Close frame once
    it may have received one. Play a conversation with `rfc6455.testing.play`.

    :param max_actions: the maximum number of actions.
    :param max_size: the maximum size of a fragment, in bytes.
    """
    speakers = {role: _Speaker() for role in Role}
    actions: list[Action] = []
    for _ in range(draw(st.integers(0, max_actions))):
        role = draw(st.sampled_from(Role))
        speaker, peer = speakers[role], speakers[role.peer]
        if speaker.closed or peer.is_heard or draw(st.booleans()):
            actions.append(Carry(role, draw(_SIZES)))
            speaker.is_heard = speaker.closed
        else:
            actions.append(_say(draw, role, speaker, max_size))
    return actions


def _say(draw: st.DrawFn, role: Role, speaker: _Speaker, max_size: int) -> Say:
    kinds = ["text", "bytes"] if speaker.message is None else [speaker.message]
    kind: Any = draw(st.sampled_from([*kinds, "ping", "pong", "close"]))
    if kind == "close":
        speaker.closed = True
        return Say(role, kind, draw(_BODIES))
    if kind in ("ping", "pong"):
        return Say(role, kind, draw(payloads(MAX_CONTROL_PAYLOAD)))
    content: str | bytes = draw(texts(max_size)) if kind == "text" else draw(payloads(max_size))
    fin = draw(st.booleans())
    speaker.message = None if fin else kind
    return Say(role, kind, content, fin)
