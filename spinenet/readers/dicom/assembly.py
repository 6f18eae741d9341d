"""Reads DICOM files as one Scan: groups them by series, chooses, decodes and orients the sagittal one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from spinenet.errors import ScanError
from spinenet.readers.dicom.alternation import check_alternation
from spinenet.readers.dicom.choice import choose_series
from spinenet.readers.dicom.collected import Collected
from spinenet.readers.dicom.facts import FLAGS
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.grouping import group_series, sequence_of_frame
from spinenet.readers.dicom.headers import read_frames
from spinenet.readers.dicom.padding import without_padding
from spinenet.readers.dicom.pixels import stored_frames
from spinenet.readers.dicom.rescale import rescaled
from spinenet.readers.dicom.stacks import Stack
from spinenet.readers.sources.limits import UnpackedTotal, check_total
from spinenet.readers.sources.part10 import as_part10
from spinenet.readers.space.orientation import reorient
from spinenet.types import Scan


def read_dicom(
    files: Mapping[str, bytes],
    *,
    series_uid: str | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Scan:
    """Read one series among the files: the named one, or the only usable one.

    Parameters
    ----------
    files
        Bytes by name; files that are not DICOM are ignored.
    series_uid
        SeriesInstanceUID (0020,000E) of the series; with labels where several series share it, see
        :attr:`spinenet.readers.dicom.grouping.Series.name`.
    overrides
        Values that replace tags, by keyword.

    Raises
    ------
    ScanError
        Any reason for which the files of a path cannot be read.
    """
    frames, data, flags = _read_headers(files, overrides)
    all_series = group_series(
        frames,
        lambda names: ((name, data[name]) for name in names),
        thickness_given="SliceThickness" in (overrides or {}),
    )
    series, stack = choose_series(all_series, series_uid)
    volume, decoding_flags = _decode(stack, data)
    check_alternation(volume.transpose(2, 0, 1))
    volume, affine = reorient(volume, stack.affine, stack.axes)
    flags |= decoding_flags | set(stack.flags) | series.flags
    if len(all_series) > 1:
        flags.add("series_ignored")
    if overrides:
        flags.add("overridden")
    if any(frame.odd for frame in stack.frames):
        flags.add("header_warnings")
    row_mm, column_mm = (float(np.linalg.norm(affine[:3, axis])) for axis in (0, 1))
    return Scan(
        volume=volume,
        pixel_spacing=(row_mm, column_mm),
        slice_spacing=stack.slice_spacing,
        affine=affine,
        sequence=sequence_of_frame(stack.frames[0]),
        header={"series_uid": series.name, **stack.frames[0].facts},
        flags=tuple(flag for flag in FLAGS if flag in flags),
        fingerprint=_fingerprint(stack.frames, overrides),
    )


def _read_headers(
    files: Mapping[str, bytes], overrides: Mapping[str, str] | None
) -> tuple[list[Frame], dict[str, bytes], set[str]]:
    """(frames of distinct files, their bytes, flags)."""
    collected = Collected()
    kept: dict[str, bytes] = {}
    size, unpacked = 0, UnpackedTotal()
    for name in sorted(files):
        try:
            # also files that are then left out count
            data = as_part10(files[name], total=unpacked)
            frames = () if data is None else read_frames(name, data, overrides)
        except ScanError as error:
            if error.reason != "unreadable":
                raise
            collected.lose(error)
            continue
        if collected.take(frames) and data is not None:
            kept[name] = data
            size += len(data)
            check_total(len(kept), size)
        # free the memory before the next file is unpacked
        del data
    return collected.required(), kept, collected.noted


def _decode(stack: Stack, data: Mapping[str, bytes]) -> tuple[npt.NDArray[np.float32], set[str]]:
    """Decode a stack: (volume (rows, columns, slices) along the stored axes, flags)."""
    flags = {"lossy"} if stack.frames[0].pixels.lossy else set()
    by_file: dict[str, list[int]] = {}
    for place, frame in enumerate(stack.frames):
        by_file.setdefault(frame.name, []).append(place)
    volume: npt.NDArray[np.float32] | None = None
    padded: dict[int, npt.NDArray[np.bool_]] = {}
    for name, places in by_file.items():
        formats = [stack.frames[place].pixels for place in places]
        decoded = stored_frames(data[name], formats)
        for place, pixels, stored in zip(places, formats, decoded, strict=True):
            if stored.odd:
                flags.add("header_warnings")
            if stored.padded is not None:
                padded[place] = stored.padded
            plane = rescaled(stored.values, pixels, flags)
            if volume is None:
                # only once a slice is decoded, so that a false header cannot allocate memory
                volume = np.empty((len(stack.frames), *plane.shape), dtype=np.float32)
            volume[place] = plane
    assert volume is not None
    if padded:
        flags.add("padding_replaced")
        without_padding(volume, padded)
    return volume.transpose(1, 2, 0), flags


def _fingerprint(frames: Sequence[Frame], overrides: Mapping[str, str] | None) -> str:
    """SHA-256 over the files' digests and the overrides, independent of the files' names and order."""
    parts = sorted({frame.digest for frame in frames})
    parts += [f"{tag}={value}" for tag, value in sorted((overrides or {}).items())]
    return sha256("\n".join(parts).encode()).hexdigest()
