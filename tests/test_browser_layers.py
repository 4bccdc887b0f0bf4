"""Any layer of the network in the viewer: picked by name, drawn, mixed, kept and removed."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

import saliency_core as sc
from tests.browser_helpers import SAMPLES, assert_drawn, complaints, view, viewer


def pick(page: Page, *names: str) -> None:
    """Add layers by typing their names."""
    page.get_by_test_id("layers").click()
    for name in names:
        page.get_by_test_id("layer-search").fill(name)
        option = page.get_by_test_id(f"layer-option-{name}")
        while "active" not in (option.get_attribute("class") or ""):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(option).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("layers-sheet")).to_be_hidden()


def column(page: Page, layer: str) -> Locator:
    return page.get_by_test_id(f"thumb-left-{layer}")


def test_layers_are_picked_by_name_drawn_mixed_kept_and_removed(app_url: str, page: Page) -> None:
    trouble = complaints(page)
    classifier, image = sc.load_classifier(), sc.open_image(SAMPLES / "coffee.png")
    layers = ["input", *classifier.default_layers[:-1], "conv_head", "bn2"]
    explanation = sc.explain(classifier, image, layers=layers, methods=["gradient", "normgrad_proper"])

    page.goto(f"{app_url}/compare?photo=coffee&right=gradient&layer=bn2")
    viewer(page)
    expect(page.get_by_test_id("depth-name")).to_contain_text("Stage 8 of 8")
    proper = page.get_by_test_id("method-left").locator("option[value=normgrad_proper]")
    expect(proper).to_be_disabled()
    pick(page, "conv_head", "input")
    column(page, "input").click()
    expect(page.get_by_test_id("caption-right")).to_contain_text("input · 224 × 224")
    assert_drawn(page, "right", explanation.resized("gradient", "input", size=(448, 448)))

    expect(proper).to_be_enabled()
    page.get_by_test_id("method-left").select_option("normgrad_proper")
    note = page.get_by_test_id("stage-left")
    expect(note).to_have_attribute("data-state", "empty")
    expect(note).to_contain_text("NormGrad of the layer has no map at input")
    column(page, "conv_head").click()
    expect(note).to_have_attribute("data-state", "map")
    assert_drawn(page, "left", explanation.resized("normgrad_proper", "conv_head", size=(448, 448)))

    page.wait_for_url(re.compile("left=normgrad_proper.*layer=conv_head"))  # the server knows it
    page.get_by_role("link", name="Mix layers").click()
    expect(page.get_by_test_id("weight-conv_head")).to_be_visible()
    expect(page.get_by_test_id("caption-left")).to_contain_text("product of 1 layer")
    page.wait_for_url(re.compile("layers=input~conv_head"))
    page.reload()
    expect(page.get_by_test_id("weight-input")).to_be_visible()
    assert view(page)["layers"] == ["input", "conv_head"]
    assert set(view(page)["weights"].values()) == {1}

    page.get_by_role("link", name="Compare").click()
    page.get_by_test_id("remove-layer-conv_head").click()
    expect(column(page, "conv_head")).to_have_count(0)
    expect(page.get_by_test_id("caption-left")).to_contain_text("bn2")
    expect(page.get_by_test_id("method-left")).not_to_have_value("normgrad_proper")
    page.wait_for_url(lambda url: "layers=input&" in f"{url}&")
    assert trouble == []
