"""The benchmarks measure what they claim: every library does every work, on tiny payloads, and is checked."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

# At the end: an installed rfc6455 stays the one that is tested.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks import compression, measure, ours, payloads, report, run, targets, worst_input
from benchmarks.libraries import Library, Role, UnsupportedError, installed
from benchmarks.payloads import Deflate, Stream
from benchmarks.work import Receive, Scale, Send, Work, all_works

pytestmark = pytest.mark.bench

TINY = Scale(counts=5000, sizes=100)
WORKS = {work.name: work for work in all_works(TINY)}
LIBRARIES, ABSENT = installed()
BY_NAME = {library.name: library for library in LIBRARIES}
NAMES = ["floor", ours.COMPILED, ours.PURE, "picows", "aiohttp", "websockets", "wsproto"]


def in_loop(do: Any, *arguments: Any) -> Any:
    """Call it while a loop is running, as picows and aiohttp need it."""

    async def call() -> Any:
        return do(*arguments)

    return asyncio.run(call())


@pytest.fixture(params=NAMES)
def library(request: pytest.FixtureRequest) -> Library:
    if request.param in ABSENT:
        pytest.skip(f"{request.param}: {ABSENT[request.param]}")
    return BY_NAME[request.param]


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_library_does_work(work: Work, library: Library) -> None:
    try:
        in_loop(work.check, library)
    except UnsupportedError as error:
        pytest.skip(str(error))
    assert in_loop(work.measure, library) > 0


def test_pure_is_always_measured_and_is_pure() -> None:
    assert ours.PURE in BY_NAME
    assert BY_NAME[ours.PURE].version.endswith("Python")


def test_names_are_unique() -> None:
    assert len(WORKS) == len(list(all_works(TINY)))


# --- a library that does the work wrong is found out ------------------------------------------------------------


class Parrot(Library):
    """A library that returns what it is told to."""

    name = "parrot"

    def __init__(self, said: Sequence[Any]) -> None:
        self.said = said

    def connect(self, role: Role, deflate: Deflate | None = None) -> None:
        return None

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        yield self.said

    def send(self, connection: Any, messages: payloads.Messages) -> Iterator[Any]:
        yield from self.said


RECEIVE = Receive("receive", "", "", "text", 2, 32)
RIGHT = payloads.ascii_messages(2, 32)


@pytest.mark.parametrize(
    "wrong",
    [RIGHT[:1], [*RIGHT, RIGHT[0]], RIGHT[::-1], [text.encode() for text in RIGHT], [RIGHT[0], RIGHT[1] + "!"]],
    ids=["too few", "too many", "order", "type", "content"],
)
def test_wrong_messages_are_found(wrong: Sequence[Any]) -> None:
    RECEIVE.check(Parrot(RIGHT))
    with pytest.raises(AssertionError):
        RECEIVE.check(Parrot(wrong))


SEND = Send("send", "", "", Role.SERVER, "text", 2, 32)
TEXT = payloads.FIN | payloads.TEXT
FRAMES = [payloads.frame(TEXT, text.encode(), None) for text in RIGHT]


@pytest.mark.parametrize(
    "wrong",
    [
        FRAMES[:1],
        FRAMES[::-1],
        [payloads.frame(TEXT, text.encode(), b"abcd") for text in RIGHT],
        [payloads.frame(payloads.FIN | payloads.BINARY, text.encode(), None) for text in RIGHT],
    ],
    ids=["too few", "order", "masked", "opcode"],
)
def test_wrong_frames_are_found(wrong: Sequence[Any]) -> None:
    SEND.check(Parrot(FRAMES))
    with pytest.raises(AssertionError):
        SEND.check(Parrot(wrong))


# --- payloads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("key", [None, b"\x01\x02\x03\x04"])
def test_frames_are_read_back(size: int, key: bytes | None) -> None:
    payload = bytes(index % 251 for index in range(size))
    written = payloads.frame(TEXT, payload, key)
    assert list(payloads.parse_frames(written * 2)) == [(TEXT, payload)] * 2


def test_the_masked_hello_of_the_rfc() -> None:
    """5.7: a single-frame masked text message."""
    assert payloads.frame(TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")


@pytest.mark.parametrize(("cut", "fragments"), [(None, 1), (1, 1), (7, 3), (1 << 16, 2)])
def test_ends_say_after_which_read_a_message_is_complete(cut: int | None, fragments: int) -> None:
    stream = payloads.make_stream(payloads.binary_messages(3, 10), cut=cut, fragments=fragments)
    for count, end in enumerate(stream.ends, 1):
        seen = b"".join(stream.reads[:count])
        complete = payloads.make_stream(stream.messages, cut=len(b"".join(stream.reads)), fragments=fragments)
        frames_of = [payloads.make_stream(stream.messages[:n], cut=None, fragments=fragments) for n in (1, 2, 3)]
        sizes = [sum(map(len, part.reads)) for part in frames_of]
        assert complete.reads[0].startswith(seen)
        assert end == sum(size <= len(seen) for size in sizes)


# --- results, targets, the command ------------------------------------------------------------------------------


def made_up(**medians: float) -> measure.Results:
    """Results with one work, ``receive-text-32``."""
    row = measure.Row("receive-text-32", "text", "receive", "ns per message")
    row.rounds = {name: [median * 2, median, median / 2] for name, median in medians.items()}
    return measure.Results({"Python": "3"}, dict.fromkeys(medians, "1"), {"picows": "not installed"}, [row])


def test_results_survive_a_file(tmp_path: Path) -> None:
    results = made_up(floor=10.0, wsproto=100.0)
    results.save(tmp_path / "results.json")
    assert measure.Results.load(tmp_path / "results.json") == results


def test_table_for_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.rst"
    made_up(**{ours.PURE: 2000.0, "wsproto": 9000.0}).save(figures)
    assert run.main(["--load", str(figures), "--rst", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert '   :header: "work", "rfc6455 pure", "wsproto"\n' in text
    assert '   "text, per message", "2.00 µs", "9.00 µs ×4.50"\n' in text
    assert "- picows: not measured (not installed)" in text


@pytest.mark.parametrize(("wsproto", "verdict"), [(9_999.0, "FAIL"), (10_000.0, "pass")])
def test_target_is_held_against_the_medians(wsproto: float, verdict: str) -> None:
    verdicts = {target: said for said, target, _ in targets.check(made_up(**{ours.PURE: 2000.0, "wsproto": wsproto}))}
    assert verdicts["receive-text-32: rfc6455 pure at least 5 x as fast as wsproto"] == verdict
    assert verdicts["receive-text-32: rfc6455 compiled at least 2.5 x as fast as aiohttp"] == "absent"


def test_a_target_fails_where_ours_could_not_be_measured_for_a_reason() -> None:
    results = made_up(wsproto=9000.0)
    results["receive-text-32"].reasons[ours.PURE] = "it broke"
    verdicts = {target: (said, found) for said, target, found in targets.check(results)}
    assert verdicts["receive-text-32: rfc6455 pure at least 5 x as fast as wsproto"] == ("FAIL", "it broke")


def test_best_peer_is_the_fastest_that_was_measured() -> None:
    target = targets.Faster("receive-text-32", ours.PURE, 1, targets.BEST_PEER)
    assert target.verdict(made_up(**{ours.PURE: 20.0, "wsproto": 100.0, "websockets": 10.0})) == (
        False,
        "0.50 x websockets",
    )


@pytest.mark.parametrize(("cost", "passed"), [(150.0, True), (151.0, False)])
def test_what_is_added_is_held_against_the_other_work(cost: float, passed: bool) -> None:
    results = made_up(**{ours.COMPILED: 100.0})
    results.rows.append(measure.Row("more", "", "receive", "ns per message", {ours.COMPILED: [cost]}))
    target = targets.AddsAtMost("more", "receive-text-32", ours.COMPILED, 50)
    assert target.verdict(results) == (passed, f"{cost - 100:.0f} ns per message more")
    with pytest.raises(KeyError):
        target.verdict(made_up(**{ours.COMPILED: 100.0}))


def test_targets_name_works_that_exist() -> None:
    names = {target.work for target in targets.TARGETS}
    names |= {target.first for target in targets.TARGETS if isinstance(target, targets.Flat | targets.AddsAtMost)}
    assert names <= set(WORKS)


def test_command_measures_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    status = run.main(["--quick", "--only", "memory-new", "--library", "rfc6455*", "--json", str(file), "--check"])
    printed = capsys.readouterr().out
    rows = json.loads(file.read_text())["rows"]
    assert [row["name"] for row in rows] == ["memory-new"]
    assert len(rows[0]["rounds"][ours.PURE]) == measure.LEAST_ROUNDS
    assert "rubric:: Memory" in printed
    assert "memory-new: rfc6455 pure at most 2048" in printed
    assert status == int('"FAIL"' in printed or '"absent"' in printed)


def test_command_wants_enough_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--rounds", "4"])
    assert "--rounds must be at least 5" in capsys.readouterr().err


def test_command_wants_a_work_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--only", "nothing"])
    assert "no work is named nothing" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_plot(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / f"plot.{suffix}"
    report.plot(made_up(**{ours.PURE: 20.0, "wsproto": 100.0}), file)
    assert file.read_bytes().startswith(b"<?xml" if suffix == "svg" else b"\x89PNG")


# --- compression ------------------------------------------------------------------------------------------------

TINY_COMPRESSION = compression.Scale(connections=3, messages=500)


def test_compression_measures_every_setting_and_every_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "Scale", lambda: TINY_COMPRESSION)
    monkeypatch.setattr(compression, "ROUNDS", 1)
    compression.main([str(tmp_path / "page.rst")])
    rows = [line for line in (tmp_path / "page.rst").read_text(encoding="utf-8").splitlines() if line[:4] == '   "']
    names = [line.split('"')[1].strip("`") for line in rows]
    assert names == [name.strip("`") for name in compression.SETTINGS] + compression.MODULES


def test_context_takeover_keeps_memory_and_saves_bytes() -> None:
    messages = payloads.json_messages(20, compression.SMALL)
    servers: list[dict[str, Any] | None] = [None, {"client_no_context_takeover": True}, compression.TAKEOVER]
    kept = [compression.kept_memory(compression.Settings(server), TINY_COMPRESSION) for server in servers]
    sizes = [compression.size_in_percent(compression.Settings(server), messages) for server in servers]
    # zconf.h: 256 KiB for deflating and 32 KiB for inflating, with some for small objects
    assert kept[0] <= kept[1] < 4 << 10 < 288 << 10 < kept[2] < 350 << 10
    assert sizes[0] == 100 > sizes[1] > sizes[2]


@pytest.mark.parametrize(
    ("offer", "least", "most"),
    [
        (compression.RESETS, 0, 1 << 10),
        (compression.WINDOW, 8 << 10, 11 << 10),
        (compression.BARE, 38 << 10, 42 << 10),
    ],
)
def test_what_the_default_keeps_depends_on_the_offer(offer: str, least: int, most: int) -> None:
    assert least <= compression.kept_memory(compression.Settings({}, offer), TINY_COMPRESSION) < most


# --- the costliest input ----------------------------------------------------------------------------------------


def test_the_costliest_input_is_taken_or_refused_as_it_should_be(tmp_path: Path) -> None:
    """Each input runs to its end; how long it takes is for the benchmark to say."""
    messages, heads = figures = worst_input.measure(rounds=1)
    assert next(iter(messages)) == worst_input.HONEST
    page = worst_input.page({"compiled": figures, "pure": figures})
    assert all(name in page for name in [*messages, *heads])
