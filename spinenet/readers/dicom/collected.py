"""Collects the frames of many files, each distinct file once, with the faults of the others."""

from __future__ import annotations

from dataclasses import dataclass, field

from spinenet.errors import ScanError
from spinenet.readers.dicom.frames import Frame


@dataclass
class Collected:
    """Frames of the files of a path, collected file by file.

    Attributes
    ----------
    frames
        Frames of the distinct files, in their order.
    noted
        Codes of :data:`spinenet.readers.dicom.facts.FLAGS` for files that were ignored.
    broken
        Error of the last unusable file; None if there was none.
    """

    frames: list[Frame] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)
    broken: ScanError | None = None
    _directory: bool = False
    _digests: set[str] = field(default_factory=set)

    def take(self, frames: tuple[Frame, ...]) -> bool:
        """Add a file's frames, unless it has none, is a copy, or is no image of a series.

        Returns
        -------
        bool
            Whether the frames were added.
        """
        if not frames:
            self.noted.add("files_ignored")
            return False
        first = frames[0]
        mark = self.mark_of(first)
        if mark in self._digests:
            self.noted.add("duplicate_files")
            return False
        if not first.series_uid and first.pixels.rows is None:
            # a DICOMDIR, or a damaged file
            if first.image:
                self.lose(ScanError("unreadable", "a DICOM header names no series and no image"))
            else:
                self._directory = True
            return False
        self._digests.add(mark)
        self.frames += frames
        return True

    def mark_of(self, first: Frame) -> str:
        """The mark that copies of a file share, by its first frame."""
        return first.digest

    def lose(self, error: ScanError) -> None:
        """Note the error of an unusable file, which is ignored."""
        self.broken = error.to_keep()
        self.noted.add("unreadable_ignored")

    def required(self) -> list[Frame]:
        """The frames, of which there must be one.

        Raises
        ------
        ScanError
            unreadable, not_image or not_dicom, if there are no frames.
        """
        if self.frames:
            return self.frames
        if self.broken is not None:
            raise self.broken
        if self._directory:
            raise ScanError("not_image", "the path holds the directory of a disc, and no image")
        raise ScanError("not_dicom", "no file of the path is DICOM")
