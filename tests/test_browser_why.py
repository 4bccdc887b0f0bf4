"""Methods that take more than the shared pass, and the article on Grad-CAM, as a person uses them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import saliency_core as sc
from pages.shared import formats
from saliency_core.viewer.payload import AVERAGING_METHODS
from tests.browser_helpers import (
    SAMPLES,
    assert_map_drawn,
    complaints,
    drag,
    photo_file,
    sent_messages,
    upload,
    view,
    viewer,
)

MINUTES = 180_000  # milliseconds: many passes on a busy machine


@pytest.fixture(scope="module")
def classifier() -> sc.Classifier:
    return sc.load_classifier()


def explained(classifier: sc.Classifier, *methods: str) -> sc.Explanation:
    return sc.explain(classifier, sc.open_image(SAMPLES / "chelsea.png"), methods=methods or None)


def zoom_of(page: Page) -> str:
    return page.get_by_test_id("normgrad-viewer").evaluate("e => e.style.getPropertyValue('--zoom')")


def photos_decoded(page: Page) -> int:
    return page.get_by_test_id("normgrad-viewer").evaluate("e => e.normgradViewer.stats().decoded.photo")


def test_a_link_with_methods_of_one_extra_pass_opens_on_their_maps(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    methods = {"left": "guided_backprop", "right": "contrastive_excitation_backprop"}
    page.goto(
        f"{app_url}/compare?left={methods['left']}&right={methods['right']}&layer=blocks.3&photo=chelsea"
    )
    explanation = explained(classifier, *methods.values())
    for side, method in methods.items():
        expect(page.get_by_test_id(f"map-{side}")).to_be_visible()
        assert view(page)[side] == method
        assert_map_drawn(page, side, explanation, method, "blocks.3")


def test_many_passes_run_beside_the_page_and_end_in_the_map(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/compare?photo=chelsea&layer=blocks.3")
    viewer(page)
    page.get_by_test_id("zoom-in").click()
    zoom = zoom_of(page)
    page.get_by_test_id("method-left").select_option("integrated_gradients")
    card = page.get_by_test_id("progress").filter(has_text=re.compile("RISE|Integrated gradients"))
    expect(card).to_contain_text("Integrated gradients · Cat, tiger cat")
    expect(page.get_by_role("progressbar", name=re.compile("Integrated gradients"))).to_be_visible()
    expect(page.get_by_test_id("note-left")).to_contain_text("Computing")
    page.get_by_test_id("method-right").select_option("layer_cam")
    expect(page.get_by_test_id("caption-right")).to_contain_text("Layer-CAM")
    assert_map_drawn(page, "right", explained(classifier), "layer_cam", "blocks.3")
    expect(card).to_have_count(0, timeout=MINUTES)
    expect(page.get_by_test_id("caption-left")).to_contain_text("Integrated gradients · input")
    expect(page.get_by_test_id("map-left")).to_be_visible()
    expected = explained(classifier, "integrated_gradients")
    assert_map_drawn(page, "left", expected, "integrated_gradients", "input")
    assert view(page)["right"] == "layer_cam"
    assert (zoom_of(page), photos_decoded(page)) == (zoom, 1)
    # Another visitor finds it done.
    page.goto(f"{app_url}/compare?photo=chelsea&left=integrated_gradients")
    expect(page.get_by_test_id("map-left")).to_be_visible()
    assert_map_drawn(page, "left", expected, "integrated_gradients", "input")


def test_a_running_method_outlives_leaving_the_page_and_ends_when_cancelled(app_url: str, page: Page) -> None:
    trouble = complaints(page)
    page.goto(f"{app_url}/compare?photo=chelsea&left=gradient&right=rise")
    card = page.get_by_test_id("progress").filter(has_text=re.compile("RISE|Integrated gradients"))
    expect(card).to_contain_text("RISE")
    page.get_by_role("link", name="Why Grad-CAM fails").click()
    expect(page.get_by_role("heading", name="Why Grad-CAM fails")).to_be_visible()
    expect(card).to_contain_text("RISE")
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    expect(page.get_by_test_id("note-right")).to_contain_text("Computing")
    page.get_by_test_id("class").nth(1).click()
    expect(card).to_have_count(2)  # the one under way, and the same method for the other class
    for left in (1, 0):
        page.get_by_role("button", name="Cancel").first.click()
        expect(card).to_have_count(left)
    expect(page.get_by_test_id("caption-right")).to_contain_text("Grad-CAM")
    expect(page.get_by_test_id("map-right")).to_be_visible()
    page.wait_for_url(lambda url: "rise" not in url)
    assert view(page)["left"] == "gradient"
    assert trouble == []


def middle_of(page: Page, selector: str, index: int) -> float:
    box = page.locator(selector).nth(index).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2


def test_the_article_draws_three_methods_and_its_figures_in_the_columns_of_the_layers(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    sent = sent_messages(page)
    page.goto(f"{app_url}/compare?photo=cat-above-coffee&class=967&layer=blocks.4&left=gradient")
    viewer(page)
    page.get_by_role("link", name="Why Grad-CAM fails").click()
    expect(page.get_by_test_id("map-normgrad")).to_be_visible()
    image = sc.open_image(SAMPLES / "cat-above-coffee.jpg")
    explanation = sc.explain(classifier, image, 967, methods=AVERAGING_METHODS)
    names = [layer.name for layer in explanation.layers]

    def share(method: str, layer: str) -> str:
        inside = sc.energy_inside(explanation.map(method, layer), [(0, 0.5, 1, 1)])
        assert inside is not None
        return formats.percent(inside)

    def shown(layer: str) -> None:
        for method in AVERAGING_METHODS:
            expect(page.get_by_test_id(f"inside-{method}")).to_have_text(share(method, layer))
            assert_map_drawn(page, method, explanation, method, layer)

    shown("blocks.4")
    chart, bars = page.locator(".chart-cell"), page.locator(".energy")
    for i, name in enumerate(names):
        expect(bars.nth(i)).to_have_text(formats.percent(explanation.energy(name)))
        said = [f"{sc.METHODS[each].title} {share(each, name)}" for each in AVERAGING_METHODS]
        expect(chart.nth(i)).to_have_attribute("title", f"Energy inside the box at {name}: {', '.join(said)}")
        column = middle_of(page, ".layer-name", i)
        for below in (".meter", ".chart-cell", ".plot .mark[data-method=normgrad]"):
            assert middle_of(page, below, i) == pytest.approx(column, abs=0.6)
    assert page.locator(".object-box").count() == 3

    page.wait_for_load_state("networkidle")
    before = len(sent)
    drag(page, page.get_by_test_id("depth"), 0, release=False)
    shown("blocks.0")
    expect(page.locator(".chart-cell.current")).to_have_attribute("title", re.compile("at blocks.0:"))
    assert len(sent) == before
    page.mouse.up()
    page.wait_for_url(re.compile("layer=blocks.0"))
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_test_id("caption-left")).to_contain_text("Gradient · blocks.0")


def test_the_article_fits_a_phone_in_the_colours_of_either_theme(app_url: str, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    drawn = page.locator(".js-plotly-plot .scatterlayer .js-line").first
    in_viewer = page.locator(".plot path[data-method=grad_cam]").first
    links = page.locator(".st-key-phone-navigation a")
    for theme, stroke in (("light", "rgb(194, 65, 12)"), ("dark", "rgb(255, 153, 102)")):
        page.emulate_media(color_scheme=theme)
        page.goto(f"{app_url}/why?photo=four-things&class=967")
        viewer(page)
        expect(drawn).to_have_css("stroke", stroke)
        expect(in_viewer).to_have_css("stroke", stroke)
        assert page.evaluate("document.scrollingElement.scrollWidth") == 390
        assert len({round(links.nth(index).bounding_box()["y"]) for index in range(links.count())}) == 2


def test_an_uploaded_photo_can_be_removed_by_keyboard(app_url: str, page: Page, tmp_path: Path) -> None:
    page.goto(f"{app_url}/compare?photo=camera")
    expect(page.get_by_test_id("caption-left")).to_contain_text("tripod")
    photos, remove = page.get_by_test_id("photo"), page.get_by_test_id("remove-photo")
    samples = photos.count()
    upload(page, photo_file(tmp_path / "one.png"))
    expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
    upload(page, photo_file(tmp_path / "two.png", source="camera.png"))
    expect(page.get_by_test_id("caption-left")).to_contain_text("tripod")
    expect(remove).to_have_count(2)
    photos.last.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(photos).to_have_count(samples + 1)
    expect(page.get_by_test_id("caption-left")).to_contain_text("espresso")
    photos.last.focus()
    page.keyboard.press("Delete")
    expect(photos).to_have_count(samples)
    expect(remove).to_have_count(0)
    page.wait_for_url(lambda url: "upload-" not in url)
    expect(page.get_by_test_id("caption-left")).to_contain_text("ladybug")  # the first sample
