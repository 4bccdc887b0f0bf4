"""Colour maps by their lightness, and photos as JPEG files."""

import io

import numpy as np
import pytest
from PIL import Image

from saliency_core import render

NAMES = ("magma", "inferno", "viridis", "cividis", "coolwarm", "jet")


def lightness(table):
    """CIELAB L* of sRGB colours, shape (N, 3) -> (N,)."""
    encoded = table / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > (6 / 29) ** 3, 116 * np.cbrt(luminance) - 16, luminance * (29 / 3) ** 3)


def test_the_colour_maps_are_listed_in_order_and_the_default_is_uniform():
    assert tuple(render.COLORMAPS) == NAMES
    assert render.COLORMAPS[render.DEFAULT_COLORMAP].kind == "uniform"


def test_an_unknown_colour_map_lists_the_choices():
    with pytest.raises(ValueError, match="unknown colour map 'rainbow'; .*choices: magma, inferno, .*jet"):
        render.COLORMAPS["rainbow"]


@pytest.mark.parametrize("name", NAMES)
def test_a_colour_map_is_a_read_only_table_of_256_colours(name):
    table = render.COLORMAPS[name].table
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1


@pytest.mark.parametrize("name", [n for n in NAMES if render.COLORMAPS[n].kind == "uniform"])
def test_a_uniform_colour_map_only_gets_lighter_and_in_even_steps(name):
    # One 8-bit step of a channel is worth up to 0.04 of lightness here: the tables are rounded to it.
    steps = np.diff(lightness(render.COLORMAPS[name].table))
    assert steps.min() > -0.04
    assert steps.max() < 0.8
    assert np.diff(lightness(render.COLORMAPS[name].table)[::5]).min() > 0


def test_the_diverging_colour_map_is_lightest_in_the_middle_and_even_on_both_sides():
    values = lightness(render.COLORMAPS["coolwarm"].table)
    assert values.argmax() in (127, 128)
    np.testing.assert_allclose(values, values[::-1], atol=1.5)


def test_jet_is_not_uniform():
    assert np.diff(lightness(render.COLORMAPS["jet"].table)).min() < -0.5


@pytest.fixture
def photo():
    pixels = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((2000, 1000), (1280, 640)), ((300, 4000), (96, 1280)), ((64, 48), (64, 48)), ((1280, 2), (1280, 2))],
)
def test_the_displayed_photo_fits_the_longer_side_and_never_grows(size, shown):
    jpeg, reported = render.display_jpeg(Image.new("RGB", size, (200, 30, 60)))
    with Image.open(io.BytesIO(jpeg)) as image:
        assert (image.format, image.size, reported) == ("JPEG", shown, shown)
        np.testing.assert_allclose(image.getpixel((0, 0)), (200, 30, 60), atol=3)


def test_the_displayed_photo_is_the_same_bytes_every_time(photo):
    assert render.display_jpeg(photo) == render.display_jpeg(photo.copy())
