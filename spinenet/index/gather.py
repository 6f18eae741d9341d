"""Reads the headers of all files of a place and collects the frames of those that are DICOM."""

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
from spinenet.index.volumes import grid_from_head
from spinenet.readers.dicom.alternation import BAND, Glances
from spinenet.readers.dicom.collected import Collected
from spinenet.readers.dicom.copies import Files
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.grouping import Series, group_series
from spinenet.readers.dicom.pixels import needed_bytes
from spinenet.readers.sources.archives import HEAD, MAX_DEPTH, ends_as_zip, is_archive
from spinenet.readers.sources.formats import CLOSED, unread_format, unsupported
from spinenet.readers.sources.limits import UnpackedTotal, check_total
from spinenet.readers.sources.packing import MAGIC, is_packed, unpacked
from spinenet.readers.sources.part10 import is_dicom
from spinenet.readers.space.orientation import Grid
from spinenet.readers.volumes.images import is_image, only_image
from spinenet.readers.volumes.labels import is_label_name
from spinenet.readers.volumes.metaimage import MAX_HEADER
from spinenet.readers.volumes.sidecars import MAX_BYTES, sidecar_names

_FEW = 2
"""Most NIfTI or MetaImage files whose first bytes are kept: with two of them the place is refused."""

_PACKED = "packed with bzip2 or xz: unpack it, or pack it with gzip"


def _no_files(names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    return iter(())


def _no_glimpse(frame: Frame) -> bytes:
    return b""


@dataclass
class Gathered(Collected):
    """The frames of a place, and what its other files are.

    Attributes
    ----------
    sizes
        Size in bytes of each file with frames, by name.
    held
        Bytes that each file with frames holds for its pixels, by name; None where unknown.
    files
        Function that reads whole files by name, for questions that headers leave open.
    glimpse
        Function that reads some bytes from the middle of a frame's pixels; empty where they are compressed.
    band
        The same function for a larger part of the pixels.
    subjects
        Subject id of each patient's series, made by ``subject_of`` from its first file.
    volumes
        First bytes of NIfTI and MetaImage files, by name.
    sidecars
        Bytes of JSON files, by name.
    archives
        Names of files that are archives.
    unread
        Descriptions of files in formats that are not read, by name.
    listed
        Size in bytes of every file, by name: any of them may hold the voxels of an image's header.
    n_files, n_dicom
        Number of files opened, and of those that are DICOM.
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
        """The mark by which copies of a file are joined: the header's digest.

        Files with a position also need the same name, since equal headers do not prove equal pixels.
        """
        return first.digest if first.position is None else f"{first.digest} {first.name}"

    def series(self, *, thickness_given: bool = False) -> tuple[Series, ...]:
        """Group the frames into series; see :func:`spinenet.readers.dicom.grouping.group_series`."""
        glances = Glances(self.band, lambda frame: self.sizes[frame.name])
        return group_series(self.frames, self.files, thickness_given=thickness_given, glances=glances)

    def subject(self, series: Series) -> str | None:
        """The subject id of a series; None where none of its files names the patient."""
        named = (self.subjects.get(_patient_key(frame)) for frame in series.frames)
        return next((subject for subject in named if subject), None)

    def mark(self, series: Series) -> str:
        """The mark that copies of a series share; see :mod:`spinenet.index.copied`."""
        return mark_of((digest, self.glimpse(frame)) for digest, frame in series.witnesses)

    def required(self) -> list[Frame]:
        """The frames; raises as :meth:`Collected.required`, and ScanError unsupported_format."""
        try:
            return super().required()
        except ScanError as error:
            others = {name: CLOSED for name in self.archives} | self.unread
            if error.reason != "not_dicom" or not others:
                raise
            raise unsupported(others[min(others)], among_others=True) from None

    def image(self) -> str | None:
        """Name of the only NIfTI or MetaImage file, if no file is DICOM: reading the place reads it.

        Raises
        ------
        ScanError
            several_series or not_image.
        """
        return None if self.n_dicom else only_image(self.volumes)

    def image_grid(self, contents: Callable[[], Mapping[str, bytes]]) -> Grid:
        """The grid of :meth:`image`; see :func:`spinenet.index.volumes.grid_from_head`."""
        name = self.image()
        assert name is not None
        return grid_from_head(name, self.volumes[name], self.listed[name], self.listed.get, contents)

    def sidecars_of(self, name: str) -> list[bytes]:
        """Bytes of the JSON files that belong to an image; later ones override earlier ones."""
        return [self.sidecars[sidecar] for sidecar in sidecar_names(name) if sidecar in self.sidecars]

    def shortened(self, series: Series) -> ScanError | None:
        """The error of the first file too short for the pixels in its header; None if there is none."""
        for frame in series.frames:
            needed, available = needed_bytes(frame.pixels), self.held[frame.name]
            if needed is not None and available is not None and available < needed:
                return ScanError(
                    "bad_pixels", f"a file holds {available} of the {needed} bytes of its pixels"
                )
        return None


def gather(
    fs: Any,
    place: Place,
    count: Callable[[int], None],
    *,
    subject_of: Callable[[bytes], str | None] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Gathered:
    """Read the headers of the files of a folder or an archive.

    Parameters
    ----------
    fs
        The fsspec filesystem of the place.
    place
        The folder or archive.
    count
        Called with the number of bytes read from storage, file by file.
    subject_of
        Makes a subject id from the first bytes of a DICOM file; None makes none.
    overrides
        Values that replace tags, by keyword.

    Raises
    ------
    ScanError, Exception
        As :func:`spinenet.index.members.open_members`; and missing_tags, if an override is not numeric.
    """
    shifts: dict[str, int | None] = {}
    gathered = Gathered(
        files=lambda names: whole_files(fs, place, names, count),
        glimpse=lambda frame: glimpse(fs, place, frame, shifts.get(frame.name), count),
        band=lambda frame: glimpse(fs, place, frame, shifts.get(frame.name), count, BAND),
    )
    gathering = _Gathering(gathered, subject_of, overrides, shifts, opens=place.kind == ARCHIVE)
    for name, size, file in open_members(fs, place, count):
        gathering.take(name, size, file)
    return gathered


@dataclass
class _Gathering:
    """Takes the files of a place one by one; archives inside an archive are opened."""

    gathered: Gathered
    subject_of: Callable[[bytes], str | None] | None
    overrides: Mapping[str, str] | None
    shifts: dict[str, int | None]
    opens: bool
    heads: int = 0
    depth: int = MAX_DEPTH
    unpacked: UnpackedTotal = field(default_factory=UnpackedTotal)

    def take(self, name: str, size: int, file: Readable) -> None:
        gathered = self.gathered
        if name.lower().endswith(".json") and size <= MAX_BYTES:
            gathered.sidecars[name] = file.read()
            return
        gathered.n_files += 1
        gathered.listed[name] = size
        if is_image(name):
            head = file.read(MAX_HEADER)
            if not is_dicom(head[:HEAD]):
                gathered.volumes[name] = b"" if is_label_name(name) or self.heads >= _FEW else head
                self.heads += not is_label_name(name)
                return
            file.seek(0)
        try:
            head_read = read_head(name, file, self.overrides)
        except ScanError as error:
            if error.reason == "missing_tags":
                raise
            gathered.lose(error)
            gathered.n_dicom += 1
            return
        if not head_read.frames:
            self._take_other(name, size, file, head_read.data[:HEAD])
        self._take_head(name, size, head_read)

    def _take_head(self, name: str, size: int, head: Head) -> None:
        gathered = self.gathered
        gathered.n_dicom += bool(head.frames)
        if not gathered.take(head.frames):
            return
        gathered.sizes[name], gathered.held[name] = size, head.held(size)
        self.shifts[name] = head.shift
        key = _patient_key(head.frames[0])
        if self.subject_of is not None and not gathered.subjects.get(key):
            gathered.subjects[key] = self.subject_of(head.data)

    def _take_other(self, name: str, size: int, file: Readable, start: bytes) -> None:
        """Take a file that is not plain DICOM: an archive, a packed file or another format."""
        gathered = self.gathered
        if is_archive(start):
            if self.opens and self.depth > 1:
                file.seek(0)
                self._take_archive(name, file.read())
            else:
                gathered.archives.append(name)
            return
        if is_packed(start[:MAGIC]):
            file.seek(0)
            data = unpacked(file.read(), self.unpacked)
            if is_dicom(data[:HEAD]):
                self._take_head(name, len(data), read_head(name, BytesIO(data), self.overrides))
                self.shifts[name] = None
            elif is_archive(data[:HEAD]):
                gathered.archives.append(name)
            else:
                gathered.unread[name] = _PACKED
            return
        what = unread_format(name, start)
        if what is not None:
            gathered.unread[name] = what
        elif not self.opens and ends_as_zip(file, size):
            gathered.archives.append(name)

    def _take_archive(self, name: str, data: bytes) -> None:
        """Take the members of an archive that lies in an archive."""
        self.depth -= 1
        for member, size, file in members_in(BytesIO(data)):
            self.take(f"{name}/{member}", size, file)
            check_total(len(self.gathered.listed), sum(self.gathered.listed.values()))
        self.depth += 1


def _patient_key(frame: Frame) -> tuple[str, str, str]:
    return frame.series_uid, frame.study_uid, frame.patient
