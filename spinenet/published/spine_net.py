"""The published package's class and functions, on this project's computation."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from spinenet import weights as weights_store
from spinenet.anatomy import LEVEL_INDEX
from spinenet.geometry import on_grid, to_square_pixels, warpable
from spinenet.inference.pipeline import detect, disc_images, grade_discs, label
from spinenet.published.examples import download_example_scan
from spinenet.published.two_names import one_of
from spinenet.published.vert_dicts import DebugOutput, VertDict, from_vert_dict, to_vert_dict
from spinenet.settings import Settings
from spinenet.stages.grades import published_table
from spinenet.types import Disc, Scan
from spinenet.weights.networks import Networks, load_networks

__all__ = ["DebugOutput", "SpineNet", "VertDict", "download_example_scan", "download_weights"]

_BATCH = 4
"""Discs in one pass through the grading network."""
_log = logging.getLogger(__name__)


class SpineNet:
    """Reads one scan in memory, as the published class does.

    A volume of uint8, uint16 or int16 is resized and warped as it is stored, as published: values round, and
    overshoot of the cubic kernel is cut at the type's limits. Any other type is taken as float32.

    Parameters
    ----------
    device
        Device of the networks; replaced by "cpu", with a warning, where it does not exist.
    verbose
        Whether to log the result of each step.
    scan_type
        Accepted as published; the computation is the same for every type.
    weights
        "spinenet-v2", "synthetic", or a folder or URL (fetched before) of a bundle.

    Attributes
    ----------
    detection_model, appearance_model, context_model, grading_model
        The four networks; any module with the same input and output shapes can be put in their place.

    Raises
    ------
    WeightsError
        The weights are not installed, incomplete or altered.

    Examples
    --------
    >>> scan = spinenet.io.load_dicoms_from_folder("scan")
    >>> reader = spinenet.SpineNet(device="cpu", verbose=False, weights="synthetic")
    >>> vertebrae = reader.detect_vb(scan.volume, scan.pixel_spacing)
    >>> vertebrae[0]["polys"][0].shape
    (4, 2)
    >>> discs = reader.get_ivds_from_vert_dicts(vertebrae, scan.volume)
    >>> discs[0]["volume"].shape
    (9, 112, 224)
    >>> reader.grade_ivds(discs).columns[0]
    'Pfirrmann'
    """

    def __init__(
        self,
        device: str = "cuda:0",
        verbose: bool = True,
        scan_type: str = "lumbar",
        weights: str | os.PathLike[str] = weights_store.PUBLISHED,
    ) -> None:
        self.device = _available(device)
        self.verbose = verbose
        self.scan_type = scan_type
        networks = load_networks(weights_store.resolve(os.fspath(weights)), self.device)
        self.detection_model = networks.detector
        self.appearance_model = networks.appearance
        self.context_model = networks.context
        self.grading_model = networks.grading

    @overload
    def detect_vb(
        self,
        volume: npt.ArrayLike,
        pixel_spacing: float | Sequence[float],
        debug: Literal[False] = False,
        penalise_skips: bool = True,
        remove_single_slice_detections: bool = True,
    ) -> list[VertDict]: ...

    @overload
    def detect_vb(
        self,
        volume: npt.ArrayLike,
        pixel_spacing: float | Sequence[float],
        debug: Literal[True],
        penalise_skips: bool = True,
        remove_single_slice_detections: bool = True,
    ) -> DebugOutput: ...

    def detect_vb(
        self,
        volume: npt.ArrayLike,
        pixel_spacing: float | Sequence[float],
        debug: bool = False,
        penalise_skips: bool = True,
        remove_single_slice_detections: bool = True,
    ) -> list[VertDict] | DebugOutput:
        """Detect and label the vertebrae.

        Parameters
        ----------
        volume
            (H, W, S): rows cranial to caudal, columns anterior to posterior, sagittal slices.
        pixel_spacing
            In mm: one number, or (row, column).
        debug
            Whether to log each vertebra and to return a :class:`DebugOutput`.
        penalise_skips
            Whether skipping a level has a cost when levels are decoded.
        remove_single_slice_detections
            Whether vertebrae detected in a single slice are dropped.

        Returns
        -------
        list of VertDict, or DebugOutput
            Cranial to caudal; empty where no vertebra was found. ``polys`` holds one (4, 2) array of
            (x, y) corners rt, rb, lb, lt in pixels for each of ``slice_nos``; ``average_polygon`` is
            their mean.

        Raises
        ------
        ValueError
            If ``volume`` is not three-dimensional or a spacing is not positive.
        """
        scan = _scan(volume, pixel_spacing)
        square = to_square_pixels(scan)
        settings = Settings(skip_penalty=penalise_skips, remove_single_slice=remove_single_slice_detections)
        networks = self._networks()
        vertebrae = label(square, detect(square, networks, settings), networks, settings)
        vert_dicts = [
            to_vert_dict(on_grid(v, square.pixel_spacing, scan.pixel_spacing), scan.pixel_spacing)
            for v in vertebrae
        ]
        if self.verbose or debug:
            _log.info("Found %d vertebrae in %d slices.", len(vert_dicts), scan.shape[2])
        if debug:
            for vert in vert_dicts:
                _log.info("%s in slices %s", vert["predicted_label"], vert["slice_nos"])
            return DebugOutput(vert_dicts)
        return vert_dicts

    def get_ivds_from_vert_dicts(
        self,
        vert_dicts: Iterable[Mapping[str, Any]],
        scan_volume: npt.ArrayLike | None = None,
        pixel_spacing: float | Sequence[float] | None = None,
        *,
        volume: npt.ArrayLike | None = None,
    ) -> list[dict[str, Any]]:
        """Cut out the discs between neighbouring vertebrae.

        Parameters
        ----------
        vert_dicts
            As :meth:`detect_vb` returns them.
        scan_volume
            The same (H, W, S) scan; ``volume`` is another name for it.
        pixel_spacing
            In mm; by default that of the vertebrae's own detection, else square pixels.

        Returns
        -------
        list of dict
            Caudal first, as published: ``volume`` (9, 112, 224) float32 (slice, row, column), and
            ``level_name`` such as "L4-L5". Discs whose image cannot be made are logged and left out.
        """
        image = one_of("scan_volume", scan_volume, "volume", volume)
        verts = list(vert_dicts)
        if pixel_spacing is None:
            pixel_spacing = next((v.pixel_spacing for v in verts if isinstance(v, VertDict)), 1.0)
        scan = _scan(image, pixel_spacing)
        square = to_square_pixels(scan)
        vertebrae = [on_grid(from_vert_dict(v), scan.pixel_spacing, square.pixel_spacing) for v in verts]
        vertebrae.sort(key=lambda v: float(v.mean_quad[:, 1].mean()))
        discs, failures = disc_images(square, vertebrae)
        for failure in failures:
            _log.warning("Disc %s is left out: %s.", failure.level, failure.detail)
        return [{"volume": disc.volume, "level_name": disc.level} for disc in reversed(discs)]

    def grade_ivds(self, ivd_dicts: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """Grade discs for the 11 findings.

        Parameters
        ----------
        ivd_dicts
            As :meth:`get_ivds_from_vert_dicts` returns them, in any order.

        Returns
        -------
        DataFrame
            One row per disc, named by its level, cranial first; columns Pfirrmann ... Herniation,
            integers coded as published.
        """
        ordered = sorted(ivd_dicts, key=lambda disc: -_height(str(disc["level_name"])))
        discs = [
            Disc(str(disc["level_name"]), np.asarray(disc["volume"], dtype=np.float32), mid_slice=0)
            for disc in ordered
        ]
        grades = grade_discs(discs, self.grading_model, _BATCH)
        names, columns, values = published_table(grades)
        return pd.DataFrame(values, index=list(names), columns=list(columns))

    def _networks(self) -> Networks:
        # Gathered at each call: users replace the attributes.
        return Networks(
            detector=self.detection_model,
            appearance=self.appearance_model,
            context=self.context_model,
            grading=self.grading_model,
        )


def download_weights(verbose: bool = True, force: bool = False) -> None:
    """Fetch the published weights; shows their terms, which using them accepts.

    Parameters
    ----------
    verbose
        Whether to say when each file is here.
    force
        Fetch again what is already here.

    Raises
    ------
    WeightsError
        One sentence for whatever went wrong.

    Examples
    --------
    Nothing is fetched where they are here already:

    >>> spinenet.download_weights()
    """
    folder = weights_store.folder_of(weights_store.PUBLISHED)
    if force or not folder.exists():
        sys.stderr.write(f"{weights_store.PUBLISHED_TERMS}\n")
    weights_store.fetch(
        weights_store.PUBLISHED, accept_licence=True, force=force, progress=_tell if verbose else None
    )


def _available(device: str) -> torch.device:
    wanted = torch.device(device)
    missing = wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count()
    if missing or (wanted.type == "mps" and not torch.backends.mps.is_available()):
        _log.warning("There is no device %s here; the networks run on the CPU.", device)
        return torch.device("cpu")
    return wanted


def _scan(volume: npt.ArrayLike, pixel_spacing: float | Sequence[float]) -> Scan:
    image = warpable(np.asarray(volume))
    spacing = np.asarray(pixel_spacing, dtype=np.float64).ravel()
    if image.ndim != 3:
        raise ValueError(f"a volume has rows, columns and slices, not {image.ndim} dimensions")
    if spacing.size not in (1, 2) or not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise ValueError(f"pixel_spacing is a positive number or (row, column), not {pixel_spacing!r}")
    return Scan(volume=image, pixel_spacing=(float(spacing[0]), float(spacing[-1])), slice_spacing=1.0)


def _height(level_name: str) -> int:
    """How far up the spine a disc is, by its cranial vertebra."""
    return LEVEL_INDEX.get(level_name.partition("-")[0], -1)


def _tell(name: str, done: int, total: int | None) -> None:
    if done == total:
        sys.stderr.write(f"{name}: {done / 1e6:.0f} MB\n")
