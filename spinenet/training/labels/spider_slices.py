"""Reads a smaller form of SPIDER: slices as JPEG with masks as PNG, mid slices, one table of grades.

Source: van der Graaf et al. 2024, Zenodo 10159290, CC BY 4.0.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from spinenet.errors import LabelsError
from spinenet.training.labels.bodies import check_column, counted_bodies
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.gradings import Gradings, read_gradings
from spinenet.training.labels.labelled import LabelledScan
from spinenet.training.labels.outlining import read_outlines
from spinenet.training.labels.pictures import read_picture, read_stack
from spinenet.types import Vertebra

SOURCE = "SPIDER"
OUTLINED = "SPIDER, outlined by a bundle"
"""Of mid slices whose bodies nobody outlined: scores on them say how far two bundles agree."""
LOWEST = "L5"
"""What SPIDER counts its lowest labelled vertebra as."""

SEQUENCES: Mapping[str, str] = {"t1": "T1", "t2": "T2", "t2_SPACE": "T2"}
"""Contrast of each series by its name in the data set."""

_VERTEBRA, _CANAL = 1, 3


def subject_of(patient: str) -> str:
    """The subject's name, which no other collection uses."""
    return f"spider-{patient}"


def space_files(folder: Path) -> tuple[LabelledFile, ...]:
    """The T2 SPACE volumes of a folder with ``space.csv``, ``space/PATIENT/KK.jpg`` and ``KK-mask.png``.

    Raises
    ------
    LabelsError
        A table lacks a column or holds what it should not.
    OSError
        A table is not there.
    """
    graded = read_gradings(folder / "gradings.csv")
    return tuple(
        LabelledFile(
            name=f"space/{row['patient']}",
            subject=subject_of(row["patient"]),
            source=SOURCE,
            read=partial(_read_space, folder, row, graded.get(row["patient"], Gradings())),
        )
        for row in _rows(folder / "space.csv", ("patient", "row_mm", "column_mm", "slice_mm"))
    )


def mid_files(
    folder: Path, *, outlines: Path | None = None, series: Collection[str] = tuple(SEQUENCES)
) -> tuple[LabelledFile, ...]:
    """The mid slices of a folder with ``mid.csv`` and ``mid/``: graded discs, and no bodies outlined.

    Parameters
    ----------
    outlines
        Bodies of the slices that it lists, the others being left out; see
        :func:`spinenet.training.labels.outlining.outline_files`. None reads slices without bodies.
    series
        Of :data:`SEQUENCES`, those that are wanted.

    Raises
    ------
    LabelsError
        A table lacks a column or holds what it should not, or a series is none of SPIDER.
    OSError
        A table or the outlines are not there.
    """
    unknown = [name for name in series if name not in SEQUENCES]
    if unknown:
        raise LabelsError(f"SPIDER has no series {unknown[0]!r}, but {', '.join(SEQUENCES)}")
    graded = read_gradings(folder / "gradings.csv")
    outlined = None if outlines is None else read_outlines(outlines)
    return tuple(
        LabelledFile(
            name=f"mid/{row['image']}",
            subject=subject_of(row["patient"]),
            source=SOURCE,
            read=partial(
                _read_mid,
                folder,
                row,
                graded.get(row["patient"], Gradings()),
                () if outlined is None else outlined[f"mid/{row['image']}"],
            ),
        )
        for row in _rows(folder / "mid.csv", ("image", "patient", "sequence", "row_mm", "column_mm"))
        if row["sequence"] in series and (outlined is None or f"mid/{row['image']}" in outlined)
    )


def _rows(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in needed if name not in (reader.fieldnames or [])]
        if missing:
            raise LabelsError(f"{path.name} has no column {missing[0]!r}")
        return list(reader)


def _spacing(row: Mapping[str, str], name: str) -> float:
    across, down = float(row["column_mm"]), float(row["row_mm"])
    if not 0 < down < np.inf or not np.isclose(across, down, rtol=1e-4):
        raise LabelsError(f"{name} is said to have pixels of {down} by {across} mm, which are not square")
    return down


def _read_space(folder: Path, row: Mapping[str, str], graded: Gradings) -> LabelledScan:
    name = f"space/{row['patient']}"
    images = sorted((folder / name).glob("[0-9]*.jpg"))
    if not images:
        raise LabelsError(f"{name} holds no slices")
    masks = [image.with_name(f"{image.stem}-mask.png") for image in images]
    volume, labels = read_stack(images), read_stack(masks)
    if volume.shape != labels.shape:
        raise LabelsError(f"the masks of {name} differ in size from its slices")
    spacing, slice_mm = _spacing(row, name), float(row["slice_mm"])
    bodies = counted_bodies(
        labels == _VERTEBRA, labels == _CANAL, (spacing, spacing), slice_mm, lowest=LOWEST
    )
    check_column(bodies.vertebrae, name)
    return LabelledScan(
        volume=volume,
        spacing_mm=spacing,
        slice_spacing=slice_mm,
        vertebrae=bodies.vertebrae,
        doubtful=bodies.doubtful,
        open_above=True,
        open_below=True,
        subject=subject_of(row["patient"]),
        source=SOURCE,
        name=name,
        sequence="T2",
        discs=graded.discs,
        allowed=graded.allowed,
        whole=True,
    )


def _read_mid(
    folder: Path, row: Mapping[str, str], graded: Gradings, vertebrae: tuple[Vertebra, ...]
) -> LabelledScan:
    name = f"mid/{row['image']}"
    image = read_picture(folder / name).astype(np.float32)
    return LabelledScan(
        volume=image[:, :, None],
        spacing_mm=_spacing(row, name),
        slice_spacing=float(row.get("SliceThickness") or 0),
        vertebrae=vertebrae,
        open_above=True,
        open_below=not vertebrae or vertebrae[-1].level != "S1",
        subject=subject_of(row["patient"]),
        source=OUTLINED if vertebrae else SOURCE,
        name=name,
        sequence=SEQUENCES.get(row["sequence"], "other"),
        discs=graded.discs,
        allowed=graded.allowed,
    )
