"""A synthetic cohort on disk: DICOM series, a manifest, and the truth in Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spinenet.anatomy import FINDINGS
from spinenet.synthetic.dicom import uid_from, write_series
from spinenet.synthetic.image import Phantom, render
from spinenet.types import CORNERS

TRUTH_FOLDER = "truth"
SHARE_IN_VIEW = 0.5
"""A vertebra counts as there to be found when at least this share of it is in the image."""


def write_cohort(
    folder: Path,
    n_subjects: int,
    seed: int,
    kinds: Sequence[str] = ("lumbar",),
    sequences: Sequence[str] = ("T2",),
    fractures: float = 0.0,
) -> Path:
    """Make subjects, one scan each, and write them with what is true of them.

    Parameters
    ----------
    folder
        Folder for ``dicom/<scan_id>/``, ``truth/vertebrae.parquet``, ``truth/discs.parquet`` and
        ``manifest.csv``.
    seed
        Subject i is drawn from seed + i alone.
    kinds, sequences
        Members of :data:`spinenet.synthetic.image.KINDS` and ``SEQUENCES``; subjects take them in turn.
    fractures
        Share of the vertebrae that are fractured; the truth has a column ``wedge_fracture`` then.

    Returns
    -------
    Path
        The manifest.
    """
    lines, vertebrae, discs = ["scan_id,subject_id,path,kind,contrast"], [], []
    for i in range(n_subjects):
        kind, sequence = kinds[i % len(kinds)], sequences[i % len(sequences)]
        name = f"sub-{seed + i:06d}"
        phantom = render(seed + i, kind=kind, sequence=sequence, fractures=fractures)
        write_series(
            folder / "dicom" / name,
            phantom.scan,
            patient_id=name,
            study_uid=uid_from("study", str(seed + i)),
            series_uid=uid_from("series", str(seed + i), kind, sequence),
            description=f"{sequence} sagittal {kind} spine",
        )
        lines.append(f"{name},{name},dicom/{name},{kind},{sequence}")
        vertebrae += vertebra_truth(name, phantom, fractures=bool(fractures))
        discs += disc_truth(name, phantom)
    truth = folder / TRUTH_FOLDER
    truth.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(vertebrae), truth / "vertebrae.parquet")
    pq.write_table(pa.Table.from_pylist(discs), truth / "discs.parquet")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def vertebra_truth(scan_id: str, phantom: Phantom, *, fractures: bool = False) -> list[dict[str, Any]]:
    """One row per vertebra that is at all in view: mean corners in stored pixels, slices, share in view.

    Parameters
    ----------
    fractures
        Whether it is told which are fractured.
    """
    rows = []
    for vertebra in phantom.vertebrae:
        if vertebra.share_in_view <= 0:
            continue
        mean = vertebra.quads.mean(axis=0)
        row: dict[str, Any] = {"scan_id": scan_id, "level": vertebra.level, "slices": list(vertebra.slices)}
        for corner, (x, y) in zip(CORNERS, mean, strict=True):
            row |= {f"{corner}_x": float(x), f"{corner}_y": float(y)}
        row["share_in_view"] = vertebra.share_in_view
        row["row_spacing_mm"], row["column_spacing_mm"] = phantom.scan.pixel_spacing
        if fractures:
            row["wedge_fracture"] = int(vertebra.fractured)
        rows.append(row)
    return rows


def disc_truth(scan_id: str, phantom: Phantom) -> list[dict[str, Any]]:
    """One row per disc whose two vertebrae are in view, findings coded as in the ``grades`` table."""
    seen = {v.level for v in phantom.vertebrae if v.share_in_view >= SHARE_IN_VIEW}
    rows = []
    for level, classes in phantom.discs.items():
        if set(level.split("-")) <= seen:
            values = {f.name: int(np.int8(f.values[classes[f.name]])) for f in FINDINGS}
            rows.append({"scan_id": scan_id, "level": level, **values})
    return rows
