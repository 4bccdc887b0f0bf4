"""Figures as Matplotlib draws them. Imported when the first figure is drawn: it imports Matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from matplotlib.text import Text as Label
from matplotlib.transforms import Affine2D

from saliency_core.figures import fonts
from saliency_core.figures.sheet import POINTS_PER_INCH, Box, Item, Raster, Text, Theme, rgb

VECTOR_SCALE = 2
"""Pixels per point of the pictures inside SVG and PDF files."""


def figure_of(items: Sequence[Item], width: int, height: int, theme: Theme) -> Figure:
    """A Matplotlib figure of a page so wide and high in points, at 72 dots per inch."""
    size = width / POINTS_PER_INCH, height / POINTS_PER_INCH
    figure = Figure(figsize=size, dpi=POINTS_PER_INCH, facecolor=rgb(theme.paper))
    points = (
        Affine2D().scale(1 / POINTS_PER_INCH, -1 / POINTS_PER_INCH).translate(0, height / POINTS_PER_INCH)
    )
    place = points + figure.dpi_scale_trans
    for order, item in enumerate(items):
        artist: Artist
        if isinstance(item, Text):
            artist = _label(item)
        elif isinstance(item, Raster):
            artist = _Pixels(item, height)
        else:
            artist = _patch(item)
        artist.set_transform(place)
        artist.set_zorder(order)
        figure.add_artist(artist)
    return figure


def _label(item: Text) -> Label:
    return Label(
        item.x,
        item.y,
        item.text,
        color=rgb(item.color),
        fontproperties=fonts.properties(item.size, item.weight),
        horizontalalignment=item.align,
        verticalalignment="baseline",
        parse_math=False,
    )


def _patch(item: Box) -> Patch:
    style: dict[str, Any] = {
        "facecolor": "none" if item.fill is None else (*rgb(item.fill), item.alpha),
        "edgecolor": "none" if item.edge is None else (*rgb(item.edge), item.alpha),
        "linewidth": item.line,
        "linestyle": (0, (4, 3)) if item.dashed else "solid",
    }
    if not item.radius:
        return Rectangle((item.x, item.y), item.width, item.height, snap=True, **style)
    shape = f"round,pad=0,rounding_size={item.radius}"
    return FancyBboxPatch((item.x, item.y), item.width, item.height, boxstyle=shape, **style)


class _Pixels(Artist):
    """A picture whose pixels are those of the file: nothing is resampled."""

    def __init__(self, item: Raster, page: int) -> None:
        super().__init__()
        self.item = item
        self.page = page

    def draw(self, renderer: Any) -> None:
        item = self.item
        gc = renderer.new_gc()
        if renderer.option_scale_image():
            pixels = _opaque(item.paint(VECTOR_SCALE * item.height, VECTOR_SCALE * item.width))
            lower = self.page - item.y - item.height
            place = Affine2D().scale(item.width, item.height)
            renderer.draw_image(gc, item.x, lower, pixels[::-1], place)
        else:
            scale = renderer.dpi / POINTS_PER_INCH
            left, right = round(item.x * scale), round((item.x + item.width) * scale)
            top, bottom = round(item.y * scale), round((item.y + item.height) * scale)
            pixels = _opaque(item.paint(bottom - top, right - left))
            renderer.draw_image(gc, left, round(self.page * scale) - bottom, pixels[::-1])
        gc.restore()


def _opaque(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """With the alpha channel that Matplotlib wants."""
    height, width = pixels.shape[:2]
    full = np.full((height, width, 4), 255, np.uint8)
    full[..., :3] = pixels
    return full
