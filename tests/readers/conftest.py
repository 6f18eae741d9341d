"""One small scan, in memory and as a DICOM folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_scans import make_scan, save

from spinenet.types import Scan


@pytest.fixture
def scan() -> Scan:
    return make_scan()


@pytest.fixture
def series(tmp_path: Path, scan: Scan) -> list[Path]:
    return save(tmp_path / "series", scan)
