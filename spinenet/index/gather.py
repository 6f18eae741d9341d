"""The frames of all DICOM files that a place holds, by their headers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.copied import glimpse, mark_of
from spinenet.index.heads import read_head
from spinenet.index.members import open_members, whole_files
from spinenet.index.places import VOLUMES, Place
from spinenet.index.volumes import grid_told
from spinenet.readers.collected import Collected
from spinenet.readers.copies import Files
from spinenet.readers.frames import Frame
from spinenet.readers.grouping import Series, group_series
from spinenet.readers.metaimage import MAX_HEADER
from spinenet.readers.orientation import Grid
from spinenet.readers.pixels import needed_bytes


def _no_files(names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    return iter(())


def _no_glimpse(frame: Frame) -> bytes:
    return b""


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
        What ``subject_of`` made of the first file of each patient's series.
    glimpse
        Gives some bytes from the middle of a frame's pixels; none where these are packed.
    files
        Gives whole files, where headers do not tell enough.
    volumes
        Names of NIfTI and MetaImage files.
    listed
        Bytes of every file, whatever it is: it may have the voxels of another.
    n_files, n_dicom
        Files that were opened, and those of them that are DICOM.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    held: dict[str, int | None] = field(default_factory=dict)
    files: Files = _no_files
    glimpse: Callable[[Frame], bytes] = _no_glimpse
    subjects: dict[tuple[str, str, str], str | None] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    n_files: int = 0
    n_dicom: int = 0
    listed: dict[str, int] = field(default_factory=dict)
    _head: bytes = b""

    def mark_of(self, first: Frame) -> str:
        """As for all files; but a header's digest says nothing of the pixels of what lies at a place."""
        return first.digest if first.position is None else f"{first.digest} {first.name}"

    def series(self, *, thickness_given: bool = False) -> tuple[Series, ...]:
        """The series of the frames; parameter as for :func:`spinenet.readers.grouping.group_series`."""
        return group_series(self.frames, self.files, thickness_given=thickness_given)

    def subject(self, series: Series) -> str | None:
        """The subject of a series, where one of its files names it."""
        named = (self.subjects.get(_person(frame)) for frame in series.frames)
        return next((subject for subject in named if subject), None)

    def mark(self, series: Series) -> str:
        """What copies of a series have in common; see :mod:`spinenet.index.copied`."""
        return mark_of((digest, self.glimpse(frame)) for digest, frame in series.witnesses)

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
    shifts: dict[str, int | None] = {}
    found = Gathered(
        files=lambda names: whole_files(fs, place, names, count),
        glimpse=lambda frame: glimpse(fs, place, frame, shifts.get(frame.name), count),
    )
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
        shifts[name] = head.shift
        person = _person(head.frames[0])
        if subject_of is not None and not found.subjects.get(person):
            found.subjects[person] = subject_of(head.data)
    return found


def _person(frame: Frame) -> tuple[str, str, str]:
    return frame.series_uid, frame.study_uid, frame.patient
