"""The frames of all DICOM files that a place holds, by their headers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from spinenet.errors import ScanError
from spinenet.index.copied import glimpse, mark_of
from spinenet.index.heads import Head, Readable, read_head
from spinenet.index.members import members_in, open_members, whole_files
from spinenet.index.places import ARCHIVE, Place
from spinenet.index.volumes import grid_told
from spinenet.readers.dicom.alternation import BAND, Glances
from spinenet.readers.dicom.collected import Collected
from spinenet.readers.dicom.copies import Files
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.grouping import Series, group_series
from spinenet.readers.dicom.pixels import needed_bytes
from spinenet.readers.sources.archives import HEAD, MAX_DEPTH, ends_as_zip, is_archive
from spinenet.readers.sources.formats import CLOSED, unread_format, unsupported
from spinenet.readers.sources.limits import check_total, check_unpacked
from spinenet.readers.sources.packing import MAGIC, is_packed, unpacked
from spinenet.readers.sources.part10 import is_dicom
from spinenet.readers.space.orientation import Grid
from spinenet.readers.volumes.images import is_image, only_image
from spinenet.readers.volumes.labels import is_label_name
from spinenet.readers.volumes.metaimage import MAX_HEADER
from spinenet.readers.volumes.sidecars import MAX_BYTES, sidecar_names

_FEW = 2
"""Images whose heads are kept: no more than one is ever read."""

_PACKED = "packed with bzip2 or xz: unpack it, or pack it with gzip"


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
    band
        Gives some more of them.
    files
        Gives whole files, where headers do not tell enough.
    volumes
        The first bytes of NIfTI and MetaImage files, by their names.
    sidecars
        JSON files.
    archives, unread
        Files that are archives, and what those of formats that are not read are: by their names.
    listed
        Bytes of every file, whatever it is: it may have the voxels of another.
    n_files, n_dicom
        Files that were opened, and those of them that are DICOM.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    held: dict[str, int | None] = field(default_factory=dict)
    files: Files = _no_files
    glimpse: Callable[[Frame], bytes] = _no_glimpse
    band: Callable[[Frame], bytes] = _no_glimpse
    subjects: dict[tuple[str, str, str], str | None] = field(default_factory=dict)
    volumes: dict[str, bytes] = field(default_factory=dict)
    sidecars: dict[str, bytes] = field(default_factory=dict)
    archives: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)
    n_files: int = 0
    n_dicom: int = 0

    def mark_of(self, first: Frame) -> str:
        """As for all files; but a header's digest says nothing of the pixels of what lies at a place."""
        return first.digest if first.position is None else f"{first.digest} {first.name}"

    def series(self, *, thickness_given: bool = False) -> tuple[Series, ...]:
        """The series of the frames; parameter as for :func:`spinenet.readers.dicom.grouping.group_series`."""
        glances = Glances(self.band, lambda frame: self.sizes[frame.name])
        return group_series(self.frames, self.files, thickness_given=thickness_given, glances=glances)

    def subject(self, series: Series) -> str | None:
        """The subject of a series, where one of its files names it."""
        named = (self.subjects.get(_person(frame)) for frame in series.frames)
        return next((subject for subject in named if subject), None)

    def mark(self, series: Series) -> str:
        """What copies of a series have in common; see :mod:`spinenet.index.copied`."""
        return mark_of((digest, self.glimpse(frame)) for digest, frame in series.witnesses)

    def required(self) -> list[Frame]:
        """The frames; errors as :meth:`Collected.required`, and unsupported_format."""
        try:
            return super().required()
        except ScanError as error:
            others = {name: CLOSED for name in self.archives} | self.unread
            if error.reason != "not_dicom" or not others:
                raise
            raise unsupported(others[min(others)], among_others=True) from None

    def image(self) -> str | None:
        """The NIfTI or MetaImage file that the place is read as: the only one, and no file is DICOM.

        Raises
        ------
        ScanError
            several_series or not_image.
        """
        return None if self.n_dicom else only_image(self.volumes)

    def image_grid(self, contents: Callable[[], Mapping[str, bytes]]) -> Grid:
        """The grid of that file; parameter and errors as :func:`spinenet.index.volumes.grid_told`."""
        name = self.image()
        assert name is not None
        return grid_told(name, self.volumes[name], self.listed[name], self.listed.get, contents)

    def sidecars_of(self, name: str) -> list[bytes]:
        """The JSON files that belong to an image, the one that counts most last."""
        return [self.sidecars[one] for one in sidecar_names(name) if one in self.sidecars]

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
        band=lambda frame: glimpse(fs, place, frame, shifts.get(frame.name), count, BAND),
    )
    work = _Gathering(found, subject_of, overrides, shifts, opens=place.kind == ARCHIVE)
    for name, size, file in open_members(fs, place, count):
        work.take(name, size, file)
    return found


@dataclass
class _Gathering:
    """Takes in file by file what a place holds; archives are opened where they lie in one."""

    found: Gathered
    subject_of: Callable[[bytes], str | None] | None
    overrides: Mapping[str, str] | None
    shifts: dict[str, int | None]
    opens: bool
    heads: int = 0
    depth: int = MAX_DEPTH
    unpacked: int = 0

    def take(self, name: str, size: int, file: Readable) -> None:
        found = self.found
        if name.lower().endswith(".json") and size <= MAX_BYTES:
            found.sidecars[name] = file.read()
            return
        found.n_files += 1
        found.listed[name] = size
        if is_image(name):
            head = file.read(MAX_HEADER)
            if not is_dicom(head[:HEAD]):
                found.volumes[name] = b"" if is_label_name(name) or self.heads >= _FEW else head
                self.heads += not is_label_name(name)
                return
            file.seek(0)
        try:
            head_found = read_head(name, file, self.overrides)
        except ScanError as error:
            if error.reason == "missing_tags":
                raise
            found.lose(error)
            found.n_dicom += 1
            return
        if not head_found.frames:
            self._other(name, size, file, head_found.data[:HEAD])
        self._keep(name, size, head_found)

    def _keep(self, name: str, size: int, head: Head) -> None:
        found = self.found
        found.n_dicom += bool(head.frames)
        if not found.take(head.frames):
            return
        found.sizes[name], found.held[name] = size, head.held(size)
        self.shifts[name] = head.shift
        person = _person(head.frames[0])
        if self.subject_of is not None and not found.subjects.get(person):
            found.subjects[person] = self.subject_of(head.data)

    def _other(self, name: str, size: int, file: Readable, start: bytes) -> None:
        """A file that is no DICOM as it stands."""
        found = self.found
        if is_archive(start):
            if self.opens and self.depth > 1:
                file.seek(0)
                self._within(name, file.read())
            else:
                found.archives.append(name)
            return
        if is_packed(start[:MAGIC]):
            file.seek(0)
            data = unpacked(file.read())
            self.unpacked += len(data)
            check_unpacked(self.unpacked)
            if is_dicom(data[:HEAD]):
                self._keep(name, len(data), read_head(name, BytesIO(data), self.overrides))
                self.shifts[name] = None
            elif is_archive(data[:HEAD]):
                found.archives.append(name)
            else:
                found.unread[name] = _PACKED
            return
        what = unread_format(name, start)
        if what is not None:
            found.unread[name] = what
        elif not self.opens and ends_as_zip(file, size):
            found.archives.append(name)

    def _within(self, name: str, data: bytes) -> None:
        """The members of an archive in an archive."""
        self.depth -= 1
        for inner, size, file in members_in(BytesIO(data)):
            self.take(f"{name}/{inner}", size, file)
            check_total(len(self.found.listed), sum(self.found.listed.values()))
        self.depth += 1


def _person(frame: Frame) -> tuple[str, str, str]:
    return frame.series_uid, frame.study_uid, frame.patient
