"""Boxes on the photo, and the table that follows them, as a person uses them."""

from __future__ import annotations

import re

import numpy as np
from playwright.sync_api import Page, expect

import saliency_core as sc
from tests.browser_helpers import SAMPLES, complaints, view, viewer

OBJECT = (170, 14, 412, 312)  # assets/samples/objects.json


def score(page: Page, method: str, column: str) -> str:
    return page.get_by_test_id(f"score-{method}-{column}").get_attribute("aria-label") or ""


def share_inside(explanation: sc.Explanation, box: tuple[float, ...], layer: str) -> float:
    left, top, right, bottom = explanation.box
    across, down = right - left, bottom - top
    fractions = (
        (box[0] - left) / across,
        (box[1] - top) / down,
        (box[2] - left) / across,
        (box[3] - top) / down,
    )
    found = sc.energy_inside(explanation.map("normgrad", layer), [fractions], explanation.size)
    assert found is not None
    return found


def test_boxes_are_drawn_moved_and_removed_by_mouse_and_keys_and_the_table_follows(
    app_url: str, page: Page
) -> None:
    trouble = complaints(page)
    explanation = sc.explain(sc.load_classifier(), sc.open_image(SAMPLES / "coffee.png"), 967)
    page.goto(f"{app_url}/evaluate?photo=coffee&class=967")
    viewer(page)
    boxes, cell = page.get_by_test_id("box"), page.get_by_test_id("score-normgrad-blocks.4")
    expect(boxes).to_have_count(1)
    known = round(100 * share_inside(explanation, OBJECT, "blocks.4"))
    expect(cell).to_have_attribute("aria-label", re.compile(rf"hit, {known}% of its energy inside"))
    # A key moves the box by one hundredth of the photo's longer side; the address keeps it.
    boxes.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert view(page)["boxes"] == [[176, 14, 418, 318]]
    page.wait_for_url(lambda url: "boxes=176_14_418_318" in url)
    moved = round(100 * share_inside(explanation, (176, 14, 418, 318), "blocks.4"))
    expect(cell).to_have_attribute("aria-label", re.compile(f" {moved}% of its energy inside"))
    page.keyboard.press("Delete")
    expect(boxes).to_have_count(0)
    expect(page.get_by_test_id("point-finding")).to_contain_text("Draw a box")
    # A drag draws one; the stage shows the middle of the photo.
    stage, area = (page.get_by_test_id(each).bounding_box() for each in ("stage-point", "box-editor"))
    assert stage is not None
    assert area is not None
    page.mouse.move(stage["x"] + 50, stage["y"] + 40)
    page.mouse.down()
    page.mouse.move(stage["x"] + 90, stage["y"] + 60, steps=5)
    page.mouse.move(stage["x"] + 130, stage["y"] + 90)
    page.mouse.up()
    expect(boxes).to_have_count(1)
    expect(boxes.first).to_be_focused()
    scale, (x, y) = 600 / area["width"], (stage["x"] - area["x"], stage["y"] - area["y"])
    drawn = [scale * each for each in (x + 50, y + 40, x + 130, y + 90)]
    np.testing.assert_allclose(view(page)["boxes"][0], drawn, atol=2)
    # A cell shows its map, and a column's name sorts by it.
    page.get_by_test_id("score-grad_cam-blocks.2").click()
    expect(page.get_by_test_id("verdict")).to_have_text("Miss")
    shown = view(page)
    assert (shown["left"], shown["layer"], shown["mixed"]) == ("grad_cam", "blocks.2", False)
    page.get_by_test_id("sort-mix").click()
    expect(page.locator("[aria-sort=descending]")).to_contain_text("Mix")
    expect(page.get_by_test_id("score-normgrad-mix")).to_have_attribute("aria-label", re.compile("mixed: "))
    order = page.locator("[data-testid^=scores-]").evaluate_all(
        "rows => rows.map(row => row.querySelector('[data-testid$=-mix]').title.match(/([\\d.]+)% /)?.[1])"
    )
    shares = [float(each) for each in order if each is not None]
    assert shares == sorted(shares, reverse=True)
    # A reload keeps the box, and the object's own is one click away.
    page.wait_for_url(lambda url: "sort=mix" in url)
    page.reload()
    viewer(page)
    expect(boxes).to_have_count(1)
    page.get_by_test_id("object-boxes").click()
    cell.click()
    expect(cell).to_have_attribute("aria-label", re.compile(rf"hit, {known}% of its energy inside"))
    assert trouble == []
