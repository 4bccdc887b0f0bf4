"""The viewer: from a drag event to the painted frame, and what a drag sends, in headless Chromium."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.measure import Row
from tools.serving import CHROMIUM_FLAGS, START_SECONDS, find_chromium, running_app

FRAME_MS = 1000 / 60
STEPS = 120
FIRST_VIEW_SECONDS = 10

# From the event's own time stamp to the first task after the frame in which it was drawn.
WATCH = """(element, kind) => {
  const found = window.dragTimes = [];
  element.addEventListener(kind, event => {
    const begun = event.timeStamp;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => found.push(performance.now() - begun);
      channel.port2.postMessage(0);
    });
  }, { capture: true });
}"""


def rows() -> Iterator[Row]:
    """First view, then drags on the mix page and scrubs on the others, each in one session."""
    chromium, started = find_chromium(), time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(Path(folder) / "server.log") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        sent: list[object] = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
        _open(page, f"{address}/compare")
        first = time.monotonic() - started
        yield Row(
            "App: server's start to the first rendered explanation",
            f"{first:.1f} s",
            f"≤ {FIRST_VIEW_SECONDS} s",
            first <= FIRST_VIEW_SECONDS,
        )
        for what, path, slider in (
            ("drag a layer's weight, 8 layers × 2 panels of 448 px", "mix", "weight-blocks.4"),
            ("scrub the depth, 2 panels of 448 px", "compare", "depth"),
            ("scrub the framework table, 20 cells", "framework", "depth"),
        ):
            _open(page, f"{address}/{path}")
            milliseconds, messages = _drag(page, slider, sent)
            value = f"{statistics.median(milliseconds):.1f} ms"
            met = statistics.median(milliseconds) <= FRAME_MS
            yield Row(f"Viewer: {what}, event → painted frame", value, f"≤ {FRAME_MS:.1f} ms", met)
            yield Row(f"Viewer: {what}, messages to the server", str(messages), "0", messages == 0)
        _open(page, f"{address}/evaluate?photo=coffee&cells=1")
        milliseconds, messages = _draw_box(page, sent)
        what = "draw a box, every method × layer scored"
        middle, most = statistics.median(milliseconds), statistics.quantiles(milliseconds, n=10)[-1]
        value = f"{middle:.1f} ms (9 of 10: {most:.1f})"
        yield Row(f"Viewer: {what}, event → painted frame", value, f"≤ {FRAME_MS:.1f} ms", middle <= FRAME_MS)
        yield Row(f"Viewer: {what}, messages to the server", str(messages), "0", messages == 0)
        browser.close()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_function(
        """() => [...document.querySelectorAll('*')].some(host => {
             const captions = host.shadowRoot?.querySelectorAll('.caption') ?? [];
             return [...captions].some(caption => caption.textContent.includes('%'));
           })""",
        timeout=START_SECONDS * 1000,
    )


def _drag(page: Page, test_id: str, sent: list[object]) -> tuple[list[float], int]:
    """Milliseconds per painted drag event, and the messages sent between press and release."""
    slider = page.get_by_test_id(test_id)
    slider.scroll_into_view_if_needed()
    slider.evaluate(WATCH, "input")
    box = slider.bounding_box()
    if box is None:
        raise RuntimeError(f"the slider {test_id} is not on the page")
    y = box["y"] + box["height"] / 2
    value, most = float(slider.input_value()), float(slider.get_attribute("max") or 1)
    page.mouse.move(box["x"] + 8 + (box["width"] - 16) * value / most, y)
    page.mouse.down()
    before = len(sent)
    for step in range(STEPS):
        share = abs((2 * step / STEPS) % 2 - 1)
        page.mouse.move(box["x"] + 8 + (box["width"] - 16) * share, y)
    times: list[float] = page.evaluate("window.dragTimes")
    messages = len(sent) - before
    page.mouse.up()
    return times, messages


def _draw_box(page: Page, sent: list[object]) -> tuple[list[float], int]:
    """Milliseconds per painted move of the pointer that draws a box, and the messages sent meanwhile."""
    area = page.get_by_test_id("stage-point")
    area.evaluate(WATCH, "pointermove")
    box = area.bounding_box()
    if box is None:
        raise RuntimeError("the photo is not on the page")
    x, y, side = box["x"] + 20, box["y"] + 20, min(box["width"], box["height"]) - 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 30)
    before = len(sent)
    page.evaluate("window.dragTimes.length = 0")
    for step in range(STEPS):
        share = 0.2 + 0.8 * abs((2 * step / STEPS) % 2 - 1)
        page.mouse.move(x + share * side, y + share * side)
    times: list[float] = page.evaluate("window.dragTimes")
    messages = len(sent) - before
    page.mouse.up()
    return times, messages
