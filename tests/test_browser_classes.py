"""Class against class and the meta step in a real browser: maps, difference, correlations, steps, grid."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import saliency_core as sc
from pages.classes import texts
from pages.shared import formats
from pages.shared.address import UNLEARN
from pages.shared.session import STEPS
from pages.shared.sidebar import DIRECTIONS
from pages.shared.viewer_panel import AFTER_STEP
from tests.browser_helpers import (
    SAMPLES,
    assert_drawn,
    drag,
    photo_file,
    pixels,
    sent_messages,
    upload,
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
    return f"ρ = {value:.2f}".replace("-", "−")


def cell_of(page: Page, name: str, title: str, column: int, columns: int = 8) -> Locator:
    """The point of a chart that stands for a method, by its short title, and a layer."""
    chart = page.locator(f".st-key-{name}")
    expect(chart.locator(".scatterlayer .point").first).to_be_attached()
    row = chart.locator(".yaxislayer-above text").all_text_contents().index(title)
    return chart.locator(".scatterlayer .point").nth(row * columns + column)


def point_at(page: Page, point: Locator, name: str = "class-grid", *, click: bool = False) -> None:
    """Put the mouse where a chart's point lies; the chart's own layer above it takes what it does."""
    chart = page.locator(f".st-key-{name}")
    expect(chart).to_have_count(1)  # for a moment the old chart stays beside the new one
    chart.evaluate("chart => chart.scrollIntoView({ block: 'center' })")  # clear of the bar above the page
    box = point.bounding_box()
    assert box is not None
    point = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(point[0] - 4, point[1])
    page.mouse.move(*point)
    if click:
        page.mouse.click(*point)


def assert_hovered(page: Page, name: str, point: Locator, text: re.Pattern[str]) -> None:
    """Hovering over a point shows this; a chart that is drawn again forgets the mouse until it moves."""
    shown = page.locator(f".st-key-{name} .hoverlayer")
    for _ in range(5):
        point_at(page, point, name)
        with contextlib.suppress(AssertionError):
            expect(shown).to_contain_text(text, timeout=2000)
            return
    expect(shown).to_contain_text(text)


def expect_all_sizes(page: Page) -> None:
    """The whole sweep is there: a mark on the slider for every size."""
    expect(page.get_by_test_id("epsilon")).to_have_attribute("max", str(len(STEPS) - 1))


def assert_classes_drawn(page: Page, first: np.ndarray, second: np.ndarray) -> None:
    assert_drawn(page, "first", first)
    assert_drawn(page, "second", second)
    assert_drawn(page, "difference", first - second, signed=True)


def test_both_maps_and_their_difference_are_drawn_as_defined(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&left=linear_approx&layer=bn2")
    viewer(page)
    both = [explained(classifier, target, None) for target in (ESPRESSO, CAT)]
    assert_classes_drawn(page, *(each.resized("linear_approx", "bn2", size=SIZE) for each in both))
    page.get_by_test_id("method-left").select_option("normgrad")
    page.get_by_test_id("thumb-first-blocks.3").click()
    expect(page.get_by_test_id("caption-first")).to_contain_text("NormGrad · blocks.3")
    assert_classes_drawn(page, *(each.resized("normgrad", "blocks.3", size=SIZE) for each in both))
    expect(page.get_by_test_id("caption-first")).to_contain_text("espresso")
    expect(page.get_by_test_id("caption-second")).to_contain_text("Egyptian cat")
    expect(page.get_by_test_id("colorbar-difference")).to_contain_text("more for B")


def test_scrubbing_moves_maps_and_correlation_and_sends_nothing(
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


def test_pointing_reads_all_three_maps(app_url: str, page: Page, classifier: sc.Classifier) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.4")
    viewer(page)
    page.get_by_test_id("stage-difference").hover()
    values = page.get_by_test_id("readout").locator("b").all_inner_texts()
    first, second, difference = (float(value.replace("−", "-")) for value in values)
    assert difference == pytest.approx(first - second, abs=2e-3)


def test_an_undefined_correlation_says_why(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/classes?{LINK}&left=gradient&layer=bn2")
    viewer(page)
    expect(page.get_by_test_id("rho")).not_to_contain_text("=")
    expect(page.get_by_test_id("rho-words")).to_contain_text("is constant")


def test_classes_chosen_on_the_page_come_into_the_address_and_stay(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/classes?photo=cat-above-coffee")
    viewer(page)
    page.locator(".st-key-class-pairs").get_by_text("Egyptian cat and espresso").click()
    expect(page.get_by_test_id("caption-first")).to_contain_text("Egyptian cat")
    expect(page.get_by_test_id("caption-second")).to_contain_text("espresso")
    page.wait_for_url(re.compile(f"class={CAT}&b={ESPRESSO}"))
    expect(page.locator(".st-key-class-grid").get_by_text("…")).to_have_count(0)  # all is computed
    page.get_by_role("combobox", name="Class B").fill("tripod")
    page.get_by_role("option", name=re.compile("^tripod")).click()
    expect(page.get_by_test_id("caption-second")).to_contain_text("tripod")
    page.wait_for_url(re.compile("b=872"))
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_test_id("caption-left")).to_be_visible()
    page.get_by_role("link", name="Classes").click()
    expect(page.get_by_test_id("caption-second")).to_contain_text("tripod")
    page.reload()
    expect(page.get_by_test_id("caption-second")).to_contain_text("tripod")


def test_a_cell_of_the_heat_map_shows_its_method_and_layer(app_url: str, page: Page, table: object) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.1")
    viewer(page)
    layers = [layer.name for layer in table.explanations[0].layers]
    point = cell_of(page, "class-grid", "Grad-CAM", layers.index("blocks.5"))
    point_at(page, point, click=True)
    expect(page.get_by_test_id("caption-first")).to_contain_text("Grad-CAM · blocks.5")
    expect(page.get_by_test_id("rho")).to_have_text(written(table.correlation("grad_cam", "blocks.5")))
    assert view(page)["left"] == "grad_cam"
    page.get_by_test_id("thumb-first-blocks.2").click()
    expect(page.get_by_test_id("caption-first")).to_contain_text("blocks.2")
    page.wait_for_function(
        "column => Math.round(document.querySelector('.st-key-class-grid .js-plotly-plot')"
        "?.layout?.shapes?.[0].x1) === column",
        arg=layers.index("blocks.2"),
    )
    point_at(page, point, click=True)  # the same once more
    expect(page.get_by_test_id("caption-first")).to_contain_text("Grad-CAM · blocks.5")


def test_a_meta_step_takes_the_sameness_from_normgrad_at_the_last_layer(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=bn2")
    viewer(page)
    rho = page.get_by_test_id("rho")
    expect(rho).to_have_text("ρ = 1.00")
    expect(page.get_by_test_id("steps")).to_be_hidden()
    page.locator(".st-key-class-meta label").click()
    page.wait_for_url(re.compile("meta=0.0025"))
    expect(page.get_by_test_id("steps")).to_be_visible()
    expect_all_sizes(page)
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
    first, second = (
        explained(classifier, target, sc.MetaStep(0.015)).resized("normgrad", "bn2", size=SIZE)
        for target in (ESPRESSO, CAT)
    )
    assert_classes_drawn(page, first, second)
    page.get_by_role("radio", name="A: before − after").check()
    page.wait_for_url(re.compile("difference=first"))
    expect(page.get_by_test_id("colorbar-difference")).to_contain_text("more before")
    page.wait_for_url(re.compile("difference=first"))
    before = explained(classifier, ESPRESSO, None).resized("normgrad", "bn2", size=SIZE)
    assert_drawn(page, "difference", before - first, signed=True)


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


def test_a_cell_of_the_change_shows_its_method_and_layer(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.1&meta=0.0025")
    viewer(page)
    layers = classifier.default_layers
    cell = cell_of(page, "class-change", "HiResCAM", layers.index("blocks.6"))
    point_at(page, cell, "class-change", click=True)
    expect(page.get_by_test_id("caption-first")).to_contain_text("HiResCAM · blocks.6")
    image = sc.open_image(SAMPLES / "cat-above-coffee.jpg")
    before, after = (
        sc.class_sensitivity(classifier, image, "hires_cam", "blocks.6", [ESPRESSO, CAT], meta=meta)
        for meta in (None, sc.MetaStep())
    )
    expect(page.get_by_test_id("rho")).to_have_text(written(after.correlation))
    cells = page.locator(".st-key-class-change .hm .heatmap-label, .st-key-class-change .heatmap-label")
    change = f"{after.correlation - before.correlation:+.2f}".replace("-", "−")
    expect(cells.filter(has_text=change).first).to_be_attached()


def test_methods_with_their_own_pass_join_the_grid_on_request(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/classes?{LINK}&layer=blocks.5")
    viewer(page)
    page.get_by_text(texts.MODIFIED_SWITCH).click()
    page.wait_for_url(re.compile("modified=1"))
    chart = page.locator(".st-key-class-grid")
    expect(chart.locator(".yaxislayer-above text").filter(has_text="Deconvnet")).to_be_attached()
    point_at(page, cell_of(page, "class-grid", "Guided backprop", 5), click=True)
    image = sc.open_image(SAMPLES / "cat-above-coffee.jpg")
    found = sc.class_sensitivity(classifier, image, "guided_backprop", "blocks.5", [ESPRESSO, CAT])
    expect(page.get_by_test_id("caption-first")).to_contain_text("Guided backprop · blocks.5")
    expect(page.get_by_test_id("rho")).to_have_text(written(found.correlation))


def test_the_mean_over_the_uploaded_photos_is_shown_by_both_heat_maps(
    app_url: str, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{app_url}/classes?meta=0.0025")
    viewer(page)
    upload(page, photo_file(tmp_path / "one.png"), photo_file(tmp_path / "two.png", source="chelsea.png"))
    page.locator(".st-key-class-set button").click()
    expect(page.get_by_text("Mean and 95% interval over 2 photos")).to_be_visible()
    for name, value in (("class-grid", r"Over your 2 photos: −?\d"), ("class-change", r"photos: [+−]?\d")):
        assert_hovered(page, name, cell_of(page, name, "NormGrad", 7), re.compile(value))


def test_a_phone_shows_the_classes_within_its_width(app_url: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{app_url}/classes?{LINK}&meta=0.0025")
    viewer(page)
    expect(page.get_by_test_id("map-difference")).to_be_visible()
    expect(page.locator(".st-key-class-change .point").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wider = page.locator("[data-testid=stMain]").evaluate("e => e.scrollWidth - e.clientWidth")
    assert wider <= 0
    context.close()
