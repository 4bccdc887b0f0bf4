"""What the browser tests share: reading the viewer, the colours really drawn, uploads, drags, messages."""

from __future__ import annotations

import base64
import io
from functools import reduce
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import saliency_core as sc

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "assets" / "samples"


def viewer(page: Page) -> Locator:
    """The viewer, once it shows an explanation."""
    found = page.get_by_test_id("normgrad-viewer")
    names = ("caption-first", "framework-caption", "caption-grad_cam")
    caption = reduce(Locator.or_, map(page.get_by_test_id, names), page.get_by_test_id("caption-left"))
    expect(caption).to_contain_text("%")
    expect(caption).to_be_visible()  # hidden until the page replaces its skeleton
    return found


def view(page: Page) -> dict:
    """What the viewer shows, as it says itself."""
    return viewer(page).evaluate("element => element.normgradViewer.view()")


def pixels(page: Page, name: str) -> np.ndarray:
    """The colours really drawn on the canvas `map-{name}`, (H, W, 3)."""
    encoded = page.get_by_test_id(f"map-{name}").evaluate("canvas => canvas.toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(encoded.split(",")[1])))
    assert np.asarray(image)[..., 3].min() == 255, "the map must be opaque; opacity belongs to the style"
    return np.asarray(image.convert("RGB")).astype(int)


def assert_drawn(
    page: Page,
    name: str,
    values: np.ndarray,
    *,
    colormap: str = "magma",
    bounds: tuple[float, float] | None = None,
) -> None:
    """The map drawn equals the values within 2 of 255 levels, coloured from their least to their greatest.

    `bounds` are the ends of the colours where they are not the values' own.
    """
    table = sc.render.COLORMAPS[colormap].table.astype(int)
    low, high = bounds or (float(values.min()), float(values.max()))
    unit = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    levels = np.floor(unit * 255 + 0.5).astype(int)
    drawn = pixels(page, name)
    distances = [np.abs(drawn - table[np.clip(levels + shift, 0, 255)]).max(axis=2) for shift in range(-2, 3)]
    assert np.min(distances, axis=0).max() == 0


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
