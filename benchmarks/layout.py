"""Layout shift: how far the content of every page jumps, action by action, in headless Chromium."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from pages.shared.registry import PAGES
from tools.layout_shift import BOUND, RECORD, Meter, page_changes, shifts
from tools.serving import CHROMIUM_FLAGS, START_SECONDS, find_chromium, running_app


def table() -> str:
    """Every action on every page with its score, as a Markdown table."""
    lines = [f"| page | action | layout shift (bound {BOUND}) |", "|---|---|---|"]
    expect.set_options(timeout=1000 * START_SECONDS)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(Path(folder) / "server.log") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(CHROMIUM_FLAGS))
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(1000 * START_SECONDS)
        context.add_init_script(RECORD)
        meter = Meter(context.new_page())
        for entry in PAGES:
            for shift in shifts(meter, address, entry.slug, Path(folder)):
                lines.append(f"| {shift.page} | {shift.action} | {shift.score:.4f} |")
        for shift in page_changes(meter, address):
            lines.append(f"| {shift.page} | {shift.action} | {shift.score:.4f} |")
        browser.close()
    return "\n".join(lines)
