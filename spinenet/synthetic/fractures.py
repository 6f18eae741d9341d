"""Wedge fractures: vertebrae whose front has lost height (Genant et al. 1993, grades 1 to 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spinenet.synthetic.anatomy import Body, Spine

LEFT = (0.45, 0.75)
"""Height of a fractured body's front over what it was; Genant counts from 0.8 down."""
WEDGED = 0.8
"""Front over back of a body, below which it counts as fractured; healthy ones are drawn within 10 % of 1."""
_LEVELS = ("T", "L")


def with_fractures(spine: Spine, rng: np.random.Generator, share: float) -> Spine:
    """The spine with a share of its thoracic and lumbar vertebrae fractured to a wedge.

    Bodies keep their places, so the discs beside a fractured one are the wider in front.
    """
    return replace(spine, bodies=tuple(_fractured(body, rng, share) for body in spine.bodies))


def is_fractured(body: Body) -> bool:
    """Whether a body is a wedge."""
    return body.wedge < WEDGED


def _fractured(body: Body, rng: np.random.Generator, share: float) -> Body:
    chosen, left = rng.random(), rng.uniform(*LEFT)
    if not body.level.startswith(_LEVELS) or chosen >= share:
        return body
    # a body that was a little higher in front must count as what it is drawn as
    return replace(body, wedge=min(body.wedge * left, WEDGED - 0.02))
