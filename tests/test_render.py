"""Colours, overlay and picture files, against hand-computed pixels."""

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


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_value_takes_the_colour_of_its_nearest_level_halves_rounded_up(dtype):
    values = np.array([[0.0, 0.5, 1.0], [100 / 255, 0.25, 0.75]], dtype)
    table = render.COLORMAPS["viridis"].table
    np.testing.assert_array_equal(
        render.colorize(values, "viridis"), table[np.array([[0, 128, 255], [100, 64, 191]])]
    )


def test_every_level_comes_back_exactly():
    levels = np.arange(256, dtype=np.float32)[None] / 255
    np.testing.assert_array_equal(render.colorize(levels, "jet")[0], render.COLORMAPS["jet"].table)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([[0, 1]], TypeError, "floats in .0, 1., got int"),
        (np.zeros((2, 2), bool), TypeError, "got bool"),
        (np.zeros(3), ValueError, r"shape \(H, W\), got \(3,\)"),
        (np.zeros((0, 3)), ValueError, r"got \(0, 3\)"),
        (np.array([[0.0, np.nan]]), ValueError, "got nan"),
        (np.array([[0.0, np.inf]]), ValueError, "to inf"),
        (np.array([[0.0, 1.01]]), ValueError, "0 to 1.01"),
        (np.array([[-0.5, 1.0]]), ValueError, "-0.5 to 1"),
    ],
)
def test_what_is_not_a_map_in_0_to_1_is_refused(values, error, message):
    with pytest.raises(error, match=message):
        render.colorize(values)
    with pytest.raises(error, match=message):
        render.overlay(Image.new("RGB", (4, 4)), values, (0, 0, 4, 4))


def test_an_unknown_colour_map_lists_the_choices():
    with pytest.raises(ValueError, match="unknown colour map 'rainbow'; .*choices: magma, inferno, .*jet"):
        render.colorize(np.zeros((1, 1)), "rainbow")


def test_scale_is_linear_and_clips():
    np.testing.assert_array_equal(
        render.scale([[-3.0, 2.0], [4.0, 9.0]], low=2, high=6), [[0.0, 0.0], [0.5, 1.0]]
    )


def test_scale_of_a_constant_map_is_zero():
    np.testing.assert_array_equal(render.scale([[7.0, 7.0]], low=7, high=7), [[0.0, 0.0]])


@pytest.mark.parametrize(
    ("values", "low", "high", "message"),
    [
        ([np.nan], 0, 1, "finite values to scale"),
        ([0.0], 1, 0, "low=1, high=0"),
        ([0.0], 0, np.inf, "high=inf"),
    ],
)
def test_scale_refuses_what_has_no_answer(values, low, high, message):
    with pytest.raises(ValueError, match=message):
        render.scale(values, low=low, high=high)


def test_the_shared_range_spans_all_maps():
    maps = [np.array([[1.0, -2.0]]), np.array([[5.0], [0.0]])]
    assert render.shared_range(maps) == (-2.0, 5.0)
    assert render.shared_range(maps, symmetric=True) == (-5.0, 5.0)


@pytest.mark.parametrize(
    ("maps", "message"),
    [([], "at least one map"), ([np.zeros((0, 2))], "at least one"), ([[np.nan]], "finite maps")],
)
def test_the_shared_range_of_nothing_is_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        render.shared_range(maps)


@pytest.fixture
def photo():
    pixels = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(pixels)


def test_an_overlay_of_opacity_0_is_the_photo(photo):
    drawn = render.overlay(photo, np.eye(5), (1.5, 0, 13, 12), opacity=0)
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(photo))


def test_an_overlay_of_opacity_1_shows_the_colours_in_the_box_and_the_photo_around_it(photo):
    values = np.array([[0.0, 1.0], [0.25, 0.75]])
    drawn = np.asarray(render.overlay(photo, values, (4, 2, 6, 4), opacity=1, colormap="jet"))
    expected = np.array(photo)
    expected[2:4, 4:6] = render.colorize(values, "jet")
    np.testing.assert_array_equal(drawn, expected)


def test_a_map_is_read_between_its_pixels_without_aligned_corners():
    black = Image.new("RGB", (4, 1))
    drawn = np.asarray(render.overlay(black, np.array([[0.0, 1.0]]), (0, 0, 4, 1), opacity=1, colormap="jet"))
    np.testing.assert_array_equal(drawn, render.colorize(np.array([[0.0, 0.25, 0.75, 1.0]]), "jet"))


def test_half_an_opacity_is_the_rounded_mean(photo):
    drawn = np.asarray(
        render.overlay(photo, np.full((1, 1), 1.0), (0, 0, 16, 12), opacity=0.5, colormap="jet")
    )
    mean = (np.asarray(photo, float) + np.array([128, 0, 0])) / 2
    np.testing.assert_array_equal(drawn, np.floor(mean + 0.5))


@pytest.mark.parametrize(
    ("box", "columns", "rows"),
    [
        ((3.5, 2.5, 8.5, 7.5), (3, 8), (2, 7)),  # a centre on the left or upper edge is inside
        ((3.51, 2.49, 8.51, 7.49), (4, 9), (2, 7)),
        ((-4, -3, 5, 6), (0, 5), (0, 6)),
        ((10, 8, 99, 99), (10, 16), (8, 12)),
        ((-9, -9, 99, 99), (0, 16), (0, 12)),
        ((20, 20, 30, 30), (16, 16), (12, 12)),
        ((3.6, 3.6, 3.9, 3.9), (4, 4), (4, 4)),
    ],
)
def test_the_box_covers_exactly_the_pixels_whose_centre_it_holds(photo, box, columns, rows):
    drawn = np.asarray(render.overlay(photo, np.ones((3, 3)), box, opacity=1, colormap="magma"))
    expected = np.array(photo)
    expected[slice(*rows), slice(*columns)] = render.COLORMAPS["magma"].table[255]
    np.testing.assert_array_equal(drawn, expected)


def test_a_box_beyond_the_photo_shows_the_part_of_the_map_that_lies_on_it():
    drawn = np.asarray(
        render.overlay(Image.new("RGB", (2, 2)), np.array([[0.0, 0.2, 0.4, 0.6]]), (-2, 0, 2, 2), opacity=1)
    )
    np.testing.assert_array_equal(drawn[0], render.colorize(np.array([[0.4, 0.6]]))[0])


def test_an_overlay_does_not_change_the_photo_and_takes_any_mode():
    grey = Image.new("L", (3, 3), 100)
    drawn = render.overlay(grey, np.zeros((1, 1)), (0, 0, 1, 1), opacity=1)
    assert drawn.mode == "RGB"
    assert drawn.getpixel((2, 2)) == (100, 100, 100)
    assert grey.getpixel((0, 0)) == 100


@pytest.mark.parametrize("box", [(0, 0, 0, 4), (3, 0, 1, 4), (0, 0, np.nan, 4), (0, 0, np.inf, 4)])
def test_a_box_without_an_area_is_refused(photo, box):
    with pytest.raises(ValueError, match="with an area"):
        render.overlay(photo, np.zeros((1, 1)), box)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, np.nan])
def test_an_opacity_outside_0_to_1_is_refused(photo, opacity):
    with pytest.raises(ValueError, match="opacity in .0, 1."):
        render.overlay(photo, np.zeros((1, 1)), (0, 0, 4, 4), opacity=opacity)


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


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_a_png_gives_back_the_array_and_the_image(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for picture in (pixels, Image.fromarray(pixels)):
        with Image.open(io.BytesIO(render.png_bytes(picture))) as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((2, 2)), TypeError, "uint8 array, got float64"),
        (np.zeros((2, 2, 2), np.uint8), ValueError, r"got \(2, 2, 2\)"),
        (np.zeros(2, np.uint8), ValueError, r"got \(2,\)"),
    ],
)
def test_a_png_of_what_is_not_a_picture_is_refused(array, error, message):
    with pytest.raises(error, match=message):
        render.png_bytes(array)
