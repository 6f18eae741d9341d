"""How fast headers are indexed, beside a plain loop of pydicom over the same files.

``PYTHONPATH=. python tests/benchmarks/index_speed.py [--files 100000] [--folder DIR]`` makes a tree of small
DICOM files and says files per second of each, the memory that the index took, and the time of a second run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pydicom
from pydicom.uid import UID

from flows.index_run import index_root
from spinenet.synthetic.dicom import write_series
from spinenet.types import Scan

SLICES = 15
SERIES = (
    ("T2", "t2 tse sag lumbar", 0),
    ("T1", "t1 tse sag lumbar", 6000),
    ("STIR", "stir sag lumbar", 0),
    ("T2", "t2 tse sag cervical", 6000),
)
"""Of a subject: contrast, description, and bytes of a private element that lies before the pixels."""

SAMPLE_SECONDS = 0.1
MARKS = (0.1, 0.5, 1.0)
_UID = "1.2.826.0.1.3680043.8.498.{}{:037d}"
"""With a kind, 1 to 9, and a number; as long for each."""

_STUDY, _SERIES, _INSTANCE = (UID(_UID.format(9, number)) for number in range(3))
_PATIENT = "P00000000"


def say(text: str) -> None:
    """Tell the user a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def templates(folder: Path) -> list[list[bytes]]:
    """The slices of each of a subject's series, with UIDs and a patient that are to be replaced."""
    made = []
    affine = np.array([[0, 0, 4.4, -30.0], [0, 0.6, 0, -100.0], [-0.7, 0, 0, 200.0], [0, 0, 0, 1]])
    for number, (sequence, description, private) in enumerate(SERIES):
        volume = np.random.default_rng(number).integers(0, 4000, (16, 16, SLICES)).astype(np.float32)
        scan = Scan(volume, (0.7, 0.6), 4.4, affine, sequence)
        paths = write_series(
            folder / str(number),
            scan,
            patient_id=_PATIENT,
            study_uid=_STUDY,
            series_uid=_SERIES,
            description=description,
        )
        slices = []
        for path in paths:
            dataset = pydicom.dcmread(path)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = _INSTANCE
            add_usual_tags(dataset, private)
            dataset.save_as(path)
            slices.append(path.read_bytes())
        made.append(slices)
    return made


def add_usual_tags(dataset: pydicom.Dataset, private: int) -> None:
    """About as many tags as a scanner writes."""
    dataset.ManufacturerModelName, dataset.InstitutionName = "Avanto", "General Hospital"
    dataset.ProtocolName, dataset.StudyDescription = dataset.SeriesDescription, "MRI spine"
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = "syngo MR B17", "12345"
    dataset.StationName, dataset.PerformingPhysicianName = "MRC12345", "Someone^Else"
    dataset.AcquisitionDate = dataset.SeriesDate = dataset.ContentDate = "20000101"
    dataset.AcquisitionTime = dataset.SeriesTime = dataset.ContentTime = "120000.000000"
    dataset.NumberOfAverages, dataset.ImagingFrequency, dataset.ImagedNucleus = 2, 63.6, "1H"
    dataset.NumberOfPhaseEncodingSteps, dataset.PercentSampling, dataset.PixelBandwidth = 320, 80, 191
    dataset.TransmitCoilName, dataset.AcquisitionMatrix, dataset.SAR = "Body", [0, 384, 307, 0], 1.2
    dataset.InPlanePhaseEncodingDirection, dataset.VariableFlipAngleFlag = "ROW", "N"
    dataset.SequenceName, dataset.AngioFlag, dataset.dBdt = "*tse2d1_15", "N", 0
    dataset.PatientAge, dataset.PatientWeight, dataset.PatientSex = "050Y", 70, "O"
    dataset.PerformedProcedureStepStartDate, dataset.PerformedProcedureStepID = "20000101", "MR1"
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, _UID.format(4, 0)
    dataset.ReferencedImageSequence = [item, item, item]
    if private:
        dataset.add_new((0x0029, 0x0010), "LO", "SPINENET BENCHMARK")
        dataset.add_new((0x0029, 0x1010), "OB", bytes(range(250)) * (private // 250))


def write_tree(root: Path, files: int) -> None:
    """A folder for each series, ``subject/series``, until there are so many files."""
    with tempfile.TemporaryDirectory() as scratch:
        made = templates(Path(scratch))
    written = 0
    for place in range(-(-files // SLICES)):
        subject, kind = divmod(place, len(SERIES))
        folder = root / f"subject-{subject:06d}" / f"series-{kind}"
        folder.mkdir(parents=True)
        for number, data in enumerate(made[kind][: files - written]):
            for old, new in (
                (_STUDY, _UID.format(1, subject)),
                (_SERIES, _UID.format(2, place)),
                (_INSTANCE, _UID.format(3, written)),
                (_PATIENT, f"P{subject:08d}"),
            ):
                data = data.replace(old.encode(), new.encode())
            (folder / f"IM{number:04d}.dcm").write_bytes(data)
            written += 1


def plain_loop(root: Path) -> tuple[float, int]:
    """(seconds, series) of what anybody would write."""
    started = time.perf_counter()
    groups: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for folder, _, names in os.walk(root):
        for name in names:
            header = pydicom.dcmread(f"{folder}/{name}", stop_before_pixels=True)
            groups[header.SeriesInstanceUID].append(
                (
                    header.ImagePositionPatient,
                    header.ImageOrientationPatient,
                    header.PixelSpacing,
                    header.Rows,
                    header.Columns,
                    header.Modality,
                    header.SeriesDescription,
                )
            )
    return time.perf_counter() - started, len(groups)


@dataclass
class Memory:
    """Peaks of resident memory in MiB until each mark: of this process, and of all its children together."""

    files: int
    own: float = 0.0
    children: float = 0.0
    at_marks: dict[float, tuple[float, float]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Sample until told to stop."""
        process = psutil.Process()
        while not self._stop.wait(SAMPLE_SECONDS):
            self.own = max(self.own, process.memory_info().rss / 2**20)
            self.children = max(self.children, sum(sizes(process)) / 2**20)

    def progress(self, files: int, series: int) -> None:
        """Note the peaks so far at each mark that has been passed."""
        for mark in MARKS:
            if files >= mark * self.files:
                self.at_marks.setdefault(mark, (self.own, self.children))

    def stop(self) -> None:
        """End the sampling."""
        self._stop.set()


def sizes(process: psutil.Process) -> Iterator[int]:
    """Resident bytes of each child that is still there."""
    for child in process.children(recursive=True):
        try:
            yield child.memory_info().rss
        except psutil.Error:
            continue


def measure(root: Path, out: Path, files: int) -> None:
    """Index twice beside the plain loop, and tell."""
    seconds, series = plain_loop(root)
    plain = files / seconds
    say(f"plain loop of pydicom: {plain:.0f} files/s, {seconds:.1f} s, {series} series")
    memory = Memory(files)
    watcher = threading.Thread(target=memory.watch)
    watcher.start()
    started = time.perf_counter()
    try:
        summary = index_root(str(root), str(out), progress=memory.progress)
    finally:
        memory.stop()
        watcher.join()
    total = time.perf_counter() - started
    if (summary.n_files, summary.n_series) != (files, series):
        raise SystemExit(f"the index has {summary.n_files} files of {files}, {summary.n_series} of {series}")
    seconds = summary.seconds_reading
    reading = files / seconds
    say(f"index, reading: {reading:.0f} files/s, {seconds:.1f} s, {reading / plain:.2f} x plain")
    say(f"index, in all: {files / total:.0f} files/s, {total:.1f} s, {files / total / plain:.2f} x plain")
    say(f"bytes read: {summary.bytes_read / files:.0f} of {summary.bytes_held / files:.0f} of a file")
    for mark, (own, children) in sorted(memory.at_marks.items()):
        say(f"peak memory at {mark:.0%}: flow {own:.0f} MiB, its children {children:.0f} MiB")
    started = time.perf_counter()
    again = index_root(str(root), str(out))
    say(f"second run: {time.perf_counter() - started:.2f} s, {again.n_read} files read")


def main() -> None:
    """Make the tree, unless it is there, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the tree is made, and left; else it is removed")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="spinenet-index-"))
    root = folder / f"tree-{arguments.files}"
    try:
        if not root.exists():
            started = time.perf_counter()
            write_tree(root, arguments.files)
            say(f"{arguments.files} files made in {time.perf_counter() - started:.1f} s")
        out = folder / f"manifest-{time.time_ns()}.parquet"
        measure(root, out, arguments.files)
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
