"""Corners of outlined bodies: whatever the outline's points, its direction, and the body's tilt."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spinenet.geometry import Points
from spinenet.training.labels.outlines import bodies_in_front, in_order, quad_of, ups

BODY = np.array([[60.0, 20.0], [62.0, 52.0], [18.0, 55.0], [20.0, 18.0]])
"""A wedge-shaped body as rt, rb, lb, lt."""


def turned(points: Points, degrees: float) -> tuple[Points, Points]:
    """(points, up) turned about a point of the image, clockwise on the screen."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - 40) @ matrix.T + 200, np.array([0.0, -1.0]) @ matrix.T


def along(quad: Points, step: int = 12) -> Points:
    """The outline of a quad with points along its edges, counted from the middle of one."""
    t = np.arange(step)[:, None] / step
    edges = [quad[k] + t * (quad[(k + 1) % 4] - quad[k]) for k in range(4)]
    return np.roll(np.vstack(edges), step // 2, axis=0)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, -30])
@pytest.mark.parametrize("backwards", [False, True])
def test_corners_of_an_outline(degrees: float, backwards: bool) -> None:
    body, up = turned(BODY, degrees)
    outline = along(body)[::-1] if backwards else along(body)
    assert np.abs(quad_of(outline, up) - body).max() < 1.5


def test_a_spur_and_a_dent_move_no_corner() -> None:
    outline = along(BODY)
    place = int(np.abs(outline - (BODY[3] + BODY[0]) / 2).sum(axis=1).argmin())
    spur = np.array([[40.0, 6.0], [41.0, 6.0]])
    dented = np.vstack([outline[:place], spur, outline[place + 1 :]])
    assert np.abs(quad_of(dented) - BODY).max() < 2.5
    low = int(np.abs(outline - (BODY[1] + BODY[2]) / 2).sum(axis=1).argmin())
    dented = outline.copy()
    dented[low] -= [0, 12]
    assert np.abs(quad_of(dented) - BODY).max() < 2.5


@pytest.mark.parametrize(
    "points", [[], [[0, 0], [5, 5], [9, 9]], [[3, 3]] * 6, [[0, 0], [9, 0], [18, 0], [27, 0]]]
)
def test_what_encloses_nothing_is_refused(points: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="outline"):
        quad_of(points)


def test_any_order_of_corners_becomes_the_same() -> None:
    rng = np.random.default_rng(4)
    for degrees in range(-180, 180, 17):
        body, up = turned(BODY, degrees)
        assert np.allclose(in_order(rng.permutation(body), up), body)


def test_directions_follow_the_column() -> None:
    centres = [[50, 0], [40, 30], [60, 50]]
    assert np.allclose(ups(centres), [[10, -30], [10, -30], [-20, -20]])
    assert np.allclose(ups([[3, 4]]), [[0, -1]])
    assert ups([]).shape == (0, 2)


def test_bodies_are_what_lies_in_front_of_the_canal() -> None:
    vertebrae, canal = np.zeros((2, 220, 160), np.uint8)
    bodies = [np.add(BODY, (0, down)) for down in (0, 45, 90)]
    for body in bodies:
        cv2.fillPoly(vertebrae, [np.round(body).astype(np.int32)], 1)
        # the arch, joined to the body by a pedicle above the canal's own rows in a lateral slice
        cv2.rectangle(vertebrae, (60, int(body[0, 1]) + 5), (110, int(body[0, 1]) + 12), 1, -1)
    cv2.rectangle(canal, (66, 10), (80, 200), 1, -1)
    vertebrae[canal > 0] = 0
    outlines = bodies_in_front(vertebrae > 0, canal > 0, least_pixels=300)
    assert len(outlines) == 3
    for outline, body in zip(outlines, bodies, strict=True):
        assert np.abs(quad_of(outline)[2:] - body[2:]).max() < 2.5
    assert list(bodies_in_front(vertebrae > 0, np.zeros_like(canal) > 0, least_pixels=300)) == []
