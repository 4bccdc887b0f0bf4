"""Nothing jumps, and lecture mode fills the window: measured in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from pages.shared.registry import PAGES
from pages.shared.session import NO_PHOTO
from tests.browser_helpers import view, viewer
from tools.layout_shift import BOUND, QUIET, Meter, page_changes, shifts

LECTURE_WINDOWS = ((1280, 720), (1920, 1080))


@pytest.fixture
def meter(page: Page) -> Meter:
    """An empty tab, 1440 x 900, in which shifts are measured."""
    page.set_viewport_size({"width": 1440, "height": 900})
    return Meter(page)


@pytest.mark.parametrize("slug", [entry.slug for entry in PAGES])
def test_nothing_on_a_page_jumps_whatever_is_done(
    app_url: str, meter: Meter, tmp_path: Path, slug: str
) -> None:
    found = list(shifts(meter, app_url, slug, tmp_path))
    assert {shift.action: shift for shift in found if shift.score >= BOUND} == {}


def test_nothing_jumps_when_the_page_changes(app_url: str, meter: Meter) -> None:
    found = list(page_changes(meter, app_url))
    assert {shift.page: shift for shift in found if shift.score >= BOUND} == {}


def test_nothing_jumps_on_a_phone_while_a_page_arrives(app_url: str, meter: Meter) -> None:
    meter.page.set_viewport_size({"width": 390, "height": 844})
    found = [meter.visit(entry.title, f"{app_url}/{entry.slug}") for entry in PAGES]
    assert {shift.page: shift for shift in found if shift.score >= BOUND} == {}


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_nothing_jumps_when_the_font_and_the_scripts_of_simple_elements_come_last(
    app_url: str, meter: Meter, width: int, height: int
) -> None:
    page = meter.page
    page.set_viewport_size({"width": width, "height": height})
    held: list[Route] = []
    page.route(
        re.compile(r"/(Html|PageLink|FileUploader)\.[^/]*\.js|/inter[^/]*\.woff2"),
        lambda route: held.append(route),
    )
    page.goto(f"{app_url}/why", wait_until="commit")
    expect(page.get_by_test_id("normgrad-viewer").locator("input[type=range]").first).to_be_attached()
    font, *scripts = sorted(held, key=lambda route: "woff2" not in route.request.url)
    assert len(scripts) == 3
    for route in scripts:
        route.continue_()
        meter.settle()
    expect(page.get_by_role("heading", name="Why Grad-CAM fails")).to_be_visible()
    font.continue_()
    page.evaluate("document.fonts.ready")
    shift = meter.shift("Why", "scripts and font arrive")
    assert shift.score < BOUND, "\n".join(shift.sources)


def test_lecture_mode_keeps_large_maps_and_depth_in_view_and_the_arrow_keys_move_the_depth(
    app_url: str, meter: Meter
) -> None:
    page = meter.page
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{app_url}/compare?present=true&layer=blocks.3")
    viewer(page)
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    expect(page.get_by_test_id("stTopNavLink").first).to_be_visible()
    for width, height in LECTURE_WINDOWS:
        page.set_viewport_size({"width": width, "height": height})
        meter.settle()
        depth = page.get_by_test_id("depth").bounding_box()
        right = page.get_by_test_id("stage-right").bounding_box()
        assert depth["y"] + depth["height"] <= height
        assert right["x"] + right["width"] > width - 60
        assert right["height"] > 0.4 * height
        frame, region = (
            page.locator(f".panel .{name}").last.bounding_box() for name in ("object-boxes", "outline")
        )
        assert frame == pytest.approx(region, abs=2), "the object's box follows the size of the stage"
        assert page.evaluate("document.scrollingElement.scrollWidth") == width
    page.get_by_test_id("key-note-close").click()
    page.get_by_test_id("finding").click()  # which gives the focus to the scrolling area
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("caption-right")).to_contain_text("blocks.4")
    page.wait_for_url(re.compile("layer=blocks.4"))
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    page.wait_for_url(lambda url: "present" not in url)
    page.keyboard.press("l")
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    page.wait_for_url(re.compile("present=1"))
    assert view(page)["layer"] == "blocks.4"
    expect(page.get_by_test_id("key-note")).to_be_hidden()  # it was dismissed before


def test_the_keys_that_lecture_mode_names_choose_methods_and_walk_the_layers_on_every_page(
    app_url: str, page: Page
) -> None:
    page.goto(f"{app_url}/compare?present=1&layer=blocks.5")
    viewer(page)
    note = page.get_by_test_id("key-note")
    expect(note).to_contain_text("Method on the right")
    expect(note).to_contain_text("5Linear approximation")
    expect(page.get_by_role("status").filter(has_text="5: Linear approximation")).to_be_attached()
    page.keyboard.press("5")
    page.keyboard.press("Shift+Digit6")
    expect(page.get_by_test_id("caption-right")).to_contain_text("Linear approximation")
    expect(page.get_by_test_id("caption-left")).to_contain_text("Gradient · blocks.5")
    expect(note.locator("[data-state=shown]")).to_have_text("5Linear approximation")
    page.wait_for_url(re.compile("left=gradient&right=linear_approx"))
    page.get_by_test_id("layers").first.click()
    page.get_by_test_id("layer-search").fill("")
    page.keyboard.type("1?")  # into a field
    expect(page.get_by_test_id("layer-search")).to_have_value("1?")
    page.keyboard.press("Escape")
    assert view(page)["right"] == "linear_approx"
    expect(note).to_be_visible()
    page.get_by_test_id("stTopNavLink").filter(has_text="Mix").click()
    expect(page.get_by_test_id("caption-right")).to_contain_text("Linear approximation · product of")
    before = view(page)["weights"]
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile("weights="))
    weights = view(page)["weights"]
    assert list(weights.values()) == [0] * (len(weights) - 1) + [1]
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: "weights=" not in url)
    assert view(page)["weights"] == before
    page.get_by_test_id("stTopNavLink").filter(has_text="Framework").click()
    expect(page.get_by_test_id("framework-caption")).to_be_visible()
    expect(note).to_contain_text("4NormGrad 3 × 3")
    expect(note).not_to_contain_text("Grad-CAM")  # which is no cell
    page.keyboard.press("4")
    expect(page.get_by_test_id("cell-conv3x3-norm")).to_have_class(re.compile("previewed"))
    page.get_by_test_id("stTopNavLink").filter(has_text="Classes").click()
    expect(page.get_by_test_id("caption-first")).to_contain_text("Gradient")
    page.keyboard.press("7")
    expect(page.get_by_test_id("caption-first")).to_contain_text("Layer-CAM")
    page.keyboard.press("?")
    expect(note).to_be_hidden()


def test_an_embedded_page_shows_the_viewer_alone_with_its_keys_and_a_link_to_the_whole_page(
    app_url: str, page: Page
) -> None:
    page.route(
        f"{app_url}/outer",
        lambda route: route.fulfill(
            body='<iframe src="compare?embed=1&photo=coffee" style="border: 0"></iframe>',
            content_type="text/html",
        ),
    )
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(f"{app_url}/outer")
    inside = page.frame_locator("iframe")
    expect(inside.get_by_test_id("caption-right")).to_contain_text("Grad-CAM")
    frame = page.frames[1]
    around = "stSidebar", "stHeader", "stTopNav", "stExpandSidebarButton", "lecture"
    assert [name for name in around if inside.get_by_test_id(name).locator("visible=true").count()] == []
    for width, height in ((1280, 720), (800, 600)):
        page.locator("iframe").evaluate(f"frame => {{ frame.width = {width}; frame.height = {height}; }}")
        frame.wait_for_function(QUIET, polling=50)
        depth, stage, line = (
            frame.get_by_test_id(name).evaluate("element => element.getBoundingClientRect().toJSON()")
            for name in ("depth", "stage-right", "whole-page")
        )
        assert depth["bottom"] <= line["top"] < height
        assert stage["right"] > width - 20
        assert stage["top"] < 120
        assert stage["height"] > 0.4 * height
        assert frame.evaluate("document.scrollingElement.scrollWidth") == width
    inside.get_by_test_id("stage-right").click()
    page.keyboard.press("6")
    expect(inside.get_by_test_id("caption-right")).to_contain_text("Gradient")
    frame.wait_for_url(re.compile("embed=true.*right=gradient|right=gradient.*embed=true"))
    with page.expect_popup() as opened:
        inside.get_by_test_id("whole-page").click()
    expect(opened.value.get_by_test_id("stSidebar")).to_be_visible()
    expect(opened.value.get_by_test_id("caption-right")).to_contain_text("Gradient")
    assert "embed" not in opened.value.url
    page.goto(f"{app_url}/compare?embed=true&photo=gone")
    expect(page.get_by_text(NO_PHOTO).locator("visible=true")).to_have_count(1)


def test_typing_an_l_into_a_field_searches(app_url: str, page: Page) -> None:
    page.goto(f"{app_url}/compare?photo=coffee")
    viewer(page)
    page.get_by_test_id("class-search").click()
    page.keyboard.type("ladle")
    expect(page.get_by_role("option", name="ladle")).to_be_visible()
    expect(page.get_by_test_id("stSidebar")).to_be_visible()


def test_a_window_has_one_navigation_and_all_its_pages_are_in_view(app_url: str, meter: Meter) -> None:
    page = meter.page
    page.goto(f"{app_url}/compare")
    viewer(page)
    tabs, links = page.get_by_test_id("stTopNav"), page.locator(".st-key-phone-navigation")
    for width in (320, 390, 767, 768, 769):
        page.set_viewport_size({"width": width, "height": 844})
        meter.settle()
        expect(tabs.or_(links).filter(visible=True)).to_have_count(1)
        if links.is_visible():
            last = page.get_by_test_id("stPageLink-NavLink").last.bounding_box()
            assert last["x"] + last["width"] <= width
        assert page.evaluate("document.scrollingElement.scrollWidth") == width


def test_nothing_on_the_framework_page_leaves_a_window_of_320_pixels_sideways(
    app_url: str, meter: Meter
) -> None:
    page = meter.page
    page.set_viewport_size({"width": 320, "height": 844})
    page.goto(f"{app_url}/framework")
    viewer(page)
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
