"""Every page can be read: an audit with axe finds nothing serious, and no text is too small."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from pages.shared.registry import PAGES, entry_of
from tests.browser_helpers import complaints, viewer
from tools.layout_shift import QUIET

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SMALLEST_TEXT, LECTURE_TEXT = 12.5, 18

STREAMLITS_OWN = {
    ("scrollable-region-focusable", "st-key-class-"): "a chart's container takes no tabindex; browsers give "
    "what scrolls the focus by themselves, and a table below has the same numbers",
    ("presentation-role-conflict", "stFileUploaderDropzone"): "the area onto which files are dropped has a "
    "role that says nothing, and a name; the button inside it does the same and is announced",
}
"""Rule and a part of the element -> why it is not mended: Streamlit draws it and has no option for it."""

ALSO = ["heading-order", "presentation-role-conflict"]
"""Rules that must hold too, though axe does not call their findings serious."""

AUDIT = """async also => {
  const {violations} = await axe.run(document, {resultTypes: ['violations']});
  const counts = each => ['serious', 'critical'].includes(each.impact) || also.includes(each.id);
  return violations.filter(counts).flatMap(each =>
    each.nodes.map(node => ({rule: each.id, help: each.help, where: node.target.flat().join(' > '),
      html: node.html, more: node.failureSummary})));
}"""
"""Findings that count; axe looks into the components' shadow trees as well."""


@pytest.fixture
def audited(page: Page) -> Page:
    """An empty tab, 1440 x 900, for :func:`findings`."""
    assert AXE.exists(), "axe-core is not installed: .ci/node installs it"
    page.set_viewport_size(WIDE)
    return page


def findings(page: Page) -> dict[str, str]:
    """Where something is found -> what it is; without what Streamlit itself draws."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    return {
        f"{found['rule']} at {found['where']}": f"{found['html']}: {found['more']}"
        for found in page.evaluate(AUDIT, ALSO)
        if not any(
            found["rule"] == rule and part in found["where"] + found["html"] for rule, part in STREAMLITS_OWN
        )
    }


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


PARTS = {
    # A small network is soon done.
    "evaluate?part=insertion-deletion&model=timm:test_resnet.random": "csv-insertion-deletion",
    "evaluate?part=randomise&model=timm:test_resnet.random": "csv-randomised",
    "evaluate?part=photo-set": "set-evaluate",
}
"""Parts of a page without a viewer -> the key of what they draw last."""


@pytest.mark.parametrize("address", [*(entry.slug for entry in PAGES), *PARTS])
def test_a_page_has_its_frame_and_axe_finds_nothing_serious_in_both_themes_and_on_a_phone_or_in_a_lecture(
    app_url: str, audited: Page, address: str
) -> None:
    page = audited
    trouble = complaints(page)
    page.goto(f"{app_url}/{address}")
    entry = entry_of(address.partition("?")[0])
    expect(page.get_by_role("heading", name=entry.title, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Model")).to_be_visible()
    expect(page).to_have_title(re.compile(f"{entry.title} · NormGrad Studio"))
    if address in PARTS:
        expect(page.locator(f".st-key-{PARTS[address]}")).to_be_visible(timeout=180_000)
    else:
        viewer(page)
    assert trouble == []
    small: list[str] = []
    found: dict[str, str] = {}
    for window, theme in ((WIDE, "light"), (WIDE, "dark"), (NARROW, "dark")):
        page.set_viewport_size(window)
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(QUIET, polling=50)
        found |= findings(page)
        small += page.evaluate(SMALL_TEXT, SMALLEST_TEXT)
    page.set_viewport_size(WIDE)
    page.keyboard.press("l")
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    page.wait_for_url(re.compile("present=1"))
    with contextlib.suppress(TimeoutError):  # charts come from the server; what stays small is shown below
        page.wait_for_function(f"size => ({SMALL_TEXT})(size).length === 0", arg=LECTURE_TEXT, polling=200)
    small += page.evaluate(SMALL_TEXT, LECTURE_TEXT)
    assert (found, small) == ({}, [])


def test_axe_finds_nothing_in_the_dialog_of_models_in_both_themes_and_on_a_phone(
    app_url: str, audited: Page
) -> None:
    page = audited
    page.goto(f"{app_url}/compare")
    viewer(page)
    page.get_by_test_id("change-model").click()
    dialog = page.get_by_test_id("models-dialog")
    expect(dialog.get_by_role("option").first).to_be_visible()
    found: dict[str, str] = {}
    for window, theme in ((WIDE, "light"), (WIDE, "dark"), (NARROW, "dark")):
        page.set_viewport_size(window)
        page.emulate_media(color_scheme=theme)
        expect(dialog).to_be_visible()
        found |= findings(page)
    page.get_by_test_id("own-network").click()
    expect(page.get_by_test_id("checkpoint")).to_be_attached()
    found |= findings(page)
    assert found == {}
