"""The load test of the chat, with tiny figures, on each server that is installed. Nothing is timed here."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from programs import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load needs epoll and /proc")


@pytest.fixture
def chat_load(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.chat.run")


def test_every_case_runs_on_every_server(
    chat_load: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.rst"
    talk = {"clients": 4, "senders": 2, "seconds": 0.05, "lines": 200, "pings": 3}
    crowd = {"crowd": 6, "crowd_senders": 2, "crowd_lines": 1}
    tiny = chat_load.Scale(**talk, **crowd, table=4, unread=1 << 16)
    assert chat_load.main(["--rounds", "1", "--json", str(figures), "--rst", str(page)], tiny) == 0
    printed = capsys.readouterr().out
    results = chat_load.Results.load(figures)
    assert {row.name for row in results.rows} == {figure.name for case in chat_load.CASES for figure in case.figures}
    assert any(name.startswith("rfc6455") for name in results.libraries)
    servers = chat_load.installed()[0]
    for case in chat_load.CASES:
        for row in map(results.row, (figure.name for figure in case.figures)):
            assert row.reasons == {}
            assert row.rounds.keys() == {server.name for server in servers if server.serves(case.name)}
    deliveries = results.row("one-deliveries")
    assert min(map(min, deliveries.rounds.values())) > 0
    # What the tables say of the scale is what was run.
    for text in (printed, page.read_text(encoding="utf-8")):
        assert "6 clients at once" in text
        assert "4 clients, one of which never reads: 0.0625 MiB" in text
