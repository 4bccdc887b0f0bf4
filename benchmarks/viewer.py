"""The viewer: from a drag event to the painted frame, and what a drag sends, in headless Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.measure import Row

ROOT = Path(__file__).parent.parent
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FRAME_MS = 1000 / 60
STEPS = 120
START_SECONDS = 60
FIRST_VIEW_SECONDS = 10

# From the event's own time stamp to the first task after the frame in which it was drawn.
WATCH = """element => {
  const found = window.dragTimes = [];
  element.addEventListener('input', event => {
    const begun = event.timeStamp;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => found.push(performance.now() - begun);
      channel.port2.postMessage(0);
    });
  }, { capture: true });
}"""


@contextmanager
def running_app() -> Iterator[tuple[str, float]]:
    """The app on a free port: its address, and the moment it was started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ["--server.address", "127.0.0.1", "--server.port", str(port)]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", *options]
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            while not _healthy(address):
                if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                    log.seek(0)
                    raise RuntimeError(f"the app did not start:\n{log.read().decode(errors='replace')}")
                time.sleep(0.05)
            yield address, started
        finally:
            process.terminate()
            process.wait(timeout=10)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as reply:
            return bool(reply.read() == b"ok")
    except (urllib.error.URLError, ConnectionError):
        return False


def _chromium() -> str:
    named = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not (named or found):
        raise RuntimeError("no Chromium was found; install it or name one with CHROMIUM=/path/to/chromium")
    return named or str(found)


def rows() -> Iterator[Row]:
    """First view, then drags on the mix page and scrubs on the compare page, each in one session."""
    with running_app() as (address, started), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
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
        ):
            _open(page, f"{address}/{path}")
            milliseconds, messages = _drag(page, slider, sent)
            value = f"{statistics.median(milliseconds):.1f} ms"
            met = statistics.median(milliseconds) <= FRAME_MS
            yield Row(f"Viewer: {what}, event → painted frame", value, f"≤ {FRAME_MS:.1f} ms", met)
            yield Row(f"Viewer: {what}, messages to the server", str(messages), "0", messages == 0)
        browser.close()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_function(
        """() => [...document.querySelectorAll('*')].some(host =>
             host.shadowRoot?.querySelector('[data-testid=caption-left]')?.textContent.includes('%'))""",
        timeout=START_SECONDS * 1000,
    )


def _drag(page: Page, test_id: str, sent: list[object]) -> tuple[list[float], int]:
    """Milliseconds per painted drag event, and the messages sent between press and release."""
    slider = page.get_by_test_id(test_id)
    slider.scroll_into_view_if_needed()
    slider.evaluate(WATCH)
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
