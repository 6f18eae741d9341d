"""Homes of Prefect whose database is there already: a server takes ten seconds to make one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from filelock import FileLock

SHARED = "SPINENET_TESTS_PREFECT"
"""Names the folder in which all processes of one run of the tests find the database that is copied."""


def home(folder: Path) -> Path:
    """Make a folder a home of Prefect with a database that holds nothing yet, and return it."""
    shared = Path(os.environ[SHARED])
    empty = shared / "prefect.db"
    with FileLock(shared / "prefect.lock"):
        if not empty.exists():
            _make(empty)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(empty, folder / "prefect.db")
    return folder


def _make(empty: Path) -> None:
    made = empty.parent / "made"
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
        env={**os.environ, "PREFECT_HOME": str(made)}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with closing(sqlite3.connect(made / "prefect.db")) as database:
        # else what was written last is in a file beside it
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (made / "prefect.db").rename(empty)
