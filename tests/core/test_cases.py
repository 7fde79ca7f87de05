"""The conformance cases as data, and that this library answers each of them correctly, without a network.

The examples run the same cases over TCP. Here, the same code communicates over a line in memory. The output is read by
the checker's own decoder, which is compared with ours.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rfc6455
from rfc6455 import CLIENT, SERVER, Connection, Role
from rfc6455.testing import FRAME_RULES, Rule
from rfc6455.testing.cases import GROUPS, Case, Deflate, Echoes, Fails, Refuses, cases_for

sys.path.append(str(Path(__file__).parents[2] / "examples" / "conformance"))

from exchange import answer_client, ask_server
from judge import Verdict, judge
from transcript import End, Transcript, read_frame

URI = rfc6455.parse_uri("ws://localhost:9001/")

# Ours is as strict about the first line as about the others (http1_heads.py), and takes any octets that HTTP does.
NOT_OK = {"handshake.latin-1": Verdict.INFORMATIONAL}

LESSONS = {
    "framing.mask-text": 1002,
    "utf8.bad-ff": 1007,
    "utf8.early-ff-frame": 1007,
    "utf8.early-ff-fragment": 1007,
    **{f"framing.rsv-{rsv}-text": 1002 for rsv in ("100", "010", "001")},
    **{f"framing.opcode-{opcode}": 1002 for opcode in (*range(3, 8), *range(11, 16))},
    "control.ping-126": 1002,
    "control.ping-not-final-2": 1002,
    "fragmentation.continuation-first-last-one-byte": 1002,
    "fragmentation.text-whole-inside-text": 1002,
    "framing.length-1-in-2-text": 1002,
    "framing.length-1-in-8-text": 1002,
    "limits.length-2-63-binary": 1002,
    "limits.frame-2-40-text": 1009,
    "close.half-a-code-03": 1002,
    **{f"close.code-{code}": 1002 for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)},
    "close.reason-bad-ff": 1007,
}
ECHOED = (1012, 1013, 1014, 3000, 3999, 4000, 4999)
REFUSED = {
    "handshake.key-no-base64": 400,
    "handshake.key-short": 400,
    "handshake.version-8": 426,
    "handshake.no-host": 400,
    "handshake.two-hosts": 400,
    "handshake.method-POST": 405,
    "handshake.http-1.0": 505,
    "handshake.connection-keep-alive": 426,
    "handshake.large-one-header": 431,
    "handshake.large-many-headers": 431,
}

CASES = {role: {case.id: case for case in cases_for(role)} for role in Role}
BOTH_ROLES = pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)


# ---- The data ----


@BOTH_ROLES
def test_ids_are_unique_and_name_their_group(role: Role) -> None:
    cases = cases_for(role)
    assert len(cases) >= 300
    assert len(CASES[role]) == len(cases)
    for case in cases:
        assert re.fullmatch(r"[a-z0-9]+\.[A-Za-z0-9._-]+", case.id)
        assert case.id.startswith(f"{case.group}.")
        assert case.role is role
    assert list(dict.fromkeys(case.group for case in cases)) == list(GROUPS)


@BOTH_ROLES
def test_each_case_has_a_clause_a_sentence_and_something_to_send(role: Role) -> None:
    for case in CASES[role].values():
        assert re.fullmatch(r"(RFC (9110|9112|7692|6585) )?[1-9]\d*(\.\d+)*", case.clause), case.id
        assert 15 <= len(case.sentence) <= 160, case.id
        assert case.sentence.isprintable(), case.id
        assert case.sentence.isascii(), case.id
        assert case.expect, case.id
        assert case.head, case.id


@BOTH_ROLES
def test_no_two_cases_send_the_same(role: Role) -> None:
    sent: dict[object, list[str]] = {}
    for case in CASES[role].values():
        sent.setdefault((case.head, case.writes, case.rest, case.joined, case.half_close), []).append(case.id)
    # Each looks at another header of a client's request.
    same = [ids for ids in sent.values() if len(ids) > 1 and not ids[0].startswith("handshake.request-")]
    assert same == []


def test_what_every_server_should_answer() -> None:
    """The cases some of which each of nine Python servers got wrong."""
    cases = CASES[SERVER]
    for name, code in LESSONS.items():
        assert cases[name].expect == (Fails(frozenset({code})),), name
    for code in ECHOED:
        assert cases[f"close.code-{code}"].expect[0].codes == {code}  # type: ignore[union-attr]
    for name, status in REFUSED.items():
        expected = cases[name].expect[0]
        assert isinstance(expected, Refuses)
        assert status in expected.statuses, name
    assert ("sec-websocket-version", "13") in cases["handshake.version-8"].expect[0].fields  # type: ignore[union-attr]
    assert cases["close.empty"].expect[0].codes == {None}  # type: ignore[union-attr]
    assert all(
        case.deflate is Deflate.DECLINED for case in cases.values() if case.id.startswith("compression.bad-offer-b")
    )


def test_the_cases_need_nothing_but_the_package() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None; "
        "from rfc6455 import SERVER; from rfc6455.testing.cases import cases_for; print(len(cases_for(SERVER)))"
    )
    path = str(Path(rfc6455.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True)
    assert done.stdout.strip() == str(len(CASES[SERVER])), done.stderr


# ---- This library's answers ----


class MemoryLine:
    """A line to one of our ends, which processes each write immediately."""

    def __init__(self, role: Role, extension: rfc6455.Extension) -> None:
        self.end = End.OPEN
        self.take: Callable[[bytes], None] = lambda data: None
        self._handshake: rfc6455.ServerHandshake | rfc6455.ClientHandshake
        if role is SERVER:
            self._handshake = rfc6455.ServerHandshake(extensions=[extension])
        else:
            self._handshake = rfc6455.ClientHandshake("ws://localhost:9001/", extensions=[extension])
        self._ws: Connection | None = None
        self._is_new = True

    def write(self, data: bytes, seconds: float, stop: Callable[[], bool]) -> None:
        if data and not stop():
            self._receive(data)

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        if self._is_new:
            self._is_new = False
            self.take(self._handshake.data_to_send())
        return done()

    def half_close(self) -> None:
        self._receive(b"")

    def _receive(self, data: bytes) -> None:
        if self.end is not End.OPEN:
            return
        if self._ws is None:
            self._open(data)
        else:
            self._echo(self._ws, data)
        if self._ws is not None and self._ws.must_close:
            self.end = End.CLOSED

    def _open(self, data: bytes) -> None:
        try:
            opened = self._handshake.receive_data(data)
        except rfc6455.HandshakeError:
            self.take(self._handshake.data_to_send())
            self.end = End.CLOSED
            return
        if opened is not None:
            is_client = isinstance(opened, Connection)
            self._ws = opened if is_client else self._handshake.accept()  # type: ignore[assignment, union-attr]
            self._echo(self._ws, None)  # type: ignore[arg-type]

    def _echo(self, ws: Connection, data: bytes | None) -> None:
        while data is not None or ws.unread:
            for event in ws.receive_data(data):
                match event:
                    case rfc6455.TextMessage(text):
                        ws.send_text(text)
                    case rfc6455.BytesMessage(payload):
                        ws.send_bytes(payload)
            data = None
        self.take(ws.data_to_send())


def run(case: Case, extension: rfc6455.Extension) -> Transcript:
    line = MemoryLine(case.role, extension)
    if case.role is SERVER:
        return ask_server(case, line, URI, 1.0)
    return answer_client(case, line, 1.0, set())


WITHOUT_TAKEOVER = rfc6455.PerMessageDeflate(client_no_context_takeover=True)
TAKEOVER = rfc6455.PerMessageDeflate(server_no_context_takeover=False, client_no_context_takeover=False)


@BOTH_ROLES
@pytest.mark.parametrize("group", GROUPS)
def test_our_answers(role: Role, group: str) -> None:
    results = [judge(case, run(case, TAKEOVER)) for case in CASES[role].values() if case.group == group]
    assert results
    for result in results:
        assert result.verdict is NOT_OK.get(result.case.id, Verdict.OK), (result.case.id, result.happened)


@BOTH_ROLES
def test_our_answers_without_context_takeover(role: Role) -> None:
    for case in CASES[role].values():
        if case.group == "compression":
            result = judge(case, run(case, WITHOUT_TAKEOVER))
            expected = Verdict.UNSUPPORTED if case.takeover else Verdict.OK
            assert result.verdict is expected, (case.id, result.happened)


@BOTH_ROLES
def test_both_decoders_read_the_same(role: Role) -> None:
    """The frames of all good cases, as the checker's decoder and as the library's parser read them."""
    seen = 0
    for case in CASES[role].values():
        if isinstance(case.expect[0], Echoes) and len(data := b"".join(case.writes)) < 10_000:
            parser = rfc6455.FrameParser(role, reserved_bits=4)
            for theirs in parser.receive_data(data):
                parsed = read_frame(data, 0)
                assert parsed is not None
                frame, end = parsed
                assert (frame.opcode, frame.payload, frame.fin, frame.rsv) == (
                    theirs.opcode,
                    theirs.payload,
                    theirs.fin,
                    theirs.rsv,
                )
                data = data[end:]
                seen += 1
            assert data == b""
    assert seen > 1000


@pytest.mark.parametrize("rule", FRAME_RULES.values(), ids=list(FRAME_RULES))
def test_each_rule_about_frames_is_broken_by_a_case(rule: Rule) -> None:
    role = CLIENT if rule.name == "masked" else SERVER
    cases = [case for case in CASES[role].values() if case.clause == rule.section]
    allowed = [expected.codes for case in cases for expected in fails(case)]
    assert frozenset({rule.close_code}) in allowed


def fails(case: Case) -> Iterator[Fails]:
    return (expected for expected in case.expect if isinstance(expected, Fails))
