"""How far a page's content jumps: the cumulative layout shift of Chromium, for every page and action.

The score of one shift is the share of the window that moved times how far it moved, in shares of the window's
longer side (https://web.dev/articles/cls). Here every shift counts, also within half a second of a click:
what a person does in this app opens nothing above or beside what is being looked at, so nothing has a reason
to move. Scrolling is no shift, and neither is what appears where nothing was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from pages.shared.registry import ASSETS, PAGES, PageEntry, entry_of

LONG_METHOD = "integrated_gradients"
"""The quickest of the methods of many passes, each of which is a background task."""

BOUND = 0.02
"""The largest sum of shifts that one action may cause."""

RECORD = """
(() => {
  const where = ({x, y, width, height}) => [x, y, width, height].map(Math.round).join(' ');
  const name = node => node === null ? 'in a component' : `${node.tagName ?? node.parentElement?.tagName}`
    + `.${node.getAttribute?.('data-testid') ?? ''}.${node.className?.toString?.() ?? ''}`;
  window.shifts = [];
  window.lastShift = performance.now();
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) {
      window.lastShift = performance.now();
      window.shifts.push({value: entry.value, at: entry.startTime, sources: entry.sources.map(
        source => `${name(source.node)}: ${where(source.previousRect)} -> ${where(source.currentRect)}`)});
    }
  }).observe({type: 'layout-shift', buffered: true});
})();
"""
"""Notes every shift from the first paint on; an init script of the page."""

QUIET = """() => {
  const waiting = ['skeleton', 'charts-skeleton', 'progress'].map(name => `[data-testid=${name}]`).join();
  const busy = document.querySelector(waiting)
    || document.querySelector('[data-testid=stApp]')?.dataset.testScriptState !== 'notRunning';
  const now = performance.now();
  window.quietSince = busy ? now : Math.max(window.quietSince ?? now, window.lastShift);
  return now - window.quietSince > 400;
}"""
"""Whether nothing has been computed, drawn or moved for a moment."""


@dataclass(frozen=True)
class Shift:
    """What moved during one action: the sum of the scores, and what moved from where to where."""

    page: str
    action: str
    score: float
    sources: tuple[str, ...]


class Meter:
    """Measures the actions on one browser page, which must have the init script `RECORD`."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def settle(self) -> None:
        """Wait until the page rests."""
        self.page.wait_for_function(QUIET, polling=50)

    def measure(self, where: str, action: str, act: Callable[[], object]) -> Shift:
        """Do something, wait until the page rests, and say what has moved."""
        self.page.evaluate("() => { window.shifts = []; window.quietSince = undefined; }")
        act()
        self.settle()
        return self.shift(where, action)

    def visit(self, where: str, url: str) -> Shift:
        """Open an address afresh."""
        self.page.goto(url)
        _drawn(self.page)
        self.settle()
        return self.shift(where, "first load")

    def shift(self, where: str, action: str) -> Shift:
        """What has moved since the last action began, or since the page was opened."""
        found = self.page.evaluate("window.shifts")
        sources = tuple(f"{each['value']:.4f}: {'; '.join(each['sources'])}" for each in found)
        return Shift(where, action, sum(each["value"] for each in found), sources)


def shifts(meter: Meter, app_url: str, slug: str, folder: Path) -> Iterator[Shift]:
    """Every action on a page, each with what has moved; uploads are written to `folder`."""
    entry = entry_of(slug)
    yield meter.visit(entry.title, f"{app_url}/{slug}")
    for action, act in _actions(meter.page, entry, folder).items():
        yield meter.measure(entry.title, action, act)


def page_changes(meter: Meter, app_url: str) -> Iterator[Shift]:
    """From the first page through all others and back."""
    meter.visit(PAGES[0].title, f"{app_url}/{PAGES[0].slug}")
    for entry in (*PAGES[1:], PAGES[0]):
        yield meter.measure(entry.title, "page change", partial(_open, meter.page, entry.tab or entry.title))


def _actions(page: Page, entry: PageEntry, folder: Path) -> dict[str, Callable[[], None]]:
    """What a person can do on a page, in words, and how."""
    classes, pictures = page.get_by_test_id("class"), page.get_by_test_id("photo")
    method = page.locator("select.method").first

    def choose_class() -> None:
        classes.nth(1).click()
        expect(classes.nth(1)).to_have_attribute("aria-pressed", "true")

    def choose_photo() -> None:
        pictures.nth(3).click()
        expect(pictures.nth(3)).to_have_attribute("aria-pressed", "true")

    def scrub() -> None:
        page.get_by_test_id("depth").first.focus()
        for key in ("Home", "ArrowRight", "ArrowRight", "End"):
            page.keyboard.press(key)

    def choose_map() -> None:
        cell = page.get_by_test_id("score-grad_cam-mix")
        cell.click()
        expect(cell).to_have_attribute("aria-pressed", "true")

    def choose_method() -> None:
        method.select_option("eigen_cam")

    def wait_for_task() -> None:
        method.select_option(LONG_METHOD)
        expect(page.get_by_test_id("map-left")).to_have_attribute("aria-label", re.compile("input"))
        expect(page.get_by_test_id("progress")).to_have_count(0)

    def step() -> None:
        page.locator(".st-key-meta label").click()
        expect(page.locator(".st-key-meta-size")).to_be_visible()

    def no_step() -> None:
        page.locator(".st-key-meta label").click()
        expect(page.locator(".st-key-meta-size")).to_have_count(0)

    def add() -> None:
        file = folder / f"{entry.slug}.png"
        size = (420, 300 + PAGES.index(entry))  # another photo on every page
        Image.open(ASSETS / "samples" / "coffee.png").convert("RGB").resize(size).save(file)
        page.locator("input[type=file]").first.set_input_files(file)
        expect(page.get_by_alt_text(file.name).first).to_be_visible()

    found = {"change of class": choose_class, "change of photo": choose_photo}
    slug = entry.slug
    if slug not in ("mix", "evaluate"):
        found |= {"depth": scrub}
    if slug == "evaluate":
        found |= {"map of the table": choose_map}
    if slug in ("compare", "mix", "classes"):
        found |= {"change of method": choose_method}
    if slug == "compare":
        found |= {"a task begins and ends": wait_for_task, "back to a method": choose_method}
    if not entry.own_steps:
        found |= {"meta step on": step, "meta step off": no_step}
    return found | {"upload": add}


def _drawn(page: Page) -> None:
    """Wait until a viewer is to be seen: it is hidden while its page has its skeleton."""
    expect(page.get_by_test_id("normgrad-viewer").get_by_role("slider").first).to_be_visible()


def _open(page: Page, title: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=title).click()
    _drawn(page)
