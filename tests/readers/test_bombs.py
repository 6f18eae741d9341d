"""Small files that ask for much end in a reason, within the time and memory of any other scan."""

from __future__ import annotations

from pathlib import Path

import pytest
from look_at_bombs import HOWS, MEBIBYTES, SECONDS, look_at

from spinenet.anatomy import REASONS
from support.bombs import write_bombs

REFUSED = {
    "anisotropic": "missing_tags",
    "anisotropic.nii.gz": "too_large",
    "anisotropic_1000": "missing_tags",
    "claims.nii": "too_large",
    "fragments": "too_large",
    "frames": "unsupported_image",
    "items_of_regions.dcm": "too_large",
    "items_unwanted.dcm": "too_large",
    "items_wanted.dcm": "too_large",
    "j2k_9000": "too_large",
    "j2k_components": "bad_pixels",
    "j2k_hidden": "bad_pixels",
    "jpeg_65500": "bad_pixels",
    "jpeg_hidden": "bad_pixels",
    "jpegls_hidden": "bad_pixels",
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

LARGE = {
    **REFUSED,
    "backslashes.dcm": "too_large",
    "bzip2": "too_large",
    "deflated.dcm": "too_large",
    "elements.dcm": "too_large",
    "gzip.dcm.gz": "too_large",
    "gzip.nii.gz": "too_large",
    "gzip_in_zip.zip": "too_large",
    "items_of_known_length.dcm": "too_large",
    "xz": "too_large",
    "zip.zip": "too_large",
}
"""Those that are refused as they are made by default."""

SLOW = frozenset(
    {
        "bzip2",
        "elements.dcm",
        "folders.tar.gz",
        "items_of_regions.dcm",
        "items_unwanted.dcm",
        "j2k_4000",
        "xz",
    }
)
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
    reasons: dict[str, str] = {}
    for path in write_bombs(tmp_path):
        reasons |= assert_harmless(look_at([path]), [path], len(HOWS))
    assert {name: reasons[name] for name in LARGE} == LARGE
    assert reasons.keys() - LARGE.keys() == {"j2k_4000"}
