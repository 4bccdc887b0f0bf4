"""Figures: one picture for the viewer and the files."""

from __future__ import annotations

import io
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import saliency_core as sc
from saliency_core.figures.compose import color_table
from tests.networks import classifier

CLASSES = ["cat", "dog", "fish", "bird", "horse"]


def photo(width: int = 60, height: int = 40) -> Image.Image:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def explanation() -> sc.Explanation:
    return sc.explain(classifier(labels=CLASSES), photo(), "dog")


def test_a_composed_picture_is_the_definition_pixel_by_pixel() -> None:
    """Table, fade and opacity are applied by hand, in float64."""
    values = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    grey = Image.new("RGB", (20, 24), (90, 120, 150))
    for diverging in (False, True):
        drawn = sc.compose(grey, (0, 0, 20, 24), values, diverging=diverging, opacity=0.7, size=(6, 5))
        low, high = values.min(), values.max()
        if diverging:
            high = np.sort(np.abs(values), axis=None)[math.ceil(0.99 * values.size) - 1]
            low = -high
        table = sc.render.COLORMAPS["coolwarm" if diverging else "magma"].table
        under = round(0.2126 * 90 + 0.7152 * 120 + 0.0722 * 150)
        for at in np.ndindex(values.shape):
            level = min(max(math.floor(255 * (float(values[at]) - low) / (high - low) + 0.5), 0), 255)
            share = abs(2 * level / 255 - 1) if diverging else level / 255
            alpha = 0.7 * round(255 * share) / 255
            assert drawn[at] == pytest.approx(under + alpha * (table[level] - float(under)), abs=0.51)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_png_has_the_size_of_the_figure_times_its_scale(explanation: sc.Explanation, scale: int) -> None:
    picture = sc.figure(explanation)
    image = Image.open(io.BytesIO(picture.to_bytes("png", scale)))
    assert image.size == (scale * picture.width, scale * picture.height)


@pytest.mark.parametrize("kind", sc.FIGURES)
def test_every_kind_gives_the_same_bytes_again_as_png_svg_and_pdf(
    explanation: sc.Explanation, kind: str, tmp_path: Path
) -> None:
    for suffix in ("png", "svg", "pdf"):
        saved = sc.figure(explanation, kind).save(tmp_path / f"figure.{suffix}").read_bytes()
        assert saved == sc.figure(explanation, kind).to_bytes(suffix)


def test_the_text_of_an_svg_is_text(explanation: sc.Explanation) -> None:
    root = ElementTree.fromstring(sc.figure(explanation).to_bytes("svg"))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"NormGrad", "Grad-CAM"} <= set(texts)


def test_an_unknown_kind_format_scale_method_or_field_names_the_choices(explanation: sc.Explanation) -> None:
    with pytest.raises(sc.UnknownNameError, match="unknown kind of figure 'pear'; did you mean 'pair'"):
        sc.figure(explanation, "pear")
    with pytest.raises(sc.UnknownNameError, match="choices: png, svg, pdf"):
        sc.figure(explanation).to_bytes("jpg")
    with pytest.raises(sc.ArgumentError, match="expected 1, 2 or 4"):
        sc.figure(explanation).image(3)
    with pytest.raises(sc.UnknownNameError, match="unknown method 'gradcam'; did you mean 'grad_cam'"):
        sc.figure(explanation, left="gradcam")
    with pytest.raises(sc.UnknownNameError, match="unknown field of the view 'colourmap'; did you mean"):
        sc.figure(explanation, colourmap="viridis")


def test_an_explanation_without_its_photo_asks_for_it(explanation: sc.Explanation) -> None:
    with pytest.raises(sc.ArgumentError, match="pass photo="):
        sc.figure(explanation.without_image())
    given = sc.figure(explanation.without_image(), photo=photo())
    assert np.array_equal(given.image(1), sc.figure(explanation).image(1))


def test_faded_colours_are_clear_at_their_low_end_and_in_the_middle_of_diverging_ones() -> None:
    assert color_table("magma", diverging=False, fade=True)[[0, 255], 3].tolist() == [0, 255]
    assert color_table("magma", diverging=True, fade=True)[[0, 127, 255], 3].tolist() == [255, 1, 255]
    assert (color_table("magma", diverging=False, fade=False)[:, 3] == 255).all()
