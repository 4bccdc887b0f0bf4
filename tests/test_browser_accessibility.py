"""An audit of every page with axe: nothing that people who need help with seeing or pointing stumble over."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from pages.shared.registry import PAGES
from tests.browser_helpers import viewer
from tools.layout_shift import QUIET, RECORD

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
WINDOWS = ({"width": 1440, "height": 900}, {"width": 390, "height": 844})
THEMES = ("light", "dark")

STREAMLITS_OWN = {
    ("scrollable-region-focusable", "st-key-class-"): "a chart's container takes no tabindex; browsers give "
    "what scrolls the focus by themselves, and a table below has the same numbers",
}
"""Rule and a part of the element -> why it is not mended: Streamlit draws it and has no option for it."""

AUDIT = """async () => {
  const {violations} = await axe.run(document, {resultTypes: ['violations']});
  return violations.filter(each => ['serious', 'critical'].includes(each.impact)).flatMap(each =>
    each.nodes.map(node => ({rule: each.id, help: each.help, where: node.target.flat().join(' > '),
      html: node.html, more: node.failureSummary})));
}"""
"""Serious and critical findings; axe looks into the components' shadow trees as well."""


def findings(page: Page) -> dict[str, str]:
    """Where something is found -> what it is; without what Streamlit itself draws."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return {
        f"{found['rule']} at {found['where']}": f"{found['html']}: {found['more']}"
        for found in page.evaluate(AUDIT)
        if not any(
            found["rule"] == rule and part in found["where"] + found["html"] for rule, part in STREAMLITS_OWN
        )
    }


@pytest.mark.parametrize("slug", [entry.slug for entry in PAGES])
def test_axe_finds_nothing_serious_on_a_page_in_both_themes_and_on_a_phone(
    app_url: str, browser: Browser, slug: str
) -> None:
    assert AXE.exists(), "axe-core is not installed: .ci/node installs it"
    context = browser.new_context(viewport=WINDOWS[0], bypass_csp=True)  # the audit is a script of its own
    context.add_init_script(RECORD)
    page = context.new_page()
    page.goto(f"{app_url}/{slug}")
    viewer(page)
    found: dict[str, str] = {}
    for window in WINDOWS:
        page.set_viewport_size(window)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(QUIET, polling=50)
            found |= findings(page)
    context.close()
    assert found == {}
