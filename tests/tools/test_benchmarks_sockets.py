"""The benchmark of servers on real sockets, with tiny figures: the answers of each server are checked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

# At the end: an installed rfc6455 stays the one that is tested.
sys.path.append(str(Path(__file__).resolve().parents[2]))

pytest.importorskip("resource", reason="Linux only")

from benchmarks.chat.programs import Program
from benchmarks.measure import Results, Row
from benchmarks.sockets import load, report, run
from benchmarks.sockets.servers import SERVERS, frame_size

pytestmark = pytest.mark.bench

TINY = 2_000
FOUND, ABSENT = run.programs()
BY_NAME = {program.name: program for program in FOUND}


@pytest.mark.parametrize("name", SERVERS)
def test_each_server_answers_in_each_row(name: str) -> None:
    if name in ABSENT:
        pytest.skip(ABSENT[name])
    for row in (row for row in load.all_rows(TINY) if row.name in ("1000k", "in-flight", "opening")):
        taken = run.measure_row(row, [BY_NAME[name]], 1)
        assert taken.reasons == {}
        assert taken.rounds[name][0] >= 0


def test_a_server_that_changes_a_message_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_NAME, "floor", Program("zeros", "", BY_NAME["floor"].command))
    taken = run.measure_row(load.all_rows(TINY)[0], [BY_NAME["floor"]], 1)
    assert taken.reasons == {"zeros": "the answer differs from the message that was sent"}
    assert taken.rounds == {}


def test_a_server_that_does_not_start_has_no_figures() -> None:
    taken = run.measure_row(
        load.all_rows(TINY)[0], [Program("none", "", (sys.executable, "-c", "raise SystemExit"))], 1
    )
    assert taken.rounds == {}
    assert "does not start" in taken.reasons["none"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_frames_are_what_the_floor_takes_them_for(size: int) -> None:
    assert frame_size(load.masked_frame(bytes(size))) == (len(load.masked_frame(bytes(size))), size)


def test_the_command_writes_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    arguments = ["--quick", "--only", "small", "--server", "Listener", "--server", "floor", "--json", str(out)]
    assert run.main([*arguments, "--rst", str(tmp_path / "page.rst")]) == 0
    assert [len(of) for of in json.loads(out.read_text())["rows"][0]["rounds"].values()] == [2, 2]
    assert "1 client, 1 in flight, 256 B" in capsys.readouterr().out
    assert ".. csv-table::" in (tmp_path / "page.rst").read_text()
    assert run.main(["--load", str(out), "--check"]) in (0, 1)


def test_ratios_are_those_of_the_same_round() -> None:
    rounds = {"Listener": [1.0, 10.0, 2.0], "picows": [1.0, 10.0, 4.0]}
    results = Results({}, {"Listener": "", "picows": ""}, {}, [Row("small", "a row", "sockets", "s", rounds)])
    table, passed = report.check_table(results)
    assert passed
    assert "1.00 x picows" in table
