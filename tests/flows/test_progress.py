"""What a run tells while it goes, on a terminal, in a notebook and in a log."""

from __future__ import annotations

import io
import logging
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

from flows.progress import BarReporter, LogReporter, NotebookReporter, Reporter, in_notebook, reporter_here


def tell(reporter: Reporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of 100 scans of which 10 are done in a minute, one of them failed."""
    clock = [1000.0]
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: clock[0])
        reporter.waiting("reading the manifest")
        clock[0] += 500
        reporter.started(100, 0, 10)
        clock[0] += 60
        reporter.scan("bad\nscan", "path_missing")
        reporter.shard(0, {"done": 9, "path_missing": 1}, 60.0)


def test_the_log_says_what_is_waited_for_and_how_long_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "spinenet"):
        tell(LogReporter(), monkeypatch)
    assert [record.getMessage() for record in caplog.records] == [
        "reading the manifest",
        "100 scans in 10 shards, 0 done before",
        "scan bad\\nscan failed: path_missing",
        # 90 scans at ten a minute; starting took its time, and is none of that pace
        "shard 0 committed in 60.0 s: 9 done, 1 path_missing; 10 of 100 scans, 0.17 a second, "
        "about 9 minutes left",
    ]


def test_a_terminal_says_what_is_waited_for() -> None:
    told = io.StringIO()
    bar = BarReporter(Console(file=told, force_terminal=True, width=100))
    bar.waiting("starting workers")
    bar.finished()
    assert "starting workers" in told.getvalue()


def test_a_notebook_shows_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert not in_notebook()
    shell = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", shell)
    shell.__dict__["get_ipython"] = lambda: SimpleNamespace()
    assert not in_notebook(), "IPython in a terminal"
    shell.__dict__["get_ipython"] = lambda: SimpleNamespace(kernel=object())
    reporter = reporter_here()
    assert isinstance(reporter, NotebookReporter)
    tell(reporter, monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "reading the manifest"
    assert lines[-1].endswith("about 9 minutes left")
