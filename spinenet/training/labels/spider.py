"""Reads SPIDER as it is downloaded: MetaImage volumes and masks, an overview and radiological gradings.

Source: van der Graaf et al., "Lumbar spine segmentation in MR images: a dataset and a public benchmark",
Scientific Data 11, 264 (2024); Zenodo 10159290, CC BY 4.0.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from spinenet.anatomy import LEVEL_INDEX, LEVELS
from spinenet.errors import LabelsError
from spinenet.geometry import to_square_pixels
from spinenet.training.labels.bodies import check_column, numbered_bodies
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.gradings import Gradings, read_gradings
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.spider_slices import LOWEST, SEQUENCES, SOURCE, subject_of
from spinenet.training.labels.volumes import read_labelled_volume

CANAL = 100
"""Value of the spinal canal in a mask; 101 to 125 are vertebrae seen in part, 201 to 225 discs."""

MASK_LEVELS: Mapping[int, str] = {
    value: level for value, level in enumerate(LEVELS[LEVEL_INDEX[LOWEST] :], start=1)
}
"""Level of each whole vertebra's value: 1 is the lowest, counted as L5; the sacrum is not labelled."""

_SUBSETS = ("training", "validation")


def spider_files(folder: Path, *, subsets: Collection[str] = _SUBSETS) -> tuple[LabelledFile, ...]:
    """Series of a folder with ``images/``, ``masks/``, ``overview.csv`` and ``radiological_gradings.csv``.

    Parameters
    ----------
    folder
        The unpacked download.
    subsets
        Those of the overview that are wanted: "training", "validation". Without an overview all series are of
        the training set.

    Raises
    ------
    LabelsError
        There are no images, or a table is not as it should be.
    OSError
        The gradings are not there.
    """
    graded = read_gradings(folder / "radiological_gradings.csv")
    subset = _subsets(folder / "overview.csv")
    images = sorted((folder / "images").glob("*.mha"), key=_order)
    if not images:
        raise LabelsError(f"{folder.name} has no images/*.mha")
    return tuple(
        LabelledFile(
            name=f"images/{image.name}",
            subject=subject_of(patient),
            source=SOURCE,
            read=partial(_read, image, folder / "masks" / image.name, graded.get(patient, Gradings())),
        )
        for image in images
        if subset.get(image.stem, _SUBSETS[0]) in subsets
        for patient in [_patient(image)]
    )


def _patient(image: Path) -> str:
    return image.stem.split("_")[0]


def _order(image: Path) -> tuple[int, str]:
    patient = _patient(image)
    return int(patient) if patient.isdecimal() else 0, image.name


def _subsets(overview: Path) -> dict[str, str]:
    """Subset by the name of a series; nothing without an overview."""
    if not overview.exists():
        return {}
    with overview.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if not {"new_file_name", "subset"} <= set(reader.fieldnames or []):
            raise LabelsError(f"{overview.name} has no column 'new_file_name', or none 'subset'")
        return {row["new_file_name"].strip(): row["subset"].strip().lower() for row in reader}


def _read(image: Path, mask: Path, graded: Gradings) -> LabelledScan:
    scan, labels = read_labelled_volume(image, mask)
    canal = labels == CANAL
    if not canal.any():
        raise LabelsError(f"{mask.name} shows no spinal canal, so that bodies cannot be told from arches")
    bodies = numbered_bodies(labels, MASK_LEVELS, scan.pixel_spacing, canal)
    check_column(bodies.vertebrae, mask.name)
    square = to_square_pixels(scan)
    series = image.stem.partition("_")[2]
    return LabelledScan(
        volume=square.volume.astype(np.float32),
        spacing_mm=square.pixel_spacing[0],
        slice_spacing=square.slice_spacing,
        vertebrae=bodies.vertebrae,
        # what the upper edge cuts off and the sacrum have no label
        open_above=True,
        open_below=True,
        subject=subject_of(_patient(image)),
        source=SOURCE,
        name=f"images/{image.name}",
        sequence=SEQUENCES.get(series, scan.sequence),
        discs=graded.discs,
        allowed=graded.allowed,
        doubtful=bodies.doubtful,
        whole=True,
    )
