"""The framework page and the pickers in a real browser: every cell's pixels, scrubbing, reading, opening."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect

import saliency_core as sc
from pages.shared.method_lists import AT_CONVOLUTIONS, MODIFIED
from pages.shared.viewer_panel import ADD_CONVOLUTION
from saliency_core.combine import resize
from saliency_core.methods.cells import AGGREGATES, EXTRACTS
from tests.browser_helpers import (
    SAMPLES,
    assert_drawn,
    assert_map_drawn,
    drag,
    pixels,
    sent_messages,
    view,
    viewer,
)

CELLS = [(extract, aggregate) for extract in EXTRACTS for aggregate in AGGREGATES]
CELL_SIZE = (160, 160)
BOXES = "elements => elements.map(element => element.getBoundingClientRect().toJSON())"
"""Where elements are, all at one time: a page may still be moving."""


@pytest.fixture(scope="module")
def classifier() -> sc.Classifier:
    return sc.load_classifier()


@pytest.fixture(scope="module")
def captured(classifier: sc.Classifier) -> dict[str, sc.LayerCapture]:
    """Activation and gradient of the first sample's most likely class at every default layer."""
    batch, _ = classifier.prepare(sc.open_image(SAMPLES / "chelsea.png"), "crop")
    return dict(sc.capture(classifier, batch).layers)


def raw(captured: dict[str, sc.LayerCapture], layer: str, extract: str, aggregate: str) -> np.ndarray:
    pair = captured[layer]
    with torch.no_grad():
        cell = sc.framework(pair.activation, pair.gradient, extract=extract, aggregate=aggregate)
    return cell[0].cpu().numpy()


def number(text: str) -> float:
    """A number as the viewer writes it."""
    digits, _, power = text.replace("−", "-").partition(" × 10")
    exponent = power.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-"))
    return float(digits) * 10 ** int(exponent or 0)


def drawings(page: Page) -> dict[str, bytes]:
    return {f"{e}-{a}": pixels(page, f"{e}-{a}").tobytes() for e, a in CELLS}


def assert_cells_drawn(page: Page, captured: dict[str, sc.LayerCapture], layer: str) -> None:
    for extract, aggregate in CELLS:
        expected = resize(raw(captured, layer, extract, aggregate), CELL_SIZE)
        signed = AGGREGATES[aggregate].signed
        assert_drawn(page, f"{extract}-{aggregate}", expected, signed=signed)


def test_every_cell_is_drawn_as_the_framework_defines_it_and_the_one_pointed_at_large_beside_grad_cam(
    app_url: str, page: Page, classifier: sc.Classifier, captured: dict[str, sc.LayerCapture]
) -> None:
    methods = ("normgrad", "conv3x3_sum", "grad_cam")
    explanation = sc.explain(classifier, sc.open_image(SAMPLES / "chelsea.png"), methods=methods)
    page.goto(f"{app_url}/framework?photo=chelsea&layer=blocks.5")
    viewer(page)
    assert_cells_drawn(page, captured, "blocks.5")
    assert_map_drawn(page, "preview", explanation, "normgrad", "blocks.5")
    page.get_by_test_id("cell-conv3x3-sum").hover()
    expect(page.get_by_test_id("previews")).to_contain_text("sum of C × 9C numbers")
    expect(page.get_by_test_id("colorbar-preview")).to_contain_text(sc.METHODS["conv3x3_sum"].bright)
    expect(page.get_by_test_id("colorbar-reference")).to_contain_text(sc.METHODS["grad_cam"].bright)
    page.get_by_role("heading", name="How to read").hover()  # the preview stays
    assert_map_drawn(page, "preview", explanation, "conv3x3_sum", "blocks.5")
    assert_map_drawn(page, "reference", explanation, "grad_cam", "blocks.5")
    page.get_by_test_id("depth").focus()
    page.keyboard.press("Home")
    expect(page.get_by_test_id("depth-name")).to_contain_text("blocks.0")
    assert_cells_drawn(page, captured, "blocks.0")
    page.get_by_test_id("preview-open").click()
    expect(page.get_by_test_id("caption-left")).to_contain_text(sc.METHODS["conv3x3_sum"].title)


def test_mixed_cells_are_those_of_combine(
    app_url: str, page: Page, captured: dict[str, sc.LayerCapture]
) -> None:
    weights = [0, 0.25, 0.5, 1, 1, 0.75, 0.5, 0]
    page.goto(f"{app_url}/framework?photo=chelsea&weights={'_'.join(map(str, weights))}&how=product&mixed=1")
    for how in ("product", "sum"):
        if how == "sum":
            page.get_by_role("radio", name="Sum").check()
        expect(page.get_by_test_id("framework-caption")).to_contain_text(f"{how} of 6 layers")
        for extract, aggregate in CELLS:
            maps = [raw(captured, layer, extract, aggregate) for layer in captured]
            assert_drawn(page, f"{extract}-{aggregate}", sc.combine(maps, weights, how, size=CELL_SIZE))


def test_the_scrubber_moves_all_cells_and_neither_it_nor_the_cursor_sends_anything(
    app_url: str, page: Page
) -> None:
    sent = sent_messages(page)
    page.goto(f"{app_url}/framework?photo=chelsea&layer=blocks.1")
    viewer(page)
    page.wait_for_load_state("networkidle")
    first = drawings(page)
    before = len(sent)
    drag(page, page.get_by_test_id("depth"), 5 / 7, release=False)
    expect(page.get_by_test_id("depth-name")).to_contain_text("blocks.5")
    second = drawings(page)
    assert all(first[cell] != second[cell] for cell in first)
    assert len(sent) == before
    page.mouse.up()
    page.wait_for_url(re.compile(r"layer=blocks\.5"))
    assert len(sent) == before + 1
    for extract, aggregate in CELLS:
        page.get_by_test_id(f"cell-{extract}-{aggregate}").hover()
    expect(page.get_by_test_id("cell-detail")).to_contain_text("px")
    assert len(sent) == before + 1


def test_pointing_at_one_cell_reads_all_of_them_and_each_has_its_name_and_label(
    app_url: str, page: Page, captured: dict[str, sc.LayerCapture]
) -> None:
    page.goto(f"{app_url}/framework?photo=chelsea&layer=blocks.3")
    viewer(page)
    for extract, aggregate in CELLS:
        method = sc.cell_method(extract, aggregate)
        cell = page.get_by_role("gridcell").filter(has=page.get_by_test_id(f"cell-{extract}-{aggregate}"))
        named = method.family != "Framework cells"
        expect(cell).to_have_text(method.short_title if named else "", use_inner_text=True)
        label = cell.get_by_role("button").get_attribute("aria-label")
        assert re.search(r": from \S+.* to \S+", label)
        assert not named or method.title in label
    cell = page.get_by_test_id("cell-scaling-norm")
    before = page.get_by_test_id("cell-bias-sum").bounding_box()
    box = cell.bounding_box()
    at = {"x": round(box["width"] * 0.7), "y": round(box["height"] * 0.3)}
    cell.hover(position=at)
    u, v = at["x"] / box["width"], at["y"] / box["height"]
    for extract, aggregate in CELLS:
        plane = resize(raw(captured, "blocks.3", extract, aggregate), (448, 448))
        y, x = int(v * 448), int(u * 448)
        near = plane[y - 4 : y + 5, x - 4 : x + 5]  # the pointer lies on whole pixels of the screen
        read = number(page.get_by_test_id(f"value-{extract}-{aggregate}").inner_text())
        slack = 0.01 * abs(plane).max()
        assert near.min() - slack <= read <= near.max() + slack
    expect(page.locator(".cell-cursor").first).to_be_visible()
    read = page.get_by_test_id("value-scaling-norm").inner_text()
    expect(page.get_by_test_id("cell-detail")).to_contain_text(f"Scaling, norm {read} · Grad-CAM ")
    assert page.get_by_test_id("cell-bias-sum").bounding_box() == before
    page.get_by_role("heading", name="Framework").hover()
    expect(page.get_by_test_id("value-bias-sum")).to_have_text("")


def test_a_click_opens_the_cell_beside_grad_cam(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/framework?photo=chelsea&layer=blocks.3&right=gradient")
    viewer(page)
    page.get_by_test_id("cell-conv3x3-max").click()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    expect(page.get_by_test_id("caption-left")).to_contain_text(sc.METHODS["conv3x3_max"].title)
    expect(page.get_by_test_id("caption-left")).to_contain_text("blocks.3")
    expect(page.get_by_test_id("stage-left")).to_have_attribute("data-state", "map")
    expect(page.get_by_test_id("caption-right")).to_contain_text("Grad-CAM")


def test_arrow_keys_walk_through_the_cells_and_enter_opens_one(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/framework?photo=chelsea")
    viewer(page)
    page.get_by_test_id("cell-bias-sum").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.get_by_test_id("cell-conv1x1-norm")).to_be_focused()
    expect(page.get_by_test_id("previews")).to_contain_text("NormGrad")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    expect(page.get_by_test_id("cell-scaling-max")).to_be_focused()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_test_id("value-bias-norm")).not_to_have_text("")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    assert view(page)["left"] == "scaling_max"


def test_constant_cells_say_so(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/framework?photo=chelsea&layer=bn2")
    viewer(page)
    expect(page.get_by_test_id("note-bias-norm")).to_have_text("constant")
    expect(page.get_by_test_id("map-bias-norm")).to_be_hidden()
    expect(page.get_by_test_id("map-conv1x1-norm")).to_be_visible()
    assert "same value" in page.get_by_test_id("cell-bias-norm").get_attribute("aria-label")
    page.get_by_test_id("tab-layers").click()
    expect(page.get_by_test_id("thumb-gradient-bn2")).to_have_text("constant")
    expect(page.get_by_test_id("constant-maps")).to_contain_text("Gradient at bn2")
    expect(page.get_by_test_id("constant-maps")).to_contain_text(sc.METHODS["gradient"].empty)


def test_the_second_tab_has_every_named_method_at_every_layer_and_opens_them(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/framework?photo=chelsea")
    viewer(page)
    page.get_by_test_id("tab-table").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("all-methods")).to_be_visible()
    page.wait_for_url(re.compile("tab=layers"))
    page.reload()  # what one sees is in the address
    expect(page.get_by_test_id("all-methods")).to_be_visible()
    expect(page.get_by_test_id("framework-table")).to_be_hidden()
    for name, method in sc.METHODS.items():
        if (
            isinstance(method.kind, sc.SharedPass)
            and method.domain is sc.Domain.LAYERS
            and method.family != "Framework cells"
        ):
            for layer in classifier.default_layers:
                expect(page.get_by_test_id(f"thumb-{name}-{layer}")).to_have_count(1)
    page.get_by_test_id("thumb-layer_cam-blocks.2").click()
    expect(page.get_by_test_id("caption-left")).to_contain_text("Layer-CAM · blocks.2")
    expect(page.get_by_test_id("caption-right")).to_contain_text("Grad-CAM")


def test_one_button_computes_all_missing_rows_and_those_that_cannot_be_say_why(
    app_url: str, page: Page
) -> None:
    page.goto(f"{app_url}/framework?photo=chelsea&tab=layers&meta=0.0025")  # many passes: not after a step
    expect(page.get_by_test_id("all-methods")).to_be_visible()
    expect(page.get_by_test_id("absent-normgrad_proper")).to_have_text(ADD_CONVOLUTION)
    expect(page.get_by_test_id("absent-rise")).to_contain_text("after a meta step")
    expect(page.get_by_test_id("all-methods")).to_contain_text(
        f"{len(MODIFIED)} rows take one extra pass each."
    )
    page.get_by_test_id("compute-missing").click()
    for name in MODIFIED:
        expect(page.get_by_test_id(f"thumb-{name}-blocks.4")).to_have_count(1)
    expect(page.get_by_test_id("compute-missing")).to_be_disabled()


def test_a_phone_shows_both_tabs_of_the_framework_without_scrolling_sideways(
    app_url: str, page: Page
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app_url}/framework")
    viewer(page)
    cells = page.locator("[data-testid^=cell-bias-]").evaluate_all(BOXES)
    widths = [page.evaluate("document.scrollingElement.scrollWidth")]
    page.get_by_test_id("tab-layers").click()
    expect(page.get_by_test_id("all-methods")).to_be_visible()
    widths.append(page.evaluate("document.scrollingElement.scrollWidth"))
    head, first = page.locator(".all-methods-heads"), page.get_by_text("NormGrad", exact=True).last
    beneath = head.bounding_box()["y"] + head.bounding_box()["height"]
    assert first.bounding_box()["y"] >= beneath, "the heads hide no name"
    page.get_by_test_id("thumb-grad_cam-bn2").scroll_into_view_if_needed()
    page.get_by_test_id("thumb-eigen_cam-bn2").scroll_into_view_if_needed()
    column = page.get_by_test_id("thumb-eigen_cam-bn2").bounding_box()
    name = head.get_by_text("bn2").bounding_box()
    top = page.get_by_test_id("stHeader").bounding_box()
    assert top["y"] + top["height"] - 1 <= name["y"] < column["y"], "the heads stick below the header"
    assert abs(name["x"] + name["width"] / 2 - column["x"] - column["width"] / 2) < 2
    assert widths == [390, 390]
    assert len(cells) == len(AGGREGATES)
    assert len({cell["y"] for cell in cells}) == 1, "the columns stay side by side"
    assert all(cell["width"] >= 76 and cell["x"] + cell["width"] <= 390 for cell in cells)


def test_a_finger_previews_a_cell_and_a_button_opens_it(app_url: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{app_url}/framework?photo=chelsea")
    viewer(page)
    page.get_by_test_id("cell-bias-norm").tap()
    expect(page.get_by_test_id("value-bias-max")).not_to_have_text("")
    expect(page.get_by_test_id("previews")).to_contain_text("norm of C numbers")
    page.get_by_test_id("cell-bias-norm").tap()
    expect(page.get_by_test_id("previews")).to_be_visible()
    page.get_by_test_id("preview-open").tap()
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    assert view(page)["left"] == "bias_norm"
    context.close()


def test_a_picker_is_grouped_disables_what_is_unavailable_with_the_reason_and_tells_of_its_method(
    app_url: str, page: Page, classifier: sc.Classifier
) -> None:
    page.goto(f"{app_url}/compare?photo=chelsea")
    viewer(page)
    picker = page.get_by_test_id("method-left")
    groups = picker.locator("optgroup").evaluate_all("groups => groups.map(group => group.label)")
    assert groups == list(dict.fromkeys(method.family for method in sc.METHODS.values()))
    for name, method in sc.METHODS.items():
        option = picker.locator(f"option[value={name}]")
        reason = ADD_CONVOLUTION if name in AT_CONVOLUTIONS else sc.unavailable(classifier, name)
        if reason is None:
            remark = "" if isinstance(method.kind, sc.SharedPass) else f" — {method.cost_text}"
            expect(option).to_have_text(f"{method.title}{remark}")
            expect(option).to_be_enabled()
        else:
            expect(option).to_have_text(re.compile(f"^{re.escape(method.title)} — "))
            expect(option).to_be_disabled()
            expect(option).to_have_attribute("title", reason)
    expect(picker.locator("option[value=normgrad_proper]")).to_contain_text("add one with Layers")
    assert ADD_CONVOLUTION in picker.evaluate("select => select.ariaDescription")
    page.get_by_test_id("about-button-left").click()
    sheet, shown = page.get_by_test_id("about-left"), sc.METHODS["normgrad"]
    for text in (shown.title, shown.summary, shown.cost_text, ADD_CONVOLUTION):
        expect(sheet).to_contain_text(text)
    assert sheet.locator("math").bounding_box()["width"] > 20
    link = sheet.get_by_role("link", name=shown.reference)
    assert link.get_attribute("href") == shown.url
    assert link.get_attribute("rel") == "noopener"
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_a_method_without_maps_waits_in_its_panel_while_the_other_one_stays_alive(
    app_url: str, page: Page
) -> None:
    page.goto(f"{app_url}/compare?photo=chelsea&right=normgrad")
    viewer(page)
    states = page.get_by_test_id("method-left").evaluate(
        """async select => {
          select.value = 'guided_backprop';
          select.dispatchEvent(new Event('change', { bubbles: true }));
          await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
          const root = select.getRootNode();
          const stages = root.querySelectorAll('[data-testid=stage-left], [data-testid=stage-right]');
          return [...stages].map(stage => stage.dataset.state);
        }"""
    )
    assert states == ["waiting", "map"]
    expect(page.get_by_test_id("stage-left")).to_have_attribute("data-state", "map")
    expect(page.get_by_test_id("caption-left")).to_contain_text("Guided backprop · blocks.")
