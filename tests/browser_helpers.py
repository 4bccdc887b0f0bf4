"""What the browser tests share: reading the viewer, the colours really drawn, uploads, drags, messages."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

import saliency_core as sc
from saliency_core.combine import resize

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "assets" / "samples"
PANEL_SIZE = (448, 448)
PATIENCE_MS = 120_000
NO_MIRROR = "127.0.0.1:9"
"""Where the shared server looks for weights: nobody answers there, so that no test depends on the network."""
UNEXPECTED_ERROR = "failed, error"
"""What the log says of an error that is not meant for users; see `saliency_core.engine.failures`."""


def expect_no_unexpected_error(log: Path, start: int = 0) -> None:
    """Fail if a server's log has, from the byte `start` on, an error that is not meant for users."""
    printed = log.read_bytes()[start:].decode(errors="replace")
    assert UNEXPECTED_ERROR not in printed, f"the server met an unexpected error:\n{printed[-20_000:]}"


@contextmanager
def opened_profile(browser: Browser, **options: object) -> Iterator[BrowserContext]:
    """A profile with one process for all its tabs: the scripts of the app are read and compiled once.

    Its first tab shows an empty page of the app's host: a process ends with the last tab of its host.
    """
    profile = browser.new_context(**options)
    profile.set_default_timeout(PATIENCE_MS)  # clicks wait as long as expectations do
    first = profile.new_page()
    first.route("**/*", lambda route: route.fulfill(body=""))
    first.goto("http://127.0.0.1/")
    yield profile
    profile.close()


@contextmanager
def opened_tab(profile: BrowserContext) -> Iterator[Page]:
    """An empty tab; of what it does, its profile remembers only the files that were loaded."""
    first, page = profile.pages[0], profile.new_page()
    yield page
    for each in profile.pages:
        if each != first:
            if each.url.startswith("http"):
                each.evaluate("localStorage.clear()")
            each.close()
    profile.clear_cookies()
    profile.clear_permissions()


def viewer(page: Page) -> Locator:
    """The viewer, once it shows an explanation."""
    found = page.get_by_test_id("normgrad-viewer")
    names = ("caption-first", "framework-caption", "caption-grad_cam", "caption-point")
    caption = reduce(Locator.or_, map(page.get_by_test_id, names), page.get_by_test_id("caption-left"))
    expect(caption).to_contain_text(re.compile("%|every class"))
    expect(found).to_be_visible()  # hidden until the page replaces its skeleton
    return found


def view(page: Page) -> dict:
    """What the viewer shows, as it says itself."""
    return viewer(page).evaluate("element => element.normgradViewer.view()")


def pixels(page: Page, name: str) -> np.ndarray:
    """The colours really drawn on the canvas `map-{name}`, (H, W, 4): red, green, blue, opacity."""
    encoded = page.get_by_test_id(f"map-{name}").evaluate("canvas => canvas.toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(encoded.split(",")[1])))
    return np.asarray(image.convert("RGBA")).astype(int)


def assert_drawn(
    page: Page,
    name: str,
    values: np.ndarray,
    *,
    signed: bool = False,
    colormap: str = "magma",
    fade: bool = True,
) -> None:
    """The map drawn equals the values within 2 of 255 levels.

    Coloured from the least value to the greatest, or, with a sign, in blue and red up to the 99th percentile
    of the absolute values; faded ones have an opacity that rises with the (absolute) value.
    """
    low, high = float(values.min()), float(values.max())
    if signed:
        high = float(np.percentile(np.abs(values), 99, method="inverted_cdf"))
        low = -high
    unit = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    levels = np.floor(unit * 255 + 0.5).astype(int)
    colors = sc.render.COLORMAPS["coolwarm" if signed else colormap].table.astype(float)
    share = np.linspace(0, 1, 256)
    opacity = np.rint(255 * (np.abs(2 * share - 1) if signed else share)) if fade else np.full(256, 255.0)
    table = _premultiplied(np.column_stack([colors, opacity]))
    drawn = _premultiplied(pixels(page, name).astype(float))
    distances = [np.abs(drawn - table[np.clip(levels + shift, 0, 255)]).max(axis=2) for shift in range(-2, 3)]
    assert np.min(distances, axis=0).max() < 1.5  # canvases keep colours multiplied by their opacity, rounded


def assert_map_drawn(page: Page, name: str, explanation: sc.Explanation, method: str, layer: str) -> None:
    """The panel shows this map of the explanation."""
    values = resize(explanation.map(method, layer), PANEL_SIZE)
    assert_drawn(page, name, values, signed=sc.METHODS[method].signed)


def _premultiplied(rgba: np.ndarray) -> np.ndarray:
    """Colours (…, 4) as a canvas keeps them: the less opaque one is, the fewer levels it has."""
    return np.concatenate([rgba[..., :3] * rgba[..., 3:] / 255, rgba[..., 3:]], axis=-1)


def photo_file(path: Path, size: tuple[int, int] = (500, 375), source: str = "coffee.png") -> Path:
    Image.open(SAMPLES / source).convert("RGB").resize(size).save(path)
    return path


def upload(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").first.set_input_files([str(file) for file in files])


def complaints(page: Page) -> list[str]:
    """Errors on the console and failed requests, from now on."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def sent_messages(page: Page) -> list[object]:
    """Websocket frames from the browser to the server, from the next visit on."""
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    return sent


def drag(page: Page, slider: Locator, share: float, *, release: bool = True) -> None:
    """Drag a range input with the mouse to a share of its width, in many small steps."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    current = float(slider.input_value()) / float(slider.get_attribute("max"))
    inner, y = box["width"] - 16, box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 8 + current * inner, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 8 + share * inner, y, steps=25)
    if release:
        page.mouse.up()
