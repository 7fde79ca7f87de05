"""Each input of the fuzzers' corpus, so that a finding cannot come back on any Python and build.

``tests/fuzz`` has the harnesses and the corpus; ``tox -e fuzz`` looks for more. This needs no atheris.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from rfc6455 import Connection, FrameParser, Pong, ServerHandshake
from rfc6455.handshake.fields import parse_extensions
from rfc6455.testing import request_head

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))

from harness import CHOICES, CORPUS, NAMES, harness
from report import Result, as_rst, as_text, read_log

MAX_FILES, MAX_SIZE = 200, 1 << 10


def inputs(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_every_input_of_the_corpus(name: str) -> None:
    check = harness(name).check
    for path in inputs(name):
        print(path.name)  # pytest shows the last one when it fails
        check(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_is_small(name: str) -> None:
    sizes = [path.stat().st_size for path in inputs(name)]
    assert 0 < len(sizes) <= MAX_FILES
    assert max(sizes) <= MAX_SIZE


# A harness that notices nothing would pass as well. Each is given a package with one mistake.


class ForgetsFrames(FrameParser):
    def receive_data(self, data: Any) -> Any:
        return super().receive_data(data)[:1]


class ForgetsPongs(Connection):
    def receive_data(self, data: Any = None) -> Any:
        return [event for event in super().receive_data(data) if not isinstance(event, Pong)]


class TakesEveryVersion(ServerHandshake):
    def receive_data(self, data: Any) -> Any:
        return super().receive_data(data.replace(b"Version: 8", b"Version: 13"))


def forgets_values(lines: Any) -> Any:
    return tuple((name, tuple((key, None) for key, _ in parameters)) for name, parameters in parse_extensions(lines))


REQUEST = bytes(request_head().replacing("Sec-WebSocket-Version", "8"))


@pytest.mark.parametrize(
    ("name", "what", "mistaken", "stream"),
    [
        ("frames", "FrameParser", ForgetsFrames, b"\x81\x80\x00\x00\x00\x00" * 2),
        ("connection", "Connection", ForgetsPongs, b"\x8a\x80\x00\x00\x00\x00"),
        ("head", "ServerHandshake", TakesEveryVersion, REQUEST),
        ("extension_header", "parse_extensions", forgets_values, b"x; y=1"),
    ],
)
def test_a_harness_notices_a_mistake(
    name: str, what: str, mistaken: Any, stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = harness(name)
    data = bytes(CHOICES) + stream
    module.check(data)
    monkeypatch.setattr(module, what, mistaken)
    with pytest.raises(AssertionError):
        module.check(data)


# The figures of a run.

LOG = """\
#2048	pulse  cov: 589 ft: 1686 corp: 162/2092b exec/s: 227 rss: 48Mb
#3616	NEW    cov: 612 ft: 2484 corp: 263/14916b lim: 713 exec/s: 60 rss: 50Mb L: 17/704 MS: 3 ChangeByte-
"""
DONE = """\
#3621	DONE   cov: 612 ft: 2484 corp: 264/14Kb lim: 713 exec/s: 59 rss: 50Mb
Done 3621 runs in 61 second(s)
"""
STATS = """\
stat::number_of_executed_units: 3621
stat::average_exec_per_sec:     59
"""


def test_the_figures_are_those_of_the_end_of_the_log() -> None:
    assert read_log("frames", LOG + DONE + STATS, []) == Result("frames", 3621, 61, 612, 2484, 264)
    early = read_log("frames", LOG + STATS, ["crash-1"])
    assert early == Result("frames", 3621, 0, 612, 2484, 263, ("crash-1",))
    assert early.ran
    assert not read_log("frames", "Traceback ...", []).ran


def test_a_report_names_what_failed() -> None:
    results = [Result("frames", 3621, 61, 612, 2484, 264), Result("head", 7, 0, 1, 2, 3, ("crash-1",)), Result("x")]
    assert as_text(results).splitlines()[-2:] == [
        "head: build/fuzz/head/crash-1",
        "x: did not run; see build/fuzz/x/log",
    ]
    assert f'"frames", "61", "3621", "612", "2484", "264", "{len(inputs("frames"))}", "0"' in as_rst(results)
