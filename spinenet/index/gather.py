"""The frames of all DICOM files that a place holds, by their headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.heads import read_head
from spinenet.index.members import open_members
from spinenet.index.places import VOLUMES, Place
from spinenet.index.volumes import grid_told
from spinenet.readers.collected import Collected
from spinenet.readers.dicom import Series
from spinenet.readers.metaimage import MAX_HEADER
from spinenet.readers.orientation import Grid
from spinenet.readers.pixels import needed_bytes


@dataclass
class Gathered(Collected):
    """What was found.

    Attributes
    ----------
    sizes
        Bytes of each file that has frames, by its name.
    held
        Bytes that it holds for its pixels; None where that is not known.
    subjects
        What ``subject_of`` made of the first file of each series, by SeriesInstanceUID.
    volumes
        Names of NIfTI and MetaImage files.
    listed
        Bytes of every file, whatever it is: it may have the voxels of another.
    n_files, n_dicom
        Files that were opened, and those of them that are DICOM.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    held: dict[str, int | None] = field(default_factory=dict)
    subjects: dict[str, str | None] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    n_files: int = 0
    n_dicom: int = 0
    listed: dict[str, int] = field(default_factory=dict)
    _head: bytes = b""

    def set_aside(self, name: str, head: bytes) -> None:
        """Keep a NIfTI or MetaImage file; no more than one is ever read, so the first's head is enough."""
        self._head = self._head or head
        self.volumes.append(name)

    def image(self) -> str | None:
        """The NIfTI or MetaImage file that the place is read as: the only one, and no file is DICOM."""
        return self.volumes[0] if len(self.volumes) == 1 and not self.n_dicom else None

    def image_grid(self) -> Grid:
        """The grid of that file; errors as :func:`spinenet.index.volumes.volume_grid`."""
        name = self.volumes[0]
        return grid_told(name, self._head, self.listed[name], self.listed.get)

    def shortened(self, series: Series) -> ScanError | None:
        """The error of a file that is shorter than the pixels that its header claims."""
        for frame in series.frames:
            needed, there = needed_bytes(frame.pixels), self.held[frame.name]
            if needed is not None and there is not None and there < needed:
                return ScanError("bad_pixels", f"a file holds {there} of the {needed} bytes of its pixels")
        return None


def gather(
    fs: Any,
    place: Place,
    count: Callable[[int], None],
    *,
    subject_of: Callable[[bytes], str | None] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Gathered:
    """Read the headers of a folder's or an archive's files.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    count
        Told how many bytes were read from storage, file by file.
    subject_of
        Makes a subject's id of the first bytes of a DICOM file; None names nobody.
    overrides
        Values that replace tags, by keyword.

    Raises
    ------
    ScanError, Exception
        As :func:`spinenet.index.members.open_members`; and missing_tags, if an override is not numbers.
    """
    found = Gathered()
    for name, size, file in open_members(fs, place, count):
        found.n_files += 1
        found.listed[name] = size
        if name.lower().endswith(VOLUMES):
            found.set_aside(name, file.read(MAX_HEADER))
            continue
        try:
            head = read_head(name, file, overrides)
        except ScanError as error:
            if error.reason == "missing_tags":
                raise
            found.lose(error)
            found.n_dicom += 1
            continue
        found.n_dicom += bool(head.frames)
        if not found.take(head.frames):
            continue
        found.sizes[name], found.held[name] = size, head.held(size)
        uid = head.frames[0].series_uid
        if subject_of is not None and not found.subjects.get(uid):
            found.subjects[uid] = subject_of(head.data)
    return found
