"""Class against class and the meta step in a real browser: maps, difference, correlations, steps, table."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import saliency_core as sc
from pages.shared import formats
from pages.shared.address import UNLEARN
from pages.shared.session import STEPS
from pages.shared.sidebar import DIRECTIONS
from pages.shared.viewer_panel import AFTER_STEP
from saliency_core.combine import resize
from tests.browser_helpers import (
    SAMPLES,
    assert_drawn,
    drag,
    pixels,
    sent_messages,
    view,
    viewer,
)

ESPRESSO, CAT = 967, 285
LINK = f"photo=cat-above-coffee&a={ESPRESSO}&b={CAT}"
SIZE = (448, 448)


@pytest.fixture(scope="module")
def classifier() -> sc.Classifier:
    return sc.load_classifier()


@pytest.fixture(scope="module")
def table(classifier: sc.Classifier) -> object:
    return sc.class_sensitivity_table(
        classifier, sc.open_image(SAMPLES / "cat-above-coffee.jpg"), [ESPRESSO, CAT]
    )


def explained(classifier: sc.Classifier, target: int, meta: sc.MetaStep | None) -> sc.Explanation:
    return sc.explain(classifier, sc.open_image(SAMPLES / "cat-above-coffee.jpg"), target, meta=meta)


def written(value: float) -> str:
    return f"ρ = {formats.rho(value)}"


def cell(page: Page, method: str, layer: str) -> Locator:
    """A cell of the table of all methods."""
    return page.get_by_test_id(f"cell-{method}-{layer}")


def expect_all_sizes(page: Page) -> None:
    """The whole sweep is there: a mark on the slider for every size."""
    expect(page.get_by_test_id("epsilon")).to_have_attribute("max", str(len(STEPS) - 1))


def assert_classes_drawn(page: Page, first: np.ndarray, second: np.ndarray, *, signed: bool = False) -> None:
    assert_drawn(page, "first", first, signed=signed)
    assert_drawn(page, "second", second, signed=signed)
    assert_drawn(page, "difference", first - second, signed=True)


def scaled_signed(explanation: sc.Explanation, method: str, layer: str) -> np.ndarray:
    """A map with a sign, resized and divided by the end of its colour scale."""
    values = resize(explanation.map(method, layer), SIZE)
    return values / np.percentile(np.abs(values), 99, method="inverted_cdf")


def test_both_maps_and_their_difference_are_drawn_as_defined_and_read_by_pointing(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&left=linear_approx&layer=bn2")
    viewer(page)
    both = [explained(classifier, target, None) for target in (ESPRESSO, CAT)]
    signed_maps = (scaled_signed(each, "linear_approx", "bn2") for each in both)
    assert_classes_drawn(page, *signed_maps, signed=True)
    page.get_by_test_id("method-left").select_option("normgrad")
    page.get_by_test_id("thumb-first-blocks.3").click()
    expect(page.get_by_test_id("caption-first")).to_contain_text("NormGrad · blocks.3")
    assert_classes_drawn(page, *(each.resized("normgrad", "blocks.3", size=SIZE) for each in both))
    expect(page.get_by_test_id("caption-first")).to_contain_text("espresso")
    expect(page.get_by_test_id("caption-second")).to_contain_text("Egyptian cat")
    expect(page.get_by_test_id("colorbar-difference")).to_contain_text("more for B")
    page.get_by_test_id("stage-difference").hover()
    values = page.get_by_test_id("readout").locator("b").all_inner_texts()
    first, second, difference = (float(value.replace("−", "-")) for value in values)
    assert difference == pytest.approx(first - second, abs=2e-3)


def test_scrubbing_moves_maps_and_correlation_sends_nothing_and_an_undefined_one_says_why(
    app_url: str, page: Page, table: object
) -> None:
    sent = sent_messages(page)
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.1")
    viewer(page)
    rho = page.get_by_test_id("rho")
    expect(rho).to_have_text(written(table.correlation("normgrad", "blocks.1")))
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("heading", name="Meta-saliency")).to_be_visible()
    before, first = len(sent), pixels(page, "first")
    drag(page, page.get_by_test_id("depth"), 1, release=False)
    expect(page.get_by_test_id("depth-name")).to_contain_text("bn2")
    expect(rho).to_have_text(written(table.correlation("normgrad", "bn2")))
    assert (pixels(page, "first") != first).any()
    assert len(sent) == before
    page.mouse.up()
    page.wait_for_url(re.compile("layer=bn2"))
    page.get_by_test_id("method-left").select_option("gradient")
    expect(rho).not_to_contain_text("=")
    expect(page.get_by_test_id("rho-words")).to_contain_text("are constant")


def test_the_first_look_at_two_objects_shows_each_class_on_its_own(
    app_url: str, page: Page, table: object
) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{app_url}/classes?photo=cat-above-coffee")
    viewer(page)
    expect(page.get_by_test_id("class-A")).to_have_value("Egyptian cat")
    expect(page.get_by_test_id("class-B")).to_have_value("espresso")
    expect(page.get_by_test_id("caption-first")).to_contain_text("Grad-CAM · bn2")
    expect(page.get_by_test_id("rho")).to_have_text(written(table.correlation("grad_cam", "bn2")))
    expect(page.get_by_test_id("rho-words")).to_have_text(re.compile("^Opposite maps"))
    for name in ("rho", "depth"):
        expect(page.get_by_test_id(name)).to_be_in_viewport(ratio=1)


def test_the_page_and_the_sidebar_agree_on_the_classes(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/classes?photo=cat-above-coffee")
    viewer(page)
    listed = page.get_by_test_id("class")
    expect(listed.and_(page.locator("[aria-pressed=true]"))).to_have_accessible_name(
        re.compile(r"^A Egyptian cat \d")
    )
    expect(listed.filter(has_text="espresso")).to_have_accessible_name(re.compile("^B espresso "))
    page.get_by_role("combobox", name="Class B").fill("tripod")
    page.get_by_role("option", name=re.compile("^tripod")).click()
    expect(page.get_by_test_id("caption-second")).to_contain_text("tripod")
    expect(listed.filter(has_text="tripod")).to_have_accessible_name(re.compile("^B tripod "))
    page.wait_for_url(re.compile(f"class={CAT}&b=872"))
    listed.filter(has_text="espresso").click()
    expect(page.get_by_test_id("class-A")).to_have_value("espresso")
    expect(page.get_by_test_id("caption-first")).to_contain_text("espresso")
    expect(page.get_by_test_id("caption-second")).to_contain_text("tripod")
    page.get_by_test_id("presets").get_by_text("Egyptian cat and espresso").click()
    expect(page.get_by_test_id("caption-second")).to_contain_text("espresso")
    page.reload()
    expect(page.get_by_test_id("caption-first")).to_contain_text("Egyptian cat")


def test_a_cell_of_the_table_shows_its_maps_beside_it_and_the_page_stays(
    app_url: str, page: Page, table: object
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.1")
    viewer(page)
    for layer in table.layers:
        expect(cell(page, "normgrad", layer)).to_have_text(formats.rho(table.correlation("normgrad", layer)))
    chosen = cell(page, "grad_cam", "blocks.5")
    chosen.scroll_into_view_if_needed()
    before = chosen.bounding_box()
    chosen.click()
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("preview-title")).to_have_text("Grad-CAM at blocks.5")
    value = written(table.correlation("grad_cam", "blocks.5"))
    expect(page.get_by_test_id("preview-words")).to_contain_text(value)
    expect(page.get_by_test_id("preview")).to_be_in_viewport()
    assert view(page)["left"] == "grad_cam"
    page.wait_for_url(re.compile("layer=blocks.5"))
    assert chosen.bounding_box() == before
    page.get_by_test_id("show-above").click()
    expect(page.get_by_test_id("caption-first")).to_be_in_viewport()
    expect(page.get_by_test_id("caption-first")).to_contain_text("Grad-CAM · blocks.5")
    expect(page.get_by_test_id("rho")).to_have_text(value)


def test_a_meta_step_takes_the_sameness_from_normgrad_at_the_last_layer(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=bn2")
    viewer(page)
    rho = page.get_by_test_id("rho")
    expect(rho).to_have_text("ρ = 1.00")
    expect(page.get_by_test_id("epsilon")).to_be_hidden()
    expect(page.locator(".st-key-meta")).to_have_count(0)  # the page's own card is the only control
    page.get_by_role("radio", name="Learn", exact=True).check()
    page.wait_for_url(re.compile("meta=0.0025"))
    expect_all_sizes(page)
    expect(page.get_by_test_id("steps")).to_contain_text("0.0025 (paper)")
    slider = page.get_by_test_id("epsilon")
    drag(page, slider, 6 / 7)
    page.wait_for_url(re.compile("meta=0.04"))
    image = sc.open_image(SAMPLES / "cat-above-coffee.jpg")
    for size, key in ((0.04, None), (0.015, "ArrowLeft")):
        if key:
            slider.focus()
            page.keyboard.press(key)
        expected = sc.class_sensitivity(
            classifier, image, "normgrad", "bn2", [ESPRESSO, CAT], meta=sc.MetaStep(size)
        )
        expect(page.get_by_test_id("epsilon-name")).to_have_text(f"ε = {size}")
        expect(rho).to_have_text(written(expected.correlation))
        assert expected.correlation < 0.9
    stepped = [explained(classifier, target, sc.MetaStep(0.015)) for target in (ESPRESSO, CAT)]
    for name, each in zip(("first", "second"), stepped, strict=True):
        before, after = (float(p[each.target]) for p in (each.probabilities, each.probabilities_after))
        change = f"{formats.percent(before)} → {formats.percent(after)}"
        expect(page.get_by_test_id(f"caption-{name}")).to_contain_text(f"{each.label} {change}")
        expect(page.get_by_test_id("epsilon-note")).to_contain_text(change)
    first, second = (each.resized("normgrad", "bn2", size=SIZE) for each in stepped)
    assert_classes_drawn(page, first, second)
    page.get_by_role("radio", name="A: change").check()
    page.wait_for_url(re.compile("difference=first"))
    expect(page.get_by_test_id("colorbar-difference")).to_contain_text("more after")
    before = explained(classifier, ESPRESSO, None).resized("normgrad", "bn2", size=SIZE)
    assert_drawn(page, "difference", first - before, signed=True)


def test_a_link_with_classes_and_step_reopens_the_view(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&meta=0.006&direction=unlearn&layer=blocks.5")
    expect(page.get_by_test_id("epsilon-name")).to_have_text("ε = 0.006")
    first, second = (
        explained(classifier, target, sc.MetaStep(0.006, ascend=True)).resized(
            "normgrad", "blocks.5", size=SIZE
        )
        for target in (ESPRESSO, CAT)
    )
    assert_classes_drawn(page, first, second)
    assert "meta=0.006&direction=unlearn" in page.url


def test_the_step_is_a_switch_on_compare(app_url: str, page: Page, classifier: sc.Classifier) -> None:
    page.goto(f"{app_url}/compare?photo=chelsea&layer=blocks.5")
    viewer(page)
    plain = pixels(page, "left")
    page.locator(".st-key-meta label").click()
    expect(page.get_by_test_id("caption-left")).to_contain_text(formats.after_step(sc.MetaStep()))
    page.wait_for_url(re.compile("meta=0.0025"))
    image = sc.open_image(SAMPLES / "chelsea.png")
    stepped = sc.explain(classifier, image, meta=sc.MetaStep())
    for side, method in (("left", "normgrad"), ("right", "grad_cam")):
        assert_drawn(page, side, stepped.resized(method, "blocks.5", size=SIZE))
    assert (pixels(page, "left") != plain).any()
    rise = page.get_by_test_id("method-left").locator("option[value=rise]")
    expect(rise).to_be_disabled()
    expect(rise).to_have_attribute("title", AFTER_STEP)
    page.get_by_text(DIRECTIONS[UNLEARN]).click()
    page.wait_for_url(re.compile("direction=unlearn"))
    unlearned = formats.after_step(sc.MetaStep(ascend=True))
    expect(page.get_by_test_id("caption-left")).to_contain_text(unlearned)
    page.get_by_role("link", name="Framework").click()
    expect(page.get_by_test_id("framework-caption")).to_contain_text(unlearned)


def test_the_table_shows_the_change_by_the_step(app_url: str, page: Page, classifier: sc.Classifier) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.1&meta=0.0025")
    viewer(page)
    image = sc.open_image(SAMPLES / "cat-above-coffee.jpg")
    before, after = (
        sc.class_sensitivity(classifier, image, "hires_cam", "blocks.6", [ESPRESSO, CAT], meta=meta)
        for meta in (None, sc.MetaStep())
    )
    chosen = cell(page, "hires_cam", "blocks.6")
    expect(chosen).to_have_text(formats.rho(after.correlation))
    page.get_by_role("radio", name="Change", exact=True).check()
    expect(chosen).to_have_text(formats.signed(after.correlation - before.correlation))
    page.wait_for_url(re.compile("figures=change"))
    chosen.click()
    expect(page.get_by_test_id("caption-first")).to_contain_text("HiResCAM · blocks.6")
    expect(page.get_by_test_id("rho")).to_have_text(written(after.correlation))


def test_more_methods_join_the_table_on_request(app_url: str, page: Page, classifier: sc.Classifier) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.5&cells=1")
    viewer(page)
    expect(cell(page, "bias_max", "bn2")).to_be_attached()
    page.get_by_test_id("cells").uncheck()
    page.get_by_test_id("modified").check()
    page.wait_for_url(re.compile("modified=1"))
    assert "cells" not in page.url
    expect(cell(page, "bias_max", "bn2")).to_have_count(0)
    cell(page, "guided_backprop", "blocks.5").click()
    image = sc.open_image(SAMPLES / "cat-above-coffee.jpg")
    found = sc.class_sensitivity(classifier, image, "guided_backprop", "blocks.5", [ESPRESSO, CAT])
    expect(page.get_by_test_id("caption-first")).to_contain_text("Guided backprop · blocks.5")
    expect(page.get_by_test_id("rho")).to_have_text(written(found.correlation))


def test_a_phone_shows_the_classes_within_its_width(app_url: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{app_url}/classes?{LINK}&meta=0.0025")
    viewer(page)
    expect(page.get_by_test_id("map-difference")).to_be_visible()
    expect(cell(page, "normgrad", "bn2")).to_have_text(re.compile(r"\d"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wider = page.locator("[data-testid=stMain]").evaluate("e => e.scrollWidth - e.clientWidth")
    assert wider <= 0
    context.close()
