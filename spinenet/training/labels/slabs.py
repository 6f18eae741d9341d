"""Averages thin slices of a labelled scan as the reader of scans does, for training to see what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from spinenet.geometry import Points
from spinenet.readers.space.reformat import slices_joined, to_thick_slices
from spinenet.training.labels.files import LabelledFile, Unused, read_each
from spinenet.training.labels.labelled import LabelledScan
from spinenet.types import Scan, Vertebra


def read_in_slabs(file: LabelledFile) -> LabelledScan | Unused:
    """A file as training and its figures take it: read, and its thin slices averaged."""
    (read,) = read_each([file])
    return read if isinstance(read, Unused) else in_slabs(read)


def in_slabs(scan: LabelledScan) -> LabelledScan:
    """The scan as :func:`spinenet.readers.space.reformat.to_thick_slices` makes it.

    A body's quad in a slab is the mean of those of the slab's slices that show it, where at least half do.
    The quads of bodies that fewer show are doubtful, and so are the doubtful outlines of all its slices that
    lie in none of its own bodies.
    """
    slices = scan.volume.shape[2]
    joined = slices_joined(slices, scan.slice_spacing) if scan.slice_spacing > 0 else 1
    if joined == 1:
        return scan
    spacing = (scan.spacing_mm, scan.spacing_mm)
    thick = to_thick_slices(Scan(scan.volume, spacing, scan.slice_spacing))
    count = thick.shape[2]
    first = (slices - count * joined) // 2
    groups = [range(first + k * joined, first + (k + 1) * joined) for k in range(count)]
    made = [_averaged(vertebra, groups) for vertebra in scan.vertebrae]
    doubtful = {
        k: [outline for j in group for outline in scan.doubtful.get(j, ())] for k, group in enumerate(groups)
    }
    for vertebra, thicker in zip(scan.vertebrae, made, strict=True):
        for k, group in enumerate(groups):
            if thicker is None or k not in thicker.slices:
                doubtful[k] += [
                    quad for j, quad in zip(vertebra.slices, vertebra.quads, strict=True) if j in group
                ]
    for vertebra in filter(None, made):
        for k, quad in zip(vertebra.slices, vertebra.quads, strict=True):
            doubtful[k] = [outline for outline in doubtful[k] if not _lies_in(outline, quad)]
    return replace(
        scan,
        volume=thick.volume.astype(np.float32),
        slice_spacing=thick.slice_spacing,
        vertebrae=tuple(vertebra for vertebra in made if vertebra is not None),
        doubtful={k: tuple(outlines) for k, outlines in doubtful.items() if outlines},
    )


def _lies_in(outline: Points, quad: Points) -> bool:
    """Whether the middle of an outline lies in a quad."""
    x, y = (outline.min(axis=0) + outline.max(axis=0)) / 2
    return cv2.pointPolygonTest(quad.astype(np.float32), (float(x), float(y)), False) >= 0


def _averaged(vertebra: Vertebra, groups: Sequence[range]) -> Vertebra | None:
    """The vertebra in slabs, each of a range of slices; None where no slab shows enough of it."""
    quads = {}
    for k, group in enumerate(groups):
        shown = [quad for j, quad in zip(vertebra.slices, vertebra.quads, strict=True) if j in group]
        if 2 * len(shown) >= len(group):
            quads[k] = np.mean(shown, axis=0)
    return replace(vertebra, slices=tuple(quads), quads=np.stack(list(quads.values()))) if quads else None
