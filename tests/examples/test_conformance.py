"""The conformance checker: our server and client pass it, it finds planted faults, and what it prints and writes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import pytest
import testee
import testee_asyncio
from io_loops import echo, make_certificate
from io_threads import SECURE
from programs import EXAMPLES, PATIENCE, Program

import rfc6455
import rfc6455_io.asyncio
import rfc6455_io.threads
from rfc6455 import CLIENT, SERVER
from rfc6455.testing.cases import Closes, Deflate, cases_for

sys.path.append(str(EXAMPLES / "conformance"))

import causes
import check
import clients
import compare
import exchange
import judge
import peers
import results
from judge import Result, Verdict
from transcript import End, Head, Transcript, accept_for

pytestmark = pytest.mark.examples

CASES = {role: {case.id: case for case in cases_for(role)} for role in (SERVER, CLIENT)}

DEFLATE = [rfc6455.PerMessageDeflate()]

# What ours answers otherwise than the cases like best; tests/core/test_cases.py has the reasons.
OTHERWISE = {
    SERVER: {"handshake.latin-1": Verdict.INFORMATIONAL},
    # Our client asks a server to take no context over, so these cannot be sent to it.
    CLIENT: {
        "compression.takeover-example": Verdict.UNSUPPORTED,
        "compression.takeover-50": Verdict.UNSUPPORTED,
    },
}


def check_results(
    found: list[dict[str, Any]], role: rfc6455.Role, otherwise: Mapping[str, Verdict] = MappingProxyType({})
) -> None:
    assert [case["id"] for case in found] == list(CASES[role])
    for case in found:
        expected = (OTHERWISE[role] | otherwise).get(case["id"], Verdict.OK)
        assert case["verdict"] == str(expected), case


def run_check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "conformance" / "check.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE)


# ---- Ours pass ----


@pytest.mark.parametrize("script", ["echo_threads.py", "echo_asyncio.py", "echo_trio.py"])
def test_our_servers_pass(script: str, tmp_path: Path) -> None:
    if "trio" in script:
        pytest.importorskip("trio")
    report = tmp_path / "report.json"
    with Program(script) as program:
        done = run_check(f"ws://127.0.0.1:{program.port}/", "--json", str(report), "--timeout", "60")
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    check_results(json.loads(report.read_text())["cases"], SERVER)


def echo_in_a_thread(ws: rfc6455_io.threads.WebSocket) -> None:
    for message in ws:
        ws.send(message)


@SECURE
def test_the_driver_for_threads_passes(secure: bool, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    tls = make_certificate(tmp_path)[0] if secure else None
    with rfc6455_io.threads.serve(echo_in_a_thread, "127.0.0.1", 0, ssl=tls, extensions=DEFLATE) as server:
        uri = f"{'wss' if secure else 'ws'}://127.0.0.1:{server.port}/"
        done = run_check(uri, "--insecure", "--json", str(report), "--timeout", "60")
    assert done.returncode == 0, done.stdout
    check_results(json.loads(report.read_text())["cases"], SERVER)


@SECURE
def test_the_driver_for_asyncio_passes(secure: bool, tmp_path: Path) -> None:
    # When TLS ends in one direction, asyncio ends it in both, so that nothing can be answered.
    without_answer = ("handshake.end-in-head", "handshake.end-at-once") if secure else ()
    otherwise = dict.fromkeys(without_answer, Verdict.INFORMATIONAL)
    report = tmp_path / "report.json"
    with testee_asyncio.echo_server(make_certificate(tmp_path)[0] if secure else None) as port:
        uri = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/"
        done = run_check(uri, "--insecure", "--json", str(report), "--timeout", "60")
    assert done.returncode == 0, done.stdout
    check_results(json.loads(report.read_text())["cases"], SERVER, otherwise)


# What fails because uvicorn reads the request, and writes another one for the class: docs/reference/io_uvicorn.rst.
BY_UVICORN = {
    "handshake.frame-behind-request": "what comes in the same read is lost",
    "handshake.second-request": "the same",
    "handshake.http-1.0": "the version becomes HTTP/1.1",
}
BY_PARSER = {
    "h11": BY_UVICORN,
    "httptools": BY_UVICORN
    | {
        "handshake.http-no-version": "the version becomes HTTP/1.1",
        "handshake.spaces": "a space behind a value stays",
        "handshake.large-never-ends": "a head has no limit",
    },
}


@pytest.mark.parametrize("parser", BY_PARSER)
def test_the_class_for_uvicorn_passes_but_for_what_uvicorn_reads(parser: str) -> None:
    pytest.importorskip(parser)
    with Program("uvicorn_echo.py", "--http", parser, examples=Path(testee.__file__).parent) as program:
        server = exchange.Server(rfc6455.parse_uri(program.uri), 5.0)
        found = check.try_server(server, list(CASES[SERVER].values()), lambda result: None)
    assert {result.case.id for result in found if result.verdict is Verdict.FAILED} == set(BY_PARSER[parser])
    assert {result.case.group for result in found if result.verdict is Verdict.NON_STRICT} == {"handshake"}


def test_the_testee_of_autobahn_passes() -> None:
    """Its limits are larger than the default ones."""
    with testee.echo_server() as port:
        server = exchange.Server(rfc6455.parse_uri(f"ws://127.0.0.1:{port}/"), 60.0)
        found = check.try_server(server, list(CASES[SERVER].values()), lambda result: None)
    check_results(results.as_json("testee", "server", found)["cases"], SERVER)


def run_asyncio_client(uri: str) -> None:
    async def main() -> None:
        while True:
            with contextlib.suppress(ConnectionResetError, rfc6455.HandshakeError, rfc6455.ConnectionClosedError):
                async with rfc6455_io.asyncio.connect(uri, proxy=None, extensions=DEFLATE) as ws:
                    await echo(ws)

    with contextlib.suppress(ConnectionRefusedError):
        asyncio.run(main())


def run_threads_client(uri: str) -> None:
    while True:
        with contextlib.suppress(ConnectionResetError, rfc6455.HandshakeError, rfc6455.ConnectionClosedError):
            try:
                with rfc6455_io.threads.connect(uri, proxy=None, extensions=DEFLATE) as ws:
                    echo_in_a_thread(ws)
            except ConnectionRefusedError:
                return


@pytest.mark.parametrize("run_client", [peers.run_client, run_asyncio_client, run_threads_client])
def test_our_client_passes(run_client: Callable[[str], None], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(EXAMPLES / "conformance" / "check.py"), "--listen", "0", "--timeout", "60"]
    with subprocess.Popen([*command, "--json", str(report)], stderr=subprocess.PIPE, text=True, stdout=-3) as process:
        assert process.stderr is not None
        uri = re.fullmatch(r"listening on (ws://127\.0\.0\.1:\d+/) for \d+ connections\n", process.stderr.readline())
        assert uri is not None
        several = [threading.Thread(target=run_client, args=[uri[1]]) for _ in range(4)]
        for thread in several:
            thread.start()
        for thread in several:
            thread.join(4 * PATIENCE)
        assert process.wait(PATIENCE) == 0
    check_results(json.loads(report.read_text())["cases"], CLIENT)


# ---- Servers of other libraries ----


@pytest.mark.parametrize("name", [name for name in peers.PEERS if name != "rfc6455"])
def test_a_peer_is_reported_on(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    with compare.running(name) as uri:
        found = check.try_server(exchange.Server(uri, 2.0), list(CASES[SERVER].values()), lambda result: None)
    assert [result.case.id for result in found] == list(CASES[SERVER])
    verdicts = [result.verdict for result in found]
    # That it was really talked to: these every library does right.
    assert verdicts.count(Verdict.OK) > 400
    assert all(result.happened for result in found)


def test_the_page_states_versions_and_counts() -> None:
    cases = [CASES[SERVER][name] for name in ("close.empty", "framing.opcode-3")]
    ours = [Result(cases[0], Verdict.OK, "x"), Result(cases[1], Verdict.NON_STRICT, "x")]
    theirs = [Result(cases[0], Verdict.FAILED, "x"), Result(cases[1], Verdict.UNSUPPORTED, "x")]
    page = "\n".join(compare.page({"rfc6455": ours, "wsproto": theirs}, cases))
    assert page.startswith(".. Made by: python examples/conformance/compare.py\n")
    assert f"   * - rfc6455\n     - {rfc6455.__version__}\n" in page
    assert "   * - all\n     - 2 / 2\n     - 0 / 1\n" in page
    assert "   * - all\n     - 1 / 2\n     - 0 / 1\n" in page
    assert "   * - FAILED\n     - 0\n     - 1\n" in page


def test_the_page_in_the_documentation_is_of_these_cases() -> None:
    page = compare.PAGE.read_text(encoding="utf-8")
    assert page.startswith(f".. Made by: {compare.COMMAND}\n")
    assert f"the {len(CASES[SERVER])} cases" in page


# ---- Planted faults ----

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ANSWER = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {accept_for(KEY)}"
)

CLOSE = b"\x88\x02\x03\xe8"


def judged(
    name: str, frames: bytes, *, end: End = End.CLOSED, answer: str = ANSWER, offer: str = "", late: bool = False
) -> Result:
    """The verdict on a server that has sent this."""
    transcript = Transcript(
        from_server=True, head=Head(answer.encode()), sent_key=KEY, offer=offer, late=late, end=end
    )
    assert transcript.head is not None
    transcript.answer = transcript.head.value("sec-websocket-extensions")
    transcript.opened = transcript.head.status == 101
    transcript.receive(frames)
    return judge.judge(CASES[SERVER][name], transcript)


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("handshake.plain", b"\x81\x05Hello" + CLOSE),
        ("handshake.plain", b"\x01\x02He\x80\x03llo" + CLOSE),
        ("control.ping-text", b"\x8a\x05Hello" + CLOSE),
        ("control.ping-2", b"\x8a\x011" + CLOSE),
        ("control.ping-2", b"\x8a\x010\x8a\x011" + CLOSE),
        ("framing.opcode-3", b"\x88\x02\x03\xea"),
        ("close.empty", b"\x88\x00"),
        ("close.behind-message", b"\x81\x04good" + CLOSE),
    ],
)
def test_good_answers_are_ok(name: str, frames: bytes) -> None:
    result = judged(name, frames)
    assert result.verdict is Verdict.OK, result.happened


@pytest.mark.parametrize(
    ("name", "frames", "why"),
    [
        ("handshake.plain", b"\x81\x05hello" + CLOSE, "not the same messages"),
        ("handshake.plain", b"\x82\x05Hello" + CLOSE, "not the same messages"),
        ("handshake.plain", b"\x81\x05Hello\x81\x05Hello" + CLOSE, "not the same messages"),
        ("handshake.plain", CLOSE, "not the same messages"),
        ("handshake.plain", b"\x81\x85\0\0\0\0Hello" + CLOSE, "masked frame from a server (5.1)"),
        ("handshake.plain", b"\xc1\x05Hello" + CLOSE, "reserved bits 100 (5.2)"),
        ("handshake.plain", b"\x81\x7e\x00\x05Hello" + CLOSE, "not minimal (5.2)"),
        ("handshake.plain", b"\x81\x05Hello" + CLOSE + CLOSE, "after its Close frame (5.5.1)"),
        ("handshake.plain", b"\x81\x05Hello" + CLOSE + b"\x81", "half a frame at the end (5.2)"),
        ("handshake.plain", b"\x80\x05Hello" + CLOSE, "a fragment out of order (5.4)"),
        ("handshake.plain", b"\x01\x02He\x81\x03llo" + CLOSE, "a fragment out of order (5.4)"),
        ("handshake.plain", b"\x81\x05Hello\x83\x00" + CLOSE, "the reserved opcode 3 (5.2)"),
        ("handshake.plain", b"\x81\x05Hello\x09\x00" + CLOSE, "too long or fragmented (5.5)"),
        ("utf8.bad-ff", b"\x81\x01\xff" + CLOSE, "a text that is not UTF-8 (5.6)"),
        ("utf8.bad-ff", b"\x82\x01\xff" + CLOSE, "a message came back"),
        ("control.ping-text", b"\x8a\x05hello" + CLOSE, "not the Pongs that were due"),
        ("control.ping-text", CLOSE, "not the Pongs that were due"),
        ("control.ping-2", b"\x8a\x010" + CLOSE, "not the Pongs that were due"),
        ("control.ping-2", b"\x8a\x011\x8a\x010" + CLOSE, "not the Pongs that were due"),
        ("control.ping-126", b"\x8a\x00", "a Pong came back"),
        ("framing.opcode-3", b"\x88\x02\x03\xee", "a Close frame with code 1006 (7.4)"),
        ("framing.opcode-3", b"\x88\x01\x03", "half a code (5.5.1)"),
        ("framing.opcode-3", b"\x88\x03\x03\xea\xff", "reason that is not UTF-8 (5.5.1)"),
        ("close.code-1005", b"\x88\x02\x03\xed", "a Close frame with code 1005 (7.4)"),
        ("close.empty", b"", "no Close in answer"),
        ("close.empty", b"\x81\x00" + CLOSE, "not the same messages"),
    ],
)
def test_wrong_frames_fail(name: str, frames: bytes, why: str) -> None:
    result = judged(name, frames)
    assert result.verdict is Verdict.FAILED
    assert why in result.happened


@pytest.mark.parametrize(
    ("name", "frames", "end", "why"),
    [
        ("framing.opcode-3", b"\x88\x02\x03\xe8", End.CLOSED, "another code"),
        ("framing.opcode-3", b"\x88\x00", End.CLOSED, "another code"),
        ("framing.opcode-3", b"", End.RESET, "no Close frame"),
        ("close.code-3000", CLOSE, End.CLOSED, "another code than that of the Close"),
        ("handshake.plain", b"\x81\x05Hello", End.CLOSED, "no answer to the Close"),
        ("limits.frame-2-40-text", b"", End.OPEN, "the connection did not fail"),
        ("framing.length-1-in-2-text", b"\x81\x01*" + CLOSE, End.CLOSED, "a message came back"),
    ],
)
def test_what_breaks_no_must_is_not_strict(name: str, frames: bytes, end: End, why: str) -> None:
    result = judged(name, frames, end=end)
    assert result.verdict is Verdict.NON_STRICT
    assert result.happened.startswith(why)


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("framing.opcode-3", b"\x88\x02\x03\xea"),
        ("framing.opcode-3", b"\x88\x02\x03\xe8"),
        ("close.empty", b"\x88\x00"),
        ("close.code-3000", CLOSE),
        ("handshake.plain", b"\x81\x05Hello" + CLOSE),
    ],
)
def test_tcp_must_be_closed_after_both_close_frames(name: str, frames: bytes) -> None:
    """5.5.1, 7.1.1; whatever else is not as recommended."""
    result = judged(name, frames, end=End.OPEN)
    assert result.verdict is Verdict.FAILED
    assert result.happened.startswith("TCP was not closed: ")
    assert judged(name, frames, end=End.CLOSED).verdict is not Verdict.FAILED


def test_silence_fails() -> None:
    for name in ("framing.opcode-3", "handshake.plain", "close.empty"):
        assert judged(name, b"", end=End.OPEN).verdict is Verdict.FAILED


def test_a_fault_that_is_seen_late_is_not_strict() -> None:
    assert judged("utf8.early-ff-frame", b"\x88\x02\x03\xef").verdict is Verdict.OK
    assert judged("utf8.early-ff-frame", b"\x88\x02\x03\xef", late=True).verdict is Verdict.NON_STRICT


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (ANSWER.replace(accept_for(KEY), accept_for("x")), "Sec-WebSocket-Accept is"),
        (ANSWER.replace("Upgrade: websocket", "Upgrade: h2c"), "Upgrade is 'h2c'"),
        (ANSWER.replace("Connection: Upgrade", "Connection: close"), "Connection is 'close'"),
        (ANSWER + "\r\nSec-WebSocket-Protocol: chat", "the subprotocol 'chat' was not asked for"),
        (ANSWER + "\r\nSec-WebSocket-Extensions: permessage-deflate", "was not offered"),
        (ANSWER.replace("HTTP/1.1", "HTTP/1.0"), "the status line"),
    ],
)
def test_wrong_answers_fail(wrong: str, why: str) -> None:
    result = judged("handshake.plain", b"\x81\x05Hello" + CLOSE, answer=wrong)
    assert result.verdict is Verdict.FAILED
    assert why in result.happened


@pytest.mark.parametrize(
    ("name", "answer", "verdict"),
    [
        ("handshake.no-host", "HTTP/1.1 400 Bad Request", Verdict.OK),
        ("handshake.no-host", "HTTP/1.1 403 Forbidden", Verdict.NON_STRICT),
        ("handshake.no-host", "HTTP/1.1 200 OK", Verdict.FAILED),
        ("handshake.no-host", ANSWER, Verdict.FAILED),
        ("handshake.no-host", "nonsense", Verdict.FAILED),
        ("handshake.version-12", "HTTP/1.1 426 x\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13", Verdict.OK),
        ("handshake.version-12", "HTTP/1.1 426 x\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8, 13", Verdict.OK),
        ("handshake.version-12", "HTTP/1.1 426 x\r\nSec-WebSocket-Version: 13", Verdict.NON_STRICT),
        ("handshake.version-12", "HTTP/1.1 400 x\r\nSec-WebSocket-Version: 13", Verdict.NON_STRICT),
        ("handshake.version-12", "HTTP/1.1 426 x\r\nUpgrade: websocket", Verdict.FAILED),
        ("handshake.method-POST", "HTTP/1.1 405 x\r\nAllow: GET", Verdict.OK),
        ("handshake.method-POST", "HTTP/1.1 405 x", Verdict.NON_STRICT),
        ("handshake.plain", "HTTP/1.1 400 Bad Request", Verdict.FAILED),
        ("handshake.origin-other", "HTTP/1.1 403 Forbidden", Verdict.OK),
        ("handshake.empty-line-first", "HTTP/1.1 400 Bad Request", Verdict.NON_STRICT),
    ],
)
def test_refusals(name: str, answer: str, verdict: Verdict) -> None:
    result = judged(name, b"", answer=answer)
    assert result.verdict is verdict, result.happened


def test_a_choice_is_informational() -> None:
    result = judged("handshake.origin-other", b"\x81\x05Hello" + CLOSE)
    assert result.verdict is Verdict.INFORMATIONAL


@pytest.mark.parametrize(
    ("offer", "extensions", "is_right"),
    [
        ("permessage-deflate", "permessage-deflate", True),
        ("permessage-deflate", "permessage-deflate; client_no_context_takeover", True),
        ("permessage-deflate", "permessage-deflate; client_max_window_bits=10", False),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=10", True),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits", False),
        ("permessage-deflate; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=10", False),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate", False),
        ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=11", False),
        ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=9", True),
        ('permessage-deflate; server_max_window_bits="10"', "permessage-deflate; server_max_window_bits=10", True),
        ("permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=7", False),
        ("permessage-deflate; x, permessage-deflate", "permessage-deflate", True),
        ("permessage-deflate; x", "permessage-deflate", False),
        ("permessage-deflate", "permessage-deflate, permessage-deflate", False),
        ("permessage-deflate", "x-other", False),
    ],
)
def test_agreements(offer: str, extensions: str, is_right: bool) -> None:
    answer = f"{ANSWER}\r\nSec-WebSocket-Extensions: {extensions}"
    result = judged("compression.offer-client-bits", b"\x81\x05Hello" + CLOSE, answer=answer, offer=offer)
    assert (result.verdict is Verdict.OK) == is_right, result.happened


def test_an_invalid_offer_must_be_declined() -> None:
    case = CASES[SERVER]["compression.bad-offer-unknown"]
    assert case.deflate is Deflate.DECLINED
    answer = f"{ANSWER}\r\nSec-WebSocket-Extensions: permessage-deflate"
    offer = "permessage-deflate; x_unknown"
    result = judged(case.id, b"\x81\x05Hello" + CLOSE, answer=answer, offer=offer)
    assert result.verdict is Verdict.FAILED
    assert "the offer was not declined" in result.happened
    assert judged(case.id, b"\x81\x05Hello" + CLOSE, offer=offer).verdict is Verdict.OK


def test_compressed_answers_are_inflated() -> None:
    answer = f"{ANSWER}\r\nSec-WebSocket-Extensions: permessage-deflate"
    offer = "permessage-deflate"
    good = bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00")
    assert judged("compression.example", good + CLOSE, answer=answer, offer=offer).verdict is Verdict.OK
    again = bytes.fromhex("c1 05 f2 00 11 00 00")
    twice = judged("compression.takeover-example", good + again + CLOSE, answer=answer, offer=offer)
    assert twice.verdict is Verdict.OK, twice.happened
    wrong = judged("compression.example", b"\xc1\x01\x07" + CLOSE, answer=answer, offer=offer)
    assert wrong.verdict is Verdict.FAILED
    assert "does not inflate" in wrong.happened
    forgotten = f"{answer}; server_no_context_takeover"
    assert (
        judged("compression.takeover-example", good + again + CLOSE, answer=forgotten, offer=offer).verdict
        is Verdict.FAILED
    )
    assert judged("compression.example", CLOSE).verdict is Verdict.UNSUPPORTED


def judged_client(
    name: str, frames: bytes, *, end: End = End.CLOSED, request: bytes = b"", again: bool = False
) -> Result:
    """The verdict on a client that has sent this."""
    head = Head(request or exchange.fill(CASES[SERVER]["handshake.plain"].head[0], MARKS))
    transcript = Transcript(from_server=False, head=head, opened=True, seen_before=again, end=end)
    transcript.receive(frames)
    return judge.judge(CASES[CLIENT][name], transcript)


MARKS = {b"{host}": b"localhost", b"{target}": b"/", b"{key}": KEY.encode()}
GOOD_REQUEST = exchange.fill(CASES[SERVER]["handshake.plain"].head[0], MARKS)
MASKED_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def masked(payload: bytes, key: bytes) -> bytes:
    return rfc6455.serialize_frame(rfc6455.Frame(rfc6455.Opcode.BINARY, payload), key)


def test_clients_are_held_to_their_rules() -> None:
    echo = masked(b"", b"abcd")
    assert judged_client("framing.length-0-binary", echo + MASKED_CLOSE).verdict is Verdict.OK
    unmasked = judged_client("framing.length-0-binary", b"\x82\x00" + MASKED_CLOSE)
    assert unmasked.verdict is Verdict.FAILED
    assert "an unmasked frame from a client (5.1)" in unmasked.happened
    same_keys = b"".join(masked(b"%d" % number, b"abcd") for number in range(8))
    assert "a masking key came twice" in judged_client("framing.mask-own", same_keys + MASKED_CLOSE).happened
    other_keys = b"".join(masked(b"%d" % number, b"abc%d" % number) for number in range(8))
    assert judged_client("framing.mask-own", other_keys + MASKED_CLOSE).verdict is Verdict.OK


def test_a_client_must_leave_after_a_bad_answer() -> None:
    name = "handshake.accept-wrong"
    assert judged_client(name, b"").verdict is Verdict.OK
    assert judged_client(name, b"", end=End.RESET).verdict is Verdict.OK
    assert judged_client(name, MASKED_CLOSE).verdict is Verdict.NON_STRICT
    assert judged_client(name, b"", end=End.OPEN).verdict is Verdict.FAILED
    assert judged_client(name, b"\x8a\x81\0\0\0\0?").verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("handshake.request-line", b"POST / ", b"GET / "),
        ("handshake.request-line", b"HTTP/1.0", b"HTTP/1.1"),
        ("handshake.request-host", b"X: localhost", b"Host: localhost"),
        ("handshake.request-upgrade", b"Upgrade: h2c", b"Upgrade: websocket"),
        ("handshake.request-connection", b"Connection: close", b"Connection: Upgrade"),
        ("handshake.request-version", b"Version: 8", b"Version: 13"),
        ("handshake.request-key", b"ZR==", b"ZQ=="),
    ],
)
def test_requests(name: str, wrong: bytes, right: bytes) -> None:
    assert right in GOOD_REQUEST
    assert judged_client(name, b"", request=GOOD_REQUEST).verdict is Verdict.OK
    assert judged_client(name, b"", request=GOOD_REQUEST.replace(right, wrong)).verdict is Verdict.FAILED
    new_key = "handshake.request-new-key"
    assert judged_client(new_key, b"", request=GOOD_REQUEST).verdict is Verdict.OK
    assert judged_client(new_key, b"", request=GOOD_REQUEST, again=True).verdict is Verdict.FAILED


# ---- Real peers that lie ----


@contextmanager
def serving(handle: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that handles one connection after another; the value is its URI."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    sock.settimeout(PATIENCE)
                    try:
                        handle(sock)
                    except OSError:
                        pass

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            assert not thread.is_alive()


def read_request(sock: socket.socket) -> Head:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := sock.recv(4096)):
            raise ConnectionError
        data += more
    return Head(data)


def careless(sock: socket.socket) -> None:
    """A server that accepts any request, echoes any data frame that comes in one read, and knows nothing else."""
    key = read_request(sock).value("sec-websocket-key")
    sock.sendall(ANSWER.replace(accept_for(KEY), accept_for(key)).encode() + b"\r\n\r\n")
    while data := sock.recv(65536):
        first, length, mask = data[0], data[1] & 127, data[2:6]
        payload = bytes(octet ^ mask[at % 4] for at, octet in enumerate(data[6 : 6 + length]))
        sock.sendall(bytes([first, length]) + payload)
        if first & 15 == 8:
            return


def test_a_careless_server_is_found_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    only = [
        "utf8.bad-ff",
        "utf8.kosme",
        "close.code-1005",
        "close.code-1000",
        "framing.rsv-010-text",
        "handshake.no-host",
    ]
    patterns = [word for name in only for word in ("--only", name)]
    with serving(careless) as uri:
        assert check.main([uri, *patterns, "--json", str(report), "--timeout", "2"]) == 1
    verdicts = {case["id"]: case["verdict"] for case in json.loads(report.read_text())["cases"]}
    assert verdicts == {
        "handshake.no-host": "FAILED",
        "framing.rsv-010-text": "FAILED",
        "utf8.kosme": "OK",
        "utf8.bad-ff": "FAILED",
        "close.code-1000": "OK",
        "close.code-1005": "FAILED",
    }
    assert "a text that is not UTF-8 (5.6)" in capsys.readouterr().out


def test_a_server_that_says_nothing_costs_the_timeout_and_fails() -> None:
    def silent(sock: socket.socket) -> None:
        while sock.recv(4096):
            pass

    with serving(silent) as uri:
        server = exchange.Server(rfc6455.parse_uri(uri), 0.2)
        (result,) = check.try_server(server, [CASES[SERVER]["utf8.kosme"]], lambda result: None)
    assert result.verdict is Verdict.FAILED
    assert result.happened == "no connection: nothing came, TCP left open"
    assert result.seconds >= 0.2


@pytest.mark.parametrize(
    "portion",
    [b"\x8a\x00" * 32768, b"\x82\x7f\x00\x00\x00\x7f" + bytes(65530), b"HTTP/1.1 " * 999],
    ids=["frames", "half a frame", "half a head"],
)
def test_a_server_that_does_not_stop_sending(portion: bytes) -> None:
    def flood(sock: socket.socket) -> None:
        key = read_request(sock).value("sec-websocket-key")
        if not portion.startswith(b"HTTP"):
            sock.sendall(ANSWER.replace(accept_for(KEY), accept_for(key)).encode() + b"\r\n\r\n")
        while True:
            sock.sendall(portion)

    cases = [CASES[SERVER][name] for name in ("close.empty", "handshake.plain", "limits.fair-1000-messages")]
    with serving(flood) as uri:
        server = exchange.Server(rfc6455.parse_uri(uri), PATIENCE)
        found = check.try_server(server, cases, lambda result: None)
    assert [result.verdict for result in found] == [Verdict.FAILED] * len(cases)
    assert all(result.happened.startswith("it does not stop sending: ") for result in found), found
    assert all(result.happened.endswith(", too much to read") for result in found), found


def test_a_server_that_goes_away_in_the_middle_of_a_run() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        server = exchange.Server(rfc6455.parse_uri(f"ws://127.0.0.1:{taken.getsockname()[1]}/"), 0.2)
        result = check.try_case(server, CASES[SERVER]["utf8.kosme"])
    assert result.verdict is Verdict.FAILED
    assert result.happened.startswith("no connection: ")


def test_a_client_that_stays_away_fails_its_cases() -> None:
    cases = list(CASES[CLIENT].values())[-3:]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        def come_once() -> None:
            # One connection without a word, which is no case, and one that asks and goes.
            socket.create_connection(address).close()
            with socket.create_connection(address) as sock:
                sock.sendall(GOOD_REQUEST)

        thread = threading.Thread(target=come_once)
        thread.start()
        found = clients.try_clients(listener, cases, 0.5, 0.5, 1, lambda result: None)
        thread.join(PATIENCE)
    assert sorted(result.happened == "no client came but 1 without a request" for result in found) == [
        False,
        True,
        True,
    ]
    assert all(result.verdict in (Verdict.FAILED, Verdict.UNSUPPORTED) for result in found)


@contextmanager
def knocking(address: Any) -> Iterator[None]:
    """A client that connects again and again, and leaves without a word."""
    has_ended = threading.Event()

    def knock() -> None:
        while not has_ended.wait(0.01):
            socket.create_connection(address).close()

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join(PATIENCE)


def test_who_says_nothing_does_not_make_a_run_go_on_for_ever() -> None:
    cases = list(CASES[CLIENT].values())[-3:]
    with socket.create_server(("127.0.0.1", 0)) as listener, knocking(listener.getsockname()):
        with pytest.raises(clients.NoClientError, match=r"^no client came within 0\.3 seconds but \d+ without a req"):
            clients.try_clients(listener, cases, 0.5, 0.3, 4, lambda result: None)
        client = threading.Thread(target=ask_once, args=[listener.getsockname()])
        client.start()
        found = clients.try_clients(listener, cases, 0.5, 1, 4, lambda result: None)
        client.join(PATIENCE)
    assert sorted(result.happened.startswith("no client came but ") for result in found) == [False, True, True]


def ask_once(address: Any) -> None:
    with socket.create_connection(address) as sock:
        sock.sendall(GOOD_REQUEST)


def test_a_failure_of_the_checker_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("what\x1b it was")

    monkeypatch.setattr(clients, "judge", fail)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = threading.Thread(target=ask_once, args=[listener.getsockname()])
        client.start()
        (result,) = clients.try_clients(listener, list(CASES[CLIENT].values())[:1], 0.5, 5, 1, lambda result: None)
        client.join(PATIENCE)
    assert result.verdict is Verdict.FAILED
    assert result.happened == r"the checker failed: ValueError: what\x1b it was"


# ---- The command ----


def test_nobody_to_talk_to(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        assert check.main([f"ws://127.0.0.1:{taken.getsockname()[1]}/"]) == 2
    assert capsys.readouterr().err.startswith("nobody answered: ")
    assert check.main(["--listen", "0", "--wait", "0.1"]) == 2
    assert "no client came within 0.1 seconds" in capsys.readouterr().err


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, role in ([["ws://localhost/"], SERVER], [["--listen", "0"], CLIENT]):
        assert check.main([*arguments, "--list"]) == 0  # type: ignore[misc]
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == list(CASES[role])  # type: ignore[index]
    assert check.main(["ws://localhost/", "--list", "--only", "close.code-30*", "--only", "close.empty"]) == 0
    ids = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ids == ["close.code-3000", "close.code-3008", "close.empty"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ws://localhost/", "--listen", "0"],
        ["http://localhost/"],
        ["ws://localhost/", "--only", "nothing.like.that"],
        ["ws://localhost/", "--timeout", "0"],
        ["ws://localhost/", "--timeout", "nan"],
        ["ws://localhost/", "--timeout", "soon"],
        ["--listen", "70000"],
        ["--listen", "port"],
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check.main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_addresses_to_listen_on() -> None:
    assert check.parse_address("9001") == ("127.0.0.1", 9001)
    assert check.parse_address("0.0.0.0:1") == ("0.0.0.0", 1)
    assert check.parse_address("[::1]:80") == ("::1", 80)


def test_tls(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-out", str(cert), "-keyout", str(key)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def secure(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as tls:
            peers.EchoHandler.handle(type("Request", (), {"request": tls})())  # type: ignore[arg-type]

    with serving(secure) as uri:
        uri = uri.replace("ws:", "wss:")
        names = ["framing.length-65537-binary", "close.empty", "handshake.bytes", "utf8.bad-ff", "limits.fair-512-kib"]
        patterns = [word for name in names for word in ("--only", name)]
        assert check.main([uri, *patterns, "--insecure", "--timeout", "60"]) == 0
        assert check.main([uri, *patterns, "--timeout", "60"]) == 2


# ---- What it prints and writes ----

SHOWN = [
    Result(CASES[SERVER]["close.empty"], Verdict.OK, "Close, TCP closed", seconds=0.01),
    Result(CASES[SERVER]["framing.length-65535-in-8-binary"], Verdict.NON_STRICT, "a message came back", seconds=0.02),
    Result(CASES[SERVER]["utf8.bad-ff"], Verdict.FAILED, 'a <message> & "more" came back' + "!" * 200, seconds=1.5),
    Result(CASES[SERVER]["compression.example"], Verdict.UNSUPPORTED, "no permessage-deflate", seconds=0.03),
]


def test_columns_line_up() -> None:
    rows = results.case_rows(SHOWN)
    lines = list(results.aligned(rows))
    for column in range(5):
        at = lines[0].index(rows[0][column])
        for row, line in zip(rows, lines, strict=True):
            assert line[at:].startswith(row[column])
            assert at == 0 or line[at - 2 : at] == "  "


@pytest.mark.parametrize("width", [80, 100, 132, 200])
def test_a_terminal_is_not_overrun(width: int) -> None:
    lines = list(results.aligned(results.case_rows(SHOWN), width))
    least = len(results.GAP) * 4 + len("UNSUPPORTED") + len(SHOWN[1].case.id) + len("RFC 7692 7.2.3.1") + 24
    assert max(map(len, lines)) <= max(width, least)
    assert any("…" in line for line in lines)


def test_counts_by_group() -> None:
    lines = list(results.summary(SHOWN))
    assert [line.split() for line in lines] == [
        ["Group", "Cases", "OK", "NON-STRICT", "UNSUPPORTED", "FAILED"],
        ["framing", "1", "0", "1", "0", "0"],
        ["utf8", "1", "0", "0", "0", "1"],
        ["close", "1", "1", "0", "0", "0"],
        ["compression", "1", "0", "0", "1", "0"],
        ["all", "4", "1", "1", "1", "1"],
    ]
    assert len(set(map(len, lines))) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals_only() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        progress = results.Progress(len(SHOWN), stream)
        for result in SHOWN:
            progress.step(result)
        progress.clear()
    assert pipe.getvalue() == ""
    assert f"[{'#' * results.Progress.WIDTH}] 4/4 compression.example" in terminal.getvalue()
    assert f"[{'#' * 7}{'.' * 23}] 1/4 close.empty" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_json() -> None:
    report = json.loads(json.dumps(results.as_json("ws://x/", "server", SHOWN)))
    assert report["passed"] is False
    assert report["counts"] == {"OK": 1, "INFORMATIONAL": 0, "NON-STRICT": 1, "UNSUPPORTED": 1, "FAILED": 1}
    assert report["cases"][2] == {
        "id": "utf8.bad-ff",
        "group": "utf8",
        "clause": "8.1",
        "sentence": SHOWN[2].case.sentence,
        "verdict": "FAILED",
        "happened": SHOWN[2].happened,
        "seconds": 1.5,
    }
    assert results.as_json("ws://x/", "server", SHOWN[:2])["passed"] is True


def test_a_header_does_nothing_to_a_terminal_and_fits_into_xml() -> None:
    answer = f"{ANSWER}\r\nSec-WebSocket-Extensions: x; y=\x1b[2J\x07\x00{'z' * 5000}"
    result = judged("handshake.plain", b"\x81\x05Hello" + CLOSE, answer=answer)
    assert r": x; y=\x1b[2J\x07\x00zzz" in result.happened
    assert result.happened.isascii()
    assert result.happened.isprintable()
    assert len(result.happened) < 400
    ElementTree.fromstring(results.as_junit("ws://x/", "server", [result]))


def test_junit() -> None:
    text = results.as_junit("ws://x/", "server", SHOWN)
    suites = ElementTree.fromstring(text)
    assert text.startswith("<?xml")
    assert [suite.get("name") for suite in suites] == ["close", "framing", "utf8", "compression"]
    totals = {name: sum(int(suite.get(name, "")) for suite in suites) for name in ("tests", "failures", "skipped")}
    assert totals == {"tests": 4, "failures": 1, "skipped": 1}
    failure = suites.find("testsuite[@name='utf8']/testcase[@name='utf8.bad-ff']/failure")
    assert failure is not None
    assert failure.get("message") == SHOWN[2].happened
    assert suites.find("testsuite[@name='compression']/testcase/skipped") is not None
    assert "NON-STRICT" in (suites.findtext("testsuite[@name='framing']/testcase/system-out") or "")


def left_open(count: int) -> list[Result]:
    """Verdicts on a server that answers each Close and does not close TCP."""
    names = [name for name, case in CASES[SERVER].items() if isinstance(case.expect[0], Closes)][:count]
    assert len(names) == count
    return [judged(name, CLOSE, end=End.OPEN) for name in names]


def test_many_verdicts_with_one_cause_share_a_line() -> None:
    many = left_open(causes.MANY)
    assert {result.verdict for result in many} == {Verdict.FAILED}
    (common,) = causes.common_causes([*SHOWN, *many])
    assert common.results == many
    words = str(common)
    assert words.startswith(f"FAILED in {causes.MANY} cases: TCP was not closed (")
    assert "Likely: it keeps TCP open after both Close frames" in words
    assert "(5.5.1)" in words
    assert list(causes.told_alone([*SHOWN, *many])) == SHOWN
    assert causes.common_causes(many[1:]) == []
    assert list(causes.told_alone(many[1:])) == many[1:]


def test_the_worst_cause_comes_first_and_the_story_that_most_share_is_told() -> None:
    case = CASES[SERVER]["close.empty"]
    unsupported = [Result(case, Verdict.UNSUPPORTED, "no permessage-deflate", "no permessage-deflate")] * 20
    refused = [
        Result(case, Verdict.FAILED, f"no connection: HTTP {status}", "no connection") for status in range(404, 414)
    ]
    refused += [Result(case, Verdict.FAILED, "no connection: HTTP 404", "no connection")] * 4
    unheard = [Result(case, Verdict.FAILED, "odd: nothing came", "odd")] * causes.MANY
    assert list(results.causes([*unsupported, *unheard, *refused])) == [
        "FAILED in 14 cases: no connection (HTTP 404, in 5 of them). Likely: " + causes.LIKELY["no connection"] + ".",
        f"FAILED in {causes.MANY} cases: odd (nothing came).",
        "UNSUPPORTED in 20 cases: no permessage-deflate. Likely: permessage-deflate is not switched on.",
        "",
    ]
    assert list(results.causes(SHOWN)) == []


def test_each_likely_cause_belongs_to_something_that_a_verdict_says() -> None:
    source = "".join((EXAMPLES / "conformance" / name).read_text() for name in ("judge.py", "check.py", "clients.py"))
    assert [why for why in causes.LIKELY if f'"{why}"' not in source] == []


def test_the_command_says_the_cause_and_each_case_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    many = left_open(20)
    options = check.parse_arguments(["ws://localhost/"])
    check.tell(options, [*SHOWN, *many])
    shown = capsys.readouterr().out
    assert "FAILED in 20 cases: TCP was not closed" in shown
    assert many[0].case.id not in shown
    assert SHOWN[2].case.id in shown
    check.tell(check.parse_arguments(["ws://localhost/", "--each"]), [*SHOWN, *many])
    shown = capsys.readouterr().out
    assert "FAILED in 20 cases: TCP was not closed" in shown
    assert all(result.case.id in shown for result in many)


def test_files_and_failed_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, junit = tmp_path / "report.json", tmp_path / "junit.xml"
    with serving(careless) as uri:
        arguments = [uri, "--only", "utf8.bad-f[ef]", "--only", "utf8.kosme", "--failed", "--timeout", "2"]
        assert check.main([*arguments, "--json", str(report), "--junit", str(junit)]) == 1
    shown = capsys.readouterr().out
    assert "utf8.bad-ff" in shown
    assert "utf8.kosme" not in shown
    assert [case["id"] for case in json.loads(report.read_text())["cases"]] == [
        "utf8.kosme",
        "utf8.bad-fe",
        "utf8.bad-ff",
    ]
    assert json.loads(report.read_text())["tested"] == uri
    assert len(ElementTree.parse(junit).findall(".//testcase")) == 3


def test_the_checker_runs_without_any_other_package(tmp_path: Path) -> None:
    """In a Python without its site-packages, from another directory."""
    script = EXAMPLES / "conformance" / "check.py"
    command = [sys.executable, "-S", "-E", str(script), "ws://localhost/", "--list"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(CASES[SERVER])
