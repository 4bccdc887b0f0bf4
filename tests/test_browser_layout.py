"""Nothing jumps, and lecture mode fills the window: measured in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pages.shared.registry import PAGES, PageEntry
from tests.browser_helpers import view, viewer
from tools.layout_shift import BOUND, RECORD, Meter, page_changes, shifts

LECTURE_TEXT = 18


@pytest.fixture
def meter(browser: Browser) -> Iterator[Meter]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(RECORD)
    yield Meter(context.new_page())
    context.close()


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


SMALL_TEXT = """size => {
  const texts = [];
  const walk = root => {
    for (const element of root.querySelectorAll('*')) {
      if (element.shadowRoot && !element.closest('.st-key-lecture')) walk(element.shadowRoot);
      if (element.closest('[data-testid=stHeader], .st-key-lecture')) continue; // small on purpose
      const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
      if (!own || !element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
      if (element.closest('style, script, option, [data-testid=stIconMaterial], math, .katex')) continue;
      const box = element.getBoundingClientRect();
      if (box.width < 2 || box.height < 2) continue; // for screen readers
      const found = parseFloat(getComputedStyle(element).fontSize);
      const name = `${element.tagName}.${element.className} ${element.textContent.slice(0, 40)}`;
      if (found < size) texts.push(`${found} px: ${name}`);
    }
  };
  walk(document);
  return [...new Set(texts)];
}"""
"""All visible texts in the page's body smaller than a size in pixels; formulas have smaller indices."""


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.slug)
def test_no_text_is_too_small(app_url: str, page: Page, entry: PageEntry) -> None:
    page.goto(f"{app_url}/{entry.slug}")
    viewer(page)
    assert page.evaluate(SMALL_TEXT, 12.5) == []
    page.keyboard.press("l")
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    page.wait_for_url(re.compile("present=1"))
    assert page.evaluate(SMALL_TEXT, LECTURE_TEXT) == []


@pytest.mark.parametrize("window", [{"width": 1280, "height": 720}, {"width": 1920, "height": 1080}])
def test_lecture_mode_keeps_maps_and_depth_in_view_and_the_arrow_keys_move_the_depth(
    app_url: str, page: Page, window: dict[str, int]
) -> None:
    page.set_viewport_size(window)
    page.goto(f"{app_url}/compare?present=true&layer=blocks.3")
    viewer(page)
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    expect(page.get_by_test_id("stTopNavLink").first).to_be_visible()
    depth = page.get_by_test_id("depth").bounding_box()
    right = page.get_by_test_id("stage-right").bounding_box()
    assert depth["y"] + depth["height"] <= window["height"]
    assert right["x"] + right["width"] > window["width"] - 60
    assert page.evaluate("document.scrollingElement.scrollWidth") == window["width"]
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


def test_typing_an_l_into_a_field_searches_and_a_link_is_copied(app_url: str, browser: Browser) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{app_url}/compare?photo=coffee")
    viewer(page)
    search = page.get_by_test_id("stSidebar").get_by_role("combobox").last
    search.click()
    page.keyboard.type("ladle")
    expect(page.get_by_role("option", name="ladle")).to_be_visible()
    expect(page.get_by_test_id("stSidebar")).to_be_visible()
    page.keyboard.press("Escape")
    button = page.locator(".st-key-lecture").get_by_test_id("copy-link")
    button.click()
    expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    context.close()


@pytest.mark.parametrize("width", [320, 390, 767, 768, 769])
def test_a_window_has_one_navigation_and_all_its_pages_are_in_view(
    app_url: str, page: Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{app_url}/compare")
    viewer(page)
    rows = [page.get_by_test_id("stTopNav"), page.locator(".st-key-phone-navigation")]
    assert sum(row.is_visible() for row in rows) == 1
    if rows[1].is_visible():
        last = page.get_by_test_id("stPageLink-NavLink").last.bounding_box()
        assert last["x"] + last["width"] <= width
    assert page.evaluate("document.scrollingElement.scrollWidth") == width


def test_nothing_on_the_framework_page_leaves_a_window_of_320_pixels_sideways(
    app_url: str, page: Page
) -> None:
    page.set_viewport_size({"width": 320, "height": 844})
    page.goto(f"{app_url}/framework")
    viewer(page)
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
