"""Chooses the series of a path to read: the named one, or the only usable one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spinenet.errors import ScanError
from spinenet.printable import printable
from spinenet.readers.dicom.grouping import BEFORE_LABELS, BETWEEN_LABELS, Series
from spinenet.readers.dicom.parting import ECHO, IMAGE_TYPE, TIME
from spinenet.readers.dicom.stacks import Stack

_LISTED = 8
"""Most series that a message about several names."""

_KINDS = {
    ECHO: ("several_echoes", "echoes"),
    "echo_number": ("several_echoes", "echoes"),
    IMAGE_TYPE: ("several_image_types", "types of images"),
    "filters": ("several_image_types", "types of images"),
    TIME: ("several_times", "times"),
    "acquisition": ("several_times", "acquisitions"),
}
"""(reason, noun for messages) by the label that distinguishes the series."""


def listed_labels(labels: Sequence[str]) -> str:
    """List the first series for a message, and the number of the others."""
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return "; ".join(labels[:_LISTED]) + more


def choose_series(every: Sequence[Series], series_uid: str | None) -> tuple[Series, Stack]:
    """Choose the named series, or the only usable one.

    Parameters
    ----------
    every
        The series of a path.
    series_uid
        Name of a series; or its UID with as many of its labels as leave one series.

    Raises
    ------
    ScanError
        series_missing; several_series, several_echoes, several_image_types or several_times where more than
        one is usable; or the reason why none is.
    """
    meant = _named(every, series_uid) if series_uid else every
    usable = [(series, series.outcome) for series in meant if isinstance(series.outcome, Stack)]
    # acquired sagittal slices are preferred to planes resliced from an isotropic volume
    usable = [(series, stack) for series, stack in usable if stack.axes.order[2] == 2] or usable
    if len(usable) > 1:
        raise _ambiguous([series for series, _ in usable])
    if usable:
        return usable[0]
    # the largest series comes first, and is most likely the one that is meant
    first = meant[0].outcome
    assert isinstance(first, ScanError)
    if len(meant) == 1:
        raise first
    counts = Counter(series.outcome.reason for series in meant if isinstance(series.outcome, ScanError))
    summary = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    raise ScanError(first.reason, f"{first.detail} (none of {len(meant)} series is usable: {summary})")


def _named(every: Sequence[Series], series_uid: str) -> Sequence[Series]:
    """The series that fit a name."""
    matches = [series for series in every if series.name == series_uid]
    matches = matches or [series for series in every if series.uid == series_uid]
    matches = matches or [series for series in every if _has_labels(series, series_uid)]
    # the slices of a rejoined series have a UID each
    matches = matches or [
        each for each in every if any(frame.series_uid == series_uid for frame in each.frames)
    ]
    if not matches:
        shown = printable(series_uid)
        raise ScanError("series_missing", f"series {shown} is not among the {len(every)} series of the path")
    return matches


def _has_labels(series: Series, series_uid: str) -> bool:
    before = series.uid + BEFORE_LABELS
    wanted = series_uid.removeprefix(before).split(BETWEEN_LABELS)
    return series_uid.startswith(before) and set(wanted) <= set(series.labels)


def _ambiguous(usable: Sequence[Series]) -> ScanError:
    listed = listed_labels([series.label for series in usable])
    kinds = {_KINDS.get(series.labels[-1].partition("=")[0]) if series.labels else None for series in usable}
    kind = kinds.pop() if len(kinds) == 1 and len({series.uid for series in usable}) == 1 else None
    if kind is None:
        return ScanError("several_series", f"name one of {len(usable)} usable series: {listed}")
    reason, noun = kind
    return ScanError(
        reason, f"the series holds {len(usable)} {noun}; name one in the column series_uid: {listed}"
    )
