"""Trouble of a run's surroundings: which worker it is of, whether a share is away, and when a run is to stop.

A scan that fails by its surroundings is tried on another worker, then once more when its storage is there
again; only what fails then is a row's own state, and many such rows stop the run before they are committed.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from spinenet.errors import RunError
from spinenet.readers.sources.presence import Look

STOP_AFTER = 16
"""Rows that fail by their surroundings, of the last twice as many, before a run stops: fewer are found among
the good rows of any archive, and more are rarely lost to anything but one cause."""

RETIRE_AFTER = 3
"""Scans that fail on one worker without a success between them, and are read on another, before the first
one is retired: one or two may meet a moment's trouble."""

AWAY_S = 60.0
"""How long a run waits in all, in vain, for storage that is away: a server's fail-over takes less."""

ONCE = frozenset({"time_limit", "worker_lost"})
"""Reasons that took long or did harm: not tried again in the same start."""

OF_PATHS = frozenset({"path_missing", "no_files", "permission_denied", "storage_failed"})
"""Reasons that one look at the path and at others can tell more of."""

OTHERS = 4
"""Other paths of the manifest that are looked for beside one that fails, and that were read before."""

log = logging.getLogger("spinenet")


@dataclass
class Trouble:
    """What shards in flight know together of the surroundings.

    Attributes
    ----------
    read
        Paths that were read lately: what is there, unless storage goes away.
    vain_s
        Seconds that were waited in vain for storage.
    waiting
        Held by the one shard that waits for storage.
    """

    read: deque[str] = field(default_factory=lambda: deque(maxlen=OTHERS))
    vain_s: float = 0.0
    waiting: threading.Lock = field(default_factory=threading.Lock)
    _lately: deque[str] = field(default_factory=lambda: deque(maxlen=2 * STOP_AFTER))
    _blamed: Counter[str] = field(default_factory=Counter)
    _retired: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def went_well(self, path: str, workers: Mapping[str, str]) -> None:
        """A scan was read by these workers, by kind of task."""
        with self._lock:
            if path not in self.read:
                self.read.append(path)
            self._lately.append("")
            for worker in workers.values():
                self._blamed.pop(worker, None)

    def healed_elsewhere(self, worker: str, elsewhere: str) -> bool:
        """A scan that failed on one worker was read on another; whether that one is to be retired."""
        with self._lock:
            if worker == elsewhere or worker in self._retired:
                return False
            self._blamed[worker] += 1
            if self._blamed[worker] < RETIRE_AFTER:
                return False
            self._retired.add(worker)
            return True

    def others(self, paths: pa.ChunkedArray, path: str) -> list[str]:
        """Paths to look for beside one that fails: some that were read, and some from all over."""
        step = max(1, len(paths) // OTHERS)
        spread = [paths[at].as_py() for at in range(0, len(paths), step)][:OTHERS]
        with self._lock:
            read_lately = list(self.read)
        return [other for other in dict.fromkeys([*read_lately, *spread]) if other != path]

    def failed(self, reason: str, own: bool) -> int:
        """Note a row that fails for good; how many of the last ones failed by their surroundings.

        Parameters
        ----------
        own
            Whether it was seen that nothing but the scan's own path is at fault.
        """
        with self._lock:
            self._lately.append("" if own else reason)
            return sum(bool(one) for one in self._lately)


def away(seen: Look, reason: str, path: str, paths: pa.ChunkedArray) -> int:
    """How many rows of a manifest seem to be lost with one that fails; 0 where it fails by itself.

    Parameters
    ----------
    paths
        Of the whole manifest.
    """
    if seen.there:
        return 0
    if reason == "path_missing":
        if seen.missing in (None, path):
            return 0
        below = pc.starts_with(paths, pattern=str(seen.missing).rstrip("/") + "/")
        count = int(pc.sum(below).as_py() or 0)
        return count if count > 1 else 0
    return 0 if seen.seen or len(paths) == 1 else len(paths)


def refusal(reason: str, count: int) -> RunError:
    """The error that stops a run before many rows are committed as failed."""
    return RunError(
        f"{count} scans in a row or nearly so failed by their surroundings, the last by {reason}; see that "
        "storage is there and that the workers may read it, then start the run again to go on where it was, "
        "or use --keep-going to have such rows marked as failed"
    )


def share_away(seen: Look, count: int) -> RunError:
    """The error that stops a run whose storage is not there."""
    place = "the storage of its scans" if seen.missing is None else seen.missing
    return RunError(
        f"{place}, with {count} scans of the manifest, cannot be read from the workers; see that it is "
        "mounted and that they may read it, then start the run again to go on where it was, or use "
        "--keep-going to have such rows marked as failed"
    )
