"""Findings of vertebrae that a bundle adds, from the images of their bodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from spinenet.added_findings import of_what
from spinenet.errors import DiscError
from spinenet.inference.passes import pass_through
from spinenet.stages.crops import body_volume
from spinenet.types import FloatArray, Scan, Vertebra
from spinenet.weights.networks import Networks


def body_images(scan: Scan, vertebrae: Sequence[Vertebra]) -> dict[int, FloatArray]:
    """(9, 112, 224) images of vertebral bodies of a scan with square pixels, by place in ``vertebrae``.

    A body of which none can be made is left out.
    """
    images: dict[int, FloatArray] = {}
    for place, vertebra in enumerate(vertebrae):
        try:
            images[place] = body_volume(scan.volume, vertebra)
        except DiscError:
            continue
    return images


def grade_bodies(
    scan: Scan, vertebrae: tuple[Vertebra, ...], networks: Networks, batch_size: int
) -> tuple[Vertebra, ...]:
    """The vertebrae with what the bundle's added findings of a vertebra are; the same ones without any."""
    findings = of_what(networks.findings, "vertebra")
    if not findings:
        return vertebrae
    images = body_images(scan, vertebrae)
    graded = list(vertebrae)
    places = list(images)
    for start in range(0, len(places), batch_size):
        batch = places[start : start + batch_size]
        volumes = np.stack([images[place] for place in batch])[:, None]
        heads = pass_through(networks.body_grading, np.asarray(volumes, np.float32), len(batch))
        for k, place in enumerate(batch):
            logits = [np.asarray(head[k], np.float64) for head in heads]
            told = {f.name: softmax(row) for f, row in zip(findings, logits, strict=True)}
            graded[place] = replace(graded[place], findings=told)
    return tuple(graded)
