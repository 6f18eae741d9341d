"""Frames of many files, each file once, and why the others have none."""

from __future__ import annotations

from dataclasses import dataclass, field

from spinenet.errors import ScanError
from spinenet.readers.dicom.frames import Frame


@dataclass
class Collected:
    """What the files of a path came to, file by file.

    Attributes
    ----------
    frames
        Of files that differ, in their order.
    noted
        Codes of :data:`spinenet.readers.dicom.facts.FLAGS` for files that were passed over.
    broken
        Why a file is none that can be used, if there was one.
    """

    frames: list[Frame] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)
    broken: ScanError | None = None
    _directory: bool = False
    _digests: set[str] = field(default_factory=set)

    def take(self, found: tuple[Frame, ...]) -> bool:
        """Take in a file's frames, unless it has none, is there already, or is no image of a series.

        Returns
        -------
        bool
            Whether they were taken in.
        """
        if not found:
            self.noted.add("files_ignored")
            return False
        first = found[0]
        mark = self.mark_of(first)
        if mark in self._digests:
            self.noted.add("duplicate_files")
            return False
        if not first.series_uid and first.pixels.rows is None:
            # the directory of a disc, or what is left of a file
            if first.image:
                self.lose(ScanError("unreadable", "a DICOM header names no series and no image"))
            else:
                self._directory = True
            return False
        self._digests.add(mark)
        self.frames += found
        return True

    def mark_of(self, first: Frame) -> str:
        """The same for files of which one is enough, by the first frame of each."""
        return first.digest

    def lose(self, error: ScanError) -> None:
        """Pass over a file that cannot be used."""
        self.broken = error
        self.noted.add("unreadable_ignored")

    def required(self) -> list[Frame]:
        """The frames.

        Raises
        ------
        ScanError
            There are none: unreadable, not_image or not_dicom.
        """
        if self.frames:
            return self.frames
        if self.broken is not None:
            raise self.broken
        if self._directory:
            raise ScanError("not_image", "the path holds the directory of a disc, and no image")
        raise ScanError("not_dicom", "no file of the path is DICOM")
