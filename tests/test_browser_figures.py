"""What figures draw is what the viewer shows: pixels, colour bars and captions."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Page, expect

import saliency_core as sc
from saliency_core.figures.compose import Region
from saliency_core.figures.maps import Scene, View, caption, map_of
from saliency_core.figures.sheet import Text
from tests.browser_helpers import SAMPLES, upload, view, viewer

# The stage on screen, and the photo on it: both as (left, top, right, bottom) in the window.
PLACES = """stage => {
  const sides = ({left, top, right, bottom}) => [left, top, right, bottom];
  return [stage, stage.querySelector(".photo-frame")].map((node) => sides(node.getBoundingClientRect()));
}"""


@pytest.fixture(scope="module")
def classifier() -> sc.Classifier:
    return sc.load_classifier("tf_efficientnet_lite0")


def smooth_photo(folder: Path) -> Path:
    """A photo without detail: browsers and Pillow make smaller ones of others by different filters."""
    file = folder / "smooth.png"
    with Image.open(SAMPLES / "coffee.png") as coffee:
        coffee.convert("RGB").filter(ImageFilter.GaussianBlur(8)).save(file)
    return file


def stage_on_screen(page: Page, side: str, photo: Image.Image) -> tuple[np.ndarray, Region]:
    """The pixels of a stage, and the part of the photo that they show."""
    stage = page.get_by_test_id(f"stage-{side}")
    stage.scroll_into_view_if_needed()
    (left, top, right, bottom), frame = stage.evaluate(PLACES)
    clip = {"x": round(left), "y": round(top), "width": round(right) - round(left)}
    taken = page.screenshot(clip={**clip, "height": round(bottom) - round(top)})
    scale = photo.width / (frame[2] - frame[0])
    x, y = (clip["x"] - frame[0]) * scale, (clip["y"] - frame[1]) * scale
    pixels = np.asarray(Image.open(io.BytesIO(taken)).convert("RGB")).astype(int)
    return pixels, (x, y, x + pixels.shape[1] * scale, y + pixels.shape[0] * scale)


def assert_same_figure(page: Page, explanation: sc.Explanation) -> None:
    """Both panels on screen have the colour bars and captions of the figure, and the pixels of `compose`."""
    given = view(page)
    shown = View.of(given, explanation)
    scene = Scene.of(explanation, None)
    figure = sc.figure(explanation, **given)
    texts = [item.text for item in figure.items if isinstance(item, Text)]
    for side, name in (("left", shown.left), ("right", shown.right)):
        expect(page.get_by_test_id(f"caption-{side}")).to_have_text(" · ".join(caption(scene, name, shown)))
        bar = page.get_by_test_id(f"colorbar-{side}")
        low, high = (bar.locator(f".bound.{end}").inner_text() for end in ("low", "high"))
        assert {low, high} <= set(texts)
        drawn = map_of(explanation, name, shown)
        pixels, part = stage_on_screen(page, side, scene.photo)
        scale = drawn.own
        if shown.scale == "shared":
            both = [map_of(explanation, each, shown).own for each in (shown.left, shown.right)]
            scale = min(each.low for each in both), max(each.high for each in both)
        composed = sc.compose(
            scene.photo,
            scene.region,
            drawn.values,
            scale=scale,
            colormap=shown.colormap,
            diverging=drawn.diverging,
            fade=shown.fade,
            opacity=shown.opacity,
            size=pixels.shape[:2],
            shown=part,
        )
        off = np.abs(pixels - composed.astype(int)).max(axis=2)
        # All but the rounded corners and the line around the region, which lies between two pixels.
        assert np.percentile(off, 98) <= 6
        assert off.mean() < 3


def test_a_figure_is_what_the_panels_show(
    app_url: str, page: Page, classifier: sc.Classifier, tmp_path: Path
) -> None:
    methods = ("normgrad", "grad_cam", "hires_cam", "linear_approx")
    file = smooth_photo(tmp_path)
    explanation = sc.explain(classifier, sc.open_image(file), methods=methods)
    page.goto(f"{app_url}/compare")
    viewer(page)
    upload(page, file)
    viewer(page)
    expect(page.get_by_test_id("caption-left")).to_contain_text(explanation.label)
    assert_same_figure(page, explanation)
    page.get_by_test_id("method-left").select_option("linear_approx")
    page.get_by_label("Fade low values").uncheck()
    page.wait_for_url(re.compile("fade=0"))
    assert_same_figure(page, explanation)
    page.get_by_test_id("method-left").select_option("hires_cam")
    page.get_by_role("radio", name="Shared").check(force=True)
    page.wait_for_url(re.compile("scale=shared"))
    assert_same_figure(page, explanation)
