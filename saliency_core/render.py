"""Colour maps, and photos as JPEG files.

The colour tables in `colormaps.npz` are 256 x 3 uint8 arrays. magma, inferno and viridis (N. Smith and
S. van der Walt), and cividis (J. Nunez, C. Anderton, R. Renslow) are CC0; coolwarm (K. Moreland, "Diverging
Color Maps for Scientific Visualization", 2009) and jet are Matplotlib's, under its BSD-like licence. All were
taken from Matplotlib 3.11.2, each colour rounded to 8 bits.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_core.registry import Registry

__all__ = ["COLORMAPS", "DEFAULT_COLORMAP", "SEQUENTIAL_COLORMAPS", "ColorMap", "display_jpeg"]

Kind = Literal["uniform", "diverging", "classic"]


@dataclass(frozen=True, eq=False)
class ColorMap:
    """A table of 256 colours.

    `kind` is "uniform" (equal steps look equal, lightness only rises), "diverging" (two hues that join in the
    middle: for signed maps, scaled symmetrically about zero) or "classic" (neither; known from the papers).
    `table` is a read-only uint8 array of shape (256, 3), lowest value first.
    """

    name: str
    title: str
    kind: Kind
    table: NDArray[np.uint8]


def _load_colormaps() -> Registry[ColorMap]:
    entries: tuple[tuple[str, str, Kind], ...] = (
        ("magma", "Magma", "uniform"),
        ("inferno", "Inferno", "uniform"),
        ("viridis", "Viridis", "uniform"),
        ("cividis", "Cividis, safe for colour-blind readers", "uniform"),
        ("coolwarm", "Cool to warm, for signed maps", "diverging"),
        ("jet", "Jet, as in the papers", "classic"),
    )
    colormaps = Registry[ColorMap]("colour map")
    with np.load(Path(__file__).with_name("colormaps.npz"), allow_pickle=False) as tables:
        for name, title, kind in entries:
            table = tables[name]
            table.setflags(write=False)
            colormaps.add(name, ColorMap(name, title, kind, table))
    return colormaps


COLORMAPS: Final = _load_colormaps()
DEFAULT_COLORMAP: Final = "magma"
SEQUENTIAL_COLORMAPS: Final = tuple(name for name, entry in COLORMAPS.items() if entry.kind != "diverging")
"""Those for maps without a sign; maps with one are drawn with the diverging colour map."""


def display_jpeg(
    image: Image.Image, *, max_side: int = 1280, quality: int = 90
) -> tuple[bytes, tuple[int, int]]:
    """The photo for the browser: JPEG bytes and their (width, height), the longer side at most `max_side`.

    A smaller photo keeps its size. The same image and arguments give the same bytes.
    """
    factor = max_side / max(image.size)
    shown = image.convert("RGB")
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in image.size)
        shown = shown.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue(), shown.size
