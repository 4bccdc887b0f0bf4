"""Methods that take more than the shared pass, and the article on Grad-CAM, as a person uses them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import saliency_core as sc
from pages.shared import formats
from pages.why import texts
from tests.browser_helpers import SAMPLES, assert_map_drawn, complaints, photo_file, upload, view, viewer

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


def test_the_article_follows_the_depth_and_leaves_the_other_pages_methods_alone(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/compare?photo=chelsea&left=normgrad&right=gradient&layer=blocks.5")
    viewer(page)
    page.get_by_role("link", name="Why Grad-CAM fails").click()
    tiles = page.get_by_test_id("tiles")
    expect(page.get_by_test_id("caption-right")).to_contain_text("Linear approximation")  # this page's viewer
    expect(page.get_by_test_id("depth")).to_be_visible()  # hidden until the page replaces its skeleton
    expect(tiles).to_contain_text("blocks.5")
    page.get_by_test_id("depth").focus()
    page.keyboard.press("End")
    expect(tiles).to_contain_text("100%")
    expect(tiles).to_contain_text("bn2")
    page.keyboard.press("ArrowLeft")
    explanation = explained(classifier)
    expect(tiles).to_contain_text(formats.percent(explanation.energy("blocks.6")))
    assert_map_drawn(page, "left", explanation, "grad_cam", "blocks.6")
    page.get_by_text(texts.TABLE).first.click()
    row = page.get_by_role("row", name=re.compile("blocks.6")).first
    expect(row).to_contain_text(f"{100 * explanation.energy('blocks.6'):.2f}")
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    expect(page.get_by_test_id("caption-right")).to_contain_text("Gradient · blocks.6")
    assert view(page)["left"] == "normgrad"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_article_fits_a_phone_in_the_colours_of_the_theme(
    app_url: str, browser: Browser, theme: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{app_url}/why")
    viewer(page)
    line = page.locator(".js-plotly-plot .scatterlayer .js-line").first
    expect(line).to_be_attached()
    color = line.evaluate("element => getComputedStyle(element).stroke")
    width = page.evaluate("document.scrollingElement.scrollWidth")
    links = page.locator(".st-key-phone-navigation a")
    rows = {round(links.nth(index).bounding_box()["y"]) for index in range(links.count())}
    context.close()
    assert width == 390
    assert len(rows) == 1
    assert color == {"light": "rgb(194, 65, 12)", "dark": "rgb(255, 153, 102)"}[theme]


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
    expect(page.get_by_test_id("caption-left")).to_contain_text("cat")
