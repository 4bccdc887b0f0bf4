"""The share of a map inside boxes, against a slow definition and its corner cases."""

from __future__ import annotations

import numpy as np
import pytest

import saliency_core as sc
from saliency_core.combine import resize


def slow(values: np.ndarray, boxes: list[tuple[float, float, float, float]], size: tuple[int, int]) -> float:
    """Pixel after pixel."""
    large = resize(values, size).astype(np.float64)
    inside = total = 0.0
    for row in range(size[0]):
        for column in range(size[1]):
            value = max(large[row, column], 0.0)
            x, y = (column + 0.5) / size[1], (row + 0.5) / size[0]
            total += value
            if any(left <= x < right and top <= y < bottom for left, top, right, bottom in boxes):
                inside += value
    return inside / total


@pytest.mark.parametrize(
    "boxes",
    [[(0.1, 0.2, 0.6, 0.9)], [(0, 0, 1, 1)], [(0, 0, 0.5, 0.5), (0.25, 0.25, 1, 0.75)], [(0.9, 0.9, 2, 2)]],
)
def test_the_energy_inside_equals_a_loop_over_the_pixels(
    boxes: list[tuple[float, float, float, float]],
) -> None:
    values = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    expected = slow(values, boxes, (30, 20))
    assert sc.energy_inside(values, boxes, (30, 20)) == pytest.approx(expected, abs=1e-12)


def test_a_constant_map_has_the_boxs_share_of_the_area() -> None:
    assert sc.energy_inside(np.ones((3, 3), np.float32), [(0, 0, 0.5, 0.25)]) == pytest.approx(1 / 8)


def test_a_map_without_positive_values_has_no_energy() -> None:
    assert sc.energy_inside(np.full((3, 3), -1, np.float32), [(0, 0, 1, 1)]) is None


@pytest.mark.parametrize(
    ("values", "boxes", "message"),
    [
        (np.ones((2, 2), np.float32), [], r"boxes have shape \(0,\)"),
        (np.ones((2, 2), np.float32), [(0.5, 0, 0.5, 1)], "has no area"),
        (np.ones((2, 2), np.float32), [(0, 0, 1)], r"boxes have shape \(1, 3\)"),
        (np.full((2, 2), np.nan), [(0, 0, 1, 1)], "the map contains NaN"),
        (np.ones((1, 2, 2), np.float32), [(0, 0, 1, 1)], r"the map has shape \(1, 2, 2\)"),
    ],
)
def test_what_has_no_meaning_is_refused(values: np.ndarray, boxes: list, message: str) -> None:
    with pytest.raises(sc.ArgumentError, match=message):
        sc.energy_inside(values, boxes)
