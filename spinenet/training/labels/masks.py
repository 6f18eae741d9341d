"""Reads pictures or volumes with label maps beside them, one line of JSON a pair."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spinenet.anatomy import LEVEL_INDEX
from spinenet.errors import LabelsError
from spinenet.geometry import to_square_pixels
from spinenet.readers.volumes.images import is_image
from spinenet.training.labels.bodies import check_column, numbered_bodies
from spinenet.training.labels.files import LabelledFile
from spinenet.training.labels.labelled import LabelledScan, open_sides
from spinenet.training.labels.listings import Listed, Spacing, listed
from spinenet.training.labels.pictures import read_picture
from spinenet.training.labels.volumes import read_labelled_volume
from spinenet.types import Scan


def mask_files(
    listing: Path,
    *,
    source: str,
    levels: Mapping[int, str],
    canal: int | None = None,
    spacing_mm: Spacing | None = None,
    sequence: str = "other",
) -> tuple[LabelledFile, ...]:
    """The pairs of a file of JSON lines.

    Each line is an object with ``image`` and ``mask`` (paths relative to the file: two pictures such as PNG,
    or two volumes, NIfTI or MetaImage) and ``subject`` (or ``patient``). It may have ``spacing_mm`` (pictures
    only: a number, or [row, column]), ``sequence``, and ``open_above`` and ``open_below``, false where no
    body was left out on that side. In pictures the patient faces to the left; volumes are turned so.

    Parameters
    ----------
    listing
        The file.
    source
        The collection's name; a ``patient`` is a subject of this name.
    levels
        Level of each value of the masks that is a vertebra; all other values are none.
    canal
        Value of the spinal canal, where vertebrae are labelled with their arches: what lies behind its front
        is no body. None where only bodies are labelled.
    spacing_mm, sequence
        For lines that do not state them.

    Raises
    ------
    LabelsError
        A line is no such object, or there is no such level.
    OSError
        The file is not there.
    """
    unknown = [level for level in levels.values() if level not in LEVEL_INDEX]
    if unknown or len(set(levels.values())) < len(levels):
        raise LabelsError(f"{unknown[0]!r} is no level" if unknown else "two values have one level")
    stated = {"spacing_mm": spacing_mm, "sequence": sequence}
    read = partial(_read, levels=dict(levels), canal=canal)
    return listed(listing, source, ("mask", str), stated, read)


def _read(one: Listed, *, levels: Mapping[int, str], canal: int | None) -> LabelledScan:
    line = one.line
    image, mask = one.folder / one.name, one.folder / line["mask"]
    volume = is_image(image.name)
    scan, labels = read_labelled_volume(image, mask) if volume else _pictures(image, mask, one.spacing)
    shown = None if canal is None else labels == canal
    if shown is not None and not shown.any():
        raise LabelsError(f"{mask.name} shows no spinal canal, so that bodies cannot be told from arches")
    bodies = numbered_bodies(labels, levels, scan.pixel_spacing, shown)
    check_column(bodies.vertebrae, mask.name)
    open_above, open_below = open_sides([vertebra.level for vertebra in bodies.vertebrae])
    square = to_square_pixels(scan)
    return LabelledScan(
        volume=square.volume.astype(np.float32),
        spacing_mm=square.pixel_spacing[0],
        slice_spacing=square.slice_spacing,
        vertebrae=bodies.vertebrae,
        open_above=bool(line.get("open_above", open_above)),
        open_below=bool(line.get("open_below", open_below)),
        subject=one.subject,
        source=one.source,
        name=one.name,
        sequence=scan.sequence if volume and scan.sequence != "other" else str(line["sequence"]),
        doubtful=bodies.doubtful,
        whole=volume,
    )


def _pictures(image: Path, mask: Path, spacing: tuple[float, float]) -> tuple[Scan, npt.NDArray[np.int32]]:
    if mask.suffix.lower() in (".jpg", ".jpeg"):
        raise LabelsError(f"{mask.name} is a JPEG, which does not keep the values of a mask")
    picture, labels = read_picture(image), read_picture(mask)
    if picture.shape != labels.shape:
        raise LabelsError(f"{mask.name} differs in size from {image.name}")
    scan = Scan(picture.astype(np.float32)[:, :, None], spacing, 0.0)
    return scan, labels.astype(np.int32)[:, :, None]
