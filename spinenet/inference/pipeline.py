"""Infers one scan: squares its pixels, detects vertebrae, labels them and grades the discs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from torch import nn

from spinenet.added_findings import AddedFinding, of_what
from spinenet.errors import DiscError
from spinenet.geometry import on_grid, reading_on_grid, to_square_pixels
from spinenet.inference.bodies import grade_bodies
from spinenet.inference.passes import pass_through
from spinenet.settings import Settings
from spinenet.stages.crops import disc_mid_slice, disc_pairs, disc_volume, vertebra_volume
from spinenet.stages.grades import disc_grade
from spinenet.stages.grouping import group
from spinenet.stages.landmarks import slice_quads
from spinenet.stages.levels import (
    appearance_probabilities,
    centroid_rows,
    context_image,
    decode,
    level_names,
    level_probabilities,
)
from spinenet.stages.plausibility import is_spine
from spinenet.stages.windows import cut_patch, tile
from spinenet.types import Disc, DiscFailure, DiscGrade, Scan, SpineReading, Vertebra
from spinenet.weights.networks import Networks

T = TypeVar("T")


def read_spine(
    scan: Scan,
    networks: Networks,
    settings: Settings = Settings(),
    detections: Sequence[Vertebra] | None = None,
) -> SpineReading:
    """Detect and label the vertebrae of a scan, and grade its discs.

    Parameters
    ----------
    scan
        The scan as read; its pixels need not be square.
    networks
        The networks in evaluation mode; inference runs on their device.
    settings
        What a user may change.
    detections
        Vertebrae of an earlier reading, in pixels of ``scan``, to be taken instead of detecting.

    Returns
    -------
    SpineReading
        Vertebrae, with quads in pixels of ``scan``, and grades; empty where no vertebra was detected, and
        without grades where what was detected is no spine.

    Raises
    ------
    ValueError
        The slices are too small to hold a window.

    Examples
    --------
    >>> from spinenet import weights
    >>> from spinenet.inference.pipeline import read_spine
    >>> from spinenet.readers.series import read_scan
    >>> from spinenet.weights.networks import load_networks
    >>> reading = read_spine(read_scan("scan"), load_networks(weights.resolve("synthetic")))
    >>> reading.vertebrae[0].level_probabilities.shape
    (24,)
    >>> sorted(reading.grades[0].probabilities)[0]
    'central_canal_stenosis'
    """
    square = to_square_pixels(scan)
    if detections is not None:
        detections = [on_grid(v, scan.pixel_spacing, square.pixel_spacing) for v in detections]
    reading = read_square(square, networks, settings, detections)
    return reading_on_grid(reading, square.pixel_spacing, scan.pixel_spacing)


def read_square(
    scan: Scan,
    networks: Networks,
    settings: Settings = Settings(),
    detections: Sequence[Vertebra] | None = None,
) -> SpineReading:
    """Find, name and grade all of one scan with square pixels; as :func:`read_spine`."""
    clock = [time.perf_counter()]
    detected = detect(scan, networks, settings) if detections is None else tuple(detections)
    clock.append(time.perf_counter())
    named = label(scan, detected, networks, settings)
    clock.append(time.perf_counter())
    # by what was detected alone: a scan that is graded again, with whatever weights, gets the same verdict
    no_spine = bool(detected) and not is_spine(detected, scan.pixel_spacing[0], scan.slice_spacing)
    grades, failures = ((), ()) if no_spine else grade(scan, named, networks, settings)
    named = named if no_spine else grade_bodies(scan, named, networks, settings.batch_size)
    clock.append(time.perf_counter())
    return SpineReading(
        vertebrae=named,
        grades=grades,
        failures=failures,
        detections=tuple(Vertebra(v.slices, v.quads) for v in detected),
        seconds=dict(zip(("detect", "label", "grade"), np.diff(clock).tolist(), strict=True)),
        not_a_spine=no_spine,
    )


def detect(scan: Scan, networks: Networks, settings: Settings) -> tuple[Vertebra, ...]:
    """Detect the vertebrae of a scan with square pixels.

    Slices are detected one by one, so that memory does not grow with their number.

    Returns
    -------
    tuple of Vertebra
        Vertebrae without levels, cranial to caudal.
    """
    height, width, slices = scan.shape
    windows, scale_edge = tile(height, width, scan.pixel_spacing[0])
    # windows at the far edges can be equal: each distinct one is passed through the detector once
    distinct = list(dict.fromkeys(windows))
    places = [distinct.index(window) for window in windows]
    quads = []
    for index in range(slices):
        image = np.ascontiguousarray(scan.volume[:, :, index])
        patches = np.stack([cut_patch(image, window) for window in distinct])[:, None]
        (responses,) = pass_through(networks.detector, patches, settings.batch_size)
        quads.append(slice_quads(responses[places], windows, scale_edge, (height, width))[1])
    return group(quads, remove_single_slice=settings.remove_single_slice)


def label(
    scan: Scan, vertebrae: Sequence[Vertebra], networks: Networks, settings: Settings
) -> tuple[Vertebra, ...]:
    """Label the vertebrae of a scan with square pixels.

    Parameters
    ----------
    vertebrae
        Vertebrae, cranial to caudal.

    Returns
    -------
    tuple of Vertebra
        The same vertebrae with levels and level probabilities.
    """
    if not vertebrae:
        return ()
    logits, empty = [], []
    for batch in _batches(vertebrae, settings.batch_size):
        volumes = np.stack([vertebra_volume(scan.volume, v.mean_quad) for v in batch])
        logits.append(pass_through(networks.appearance, volumes[:, None], settings.batch_size)[0])
        empty.append(~volumes.any(axis=(1, 2, 3)))
    appearance = appearance_probabilities(np.concatenate(logits), np.concatenate(empty))
    height, spacing = scan.shape[0], scan.pixel_spacing[0]
    means = [v.mean_quad for v in vertebrae]
    image = context_image(height, spacing, means, appearance)
    (context,) = pass_through(networks.context, image[None, None], 1)
    probabilities = level_probabilities(context[0, 0], centroid_rows(height, spacing, means))
    levels, _ = decode(probabilities, skip_penalty=settings.skip_penalty)
    return tuple(
        replace(vertebra, level=name, level_probabilities=row)
        for vertebra, name, row in zip(vertebrae, level_names(levels), probabilities, strict=True)
    )


def grade(
    scan: Scan, vertebrae: Sequence[Vertebra], networks: Networks, settings: Settings
) -> tuple[tuple[DiscGrade, ...], tuple[DiscFailure, ...]]:
    """Grade the discs between neighbouring vertebrae of a scan with square pixels.

    Parameters
    ----------
    vertebrae
        Vertebrae with levels, cranial to caudal.

    Returns
    -------
    grades
        Grades, cranial to caudal, each disc once.
    failures
        Discs that could not be cropped, or whose level another disc has.
    """
    discs, failures = disc_images(scan, vertebrae)
    added = of_what(networks.findings, "disc")
    return grade_discs(discs, networks.disc_grading, settings.batch_size, added), failures


def grade_discs(
    discs: Sequence[Disc], grading: nn.Module, batch_size: int, added: Sequence[AddedFinding] = ()
) -> tuple[DiscGrade, ...]:
    """Grade disc volumes in their order, ``batch_size`` of them in one pass through the grading network.

    Parameters
    ----------
    added
        Findings that the network gives logits of after those of the eleven.
    """
    grades = []
    for batch in _batches(discs, batch_size):
        heads = pass_through(grading, np.stack([disc.volume for disc in batch])[:, None], len(batch))
        for k, disc in enumerate(batch):
            grades.append(disc_grade(disc.level, disc.mid_slice, [head[k] for head in heads], added))
    return tuple(grades)


def disc_images(
    scan: Scan, vertebrae: Sequence[Vertebra]
) -> tuple[tuple[Disc, ...], tuple[DiscFailure, ...]]:
    """Crop the discs between neighbouring vertebrae of a scan with square pixels.

    Returns
    -------
    discs
        Discs, cranial to caudal, each level once.
    failures
        Discs that could not be cropped, or whose level another disc has.
    """
    discs: dict[str, Disc] = {}
    failures = []
    for pair in disc_pairs(tuple(vertebrae)):
        if pair.level in discs:
            failures.append(DiscFailure(pair.level, "the same disc was found twice; the cranial one is kept"))
            continue
        try:
            volume = disc_volume(scan.volume, pair.below, pair.above)
        except DiscError as error:
            failures.append(DiscFailure(pair.level, str(error)))
            continue
        discs[pair.level] = Disc(pair.level, volume, disc_mid_slice(pair.below, pair.above))
    return tuple(discs.values()), tuple(failures)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Split a sequence into parts of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
