"""One small scan, in memory and as a DICOM folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from spinenet.types import Scan
from support.small_scans import make_scan, save


@pytest.fixture
def scan() -> Scan:
    return make_scan()


@pytest.fixture
def series(tmp_path: Path, scan: Scan) -> list[Path]:
    return save(tmp_path / "series", scan)
