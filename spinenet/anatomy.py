"""Names and codes: vertebral levels, graded findings, reasons why a scan has no result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

LEVELS: tuple[str, ...] = (
    "S1",
    *(f"L{i}" for i in range(5, 0, -1)),
    *(f"T{i}" for i in range(12, 0, -1)),
    *(f"C{i}" for i in range(7, 1, -1)),
)
"""The 24 classes of the labelling networks in class order; the index grows cranially."""

ENDS: tuple[str, str] = (LEVELS[0], LEVELS[-1])
"""The levels at the ends of the column, which can be told without counting."""

LEVEL_INDEX: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate(LEVELS)})

SACRAL_RELABEL = "S2"
"""Given to the second of two vertebrae that were both read as S1; no network class of its own."""


@dataclass(frozen=True)
class Finding:
    """One graded finding of a disc.

    Attributes
    ----------
    name
        Column name in the ``grades`` table.
    published_name
        Column name in the published package's table.
    n_classes
        Number of classes of the network's head.
    first
        Value shown for class 0 (Pfirrmann grades start at 1).
    """

    name: str
    published_name: str
    n_classes: int
    first: int = 0

    @property
    def values(self) -> tuple[int, ...]:
        """The values that the classes stand for, in class order."""
        return tuple(range(self.first, self.first + self.n_classes))

    @property
    def ordinal(self) -> bool:
        """Whether the classes are an ordered scale of more than two steps."""
        return self.n_classes > 2


FINDINGS: tuple[Finding, ...] = (
    Finding("pfirrmann", "Pfirrmann", 5, 1),
    Finding("narrowing", "Narrowing", 4, 1),
    Finding("central_canal_stenosis", "CentralCanalStenosis", 4, 1),
    Finding("spondylolisthesis", "Spondylolisthesis", 3),
    Finding("upper_endplate_defect", "UpperEndplateDefect", 2),
    Finding("lower_endplate_defect", "LowerEndplateDefect", 2),
    Finding("upper_marrow_change", "UpperMarrow", 2),
    Finding("lower_marrow_change", "LowerMarrow", 2),
    Finding("foraminal_stenosis_left", "ForaminalStenosisLeft", 2),
    Finding("foraminal_stenosis_right", "ForaminalStenosisRight", 2),
    Finding("herniation", "Herniation", 2),
)
"""The 11 findings in the order of the grading network's heads."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "path_missing": "the path does not exist",
        "no_files": "the path holds no files",
        "not_dicom": "no file is DICOM",
        "not_mr": "the series is not MR",
        "no_pixels": "files carry no pixel data",
        "bad_pixels": "pixel data is truncated or cannot be decoded",
        "unsupported_syntax": "the transfer syntax cannot be decoded here",
        "unsupported_image": "the pixels are stored in a form that is not read",
        "missing_tags": "tags that the geometry needs are missing or not numbers",
        "not_sagittal": "the slices are not sagittal",
        "several_series": "the path holds several usable series and none was named",
        "series_missing": "the series that the manifest names is not in the path",
        "mixed_geometry": "slices of one series differ in size, spacing or orientation",
        "duplicate_positions": "several slices share one position",
        "missing_slices": "the gaps between slices are not equal",
        "too_few_slices": "the series has too few slices",
        "too_small": "the slices are too small to be searched for vertebrae",
        "too_large": "the series is larger than the reader accepts",
        "permission_denied": "storage refused to let the path be read",
        "unreadable": "the file cannot be read",
        "no_vertebrae": "no vertebra was found",
        "worker_lost": "the scan's worker died each time it was tried",
        "time_limit": "the scan took longer than the time limit",
        "internal_error": "an unexpected error; the detail names it",
        # added later, at the end: tables store a reason as its place in this list
        "not_image": "the files are reports, masks, presentation states or other objects, and no images",
        "colour": "the image is in colour: a picture of a scan, not a scan",
        "mosaic": "all slices lie side by side in one image",
        "localizer": "the series is a localizer: slices of several planes",
        "unsafe_archive": "the archive has a member whose path points outside it",
        "duplicate_series": "the same series lies in several places and counts once",
        "out_of_memory": "memory did not hold the scan, or a single image of it in a network",
        "storage_failed": "storage or the network failed while the path was read",
        "no_space": "a disk was full",
        "too_many_open_files": "the process or the machine may open no more files",
        "package_missing": "a package that the file needs is not installed where it was read",
        "gpu_failed": "the GPU failed, not for want of memory",
        "conflicting_copies": "files of one instance and one place differ in their pixels",
        "several_echoes": "the series holds several echoes and none was named",
        "several_image_types": "the series holds several types of images (water, fat ...) and none was named",
        "several_times": "the series was taken several times and no time was named",
        "mixed_contrasts": "every second slice shows another contrast: two series lie in one",
        "other_body_part": "the series is of another part of the body than the spine",
        "derived": "the file lies among masks, labels or other data that were made of images",
        "unsupported_format": "the file is of a format that is not read; the detail says what to do",
        "uid_per_file": "each file has a SeriesInstanceUID of its own, and they make no one series together",
    }
)
"""Reason codes of the ``scans`` table and what each says."""

SURROUNDINGS: frozenset[str] = frozenset(
    {
        "path_missing",  # also what a share that is not mounted looks like
        "permission_denied",
        "storage_failed",
        "no_space",
        "too_many_open_files",
        "package_missing",
        "gpu_failed",
        "out_of_memory",
        "time_limit",  # slow storage and a busy machine look the same as a scan that takes for ever
        "worker_lost",
        "internal_error",  # another version of the code may do better
    }
)
"""Reasons that may lie in the machine, its storage or its network, so that another try may do better.

All others are the scan's own: its files say the same whenever they are read.
"""


def disc_level(below: str, above: str) -> str | None:
    """Name of the disc between two neighbouring vertebrae.

    Parameters
    ----------
    below, above
        Level names of the caudal and the cranial vertebra.

    Returns
    -------
    str or None
        "L4-L5" for below "L5", above "L4"; None where the two are no neighbours in the spine.
    """
    if (below, above) == (SACRAL_RELABEL, "S1"):
        return "S1-S2"
    if below not in LEVEL_INDEX or above not in LEVEL_INDEX:
        return None
    return f"{above}-{below}" if LEVEL_INDEX[above] - LEVEL_INDEX[below] == 1 else None
