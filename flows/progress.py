"""What a run tells while it goes: log lines, or a bar on a terminal."""

from __future__ import annotations

import logging
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

from spinenet.printable import printable

log = logging.getLogger("spinenet")

MOST = 200
"""Characters of a scan's id in a line of the log."""


class Reporter(Protocol):
    """Told from several threads what happens."""

    def started(self, n_rows: int, n_before: int, n_shards: int) -> None:
        """The run begins with ``n_before`` rows done by an earlier start."""

    def scan(self, scan_id: str, reason: str | None) -> None:
        """A scan is done, or failed for ``reason``."""

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        """A shard is committed."""

    def finished(self) -> None:
        """The tables are written, or the run ends early."""


class LogReporter:
    """One line for each shard and one for each failure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = self._total = 0
        self._began, self._before = time.monotonic(), 0

    def started(self, n_rows: int, n_before: int, n_shards: int) -> None:
        """See :class:`Reporter`."""
        self._total, self._done, self._before = n_rows, n_before, n_before
        log.info("%d scans in %d shards, %d done before", n_rows, n_shards, n_before)

    def scan(self, scan_id: str, reason: str | None) -> None:
        """See :class:`Reporter`."""
        if reason is not None:
            log.warning("scan %s failed: %s", printable(scan_id, MOST), reason)

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            self._done += sum(states.values())
            rate = (self._done - self._before) / max(time.monotonic() - self._began, 1e-9)
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        log.info(
            "shard %d committed in %.1f s: %s; %d of %d scans, %.2f a second",
            index, seconds, told, self._done, self._total, rate,
        )  # fmt: skip

    def finished(self) -> None:
        """See :class:`Reporter`."""


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

    def started(self, n_rows: int, n_before: int, n_shards: int) -> None:
        """See :class:`Reporter`."""
        self._bar.start()
        self._bar.update(self._task, total=n_rows, completed=n_before)

    def scan(self, scan_id: str, reason: str | None) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            self._failed += reason is not None
            told = f"{self._failed} failed" if self._failed else ""
        self._bar.update(self._task, advance=1, failed=told)

    def shard(self, index: int, states: Mapping[str, int], seconds: float) -> None:
        """See :class:`Reporter`."""
        with self._lock:
            excluded = states.get("excluded", 0)
        self._bar.update(self._task, advance=excluded)

    def finished(self) -> None:
        """See :class:`Reporter`."""
        self._bar.stop()
