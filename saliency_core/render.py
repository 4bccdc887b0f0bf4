"""From a map to what is seen: colours, the overlay on the photo, JPEG and PNG bytes.

The colour tables in `colormaps.npz` are 256 x 3 uint8 arrays. magma, inferno and viridis (N. Smith and
S. van der Walt), and cividis (J. Nunez, C. Anderton, R. Renslow) are CC0; coolwarm (K. Moreland, "Diverging
Color Maps for Scientific Visualization", 2009) and jet are Matplotlib's, under its BSD-like licence. All were
taken from Matplotlib 3.11.2, each colour rounded to 8 bits.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from saliency_core.registry import Registry

__all__ = [
    "COLORMAPS",
    "DEFAULT_COLORMAP",
    "ColorMap",
    "colorize",
    "display_jpeg",
    "overlay",
    "png_bytes",
    "scale",
    "shared_range",
]

Kind = Literal["uniform", "diverging", "classic"]


@dataclass(frozen=True, eq=False)
class ColorMap:
    """A table of 256 colours.

    `kind` is "uniform" (equal steps look equal, lightness only rises), "diverging" (two hues that meet in the
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


def colorize(values: ArrayLike, colormap: str = DEFAULT_COLORMAP) -> NDArray[np.uint8]:
    """Colours of a map: row floor(255 v + 0.5) of the table for every value v.

    Args:
        values: floats in [0, 1], shape (H, W).
        colormap: a name in `COLORMAPS`.

    Returns:
        uint8 array of shape (H, W, 3).

    Raises:
        TypeError: `values` are not floats.
        ValueError: another shape, NaN, a value outside [0, 1], or an unknown colour map.

    Example:
        >>> colorize([[0.0, 1.0]], "viridis").tolist()
        [[[68, 1, 84], [253, 231, 37]]]
    """
    table = COLORMAPS[colormap].table
    unit = _unit_map(values)
    return table[np.floor(unit * 255 + 0.5).astype(np.uint8)]


def scale(values: ArrayLike, *, low: float, high: float) -> NDArray[np.float64]:
    """(v - low) / (high - low), clipped to [0, 1]; zeros everywhere if low = high (a constant map).

    Args:
        values: finite numbers of any shape.
        low: the value that becomes 0.
        high: the value that becomes 1.

    Raises:
        ValueError: NaN or infinity in `values`, `low` or `high`, or low > high.
    """
    numbers = np.asarray(values, np.float64)
    if not (np.isfinite(low) and np.isfinite(high)) or low > high:
        raise ValueError(f"expected finite low <= high, got low={low}, high={high}")
    if not np.isfinite(numbers).all():
        raise ValueError("expected finite values to scale, got NaN or infinity among them")
    if low == high:
        return np.zeros_like(numbers)
    return np.clip((numbers - low) / (high - low), 0.0, 1.0)


def shared_range(maps: Iterable[ArrayLike], *, symmetric: bool = False) -> tuple[float, float]:
    """(low, high) over all maps, so that one colour means one value in each of them.

    Args:
        maps: at least one array of finite numbers, of any shapes.
        symmetric: give (-M, M), M the largest absolute value, as a diverging colour map needs it.

    Raises:
        ValueError: no map, an empty one, or NaN or infinity in one.
    """
    arrays = [np.asarray(values, np.float64) for values in maps]
    if not arrays or not all(array.size for array in arrays):
        raise ValueError("expected at least one map, each with at least one value")
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("expected finite maps, got NaN or infinity among the values")
    if symmetric:
        bound = max(abs(low), abs(high))
        return -bound, bound
    return low, high


def overlay(
    image: Image.Image,
    values: ArrayLike,
    box: tuple[float, float, float, float],
    *,
    opacity: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
) -> Image.Image:
    """The photo with the coloured map laid on the part of it that the network saw.

    Each pixel whose centre lies in the box takes (1 - opacity) * photo + opacity * colour, rounded; the map
    is read there bilinearly, its pixel (i, j) covering an equal share of the box (align_corners=False), and
    coloured after that. Pixels outside the box stay as they are.

    Args:
        image: the photo; converted to RGB if it is not.
        values: floats in [0, 1], shape (H, W), of any size.
        box: (left, top, right, bottom) in pixels of the photo; fractions are allowed, and it may reach beyond
            the photo (a padded fit).
        opacity: 0 (the photo alone) to 1 (inside the box the colours alone).
        colormap: a name in `COLORMAPS`.

    Returns:
        A new RGB image of the photo's size.

    Raises:
        TypeError: `values` are not floats.
        ValueError: as in `colorize`, an opacity outside [0, 1], or a box without area.
    """
    unit = _unit_map(values)
    table = COLORMAPS[colormap].table
    left, top, right, bottom = box
    if not (np.isfinite(box).all() and left < right and top < bottom):
        raise ValueError(f"expected box = (left, top, right, bottom) with an area, got {tuple(box)}")
    if not 0 <= opacity <= 1:
        raise ValueError(f"expected an opacity in [0, 1], got {opacity}")

    photo = np.array(image.convert("RGB"))
    rows, y0, y1, fy = _sample_positions(photo.shape[0], top, bottom, unit.shape[0])
    columns, x0, x1, fx = _sample_positions(photo.shape[1], left, right, unit.shape[1])
    lines = unit[y0] * (1 - fy)[:, None] + unit[y1] * fy[:, None]
    resized = lines[:, x0] * (1 - fx) + lines[:, x1] * fx  # (rows in the box, columns in the box)
    colours = table[np.floor(resized * 255 + 0.5).astype(np.uint8)]
    inside = photo[rows, columns]
    photo[rows, columns] = np.floor((1 - opacity) * inside + opacity * colours + 0.5).astype(np.uint8)
    return Image.fromarray(photo)


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


def png_bytes(picture: NDArray[np.uint8] | Image.Image) -> bytes:
    """PNG file of an image or of a uint8 array of shape (H, W), (H, W, 3) or (H, W, 4).

    Raises:
        TypeError: an array of another type.
        ValueError: an array of another shape.
    """
    if not isinstance(picture, Image.Image):
        if picture.dtype != np.uint8:
            raise TypeError(f"expected a uint8 array, got {picture.dtype}")
        if picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,), (4,)) or not picture.size:
            raise ValueError(f"expected shape (H, W), (H, W, 3) or (H, W, 4), got {picture.shape}")
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _unit_map(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"expected a map of floats in [0, 1], got {array.dtype}")
    if array.ndim != 2 or not array.size:
        raise ValueError(f"expected a map of shape (H, W), got {array.shape}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN fails both
        raise ValueError(f"expected values in [0, 1], got {low:g} to {high:g}; see scale()")
    return array.astype(np.float64)


def _sample_positions(
    pixels: int, start: float, stop: float, cells: int
) -> tuple[slice, NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Along one axis: which pixels have their centre in [start, stop), and between which cells each reads."""
    first = min(max(int(np.ceil(start - 0.5)), 0), pixels)
    last = max(min(int(np.ceil(stop - 0.5)), pixels), first)
    centres = np.arange(first, last) + 0.5
    position = np.clip((centres - start) / (stop - start) * cells - 0.5, 0, cells - 1)
    lower = np.floor(position).astype(np.intp)
    return slice(first, last), lower, np.minimum(lower + 1, cells - 1), position - lower
