"""Structural similarity against scikit-image, and its corner cases."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

import saliency_core as sc


@pytest.mark.parametrize("shape", [(7, 7), (8, 20), (60, 41)])
def test_the_similarity_is_that_of_scikit_image_for_maps_scaled_to_their_range(
    shape: tuple[int, int],
) -> None:
    generator = np.random.default_rng(0)
    smooth = np.add.outer(np.sin(np.arange(shape[0]) / 3), np.cos(np.arange(shape[1]) / 5))
    pairs = [
        (generator.normal(size=shape), generator.normal(size=shape)),
        (smooth, smooth + generator.normal(0, 0.1, shape)),
        (smooth, -smooth),
        (1e-6 * smooth, 1e6 * np.maximum(smooth, 0)),
    ]
    for first, second in pairs:
        scaled = [(each - each.min()) / np.ptp(each) for each in (first, second)]
        expected = structural_similarity(*scaled, data_range=1.0)
        assert sc.ssim(first, second) == pytest.approx(expected, abs=1e-10)
        assert sc.ssim(second, first) == pytest.approx(expected, abs=1e-10)


def test_a_map_is_like_itself_on_any_scale_and_a_constant_one_like_nothing() -> None:
    values = np.random.default_rng(1).random((20, 20))
    assert sc.ssim(values, 3 * values - 1) == pytest.approx(1)
    assert sc.ssim(values, np.ones((20, 20))) is None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.eye(8), np.eye(9), "expected the same"),
        (np.eye(6), np.eye(6), "at least 7 × 7"),
        (np.full((8, 8), np.inf), np.eye(8), "the first map contains NaN"),
        (np.eye(8), "a", "the second map"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(
    first: object, second: object, message: str
) -> None:
    with pytest.raises(sc.SaliencyError, match=message):
        sc.ssim(first, second)
