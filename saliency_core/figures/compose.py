"""The picture of a map on its photo, as the viewer's panels show it (``viewer/web/panels/panel.js``)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency_core import render
from saliency_core.combine import FloatMap, checked_map, checked_size, resize
from saliency_core.errors import ArgumentError, ArgumentTypeError
from saliency_core.registry import listed
from saliency_core.viewer.schema import DEFAULT_OPACITY

SIDE = 448
"""Side of a panel's map in the viewer, in pixels."""
LEVELS = 256
SIGNED_SHARE = 0.99
"""Share of a signed map's values, by size, that its colours distinguish."""
VEIL = 0.62
"""Share of the paper's colour over what the network did not see."""
GREY = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""The shares of red, green and blue in a photo's grey, as CSS has them."""
PAPER = (255, 255, 255)
GROUND = (246, 247, 249)

Pixels = NDArray[np.uint8]
Region = tuple[float, float, float, float]
"""(left, top, right, bottom) in a photo's pixels."""
Color = tuple[int, int, int]


class Scale(NamedTuple):
    """The values at the two ends of a colour table."""

    low: float
    high: float


def scale_of(values: FloatMap, diverging: bool) -> Scale:
    """The two ends of a map's own colour scale.

    Its smallest and its largest value, or for diverging colours plus and minus the 99th percentile of its
    absolute values (the largest one where that is 0), so that 0 is in the middle.

    Args:
        values: (h, w), as it is drawn: the percentile is taken of the pixels.
    """
    low, high = float(values.min()), float(values.max())
    if not diverging:
        return Scale(low, high)
    sizes = np.abs(values).ravel()
    rank = math.ceil(SIGNED_SHARE * sizes.size) - 1
    reach = float(np.partition(sizes, rank)[rank]) or max(-low, high)
    return Scale(-reach, reach)


def shared_scale(scales: list[Scale]) -> Scale:
    """One scale for several maps, from the scales of each."""
    return Scale(min(each.low for each in scales), max(each.high for each in scales))


def levels_of(values: FloatMap, scale: Scale) -> NDArray[np.uint8]:
    """The table's index of every value: 255 × its position on the scale, rounded half up."""
    factor = (LEVELS - 1) / (scale.high - scale.low) if scale.high > scale.low else 0.0
    levels = np.floor((values.astype(np.float64) - scale.low) * factor + 0.5)
    return np.clip(levels, 0, LEVELS - 1).astype(np.uint8)


def color_table(colormap: str, *, diverging: bool, fade: bool) -> NDArray[np.uint8]:
    """256 colours with their opacity, RGBA (256, 4).

    `diverging`: the colours of maps with a sign, whatever `colormap` is. `fade`: the opacity follows the
    value, none at the low end (of diverging colours: in the middle), all at the ends.
    """
    entry = render.COLORMAPS[colormap]
    if diverging:
        entry = next(each for each in render.COLORMAPS.values() if each.kind == "diverging")
    share = np.arange(LEVELS) / (LEVELS - 1)
    opacity = (np.abs(2 * share - 1) if diverging else share) if fade else np.ones(LEVELS)
    alpha = np.floor(255 * opacity + 0.5).astype(np.uint8)
    return np.column_stack([entry.table, alpha])


def compose(
    photo: Image.Image,
    region: Region,
    values: FloatMap | None,
    *,
    scale: tuple[float, float] | None = None,
    colormap: str = render.DEFAULT_COLORMAP,
    diverging: bool = False,
    fade: bool = True,
    opacity: float = DEFAULT_OPACITY,
    size: tuple[int, int] = (SIDE, SIDE),
    shown: Region | None = None,
    paper: Color = PAPER,
    ground: Color = GROUND,
) -> Pixels:
    """A map on its photo, RGB uint8 (height, width, 3).

    The map is resized to the pixels of its region (bilinear, ``align_corners=False``), coloured by a table of
    256 colours and laid over the photo, which is grey where the map fades; what the network did not see is
    veiled. This is what the viewer's panels show, whose maps have 448 × 448 pixels.

    Args:
        photo: the whole photo.
        region: what the network saw, (left, top, right, bottom) in the photo's pixels; it may reach beyond
            the photo.
        values: the map, (h, w); None for the photo alone.
        scale: the values of the colours' two ends, (low, high); None for the map's own, see :func:`scale_of`.
        colormap: one of ``render.COLORMAPS``.
        diverging: whether the map has a sign: its colours are then the diverging ones.
        fade: whether the opacity of the map follows its values.
        opacity: of the map, from 0 to 1.
        size: (height, width) of the picture.
        shown: the part of the photo that the picture shows; None: the region.
        paper: the colour of the veil.
        ground: the colour where there is no photo.

    Raises:
        UnknownNameError: an unknown colour map.
        ArgumentError, ArgumentTypeError: a map, a size, a region or an opacity that cannot be used.
    """
    if not isinstance(photo, Image.Image):
        raise ArgumentTypeError(f"photo is {photo!r}; expected a PIL image")
    if not 0 <= opacity <= 1:
        raise ArgumentError(f"opacity is {opacity!r}; expected a number from 0 to 1")
    view = Backdrop.of(
        photo,
        checked_region(region),
        size=checked_size(size),
        shown=None if shown is None else checked_region(shown),
        fade=fade,
        paper=paper,
        ground=ground,
    )
    if values is None:
        return view.pixels.copy()
    table = color_table(colormap, diverging=diverging, fade=fade)
    plane = resize(np.asarray(checked_map(values, "values"), np.float32), view.map_size)
    if scale is None:
        scale = scale_of(plane, diverging)
    return view.under(plane, Scale(*scale), table, opacity)


def checked_region(region: object) -> Region:
    """A part of a photo that a user gave; raises ``ArgumentError`` or ``ArgumentTypeError``."""
    sides = listed(region, "region", "(left, top, right, bottom) in the photo's pixels")
    try:
        left, top, right, bottom = (float(side) for side in sides)
    except (TypeError, ValueError):
        left = top = right = bottom = math.nan
    if not (left < right and top < bottom and all(map(math.isfinite, (left, top, right, bottom)))):
        raise ArgumentError(
            f"region is {region!r}; expected (left, top, right, bottom) in the photo's pixels"
        )
    return left, top, right, bottom


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The photo under a map, which may serve for many maps."""

    pixels: Pixels
    """The photo with all that does not depend on the map, (height, width, 3)."""
    box: tuple[int, int, int, int]
    """Where the map lies: (left, top, right, bottom) in these pixels; it may reach beyond them."""

    @classmethod
    def of(
        cls,
        photo: Image.Image,
        region: Region,
        *,
        size: tuple[int, int],
        shown: Region | None = None,
        fade: bool = True,
        paper: Color = PAPER,
        ground: Color = GROUND,
    ) -> Backdrop:
        """The photo's part `shown` at (height, width) `size`, veiled outside the region."""
        part = region if shown is None else shown
        pixels = np.empty((*size, 3), np.uint8)
        pixels[:] = ground
        placed = _placed(photo, part, size)
        if placed is not None:
            inside, (left, top) = placed
            rows, columns = inside.shape[:2]
            pixels[top : top + rows, left : left + columns] = _grey(inside) if fade else inside
        box = _box(region, part, size)
        if shown is not None:
            _veil(pixels, box, paper)
        return cls(pixels, box)

    @property
    def map_size(self) -> tuple[int, int]:
        """(height, width) of the map in these pixels."""
        left, top, right, bottom = self.box
        return bottom - top, right - left

    def under(self, plane: FloatMap, scale: Scale, table: NDArray[np.uint8], opacity: float) -> Pixels:
        """With a map of the size :attr:`map_size` on it."""
        colors = table[levels_of(plane, scale)].astype(np.float32)
        alpha = colors[..., 3:] * (opacity / 255)
        height, width = self.pixels.shape[:2]
        left, top, right, bottom = self.box
        across, down = slice(max(left, 0), min(right, width)), slice(max(top, 0), min(bottom, height))
        here = slice(across.start - left, across.stop - left)
        below = slice(down.start - top, down.stop - top)
        picture = self.pixels.copy()
        under = picture[down, across].astype(np.float32)
        mixed = under + alpha[below, here] * (colors[below, here, :3] - under)
        picture[down, across] = (mixed + 0.5).astype(np.uint8)
        return picture


def _box(region: Region, shown: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The region in the pixels of a picture that shows a part of the photo, at least one pixel."""
    across, down = size[1] / (shown[2] - shown[0]), size[0] / (shown[3] - shown[1])
    left, top = round((region[0] - shown[0]) * across), round((region[1] - shown[1]) * down)
    right, bottom = round((region[2] - shown[0]) * across), round((region[3] - shown[1]) * down)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _placed(
    photo: Image.Image, shown: Region, size: tuple[int, int]
) -> tuple[Pixels, tuple[int, int]] | None:
    """The visible part of the photo at the picture's resolution and where it begins, or None."""
    left, top = max(shown[0], 0.0), max(shown[1], 0.0)
    right, bottom = min(shown[2], float(photo.width)), min(shown[3], float(photo.height))
    if left >= right or top >= bottom:
        return None
    x0, y0, x1, y1 = _box((left, top, right, bottom), shown, size)
    x1, y1 = min(x1, size[1]), min(y1, size[0])
    if x0 >= x1 or y0 >= y1:
        return None
    inside = photo.convert("RGB") if photo.mode != "RGB" else photo
    resized = inside.resize(
        (x1 - x0, y1 - y0), Image.Resampling.LANCZOS, (left, top, right, bottom), reducing_gap=3.0
    )
    return np.asarray(resized, np.uint8), (x0, y0)


def _grey(pixels: Pixels) -> Pixels:
    grey = np.floor(pixels.astype(np.float32) @ GREY + 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _veil(pixels: Pixels, box: tuple[int, int, int, int], paper: Color) -> None:
    """Lay the paper's colour over everything outside of a box, in place."""
    left, top, right, bottom = box
    outside = np.ones(pixels.shape[:2], bool)
    outside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = False
    veiled = pixels[outside].astype(np.float32) * (1 - VEIL) + VEIL * np.array(paper, np.float32)
    pixels[outside] = (veiled + 0.5).astype(np.uint8)
