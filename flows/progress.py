"""What a run tells while it goes: log lines, or a bar on a terminal."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flows.cli.terminal import duration
from spinenet.printable import counted, printable

log = logging.getLogger("spinenet")

MOST = 200
"""Characters of a scan's id in a line of the log."""


class Reporter(Protocol):
    """Told from several threads what happens."""

    def waiting(self, what: str) -> None:
        """The run does, or waits for, something that may take a while."""

    def started(self, n_rows: int, n_before: int, n_shards: int) -> None:
        """The run begins with ``n_before`` rows done by an earlier start."""

    def scan(self, scan_id: str, reason: str | None) -> None:
        """A scan is done, or failed for ``reason``."""

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        """A shard is committed."""

    def finished(self) -> None:
        """The tables are written, or the run ends early."""


class LogReporter:
    """One line for each shard, each failure, and each thing that is waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = self._total = 0
        self._began, self._before = time.monotonic(), 0

    def say(self, text: str, *, failure: bool = False) -> None:
        """Write a line."""
        log.log(logging.WARNING if failure else logging.INFO, "%s", text)

    def waiting(self, what: str) -> None:
        """See :class:`Reporter`."""
        self.say(what)

    def started(self, n_rows: int, n_before: int, n_shards: int) -> None:
        """See :class:`Reporter`."""
        self._total, self._done, self._before = n_rows, n_before, n_before
        self._began = time.monotonic()
        self.say(f"{n_rows} scans in {n_shards} shards, {n_before} done before")

    def scan(self, scan_id: str, reason: str | None) -> None:
        """See :class:`Reporter`."""
        if reason is not None:
            self.say(f"scan {printable(scan_id, MOST)} failed: {reason}", failure=True)

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            self._done += sum(states.values())
            rate = (self._done - self._before) / max(time.monotonic() - self._began, 1e-9)
            left = max(0, self._total - self._done)
        text = (
            f"shard {index} committed in {seconds:.1f} s: {counted(states)}; "
            f"{self._done} of {self._total} scans, {rate:.2f} a second"
        )
        self.say(f"{text}, about {duration(left / rate)} left" if left and rate else text)

    def finished(self) -> None:
        """See :class:`Reporter`."""


class NotebookReporter(LogReporter):
    """Plain lines below a notebook's cell, where a log is not shown."""

    def say(self, text: str, *, failure: bool = False) -> None:
        """Write a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def reporter_here() -> Reporter:
    """Bars on a terminal, lines in a notebook, else the log."""
    if in_notebook():
        return NotebookReporter()
    terminal = Console(stderr=True)
    return BarReporter(terminal) if terminal.is_terminal else LogReporter()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return getattr(get_shell() if get_shell else None, "kernel", None) is not None


class LogIndexing:
    """A line now and then of how far an index has come."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._due = self._began = time.monotonic()

    def __call__(self, files: int, series: int) -> None:
        """Told how many files have been looked at and how many series were found."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._seconds
            log.info("%d files looked at, %d series found, %.0f s", files, series, now - self._began)


class BarReporter:
    """A bar of scans on a terminal; failures are counted beside it."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[red]{task.fields[failed]}"),
            console=console,
            transient=True,
        )
        self._lock = threading.Lock()
        self._failed = 0
        self._task = self._bar.add_task("scans", total=None, failed="")

    def waiting(self, what: str) -> None:
        """See :class:`Reporter`."""
        self._bar.start()
        self._bar.update(self._task, description=what)

    def started(self, n_rows: int, n_before: int, n_shards: int) -> None:
        """See :class:`Reporter`."""
        self._bar.start()
        self._bar.update(self._task, total=n_rows, completed=n_before)

    def scan(self, scan_id: str, reason: str | None) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            self._failed += reason is not None
            counts = f"{self._failed} failed" if self._failed else ""
        self._bar.update(self._task, advance=1, failed=counts, description="scans")

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            excluded = states.get("excluded", 0)
        self._bar.update(self._task, advance=excluded)

    def finished(self) -> None:
        """See :class:`Reporter`."""
        self._bar.stop()
