"""Scores a run's tables against the true vertebrae and discs of its scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from shapely.geometry import Polygon

from spinenet.anatomy import ENDS, FINDINGS
from spinenet.synthetic.cohort import SHARE_IN_VIEW, TRUTH_FOLDER
from spinenet.types import CORNERS

FOUND_IOU = 0.5
"""IoU of a mean quad with the true mean quad above which a vertebra counts as found."""
LUMBAR_DISCS = ("T12-L1", "L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")
_COLUMNS = [f"{corner}_{axis}" for corner in CORNERS for axis in "xy"]


class Tables(Protocol):
    """The tables of a run, as :func:`spinenet.read_results` gives them."""

    @property
    def vertebrae(self) -> pd.DataFrame:
        """One row per detected vertebra."""

    @property
    def grades(self) -> pd.DataFrame:
        """One row per graded disc."""


@dataclass(frozen=True)
class Score:
    """Agreement with the truth.

    Attributes
    ----------
    scans
        Number of scans.
    true, found, matched
        Numbers of true vertebrae in view, of reported vertebrae, and of pairs of the two with IoU > 0.5. A
        reported one that matches a vertebra less than half in view is not counted.
    recall, precision
        ``matched`` over ``true`` and over ``found``.
    corner_error_mm
        Median distance of matched corners in mm.
    level_accuracy
        Share of matched vertebrae with the right level where the sacrum or C2 is in view.
    balanced_accuracy
        Mean over the classes of the share that was graded right, on lumbar discs, by finding.
    discs
        Number of lumbar discs scored.
    """

    scans: int
    true: int
    found: int
    matched: int
    recall: float
    precision: float
    corner_error_mm: float
    level_accuracy: float
    discs: int
    balanced_accuracy: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The values for JSON, with None for a share of nothing."""
        plain = asdict(self)
        plain["balanced_accuracy"] = _without_nan(self.balanced_accuracy)
        return _without_nan(plain)


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in values.items()}


def score_against_truth(results: Tables, truth_folder: Path) -> Score:
    """Score a run over a cohort made by :func:`spinenet.synthetic.cohort.write_cohort`.

    Parameters
    ----------
    results
        The run's tables.
    truth_folder
        The cohort's ``truth`` folder, or the cohort's folder.
    """
    inner = truth_folder / TRUTH_FOLDER
    folder = inner if inner.is_dir() else truth_folder
    return score_tables(
        results.vertebrae,
        results.grades,
        pd.read_parquet(folder / "vertebrae.parquet"),
        pd.read_parquet(folder / "discs.parquet"),
    )


def score_tables(
    vertebrae: pd.DataFrame, grades: pd.DataFrame, truth: pd.DataFrame, true_discs: pd.DataFrame
) -> Score:
    """Score tables in memory: those of a run, then the truth's vertebrae and discs."""
    true_count = matched = counted = right = anchored = 0
    errors: list[npt.NDArray[np.float64]] = []
    by_scan = dict(list(vertebrae.groupby("scan_id", observed=True)))
    for scan_id, expected in truth.groupby("scan_id"):
        reported = by_scan.get(scan_id)
        pairs = _pairs(expected, reported) if reported is not None else []
        in_view = expected["share_in_view"].to_numpy() >= SHARE_IN_VIEW
        true_count += int(in_view.sum())
        kept = [(t, f) for t, f in pairs if in_view[t]]
        matched += len(kept)
        counted += (len(reported) if reported is not None else 0) - (len(pairs) - len(kept))
        if reported is None or not kept:
            continue
        levels, names = expected["level"].to_numpy(), reported["level"].astype(str).to_numpy()
        spacing = expected[["column_spacing_mm", "row_spacing_mm"]].to_numpy()[0]
        for t, f in kept:
            gap = (_quads(expected)[t] - _quads(reported)[f]) * spacing
            errors.append(np.linalg.norm(gap, axis=1))
        # levels cannot be counted in a scan that shows neither end of the column
        if set(ENDS) & set(levels[in_view]):
            anchored += len(kept)
            right += sum(levels[t] == names[f] for t, f in kept)
    balanced, discs = _findings(grades, true_discs)
    return Score(
        scans=truth["scan_id"].nunique(),
        true=true_count,
        found=counted,
        matched=matched,
        recall=_share(matched, true_count),
        precision=_share(matched, counted),
        corner_error_mm=float(np.median(np.concatenate(errors))) if errors else float("nan"),
        level_accuracy=_share(right, anchored),
        discs=discs,
        balanced_accuracy=balanced,
    )


def balanced_accuracy(truth: npt.ArrayLike, graded: npt.ArrayLike) -> float:
    """Mean over the classes present in ``truth`` of the share that was graded as that class."""
    t, g = np.asarray(truth), np.asarray(graded)
    return (
        float(np.mean([np.mean(g[t == value] == value) for value in np.unique(t)]))
        if len(t)
        else float("nan")
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _quads(table: pd.DataFrame) -> npt.NDArray[np.float64]:
    return table[_COLUMNS].to_numpy(float).reshape(-1, 4, 2)


def _pairs(expected: pd.DataFrame, reported: pd.DataFrame) -> list[tuple[int, int]]:
    """(true, reported) row pairs with IoU > 0.5, best first, each row used once."""
    overlaps = []
    polygons = [Polygon(q) for q in _quads(reported)]
    for t, quad in enumerate(_quads(expected)):
        true = Polygon(quad)
        for f, polygon in enumerate(polygons):
            if polygon.is_valid and polygon.intersects(true):
                iou = polygon.intersection(true).area / polygon.union(true).area
                if iou > FOUND_IOU:
                    overlaps.append((iou, t, f))
    pairs: list[tuple[int, int]] = []
    for _, t, f in sorted(overlaps, reverse=True):
        if all(t != a and f != b for a, b in pairs):
            pairs.append((t, f))
    return pairs


def _findings(grades: pd.DataFrame, truth: pd.DataFrame) -> tuple[dict[str, float], int]:
    graded = grades.assign(level=grades["level"].astype(str))
    lumbar = truth[truth["level"].isin(LUMBAR_DISCS)]
    both = lumbar.merge(graded, on=["scan_id", "level"], suffixes=("_true", ""))
    scores = {f.name: balanced_accuracy(both[f"{f.name}_true"], both[f.name]) for f in FINDINGS}
    return scores, len(both)
