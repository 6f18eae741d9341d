"""Where things lie in OUT, the folder of a run."""

from __future__ import annotations

import re

from spinenet.cohort.tables import TABLES

RUN = "_run"
"""Folder of all that is no table."""

RUN_FILE = f"{RUN}/run.json"
"""What the run was begun with; a later revision has a number in its name."""

STAGED = f"{RUN}/staged"
"""Folder of the shards' parts of the tables."""

COMMITS = f"{RUN}/commits"
"""Folder of the commit records; a later revision has a number in its name."""

DETECTIONS = f"{RUN}/detections"
"""Folder of the shards' checkpoints of detections."""

SUCCESS = "_SUCCESS"
"""Written last: which files are the tables."""

FOLDERS = ("", RUN, STAGED, DETECTIONS, *TABLES)
"""Where a run writes, beside its commit records."""

_RUN_FILE = re.compile(r"run-(\d{5,})\.json")
_RECORD = re.compile(r"(\d{5,})-(\d{2,})\.json")
_CHECKPOINT = re.compile(r"(\d{5,})-[0-9a-f]{16}-[0-9a-f]{16}\.parquet")
_TABLE_FILE = re.compile(r"part-\d{5,}(-[0-9a-f]{8})?\.parquet")


def run_file(revision: int) -> str:
    """Path of the file that holds a revision of a run."""
    return f"{RUN}/run-{revision:05d}.json" if revision else RUN_FILE


def revision_of(name: str) -> int | None:
    """The revision that a file of :data:`RUN` holds, by its name; None for the first and for other files."""
    match = _RUN_FILE.fullmatch(name)
    return int(match[1]) if match else None


def plan_file(digest: str) -> str:
    """Path of a frozen plan."""
    return f"{RUN}/plan-{digest[:16]}.parquet"


def commits_of(revision: int) -> str:
    """Folder of the commit records of a revision of a run."""
    return f"{COMMITS}-{revision:05d}" if revision else COMMITS


def record_file(revision: int, shard: int, generation: int) -> str:
    """Path of a commit record."""
    return f"{commits_of(revision)}/{shard:05d}-{generation:02d}.json"


def shard_and_generation(name: str) -> tuple[int, int] | None:
    """What a commit record is of, by its name; None for any other file."""
    match = _RECORD.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def part_file(table: str, shard: int, digest: str) -> str:
    """Name in :data:`STAGED` of a shard's part of a table."""
    return f"{table}-{shard:05d}-{digest[:16]}.parquet"


def checkpoint_start(shard: int, key: str) -> str:
    """What the names of a shard's checkpoints in :data:`DETECTIONS` begin with; a digest follows."""
    return f"{shard:05d}-{key[:16]}-"


def shard_of_checkpoint(name: str) -> int | None:
    """The shard that a checkpoint is of, by its name; None for any other file."""
    match = _CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else None


def is_table_file(name: str) -> bool:
    """Whether a file in a table's folder is one of a run's, by its name."""
    return _TABLE_FILE.fullmatch(name) is not None
