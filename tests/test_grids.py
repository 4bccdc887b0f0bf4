"""Grids of photos, and the share of a map in one of their cells."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.combine import resize
from tests.networks import classifier

COLORS = ["red", "lime", "blue", "white", "black", "yellow", "cyan", "magenta", "gray"]


@pytest.mark.parametrize(("cells", "size"), [(2, (24, 24)), (3, (25, 31)), (3, (224, 224)), (2, (7, 9))])
def test_a_cell_has_the_pixels_of_its_photo_and_a_map_of_them_is_localised_there(
    cells: int, size: tuple[int, int]
) -> None:
    photos = [Image.new("RGB", (40 + 5 * index, 50), COLORS[index]) for index in range(cells**2)]
    grid = sc.compose_grid(photos, cells, size)
    assert grid.size == size[::-1]
    for index, photo in enumerate(photos):
        there = (np.asarray(grid) == photo.getpixel((0, 0))).all(axis=2).astype(np.float32)
        assert there.sum() > 0
        shares = [sc.grid_localisation(there, each, cells, size) for each in range(cells**2)]
        assert shares == [float(each == index) for each in range(cells**2)]


def test_the_shares_of_all_cells_are_those_of_a_loop_and_add_up_to_one() -> None:
    values = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    shares = [sc.grid_localisation(values, cell, 3, (30, 30)) for cell in range(9)]
    assert sum(shares) == pytest.approx(1)
    positive = np.maximum(resize(values, (30, 30)).astype(float), 0)
    assert shares[5] == pytest.approx(positive[10:20, 20:30].sum() / positive.sum())
    assert sc.grid_localisation(-np.ones((2, 2)), 0) is None
    assert sc.grid_localisation(np.ones((2, 2)), 3) == pytest.approx(1 / 4)


def test_a_grid_becomes_the_input_as_it_is() -> None:
    clf = classifier()
    grid = sc.compose_grid([Image.effect_noise((30, 30), 90)] * 4, 2, (24, 24))
    x, box = clf.prepare(grid, "stretch")
    assert box == (0, 0, 24, 24)
    mean, std = (
        np.array(each, np.float32)[:, None, None] for each in (clf.preprocess.mean, clf.preprocess.std)
    )
    pixels = np.asarray(grid, np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(x[0].numpy(), (pixels - mean) / std, atol=1e-5)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: sc.compose_grid([Image.new("RGB", (9, 9))] * 3), "3 photos were given; expected 4"),
        (lambda: sc.compose_grid([1, 2, 3, 4]), "must be PIL images"),
        (lambda: sc.compose_grid([], 1), "cells is 1"),
        (lambda: sc.compose_grid([], 2.0), "cells is 2.0"),
        (lambda: sc.grid_localisation(np.eye(2), 4), "cell is 4; expected from 0 to 3"),
        (lambda: sc.grid_localisation(np.eye(2), "a"), "cell is 'a'"),
        (lambda: sc.grid_localisation(np.full((2, 2), np.nan), 0), "contains NaN"),
    ],
)
def test_what_is_no_grid_is_refused_in_a_sentence(made: object, message: str) -> None:
    with pytest.raises(sc.SaliencyError, match=message):
        made()
