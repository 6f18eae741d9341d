"""Small files that ask for much end in a reason, within the time and memory of any other scan."""

from __future__ import annotations

from pathlib import Path

import pytest
from bombs import write_bombs
from look_at_bombs import HOWS, MEBIBYTES, SECONDS, look_at

from spinenet.anatomy import REASONS

REFUSED = {
    "anisotropic": "missing_tags",
    "anisotropic.nii.gz": "too_large",
    "claims.nii": "too_large",
    "frames": "unsupported_image",
    "items_of_known_length.dcm": "unreadable",
    "j2k_9000": "too_large",
    "j2k_components": "bad_pixels",
    "jpeg_65500": "bad_pixels",
    "nested.dcm": "unreadable",
    "position_1e308": "missing_tags",
    "rle_9000": "too_large",
    "rows_and_columns": "too_large",
    "spacing_1e-300": "missing_tags",
    "spacing_1e300": "missing_tags",
    "strip": "too_large",
    "unknown_syntax": "unsupported_syntax",
    "zip_of_many.zip": "too_large",
    "folders.tar.gz": "too_large",
}
"""Those whose reason does not depend on their size."""

SLOW = frozenset({"elements.dcm", "folders.tar.gz", "items_unwanted.dcm", "j2k_4000"})
"""Those that take seconds however small they are made."""


def assert_harmless(
    found: list[tuple[str, str, str, float, int]], paths: list[Path], looks: int
) -> dict[str, str]:
    """Every bomb was looked at so often, and ended in a sentence; the reasons of reading, by name."""
    assert len(found) == looks * len(paths), found[-1]
    for path, how, told, seconds, grown in found:
        reason, _, detail = told.partition(": ")
        assert reason in REASONS or reason.startswith("scan "), (path, how, told)
        assert reason.startswith("scan ") or detail, (path, told)
        assert seconds <= SECONDS, (path, how, seconds)
        assert grown <= MEBIBYTES, (path, how, grown)
    return {Path(path).name: told.partition(":")[0] for path, how, told, _, _ in found if how == "read"}


def test_small_bombs(tmp_path: Path) -> None:
    paths = [path for path in write_bombs(tmp_path, scale=100) if path.name not in SLOW]
    reasons = assert_harmless(look_at(paths, ("read", "preview")), paths, 2)
    assert {name: reasons[name] for name in REFUSED if name not in SLOW} == {
        name: reason for name, reason in REFUSED.items() if name not in SLOW
    }


@pytest.mark.slow
def test_large_bombs(tmp_path: Path) -> None:
    for path in write_bombs(tmp_path):
        reasons = assert_harmless(look_at([path]), [path], len(HOWS))
        assert reasons[path.name] == REFUSED.get(path.name, reasons[path.name])
